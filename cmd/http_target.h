/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include "text.h"

/*
 * Request target: from what a client wrote to the name of a file.
 *
 *	/a/./b%20c//x/../?q=1      ->  "a/b c", directory
 *	http://host/a              ->  "a"
 *	/                          ->  ".", directory
 *
 * The result never begins with a slash, has no empty, "." or ".." part, no NUL
 * and no slash that came out of a %2F. That is the lexical half of staying
 * inside the served directory; the other half is the kernel's, when the file
 * is opened with RESOLVE_BENEATH.
 */
#define HTTP_PATH_MAX 4096 /* with its NUL, as PATH_MAX */

struct http_target {
	char path[HTTP_PATH_MAX];
	size_t length;
	bool directory; /* the client wrote a slash at the end */
};

/*
 * http_target_parse() - read a request target in origin or absolute form
 * @raw: @bytes of it, not terminated
 *
 * Returns: 0, or the status to answer with: 400 (malformed, climbs above the
 *          root), 404 (no file can have that name), 414 (too long).
 */
int http_target_parse(const char *raw, size_t bytes, struct http_target *out);

/* Append "/a/b%20c/" for a path as above: fit for Location and href. */
void http_escape_path(struct text *out, const char *path, bool directory);

/* Append one name with all but RFC 3986's unreserved bytes as %XX. */
void http_escape_name(struct text *out, const char *name);

/* Append with & < > " ' as character references. */
void http_escape_html(struct text *out, const char *string);

#endif
