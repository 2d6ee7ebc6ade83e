/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TRIPS_H
#define TRIPS_H

#include "bench.h"

/*
 * Round trips: each is a sample of the meter, and those inside its window are
 * kept to find the median and the slowest of a hundred.
 */
#define TRIPS_MAX (1u << 22) /* the first of the window */

struct trips {
	struct meter *meter;
	uint64_t sent_ns;
	uint32_t *ns; /* TRIPS_MAX */
	size_t count;
};

void trips_init(struct trips *trips, struct meter *meter);

static inline void trips_sent(struct trips *trips)
{
	trips->sent_ns = bench_now_ns();
}

void trips_received(struct trips *trips);

/* Text for meter_print(). */
void trips_text(struct trips *trips, char *out, size_t bytes);

#endif
