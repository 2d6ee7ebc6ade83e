/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Servers of names and domains that routers advertise (RFC 8106): what is
 * believed, in which order, for how long.
 */
#include <stdio.h>
#include <string.h>
#include "net/net_private.h"
#include "net_host.h"
#include "router_frame.h"
#include "test.h"
#include "wire/wire_ip6.h"

#define ROUTER "fe80::2"
#define S      1000000ull

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Names as on the wire; the array's own zero is the end of the last one. */
#define NAMES(text) text, sizeof(text)

static struct net_host h;
static struct frame f;

static void start(void)
{
	net_host_open(&h);
	CHECK_EQ(net_autoconf_start(&h.net, 0, NULL), 0);
	net_host_run(&h, 5 * S);
	net_addrs_changed(&h.net, 0);
}

static void begin(void)
{
	advert_begin(&f, ROUTER, 1800);
	advert_mac(&f, peer_mac);
}

static void receive(void)
{
	frame_end(&f);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
}

static void say_servers(uint32_t lifetime_s, const char *const *servers)
{
	begin();
	advert_servers(&f, lifetime_s, servers);
	receive();
}

static void say_domains(uint32_t lifetime_s, const void *names, uint32_t bytes)
{
	begin();
	advert_domains(&f, lifetime_s, names, bytes);
	receive();
}

/* The servers are these, in this order, and no others. */
static void servers_are(const char *const *expected)
{
	struct tow_dns_server all[8];
	int count = net_dns_servers(&h.net, 0, all, 8), i;

	for (i = 0; i < count && expected[i]; i++)
		CHECK_MEM(all[i].addr.b, address(expected[i]).b, 16);
	CHECK(i == count && !expected[i]);
}

static void domains_are(const char *const *expected)
{
	struct tow_dns_domain all[8];
	int count = net_dns_domains(&h.net, 0, all, 8), i;

	for (i = 0; i < count && expected[i]; i++)
		CHECK_STR(all[i].name, expected[i]);
	CHECK(i == count && !expected[i]);
}

static const char *const none[] = { NULL };

/* RFC 8106 5.1, 5.2: in their order, until their time is over, told once */
TEST(advertised_name_servers_are_told_to_the_program)
{
	struct tow_dns_server server;

	start();
	begin();
	advert_servers(&f, 600, LIST("2001:db8::53", "fe80::2"));
	advert_domains(&f, 300, NAMES("\7example\3com\0\4corp\7example\3net"));
	receive();
	servers_are(LIST("2001:db8::53", "fe80::2"));
	domains_are(LIST("example.com", "corp.example.net"));
	CHECK(net_addrs_changed(&h.net, 0));
	CHECK_EQ(net_dns_servers(&h.net, 0, &server, 1), 2);
	CHECK_EQ(server.valid_us, 600 * S);
	CHECK(!server.by_dhcp);
	CHECK_EQ(net_dns_servers(&h.net, 0, NULL, 0), 2);
	receive(); /* the same again is no news */
	CHECK(!net_addrs_changed(&h.net, 0));
	net_host_run(&h, 301 * S);
	servers_are(LIST("2001:db8::53", "fe80::2"));
	domains_are(none);
	CHECK(net_addrs_changed(&h.net, 0));
	net_host_run(&h, 300 * S);
	servers_are(none);
	CHECK(net_addrs_changed(&h.net, 0));
	net_host_close(&h);
}

/* RFC 8106 5.1: "no longer be used", and all ones are for ever */
TEST(name_server_whose_lifetime_is_zero_is_none_at_once)
{
	struct tow_dns_server server;

	start();
	say_servers(UINT32_MAX, LIST("2001:db8::53", "2001:db8::54"));
	say_domains(UINT32_MAX, NAMES("\7example\3com"));
	CHECK_EQ(net_dns_servers(&h.net, 0, &server, 1), 2);
	CHECK_EQ(server.valid_us, TOW_FOREVER);
	net_addrs_changed(&h.net, 0);
	say_servers(0, LIST("2001:db8::53", "2001:db8::99"));
	servers_are(LIST("2001:db8::54"));
	CHECK(net_addrs_changed(&h.net, 0));
	say_domains(0, NAMES("\7EXAMPLE\3com"));
	domains_are(none);
	net_host_close(&h);
}

/* RFC 8106 6.2 (c), 6.1: whatever becomes of the router itself */
TEST(name_server_is_refreshed_and_outlives_the_router)
{
	start();
	say_servers(100, LIST("2001:db8::53", "2001:db8::54"));
	net_host_run(&h, 60 * S);
	say_servers(100, LIST("2001:db8::54"));
	servers_are(LIST("2001:db8::53", "2001:db8::54"));
	advert_begin(&f, ROUTER, 0);
	receive();
	net_host_run(&h, 60 * S);
	servers_are(LIST("2001:db8::54"));
	net_host_close(&h);
}

/* RFC 8106 6.2 (d): what is new comes first, in the order of the options */
TEST(new_name_servers_come_before_known_ones)
{
	start();
	say_servers(600, LIST("2001:db8::1"));
	begin();
	advert_servers(&f, 600, LIST("2001:db8::2", "2001:db8::3"));
	advert_servers(&f, 300, LIST("2001:db8::4"));
	receive();
	servers_are(LIST("2001:db8::2", "2001:db8::3", "2001:db8::4",
			 "2001:db8::1"));
	net_host_close(&h);
}

/* And those that are told again keep the order of the message, too */
TEST(known_name_servers_stand_where_the_message_has_them)
{
	start();
	say_servers(600, LIST("2001:db8::1", "2001:db8::2"));
	say_servers(600, LIST("2001:db8::3", "2001:db8::1", "2001:db8::4"));
	servers_are(LIST("2001:db8::3", "2001:db8::1", "2001:db8::4",
			 "2001:db8::2"));
	net_host_close(&h);
}

/* A message that takes back what it has just said */
TEST(name_server_that_is_told_and_withdrawn_leaves_no_gap)
{
	start();
	begin();
	advert_servers(&f, 600, LIST("2001:db8::1", "2001:db8::2"));
	advert_servers(&f, 0, LIST("2001:db8::1", "2001:db8::2"));
	advert_servers(&f, 600, LIST("2001:db8::3"));
	receive();
	servers_are(LIST("2001:db8::3"));
	net_host_close(&h);
}

/* RFC 8106 6.2 (d): the one that ends first makes room */
TEST(full_list_of_name_servers_loses_what_ends_first)
{
	start();
	say_servers(600, LIST("2001:db8::1"));
	say_servers(500, LIST("2001:db8::2"));
	say_servers(700, LIST("2001:db8::3", "2001:db8::4"));
	servers_are(LIST("2001:db8::3", "2001:db8::4", "2001:db8::2",
			 "2001:db8::1"));
	say_servers(100, LIST("2001:db8::5"));
	servers_are(LIST("2001:db8::5", "2001:db8::3", "2001:db8::4",
			 "2001:db8::1"));
	/* What one message says does not push out itself */
	say_servers(900, LIST("2001:db8::11", "2001:db8::12", "2001:db8::13",
			      "2001:db8::14", "2001:db8::15"));
	servers_are(LIST("2001:db8::11", "2001:db8::12", "2001:db8::13",
			 "2001:db8::14"));
	CHECK_EQ(h.net.stats.counters[TOW_COUNTER_ROUTER_FULL], 1);
	net_host_close(&h);
}

/* Whatever the message has not said makes room, wherever it stands */
TEST(full_list_of_name_servers_loses_what_is_in_front_of_known_ones)
{
	start();
	say_servers(900, LIST("2001:db8::1", "2001:db8::2"));
	say_servers(800, LIST("2001:db8::3", "2001:db8::4"));
	say_servers(100, LIST("2001:db8::3"));
	say_servers(900, LIST("2001:db8::1", "2001:db8::2", "2001:db8::5"));
	servers_are(LIST("2001:db8::4", "2001:db8::1", "2001:db8::2",
			 "2001:db8::5"));
	say_servers(900, LIST("2001:db8::6", "2001:db8::5", "2001:db8::7"));
	servers_are(LIST("2001:db8::6", "2001:db8::2", "2001:db8::5",
			 "2001:db8::7"));
	net_host_close(&h);
}

/* RFC 8106 5.3.1: "the host MUST discard the options" */
TEST(bad_options_about_name_servers_are_discarded)
{
	static const uint8_t short_option[8] = {
		ND_RDNSS, 1, 0, 0, 0, 0, 2, 88
	};
	uint8_t even[32] = { ND_RDNSS, 4, 0, 0, 0, 0, 2, 88, 0x20, 1 };
	uint8_t last[16] = { ND_RDNSS, 2, 0, 0, 0, 0, 2, 88, 0x20, 1 };

	start();
	begin();
	frame_add(&f, short_option, sizeof(short_option));
	frame_add(&f, even, sizeof(even));
	advert_servers(&f, 600, LIST("2001:db8::53", "ff02::1"));
	advert_servers(&f, 600, LIST("2001:db8::53", "::"));
	advert_servers(&f, 600, LIST("::1", "2001:db8::53"));
	advert_servers(&f, 600, LIST("::ffff:192.0.2.53"));
	frame_add(&f, last, sizeof(last)); /* and half of an address */
	frame_add(&f, "\6\1\0\0\0\0\0", 8);
	receive();
	CHECK_EQ(h.net.stats.counters[TOW_COUNTER_ROUTER_ADVERTS], 1);
	servers_are(none);
	net_host_close(&h);
}

/*
 * DHCP and name parsing: RFC 1035 3.1, no compression, and nothing that means
 * something to who reads it.
 */
TEST(dhcp_and_name_parsing_bad_domains_are_discarded)
{
	static const struct {
		const char *names;
		uint32_t bytes;
	} bad[] = {
		{ "\7example\3com\0\7exa\nple", 22 }, /* to the terminal */
		{ "\7example\3com\0\7exa ple", 22 },  /* to a file */
		{ "\7exa.ple", 9 },
		{ "\7exampl\377", 9 },
		{ "\7-xample\3com", 13 }, /* an option of some command */
		{ "\7example\3co-", 13 },
		{ "\7example\3com\0\300\0", 15 }, /* compressed */
		{ "\7example\77com", 13 },	  /* beyond the end */
		{ "\7example\3com\3exa", 16 },	  /* without an end */
		{ "\100example0", 10 },
		{ "", 0 },
		{ "\0\0\0\0\0\0\0\0", 8 },
	};

	start();
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		say_domains(600, bad[i].names, bad[i].bytes);
		domains_are(none);
	}
	CHECK_EQ(h.net.stats.counters[TOW_COUNTER_ROUTER_ADVERTS],
		 sizeof(bad) / sizeof(bad[0]));
	say_domains(600, NAMES("\4Corp\10ex_am-pl\3com"));
	domains_are(LIST("corp.ex_am-pl.com"));
	net_host_close(&h);
}

/* RFC 1035 2.3.4: 255 bytes on the wire are 253 as text, and no more */
TEST(dhcp_and_name_parsing_longest_domain_fits)
{
	uint8_t name[256];
	struct tow_dns_domain domain;

	memset(name, 'a', sizeof(name));
	name[0] = name[64] = name[128] = 63;
	name[192] = 61;
	name[254] = 0;
	start();
	say_domains(600, name, 255);
	CHECK_EQ(net_dns_domains(&h.net, 0, &domain, 1), 1);
	CHECK_EQ(strlen(domain.name), 253);
	CHECK_EQ(domain.name[63], '.');
	say_domains(0, name, 255);
	name[192] = 62;
	name[254] = 'a';
	name[255] = 0;
	say_domains(600, name, 256);
	domains_are(none);
	net_host_close(&h);
}

/* As many as an option can have: bounded, whatever they are */
TEST(flood_of_name_servers_and_domains_keeps_the_bound)
{
	struct tow_dns_server servers[TOW_DNS_MAX];
	char names[33][24], wire[1100];
	const char *list[33];
	uint32_t at;

	start();
	for (unsigned round = 0; round < 200; round++) {
		at = 0;
		for (unsigned i = 0; i < 32; i++) {
			snprintf(names[i], sizeof(names[i]), "2001:db8::%x:%x",
				 round, i);
			list[i] = names[i];
			wire[at++] = 8;
			snprintf(wire + at, 9, "%04x%04x", round, i);
			at += 9;
		}
		list[32] = NULL;
		begin();
		advert_servers(&f, 600 + round, list);
		advert_domains(&f, 600 + round, wire, at);
		receive();
	}
	CHECK_EQ(net_dns_servers(&h.net, 0, servers, TOW_DNS_MAX), TOW_DNS_MAX);
	CHECK_EQ(net_dns_domains(&h.net, 0, NULL, 0), TOW_DNS_MAX);
	CHECK_MEM(servers[0].addr.b, address(names[0]).b, 16);
	net_host_run(&h, 900 * S);
	servers_are(none);
	domains_are(none);
	net_host_close(&h);
}

TEST(name_servers_go_with_autoconfiguration)
{
	start();
	say_servers(600, LIST("2001:db8::53"));
	say_domains(600, NAMES("\7example\3com"));
	net_addrs_changed(&h.net, 0);
	net_autoconf_stop(&h.net, 0);
	servers_are(none);
	domains_are(none);
	CHECK(net_addrs_changed(&h.net, 0));
	net_host_run(&h, 900 * S);
	net_host_close(&h);
}
