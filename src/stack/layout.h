/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAYOUT_H
#define LAYOUT_H

/* The parts of the memory region: offsets from its start, and sizes. */
#include "stack/stack_private.h"

struct layout {
	size_t net, dhcp, udp, tcp, govern;
	size_t pools; /* from here on, each aligned to chunk_bytes */
	size_t tx_pool_bytes, rx_pool_bytes;
	size_t bytes;
};

/* Returns: false if the configuration is invalid. */
bool layout_make(const struct tow_config *cfg, struct layout *out);

#endif
