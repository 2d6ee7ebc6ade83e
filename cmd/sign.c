/* SPDX-License-Identifier: BSD-2-Clause */
#include "sign.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "cmd.h"

static int complain(const char *command, const char *option, const char *why)
{
	fprintf(stderr, "tow %s: --tcp-md5 %s: %s\n", command, option, why);
	return EXIT_FAILED;
}

/* The first line; NULL, or what is wrong. */
static const char *read_secret(struct tow_auth_key *key, uint8_t *secret,
			       const char *path)
{
	char line[TOW_AUTH_SECRET_MAX + 2];
	FILE *file = fopen(path, "re");
	const char *why = NULL;

	if (!file)
		return strerror(errno);
	if (!fgets(line, sizeof(line), file))
		why = "there is no key in it";
	fclose(file);
	if (why)
		return why;
	key->secret_bytes = strcspn(line, "\n");
	if (key->secret_bytes == 0)
		why = "its first line, the key, is empty";
	else if (key->secret_bytes > TOW_AUTH_SECRET_MAX)
		why = "its first line, the key, is too long";
	else
		memcpy(secret, line, key->secret_bytes);
	key->secret = secret;
	explicit_bzero(line, sizeof(line));
	return why;
}

static const char *read_key(struct sign *sign, const char *option)
{
	struct tow_auth_key *key = &sign->keys[sign->count];
	const char *equals = strchr(option, '=');
	char peer[64];

	if (!equals || (size_t)(equals - option) >= sizeof(peer))
		return "it is IP=FILE, or IP/BITS=FILE";
	snprintf(peer, sizeof(peer), "%.*s", (int)(equals - option), option);
	*key = (struct tow_auth_key){ .algorithm = TOW_AUTH_MD5 };
	if (tow_cidr_parse(&key->peer, &key->prefix_bits, peer) != 0)
		return "this is no address";
	return read_secret(key, sign->secrets[sign->count++], equals + 1);
}

int sign_open(struct sign *sign, const struct option_list *md5,
	      const char *command)
{
	unsigned i;
	int error;

	*sign = (struct sign){ .count = 0 };
	if (md5->count == 0)
		return EXIT_OK;
	for (i = 0; i < md5->count; i++) {
		const char *why = read_key(sign, md5->items[i]);

		if (why)
			return complain(command, md5->items[i], why);
	}
	error = tow_host_crypto_open(&sign->crypto);
	if (error)
		return complain(command, md5->items[0], tow_strerror(error));
	return EXIT_OK;
}

const struct tow_crypto *sign_crypto(const struct sign *sign)
{
	return sign->count ? &sign->crypto : NULL;
}

int sign_listener(const struct sign *sign, struct tow_listener *listener)
{
	unsigned i;
	int error = 0;

	for (i = 0; i < sign->count && !error; i++)
		error = tow_listener_key_add(listener, &sign->keys[i]);
	return error;
}

static bool is_for(const struct tow_auth_key *key, const struct tow_addr *addr)
{
	unsigned v4 = tow_addr_is_v4(&key->peer) ? 96 : 0;
	unsigned i, bits = key->prefix_bits + v4;

	for (i = 0; i < bits; i++)
		if ((key->peer.b[i / 8] ^ addr->b[i / 8]) & 0x80 >> i % 8)
			return false;
	return true;
}

/* The most particular key of its peer. */
int sign_connection(const struct sign *sign, struct tow_tcp *tcp)
{
	const struct tow_addr remote = tow_tcp_remote(tcp).addr;
	const struct tow_auth_key *best = NULL;
	unsigned i;

	for (i = 0; i < sign->count; i++) {
		const struct tow_auth_key *key = &sign->keys[i];

		if (is_for(key, &remote) &&
		    (!best || key->prefix_bits > best->prefix_bits))
			best = key;
	}
	return best ? tow_tcp_key_add(tcp, best) : 0;
}

void sign_close(struct sign *sign)
{
	tow_host_crypto_close(&sign->crypto);
	explicit_bzero(sign->secrets, sizeof(sign->secrets));
}
