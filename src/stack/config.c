/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Configuration: sizes, and the one memory region cut into its parts.
 *
 *	| stack | net, udp, tcp tables | owners | tx pool | rx pool |
 */
#include "stack/layout.h"

#define KIB 1024u
#define MIB (1024u * KIB)

#define RECV_BYTES_FIRST (128 * KIB) /* offers a first window of 65535 */

void tow_config_default(struct tow_config *cfg)
{
	*cfg = (struct tow_config){
		.tcp_max = 1024,
		.listener_max = 16,
		.udp_max = 64,
		.link_max = 4,
		.addr_max = 32,
		.route_max = 64,
		.neighbour_max = 256,
		.group_max = 64,
		.reassembly_max = 64,
		.router_max = 8,
		.prefix_max = 32,
		.owner_max = 64,
		.chunk_bytes = 4 * KIB,
		.rx_chunks = 8192,
		.rx_bufs = 12288,
		.tx_chunks = 4096,
		.tx_bufs = 4096,
		.loans = 16384,
		.segments = 32768,
		.posts = 2048,
		.ledgers = 1024,
		.paced = 1024,
		.auth_keys = 128,
		.accecn = 1024,
		.send_bytes = 4 * MIB,
		.recv_bytes = RECV_BYTES_FIRST,
		.recv_bytes_max = 16 * MIB - 256,
		.lend_bytes_min = 512,
		.ttl = 64,
	};
}

static bool is_valid(const struct tow_config *cfg)
{
	return cfg->tcp_max && cfg->listener_max && cfg->udp_max &&
	       cfg->link_max && cfg->addr_max && cfg->route_max &&
	       cfg->neighbour_max && cfg->rx_chunks && cfg->rx_bufs &&
	       cfg->tx_chunks && cfg->tx_bufs && cfg->loans && cfg->segments &&
	       cfg->send_bytes && cfg->recv_bytes &&
	       cfg->recv_bytes_max >= cfg->recv_bytes &&
	       cfg->accecn <= UINT16_MAX && cfg->chunk_bytes >= 2048 &&
	       cfg->chunk_bytes <= 65536 &&
	       (cfg->chunk_bytes & (cfg->chunk_bytes - 1)) == 0;
}

static size_t place(size_t *at, size_t bytes, size_t alignment)
{
	size_t offset = (*at + alignment - 1) / alignment * alignment;

	*at = offset + bytes;
	return offset;
}

/*
 * Where each part begins, from a base that is aligned to 64 bytes only: the
 * pools want their chunks aligned, so there is slack for that at the end.
 */
bool layout_make(const struct tow_config *cfg, struct layout *out)
{
	size_t at = 0;

	if (!is_valid(cfg))
		return false;
	place(&at, sizeof(struct tow_stack), 64);
	out->net = place(&at, net_need(cfg), 64);
	out->dhcp = place(&at, dhcp_need(cfg), 64);
	out->udp = place(&at, udp_need(cfg), 64);
	out->tcp = place(&at, tcp_need(cfg), 64);
	out->govern = place(&at, govern_need(cfg), 64);
	out->pools = at;
	out->tx_pool_bytes =
		pool_need(cfg->tx_bufs, cfg->tx_chunks, cfg->chunk_bytes);
	out->rx_pool_bytes =
		pool_need(cfg->rx_bufs, cfg->rx_chunks, cfg->chunk_bytes);
	out->bytes = at + cfg->chunk_bytes + out->tx_pool_bytes +
		     cfg->chunk_bytes + out->rx_pool_bytes;
	return out->tx_pool_bytes && out->rx_pool_bytes;
}

size_t tow_need(const struct tow_config *cfg)
{
	struct layout layout;

	return layout_make(cfg, &layout) ? layout.bytes : 0;
}
