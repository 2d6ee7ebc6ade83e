/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CUBIC: RFC 9438, in integers.
 *
 * The window is in bytes, the RFC's in segments; time is in milliseconds. With
 * C = 0.4 and beta = 0.7:
 *
 *	W(t) = origin + 0.4 * mss * ((t - K) / 1000)^3              (4.2)
 *	K    = 1000 * cbrt((origin - cwnd) / (0.4 * mss))           (4.2)
 *	W_est grows by 0.53 segments a window, as Reno's would       (4.3)
 */
#include "tcp/tcp_private.h"

#define BETA(bytes) ((uint32_t)((uint64_t)(bytes)*7 / 10)) /* 4.6 */
#define TIME_MS_MAX 1000000 /* far beyond any plateau; keeps t^3 in 64 bits */

static void cubic_restart(struct tow_tcp *t)
{
	t->cc.cubic.epoch_us = 0;
}

static void cubic_init(struct tow_tcp *t)
{
	t->cc.cubic.w_max = 0;
	cubic_restart(t);
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

	cc->cubic.epoch_us = MAX(tcp_now(t), 1);
	cc->cubic.w_est = cc->cwnd;
	if (cc->cwnd >= cc->cubic.w_max) {
		cc->cubic.origin = cc->cwnd;
		cc->cubic.k_ms = 0;
	} else {
		uint64_t below = cc->cubic.w_max - cc->cwnd;

		cc->cubic.origin = cc->cubic.w_max;
		cc->cubic.k_ms = cube_root(below * 2500000000ull / t->snd.mss);
	}
}

static uint32_t window_at(const struct tow_tcp *t, uint64_t t_ms)
{
	const struct congestion *cc = &t->cc;
	int64_t d = (int64_t)MIN(t_ms, TIME_MS_MAX) - cc->cubic.k_ms;
	int64_t cubed = d * d * d / 1000000; /* in units of 1/1000 s^3 */
	int64_t w = cc->cubic.origin + cubed * 4 * t->snd.mss / 10000;

	return (uint32_t)MAX(0, MIN(w, (int64_t)1 << 30));
}

/* 4.3: what Reno would have reached. */
static uint32_t reno_friendly(struct tow_tcp *t, uint32_t acked_bytes)
{
	struct congestion *cc = &t->cc;
	uint64_t grow = (uint64_t)acked_bytes * t->snd.mss / cc->cwnd;

	if (cc->cubic.w_est < cc->cubic.w_max)
		grow = grow * 53 / 100; /* 3 (1 - beta) / (1 + beta) */
	cc->cubic.w_est += (uint32_t)grow;
	return cc->cubic.w_est;
}

static void cubic_acked(struct tow_tcp *t, uint32_t acked_bytes)
{
	struct congestion *cc = &t->cc;
	uint32_t target, friendly;
	uint64_t t_ms;

	if (cc->cubic.epoch_us == 0)
		begin_epoch(t);
	t_ms = (tcp_now(t) - cc->cubic.epoch_us + t->rtt.srtt_us) / 1000;
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
static uint32_t cubic_threshold(struct tow_tcp *t)
{
	struct congestion *cc = &t->cc;
	uint32_t window = MIN(cc->cwnd, MAX(tcp_in_flight(t), t->snd.mss));

	if (cc->cwnd < cc->cubic.w_max)
		cc->cubic.w_max = (uint32_t)((uint64_t)cc->cwnd * 85 / 100);
	else
		cc->cubic.w_max = cc->cwnd;
	cubic_restart(t);
	return MAX(BETA(window), 2u * t->snd.mss);
}

const struct congestion_ops congestion_cubic = {
	.name = "cubic",
	.init = cubic_init,
	.acked = cubic_acked,
	.threshold = cubic_threshold,
	.restart = cubic_restart,
};
