/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A middlebox: what firewalls, proxies and accelerators do to TCP.
 *
 * Theory of operation: each packet that reaches the segment, or leaves it,
 * passes the box of the port. A segment of TCP with right checksums is dropped,
 * or edited in a copy of its own; then it may be cut in two, or held until the
 * next of its flow comes, to be sent on with that. Damaged segments pass as
 * they are, so that nobody takes them for whole ones.
 *
 *	 stack            wires     box             segment
 *	       --- up --->     [ edit | split | join ] --->
 *	       <-- down --     [ join | split | edit ] <---
 *
 * The box knows no connections: what it does to a segment follows from the
 * segment, its direction, and how the box is set up.
 */
#include <string.h>
#include "dev/frame.h"
#include "dev/sim_private.h"

#define TCP	  6
#define TCP_BYTES 20u
#define FLAG_AE	  0x01 /* of the byte before */

/* Kinds of options: RFC 9293 3.1, RFC 7323, RFC 2018. */
enum {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_SCALE = 3,
	OPTION_SACK_OK = 4,
	OPTION_SACK = 5,
	OPTION_TIMESTAMPS = 8,
};

/* A segment on its way through. */
struct passage {
	struct port *port;
	const struct tow_sim_box *how;
	bool up;
	struct box_way *way;
	struct packet *packet; /* nobody else's */
	struct shape shape;
	uint8_t *tcp;
};

/* Options. */

static unsigned strip_bit(uint8_t kind)
{
	switch (kind) {
	case OPTION_MSS:
		return TOW_SIM_STRIP_MSS;
	case OPTION_SCALE:
		return TOW_SIM_STRIP_SCALE;
	case OPTION_SACK_OK:
		return TOW_SIM_STRIP_SACK_OK;
	case OPTION_SACK:
		return TOW_SIM_STRIP_SACK;
	case OPTION_TIMESTAMPS:
		return TOW_SIM_STRIP_TIMESTAMPS;
	default:
		return TOW_SIM_STRIP_OTHER;
	}
}

/* The next option that is not padding; NULL at the end, or at nonsense. */
static uint8_t *next_option(uint8_t *at, const uint8_t *end)
{
	while (at < end && *at == OPTION_NOP)
		at++;
	if (end - at < 2 || *at == OPTION_END || at[1] < 2 || at[1] > end - at)
		return NULL;
	return at;
}

static uint8_t *options_end(const struct passage *pass)
{
	return pass->packet->data + pass->shape.payload_at;
}

static bool has_young_option(const struct passage *pass)
{
	const uint8_t *end = options_end(pass);
	uint8_t *at = pass->tcp + TCP_BYTES;

	while ((at = next_option(at, end))) {
		if (strip_bit(*at) == TOW_SIM_STRIP_OTHER)
			return true;
		at += at[1];
	}
	return false;
}

/* Acknowledgements of what went up, as its sender counts. */
static void move_blocks(const struct passage *pass, uint8_t *option)
{
	for (unsigned at = 2; at + 4 <= option[1]; at += 4)
		packet_put32(option + at, packet_get32(option + at) -
						  pass->how->sequence_shift);
}

static void edit_option(const struct passage *pass, uint8_t *option)
{
	const struct tow_sim_box *how = pass->how;
	uint32_t strip = pass->up ? how->strip_up : how->strip_down;

	if (strip & strip_bit(*option))
		memset(option, OPTION_NOP, option[1]);
	else if (*option == OPTION_MSS && option[1] == 4 && how->mss_max)
		packet_put16(option + 2,
			     MIN(packet_get16(option + 2), how->mss_max));
	else if (*option == OPTION_SACK && !pass->up && how->sequence_sack)
		move_blocks(pass, option);
}

static void edit_options(const struct passage *pass)
{
	const uint8_t *end = options_end(pass);
	uint8_t *at = pass->tcp + TCP_BYTES;

	while ((at = next_option(at, end))) {
		uint8_t bytes = at[1];

		edit_option(pass, at);
		at += bytes;
	}
}

/* The header. */

static void edit_sequence(const struct passage *pass)
{
	uint32_t shift = pass->how->sequence_shift;

	if (pass->up)
		packet_put32(pass->tcp + 4,
			     packet_get32(pass->tcp + 4) + shift);
	else if (pass->tcp[13] & FLAG_ACK)
		packet_put32(pass->tcp + 8,
			     packet_get32(pass->tcp + 8) - shift);
}

static bool window_is_closed(const struct passage *pass)
{
	const struct tow_sim_box *how = pass->how;
	uint64_t now_us = pass->port->sim->now_us;
	struct dice *dice = &pass->port->box_dice;

	if (now_us >= pass->way->closed_us &&
	    dice_hit(dice, how->window_close_ppm))
		pass->way->closed_us =
			now_us + dice_up_to(dice, how->window_close_us);
	return now_us < pass->way->closed_us;
}

static void edit_window(const struct passage *pass)
{
	uint32_t window = packet_get16(pass->tcp + 14);

	if (pass->tcp[13] & (FLAG_SYN | FLAG_RST))
		return;
	if (window && pass->how->window_shift)
		window = MAX(window >> pass->how->window_shift, 1u);
	if (window_is_closed(pass))
		window = 0;
	packet_put16(pass->tcp + 14, window);
}

static void edit_syn(struct passage *pass)
{
	if (!(pass->tcp[13] & FLAG_SYN))
		return;
	if (pass->how->no_ecn) {
		pass->tcp[12] &= (uint8_t)~FLAG_AE;
		pass->tcp[13] &= (uint8_t) ~(FLAG_CWR | FLAG_ECE);
	}
	if (pass->how->syn_data_cut) {
		pass->packet->bytes = pass->shape.end = pass->shape.payload_at;
		packet_write_length(pass->packet, &pass->shape);
	}
}

static void edit(struct passage *pass)
{
	edit_sequence(pass);
	edit_window(pass);
	edit_syn(pass);
	edit_options(pass);
	packet_write_sums(pass->packet->data, &pass->shape);
}

static uint32_t payload_bytes(const struct passage *pass)
{
	return pass->shape.end - pass->shape.payload_at;
}

static bool is_refused(const struct passage *pass)
{
	return (pass->tcp[13] & FLAG_SYN) &&
	       ((pass->how->syn_data_drop && payload_bytes(pass)) ||
		(pass->how->syn_options_drop && has_young_option(pass)));
}

/* Onward. */

static void go_on(struct port *port, bool up, struct packet *packet)
{
	if (up)
		sim_forward(port->sim, port, packet);
	else
		wire_carry_down(port, packet);
}

static void let_go(struct port *port, struct box_way *way)
{
	struct packet *packet = way->held;

	way->held = NULL;
	if (packet)
		go_on(port, way == &port->box_up, packet);
}

/* Its event has a reference of its own, so that it is still the same packet. */
void box_release(struct port *port, struct packet *packet)
{
	if (port->box_up.held == packet)
		let_go(port, &port->box_up);
	else if (port->box_down.held == packet)
		let_go(port, &port->box_down);
	packet_give(port->sim, packet);
}

static void forget(struct port *port, struct box_way *way)
{
	if (way->held)
		packet_give(port->sim, way->held);
	way->held = NULL;
}

void box_empty(struct port *port)
{
	forget(port, &port->box_up);
	forget(port, &port->box_down);
}

/* Joining and splitting. */

/* Returns: false without memory. */
static bool wait_a_while(struct port *port, uint32_t wait_us,
			 struct packet *packet)
{
	if (sim_happens(port->sim, port->sim->now_us + wait_us, BOX, port,
			packet_ref(packet)))
		return true;
	packet_give(port->sim, packet);
	return false;
}

static void hold(struct passage *pass)
{
	let_go(pass->port, pass->way);
	if (packet_is_plain_data(pass->packet->data, &pass->shape) &&
	    wait_a_while(pass->port, pass->how->join_us, pass->packet))
		pass->way->held = pass->packet;
	else
		go_on(pass->port, pass->up, pass->packet);
}

static unsigned ecn_of(const struct packet *packet)
{
	return frame_ecn(packet->data, packet->bytes);
}

/* Does it continue the stream of the one that is held? */
static bool follows(const struct passage *pass, const struct packet *held,
		    const struct shape *a)
{
	const struct shape *b = &pass->shape;
	const uint8_t *before = held->data + a->transport_at;

	return packet_is_plain_data(pass->packet->data, b) &&
	       ecn_of(held) == ecn_of(pass->packet) &&
	       tow_addr_equal(&a->src, &b->src) &&
	       tow_addr_equal(&a->dst, &b->dst) &&
	       memcmp(before, pass->tcp, 4) == 0 &&
	       packet_get32(pass->tcp + 4) ==
		       packet_get32(before + 4) + a->end - a->payload_at &&
	       b->end + a->end - a->payload_at - ETHERNET_BYTES <=
		       pass->how->join_bytes;
}

/*
 * The headers are those of the later one, which knows more.
 *
 * Returns: false without memory.
 */
static bool join(struct passage *pass, const struct packet *held,
		 const struct shape *a)
{
	const struct shape *b = &pass->shape;
	uint32_t first = a->end - a->payload_at,
		 second = b->end - b->payload_at;
	struct packet *whole = packet_take(pass->port->sim, b->end + first);

	if (!whole)
		return false;
	memcpy(whole->data, pass->packet->data, b->payload_at);
	memcpy(whole->data + b->payload_at, held->data + a->payload_at, first);
	memcpy(whole->data + b->payload_at + first,
	       pass->packet->data + b->payload_at, second);
	whole->intact = held->intact && pass->packet->intact;
	memcpy(whole->data + b->transport_at + 4,
	       held->data + a->transport_at + 4, 4);
	packet_give(pass->port->sim, pass->packet);
	pass->packet = whole;
	pass->shape.end = whole->bytes;
	pass->tcp = whole->data + b->transport_at;
	packet_write_length(whole, &pass->shape);
	packet_write_sums(whole->data, &pass->shape);
	return true;
}

static void join_or_hold(struct passage *pass)
{
	struct packet *held = pass->way->held;
	struct shape shape;

	if (held) {
		shape = packet_shape(held->data, held->bytes);
		if (follows(pass, held, &shape) && join(pass, held, &shape)) {
			port_count(pass->port, TOW_SIM_BOX_JOINED);
			forget(pass->port, pass->way);
		}
	}
	hold(pass);
}

static bool can_be_split(const struct passage *pass)
{
	return payload_bytes(pass) >= 2 &&
	       !(pass->tcp[13] & (FLAG_SYN | FLAG_RST | FLAG_URG));
}

static struct packet *piece(const struct passage *pass, uint32_t from,
			    uint32_t bytes)
{
	uint32_t headers = pass->shape.payload_at;
	struct packet *packet = packet_take(pass->port->sim, headers + bytes);

	if (!packet)
		return NULL;
	memcpy(packet->data, pass->packet->data, headers);
	memcpy(packet->data + headers, pass->packet->data + headers + from,
	       bytes);
	packet->intact = pass->packet->intact;
	packet_write_piece(packet->data, &pass->shape, packet->bytes,
			   from ? 1 : 0, from, from > 0);
	return packet;
}

static void split(struct passage *pass)
{
	uint32_t whole = payload_bytes(pass);
	uint32_t at = (uint32_t)dice_range(&pass->port->box_dice, 1, whole - 1);
	struct packet *first = piece(pass, 0, at);
	struct packet *second = piece(pass, at, whole - at);

	port_count(pass->port, TOW_SIM_BOX_SPLIT);
	packet_give(pass->port->sim, pass->packet);
	let_go(pass->port, pass->way);
	if (first)
		go_on(pass->port, pass->up, first);
	if (second)
		go_on(pass->port, pass->up, second);
}

static void send_on(struct passage *pass)
{
	if (can_be_split(pass) &&
	    dice_hit(&pass->port->box_dice, pass->how->split_ppm))
		split(pass);
	else if (pass->how->join_us)
		join_or_hold(pass);
	else
		go_on(pass->port, pass->up, pass->packet);
}

/* All of it. */

static bool is_there(const struct tow_sim_box *how)
{
	static const struct tow_sim_box none;

	return memcmp(how, &none, sizeof(none)) != 0;
}

/* In order with what waits to be joined. Takes the packet. */
static void go_on_in_order(struct passage *pass, struct packet *packet)
{
	let_go(pass->port, pass->way);
	go_on(pass->port, pass->up, packet);
}

static struct packet *bleach(struct port *port, struct packet *packet)
{
	if (!ecn_of(packet))
		return packet;
	packet = packet_own(port->sim, packet);
	if (packet)
		frame_set_ecn(packet->data, 0);
	return packet;
}

static bool is_segment(const struct packet *packet, const struct shape *shape)
{
	return shape->transport && shape->protocol == TCP &&
	       shape->end == packet->bytes &&
	       packet_network_sum_ok(packet->data, shape) &&
	       packet_transport_sum_ok(packet->data, shape);
}

static void handle_segment(struct passage *pass)
{
	if (is_refused(pass)) {
		port_count(pass->port, TOW_SIM_BOX_DROPPED);
		packet_give(pass->port->sim, pass->packet);
		return;
	}
	port_count(pass->port, TOW_SIM_BOX_CHANGED);
	edit(pass);
	send_on(pass);
}

static void handle(struct port *port, bool up, struct packet *packet)
{
	struct passage pass = { .port = port,
				.how = &port->how.box,
				.up = up,
				.way = up ? &port->box_up : &port->box_down };

	if (pass.how->bleach)
		packet = bleach(port, packet);
	if (!packet)
		return;
	pass.shape = packet_shape(packet->data, packet->bytes);
	if (!is_segment(packet, &pass.shape)) {
		go_on_in_order(&pass, packet);
		return;
	}
	pass.packet = packet_own(port->sim, packet);
	if (!pass.packet)
		return;
	pass.tcp = pass.packet->data + pass.shape.transport_at;
	handle_segment(&pass);
}

void box_carry_up(struct port *port, struct packet *packet)
{
	if (is_there(&port->how.box) || port->box_up.held)
		handle(port, true, packet);
	else
		go_on(port, true, packet);
}

void box_carry_down(struct port *port, struct packet *packet)
{
	if (is_there(&port->how.box) || port->box_down.held)
		handle(port, false, packet);
	else
		go_on(port, false, packet);
}
