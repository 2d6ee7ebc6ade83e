/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYN cookies: passive open without keeping anything, and what a flood of SYNs
 * does to those who mean it.
 */
#include "tcp_flight.h"
#include <stdlib.h>

static void listen_by_cookie(struct rig *r, int backlog)
{
	listen_here(r, backlog);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_SYN_COOKIES,
				  TOW_TCP_COOKIES_ALWAYS),
		 0);
}

static uint64_t returned(const struct rig *r)
{
	return counter(r, TOW_COUNTER_TCP_COOKIES_RETURNED);
}

/* RFC 4987 3.6: all that the SYN said is still known */
TCP_TEST(cookie_keeps_mss_scale_and_sack_in_the_timestamp)
{
	listen_by_cookie(r, 4);
	r->options.offer.mss = 1360;
	syn_arrives(r);
	CHECK_EQ(peek(r)->wscale >= 0, true);
	CHECK(peek(r)->sack_ok);
	CHECK(peek(r)->ts);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_COOKIES_SENT), 1u);
	advance_ms(r, 500);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .window = 1u << 20);
	CHECK_EQ(returned(r), 1u);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(info_of(r).sack);
	CHECK(info_of(r).timestamps);
	CHECK(info_of(r).window_scaling);
	CHECK_EQ(info_of(r).mss, 1348u);
	CHECK_EQ(info_of(r).send_window_bytes, 1u << 20);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	CHECK_EQ(app_recv(r, 100), 10);
	forget(r);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK(sends(r, ACK, 1, 11, 10));
}

/* RFC 4987 3.6: without timestamps there is room for the MSS alone */
TCP_TEST(cookie_without_timestamps_keeps_the_mss)
{
	listen_by_cookie(r, 4);
	r->options.offer.ts = false;
	r->options.offer.mss = 1300;
	syn_arrives(r);
	CHECK_EQ(peek(r)->wscale, -1);
	CHECK(!peek(r)->sack_ok);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	r->peer_wscale = -1;
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(info_of(r).mss, 1220u); /* the next lower one that it knows */
	CHECK(!info_of(r).sack);
	CHECK(!info_of(r).window_scaling);
	CHECK_EQ(app_recv(r, 100), 10);
}

/* RFC 3168 6.1.1, by way of a cookie */
TCP_TEST(cookie_keeps_ecn)
{
	listen_by_cookie(r, 4);
	inject(r, .flags = SYN | ECE | CWR, .mss = FULL, .ts = true);
	CHECK(sends(r, SYN | ACK | ECE, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(info_of(r).ecn);
}

/* RFC 4987 3.6: the first data does what the lost ACK would have done */
TCP_TEST(cookie_comes_back_with_the_first_data)
{
	listen_by_cookie(r, 4);
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 400);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_recv(r, 1000), 400);
}

/* RFC 4987 3.6: what overtakes the ACK, or its data, is not reset for that */
TCP_TEST(cookie_outlives_the_loss_of_the_first_segment)
{
	listen_by_cookie(r, 4);
	syn_arrives(r);
	forget(r);
	inject(r, .flags = ACK, .seq = 401, .ack = 1, .bytes = 400);
	inject(r, .flags = ACK | FIN, .seq = 801, .ack = 1);
	inject(r, .flags = ACK, .seq = 802, .ack = 1); /* of a 2nd SYN-ACK */
	CHECK(sends_nothing(r));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 400);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_recv(r, 1000), 400);
}

/* RFC 9293 3.8.6: a window is not taken back, though nobody kept the SYN-ACK */
TCP_TEST(window_that_went_with_a_cookie_is_kept)
{
	struct rig_options o = r->options;
	struct tow_tcp *others[4];
	uint32_t iss, echo;
	uint16_t port;

	o.cfg.rx_chunks = 32;
	o.cfg.rx_bufs = 64;
	rig_reopen(r, &o);
	listen_by_cookie(r, 4);
	syn_arrives(r);
	CHECK_GE(peek(r)->window, 3 * FULL);
	forget(r);
	iss = r->our_iss;
	echo = r->last_tsval;
	port = r->peer_port;
	for (unsigned i = 0; i < 4;
	     i++) { /* take the memory, and are not read */
		r->peer_port++;
		syn_arrives(r);
		inject(r, .flags = ACK, .seq = 1, .ack = 1);
		CHECK_EQ(tow_tcp_accept(r->listener, &others[i]), 0);
		for (uint32_t n = 0; n < 20; n++)
			inject(r, .flags = ACK, .seq = AT(n), .ack = 1,
			       .bytes = FULL);
		forget(r);
	}
	r->our_iss = iss;
	r->peer_port = port;
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .ts = true,
	       .tsval = r->peer_ts, .tsecr = echo);
	for (uint32_t n = 0; n < 3; n++)
		inject(r, .flags = ACK, .seq = AT(n), .ack = 1, .bytes = FULL);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_recv(r, 4 * FULL), 3 * FULL);
	for (unsigned i = 0; i < 4; i++)
		tow_tcp_close(others[i]);
}

/* RFC 9293 3.10.7.2: what no cookie can be the reason for */
TCP_TEST(ack_for_nobody_is_reset_when_no_cookie_is_out)
{
	listen_by_cookie(r, 4);
	syn_arrives(r);
	forget(r);
	advance_ms(r, 600000);
	inject(r, .flags = ACK, .seq = 401, .ack = 1, .bytes = 400);
	CHECK(sends_reset(r, 1));
	inject(r, .flags = ACK, .seq = 401, .ack = 7);
	CHECK(sends_reset(r, 7));
}

/* attacks: SYN flood and reflection. A cookie is sent once. */
TCP_TEST(cookie_is_not_sent_again)
{
	listen_by_cookie(r, 4);
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	advance_ms(r, 100000);
	CHECK(sends_nothing(r));
}

/*
 * attacks: SYN flood and reflection. A flood's senders did not send it: they
 * get two SYN-ACKs each, and no RST when nobody answered. Once the flood is
 * over there may be somebody, who thinks that there is a connection.
 */
TCP_TEST(flood_that_is_given_up_is_not_reset)
{
	unsigned syn_acks = 0, resets = 0;

	listen_here(r, 16);
	for (unsigned i = 0; i < 16; i++) {
		r->peer_port++;
		syn_arrives(r);
	}
	advance_ms(r, 4000);
	while (waiting(r)) {
		syn_acks += peek(r)->flags == (SYN | ACK);
		resets += (next(r)->flags & RST) != 0;
	}
	CHECK_EQ(syn_acks, 9 * 2 + 7 * 3u); /* seven are no flood */
	CHECK_EQ(resets, 0u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_TIMEOUTS), 9u);
	advance_ms(r, 100000);
	while (waiting(r))
		resets += (next(r)->flags & RST) != 0;
	CHECK_EQ(resets, 7u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_TIMEOUTS), 16u);
}

/* RFC 4987 3.6: a cookie is good for its own endpoints and numbers only */
TCP_TEST(cookie_of_another_connection_is_refused)
{
	struct tow_addr other = r->peer;

	other.b[15] = 77;
	listen_by_cookie(r, 4);
	syn_arrives(r);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .src = &other);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .sport = 4242);
	forget(r);
	inject(r, .flags = ACK, .seq = 2, .ack = 1);
	inject(r, .flags = ACK, .seq = 1, .ack = 2);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .ts = true, .tsval = 77,
	       .tsecr = r->last_tsval ^ 1); /* another scale */
	CHECK(sends_nothing(r));
	CHECK_EQ(returned(r), 0u);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), TOW_EAGAIN);
	r->tcp = NULL;
}

/* RFC 4987 A: guesses, with all values of the bits that are not secret */
TCP_TEST(guessed_cookies_are_refused)
{
	listen_by_cookie(r, 4);
	syn_arrives(r);
	for (uint32_t i = 0; i < 4000; i++) {
		inject(r, .flags = ACK, .seq = 1, .absolute = true,
		       .ack = i * 0x9e3779b1u);
		forget(r);
	}
	CHECK_EQ(returned(r), 0u);
}

/* RFC 4987 A: keys age, so an old cookie is nothing any more */
TCP_TEST(cookie_ends_to_be_valid)
{
	listen_by_cookie(r, 4);
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	advance_ms(r, 55000);
	r->options.wrap = false;
	r->peer_port++;
	syn_arrives(r); /* so that the listener looks at cookies still */
	forget(r);
	r->peer_port--;
	advance_ms(r, 70000);
	inject(r, .flags = ACK, .seq = 1, .absolute = true,
	       .ack = r->sent[0].raw_seq + 1);
	CHECK_EQ(returned(r), 0u);
}

/* tow/tcp.h TOW_TCP_COOKIES_NEEDED: what is there is kept while there is room
 */
TCP_TEST(cookies_are_for_a_full_backlog_only)
{
	listen_here(r, 2);
	for (uint16_t i = 0; i < 2; i++)
		inject(r, .flags = SYN, .seq = 7, .absolute = true,
		       .sport = (uint16_t)(2000 + i));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_COOKIES_SENT), 0u);
	r->options.wrap = false;
	forget(r);
	syn_arrives(r);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_COOKIES_SENT), 1u);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
}

/* tow/tcp.h: a cookie finds no place while too many wait for accept */
TCP_TEST(cookie_is_of_no_use_while_accept_is_behind)
{
	listen_by_cookie(r, 1);
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	inject(r, .flags = SYN, .seq = 7, .absolute = true, .sport = 2000);
	CHECK(sends_nothing(r));
	CHECK_EQ(drops(r, TOW_DROP_TCP_BACKLOG), 1u);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
}

/* tow/tcp.h TOW_TCP_COOKIES_NEVER */
TCP_TEST(full_backlog_without_cookies_drops)
{
	listen_here(r, 1);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_SYN_COOKIES,
				  TOW_TCP_COOKIES_NEVER),
		 0);
	syn_arrives(r);
	forget(r);
	inject(r, .flags = SYN, .seq = 7, .absolute = true, .sport = 2000);
	CHECK(sends_nothing(r));
	CHECK_EQ(drops(r, TOW_DROP_TCP_BACKLOG), 1u);
}

#define FLOOD	1000000u
#define BACKLOG 128u

static void flood(struct rig *r, uint32_t from, uint32_t count)
{
	for (uint32_t i = from; i < from + count; i++) {
		struct tow_addr source =
			tow_addr_v4(192, 0, 2, (uint8_t)(3 + i % 250));

		inject(r, .flags = SYN, .seq = i, .absolute = true,
		       .src = &source, .sport = (uint16_t)(1024 + i / 250),
		       .mss = 1460, .later = i % 64 != 0);
	}
	poll_until_quiet(r);
}

/*
 * attacks: SYN flood and reflection: a million spoofed SYNs while a real client
 * connects. Half-open state is bounded, the client is served with all of its
 * options, and whoever is lied about gets one SYN-ACK for a SYN and few more.
 */
TEST(million_spoofed_syns_while_a_real_client_connects)
{
	struct rig_options o = rig_default(IPV4);
	struct rig *r = malloc(sizeof(*r));
	uint64_t answers = 0;

	rig_open(r, &o);
	listen_here(r, (int)BACKLOG);
	for (uint32_t i = 0; i < FLOOD; i += 2000) {
		flood(r, i, 2000);
		answers += waiting(r);
		forget(r);
		if (i % 100000 == 0)
			advance_ms(r, 1000);
		answers += waiting(r);
		forget(r);
	}
	CHECK_LE(answers, FLOOD + 2u * BACKLOG);
	CHECK_GE(answers, FLOOD / 2);
	CHECK_EQ(drops(r, TOW_DROP_TCP_MEMORY), 0u);
	handshake_passive(r);
	CHECK(info_of(r).sack);
	CHECK(info_of(r).window_scaling);
	flood(r, 0, 2000);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	CHECK_EQ(app_recv(r, 100), 10);
	rig_close(r);
	free(r);
}
