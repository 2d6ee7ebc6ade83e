/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CSUM_H
#define CSUM_H

/*
 * The Internet checksum (RFC 1071).
 *
 * A running sum is a uint32_t, the 16-bit ones-complement sum of the bytes in
 * memory order, folded to 16 bits by csum_fold(). Adding is associative, so a
 * sum over spans is made piece by piece; a piece that starts at an odd offset
 * of the whole is rotated by csum_add_odd().
 *
 *	sum = csum_bytes(0, header, n);
 *	sum = csum_add(sum, csum_pseudo(…));
 *	field = csum_finish(sum);
 */
#include "base/base.h"

struct tow_addr;

/* @sum plus the bytes' sum; @bytes may be odd, then padded with zero. */
uint32_t csum_bytes(uint32_t sum, const void *data, size_t bytes);

/*
 * The same sum over long runs: the function that is fastest on this processor.
 * Asking is slow (CPUID), so whoever sums payload asks once and keeps the
 * answer; a pool does (pool->csum). Below CSUM_SHORT bytes csum_bytes() wins.
 */
typedef uint32_t csum_run(uint32_t sum, const void *data, size_t bytes);
csum_run *csum_fastest(void);
#define CSUM_SHORT 256

/* Fold to 16 bits. */
static inline uint32_t csum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Fold 64 bits to 32; the result is a running sum. */
static inline uint32_t csum_fold64(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	return (uint32_t)(sum + (sum >> 32));
}

static inline uint32_t csum_add(uint32_t a, uint32_t b)
{
	return csum_fold(csum_fold(a) + csum_fold(b));
}

/* @piece begins at an odd offset: its bytes are in the other halves. */
static inline uint32_t csum_add_odd(uint32_t sum, uint32_t piece)
{
	piece = csum_fold(piece);
	return csum_add(sum, (piece >> 8 | piece << 8) & 0xffff);
}

/*
 * The value of the field, as it is stored in memory (no byte swap needed).
 * Over a correct packet with its field in place, the result is 0.
 */
static inline uint16_t csum_finish(uint32_t sum)
{
	return (uint16_t)~csum_fold(sum);
}

/*
 * Sum of the pseudo header of TCP, UDP and ICMPv6 (RFC 9293 3.1, RFC 8200
 * 8.1), of either family; @bytes is the length of header and payload.
 */
uint32_t csum_pseudo(const struct tow_addr *src, const struct tow_addr *dst,
		     uint8_t protocol, uint32_t bytes);

#endif
