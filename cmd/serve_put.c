/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Uploads: PUT, RFC 9110 9.3.4.
 *
 * Theory of operation. The body goes into a file without a name (O_TMPFILE) in
 * the directory where it will appear, so that whatever ends the upload before
 * its end, the process being killed included, leaves nothing behind. When the
 * body is complete it is made durable and gets its name in one atomic step;
 * readers of the old file go on reading the old file.
 *
 *	BEGIN    worker: directory, conditions, temporary file, room for it
 *	  WRITE  worker: a batch of spans, by pwritev() out of the stack's
 *buffers …      meanwhile the next batch is collected COMMIT   worker: fsync,
 *link or rename, fsync of the directory ABANDON  worker: close; unlink where
 *there had to be a name
 *
 * Spans of a batch are returned to the stack when they are written. What is
 * not yet in the file is at most SERVE_HOLD_MAX, then the window closes.
 */
#include "serve_http.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#define NAME_TRIES 16 /* random names that are all taken */

struct upload {
	struct job job;
	struct conn *conn; /* NULL once abandoned */
	struct server *server;
	bool busy;	/* a job is under way */
	bool abandoned; /* to be undone when the job is back */
	int status;	/* what the last job says: 0 is good */
	int refused;	/* to be answered when the job is back */

	/* Belong to the worker while busy. */
	int root_fd, dir_fd, fd;
	char path[HTTP_PATH_MAX]; /* of the directory */
	char name[NAME_MAX + 1];
	char temporary[NAME_MAX + 1];	   /* empty: the file has no name yet */
	struct http_conditions conditions; /* texts of conn->request */
	time_t now;
	uint64_t expected_bytes; /* 0: not announced */
	bool replaces;
	mode_t mode;
	uint64_t written;
	struct tow_span *batch;
	size_t batch_count, batch_room;

	/* Bytes borrowed: of the batch under way, and since. */
	size_t batch_hold, hold;
};

/* --- on a worker: beginning
 * ----------------------------------------------------- */

static void random_name(char out[NAME_MAX + 1])
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		number = (uint64_t)getpid();
	snprintf(out, NAME_MAX + 1, ".upload-%016llx.tow",
		 (unsigned long long)number);
}

static int open_named(struct upload *u)
{
	int i, fd = -1;

	for (i = 0; fd < 0 && i < NAME_TRIES; i++) {
		random_name(u->temporary);
		fd = openat(u->dir_fd, u->temporary,
			    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0)
		u->temporary[0] = '\0';
	return fd;
}

/* Not every file system has files without names (tmpfs, ext4, xfs, btrfs do).
 */
static int open_temporary(struct upload *u)
{
	u->fd = openat(u->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
	if (u->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR ||
			  errno == ENOENT || errno == EINVAL))
		u->fd = open_named(u);
	return u->fd < 0 ? status_of_errno(-errno) : 0;
}

/* What is there under that name, and may it be replaced? */
static int look_at_target(struct upload *u)
{
	struct http_validators v = { 0 };
	struct stat st;

	if (fstatat(u->dir_fd, u->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!S_ISREG(st.st_mode))
			return 409;
		v.exists = true;
		v.modified = st.st_mtim.tv_sec;
		http_etag_format(v.etag, st.st_ino, (uint64_t)st.st_size,
				 st.st_mtim.tv_sec,
				 (uint32_t)st.st_mtim.tv_nsec);
		u->mode = st.st_mode & 0777; /* never set-user-ID */
	} else if (errno != ENOENT) {
		return status_of_errno(-errno);
	}
	u->replaces = v.exists;
	return http_condition(&u->conditions, &v, false, u->now) ==
			       CONDITION_HOLDS
		       ? 0
		       : 412;
}

/* A full disk is better said before the bytes are sent than after. */
static int reserve_room(struct upload *u)
{
	if (u->expected_bytes == 0 || fallocate(u->fd, FALLOC_FL_KEEP_SIZE, 0,
						(off_t)u->expected_bytes) == 0)
		return 0;
	return errno == ENOSPC || errno == EDQUOT || errno == EFBIG
		       ? status_of_errno(-errno)
		       : 0;
}

static int begin(struct upload *u)
{
	int status;

	u->dir_fd = open_beneath(u->root_fd, u->path,
				 O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (u->dir_fd < 0) {
		status = status_of_errno(u->dir_fd);
		return status == 404 ? 409 : status; /* as WebDAV does */
	}
	status = look_at_target(u);
	if (status == 0)
		status = open_temporary(u);
	if (status == 0)
		status = reserve_room(u);
	return status;
}

static void begin_work(struct job *job)
{
	struct upload *u = (struct upload *)job;

	u->status = begin(u);
}

/* --- on a worker: writing
 * --------------------------------------------------------- */

static void skip_spans(struct tow_span **spans, size_t *count, size_t bytes)
{
	while (bytes > 0 && bytes >= (*spans)->len) {
		bytes -= (*spans)->len;
		++*spans;
		--*count;
	}
	if (bytes > 0) {
		(*spans)->ptr = (const char *)(*spans)->ptr + bytes;
		(*spans)->len -= bytes;
	}
}

static int write_batch(struct upload *u)
{
	struct tow_span *spans = u->batch;
	size_t count = u->batch_count;

	while (count > 0) {
		ssize_t n = pwritev(u->fd, (const struct iovec *)spans,
				    (int)(count < IOV_MAX ? count : IOV_MAX),
				    (off_t)u->written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return status_of_errno(-errno);
		u->written += (uint64_t)n;
		skip_spans(&spans, &count, (size_t)n);
	}
	return 0;
}

static void write_work(struct job *job)
{
	struct upload *u = (struct upload *)job;

	u->status = write_batch(u);
}

/* --- on a worker: the end
 * --------------------------------------------------------- */

/* Give a file without a name one; false leaves the reason in errno. */
static bool link_as(const struct upload *u, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", u->fd);
	return linkat(u->fd, "", u->dir_fd, name, AT_EMPTY_PATH) == 0 ||
	       (errno != EEXIST && linkat(AT_FDCWD, path, u->dir_fd, name,
					  AT_SYMLINK_FOLLOW) == 0);
}

/* Nothing is there: the link itself makes sure that it stays so. */
static int publish_new(struct upload *u)
{
	if (u->temporary[0]) {
		if (renameat2(u->dir_fd, u->temporary, u->dir_fd, u->name,
			      RENAME_NOREPLACE) != 0)
			return -errno;
		u->temporary[0] = '\0';
		return 0;
	}
	return link_as(u, u->name) ? 0 : -errno;
}

static int publish_over(struct upload *u)
{
	int i;

	for (i = 0; !u->temporary[0] && i < NAME_TRIES; i++) {
		char name[NAME_MAX + 1];

		random_name(name);
		if (link_as(u, name))
			strcpy(u->temporary, name);
		else if (errno != EEXIST)
			return -errno;
	}
	if (renameat(u->dir_fd, u->temporary, u->dir_fd, u->name) != 0)
		return -errno;
	u->temporary[0] = '\0';
	return 0;
}

static int publish(struct upload *u)
{
	int error = u->replaces ? publish_over(u) : publish_new(u);

	if (error != -EEXIST || u->replaces)
		return error;
	if (u->conditions.if_none_match)
		return error; /* somebody was first, and that mattered */
	u->replaces = true;
	return publish_over(u);
}

static int commit(struct upload *u)
{
	int error = 0;

	if (u->replaces && fchmod(u->fd, u->mode) != 0)
		error = -errno;
	/* Room was reserved for what was announced; a chunked body has none. */
	if (!error && fsync(u->fd) != 0)
		error = -errno;
	if (!error)
		error = publish(u);
	if (!error && fsync(u->dir_fd) != 0)
		error = -errno;
	if (error == -EEXIST)
		return 412;
	return error ? status_of_errno(error) : 0;
}

static void commit_work(struct job *job)
{
	struct upload *u = (struct upload *)job;

	u->status = commit(u);
}

static void abandon_work(struct job *job)
{
	struct upload *u = (struct upload *)job;

	if (u->temporary[0])
		(void)unlinkat(u->dir_fd, u->temporary, 0);
	if (u->fd >= 0)
		close(u->fd);
	if (u->dir_fd >= 0)
		close(u->dir_fd);
}

/* --- on the stack's thread
 * ---------------------------------------------------------- */

static void abandon_done(struct job *job)
{
	struct upload *u = (struct upload *)job;

	free(u->batch);
	free(u);
}

static void submit(struct upload *u, void (*work)(struct job *),
		   void (*done)(struct job *))
{
	u->job.work = work;
	u->job.done = done;
	u->busy = true;
	workers_submit(u->server->movers, &u->job);
}

/* From here on the connection does not know the upload any more. */
static void close_upload(struct upload *u)
{
	u->conn->upload = NULL;
	u->conn = NULL;
	submit(u, abandon_work, abandon_done);
}

/* The end for whatever reason; a job that is under way comes back first. */
void upload_abandon(struct conn *c)
{
	struct upload *u = c->upload;

	if (!u)
		return;
	u->abandoned = true;
	if (!u->busy)
		close_upload(u);
}

bool upload_holds_input(const struct conn *c)
{
	return c->upload && c->upload->busy;
}

/* A job is back: true when its connection still wants to know. */
static bool comes_back(struct upload *u)
{
	struct conn *c = u->conn;

	u->busy = false;
	if (!u->abandoned)
		return true;
	close_upload(u);
	conn_release(c);
	return false;
}

/* What was taken of the body is given back; the rest will be discarded. */
static void fail_upload(struct conn *c, int status)
{
	tow_tcp_return(c->tcp, c->upload->hold);
	c->request.body_count = 0;
	upload_abandon(c);
	request_answer(c, status);
	conn_run(c);
}

static void write_done(struct job *job)
{
	struct upload *u = (struct upload *)job;
	struct conn *c = u->conn;

	if (!comes_back(u))
		return;
	tow_tcp_return(c->tcp, u->batch_hold);
	u->batch_hold = 0;
	u->batch_count = 0;
	if (u->status != 0 || u->refused)
		fail_upload(c, u->status ? u->status : u->refused);
	else
		conn_run(c);
}

/* Swap the arrays: the message collects into the one that was written. */
static void submit_batch(struct conn *c)
{
	struct http_message *m = &c->request;
	struct upload *u = c->upload;
	struct tow_span *spare = u->batch;
	size_t spare_room = u->batch_room;

	u->batch = m->body;
	u->batch_count = m->body_count;
	u->batch_room = m->body_room;
	m->body = spare;
	m->body_count = 0;
	m->body_room = spare_room;
	u->batch_hold = u->hold;
	u->hold = 0;
	submit(u, write_work, write_done);
}

static void commit_done(struct job *job)
{
	struct upload *u = (struct upload *)job;
	struct conn *c = u->conn;
	bool replaced = u->replaces;
	int status = u->status;

	if (!comes_back(u))
		return;
	close_upload(u);
	request_answer(c, status ? status : replaced ? 204 : 201);
	conn_run(c);
}

/* Nothing is left to be fed: return what framing was held, and finish. */
static bool finish_body(struct conn *c)
{
	struct upload *u = c->upload;

	tow_tcp_return(c->tcp, u->hold);
	u->hold = 0;
	conn_enter(c, CONN_FINISHING);
	submit(u, commit_work, commit_done);
	return false;
}

static bool too_large(const struct conn *c)
{
	uint64_t max = c->server->settings.upload_bytes_max;

	return max && c->request.body_bytes > max;
}

/* Answer now, or when the worker no longer reads the spans of the batch. */
static bool refuse_rest(struct conn *c, int status)
{
	struct upload *u = c->upload;

	if (u->busy)
		u->refused = status;
	else
		fail_upload(c, status);
	return false;
}

static bool feed_body(struct conn *c)
{
	struct upload *u = c->upload;
	enum http_progress progress;
	size_t used;

	if (!conn_take_input(c)) {
		if (c->state == CONN_RECEIVING && c->peer_done)
			conn_end(c, true); /* it stopped in the middle */
		return false;
	}
	progress = http_message_feed(&c->request, c->in, c->in_bytes, &used);
	c->in += used;
	c->in_bytes -= used;
	u->hold += used;
	if (progress == HTTP_BAD)
		return refuse_rest(c, c->request.status);
	if (too_large(c))
		return refuse_rest(c, 413);
	return true;
}

bool upload_receive(struct conn *c)
{
	struct upload *u = c->upload;

	if (!u->busy && c->request.body_count > 0)
		submit_batch(c);
	if (c->request.done && !u->busy)
		return finish_body(c);
	if (c->request.done || u->refused ||
	    u->hold + u->batch_hold >= SERVE_HOLD_MAX)
		return false; /* go on when the worker is back */
	return feed_body(c);
}

/* RFC 9110 10.1.1: the client waits for leave to send. */
static bool say_continue(struct conn *c)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
	size_t length = sizeof(line) - 1;

	if (!http_message_field(&c->request, FIELD_EXPECT) ||
	    c->request.parser.http_minor < 1 || c->in_bytes > 1)
		return true;
	if (tow_tcp_send(c->tcp, line, length, 0) != (int64_t)length)
		return false;
	c->queued_bytes += length;
	return true;
}

static void begin_done(struct job *job)
{
	struct upload *u = (struct upload *)job;
	struct conn *c = u->conn;

	if (!comes_back(u))
		return;
	if (u->status != 0) {
		fail_upload(c, u->status);
		return;
	}
	if (!say_continue(c)) {
		conn_end(c, true);
		return;
	}
	conn_enter(c, CONN_RECEIVING);
	conn_run(c);
}

/* "a/b/c" is c in a/b; a directory cannot be put. */
static bool split_path(struct upload *u, const struct http_target *target)
{
	const char *slash = strrchr(target->path, '/');
	const char *name = slash ? slash + 1 : target->path;

	if (target->directory || strlen(name) > NAME_MAX)
		return false;
	strcpy(u->name, name);
	if (slash)
		snprintf(u->path, sizeof(u->path), "%.*s",
			 (int)(slash - target->path), target->path);
	else
		strcpy(u->path, ".");
	return true;
}

/* What can be refused without looking at the disk. */
static int refuse(const struct conn *c)
{
	const struct http_message *m = &c->request;
	uint64_t max = c->server->settings.upload_bytes_max;

	if (http_message_field(m, FIELD_CONTENT_RANGE))
		return 400; /* RFC 9110 14.5: we have no partial PUT */
	if (max && m->content_length > max)
		return 413;
	if (!m->has_body && !m->length_known)
		return 411;
	return 0;
}

void upload_begin(struct conn *c, const struct http_target *target)
{
	int status = refuse(c);
	struct upload *u;

	if (status != 0) {
		request_answer(c, status);
		return;
	}
	u = calloc(1, sizeof(*u));
	if (!u || !split_path(u, target)) {
		request_answer(c, u ? 409 : 503);
		free(u);
		return;
	}
	u->conn = c;
	u->server = c->server;
	u->root_fd = c->server->root_fd;
	u->dir_fd = u->fd = -1;
	u->conditions = request_conditions(&c->request);
	u->now = c->server->now;
	u->expected_bytes = c->request.content_length;
	c->upload = u;
	conn_enter(c, CONN_OPENING);
	submit(u, begin_work, begin_done);
}
