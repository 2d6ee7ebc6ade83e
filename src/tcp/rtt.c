/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Round-trip time and the retransmission timeout: RFC 6298.
 *
 * Samples come from segments that were sent once only (Karn's algorithm), in
 * microseconds. What was sent again is measured by the timestamp it echoes, in
 * milliseconds: that may be more than the round trip took, and so it is never
 * the minimum, by which others tell what cannot be. That is 0 while nothing was
 * measured exactly.
 *
 * The clock granularity G of the RFC is that of the timers, TCP_TICK_US: on a
 * path whose round trip never varies, RTTVAR goes to nothing, and a timeout of
 * SRTT would race with each ACK.
 */
#include "tcp/tcp_private.h"

void rtt_init(struct rtt *rtt)
{
	*rtt = (struct rtt){ .rto_us = TCP_RTO_FIRST_US };
}

/* 2.2 to 2.5, with K = 4, and 4: G where the variation is less. */
static void bound(struct rtt *rtt)
{
	rtt->rto_us = rtt->srtt_us + MAX(TCP_TICK_US, 4 * rtt->rttvar_us);
	rtt->rto_us = MAX(rtt->rto_us, TCP_RTO_MIN_US);
	rtt->rto_us = MIN(rtt->rto_us, TCP_RTO_MAX_US);
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
	bound(rtt);
}

/* Both are known better than by smoothing: RFC 4015 3.2 step 8. */
void rtt_set(struct rtt *rtt, uint32_t srtt_us, uint32_t rttvar_us)
{
	rtt->srtt_us = srtt_us;
	rtt->rttvar_us = rttvar_us;
	bound(rtt);
}

void rtt_sample(struct rtt *rtt, uint64_t us)
{
	uint32_t r = (uint32_t)MAX(MIN(us, TCP_RTO_MAX_US), 1);

	smooth(rtt, r);
	rtt->min_us = rtt->min_us ? MIN(rtt->min_us, r) : r;
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
	uint64_t rto_us = (uint64_t)t->rtt.rto_us
			  << MIN(t->recovery.doublings, 16);

	return (uint32_t)MIN(rto_us, TCP_RTO_MAX_US);
}
