/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_H
#define WIRE_H

/*
 * Bytes on the wire. Network byte order exists only in src/wire: headers are
 * structs of bytes and byte arrays, so they have no padding and no alignment,
 * and their numbers are read and written by the functions below. Compilers
 * make one load or store and a byte swap of each.
 *
 * A checksum is not a number but two bytes in memory order, as csum_finish()
 * returns them: wire_get_sum(), wire_put_sum().
 */
#include <tow/addr.h>
#include "base/base.h"

static inline uint16_t wire_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t wire_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static inline void wire_put16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static inline void wire_put32(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 24);
	p[1] = (uint8_t)(value >> 16);
	p[2] = (uint8_t)(value >> 8);
	p[3] = (uint8_t)value;
}

static inline uint16_t wire_get_sum(const uint8_t *p)
{
	uint16_t sum;

	memcpy(&sum, p, sizeof(sum));
	return sum;
}

static inline void wire_put_sum(uint8_t *p, uint32_t sum)
{
	uint16_t folded = (uint16_t)sum;

	memcpy(p, &folded, sizeof(folded));
}

/* An IPv4 address is mapped (RFC 4291 2.5.5.2), see tow/addr.h. */
static inline struct tow_addr wire_get_addr4(const uint8_t p[4])
{
	struct tow_addr a = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, p[0],
				p[1], p[2], p[3] } };

	return a;
}

static inline void wire_put_addr4(uint8_t p[4], const struct tow_addr *a)
{
	p[0] = a->b[12];
	p[1] = a->b[13];
	p[2] = a->b[14];
	p[3] = a->b[15];
}

static inline struct tow_addr wire_get_addr6(const uint8_t p[16])
{
	struct tow_addr a;

	memcpy(a.b, p, sizeof(a.b));
	return a;
}

static inline void wire_put_addr6(uint8_t p[16], const struct tow_addr *a)
{
	memcpy(p, a->b, sizeof(a->b));
}

#endif
