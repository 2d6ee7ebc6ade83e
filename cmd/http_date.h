/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include <stdbool.h>
#include <time.h>

#define HTTP_DATE_BYTES 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and its NUL */

/* The preferred form, IMF-fixdate (RFC 9110 5.6.7). Returns @out. */
char *http_date_format(time_t when, char out[HTTP_DATE_BYTES]);

/*
 * http_date_parse() - read any of the three forms of RFC 9110 5.6.7
 * @now: a two-digit year (RFC 850) that would be more than fifty years ahead
 *       of it is meant to be in the past
 *
 * Returns: false for anything else, also for dates that no calendar has.
 */
bool http_date_parse(const char *text, time_t now, time_t *out);

#endif
