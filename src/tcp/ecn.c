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
 * Its option (ecn_option.c) counts bytes, and tells whether the number went
 * round.
 *
 * What the two say of each other is tested, and of the path: our SYNs are not
 * ECN-capable, so if one arrives with a mark, something writes into our IP
 * headers, and no packet of ours is ECN-capable from then on (3.2.2.3).
 */
#include "tcp/tcp_private.h"

#define ECT1	 1
#define ECT0	 2 /* RFC 3168 5: not 1, which RFC 8311 keeps for others */
#define CE	 3
#define ECN_BITS 3

#define ACE_FIRST 5 /* RFC 9768 3.2.1: the counters do not begin at 0 */
#define ACE_BITS  7
#define ACE_ROUND 8
#define ACE_CWR	  2

/*
 * The share of packets without a mark is a moving average; see likely_marks().
 */
#define SHARE_ALL    UINT16_MAX
#define SHARE_WEIGHT 64 /* packets: what was before counts for half */
#define SAFELY	     4	/* times as many marks as lately */

/* So many marks ask for an ACK: RFC 9768 3.2.2.5.1. */
#define MARKS_WITH_DATA	   2u
#define MARKS_WITHOUT_DATA 3u

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

/* RFC 9768 3.2: the count of a receiver, and the one we have of the peer's. */
static uint8_t ace_in(const struct ecn *e)
{
	return (ACE_FIRST + e->marks_in) & ACE_BITS;
}

static uint8_t ace_out(const struct ecn *e)
{
	return (ACE_FIRST + e->marks_out) & ACE_BITS;
}

/* RFC 9768 3.1.2 and 3.2.2.1, tables 2 and 3: which ECN bits a SYN had. */
static uint8_t ace_for_syn(uint8_t ip_ecn)
{
	static const uint8_t ace[] = { 2, 3, 4, 6 };

	return ace[ip_ecn & ECN_BITS];
}

/* Our SYN or SYN-ACK was not ECN-capable; did it arrive otherwise? */
static bool is_mangled(uint8_t ace)
{
	return ace == ace_for_syn(ECT1) || ace == ace_for_syn(ECT0) ||
	       ace == ace_for_syn(CE);
}

/*
 * What our SYN or SYN-ACK says. One that has to be sent again asks for AccECN
 * once more (RFC 9768 3.1.4.1), for classic ECN no more. A SYN-ACK that was lost
 * twice says nothing of it (3.2.3.2.2), and no data is ECN-capable then (3.1.5).
 */
void ecn_offer(struct tow_tcp *t, struct wire_tcp *h, bool answers, bool again)
{
	struct ecn *e = &t->ecn;

	if (answers && e->accurate && t->recovery.backoffs == 0) {
		put_ace(h, ace_for_syn(e->syn_ecn));
	} else if (answers && e->accurate) {
		put_ace(h, 0);
		e->no_ect = true;
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

/*
 * RFC 9768 3.1.2, table 2: the version that a SYN-ACK agrees to. 7 only
 * reflects our SYN; 5 is kept for later, and agrees (3.1.3).
 */
static void learn_answer(struct ecn *e, uint8_t ace)
{
	e->accurate = e->asked_accurate && ace != 0 && ace != 1 && ace != 7;
	/* 3 without AccECN: it only reflects our SYN. */
	e->on = e->accurate || (e->asked && ace == 1);
	e->tell_syn = e->accurate;
	e->no_ect = e->accurate && is_mangled(ace);
	/* 3.2.2.2: a mark on it counts, once */
	e->marks_in = e->accurate && e->syn_ecn == CE;
}

/* RFC 9768 3.1.3: what nobody sends today will mean AccECN, too. */
static bool asks_for_accurate(const struct tow_tcp *t, uint8_t ace)
{
	return t->set.ecn == TOW_TCP_ECN_ACCURATE && ace != 0 && ace != 3;
}

/* The peer's SYN or SYN-ACK came: RFC 3168 6.1.1. */
void ecn_learn_syn(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct ecn *e = &t->ecn;
	uint8_t ace = ace_of(seg);

	e->syn_ecn = seg->ip_ecn & ECN_BITS;
	e->reacted = t->snd.una;
	if (seg->flags & TH_ACK) {
		learn_answer(e, ace);
		if (e->accurate)
			ecn_option_begin(t, seg);
		return;
	}
	e->accurate = asks_for_accurate(t, ace);
	e->on = e->accurate ||
		((ace & 3) == 3 && t->set.ecn != TOW_TCP_ECN_OFF);
}

/*
 * The peer's SYN came again, and ours goes again: it says how the last one
 * came (RFC 9768 3.1.5).
 *
 * Returns: false when it asks for another version, which ends the connection
 */
bool ecn_learn_syn_again(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct ecn *e = &t->ecn;
	uint8_t ace = ace_of(seg);

	if (e->accurate ? ace == 3 : e->on && asks_for_accurate(t, ace))
		return false;
	if (!e->accurate) /* RFC 3168 6.1.1: one without takes it back */
		e->on &= (ace & 3) == 3;
	e->syn_ecn = seg->ip_ecn & ECN_BITS;
	e->no_ect |= ace == 0;
	return true;
}

/* Our ACK of it was lost: the same again, RFC 9768 3.2.2.1. */
void ecn_learn_syn_ack_again(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct ecn *e = &t->ecn;

	if ((seg->flags & (TH_SYN | TH_ACK)) != (TH_SYN | TH_ACK) ||
	    t->passive || seg->sequence != t->rcv.irs.n)
		return;
	e->tell_syn = true;
	e->marks_in += seg->ip_ecn == CE && e->syn_ecn != CE;
	e->syn_ecn = seg->ip_ecn & ECN_BITS;
	ecn_option_ack_lost(t);
}

/*
 * RFC 9768 3.2.2.1, table 4: the ACK of our SYN-ACK, with nothing else, is no
 * count. 0 means that something on the path clears the flags: then marks would
 * not be heard of. Where two SYNs crossed, it may be a SYN-ACK, which is no
 * count either (3.2.2).
 */
void ecn_learn_ack(struct tow_tcp *t, const struct wire_tcp *seg,
		   uint32_t bytes)
{
	struct ecn *e = &t->ecn;
	uint8_t ace = ace_of(seg);

	if (!e->accurate)
		return;
	ecn_option_begin(t, seg);
	e->skip_ack = !t->passive;
	if (!t->passive || bytes > 0 || seg->flags & TH_FIN || seg->sack_count)
		return;
	e->skip_ack = true;
	e->deaf = ace == 0;
	e->no_ect |= is_mangled(ace);
	e->marks_out = ace == ace_for_syn(CE);
}

/* ------------------------------------------------------------ as a receiver */

/* Marks that no ACK of ours told of yet, up to seven; and these. */
static uint32_t marks_to_tell(const struct ecn *e, uint32_t more)
{
	return ((e->marks_in - e->told) & ACE_BITS) + more;
}

/*
 * An acceptable segment, with or without @bytes of payload; a device may have
 * made it of several packets. RFC 9768 3.2.2.5.1: the first mark in a row is
 * told at once, if it is on data, and some more at the latest. Where it was on
 * ACKs alone, that is an ACK of ACKs; it must not look like a duplicate, so it
 * goes without SACK blocks, unless an ACK is owed for another reason, too.
 */
void ecn_on_segment(struct tow_tcp *t, const struct wire_tcp *seg,
		    uint32_t bytes, uint32_t packets)
{
	struct ecn *e = &t->ecn;
	bool data = bytes || t->unacked_bytes;
	uint32_t enough = data ? MARKS_WITH_DATA : MARKS_WITHOUT_DATA;
	bool marked = seg->ip_ecn == CE;

	if (e->record)
		ecn_option_count(t, seg->ip_ecn, bytes);
	if (marked &&
	    ((bytes && !e->after_ce) || marks_to_tell(e, packets) >= enough)) {
		t->ack_now |= data;
		e->ack_of_acks |= !data;
		tcp_want_output(t);
	}
	e->marks_in += marked ? packets : 0;
	e->after_ce = marked;
}

/* Is the next ACK owed for nothing but marks on ACKs? */
bool ecn_acks_acks(const struct tow_tcp *t)
{
	return t->ecn.ack_of_acks && !t->ack_now && !t->unacked_bytes;
}

/*
 * An acceptable segment with payload. The peer's CWR comes first: a mark on the
 * same segment is newer. The first mark is answered at once, and so is CWR,
 * because the peer's window may be down to one segment.
 */
void ecn_on_payload(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct ecn *e = &t->ecn;

	if (!e->on || e->accurate)
		return;
	if (seg->flags & TH_CWR) {
		e->echo = false;
		t->ack_now = true;
	}
	if (seg->ip_ecn != CE)
		return;
	e->marks_in++;
	t->ack_now |= !e->echo;
	e->echo = true;
}

/* -------------------------------------------------------------- as a sender */

/* RFC 3168 6.1.2: the window was reduced for a loss. */
void ecn_reduced(struct tow_tcp *t)
{
	t->ecn.say_cwr |= t->ecn.on && !t->ecn.accurate;
}

/*
 * The ACK tells of marks, so the window does not grow by it: RFC 3168 6.1.2.
 * But after a timeout they are old: what is sent again can have none (6.1.5),
 * nor CWR, which would end the echo. One segment a round trip would be sent
 * again.
 */
bool ecn_is_echo(const struct tow_tcp *t, const struct wire_tcp *seg)
{
	return t->ecn.on && !t->ecn.accurate && seg->flags & TH_ECE &&
	       t->recovery.state != RECOVERY_LOSS;
}

/* At most once in a round trip; a loss in the same one did it already. */
static void react(struct tow_tcp *t, const struct ack_news *news)
{
	t->ecn.reacted = t->snd.nxt;
	if (t->recovery.state == RECOVERY_NONE)
		congestion_on_ecn(t, tcp_flight_before(t, news));
}

/* As many rounds of the count as @missing marks need, and @packets allow. */
static uint32_t rounds(uint32_t missing, uint32_t packets)
{
	return MIN((missing + ACE_ROUND - 1) / ACE_ROUND, packets / ACE_ROUND);
}

/* Of @packets so many had a mark, by what is likely. */
static void note_marks(struct ecn *e, uint32_t packets, uint32_t marks)
{
	int64_t clean = MAX((int64_t)packets - marks, 0) * SHARE_ALL;
	int64_t more = clean - (int64_t)e->clean * packets;

	e->clean = (uint16_t)(e->clean + more / (SHARE_WEIGHT + packets));
}

/*
 * RFC 9768 3.2.2.5.2, A.2.1: how many marks @packets may have had, without the
 * option, that an ACK is for: it may be what is left of several. The prevailing
 * conditions are the share that was marked lately, all of them at first; to be
 * on the safe side it is some times as many. And if there was no mark for a
 * round trip, most likely there is none now.
 */
static uint32_t likely_marks(const struct ecn *e, const struct wire_tcp *seg,
			     uint32_t packets, uint32_t more)
{
	uint64_t share = SAFELY * (uint64_t)(SHARE_ALL - e->clean);

	if (more == 0 && seq_after(seq_of(seg->acknowledgement), e->reacted))
		return 0;
	return (uint32_t)(packets * MIN(share, SHARE_ALL) / SHARE_ALL);
}

/*
 * The same where the bytes that were marked say how often the count went round.
 */
static uint32_t marks_by_bytes(struct tow_tcp *t, uint32_t packets,
			       uint32_t more)
{
	struct ecn *e = &t->ecn;
	uint64_t known = e->marks_out + (uint64_t)more;
	uint64_t by_bytes = ecn_option_marks(t);
	uint32_t left = packets > more ? packets - more : 0;

	if (by_bytes > known)
		more += rounds((uint32_t)MIN(by_bytes - known, UINT32_MAX),
			       left) *
			ACE_ROUND;
	/* 3.2.3.2.5: bytes were marked, but no packet? */
	if (by_bytes > 0 && e->marks_out + more == 0 && left < ACE_ROUND)
		e->no_ect = true;
	return more;
}

/* How many marks the flags tell of: they may have gone round. */
static uint32_t count_marks(struct tow_tcp *t, const struct wire_tcp *seg,
			    const struct ack_news *news)
{
	struct ecn *e = &t->ecn;
	uint32_t more = (uint8_t)(ace_of(seg) - ace_out(e)) & ACE_BITS;
	uint32_t most;

	if (e->record && ecn_option_read(t, seg))
		return marks_by_bytes(t, news->packets, more);
	most = likely_marks(e, seg, news->packets, more);
	return most > more ? most - (most - more) % ACE_ROUND : more;
}

/* An ACK that says something new, not one that comes late: RFC 9768 3.2.2.2. */
static void on_ace(struct tow_tcp *t, const struct wire_tcp *seg,
		   const struct ack_news *news)
{
	struct ecn *e = &t->ecn;
	bool is_new = news->acked_bytes || news->sacked_bytes;
	uint32_t more;

	if (e->skip_ack || e->deaf || !is_new) {
		e->skip_ack = false;
		return;
	}
	more = count_marks(t, seg, news);
	note_marks(e, news->packets, more);
	e->marks_out += more;
	if (more)
		undo_keep_reduction(t);
	if (more && seq_after(seq_of(seg->acknowledgement), e->reacted))
		react(t, news);
}

/* An acceptable acknowledgement, after it was entered: RFC 3168 6.1.2. */
void ecn_on_ack(struct tow_tcp *t, const struct wire_tcp *seg,
		const struct ack_news *news)
{
	struct ecn *e = &t->ecn;

	if (!e->on)
		return;
	/* Not so far behind that it would seem to be ahead */
	e->reacted = seq_max(e->reacted, seq_sub(t->snd.una, 1));
	if (e->accurate) {
		on_ace(t, seg, news);
		return;
	}
	if (!(seg->flags & TH_ECE) || seg->flags & TH_SYN)
		return;
	undo_keep_reduction(t);
	if (!seq_after(seq_of(seg->acknowledgement), e->reacted))
		return;
	e->marks_out++;
	e->say_cwr = true;
	react(t, news);
}

/*
 * The count; or in the first ACK of a client, if it has nothing else, what the
 * SYN-ACK looked like.
 */
static void mark_accurate(struct tow_tcp *t, struct wire_tcp *h, bool bare,
			  bool fresh)
{
	struct ecn *e = &t->ecn;
	bool tell_syn = e->tell_syn && bare && h->sack_count == 0;

	put_ace(h, tell_syn ? ace_for_syn(e->syn_ecn) : ace_in(e));
	e->tell_syn &= !tell_syn;
	e->told = e->marks_in & ACE_BITS;
	if (fresh && !e->deaf && !e->no_ect)
		t->path.tos |= ECT0;
}

/*
 * A segment is about to go out: its flags, and what its IP header says.
 * @bare:  it has neither data nor FIN
 * @fresh: it carries data, for the first time
 */
void ecn_mark(struct tow_tcp *t, struct wire_tcp *h, bool bare, bool fresh)
{
	struct ecn *e = &t->ecn;

	t->path.tos &= (uint8_t)~ECN_BITS;
	if (!e->on || h->flags & (TH_SYN | TH_RST))
		return;
	if (e->accurate) {
		mark_accurate(t, h, bare, fresh);
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

/*
 * The next segment has CWR. A device that cuts it says so with each piece, or
 * with the first alone (RFC 3168 6.1.2); of AccECN's count it is a bit, and has
 * to be on all of them as it is (RFC 9768 3.3.4).
 */
bool ecn_says_cwr(const struct tow_tcp *t)
{
	const struct ecn *e = &t->ecn;

	return e->say_cwr || (e->accurate && ace_in(e) & ACE_CWR);
}
