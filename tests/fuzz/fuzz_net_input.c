/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input path below TCP: links, ARP, ND, IPv4, IPv6, ICMP and UDP, with
 * sockets that use what arrives. An input is a list of steps:
 *
 *	kind     0 a frame as it is
 *	         1 an IPv4 packet, 2 an IPv6 packet: headed by Ethernet and with
 *	           right checksums, so that what lies behind them is reached
 *	         3 something else happens: time, a call, a stubborn device
 *	how      where the device splits the frame, or what happens
 *	length   two bytes, big endian; then the frame or packet
 *
 * What must hold, besides that nothing is read or written where it must not
 * be: nobody gets more bytes than were sent to us, an answer is never longer
 * than 1280 bytes of IP or the packet that caused it, the neighbour cache keeps
 * its bounds, domains are told that can be printed, and in the end every buffer
 * and chunk is back in its pool.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/autoconf.h>
#include <tow/udp.h>
#include "base/csum.h"
#include "fake_dev.h"
#include "frame.h"
#include "net/net_private.h"
#include "stack/stack_private.h"
#include "test.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"

#define STEPS_MAX  64
#define FRAME_MAX  4096
#define STEP_BYTES 4

struct world {
	struct tow_stack *stack;
	struct fake_dev fake;
	struct tow_udp *any, *connected;
	uint64_t now_us;
	uint32_t longest; /* frame received */
	unsigned borrowed;
};

static void poll_once(struct world *w)
{
	struct tow_event events[8];

	w->now_us += 100;
	tow_poll(w->stack, w->now_us);
	while (tow_events(w->stack, events, 8) == 8)
		;
}

/* Whatever we say is an answer of bounded length, well formed. */
static void look_at_sent(struct world *w)
{
	uint32_t max = MAX(w->longest, ETH_BYTES + IP6_MTU_MIN);

	for (unsigned i = 0; i < w->fake.sent_count; i++) {
		const struct fake_frame *sent = &w->fake.sent[i];

		CHECK_LE(sent->bytes, max);
		CHECK_GE(sent->bytes, ETH_BYTES);
		CHECK_LE(sent->span_count, w->fake.dev.spans_max);
		CHECK_MEM(sent->data + 6, fake_mac, 6);
	}
	fake_dev_clear(&w->fake);
}

static void check_neighbours(const struct net *net)
{
	uint32_t unproven = 0, entries = 0, i;

	for (i = 0; i < net->neighbour_max; i++) {
		const struct neighbour *n = &net->neighbours[i];

		if (n->state == NEIGH_FREE) {
			CHECK_EQ(n->waiting, 0);
			continue;
		}
		entries++;
		unproven += !n->proven;
		CHECK_LE(n->waiting, 64);
	}
	CHECK_EQ(unproven, net->private->unproven_count);
	CHECK_LE(entries, net->neighbour_max);
}

/* What a program is told can be printed, and asked. */
static void check_names(const struct tow_stack *stack)
{
	struct tow_dns_server servers[TOW_DHCP_DNS_MAX + TOW_DNS_MAX];
	struct tow_dns_domain domains[TOW_DNS_MAX];
	int i, n;

	n = tow_dns_servers(stack, 0, servers, TOW_DHCP_DNS_MAX + TOW_DNS_MAX);
	CHECK_LE(n, TOW_DHCP_DNS_MAX + TOW_DNS_MAX);
	for (i = 0; i < n; i++)
		CHECK(!tow_addr_is_any(&servers[i].addr) &&
		      !net_is_multicast(&servers[i].addr));
	n = tow_dns_domains(stack, 0, domains, TOW_DNS_MAX);
	CHECK_LE(n, TOW_DNS_MAX);
	for (i = 0; i < n; i++) {
		size_t bytes = strnlen(domains[i].name, TOW_DNS_NAME_MAX);

		CHECK(bytes > 0 && bytes < TOW_DNS_NAME_MAX);
		CHECK_EQ(strspn(domains[i].name,
				"abcdefghijklmnopqrstuvwxyz0123456789-_."),
			 bytes);
	}
}

/*
 * Checksums, as far as the headers make sense.
 */

static void put_transport_sum(uint8_t *p, uint32_t bytes, uint8_t protocol,
			      const struct tow_addr *src,
			      const struct tow_addr *dst)
{
	uint32_t at = protocol == NET_UDP ? 6 : protocol == NET_TCP ? 16 : 2;
	uint32_t sum = 0;

	if (bytes < at + 2)
		return;
	wire_put16(p + at, 0);
	if (protocol != NET_ICMP)
		sum = csum_pseudo(src, dst, protocol, bytes);
	wire_put_sum(p + at, csum_finish(csum_bytes(sum, p, bytes)));
}

static void repair4(uint8_t *p, uint32_t bytes)
{
	struct wire_ip4 *ip = (void *)p;
	struct tow_addr src, dst;
	uint32_t header, total;

	if (bytes < IP4_BYTES)
		return;
	header = ip4_header_bytes(ip);
	total = MIN(bytes, wire_get16(ip->total));
	if (header < IP4_BYTES || header > total)
		return;
	wire_put16(ip->checksum, 0);
	wire_put_sum(ip->checksum, csum_finish(csum_bytes(0, ip, header)));
	src = wire_get_addr4(ip->src);
	dst = wire_get_addr4(ip->dst);
	put_transport_sum(p + header, total - header, ip->protocol, &src, &dst);
}

static void repair6(uint8_t *p, uint32_t bytes)
{
	struct wire_ip6 *ip = (void *)p;
	uint32_t at = IP6_BYTES, end;
	struct tow_addr src, dst;
	uint8_t next;

	if (bytes < IP6_BYTES)
		return;
	end = MIN(bytes, (uint32_t)IP6_BYTES + wire_get16(ip->payload));
	next = ip->next;
	while (at + 8 <= end &&
	       (next == IP6_HOP_BY_HOP || next == IP6_ROUTING ||
		next == IP6_DESTINATION || next == IP6_FRAGMENT)) {
		bool fragment = next == IP6_FRAGMENT;

		next = p[at];
		at += fragment ? 8 : (p[at + 1] + 1u) * 8;
	}
	if (at > end)
		return;
	src = wire_get_addr6(ip->src);
	dst = wire_get_addr6(ip->dst);
	put_transport_sum(p + at, end - at, next, &src, &dst);
}

/*
 * Steps.
 */

static void receive(struct world *w, unsigned kind, uint8_t how,
		    const uint8_t *data, uint32_t bytes)
{
	uint8_t frame[FRAME_MAX + ETH_BYTES];
	uint32_t at = kind == 0 ? 0 : ETH_BYTES;
	uint8_t flags = how & 0x40 ? TOW_BUF_CSUM_OK : 0;
	struct fake_input *in;

	memcpy(frame + at, data, bytes);
	if (kind != 0)
		eth_build(frame, fake_mac, peer_mac,
			  kind == 1 ? ETH_IP4 : ETH_IP6);
	if (kind == 1)
		repair4(frame + at, bytes);
	if (kind == 2)
		repair6(frame + at, bytes);
	if (kind != 0 && how & 0x80) /* to the group that the peer says */
		memset(frame, 0xff, 6);
	w->fake.room_bytes = 2 * (how & 0x3f);
	w->fake.chunk_fill = how & 1 ? 100 + how : 0;
	bytes += at;
	w->longest = MAX(w->longest, bytes);
	in = fake_dev_put(&w->fake, frame, bytes, flags);
	if (how & 2) {
		in->gso = TOW_GSO_UDP;
		in->gso_bytes = how >> 2;
	}
	poll_once(w);
}

static void use_sockets(struct world *w)
{
	struct tow_span spans[TOW_SPANS_MAX];
	struct tow_udp_message from;
	uint8_t out[64];
	size_t total = 0;
	int n;

	n = tow_udp_borrow(w->any, spans, TOW_SPANS_MAX, &from);
	for (int i = 0; i < n; i++)
		total += spans[i].len;
	if (n >= 0) {
		CHECK_EQ(total, from.bytes);
		CHECK_LE(total, w->longest);
		w->borrowed++;
	}
	n = (int)tow_udp_recv(w->any, out, sizeof(out), &from);
	CHECK(n <= (int)sizeof(out));
	n = (int)tow_udp_recv(w->connected, out, sizeof(out), &from);
	CHECK(n <= (int)sizeof(out));
}

static void send_something(struct world *w, uint8_t how)
{
	static const uint8_t payload[600];
	struct tow_span span = { payload, how * 2u };
	struct tow_udp_message m = { .spans = &span, .span_count = 1 };

	m.peer.port = 9;
	m.peer.addr =
		how & 1 ? tow_addr_v4(192, 0, 2, how) : address("2001:db8::2");
	m.peer.addr.b[15] = how;
	m.segment_bytes = how & 2 ? 300 : 0;
	/* Whether it goes is not the point */
	if (tow_udp_lend(w->any, &m, 1) < 0 || tow_udp_send(w->any, &m, 1) < 0)
		poll_once(w);
	w->longest = MAX(w->longest, ETH_BYTES + 40 + 8 + 600);
	poll_once(w);
}

/* Routers and DHCP servers are listened to, or no longer. */
static void configure(struct world *w, unsigned how)
{
	static const struct tow_autoconf_config both = { .temporary = true };

	switch (how % 4) {
	case 0:
		use_sockets(w);
		break;
	case 1:
		(void)!tow_autoconf_start(w->stack, 0, &both);
		break;
	case 2:
		(void)!tow_dhcp_start(w->stack, 0);
		break;
	default:
		tow_autoconf_stop(w->stack, 0);
		tow_dhcp_stop(w->stack, 0);
	}
}

static void happen(struct world *w, uint8_t how)
{
	switch (how % 8) {
	case 0:
	case 1:
		w->now_us += 250000u << (how >> 4 & 7);
		poll_once(w);
		break;
	case 2:
		use_sockets(w);
		break;
	case 3:
		configure(w, how >> 3);
		break;
	case 4:
		tow_udp_return(w->any, w->borrowed);
		w->borrowed = 0;
		break;
	case 5:
	case 6:
		send_something(w, how);
		break;
	case 7:
		w->fake.takes_max = how & 8 ? FAKE_FRAMES : how >> 4;
		w->fake.keeps = how & 0x80;
		break;
	}
}

static void run(struct world *w, const uint8_t *data, size_t left)
{
	for (unsigned i = 0; i < STEPS_MAX && left >= STEP_BYTES; i++) {
		unsigned kind = data[0] % 4;
		uint8_t how = data[1];
		uint32_t bytes = wire_get16(data + 2);

		data += STEP_BYTES;
		left -= STEP_BYTES;
		bytes = kind == 3 ? 0 : MIN(MIN(bytes, left), FRAME_MAX);
		if (kind == 3)
			happen(w, how);
		else
			receive(w, kind, how, data, bytes);
		data += bytes;
		left -= bytes;
		look_at_sent(w);
		check_neighbours(&w->stack->net);
		check_names(w->stack);
	}
}

/*
 * The world.
 */

static void *open_stack(struct world *w)
{
	struct tow_addr v4 = tow_addr_v4(192, 0, 2, 1);
	struct tow_addr v6 = address("2001:db8::1");
	struct tow_config cfg;
	size_t bytes;
	void *memory;

	tow_config_default(&cfg);
	cfg.tcp_max = cfg.listener_max = cfg.loans = cfg.segments = 4;
	cfg.udp_max = 2;
	cfg.neighbour_max = 8;
	cfg.chunk_bytes = 2048;
	cfg.rx_bufs = cfg.tx_bufs = 24;
	cfg.rx_chunks = cfg.tx_chunks = 48;
	bytes = (tow_need(&cfg) + 63) & ~(size_t)63;
	memory = aligned_alloc(64, bytes);
	CHECK_EQ(tow_open(&w->stack, &cfg, memory, bytes), 0);
	fake_dev_init(&w->fake, 0);
	CHECK_EQ(tow_attach(w->stack, &w->fake.dev), 0);
	CHECK_EQ(tow_addr_add(w->stack, 0, &v4, 24), 0);
	CHECK_EQ(tow_addr_add(w->stack, 0, &v6, 64), 0);
	return memory;
}

static void open_sockets(struct world *w)
{
	struct tow_endpoint peer = endpoint("192.0.2.2", 9);
	struct tow_endpoint local = { .port = 7 };

	CHECK_EQ(tow_udp_open(w->stack, &local, &w->any), 0);
	local.port = 8;
	CHECK_EQ(tow_udp_open(w->stack, &local, &w->connected), 0);
	CHECK_EQ(tow_udp_connect(w->connected, &peer), 0);
}

static void check_full(const struct tow_pool *pool)
{
	CHECK_EQ(pool->bufs_left, pool->bufs_total);
	CHECK_EQ(pool->chunks_left, pool->chunks_total);
}

static void close_all(struct world *w)
{
	tow_udp_close(w->any);
	tow_udp_close(w->connected);
	w->fake.takes_max = FAKE_FRAMES;
	w->fake.keeps = false;
	w->now_us += 60000000; /* fragments that wait for others, */
	for (int i = 0; i < 8; i++) {
		w->now_us += 1500000; /* and whatever waits, give up */
		poll_once(w);
		poll_once(w);
		look_at_sent(w);
	}
	poll_once(w);
	check_full(&w->stack->net.rx_pool);
	check_full(&w->stack->net.tx_pool);
	tow_close(w->stack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct world w;
	void *memory;

	memset(&w, 0, sizeof(w));
	w.now_us = 1000000;
	memory = open_stack(&w);
	open_sockets(&w);
	run(&w, data, bytes);
	close_all(&w);
	free(memory);
	return 0;
}
