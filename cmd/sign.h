/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SIGN_H
#define SIGN_H

#include <tow/auth.h>
#include <tow/host.h>
#include <tow/tcp.h>
#include "options.h"

/*
 * Keys of the command line, and who signs by them: --tcp-md5 PEER=FILE. The key
 * is what stands in the first line of FILE; PEER is an address or a network.
 */
struct sign {
	struct tow_crypto crypto;
	struct tow_auth_key keys[OPTION_LIST_MAX];
	uint8_t secrets[OPTION_LIST_MAX][TOW_AUTH_SECRET_MAX];
	unsigned count;
};

#define SIGN_OPTION(type, member)                                              \
	{                                                                      \
		"tcp-md5", 0, OPTION_LIST, offsetof(struct type, member),      \
			"IP=FILE",                                             \
			"sign what is sent to IP, or a network, by TCP MD5,\n" \
			"with the key in FILE; take no other TCP from there",  \
			0, 0                                                   \
	}

/*
 * sign_open() - read the keys, and warn of files that others may read or write
 * @command: for messages
 *
 * Returns: an exit status; on failure the reason was printed to stderr.
 */
int sign_open(struct sign *sign, const struct option_list *md5,
	      const char *command);

/* NULL where there are no keys: for tow_config.crypto. */
const struct tow_crypto *sign_crypto(const struct sign *sign);

/* Both return 0, or what the stack says. */
int sign_listener(const struct sign *sign, struct tow_listener *listener);
int sign_connection(const struct sign *sign, struct tow_tcp *tcp);

/* After the stack. */
void sign_close(struct sign *sign);

#endif
