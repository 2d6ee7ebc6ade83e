/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Path MTU found by probes of real data, without ICMP: RFC 4821, RFC 8899; and
 * what ICMP says when it is not to be believed at once: RFC 5927 7.2.
 */
#include "tcp_peer.h"

static uint32_t headers(const struct rig *r)
{
	return r->options.family == IPV4 ? 40 : 60;
}

static uint32_t base_mss(const struct rig *r)
{
	return r->options.family == IPV4 ? 1024 : 1220;
}

/* A network that swallows packets with more than @most bytes of payload. */
struct hole {
	uint32_t most, una, largest, dropped;
};

/* Deliver what was sent: cumulative ACKs, SACK for what is beyond a gap. */
static void deliver_some(struct rig *r, struct hole *h, unsigned most)
{
	uint32_t got[64][2];
	unsigned n = 0;

	while (waiting(r) && most--) {
		const struct segment *s = next(r);

		if (s->bytes > h->most) {
			h->dropped++;
			continue;
		}
		h->largest = s->bytes > h->largest ? s->bytes : h->largest;
		if (s->seq <= h->una && s->seq + s->bytes > h->una) {
			h->una = s->seq + s->bytes;
			for (unsigned i = 0; i < n; i++)
				if (got[i][0] <= h->una && got[i][1] > h->una)
					h->una = got[i][1];
			inject(r, .flags = ACK, .seq = 1, .ack = h->una);
		} else if (s->seq > h->una && n < 64) {
			got[n][0] = s->seq;
			got[n][1] = s->seq + s->bytes;
			inject(r, .flags = ACK, .seq = 1, .ack = h->una,
			       .sacks = 1,
			       .sack = { { s->seq, s->seq + s->bytes } });
			n++;
		}
	}
}

/* Also what is sent for those ACKs: the round trip takes no time. */
static void deliver(struct rig *r, struct hole *h)
{
	deliver_some(r, h, UINT32_MAX);
}

static void run(struct rig *r, struct hole *h, unsigned ms)
{
	for (unsigned i = 0; i < ms && loan_status(r, 1) == 1; i++) {
		deliver(r, h);
		advance_ms(r, 1);
	}
}

static void open_wide(struct rig *r)
{
	r->options.offer.mss = 1460;
	r->options.offer.ts = false;
	r->options.offer.wscale = 8;
	r->options.offer.window = 8u << 20;
	handshake_passive(r);
	forget(r);
}

/* So many seconds, with something to send in each. */
static void run_for(struct rig *r, struct hole *h, unsigned s)
{
	for (unsigned i = 0; i < s; i++) {
		CHECK_EQ(app_lend(r, 60000, 2, 0), 0);
		for (unsigned ms = 0; ms < 1000; ms++) {
			deliver(r, h);
			advance_ms(r, 1);
		}
	}
}

/* RFC 4821 7.7, RFC 8899 4.3: large segments vanish, no ICMP comes */
TCP_TEST(black_hole_is_survived_by_smaller_packets)
{
	struct hole h = { .most = base_mss(r) + 50, .una = 1 };

	open_wide(r);
	CHECK_EQ(app_lend(r, 200000, 1, 0), 0);
	run(r, &h, 20000);
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_BLACK_HOLES), 1u);
	CHECK_LE(info_of(r).mss, base_mss(r) + 50);
}

static uint32_t floor_mss(const struct rig *r)
{
	return (r->options.family == IPV4 ? 552 : 1280) - headers(r);
}

/* RFC 4821 7.7: the base may be too large for it, too */
TCP_TEST(narrow_black_hole_is_survived_by_the_smallest_packets)
{
	struct hole h = { .most = floor_mss(r) + 20, .una = 1 };

	open_wide(r);
	CHECK_EQ(app_lend(r, 50000, 1, 0), 0);
	run(r, &h, 30000);
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_LE(info_of(r).mss, floor_mss(r) + 20);
}

/* The same where packets never were as large as the base. */
TCP_TEST(black_hole_for_small_packets_is_survived)
{
	struct hole h = { .most = floor_mss(r) + 20, .una = 1 };

	r->options.offer.mss = 700;
	r->options.offer.ts = false;
	r->options.offer.wscale = 8;
	r->options.offer.window = 8u << 20;
	handshake_passive(r);
	forget(r);
	CHECK_EQ(app_lend(r, 50000, 1, 0), 0);
	run(r, &h, 30000);
	CHECK_EQ(loan_status(r, 1), 0);
}

/* RFC 4821 7.3: and as large again as the path really takes */
TCP_TEST(probes_find_how_large_packets_may_be)
{
	struct hole h = { .most = 1300 - headers(r) + 30, .una = 1 };

	open_wide(r);
	CHECK_EQ(app_lend(r, 2000000, 1, 0), 0);
	run(r, &h, 30000);
	CHECK_EQ(loan_status(r, 1), 0);
	run_for(r, &h, 30); /* after each loss the next one waits */
	CHECK_GE(counter(r, TOW_COUNTER_TCP_MTU_PROBES), 2u);
	CHECK_LE(info_of(r).mss, h.most);
	CHECK_GE(info_of(r).mss + 8, h.most);
}

/* TOW_TCP_MTU_PROBE 2: begins at the base and is up after a few probes */
TCP_TEST(search_from_the_beginning_starts_at_the_base)
{
	struct hole h = { .most = 1500, .una = 1 };

	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_MTU_PROBE, 2), 0);
	open_wide(r);
	CHECK_EQ(info_of(r).mss, base_mss(r));
	CHECK_EQ(app_lend(r, 2000000, 1, 0), 0);
	run(r, &h, 10000);
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_GE(info_of(r).mss + 8, 1500 - headers(r));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
}

/* RFC 4821 7.6.2: a probe that is lost alone is no congestion */
TCP_TEST(lost_probe_is_no_congestion)
{
	struct hole h = { .most = base_mss(r), .una = 1 };
	uint32_t cwnd = 0;

	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_MTU_PROBE, 2), 0);
	open_wide(r);
	CHECK_EQ(app_lend(r, 2000000, 1, 0), 0);
	while (counter(r, TOW_COUNTER_TCP_MTU_PROBES) == 0 && h.una < 900000) {
		cwnd = info_of(r).cwnd_bytes;
		run(r, &h, 1);
	}
	CHECK_GE(counter(r, TOW_COUNTER_TCP_MTU_PROBES), 1u);
	run(r, &h, 20);
	CHECK_GT(h.dropped, 0u);
	CHECK_GE(info_of(r).cwnd_bytes, cwnd);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 0u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
	run(r, &h, 20000);
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_EQ(info_of(r).mss, base_mss(r));
}

/*
 * RFC 4821 4, 7.6.2: the reduction that a lost probe was spared would not have
 * come again before as many round trips as there are packets in the window
 */
TCP_TEST(probe_after_a_lost_one_waits_as_long_as_a_window_has_packets)
{
	struct hole h = { .most = base_mss(r), .una = 1 };
	uint64_t lost_us = 0, wait_us = 0, next_us = 0;

	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_MTU_PROBE, 2), 0);
	open_wide(r);
	for (unsigned i = 0; i < 1000 && next_us == 0; i++) {
		struct tow_tcp_info info = info_of(r);

		if (i % 20 == 0)
			CHECK_EQ(app_lend(r, 60000, 1, 0), 0);
		if (h.dropped && lost_us == 0) {
			lost_us = r->now_us;
			wait_us = info.cwnd_bytes / info.mss *
				  (uint64_t)info.srtt_us;
		}
		if (counter(r, TOW_COUNTER_TCP_MTU_PROBES) > 1)
			next_us = r->now_us;
		deliver_some(r, &h, waiting(r));
		advance_ms(r, 10);
	}
	CHECK_GT(wait_us, 100000u);
	CHECK_GE(next_us, lost_us + wait_us);
	CHECK_LE(next_us, lost_us + wait_us + 1100000);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 0u);
}

/* A search from the base: what is out up to the first probe is acknowledged. */
static struct segment wait_for_probe(struct rig *r)
{
	const struct segment *s;

	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_MTU_PROBE, 2), 0);
	open_wide(r);
	CHECK_EQ(app_lend(r, 2000000, 1, 0), 0);
	while ((s = next(r))->bytes && s->bytes <= base_mss(r))
		inject(r, .flags = ACK, .seq = 1, .ack = s->seq + s->bytes);
	CHECK_GT(s->bytes, base_mss(r));
	return *s;
}

/* What follows the probe arrives, but @holes segments. */
static void lose_probe(struct rig *r, const struct segment *probe,
		       uint32_t holes)
{
	uint32_t from = probe->seq + probe->bytes + holes * base_mss(r);

	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = probe->seq, .sacks = 1,
	       .sack = { { from, from + 3 * base_mss(r) } });
}

/* RFC 4821 7.6.3: five times as long after a timeout */
TCP_TEST(probe_after_one_that_timed_out_waits_longer)
{
	struct tow_tcp_info info;
	uint64_t timed_out_us, wait_us;

	wait_for_probe(r);
	forget(r);
	while (counter(r, TOW_COUNTER_TCP_RTO) == 0)
		advance_ms(r, 1);
	info = info_of(r);
	timed_out_us = r->now_us;
	wait_us = 5ull * (info.ssthresh_bytes / info.mss) * info.srtt_us;
	CHECK_GT(wait_us, 100000u);
	for (unsigned i = 0; i < 100; i++) {
		if (counter(r, TOW_COUNTER_TCP_MTU_PROBES) > 1)
			break;
		info = info_of(r);
		inject(r, .flags = ACK, .seq = 1,
		       .ack = 1 + (uint32_t)info.acked_bytes +
			      info.in_flight_bytes);
		forget(r);
		if (i % 5 == 0)
			CHECK_EQ(app_lend(r, 50000, 2, 0), 0);
		advance_ms(r, 100);
	}
	CHECK_GT(counter(r, TOW_COUNTER_TCP_MTU_PROBES), 1u);
	CHECK_GE(r->now_us, timed_out_us + wait_us);
}

/* RFC 4821 7.6.4: what is lost with it may be, and then the window shrinks */
TCP_TEST(segment_that_is_lost_behind_a_probe_is_congestion)
{
	struct segment probe = wait_for_probe(r);

	lose_probe(r, &probe, 1);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
	CHECK_LT(info_of(r).ssthresh_bytes, 1u << 30);
}

/* RFC 5681 3.1: a timeout after that is one all the same */
TCP_TEST(timeout_after_a_lost_probe_reduces_the_slow_start_threshold)
{
	struct segment probe = wait_for_probe(r);
	uint32_t flight;

	lose_probe(r, &probe, 0);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 0u);
	CHECK_GE(info_of(r).ssthresh_bytes, 1u << 30);
	flight = info_of(r).in_flight_bytes;
	advance_ms(r, 400);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 1u);
	CHECK_LE(info_of(r).ssthresh_bytes, flight);
	CHECK_GE(info_of(r).ssthresh_bytes, flight / 2);
}

/* RFC 4821 7.6.4: lost beside another, its data goes again in pieces; that they
 * arrive proves nothing about its size */
TCP_TEST(probe_that_is_lost_with_others_proves_nothing)
{
	struct hole h = { .most = base_mss(r), .una = 1 };
	const struct segment *s;

	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_MTU_PROBE, 2), 0);
	open_wide(r);
	CHECK_EQ(app_lend(r, 2000000, 1, 0), 0);
	/* the last one before the probe never gets an ACK */
	while ((s = next(r))->bytes && s->bytes <= base_mss(r)) {
		h.una = s->seq;
		inject(r, .flags = ACK, .seq = 1, .ack = h.una);
	}
	CHECK_GT(s->bytes, base_mss(r));
	run(r, &h, 200);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_MTU_RAISED), 0u);
	CHECK_EQ(info_of(r).mss, base_mss(r));
	run(r, &h, 20000);
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_EQ(info_of(r).mss, base_mss(r));
}

/* RFC 1191 6.3, RFC 8201 4: after ten minutes larger ones are tried again */
TCP_TEST(path_is_tried_larger_again_after_ten_minutes)
{
	struct hole h = { .most = 1500, .una = 1 };

	open_wide(r);
	CHECK_EQ(app_lend(r, 1000, 9, 0), 0);
	inject_icmp(r, ICMP_TOO_BIG, 1300, 1, 0);
	CHECK_EQ(info_of(r).mss, 1300 - headers(r));
	deliver(r, &h);
	advance_ms(r, 601000);
	CHECK_EQ(app_lend(r, 1000000, 1, 0), 0);
	run(r, &h, 10000);
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_GE(info_of(r).mss + 8, 1500 - headers(r));
}

/* TOW_TCP_MTU_PROBE 0: what times out is sent again as it was */
TCP_TEST(without_probing_packets_stay_as_large_as_they_are)
{
	uint32_t mss = 1500 - headers(r);

	open_wide(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_MTU_PROBE, 0), 0);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	advance_ms(r, 30000);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_BLACK_HOLES), 0u);
	CHECK_EQ(info_of(r).mss, mss);
}

/* attacks: ICMP attacks on TCP (RFC 5927 7.2). Packets that arrived before
 * are believed more than a claim that they do not. */
TCP_TEST(packet_too_big_waits_for_a_timeout_where_larger_ones_arrived)
{
	struct hole h = { .most = 1500, .una = 1 };
	uint32_t mss = 1500 - headers(r);

	open_wide(r);
	CHECK_EQ(app_lend(r, 5 * mss, 9, 0), 0);
	deliver(r, &h);
	CHECK_EQ(app_lend(r, 3 * mss, 1, 0), 0);
	forget(r);
	inject_icmp(r, ICMP_TOO_BIG, 1300, h.una, 0);
	CHECK_EQ(info_of(r).mss, mss);
	advance_ms(r, 1500);
	CHECK_EQ(info_of(r).mss, 1300 - headers(r));
}

/* The same attack: an ACK of the packet in question shows that it was a lie */
TCP_TEST(packet_too_big_about_what_is_then_acknowledged_is_forgotten)
{
	struct hole h = { .most = 1500, .una = 1 };
	uint32_t mss = 1500 - headers(r);

	open_wide(r);
	CHECK_EQ(app_lend(r, 5 * mss, 9, 0), 0);
	deliver(r, &h);
	CHECK_EQ(app_lend(r, 3 * mss, 1, 0), 0);
	inject_icmp(r, ICMP_TOO_BIG, 1300, h.una, 0);
	inject(r, .flags = ACK, .seq = 1, .ack = h.una + mss);
	forget(r);
	advance_ms(r, 1500);
	CHECK_EQ(info_of(r).mss, mss);
}

/* RFC 1122 4.2.3.9: a soft error is the reason when it ends in silence */
TCP_TEST(soft_error_is_the_reason_of_a_timeout)
{
	connect_out(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_SYN_RETRIES, 2), 0);
	inject_icmp(r, ICMP_HOST_UNREACHABLE, 0, 0, 0);
	CHECK_EQ(state_of(r), TOW_TCP_SYN_SENT);
	advance_ms(r, 7500);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(event_of(r, TOW_EVENT_CLOSED)->status, TOW_EHOSTUNREACH);
}

/* RFC 9293 3.8.3: as many SYNs as the program wants */
TCP_TEST(syn_is_retried_as_often_as_the_program_says)
{
	connect_out(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_SYN_RETRIES, 3), 0);
	forget(r);
	advance_ms(r, 60000);
	CHECK_EQ(waiting(r), 3u);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	forget(r);
}

/* RFC 1122 4.2.4.2, 4.1.4: TTL and type of service of each connection */
TCP_TEST(ttl_and_tos_are_the_programs)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_TTL, 7), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_TOS, 0xb8 | 3), 0);
	forget(r);
	app_send(r, 100, 0);
	CHECK_EQ(peek(r)->ttl, 7u);
	CHECK_EQ(peek(r)->tos, 0xb8u);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_TTL, 256), TOW_EINVAL);
}

/* attacks: ICMP attacks on TCP. The same of a probe that the peer SACKed */
TCP_TEST(packet_too_big_about_a_probe_that_arrived_is_a_lie)
{
	struct hole h = { .most = 1500, .una = 1 };
	const struct segment *s;
	uint32_t probe, end, lost, cwnd;

	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_MTU_PROBE, 2), 0);
	open_wide(r);
	CHECK_EQ(app_lend(r, 2000000, 1, 0), 0);
	while ((s = next(r))->bytes && s->bytes <= base_mss(r)) {
		h.una = s->seq;
		inject(r, .flags = ACK, .seq = 1, .ack = h.una);
	}
	probe = s->seq;
	end = probe + s->bytes;
	CHECK_GT(s->bytes, base_mss(r));
	inject(r, .flags = ACK, .seq = 1, .ack = h.una, .sacks = 1,
	       .sack = { { probe, end } });
	lost = info_of(r).lost_bytes; /* what is before it, perhaps */
	CHECK_EQ(info_of(r).sacked_bytes, end - probe);
	inject_icmp(r, ICMP_TOO_BIG, base_mss(r) + headers(r), probe, 0);
	CHECK_EQ(info_of(r).sacked_bytes, end - probe);
	CHECK_EQ(info_of(r).lost_bytes, lost);
	cwnd = info_of(r).cwnd_bytes;
	inject(r, .flags = ACK, .seq = 1, .ack = end);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_MTU_RAISED), 1u);
	/* RFC 4821 4: a window of as many bytes, but for what grew it */
	CHECK_LE(info_of(r).cwnd_bytes, cwnd + end - h.una);
	forget(r);
}

/* RFC 4821 7.6.4: ICMP about a probe bounds the search, and nothing else */
TCP_TEST(packet_too_big_about_a_probe_bounds_the_search)
{
	struct hole h = { .most = 1500, .una = 1 };
	uint32_t before, limit = 1300;
	const struct segment *probe;

	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_MTU_PROBE, 2), 0);
	open_wide(r);
	before = info_of(r).mss;
	CHECK_EQ(app_lend(r, 2000000, 1, 0), 0);
	for (unsigned i = 0; i < 500; i++) {
		probe = next(r);
		if (probe->bytes > before)
			break;
		inject(r, .flags = ACK, .seq = 1,
		       .ack = probe->seq + probe->bytes);
	}
	CHECK_GT(probe->bytes, before);
	if (probe->bytes + headers(r) <= limit)
		limit = probe->bytes + headers(r) - 1;
	inject_icmp(r, ICMP_TOO_BIG, limit, probe->seq, 0);
	CHECK_EQ(info_of(r).mss, before);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 0u);
	h.most = limit - headers(r);
	h.una = probe->seq;
	run(r, &h, 20000);
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_LE(info_of(r).mss + headers(r), limit);
}
