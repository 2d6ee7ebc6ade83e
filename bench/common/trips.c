/* SPDX-License-Identifier: BSD-2-Clause */
#include "trips.h"

#include <inttypes.h>
#include <stdlib.h>

void trips_init(struct trips *trips, struct meter *meter)
{
	*trips = (struct trips){ .meter = meter };
	trips->ns = calloc(TRIPS_MAX, sizeof(trips->ns[0]));
	if (!trips->ns)
		bench_fail("out of memory");
}

void trips_received(struct trips *trips)
{
	uint64_t ns = bench_now_ns() - trips->sent_ns;

	if (trips->meter->phase == METER_WINDOW && trips->count < TRIPS_MAX)
		trips->ns[trips->count++] =
			ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
	meter_add(trips->meter, 1, 1);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

void trips_text(struct trips *trips, char *out, size_t bytes)
{
	uint32_t median = 0, slow = 0;

	qsort(trips->ns, trips->count, sizeof(trips->ns[0]), by_size);
	if (trips->count) {
		median = trips->ns[trips->count / 2];
		slow = trips->ns[trips->count - 1 - trips->count / 100];
	}
	snprintf(out, bytes, "\"rtt_ns\":%" PRIu32 ",\"rtt99_ns\":%" PRIu32 ",",
		 median, slow);
	free(trips->ns);
	trips->ns = NULL;
}
