/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requirements of RFC 9293, appendix B, that are about no feature with tests
 * of its own. docs/rfc/9293.md has the rest.
 */
#include <tow/autoconf.h>
#include "tcp_peer.h"
#include <string.h>

static void ack(struct rig *r, uint32_t ack)
{
	inject(r, .flags = ACK, .seq = 1, .ack = ack);
}

/* --- windows --- */

/* RFC 9293 3.1 MUST-1 */
TCP_TEST(window_above_32767_is_not_negative)
{
	uint32_t una, sent = 0;

	r->options.offer.wscale = -1;
	r->options.offer.window = 65535;
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 500000, 1, 0), 0);
	while (info_of(r).in_flight_bytes <= 33 * FULL && sent < 400000) {
		while (waiting(r)) {
			const struct segment *s = next(r);

			sent = s->seq + s->bytes;
		}
		una = sent - info_of(r).in_flight_bytes + 2 * FULL;
		ack(r, una < sent ? una : sent);
	}
	CHECK_EQ(info_of(r).send_window_bytes, 65535u);
	CHECK_GT(info_of(r).in_flight_bytes, 33 * FULL);
	CHECK_LE(info_of(r).in_flight_bytes, 65535u);
}

/* RFC 9293 3.8.6 SHLD-16: what is inside of a window that shrank goes again */
TCP_TEST(shrunk_window_still_retransmits_what_is_inside)
{
	handshake_passive(r);
	app_send(r, 10 * FULL, 0);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1001, .window = 2048);
	CHECK(sends_nothing(r));
	CHECK_LE(advance_to_segment(r, 3000000), 3000000u);
	CHECK_EQ(peek(r)->seq, 1001u);
	CHECK_LE(next(r)->bytes, 2048u);
	inject(r, .flags = ACK, .seq = 1, .ack = 2001, .window = 2048);
	CHECK_EQ(peek(r)->seq, 2001u);
}

/* RFC 9293 3.8.6 SHLD-17, MUST-35: probed as any other, and patiently */
TCP_TEST(data_beyond_a_window_that_shrank_to_zero_does_not_time_out)
{
	handshake_passive(r);
	app_send(r, 10 * FULL, 0);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1001, .zero_window = true);
	for (unsigned probes = 0; probes < 60; probes++) {
		CHECK_LE(advance_to_segment(r, 130000000), 130000000u);
		CHECK_EQ(next(r)->seq, 1001u);
		CHECK(sends_nothing(r));
		inject(r, .flags = ACK, .seq = 1, .ack = 1001,
		       .zero_window = true);
	}
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	ack(r, 10 * FULL + 1);
	CHECK_EQ(info_of(r).queued_bytes, 0u);
}

/* --- options --- */

/* RFC 9293 3.2 MUST-64: at the second, third and fourth byte of a word */
TCP_TEST(options_are_read_wherever_they_begin)
{
	static const uint8_t mss[4] = { 2, 4, 3, 232 };
	uint8_t options[8];

	listen_here(r, 8);
	for (unsigned shift = 0; shift < 4; shift++) {
		memset(options, 1, sizeof(options));
		memcpy(options + shift, mss, sizeof(mss));
		inject(r, .flags = SYN, .options = options,
		       .option_bytes = sizeof(options));
		inject(r, .flags = ACK, .seq = 1, .ack = 1);
		CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
		CHECK_EQ(info_of(r).mss, 1000u);
		tow_tcp_abort(r->tcp);
		r->tcp = NULL;
		poll_until_quiet(r);
		forget(r);
		r->peer_port++;
	}
}

/* RFC 9293 3.7.1 MUST-65: never sent later, and without meaning there */
TCP_TEST(mss_belongs_to_syns_alone)
{
	static const uint8_t options[] = { 2, 4, 0, 100 };
	uint32_t mss;

	r->options.offer.ts = false;
	handshake_passive(r);
	mss = info_of(r).mss;
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10,
	       .options = options, .option_bytes = sizeof(options));
	CHECK_EQ(app_recv(r, 100), 10);
	CHECK_EQ(info_of(r).mss, mss);
	app_send(r, 3 * FULL, 0);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK_GE(waiting(r), 2u);
	while (waiting(r))
		CHECK_EQ(next(r)->mss, -1);
}

/* RFC 7323 2.2: the scale is said once, by the SYN */
TCP_TEST(window_scale_belongs_to_syns_alone)
{
	static const uint8_t options[] = { 3, 3, 9, 1 };

	r->options.offer.ts = false;
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10,
	       .window = 128000, .options = options,
	       .option_bytes = sizeof(options));
	CHECK_EQ(app_recv(r, 100), 10);
	CHECK_EQ(info_of(r).send_window_bytes, 128000u);
	app_send(r, 3 * FULL, 0);
	CHECK_GE(waiting(r), 2u);
	while (waiting(r))
		CHECK_EQ(next(r)->wscale, -1);
}

/* RFC 9293 3.7.1 MUST-67: what fits the interface, whatever the peer takes */
TCP_TEST(advertised_mss_is_the_mtu_less_headers)
{
	uint32_t headers = r->options.family == IPV4 ? 40 : 60;
	struct rig_options o = r->options;

	o.mtu = 1400;
	rig_reopen(r, &o);
	await_syn_ack(r);
	CHECK_EQ(r->sent[0].mss, (int)(1400 - headers));
}

/*
 * RFC 9293 3.1 MUST-69: header and options are whole words. The options' bytes
 * are parsed by the rig one by one, so what is not an option is padding.
 */
TCP_TEST(options_fill_their_words)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 3, .ack = 1, .bytes = 5); /* SACK */
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 2);
	app_send(r, 5 * FULL, 0);
	for (unsigned i = 0; i < r->sent_count; i++) {
		const struct segment *s = &r->sent[i];
		unsigned at = 0;

		CHECK_EQ(s->option_bytes % 4, 0u);
		while (at < s->option_bytes && s->options[at] != 0) {
			if (s->options[at] == 1) {
				at++;
				continue;
			}
			CHECK_GE(s->options[at + 1], 2);
			at += s->options[at + 1];
		}
		for (; at < s->option_bytes; at++)
			CHECK_EQ(s->options[at], 0);
	}
}

/* --- opening --- */

/* RFC 9293 3.9.1.1 MUST-41, MUST-42 */
TCP_TEST(listening_leaves_connections_of_that_port_alone)
{
	struct tow_endpoint local = { .port = 80 };
	struct tow_endpoint remote = { .addr = r->peer, .port = r->peer_port };
	struct tow_tcp *mine;

	CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &r->tcp), 0);
	poll_until_quiet(r);
	CHECK_EQ(state_of(r), TOW_TCP_SYN_SENT);
	listen_here(r, 4);
	CHECK_EQ(state_of(r), TOW_TCP_SYN_SENT);
	mine = r->tcp;
	r->tcp = NULL;
	forget(r);

	r->peer_port++; /* another peer reaches the listener */
	inject(r, .flags = SYN);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	tow_tcp_abort(r->tcp);
	r->tcp = mine;
	CHECK_EQ(state_of(r), TOW_TCP_SYN_SENT);
}

static struct tow_addr second_address(const struct rig *r)
{
	struct tow_addr addr = r->us;

	addr.b[15] = 77;
	return addr;
}

/* RFC 9293 3.9.1.1 MUST-43, MUST-44, MUST-45 */
TCP_TEST(local_address_is_chosen_by_the_way_or_by_the_program)
{
	struct tow_addr other = second_address(r);
	struct tow_endpoint local = { .addr = other };
	struct tow_endpoint remote = { .addr = r->peer, .port = r->peer_port };
	unsigned prefix = r->options.family == IPV4 ? 24 : 64;

	CHECK_EQ(tow_addr_add(r->stack, 0, &other, prefix), 0);
	for (unsigned named = 0; named < 2; named++) {
		const struct tow_addr *want = named ? &other : &r->us;
		struct tow_tcp *tcp;

		forget(r);
		CHECK_EQ(tow_tcp_connect(r->stack, named ? &local : NULL,
					 &remote, &tcp),
			 0);
		poll_until_quiet(r);
		advance_ms(r, 1500); /* and the same once more */
		CHECK_EQ(waiting(r), 2u);
		while (waiting(r))
			CHECK(tow_addr_equal(&next(r)->src, want));
		tow_tcp_abort(tcp);
		poll_until_quiet(r);
	}
}

/*
 * tow/dev.h: what a device cannot do is not left to it. Loopback needs no sums,
 * and the address of a listener that was full is the peer's from then on.
 */
TCP_TEST(syn_again_suits_the_device_that_the_path_leads_to_now)
{
	struct tow_endpoint other = { .addr = r->peer, .port = 80 };
	struct tow_endpoint us = { .addr = r->us };
	unsigned prefix = r->options.family == IPV4 ? 24 : 64;
	struct tow_tcp *first, *second;

	CHECK_EQ(tow_addr_add(r->stack, 0, &r->peer, prefix), 0);
	CHECK_EQ(tow_tcp_listen(r->stack, &other, 1, &r->listener), 0);
	CHECK_EQ(tow_tcp_connect(r->stack, &us, &other, &first), 0);
	poll_until_quiet(r);
	CHECK_EQ(tow_tcp_connect(r->stack, &us, &other, &second), 0);
	poll_until_quiet(r);
	CHECK_EQ(waiting(r), 0u);
	CHECK_EQ(tow_addr_remove(r->stack, 0, &r->peer), 0);
	advance_ms(r, 1200);
	CHECK_GE(waiting(r), 1u);
	CHECK_EQ(peek(r)->flags, SYN);
	CHECK(!peek(r)->csum_partial);
	tow_tcp_abort(second);
	tow_tcp_abort(first);
	poll_until_quiet(r);
}

/* --- closing --- */

/* RFC 9293 3.5.3 SHLD-2: perhaps it says why */
TCP_TEST(reset_with_payload_is_taken)
{
	handshake_passive(r);
	inject(r, .flags = RST | ACK, .seq = 1, .ack = 1, .bytes = 20);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(app_recv(r, 100), TOW_ECONNRESET);
	CHECK(sends_nothing(r));
}

/* --- acknowledging --- */

/* RFC 9293 3.10.7.4 MUST-58, MUST-59: all that waits, and then one ACK */
TCP_TEST(segments_of_one_poll_share_an_ack)
{
	handshake_passive(r);
	advance_ms(r, 1000);
	forget(r);
	for (unsigned i = 0; i < 8; i++)
		inject(r, .flags = ACK, .seq = 1 + i * FULL, .ack = 1,
		       .bytes = FULL, .later = i < 7);
	CHECK(sends(r, ACK, 1, 8 * FULL + 1, 0));
	CHECK(sends_nothing(r));
}

/* --- sending --- */

/* RFC 9293 3.9.2 MUST-49: tow_config.ttl */
TCP_TEST(ttl_of_segments_is_configurable)
{
	struct rig_options o = r->options;

	handshake_passive(r);
	app_send(r, 10, 0);
	CHECK_EQ(next(r)->ttl, 64);
	o.cfg.ttl = 7;
	rig_reopen(r, &o);
	handshake_passive(r);
	app_send(r, 10, 0);
	CHECK_EQ(next(r)->ttl, 7);
}

/* --- keepalive --- */

/* RFC 9293 3.8.4 MUST-24 */
TCP_TEST(keepalive_can_be_turned_off_again)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_KEEPALIVE_S, 10), 0);
	CHECK_LE(advance_to_segment(r, 11000000), 11000000u);
	ack(r, 1);
	forget(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_KEEPALIVE_S, 0), 0);
	advance_ms(r, 10 * 3600 * 1000);
	CHECK(sends_nothing(r));
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
}

/* RFC 9293 3.8.4 MUST-26: retransmission asks already */
TCP_TEST(keepalive_waits_for_what_is_outstanding)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_KEEPALIVE_S, 5), 0);
	app_send(r, 10, 0);
	advance_ms(r, 30000);
	CHECK_GE(waiting(r), 4u);
	while (waiting(r))
		CHECK_EQ(next(r)->seq, 1u); /* never SND.NXT - 1 */
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_KEEPALIVES), 0u);
	ack(r, 11);
	CHECK_LE(advance_to_segment(r, 6000000), 6000000u);
	CHECK_EQ(next(r)->seq, 10u);
}

/* --- towards the program --- */

/* RFC 9293 3.9.1.8 MUST-47, 3.9.2.2 SHLD-25: told, and nothing else */
TCP_TEST(soft_error_is_told_until_there_is_progress)
{
	handshake_passive(r);
	CHECK_EQ(info_of(r).soft_error, 0);
	app_send(r, 10, 0);
	inject_icmp(r, ICMP_HOST_UNREACHABLE, 0, 1, 0);
	CHECK_EQ(info_of(r).soft_error, TOW_EHOSTUNREACH);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	ack(r, 11);
	CHECK_EQ(info_of(r).soft_error, 0);
}

/* RFC 9293 3.8.3 SHLD-9, SHLD-10: R1 is the program's to choose */
TCP_TEST(timeouts_in_a_row_are_told_before_the_last)
{
	r->options.offer.sack_ok = false; /* no tail loss probe comes first */
	handshake_passive(r);
	app_send(r, 10, 0);
	for (unsigned i = 1; i <= 5; i++) {
		forget(r);
		CHECK_LE(advance_to_segment(r, 20000000), 20000000u);
		CHECK_EQ(info_of(r).backoffs, i);
	}
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	ack(r, 11);
	CHECK_EQ(info_of(r).backoffs, 0);
}
