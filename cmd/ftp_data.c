/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Data connections, and what goes out by them.
 *
 * Theory of operation. PASV or EPSV opens a listener on a random port of the
 * range. The first connection from the control connection's peer is taken, and
 * the listener closed; one from anywhere else is reset (RFC 2577 4: whoever
 * guesses the port shall not get the file). So the port is the transfer's
 * alone, which is what the device wants for placing an upload.
 *
 *	command's file is open  ----+
 *	                            +--> start: RETR, LIST  SENDING, FLUSHING
 *	connection is there     ----+           STOR        RECEIVING, STORING
 *
 * Which of the two comes first is the client's choice, so each looks for the
 * other. 226 is said when the client has acknowledged every byte, not when
 * they are queued: the loans are back then, and the client can rely on it.
 *
 * A struct ftp_data outlives its connection for as long as pages of its file
 * or the text of its listing are out.
 */
#include <stdlib.h>
#include <string.h>
#include "serve_ftp.h"

#define TEXT_TOKEN 1 /* no struct lies at such an address */

/* --- sending ----------------------------------------------------------------
 */

static uint64_t acked_bytes(const struct ftp_data *d)
{
	struct tow_tcp_info info;

	if (!d->tcp)
		return d->queued_bytes;
	tow_tcp_info(d->tcp, &info);
	return info.queued_bytes > d->queued_bytes
		       ? 0
		       : d->queued_bytes - info.queued_bytes;
}

uint64_t ftp_data_moved_bytes(const struct ftp_data *d)
{
	return d->upload ? ftp_store_bytes(d->upload) : acked_bytes(d);
}

bool ftp_data_is_open(const struct ftp_data *d)
{
	return d->tcp;
}

static void enter(struct ftp_data *d, enum ftp_data_state state)
{
	d->state = state;
	d->since_us = d->ftp->server->now_us;
	d->mark = ftp_data_moved_bytes(d);
}

void ftp_data_fail(struct ftp_data *d, int code, const char *text)
{
	if (d->session->state == FTP_MOVING)
		ftp_session_moved(d->session, code, text);
	else
		ftp_data_end(d, true);
}

static bool is_flushed(const struct ftp_data *d)
{
	return d->state == DATA_FLUSHING && d->text_loans == 0 &&
	       !file_send_lends(&d->file) && acked_bytes(d) == d->queued_bytes;
}

static void check_flushed(struct ftp_data *d)
{
	if (!is_flushed(d))
		return;
	d->ftp->counts.sent_bytes += d->queued_bytes;
	ftp_session_moved(d->session, 226, "That was all.");
}

/* A listing is lent like a file, so that its end is heard of by an event. */
static int64_t send_text(struct ftp_data *d)
{
	struct tow_span span = { d->text.bytes, d->text.length };
	int error = tow_tcp_lend(d->tcp, &span, 1, TEXT_TOKEN, 0);

	if (error)
		return error;
	d->text_loans++;
	return (int64_t)span.len;
}

static int64_t send_some(struct ftp_data *d)
{
	if (d->task == TASK_TEXT)
		return send_text(d);
	return file_send(&d->file, d->tcp, d->offset + d->queued_bytes,
			 d->bytes - d->queued_bytes, false);
}

static void push(struct ftp_data *d)
{
	int64_t n = d->queued_bytes < d->bytes ? send_some(d) : 0;

	if (n < 0 && n != TOW_EAGAIN && n != TOW_ENOBUFS) {
		ftp_data_fail(d, 426,
			      n == TOW_EIO ? "The file became shorter."
					   : "The data connection broke off.");
		return;
	}
	d->queued_bytes += n > 0 ? (uint64_t)n : 0;
	if (d->queued_bytes < d->bytes)
		return;
	(void)tow_tcp_shutdown(d->tcp);
	enter(d, DATA_FLUSHING);
	file_send_stop(&d->file);
	check_flushed(d);
}

/* Both the connection and what to do with it are there. */
static void start(struct ftp_data *d)
{
	if (d->task == TASK_STORE) {
		enter(d, DATA_RECEIVING);
		ftp_store_take(d);
	} else {
		enter(d, DATA_SENDING);
		push(d);
	}
}

static void begin_task(struct ftp_data *d, enum ftp_task task)
{
	d->task = task;
	enter(d, DATA_WAITING);
	if (d->tcp)
		start(d);
}

void ftp_data_send_file(struct ftp_session *s, struct file_map *map,
			uint64_t offset)
{
	struct ftp_data *d = s->data;

	d->file.map = map;
	d->offset = offset;
	d->bytes = map->size - offset;
	begin_task(d, TASK_FILE);
}

void ftp_data_send_text(struct ftp_session *s, struct text *text)
{
	struct ftp_data *d = s->data;

	d->text = *text;
	*text = (struct text){ 0 };
	d->bytes = d->text.length;
	begin_task(d, TASK_TEXT);
}

void ftp_data_receive(struct ftp_session *s, struct ftp_upload *upload)
{
	s->data->upload = upload;
	begin_task(s->data, TASK_STORE);
}

/* --- the connection's events ------------------------------------------------
 */

static void resume_sending(struct file_sender *sender)
{
	struct ftp_data *d = CONTAINER(sender, struct ftp_data, file);

	if (d->state == DATA_SENDING)
		push(d);
}

static void loan_returned(struct file_sender *sender)
{
	struct ftp_data *d = CONTAINER(sender, struct ftp_data, file);

	check_flushed(d);
	ftp_data_release(d);
}

static void end_loan(struct ftp_data *d, uint64_t token)
{
	if (token != TEXT_TOKEN) {
		file_send_loan_ended(token);
		return;
	}
	d->text_loans--;
	check_flushed(d);
	ftp_data_release(d);
}

/* Before a command came, the client may come again by another PASV. */
static void hear_closed(struct ftp_data *d)
{
	if (d->state == DATA_GONE)
		return;
	if (d->state == DATA_RECEIVING || d->state == DATA_STORING)
		return; /* the sink tells */
	ftp_data_fail(d, 426, "The data connection broke off.");
}

static void on_event(struct handler *handler, const struct tow_event *event)
{
	struct ftp_data *d = CONTAINER(handler, struct ftp_data, handler);

	switch (event->type) {
	case TOW_EVENT_LOAN:
		end_loan(d, event->token);
		break;
	case TOW_EVENT_READABLE: /* its FIN, which acknowledges all */
		check_flushed(d);
		break;
	case TOW_EVENT_WRITABLE:
		if (d->state == DATA_SENDING)
			push(d);
		break;
	case TOW_EVENT_CLOSED:
		hear_closed(d);
		break;
	default:
		break;
	}
}

/* --- listening --------------------------------------------------------------
 */

static void stop_listening(struct ftp_data *d)
{
	if (d->listener)
		tow_listener_close(d->listener);
	d->listener = NULL;
}

static bool is_ours(const struct ftp_data *d, const struct tow_tcp *tcp)
{
	struct tow_endpoint remote = tow_tcp_remote(tcp);

	return tow_addr_equal(&remote.addr, &d->session->remote.addr);
}

static void take_connection(struct ftp_data *d, struct tow_tcp *tcp)
{
	d->tcp = tcp;
	clients_add(d->ftp->server->clients, &d->session->remote.addr, tcp);
	tow_tcp_set_user(tcp, &d->handler);
	stop_listening(d);
	if (d->task != TASK_NONE)
		start(d);
}

static void on_listener_event(struct handler *handler,
			      const struct tow_event *event)
{
	struct ftp_data *d = CONTAINER(handler, struct ftp_data, listening);
	struct tow_tcp *tcp;

	if (event->type != TOW_EVENT_ACCEPT)
		return;
	while (d->listener && tow_tcp_accept(d->listener, &tcp) == 0) {
		if (is_ours(d, tcp))
			take_connection(d, tcp);
		else
			tow_tcp_abort(tcp);
	}
}

/* A random port of the range, or the next one above it that is free. */
static int listen_somewhere(struct ftp_data *d, struct tow_endpoint *at)
{
	const struct ftp_settings *set = &d->ftp->settings;
	uint64_t count = set->port_last - set->port_first + 1, i;
	uint32_t first;
	int error = tow_host_random(&first, sizeof(first));

	for (i = 0; !error && i < count; i++) {
		at->port = (uint16_t)(set->port_first + (first + i) % count);
		error = tow_tcp_listen(d->ftp->server->stack, at, 4,
				       &d->listener);
		if (error != TOW_EADDRINUSE)
			return error;
		error = 0;
	}
	return error ? error : TOW_EADDRINUSE;
}

int ftp_data_listen(struct ftp_session *s, uint16_t *port)
{
	struct ftp_data *d = calloc(1, sizeof(*d));
	struct tow_endpoint at = s->local;
	int error;

	if (s->data)
		ftp_data_end(s->data, true);
	if (!d)
		return TOW_ENOMEM;
	d->handler.event = on_event;
	d->listening.event = on_listener_event;
	d->ftp = s->ftp;
	error = listen_somewhere(d, &at);
	if (!error)
		error = sign_listener(d->ftp->server->sign, d->listener);
	if (error) {
		if (d->listener)
			tow_listener_close(d->listener);
		free(d);
		return error;
	}
	tow_listener_set_user(d->listener, &d->listening);
	file_send_begin(&d->file, s->server);
	d->file.resume = resume_sending;
	d->file.returned = loan_returned;
	list_init(&d->link);
	list_append(&s->ftp->datas, &d->link);
	d->session = s;
	s->data = d;
	enter(d, DATA_WAITING);
	*port = at.port;
	return 0;
}

/* --- its end ----------------------------------------------------------------
 */

void ftp_data_end(struct ftp_data *d, bool hard)
{
	d->session->data = NULL;
	d->session = NULL;
	d->state = DATA_GONE;
	stop_listening(d);
	file_send_stop(&d->file);
	if (d->upload)
		ftp_store_close(d->upload);
	d->upload = NULL;
	if (d->tcp && hard)
		tow_tcp_abort(d->tcp);
	else if (d->tcp)
		tow_tcp_close(d->tcp);
	d->tcp = NULL;
	ftp_data_release(d);
}

void ftp_data_release(struct ftp_data *d)
{
	if (d->state != DATA_GONE || d->text_loans || file_send_lends(&d->file))
		return;
	list_remove(&d->link);
	list_append(&d->ftp->dead_datas, &d->link);
}

/* --- limits -----------------------------------------------------------------
 */

static void check_waiting(struct ftp_data *d)
{
	uint64_t waited_us = d->ftp->server->now_us - d->since_us;

	if (d->task != TASK_NONE && waited_us >= FTP_ACCEPT_US)
		ftp_data_fail(d, 425, "You did not connect.");
}

static void check_moving(struct ftp_data *d, bool waits_for_us)
{
	struct server *server = d->ftp->server;

	if (waits_for_us)
		d->since_us = server->now_us;
	else if (!serve_moves(server, ftp_data_moved_bytes(d), &d->mark,
			      &d->since_us))
		ftp_data_fail(d, 426, "Nothing moved for too long.");
}

void ftp_data_check_limits(struct ftp_data *d)
{
	switch (d->state) {
	case DATA_WAITING:
		check_waiting(d);
		break;
	case DATA_SENDING:
		check_moving(d, file_send_waits(&d->file));
		if (d->state == DATA_SENDING)
			push(d); /* room may be back that no event tells */
		break;
	case DATA_FLUSHING:
		check_moving(d, false);
		if (d->state == DATA_FLUSHING)
			check_flushed(d);
		break;
	case DATA_RECEIVING:
		check_moving(d, ftp_store_waits(d->upload));
		break;
	case DATA_STORING:
	case DATA_GONE:
		break;
	}
}
