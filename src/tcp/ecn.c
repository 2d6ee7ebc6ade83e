/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Explicit congestion notification: RFC 3168.
 *
 * A router that is about to drop may mark a packet instead, if it says by its
 * IP header that both ends will understand:
 *
 *	we send data, ECT(0) ----> router, CE ----> peer
 *	ACK with ECE        <---------------------- peer, until it sees CWR
 *	next data with CWR  ----------------------> peer
 *
 * Both ends agree on it by their SYNs (6.1.1). Asking for it is the program's
 * choice (TOW_TCP_ECN); what the peer asks for is accepted. A SYN that has to
 * be sent again no longer asks, since something on the path may drop those
 * that do (6.1.1.1).
 *
 * As a receiver we say ECE with each ACK from the first mark on until the peer
 * says CWR (6.1.3). As a sender we do for a mark what we would do for a loss,
 * but at most once in a round trip, and there is nothing to send again (6.1.2):
 * what ECE says about data sent before the last reaction is old news.
 *
 * Only data that is sent for the first time is ECN-capable: not SYNs and ACKs
 * (6.1.1, 6.1.4), retransmissions (6.1.5) and window probes (6.1.6), for which
 * no answer would come if they were dropped, or which an attacker could use.
 */
#include "tcp/tcp_private.h"

#define ECT0	 2 /* RFC 3168 5: not 1, which RFC 8311 keeps for others */
#define CE	 3
#define ECN_BITS 3

/* --------------------------------------------------------------- agreement */

/* Flags that our SYN or SYN-ACK has besides its own. */
uint8_t ecn_syn_flags(struct tow_tcp *t, bool answers, bool again)
{
	if (answers)
		return t->ecn.on ? TH_ECE : 0;
	t->ecn.asked = t->set.ecn == TOW_TCP_ECN_ASK && !again;
	return t->ecn.asked ? TH_ECE | TH_CWR : 0;
}

/* The peer's SYN or SYN-ACK came: 6.1.1. */
void ecn_learn_syn(struct tow_tcp *t, const struct wire_tcp *seg)
{
	uint8_t said = seg->flags & (TH_ECE | TH_CWR);

	if (seg->flags & TH_ACK) /* both set: it only reflects our SYN */
		t->ecn.on = t->ecn.asked && said == TH_ECE;
	else
		t->ecn.on = said == (TH_ECE | TH_CWR) &&
			    t->set.ecn != TOW_TCP_ECN_OFF;
	t->ecn.reacted = t->snd.una;
}

/* ------------------------------------------------------------ as a receiver */

/*
 * An acceptable segment with payload. The peer's CWR comes first: a mark on the
 * same segment is newer. The first mark is answered at once, and so is CWR,
 * because the peer's window may be down to one segment.
 */
void ecn_on_payload(struct tow_tcp *t, const struct wire_tcp *seg, uint8_t tos)
{
	struct ecn *e = &t->ecn;
	bool marked = (tos & ECN_BITS) == CE;

	if (!e->on)
		return;
	if (seg->flags & TH_CWR) {
		e->echo = false;
		t->ack_now = true;
	}
	if (!marked)
		return;
	e->marks_in++;
	t->ack_now |= !e->echo;
	e->echo = true;
}

/* -------------------------------------------------------------- as a sender */

/* An acceptable acknowledgement, after it was entered: 6.1.2. */
void ecn_on_ack(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct ecn *e = &t->ecn;

	if (!e->on || !(seg->flags & TH_ECE) || seg->flags & TH_SYN)
		return;
	if (!seq_after(seq_of(seg->acknowledgement), e->reacted))
		return;
	e->marks_out++;
	e->say_cwr = true;
	e->reacted = t->snd.nxt;
	/* A loss in the same round trip has halved the window already. */
	if (t->recovery.state == RECOVERY_NONE)
		congestion_on_ecn(t);
}

/*
 * A segment is about to go out: its flags, and what its IP header says.
 * @fresh: it carries data, for the first time
 */
void ecn_mark(struct tow_tcp *t, struct wire_tcp *h, bool fresh)
{
	struct ecn *e = &t->ecn;

	t->path.tos &= (uint8_t)~ECN_BITS;
	if (!e->on || h->flags & (TH_SYN | TH_RST))
		return;
	if (e->echo)
		h->flags |= TH_ECE;
	if (!fresh)
		return;
	t->path.tos |= ECT0;
	if (e->say_cwr)
		h->flags |= TH_CWR;
	e->say_cwr = false;
}
