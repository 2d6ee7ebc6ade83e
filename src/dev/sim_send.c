/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a frame of the stack to packets on the wire.
 *
 * Theory of operation: a frame is judged before it is sent, as strictly as
 * hardware and other stations would: its shape when the stack hands it over,
 * its bytes when the device reads them. Whoever asks for what the device did
 * not offer, or sends what nobody would accept, gets a violation counted and
 * the frame dropped. Then the spans are gathered into packets, one, or as
 * many as a large segment has to be cut into: the only time that bytes are
 * copied on their way to the wire.
 */
#include "dev/sim_private.h"

/* Judging frames. */

void port_violate(struct port *port, const char *what)
{
	port_count(port, TOW_SIM_VIOLATION);
	if (!port->stats.violation)
		port->stats.violation = what;
}

static uint32_t spans_bytes(const struct tow_buf *buf)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < buf->span_count; i++)
		bytes += buf->spans[i].len;
	return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

static uint32_t cap_for(enum tow_gso gso)
{
	switch (gso) {
	case TOW_GSO_TCP4:
		return TOW_DEV_TSO4;
	case TOW_GSO_TCP6:
		return TOW_DEV_TSO6;
	case TOW_GSO_UDP:
		return TOW_DEV_USO;
	default:
		return 0;
	}
}

/* What is wrong with the buffer as such, or NULL. */
static const char *judge_buffer(const struct port *port,
				const struct tow_buf *buf)
{
	if (buf->refs == 0)
		return "a buffer that nobody holds";
	if (buf->span_count == 0 || buf->span_count > port->dev.spans_max)
		return "more spans than the device takes";
	if (spans_bytes(buf) != buf->bytes)
		return "buf->bytes is not the sum of the spans";
	if (buf->spans[0].len < ETHERNET_BYTES)
		return "the headers are not in the first span";
	if ((buf->flags & TOW_BUF_CSUM_PARTIAL) &&
	    !(port->dev.caps & TOW_DEV_TX_CSUM))
		return "a checksum to finish, which the device cannot";
	return NULL;
}

static const char *judge_large(const struct port *port,
			       const struct tow_buf *buf)
{
	if (!(port->dev.caps & cap_for(buf->gso)))
		return "a large segment, which the device cannot cut";
	if (!(buf->flags & TOW_BUF_CSUM_PARTIAL))
		return "a large segment without TOW_BUF_CSUM_PARTIAL";
	if (buf->gso_bytes == 0 || buf->header_bytes > buf->spans[0].len)
		return "gso_bytes or header_bytes of a large segment";
	if (buf->bytes - buf->header_bytes > port->dev.gso_bytes_max)
		return "a segment larger than gso_bytes_max";
	if (buf->header_bytes - ETHERNET_BYTES + buf->gso_bytes > port->dev.mtu)
		return "gso_bytes makes packets above the MTU";
	return NULL;
}

/* Do the buffer's notes agree with what the headers say? */
static const char *judge_notes(const struct tow_buf *buf,
			       const struct shape *shape)
{
	if (!(buf->flags & TOW_BUF_CSUM_PARTIAL))
		return NULL;
	if (!shape->transport)
		return "a checksum to finish that is neither TCP nor UDP";
	if (buf->csum_start != shape->transport_at ||
	    buf->csum_offset != packet_sum_offset(shape))
		return "csum_start or csum_offset";
	if (buf->gso && buf->header_bytes != shape->payload_at)
		return "header_bytes is not where the payload begins";
	if (buf->gso && (buf->gso == TOW_GSO_TCP6) != shape->v6 &&
	    buf->gso != TOW_GSO_UDP)
		return "gso names the other address family";
	return NULL;
}

static const char *judge_packet(const struct port *port,
				const struct packet *packet,
				const struct shape *shape)
{
	if (memcmp(packet->data + 6, port->dev.mac, 6) != 0)
		return "the source MAC address is not the device's";
	if (packet->bytes > ETHERNET_BYTES + port->dev.mtu)
		return "a packet above the device's MTU";
	if (!shape->ip)
		return NULL; /* ARP */
	if (shape->end != packet->bytes)
		return "bytes behind the end of the packet";
	if (!packet_network_sum_ok(packet->data, shape))
		return "the IPv4 header's checksum is wrong";
	return NULL;
}

/* From spans to packets. */

/* Where in a frame the next bytes are read. */
struct cursor {
	const struct tow_buf *buf;
	unsigned span;
	size_t at; /* in the span */
};

static void cursor_read(struct cursor *cursor, uint8_t *out, size_t bytes)
{
	while (bytes) {
		const struct tow_span *span = &cursor->buf->spans[cursor->span];
		size_t n = MIN(bytes, span->len - cursor->at);

		if (n)
			memcpy(out, (const uint8_t *)span->ptr + cursor->at, n);
		out += n;
		bytes -= n;
		cursor->at += n;
		if (cursor->at == span->len) {
			cursor->span++;
			cursor->at = 0;
		}
	}
}

static void send_packet(struct port *port, struct packet *packet,
			const struct shape *shape)
{
	const char *wrong = judge_packet(port, packet, shape);

	if (wrong) {
		port_violate(port, wrong);
		packet_give(port->sim, packet);
		return;
	}
	packet->intact = true;
	wire_carry_up(port, packet);
}

/* Finish what the stack left open, or check what it did itself. */
static const char *finish_sum(const struct tow_buf *buf, struct packet *packet,
			      const struct shape *shape)
{
	uint16_t seed;

	if (!(buf->flags & TOW_BUF_CSUM_PARTIAL))
		return !shape->ip || packet_transport_sum_ok(packet->data,
							     shape)
			       ? NULL
			       : "a wrong transport checksum";
	memcpy(&seed, packet->data + buf->csum_start + buf->csum_offset, 2);
	packet_write_sums(packet->data, shape);
	return seed == packet_partial_sum(shape)
		       ? NULL
		       : "the checksum field lacks the pseudo header's sum";
}

/* One packet, as it is. */
static void send_whole(struct port *port, const struct tow_buf *buf)
{
	struct packet *packet = packet_take(port->sim, buf->bytes);
	struct cursor cursor = { buf, 0, 0 };
	struct shape shape;
	const char *wrong;

	if (!packet)
		return;
	cursor_read(&cursor, packet->data, buf->bytes);
	shape = packet_shape(packet->data, packet->bytes);
	wrong = judge_notes(buf, &shape);
	if (!wrong)
		wrong = finish_sum(buf, packet, &shape);
	if (!wrong) {
		send_packet(port, packet, &shape);
		return;
	}
	port_violate(port, wrong);
	packet_give(port->sim, packet);
}

static bool send_piece(struct port *port, struct cursor *cursor,
		       const uint8_t *headers, const struct shape *large,
		       unsigned piece)
{
	const struct tow_buf *buf = cursor->buf;
	uint32_t offset = piece * buf->gso_bytes;
	uint32_t left = buf->bytes - buf->header_bytes - offset;
	uint32_t bytes = MIN(left, buf->gso_bytes);
	struct packet *packet =
		packet_take(port->sim, buf->header_bytes + bytes);
	struct shape shape;

	if (!packet)
		return false;
	memcpy(packet->data, headers, buf->header_bytes);
	cursor_read(cursor, packet->data + buf->header_bytes, bytes);
	packet_write_piece(packet->data, large, packet->bytes, piece, offset,
			   bytes == left);
	shape = packet_shape(packet->data, packet->bytes);
	send_packet(port, packet, &shape);
	return bytes < left;
}

static void send_large(struct port *port, const struct tow_buf *buf)
{
	uint8_t headers[TOW_BUF_ROOM];
	struct cursor cursor = { buf, 0, 0 };
	struct shape shape;
	const char *wrong;
	unsigned piece = 0;

	cursor_read(&cursor, headers, buf->header_bytes);
	shape = packet_shape_of_headers(headers, buf->header_bytes);
	wrong = judge_notes(buf, &shape);
	if (wrong) {
		port_violate(port, wrong);
		return;
	}
	port_count(port, TOW_SIM_CUT);
	while (send_piece(port, &cursor, headers, &shape, piece))
		piece++;
}

void frame_send(struct port *port, const struct tow_buf *buf)
{
	if (buf->gso)
		send_large(port, buf);
	else
		send_whole(port, buf);
}

bool frame_acceptable(struct port *port, const struct tow_buf *buf)
{
	const char *wrong = judge_buffer(port, buf);

	if (!wrong && buf->gso)
		wrong = judge_large(port, buf);
	else if (!wrong && buf->bytes > ETHERNET_BYTES + port->dev.mtu)
		wrong = "a frame above the MTU that is not to be cut";
	if (wrong)
		port_violate(port, wrong);
	return !wrong;
}
