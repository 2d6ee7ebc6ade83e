/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ARP and the neighbour cache behind it, through packets.
 */
#include <stdio.h>
#include <string.h>
#include "net_host.h"
#include "test.h"
#include "wire/wire_arp.h"

static struct net_host h;
static struct frame f;
static const uint8_t other_mac[6] = { 2, 0, 0, 0, 0, 9 };

static const struct wire_arp *sent_arp(unsigned index)
{
	CHECK_LT(index, h.fake.sent_count);
	CHECK_EQ(h.fake.sent[index].bytes, 42);
	CHECK_EQ(wire_get16(h.fake.sent[index].data + 12), ETH_ARP);
	return (const void *)(h.fake.sent[index].data + 14);
}

static void asked(const char *sender, const char *target)
{
	frame_arp(&f, ARP_REQUEST, peer_mac, sender, target);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
}

static void answered(const char *sender, const uint8_t *mac)
{
	frame_arp(&f, ARP_REPLY, mac, sender, "192.0.2.1");
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
}

/* How many entries would be found: packets to them leave at once. */
static bool is_known(const char *peer)
{
	bool known;

	net_host_sent(&h);
	CHECK_EQ(net_host_send(&h, peer, 0), 0);
	net_host_sent(&h);
	known = h.fake.sent_count == 1 &&
		wire_get16(h.fake.sent[0].data + 12) == ETH_IP4;
	return known;
}

/* RFC 826: a request for our address is answered to who asked */
TEST(request_for_us_is_answered)
{
	const struct wire_arp *arp;

	net_host_open(&h);
	asked("192.0.2.2", "192.0.2.1");
	CHECK_EQ(net_host_sent(&h), 1);
	arp = sent_arp(0);
	CHECK_MEM(h.fake.sent[0].data, peer_mac, 6);
	CHECK_EQ(wire_get16(arp->operation), ARP_REPLY);
	CHECK_MEM(arp->sender_mac, fake_mac, 6);
	CHECK_MEM(arp->sender, "\300\0\2\1", 4);
	CHECK_MEM(arp->target_mac, peer_mac, 6);
	CHECK_MEM(arp->target, "\300\0\2\2", 4);
	net_host_close(&h);
}

TEST(request_for_another_is_not_answered)
{
	net_host_open(&h);
	asked("192.0.2.2", "192.0.2.77");
	asked("192.0.2.2", "127.0.0.1");
	CHECK_EQ(net_host_sent(&h), 0);
	net_host_close(&h);
}

/* RFC 5227 2.1.1: who probes our address learns that it is taken */
TEST(probe_is_answered_and_teaches_nothing)
{
	net_host_open(&h);
	asked("0.0.0.0", "192.0.2.1");
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_EQ(net_host_send(&h, "192.0.2.2", 0), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_EQ(wire_get16(sent_arp(0)->operation), ARP_REQUEST);
	net_host_close(&h);
}

/* RFC 1122 2.3.2.2: the packet waits, and leaves when the answer comes */
TEST(packet_waits_for_the_answer)
{
	const struct wire_arp *arp;

	net_host_open(&h);
	CHECK_EQ(net_host_send(&h, "192.0.2.2", 10), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	arp = sent_arp(0);
	CHECK_MEM(h.fake.sent[0].data, "\xff\xff\xff\xff\xff\xff", 6);
	CHECK_EQ(wire_get16(arp->operation), ARP_REQUEST);
	CHECK_MEM(arp->sender, "\300\0\2\1", 4);
	CHECK_MEM(arp->target, "\300\0\2\2", 4);
	answered("192.0.2.2", peer_mac);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &f);
	CHECK_MEM(f.data, peer_mac, 6);
	CHECK_EQ(f.bytes, 14 + 20 + 8 + 10);
	net_host_close(&h);
}

/* RFC 1122 2.3.2.1: one request per second, and an end after three */
TEST(silence_is_given_up_after_three_requests)
{
	net_host_open(&h);
	CHECK_EQ(net_host_send(&h, "192.0.2.2", 0), 0);
	CHECK_EQ(net_host_send(&h, "192.0.2.2", 0), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	for (int i = 0; i < 2; i++) {
		net_host_run(&h, 800000);
		CHECK_EQ(net_host_sent(&h), 0);
		net_host_run(&h, 300000);
		CHECK_EQ(net_host_sent(&h), 1);
	}
	CHECK_EQ(h.net.stats.drops[TOW_DROP_NEIGH_FAILED], 0);
	net_host_run(&h, 1100000);
	CHECK_EQ(net_host_sent(&h), 0);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_NEIGH_FAILED], 2);
	net_host_close(&h);
}

/* RFC 4861 7.2.2, and so for ARP: the sender hears of it as of an ICMP error */
TEST(sender_hears_that_the_neighbour_is_silent)
{
	struct tow_buf *buf;

	net_host_open(&h);
	CHECK_EQ(net_host_send(&h, "192.0.2.2", 10), 0);
	net_host_run(&h, 4000000);
	buf = net_loop_take(&h.net);
	CHECK(buf);
	CHECK_EQ(net_receive(&h.net, &h.net.loop, buf, &h.packet, &h.error),
		 NET_ERROR);
	CHECK_EQ(h.error.error, TOW_EHOSTUNREACH);
	CHECK_EQ(h.error.hard, false);
	CHECK_EQ(h.error.protocol, NET_UDP);
	CHECK_EQ(h.error.local.port, 1000);
	CHECK_EQ(h.error.remote.port, 2000);
	net_host_close(&h);
}

/* RFC 4861 7.2.2: a small queue, of which the oldest goes first */
TEST(few_packets_wait_and_the_oldest_goes_first)
{
	struct tow_buf *others[66]; /* that somebody else has, of 128 */

	net_host_open(&h);
	for (unsigned i = 0; i < 66; i++)
		others[i] = tow_buf_take(&h.net.tx_pool);
	for (uint32_t i = 0; i < 7; i++)
		CHECK_EQ(net_host_send(&h, "192.0.2.2", i), 0);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_NEIGH_FULL], 3);
	net_host_sent(&h);
	answered("192.0.2.2", peer_mac);
	CHECK_EQ(net_host_sent(&h), 4);
	for (uint32_t i = 0; i < 4; i++)
		CHECK_EQ(h.fake.sent[i].bytes, 42 + 3 + i);
	for (unsigned i = 0; i < 66; i++)
		tow_buf_give(others[i]);
	net_host_close(&h);
}

/* The same: many connections at once wait, but not with more than half */
TEST(burst_of_packets_waits_while_there_are_buffers)
{
	net_host_open(&h);
	for (uint32_t i = 0; i < 40; i++)
		CHECK_EQ(net_host_send(&h, "192.0.2.2", i), 0);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_NEIGH_FULL], 0);
	for (uint32_t i = 40; i < 100; i++)
		CHECK_EQ(net_host_send(&h, "192.0.2.2", i), 0);
	CHECK_GE(h.net.tx_pool.bufs_left, 63);
	CHECK_LE(h.net.stats.drops[TOW_DROP_NEIGH_FULL], 40);
	net_host_sent(&h);
	answered("192.0.2.2", peer_mac);
	CHECK_EQ(net_host_sent(&h),
		 100 - h.net.stats.drops[TOW_DROP_NEIGH_FULL]);
	CHECK_EQ(h.fake.sent[0].bytes,
		 42 + h.net.stats.drops[TOW_DROP_NEIGH_FULL]);
	net_host_close(&h);
}

/* Poisoning: an answer that nobody asked for makes no entry */
TEST(unsolicited_reply_makes_no_entry)
{
	net_host_open(&h);
	answered("192.0.2.2", other_mac);
	CHECK(!is_known("192.0.2.2"));
	net_host_close(&h);
}

TEST(gratuitous_request_makes_no_entry)
{
	net_host_open(&h);
	asked("192.0.2.2", "192.0.2.2");
	CHECK_EQ(net_host_sent(&h), 0);
	CHECK(!is_known("192.0.2.2"));
	net_host_close(&h);
}

/* RFC 826: a request to us tells where its sender is; we answer it anyway */
TEST(request_to_us_makes_an_entry)
{
	net_host_open(&h);
	asked("192.0.2.2", "192.0.2.1");
	CHECK(is_known("192.0.2.2"));
	net_host_close(&h);
}

TEST(request_from_off_link_makes_no_entry)
{
	struct tow_addr addr = address("198.51.100.9");

	net_host_open(&h);
	asked("198.51.100.9", "192.0.2.1");
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_EQ(net_path_find(&h.net, &(struct tow_addr){ 0 }, &addr, 0,
			       &(struct net_path){ 0 }),
		 TOW_ENETUNREACH);
	net_host_close(&h);
}

/* RFC 826 merge: a known host that moved is found at its new station */
TEST(known_host_is_followed_when_it_moves)
{
	net_host_open(&h);
	net_host_meet(&h, "192.0.2.2");
	frame_arp(&f, ARP_REQUEST, other_mac, "192.0.2.2", "192.0.2.2");
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK(is_known("192.0.2.2"));
	CHECK_MEM(h.fake.sent[0].data, other_mac, 6);
	net_host_close(&h);
}

TEST(malformed_arp_is_dropped)
{
	net_host_open(&h);
	frame_arp(&f, ARP_REQUEST, peer_mac, "192.0.2.2", "192.0.2.1");
	f.bytes--;
	net_host_refuses(&h, &f, TOW_DROP_ARP_BAD);
	frame_arp(&f, 3, peer_mac, "192.0.2.2", "192.0.2.1");
	net_host_refuses(&h, &f, TOW_DROP_ARP_BAD);
	frame_arp(&f, ARP_REQUEST, peer_mac, "192.0.2.2", "192.0.2.1");
	f.data[14 + 4] = 8; /* hardware length */
	net_host_refuses(&h, &f, TOW_DROP_ARP_BAD);
	net_host_close(&h);
}

/* Senders that cannot be: a group, the loopback, a group's station, ours */
TEST(impossible_arp_senders_are_dropped)
{
	static const char *const bad[] = { "255.255.255.255", "192.0.2.255",
					   "224.0.0.1", "127.0.0.1" };

	net_host_open(&h);
	for (unsigned i = 0; i < 4; i++) {
		frame_arp(&f, ARP_REQUEST, peer_mac, bad[i], "192.0.2.1");
		net_host_refuses(&h, &f, TOW_DROP_ARP_BAD);
	}
	frame_arp(&f, ARP_REPLY, peer_mac, "0.0.0.0", "192.0.2.1");
	net_host_refuses(&h, &f, TOW_DROP_ARP_BAD);
	frame_arp(&f, ARP_REQUEST, peer_mac, "192.0.2.2", "192.0.2.1");
	memset(f.data + 14 + 8, 0xff, 6);
	net_host_refuses(&h, &f, TOW_DROP_ARP_BAD);
	frame_arp(&f, ARP_REQUEST, fake_mac, "192.0.2.2", "192.0.2.1");
	memcpy(f.data + 6, peer_mac, 6);
	net_host_refuses(&h, &f, TOW_DROP_ARP_BAD);
	net_host_close(&h);
}

/* RFC 4861 7.3: used after a while, then verified at the station we know */
TEST(stale_entry_is_probed_by_unicast_and_dropped_in_silence)
{
	net_host_open(&h);
	net_host_meet(&h, "192.0.2.2");
	CHECK(is_known("192.0.2.2")); /* STALE: used, so DELAY */
	net_host_run(&h, 4900000);
	CHECK_EQ(net_host_sent(&h), 0);
	net_host_run(&h, 200000);
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_MEM(h.fake.sent[0].data, peer_mac, 6);
	CHECK_EQ(wire_get16(sent_arp(0)->operation), ARP_REQUEST);
	CHECK(is_known("192.0.2.2")); /* still used while in doubt */
	net_host_run(&h, 3100000);
	CHECK_EQ(net_host_sent(&h), 2);
	CHECK(!is_known("192.0.2.2"));
	net_host_close(&h);
}

TEST(answer_to_the_probe_keeps_the_entry)
{
	net_host_open(&h);
	net_host_meet(&h, "192.0.2.2");
	CHECK(is_known("192.0.2.2"));
	net_host_run(&h, 5100000);
	CHECK_EQ(net_host_sent(&h), 1);
	answered("192.0.2.2", peer_mac);
	net_host_run(&h, 10000000);
	CHECK_EQ(net_host_sent(&h), 0);
	CHECK(is_known("192.0.2.2"));
	net_host_close(&h);
}

/* RFC 4861 7.3.1: a connection that makes progress saves the questions */
TEST(transport_vouches_for_the_neighbour)
{
	struct tow_addr any = tow_addr_any(), to = address("192.0.2.2");
	struct net_path path;

	net_host_open(&h);
	net_host_meet(&h, "192.0.2.2");
	CHECK_EQ(net_path_find(&h.net, &any, &to, 0, &path), 0);
	for (int i = 0; i < 40; i++) {
		struct tow_buf *buf = tow_buf_take(&h.net.tx_pool);

		memset(buf_push(buf, 8), 0, 8);
		CHECK_EQ(net_send(&h.net, &path, buf, NET_UDP), 0);
		net_confirm(&h.net, &path);
		net_host_run(&h, 3000000);
		CHECK_EQ(net_host_sent(&h), 1);
		CHECK_EQ(wire_get16(h.fake.sent[0].data + 12), ETH_IP4);
	}
	net_host_close(&h);
}

/*
 * A million addresses to answer to: memory stays, the rate of questions to
 * everybody stays, and the host that we talk to stays.
 */
TEST(flood_of_targets_is_limited_and_evicts_no_friend)
{
	char name[32];
	uint64_t asked_all = 0;

	net_host_open(&h);
	CHECK_EQ(net_host_send(&h, "192.0.2.2", 0), 0);
	net_host_sent(&h);
	answered("192.0.2.2", peer_mac); /* solicited: REACHABLE */
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "192.0.2.%u", 10 + i % 240);
		CHECK_EQ(net_host_send(&h, name, 0), 0);
		if (i % 32 == 0)
			asked_all += net_host_sent(&h);
	}
	asked_all += net_host_sent(&h);
	CHECK_LE(asked_all, 128);
	CHECK(is_known("192.0.2.2"));
	net_host_close(&h);
}

TEST(flood_of_requests_evicts_no_friend)
{
	char name[32];

	net_host_open(&h);
	CHECK_EQ(net_host_send(&h, "192.0.2.2", 0), 0);
	net_host_sent(&h);
	answered("192.0.2.2", peer_mac);
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "192.0.2.%u", 10 + i % 240);
		asked(name, "192.0.2.1");
		net_host_sent(&h);
	}
	CHECK(is_known("192.0.2.2"));
	net_host_close(&h);
}

/* Many real neighbours: the least recently used goes, and comes back */
TEST(least_recently_used_neighbour_is_evicted)
{
	char name[32];

	net_host_open(&h); /* 16 entries */
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "192.0.2.%u", 10 + i);
		CHECK_EQ(net_host_send(&h, name, 0), 0);
		answered(name, peer_mac);
		net_host_sent(&h);
	}
	CHECK(is_known("192.0.2.29"));
	CHECK(!is_known("192.0.2.10"));
	net_host_close(&h);
}
