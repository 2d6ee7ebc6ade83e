/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_ADDR_H
#define TOW_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tow/mark.h>

/*
 * Address: an IP address of either family.
 *
 * One type for both: sixteen bytes in network order, an IPv4 address mapped
 * as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). Comparing, hashing and storing never
 * ask for the family; only the code that writes an IP header does.
 *
 *     IPv6   | 20 01 0d b8  00 00 00 00  00 00 00 00  00 00 00 01 |
 *     IPv4   | 00 00 00 00  00 00 00 00  00 00 ff ff  c0 00 02 01 |
 *     any    | all zero; bound to it, a socket takes both families |
 *
 * A mapped address never appears in an IPv6 header: such packets are dropped.
 */
struct tow_addr {
	uint8_t b[16];
};

/*
 * Endpoint: an address and a port. The zone says which interface a link-local
 * address lives on (RFC 4007): the number tow_attach() gave, plus one; 0
 * elsewhere, and 0 for "the only one that can be meant".
 */
struct tow_endpoint {
	struct tow_addr addr;
	uint16_t port; /* host order */
	uint16_t zone;
};

#define TOW_ADDR_TEXT_MAX     46 /* with the final NUL, like INET6_ADDRSTRLEN */
#define TOW_ENDPOINT_TEXT_MAX 60 /* "[addr%zone]:port" with the final NUL */

TOW_BEGIN
/* The unspecified address. */
TOW_API struct tow_addr tow_addr_any(void);

/* An IPv4 address from its four bytes: tow_addr_v4(192, 0, 2, 1). */
TOW_API struct tow_addr tow_addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);

/* An IPv6 address from its sixteen bytes. */
TOW_API struct tow_addr tow_addr_v6(const uint8_t b[16]);

TOW_API bool tow_addr_is_v4(const struct tow_addr *addr);

/* Unspecified, in either family: :: or 0.0.0.0. */
TOW_API bool tow_addr_is_any(const struct tow_addr *addr);
TOW_API bool tow_addr_equal(const struct tow_addr *a, const struct tow_addr *b);

/*
 * tow_addr_parse() - read an address as people write it
 * @text: "192.0.2.1" or "2001:db8::1" (RFC 4291 2.2), NUL-terminated
 *
 * Returns: 0, or TOW_EINVAL; leading zeros in IPv4 ("010.0.0.1") and embedded
 *          blanks are refused, because others read them differently.
 */
TOW_API int tow_addr_parse(struct tow_addr *out, const char *text) TOW_MUST_USE;

/*
 * tow_cidr_parse() - read "192.0.2.1/24" or "2001:db8::1/64"
 * @prefix_bits: 0..32 for IPv4, 0..128 for IPv6; without a slash, all bits
 */
TOW_API int tow_cidr_parse(struct tow_addr *out, unsigned *prefix_bits,
			   const char *text) TOW_MUST_USE;

/*
 * tow_endpoint_parse() - read "192.0.2.1:80" or "[2001:db8::1]:80"
 */
TOW_API int tow_endpoint_parse(struct tow_endpoint *out,
			       const char *text) TOW_MUST_USE;

/*
 * tow_addr_format(), tow_endpoint_format() - the canonical text (RFC 5952)
 * @out:  room for at least TOW_ADDR_TEXT_MAX or TOW_ENDPOINT_TEXT_MAX bytes
 *
 * Returns: @out, always terminated; cut off if @size is too small.
 */
TOW_API char *tow_addr_format(const struct tow_addr *addr, char *out,
			      size_t size);
TOW_API char *tow_endpoint_format(const struct tow_endpoint *endpoint,
				  char *out, size_t size);
TOW_END

#endif
