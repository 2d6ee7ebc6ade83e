/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lend against send for writes of 1 B to 1 MiB.
 *
 * One connection to the kernel; a slice of time for each size, source, batch
 * and way, in turns, so that what drifts drifts in both ways alike:
 *
 *	round:  1 B hot: lend send | 1 B cold: send lend | 2 B hot: lend …
 *
 *	single  one write, one turn of the stack: a program that answers events
 *	batch   up to 256 writes or 256 KiB, then a turn: nothing but the cost
 *		of the call and of the token that comes back
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

#define EVENTS	       64
#define SIZES	       21 /* 1 B << 0..20 */
#define HOT_BYTES      (256u << 10)
#define CALLS_PER_TURN 256
#define BYTES_PER_TURN (256u << 10)

enum way { WAY_LEND, WAY_SEND };

/* What is measured in a pair of slices. */
struct point {
	size_t size;
	bool hot;
	bool batch;
};

struct writer {
	struct tow_host *host;
	struct source cold, hot; /* two views of one source */
	struct tow_tcp *tcp;
	bool connected;
	unsigned printed;
};

struct slice {
	struct point point;
	enum way way;
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
			 struct source *source, const struct point *point)
{
	unsigned calls_max = point->batch ? CALLS_PER_TURN : 1;
	size_t bytes = 0, taken;
	unsigned calls = 0;

	do {
		taken = write_once(writer, way, source, point->size);
		bytes += taken;
	} while (taken > 0 && ++calls < calls_max && bytes < BYTES_PER_TURN);
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

static struct slice run_slice(struct writer *writer, enum way way,
			      const struct point *point, uint64_t slice_ns)
{
	struct source *source = point->hot ? &writer->hot : &writer->cold;
	uint64_t begin_ns = bench_now_ns();
	int64_t cpu_begin_ns = cpu_ns();
	struct slice slice = { .way = way, .point = *point };

	if (point->hot) {
		source->at = 0;
		source->bytes =
			point->size > HOT_BYTES ? point->size : HOT_BYTES;
	}
	do {
		size_t bytes = write_some(writer, way, source, point);

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
	const struct point *point = &slice->point;

	printf("%s{\"size\":%zu,\"hot\":%d,\"batch\":%d,\"way\":\"%s\"",
	       writer->printed++ ? "," : "[", point->size, point->hot,
	       point->batch, slice->way == WAY_LEND ? "lend" : "send");
	printf(",\"bytes\":%" PRIu64 ",\"ns\":%" PRIu64 ",\"cpu_ns\":%" PRId64
	       "}",
	       slice->bytes, slice->ns, slice->cpu_ns);
}

/* Lend first or send first, in turns. */
static void run_pair(struct writer *writer, bool send_first,
		     const struct point *point, uint64_t slice_ns)
{
	int i;

	for (i = 0; i < 2; i++) {
		enum way way = (i == 0) == send_first ? WAY_SEND : WAY_LEND;
		struct slice slice = run_slice(writer, way, point, slice_ns);

		print_slice(writer, &slice);
	}
}

static void run_all(struct writer *writer, unsigned rounds, uint64_t slice_ns)
{
	unsigned round, power, kind;

	for (round = 0; round < rounds; round++) {
		for (power = 0; power < SIZES; power++) {
			for (kind = 0; kind < 4; kind++) {
				struct point point = {
					.size = (size_t)1 << power,
					.hot = kind & 1,
					.batch = kind & 2,
				};

				run_pair(writer, (round + kind) % 2, &point,
					 slice_ns);
			}
		}
	}
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
	struct point first = { .size = 256u << 10 };
	struct bench_args args;
	uint64_t slice_ns;

	bench_args_parse(&args, argc, argv, "all");
	slice_ns = (uint64_t)(args.window_s * 1e9);
	source_open(&writer.cold, &args);
	writer.hot = writer.cold;
	writer.host = bench_stack_open(&args);
	connect_peer(&writer, &args);
	/* Let congestion control and the peer's window find their sizes. */
	run_slice(&writer, WAY_LEND, &first, 300000000);
	run_all(&writer, args.batch, slice_ns);
	tow_tcp_close(writer.tcp);
	bench_stack_close(writer.host);
	return 0;
}
