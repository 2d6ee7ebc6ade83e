/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tow relay: TCP or UDP from one side to the other, without a copy.
 *
 * Theory of operation. One thread runs the stack and everything that is
 * relayed. Received buffers go out again from where they are; the stack's
 * memory is what holds bytes that the far side has not acknowledged yet, and
 * when that is much, the near side's window closes.
 *
 *	         --dev                          --dev, the second
 *	clients <-----> link 0 [ stack ] link 1 <-----> targets
 *
 * The loop is node.h's. What drains is TCP: no new connections, those under way
 * may end within RELAY_DRAIN_US.
 */
#include "relay.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cmd.h"
#include "host/workers.h"
#include "node.h"

#define NETS_MAX  2
#define SECOND_US 1000000u

struct relay_options {
	struct net_lists nets;
	struct relay_settings settings;
	uint64_t connect_timeout_s, idle_timeout_s;
	const char *stats;
	bool quiet;
};

static const struct option option_table[] = {
	NET_LISTS(relay_options, nets,
		  "the device, as for `tow serve` (a new tap); a second\n"
		  "one is for the side of the targets"),
	{ "udp", 'u', OPTION_FLAG, offsetof(struct relay_options, settings.udp),
	  NULL, "relay datagrams", 0, 0 },
	{ "copy", 0, OPTION_FLAG, offsetof(struct relay_options, settings.copy),
	  NULL, "receive and send instead of passing on: to compare", 0, 0 },
	{ "max-connections", 0, OPTION_NUMBER,
	  offsetof(struct relay_options, settings.connections_max), "N",
	  "relay for at most N clients at a time (1024)", 1, 100000 },
	{ "connect-timeout", 0, OPTION_NUMBER,
	  offsetof(struct relay_options, connect_timeout_s), "S",
	  "try the next target after S seconds (5)", 1, 300 },
	{ "idle-timeout", 0, OPTION_NUMBER,
	  offsetof(struct relay_options, idle_timeout_s), "S",
	  "end what is still for S seconds (600, with --udp\n"
	  "60); 0 is never",
	  0, 1000000 },
	{ "stats", 0, OPTION_TEXT, offsetof(struct relay_options, stats),
	  "FILE", "write statistics at exit and on SIGUSR1", 0, 0 },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct relay_options, quiet),
	  NULL, "print no log", 0, 0 },
};

static const struct grammar grammar = {
	.command = "relay",
	.arguments = "LISTEN TARGET...",
	.arguments_min = 2,
	.arguments_max = 1 + RELAY_TARGETS_MAX,
	.purpose = "Relays connections to LISTEN, a port or an address and a "
		   "port, to the TARGETs,\nwhich take turns. Bytes go out from "
		   "where they arrived, without a copy.",
	.notes =
		"A target that can't be connected to rests for a while. "
		"An --addr,\n--peer or --gw is about "
		"the --dev in front of it. Without --addr and --peer the\n"
		"kernel's end of a tap gets 10.98.N.1 and fd98:0:0:N::1, and "
		"the relay the .2 and\n::2 beside them.\n\nSIGTERM and SIGINT end the relay after what "
		"is under way; SIGUSR1 writes the\nstatistics.",
	OPTIONS_OF(option_table),
};

/* Everything that lives as long as the command. */
struct command {
	struct relay_options options;
	struct relay relay;
	struct node node;
	struct net_options nets[NETS_MAX]; /* of clients, of targets */
	unsigned net_count;
	struct net_addrs addrs; /* of the side of the clients */
};

static struct command *command_of(const struct node *node)
{
	return CONTAINER(node, struct command, node);
}

static struct relay *relay_of(const struct node *node)
{
	return &command_of(node)->relay;
}

/* --- log and statistics -----------------------------------------------------
 */

void relay_log(struct relay *relay, const char *client,
	       const struct target *target, const uint64_t bytes[2],
	       uint64_t since_us, const char *end)
{
	char line[TOW_ENDPOINT_TEXT_MAX + 128];
	uint64_t us = relay->now_us - since_us;

	if (!relay->log)
		return;
	snprintf(line, sizeof(line),
		 "%s %" PRIu64 " %" PRIu64 " %" PRIu64 ".%03" PRIu64 " %s",
		 target ? target->text : "-", bytes[0], bytes[1],
		 us / SECOND_US, us % SECOND_US / 1000, end);
	access_log_say(relay->log, relay->now, client, line);
}

static void add_targets(struct text *out, const struct relay *relay)
{
	unsigned i;

	text_add(out, "\"targets\": {");
	for (i = 0; i < relay->target_count; i++) {
		const struct target *target = &relay->targets[i];

		text_printf(out,
			    "%s\"%s\": {\"chosen\": %" PRIu64
			    ", \"failed\": %" PRIu64 "}",
			    i ? ", " : "", target->text, target->chosen,
			    target->failed);
	}
	text_add(out, "}");
}

static void add_counts(const struct node *node, struct text *out)
{
	const struct relay *relay = relay_of(node);
	const struct relay_totals *n = &relay->totals;

	text_printf(out,
		    "\"relay\": {\"accepted\": %" PRIu64
		    ", \"refused\": %" PRIu64 ", \"done\": %" PRIu64
		    ", \"reset\": %" PRIu64 ", \"idle\": %" PRIu64
		    ", \"live\": %u, \"to_target_bytes\": %" PRIu64
		    ", \"to_client_bytes\": %" PRIu64
		    ", \"dropped_datagrams\": %" PRIu64 ", ",
		    n->accepted, n->refused, n->done, n->reset, n->idle,
		    relay->live_count, n->to_target_bytes, n->to_client_bytes,
		    n->dropped_datagrams);
	add_targets(out, relay);
	text_add(out, "}");
}

/* --- setting up -------------------------------------------------------------
 */

static int parse_listen(struct relay *relay, const char *text)
{
	static const char any[] = "[::]:";
	char whole[sizeof(any) + 8];

	if (strlen(text) < 8 && strspn(text, "0123456789") == strlen(text)) {
		snprintf(whole, sizeof(whole), "%s%s", any, text);
		text = whole;
	}
	if (tow_endpoint_parse(&relay->listen, text) == 0 &&
	    relay->listen.port != 0)
		return 0;
	fprintf(stderr,
		"tow relay: LISTEN is a port, or an address of ours and a "
		"port, as in 8080 or 192.0.2.1:8080, not '%s'\n",
		text == whole ? text + strlen(any) : text);
	return -1;
}

/* Returns: false when a complaint was printed. */
static bool parse_arguments(struct command *c,
			    const struct option_list *arguments)
{
	unsigned i;

	if (parse_listen(&c->relay, arguments->items[0]) != 0)
		return false;
	for (i = 1; i < arguments->count; i++)
		if (target_parse(&c->relay, arguments->items[i]) != 0)
			return false;
	c->net_count = net_lists_split(&c->options.nets, c->nets, NETS_MAX);
	if (c->net_count > NETS_MAX)
		fputs("tow relay: --dev is given twice at most: for the side "
		      "of the clients, and for that of the targets\n",
		      stderr);
	return c->net_count <= NETS_MAX;
}

static void choose_settings(struct command *c)
{
	struct relay_options *o = &c->options;

	if (o->idle_timeout_s == UINT64_MAX)
		o->idle_timeout_s = o->settings.udp ? 60 : 600;
	o->settings.connect_timeout_us = o->connect_timeout_s * SECOND_US;
	o->settings.idle_timeout_us = o->idle_timeout_s * SECOND_US;
	c->relay.settings = o->settings;
}

static struct tow_config choose_config(const struct relay_options *o)
{
	uint32_t clients = (uint32_t)o->settings.connections_max;
	struct tow_config cfg = node_config(clients);

	if (o->settings.udp)
		cfg.udp_max = clients + 2;
	else
		cfg.tcp_max = 4 * clients + NODE_TIME_WAIT_MAX;
	cfg.loans = cfg.rx_chunks + cfg.rx_bufs + 8 * clients;
	if (o->settings.copy)
		cfg.tx_chunks *= 16;
	return cfg;
}

static int open_devices(struct command *c)
{
	struct net_addrs unused;
	int status = node_attach(&c->node, &c->nets[0], &c->addrs);

	if (status == EXIT_OK && c->net_count == NETS_MAX)
		status = node_attach(&c->node, &c->nets[1], &unused);
	return status;
}

static int open_log(struct command *c)
{
	struct relay *relay = &c->relay;
	int error = workers_open(&relay->workers, 1);

	if (!error && !c->options.quiet)
		error = access_log_open(&relay->log, relay->workers,
					STDOUT_FILENO);
	if (!error)
		error = tow_host_watch(c->node.host, workers_fd(relay->workers),
				       POLLIN);
	return error ? node_complain(&c->node, "starting", -error) : EXIT_OK;
}

static int start_listening(struct command *c)
{
	struct relay *relay = &c->relay;
	char text[TOW_ENDPOINT_TEXT_MAX];
	int error;

	if (relay->settings.udp) {
		if (flows_open(relay) != 0)
			return node_complain(&c->node, "starting", ENOMEM);
		error = tow_udp_open(relay->stack, &relay->listen,
				     &relay->near);
	} else {
		error = tow_tcp_listen(relay->stack, &relay->listen,
				       RELAY_BACKLOG, &relay->listener);
	}
	if (error)
		fprintf(stderr, "tow relay: listening on %s: %s\n",
			tow_endpoint_format(&relay->listen, text, sizeof(text)),
			tow_strerror(error));
	return error ? EXIT_FAILED : EXIT_OK;
}

static int set_up(struct node *node)
{
	struct command *c = command_of(node);
	struct tow_config cfg = choose_config(&c->options);
	int status = node_open(node, &cfg);

	c->relay.stack = node->stack;
	c->relay.clients = &node->clients;
	if (status == EXIT_OK)
		status = open_devices(c);
	if (status == EXIT_OK)
		status = open_log(c);
	if (status == EXIT_OK)
		status = start_listening(c);
	return status;
}

static void print_where(const struct node *node)
{
	const struct command *c = command_of(node);
	const struct relay *relay = &c->relay;
	bool any = tow_addr_is_any(&relay->listen.addr);
	unsigned i, count = any ? c->addrs.count : 1;
	char text[TOW_ENDPOINT_TEXT_MAX];

	fputs("Relaying", stdout);
	for (i = 0; i < count; i++) {
		struct tow_endpoint at = relay->listen;

		if (any)
			at.addr = c->addrs.addrs[i];
		printf("%s %s", i ? " and" : "",
		       tow_endpoint_format(&at, text, sizeof(text)));
	}
	for (i = 0; i < relay->target_count; i++)
		printf("%s %s", i ? "," : " to", relay->targets[i].text);
	putchar('\n');
	fflush(stdout);
}

/* --- rounds -----------------------------------------------------------------
 */

static void on_clock(struct node *node)
{
	struct relay *relay = relay_of(node);

	relay->now_us = node->now_us;
	relay->now = node->now;
}

static void on_event(struct node *node, const struct tow_event *event)
{
	struct relay *relay = relay_of(node);

	if (relay->settings.udp)
		flows_event(relay, event);
	else
		pairs_event(relay, event);
}

static void on_work(struct node *node)
{
	struct workers *workers = relay_of(node)->workers;

	if (tow_host_ready(node->host, workers_fd(workers)))
		workers_collect(workers);
}

static void on_tick(struct node *node)
{
	struct relay *relay = relay_of(node);

	if (relay->settings.udp)
		flows_tick(relay);
	else
		pairs_tick(relay);
	if (relay->log)
		access_log_flush(relay->log);
}

static void on_reap(struct node *node)
{
	struct relay *relay = relay_of(node);

	if (relay->settings.udp)
		flows_reap(relay);
	else
		pairs_reap(relay);
}

static void on_drain(struct node *node)
{
	struct relay *relay = relay_of(node);

	relay->draining = true;
	if (!relay->settings.udp)
		pairs_drain(relay);
}

/* Datagrams do not end; when draining, those under way have left at once. */
static bool is_busy(const struct node *node)
{
	const struct relay *relay = relay_of(node);

	return !relay->settings.udp && relay->live_count > 0;
}

/* --- the end ----------------------------------------------------------------
 */

/* What is still open is reset, and the last segments get a moment to leave. */
static void end_everything(struct node *node)
{
	struct relay *relay = relay_of(node);

	if (relay->settings.udp)
		flows_end(relay);
	else
		pairs_end(relay);
	node_flush(node);
	if (relay->log)
		access_log_end(relay->log);
	workers_drain(relay->workers);
}

static void tear_down(struct node *node)
{
	struct relay *relay = relay_of(node);

	if (relay->log)
		access_log_close(relay->log);
	node_close(node);
	if (relay->workers)
		workers_close(relay->workers);
	if (relay->settings.udp)
		flows_close(relay);
	else
		pairs_reap(relay);
}

static const struct node_ops node_ops = {
	.begin = set_up,
	.announce = print_where,
	.clock = on_clock,
	.event = on_event,
	.work = on_work,
	.tick = on_tick,
	.reap = on_reap,
	.drain = on_drain,
	.busy = is_busy,
	.counts = add_counts,
	.end = end_everything,
	.close = tear_down,
};

int cmd_relay(int argc, char **argv)
{
	static struct command command;
	struct command *c = &command;
	struct option_list arguments;
	int status;

	c->options.settings.connections_max = 1024;
	c->options.connect_timeout_s = 5;
	c->options.idle_timeout_s = UINT64_MAX;
	c->node.command = "relay";
	c->node.ops = &node_ops;
	c->node.drain_us = RELAY_DRAIN_US;
	list_init(&c->relay.pairs);
	list_init(&c->relay.flows);
	list_init(&c->relay.dead);
	status = (int)options_parse(&grammar, argc, argv, &c->options,
				    &arguments);
	if (status != OPTIONS_RUN)
		return status;
	choose_settings(c);
	if (!parse_arguments(c, &arguments))
		return EXIT_USAGE;
	c->node.stats = c->options.stats;
	return node_main(&c->node);
}
