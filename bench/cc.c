/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Congestion control seen: each controller on each path of a list, by itself,
 * in the simulator and so in virtual time. One seed decides all.
 *
 *	cc [--json]
 *
 * The queue of a bottleneck holds the product of its rate and round trip, 30
 * packets at least. Flows start together and have eleven round trips, and below
 * 1 Gb/s a second at least, to find their share before it is measured.
 */
#include "tests/sim/flows.h"

#define MEGABIT	    1000000ull
#define QUEUE_LEAST (30 * 1514u)

static const struct path {
	unsigned mbit, rtt_ms, count, loss_ppm;
	uint64_t run_ms;
} paths[] = {
	{ 1, 300, 1, 0, 60000 },     { 1, 40, 4, 0, 60000 },
	{ 10, 40, 1, 0, 30000 },     { 10, 40, 8, 0, 30000 },
	{ 10, 40, 1, 20000, 30000 }, { 100, 20, 1, 0, 10000 },
	{ 100, 20, 4, 0, 10000 },    { 100, 20, 32, 0, 10000 },
	{ 100, 20, 4, 1000, 10000 }, { 100, 100, 1, 0, 15000 },
	{ 100, 100, 1, 100, 15000 }, { 100, 100, 1, 10000, 15000 },
	{ 1000, 1, 1, 0, 1000 },     { 1000, 10, 4, 0, 2000 },
	{ 1000, 50, 1, 0, 4000 },    { 10000, 1, 1, 0, 200 },
	{ 10000, 1, 4, 0, 200 },     { 10000, 5, 1, 0, 400 },
};

static const enum tow_tcp_congestion controllers[] = { TOW_TCP_NEWRENO,
						       TOW_TCP_CUBIC,
						       TOW_TCP_BBR };

static struct flows flows_of(const struct path *p,
			     enum tow_tcp_congestion which)
{
	uint64_t bits_per_s = p->mbit * MEGABIT;
	uint64_t bdp = bits_per_s / 8 * p->rtt_ms / 1000;
	uint64_t warm_us = p->rtt_ms * 11000ull;

	/* above a second 10 Gb/s would be a gigabyte of nothing to see */
	if (p->mbit < 1000 && warm_us < 1000000)
		warm_us = 1000000;
	return (struct flows){
		.how = { .congestion = which,
			 .count = p->count,
			 .bits_per_s = bits_per_s,
			 .rtt_us = p->rtt_ms * 1000,
			 .queue_bytes = (uint32_t)MAX(bdp, QUEUE_LEAST),
			 .loss_ppm = p->loss_ppm,
			 .warm_us = warm_us,
			 .run_us = p->run_ms * 1000 },
	};
}

static void print_row(const struct path *p, const struct flows *f, bool json,
		      bool first)
{
	char name[80];

	if (p->mbit < 1000)
		snprintf(name, sizeof(name), "%u Mb/s, %u ms", p->mbit,
			 p->rtt_ms);
	else
		snprintf(name, sizeof(name), "%u Gb/s, %u ms", p->mbit / 1000,
			 p->rtt_ms);
	if (json)
		printf("%s\n{\"name\":\"%s, %u flow%s, %g %% lost: %s\","
		       "\"controller\":\"%s\",\"mbit\":%u,\"rtt_ms\":%u,"
		       "\"flows\":%u,\"loss_ppm\":%u,\"used\":%.4f,"
		       "\"jain\":%.4f,\"queue_ms\":%.4f,\"resent\":%.5f,"
		       "\"recovery_ms\":%.1f,\"timeouts\":%llu}",
		       first ? "" : ",", name, p->count,
		       p->count > 1 ? "s" : "", p->loss_ppm / 1e4,
		       flows_name(f->how.congestion),
		       flows_name(f->how.congestion), p->mbit, p->rtt_ms,
		       p->count, p->loss_ppm, f->used, f->jain, f->queue_ms,
		       f->lost, f->recovery_ms,
		       (unsigned long long)f->timeouts);
	else
		printf("%-17s %2u %5g %%  %-8s %6.1f %%  %5.3f %8.2f %8.2f %% "
		       "%8.0f %6llu\n",
		       name, p->count, p->loss_ppm / 1e4,
		       flows_name(f->how.congestion), 100 * f->used, f->jain,
		       f->queue_ms, 100 * f->lost, f->recovery_ms,
		       (unsigned long long)f->timeouts);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0, first = true;

	printf(json ? "{\"bench\":\"cc\",\"rows\":["
		    : "path           flows  lost  controller  used   Jain "
		      "queue ms  sent again recovery ms timeouts\n");
	for (unsigned i = 0; i < LENGTH(paths); i++) {
		for (unsigned k = 0; k < LENGTH(controllers); k++) {
			struct flows f = flows_of(&paths[i], controllers[k]);

			if (!flows_run(&f))
				return 1;
			print_row(&paths[i], &f, json, first);
			first = false;
		}
	}
	printf(json ? "]}\n" : "");
	return 0;
}
