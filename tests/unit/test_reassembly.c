/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams that come in fragments: each test in both families, with
 * fragments as a peer, or who says that he is one, would send them.
 */
#include <string.h>
#include "fragment.h"
#include "net_host.h"
#include "test.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"
#include "wire/wire_udp.h"

#define ID 0x1234

static struct net_host h;
static struct frame whole, part;
static bool v4;

static const char *peer(void)
{
	return v4 ? "192.0.2.2" : "2001:db8::2";
}

static void make(const char *src, uint32_t payload)
{
	frame_begin(&whole, src, v4 ? "192.0.2.1" : "2001:db8::1", NET_UDP);
	frame_udp(&whole, 1000, 7);
	frame_fill(&whole, payload);
	frame_end(&whole);
}

static void begin(bool family4, uint32_t payload)
{
	v4 = family4;
	net_host_open(&h);
	make(peer(), payload);
}

static enum net_verdict put_id(uint32_t id, uint32_t from, uint32_t bytes,
			       bool more)
{
	fragment_cut(&part, &whole, id, from, bytes, more);
	return net_host_receive(&h, &part);
}

static enum net_verdict put(uint32_t from, uint32_t bytes, bool more)
{
	return put_id(ID, from, bytes, more);
}

static void refuses(uint32_t from, uint32_t bytes, bool more, enum tow_drop why)
{
	fragment_cut(&part, &whole, ID, from, bytes, more);
	net_host_refuses(&h, &part, why);
}

/* What was delivered is the whole datagram. */
static void check_whole(void)
{
	static uint8_t got[65536];
	uint32_t bytes = fragment_payload(&whole);

	CHECK_EQ(h.packet.protocol, NET_UDP);
	CHECK(tow_addr_equal(&h.packet.src, &whole.src));
	CHECK(tow_addr_equal(&h.packet.dst, &whole.dst));
	CHECK_EQ(h.packet.buf->bytes, bytes);
	CHECK_EQ(tow_buf_read(h.packet.buf, 0, got, sizeof(got)), bytes);
	CHECK_MEM(got, frame_transport(&whole), bytes);
	CHECK_EQ(h.packet.csum_ok, false);
	tow_buf_give(h.packet.buf);
}

static uint64_t drops(enum tow_drop why)
{
	return h.net.stats.drops[why];
}

static void end(void)
{
	net_host_close(&h);
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

/* RFC 791 3.2, RFC 8200 4.5 */
TEST_BOTH(fragments_in_order_become_a_datagram)
{
	begin(ip4, 3000);
	CHECK_EQ(put(0, 1000, true), NET_DONE);
	CHECK_EQ(put(1000, 1000, true), NET_DONE);
	CHECK_EQ(put(2000, 1008, false), NET_DELIVER);
	check_whole();
	CHECK_EQ(h.net.stats.counters[TOW_COUNTER_FRAGMENTS_IN], 3);
	CHECK_EQ(h.net.stats.counters[TOW_COUNTER_REASSEMBLED], 1);
	CHECK_EQ(h.net.stats.ledger.copied_bytes[TOW_COPY_RX_FRAGMENT], 3008);
	end();
}

/* All orders of four fragments */
TEST_BOTH(fragments_in_any_order_become_a_datagram)
{
	begin(ip4, 2500);
	for (unsigned order = 0; order < 256; order++) {
		unsigned seen = 0, last = 0;

		for (unsigned i = 0; i < 4; i++)
			seen |= 1u << (order >> 2 * i & 3);
		if (seen != 15)
			continue;
		for (unsigned i = 0; i < 4; i++) {
			uint32_t at = order >> 2 * i & 3;
			uint32_t bytes = at == 3 ? 2508 - 3 * 640 : 640;

			last = put(at * 640, bytes, at < 3);
			CHECK_EQ(last, i < 3 ? NET_DONE : NET_DELIVER);
		}
		check_whole();
	}
	end();
}

/* The header in front is that of the whole: for errors that quote it */
TEST(headers_say_what_is_true_of_the_whole)
{
	const struct wire_ip4 *ip;

	begin(true, 100);
	CHECK_EQ(put(40, 68, false), NET_DONE);
	CHECK_EQ(put(0, 40, true), NET_DELIVER);
	CHECK_EQ(h.packet.network_bytes, 20);
	ip = (const void *)((const uint8_t *)h.packet.buf->spans[0].ptr - 20);
	CHECK_EQ(wire_get16(ip->total), 128);
	CHECK_EQ(wire_get16(ip->fragment), 0);
	CHECK_EQ(csum_finish(csum_bytes(0, ip, 20)), 0);
	check_whole();
	end();
}

/* RFC 791 3.2: the length is at most what 16 bits can say, and that works */
TEST_BOTH(largest_datagram_is_put_together)
{
	struct tow_config cfg;
	uint32_t bytes, from;

	v4 = ip4;
	net_host_config(&cfg);
	cfg.chunk_bytes = 4096;
	net_host_open_with(&h, &cfg, 0);
	make(peer(), 65535 - 8 - (ip4 ? 20 : 0));
	bytes = fragment_payload(&whole);
	for (from = 1400; from + 1400 < bytes; from += 1400)
		CHECK_EQ(put(from, 1400, true), NET_DONE);
	CHECK_EQ(put(from, bytes - from, false), NET_DONE);
	CHECK_EQ(put(0, 1400, true), NET_DELIVER);
	check_whole();
	end();
}

/* A buffer has so many spans: with small chunks that is the limit */
TEST_BOTH(datagram_larger_than_a_buffer_of_small_chunks_is_dropped)
{
	begin(ip4, 45000);
	CHECK_EQ(put(0, 1400, true), NET_DONE);
	refuses(19 * 2048, 1400, true, TOW_DROP_FRAGMENT_LIMIT);
	end();
}

/* ping of death (CVE-1999-0128): offset + length > 65535 */
TEST(ping_of_death_is_dropped)
{
	begin(true, 1000);
	refuses(65528, 8, false, TOW_DROP_IP_LENGTH);
	refuses(65512, 24, false, TOW_DROP_IP_LENGTH);
	refuses(65528, 1000, true, TOW_DROP_IP_LENGTH);
	end();
}

static void reported(enum tow_drop why, uint8_t code, uint32_t pointer)
{
	const struct wire_icmp *icmp;
	static struct frame answer;
	uint64_t before = drops(why);

	net_host_meet(&h, peer());
	CHECK_EQ(net_host_receive(&h, &part), NET_DONE);
	CHECK_EQ(drops(why), before + 1);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &answer);
	icmp = (const void *)frame_transport(&answer);
	CHECK_EQ(icmp->type, ICMP6_PARAMETER);
	CHECK_EQ(icmp->code, code);
	CHECK_EQ(wire_get32(icmp->rest), pointer);
}

/* RFC 8200 4.5: code 0, pointing to the fragment offset */
TEST(oversized_ip6_reassembly_is_reported)
{
	begin(false, 1000);
	fragment_cut(&part, &whole, ID, 65528, 8, false);
	reported(TOW_DROP_IP_LENGTH, ICMP6_BAD_FIELD, 42);
	end();
}

/* RFC 8200 4.5: code 0, pointing to the payload length */
TEST(ip6_fragment_of_broken_units_is_reported)
{
	begin(false, 1000);
	fragment_cut(&part, &whole, ID, 0, 15, true);
	reported(TOW_DROP_IP_FRAGMENT, ICMP6_BAD_FIELD, 4);
	fragment_cut(&part, &whole, ID, 80, 15, true);
	reported(TOW_DROP_IP_FRAGMENT, ICMP6_BAD_FIELD, 4);
	end();
}

TEST(ip4_fragment_of_broken_units_is_dropped)
{
	begin(true, 1000);
	refuses(0, 15, true, TOW_DROP_IP_FRAGMENT);
	refuses(80, 7, true, TOW_DROP_IP_FRAGMENT);
	end();
}

TEST_BOTH(fragment_without_payload_is_dropped)
{
	begin(ip4, 1000);
	refuses(0, 0, true, TOW_DROP_IP_FRAGMENT);
	refuses(80, 0, true, TOW_DROP_IP_FRAGMENT);
	refuses(80, 0, false, TOW_DROP_IP_FRAGMENT);
	end();
}

/* tiny first fragment, RFC 8200 4.5, RFC 7112: all headers are in the first */
TEST(tiny_first_ip6_fragment_is_reported)
{
	begin(false, 1000);
	whole.protocol = NET_TCP;
	for (uint32_t bytes = 8; bytes < 20; bytes += 8) {
		fragment_cut(&part, &whole, ID, 0, bytes, true);
		reported(TOW_DROP_IP_FRAGMENT, ICMP6_INCOMPLETE_CHAIN, 0);
	}
	whole.protocol = NET_UDP;
	CHECK_EQ(put(0, 8, true), NET_DONE);
	end();
}

/* RFC 8504 5.3: the same limit as for headers in front of a fragment */
TEST(first_ip6_fragment_with_too_many_headers_is_dropped)
{
	static const uint8_t destination[8] = { IP6_DESTINATION, 0, 1, 4 };
	static const uint8_t last[8] = { NET_UDP, 0, 1, 4 };

	for (unsigned headers = 8; headers <= 9; headers++) {
		begin(false, 1000);
		frame_begin(&whole, peer(), "2001:db8::1", IP6_DESTINATION);
		for (unsigned i = 1; i < headers; i++)
			frame_add(&whole, destination, 8);
		frame_add(&whole, last, 8);
		frame_udp(&whole, 1000, 7);
		frame_fill(&whole, 100);
		frame_end(&whole);
		whole.transport = whole.ip + IP6_BYTES;
		whole.protocol = IP6_DESTINATION;
		if (headers <= 8)
			CHECK_EQ(put(0, 96, true), NET_DONE);
		else
			refuses(0, 96, true, TOW_DROP_IP_EXTENSION);
		end();
	}
}

/* tiny first fragment, RFC 791 3.2: every link carries 8 bytes of payload */
TEST(tiny_first_ip4_fragment_is_taken)
{
	begin(true, 100);
	CHECK_EQ(put(0, 8, true), NET_DONE);
	CHECK_EQ(put(8, 100, false), NET_DELIVER);
	check_whole();
	end();
}

/* teardrop (CVE-1999-0015), RFC 5722: what overlaps ends the datagram */
TEST_BOTH(teardrop_ends_the_datagram)
{
	static const struct {
		uint32_t from, bytes;
		bool more;
	} overlaps[] = {
		{ 400, 80, true },   /* inside */
		{ 392, 16, true },   /* over its front */
		{ 792, 16, true },   /* over its end */
		{ 392, 416, true },  /* all around */
		{ 400, 392, true },  /* the same but shorter, */
		{ 400, 408, true },  /* longer, */
		{ 408, 392, true },  /* later */
		{ 400, 400, false }, /* and the last */
		{ 0, 408, true },    { 400, 608, false },
	};

	begin(ip4, 1000);
	for (unsigned i = 0; i < sizeof(overlaps) / sizeof(overlaps[0]); i++) {
		CHECK_EQ(put(400, 400, true), NET_DONE);
		CHECK_EQ(put(1000, 8, false), NET_DONE);
		refuses(overlaps[i].from, overlaps[i].bytes, overlaps[i].more,
			TOW_DROP_FRAGMENT_OVERLAP);
		/* nothing of it is left: the whole comes as if new */
		CHECK_EQ(put(0, 400, true), NET_DONE);
		CHECK_EQ(put(400, 400, true), NET_DONE);
		CHECK_EQ(put(800, 208, false), NET_DELIVER);
		check_whole();
	}
	end();
}

/* Ripple20 (CVE-2020-11896): fragments that disagree about the length */
TEST_BOTH(fragments_that_disagree_about_the_length_end_the_datagram)
{
	begin(ip4, 1000);
	CHECK_EQ(put(80, 16, false), NET_DONE);
	refuses(160, 16, false, TOW_DROP_FRAGMENT_OVERLAP);
	CHECK_EQ(put(80, 16, false), NET_DONE);
	refuses(160, 16, true, TOW_DROP_FRAGMENT_OVERLAP);
	CHECK_EQ(put(160, 16, true), NET_DONE);
	refuses(80, 16, false, TOW_DROP_FRAGMENT_OVERLAP);
	CHECK_EQ(put(80, 16, false), NET_DONE);
	refuses(80, 13, false, TOW_DROP_FRAGMENT_OVERLAP);
	end();
}

/* RFC 8200 4.5: what the network sent twice is no overlap */
TEST_BOTH(duplicates_are_dropped_alone)
{
	begin(ip4, 1000);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(put(400, 400, true), NET_DONE);
		refuses(400, 400, true, TOW_DROP_FRAGMENT_DUPLICATE);
		CHECK_EQ(put(800, 208, false), NET_DONE);
		refuses(800, 208, false, TOW_DROP_FRAGMENT_DUPLICATE);
		refuses(400, 400, true, TOW_DROP_FRAGMENT_DUPLICATE);
		CHECK_EQ(put(0, 400, true), NET_DELIVER);
		check_whole();
	}
	end();
}

/* RFC 791 3.2: source, destination, identification; of IPv4 the protocol */
TEST_BOTH(datagrams_are_told_apart)
{
	begin(ip4, 100);
	CHECK_EQ(put_id(1, 0, 48, true), NET_DONE);
	CHECK_EQ(put_id(2, 48, 60, false), NET_DONE);
	make(v4 ? "192.0.2.3" : "2001:db8::3", 100);
	CHECK_EQ(put_id(1, 48, 60, false), NET_DONE);
	make(peer(), 100);
	CHECK_EQ(put_id(2, 0, 48, true), NET_DELIVER);
	check_whole();
	CHECK_EQ(put_id(1, 48, 60, false), NET_DELIVER);
	check_whole();
	end();
}

/* FragmentSmack (CVE-2018-5391): one datagram in 8-byte pieces, backwards */
TEST_BOTH(fragment_smack_costs_no_more_memory_than_large_fragments)
{
	uint32_t from;

	begin(ip4, 20000 - 8);
	for (from = 20000 - 8; from > 0; from -= 8) {
		CHECK_EQ(put(from, 8, from < 20000 - 8), NET_DONE);
		CHECK_GE(h.net.rx_pool.chunks_left, 64 - 11);
		CHECK_GE(h.net.rx_pool.bufs_left, 63);
	}
	CHECK_EQ(put(0, 8, true), NET_DELIVER);
	check_whole();
	end();
}

/* Rose attack, 100,000 unfinished datagrams: of one source few are kept */
TEST_BOTH(rose_attack_is_limited_per_source_and_another_source_gets_through)
{
	uint32_t id;

	begin(ip4, 1000);
	make(v4 ? "192.0.2.3" : "2001:db8:1::3", 1000);
	CHECK_EQ(put(0, 400, true), NET_DONE);
	make(peer(), 1000);
	for (id = 0; id < 100000; id++)
		CHECK_EQ(put_id(id & 0xffff, 800, 208, false), NET_DONE);
	CHECK_GE(h.net.rx_pool.chunks_left, 44);
	make(v4 ? "192.0.2.3" : "2001:db8:1::3", 1000);
	put(0, 400, true);
	put(400, 400, true);
	CHECK_EQ(put(800, 208, false), NET_DELIVER);
	check_whole();
	end();
}

/* 100,000 unfinished datagrams of as many sources */
TEST_BOTH(unfinished_datagrams_are_limited_in_total)
{
	uint32_t i;

	begin(ip4, 1000);
	for (i = 0; i < 100000; i++) {
		make(peer(), 1000);
		fragment_cut(&part, &whole, i, 0, 400, true);
		if (v4)
			wire_put32(frame_ip(&part) + 12, 0x0a000000 + i);
		else
			wire_put32(frame_ip(&part) + 12, i);
		frame_sum_ip(&part);
		CHECK_EQ(net_host_receive(&h, &part), NET_DONE);
	}
	CHECK_GE(h.net.rx_pool.chunks_left, 44);
	CHECK_EQ(drops(TOW_DROP_FRAGMENT_LIMIT) + 10, 100000);
	make(v4 ? "192.0.2.9" : "2001:db8:9::9", 1000);
	CHECK_EQ(put(0, 400, true), NET_DONE);
	CHECK_EQ(put(400, 608, false), NET_DELIVER);
	check_whole();
	end();
}

static void check_time_exceeded(const struct frame *first)
{
	const struct wire_icmp *icmp;
	static struct frame answer;
	uint32_t quoted = first->bytes - first->ip;

	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &answer);
	icmp = (const void *)frame_transport(&answer);
	CHECK_EQ(icmp->type, v4 ? (unsigned)ICMP4_TIME_EXCEEDED
				: (unsigned)ICMP6_TIME_EXCEEDED);
	CHECK_EQ(icmp->code, 1);
	CHECK_EQ(answer.bytes - answer.transport, 8 + quoted);
	CHECK_MEM(frame_transport(&answer) + 8, first->data + first->ip,
		  quoted);
}

/* RFC 792, RFC 1122 3.3.2, RFC 4443 3.3: fragment zero is quoted as it came */
TEST_BOTH(timeout_is_reported_if_fragment_zero_came)
{
	static struct frame first;

	begin(ip4, 1000);
	CHECK_EQ(put(400, 400, true), NET_DONE);
	CHECK_EQ(put(0, 400, true), NET_DONE);
	first = part;
	net_host_run(&h, 55000000);
	net_host_meet(&h, peer());
	net_host_run(&h, 4900000);
	CHECK_EQ(drops(TOW_DROP_FRAGMENT_TIMEOUT), 0);
	net_host_run(&h, 200000);
	CHECK_EQ(drops(TOW_DROP_FRAGMENT_TIMEOUT), 1);
	check_time_exceeded(&first);
	end();
}

/* no answer for later fragments */
TEST_BOTH(timeout_without_fragment_zero_is_silent)
{
	begin(ip4, 1000);
	CHECK_EQ(put(400, 400, true), NET_DONE);
	net_host_run(&h, 55000000);
	net_host_meet(&h, peer());
	net_host_run(&h, 6000000);
	CHECK_EQ(drops(TOW_DROP_FRAGMENT_TIMEOUT), 1);
	CHECK_EQ(net_host_sent(&h), 0);
	end();
}

/* RFC 1122 3.2.2, RFC 4443 2.4 (e): an error in fragments is no exception */
TEST_BOTH(timeout_of_an_icmp_error_is_silent)
{
	begin(ip4, 1000);
	frame_begin(&whole, peer(), v4 ? "192.0.2.1" : "2001:db8::1",
		    v4 ? NET_ICMP : NET_ICMP6);
	frame_icmp(&whole,
		   v4 ? (uint8_t)ICMP4_UNREACHABLE : (uint8_t)ICMP6_UNREACHABLE,
		   0, 0);
	frame_fill(&whole, 1000);
	frame_end(&whole);
	CHECK_EQ(put(0, 400, true), NET_DONE);
	net_host_run(&h, 55000000);
	net_host_meet(&h, peer());
	net_host_run(&h, 6000000);
	CHECK_EQ(drops(TOW_DROP_FRAGMENT_TIMEOUT), 1);
	CHECK_EQ(net_host_sent(&h), 0);
	end();
}

/* RFC 3168 5.3 */
TEST(congestion_mark_of_one_fragment_is_the_datagrams)
{
	static const struct {
		uint8_t first, second, whole;
	} marks[] = {
		{ 1, 1, 1 }, { 2, 2, 2 }, { 2, 3, 3 }, { 3, 1, 3 }, { 0, 0, 0 },
	};

	begin(true, 100);
	for (unsigned i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		frame_ip(&whole)[1] = marks[i].first;
		CHECK_EQ(put(0, 48, true), NET_DONE);
		frame_ip(&whole)[1] = marks[i].second;
		CHECK_EQ(put(48, 60, false), NET_DELIVER);
		CHECK_EQ(h.packet.tos, marks[i].whole);
		check_whole();
	}
	frame_ip(&whole)[1] = 3;
	CHECK_EQ(put(0, 48, true), NET_DONE);
	frame_ip(&whole)[1] = 0;
	refuses(48, 60, false, TOW_DROP_FRAGMENT_OVERLAP);
	end();
}

/* A fragment header behind reassembly hides a second one: refused */
TEST(fragment_in_a_fragment_is_refused)
{
	struct wire_ip6_fragment inner = { .next = NET_UDP, .id = { 9 } };

	begin(false, 100);
	inner.offset[1] = IP6_MORE;
	memcpy(frame_transport(&whole), &inner, 8);
	whole.protocol = IP6_FRAGMENT;
	CHECK_EQ(put(48, 60, false), NET_DONE);
	fragment_cut(&part, &whole, ID, 0, 48, true);
	reported(TOW_DROP_IP_EXTENSION, ICMP6_BAD_FIELD, 48);
	end();
}

TEST(without_room_for_datagrams_fragments_are_dropped)
{
	struct tow_config cfg;

	v4 = true;
	net_host_config(&cfg);
	cfg.reassembly_max = 0;
	net_host_open_with(&h, &cfg, 0);
	make(peer(), 1000);
	refuses(0, 400, true, TOW_DROP_FRAGMENT_LIMIT);
	end();
}

/* Out of buffers and chunks at every step, nothing is lost or kept */
TEST_BOTH(want_of_memory_ends_a_datagram_and_leaks_nothing)
{
	struct tow_config cfg;

	for (unsigned n = 4; n < 24; n++) {
		v4 = ip4;
		net_host_config(&cfg);
		cfg.rx_bufs = cfg.rx_chunks = n;
		net_host_open_with(&h, &cfg, 0);
		make(peer(), 9000);
		for (uint32_t from = 0; from < 9008; from += 1400)
			if (put(from, from + 1400 > 9008 ? 9008 - from : 1400,
				from + 1400 < 9008) == NET_DELIVER)
				tow_buf_give(h.packet.buf);
		end();
	}
}
