/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ACCESS_LOG_H
#define ACCESS_LOG_H

#include <stdint.h>
#include <time.h>
#include <tow/mark.h>
#include "host/workers.h"

/*
 * Access log: a line per response in the common log format, to stdout.
 *
 *	10.98.0.1 - - [23/Nov/2026:16:20:01 +0000] "GET /a HTTP/1.1" 200 4096
 *	10.98.0.1 - ann [23/Nov/2026:16:20:02 +0000] "STOR /a FTP" 226 4096
 *
 * A reader of stdout that is slow must not make the server slow: lines are
 * collected and written by a worker, and when too many wait they are left out,
 * which a later line says.
 */
struct access_log;

struct access_entry {
	const char *peer;
	const char *user;	     /* NULL: nobody in particular */
	const char *method, *target; /* as the client wrote them */
	const char *protocol;	     /* "HTTP/1.1" */
	int status;
	uint64_t body_bytes;
};

/* Returns: 0, or a negative errno. */
int access_log_open(struct access_log **out, struct workers *workers,
		    int fd) TOW_MUST_USE;
void access_log_add(struct access_log *log, time_t now,
		    const struct access_entry *entry);

/* A line of another kind: the peer, the time, and what is said. */
void access_log_say(struct access_log *log, time_t now, const char *peer,
		    const char *what);

/* Have what is there written; without waiting. */
void access_log_flush(struct access_log *log);

/* From now on a reader that stands still is not waited for. */
void access_log_end(struct access_log *log);

/* Write the rest here and now; no job may be under way. */
void access_log_close(struct access_log *log);

#endif
