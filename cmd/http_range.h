/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include <stdint.h>

/*
 * Range requests, RFC 9110 14.
 */
#define HTTP_RANGES_MAX 32

struct http_range {
	uint64_t first; /* offset of the first byte */
	uint64_t bytes; /* at least 1 */
};

enum http_range_verdict {
	RANGE_WHOLE,	     /* not for us, or nonsense: send all, 200 */
	RANGE_PARTS,	     /* send what is in the list, 206 */
	RANGE_UNSATISFIABLE, /* nothing of it exists, 416 */
};

/*
 * http_ranges() - what a Range field asks for
 * @value: of the field, NUL-terminated
 * @size:  of the file
 * @out:   room for HTTP_RANGES_MAX
 *
 * Parts that do not exist are left out. A client that asks for more than
 * HTTP_RANGES_MAX parts, or for parts that together are longer than the file,
 * gets the whole file: that serves it as well and cannot be abused
 * (RFC 9110 17.15).
 */
enum http_range_verdict http_ranges(const char *value, uint64_t size,
				    struct http_range *out, unsigned *count);

#endif
