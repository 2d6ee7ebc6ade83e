/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What serve, relay and get have in common: see node.h.
 */
#include "node.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include "base/base.h"
#include "cmd.h"
#include "net_learn.h"
#include "stats.h"

#define EVENTS_MAX 64
#define FLUSH_US   300000 /* for the last FINs, and their ACKs */
#define RX_TIMES   4	  /* what is under way lies in received buffers */

int node_complain(const struct node *node, const char *what, int error)
{
	fprintf(stderr, "tow %s: %s: %s\n", node->command, what,
		strerror(error));
	return EXIT_FAILED;
}

/* --- setting up -------------------------------------------------------------
 */

struct tow_config node_config(uint32_t clients)
{
	struct tow_config cfg;

	tow_config_default(&cfg);
	cfg.rx_chunks *= RX_TIMES;
	cfg.rx_bufs *= RX_TIMES;
	cfg.tx_chunks += 2 * clients;
	cfg.loans += 8 * clients;
	cfg.owner_max = CLIENTS_MAX + 1;
	return cfg;
}

/* A file that grows too long, and a pipe that nobody reads, are errors. */
static int catch_signals(struct node *node)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGUSR1 };
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (tow_host_catch(node->host, signals[i]) != 0) {
			fprintf(stderr, "tow %s: %s\n", node->command,
				tow_host_error(node->host));
			return EXIT_FAILED;
		}
	return EXIT_OK;
}

static void look_at_clock(struct node *node)
{
	node->now_us = tow_host_clock_us();
	node->now = time(NULL);
	if (node->ops)
		node->ops->clock(node);
}

int node_open(struct node *node, const struct tow_config *config)
{
	int error;

	if (node->stats && stats_check(node->stats, node->command) != 0)
		return EXIT_FAILED;
	error = tow_host_open(&node->host, config);
	if (error) {
		fprintf(stderr, "tow %s: memory for the stack: %s\n",
			node->command, tow_strerror(error));
		return EXIT_FAILED;
	}
	node->stack = tow_host_stack(node->host);
	if (node->ops)
		error = clients_open(&node->clients, node->stack, config);
	if (error)
		return node_complain(node, "starting", -error);
	look_at_clock(node);
	return catch_signals(node);
}

int node_attach(struct node *node, const struct net_options *options,
		struct net_addrs *out)
{
	ASSERT(node->device_count < NODE_DEVICES_MAX);
	node->devices[node->device_count++] = net_device(options);
	if (net_setup(node->host, options, node->command, out) != 0)
		return EXIT_FAILED;
	return EXIT_OK;
}

/* --- statistics, signals ----------------------------------------------------
 */

int node_save(const struct node *node)
{
	struct text more = { 0 };
	int error;

	if (!node->stats)
		return EXIT_OK;
	if (node->ops && node->ops->counts)
		node->ops->counts(node, &more);
	error = stats_save(node->stats, tow_stats(node->stack), &more,
			   node->command);
	text_free(&more);
	return error ? EXIT_FAILED : EXIT_OK;
}

enum node_wish node_signal(struct node *node)
{
	switch (tow_host_signal(node->host)) {
	case 0:
		return NODE_GO_ON;
	case SIGUSR1:
		return NODE_SAVE;
	default:
		return NODE_END;
	}
}

static void drain(struct node *node)
{
	if (node->draining) {
		node->ending = true;
		return;
	}
	node->draining = true;
	node->drain_until_us = node->now_us + node->drain_us;
	node->ops->drain(node);
}

static void take_signals(struct node *node)
{
	enum node_wish wish;

	while ((wish = node_signal(node)) != NODE_GO_ON) {
		if (wish == NODE_SAVE)
			(void)node_save(node);
		else
			drain(node);
	}
}

/* --- rounds -----------------------------------------------------------------
 */

/* One without an interface is a link to another process. */
const char *node_gone(const struct node *node, int number,
		      char out[NODE_GONE_TEXT_MAX])
{
	const char *interface = tow_host_interface(node->host, number);
	const char *device = node->devices[number];

	if (interface)
		snprintf(out, NODE_GONE_TEXT_MAX,
			 "the device is gone: %.200s; was its interface, %s, "
			 "deleted?",
			 device, interface);
	else
		snprintf(out, NODE_GONE_TEXT_MAX,
			 "the device is gone: %.200s; did its other end end?",
			 device);
	return out;
}

static void note_gone(struct node *node, int number)
{
	if (!node->device_gone)
		node->gone = number;
	node->device_gone = true;
}

static void take_events(struct node *node, int64_t timeout_us)
{
	struct tow_event events[EVENTS_MAX];
	int i, count;

	count = tow_host_wait(node->host, events, EVENTS_MAX, timeout_us);
	look_at_clock(node);
	for (i = 0; i < count; i++) {
		if (events[i].type == TOW_EVENT_DEVICE)
			note_gone(node, (int)events[i].token);
		else if (events[i].type == TOW_EVENT_ADDRESS)
			continue; /* listeners are for any address */
		else if (node->ops)
			node->ops->event(node, &events[i]);
	}
}

static void tick(struct node *node)
{
	if (node->now_us < node->next_tick_us)
		return;
	node->next_tick_us = node->now_us + NODE_TICK_US;
	node->ops->tick(node);
}

static void run_once(struct node *node, int64_t timeout_us)
{
	take_events(node, timeout_us);
	if (!node->ops)
		return;
	node->ops->work(node);
	take_signals(node);
	tick(node);
	node->ops->reap(node);
}

static bool is_over(const struct node *node)
{
	if (node->device_gone || node->ending)
		return true;
	return node->draining &&
	       (!node->ops->busy(node) || node->now_us >= node->drain_until_us);
}

/* Who wants to be woken says so in each round. */
static int64_t next_round_us(struct node *node)
{
	uint64_t at_us = node->wake_us;

	node->wake_us = 0;
	if (at_us == 0)
		return NODE_TICK_US;
	return at_us > node->now_us
		       ? (int64_t)MIN(at_us - node->now_us, NODE_TICK_US)
		       : 0;
}

static int run(struct node *node)
{
	char text[NODE_GONE_TEXT_MAX];

	while (!is_over(node))
		run_once(node, next_round_us(node));
	if (!node->device_gone)
		return EXIT_OK;
	fprintf(stderr, "tow %s: %s\n", node->command,
		node_gone(node, node->gone, text));
	return EXIT_FAILED;
}

void node_flush(struct node *node)
{
	uint64_t until_us = tow_host_clock_us() + FLUSH_US;

	net_learn_stop(node->host);
	while (!node->device_gone && !tow_idle(node->stack) &&
	       tow_host_clock_us() < until_us)
		run_once(node, FLUSH_US / 10);
}

void node_abandon(struct node *node)
{
	uint64_t until_us = tow_host_clock_us() + FLUSH_US;
	struct tow_event events[EVENTS_MAX];

	if (!node->host)
		return;
	net_learn_stop(node->host);
	while (!tow_idle(node->stack) && tow_host_clock_us() < until_us)
		(void)tow_host_wait(node->host, events, EVENTS_MAX,
				    FLUSH_US / 10);
}

int node_main(struct node *node)
{
	const struct node_ops *ops = node->ops;
	int status = ops->begin(node);

	if (status == EXIT_OK) {
		ops->announce(node);
		status = run(node);
		ops->end(node);
		if (node_save(node) != EXIT_OK)
			status = EXIT_FAILED;
	} else {
		node_abandon(node);
	}
	ops->close(node);
	return status;
}

void node_close(struct node *node)
{
	if (node->host)
		tow_host_close(node->host);
	node->host = NULL;
}
