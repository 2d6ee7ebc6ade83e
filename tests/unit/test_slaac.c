/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses of advertised prefixes: RFC 4862 5.5, stable ones (RFC 7217),
 * temporary ones (RFC 8981), and which is the source of what (RFC 6724 5).
 */
#include <stdio.h>
#include <string.h>
#include "net/net_private.h"
#include "net_host.h"
#include "router_frame.h"
#include "test.h"
#include "wire/wire_ip6.h"

#define ROUTER "fe80::2"
#define PREFIX "2001:db8:5::"
#define S      1000000ull
#define HOUR   (3600 * S)

static struct net_host h;
static struct frame f, sent;
static const uint8_t other_mac[6] = { 2, 0, 0, 0, 0, 9 };
static const struct tow_autoconf_config private = { .temporary = true };

static void start_with(const struct tow_autoconf_config *config)
{
	net_host_open(&h);
	CHECK_EQ(net_autoconf_start(&h.net, 0, config), 0);
	net_host_run(&h, 3 * S);
	net_host_sent(&h);
}

static void advertise(const char *prefix, uint32_t valid_s,
		      uint32_t preferred_s)
{
	advert_begin(&f, ROUTER, 9000);
	advert_mac(&f, peer_mac);
	advert_prefix(&f, prefix, 64, 0xc0, valid_s, preferred_s);
	frame_end(&f);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
}

/* The @index'th address of that origin, or one of zeros. */
static struct tow_addr_info nth(enum tow_addr_origin origin, unsigned index)
{
	struct tow_addr_info all[16], none = { .state = 0 };
	int count = net_addr_list(&h.net, 0, all, 16);

	for (int i = 0; i < count; i++)
		if (all[i].origin == origin && index-- == 0)
			return all[i];
	return none;
}

static unsigned count(enum tow_addr_origin origin)
{
	unsigned n = 0;

	while (nth(origin, n).state != 0)
		n++;
	return n;
}

/* The source of a packet to @dst. */
static struct tow_addr source_to(const char *dst)
{
	struct tow_addr any = tow_addr_any(), to = address(dst);
	struct net_path path;

	CHECK_EQ(net_path_find(&h.net, &any, &to, 0, &path), 0);
	return path.src;
}

static bool same_id(const struct tow_addr *a, const struct tow_addr *b)
{
	return memcmp(a->b + 8, b->b + 8, 8) == 0;
}

/* Somebody else answers for it. */
static void deny(const struct tow_addr *addr)
{
	char text[TOW_ADDR_TEXT_MAX];

	tow_addr_format(addr, text, sizeof(text));
	frame_advert(&f, ROUTER, "ff02::1", ND_OVERRIDE, text, other_mac);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
}

static void deny_first(enum tow_addr_origin origin)
{
	struct tow_addr_info info = nth(origin, 0);

	deny(&info.addr);
}

/* RFC 4862 5.5.3 (d), 5.4: made, checked, and then used */
TEST(prefix_makes_an_address_that_is_checked_first)
{
	struct tow_addr_info a;

	start_with(NULL);
	advertise(PREFIX, 7200, 3600);
	a = nth(TOW_ADDR_STABLE, 0);
	CHECK_EQ(a.state, TOW_ADDR_TENTATIVE);
	CHECK_EQ(a.prefix_bits, 64);
	CHECK_MEM(a.addr.b, address(PREFIX).b, 8);
	CHECK_EQ(a.valid_us, 7200 * S);
	CHECK_EQ(a.preferred_us, 3600 * S);
	net_host_run(&h, 2 * S);
	CHECK_EQ(net_host_sent_but_reports(&h), 1);
	net_host_read(&h, 0, &sent);
	CHECK_EQ(frame_transport(&sent)[0], ICMP6_NEIGHBOUR_SOLICIT);
	CHECK_MEM(frame_transport(&sent) + 8, a.addr.b, 16);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).state, TOW_ADDR_PREFERRED);
	CHECK(net_is_local(&h.net, &a.addr));
	CHECK_EQ(count(TOW_ADDR_STABLE), 1);
	net_host_close(&h);
}

/*
 * RFC 8273 4: a prefix of one's own is advertised to one host, and is not on
 * the link: neighbours are reached by the router.
 */
TEST(prefix_for_this_host_alone_makes_an_address)
{
	struct tow_addr any = tow_addr_any(), other = address(PREFIX "9");
	struct tow_addr_info link_local;
	struct net_path path;

	start_with(NULL);
	link_local = nth(TOW_ADDR_LINK_LOCAL, 0);
	advert_begin(&f, ROUTER, 9000);
	f.dst = link_local.addr;
	memcpy(f.data, fake_mac, 6);
	memcpy(frame_ip(&f) + 24, link_local.addr.b, 16);
	advert_mac(&f, peer_mac);
	advert_prefix(&f, PREFIX, 64, 0x40, 7200, 3600);
	frame_end(&f);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	net_host_run(&h, 3 * S);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).state, TOW_ADDR_PREFERRED);
	CHECK_EQ(net_path_find(&h.net, &any, &other, 0, &path), 0);
	CHECK_MEM(path.next_hop.b, address(ROUTER).b, 16);
	net_host_close(&h);
}

/* RFC 4862 5.5.4: preferred, deprecated, and then no address at all */
TEST(address_is_deprecated_and_then_gone)
{
	struct tow_addr addr;

	start_with(NULL);
	advertise(PREFIX, 200, 100);
	addr = nth(TOW_ADDR_STABLE, 0).addr;
	net_host_run(&h, 99 * S);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).state, TOW_ADDR_PREFERRED);
	CHECK_MEM(source_to(PREFIX "9").b, addr.b, 16);
	net_addrs_changed(&h.net, 0);
	net_host_run(&h, 2 * S);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).state, TOW_ADDR_DEPRECATED);
	CHECK(net_addrs_changed(&h.net, 0));
	CHECK_MEM(source_to(PREFIX "9").b, address("2001:db8::1").b, 16);
	CHECK(net_is_local(&h.net, &addr));
	net_host_run(&h, 100 * S);
	CHECK_EQ(count(TOW_ADDR_STABLE), 0);
	CHECK(!net_is_local(&h.net, &addr));
	CHECK(net_addrs_changed(&h.net, 0));
	net_host_close(&h);
}

/* RFC 4862 5.5.4: and once it is invalid nothing can be sent from it */
TEST(deprecated_address_stays_the_source_of_its_flows)
{
	struct tow_addr any = tow_addr_any(), to = address(PREFIX "9");
	struct net_path path;
	struct tow_addr addr;

	start_with(NULL);
	advertise(PREFIX, 200, 100);
	net_host_run(&h, 3 * S);
	addr = nth(TOW_ADDR_STABLE, 0).addr;
	CHECK_EQ(net_path_find(&h.net, &any, &to, 0, &path), 0);
	CHECK_MEM(path.src.b, addr.b, 16);
	net_host_run(&h, 100 * S);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).state, TOW_ADDR_DEPRECATED);
	CHECK_EQ(net_path_refresh(&h.net, &path), 0);
	CHECK_MEM(path.src.b, addr.b, 16);
	net_host_run(&h, 100 * S);
	CHECK_EQ(count(TOW_ADDR_STABLE), 0);
	CHECK_EQ(net_path_refresh(&h.net, &path), TOW_EADDRNOTAVAIL);
	net_host_close(&h);
}

/* RFC 4862 5.5.3 (e): refreshed; never shortened to less than two hours */
TEST(advertisement_cannot_end_an_address)
{
	start_with(NULL);
	advertise(PREFIX, 86400, 86400);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).valid_us, 24 * HOUR);
	advertise(PREFIX, 0, 0);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).valid_us, 2 * HOUR);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).preferred_us, 0);
	net_host_run(&h, HOUR);
	advertise(PREFIX, 60, 60);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).valid_us, HOUR);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).preferred_us, 60 * S);
	advertise(PREFIX, 3700, 60); /* more than what is left */
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).valid_us, 3700 * S);
	advertise(PREFIX, UINT32_MAX, UINT32_MAX);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).valid_us, TOW_FOREVER);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).preferred_us, TOW_FOREVER);
	advertise(PREFIX, 60, 60);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).valid_us, 2 * HOUR);
	net_host_close(&h);
}

/* RFC 4862 5.5.3 (a) to (d) */
TEST(prefixes_of_the_wrong_kind_make_no_address)
{
	start_with(NULL);
	advert_begin(&f, ROUTER, 1800);
	advert_prefix(&f, PREFIX, 64, ND_PREFIX_ON_LINK, 600, 600);
	advert_prefix(&f, "fe80::", 64, 0xc0, 600, 600);
	advert_prefix(&f, "2001:db8:6::", 64, 0xc0, 600, 601);
	advert_prefix(&f, "2001:db8:7::", 64, 0xc0, 0, 0);
	advert_prefix(&f, "2001:db8:8::", 63, 0xc0, 600, 600);
	advert_prefix(&f, "2001:db8:9::", 65, 0xc0, 600, 600);
	frame_end(&f);
	CHECK_EQ(net_host_receive(&h, &f), NET_DONE);
	CHECK_EQ(count(TOW_ADDR_STABLE), 0);
	net_host_close(&h);
}

/* RFC 7217 5: the same for the same prefix and key, and for nothing else */
TEST(stable_addresses_are_stable_and_differ_by_prefix_and_key)
{
	struct tow_autoconf_config config = { .stable_key = "this is a key" };
	struct tow_addr first, link_local, second, other_key;

	start_with(&config);
	advertise(PREFIX, 7200, 3600);
	first = nth(TOW_ADDR_STABLE, 0).addr;
	link_local = nth(TOW_ADDR_LINK_LOCAL, 0).addr;
	advertise("2001:db8:6::", 7200, 3600);
	second = nth(TOW_ADDR_STABLE, 1).addr;
	CHECK(!same_id(&first, &second));
	CHECK(!same_id(&first, &link_local));
	/* The station's address is not in it */
	CHECK(memcmp(link_local.b + 11, "\377\376", 2) != 0);
	net_host_close(&h);

	start_with(&config);
	advertise(PREFIX, 7200, 3600);
	CHECK_MEM(nth(TOW_ADDR_STABLE, 0).addr.b, first.b, 16);
	CHECK_MEM(nth(TOW_ADDR_LINK_LOCAL, 0).addr.b, link_local.b, 16);
	net_host_close(&h);

	config.stable_key[0] = 'T';
	start_with(&config);
	advertise(PREFIX, 7200, 3600);
	other_key = nth(TOW_ADDR_STABLE, 0).addr;
	CHECK(!same_id(&first, &other_key));
	net_host_close(&h);
}

/*
 * ARP/ND poisoning and floods, DAD denial: an attacker who has everything.
 * RFC 7217 6: IDGEN_RETRIES other addresses, each a while later, and then no
 * more, nor one that is made in another way.
 */
TEST(dad_denial_ends_after_a_few_attempts)
{
	struct tow_addr tried[8];
	unsigned attempts = 0;

	start_with(NULL);
	advertise(PREFIX, 7200, 3600);
	while (nth(TOW_ADDR_STABLE, 0).state == TOW_ADDR_TENTATIVE &&
	       attempts < 8) {
		tried[attempts] = nth(TOW_ADDR_STABLE, 0).addr;
		for (unsigned i = 0; i < attempts; i++)
			CHECK(!same_id(&tried[i], &tried[attempts]));
		deny(&tried[attempts++]);
	}
	CHECK_EQ(attempts, 4);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).state, TOW_ADDR_DUPLICATE);
	net_host_sent(&h);
	advertise(PREFIX, 7200, 3600);
	net_host_run(&h, 600 * S);
	CHECK_EQ(net_host_sent(&h), 0);
	CHECK_EQ(count(TOW_ADDR_STABLE), 1);
	/* When the prefix is gone and comes again, so may the address */
	net_host_run(&h, 7200 * S);
	net_host_sent(&h);
	advertise(PREFIX, 7200, 3600);
	net_host_run(&h, 3 * S);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).state, TOW_ADDR_PREFERRED);
	net_host_close(&h);
}

/* No room for one more claim: nothing begins, and nothing is taken away */
TEST(link_without_room_keeps_its_link_local_address)
{
	struct tow_addr addr = address("2001:db8:9::"), own, any, to;
	struct net_path path;

	net_host_open(&h);
	any = tow_addr_any();
	to = address("fe80::9");
	CHECK_EQ(net_path_find(&h.net, &any, &to, 1, &path), 0);
	own = path.src;
	for (unsigned i = 1; i <= h.net.private->automatic.claim_max; i++) {
		addr.b[15] = (uint8_t)i;
		CHECK_EQ(net_addr_claim(&h.net, 0, &addr, 64), 0);
		deny(&addr);
	}
	CHECK_EQ(net_autoconf_start(&h.net, 0, NULL), TOW_ENOBUFS);
	CHECK(net_is_local(&h.net, &own));
	CHECK(net_addrs_changed(&h.net, 0)); /* by those that were denied */
	CHECK_EQ(net_addr_remove(&h.net, 0, &addr), 0);
	CHECK_EQ(net_autoconf_start(&h.net, 0, NULL), 0);
	CHECK(!net_is_local(&h.net, &own));
	net_host_close(&h);
}

/* RFC 7217 5: Net_Iface "MUST be different for each network interface" */
TEST(stable_addresses_differ_by_link)
{
	struct tow_autoconf_config config = { .stable_key = "this is a key" };
	struct tow_addr_info first, second;
	static struct fake_dev other; /* as long as the network is */

	start_with(&config);
	fake_dev_init(&other, 0);
	CHECK_EQ(net_link_add(&h.net, &other.dev), 1);
	CHECK_EQ(net_autoconf_start(&h.net, 1, &config), 0);
	first = nth(TOW_ADDR_LINK_LOCAL, 0);
	CHECK_EQ(net_addr_list(&h.net, 1, &second, 1), 1);
	CHECK_EQ(second.origin, TOW_ADDR_LINK_LOCAL);
	CHECK(!same_id(&first.addr, &second.addr));
	fake_dev_clear(&other);
	net_host_close(&h);
}

/* Until a solicitation is out, in tenths of a second. */
static unsigned tenths_until_asked(void)
{
	unsigned n;

	for (n = 0; n < 30; n++) {
		net_host_run(&h, S / 10);
		if (net_host_sent_but_reports(&h) > 0)
			break;
	}
	return n;
}

/* RFC 7217 6: at random between at once and IDGEN_DELAY later */
TEST(next_attempt_waits_a_random_part_of_a_second)
{
	unsigned first, second, third;

	start_with(NULL);
	advertise(PREFIX, 7200, 3600);
	net_host_run(&h, 1 * S);
	net_host_sent(&h);
	deny_first(TOW_ADDR_STABLE);
	first = tenths_until_asked();
	deny_first(TOW_ADDR_STABLE);
	second = tenths_until_asked();
	deny_first(TOW_ADDR_STABLE);
	third = tenths_until_asked();
	CHECK_LE(first, 10);
	CHECK_LE(second, 10);
	CHECK_LE(third, 10);
	CHECK(first != second || second != third);
	net_host_run(&h, 2 * S);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).state, TOW_ADDR_PREFERRED);
	net_host_close(&h);
}

/* RFC 5453, in RFC 7217 5 and RFC 8981 3.3.1 */
TEST(reserved_identifiers_are_known)
{
	static const struct {
		const char *addr;
		bool reserved;
	} ids[] = {
		{ "fe80::", true },
		{ "fe80::1", false },
		{ "fe80::100:0:0:0", false },
		{ "fe80::200:5eff:fe00:0", true },
		{ "fe80::200:5eff:fe00:5213", true },
		{ "fe80::200:5eff:feff:ffff", true },
		{ "fe80::200:5eff:ff00:0", false },
		{ "fe80::200:5eff:fd00:0", false },
		{ "fe80::fdff:ffff:ffff:ff7f", false },
		{ "fe80::fdff:ffff:ffff:ff80", true },
		{ "fe80::fdff:ffff:ffff:ffff", true },
		{ "fe80::fcff:ffff:ffff:ffff", false },
	};

	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		CHECK_EQ(slaac_is_reserved(address(ids[i].addr).b + 8),
			 ids[i].reserved);
}

/* RFC 7217 5: as if somebody else had it, the counter is one more */
TEST(stable_address_that_is_ours_already_is_followed_by_the_next)
{
	struct tow_autoconf_config config = { .stable_key = "this is a key" };
	struct tow_addr first, second;

	start_with(&config);
	advertise(PREFIX, 7200, 3600);
	first = nth(TOW_ADDR_STABLE, 0).addr;
	net_host_close(&h);

	start_with(&config);
	CHECK_EQ(net_addr_add(&h.net, 0, &first, 64), 0);
	advertise(PREFIX, 7200, 3600);
	net_host_run(&h, 3 * S);
	second = nth(TOW_ADDR_STABLE, 0).addr;
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).state, TOW_ADDR_PREFERRED);
	CHECK(!same_id(&first, &second));
	net_host_close(&h);

	/* Just what a conflict over it would have led to */
	start_with(&config);
	advertise(PREFIX, 7200, 3600);
	deny(&first);
	CHECK_MEM(nth(TOW_ADDR_STABLE, 0).addr.b, second.b, 16);
	net_host_close(&h);
}

/* RFC 8981 3.3.1 (3): "those IIDs already employed" */
TEST(temporary_address_is_none_that_is_there)
{
	struct tow_addr first, second;
	struct random before;

	start_with(&private);
	before = h.net.random;
	advertise(PREFIX, 7 * 86400, 86400);
	first = nth(TOW_ADDR_TEMPORARY, 0).addr;
	net_host_close(&h);

	start_with(&private);
	CHECK_EQ(net_addr_add(&h.net, 0, &first, 64), 0);
	h.net.random = before; /* and so the same would be drawn */
	advertise(PREFIX, 7 * 86400, 86400);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 1);
	second = nth(TOW_ADDR_TEMPORARY, 0).addr;
	CHECK(!same_id(&first, &second));
	net_host_close(&h);
}

/* RFC 4862 5.1: DupAddrDetectTransmits */
TEST(address_is_asked_for_as_often_as_is_wanted)
{
	struct tow_autoconf_config config = { .dad_transmits = 3 };
	struct tow_addr addr = address("2001:db8:9::1");

	start_with(&config);
	net_host_run(&h, 3 * S);
	net_host_sent(&h);
	CHECK_EQ(net_addr_claim(&h.net, 0, &addr, 64), 0);
	net_host_run(&h, 2900000);
	CHECK_EQ(net_host_sent_but_reports(&h), 3);
	CHECK(!net_is_local(&h.net, &addr));
	net_host_run(&h, 1100000);
	CHECK(net_is_local(&h.net, &addr));
	net_host_close(&h);
}

/* RFC 4862 5.1: "A value of zero indicates" that nobody is asked */
TEST(addresses_may_be_used_unasked)
{
	struct tow_autoconf_config config = { .dad_transmits = TOW_DAD_NONE };

	start_with(&config);
	CHECK_EQ(nth(TOW_ADDR_LINK_LOCAL, 0).state, TOW_ADDR_PREFERRED);
	advertise(PREFIX, 7200, 3600);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).state, TOW_ADDR_PREFERRED);
	net_host_run(&h, 3 * S);
	CHECK_EQ(net_host_sent_but_reports(&h), 0);
	net_host_close(&h);
}

/* RFC 8981 3.4, RFC 6724 5 rule 7: beside the stable one, and preferred */
TEST(temporary_address_is_the_source_of_new_flows)
{
	struct tow_addr_info stable, temporary;

	start_with(&private);
	advertise(PREFIX, 7 * 86400, 86400);
	net_host_run(&h, 3 * S);
	stable = nth(TOW_ADDR_STABLE, 0);
	temporary = nth(TOW_ADDR_TEMPORARY, 0);
	CHECK_EQ(temporary.state, TOW_ADDR_PREFERRED);
	CHECK(!same_id(&stable.addr, &temporary.addr));
	CHECK_MEM(temporary.addr.b, stable.addr.b, 8);
	CHECK_MEM(source_to(PREFIX "9").b, temporary.addr.b, 16);
	CHECK_LE(temporary.valid_us, 48 * HOUR);
	CHECK_LE(temporary.preferred_us, 24 * HOUR);
	CHECK_GE(temporary.preferred_us, 14 * HOUR);
	net_host_close(&h);
}

TEST(temporary_addresses_are_not_made_unasked)
{
	start_with(NULL);
	advertise(PREFIX, 7 * 86400, 86400);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 0);
	net_host_close(&h);
}

/* RFC 8981 3.5, 3.8: a successor before it is deprecated, and never longer */
TEST(temporary_address_is_made_anew_each_day)
{
	struct tow_addr first, second;

	start_with(&private);
	advertise(PREFIX, UINT32_MAX, UINT32_MAX);
	net_host_run(&h, 3 * S);
	first = nth(TOW_ADDR_TEMPORARY, 0).addr;
	net_host_run(&h, nth(TOW_ADDR_TEMPORARY, 0).preferred_us - 6 * S);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 1);
	net_host_run(&h, 2 * S);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 2);
	CHECK_MEM(source_to(PREFIX "9").b, first.b, 16);
	net_host_run(&h, 3 * S);
	advertise(PREFIX, UINT32_MAX, UINT32_MAX); /* prolongs nothing */
	net_host_run(&h, 2 * S);
	second = source_to(PREFIX "9");
	CHECK(!same_id(&first, &second));
	CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 0).state, TOW_ADDR_DEPRECATED);
	CHECK(net_is_local(&h.net, &first));
	net_host_run(&h, 34 * HOUR);
	CHECK(!net_is_local(&h.net, &first));
	net_host_run(&h, 240 * HOUR);
	CHECK_LE(count(TOW_ADDR_TEMPORARY), 4);
	CHECK_GE(count(TOW_ADDR_TEMPORARY), 2);
	net_host_close(&h);
}

/* RFC 4862 5.5.4: one advertisement deprecates, the next one takes it back */
TEST(temporary_address_that_was_deprecated_still_gets_a_successor)
{
	start_with(&private);
	advertise(PREFIX, UINT32_MAX, UINT32_MAX);
	net_host_run(&h, 3 * S);
	advertise(PREFIX, UINT32_MAX, 0);
	net_host_run(&h, 3 * S);
	CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 0).state, TOW_ADDR_DEPRECATED);
	advertise(PREFIX, UINT32_MAX, UINT32_MAX);
	CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 0).state, TOW_ADDR_PREFERRED);
	net_host_run(&h, nth(TOW_ADDR_TEMPORARY, 0).preferred_us - 6 * S);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 1);
	net_host_run(&h, 6 * S);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 2);
	CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 1).state, TOW_ADDR_PREFERRED);
	net_host_close(&h);
}

/* The same a day later, and for a prefix that was deprecated to begin with */
TEST(prefix_that_is_preferred_again_has_a_temporary_address)
{
	start_with(&private);
	advertise(PREFIX, UINT32_MAX, 0);
	net_host_run(&h, 3 * S);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 0);
	advertise(PREFIX, UINT32_MAX, UINT32_MAX);
	net_host_run(&h, 3 * S);
	CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 0).state, TOW_ADDR_PREFERRED);
	advertise(PREFIX, UINT32_MAX, 0);
	net_host_run(&h, 25 * HOUR);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 1);
	for (unsigned i = 0; i < 3; i++) {
		advertise(PREFIX, UINT32_MAX, UINT32_MAX);
		net_host_run(&h, 3 * S);
		CHECK_EQ(count(TOW_ADDR_TEMPORARY), 2);
		CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 1).state, TOW_ADDR_PREFERRED);
		advertise(PREFIX, UINT32_MAX, 0);
		net_host_run(&h, HOUR);
	}
	net_host_close(&h);
}

/* RFC 8981 3.4: the prefix's lifetimes bound those of the temporary address */
TEST(temporary_address_does_not_outlive_its_prefix)
{
	start_with(&private);
	advertise(PREFIX, 3 * 3600, 3600);
	net_host_run(&h, 3 * S);
	CHECK_LE(nth(TOW_ADDR_TEMPORARY, 0).valid_us, 3 * HOUR);
	CHECK_LE(nth(TOW_ADDR_TEMPORARY, 0).preferred_us, HOUR);
	net_host_run(&h, 3 * HOUR);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 0);
	CHECK_EQ(count(TOW_ADDR_STABLE), 0);
	/* RFC 8981 3.4 (5): one that were over at once is not made */
	advertise(PREFIX, 3 * 3600, 5);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 0);
	net_host_close(&h);
}

/* RFC 8981 3.6, 3.8: how long they live is for the user to say */
TEST(lifetimes_of_temporary_addresses_can_be_told)
{
	struct tow_autoconf_config config = {
		.temporary = true,
		.temporary_preferred_s = 600,
		.temporary_valid_s = 900,
	};

	start_with(&config);
	advertise(PREFIX, 86400, 86400);
	CHECK_LE(nth(TOW_ADDR_TEMPORARY, 0).preferred_us, 600 * S);
	CHECK_GE(nth(TOW_ADDR_TEMPORARY, 0).preferred_us, 360 * S);
	CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 0).valid_us, 900 * S);
	net_host_run(&h, nth(TOW_ADDR_TEMPORARY, 0).preferred_us - 4 * S);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 2);
	advertise(PREFIX, 86400, 86400); /* prolongs neither */
	CHECK_LE(nth(TOW_ADDR_TEMPORARY, 0).preferred_us, 4 * S);
	net_host_run(&h, 600 * S);
	CHECK_GE(count(TOW_ADDR_TEMPORARY), 2);
	CHECK_LE(count(TOW_ADDR_TEMPORARY), 3);
	net_host_close(&h);
}

/* RFC 8981 3.8: DESYNC_FACTOR, also of what lasts for longer than a season */
TEST(temporary_addresses_of_any_lifetime_are_spread)
{
	struct tow_autoconf_config config = {
		.temporary = true,
		.temporary_preferred_s = 21474837,
		.temporary_valid_s = 30000000,
	};

	start_with(&config);
	advertise(PREFIX, UINT32_MAX, UINT32_MAX);
	CHECK_LE(nth(TOW_ADDR_TEMPORARY, 0).preferred_us, 21474000 * S);
	CHECK_GE(nth(TOW_ADDR_TEMPORARY, 0).preferred_us, 12884902 * S);
	net_host_close(&h);
}

/* RFC 8981 3.8, REGEN_ADVANCE: who asks for long needs as much time */
TEST(temporary_addresses_last_for_longer_than_their_check)
{
	struct tow_autoconf_config config = {
		.temporary = true,
		.temporary_preferred_s = 600,
		.temporary_valid_s = 900,
		.dad_transmits = 100,
	};

	net_host_open(&h);
	CHECK_EQ(net_autoconf_start(&h.net, 0, &config), TOW_EINVAL);
	net_host_close(&h);
	config.temporary_preferred_s = 604; /* two times 2 s + 3 * 100 s */
	start_with(&config);
	advertise(PREFIX, 86400, 86400);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 1);
	net_host_close(&h);
	config.temporary_preferred_s = 10;
	config.dad_transmits = TOW_DAD_NONE;
	start_with(&config);
	advertise(PREFIX, 86400, 86400);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 1);
	net_host_close(&h);
}

TEST(lifetimes_and_rules_that_make_no_sense_are_refused)
{
	struct tow_autoconf_config config = {
		.temporary_preferred_s = 900,
		.temporary_valid_s = 900,
	};

	net_host_open(&h);
	CHECK_EQ(net_autoconf_start(&h.net, 0, &config), TOW_EINVAL);
	config.temporary_preferred_s = 9;
	CHECK_EQ(net_autoconf_start(&h.net, 0, &config), TOW_EINVAL);
	config.temporary_preferred_s = 0; /* a day, and valid for less */
	CHECK_EQ(net_autoconf_start(&h.net, 0, &config), TOW_EINVAL);
	config.temporary_valid_s = 0;
	config.rule_count = TOW_TEMPORARY_RULES_MAX + 1;
	CHECK_EQ(net_autoconf_start(&h.net, 0, &config), TOW_EINVAL);
	config.rule_count = 1;
	config.rules[0].prefix_bits = 129;
	CHECK_EQ(net_autoconf_start(&h.net, 0, &config), TOW_EINVAL);
	config.rules[0].prefix_bits = 128;
	CHECK_EQ(net_autoconf_start(&h.net, 0, &config), 0);
	net_host_close(&h);
}

/*
 * RFC 8981 3.7: "This per-prefix setting SHOULD override the global settings"
 */
TEST(prefixes_can_have_or_lack_temporary_addresses)
{
	struct tow_autoconf_config config = {
		.temporary = true,
		.rules = { { .prefix = { { 0xfc } }, .prefix_bits = 7 } },
		.rule_count = 1,
	};

	start_with(&config);
	advertise("fd00:1::", 86400, 86400);
	CHECK_EQ(count(TOW_ADDR_STABLE), 1);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 0);
	advertise(PREFIX, 86400, 86400);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 1);
	CHECK_MEM(nth(TOW_ADDR_TEMPORARY, 0).addr.b, address(PREFIX).b, 8);
	net_host_close(&h);

	/* A part of a prefix is not all of it */
	config.rules[1].prefix = address(PREFIX);
	config.rules[1].prefix_bits = 65;
	config.rule_count = 2;
	start_with(&config);
	advertise(PREFIX, 86400, 86400);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 1);
	net_host_close(&h);

	config.temporary = false;
	config.rules[0].temporary = true;
	start_with(&config);
	advertise("fd00:1::", 86400, 86400);
	advertise(PREFIX, 86400, 86400);
	CHECK_EQ(count(TOW_ADDR_STABLE), 2);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 1);
	CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 0).addr.b[0], 0xfd);
	net_host_close(&h);
}

/* RFC 8981 3.6: on another link there are others, and none is kept */
TEST(temporary_addresses_are_made_anew_on_another_link)
{
	struct tow_addr first, second;

	start_with(&private);
	advertise(PREFIX, 86400, 86400);
	net_host_run(&h, 3 * S);
	first = nth(TOW_ADDR_TEMPORARY, 0).addr;
	net_autoconf_stop(&h.net, 0);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 0);
	CHECK(!net_is_local(&h.net, &first));
	CHECK_EQ(net_autoconf_start(&h.net, 0, &private), 0);
	advertise(PREFIX, 86400, 86400);
	net_host_run(&h, 3 * S);
	CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 0).state, TOW_ADDR_PREFERRED);
	second = nth(TOW_ADDR_TEMPORARY, 0).addr;
	CHECK(!same_id(&first, &second));
	net_host_close(&h);
}

/*
 * RFC 8981 3.4 (7): TEMP_IDGEN_RETRIES times another one, and no more for as
 * long as the prefix is advertised
 */
TEST(temporary_address_that_is_taken_is_tried_a_few_times)
{
	unsigned attempts = 0;

	start_with(&private);
	advertise(PREFIX, 7 * 86400, 86400);
	while (nth(TOW_ADDR_TEMPORARY, 0).state == TOW_ADDR_TENTATIVE &&
	       attempts < 8) {
		struct tow_addr tried = nth(TOW_ADDR_TEMPORARY, 0).addr;

		deny(&tried);
		attempts++;
	}
	CHECK_EQ(attempts, 4);
	net_addrs_changed(&h.net, 0);
	deny_first(TOW_ADDR_TEMPORARY);
	net_host_run(&h, 60 * S);
	CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 0).state, TOW_ADDR_DUPLICATE);
	CHECK_EQ(nth(TOW_ADDR_STABLE, 0).state, TOW_ADDR_PREFERRED);
	CHECK_EQ(h.net.stats.counters[TOW_COUNTER_ADDR_CONFLICTS], 4);
	for (unsigned day = 0; day < 10; day++) {
		net_host_run(&h, 24 * HOUR);
		advertise(PREFIX, 7 * 86400, 86400);
		CHECK_EQ(count(TOW_ADDR_TEMPORARY), 1);
		CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 0).state, TOW_ADDR_DUPLICATE);
	}
	/* When the prefix is gone and comes again, so may the address */
	net_host_run(&h, 8 * 24 * HOUR);
	CHECK_EQ(count(TOW_ADDR_TEMPORARY), 0);
	advertise(PREFIX, 7 * 86400, 86400);
	net_host_run(&h, 3 * S);
	CHECK_EQ(nth(TOW_ADDR_TEMPORARY, 0).state, TOW_ADDR_PREFERRED);
	net_host_close(&h);
}

/*
 * ARP/ND poisoning and floods, DAD denial: more prefixes than there is room
 * for leave half of it to the program and to DHCP.
 */
TEST(advertised_prefixes_take_half_of_the_addresses)
{
	struct tow_addr claimed = address("2001:db8::77");
	struct tow_addr leased = address("10.0.0.50");
	struct tow_addr given = address("10.0.0.51");
	char name[40];

	start_with(&private);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "2001:db8:%x::", 0x100 + i);
		advertise(name, 7 * 86400, 86400);
	}
	net_host_run(&h, 3 * S);
	CHECK_EQ(count(TOW_ADDR_STABLE) + count(TOW_ADDR_TEMPORARY),
		 h.net.addr_max / 2);
	CHECK_GT(h.net.stats.counters[TOW_COUNTER_ROUTER_FULL], 0);
	CHECK_EQ(net_addr_claim(&h.net, 0, &claimed, 64), 0);
	CHECK_EQ(net_addr_remove(&h.net, 0, &claimed), 0);
	CHECK_EQ(net_addr_lease(&h.net, 0, &leased, 24, 100000 * S), 0);
	CHECK_EQ(net_addr_remove(&h.net, 0, &leased), 0);
	CHECK_EQ(net_addr_add(&h.net, 0, &given, 24), 0);
	net_host_close(&h);
}

static void give(const char *text, unsigned bits)
{
	struct tow_addr addr = address(text);

	CHECK_EQ(net_addr_add(&h.net, 0, &addr, bits), 0);
}

static void give_default_route(void)
{
	struct tow_addr any = tow_addr_any(), gateway = address(ROUTER);

	CHECK_EQ(net_route_add(&h.net, 0, &any, 0, &gateway), 0);
}

/* RFC 6724 5, rules 2, 6 and 8, by the examples of 10.1 */
TEST(source_is_chosen_by_scope_label_and_prefix)
{
	net_host_open(&h);
	give_default_route();
	give("fd00::1", 64);
	give("2002:c633:6401::1", 64);
	CHECK_MEM(source_to("2001:db8:1::1").b, address("2001:db8::1").b, 16);
	CHECK_MEM(source_to("fe80::1").b, address(HOST_LINK_LOCAL).b, 16);
	CHECK_MEM(source_to("ff02::5").b, address(HOST_LINK_LOCAL).b, 16);
	CHECK_MEM(source_to("fd11::1").b, address("fd00::1").b, 16);
	CHECK_MEM(source_to("2002:c633:6401::9").b,
		  address("2002:c633:6401::1").b, 16);
	CHECK_MEM(source_to("2400::1").b, address("2001:db8::1").b, 16);
	net_host_close(&h);
}
