/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses from a DHCP server and from routers: see net_learn.h.
 *
 * Checking an address takes its seconds (RFC 5227: four to seven), and a server
 * or a router may not be there yet, so there is patience for half a minute; a
 * signal to end ends it.
 */
#include "net_learn.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <tow/autoconf.h>
#include "base/random.h"

#define PATIENCE_US (30ll * 1000000)
#define STEP_US	    250000 /* how often signals are looked at */
#define EVENTS_MAX  16

bool net_learn_is(const char *text)
{
	return strcmp(text, "dhcp") == 0 || strcmp(text, "auto") == 0;
}

/*
 * RFC 7217 wants a secret that stays: a hash keyed by the machine's id, of the
 * interface's name, so that two programs beside each other differ. Without an
 * id it stays zero, and the stack makes one for this run.
 */
static void make_stable_key(struct tow_host *host, int link, uint8_t out[16])
{
	const char *name = tow_host_interface(host, link);
	struct sip_key id = { 0, 0 };
	char message[64];
	uint64_t hash;
	FILE *file = fopen("/etc/machine-id", "re");
	unsigned i;

	if (!file)
		return;
	if (fscanf(file, "%16lx%16lx", &id.k0, &id.k1) == 2) {
		for (i = 0; i < 2; i++) {
			snprintf(message, sizeof(message), "tow %u %.40s", i,
				 name ? name : "");
			hash = siphash24(&id, message, strlen(message));
			memcpy(out + i * sizeof(hash), &hash, sizeof(hash));
		}
	}
	fclose(file);
}

int net_learn_start(struct tow_host *host, int link, const char *text,
		    bool client, struct net_learn *learn)
{
	struct tow_autoconf_config config = { .temporary = client };
	struct tow_stack *stack = tow_host_stack(host);

	if (strcmp(text, "dhcp") == 0) {
		learn->dhcp = true;
		return tow_dhcp_start(stack, link);
	}
	learn->automatic = true;
	make_stable_key(host, link, config.stable_key);
	return tow_autoconf_start(stack, link, &config);
}

static bool is_wanted(const struct net_learn *learn,
		      const struct tow_addr_info *info)
{
	if (info->origin == TOW_ADDR_DHCP)
		return learn->dhcp;
	return learn->automatic && (info->origin == TOW_ADDR_STABLE ||
				    info->origin == TOW_ADDR_TEMPORARY);
}

struct survey {
	bool have4, have6;
	bool refused; /* somebody else has one */
	bool checking;
};

static struct survey look(struct tow_host *host, int link,
			  const struct net_learn *learn, struct net_addrs *out)
{
	struct tow_addr_info infos[NET_ADDRS_MAX];
	struct survey s = { .have4 = false };
	int i, count;

	count = tow_addr_list(tow_host_stack(host), link, infos, NET_ADDRS_MAX);
	for (i = 0; i < count && i < NET_ADDRS_MAX; i++) {
		if (!is_wanted(learn, &infos[i]))
			continue;
		s.checking |= infos[i].state == TOW_ADDR_TENTATIVE;
		s.refused |= infos[i].state == TOW_ADDR_DUPLICATE;
		if (infos[i].state != TOW_ADDR_PREFERRED)
			continue;
		if (infos[i].origin == TOW_ADDR_DHCP)
			s.have4 = true;
		else
			s.have6 = true;
		if (out && out->count < NET_ADDRS_MAX)
			out->addrs[out->count++] = infos[i].addr;
	}
	return s;
}

static int complain(const char *command, const struct net_learn *learn,
		    const struct survey *s)
{
	if (learn->dhcp && !s->have4)
		fprintf(stderr,
			"tow %s: no address by DHCP within %lld s: %s\n",
			command, PATIENCE_US / 1000000,
			s->refused || s->checking ? "what was offered is in use"
						  : "no server answered");
	if (learn->automatic && !s->have6)
		fprintf(stderr, "tow %s: no IPv6 address within %lld s: %s\n",
			command, PATIENCE_US / 1000000,
			s->refused ? "another station claims to have it"
				   : "no router advertised a prefix for one");
	return -1;
}

/* SIGUSR1 asks for statistics, and there is nothing to be counted yet. */
static bool is_told_to_end(struct tow_host *host)
{
	int number;

	do
		number = tow_host_signal(host);
	while (number == SIGUSR1);
	return number != 0;
}

/* Returns: it is over, by a signal or because the device is gone. */
static bool wait_a_little(struct tow_host *host)
{
	struct tow_event events[EVENTS_MAX];
	int i, count;

	count = tow_host_wait(host, events, EVENTS_MAX, STEP_US);
	for (i = 0; i < count; i++)
		if (events[i].type == TOW_EVENT_DEVICE)
			return true;
	return is_told_to_end(host);
}

int net_learn_wait(struct tow_host *host, int link,
		   const struct net_learn *learn, const char *command,
		   struct net_addrs *out)
{
	uint64_t until_us = tow_host_clock_us() + PATIENCE_US;
	struct survey s;

	for (;;) {
		s = look(host, link, learn, NULL);
		if (s.have4 >= learn->dhcp && s.have6 >= learn->automatic)
			break;
		if (tow_host_clock_us() >= until_us)
			return complain(command, learn, &s);
		if (wait_a_little(host)) {
			fprintf(stderr,
				"tow %s: ended before there was an "
				"address\n",
				command);
			return -1;
		}
	}
	look(host, link, learn, out);
	return 0;
}

static void print_server(struct tow_host *host, int link,
			 const struct tow_dns_server *server)
{
	static const struct tow_addr link_local = { { 0xfe, 0x80 } };
	const char *interface = tow_host_interface(host, link);
	char text[TOW_ADDR_TEXT_MAX];

	fprintf(stderr, " %s",
		tow_addr_format(&server->addr, text, sizeof(text)));
	if (interface && memcmp(&server->addr, &link_local, 8) == 0)
		fprintf(stderr, "%%%s", interface); /* RFC 4007 11 */
}

void net_learn_print(struct tow_host *host, int link, const char *command)
{
	struct tow_dns_server servers[TOW_DHCP_DNS_MAX + TOW_DNS_MAX];
	struct tow_dns_domain domains[TOW_DNS_MAX];
	struct tow_stack *stack = tow_host_stack(host);
	int i, server_count, domain_count;

	server_count = tow_dns_servers(stack, link, servers,
				       TOW_DHCP_DNS_MAX + TOW_DNS_MAX);
	domain_count = tow_dns_domains(stack, link, domains, TOW_DNS_MAX);
	if (server_count > 0)
		fprintf(stderr, "tow %s: DNS servers here:", command);
	for (i = 0; i < server_count; i++)
		print_server(host, link, &servers[i]);
	if (server_count > 0)
		fputc('\n', stderr);
	if (domain_count > 0)
		fprintf(stderr, "tow %s: DNS domains here:", command);
	for (i = 0; i < domain_count; i++)
		fprintf(stderr, " %s", domains[i].name);
	if (domain_count > 0)
		fputc('\n', stderr);
}

void net_learn_stop(struct tow_host *host)
{
	struct tow_stack *stack = tow_host_stack(host);
	struct tow_dhcp_info info;
	int link;

	for (link = 0; tow_dhcp_info(stack, link, &info) == 0; link++)
		tow_dhcp_stop(stack, link);
}
