/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cryptography for signed segments, by OpenSSL's libcrypto.
 *
 * Algorithms and contexts are looked up once, at open, because that takes
 * longer than to sign a segment; from then on a context is only begun anew. So
 * a struct tow_crypto belongs to one thread.
 *
 * MD5 is an algorithm of RFC 2385, not a choice; where the system's policy
 * (FIPS) has forbidden it, it is not there, and keys for it are refused.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <tow/auth.h>
#include <tow/error.h>
#include <tow/host.h>

struct engine {
	EVP_MD *md5;
	EVP_MD_CTX *md5_context;
	EVP_MAC *hmac, *cmac;
	EVP_MAC_CTX *hmac_context, *cmac_context;
};

static bool md5(void *context, const struct tow_span *spans, int count,
		uint8_t out[16])
{
	struct engine *e = context;
	EVP_MD_CTX *c = e->md5_context;

	if (!EVP_DigestInit_ex2(c, e->md5, NULL))
		return false;
	for (int i = 0; i < count; i++)
		if (!EVP_DigestUpdate(c, spans[i].ptr, spans[i].len))
			return false;
	return EVP_DigestFinal_ex(c, out, NULL);
}

static bool mac(EVP_MAC_CTX *c, const uint8_t *key, size_t key_bytes,
		const struct tow_span *spans, int count, uint8_t *out,
		size_t out_bytes)
{
	size_t n;

	if (!EVP_MAC_init(c, key, key_bytes, NULL))
		return false;
	for (int i = 0; i < count; i++)
		if (!EVP_MAC_update(c, spans[i].ptr, spans[i].len))
			return false;
	return EVP_MAC_final(c, out, &n, out_bytes) && n == out_bytes;
}

static bool hmac_sha1(void *context, const uint8_t *key, size_t key_bytes,
		      const struct tow_span *spans, int count, uint8_t out[20])
{
	struct engine *e = context;

	return mac(e->hmac_context, key, key_bytes, spans, count, out, 20);
}

static bool aes_cmac(void *context, const uint8_t key[16],
		     const struct tow_span *spans, int count, uint8_t out[16])
{
	struct engine *e = context;

	return mac(e->cmac_context, key, 16, spans, count, out, 16);
}

/* NULL where the system does not have it. */
static EVP_MAC_CTX *mac_context(EVP_MAC *mac, const char *parameter,
				char *value)
{
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(parameter,
								 value, 0),
				OSSL_PARAM_construct_end() };
	EVP_MAC_CTX *c = mac ? EVP_MAC_CTX_new(mac) : NULL;

	if (c && EVP_MAC_CTX_set_params(c, params))
		return c;
	EVP_MAC_CTX_free(c);
	return NULL;
}

int tow_host_crypto_open(struct tow_crypto *out)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return TOW_ENOMEM;
	e->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
	e->md5_context = EVP_MD_CTX_new();
	e->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	e->cmac = EVP_MAC_fetch(NULL, "CMAC", NULL);
	e->hmac_context =
		mac_context(e->hmac, OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA1" });
	e->cmac_context = mac_context(e->cmac, OSSL_MAC_PARAM_CIPHER,
				      (char[]){ "AES-128-CBC" });
	*out = (struct tow_crypto){
		.context = e,
		.md5 = e->md5 && e->md5_context ? md5 : NULL,
		.hmac_sha1 = e->hmac_context ? hmac_sha1 : NULL,
		.aes_cmac = e->cmac_context ? aes_cmac : NULL,
	};
	if (out->md5 || out->hmac_sha1 || out->aes_cmac)
		return 0;
	tow_host_crypto_close(out);
	return TOW_EOPNOTSUPP;
}

void tow_host_crypto_close(struct tow_crypto *crypto)
{
	struct engine *e = crypto->context;

	if (!e)
		return;
	EVP_MD_CTX_free(e->md5_context);
	EVP_MAC_CTX_free(e->hmac_context);
	EVP_MAC_CTX_free(e->cmac_context);
	EVP_MD_free(e->md5);
	EVP_MAC_free(e->hmac);
	EVP_MAC_free(e->cmac);
	free(e);
	*crypto = (struct tow_crypto){ 0 };
}
