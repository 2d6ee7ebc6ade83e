/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a loss leads to: fast recovery, or recovery after a timeout.
 *
 * With SACK, RACK says which segments are lost (rack.c). Without, it is the
 * NewReno of RFC 6582: three duplicate acknowledgements mean that the first
 * segment is lost, and in recovery each partial acknowledgement means the next
 * one is. Both send under the same rule, "pipe < cwnd" (RFC 6675 4): without
 * SACK each duplicate acknowledgement stands for one segment that left the
 * network, which is what the inflated window of RFC 5681 3.2 says in other
 * words, and is bounded by what is in flight (Savage's attack). So the first
 * two duplicates send new data (RFC 3042), and in recovery cwnd is what PRR
 * says (prr.c).
 *
 *	      something is lost                   una >= point
 *	NONE -------------------> FAST ---------------------------> NONE
 *	  \                        |      or nothing was lost after all
 *	   \-------- RTO ----------+----> LOSS --------------------> NONE
 *
 * That nothing was lost after all is found by F-RTO (frto.c), or by timestamps
 * and D-SACK (undo.c).
 *
 * Records say themselves whether they are lost and whether they were sent
 * again; recovery_next_lost() finds the one whose turn it is.
 */
#include "tcp/tcp_private.h"

/* Without SACK: what left the network, by the duplicates. */
uint32_t recovery_departed(const struct tow_tcp *t)
{
	return t->sack ? 0 : (uint32_t)t->recovery.dup_acks * t->snd.mss;
}

uint32_t recovery_pipe(const struct tow_tcp *t)
{
	uint32_t pipe = flight_pipe(t), departed = recovery_departed(t);

	return pipe > departed ? pipe - departed : 0;
}

/* Something is sent, anew or @again. */
void recovery_sent(struct tow_tcp *t, uint32_t bytes, bool again)
{
	if (t->recovery.state == RECOVERY_FAST)
		t->recovery.prr.out += bytes;
	if (again && t->recovery.may_undo)
		undo_note_resent(t, bytes);
}

/* The first segment's worth that is in flight is lost. */
static void mark_first_lost(struct tow_tcp *t)
{
	struct sent *s = flight_first(t);

	if (!s || s->flags & (SENT_SACKED | SENT_LOST))
		return;
	if (s->bytes > t->snd.mss)
		flight_split(t, s, t->snd.mss);
	flight_mark(t, s, SENT_LOST, 0);
}

/*
 * RFC 5681 3.2 (2): what went out beyond cwnd, for duplicates or for what was
 * SACKed, is not part of the flight that is halved.
 */
static void enter_fast(struct tow_tcp *t, const struct ack_news *news)
{
	struct recovery *r = &t->recovery;
	uint32_t flight = MIN(tcp_flight_before(t, news), t->cc.cwnd);

	undo_prepare(t);
	tlp_reset(t);
	if (t->mtu.probe && mtu_probe_lost(t)) {
		r->may_undo = false;
		return;
	}
	r->state = RECOVERY_FAST;
	r->adapt = false;
	r->point = t->snd.nxt;
	t->cc.ssthresh = congestion_ops(t)->threshold(t, flight);
	ecn_reduced(t);
	if (!t->sack)
		mark_first_lost(t);
	prr_begin(t, news);
	tcp_count(t, TOW_COUNTER_TCP_FAST_RECOVERY);
}

/*
 * The window after fast recovery: RFC 9937 6.2. Without SACK one ACK may cover
 * all that is in flight, and pipe does not stop a burst: RFC 6582 3.2, step 3,
 * option 1.
 */
static uint32_t window_after_fast(const struct tow_tcp *t)
{
	uint32_t in_flight = MAX(tcp_in_flight(t), t->snd.mss);

	if (t->sack)
		return t->cc.ssthresh;
	return MIN(t->cc.ssthresh, in_flight + t->snd.mss);
}

/* All that was in flight when it began has arrived. */
static void leave(struct tow_tcp *t, const struct ack_news *news)
{
	struct recovery *r = &t->recovery;

	if (r->state == RECOVERY_FAST)
		t->cc.cwnd = window_after_fast(t);
	if (!undo_is_due(t, news)) {
		rack_recovered(t);
	} else {
		undo_reduction(t);
		if (r->state == RECOVERY_LOSS)
			undo_timeout(t);
	}
	r->state = RECOVERY_NONE;
	r->frto = FRTO_OFF;
	r->dup_acks = 0;
	r->careful = !t->sack && seq_eq(t->snd.una, r->point);
}

/* Nothing was lost: what RACK took for lost was overtaken. RFC 4015 3. */
static void take_back(struct tow_tcp *t)
{
	struct recovery *r = &t->recovery;

	undo_reduction(t);
	flight_none_lost(t);
	if (r->state == RECOVERY_FAST)
		t->rack.reordering_seen = true;
	else
		undo_timeout(t);
	r->state = RECOVERY_NONE;
	r->frto = FRTO_OFF;
	r->dup_acks = 0;
}

/* RFC 6582 3.2, step 3: the hole after a partial acknowledgement is next. */
static void on_partial_ack(struct tow_tcp *t, uint32_t acked_bytes)
{
	struct recovery *r = &t->recovery;
	uint32_t segments = acked_bytes / t->snd.mss;

	if (t->sack || acked_bytes == 0)
		return;
	r->dup_acks -= (uint16_t)MIN(r->dup_acks, segments);
	if (r->state == RECOVERY_FAST)
		mark_first_lost(t);
}

/*
 * No more duplicates can be true than segments were out when it began. Outside
 * of a recovery the third begins one, or says nothing (RFC 6582 3.2 (2)): what
 * goes beyond cwnd is two segments, RFC 3042 2.
 */
static uint32_t duplicates_max(const struct tow_tcp *t)
{
	const struct recovery *r = &t->recovery;
	struct seq end = r->state == RECOVERY_NONE ? t->snd.nxt : r->point;
	uint32_t out = (uint32_t)MAX(0, seq_diff(end, t->snd.una));
	uint32_t most = UINT16_MAX;

	if (r->state == RECOVERY_NONE)
		most = TCP_DUP_THRESHOLD - (r->careful ? 1 : 0);
	return MIN((out + t->snd.mss - 1) / t->snd.mss, most);
}

static void count_duplicate(struct tow_tcp *t)
{
	if (t->recovery.dup_acks < duplicates_max(t))
		t->recovery.dup_acks++;
}

/* Where the recovery stands after an ACK. */
static void follow(struct tow_tcp *t, const struct ack_news *news,
		   bool duplicate)
{
	struct recovery *r = &t->recovery;

	if (r->state == RECOVERY_NONE) {
		if (undo_all_were_duplicates(t))
			undo_reduction(t);
		if (news->acked_bytes) {
			r->dup_acks = 0;
			r->careful = false;
		}
	} else if (!seq_before(t->snd.una, r->point)) {
		leave(t, news);
	} else if (undo_is_proven(t, news) ||
		   (r->state == RECOVERY_LOSS &&
		    frto_on_ack(t, news, duplicate))) {
		take_back(t);
	} else {
		on_partial_ack(t, news->acked_bytes);
	}
}

/*
 * RFC 9937 6.1, DeliveredData without SACK: a segment for each duplicate, and
 * of what is acknowledged what no duplicate stood for.
 */
uint32_t recovery_delivered(const struct tow_tcp *t,
			    const struct ack_news *news, bool duplicate)
{
	uint32_t known = MIN(recovery_departed(t), news->acked_bytes);

	return duplicate ? t->snd.mss : news->acked_bytes - known;
}

/* Is something lost, that was not before? */
static bool detect_loss(struct tow_tcp *t)
{
	struct recovery *r = &t->recovery;

	if (t->sack)
		return rack_detect_loss(t) > 0;
	return r->state == RECOVERY_NONE && !r->careful &&
	       tcp_in_flight(t) > 0 && r->dup_acks >= TCP_DUP_THRESHOLD;
}

/*
 * An acceptable acknowledgement was entered into the scoreboard.
 * @duplicate: by RFC 5681 2, or by new SACK blocks (RFC 6675 2)
 */
void recovery_on_ack(struct tow_tcp *t, const struct wire_tcp *seg,
		     const struct ack_news *news, bool duplicate)
{
	struct recovery *r = &t->recovery;
	bool lost;

	undo_note_dsack(t, news);
	rack_adapt(t, news);
	tlp_on_ack(t, seg, news);
	follow(t, news, duplicate);
	if (duplicate)
		count_duplicate(t);
	lost = detect_loss(t);
	if (lost && r->state == RECOVERY_NONE)
		enter_fast(t, news);
	if (r->state == RECOVERY_FAST && news->delivered_bytes)
		prr_on_ack(t, news->delivered_bytes,
			   t->sack && news->acked_bytes && !lost);
}

/* RFC 8985 6.2 step 5: what was overtaken by more than the window. */
void recovery_on_reorder_timeout(struct tow_tcp *t)
{
	struct ack_news nothing = { 0 };

	if (rack_detect_loss(t) == 0)
		return;
	if (t->recovery.state == RECOVERY_NONE)
		enter_fast(t, &nothing);
	if (t->recovery.state == RECOVERY_FAST)
		prr_on_ack(t, 0, false);
	tcp_want_output(t);
}

/* RFC 2018 8: a peer that drops what it SACKed shows it at SND.UNA. */
static bool peer_reneged(const struct tow_tcp *t)
{
	const struct sent *s = flight_first(t);

	return s && s->flags & SENT_SACKED;
}

/*
 * RFC 6298 5.4 to 5.6, RFC 5681 3.1: the retransmission timer expired. One
 * segment goes out, beside what was sent so shortly before that it is not
 * taken for lost (RFC 8985 6.3).
 */
void recovery_on_timeout(struct tow_tcp *t)
{
	struct recovery *r = &t->recovery;
	bool scarce = flight_records_are_scarce(t);
	bool first = r->state != RECOVERY_LOSS || r->backoffs == 0;

	/* Only the first timeout of a series says something about the path. */
	if (first && r->state != RECOVERY_FAST)
		undo_prepare(t);
	if (first) {
		undo_note_timeout(t);
		t->cc.ssthresh =
			congestion_ops(t)->threshold(t, tcp_in_flight(t));
		ecn_reduced(t);
	}
	frto_begin(t, r->backoffs > 0);
	tlp_reset(t);
	timer_clear(t, TIMER_LOSS);
	if (scarce || peer_reneged(t))
		flight_forget_sacks(t);
	flight_all_lost(t, scarce);
	r->state = RECOVERY_LOSS;
	r->point = t->snd.nxt;
	r->dup_acks = 0;
	t->cc.cwnd = recovery_pipe(t) + t->snd.mss;
	congestion_ops(t)->restart(t);
	tcp_count(t, TOW_COUNTER_TCP_RTO);
}

/* RFC 6675 4, NextSeg() rule 1: the first lost record not sent again yet. */
struct sent *recovery_next_lost(const struct tow_tcp *t)
{
	return frto_wants_news(t) ? NULL : flight_first_waiting(t);
}
