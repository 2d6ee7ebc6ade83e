/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HTTP_LISTING_H
#define HTTP_LISTING_H

#include <stddef.h>
#include "directory.h"
#include "text.h"

/*
 * http_listing() - append a directory as a page for people
 * @path: as in struct http_target: "." or "a/b"
 * @left_out: entries that exist but are not in the list
 */
void http_listing(struct text *out, const char *path,
		  const struct dir_entry *entries, size_t count,
		  size_t left_out);

#endif
