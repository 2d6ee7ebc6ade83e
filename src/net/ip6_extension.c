/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPv6 extension headers: RFC 8200 4, RFC 7045, RFC 8504 5.3.
 *
 * They are walked in a loop with three bounds: the packet's end,
 * EXTENSIONS_MAX headers, and the header room, into which all of them must
 * fit. They are only read; the transport's header follows behind them.
 *
 *	| IPv6 header | hop-by-hop | destination | routing | TCP ...
 *	              ^ at: walks towards the transport
 *
 * A node takes them in any order and number, but for hop-by-hop, which comes
 * first or not at all (4.1); and for a second fragment header behind
 * reassembly, which is refused, as Linux does: nobody needs it.
 */
#include "net/net_private.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip6.h"
#include "wire/wire_tcp.h"

#define EXTENSIONS_MAX 8 /* headers; RFC 8504 5.3 */

/* The walk over the extension headers. */
struct walk {
	struct net *net;
	struct net_packet *packet;
	uint32_t at;	  /* offset of the header being looked at */
	uint32_t next_at; /* offset of the field that announced it */
	uint8_t next;	  /* what it is */
	bool reassembled;
};

static bool is_extension(uint8_t next)
{
	return next == IP6_HOP_BY_HOP || next == IP6_DESTINATION ||
	       next == IP6_ROUTING || next == IP6_FRAGMENT;
}

/* One header on, only peeking; false at a transport or the end. */
static bool peek_next(const struct tow_buf *buf, uint32_t *at, uint8_t *next)
{
	struct wire_ip6_extension extension;

	if (!is_extension(*next))
		return false;
	if (tow_buf_read(buf, *at, &extension, sizeof(extension)) <
	    sizeof(extension))
		return false;
	*at += *next == IP6_FRAGMENT ? (uint32_t)sizeof(extension)
				     : ip6_extension_bytes(&extension);
	*next = extension.next;
	return true;
}

/* In a later fragment there is nothing to peek at. */
static bool is_later_fragment(const struct tow_buf *buf, uint32_t at,
			      uint8_t next)
{
	struct wire_ip6_fragment fragment;

	return next == IP6_FRAGMENT &&
	       tow_buf_read(buf, at, &fragment, sizeof(fragment)) ==
		       sizeof(fragment) &&
	       (wire_get16(fragment.offset) & IP6_OFFSET_MASK) != 0;
}

/*
 * RFC 4443 2.4 (e.1): never an error about an error, also when a header in
 * front of it is what we cannot take. A later fragment may be one of an error.
 */
bool ip6_leads_to_icmp_error(const struct tow_buf *buf, uint32_t at,
			     uint8_t next)
{
	unsigned headers;
	uint8_t type;

	for (headers = 0; headers < EXTENSIONS_MAX; headers++) {
		if (is_later_fragment(buf, at, next))
			return true;
		if (!peek_next(buf, &at, &next))
			break;
	}
	if (next != NET_ICMP6 || tow_buf_read(buf, at, &type, 1) < 1)
		return false;
	return type < ICMP6_INFORMATIONAL || type == ICMP6_REDIRECT;
}

/* RFC 4443 3.4: tell the sender which byte we could not take. */
static int refuse(struct walk *w, uint8_t code, uint32_t pointer,
		  bool about_groups, enum tow_drop why)
{
	struct icmp_fault fault = {
		.type = ICMP6_PARAMETER,
		.code = code,
		.about_groups = about_groups,
		.word = pointer,
	};

	if (!ip6_leads_to_icmp_error(w->packet->buf, w->at, w->next))
		icmp_report(w->net, w->packet, &fault);
	return (int)why;
}

/* @bytes of the header at w->at, contiguous; NULL if they are not there. */
static const void *header_at(struct walk *w, uint32_t bytes)
{
	const uint8_t *p = buf_pull(w->packet->buf, w->at + bytes);

	return p ? p + w->at : NULL;
}

static void step(struct walk *w, uint8_t next, uint32_t bytes)
{
	w->next = next;
	w->next_at = w->at; /* each begins with the next one's number */
	w->at += bytes;
}

/* RFC 8200 4.2: an option that we do not know says itself what to do. */
static int unknown_option(struct walk *w, uint8_t type, uint32_t pointer)
{
	switch (type >> 6) {
	case IP6_ACTION_SKIP:
		return NET_PASS;
	case IP6_ACTION_DISCARD:
		return TOW_DROP_IP_EXTENSION;
	case IP6_ACTION_REPORT:
		return refuse(w, ICMP6_BAD_OPTION, pointer, true,
			      TOW_DROP_IP_EXTENSION);
	default:
		return refuse(w, ICMP6_BAD_OPTION, pointer, false,
			      TOW_DROP_IP_EXTENSION);
	}
}

/* The options of a hop-by-hop or destination header, in @p[2..bytes). */
static int check_options(struct walk *w, const uint8_t *p, uint32_t bytes)
{
	uint32_t i = 2, length;
	int why;

	while (i < bytes) {
		if (p[i] == IP6_OPTION_PAD1) {
			i++;
			continue;
		}
		if (bytes - i < 2)
			return TOW_DROP_IP_EXTENSION;
		length = 2u + p[i + 1];
		if (length > bytes - i)
			return TOW_DROP_IP_EXTENSION;
		if (p[i] != IP6_OPTION_PADN) {
			why = unknown_option(w, p[i], w->at + i);
			if (why != NET_PASS)
				return why;
		}
		i += length;
	}
	return NET_PASS;
}

static int walk_options(struct walk *w)
{
	const struct wire_ip6_extension *extension;
	uint32_t bytes;
	int why;

	extension = header_at(w, IP6_EXTENSION_BYTES);
	if (!extension)
		return TOW_DROP_IP_EXTENSION;
	bytes = ip6_extension_bytes(extension);
	extension = header_at(w, bytes);
	if (!extension)
		return TOW_DROP_IP_EXTENSION;
	why = check_options(w, (const uint8_t *)extension, bytes);
	if (why == NET_PASS)
		step(w, extension->next, bytes);
	return why;
}

/*
 * RFC 8200 4.4: one that is used up is skipped, whatever its type. We route
 * for nobody, so of others all types are unknown; type 0 had to be (RFC 5095).
 */
static int walk_routing(struct walk *w)
{
	const struct wire_ip6_routing *routing;
	uint32_t bytes;

	routing = header_at(w, sizeof(*routing));
	if (!routing)
		return TOW_DROP_IP_EXTENSION;
	bytes = (routing->units + 1u) * 8;
	if (!header_at(w, bytes))
		return TOW_DROP_IP_EXTENSION;
	if (routing->segments_left != 0)
		return refuse(w, ICMP6_BAD_FIELD,
			      w->at + (uint32_t)offsetof(
					      struct wire_ip6_routing, type),
			      false, TOW_DROP_IP_EXTENSION);
	step(w, routing->next, bytes);
	return NET_PASS;
}

static uint32_t transport_bytes(uint8_t protocol)
{
	switch (protocol) {
	case NET_TCP:
		return TCP_HEADER_BYTES;
	case NET_UDP:
	case NET_ICMP6:
		return 8;
	default:
		return 0;
	}
}

/*
 * RFC 8200 4.5, RFC 7112: fragment zero has all headers, the transport's with
 * them. One so short that they are elsewhere would hide them from filters. One
 * with more of them than EXTENSIONS_MAX will not be walked when it is whole.
 */
static int check_headers(struct walk *w, uint32_t at, uint8_t next)
{
	const struct tow_buf *buf = w->packet->buf;
	unsigned headers = 0;

	while (at <= buf->bytes && peek_next(buf, &at, &next))
		if (headers++ == EXTENSIONS_MAX)
			return TOW_DROP_IP_EXTENSION;
	if (!is_extension(next) && at + transport_bytes(next) <= buf->bytes)
		return NET_PASS;
	return refuse(w, ICMP6_INCOMPLETE_CHAIN, 0, false,
		      TOW_DROP_IP_FRAGMENT);
}

/* To the source of a fragment that is impossible, also of a later one. */
static int refuse_fragment(struct walk *w, const struct fragment *f,
			   uint32_t pointer, enum tow_drop why)
{
	struct icmp_fault fault = {
		.type = ICMP6_PARAMETER,
		.code = ICMP6_BAD_FIELD,
		.word = pointer,
	};

	if (f->offset == 0)
		return refuse(w, ICMP6_BAD_FIELD, pointer, false, why);
	icmp_report(w->net, w->packet, &fault);
	return (int)why;
}

/* The error conditions of RFC 8200 4.5. */
static int check_fragment(struct walk *w, const struct fragment *f,
			  uint8_t next)
{
	if (f->bytes == 0)
		return TOW_DROP_IP_FRAGMENT;
	if (f->more && f->bytes % 8 != 0)
		return refuse_fragment(w, f, offsetof(struct wire_ip6, payload),
				       TOW_DROP_IP_FRAGMENT);
	if (w->at - IP6_BYTES + f->offset + f->bytes > IP6_PAYLOAD_MAX)
		return refuse_fragment(
			w, f,
			w->at + (uint32_t)offsetof(struct wire_ip6_fragment,
						   offset),
			TOW_DROP_IP_LENGTH);
	return f->offset == 0 ? check_headers(w, f->header_bytes, next)
			      : NET_PASS;
}

/*
 * The datagram is whole: its headers are those of fragment zero, and the
 * fragment header stays in them as an atomic one, so that nothing moves. The
 * walk goes on behind it.
 */
static void go_on_whole(struct walk *w)
{
	struct net_packet *packet = w->packet;
	uint32_t head = packet->network_bytes;
	struct wire_ip6_fragment *fragment;
	struct wire_ip6 *ip;

	ip = (void *)buf_push(packet->buf, head);
	ASSERT(ip);
	w->at = head - (uint32_t)sizeof(*fragment);
	fragment = (void *)((uint8_t *)ip + w->at);
	wire_put16(fragment->offset, 0);
	wire_put16(ip->payload,
		   MIN(packet->buf->bytes - IP6_BYTES, IP6_PAYLOAD_MAX));
	packet->network_bytes = 0;
	packet->fragmented = true;
	w->reassembled = true;
	step(w, fragment->next, sizeof(*fragment));
}

static int reassemble(struct walk *w, const struct wire_ip6_fragment *fragment)
{
	uint32_t header = w->at + (uint32_t)sizeof(*fragment);
	struct fragment f = {
		.id = wire_get32(fragment->id),
		.offset = wire_get16(fragment->offset) & IP6_OFFSET_MASK,
		.bytes = w->packet->buf->bytes - header,
		.header_bytes = header,
		.more = wire_get16(fragment->offset) & IP6_MORE,
	};
	uint8_t next = fragment->next;
	int why = check_fragment(w, &f, next);

	if (why != NET_PASS)
		return why;
	w->packet->protocol = next;
	why = reassembly_add(w->net, w->packet, &f);
	if (why == NET_PASS)
		go_on_whole(w);
	return why;
}

/* RFC 6946: a fragment that is the whole datagram waits for no other. */
static int walk_fragment(struct walk *w)
{
	const struct wire_ip6_fragment *fragment;

	fragment = header_at(w, sizeof(*fragment));
	if (!fragment)
		return TOW_DROP_IP_EXTENSION;
	if (ip6_is_atomic(fragment)) {
		w->packet->fragmented = true;
		step(w, fragment->next, sizeof(*fragment));
		return NET_PASS;
	}
	if (w->reassembled)
		return refuse(w, ICMP6_BAD_FIELD, w->at, false,
			      TOW_DROP_IP_EXTENSION);
	return reassemble(w, fragment);
}

static bool is_transport(uint8_t next)
{
	return next == NET_TCP || next == NET_UDP || next == NET_ICMP6;
}

/* One header on; RFC 8200 4.1 allows hop-by-hop only in the first place. */
static int walk_one(struct walk *w)
{
	switch (w->next) {
	case IP6_HOP_BY_HOP:
		if (w->at != IP6_BYTES)
			break;
		return walk_options(w);
	case IP6_DESTINATION:
		return walk_options(w);
	case IP6_ROUTING:
		return walk_routing(w);
	case IP6_FRAGMENT:
		return walk_fragment(w);
	case IP6_NO_NEXT:
		return TOW_DROP_IP_PROTOCOL; /* RFC 8200 4.7: nothing to say */
	default:
		break;
	}
	return refuse(w, ICMP6_BAD_NEXT_HEADER, w->next_at, false,
		      TOW_DROP_IP_PROTOCOL);
}

int ip6_walk(struct net *net, struct net_packet *packet)
{
	struct walk w = {
		.net = net,
		.packet = packet,
		.at = IP6_BYTES,
		.next_at = offsetof(struct wire_ip6, next),
		.next = packet->protocol,
	};
	unsigned headers;
	int why = NET_PASS;

	for (headers = 0; why == NET_PASS && !is_transport(w.next); headers++)
		why = headers < EXTENSIONS_MAX ? walk_one(&w)
					       : TOW_DROP_IP_EXTENSION;
	if (why != NET_PASS)
		return why;
	packet->protocol = w.next;
	packet->network_bytes = (uint16_t)w.at;
	return w.at <= packet->buf->bytes ? NET_PASS : TOW_DROP_IP_LENGTH;
}
