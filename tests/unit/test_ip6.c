/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPv6 as a peer on the link sees it: headers, extension headers, addresses.
 */
#include <string.h>
#include "net_host.h"
#include "test.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip6.h"
#include "wire/wire_udp.h"

#define US   "2001:db8::1"
#define PEER "2001:db8::2"

static struct net_host h;
static struct frame f, answer;

static void end_with_udp(void)
{
	frame_udp(&f, 1000, 7);
	frame_fill(&f, 10);
	frame_end(&f);
}

static void begin(void)
{
	net_host_open(&h);
	frame_begin(&f, PEER, US, NET_UDP);
	end_with_udp();
}

static void begin_extension(uint8_t next, const void *data, uint32_t bytes)
{
	frame_begin(&f, PEER, US, next);
	frame_add(&f, data, bytes);
}

static void refused(enum tow_drop why)
{
	net_host_refuses(&h, &f, why);
	net_host_close(&h);
}

/* One ICMPv6 parameter problem came back: its code and pointer */
static void reported(enum tow_drop why, uint8_t code, uint32_t pointer)
{
	uint64_t before = h.net.stats.drops[why];

	net_host_sent(&h);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(h.net.stats.drops[why], before + 1);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &answer);
	CHECK_EQ(answer.protocol, NET_ICMP6);
	CHECK_EQ(frame_transport(&answer)[0], ICMP6_PARAMETER);
	CHECK_EQ(frame_transport(&answer)[1], code);
	CHECK_EQ(wire_get32(frame_transport(&answer) + 4), pointer);
	CHECK_MEM(frame_transport(&answer) + 8, frame_ip(&f), f.bytes - f.ip);
	net_host_run(&h, 10000000); /* the rate limit recovers */
	net_host_meet(&h, PEER);
}

TEST(good_packet_is_delivered)
{
	begin();
	CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
	CHECK_EQ(h.packet.protocol, NET_UDP);
	CHECK_EQ(h.packet.network_bytes, 40);
	CHECK_EQ(h.packet.zone, 0);
	CHECK_EQ(h.packet.buf->bytes, 18);
	tow_buf_give(h.packet.buf);
	net_host_close(&h);
}

TEST(link_local_source_has_a_zone)
{
	net_host_open(&h);
	frame_begin(&f, "fe80::2", HOST_LINK_LOCAL, NET_UDP);
	end_with_udp();
	CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
	CHECK_EQ(h.packet.zone, 1);
	tow_buf_give(h.packet.buf);
	net_host_close(&h);
}

TEST(version_other_than_6_is_dropped)
{
	begin();
	frame_ip(&f)[0] = 0x40;
	refused(TOW_DROP_IP_HEADER);
}

TEST(frame_cut_off_anywhere_is_dropped_and_never_delivered)
{
	begin();
	while (f.bytes > 0) {
		f.bytes--;
		CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	}
	net_host_close(&h);
}

/* RFC 8200 3: payload length beyond the frame */
TEST(payload_length_beyond_the_frame_is_dropped)
{
	begin();
	wire_put16(frame_ip(&f) + 4, 19);
	refused(TOW_DROP_IP_LENGTH);
}

TEST(trailing_bytes_are_trimmed)
{
	begin();
	frame_add(&f, "padding", 7);
	CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
	CHECK_EQ(h.packet.buf->bytes, 18);
	tow_buf_give(h.packet.buf);
	net_host_close(&h);
}

/* RFC 4291 2.5.2, 2.5.3, 2.5.5.2, 2.7: what cannot be a source */
TEST(impossible_sources_are_dropped)
{
	static const char *const sources[] = { "::",	  "::1",
					       "ff02::1", "::ffff:192.0.2.2",
					       US,	  HOST_LINK_LOCAL };

	begin();
	for (unsigned i = 0; i < 6; i++) {
		struct tow_addr src = { { 0 } };

		if (strncmp(sources[i], "::ffff", 6) == 0)
			src = tow_addr_v4(192, 0, 2, 2);
		else
			src = address(sources[i]);
		wire_put_addr6(frame_ip(&f) + 8, &src);
		net_host_refuses(&h, &f, TOW_DROP_IP_SOURCE);
	}
	net_host_close(&h);
}

TEST(impossible_destinations_are_dropped)
{
	struct tow_addr dst;

	begin();
	dst = tow_addr_v4(192, 0, 2, 1); /* ours, but as mapped: a disguise */
	wire_put_addr6(frame_ip(&f) + 24, &dst);
	net_host_refuses(&h, &f, TOW_DROP_IP_DESTINATION);
	dst = address("::1");
	wire_put_addr6(frame_ip(&f) + 24, &dst);
	net_host_refuses(&h, &f, TOW_DROP_IP_DESTINATION);
	dst = address("2001:db8::77");
	wire_put_addr6(frame_ip(&f) + 24, &dst);
	net_host_refuses(&h, &f, TOW_DROP_IP_DESTINATION);
	dst = address("ff02::fb");
	wire_put_addr6(frame_ip(&f) + 24, &dst);
	refused(TOW_DROP_IP_DESTINATION);
}

/* RFC 4291 2.8: all nodes, and the solicited-node group of each address */
TEST(own_groups_are_delivered_as_group)
{
	static const char *const groups[] = { "ff02::1", "ff01::1",
					      "ff02::1:ff00:1" };

	net_host_open(&h);
	for (unsigned i = 0; i < 3; i++) {
		frame_begin(&f, PEER, groups[i], NET_UDP);
		end_with_udp();
		CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
		CHECK(h.packet.group);
		tow_buf_give(h.packet.buf);
	}
	net_host_close(&h);
}

/* RFC 8200 4.1: in any order we must cope with, but hop-by-hop comes first */
TEST(extension_headers_are_walked)
{
	net_host_open(&h);
	begin_extension(IP6_HOP_BY_HOP, "\x3c\0\1\4\0\0\0\0", 8);
	frame_add(&f, "\x2b\0\1\4\0\0\0\0", 8); /* destination options */
	frame_add(&f, "\x3c\0\0\0\0\0\0\0", 8); /* used-up routing */
	frame_add(&f, "\x11\1\1\14\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	end_with_udp();
	CHECK_EQ(net_host_receive(&h, &f), NET_DELIVER);
	CHECK_EQ(h.packet.protocol, NET_UDP);
	CHECK_EQ(h.packet.network_bytes, 80);
	CHECK_MEM(h.packet.buf->spans[0].ptr, frame_transport(&f), 8);
	tow_buf_give(h.packet.buf);
	net_host_close(&h);
}

TEST(extension_headers_are_walked_wherever_the_device_splits)
{
	net_host_open(&h);
	begin_extension(IP6_HOP_BY_HOP, "\x3c\0\1\4\0\0\0\0", 8);
	frame_add(&f, "\x11\1\1\14\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	end_with_udp();
	h.fake.chunk_fill = 11;
	for (h.fake.room_bytes = 0; h.fake.room_bytes < f.bytes;
	     h.fake.room_bytes++)
		net_host_accepts(&h, &f);
	net_host_close(&h);
}

/* RFC 8200 4: hop-by-hop anywhere but first is an unknown next header */
TEST(hop_by_hop_in_second_place_is_reported)
{
	net_host_open(&h);
	net_host_meet(&h, PEER);
	begin_extension(IP6_DESTINATION, "\0\0\1\4\0\0\0\0", 8);
	frame_add(&f, "\x11\0\1\4\0\0\0\0", 8);
	end_with_udp();
	reported(TOW_DROP_IP_PROTOCOL, ICMP6_BAD_NEXT_HEADER, 40);
	net_host_close(&h);
}

/* Ripple20, AMNESIA:33: a header that is longer than the packet */
TEST(extension_header_beyond_the_packet_is_dropped)
{
	net_host_open(&h);
	begin_extension(IP6_DESTINATION, "\x11\4\1\4\0\0\0\0", 8);
	end_with_udp();
	refused(TOW_DROP_IP_EXTENSION);
}

/* An option that is longer than its header, or has no length at all */
TEST(option_beyond_its_header_is_dropped)
{
	net_host_open(&h);
	begin_extension(IP6_HOP_BY_HOP, "\x11\0\1\5\0\0\0\0", 8);
	end_with_udp();
	net_host_refuses(&h, &f, TOW_DROP_IP_EXTENSION);
	begin_extension(IP6_HOP_BY_HOP, "\x11\0\0\0\0\0\0\1", 8);
	end_with_udp();
	refused(TOW_DROP_IP_EXTENSION);
}

/* RFC 8200 4.2: what the two high bits of an unknown option ask for */
TEST(unknown_option_is_handled_as_it_says)
{
	net_host_open(&h);
	net_host_meet(&h, PEER);
	begin_extension(IP6_DESTINATION, "\x11\0\x3f\4\0\0\0\0", 8);
	end_with_udp();
	net_host_accepts(&h, &f);

	begin_extension(IP6_DESTINATION, "\x11\0\x7f\4\0\0\0\0", 8);
	end_with_udp();
	net_host_refuses(&h, &f, TOW_DROP_IP_EXTENSION);

	begin_extension(IP6_DESTINATION, "\x11\0\xbf\4\0\0\0\0", 8);
	end_with_udp();
	reported(TOW_DROP_IP_EXTENSION, ICMP6_BAD_OPTION, 42);
	begin_extension(IP6_DESTINATION, "\x11\0\xff\4\0\0\0\0", 8);
	end_with_udp();
	reported(TOW_DROP_IP_EXTENSION, ICMP6_BAD_OPTION, 42);
	net_host_close(&h);
}

/* The same to a group: 10 is reported, 11 is not */
TEST(unknown_option_to_a_group_is_reported_only_if_it_says_so)
{
	net_host_open(&h);
	net_host_meet(&h, PEER);
	frame_begin(&f, PEER, "ff02::1", IP6_DESTINATION);
	frame_add(&f, "\x11\0\xbf\4\0\0\0\0", 8);
	end_with_udp();
	reported(TOW_DROP_IP_EXTENSION, ICMP6_BAD_OPTION, 42);
	frame_begin(&f, PEER, "ff02::1", IP6_DESTINATION);
	frame_add(&f, "\x11\0\xff\4\0\0\0\0", 8);
	end_with_udp();
	refused(TOW_DROP_IP_EXTENSION);
}

/* RFC 4443 2.4 (e.1): not even if what is wrong is an option in front */
TEST(icmp_error_behind_an_unknown_option_is_not_answered)
{
	net_host_open(&h);
	net_host_meet(&h, PEER);
	begin_extension(IP6_DESTINATION, "\x3c\0\xbf\4\0\0\0\0", 8);
	frame_add(&f, "\x3a\0\1\4\0\0\0\0", 8);
	frame_icmp(&f, ICMP6_UNREACHABLE, 0, 0);
	frame_fill(&f, 60);
	frame_end(&f);
	net_host_refuses(&h, &f, TOW_DROP_IP_EXTENSION);
	frame_transport(&f)[0] = ICMP6_ECHO; /* a query may be answered */
	frame_sum_transport(&f);
	reported(TOW_DROP_IP_EXTENSION, ICMP6_BAD_OPTION, 42);
	net_host_close(&h);
}

/* Jumbograms (RFC 2675) are not spoken: their option is an unknown one */
TEST(jumbo_option_is_reported_as_unknown)
{
	net_host_open(&h);
	net_host_meet(&h, PEER);
	begin_extension(IP6_HOP_BY_HOP, "\x11\0\xc2\4\0\1\0\0", 8);
	end_with_udp();
	reported(TOW_DROP_IP_EXTENSION, ICMP6_BAD_OPTION, 42);
	net_host_close(&h);
}

/* RFC 5095 3: type 0 as any type that nobody knows */
TEST(routing_header_with_segments_left_is_reported)
{
	net_host_open(&h);
	net_host_meet(&h, PEER);
	begin_extension(IP6_ROUTING,
			"\x11\2\0\1\0\0\0\0\x20\1\xd\xb8\0\0\0\0"
			"\0\0\0\0\0\0\0\3",
			24);
	end_with_udp();
	reported(TOW_DROP_IP_EXTENSION, ICMP6_BAD_FIELD, 42);
	net_host_close(&h);
}

/* RFC 6946 */
TEST(atomic_fragment_waits_for_no_other)
{
	net_host_open(&h);
	begin_extension(IP6_FRAGMENT, "\x11\0\0\0\1\2\3\4", 8);
	end_with_udp();
	net_host_accepts(&h, &f);
	net_host_close(&h);
}

/* RFC 8504 5.3: a chain of headers is no way to keep us busy */
TEST(too_many_extension_headers_are_dropped)
{
	net_host_open(&h);
	for (unsigned n = 7; n <= 9; n++) {
		frame_begin(&f, PEER, US, IP6_DESTINATION);
		for (unsigned i = 1; i < n; i++)
			frame_add(&f, "\x3c\0\1\4\0\0\0\0", 8);
		frame_add(&f, "\x11\0\1\4\0\0\0\0", 8);
		end_with_udp();
		if (n <= 8)
			net_host_accepts(&h, &f);
		else
			net_host_refuses(&h, &f, TOW_DROP_IP_EXTENSION);
	}
	net_host_close(&h);
}

/* More than the header room holds: dropped, whatever the packet holds */
TEST(extension_headers_beyond_the_room_are_dropped)
{
	static const uint8_t long_header[512] = { NET_UDP, 63, 1, 255 };

	net_host_open(&h);
	begin_extension(IP6_DESTINATION, long_header, sizeof(long_header));
	end_with_udp();
	refused(TOW_DROP_IP_EXTENSION);
}

/* RFC 8200 4: an unknown transport is answered, RFC 4443 3.4 */
TEST(unknown_next_header_is_reported)
{
	net_host_open(&h);
	net_host_meet(&h, PEER);
	frame_begin(&f, PEER, US, 132);
	frame_fill(&f, 20);
	frame_end(&f);
	reported(TOW_DROP_IP_PROTOCOL, ICMP6_BAD_NEXT_HEADER, 6);
	begin_extension(IP6_DESTINATION, "\x84\0\1\4\0\0\0\0", 8);
	frame_fill(&f, 20);
	frame_end(&f);
	reported(TOW_DROP_IP_PROTOCOL, ICMP6_BAD_NEXT_HEADER, 40);
	net_host_close(&h);
}

/* RFC 8200 4.7 */
TEST(no_next_header_is_dropped_in_silence)
{
	net_host_open(&h);
	frame_begin(&f, PEER, US, IP6_NO_NEXT);
	frame_fill(&f, 20);
	frame_end(&f);
	refused(TOW_DROP_IP_PROTOCOL);
}

/* RFC 4443 2.4 (c): as much of the packet as fits into 1280 bytes */
TEST(error_quotes_up_to_the_minimum_mtu)
{
	net_host_open(&h);
	net_host_meet(&h, PEER);
	frame_begin(&f, PEER, US, 132);
	frame_fill(&f, 1400);
	frame_end(&f);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &answer);
	CHECK_EQ(answer.bytes - answer.ip, 1280);
	CHECK_MEM(frame_transport(&answer) + 8, frame_ip(&f), 1280 - 48);
	net_host_close(&h);
}

/* RFC 6437 3: one label per flow, not 0, and not to be guessed */
TEST(flow_label_is_the_flows)
{
	struct tow_addr any = tow_addr_any(), to = address(PEER);
	struct net_path path;
	uint32_t first = 0, label;

	net_host_open(&h);
	net_host_meet(&h, PEER);
	CHECK_EQ(net_path_find(&h.net, &any, &to, 0, &path), 0);
	for (uint16_t port = 1; port <= 3; port++) {
		struct net_path flow = path;

		for (int i = 0; i < 2; i++) {
			struct tow_buf *buf = tow_buf_take(&h.net.tx_pool);

			udp_build((void *)buf_push(buf, 8), port, 9, 8);
			CHECK_EQ(net_send(&h.net, &flow, buf, NET_UDP), 0);
			CHECK_EQ(net_host_sent(&h), 1);
			label = wire_get32(h.fake.sent[0].data + 14) & 0xfffff;
			CHECK_NE(label, 0);
			if (i == 1)
				CHECK_EQ(label, first);
			else
				CHECK_NE(label, first);
			first = label;
		}
	}
	net_host_close(&h);
}
