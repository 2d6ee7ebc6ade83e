/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RACK: which segments are lost, by time (RFC 8985 6).
 *
 * A segment is lost when one that was sent later has arrived, and it had the
 * reordering window more than a round trip for the same:
 *
 *	sent_us          + RACK.rtt           + reo_wnd
 *	   |------------------|-------------------|-----> lost
 *	   this one sent      its ACK was due     in case that it was overtaken
 *
 * "Sent" is the last time: so a retransmission that is lost is found like any
 * other, and so is what a tail loss probe reveals (tlp.c).
 *
 * The window is zero in a recovery, or once three segments are SACKed, as long
 * as nothing was ever seen to arrive out of order; then RACK is as fast as the
 * three duplicates of RFC 5681. From then on it is a quarter of the shortest
 * round trip (or the smoothed one, until the shortest is known), and a quarter
 * more for each round in which the peer reports a needless retransmission
 * (D-SACK), for the next 16 recoveries. It never exceeds the smoothed round
 * trip.
 *
 * The records that may be on their way are in a list in the order in which they
 * were sent (by_time), so a look ends at the first that is not overdue:
 * one compare an ACK while nothing is lost, and each loss is found once. RFC
 * 8985 6.2 waits for the last one that might be overdue, to set one timer for
 * all; here TIMER_LOSS is set for the first, which is known without a search.
 *
 * This needs SACK; without it recovery.c counts duplicates (RFC 6582).
 */
#include "tcp/tcp_private.h"

#define PERSIST 16 /* recoveries: RFC 8985 6.2 step 4 */

void rack_init(struct tow_tcp *t)
{
	t->rack = (struct rack){ .reo_wnd_mult = 1 };
}

/*
 * RACK_sent_after(): at one time, what is higher was sent later, unless it was
 * sent again; then nobody knows.
 */
static bool sent_before(uint64_t a_us, struct seq a, uint64_t b_us,
			struct seq b)
{
	return a_us < b_us || (a_us == b_us && seq_before(a, b));
}

/*
 * Did the original arrive, and not what was sent again just now? An echo from
 * before it was sent says so, and so does a round trip that cannot be.
 */
static bool is_of_the_original(const struct tow_tcp *t, const struct sent *s,
			       const struct ack_news *news)
{
	uint64_t ago_us = tcp_now(t) - s->sent_us;
	uint32_t sent_ts = tcp_timestamp(t) - (uint32_t)(tcp_now(t) / 1000) +
			   (uint32_t)(s->sent_us / 1000);

	if (!(s->flags & SENT_EVER_RETRANS))
		return false;
	if (news->has_echo && (int32_t)(news->ts_echo - sent_ts) < 0)
		return true;
	return ago_us < t->rtt.min_us;
}

/* 6.2 step 2, RACK_update(): @s, or all of it before @end, has arrived. */
void rack_delivered(struct tow_tcp *t, const struct sent *s, struct seq end,
		    const struct ack_news *news)
{
	struct rack *r = &t->rack;

	if (is_of_the_original(t, s, news))
		return;
	r->rtt_us = (uint32_t)MIN(tcp_now(t) - s->sent_us, UINT32_MAX);
	if (r->xmit_us && !sent_before(r->xmit_us, r->end, s->sent_us, end))
		return;
	r->xmit_us = s->sent_us;
	r->end = end;
}

/* 6.2 steps 3 and 4: what the ACK says of reordering. */
void rack_adapt(struct tow_tcp *t, const struct ack_news *news)
{
	struct rack *r = &t->rack;

	if (news->reordered)
		r->reordering_seen = true;
	if (r->in_dsack_round && !seq_before(t->snd.una, r->dsack_round))
		r->in_dsack_round = false;
	/* A probe that was not needed says nothing about reordering. */
	if (!news->dsack || r->in_dsack_round || tlp_came_twice(t, news))
		return;
	r->in_dsack_round = true;
	r->dsack_round = t->snd.nxt;
	r->reo_wnd_mult = (uint8_t)MIN(r->reo_wnd_mult + 1, UINT8_MAX);
	r->reo_wnd_persist = PERSIST;
}

/* 6.2 step 4: a recovery has ended, and was needed. */
void rack_recovered(struct tow_tcp *t)
{
	struct rack *r = &t->rack;

	if (r->reo_wnd_persist > 0)
		r->reo_wnd_persist--;
	if (r->reo_wnd_persist == 0)
		r->reo_wnd_mult = 1;
}

/* 6.2 step 4, RACK_update_reo_wnd() */
static uint64_t reo_wnd_us(const struct tow_tcp *t)
{
	const struct rack *r = &t->rack;
	uint32_t shortest_us = t->rtt.min_us ? t->rtt.min_us : t->rtt.srtt_us;

	if (!r->reordering_seen &&
	    (t->recovery.state != RECOVERY_NONE ||
	     t->flight.sacked_packets >= TCP_DUP_THRESHOLD))
		return 0;
	return MIN((uint64_t)r->reo_wnd_mult * shortest_us / 4, t->rtt.srtt_us);
}

static uint64_t overdue_at_us(const struct tow_tcp *t, const struct sent *s)
{
	return s->sent_us + t->rack.rtt_us + reo_wnd_us(t);
}

/* 6.3, RACK_mark_losses_on_RTO(): or was it sent a moment ago? */
bool rack_is_overdue(const struct tow_tcp *t, const struct sent *s)
{
	return !t->sack || s == flight_first(t) ||
	       overdue_at_us(t, s) <= tcp_now(t);
}

/*
 * 6.2 step 5, RACK_detect_loss(): mark what is lost, and set the timer for what
 * will be, unless it arrives before.
 *
 * Returns: how many bytes were found lost.
 */
uint32_t rack_detect_loss(struct tow_tcp *t)
{
	const struct rack *r = &t->rack;
	uint64_t due_us = 0;
	uint32_t lost = 0;

	for (struct sent *s = t->flight.oldest, *next; s; s = next) {
		next = flight_sent_after(t, s);
		if (s->sent_us == r->xmit_us && s->flags & SENT_EVER_RETRANS)
			continue;
		if (!sent_before(s->sent_us, sent_end(s), r->xmit_us, r->end))
			break;
		due_us = overdue_at_us(t, s);
		if (due_us > tcp_now(t))
			break;
		due_us = 0;
		lost += s->bytes;
		flight_mark(t, s, SENT_LOST, SENT_RETRANS);
	}
	if (due_us) {
		t->tlp.timer = false;
		timer_set(t, TIMER_LOSS, due_us);
	} else if (!t->tlp.timer) {
		timer_clear(t, TIMER_LOSS);
	}
	return lost;
}
