/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Uploads: STOR and APPE.
 *
 * Theory of operation. A worker finds the directory and looks at what has the
 * name; the rest is a sink's (tow/file.h): its blocks are posted to the data
 * connection, the device fills them, and they are written from there.
 *
 *	LOOKING     worker: directory, what is there, the beginning to keep
 *	OPENING     sink: temporary file, room for what ALLO announced
 *	  150       the data connection may come, or has come
 *	TAKING      sink: from the connection to the file, until its FIN
 *	COMMITTING  sink: fsync, the name, fsync of the directory
 *	  226
 *
 * Whatever happens, the name stands for the file as it was, or for the file as
 * it shall be. What comes to an early end leaves nothing behind.
 *
 * That holds for a file that is continued, too. APPE, and STOR behind REST n,
 * begin with a copy of the first n bytes (all, for APPE) in a file with a name
 * of its own. The kernel makes it, by reference on file systems that can; then
 * the sink goes on behind it. So a client that continues an upload either has
 * its bytes added, or finds the file as long as it was, and tries again
 * (docs/decisions/0015).
 *
 *	REST 300, STOR f    f:      |AAAAAAAAA|AAAA|     500 bytes
 *	                    .upload |AAAAAAAAA|BBBBBBBBBB…  becomes f
 *	                            0        300
 *
 * By FTP the end of the connection is the end of the file, and a client that
 * is killed closes its connections like one that is done. It closes both, then.
 * So an upload is whole when the data connection has ended, all that came is
 * in the file, and the control connection is still there after a moment: a
 * kernel closes the last connection first, and may do other things before the
 * next. Whoever said how long the file is (ALLO, RFC 959 4.1.3), and has sent
 * that, does not wait. An end that comes while the disk writes undoes the
 * upload, if the file has not its name yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "serve_ftp.h"

#define NAME_TRIES 16 /* random names that are all taken */
#define SETTLE_US  30000

struct ftp_upload {
	struct sink_user user;
	struct ftp_session *session;
	struct tow_sink *sink;
	bool ended;  /* all of it is in the file: to be committed */
	bool looked; /* whether the control connection's end came with it */
	uint64_t announced_bytes, settled_us;
	char path[FTP_PATH_MAX];
};

/* --- on a worker ------------------------------------------------------------
 */

/* @job->part is a file with a name that nobody has; -1 leaves why in errno. */
static int make_part(struct ftp_job *j)
{
	uint64_t number;
	int i, fd = -1;

	for (i = 0; fd < 0 && i < NAME_TRIES; i++) {
		if (tow_host_random(&number, sizeof(number)) != 0)
			break;
		snprintf(j->part, sizeof(j->part), ".upload-%016llx.tow",
			 (unsigned long long)number);
		fd = openat(j->dir_fd, j->part,
			    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0)
		j->part[0] = '\0';
	return fd;
}

static int copy_bytes(int from, int to, uint64_t bytes)
{
	while (bytes > 0) {
		size_t some = bytes < 1u << 30 ? (size_t)bytes : 1u << 30;
		ssize_t n = copy_file_range(from, NULL, to, NULL, some, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ESTALE; /* it became shorter meanwhile */
		bytes -= (uint64_t)n;
	}
	return 0;
}

/* Keep what is in front of j->offset. */
static int copy_beginning(struct ftp_job *j, const char *name)
{
	int from = openat(j->dir_fd, name,
			  O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int to = from < 0 ? -1 : make_part(j);
	int error = to < 0 ? -errno : copy_bytes(from, to, j->offset);

	if (to >= 0)
		close(to);
	if (from >= 0)
		close(from);
	return error;
}

static int look_at_target(struct ftp_job *j, const char *name)
{
	struct stat st = { 0 };

	if (fstatat(j->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		if (errno != ENOENT)
			return -errno;
	} else if (S_ISDIR(st.st_mode)) {
		return -EISDIR;
	} else if (!S_ISREG(st.st_mode)) {
		return -EEXIST; /* a link, a device: not to be replaced */
	}
	if (j->verb == FTP_APPE)
		j->offset = (uint64_t)st.st_size;
	if (j->offset > (uint64_t)st.st_size)
		return -ERANGE;
	return j->offset ? copy_beginning(j, name) : 0;
}

static void look_work(struct job *job)
{
	struct ftp_job *j = (struct ftp_job *)job;
	char name[NAME_MAX + 1];

	j->dir_fd = ftp_work_open_parent(j, j->path, name);
	j->error = j->dir_fd < 0 ? j->dir_fd : look_at_target(j, name);
}

/* --- the end ----------------------------------------------------------------
 */

void ftp_store_close(struct ftp_upload *u)
{
	tow_sink_abort(u->sink);
	free(u);
}

uint64_t ftp_store_bytes(const struct ftp_upload *u)
{
	struct tow_sink_info info;

	tow_sink_info(u->sink, &info);
	return info.progress_bytes;
}

bool ftp_store_waits(const struct ftp_upload *u)
{
	struct tow_sink_info info;

	tow_sink_info(u->sink, &info);
	return info.conn_waits;
}

static void fail(struct ftp_upload *u, int code, const char *text)
{
	ftp_session_moved(u->session, code, text);
}

/* --- what the sink says -----------------------------------------------------
 */

static uint64_t bytes_max(const struct ftp_session *s)
{
	return s->server->settings.upload_bytes_max;
}

/* One byte more than may come, to see that it does. */
void ftp_store_take(struct ftp_data *d)
{
	struct ftp_upload *u = d->upload;
	uint64_t max = bytes_max(u->session);

	if (tow_sink_take(u->sink, d->tcp, max ? max + 1 : TOW_SINK_NO_LIMIT) !=
	    0)
		fail(u, 426, "The data connection broke off.");
}

/* The room is there: now the client may send. */
static void sink_opened(struct ftp_upload *u)
{
	struct ftp_session *s = u->session;

	s->upload = NULL;
	if (!s->data) {
		ftp_session_enter(s, FTP_COMMAND);
		ftp_reply(s, 425, "The data connection is gone.");
		ftp_store_close(u);
	} else {
		ftp_session_move(s, s->verb, u->path);
		ftp_reply(s, 150, "Send it.");
		ftp_data_receive(s, u);
	}
	ftp_session_run(s);
}

/* Nothing comes any more: because it was all, or because it broke off. */
static void sink_ready(struct ftp_upload *u)
{
	struct tow_sink_info info;
	uint64_t max = bytes_max(u->session);

	tow_sink_info(u->sink, &info);
	if (max && info.taken_bytes > max)
		fail(u, 552, "That is more than may be stored here.");
	else if (info.conn_done)
		u->ended = true;
	else
		fail(u, 426, "The data connection broke off.");
}

static void sink_done(struct ftp_upload *u)
{
	struct ftp_counts *counts = &u->session->ftp->counts;
	struct tow_sink_info info;

	tow_sink_info(u->sink, &info);
	counts->uploads++;
	counts->received_bytes += info.taken_bytes;
	counts->placed_bytes += info.placed_bytes;
	ftp_session_moved(u->session, 226, "It is stored.");
}

static void sink_failed(struct ftp_upload *u, int error)
{
	struct ftp_session *s = u->session;
	int code = ftp_code_of_errno(error);
	char text[128];

	snprintf(text, sizeof(text), "%s.", strerror(-error));
	if (s->state == FTP_MOVING) {
		ftp_session_moved(s, code, text);
		return;
	}
	s->upload = NULL;
	ftp_store_close(u);
	ftp_session_enter(s, FTP_COMMAND);
	ftp_reply(s, code, "%s", text);
	ftp_session_run(s);
}

static void on_change(struct sink_user *user)
{
	struct ftp_upload *u = CONTAINER(user, struct ftp_upload, user);
	struct tow_sink_info info;

	tow_sink_info(u->sink, &info);
	if (info.state == TOW_SINK_FAILED)
		sink_failed(u, info.status);
	else if (info.state == TOW_SINK_DONE)
		sink_done(u);
	else if (info.state == TOW_SINK_READY && u->session->upload == u)
		sink_opened(u);
	else if (info.state == TOW_SINK_READY && !u->ended &&
		 u->session->data->state == DATA_RECEIVING)
		sink_ready(u);
}

/* Returns: the client has ended, or is ending, the control connection. */
static bool control_ends(struct ftp_session *s)
{
	struct tow_tcp_info info;

	(void)tow_poll(s->server->stack, tow_host_clock_us());
	tow_tcp_info(s->tcp, &info);
	return info.state != TOW_TCP_ESTABLISHED;
}

static bool is_as_announced(const struct ftp_upload *u)
{
	struct tow_sink_info info;

	tow_sink_info(u->sink, &info);
	return u->announced_bytes && info.taken_bytes == u->announced_bytes;
}

/* Returns: the control connection had time to end, too. */
static bool is_settled(struct ftp_upload *u)
{
	struct server *server = u->session->server;

	if (is_as_announced(u))
		return true;
	if (!u->settled_us)
		u->settled_us = server->now_us + SETTLE_US;
	if (server->now_us >= u->settled_us)
		return true;
	server_wake(server, u->settled_us);
	return false;
}

/*
 * The round is over, and whatever came with it was looked at. If that was the
 * end of the control connection, this is gone; if that has come since, or waits
 * in another queue of the device, the next round hears of it.
 */
void ftp_store_round(struct ftp_data *d)
{
	struct ftp_upload *u = d->upload;

	if (!u->ended || d->state != DATA_RECEIVING || !is_settled(u))
		return;
	if (!u->looked) {
		u->looked = true;
		if (control_ends(u->session))
			return;
	}
	d->state = DATA_STORING;
	if (tow_sink_commit(u->sink) != 0)
		fail(u, 451, "It cannot be stored.");
}

/* --- the beginning ----------------------------------------------------------
 */

static int open_sink(struct ftp_upload *u, struct ftp_job *j)
{
	char directory[FTP_PATH_MAX], name[NAME_MAX + 1];
	struct ftp_session *s = u->session;
	struct tow_sink_file file = {
		.dir_fd = j->dir_fd,
		.name = name,
		.part = j->part[0] ? j->part : NULL,
		.offset = j->offset,
		.bytes_expected = j->announced_bytes,
		.sync = TOW_SYNC_END,
	};
	int error;

	(void)ftp_path_split(j->path, directory, name);
	error = tow_sink_open(s->server->disk, &file, &u->user, &u->sink);
	if (!error)
		j->part[0] = '\0'; /* the sink's now */
	return error;
}

static void begin(struct ftp_session *s, struct ftp_job *j)
{
	struct ftp_upload *u = calloc(1, sizeof(*u));
	int error = u ? 0 : -ENOMEM;

	if (u) {
		u->user.changed = on_change;
		u->session = s;
		u->announced_bytes = j->announced_bytes;
		strcpy(u->path, j->path);
		error = open_sink(u, j);
	}
	if (error) {
		free(u);
		ftp_reply_errno(s, error);
		return;
	}
	s->upload = u;
	s->verb = j->verb;
	ftp_session_enter(s, FTP_WORKING);
}

static void then_store(struct ftp_session *s, struct ftp_job *j)
{
	if (j->error == -ERANGE)
		ftp_reply(s, 554, "The file is not so long.");
	else if (j->error)
		ftp_reply_errno(s, j->error);
	else
		begin(s, j);
}

void ftp_store_begin(struct ftp_session *s, enum ftp_verb verb,
		     const char *argument)
{
	uint64_t max = bytes_max(s);
	char path[FTP_PATH_MAX];
	struct ftp_job *j;

	if (ftp_path_is_directory(argument) ||
	    !ftp_path_resolve(s->working, argument, path)) {
		ftp_reply(s, 553, "No file can have that name.");
		return;
	}
	if (max && s->announced_bytes > max) {
		ftp_reply(s, 552, "That is more than may be stored here.");
		return;
	}
	j = ftp_job_new(s, path);
	if (!j) {
		ftp_reply_errno(s, -ENOMEM);
		return;
	}
	j->verb = verb;
	j->offset = s->rest;
	j->announced_bytes = s->announced_bytes;
	j->is_long = true;
	ftp_job_submit(j, look_work, then_store);
}
