/* SPDX-License-Identifier: BSD-2-Clause */
#include "tftp_packet.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NUMBER_DIGITS_MAX 19 /* more would not fit 64 bits */

unsigned tftp_opcode(const void *packet, size_t bytes)
{
	const uint8_t *p = packet;

	return bytes < 2 ? 0 : (unsigned)p[0] << 8 | p[1];
}

unsigned tftp_number(const void *packet)
{
	const uint8_t *p = packet;

	return (unsigned)p[2] << 8 | p[3];
}

/* --- requests */

/* What is left of a packet; each string in it ends with a NUL. */
struct cursor {
	const char *at;
	size_t left;
};

static const char *next_string(struct cursor *c)
{
	const char *string = c->at;
	const char *end = memchr(c->at, '\0', c->left);

	if (!end)
		return NULL;
	c->left -= (size_t)(end + 1 - c->at);
	c->at = end + 1;
	return string;
}

static bool parse_mode(const char *mode, struct tftp_request *out)
{
	out->netascii = strcasecmp(mode, "netascii") == 0;
	return out->netascii || strcasecmp(mode, "octet") == 0;
}

static bool parse_number(const char *text, uint64_t *out)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || text[digits] || digits > NUMBER_DIGITS_MAX)
		return false;
	*out = 0;
	for (; *text; text++)
		*out = *out * 10 + (uint64_t)(*text - '0');
	return true;
}

static void set_once(uint32_t *option, uint64_t value, uint64_t min,
		     uint64_t max)
{
	if (*option == 0 && value >= min && value <= max)
		*option = (uint32_t)value;
}

/* RFC 2347: what we do not know, or cannot do, is not acknowledged. */
static void parse_option(const char *name, const char *text,
			 struct tftp_request *out)
{
	uint64_t value;

	if (!parse_number(text, &value))
		return;
	if (strcasecmp(name, "blksize") == 0) {
		set_once(&out->blksize, value, TFTP_BLKSIZE_MIN,
			 TFTP_BLKSIZE_MAX);
	} else if (strcasecmp(name, "timeout") == 0) {
		set_once(&out->timeout_s, value, 1, TFTP_TIMEOUT_S_MAX);
	} else if (strcasecmp(name, "windowsize") == 0) {
		set_once(&out->windowsize, value, 1, UINT16_MAX);
	} else if (strcasecmp(name, "tsize") == 0 && !out->has_tsize) {
		out->has_tsize = true;
		out->tsize = value;
	}
}

bool tftp_request_parse(const void *packet, size_t bytes,
			struct tftp_request *out)
{
	struct cursor c = { (const char *)packet + 2, bytes - 2 };
	unsigned opcode = tftp_opcode(packet, bytes);
	const char *name, *mode, *option, *value;

	memset(out, 0, sizeof(*out));
	if (opcode != TFTP_RRQ && opcode != TFTP_WRQ)
		return false;
	out->opcode = (enum tftp_opcode)opcode;
	name = next_string(&c);
	mode = name ? next_string(&c) : NULL;
	if (!mode || !*name || strlen(name) >= TFTP_NAME_MAX ||
	    !parse_mode(mode, out))
		return false;
	strcpy(out->name, name);
	while ((option = next_string(&c)) && (value = next_string(&c)))
		parse_option(option, value, out);
	return true;
}

/* --- names */

/* Length of the part that begins here. */
static size_t part_length(const char *at)
{
	return strcspn(at, "/");
}

static bool is_dots(const char *at, size_t length, size_t dots)
{
	return length == dots && strncmp(at, "..", dots) == 0;
}

/* Cut the last part off; false if there is none. */
static bool climb(char *out, size_t *length)
{
	char *slash;

	if (*length == 0)
		return false;
	out[*length] = '\0';
	slash = strrchr(out, '/');
	*length = slash ? (size_t)(slash - out) : 0;
	return true;
}

bool tftp_path(const char *name, char out[TFTP_NAME_MAX])
{
	size_t length = 0, n;

	for (; *name; name += n + (name[n] == '/')) {
		n = part_length(name);
		if (n == 0 || is_dots(name, n, 1))
			continue;
		if (is_dots(name, n, 2)) {
			if (!climb(out, &length))
				return false;
			continue;
		}
		if (length > 0)
			out[length++] = '/';
		memcpy(out + length, name, n);
		length += n;
	}
	out[length] = '\0';
	return length > 0;
}

/* --- what we send */

void tftp_header(uint8_t out[TFTP_HEADER_BYTES], enum tftp_opcode opcode,
		 uint16_t block)
{
	out[0] = 0;
	out[1] = (uint8_t)opcode;
	out[2] = (uint8_t)(block >> 8);
	out[3] = (uint8_t)block;
}

size_t tftp_error(uint8_t *out, size_t room, enum tftp_code code,
		  const char *message)
{
	size_t length = strlen(message);

	if (length > room - TFTP_HEADER_BYTES - 1)
		length = room - TFTP_HEADER_BYTES - 1;
	tftp_header(out, TFTP_ERROR, (uint16_t)code);
	memcpy(out + TFTP_HEADER_BYTES, message, length);
	out[TFTP_HEADER_BYTES + length] = '\0';
	return TFTP_HEADER_BYTES + length + 1;
}

static void add_option(uint8_t out[TFTP_OACK_MAX], size_t *at, const char *name,
		       uint64_t value)
{
	size_t room = TFTP_OACK_MAX - *at;
	int n = snprintf((char *)out + *at, room, "%s%c%" PRIu64, name, '\0',
			 value);

	*at += (size_t)n + 1; /* the room is enough for all four */
}

size_t tftp_oack(uint8_t out[TFTP_OACK_MAX], const struct tftp_request *agreed)
{
	size_t at = 2;

	out[0] = 0;
	out[1] = TFTP_OACK;
	if (agreed->blksize)
		add_option(out, &at, "blksize", agreed->blksize);
	if (agreed->timeout_s)
		add_option(out, &at, "timeout", agreed->timeout_s);
	if (agreed->windowsize)
		add_option(out, &at, "windowsize", agreed->windowsize);
	if (agreed->has_tsize)
		add_option(out, &at, "tsize", agreed->tsize);
	return at > 2 ? at : 0;
}
