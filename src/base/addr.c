/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses as text, both ways.
 *
 * A parser works on a piece of text [at, end) and must use all of it; pieces
 * are cut at '/', ']' and ':' by the callers. Everything that different
 * programs read differently is refused: octal-looking numbers, blanks, short
 * forms like 127.1. Texts come from configurations and from peers (Host
 * headers), so there is no limit on what they may contain.
 */
#include <tow/addr.h>
#include <tow/error.h>
#include "base/base.h"

#define V4_AT  12 /* where the IPv4 address lies in a mapped one */
#define GROUPS 8  /* of 16 bits in an IPv6 address */
#define NO_GAP SIZE_MAX

static const uint8_t mapped[V4_AT] = { [10] = 0xff, [11] = 0xff };

struct tow_addr tow_addr_any(void)
{
	return (struct tow_addr){ { 0 } };
}

struct tow_addr tow_addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct tow_addr){
		{ [10] = 0xff, [11] = 0xff, a, b, c, d },
	};
}

struct tow_addr tow_addr_v6(const uint8_t b[16])
{
	struct tow_addr addr;

	memcpy(addr.b, b, sizeof(addr.b));
	return addr;
}

bool tow_addr_is_v4(const struct tow_addr *addr)
{
	return memcmp(addr->b, mapped, sizeof(mapped)) == 0;
}

bool tow_addr_is_any(const struct tow_addr *addr)
{
	static const uint8_t zero[16];

	if (tow_addr_is_v4(addr))
		return memcmp(addr->b + V4_AT, zero, 4) == 0;
	return memcmp(addr->b, zero, sizeof(zero)) == 0;
}

bool tow_addr_equal(const struct tow_addr *a, const struct tow_addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* Link-local unicast, or multicast of interface or link scope (RFC 4291 2). */
static bool has_zone(const struct tow_addr *addr)
{
	if (addr->b[0] == 0xff)
		return (addr->b[1] & 0xf) == 1 || (addr->b[1] & 0xf) == 2;
	return addr->b[0] == 0xfe && (addr->b[1] & 0xc0) == 0x80;
}

static const char *end_of(const char *text)
{
	while (*text)
		text++;
	return text;
}

/* The first @c in [at, end), or @end. */
static const char *find(const char *at, const char *end, char c)
{
	while (at < end && *at != c)
		at++;
	return at;
}

/* A decimal number up to @max, without sign or leading zero. */
static bool parse_number(const char *at, const char *end, unsigned max,
			 unsigned *out)
{
	unsigned n = 0;

	if (at == end || (*at == '0' && end - at > 1))
		return false;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9')
			return false;
		n = n * 10 + (unsigned)(*at - '0');
		if (n > max)
			return false;
	}
	*out = n;
	return true;
}

/* Four numbers and three dots. */
static bool parse_v4(const char *at, const char *end, uint8_t out[4])
{
	const char *dot;
	unsigned i, n;

	for (i = 0; i < 4; i++) {
		dot = i < 3 ? find(at, end, '.') : end;
		if (!parse_number(at, dot, UINT8_MAX, &n))
			return false;
		out[i] = (uint8_t)n;
		if (i < 3 && dot == end)
			return false;
		at = dot + 1;
	}
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One to four hexadecimal digits. */
static bool parse_group(const char *at, const char *end, uint8_t out[2])
{
	unsigned n = 0;

	if (at == end || end - at > 4)
		return false;
	for (; at < end; at++) {
		if (hex_digit(*at) < 0)
			return false;
		n = n << 4 | (unsigned)hex_digit(*at);
	}
	out[0] = (uint8_t)(n >> 8);
	out[1] = (uint8_t)n;
	return true;
}

/* RFC 4291 2.2: move what stands behind the "::" to the end. */
static void fill_gap(uint8_t b[16], size_t gap, size_t used)
{
	memmove(b + 16 - (used - gap), b + gap, used - gap);
	memset(b + gap, 0, 16 - used);
}

/* RFC 4291 2.2: forms 1 (groups), 2 ("::") and 3 (IPv4 at the end). */
static bool parse_v6(const char *at, const char *end, uint8_t b[16])
{
	size_t used = 0, gap = NO_GAP;
	const char *colon;

	if (end - at >= 2 && at[0] == ':' && at[1] == ':') {
		gap = 0;
		at += 2;
	}
	while (at < end) {
		if (used == 16)
			return false;
		colon = find(at, end, ':');
		if (colon == end && used <= V4_AT &&
		    parse_v4(at, end, b + used)) {
			used += 4;
			break;
		}
		if (!parse_group(at, colon, b + used))
			return false;
		used += 2;
		if (colon == end)
			break;
		at = colon + 1;
		if (at == end)
			return false;
		if (*at == ':') {
			if (gap != NO_GAP)
				return false;
			gap = used;
			at++;
		}
	}
	if (gap == NO_GAP)
		return used == 16;
	if (used == 16)
		return false; /* "::" is one group of zeros or more */
	fill_gap(b, gap, used);
	return true;
}

static bool parse_addr(const char *at, const char *end, struct tow_addr *out)
{
	struct tow_addr addr;
	bool ok;

	if (find(at, end, ':') == end) {
		memcpy(addr.b, mapped, sizeof(mapped));
		ok = parse_v4(at, end, addr.b + V4_AT);
	} else {
		ok = parse_v6(at, end, addr.b);
	}
	if (ok)
		*out = addr;
	return ok;
}

int tow_addr_parse(struct tow_addr *out, const char *text)
{
	return parse_addr(text, end_of(text), out) ? TOW_OK : TOW_EINVAL;
}

int tow_cidr_parse(struct tow_addr *out, unsigned *prefix_bits,
		   const char *text)
{
	const char *end = end_of(text);
	const char *slash = find(text, end, '/');
	struct tow_addr addr;
	unsigned bits_max;

	if (!parse_addr(text, slash, &addr))
		return TOW_EINVAL;
	bits_max = tow_addr_is_v4(&addr) ? 32 : 128;
	if (slash == end)
		*prefix_bits = bits_max;
	else if (!parse_number(slash + 1, end, bits_max, prefix_bits))
		return TOW_EINVAL;
	*out = addr;
	return TOW_OK;
}

/* What stands between the brackets: an IPv6 address, perhaps with "%zone". */
static bool parse_bracketed(const char *at, const char *end,
			    struct tow_endpoint *out)
{
	const char *percent = find(at, end, '%');
	unsigned zone = 0;

	if (find(at, percent, ':') == percent ||
	    !parse_addr(at, percent, &out->addr))
		return false;
	if (percent < end &&
	    (!has_zone(&out->addr) ||
	     !parse_number(percent + 1, end, UINT16_MAX, &zone)))
		return false;
	out->zone = (uint16_t)zone;
	return true;
}

int tow_endpoint_parse(struct tow_endpoint *out, const char *text)
{
	const char *end = end_of(text);
	struct tow_endpoint endpoint = { .zone = 0 };
	const char *colon, *bracket;
	unsigned port;

	if (*text == '[') {
		bracket = find(text, end, ']');
		if (!parse_bracketed(text + 1, bracket, &endpoint))
			return TOW_EINVAL;
		colon = bracket < end ? bracket + 1 : end;
	} else {
		colon = find(text, end, ':');
		if (!parse_addr(text, colon, &endpoint.addr))
			return TOW_EINVAL;
	}
	if (*colon != ':' || !parse_number(colon + 1, end, UINT16_MAX, &port))
		return TOW_EINVAL;
	endpoint.port = (uint16_t)port;
	*out = endpoint;
	return TOW_OK;
}

/* Text under construction: what does not fit is cut off. */
struct text {
	char *out;
	size_t size, used;
};

static void put(struct text *t, char c)
{
	if (t->used + 1 < t->size)
		t->out[t->used++] = c;
}

static char *finish(struct text *t)
{
	if (t->size > 0)
		t->out[t->used] = '\0';
	return t->out;
}

static void put_number(struct text *t, unsigned n)
{
	if (n >= 10)
		put_number(t, n / 10);
	put(t, (char)('0' + n % 10));
}

static void put_hex(struct text *t, unsigned n)
{
	if (n >= 16)
		put_hex(t, n / 16);
	put(t, "0123456789abcdef"[n % 16]);
}

static void put_v4(struct text *t, const uint8_t b[4])
{
	unsigned i;

	for (i = 0; i < 4; i++) {
		if (i > 0)
			put(t, '.');
		put_number(t, b[i]);
	}
}

static unsigned group(const uint8_t b[16], unsigned i)
{
	return (unsigned)b[2 * i] << 8 | b[2 * i + 1];
}

static unsigned zeros_from(const uint8_t b[16], unsigned i)
{
	unsigned n = 0;

	while (i + n < GROUPS && group(b, i + n) == 0)
		n++;
	return n;
}

/* RFC 5952 4.2: the longest run of zeros, the first of equals, never one. */
static unsigned longest_zeros(const uint8_t b[16], unsigned *start)
{
	unsigned i, n, longest = 1;

	*start = GROUPS;
	for (i = 0; i < GROUPS; i += n + 1) {
		n = zeros_from(b, i);
		if (n > longest) {
			longest = n;
			*start = i;
		}
	}
	return longest;
}

static void put_v6(struct text *t, const uint8_t b[16])
{
	unsigned start, i;
	unsigned zeros = longest_zeros(b, &start);

	for (i = 0; i < GROUPS; i++) {
		if (i == start) {
			put(t, ':');
			put(t, ':');
			i += zeros - 1;
			continue;
		}
		if (i > 0 && i != start + zeros)
			put(t, ':');
		put_hex(t, group(b, i));
	}
}

static void put_addr(struct text *t, const struct tow_addr *addr)
{
	if (tow_addr_is_v4(addr))
		put_v4(t, addr->b + V4_AT);
	else
		put_v6(t, addr->b);
}

char *tow_addr_format(const struct tow_addr *addr, char *out, size_t size)
{
	struct text t = { out, size, 0 };

	put_addr(&t, addr);
	return finish(&t);
}

char *tow_endpoint_format(const struct tow_endpoint *endpoint, char *out,
			  size_t size)
{
	struct text t = { out, size, 0 };
	bool brackets = !tow_addr_is_v4(&endpoint->addr);

	if (brackets)
		put(&t, '[');
	put_addr(&t, &endpoint->addr);
	if (endpoint->zone != 0) {
		put(&t, '%');
		put_number(&t, endpoint->zone);
	}
	if (brackets)
		put(&t, ']');
	put(&t, ':');
	put_number(&t, endpoint->port);
	return finish(&t);
}
