/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk: the blocks, and who gets one.
 *
 * Theory of operation. Blocks are cut from one mapping and come to life when
 * they are used first. The one that was free for the shortest time is used
 * next, because it is the likeliest to be in a cache.
 *
 *	FREE --> POSTED (to a connection) ---> FULL --> FREE
 *	     \-> RESERVED (by the program) -/    written
 *	            POSTED --> RECALLED --> FULL or FREE
 *
 * A sink has at most sink_blocks_max. When there are more sinks than blocks
 * they wait in a line, and one that was served stands behind the others. A
 * peer that is silent, or slow, could keep a block for long: when others wait,
 * the post that is the oldest is taken back after HOLD_US with what it has.
 * So a sink always gets on, and what it cannot take meanwhile the stack does
 * not acknowledge room for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>
#include <tow/error.h>
#include <tow/host.h>
#include "base/base.h"
#include "host/disk_private.h"

#define HOLD_US	   200000
#define HUGE_BYTES 0x200000

void tow_disk_config_default(struct tow_disk_config *cfg)
{
	*cfg = (struct tow_disk_config){
		.block_bytes = 524288,
		.blocks_max = 64,
		.sink_blocks_max = 4,
		.threads = 2,
	};
}

/* --- opening and closing ----------------------------------------------------
 */

static bool is_valid(const struct tow_disk_config *cfg)
{
	return cfg->block_bytes >= 65536 && cfg->block_bytes <= 16777216 &&
	       (cfg->block_bytes & (cfg->block_bytes - 1)) == 0 &&
	       cfg->blocks_max >= 2 && cfg->blocks_max <= 4096 &&
	       cfg->sink_blocks_max >= 2 && cfg->sink_blocks_max <= 64 &&
	       cfg->threads <= 64;
}

/* Aligned for huge pages: fewer entries for the kernel to copy into. */
static int map_blocks(struct tow_disk *disk)
{
	size_t bytes = disk->cfg.block_bytes * disk->cfg.blocks_max;
	size_t slack;
	uint8_t *at;

	at = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return TOW_ENOMEM;
	slack = -(uintptr_t)at & (HUGE_BYTES - 1);
	if (slack > 0)
		munmap(at, slack);
	munmap(at + slack + bytes, HUGE_BYTES - slack);
	disk->memory = at + slack;
	(void)madvise(disk->memory, bytes, MADV_HUGEPAGE);
	return 0;
}

static int make_blocks(struct tow_disk *disk)
{
	unsigned i;
	int error;

	disk->blocks = calloc(disk->cfg.blocks_max, sizeof(*disk->blocks));
	if (!disk->blocks)
		return TOW_ENOMEM;
	error = map_blocks(disk);
	for (i = 0; !error && i < disk->cfg.blocks_max; i++) {
		struct disk_block *block = &disk->blocks[i];

		block->memory = disk->memory + i * disk->cfg.block_bytes;
		block->request.disk = disk;
		block->request.buffer = -1;
		list_init(&block->link);
		list_init(&block->posted);
		list_append(&disk->free, &block->link);
	}
	return error;
}

static void free_disk(struct tow_disk *disk)
{
	if (disk->workers) {
		request_close(disk);
		workers_close(disk->workers);
	}
	if (disk->memory)
		munmap(disk->memory,
		       disk->cfg.block_bytes * disk->cfg.blocks_max);
	free(disk->blocks);
	free(disk);
}

int tow_disk_open(struct tow_disk **out, const struct tow_disk_config *wanted)
{
	struct tow_disk_config cfg;
	struct tow_disk *disk;
	int error;

	tow_disk_config_default(&cfg);
	if (wanted)
		cfg = *wanted;
	*out = NULL;
	if (!is_valid(&cfg))
		return TOW_EINVAL;
	disk = calloc(1, sizeof(*disk));
	if (!disk)
		return TOW_ENOMEM;
	disk->cfg = cfg;
	list_init(&disk->free);
	list_init(&disk->posted);
	list_init(&disk->sinks);
	list_init(&disk->waiting);
	list_init(&disk->changed);
	error = workers_open(&disk->workers, cfg.threads);
	if (!error) {
		request_open(disk);
		error = make_blocks(disk);
	}
	if (error) {
		free_disk(disk);
		return error == TOW_ENOMEM ? error : TOW_ENOMEM;
	}
	*out = disk;
	return 0;
}

static void collect(struct tow_disk *disk)
{
	request_flush(disk);
	workers_collect(disk->workers);
	request_collect(disk);
	request_flush(disk);
}

static struct tow_sink *find_open(const struct tow_disk *disk)
{
	LIST_EACH (node, &disk->sinks) {
		struct tow_sink *sink = CONTAINER(node, struct tow_sink, link);

		if (!sink->closed)
			return sink;
	}
	return NULL;
}

/* A sink whose posts' events will not come any more is freed here. */
static void free_sinks(struct tow_disk *disk)
{
	LIST_EACH (node, &disk->sinks) {
		struct tow_sink *sink = CONTAINER(node, struct tow_sink, link);

		sink_discard(sink);
	}
}

void tow_disk_close(struct tow_disk *disk)
{
	struct pollfd wait = { .fd = tow_disk_fd(disk), .events = POLLIN };

	struct tow_sink *sink;

	while ((sink = find_open(disk)))
		tow_sink_close(sink);
	collect(disk);
	while (disk->requests || workers_busy(disk->workers)) {
		(void)poll(&wait, 1, disk->unsubmitted ? 10 : -1);
		collect(disk);
	}
	free_sinks(disk);
	free_disk(disk);
}

const char *tow_disk_how(const struct tow_disk *disk)
{
	return disk->how;
}

int tow_disk_fd(const struct tow_disk *disk)
{
	return workers_fd(disk->workers);
}

/* --- blocks -----------------------------------------------------------------
 */

void disk_wait_in_line(struct tow_sink *sink)
{
	if (list_empty(&sink->waiting))
		list_append(&sink->disk->waiting, &sink->waiting);
}

/* A block for a sink, or a place in the line. */
struct disk_block *disk_take_block(struct tow_sink *sink)
{
	struct tow_disk *disk = sink->disk;
	struct disk_block *block;

	if (sink->block_count >= disk->cfg.sink_blocks_max)
		return NULL; /* until one of its own comes back */
	if (list_empty(&disk->free) ||
	    (!list_empty(&disk->waiting) && !sink->has_turn)) {
		disk_wait_in_line(sink);
		return NULL;
	}
	sink->has_turn = false;
	block = CONTAINER(disk->free.next, struct disk_block, link);
	list_remove(&block->link);
	request_register(block);
	block->sink = sink;
	list_append(&sink->blocks, &block->link);
	sink->block_count++;
	return block;
}

void disk_give_block(struct disk_block *block)
{
	struct tow_sink *sink = block->sink;

	list_remove(&block->posted);
	list_remove(&block->link);
	list_add(&sink->disk->free, &block->link);
	block->sink = NULL;
	block->state = BLOCK_FREE;
	sink->block_count--;
	if (sink->wants_block) {
		sink->wants_block = false;
		sink_changed(sink);
	}
}

/*
 * Whoever is first has a turn: one block, and if it wants more it stands
 * behind the others again. Each is asked once.
 */
static void serve_line(struct tow_disk *disk)
{
	struct list *last = disk->waiting.prev;

	while (!list_empty(&disk->waiting) && !list_empty(&disk->free)) {
		struct list *first = disk->waiting.next;
		struct tow_sink *sink =
			CONTAINER(first, struct tow_sink, waiting);

		list_remove(first);
		sink->has_turn = true;
		if (sink->tcp)
			feed_go_on(sink);
		else
			sink_changed(sink); /* it wanted to reserve */
		if (first == last)
			return;
	}
}

/*
 * Others wait, and this one's peer keeps it waiting. One whose stream has ended
 * keeps nobody waiting: the events of its other posts are on their way.
 */
static void recall_oldest(struct tow_disk *disk)
{
	uint64_t now_us = tow_host_clock_us();
	struct disk_block *block;

	if (list_empty(&disk->waiting) || !list_empty(&disk->free) ||
	    list_empty(&disk->posted))
		return;
	block = CONTAINER(disk->posted.next, struct disk_block, posted);
	if (block->sink->tcp && now_us - block->posted_us >= HOLD_US)
		feed_recall(block->sink);
}

/* --- the round --------------------------------------------------------------
 */

static struct disk_block *find_block(const struct tow_disk *disk,
				     uint64_t token)
{
	uint64_t first = (uintptr_t)disk->blocks;
	uint64_t at = (token - first) / sizeof(*disk->blocks);

	if (token < first || at >= disk->cfg.blocks_max ||
	    token != (uintptr_t)&disk->blocks[at])
		return NULL;
	return &disk->blocks[at];
}

bool tow_disk_event(struct tow_disk *disk, const struct tow_event *event)
{
	struct disk_block *block;

	if (event->type != TOW_EVENT_POST)
		return false;
	block = find_block(disk, event->token);
	if (!block ||
	    (block->state != BLOCK_POSTED && block->state != BLOCK_RECALLED))
		return false;
	feed_posted(block, event);
	return true;
}

void tow_disk_run(struct tow_disk *disk)
{
	if (list_empty(&disk->sinks) && !disk->may_be_readable)
		return;
	disk->may_be_readable = !list_empty(&disk->sinks);
	collect(disk);
	serve_line(disk);
	recall_oldest(disk);
	request_flush(disk);
}

struct tow_sink *tow_disk_next(struct tow_disk *disk)
{
	struct list *node = disk->changed.next;

	if (list_empty(&disk->changed))
		return NULL;
	list_remove(node);
	return CONTAINER(node, struct tow_sink, changed);
}
