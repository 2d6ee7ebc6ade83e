/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WORKERS_H
#define WORKERS_H

#include <tow/mark.h>

/*
 * Workers: a few threads for what may sleep.
 *
 * The thread that polls the stack must never wait for a disk. It hands jobs to
 * the workers, goes on, and collects what is done when a descriptor says so.
 *
 *	stack's thread                 worker
 *	workers_submit(job) --------> job->work(job)
 *	workers_fd() readable <------ (done)
 *	workers_collect()
 *	  job->done(job)
 *
 * A job is embedded in whatever it works on. Between submit and done it
 * belongs to the workers; neither side touches it meanwhile.
 */
struct job {
	struct job *next;
	void (*work)(struct job *job); /* on some worker's thread */
	void (*done)(struct job *job); /* on the collecting thread */
};

struct workers;

/*
 * Without threads a job is done when it is submitted. Threads take no signals
 * but for the faults they make.
 *
 * Returns: 0, or a negative errno.
 */
int workers_open(struct workers **out, unsigned threads) TOW_MUST_USE;

/*
 * Jobs begin in the order in which they were submitted. Cannot fail. Submit
 * and collect belong to one thread.
 */
void workers_submit(struct workers *workers, struct job *job);

/* Jobs that were submitted and not collected yet. */
unsigned workers_busy(const struct workers *workers);

/* A descriptor that polls readable when there is something to collect. */
int workers_fd(const struct workers *workers);

/* Call done() of every job that is. */
void workers_collect(struct workers *workers);

/* Wait until all jobs are done and collected, those that they submit too. */
void workers_drain(struct workers *workers);

/* The same, and end the threads. */
void workers_close(struct workers *workers);

#endif
