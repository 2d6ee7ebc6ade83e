/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HTTP_LISTING_H
#define HTTP_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include "text.h"

/*
 * Listing: a directory as a page for people.
 */
struct listing_entry {
	char *name; /* any bytes but NUL and slash */
	bool directory;
	uint64_t size;
	time_t modified;
};

/* Directories first, then by name, numbers in names by value. */
void http_listing_sort(struct listing_entry *entries, size_t count);

/*
 * http_listing() - append the page
 * @path: as in struct http_target: "." or "a/b"
 * @left_out: entries that exist but are not in the list
 */
void http_listing(struct text *out, const char *path,
		  const struct listing_entry *entries, size_t count,
		  size_t left_out);

#endif
