/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Responses on their way out.
 *
 * Theory of operation. A plan (http_reply.h) is a list of parts. Text is
 * copied once, because it is short and made for this response. A file's part
 * goes block by block:
 *
 *	file_map_check()      is the file still as long as it was?
 *	file_map_resident()   are its pages there? else wait for a worker
 *	tow_tcp_lend()        the pages themselves, with a struct loan as token
 *
 * Lending goes on until the stack says that enough is queued. Each loan holds
 * the map until the stack gives it back, so a connection may be three requests
 * ahead, or gone, while pages of an earlier file are still being acknowledged.
 *
 * A Content-Length was promised, so when a file turns out to be shorter the
 * only honest end is a reset: the client knows that it has not got the whole.
 */
#include "serve.h"

#include <stdlib.h>

#define CHECK_AGE_US 1000 /* a look at the file's length holds this long */

enum sent {
	SENT_PART,   /* go on with the next */
	SENT_SOME,   /* the stack has enough, or a block is not there yet */
	SENT_FAILED, /* the connection was ended */
};

/* --- loans ------------------------------------------------------------------
 */

static struct loan *take_loan(struct conn *c)
{
	struct server *server = c->server;
	struct loan *loan = server->free_loans;

	if (loan)
		server->free_loans = loan->next;
	else
		loan = malloc(sizeof(*loan));
	if (!loan)
		return NULL;
	*loan = (struct loan){ c->loans, c, c->map };
	c->loans = loan;
	file_map_ref(c->map);
	return loan;
}

static void unlink_loan(struct loan *loan)
{
	struct loan **at = &loan->conn->loans;

	while (*at != loan)
		at = &(*at)->next;
	*at = loan->next;
}

void loan_ended(struct server *server, struct loan *loan)
{
	struct conn *c = loan->conn;

	unlink_loan(loan);
	file_map_give(loan->map, server->now_us);
	loan->next = server->free_loans;
	server->free_loans = loan;
	conn_release(c);
}

/* --- parts ------------------------------------------------------------------
 */

static bool is_last(const struct conn *c, uint64_t bytes)
{
	return c->part + 1 == c->plan.part_count &&
	       c->part_sent + bytes == c->plan.parts[c->part].bytes;
}

static unsigned more_flag(const struct conn *c, uint64_t bytes)
{
	return is_last(c, bytes) ? 0 : TOW_TCP_MORE;
}

static enum sent account(struct conn *c, int64_t result, uint64_t wanted)
{
	if (result < 0) {
		if (result == TOW_EAGAIN || result == TOW_ENOBUFS)
			return SENT_SOME;
		conn_end(c, true);
		return SENT_FAILED;
	}
	c->part_sent += (uint64_t)result;
	c->queued_bytes += (uint64_t)result;
	return (uint64_t)result < wanted ? SENT_SOME : SENT_PART;
}

static enum sent send_text(struct conn *c, const struct http_part *part)
{
	uint64_t left = part->bytes - c->part_sent;
	const char *from = c->plan.text.bytes + part->first + c->part_sent;

	return account(c, tow_tcp_send(c->tcp, from, left, more_flag(c, left)),
		       left);
}

static enum sent lend_piece(struct conn *c, const uint8_t *from, uint64_t bytes)
{
	struct tow_span span = { from, bytes };
	struct loan *loan = take_loan(c);
	int error;

	if (!loan)
		return SENT_SOME;
	error = tow_tcp_lend(c->tcp, &span, 1, (uintptr_t)loan,
			     more_flag(c, bytes));
	if (error)
		loan_ended(c->server, loan);
	return account(c, error ? error : (int64_t)bytes, bytes);
}

/*
 * Reading a page that was truncated away raises no signal but a flag; of the
 * page that the new end lies in, the file's length tells afterwards.
 */
static enum sent copy_piece(struct conn *c, const uint8_t *from, uint64_t bytes)
{
	int64_t n = tow_tcp_send(c->tcp, from, bytes, more_flag(c, bytes));

	if (!file_map_check(c->map, c->server->now_us, 0)) {
		conn_end(c, true); /* the zeros are queued, and go with it */
		return SENT_FAILED;
	}
	return account(c, n, bytes);
}

static void wait_for_block(struct conn *c)
{
	list_remove(&c->waiting);
	list_append(&c->map->waiters, &c->waiting);
}

static enum sent send_piece(struct conn *c, const struct http_part *part)
{
	struct server *server = c->server;
	uint64_t at = part->first + c->part_sent;
	uint64_t left = part->bytes - c->part_sent;
	uint64_t to_border = FILE_BLOCK_BYTES - at % FILE_BLOCK_BYTES;
	uint64_t bytes = left < to_border ? left : to_border;

	if (!file_map_check(c->map, server->now_us, CHECK_AGE_US)) {
		conn_end(c, true);
		return SENT_FAILED;
	}
	if (!file_map_resident(c->map, at, server->now_us)) {
		wait_for_block(c);
		return SENT_SOME;
	}
	if (server->settings.copy)
		return copy_piece(c, c->map->pages.bytes + at, bytes);
	return lend_piece(c, c->map->pages.bytes + at, bytes);
}

static enum sent send_part(struct conn *c)
{
	const struct http_part *part = &c->plan.parts[c->part];
	enum sent sent = SENT_PART;

	if (!part->from_file)
		return send_text(c, part);
	while (sent == SENT_PART && c->part_sent < part->bytes)
		sent = send_piece(c, part);
	return sent;
}

/* --- responses
 * ---------------------------------------------------------------- */

void send_begin(struct conn *c)
{
	c->part = 0;
	c->part_sent = 0;
	c->answered_from = c->queued_bytes;
	if (text_ok(&c->plan.text))
		conn_enter(c, CONN_SENDING);
	else
		conn_end(c, true); /* no memory for a response */
}

void send_stop(struct conn *c)
{
	list_remove(&c->waiting);
	if (c->map)
		file_map_give(c->map, c->server->now_us);
	c->map = NULL;
	http_plan_clear(&c->plan);
}

static void finish_response(struct conn *c)
{
	bool keep = c->reply.keep_alive;

	request_log(c);
	send_stop(c);
	if (!keep) {
		conn_finish(c);
		return;
	}
	http_message_begin(&c->request, HTTP_REQUEST);
	conn_enter(c, CONN_READING);
}

bool send_plan(struct conn *c)
{
	list_remove(&c->waiting);
	while (c->part < c->plan.part_count) {
		if (send_part(c) != SENT_PART)
			return false;
		c->part++;
		c->part_sent = 0;
	}
	finish_response(c);
	return true;
}
