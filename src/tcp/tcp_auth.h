/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TCP_AUTH_H
#define TCP_AUTH_H

/*
 * What signing has: keys, and a segment as a signature sees it. tcp_auth.c has
 * the keys and asks; tcp_md5.c and tcp_ao.c answer.
 */
#include "tcp/tcp_private.h"

#define AO_TRAFFIC_KEY_BYTES_MAX 20 /* of KDF_HMAC_SHA1 */
#define SIGNATURE_BYTES_MAX	 20 /* of HMAC-SHA-1, before it is cut */

/* RFC 5925 5.2: one of the keys for a direction, and what it was made for. */
struct traffic_key {
	uint32_t source_isn, destination_isn;
	bool known;
	uint8_t key[AO_TRAFFIC_KEY_BYTES_MAX];
};

/* One key, of a listener or a connection; or it is free. */
struct auth_key {
	struct auth_key *next; /* of the same owner, in the order of adding */
	struct tow_addr peer;
	uint8_t prefix_bits; /* of the 128, also for IPv4 */
	uint8_t algorithm;   /* enum tow_auth_algorithm */
	uint8_t send_id, recv_id;
	uint8_t secret_bytes;
	bool omit_options, heed_icmp;
	bool shared; /* a listener's: traffic keys differ by connection */
	struct traffic_key sends, receives;
	uint8_t secret[TOW_AUTH_SECRET_MAX];
};

/* Of a connection that is signed; each has a key at least. */
struct auth {
	union {
		struct auth_key *keys;
		struct auth *next_free;
	};
	struct auth_key *current; /* RFC 5925 6.1: current_key, rnext_key */
	struct auth_key *next;
	uint8_t peer_id, peer_next_id; /* of the last segment accepted */
};

static inline bool auth_is_md5(const struct auth_key *key)
{
	return key->algorithm == TOW_AUTH_MD5;
}

/* A segment, as a signature covers it. */
struct signed_segment {
	const struct tow_addr *source, *destination;
	const uint8_t *header; /* as on the wire, with the option in it */
	uint32_t header_bytes, option_at;
	const struct tow_buf *buf; /* its payload: */
	uint32_t skip, bytes;	   /* so many, behind those */
	/* AO: */
	uint32_t source_isn, destination_isn; /* 0: not known yet */
	uint32_t sne;
};

#define MESSAGE_SPANS (TOW_BUF_SPANS + 8)

/* Pieces that are signed one after the other. */
struct message {
	struct tow_span spans[MESSAGE_SPANS];
	int count;
	uint8_t pseudo[4 + 40]; /* SNE, and the pseudo header of IPv6 */
};

void message_add(struct message *m, const void *ptr, size_t bytes);
uint32_t message_pseudo(uint8_t *out, const struct signed_segment *s);
void message_payload(struct message *m, const struct signed_segment *s);

/* tcp_md5.c */
bool md5_digest(const struct tow_crypto *crypto, const struct auth_key *key,
		const struct signed_segment *s, uint8_t *out);

/* tcp_ao.c */
bool ao_adopt_secret(const struct tow_crypto *crypto, struct auth_key *key);
bool ao_mac(const struct tow_crypto *crypto, struct auth_key *key,
	    const struct signed_segment *s, bool sends, uint8_t *out);
void ao_numbers_sent(const struct tow_tcp *t, const struct wire_tcp *h,
		     struct signed_segment *s);
void ao_numbers_received(const struct tow_tcp *t, const struct wire_tcp *seg,
			 struct signed_segment *s);
void ao_accepted(struct tow_tcp *t, const struct wire_tcp *seg);

/* No secret is left behind: the compiler must not leave this out. */
static inline void wipe(void *memory, size_t bytes)
{
	volatile uint8_t *p = memory;

	while (bytes--)
		*p++ = 0;
}

#endif
