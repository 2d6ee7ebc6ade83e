/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Explicit congestion notification: RFC 3168, and AccECN, RFC 9768.
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
 *
 * AccECN says how many marks came, not only that some did: the three flags AE,
 * CWR and ECE are one number, the count of marked packets modulo eight, on all
 * segments but those of the handshake. There they say which version it is to
 * be, and what became of the ECN bits of the SYN and the SYN-ACK on their way.
 * Its option, which counts bytes, is neither sent nor read.
 */
#include "tcp/tcp_private.h"

#define ECT0	 2 /* RFC 3168 5: not 1, which RFC 8311 keeps for others */
#define CE	 3
#define ECN_BITS 3

#define ACE_FIRST 5 /* RFC 9768 3.2.1: the counters do not begin at 0 */
#define ACE_BITS  7

/* --------------------------------------------------------------- agreement */

/* AE, CWR and ECE as one number. */
static uint8_t ace_of(const struct wire_tcp *seg)
{
	return (uint8_t)((seg->ae ? 4 : 0) | (seg->flags & TH_CWR ? 2 : 0) |
			 (seg->flags & TH_ECE ? 1 : 0));
}

static void put_ace(struct wire_tcp *h, uint8_t ace)
{
	h->ae = ace & 4;
	h->flags &= (uint8_t) ~(TH_CWR | TH_ECE);
	h->flags |= (ace & 2 ? TH_CWR : 0) | (ace & 1 ? TH_ECE : 0);
}

/* RFC 9768 3.1.2 and 3.2.2.1, tables 2 and 3: which ECN bits a SYN had. */
static uint8_t ace_for_syn(uint8_t ip_ecn)
{
	static const uint8_t ace[] = { 2, 3, 4, 6 };

	return ace[ip_ecn & ECN_BITS];
}

/*
 * What our SYN or SYN-ACK says. One that has to be sent again asks for AccECN
 * once more (RFC 9768 3.1.4.1), for classic ECN no more.
 */
void ecn_offer(struct tow_tcp *t, struct wire_tcp *h, bool answers, bool again)
{
	struct ecn *e = &t->ecn;

	if (answers && e->accurate) {
		put_ace(h, ace_for_syn(e->syn_ecn));
	} else if (answers) {
		put_ace(h, e->on ? 1 : 0);
	} else {
		e->asked_accurate = t->set.ecn == TOW_TCP_ECN_ACCURATE &&
				    t->recovery.backoffs == 0;
		e->asked = e->asked_accurate ||
			   (t->set.ecn == TOW_TCP_ECN_ASK && !again);
		put_ace(h, e->asked_accurate ? 7 : e->asked ? 3 : 0);
	}
}

/* RFC 9768 3.1.2, table 2: the version that a SYN-ACK agrees to. */
static void learn_answer(struct ecn *e, uint8_t ace)
{
	bool classic = ace == 1 || (ace == 5 && e->asked_accurate);

	e->accurate = e->asked_accurate && !classic && ace != 0 && ace != 7;
	/* 3 without AccECN: it only reflects our SYN. */
	e->on = e->accurate || (e->asked && classic);
	e->tell_syn = e->accurate;
}

/* The peer's SYN or SYN-ACK came: RFC 3168 6.1.1. */
void ecn_learn_syn(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct ecn *e = &t->ecn;
	uint8_t ace = ace_of(seg);

	e->syn_ecn = seg->ip_ecn & ECN_BITS;
	e->reacted = t->snd.una;
	e->ace = ACE_FIRST;
	if (seg->flags & TH_ACK) {
		learn_answer(e, ace);
		return;
	}
	e->accurate = ace == 7 && t->set.ecn == TOW_TCP_ECN_ACCURATE;
	e->on = e->accurate ||
		((ace & 3) == 3 && t->set.ecn != TOW_TCP_ECN_OFF);
}

/*
 * RFC 9768 3.2.2.1, table 4: the ACK of our SYN-ACK. 0 means that something on
 * the path clears the flags: then marks would not be heard of.
 */
void ecn_learn_ack(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct ecn *e = &t->ecn;
	uint8_t ace = ace_of(seg);

	if (!e->accurate || !t->passive)
		return;
	e->deaf = ace == 0 && seg->sack_count == 0;
	if (ace == ace_for_syn(CE))
		e->ace = ACE_FIRST + 1;
	e->skip_ack = true;
}

/* ------------------------------------------------------------ as a receiver */

/*
 * An acceptable segment with payload. The peer's CWR comes first: a mark on the
 * same segment is newer. The first mark is answered at once, and so is CWR,
 * because the peer's window may be down to one segment.
 */
void ecn_on_payload(struct tow_tcp *t, const struct wire_tcp *seg,
		    uint32_t packets)
{
	struct ecn *e = &t->ecn;
	bool marked = seg->ip_ecn == CE;

	if (!e->on)
		return;
	if (e->accurate) { /* ACKs go for each second segment anyway */
		e->marks_in += marked ? packets : 0;
		return;
	}
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

/* At most once in a round trip; a loss in the same one did it already. */
static void react(struct tow_tcp *t, const struct ack_news *news)
{
	t->ecn.reacted = t->snd.nxt;
	if (t->recovery.state == RECOVERY_NONE)
		congestion_on_ecn(t, tcp_flight_before(t, news));
}

/*
 * RFC 9768 3.2.2.5: an ACK that says something new, not one that comes late.
 * The count may have gone round when it is for more than seven packets; that
 * there were marks at all is what we react to.
 */
static void on_ace(struct tow_tcp *t, const struct wire_tcp *seg,
		   const struct ack_news *news)
{
	struct ecn *e = &t->ecn;
	uint8_t more = (uint8_t)((ace_of(seg) - e->ace) & ACE_BITS);
	bool is_new = news->acked_bytes || news->sacked_bytes;

	if (e->skip_ack || e->deaf || !is_new || !more) {
		e->skip_ack = false;
		return;
	}
	e->ace = (e->ace + more) & ACE_BITS;
	e->marks_out += more;
	if (seq_after(seq_of(seg->acknowledgement), e->reacted))
		react(t, news);
}

/* An acceptable acknowledgement, after it was entered: RFC 3168 6.1.2. */
void ecn_on_ack(struct tow_tcp *t, const struct wire_tcp *seg,
		const struct ack_news *news)
{
	struct ecn *e = &t->ecn;

	if (!e->on)
		return;
	if (e->accurate) {
		on_ace(t, seg, news);
		return;
	}
	if (!(seg->flags & TH_ECE) || seg->flags & TH_SYN ||
	    !seq_after(seq_of(seg->acknowledgement), e->reacted))
		return;
	e->marks_out++;
	e->say_cwr = true;
	react(t, news);
}

/* The count; or in the first ACK of a client, what its SYN-ACK looked like. */
static void mark_accurate(struct tow_tcp *t, struct wire_tcp *h, bool fresh)
{
	struct ecn *e = &t->ecn;

	put_ace(h, e->tell_syn ? ace_for_syn(e->syn_ecn)
			       : (ACE_FIRST + e->marks_in) & ACE_BITS);
	e->tell_syn = false;
	if (fresh && !e->deaf)
		t->path.tos |= ECT0;
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
	if (e->accurate) {
		mark_accurate(t, h, fresh);
		return;
	}
	if (e->echo)
		h->flags |= TH_ECE;
	if (!fresh)
		return;
	t->path.tos |= ECT0;
	if (e->say_cwr)
		h->flags |= TH_CWR;
	e->say_cwr = false;
}
