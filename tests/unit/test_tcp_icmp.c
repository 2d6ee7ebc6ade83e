/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP and TCP: path MTU (RFC 1191, 8201), errors soft and hard (RFC 1122
 * 4.2.3.9, RFC 5461), and lies (RFC 5927).
 */
#include "tcp_peer.h"

static void ack(struct rig *r, uint32_t ack)
{
	inject(r, .flags = ACK, .seq = 1, .ack = ack);
}

static uint32_t headers(const struct rig *r)
{
	return r->options.family == IPV4 ? 40 : 60;
}

/* Ten segments as large as the MTU in flight; their size. */
static uint32_t fly(struct rig *r)
{
	uint32_t mss = 1500 - headers(r);

	r->options.offer.mss = 1460;
	r->options.offer.ts = false;
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	CHECK_EQ(peek(r)->gso ? peek(r)->gso_bytes : peek(r)->bytes, mss);
	forget(r);
	return mss;
}

/* All that was sent points into the loan. */
static void check_in_place(const struct segment *s, const struct rig *r)
{
	const uint8_t *at = r->stream + s->seq - 1;

	for (unsigned i = 0; i < s->span_count; i++) {
		CHECK_EQ((const uint8_t *)s->spans[i].ptr, at);
		at += s->spans[i].len;
	}
}

/* RFC 1191 6.4, RFC 8201 5.3: smaller at once, from the same loan */
TCP_TEST(packet_too_big_sends_again_in_smaller_pieces)
{
	uint32_t mtu = 1300, edge = 1;

	fly(r);
	inject_icmp(r, ICMP_TOO_BIG, mtu, 1, 0);
	CHECK_GE(waiting(r), 1u);
	while (waiting(r)) {
		const struct segment *s = next(r);

		CHECK_LE(s->bytes, mtu - headers(r));
		check_in_place(s, r);
		if (s->seq == edge)
			edge += s->bytes;
	}
	CHECK_GT(edge, 1u);
	CHECK_EQ(info_of(r).mss, mtu - headers(r));
	for (unsigned i = 0; i < 2000 && loan_status(r, 1) == 1; i++) {
		while (waiting(r)) {
			const struct segment *s = next(r);

			CHECK_LE(s->bytes, mtu - headers(r));
			check_in_place(s, r);
			if (s->seq <= edge && s->seq + s->bytes > edge)
				edge = s->seq + s->bytes;
		}
		forget(r);
		ack(r, edge);
		advance_ms(r, 20);
	}
	CHECK_EQ(loan_status(r, 1), 0);
}

/* RFC 8201 4, RFC 1191 3: and it is no congestion */
TCP_TEST(packet_too_big_is_no_congestion)
{
	fly(r);
	inject_icmp(r, ICMP_TOO_BIG, 1300, 1, 0);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 0u);
	CHECK_GE(info_of(r).cwnd_bytes, 9 * 1240u);
}

/*
 * RFC 5681 3.1: as many segments as before, so there is no burst of small ones
 */
TCP_TEST(packet_too_big_leaves_as_many_segments_in_the_window)
{
	uint32_t mss = fly(r), cwnd = info_of(r).cwnd_bytes;

	inject_icmp(r, ICMP_TOO_BIG, 1300, 1, 0);
	CHECK_LT(info_of(r).mss, mss);
	CHECK_EQ(info_of(r).cwnd_bytes / info_of(r).mss, cwnd / mss);
	CHECK_LE(bytes_sent(r), info_of(r).cwnd_bytes);
}

/* attacks: never below 552 (RFC 1191 has 68) or 1280 (RFC 8201 4) */
TCP_TEST(packet_too_big_has_a_floor)
{
	static const uint32_t mtus[] = { 0, 1, 67, 68, 296, 551 };
	uint32_t least = r->options.family == IPV4 ? 552 : 1280;

	fly(r);
	for (unsigned i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
		inject_icmp(r, ICMP_TOO_BIG, mtus[i], 1, 0);
		CHECK_GE(info_of(r).mss, least - headers(r));
	}
}

/* RFC 1191 3: and DF is left off, once only whatever comes again */
TCP_TEST(packet_too_big_below_the_floor_leaves_df_off)
{
	bool v4 = r->options.family == IPV4;
	const struct segment *s;

	fly(r);
	inject_icmp(r, ICMP_TOO_BIG, 1280, 1, 0);
	CHECK_EQ(next(r)->df, v4);
	forget(r);
	inject_icmp(r, ICMP_TOO_BIG, 296, 1, 0);
	CHECK_EQ(waiting(r) > 0, v4);
	while (waiting(r)) {
		s = next(r);
		CHECK(!s->df);
		CHECK_LE(s->bytes, 552 - headers(r));
	}
	inject_icmp(r, ICMP_TOO_BIG, 68, 1, 0);
	CHECK_EQ(waiting(r), 0);
}

/* attacks: never larger than it is */
TCP_TEST(packet_too_big_never_raises_the_mtu)
{
	uint32_t mss = fly(r);

	inject_icmp(r, ICMP_TOO_BIG, 9000, 1, 0);
	CHECK_EQ(info_of(r).mss, mss);
	inject_icmp(r, ICMP_TOO_BIG, 1400, 1, 0);
	CHECK_EQ(info_of(r).mss, 1400 - headers(r));
	inject_icmp(r, ICMP_TOO_BIG, 1450, 1, 0);
	CHECK_EQ(info_of(r).mss, 1400 - headers(r));
}

/* RFC 5927 4.1: only about what is in flight */
TCP_TEST(packet_too_big_about_other_numbers_is_ignored)
{
	uint32_t mss = fly(r);

	ack(r, 1 + mss);
	inject_icmp(r, ICMP_TOO_BIG, 1300, 1, 0); /* acknowledged already */
	inject_icmp(r, ICMP_TOO_BIG, 1300, 0x40000000, 0);
	inject_icmp(r, ICMP_TOO_BIG, 1300, (uint32_t)-70000, 0);
	CHECK_EQ(info_of(r).mss, mss);
	inject_icmp(r, ICMP_TOO_BIG, 1300, 1 + mss, 0);
	advance_ms(r, 2000); /* RFC 5927 7.2: larger ones arrived before */
	CHECK_EQ(info_of(r).mss, 1300 - headers(r));
	forget(r);
}

/* RFC 5927 7.2: a thousand of them are no amplifier */
TCP_TEST(flood_of_packet_too_big_sends_little)
{
	fly(r);
	for (uint32_t i = 0; i < 1000; i++)
		inject_icmp(r, ICMP_TOO_BIG, 1400 - i % 100, 1, 0);
	CHECK_LE(waiting(r), 1200u);
}

/* RFC 1122 4.2.3.9: hard errors end a connection attempt */
TCP_TEST(port_unreachable_refuses_a_connect)
{
	connect_out(r);
	inject_icmp(r, ICMP_PORT_UNREACHABLE, 0, 0, 0);
	CHECK_EQ(events_of(r, TOW_EVENT_CLOSED), 1u);
	CHECK_EQ(event_of(r, TOW_EVENT_CLOSED)->status, TOW_ECONNREFUSED);
}

/* RFC 5927 4.1: but only about our SYN */
TCP_TEST(port_unreachable_about_another_number_is_ignored)
{
	connect_out(r);
	inject_icmp(r, ICMP_PORT_UNREACHABLE, 0, 1000, 0);
	inject_icmp(r, ICMP_PORT_UNREACHABLE, 0, (uint32_t)-1000, 0);
	CHECK_EQ(state_of(r), TOW_TCP_SYN_SENT);
	CHECK_GE(drops(r, TOW_DROP_ICMP_UNMATCHED), 1u);
}

/* RFC 5461 2.2, RFC 5927 5.2: hard errors are soft once synchronized */
TCP_TEST(established_connection_survives_hard_errors)
{
	fly(r);
	inject_icmp(r, ICMP_PORT_UNREACHABLE, 0, 1, 0);
	inject_icmp(r, ICMP_PROTO_UNREACHABLE, 0, 1, 0);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	ack(r, 2001);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
}

/* RFC 9293 3.9.2.2 MUST-56: soft errors abort nothing */
TCP_TEST(soft_errors_abort_neither_connect_nor_connection)
{
	static const enum icmp_kind soft[] = { ICMP_NET_UNREACHABLE,
					       ICMP_HOST_UNREACHABLE,
					       ICMP_TIME_EXCEEDED };

	connect_out(r);
	for (unsigned i = 0; i < 3; i++)
		inject_icmp(r, soft[i], 0, 0, 0);
	CHECK_EQ(state_of(r), TOW_TCP_SYN_SENT);
	syn_ack_arrives(r);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK_EQ(app_lend(r, 5000, 1, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		inject_icmp(r, soft[i], 0, 1, 0);
	ack(r, 5001);
	CHECK_EQ(loan_status(r, 1), 0);
}

/* RFC 6633 3: source quench is dead; unknown ICMPv6 errors are no matter */
TCP_TEST(source_quench_and_unknown_errors_change_nothing)
{
	uint32_t cwnd;

	fly(r);
	cwnd = info_of(r).cwnd_bytes;
	inject_icmp(r, ICMP_SOURCE_QUENCH, 0, 1, 0);
	CHECK_EQ(info_of(r).cwnd_bytes, cwnd);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK(sends_nothing(r));
}

/* Design rule 7: an error that quotes less than ports and number is no error */
TCP_TEST(error_that_quotes_too_little_is_dropped)
{
	connect_out(r);
	forget(r);
	for (uint32_t quoted = 1; quoted < 8; quoted++)
		inject_icmp(r, ICMP_PORT_UNREACHABLE, 0, 0, quoted);
	CHECK_EQ(state_of(r), TOW_TCP_SYN_SENT);
	inject_icmp(r, ICMP_PORT_UNREACHABLE, 0, 0, 8);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* RFC 1191 6.4 with segmentation offload: the pieces become smaller */
TCP_TEST(packet_too_big_makes_large_segments_of_smaller_pieces)
{
	struct rig_options o = r->options;
	uint32_t una = 1;

	o.caps = TOW_DEV_TX_CSUM | TOW_DEV_TSO4 | TOW_DEV_TSO6;
	o.gso_bytes_max = 60000;
	rig_reopen(r, &o);
	fly(r);
	inject_icmp(r, ICMP_TOO_BIG, 1300, 1, 0);
	CHECK_GE(waiting(r), 1u);
	for (unsigned i = 0; i < 200 && loan_status(r, 1) == 1; i++) {
		while (waiting(r)) {
			const struct segment *s = next(r);

			if (s->gso)
				CHECK_LE(s->gso_bytes, 1300 - headers(r));
			else
				CHECK_LE(s->bytes, 1300 - headers(r));
			check_in_place(s, r);
			if (s->seq + s->bytes > una)
				una = s->seq + s->bytes;
		}
		forget(r);
		ack(r, una);
	}
	CHECK_EQ(loan_status(r, 1), 0);
}

/* RFC 9293 3.9.2.2: a peer that does not even answer ARP or solicitations */
TCP_TEST(connect_to_a_host_that_is_not_there_fails)
{
	struct tow_endpoint remote = { r->peer, 80, 0 };

	r->mute = true;
	CHECK_EQ(tow_tcp_connect(r->stack, NULL, &remote, &r->tcp), 0);
	advance_ms(r, 15 * 60 * 1000);
	CHECK(sends_nothing(r));
	CHECK_EQ(events_of(r, TOW_EVENT_CLOSED), 1u);
	CHECK(event_of(r, TOW_EVENT_CLOSED)->status == TOW_EHOSTUNREACH ||
	      event_of(r, TOW_EVENT_CLOSED)->status == TOW_ETIMEDOUT);
}
