/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Range field, RFC 9110 14.1 and 14.2:
 *
 *	bytes=0-499, 9500-, -500
 */
#include "http_range.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char *skip_blanks(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* A number that may be beyond uint64_t, which then means "the far end". */
static bool take_number(const char **at, uint64_t *out)
{
	const char *p = *at;
	uint64_t value = 0;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (value > (UINT64_MAX - digit) / 10)
			value = UINT64_MAX;
		else
			value = value * 10 + digit;
	}
	*at = p;
	*out = value;
	return true;
}

/*
 * One part of the list. False: it is not in the RFC's syntax. A part that does
 * not exist in the file comes back with bytes == 0.
 */
static bool take_part(const char **at, uint64_t size, struct http_range *out)
{
	uint64_t first, last;

	*out = (struct http_range){ 0 };
	if (**at == '-') { /* the last n bytes */
		++*at;
		if (!take_number(at, &last))
			return false;
		out->bytes = last < size ? last : size;
		out->first = size - out->bytes;
		return true;
	}
	if (!take_number(at, &first) || **at != '-')
		return false;
	++*at;
	if (!take_number(at, &last))
		last = UINT64_MAX;
	else if (last < first)
		return false;
	if (first >= size)
		return true;
	out->first = first;
	out->bytes = (last < size ? last + 1 : size) - first;
	return true;
}

enum http_range_verdict http_ranges(const char *value, uint64_t size,
				    struct http_range *out, unsigned *count)
{
	static const char unit[] = "bytes=";
	struct http_range part;
	uint64_t total = 0;
	unsigned parts = 0;

	*count = 0;
	if (strncasecmp(value, unit, strlen(unit)) != 0)
		return RANGE_WHOLE;
	value += strlen(unit);
	for (;;) {
		value = skip_blanks(value);
		if (*value == ',') { /* an empty element, RFC 9110 5.6.1 */
			value++;
			continue;
		}
		if (*value == '\0')
			break;
		if (!take_part(&value, size, &part))
			return RANGE_WHOLE;
		value = skip_blanks(value);
		if (*value != ',' && *value != '\0')
			return RANGE_WHOLE;
		if (++parts > HTTP_RANGES_MAX)
			return RANGE_WHOLE;
		if (part.bytes == 0)
			continue;
		if (part.bytes > size - total)
			return RANGE_WHOLE;
		total += part.bytes;
		out[(*count)++] = part;
	}
	if (*count > 0)
		return RANGE_PARTS;
	return parts > 0 ? RANGE_UNSATISFIABLE : RANGE_WHOLE;
}
