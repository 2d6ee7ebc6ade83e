/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPv4 as a peer on the link sees it: one test per check of the input path,
 * and the shape of what is sent.
 */
#include <string.h>
#include "net_host.h"
#include "test.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_udp.h"

static struct net_host h;
static struct frame f;

static void begin(void)
{
	net_host_open(&h);
	frame_begin(&f, "192.0.2.2", "192.0.2.1", NET_UDP);
	frame_udp(&f, 1000, 7);
	frame_fill(&f, 10);
	frame_end(&f);
}

static void refused(enum tow_drop why)
{
	net_host_refuses(&h, &f, why);
	net_host_close(&h);
}

TEST(good_packet_is_delivered_with_its_transport_header_first)
{
	begin();
	CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
	CHECK_EQ(h.packet.protocol, NET_UDP);
	CHECK(tow_addr_equal(&h.packet.src, &f.src));
	CHECK(tow_addr_equal(&h.packet.dst, &f.dst));
	CHECK_EQ(h.packet.ttl, 64);
	CHECK_EQ(h.packet.network_bytes, 20);
	CHECK_EQ(h.packet.group, false);
	CHECK_EQ(h.packet.csum_ok, false);
	CHECK_EQ(h.packet.buf->bytes, 18);
	CHECK_MEM(h.packet.buf->spans[0].ptr, frame_transport(&f), 8);
	CHECK_MEM((const uint8_t *)h.packet.buf->spans[0].ptr - 20,
		  frame_ip(&f), 20);
	tow_buf_give(h.packet.buf);
	net_host_close(&h);
}

/* A device that splits anywhere changes nothing but where bytes lie. */
TEST(packet_is_delivered_wherever_the_device_splits_it)
{
	uint8_t got[18];
	unsigned room, fill;

	begin();
	for (room = 0; room <= f.bytes; room++) {
		for (fill = 5; fill <= 2048; fill *= 7) {
			h.fake.room_bytes = room;
			h.fake.chunk_fill = fill;
			CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
			CHECK_EQ(tow_buf_read(h.packet.buf, 0, got, 18), 18);
			CHECK_MEM(got, frame_transport(&f), 18);
			tow_buf_give(h.packet.buf);
		}
	}
	net_host_close(&h);
}

/* RFC 1122 3.2.1.1 */
TEST(version_other_than_4_is_dropped)
{
	begin();
	frame_ip(&f)[0] = 0x55;
	frame_sum_ip(&f);
	refused(TOW_DROP_IP_HEADER);
}

/* RFC 791 3.1: the minimum is 5 words */
TEST(header_below_20_bytes_is_dropped)
{
	begin();
	for (unsigned words = 0; words < 5; words++) {
		frame_ip(&f)[0] = (uint8_t)(0x40 | words);
		net_host_refuses(&h, &f, TOW_DROP_IP_HEADER);
	}
	net_host_close(&h);
}

/* Ripple20: a header length that the frame has not */
TEST(header_beyond_the_frame_is_dropped)
{
	begin();
	frame_ip(&f)[0] = 0x4f;
	refused(TOW_DROP_IP_LENGTH);
}

TEST(frame_cut_off_anywhere_is_dropped_and_never_delivered)
{
	begin();
	for (uint32_t whole = f.bytes; f.bytes > 0;) {
		f.bytes--;
		CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
		CHECK_LT(f.bytes, whole);
	}
	CHECK_EQ(h.net.stats.drops[TOW_DROP_LINK_SHORT], 14);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_IP_HEADER], 20);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_IP_LENGTH], 18);
	net_host_close(&h);
}

/* Ripple20 (CVE-2020-11896): total length above what came */
TEST(total_length_beyond_the_frame_is_dropped)
{
	begin();
	wire_put16(frame_ip(&f) + 2, f.bytes - f.ip + 1);
	frame_sum_ip(&f);
	refused(TOW_DROP_IP_LENGTH);
}

/* Ripple20: total length below the header */
TEST(total_length_below_the_header_is_dropped)
{
	begin();
	for (unsigned total = 0; total < 20; total++) {
		wire_put16(frame_ip(&f) + 2, total);
		frame_sum_ip(&f);
		net_host_refuses(&h, &f, TOW_DROP_IP_LENGTH);
	}
	net_host_close(&h);
}

/* RFC 894: short packets are padded on Ethernet; the padding is not data */
TEST(trailing_bytes_are_trimmed)
{
	begin();
	frame_add(&f, "padding", 7);
	CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
	CHECK_EQ(h.packet.buf->bytes, 18);
	tow_buf_give(h.packet.buf);
	net_host_close(&h);
}

/* RFC 1122 3.2.1.2: MUST verify, and silently discard */
TEST(wrong_header_checksum_is_dropped)
{
	begin();
	for (unsigned bit = 0; bit < 16; bit++) {
		frame_ip(&f)[10 + bit / 8] ^= 1 << bit % 8;
		net_host_refuses(&h, &f, TOW_DROP_IP_CHECKSUM);
		frame_ip(&f)[10 + bit / 8] ^= 1 << bit % 8;
	}
	net_host_accepts(&h, &f);
	net_host_close(&h);
}

/* RFC 1122 3.2.1.3: addresses that cannot be a source; the martians */
TEST(impossible_sources_are_dropped)
{
	static const char *const sources[] = {
		"0.0.0.0",   "0.1.2.3",		"127.0.0.1",
		"127.8.8.8", "224.0.0.1",	"239.1.1.1",
		"240.0.0.1", "255.255.255.255", "192.0.2.255",
	};

	begin();
	for (unsigned i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
		struct tow_addr src = address(sources[i]);

		wire_put_addr4(frame_ip(&f) + 12, &src);
		frame_sum_ip(&f);
		net_host_refuses(&h, &f, TOW_DROP_IP_SOURCE);
	}
	net_host_close(&h);
}

/* LAND (CVE-1999-0016): source and destination are the victim's */
TEST(land_packet_is_dropped)
{
	begin();
	memcpy(frame_ip(&f) + 12, frame_ip(&f) + 16, 4);
	frame_sum_ip(&f);
	refused(TOW_DROP_IP_SOURCE);
}

/* RFC 1122 3.2.1.3 (g): loopback must not appear outside of a host */
TEST(loopback_destination_from_the_wire_is_dropped)
{
	begin();
	memcpy(frame_ip(&f) + 16, "\x7f\0\0\1", 4);
	frame_sum_ip(&f);
	refused(TOW_DROP_IP_DESTINATION);
}

TEST(packet_for_another_host_is_dropped)
{
	begin();
	frame_ip(&f)[19] = 77;
	frame_sum_ip(&f);
	refused(TOW_DROP_IP_DESTINATION);
}

/* RFC 1122 3.3.6: a group's packet is delivered and marked as such */
TEST(broadcast_and_all_hosts_are_delivered_as_group)
{
	static const char *const groups[] = { "255.255.255.255", "192.0.2.255",
					      "224.0.0.1" };

	net_host_open(&h);
	for (unsigned i = 0; i < 3; i++) {
		frame_begin(&f, "192.0.2.2", groups[i], NET_UDP);
		frame_udp(&f, 1, 2);
		frame_end(&f);
		CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
		CHECK(h.packet.group);
		tow_buf_give(h.packet.buf);
	}
	frame_begin(&f, "192.0.2.2", "224.0.0.251", NET_UDP);
	frame_udp(&f, 1, 2);
	frame_end(&f);
	refused(TOW_DROP_IP_DESTINATION);
}

/* RFC 1122 3.3.6: unicast inside of a broadcast frame is a trick */
TEST(unicast_packet_in_broadcast_frame_is_dropped)
{
	begin();
	memset(f.data, 0xff, 6);
	refused(TOW_DROP_IP_DESTINATION);
}

TEST(frame_for_another_station_is_dropped)
{
	begin();
	f.data[5] ^= 1;
	refused(TOW_DROP_LINK_OTHER);
}

TEST(frame_from_a_group_station_is_dropped)
{
	begin();
	f.data[6] |= 1;
	refused(TOW_DROP_LINK_OTHER);
}

TEST(unknown_ethertype_is_dropped)
{
	begin();
	wire_put16(f.data + 12, 0x8100);
	refused(TOW_DROP_LINK_TYPE);
}

static void begin_with_options(const char *options, uint32_t bytes)
{
	frame_begin(&f, "192.0.2.2", "192.0.2.1", NET_UDP);
	frame_ip4_options(&f, options, bytes);
	frame_udp(&f, 1000, 7);
	frame_fill(&f, 10);
	frame_end(&f);
}

/* RFC 1122 3.2.1.7: a TTL of 0 or 1 is no reason to discard what has arrived */
TEST(packet_at_the_end_of_its_time_is_delivered)
{
	net_host_open(&h);
	for (uint8_t ttl = 0; ttl < 2; ttl++) {
		frame_begin(&f, "192.0.2.2", "192.0.2.1", NET_UDP);
		frame_ip(&f)[8] = ttl;
		frame_udp(&f, 1000, 7);
		frame_end(&f);
		net_host_accepts(&h, &f);
		frame_begin(&f, "2001:db8::2", "2001:db8::1", NET_UDP);
		frame_ip(&f)[7] = ttl; /* RFC 8200 3 */
		frame_udp(&f, 1000, 7);
		frame_end(&f);
		net_host_accepts(&h, &f);
	}
	net_host_close(&h);
}

/* RFC 1122 3.2.1.8 (b), 3.2.2: the stream identifier is passed over */
TEST(stream_identifier_is_skipped)
{
	net_host_open(&h);
	begin_with_options("\x88\4\0\1", 4);
	net_host_accepts(&h, &f);
	net_host_close(&h);
}

/* RFC 2474 3: a codepoint that is not known is no reason to "malfunction" */
TEST(every_codepoint_is_delivered)
{
	net_host_open(&h);
	for (unsigned field = 0; field < 256; field++) {
		frame_begin(&f, "192.0.2.2", "192.0.2.1", NET_UDP);
		frame_ip(&f)[1] = (uint8_t)field;
		frame_udp(&f, 1000, 7);
		frame_fill(&f, 10);
		frame_end(&f);
		net_host_accepts(&h, &f);
		frame_begin(&f, "2001:db8::2", "2001:db8::1", NET_UDP);
		wire_put32(frame_ip(&f), 6u << 28 | field << 20);
		frame_udp(&f, 1000, 7);
		frame_fill(&f, 10);
		frame_end(&f);
		net_host_accepts(&h, &f);
	}
	net_host_close(&h);
}

/* RFC 1122 3.2.1.8: options that mean nothing to us are passed over */
TEST(options_are_skipped)
{
	net_host_open(&h);
	begin_with_options("\1\1\1\0", 4);
	net_host_accepts(&h, &f);
	begin_with_options("\x94\4\0\0" /* router alert */, 4);
	net_host_accepts(&h, &f);
	begin_with_options("\0\xff\xff\xff" /* behind the end: anything */, 4);
	net_host_accepts(&h, &f);
	begin_with_options("\7\7\4\0\0\0\0\1", 8); /* record route */
	CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
	CHECK_EQ(h.packet.network_bytes, 28);
	CHECK_EQ(h.packet.buf->bytes, 18);
	tow_buf_give(h.packet.buf);
	net_host_close(&h);
}

/* AMNESIA:33, INFRA:HALT: lengths of 0, 1, and past the header */
TEST(options_with_impossible_lengths_are_dropped)
{
	static const char *const bad[] = {
		"\7\0\0\0",   "\7\1\0\0", "\7\5\0\0",
		"\7\xff\0\0", "\1\1\1\7", /* no room for a length */
	};

	net_host_open(&h);
	for (unsigned i = 0; i < 5; i++) {
		begin_with_options(bad[i], 4);
		net_host_refuses(&h, &f, TOW_DROP_IP_OPTIONS);
	}
	net_host_close(&h);
}

/* RFC 7126 4.3, 4.4: source routes let attackers choose the way back */
TEST(source_routes_are_dropped)
{
	net_host_open(&h);
	begin_with_options("\x83\7\4\1\2\3\4\0", 8);
	net_host_refuses(&h, &f, TOW_DROP_IP_OPTIONS);
	begin_with_options("\x89\7\4\1\2\3\4\0", 8);
	net_host_refuses(&h, &f, TOW_DROP_IP_OPTIONS);
	net_host_close(&h);
}

/* RFC 1122 3.2.2.1: an unknown protocol is answered; Ripple20: 4 is unknown */
TEST(unknown_protocol_is_answered_and_dropped)
{
	static struct frame answer;

	begin();
	net_host_meet(&h, "192.0.2.2");
	frame_ip(&f)[9] = 4;
	frame_sum_ip(&f);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_IP_PROTOCOL], 1);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &answer);
	CHECK_EQ(frame_transport(&answer)[0], ICMP4_UNREACHABLE);
	CHECK_EQ(frame_transport(&answer)[1], ICMP4_PROTOCOL);
	CHECK_MEM(frame_transport(&answer) + 8, frame_ip(&f), 38);
	net_host_close(&h);
}

/* The device verified it, or the bytes never were on a wire */
TEST(device_says_whether_the_checksum_was_verified)
{
	struct tow_buf *buf;

	begin();
	fake_dev_put(&h.fake, f.data, f.bytes, TOW_BUF_CSUM_OK);
	fake_dev_put(&h.fake, f.data, f.bytes, TOW_BUF_CSUM_PARTIAL);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(h.fake.dev.ops->rx(&h.fake.dev, &buf, 1), 1);
		CHECK_EQ(net_receive(&h.net, h.link, buf, &h.packet, &h.error),
			 NET_DELIVER);
		CHECK(h.packet.csum_ok);
		tow_buf_give(buf);
	}
	net_host_close(&h);
}

/* No memory for the payload: what is left is no packet */
TEST(truncated_frame_is_dropped)
{
	struct tow_buf *buf;

	begin();
	fake_dev_put(&h.fake, f.data, f.bytes, TOW_BUF_TRUNCATED);
	CHECK_EQ(h.fake.dev.ops->rx(&h.fake.dev, &buf, 1), 1);
	CHECK_EQ(net_receive(&h.net, h.link, buf, &h.packet, &h.error),
		 NET_DONE);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_LINK_TRUNCATED], 1);
	net_host_close(&h);
}

/*
 * What is sent.
 */

/* RFC 1191 3, RFC 6864 4.1: DF is set, and the ID may be the flow's secret */
TEST(sent_packet_has_df_and_the_id_of_its_flow)
{
	struct wire_ip4 *ip;
	uint16_t id;

	net_host_open(&h);
	net_host_meet(&h, "192.0.2.2");
	CHECK_EQ(net_host_send(&h, "192.0.2.2", 100), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	frame_read(&f, &h.fake.sent[0]);
	ip = (void *)frame_ip(&f);
	CHECK_EQ(wire_get16(ip->fragment), IP4_DF);
	CHECK_EQ(ip->ttl, 64);
	CHECK_EQ(f.bytes, 14 + 20 + 8 + 100);
	CHECK_MEM(f.data, peer_mac, 6);
	CHECK_EQ(h.fake.sent[0].header_bytes, 14 + 20 + 8);
	CHECK_EQ(h.fake.sent[0].csum_start, 14 + 20);
	id = wire_get16(ip->id);
	CHECK_EQ(net_host_send(&h, "192.0.2.2", 10), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_EQ(wire_get16(h.fake.sent[0].data + 14 + 4), id);
	net_host_meet(&h, "192.0.2.3");
	CHECK_EQ(net_host_send(&h, "192.0.2.3", 10), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK(wire_get16(h.fake.sent[0].data + 14 + 4) != id);
	net_host_close(&h);
}

/*
 * RFC 6864 4.1, RFC 7739: an ID that a fragment may need is random; whoever
 * collects them learns nothing about what we send to others (idle scan).
 */
TEST(ids_of_answers_tell_nothing)
{
	uint32_t steps = 0, id, last = 0;

	net_host_open(&h);
	net_host_meet(&h, "192.0.2.2");
	frame_begin(&f, "192.0.2.2", "192.0.2.1", NET_ICMP);
	frame_icmp(&f, ICMP4_ECHO, 0, 0);
	frame_end(&f);
	for (int i = 0; i < 10000; i++) {
		CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
		CHECK_EQ(net_host_sent(&h), 1);
		id = wire_get16(h.fake.sent[0].data + 14 + 4);
		steps += (uint16_t)(id - last + 8) < 17;
		last = id;
	}
	CHECK_LE(steps, 20); /* 2.6 expected */
	net_host_close(&h);
}

/* The payload goes to the device from where it was: two spans, no copy */
TEST(payload_is_not_moved)
{
	struct tow_addr any = tow_addr_any(), to = address("192.0.2.2");
	static const uint8_t payload[500];
	struct net_path path;
	struct tow_buf *buf;

	net_host_open(&h);
	net_host_meet(&h, "192.0.2.2");
	CHECK_EQ(net_path_find(&h.net, &any, &to, 0, &path), 0);
	buf = tow_buf_take(&h.net.tx_pool);
	udp_build((void *)buf_push(buf, 8), 1, 2, 508);
	buf_add_span(buf, payload, sizeof(payload));
	CHECK_EQ(net_send(&h.net, &path, buf, NET_UDP), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_EQ(h.fake.sent[0].span_count, 2);
	CHECK_EQ(h.fake.sent[0].spans[1].ptr, payload);
	CHECK_EQ(h.fake.sent[0].spans[0].len, 42);
	net_host_close(&h);
}

/* RFC 1112 6.1, 6.4: groups resolve themselves; they stay on the link */
TEST(multicast_and_broadcast_need_no_neighbour)
{
	net_host_open(&h);
	CHECK_EQ(net_host_send(&h, "224.0.0.251", 10), 0);
	CHECK_EQ(net_host_send(&h, "192.0.2.255", 10), 0);
	CHECK_EQ(net_host_send(&h, "255.255.255.255", 10), 0);
	CHECK_EQ(net_host_sent(&h), 3);
	CHECK_MEM(h.fake.sent[0].data, "\x01\x00\x5e\x00\x00\xfb", 6);
	CHECK_EQ(h.fake.sent[0].data[14 + 8], 1);
	CHECK_MEM(h.fake.sent[1].data, "\xff\xff\xff\xff\xff\xff", 6);
	CHECK_MEM(h.fake.sent[2].data, "\xff\xff\xff\xff\xff\xff", 6);
	net_host_close(&h);
}
