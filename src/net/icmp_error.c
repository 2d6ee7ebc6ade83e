/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP errors that we send, and when we do not: RFC 1122 3.2.2, RFC 4443 2.4.
 *
 * Never about an ICMP error, nor about a packet whose source is not one host.
 * About a packet to a group only where RFC 4443 2.4 (e.3) says so. Of later
 * fragments, which may be an ICMP error's, IPv6 reports what is impossible about
 * them (RFC 8200 4.5); else it is whole datagrams, or a fragment zero whose rest
 * never came.
 *
 * Two limits apply (RFC 4443 2.4 (f), RFC 1812 4.3.2.8): one for each
 * destination, one for all together. The stack as a whole must not be a
 * measure by which one peer learns about another: see struct net_bucket.
 *
 * The quotation is copied, because the packet stays with its owner: RFC 4443
 * demands as much of it as fits into 1280 bytes, RFC 1812 asks for 576. It goes
 * into a chunk; when none is left, what fits into the header room must do.
 */
#include "base/csum.h"
#include "net/net_private.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"

#define ERROR_BURST   50 /* all together, */
#define ERROR_PER_S   1000
#define DEST_BURST    6 /* to one host, or one IPv6 network */
#define DEST_PER_S    1
#define QUOTE_V4_MAX  (576 - IP4_BYTES - ICMP_BYTES)
#define QUOTE_V6_MAX  (IP6_MTU_MIN - IP6_BYTES - ICMP_BYTES)
#define QUOTE_IN_ROOM (TOW_BUF_ROOM - TOW_BUF_HEADERS)

/* Full: how full, nobody can know. */
static void refill_whole(struct net *net, struct net_bucket *bucket,
			 uint32_t burst)
{
	bucket->spent = 0;
	bucket->capacity = burst - random_below(&net->random, burst / 3 + 1);
}

bool bucket_take(struct net *net, struct net_bucket *bucket, uint32_t burst,
		 uint32_t per_s)
{
	uint64_t passed_us = net->now_us - bucket->refilled_us;
	uint64_t back;

	if (passed_us > 3600u * 1000000ull)
		back = UINT32_MAX;
	else
		back = passed_us * per_s / 1000000;
	if (back >= bucket->spent) {
		refill_whole(net, bucket, burst);
		bucket->refilled_us = net->now_us;
	} else {
		bucket->spent -= (uint32_t)back;
		bucket->refilled_us += back * 1000000 / per_s;
	}
	if (bucket->spent >= bucket->capacity)
		return false;
	bucket->spent++;
	return true;
}

/* Hosts of an IPv6 network are one: each has 2^64 addresses to ask with. */
static struct net_bucket *bucket_for(struct net *net,
				     const struct tow_addr *dst)
{
	size_t bytes = net_is_v4(dst) ? 16 : 8;
	uint64_t hash = siphash13(&net->private->error_key, dst->b, bytes);

	return &net->private->errors_by_dest[hash % NET_ERROR_BUCKETS];
}

static bool within_limits(struct net *net, const struct tow_addr *dst)
{
	return bucket_take(net, bucket_for(net, dst), DEST_BURST, DEST_PER_S) &&
	       bucket_take(net, &net->private->errors, ERROR_BURST,
			   ERROR_PER_S);
}

/* RFC 1122 3.2.2, RFC 4443 2.4 (e): a query, or no ICMP at all. */
static bool is_icmp_error(const struct net_packet *packet)
{
	const uint8_t *type;

	if (packet->protocol != NET_ICMP && packet->protocol != NET_ICMP6)
		return false;
	type = buf_pull(packet->buf, 1);
	if (packet->protocol == NET_ICMP)
		return !type || *type != ICMP4_ECHO;
	return !type || *type < ICMP6_INFORMATIONAL || *type == ICMP6_REDIRECT;
}

static bool may_answer(const struct net *net, const struct net_packet *packet,
		       const struct icmp_fault *fault)
{
	if (packet->group && !fault->about_groups)
		return false;
	if (!net_is_unicast(net, &packet->src))
		return false;
	/* Before the transport was found, ip6_extension.c has looked, if it can */
	return packet->network_bytes == 0 || !is_icmp_error(packet);
}

/* The packet as it came, from its IP header on. */
static uint32_t quote(const struct net_packet *packet, uint8_t *to,
		      uint32_t max)
{
	const uint8_t *transport = packet->buf->spans[0].ptr;
	uint32_t header = MIN(packet->network_bytes, max);

	memcpy(to, transport - packet->network_bytes, header);
	return header + (uint32_t)tow_buf_read(packet->buf, 0, to + header,
					       max - header);
}

static struct tow_buf *quoted(struct net *net, const struct net_packet *packet,
			      uint32_t max)
{
	struct tow_buf *buf = tow_buf_take(&net->tx_pool);
	uint8_t *chunk;
	uint32_t bytes;

	if (!buf)
		return NULL;
	chunk = tow_chunk_take(&net->tx_pool);
	if (chunk) {
		bytes = quote(packet, chunk, max);
		tow_buf_add_chunk(buf, chunk, bytes);
		return buf;
	}
	bytes = quote(packet, buf->room + TOW_BUF_HEADERS,
		      MIN(max, QUOTE_IN_ROOM));
	tow_buf_set_head(buf, TOW_BUF_HEADERS, bytes);
	return buf;
}

static void push_icmp(struct tow_buf *buf, const struct icmp_fault *fault,
		      const struct net_path *path, bool v4)
{
	struct wire_icmp *icmp = (void *)buf_push(buf, ICMP_BYTES);
	uint64_t touched = 0; /* headers, mostly: in no ledger */
	uint32_t sum = 0;

	ASSERT(icmp);
	icmp->type = fault->type;
	icmp->code = fault->code;
	wire_put_sum(icmp->checksum, 0);
	wire_put32(icmp->rest, fault->word);
	if (!v4)
		sum = csum_pseudo(&path->src, &path->dst, NET_ICMP6,
				  buf->bytes);
	sum = csum_add(sum, buf_csum(buf, 0, &touched));
	wire_put_sum(icmp->checksum, csum_finish(sum));
}

/* Send an error about @packet to its source, if that is allowed. */
void icmp_report(struct net *net, const struct net_packet *packet,
		 const struct icmp_fault *fault)
{
	struct tow_addr src = packet->group ? tow_addr_any() : packet->dst;
	bool v4 = net_is_v4(&packet->src);
	struct net_path path;
	struct tow_buf *buf;

	if (!may_answer(net, packet, fault))
		return;
	if (!within_limits(net, &packet->src)) {
		net_drop(net, TOW_DROP_ICMP_LIMIT);
		return;
	}
	if (net_path_find(net, &src, &packet->src, packet->zone, &path))
		return;
	buf = quoted(net, packet, v4 ? QUOTE_V4_MAX : QUOTE_V6_MAX);
	if (!buf) {
		net_drop(net, TOW_DROP_NO_BUFFERS);
		return;
	}
	push_icmp(buf, fault, &path, v4);
	net_count(net, TOW_COUNTER_ICMP_OUT);
	net_send(net, &path, buf, v4 ? NET_ICMP : NET_ICMP6);
}

void net_unreachable(struct net *net, const struct net_packet *packet,
		     enum net_unreachable why)
{
	struct icmp_fault fault = { 0 };

	if (net_is_v4(&packet->src)) {
		fault.type = ICMP4_UNREACHABLE;
		fault.code = why == NET_UNREACHABLE_PORT ? ICMP4_PORT
							 : ICMP4_PROTOCOL;
	} else if (why == NET_UNREACHABLE_PORT) {
		fault.type = ICMP6_UNREACHABLE;
		fault.code = ICMP6_PORT;
	} else { /* RFC 4443 3.4 */
		fault.type = ICMP6_PARAMETER;
		fault.code = ICMP6_BAD_NEXT_HEADER;
		fault.word = offsetof(struct wire_ip6, next);
	}
	icmp_report(net, packet, &fault);
}

/*
 * A packet of ours could not be delivered on the link: its sender, which is a
 * transport of ours, hears of it as of any other failure (RFC 4861 7.2.2): by
 * the ICMP error that a router would send, here around the packet itself.
 * @buf begins at its IP header.
 */
void icmp_report_unresolved(struct net *net, struct tow_buf *buf)
{
	const uint8_t *first = buf->spans[0].ptr;
	bool v4 = first[0] >> 4 == 4;
	uint32_t outer = ICMP_BYTES + (v4 ? IP4_BYTES : IP6_BYTES);
	struct wire_icmp *icmp;
	struct tow_addr own;
	uint8_t *ip;

	if (buf->bytes + outer > IP4_PACKET_MAX) {
		tow_buf_give(buf);
		return;
	}
	own = v4 ? wire_get_addr4(first + offsetof(struct wire_ip4, src))
		 : wire_get_addr6(first + offsetof(struct wire_ip6, src));
	ip = buf_push(buf, outer);
	if (!ip) {
		tow_buf_give(buf);
		return;
	}
	icmp = (void *)(ip + outer - ICMP_BYTES);
	memset(icmp, 0, sizeof(*icmp)); /* loopback: no sum is looked at */
	icmp->type = v4 ? ICMP4_UNREACHABLE : ICMP6_UNREACHABLE;
	icmp->code = v4 ? (uint8_t)ICMP4_HOST : (uint8_t)ICMP6_ADDRESS;
	if (v4)
		ip4_build((void *)ip, 0, buf->bytes, 0, IP4_DF, net->ttl,
			  NET_ICMP, &own, &own);
	else
		ip6_build((void *)ip, 0, 0, buf->bytes - IP6_BYTES, NET_ICMP6,
			  net->ttl, &own, &own);
	buf->flags = 0;
	buf->gso = TOW_GSO_NONE;
	link_output(net, &net->loop, buf);
}
