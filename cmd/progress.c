/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The progress line: see progress.h.
 */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DRAW_US	  200000
#define BAR_WIDTH 28

char *format_bytes(uint64_t bytes, char *out, unsigned size)
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit < 6) {
		value /= 1024;
		unit++;
	}
	snprintf(out, size, unit && value < 100 ? "%.1f %s" : "%.0f %s", value,
		 units[unit]);
	return out;
}

void progress_begin(struct progress *p, bool quiet, uint64_t bytes,
		    uint64_t now_us)
{
	*p = (struct progress){ .shown = !quiet && isatty(STDERR_FILENO),
				.began_us = now_us,
				.drawn_us = now_us,
				.first_bytes = bytes,
				.last_bytes = bytes };
}

/* The newest second counts most. */
static void smooth_rate(struct progress *p, uint64_t bytes, uint64_t now_us)
{
	double seconds = (double)(now_us - p->drawn_us) / 1e6;
	double rate = (double)(bytes - p->last_bytes) / seconds;
	double weight = seconds < 1 ? seconds : 1;

	p->rate = p->rate > 0 ? p->rate + (rate - p->rate) * weight : rate;
	p->last_bytes = bytes;
	p->drawn_us = now_us;
}

static void draw_bar(double share)
{
	char bar[BAR_WIDTH + 1];
	int filled = (int)(share * BAR_WIDTH);

	memset(bar, ' ', BAR_WIDTH);
	memset(bar, '=', (size_t)filled);
	if (filled < BAR_WIDTH)
		bar[filled] = '>';
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "%3d%% [%s] ", (int)(share * 100), bar);
}

static void draw_time_left(double seconds)
{
	unsigned s = seconds < 360000 ? (unsigned)seconds : 360000;

	if (s >= 3600)
		fprintf(stderr, "  %u:%02u:%02u left", s / 3600, s / 60 % 60,
			s % 60);
	else
		fprintf(stderr, "  %u:%02u left", s / 60, s % 60);
}

void progress_update(struct progress *p, uint64_t bytes, uint64_t total,
		     uint64_t now_us)
{
	char amount[16], rate[16];

	if (!p->shown || now_us - p->drawn_us < DRAW_US)
		return;
	smooth_rate(p, bytes, now_us);
	fputc('\r', stderr);
	if (total > 0 && bytes <= total)
		draw_bar((double)bytes / (double)total);
	fprintf(stderr, "%9s %9s/s", format_bytes(bytes, amount, 16),
		format_bytes((uint64_t)p->rate, rate, 16));
	if (total > bytes && p->rate > 0)
		draw_time_left((double)(total - bytes) / p->rate);
	fputs("\033[K", stderr);
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
