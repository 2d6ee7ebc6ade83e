/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a wire does to packets.
 *
 * Theory of operation: a packet waits until the wire is free, takes its time
 * to be sent, travels, and arrives. The wire keeps one number for the first
 * two, the moment at which it will be free; the length of the queue follows
 * from it. Jitter stretches the way without letting packets overtake; one
 * that is reordered leaves the row and comes when it comes. Another path begins
 * another row.
 *
 * Faults, in this order: too long, queue full, lost in a burst, lost, damaged,
 * reordered, duplicated. What is lost has used up its time on the wire; what is
 * not may be marked (RFC 3168 5).
 *
 * Damage is a run of up to 15 flipped bits in an IP packet: as if a router's
 * memory had failed, because on the wire itself the frame check sequence would
 * find it. The Internet checksum finds every such run (Stone and Partridge,
 * "When the CRC and TCP checksum disagree"), so a receiver that lets damaged
 * payload through is wrong and not just unlucky. Of two runs the second may undo
 * for the sum what the first did: a packet is damaged once.
 */
#include "dev/frame.h"
#include "dev/sim_private.h"

#define DAMAGE_BITS_MAX 15u
#define ECN_CE		3u /* RFC 3168 5; 1 and 2 are ECT, 0 is neither */

/* Nanoseconds that @bytes take at this rate. */
static uint64_t sending_ns(const struct tow_sim_wire *how, uint64_t bytes)
{
	return how->bits_per_s ? bytes * 8000000000u / how->bits_per_s : 0;
}

static uint64_t waiting_bytes(const struct wire *wire, uint64_t now_ns)
{
	if (wire->free_ns <= now_ns)
		return 0;
	return (wire->free_ns - now_ns) / 1000 * wire->how.bits_per_s / 8000000;
}

static bool has_room(const struct wire *wire, uint64_t now_ns, uint32_t bytes)
{
	return wire->how.queue_bytes == 0 ||
	       waiting_bytes(wire, now_ns) + bytes <= wire->how.queue_bytes;
}

/* Whether the queue is to mark what comes next, if that allows it. */
static bool is_congested(struct wire *wire, uint64_t now_ns)
{
	const struct tow_sim_wire *how = &wire->how;

	return dice_hit(&wire->dice, how->mark_ppm) ||
	       (how->mark_bytes &&
		waiting_bytes(wire, now_ns) >= how->mark_bytes);
}

/* Takes the packet, and returns it, marked if it allows that. */
static struct packet *mark(struct port *port, struct packet *packet)
{
	unsigned ecn = frame_ecn(packet->data, packet->bytes);

	if (ecn == 0 || ecn == ECN_CE)
		return packet;
	packet = packet_own(port->sim, packet);
	if (packet) {
		frame_set_ecn(packet->data, ECN_CE);
		port_count(port, TOW_SIM_MARKED);
	}
	return packet;
}

/* Gilbert and Elliott: two states, and each packet may change the state. */
static bool lost_in_burst(struct wire *wire)
{
	uint32_t turn =
		wire->bad ? wire->how.burst_end_ppm : wire->how.burst_begin_ppm;

	if (dice_hit(&wire->dice, turn))
		wire->bad = !wire->bad;
	return wire->bad && dice_hit(&wire->dice, wire->how.burst_loss_ppm);
}

static void flip_bits(struct dice *dice, struct packet *packet)
{
	uint32_t run = 1 + (uint32_t)dice_up_to(dice, DAMAGE_BITS_MAX - 1);
	uint64_t bits = (packet->bytes - ETHERNET_BYTES) * 8u;
	uint64_t at = ETHERNET_BYTES * 8u + dice_up_to(dice, bits - run);
	uint64_t pattern = dice_throw(dice) | 1; /* the first one flips */

	for (uint32_t i = 0; i < run; i++, pattern >>= 1)
		if (pattern & 1)
			packet->data[(at + i) / 8] ^= 0x80u >> (at + i) % 8;
	packet->intact = false;
}

/* Takes the packet, and returns it or a damaged copy of it. */
static struct packet *damage(struct tow_sim *sim, struct wire *wire,
			     struct packet *packet)
{
	struct packet *copy = packet_copy(sim, packet);

	packet_give(sim, packet);
	if (copy)
		flip_bits(&wire->dice, copy);
	return copy;
}

/* When what is sent now arrives, and whether others may overtake it. */
static uint64_t arrival_us(struct wire *wire, bool held_back)
{
	const struct tow_sim_wire *how = &wire->how;
	uint64_t at_us = (wire->free_ns + 999) / 1000 + how->delay_us +
			 dice_up_to(&wire->dice, how->jitter_us);

	if (held_back)
		return at_us + 1 + dice_up_to(&wire->dice, how->reorder_us);
	if (wire->path != how->path)
		wire->last_us = 0;
	wire->path = how->path;
	wire->last_us = MAX(wire->last_us, at_us);
	return wire->last_us;
}

static void arrives(struct port *port, struct packet *packet,
		    enum happening where, uint64_t at_us)
{
	if (!sim_happens(port->sim, at_us, where, port, packet))
		packet_give(port->sim, packet);
}

/* The faults that let something arrive. Takes the packet. */
static void travel(struct port *port, struct wire *wire, struct packet *packet,
		   enum happening where)
{
	bool held_back = dice_hit(&wire->dice, wire->how.reorder_ppm);

	if (held_back)
		port_count(port, TOW_SIM_REORDERED);
	if (dice_hit(&wire->dice, wire->how.duplicate_ppm)) {
		port_count(port, TOW_SIM_DUPLICATED);
		arrives(port, packet_ref(packet), where,
			arrival_us(wire, held_back));
		held_back = true;
	}
	arrives(port, packet, where, arrival_us(wire, held_back));
}

static bool can_be_damaged(const struct packet *packet)
{
	return packet->intact && packet_shape(packet->data, packet->bytes).ip;
}

/* What becomes of a packet; SENT if nothing does. */
static enum tow_sim_fate fate_of(struct wire *wire, uint64_t now_ns,
				 const struct packet *packet)
{
	const struct tow_sim_wire *how = &wire->how;
	uint32_t bytes = packet->bytes;

	if (how->mtu && bytes > ETHERNET_BYTES + how->mtu)
		return TOW_SIM_TOO_LONG;
	if (!has_room(wire, now_ns, bytes))
		return TOW_SIM_QUEUE_FULL;
	wire->free_ns = MAX(wire->free_ns, now_ns) + sending_ns(how, bytes);
	if (lost_in_burst(wire))
		return TOW_SIM_BURST_LOST;
	if (dice_hit(&wire->dice, how->loss_ppm))
		return TOW_SIM_LOST;
	if (dice_hit(&wire->dice, how->damage_ppm) && can_be_damaged(packet))
		return TOW_SIM_DAMAGED;
	return TOW_SIM_SENT;
}

/* Takes the packet. */
static void carry(struct port *port, struct wire *wire, struct packet *packet,
		  enum happening where, enum tow_sim_fate fate)
{
	if (fate != TOW_SIM_SENT)
		port_count(port, fate);
	if (fate == TOW_SIM_DAMAGED)
		packet = damage(port->sim, wire, packet);
	if (fate == TOW_SIM_SENT || (fate == TOW_SIM_DAMAGED && packet))
		travel(port, wire, packet, where);
	else if (packet)
		packet_give(port->sim, packet);
}

static void tell_too_long(struct port *port, const struct packet *packet)
{
	struct packet *answer;

	if (!port->up.how.mtu_told)
		return;
	answer = packet_too_big(port->sim, packet, port->up.how.mtu);
	if (answer)
		wire_carry_down(port, answer);
}

/* As it was sent, whatever becomes of it. */
static void record(const struct port *port, const struct packet *packet,
		   enum tow_sim_fate fate)
{
	struct tow_span span = { packet->data, packet->bytes };

	pcapng_packet(port->sim->capture, port->interface, port->sim->now_us,
		      &span, 1, packet->bytes, PCAPNG_OUT,
		      fate == TOW_SIM_SENT ? NULL : tow_sim_fate_name(fate));
}

void wire_carry_up(struct port *port, struct packet *packet)
{
	uint64_t now_ns = port->sim->now_us * 1000;
	bool congested = is_congested(&port->up, now_ns);
	enum tow_sim_fate fate = fate_of(&port->up, now_ns, packet);

	port_count(port, TOW_SIM_SENT);
	if (port->sim->capture)
		record(port, packet, fate);
	if (fate == TOW_SIM_TOO_LONG)
		tell_too_long(port, packet);
	if (congested && fate == TOW_SIM_SENT)
		packet = mark(port, packet);
	if (packet)
		carry(port, &port->up, packet, AT_SEGMENT, fate);
}

void wire_carry_down(struct port *port, struct packet *packet)
{
	uint64_t now_ns = port->sim->now_us * 1000;
	bool congested = is_congested(&port->down, now_ns);
	enum tow_sim_fate fate = fate_of(&port->down, now_ns, packet);

	if (congested && fate == TOW_SIM_SENT)
		packet = mark(port, packet);
	if (packet)
		carry(port, &port->down, packet, AT_PORT, fate);
}
