/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Worker threads: see workers.h.
 *
 * Theory of operation. Two queues under one lock: jobs that wait, and jobs
 * that are done. Workers sleep on a condition variable for the first; the
 * second is announced by an eventfd, written only when the queue was empty, so
 * that a burst of completions costs one wake-up. Collecting takes the whole
 * queue at once and runs it without the lock. Without threads a job is done
 * where it is submitted, and collected as ever.
 */
#include "host/workers.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct queue {
	struct job *first, **end;
};

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct queue waiting, finished;
	int fd; /* eventfd: finished is not empty */
	bool closing;
	unsigned outstanding; /* submitted, not collected; collector's thread */
	unsigned thread_count;
	pthread_t threads[];
};

static void put(struct queue *q, struct job *job)
{
	job->next = NULL;
	*q->end = job;
	q->end = &job->next;
}

static struct job *take(struct queue *q)
{
	struct job *job = q->first;

	if (job) {
		q->first = job->next;
		if (!q->first)
			q->end = &q->first;
	}
	return job;
}

static void announce(struct workers *w)
{
	uint64_t one = 1;
	ssize_t n;

	/* Fails only when it would overflow, and then it is readable. */
	n = write(w->fd, &one, sizeof(one));
	(void)n;
}

static void finish(struct workers *w, struct job *job)
{
	if (!w->finished.first)
		announce(w);
	put(&w->finished, job);
}

static void *work(void *context)
{
	struct workers *w = context;
	struct job *job;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (!(job = take(&w->waiting)) && !w->closing)
			pthread_cond_wait(&w->wake, &w->lock);
		if (!job)
			break;
		pthread_mutex_unlock(&w->lock);
		job->work(job);
		pthread_mutex_lock(&w->lock);
		finish(w, job);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* Signals are for the program's own threads, but for what a thread does. */
static int start(struct workers *w, unsigned threads)
{
	static const int faults[] = { SIGBUS, SIGSEGV, SIGFPE, SIGILL };
	sigset_t mask, before;
	int error = 0;

	sigfillset(&mask);
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&mask, faults[i]);
	pthread_sigmask(SIG_BLOCK, &mask, &before);
	while (!error && w->thread_count < threads) {
		error = pthread_create(&w->threads[w->thread_count], NULL, work,
				       w);
		w->thread_count += !error;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

int workers_open(struct workers **out, unsigned threads)
{
	struct workers *w;
	int error = 0;

	w = calloc(1, sizeof(*w) + threads * sizeof(w->threads[0]));
	if (!w)
		return -ENOMEM;
	w->waiting.end = &w->waiting.first;
	w->finished.end = &w->finished.first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0)
		error = errno;
	else
		error = start(w, threads);
	if (error) {
		workers_close(w);
		return -error;
	}
	*out = w;
	return 0;
}

unsigned workers_busy(const struct workers *w)
{
	return w->outstanding;
}

void workers_submit(struct workers *w, struct job *job)
{
	w->outstanding++;
	if (w->thread_count == 0) {
		job->work(job);
		finish(w, job);
		return;
	}
	pthread_mutex_lock(&w->lock);
	put(&w->waiting, job);
	pthread_mutex_unlock(&w->lock);
	pthread_cond_signal(&w->wake);
}

int workers_fd(const struct workers *w)
{
	return w->fd;
}

void workers_collect(struct workers *w)
{
	struct job *job, *next;
	uint64_t count;
	ssize_t n;

	n = read(w->fd, &count, sizeof(count));
	(void)n;
	pthread_mutex_lock(&w->lock);
	job = w->finished.first;
	w->finished.first = NULL;
	w->finished.end = &w->finished.first;
	pthread_mutex_unlock(&w->lock);
	for (; job; job = next) {
		next = job->next; /* done() may free the job or submit it */
		w->outstanding--;
		job->done(job);
	}
}

void workers_drain(struct workers *w)
{
	struct pollfd wait = { .fd = w->fd, .events = POLLIN };

	while (w->outstanding > 0) {
		(void)poll(&wait, 1, -1);
		workers_collect(w);
	}
}

void workers_close(struct workers *w)
{
	unsigned i;

	if (w->fd >= 0)
		workers_drain(w);
	pthread_mutex_lock(&w->lock);
	w->closing = true;
	pthread_cond_broadcast(&w->wake);
	pthread_mutex_unlock(&w->lock);
	for (i = 0; i < w->thread_count; i++)
		pthread_join(w->threads[i], NULL);
	if (w->fd >= 0)
		close(w->fd);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
