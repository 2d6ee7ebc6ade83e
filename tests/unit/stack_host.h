/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef STACK_HOST_H
#define STACK_HOST_H

/*
 * A whole stack with one fake device, for tests that go through packets:
 *
 *	stack 192.0.2.1/24, 2001:db8::1/64 ---- the test, 192.0.2.2, 2001:db8::2
 *	      fake_mac                          peer_mac; both are known already
 */
#include <tow/stack.h>
#include <tow/udp.h>
#include "fake_dev.h"
#include "frame.h"

struct stack_host {
	struct tow_stack *stack;
	struct fake_dev fake;
	uint64_t now_us;
	unsigned seen; /* frames that were looked at */
	void *memory;
	size_t bytes;
};

void stack_host_config(struct tow_config *cfg);
void stack_host_open(struct stack_host *s, uint32_t caps);
void stack_host_open_with(struct stack_host *s, const struct tow_config *cfg,
			  uint32_t caps);

/* Checks that all buffers and chunks came back; closes the stack. */
void stack_host_close(struct stack_host *s);

/* One poll, or as many as fit into @us. */
int stack_host_poll(struct stack_host *s);
void stack_host_run(struct stack_host *s, uint64_t us);

/* Receive a frame, in a poll of its own. */
void stack_host_receive(struct stack_host *s, const struct frame *f);

/* Polls; frames that were sent since the last look. */
unsigned stack_host_sent(struct stack_host *s);

/* The next event, or all zero. */
struct tow_event stack_host_event(struct stack_host *s);

uint64_t stack_host_drops(const struct stack_host *s, enum tow_drop why);

#endif
