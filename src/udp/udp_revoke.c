/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moving what a program holds to its owner's refuge: see tow/owner.h for why,
 * src/buf/govern.c for when, and src/tcp/revoke.c for the same with a stream.
 *
 *	lent     | a a a | b b |          unread   | b c c | d |
 *
 *	revoked: all of it is unread      unread   | a a a | b b | b c c | d |
 *
 * A buffer moves whole or not at all. In a train of datagrams those on loan lie
 * between the returned and the unread ones, so they are found by counting from
 * its end; only where the program took others of the same train by recv
 * meanwhile nobody knows which ones, and they are lost, as datagrams may be.
 */
#include "buf/refuge.h"
#include "udp/udp_private.h"

static struct tow_udp *udp_of(const struct borrower *b)
{
	return CONTAINER((uintptr_t)b, struct tow_udp, borrower);
}

/* A copy of @buf in the refuge, from its first unread datagram on; or NULL. */
static struct tow_buf *copy(struct tow_udp *s, struct tow_buf *buf,
			    enum tow_copy why)
{
	const struct udp_arrival *from = udp_arrival_of(buf);
	struct tow_pool *refuge = borrower_refuge(&s->borrower);
	struct tow_buf *to = NULL;

	if (refuge)
		to = refuge_take(refuge, buf->bytes - from->offset);
	if (!to)
		return NULL;
	refuge_pour(to, buf, from->offset, udp_ledgers(s), why);
	to->link = buf->link;
	to->gso = buf->gso;
	to->gso_bytes = buf->gso_bytes;
	*udp_arrival_of(to) = *from;
	udp_arrival_of(to)->offset = 0;
	udp_arrival_of(to)->summed = 0; /* the header is not there */
	udp_charge(s, to);
	s->borrower.moved += buf_cost(to);
	return to;
}

/* Borrowing goes on, though the first unread buffer cannot stay there. */
bool udp_move_first(struct tow_udp *s)
{
	struct tow_buf *buf = s->unread.first;
	struct tow_buf *to = copy(s, buf, TOW_COPY_RX_BUDGET);

	if (!to)
		return false;
	to->next = buf->next;
	s->unread.first = to;
	if (s->unread.last == buf)
		s->unread.last = to;
	udp_give(s, buf);
	return true;
}

/* The datagrams on loan are unread again; those that can be told apart. */
static void rewind(struct tow_udp *s, struct tow_buf *buf)
{
	struct udp_arrival *arrival = udp_arrival_of(buf);
	unsigned first = udp_datagrams(buf) - arrival->unread;
	uint32_t offset = arrival->offset;

	if (!udp_is_moved(s, buf))
		borrower_ended(&s->borrower, buf_cost(buf));
	if (arrival->mixed) {
		s->host->net->stats.drops[TOW_DROP_UDP_FULL] +=
			arrival->borrowed;
	} else {
		first -= arrival->borrowed;
		arrival->unread =
			(uint16_t)(arrival->unread + arrival->borrowed);
		arrival->offset = first * buf->gso_bytes;
		udp_uncount_lent(s, offset - arrival->offset);
	}
	arrival->borrowed = 0;
	arrival->mixed = 0;
}

/* Put @buf, or what it becomes, behind the others that are unread. */
static void settle(struct tow_udp *s, struct tow_buf *buf, bool was_lent)
{
	struct tow_buf *to = NULL;

	if (was_lent)
		rewind(s, buf);
	if (udp_arrival_of(buf)->unread == 0) {
		udp_give(s, buf);
		return;
	}
	if (was_lent && !udp_is_moved(s, buf))
		to = copy(s, buf, TOW_COPY_RX_REVOKED);
	udp_queue_append(&s->unread, to ? to : buf);
	if (to)
		udp_give(s, buf);
}

static void revoke(struct borrower *b)
{
	struct tow_udp *s = udp_of(b);
	struct udp_queue lent = s->lent, unread = s->unread;
	struct tow_buf *buf;

	s->lent = s->unread = (struct udp_queue){ 0 };
	while ((buf = udp_queue_take(&lent)))
		settle(s, buf, true);
	while ((buf = udp_queue_take(&unread)))
		settle(s, buf, udp_arrival_of(buf)->borrowed > 0);
	s->borrowed = 0;
	if (s->unread.first)
		udp_notify(s, UDP_READABLE);
}

/* The first one may be on loan in part: then it stays. */
static void relieve(struct borrower *b)
{
	struct tow_udp *s = udp_of(b);
	struct udp_queue unread = s->unread;
	struct tow_buf *buf, *to;

	s->unread = (struct udp_queue){ 0 };
	while ((buf = udp_queue_take(&unread))) {
		to = NULL;
		if (govern_is_short(b->govern) && !udp_is_moved(s, buf) &&
		    udp_arrival_of(buf)->borrowed == 0)
			to = copy(s, buf, TOW_COPY_RX_REVOKED);
		udp_queue_append(&s->unread, to ? to : buf);
		if (to)
			udp_give(s, buf);
	}
}

static uint64_t held_cost(const struct borrower *b)
{
	return udp_of(b)->rx_cost;
}

static const struct tow_buf *oldest(const struct tow_udp *s)
{
	struct tow_buf *buf = s->lent.first;

	while (buf && udp_is_moved(s, buf))
		buf = buf->next;
	return buf ? buf : s->unread.first;
}

static uint64_t oldest_us(const struct borrower *b)
{
	const struct tow_udp *s = udp_of(b);
	const struct tow_buf *buf = oldest(s);
	uint64_t now_us = s->host->net->now_us;
	uint32_t ticks = (uint32_t)(now_us / UDP_TICK_US);

	if (!buf)
		return now_us;
	ticks -= udp_arrival_of((struct tow_buf *)(uintptr_t)buf)->lent_at;
	return now_us - (uint64_t)(ticks & UDP_TICKS_MASK) * UDP_TICK_US;
}

static void tell(struct borrower *b)
{
	udp_notify(udp_of(b), UDP_REVOKE);
}

static void wake(struct borrower *b)
{
	if (udp_of(b)->unread.first)
		udp_notify(udp_of(b), UDP_READABLE);
}

static void end(struct borrower *b)
{
	tow_udp_close(udp_of(b));
}

const struct borrower_ops udp_borrower_ops = {
	.held = held_cost,
	.oldest_us = oldest_us,
	.tell = tell,
	.revoke = revoke,
	.relieve = relieve,
	.wake = wake,
	.abort = end,
};
