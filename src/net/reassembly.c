/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reassembly: RFC 791 3.2, RFC 815, RFC 1122 3.3.2, RFC 8200 4.5.
 *
 * Fragments are copied to where they belong as they come, into chunks that one
 * after the other are the datagram. What came is a bit per unit of 8 bytes, in
 * which fragments are counted anyway; both maps of a datagram fill a chunk:
 *
 *	chunks   |  0: ########....####  |  1: ########........  |  2: NULL
 *	have        1 1 1 1 0 0 1 1         1 1 1 1 0 0 0 0
 *	starts      1 0 0 0 0 0 1 0         1 0 0 0 0 0 0 0
 *
 * So a fragment costs the same however many came before it and in whatever
 * order, and a thousand small ones hold no more memory than a few large ones.
 *
 * Fragments that overlap, or disagree about the datagram's end, end it (RFC
 * 5722, RFC 8200 4.5): nobody but an attacker sends such. IPv4 gets the same
 * rule. The same fragment again is no overlap, but what networks do: it alone
 * is dropped.
 *
 * Limits: so many datagrams and so much memory in total, few datagrams of one
 * source. Over a limit the oldest one goes, of that source or of all: what is
 * whole in the end was mostly so soon, and who floods pushes out its own.
 * A source is a hash of its address (of IPv6, its network, like in
 * icmp_error.c); two that collide share.
 *
 * A datagram has 60 s from its first fragment on. Then its sender hears of it,
 * if fragment zero came: without it nobody could say whose datagram it was.
 */
#include "net/net_private.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"

#define TIMEOUT_US   60000000u /* RFC 8200 4.5; RFC 1122 3.3.2 allows it */
#define UNIT_BYTES   8u
#define UNITS	     8192u /* of the largest datagram */
#define CHUNKS_MAX   (TOW_BUF_SPANS - 1)
#define SOURCES	     64	 /* hash values that a source may have, */
#define SOURCE_SHARE 16	 /* and datagrams of one */
#define MEMORY_SHARE 8	 /* of the receive memory: ours; and not for us */
#define CHUNKS_MIN   20u /* ours at least: one of the largest datagrams */

struct maps {
	uint64_t have[UNITS / 64];   /* came */
	uint64_t starts[UNITS / 64]; /* a fragment begins there */
};
_Static_assert(sizeof(struct maps) <= 2048, "fits the smallest chunk");

struct datagram {
	struct list age; /* among those that wait; or free */
	struct list of_source;
	struct timer timer;
	struct net_packet packet; /* buf: of fragment zero the headers, in
				   * front of spans[0], which is empty */
	uint32_t id, source;
	uint32_t units;	      /* that came */
	uint32_t end;	      /* of what came, in bytes; the total, */
	bool end_known;	      /* once the last fragment came */
	uint8_t ecn;	      /* bit per codepoint that was seen */
	uint32_t first_bytes; /* of fragment zero; 0: not here */
	struct maps *maps;
	uint8_t *chunks[CHUNKS_MAX];
};

struct reassembly {
	struct list free, waiting; /* the oldest first */
	struct list of_source[SOURCES];
	uint32_t source_counts[SOURCES];
	uint32_t source_max;
	uint32_t chunks; /* that all of them hold */
	struct sip_key key;
	struct datagram datagrams[];
};

size_t reassembly_need(const struct tow_config *cfg)
{
	return sizeof(struct reassembly) +
	       cfg->reassembly_max * sizeof(struct datagram);
}

void reassembly_init(struct net *net, const struct tow_config *cfg,
		     void *memory)
{
	struct reassembly *r = memory;
	uint32_t i;

	net->private->reassembly = r;
	list_init(&r->free);
	list_init(&r->waiting);
	for (i = 0; i < SOURCES; i++)
		list_init(&r->of_source[i]);
	for (i = 0; i < cfg->reassembly_max; i++) {
		timer_init(&r->datagrams[i].timer, TIMER_REASSEMBLY);
		list_append(&r->free, &r->datagrams[i].age);
	}
	r->source_max = MIN(SOURCE_SHARE, MAX(cfg->reassembly_max / 2, 1));
	r->key = random_key(&net->random);
}

/* ----------------------------------------------------------- the datagrams */

static uint32_t source_of(const struct reassembly *r,
			  const struct tow_addr *src)
{
	return siphash13(&r->key, src->b, net_is_v4(src) ? 16 : 8) % SOURCES;
}

/* RFC 791 3.2, RFC 8200 4.5: what fragments of one datagram have in common. */
static bool is_of(const struct datagram *d, const struct net_packet *packet,
		  uint32_t id)
{
	return d->id == id && net_same(&d->packet.src, &packet->src) &&
	       net_same(&d->packet.dst, &packet->dst) &&
	       d->packet.zone == packet->zone &&
	       (!net_is_v4(&packet->src) ||
		d->packet.protocol == packet->protocol);
}

static struct datagram *find(struct reassembly *r,
			     const struct net_packet *packet, uint32_t id)
{
	struct datagram *d;

	LIST_EACH (node, &r->of_source[source_of(r, &packet->src)]) {
		d = CONTAINER(node, struct datagram, of_source);
		if (is_of(d, packet, id))
			return d;
	}
	return NULL;
}

/* What it still holds goes back; what was handed on is NULL by now. */
static void release(struct net *net, struct datagram *d)
{
	struct reassembly *r = net->private->reassembly;
	unsigned i;

	for (i = 0; i < CHUNKS_MAX; i++) {
		if (!d->chunks[i])
			continue;
		tow_chunk_give(&net->rx_pool, d->chunks[i]);
		r->chunks--;
	}
	if (d->maps) {
		tow_chunk_give(&net->rx_pool, (uint8_t *)d->maps);
		r->chunks--;
	}
	if (d->packet.buf)
		tow_buf_give(d->packet.buf);
	timer_disarm(&net->wheel, &d->timer);
	list_remove(&d->of_source);
	r->source_counts[d->source]--;
	list_remove(&d->age);
	list_append(&r->free, &d->age);
}

static void evict(struct net *net, struct datagram *d)
{
	net_drop(net, TOW_DROP_FRAGMENT_LIMIT);
	release(net, d);
}

/* ---------------------------------------------------------------- memory */

static bool is_memory_short(const struct net *net)
{
	const struct tow_pool *pool = &net->rx_pool;
	uint32_t total = pool->chunks_total;
	uint32_t ours = MAX(total / MEMORY_SHARE, MIN(CHUNKS_MIN, total / 2));

	return net->private->reassembly->chunks >= ours ||
	       pool->chunks_left <= total / MEMORY_SHARE;
}

/* One chunk more for @d; the others make room for it, the oldest first. */
static uint8_t *take_chunk(struct net *net, const struct datagram *d)
{
	struct reassembly *r = net->private->reassembly;
	struct list *oldest;
	uint8_t *chunk;

	while (is_memory_short(net)) {
		oldest = r->waiting.next;
		if (oldest == &d->age)
			oldest = oldest->next;
		if (oldest == &r->waiting)
			return NULL;
		evict(net, CONTAINER(oldest, struct datagram, age));
	}
	chunk = tow_chunk_take(&net->rx_pool);
	if (chunk)
		r->chunks++;
	return chunk;
}

/* Chunks for the bytes from @at on. */
static bool make_room(struct net *net, struct datagram *d, uint32_t at,
		      uint32_t bytes)
{
	uint32_t shift = net->rx_pool.chunk_shift;
	uint32_t i = at >> shift, last = (at + bytes - 1) >> shift;

	if (last >= CHUNKS_MAX)
		return false; /* more than a buffer can have of such chunks */
	for (; i <= last; i++) {
		if (!d->chunks[i])
			d->chunks[i] = take_chunk(net, d);
		if (!d->chunks[i])
			return false;
	}
	return true;
}

static struct datagram *take_free(struct net *net, uint32_t source)
{
	struct reassembly *r = net->private->reassembly;
	struct list *all = &r->waiting, *own = &r->of_source[source];

	if (r->source_counts[source] >= r->source_max)
		evict(net, CONTAINER(own->next, struct datagram, of_source));
	if (list_empty(&r->free) && !list_empty(all))
		evict(net, CONTAINER(all->next, struct datagram, age));
	return list_empty(&r->free)
		       ? NULL
		       : CONTAINER(r->free.next, struct datagram, age);
}

/* The first fragment to come, whichever it is. */
static struct datagram *begin(struct net *net, const struct net_packet *packet,
			      uint32_t id)
{
	struct reassembly *r = net->private->reassembly;
	uint32_t source = source_of(r, &packet->src);
	struct datagram *d = take_free(net, source);

	if (!d)
		return NULL;
	list_remove(&d->age);
	list_append(&r->waiting, &d->age);
	list_append(&r->of_source[source], &d->of_source);
	r->source_counts[source]++;
	d->source = source;
	d->id = id;
	d->units = d->end = d->first_bytes = 0;
	d->end_known = false;
	d->ecn = 0;
	memset(d->chunks, 0, sizeof(d->chunks));
	d->packet = *packet;
	d->packet.buf = tow_buf_take(&net->rx_pool);
	d->maps = (struct maps *)(void *)take_chunk(net, d);
	if (!d->packet.buf || !d->maps) {
		release(net, d);
		return NULL;
	}
	memset(d->maps, 0, sizeof(*d->maps));
	timer_arm(&net->wheel, &d->timer, net->now_us + TIMEOUT_US);
	return d;
}

/* ------------------------------------------------------------------ the maps
 */

/* The bits of [first, end) that lie in a word. */
static uint64_t bits_of(uint32_t word, uint32_t first, uint32_t end)
{
	uint32_t from = MAX(first, word * 64) - word * 64;
	uint32_t to = MIN(end, word * 64 + 64) - word * 64;

	return (to == 64 ? UINT64_MAX : (1ull << to) - 1) & UINT64_MAX << from;
}

static bool has_any(const uint64_t *map, uint32_t first, uint32_t end)
{
	for (uint32_t w = first / 64; w * 64 < end; w++)
		if (map[w] & bits_of(w, first, end))
			return true;
	return false;
}

static bool has_all(const uint64_t *map, uint32_t first, uint32_t end)
{
	for (uint32_t w = first / 64; w * 64 < end; w++)
		if (~map[w] & bits_of(w, first, end))
			return false;
	return true;
}

static void set_all(uint64_t *map, uint32_t first, uint32_t end)
{
	for (uint32_t w = first / 64; w * 64 < end; w++)
		map[w] |= bits_of(w, first, end);
}

static bool has(const uint64_t *map, uint32_t unit)
{
	return unit < UNITS && map[unit / 64] >> unit % 64 & 1;
}

/* A fragment from @first to @end came before, and no other lies there. */
static bool is_known(const struct maps *m, uint32_t first, uint32_t end)
{
	return has_all(m->have, first, end) && has(m->starts, first) &&
	       (end == first + 1 || !has_any(m->starts, first + 1, end)) &&
	       (!has(m->have, end) || has(m->starts, end));
}

/* ------------------------------------------------------------- one fragment */

static uint32_t end_of(const struct fragment *f)
{
	return f->offset + f->bytes;
}

/* Does it say what the others said about where the datagram ends? */
static bool agrees(const struct datagram *d, const struct fragment *f)
{
	if (!f->more)
		return d->end_known ? end_of(f) == d->end : end_of(f) >= d->end;
	return !d->end_known || end_of(f) < d->end;
}

static void copy_payload(struct net *net, const struct datagram *d,
			 const struct fragment *f, const struct tow_buf *buf)
{
	struct ledgers ledgers = { NULL, &net->stats.ledger };
	uint32_t mask = net->rx_pool.chunk_bytes - 1, at = f->offset;
	uint32_t skip = f->header_bytes, i = 0;
	const uint8_t *from;
	size_t left, n;

	for (; i < buf->span_count; i++) {
		from = (const uint8_t *)buf->spans[i].ptr + skip;
		left = buf->spans[i].len - skip;
		skip = 0; /* the headers are contiguous in the first span */
		for (; left > 0; left -= n, from += n, at += (uint32_t)n) {
			n = MIN(left, net->rx_pool.chunk_bytes - (at & mask));
			payload_copy(ledgers, TOW_COPY_RX_FRAGMENT,
				     d->chunks[at >> net->rx_pool.chunk_shift] +
					     (at & mask),
				     from, n);
		}
	}
}

/* The datagram's headers are those of fragment zero (RFC 8200 4.5). */
static void keep_headers(struct datagram *d, const struct fragment *f,
			 const struct net_packet *packet)
{
	struct tow_buf *buf = d->packet.buf;

	d->packet = *packet;
	d->packet.buf = buf;
	d->packet.network_bytes = (uint16_t)f->header_bytes;
	d->first_bytes = f->bytes;
	memcpy(buf->room + TOW_BUF_HEADERS - f->header_bytes,
	       packet->buf->spans[0].ptr, f->header_bytes);
}

static int add(struct net *net, struct datagram *d, const struct fragment *f,
	       const struct net_packet *packet)
{
	uint32_t first = f->offset / UNIT_BYTES;
	uint32_t end = (end_of(f) + UNIT_BYTES - 1) / UNIT_BYTES;

	if (!agrees(d, f))
		return TOW_DROP_FRAGMENT_OVERLAP;
	if (is_known(d->maps, first, end))
		return TOW_DROP_FRAGMENT_DUPLICATE;
	if (has_any(d->maps->have, first, end))
		return TOW_DROP_FRAGMENT_OVERLAP;
	if (!make_room(net, d, f->offset, f->bytes))
		return TOW_DROP_FRAGMENT_LIMIT;
	set_all(d->maps->have, first, end);
	set_all(d->maps->starts, first, first + 1);
	d->units += end - first;
	d->end = MAX(d->end, end_of(f));
	d->end_known |= !f->more;
	d->ecn |= (uint8_t)(1 << (packet->tos & 3));
	copy_payload(net, d, f, packet->buf);
	if (f->offset == 0)
		keep_headers(d, f, packet);
	return NET_PASS;
}

/*
 * RFC 3168 5.3: a mark on one fragment is a mark on all, unless one of them
 * says that marks mean nothing to its sender.
 */
static bool merge_ecn(struct datagram *d)
{
	bool marked = d->ecn & 1 << 3;

	if (marked && d->ecn & 1 << 0)
		return false;
	if (marked)
		d->packet.tos |= 3;
	return true;
}

static bool is_whole(const struct datagram *d)
{
	return d->end_known &&
	       d->units == (d->end + UNIT_BYTES - 1) / UNIT_BYTES;
}

/* One buffer of all; @packet describes it then. */
static int finish(struct net *net, struct datagram *d,
		  struct net_packet *packet)
{
	struct tow_buf *buf = d->packet.buf;
	uint32_t left = d->end, n;
	unsigned i;

	if (!merge_ecn(d)) {
		release(net, d);
		return TOW_DROP_FRAGMENT_OVERLAP;
	}
	for (i = 0; left > 0; left -= n, i++) {
		n = MIN(left, net->rx_pool.chunk_bytes);
		tow_buf_add_chunk(buf, d->chunks[i], n);
		net->private->reassembly->chunks--;
		d->chunks[i] = NULL;
	}
	buf->link = packet->buf->link;
	tow_buf_give(packet->buf);
	*packet = d->packet;
	d->packet.buf = NULL;
	release(net, d);
	net_count(net, TOW_COUNTER_REASSEMBLED);
	return NET_PASS;
}

int reassembly_add(struct net *net, struct net_packet *packet,
		   const struct fragment *f)
{
	struct datagram *d = find(net->private->reassembly, packet, f->id);
	int why;

	ASSERT(f->bytes > 0 && end_of(f) <= UNITS * UNIT_BYTES);
	ASSERT(f->header_bytes <= packet->buf->spans[0].len);
	net_count(net, TOW_COUNTER_FRAGMENTS_IN);
	if (f->header_bytes > TOW_BUF_HEADERS)
		return TOW_DROP_IP_EXTENSION;
	if (!d)
		d = begin(net, packet, f->id);
	if (!d)
		return TOW_DROP_FRAGMENT_LIMIT;
	why = add(net, d, f, packet);
	if (why == TOW_DROP_FRAGMENT_DUPLICATE)
		return why;
	if (why != NET_PASS) {
		release(net, d);
		return why;
	}
	if (is_whole(d))
		return finish(net, d, packet);
	tow_buf_give(packet->buf);
	return REASSEMBLY_WAITS;
}

/* ------------------------------------------------------------- no more time */

/* RFC 792, RFC 4443 3.3: about fragment zero, as it came. */
static void report(struct net *net, struct datagram *d)
{
	struct net_packet *packet = &d->packet;
	bool v4 = net_is_v4(&packet->src);
	struct icmp_fault fault = {
		.type = v4 ? (uint8_t)ICMP4_TIME_EXCEEDED
			   : (uint8_t)ICMP6_TIME_EXCEEDED,
		.code = ICMP_REASSEMBLY_TIME,
	};

	tow_buf_add_chunk(packet->buf, d->chunks[0],
			  MIN(d->first_bytes, net->rx_pool.chunk_bytes));
	d->chunks[0] = NULL;
	net->private->reassembly->chunks--;
	if (v4 || !ip6_leads_to_icmp_error(packet->buf, 0, packet->protocol))
		icmp_report(net, packet, &fault);
}

void reassembly_timer(struct net *net, struct timer *timer)
{
	struct datagram *d = CONTAINER(timer, struct datagram, timer);

	net_drop(net, TOW_DROP_FRAGMENT_TIMEOUT);
	if (d->first_bytes > 0)
		report(net, d);
	release(net, d);
}
