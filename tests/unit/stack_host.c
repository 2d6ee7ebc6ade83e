/* SPDX-License-Identifier: BSD-2-Clause */
#include "stack_host.h"
#include <stdlib.h>
#include <string.h>
#include "stack/stack_private.h"
#include "test.h"
#include "wire/wire_arp.h"

void stack_host_config(struct tow_config *cfg)
{
	tow_config_default(cfg);
	cfg->tcp_max = 8;
	cfg->listener_max = 2;
	cfg->udp_max = 8;
	cfg->chunk_bytes = 2048;
	cfg->rx_bufs = cfg->rx_chunks = 256;
	cfg->tx_bufs = cfg->tx_chunks = 256;
	cfg->loans = 64;
	cfg->segments = 64;
	memcpy(cfg->secret, "a secret that is not very secret", 32);
}

static void meet(struct stack_host *s)
{
	static struct frame f;

	frame_arp(&f, ARP_REQUEST, peer_mac, "192.0.2.2", "192.0.2.1");
	stack_host_receive(s, &f);
	frame_solicit(&f, "2001:db8::2", "2001:db8::1", "2001:db8::1",
		      peer_mac);
	stack_host_receive(s, &f);
	stack_host_sent(s);
}

void stack_host_open_with(struct stack_host *s, const struct tow_config *cfg,
			  uint32_t caps)
{
	struct tow_addr v4 = address("192.0.2.1"), v6 = address("2001:db8::1");

	s->bytes = (tow_need(cfg) + 63) & ~(size_t)63;
	CHECK_GT(s->bytes, 0);
	s->memory = aligned_alloc(64, s->bytes);
	CHECK_EQ(tow_open(&s->stack, cfg, s->memory, s->bytes), 0);
	fake_dev_init(&s->fake, caps);
	CHECK_EQ(tow_attach(s->stack, &s->fake.dev), 0);
	CHECK_EQ(tow_addr_add(s->stack, 0, &v4, 24), 0);
	CHECK_EQ(tow_addr_add(s->stack, 0, &v6, 64), 0);
	s->now_us = 1000000;
	s->seen = 0;
	stack_host_run(s, 1100000); /* their groups are told, twice */
	meet(s);
}

void stack_host_open(struct stack_host *s, uint32_t caps)
{
	struct tow_config cfg;

	stack_host_config(&cfg);
	stack_host_open_with(s, &cfg, caps);
}

static void check_full(const struct tow_pool *pool)
{
	CHECK_EQ(pool->bufs_left, pool->bufs_total);
	CHECK_EQ(pool->chunks_left, pool->chunks_total);
}

void stack_host_close(struct stack_host *s)
{
	fake_dev_clear(&s->fake);
	s->seen = 0;
	stack_host_run(s, 100000);
	fake_dev_clear(&s->fake);
	stack_host_poll(s);
	check_full(&s->stack->net.rx_pool);
	check_full(&s->stack->net.tx_pool);
	tow_close(s->stack);
	free(s->memory);
}

int stack_host_poll(struct stack_host *s)
{
	s->now_us += 10;
	return tow_poll(s->stack, s->now_us);
}

void stack_host_run(struct stack_host *s, uint64_t us)
{
	uint64_t end = s->now_us + us;

	for (; s->now_us < end; s->now_us += us / 100 + 1)
		tow_poll(s->stack, s->now_us);
	tow_poll(s->stack, s->now_us);
}

void stack_host_receive(struct stack_host *s, const struct frame *f)
{
	fake_dev_put(&s->fake, f->data, f->bytes, 0);
	stack_host_poll(s);
}

unsigned stack_host_sent(struct stack_host *s)
{
	fake_dev_forget(&s->fake, s->seen);
	s->seen = 0;
	stack_host_poll(s);
	stack_host_poll(s);
	s->seen = s->fake.sent_count;
	return s->seen;
}

struct tow_event stack_host_event(struct stack_host *s)
{
	struct tow_event event;

	memset(&event, 0, sizeof(event));
	if (tow_events(s->stack, &event, 1) == 0)
		memset(&event, 0, sizeof(event));
	return event;
}

uint64_t stack_host_drops(const struct stack_host *s, enum tow_drop why)
{
	return tow_stats(s->stack)->drops[why];
}
