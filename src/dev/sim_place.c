/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames into posted memory: placement as a device does it, and how it fails.
 *
 * Theory of operation: a hint names a flow and memory for its next payload.
 * Like a tap, whose read(2) is told where bytes go before it knows what comes,
 * the port first puts a frame of the flow where the hint says, the head in the
 * room, what follows in the spans, the rest in chunks; then it looks at it.
 *
 *	aim    which hint, where in its spans; by chance somewhere else
 *	(sim_receive.c writes the frame)
 *	look   foreseen: the hint goes on behind it; else, if it left bytes in
 *	       the spans, or payload elsewhere, the hint rests until the next
 *	       place()
 *
 * What the wire does, loss, reordering, duplicates, damage, other headers, is
 * enough to bring bytes to a wrong place. Struct tow_sim_place adds what only
 * a device can do wrong. It keeps to the contract of tow/dev.h all the same:
 * what is in the spans is handed up, in order, and only what is where it was
 * foreseen is marked so.
 */
#include "dev/sim_private.h"

#define PROTOCOL_TCP	6
#define PROTOCOL_UDP	17
#define UDP_HEAD4_BYTES (ETHERNET_BYTES + 20 + 8)
#define UDP_HEAD6_BYTES (ETHERNET_BYTES + 40 + 8)
#define LATE_FRAMES_MAX 16
#define MOVED_RUN_MAX	8u    /* packets that are moved to another queue */
#define MOVED_FRAMES	16    /* that overtake them, at most */
#define MOVED_US	2000u /* that it takes at most */

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* Hints. */

static bool is_flow(const struct hint *hint, const uint8_t *frame,
		    const struct shape *shape)
{
	const uint8_t *ports = frame + shape->transport_at;

	return shape->protocol == hint->protocol &&
	       get16(ports) == hint->remote_port &&
	       get16(ports + 2) == hint->local_port &&
	       tow_addr_equal(&shape->src, &hint->remote) &&
	       tow_addr_equal(&shape->dst, &hint->local);
}

static struct hint *hint_of(struct port *port, const struct packet *packet,
			    const struct shape *shape)
{
	if (!shape->transport)
		return NULL;
	for (unsigned i = 0; i < port->hint_count; i++)
		if (is_flow(&port->hints[i], packet->data, shape))
			return &port->hints[i];
	return NULL;
}

static void forget(struct port *port, struct hint *hint)
{
	*hint = port->hints[--port->hint_count];
}

static struct hint *find_flow(struct port *port, const struct tow_place *place)
{
	for (unsigned i = 0; i < port->hint_count; i++) {
		struct hint *hint = &port->hints[i];

		if (hint->protocol == place->protocol &&
		    hint->local_port == place->local_port &&
		    hint->remote_port == place->remote_port &&
		    memcmp(hint->local.b, place->local, 16) == 0 &&
		    memcmp(hint->remote.b, place->remote, 16) == 0)
			return hint;
	}
	return NULL;
}

/* What is wrong with a hint, or NULL. */
static const char *judge_hint(const struct tow_place *place)
{
	size_t bytes = 0;

	if (place->protocol != PROTOCOL_TCP && place->protocol != PROTOCOL_UDP)
		return "a hint for neither TCP nor UDP";
	if (!place->bytes)
		return NULL;
	if (!place->token)
		return "a hint without a token";
	if (!place->span_count || place->span_count > TOW_PLACE_SPANS)
		return "the number of a hint's spans";
	if (place->header_bytes < ETHERNET_BYTES ||
	    place->header_bytes > TOW_BUF_HEADERS)
		return "header_bytes of a hint";
	if (!place->slot_bytes != (place->protocol == PROTOCOL_TCP))
		return "slot_bytes of a hint";
	for (unsigned i = 0; i < place->span_count; i++)
		bytes += place->spans[i].len;
	return bytes == place->bytes ? NULL
				     : "a hint's bytes are not its spans'";
}

static void take_hint(struct port *port, const struct tow_place *place)
{
	struct hint *hint = &port->hints[port->hint_count++];

	*hint = (struct hint){
		.token = place->token,
		.local_port = place->local_port,
		.remote_port = place->remote_port,
		.protocol = place->protocol,
		.header_bytes = place->header_bytes,
		.sequence = place->sequence,
		.slot_bytes = place->slot_bytes,
		.span_count = place->span_count,
		.bytes = place->bytes,
	};
	memcpy(hint->local.b, place->local, 16);
	memcpy(hint->remote.b, place->remote, 16);
	memcpy(hint->spans, place->spans,
	       place->span_count * sizeof(place->spans[0]));
	if (!dice_hit(&port->place_dice, port->how.place.late_ppm))
		return;
	hint->frames_late = 1 + (uint32_t)dice_up_to(&port->place_dice,
						     LATE_FRAMES_MAX - 1);
	port_count(port, TOW_SIM_HINT_LATE);
}

static int refuse(struct port *port)
{
	const struct tow_sim_place *how = &port->how.place;
	unsigned most = how->flows ? MIN(how->flows, HINTS_MAX) : HINTS_MAX;

	if (dice_hit(&port->place_dice, how->refused_ppm))
		return TOW_EPERM;
	if (dice_hit(&port->place_dice, how->busy_ppm) ||
	    port->hint_count >= most)
		return TOW_EBUSY;
	return 0;
}

int port_place(struct tow_dev *dev, const struct tow_place *place)
{
	struct port *port = CONTAINER(dev, struct port, dev);
	const char *wrong = judge_hint(place);
	struct hint *old;
	int refused;

	if (port->gone)
		return TOW_ENETDOWN;
	if (!(port->how.caps & TOW_DEV_PLACE))
		wrong = "a hint for a device that cannot place";
	if (wrong) {
		port_violate(port, wrong);
		return TOW_EOPNOTSUPP;
	}
	old = find_flow(port, place);
	if (old)
		forget(port, old);
	if (!place->bytes)
		return 0;
	refused = refuse(port);
	if (refused)
		port_count(port, TOW_SIM_HINT_REFUSED);
	else
		take_hint(port, place);
	return refused;
}

/* Packets that wait while others of their flow overtake them. */

void place_divert(struct port *port)
{
	const struct packet *first = queue_first(&port->rx);
	struct dice *dice = &port->place_dice;
	const struct hint *hint;
	struct shape shape;
	uint32_t run;

	if (!first || !port->hint_count || port->moved.count)
		return;
	shape = packet_shape(first->data, first->bytes);
	hint = hint_of(port, first, &shape);
	if (!hint || !dice_hit(dice, port->how.place.moved_ppm))
		return;
	port->moved_frames = 1 + (uint32_t)dice_up_to(dice, MOVED_FRAMES - 1);
	port->moved_us = port->sim->now_us + 1 + dice_up_to(dice, MOVED_US);
	for (run = 1 + (uint32_t)dice_up_to(dice, MOVED_RUN_MAX - 1);
	     run && first; run--, first = queue_first(&port->rx)) {
		shape = packet_shape(first->data, first->bytes);
		if (hint_of(port, first, &shape) != hint ||
		    !queue_append(&port->moved, queue_first(&port->rx)))
			break;
		(void)queue_take(&port->rx);
		port_count(port, TOW_SIM_HINT_MOVED);
	}
}

bool place_moved_due(const struct port *port)
{
	return port->moved.count &&
	       (!port->moved_frames || port->sim->now_us >= port->moved_us);
}

/* Before a frame is written. */

/* The hint that a frame comes under, by its flow or by mistake. */
static struct hint *choose_hint(struct port *port, const struct packet *first,
				struct aim *aim)
{
	struct dice *dice = &port->place_dice;
	struct shape shape = packet_shape(first->data, first->bytes);
	struct hint *hint = hint_of(port, first, &shape);

	if (hint && hint->frames_late) {
		hint->frames_late--;
		return NULL;
	}
	if (hint || !shape.transport ||
	    !dice_hit(dice, port->how.place.foreign_ppm))
		return hint;
	hint = &port->hints[dice_up_to(dice, port->hint_count - 1)];
	aim->foreign = aim->spoiled = true;
	return hint->frames_late ? NULL : hint;
}

/* The spans from @at on, no more than @most bytes of them. */
static void aim_at(struct aim *aim, size_t at, size_t most)
{
	for (unsigned i = 0; i < aim->hint->span_count && most; i++) {
		const struct tow_span *span = &aim->hint->spans[i];
		size_t n;

		if (at >= span->len) {
			at -= span->len;
			continue;
		}
		n = MIN(span->len - at, most);
		aim->spans[aim->span_count].ptr =
			(const uint8_t *)span->ptr + at;
		aim->spans[aim->span_count++].len = n;
		at = 0;
		most -= n;
	}
}

static void miss(struct port *port, struct aim *aim, uint32_t frame_bytes)
{
	const struct tow_sim_place *how = &port->how.place;
	struct dice *dice = &port->place_dice;
	size_t at = aim->hint->at, most = aim->hint->bytes - at;

	if (dice_hit(dice, how->shape_ppm)) {
		aim->head_bytes = (uint32_t)dice_range(dice, ETHERNET_BYTES,
						       TOW_BUF_HEADERS);
		aim->spoiled = true;
		port_count(port, TOW_SIM_HINT_SHAPE);
	}
	if (most > 1 && dice_hit(dice, how->stale_ppm)) {
		size_t further = dice_range(dice, 1, most - 1);

		at += further;
		most -= further;
		aim->spoiled = true;
		port_count(port, TOW_SIM_HINT_STALE);
	}
	aim->damage = dice_hit(dice, how->damage_ppm);
	if (dice_hit(dice, how->truncated_ppm)) {
		most = MIN(most, dice_up_to(dice, frame_bytes));
		aim->cut = true;
	}
	aim_at(aim, at, most);
}

void place_aim(struct port *port, const struct packet *first, struct aim *aim)
{
	struct hint *hint;

	*aim = (struct aim){ 0 };
	if (!port->hint_count)
		return;
	hint = choose_hint(port, first, aim);
	if (!hint || hint->rests || hint->at == hint->bytes)
		return;
	if (dice_hit(&port->place_dice, port->how.place.withdrawn_ppm)) {
		port_count(port, TOW_SIM_HINT_LOST);
		forget(port, hint);
		return;
	}
	aim->hint = hint;
	aim->head_bytes = hint->header_bytes;
	miss(port, aim, first->bytes);
}

/* After it was written. */

static uint32_t placed_bytes(const struct tow_buf *buf, const struct aim *aim)
{
	uint32_t left = buf->bytes - (uint32_t)buf->spans[0].len, bytes = 0;

	for (unsigned i = 0; i < aim->span_count; i++)
		bytes += (uint32_t)aim->spans[i].len;
	return MIN(bytes, left);
}

/* One bit of what lies in the spans; any checksum finds that. */
static void flip_bit(struct port *port, const struct group *group,
		     const struct aim *aim, uint32_t placed)
{
	uint64_t at, summed = group->shape.end -
			      MIN(group->shape.end, aim->head_bytes);

	placed = (uint32_t)MIN(placed, summed);
	if (!placed)
		return;
	at = dice_up_to(&port->place_dice, placed - 1);
	for (unsigned i = 0; i < aim->span_count; i++) {
		uint8_t *bytes = (uint8_t *)(uintptr_t)aim->spans[i].ptr;

		if (at < aim->spans[i].len) {
			bytes[at] ^= (uint8_t)(1u << dice_up_to(
						       &port->place_dice, 7));
			break;
		}
		at -= aim->spans[i].len;
	}
	port_count(port, TOW_SIM_HINT_DAMAGED);
}

/* Without options; a train only where nothing lies between two payloads. */
static bool fits_slots(const struct tow_buf *buf, const struct shape *shape,
		       const struct hint *hint)
{
	if (shape->payload_at !=
	    (shape->v6 ? UDP_HEAD6_BYTES : UDP_HEAD4_BYTES))
		return false;
	if (buf->gso == TOW_GSO_UDP)
		return shape->payload_at == hint->header_bytes &&
		       buf->gso_bytes == hint->slot_bytes;
	return buf->bytes - hint->header_bytes <= hint->slot_bytes;
}

static bool is_foreseen(const struct tow_buf *buf, const struct group *group,
			const struct hint *hint)
{
	const struct shape *shape = &group->shape;
	const uint8_t *head = buf->spans[0].ptr;
	bool padded = group->count == 1 && buf->bytes != shape->end;

	if ((buf->flags & TOW_BUF_TRUNCATED) || padded)
		return false;
	if (hint->protocol == PROTOCOL_UDP)
		return fits_slots(buf, shape, hint);
	return shape->payload_at == hint->header_bytes &&
	       get32(head + shape->transport_at + 4) == hint->sequence;
}

static void go_on(struct hint *hint, uint32_t payload_bytes)
{
	size_t bytes = payload_bytes;

	if (hint->protocol == PROTOCOL_UDP) /* at least one slot */
		bytes = MAX(1,
			    (bytes + hint->slot_bytes - 1) / hint->slot_bytes) *
			hint->slot_bytes;
	hint->sequence += payload_bytes;
	hint->at += MIN(bytes, hint->bytes - hint->at);
}

/* Payload of the flow that is not in its memory. */
static void note_elsewhere(struct port *port, const struct group *group)
{
	const struct packet *first = group->packets[0];
	struct hint *hint = hint_of(port, first, &group->shape);

	if (hint && group->shape.end > group->shape.payload_at)
		hint->rests = true;
}

void place_look(struct port *port, struct tow_buf *buf,
		const struct group *group, const struct aim *aim)
{
	struct hint *hint = aim->hint;
	uint32_t placed;

	if (!hint || !buf->place) {
		note_elsewhere(port, group);
		return;
	}
	placed = placed_bytes(buf, aim);
	if (aim->damage)
		flip_bit(port, group, aim, placed);
	if (aim->foreign)
		port_count(port, TOW_SIM_HINT_FOREIGN);
	if (aim->cut && (buf->flags & TOW_BUF_TRUNCATED))
		port_count(port, TOW_SIM_HINT_TRUNCATED);
	if (!aim->spoiled && is_foreseen(buf, group, hint)) {
		buf->flags |= TOW_BUF_FORESEEN;
		port_count(port, TOW_SIM_PLACED);
		go_on(hint, buf->bytes - hint->header_bytes);
		return;
	}
	hint->rests = true;
	port_count(port, TOW_SIM_MISPLACED);
}
