/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening connections: RFC 9293 3.5, the options of SYN segments, ports,
 * backlog, and how long it goes on asking.
 */
#include "tcp_peer.h"
#include <stdlib.h>
#include <string.h>

static unsigned mtu_mss(const struct rig *r)
{
	return r->options.family == IPV4 ? 1460 : 1440;
}

/* The bytes of `mss, sackOK, TS, nop, wscale` but for the timestamps. */
static void check_all_options(struct rig *r, const struct segment *s)
{
	unsigned mss = mtu_mss(r);
	const uint8_t front[8] = {
		2, 4, (uint8_t)(mss >> 8), (uint8_t)mss, 4, 2, 8, 10
	};

	CHECK_EQ(s->option_bytes, 20u);
	CHECK_MEM(s->options, front, sizeof(front));
	CHECK_MEM(s->options + 16, ((uint8_t[]){ 1, 3, 3 }), 3);
	CHECK_LE(s->options[19], 14);
}

/* RFC 9293 3.7.1, RFC 7323 2.2 and 3.2, RFC 2018 2: in Linux's order */
TCP_TEST(syn_offers_mss_sack_timestamps_and_scale_in_this_order)
{
	connect_out(r);
	check_all_options(r, peek(r));
	CHECK_EQ(peek(r)->tsecr, 0u); /* RFC 7323 3.2: no ACK, no echo */
}

/* RFC 9293 3.7.1, RFC 7323 2.2 and 3.2, RFC 2018 2 */
TCP_TEST(syn_ack_answers_all_options_in_this_order)
{
	listen_here(r, 4);
	inject(r, .flags = SYN, .mss = 1460, .sack_ok = true, .ts = true,
	       .tsval = 77777, .has_wscale = true, .wscale = 3);
	check_all_options(r, peek(r));
	CHECK_EQ(peek(r)->tsecr, 77777u);
}

/* RFC 7323 1.3, RFC 2018 2: options are in a SYN-ACK only if in the SYN */
TCP_TEST(syn_ack_to_a_bare_syn_has_only_the_mss)
{
	const struct segment *s;

	listen_here(r, 4);
	inject(r, .flags = SYN);
	s = peek(r);
	CHECK_EQ(s->flags, SYN | ACK);
	CHECK_EQ(s->option_bytes, 4u);
	CHECK_EQ(s->mss, (int)mtu_mss(r));
}

/* RFC 2018 2 */
TCP_TEST(syn_ack_permits_sack_only_if_the_syn_did)
{
	listen_here(r, 4);
	inject(r, .flags = SYN, .mss = 1460, .ts = true, .has_wscale = true,
	       .wscale = 7);
	CHECK(!peek(r)->sack_ok);
	CHECK(peek(r)->ts);
	CHECK_GE(peek(r)->wscale, 0);
}

/* RFC 7323 1.3 */
TCP_TEST(syn_ack_has_timestamps_only_if_the_syn_had)
{
	listen_here(r, 4);
	inject(r, .flags = SYN, .mss = 1460, .sack_ok = true,
	       .has_wscale = true, .wscale = 7);
	CHECK(!peek(r)->ts);
	CHECK(peek(r)->sack_ok);
	CHECK_GE(peek(r)->wscale, 0);
}

/* RFC 7323 2.2 */
TCP_TEST(syn_ack_scales_only_if_the_syn_did)
{
	listen_here(r, 4);
	inject(r, .flags = SYN, .mss = 1460, .sack_ok = true, .ts = true);
	CHECK_EQ(peek(r)->wscale, -1);
	CHECK(peek(r)->sack_ok);
	CHECK(peek(r)->ts);
}

/* RFC 7323 2.2: so the peer may scale its window */
TCP_TEST(scale_of_0_is_offered_all_the_same)
{
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_RECV_BYTES, 16384), 0);
	syn_arrives(r);
	CHECK_EQ(peek(r)->wscale, 0);
}

/* RFC 7323 2.2: the window field of a SYN segment is never scaled */
TCP_TEST(window_of_a_syn_is_not_scaled)
{
	r->options.offer.window = 5000;
	await_syn_ack(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .window = 1280);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(info_of(r).send_window_bytes, 1280u);
}

/* RFC 7323 2.2, 2.3: nor is that of ours, but all others are */
TCP_TEST(window_of_our_syn_is_not_scaled)
{
	connect_out(r);
	CHECK_GE(peek(r)->wscale, 1);
	CHECK_EQ(peek(r)->raw_window, 65535u);
	forget(r);
	syn_ack_arrives(r);
	CHECK_EQ((uint32_t)peek(r)->raw_window << r->our_wscale,
		 peek(r)->window);
	CHECK_GE(peek(r)->window, 65535u);
	CHECK_LE(peek(r)->raw_window, 65535u >> 1);
}

/* RFC 7323 2.3: a shift above 14 is used as 14 */
TCP_TEST(window_scale_above_14_counts_as_14)
{
	r->options.offer.wscale = 15;
	await_syn_ack(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .window = 1u << 14);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(info_of(r).send_window_bytes, 1u << 14);
}

/* RFC 7323 2.2: both sides must have sent the option */
TCP_TEST(no_window_is_scaled_when_the_peer_did_not_offer)
{
	r->options.offer.wscale = -1;
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .window = 1000);
	CHECK(!info_of(r).window_scaling);
	CHECK_EQ(info_of(r).send_window_bytes, 1000u);
}

static uint32_t first_segment_bytes(struct rig *r)
{
	app_send(r, 20000, 0);
	return next(r)->bytes;
}

/* RFC 9293 3.7.1: SendMSS is 536 or 1220 for a peer that says nothing */
TCP_TEST(missing_mss_means_the_smallest_default)
{
	r->options.offer.mss = 0;
	r->options.offer.ts = false;
	handshake_passive(r);
	CHECK_EQ(first_segment_bytes(r),
		 r->options.family == IPV4 ? 536u : 1220u);
}

/* RFC 6691 2: options come out of the MSS */
TCP_TEST(timestamps_come_out_of_the_mss)
{
	handshake_passive(r);
	CHECK_EQ(first_segment_bytes(r), FULL);
}

/* RFC 9293 3.7.1: not above what the path carries either */
TCP_TEST(mss_above_the_mtu_is_cut_to_it)
{
	r->options.offer.mss = 65535;
	r->options.offer.ts = false;
	handshake_passive(r);
	CHECK_EQ(first_segment_bytes(r), mtu_mss(r));
}

/* attacks: SACK panic. An MSS of nearly nothing multiplies what we send. */
TCP_TEST(tiny_mss_is_lifted_to_a_floor)
{
	static const uint16_t tiny[] = { 1, 12, 13, 20, 47 };
	struct rig_options o = r->options;

	for (unsigned i = 0; i < sizeof(tiny) / sizeof(tiny[0]); i++) {
		o.offer.mss = tiny[i];
		rig_reopen(r, &o);
		handshake_passive(r);
		CHECK_GE(first_segment_bytes(r), 32u);
	}
}

/* attacks: SACK panic. An MSS of 0 is no different. */
TCP_TEST(zero_mss_is_lifted_to_a_floor)
{
	static const uint8_t zero[4] = { 2, 4, 0, 0 };

	listen_here(r, 4);
	inject(r, .flags = SYN, .options = zero, .option_bytes = 4);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_GE(first_segment_bytes(r), 32u);
}

/* RFC 9293 3.5 figure 6 */
TCP_TEST(active_open_completes_and_says_so)
{
	handshake_active(r);
	CHECK_EQ(event_of(r, TOW_EVENT_CONNECTED)->object, (void *)r->tcp);
}

/* RFC 9293 3.5 figure 6, seen from B */
TCP_TEST(passive_open_completes_and_says_so)
{
	handshake_passive(r);
	CHECK_EQ(events_of(r, TOW_EVENT_ACCEPT), 1u);
	CHECK_EQ(event_of(r, TOW_EVENT_ACCEPT)->object, (void *)r->listener);
	CHECK_EQ(tow_tcp_local(r->tcp).port, r->our_port);
	CHECK_EQ(tow_tcp_remote(r->tcp).port, r->peer_port);
}

/* RFC 9293 3.5 figure 8 */
TCP_TEST(simultaneous_open_completes)
{
	put_in_state(r, AT_SYN_SENT);
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_EQ(state_of(r), TOW_TCP_SYN_RECEIVED);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK_EQ(events_of(r, TOW_EVENT_CONNECTED), 1u);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	CHECK_EQ(app_recv(r, 100), 10);
}

/*
 * RFC 9293 3.10.7.3, fifth: text on a SYN that crosses ours is queued for
 * processing after ESTABLISHED, and not acknowledged before
 */
TCP_TEST(data_on_a_crossing_syn_waits_for_established)
{
	put_in_state(r, AT_SYN_SENT);
	inject(r, .flags = SYN, .mss = 1000, .bytes = 300);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_EQ(app_recv(r, 1000), TOW_EAGAIN);
	inject(r, .flags = ACK, .seq = 301, .ack = 1);
	CHECK_EQ(events_of(r, TOW_EVENT_READABLE), 1u);
	CHECK_EQ(app_recv(r, 1000), 300);
	advance_ms(r, 500);
	CHECK(sends(r, ACK, 1, 301, 0));
}

/* The same when the peer sends the text again, and more behind it */
TCP_TEST(data_on_a_crossing_syn_that_comes_again_is_delivered_once)
{
	put_in_state(r, AT_SYN_SENT);
	inject(r, .flags = SYN, .mss = 1000, .bytes = 300);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = SYN | ACK, .ack = 1, .mss = 1000, .bytes = 300);
	inject(r, .flags = ACK, .seq = 201, .ack = 1, .bytes = 400);
	CHECK_EQ(app_recv(r, 1000), 600);
}

/* The same for a FIN: "other controls" */
TCP_TEST(fin_on_a_crossing_syn_waits_for_established)
{
	put_in_state(r, AT_SYN_SENT);
	inject(r, .flags = SYN | FIN, .mss = 1000, .bytes = 300);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_EQ(state_of(r), TOW_TCP_SYN_RECEIVED);
	inject(r, .flags = ACK, .seq = 302, .ack = 1);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSE_WAIT);
	CHECK_EQ(app_recv(r, 1000), 300);
	CHECK_EQ(app_recv(r, 1000), 0);
	CHECK(sends(r, ACK, 1, 302, 0));
}

/* RFC 9293 3.10.7.4: text with the last ACK of the handshake is taken */
TCP_TEST(data_on_the_last_ack_of_the_handshake_is_delivered)
{
	await_syn_ack(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 300);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_recv(r, 1000), 300);
}

/* RFC 9293 3.10.7.4: the last ACK is lost, the first data does its work */
TCP_TEST(data_in_place_of_a_lost_handshake_ack_opens)
{
	await_syn_ack(r);
	inject(r, .flags = ACK, .seq = 501, .ack = 1, .bytes = 500);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 500);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_recv(r, 2000), 1000);
}

/* RFC 9293 3.10.7.2: text on a SYN is kept or sent again, never mixed up */
TCP_TEST(data_on_a_syn_is_delivered_once)
{
	const struct segment *s;
	uint32_t taken;

	listen_here(r, 4);
	inject(r, .flags = SYN, .bytes = 200, .mss = 1460);
	s = next(r);
	CHECK_EQ(s->flags, SYN | ACK);
	CHECK(s->ack == 1 || s->ack == 201);
	taken = s->ack;
	inject(r, .flags = ACK, .seq = taken, .ack = 1, .bytes = 400);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_recv(r, 1000), (int64_t)taken - 1 + 400);
}

/* RFC 6298 2.1, 5.5: one second at first, then doubled; RFC 9293 3.8.3 */
TCP_TEST(syn_is_sent_again_after_1_2_and_4_seconds)
{
	uint64_t wait_s = 1;

	connect_out(r);
	CHECK(sends(r, SYN, 0, 0, 0));
	for (int i = 0; i < 3; i++, wait_s *= 2) {
		uint64_t waited = advance_to_segment(r, 20000000);

		CHECK_GE(waited, wait_s * 1000000);
		CHECK_LE(waited, wait_s * 1000000 + 50000);
		CHECK(sends(r, SYN, 0, 0, 0));
	}
}

/* RFC 9293 3.8.3 MUST-23: at least three minutes for a SYN */
TCP_TEST(connect_gives_up_after_three_minutes_at_the_earliest)
{
	uint64_t begin;

	connect_out(r);
	begin = r->now_us;
	while (!event_of(r, TOW_EVENT_CLOSED)) {
		CHECK_LE(r->now_us - begin, 15 * 60 * 1000000ull);
		advance_ms(r, 1000);
	}
	CHECK_EQ(event_of(r, TOW_EVENT_CLOSED)->status, TOW_ETIMEDOUT);
	CHECK_GE(r->now_us - begin, 180 * 1000000ull);
}

/* RFC 6298 2.1, RFC 9293 3.8.3 */
TCP_TEST(syn_ack_is_sent_again_with_backoff_and_then_given_up)
{
	uint64_t wait_s = 1;

	await_syn_ack(r);
	for (int i = 0; i < 3; i++, wait_s *= 2) {
		uint64_t waited = advance_to_segment(r, 20000000);

		CHECK_GE(waited, wait_s * 1000000);
		CHECK_LE(waited, wait_s * 1000000 + 50000);
		CHECK(sends(r, SYN | ACK, 0, 1, 0));
	}
	advance_ms(r, 15 * 60 * 1000);
	forget(r);
	advance_ms(r, 15 * 60 * 1000);
	CHECK(sends_nothing(r));
}

/* RFC 6298 5.7: without a sample the RTO is 3 s once data flows */
TCP_TEST(rto_is_3_seconds_after_a_syn_was_lost)
{
	r->options.offer.ts = false;
	connect_out(r);
	advance_ms(r, 1500);
	syn_ack_arrives(r);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK_EQ(info_of(r).rto_us, 3000000u);
}

/* RFC 6928 2: more than one SYN was lost, so begin with one segment */
TCP_TEST(initial_window_is_one_segment_after_two_syns_were_lost)
{
	connect_out(r);
	advance_ms(r, 4000);
	syn_ack_arrives(r);
	forget(r);
	app_send(r, 20000, 0);
	CHECK_LE(bytes_sent(r), FULL);
}

/* RFC 9293 3.10.7.3 */
TCP_TEST(connect_to_a_closed_port_is_refused)
{
	connect_out(r);
	inject(r, .flags = RST | ACK, .seq = 0, .ack = 1);
	CHECK_EQ(events_of(r, TOW_EVENT_CLOSED), 1u);
	CHECK_EQ(event_of(r, TOW_EVENT_CLOSED)->status, TOW_ECONNREFUSED);
	CHECK_EQ(app_recv(r, 10), TOW_ECONNREFUSED);
	CHECK_EQ(tow_tcp_send(r->tcp, "x", 1, 0), TOW_ECONNREFUSED);
}

/* RFC 9293 3.10.7.3, figure 9: an old SYN-ACK is reset, the new one counts */
TCP_TEST(syn_sent_survives_an_old_syn_ack)
{
	connect_out(r);
	forget(r);
	inject(r, .flags = SYN | ACK, .seq = 5000, .ack = 900, .mss = 1000);
	CHECK(sends_reset(r, 900));
	CHECK_EQ(state_of(r), TOW_TCP_SYN_SENT);
	syn_ack_arrives(r);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
}

/* RFC 9293 3.10.7.4: RST in SYN-RECEIVED goes back to LISTEN */
TCP_TEST(listener_lives_on_after_a_half_open_connection_is_reset)
{
	await_syn_ack(r);
	inject(r, .flags = RST, .seq = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), TOW_EAGAIN);
	r->tcp = NULL;
	handshake_passive(r);
}

/* RFC 9293 3.5: data queued before the handshake goes with its end */
TCP_TEST(data_queued_in_syn_sent_follows_the_handshake)
{
	connect_out(r);
	app_send(r, 500, 0);
	forget(r);
	syn_ack_arrives(r);
	CHECK_EQ(bytes_sent(r), 500u);
}

/* RFC 9293 3.10.4: CLOSE in SYN-SENT ends it at once */
TCP_TEST(close_in_syn_sent_is_silent_and_final)
{
	connect_out(r);
	forget(r);
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	advance_ms(r, 10000);
	CHECK(sends_nothing(r));
	syn_ack_arrives(r);
	CHECK(sends_reset(r, 1));
}

/* tow/tcp.h: accept says so when nobody waits */
TCP_TEST(accept_without_a_connection_says_again)
{
	listen_here(r, 4);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), TOW_EAGAIN);
	r->tcp = NULL;
}

static int connect_to(struct rig *r, struct tow_addr addr, uint16_t port)
{
	struct tow_endpoint remote = { addr, port, 0 };
	struct tow_tcp *tcp;
	int result = tow_tcp_connect(r->stack, NULL, &remote, &tcp);

	if (result == 0)
		tow_tcp_abort(tcp);
	return result;
}

/* RFC 9293 3.9.2.3 MUST-46, MUST-57: only to unicast addresses */
TCP_TEST(connect_refuses_what_is_not_a_unicast_address)
{
	static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 };

	CHECK_EQ(connect_to(r, tow_addr_any(), 80), TOW_EINVAL);
	CHECK_EQ(connect_to(r, tow_addr_v4(224, 0, 0, 1), 80), TOW_EINVAL);
	CHECK_EQ(connect_to(r, tow_addr_v4(255, 255, 255, 255), 80),
		 TOW_EINVAL);
	CHECK_EQ(connect_to(r, tow_addr_v6(all_nodes), 80), TOW_EINVAL);
	CHECK_EQ(connect_to(r, r->peer, 0), TOW_EINVAL);
	CHECK_EQ(connect_to(r, r->peer, 80), 0);
}

/* tow/tcp.h */
TCP_TEST(connect_and_listen_refuse_what_is_taken)
{
	struct tow_endpoint local = { r->us, 80, 0 };
	struct tow_endpoint remote = { r->peer, 40000, 0 };
	struct tow_listener *other;
	struct tow_tcp *tcp;

	handshake_active(r);
	CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &tcp),
		 TOW_EADDRINUSE);
	local.port = 8080;
	CHECK_EQ(tow_tcp_listen(r->stack, &local, 4, &r->listener), 0);
	CHECK_EQ(tow_tcp_listen(r->stack, &local, 4, &other), TOW_EADDRINUSE);
	local.addr = r->peer;
	local.port = 8081;
	CHECK_EQ(tow_tcp_listen(r->stack, &local, 4, &other),
		 TOW_EADDRNOTAVAIL);
	CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &tcp),
		 TOW_EADDRNOTAVAIL);
	local.addr = tow_addr_any();
	local.port = 0;
	CHECK_EQ(tow_tcp_listen(r->stack, &local, 4, &other), TOW_EINVAL);
}

/* tow/tcp.h: one of the stack's addresses, and no other */
TCP_TEST(listener_on_an_address_is_not_found_by_another)
{
	struct tow_addr second = r->us;
	struct tow_endpoint local = { .port = 80 };

	second.b[15] = 77;
	CHECK_EQ(tow_addr_add(r->stack, 0, &second,
			      r->options.family == IPV4 ? 24 : 64),
		 0);
	local.addr = second;
	CHECK_EQ(tow_tcp_listen(r->stack, &local, 4, &r->listener), 0);
	inject(r, .flags = SYN);
	CHECK(sends_reset_ack(r, 1));
	inject(r, .flags = SYN, .dst = &second);
	CHECK_EQ(peek(r)->flags, SYN | ACK);
	CHECK(tow_addr_equal(&peek(r)->src, &second));
}

static void complete_from_port(struct rig *r, uint16_t port)
{
	const struct segment *s;

	poll_until_quiet(r);
	forget(r);
	inject(r, .flags = SYN, .seq = 900, .absolute = true, .sport = port,
	       .mss = 1000);
	s = next(r);
	if (s->flags == (SYN | ACK))
		inject(r, .flags = ACK, .seq = 901, .ack = s->raw_seq + 1,
		       .absolute = true, .sport = port);
}

static unsigned accept_all(struct rig *r)
{
	struct tow_tcp *tcp;
	unsigned count = 0;

	while (tow_tcp_accept(r->listener, &tcp) == 0) {
		tow_tcp_abort(tcp);
		count++;
	}
	return count;
}

/* tow/tcp.h: at most @backlog connections wait */
TCP_TEST(backlog_limits_the_connections_that_wait)
{
	listen_here(r, 4);
	for (uint16_t i = 0; i < 20; i++)
		complete_from_port(r, (uint16_t)(20000 + i));
	CHECK_LE(accept_all(r), 4u);
	CHECK_GE(drops(r, TOW_DROP_TCP_BACKLOG), 1u);
	complete_from_port(r, 30000);
	CHECK_EQ(accept_all(r), 1u);
}

/* tow/tcp.h: connections that wait are reset, accepted ones go on */
TCP_TEST(closing_a_listener_resets_only_those_who_wait)
{
	handshake_passive(r);
	complete_from_port(r, 20000);
	forget(r);
	tow_listener_close(r->listener);
	r->listener = NULL;
	poll_until_quiet(r);
	CHECK_EQ(waiting(r), 1u);
	CHECK_EQ(peek(r)->dport, 20000);
	CHECK(next(r)->flags & RST);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	CHECK_EQ(app_recv(r, 100), 10);
	inject(r, .flags = SYN, .sport = 20001, .seq = 7, .absolute = true);
	CHECK(next(r)->flags & (RST | ACK));
}

/* RFC 9293 3.10.4 CLOSE in LISTEN, 3.10.7.1: it hears of it when it answers */
TCP_TEST(closing_a_listener_forgets_half_open_connections_silently)
{
	await_syn_ack(r);
	forget(r);
	tow_listener_close(r->listener);
	r->listener = NULL;
	poll_until_quiet(r);
	CHECK(sends_nothing(r));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK(sends(r, RST, 1, 0, 0));
}

/* attacks: SYN flood. Half-open state is bounded, and a client gets through. */
TCP_TEST(syn_flood_does_not_lock_out_a_real_client)
{
	uint32_t segments;

	listen_here(r, 64);
	for (unsigned i = 0; i < 2000; i++) {
		inject(r, .flags = SYN, .seq = i * 999, .absolute = true,
		       .sport = (uint16_t)(1024 + i), .mss = 1460);
		if (i % 500 == 0)
			advance_ms(r, 1);
		CHECK_LE(waiting(r), 2000u);
	}
	segments = waiting(r);
	CHECK_LE(segments, 2000u); /* no amplification */
	forget(r);
	for (unsigned tries = 0; !r->tcp && tries < 7; tries++) {
		syn_arrives(r);
		while (waiting(r) && peek(r)->dport != r->peer_port)
			next(r);
		if (next(r)->flags == (SYN | ACK)) {
			inject(r, .flags = ACK, .seq = 1, .ack = 1);
			if (tow_tcp_accept(r->listener, &r->tcp))
				r->tcp = NULL;
		}
		forget(r);
		if (!r->tcp)
			advance_ms(r, 1000u << tries);
	}
	CHECK(r->tcp != NULL);
}

/* attacks: LAND. A segment from ourselves to ourselves on the wire is a lie. */
TCP_TEST(land_attack_is_dropped)
{
	listen_here(r, 4);
	inject(r, .flags = SYN, .src = &r->us, .sport = r->our_port);
	CHECK(sends_nothing(r));
	CHECK_GE(drops(r, TOW_DROP_IP_SOURCE), 1u);
}

/* RFC 9293 3.9.2.3 MUST-57: SYN to or from what is not unicast is silent */
TCP_TEST(syn_from_or_to_a_group_is_dropped)
{
	static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 };
	static const uint8_t mac4[6] = { 1, 0, 0x5e, 0, 0, 1 };
	static const uint8_t mac6[6] = { 0x33, 0x33, 0, 0, 0, 1 };
	bool v4 = r->options.family == IPV4;
	struct tow_addr group =
		v4 ? tow_addr_v4(224, 0, 0, 1) : tow_addr_v6(all_nodes);
	struct tow_addr any = v4 ? tow_addr_v4(0, 0, 0, 0) : tow_addr_any();

	listen_here(r, 4);
	inject(r, .flags = SYN, .src = &group);
	inject(r, .flags = SYN, .dst = &group, .dst_mac = v4 ? mac4 : mac6);
	inject(r, .flags = SYN, .src = &any);
	inject(r, .flags = ACK, .src = &group);
	CHECK(sends_nothing(r));
}

/* RFC 9293 3.9.2.3 MUST-57: a broadcast is no unicast, on any subnet */
TEST(syn_from_or_to_a_broadcast_address_is_dropped)
{
	static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };
	struct rig_options o = rig_default(IPV4);
	struct tow_addr subnet = tow_addr_v4(192, 0, 2, 255);
	struct tow_addr all = tow_addr_v4(255, 255, 255, 255);
	struct tow_addr loopback = tow_addr_v4(127, 0, 0, 1);
	struct rig *r = malloc(sizeof(*r));

	CHECK(r != NULL);
	rig_open(r, &o);
	listen_here(r, 4);
	inject(r, .flags = SYN, .src = &subnet);
	inject(r, .flags = SYN, .src = &all);
	inject(r, .flags = SYN, .src = &loopback);
	inject(r, .flags = SYN, .dst = &subnet, .dst_mac = broadcast);
	inject(r, .flags = SYN, .dst = &all, .dst_mac = broadcast);
	inject(r, .flags = SYN, .dst = &loopback);
	/* RFC 1122 3.3.6: unicast inside of a link-layer broadcast */
	inject(r, .flags = SYN, .dst_mac = broadcast);
	CHECK(sends_nothing(r));
	rig_close(r);
	free(r);
}

static struct tow_tcp *connect_ephemeral(struct rig *r, uint16_t port,
					 int *result)
{
	struct tow_endpoint remote = { r->peer, port, 0 };
	struct tow_tcp *tcp = NULL;

	*result = tow_tcp_connect(r->stack, NULL, &remote, &tcp);
	return *result ? NULL : tcp;
}

/* RFC 6056 3.3: ports are not to be guessed from the one before */
TCP_TEST(ephemeral_ports_are_unique_and_do_not_count_up)
{
	uint16_t ports[200];
	unsigned neighbours = 0;
	int result;

	for (unsigned i = 0; i < 200; i++) {
		struct tow_tcp *tcp = connect_ephemeral(r, 443, &result);

		CHECK_EQ(result, 0);
		ports[i] = tow_tcp_local(tcp).port;
		CHECK_GE(ports[i], 1024);
		for (unsigned k = 0; k < i; k++)
			CHECK_NE(ports[k], ports[i]);
		neighbours += i && abs(ports[i] - ports[i - 1]) <= 16;
	}
	CHECK_LE(neighbours, 10u);
}

/* RFC 6056 3.2: another secret, other ports */
TCP_TEST(ephemeral_ports_differ_by_secret)
{
	struct rig_options o = r->options;
	uint16_t first[8];
	unsigned same = 0;
	int result;

	for (unsigned i = 0; i < 8; i++)
		first[i] =
			tow_tcp_local(connect_ephemeral(r, 443, &result)).port;
	o.cfg.secret[5] ^= 1;
	rig_reopen(r, &o);
	for (unsigned i = 0; i < 8; i++)
		same += first[i] ==
			tow_tcp_local(connect_ephemeral(r, 443, &result)).port;
	CHECK_LE(same, 1u);
}

/* tow/stack.h: no connection left is an error and a count, not a crash */
TCP_TEST(connect_beyond_tcp_max_says_no_buffers)
{
	struct rig_options o = r->options;
	int result = 0;

	o.cfg.tcp_max = 32;
	rig_reopen(r, &o);
	for (unsigned i = 0; i < 32; i++) {
		CHECK(connect_ephemeral(r, 443, &result) != NULL);
	}
	CHECK(connect_ephemeral(r, 443, &result) == NULL);
	CHECK_EQ(result, TOW_ENOBUFS);
	CHECK_EQ(counter(r, TOW_COUNTER_NO_CONNECTIONS), 1u);
}

/* RFC 6056 3: all ports to one peer taken; the next connect says so */
TEST(ephemeral_ports_run_out_with_an_error)
{
	struct rig_options o = rig_default(IPV4);
	struct rig *r = malloc(sizeof(*r));
	static uint8_t seen[65536];
	int result = 0;
	unsigned count = 0;

	CHECK(r != NULL);
	o.cfg.tcp_max = 66000;
	o.cfg.segments = 66000; /* a SYN is one */
	rig_open(r, &o);
	for (;; count++) {
		struct tow_tcp *tcp = connect_ephemeral(r, 443, &result);

		if (!tcp)
			break;
		CHECK(!seen[tow_tcp_local(tcp).port]++);
		if (count % 256 == 0) {
			poll_until_quiet(r);
			forget(r);
		}
		r->event_count = 0;
	}
	if (result != TOW_EADDRNOTAVAIL)
		CHECK_EQ(result, TOW_EADDRINUSE);
	CHECK_GE(count, 16000u);
	/* Another peer port has all of them again. */
	CHECK(connect_ephemeral(r, 444, &result) != NULL);
	discard_rig(r);
	free(r);
}

static uint32_t isn_of_syn_from(struct rig *r, uint16_t port)
{
	const struct segment *s;

	forget(r);
	inject(r, .flags = SYN, .seq = 1, .absolute = true, .sport = port,
	       .mss = 1000);
	s = next(r);
	CHECK_EQ(s->flags, SYN | ACK);
	inject(r, .flags = RST, .seq = 2, .absolute = true, .sport = port);
	return s->raw_seq;
}

/* RFC 6528 3: M moves by one each 4 us, F is fixed for a connection */
TCP_TEST(isn_of_one_connection_grows_with_the_clock)
{
	uint32_t first, second;

	listen_here(r, 4);
	first = isn_of_syn_from(r, 5000);
	advance_ms(r, 40);
	second = isn_of_syn_from(r, 5000);
	CHECK_GE(second - first, 10000u);
	CHECK_LE(second - first, 10000u + 1000);
}

/* RFC 6528 3, attacks: guessable ISN. One connection does not tell another's.
 */
TCP_TEST(isn_differs_by_connection_without_a_pattern)
{
	uint32_t isn[64], deltas_alike = 0;

	listen_here(r, 4);
	for (uint16_t i = 0; i < 64; i++)
		isn[i] = isn_of_syn_from(r, (uint16_t)(5000 + i));
	for (unsigned i = 0; i < 64; i++)
		for (unsigned k = 0; k < i; k++)
			CHECK_GE(isn[i] - isn[k] + 64, 128u);
	for (unsigned i = 2; i < 64; i++)
		deltas_alike += isn[i] - isn[i - 1] == isn[i - 1] - isn[i - 2];
	CHECK_EQ(deltas_alike, 0u);
}

/* RFC 6528 3, attacks: guessable ISN. All bits move, over many connections. */
TCP_TEST(isn_bits_are_even_over_many_connections)
{
	unsigned ones[32] = { 0 }, total = 4000;

	listen_here(r, 4);
	for (unsigned i = 0; i < total; i++) {
		uint32_t isn = isn_of_syn_from(r, (uint16_t)(2000 + i));

		for (unsigned bit = 0; bit < 32; bit++)
			ones[bit] += isn >> bit & 1;
	}
	for (unsigned bit = 0; bit < 32; bit++) {
		CHECK_GE(ones[bit], total * 45 / 100);
		CHECK_LE(ones[bit], total * 55 / 100);
	}
}

/* RFC 6528 3: the secret decides */
TCP_TEST(isn_differs_by_secret)
{
	struct rig_options o = r->options;
	uint32_t first;

	listen_here(r, 4);
	first = isn_of_syn_from(r, 5000);
	o.cfg.secret[31] ^= 0x80;
	rig_reopen(r, &o);
	listen_here(r, 4);
	CHECK_GE(first - isn_of_syn_from(r, 5000) + 1000, 2000u);
}

/* attacks: timestamps that tell uptime. Each connection has its own offset. */
TCP_TEST(timestamps_of_two_peers_do_not_share_a_clock)
{
	uint32_t val[2];

	listen_here(r, 4);
	for (uint16_t i = 0; i < 2; i++) {
		struct tow_addr other = r->peer;

		other.b[15] = (uint8_t)(50 + i);
		inject(r, .flags = SYN, .src = &other, .mss = 1000, .ts = true,
		       .absolute = true, .seq = 1);
		CHECK(peek(r)->ts);
		val[i] = next(r)->tsval;
	}
	CHECK_GE(val[0] - val[1] + 1000, 2000u);
}

/* RFC 9293 3.10.1: two stacks' worth in one: the stack talks to itself */
TCP_TEST(connection_to_an_own_address_works)
{
	struct tow_endpoint here = { r->us, 80, 0 };
	struct tow_tcp *client;
	char out[8];

	listen_here(r, 4);
	CHECK_EQ(tow_tcp_connect(r->stack, NULL, &here, &client), 0);
	poll_until_quiet(r);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(tow_tcp_send(client, "towpath", 7, 0), 7);
	poll_until_quiet(r);
	CHECK_EQ(tow_tcp_recv(r->tcp, out, sizeof(out)), 7);
	CHECK_MEM(out, "towpath", 7);
	CHECK(sends_nothing(r)); /* nothing of it on the wire */
	tow_tcp_abort(client);
}

/* RFC 9293 3.5: a SYN of a restarted peer meets a half-open connection */
TCP_TEST(half_open_connection_is_found_out_by_a_challenge)
{
	handshake_passive(r);
	inject(r, .flags = SYN, .seq = 70000, .mss = 1000, .ts = true,
	       .has_wscale = true, .wscale = 7);
	CHECK(sends(r, ACK, 1, 1, 0)); /* RFC 5961 4.2 */
	inject(r, .flags = RST, .seq = 1);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* RFC 9293 3.4: that the tests that wrap do so, on both sides */
TEST(wrapping_tests_begin_just_below_2_to_the_32)
{
	struct rig_options o = rig_default(IPV6);
	struct rig *r = malloc(sizeof(*r));

	CHECK(r != NULL);
	o.wrap = true;
	rig_open(r, &o);
	handshake_passive(r);
	CHECK_GE(r->our_iss, 0u - 1600);
	CHECK_GE(r->peer_iss, 0u - 1600);
	rig_reopen(r, &o);
	handshake_active(r);
	CHECK_GE(r->our_iss, 0u - 1600);
	rig_close(r);
	free(r);
}

/* RFC 9293 3.10.7.4: payload on the SYN-ACK is text like any other */
TCP_TEST(data_on_a_syn_ack_is_delivered)
{
	connect_out(r);
	forget(r);
	inject(r, .flags = SYN | ACK, .ack = 1, .mss = 1000, .bytes = 100);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	if (app_recv(r, 1000) == TOW_EAGAIN) /* or comes again */
		inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100);
	CHECK_EQ(r->read + (uint64_t)(app_recv(r, 1000) > 0 ? 100 : 0), 100u);
}

/* RFC 9293 3.10.4: shut down in SYN-SENT: data, then FIN, after the SYN */
TCP_TEST(shutdown_in_syn_sent_sends_fin_after_the_handshake)
{
	connect_out(r);
	app_send(r, 100, 0);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	forget(r);
	syn_ack_arrives(r);
	CHECK_EQ(r->sent[r->sent_count - 1].flags, FIN | ACK);
	CHECK_EQ(bytes_sent(r), 100u);
	CHECK_EQ(state_of(r), TOW_TCP_FIN_WAIT_1);
	inject(r, .flags = ACK, .seq = 1, .ack = 102);
	CHECK_EQ(state_of(r), TOW_TCP_FIN_WAIT_2);
}

/* RFC 9293 3.5 figure 8, with both SYN-ACKs crossing */
TCP_TEST(simultaneous_open_completes_by_the_syn_ack)
{
	put_in_state(r, AT_SYN_SENT);
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	syn_ack_arrives(r);
	if (state_of(r) == TOW_TCP_SYN_RECEIVED) { /* our ACK does it */
		CHECK(sends(r, ACK, 1, 1, 0));
		inject(r, .flags = ACK, .seq = 1, .ack = 1);
	}
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	forget(r);
	app_send(r, 100, 0);
	CHECK(sends(r, ACK, 1, 1, 100));
}
