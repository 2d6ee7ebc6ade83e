/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking a reduction of the window back: nothing was lost, segments were only
 * overtaken or late.
 *
 * Three things prove it:
 *
 *	Eifel, RFC 3522   the ACK that advances echoes a timestamp from before
 *	                  the first retransmission: the original arrived
 *	D-SACK, RFC 3708  the peer says of every byte sent again that it had it
 *	nothing resent    all arrived before anything could be sent again
 *
 * F-RTO (frto.c) is the fourth, for timeouts. The answer is that of RFC 4015:
 * cwnd and ssthresh are what they were, but not less than they are now, unless
 * there were marks, too (ecn.c). It does not make a burst: pipe counts what is
 * on its way.
 *
 * After a timeout that was not needed, the timeout is adapted, too. The samples
 * of what was late say how slow the path was for a moment, not how slow it is,
 * and those before it said too little. So the first sample of data that was
 * sent since begins anew, from what was known before the timeout if that was
 * more, with a variation of half of it (RFC 4015 3.2 step 8).
 *
 * A peer that lies here gets what it would get by acknowledging what it does
 * not have: its own connection is faster than it should be, and it loses data.
 */
#include "tcp/tcp_private.h"

/* The window is about to be reduced for what seems to be lost. */
void undo_prepare(struct tow_tcp *t)
{
	t->recovery.undo.cwnd = t->cc.cwnd;
	t->recovery.undo.ssthresh = t->cc.ssthresh;
	t->recovery.undo.marker = t->snd.una;
	t->recovery.undo.resent_bytes = 0;
	t->recovery.resent = false;
	t->recovery.may_undo = true;
}

/* Also after the recovery: a D-SACK may come for that, too. */
void undo_note_resent(struct tow_tcp *t, uint32_t bytes)
{
	if (!t->recovery.resent)
		t->recovery.undo.resent_ts = tcp_timestamp(t);
	t->recovery.resent = true;
	t->recovery.undo.resent_bytes += bytes;
}

/* RFC 3708 3: a duplicate of what was sent in this recovery? */
void undo_note_dsack(struct tow_tcp *t, const struct ack_news *news)
{
	uint32_t bytes =
		(uint32_t)seq_diff(news->dsack_right, news->dsack_left);

	if (!news->dsack || !t->recovery.may_undo ||
	    seq_before(news->dsack_left, t->recovery.undo.marker) ||
	    seq_after(news->dsack_right, t->recovery.point))
		return;
	t->recovery.undo.resent_bytes -=
		MIN(bytes, t->recovery.undo.resent_bytes);
}

/* RFC 3522 3.2 step 5 */
static bool original_came(const struct tow_tcp *t, const struct ack_news *news)
{
	return news->acked_bytes && news->has_echo &&
	       (int32_t)(news->ts_echo - t->recovery.undo.resent_ts) < 0;
}

/* This may become known after the recovery. */
bool undo_all_were_duplicates(const struct tow_tcp *t)
{
	return t->recovery.may_undo && t->recovery.resent &&
	       t->recovery.undo.resent_bytes == 0;
}

/* In the middle of it: is it known by now? */
bool undo_is_proven(const struct tow_tcp *t, const struct ack_news *news)
{
	return undo_all_were_duplicates(t) ||
	       (t->recovery.may_undo && t->recovery.resent &&
		original_came(t, news));
}

/* At its end. */
bool undo_is_due(const struct tow_tcp *t, const struct ack_news *news)
{
	return undo_is_proven(t, news) ||
	       (t->recovery.may_undo && !t->recovery.resent);
}

/* RFC 4015 3.3 */
void undo_reduction(struct tow_tcp *t)
{
	congestion_undo(t, t->recovery.undo.cwnd,
			MAX(t->cc.ssthresh, t->recovery.undo.ssthresh));
	t->recovery.may_undo = false;
	tcp_count(t, TOW_COUNTER_TCP_UNDONE);
}

/*
 * The peer tells of marks: whatever becomes of the loss, the window was reduced
 * for those as well, and stays so (RFC 4015 3.2 step 9, MUST).
 */
void undo_keep_reduction(struct tow_tcp *t)
{
	t->recovery.undo.cwnd = t->recovery.undo.ssthresh = 0;
}

/* The first of a row of timeouts: what the estimates were before, RFC 4015 3.2. */
void undo_note_timeout(struct tow_tcp *t)
{
	t->recovery.calm.srtt_us = t->rtt.srtt_us;
	t->recovery.calm.rttvar_us = t->rtt.rttvar_us;
	t->recovery.adapt = false;
}

/* It was not needed. */
void undo_timeout(struct tow_tcp *t)
{
	t->recovery.calm.news = t->snd.nxt;
	t->recovery.adapt = true;
}

/* A round trip of @us was measured, and all up to SND.UNA is acknowledged. */
void undo_adapt_timeout(struct tow_tcp *t, uint64_t us)
{
	struct recovery *r = &t->recovery;
	uint32_t sample = (uint32_t)MIN(us, TCP_RTO_MAX_US);

	if (!seq_after(t->snd.una, r->calm.news))
		return;
	rtt_set(&t->rtt, MAX(r->calm.srtt_us, sample),
		MAX(r->calm.rttvar_us, sample / 2));
	r->adapt = false;
}
