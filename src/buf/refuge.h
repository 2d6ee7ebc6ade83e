/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef REFUGE_H
#define REFUGE_H

/*
 * Refuge: a pool in plain memory of an owner's, to which received bytes are
 * moved so that the device gets its buffers back.
 */
#include "buf/copy.h"
#include "buf/pool.h"

/* False: @bytes at @memory are too little for one buffer of any size. */
bool refuge_init(struct tow_pool *refuge, void *memory, size_t bytes,
		 uint32_t chunk_bytes, uint64_t *empty_counter);

/* refuge_take() would find a buffer for so many. */
bool refuge_has(const struct tow_pool *refuge, uint32_t bytes);

/* A buffer that has room for @bytes, without any; or NULL. */
struct tow_buf *refuge_take(struct tow_pool *refuge, uint32_t bytes);

/* Can @bytes be put behind those of @buf, which is in a refuge? */
bool refuge_fits(const struct tow_buf *buf, uint32_t bytes);

/* Put @from's bytes from @offset on behind those of @buf, where they fit. */
void refuge_pour(struct tow_buf *buf, const struct tow_buf *from,
		 uint32_t offset, struct ledgers ledgers, enum tow_copy why);

#endif
