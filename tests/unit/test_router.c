/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Router discovery (RFC 4861 6, RFC 4191, RFC 7559): asking, and each check and
 * consequence of an advertisement.
 */
#include <stdio.h>
#include <string.h>
#include "net/net_private.h"
#include "net_host.h"
#include "router_frame.h"
#include "test.h"
#include "wire/wire_ip6.h"

#define ROUTER "fe80::2"
#define SECOND "fe80::3"
#define FAR    "2001:db8:ffff::1"
#define S      1000000ull

static struct net_host h;
static struct frame f, sent;
static const uint8_t second_mac[6] = { 2, 0, 0, 0, 0, 3 };

static void start(void)
{
	net_host_open(&h);
	CHECK_EQ(net_autoconf_start(&h.net, 0, NULL), 0);
}

static void receive(void)
{
	frame_end(&f);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
}

static void advertise(const char *router, uint16_t lifetime_s)
{
	advert_begin(&f, router, lifetime_s);
	advert_mac(&f, strcmp(router, ROUTER) == 0 ? peer_mac : second_mac);
	receive();
}

/* A router that has answered us: no flood pushes it out of the cache. */
static void meet_router(void)
{
	struct tow_addr src;

	advert_begin(&f, ROUTER, 1800);
	receive();
	net_host_sent(&h);
	CHECK_EQ(net_host_send(&h, FAR, 0), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &sent);
	src = sent.src;
	frame_advert(&f, ROUTER, HOST_LINK_LOCAL,
		     ND_SOLICITED | ND_OVERRIDE | ND_ROUTER, ROUTER, peer_mac);
	f.dst = src;
	memcpy(frame_ip(&f) + 24, src.b, 16);
	receive();
}

/* The last byte of the station that a packet to @dst goes to; 0: none. */
static uint8_t way_to(const char *dst)
{
	net_host_sent(&h);
	if (net_host_send(&h, dst, 0) != 0)
		return 0;
	if (net_host_sent(&h) != 1)
		return 0;
	net_host_read(&h, 0, &sent);
	return sent.protocol == NET_UDP ? sent.data[5] : 0;
}

static unsigned count_solicits(void)
{
	unsigned n = net_host_sent(&h), count = 0;

	for (unsigned i = 0; i < n; i++) {
		net_host_read(&h, i, &f);
		if (f.protocol != NET_ICMP6 ||
		    frame_transport(&f)[0] != ICMP6_ROUTER_SOLICIT)
			continue;
		count++;
		sent = f;
	}
	return count;
}

/* RFC 4861 4.1, 6.3.7: to all routers, hop limit 255, with our station */
TEST(routers_are_asked_from_the_link_local_address)
{
	start();
	net_host_run(&h, 1 * S);
	CHECK_EQ(count_solicits(), 1);
	CHECK_MEM(sent.dst.b, address("ff02::2").b, 16);
	CHECK_EQ(frame_ip(&sent)[7], 255);
	/* The address was being checked: from nobody, without a station */
	CHECK_MEM(sent.src.b, address("::").b, 16);
	CHECK_EQ(sent.bytes, 14 + 40 + 8);
	net_host_run(&h, 5 * S);
	CHECK_EQ(count_solicits(), 1);
	CHECK(ip6_is_link_local(&sent.src));
	CHECK_EQ(sent.bytes, 14 + 40 + 16);
	CHECK_MEM(frame_transport(&sent) + 8, "\1\1", 2);
	CHECK_MEM(frame_transport(&sent) + 10, fake_mac, 6);
	net_host_close(&h);
}

/* RFC 7559 2: 4 s, 8 s, 16 s, ... 3600 s, and never an end */
TEST(questions_to_routers_back_off_and_do_not_end)
{
	static const unsigned first[] = { 1, 2, 3, 4 };

	start();
	net_host_run(&h, 1 * S);
	CHECK_EQ(count_solicits(), 1);
	for (unsigned i = 0; i < 4; i++) {
		net_host_run(&h, (4ull << i) * 6 / 5 * S + S);
		CHECK_LE(count_solicits(), first[i]);
	}
	net_host_run(&h, 36000 * S);
	CHECK_LE(count_solicits(), 20);
	for (unsigned i = 0; i < 5; i++) {
		net_host_run(&h, 4000 * S);
		CHECK_GE(count_solicits(), 1);
	}
	net_host_close(&h);
}

/* RFC 7559 2.1: a router has answered */
TEST(first_advertisement_of_a_router_ends_the_questions)
{
	start();
	net_host_run(&h, 6 * S);
	CHECK_GE(count_solicits(), 1);
	advertise(ROUTER, 9000);
	net_host_run(&h, 1000 * S);
	CHECK_EQ(count_solicits(), 0);
	net_host_close(&h);
}

/* RFC 4861 6.3.7: an advertisement that nobody asked for may be incomplete */
TEST(routers_are_asked_once_also_if_one_was_first)
{
	start();
	advertise(ROUTER, 9000);
	net_host_run(&h, 1 * S);
	CHECK_EQ(count_solicits(), 1);
	advertise(ROUTER, 9000);
	net_host_run(&h, 1000 * S);
	CHECK_EQ(count_solicits(), 0);
	net_host_close(&h);
}

/* RFC 7559 2.1: one that is no default router does not count */
TEST(advertisement_without_lifetime_does_not_end_the_questions)
{
	start();
	net_host_run(&h, 6 * S);
	count_solicits();
	advertise(ROUTER, 0);
	net_host_run(&h, 60 * S);
	CHECK_GE(count_solicits(), 1);
	CHECK_EQ(net_host_send(&h, FAR, 0), TOW_ENETUNREACH);
	net_host_close(&h);
}

/* RFC 4861 6.3.4, 6.3.5: a default route for as long as the router says */
TEST(default_router_lasts_as_long_as_its_lifetime)
{
	start();
	CHECK_EQ(way_to(FAR), 0);
	advertise(ROUTER, 1800);
	CHECK_EQ(way_to(FAR), peer_mac[5]);
	net_host_run(&h, 1799 * S);
	CHECK_EQ(net_host_send(&h, FAR, 0), 0);
	net_host_run(&h, 2 * S);
	CHECK_EQ(net_host_send(&h, FAR, 0), TOW_ENETUNREACH);
	net_host_run(&h, 2 * S);
	CHECK_GE(count_solicits(), 1); /* another one is looked for */
	net_host_close(&h);
}

/* RFC 4861 6.3.4: "Lifetime is zero, immediately time-out the entry" */
TEST(router_that_says_zero_is_none_at_once)
{
	start();
	advertise(ROUTER, 1800);
	CHECK_EQ(way_to(FAR), peer_mac[5]);
	advertise(ROUTER, 0);
	CHECK_EQ(net_host_send(&h, FAR, 0), TOW_ENETUNREACH);
	net_host_run(&h, 6 * S);
	CHECK_GE(count_solicits(), 1); /* another one is looked for */
	net_host_close(&h);
}

/* Another one is there: nobody needs to be asked */
TEST(router_that_says_zero_beside_another_is_not_missed)
{
	start();
	net_host_run(&h, 6 * S);
	advertise(ROUTER, 1800);
	advertise(SECOND, 1800);
	count_solicits();
	advertise(ROUTER, 0);
	net_host_run(&h, 60 * S);
	CHECK_EQ(count_solicits(), 0);
	CHECK_EQ(way_to(FAR), second_mac[5]);
	net_host_close(&h);
}

/* One that comes and goes does not make us ask at its pace */
TEST(router_that_flaps_is_asked_for_as_seldom_as_at_first)
{
	unsigned solicits = 0;

	start();
	net_host_run(&h, 6 * S);
	count_solicits();
	for (unsigned i = 0; i < 600; i++) {
		advertise(ROUTER, 1800);
		advertise(ROUTER, 0);
		net_host_run(&h, S / 10);
		solicits += count_solicits();
	}
	CHECK_LE(solicits, 60 / 4 + 1);
	net_host_run(&h, 6 * S);
	CHECK_GE(count_solicits(), 1);
	net_host_close(&h);
}

/* RFC 4861 7.2.5: the router flag is gone, and with it the route */
TEST(router_that_becomes_a_host_is_no_router)
{
	start();
	advertise(ROUTER, 1800);
	CHECK_EQ(way_to(FAR), peer_mac[5]);
	frame_advert(&f, ROUTER, "ff02::1", ND_ROUTER, ROUTER, peer_mac);
	receive();
	CHECK_EQ(way_to(FAR), peer_mac[5]);
	frame_advert(&f, ROUTER, "ff02::1", 0, ROUTER, second_mac);
	receive(); /* without the override flag it says nothing */
	CHECK_EQ(net_host_send(&h, FAR, 0), 0);
	frame_advert(&f, ROUTER, "ff02::1", 0, ROUTER, peer_mac);
	receive();
	CHECK_EQ(net_host_send(&h, FAR, 0), TOW_ENETUNREACH);
	net_host_run(&h, 6 * S);
	CHECK_GE(count_solicits(), 1); /* another one is looked for */
	net_host_close(&h);
}

/* It forwards nothing, whatever it was a router to; RFC 4191 3.1 */
TEST(router_that_becomes_a_host_has_no_routes_either)
{
	start();
	advertise(SECOND, 1800);
	advert_begin(&f, ROUTER, 0);
	advert_mac(&f, peer_mac);
	advert_route(&f, "2001:db8:ffff::", 48, 0, 1800);
	advert_route(&f, "2001:db8:fffe::", 48, 0, 1800);
	advert_prefix(&f, "2001:db8:7::", 64, ND_PREFIX_ON_LINK, 600, 600);
	receive();
	CHECK_EQ(way_to(FAR), peer_mac[5]);
	frame_advert(&f, ROUTER, "ff02::1", 0, ROUTER, peer_mac);
	receive();
	CHECK_EQ(way_to(FAR), second_mac[5]);
	CHECK_EQ(way_to("2001:db8:fffe::1"), second_mac[5]);
	/* That is a neighbour, whoever said so */
	CHECK_EQ(way_to("2001:db8:7::1"), 0);
	CHECK_EQ(net_host_send(&h, "2001:db8:7::1", 0), 0);
	net_host_close(&h);
}

/* RFC 4191 3.1: high before medium before low, and changes are followed */
TEST(preferred_router_is_used)
{
	start();
	advertise(ROUTER, 1800);
	advert_begin(&f, SECOND, 1800);
	frame_transport(&f)[5] = 1 << 3;
	advert_mac(&f, second_mac);
	receive();
	CHECK_EQ(way_to(FAR), second_mac[5]);
	advert_begin(&f, SECOND, 1800);
	frame_transport(&f)[5] = 3 << 3;
	receive();
	CHECK_EQ(way_to(FAR), peer_mac[5]);
	net_host_close(&h);
}

/* RFC 4191 3.1: the longest prefix wins, whatever the preference */
TEST(more_specific_route_is_used)
{
	start();
	advertise(ROUTER, 1800);
	advert_begin(&f, SECOND, 0);
	advert_mac(&f, second_mac);
	advert_route(&f, "2001:db8:ffff::", 48, -1, 600);
	receive();
	CHECK_EQ(way_to(FAR), second_mac[5]);
	CHECK_EQ(way_to("2001:db8:fffe::1"), peer_mac[5]);
	net_host_run(&h, 601 * S);
	net_host_sent(&h);
	advertise(ROUTER, 1800);
	CHECK_EQ(net_host_send(&h, FAR, 0), 0);
	CHECK_EQ(route_lookup(&h.net, &(struct tow_addr){ { 0x20, 1, 0xd, 0xb8,
							    0xff, 0xff } })
			 ->gateway.b[15],
		 2);
	net_host_close(&h);
}

/* The peer answers whatever is asked about @router, from @mac. */
static void answer_for(const char *router, const uint8_t mac[6])
{
	struct tow_addr src = sent.src;

	frame_advert(&f, router, HOST_LINK_LOCAL,
		     ND_SOLICITED | ND_OVERRIDE | ND_ROUTER, router, mac);
	f.dst = src;
	memcpy(frame_ip(&f) + 24, src.b, 16);
	receive();
}

struct talk {
	unsigned to_router, to_second; /* datagrams */
	unsigned asked;		       /* solicitations for SECOND */
};

static bool asks_for(const char *router)
{
	struct tow_addr addr = address(router);

	return sent.protocol == NET_ICMP6 &&
	       frame_transport(&sent)[0] == ICMP6_NEIGHBOUR_SOLICIT &&
	       memcmp(frame_transport(&sent) + 8, addr.b, 16) == 0;
}

/* Which routers answer when they are asked. */
static bool router_lives, second_lives;

static void look_at_sent(struct talk *t)
{
	unsigned i, n = net_host_sent(&h);

	for (i = 0; i < n; i++) {
		net_host_read(&h, i, &sent);
		if (sent.protocol == NET_UDP) {
			t->to_router += sent.data[5] == peer_mac[5];
			t->to_second += sent.data[5] == second_mac[5];
		} else if (asks_for(ROUTER)) {
			if (router_lives)
				answer_for(ROUTER, peer_mac);
		} else if (asks_for(SECOND)) {
			t->asked++;
			if (second_lives)
				answer_for(SECOND, second_mac);
		}
	}
}

/* A datagram a second to @dst. */
static struct talk talk(const char *dst, unsigned seconds)
{
	struct talk t = { 0 };

	for (; seconds > 0; seconds--) {
		CHECK_EQ(net_host_send(&h, dst, 0), 0);
		net_host_run(&h, S / 2);
		look_at_sent(&t);
		net_host_run(&h, S / 2);
		look_at_sent(&t);
	}
	return t;
}

/* Both are there, and SECOND is to be taken for FAR, for as long as it lives */
static void prefer_second(void)
{
	start();
	net_host_run(&h, 5 * S);
	advertise(ROUTER, 9000);
	advert_begin(&f, SECOND, 9000);
	frame_transport(&f)[5] = 1 << 3;
	advert_mac(&f, second_mac);
	receive();
	count_solicits();
	router_lives = true;
	second_lives = false;
}

/* RFC 4191 3.2, 3.5: reachable before preferred; asked for once a minute */
TEST(preferred_router_that_is_dead_is_passed_over_and_probed)
{
	struct talk t;

	prefer_second();
	t = talk(FAR, 10);
	CHECK_GE(t.to_second, 5);
	CHECK_EQ(t.asked, 3);
	t = talk(FAR, 50);
	CHECK_EQ(t.to_router, 50);
	CHECK_EQ(t.asked, 0);
	t = talk(FAR, 600);
	CHECK_EQ(t.to_router, 600);
	CHECK_GE(t.asked, 9);
	CHECK_LE(t.asked, 10);
	second_lives = true;
	t = talk(FAR, 70);
	CHECK_GE(t.asked, 1);
	CHECK_GE(t.to_second, 5);
	second_lives = true;
	t = talk(FAR, 10);
	CHECK_EQ(t.to_second, 10);
	net_host_close(&h);
}

/* RFC 4191 3.5: never "in the absence of useful traffic" */
TEST(dead_router_is_not_probed_without_traffic)
{
	struct talk t;

	prefer_second();
	talk(FAR, 20);
	net_host_run(&h, 1000 * S);
	net_host_sent(&h);
	/* Traffic that would not go by it is no reason, either */
	t = talk("2001:db8::9", 1);
	CHECK_EQ(t.asked, 0);
	t = talk(FAR, 1);
	CHECK_EQ(t.asked, 1);
	CHECK_EQ(t.to_router, 1);
	net_host_close(&h);
}

/* ROUTER is for all, SECOND for the net of FAR alone. */
static void start_with_second_for_far(void)
{
	start();
	net_host_run(&h, 5 * S);
	advertise(ROUTER, 9000);
	advert_begin(&f, SECOND, 0);
	advert_mac(&f, second_mac);
	advert_route(&f, "2001:db8:ffff::", 48, 0, 9000);
	receive();
}

/* RFC 4191 3.2: "the next best route is consulted", also a shorter one */
TEST(dead_router_of_a_more_specific_route_gives_way_to_a_default_one)
{
	struct talk t;

	start_with_second_for_far();
	router_lives = true;
	second_lives = false;
	t = talk(FAR, 10);
	CHECK_GE(t.to_second, 5);
	t = talk(FAR, 130);
	CHECK_EQ(t.to_router, 130);
	CHECK_EQ(t.asked, 2);
	second_lives = true;
	t = talk(FAR, 70);
	CHECK_GE(t.to_second, 1);
	net_host_close(&h);
}

/*
 * RFC 4191 3.2: where none lives each is tried, and the first that does taken
 */
TEST(routers_that_are_all_dead_are_all_probed)
{
	struct talk t;

	start_with_second_for_far();
	router_lives = second_lives = false;
	talk(FAR, 20);
	net_host_run(&h, 60 * S);
	router_lives = true;
	t = talk(FAR, 10);
	CHECK_GE(t.to_router, 5);
	net_host_close(&h);
}

/* A path that is kept is made anew when there may be a better one again */
TEST(kept_path_goes_back_to_the_router_that_is_preferred)
{
	struct tow_addr any = tow_addr_any(), far = address(FAR);
	struct net_path path;

	prefer_second();
	talk(FAR, 20);
	CHECK_EQ(net_path_find(&h.net, &any, &far, 0, &path), 0);
	CHECK_EQ(path.next_hop.b[15], 2);
	net_host_run(&h, 60 * S);
	net_host_sent(&h);
	CHECK(path.generation != h.net.generation);
	CHECK_EQ(net_path_refresh(&h.net, &path), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &sent);
	CHECK(asks_for(SECOND));
	answer_for(SECOND, second_mac);
	CHECK_EQ(net_path_refresh(&h.net, &path), 0);
	CHECK_EQ(path.next_hop.b[15], 3);
	net_host_close(&h);
}

/* Others' solicitations, more than the cache has room for. */
static void flood_neighbours(void)
{
	char name[40];

	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "2001:db8::%x", 0x100 + i);
		frame_solicit(&f, name, "ff02::1:ff00:1", "2001:db8::1",
			      second_mac);
		receive();
	}
	net_host_sent(&h);
}

static bool asks_once_for(const char *router)
{
	if (net_host_sent(&h) != 1)
		return false;
	net_host_read(&h, 0, &sent);
	return asks_for(router);
}

/*
 * RFC 4191 3.5: who fills the neighbour cache neither keeps a router from being
 * asked nor has it asked more often.
 */
TEST(question_to_a_dead_router_that_was_forgotten_is_asked_again_in_time)
{
	struct tow_addr any = tow_addr_any(), far = address(FAR);
	struct tow_addr second = address(SECOND);
	struct net_path path, other;

	prefer_second();
	talk(FAR, 20);
	CHECK_EQ(net_path_find(&h.net, &any, &far, 0, &path), 0);
	for (unsigned minute = 0; minute < 3; minute++) {
		net_host_run(&h, 60 * S);
		net_host_sent(&h);
		CHECK(path.generation != h.net.generation);
		CHECK_EQ(net_path_refresh(&h.net, &path), 0);
		CHECK(asks_once_for(SECOND));
		flood_neighbours();
		CHECK(!neighbour_find(&h.net, 0, &second));
		CHECK_EQ(net_path_find(&h.net, &any, &far, 0, &other), 0);
		CHECK_EQ(net_host_sent(&h), 0);
	}
	net_host_close(&h);
}

static void advertise_route(const char *router, uint8_t bits)
{
	advert_begin(&f, router, 0);
	advert_route(&f, "2001:db8:ffff::", bits, 0, 9000);
	receive();
}

/* Each a minute after it failed, whichever is the better one */
TEST(several_dead_routers_are_probed_when_each_is_due)
{
	struct tow_addr any = tow_addr_any(), far = address(FAR);
	struct tow_addr second = address(SECOND), third = address("fe80::4");
	struct net_path path;

	start();
	net_host_run(&h, 5 * S);
	advertise_route(ROUTER, 0);
	advertise_route(SECOND, 48);
	advertise_route("fe80::4", 40);
	route_gateway_failed(&h.net, 0, &third);
	net_host_run(&h, 50 * S);
	route_gateway_failed(&h.net, 0, &second);
	net_host_sent(&h);
	CHECK_EQ(net_path_find(&h.net, &any, &far, 0, &path), 0);
	CHECK_EQ(path.next_hop.b[15], 2);
	net_host_run(&h, 11 * S);
	CHECK(path.generation != h.net.generation);
	CHECK_EQ(net_path_refresh(&h.net, &path), 0);
	CHECK(asks_once_for("fe80::4"));
	net_host_run(&h, 2 * S); /* no answer */
	CHECK_EQ(net_path_refresh(&h.net, &path), 0);
	net_host_run(&h, 47 * S + S / 2);
	CHECK(path.generation != h.net.generation);
	CHECK_EQ(net_path_refresh(&h.net, &path), 0);
	CHECK(asks_once_for(SECOND));
	net_host_close(&h);
}

/* RFC 4191 2.2: reserved is medium; 3.1: ::/0 overrides the header */
TEST(preferences_of_routers_are_read_as_they_are_meant)
{
	start();
	advertise(ROUTER, 1800); /* medium */
	advert_begin(&f, SECOND, 1800);
	frame_transport(&f)[5] = 2 << 3;
	advert_mac(&f, second_mac);
	receive();
	CHECK_EQ(way_to(FAR), peer_mac[5]);
	advert_begin(&f, ROUTER, 1800);
	frame_transport(&f)[5] = 3 << 3;
	receive(); /* low is below reserved */
	CHECK_EQ(way_to(FAR), second_mac[5]);
	advert_begin(&f, ROUTER, 1800);
	frame_transport(&f)[5] = 0xe7 | 3 << 3; /* other bits mean nothing */
	advert_route(&f, "::", 0, 1, 3600);
	receive();
	CHECK_EQ(way_to(FAR), peer_mac[5]);
	net_host_run(&h, 1801 * S); /* of the option's lifetime, too */
	CHECK_EQ(net_host_send(&h, FAR, 0), 0);
	net_host_run(&h, 1800 * S);
	CHECK_EQ(net_host_send(&h, FAR, 0), TOW_ENETUNREACH);
	net_host_close(&h);
}

/*
 * RFC 4191 3.1: a router that is one by its option only, or with another
 * preference, is there all the time: nobody is asked for, and paths stay.
 */
TEST(option_that_overrides_the_header_is_no_news_each_time)
{
	uint32_t generation = 0;

	start();
	net_host_run(&h, 6 * S);
	count_solicits();
	for (unsigned i = 0; i < 40; i++) {
		advert_begin(&f, ROUTER, i < 20 ? 0 : 600);
		advert_mac(&f, peer_mac);
		advert_route(&f, "::", 0, -1, 1800);
		receive();
		if (i == 0)
			generation = h.net.generation;
		net_host_run(&h, 10 * S);
		CHECK_EQ(count_solicits(), 0);
		CHECK_EQ(h.net.generation, generation);
	}
	advert_begin(&f, ROUTER, 600);
	advert_route(&f, "::", 0, 0, 0);
	receive();
	CHECK_EQ(way_to(FAR), 0);
	net_host_close(&h);
}

/* RFC 4191 2.3: lengths that do not fit the prefix, the reserved preference */
TEST(malformed_route_options_are_skipped)
{
	start();
	advert_begin(&f, ROUTER, 0);
	advert_route(&f, "2001:db8:ffff::", 48, -2, 600);
	advert_route(&f, "2001:db8:ffff::", 129, 0, 600);
	advert_route(&f, "::ffff:198.51.100.0", 120, 0, 600);
	advert_route(&f, "ff02::", 16, 0, 600);
	advert_route(&f, "fe80::", 64, 0, 600);
	frame_add(&f, "\30\1\60\0\0\0\2\130", 8); /* 48 bits, none there */
	frame_add(&f, "\30\2\101\0\0\0\2\130\40\1\15\270\377\377\0\0", 16);
	receive();
	CHECK_EQ(h.net.stats.counters[TOW_COUNTER_ROUTER_ADVERTS], 1);
	CHECK_EQ(net_host_send(&h, FAR, 0), TOW_ENETUNREACH);
	net_host_close(&h);
}

/* RFC 4191 2.3: "ignored by the receiver"; infinity */
TEST(reserved_bits_of_route_options_are_ignored)
{
	uint8_t *option;

	start();
	advert_begin(&f, ROUTER, 0);
	advert_mac(&f, peer_mac);
	advert_route(&f, "2001:db8:ffff:ffff::1", 48, 0, UINT32_MAX);
	option = f.data + f.bytes - sizeof(struct wire_nd_route);
	option[3] |= 0xe7;
	receive();
	CHECK_EQ(way_to(FAR), peer_mac[5]);
	for (unsigned i = 0; i < h.net.private->automatic.learned_max; i++)
		if (h.net.private->automatic.learned[i].until_us != 0)
			CHECK_EQ(h.net.private->automatic.learned[i].until_us,
				 NEVER);
	net_host_close(&h);
}

/* RFC 4861 6.3.4: a prefix that is on the link needs no router */
TEST(prefix_on_link_is_reached_without_a_router)
{
	start();
	advert_begin(&f, ROUTER, 1800);
	advert_mac(&f, peer_mac);
	advert_prefix(&f, "2001:db8:5::", 64, ND_PREFIX_ON_LINK, 600, 600);
	receive();
	CHECK_EQ(net_host_send(&h, "2001:db8:5::9", 0), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &sent);
	CHECK_EQ(frame_transport(&sent)[0], ICMP6_NEIGHBOUR_SOLICIT);
	net_host_run(&h, 601 * S);
	CHECK_NE(way_to("2001:db8:5::9"), 0); /* by the router */
	net_host_close(&h);
}

/* RFC 4861 6.3.4: a lifetime of zero is its end; link-local and /0 never */
TEST(prefixes_that_make_no_sense_are_ignored)
{
	uint32_t routes;

	start();
	routes = h.net.route_count;
	advert_begin(&f, ROUTER, 0);
	advert_prefix(&f, "fe80::", 64, 0xc0, 600, 600);
	advert_prefix(&f, "::", 0, 0xc0, 600, 600);
	advert_prefix(&f, "ff00::", 64, 0xc0, 600, 600);
	advert_prefix(&f, "::ffff:192.0.2.0", 120, 0xc0, 600, 600);
	advert_prefix(&f, "2001:db8:5::", 129, 0xc0, 600, 600);
	advert_prefix(&f, "2001:db8:5::", 64, 0xc0, 0, 0);
	receive();
	CHECK_EQ(h.net.route_count, routes);
	advert_begin(&f, ROUTER, 0);
	advert_prefix(&f, "2001:db8:5::", 64, ND_PREFIX_ON_LINK, 600, 600);
	receive();
	CHECK_EQ(h.net.route_count, routes + 1);
	/* 4.6.2: without the flag nothing is said about it, nor taken back */
	advert_begin(&f, ROUTER, 0);
	advert_prefix(&f, "2001:db8:5::", 64, 0, 600, 600);
	advert_prefix(&f, "2001:db8:5::", 64, 0, 0, 0);
	receive();
	CHECK_EQ(h.net.route_count, routes + 1);
	advert_begin(&f, ROUTER, 0);
	advert_prefix(&f, "2001:db8:5::", 64, ND_PREFIX_ON_LINK, 0, 0);
	receive();
	CHECK_EQ(h.net.route_count, routes);
	net_host_close(&h);
}

/* RFC 4861 6.3.4: the MTU of IPv6, never above the link's nor below 1280 */
TEST(advertised_mtu_is_followed_within_bounds)
{
	static const struct {
		uint32_t said, becomes;
	} mtus[] = { { 1400, 1400 }, { 1279, 1400 }, { 1501, 1400 },
		     { 0, 1400 },    { 1280, 1280 }, { UINT32_MAX, 1280 },
		     { 1500, 1500 } };
	const uint64_t *fragments =
		&h.net.stats.counters[TOW_COUNTER_FRAGMENTS_OUT];

	start();
	for (unsigned i = 0; i < 7; i++) {
		advert_begin(&f, ROUTER, 1800);
		advert_mac(&f, peer_mac);
		advert_mtu(&f, mtus[i].said);
		receive();
		net_host_sent(&h);
		CHECK_EQ(net_host_send(&h, FAR, mtus[i].becomes - 48), 0);
		CHECK_EQ(*fragments, 2 * i);
		CHECK_EQ(net_host_send(&h, FAR, mtus[i].becomes - 47), 0);
		CHECK_EQ(*fragments, 2 * i + 2);
	}
	CHECK_EQ(net_host_send(&h, "192.0.2.9", 1472), 0); /* IPv4 is free */
	net_host_close(&h);
}

/* CVE-2015-2922: a hop limit that lets nothing arrive */
TEST(advertised_hop_limit_is_never_below_ours)
{
	static const struct {
		uint8_t said, becomes;
	} limits[] = {
		{ 1, 64 },    { 63, 64 }, { 0, 64 },
		{ 255, 255 }, { 0, 255 }, /* says nothing, takes nothing back */
		{ 64, 64 },
	};

	start();
	for (unsigned i = 0; i < 6; i++) {
		advert_begin(&f, ROUTER, 1800);
		frame_transport(&f)[4] = limits[i].said;
		advert_mac(&f, peer_mac);
		receive();
		CHECK_NE(way_to(FAR), 0);
		CHECK_EQ(frame_ip(&sent)[7], limits[i].becomes);
	}
	net_host_close(&h);
}

/* RFC 4861 6.3.4: RetransTimer, within bounds */
TEST(advertised_retransmission_time_is_followed_within_bounds)
{
	start();
	net_host_run(&h, 3 * S);
	advert_begin(&f, ROUTER, 1800);
	wire_put32(frame_transport(&f) + 12, 5000);
	receive();
	net_host_sent(&h);
	CHECK_EQ(net_host_send(&h, "2001:db8::9", 0), 0);
	net_host_run(&h, 4 * S);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_run(&h, 4 * S);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_run(&h, 20 * S);
	net_host_sent(&h);
	advert_begin(&f, ROUTER, 1800);
	wire_put32(frame_transport(&f) + 12, 1); /* a flood by our own hand */
	receive();
	CHECK_EQ(net_host_send(&h, "2001:db8::9", 0), 0);
	net_host_run(&h, 99000);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_close(&h);
}

/* RFC 4861 6.3.2: half of BaseReachableTime at least, be it the longest */
TEST(advertised_reachable_time_is_followed_up_to_the_longest)
{
	const struct neighbour *n;

	start();
	advert_begin(&f, ROUTER, 1800);
	wire_put32(frame_transport(&f) + 8, 3600000);
	receive();
	for (unsigned i = 0; i < 20; i++) {
		CHECK_EQ(net_host_send(&h, "2001:db8::9", 0), 0);
		frame_advert(&f, "2001:db8::9", "2001:db8::1",
			     ND_SOLICITED | ND_OVERRIDE, "2001:db8::9",
			     peer_mac);
		receive();
		n = neighbour_find(&h.net, 0, &f.src);
		CHECK(n);
		CHECK_GE(n->reachable_until_us, h.net.now_us + 1800 * S);
		CHECK_LE(n->reachable_until_us, h.net.now_us + 5400 * S);
	}
	net_host_close(&h);
}

/* RFC 4861 6.1.2, each check */
TEST(bad_router_advertisements_are_dropped)
{
	start();
	advert_begin(&f, "2001:db8::2", 1800);
	frame_end(&f);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	advert_begin(&f, ROUTER, 1800);
	frame_ip(&f)[7] = 254;
	frame_end(&f);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	advert_begin(&f, ROUTER, 1800);
	frame_transport(&f)[1] = 1;
	frame_end(&f);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	advert_begin(&f, ROUTER, 1800);
	f.bytes -= 1;
	frame_end(&f);
	net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	advert_begin(&f, ROUTER, 1800);
	frame_end(&f);
	frame_transport(&f)[2] ^= 1;
	net_host_refuses(&h, &f, TOW_DROP_ICMP_BAD);
	CHECK_EQ(net_host_send(&h, FAR, 0), TOW_ENETUNREACH);
	net_host_close(&h);
}

/* RFC 4861 6.1.2: one bad length spoils it all, also what came before it */
TEST(advertisement_with_a_bad_option_is_not_followed_by_halves)
{
	static const uint8_t lengths[] = { 0, 2, 255 };

	start();
	for (unsigned i = 0; i < 3; i++) {
		advert_begin(&f, ROUTER, 1800);
		advert_prefix(&f, "2001:db8:5::", 64, 0xc0, 600, 600);
		advert_mtu(&f, 1280);
		frame_transport(&f)[16 + 32 + 1] = lengths[i];
		frame_end(&f);
		net_host_refuses(&h, &f, TOW_DROP_ND_BAD);
	}
	CHECK_EQ(net_host_send(&h, FAR, 0), TOW_ENETUNREACH);
	CHECK_EQ(h.net.links[0].mtu6, 1500);
	net_host_close(&h);
}

TEST(advertisements_are_ignored_where_nobody_wants_them)
{
	net_host_open(&h);
	advert_begin(&f, ROUTER, 1800);
	frame_end(&f);
	net_host_refuses(&h, &f, TOW_DROP_ICMP_IGNORED);
	net_host_close(&h);
}

/* What was learned goes with autoconfiguration */
TEST(stopping_takes_back_what_routers_said)
{
	struct tow_addr_info all[16];
	uint32_t routes;

	start();
	routes = h.net.route_count;
	net_host_run(&h, 3 * S);
	advert_begin(&f, ROUTER, 1800);
	advert_mac(&f, peer_mac);
	advert_prefix(&f, "2001:db8:5::", 64, 0xc0, 600, 600);
	advert_mtu(&f, 1280);
	receive();
	net_host_run(&h, 3 * S);
	CHECK_EQ(h.net.route_count, routes + 2);
	CHECK_EQ(net_addr_list(&h.net, 0, all, 16), 4);
	net_autoconf_stop(&h.net, 0);
	CHECK_EQ(h.net.route_count, routes);
	CHECK_EQ(net_addr_list(&h.net, 0, all, 16), 3);
	CHECK_EQ(h.net.links[0].mtu6, 1500);
	CHECK_EQ(net_autoconf_start(&h.net, 0, NULL), 0);
	CHECK_EQ(net_autoconf_start(&h.net, 0, NULL), TOW_EEXIST);
	net_host_close(&h);
}

/*
 * ARP/ND poisoning and floods, DAD denial: a router advertisement flood. Tables
 * stay within their bounds, the router that we use stays, and so few packets
 * leave us as if nothing had come.
 */
TEST(router_advertisement_flood_fills_no_table_and_takes_no_route)
{
	unsigned out = 0;
	char name[40];

	start();
	net_host_run(&h, 5 * S);
	meet_router();
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "fe80::1:%x:%x", i >> 8, i & 255);
		advert_begin(&f, name, 1800);
		advert_mac(&f, second_mac);
		snprintf(name, sizeof(name),
			 "2001:db8:%x:%x::", 0x100 + (i >> 8), i & 255);
		advert_prefix(&f, name, 64, 0xc0, 600, 600);
		advert_route(&f, name, 60, 1, 600);
		receive();
		if (i % 100 == 0) {
			net_host_run(&h, S / 10);
			out += net_host_sent(&h);
		}
	}
	net_host_run(&h, 3 * S);
	out += net_host_sent(&h);
	CHECK_LE(h.net.addr_count, h.net.addr_max);
	CHECK_LE(h.net.route_count, h.net.route_max);
	CHECK_GT(h.net.stats.counters[TOW_COUNTER_ROUTER_FULL], 10000);
	CHECK_LE(out, 64);
	CHECK_EQ(way_to(FAR), peer_mac[5]);
	net_host_close(&h);
}

/* The flood above with lifetimes that end: nothing is left of it */
TEST(router_advertisement_flood_ends_with_its_lifetimes)
{
	char name[40];
	uint32_t addrs, routes;

	start();
	net_host_run(&h, 5 * S);
	addrs = h.net.addr_count;
	routes = h.net.route_count;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "2001:db8:%x::", 0x100 + i);
		advert_begin(&f, ROUTER, 2);
		advert_prefix(&f, name, 64, 0xc0, 2, 2);
		advert_route(&f, name, 60, 1, 2);
		receive();
	}
	net_host_run(&h, 10 * S);
	CHECK_EQ(h.net.addr_count, addrs);
	CHECK_EQ(h.net.route_count, routes);
	net_host_close(&h);
}
