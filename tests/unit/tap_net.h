/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TAP_NET_H
#define TAP_NET_H

/*
 * A tap in a network namespace that the test makes for itself and that goes
 * away with its process: 192.0.2.1/24 is the kernel's end. One at a time.
 */
#include <tow/dev.h>
#include "buf/pool.h"

extern struct tow_dev *dev;
extern struct tow_pool pool;
extern char error[512];

void tap_net_enter(void); /* the namespace alone; skips the test if it must */
void tap_net_open(const char *spec);
void tap_net_pool(unsigned bufs, unsigned chunks, unsigned chunk_bytes);
void tap_net_close(void); /* everything was given back */

#endif
