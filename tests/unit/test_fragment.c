/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams that leave in fragments, and what fits through to a destination.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/place.h>
#include "fragment.h"
#include "stack/stack_private.h"
#include "stack_host.h"
#include "test.h"
#include "wire/wire_arp.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"
#include "wire/wire_udp.h"

#define V4_HEADERS 28 /* IP and UDP */
#define V6_HEADERS 48

static struct stack_host s;
static struct frame f, whole, part;
static struct tow_udp *udp;
static uint8_t data[66000], got[66000];
static bool v4;

static const char *peer(void)
{
	return v4 ? "192.0.2.2" : "2001:db8::2";
}

static const char *host(void)
{
	return v4 ? "192.0.2.1" : "2001:db8::1";
}

static void open_with(bool ip4, const struct tow_config *cfg, uint32_t caps)
{
	struct tow_endpoint any = { .port = 7 };

	v4 = ip4;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	stack_host_open_with(&s, cfg, caps);
	CHECK_EQ(tow_udp_open(s.stack, &any, &udp), 0);
}

static void open_host(bool ip4, uint32_t caps, uint32_t chunk_bytes)
{
	struct tow_config cfg;

	stack_host_config(&cfg);
	cfg.chunk_bytes = chunk_bytes;
	open_with(ip4, &cfg, caps);
}

static void close_host(void)
{
	tow_udp_close(udp);
	stack_host_close(&s);
}

static int transmit(size_t bytes, bool lend)
{
	struct tow_span span = { data, bytes };
	struct tow_udp_message m = {
		.peer = endpoint(peer(), 9),
		.spans = &span,
		.span_count = 1,
		.token = 77,
	};

	return lend ? tow_udp_lend(udp, &m, 1) : tow_udp_send(udp, &m, 1);
}

struct seen {
	uint32_t id, offset, bytes;
	bool more, df;
	const uint8_t *payload;
};

static struct seen look(const struct fake_frame *sent)
{
	const struct wire_ip4 *ip4 = (const void *)(sent->data + ETH_BYTES);
	const struct wire_ip6 *ip6 = (const void *)ip4;
	const struct wire_ip6_fragment *fragment = (const void *)(ip6 + 1);
	struct seen p = { 0 };

	if (v4) {
		uint32_t field = wire_get16(ip4->fragment);

		CHECK_EQ(csum_finish(csum_bytes(0, ip4, 20)), 0);
		p.id = wire_get16(ip4->id);
		p.offset = (field & IP4_OFFSET_MASK) * 8;
		p.more = field & IP4_MF;
		p.df = field & IP4_DF;
		p.bytes = wire_get16(ip4->total) - 20u;
		p.payload = (const uint8_t *)(ip4 + 1);
		return p;
	}
	CHECK_EQ(ip6->next, IP6_FRAGMENT);
	CHECK_EQ(fragment->next, NET_UDP);
	p.id = wire_get32(fragment->id);
	p.offset = wire_get16(fragment->offset) & IP6_OFFSET_MASK;
	p.more = wire_get16(fragment->offset) & IP6_MORE;
	p.bytes = wire_get16(ip6->payload) - 8u;
	p.payload = (const uint8_t *)(fragment + 1);
	return p;
}

/* The frames sent are one datagram with @bytes of data[]; how many. */
static unsigned check_sent(uint32_t bytes)
{
	struct tow_addr from = address(host()), to = address(peer());
	unsigned count = stack_host_sent(&s), i;
	uint32_t at = 0, id = 0, sum;

	for (i = 0; i < count; i++) {
		const struct fake_frame *sent = &s.fake.sent[i];
		struct seen p = look(sent);

		id = i == 0 ? p.id : id;
		CHECK_LE(sent->bytes, ETH_BYTES + 1500);
		CHECK_LE(sent->span_count, s.fake.dev.spans_max);
		CHECK_EQ(sent->flags & TOW_BUF_CSUM_PARTIAL, 0);
		CHECK_EQ(p.id, id);
		CHECK_EQ(p.offset, at);
		CHECK_EQ(p.more, i + 1 < count);
		CHECK_EQ(p.df, false);
		if (p.more)
			CHECK_EQ(p.bytes % 8, 0);
		memcpy(got + at, p.payload, p.bytes);
		at += p.bytes;
	}
	CHECK_EQ(at, 8 + bytes);
	CHECK_EQ(wire_get16(got + 4), 8 + bytes);
	CHECK_MEM(got + 8, data, bytes);
	sum = csum_pseudo(&from, &to, NET_UDP, at);
	CHECK_EQ(csum_finish(csum_bytes(sum, got, at)), 0);
	return count;
}

/* Runs a test for IPv4 and for IPv6. */
#define TEST_BOTH(name)                  \
	static void name##_in(bool ip4); \
	TEST(name)                       \
	{                                \
		name##_in(true);         \
		name##_in(false);        \
	}                                \
	static void name##_in(bool ip4)

/* RFC 791 3.2, RFC 8200 4.5: as few fragments as there can be */
TEST_BOTH(datagram_above_the_mtu_leaves_in_fragments)
{
	uint32_t fits = 1500 - (ip4 ? V4_HEADERS : V6_HEADERS);

	open_host(ip4, 0, 4096);
	CHECK_EQ(transmit(fits, false), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	CHECK_EQ(s.fake.sent[0].bytes, ETH_BYTES + 1500);
	CHECK_EQ(transmit(fits + 1, false), 1);
	CHECK_EQ(check_sent(fits + 1), 2);
	CHECK_EQ(transmit(2000, true), 1);
	CHECK_EQ(check_sent(2000), 2);
	CHECK_EQ(transmit(65507, false), 1);
	CHECK_EQ(check_sent(65507), ip4 ? 45 : 46);
	CHECK_EQ(tow_stats(s.stack)->counters[TOW_COUNTER_FRAGMENTS_OUT],
		 4u + (ip4 ? 45 : 46));
	close_host();
}

/* The sum is over all: a device that sees fragments cannot make it */
TEST_BOTH(checksum_is_made_before_the_datagram_is_cut)
{
	open_host(ip4, TOW_DEV_TX_CSUM | TOW_DEV_USO, 4096);
	CHECK_EQ(transmit(5000, false), 1);
	CHECK_EQ(check_sent(5000), 4);
	CHECK_EQ(transmit(5000, true), 1);
	CHECK_EQ(check_sent(5000), 4);
	close_host();
}

/* Loans: what is lent stays where it is, and ends with the last fragment */
TEST_BOTH(lent_payload_is_fragmented_in_place)
{
	struct tow_event event;
	unsigned count, i;

	open_host(ip4, 0, 4096);
	s.fake.keeps = true;
	CHECK_EQ(transmit(60000, true), 1);
	count = check_sent(60000);
	CHECK_EQ(count, ip4 ? 41 : 42);
	for (i = 0; i < count; i++) {
		const struct fake_frame *sent = &s.fake.sent[i];
		const struct tow_span *last =
			&sent->spans[sent->span_count - 1];

		CHECK((const uint8_t *)last->ptr >= data &&
		      (const uint8_t *)last->ptr < data + sizeof(data));
	}
	CHECK_EQ(tow_stats(s.stack)->ledger.tx_lent_bytes, 60000);
	for (i = count; i-- > 0;) {
		stack_host_poll(&s);
		CHECK_EQ(stack_host_event(&s).type, 0);
		fake_dev_release(&s.fake, i);
	}
	stack_host_poll(&s);
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_LOAN);
	CHECK_EQ(event.token, 77);
	CHECK_EQ(event.status, 0);
	close_host();
}

/* A device that takes two spans gets a copy where a fragment has more */
TEST_BOTH(fragments_have_no_more_spans_than_the_device_takes)
{
	open_host(ip4, 0, 2048);
	s.fake.dev.spans_max = 2;
	CHECK_EQ(transmit(9000, true), 1);
	check_sent(9000);
	CHECK_EQ(transmit(9000, false), 1);
	check_sent(9000);
	CHECK_GT(tow_stats(s.stack)->ledger.copied_bytes[TOW_COPY_TX_SHAPE], 0);
	CHECK_LE(tow_stats(s.stack)->ledger.copied_bytes[TOW_COPY_TX_SHAPE],
		 12000);
	close_host();
}

/* A train is cut into datagrams, and those have to fit */
TEST_BOTH(trains_are_not_fragmented)
{
	struct tow_span span = { data, 6000 };
	struct tow_udp_message m = {
		.spans = &span,
		.span_count = 1,
		.segment_bytes = 2000,
	};

	open_host(ip4, 0, 4096);
	m.peer = endpoint(peer(), 9);
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EMSGSIZE);
	close_host();
}

/* All fragments or none; nothing stays behind */
TEST_BOTH(without_buffers_no_fragment_is_sent)
{
	struct tow_event event;
	struct tow_buf *taken[256];
	unsigned n = 0;

	open_host(ip4, 0, 4096);
	CHECK_EQ(transmit(60000, true), 1);
	while (s.stack->net.tx_pool.bufs_left > 20)
		taken[n++] = tow_buf_take(&s.stack->net.tx_pool);
	CHECK_EQ(stack_host_sent(&s), 0);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_NO_BUFFERS), 1);
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_LOAN);
	CHECK_EQ(event.status, TOW_ENOBUFS);
	while (n > 0)
		tow_buf_give(taken[--n]);
	close_host();
}

/* A device that is full is waited for, not given the first few */
TEST_BOTH(fragments_wait_for_room_for_all_of_them)
{
	open_host(ip4, 0, 4096);
	s.fake.takes_max = 0;
	for (unsigned i = 0; i < 40; i++)
		CHECK_EQ(transmit(8, false), 1);
	CHECK_EQ(transmit(60000, false), 1);
	CHECK_EQ(stack_host_sent(&s), 0);
	CHECK_EQ(tow_stats(s.stack)->counters[TOW_COUNTER_FRAGMENTS_OUT], 0);
	s.fake.takes_max = FAKE_FRAMES;
	stack_host_poll(&s);
	CHECK_GT(s.fake.sent_count, 40);
	fake_dev_forget(&s.fake, 40);
	check_sent(60000);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_DEV_FULL), 0);
	close_host();
}

/* RFC 1122 2.3.2.2: all fragments of a datagram wait for the neighbour */
TEST_BOTH(fragments_wait_together_for_their_neighbour)
{
	struct tow_span span = { data, 60000 };
	struct tow_udp_message m = { .spans = &span, .span_count = 1 };
	const char *far = ip4 ? "192.0.2.9" : "2001:db8::9";

	open_host(ip4, 0, 4096);
	m.peer = endpoint(far, 9);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 1); /* the question */
	if (ip4)
		frame_arp(&f, 2, peer_mac, far, host());
	else
		frame_advert(&f, far, host(), ND_SOLICITED | ND_OVERRIDE, far,
			     peer_mac);
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_sent(&s), 3 * (ip4 ? 41u : 42u));
	close_host();
}

static void ping(const char *from, uint32_t payload)
{
	uint32_t bytes;

	frame_begin(&whole, from, host(), v4 ? NET_ICMP : NET_ICMP6);
	frame_icmp(&whole, v4 ? (uint8_t)ICMP4_ECHO : (uint8_t)ICMP6_ECHO, 0,
		   0x12345678);
	frame_fill(&whole, payload);
	frame_end(&whole);
	bytes = fragment_payload(&whole);
	for (uint32_t at = 0; at < bytes; at += 1448) {
		fragment_cut(&part, &whole, 5, at,
			     at + 1448 < bytes ? 1448 : bytes - at,
			     at + 1448 < bytes);
		fake_dev_put(&s.fake, part.data, part.bytes, 0);
	}
	stack_host_run(&s, 1000);
}

/* Answers to hosts that do not exist wait, but not with all buffers */
TEST_BOTH(waiting_fragments_leave_buffers_to_what_can_be_sent)
{
	const struct tow_pool *pool;
	struct tow_config cfg;
	char from[40];

	stack_host_config(&cfg);
	cfg.chunk_bytes = 4096;
	cfg.rx_bufs = cfg.rx_chunks = 1024;
	open_with(ip4, &cfg, 0);
	pool = &s.stack->net.tx_pool;
	for (unsigned i = 0; i < 12; i++) {
		snprintf(from, sizeof(from),
			 ip4 ? "192.0.2.1%02u" : "2001:db8::1%02u", i);
		ping(from, 60000);
		CHECK_GT(pool->bufs_left, pool->bufs_total / 8);
	}
	CHECK_GT(stack_host_drops(&s, TOW_DROP_NEIGH_FULL), 0);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_NO_BUFFERS), 0);
	stack_host_sent(&s);
	CHECK_EQ(transmit(100, false), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	stack_host_run(&s, 10000000);
	close_host();
}

/* An echo larger than the MTU comes back as large, in fragments */
TEST_BOTH(large_echo_is_answered_in_fragments)
{
	uint8_t reply =
		ip4 ? (uint8_t)ICMP4_ECHO_REPLY : (uint8_t)ICMP6_ECHO_REPLY;
	uint32_t at = 0, bytes, count;

	open_host(ip4, 0, 4096);
	stack_host_sent(&s);
	ping(peer(), 30000);
	bytes = fragment_payload(&whole);
	count = stack_host_sent(&s);
	CHECK_EQ(count, 21);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *p = s.fake.sent[i].data + ETH_BYTES;
		uint32_t header = ip4 ? 20 : 48;
		uint32_t n = s.fake.sent[i].bytes - ETH_BYTES - header;

		memcpy(got + at, p + header, n);
		at += n;
	}
	CHECK_EQ(at, bytes);
	CHECK_EQ(got[0], reply);
	CHECK_MEM(got + 4, frame_transport(&whole) + 4, bytes - 4);
	close_host();
}

/*
 * Up to the socket: what came in fragments is one datagram there.
 */

static void arrive(uint32_t payload)
{
	uint32_t bytes;

	frame_begin(&whole, peer(), host(), NET_UDP);
	frame_udp(&whole, 9, 7);
	frame_add(&whole, data, payload);
	frame_end(&whole);
	bytes = fragment_payload(&whole);
	for (uint32_t from = 0; from < bytes; from += 1448) {
		fragment_cut(&part, &whole, 5, from,
			     from + 1448 < bytes ? 1448 : bytes - from,
			     from + 1448 < bytes);
		fake_dev_put(&s.fake, part.data, part.bytes, 0);
	}
	stack_host_run(&s, 1000);
}

TEST_BOTH(fragmented_datagram_is_received_whole)
{
	struct tow_udp_message from;

	open_host(ip4, 0, 4096);
	arrive(65000);
	CHECK_EQ(tow_udp_recv(udp, got, sizeof(got), &from), 65000);
	CHECK_MEM(got, data, 65000);
	close_host();
}

TEST_BOTH(fragmented_datagram_is_borrowed_whole)
{
	struct tow_span spans[TOW_SPANS_MAX];
	struct tow_udp_message from;
	size_t at = 0;
	int n;

	open_host(ip4, 0, 4096);
	arrive(65000);
	n = tow_udp_borrow(udp, spans, TOW_SPANS_MAX, &from);
	CHECK_GT(n, 1);
	for (int i = 0; i < n; i++) {
		memcpy(got + at, spans[i].ptr, spans[i].len);
		at += spans[i].len;
	}
	CHECK_EQ(at, 65000);
	CHECK_MEM(got, data, 65000);
	tow_udp_return(udp, 1);
	close_host();
}

/* A slot of posted memory gets the whole, like any other datagram */
TEST_BOTH(fragmented_datagram_lands_in_posted_memory)
{
	struct tow_endpoint remote = { .port = 9 };
	struct tow_span memory = { got, sizeof(got) };
	struct tow_udp_slot slot;
	struct tow_event event;

	open_host(ip4, 0, 4096);
	remote.addr = address(peer());
	CHECK_EQ(tow_udp_connect(udp, &remote), 0);
	CHECK_EQ(tow_udp_post(udp, &memory, 20000, 0, 5), 0);
	arrive(20000);
	CHECK_EQ(tow_udp_posted(udp, &slot, 1), 1);
	CHECK_EQ(slot.bytes, 20000);
	CHECK_MEM(got + slot.offset, data, 20000);
	tow_udp_unpost(udp);
	stack_host_poll(&s);
	do {
		event = stack_host_event(&s);
	} while (event.type != 0 && event.type != TOW_EVENT_POST);
	CHECK_EQ(event.type, TOW_EVENT_POST);
	close_host();
}

/*
 * Identification: RFC 7739, RFC 6864.
 */

static uint32_t next_id(void)
{
	CHECK_EQ(transmit(1600, false), 1);
	CHECK_EQ(stack_host_sent(&s), 2);
	return look(&s.fake.sent[0]).id;
}

/* guessable IP IDs, fragment IDs: collect 10,000 */
TEST_BOTH(fragment_ids_do_not_repeat_and_have_no_pattern)
{
	static uint8_t seen[65536];
	uint32_t before = 0, id, small_steps = 0, high = 0;

	open_host(ip4, 0, 4096);
	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < 10000; i++) {
		id = next_id();
		if (ip4)
			CHECK_EQ(seen[id]++, 0);
		small_steps += i > 0 && id - before < 256;
		high += id >> (ip4 ? 15 : 31);
		before = id;
	}
	CHECK_LT(small_steps, 100); /* 39 are to be expected in 16 bits */
	CHECK_GT(high, 4700);
	CHECK_LT(high, 5300);
	close_host();
}

/*
 * Path MTUs: RFC 1191, RFC 8201.
 */

/*
 * A router far away says what fits, quoting the last frame sent; but for an
 * error in its flow label, or ID.
 */
static void too_big(uint32_t mtu, uint32_t secret_error)
{
	static uint8_t quote[1200];
	uint32_t bytes = s.fake.sent[0].bytes - ETH_BYTES;

	bytes = MIN(bytes, v4 ? 500 : (uint32_t)sizeof(quote));
	memcpy(quote, s.fake.sent[0].data + ETH_BYTES, bytes);
	quote[v4 ? 5 : 3] ^= (uint8_t)secret_error;
	frame_begin(&f, v4 ? "192.0.2.9" : "2001:db8::ff", host(),
		    v4 ? NET_ICMP : NET_ICMP6);
	if (v4)
		frame_icmp(&f, ICMP4_UNREACHABLE, ICMP4_TOO_BIG, mtu);
	else
		frame_icmp(&f, ICMP6_TOO_BIG, 0, mtu);
	frame_add(&f, quote, bytes);
	frame_end(&f);
	stack_host_receive(&s, &f);
}

static unsigned frames_of(uint32_t bytes)
{
	CHECK_EQ(transmit(bytes, false), 1);
	return stack_host_sent(&s);
}

/* RFC 8201 4: also for a socket that is not connected; its flow label tells */
TEST(quoted_flow_label_proves_a_packet_too_big)
{
	open_host(false, 0, 4096);
	CHECK_EQ(frames_of(1400), 1);
	too_big(1300, 1);
	CHECK_EQ(frames_of(1400), 1);
	too_big(1300, 0);
	CHECK_EQ(frames_of(1400), 2);
	CHECK_EQ(s.fake.sent[0].bytes, ETH_BYTES + 1296);
	CHECK_EQ(frames_of(1300 - V6_HEADERS), 1);
	close_host();
}

/*
 * RFC 1191 3, RFC 6864 4.1: the same of IPv4, whose ID tells; datagrams that
 * fit go on with DF
 */
TEST(quoted_id_proves_a_packet_too_big)
{
	uint32_t id;

	open_host(true, 0, 4096);
	CHECK_EQ(frames_of(1400), 1);
	CHECK(look(&s.fake.sent[0]).df);
	id = look(&s.fake.sent[0]).id;
	too_big(1300, 1);
	CHECK_EQ(frames_of(1400), 1);
	CHECK_EQ(look(&s.fake.sent[0]).id, id);
	too_big(1300, 0);
	CHECK_EQ(frames_of(1400), 2);
	CHECK_EQ(s.fake.sent[0].bytes, ETH_BYTES + 1300);
	CHECK(!look(&s.fake.sent[0]).df);
	CHECK_EQ(frames_of(1300 - V4_HEADERS), 1);
	CHECK(look(&s.fake.sent[0]).df);
	CHECK_EQ(look(&s.fake.sent[0]).id, id);
	close_host();
}

/* RFC 5927 7: 16 bits are no secret from who may try them all */
TEST(id_is_not_guessed_by_many_errors)
{
	open_host(true, 0, 4096);
	CHECK_EQ(frames_of(1400), 1);
	for (unsigned i = 1; i < 256; i++)
		too_big(1300, i);
	too_big(1300, 0);
	CHECK_EQ(frames_of(1400), 1);
	s.now_us += 60000000;
	(void)frames_of(1400); /* and a question for the neighbour */
	CHECK_EQ(frames_of(1400), 1);
	too_big(1300, 0);
	CHECK_EQ(frames_of(1400), 2);
	close_host();
}

/* Of a train the first has the ID; errors about the others are honest. */
TEST(errors_that_say_nothing_new_are_no_guesses)
{
	open_host(true, 0, 4096);
	CHECK_EQ(frames_of(1400), 1);
	too_big(1300, 0);
	for (unsigned i = 1; i < 64; i++)
		too_big(1300, i);
	too_big(1200, 0);
	CHECK_EQ(frames_of(1250), 2);
	close_host();
}

/* RFC 1191 3: what is said to be below the floor is sent without DF */
TEST(path_below_the_floor_has_packets_that_may_be_cut)
{
	uint32_t id;

	open_host(true, 0, 4096);
	CHECK_EQ(frames_of(1400), 1);
	too_big(296, 0);
	CHECK_EQ(frames_of(500), 1);
	CHECK(!look(&s.fake.sent[0]).df);
	id = look(&s.fake.sent[0]).id;
	CHECK_EQ(frames_of(500), 1);
	CHECK(look(&s.fake.sent[0]).id != id);
	CHECK_EQ(frames_of(552 - V4_HEADERS + 1), 2);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_DONT_FRAGMENT, 1), 0);
	CHECK_EQ(frames_of(500), 1);
	CHECK(look(&s.fake.sent[0]).df);
	s.now_us += 600000000;
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_DONT_FRAGMENT, 0), 0);
	stack_host_poll(&s);
	frame_arp(&f, ARP_REPLY, peer_mac, peer(), host());
	frames_of(500);
	stack_host_receive(&s, &f);
	stack_host_sent(&s);
	CHECK_EQ(frames_of(500), 1);
	CHECK(look(&s.fake.sent[0]).df);
	close_host();
}

/*
 * RFC 8899 4.5: whose program searches for what the path takes is bound by the
 * link alone, and nothing is fragmented, whatever ICMP said; others go on as
 * they were
 */
TEST(searching_socket_sends_larger_datagrams_than_icmp_permits)
{
	for (unsigned i = 0; i < 2; i++) {
		uint32_t headers = i ? V6_HEADERS : V4_HEADERS;

		open_host(i == 0, 0, 4096);
		CHECK_EQ(frames_of(1400), 1);
		too_big(i ? 1300 : 296, 0);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_DONT_FRAGMENT, 1), 0);
		CHECK_EQ(transmit(1400, false), TOW_EMSGSIZE);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_DONT_FRAGMENT, 2), 0);
		CHECK_EQ(frames_of(1500 - headers), 1);
		CHECK_EQ(s.fake.sent[0].bytes, ETH_BYTES + 1500u);
		CHECK(i || look(&s.fake.sent[0]).df);
		CHECK_EQ(transmit(1500 - headers + 1, false), TOW_EMSGSIZE);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_DONT_FRAGMENT, 0), 0);
		CHECK_GT(frames_of(1400), 1);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_DONT_FRAGMENT, 3),
			 TOW_EINVAL);
		close_host();
	}
}

static void is_dropped_when_the_path_shrinks(uint32_t segment_bytes)
{
	struct tow_span span = { data, segment_bytes ? 2800 : 1400 };
	struct tow_udp_message m = {
		.peer = endpoint(peer(), 9),
		.spans = &span,
		.span_count = 1,
		.segment_bytes = segment_bytes,
	};
	struct tow_event event;

	CHECK_EQ(frames_of(1400), 1);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_DONT_FRAGMENT, !segment_bytes), 0);
	CHECK_EQ(tow_udp_lend(udp, &m, 1), 1);
	too_big(1300, 0);
	CHECK_EQ(stack_host_sent(&s), 0);
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_LOAN);
	CHECK_EQ(event.status, TOW_EMSGSIZE);
}

/* RFC 8899 3: also when the path shrinks while they wait for the device */
TEST(queued_datagrams_that_must_not_be_fragmented_never_are)
{
	for (unsigned i = 0; i < 3; i++) {
		open_host(false, i == 2 ? TOW_DEV_USO | TOW_DEV_TX_CSUM : 0,
			  4096);
		is_dropped_when_the_path_shrinks(i ? 1400 : 0);
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_IP_MTU), i == 1 ? 2 : 1);
		close_host();
	}
}

/* RFC 8201 4: not below 1280; never up; fragments can be too big as well */
TEST(path_mtu_has_a_floor_and_never_grows_by_icmp)
{
	open_host(false, 0, 4096);
	CHECK_EQ(frames_of(2000), 2);
	too_big(1400, 0);
	CHECK_EQ(frames_of(1400 - V6_HEADERS), 1);
	CHECK_EQ(frames_of(1400 - V6_HEADERS + 1), 2);
	too_big(1450, 0);
	CHECK_EQ(frames_of(1400 - V6_HEADERS), 1);
	too_big(68, 0);
	CHECK_EQ(frames_of(1280 - V6_HEADERS), 1);
	too_big(1279, 0);
	CHECK_EQ(frames_of(1280 - V6_HEADERS), 1);
	close_host();
}

/* RFC 8201 4: after ten minutes the path is tried again */
TEST(path_mtu_is_forgotten_with_time)
{
	open_host(false, 0, 4096);
	CHECK_EQ(frames_of(1400), 1);
	too_big(1300, 0);
	s.now_us += 599000000;
	stack_host_poll(&s);
	s.now_us += 500000;
	frames_of(10); /* the neighbour has to be asked again */
	frame_solicit(&f, peer(), host(), host(), peer_mac);
	stack_host_receive(&s, &f);
	stack_host_sent(&s);
	CHECK_EQ(frames_of(1400), 2);
	s.now_us += 1000000;
	frames_of(1400);
	CHECK_EQ(s.fake.sent[s.seen - 1].bytes, ETH_BYTES + 1400 + V6_HEADERS);
	close_host();
}

/* The table has a limit: a thousand destinations, none grows it */
TEST(path_mtus_are_bounded)
{
	struct net *net;
	struct tow_addr dst;
	unsigned kept = 0;
	struct net_path path = { .mtu = 1500 };

	open_host(false, 0, 4096);
	net = &s.stack->net;
	dst = address("2001:db8:1::");
	for (uint32_t i = 0; i < 1000; i++) {
		wire_put32(dst.b + 12, i);
		net_path_shrunk(net, &dst, 1300);
		path.dst = dst;
		CHECK_EQ(net_path_mtu(net, &path), 1300);
	}
	for (uint32_t i = 0; i < 1000; i++) {
		wire_put32(path.dst.b + 12, i);
		kept += net_path_mtu(net, &path) == 1300;
	}
	CHECK_LE(kept, 256);
	CHECK_GT(kept, 128);
	close_host();
}
