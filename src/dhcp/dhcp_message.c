/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DHCP messages: RFC 2131 2, 4.1, 4.3.6, RFC 2132.
 *
 * A message is read where it lies, field by field, and whatever it says about
 * lengths is believed only up to the end of the area that it stands in:
 *
 *	| fixed | sname | file | cookie | options ... |
 *	          2nd     1st             always        areas with options
 *	          if option 52 says so
 *
 * Each area is walked once; option 52 means something in the last one only, so
 * no overload leads to another. An option that comes in pieces is put together
 * (RFC 3396), so a value of four bytes may be split; when it comes twice the
 * first counts.
 * What is not an answer to our question, by its xid and our station, is nobody
 * else's either: it is dropped.
 */
#include "base/csum.h"
#include "dhcp/dhcp_private.h"
#include "wire/wire_eth.h"
#include "wire/wire_ip4.h"
#include "wire/wire_udp.h"

#define LEASE_S_MIN 10 /* an offer of less is none */
#define T1_S_MIN    60 /* or half of the lease: as often as without an answer */

/*
 * Writing.
 */

static uint8_t *put_option(uint8_t *at, uint8_t option, uint8_t bytes)
{
	at[0] = option;
	at[1] = bytes;
	return at + 2;
}

static uint8_t *put_addr(uint8_t *at, uint8_t option,
			 const struct tow_addr *addr)
{
	at = put_option(at, option, 4);
	wire_put_addr4(at, addr);
	return at + 4;
}

/* RFC 2131 table 5: a client that has its address says so in ciaddr. */
static bool has_address(const struct dhcp_client *c)
{
	return c->state == DHCP_RENEWING || c->state == DHCP_REBINDING ||
	       c->state == DHCP_RELEASING;
}

/* RFC 2131 3.1 (3): a REQUEST says the same as its DISCOVER. */
static uint16_t seconds(const struct net *net, const struct dhcp_client *c)
{
	uint64_t at_us =
		c->state == DHCP_REQUESTING ? c->discovered_us : net->now_us;

	return (uint16_t)MIN((at_us - c->started_us) / DHCP_S, UINT16_MAX);
}

/* RFC 2131 table 5: of DECLINE and RELEASE nobody waits for an answer. */
static bool wants_answer(enum dhcp_type type)
{
	return type == DHCP_DISCOVER || type == DHCP_REQUEST;
}

static void write_fixed(struct wire_dhcp *m, const struct net *net,
			const struct dhcp_client *c, enum dhcp_type type,
			const uint8_t *mac)
{
	memset(m, 0, sizeof(*m));
	m->op = DHCP_BOOTREQUEST;
	m->htype = 1;
	m->hlen = ETH_MAC_BYTES;
	wire_put32(m->xid, c->xid);
	if (wants_answer(type))
		wire_put16(m->secs, seconds(net, c));
	memcpy(m->chaddr, mac, ETH_MAC_BYTES);
	wire_put32(m->cookie, DHCP_COOKIE);
	if (has_address(c))
		wire_put_addr4(m->ciaddr, &c->lease.addr);
	else if (wants_answer(type)) /* 4.1: unicast we could not receive yet */
		wire_put16(m->flags, DHCP_BROADCAST);
}

/* RFC 2131 table 5. */
static uint8_t *write_options(uint8_t *at, const struct dhcp_client *c,
			      enum dhcp_type type, const uint8_t *mac,
			      uint32_t mtu)
{
	at = put_option(at, DHCP_OPTION_TYPE, 1);
	*at++ = (uint8_t)type;
	at = put_option(at, DHCP_OPTION_CLIENT, 1 + ETH_MAC_BYTES);
	*at++ = 1;
	memcpy(at, mac, ETH_MAC_BYTES);
	at += ETH_MAC_BYTES;
	if (type != DHCP_DISCOVER && !has_address(c))
		at = put_addr(at, DHCP_OPTION_REQUESTED, &c->lease.addr);
	if (type != DHCP_DISCOVER && c->state != DHCP_RENEWING &&
	    c->state != DHCP_REBINDING)
		at = put_addr(at, DHCP_OPTION_SERVER, &c->lease.server);
	if (wants_answer(type)) {
		at = put_option(at, DHCP_OPTION_SIZE_MAX, 2);
		wire_put16(at, MIN(mtu, 1500));
		at = put_option(at + 2, DHCP_OPTION_PARAMETERS, 5);
		*at++ = DHCP_OPTION_MASK;
		*at++ = DHCP_OPTION_ROUTER;
		*at++ = DHCP_OPTION_DNS;
		*at++ = DHCP_OPTION_T1;
		*at++ = DHCP_OPTION_T2;
	}
	*at++ = DHCP_OPTION_END;
	return at;
}

static struct tow_buf *build(struct dhcp_host *dhcp, unsigned link,
			     enum dhcp_type type)
{
	const struct net_link *device = &dhcp->net->links[link];
	const struct dhcp_client *c = &dhcp->clients[link];
	struct tow_pool *pool = &dhcp->net->tx_pool;
	struct tow_buf *buf = tow_buf_take(pool);
	uint8_t *chunk = buf ? tow_chunk_take(pool) : NULL;
	uint8_t *udp, *end;
	uint32_t bytes;

	if (!chunk) {
		net_drop(dhcp->net, TOW_DROP_NO_BUFFERS);
		if (buf)
			tow_buf_give(buf);
		return NULL; /* it is sent again in time */
	}
	memset(chunk, 0, DHCP_BYTES_MIN);
	write_fixed((void *)chunk, dhcp->net, c, type, device->dev->mac);
	end = write_options(chunk + DHCP_BYTES, c, type, device->dev->mac,
			    device->mtu);
	bytes = MAX((uint32_t)(end - chunk), DHCP_BYTES_MIN);
	udp = buf_push(buf, UDP_BYTES);
	ASSERT(udp);
	udp_build((void *)udp, DHCP_CLIENT_PORT, DHCP_SERVER_PORT,
		  UDP_BYTES + bytes);
	tow_buf_add_chunk(buf, chunk, bytes);
	return buf;
}

static void put_checksum(struct tow_buf *buf, const struct tow_addr *src,
			 const struct tow_addr *dst)
{
	uint8_t *udp = buf_pull(buf, UDP_BYTES);
	uint64_t touched = 0;
	uint32_t sum;
	uint16_t field;

	sum = csum_add(csum_pseudo(src, dst, NET_UDP, buf->bytes),
		       buf_csum(buf, 0, &touched));
	field = csum_finish(sum);
	wire_put_sum(udp + UDP_CSUM_OFFSET, field ? field : 0xffff);
}

/* From our address if we have one, to the server if that does; else to all. */
void dhcp_send(struct dhcp_host *dhcp, unsigned link, enum dhcp_type type)
{
	struct net *net = dhcp->net;
	const struct dhcp_client *c = &dhcp->clients[link];
	struct tow_buf *buf = build(dhcp, link, type);
	struct tow_addr src = tow_addr_v4(0, 0, 0, 0);
	struct tow_addr dst = tow_addr_v4(255, 255, 255, 255);
	struct net_path path;

	if (!buf)
		return;
	if (has_address(c))
		src = c->lease.addr;
	if (!has_address(c) || c->state == DHCP_REBINDING) {
		put_checksum(buf, &src, &dst);
		net_broadcast(net, &net->links[link], &src, buf, NET_UDP);
		return;
	}
	dst = c->lease.server;
	if (net_path_find(net, &src, &dst, 0, &path) != 0) {
		net_drop(net, TOW_DROP_NO_ROUTE);
		tow_buf_give(buf);
		return;
	}
	put_checksum(buf, &src, &dst);
	net_send(net, &path, buf, NET_UDP);
}

/*
 * Reading.
 */

#define VALUE_MAX (4 * TOW_DHCP_DNS_MAX) /* bytes of an option looked at */

/* What an option says in all of its pieces; the rest is counted only. */
struct value {
	uint32_t bytes;
	uint8_t at[VALUE_MAX];
};

/* What the options said, before any of it is believed. */
struct said {
	struct value type, overload, mask, server, lease, t1, t2, router, dns;
};

static struct value *value_of(struct said *s, uint8_t option)
{
	switch (option) {
	case DHCP_OPTION_TYPE:
		return &s->type;
	case DHCP_OPTION_OVERLOAD:
		return &s->overload;
	case DHCP_OPTION_MASK:
		return &s->mask;
	case DHCP_OPTION_SERVER:
		return &s->server;
	case DHCP_OPTION_LEASE:
		return &s->lease;
	case DHCP_OPTION_T1:
		return &s->t1;
	case DHCP_OPTION_T2:
		return &s->t2;
	case DHCP_OPTION_ROUTER:
		return &s->router;
	case DHCP_OPTION_DNS:
		return &s->dns;
	default:
		return NULL;
	}
}

/* RFC 3396 7: each piece behind those that came before it. */
static void append(struct value *v, const struct tow_buf *buf, uint32_t at,
		   uint32_t bytes)
{
	uint32_t have = MIN(v->bytes, VALUE_MAX);

	tow_buf_read(buf, at, v->at + have, MIN(bytes, VALUE_MAX - have));
	v->bytes += bytes;
}

/*
 * The first of so many values of @size, or nothing at all: an option of a
 * length that is not its own says nothing (RFC 2132).
 */
static const uint8_t *first_of(const struct value *v, uint32_t size)
{
	return v->bytes > 0 && v->bytes % size == 0 ? v->at : NULL;
}

static uint8_t byte_of(const struct value *v)
{
	return v->bytes > 0 ? v->at[0] : 0;
}

static uint32_t number_of(const struct value *v)
{
	const uint8_t *at = first_of(v, 4);

	return at ? wire_get32(at) : 0;
}

static struct tow_addr addr_of(const struct value *v)
{
	const uint8_t *at = first_of(v, 4);

	return at ? wire_get_addr4(at) : tow_addr_any();
}

/* The options in [@at, @end) of the packet. Returns: false past its end. */
static bool walk_area(const struct tow_buf *buf, uint32_t at, uint32_t end,
		      struct said *s)
{
	uint8_t head[2];
	struct value *v;
	uint32_t step;

	for (; at < end; at += step) {
		step = 1;
		tow_buf_read(buf, at, head, 1);
		if (head[0] == DHCP_OPTION_END)
			return true;
		if (head[0] == DHCP_OPTION_PAD)
			continue; /* has no length */
		if (end - at < 2)
			return false;
		tow_buf_read(buf, at, head, sizeof(head));
		step = 2u + head[1];
		if (step > end - at)
			return false;
		v = value_of(s, head[0]);
		if (v)
			append(v, buf, at + 2, head[1]);
	}
	return true; /* RFC 2131 4.1 wants an end option; some have none */
}

#define AREA(field)                                                       \
	UDP_BYTES + (uint32_t)offsetof(struct wire_dhcp, field),          \
		UDP_BYTES + (uint32_t)offsetof(struct wire_dhcp, field) + \
			(uint32_t)sizeof(((struct wire_dhcp *)0)->field)

/* RFC 2131 4.1: first the options field, then file, then sname. */
static bool walk_all(const struct tow_buf *buf, uint32_t bytes, struct said *s)
{
	uint8_t overload;

	if (!walk_area(buf, UDP_BYTES + DHCP_BYTES, bytes, s))
		return false;
	overload = byte_of(&s->overload);
	if (overload & DHCP_OVERLOAD_FILE && !walk_area(buf, AREA(file), s))
		return false;
	return !(overload & DHCP_OVERLOAD_SNAME) ||
	       walk_area(buf, AREA(sname), s);
}

/* RFC 791's classes, for a server that does not tell. */
static uint8_t class_bits(const struct tow_addr *addr)
{
	if (addr->b[12] < 128)
		return 8;
	return addr->b[12] < 192 ? 16 : 24;
}

/* Ones, then zeros; -1: anything else. */
static int mask_bits(uint32_t mask)
{
	uint32_t rest = ~mask;
	int bits = 32;

	if (rest & (rest + 1))
		return -1;
	for (; rest; rest >>= 1)
		bits--;
	return bits;
}

/*
 * RFC 2131 4.4.5: T1 at half of it, T2 at seven eighths, if not told. A server
 * cannot have itself asked all the time.
 */
static void take_times(const struct said *s, struct dhcp_lease *out)
{
	uint32_t lease_s = number_of(&s->lease);
	uint32_t t1_s = number_of(&s->t1), t2_s = number_of(&s->t2);
	uint32_t half_s = lease_s / 2, least_s = MIN(T1_S_MIN, half_s);

	out->lease_s = lease_s;
	out->t2_s = MAX(t2_s, least_s);
	if (t2_s == 0 || t2_s >= lease_s)
		out->t2_s = lease_s - lease_s / 8;
	out->t1_s = MAX(t1_s, least_s);
	if (t1_s == 0 || t1_s >= out->t2_s)
		out->t1_s = MIN(half_s, out->t2_s);
}

/* Those that may be asked at all. */
static void take_dns(const struct net *net, const struct said *s,
		     struct dhcp_lease *out)
{
	const uint8_t *at = first_of(&s->dns, 4);
	uint32_t i, count = MIN(s->dns.bytes / 4, TOW_DHCP_DNS_MAX);
	struct tow_addr addr;

	for (i = 0; at && i < count; i++) {
		addr = wire_get_addr4(at + 4 * i);
		if (net_is_unicast(net, &addr) && !ip4_is_loopback(&addr))
			out->dns[out->dns_count++] = addr;
	}
}

static bool make_lease(const struct net *net, const struct wire_dhcp *m,
		       const struct said *s, struct dhcp_lease *out)
{
	int bits;

	*out = (struct dhcp_lease){
		.addr = wire_get_addr4(m->yiaddr),
		.server = addr_of(&s->server),
		.router = addr_of(&s->router),
	};
	take_dns(net, s, out);
	bits = first_of(&s->mask, 4) ? mask_bits(number_of(&s->mask))
				     : class_bits(&out->addr);
	if (byte_of(&s->type) == DHCP_NAK)
		return true;
	if (bits <= 0 || !net_is_unicast(net, &out->addr) ||
	    number_of(&s->lease) < LEASE_S_MIN)
		return false;
	out->mask_bits = (uint8_t)bits;
	take_times(s, out);
	return true;
}

static bool checksum_is_right(const struct net_packet *packet, uint32_t bytes)
{
	const uint8_t *udp = packet->buf->spans[0].ptr;
	uint64_t touched = 0;
	uint32_t sum;

	if (packet->csum_ok || wire_get_sum(udp + UDP_CSUM_OFFSET) == 0)
		return true;
	sum = csum_pseudo(&packet->src, &packet->dst, NET_UDP, bytes);
	return csum_finish(csum_add(sum, buf_csum(packet->buf, 0, &touched))) ==
	       0;
}

/* RFC 2131 2: an answer to what we asked, as far as one can see. */
static bool is_answer(const struct wire_dhcp *m, const struct dhcp_client *c,
		      const uint8_t *mac)
{
	return m->op == DHCP_BOOTREPLY && m->htype == 1 &&
	       m->hlen == ETH_MAC_BYTES && wire_get32(m->xid) == c->xid &&
	       memcmp(m->chaddr, mac, ETH_MAC_BYTES) == 0 &&
	       wire_get32(m->cookie) == DHCP_COOKIE;
}

/* @packet begins with a UDP header. Returns: it is a server's answer to us. */
bool dhcp_read(struct dhcp_host *dhcp, const struct net_packet *packet,
	       const struct dhcp_client *c, struct dhcp_reply *out)
{
	const uint8_t *mac = packet->link->dev->mac;
	struct tow_buf *buf = packet->buf;
	struct said s = { .type = { .bytes = 0 } };
	struct wire_udp udp;
	struct wire_dhcp m;
	uint32_t bytes;

	if (tow_buf_read(buf, 0, &udp, UDP_BYTES) < UDP_BYTES)
		return false;
	bytes = wire_get16(udp.length);
	if (bytes < UDP_BYTES + DHCP_BYTES || bytes > buf->bytes)
		return false;
	buf_trim_back(buf, buf->bytes - bytes);
	if (!checksum_is_right(packet, bytes))
		return false;
	tow_buf_read(buf, UDP_BYTES, &m, sizeof(m));
	if (!is_answer(&m, c, mac) || !walk_all(buf, bytes, &s))
		return false;
	out->type = byte_of(&s.type);
	return make_lease(dhcp->net, &m, &s, &out->lease) &&
	       net_is_unicast(dhcp->net, &out->lease.server);
}
