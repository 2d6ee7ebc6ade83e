/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses, routes, paths, links.
 */
#include <stdlib.h>
#include <string.h>
#include "net_host.h"
#include "test.h"
#include "wire/wire_arp.h"
#include "wire/wire_udp.h"

static struct net_host h;
static struct fake_dev second;
static struct net_path path;
static struct frame f;
static const struct tow_addr any;

static int add_addr(unsigned link, const char *text, unsigned bits)
{
	struct tow_addr addr = address(text);

	return net_addr_add(&h.net, link, &addr, bits);
}

static int add_route(unsigned link, const char *dest, unsigned bits,
		     const char *gateway)
{
	struct tow_addr to = address(dest), by = address(gateway);

	return net_route_add(&h.net, link, &to, bits, &by);
}

static int find(const char *dst)
{
	struct tow_addr to = address(dst);

	return net_path_find(&h.net, &any, &to, 0, &path);
}

static bool is(const struct tow_addr *addr, const char *text)
{
	struct tow_addr want = address(text);

	return tow_addr_equal(addr, &want);
}

static void open_two_links(void)
{
	net_host_open(&h);
	fake_dev_init(&second, 0);
	second.dev.mac[5] = 0x77;
	CHECK_EQ(net_link_add(&h.net, &second.dev), 1);
	CHECK_EQ(add_addr(1, "203.0.113.1", 24), 0);
	CHECK_EQ(add_addr(1, "2001:db8:1::1", 64), 0);
}

static void close_two_links(void)
{
	fake_dev_clear(&second);
	net_host_close(&h);
}

/* RFC 4291 A: the interface's identifier comes from its station address */
TEST(link_has_its_link_local_address_at_once)
{
	struct tow_addr own = address(HOST_LINK_LOCAL);

	net_host_open(&h);
	CHECK(net_is_local(&h.net, &own));
	net_host_close(&h);
}

TEST(link_without_stations_has_a_link_local_address_too)
{
	struct tow_addr to = address("fe80::1234");

	net_host_open(&h);
	fake_dev_init(&second, TOW_DEV_NO_LINK);
	CHECK_EQ(net_link_add(&h.net, &second.dev), 1);
	CHECK_EQ(net_path_find(&h.net, &any, &to, 2, &path), 0);
	CHECK_EQ(path.link, &h.net.links[1]);
	CHECK_EQ(path.src.b[0], 0xfe);
	CHECK_EQ(path.src.b[1], 0x80);
	net_host_close(&h);
}

/* RFC 8200 5: below an MTU of 1280 there is no IPv6 */
TEST(link_with_a_small_mtu_has_no_ip6)
{
	net_host_open(&h);
	fake_dev_init(&second, 0);
	second.dev.mtu = 576;
	CHECK_EQ(net_link_add(&h.net, &second.dev), 1);
	CHECK_EQ(add_addr(1, "2001:db8:1::1", 64), TOW_EINVAL);
	CHECK_EQ(add_addr(1, "203.0.113.1", 24), 0);
	net_host_close(&h);
}

TEST(links_beyond_the_table_are_refused)
{
	static struct fake_dev third;

	open_two_links();
	fake_dev_init(&third, 0);
	CHECK_EQ(net_link_add(&h.net, &third.dev), TOW_ENOBUFS);
	close_two_links();
}

TEST(addresses_that_no_host_can_have_are_refused)
{
	static const char *const bad[] = {
		"0.0.0.0",	   "127.0.0.1",	     "224.0.0.1",
		"255.255.255.255", "198.51.100.255", /* with /24: broadcast */
		"198.51.100.0",			     /* with /24: the network */
	};

	net_host_open(&h);
	for (unsigned i = 0; i < 6; i++)
		CHECK_EQ(add_addr(0, bad[i], 24), TOW_EINVAL);
	CHECK_EQ(add_addr(0, "::", 64), TOW_EINVAL);
	CHECK_EQ(add_addr(0, "::1", 128), TOW_EINVAL);
	CHECK_EQ(add_addr(0, "ff02::1", 64), TOW_EINVAL);
	CHECK_EQ(add_addr(0, "198.51.100.1", 33), TOW_EINVAL);
	CHECK_EQ(add_addr(0, "2001:db8:2::1", 129), TOW_EINVAL);
	CHECK_EQ(add_addr(0, "2001:db8:2::1", UINT32_MAX), TOW_EINVAL);
	CHECK_EQ(add_addr(7, "198.51.100.1", 24), TOW_EINVAL);
	CHECK_EQ(add_addr(0, "192.0.2.1", 24), TOW_EEXIST);
	CHECK_EQ(add_addr(0, "198.51.100.0", 31), 0); /* RFC 3021 */
	CHECK_EQ(add_addr(0, "203.0.113.255", 32), 0);
	net_host_close(&h);
}

TEST(address_table_ends_with_an_error)
{
	char name[] = "10.0.0.1";
	int error = 0, n;

	net_host_open(&h); /* 8, of which 2 are taken */
	for (n = 0; !error; n++) {
		name[7] = (char)('1' + n);
		error = add_addr(0, name, 8);
	}
	CHECK_EQ(error, TOW_ENOBUFS);
	CHECK_EQ(n, 7);
	fake_dev_init(&second, 0);
	CHECK_EQ(net_link_add(&h.net, &second.dev), 1);
	CHECK_EQ(find("fe80::1"), TOW_ENETUNREACH); /* which link? */
	net_host_close(&h);
}

TEST(route_table_ends_with_an_error)
{
	char name[] = "10.0.0.0";
	int error = 0, n;

	net_host_open(&h);
	for (n = 0; !error; n++) {
		name[3] = (char)('0' + n % 10);
		error = add_route(0, name, 16, "192.0.2.9");
		CHECK_LT(n, 20);
	}
	CHECK_EQ(error, TOW_ENOBUFS);
	CHECK_GE(n, 8);
	CHECK_EQ(add_addr(0, "10.200.0.1", 16), 0); /* has its room */
	net_host_close(&h);
}

/* RFC 1812 5.2.4.3, rule 2: longest match */
TEST(longest_prefix_wins)
{
	net_host_open(&h);
	CHECK_EQ(find("198.51.100.1"), TOW_ENETUNREACH);
	CHECK_EQ(add_route(0, "0.0.0.0", 0, "192.0.2.10"), 0);
	CHECK_EQ(add_route(0, "198.51.100.128", 25, "192.0.2.12"), 0);
	CHECK_EQ(add_route(0, "198.51.100.0", 24, "192.0.2.11"), 0);
	CHECK_EQ(find("198.51.100.1"), 0);
	CHECK(is(&path.next_hop, "192.0.2.11"));
	CHECK_EQ(find("198.51.100.200"), 0);
	CHECK(is(&path.next_hop, "192.0.2.12"));
	CHECK_EQ(find("8.8.8.8"), 0);
	CHECK(is(&path.next_hop, "192.0.2.10"));
	CHECK_EQ(find("192.0.2.200"), 0);
	CHECK(is(&path.next_hop, "192.0.2.200"));
	CHECK(is(&path.src, "192.0.2.1"));
	CHECK_EQ(path.mtu, 1500);
	net_host_close(&h);
}

/* Whom is the last frame for: the ARP question, or the solicitation */
static struct tow_addr asked_for(void)
{
	const struct fake_frame *sent = &h.fake.sent[h.fake.sent_count - 1];

	CHECK(h.fake.sent_count > 0);
	if (sent->data[12] == 0x08)
		return wire_get_addr4(sent->data + 38);
	return wire_get_addr6(sent->data + 62);
}

static void sends_by(const char *far, const char *gateway)
{
	struct tow_addr expected = address(gateway), asked;

	net_host_sent(&h);
	CHECK_EQ(net_host_send(&h, far, 10), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	asked = asked_for();
	CHECK(tow_addr_equal(&asked, &expected));
}

static void fail_over(const char *far, const char *net, const char *first,
		      const char *other)
{
	struct tow_addr to = address(net), a = address(first),
			b = address(other);

	net_host_open(&h);
	CHECK_EQ(net_route_add(&h.net, 0, &to, 0, &a), 0);
	CHECK_EQ(net_route_add(&h.net, 0, &to, 0, &b), 0);
	sends_by(far, first);
	net_host_run(&h, 4000000); /* nobody answers */
	sends_by(far, other);
	net_host_run(&h, 4000000); /* nor there: each is tried in turn */
	sends_by(far, first);
	net_host_run(&h, 4000000);
	sends_by(far, other);
	net_host_meet(&h, first); /* it lives */
	CHECK_EQ(net_host_send(&h, far, 10), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	CHECK_MEM(h.fake.sent[0].data, peer_mac, 6);
	net_host_close(&h);
}

/* RFC 1122 3.3.1.5, RFC 4861 6.3.6: a gateway that is dead is not used */
TEST(dead_gateway_is_replaced_by_another)
{
	fail_over("198.51.100.7", "0.0.0.0", "192.0.2.254", "192.0.2.253");
	fail_over("2001:db8:9::7", "::", "2001:db8::fe", "2001:db8::fd");
}

/* The default routes of the families do not take each other's packets */
TEST(families_have_routes_of_their_own)
{
	struct tow_addr gateway;

	net_host_open(&h);
	CHECK_EQ(add_route(0, "::", 0, "2001:db8::99"), 0);
	CHECK_EQ(find("8.8.8.8"), TOW_ENETUNREACH);
	CHECK_EQ(find("2600::1"), 0);
	CHECK(is(&path.next_hop, "2001:db8::99"));
	CHECK_EQ(add_route(0, "::", 0, "192.0.2.9"), 0); /* "any", by IPv4 */
	CHECK_EQ(find("8.8.8.8"), 0);
	gateway = address("192.0.2.9");
	net_route_remove(&h.net, 0, &any, 0, &gateway); /* the same words */
	CHECK_EQ(find("8.8.8.8"), TOW_ENETUNREACH);
	CHECK_EQ(find("2600::1"), 0);
	CHECK_EQ(add_route(0, "10.0.0.0", 8, "2001:db8::9"), TOW_EINVAL);
	CHECK_EQ(add_route(0, "10.0.0.0", 8, "224.0.0.1"), TOW_EINVAL);
	CHECK_EQ(add_route(0, "10.0.0.0", 8, "192.0.2.1"), TOW_EINVAL);
	CHECK_EQ(add_route(0, "10.0.0.0", 33, "192.0.2.2"), TOW_EINVAL);
	net_host_close(&h);
}

TEST(gateway_is_asked_for_and_not_the_destination)
{
	net_host_open(&h);
	CHECK_EQ(add_route(0, "0.0.0.0", 0, "192.0.2.254"), 0);
	net_host_meet(&h, "192.0.2.254");
	CHECK_EQ(net_host_send(&h, "198.51.100.1", 0), 0);
	CHECK_EQ(net_host_sent(&h), 1);
	net_host_read(&h, 0, &f);
	CHECK_MEM(f.data, peer_mac, 6);
	CHECK(is(&f.dst, "198.51.100.1"));
	net_host_close(&h);
}

/* RFC 6724 5: rule 2 scope, rule 5 interface, rule 8 longest prefix */
TEST(source_address_fits_the_destination)
{
	open_two_links();
	CHECK_EQ(add_addr(0, "192.0.2.130", 24), 0);
	CHECK_EQ(add_addr(0, "2001:db8:0:5::1", 64), 0);
	CHECK_EQ(find("192.0.2.140"), 0);
	CHECK(is(&path.src, "192.0.2.130"));
	CHECK_EQ(find("192.0.2.3"), 0);
	CHECK(is(&path.src, "192.0.2.1"));
	CHECK_EQ(find("2001:db8:0:5::9"), 0);
	CHECK(is(&path.src, "2001:db8:0:5::1"));
	CHECK_EQ(find("203.0.113.9"), 0);
	CHECK_EQ(path.link, &h.net.links[1]);
	CHECK(is(&path.src, "203.0.113.1"));
	close_two_links();
}

TEST(source_that_was_asked_for_must_be_ours)
{
	struct tow_addr src = address("192.0.2.9"), dst = address("192.0.2.2");

	net_host_open(&h);
	CHECK_EQ(net_path_find(&h.net, &src, &dst, 0, &path),
		 TOW_EADDRNOTAVAIL);
	src = address("2001:db8::1");
	CHECK_EQ(net_path_find(&h.net, &src, &dst, 0, &path),
		 TOW_EADDRNOTAVAIL);
	src = address("127.0.0.1"); /* must not leave the host */
	CHECK_EQ(net_path_find(&h.net, &src, &dst, 0, &path),
		 TOW_EADDRNOTAVAIL);
	src = address("192.0.2.1");
	CHECK_EQ(net_path_find(&h.net, &src, &dst, 0, &path), 0);
	net_host_close(&h);
}

/* RFC 4007 6: without a zone only if just one link can be meant */
TEST(link_local_destination_needs_a_zone)
{
	struct tow_addr to = address("fe80::9");

	net_host_open(&h);
	CHECK_EQ(find("fe80::9"), 0);
	CHECK(is(&path.src, HOST_LINK_LOCAL));
	net_host_close(&h);
	open_two_links();
	CHECK_EQ(find("fe80::9"), TOW_ENETUNREACH);
	CHECK_EQ(net_path_find(&h.net, &any, &to, 2, &path), 0);
	CHECK_EQ(path.link, &h.net.links[1]);
	CHECK_EQ(net_path_find(&h.net, &any, &to, 3, &path), TOW_ENETUNREACH);
	close_two_links();
}

TEST(nowhere_is_no_destination)
{
	net_host_open(&h);
	CHECK_EQ(add_route(0, "0.0.0.0", 0, "192.0.2.254"), 0);
	CHECK_EQ(find("0.0.0.0"), TOW_ENETUNREACH);
	CHECK_EQ(find("0.1.2.3"), TOW_ENETUNREACH);
	CHECK_EQ(find("240.0.0.1"), TOW_ENETUNREACH);
	CHECK_EQ(find("::"), TOW_ENETUNREACH);
	net_host_close(&h);
}

/*
 * Loopback.
 */

static struct tow_buf *send_own(const char *dst)
{
	struct tow_buf *buf = tow_buf_take(&h.net.tx_pool);

	CHECK_EQ(find(dst), 0);
	CHECK_EQ(path.link, &h.net.loop);
	udp_build((void *)buf_push(buf, 8), 1, 2, 8);
	CHECK_EQ(net_send(&h.net, &path, buf, NET_UDP), 0);
	return buf;
}

/* What we send to ourselves is received: the very same buffer */
TEST(own_addresses_are_reached_by_the_same_buffer)
{
	static const char *const own[] = { "127.0.0.1", "127.9.9.9",
					   "192.0.2.1", "::1", "2001:db8::1" };
	struct tow_buf *buf;

	net_host_open(&h);
	for (unsigned i = 0; i < 5; i++) {
		buf = send_own(own[i]);
		CHECK_EQ(net_host_sent(&h), 0);
		CHECK_EQ(net_loop_take(&h.net), buf);
		CHECK_EQ(net_receive(&h.net, &h.net.loop, buf, &h.packet,
				     &h.error),
			 NET_DELIVER);
		CHECK(is(&h.packet.dst, own[i]));
		CHECK(h.packet.csum_ok);
		CHECK_EQ(h.packet.buf, buf);
		tow_buf_give(buf);
	}
	CHECK_EQ(net_loop_take(&h.net), NULL);
	net_host_close(&h);
}

TEST(loopback_queue_has_a_limit)
{
	struct tow_config cfg;
	unsigned room;

	net_host_config(&cfg);
	cfg.tx_bufs = 400;
	net_host_open_with(&h, &cfg, 0);
	CHECK_EQ(find("127.0.0.1"), 0);
	room = net_send_room(&h.net, &path);
	for (unsigned i = 0; i < room; i++)
		send_own("127.0.0.1");
	CHECK_EQ(net_send_room(&h.net, &path), 0);
	CHECK_EQ(net_host_send(&h, "127.0.0.1", 0), TOW_ENOBUFS);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_DEV_FULL], 1);
	net_host_close(&h);
}

/*
 * Links.
 */

/* A device that takes no more: frames wait, then transports do */
TEST(full_device_pushes_back)
{
	uint64_t before;

	net_host_open(&h);
	net_host_meet(&h, "192.0.2.2");
	CHECK_EQ(find("192.0.2.2"), 0);
	CHECK_EQ(net_send_room(&h.net, &path), NET_TX_BATCH);
	before = h.net.stats.counters[TOW_COUNTER_TX_FRAMES];
	h.fake.takes_max = 0;
	for (unsigned i = 0; i < NET_TX_BATCH; i++) {
		CHECK_EQ(net_send_room(&h.net, &path), NET_TX_BATCH - i);
		CHECK_EQ(net_host_send(&h, "192.0.2.2", 0), 0);
	}
	CHECK_EQ(net_send_room(&h.net, &path), 0);
	CHECK_EQ(net_host_send(&h, "192.0.2.2", 0), TOW_ENOBUFS);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_DEV_FULL], 1);
	h.fake.takes_max = 10;
	CHECK_EQ(net_host_sent(&h), 10);
	CHECK_EQ(net_send_room(&h.net, &path), 10);
	h.fake.takes_max = 1000;
	CHECK_EQ(net_host_sent(&h), NET_TX_BATCH - 10);
	CHECK_EQ(h.net.stats.counters[TOW_COUNTER_TX_FRAMES],
		 before + NET_TX_BATCH);
	net_host_close(&h);
}

/* A full batch goes to the device at once, in order */
TEST(full_batch_leaves_at_once_and_in_order)
{
	net_host_open(&h);
	net_host_meet(&h, "192.0.2.2");
	for (uint32_t i = 0; i < 200; i++) {
		CHECK_EQ(net_host_send(&h, "192.0.2.2", i), 0);
	}
	CHECK_GE(h.fake.sent_count, 192);
	net_host_sent(&h);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_DEV_FULL], 0);
	net_host_close(&h);
}

/* The device vanishes: what waits is given back, and everybody is told */
TEST(device_that_is_gone_gives_everything_back)
{
	struct tow_buf *buf;

	net_host_open(&h);
	net_host_meet(&h, "192.0.2.2");
	for (int i = 0; i < 5; i++)
		CHECK_EQ(net_host_send(&h, "192.0.2.2", 100), 0);
	CHECK_EQ(find("192.0.2.2"), 0);
	h.fake.gone = true;
	net_host_sent(&h);
	CHECK(h.link->gone);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_DEV_GONE], 5);
	CHECK_EQ(h.net.tx_pool.bufs_left, h.net.tx_pool.bufs_total);
	buf = tow_buf_take(&h.net.tx_pool);
	memset(buf_push(buf, 8), 0, 8);
	CHECK_EQ(net_send(&h.net, &path, buf, NET_UDP), TOW_ENETDOWN);
	CHECK_EQ(net_send_room(&h.net, &path), NET_TX_BATCH);
	net_host_close(&h);
}

/* Another link takes over where it has a route */
TEST(path_moves_to_another_link_when_its_own_is_gone)
{
	struct tow_buf *buf;

	open_two_links();
	CHECK_EQ(add_route(0, "198.51.100.0", 24, "192.0.2.254"), 0);
	CHECK_EQ(add_route(1, "0.0.0.0", 0, "203.0.113.254"), 0);
	CHECK_EQ(find("198.51.100.1"), 0);
	CHECK_EQ(path.link, &h.net.links[0]);
	net_link_gone(&h.net, &h.net.links[0]);
	buf = tow_buf_take(&h.net.tx_pool);
	memset(buf_push(buf, 8), 0, 8);
	CHECK_EQ(net_send(&h.net, &path, buf, NET_UDP), 0);
	CHECK_EQ(path.link, &h.net.links[1]);
	CHECK(is(&path.next_hop, "203.0.113.254"));
	CHECK(is(&path.src, "192.0.2.1")); /* what the peer knows us by */
	close_two_links();
}

/* New addresses and routes reach paths that are in use */
TEST(path_is_looked_up_again_when_routes_change)
{
	struct tow_buf *buf;

	net_host_open(&h);
	CHECK_EQ(add_route(0, "0.0.0.0", 0, "192.0.2.254"), 0);
	CHECK_EQ(find("198.51.100.1"), 0);
	CHECK_EQ(add_route(0, "198.51.100.0", 24, "192.0.2.253"), 0);
	buf = tow_buf_take(&h.net.tx_pool);
	memset(buf_push(buf, 8), 0, 8);
	CHECK_EQ(net_send(&h.net, &path, buf, NET_UDP), 0);
	CHECK(is(&path.next_hop, "192.0.2.253"));
	net_host_close(&h);
}

/* Bare IP: no station addresses, nobody to ask */
TEST(device_without_link_carries_bare_packets)
{
	struct tow_config cfg;
	uint8_t packet[64];
	struct tow_buf *buf;

	net_host_config(&cfg);
	net_host_open_with(&h, &cfg, TOW_DEV_NO_LINK);
	CHECK_EQ(net_host_send(&h, "192.0.2.2", 4), 0);
	CHECK_EQ(net_host_send(&h, "2001:db8::2", 4), 0);
	CHECK_EQ(net_host_sent(&h), 2);
	CHECK_EQ(h.fake.sent[0].bytes, 32);
	CHECK_EQ(h.fake.sent[0].data[0], 0x45);
	CHECK_EQ(h.fake.sent[0].header_bytes, 28);
	CHECK_EQ(h.fake.sent[1].bytes, 52);
	frame_begin(&f, "192.0.2.2", "192.0.2.1", NET_UDP);
	frame_udp(&f, 1, 2);
	frame_end(&f);
	fake_dev_put(&h.fake, frame_ip(&f), f.bytes - f.ip, 0);
	CHECK_EQ(h.fake.dev.ops->rx(&h.fake.dev, &buf, 1), 1);
	CHECK_EQ(net_receive(&h.net, h.link, buf, &h.packet, &h.error),
		 NET_DELIVER);
	tow_buf_give(buf);
	memset(packet, 0, sizeof(packet));
	fake_dev_put(&h.fake, packet, sizeof(packet), 0);
	CHECK_EQ(h.fake.dev.ops->rx(&h.fake.dev, &buf, 1), 1);
	CHECK_EQ(net_receive(&h.net, h.link, buf, &h.packet, &h.error),
		 NET_DONE);
	CHECK_EQ(h.net.stats.drops[TOW_DROP_LINK_TYPE], 1);
	net_host_close(&h);
}

/* Two stacks in one process share nothing, and choose differently */
TEST(two_networks_do_not_know_of_each_other)
{
	static struct net_host a, b;
	struct tow_config cfg;

	net_host_config(&cfg);
	net_host_open_with(&a, &cfg, 0);
	cfg.secret[0] ^= 1;
	net_host_open_with(&b, &cfg, 0);
	CHECK_NE(a.net.key.k0, b.net.key.k0);
	net_host_meet(&a, "192.0.2.2");
	CHECK_EQ(net_host_send(&b, "192.0.2.2", 0), 0);
	CHECK_EQ(net_host_sent(&b), 1);
	CHECK_EQ(wire_get16(b.fake.sent[0].data + 12), ETH_ARP);
	net_host_close(&a);
	net_host_close(&b);
}
