/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CUBIC: RFC 9438, in integers.
 *
 * The window is in bytes, the RFC's in segments; time is in milliseconds. With
 * C = 0.4 and beta = 0.7:
 *
 *	W(t) = W_max + 0.4 * mss * ((t - K) / 1000)^3              (4.2)
 *	K    = 1000 * cbrt((W_max - cwnd) / (0.4 * mss))           (4.2)
 *	W_est grows by 0.53 segments a window, as Reno's would       (4.3)
 */
#include "tcp/tcp_private.h"

#define BETA_PERCENT	 70	 /* 4.6 */
#define BETA_ECN_PERCENT 85	 /* RFC 8511 3.1 */
#define TIME_MS_MAX	 1000000 /* far beyond any plateau; keeps t^3 in 64 bits */

/* The low bits: enough for differences, an epoch of weeks is none. */
static uint32_t now_ms(const struct tow_tcp *t)
{
	return (uint32_t)(tcp_now(t) / 1000);
}

static void cubic_init(struct tow_tcp *t)
{
	if (hystart_is_on(t))
		hystart_begin(t);
	else
		t->cc.cubic = (struct cubic){ 0 };
}

/* 4.8: from where the next epoch begins the curve goes up, with K = 0. */
static void cubic_restart(struct tow_tcp *t)
{
	if (hystart_is_on(t)) {
		hystart_begin(t);
		return;
	}
	t->cc.cubic.epoch_ms = 0;
	t->cc.cubic.w_max = 0;
}

/* 4.2, 5.8: t does not count what the application did not use. */
static void cubic_paused(struct tow_tcp *t)
{
	struct cubic *c = &t->cc.cubic;

	if (hystart_is_on(t) || c->epoch_ms == 0)
		return;
	c->epoch_ms += now_ms(t) - c->seen_ms;
	c->epoch_ms = MAX(c->epoch_ms, 1);
	c->seen_ms = now_ms(t);
}

static uint32_t cubic_slow_start(struct tow_tcp *t, uint32_t acked_bytes,
				 uint32_t rtt_us)
{
	uint32_t grow;

	if (!hystart_is_on(t))
		return acked_bytes;
	grow = hystart_acked(t, acked_bytes, rtt_us);
	if (!hystart_is_on(t))
		t->cc.cubic = (struct cubic){ 0 };
	return grow;
}

static uint32_t cube_root(uint64_t n)
{
	uint32_t root = 0;

	for (int bit = 20; bit >= 0; bit--) {
		uint64_t trial = root | 1ull << bit;

		if (trial * trial * trial <= n)
			root = (uint32_t)trial;
	}
	return root;
}

/* 4.2: a new epoch of congestion avoidance begins at the present window. */
static void begin_epoch(struct tow_tcp *t)
{
	struct congestion *cc = &t->cc;

	cc->cubic.epoch_ms = MAX(now_ms(t), 1);
	cc->cubic.w_est = cc->cwnd;
	if (cc->cwnd >= cc->cubic.w_max) {
		cc->cubic.w_max = cc->cwnd;
		cc->cubic.k_ms = 0;
	} else {
		uint64_t below = cc->cubic.w_max - cc->cwnd;

		cc->cubic.k_ms = cube_root(below * 2500000000ull / t->snd.mss);
	}
}

static uint32_t window_at(const struct tow_tcp *t, uint32_t t_ms)
{
	const struct congestion *cc = &t->cc;
	int64_t d = (int64_t)MIN(t_ms, TIME_MS_MAX) - cc->cubic.k_ms;
	int64_t cubed = d * d * d / 1000000; /* in units of 1/1000 s^3 */
	int64_t w = cc->cubic.w_max + cubed * 4 * t->snd.mss / 10000;

	return (uint32_t)MAX(0, MIN(w, (int64_t)1 << 30));
}

/* 4.3: what Reno would have reached. */
static uint32_t reno_friendly(struct tow_tcp *t, uint32_t acked_bytes)
{
	struct congestion *cc = &t->cc;
	uint64_t grow = (uint64_t)acked_bytes * t->snd.mss / cc->cwnd;

	if (cc->cubic.w_est < cc->cubic.cwnd_prior)
		grow = grow * 53 / 100; /* 3 (1 - beta) / (1 + beta) */
	cc->cubic.w_est += (uint32_t)grow;
	return cc->cubic.w_est;
}

static void cubic_acked(struct tow_tcp *t, uint32_t acked_bytes)
{
	struct congestion *cc = &t->cc;
	uint32_t target, friendly, t_ms;

	if (cc->cubic.epoch_ms == 0)
		begin_epoch(t);
	cc->cubic.seen_ms = now_ms(t);
	t_ms = now_ms(t) - cc->cubic.epoch_ms + t->rtt.srtt_us / 1000;
	target = window_at(t, t_ms);
	target = MIN(target, cc->cwnd + cc->cwnd / 2); /* 4.2 */
	friendly = reno_friendly(t, acked_bytes);
	if (target > cc->cwnd) {
		uint64_t grow = (uint64_t)(target - cc->cwnd) * acked_bytes;

		cc->cwnd += (uint32_t)(grow / cc->cwnd);
	}
	cc->cwnd = MAX(cc->cwnd, friendly);
}

/* 4.6 and 4.7: multiplicative decrease, fast convergence. */
static uint32_t reduce(struct tow_tcp *t, uint32_t flight_bytes,
		       uint32_t percent)
{
	struct congestion *cc = &t->cc;
	uint32_t window = MIN(cc->cwnd, MAX(flight_bytes, t->snd.mss));
	uint64_t reduced = (uint64_t)window * percent / 100;

	if (hystart_is_on(t))
		cc->cubic = (struct cubic){ 0 };
	cc->cubic.undo_w_max = cc->cubic.w_max;
	cc->cubic.cwnd_prior = cc->cwnd;
	if (cc->cwnd < cc->cubic.w_max)
		cc->cubic.w_max = (uint32_t)((uint64_t)cc->cwnd * 85 / 100);
	else
		cc->cubic.w_max = cc->cwnd;
	cc->cubic.epoch_ms = 0;
	return MAX((uint32_t)reduced, 2u * t->snd.mss);
}

static uint32_t cubic_threshold(struct tow_tcp *t, uint32_t flight_bytes)
{
	return reduce(t, flight_bytes, BETA_PERCENT);
}

static uint32_t cubic_on_ecn(struct tow_tcp *t, uint32_t flight_bytes)
{
	return reduce(t, flight_bytes, BETA_ECN_PERCENT);
}

/*
 * 4.9: W_max and the window are again what they were. A new epoch from there
 * goes on along the old curve: its K follows from the two.
 */
static void cubic_undo(struct tow_tcp *t)
{
	if (hystart_is_on(t)) {
		hystart_begin(t);
		return;
	}
	t->cc.cubic.w_max = t->cc.cubic.undo_w_max;
	t->cc.cubic.epoch_ms = 0;
}

const struct congestion_ops congestion_cubic = {
	.name = "cubic",
	.init = cubic_init,
	.slow_start = cubic_slow_start,
	.acked = cubic_acked,
	.paused = cubic_paused,
	.threshold = cubic_threshold,
	.on_ecn = cubic_on_ecn,
	.undo = cubic_undo,
	.restart = cubic_restart,
};
