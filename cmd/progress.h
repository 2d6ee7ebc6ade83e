/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Progress: one line on a terminal that says how a transfer goes.
 *
 *	 45% [=========>          ]  460 MiB  850 MiB/s  0:12 left
 *
 * Silent where stderr is no terminal.
 */
struct progress {
	bool shown;
	uint64_t began_us, drawn_us;
	uint64_t first_bytes; /* there before this run */
	double rate;	      /* bytes per second, smoothed */
	uint64_t last_bytes;
};

void progress_begin(struct progress *p, bool quiet, uint64_t bytes,
		    uint64_t now_us);

/* @total: 0 when nobody knows. Draws a few times a second at most. */
void progress_update(struct progress *p, uint64_t bytes, uint64_t total,
		     uint64_t now_us);

/* Take the line away. */
void progress_end(struct progress *p);

/* "1.5 MiB": into a buffer of at least 16 bytes, which it returns. */
char *format_bytes(uint64_t bytes, char *out, unsigned size);

#endif
