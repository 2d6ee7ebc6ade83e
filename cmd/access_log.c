/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The access log: see access_log.h. Two texts take turns: one collects lines,
 * the other is being written.
 */
#include "access_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>
#include "text.h"

#define FLUSH_BYTES	  (32u << 10) /* written before the next tick */
#define WAITING_BYTES_MAX (1u << 20)

struct access_log {
	struct job job;
	struct workers *workers;
	int fd;
	bool writing;
	uint64_t left_out;
	time_t stamped; /* of @stamp */
	char stamp[32];
	struct text collected, written;
};

static void write_all(int fd, const char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t n = write(fd, bytes, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody reads: there is no one to tell */
		bytes += n;
		count -= (size_t)n;
	}
}

static void write_work(struct job *job)
{
	struct access_log *log = (struct access_log *)job;

	write_all(log->fd, log->written.bytes, log->written.length);
}

static void write_done(struct job *job)
{
	struct access_log *log = (struct access_log *)job;

	text_clear(&log->written);
	log->writing = false;
}

int access_log_open(struct access_log **out, struct workers *workers, int fd)
{
	struct access_log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	log->workers = workers;
	log->fd = fd;
	log->job.work = write_work;
	log->job.done = write_done;
	*out = log;
	return 0;
}

/* What a client wrote must not look like another line, or move a cursor. */
static void add_escaped(struct text *out, const char *string)
{
	for (; string && *string; string++) {
		unsigned char c = (unsigned char)*string;

		if (c < ' ' || c >= 127 || c == '"' || c == '\\')
			text_printf(out, "\\x%02x", c);
		else
			text_add_bytes(out, string, 1);
	}
}

static const char *stamp(struct access_log *log, time_t now)
{
	struct tm tm;

	if (now != log->stamped && localtime_r(&now, &tm)) {
		strftime(log->stamp, sizeof(log->stamp), "%d/%b/%Y:%H:%M:%S %z",
			 &tm);
		log->stamped = now;
	}
	return log->stamp;
}

void access_log_add(struct access_log *log, time_t now,
		    const struct access_entry *e)
{
	struct text *out = &log->collected;

	if (out->length > WAITING_BYTES_MAX || !text_ok(out)) {
		log->left_out++;
		return;
	}
	if (log->left_out > 0)
		text_printf(out, "(%" PRIu64 " lines left out)\n",
			    log->left_out);
	log->left_out = 0;
	text_printf(out, "%s - - [%s] \"", e->peer, stamp(log, now));
	if (e->method) {
		text_printf(out, "%s ", e->method);
		add_escaped(out, e->target);
		text_printf(out, " HTTP/1.%d", e->http_minor);
	} else {
		text_add(out, "-");
	}
	text_printf(out, "\" %d %" PRIu64 "\n", e->status, e->body_bytes);
	if (out->length > FLUSH_BYTES)
		access_log_flush(log);
}

void access_log_flush(struct access_log *log)
{
	struct text swap = log->written;

	if (log->writing || log->collected.length == 0)
		return;
	log->written = log->collected;
	log->collected = swap;
	log->collected.failed = false;
	log->writing = true;
	workers_submit(log->workers, &log->job);
}

void access_log_close(struct access_log *log)
{
	write_all(log->fd, log->collected.bytes, log->collected.length);
	text_free(&log->collected);
	text_free(&log->written);
	free(log);
}
