/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TCP MD5 signature: RFC 2385 2.0. Covered are, in this order, the pseudo
 * header, the TCP header without options and with a checksum of zero, the
 * payload, and the key. There is one key, and nothing says which.
 *
 * What it does not cover, options and where in a stream of more than 4 GiB the
 * segment is, and how weak MD5 is, are the reasons for AO (tcp_ao.c).
 */
#include "tcp/tcp_auth.h"

static const uint8_t no_checksum[2];

/* Returns: false if the cryptography failed. */
bool md5_digest(const struct tow_crypto *crypto, const struct auth_key *key,
		const struct signed_segment *s, uint8_t *out)
{
	struct message m;

	m.count = 0;
	message_add(&m, m.pseudo, message_pseudo(m.pseudo, s));
	message_add(&m, s->header, TCP_CSUM_OFFSET);
	message_add(&m, no_checksum, sizeof(no_checksum));
	message_add(&m, s->header + TCP_CSUM_OFFSET + 2,
		    TCP_HEADER_BYTES - TCP_CSUM_OFFSET - 2);
	message_payload(&m, s);
	message_add(&m, key->secret, key->secret_bytes);
	return crypto->md5(crypto->context, m.spans, m.count, out);
}
