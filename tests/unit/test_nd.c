/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Neighbour discovery, RFC 4861: each check of 7.1, and the answers of 7.2.
 */
#include <string.h>
#include "net_host.h"
#include "router_frame.h"
#include "test.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip6.h"

#define US    "2001:db8::1"
#define PEER  "2001:db8::2"
#define GROUP "ff02::1:ff00:1"

static struct net_host h;
static struct frame f, answer;
static const uint8_t other_mac[6] = { 2, 0, 0, 0, 0, 9 };

static void receive(void)
{
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
}

static const struct wire_nd *sent_nd(unsigned index)
{
	net_host_read(&h, index, &answer);
	CHECK_EQ(answer.protocol, NET_ICMP6);
	CHECK_EQ(frame_ip(&answer)[7], 255);
	return (const void *)frame_transport(&answer);
}

static bool is_known(const char *peer)
{
	net_host_sent(&h);
	CHECK_EQ(net_host_send(&h, peer, 0), 0);
	if (net_host_sent(&h) != 1)
		return false;
	net_host_read(&h, 0, &answer);
	return answer.protocol == NET_UDP;
}

/* RFC 4861 7.2.4: solicited, override, with the station's address */
TEST(solicitation_is_answered)
{
	const struct wire_nd *nd;

	net_host_open(&h);
	frame_solicit(&f, PEER, GROUP, US, peer_mac);
	receive();
	CHECK_EQ(net_host_sent(&h), 1);
	nd = sent_nd(0);
	CHECK_EQ(nd->type, ICMP6_NEIGHBOUR_ADVERT);
	CHECK_EQ(nd->flags, ND_SOLICITED | ND_OVERRIDE);
	CHECK_MEM(nd->target, address(US).b, 16);
	CHECK_MEM(answer.data, peer_mac, 6);
	CHECK_MEM(answer.dst.b, address(PEER).b, 16);
	CHECK_MEM((const uint8_t *)nd + 24, "\2\1\2\0\0\0\0\1", 8);
	CHECK_EQ(answer.bytes, 14 + 40 + 32);
	net_host_close(&h);
}

/* RFC 4861 7.2.4 last: who asks by unicast without telling is resolved */
TEST(solicitation_without_station_is_answered_after_resolving)
{
	net_host_open(&h);
	frame_solicit(&f, PEER, US, US, NULL);
	receive();
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_EQ(sent_nd(0)->type, ICMP6_NEIGHBOUR_SOLICIT);
	frame_advert(&f, PEER, US, ND_SOLICITED, PEER, peer_mac);
	receive();
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_EQ(sent_nd(0)->type, ICMP6_NEIGHBOUR_ADVERT);
	net_host_close(&h);
}

/* RFC 4862 5.4.3: somebody tests whether our address is free */
TEST(duplicate_address_test_is_answered_to_all)
{
	const struct wire_nd *nd;

	net_host_open(&h);
	frame_solicit(&f, "::", GROUP, US, NULL);
	receive();
	CHECK_EQ(net_host_sent(&h), 1);
	nd = sent_nd(0);
	CHECK_EQ(nd->flags, ND_OVERRIDE);
	CHECK_MEM(answer.dst.b, address("ff02::1").b, 16);
	CHECK_MEM(answer.data, "\x33\x33\0\0\0\1", 6);
	net_host_close(&h);
}

TEST(solicitation_for_another_is_not_answered)
{
	net_host_open(&h);
	frame_solicit(&f, PEER, GROUP, "2001:db8:5::1", peer_mac);
	receive();
	CHECK_EQ(net_host_sent(&h), 0);
	net_host_close(&h);
}

/* RFC 4861 7.1.1 and 7.1.2: what came through a router is not believed */
TEST(hop_limit_below_255_is_dropped)
{
	net_host_open(&h);
	frame_solicit(&f, PEER, GROUP, US, peer_mac);
	frame_ip(&f)[7] = 254;
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	frame_advert(&f, PEER, US, ND_SOLICITED, PEER, peer_mac);
	frame_ip(&f)[7] = 254;
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	net_host_close(&h);
}

/* With a fragment header in front of the message, of so many bytes from there */
static void make_fragment(uint32_t from, uint32_t bytes, bool more)
{
	static struct frame whole;
	uint8_t *ip = frame_ip(&f);

	if (from == 0)
		whole = f;
	memcpy(ip + 40, "\x3a\0\0\0\0\0\0\7", 8);
	ip[43] = (uint8_t)(from | more);
	memcpy(ip + 48, whole.data + whole.transport + from, bytes);
	ip[4] = 0;
	ip[5] = (uint8_t)(8 + bytes);
	ip[6] = IP6_FRAGMENT;
	f.bytes = f.ip + 48 + bytes;
}

/* RFC 6980 5: also what would be a good message without it */
TEST(message_with_a_fragment_header_is_dropped)
{
	net_host_open(&h);
	frame_solicit(&f, PEER, GROUP, US, peer_mac);
	make_fragment(0, 32, false);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	frame_solicit(&f, PEER, GROUP, US, peer_mac);
	make_fragment(0, 24, true);
	receive();
	make_fragment(24, 8, false);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	CHECK_EQ(net_host_sent(&h), 0);
	CHECK(!is_known(PEER));
	frame_advert(&f, PEER, US, ND_SOLICITED | ND_OVERRIDE, PEER, peer_mac);
	make_fragment(0, 32, false);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	CHECK(!is_known(PEER));
	CHECK_EQ(net_autoconf_start(&h.net, 0, NULL), 0);
	advert_begin(&f, "fe80::2", 1800);
	advert_mac(&f, peer_mac);
	frame_end(&f);
	make_fragment(0, 24, false);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	net_host_close(&h);
}

TEST(wrong_checksum_is_dropped)
{
	net_host_open(&h);
	frame_solicit(&f, PEER, GROUP, US, peer_mac);
	frame_transport(&f)[2] ^= 1;
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	net_host_close(&h);
}

TEST(code_other_than_0_is_dropped)
{
	net_host_open(&h);
	frame_solicit(&f, PEER, GROUP, US, peer_mac);
	frame_transport(&f)[1] = 1;
	frame_sum_transport(&f);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	net_host_close(&h);
}

TEST(message_below_24_bytes_is_dropped)
{
	net_host_open(&h);
	frame_solicit(&f, PEER, GROUP, US, NULL);
	f.bytes--;
	frame_end(&f);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	net_host_close(&h);
}

TEST(multicast_or_mapped_target_is_dropped)
{
	net_host_open(&h);
	frame_solicit(&f, PEER, GROUP, "ff02::1", peer_mac);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	frame_advert(&f, PEER, US, ND_SOLICITED, "ff02::1", peer_mac);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	frame_solicit(&f, PEER, GROUP, "192.0.2.1", peer_mac);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	net_host_close(&h);
}

/* 7.1.1: "All included options have a length that is greater than zero" */
TEST(option_without_length_or_beyond_the_message_is_dropped)
{
	static const uint8_t lengths[] = { 0, 2, 255 };

	net_host_open(&h);
	for (unsigned i = 0; i < 3; i++) {
		frame_solicit(&f, PEER, GROUP, US, peer_mac);
		frame_transport(&f)[25] = lengths[i];
		frame_sum_transport(&f);
		net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	}
	frame_solicit(&f, PEER, GROUP, US, peer_mac);
	f.bytes -= 3; /* half an option */
	frame_end(&f);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	net_host_close(&h);
}

/*
 * 4.6, 4.6.1, 9: options that nobody knows, or of other messages, are skipped
 */
TEST(unknown_options_are_skipped)
{
	net_host_open(&h);
	frame_solicit(&f, PEER, GROUP, US, NULL);
	frame_add(&f, "\xfd\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	frame_add(&f, "\2\1\2\0\0\0\0\x63", 8); /* of the target */
	frame_add(&f, "\1\1", 2);
	frame_add(&f, peer_mac, 6);
	frame_end(&f);
	receive();
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_MEM(h.fake.sent[0].data, peer_mac, 6);
	net_host_close(&h);
}

/* 7.1.1: from the unspecified address only to a solicited-node group, and
 * without a source station */
TEST(unspecified_source_has_rules_of_its_own)
{
	net_host_open(&h);
	frame_solicit(&f, "::", US, US, NULL);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	frame_solicit(&f, "::", "ff02::1", US, NULL);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	frame_solicit(&f, "::", GROUP, US, peer_mac);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	net_host_close(&h);
}

/* 7.1.2: an answer to everybody cannot be solicited */
TEST(solicited_advertisement_to_a_group_is_dropped)
{
	net_host_open(&h);
	frame_advert(&f, PEER, "ff02::1", ND_SOLICITED, PEER, peer_mac);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	net_host_close(&h);
}

TEST(station_address_of_a_group_is_dropped)
{
	net_host_open(&h);
	frame_solicit(&f, PEER, GROUP, US, (const uint8_t *)"\1\0\0\0\0\1");
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	net_host_close(&h);
}

/* 7.2.2: to the solicited-node group, from an address of the link */
TEST(packet_waits_for_the_advertisement)
{
	const struct wire_nd *nd;

	net_host_open(&h);
	CHECK_EQ(net_host_send(&h, PEER, 10), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	nd = sent_nd(0);
	CHECK_EQ(nd->type, ICMP6_NEIGHBOUR_SOLICIT);
	CHECK_MEM(nd->target, address(PEER).b, 16);
	CHECK_MEM(answer.data, "\x33\x33\xff\0\0\2", 6);
	CHECK_MEM(answer.dst.b, address("ff02::1:ff00:2").b, 16);
	CHECK_MEM(answer.src.b, address(US).b, 16);
	CHECK_MEM((const uint8_t *)nd + 24, "\1\1\2\0\0\0\0\1", 8);
	frame_advert(&f, PEER, US, ND_SOLICITED, PEER, peer_mac);
	receive();
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_MEM(h.fake.sent[0].data, peer_mac, 6);
	net_host_close(&h);
}

/* RFC 4861 7.2.2: "the packet prompting the solicitation" has its source */
TEST(solicitation_comes_from_where_its_packet_does)
{
	static const char *const ours[] = { US, "2001:db8::77",
					    "fe80::ff:fe00:1" };
	struct tow_addr src, dst = address(PEER), second = address(ours[1]);
	struct net_path path;
	struct tow_buf *buf;

	net_host_open(&h);
	CHECK_EQ(net_addr_add(&h.net, 0, &second, 64), 0);
	for (unsigned i = 0; i < 3; i++) {
		src = address(ours[i]);
		dst.b[15]++;
		CHECK_EQ(net_path_find(&h.net, &src, &dst, 0, &path), 0);
		buf = tow_buf_take(&h.net.tx_pool);
		memset(buf_push(buf, 8), 0, 8);
		net_host_sent(&h);
		CHECK_EQ(net_send(&h.net, &path, buf, NET_UDP), 0);
		CHECK_EQ(net_host_sent(&h), 1);
		CHECK_EQ(sent_nd(0)->type, ICMP6_NEIGHBOUR_SOLICIT);
		CHECK_MEM(answer.src.b, src.b, 16);
	}
	net_host_run(&h, 4000000);
	net_host_close(&h);
}

/* 7.2.5: without the target's station an incomplete entry learns nothing */
TEST(advertisement_without_station_does_not_complete)
{
	net_host_open(&h);
	CHECK_EQ(net_host_send(&h, PEER, 10), 0);
	net_host_sent(&h);
	frame_advert(&f, PEER, US, ND_SOLICITED, PEER, NULL);
	receive();
	CHECK_EQ(net_host_sent(&h), 0);
	net_host_close(&h);
}

TEST(unsolicited_advertisement_makes_no_entry)
{
	net_host_open(&h);
	frame_advert(&f, PEER, "ff02::1", ND_OVERRIDE, PEER, other_mac);
	receive();
	frame_advert(&f, PEER, US, ND_SOLICITED | ND_OVERRIDE, PEER, other_mac);
	receive();
	CHECK(!is_known(PEER));
	net_host_close(&h);
}

/* 7.2.5: without the override flag a known station stays */
TEST(advertisement_without_override_does_not_replace)
{
	net_host_open(&h);
	net_host_meet(&h, PEER);
	frame_advert(&f, PEER, US, 0, PEER, other_mac);
	receive();
	CHECK(is_known(PEER));
	CHECK_MEM(answer.data, peer_mac, 6);
	frame_advert(&f, PEER, "ff02::1", ND_OVERRIDE, PEER, other_mac);
	receive();
	CHECK(is_known(PEER));
	CHECK_MEM(answer.data, other_mac, 6);
	net_host_close(&h);
}

/*
 * A replaced station is not trusted because it says so: it is verified when
 * it is used (7.3.3), and forgotten if it was a lie.
 */
TEST(overridden_station_is_verified)
{
	net_host_open(&h);
	net_host_meet(&h, PEER);
	frame_advert(&f, PEER, US, ND_SOLICITED | ND_OVERRIDE, PEER, other_mac);
	receive();
	CHECK(is_known(PEER));
	net_host_run(&h, 5100000);
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_EQ(sent_nd(0)->type, ICMP6_NEIGHBOUR_SOLICIT);
	CHECK_MEM(answer.data, other_mac, 6);
	CHECK_MEM(answer.dst.b, address(PEER).b, 16);
	net_host_run(&h, 3000000);
	CHECK(!is_known(PEER));
	net_host_close(&h);
}

/* 7.2.2: three multicast solicitations, a second apart */
TEST(silence_is_given_up_after_three_solicitations)
{
	struct tow_buf *buf;

	net_host_open(&h);
	CHECK_EQ(net_host_send(&h, PEER, 0), 0);
	net_host_run(&h, 4000000);
	CHECK_EQ(net_host_sent(&h), 3);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_NEIGH_FAILED], 1);
	buf = net_loop_take(&h.net);
	CHECK(buf);
	CHECK_EQ(net_receive(&h.net, &h.net.loop, buf, &h.packet, &h.error),
		 NET_ERROR);
	CHECK_EQ(h.error.error, TOW_EHOSTUNREACH);
	CHECK_MEM(h.error.remote.addr.b, address(PEER).b, 16);
	net_host_close(&h);
}

/* Router advertisement floods, redirects: not spoken */
TEST(router_messages_and_redirects_are_ignored)
{
	static const uint8_t types[] = { 133, 134, 137 };

	net_host_open(&h);
	for (unsigned i = 0; i < 3; i++) {
		frame_begin(&f, "fe80::2", "ff02::1", NET_ICMP6);
		frame_ip(&f)[7] = 255;
		frame_icmp(&f, types[i], 0, 0);
		frame_fill(&f, 40);
		frame_end(&f);
		net_host_refuses(&h, &f, TOW_DROP_ICMP_IGNORED);
	}
	net_host_close(&h);
}
