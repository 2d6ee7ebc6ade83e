/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_TCP_H
#define WIRE_TCP_H

/*
 * The TCP header and its options on the wire: RFC 9293 3.1 and 3.2, RFC 7323
 * 2.2 and 3.2, RFC 2018 2 and 3, RFC 7413 4.1.1, RFC 2385 3.0, RFC 5925 2.2.
 *
 *	 0  source port | destination port
 *	 4  sequence number
 *	 8  acknowledgement number
 *	12  data offset, flags | window
 *	16  checksum | urgent pointer
 *	20  options
 */
#include "base/base.h"

#define TCP_HEADER_BYTES     20
#define TCP_OPTION_BYTES_MAX 40
#define TCP_CSUM_OFFSET	     16
#define TCP_SACK_BLOCKS_MAX  4
#define TCP_COOKIE_BYTES_MIN 4	/* RFC 7413 4.1.1 */
#define TCP_COOKIE_BYTES_MAX 16 /* RFC 7413 4.1.1 */
#define TCP_ECN_FIELDS_MAX   3	/* RFC 9768 3.2.3 */

enum tcp_flag {
	TH_FIN = 1 << 0,
	TH_SYN = 1 << 1,
	TH_RST = 1 << 2,
	TH_PSH = 1 << 3,
	TH_ACK = 1 << 4,
	TH_URG = 1 << 5,
	TH_ECE = 1 << 6,
	TH_CWR = 1 << 7,
};

/* What vouches for a segment, if anything does. */
enum tcp_signature {
	SIGNATURE_NONE,
	SIGNATURE_MD5,	     /* RFC 2385 */
	SIGNATURE_AO,	     /* RFC 5925, with a MAC of 12 bytes */
	SIGNATURE_BAD,	     /* of another length than what we can do */
	SIGNATURE_MALFORMED, /* more than one, or one that cannot be */
};

#define TCP_MD5_BYTES	    16
#define TCP_AO_MAC_BYTES    12 /* RFC 5926 3.2 */
#define TCP_SIGNATURE_AT    24 /* digest or MAC in a header that we build */
#define TCP_MD5_BYTES_TAKEN 20 /* with padding */
#define TCP_AO_BYTES_TAKEN  16

/* The option of AccECN: the order of its fields. */
enum wire_ecn {
	WIRE_ECN_NONE,
	WIRE_ECN_0, /* EE0B, ECEB, EE1B */
	WIRE_ECN_1, /* EE1B, ECEB, EE0B */
};

struct wire_tcp_sack {
	uint32_t left, right; /* [left, right) */
};

struct wire_tcp {
	uint16_t source_port, destination_port;
	uint32_t sequence, acknowledgement;
	uint16_t window, urgent;
	uint8_t flags;	      /* enum tcp_flag */
	uint8_t header_bytes; /* with options, 20..60 */

	/* Options; what is not there is 0. */
	uint16_t mss;
	bool has_mss, has_window_scale, sack_permitted, has_timestamps;
	uint8_t window_scale;
	uint8_t sack_count;
	uint16_t user_timeout; /* RFC 5482, as in the option; 0: absent */
	uint32_t ts_value, ts_echo;
	struct wire_tcp_sack sacks[TCP_SACK_BLOCKS_MAX];
	bool ae;	    /* the flag in front of CWR: RFC 9768 3.1.1 */
	uint8_t ip_ecn;	    /* of the IP header in front, for who reads it */
	uint8_t ecn_option; /* enum wire_ecn */
	uint8_t ecn_fields; /* that it has */
	uint32_t ecn_bytes[TCP_ECN_FIELDS_MAX]; /* 24 bits; in its order */
	bool has_fast_open;
	bool fast_open_is_254; /* by the experimental option, not kind 34 */
	uint8_t cookie_bytes;  /* 0: it asks for one */
	uint8_t cookie[TCP_COOKIE_BYTES_MAX];
	uint8_t signature;    /* enum tcp_signature */
	uint8_t signature_at; /* read: where its option begins in the header */
	uint8_t key_id, rnext_key_id; /* RFC 5925 2.2: KeyID, RNextKeyID */
};

/*
 * Read a header of which @bytes are contiguous. Unknown options are skipped;
 * one with an impossible length ends the parsing, and what came before counts.
 *
 * Returns: false if the data offset is impossible or beyond @bytes.
 */
bool wire_tcp_parse(struct wire_tcp *out, const uint8_t *header,
		    uint32_t bytes);

/* The data offset alone: how many bytes wire_tcp_parse() needs; 0 if < 20. */
uint32_t wire_tcp_header_bytes(const uint8_t *header);

/* How many bytes the header will take, options padded to a multiple of 4. */
uint32_t wire_tcp_length(const struct wire_tcp *tcp);

/* How many of them an AccECN option with so many fields takes, padded. */
uint32_t wire_tcp_ecn_bytes(unsigned fields);

/*
 * Write the header, checksum field zero, in wire_tcp_length() bytes. Options in
 * the order signature, MSS, SACK permitted, timestamps, NOP, window scale, user
 * timeout, Fast Open, AccECN, SACK. Of a signature the digest or MAC at
 * TCP_SIGNATURE_AT is zero.
 */
void wire_tcp_build(const struct wire_tcp *tcp, uint8_t *out);

#endif
