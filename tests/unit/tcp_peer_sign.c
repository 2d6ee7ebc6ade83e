/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signatures of the peer: RFC 2385, RFC 5925 and 5926, written once more from
 * the RFCs, around one linear message and OpenSSL's one-shot functions.
 */
#include "tcp_peer_private.h"
#include <openssl/evp.h>
#include <string.h>

static void md5(const uint8_t *message, size_t bytes, uint8_t *out)
{
	CHECK(EVP_Q_digest(NULL, "MD5", NULL, message, bytes, out, NULL));
}

static void prf(const struct signature *by, const uint8_t *key,
		size_t key_bytes, const uint8_t *message, size_t bytes,
		uint8_t *out)
{
	size_t n = 0;

	if (by->kind == SIGN_AES_CMAC)
		CHECK(EVP_Q_mac(NULL, "CMAC", NULL, "AES-128-CBC", NULL, key,
				key_bytes, message, bytes, out, 20, &n));
	else
		CHECK(EVP_Q_mac(NULL, "HMAC", NULL, "SHA1", NULL, key,
				key_bytes, message, bytes, out, 20, &n));
	CHECK_EQ(n, by->kind == SIGN_AES_CMAC ? 16u : 20u);
}

unsigned sign_option_bytes(const struct signature *by)
{
	return by->kind == SIGN_NONE ? 0 : by->kind == SIGN_MD5 ? 20 : 16;
}

unsigned sign_put_option(uint8_t *p, const struct signature *by)
{
	if (by->kind == SIGN_NONE)
		return 0;
	memset(p, 0, 20);
	if (by->kind == SIGN_MD5)
		memcpy(p, (uint8_t[]){ 1, 1, 19, 18 }, 4);
	else
		memcpy(p, (uint8_t[]){ 29, 16, by->key_id, by->next_id }, 4);
	return sign_option_bytes(by);
}

/* RFC 9293 3.1, RFC 8200 8.1 */
static size_t put_pseudo(uint8_t *p, const struct tow_addr *src,
			 const struct tow_addr *dst, bool v4, size_t bytes)
{
	size_t width = v4 ? 4 : 16;

	memcpy(p, addr_bytes(src, v4), width);
	memcpy(p + width, addr_bytes(dst, v4), width);
	if (v4) {
		put16(p + 8, 6);
		put16(p + 10, (unsigned)bytes);
		return 12;
	}
	put32(p + 32, (uint32_t)bytes);
	put32(p + 36, 6);
	return 40;
}

static uint8_t message[FRAME_MAX + 256];

static void md5_of(const struct signature *by, const struct tow_addr *src,
		   const struct tow_addr *dst, bool v4, const uint8_t *tcp,
		   size_t bytes, uint8_t *out)
{
	size_t header = (size_t)(tcp[12] >> 4) * 4;
	size_t n = put_pseudo(message, src, dst, v4, bytes);

	memcpy(message + n, tcp, 20);
	put16(message + n + 16, 0);
	n += 20;
	memcpy(message + n, tcp + header, bytes - header);
	n += bytes - header;
	memcpy(message + n, by->secret, strlen(by->secret));
	md5(message, n + strlen(by->secret), out);
}

/* RFC 5926 3.1.1 */
static void derive(const struct signature *by, const struct tow_addr *src,
		   const struct tow_addr *dst, bool v4, const uint8_t *tcp,
		   const uint32_t isn[2], uint8_t *out)
{
	bool cmac = by->kind == SIGN_AES_CMAC;
	uint8_t text[64] = { 1, 'T', 'C', 'P', '-', 'A', 'O' };
	uint8_t made[20];
	const uint8_t *secret = (const uint8_t *)by->secret;
	size_t n = 7, width = v4 ? 4 : 16, secret_bytes = strlen(by->secret);

	if (cmac && secret_bytes != 16) {
		prf(by, (uint8_t[16]){ 0 }, 16, secret, secret_bytes, made);
		secret = made;
		secret_bytes = 16;
	}
	memcpy(text + n, addr_bytes(src, v4), width);
	memcpy(text + n + width, addr_bytes(dst, v4), width);
	n += 2 * width;
	memcpy(text + n, tcp, 4);
	put32(text + n + 4, isn[0]);
	put32(text + n + 8, isn[1]);
	put16(text + n + 12, cmac ? 128 : 160);
	prf(by, secret, secret_bytes, text, n + 14, out);
}

static void ao_of(const struct signature *by, const struct tow_addr *src,
		  const struct tow_addr *dst, bool v4, const uint8_t *tcp,
		  size_t bytes, size_t option_at, const uint32_t isn[2],
		  uint32_t sne, uint8_t *out)
{
	size_t header = (size_t)(tcp[12] >> 4) * 4, n;
	uint8_t key[20];

	derive(by, src, dst, v4, tcp, isn, key);
	put32(message, sne);
	n = 4 + put_pseudo(message + 4, src, dst, v4, bytes);
	memcpy(message + n, tcp, header);
	put16(message + n + 16, 0);
	memset(message + n + option_at + 4, 0, 12);
	if (by->omit_options) {
		memmove(message + n + 20, message + n + option_at, 16);
		n += 36;
	} else {
		n += header;
	}
	memcpy(message + n, tcp + header, bytes - header);
	prf(by, key, by->kind == SIGN_AES_CMAC ? 16 : 20, message,
	    n + bytes - header, out);
}

unsigned sign(const struct signature *by, const struct tow_addr *src,
	      const struct tow_addr *dst, bool v4, const uint8_t *tcp,
	      size_t bytes, size_t option_at, const uint32_t isn[2],
	      uint32_t sne, uint8_t out[20])
{
	if (by->kind == SIGN_MD5) {
		md5_of(by, src, dst, v4, tcp, bytes, out);
		return 16;
	}
	ao_of(by, src, dst, v4, tcp, bytes, option_at, isn, sne, out);
	return 12;
}

/* Nearest to the initial number, as tests do not send 4 GiB. */
static uint32_t extension(uint32_t isn, uint32_t sequence)
{
	return (uint32_t)(((uint64_t)isn + (uint32_t)(sequence - isn)) >> 32);
}

/* Of either end's; @from: that it is the peer's. */
unsigned sign_for(const struct rig *r, const struct signature *by,
		  const struct tow_addr *src, const struct tow_addr *dst,
		  const uint8_t *tcp, size_t bytes, size_t option_at,
		  bool from_peer, uint8_t out[20])
{
	uint32_t own = from_peer ? r->peer_iss : r->our_iss;
	uint32_t other = from_peer ? r->our_iss : r->peer_iss;
	uint32_t sequence = get32(tcp + 4);
	bool first = (tcp[13] & (SYN | ACK)) == SYN;
	uint32_t isn[2] = { tcp[13] & SYN ? sequence : own, first ? 0 : other };

	return sign(by, src, dst, r->options.family == IPV4, tcp, bytes,
		    option_at, isn,
		    tcp[13] & SYN ? 0 : extension(own, sequence) + by->sne,
		    out);
}

size_t sign_find_option(const uint8_t *tcp, uint8_t kind)
{
	size_t header = (size_t)(tcp[12] >> 4) * 4, at = 20;

	while (at < header && tcp[at] != kind)
		at += tcp[at] == 1 ? 1 : tcp[at + 1];
	return at < header ? at : 0;
}
