/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef STATS_H
#define STATS_H

#include <stdio.h>
#include <tow/stack.h>
#include "text.h"

/*
 * What a stack counted, as JSON:
 *
 *	{
 *	  "ledger": {
 *	    "tx": { "lent_bytes": 1, "copied_bytes": { "send": 2, … },
 *	            "touched_bytes": 3 },
 *	    "rx": { … }
 *	  },
 *	  "drops": { "link_short": 0, … },
 *	  "tcp": { "segs_in": 4, … }, "udp": { … }, …
 *	}
 *
 * All keys come from the lists in tow/ledger.h, so a new counter shows up by
 * itself. A counter's group is its name up to the first underscore.
 */
void stats_json(struct text *out, const struct tow_stats *stats);

/* The same with @more members behind: "a": {…}, "b": {…}. */
void stats_json_more(struct text *out, const struct tow_stats *stats,
		     const struct text *more);

/*
 * stats_write() - replace a file by some text, never showing half of it
 *
 * Returns: 0, or a negative errno.
 */
int stats_write(const char *path, const struct text *text);

/* Can a file be made there? With a message on stderr when not. */
int stats_check(const char *path, const char *command);

/* Both together, with a message on stderr when it fails. */
int stats_save(const char *path, const struct tow_stats *stats,
	       const char *command);
int stats_save_more(const char *path, const struct tow_stats *stats,
		    const struct text *more, const char *command);

#endif
