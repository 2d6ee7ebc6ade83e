/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control connections: see the states in serve_ftp.h.
 *
 * Theory of operation. ftp_session_run() is called whenever something may have
 * become possible. It sends the replies that wait, and takes commands as long
 * as the state allows; a command is not begun before all replies to those in
 * front of it are with the stack, so a client that sends and never reads is
 * held up by its own window.
 *
 * The connection's end is the session's: "an unexpected close on the control
 * connection will cause the server to take the effective action of an abort
 * and a logout" (RFC 959 4.1.1). That is how an upload whose client was killed
 * is told from one that is complete, for both end with a FIN on the data
 * connection. A client that has said QUIT may close at once.
 */
#include "serve_ftp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- replies ----------------------------------------------------------------
 */

void ftp_reply_begin(struct ftp_session *s, int code)
{
	text_printf(&s->out, "%d ", code);
}

void ftp_reply_end(struct ftp_session *s)
{
	text_add(&s->out, "\r\n");
}

void ftp_reply(struct ftp_session *s, int code, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	ftp_reply_begin(s, code);
	text_add(&s->out, line);
	ftp_reply_end(s);
}

int ftp_code_of_errno(int error)
{
	switch (-error) {
	case ENOSPC:
	case EDQUOT:
		return 452;
	case EFBIG:
		return 552;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
	case EIO:
		return 451;
	default:
		return 550;
	}
}

/* Of a name that leads out nobody is told whether there is something. */
void ftp_reply_errno(struct ftp_session *s, int error)
{
	if (error == -EXDEV || error == -ELOOP)
		error = -EACCES;
	ftp_reply(s, ftp_code_of_errno(error), "%s.", strerror(-error));
}

/* False: the connection is over, or there is no memory for what is to say. */
static bool flush(struct ftp_session *s)
{
	size_t left = s->out.length - s->out_sent;
	int64_t n;

	if (!text_ok(&s->out) || left > FTP_REPLIES_MAX) {
		ftp_session_end(s, true);
		return false;
	}
	if (left == 0)
		return true;
	n = tow_tcp_send(s->tcp, s->out.bytes + s->out_sent, left, 0);
	if (n < 0 && n != TOW_EAGAIN && n != TOW_ENOBUFS) {
		ftp_session_end(s, true);
		return false;
	}
	s->out_sent += n > 0 ? (size_t)n : 0;
	if (s->out_sent == s->out.length) {
		text_clear(&s->out);
		s->out_sent = 0;
	}
	return true;
}

static bool all_is_sent(const struct ftp_session *s)
{
	return s->out.length == 0;
}

void ftp_session_log(struct ftp_session *s, const char *verb, const char *path,
		     int code, uint64_t bytes)
{
	struct server *server = s->server;
	struct text shown = { 0 };
	struct access_entry entry = {
		.peer = s->peer,
		.user = s->logged_in ? s->user : NULL,
		.method = verb,
		.protocol = "FTP",
		.status = code,
		.body_bytes = bytes,
	};

	if (!server->log)
		return;
	ftp_path_show(&shown, path);
	entry.target = text_ok(&shown) ? shown.bytes : "-";
	access_log_add(server->log, server->now, &entry);
	text_free(&shown);
}

/* --- life and death ---------------------------------------------------------
 */

static void on_event(struct handler *handler, const struct tow_event *event)
{
	struct ftp_session *s = CONTAINER(handler, struct ftp_session, handler);

	switch (event->type) {
	case TOW_EVENT_READABLE:
	case TOW_EVENT_WRITABLE:
		ftp_session_run(s);
		break;
	case TOW_EVENT_CLOSED:
		ftp_session_end(s, true);
		break;
	default:
		break;
	}
}

void ftp_session_add(struct ftp_server *ftp, struct tow_tcp *tcp)
{
	struct ftp_session *s = calloc(1, sizeof(*s));

	if (!s) {
		tow_tcp_abort(tcp);
		return;
	}
	s->handler.event = on_event;
	s->ftp = ftp;
	s->server = ftp->server;
	s->tcp = tcp;
	s->local = tow_tcp_local(tcp);
	s->remote = tow_tcp_remote(tcp);
	s->connected_us = ftp->server->now_us;
	s->type = 'A';
	s->facts = FTP_FACTS_ALL;
	strcpy(s->working, ".");
	list_init(&s->link);
	list_append(&ftp->sessions, &s->link);
	ftp->session_count++;
	tow_addr_format(&s->remote.addr, s->peer, sizeof(s->peer));
	tow_tcp_set_user(tcp, &s->handler);
	(void)tow_tcp_set(tcp, TOW_TCP_NODELAY, 1);
	ftp->counts.sessions++;
	ftp_session_enter(s, FTP_COMMAND);
	ftp_reply(s, 220, "tow serve: FTP, data connections are passive.");
	ftp_session_run(s);
}

void ftp_session_enter(struct ftp_session *s, enum ftp_state state)
{
	s->state = state;
	s->since_us = s->server->now_us;
}

/* Nothing more is taken; what is to be said is said, then comes our FIN. */
void ftp_session_finish(struct ftp_session *s)
{
	s->ends = true;
}

void ftp_session_end(struct ftp_session *s, bool hard)
{
	if (s->state == FTP_GONE)
		return;
	if (s->state == FTP_MOVING) {
		s->ftp->counts.broken_off++;
		ftp_session_log(s, ftp_verb_name(s->verb), s->path, 426,
				s->data ? ftp_data_moved_bytes(s->data) : 0);
	}
	if (s->data)
		ftp_data_end(s->data, true);
	if (s->upload)
		ftp_store_close(s->upload);
	s->upload = NULL;
	s->state = FTP_GONE;
	if (hard)
		tow_tcp_abort(s->tcp);
	else
		tow_tcp_close(s->tcp);
	s->tcp = NULL;
	s->ftp->session_count--;
	ftp_session_release(s);
}

void ftp_session_release(struct ftp_session *s)
{
	if (s->state != FTP_GONE || s->jobs)
		return;
	list_remove(&s->link);
	list_append(&s->ftp->dead, &s->link);
}

void ftp_session_free(struct ftp_session *s)
{
	list_remove(&s->link);
	text_free(&s->out);
	explicit_bzero(&s->reader, sizeof(s->reader));
	free(s);
}

/* --- input ------------------------------------------------------------------
 */

/* Some bytes in s->in, or false: none now, perhaps because it has ended. */
static bool take_input(struct ftp_session *s)
{
	struct tow_span span;
	int n;

	while (s->in_bytes == 0 && !s->peer_done) {
		n = tow_tcp_borrow(s->tcp, &span, 1);
		if (n == 0) {
			s->peer_done = true;
		} else if (n == 1) {
			s->in = span.ptr;
			s->in_bytes = span.len;
		} else {
			if (n != TOW_EAGAIN)
				ftp_session_end(s, true);
			return false;
		}
	}
	return s->in_bytes > 0;
}

static void consume(struct ftp_session *s, size_t bytes)
{
	s->in += bytes;
	s->in_bytes -= bytes;
	tow_tcp_return(s->tcp, bytes);
}

static void answer_telnet(struct ftp_session *s)
{
	text_add_bytes(&s->out, s->reader.answer, s->reader.answer_bytes);
	s->reader.answer_bytes = 0;
}

/* A whole line is in the reader, or false. */
static bool read_line(struct ftp_session *s)
{
	while (!s->reader.ready && take_input(s)) {
		consume(s, ftp_reader_feed(&s->reader, s->in, s->in_bytes));
		answer_telnet(s);
	}
	return s->reader.ready;
}

static void run_command(struct ftp_session *s, struct ftp_command *command,
			int problem)
{
	s->since_us = s->server->now_us;
	if (problem == 500 && s->reader.too_long)
		ftp_reply(s, 500, "The line is too long.");
	else if (problem == 500)
		ftp_reply(s, 500, "This is no command; HELP lists them.");
	else if (problem == 501)
		ftp_reply(s, 501, "The command wants an argument.");
	else if (problem == 502)
		ftp_reply(s, 502, "%s is not offered here.", command->name);
	else
		ftp_verbs_run(s, command);
	ftp_reader_next(&s->reader);
}

/* The control connection's end is the client's logout. */
static bool hear_end(struct ftp_session *s)
{
	if (s->state == FTP_GONE || !s->peer_done || s->in_bytes > 0)
		return false;
	ftp_session_end(s, s->state == FTP_MOVING);
	return false;
}

static bool take_command(struct ftp_session *s)
{
	struct ftp_command command;
	int problem;

	if (!read_line(s))
		return hear_end(s);
	problem = ftp_command_parse(&s->reader, &command);
	if (s->state == FTP_MOVING &&
	    (problem || !(command.flags & FTP_AT_ONCE)))
		return false; /* its turn comes when the transfer is over */
	run_command(s, &command, problem);
	return true;
}

/* Read on after our FIN, else a RST may overtake the last reply. */
static bool discard(struct ftp_session *s)
{
	struct tow_tcp_info info;

	if (take_input(s)) {
		consume(s, s->in_bytes);
		return true;
	}
	if (s->state != FTP_CLOSING)
		return false;
	tow_tcp_info(s->tcp, &info);
	if (s->peer_done && info.queued_bytes == 0)
		ftp_session_end(s, false);
	return false;
}

static bool begin_closing(struct ftp_session *s)
{
	if (s->data)
		ftp_data_end(s->data, true);
	(void)tow_tcp_shutdown(s->tcp);
	ftp_session_enter(s, FTP_CLOSING);
	return true;
}

static bool step(struct ftp_session *s)
{
	if (s->state == FTP_GONE || !flush(s) || !all_is_sent(s))
		return false;
	switch (s->state) {
	case FTP_COMMAND:
		return s->ends ? begin_closing(s) : take_command(s);
	case FTP_MOVING:
		return take_command(s);
	case FTP_CLOSING:
		return discard(s);
	case FTP_WORKING:
	case FTP_PAUSING:
	case FTP_GONE:
		break;
	}
	return false;
}

/* What a step calls may call us: then its loop goes on with that. */
void ftp_session_run(struct ftp_session *s)
{
	if (s->running)
		return;
	s->running = true;
	while (step(s))
		;
	s->running = false;
}

/* --- transfers --------------------------------------------------------------
 */

void ftp_session_move(struct ftp_session *s, enum ftp_verb verb,
		      const char *path)
{
	s->verb = verb;
	strcpy(s->path, path);
	ftp_session_enter(s, FTP_MOVING);
}

void ftp_session_moved(struct ftp_session *s, int code, const char *text)
{
	struct ftp_data *data = s->data;
	uint64_t bytes = data ? ftp_data_moved_bytes(data) : 0;

	if (data)
		ftp_data_end(data, code >= 400);
	if (code >= 400)
		s->ftp->counts.broken_off++;
	ftp_session_log(s, ftp_verb_name(s->verb), s->path, code, bytes);
	ftp_session_enter(s, FTP_COMMAND);
	ftp_reply(s, code, "%s", text);
	if (s->server->draining) {
		ftp_reply(s, 421, "The server ends; goodbye.");
		ftp_session_finish(s);
	}
	ftp_session_run(s);
}

/* --- limits -----------------------------------------------------------------
 */

/* What is asked for next is not waited for; a transfer may end. */
void ftp_session_drain(struct ftp_session *s)
{
	if (s->state != FTP_COMMAND || s->ends)
		return;
	ftp_reply(s, 421, "The server ends; goodbye.");
	ftp_session_finish(s);
	ftp_session_run(s);
}

static void time_out(struct ftp_session *s)
{
	if (!all_is_sent(s)) { /* nor has it read what it was told before */
		ftp_session_end(s, true);
		return;
	}
	ftp_reply(s, 421, "You were silent for too long; goodbye.");
	ftp_session_finish(s);
	ftp_session_run(s);
}

static void check_command(struct ftp_session *s, uint64_t waited_us)
{
	uint64_t connected_us = s->server->now_us - s->connected_us;

	if (waited_us >= s->ftp->settings.idle_s * 1000000 ||
	    (!s->logged_in && connected_us >= FTP_LOGIN_US))
		time_out(s);
	else
		ftp_session_run(s); /* room may be back that no event tells */
}

void ftp_session_check_limits(struct ftp_session *s)
{
	uint64_t now_us = s->server->now_us, waited_us = now_us - s->since_us;

	switch (s->state) {
	case FTP_COMMAND:
		check_command(s, waited_us);
		break;
	case FTP_PAUSING:
		if (now_us >= s->until_us)
			ftp_login_fail(s);
		break;
	case FTP_CLOSING:
		if (waited_us >= FTP_LINGER_US)
			ftp_session_end(s, false);
		break;
	case FTP_MOVING: /* the data connection has limits of its own */
	case FTP_WORKING:
	case FTP_GONE:
		break;
	}
}
