/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets of the simulator: the bytes on the wire.
 *
 * Theory of operation: a packet is a linear frame in memory of the simulator,
 * counted, because a switch and a wire that duplicates carry one packet along
 * several ways. Packets of ordinary size are kept for the next taker.
 *
 * What a network card does to frames is done here: it finishes checksums,
 * cuts large segments and merges small ones. Headers are read and written with
 * code of its own rather than that of src/wire: a mistake there would otherwise
 * be made twice, and the simulator would agree with it.
 */
#include <stdlib.h>
#include "base/csum.h"
#include "dev/sim_private.h"

#define SMALL_BYTES 1536u /* an Ethernet frame of the usual size */

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define IPV6_BYTES     40u
#define TCP	       6
#define UDP	       17
#define ICMP	       1
#define ICMP6	       58
#define TCP_FLAGS_AT   13u
#define ICMP_BYTES     8u
#define ICMP4_QUOTE    548u  /* of the packet in question: RFC 1812 4.3.2.3 */
#define ICMP6_QUOTE    1232u /* so that 1280 are not exceeded: RFC 4443 3.2 */

/* Memory of packets. */

static struct packet *packet_new(uint32_t room)
{
	struct packet *packet = malloc(sizeof(*packet) + room);

	if (packet)
		packet->room = room;
	return packet;
}

static struct packet **free_list(struct tow_sim *sim, uint32_t bytes)
{
	return bytes <= SMALL_BYTES ? &sim->free_small : &sim->free_large;
}

/* NULL when the system has no memory; large packets all have the same room. */
struct packet *packet_take(struct tow_sim *sim, uint32_t bytes)
{
	struct packet **list = free_list(sim, bytes);
	struct packet *packet = *list;

	if (packet)
		*list = packet->next;
	else
		packet = packet_new(bytes <= SMALL_BYTES ? SMALL_BYTES
							 : PACKET_BYTES_MAX);
	if (!packet)
		return NULL;
	packet->next = NULL;
	packet->refs = 1;
	packet->bytes = bytes;
	packet->intact = false;
	return packet;
}

struct packet *packet_ref(struct packet *packet)
{
	packet->refs++;
	return packet;
}

struct packet *packet_copy(struct tow_sim *sim, const struct packet *packet)
{
	struct packet *copy = packet_take(sim, packet->bytes);

	if (!copy)
		return NULL;
	memcpy(copy->data, packet->data, packet->bytes);
	copy->intact = packet->intact;
	return copy;
}

struct packet *packet_own(struct tow_sim *sim, struct packet *packet)
{
	struct packet *copy;

	if (packet->refs == 1)
		return packet;
	copy = packet_copy(sim, packet);
	packet_give(sim, packet);
	return copy;
}

void packet_give(struct tow_sim *sim, struct packet *packet)
{
	struct packet **list;

	if (--packet->refs)
		return;
	list = free_list(sim, packet->room);
	packet->next = *list;
	*list = packet;
}

void packets_free(struct packet *list)
{
	while (list) {
		struct packet *next = list->next;

		free(list);
		list = next;
	}
}

static bool queue_grow(struct packet_queue *queue)
{
	uint32_t room = queue->room ? queue->room * 2 : 16;
	struct packet **grown = malloc(room * sizeof(struct packet *));

	if (!grown)
		return false;
	for (uint32_t i = 0; i < queue->count; i++)
		grown[i] = queue->slots[(queue->first + i) & (queue->room - 1)];
	free(queue->slots);
	*queue = (struct packet_queue){ grown, 0, queue->count, room };
	return true;
}

bool queue_append(struct packet_queue *queue, struct packet *packet)
{
	uint32_t at;

	if (queue->count == queue->room && !queue_grow(queue))
		return false;
	at = (queue->first + queue->count++) & (queue->room - 1);
	queue->slots[at] = packet;
	return true;
}

struct packet *queue_first(const struct packet_queue *queue)
{
	return queue->count ? queue->slots[queue->first] : NULL;
}

struct packet *queue_take(struct packet_queue *queue)
{
	struct packet *packet = queue_first(queue);

	if (!packet)
		return NULL;
	queue->first = (queue->first + 1) & (queue->room - 1);
	queue->count--;
	return packet;
}

/* Shapes. */

static bool shape_ipv4(struct shape *shape, const uint8_t *ip, uint32_t bytes)
{
	uint32_t header = (ip[0] & 15) * 4u;
	uint32_t total;

	if (bytes < 20 || ip[0] >> 4 != 4 || header < 20 || header > bytes)
		return false;
	total = packet_get16(ip + 2);
	if (total < header || total > bytes || (packet_get16(ip + 6) & 0x3fff))
		return false;
	shape->protocol = ip[9];
	shape->transport_at = ETHERNET_BYTES + header;
	shape->end = ETHERNET_BYTES + total;
	shape->src = tow_addr_v4(ip[12], ip[13], ip[14], ip[15]);
	shape->dst = tow_addr_v4(ip[16], ip[17], ip[18], ip[19]);
	return true;
}

/* Hop-by-hop, routing and destination options have the same first bytes. */
static bool is_extension(uint8_t next_header)
{
	return next_header == 0 || next_header == 43 || next_header == 60;
}

static bool shape_ipv6(struct shape *shape, const uint8_t *ip, uint32_t bytes)
{
	uint32_t at = IPV6_BYTES, total;
	uint8_t next;

	if (bytes < IPV6_BYTES || ip[0] >> 4 != 6)
		return false;
	total = IPV6_BYTES + packet_get16(ip + 4);
	if (total > bytes)
		return false;
	for (next = ip[6]; is_extension(next); at += (ip[at + 1] + 1u) * 8) {
		if (at + 8 > total || at + (ip[at + 1] + 1u) * 8 > total)
			return false;
		next = ip[at];
	}
	shape->v6 = true;
	shape->protocol = next;
	shape->transport_at = ETHERNET_BYTES + at;
	shape->end = ETHERNET_BYTES + total;
	shape->src = tow_addr_v6(ip + 8);
	shape->dst = tow_addr_v6(ip + 24);
	return true;
}

/* How long the transport header is; 0 when it is neither TCP nor UDP. */
static uint32_t transport_bytes(const uint8_t *transport, uint32_t bytes,
				uint8_t protocol)
{
	uint32_t header;

	if (protocol == UDP && bytes >= 8)
		return 8;
	if (protocol != TCP || bytes < 20)
		return 0;
	header = (transport[12] >> 4) * 4u;
	return header >= 20 && header <= bytes ? header : 0;
}

struct shape packet_shape(const uint8_t *frame, uint32_t bytes)
{
	const uint8_t *ip = frame + ETHERNET_BYTES;
	struct shape shape = { 0 };
	uint32_t header;
	uint16_t type;

	if (bytes < ETHERNET_BYTES + 20)
		return shape;
	type = packet_get16(frame + 12);
	if (type == ETHERTYPE_IPV4)
		shape.ip = shape_ipv4(&shape, ip, bytes - ETHERNET_BYTES);
	else if (type == ETHERTYPE_IPV6)
		shape.ip = shape_ipv6(&shape, ip, bytes - ETHERNET_BYTES);
	if (!shape.ip)
		return shape;
	header =
		transport_bytes(frame + shape.transport_at,
				shape.end - shape.transport_at, shape.protocol);
	shape.transport = header != 0;
	shape.payload_at = shape.transport_at + header;
	return shape;
}

/* Checksums. */

uint32_t packet_sum_offset(const struct shape *shape)
{
	switch (shape->protocol) {
	case TCP:
		return 16;
	case UDP:
		return 6;
	case ICMP:
	case ICMP6:
		return 2;
	default:
		return 0;
	}
}

static uint32_t pseudo_sum(const struct shape *shape)
{
	if (shape->protocol == ICMP)
		return 0;
	return csum_pseudo(&shape->src, &shape->dst, shape->protocol,
			   shape->end - shape->transport_at);
}

uint16_t packet_partial_sum(const struct shape *shape)
{
	return (uint16_t)csum_fold(pseudo_sum(shape));
}

bool packet_network_sum_ok(const uint8_t *frame, const struct shape *shape)
{
	const uint8_t *ip = frame + ETHERNET_BYTES;

	return shape->v6 ||
	       csum_finish(csum_bytes(0, ip, (ip[0] & 15) * 4u)) == 0;
}

bool packet_transport_sum_ok(const uint8_t *frame, const struct shape *shape)
{
	const uint8_t *from = frame + shape->transport_at;
	uint32_t bytes = shape->end - shape->transport_at;

	if (packet_sum_offset(shape) == 0)
		return true;
	if (bytes < packet_sum_offset(shape) + 2)
		return false;
	if (shape->protocol == UDP && !shape->v6 && packet_get16(from + 6) == 0)
		return true; /* RFC 768: the sender made none */
	if (shape->protocol == UDP && packet_get16(from + 4) != bytes)
		return false; /* not a sum that a card would vouch for */
	return csum_finish(csum_bytes(pseudo_sum(shape), from, bytes)) == 0;
}

static void write_network_sum(uint8_t *ip)
{
	uint16_t sum;

	packet_put16(ip + 10, 0);
	sum = csum_finish(csum_bytes(0, ip, (ip[0] & 15) * 4u));
	memcpy(ip + 10, &sum, sizeof(sum));
}

static void write_transport_sum(uint8_t *frame, const struct shape *shape)
{
	uint8_t *from = frame + shape->transport_at;
	uint32_t offset = packet_sum_offset(shape);
	uint16_t sum;

	packet_put16(from + offset, 0);
	sum = csum_finish(csum_bytes(pseudo_sum(shape), from,
				     shape->end - shape->transport_at));
	if (sum == 0 && shape->protocol == UDP)
		sum = 0xffff; /* RFC 768: zero means none */
	memcpy(from + offset, &sum, sizeof(sum));
}

void packet_write_sums(uint8_t *frame, const struct shape *shape)
{
	if (!shape->v6)
		write_network_sum(frame + ETHERNET_BYTES);
	if (packet_sum_offset(shape))
		write_transport_sum(frame, shape);
}

/* Cutting and merging. */

static void write_ip_length(uint8_t *frame, const struct shape *shape,
			    uint32_t bytes)
{
	uint8_t *ip = frame + ETHERNET_BYTES;

	if (shape->v6)
		packet_put16(ip + 4, bytes - ETHERNET_BYTES - IPV6_BYTES);
	else
		packet_put16(ip + 2, bytes - ETHERNET_BYTES);
}

void packet_write_length(struct packet *packet, const struct shape *shape)
{
	write_ip_length(packet->data, shape, packet->bytes);
}

/* The first piece has CWR, the last FIN and PSH, none what is not its own. */
static void write_tcp_piece(uint8_t *tcp, unsigned piece, uint32_t offset,
			    bool last)
{
	uint8_t flags = tcp[TCP_FLAGS_AT];

	packet_put32(tcp + 4, packet_get32(tcp + 4) + offset);
	if (piece > 0)
		flags &= (uint8_t)~FLAG_CWR;
	if (!last)
		flags &= (uint8_t) ~(FLAG_FIN | FLAG_PSH);
	tcp[TCP_FLAGS_AT] = flags;
}

/* The length is set to that of the headers alone; each piece sets its own. */
struct shape packet_shape_of_headers(uint8_t *headers, uint32_t bytes)
{
	struct shape shape = { 0 };

	if (bytes < ETHERNET_BYTES + 20)
		return shape;
	shape.v6 = packet_get16(headers + 12) == ETHERTYPE_IPV6;
	if (!shape.v6 || bytes >= ETHERNET_BYTES + IPV6_BYTES)
		write_ip_length(headers, &shape, bytes);
	return packet_shape(headers, bytes);
}

void packet_write_piece(uint8_t *frame, const struct shape *large,
			uint32_t bytes, unsigned piece, uint32_t offset,
			bool last)
{
	uint8_t *ip = frame + ETHERNET_BYTES;
	struct shape shape = *large;

	shape.end = bytes;
	write_ip_length(frame, &shape, bytes);
	if (!shape.v6)
		packet_put16(ip + 4, packet_get16(ip + 4) + piece);
	if (shape.protocol == TCP)
		write_tcp_piece(frame + shape.transport_at, piece, offset,
				last);
	else
		packet_put16(frame + shape.transport_at + 4,
			     bytes - shape.transport_at);
	packet_write_sums(frame, &shape);
}

uint8_t packet_tcp_flags(const uint8_t *frame, const struct shape *shape)
{
	return frame[shape->transport_at + TCP_FLAGS_AT];
}

/* Plain data: ACK, maybe PSH, and some payload. */
bool packet_is_plain_data(const uint8_t *frame, const struct shape *shape)
{
	uint8_t flags = packet_tcp_flags(frame, shape);

	return (flags & ~FLAG_PSH) == FLAG_ACK &&
	       shape->end > shape->payload_at;
}

/*
 * Same flow and same headers but for lengths, sums, identification, sequence
 * number and PSH: then nothing is lost by merging. A short packet ends the
 * merged frame, which is what @first's payload size tells.
 */
static bool same_network(const uint8_t *a, const uint8_t *b,
			 const struct shape *shape)
{
	if (memcmp(a, b, ETHERNET_BYTES + 2) != 0) /* with version and TOS */
		return false;
	if (!shape->v6 && (a[ETHERNET_BYTES + 8] != b[ETHERNET_BYTES + 8] ||
			   shape->transport_at != ETHERNET_BYTES + 20))
		return false;
	return !shape->v6 || a[ETHERNET_BYTES + 7] == b[ETHERNET_BYTES + 7];
}

static bool same_tcp(const uint8_t *a, const uint8_t *b, uint32_t header_bytes)
{
	return memcmp(a, b, 4) == 0 &&		 /* ports */
	       memcmp(a + 8, b + 8, 5) == 0 &&	 /* ACK, header length */
	       memcmp(a + 14, b + 14, 2) == 0 && /* window */
	       memcmp(a + 18, b + 18, header_bytes - 18) == 0; /* options */
}

static bool segment_follows(const struct packet *first, const struct shape *a,
			    const struct packet *next, const struct shape *b,
			    uint32_t bytes)
{
	return packet_is_plain_data(first->data, a) &&
	       packet_is_plain_data(next->data, b) &&
	       packet_get32(next->data + b->transport_at + 4) ==
		       packet_get32(first->data + a->transport_at + 4) +
			       bytes &&
	       same_tcp(first->data + a->transport_at,
			next->data + b->transport_at,
			a->payload_at - a->transport_at);
}

/* A whole datagram, neither padded nor empty. */
static bool is_plain_datagram(const uint8_t *frame, const struct shape *shape)
{
	return shape->end > shape->payload_at &&
	       packet_get16(frame + shape->transport_at + 4) ==
		       shape->end - shape->transport_at;
}

/* The next of a train; all of them have a checksum, or none has. */
static bool datagram_follows(const struct packet *first, const struct shape *a,
			     const struct packet *next, const struct shape *b)
{
	const uint8_t *ua = first->data + a->transport_at;
	const uint8_t *ub = next->data + b->transport_at;

	return is_plain_datagram(first->data, a) &&
	       is_plain_datagram(next->data, b) && memcmp(ua, ub, 4) == 0 &&
	       !packet_get16(ua + 6) == !packet_get16(ub + 6);
}

bool packet_follows(const struct packet *first, const struct shape *a,
		    const struct packet *next, const struct shape *b,
		    uint32_t bytes)
{
	uint32_t each = a->end - a->payload_at;

	if (!b->transport || a->protocol != b->protocol || a->v6 != b->v6 ||
	    a->transport_at != b->transport_at ||
	    a->payload_at != b->payload_at ||
	    !tow_addr_equal(&a->src, &b->src) ||
	    !tow_addr_equal(&a->dst, &b->dst))
		return false;
	if (b->end - b->payload_at > each || bytes % each != 0 ||
	    !same_network(first->data, next->data, a))
		return false;
	return a->protocol == TCP ? segment_follows(first, a, next, b, bytes)
				  : datagram_follows(first, a, next, b);
}

void packet_write_merged(uint8_t *headers, const struct shape *shape,
			 uint32_t payload_bytes, uint8_t last_flags)
{
	uint8_t *transport = headers + shape->transport_at;

	write_ip_length(headers, shape, shape->payload_at + payload_bytes);
	if (shape->protocol == TCP)
		transport[TCP_FLAGS_AT] |= last_flags & FLAG_PSH;
	else
		packet_put16(transport + 4, 8 + payload_bytes);
	if (!shape->v6)
		write_network_sum(headers + ETHERNET_BYTES);
}

/* Too big: RFC 1191 4, RFC 4443 3.2. The answer comes from the destination. */

static void write_ethernet(uint8_t *frame, const uint8_t *about, uint16_t type)
{
	memcpy(frame, about + 6, 6);
	memcpy(frame + 6, about, 6);
	packet_put16(frame + 12, type);
}

static void write_too_big4(uint8_t *ip, const uint8_t *about, uint32_t quote,
			   uint32_t mtu)
{
	uint8_t *icmp = ip + 20;

	memset(ip, 0, 20 + ICMP_BYTES);
	ip[0] = 0x45;
	packet_put16(ip + 2, 20 + ICMP_BYTES + quote);
	ip[8] = 64;
	ip[9] = ICMP;
	memcpy(ip + 12, about + 16, 4);
	memcpy(ip + 16, about + 12, 4);
	icmp[0] = 3;
	icmp[1] = 4;
	packet_put16(icmp + 6, mtu);
	memcpy(icmp + ICMP_BYTES, about, quote);
}

static void write_too_big6(uint8_t *ip, const uint8_t *about, uint32_t quote,
			   uint32_t mtu)
{
	uint8_t *icmp = ip + IPV6_BYTES;

	memset(ip, 0, IPV6_BYTES + ICMP_BYTES);
	ip[0] = 0x60;
	packet_put16(ip + 4, ICMP_BYTES + quote);
	ip[6] = ICMP6;
	ip[7] = 64;
	memcpy(ip + 8, about + 24, 16);
	memcpy(ip + 24, about + 8, 16);
	icmp[0] = 2;
	packet_put32(icmp + 4, mtu);
	memcpy(icmp + ICMP_BYTES, about, quote);
}

struct packet *packet_too_big(struct tow_sim *sim, const struct packet *packet,
			      uint32_t mtu)
{
	struct shape shape = packet_shape(packet->data, packet->bytes);
	const uint8_t *about = packet->data + ETHERNET_BYTES;
	uint32_t quote, header;
	struct packet *answer;

	if (!shape.transport)
		return NULL;
	header = (shape.v6 ? IPV6_BYTES : 20) + ICMP_BYTES;
	quote = MIN(shape.v6 ? ICMP6_QUOTE : ICMP4_QUOTE,
		    shape.end - ETHERNET_BYTES);
	answer = packet_take(sim, ETHERNET_BYTES + header + quote);
	if (!answer)
		return NULL;
	write_ethernet(answer->data, packet->data,
		       shape.v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
	if (shape.v6)
		write_too_big6(answer->data + ETHERNET_BYTES, about, quote,
			       mtu);
	else
		write_too_big4(answer->data + ETHERNET_BYTES, about, quote,
			       mtu);
	shape = packet_shape(answer->data, answer->bytes);
	packet_write_sums(answer->data, &shape);
	answer->intact = true;
	return answer;
}
