/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HTTP_CONDITION_H
#define HTTP_CONDITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/*
 * Conditional requests, RFC 9110 13.
 *
 * A file's validators are its Last-Modified date and a strong entity tag made
 * of inode, size and modification time in nanoseconds: another file, or the
 * same one written to, has another tag.
 */
#define HTTP_ETAG_BYTES 64 /* with quotes and NUL */

struct http_validators {
	bool exists;
	char etag[HTTP_ETAG_BYTES];
	time_t modified;
};

/* Values of request fields, NULL where the request has none. */
struct http_conditions {
	const char *if_match, *if_none_match;
	const char *if_modified_since, *if_unmodified_since;
	const char *if_range;
};

enum http_condition {
	CONDITION_HOLDS,
	CONDITION_NOT_MODIFIED, /* answer 304 */
	CONDITION_FAILED,	/* answer 412 */
};

void http_etag_format(char out[HTTP_ETAG_BYTES], uint64_t inode, uint64_t size,
		      int64_t modified_s, uint32_t modified_ns);

/*
 * http_condition() - walk RFC 9110 13.2.2 in its order
 * @reads: the method is GET or HEAD
 */
enum http_condition http_condition(const struct http_conditions *request,
				   const struct http_validators *file,
				   bool reads, time_t now);

/* Whether a Range field counts, given If-Range (RFC 9110 13.1.5). */
bool http_range_applies(const struct http_conditions *request,
			const struct http_validators *file, time_t now);

#endif
