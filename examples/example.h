/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef EXAMPLE_H
#define EXAMPLE_H

/*
 * What the examples do not want to show: where their stacks come from.
 *
 * An example that is given a device runs on it:
 *
 *	tcp-echo tap 192.0.2.2/24 192.0.2.1/24     device, ours, the kernel's
 *
 * Without arguments it tries itself: a second stack on a simulated network
 * plays the client. Errors end the program with a message.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <tow/host.h>
#include <tow/sim.h>
#include <tow/tcp.h>
#include <tow/udp.h>

#define EXAMPLE_PORT 7777

static inline void must(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, tow_strerror(result));
	exit(1);
}

static inline void must_hold(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "not so: %s\n", what);
	exit(1);
}

/* A stack on a device of this machine: argv as above. */
static inline struct tow_host *example_host(int argc, char **argv)
{
	struct tow_host *host;
	int link;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: %s [DEVICE ADDRESS [PEER]]\n", argv[0]);
		exit(2);
	}
	must(tow_host_open(&host, NULL), "memory for the stack");
	link = tow_host_attach(host, argv[1]);
	must(link, tow_host_error(host));
	must(tow_host_addr(host, link, argv[2]), tow_host_error(host));
	if (argc == 4)
		must(tow_host_peer(host, link, argv[3]), tow_host_error(host));
	return host;
}

/* Two stacks on a gigabit network, simulated, that loses a frame now and then. */
struct pair {
	struct tow_sim *sim;
	struct tow_stack *client, *server;
	void *memory[2];
};

static inline struct tow_stack *pair_stack(struct pair *p, int segment,
					   uint8_t last_byte)
{
	struct tow_addr addr = tow_addr_v4(192, 0, 2, last_byte);
	struct tow_sim_port port;
	struct tow_stack *stack;
	struct tow_config cfg;
	struct tow_dev *dev;
	size_t bytes;

	tow_config_default(&cfg);
	cfg.secret[0] =
		last_byte; /* equal runs; a real program asks for more */
	bytes = (tow_need(&cfg) + 63) & ~(size_t)63;
	p->memory[last_byte - 1] = aligned_alloc(64, bytes);
	must(tow_open(&stack, &cfg, p->memory[last_byte - 1], bytes), "stack");
	tow_sim_port_default(&port);
	port.caps |= TOW_DEV_PLACE;
	port.up.bits_per_s = 1000000000;
	port.up.delay_us = 100;
	port.up.loss_ppm = 1000;
	must(tow_sim_port_open(p->sim, segment, &port, &dev), "port");
	must(tow_attach(stack, dev), "attach");
	must(tow_addr_add(stack, 0, &addr, 24), "address");
	must(tow_sim_add(p->sim, stack), "sim");
	return stack;
}

static inline struct pair pair_open(void)
{
	struct pair p = { 0 };
	int segment;

	must(tow_sim_open(&p.sim, 1), "simulator");
	segment = tow_sim_segment(p.sim);
	must(segment, "segment");
	p.client = pair_stack(&p, segment, 1);
	p.server = pair_stack(&p, segment, 2);
	return p;
}

static inline struct tow_endpoint pair_server(void)
{
	return (struct tow_endpoint){ tow_addr_v4(192, 0, 2, 2), EXAMPLE_PORT,
				      0 };
}

static inline void pair_close(struct pair *p)
{
	tow_sim_remove(p->sim, p->client);
	tow_sim_remove(p->sim, p->server);
	tow_close(p->client);
	tow_close(p->server);
	tow_sim_close(p->sim);
	free(p->memory[0]);
	free(p->memory[1]);
}

/* Lets a handler of events run over the pair until *done, at most 60 s. */
static inline void pair_run(struct pair *p, const int *done,
			    void (*server)(const struct tow_event *),
			    void (*client)(const struct tow_event *))
{
	struct tow_event event;

	while (!*done && tow_sim_step(p->sim, 60000000)) {
		while (tow_events(p->server, &event, 1) == 1)
			server(&event);
		while (tow_events(p->client, &event, 1) == 1)
			client(&event);
	}
	must_hold(*done, "the transfer ends");
}

/*
 * Lets it run on a real device, for ever. Events are taken one by one: of
 * several taken together, a later one may be about a handle that the program
 * closed at an earlier one.
 */
static inline void host_run(struct tow_host *host,
			    void (*handle)(const struct tow_event *))
{
	struct tow_event event;

	for (;;) {
		int n = tow_host_wait(host, &event, 1, -1);

		while (n == 1) {
			must_hold(event.type != TOW_EVENT_DEVICE,
				  "the device is there");
			handle(&event);
			n = tow_events(tow_host_stack(host), &event, 1);
		}
	}
}

#endif
