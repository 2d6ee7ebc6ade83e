/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tap in a namespace of the test's own; see tap_net.h.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <tow/addr.h>
#include <tow/host.h>
#include "tap_net.h"
#include "test.h"

struct tow_dev *dev;
struct tow_pool pool;
char error[512];

static uint64_t empty_count;
static void *pool_memory;

void tap_net_enter(void)
{
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		SKIP("no permission for a network namespace");
	if (access("/dev/net/tun", R_OK | W_OK))
		SKIP("/dev/net/tun cannot be opened");
}

void tap_net_pool(unsigned bufs, unsigned chunks, unsigned chunk_bytes)
{
	size_t need = pool_need(bufs, chunks, chunk_bytes);

	need = (need + chunk_bytes - 1) / chunk_bytes * chunk_bytes;
	pool_memory = aligned_alloc(chunk_bytes, need);
	CHECK(pool_memory != NULL);
	pool_init(&pool, pool_memory, bufs, chunks, chunk_bytes, &empty_count);
	dev->pool = &pool;
}

void tap_net_open(const char *spec)
{
	struct tow_addr addr = tow_addr_v4(192, 0, 2, 1);
	int failed;

	tap_net_enter();
	failed = tow_dev_open(&dev, spec, error, sizeof(error));
	if (failed)
		printf("# %s\n", error);
	CHECK_EQ(failed, 0);
	CHECK_EQ(tow_netif_up(tow_dev_interface(dev), error, sizeof(error)), 0);
	CHECK_EQ(tow_netif_add_addr(tow_dev_interface(dev), &addr, 24, error,
				    sizeof(error)),
		 0);
}

void tap_net_close(void)
{
	dev->ops->close(dev);
	CHECK_EQ(pool.bufs_left, pool.bufs_total);
	CHECK_EQ(pool.chunks_left, pool.chunks_total);
	pool_close(&pool);
	free(pool_memory);
}
