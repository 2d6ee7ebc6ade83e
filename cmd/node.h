/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NODE_H
#define NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <tow/host.h>
#include "clients.h"
#include "net_setup.h"
#include "text.h"

/*
 * Node: a stack with its devices, signals and statistics, which is what serve,
 * relay and get stand on; and the loop of those that run until they are told
 * to end.
 *
 *	node_open     statistics' file looked at, memory, signals
 *	node_attach   a device and its addresses, once for each
 *	...           rounds, until it is over
 *	node_flush    rounds, until the last segments have left
 *	node_abandon  instead of these two, when what is between them failed
 *	node_save     statistics
 *	node_close    the devices are gone, memory that was lent is free
 *
 * node_main() does that for those whose loop it is; get calls them itself.
 *
 * A round is, in this order:
 *
 *	wait -> event, event, ... -> work -> signals -> tick -> reap
 *
 * SIGTERM and SIGINT make it drain: what is under way may end within drain_us.
 * A second one does not wait for that. SIGUSR1 writes the statistics.
 */

#define NODE_TIME_WAIT_MAX 16384  /* connections beside those that are used */
#define NODE_TICK_US	   250000 /* how often time limits are looked at */
#define NODE_DEVICES_MAX   2
#define NODE_GONE_TEXT_MAX 384

struct node;

struct node_ops {
	/*
	 * Open the node and all that the command needs. Returns: an exit
	 * status; the reason was printed to stderr.
	 */
	int (*begin)(struct node *node);
	void (*announce)(const struct node *node); /* on stdout: it is ready */

	/* A round begins: the clock has moved. */
	void (*clock)(struct node *node);
	void (*event)(struct node *node, const struct tow_event *event);
	/* What descriptors that are watched have brought. */
	void (*work)(struct node *node);
	void (*tick)(struct node *node); /* each NODE_TICK_US */
	void (*reap)(struct node *node); /* the end of a round */
	/* The first signal to end: no new clients. */
	void (*drain)(struct node *node);
	bool (*busy)(const struct node *node); /* something is under way */
	/* NULL, or append to the statistics: "a": {…}, "b": {…} */
	void (*counts)(const struct node *node, struct text *out);

	/* Reset what is left, node_flush(), and let threads be done. */
	void (*end)(struct node *node);
	/* Close what is open, the node among it, also when begin failed. */
	void (*close)(struct node *node);
};

struct node {
	const char *command;	    /* for messages: "serve" */
	const char *stats;	    /* NULL, or the file of --stats */
	const struct node_ops *ops; /* NULL: it has a loop of its own */
	uint64_t drain_us;

	struct tow_host *host;
	struct tow_stack *stack;
	struct clients clients; /* not without @ops */
	uint64_t now_us;	/* of this round */
	time_t now;
	bool draining, ending, device_gone;
	const char *devices[NODE_DEVICES_MAX]; /* their specs */
	unsigned device_count;
	int gone; /* the first that was */
	uint64_t drain_until_us, next_tick_us;
	uint64_t wake_us; /* a round is wanted then, before the tick; 0: none */
};

enum node_wish { NODE_GO_ON, NODE_SAVE, NODE_END };

/*
 * node_config() - a stack for so many clients at a time
 *
 * A client's bytes stay in received buffers until a file or a target has them,
 * and what is copied for it is short. Connections are for the caller to count.
 */
struct tow_config node_config(uint32_t clients);

/*
 * node_main() - the life of a command, from begin to close of its ops
 *
 * Returns: its exit status.
 */
int node_main(struct node *node);

/*
 * node_open() - a stack, and signals
 * @config: NULL for tow_config_default()
 *
 * Open it before there are threads, so that they inherit the mask. All these
 * return an exit status, and have said on stderr what was wrong.
 */
int node_open(struct node *node, const struct tow_config *config);
int node_attach(struct node *node, const struct net_options *options,
		struct net_addrs *out);
int node_save(const struct node *node);

/* Rounds until nothing is left to be sent, but not for long. */
void node_flush(struct node *node);

/*
 * node_abandon() - what was leased is given back, and that gets time to leave
 *
 * For a command that could not begin: of @ops nothing is called, which may need
 * what is not there. Whatever is watched must be open still.
 */
void node_abandon(struct node *node);

/* What is open is gone, without a word. */
void node_close(struct node *node);

/*
 * node_gone() - which device is gone, and what may have been the matter
 * @number: of TOW_EVENT_DEVICE
 */
const char *node_gone(const struct node *node, int number,
		      char out[NODE_GONE_TEXT_MAX]);

/* For those with a loop of their own: what a signal asks for, if one came. */
enum node_wish node_signal(struct node *node);

/* Say what failed, and why: a positive errno. Returns: EXIT_FAILED. */
int node_complain(const struct node *node, const char *what, int error);

#endif
