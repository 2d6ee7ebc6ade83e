/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivery rate estimation: draft-cheng-iccrg-delivery-rate-estimation, in the
 * words of draft-ietf-ccwg-bbr-06 4.1, which took it over.
 *
 * Each segment remembers what had been delivered when it was sent, and when
 * that was. As it is acknowledged, what was delivered since then, over the time
 * that it took, is a sample of the path's rate; the time is that of sending or
 * that of acknowledging, whichever is longer, so that neither ACKs that come in
 * a bunch nor segments that went out in one make the path look faster.
 *
 *	sent:   rate_sent()       the mark of the segment
 *	ACK:    rate_begin()      nothing is known yet
 *	        rate_delivered()  for each segment: the newest has the sample
 *	        rate_lost()       for each that is taken for lost
 *	        rate_sample()     the rate, if it can be trusted
 *
 * While the program gave too little to send, samples are low for that reason
 * and say so (app_limited), until what was in flight then is delivered.
 *
 * Counts of bytes and times in a mark are the low 32 bits. What counts is
 * differences, and a segment is in flight for less than an hour and a gibibyte.
 */
#include "tcp/tcp_private.h"

static uint32_t now(const struct tow_tcp *t)
{
	return (uint32_t)tcp_now(t);
}

/* Is @a at or after @b? */
static bool reached(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) >= 0;
}

/* They lie beside the records, so that those are no larger for it. */
struct rate_mark *rate_mark(const struct tow_tcp *t, const struct sent *s)
{
	return &t->host->marks[s - t->host->sents];
}

/* What is in flight already counts as sent now: that makes rates low. */
void rate_init(struct tow_tcp *t)
{
	struct rate *r = &t->paced->rate;

	*r = (struct rate){ .delivered_us = now(t), .first_sent_us = now(t) };
	for (struct sent *s = flight_first(t); s; s = flight_next(s))
		*rate_mark(t, s) = (struct rate_mark){
			.delivered_us = now(t),
			.first_sent_us = (uint32_t)s->sent_us,
			.in_flight = MIN(flight_pipe(t), INT32_MAX),
		};
}

/* 4.1.2.2; @in_flight: with this one */
void rate_sent(struct tow_tcp *t, const struct sent *s, uint32_t in_flight)
{
	struct rate *r = &t->paced->rate;

	if (in_flight <= s->bytes)
		r->first_sent_us = r->delivered_us = now(t);
	*rate_mark(t, s) = (struct rate_mark){
		.delivered = r->delivered,
		.lost = r->lost,
		.delivered_us = r->delivered_us,
		.first_sent_us = r->first_sent_us,
		.in_flight = MIN(in_flight, INT32_MAX),
		.app_limited = r->app_limited,
	};
}

void rate_begin(struct tow_tcp *t)
{
	t->paced->rate.rs = (struct rate_sample){ 0 };
}

/* Was it sent after all that were delivered so far? */
static bool is_newest(const struct rate *r, const struct sent *s)
{
	uint32_t sent_us = (uint32_t)s->sent_us;

	if (sent_us != r->first_sent_us)
		return reached(sent_us, r->first_sent_us);
	return seq_after(sent_end(s), r->rs.end);
}

/* @bytes of it, from the front, were acknowledged or SACKed now. */
void rate_delivered(struct tow_tcp *t, const struct sent *s, uint32_t bytes)
{
	const struct rate_mark *mark = rate_mark(t, s);
	struct rate *r = &t->paced->rate;
	struct rate_sample *rs = &r->rs;

	r->delivered += bytes;
	r->delivered_us = now(t);
	rs->newly_acked += bytes;
	if (rs->has_data && !is_newest(r, s))
		return;
	rs->has_data = true;
	rs->app_limited = mark->app_limited;
	rs->prior_delivered = mark->delivered;
	rs->prior_lost = mark->lost;
	rs->tx_in_flight = mark->in_flight;
	rs->send_us = (uint32_t)s->sent_us - mark->first_sent_us;
	rs->ack_us = now(t) - mark->delivered_us;
	rs->end = sent_end(s);
	r->first_sent_us = (uint32_t)s->sent_us;
}

void rate_lost(struct tow_tcp *t, const struct sent *s)
{
	t->paced->rate.lost += s->bytes;
	t->paced->rate.rs.newly_lost += s->bytes;
}

/* 4.1.2.3, GenerateRateSample() */
void rate_sample(struct tow_tcp *t)
{
	struct rate *r = &t->paced->rate;
	struct rate_sample *rs = &r->rs;
	uint32_t interval_us;

	if (r->app_limited && !reached(r->app_limited_until, r->delivered))
		r->app_limited = false;
	if (!rs->has_data)
		return;
	interval_us = MAX(rs->send_us, rs->ack_us);
	rs->delivered = r->delivered - rs->prior_delivered;
	rs->lost = r->lost - rs->prior_lost;
	/* Shorter than any round trip: of a segment sent again needlessly. */
	if (interval_us == 0 || interval_us < t->rtt.min_us)
		return;
	rs->bytes_per_s = (uint64_t)rs->delivered * 1000000 / interval_us;
	r->bytes_per_s = rs->bytes_per_s;
}

/* What is in flight, and comes after it until then, is of no full pipe. */
void rate_limit(struct tow_tcp *t)
{
	struct rate *r = &t->paced->rate;

	r->app_limited = true;
	r->app_limited_until = r->delivered + recovery_pipe(t);
}

/* 4.1.2.4: the program has nothing more to send, and there would be room. */
void rate_check_app_limited(struct tow_tcp *t)
{
	const struct flight *f = &t->flight;

	if (t->send.next == t->send.end && recovery_pipe(t) < t->cc.cwnd &&
	    f->lost_bytes <= f->retrans_bytes)
		rate_limit(t);
}
