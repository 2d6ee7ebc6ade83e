/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOST_PRIVATE_H
#define HOST_PRIVATE_H

/*
 * A stack with what a Linux process gives it. host.c makes it, host_wait.c
 * runs it.
 */
#include <poll.h>
#include <signal.h>
#include <tow/host.h>
#include "base/base.h"

struct host_link {
	struct tow_dev *dev; /* the stack's; here only to ask its interface */
	bool gone;
};

/*
 * The poll set: one entry for each link (fd is -1 where there is nothing to
 * wait for), one for signals, then those of the program.
 */
struct tow_host {
	struct tow_stack *stack;
	void *memory;
	size_t memory_bytes;
	char error[512];

	struct host_link *links;
	unsigned link_count, link_max;

	struct pollfd *fds;
	unsigned fd_count, fd_max;
	unsigned signal_at; /* entry of the signalfd; links lie before it */
	sigset_t signals;

	/* Adaptive polling; see host_wait.c. */
	uint64_t spin_us_max;
	uint64_t wait_us;   /* for work: moving average */
	uint64_t worked_us; /* when there was work last */
	uint64_t looked_us; /* when the program's descriptors were looked at */
	bool stalled;
};

#endif
