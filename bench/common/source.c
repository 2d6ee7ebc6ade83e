/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The source that senders send from.
 *
 * bench/run fills one memory file and hands its descriptor to every sender,
 * so that all of them read the same pages of the page cache. Started by hand,
 * without --source, a program makes a small one of its own.
 */
#include "bench.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_SOURCE_BYTES (64u << 20)
#define HOT_BYTES	 (256u << 10) /* fits a core's second-level cache */

static int make_own(void)
{
	int fd = memfd_create("source", 0);

	if (fd < 0 || ftruncate(fd, OWN_SOURCE_BYTES) < 0)
		bench_fail("memfd: %m");
	return fd;
}

void source_open(struct source *source, const struct bench_args *args)
{
	struct stat file;
	void *base;

	source->fd = args->source_fd < 0 ? make_own() : args->source_fd;
	if (fstat(source->fd, &file) < 0)
		bench_fail("source: %m");
	base = mmap(NULL, (size_t)file.st_size, PROT_READ,
		    MAP_SHARED | MAP_POPULATE, source->fd, 0);
	if (base == MAP_FAILED)
		bench_fail("source: %m");
	source->base = base;
	source->bytes = (size_t)file.st_size;
	source->at = 0;
	if (args->hot && source->bytes > HOT_BYTES)
		source->bytes = HOT_BYTES;
	if (source->bytes < args->block_bytes)
		bench_fail("a block is longer than the source");
}

const uint8_t *source_next(struct source *source, size_t bytes)
{
	const uint8_t *piece;

	if (source->bytes - source->at < bytes)
		source->at = 0;
	piece = source->base + source->at;
	source->at += bytes;
	return piece;
}
