/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes on the wire: byte order, and what the fields of headers mean.
 */
#include <string.h>
#include "frame.h"
#include "test.h"
#include "wire/wire_arp.h"
#include "wire/wire_icmp.h"
#include "wire/wire_igmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"
#include "wire/wire_tcp.h"
#include "wire/wire_udp.h"

TEST(numbers_are_big_endian)
{
	uint8_t bytes[4];

	wire_put32(bytes, 0x01020304);
	CHECK_MEM(bytes, "\1\2\3\4", 4);
	CHECK_EQ(wire_get32(bytes), 0x01020304);
	CHECK_EQ(wire_get16(bytes + 1), 0x0203);
	wire_put16(bytes, 0xfffe);
	CHECK_MEM(bytes, "\377\376\3\4", 4);
	wire_put32(bytes, 0xffffffff);
	CHECK_EQ(wire_get32(bytes), 0xffffffff);
}

/* RFC 791 A, example 1: the header that the RFC draws, with its checksum */
TEST(ip4_header_is_as_drawn)
{
	struct tow_addr src = address("10.1.2.3"), dst = address("10.4.5.6");
	struct wire_ip4 ip;

	ip4_build(&ip, 0, 21, 111, 0, 123, 1, &src, &dst);
	CHECK_MEM(&ip, "\x45\x00\x00\x15\x00\x6f\x00\x00\x7b\x01", 10);
	CHECK_MEM(ip.src, "\x0a\x01\x02\x03\x0a\x04\x05\x06", 8);
	CHECK_EQ(csum_finish(csum_bytes(0, &ip, sizeof(ip))), 0);
	CHECK_EQ(ip4_version(&ip), 4);
	CHECK_EQ(ip4_header_bytes(&ip), 20);
	CHECK(!ip4_is_fragment(&ip));
}

/* RFC 791 3.1: more fragments, or an offset; DF alone is none */
TEST(ip4_fragment_is_by_flag_or_offset)
{
	struct wire_ip4 ip = { 0 };

	wire_put16(ip.fragment, IP4_DF);
	CHECK(!ip4_is_fragment(&ip));
	wire_put16(ip.fragment, IP4_MF);
	CHECK(ip4_is_fragment(&ip));
	wire_put16(ip.fragment, IP4_DF | 1);
	CHECK(ip4_is_fragment(&ip));
}

/* RFC 8200 3: version, traffic class, flow label share four bytes */
TEST(ip6_first_word_has_three_fields)
{
	struct tow_addr src = address("2001:db8::1"), dst = address("::1");
	struct wire_ip6 ip;

	ip6_build(&ip, 0xb9, 0xfabcde, 1000, 6, 64, &src, &dst);
	CHECK_MEM(&ip, "\x6b\x9a\xbc\xde\x03\xe8\x06\x40", 8);
	CHECK_EQ(ip6_version(&ip), 6);
	CHECK_EQ(ip6_traffic_class(&ip), 0xb9);
}

/* RFC 6946: offset 0 and no more fragments; reserved bits do not matter */
TEST(ip6_fragment_is_atomic_without_offset_and_more)
{
	struct wire_ip6_fragment fragment = { 0 };

	CHECK(ip6_is_atomic(&fragment));
	wire_put16(fragment.offset, 6);
	CHECK(ip6_is_atomic(&fragment));
	wire_put16(fragment.offset, 1);
	CHECK(!ip6_is_atomic(&fragment));
	wire_put16(fragment.offset, 8);
	CHECK(!ip6_is_atomic(&fragment));
}

/* RFC 4291 2.7.1, the RFC's own example */
TEST(solicited_node_group_has_the_low_bits)
{
	struct tow_addr of = address("4037::1:800:200e:8c6c");
	struct tow_addr group = ip6_solicited_node(&of);
	struct tow_addr want = address("ff02::1:ff0e:8c6c");

	CHECK(tow_addr_equal(&group, &want));
}

/* RFC 1112 6.4, RFC 2464 7: groups have stations' addresses made of theirs */
TEST(groups_map_to_station_addresses)
{
	struct tow_addr v4 = address("239.255.1.2"), v6 = address("ff02::1");
	uint8_t mac[6];

	eth_group4(mac, &v4);
	CHECK_MEM(mac, "\x01\x00\x5e\x7f\x01\x02", 6);
	CHECK(eth_is_group(mac));
	eth_group6(mac, &v6);
	CHECK_MEM(mac, "\x33\x33\x00\x00\x00\x01", 6);
	eth_broadcast(mac);
	CHECK(eth_is_group(mac) && !eth_is_unicast(mac));
	CHECK(!eth_is_unicast((const uint8_t *)"\0\0\0\0\0\0"));
}

/* RFC 6890: what kind an address is, at the edges of its block */
TEST(address_blocks_end_where_they_should)
{
	struct tow_addr a;

	a = address("127.255.255.255");
	CHECK(ip4_is_loopback(&a));
	a = address("128.0.0.0");
	CHECK(!ip4_is_loopback(&a));
	a = address("223.255.255.255");
	CHECK(!ip4_is_multicast(&a));
	a = address("224.0.0.0");
	CHECK(ip4_is_multicast(&a) && !ip4_is_all_hosts(&a));
	a = address("239.255.255.255");
	CHECK(ip4_is_multicast(&a) && !ip4_is_reserved(&a));
	a = address("240.0.0.0");
	CHECK(!ip4_is_multicast(&a) && ip4_is_reserved(&a));
	a = address("febf::");
	CHECK(ip6_is_link_local(&a));
	a = address("fec0::");
	CHECK(!ip6_is_link_local(&a));
	a = address("ff05::1");
	CHECK(ip6_is_multicast(&a) && !ip6_is_all_nodes(&a));
	a = address("ff02::1");
	CHECK(ip6_is_all_nodes(&a));
	a = address("::1");
	CHECK(ip6_is_loopback(&a));
	a = address("::2");
	CHECK(!ip6_is_loopback(&a));
}

/* RFC 826: about other hardware or protocols we say nothing */
TEST(arp_is_understood_for_ip4_over_ethernet_only)
{
	struct wire_arp arp;

	arp_build(&arp, ARP_REQUEST);
	CHECK(arp_is_understood(&arp));
	arp.hardware[1] = 6;
	CHECK(!arp_is_understood(&arp));
	arp_build(&arp, 3);
	CHECK(!arp_is_understood(&arp));
	arp_build(&arp, ARP_REPLY);
	arp.protocol_bytes = 16;
	CHECK(!arp_is_understood(&arp));
	arp_build(&arp, ARP_REPLY);
	arp.hardware_bytes = 0;
	CHECK(!arp_is_understood(&arp));
}

/* RFC 3376 4.1.1, RFC 3810 5.1.3 */
TEST(codes_above_their_threshold_are_floats)
{
	CHECK_EQ(igmp_code(0), 0);
	CHECK_EQ(igmp_code(127), 127);
	CHECK_EQ(igmp_code(128), 16 << 3);
	CHECK_EQ(igmp_code(0x8f), 31 << 3);
	CHECK_EQ(igmp_code(255), 31 << 10);
	CHECK_EQ(mld_code(32767), 32767);
	CHECK_EQ(mld_code(32768), 0x1000 << 3);
	CHECK_EQ(mld_code(65535), 0x1fff << 10);
}

/* RFC 2385 3.0, RFC 5925 2.2, where the MAC is filled in and found again */
TEST(tcp_signature_stands_in_front_of_other_options)
{
	struct wire_tcp h = { .flags = TH_ACK, .has_timestamps = true };
	uint8_t out[TCP_HEADER_BYTES + TCP_OPTION_BYTES_MAX];
	struct wire_tcp again;

	CHECK_EQ(wire_tcp_length(&h), 32u);
	h.signature = SIGNATURE_MD5;
	CHECK_EQ(wire_tcp_length(&h), 32u + TCP_MD5_BYTES_TAKEN);
	wire_tcp_build(&h, out);
	CHECK(wire_tcp_parse(&again, out, sizeof(out)));
	CHECK_EQ(again.signature, SIGNATURE_MD5);
	CHECK_EQ(again.signature_at + 2, TCP_SIGNATURE_AT);
	CHECK(again.has_timestamps);
	h.signature = SIGNATURE_AO;
	h.key_id = 61;
	h.rnext_key_id = 84;
	CHECK_EQ(wire_tcp_length(&h), 32u + TCP_AO_BYTES_TAKEN);
	wire_tcp_build(&h, out);
	CHECK(wire_tcp_parse(&again, out, sizeof(out)));
	CHECK_EQ(again.signature, SIGNATURE_AO);
	CHECK_EQ(again.signature_at + 4, TCP_SIGNATURE_AT);
	CHECK_EQ(again.key_id, 61);
	CHECK_EQ(again.rnext_key_id, 84);
	CHECK(again.has_timestamps);
}
