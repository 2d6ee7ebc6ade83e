/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FLOWS_H
#define FLOWS_H

/*
 * Some flows through one bottleneck, in virtual time:
 *
 *	sender ---- no limit ---> switch ==bottleneck, queue==> receiver
 *	  n connections, all      <------- no limit -----------
 *	  with much to send
 *
 * The receiver's way down is the bottleneck: its rate, and its queue, which
 * drops what comes when it is full; losses by chance come on top. After a time
 * to warm up, what arrives is measured for a while.
 *
 * For tests and benchmarks, which include this file and have all of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/sim.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include "dev/sim_private.h"
#include "tcp/tcp_private.h"

#define FLOWS_MAX      32
#define FLOWS_PORT     9
#define FLOWS_BLOCK    (64u << 20) /* is lent again and again */
#define FLOWS_SENT_MAX 4	   /* blocks queued of each flow */
#define FLOWS_CHUNKS   65536u
#define FLOWS_HEADERS  66u /* Ethernet, IPv4, TCP with timestamps */
#define FLOWS_MSS      1448u

struct flows_how {
	enum tow_tcp_congestion congestion;
	unsigned count;
	uint64_t bits_per_s;
	uint32_t rtt_us; /* without a queue */
	uint32_t queue_bytes;
	uint32_t loss_ppm;
	uint64_t pacing_rate; /* bytes/s of each flow; 0: no limit */
	uint32_t caps_not;    /* that devices do without */
	uint64_t warm_us, run_us;
	uint64_t stagger_us; /* from one flow's start to the next one's */
	uint64_t seed;
};

struct flow {
	struct tow_tcp *tcp; /* of the sender */
	uint64_t got, got_before;
	uint64_t recovers_us; /* since when a loss is repaired; 0: none is */
};

struct flows {
	struct flows_how how;
	void (*watch)(struct flows *f); /* after each step; or NULL */

	double used;	    /* of the bottleneck, with headers: 0 to 1 */
	double jain;	    /* 1 is fair, 1/n is all for one */
	double queue_ms;    /* mean time that a packet waits in the queue */
	double lost;	    /* of the packets, sent again: 0 to 1 */
	double recovery_ms; /* mean time that a loss recovery takes */
	unsigned recoveries;
	uint64_t timeouts;

	struct tow_sim *sim;
	struct tow_stack *sender, *receiver;
	struct tow_dev *sender_dev, *receiver_dev;
	void *sender_memory, *receiver_memory, *block;
	struct tow_addr to;
	struct flow flows[FLOWS_MAX];
	unsigned started;
	double waited_us, watched_us;
	uint64_t last_us;
};

static inline const char *flows_name(enum tow_tcp_congestion which)
{
	static const char *const names[] = {
		[TOW_TCP_CUBIC] = "cubic",
		[TOW_TCP_NEWRENO] = "newreno",
		[TOW_TCP_BBR] = "bbr",
	};

	return names[which];
}

static inline bool flows_fail(const char *what)
{
	fprintf(stderr, "flows: %s\n", what);
	return false;
}

static inline bool flows_open_stack(struct flows *f, struct tow_stack **stack,
				    void **memory, uint8_t number,
				    const struct tow_sim_port *port,
				    int segment, struct tow_dev **dev)
{
	struct tow_addr addr = tow_addr_v4(10, 0, 0, number);
	struct tow_config cfg;
	size_t need;

	tow_config_default(&cfg);
	memset(cfg.secret, number, sizeof(cfg.secret));
	cfg.secret[0] = (uint8_t)f->how.seed;
	cfg.rx_chunks = FLOWS_CHUNKS;
	cfg.rx_bufs = FLOWS_CHUNKS * 2;
	cfg.segments = FLOWS_CHUNKS * 2;
	cfg.tx_bufs = FLOWS_CHUNKS;
	cfg.send_bytes = 64u << 20;
	cfg.recv_bytes_max = 64u << 20;
	need = (tow_need(&cfg) + 63) / 64 * 64;
	*memory = aligned_alloc(64, need);
	if (!*memory || tow_open(stack, &cfg, *memory, need) < 0)
		return flows_fail("a stack");
	if (tow_sim_port_open(f->sim, segment, port, dev) < 0 ||
	    tow_attach(*stack, *dev) < 0 ||
	    tow_addr_add(*stack, 0, &addr, 24) < 0 ||
	    tow_sim_add(f->sim, *stack) < 0)
		return flows_fail("a port");
	return true;
}

static inline bool flows_open(struct flows *f)
{
	struct tow_endpoint at = { .port = FLOWS_PORT };
	struct tow_sim_port port;
	struct tow_listener *listener;
	int segment;

	f->block = calloc(1, FLOWS_BLOCK);
	if (!f->block || tow_sim_open(&f->sim, f->how.seed + 1) < 0)
		return flows_fail("memory");
	segment = tow_sim_segment(f->sim);
	tow_sim_port_default(&port);
	port.caps &= ~f->how.caps_not;
	port.tx_ring = port.rx_ring = 0;
	port.up.delay_us = f->how.rtt_us / 2;
	if (!flows_open_stack(f, &f->sender, &f->sender_memory, 1, &port,
			      segment, &f->sender_dev))
		return false;
	port.down.bits_per_s = f->how.bits_per_s;
	port.down.queue_bytes = f->how.queue_bytes;
	port.down.loss_ppm = f->how.loss_ppm;
	if (!flows_open_stack(f, &f->receiver, &f->receiver_memory, 2, &port,
			      segment, &f->receiver_dev))
		return false;
	f->to = tow_addr_v4(10, 0, 0, 2);
	if (tow_tcp_listen(f->receiver, &at, FLOWS_MAX, &listener) < 0)
		return flows_fail("a listener");
	tow_listener_set_user(listener, listener);
	return true;
}

static inline void flows_close(struct flows *f)
{
	if (f->sender) {
		tow_sim_remove(f->sim, f->sender);
		tow_close(f->sender);
	}
	if (f->receiver) {
		tow_sim_remove(f->sim, f->receiver);
		tow_close(f->receiver);
	}
	if (f->sim)
		tow_sim_close(f->sim);
	free(f->sender_memory);
	free(f->receiver_memory);
	free(f->block);
}

static inline bool flows_lend(struct flows *f, unsigned i)
{
	struct tow_span span = { f->block, FLOWS_BLOCK };

	return tow_tcp_lend(f->flows[i].tcp, &span, 1, i, 0) == 0;
}

static inline bool flows_start(struct flows *f)
{
	struct tow_endpoint to = { .addr = f->to, .port = FLOWS_PORT };
	unsigned i = f->started++;
	struct flow *flow = &f->flows[i];

	if (tow_tcp_connect(f->sender, NULL, &to, &flow->tcp) < 0 ||
	    tow_tcp_set(flow->tcp, TOW_TCP_CONGESTION, f->how.congestion) < 0 ||
	    (f->how.pacing_rate &&
	     tow_tcp_set(flow->tcp, TOW_TCP_PACING_RATE,
			 (int64_t)f->how.pacing_rate) < 0))
		return flows_fail("a connection");
	while (flows_lend(f, i))
		;
	return true;
}

/* Loans that ended are lent anew. */
static inline void flows_refill(struct flows *f)
{
	struct tow_event events[64];
	int n;

	do {
		n = tow_events(f->sender, events, 64);
		for (int i = 0; i < n; i++)
			if (events[i].type == TOW_EVENT_LOAN ||
			    events[i].type == TOW_EVENT_WRITABLE)
				for (unsigned k = 0; k < f->started; k++)
					(void)flows_lend(f, k);
	} while (n == 64);
}

static inline void flows_read(struct flows *f, struct tow_tcp *tcp)
{
	struct tow_span spans[TOW_SPANS_MAX];
	size_t bytes = 0;
	int n;

	while ((n = tow_tcp_borrow(tcp, spans, TOW_SPANS_MAX)) > 0)
		for (int i = 0; i < n; i++)
			bytes += spans[i].len;
	tow_tcp_return(tcp, bytes);
	for (unsigned i = 0; i < f->started; i++)
		if (tow_tcp_local(f->flows[i].tcp).port ==
		    tow_tcp_remote(tcp).port)
			f->flows[i].got += bytes;
}

static inline void flows_take(struct flows *f)
{
	struct tow_event events[64];
	struct tow_tcp *tcp;
	int n;

	do {
		n = tow_events(f->receiver, events, 64);
		for (int i = 0; i < n; i++) {
			if (events[i].type == TOW_EVENT_ACCEPT)
				while (tow_tcp_accept(events[i].object, &tcp) ==
				       0)
					flows_read(f, tcp);
			else if (events[i].type == TOW_EVENT_READABLE)
				flows_read(f, events[i].object);
		}
	} while (n == 64);
}

/* How long a packet that came now would wait for the bottleneck. */
static inline double flows_wait_us(const struct flows *f)
{
	const struct wire *wire =
		&CONTAINER(f->receiver_dev, struct port, dev)->down;
	uint64_t now_ns = tow_sim_now(f->sim) * 1000;

	return wire->free_ns > now_ns
		       ? (double)(wire->free_ns - now_ns) / 1000.0
		       : 0;
}

/* From when a loss is known until all that was in flight then is there. */
static inline void flows_watch_recovery(struct flows *f)
{
	uint64_t now_us = tow_sim_now(f->sim);

	for (unsigned i = 0; i < f->started; i++) {
		struct flow *flow = &f->flows[i];
		bool recovers = flow->tcp->recovery.state != RECOVERY_NONE;

		if (recovers && !flow->recovers_us) {
			flow->recovers_us = now_us;
		} else if (!recovers && flow->recovers_us) {
			f->recovery_ms +=
				(double)(now_us - flow->recovers_us) / 1000;
			f->recoveries++;
			flow->recovers_us = 0;
		}
	}
}

static inline bool flows_until(struct flows *f, uint64_t end_us)
{
	while (tow_sim_now(f->sim) < end_us && tow_sim_step(f->sim, end_us)) {
		uint64_t now_us = tow_sim_now(f->sim);
		double step_us = (double)(now_us - f->last_us);

		f->waited_us += flows_wait_us(f) * step_us;
		f->watched_us += step_us;
		f->last_us = now_us;
		if (f->started < f->how.count &&
		    now_us >= f->started * f->how.stagger_us && !flows_start(f))
			return false;
		flows_refill(f);
		flows_take(f);
		flows_watch_recovery(f);
		if (f->watch)
			f->watch(f);
	}
	return true;
}

static inline uint64_t flows_count(const struct tow_stack *stack,
				   enum tow_counter what)
{
	return tow_stats(stack)->counters[what];
}

static inline void flows_sum_up(struct flows *f, uint64_t resent)
{
	double sum = 0, squares = 0, wire, packets;

	for (unsigned i = 0; i < f->how.count; i++) {
		double x = (double)(f->flows[i].got - f->flows[i].got_before);

		sum += x;
		squares += x * x;
	}
	packets = sum / FLOWS_MSS;
	wire = sum + packets * FLOWS_HEADERS;
	f->used =
		wire * 8e6 / (double)f->how.run_us / (double)f->how.bits_per_s;
	f->jain = squares > 0 ? sum * sum / (f->how.count * squares) : 0;
	f->queue_ms =
		f->watched_us > 0 ? f->waited_us / f->watched_us / 1000 : 0;
	if (f->recoveries)
		f->recovery_ms /= f->recoveries;
	f->lost = packets > 0 ? (double)resent / (packets + (double)resent) : 0;
}

/* Returns: false when something could not be had; stderr says what. */
static inline bool flows_run(struct flows *f)
{
	uint64_t resent, timeouts;
	bool ok = flows_open(f) && flows_start(f);

	for (unsigned i = 1; ok && i < f->how.count && !f->how.stagger_us; i++)
		ok = flows_start(f);
	ok = ok && flows_until(f, f->how.warm_us);
	if (ok) {
		resent = flows_count(f->sender, TOW_COUNTER_TCP_RETRANS_BYTES);
		timeouts = flows_count(f->sender, TOW_COUNTER_TCP_RTO);
		for (unsigned i = 0; i < f->how.count; i++)
			f->flows[i].got_before = f->flows[i].got;
		f->waited_us = f->watched_us = 0;
		f->recovery_ms = f->recoveries = 0;
		ok = flows_until(f, f->how.warm_us + f->how.run_us);
		resent = flows_count(f->sender, TOW_COUNTER_TCP_RETRANS_BYTES) -
			 resent;
		f->timeouts =
			flows_count(f->sender, TOW_COUNTER_TCP_RTO) - timeouts;
		flows_sum_up(f, resent / FLOWS_MSS);
	}
	if (tow_sim_stats(f->receiver_dev)->violation)
		ok = flows_fail("a violation");
	flows_close(f);
	return ok;
}

#endif
