/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET_SETUP_H
#define NET_SETUP_H

#include <stdbool.h>
#include <stddef.h>
#include <tow/host.h>
#include "options.h"

/*
 * The options that every subcommand with a real device has, and what they do.
 *
 * With none of them a tap is made, its kernel's end gets the first address of
 * a private subnet and the stack the second, so that everything works at once:
 *
 *	kernel 10.98.N.1/24, fd98:0:0:N::1/64 <-- towN --> ::2, .2 the stack
 *
 * N is the number of the tap, or the next that no interface uses.
 */
struct net_options {
	const char *dev;
	struct option_list addrs, peers, gateways;
	bool client; /* opens connections; addresses that are learned differ */
	/* If not NULL: puts a device of the command's own around the other. */
	int (*wrap)(struct tow_dev **out, struct tow_dev *inner);
};

/* Lines for a table of options; @member is the struct net_options in @type. */
#define NET_OPTIONS(type, member)                                             \
	{ "dev",                                                              \
	  0,                                                                  \
	  OPTION_TEXT,                                                        \
	  offsetof(struct type, member.dev),                                  \
	  "SPEC",                                                             \
	  "the device: tap[:name=tow0,mtu=1500,…], shm:path=F,\n"           \
	  "pcap:file=F:SPEC, vlan:id=N:SPEC, fault:loss=1%:SPEC\n"            \
	  "(a new tap)",                                                      \
	  0,                                                                  \
	  0 },                                                                \
		{ "addr",                                                     \
		  0,                                                          \
		  OPTION_LIST,                                                \
		  offsetof(struct type, member.addrs),                        \
		  "CIDR",                                                     \
		  "an address of ours; may be repeated; dhcp: by\n"           \
		  "a DHCP server; auto: by IPv6 routers",                     \
		  0,                                                          \
		  0 },                                                        \
		{ "peer",      0,                                             \
		  OPTION_LIST, offsetof(struct type, member.peers),           \
		  "CIDR",      "an address for the kernel's end of the tap",  \
		  0,	       0 },                                           \
	{                                                                     \
		"gw", 0, OPTION_LIST, offsetof(struct type, member.gateways), \
			"IP", "send other networks' packets to IP", 0, 0      \
	}

/*
 * A command with several devices: --dev may be repeated, and an --addr, --peer
 * or --gw is about the last device in front of it, or the first if there is
 * none.
 */
struct net_lists {
	struct option_list devs, addrs, peers, gateways;
};

#define NET_LISTS(type, member, dev_help)                                     \
	{ "dev",  0,	    OPTION_LIST, offsetof(struct type, member.devs),  \
	  "SPEC", dev_help, 0,		 0 },                                 \
		{ "addr",                                                     \
		  0,                                                          \
		  OPTION_LIST,                                                \
		  offsetof(struct type, member.addrs),                        \
		  "CIDR",                                                     \
		  "an address of ours, at the device in front, or dhcp,\n"    \
		  "or auto; may be repeated",                                 \
		  0,                                                          \
		  0 },                                                        \
		{ "peer",      0,                                             \
		  OPTION_LIST, offsetof(struct type, member.peers),           \
		  "CIDR",      "an address for the kernel's end of that tap", \
		  0,	       0 },                                           \
	{                                                                     \
		"gw", 0, OPTION_LIST, offsetof(struct type, member.gateways), \
			"IP", "send other networks' packets to IP, by it", 0, \
			0                                                     \
	}

/*
 * net_lists_split() - which options are about which device
 * @out: filled, @max of them; with one device only the first
 *
 * Returns: how many devices there are, at least one; more than @max when there
 *          are too many.
 */
unsigned net_lists_split(const struct net_lists *lists, struct net_options *out,
			 unsigned max);

/*
 * The stack has a loopback of its own, where this command is alone. What to say
 * to somebody who looks there for a server of the machine.
 */
bool net_is_loopback(const struct tow_addr *addr);
#define NET_LOOPBACK_HINT                                             \
	"this command's own, and nobody else is there: this machine " \
	"is at the kernel's end of the tap, 10.98.0.1 unless "        \
	"--peer says otherwise"

/* What --dev says, or what is made without it. */
const char *net_device(const struct net_options *options);

#define NET_ADDRS_MAX OPTION_LIST_MAX

struct net_addrs {
	struct tow_addr addrs[NET_ADDRS_MAX];
	unsigned count;
};

/*
 * net_setup() - attach the device and give both ends their addresses
 * @command: for messages
 * @out:     the stack's addresses
 *
 * Returns: 0; on failure the reason was printed to stderr.
 */
int net_setup(struct tow_host *host, const struct net_options *options,
	      const char *command, struct net_addrs *out);

#endif
