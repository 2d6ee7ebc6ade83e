/* SPDX-License-Identifier: BSD-2-Clause */
#include "sign.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cmd.h"

static int complain(const char *command, const char *option, const char *why)
{
	fprintf(stderr, "tow %s: --tcp-md5 %s: %s\n", command, option, why);
	return EXIT_FAILED;
}

/* The first line of @text. NULL, or what is wrong. */
static const char *take_secret(struct tow_auth_key *key, uint8_t *secret,
			       const uint8_t *text, size_t bytes)
{
	const uint8_t *end = memchr(text, '\n', bytes);
	size_t length = end ? (size_t)(end - text) : bytes;

	if (bytes == 0)
		return "there is no key in it";
	if (length == 0)
		return "its first line, the key, is empty";
	if (length > TOW_AUTH_SECRET_MAX)
		return "its first line, the key, is too long";
	if (memchr(text, '\0', length) || memchr(text, '\r', length))
		return "its first line, the key, has a NUL or CR in it";
	memcpy(secret, text, length);
	key->secret = secret;
	key->secret_bytes = length;
	return NULL;
}

/*
 * Who can read the key can sign, and who can write it chooses it. A warning is
 * all: a file may be shared by a group on purpose, or mounted as it is.
 */
static void warn_if_open(int fd, const char *path, const char *command)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    !(st.st_mode & (S_IRWXG | S_IRWXO)))
		return;
	fprintf(stderr,
		"tow %s: warning: others may have the key in %s, mode %04o: "
		"chmod 600 %s\n",
		command, path, (unsigned)st.st_mode & 07777, path);
}

/* Not by stdio, which would leave the key in its buffer. */
static const char *read_secret(struct tow_auth_key *key, uint8_t *secret,
			       const char *path, const char *command)
{
	uint8_t text[TOW_AUTH_SECRET_MAX + 2];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *why = NULL;
	size_t bytes = 0;
	ssize_t n;

	if (fd < 0)
		return strerror(errno);
	warn_if_open(fd, path, command);
	do {
		n = read(fd, text + bytes, sizeof(text) - bytes);
		bytes += n > 0 ? (size_t)n : 0;
	} while (n > 0 && bytes < sizeof(text));
	if (n < 0)
		why = strerror(errno);
	else
		why = take_secret(key, secret, text, bytes);
	close(fd);
	explicit_bzero(text, sizeof(text));
	return why;
}

/* Of the 128, also for IPv4. */
static unsigned bits_of(const struct tow_auth_key *key)
{
	return key->prefix_bits + (tow_addr_is_v4(&key->peer) ? 96 : 0);
}

static bool is_for(const struct tow_auth_key *key, const struct tow_addr *addr)
{
	unsigned i;

	for (i = 0; i < bits_of(key); i++)
		if ((key->peer.b[i / 8] ^ addr->b[i / 8]) & 0x80 >> i % 8)
			return false;
	return true;
}

static bool has_key_for(const struct sign *sign, const struct tow_auth_key *key)
{
	unsigned i;

	for (i = 0; i < sign->count; i++)
		if (bits_of(&sign->keys[i]) == bits_of(key) &&
		    is_for(key, &sign->keys[i].peer))
			return true;
	return false;
}

static const char *read_key(struct sign *sign, const char *option,
			    const char *command)
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
	if (has_key_for(sign, key))
		return "there is a key for it already";
	return read_secret(key, sign->secrets[sign->count++], equals + 1,
			   command);
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
		const char *why = read_key(sign, md5->items[i], command);

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

/* The most particular key of its peer. */
int sign_connection(const struct sign *sign, struct tow_tcp *tcp)
{
	const struct tow_addr remote = tow_tcp_remote(tcp).addr;
	const struct tow_auth_key *best = NULL;
	unsigned i;

	for (i = 0; i < sign->count; i++) {
		const struct tow_auth_key *key = &sign->keys[i];

		if (is_for(key, &remote) &&
		    (!best || bits_of(key) > bits_of(best)))
			best = key;
	}
	return best ? tow_tcp_key_add(tcp, best) : 0;
}

void sign_close(struct sign *sign)
{
	tow_host_crypto_close(&sign->crypto);
	explicit_bzero(sign->secrets, sizeof(sign->secrets));
}
