/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Detecting loss and repairing it.
 *
 * With SACK this is RFC 6675: a record is lost when three discontiguous runs,
 * or more than two segments' worth, were SACKed above it. Without, it is the
 * NewReno of RFC 6582: three duplicate acknowledgements mean that the first
 * segment is lost, and in recovery each partial acknowledgement means the next
 * one is. Both send under the same rule, "pipe < cwnd": without SACK each
 * duplicate acknowledgement stands for one segment that left the network,
 * which is what the inflated window of RFC 5681 3.2 says in other words, and
 * is bounded by what is in flight (Savage's attack).
 *
 *	        dup ACKs, SACK above                una >= point
 *	NONE ---------------------------> FAST ---------------------> NONE
 *	  \                                |
 *	   \------- retransmission timer --+--> LOSS --- una >= point --> NONE
 *
 * Records say themselves whether they are lost and whether they were sent
 * again; recovery_next_lost() finds the one whose turn it is.
 */
#include "tcp/tcp_private.h"

uint32_t recovery_pipe(const struct tow_tcp *t)
{
	uint32_t pipe = flight_pipe(t);
	uint32_t departed = (uint32_t)t->recovery.dup_acks * t->snd.mss;

	if (t->sack)
		return pipe;
	return pipe > departed ? pipe - departed : 0;
}

/* Only what was not sent again yet can be lost anew by the same evidence. */
static void mark_lost(struct tow_tcp *t, struct sent *s)
{
	if (!(s->flags & (SENT_SACKED | SENT_LOST)))
		flight_mark(t, s, SENT_LOST, 0);
}

/* The first segment's worth that is in flight is lost. */
static void mark_first_lost(struct tow_tcp *t)
{
	struct sent *s = flight_first(t);

	if (!s || s->flags & (SENT_SACKED | SENT_LOST))
		return;
	if (s->bytes > t->snd.mss)
		flight_split(t, s, t->snd.mss);
	mark_lost(t, s);
}

/*
 * RFC 6675 4, IsLost(), for all records at once: walk down from the highest
 * SACKed byte, counting what was SACKed, until that is enough; all below is
 * lost. What lies below lost_below was settled by an earlier walk.
 */
static void mark_lost_by_sack(struct tow_tcp *t)
{
	struct flight *f = &t->flight;
	struct sent *s = flight_at(t, seq_sub(f->highest_sack, 1));
	uint32_t runs = 0, bytes = 0;

	for (; s && seq_after(sent_end(s), f->lost_below); s = flight_prev(s)) {
		if (s->flags & SENT_SACKED) {
			runs++;
			bytes += s->bytes;
		}
		if (runs >= TCP_DUP_THRESHOLD ||
		    bytes > (TCP_DUP_THRESHOLD - 1u) * t->snd.mss)
			break;
	}
	if (!s || !seq_after(sent_end(s), f->lost_below))
		return;
	for (struct sent *l = s; l && !seq_before(l->seq, f->lost_below);
	     l = flight_prev(l))
		mark_lost(t, l);
	f->lost_below = s->seq;
}

static bool first_is_lost(const struct tow_tcp *t)
{
	const struct sent *s = flight_first(t);

	return s && s->flags & SENT_LOST;
}

static void enter_fast(struct tow_tcp *t)
{
	struct recovery *r = &t->recovery;

	if (t->mtu.probe && mtu_probe_lost(t))
		return;
	r->state = RECOVERY_FAST;
	r->point = t->snd.nxt;
	t->cc.ssthresh = congestion_ops(t)->threshold(t);
	t->cc.cwnd = t->cc.ssthresh;
	mark_first_lost(t);
	tcp_count(t, TOW_COUNTER_TCP_FAST_RECOVERY);
}

static void leave(struct tow_tcp *t)
{
	struct recovery *r = &t->recovery;
	uint32_t in_flight = MAX(tcp_in_flight(t), t->snd.mss);

	/* RFC 6582 3.2, step 3, option 1: no burst; with SACK, pipe sees to it
	 */
	if (r->state == RECOVERY_FAST && !t->sack)
		t->cc.cwnd = MIN(t->cc.ssthresh, in_flight + t->snd.mss);
	r->state = RECOVERY_NONE;
	r->dup_acks = 0;
}

/* RFC 6582 3.2, step 3: the hole after a partial acknowledgement is next. */
static void on_partial_ack(struct tow_tcp *t, uint32_t acked_bytes)
{
	struct recovery *r = &t->recovery;
	uint32_t segments = acked_bytes / t->snd.mss;

	if (t->sack)
		return;
	r->dup_acks -= (uint16_t)MIN(r->dup_acks, segments);
	if (r->state == RECOVERY_FAST)
		mark_first_lost(t);
}

/* No more duplicates can be true than segments were out when it began. */
static void count_duplicate(struct tow_tcp *t)
{
	struct recovery *r = &t->recovery;
	struct seq end = r->state == RECOVERY_NONE ? t->snd.nxt : r->point;
	uint32_t out = (uint32_t)MAX(0, seq_diff(end, t->snd.una));

	if (r->dup_acks < MIN(out / t->snd.mss + 1, UINT16_MAX))
		r->dup_acks++;
}

/*
 * An acceptable acknowledgement was entered into the scoreboard.
 * @duplicate: by RFC 5681 2, or by new SACK blocks (RFC 6675 2)
 */
void recovery_on_ack(struct tow_tcp *t, const struct wire_tcp *seg,
		     struct ack_news *news, bool duplicate)
{
	struct recovery *r = &t->recovery;

	(void)seg;
	if (news->acked_bytes) {
		r->backoffs = 0;
		if (r->state != RECOVERY_NONE &&
		    !seq_before(t->snd.una, r->point))
			leave(t);
		else if (r->state != RECOVERY_NONE)
			on_partial_ack(t, news->acked_bytes);
		else
			r->dup_acks = 0;
	}
	if (duplicate)
		count_duplicate(t);
	if (news->sacked_bytes)
		mark_lost_by_sack(t);
	if (r->state == RECOVERY_NONE && tcp_in_flight(t) > 0 &&
	    (r->dup_acks >= TCP_DUP_THRESHOLD ||
	     (news->sacked_bytes && first_is_lost(t))))
		enter_fast(t);
}

/* RFC 2018 8: a peer that drops what it SACKed shows it at SND.UNA. */
static bool peer_reneged(const struct tow_tcp *t)
{
	const struct sent *s = flight_first(t);

	return s && s->flags & SENT_SACKED;
}

static void forget_sacks(struct tow_tcp *t)
{
	for (struct sent *s = flight_first(t); s; s = flight_next(s))
		flight_mark(t, s, 0, SENT_SACKED);
}

/* RFC 6298 5.4 to 5.6, RFC 5681 3.1: the retransmission timer expired. */
void recovery_on_timeout(struct tow_tcp *t)
{
	struct recovery *r = &t->recovery;
	bool scarce = flight_records_are_scarce(t);

	/* Only the first timeout of a series says something about the path. */
	if (r->state != RECOVERY_LOSS)
		t->cc.ssthresh = congestion_ops(t)->threshold(t);
	if (scarce || peer_reneged(t))
		forget_sacks(t);
	flight_all_lost(t, scarce);
	r->state = RECOVERY_LOSS;
	r->point = t->snd.nxt;
	r->dup_acks = 0;
	t->cc.cwnd = t->snd.mss;
	congestion_ops(t)->restart(t);
	tcp_count(t, TOW_COUNTER_TCP_RTO);
}

static bool waits(const struct sent *s)
{
	return (s->flags & (SENT_LOST | SENT_RETRANS | SENT_SACKED)) ==
	       SENT_LOST;
}

/*
 * RFC 6675 4, NextSeg() rule 3: nothing is known to be lost and nothing new may
 * be sent, but there is room. Then what lies between SACKed bytes is taken for
 * lost although too little was SACKed above it.
 *
 * Returns: false when there is nothing to suspect.
 */
bool recovery_suspect(struct tow_tcp *t)
{
	struct flight *f = &t->flight;
	struct sent *s = flight_at(t, f->lost_below);

	if (t->recovery.state != RECOVERY_FAST || !t->sack)
		return false;
	while (s && s->flags & (SENT_SACKED | SENT_LOST))
		s = flight_next(s);
	if (!s || !seq_before(s->seq, f->highest_sack))
		return false;
	if (s->bytes > t->snd.mss && !flight_split(t, s, t->snd.mss))
		return false;
	f->lost_below = sent_end(s);
	mark_lost(t, s);
	return true;
}

/* RFC 6675 4, NextSeg() rule 1: the first lost record not sent again yet. */
struct sent *recovery_next_lost(struct tow_tcp *t)
{
	struct flight *f = &t->flight;
	struct sent *s;

	if (f->lost_bytes == f->retrans_bytes)
		return NULL;
	s = flight_at(t, f->resend_from);
	if (!s)
		s = flight_first(t);
	while (s && !waits(s))
		s = flight_next(s);
	if (s)
		f->resend_from = s->seq;
	return s;
}
