/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams larger than their path takes, sent as fragments: RFC 791 3.2,
 * RFC 8200 4.5, RFC 8900 for why to avoid it.
 *
 *	datagram     | UDP | payload ............ | ................. |
 *	               ^     ^        ^            ^          ^
 *	fragments    | IP | ------|  | IP | ---------|  | IP | ------|
 *
 * A fragment is a buffer of its own with the IP header in its room, and spans
 * that point into the datagram's. It holds a reference of that as its lender;
 * so a loan under the datagram ends when the last fragment has left, like any
 * other. Nothing is copied, unless a device takes fewer spans than a fragment
 * has: then that goes into a chunk.
 *
 * Either all fragments are made or none is sent. TCP is never fragmented: it
 * makes segments that fit. Fragments of IPv4 have no DF, so that routers may
 * cut them further; those of IPv6 fit what the path is known to take.
 */
#include "buf/slice.h"
#include "net/net_private.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"

#define IP6_FRAGMENT_BYTES (IP6_BYTES + sizeof(struct wire_ip6_fragment))

/* A datagram that is being cut. */
struct job {
	struct net *net;
	const struct net_path *path;
	struct tow_buf *buf;
	uint8_t protocol;
	bool v4;
	uint32_t id, flow_label;
	uint32_t each; /* bytes of a fragment's payload, a multiple of 8 */
	struct slice payload; /* of @buf: what is not in a fragment yet */
	struct tow_buf *first, **last;
};

/* RFC 768: a device was to make the sum, but it never sees the whole. */
static void finish_csum(struct net *net, struct tow_buf *buf, uint8_t protocol)
{
	uint8_t *field =
		(uint8_t *)(uintptr_t)buf->spans[0].ptr + buf->csum_offset;
	uint64_t touched = 0;
	uint16_t sum;

	if (!(buf->flags & TOW_BUF_CSUM_PARTIAL))
		return;
	sum = csum_finish(buf_csum(buf, 0, &touched));
	if (sum == 0 && protocol == NET_UDP)
		sum = 0xffff;
	wire_put_sum(field, sum);
	buf->flags &= (uint8_t)~TOW_BUF_CSUM_PARTIAL;
	net->stats.ledger.tx_touched_bytes += touched;
}

/* Can the device take the next @bytes where they lie? */
static bool fits_device(const struct job *job, uint32_t bytes)
{
	const struct tow_dev *dev = job->path->link->dev;
	uint32_t max = dev ? MIN(dev->spans_max, TOW_BUF_SPANS) : TOW_BUF_SPANS;
	struct slice ahead = job->payload;
	struct tow_span piece;
	uint32_t spans = 1; /* the header */

	for (; next_piece(&ahead, bytes, &piece); spans++)
		bytes -= (uint32_t)piece.len;
	return spans <= max;
}

static bool copy_payload(struct job *job, struct tow_buf *to, uint32_t bytes)
{
	struct ledgers ledgers = { NULL, &job->net->stats.ledger };
	uint8_t *chunk = tow_chunk_take(to->pool), *at = chunk;
	struct tow_span piece;

	if (!chunk)
		return false;
	bytes = MIN(bytes, to->pool->chunk_bytes);
	tow_buf_add_chunk(to, chunk, bytes);
	for (; next_piece(&job->payload, bytes, &piece); at += piece.len) {
		payload_copy(ledgers, TOW_COPY_TX_SHAPE, at, piece.ptr,
			     piece.len);
		bytes -= (uint32_t)piece.len;
	}
	return true;
}

static bool add_payload(struct job *job, struct tow_buf *to)
{
	uint32_t bytes = MIN((uint32_t)job->payload.left, job->each);
	struct tow_span piece;

	if (!fits_device(job, bytes))
		return copy_payload(job, to, bytes);
	for (; next_piece(&job->payload, bytes, &piece);
	     bytes -= (uint32_t)piece.len)
		buf_add_span(to, piece.ptr, (uint32_t)piece.len);
	return true;
}

static uint8_t ttl_of(const struct job *job)
{
	const struct net_path *path = job->path;

	if (path->ttl)
		return path->ttl;
	return job->v4 ? job->net->ttl : path->link->hop_limit;
}

static void push_ip4(const struct job *job, struct tow_buf *to, uint32_t offset)
{
	uint32_t more = job->payload.left > 0 ? IP4_MF : 0;
	struct wire_ip4 *ip = (void *)buf_push(to, IP4_BYTES);

	ASSERT(ip);
	ip4_build(ip, job->path->tos, to->bytes, (uint16_t)job->id,
		  (uint16_t)(more | offset / 8), ttl_of(job), job->protocol,
		  &job->path->src, &job->path->dst);
}

static void push_ip6(const struct job *job, struct tow_buf *to, uint32_t offset)
{
	uint32_t more = job->payload.left > 0 ? IP6_MORE : 0;
	struct wire_ip6 *ip = (void *)buf_push(to, IP6_FRAGMENT_BYTES);
	struct wire_ip6_fragment *fragment = (void *)(ip + 1);

	ASSERT(ip);
	ip6_build(ip, job->path->tos, job->flow_label, to->bytes - IP6_BYTES,
		  IP6_FRAGMENT, ttl_of(job), &job->path->src, &job->path->dst);
	fragment->next = job->protocol;
	fragment->reserved = 0;
	wire_put16(fragment->offset, offset | more);
	wire_put32(fragment->id, job->id);
}

static bool make_one(struct job *job)
{
	struct tow_buf *to = tow_buf_take(&job->net->tx_pool);
	uint32_t offset = job->buf->bytes - (uint32_t)job->payload.left, link;

	if (!to)
		return false;
	to->owner_kind = BUF_OWNER_FRAGMENT;
	to->lender = tow_buf_ref(job->buf);
	*job->last = to;
	job->last = &to->next;
	if (!add_payload(job, to))
		return false;
	if (job->v4)
		push_ip4(job, to, offset);
	else
		push_ip6(job, to, offset);
	link = net_has_ethernet(job->path->link) ? ETH_BYTES : 0;
	to->header_bytes = (uint16_t)(link + to->spans[0].len);
	return true;
}

static struct tow_buf *take_first(struct job *job)
{
	struct tow_buf *buf = job->first;

	if (buf) {
		job->first = buf->next;
		buf->next = NULL;
	}
	return buf;
}

static int give_up(struct job *job)
{
	struct tow_buf *buf;

	while ((buf = take_first(job)) != NULL)
		tow_buf_give(buf);
	return net_refuse_output(job->net, job->buf, TOW_DROP_NO_BUFFERS,
				 TOW_ENOBUFS);
}

/* Fragments are small enough for a chunk, should one have to be copied. */
static uint32_t payload_max(const struct net *net, uint32_t mtu, bool v4)
{
	uint32_t header = v4 ? IP4_BYTES : (uint32_t)IP6_FRAGMENT_BYTES;

	return MIN(mtu - header, net->tx_pool.chunk_bytes) & ~7u;
}

/* Frames that net_send() makes of a datagram. */
uint32_t fragment_count(const struct net *net, const struct net_path *path,
			const struct tow_buf *buf)
{
	bool v4 = net_is_v4(&path->dst);
	uint32_t mtu, each, header = v4 ? IP4_BYTES : IP6_BYTES;

	if (buf->gso != TOW_GSO_NONE)
		return 1;
	mtu = net_path_mtu(net, path);
	if (LIKELY(buf->bytes + header <= mtu))
		return 1;
	each = payload_max(net, mtu, v4);
	return (buf->bytes + each - 1) / each;
}

int fragment_send(struct net *net, struct net_path *path, struct tow_buf *buf,
		  uint8_t protocol, uint32_t mtu)
{
	struct job job = {
		.net = net,
		.path = path,
		.buf = buf,
		.protocol = protocol,
		.v4 = net_is_v4(&path->dst),
	};
	struct tow_buf *fragment;
	int result = 0;

	if (buf->bytes >
	    (job.v4 ? IP4_PACKET_MAX - IP4_BYTES : IP6_PAYLOAD_MAX))
		return net_refuse_output(net, buf, TOW_DROP_IP_MTU,
					 TOW_EMSGSIZE);
	job.last = &job.first;
	job.each = payload_max(net, mtu, job.v4);
	job.id = job.v4 ? ident4_next(net) : ident6_next(net);
	job.flow_label = job.v4 ? 0 : path_flow_label(net, path, buf, protocol);
	finish_csum(net, buf, protocol);
	job.payload = slice(buf->spans, 0, buf->bytes);
	while (job.payload.left > 0)
		if (!make_one(&job))
			return give_up(&job);
	while ((fragment = take_first(&job)) != NULL) {
		if (result) { /* without one of them the rest is of no use */
			tow_buf_give(fragment);
			continue;
		}
		net_count(net, TOW_COUNTER_FRAGMENTS_OUT);
		result = ip_output(net, path, fragment);
	}
	tow_buf_give(buf);
	return result;
}

/* Without one of them the whole is lost. */
void net_fragment_sent(struct tow_buf *fragment)
{
	struct tow_buf *whole = fragment->lender;

	if (UNLIKELY(fragment->error))
		net_mark_unsent(whole, fragment->error);
	tow_buf_give(whole);
}
