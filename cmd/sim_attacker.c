/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A blind attacker on the wire.
 *
 * Theory of operation: it knows who talks to whom, addresses and ports, but
 * sees no packet, so that sequence numbers, acknowledgements and timestamps
 * are guesses. It forges segments with every mix of flags, with and without
 * payload, and ICMP errors that quote segments; all with right checksums. No
 * stream may break or get a wrong byte by it (RFC 5961, RFC 5927): hitting a
 * window of 256 KiB by chance, in both numbers at once, takes about 2^28
 * segments. Handshakes are left alone: a forged SYN that meets one of ours
 * looks like a simultaneous open; and so are ends in TIME-WAIT, which every
 * second SYN may take over (RFC 6191). RFC 9293 has no defence against either.
 */
#include <string.h>
#include "sim_world.h"
#include "dev/sim_private.h"

#define GAP_US_MAX     2000 /* between forged packets */
#define PAYLOAD_MAX    200
#define FRAME_MAX      512
#define FLAG_SYN       0x02
#define TCP_BYTES      20u
#define ICMP_BYTES     8u
#define QUOTED_BYTES   8u /* of the transport header, enough for an error */
#define IPV4_BYTES     20u
#define IPV6_BYTES     40u
#define PROTOCOL_TCP   6
#define PROTOCOL_ICMP  1
#define PROTOCOL_ICMP6 58

static void put16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void put_random(struct dice *dice, uint8_t *p, unsigned bytes)
{
	while (bytes--)
		*p++ = (uint8_t)dice_throw(dice);
}

/* A packet that @from seems to send to @to. */
struct forgery {
	struct dice *dice;
	const struct end *from, *to;
	struct tow_endpoint source, target;
	bool v6;
	uint8_t frame[FRAME_MAX];
	uint32_t bytes;
};

static uint32_t ip_bytes(const struct forgery *forgery)
{
	return forgery->v6 ? IPV6_BYTES : IPV4_BYTES;
}

static uint8_t *write_ip(const struct forgery *forgery, uint8_t *ip,
			 const struct tow_addr *src, const struct tow_addr *dst,
			 uint8_t protocol, uint32_t payload)
{
	memset(ip, 0, ip_bytes(forgery));
	if (forgery->v6) {
		ip[0] = 0x60;
		put16(ip + 4, payload);
		ip[6] = protocol;
		ip[7] = 64;
		memcpy(ip + 8, src->b, 16);
		memcpy(ip + 24, dst->b, 16);
		return ip + IPV6_BYTES;
	}
	ip[0] = 0x45;
	put16(ip + 2, IPV4_BYTES + payload);
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, src->b + 12, 4);
	memcpy(ip + 16, dst->b + 12, 4);
	return ip + IPV4_BYTES;
}

static void write_ethernet(struct forgery *forgery)
{
	memcpy(forgery->frame, forgery->to->node->dev->mac, 6);
	memcpy(forgery->frame + 6, forgery->from->node->dev->mac, 6);
	put16(forgery->frame + 12, forgery->v6 ? 0x86dd : 0x0800);
}

static void write_ports(uint8_t *tcp, const struct tow_endpoint *source,
			const struct tow_endpoint *target)
{
	put16(tcp, source->port);
	put16(tcp + 2, target->port);
}

/* All flags but for URG, which is nothing; numbers and options at random. */
static void forge_segment(struct forgery *forgery)
{
	struct dice *dice = forgery->dice;
	uint32_t options = (uint32_t)dice_up_to(dice, 5) * 4;
	uint32_t payload = dice_hit(dice, 500000)
				   ? (uint32_t)dice_up_to(dice, PAYLOAD_MAX)
				   : 0;
	uint8_t *tcp = write_ip(forgery, forgery->frame + ETHERNET_BYTES,
				&forgery->source.addr, &forgery->target.addr,
				PROTOCOL_TCP, TCP_BYTES + options + payload);

	put_random(dice, tcp, TCP_BYTES + options + payload);
	write_ports(tcp, &forgery->source, &forgery->target);
	tcp[12] = (uint8_t)((TCP_BYTES + options) / 4 << 4);
	tcp[13] &= 0x1f;
	if (forgery->from->done || forgery->to->done)
		tcp[13] &= (uint8_t)~FLAG_SYN;
	forgery->bytes = (uint32_t)(tcp - forgery->frame) + TCP_BYTES +
			 options + payload;
}

/* Unreachable, too big, time exceeded: about a segment of the victim's. */
static void forge_error(struct forgery *forgery)
{
	static const uint8_t errors4[][2] = { { 3, 0 }, { 3, 1 }, { 3, 2 },
					      { 3, 3 }, { 3, 4 }, { 11, 0 } };
	static const uint8_t errors6[][2] = { { 1, 0 }, { 1, 1 }, { 1, 3 },
					      { 1, 4 }, { 2, 0 }, { 3, 0 } };
	uint64_t which = dice_up_to(forgery->dice, LENGTH(errors4) - 1);
	uint32_t quoted = ip_bytes(forgery) + TCP_BYTES;
	uint8_t *icmp = write_ip(forgery, forgery->frame + ETHERNET_BYTES,
				 &forgery->source.addr, &forgery->target.addr,
				 forgery->v6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP,
				 ICMP_BYTES + quoted);
	uint8_t *tcp;

	memset(icmp, 0, ICMP_BYTES);
	memcpy(icmp, forgery->v6 ? errors6[which] : errors4[which], 2);
	put16(icmp + 6, (uint32_t)dice_up_to(forgery->dice, 1500));
	tcp = write_ip(forgery, icmp + ICMP_BYTES, &forgery->target.addr,
		       &forgery->source.addr, PROTOCOL_TCP, TCP_BYTES);
	put_random(forgery->dice, tcp, TCP_BYTES);
	write_ports(tcp, &forgery->target, &forgery->source);
	tcp[12] = 0x50;
	forgery->bytes = (uint32_t)(tcp - forgery->frame) + TCP_BYTES;
}

static bool choose_victim(struct world *world, struct forgery *forgery)
{
	struct flow *flow =
		&world->flows[dice_up_to(&world->dice, world->flow_count - 1)];
	bool to_server = dice_hit(&world->dice, 500000);

	forgery->dice = &world->dice;
	forgery->from = to_server ? &flow->a : &flow->b;
	forgery->to = to_server ? &flow->b : &flow->a;
	forgery->source = to_server ? flow->client : flow->server;
	forgery->target = to_server ? flow->server : flow->client;
	forgery->v6 = flow->family;
	return flow->a.connected && flow->b.connected &&
	       forgery->from->node != forgery->to->node;
}

/* Packets come from a port that is not the victim's: it is a switch. */
static void attack(struct world *world)
{
	struct forgery forgery;
	struct shape shape;

	if (!choose_victim(world, &forgery))
		return;
	write_ethernet(&forgery);
	if (dice_hit(&world->dice, 200000))
		forge_error(&forgery);
	else
		forge_segment(&forgery);
	shape = packet_shape(forgery.frame, forgery.bytes);
	packet_write_sums(forgery.frame, &shape);
	if (tow_sim_inject(forgery.from->node->dev, forgery.frame,
			   forgery.bytes) < 0)
		world_fail(world, "no memory");
}

void attacker_act(struct world *world)
{
	if (world_now(world) < world->attack_us)
		return;
	attack(world);
	world->attack_us =
		world_now(world) + 1 + dice_up_to(&world->dice, GAP_US_MAX);
}
