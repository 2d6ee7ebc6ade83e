/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses that are checked before they are ours: duplicate address detection
 * for IPv6 (RFC 4862 5.4, RFC 7527), conflict detection for IPv4 (RFC 5227).
 */
#include <stdio.h>
#include <string.h>
#include "net_host.h"
#include "test.h"
#include "wire/wire_arp.h"
#include "wire/wire_icmp.h"
#include "wire/wire_igmp.h"
#include "wire/wire_ip6.h"

#define NEW4  "192.0.2.77"
#define NEW6  "2001:db8::77"
#define GROUP "ff02::1:ff00:77"

#define S 1000000ull

static struct net_host h;
static struct frame f, sent;
static const uint8_t other_mac[6] = { 2, 0, 0, 0, 0, 9 };

static int claim(const char *text)
{
	struct tow_addr addr = address(text);

	return net_addr_claim(&h.net, 0, &addr,
			      tow_addr_is_v4(&addr) ? 24 : 64);
}

static struct tow_addr_info info(const char *text)
{
	struct tow_addr_info all[16], none = { .state = 0 };
	struct tow_addr addr = address(text);
	int count = net_addr_list(&h.net, 0, all, 16);

	for (int i = 0; i < count; i++)
		if (tow_addr_equal(&all[i].addr, &addr))
			return all[i];
	return none;
}

static bool is_ours(const char *text)
{
	struct tow_addr addr = address(text);

	return net_is_local(&h.net, &addr);
}

static const struct wire_arp *sent_arp(unsigned index)
{
	net_host_read(&h, index, &sent);
	CHECK_EQ(sent.data[12], 8);
	CHECK_EQ(sent.data[13], 6);
	return (const void *)(sent.data + 14);
}

static const struct wire_nd *sent_nd(unsigned index)
{
	net_host_read(&h, index, &sent);
	CHECK_EQ(sent.protocol, NET_ICMP6);
	return (const void *)frame_transport(&sent);
}

static void conflict(void)
{
	uint64_t before = h.net.stats.drops[TOW_DROP_ADDR_CONFLICT];

	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_ADDR_CONFLICT], before + 1);
}

/* RFC 5227 2.1.1, 2.3: three probes from nobody, then two announcements */
TEST(ipv4_address_is_probed_then_announced)
{
	static const uint8_t unknown[6];

	net_host_open(&h);
	CHECK_EQ(claim(NEW4), 0);
	CHECK_EQ(info(NEW4).state, TOW_ADDR_TENTATIVE);
	net_host_run(&h, 1 * S + 2 * 2 * S);
	CHECK_EQ(net_host_sent(&h), 3);
	for (unsigned i = 0; i < 3; i++) {
		const struct wire_arp *arp = sent_arp(i);

		CHECK_EQ(wire_get16(arp->operation), ARP_REQUEST);
		CHECK_EQ(wire_get32(arp->sender), 0);
		CHECK_MEM(arp->sender_mac, fake_mac, 6);
		CHECK_MEM(arp->target_mac, unknown, 6);
		CHECK_MEM(arp->target, address(NEW4).b + 12, 4);
		CHECK_EQ(sent.data[0], 0xff);
	}
	CHECK(!is_ours(NEW4));
	net_host_run(&h, 2 * S);
	CHECK(is_ours(NEW4));
	net_host_run(&h, 2 * S);
	CHECK_EQ(net_host_sent(&h), 2);
	for (unsigned i = 0; i < 2; i++) {
		const struct wire_arp *arp = sent_arp(i);

		CHECK_EQ(wire_get16(arp->operation), ARP_REQUEST);
		CHECK_MEM(arp->sender, address(NEW4).b + 12, 4);
		CHECK_MEM(arp->target, address(NEW4).b + 12, 4);
		CHECK_EQ(sent.data[0], 0xff);
	}
	CHECK_EQ(info(NEW4).state, TOW_ADDR_PREFERRED);
	CHECK(net_addrs_changed(&h.net, 0));
	CHECK(!net_addrs_changed(&h.net, 0));
	net_host_run(&h, 60 * S);
	CHECK_EQ(net_host_sent(&h), 0);
	net_host_close(&h);
}

/* RFC 5227 2.1.1: any packet of another sender with the address is a conflict
 */
TEST(ipv4_address_in_use_is_refused)
{
	net_host_open(&h);
	CHECK_EQ(claim(NEW4), 0);
	net_host_run(&h, 2 * S);
	net_host_sent(&h);
	frame_arp(&f, ARP_REPLY, other_mac, NEW4, "0.0.0.0");
	conflict();
	CHECK_EQ(info(NEW4).state, TOW_ADDR_DUPLICATE);
	net_host_run(&h, 60 * S);
	CHECK_EQ(net_host_sent(&h), 0);
	CHECK(!is_ours(NEW4));
	CHECK_EQ(claim(NEW4), TOW_EEXIST);
	net_host_close(&h);
}

/* RFC 5227 2.1.1: "another host's probe for the same address" */
TEST(two_probers_of_an_ipv4_address_both_yield)
{
	net_host_open(&h);
	CHECK_EQ(claim(NEW4), 0);
	net_host_run(&h, 2 * S);
	frame_arp(&f, ARP_REQUEST, other_mac, "0.0.0.0", NEW4);
	conflict();
	CHECK_EQ(info(NEW4).state, TOW_ADDR_DUPLICATE);
	net_host_close(&h);
}

/* RFC 5227 2.1.1: our own probe that the network sends back is no conflict */
TEST(own_arp_probe_that_comes_back_is_no_conflict)
{
	net_host_open(&h);
	CHECK_EQ(claim(NEW4), 0);
	net_host_run(&h, 2 * S);
	frame_arp(&f, ARP_REQUEST, fake_mac, "0.0.0.0", NEW4);
	net_host_refuses(&h, &f, TOW_DROP_ARP_BAD);
	net_host_run(&h, 8 * S);
	CHECK(is_ours(NEW4));
	net_host_close(&h);
}

/* RFC 5227 2.4 (c): a static address is defended once in ten seconds */
TEST(static_ipv4_address_is_defended_and_kept)
{
	net_host_open(&h);
	net_host_sent(&h);
	frame_arp(&f, ARP_REQUEST, other_mac, "192.0.2.1", "192.0.2.9");
	for (unsigned i = 0; i < 100; i++)
		conflict();
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_MEM(sent_arp(0)->sender, address("192.0.2.1").b + 12, 4);
	CHECK_EQ(h.net.stats.counters[TOW_COUNTER_ADDR_CONFLICTS], 100);
	CHECK(is_ours("192.0.2.1"));
	net_host_run(&h, 10 * S);
	conflict();
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK(is_ours("192.0.2.1"));
	net_host_close(&h);
}

/* RFC 826, RFC 5227: whoever has our address teaches us nothing */
TEST(conflicting_arp_teaches_nothing)
{
	net_host_open(&h);
	frame_arp(&f, ARP_REQUEST, other_mac, "192.0.2.1", "192.0.2.1");
	conflict();
	CHECK_EQ(net_host_send(&h, "192.0.2.1", 0), 0);
	CHECK_EQ(h.net.loop_count, 1); /* still ourselves */
	net_host_close(&h);
}

/* RFC 4862 5.4.2, RFC 7527 4.1: from nobody, to the group, with a nonce */
TEST(ipv6_address_is_solicited_once_before_use)
{
	const struct wire_nd_nonce *nonce;
	const struct wire_nd *nd;

	net_host_open(&h);
	net_host_sent(&h);
	CHECK_EQ(claim(NEW6), 0);
	net_host_run(&h, 1 * S);
	CHECK_EQ(net_host_sent_but_reports(&h), 1);
	nd = sent_nd(0);
	CHECK_EQ(nd->type, ICMP6_NEIGHBOUR_SOLICIT);
	CHECK_EQ(frame_ip(&sent)[7], 255);
	CHECK_MEM(nd->target, address(NEW6).b, 16);
	CHECK_MEM(sent.src.b, address("::").b, 16);
	CHECK_MEM(sent.dst.b, address(GROUP).b, 16);
	nonce = (const void *)(nd + 1);
	CHECK_EQ(nonce->type, ND_NONCE);
	CHECK_EQ(nonce->units, 1);
	CHECK_EQ(sent.bytes, 14 + 40 + 32);
	CHECK(!is_ours(NEW6));
	net_host_run(&h, 1 * S);
	CHECK(is_ours(NEW6));
	CHECK_EQ(info(NEW6).state, TOW_ADDR_PREFERRED);
	CHECK_EQ(net_host_sent_but_reports(&h), 0);
	net_host_close(&h);
}

/* The only record of the @index-th frame, a report: its group and type. */
static enum group_record_type sent_record(unsigned index, const char *src)
{
	const struct wire_group_record *record;

	net_host_read(&h, index, &sent);
	CHECK_MEM(sent.dst.b, address("ff02::16").b, 16);
	CHECK_MEM(sent.src.b, address(src).b, 16);
	CHECK_EQ(frame_transport(&sent)[0], MLD_REPORT_V2);
	CHECK_EQ(wire_get16(frame_transport(&sent) + 6), 1);
	record = (const void *)(frame_transport(&sent) + 8);
	CHECK_EQ(wire_get16(record->sources), 0);
	CHECK_MEM(record + 1, address(GROUP).b, 16);
	return record->type;
}

/*
 * RFC 4861 7.2.1, RFC 4862 5.4.2: in front of the question, so that switches
 * let the others' questions through; and again, like any other (RFC 3810 6.1)
 */
TEST(solicited_node_group_is_told_before_the_address_is_asked_for)
{
	struct tow_addr addr = address(NEW6);
	unsigned reports = 1;

	net_host_open(&h);
	CHECK_EQ(claim(NEW6), 0);
	CHECK_EQ(net_host_sent(&h), 0);
	for (unsigned i = 0; i < 10 && net_host_sent(&h) == 0; i++)
		net_host_run(&h, S / 10);
	CHECK_EQ(h.seen, 2);
	CHECK_EQ(sent_record(0, HOST_LINK_LOCAL), GROUP_TO_EXCLUDE);
	CHECK_EQ(sent_nd(1)->type, ICMP6_NEIGHBOUR_SOLICIT);
	net_host_run(&h, 2 * S);
	reports += net_host_sent(&h);
	CHECK_EQ(reports, 2);
	CHECK_EQ(sent_record(0, HOST_LINK_LOCAL), GROUP_TO_EXCLUDE);
	CHECK_EQ(net_addr_remove(&h.net, 0, &addr), 0);
	net_host_run(&h, S / 10);
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_EQ(sent_record(0, HOST_LINK_LOCAL), GROUP_TO_INCLUDE);
	net_host_close(&h);
}

/* Of two addresses in one group the last to go ends it; a refused one goes */
TEST(solicited_node_group_is_left_with_its_last_address)
{
	struct tow_addr second = address("2001:db8:5::77");

	net_host_open(&h);
	CHECK_EQ(net_addr_add(&h.net, 0, &second, 64), 0);
	net_host_run(&h, 2 * S);
	CHECK_EQ(net_host_sent(&h), 2);
	CHECK_EQ(sent_record(1, HOST_LINK_LOCAL), GROUP_TO_EXCLUDE);
	CHECK_EQ(claim(NEW6), 0);
	net_host_run(&h, 3 * S);
	CHECK(is_ours(NEW6));
	CHECK_EQ(net_host_sent(&h), 1); /* the question */
	CHECK_EQ(sent_nd(0)->type, ICMP6_NEIGHBOUR_SOLICIT);
	CHECK_EQ(net_addr_remove(&h.net, 0, &second), 0);
	net_host_run(&h, 2 * S);
	CHECK_EQ(net_host_sent(&h), 0);
	second = address(NEW6);
	CHECK_EQ(net_addr_remove(&h.net, 0, &second), 0);
	CHECK_EQ(claim(NEW6), 0);
	net_host_run(&h, 1 * S);
	net_host_sent(&h);
	frame_advert(&f, NEW6, "ff02::1", ND_OVERRIDE, NEW6, other_mac);
	conflict();
	net_host_run(&h, 3 * S);
	CHECK_EQ(net_host_sent(&h), 2);
	CHECK_EQ(sent_record(1, HOST_LINK_LOCAL), GROUP_TO_INCLUDE);
	net_host_close(&h);
}

/* RFC 3590 4: told from nowhere first, and anew when there is an address */
TEST(groups_are_told_again_from_the_link_local_address)
{
	static const char link_local[] = "fe80::77";
	struct tow_addr before = address(HOST_LINK_LOCAL);
	unsigned count;

	net_host_open(&h);
	CHECK_EQ(net_addr_remove(&h.net, 0, &before), 0);
	before = address("2001:db8::1");
	CHECK_EQ(net_addr_remove(&h.net, 0, &before), 0);
	net_host_run(&h, 3 * S);
	net_host_sent(&h);
	CHECK_EQ(claim(link_local), 0);
	for (unsigned i = 0; i < 10 && net_host_sent(&h) == 0; i++)
		net_host_run(&h, S / 10);
	CHECK_EQ(sent_record(0, "::"), GROUP_TO_EXCLUDE);
	while (info(link_local).state == TOW_ADDR_TENTATIVE) {
		net_host_sent(&h);
		net_host_run(&h, S / 10);
	}
	net_host_sent(&h);
	net_host_run(&h, 2 * S);
	count = net_host_sent(&h);
	CHECK_GE(count, 1);
	CHECK_EQ(sent_record(count - 1, link_local), GROUP_TO_EXCLUDE);
	net_host_close(&h);
}

/* RFC 4862 5.4.3, 5.4.5 */
TEST(ipv6_address_that_somebody_answers_for_is_refused)
{
	net_host_open(&h);
	CHECK_EQ(claim(NEW6), 0);
	net_host_run(&h, 1 * S);
	frame_advert(&f, NEW6, "ff02::1", ND_OVERRIDE, NEW6, other_mac);
	conflict();
	CHECK_EQ(info(NEW6).state, TOW_ADDR_DUPLICATE);
	net_host_run(&h, 10 * S);
	CHECK(!is_ours(NEW6));
	net_host_close(&h);
}

/* RFC 4862 5.4.3: another one tests the same address */
TEST(ipv6_address_that_another_one_tests_is_refused)
{
	net_host_open(&h);
	CHECK_EQ(claim(NEW6), 0);
	net_host_run(&h, 1 * S);
	frame_solicit(&f, "::", GROUP, NEW6, NULL);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(info(NEW6).state, TOW_ADDR_DUPLICATE);
	net_host_close(&h);
}

/* RFC 4862 5.4.2: "during the delay period", too */
TEST(ipv6_address_that_another_one_tests_first_is_refused)
{
	net_host_open(&h);
	CHECK_EQ(claim(NEW6), 0);
	frame_solicit(&f, "::", GROUP, NEW6, NULL);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(info(NEW6).state, TOW_ADDR_DUPLICATE);
	net_host_close(&h);
}

/* RFC 4862 5.4.3: who only resolves it is neither answered nor believed */
TEST(tentative_ipv6_address_is_not_answered_for)
{
	net_host_open(&h);
	CHECK_EQ(claim(NEW6), 0);
	net_host_run(&h, 1 * S);
	net_host_sent(&h);
	frame_solicit(&f, "2001:db8::2", GROUP, NEW6, peer_mac);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(net_host_sent_but_reports(&h), 0);
	CHECK_EQ(info(NEW6).state, TOW_ADDR_TENTATIVE);
	frame_begin(&f, "2001:db8::2", NEW6, NET_UDP);
	frame_udp(&f, 1, 2);
	frame_end(&f);
	net_host_refuses(&h, &f, TOW_DROP_IP_DESTINATION);
	net_host_close(&h);
}

/* RFC 7527 4.1: the nonce of our own question; three more, each with another */
TEST(ipv6_question_that_comes_back_is_no_conflict)
{
	uint8_t nonce[6];

	net_host_open(&h);
	CHECK_EQ(claim(NEW6), 0);
	net_host_run(&h, 1 * S);
	CHECK_EQ(net_host_sent_but_reports(&h), 1);
	sent_nd(0);
	memcpy(nonce, frame_transport(&sent) + 26, 6);
	f = sent;
	memcpy(f.data + 6, peer_mac, 6); /* as a bridge would not do */
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(h.net.stats.counters[TOW_COUNTER_DAD_LOOPED], 1);
	CHECK_EQ(info(NEW6).state, TOW_ADDR_TENTATIVE);
	net_host_run(&h, 5 * S);
	CHECK_EQ(net_host_sent_but_reports(&h), 3);
	sent_nd(0);
	CHECK(memcmp(nonce, frame_transport(&sent) + 26, 6) != 0);
	CHECK(is_ours(NEW6));
	net_host_close(&h);
}

/* The same question with another nonce is another node's */
TEST(ipv6_question_with_another_nonce_is_a_conflict)
{
	net_host_open(&h);
	CHECK_EQ(claim(NEW6), 0);
	net_host_run(&h, 1 * S);
	CHECK_EQ(net_host_sent_but_reports(&h), 1);
	sent_nd(0);
	f = sent;
	memcpy(f.data + 6, peer_mac, 6);
	frame_transport(&f)[26] ^= 1;
	frame_sum_transport(&f);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(info(NEW6).state, TOW_ADDR_DUPLICATE);
	net_host_close(&h);
}

/* RFC 4862 5.4.4: an address that is ours is not lost by another one's claim */
TEST(ipv6_address_of_ours_survives_an_advertisement_of_it)
{
	net_host_open(&h);
	frame_advert(&f, "2001:db8::2", "ff02::1", ND_OVERRIDE, "2001:db8::1",
		     other_mac);
	conflict();
	CHECK(is_ours("2001:db8::1"));
	CHECK_EQ(h.net.stats.counters[TOW_COUNTER_ADDR_CONFLICTS], 1);
	net_host_close(&h);
}

/* Removed: its route goes with it, and nothing is received for it */
TEST(removed_address_is_not_ours_any_more)
{
	struct tow_addr addr = address("198.51.100.1");

	net_host_open(&h);
	CHECK_EQ(net_addr_add(&h.net, 0, &addr, 24), 0);
	CHECK_EQ(net_host_send(&h, "198.51.100.2", 0), 0);
	CHECK_EQ(net_addr_remove(&h.net, 0, &addr), 0);
	CHECK_EQ(net_host_send(&h, "198.51.100.2", 0), TOW_ENETUNREACH);
	frame_begin(&f, "192.0.2.2", "198.51.100.1", NET_UDP);
	frame_udp(&f, 1, 2);
	frame_end(&f);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_IP_DESTINATION], 1);
	CHECK_EQ(net_addr_remove(&h.net, 0, &addr), TOW_EADDRNOTAVAIL);
	net_host_close(&h);
}

/* As many as addr_max, and one more is refused in good time */
TEST(claims_leave_room_for_one_another)
{
	char text[32];
	int error = 0;
	unsigned i;

	net_host_open(&h); /* room for eight, of which two are there */
	for (i = 0; i < 20 && !error; i++) {
		snprintf(text, sizeof(text), "2001:db8::1:%u", i);
		error = claim(text);
	}
	CHECK_EQ(error, TOW_ENOBUFS);
	CHECK_EQ(i, 7);
	net_host_run(&h, 5 * S);
	CHECK_EQ(net_addr_list(&h.net, 0, NULL, 0), 3 + 6);
	net_host_close(&h);
}

/* All that there can be, each in a solicited-node group of its own */
TEST(addresses_that_are_added_leave_claims_their_places)
{
	struct tow_addr addr, group;
	char text[32];
	int error = 0;
	unsigned i;

	net_host_open(&h); /* room for eight, of which two are there */
	for (i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "2001:db8::1:%u", i);
		CHECK_EQ(claim(text), 0);
	}
	for (; i < 20 && !error; i++) {
		snprintf(text, sizeof(text), "2001:db8::1:%u", i);
		addr = address(text);
		error = net_addr_add(&h.net, 0, &addr, 64);
	}
	CHECK_EQ(error, TOW_ENOBUFS);
	CHECK_EQ(i, 7);
	for (unsigned s = 0; s < 5; s++) {
		net_host_run(&h, 1 * S); /* asked, and then ours */
		for (i = 0; i < 6; i++) {
			snprintf(text, sizeof(text), "ff02::1:ff01:%u", i);
			group = address(text);
			if (s > 0)
				CHECK(net_group_of(&h.net, 0, &group));
		}
	}
	for (i = 0; i < 6; i++) {
		snprintf(text, sizeof(text), "2001:db8::1:%u", i);
		CHECK(is_ours(text));
	}
	net_host_close(&h);
}
