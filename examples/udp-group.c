/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A member of multicast groups: it listens to one of each family, says who sent
 * what, and tells the group that it heard.
 *
 *	udp-group                                    tries itself
 *	udp-group tap 192.0.2.2/24 192.0.2.1/24      then, on that interface:
 *	                                   socat - udp-sendto:239.1.2.3:7777
 */
#include <string.h>
#include <tow/group.h>
#include "example.h"

#define HEARD "heard: "

static struct tow_udp *udp;

static struct tow_addr group_of(int i)
{
	static const char *const groups[] = { "239.1.2.3", "ff15::7777" };
	struct tow_addr addr;

	must(tow_addr_parse(&addr, groups[i]), "group");
	return addr;
}

/* The group is told on the interface where the datagram came from. */
static void answer(const struct tow_udp_message *heard,
		   const struct tow_span *text)
{
	struct tow_span spans[] = { { HEARD, strlen(HEARD) }, *text };
	struct tow_udp_message message = {
		.peer = { heard->local, EXAMPLE_PORT, 0 },
		.spans = spans,
		.span_count = 2,
		.with = TOW_UDP_WITH_LINK,
		.link = heard->link,
	};

	(void)!tow_udp_send(udp, &message, 1);
}

static void say(const struct tow_udp_message *from, size_t bytes)
{
	char peer[TOW_ENDPOINT_TEXT_MAX], group[TOW_ADDR_TEXT_MAX];

	printf("%s to %s, ttl %u, tos %u, interface %u: %zu bytes\n",
	       tow_endpoint_format(&from->peer, peer, sizeof(peer)),
	       tow_addr_format(&from->local, group, sizeof(group)), from->ttl,
	       from->tos, from->link, bytes);
	fflush(stdout);
}

static int talkative;

static void handle(const struct tow_event *event)
{
	struct tow_udp_message from;
	char text[1024];
	int64_t n;

	if (event->type != TOW_EVENT_READABLE)
		return;
	while ((n = tow_udp_recv(udp, text, sizeof(text), &from)) >= 0) {
		struct tow_span heard = { text, (size_t)n };

		if (talkative)
			say(&from, (size_t)n);
		if (n < (int64_t)strlen(HEARD) ||
		    memcmp(text, HEARD, strlen(HEARD)) != 0)
			answer(&from, &heard);
	}
}

static void open_on(struct tow_stack *stack)
{
	struct tow_endpoint any = { tow_addr_any(), EXAMPLE_PORT, 0 };

	must(tow_udp_open(stack, &any, &udp), "open");
	must(tow_udp_set(udp, TOW_UDP_GROUP_LOOP, 0), "loop");
	for (int i = 0; i < 2; i++) {
		struct tow_addr group = group_of(i);

		must(tow_udp_join(udp, 0, &group), "join");
	}
}

/* --- the sender that tries it, which is in the group, too ------------------
 */

static struct tow_udp *sender;
static int finished;

static void handle_sender(const struct tow_event *event)
{
	char text[64];

	if (event->type == TOW_EVENT_READABLE)
		finished = tow_udp_recv(sender, text, sizeof(text), NULL) ==
				   (int64_t)strlen(HEARD) + 5 &&
			   memcmp(text, HEARD "hello", strlen(HEARD) + 5) == 0;
}

static void try_itself(void)
{
	struct tow_endpoint any = { tow_addr_any(), EXAMPLE_PORT, 0 };
	struct tow_addr group = group_of(0);
	struct tow_span span = { "hello", 5 };
	struct tow_udp_message message = {
		.peer = { group, EXAMPLE_PORT, 0 },
		.spans = &span,
		.span_count = 1,
	};
	struct pair pair = pair_open();

	open_on(pair.server);
	must(tow_udp_open(pair.client, &any, &sender), "sender");
	must(tow_udp_join(sender, 0, &group), "join");
	must(tow_udp_set(sender, TOW_UDP_GROUP_LOOP, 0), "loop");
	must(tow_udp_send(sender, &message, 1), "send");
	pair_run(&pair, &finished, handle, handle_sender);
	tow_udp_close(udp);
	tow_udp_close(sender);
	pair_close(&pair);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		struct tow_host *host = example_host(argc, argv);

		open_on(tow_host_stack(host));
		talkative = 1;
		host_run(host, handle);
	}
	try_itself();
	return 0;
}
