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

/* Can the file be made? With a message on stderr when not. */
int stats_check(const char *path, const char *command);

/*
 * stats_save() - replace the file, never showing half of it
 * @more: members to be put behind, "a": {…}, "b": {…}; or nothing
 *
 * Returns: 0, or a negative errno after a message on stderr. A FIFO that
 *          nobody reads is no failure.
 */
int stats_save(const char *path, const struct tow_stats *stats,
	       const struct text *more, const char *command);

#endif
