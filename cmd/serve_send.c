/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Responses on their way out.
 *
 * Theory of operation. A plan (http_reply.h) is a list of parts. Text is
 * copied once, because it is short and made for this response. A file's part
 * goes by loans, see file_send.h, until the stack says that enough is queued.
 *
 * A Content-Length was promised, so when a file turns out to be shorter the
 * only honest end is a reset: the client knows that it has not got the whole.
 */
#include "serve_http.h"

enum sent {
	SENT_PART,   /* go on with the next */
	SENT_SOME,   /* the stack has enough, or a block is not there yet */
	SENT_FAILED, /* the connection was ended */
};

/* --- parts ------------------------------------------------------------------
 */

static bool is_last(const struct conn *c)
{
	return c->part + 1 == c->plan.part_count;
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

	return account(
		c,
		tow_tcp_send(c->tcp, from, left, is_last(c) ? 0 : TOW_TCP_MORE),
		left);
}

static enum sent send_pages(struct conn *c, const struct http_part *part)
{
	uint64_t left = part->bytes - c->part_sent;

	return account(c,
		       file_send(&c->file, c->tcp, part->first + c->part_sent,
				 left, !is_last(c)),
		       left);
}

static enum sent send_part(struct conn *c)
{
	const struct http_part *part = &c->plan.parts[c->part];

	return part->from_file ? send_pages(c, part) : send_text(c, part);
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
	file_send_stop(&c->file);
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
	while (c->part < c->plan.part_count) {
		if (send_part(c) != SENT_PART)
			return false;
		c->part++;
		c->part_sent = 0;
	}
	finish_response(c);
	return true;
}
