/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Uploads: PUT, RFC 9110 9.3.4.
 *
 * Theory of operation. A worker finds the directory and looks whether the
 * conditions of the request hold; the rest is a sink's (tow/file.h): the file
 * without a name, the room for it, and the one step in which it appears.
 *
 *	LOOKING    worker: directory, conditions
 *	  OPENING  sink: temporary file, room
 *	    body   what was borrowed with the head: written from where it lies
 *	           length known: the rest goes into posted blocks
 *	           chunked: batches of spans, one written, the next collected
 *	COMMITTING sink: fsync, link or rename, fsync of the directory
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
#include <sys/stat.h>
#include <tow/file.h>
#include <unistd.h>

struct upload {
	struct job job;
	struct sink_user user; /* of the sink */
	struct conn *conn;
	struct tow_sink *sink; /* NULL before it is opened */
	bool looking;	       /* the job is under way */
	bool writing;	       /* from spans that are on loan */
	bool taking;	       /* posted blocks have the rest of the body */
	bool abandoned;	       /* to be undone when that is over */
	int status;	       /* what the job says: 0 is good */
	int refused;	       /* to be answered when the spans are free */

	/* Belong to the worker while looking. */
	int dir_fd;
	bool replaces;
	char path[HTTP_PATH_MAX]; /* of the directory */
	char name[NAME_MAX + 1];
	struct http_conditions conditions; /* texts of conn->request */

	/* Borrowed: of the batch that is written, and since. */
	struct tow_span *batch;
	size_t batch_count, batch_room;
	size_t batch_hold, hold;
};

/* --- on a worker ------------------------------------------------------------
 */

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
	} else if (errno != ENOENT) {
		return status_of_errno(-errno);
	}
	u->replaces = v.exists;
	return http_condition(&u->conditions, &v, false,
			      u->conn->server->now) == CONDITION_HOLDS
		       ? 0
		       : 412;
}

static int look(struct upload *u)
{
	int status;

	u->dir_fd = open_beneath(u->conn->server->root_fd, u->path,
				 O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (u->dir_fd >= 0)
		return look_at_target(u);
	status = status_of_errno(u->dir_fd);
	return status == 404 ? 409 : status; /* as WebDAV does */
}

static void look_work(struct job *job)
{
	struct upload *u = (struct upload *)job;

	u->status = look(u);
}

/* --- the end ----------------------------------------------------------------
 */

/* From here on the connection does not know the upload any more. */
static void close_upload(struct upload *u)
{
	u->conn->upload = NULL;
	if (u->sink)
		tow_sink_close(u->sink);
	if (u->dir_fd >= 0)
		close(u->dir_fd);
	free(u->batch);
	free(u);
}

bool upload_holds_input(const struct conn *c)
{
	return c->upload && (c->upload->looking || c->upload->writing);
}

/* The end for whatever reason; who reads our memory comes back first. */
void upload_abandon(struct conn *c)
{
	struct upload *u = c->upload;

	if (!u)
		return;
	u->abandoned = true;
	if (!upload_holds_input(c))
		close_upload(u);
}

/* Nobody reads our memory any more: does the connection still want to know? */
static bool is_wanted(struct upload *u)
{
	struct conn *c = u->conn;

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

/* --- the body ---------------------------------------------------------------
 */

/* Swap the arrays: the message collects into the one that was written. */
static void write_batch(struct conn *c)
{
	struct http_message *m = &c->request;
	struct upload *u = c->upload;
	struct tow_span *spare = u->batch;
	size_t spare_room = u->batch_room;
	int error;

	u->batch = m->body;
	u->batch_count = m->body_count;
	u->batch_room = m->body_room;
	m->body = spare;
	m->body_count = 0;
	m->body_room = spare_room;
	u->batch_hold = u->hold;
	u->hold = 0;
	u->writing = true;
	error = tow_sink_write(u->sink, u->batch, (unsigned)u->batch_count);
	ASSERT(!error);
}

static bool too_large(const struct conn *c)
{
	uint64_t max = c->server->settings.upload_bytes_max;

	return max && c->request.body_bytes > max;
}

/* Answer now, or when the spans of the batch are not read any more. */
static bool refuse_rest(struct conn *c, int status)
{
	struct upload *u = c->upload;

	if (u->writing)
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

/* The body has begun and nothing is on loan: its rest can be posted for. */
static bool take_rest(struct conn *c)
{
	const struct http_message *m = &c->request;
	struct upload *u = c->upload;

	if (tow_sink_take(u->sink, c->tcp, m->content_length - m->body_bytes) ==
	    0)
		u->taking = true;
	else
		conn_end(c, true);
	return false;
}

/* Nothing is left to be fed: return what framing was held, and finish. */
static bool finish_body(struct conn *c)
{
	conn_enter(c, CONN_FINISHING);
	if (tow_sink_commit(c->upload->sink) != 0)
		fail_upload(c, 500);
	return false;
}

/* What is held now belongs to the framing. */
static void return_hold(struct conn *c)
{
	tow_tcp_return(c->tcp, c->upload->hold);
	c->upload->hold = 0;
}

bool upload_receive(struct conn *c)
{
	const struct http_message *m = &c->request;
	struct upload *u = c->upload;

	if (!u->writing && m->body_count > 0)
		write_batch(c);
	if (u->writing && (m->length_known || m->done))
		return false; /* go on when it is written */
	if (u->taking || u->refused ||
	    u->hold + u->batch_hold >= SERVE_HOLD_MAX)
		return false;
	if (!u->writing)
		return_hold(c);
	if (m->done)
		return finish_body(c);
	if (m->length_known && !m->head_lf && c->in_bytes == 0)
		return take_rest(c);
	return feed_body(c);
}

/* Bytes that have come: what the client's share of the time is measured by. */
uint64_t upload_progress(const struct conn *c)
{
	struct tow_sink_info info;

	tow_sink_info(c->upload->sink, &info);
	return c->request.body_bytes + info.progress_bytes;
}

bool upload_waits(const struct conn *c)
{
	struct tow_sink_info info;

	if (upload_holds_input(c))
		return true;
	tow_sink_info(c->upload->sink, &info);
	return info.conn_waits;
}

/* --- what the sink says -----------------------------------------------------
 */

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

static void sink_opened(struct conn *c)
{
	if (!say_continue(c)) {
		conn_end(c, true);
		return;
	}
	conn_enter(c, CONN_RECEIVING);
	conn_run(c);
}

/* Spans are written, or the rest of the body is, or its sender has gone. */
static void sink_ready(struct upload *u)
{
	struct conn *c = u->conn;
	struct tow_sink_info info;

	if (u->writing) {
		u->writing = false;
		if (!is_wanted(u))
			return;
		tow_tcp_return(c->tcp, u->batch_hold);
		u->batch_hold = 0;
	}
	tow_sink_info(u->sink, &info);
	if (u->refused) {
		fail_upload(c, u->refused);
	} else if (info.conn_done || info.conn_status) {
		conn_end(c, true); /* it stopped in the middle */
	} else {
		if (u->taking)
			http_message_skip_body(&c->request);
		u->taking = false;
		conn_run(c);
	}
}

static void sink_done(struct upload *u, bool replaced)
{
	struct conn *c = u->conn;

	close_upload(u);
	request_answer(c, replaced ? 204 : 201);
	conn_run(c);
}

static void sink_failed(struct upload *u, int error)
{
	struct conn *c = u->conn;
	bool was_first = error == TOW_EEXIST; /* somebody else, that is */

	u->writing = false;
	if (!is_wanted(u))
		return;
	tow_tcp_return(c->tcp, u->batch_hold);
	fail_upload(c, was_first ? 412 : status_of_errno(error));
}

static void on_change(struct sink_user *user)
{
	struct upload *u = CONTAINER(user, struct upload, user);
	struct tow_sink_info info;

	tow_sink_info(u->sink, &info);
	if (info.state == TOW_SINK_FAILED)
		sink_failed(u, info.status);
	else if (info.state == TOW_SINK_DONE)
		sink_done(u, info.replaced);
	else if (info.state == TOW_SINK_READY && u->conn->state == CONN_OPENING)
		sink_opened(u->conn);
	else if (info.state == TOW_SINK_READY)
		sink_ready(u);
}

/* --- the beginning ----------------------------------------------------------
 */

static int open_sink(struct upload *u)
{
	struct conn *c = u->conn;
	struct tow_sink_file file = {
		.dir_fd = u->dir_fd,
		.name = u->name,
		/* Somebody may be first, and then that matters. */
		.only_new = u->conditions.if_none_match && !u->replaces,
		.bytes_expected = c->request.content_length,
		.sync = TOW_SYNC_END,
	};

	return tow_sink_open(c->server->disk, &file, &u->user, &u->sink);
}

static void look_done(struct job *job)
{
	struct upload *u = (struct upload *)job;
	struct conn *c = u->conn;
	int error;

	u->looking = false;
	if (!is_wanted(u))
		return;
	error = u->status ? 0 : open_sink(u);
	if (u->status || error)
		fail_upload(c, error ? status_of_errno(error) : u->status);
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
	u->user.changed = on_change;
	u->dir_fd = -1;
	u->conditions = request_conditions(&c->request);
	u->looking = true;
	u->job.work = look_work;
	u->job.done = look_done;
	c->upload = u;
	conn_enter(c, CONN_OPENING);
	workers_submit(c->server->workers, &u->job);
}
