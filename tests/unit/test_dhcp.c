/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The DHCP client: RFC 2131 4.4, RFC 2132, through packets.
 *
 *	client (fake_mac) ---- the test, a server at 10.0.0.1 (peer_mac)
 */
#include <string.h>
#include <tow/autoconf.h>
#include "dhcp/dhcp_private.h"
#include "router_frame.h"
#include "stack/stack_private.h"
#include "stack_host.h"
#include "test.h"
#include "wire/wire_arp.h"
#include "wire/wire_dhcp.h"
#include "wire/wire_udp.h"

#define SERVER "10.0.0.1"
#define OFFER  "10.0.0.50"
#define S      1000000ull

static struct stack_host s;
static struct frame f, sent;
static struct wire_dhcp asked; /* the client's last message */
static uint8_t asked_options[400];
static uint32_t asked_bytes; /* of its options */

static void start(void)
{
	stack_host_open(&s, 0);
	CHECK_EQ(tow_dhcp_start(s.stack, 0), 0);
}

/* Finds the last DHCP message among the frames sent. Returns: how many. */
static unsigned messages(void)
{
	unsigned n = stack_host_sent(&s), count = 0;

	for (unsigned i = 0; i < n; i++) {
		frame_read(&sent, &s.fake.sent[i]);
		if (!sent.transport || sent.protocol != NET_UDP ||
		    wire_get16(frame_transport(&sent) + 2) != 67)
			continue;
		CHECK_EQ(wire_get16(frame_transport(&sent)), 68);
		memcpy(&asked, frame_transport(&sent) + 8, sizeof(asked));
		asked_bytes = sent.bytes - sent.transport - 8 - DHCP_BYTES;
		memcpy(asked_options, frame_transport(&sent) + 8 + DHCP_BYTES,
		       asked_bytes);
		f = sent;
		count++;
	}
	sent = f;
	return count;
}

/* The value of an option of the client's last message, or NULL. */
static const uint8_t *option(uint8_t wanted)
{
	for (uint32_t at = 0; at < asked_bytes;) {
		if (asked_options[at] == DHCP_OPTION_END)
			return NULL;
		if (asked_options[at] == wanted)
			return asked_options + at + 2;
		at += asked_options[at] ? 2u + asked_options[at + 1] : 1;
	}
	return NULL;
}

static uint8_t asked_type(void)
{
	const uint8_t *type = option(DHCP_OPTION_TYPE);

	return type ? *type : 0;
}

static void add_option(uint8_t code, const void *value, uint8_t bytes)
{
	frame_add(&f, &code, 1);
	frame_add(&f, &bytes, 1);
	frame_add(&f, value, bytes);
}

/* The server's answer to the last message, as far as the options. */
static void answer_begin(const char *server, const char *yours)
{
	struct tow_addr addr = address(yours);
	struct wire_dhcp m = { .op = DHCP_BOOTREPLY, .htype = 1, .hlen = 6 };

	memcpy(m.xid, asked.xid, 4);
	memcpy(m.chaddr, asked.chaddr, 16);
	memcpy(m.yiaddr, addr.b + 12, 4);
	wire_put32(m.cookie, DHCP_COOKIE);
	frame_begin(&f, server, "255.255.255.255", NET_UDP);
	frame_udp(&f, 67, 68);
	frame_add(&f, &m, sizeof(m));
}

static void add_usual(uint8_t type, const char *server, uint32_t lease_s)
{
	struct tow_addr addr = address(server);
	uint8_t lease[4];

	wire_put32(lease, lease_s);
	add_option(DHCP_OPTION_TYPE, &type, 1);
	add_option(DHCP_OPTION_SERVER, addr.b + 12, 4);
	add_option(DHCP_OPTION_LEASE, lease, 4);
	add_option(DHCP_OPTION_MASK, "\377\377\377\0", 4);
	add_option(DHCP_OPTION_ROUTER, "\12\0\0\1", 4);
	add_option(DHCP_OPTION_DNS, "\12\0\0\1\12\0\0\2", 8);
}

static void answer_end(void)
{
	frame_add(&f, "\377", 1);
	frame_end(&f);
	stack_host_receive(&s, &f);
}

static void answer(uint8_t type, uint32_t lease_s)
{
	answer_begin(SERVER, OFFER);
	add_usual(type, SERVER, lease_s);
	answer_end();
}

static void ignored(void)
{
	uint64_t before = stack_host_drops(&s, TOW_DROP_DHCP_BAD);

	answer_end();
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_DHCP_BAD), before + 1);
	CHECK_EQ(messages(), 0);
}

static struct tow_dhcp_info info(void)
{
	struct tow_dhcp_info out;

	CHECK_EQ(tow_dhcp_info(s.stack, 0, &out), 0);
	return out;
}

static void discover(void)
{
	stack_host_run(&s, 2 * S);
	CHECK_GE(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_DISCOVER);
}

static void bind_for(uint32_t lease_s)
{
	discover();
	answer(DHCP_OFFER, lease_s);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_REQUEST);
	answer(DHCP_ACK, lease_s);
	stack_host_run(&s, 8 * S);
	CHECK(info().bound);
	stack_host_run(&s, 3 * S); /* announced twice */
	frame_arp(&f, ARP_REQUEST, peer_mac, SERVER, OFFER);
	stack_host_receive(&s, &f);
	messages();
}

static bool is_reachable(const char *dst)
{
	struct tow_addr any = tow_addr_any(), to = address(dst);
	struct net_path path;

	return net_path_find(&s.stack->net, &any, &to, 0, &path) == 0;
}

/* RFC 2131 4.4.1, table 5: from nobody to everybody, answers by broadcast */
TEST(discover_is_broadcast_from_nobody)
{
	const uint8_t *client;

	start();
	discover();
	CHECK_MEM(sent.data, "\377\377\377\377\377\377", 6);
	CHECK_MEM(sent.src.b, address("0.0.0.0").b, 16);
	CHECK_MEM(sent.dst.b, address("255.255.255.255").b, 16);
	CHECK_GE(sent.bytes, 14 + 20 + 8 + 300);
	CHECK_EQ(asked.op, DHCP_BOOTREQUEST);
	CHECK_EQ(wire_get16(asked.flags), DHCP_BROADCAST);
	CHECK_EQ(wire_get32(asked.ciaddr), 0);
	CHECK_MEM(asked.chaddr, fake_mac, 6);
	client = option(DHCP_OPTION_CLIENT);
	CHECK_MEM(client, "\1", 1);
	CHECK_MEM(client + 1, fake_mac, 6);
	CHECK(!option(DHCP_OPTION_REQUESTED));
	CHECK(!option(DHCP_OPTION_SERVER));
	CHECK(option(DHCP_OPTION_PARAMETERS));
	stack_host_close(&s);
}

/* RFC 2131 4.1: 4, 8, 16, 32, 64 s, plus or minus one; one question each */
TEST(discover_backs_off_to_a_minute)
{
	start();
	discover();
	for (unsigned i = 0; i < 4; i++) {
		stack_host_run(&s, ((4ull << i) + 1) * S);
		CHECK_LE(messages(), 2);
	}
	stack_host_run(&s, 640 * S);
	CHECK_LE(messages(), 11);
	stack_host_run(&s, 66 * S);
	CHECK_GE(messages(), 1);
	stack_host_close(&s);
}

/* RFC 2131 3.1: offer, request, ack; RFC 5227: probes before it is used */
TEST(lease_is_requested_checked_and_bound)
{
	struct tow_addr addr = address(OFFER);
	struct tow_event event;
	uint32_t xid;

	start();
	discover();
	xid = wire_get32(asked.xid);
	answer(DHCP_OFFER, 3600);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_REQUEST);
	CHECK_EQ(wire_get32(asked.xid), xid);
	CHECK_MEM(sent.dst.b, address("255.255.255.255").b, 16);
	CHECK_EQ(wire_get32(asked.ciaddr), 0);
	CHECK_MEM(option(DHCP_OPTION_REQUESTED), addr.b + 12, 4);
	CHECK_MEM(option(DHCP_OPTION_SERVER), address(SERVER).b + 12, 4);
	answer(DHCP_ACK, 3600);
	CHECK(!info().bound);
	stack_host_run(&s, S);
	CHECK_GE(stack_host_sent(&s), 1);
	CHECK_EQ(s.fake.sent[0].data[13], 6); /* an ARP probe */
	CHECK(!is_reachable("10.0.0.9"));
	stack_host_run(&s, 8 * S);
	CHECK(info().bound);
	CHECK_MEM(info().addr.b, addr.b, 16);
	CHECK_EQ(info().prefix_bits, 24);
	CHECK_MEM(info().router.b, address("10.0.0.1").b, 16);
	CHECK_MEM(info().server.b, address(SERVER).b, 16);
	CHECK_EQ(info().dns_count, 2);
	CHECK_MEM(info().dns[1].b, address("10.0.0.2").b, 16);
	CHECK_GT(info().left_us, 3580 * S);
	CHECK(is_reachable("10.0.0.9"));
	CHECK(is_reachable("198.51.100.9")); /* by the router */
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_ADDRESS);
	CHECK_EQ(event.token, 0);
	stack_host_close(&s);
}

/* RFC 2131 3.1 (5), RFC 5227 2.1: declined, and asked anew after ten seconds */
TEST(address_in_use_is_declined)
{
	start();
	discover();
	answer(DHCP_OFFER, 3600);
	messages();
	answer(DHCP_ACK, 3600);
	stack_host_run(&s, 2 * S);
	messages();
	frame_arp(&f, ARP_REPLY, peer_mac, OFFER, "0.0.0.0");
	stack_host_receive(&s, &f);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_DECLINE);
	CHECK_EQ(wire_get16(asked.secs), 0); /* table 5 */
	CHECK_EQ(wire_get16(asked.flags), 0);
	CHECK_MEM(sent.src.b, address("0.0.0.0").b, 16);
	CHECK_EQ(wire_get32(asked.ciaddr), 0);
	CHECK_MEM(option(DHCP_OPTION_REQUESTED), address(OFFER).b + 12, 4);
	CHECK_MEM(option(DHCP_OPTION_SERVER), address(SERVER).b + 12, 4);
	stack_host_run(&s, 9 * S);
	CHECK_EQ(messages(), 0);
	stack_host_run(&s, 2 * S);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_DISCOVER);
	stack_host_close(&s);
}

/* RFC 5227 2.1.1: after MAX_CONFLICTS no more than one attempt a minute */
TEST(many_declined_addresses_are_tried_once_a_minute)
{
	unsigned declines = 0, late = 0;

	start();
	for (unsigned i = 0; i < 1200; i++) {
		stack_host_run(&s, S);
		if (messages() == 0 || asked_type() != DHCP_DISCOVER)
			continue;
		answer(DHCP_OFFER, 3600);
		messages();
		answer(DHCP_ACK, 3600);
		frame_arp(&f, ARP_REPLY, peer_mac, OFFER, "0.0.0.0");
		stack_host_receive(&s, &f);
		CHECK_EQ(messages(), 1);
		CHECK_EQ(asked_type(), DHCP_DECLINE);
		declines++;
		late += i > 600;
	}
	CHECK_GE(declines, 20);
	CHECK_GE(late, 9);
	CHECK_LE(late, 10);
	stack_host_close(&s);
}

/* RFC 2131 3.1 (3), 4.4.1: "the same value in [...] 'secs'" as the DISCOVER */
TEST(request_says_the_seconds_of_its_discover)
{
	unsigned secs;

	start();
	discover();
	stack_host_run(&s, 6 * S);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_DISCOVER);
	secs = wire_get16(asked.secs);
	CHECK_GE(secs, 3);
	stack_host_run(&s, 2 * S);
	answer(DHCP_OFFER, 3600);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_REQUEST);
	CHECK_EQ(wire_get16(asked.secs), secs);
	stack_host_run(&s, 6 * S);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_REQUEST);
	CHECK_EQ(wire_get16(asked.secs), secs);
	stack_host_close(&s);
}

/* RFC 2131 4.4.1: a lease begins when it was asked for, not with the answer */
TEST(lease_counts_from_the_request)
{
	start();
	discover();
	answer(DHCP_OFFER, 1000);
	CHECK_EQ(messages(), 1);
	stack_host_run(&s, 20 * S); /* and it is asked for again */
	CHECK_GE(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_REQUEST);
	answer(DHCP_ACK, 1000);
	stack_host_run(&s, 8 * S);
	CHECK(info().bound);
	CHECK_LE(info().left_us, 972 * S);
	stack_host_close(&s);
}

/* RFC 2131 4.4.5: T1 has some "fuzz", so that clients do not fall into step */
TEST(renewals_are_spread)
{
	const struct dhcp_client *c;
	uint64_t t1_us[4];
	unsigned others = 0;

	for (unsigned n = 0; n < 4; n++) {
		start();
		for (unsigned i = 0; i < n; i++)
			random_u32(&s.stack->net.random);
		bind_for(10000);
		c = &s.stack->dhcp.clients[0];
		t1_us[n] = c->t1_us - c->requested_us;
		CHECK_GT(t1_us[n], 4900 * S);
		CHECK_LE(t1_us[n], 5000 * S);
		CHECK_GT(c->t2_us - c->requested_us, 8600 * S);
		CHECK_LE(c->t2_us - c->requested_us, 8750 * S);
		others += t1_us[n] != t1_us[0];
		stack_host_close(&s);
	}
	CHECK_GE(others, 1);
}

/* RFC 2131 3.1 (5) is about an address that another one has, and none else */
TEST(address_that_is_ours_is_not_declined_and_asked_for_less_often)
{
	struct tow_addr addr = address(OFFER);
	unsigned discovers = 0, declines = 0;

	start();
	CHECK_EQ(tow_addr_add(s.stack, 0, &addr, 24), 0);
	for (unsigned i = 0; i < 600; i++) {
		stack_host_run(&s, S);
		if (messages() == 0)
			continue;
		if (asked_type() == DHCP_DISCOVER) {
			discovers++;
			answer(DHCP_OFFER, 1000);
			if (messages() > 0)
				answer(DHCP_ACK, 1000);
			declines += messages();
		}
	}
	CHECK_EQ(declines, 0);
	CHECK_LE(discovers, 16);
	CHECK_GE(discovers, 8);
	stack_host_close(&s);
}

/* RFC 2131 3.5, table 5: in DISCOVER and REQUEST, and not in DECLINE */
TEST(parameters_are_asked_for_each_time)
{
	static const uint8_t wanted[] = { 5, 1, 3, 6, 58, 59 };

	start();
	discover();
	CHECK_MEM(option(DHCP_OPTION_PARAMETERS) - 1, wanted, sizeof(wanted));
	CHECK_EQ(wire_get16(option(DHCP_OPTION_SIZE_MAX)), 1500);
	answer(DHCP_OFFER, 3600);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_REQUEST);
	CHECK_MEM(option(DHCP_OPTION_PARAMETERS) - 1, wanted, sizeof(wanted));
	CHECK_EQ(wire_get16(option(DHCP_OPTION_SIZE_MAX)), 1500);
	answer(DHCP_ACK, 3600);
	frame_arp(&f, ARP_REPLY, peer_mac, OFFER, "0.0.0.0");
	stack_host_receive(&s, &f);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_DECLINE);
	CHECK(!option(DHCP_OPTION_PARAMETERS));
	CHECK(!option(DHCP_OPTION_SIZE_MAX));
	CHECK(!option(DHCP_OPTION_LEASE));
	CHECK_MEM(option(DHCP_OPTION_CLIENT) + 1, fake_mac, 6);
	stack_host_close(&s);
}

/* RFC 5227 2.4 (b): defended once; a second conflict in ten seconds loses it */
TEST(address_lost_to_a_conflict_is_declined)
{
	start();
	bind_for(3600);
	frame_arp(&f, ARP_REQUEST, peer_mac, OFFER, "10.0.0.9");
	stack_host_receive(&s, &f);
	CHECK(info().bound);
	frame_arp(&f, ARP_REQUEST, peer_mac, OFFER, "10.0.0.9");
	stack_host_receive(&s, &f);
	CHECK(!info().bound);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_DECLINE);
	CHECK(!is_reachable("198.51.100.9"));
	stack_host_close(&s);
}

/* RFC 2131 4.4.5: at T1 by unicast from the address, and prolonged by an ack */
TEST(lease_is_renewed_at_half_of_it)
{
	start();
	bind_for(1000);
	stack_host_run(&s, 480 * S);
	CHECK_EQ(messages(), 0);
	stack_host_run(&s, 20 * S);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_REQUEST);
	CHECK_MEM(sent.src.b, address(OFFER).b, 16);
	CHECK_MEM(sent.dst.b, address(SERVER).b, 16);
	CHECK_MEM(asked.ciaddr, address(OFFER).b + 12, 4);
	CHECK_EQ(wire_get16(asked.flags), 0);
	CHECK(!option(DHCP_OPTION_REQUESTED));
	CHECK(!option(DHCP_OPTION_SERVER));
	answer(DHCP_ACK, 1000);
	CHECK(info().bound);
	CHECK_GT(info().left_us, 980 * S);
	stack_host_run(&s, 470 * S);
	CHECK_EQ(messages(), 0);
	stack_host_close(&s);
}

static unsigned address_events(void)
{
	struct tow_event events[8];
	int n = tow_events(s.stack, events, 8), i;
	unsigned count = 0;

	for (i = 0; i < n; i++)
		count += events[i].type == TOW_EVENT_ADDRESS;
	return count;
}

/* RFC 8106 5.3.1: DHCP's first, and "some DNS options from all sources" */
TEST(name_servers_of_dhcp_come_before_those_of_routers)
{
	static const char *const advertised[] = { "2001:db8::53", NULL };
	struct tow_dns_server all[8];

	start();
	CHECK_EQ(tow_autoconf_start(s.stack, 0, NULL), 0);
	advert_begin(&f, "fe80::2", 1800);
	advert_servers(&f, 600, advertised);
	frame_end(&f);
	stack_host_receive(&s, &f);
	CHECK_EQ(tow_dns_servers(s.stack, 0, all, 8), 1);
	CHECK(!all[0].by_dhcp);
	bind_for(1000);
	CHECK_EQ(tow_dns_servers(s.stack, 0, all, 8), 3);
	CHECK_MEM(all[0].addr.b, address("10.0.0.1").b, 16);
	CHECK_MEM(all[1].addr.b, address("10.0.0.2").b, 16);
	CHECK_MEM(all[2].addr.b, address("2001:db8::53").b, 16);
	CHECK(all[0].by_dhcp && all[1].by_dhcp && !all[2].by_dhcp);
	CHECK_EQ(all[0].valid_us, info().left_us);
	CHECK_EQ(tow_dns_servers(s.stack, 0, all, 1), 3);
	CHECK_EQ(tow_dns_servers(s.stack, 0, NULL, 0), 3);
	CHECK_EQ(tow_dns_servers(s.stack, 1, all, 8), TOW_EINVAL);
	CHECK_EQ(tow_dns_domains(s.stack, 1, NULL, 0), TOW_EINVAL);
	CHECK_EQ(tow_dns_domains(s.stack, 0, NULL, 0), 0);
	stack_host_close(&s);
}

TEST(other_name_servers_in_a_renewed_lease_are_told)
{
	struct tow_dns_server all[8];

	start();
	bind_for(1000);
	stack_host_run(&s, 500 * S);
	CHECK_EQ(messages(), 1);
	address_events();
	answer(DHCP_ACK, 1000);
	CHECK_EQ(address_events(), 0);
	stack_host_run(&s, 490 * S);
	frame_arp(&f, ARP_REQUEST, peer_mac, SERVER, OFFER);
	stack_host_receive(&s, &f);
	stack_host_run(&s, 20 * S);
	CHECK_EQ(messages(), 1);
	answer_begin(SERVER, OFFER);
	add_option(DHCP_OPTION_DNS, "\12\0\0\3", 4);
	add_usual(DHCP_ACK, SERVER, 1000);
	answer_end();
	CHECK_EQ(address_events(), 1);
	CHECK_EQ(tow_dns_servers(s.stack, 0, all, 8), 3);
	CHECK_MEM(all[0].addr.b, address("10.0.0.3").b, 16);
	CHECK_MEM(all[2].addr.b, address("10.0.0.2").b, 16);
	stack_host_close(&s);
}

/* Also when the program was told of the address alone, which it took itself */
TEST(name_servers_that_go_with_their_lease_are_told)
{
	struct tow_addr addr = address(OFFER);

	start();
	bind_for(1000);
	CHECK_EQ(tow_addr_remove(s.stack, 0, &addr), 0);
	address_events();
	CHECK_EQ(tow_dns_servers(s.stack, 0, NULL, 0), 2);
	stack_host_run(&s, S / 10);
	CHECK_EQ(tow_dns_servers(s.stack, 0, NULL, 0), 0);
	CHECK_EQ(address_events(), 1);
	stack_host_close(&s);
}

/* A server that says T1 and T2 of a second is asked once a minute all the same */
TEST(renewal_times_have_a_floor)
{
	uint8_t second[4] = { 0, 0, 0, 1 };

	start();
	discover();
	answer(DHCP_OFFER, 1000);
	CHECK_EQ(messages(), 1);
	answer_begin(SERVER, OFFER);
	add_option(DHCP_OPTION_T1, second, 4);
	add_option(DHCP_OPTION_T2, second, 4);
	add_usual(DHCP_ACK, SERVER, 1000);
	answer_end();
	stack_host_run(&s, 11 * S);
	CHECK(info().bound);
	messages();
	stack_host_run(&s, 45 * S);
	CHECK_EQ(messages(), 0);
	stack_host_run(&s, 10 * S);
	CHECK_GE(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_REQUEST);
	stack_host_close(&s);
}

/* RFC 2131 4.4.5: at T2 everybody is asked, and at the end the address goes */
TEST(lease_that_nobody_prolongs_ends)
{
	start();
	bind_for(1000);
	stack_host_run(&s, 850 * S);
	messages();
	stack_host_run(&s, 100 * S);
	CHECK_GE(messages(), 1);
	CHECK_MEM(sent.src.b, address(OFFER).b, 16);
	CHECK_MEM(sent.dst.b, address("255.255.255.255").b, 16);
	CHECK_MEM(asked.ciaddr, address(OFFER).b + 12, 4);
	CHECK(info().bound);
	stack_host_run(&s, 40 * S);
	CHECK(!info().bound);
	CHECK(!is_reachable("198.51.100.9"));
	stack_host_run(&s, 10 * S);
	CHECK_GE(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_DISCOVER);
	stack_host_close(&s);
}

/* RFC 2131 4.4.5: in REBINDING any server may grant it */
TEST(another_server_rebinds)
{
	start();
	bind_for(1000);
	stack_host_run(&s, 950 * S);
	messages();
	answer_begin("10.0.0.2", OFFER);
	add_usual(DHCP_ACK, "10.0.0.2", 1000);
	answer_end();
	CHECK_GT(info().left_us, 980 * S);
	CHECK_MEM(info().server.b, address("10.0.0.2").b, 16);
	stack_host_close(&s);
}

/* RFC 2131 3.2 (3), 4.4.5: a nak ends it at once, and asks anew */
TEST(nak_sends_back_to_the_start)
{
	start();
	bind_for(1000);
	stack_host_run(&s, 500 * S);
	messages();
	answer(DHCP_NAK, 0);
	CHECK(!info().bound);
	CHECK(!is_reachable("10.0.0.9"));
	stack_host_run(&s, 3 * S);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_DISCOVER);
	CHECK_EQ(tow_stats(s.stack)->counters[TOW_COUNTER_DHCP_NAKS], 1);
	stack_host_close(&s);
}

static bool is_ours(const char *text)
{
	struct tow_addr addr = address(text);

	return net_is_local(&s.stack->net, &addr);
}

/* Offers the address, and answers the request for it. */
static void offer_and(uint8_t type)
{
	discover();
	answer(DHCP_OFFER, 3600);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_REQUEST);
	answer(type, 3600);
}

/* An address that the program gave is not a server's to end */
TEST(offer_of_a_given_address_does_not_take_it)
{
	struct tow_addr addr = address(OFFER);

	start();
	CHECK_EQ(tow_addr_add(s.stack, 0, &addr, 24), 0);
	offer_and(DHCP_NAK);
	CHECK(is_ours(OFFER));
	offer_and(DHCP_ACK); /* it is there already: no lease of it */
	CHECK(is_ours(OFFER));
	CHECK(!info().bound);
	stack_host_run(&s, 10 * S);
	discover();
	answer(DHCP_OFFER, 3600);
	tow_dhcp_stop(s.stack, 0);
	CHECK(is_ours(OFFER));
	stack_host_close(&s);
}

/* Nor is one that the program claimed; it is no lease either */
TEST(offer_of_a_claimed_address_does_not_take_it)
{
	struct tow_addr addr = address(OFFER);

	start();
	CHECK_EQ(tow_addr_claim(s.stack, 0, &addr, 24), 0);
	stack_host_run(&s, 10 * S);
	CHECK(is_ours(OFFER));
	offer_and(DHCP_NAK);
	CHECK(is_ours(OFFER));
	offer_and(DHCP_ACK);
	CHECK(is_ours(OFFER));
	CHECK(!info().bound);
	stack_host_close(&s);
}

/* The program took the leased address and gave it itself: the lease is over */
TEST(leased_address_that_the_program_gives_itself_is_kept)
{
	struct tow_addr addr = address(OFFER);

	start();
	bind_for(3600);
	CHECK_EQ(tow_addr_remove(s.stack, 0, &addr), 0);
	CHECK_EQ(tow_addr_claim(s.stack, 0, &addr, 24), 0);
	stack_host_run(&s, 10 * S);
	CHECK(!info().bound);
	CHECK(is_ours(OFFER));
	stack_host_close(&s);
}

/* A server that only refuses is asked less and less often */
TEST(storm_of_naks_slows_down)
{
	unsigned discovers = 0;

	start();
	for (unsigned i = 0; i < 600; i++) {
		stack_host_run(&s, S);
		if (messages() == 0)
			continue;
		if (asked_type() == DHCP_DISCOVER) {
			discovers++;
			answer(DHCP_OFFER, 1000);
			if (messages() > 0)
				answer(DHCP_NAK, 0);
		}
	}
	CHECK_LE(discovers, 16);
	CHECK_GE(discovers, 8);
	stack_host_close(&s);
}

/* RFC 2131 3.1 (4): a server that falls silent after its offer is given up */
TEST(silent_server_is_given_up)
{
	start();
	discover();
	answer(DHCP_OFFER, 1000);
	CHECK_EQ(messages(), 1);
	stack_host_run(&s, 70 * S);
	messages();
	CHECK_EQ(asked_type(), DHCP_DISCOVER);
	stack_host_close(&s);
}

/* RFC 2131 4.4.6: released by unicast, while the address is still ours */
TEST(stopping_releases_the_address)
{
	start();
	bind_for(3600);
	tow_dhcp_stop(s.stack, 0);
	CHECK(!tow_idle(s.stack));
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_RELEASE);
	CHECK_EQ(wire_get16(asked.secs), 0); /* table 5 */
	CHECK_EQ(wire_get16(asked.flags), 0);
	CHECK_MEM(sent.src.b, address(OFFER).b, 16);
	CHECK_MEM(sent.dst.b, address(SERVER).b, 16);
	CHECK_MEM(asked.ciaddr, address(OFFER).b + 12, 4);
	CHECK_MEM(option(DHCP_OPTION_SERVER), address(SERVER).b + 12, 4);
	CHECK(!option(DHCP_OPTION_REQUESTED));
	stack_host_run(&s, S);
	CHECK(tow_idle(s.stack));
	CHECK(!is_reachable("10.0.0.9"));
	CHECK(!info().running);
	CHECK_EQ(tow_dhcp_start(s.stack, 0), 0);
	stack_host_close(&s);
}

/* RFC 2131 2, 4.1: what is not an answer to our question */
TEST(answers_to_others_are_ignored)
{
	start();
	discover();
	for (unsigned i = 0; i < 7; i++) {
		static const unsigned at[] = { 0, 1, 2, 4, 28, 236, 239 };

		answer_begin(SERVER, OFFER);
		frame_transport(&f)[8 + at[i]] ^= 1;
		add_usual(DHCP_OFFER, SERVER, 3600);
		ignored();
	}
	answer_begin(SERVER, OFFER);
	add_usual(DHCP_OFFER, SERVER, 3600);
	frame_add(&f, "\377", 1);
	frame_end(&f);
	frame_transport(&f)[6] ^= 1; /* the checksum */
	stack_host_receive(&s, &f);
	CHECK_EQ(messages(), 0);
	answer(DHCP_ACK, 3600); /* nothing was requested yet */
	CHECK_EQ(messages(), 0);
	stack_host_close(&s);
}

/* RFC 2131 4.4.1: of another server than the one that was chosen */
TEST(ack_of_another_server_is_ignored)
{
	start();
	discover();
	answer(DHCP_OFFER, 3600);
	messages();
	answer_begin("10.0.0.2", OFFER);
	add_usual(DHCP_ACK, "10.0.0.2", 3600);
	answer_end();
	answer_begin("10.0.0.2", OFFER);
	add_usual(DHCP_NAK, "10.0.0.2", 3600);
	answer_end();
	stack_host_run(&s, 2 * S);
	answer_begin(SERVER, "10.0.0.51");
	add_usual(DHCP_ACK, SERVER, 3600);
	answer_end();
	stack_host_run(&s, S);
	messages();
	answer(DHCP_ACK, 3600);
	stack_host_run(&s, 8 * S);
	CHECK(info().bound);
	stack_host_close(&s);
}

/* Offers that make no sense: no host's address, no mask, hardly a lease */
TEST(offers_that_make_no_sense_are_ignored)
{
	static const char *const bad[] = { "0.0.0.0", "224.0.0.1",
					   "255.255.255.255", "240.0.0.1" };

	start();
	discover();
	for (unsigned i = 0; i < 4; i++) {
		answer_begin(SERVER, bad[i]);
		add_usual(DHCP_OFFER, SERVER, 3600);
		ignored();
	}
	answer_begin(SERVER, OFFER);
	add_usual(DHCP_OFFER, SERVER, 0);
	ignored();
	answer_begin(SERVER, OFFER);
	add_option(DHCP_OPTION_MASK, "\377\0\377\0", 4);
	add_usual(DHCP_OFFER, SERVER, 3600);
	ignored();
	answer_begin(SERVER, OFFER);
	add_usual(DHCP_OFFER, "0.0.0.0", 3600);
	ignored();
	answer_begin(SERVER, OFFER); /* no options at all */
	ignored();
	stack_host_close(&s);
}

/* DHCP and name parsing (NAME:WRECK): an option longer than its area */
TEST(dhcp_and_name_parsing_overlong_options_are_bounded)
{
	start();
	discover();
	answer_begin(SERVER, OFFER);
	add_usual(DHCP_OFFER, SERVER, 3600);
	frame_add(&f, "\14\377abc", 5);
	frame_end(&f);
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_DHCP_BAD), 1);
	answer_begin(SERVER, OFFER);
	add_usual(DHCP_OFFER, SERVER, 3600);
	frame_add(&f, "\14", 1); /* a code without a length */
	frame_end(&f);
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_DHCP_BAD), 2);
	CHECK_EQ(messages(), 0);
	stack_host_close(&s);
}

/* DHCP and name parsing (NAME:WRECK): many servers leave the end out */
TEST(dhcp_and_name_parsing_unterminated_list_ends_with_the_message)
{
	start();
	discover();
	answer_begin(SERVER, OFFER);
	add_usual(DHCP_OFFER, SERVER, 3600);
	frame_end(&f);
	stack_host_receive(&s, &f);
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_REQUEST);
	stack_host_close(&s);
}

/* RFC 2131 4.1: options in file and sname, which cannot overload again */
TEST(dhcp_and_name_parsing_option_overload_does_not_loop)
{
	static const uint8_t in_file[] = {
		DHCP_OPTION_OVERLOAD, 1, 3, DHCP_OPTION_LEASE, 4, 0, 0, 4, 0,
		DHCP_OPTION_END
	};
	static const uint8_t in_sname[] = {
		DHCP_OPTION_OVERLOAD, 1, 3, DHCP_OPTION_MASK, 4, 255, 255, 0, 0,
		DHCP_OPTION_END
	};
	uint8_t type = DHCP_OFFER;

	start();
	discover();
	answer_begin(SERVER, OFFER);
	memcpy(frame_transport(&f) + 8 + 44, in_sname, sizeof(in_sname));
	memcpy(frame_transport(&f) + 8 + 108, in_file, sizeof(in_file));
	add_option(DHCP_OPTION_OVERLOAD, "\3", 1);
	add_option(DHCP_OPTION_TYPE, &type, 1);
	add_option(DHCP_OPTION_SERVER, "\12\0\0\1", 4);
	answer_end();
	CHECK_EQ(messages(), 1);
	CHECK_EQ(asked_type(), DHCP_REQUEST);
	answer_begin(SERVER, OFFER);
	memcpy(frame_transport(&f) + 8 + 44, in_sname, sizeof(in_sname));
	memcpy(frame_transport(&f) + 8 + 108, in_file, sizeof(in_file));
	type = DHCP_ACK;
	add_option(DHCP_OPTION_OVERLOAD, "\3", 1);
	add_option(DHCP_OPTION_TYPE, &type, 1);
	add_option(DHCP_OPTION_SERVER, "\12\0\0\1", 4);
	answer_end();
	stack_host_run(&s, 8 * S);
	CHECK(info().bound);
	CHECK_EQ(info().prefix_bits, 16);
	CHECK_LE(info().left_us, 1024 * S);
	stack_host_close(&s);
}

/* DHCP and name parsing (NAME:WRECK): an area filled to its last byte */
TEST(dhcp_and_name_parsing_overloaded_area_is_not_left)
{
	start();
	discover();
	answer_begin(SERVER, OFFER);
	memset(frame_transport(&f) + 8 + 108, 12, 128); /* 12, 12, ... */
	add_option(DHCP_OPTION_OVERLOAD, "\1", 1);
	add_usual(DHCP_OFFER, SERVER, 3600);
	ignored();
	answer_begin(SERVER, OFFER);
	memset(frame_transport(&f) + 8 + 108, 0, 128); /* pads, and no end */
	add_option(DHCP_OPTION_OVERLOAD, "\1", 1);
	add_usual(DHCP_OFFER, SERVER, 3600);
	answer_end();
	CHECK_EQ(messages(), 1);
	stack_host_close(&s);
}

/* RFC 2132: an option of a length that is not its own says nothing */
TEST(dhcp_options_of_a_wrong_length_are_skipped)
{
	uint8_t offer = DHCP_OFFER, ack = DHCP_ACK;

	start();
	discover();
	for (unsigned i = 0; i < 2; i++) {
		answer_begin(SERVER, OFFER);
		add_option(DHCP_OPTION_TYPE, i ? &ack : &offer, 1);
		add_option(DHCP_OPTION_SERVER, "\12\0\0\1", 4);
		add_option(DHCP_OPTION_LEASE, "\0\0\16\20", 4);
		add_option(DHCP_OPTION_MASK, "\377\377", 2);
		add_option(DHCP_OPTION_ROUTER, "\12\0\0", 3);
		add_option(DHCP_OPTION_DNS, "\12\0\0", 3);
		add_option(DHCP_OPTION_T1, "", 0);
		answer_end();
		messages();
	}
	stack_host_run(&s, 8 * S);
	CHECK(info().bound);
	CHECK_EQ(info().prefix_bits, 8); /* of its class */
	CHECK_MEM(info().router.b, address("::").b, 16);
	CHECK_EQ(info().dns_count, 0);
	stack_host_close(&s);

	start();
	discover();
	answer_begin(SERVER, OFFER);
	add_option(DHCP_OPTION_LEASE, "\0\0\0\0\1", 5);
	add_usual(DHCP_OFFER, SERVER, 3600);
	ignored();
	stack_host_close(&s);
}

/* Who cannot be asked is no server of names; a part of an address is none */
TEST(dhcp_and_name_parsing_servers_that_are_no_hosts_are_skipped)
{
	static const char *const names[] = {
		"\0\0\0\0\177\0\0\1\12\0\0\11",
		"\340\0\0\373\377\377\377\377\12\0\0\11",
		"\12\0\0\11\12\0\0",
	};
	static const uint8_t bytes[] = { 12, 12, 7 }, expected[] = { 1, 1, 0 };
	uint8_t types[] = { DHCP_OFFER, DHCP_ACK };

	for (unsigned i = 0; i < 3; i++) {
		start();
		discover();
		for (unsigned k = 0; k < 2; k++) {
			answer_begin(SERVER, OFFER);
			add_option(DHCP_OPTION_TYPE, &types[k], 1);
			add_option(DHCP_OPTION_SERVER, "\12\0\0\1", 4);
			add_option(DHCP_OPTION_LEASE, "\0\0\16\20", 4);
			add_option(DHCP_OPTION_DNS, names[i], bytes[i]);
			answer_end();
			messages();
		}
		stack_host_run(&s, 8 * S);
		CHECK(info().bound);
		CHECK_EQ(info().dns_count, expected[i]);
		if (expected[i])
			CHECK_MEM(info().dns[0].b, address("10.0.0.9").b, 16);
		stack_host_close(&s);
	}
}

/* RFC 3396 4, 7: pieces are put together, over the areas of the message, too */
TEST(dhcp_options_in_pieces_are_put_together)
{
	static const uint8_t in_file[] = { DHCP_OPTION_LEASE,
					   2,
					   14,
					   16,
					   DHCP_OPTION_DNS,
					   3,
					   0,
					   0,
					   9,
					   DHCP_OPTION_DNS,
					   8,
					   10,
					   0,
					   0,
					   8,
					   10,
					   0,
					   0,
					   7,
					   DHCP_OPTION_DNS,
					   4,
					   10,
					   0,
					   0,
					   6,
					   DHCP_OPTION_END };
	uint8_t offer = DHCP_OFFER, ack = DHCP_ACK;

	start();
	discover();
	for (unsigned i = 0; i < 2; i++) {
		answer_begin(SERVER, OFFER);
		memcpy(frame_transport(&f) + 8 + 108, in_file, sizeof(in_file));
		add_option(DHCP_OPTION_OVERLOAD, "\1", 1);
		add_option(DHCP_OPTION_TYPE, i ? &ack : &offer, 1);
		add_option(DHCP_OPTION_SERVER, "\12\0", 2);
		add_option(DHCP_OPTION_SERVER, "", 0);
		add_option(DHCP_OPTION_SERVER, "\0\1", 2);
		add_option(DHCP_OPTION_LEASE, "\0\0", 2);
		add_option(DHCP_OPTION_DNS, "\12", 1);
		add_option(DHCP_OPTION_MASK, "\377\377\0\0", 4);
		add_option(DHCP_OPTION_MASK, "\377\0\0\0", 4); /* again */
		answer_end();
		messages();
	}
	stack_host_run(&s, 8 * S);
	CHECK(info().bound);
	CHECK_MEM(info().server.b, address("10.0.0.1").b, 16);
	CHECK_EQ(info().prefix_bits, 16);
	CHECK_GT(info().left_us, 3580 * S);
	CHECK_EQ(info().dns_count, 3); /* there is no room for the fourth */
	CHECK_MEM(info().dns[0].b, address("10.0.0.9").b, 16);
	CHECK_MEM(info().dns[1].b, address("10.0.0.8").b, 16);
	CHECK_MEM(info().dns[2].b, address("10.0.0.7").b, 16);
	stack_host_close(&s);
}

/* Without a client, port 68 is like any other */
TEST(dhcp_answers_without_a_client_go_to_udp)
{
	stack_host_open(&s, 0);
	answer(DHCP_OFFER, 3600);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_PORT), 1);
	stack_host_close(&s);
}
