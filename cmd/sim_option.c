/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of connections and listeners.
 *
 * Theory of operation: what a program may ask for is asked for by chance, each
 * option alone and in company, at the beginning and now and then in the middle.
 * An option that may end a connection makes its flow one that may fail.
 */
#include "sim_world.h"

#define SECOND_MS 1000u

static bool hit(struct end *end, uint32_t ppm)
{
	return dice_hit(&end->world->dice, ppm);
}

static uint64_t throw_to(struct end *end, uint64_t max)
{
	return dice_up_to(&end->world->dice, max);
}

static void refused(struct world *world, enum tow_tcp_option option,
		    int64_t value, int result)
{
	world_fail(world, "option %d = %lld: %s", (int)option, (long long)value,
		   tow_strerror(result));
}

/* Pacing alone may be refused: cfg.paced are all there are. */
static void set(struct end *end, enum tow_tcp_option option, int64_t value)
{
	int result = tow_tcp_set(end->tcp, option, value);

	if (result < 0 &&
	    (result != TOW_ENOBUFS ||
	     (option != TOW_TCP_CONGESTION && option != TOW_TCP_PACING_RATE)))
		refused(end->world, option, value, result);
}

static void maybe_set(struct end *end, enum tow_tcp_option option,
		      int64_t value, uint32_t ppm)
{
	if (hit(end, ppm))
		set(end, option, value);
}

/* What the handshake is like. */
static void set_opening(struct end *end)
{
	struct dice *dice = &end->world->dice;

	maybe_set(end, TOW_TCP_MSS, (int64_t)dice_range(dice, 88, 1460),
		  200000);
	maybe_set(end, TOW_TCP_ECN, (int64_t)throw_to(end, 3), 600000);
	/* What went with a SYN and was not taken is sent again. */
	maybe_set(end, TOW_TCP_FAST_OPEN, 1,
		  end->world->profile->perfect ? 0 : 300000);
	maybe_set(end, TOW_TCP_FAST_OPEN_HOW, (int64_t)throw_to(end, 7),
		  200000);
}

static void set_sizes(struct end *end)
{
	struct dice *dice = &end->world->dice;

	maybe_set(end, TOW_TCP_SEND_BYTES,
		  (int64_t)dice_scale(dice, 256, 100000), 200000);
	maybe_set(end, TOW_TCP_RECV_BYTES,
		  (int64_t)dice_scale(dice, 4096, 100000), 200000);
	maybe_set(end, TOW_TCP_NOTSENT_LOWAT,
		  (int64_t)dice_scale(dice, 4096, 65536), 100000);
}

static void set_congestion(struct end *end, uint32_t ppm)
{
	maybe_set(end, TOW_TCP_CONGESTION, (int64_t)throw_to(end, 2), ppm);
}

static void set_pace(struct end *end, uint32_t ppm)
{
	int64_t rate = (int64_t)dice_scale(&end->world->dice, 50000, 1 << 30);

	maybe_set(end, TOW_TCP_PACING_RATE, hit(end, 200000) ? 0 : rate, ppm);
}

/* Who sends nothing for so long is given up: by whoever says so. */
static void set_patience(struct end *end)
{
	int64_t patience_ms = (int64_t)dice_scale(&end->world->dice, SECOND_MS,
						  600 * SECOND_MS);

	maybe_set(end, TOW_TCP_KEEPALIVE_S, 1 + (int64_t)throw_to(end, 4),
		  200000);
	if (end->world->profile->perfect || !hit(end, 50000))
		return;
	end->flow->may_fail = true;
	set(end, TOW_TCP_USER_TIMEOUT_MS, patience_ms);
	maybe_set(end, TOW_TCP_USER_TIMEOUT_TELL, 1, 500000);
}

/*
 * Without probes a black hole swallows what is too long for it, for good; and so
 * does any link, where ICMP errors are not believed (RFC 5925 7.8).
 */
static void set_probes(struct end *end)
{
	int64_t probes = (int64_t)throw_to(end, 2);

	if (!hit(end, 300000))
		return;
	set(end, TOW_TCP_MTU_PROBE, probes);
	if (probes == 0 &&
	    (weather_hides_mtu(end->world) ||
	     (end->flow->is_signed && weather_shrinks(end->world))))
		end->flow->may_fail = true;
}

void end_set_options(struct end *end)
{
	maybe_set(end, TOW_TCP_NODELAY, 1, 500000);
	maybe_set(end, TOW_TCP_CORK, 1, 50000);
	maybe_set(end, TOW_TCP_TOS, (int64_t)throw_to(end, 255), 50000);
	set_opening(end);
	set_sizes(end);
	set_congestion(end, 700000);
	set_pace(end, 100000);
	set_patience(end);
	set_probes(end);
}

void end_change_options(struct end *end)
{
	if (!hit(end, 10000))
		return;
	maybe_set(end, TOW_TCP_MSS, 88 + (int64_t)throw_to(end, 1400), 300000);
	maybe_set(end, TOW_TCP_CORK, (int64_t)throw_to(end, 1), 200000);
	set_congestion(end, 100000);
	set_pace(end, 100000);
	if (hit(end, 200000))
		signing_change(end);
}

unsigned end_draw_flags(struct end *end, uint64_t bytes)
{
	bool last = end->sent_bytes + bytes >= end->plan_bytes;
	unsigned flags = 0;

	if (!last && hit(end, end->more_ppm))
		flags |= TOW_TCP_MORE;
	if (hit(end, end->record_ppm))
		flags |= TOW_TCP_EOR;
	if (hit(end, end->urgent_ppm))
		flags |= TOW_TCP_URGENT;
	return flags;
}

/* RFC 6093: a mark in the stream; never behind the last that was made. */
void end_saw_mark(struct end *end)
{
	int64_t before = tow_tcp_urgent(end->tcp);
	uint64_t mark = end->returned_bytes + (uint64_t)before + 1;

	if (before >= 0 && mark > end->peer->urgent_end)
		world_fail(end->world,
			   "flow %u: urgent up to %llu, but the last mark is "
			   "at %llu",
			   end->flow->number, (unsigned long long)mark,
			   (unsigned long long)end->peer->urgent_end);
}

/* Listeners. */

static void listener_set(struct world *world, struct tow_listener *listener,
			 enum tow_tcp_option option, int64_t value,
			 uint32_t ppm)
{
	int result;

	if (!dice_hit(&world->dice, ppm))
		return;
	result = tow_listener_set(listener, option, value);
	if (result < 0)
		refused(world, option, value, result);
}

void listener_set_options(struct world *world, struct tow_listener *listener)
{
	struct dice *dice = &world->dice;

	listener_set(world, listener, TOW_TCP_ECN, (int64_t)dice_up_to(dice, 3),
		     500000);
	listener_set(world, listener, TOW_TCP_SYN_COOKIES,
		     (int64_t)dice_up_to(dice, 2), 300000);
	listener_set(world, listener, TOW_TCP_CONGESTION,
		     (int64_t)dice_up_to(dice, 2), 300000);
	if (!world->profile->perfect)
		listener_set(world, listener, TOW_TCP_FAST_OPEN,
			     (int64_t)dice_range(dice, 1, 8), 600000);
	listener_set(world, listener, TOW_TCP_FAST_OPEN_HOW,
		     dice_hit(dice, 500000) ? TOW_TCP_FAST_OPEN_NO_COOKIE : 0,
		     200000);
}

/*
 * Room for few that are half-open, so that cookies are needed: those who bring
 * one back take the place of others.
 */
int listener_draw_backlog(struct world *world, struct node *node)
{
	struct dice *dice = &world->dice;

	node->crowded = !world->profile->perfect && dice_hit(dice, 100000);
	if (node->crowded)
		return (int)dice_range(dice, 1, 4);
	return (int)dice_range(dice, FLOWS_MAX, 64);
}
