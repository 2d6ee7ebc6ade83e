/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_LEARN_H
#define NET_LEARN_H

#include <stdbool.h>
#include <tow/host.h>
#include "net_setup.h"

/*
 * --addr dhcp and --addr auto: addresses that somebody else hands out.
 *
 *	net_learn_start   a word instead of an address was said
 *	net_learn_wait    until there is an address for each, or time is over
 *	net_learn_stop    what was leased is given back
 */
struct net_learn {
	bool dhcp, automatic;
};

/* Is it one of the two words? */
bool net_learn_is(const char *text);

/*
 * net_learn_start() - begin to learn an address
 * @client: this end opens connections: RFC 8981's addresses are for it
 *
 * Returns: 0, or TOW_E*.
 */
int net_learn_start(struct tow_host *host, int link, const char *text,
		    bool client, struct net_learn *learn);

/*
 * net_learn_wait() - wait for the addresses, and append them to @out
 *
 * Returns: 0; on failure the reason was printed to stderr.
 */
int net_learn_wait(struct tow_host *host, int link,
		   const struct net_learn *learn, const char *command,
		   struct net_addrs *out);

/* The servers of names that came with the addresses, to stderr. */
void net_learn_print(struct tow_host *host, int link, const char *command);

/* Of all links, when the command ends. */
void net_learn_stop(struct tow_host *host);

#endif
