/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <netinet/in.h>
#include <sys/resource.h>

/*
 * What every measuring program shares: options, the source, the meter.
 *
 * bench/run starts two programs per measurement, a sender and a receiver, and
 * reads one line of JSON from each. Both let a warm-up pass, then measure a
 * window; each measures its own CPU time inside its own window, so that
 * setting up costs nothing in the figures.
 *
 *	  first byte      begin                           end      EOF
 *	------|-------------|------------------------------|--------|---
 *	         warm-up          the window: bytes, ns,
 *	                          user + system time
 */
struct bench_args {
	const char *mode;    /* what the program is to be; its own list */
	struct in_addr addr; /* of the peer, or to listen on */
	uint16_t port;
	double warm_s, window_s;
	int source_fd;	    /* memory file that bench/run filled, or -1 */
	size_t block_bytes; /* per write, lend or read */
	size_t queue_bytes; /* send buffer of a stack; 0: its default */
	const char *dev;    /* device spec, name of a tap */
	const char *local;  /* address of a user-space stack, CIDR */
	uint8_t mac[6];	    /* of the kernel's end of the tap */
	unsigned batch;	    /* datagrams per call, or segments per train */
	bool gro;	    /* UDP receiver takes trains whole */
	bool hot;	    /* source stays in the cache */
	unsigned flows;	    /* connections at once */
	unsigned pause_us;  /* of a slow reader, after each read */

	/* A sender's, "cubic" or the like; NULL: as the others. */
	const char *congestion;
};

/* Ends the program with a message when it cannot understand the options. */
void bench_args_parse(struct bench_args *args, int argc, char **argv,
		      const char *modes);

/* Like printf to standard error, then exit. */
void bench_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

uint64_t bench_now_ns(void);

/*
 * The source: by default 1 GiB of noise that bench/run made, mapped shared,
 * the same pages for every peer. Walked from front to back and over again it
 * is never in the cache when its turn comes.
 */
struct source {
	const uint8_t *base;
	size_t bytes;
	size_t at;
	int fd;
};

void source_open(struct source *source, const struct bench_args *args);

/* The next @bytes in one piece; returns to the front when they do not fit. */
const uint8_t *source_next(struct source *source, size_t bytes);

enum meter_phase { METER_IDLE, METER_WARM, METER_WINDOW, METER_DONE };

struct meter {
	enum meter_phase phase;
	uint64_t warm_ns, window_ns;
	uint64_t first_ns, begin_ns, end_ns, last_ns;
	uint64_t bytes;	    /* inside the window */
	uint64_t units;	    /* datagrams or calls inside the window */
	uint64_t bytes_all; /* with the warm-up and what came after */
	struct rusage begin_usage, end_usage;
};

void meter_init(struct meter *meter, const struct bench_args *args);

/* Tell it what just went by. */
void meter_add(struct meter *meter, uint64_t bytes, uint64_t units);

/* The stream is over: the window ends with its last bytes if it has not yet. */
void meter_stop(struct meter *meter);

static inline bool meter_done(const struct meter *meter)
{
	return meter->phase == METER_DONE;
}

/*
 * One line of JSON: bytes, seconds, cpu_ns, units, bytes_all, and @more,
 * which is text of the form `"key":value,` or empty.
 */
void meter_print(const struct meter *meter, const char *more);

/* TCP socket of the kernel with cubic, the congestion control of all peers. */
int bench_tcp_socket(void);
const char *bench_tcp_congestion(int fd);

/* Tell bench/run that the receiver listens. */
void bench_ready(void);

#endif
