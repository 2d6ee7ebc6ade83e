/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TAP_STEER_H
#define TAP_STEER_H

/*
 * Steering: which queue of a multi-queue tap gets the frames of a flow. A BPF
 * program in the kernel looks a frame's flow up in a map; all that is not in
 * it goes to queue 0.
 */
#include "base/base.h"

/*
 * A flow as its frames show it: what lies in a row in the headers does so
 * here, so that program and driver take it as it is.
 */
struct tap_flow {
	uint8_t addresses[32]; /* source, destination; IPv4 has 8 bytes */
	uint8_t ports[4];      /* source, destination */
	uint8_t protocol;
	uint8_t version; /* 4 or 6 */
	uint8_t zero[2];
};

struct tap_steer {
	int map, program; /* descriptors; -1: there is no steering */
};

/* Returns: 0, or why the kernel does not let us: TOW_EPERM, TOW_ENOMEM, … */
int tap_steer_open(struct tap_steer *steer, unsigned flows_max);
void tap_steer_close(struct tap_steer *steer);

/* Let @tap, a descriptor of one of its queues, be steered, or no longer. */
int tap_steer_attach(const struct tap_steer *steer, int tap);
void tap_steer_detach(int tap);

int tap_steer_add(const struct tap_steer *steer, const struct tap_flow *flow,
		  uint32_t queue);
void tap_steer_remove(const struct tap_steer *steer,
		      const struct tap_flow *flow);

/* How many queues of a tap have a holder, whoever it is; 0: unknown. */
unsigned tap_steer_queues(const char *name);

#endif
