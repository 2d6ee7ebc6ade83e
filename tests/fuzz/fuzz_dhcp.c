/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A DHCP client among servers that say anything, in virtual time. An input is a
 * list of steps:
 *
 *	kind     0, 1 a message to the client: headed and summed as it should be,
 *	           an answer to its last question, with the options that follow
 *	         2 one that is right but for the bits of the next byte
 *	         3 an ARP packet about the address that it was offered
 *	         4 time passes
 *	         5 the program: another address, an end, a new start
 *	how      what is broken; how long; which
 *	length   then the options
 *
 * What must hold, besides that nothing is read or written where it must not be:
 * the address that the program gave stays, a lease has an address, mask and
 * server that can be, it is not longer than it was said, our messages are well
 * formed and come no more often than the text allows, and in the end every
 * buffer is back and nothing of the lease is left.
 */
#include <stdlib.h>
#include <string.h>
#include <tow/autoconf.h>
#include "fake_dev.h"
#include "frame.h"
#include "net/net_private.h"
#include "stack/stack_private.h"
#include "test.h"
#include "wire/wire_arp.h"
#include "wire/wire_dhcp.h"
#include "wire/wire_udp.h"

#define STEPS_MAX  48
#define STEP_BYTES 3
#define S	   1000000ull
#define GIVEN	   "192.0.2.1"

struct world {
	struct tow_stack *stack;
	struct fake_dev fake;
	uint64_t now_us;
	struct wire_dhcp asked; /* the last message of the client */
	unsigned sent;		/* messages in this second */
	uint64_t second;
};

/* --- what the client does */

/* RFC 2131 4.1, 4.3.6: fixed fields, a cookie, a type, an end. */
static void check_message(struct world *w, const struct frame *f)
{
	const uint8_t *p = f->data + f->transport + UDP_BYTES;
	uint32_t bytes = f->bytes - f->transport - UDP_BYTES, at = DHCP_BYTES;
	bool typed = false;

	CHECK_GE(bytes, DHCP_BYTES_MIN);
	memcpy(&w->asked, p, sizeof(w->asked));
	CHECK_EQ(w->asked.op, DHCP_BOOTREQUEST);
	CHECK_EQ(w->asked.hlen, 6);
	CHECK_MEM(w->asked.chaddr, fake_mac, 6);
	CHECK_EQ(wire_get32(w->asked.cookie), DHCP_COOKIE);
	while (p[at] != DHCP_OPTION_END) {
		CHECK_LT(at + 2, bytes);
		typed |= p[at] == DHCP_OPTION_TYPE && p[at + 1] == 1;
		at += p[at] == DHCP_OPTION_PAD ? 1 : 2u + p[at + 1];
		CHECK_LT(at, bytes);
	}
	CHECK(typed);
	w->sent++;
}

static bool is_from_client(const struct frame *f)
{
	return f->protocol == NET_UDP &&
	       wire_get16(f->data + f->transport) == DHCP_CLIENT_PORT;
}

static void look_at_sent(struct world *w)
{
	static struct frame f;

	for (unsigned i = 0; i < w->fake.sent_count; i++) {
		frame_read(&f, &w->fake.sent[i]);
		if (is_from_client(&f))
			check_message(w, &f);
	}
	fake_dev_clear(&w->fake);
}

/*
 * Each step here makes at most a few of them due, and one exchange is three
 * messages; more in a second is a storm.
 */
static void check_pace(struct world *w)
{
	if (w->now_us / S != w->second) {
		w->second = w->now_us / S;
		w->sent = 0;
	}
	CHECK_LE(w->sent, 16);
}

static void check_lease(const struct world *w)
{
	struct tow_addr given = address(GIVEN);
	struct tow_dhcp_info info;

	CHECK(net_is_local(&w->stack->net, &given));
	CHECK_EQ(tow_dhcp_info(w->stack, 0, &info), 0);
	if (!info.bound)
		return;
	CHECK(info.running);
	CHECK(net_is_local(&w->stack->net, &info.addr));
	CHECK(!tow_addr_equal(&info.addr, &given));
	CHECK_LE(info.prefix_bits, 32);
	CHECK_GE(info.prefix_bits, 1);
	CHECK_LE(info.dns_count, TOW_DHCP_DNS_MAX);
	CHECK(net_is_unicast(&w->stack->net, &info.server));
	CHECK(info.left_us == TOW_FOREVER || info.left_us <= UINT32_MAX * S);
}

static void poll_once(struct world *w, uint64_t us)
{
	struct tow_event events[8];

	w->now_us += us;
	tow_poll(w->stack, w->now_us);
	while (tow_events(w->stack, events, 8) == 8)
		;
	look_at_sent(w);
	check_pace(w);
	check_lease(w);
}

/* Not in one leap: what is due is done when it is. */
static void pass(struct world *w, uint64_t us)
{
	for (int i = 0; i < 64; i++)
		poll_once(w, us / 64 + 1);
}

/* --- steps */

static const uint8_t offers[4][4] = {
	{ 10, 0, 0, 77 }, { 10, 0, 0, 78 }, { 192, 0, 2, 1 }, { 224, 0, 0, 1 }
};

static void fill_in(const struct world *w, struct wire_dhcp *m, uint8_t how)
{
	memset(m, 0, sizeof(*m));
	m->op = DHCP_BOOTREPLY;
	m->htype = 1;
	m->hlen = 6;
	memcpy(m->xid, w->asked.xid, 4);
	memcpy(m->chaddr, w->asked.chaddr, 16);
	memcpy(m->yiaddr, offers[how >> 3 & 3], 4);
	wire_put32(m->cookie, DHCP_COOKIE);
	if (how & 0x80) /* option 52 may say that there are some */
		memset(m->sname, DHCP_OPTION_TYPE,
		       sizeof(m->sname) + sizeof(m->file));
}

static void receive(struct world *w, struct frame *f, uint8_t how)
{
	frame_end(f);
	w->fake.room_bytes = (how & 7u) << 4;
	fake_dev_put(&w->fake, f->data, f->bytes, 0);
	poll_once(w, 1000);
}

/* @how: from where, which address is offered, where the device splits. */
static void hear(struct world *w, uint8_t how, int flipped,
		 const uint8_t *options, uint32_t bytes)
{
	static struct frame f;
	struct wire_dhcp m;

	fill_in(w, &m, how);
	if (flipped >= 0)
		((uint8_t *)&m)[flipped % sizeof(m)] ^= (uint8_t)(1 + how);
	frame_begin(&f, how & 0x20 ? "10.0.0.2" : "10.0.0.1", "255.255.255.255",
		    NET_UDP);
	frame_udp(&f, DHCP_SERVER_PORT, DHCP_CLIENT_PORT);
	frame_add(&f, &m, sizeof(m));
	frame_add(&f, options, bytes);
	receive(w, &f, how);
}

static void hear_flipped(struct world *w, uint8_t how, const uint8_t *body,
			 uint32_t bytes)
{
	if (bytes > 0)
		hear(w, how, body[0], body + 1, bytes - 1);
}

/* Somebody has the address, wants it, or asks for it; or is the server. */
static void hear_arp(struct world *w, uint8_t how)
{
	static const uint8_t other_mac[6] = { 2, 0, 0, 0, 0, 9 };
	static const char *const senders[] = { "10.0.0.77", "10.0.0.78",
					       "0.0.0.0", "10.0.0.1" };
	static struct frame f;

	frame_arp(&f, how & 1 ? ARP_REQUEST : ARP_REPLY, other_mac,
		  senders[how >> 1 & 3], how & 8 ? "10.0.0.78" : "10.0.0.77");
	receive(w, &f, 0);
}

/* Somebody's offer is an address that the program has, for a moment. */
static void give_and_take(struct world *w)
{
	struct tow_addr addr = address("10.0.0.78");

	if (tow_addr_add(w->stack, 0, &addr, 24) != 0)
		return;
	poll_once(w, 1000);
	CHECK_EQ(tow_addr_remove(w->stack, 0, &addr), 0);
}

static void call(struct world *w, uint8_t how)
{
	struct tow_dhcp_info info;
	int error;

	CHECK_EQ(tow_dhcp_info(w->stack, 0, &info), 0);
	if (how % 4 == 0) {
		tow_dhcp_stop(w->stack, 0);
	} else if (how % 4 == 1) {
		error = tow_dhcp_start(w->stack, 0);
		CHECK(error == 0 || error == TOW_EEXIST);
	} else if (how % 4 == 2) {
		give_and_take(w);
	} else if (info.bound) {
		CHECK_EQ(tow_addr_remove(w->stack, 0, &info.addr), 0);
	}
	poll_once(w, 1000);
}

static void run(struct world *w, const uint8_t *data, size_t left)
{
	for (unsigned i = 0; i < STEPS_MAX && left >= STEP_BYTES; i++) {
		unsigned kind = data[0] % 6;
		uint8_t how = data[1];
		uint32_t bytes = (uint32_t)MIN(data[2], left - STEP_BYTES);

		data += STEP_BYTES;
		left -= STEP_BYTES;
		if (kind < 2)
			hear(w, how, -1, data, bytes);
		else if (kind == 2)
			hear_flipped(w, how, data, bytes);
		else if (kind == 3)
			hear_arp(w, how);
		else if (kind == 4)
			pass(w, 10000ull << how % 24);
		else
			call(w, how);
		data += bytes;
		left -= bytes;
	}
}

/* --- the world */

static void *open_stack(struct world *w)
{
	struct tow_addr given = address(GIVEN);
	struct tow_config cfg;
	size_t bytes;
	void *memory;

	tow_config_default(&cfg);
	cfg.tcp_max = cfg.listener_max = cfg.loans = cfg.segments = 4;
	cfg.udp_max = cfg.group_max = 4;
	cfg.addr_max = 4;
	cfg.chunk_bytes = 2048;
	cfg.rx_bufs = cfg.tx_bufs = 24;
	cfg.rx_chunks = cfg.tx_chunks = 48;
	bytes = (tow_need(&cfg) + 63) & ~(size_t)63;
	memory = aligned_alloc(64, bytes);
	CHECK_EQ(tow_open(&w->stack, &cfg, memory, bytes), 0);
	fake_dev_init(&w->fake, 0);
	CHECK_EQ(tow_attach(w->stack, &w->fake.dev), 0);
	CHECK_EQ(tow_addr_add(w->stack, 0, &given, 24), 0);
	return memory;
}

static void close_all(struct world *w, uint32_t addrs, uint32_t routes)
{
	const struct net *net = &w->stack->net;

	tow_dhcp_stop(w->stack, 0);
	pass(w, 20 * S); /* the release has gone, or was given up */
	CHECK_EQ(net->addr_count, addrs);
	CHECK_EQ(net->route_count, routes);
	CHECK_EQ(net->rx_pool.bufs_left, net->rx_pool.bufs_total);
	CHECK_EQ(net->rx_pool.chunks_left, net->rx_pool.chunks_total);
	CHECK_EQ(net->tx_pool.bufs_left, net->tx_pool.bufs_total);
	CHECK_EQ(net->tx_pool.chunks_left, net->tx_pool.chunks_total);
	tow_close(w->stack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct world w;
	uint32_t addrs, routes;
	void *memory;

	memset(&w, 0, sizeof(w));
	w.now_us = 1000000;
	memory = open_stack(&w);
	addrs = w.stack->net.addr_count;
	routes = w.stack->net.route_count;
	CHECK_EQ(tow_dhcp_start(w.stack, 0), 0);
	run(&w, data, bytes);
	close_all(&w, addrs, routes);
	free(memory);
	return 0;
}
