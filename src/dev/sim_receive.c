/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From packets on the wire to a frame for the stack.
 *
 * Theory of operation: packets wait in a ring. When the stack asks, the first
 * becomes a frame, together with those behind it that the card may merge with
 * it. The frame's bytes are a list of pieces in the packets; they are
 * scattered into the header room and the chunks of a buffer, as the port's
 * layout wants it: the only time that bytes are copied on their way from the
 * wire.
 *
 * A card that verifies checksums looks at each packet and flags what is right.
 * What is wrong it hands up all the same, without the flag.
 *
 * A frame under a placement hint goes where that says (sim_place.c) between the
 * room and the chunks.
 *
 * When the pool has no chunk, a frame gets as much as its header room holds;
 * when it has no buffer, the margin is used: an acknowledgement gets through.
 */
#include "dev/sim_private.h"

#define PLAIN_HEAD_BYTES 128u /* in the room, without header split */
#define HEAD_OFFSET	 2u   /* so that the IP header is aligned to 4 */
#define PROTOCOL_TCP	 6

static bool ring_has_room(const struct port *port)
{
	return !port->how.rx_ring || port->rx.count < port->how.rx_ring;
}

void port_receive(struct port *port, struct packet *packet)
{
	if (!port->gone && ring_has_room(port) &&
	    queue_append(&port->rx, packet))
		return;
	port_count(port, port->gone ? TOW_SIM_UNPLUGGED : TOW_SIM_RING_FULL);
	packet_give(port->sim, packet);
}

void margin_refill(struct port *port)
{
	while (port->margin_count < port->how.margin) {
		struct tow_buf *buf = tow_buf_take(port->dev.pool);

		if (!buf)
			return;
		buf->next = port->margin;
		port->margin = buf;
		port->stats.spare = ++port->margin_count;
		port->stats.held++;
	}
}

static struct tow_buf *take_buffer(struct port *port)
{
	struct tow_buf *buf = tow_buf_take(port->dev.pool);

	if (buf || !port->margin)
		return buf;
	buf = port->margin;
	port->margin = buf->next;
	port->stats.spare = --port->margin_count;
	port->stats.held--;
	buf->next = NULL;
	return buf;
}

static bool sum_ok(const struct packet *packet, const struct shape *shape)
{
	if (!shape->transport)
		return false;
	return packet->intact || packet_transport_sum_ok(packet->data, shape);
}

static bool can_merge(const struct port *port, const struct group *group,
		      const struct packet *next)
{
	uint32_t payload_max =
		MIN(port->dev.gso_bytes_max,
		    (TOW_BUF_SPANS - 1) * tow_chunk_bytes(port->dev.pool));
	struct shape shape = packet_shape(next->data, next->bytes);

	return group->count < MERGE_MAX && sum_ok(next, &shape) &&
	       group->payload_bytes + shape.end - shape.payload_at <=
		       MIN(payload_max, 65535u - 256) &&
	       packet_follows(group->packets[0], &group->shape, next, &shape,
			      group->payload_bytes);
}

static void add_piece(struct group *group, const uint8_t *bytes, size_t count)
{
	struct tow_span *piece = &group->pieces[group->piece_count++];

	piece->ptr = bytes;
	piece->len = count;
}

static void merge(struct port *port, struct packet_queue *queue,
		  struct group *group)
{
	uint8_t flags = 0;

	while (queue->count && can_merge(port, group, queue_first(queue))) {
		struct packet *next = queue_take(queue);
		struct shape shape = packet_shape(next->data, next->bytes);

		if (shape.protocol == PROTOCOL_TCP)
			flags |= packet_tcp_flags(next->data, &shape);
		add_piece(group, next->data + shape.payload_at,
			  shape.end - shape.payload_at);
		group->packets[group->count++] = next;
		group->payload_bytes += shape.end - shape.payload_at;
		port_count(port, TOW_SIM_MERGED);
	}
	if (group->count == 1)
		return;
	group->bytes = group->shape.payload_at + group->payload_bytes;
	packet_write_merged(group->headers, &group->shape, group->payload_bytes,
			    flags);
}

/* A card that verifies sums may say so in the way a tap does. */
static void write_partial(struct group *group)
{
	uint32_t at =
		group->shape.transport_at + packet_sum_offset(&group->shape);
	uint16_t seed;

	group->shape.end = group->shape.payload_at + group->payload_bytes;
	seed = packet_partial_sum(&group->shape);
	memcpy(group->headers + at, &seed, sizeof(seed));
}

/* The headers apart from the rest, so that they can be changed. */
static void part_headers(struct group *group)
{
	const struct packet *first = group->packets[0];
	uint32_t headers = group->shape.payload_at;

	memcpy(group->headers, first->data, headers);
	group->bytes = group->shape.end; /* without padding */
	group->payload_bytes = group->shape.end - headers;
	add_piece(group, group->headers, headers);
	add_piece(group, first->data + headers, group->payload_bytes);
}

/* What is to be damaged in memory is neither vouched for nor merged. */
static void next_group(struct port *port, struct packet_queue *queue,
		       const struct aim *aim, struct group *group)
{
	struct packet *first = queue_take(queue);

	group->shape = packet_shape(first->data, first->bytes);
	group->packets[0] = first;
	group->count = 1;
	group->piece_count = 0;
	group->bytes = first->bytes;
	group->sum_ok = (port->how.caps & TOW_DEV_RX_CSUM) && !aim->damage &&
			sum_ok(first, &group->shape) &&
			group->shape.payload_at <= sizeof(group->headers);
	if (!group->sum_ok) {
		add_piece(group, first->data, first->bytes);
		return;
	}
	part_headers(group);
	if ((port->how.caps & TOW_DEV_LRO) && group->payload_bytes)
		merge(port, queue, group);
	if (port->how.rx_partial)
		write_partial(group);
}

/* Where in a group the next bytes are read. */
struct source {
	const struct group *group;
	unsigned piece;
	size_t at; /* in the piece */
};

static void source_read(struct source *source, uint8_t *out, size_t bytes)
{
	while (bytes) {
		const struct tow_span *piece =
			&source->group->pieces[source->piece];
		size_t n = MIN(bytes, piece->len - source->at);

		if (n)
			memcpy(out, (const uint8_t *)piece->ptr + source->at,
			       n);
		out += n;
		bytes -= n;
		source->at += n;
		if (source->at == piece->len) {
			source->piece++;
			source->at = 0;
		}
	}
}

/* How much of the frame lies in the room; the chunks get the rest. */
static uint32_t head_bytes(struct port *port, const struct group *group)
{
	uint32_t room = TOW_BUF_ROOM - HEAD_OFFSET;

	switch (port->how.layout) {
	case TOW_SIM_LAYOUT_WHOLE:
		return 0;
	case TOW_SIM_LAYOUT_FIXED:
		return MIN(port->how.layout_bytes, room);
	case TOW_SIM_LAYOUT_ODD:
		return (uint32_t)dice_up_to(&port->dice, room);
	default:
		break;
	}
	if ((port->how.caps & TOW_DEV_SPLIT) && group->shape.transport)
		return MIN(group->shape.payload_at, room);
	return PLAIN_HEAD_BYTES;
}

/* Odd layouts leave chunks half empty as far as the others can make up. */
static uint32_t fill_bytes(struct port *port, uint32_t left,
			   unsigned chunks_left)
{
	uint32_t whole = tow_chunk_bytes(port->dev.pool);
	uint64_t others = (uint64_t)(chunks_left - 1) * whole;
	uint32_t most = MIN(left, whole);
	uint32_t least = left > others ? (uint32_t)(left - others) : 1;

	if (port->how.layout != TOW_SIM_LAYOUT_ODD || least >= most)
		return most;
	return most - (uint32_t)dice_up_to(&port->dice, most - least);
}

/* Into posted memory. Returns what found no room. */
static uint32_t write_placed(struct tow_buf *buf, struct source *source,
			     uint32_t left, const struct aim *aim)
{
	for (unsigned i = 0; i < aim->span_count && left; i++) {
		uint8_t *to = (uint8_t *)(uintptr_t)aim->spans[i].ptr;
		uint32_t n = (uint32_t)MIN(left, aim->spans[i].len);

		source_read(source, to, n);
		tow_buf_add_placed(buf, to, n, aim->hint->token);
		left -= n;
	}
	return left;
}

/* Into chunks. Returns what found no room. */
static uint32_t scatter(struct port *port, struct tow_buf *buf,
			struct source *source, uint32_t left, uint8_t *chunk)
{
	unsigned chunks_left = TOW_BUF_SPANS - buf->span_count;

	while (left && chunk) {
		uint32_t fill = fill_bytes(port, left, chunks_left);

		source_read(source, chunk, fill);
		tow_buf_add_chunk(buf, chunk, fill);
		left -= fill;
		chunks_left--;
		chunk = left && chunks_left ? tow_chunk_take(port->dev.pool)
					    : NULL;
	}
	return left;
}

/* A pool without chunks still gets as much as the header room holds. */
static void fill_buffer(struct port *port, struct tow_buf *buf,
			const struct group *group, const struct aim *aim)
{
	struct source source = { group, 0, 0 };
	uint32_t head = aim->hint ? aim->head_bytes : head_bytes(port, group);
	uint32_t left;
	uint8_t *chunk = NULL;

	head = MIN(head, group->bytes);
	if (!aim->hint && head < group->bytes) {
		chunk = tow_chunk_take(port->dev.pool);
		if (!chunk)
			head = MIN(TOW_BUF_ROOM - HEAD_OFFSET, group->bytes);
	}
	tow_buf_set_head(buf, HEAD_OFFSET, head);
	source_read(&source, buf->room + HEAD_OFFSET, head);
	left = write_placed(buf, &source, group->bytes - head, aim);
	if (aim->hint && left && !aim->cut)
		chunk = tow_chunk_take(port->dev.pool);
	if (scatter(port, buf, &source, left, chunk) == 0)
		return;
	buf->flags |= TOW_BUF_TRUNCATED;
	port_count(port, TOW_SIM_TRUNCATED);
}

static void note_offloads(const struct port *port, struct tow_buf *buf,
			  const struct group *group)
{
	const struct shape *shape = &group->shape;

	if (!group->sum_ok)
		return;
	buf->flags |=
		port->how.rx_partial ? TOW_BUF_CSUM_PARTIAL : TOW_BUF_CSUM_OK;
	buf->csum_start = (uint16_t)shape->transport_at;
	buf->csum_offset = (uint16_t)packet_sum_offset(shape);
	buf->header_bytes = (uint16_t)shape->payload_at;
	if (group->count == 1)
		return;
	if (shape->protocol != PROTOCOL_TCP)
		buf->gso = TOW_GSO_UDP;
	else
		buf->gso = shape->v6 ? TOW_GSO_TCP6 : TOW_GSO_TCP4;
	buf->gso_bytes = (uint16_t)group->pieces[1].len;
}

static void hand_up(struct port *port, struct packet_queue *queue,
		    struct tow_buf *buf)
{
	struct aim aim = { 0 };
	struct group group;

	if (queue == &port->rx) {
		place_aim(port, queue_first(queue), &aim);
		port->moved_frames -= port->moved_frames > 0;
	}
	next_group(port, queue, &aim, &group);
	fill_buffer(port, buf, &group, &aim);
	note_offloads(port, buf, &group);
	place_look(port, buf, &group, &aim);
	port_count(port, TOW_SIM_RECEIVED);
	for (unsigned i = 0; i < group.count; i++)
		packet_give(port->sim, group.packets[i]);
}

static struct packet_queue *next_queue(struct port *port)
{
	place_divert(port);
	if (place_moved_due(port))
		return &port->moved;
	return port->rx.count ? &port->rx : NULL;
}

int frames_hand_up(struct port *port, struct tow_buf **bufs, unsigned n)
{
	unsigned filled = 0;

	while (filled < n) {
		struct packet_queue *queue = next_queue(port);
		struct tow_buf *buf = queue ? take_buffer(port) : NULL;

		if (!buf)
			break;
		hand_up(port, queue, buf);
		bufs[filled++] = buf;
	}
	return (int)filled;
}
