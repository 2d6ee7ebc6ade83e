/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moving what a program holds to its owner's refuge, so that the device gets
 * its buffers back: see tow/owner.h for why, src/buf/govern.c for when.
 *
 *	                     cursor
 *	  head                 |
 *	| ring | ring | ring | ring | ring |        before
 *	|<-- on loan ------->|<- unread -->|
 *
 *	| refuge, packed     | ring | ring |        revoked: nothing is on
 *	 ^ cursor                                   loan
 *
 *	| ring | ring | ring | refuge, packed |     over budget, or relieved:
 *	                     ^ cursor               only what is unread moves
 *
 * A buffer moves whole or not at all; its place in the list stays, so order is
 * never a question. What was moved goes behind the last byte of the buffer in
 * front of it, if that is in the refuge already and has room. The cost counts
 * as before, at what it takes there: so the window goes on as it was, but for
 * what packing saved.
 */
#include "buf/refuge.h"
#include "tcp/held.h"

static struct tow_tcp *tcp_of(const struct borrower *b)
{
	return CONTAINER((uintptr_t)b, struct tow_tcp, borrower);
}

/* A new buffer in the refuge, in the list in front of @buf. */
static struct tow_buf *insert(struct tow_tcp *t, struct tow_buf *before,
			      struct tow_buf *buf)
{
	struct tow_buf *to =
		refuge_take(borrower_refuge(&t->borrower), buf->bytes);

	if (!to)
		return NULL;
	held_begin(t, to);
	held(to)->loans = 0;
	held(to)->sum_bytes = 0;
	held_join(to);
	t->borrower.moved += held(to)->cost;
	to->next = buf;
	if (before)
		before->next = to;
	else
		t->receive.head = to;
	return to;
}

static void pour(struct tow_tcp *t, struct tow_buf *to,
		 const struct tow_buf *from, enum tow_copy why)
{
	uint32_t more = held(to)->cost;

	refuge_pour(to, from, 0, tcp_ledgers(t), why);
	held(to)->cost = buf_cost(to);
	more = held(to)->cost - more;
	held_cost_grew(t, more);
	t->borrower.moved += more;
}

/* @to has what @buf had, which is behind it in the list. */
static void replace(struct tow_tcp *t, struct tow_buf *to, struct tow_buf *buf)
{
	struct receive *r = &t->receive;

	to->next = buf->next;
	if (r->tail == buf)
		r->tail = to;
	if (r->borrow == buf) {
		r->borrow = to;
		r->borrow_offset = to->bytes - buf->bytes;
	}
	if (r->before == buf)
		r->before = to;
	held_release(t, buf);
}

/*
 * Move @buf, which stands behind @before (NULL: at the head).
 *
 * Returns: the buffer that has its bytes now, or NULL: there is no room.
 */
static struct tow_buf *move(struct tow_tcp *t, struct tow_buf *before,
			    struct tow_buf *buf, enum tow_copy why)
{
	struct tow_buf *to = before;

	if (!borrower_refuge(&t->borrower))
		return NULL;
	/* Who sends the bytes on from there has taken note of its length. */
	if (!before || !held_is_moved(t, before) || before->refs > 1 ||
	    !refuge_fits(before, buf->bytes))
		to = insert(t, before, buf);
	if (!to)
		return NULL;
	pour(t, to, buf, why);
	replace(t, to, buf);
	return to;
}

/* Borrowing goes on, though the buffer at the cursor cannot stay there. */
bool revoke_at_cursor(struct tow_tcp *t)
{
	struct receive *r = &t->receive;

	ASSERT(r->borrow_offset == 0);
	return move(t, r->before, r->borrow, TOW_COPY_RX_BUDGET) != NULL;
}

static void revoke(struct borrower *b)
{
	struct tow_tcp *t = tcp_of(b);
	struct receive *r = &t->receive;
	struct tow_buf *before = NULL, *next, *to;

	for (struct tow_buf *buf = r->head; buf && b->lent; buf = next) {
		next = buf->next;
		to = NULL;
		if (held(buf)->lent_us)
			to = move(t, before, buf, TOW_COPY_RX_REVOKED);
		if (!to)
			held_loan_ended(t, buf);
		before = to ? to : buf;
	}
	r->borrow = r->head;
	r->borrow_offset = 0;
	r->before = NULL;
	r->borrowed_bytes = 0;
	if (r->unread_bytes)
		tcp_pend(t, PENDING_READABLE);
	TCP_CHECK(t);
}

static void relieve(struct borrower *b)
{
	struct tow_tcp *t = tcp_of(b);
	struct receive *r = &t->receive;
	struct tow_buf *before = r->before, *buf = r->borrow, *next;

	if (buf && r->borrow_offset > 0) {
		before = buf;
		buf = buf->next;
	}
	for (; buf && govern_is_short(b->govern); buf = next) {
		next = buf->next;
		if (!held_is_moved(t, buf))
			buf = move(t, before, buf, TOW_COPY_RX_REVOKED);
		if (!buf)
			break;
		before = buf;
	}
	TCP_CHECK(t);
}

static uint64_t held_cost(const struct borrower *b)
{
	return tcp_of(b)->receive.cost;
}

static uint64_t oldest_us(const struct borrower *b)
{
	struct tow_buf *buf = tcp_of(b)->receive.head;

	while (buf && !held(buf)->lent_us)
		buf = buf->next;
	return buf ? held(buf)->lent_us : b->govern->wheel->now_us;
}

static void tell(struct borrower *b)
{
	tcp_pend(tcp_of(b), PENDING_REVOKE);
}

static void wake(struct borrower *b)
{
	struct tow_tcp *t = tcp_of(b);

	if (t->receive.unread_bytes > t->receive.borrowed_bytes)
		tcp_pend(t, PENDING_READABLE);
}

static void end(struct borrower *b)
{
	tow_tcp_abort(tcp_of(b));
}

const struct borrower_ops tcp_borrower_ops = {
	.held = held_cost,
	.has_window = true,
	.oldest_us = oldest_us,
	.tell = tell,
	.revoke = revoke,
	.relieve = relieve,
	.wake = wake,
	.abort = end,
};
