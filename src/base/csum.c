/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Internet checksum (RFC 1071), in portable C.
 *
 * Ones-complement addition does not care how the bytes are grouped (RFC 1071
 * 2 (A) to (C)): words of any size may be added in the machine's own order, as
 * long as carries come back in at the bottom. Here words of 32 bits are added
 * into accumulators of 64, whose upper halves keep the carries until the end;
 * they would overflow after 2^32 words. That takes no branch and no carry
 * flag, and is an add and an add-with-carry on 32-bit machines.
 *
 * Loads go through memcpy, so no alignment is asked for.
 */
#include "base/csum.h"
#include <tow/addr.h>

static inline uint32_t load32(const uint8_t *p)
{
	uint32_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* Up to 3 bytes, as if padded with zeros to an even number. */
static inline uint32_t sum_tail(const uint8_t *p, size_t bytes)
{
	uint16_t word = 0;
	uint32_t sum = 0;

	if (bytes & 2) {
		memcpy(&word, p, 2);
		sum = word;
		p += 2;
	}
	if (bytes & 1) {
		word = 0;
		memcpy(&word, p, 1);
		sum += word;
	}
	return sum;
}

uint32_t csum_bytes(uint32_t sum, const void *data, size_t bytes)
{
	const uint8_t *p = data;
	uint64_t a = sum, b = 0;

	/* Two chains, so that one add does not wait for the other. */
	for (; bytes >= 32; bytes -= 32, p += 32) {
		a += load32(p);
		b += load32(p + 4);
		a += load32(p + 8);
		b += load32(p + 12);
		a += load32(p + 16);
		b += load32(p + 20);
		a += load32(p + 24);
		b += load32(p + 28);
	}
	for (; bytes >= 4; bytes -= 4, p += 4)
		a += load32(p);
	return csum_fold64(a + b + sum_tail(p, bytes));
}

/*
 * Laid out as in RFC 8200 8.1 for both families. The IPv4 form of RFC 9293 3.1
 * has the same sum: a mapped address brings an additional ffff, which is zero
 * in ones-complement arithmetic.
 */
uint32_t csum_pseudo(const struct tow_addr *src, const struct tow_addr *dst,
		     uint8_t protocol, uint32_t bytes)
{
	uint8_t tail[8] = { [7] = protocol };
	uint32_t sum;
	unsigned i;

	for (i = 0; i < 4; i++)
		tail[i] = (uint8_t)(bytes >> (24 - 8 * i));
	sum = csum_bytes(0, src->b, sizeof(src->b));
	sum = csum_bytes(sum, dst->b, sizeof(dst->b));
	return csum_fold(csum_bytes(sum, tail, sizeof(tail)));
}
