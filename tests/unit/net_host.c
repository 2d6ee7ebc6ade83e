/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_host.h"
#include <stdlib.h>
#include <string.h>
#include "base/csum.h"
#include "test.h"
#include "wire/wire_arp.h"
#include "wire/wire_icmp.h"
#include "wire/wire_udp.h"

void net_host_config(struct tow_config *cfg)
{
	memset(cfg, 0, sizeof(*cfg));
	cfg->link_max = 2;
	cfg->addr_max = 8;
	cfg->route_max = 8;
	cfg->neighbour_max = 16;
	cfg->reassembly_max = 32;
	cfg->router_max = 2;
	cfg->prefix_max = 4;
	cfg->chunk_bytes = 2048;
	cfg->rx_bufs = cfg->rx_chunks = 64;
	cfg->tx_bufs = cfg->tx_chunks = 128;
	memcpy(cfg->secret, "a secret that is not very secret", 32);
}

static void make_pools(struct net_host *h, const struct tow_config *cfg)
{
	size_t rx = pool_need(cfg->rx_bufs, cfg->rx_chunks, cfg->chunk_bytes);
	size_t tx = pool_need(cfg->tx_bufs, cfg->tx_chunks, cfg->chunk_bytes);
	uint64_t *counters = h->net.stats.counters;
	size_t mask = cfg->chunk_bytes - 1;

	rx = (rx + mask) & ~mask;
	tx = (tx + mask) & ~mask;
	h->pools = aligned_alloc(cfg->chunk_bytes, rx + tx);
	pool_init(&h->net.rx_pool, h->pools, cfg->rx_bufs, cfg->rx_chunks,
		  cfg->chunk_bytes, &counters[TOW_COUNTER_NO_RX_BUFFERS]);
	pool_init(&h->net.tx_pool, (uint8_t *)h->pools + rx, cfg->tx_bufs,
		  cfg->tx_chunks, cfg->chunk_bytes,
		  &counters[TOW_COUNTER_NO_TX_BUFFERS]);
}

void net_host_open_with(struct net_host *h, const struct tow_config *cfg,
			uint32_t caps)
{
	struct tow_addr v4 = address("192.0.2.1"), v6 = address("2001:db8::1");
	size_t need = (net_need(cfg) + 63) & ~(size_t)63;

	h->memory = aligned_alloc(64, need);
	net_init(&h->net, cfg, h->memory);
	make_pools(h, cfg);
	fake_dev_init(&h->fake, caps);
	h->seen = 0;
	CHECK_EQ(net_link_add(&h->net, &h->fake.dev), 0);
	h->link = &h->net.links[0];
	CHECK_EQ(net_addr_add(&h->net, 0, &v4, 24), 0);
	CHECK_EQ(net_addr_add(&h->net, 0, &v6, 64), 0);
	net_host_run(h, 1500000); /* their groups were told, twice */
	net_host_sent(h);
	fake_dev_clear(&h->fake);
	h->seen = 0;
}

void net_host_open(struct net_host *h)
{
	struct tow_config cfg;

	net_host_config(&cfg);
	net_host_open_with(h, &cfg, 0);
}

static void check_full(const struct tow_pool *pool)
{
	CHECK_EQ(pool->bufs_left, pool->bufs_total);
	CHECK_EQ(pool->chunks_left, pool->chunks_total);
}

void net_host_close(struct net_host *h)
{
	struct tow_buf *buf;

	h->fake.dev.ops->close(&h->fake.dev);
	h->seen = 0;
	for (unsigned i = 0; i < h->net.link_count; i++)
		while (h->net.links[i].tx_count > 0)
			tow_buf_give(
				h->net.links[i].tx[--h->net.links[i].tx_count]);
	net_host_run(h, 70000000); /* whatever waits gives up */
	while ((buf = net_loop_take(&h->net)) != NULL)
		tow_buf_give(buf);
	net_host_run(h, 0);
	h->fake.dev.ops->close(&h->fake.dev);
	check_full(&h->net.rx_pool);
	check_full(&h->net.tx_pool);
	pool_close(&h->net.rx_pool);
	pool_close(&h->net.tx_pool);
	free(h->pools);
	free(h->memory);
}

enum net_verdict net_host_receive(struct net_host *h, const struct frame *f)
{
	struct tow_buf *buf;

	fake_dev_put(&h->fake, f->data, f->bytes, 0);
	CHECK_EQ(h->fake.dev.ops->rx(&h->fake.dev, &buf, 1), 1);
	return net_receive(&h->net, h->link, buf, &h->packet, &h->error);
}

static uint64_t all_drops(const struct net *net)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < TOW_DROP_REASONS; i++)
		sum += net->stats.drops[i];
	return sum;
}

void net_host_refuses(struct net_host *h, const struct frame *f,
		      enum tow_drop why)
{
	uint64_t before = h->net.stats.drops[why], all = all_drops(&h->net);

	net_host_sent(h);
	CHECK_EQ(net_host_receive(h, f), NET_DONE);
	CHECK_EQ(h->net.stats.drops[why], before + 1);
	CHECK_EQ(all_drops(&h->net), all + 1);
	CHECK_EQ(net_host_sent(h), 0);
}

void net_host_accepts(struct net_host *h, const struct frame *f)
{
	CHECK_EQ(net_host_receive(h, f), NET_DELIVER);
	tow_buf_give(h->packet.buf);
}

void net_host_run(struct net_host *h, uint64_t us)
{
	struct net *net = &h->net;
	uint64_t end = net->now_us + us;
	struct timer *timer;
	struct tow_buf *buf;

	do {
		net->now_us += 100000;
		if (net->now_us > end)
			net->now_us = end;
		wheel_advance(&net->wheel, net->now_us);
		while ((timer = wheel_take(&net->wheel)) != NULL)
			net_timer(net, timer);
		net_flush(net);
	} while (net->now_us < end);
	while ((buf = pool_take_done(&net->tx_pool)) != NULL) {
		if (buf->owner_kind == BUF_OWNER_FRAGMENT)
			net_fragment_sent(buf);
		pool_reclaim(buf);
	}
}

int net_host_send(struct net_host *h, const char *dst, uint32_t bytes)
{
	struct tow_addr any = tow_addr_any(), to = address(dst);
	struct net_path path;
	uint64_t touched = 0;
	struct tow_buf *buf;
	uint32_t sum;
	uint8_t *at;
	int error = net_path_find(&h->net, &any, &to, 0, &path);

	if (error)
		return error;
	buf = tow_buf_take(&h->net.tx_pool);
	CHECK(buf);
	at = buf_push(buf, UDP_BYTES);
	udp_build((void *)at, 1000, 2000, UDP_BYTES + bytes);
	if (bytes > 0) {
		uint8_t *chunk = tow_chunk_take(&h->net.tx_pool);

		memset(chunk, 'x', bytes);
		tow_buf_add_chunk(buf, chunk, bytes);
	}
	sum = csum_pseudo(&path.src, &path.dst, NET_UDP, buf->bytes);
	wire_put_sum(at + UDP_CSUM_OFFSET,
		     csum_finish(csum_add(sum, buf_csum(buf, 0, &touched))));
	return net_send(&h->net, &path, buf, NET_UDP);
}

unsigned net_host_sent(struct net_host *h)
{
	fake_dev_forget(&h->fake, h->seen);
	net_flush(&h->net);
	h->seen = h->fake.sent_count;
	return h->seen;
}

static bool is_report(const struct fake_frame *sent)
{
	static const uint8_t to_routers[] = { 0x33, 0x33, 0, 0, 0, 0x16 };

	return memcmp(sent->data, to_routers, sizeof(to_routers)) == 0;
}

unsigned net_host_sent_but_reports(struct net_host *h)
{
	unsigned count = net_host_sent(h), i = 0;

	while (i < count) {
		if (is_report(&h->fake.sent[i])) {
			fake_dev_forget_one(&h->fake, i);
			count--;
		} else {
			i++;
		}
	}
	h->seen = count;
	return count;
}

void net_host_read(struct net_host *h, unsigned index, struct frame *f)
{
	CHECK_LT(index, h->fake.sent_count);
	frame_read(f, &h->fake.sent[index]);
}

void net_host_meet(struct net_host *h, const char *peer)
{
	static struct frame f;

	if (strchr(peer, ':'))
		frame_solicit(&f, peer, HOST_LINK_LOCAL, HOST_LINK_LOCAL,
			      peer_mac);
	else
		frame_arp(&f, ARP_REQUEST, peer_mac, peer, "192.0.2.1");
	CHECK_EQ(net_host_receive(h, &f), NET_DONE);
	net_host_sent(h);
}
