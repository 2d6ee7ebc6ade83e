/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP and ICMPv6: echo, errors that we hear, errors that we send.
 */
#include <stdio.h>
#include <string.h>
#include "net_host.h"
#include "test.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"
#include "wire/wire_udp.h"

#define US4   "192.0.2.1"
#define PEER4 "192.0.2.2"
#define US6   "2001:db8::1"
#define PEER6 "2001:db8::2"

static struct net_host h;
static struct frame f, answer;

static void open_and_meet(void)
{
	net_host_open(&h);
	net_host_meet(&h, PEER4);
	net_host_meet(&h, PEER6);
}

static void make_echo(const char *src, const char *dst, uint8_t type,
		      uint32_t payload)
{
	bool v6 = strchr(src, ':');

	frame_begin(&f, src, dst, v6 ? NET_ICMP6 : NET_ICMP);
	frame_icmp(&f, type, 0, 0x12345678);
	frame_fill(&f, payload);
	frame_end(&f);
}

/*
 * Echo.
 */

static void check_echo(uint32_t payload, uint8_t reply)
{
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &answer);
	CHECK_EQ(answer.bytes, f.bytes);
	CHECK_EQ(frame_transport(&answer)[0], reply);
	CHECK_EQ(frame_transport(&answer)[1], 0);
	CHECK_MEM(frame_transport(&answer) + 4, frame_transport(&f) + 4,
		  payload + 4);
	CHECK_MEM(answer.src.b, f.dst.b, 16);
	CHECK_MEM(answer.dst.b, f.src.b, 16);
}

/* RFC 1122 3.2.2.6, RFC 4443 4.2: as long as the request, and the same */
TEST(echo_is_answered_with_the_same_bytes)
{
	static const uint32_t sizes[] = { 0, 1, 2, 55, 56, 100, 1400, 1452 };

	open_and_meet();
	for (unsigned i = 0; i < 8; i++) {
		make_echo(PEER4, US4, ICMP4_ECHO, sizes[i]);
		check_echo(sizes[i], ICMP4_ECHO_REPLY);
		make_echo(PEER6, US6, ICMP6_ECHO, sizes[i]);
		check_echo(sizes[i], ICMP6_ECHO_REPLY);
	}
	net_host_close(&h);
}

/* The payload goes back from where the device put it */
TEST(echo_payload_is_not_moved)
{
	struct tow_buf *buf;
	const void *chunk;

	open_and_meet();
	make_echo(PEER4, US4, ICMP4_ECHO, 1000);
	fake_dev_put(&h.fake, f.data, f.bytes, 0);
	CHECK_EQ(h.fake.dev.ops->rx(&h.fake.dev, &buf, 1), 1);
	chunk = buf->spans[1].ptr;
	CHECK_EQ(net_receive(&h.net, h.link, buf, &h.packet, &h.error),
		 NET_DONE);
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_EQ(h.fake.sent[0].spans[1].ptr, chunk);
	net_host_close(&h);
}

/* Sums at the edge of ones-complement arithmetic stay right */
TEST(echo_checksum_is_right_for_every_identifier)
{
	open_and_meet();
	for (uint32_t id = 0; id < 0x10000; id += 13) {
		frame_begin(&f, PEER4, US4, NET_ICMP);
		frame_icmp(&f, ICMP4_ECHO, 0, id << 16 | (0xffff - id));
		frame_end(&f);
		check_echo(0, ICMP4_ECHO_REPLY);
	}
	net_host_close(&h);
}

/* A sender on this machine leaves the sum to its device: finished here */
TEST(echo_with_unfinished_checksum_is_answered_with_a_right_one)
{
	struct tow_buf *buf;

	open_and_meet();
	make_echo(PEER6, US6, ICMP6_ECHO, 64);
	wire_put16(frame_transport(&f) + 2, 0x4711);
	fake_dev_put(&h.fake, f.data, f.bytes, TOW_BUF_CSUM_PARTIAL);
	CHECK_EQ(h.fake.dev.ops->rx(&h.fake.dev, &buf, 1), 1);
	CHECK_EQ(net_receive(&h.net, h.link, buf, &h.packet, &h.error),
		 NET_DONE);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &answer);
	CHECK_EQ(frame_transport(&answer)[0], ICMP6_ECHO_REPLY);
	net_host_close(&h);
}

/* NUCLEUS:13: nothing beyond the request comes back, padding least of all */
TEST(echo_does_not_return_padding)
{
	open_and_meet();
	make_echo(PEER4, US4, ICMP4_ECHO, 4);
	frame_add(&f, "secret bytes of the frame", 25);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_EQ(h.fake.sent[0].bytes, 14 + 20 + 8 + 4);
	net_host_close(&h);
}

/* NUCLEUS:13: an echo shorter than its header */
TEST(echo_below_its_header_is_dropped)
{
	open_and_meet();
	for (uint32_t bytes = 0; bytes < 8; bytes++) {
		make_echo(PEER4, US4, ICMP4_ECHO, 0);
		f.bytes = f.transport + bytes;
		if (bytes < 4)
			f.transport = 0;
		frame_end(&f);
		net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	}
	net_host_close(&h);
}

TEST(echo_with_wrong_checksum_is_dropped)
{
	open_and_meet();
	make_echo(PEER4, US4, ICMP4_ECHO, 32);
	f.data[f.bytes - 1] ^= 1;
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	make_echo(PEER6, US6, ICMP6_ECHO, 32);
	f.data[f.bytes - 1] ^= 1;
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	net_host_close(&h);
}

/* RFC 1122 3.2.2.6 allows silence, and smurfs make it wise */
TEST(echo_to_broadcast_is_not_answered)
{
	open_and_meet();
	make_echo(PEER4, "192.0.2.255", ICMP4_ECHO, 32);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_IGNORED);
	make_echo(PEER4, "224.0.0.1", ICMP4_ECHO, 32);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_IGNORED);
	net_host_close(&h);
}

/* RFC 4443 4.2: an answer to a group's echo comes from one of our addresses */
TEST(echo_to_all_nodes_is_answered_from_one_address)
{
	net_host_open(&h);
	net_host_meet(&h, "fe80::2");
	make_echo("fe80::2", "ff02::1", ICMP6_ECHO, 32);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &answer);
	CHECK_MEM(answer.src.b, address(HOST_LINK_LOCAL).b, 16);
	net_host_close(&h);
}

/* More pieces than the device takes in a frame: no answer, no crash */
TEST(echo_in_too_many_spans_is_dropped)
{
	open_and_meet();
	h.fake.dev.spans_max = 2;
	h.fake.chunk_fill = 100;
	make_echo(PEER4, US4, ICMP4_ECHO, 500);
	net_host_refuses(&h, &f, TOW_DROP_IP_MTU);
	net_host_close(&h);
}

TEST(replies_and_other_queries_are_ignored)
{
	static const uint8_t types4[] = { 0, 4, 5, 9, 10, 13, 15, 17, 40, 255 };
	static const uint8_t types6[] = { 0, 100, 127, 129, 139, 200, 255 };

	open_and_meet();
	for (unsigned i = 0; i < sizeof(types4); i++) {
		make_echo(PEER4, US4, types4[i], 40);
		net_host_refuses(&h, &f, TOW_DROP_ICMP_IGNORED);
	}
	for (unsigned i = 0; i < sizeof(types6); i++) {
		make_echo(PEER6, US6, types6[i], 40);
		net_host_refuses(&h, &f, TOW_DROP_ICMP_IGNORED);
	}
	net_host_close(&h);
}

/*
 * Errors that we hear. The packet quoted is one from us to 198.51.100.7.
 */

static struct wire_ip4 *quoted4(void)
{
	return (void *)(frame_transport(&f) + ICMP_BYTES);
}

static void make_error4(uint8_t type, uint8_t code, uint32_t rest,
			uint8_t protocol)
{
	struct tow_addr us = address(US4), far = address("198.51.100.7");
	struct wire_ip4 ip;

	frame_begin(&f, PEER4, US4, NET_ICMP);
	frame_icmp(&f, type, code, rest);
	ip4_build(&ip, 0, 1500, 0, IP4_DF, 60, protocol, &us, &far);
	frame_add(&f, &ip, sizeof(ip));
	frame_add(&f, "\x04\xd2\x00\x50\x01\x02\x03\x04", 8);
	frame_end(&f);
}

static void make_error6(uint8_t type, uint8_t code, uint32_t rest,
			uint8_t protocol)
{
	struct tow_addr us = address(US6), far = address("2001:db8:9::7");
	struct wire_ip6 ip;

	frame_begin(&f, PEER6, US6, NET_ICMP6);
	frame_icmp(&f, type, code, rest);
	ip6_build(&ip, 0, 0, 1460, protocol, 60, &us, &far);
	frame_add(&f, &ip, sizeof(ip));
	frame_add(&f, "\x04\xd2\x00\x50\x01\x02\x03\x04", 8);
	frame_end(&f);
}

static void heard(int error, bool hard)
{
	CHECK_EQ(net_host_receive(&h, &f), NET_ERROR);
	CHECK_EQ(h.error.error, error);
	CHECK_EQ(h.error.hard, hard);
}

/* RFC 1122 3.2.2.1, 4.1.3.3, 4.2.3.9 */
TEST(unreachable_becomes_an_error_about_our_packet)
{
	open_and_meet();
	make_error4(ICMP4_UNREACHABLE, ICMP4_PORT, 0, NET_TCP);
	heard(TOW_ECONNREFUSED, true);
	CHECK_MEM(h.error.local.addr.b, address(US4).b, 16);
	CHECK_MEM(h.error.remote.addr.b, address("198.51.100.7").b, 16);
	CHECK_EQ(h.error.local.port, 1234);
	CHECK_EQ(h.error.remote.port, 80);
	CHECK_EQ(h.error.protocol, NET_TCP);
	CHECK(h.error.sequence_known);
	CHECK_EQ(h.error.sequence, 0x01020304);
	CHECK_EQ(h.error.mtu, 0);
	make_error6(ICMP6_UNREACHABLE, ICMP6_PORT, 0, NET_UDP);
	heard(TOW_ECONNREFUSED, true);
	CHECK(!h.error.sequence_known);
	net_host_close(&h);
}

TEST(each_code_has_its_error)
{
	static const struct {
		uint8_t type, code;
		int error;
		bool hard;
	} v4[] = {
		{ 3, 0, TOW_ENETUNREACH, false },
		{ 3, 1, TOW_EHOSTUNREACH, false },
		{ 3, 2, TOW_ECONNREFUSED, true },
		{ 3, 5, TOW_ENETUNREACH, false },
		{ 3, 7, TOW_EHOSTUNREACH, false },
		{ 3, 9, TOW_EACCES, true },
		{ 3, 13, TOW_EACCES, true },
		{ 11, 0, TOW_EHOSTUNREACH, false },
		{ 12, 0, TOW_EOPNOTSUPP, false },
	}, v6[] = {
		{ 1, 0, TOW_ENETUNREACH, false },
		{ 1, 1, TOW_EACCES, true },
		{ 1, 3, TOW_EHOSTUNREACH, false },
		{ 3, 0, TOW_EHOSTUNREACH, false },
		{ 4, 0, TOW_EOPNOTSUPP, false },
		{ 4, 1, TOW_EOPNOTSUPP, true },
	};

	open_and_meet();
	for (unsigned i = 0; i < sizeof(v4) / sizeof(*v4); i++) {
		make_error4(v4[i].type, v4[i].code, 0, NET_TCP);
		heard(v4[i].error, v4[i].hard);
	}
	for (unsigned i = 0; i < sizeof(v6) / sizeof(*v6); i++) {
		make_error6(v6[i].type, v6[i].code, 0, NET_TCP);
		heard(v6[i].error, v6[i].hard);
	}
	net_host_close(&h);
}

/* RFC 1191 4, RFC 8201 */
TEST(too_big_tells_the_mtu)
{
	open_and_meet();
	make_error4(ICMP4_UNREACHABLE, ICMP4_TOO_BIG, 1400, NET_TCP);
	heard(TOW_EMSGSIZE, false);
	CHECK_EQ(h.error.mtu, 1400);
	make_error6(ICMP6_TOO_BIG, 0, 1280, NET_TCP);
	heard(TOW_EMSGSIZE, false);
	CHECK_EQ(h.error.mtu, 1280);
	net_host_close(&h);
}

/* RFC 1191 7.1: routers from before it say 0 */
TEST(too_big_without_mtu_falls_to_the_next_plateau)
{
	open_and_meet();
	make_error4(ICMP4_UNREACHABLE, ICMP4_TOO_BIG, 0, NET_TCP);
	heard(TOW_EMSGSIZE, false);
	CHECK_EQ(h.error.mtu, 1492);
	net_host_close(&h);
}

/* RFC 5927 7.2: an MTU that the packet fits into, or that no link has */
TEST(too_big_with_an_impossible_mtu_is_dropped)
{
	open_and_meet();
	make_error4(ICMP4_UNREACHABLE, ICMP4_TOO_BIG, 1500, NET_TCP);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	make_error4(ICMP4_UNREACHABLE, ICMP4_TOO_BIG, 67, NET_TCP);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	make_error6(ICMP6_TOO_BIG, 0, 1279, NET_TCP);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	make_error6(ICMP6_TOO_BIG, 0, 1500, NET_TCP);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	make_error6(ICMP6_TOO_BIG, 0, 0xffffffff, NET_TCP);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	net_host_close(&h);
}

/* The quotation must hold a packet that we may have sent */
TEST(error_about_a_packet_of_others_is_dropped)
{
	struct tow_addr other = address("192.0.2.66");

	open_and_meet();
	make_error4(ICMP4_UNREACHABLE, ICMP4_PORT, 0, NET_TCP);
	wire_put_addr4(quoted4()->src, &other);
	frame_sum_transport(&f);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_UNMATCHED);
	make_error4(ICMP4_UNREACHABLE, ICMP4_PORT, 0, 89);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_UNMATCHED);
	net_host_close(&h);
}

TEST(error_with_a_broken_quotation_is_dropped)
{
	open_and_meet();
	make_error4(ICMP4_UNREACHABLE, ICMP4_PORT, 0, NET_TCP);
	for (uint32_t whole = f.bytes; f.bytes > whole - 28;) {
		f.bytes--;
		frame_end(&f);
		net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	}
	make_error4(ICMP4_UNREACHABLE, ICMP4_PORT, 0, NET_TCP);
	quoted4()->version_ihl = 0x65;
	frame_sum_transport(&f);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	make_error4(ICMP4_UNREACHABLE, ICMP4_PORT, 0, NET_TCP);
	quoted4()->version_ihl = 0x44;
	frame_sum_transport(&f);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	make_error4(ICMP4_UNREACHABLE, ICMP4_PORT, 0, NET_TCP);
	quoted4()->version_ihl = 0x4f; /* beyond the message */
	frame_sum_transport(&f);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	make_error4(ICMP4_UNREACHABLE, ICMP4_PORT, 0, NET_TCP);
	wire_put16(quoted4()->fragment, 100); /* has no ports */
	frame_sum_transport(&f);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	make_error6(ICMP6_UNREACHABLE, ICMP6_PORT, 0, NET_TCP);
	f.bytes--;
	frame_end(&f);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	net_host_close(&h);
}

TEST(error_with_an_unknown_code_is_dropped)
{
	open_and_meet();
	make_error4(ICMP4_UNREACHABLE, 16, 0, NET_TCP);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	make_error4(ICMP4_TIME_EXCEEDED, 2, 0, NET_TCP);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	make_error6(ICMP6_UNREACHABLE, 99, 0, NET_TCP);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	net_host_close(&h);
}

/*
 * Errors that we send. The test's packet is UDP to a port that nobody has.
 */

static bool unreachable(const char *src, const char *dst)
{
	frame_begin(&f, src, dst, NET_UDP);
	frame_udp(&f, 1000, 9);
	frame_fill(&f, 700);
	frame_end(&f);
	CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
	net_unreachable(&h.net, &h.packet, NET_UNREACHABLE_PORT);
	tow_buf_give(h.packet.buf);
	return net_host_sent(&h) == 1;
}

/* RFC 1122 3.2.2.1, RFC 1812 4.3.2.3: the quotation makes 576 bytes */
TEST(closed_port_is_answered)
{
	open_and_meet();
	CHECK(unreachable(PEER4, US4));
	net_host_read(&h, 0, &answer);
	CHECK_EQ(frame_transport(&answer)[0], ICMP4_UNREACHABLE);
	CHECK_EQ(frame_transport(&answer)[1], ICMP4_PORT);
	CHECK_EQ(answer.bytes - answer.ip, 576);
	CHECK_MEM(frame_transport(&answer) + 8, frame_ip(&f), 576 - 28);
	CHECK(unreachable(PEER6, US6));
	net_host_read(&h, 0, &answer);
	CHECK_EQ(frame_transport(&answer)[0], ICMP6_UNREACHABLE);
	CHECK_EQ(frame_transport(&answer)[1], ICMP6_PORT);
	CHECK_MEM(frame_transport(&answer) + 8, frame_ip(&f), 748);
	net_host_close(&h);
}

/* RFC 1122 3.2.2: "an ICMP error message SHOULD be sent with [...] TOS" of 0 */
TEST(error_has_no_codepoint)
{
	open_and_meet();
	frame_begin(&f, PEER4, US4, NET_UDP);
	frame_ip(&f)[1] = 0xb8;
	frame_udp(&f, 1000, 9);
	frame_end(&f);
	CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
	net_unreachable(&h.net, &h.packet, NET_UNREACHABLE_PORT);
	tow_buf_give(h.packet.buf);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &answer);
	CHECK_EQ(frame_transport(&answer)[0], ICMP4_UNREACHABLE);
	CHECK_EQ(frame_ip(&answer)[1], 0);
	CHECK_EQ(frame_transport(&answer)[8 + 1], 0xb8); /* as received */
	net_host_close(&h);
}

/* RFC 1122 3.2.2, RFC 4443 2.4 (e.3) */
TEST(packet_to_a_group_is_not_answered)
{
	open_and_meet();
	CHECK(!unreachable(PEER4, "192.0.2.255"));
	CHECK(!unreachable(PEER4, "224.0.0.1"));
	CHECK(!unreachable(PEER6, "ff02::1"));
	net_host_close(&h);
}

/* RFC 4443 2.4 (f): SAD DNS counts our answers; so few, and not constant */
TEST(answers_to_one_host_are_limited)
{
	unsigned counts[16] = { 0 }, burst;

	open_and_meet();
	for (int round = 0; round < 60; round++) {
		for (burst = 0; unreachable(PEER4, US4); burst++)
			CHECK_LT(burst, 16);
		counts[burst]++;
		net_host_run(&h, 30000000);
		net_host_meet(&h, PEER4);
	}
	for (burst = 0; burst < 4; burst++)
		CHECK_EQ(counts[burst], 0);
	CHECK_GT(counts[4] + counts[5] + counts[6], 0);
	CHECK_LT(counts[6], 60);
	CHECK_GE(h.net.stats.drops[TOW_DROP_ICMP_LIMIT], 60);
	net_host_close(&h);
}

/* RFC 1812 4.3.2.8: and to all together, however many they pretend to be */
TEST(answers_to_all_are_limited)
{
	unsigned answers = 0;
	char name[40];

	open_and_meet();
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "192.0.2.%u", 2 + i % 250);
		answers += unreachable(name, US4);
	}
	CHECK_GE(answers, 10);
	CHECK_LE(answers, 50 + 128);
	net_host_close(&h);
}

/* Hosts of an IPv6 network are counted as one */
TEST(answers_to_one_ip6_network_are_limited)
{
	char name[40];

	open_and_meet();
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "2001:db8::%x", 0x100 + i);
		unreachable(name, US6);
	}
	CHECK_LE(h.net.stats.counters[TOW_COUNTER_ICMP_OUT], 6 + 128 + 8);
	CHECK_GE(h.net.stats.drops[TOW_DROP_ICMP_LIMIT], 94);
	net_host_close(&h);
}

/* RFC 1122 3.2.2: an error about an error would never end */
TEST(icmp_error_is_never_answered)
{
	open_and_meet();
	make_error4(ICMP4_UNREACHABLE, ICMP4_PORT, 0, 4);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_UNMATCHED);
	make_error6(ICMP6_PARAMETER, 0, 0, 4);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_UNMATCHED);
	net_host_close(&h);
}

/* Out of chunks: the answer is shorter, not missing */
TEST(answer_without_chunks_quotes_less)
{
	uint8_t *chunks[256];
	unsigned n = 0;

	open_and_meet();
	while (h.net.tx_pool.chunks_left > 0)
		chunks[n++] = tow_chunk_take(&h.net.tx_pool);
	CHECK(unreachable(PEER4, US4));
	net_host_read(&h, 0, &answer);
	CHECK_GE(answer.bytes - answer.transport, 8 + 28);
	CHECK_MEM(frame_transport(&answer) + 8, frame_ip(&f), 28);
	while (n > 0)
		tow_chunk_give(&h.net.tx_pool, chunks[--n]);
	net_host_close(&h);
}

/* Out of buffers: nothing is sent, nothing breaks */
TEST(answers_stop_when_buffers_run_out)
{
	struct tow_buf *bufs[256];
	unsigned n = 0;

	open_and_meet();
	while (h.net.tx_pool.bufs_left > 0)
		bufs[n++] = tow_buf_take(&h.net.tx_pool);
	CHECK(!unreachable(PEER4, US4));
	frame_solicit(&f, PEER6, US6, US6, peer_mac);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	frame_arp(&f, 1, peer_mac, PEER4, US4);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_NO_BUFFERS], 3);
	while (n > 0)
		tow_buf_give(bufs[--n]);
	net_host_close(&h);
}
