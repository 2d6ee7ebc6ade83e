/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BBR: draft-ietf-ccwg-bbr-06 (July 2026), which is version 3 of it.
 *
 * Instead of filling a queue until it overflows, BBR has a model of the path:
 * the bandwidth (max_bw, from rate.c) and the round-trip time without a queue
 * (min_rtt). It paces at the first, keeps in flight a multiple of the product
 * of both, and looks for changes from time to time:
 *
 *	Startup ----> Drain ----> DOWN -> CRUISE -> REFILL -> UP --+
 *	  |                        ^                               |
 *	  |                        +-------------------------------+
 *	  +-- every 5 s without a lower round-trip time: ProbeRTT --> back
 *
 * Startup doubles until the rate grows no more, or much is lost. UP sends a
 * quarter faster than is known to be possible, and DOWN drains what queued up
 * by that. Losses while probing set inflight_longterm, what the path takes at
 * all; losses at other times pull bw_shortterm and inflight_shortterm down to
 * what is delivered now, until the next probe.
 *
 * The names are the draft's, so that the two can be read side by side; so is
 * the order of bbr_on_ack(). The window in loss recovery is that of the model
 * too (4.6.4.4), and not PRR's: bbr.cwnd has it, and cc.cwnd follows. Where the
 * draft leaves a choice: an ECN mark counts as a loss of the round; the filter
 * of extra_acked has two halves of five round trips, as in Linux.
 */
#include "tcp/tcp_private.h"

#define INFINITE32 UINT32_MAX
#define INFINITE64 UINT64_MAX

#define DRAIN_ROUNDS_MAX    3
#define FULL_BW_PERCENT	    125
#define FULL_BW_ROUNDS	    3
#define FULL_LOSS_RANGES    6  /* BBRStartupFullLossCnt */
#define LOSS_PERCENT	    2  /* BBR.LossThresh */
#define BETA_PERCENT	    70 /* BBR.Beta */
#define HEADROOM_PERCENT    15 /* BBR.Headroom */
#define MARGIN_PERCENT	    1  /* BBR.PacingMarginPercent */
#define PROBE_UP_ROUNDS_MAX 30
#define RENO_ROUNDS_MAX	    63
#define EXTRA_ROUNDS	    5 /* half of BBR.ExtraAckedFilterLen */
#define MIN_RTT_FILTER_US   10000000u
#define PROBE_RTT_EVERY_US  5000000u /* BBR.ProbeRTTInterval */
#define PROBE_RTT_US	    200000u  /* BBR.ProbeRTTDuration */
#define PROBE_WAIT_US	    2000000u /* and up to a second more */

/* 4.6.1: pacing and window gains in percent */
static const struct {
	uint16_t pacing, cwnd;
} gains[] = {
	[BBR_STARTUP] = { 277, 200 },  [BBR_DRAIN] = { 50, 200 },
	[BBR_DOWN] = { 90, 200 },      [BBR_CRUISE] = { 100, 200 },
	[BBR_REFILL] = { 100, 200 },   [BBR_UP] = { 125, 225 },
	[BBR_PROBE_RTT] = { 100, 50 },
};

static struct bbr *bbr_of(const struct tow_tcp *t)
{
	return &t->paced->bbr;
}

static const struct rate_sample *sample_of(const struct tow_tcp *t)
{
	return &t->paced->rate.rs;
}

static uint32_t delivered(const struct tow_tcp *t)
{
	return t->paced->rate.delivered;
}

/* Counts of bytes wrap: is @a at or after @b? */
static bool reached(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) >= 0;
}

static uint32_t percent_of(uint32_t bytes, uint32_t percent)
{
	return (uint32_t)((uint64_t)bytes * percent / 100);
}

static uint32_t min_pipe_cwnd(const struct tow_tcp *t)
{
	return 4u * t->snd.mss;
}

static bool in_probe_bw(const struct bbr *b)
{
	return b->state >= BBR_DOWN && b->state <= BBR_UP;
}

static bool is_probing(const struct bbr *b)
{
	return b->state == BBR_STARTUP || b->state == BBR_REFILL ||
	       b->state == BBR_UP;
}

static uint64_t max_bw(const struct bbr *b)
{
	return MAX(b->max_bw[0], b->max_bw[1]);
}

/* ------------------------------------------------- 4.6.4.2: what is in flight
 */

static uint32_t bdp(const struct tow_tcp *t, uint64_t bw, uint32_t percent)
{
	const struct bbr *b = bbr_of(t);
	uint64_t bytes;

	if (b->min_rtt_us == INFINITE32)
		return congestion_initial_window(t);
	bytes = bw * b->min_rtt_us / 1000000;
	return (uint32_t)MIN(bytes * percent / 100, CWND_MAX);
}

static uint32_t quantization_budget(const struct tow_tcp *t, uint32_t cap)
{
	cap = MAX(cap, 3 * pacing_quantum(t));
	cap = MAX(cap, min_pipe_cwnd(t));
	if (bbr_of(t)->state == BBR_UP)
		cap += 2u * t->snd.mss;
	return cap;
}

static uint32_t inflight(const struct tow_tcp *t, uint64_t bw)
{
	return quantization_budget(t, bdp(t, bw, 100));
}

static uint32_t max_inflight(const struct tow_tcp *t)
{
	const struct bbr *b = bbr_of(t);
	uint32_t cap = bdp(t, b->bw, gains[b->state].cwnd);

	cap += MAX(b->extra_acked[0], b->extra_acked[1]);
	return quantization_budget(t, cap);
}

static uint32_t inflight_with_headroom(const struct tow_tcp *t)
{
	const struct bbr *b = bbr_of(t);
	uint32_t headroom;

	if (b->inflight_longterm == INFINITE32)
		return INFINITE32;
	headroom = MAX(t->snd.mss,
		       percent_of(b->inflight_longterm, HEADROOM_PERCENT));
	headroom = MIN(headroom, b->inflight_longterm);
	return MAX(b->inflight_longterm - headroom, min_pipe_cwnd(t));
}

static uint32_t target_inflight(const struct tow_tcp *t)
{
	return MIN(bdp(t, bbr_of(t)->bw, 100), bbr_of(t)->cwnd);
}

static uint32_t probe_rtt_cwnd(const struct tow_tcp *t)
{
	return MAX(bdp(t, bbr_of(t)->bw, gains[BBR_PROBE_RTT].cwnd),
		   min_pipe_cwnd(t));
}

static void save_cwnd(struct bbr *b)
{
	if (!b->in_recovery && b->state != BBR_PROBE_RTT)
		b->prior_cwnd = b->cwnd;
	else
		b->prior_cwnd = MAX(b->prior_cwnd, b->cwnd);
}

static void restore_cwnd(struct bbr *b)
{
	b->cwnd = MAX(b->cwnd, b->prior_cwnd);
}

/* ------------------------------------------------------ 4.5.1: round trips */

static void start_round(struct tow_tcp *t)
{
	bbr_of(t)->next_round_delivered = delivered(t);
}

static void update_round(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	b->round_start =
		reached(sample_of(t)->prior_delivered, b->next_round_delivered);
	if (!b->round_start)
		return;
	start_round(t);
	b->round_count++;
	b->rounds_since_probe_up++;
	b->cwnd_limited = b->limited_now;
	b->limited_now = false;
}

/* ------------------------------------------- 4.5.6.3: short-term congestion */

static void reset_congestion_signals(struct bbr *b)
{
	b->loss_in_round = false;
	b->bw_latest = 0;
	b->inflight_latest = 0;
}

static void reset_short_term_model(struct bbr *b)
{
	b->bw_shortterm = INFINITE64;
	b->inflight_shortterm = INFINITE32;
}

static void update_latest_delivery_signals(struct tow_tcp *t)
{
	const struct rate_sample *rs = sample_of(t);
	struct bbr *b = bbr_of(t);

	b->bw_latest = MAX(b->bw_latest, rs->bytes_per_s);
	b->inflight_latest = MAX(b->inflight_latest, rs->delivered);
	b->loss_round_start =
		reached(rs->prior_delivered, b->loss_round_delivered);
	if (b->loss_round_start)
		b->loss_round_delivered = delivered(t);
}

static void advance_latest_delivery_signals(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	if (!b->loss_round_start)
		return;
	b->bw_latest = sample_of(t)->bytes_per_s;
	b->inflight_latest = sample_of(t)->delivered;
	b->loss_ranges = 0;
}

/* Once a round trip: down to what was delivered, but not by more than Beta. */
static void adapt_lower_bounds(struct bbr *b)
{
	uint32_t least;

	if (is_probing(b) || !b->loss_in_round)
		return;
	if (b->bw_shortterm == INFINITE64)
		b->bw_shortterm = max_bw(b);
	if (b->inflight_shortterm == INFINITE32)
		b->inflight_shortterm = b->cwnd;
	b->bw_shortterm =
		MAX(b->bw_latest, b->bw_shortterm * BETA_PERCENT / 100);
	least = percent_of(b->inflight_shortterm, BETA_PERCENT);
	b->inflight_shortterm = MAX(b->inflight_latest, least);
}

static void update_max_bw(struct tow_tcp *t)
{
	const struct rate_sample *rs = sample_of(t);
	struct bbr *b = bbr_of(t);

	update_round(t);
	if (rs->bytes_per_s &&
	    (rs->bytes_per_s >= max_bw(b) || !rs->app_limited))
		b->max_bw[0] = MAX(b->max_bw[0], rs->bytes_per_s);
}

static void advance_max_bw_filter(struct bbr *b)
{
	if (b->max_bw[0] == 0)
		return; /* nothing was measured in this cycle */
	b->max_bw[1] = b->max_bw[0];
	b->max_bw[0] = 0;
}

static void update_congestion_signals(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	update_max_bw(t);
	if (!b->loss_round_start)
		return;
	adapt_lower_bounds(b);
	b->loss_in_round = false;
}

/* --------------------------------------------------- 4.5.5: ACK aggregation */

static void note_extra_acked(struct bbr *b, uint32_t extra)
{
	uint32_t rounds = b->full_bw_reached ? EXTRA_ROUNDS : 1;

	if (b->round_count - b->extra_acked_round >= rounds) {
		b->extra_acked_round = b->round_count;
		b->extra_acked[1] = b->full_bw_reached ? b->extra_acked[0] : 0;
		b->extra_acked[0] = 0;
	}
	b->extra_acked[0] = MAX(b->extra_acked[0], extra);
}

static void update_ack_aggregation(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);
	uint64_t interval_us = tcp_now(t) - b->extra_acked_us;
	uint64_t expected = b->bw * MIN(interval_us, 1000000) / 1000000;

	if (interval_us > 1000000 || b->extra_acked_delivered <= expected) {
		b->extra_acked_delivered = 0;
		b->extra_acked_us = tcp_now(t);
		expected = 0;
	}
	b->extra_acked_delivered += sample_of(t)->newly_acked;
	note_extra_acked(
		b, (uint32_t)MIN(b->extra_acked_delivered - expected, b->cwnd));
}

/* ------------------------------------------------- 4.3.1: Startup and Drain */

static void reset_full_bw(struct bbr *b)
{
	b->full_bw = 0;
	b->full_bw_count = 0;
	b->full_bw_now = false;
}

static void check_full_bw_reached(struct tow_tcp *t)
{
	const struct rate_sample *rs = sample_of(t);
	struct bbr *b = bbr_of(t);

	if (b->full_bw_now || !b->round_start || rs->app_limited)
		return;
	if (rs->bytes_per_s >= b->full_bw * FULL_BW_PERCENT / 100) {
		reset_full_bw(b);
		b->full_bw = rs->bytes_per_s;
		return;
	}
	b->full_bw_count++;
	b->full_bw_now = b->full_bw_count >= FULL_BW_ROUNDS;
	b->full_bw_reached |= b->full_bw_now;
}

static bool is_inflight_too_high(const struct tow_tcp *t, uint32_t lost,
				 uint32_t tx_in_flight)
{
	return lost > percent_of(tx_in_flight, LOSS_PERCENT) ||
	       (lost > 0 && !t->sack);
}

/* 4.3.1.3 */
static void check_startup_high_loss(struct tow_tcp *t)
{
	const struct rate_sample *rs = sample_of(t);
	struct bbr *b = bbr_of(t);

	if (b->full_bw_reached || !b->loss_round_start ||
	    t->recovery.state != RECOVERY_FAST ||
	    (t->sack && b->loss_ranges < FULL_LOSS_RANGES) ||
	    !is_inflight_too_high(t, rs->lost, rs->tx_in_flight))
		return;
	b->undo_state = BBR_STARTUP;
	b->full_bw_reached = true;
	b->inflight_longterm = MAX(bdp(t, b->bw, 100), b->inflight_latest);
}

static void check_startup_done(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	check_startup_high_loss(t);
	if (b->state != BBR_STARTUP || !b->full_bw_reached)
		return;
	b->state = BBR_DRAIN;
	b->drain_start_round = b->round_count;
}

/* -------------------------------------------------------- 4.3.3: ProbeBW */

/* PickProbeWait() */
static void pick_probe_wait(struct tow_tcp *t)
{
	struct random *random = &tcp_net(t)->random;
	struct bbr *b = bbr_of(t);

	b->rounds_since_probe_up = random_below(random, 2);
	b->bw_probe_wait_us = PROBE_WAIT_US + random_below(random, 1000001);
}

static void start_down(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	reset_congestion_signals(b);
	b->probe_up_acked_per_inc = INFINITE32;
	pick_probe_wait(t);
	b->cycle_us = tcp_now(t);
	b->ack_phase = BBR_ACKS_PROBE_STOPPING;
	start_round(t);
	b->state = BBR_DOWN;
}

static void start_refill(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	reset_short_term_model(b);
	b->probe_up_rounds = 0;
	b->probe_up_acked = 0;
	b->prev_probe_precautionary = false;
	b->ack_phase = BBR_ACKS_REFILLING;
	start_round(t);
	b->state = BBR_REFILL;
}

static void raise_inflight_longterm_slope(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);
	uint32_t per_inc = b->cwnd >> b->probe_up_rounds;

	if (b->probe_up_rounds < PROBE_UP_ROUNDS_MAX)
		b->probe_up_rounds++;
	b->probe_up_acked_per_inc = MAX(per_inc, t->snd.mss);
}

static void start_up(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	b->ack_phase = BBR_ACKS_PROBE_STARTING;
	start_round(t);
	reset_full_bw(b);
	b->full_bw = sample_of(t)->bytes_per_s;
	b->state = BBR_UP;
	raise_inflight_longterm_slope(t);
}

static void check_drain_done(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	if (b->state == BBR_DRAIN &&
	    (recovery_pipe(t) <= inflight(t, b->bw) ||
	     b->round_count - b->drain_start_round > DRAIN_ROUNDS_MAX))
		start_down(t);
}

static bool is_time_to_probe(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);
	uint32_t reno_rounds = target_inflight(t) / t->snd.mss;

	if (tcp_now(t) <= b->cycle_us + b->bw_probe_wait_us &&
	    b->rounds_since_probe_up < MIN(reno_rounds, RENO_ROUNDS_MAX))
		return false;
	start_refill(t);
	return true;
}

static bool is_time_to_cruise(const struct tow_tcp *t)
{
	uint32_t pipe = recovery_pipe(t);

	return pipe <= inflight_with_headroom(t) &&
	       pipe <= inflight(t, max_bw(bbr_of(t)));
}

static bool is_time_to_go_down(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	if (b->prev_probe_too_high &&
	    recovery_pipe(t) >= b->inflight_longterm) {
		b->prev_probe_precautionary = true;
		return true;
	}
	if (b->cwnd_limited && b->cwnd >= b->inflight_longterm) {
		reset_full_bw(b); /* it is the limit that shows, not the path */
		b->full_bw = sample_of(t)->bytes_per_s;
		return false;
	}
	return b->full_bw_now;
}

static void probe_inflight_longterm_upward(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);
	uint32_t delta;

	if (!b->cwnd_limited || b->cwnd < b->inflight_longterm)
		return;
	b->probe_up_acked += sample_of(t)->newly_acked;
	if (b->probe_up_acked >= b->probe_up_acked_per_inc) {
		delta = b->probe_up_acked / b->probe_up_acked_per_inc;
		b->probe_up_acked -= delta * b->probe_up_acked_per_inc;
		b->inflight_longterm = (uint32_t)MIN(
			b->inflight_longterm + (uint64_t)delta * t->snd.mss,
			CWND_MAX);
	}
	if (b->round_start)
		raise_inflight_longterm_slope(t);
}

/* One round trip after UP: no more samples of it. Returns: was that a change?
 */
static bool end_of_probe_feedback(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	b->bw_probe_sample = false;
	b->ack_phase = BBR_ACKS_INIT;
	if (!in_probe_bw(b))
		return false;
	if (!sample_of(t)->app_limited)
		advance_max_bw_filter(b);
	if (!b->prev_probe_precautionary || b->prev_probe_too_high)
		return false;
	start_refill(t);
	return true;
}

/* AdaptLongTermModel(). Returns: was a change of state decided on? */
static bool adapt_long_term_model(struct tow_tcp *t)
{
	const struct rate_sample *rs = sample_of(t);
	struct bbr *b = bbr_of(t);

	if (b->ack_phase == BBR_ACKS_PROBE_STARTING && b->round_start)
		b->ack_phase = BBR_ACKS_PROBE_FEEDBACK;
	if (b->ack_phase == BBR_ACKS_PROBE_STOPPING && b->round_start &&
	    end_of_probe_feedback(t))
		return true;
	if (is_inflight_too_high(t, rs->lost, rs->tx_in_flight) ||
	    b->inflight_longterm == INFINITE32)
		return false;
	b->inflight_longterm = MAX(b->inflight_longterm, rs->tx_in_flight);
	if (b->state == BBR_UP)
		probe_inflight_longterm_upward(t);
	return false;
}

static void update_probe_bw_cycle_phase(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	if (!b->full_bw_reached || adapt_long_term_model(t))
		return;
	switch (b->state) {
	case BBR_DOWN:
		if (!is_time_to_probe(t) && is_time_to_cruise(t))
			b->state = BBR_CRUISE;
		break;
	case BBR_CRUISE:
		is_time_to_probe(t);
		break;
	case BBR_REFILL:
		if (b->round_start) {
			b->bw_probe_sample = true;
			start_up(t);
		}
		break;
	case BBR_UP:
		if (is_time_to_go_down(t)) {
			b->prev_probe_too_high = false;
			start_down(t);
		}
		break;
	default:
		break;
	}
}

/* --------------------------------------------------------- 4.3.4: ProbeRTT */

static void update_min_rtt(struct tow_tcp *t, uint32_t rtt_us)
{
	struct bbr *b = bbr_of(t);
	uint64_t now_us = tcp_now(t);

	b->probe_rtt_expired =
		now_us > b->probe_rtt_min_stamp_us + PROBE_RTT_EVERY_US;
	if (rtt_us && (rtt_us < b->probe_rtt_min_us || b->probe_rtt_expired)) {
		b->probe_rtt_min_us = rtt_us;
		b->probe_rtt_min_stamp_us = now_us;
	}
	if (b->probe_rtt_min_us < b->min_rtt_us ||
	    now_us > b->min_rtt_stamp_us + MIN_RTT_FILTER_US) {
		b->min_rtt_us = b->probe_rtt_min_us;
		b->min_rtt_stamp_us = b->probe_rtt_min_stamp_us;
	}
}

static void exit_probe_rtt(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	reset_short_term_model(b);
	if (b->full_bw_reached) {
		start_down(t);
		b->state = BBR_CRUISE;
	} else {
		b->state = BBR_STARTUP;
	}
}

static void check_probe_rtt_done(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	if (!b->probe_rtt_done_us || tcp_now(t) <= b->probe_rtt_done_us)
		return;
	b->probe_rtt_min_stamp_us = tcp_now(t); /* of the next one */
	restore_cwnd(b);
	exit_probe_rtt(t);
}

static void handle_probe_rtt(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	rate_limit(t); /* low samples of this time are none */
	if (!b->probe_rtt_done_us) {
		if (recovery_pipe(t) > probe_rtt_cwnd(t))
			return;
		b->probe_rtt_done_us = tcp_now(t) + PROBE_RTT_US;
		b->probe_rtt_round_done = false;
		start_round(t);
		return;
	}
	b->probe_rtt_round_done |= b->round_start;
	if (b->probe_rtt_round_done)
		check_probe_rtt_done(t);
}

static void check_probe_rtt(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	if (b->state != BBR_PROBE_RTT && b->probe_rtt_expired &&
	    !b->idle_restart) {
		save_cwnd(b);
		b->state = BBR_PROBE_RTT;
		b->probe_rtt_done_us = 0;
		b->ack_phase = BBR_ACKS_PROBE_STOPPING;
		start_round(t);
	}
	if (b->state == BBR_PROBE_RTT)
		handle_probe_rtt(t);
	if (sample_of(t)->delivered > 0)
		b->idle_restart = false;
}

/* ------------------------------------------------------- 4.5.6: on a loss */

static void save_state_upon_loss(struct bbr *b)
{
	save_cwnd(b);
	b->undo_state = BBR_NO_STATE;
	b->undo_bw_shortterm = b->bw_shortterm;
	b->undo_inflight_shortterm = b->inflight_shortterm;
	b->undo_inflight_longterm = b->inflight_longterm;
}

static void note_loss(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	if (!b->loss_in_round) {
		b->loss_round_delivered = delivered(t);
		save_state_upon_loss(b);
	}
	b->loss_in_round = true;
}

static void handle_inflight_too_high(struct tow_tcp *t, uint32_t tx_in_flight,
				     bool app_limited)
{
	struct bbr *b = bbr_of(t);

	b->prev_probe_too_high = true;
	b->bw_probe_sample = false;
	if (!app_limited)
		b->inflight_longterm =
			MAX(tx_in_flight,
			    percent_of(target_inflight(t), BETA_PERCENT));
	if (b->state != BBR_UP)
		return;
	b->undo_state = BBR_UP;
	start_down(t);
}

/* Where in a burst of @bytes did losses exceed the threshold? */
static uint32_t inflight_at_loss(uint32_t in_flight, uint32_t lost,
				 uint32_t bytes)
{
	int64_t before = (int64_t)in_flight - bytes;
	int64_t lost_before = (int64_t)lost - bytes;
	int64_t prefix = (LOSS_PERCENT * before - 100 * lost_before) /
			 (100 - LOSS_PERCENT);

	return (uint32_t)MAX(0, before + prefix);
}

/* HandleLostPacket(): taken for lost, and counted in rate.lost already. */
static void bbr_lost(struct tow_tcp *t, const struct sent *s)
{
	const struct rate_mark *mark = rate_mark(t, s);
	struct bbr *b = bbr_of(t);
	uint32_t lost = t->paced->rate.lost - mark->lost;

	note_loss(t);
	if (!seq_eq(s->seq, b->lost_end) && b->loss_ranges < UINT8_MAX)
		b->loss_ranges++;
	b->lost_end = sent_end(s);
	if (b->bw_probe_sample &&
	    is_inflight_too_high(t, lost, mark->in_flight))
		handle_inflight_too_high(
			t, inflight_at_loss(mark->in_flight, lost, s->bytes),
			mark->app_limited);
}

/* ------------------------------------------------- 4.6: control parameters */

static void set_pacing_rate(struct tow_tcp *t, uint32_t gain_percent)
{
	struct bbr *b = bbr_of(t);
	uint64_t rate = b->bw * gain_percent / 100;

	rate = rate * (100 - MARGIN_PERCENT) / 100;
	if (rate && (b->full_bw_reached || rate > b->pacing_rate))
		b->pacing_rate = rate;
	pacing_set(t, b->pacing_rate);
}

static void bound_cwnd_for_model(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);
	uint32_t cap = INFINITE32;

	if (in_probe_bw(b) && b->state != BBR_CRUISE)
		cap = b->inflight_longterm;
	else if (b->state == BBR_PROBE_RTT || b->state == BBR_CRUISE)
		cap = inflight_with_headroom(t);
	cap = MIN(cap, b->inflight_shortterm);
	cap = MAX(cap, min_pipe_cwnd(t));
	b->cwnd = MIN(b->cwnd, cap);
}

static void set_cwnd(struct tow_tcp *t)
{
	uint32_t acked = sample_of(t)->newly_acked, most = max_inflight(t);
	struct bbr *b = bbr_of(t);

	if (b->full_bw_reached)
		b->cwnd = MIN(b->cwnd + acked, most);
	else if (b->cwnd < most || delivered(t) < congestion_initial_window(t))
		b->cwnd += acked;
	b->cwnd = MIN(MAX(b->cwnd, min_pipe_cwnd(t)), CWND_MAX);
	if (b->state == BBR_PROBE_RTT)
		b->cwnd = MIN(b->cwnd, probe_rtt_cwnd(t));
	bound_cwnd_for_model(t);
}

/* ---------------------------------------------------- 4.2: what calls it */

/* OnInit(), in the order of the draft. */
static void bbr_init(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	*b = (struct bbr){
		.cwnd = t->cc.cwnd,
		.min_rtt_us = t->rtt.srtt_us ? t->rtt.srtt_us : INFINITE32,
		.probe_rtt_min_us = INFINITE32,
		.min_rtt_stamp_us = tcp_now(t),
		.probe_rtt_min_stamp_us = tcp_now(t),
		.undo_state = BBR_NO_STATE,
		.extra_acked_us = tcp_now(t),
		.inflight_longterm = INFINITE32,
		.probe_up_acked_per_inc = INFINITE32,
		.next_round_delivered = delivered(t),
		.loss_round_delivered = delivered(t),
		.state = BBR_STARTUP,
	};
	reset_short_term_model(b);
	b->pacing_rate = pacing_rate_of(congestion_initial_window(t),
					gains[BBR_STARTUP].pacing,
					t->rtt.srtt_us ? t->rtt.srtt_us : 1000);
	pacing_set(t, b->pacing_rate);
}

static void update_model_and_state(struct tow_tcp *t, uint32_t rtt_us)
{
	struct bbr *b = bbr_of(t);

	update_latest_delivery_signals(t);
	update_congestion_signals(t);
	update_ack_aggregation(t);
	check_full_bw_reached(t);
	check_startup_done(t);
	check_drain_done(t);
	update_probe_bw_cycle_phase(t);
	update_min_rtt(t, rtt_us);
	check_probe_rtt(t);
	advance_latest_delivery_signals(t);
	b->bw = MIN(max_bw(b), b->bw_shortterm);
}

/* UpdateOnACK(); the sample of this acknowledgement is there. */
static void bbr_on_ack(struct tow_tcp *t, uint32_t rtt_us)
{
	struct bbr *b = bbr_of(t);

	b->limited_now |= t->cc.limited;
	if (b->in_recovery && t->recovery.state == RECOVERY_NONE) {
		b->in_recovery = false;
		restore_cwnd(b);
	}
	if (sample_of(t)->has_data) {
		update_model_and_state(t, rtt_us);
		set_pacing_rate(t, gains[b->state].pacing);
		set_cwnd(t);
	}
	t->cc.cwnd = b->cwnd;
}

/* OnEnterFastRecovery(), OnEnterRTO(): the window is not halved. */
static uint32_t bbr_threshold(struct tow_tcp *t, uint32_t flight_bytes)
{
	struct bbr *b = bbr_of(t);

	(void)flight_bytes;
	save_state_upon_loss(b);
	b->in_recovery = true;
	return MAX(b->cwnd, min_pipe_cwnd(t));
}

static uint32_t bbr_on_ecn(struct tow_tcp *t, uint32_t flight_bytes)
{
	(void)flight_bytes;
	note_loss(t);
	return t->cc.cwnd;
}

/* HandleSpuriousLossDetection() */
static void bbr_undo(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);
	enum bbr_state before = (enum bbr_state)b->undo_state;

	b->in_recovery = false;
	restore_cwnd(b);
	t->cc.cwnd = b->cwnd;
	b->loss_in_round = false;
	reset_full_bw(b);
	b->bw_shortterm = MAX(b->bw_shortterm, b->undo_bw_shortterm);
	b->inflight_shortterm =
		MAX(b->inflight_shortterm, b->undo_inflight_shortterm);
	b->inflight_longterm =
		MAX(b->inflight_longterm, b->undo_inflight_longterm);
	b->undo_state = BBR_NO_STATE;
	if (before == BBR_STARTUP && b->state != BBR_STARTUP) {
		b->full_bw_reached = false;
		if (b->state != BBR_PROBE_RTT)
			b->state = BBR_STARTUP;
	} else if (before == BBR_UP && b->state != BBR_UP &&
		   b->state != BBR_PROBE_RTT) {
		start_refill(t);
	}
}

/* After a timeout: the window is what was set then, and grows from there. */
static void bbr_restart(struct tow_tcp *t)
{
	bbr_of(t)->cwnd = t->cc.cwnd;
}

/* HandleRestartFromIdle(): something is to be sent, and nothing in flight. */
static void bbr_idle_over(struct tow_tcp *t)
{
	struct bbr *b = bbr_of(t);

	if (!t->paced->rate.app_limited)
		return;
	b->idle_restart = true;
	b->extra_acked_us = tcp_now(t);
	if (in_probe_bw(b))
		set_pacing_rate(t, 100);
	else if (b->state == BBR_PROBE_RTT)
		check_probe_rtt_done(t);
	t->cc.cwnd = b->cwnd;
}

const struct congestion_ops congestion_bbr = {
	.name = "bbr",
	.init = bbr_init,
	.on_ack = bbr_on_ack,
	.lost = bbr_lost,
	.idle_over = bbr_idle_over,
	.threshold = bbr_threshold,
	.on_ecn = bbr_on_ecn,
	.undo = bbr_undo,
	.restart = bbr_restart,
};
