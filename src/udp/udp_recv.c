/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receive queue: RFC 1122 4.1.3, 4.1.4.
 *
 * A received buffer holds one datagram, or a train of equal ones that a device
 * merged or a sender on this stack did not cut. Buffers move through two
 * queues:
 *
 *	unread   datagrams of the first are taken one by one
 *	lent     all were taken, some are borrowed
 *
 * and are given back when nothing of them is unread or borrowed. What is
 * borrowed is counted per buffer, since a buffer is what can be given.
 */
#include "buf/slice.h"
#include "udp/udp_private.h"

/* What is read next: a datagram, or all that is left of a train. */
static uint32_t next_bytes(const struct tow_udp *s, struct tow_buf *buf)
{
	if (s->options.trains)
		return buf->bytes - udp_arrival_of(buf)->offset;
	return udp_next_bytes(buf);
}

static void describe(const struct tow_udp *s, struct tow_buf *buf,
		     struct tow_udp_message *from)
{
	const struct udp_arrival *arrival = udp_arrival_of(buf);

	if (!from)
		return;
	memset(from, 0, sizeof(*from));
	from->peer.addr = arrival->src;
	from->peer.port = arrival->src_port;
	from->peer.zone = udp_zone_of(buf);
	from->local = arrival->dst;
	from->bytes = next_bytes(s, buf);
	if (s->options.trains && arrival->unread > 1)
		from->segment_bytes = buf->gso_bytes;
	from->ttl = arrival->ttl;
	from->tos = arrival->tos;
	from->link = buf->link;
}

/* A buffer is received, or was made in the refuge. */
void udp_charge(struct tow_udp *s, const struct tow_buf *buf)
{
	s->rx_cost += buf_cost(buf);
	s->rx_bufs++;
}

/*
 * One holder less, the socket that received it or a loan by which it was
 * passed. Until the last one is gone the buffer counts.
 */
void udp_unref(struct tow_udp *s, struct tow_buf *buf)
{
	if (buf->refs == 1) {
		s->rx_cost -= buf_cost(buf);
		s->rx_bufs--;
	}
	tow_buf_give(buf);
}

/* The socket has done with it. */
void udp_give(struct tow_udp *s, struct tow_buf *buf)
{
	if (udp_is_moved(s, buf))
		s->borrower.moved -= buf_cost(buf);
	udp_unref(s, buf);
}

static void count_lent(struct tow_udp *s, uint64_t bytes)
{
	s->ledger.rx_lent_bytes += bytes;
	s->host->net->stats.ledger.rx_lent_bytes += bytes;
}

/* They were borrowed, but are passed on, or to be borrowed again. */
void udp_uncount_lent(struct tow_udp *s, uint64_t bytes)
{
	s->ledger.rx_lent_bytes -= bytes;
	s->host->net->stats.ledger.rx_lent_bytes -= bytes;
}

static void lend(struct tow_udp *s, struct tow_buf *buf)
{
	uint64_t now_us = s->host->net->now_us;

	udp_arrival_of(buf)->lent_at =
		(uint32_t)(now_us / UDP_TICK_US) & UDP_TICKS_MASK;
	borrower_lend(&s->borrower, buf_cost(buf));
}

/* May the first buffer be lent from where it is? It is noted, then. */
static bool may_lend(struct tow_udp *s)
{
	struct tow_buf *buf = s->unread.first;

	if (udp_arrival_of(buf)->borrowed > 0 || udp_is_moved(s, buf))
		return true;
	if (UNLIKELY(!borrower_may(&s->borrower, buf_cost(buf))))
		return false;
	lend(s, buf);
	return true;
}

/* Over budget, and nowhere to go: only who has nothing may have one. */
static bool may_lend_one(struct tow_udp *s)
{
	struct tow_buf *buf = s->unread.first;

	if (s->borrower.lent) {
		borrower_refuse(&s->borrower, buf_cost(buf),
				buf->bytes - udp_arrival_of(buf)->offset);
		return false;
	}
	lend(s, buf);
	return true;
}

/* Nothing of it is on loan any more. */
static void loan_ended(struct tow_udp *s, struct tow_buf *buf)
{
	udp_arrival_of(buf)->mixed = 0;
	if (!udp_is_moved(s, buf))
		borrower_ended(&s->borrower, buf_cost(buf));
}

/* What is first and unread was taken. */
static void advance(struct tow_udp *s, bool borrowed)
{
	struct tow_buf *buf = s->unread.first;
	struct udp_arrival *arrival = udp_arrival_of(buf);
	uint16_t taken = s->options.trains ? arrival->unread : 1;

	arrival->offset += next_bytes(s, buf);
	arrival->unread -= taken;
	if (borrowed) {
		arrival->borrowed += taken;
		s->borrowed += taken;
	} else if (arrival->borrowed > 0) {
		arrival->mixed = 1;
	}
	if (arrival->unread > 0)
		return;
	udp_queue_take(&s->unread);
	if (arrival->borrowed > 0)
		udp_queue_append(&s->lent, buf);
	else
		udp_give(s, buf);
}

/* The payload [offset, offset + bytes) of a buffer, or TOW_EMSGSIZE. */
int udp_spans(const struct tow_buf *buf, uint32_t offset, uint32_t bytes,
	      struct tow_span *out, int max)
{
	struct slice at = slice(buf->spans, offset, bytes);
	struct tow_span piece;
	int n = 0;

	for (; next_piece(&at, SIZE_MAX, &piece); n++) {
		if (n >= max)
			return TOW_EMSGSIZE;
		out[n] = piece;
	}
	return n;
}

static int take_error(struct tow_udp *s)
{
	int error = s->error;

	s->error = 0;
	return error;
}

int64_t tow_udp_recv(struct tow_udp *udp, void *out, size_t bytes,
		     struct tow_udp_message *from)
{
	struct tow_buf *buf = udp->unread.first;
	struct tow_span piece;
	struct slice at;
	size_t n, done = 0;

	if (udp->error)
		return take_error(udp);
	if (!buf)
		return TOW_EAGAIN;
	describe(udp, buf, from);
	n = MIN(next_bytes(udp, buf), bytes);
	for (at = slice(buf->spans, udp_arrival_of(buf)->offset, n);
	     next_piece(&at, SIZE_MAX, &piece); done += piece.len)
		payload_copy(udp_ledgers(udp), TOW_COPY_RX_RECV,
			     (uint8_t *)out + done, piece.ptr, piece.len);
	advance(udp, false);
	return (int64_t)n;
}

static int show(const struct tow_udp *s, struct tow_buf *buf,
		struct tow_span *spans, int max)
{
	return udp_spans(buf, udp_arrival_of(buf)->offset, next_bytes(s, buf),
			 spans, max);
}

int tow_udp_borrow(struct tow_udp *udp, struct tow_span *spans, int max,
		   struct tow_udp_message *from)
{
	struct tow_buf *buf = udp->unread.first;
	int n;

	if (udp->error)
		return take_error(udp);
	if (!buf)
		return TOW_EAGAIN;
	n = show(udp, buf, spans, max);
	if (n >= 0 && UNLIKELY(!may_lend(udp))) {
		if (udp_move_first(udp)) {
			buf = udp->unread.first;
			n = show(udp, buf, spans, max);
		} else if (!may_lend_one(udp)) {
			return TOW_ENOBUFS;
		}
	}
	if (n < 0)
		return n;
	describe(udp, buf, from);
	count_lent(udp, next_bytes(udp, buf));
	advance(udp, true);
	return n;
}

/* The buffer that has the datagram that was borrowed first. */
struct tow_buf *udp_oldest_borrowed(const struct tow_udp *s)
{
	return s->lent.first ? s->lent.first : s->unread.first;
}

/* Its first @datagrams on loan are the program's no more. */
void udp_let_go(struct tow_udp *s, struct tow_buf *buf, unsigned datagrams)
{
	struct udp_arrival *arrival = udp_arrival_of(buf);

	ASSERT(datagrams <= arrival->borrowed);
	if (datagrams == 0)
		return;
	arrival->borrowed = (uint16_t)(arrival->borrowed - datagrams);
	s->borrowed -= datagrams;
	if (arrival->borrowed > 0)
		return;
	loan_ended(s, buf);
	if (buf == s->lent.first)
		udp_give(s, udp_queue_take(&s->lent));
}

void tow_udp_return(struct tow_udp *udp, unsigned datagrams)
{
	struct tow_buf *buf;
	unsigned n;

	ASSERT(datagrams <= udp->borrowed);
	for (; datagrams > 0; datagrams -= n) {
		buf = udp_oldest_borrowed(udp);
		n = MIN(datagrams, udp_arrival_of(buf)->borrowed);
		udp_let_go(udp, buf, n);
	}
}

static void drop_all(struct tow_udp *s, struct udp_queue *queue)
{
	struct tow_buf *buf;

	while ((buf = udp_queue_take(queue)) != NULL) {
		if (udp_arrival_of(buf)->borrowed > 0)
			loan_ended(s, buf);
		udp_give(s, buf);
	}
}

/* The socket is closed: what was borrowed from it is gone, too. */
void udp_drop_received(struct tow_udp *s)
{
	drop_all(s, &s->unread);
	drop_all(s, &s->lent);
	s->borrowed = 0;
}
