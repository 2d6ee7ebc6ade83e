/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IGMP and MLD, as heard by a host whose sockets come and go in groups. An
 * input is a list of steps:
 *
 *	kind     0 an IGMP message, 1 an MLD message: headed and summed as they
 *	           should be, so that what lies behind is reached
 *	         2 a socket listens to a group, otherwise or no more
 *	         3 time passes
 *	how      what breaks the headers; which socket, group and filter; how
 *	           long
 *	length   then the message, or the sources
 *
 * What must hold, besides that nothing is read or written where it must not be:
 * messages are bounded and correct, each group and membership is free or in use
 * and none is lost, a group without members is only told of for a while, unless
 * it is that of our link-local address, and in the end every buffer is back in
 * its pool.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/group.h>
#include <tow/udp.h>
#include "base/csum.h"
#include "fake_dev.h"
#include "frame.h"
#include "net/group.h"
#include "stack/stack_private.h"
#include "test.h"

#define STEPS_MAX  64
#define STEP_BYTES 3
#define GROUPS	   8
#define SOCKETS	   3

struct world {
	struct tow_stack *stack;
	struct fake_dev fake;
	struct tow_udp *udp[SOCKETS];
	uint64_t now_us;
	uint32_t groups; /* that there are records for */
};

static void look_at_sent(struct world *w)
{
	static struct frame f;

	for (unsigned i = 0; i < w->fake.sent_count; i++) {
		CHECK_LE(w->fake.sent[i].bytes, 14 + 1280);
		frame_read(&f, &w->fake.sent[i]);
	}
	fake_dev_clear(&w->fake);
}

static void check_tables(const struct world *w)
{
	const struct net_private *p = w->stack->net.private;
	uint32_t groups = 0, members = 0;

	for (uint32_t i = 0; i < NET_GROUP_BUCKETS; i++) {
		for (struct net_group *g = p->group_buckets[i]; g;
		     g = g->next) {
			groups++;
			CHECK(group_is_wanted(g) || g->change_timer.armed);
			CHECK_LE(g->filter.sources.count, GROUP_SOURCES);
			CHECK_LE(g->change_count, GROUP_SOURCES);
			CHECK_LE(g->asked.count, GROUP_SOURCES);
			for (struct net_member *m = g->members; m;
			     m = m->next) {
				CHECK_EQ(m->group, g);
				members++;
			}
		}
	}
	for (struct net_group *g = p->group_free; g; g = g->next)
		groups++;
	for (struct net_member *m = p->member_free; m; m = m->next)
		members++;
	CHECK_EQ(groups, w->groups);
	CHECK_EQ(members, GROUPS);
}

static void poll_for(struct world *w, uint64_t us)
{
	w->now_us += us;
	tow_poll(w->stack, w->now_us);
	tow_poll(w->stack, w->now_us);
	look_at_sent(w);
	check_tables(w);
}

static struct tow_addr group_of(uint8_t how)
{
	static const char *const groups[] = { "239.1.1.1", "ff05::1",
					      "232.1.1.1", "ff35::1",
					      "224.0.0.1", "ff02::1",
					      "239.1.1.2", "ff02::1:ff00:1" };

	return address(groups[how & 7]);
}

/* --- steps */

static void hear_igmp(struct world *w, uint8_t how, const uint8_t *body,
		      uint32_t bytes)
{
	static const uint8_t alert[] = { 148, 4, 0, 0 };
	static struct frame f;
	uint8_t *p;

	frame_begin(&f, how & 1 ? "192.0.2.9" : "192.0.2.2",
		    how & 2 ? "239.1.1.1" : "224.0.0.1", NET_IGMP);
	if (!(how & 4))
		frame_ip4_options(&f, alert, 4);
	p = f.data + f.bytes;
	frame_add(&f, body, bytes);
	frame_end(&f);
	if (bytes >= 4 && !(how & 8)) {
		wire_put16(p + 2, 0);
		wire_put_sum(p + 2, csum_finish(csum_bytes(0, p, bytes)));
	}
	w->fake.room_bytes = how >> 4 << 3;
	fake_dev_put(&w->fake, f.data, f.bytes, 0);
	poll_for(w, 100);
}

static void hear_mld(struct world *w, uint8_t how, const uint8_t *body,
		     uint32_t bytes)
{
	static const uint8_t alert[] = { 58, 0, 5, 2, 0, 0, 1, 0 };
	static struct frame f;

	frame_begin(&f, how & 1 ? "2001:db8::9" : "fe80::9",
		    how & 2 ? "ff05::1" : "ff02::1",
		    how & 4 ? NET_ICMP6 : IP6_HOP_BY_HOP);
	frame_ip(&f)[7] = 1;
	if (!(how & 4))
		frame_add(&f, alert, 8);
	f.transport = f.bytes;
	f.protocol = NET_ICMP6;
	frame_add(&f, body, bytes);
	if (bytes < 4)
		f.transport = 0;
	frame_end(&f);
	w->fake.room_bytes = how >> 4 << 3;
	fake_dev_put(&w->fake, f.data, f.bytes, 0);
	poll_for(w, 100);
}

/* Each byte of the body is the last one of a source. */
static void listen_to(struct world *w, uint8_t how, const uint8_t *body,
		      uint32_t bytes)
{
	struct tow_addr group = group_of(how), sources[TOW_SOURCES_MAX];
	bool v4 = tow_addr_is_v4(&group);
	int count = (int)MIN(bytes, TOW_SOURCES_MAX);

	for (int i = 0; i < count; i++) {
		sources[i] = v4 ? tow_addr_v4(198, 51, 100, body[i])
				: address("2001:db8:9::");
		sources[i].b[15] = body[i];
	}
	/* Whether there is room for it is not the point */
	(void)tow_udp_listen(w->udp[(how >> 3) % SOCKETS], 0, &group,
			     how & 0x80 ? TOW_FILTER_EXCLUDE
					: TOW_FILTER_INCLUDE,
			     sources, count);
	poll_for(w, how & 0x40 ? 100 : 0);
}

static void run(struct world *w, const uint8_t *data, size_t left)
{
	for (unsigned i = 0; i < STEPS_MAX && left >= STEP_BYTES; i++) {
		unsigned kind = data[0] % 4;
		uint8_t how = data[1];
		uint32_t bytes = (uint32_t)MIN(data[2], left - STEP_BYTES);

		data += STEP_BYTES;
		left -= STEP_BYTES;
		if (kind == 0)
			hear_igmp(w, how, data, bytes);
		else if (kind == 1)
			hear_mld(w, how, data, bytes);
		else if (kind == 2)
			listen_to(w, how, data, bytes);
		else
			poll_for(w, 1000u << how % 20);
		data += bytes;
		left -= bytes;
	}
}

/* --- the world */

static void *open_stack(struct world *w)
{
	struct tow_addr v4 = tow_addr_v4(192, 0, 2, 1);
	struct tow_endpoint local = { .port = 7 };
	struct tow_config cfg;
	size_t bytes;
	void *memory;

	tow_config_default(&cfg);
	cfg.tcp_max = cfg.listener_max = cfg.loans = cfg.segments = 4;
	cfg.udp_max = SOCKETS;
	cfg.group_max = GROUPS;
	cfg.chunk_bytes = 2048;
	cfg.rx_bufs = cfg.tx_bufs = 24;
	cfg.rx_chunks = cfg.tx_chunks = 48;
	w->groups = GROUPS + cfg.addr_max + cfg.link_max;
	bytes = (tow_need(&cfg) + 63) & ~(size_t)63;
	memory = aligned_alloc(64, bytes);
	CHECK_EQ(tow_open(&w->stack, &cfg, memory, bytes), 0);
	fake_dev_init(&w->fake, 0);
	CHECK_EQ(tow_attach(w->stack, &w->fake.dev), 0);
	CHECK_EQ(tow_addr_add(w->stack, 0, &v4, 24), 0);
	for (int i = 0; i < SOCKETS; i++)
		CHECK_EQ(tow_udp_open_shared(w->stack, &local, &w->udp[i]), 0);
	return memory;
}

static void close_all(struct world *w)
{
	const struct tow_pool *rx = &w->stack->net.rx_pool;
	const struct tow_pool *tx = &w->stack->net.tx_pool;

	for (int i = 0; i < SOCKETS; i++)
		tow_udp_close(w->udp[i]);
	for (int i = 0; i < 200; i++) /* all has been told */
		poll_for(w, 1000000);
	for (int i = 0; i < NET_GROUP_BUCKETS; i++)
		for (const struct net_group *g =
			     w->stack->net.private->group_buckets[i];
		     g; g = g->next)
			CHECK(g->solicited && !g->members);
	CHECK_EQ(rx->bufs_left, rx->bufs_total);
	CHECK_EQ(rx->chunks_left, rx->chunks_total);
	CHECK_EQ(tx->bufs_left, tx->bufs_total);
	CHECK_EQ(tx->chunks_left, tx->chunks_total);
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
	run(&w, data, bytes);
	close_all(&w);
	free(memory);
	return 0;
}
