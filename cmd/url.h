/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef URL_H
#define URL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * URL: as much of RFC 3986 as a download needs.
 */
#define URL_HOST_MAX   256
#define URL_TARGET_MAX 8192

struct url {
	char host[URL_HOST_MAX]; /* without brackets */
	uint16_t port;
	bool ipv6_literal;
	char target[URL_TARGET_MAX]; /* path and query, at least "/" */
};

/*
 * url_parse() - "http://host[:port][/path][?query]"
 *
 * A fragment is dropped. Without a scheme "http://" is assumed. Blanks and
 * bytes above 127 in the target are percent-encoded.
 *
 * Returns: NULL, or a phrase that says what is wrong.
 */
const char *url_parse(const char *text, struct url *out);

/* The same for a Location, which may be relative to @base (RFC 3986 5.2). */
const char *url_resolve(const char *location, const struct url *base,
			struct url *out);

/* "host" or "[host]", ":port" if it is not 80: for the Host field. */
void url_authority(const struct url *url, char *out, unsigned size);

/*
 * url_file_name() - how to call the file that a URL names
 *
 * The last part of the path, decoded; "index.html" where there is none, or
 * where it could not be a file's name.
 */
void url_file_name(const struct url *url, char *out, unsigned size);

#endif
