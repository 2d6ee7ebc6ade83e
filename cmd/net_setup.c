/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device and addresses: see net_setup.h.
 */
#include "net_setup.h"
#include "net_learn.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUBNETS 256 /* 10.98.0.0/24 to 10.98.255.0/24 */

static int complain(const char *command, const char *what)
{
	fprintf(stderr, "tow %s: %s\n", command, what);
	return -1;
}

/* --- whose options ----------------------------------------------------------
 */

/* The last device in front of an option. */
static unsigned device_of(const struct option_list *devs, int at)
{
	unsigned i = devs->count;

	while (i > 0 && devs->at[i - 1] > at)
		i--;
	return i > 0 ? i - 1 : 0;
}

static void split(const struct option_list *from,
		  const struct option_list *devs, unsigned device,
		  struct option_list *to)
{
	unsigned i;

	to->count = 0;
	for (i = 0; i < from->count; i++)
		if (device_of(devs, from->at[i]) == device)
			to->items[to->count++] = from->items[i];
}

unsigned net_lists_split(const struct net_lists *lists, struct net_options *out,
			 unsigned max)
{
	const struct option_list *devs = &lists->devs;
	unsigned i, count = devs->count ? devs->count : 1;

	for (i = 0; i < count && i < max; i++) {
		out[i].dev = devs->count ? devs->items[i] : NULL;
		out[i].client = false;
		split(&lists->addrs, devs, i, &out[i].addrs);
		split(&lists->peers, devs, i, &out[i].peers);
		split(&lists->gateways, devs, i, &out[i].gateways);
	}
	return count;
}

/* RFC 1122 3.2.1.3 (g), RFC 4291 2.5.3 */
bool net_is_loopback(const struct tow_addr *addr)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (tow_addr_is_v4(addr))
		return addr->b[12] == 127;
	return memcmp(addr->b, one, sizeof(one)) == 0;
}

const char *net_device(const struct net_options *options)
{
	return options->dev ? options->dev : "tap";
}

/* --- addresses --------------------------------------------------------------
 */

/* 10.98.N.x on any interface but ours means that N is taken. */
static void mark_used_subnets(bool used[SUBNETS], const char *ours)
{
	struct ifaddrs *list, *at;

	if (getifaddrs(&list) != 0)
		return;
	for (at = list; at; at = at->ifa_next) {
		const struct sockaddr_in *in = (const void *)at->ifa_addr;
		uint32_t ip;

		if (!in || in->sin_family != AF_INET ||
		    strcmp(at->ifa_name, ours) == 0)
			continue;
		ip = ntohl(in->sin_addr.s_addr);
		if (ip >> 16 == (10 << 8 | 98))
			used[ip >> 8 & 0xff] = true;
	}
	freeifaddrs(list);
}

/* The number at the end of "tow3", or the next that is free; -1: none is. */
static int choose_subnet(const char *interface)
{
	bool used[SUBNETS] = { false };
	size_t digits = strlen(interface);
	unsigned first, i;

	while (digits > 0 && interface[digits - 1] >= '0' &&
	       interface[digits - 1] <= '9')
		digits--;
	first = (unsigned)strtoul(interface + digits, NULL, 10) % SUBNETS;
	mark_used_subnets(used, interface);
	for (i = 0; i < SUBNETS; i++)
		if (!used[(first + i) % SUBNETS])
			return (int)((first + i) % SUBNETS);
	return -1;
}

/* Without its length a prefix is the address alone, and nothing beside it. */
static int check_prefix(const char *command, const char *option,
			const char *cidr)
{
	if (strchr(cidr, '/'))
		return 0;
	fprintf(stderr,
		"tow %s: %s wants the length of the prefix too, as in "
		"%.64s/%d\n",
		command, option, cidr, strchr(cidr, ':') ? 64 : 24);
	return -1;
}

static int complain_about(const char *command, const char *option,
			  const char *what)
{
	fprintf(stderr, "tow %s: %s: %s\n", command, option, what);
	return -1;
}

static int add_addr(struct tow_host *host, int link, const char *command,
		    const char *cidr, struct net_addrs *out)
{
	unsigned prefix_bits;

	if (check_prefix(command, "--addr", cidr) != 0)
		return -1;
	if (tow_host_addr(host, link, cidr) != 0)
		return complain_about(command, "--addr", tow_host_error(host));
	if (tow_cidr_parse(&out->addrs[out->count], &prefix_bits, cidr) == 0)
		out->count++;
	return 0;
}

static int add_peer(struct tow_host *host, int link, const char *command,
		    const char *cidr)
{
	if (check_prefix(command, "--peer", cidr) != 0)
		return -1;
	if (tow_host_peer(host, link, cidr) != 0)
		return complain_about(command, "--peer", tow_host_error(host));
	return 0;
}

/* Two ends of one address would never hear each other. */
static bool ends_differ(const struct net_options *o)
{
	struct tow_addr ours, peers;
	unsigned i, j, bits;

	for (i = 0; i < o->addrs.count; i++)
		for (j = 0; j < o->peers.count; j++)
			if (!tow_cidr_parse(&ours, &bits, o->addrs.items[i]) &&
			    !tow_cidr_parse(&peers, &bits, o->peers.items[j]) &&
			    tow_addr_equal(&ours, &peers))
				return false;
	return true;
}

static int set_up_defaults(struct tow_host *host, int link,
			   const char *interface, const char *command,
			   struct net_addrs *out)
{
	static const char *const forms[] = { "10.98.%d.%d/24",
					     "fd98:0:0:%x::%x/64" };
	int subnet = choose_subnet(interface);
	char ours[64], peers[64];
	unsigned i;

	if (subnet < 0)
		return complain(command, "all of 10.98.0.0/16 is in use here; "
					 "say --addr and --peer");
	for (i = 0; i < 2; i++) {
		snprintf(peers, sizeof(peers), forms[i], subnet, 1);
		snprintf(ours, sizeof(ours), forms[i], subnet, 2);
		if (add_peer(host, link, command, peers) != 0 ||
		    add_addr(host, link, command, ours, out) != 0)
			return -1;
	}
	return 0;
}

/* Words first, all of them: their waits are one. */
static int learn_addrs(struct tow_host *host, int link,
		       const struct net_options *o, const char *command,
		       struct net_addrs *out)
{
	struct net_learn learn = { false, false };
	char message[160];
	unsigned i;
	int error;

	for (i = 0; i < o->addrs.count; i++) {
		if (!net_learn_is(o->addrs.items[i]))
			continue;
		error = net_learn_start(host, link, o->addrs.items[i],
					o->client, &learn);
		if (error && error != TOW_EEXIST) {
			snprintf(message, sizeof(message), "--addr %s: %s",
				 o->addrs.items[i], tow_strerror(error));
			return complain(command, message);
		}
	}
	if (!learn.dhcp && !learn.automatic)
		return 0;
	if (net_learn_wait(host, link, &learn, command, out) != 0)
		return -1;
	if (!o->client)
		net_learn_print(host, link, command);
	return 0;
}

static int add_addrs(struct tow_host *host, int link,
		     const struct net_options *o, const char *command,
		     struct net_addrs *out)
{
	unsigned i;

	for (i = 0; i < o->addrs.count; i++)
		if (!net_learn_is(o->addrs.items[i]) &&
		    add_addr(host, link, command, o->addrs.items[i], out) != 0)
			return -1;
	return learn_addrs(host, link, o, command, out);
}

/* A device without a kernel's end: the other one says itself who it is. */
static int set_up_link(struct tow_host *host, int link,
		       const struct net_options *o, const char *command,
		       struct net_addrs *out)
{
	char message[256];

	if (o->peers.count > 0)
		snprintf(message, sizeof(message),
			 "--peer is for the kernel's end of a tap, and "
			 "%.128s has none: leave it out",
			 net_device(o));
	else if (o->addrs.count == 0)
		snprintf(message, sizeof(message),
			 "%.128s needs an --addr: there is no kernel's end "
			 "to choose one beside",
			 net_device(o));
	else
		return add_addrs(host, link, o, command, out);
	return complain(command, message);
}

static int set_up_addrs(struct tow_host *host, int link,
			const struct net_options *o, const char *command,
			struct net_addrs *out)
{
	const char *interface = tow_host_interface(host, link);
	char error[256];
	unsigned i;

	if (!interface)
		return set_up_link(host, link, o, command, out);
	if (o->addrs.count == 0 && o->peers.count == 0)
		return set_up_defaults(host, link, interface, command, out);
	if (o->addrs.count == 0)
		return complain(command, "--peer needs an --addr beside it: "
					 "an address for this end");
	if (!ends_differ(o))
		return complain(command, "--addr and --peer are the same: each "
					 "end needs an address of its own");
	if (tow_netif_up(interface, error, sizeof(error)) != 0 &&
	    o->peers.count > 0)
		return complain(command, error);
	for (i = 0; i < o->peers.count; i++)
		if (add_peer(host, link, command, o->peers.items[i]) != 0)
			return -1;
	return add_addrs(host, link, o, command, out);
}

static int add_gateway(struct tow_host *host, int link, const char *command,
		       const char *text)
{
	struct tow_addr gateway, any = tow_addr_any();
	char message[160];
	int error;

	if (tow_addr_parse(&gateway, text) != 0) {
		snprintf(message, sizeof(message),
			 "--gw wants an address, not '%.64s'", text);
		return complain(command, message);
	}
	if (tow_addr_is_v4(&gateway))
		any = tow_addr_v4(0, 0, 0, 0);
	error = tow_route_add(tow_host_stack(host), link, &any, 0, &gateway);
	if (error == 0)
		return 0;
	snprintf(message, sizeof(message), "the route by way of %.64s: %s",
		 text, tow_strerror(error));
	return complain(command, message);
}

static int attach(struct tow_host *host, const struct net_options *o,
		  const char *command)
{
	struct tow_dev *dev;
	char error[512];
	int link;

	if (tow_dev_open(&dev, net_device(o), error, sizeof(error)))
		return complain(command, error);
	if (o->wrap && o->wrap(&dev, dev) != 0)
		return complain(command, "out of memory for the device");
	link = tow_host_attach_dev(host, dev);
	return link < 0 ? complain(command, tow_host_error(host)) : link;
}

int net_setup(struct tow_host *host, const struct net_options *o,
	      const char *command, struct net_addrs *out)
{
	int link = attach(host, o, command);
	unsigned i;

	out->count = 0;
	if (link < 0)
		return -1;
	if (set_up_addrs(host, link, o, command, out) != 0)
		return -1;
	for (i = 0; i < o->gateways.count; i++)
		if (add_gateway(host, link, command, o->gateways.items[i]))
			return -1;
	return 0;
}
