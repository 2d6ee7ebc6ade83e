/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

#include "file_send.h"
#include "http_message.h"
#include "http_reply.h"
#include "http_target.h"
#include "serve.h"

/*
 * HTTP in the file server.
 *
 *	serve_conn.c     a connection: input, states, time limits, its end
 *	serve_request.c  what a request asks for, and how it is answered
 *	serve_open.c     finding and opening files (on workers)
 *	serve_send.c     responses on their way out
 *	serve_put.c      uploads
 */

/* Limits, so that no client can take more than its share. */
#define SERVE_HEAD_US	   10000000 /* for a whole head to arrive */
#define SERVE_IDLE_US	   30000000 /* between requests */
#define SERVE_LINGER_US	   2000000  /* for the peer's FIN after ours */
#define SERVE_REQUESTS_MAX 10000    /* per connection */
#define SERVE_HOLD_MAX	   524288   /* bytes of an upload not yet written */
#define SERVE_BACKLOG	   1024	    /* connections that wait to be accepted */

struct http_server {
	struct service service;
	struct server *server;
	struct handler handler; /* of the listener's events */
	struct tow_listener *listener;
	struct list conns; /* of struct conn, in the order of their accepting */
	struct list dead;  /* nothing refers to them any more */
	unsigned conn_count;
	bool accept_waits; /* connections were left in the backlog */
	uint64_t boundary; /* random, for multipart/byteranges */
};

/*
 * Connection states. In each, one side owes the next move; input is read only
 * in states that say so, so that a client that sends ahead is held up by its
 * window.
 *
 *	  accept                     done, keep-alive
 *	    |    +----------------------------------------+
 *	    v    v                                        |
 *	  READING --> OPENING --------------------------> SENDING --> CLOSING
 *	              (a worker) \                        ^
 *	                          +--> RECEIVING --> FINISHING
 *	                               (an upload)   (a worker)
 *	  any ----> GONE ----> freed, when no loan and no job refers to it
 */
enum conn_state {
	CONN_READING, /* reads a head, or idles before the next; reads input */
	CONN_OPENING, /* a worker opens what the request names */
	CONN_RECEIVING, /* takes the body of a PUT; reads input, or posts */
	CONN_FINISHING, /* the disk makes the upload durable */
	CONN_SENDING,	/* the plan goes out, as fast as there is room */
	CONN_CLOSING,	/* our FIN is sent, theirs awaited; discards input */
	CONN_GONE,	/* the handle is closed; loans or jobs are still out */
};

struct conn {
	struct handler handler;
	struct list link; /* in http->conns or http->dead */
	struct http_server *http;
	struct server *server;
	struct tow_tcp *tcp; /* NULL once closed */
	enum conn_state state;
	char peer[TOW_ADDR_TEXT_MAX];

	/* Input: what is left of the span that was borrowed last. */
	const uint8_t *in;
	size_t in_bytes;
	bool peer_done; /* its FIN was read */
	struct http_message request;
	unsigned requests;

	/* Output. */
	struct http_reply reply;
	struct http_plan plan;
	unsigned part;	    /* of the plan, being sent */
	uint64_t part_sent; /* bytes of it */
	struct file_sender file;
	uint64_t queued_bytes; /* on this connection, ever */
	bool answering; /* a request is being answered: log it at its end */
	uint64_t answered_from; /* queued_bytes when its answer began */

	unsigned jobs; /* of workers that know us */
	struct upload *upload;
	bool ends_hard; /* GONE: with a RST */

	uint64_t since_us; /* in this state, or of the last progress */
	uint64_t mark;	   /* bytes that had moved at since_us */
};

/* serve_conn.c */
void http_server_init(struct http_server *http, struct server *server,
		      uint16_t port, uint64_t boundary);
void conn_run(struct conn *conn);
void conn_enter(struct conn *conn, enum conn_state state);
void conn_finish(struct conn *conn); /* nothing more will be sent */
void conn_end(struct conn *conn, bool hard);
void conn_release(struct conn *conn); /* a job or a loan came back */
bool conn_take_input(struct conn *conn);
uint64_t conn_acked_bytes(const struct conn *conn);

/* serve_request.c */
void request_begin(struct conn *conn);
void request_answer(struct conn *conn, int status); /* with a short page */
void request_log(struct conn *conn);
void request_base(struct conn *conn, int status); /* fill conn->reply */
void request_answer_file(struct conn *conn, struct file_map *map,
			 const char *name); /* takes the map's user */
struct http_conditions request_conditions(const struct http_message *request);

/* serve_open.c */
void open_target(struct conn *conn, const struct http_target *target);
int status_of_errno(int error);

/* serve_send.c */
void send_begin(struct conn *conn);
bool send_plan(struct conn *conn);
void send_stop(struct conn *conn);

/* serve_put.c */
void upload_begin(struct conn *conn, const struct http_target *target);
bool upload_receive(struct conn *conn);
void upload_abandon(struct conn *conn);
bool upload_holds_input(const struct conn *conn);
bool upload_waits(const struct conn *conn); /* for our disk */
uint64_t upload_progress(const struct conn *conn);

#endif
