/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wait: run the stack, spin a little, sleep.
 *
 * Theory of operation
 *
 *	     +-------------------------------+
 *	     v                               |
 *	tow_poll() -- work ------------------+
 *	     | none                          |
 *	     +-- less than spin_us since work, else
 *	     |                               |
 *	     +-- ppoll() until a device, a descriptor, a signal, the deadline
 *
 * Each round may end the wait: with events, with a descriptor of the program
 * that is ready, with a caught signal, or with the time that was given.
 *
 * Whether to spin adapts. The host keeps an average of how long it had to wait
 * for work, by spinning or asleep. While that is below spin_us_max, spinning is
 * cheaper than a wake-up, and the host spins up to spin_us_max; above, it
 * sleeps at once. So a busy stack answers at once, and one that serves slow
 * readers, or nobody, costs next to nothing.
 *
 * The program's descriptors are looked at before each sleep, and every
 * LOOK_US while there is work, so that a flood of frames does not keep a
 * signal from being seen.
 *
 * A device without a descriptor has to be polled: the sleep is cut to
 * POLLED_US. A device that is readable though the stack takes nothing from it
 * (it is out of buffers that the program holds) would end every sleep at once;
 * after a round in which that happened devices are left out of one sleep of
 * STALLED_US.
 */
#include <errno.h>
#include <time.h>
#include "host/host_private.h"

#define LOOK_US	   50
#define POLLED_US  50
#define STALLED_US 1000
#define LONG_WAITS \
	8 /* in the average, a wait counts no more than this many \
	   * times spin_us_max: a pause is soon forgotten */

static void pause_spinning(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void forget_readiness(struct tow_host *host)
{
	for (unsigned i = 0; i < host->fd_count; i++)
		host->fds[i].revents = 0;
}

/* A device that is gone polls as ready for ever; do not wait for it. */
static void note_gone_devices(struct tow_host *host,
			      const struct tow_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		if (events[i].type != TOW_EVENT_DEVICE ||
		    events[i].token >= host->link_count)
			continue;
		host->links[events[i].token].gone = true;
		host->fds[events[i].token].fd = -1;
	}
}

static bool has_polled_device(const struct tow_host *host)
{
	for (unsigned i = 0; i < host->link_count; i++)
		if (!host->links[i].gone && host->fds[i].fd < 0)
			return true;
	return false;
}

/* Is something ready that is the program's, from @first on? */
static bool is_ready(const struct tow_host *host, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++)
		if (host->fds[i].revents)
			return true;
	return false;
}

/* Returns: false when a signal handler of the program ran. */
static bool poll_from(struct tow_host *host, unsigned first, uint64_t us)
{
	struct timespec limit = { .tv_sec = (time_t)(us / 1000000),
				  .tv_nsec = (long)(us % 1000000) * 1000 };

	if (ppoll(host->fds + first, host->fd_count - first,
		  us == UINT64_MAX ? NULL : &limit, NULL) >= 0)
		return true;
	forget_readiness(host);
	return errno != EINTR;
}

/* Look, without sleeping, at what the program waits for. */
static bool look(struct tow_host *host, uint64_t now_us)
{
	host->looked_us = now_us;
	if (host->fd_count == host->signal_at + 1 &&
	    host->fds[host->signal_at].fd < 0)
		return false;
	return !poll_from(host, host->signal_at, 0) ||
	       is_ready(host, host->signal_at, host->fd_count);
}

static uint64_t sleep_limit_us(const struct tow_host *host, uint64_t now_us,
			       uint64_t until_us)
{
	uint64_t deadline_us = MIN(tow_deadline(host->stack), until_us);
	uint64_t limit_us;

	if (deadline_us == UINT64_MAX)
		limit_us = UINT64_MAX;
	else
		limit_us = deadline_us > now_us ? deadline_us - now_us : 0;
	if (has_polled_device(host))
		limit_us = MIN(limit_us, (uint64_t)POLLED_US);
	if (host->stalled)
		limit_us = MIN(limit_us, (uint64_t)STALLED_US);
	return limit_us;
}

/* There is work again: how long was the wait for it? */
static void note_wait(struct tow_host *host, uint64_t now_us)
{
	uint64_t wait_us = now_us - host->worked_us;

	wait_us = MIN(wait_us, LONG_WAITS * host->spin_us_max);
	host->wait_us = (7 * host->wait_us + wait_us) / 8;
}

/* Returns: true when something of the program's is ready, or was signalled. */
static bool sleep_until(struct tow_host *host, uint64_t now_us,
			uint64_t until_us)
{
	uint64_t limit_us = sleep_limit_us(host, now_us, until_us);
	unsigned first = host->stalled ? host->signal_at : 0;
	uint64_t woke_us;

	if (!limit_us)
		return false;
	if (!poll_from(host, first, limit_us))
		return true;
	woke_us = tow_host_clock_us();
	host->looked_us = woke_us;
	host->stalled = !host->stalled && is_ready(host, 0, host->link_count);
	return is_ready(host, host->signal_at, host->fd_count);
}

static bool keeps_spinning(const struct tow_host *host, uint64_t now_us)
{
	return host->wait_us < host->spin_us_max &&
	       now_us - host->worked_us < host->spin_us_max;
}

int tow_host_wait(struct tow_host *host, struct tow_event *events, int max,
		  int64_t timeout_us)
{
	uint64_t now_us = tow_host_clock_us();
	uint64_t until_us =
		timeout_us < 0 ? UINT64_MAX : now_us + (uint64_t)timeout_us;

	forget_readiness(host);
	for (;; now_us = tow_host_clock_us()) {
		int worked = tow_poll(host->stack, now_us);
		int count = tow_events(host->stack, events, max);

		if (worked) {
			note_wait(host, now_us);
			host->worked_us = now_us;
			host->stalled = false;
		}
		if (count > 0) {
			note_gone_devices(host, events, count);
			if (now_us - host->looked_us >= LOOK_US)
				(void)look(host, now_us);
			return count;
		}
		if (now_us >= until_us) {
			(void)look(host, now_us);
			return 0;
		}
		if (now_us - host->looked_us >= LOOK_US && look(host, now_us))
			return 0;
		if (worked)
			continue;
		if (keeps_spinning(host, now_us))
			pause_spinning();
		else if (sleep_until(host, now_us, until_us))
			return 0;
	}
}
