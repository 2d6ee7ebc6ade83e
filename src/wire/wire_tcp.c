/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP header and options.
 *
 * Parsing walks the options once, with the length that the data offset gave,
 * and looks at nothing that it did not check to be inside. Each option is read
 * by a function of its own that sees its body and length only. Of several of a
 * kind the last one counts, but for signatures: there must not be several.
 */
#include "wire/wire_tcp.h"
#include "wire/wire.h"

enum option_kind {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_WINDOW_SCALE = 3,
	OPTION_SACK_PERMITTED = 4,
	OPTION_SACK = 5,
	OPTION_TIMESTAMPS = 8,
	OPTION_MD5 = 19,
	OPTION_USER_TIMEOUT = 28,
	OPTION_AO = 29,
	OPTION_FAST_OPEN = 34,
	OPTION_EXPERIMENT = 254, /* RFC 6994: an ID follows the length */
	OPTION_ACCECN_0 = 172,
	OPTION_ACCECN_1 = 174,
};

enum option_length {
	LENGTH_MSS = 4,
	LENGTH_WINDOW_SCALE = 3,
	LENGTH_SACK_PERMITTED = 2,
	LENGTH_SACK_BLOCK = 8,
	LENGTH_TIMESTAMPS = 10,
	LENGTH_MD5 = 2 + TCP_MD5_BYTES,
	LENGTH_USER_TIMEOUT = 4,
	LENGTH_AO_MIN = 4,
	LENGTH_AO = 4 + TCP_AO_MAC_BYTES,
	LENGTH_FAST_OPEN = 2,	  /* and the cookie */
	LENGTH_FAST_OPEN_254 = 4, /* and the cookie */
	LENGTH_ACCECN = 2,	  /* and its fields: */
	LENGTH_ACCECN_FIELD = 3,
};

#define WINDOW_SCALE_MAX 14	 /* RFC 7323 2.3 */
#define FAST_OPEN_ID	 0xf989u /* RFC 7413 7: as it was before kind 34 */

static void parse_sack(struct wire_tcp *out, const uint8_t *option,
		       uint8_t bytes)
{
	unsigned n = (bytes - 2u) / LENGTH_SACK_BLOCK;

	if ((bytes - 2u) % LENGTH_SACK_BLOCK || n == 0)
		return;
	out->sack_count = (uint8_t)MIN(n, TCP_SACK_BLOCKS_MAX);
	for (unsigned i = 0; i < out->sack_count; i++) {
		const uint8_t *block = option + 2 + i * LENGTH_SACK_BLOCK;

		out->sacks[i].left = wire_get32(block);
		out->sacks[i].right = wire_get32(block + 4);
	}
}

/* RFC 7413 4.1.1: a cookie of another length is as good as no option. */
static void parse_cookie(struct wire_tcp *out, const uint8_t *cookie,
			 unsigned bytes, bool is_254)
{
	if (bytes % 2 || bytes > TCP_COOKIE_BYTES_MAX ||
	    (bytes && bytes < TCP_COOKIE_BYTES_MIN))
		return;
	out->has_fast_open = true;
	out->fast_open_is_254 = is_254;
	out->cookie_bytes = (uint8_t)bytes;
	memcpy(out->cookie, cookie, bytes);
}

/* RFC 9768 3.2.3: whatever the length, as many fields as fit into it. */
static void parse_accecn(struct wire_tcp *out, const uint8_t *option,
			 uint8_t bytes)
{
	unsigned n = (bytes - LENGTH_ACCECN) / LENGTH_ACCECN_FIELD;

	out->ecn_option =
		option[0] == OPTION_ACCECN_1 ? WIRE_ECN_1 : WIRE_ECN_0;
	out->ecn_fields = (uint8_t)MIN(n, TCP_ECN_FIELDS_MAX);
	option += LENGTH_ACCECN;
	for (unsigned i = 0; i < out->ecn_fields; i++) {
		out->ecn_bytes[i] = (uint32_t)option[0] << 16 |
				    (uint32_t)option[1] << 8 | option[2];
		option += LENGTH_ACCECN_FIELD;
	}
}

/*
 * RFC 5925 2.2: more than one, or one of each kind, makes the segment invalid,
 * whoever it is for. A length that is not that of the algorithms we know is bad
 * only where there is a key.
 */
static void note_signature(struct wire_tcp *out, enum tcp_signature kind,
			   uint8_t at, bool good)
{
	if (out->signature != SIGNATURE_NONE)
		out->signature = SIGNATURE_MALFORMED;
	else
		out->signature = (uint8_t)(good ? kind : SIGNATURE_BAD);
	out->signature_at = at;
}

static void parse_ao(struct wire_tcp *out, const uint8_t *option, uint8_t at,
		     uint8_t bytes)
{
	note_signature(out, SIGNATURE_AO, at, bytes == LENGTH_AO);
	if (bytes < LENGTH_AO_MIN)
		out->signature = SIGNATURE_MALFORMED;
	if (out->signature != SIGNATURE_AO)
		return;
	out->key_id = option[2];
	out->rnext_key_id = option[3];
}

/* @at: where the option begins in the header */
static void parse_option(struct wire_tcp *out, const uint8_t *option,
			 uint8_t at, uint8_t bytes)
{
	switch (option[0]) {
	case OPTION_MSS:
		if (bytes == LENGTH_MSS && out->flags & TH_SYN) {
			out->has_mss = true;
			out->mss = wire_get16(option + 2);
		}
		break;
	case OPTION_WINDOW_SCALE:
		if (bytes == LENGTH_WINDOW_SCALE && out->flags & TH_SYN) {
			out->has_window_scale = true;
			out->window_scale = MIN(option[2], WINDOW_SCALE_MAX);
		}
		break;
	case OPTION_SACK_PERMITTED:
		if (bytes == LENGTH_SACK_PERMITTED && out->flags & TH_SYN)
			out->sack_permitted = true;
		break;
	case OPTION_SACK:
		if (!(out->flags & TH_SYN))
			parse_sack(out, option, bytes);
		break;
	case OPTION_TIMESTAMPS:
		if (bytes == LENGTH_TIMESTAMPS) {
			out->has_timestamps = true;
			out->ts_value = wire_get32(option + 2);
			out->ts_echo = wire_get32(option + 6);
		}
		break;
	case OPTION_USER_TIMEOUT:
		if (bytes == LENGTH_USER_TIMEOUT)
			out->user_timeout = wire_get16(option + 2);
		break;
	case OPTION_ACCECN_0:
	case OPTION_ACCECN_1: /* RFC 9768 3.2.3.2.1: not on a SYN */
		if ((out->flags & (TH_SYN | TH_ACK)) != TH_SYN)
			parse_accecn(out, option, bytes);
		break;
	case OPTION_FAST_OPEN:
		if (out->flags & TH_SYN)
			parse_cookie(out, option + LENGTH_FAST_OPEN,
				     bytes - LENGTH_FAST_OPEN, false);
		break;
	case OPTION_EXPERIMENT:
		if (out->flags & TH_SYN && bytes >= LENGTH_FAST_OPEN_254 &&
		    wire_get16(option + 2) == FAST_OPEN_ID)
			parse_cookie(out, option + LENGTH_FAST_OPEN_254,
				     bytes - LENGTH_FAST_OPEN_254, true);
		break;
	case OPTION_MD5:
		note_signature(out, SIGNATURE_MD5, at, bytes == LENGTH_MD5);
		break;
	case OPTION_AO:
		parse_ao(out, option, at, bytes);
		break;
	}
}

static void parse_options(struct wire_tcp *out, const uint8_t *option,
			  uint32_t left)
{
	while (left > 0 && option[0] != OPTION_END) {
		uint8_t bytes = 1;

		if (option[0] != OPTION_NOP) {
			if (left < 2 || option[1] < 2 || option[1] > left) {
				if (option[0] == OPTION_AO)
					out->signature = SIGNATURE_MALFORMED;
				return;
			}
			bytes = option[1];
			parse_option(out, option,
				     (uint8_t)(out->header_bytes - left),
				     bytes);
		}
		option += bytes;
		left -= bytes;
	}
}

uint32_t wire_tcp_header_bytes(const uint8_t *header)
{
	uint32_t bytes = (header[12] >> 4) * 4u;

	return bytes < TCP_HEADER_BYTES ? 0 : bytes;
}

bool wire_tcp_parse(struct wire_tcp *out, const uint8_t *header, uint32_t bytes)
{
	uint32_t header_bytes;

	if (bytes < TCP_HEADER_BYTES)
		return false;
	header_bytes = wire_tcp_header_bytes(header);
	if (header_bytes == 0 || header_bytes > bytes)
		return false;
	*out = (struct wire_tcp){
		.source_port = wire_get16(header),
		.destination_port = wire_get16(header + 2),
		.sequence = wire_get32(header + 4),
		.acknowledgement = wire_get32(header + 8),
		.flags = header[13],
		.ae = header[12] & 1,
		.header_bytes = (uint8_t)header_bytes,
		.window = wire_get16(header + 14),
		.urgent = wire_get16(header + 18),
	};
	parse_options(out, header + TCP_HEADER_BYTES,
		      header_bytes - TCP_HEADER_BYTES);
	return true;
}

/*
 * Timestamps alone are led by two NOPs, so that their numbers lie at multiples
 * of four (RFC 7323 appendix A); SACK permitted, two bytes long, serves as
 * well.
 */
static uint32_t timestamps_length(const struct wire_tcp *tcp)
{
	if (!tcp->has_timestamps)
		return 0;
	return LENGTH_TIMESTAMPS + (tcp->sack_permitted ? 0 : 2);
}

static uint8_t fast_open_bytes(const struct wire_tcp *tcp)
{
	return (tcp->fast_open_is_254 ? LENGTH_FAST_OPEN_254
				      : LENGTH_FAST_OPEN) +
	       tcp->cookie_bytes;
}

static uint32_t fast_open_length(const struct wire_tcp *tcp)
{
	return (fast_open_bytes(tcp) + 3u) & ~3u;
}

static uint32_t signature_length(const struct wire_tcp *tcp)
{
	if (LIKELY(tcp->signature == SIGNATURE_NONE))
		return 0;
	return tcp->signature == SIGNATURE_MD5 ? TCP_MD5_BYTES_TAKEN
					       : TCP_AO_BYTES_TAKEN;
}

uint32_t wire_tcp_ecn_bytes(unsigned fields)
{
	return (LENGTH_ACCECN + fields * LENGTH_ACCECN_FIELD + 3u) & ~3u;
}

uint32_t wire_tcp_length(const struct wire_tcp *tcp)
{
	uint32_t bytes = TCP_HEADER_BYTES + timestamps_length(tcp) +
			 signature_length(tcp);

	if (tcp->has_mss)
		bytes += LENGTH_MSS;
	if (tcp->sack_permitted)
		bytes += LENGTH_SACK_PERMITTED + (tcp->has_timestamps ? 0 : 2);
	if (tcp->has_window_scale)
		bytes += 1 + LENGTH_WINDOW_SCALE;
	if (tcp->user_timeout)
		bytes += LENGTH_USER_TIMEOUT;
	if (tcp->has_fast_open)
		bytes += fast_open_length(tcp);
	if (tcp->ecn_option)
		bytes += wire_tcp_ecn_bytes(tcp->ecn_fields);
	if (tcp->sack_count)
		bytes += 4 + tcp->sack_count * LENGTH_SACK_BLOCK;
	return bytes;
}

static uint8_t *put_nops(uint8_t *p, unsigned count)
{
	while (count--)
		*p++ = OPTION_NOP;
	return p;
}

static uint8_t *put_signature(uint8_t *p, const struct wire_tcp *tcp)
{
	uint32_t bytes = TCP_AO_MAC_BYTES;

	if (tcp->signature == SIGNATURE_MD5) {
		p = put_nops(p, 2);
		*p++ = OPTION_MD5;
		*p++ = LENGTH_MD5;
		bytes = TCP_MD5_BYTES;
	} else {
		*p++ = OPTION_AO;
		*p++ = LENGTH_AO;
		*p++ = tcp->key_id;
		*p++ = tcp->rnext_key_id;
	}
	memset(p, 0, bytes);
	return p + bytes;
}

static uint8_t *put_sack_permitted(uint8_t *p, const struct wire_tcp *tcp)
{
	if (!tcp->has_timestamps)
		p = put_nops(p, 2);
	*p++ = OPTION_SACK_PERMITTED;
	*p++ = LENGTH_SACK_PERMITTED;
	return p;
}

static uint8_t *put_timestamps(uint8_t *p, const struct wire_tcp *tcp)
{
	if (!tcp->sack_permitted)
		p = put_nops(p, 2);
	*p++ = OPTION_TIMESTAMPS;
	*p++ = LENGTH_TIMESTAMPS;
	wire_put32(p, tcp->ts_value);
	wire_put32(p + 4, tcp->ts_echo);
	return p + 8;
}

static uint8_t *put_sacks(uint8_t *p, const struct wire_tcp *tcp)
{
	p = put_nops(p, 2);
	*p++ = OPTION_SACK;
	*p++ = (uint8_t)(2 + tcp->sack_count * LENGTH_SACK_BLOCK);
	for (unsigned i = 0; i < tcp->sack_count; i++, p += LENGTH_SACK_BLOCK) {
		wire_put32(p, tcp->sacks[i].left);
		wire_put32(p + 4, tcp->sacks[i].right);
	}
	return p;
}

static uint8_t *put_accecn(uint8_t *p, const struct wire_tcp *tcp)
{
	uint32_t bytes = LENGTH_ACCECN + tcp->ecn_fields * LENGTH_ACCECN_FIELD;

	p = put_nops(p, wire_tcp_ecn_bytes(tcp->ecn_fields) - bytes);
	*p++ = tcp->ecn_option == WIRE_ECN_1 ? OPTION_ACCECN_1
					     : OPTION_ACCECN_0;
	*p++ = (uint8_t)bytes;
	for (unsigned i = 0; i < tcp->ecn_fields; i++) {
		*p++ = (uint8_t)(tcp->ecn_bytes[i] >> 16);
		*p++ = (uint8_t)(tcp->ecn_bytes[i] >> 8);
		*p++ = (uint8_t)tcp->ecn_bytes[i];
	}
	return p;
}

static uint8_t *put_fast_open(uint8_t *p, const struct wire_tcp *tcp)
{
	uint8_t bytes = fast_open_bytes(tcp);

	p[0] = tcp->fast_open_is_254 ? OPTION_EXPERIMENT : OPTION_FAST_OPEN;
	p[1] = bytes;
	if (tcp->fast_open_is_254)
		wire_put16(p + 2, FAST_OPEN_ID);
	memcpy(p + bytes - tcp->cookie_bytes, tcp->cookie, tcp->cookie_bytes);
	return put_nops(p + bytes, fast_open_length(tcp) - bytes);
}

void wire_tcp_build(const struct wire_tcp *tcp, uint8_t *out)
{
	uint32_t header_bytes = wire_tcp_length(tcp);
	uint8_t *p = out + TCP_HEADER_BYTES;

	ASSERT(header_bytes <= TCP_HEADER_BYTES + TCP_OPTION_BYTES_MAX);
	wire_put16(out, tcp->source_port);
	wire_put16(out + 2, tcp->destination_port);
	wire_put32(out + 4, tcp->sequence);
	wire_put32(out + 8, tcp->acknowledgement);
	out[12] = (uint8_t)(header_bytes / 4 << 4 | tcp->ae);
	out[13] = tcp->flags;
	wire_put16(out + 14, tcp->window);
	wire_put16(out + 16, 0);
	wire_put16(out + 18, tcp->urgent);

	if (UNLIKELY(tcp->signature != SIGNATURE_NONE))
		p = put_signature(p, tcp);
	if (tcp->has_mss) {
		*p++ = OPTION_MSS;
		*p++ = LENGTH_MSS;
		wire_put16(p, tcp->mss);
		p += 2;
	}
	if (tcp->sack_permitted)
		p = put_sack_permitted(p, tcp);
	if (tcp->has_timestamps)
		p = put_timestamps(p, tcp);
	if (tcp->has_window_scale) {
		p = put_nops(p, 1);
		*p++ = OPTION_WINDOW_SCALE;
		*p++ = LENGTH_WINDOW_SCALE;
		*p++ = tcp->window_scale;
	}
	if (tcp->user_timeout) {
		*p++ = OPTION_USER_TIMEOUT;
		*p++ = LENGTH_USER_TIMEOUT;
		wire_put16(p, tcp->user_timeout);
		p += 2;
	}
	if (tcp->has_fast_open)
		p = put_fast_open(p, tcp);
	if (tcp->ecn_option)
		p = put_accecn(p, tcp);
	if (tcp->sack_count)
		p = put_sacks(p, tcp);
	ASSERT(p == out + header_bytes);
}
