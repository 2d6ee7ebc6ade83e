/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Round-trip time and the retransmission timeout: RFC 6298.
 *
 * Samples come from segments that were sent once only (Karn's algorithm), in
 * microseconds. What was sent again is measured by the timestamp it echoes, in
 * milliseconds: that may be more than the round trip took, and so it is never
 * the minimum, by which others tell what cannot be.
 *
 * The minimum is of recent round trips (RFC 8985 6.2 step 1), so that a path
 * which has become longer is believed to be in the end:
 *
 *	| last period | this period |     min_us is of both, young_min_us of
 *	              ^ began             the younger; then that one is the last
 *
 * So it is of between one period and two; after a pause it begins anew.
 *
 * The clock granularity G of the RFC is that of the timers, TCP_TICK_US: on a
 * path whose round trip never varies, RTTVAR goes to nothing, and a timeout of
 * SRTT would race with each ACK.
 */
#include "tcp/tcp_private.h"

#define MIN_PERIOD_S 150 /* two of them are Linux's five minutes */

void rtt_init(struct rtt *rtt)
{
	*rtt = (struct rtt){ 0 };
}

/* 2.1 to 2.5, with K = 4, and 4: G where the variation is less. */
uint32_t rtt_timeout_us(const struct tow_tcp *t)
{
	const struct rtt *rtt = &t->rtt;
	uint32_t rto_us;

	if (rtt->srtt_us == 0)
		return t->recovery.syn_lost ? TCP_RTO_LOST_SYN_US
					    : TCP_RTO_FIRST_US;
	rto_us = rtt->srtt_us + MAX(TCP_TICK_US, 4 * rtt->rttvar_us);
	return MIN(MAX(rto_us, TCP_RTO_MIN_US), TCP_RTO_MAX_US);
}

static void smooth(struct rtt *rtt, uint32_t r)
{
	uint32_t error;

	if (rtt->srtt_us == 0) { /* 2.2 */
		rtt->srtt_us = r;
		rtt->rttvar_us = r / 2;
	} else { /* 2.3, with alpha 1/8 and beta 1/4 */
		error = r > rtt->srtt_us ? r - rtt->srtt_us : rtt->srtt_us - r;
		rtt->rttvar_us =
			rtt->rttvar_us - rtt->rttvar_us / 4 + error / 4;
		rtt->srtt_us = MAX(1, rtt->srtt_us - rtt->srtt_us / 8 + r / 8);
	}
}

/* Both are known better than by smoothing: RFC 4015 3.2 step 8. */
void rtt_set(struct rtt *rtt, uint32_t srtt_us, uint32_t rttvar_us)
{
	rtt->srtt_us = MAX(1, srtt_us);
	rtt->rttvar_us = rttvar_us;
}

static void note_min(struct tow_tcp *t, uint32_t r)
{
	struct rtt *rtt = &t->rtt;
	uint8_t period = (uint8_t)(tcp_now_s(t) / MIN_PERIOD_S);

	if (rtt->min_us == 0) {
		rtt->min_us = rtt->young_min_us = r;
		t->rack.min_period = period;
	} else if (period != t->rack.min_period) {
		bool next = period == (uint8_t)(t->rack.min_period + 1);

		rtt->min_us = next ? rtt->young_min_us : r;
		rtt->young_min_us = r;
		t->rack.min_period = period;
	}
	rtt->young_min_us = MIN(rtt->young_min_us, r);
	rtt->min_us = MIN(rtt->min_us, r);
}

void rtt_sample(struct tow_tcp *t, uint64_t us)
{
	uint32_t r = (uint32_t)MAX(MIN(us, TCP_RTO_MAX_US), 1);

	smooth(&t->rtt, r);
	note_min(t, r);
}

/* RFC 7323 4.1: by an echo, in ticks of a millisecond that may have begun. */
void rtt_sample_echo(struct rtt *rtt, uint32_t ticks)
{
	uint32_t us = MAX(MIN(ticks, TCP_RTO_MAX_US / 1000), 1) * 1000;

	smooth(rtt, MAX(us, rtt->min_us));
}

/*
 * 5.5: doubled for each expiry, until a round trip was measured. An ACK of what
 * was sent twice measures none: were the timeout short again by then, a path
 * that has become slower would have each segment sent twice, for ever.
 */
uint32_t rtt_backed_off(const struct tow_tcp *t)
{
	uint64_t rto_us = (uint64_t)rtt_timeout_us(t)
			  << MIN(t->recovery.doublings, 16);

	return (uint32_t)MIN(rto_us, TCP_RTO_MAX_US);
}
