/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placement by the tap: a queue for each flow that has a hint, and frames read
 * with their payload straight into posted memory.
 *
 * Theory of operation
 *
 * Queue 0 gets everything that no other queue does. A flow with a hint gets a
 * queue of its own (tap_steer.c), so what is read from that is the flow's next
 * frame, and the read can say beforehand where its payload goes:
 *
 *	readv(  room: vnet + header_bytes | posted | … | chunk | … | cut )
 *
 * Then the driver looks at what came. The frame that was foreseen lies where
 * it belongs; the hint goes on behind it. Any other one that left bytes in
 * posted memory is handed up as it lies, and the hint rests: the queue is left
 * alone until the stack has seen the frame, and is then read into chunks until
 * the next hint comes. So it is when a hint comes to its end: as soon as it has
 * no room for another frame like the last, the stack may lengthen it first.
 *
 * A frame of the flow that came by another way, in queue 0, lets the hint rest,
 * too: what was in it, the stack puts where the next would be written.
 *
 * Order over a change of queues. Frames that the kernel put into queue 0
 * before a flow was steered come before those in its own queue; what is left
 * in a queue when it is taken from a flow comes before what that flow has in
 * queue 0 from then on.
 *
 *	FREE ----------> FRESH ---------> STEERED ----------> DRAINING
 *	      steer it          queue 0          another flow     |
 *	                  ^     was empty        needs the queue  |
 *	                  |                                       |
 *	                  +---------------------------------------+
 *	                     steer the other one when it is empty
 *
 * A flow keeps its queue when its hint is withdrawn, until another one needs
 * it: the least recently used is taken. So a program that posts now and then
 * costs no system calls, and no frames change queues. What a sender on another
 * processor was about to queue at the moment of a change may still be
 * overtaken, which is a reordering like any other.
 *
 * Posted memory has to be writable as long as it is posted: of a frame that it
 * could not write the kernel's tun driver says nothing (it does not look at
 * what skb_copy_datagram_iter() returns), so nothing here could tell.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <tow/addr.h>
#include <tow/error.h>
#include "dev/tap.h"

#define PROTOCOL_TCP   6
#define PROTOCOL_UDP   17
#define ETHERTYPE_IP4  0x0800
#define ETHERTYPE_IP6  0x86dd
#define TCP_BYTES      20
#define UDP_BYTES      8
#define TRANSPORT_AT_4 (14 + 20)
#define TRANSPORT_AT_6 (14 + 40)
#define ASK_ABOVE      3 /* queues: then one epoll_wait(2) is cheaper */

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static uint32_t transport_at(const struct tap_flow *flow)
{
	return flow->version == 4 ? TRANSPORT_AT_4 : TRANSPORT_AT_6;
}

/* ---- flows and their queues ---- */

/* Returns: false when the addresses are of two families. */
static bool flow_of_place(const struct tow_place *place, struct tap_flow *flow)
{
	struct tow_addr local, remote;

	memcpy(local.b, place->local, sizeof(local.b));
	memcpy(remote.b, place->remote, sizeof(remote.b));
	*flow = (struct tap_flow){ .protocol = place->protocol };
	if (tow_addr_is_v4(&local) != tow_addr_is_v4(&remote))
		return false;
	if (tow_addr_is_v4(&local)) {
		flow->version = 4;
		memcpy(flow->addresses, remote.b + 12, 4);
		memcpy(flow->addresses + 4, local.b + 12, 4);
	} else {
		flow->version = 6;
		memcpy(flow->addresses, remote.b, 16);
		memcpy(flow->addresses + 16, local.b, 16);
	}
	put16(flow->ports, place->remote_port);
	put16(flow->ports + 2, place->local_port);
	return true;
}

/* Is it a frame of the flow, without IP options or extension headers? */
static bool is_of_flow(const uint8_t *frame, const struct tap_flow *flow)
{
	if (memcmp(frame + transport_at(flow), flow->ports, 4) != 0)
		return false;
	if (flow->version == 4)
		return get16(frame + 12) == ETHERTYPE_IP4 &&
		       frame[14] == 0x45 && frame[14 + 9] == flow->protocol &&
		       memcmp(frame + 14 + 12, flow->addresses, 8) == 0;
	return get16(frame + 12) == ETHERTYPE_IP6 &&
	       frame[14 + 6] == flow->protocol &&
	       memcmp(frame + 14 + 8, flow->addresses, 32) == 0;
}

/* The frame's length, as its IP header has it. */
static uint32_t bytes_by_ip(const uint8_t *frame, const struct tap_flow *flow)
{
	return flow->version == 4 ? 14 + get16(frame + 14 + 2)
				  : 14 + 40 + get16(frame + 14 + 4);
}

static struct tap_queue *find_queue(struct tap *t, const struct tap_flow *flow)
{
	for (unsigned i = 1; i < t->queue_count; i++) {
		struct tap_queue *q = &t->queues[i];

		if (q->state != TAP_QUEUE_FREE &&
		    memcmp(&q->flow, flow, sizeof(*flow)) == 0)
			return q;
	}
	return NULL;
}

/* One that is nobody's, else the one without a hint for the longest time. */
static struct tap_queue *choose_queue(struct tap *t)
{
	struct tap_queue *oldest = NULL;

	for (unsigned i = 1; i < t->queue_count; i++) {
		struct tap_queue *q = &t->queues[i];

		if (q->state == TAP_QUEUE_FREE)
			return q;
		if (q->state != TAP_QUEUE_STEERED || q->hint.token)
			continue;
		if (!oldest || q->used < oldest->used)
			oldest = q;
	}
	return oldest;
}

static int steer(struct tap *t, struct tap_queue *q)
{
	int error =
		tap_steer_add(&t->steer, &q->flow, (uint32_t)(q - t->queues));

	if (!error)
		q->state = TAP_QUEUE_FRESH;
	return error;
}

/* A queue that was drained gets its new flow; without, it is nobody's. */
static void steer_drained(struct tap *t, struct tap_queue *q)
{
	if (!steer(t, q))
		return;
	q->state = TAP_QUEUE_FREE;
	q->hint.token = 0;
	t->queues_used--;
}

static int claim_queue(struct tap *t, const struct tap_flow *flow,
		       struct tap_queue **out)
{
	struct tap_queue *q = choose_queue(t);
	int error;

	if (tap_steer_queues(t->name) > t->queue_count)
		return TOW_EEXIST;
	if (!q)
		return TOW_EBUSY;
	if (q->state == TAP_QUEUE_FREE) {
		q->flow = *flow;
		error = steer(t, q);
		if (error)
			return TOW_EBUSY;
		t->queues_used++;
	} else {
		tap_steer_remove(&t->steer, &q->flow);
		q->flow = *flow;
		q->state = TAP_QUEUE_DRAINING;
	}
	*out = q;
	return 0;
}

/*
 * Could a frame of queue 0 be of the flow? It is where frames are that were
 * sent before they were steered, and those with options or fragments.
 */
static bool may_be_of_flow(const uint8_t *frame, const struct tap_flow *flow)
{
	uint8_t protocol = frame[14 + (flow->version == 4 ? 9 : 6)];
	bool plain = protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP;

	if (flow->version == 4 &&
	    (get16(frame + 12) != ETHERTYPE_IP4 ||
	     memcmp(frame + 14 + 12, flow->addresses, 8) != 0))
		return false;
	if (flow->version == 6 &&
	    (get16(frame + 12) != ETHERTYPE_IP6 ||
	     memcmp(frame + 14 + 8, flow->addresses, 32) != 0))
		return false;
	if (flow->version == 4)
		plain &= frame[14] == 0x45 && !(get16(frame + 20) & 0x3fff);
	return !plain || is_of_flow(frame, flow);
}

void tap_note_stray(struct tap *t, const struct tow_buf *buf)
{
	const struct tow_span *head = &buf->spans[0];

	for (unsigned i = 1; i < t->queue_count; i++) {
		struct tap_queue *q = &t->queues[i];

		if (q->hint.token && head->len >= transport_at(&q->flow) + 4 &&
		    may_be_of_flow(head->ptr, &q->flow))
			q->hint.rests = true;
	}
}

/* ---- hints ---- */

static bool can_place(const struct tow_place *place,
		      const struct tap_flow *flow)
{
	bool tcp = place->protocol == PROTOCOL_TCP;
	uint32_t least = transport_at(flow) + (tcp ? TCP_BYTES : UDP_BYTES);

	if (!tcp && (place->protocol != PROTOCOL_UDP || !place->slot_bytes))
		return false;
	return place->header_bytes >= least &&
	       place->header_bytes <= TOW_BUF_HEADERS && place->span_count &&
	       place->span_count <= TOW_PLACE_SPANS;
}

static void arm(struct tap *t, struct tap_queue *q,
		const struct tow_place *place)
{
	q->hint = (struct tap_hint){
		.token = place->token,
		.header_bytes = place->header_bytes,
		.sequence = place->sequence,
		.slot_bytes = place->slot_bytes,
		.span_count = place->span_count,
		.bytes = place->bytes,
	};
	memcpy(q->hint.spans, place->spans,
	       place->span_count * sizeof(place->spans[0]));
	q->used = ++t->hints_made;
}

int tap_place(struct tow_dev *dev, const struct tow_place *place)
{
	struct tap *t = CONTAINER(dev, struct tap, dev);
	struct tap_queue *q;
	struct tap_flow flow;
	int error;

	if (!(dev->caps & TOW_DEV_PLACE))
		return TOW_EPERM;
	if (!flow_of_place(place, &flow))
		return TOW_EOPNOTSUPP;
	q = find_queue(t, &flow);
	if (q)
		q->hint.token = 0;
	if (!place->bytes)
		return 0;
	if (!can_place(place, &flow))
		return TOW_EOPNOTSUPP;
	error = q ? 0 : claim_queue(t, &flow, &q);
	if (!error)
		arm(t, q, place);
	return error;
}

/* The hint goes on so many bytes further. */
static void advance(struct tap_hint *hint, size_t bytes)
{
	bytes = MIN(bytes, hint->bytes);
	hint->bytes -= bytes;
	while (bytes) {
		struct iovec *span = &hint->spans[hint->span_first];
		size_t n = MIN(bytes, span->iov_len);

		span->iov_base = (uint8_t *)span->iov_base + n;
		span->iov_len -= n;
		bytes -= n;
		hint->span_first += !span->iov_len;
	}
}

/* ---- a frame ---- */

/*
 * So many of the hint's spans that the chunks behind them, of which a buffer
 * has the fewer the more spans it has, hold the rest of the longest frame.
 */
static void choose_spans(const struct tap *t, const struct tap_hint *hint,
			 struct tap_layout *l)
{
	uint32_t longest = t->frame_bytes_max - hint->header_bytes;
	unsigned first = hint->span_first;

	*l = (struct tap_layout){ .head = hint->header_bytes };
	while (first + l->spans < hint->span_count && l->span_bytes < longest) {
		size_t bytes = hint->spans[first + l->spans].iov_len;
		uint32_t chunks = TOW_BUF_SPANS - 2 - l->spans;

		bytes = MIN(bytes, longest);
		if (l->span_bytes + bytes + chunks * t->chunk_bytes < longest)
			break;
		l->span_bytes += (uint32_t)bytes;
		l->spans++;
	}
	l->span_bytes = MIN(l->span_bytes, longest);
}

ssize_t tap_read_placed(struct tap *t, struct tap_queue *q, struct tow_buf *buf,
			bool dry, struct tap_layout *l)
{
	const struct tap_hint *hint = &q->hint;
	struct iovec iov[1 + TOW_BUF_SPANS + 1];
	unsigned n = 1, chunks = dry ? 0 : t->chunks_ready;
	ssize_t got;

	choose_spans(t, hint, l);
	iov[0].iov_base = buf->room + TAP_FRAME_AT - TAP_VNET_BYTES;
	iov[0].iov_len = TAP_VNET_BYTES + l->head;
	memcpy(&iov[n], &hint->spans[hint->span_first],
	       l->spans * sizeof(iov[0]));
	n += l->spans;
	chunks = MIN(chunks, TOW_BUF_SPANS - n);
	memcpy(&iov[n], &t->iov[1], chunks * sizeof(iov[0]));
	n += chunks;
	iov[n].iov_base = &t->cut;
	iov[n++].iov_len = 1;
	l->room_for = l->head + l->span_bytes + chunks * t->chunk_bytes;
	do {
		got = readv(q->fd, iov, (int)n);
	} while (got < 0 && errno == EINTR);
	return got;
}

/* What of the frame is in posted memory. Returns what is behind that. */
static uint32_t add_placed(struct tow_buf *buf, const struct tap_hint *hint,
			   const struct tap_layout *l, uint32_t rest)
{
	for (unsigned i = 0; i < l->spans && rest; i++) {
		const struct iovec *span = &hint->spans[hint->span_first + i];
		uint32_t bytes = (uint32_t)MIN(rest, span->iov_len);

		tow_buf_add_placed(buf, span->iov_base, bytes, hint->token);
		rest -= bytes;
	}
	return rest;
}

static bool is_foreseen(const struct tap_queue *q, const struct tow_buf *buf)
{
	const struct tap_hint *hint = &q->hint;
	const uint8_t *frame = buf->spans[0].ptr;
	uint32_t at = transport_at(&q->flow);

	if (buf->flags & TOW_BUF_TRUNCATED || !is_of_flow(frame, &q->flow) ||
	    bytes_by_ip(frame, &q->flow) != buf->bytes)
		return false;
	if (q->flow.protocol == PROTOCOL_TCP)
		return at + (frame[at + 12] >> 4) * 4u == hint->header_bytes &&
		       get32(frame + at + 4) == hint->sequence;
	if (buf->gso == TOW_GSO_UDP)
		return at + UDP_BYTES == hint->header_bytes &&
		       buf->gso_bytes == hint->slot_bytes;
	return buf->bytes - hint->header_bytes <= hint->slot_bytes;
}

/* Of the flow, in the room, and without payload? */
static bool is_bare(const struct tap_queue *q, const struct tow_buf *buf)
{
	const uint8_t *frame = buf->spans[0].ptr;
	uint32_t at = transport_at(&q->flow);

	return q->flow.protocol == PROTOCOL_TCP &&
	       buf->bytes >= at + TCP_BYTES && is_of_flow(frame, &q->flow) &&
	       bytes_by_ip(frame, &q->flow) == at + (frame[at + 12] >> 4) * 4u;
}

/* Behind the frame that was foreseen. */
static void go_on(struct tap_queue *q, const struct tow_buf *buf)
{
	struct tap_hint *hint = &q->hint;
	size_t payload = buf->bytes - hint->header_bytes;

	hint->sequence += (uint32_t)payload;
	if (hint->slot_bytes)
		payload = (payload + hint->slot_bytes - 1) / hint->slot_bytes *
			  hint->slot_bytes;
	advance(hint, payload);
}

void tap_shape_placed(struct tap *t, struct tap_queue *q, struct tow_buf *buf,
		      const struct tap_layout *l, uint32_t total)
{
	uint32_t in_room = MIN(total, l->head);
	uint32_t rest = MIN(total, l->room_for) - in_room;

	tow_buf_set_head(buf, TAP_FRAME_AT, in_room);
	rest = add_placed(buf, &q->hint, l, rest);
	if (total > l->room_for)
		buf->flags |= TOW_BUF_TRUNCATED;
	else
		tap_attach_chunks(t, buf, rest);
	if (!buf->place) {
		q->hint.rests = !is_bare(q, buf);
	} else if (is_foreseen(q, buf)) {
		buf->flags |= TOW_BUF_FORESEEN;
		go_on(q, buf);
	} else {
		q->hint.rests = true;
	}
}

/* ---- which queue is next ---- */

/* Queues that other flows' frames have to come out of first. */
static unsigned drain(struct tap *t, struct tow_buf **bufs, unsigned n)
{
	unsigned got = 0;

	for (unsigned i = 1; i < t->queue_count && got < n; i++) {
		struct tap_queue *q = &t->queues[i];
		bool empty = false;

		if (q->state != TAP_QUEUE_DRAINING)
			continue;
		got += tap_read_queue(t, q, bufs + got, n - got, &empty);
		if (empty && t->spares)
			steer_drained(t, q);
	}
	return got;
}

static bool has_state(const struct tap *t, enum tap_queue_state state)
{
	for (unsigned i = 1; i < t->queue_count; i++)
		if (t->queues[i].state == state)
			return true;
	return false;
}

static void end_fresh(struct tap *t)
{
	for (unsigned i = 1; i < t->queue_count; i++)
		if (t->queues[i].state == TAP_QUEUE_FRESH)
			t->queues[i].state = TAP_QUEUE_STEERED;
}

/* Without asking the kernel, a read(2) that finds nothing is the question. */
static uint64_t queues_in_use(const struct tap *t)
{
	uint64_t in_use = 1;

	for (unsigned i = 1; i < t->queue_count; i++)
		if (t->queues[i].state == TAP_QUEUE_STEERED)
			in_use |= UINT64_C(1) << i;
	return in_use;
}

/* A bit for each queue that may have frames. */
static uint64_t queues_ready(const struct tap *t)
{
	struct epoll_event events[TAP_QUEUES_MAX];
	uint64_t ready = 0;
	int n;

	if (t->queues_used < ASK_ABOVE)
		return queues_in_use(t);
	n = epoll_wait(t->epoll, events, TAP_QUEUES_MAX, 0);
	for (int i = 0; i < n; i++)
		ready |= UINT64_C(1) << events[i].data.u32;
	return ready & queues_in_use(t);
}

/* A few frames of each in turn, until all are empty or are to be left alone. */
static unsigned take_turns(struct tap *t, struct tow_buf **bufs, unsigned n)
{
	uint64_t open = queues_ready(t);
	unsigned got = 0;

	while (open && got < n) {
		struct tap_queue *q = &t->queues[t->turn];
		unsigned most = MIN(n - got, (unsigned)TAP_TURN_FRAMES);
		bool empty = false;

		if (open >> t->turn & 1) {
			got += tap_read_queue(t, q, bufs + got, most, &empty);
			if (empty)
				open &= ~(UINT64_C(1) << t->turn);
		}
		t->turn = (t->turn + 1) % t->queue_count;
	}
	return got;
}

unsigned tap_read_queues(struct tap *t, struct tow_buf **bufs, unsigned n)
{
	unsigned got = drain(t, bufs, n);
	bool empty = false;

	if (has_state(t, TAP_QUEUE_DRAINING))
		return got;
	if (has_state(t, TAP_QUEUE_FRESH)) {
		got += tap_read_queue(t, &t->queues[0], bufs + got, n - got,
				      &empty);
		if (empty && t->spares)
			end_fresh(t);
	}
	return got ? got : take_turns(t, bufs, n);
}
