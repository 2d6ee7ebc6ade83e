/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP Fast Open, RFC 7413: data with the SYN, from both ends.
 */
#include "tcp_peer.h"
#include <string.h>

#define FAST_OPEN 34
#define OLD	  254 /* the experimental option, and its ID */
#define OLD_ID	  "\xf9\x89"
#define LIMIT	  4
#define DATA	  300u

struct cookie {
	uint8_t bytes[16];
	unsigned length;
	bool old;
};

static const struct cookie request = { .length = 0 };
static const struct cookie old_request = { .old = true };
static const struct cookie peers_cookie = { { 1, 2, 3, 4, 5, 6, 7, 8 },
					    8,
					    false };
static const struct cookie old_cookie = { { 8, 7, 6, 5 }, 4, true };

/* Did @s have the option? Its cookie, if so. */
static bool option_of(const struct segment *s, struct cookie *out)
{
	const uint8_t *p = s->options, *end = p + s->option_bytes;

	while (p < end && *p) {
		if (*p == 1) {
			p++;
			continue;
		}
		if (*p == FAST_OPEN || *p == OLD) {
			unsigned head = *p == OLD ? 4 : 2;

			out->old = *p == OLD;
			out->length = p[1] - head;
			memcpy(out->bytes, p + head, out->length);
			return !out->old || !memcmp(p + 2, OLD_ID, 2);
		}
		p += p[1];
	}
	return false;
}

/* MSS of FULL and the option; how many bytes. */
static unsigned put_option(uint8_t *p, const struct cookie *c)
{
	unsigned head = c->old ? 4 : 2;

	p[0] = 2;
	p[1] = 4;
	p[2] = FULL >> 8;
	p[3] = FULL & 255;
	p[4] = c->old ? OLD : FAST_OPEN;
	p[5] = (uint8_t)(head + c->length);
	memcpy(p + 6, OLD_ID, 2);
	memcpy(p + 4 + head, c->bytes, c->length);
	return 4 + head + c->length;
}

static void syn_with(struct rig *r, const struct cookie *c, uint32_t bytes)
{
	uint8_t options[24];

	inject(r, .flags = SYN, .bytes = bytes, .options = options,
	       .option_bytes = put_option(options, c));
}

static void syn_ack_with(struct rig *r, const struct cookie *c, uint32_t ack)
{
	uint8_t options[24];

	inject(r, .flags = SYN | ACK, .ack = ack, .options = options,
	       .option_bytes = put_option(options, c));
}

static void listen_fast(struct rig *r, int64_t limit)
{
	r->expects_option = FAST_OPEN;
	listen_here(r, 16);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_FAST_OPEN, limit), 0);
}

/* The peer asks for a cookie, gets it, and goes away. */
static struct cookie get_cookie(struct rig *r)
{
	struct cookie c = { .length = 0 };

	syn_with(r, &request, 0);
	CHECK(option_of(peek(r), &c));
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_GE(c.length, 4u);
	inject(r, .flags = RST, .seq = 1);
	r->peer_port++;
	return c;
}

/* Its SYN stays unanswered. */
static int connect_to(struct rig *r, uint16_t port, struct tow_tcp **out)
{
	struct tow_endpoint to = { .addr = r->peer, .port = port };

	return tow_tcp_connect(r->stack, NULL, &to, out);
}

/* --- server --- */

/* RFC 7413 4.2: off unless the program says so, and then there is no trace */
TCP_TEST(fast_open_is_off_on_a_listener_by_default)
{
	struct cookie c;

	listen_here(r, 4);
	syn_with(r, &request, DATA);
	CHECK(!option_of(peek(r), &c));
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), TOW_EAGAIN);
	r->tcp = NULL;
}

/* RFC 7413 4.2.1: a request gets a cookie; its data has to come again */
TCP_TEST(request_gets_a_cookie_and_its_data_is_not_taken)
{
	struct cookie c;

	listen_fast(r, LIMIT);
	syn_with(r, &request, DATA);
	CHECK(option_of(peek(r), &c));
	CHECK_EQ(c.length, 8u);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = DATA);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(!info_of(r).fast_open);
	CHECK_EQ(app_recv(r, 1000), (int64_t)DATA);
}

/* What a SYN brings is read once, also if the first one cannot be answered. */
TCP_TEST(data_of_a_syn_that_gets_no_record_is_not_read)
{
	struct rig_options o = r->options;
	struct tow_tcp *holder;
	struct cookie c;

	o.cfg.segments = 1;
	rig_reopen(r, &o);
	listen_fast(r, LIMIT);
	c = get_cookie(r);
	forget(r);
	CHECK_EQ(connect_to(r, 4000, &holder), 0);
	poll_until_quiet(r);
	syn_with(r, &c, DATA);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), TOW_EAGAIN);
	tow_tcp_abort(holder);
	syn_with(r, &c, DATA);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_recv(r, 1000), (int64_t)DATA);
	CHECK_EQ(tow_tcp_accept(r->listener, &holder), TOW_EAGAIN);
}

/* RFC 5961 4.2: the program has it already, whoever sent that SYN */
TCP_TEST(syn_in_the_window_does_not_end_an_accepted_fast_open)
{
	struct cookie c;

	listen_fast(r, LIMIT);
	c = get_cookie(r);
	syn_with(r, &c, DATA);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	inject(r, .flags = SYN, .seq = 2000);
	CHECK_EQ(state_of(r), TOW_TCP_SYN_RECEIVED);
	CHECK(sends(r, ACK, 1, 1 + DATA, 0));
}

/* A box that drops SYN-ACKs for the option; as Linux, which asks next time */
TCP_TEST(cookie_does_not_go_again_with_the_syn_ack)
{
	struct cookie c;

	listen_fast(r, LIMIT);
	syn_with(r, &request, 0);
	CHECK(option_of(peek(r), &c));
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	advance_ms(r, 1000);
	CHECK(!option_of(peek(r), &c));
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
}

/* RFC 7413 4.2.2: data is there at once, and may be answered at once */
TCP_TEST(data_with_a_good_cookie_is_delivered_before_the_handshake_ends)
{
	struct cookie c, none;

	listen_fast(r, LIMIT);
	c = get_cookie(r);
	syn_with(r, &c, DATA);
	CHECK(!option_of(peek(r), &none));
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(info_of(r).fast_open);
	CHECK_EQ(state_of(r), TOW_TCP_SYN_RECEIVED);
	CHECK_EQ(app_recv(r, 1000), (int64_t)DATA);
	CHECK_EQ(app_send(r, 2 * FULL, 0), 2 * FULL);
	CHECK(sends(r, ACK, 1, 1 + DATA, FULL));
	CHECK(sends(r, ACK, 1 + FULL, 1 + DATA, FULL));
	inject(r, .flags = ACK, .seq = 1 + DATA, .ack = 1 + 2 * FULL);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK_EQ(info_of(r).queued_bytes, 0u);
	inject(r, .flags = ACK, .seq = 1 + DATA, .ack = 1 + 2 * FULL,
	       .bytes = 10);
	CHECK_EQ(app_recv(r, 1000), 10);
}

/* RFC 6928 2: ten segments, of the size that the peer takes */
TCP_TEST(initial_window_counts_before_the_handshake_ends)
{
	struct cookie c;

	listen_fast(r, LIMIT);
	c = get_cookie(r);
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_send(r, 30 * FULL, 0), 30 * FULL);
	CHECK_EQ(bytes_sent(r), 10 * FULL);
}

/* RFC 9293 3.8.6: the window of a SYN is all for what follows ours */
TCP_TEST(window_of_a_syn_is_filled_before_the_handshake_ends)
{
	struct cookie c;
	uint8_t options[24];

	listen_fast(r, LIMIT);
	c = get_cookie(r);
	inject(r, .flags = SYN, .bytes = DATA, .options = options,
	       .option_bytes = put_option(options, &c), .window = 3 * FULL);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_send(r, 30 * FULL, 0), 30 * FULL);
	CHECK_EQ(bytes_sent(r), 3 * FULL);
}

/* RFC 7413 4.2.2: closed before the handshake ends, FIN goes after it */
TCP_TEST(answer_and_close_before_the_handshake_ends)
{
	struct cookie c;

	listen_fast(r, LIMIT);
	c = get_cookie(r);
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_recv(r, 1000), (int64_t)DATA);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK(sends(r, ACK, 1, 1 + DATA, 10));
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	inject(r, .flags = ACK, .seq = 1 + DATA, .ack = 11);
	CHECK(sends(r, FIN | ACK, 11, 1 + DATA, 0));
	inject(r, .flags = FIN | ACK, .seq = 1 + DATA, .ack = 12);
	CHECK(sends(r, ACK, 12, 2 + DATA, 0));
}

/* RFC 7413 4.2.2: a lost SYN-ACK is sent again, and acknowledges the data */
TCP_TEST(lost_syn_ack_of_a_fast_open_is_sent_again)
{
	struct cookie c;

	listen_fast(r, LIMIT);
	c = get_cookie(r);
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	advance_ms(r, 1100);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	inject(r, .flags = SYN, .mss = FULL); /* it never saw the first */
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	inject(r, .flags = ACK, .seq = 1 + DATA, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_recv(r, 1000), (int64_t)DATA);
}

/* attacks: Fast Open replay. A cookie is good for its own address. */
TCP_TEST(cookie_of_another_address_is_refused_and_replaced)
{
	struct tow_addr other = r->peer;
	struct cookie c;
	uint8_t options[24];

	other.b[15] = 9;
	listen_fast(r, LIMIT);
	c = get_cookie(r);
	inject(r, .flags = SYN, .bytes = DATA, .options = options,
	       .option_bytes = put_option(options, &c), .src = &other);
	CHECK(option_of(peek(r), &c));
	CHECK_EQ(peek(r)->raw_ack, r->peer_iss + 1);
	CHECK_EQ(next(r)->flags, SYN | ACK);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_BAD), 1u);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), TOW_EAGAIN);
	r->tcp = NULL;
}

/* attacks: Fast Open replay. Keys age; the last one still gets data in. */
TCP_TEST(old_cookie_is_renewed_and_a_very_old_one_refused)
{
	struct cookie first, second;

	listen_fast(r, LIMIT);
	first = get_cookie(r);
	r->now_us += 3700000000u;
	syn_with(r, &first, DATA);
	CHECK(option_of(peek(r), &second));
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	CHECK_NE(memcmp(first.bytes, second.bytes, 8), 0);
	inject(r, .flags = RST, .seq = 1 + DATA);
	r->peer_port++;
	r->now_us += 3700000000u;
	syn_with(r, &first, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_BAD), 1u);
}

/* tow/tcp.h tow_tcp_fast_open_key() */
TCP_TEST(key_that_the_program_rotates_is_good_for_two_turns)
{
	uint8_t key[16] = { 1 };
	struct cookie c;

	listen_fast(r, LIMIT);
	CHECK_EQ(tow_tcp_fast_open_key(r->stack, key), 0);
	c = get_cookie(r);
	key[0] = 2;
	CHECK_EQ(tow_tcp_fast_open_key(r->stack, key), 0);
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	r->peer_port++;
	key[0] = 3;
	CHECK_EQ(tow_tcp_fast_open_key(r->stack, key), 0);
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
}

/* tow/tcp.h tow_listener_fast_open_key(): its cookies are no other's */
TCP_TEST(listener_with_a_key_of_its_own_has_cookies_of_its_own)
{
	uint8_t key[16] = { 1 };
	struct cookie common, own, again;

	listen_fast(r, LIMIT);
	common = get_cookie(r);
	CHECK_EQ(tow_listener_fast_open_key(r->listener, key), 0);
	syn_with(r, &common, DATA);
	CHECK(option_of(peek(r), &own));
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_NE(memcmp(common.bytes, own.bytes, 8), 0);
	inject(r, .flags = RST, .seq = 1);
	r->peer_port++;
	key[0] = 2;
	CHECK_EQ(tow_listener_fast_open_key(r->listener, key), 0);
	syn_with(r, &own, DATA);
	CHECK(option_of(peek(r), &again));
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	CHECK_NE(memcmp(own.bytes, again.bytes, 8), 0);
	r->peer_port++;
	key[0] = 3;
	CHECK_EQ(tow_listener_fast_open_key(r->listener, key), 0);
	syn_with(r, &own, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
}

/* RFC 7413 5.1: so many that nothing was heard of since; the rest as ever */
TCP_TEST(pending_fast_opens_are_limited)
{
	struct cookie c;
	uint32_t iss;

	listen_fast(r, LIMIT);
	c = get_cookie(r);
	for (unsigned i = 0; i < LIMIT; i++, r->peer_port++) {
		syn_with(r, &c, DATA);
		CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	}
	iss = r->our_iss;
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_FULL), 1u);
	r->peer_port--;
	r->our_iss = iss;
	inject(r, .flags = ACK, .seq = 1 + DATA,
	       .ack = 1); /* one is heard of */
	forget(r);
	r->peer_port += 2;
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
}

/* RFC 7413 5.1: a SYN-ACK that nobody answers frees its place in the end */
TCP_TEST(fast_open_that_ends_unheard_frees_its_place)
{
	struct cookie c;

	listen_fast(r, 1);
	c = get_cookie(r);
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	advance_ms(r, 200000);
	forget(r);
	r->peer_port++;
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
}

/* RFC 7413 5.1: with cookies of others, their RSTs free no place at once */
TCP_TEST(fast_opens_that_were_reset_count_for_another_minute)
{
	struct cookie c;

	listen_fast(r, 2);
	c = get_cookie(r);
	for (unsigned i = 0; i < 2; i++, r->peer_port++) {
		syn_with(r, &c, DATA);
		CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
		inject(r, .flags = RST, .seq = 1 + DATA);
	}
	advance_ms(r, 50000);
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_FULL), 1u);
	inject(r, .flags = RST, .seq = 1); /* it was none: it does not count */
	r->peer_port++;
	advance_ms(r, 75000);
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
}

/* attacks: data on SYN. What is beyond the window is not taken. */
TCP_TEST(data_on_a_syn_beyond_the_window_is_cut)
{
	struct cookie c;

	listen_fast(r, LIMIT);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_RECV_BYTES, 4096), 0);
	c = get_cookie(r);
	syn_with(r, &c, 20000);
	CHECK_LE(peek(r)->ack, 1u + 20000);
	CHECK_GE(peek(r)->ack, 1u);
	CHECK_EQ(next(r)->flags, SYN | ACK);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
}

/* RFC 7413 4.1.1: lengths that are none are no option */
TCP_TEST(fast_open_option_of_an_impossible_length_is_ignored)
{
	static const unsigned lengths[] = { 1, 2, 3, 5, 7, 9 };
	struct cookie c = { .length = 0 }, none;

	listen_fast(r, LIMIT);
	for (unsigned i = 0; i < 6; i++, r->peer_port++) {
		c.length = lengths[i];
		syn_with(r, &c, DATA);
		CHECK(!option_of(peek(r), &none));
		CHECK(sends(r, SYN | ACK, 0, 1, 0));
	}
}

/* RFC 7413 7: who asks by the option of before is answered by it */
TCP_TEST(request_by_the_experimental_option_is_answered_in_kind)
{
	struct cookie c;

	listen_fast(r, LIMIT);
	r->expects_option = OLD;
	syn_with(r, &old_request, 0);
	CHECK(option_of(peek(r), &c));
	CHECK(c.old);
	CHECK_EQ(c.length, 8u);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = RST, .seq = 1);
	r->peer_port++;
	syn_with(r, &c, DATA);
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
}

/* RFC 6994 3: another experiment is none of ours */
TCP_TEST(experimental_option_of_another_id_is_ignored)
{
	uint8_t options[16];
	struct cookie c;
	unsigned n = put_option(options, &old_request);

	listen_fast(r, LIMIT);
	options[7]++;
	inject(r, .flags = SYN, .options = options, .option_bytes = n);
	CHECK(!option_of(peek(r), &c));
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
}

/* RFC 7413 4.2.2: a good cookie is enough, the server may speak first */
TCP_TEST(good_cookie_without_data_is_accepted_at_once)
{
	struct cookie c;

	listen_fast(r, LIMIT);
	c = get_cookie(r);
	syn_with(r, &c, 0);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(!info_of(r).fast_open);
	CHECK_EQ(app_send(r, 100, 0), 100u);
	CHECK(sends(r, ACK, 1, 1, 100));
}

/* tow/tcp.h TOW_TCP_FAST_OPEN_NO_COOKIE: off by default, within the limit */
TCP_TEST(data_without_a_cookie_is_taken_where_the_program_says_so)
{
	struct cookie c;

	listen_fast(r, 1);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_FAST_OPEN_HOW,
				  TOW_TCP_FAST_OPEN_NO_COOKIE),
		 0);
	inject(r, .flags = SYN, .mss = FULL, .bytes = DATA);
	CHECK(!option_of(peek(r), &c));
	CHECK(sends(r, SYN | ACK, 0, 1 + DATA, 0));
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(info_of(r).fast_open);
	CHECK_EQ(app_recv(r, 1000), (int64_t)DATA);
	r->peer_port++;
	inject(r, .flags = SYN, .mss = FULL, .bytes = DATA);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_FULL), 1u);
}

/* --- client --- */

/* Connect with the options set, and @bytes queued before the SYN goes. */
static void connect_how(struct rig *r, uint32_t bytes, int64_t how)
{
	struct tow_endpoint local = { r->us, r->our_port, 0 };
	struct tow_endpoint remote = { r->peer, r->peer_port, 0 };

	if (!(how & TOW_TCP_FAST_OPEN_OLD))
		r->expects_option = FAST_OPEN;
	if (r->tcp)
		tow_tcp_abort(r->tcp);
	poll_until_quiet(r);
	forget(r);
	r->event_count = 0;
	r->written = r->read = 0;
	r->our_port++;
	CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &r->tcp), 0);
	r->our_port = local.port;
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_FAST_OPEN, 1), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_FAST_OPEN_HOW, how), 0);
	CHECK_EQ(tow_tcp_send(r->tcp, r->stream, bytes, 0), (int64_t)bytes);
	poll_until_quiet(r);
}

static void connect_fast(struct rig *r, uint32_t bytes)
{
	connect_how(r, bytes, 0);
}

/* The first connection asks, and gets @c. */
static void learn_cookie(struct rig *r, const struct cookie *c)
{
	struct cookie asked;

	connect_fast(r, 0);
	CHECK(option_of(peek(r), &asked));
	CHECK_EQ(asked.length, 0u);
	CHECK(sends(r, SYN, 0, 0, 0));
	syn_ack_with(r, c, 1);
	r->peer_port++;
}

/* RFC 7413 4.1: nothing of it is on the wire unless the program says so */
TCP_TEST(connect_does_no_fast_open_by_default)
{
	struct cookie c;

	connect_out(r);
	CHECK(!option_of(peek(r), &c));
	CHECK(sends(r, SYN, 0, 0, 0));
}

/* RFC 7413 4.1.3: the second connection has data on its SYN */
TCP_TEST(data_goes_with_the_syn_when_a_cookie_is_known)
{
	struct cookie c;

	learn_cookie(r, &peers_cookie);
	connect_fast(r, DATA);
	CHECK(option_of(peek(r), &c));
	CHECK_EQ(c.length, 8u);
	CHECK_EQ(memcmp(c.bytes, peers_cookie.bytes, 8), 0);
	CHECK(sends(r, SYN, 0, 0, DATA));
	syn_ack_with(r, &request, 1 + DATA);
	CHECK(sends(r, ACK, 1 + DATA, 1, 0));
	CHECK(info_of(r).fast_open);
	CHECK_EQ(info_of(r).queued_bytes, 0u);
	CHECK_EQ(events_of(r, TOW_EVENT_CONNECTED), 1u);
}

/* RFC 7413 4.1.3: as much as a segment takes, options and all */
TCP_TEST(data_on_a_syn_fits_the_segment_that_the_peer_takes)
{
	learn_cookie(r, &peers_cookie);
	connect_fast(r, 5 * FULL);
	CHECK(sends(r, SYN, 0, 0, FULL - 40));
	syn_ack_with(r, &request, 1 + FULL - 40);
	CHECK(sends(r, ACK, 1 + FULL - 40, 1, FULL));
}

/* RFC 7413 4.1.3: the server takes the SYN alone; data goes at once */
TCP_TEST(data_on_a_syn_that_was_not_taken_goes_again_at_once)
{
	learn_cookie(r, &peers_cookie);
	connect_fast(r, DATA);
	CHECK(sends(r, SYN, 0, 0, DATA));
	syn_ack_with(r, &peers_cookie, 1);
	CHECK(sends(r, ACK, 1, 1, DATA));
	CHECK(!info_of(r).fast_open);
	inject(r, .flags = ACK, .seq = 1, .ack = 1 + DATA);
	CHECK_EQ(info_of(r).queued_bytes, 0u);
}

/* RFC 7413 4.1.3: the server takes a part of it */
TCP_TEST(part_of_the_data_on_a_syn_is_taken)
{
	learn_cookie(r, &peers_cookie);
	connect_fast(r, DATA);
	CHECK(sends(r, SYN, 0, 0, DATA));
	syn_ack_with(r, &request, 101);
	CHECK(sends(r, ACK, 101, 1, DATA - 100));
}

/* RFC 7413 4.1.3.1: a SYN that is sent again is plain; then we keep off it */
TCP_TEST(lost_syn_with_data_is_sent_again_without_and_not_tried_for_a_while)
{
	struct cookie c;

	learn_cookie(r, &peers_cookie);
	connect_fast(r, DATA);
	CHECK(sends(r, SYN, 0, 0, DATA));
	advance_ms(r, 1100);
	CHECK(!option_of(peek(r), &c));
	CHECK(sends(r, SYN, 0, 0, 0));
	inject(r, .flags = SYN | ACK, .ack = 1, .mss = FULL);
	CHECK(sends(r, ACK, 1, 1, DATA));
	inject(r, .flags = ACK, .seq = 1, .ack = 1 + DATA);
	r->peer_port++;
	connect_fast(r, DATA);
	CHECK(!option_of(peek(r), &c));
	CHECK(sends(r, SYN, 0, 0, 0));
	r->peer_port++;
	advance_ms(r, 70000);
	connect_fast(r, DATA);
	CHECK(option_of(peek(r), &c));
	CHECK(sends(r, SYN, 0, 0, DATA));
}

/* RFC 7413 4.1.3.1: the path says that it is too large, so it is not waited */
TCP_TEST(syn_with_data_that_is_too_big_goes_again_without_at_once)
{
	uint32_t mtu = r->options.family == IPV4 ? 700 : 1280;
	struct cookie c;

	learn_cookie(r, &peers_cookie);
	connect_fast(r, FULL - 40);
	CHECK(sends(r, SYN, 0, 0, FULL - 40));
	inject_icmp(r, ICMP_TOO_BIG, mtu, 0, 0);
	CHECK(!option_of(peek(r), &c));
	CHECK(sends(r, SYN, 0, 0, 0));
	inject_icmp(r, ICMP_TOO_BIG, mtu - 1, 0, 0);
	CHECK(sends_nothing(r));
	inject(r, .flags = SYN | ACK, .ack = 1, .mss = FULL);
	CHECK_LE(info_of(r).mtu, mtu);
	CHECK_EQ(bytes_sent(r), FULL - 40);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_PAUSED), 0u);
}

/* attacks: and as at any time, it is not below 552 (RFC 5927 7.2) */
TCP_TEST(syn_with_data_that_is_too_big_has_a_floor)
{
	uint32_t least = r->options.family == IPV4 ? 552 : 1280;

	learn_cookie(r, &peers_cookie);
	connect_fast(r, FULL - 40);
	CHECK(sends(r, SYN, 0, 0, FULL - 40));
	inject_icmp(r, ICMP_TOO_BIG, 68, 0, 0);
	forget(r);
	inject(r, .flags = SYN | ACK, .ack = 1, .mss = FULL);
	CHECK_GE(info_of(r).mtu, least);
}

/* tow/tcp.h TOW_TCP_EOR, tow/event.h: a SYN is a segment like the others */
TCP_TEST(data_on_a_syn_ends_with_its_record_and_its_loan_says_when_it_left)
{
	struct tow_span first = { r->stream, 100 };
	struct tow_span second = { r->stream + 100, DATA - 100 };
	const struct tow_event *e;
	uint64_t start;

	learn_cookie(r, &peers_cookie);
	connect_fast(r, 0);
	tow_tcp_abort(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
	forget(r);
	r->peer_port++;
	{
		struct tow_endpoint remote = { r->peer, r->peer_port, 0 };
		struct tow_endpoint local = { r->us, r->our_port, 0 };

		CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &r->tcp),
			 0);
	}
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_FAST_OPEN, 1), 0);
	CHECK_EQ(tow_tcp_lend(r->tcp, &first, 1, 7, TOW_TCP_EOR), 0);
	CHECK_EQ(tow_tcp_lend(r->tcp, &second, 1, 8, 0), 0);
	start = r->now_us;
	poll_until_quiet(r);
	CHECK(sends(r, SYN, 0, 0, 100));
	syn_ack_with(r, &request, 101);
	CHECK(sends(r, ACK, 101, 1, DATA - 100));
	CHECK_EQ(loan_status(r, 7), 0);
	e = event_of(r, TOW_EVENT_LOAN);
	CHECK_EQ(e->token, 7u);
	CHECK_EQ(e->sent_us, start);
}

/* RFC 7413 4.1.3: loans go with a SYN as they do later */
TCP_TEST(lent_data_goes_with_the_syn)
{
	struct tow_span span = { r->stream, DATA };

	learn_cookie(r, &peers_cookie);
	connect_fast(r, 0);
	forget(r);
	tow_tcp_abort(r->tcp);
	r->tcp = NULL;
	r->peer_port++;
	{
		struct tow_endpoint remote = { r->peer, r->peer_port, 0 };
		struct tow_endpoint local = { r->us, r->our_port, 0 };

		CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &r->tcp),
			 0);
	}
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_FAST_OPEN, 1), 0);
	CHECK_EQ(tow_tcp_lend(r->tcp, &span, 1, 7, 0), 0);
	poll_until_quiet(r);
	CHECK(sends(r, SYN, 0, 0, DATA));
	syn_ack_with(r, &request, 1 + DATA);
	CHECK_EQ(loan_status(r, 7), 0);
}

/* RFC 7413 4.1.2: what is kept of destinations is bounded, the oldest goes */
TCP_TEST(cookies_of_many_destinations_are_bounded)
{
	struct tow_addr first = r->peer;
	struct cookie c;

	learn_cookie(r, &peers_cookie);
	for (unsigned i = 0; i < 100; i++) {
		r->peer.b[15] = (uint8_t)(10 + i);
		advance_ms(r, 1);
		learn_cookie(r, &peers_cookie);
	}
	r->peer = first;
	connect_fast(r, DATA);
	CHECK(option_of(peek(r), &c));
	CHECK_EQ(c.length, 0u);
}

/* tow/tcp.h TOW_TCP_FAST_OPEN_WAIT: nothing goes until there is data for it */
TCP_TEST(syn_waits_for_data_where_a_cookie_is_known)
{
	struct cookie c;

	connect_how(r, 0, TOW_TCP_FAST_OPEN_WAIT);
	CHECK(option_of(peek(r), &c));
	CHECK(sends(r, SYN, 0, 0, 0)); /* to ask for one */
	syn_ack_with(r, &peers_cookie, 1);
	r->peer_port++;
	connect_how(r, 0, TOW_TCP_FAST_OPEN_WAIT);
	advance_ms(r, 100000);
	CHECK(sends_nothing(r));
	CHECK_EQ(state_of(r), TOW_TCP_SYN_SENT);
	CHECK_EQ(tow_tcp_fast_open_room(r->tcp), FULL - 40);
	CHECK_EQ(app_send(r, DATA, 0), DATA);
	CHECK(sends(r, SYN, 0, 0, DATA));
	CHECK_EQ(tow_tcp_fast_open_room(r->tcp), 0u);
	syn_ack_with(r, &request, 1 + DATA);
	CHECK(sends(r, ACK, 1 + DATA, 1, 0));
}

/* tow/tcp.h TOW_TCP_FAST_OPEN_WAIT: a program without data need not wait */
TCP_TEST(syn_that_waits_goes_with_a_shutdown_or_without_the_option)
{
	learn_cookie(r, &peers_cookie);
	connect_how(r, 0, TOW_TCP_FAST_OPEN_WAIT);
	CHECK(sends_nothing(r));
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK(sends(r, SYN, 0, 0, 0));
	r->peer_port++;
	connect_how(r, 0, TOW_TCP_FAST_OPEN_WAIT);
	CHECK(sends_nothing(r));
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_FAST_OPEN_HOW, 0), 0);
	poll_until_quiet(r);
	CHECK(sends(r, SYN, 0, 0, 0));
	r->peer_port++;
	connect_how(r, 0, TOW_TCP_FAST_OPEN_WAIT);
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
	CHECK(sends_nothing(r));
}

/* tow/tcp.h TOW_TCP_FAST_OPEN_NO_COOKIE; the MSS is learned all the same */
TCP_TEST(data_goes_with_the_syn_without_a_cookie_where_the_program_says_so)
{
	struct cookie c;

	connect_how(r, 1100, TOW_TCP_FAST_OPEN_NO_COOKIE);
	CHECK(!option_of(peek(r), &c));
	CHECK(sends(r, SYN, 0, 0, 1100)); /* as much as the path takes */
	syn_ack_with(r, &peers_cookie, 1101);
	CHECK(info_of(r).fast_open);
	r->peer_port++;
	connect_how(r, 2 * FULL, TOW_TCP_FAST_OPEN_NO_COOKIE);
	CHECK(sends(r, SYN, 0, 0, FULL - 40));
	/* The cookie of before was not asked for. */
	r->peer_port++;
	connect_fast(r, DATA);
	CHECK(option_of(peek(r), &c));
	CHECK_EQ(c.length, 0u);
	CHECK(sends(r, SYN, 0, 0, 0));
}

/* As Linux: kind 34, then 254 once, and what was answered from then on */
TCP_TEST(experimental_option_is_tried_once_where_the_program_says_so)
{
	int64_t how = TOW_TCP_FAST_OPEN_OLD;
	struct cookie c;

	for (unsigned i = 0; i < 4; i++) {
		r->expects_option = i == 1 ? OLD : FAST_OPEN;
		connect_how(r, 0, how);
		CHECK(option_of(peek(r), &c));
		CHECK_EQ(c.old, i == 1);
		CHECK(sends(r, SYN, 0, 0, 0));
		inject(r, .flags = SYN | ACK, .ack = 1, .mss = FULL);
		r->peer_port++;
	}
	r->peer.b[15]++;
	for (unsigned i = 0; i < 2; i++) {
		r->expects_option = i == 1 ? OLD : FAST_OPEN;
		connect_how(r, 0, how);
		forget(r);
		if (i == 0)
			inject(r, .flags = SYN | ACK, .ack = 1, .mss = FULL);
		else
			syn_ack_with(r, &old_cookie, 1);
		r->peer_port++;
	}
	r->expects_option = OLD;
	connect_how(r, DATA, how);
	CHECK(option_of(peek(r), &c));
	CHECK(c.old);
	CHECK_EQ(c.length, 4u);
	CHECK_EQ(memcmp(c.bytes, old_cookie.bytes, 4), 0);
	CHECK(sends(r, SYN, 0, 0, DATA));
	syn_ack_with(r, &peers_cookie, 1 + DATA);
	r->peer_port++;
	r->expects_option = FAST_OPEN;
	connect_how(r, DATA, how);
	CHECK(option_of(peek(r), &c));
	CHECK(!c.old); /* it learned the other one meanwhile */
	CHECK_EQ(c.length, 8u);
}

/* RFC 7413 4.1.3: the MSS that the program set is our own part of it */
TCP_TEST(data_on_a_syn_fits_the_segment_that_the_program_wants)
{
	learn_cookie(r, &peers_cookie);
	connect_how(r, 0, TOW_TCP_FAST_OPEN_WAIT);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_MSS, 500), 0);
	CHECK_EQ(tow_tcp_fast_open_room(r->tcp), 460u);
	CHECK_EQ(app_send(r, FULL, 0), FULL);
	CHECK(sends(r, SYN, 0, 0, 460));
}

/* RFC 7413 4.1.3.1: a cookie in a late SYN-ACK means that the first came */
TCP_TEST(syn_that_was_sent_again_in_vain_is_no_failure)
{
	struct cookie c;

	learn_cookie(r, &peers_cookie);
	connect_fast(r, DATA);
	forget(r);
	advance_ms(r, 1100);
	forget(r);
	syn_ack_with(r, &peers_cookie, 1);
	CHECK(sends(r, ACK, 1, 1, DATA));
	r->peer_port++;
	connect_fast(r, DATA);
	CHECK(option_of(peek(r), &c));
	CHECK_EQ(c.length, 8u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_PAUSED), 0u);
}

/* A connection whose SYN's data was taken, and nothing came since. */
static void take_data(struct rig *r)
{
	learn_cookie(r, &peers_cookie);
	connect_fast(r, DATA);
	CHECK(sends(r, SYN, 0, 0, DATA));
	r->written = DATA;
	syn_ack_with(r, &request, 1 + DATA);
	CHECK(info_of(r).fast_open);
	forget(r);
}

static bool is_left_alone(struct rig *r)
{
	struct cookie c;

	r->peer_port++;
	connect_fast(r, DATA);
	return !option_of(peek(r), &c);
}

/* For an hour at most. */
static void check_left_alone(struct rig *r)
{
	CHECK(is_left_alone(r));
	advance_ms(r, 3600000);
	CHECK(!is_left_alone(r));
	CHECK(sends(r, SYN, 0, 0, DATA));
}

/* RFC 7413 4.1.3.1: the server takes none of it, and has no other cookie */
TCP_TEST(destination_that_takes_no_data_is_left_alone)
{
	learn_cookie(r, &peers_cookie);
	for (unsigned i = 0; i < 2; i++) { /* the second time for longer */
		connect_fast(r, DATA);
		CHECK(sends(r, SYN, 0, 0, DATA));
		if (i == 0)
			syn_ack_with(r, &peers_cookie, 1);
		else
			inject(r, .flags = SYN | ACK, .ack = 1, .mss = FULL);
		CHECK(sends(r, ACK, 1, 1, DATA));
		CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_PAUSED), i + 1u);
		check_left_alone(r);
		r->peer_port++;
	}
}

/* RFC 7413 4.1.3.1: one whose cookie was too old has another, and is no such */
TCP_TEST(destination_that_has_a_new_cookie_is_not_left_alone)
{
	struct cookie other = peers_cookie, c;

	other.bytes[0] ^= 1;
	learn_cookie(r, &peers_cookie);
	connect_fast(r, DATA);
	CHECK(sends(r, SYN, 0, 0, DATA));
	syn_ack_with(r, &other, 1);
	r->peer_port++;
	connect_fast(r, DATA);
	CHECK(option_of(peek(r), &c));
	CHECK_EQ(memcmp(c.bytes, other.bytes, 8), 0);
	CHECK(sends(r, SYN, 0, 0, DATA));
}

/* RFC 7413 4.1.3.1: errors are as good as no answer */
TCP_TEST(destination_that_cannot_be_reached_is_left_alone)
{
	learn_cookie(r, &peers_cookie);
	connect_fast(r, DATA);
	CHECK(sends(r, SYN, 0, 0, DATA));
	inject_icmp(r, ICMP_HOST_UNREACHABLE, 0, 0, 0);
	inject_icmp(r, ICMP_HOST_UNREACHABLE, 0, 0, 0);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_PAUSED), 1u);
	check_left_alone(r);
	inject_icmp(r, ICMP_PORT_UNREACHABLE, 0, 0, 0);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_PAUSED), 2u);
	check_left_alone(r);
}

/* As Linux: what the peer sent is kept back, only its end comes through */
TCP_TEST(destination_whose_data_is_kept_back_is_left_alone)
{
	take_data(r);
	inject(r, .flags = FIN | ACK, .seq = 1001, .ack = 1 + DATA);
	tow_tcp_abort(r->tcp);
	r->tcp = NULL;
	CHECK(is_left_alone(r));
	advance_ms(r, 70000);
	CHECK(!is_left_alone(r));
	syn_ack_with(r, &request, 1 + DATA);
	inject(r, .flags = RST, .seq = 1001);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED); /* RFC 5961 3.2 */
	CHECK(is_left_alone(r));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_PAUSED), 2u);
}

/* As Linux: three timeouts in a row from the beginning on */
TCP_TEST(destination_that_falls_silent_at_once_is_left_alone)
{
	take_data(r);
	CHECK_EQ(app_send(r, DATA, 0), DATA);
	advance_ms(r, 5000);
	forget(r);
	CHECK(is_left_alone(r));
}

/* As Linux: once data came, it works, whatever happens then */
TCP_TEST(destination_that_answered_is_not_left_alone)
{
	take_data(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1 + DATA, .bytes = 10);
	CHECK_EQ(app_send(r, DATA, 0), DATA);
	advance_ms(r, 5000);
	forget(r);
	CHECK(!is_left_alone(r));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_OPEN_PAUSED), 0u);
}

/* tow/tcp.h tow_tcp_fast_open_forget(): another network, another path */
TCP_TEST(what_is_known_of_destinations_can_be_forgotten)
{
	struct cookie c;

	learn_cookie(r, &peers_cookie);
	connect_fast(r, DATA);
	advance_ms(r, 1100);
	inject(r, .flags = SYN | ACK, .ack = 1, .mss = FULL);
	forget(r);
	CHECK(is_left_alone(r));
	tow_tcp_fast_open_forget(r->stack);
	CHECK(!is_left_alone(r));
	CHECK(option_of(peek(r), &c));
	CHECK_EQ(c.length, 0u);
}

/* Several failures without a success between are something near to us. */
TCP_TEST(all_destinations_are_left_alone_after_several_failures)
{
	for (unsigned i = 0; i < 3; i++) {
		r->peer.b[15] = (uint8_t)(10 + i);
		learn_cookie(r, &peers_cookie);
		connect_fast(r, DATA);
		advance_ms(r, 1100);
		inject(r, .flags = SYN | ACK, .ack = 1, .mss = FULL);
		r->peer_port++;
		forget(r);
	}
	r->peer.b[15] = 20;
	CHECK(is_left_alone(r));
	advance_ms(r, 3700000);
	CHECK(!is_left_alone(r));
}

/* A blind attacker's RST may be in the window; it is about one destination. */
TCP_TEST(resets_in_the_window_do_not_end_fast_open_for_all)
{
	for (unsigned i = 0; i < 3; i++) {
		r->peer.b[15] = (uint8_t)(10 + i);
		take_data(r);
		inject(r, .flags = RST, .seq = 1000);
		CHECK(is_left_alone(r));
		r->peer_port++;
		forget(r);
	}
	r->peer.b[15] = 20;
	CHECK(!is_left_alone(r));
}
