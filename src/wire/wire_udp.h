/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_UDP_H
#define WIRE_UDP_H

/*
 * The UDP header (RFC 768).
 */
#include "wire/wire.h"

#define UDP_BYTES	8
#define UDP_CSUM_OFFSET 6
#define UDP_PAYLOAD_MAX 65507 /* IPv4: 65535 less both headers */

struct wire_udp {
	uint8_t src_port[2];
	uint8_t dst_port[2];
	uint8_t length[2]; /* bytes, with this header */
	uint8_t checksum[2];
};
_Static_assert(sizeof(struct wire_udp) == UDP_BYTES, "no padding");

static inline void udp_build(struct wire_udp *udp, uint16_t src_port,
			     uint16_t dst_port, uint32_t length)
{
	wire_put16(udp->src_port, src_port);
	wire_put16(udp->dst_port, dst_port);
	wire_put16(udp->length, length);
	wire_put16(udp->checksum, 0);
}

#endif
