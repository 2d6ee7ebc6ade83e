/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack: the layers put together, and the poll that drives them.
 *
 *	tow_poll
 *	  govern      what was borrowed: revoke, make room
 *	  receive     a batch from each device, and what was sent to ourselves
 *	  run timers  that are due
 *	  send        what is owed and allowed, then flush the devices
 *	  end loans   of buffers that devices gave back
 *
 * Each layer calls only downwards. What goes up goes through here: a packet
 * that the network layer delivers, a timer whose owner is known, a buffer that
 * was given back to its lender: a transport on transmit, a device on receive.
 */
#include "stack/layout.h"

#define RX_BATCH       32  /* frames taken from a device at a time */
#define RX_BATCHES_MAX 4   /* in one poll, so that a flood lets others live */
#define RETRY_US       200 /* when sending waits for memory or a device */

struct tcp_host *stack_tcp(struct tow_stack *stack)
{
	return &stack->tcp;
}

struct udp_host *stack_udp(struct tow_stack *stack)
{
	return &stack->udp;
}

/* ----------------------------------------------------------- open and close */

static uint8_t *align_up(uint8_t *at, uint32_t alignment)
{
	uintptr_t n = (uintptr_t)at;

	return at + ((alignment - n % alignment) % alignment);
}

static void init_pools(struct tow_stack *stack, const struct layout *layout)
{
	const struct tow_config *cfg = &stack->cfg;
	struct net *net = &stack->net;
	uint64_t *counters = net->stats.counters;
	uint8_t *at =
		align_up((uint8_t *)stack + layout->pools, cfg->chunk_bytes);

	pool_init(&net->tx_pool, at, cfg->tx_bufs, cfg->tx_chunks,
		  cfg->chunk_bytes, &counters[TOW_COUNTER_NO_TX_BUFFERS]);
	at = align_up(at + layout->tx_pool_bytes, cfg->chunk_bytes);
	pool_init(&net->rx_pool, at, cfg->rx_bufs, cfg->rx_chunks,
		  cfg->chunk_bytes, &counters[TOW_COUNTER_NO_RX_BUFFERS]);
}

int tow_open(struct tow_stack **out, const struct tow_config *cfg, void *memory,
	     size_t bytes)
{
	struct tow_stack *stack = memory;
	uint8_t *base = memory;
	struct layout layout;

	if (!layout_make(cfg, &layout) || (uintptr_t)memory % 64)
		return TOW_EINVAL;
	if (bytes < layout.bytes)
		return TOW_ENOMEM;
	memset(stack, 0, sizeof(*stack));
	stack->cfg = *cfg;
	net_init(&stack->net, cfg, base + layout.net);
	init_pools(stack, &layout);
	govern_init(&stack->net.govern, &stack->net.rx_pool, &stack->net.wheel,
		    cfg, base + layout.govern);
	dhcp_init(&stack->dhcp, &stack->net, cfg, base + layout.dhcp);
	udp_init(&stack->udp, &stack->net, cfg, base + layout.udp);
	tcp_init(&stack->tcp, &stack->net, cfg, base + layout.tcp);
	*out = stack;
	return 0;
}

void tow_close(struct tow_stack *stack)
{
	struct net *net = &stack->net;

	for (uint32_t i = 0; i < net->link_count; i++)
		net->links[i].dev->ops->close(net->links[i].dev);
	auth_close(&stack->tcp);
	govern_close(&net->govern);
	pool_close(&net->tx_pool);
	pool_close(&net->rx_pool);
}

int tow_attach(struct tow_stack *stack, struct tow_dev *dev)
{
	int r;

	dev->pool = &stack->net.rx_pool;
	dev->now_us = stack->net.now_us;
	r = net_link_add(&stack->net, dev);
	if (r < 0)
		dev->ops->close(dev);
	return r;
}

static bool is_link(const struct tow_stack *stack, int link)
{
	return link >= 0 && (uint32_t)link < stack->net.link_count;
}

int tow_addr_add(struct tow_stack *stack, int link, const struct tow_addr *addr,
		 unsigned prefix_bits)
{
	if (!is_link(stack, link))
		return TOW_EINVAL;
	return net_addr_add(&stack->net, (unsigned)link, addr, prefix_bits);
}

int tow_addr_claim(struct tow_stack *stack, int link,
		   const struct tow_addr *addr, unsigned prefix_bits)
{
	if (!is_link(stack, link))
		return TOW_EINVAL;
	return net_addr_claim(&stack->net, (unsigned)link, addr, prefix_bits);
}

int tow_addr_remove(struct tow_stack *stack, int link,
		    const struct tow_addr *addr)
{
	if (!is_link(stack, link))
		return TOW_EINVAL;
	return net_addr_remove(&stack->net, (unsigned)link, addr);
}

int tow_addr_list(const struct tow_stack *stack, int link,
		  struct tow_addr_info *out, int max)
{
	if (!is_link(stack, link))
		return TOW_EINVAL;
	return net_addr_list(&stack->net, (unsigned)link, out, max);
}

int tow_autoconf_start(struct tow_stack *stack, int link,
		       const struct tow_autoconf_config *config)
{
	if (!is_link(stack, link))
		return TOW_EINVAL;
	return net_autoconf_start(&stack->net, (unsigned)link, config);
}

void tow_autoconf_stop(struct tow_stack *stack, int link)
{
	if (is_link(stack, link))
		net_autoconf_stop(&stack->net, (unsigned)link);
}

int tow_dhcp_start(struct tow_stack *stack, int link)
{
	if (!is_link(stack, link))
		return TOW_EINVAL;
	return dhcp_start(&stack->dhcp, (unsigned)link);
}

void tow_dhcp_stop(struct tow_stack *stack, int link)
{
	if (is_link(stack, link))
		dhcp_stop(&stack->dhcp, (unsigned)link);
}

int tow_dhcp_info(const struct tow_stack *stack, int link,
		  struct tow_dhcp_info *out)
{
	if (!is_link(stack, link))
		return TOW_EINVAL;
	dhcp_info(&stack->dhcp, (unsigned)link, out);
	return 0;
}

/* RFC 8106 5.3.1: "information from DHCP appears there first". */
int tow_dns_servers(const struct tow_stack *stack, int link,
		    struct tow_dns_server *out, int max)
{
	struct tow_dhcp_info lease;
	int i;

	if (!is_link(stack, link))
		return TOW_EINVAL;
	dhcp_info(&stack->dhcp, (unsigned)link, &lease);
	for (i = 0; i < lease.dns_count && i < max; i++)
		out[i] = (struct tow_dns_server){
			.addr = lease.dns[i],
			.by_dhcp = true,
			.valid_us = lease.left_us,
		};
	return lease.dns_count + net_dns_servers(&stack->net, (unsigned)link,
						 i < max ? out + i : NULL,
						 max - i);
}

int tow_dns_domains(const struct tow_stack *stack, int link,
		    struct tow_dns_domain *out, int max)
{
	if (!is_link(stack, link))
		return TOW_EINVAL;
	return net_dns_domains(&stack->net, (unsigned)link, out, max);
}

int tow_route_add(struct tow_stack *stack, int link,
		  const struct tow_addr *dest, unsigned prefix_bits,
		  const struct tow_addr *gateway)
{
	if (!is_link(stack, link))
		return TOW_EINVAL;
	return net_route_add(&stack->net, (unsigned)link, dest, prefix_bits,
			     gateway);
}

/* --------------------------------------------------------------------- poll */

static void deliver(struct tow_stack *stack, struct net_packet *packet)
{
	if (packet->protocol == NET_TCP)
		tcp_input(&stack->tcp, packet);
	else if (LIKELY(stack->dhcp.running == 0) ||
		 !dhcp_input(&stack->dhcp, packet))
		udp_input(&stack->udp, packet);
}

static void receive_frame(struct tow_stack *stack, struct net_link *link,
			  struct tow_buf *buf)
{
	struct net_packet packet;
	struct net_error error;

	switch (net_receive(&stack->net, link, buf, &packet, &error)) {
	case NET_DONE:
		break;
	case NET_DELIVER:
		deliver(stack, &packet);
		break;
	case NET_ERROR:
		if (error.protocol == NET_TCP)
			tcp_error(&stack->tcp, &error);
		else
			udp_error(&stack->udp, &error);
		break;
	}
}

static int receive_batch(struct tow_stack *stack, struct net_link *link)
{
	struct tow_buf *bufs[RX_BATCH];
	int n;

	link->dev->now_us = stack->net.now_us;
	n = link->dev->ops->rx(link->dev, bufs, RX_BATCH);
	if (n < 0)
		net_link_gone(&stack->net, link);
	stack_check_placed(stack, link, bufs, n);
	for (int i = 0; i < n; i++)
		if (bufs[i])
			receive_frame(stack, link, bufs[i]);
	udp_place_all(&stack->udp);
	tcp_place_all(&stack->tcp);
	return n;
}

static int receive_from(struct tow_stack *stack, struct net_link *link)
{
	int received = 0, n = RX_BATCH;

	for (int i = 0; i < RX_BATCHES_MAX && n == RX_BATCH; i++) {
		if (link->gone)
			break;
		n = receive_batch(stack, link);
		received += MAX(n, 0);
	}
	return received;
}

static int receive_own(struct tow_stack *stack)
{
	struct net *net = &stack->net;
	uint32_t left = net->loop_count; /* not the answers to them */
	int received = 0;

	for (; left > 0; left--, received++)
		receive_frame(stack, &net->loop, net_loop_take(net));
	return received;
}

static int receive_all(struct tow_stack *stack)
{
	struct net *net = &stack->net;
	int received = receive_own(stack);

	for (uint32_t i = 0; i < net->link_count; i++)
		received += receive_from(stack, &net->links[i]);
	return received;
}

static void run_timers(struct tow_stack *stack)
{
	struct timer *timer;

	while ((timer = wheel_take(&stack->net.wheel))) {
		if (timer->owner == TIMER_TCP)
			tcp_timer(&stack->tcp, timer);
		else if (timer->owner == TIMER_PACING)
			tcp_pacing_timer(timer);
		else if (timer->owner == TIMER_DHCP)
			dhcp_timer(&stack->dhcp, timer);
		else if (timer->owner == TIMER_OWNER)
			govern_timer(&stack->net.govern, timer);
		else
			net_timer(&stack->net, timer);
	}
}

static void return_to_device(struct tow_stack *stack, struct tow_buf *buf)
{
	struct tow_dev *dev = buf->lender;

	dev->now_us = stack->net.now_us;
	dev->ops->returned(dev, buf);
}

static void end_loan(struct tow_stack *stack, struct tow_buf *buf)
{
	switch ((enum buf_owner)buf->owner_kind) {
	case BUF_OWNER_TCP:
		tcp_sent(&stack->tcp, buf);
		break;
	case BUF_OWNER_UDP:
		udp_sent(&stack->udp, buf);
		break;
	case BUF_OWNER_DEVICE:
		return_to_device(stack, buf);
		break;
	case BUF_OWNER_FRAGMENT:
		net_fragment_sent(buf);
		break;
	case BUF_OWNER_NONE:
		ASSERT(!"a lender of no kind");
	}
}

/* A sent buffer may refer to a received one, so the sent ones go first. */
static void end_loans(struct tow_stack *stack)
{
	struct tow_pool *const pools[] = { &stack->net.tx_pool,
					   &stack->net.rx_pool };
	struct tow_buf *buf;

	for (unsigned i = 0; i < LENGTH(pools); i++) {
		while ((buf = pool_take_done(pools[i]))) {
			end_loan(stack, buf);
			pool_reclaim(buf);
		}
	}
}

static void notice_gone_links(struct tow_stack *stack)
{
	struct net *net = &stack->net;

	for (uint32_t i = 0; i < net->link_count; i++) {
		struct net_link *link = &net->links[i];

		if (!link->gone || link->connections_failed)
			continue;
		link->connections_failed = true;
		tcp_link_gone(&stack->tcp, link);
	}
}

int tow_poll(struct tow_stack *stack, uint64_t now_us)
{
	struct net *net = &stack->net;
	int work;

	net->now_us = MAX(net->now_us, now_us);
	wheel_advance(&net->wheel, net->now_us);
	govern_poll(&net->govern);
	work = receive_all(stack);
	run_timers(stack);
	dhcp_poll(&stack->dhcp);
	udp_place_all(&stack->udp);
	tcp_place_all(&stack->tcp);
	work += udp_output(&stack->udp);
	work += tcp_output_all(&stack->tcp);
	net_flush(net);
	notice_gone_links(stack);
	end_loans(stack);
#ifdef TOW_CHECKS
	govern_check(&net->govern);
#endif
	return work;
}

/* Frames that a call of the program queued, or a full device left behind. */
static uint64_t link_deadline(const struct net *net,
			      const struct net_link *link)
{
	uint64_t next_us = link->tx_count ? net->now_us + RETRY_US : UINT64_MAX;

	return link->gone ? UINT64_MAX : MIN(next_us, link->dev->next_us);
}

/* Buffers that a call of the program gave back. */
static bool has_ended_loans(const struct net *net)
{
	return net->tx_pool.done || net->rx_pool.done;
}

static bool has_frames(const struct net *net)
{
	for (uint32_t i = 0; i < net->link_count; i++) {
		if (net->links[i].tx_count)
			return true;
	}
	return net->loop_count || has_ended_loans(net);
}

uint64_t tow_deadline(const struct tow_stack *stack)
{
	const struct net *net = &stack->net;
	uint64_t next_us = wheel_next(&net->wheel);

	if (net->loop_count || has_ended_loans(net) ||
	    govern_waits(&net->govern) || stack->tcp.events_by_call)
		return net->now_us;
	if (tcp_waits(&stack->tcp) || udp_waits(&stack->udp))
		next_us = MIN(next_us, net->now_us + RETRY_US);
	for (uint32_t i = 0; i < net->link_count; i++)
		next_us = MIN(next_us, link_deadline(net, &net->links[i]));
	return next_us;
}

int tow_wait_fd(const struct tow_stack *stack, int link)
{
	const struct tow_dev *dev;

	if (!is_link(stack, link))
		return -1;
	dev = stack->net.links[link].dev;
	if (!dev->ops->wait_fd)
		return -1;
	return dev->ops->wait_fd(stack->net.links[link].dev);
}

/* ------------------------------------------------------------------- events */

static int link_events(struct tow_stack *stack, struct tow_event *out, int max)
{
	int n = 0;

	for (uint32_t i = 0; i < stack->net.link_count && n < max; i++) {
		struct net_link *link = &stack->net.links[i];

		if (!link->gone || link->gone_reported)
			continue;
		link->gone_reported = true;
		out[n++] = (struct tow_event){
			.type = TOW_EVENT_DEVICE,
			.status = TOW_ENETDOWN,
			.token = i,
		};
	}
	return n;
}

static int addr_events(struct tow_stack *stack, struct tow_event *out, int max)
{
	int n = 0;

	for (uint32_t i = 0; i < stack->net.link_count && n < max; i++) {
		if (!net_addrs_changed(&stack->net, i))
			continue;
		out[n++] = (struct tow_event){
			.type = TOW_EVENT_ADDRESS,
			.token = i,
		};
	}
	return n;
}

int tow_events(struct tow_stack *stack, struct tow_event *out, int max)
{
	int n = link_events(stack, out, max);

	n += addr_events(stack, out + n, max - n);
	n += udp_events(&stack->udp, out + n, max - n);
	n += tcp_events(&stack->tcp, out + n, max - n);
	return n;
}

int tow_idle(const struct tow_stack *stack)
{
	return tcp_idle(&stack->tcp) && udp_idle(&stack->udp) &&
	       dhcp_idle(&stack->dhcp) && !has_frames(&stack->net);
}

const struct tow_stats *tow_stats(const struct tow_stack *stack)
{
	return &stack->net.stats;
}
