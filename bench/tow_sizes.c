/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lend against send for writes of 1 B to 1 MiB.
 *
 * One connection to the kernel; a slice of time for each size, source and way,
 * in turns, so that what drifts drifts in both ways alike:
 *
 *	round:  1 B hot: lend send | 1 B cold: send lend | 2 B hot: lend …
 *
 * A slice ends when everything written in it is acknowledged, so no slice
 * pays for another. Prints every slice's rate; bench/run takes the medians.
 *
 *	hot    the same 256 KiB (or one block) over and over
 *	cold   on through the source, which is far larger than the caches
 */
#include <inttypes.h>
#include <string.h>
#include <tow/tcp.h>
#include "bench_stack.h"

#define EVENTS          64
#define SIZES           21 /* 1 B << 0..20 */
#define HOT_BYTES       (256u << 10)
#define CALLS_PER_TURN  256
#define BYTES_PER_TURN  (256u << 10)

enum way { WAY_LEND, WAY_SEND };

struct writer {
	struct tow_host *host;
	struct source cold, hot; /* two views of one source */
	struct tow_tcp *tcp;
	bool connected;
	unsigned printed;
};

struct slice {
	enum way way;
	bool hot;
	size_t size;
	uint64_t bytes, ns;
	int64_t cpu_ns; /* of this process */
};

/* A full queue waits for events; else one round of the stack will do. */
static void turn(struct writer *writer, bool wait)
{
	struct tow_event events[EVENTS];
	int i, count;

	if (wait)
		count = bench_stack_wait(writer->host, events, EVENTS);
	else
		count = bench_stack_turn(writer->host, events, EVENTS);

	for (i = 0; i < count; i++) {
		if (events[i].type == TOW_EVENT_CONNECTED)
			writer->connected = true;
		if (events[i].type == TOW_EVENT_CLOSED)
			bench_fail("connection: %s",
				   tow_strerror(events[i].status));
	}
}

/* Returns: bytes taken, 0 when the queue is full. */
static size_t write_once(struct writer *writer, enum way way,
			 struct source *source, size_t bytes)
{
	size_t at = source->at;
	struct tow_span span = { source_next(source, bytes), bytes };
	int64_t result;

	if (way == WAY_SEND)
		result = tow_tcp_send(writer->tcp, span.ptr, bytes, 0);
	else
		result = tow_tcp_lend(writer->tcp, &span, 1, 0, 0);
	if (result == TOW_EAGAIN || result == TOW_ENOBUFS) {
		source->at = at;
		return 0;
	}
	if (result < 0)
		bench_fail("write: %s", tow_strerror((int)result));
	return way == WAY_SEND ? (size_t)result : bytes;
}

static size_t write_some(struct writer *writer, enum way way,
			 struct source *source, size_t size)
{
	size_t bytes = 0, taken;
	unsigned calls = 0;

	do {
		taken = write_once(writer, way, source, size);
		bytes += taken;
	} while (taken > 0 && ++calls < CALLS_PER_TURN &&
		 bytes < BYTES_PER_TURN);
	return bytes;
}

static void drain(struct writer *writer)
{
	struct tow_tcp_info info;

	do {
		turn(writer, false);
		tow_tcp_info(writer->tcp, &info);
	} while (info.queued_bytes > 0);
}

static int64_t cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return ((int64_t)u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
	       ((int64_t)u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static struct slice run_slice(struct writer *writer, enum way way, bool hot,
			      size_t size, uint64_t slice_ns)
{
	struct source *source = hot ? &writer->hot : &writer->cold;
	uint64_t begin_ns = bench_now_ns();
	int64_t cpu_begin_ns = cpu_ns();
	struct slice slice = { .way = way, .hot = hot, .size = size };

	if (hot) {
		source->at = 0;
		source->bytes = size > HOT_BYTES ? size : HOT_BYTES;
	}
	do {
		size_t bytes = write_some(writer, way, source, size);

		slice.bytes += bytes;
		turn(writer, bytes == 0);
	} while (bench_now_ns() - begin_ns < slice_ns);
	drain(writer);
	slice.ns = bench_now_ns() - begin_ns;
	slice.cpu_ns = cpu_ns() - cpu_begin_ns;
	return slice;
}

static void print_slice(struct writer *writer, const struct slice *slice)
{
	printf("%s{\"size\":%zu,\"hot\":%d,\"way\":\"%s\",\"bytes\":%" PRIu64
	       ",\"ns\":%" PRIu64 ",\"cpu_ns\":%" PRId64 "}",
	       writer->printed++ ? "," : "[", slice->size, slice->hot,
	       slice->way == WAY_LEND ? "lend" : "send", slice->bytes,
	       slice->ns, slice->cpu_ns);
}

/* Lend first or send first, in turns. */
static void run_pair(struct writer *writer, bool send_first, bool hot,
		     size_t size, uint64_t slice_ns)
{
	int i;

	for (i = 0; i < 2; i++) {
		enum way way = (i == 0) == send_first ? WAY_SEND : WAY_LEND;
		struct slice slice =
			run_slice(writer, way, hot, size, slice_ns);

		print_slice(writer, &slice);
	}
}

static void run_all(struct writer *writer, unsigned rounds, uint64_t slice_ns)
{
	unsigned round, power, hot;

	for (round = 0; round < rounds; round++)
		for (power = 0; power < SIZES; power++)
			for (hot = 0; hot < 2; hot++)
				run_pair(writer, (round + hot) % 2, hot,
					 (size_t)1 << power, slice_ns);
	puts("]");
	fflush(stdout);
}

static void connect_peer(struct writer *writer, const struct bench_args *args)
{
	struct tow_endpoint peer = bench_peer(args);
	int error = tow_tcp_connect(tow_host_stack(writer->host), NULL, &peer,
				    &writer->tcp);

	if (error < 0)
		bench_fail("connect: %s", tow_strerror(error));
	while (!writer->connected)
		turn(writer, true);
}

/* --seconds is the length of a slice, --batch the number of rounds. */
int main(int argc, char **argv)
{
	struct writer writer = { 0 };
	struct bench_args args;
	uint64_t slice_ns;

	bench_args_parse(&args, argc, argv, "all");
	slice_ns = (uint64_t)(args.window_s * 1e9);
	source_open(&writer.cold, &args);
	writer.hot = writer.cold;
	writer.host = bench_stack_open(&args);
	connect_peer(&writer, &args);
	/* Let congestion control and the peer's window find their sizes. */
	run_slice(&writer, WAY_LEND, false, 256u << 10, 300000000);
	run_all(&writer, args.batch, slice_ns);
	tow_tcp_close(writer.tcp);
	bench_stack_close(writer.host);
	return 0;
}
