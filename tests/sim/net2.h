/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef NET2_H
#define NET2_H

/*
 * Two ports of the simulator on a segment, a and b, a pool for each, and no
 * stack: frames go in by ops->tx and come out by ops->rx, as a stack would do
 * it. TCP from 10.0.0.1:1000 to 10.0.0.2:2000.
 */
#include <tow/sim.h>
#include "buf/pool.h"
#include "plain.h"
#include "test.h"

enum {
	NET2_BUFS = 64,
	NET2_CHUNKS = 128,
	NET2_CHUNK = 2048,
	TCP_AT = 34,
	PAYLOAD_AT = 54,
	NET2_SEQUENCE = 256,
};

struct net2 {
	struct tow_sim *sim;
	struct tow_dev *a, *b;
	struct tow_sim_port how_a, how_b;
	struct tow_pool pool_a, pool_b;
	void *memory_a, *memory_b;
	uint64_t empty;
};

/* how_a and how_b may be changed before net2_open(). */
struct net2 *net2_new(void);
void net2_open(struct net2 *net, uint64_t seed);
/* What a test took it must have given back, and so must the devices. */
void net2_close(struct net2 *net);
void net2_free(struct net2 *net);

void net2_fill(uint8_t *out, size_t bytes);
/* Ethernet, IPv4 and TCP headers for so much payload, partial checksum. */
void net2_write_headers(uint8_t *h, const struct tow_dev *from,
			const struct tow_dev *to, unsigned payload);
struct tow_buf *net2_frame(struct net2 *net, const uint8_t *payload,
			   unsigned bytes);
void net2_send(struct net2 *net, struct tow_buf *buf);
void net2_run(struct net2 *net, uint64_t until_us);
/* What b has received, or NULL. */
struct tow_buf *net2_receive(struct net2 *net);
uint64_t net2_fate(const struct tow_dev *dev, enum tow_sim_fate fate);
bool net2_sum_is_right(const uint8_t *frame, unsigned bytes);

#endif
