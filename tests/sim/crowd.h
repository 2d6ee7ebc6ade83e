/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CROWD_H
#define CROWD_H

/*
 * A crowd: many established connections between two stacks, one of which is
 * in use while all others are idle. For measuring what the idle ones cost.
 *
 *	stack A --- perfect cable --- stack B
 *	  |  N connections, N - 1 of them silent  |
 *	  |  one carries blocks of lent memory    |
 *
 * For tests and benchmarks, which include this file and have all of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <tow/sim.h>
#include <tow/stack.h>
#include <tow/tcp.h>

#define CROWD_PORTS	8 /* of the listener's, 1000 and up */
#define CROWD_AT_A_TIME 256
#define CROWD_BLOCK	65536
#define CROWD_EVENTS	256

struct crowd_side {
	struct tow_config cfg;
	struct tow_stack *stack;
	struct tow_dev *dev;
	size_t bytes; /* of memory */
	void *memory;
};

struct crowd {
	struct tow_sim *sim;
	struct crowd_side a, b;
	struct tow_listener *listeners[CROWD_PORTS];
	struct tow_tcp *client, *server; /* the ones in use */
	uint32_t wanted, opened, accepted;
	uint64_t loans_out, moved_bytes;
	uint8_t block[CROWD_BLOCK];
	bool failed;
};

static inline bool crowd_fail(struct crowd *crowd, const char *what)
{
	if (!crowd->failed)
		fprintf(stderr, "crowd: %s\n", what);
	crowd->failed = true;
	return false;
}

static inline void crowd_config(struct tow_config *cfg, uint32_t connections)
{
	tow_config_default(cfg);
	cfg->tcp_max = connections + 16;
	cfg->udp_max = 1;
	cfg->listener_max = CROWD_PORTS;
	cfg->chunk_bytes = 2048;
	cfg->rx_chunks = 2048;
	cfg->rx_bufs = 4096;
	cfg->tx_chunks = 16;
	cfg->tx_bufs = 2048;
	cfg->loans = 256;
	cfg->segments = 4096;
	cfg->recv_bytes = 262144;
	cfg->recv_bytes_max = 262144;
	memset(cfg->secret, 7, sizeof(cfg->secret));
}

/* What one more connection adds to the memory that a stack needs. */
static inline double crowd_bytes_per_connection(uint32_t connections)
{
	struct tow_config few, many;

	crowd_config(&few, 0);
	crowd_config(&many, connections);
	return (double)(tow_need(&many) - tow_need(&few)) / connections;
}

static inline bool crowd_open_side(struct crowd *crowd, struct crowd_side *side,
				   int segment, uint8_t number,
				   uint32_t connections)
{
	struct tow_addr addr = tow_addr_v4(10, 0, 0, number);
	struct tow_sim_port port;

	crowd_config(&side->cfg, connections);
	side->bytes = tow_need(&side->cfg);
	side->memory = mmap(NULL, side->bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (side->memory == MAP_FAILED)
		return crowd_fail(crowd, "no memory");
	tow_sim_port_default(&port);
	port.caps &= ~(uint32_t)(TOW_DEV_TSO4 | TOW_DEV_TSO6);
	if (tow_open(&side->stack, &side->cfg, side->memory, side->bytes) < 0 ||
	    tow_sim_port_open(crowd->sim, segment, &port, &side->dev) < 0 ||
	    tow_attach(side->stack, side->dev) < 0 ||
	    tow_addr_add(side->stack, 0, &addr, 24) < 0 ||
	    tow_sim_add(crowd->sim, side->stack) < 0)
		return crowd_fail(crowd, "a stack does not open");
	return true;
}

static inline bool crowd_listen(struct crowd *crowd)
{
	struct tow_endpoint local = { .port = 1000 };

	for (int i = 0; i < CROWD_PORTS; i++, local.port++)
		if (tow_tcp_listen(crowd->b.stack, &local, 4096,
				   &crowd->listeners[i]) < 0)
			return crowd_fail(crowd, "cannot listen");
	return true;
}

static inline void crowd_accept(struct crowd *crowd,
				struct tow_listener *listener)
{
	struct tow_tcp *tcp;

	while (tow_tcp_accept(listener, &tcp) == 0) {
		if (!crowd->server)
			crowd->server = tcp;
		crowd->accepted++;
	}
}

static inline void crowd_events(struct crowd *crowd)
{
	struct tow_event events[CROWD_EVENTS];
	int n;

	while ((n = tow_events(crowd->b.stack, events, CROWD_EVENTS)) > 0)
		for (int i = 0; i < n; i++)
			if (events[i].type == TOW_EVENT_ACCEPT)
				crowd_accept(crowd, events[i].object);
	while ((n = tow_events(crowd->a.stack, events, CROWD_EVENTS)) > 0)
		for (int i = 0; i < n; i++)
			crowd->loans_out -= events[i].type == TOW_EVENT_LOAN;
}

static inline bool crowd_connect_one(struct crowd *crowd)
{
	struct tow_endpoint remote = {
		.addr = tow_addr_v4(10, 0, 0, 2),
		.port = (uint16_t)(1000 + crowd->opened % CROWD_PORTS),
	};
	struct tow_tcp *tcp;

	if (tow_tcp_connect(crowd->a.stack, NULL, &remote, &tcp) < 0)
		return crowd_fail(crowd, "cannot connect");
	if (!crowd->client)
		crowd->client = tcp;
	crowd->opened++;
	return true;
}

/* The first alone, so that client and server are ends of the same one. */
static inline bool crowd_connect(struct crowd *crowd)
{
	while (crowd->accepted < crowd->wanted && !crowd->failed) {
		uint32_t ahead = crowd->accepted ? CROWD_AT_A_TIME : 1;

		while (crowd->opened < crowd->wanted &&
		       crowd->opened < crowd->accepted + ahead)
			if (!crowd_connect_one(crowd))
				return false;
		if (!tow_sim_step(crowd->sim,
				  tow_sim_now(crowd->sim) + 10000000))
			return crowd_fail(crowd, "a handshake got stuck");
		crowd_events(crowd);
	}
	return !crowd->failed;
}

static inline bool crowd_open(struct crowd *crowd, uint32_t connections)
{
	int segment;

	memset(crowd, 0, sizeof(*crowd));
	crowd->wanted = connections;
	if (tow_sim_open(&crowd->sim, 1) < 0)
		return crowd_fail(crowd, "no simulator");
	segment = tow_sim_segment(crowd->sim);
	return crowd_open_side(crowd, &crowd->a, segment, 1, connections) &&
	       crowd_open_side(crowd, &crowd->b, segment, 2, connections) &&
	       crowd_listen(crowd) && crowd_connect(crowd);
}

static inline void crowd_close_side(struct crowd *crowd,
				    struct crowd_side *side)
{
	if (side->stack) {
		tow_sim_remove(crowd->sim, side->stack);
		tow_close(side->stack);
	}
	if (side->memory)
		munmap(side->memory, side->bytes);
}

static inline void crowd_close(struct crowd *crowd)
{
	crowd_close_side(crowd, &crowd->a);
	crowd_close_side(crowd, &crowd->b);
	tow_sim_close(crowd->sim);
}

static inline void crowd_lend(struct crowd *crowd)
{
	struct tow_span span = { crowd->block, CROWD_BLOCK };

	while (crowd->loans_out < 4 &&
	       tow_tcp_lend(crowd->client, &span, 1, 1, 0) == 0)
		crowd->loans_out++;
}

static inline void crowd_borrow(struct crowd *crowd)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n;

	while ((n = tow_tcp_borrow(crowd->server, spans, TOW_SPANS_MAX)) > 0) {
		size_t bytes = 0;

		for (int i = 0; i < n; i++)
			bytes += spans[i].len;
		tow_tcp_return(crowd->server, bytes);
		crowd->moved_bytes += bytes;
	}
}

static inline uint64_t crowd_segments(const struct crowd *crowd)
{
	return tow_stats(crowd->a.stack)->counters[TOW_COUNTER_TCP_SEGS_OUT] +
	       tow_stats(crowd->b.stack)->counters[TOW_COUNTER_TCP_SEGS_OUT];
}

static inline double crowd_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/*
 * Move @bytes over the one connection in use.
 *
 * Returns: CPU nanoseconds per segment, both stacks and the simulator
 *          together; negative on failure.
 */
static inline double crowd_move(struct crowd *crowd, uint64_t bytes)
{
	uint64_t end = crowd->moved_bytes + bytes;
	uint64_t segments = crowd_segments(crowd);
	double began = crowd_now_ns();

	while (crowd->moved_bytes < end) {
		crowd_lend(crowd);
		if (!tow_sim_step(crowd->sim,
				  tow_sim_now(crowd->sim) + 10000000)) {
			crowd_fail(crowd, "the transfer got stuck");
			return -1;
		}
		crowd_borrow(crowd);
		crowd_events(crowd);
	}
	return (crowd_now_ns() - began) /
	       (double)(crowd_segments(crowd) - segments);
}

/* The best of several tries: what others do to the machine is no cost. */
static inline double crowd_measure(struct crowd *crowd, unsigned tries,
				   uint64_t bytes)
{
	double best = crowd_move(crowd, bytes);

	for (unsigned i = 1; i < tries && best > 0; i++) {
		double again = crowd_move(crowd, bytes);

		if (again < best)
			best = again;
	}
	return best;
}

#endif
