/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP on the way up: RFC 792, RFC 1122 3.2.2, RFC 4443.
 *
 *	echo request    the buffer turns round: its headers are rewritten, its
 *	                payload goes back from where the device put it
 *	error           the packet that it quotes must be one that we may have
 *	                sent; then it becomes a struct net_error for a transport
 *	ND              nd.c, router.c
 *	all else        ignored: redirects (RFC 1122 would allow them; they are
 *	                a gift to attackers on the link), source quench (RFC
 *	                6633), timestamps, ...
 *
 * Errors are unauthenticated and travel outside of the connections that they
 * talk about (RFC 5927). So a quotation must have our address as its source,
 * which must be the one the error was sent to, and eight bytes of transport
 * header; the transport then looks whether the rest makes sense.
 */
#include "base/csum.h"
#include "net/net_private.h"
#include "wire/wire_icmp.h"
#include "wire/wire_igmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"
#include "wire/wire_tcp.h"

#define GUESSES_MAX	 32
#define GUESSES_US	 60000000
#define QUOTED_TRANSPORT 8 /* bytes at least; RFC 792 promises no more */

/*
 * Echo.
 */

/* ICMP has no pseudo header (RFC 792), ICMPv6 has (RFC 4443 2.3). */
static uint32_t pseudo_sum(const struct net_packet *packet,
			   const struct tow_addr *src,
			   const struct tow_addr *dst)
{
	if (packet->protocol == NET_ICMP)
		return 0;
	return csum_pseudo(src, dst, NET_ICMP6, packet->buf->bytes);
}

static uint16_t whole_sum(const struct net_packet *packet,
			  const struct tow_addr *src,
			  const struct tow_addr *dst)
{
	uint64_t touched = 0; /* no socket's payload: in no ledger */

	return csum_finish(csum_add(pseudo_sum(packet, src, dst),
				    buf_csum(packet->buf, 0, &touched)));
}

/* RFC 1624, equation 3: what a sum becomes when @before turns into @after. */
static uint32_t replace(uint32_t sum, uint32_t before, uint32_t after)
{
	return csum_add(csum_add(sum, (uint16_t)~csum_fold(before)), after);
}

/*
 * A sum that the sender left to its device must be made now. Otherwise the
 * type changes, and if the request was to a group, an address: a correct sum
 * is kept correct without looking at the payload.
 */
static void turn_into_reply(const struct net_packet *packet,
			    struct wire_icmp *icmp, uint8_t reply,
			    const struct net_path *path)
{
	bool unfinished = packet->buf->flags & TOW_BUF_CSUM_PARTIAL;
	uint8_t before[2] = { icmp->type, icmp->code };
	uint8_t after[2] = { reply, icmp->code };
	uint32_t sum;

	icmp->type = reply;
	if (unfinished) {
		wire_put_sum(icmp->checksum, 0);
		wire_put_sum(icmp->checksum,
			     whole_sum(packet, &path->src, &path->dst));
		return;
	}
	sum = (uint16_t)~wire_get_sum(icmp->checksum);
	sum = replace(sum, wire_get_sum(before), wire_get_sum(after));
	sum = replace(sum, pseudo_sum(packet, &packet->src, &packet->dst),
		      pseudo_sum(packet, &path->src, &path->dst));
	wire_put_sum(icmp->checksum, csum_finish(sum));
}

/* The received frame is what is sent. */
static void make_sendable(struct tow_buf *buf)
{
	buf->flags = 0;
	buf->gso = TOW_GSO_NONE;
	buf->gso_bytes = 0;
}

static enum net_verdict echo(struct net *net, const struct net_packet *packet,
			     struct wire_icmp *icmp, uint8_t reply)
{
	struct tow_addr src = packet->group ? tow_addr_any() : packet->dst;
	struct tow_buf *buf = packet->buf;
	struct net_path path;

	if (net_path_find(net, &src, &packet->src, packet->zone, &path))
		return net_refuse(net, buf, TOW_DROP_NO_ROUTE);
	if (path.link->dev && buf->span_count > path.link->dev->spans_max &&
	    buf->bytes + packet->network_bytes <= path.mtu)
		return net_refuse(net, buf, TOW_DROP_IP_MTU);
	turn_into_reply(packet, icmp, reply, &path);
	make_sendable(buf);
	path.tos = packet->tos & 0xfc; /* without ECN */
	net_count(net, TOW_COUNTER_ICMP_OUT);
	net_send(net, &path, buf, packet->protocol);
	return NET_DONE;
}

/*
 * Errors.
 */

/* The packet of ours that the error is about. */
struct quote {
	struct tow_addr src, dst;
	const uint8_t *transport; /* QUOTED_TRANSPORT bytes at least */
	uint32_t total;		  /* bytes of the packet when it was whole */
	uint32_t secret, secret_mask; /* flow label, or IPv4's ID of UDP */
	uint8_t protocol;
};

/* As much of the message as the quotation's headers can take. */
static const uint8_t *pull_quote(const struct net_packet *packet,
				 uint32_t bytes)
{
	const uint8_t *p = buf_pull(packet->buf, ICMP_BYTES + bytes);

	return p ? p + ICMP_BYTES : NULL;
}

static bool read_quote4(const struct net_packet *packet, struct quote *q)
{
	const struct wire_ip4 *ip;
	uint32_t header;

	ip = (const void *)pull_quote(packet, IP4_BYTES + QUOTED_TRANSPORT);
	if (!ip || ip4_version(ip) != 4)
		return false;
	header = ip4_header_bytes(ip);
	if (header < IP4_BYTES ||
	    !pull_quote(packet, header + QUOTED_TRANSPORT))
		return false;
	if (wire_get16(ip->fragment) & IP4_OFFSET_MASK)
		return false; /* no ports in there */
	q->src = wire_get_addr4(ip->src);
	q->dst = wire_get_addr4(ip->dst);
	q->total = wire_get16(ip->total);
	q->secret = wire_get16(ip->id);
	q->secret_mask = 0xffff;
	q->protocol = ip->protocol;
	q->transport = (const uint8_t *)ip + header;
	return true;
}

/* Of extension headers we send none but that of a fragment. */
static bool read_quote6(const struct net_packet *packet, struct quote *q)
{
	const struct wire_ip6_fragment *fragment;
	const struct wire_ip6 *ip;
	uint32_t header = IP6_BYTES;

	ip = (const void *)pull_quote(packet, IP6_BYTES + QUOTED_TRANSPORT);
	if (!ip || ip6_version(ip) != 6)
		return false;
	q->protocol = ip->next;
	if (ip->next == IP6_FRAGMENT) {
		fragment = (const void *)(ip + 1);
		q->protocol = fragment->next;
		header += (uint32_t)sizeof(*fragment);
		if (wire_get16(fragment->offset) & IP6_OFFSET_MASK ||
		    !pull_quote(packet, header + QUOTED_TRANSPORT))
			return false; /* no ports in there */
	}
	q->src = wire_get_addr6(ip->src);
	q->dst = wire_get_addr6(ip->dst);
	q->total = IP6_BYTES + wire_get16(ip->payload);
	q->secret = wire_get32(ip->flow) & 0xfffff;
	q->secret_mask = 0xfffff;
	q->transport = (const uint8_t *)ip + header;
	return !net_is_v4(&q->src) && !net_is_v4(&q->dst);
}

/* RFC 1122 4.1.3.3, 4.2.3.9; hard ones end a connection attempt. */
static bool unreachable4(uint8_t code, struct net_error *e)
{
	switch (code) {
	case ICMP4_PROTOCOL:
	case ICMP4_PORT:
		e->error = TOW_ECONNREFUSED;
		e->hard = true;
		return true;
	case ICMP4_TOO_BIG:
		e->error = TOW_EMSGSIZE;
		return true;
	case ICMP4_NET:
	case ICMP4_SOURCE_ROUTE:
	case ICMP4_NET_UNKNOWN:
	case ICMP4_NET_TOS:
		e->error = TOW_ENETUNREACH;
		return true;
	case ICMP4_NET_PROHIBITED:
	case ICMP4_HOST_PROHIBITED:
	case ICMP4_PROHIBITED:
		e->error = TOW_EACCES;
		e->hard = true;
		return true;
	case ICMP4_HOST:
	case ICMP4_HOST_UNKNOWN:
	case ICMP4_HOST_ISOLATED:
	case ICMP4_HOST_TOS:
	case ICMP4_PRECEDENCE_VIOLATION:
	case ICMP4_PRECEDENCE_CUTOFF:
		e->error = TOW_EHOSTUNREACH;
		return true;
	default:
		return false;
	}
}

/*
 * RFC 1191 7.1: a router older than that RFC does not say what fits. Then the
 * next common MTU below the packet's size is tried.
 */
static uint32_t plateau_below(uint32_t total)
{
	static const uint16_t plateaus[] = { 32000, 17914, 8166, 4352, 2002,
					     1492,  1006,  508,	 296 };
	unsigned i;

	for (i = 0; i < LENGTH(plateaus); i++)
		if (plateaus[i] < total)
			return plateaus[i];
	return 68;
}

/* An MTU that the quoted packet fits into is a lie (RFC 5927 7.2). */
static bool read_mtu4(const struct wire_icmp *icmp, const struct quote *q,
		      struct net_error *e)
{
	e->mtu = wire_get16(icmp->rest + 2);
	if (e->mtu == 0)
		e->mtu = plateau_below(q->total);
	return e->mtu >= 68 && e->mtu < q->total;
}

/* RFC 8201 4: a node never goes below what every IPv6 link can carry. */
static bool read_mtu6(const struct wire_icmp *icmp, const struct quote *q,
		      struct net_error *e)
{
	e->mtu = wire_get32(icmp->rest);
	return e->mtu >= IP6_MTU_MIN && e->mtu < q->total;
}

static bool read_error4(const struct wire_icmp *icmp, const struct quote *q,
			struct net_error *e)
{
	switch (icmp->type) {
	case ICMP4_UNREACHABLE:
		if (!unreachable4(icmp->code, e))
			return false;
		return icmp->code != ICMP4_TOO_BIG || read_mtu4(icmp, q, e);
	case ICMP4_TIME_EXCEEDED:
		e->error = TOW_EHOSTUNREACH;
		return icmp->code <= 1;
	default: /* ICMP4_PARAMETER */
		e->error = TOW_EOPNOTSUPP;
		return icmp->code <= 2;
	}
}

/* RFC 4443 3.1. */
static bool unreachable6(uint8_t code, struct net_error *e)
{
	switch (code) {
	case ICMP6_NO_ROUTE:
		e->error = TOW_ENETUNREACH;
		return true;
	case ICMP6_SCOPE:
	case ICMP6_ADDRESS:
		e->error = TOW_EHOSTUNREACH;
		return true;
	case ICMP6_PROHIBITED:
	case ICMP6_POLICY:
	case ICMP6_REJECT:
		e->error = TOW_EACCES;
		e->hard = true;
		return true;
	case ICMP6_PORT:
		e->error = TOW_ECONNREFUSED;
		e->hard = true;
		return true;
	default:
		return false;
	}
}

static bool read_error6(const struct wire_icmp *icmp, const struct quote *q,
			struct net_error *e)
{
	switch (icmp->type) {
	case ICMP6_UNREACHABLE:
		return unreachable6(icmp->code, e);
	case ICMP6_TOO_BIG:
		e->error = TOW_EMSGSIZE;
		return read_mtu6(icmp, q, e);
	case ICMP6_TIME_EXCEEDED:
		e->error = TOW_EHOSTUNREACH;
		return icmp->code <= 1;
	default: /* ICMP6_PARAMETER; code 1: it does not speak the transport */
		e->error = TOW_EOPNOTSUPP;
		e->hard = icmp->code == ICMP6_BAD_NEXT_HEADER;
		return icmp->code <= 2;
	}
}

static uint16_t zone_of(const struct net_packet *packet,
			const struct tow_addr *addr)
{
	return addr_is_link_local(addr) ? packet->link->number + 1 : 0;
}

/* Ports lie at the same place in TCP and UDP, and so does the sequence. */
static void fill_error(const struct net_packet *packet, const struct quote *q,
		       struct net_error *e)
{
	e->local.addr = q->src;
	e->local.port = wire_get16(q->transport);
	e->local.zone = zone_of(packet, &q->src);
	e->remote.addr = q->dst;
	e->remote.port = wire_get16(q->transport + 2);
	e->remote.zone = zone_of(packet, &q->dst);
	e->protocol = q->protocol;
	e->sequence_known = q->protocol == NET_TCP;
	e->sequence = e->sequence_known ? wire_get32(q->transport + 4) : 0;
}

/*
 * The ID of IPv4 has 16 bits, which who sends errors in any number would hit. At
 * this rate it takes 17 hours in the mean, for one destination and ten minutes.
 */
static bool may_guess(struct net *net)
{
	struct net_private *p = net->private;

	if (net->now_us - p->guessed_us >= GUESSES_US) {
		p->guessed_us = net->now_us;
		p->guesses = 0;
	}
	return p->guesses < GUESSES_MAX;
}

/*
 * The flow label of what we send, and the ID of IPv4's UDP, is a secret of the
 * flow: who quotes it has seen the packet. So this is believed whoever sent
 * it, also by no socket. Of a train cut by its device the first has that ID;
 * what comes of the others says nothing new, and is no guess.
 */
static void heed_secret(struct net *net, const struct quote *q,
			const struct net_error *e)
{
	bool v4 = net_is_v4(&q->dst);
	uint32_t label;

	if (e->mtu == 0 || q->protocol == NET_TCP ||
	    pmtu_is_known(net, &q->dst, e->mtu) || (v4 && !may_guess(net)))
		return;
	label = flow_label(net, &q->src, &q->dst, q->transport, q->protocol);
	if (q->secret == (label & q->secret_mask))
		net_path_shrunk(net, &q->dst, e->mtu);
	else if (v4)
		net->private->guesses++;
}

static enum net_verdict error_input(struct net *net,
				    const struct net_packet *packet,
				    struct net_error *e)
{
	bool v4 = packet->protocol == NET_ICMP;
	struct tow_buf *buf = packet->buf;
	const struct wire_icmp *icmp;
	struct quote q;

	memset(e, 0, sizeof(*e));
	if (!(v4 ? read_quote4(packet, &q) : read_quote6(packet, &q)))
		return net_refuse(net, buf, TOW_DROP_ICMP_BAD);
	if (packet->group || !net_same(&q.src, &packet->dst) ||
	    (q.protocol != NET_TCP && q.protocol != NET_UDP))
		return net_refuse(net, buf, TOW_DROP_ICMP_UNMATCHED);
	icmp = buf->spans[0].ptr;
	if (!(v4 ? read_error4(icmp, &q, e) : read_error6(icmp, &q, e)))
		return net_refuse(net, buf, TOW_DROP_ICMP_BAD);
	fill_error(packet, &q, e);
	e->offender = packet->src;
	e->type = icmp->type;
	e->code = icmp->code;
	heed_secret(net, &q, e);
	net_count(net, TOW_COUNTER_ICMP_IN);
	tow_buf_give(buf);
	return NET_ERROR;
}

/* The header, contiguous, of a message whose checksum is right; or NULL. */
static struct wire_icmp *check_message(struct net_packet *packet)
{
	bool trusted =
		!packet->link->dev || packet->buf->flags & TOW_BUF_CSUM_PARTIAL;
	struct wire_icmp *icmp;

	icmp = (void *)buf_pull(packet->buf, ICMP_BYTES);
	if (!icmp ||
	    (!trusted && whole_sum(packet, &packet->src, &packet->dst) != 0))
		return NULL;
	return icmp;
}

enum net_verdict icmp4_input(struct net *net, struct net_packet *packet,
			     struct net_error *error)
{
	struct wire_icmp *icmp = check_message(packet);

	if (!icmp)
		return net_refuse(net, packet->buf, TOW_DROP_ICMP_BAD);
	switch (icmp->type) {
	case ICMP4_ECHO:
		if (packet->group || icmp->code != 0)
			break; /* RFC 1122 3.2.2.6 allows: no smurfs */
		net_count(net, TOW_COUNTER_ICMP_IN);
		return echo(net, packet, icmp, ICMP4_ECHO_REPLY);
	case ICMP4_UNREACHABLE:
	case ICMP4_TIME_EXCEEDED:
	case ICMP4_PARAMETER:
		return error_input(net, packet, error);
	default:
		break;
	}
	return net_refuse(net, packet->buf, TOW_DROP_ICMP_IGNORED);
}

enum net_verdict icmp6_input(struct net *net, struct net_packet *packet,
			     struct net_error *error)
{
	struct wire_icmp *icmp = check_message(packet);

	if (!icmp)
		return net_refuse(net, packet->buf, TOW_DROP_ICMP_BAD);
	switch (icmp->type) {
	case ICMP6_UNREACHABLE:
	case ICMP6_TOO_BIG:
	case ICMP6_TIME_EXCEEDED:
	case ICMP6_PARAMETER:
		return error_input(net, packet, error);
	case ICMP6_ECHO:
		if (net_is_any(&packet->src) || icmp->code != 0)
			break;
		net_count(net, TOW_COUNTER_ICMP_IN);
		return echo(net, packet, icmp, ICMP6_ECHO_REPLY);
	case MLD_QUERY:
	case MLD_REPORT_V1:
	case MLD_DONE:
	case MLD_REPORT_V2:
		return mld_input(net, packet);
	case ICMP6_ROUTER_ADVERT:
	case ICMP6_NEIGHBOUR_SOLICIT:
	case ICMP6_NEIGHBOUR_ADVERT:
		net_count(net, TOW_COUNTER_ICMP_IN);
		return nd_input(net, packet);
	default:
		break;
	}
	return net_refuse(net, packet->buf, TOW_DROP_ICMP_IGNORED);
}
