/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The access log: see access_log.h. Two texts take turns: one collects lines,
 * the other is being written.
 *
 * A reader may stop for ever, a pager for instance, and a write(2) that waits
 * for it could not be called off. So the worker waits in poll(2), and writes
 * no more than a pipe that polls as writable takes at once.
 */
#include "access_log.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>
#include "text.h"

#define FLUSH_BYTES	  (32u << 10) /* written before the next tick */
#define WAITING_BYTES_MAX (1u << 20)
#define PATIENCE_MS	  250 /* with a reader that stands still, at the end */

struct access_log {
	struct job job;
	struct workers *workers;
	int fd;
	bool writing;
	atomic_bool ending; /* set by the stack's thread, for the worker */
	uint64_t left_out;
	time_t stamped; /* of @stamp */
	char stamp[32];
	struct text collected, written;
};

/* Waits for the reader, but at the end only so long. */
static bool wait_for_room(struct access_log *log)
{
	struct pollfd out = { .fd = log->fd, .events = POLLOUT };
	bool ending;
	int ready;

	do {
		ending = atomic_load(&log->ending);
		ready = poll(&out, 1, PATIENCE_MS);
	} while (ready == 0 && !ending);
	return ready != 0;
}

static void write_all(struct access_log *log, const char *bytes, size_t count)
{
	while (count > 0 && wait_for_room(log)) {
		ssize_t n = write(log->fd, bytes,
				  count < PIPE_BUF ? count : PIPE_BUF);

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

	write_all(log, log->written.bytes, log->written.length);
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

/* Peer and time. Returns: false when no more lines can be collected. */
static bool begin_line(struct access_log *log, time_t now, const char *peer,
		       const char *user)
{
	struct text *out = &log->collected;

	if (out->length > WAITING_BYTES_MAX || !text_ok(out)) {
		log->left_out++;
		return false;
	}
	if (log->left_out > 0)
		text_printf(out, "(%" PRIu64 " lines left out)\n",
			    log->left_out);
	log->left_out = 0;
	text_printf(out, "%s - ", peer);
	add_escaped(out, user ? user : "-");
	text_printf(out, " [%s] ", stamp(log, now));
	return true;
}

static void end_line(struct access_log *log)
{
	if (log->collected.length > FLUSH_BYTES)
		access_log_flush(log);
}

void access_log_say(struct access_log *log, time_t now, const char *peer,
		    const char *what)
{
	if (!begin_line(log, now, peer, NULL))
		return;
	text_printf(&log->collected, "%s\n", what);
	end_line(log);
}

void access_log_add(struct access_log *log, time_t now,
		    const struct access_entry *e)
{
	struct text *out = &log->collected;

	if (!begin_line(log, now, e->peer, e->user))
		return;
	text_add(out, "\"");
	if (e->method) {
		text_printf(out, "%s ", e->method);
		add_escaped(out, e->target);
		text_printf(out, " %s", e->protocol);
	} else {
		text_add(out, "-");
	}
	text_printf(out, "\" %d %" PRIu64 "\n", e->status, e->body_bytes);
	end_line(log);
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

void access_log_end(struct access_log *log)
{
	atomic_store(&log->ending, true);
}

void access_log_close(struct access_log *log)
{
	access_log_end(log);
	write_all(log, log->collected.bytes, log->collected.length);
	text_free(&log->collected);
	text_free(&log->written);
	free(log);
}
