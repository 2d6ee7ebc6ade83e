/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UDP's memory and start, and its cache of paths.
 *
 *	| private | sockets | buckets of both | loans | records | faults |
 *
 * A path is looked up for each datagram, when it is built and when it leaves.
 * Most go where one went just before: a small table, direct-mapped by a keyed
 * hash of the flow, remembers. net_send() itself notices when a path is out of
 * date.
 */
#include "udp/udp_private.h"

#define TABLE_ALIGN 64
#define FAULTS_EACH 4 /* ICMP errors kept, on average; 16 at most */

struct layout {
	size_t sockets, bound, connected, loans, records, faults, end;
	uint32_t buckets, loan_count, record_count, fault_count;
};

static size_t place(size_t *end, size_t bytes)
{
	size_t at = *end;

	*end = (at + bytes + TABLE_ALIGN - 1) & ~(size_t)(TABLE_ALIGN - 1);
	return at;
}

static struct layout lay_out(const struct tow_config *cfg)
{
	struct layout l = { .buckets = 1 };

	while (l.buckets < cfg->udp_max && l.buckets < 1u << 30)
		l.buckets <<= 1;
	l.loan_count = cfg->udp_max > 0 ? cfg->tx_bufs : 0;
	l.record_count = cfg->udp_max > 0 ? cfg->rx_bufs : 0;
	l.fault_count = cfg->udp_max * FAULTS_EACH;
	place(&l.end, sizeof(struct udp_private));
	l.sockets = place(&l.end, cfg->udp_max * sizeof(struct tow_udp));
	l.bound = place(&l.end, l.buckets * sizeof(struct list));
	l.connected = place(&l.end, l.buckets * sizeof(struct list));
	l.loans = place(&l.end, l.loan_count * sizeof(struct udp_loan));
	l.records = place(&l.end, l.record_count * sizeof(struct udp_record));
	l.faults = place(&l.end, l.fault_count * sizeof(struct udp_fault));
	return l;
}

size_t udp_need(const struct tow_config *cfg)
{
	return lay_out(cfg).end;
}

static void init_private(struct udp_host *udp, const struct tow_config *cfg,
			 const struct layout *l, uint8_t *memory)
{
	struct udp_private *private = (void *)memory;
	struct udp_loan *loans = (void *)(memory + l->loans);
	struct udp_record *records = (void *)(memory + l->records);
	struct udp_fault *faults = (void *)(memory + l->faults);
	uint32_t i;

	udp->private = private;
	private->table_key = random_key(&udp->net->random);
	private->bound = (void *)(memory + l->bound);
	private->connected = (void *)(memory + l->connected);
	private->bucket_mask = l->buckets - 1;
	for (i = 0; i < l->buckets; i++) {
		list_init(&private->bound[i]);
		list_init(&private->connected[i]);
	}
	for (i = l->loan_count; i-- > 0;) {
		loans[i].next = private->loan_free;
		private->loan_free = &loans[i];
	}
	for (i = l->record_count; i-- > 0;) {
		records[i].next = private->record_free;
		private->record_free = &records[i];
	}
	for (i = l->fault_count; i-- > 0;) {
		faults[i].next = private->fault_free;
		private->fault_free = &faults[i];
	}
	private->records_left = l->record_count;
	private->send_max = cfg->send_bytes;
	private->recv_max = cfg->recv_bytes_max;
	private->lend_bytes_min = cfg->lend_bytes_min;
}

void udp_init(struct udp_host *udp, struct net *net,
	      const struct tow_config *cfg, void *memory)
{
	struct layout l = lay_out(cfg);
	uint32_t i;

	memset(memory, 0, l.end);
	memset(udp, 0, sizeof(*udp));
	udp->net = net;
	udp->sockets = (void *)((uint8_t *)memory + l.sockets);
	udp->socket_max = cfg->udp_max;
	list_init(&udp->ready);
	list_init(&udp->sending);
	list_init(&udp->blocked);
	list_init(&udp->landing);
	init_private(udp, cfg, &l, memory);
	for (i = udp->socket_max; i-- > 0;) {
		udp->sockets[i].next_free = udp->private->free;
		udp->private->free = &udp->sockets[i];
	}
}

static bool same_way(const struct udp_way *a, const struct udp_way *b)
{
	return a->src_port == b->src_port && a->dst_port == b->dst_port &&
	       a->zone == b->zone && tow_addr_equal(&a->dst, &b->dst) &&
	       tow_addr_equal(&a->src, &b->src);
}

static struct udp_path *slot_of(struct udp_host *udp, const struct udp_way *way)
{
	uint8_t key[32 + 6];
	uint64_t hash;

	memcpy(key, way->src.b, 16);
	memcpy(key + 16, way->dst.b, 16);
	memcpy(key + 32, &way->src_port, 2);
	memcpy(key + 34, &way->dst_port, 2);
	memcpy(key + 36, &way->zone, 2);
	hash = siphash13(&udp->private->table_key, key, sizeof(key));
	return &udp->private->paths[hash % UDP_PATHS];
}

/*
 * The path for datagrams of one flow; way->src may be any. It is valid until
 * the next call.
 */
int udp_path_find(struct udp_host *udp, const struct udp_way *way,
		  struct net_path **out)
{
	struct udp_path *slot = slot_of(udp, way);
	int error = 0;

	*out = &slot->path;
	if (UNLIKELY(slot->path.generation != udp->net->generation ||
		     !same_way(&slot->way, way))) {
		slot->way = *way;
		error = net_path_find(udp->net, &way->src, &way->dst, way->zone,
				      &slot->path);
		if (error)
			slot->path.generation = 0;
	}
	slot->path.searched = way->searched;
	return error;
}
