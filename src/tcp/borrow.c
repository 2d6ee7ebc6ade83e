/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the application does with received bytes: borrow them in place and
 * return them, or have them copied out. See receive.c for the list of buffers
 * that it walks, and revoke.c for what happens when it has too many of them.
 */
#include "tcp/held.h"

/* Length of the contiguous piece at the borrow cursor. */
static bool next_span(struct tow_tcp *t, struct tow_span *out)
{
	struct receive *r = &t->receive;
	uint32_t offset = r->borrow_offset;

	while (r->borrow) {
		for (unsigned i = 0; i < r->borrow->span_count; i++) {
			const struct tow_span *s = &r->borrow->spans[i];

			if (offset >= s->len) {
				offset -= (uint32_t)s->len;
				continue;
			}
			out->ptr = (const uint8_t *)s->ptr + offset;
			out->len = s->len - offset;
			return true;
		}
		r->before = r->borrow;
		r->borrow = r->borrow->next;
		r->borrow_offset = offset = 0;
	}
	return false;
}

static void advance_borrow(struct receive *r, size_t bytes)
{
	r->borrow_offset += (uint32_t)bytes;
	r->borrowed_bytes += bytes;
	if (r->borrow_offset == r->borrow->bytes) {
		r->before = r->borrow;
		r->borrow = r->borrow->next;
		r->borrow_offset = 0;
	}
}

static void lend(struct tow_tcp *t, struct tow_buf *buf)
{
	held(buf)->lent_us = MAX(tcp_now(t), 1);
	borrower_lend(&t->borrower, held(buf)->cost);
}

/* May the buffer at the cursor be lent from where it is? It is noted, then. */
static bool may_lend(struct tow_tcp *t)
{
	struct tow_buf *buf = t->receive.borrow;

	if (held(buf)->lent_us || held_is_moved(t, buf))
		return true;
	if (UNLIKELY(!borrower_may(&t->borrower, held(buf)->cost)))
		return false;
	lend(t, buf);
	return true;
}

/* Over budget, and nowhere to go: only who has nothing may have one. */
static bool may_lend_one(struct tow_tcp *t)
{
	struct tow_buf *buf = t->receive.borrow;

	if (t->borrower.lent) {
		borrower_refuse(&t->borrower, held(buf)->cost, buf->bytes);
		return false;
	}
	lend(t, buf);
	return true;
}

/*
 * Returns: spans filled in, or TOW_ENOBUFS when there are bytes, but no more of
 *          them may be on loan.
 */
int receive_borrow(struct tow_tcp *t, struct tow_span *out, int max)
{
	int n = 0;

	while (n < max && next_span(t, &out[n])) {
		if (UNLIKELY(!may_lend(t))) {
			if (revoke_at_cursor(t))
				continue; /* it lies elsewhere now */
			if (!may_lend_one(t))
				return n ? n : TOW_ENOBUFS;
		}
		advance_borrow(&t->receive, out[n].len);
		n++;
	}
	return n;
}

/*
 * Auto-tuning: a reader that takes a quarter of the window in a round trip needs
 * more. In slow start the next one brings twice as much, and the peer hears of a
 * larger window only in time for the one after that.
 */
void receive_tune_over(struct tow_tcp *t, size_t bytes, uint32_t round_trip_us)
{
	struct receive *r = &t->receive;
	uint64_t window = (uint64_t)r->limit * r->ratio / RATIO_ONE;

	r->tune_bytes += (uint32_t)MIN(bytes, UINT32_MAX - r->tune_bytes);
	if ((uint32_t)tcp_now(t) - r->tune_us < round_trip_us)
		return;
	if (r->tune_bytes >= window / 4)
		r->limit =
			MIN(r->limit * 2, MAX(r->limit, t->set.recv_bytes_max));
	r->tune_us = (uint32_t)tcp_now(t);
	r->tune_bytes = 0;
}

void receive_tune(struct tow_tcp *t, size_t bytes)
{
	receive_tune_over(t, bytes, t->rtt.srtt_us);
}

/* The first bytes of the buffer that is lent in part were returned. */
static void rewind_borrow(struct tow_tcp *t, uint32_t bytes)
{
	struct receive *r = &t->receive;

	r->borrow_offset -= bytes;
	if (r->borrow_offset > 0)
		return;
	r->before = NULL;
	held_loan_ended(t, r->borrow);
}

/* The first @bytes leave: the application has done with them. */
void receive_release(struct tow_tcp *t, size_t bytes)
{
	struct receive *r = &t->receive;
	size_t left = bytes;

	ASSERT(bytes <= r->borrowed_bytes);
	r->borrowed_bytes -= bytes;
	r->unread_bytes -= bytes;
	while (left > 0) {
		struct tow_buf *buf = r->head;
		uint32_t here = (uint32_t)MIN(left, buf->bytes);

		left -= here;
		if (here < buf->bytes) {
			buf_trim_front(buf, here);
			if (r->borrow == buf)
				rewind_borrow(t, here);
			break;
		}
		r->head = buf->next;
		if (!r->head)
			r->tail = NULL;
		if (r->borrow == r->head)
			r->before = NULL;
		held_release(t, buf);
	}
}

void receive_returned(struct tow_tcp *t, size_t bytes)
{
	receive_release(t, bytes);
	receive_tune(t, bytes);
}

size_t receive_copy(struct tow_tcp *t, uint8_t *out, size_t bytes,
		    enum tow_copy why)
{
	struct tow_span span;
	size_t copied = 0;

	while (copied < bytes && next_span(t, &span)) {
		size_t n = MIN(span.len, bytes - copied);

		payload_copy(tcp_ledgers(t), why, out + copied, span.ptr, n);
		advance_borrow(&t->receive, n);
		receive_returned(t, n);
		copied += n;
	}
	return copied;
}
