/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HyStart++: RFC 9406, leaving slow start before the queue overflows.
 *
 * A round is the time that one window takes: it ends when what was SND.NXT at
 * its beginning is acknowledged. When the least round-trip time of a round is
 * clearly above that of the one before, a queue has begun to grow, and slow
 * start becomes conservative (CSS): it grows by a quarter. If the round-trip
 * time falls again, that was jitter, and slow start goes on; if it does not in
 * five rounds, congestion avoidance begins.
 *
 *	slow start -- RTT grew --> CSS -- five rounds --> congestion avoidance
 *	     ^                      |
 *	     +--- RTT fell again ---+
 *
 * Only the first slow start is like this, in which nothing is known of the path
 * (ssthresh is at its highest). Its state lies where a controller has its own
 * from then on. The limit L of growth by one acknowledgement (4.2) is infinite
 * here although there is no pacing: see congestion_on_ack().
 */
#include "tcp/tcp_private.h"

#define MIN_RTT_THRESH_US  4000u
#define MAX_RTT_THRESH_US  16000u
#define MIN_RTT_DIVISOR	   8
#define N_RTT_SAMPLE	   8
#define CSS_GROWTH_DIVISOR 4
#define CSS_ROUNDS	   5

bool hystart_is_on(const struct tow_tcp *t)
{
	return t->cc.ssthresh == UINT32_MAX;
}

void hystart_begin(struct tow_tcp *t)
{
	t->cc.hystart = (struct hystart){
		.window_end = t->snd.nxt,
		.last_min_us = UINT32_MAX,
		.round_min_us = UINT32_MAX,
	};
}

static void begin_round(struct tow_tcp *t)
{
	struct hystart *h = &t->cc.hystart;

	h->window_end = t->snd.nxt;
	h->last_min_us = h->round_min_us;
	h->round_min_us = UINT32_MAX;
	h->samples = 0;
	if (h->css)
		h->css_rounds++;
}

/* 4.2: the least round-trip time of this round is clearly above the last. */
static bool rtt_grew(const struct hystart *h)
{
	uint32_t thresh =
		MIN(h->last_min_us / MIN_RTT_DIVISOR, MAX_RTT_THRESH_US);

	thresh = MAX(thresh, MIN_RTT_THRESH_US);
	return h->last_min_us != UINT32_MAX &&
	       h->round_min_us >= h->last_min_us + thresh;
}

static void look_at_rtt(struct hystart *h, uint32_t rtt_us)
{
	h->round_min_us = MIN(h->round_min_us, rtt_us);
	if (h->samples < N_RTT_SAMPLE)
		h->samples++;
	if (h->samples < N_RTT_SAMPLE)
		return;
	if (!h->css && rtt_grew(h)) {
		h->css = true;
		h->css_rounds = 0;
		h->css_base_us = h->round_min_us;
	} else if (h->css && h->round_min_us < h->css_base_us) {
		h->css = false;
	}
}

/*
 * An acknowledgement in the first slow start, and the round-trip time that it
 * showed, 0 if none.
 *
 * Returns: by how much the window may grow. After the last round of CSS
 *          ssthresh is set, and it may not.
 */
uint32_t hystart_acked(struct tow_tcp *t, uint32_t acked_bytes, uint32_t rtt_us)
{
	struct hystart *h = &t->cc.hystart;

	if (!seq_before(t->snd.una, h->window_end))
		begin_round(t);
	if (rtt_us)
		look_at_rtt(h, rtt_us);
	if (!h->css)
		return acked_bytes;
	if (h->css_rounds < CSS_ROUNDS)
		return acked_bytes / CSS_GROWTH_DIVISOR;
	t->cc.ssthresh = t->cc.cwnd;
	return 0;
}
