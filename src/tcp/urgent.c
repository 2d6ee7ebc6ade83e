/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Urgent data: RFC 9293 3.8.5, RFC 6093.
 *
 * Urgent data is part of the stream, and stays there: the urgent pointer is a
 * mark between two bytes of it, the number of the byte that follows the urgent
 * ones (RFC 6093 3.1, 4). What a program gets is that there is a mark
 * (TOW_EVENT_URGENT, once for each advance) and how far it is
 * (tow_tcp_urgent()). The pointer is never used as a length, and only one
 * that is ahead of what the program has read counts, so a peer can at worst
 * make a mark that moves (URGENT/11).
 */
#include "tcp/tcp_private.h"

/* Of what the program has not returned yet; a FIN has no byte. */
static struct seq first_unread(const struct tow_tcp *t)
{
	const struct receive *r = &t->receive;
	struct seq end = t->rcv.nxt;

	if (r->fin_seen && seq_after(end, r->fin))
		end = r->fin;
	return seq_sub(end, (uint32_t)r->unread_bytes);
}

/* Sixth check: an acceptable segment with URG. */
void urgent_arrives(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct seq up = seq_add(seq_of(seg->sequence), seg->urgent);

	if (t->state < TOW_TCP_ESTABLISHED || t->state > TOW_TCP_FIN_WAIT_2 ||
	    t->receive.fin_seen || !seq_after(up, first_unread(t)) ||
	    (t->urgent_came && !seq_after(up, t->urgent.rcv)))
		return;
	t->urgent_came = true;
	t->urgent.rcv = up;
	tcp_pend(t, PENDING_URGENT);
}

/* What was read is no mark; it must not come back when numbers wrap. */
void urgent_expire(struct tow_tcp *t)
{
	if (!seq_after(t->urgent.rcv, first_unread(t)))
		t->urgent_came = false;
}

/* The last byte queued is urgent, and all before it. */
void urgent_send(struct tow_tcp *t)
{
	uint32_t unsent = (uint32_t)(t->send.end - t->send.next);

	if (seq_eq(t->snd.nxt, t->snd.iss))
		unsent++; /* our SYN goes first, and has a number */
	t->urgent.snd = seq_add(t->snd.nxt, unsent);
	t->urgent_sends = true;
}

/* RFC 9293 3.8.5 MUST-30: each segment before the mark says where it is. */
void urgent_mark(struct tow_tcp *t, struct wire_tcp *h)
{
	int32_t ahead = seq_diff(t->urgent.snd, seq_of(h->sequence));

	if (!seq_after(t->urgent.snd, t->snd.una))
		t->urgent_sends = false; /* the peer has it */
	if (!t->urgent_sends || ahead <= 0)
		return;
	h->flags |= TH_URG;
	h->urgent = (uint16_t)MIN(ahead, (int32_t)UINT16_MAX);
}

int64_t tow_tcp_urgent(const struct tow_tcp *t)
{
	int32_t before = seq_diff(t->urgent.rcv, first_unread(t)) - 1;

	return t->urgent_came && before >= 0 ? before : TOW_EAGAIN;
}
