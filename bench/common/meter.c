/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The meter: bytes, time and CPU time of a window.
 *
 * CPU time is getrusage() of the whole process, user and system. On kernels
 * without CONFIG_IRQ_TIME_ACCOUNTING this includes the softirq work that the
 * kernel does inside the program's system calls, which for TCP over a tap or
 * a veth is nearly all of it; bench/run adds what ksoftirqd did beside.
 */
#include "bench.h"

#include <inttypes.h>
#include <string.h>

void meter_init(struct meter *meter, const struct bench_args *args)
{
	*meter = (struct meter){
		.warm_ns = (uint64_t)(args->warm_s * 1e9),
		.window_ns = (uint64_t)(args->window_s * 1e9),
	};
}

static void begin(struct meter *meter, uint64_t now_ns)
{
	meter->begin_ns = now_ns;
	getrusage(RUSAGE_SELF, &meter->begin_usage);
	meter->phase = METER_WINDOW;
}

static void end(struct meter *meter, uint64_t now_ns)
{
	meter->end_ns = now_ns;
	getrusage(RUSAGE_SELF, &meter->end_usage);
	meter->phase = METER_DONE;
}

void meter_add(struct meter *meter, uint64_t bytes, uint64_t units)
{
	uint64_t now_ns = bench_now_ns();

	meter->bytes_all += bytes;
	meter->last_ns = now_ns;
	switch (meter->phase) {
	case METER_IDLE:
		meter->first_ns = now_ns;
		meter->phase = METER_WARM;
		break;
	case METER_WARM:
		if (now_ns - meter->first_ns >= meter->warm_ns)
			begin(meter, now_ns);
		break;
	case METER_WINDOW:
		meter->bytes += bytes;
		meter->units += units;
		if (now_ns - meter->begin_ns >= meter->window_ns)
			end(meter, now_ns);
		break;
	case METER_DONE:
		break;
	}
}

void meter_stop(struct meter *meter)
{
	if (meter->phase == METER_WINDOW)
		end(meter, meter->last_ns);
	else if (meter->phase != METER_DONE)
		bench_fail("the stream ended before the warm-up was over");
}

static int64_t usage_ns(const struct rusage *usage)
{
	return ((int64_t)usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) *
		       1000000000 +
	       ((int64_t)usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) *
		       1000;
}

void meter_print(const struct meter *meter, const char *more)
{
	printf("{%s\"bytes\":%" PRIu64 ",\"units\":%" PRIu64
	       ",\"bytes_all\":%" PRIu64 ",\"seconds\":%.6f,\"cpu_ns\":%" PRId64
	       "}\n",
	       more, meter->bytes, meter->units, meter->bytes_all,
	       (double)(meter->end_ns - meter->begin_ns) / 1e9,
	       usage_ns(&meter->end_usage) - usage_ns(&meter->begin_usage));
	fflush(stdout);
}
