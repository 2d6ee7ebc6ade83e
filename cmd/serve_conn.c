/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections: see the states in serve.h.
 *
 * Theory of operation. conn_run() is called whenever something may have become
 * possible: input, room to send, a worker that is done. It runs the function
 * of the state until that says there is nothing more to do now. Functions
 * change the state by conn_enter() and end the connection by conn_end(); the
 * struct lives on until server_reap(), so that no caller up the stack is left
 * with a dangling pointer.
 *
 * Input is borrowed a span at a time. What is not needed yet, for instance the
 * next request of a pipeline, stays borrowed, which keeps the window closed.
 *
 * Time limits are looked at every NODE_TICK_US. Each state has one question:
 * how long may this client keep us waiting?
 */
#include "serve_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- life and death ---------------------------------------------------------
 */

static void on_event(struct handler *handler, const struct tow_event *event)
{
	struct conn *c = CONTAINER(handler, struct conn, handler);

	switch (event->type) {
	case TOW_EVENT_READABLE:
	case TOW_EVENT_WRITABLE:
		conn_run(c);
		break;
	case TOW_EVENT_CLOSED:
		conn_end(c, true);
		break;
	case TOW_EVENT_LOAN:
		file_send_loan_ended(event->token);
		break;
	default:
		break;
	}
}

static void resume_sending(struct file_sender *sender)
{
	conn_run(CONTAINER(sender, struct conn, file));
}

static void loan_returned(struct file_sender *sender)
{
	conn_release(CONTAINER(sender, struct conn, file));
}

static void add_conn(struct http_server *http, struct tow_tcp *tcp)
{
	struct tow_endpoint peer = tow_tcp_remote(tcp);
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		tow_tcp_abort(tcp);
		return;
	}
	c->handler.event = on_event;
	c->http = http;
	c->server = http->server;
	c->tcp = tcp;
	file_send_begin(&c->file, c->server);
	c->file.resume = resume_sending;
	c->file.returned = loan_returned;
	list_init(&c->link);
	list_append(&http->conns, &c->link);
	http->conn_count++;
	tow_addr_format(&peer.addr, c->peer, sizeof(c->peer));
	clients_add(http->server->clients, &peer.addr, tcp);
	tow_tcp_set_user(tcp, &c->handler);
	(void)tow_tcp_set(tcp, TOW_TCP_NODELAY, 1);
	http_message_begin(&c->request, HTTP_REQUEST);
	conn_enter(c, CONN_READING);
	conn_run(c);
}

static bool is_idle(const struct conn *c)
{
	return c->state == CONN_READING && !c->request.started;
}

/* Make room for a newcomer: the connection that idles longest goes. */
static bool evict_idle(struct http_server *http)
{
	struct conn *oldest = NULL;

	LIST_EACH (node, &http->conns) {
		struct conn *c = CONTAINER(node, struct conn, link);

		if (is_idle(c) && c->requests > 0 &&
		    (!oldest || c->since_us < oldest->since_us))
			oldest = c;
	}
	if (!oldest)
		return false;
	conn_end(oldest, conn_acked_bytes(oldest) < oldest->queued_bytes);
	return true;
}

static void accept_conns(struct http_server *http)
{
	struct tow_tcp *tcp;

	http->accept_waits = false;
	while (http->listener) {
		if (http->conn_count >=
			    http->server->settings.connections_max &&
		    !evict_idle(http)) {
			http->accept_waits = true;
			return;
		}
		if (tow_tcp_accept(http->listener, &tcp) != 0)
			return;
		add_conn(http, tcp);
	}
}

void conn_enter(struct conn *c, enum conn_state state)
{
	c->state = state;
	c->since_us = c->server->now_us;
	c->mark = state == CONN_RECEIVING ? upload_progress(c)
					  : conn_acked_bytes(c);
}

/*
 * Say goodbye, and watch over what is still queued: a peer that stops reading
 * must not keep our pages for ever.
 */
void conn_finish(struct conn *c)
{
	(void)tow_tcp_shutdown(c->tcp);
	conn_enter(c, CONN_CLOSING);
}

/*
 * Be done with a connection. Bytes that a worker is writing to a file lie in
 * the stack's buffers, which closing would take away: then it waits for that.
 */
void conn_end(struct conn *c, bool hard)
{
	if (c->state == CONN_GONE)
		return;
	request_log(c);
	send_stop(c);
	c->state = CONN_GONE;
	c->ends_hard = hard;
	upload_abandon(c);
	conn_release(c);
}

void conn_release(struct conn *c)
{
	struct http_server *http = c->http;

	if (c->state != CONN_GONE || upload_holds_input(c))
		return;
	if (c->tcp) {
		if (c->ends_hard)
			tow_tcp_abort(c->tcp);
		else
			tow_tcp_close(c->tcp);
		c->tcp = NULL;
		http->conn_count--;
	}
	if (file_send_lends(&c->file) || c->jobs)
		return;
	list_remove(&c->link);
	list_append(&http->dead, &c->link);
}

/* --- input ------------------------------------------------------------------
 */

/* Some bytes in c->in, or false: none now, perhaps because it has ended. */
bool conn_take_input(struct conn *c)
{
	struct tow_span span;
	int n;

	while (c->in_bytes == 0 && !c->peer_done) {
		n = tow_tcp_borrow(c->tcp, &span, 1);
		if (n == 0) {
			c->peer_done = true;
		} else if (n == 1) {
			c->in = span.ptr;
			c->in_bytes = span.len;
		} else {
			if (n != TOW_EAGAIN)
				conn_end(c, true);
			return false;
		}
	}
	return c->in_bytes > 0;
}

static void consume(struct conn *c, size_t bytes)
{
	c->in += bytes;
	c->in_bytes -= bytes;
	tow_tcp_return(c->tcp, bytes);
}

/* The line feed that ends a head stayed behind; take it if nothing follows. */
static void finish_head(struct conn *c)
{
	size_t used;

	if (c->request.has_body)
		return;
	(void)http_message_feed(&c->request, c->in, c->in_bytes, &used);
	consume(c, used);
}

static bool read_head(struct conn *c)
{
	enum http_progress progress;
	bool fresh = !c->request.started;
	size_t used;

	if (!conn_take_input(c)) {
		if (c->state != CONN_READING || !c->peer_done)
			return false;
		conn_finish(c);
		return true;
	}
	progress = http_message_feed(&c->request, c->in, c->in_bytes, &used);
	consume(c, used);
	if (fresh && c->request.started)
		c->since_us = c->server->now_us;
	if (progress == HTTP_HEAD_READY) {
		finish_head(c);
		request_begin(c);
	} else if (progress == HTTP_BAD) {
		c->answering = true;
		request_answer(c, c->request.status);
	}
	return true;
}

/* RFC 9112 9.6: read on after our FIN, else a RST may overtake the answer. */
static bool discard(struct conn *c)
{
	if (conn_take_input(c)) {
		consume(c, c->in_bytes);
		return true;
	}
	if (c->state == CONN_CLOSING && c->peer_done &&
	    conn_acked_bytes(c) == c->queued_bytes)
		conn_end(c, false);
	return false;
}

void conn_run(struct conn *c)
{
	bool more = true;

	while (more) {
		switch (c->state) {
		case CONN_READING:
			more = read_head(c);
			break;
		case CONN_RECEIVING:
			more = upload_receive(c);
			break;
		case CONN_SENDING:
			more = send_plan(c);
			break;
		case CONN_CLOSING:
			more = discard(c);
			break;
		case CONN_OPENING:
		case CONN_FINISHING:
		case CONN_GONE:
			more = false;
			break;
		}
	}
}

/* --- time limits
 * --------------------------------------------------------------- */

uint64_t conn_acked_bytes(const struct conn *c)
{
	struct tow_tcp_info info;

	if (!c->tcp)
		return c->queued_bytes;
	tow_tcp_info(c->tcp, &info);
	return info.queued_bytes > c->queued_bytes
		       ? 0
		       : c->queued_bytes - info.queued_bytes;
}

/* True when @bytes is so much more than before that waiting goes on. */
static bool makes_progress(struct conn *c, uint64_t bytes)
{
	return serve_moves(c->server, bytes, &c->mark, &c->since_us);
}

static void check_reading(struct conn *c)
{
	uint64_t waited_us = c->server->now_us - c->since_us;
	bool begun = c->request.started;

	if (waited_us <
	    (begun || c->requests == 0 ? SERVE_HEAD_US : SERVE_IDLE_US))
		return;
	if (begun) {
		c->answering = true;
		request_answer(c, 408);
	} else {
		conn_finish(c);
	}
	conn_run(c);
}

/* All is acknowledged but the FIN: give the peer a little time for its own. */
static void check_closing(struct conn *c)
{
	uint64_t acked = conn_acked_bytes(c);

	if (acked < c->queued_bytes) {
		if (!makes_progress(c, acked))
			conn_end(c, true);
		return;
	}
	if (c->mark != acked) {
		c->mark = acked;
		c->since_us = c->server->now_us;
	}
	if (c->peer_done || c->server->now_us - c->since_us >= SERVE_LINGER_US)
		conn_end(c, false);
}

static void check_sending(struct conn *c)
{
	if (file_send_waits(&c->file)) { /* for our disk, not for the peer */
		c->since_us = c->server->now_us;
		return;
	}
	if (!makes_progress(c, conn_acked_bytes(c)))
		conn_end(c, true);
	else
		conn_run(c); /* room may be back that no event announces */
}

static void check_receiving(struct conn *c)
{
	if (upload_waits(c))
		c->since_us = c->server->now_us;
	else if (!makes_progress(c, upload_progress(c)))
		conn_end(c, true);
}

static void check_limits(struct conn *c)
{
	switch (c->state) {
	case CONN_READING:
		check_reading(c);
		break;
	case CONN_RECEIVING:
		check_receiving(c);
		break;
	case CONN_SENDING:
		check_sending(c);
		break;
	case CONN_CLOSING:
		check_closing(c);
		break;
	case CONN_OPENING:
	case CONN_FINISHING:
	case CONN_GONE:
		break;
	}
}

/* --- the service ------------------------------------------------------------
 */

static struct http_server *http_of(struct service *service)
{
	return CONTAINER(service, struct http_server, service);
}

static void on_listener_event(struct handler *handler,
			      const struct tow_event *event)
{
	if (event->type == TOW_EVENT_ACCEPT)
		accept_conns(CONTAINER(handler, struct http_server, handler));
}

static int start_listening(struct service *service)
{
	struct http_server *http = http_of(service);

	return serve_listen(http->server, service, SERVE_BACKLOG,
			    &http->handler, &http->listener);
}

static void tick(struct service *service)
{
	LIST_EACH (node, &http_of(service)->conns)
		check_limits(CONTAINER(node, struct conn, link));
}

/* Does a connection send, or did it lend, pages of a file that is broken? */
static void check_maps(struct service *service, uint64_t age_us)
{
	LIST_EACH (node, &http_of(service)->conns) {
		struct conn *c = CONTAINER(node, struct conn, link);

		if (c->state != CONN_GONE && !file_send_check(&c->file, age_us))
			conn_end(c, true);
	}
}

static void reap(struct service *service)
{
	struct http_server *http = http_of(service);

	LIST_EACH (node, &http->dead) {
		struct conn *c = CONTAINER(node, struct conn, link);

		list_remove(&c->link);
		http_message_free(&c->request);
		http_plan_free(&c->plan);
		free(c);
	}
	if (http->accept_waits &&
	    http->conn_count < http->server->settings.connections_max)
		accept_conns(http);
}

static void drain(struct service *service)
{
	struct http_server *http = http_of(service);

	serve_listen_end(&http->listener);
	LIST_EACH (node, &http->conns) {
		struct conn *c = CONTAINER(node, struct conn, link);

		if (is_idle(c)) {
			conn_finish(c);
			conn_run(c);
		}
	}
}

static bool is_busy(const struct service *service)
{
	return !list_empty(
		&CONTAINER(service, const struct http_server, service)->conns);
}

static void end_conns(struct service *service)
{
	struct http_server *http = http_of(service);

	serve_listen_end(&http->listener);
	LIST_EACH (node, &http->conns)
		conn_end(CONTAINER(node, struct conn, link), true);
}

static void close_service(struct service *service)
{
	LIST_EACH (node, &http_of(service)->conns)
		file_send_end_loans(&CONTAINER(node, struct conn, link)->file);
	reap(service);
}

void http_server_init(struct http_server *http, struct server *server,
		      uint16_t port, uint64_t boundary)
{
	*http = (struct http_server){
		.service = {
			.scheme = "http",
			.port = port,
			.port_usual = 80,
			.listen = start_listening,
			.tick = tick,
			.check_maps = check_maps,
			.reap = reap,
			.drain = drain,
			.busy = is_busy,
			.end = end_conns,
			.close = close_service,
		},
		.handler.event = on_listener_event,
		.server = server,
		.boundary = boundary,
	};
	list_init(&http->conns);
	list_init(&http->dead);
}
