/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Congestion control on a bottleneck that flows share, in virtual time: who
 * gets how much, how long the queue is, and what the wire sees of pacing.
 */
#include <math.h>
#include <stdio.h>
#include "flows.h"
#include "tcp/tcp_private.h"
#include "test.h"

#define MEGABIT 1000000u

static const char *name_of(enum tow_tcp_congestion which)
{
	return flows_name(which);
}

static void print(const char *what, const struct flows *f)
{
	printf("# %s, %u flows of %s: %.1f %% of %.0f Mb/s, Jain %.3f, "
	       "queue %.2f ms, lost %.2f %%\n",
	       what, f->how.count, name_of(f->how.congestion), 100 * f->used,
	       (double)f->how.bits_per_s / 1e6, f->jain, f->queue_ms,
	       100 * f->lost);
}

/* draft-ietf-ccwg-bbr 3.1: full use with a short queue */
TEST(bbr_fills_a_path_with_a_short_queue)
{
	struct flows f = { .how = { .congestion = TOW_TCP_BBR,
				    .count = 1,
				    .bits_per_s = 50 * MEGABIT,
				    .rtt_us = 40000,
				    .queue_bytes = 1000000,
				    .warm_us = 2000000,
				    .run_us = 8000000 } };

	CHECK(flows_run(&f));
	print("deep queue", &f);
	CHECK_GE(f.used, 0.9);
	CHECK_LE(f.queue_ms, 20); /* of 160 that there are */
}

/* draft-ietf-ccwg-bbr 3.1: random losses up to 1 % do no harm */
TEST(bbr_withstands_random_loss)
{
	struct flows f = { .how = { .congestion = TOW_TCP_BBR,
				    .count = 1,
				    .bits_per_s = 50 * MEGABIT,
				    .rtt_us = 40000,
				    .queue_bytes = 250000,
				    .loss_ppm = 5000,
				    .warm_us = 2000000,
				    .run_us = 8000000 } };

	CHECK(flows_run(&f));
	print("0.5 % loss", &f);
	CHECK_GE(f.used, 0.8);
}

TEST(flows_share_a_bottleneck_fairly)
{
	const enum tow_tcp_congestion all[] = { TOW_TCP_NEWRENO, TOW_TCP_CUBIC,
						TOW_TCP_BBR };

	for (unsigned i = 0; i < LENGTH(all); i++) {
		struct flows f = { .how = { .congestion = all[i],
					    .count = 4,
					    .bits_per_s = 40 * MEGABIT,
					    .rtt_us = 20000,
					    .queue_bytes = 100000,
					    .warm_us = 5000000,
					    .run_us = 20000000 } };

		CHECK(flows_run(&f));
		print("equal paths", &f);
		CHECK_GE(f.used, 0.85);
		CHECK_GE(f.jain, 0.8);
	}
}

/*
 * draft-ietf-ccwg-bbr 4.3.3, 4.3.4: on a path that stays as it is BBR goes
 * round its cycle each two to three seconds, and looks at the round-trip time
 * each five, for a little over 200 ms, with half of the product in flight.
 */
static struct {
	unsigned seen[BBR_NO_STATE];
	uint64_t probe_rtt_us, last_us;
	enum bbr_state last;
	bool order_is_right, gains_are_right;
} cycle;

static void watch_cycle(struct flows *f)
{
	static const uint8_t next[] = {
		[BBR_DOWN] = 1 << BBR_CRUISE | 1 << BBR_REFILL,
		[BBR_CRUISE] = 1 << BBR_REFILL,
		[BBR_REFILL] = 1 << BBR_UP,
		[BBR_UP] = 1 << BBR_DOWN,
	};
	static const double gains[] = {
		[BBR_DOWN] = 0.9,
		[BBR_CRUISE] = 1,
		[BBR_REFILL] = 1,
		[BBR_UP] = 1.25,
	};
	const struct tow_tcp *t = f->flows[0].tcp;
	const struct bbr *b = &t->paced->bbr;
	uint64_t now_us = tow_sim_now(f->sim);

	/* 4.6.1, 4.6.2: a margin of 1 % below */
	if (b->state >= BBR_DOWN && b->state <= BBR_UP) {
		double rate = 0.99 * gains[b->state] * (double)b->bw;

		if (fabs((double)t->paced->bytes_per_s - rate) > rate / 1000)
			cycle.gains_are_right = false;
	}
	if (cycle.last == BBR_PROBE_RTT)
		cycle.probe_rtt_us += now_us - cycle.last_us;
	cycle.last_us = now_us;
	if (b->state == cycle.last)
		return;
	if (cycle.last >= BBR_DOWN && cycle.last <= BBR_UP &&
	    b->state != BBR_PROBE_RTT && !(next[cycle.last] & 1 << b->state))
		cycle.order_is_right = false;
	cycle.seen[b->state]++;
	cycle.last = (enum bbr_state)b->state;
}

TEST(bbr_goes_round_its_probe_cycle)
{
	struct flows f = { .watch = watch_cycle,
			   .how = { .congestion = TOW_TCP_BBR,
				    .count = 1,
				    .bits_per_s = 50 * MEGABIT,
				    .rtt_us = 40000,
				    .queue_bytes = 500000,
				    .run_us = 31000000 } };

	cycle.order_is_right = cycle.gains_are_right = true;
	CHECK(flows_run(&f));
	print("31 s", &f);
	printf("# DOWN %u, CRUISE %u, REFILL %u, UP %u, ProbeRTT %u: %llu ms\n",
	       cycle.seen[BBR_DOWN], cycle.seen[BBR_CRUISE],
	       cycle.seen[BBR_REFILL], cycle.seen[BBR_UP],
	       cycle.seen[BBR_PROBE_RTT],
	       (unsigned long long)cycle.probe_rtt_us / 1000);
	CHECK(cycle.order_is_right);
	CHECK(cycle.gains_are_right);
	CHECK_EQ(cycle.seen[BBR_DRAIN], 1u);
	/* 62 round trips are 2.5 s; each ProbeRTT begins the wait anew */
	CHECK_GE(cycle.seen[BBR_UP], 6u);
	CHECK_LE(cycle.seen[BBR_UP], 14u);
	CHECK_GE(cycle.seen[BBR_PROBE_RTT], 4u);
	CHECK_LE(cycle.seen[BBR_PROBE_RTT], 6u);
	CHECK_GE(cycle.probe_rtt_us / cycle.seen[BBR_PROBE_RTT], 200000u);
	CHECK_LE(cycle.probe_rtt_us / cycle.seen[BBR_PROBE_RTT], 350000u);
	CHECK_GE(f.used, 0.9);
}

/* What left at one moment, in one poll: never more than the quantum. */
static struct {
	uint32_t worst, nxt, quantum;
	unsigned beyond;
} bursts;

static void watch_bursts(struct flows *f)
{
	const struct tow_tcp *t = f->flows[0].tcp;
	uint32_t sent = t->snd.nxt.n - bursts.nxt, before = bursts.quantum;

	bursts.nxt = t->snd.nxt.n;
	if (!t->paced || t->state != TOW_TCP_ESTABLISHED)
		return;
	bursts.quantum = pacing_quantum(t);
	bursts.worst = MAX(bursts.worst, sent);
	/* by the rate before the ACK that let it go, or after it */
	bursts.beyond += sent > MAX(before, bursts.quantum);
}

/* At 10 Gb/s a burst each 52 us, and nothing is lost of the rate. */
TEST(pacing_fills_ten_gigabits_without_a_burst_beyond_its_quantum)
{
	struct flows f = { .watch = watch_bursts,
			   .how = { .congestion = TOW_TCP_BBR,
				    .count = 1,
				    .bits_per_s = 10000ull * MEGABIT,
				    .rtt_us = 1000,
				    .queue_bytes = 2500000,
				    .warm_us = 50000,
				    .run_us = 200000 } };

	memset(&bursts, 0, sizeof(bursts));
	CHECK(flows_run(&f));
	print("ten gigabits", &f);
	printf("# largest burst %u, quantum %u at last\n", bursts.worst,
	       bursts.quantum);
	CHECK_GE(f.used, 0.9);
	CHECK_LE(bursts.worst, 65536u);
	CHECK_EQ(bursts.beyond, 0u);
}

/* SO_MAX_PACING_RATE holds on a faster path, and keeps its queue empty. */
TEST(pacing_rate_is_an_upper_bound)
{
	struct flows f = { .how = { .congestion = TOW_TCP_CUBIC,
				    .count = 2,
				    .bits_per_s = 100 * MEGABIT,
				    .rtt_us = 20000,
				    .queue_bytes = 250000,
				    .pacing_rate = 5000000, /* 40 Mb/s each */
				    .warm_us = 2000000,
				    .run_us = 4000000 } };

	CHECK(flows_run(&f));
	print("two times 40 Mb/s", &f);
	CHECK_GE(f.used, 0.8);
	CHECK_LE(f.used, 0.85); /* with headers */
	CHECK_GE(f.jain, 0.999);
	CHECK_LE(f.queue_ms, 1);
}
