/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <tow/addr.h>
#include <tow/host.h>
#include <tow/tcp.h>
#include <tow/udp.h>
#include "access_log.h"
#include "base/list.h"
#include "clients.h"
#include "options.h"

/*
 * A relay: what comes in at one side goes out at the other.
 *
 *	relay.c         options, rounds, statistics
 *	relay_target.c  which target is next, and which ones rest
 *	relay_pair.c    TCP: two connections and what flows between them
 *	relay_flow.c    UDP: a client, and the socket that speaks for it
 *
 * All of it runs on the stack's thread.
 */

#define RELAY_DRAIN_US	  10000000 /* for what is under way, after SIGTERM */
#define RELAY_BACKLOG	  1024	   /* connections that wait to be accepted */
#define RELAY_TARGETS_MAX (OPTION_LIST_MAX - 1)
#define RELAY_REST_US	  1000000  /* after a failure; twice as long each */
#define RELAY_REST_US_MAX 60000000 /* time, up to this */
#define RELAY_GRACE_US	  5000000  /* a flow so fresh makes no room */

struct relay_settings {
	bool udp;
	bool copy; /* receive and send, do not pass: to compare */
	uint64_t connections_max;
	uint64_t connect_timeout_us;
	uint64_t idle_timeout_us; /* 0: none */
};

struct target {
	struct tow_endpoint endpoint;
	char text[TOW_ENDPOINT_TEXT_MAX];
	uint64_t rest_until_us;
	unsigned failed_in_a_row;
	uint64_t chosen, failed; /* times, ever */
};

/* What went through, ever; in the statistics. */
struct relay_totals {
	uint64_t accepted, refused; /* clients: served, or without a target */
	uint64_t done, reset, idle; /* and how they ended */
	uint64_t to_target_bytes, to_client_bytes;
	uint64_t dropped_datagrams;
};

struct relay {
	struct relay_settings settings;
	struct tow_stack *stack;
	struct clients *clients;
	struct tow_endpoint listen;
	struct target targets[RELAY_TARGETS_MAX];
	unsigned target_count, target_next;
	struct workers *workers;
	struct access_log *log; /* NULL: quiet */

	struct tow_listener *listener; /* TCP; NULL when draining */
	struct list pairs;	       /* in the order of their accepting */
	bool accept_waits;	       /* some were left in the backlog */

	struct tow_udp *near; /* UDP: where clients send to */
	struct list flows;    /* the one that was silent longest first */
	struct list *buckets; /* of flows, by client */
	uint32_t bucket_mask;
	struct flow *pending;	/* for which datagrams are on loan from near, */
	unsigned pending_count; /* so many */

	struct list dead; /* of either: nothing refers to them any more */
	unsigned live_count;
	bool draining;
	struct relay_totals totals;
	uint64_t now_us; /* of this round */
	time_t now;
};

/* relay_target.c */
int target_parse(struct relay *relay, const char *text);
struct target *target_choose(struct relay *relay, uint32_t tried);
uint32_t target_bit(const struct relay *relay, const struct target *target);
void target_failed(struct relay *relay, struct target *target);
void target_works(struct target *target);

/* relay_pair.c */
void pairs_accept(struct relay *relay);
void pairs_event(struct relay *relay, const struct tow_event *event);
void pairs_tick(struct relay *relay);
void pairs_drain(struct relay *relay);
void pairs_end(struct relay *relay);  /* all of them, now */
void pairs_reap(struct relay *relay); /* free those that ended */

/* relay_flow.c */
int flows_open(struct relay *relay); /* 0, or a negative errno */
void flows_event(struct relay *relay, const struct tow_event *event);
void flows_tick(struct relay *relay);
void flows_end(struct relay *relay);
void flows_reap(struct relay *relay);
void flows_close(struct relay *relay); /* frees the table */

/* A line of the log: who, to whom, bytes each way, for how long, the end. */
void relay_log(struct relay *relay, const char *client,
	       const struct target *target, const uint64_t bytes[2],
	       uint64_t since_us, const char *end);

#endif
