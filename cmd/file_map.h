/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FILE_MAP_H
#define FILE_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include "base/list.h"
#include "http_condition.h"
#include "host/workers.h"

/*
 * File map: a file's pages in our address space, to be lent.
 *
 * Everyone who sends a version of a file (inode, size, modification time)
 * shares one mapping of it. A mapping that nobody uses is kept for some
 * seconds, so that a popular file costs no system call but the look whether it
 * is still the same.
 *
 *	blocks   |  0  |  1  |  2  |  3  |   FILE_BLOCK_BYTES each
 *	pages     in    in    …     cold
 *	                      ^ a worker reads it in
 *
 * Before a block is lent it is resident: a worker had the kernel map its pages
 * (MADV_POPULATE_READ), so that neither a checksum nor the device waits for a
 * disk on the stack's thread.
 *
 * The file may be truncated while its pages are lent. Then the kernel answers
 * a device that reads them with EFAULT, which costs a frame; but our own
 * reading (a checksum in software, --copy, a capture) would be a SIGBUS. The
 * handler puts a page of zeros under the reader and marks the map broken; who
 * lent it must see to it that these zeros are not taken for the file's bytes.
 *
 * All functions but file_pages_make() belong to the stack's thread.
 */
#define FILE_BLOCK_BYTES (2u << 20)

struct file_maps;

/* What a worker made: handed to the cache by file_maps_keep(). */
struct file_pages {
	int fd;
	struct stat stat;
	const uint8_t *bytes; /* NULL for an empty file */
};

struct file_map {
	struct list link;    /* in its hash bucket */
	struct list idle;    /* among those without a user */
	struct list waiters; /* of whoever waits for file_map_resident() */
	struct file_maps *maps;
	struct file_pages pages;
	struct http_validators validators;
	uint64_t size;
	uint32_t users;
	uint32_t guard; /* slot of the SIGBUS handler's table */
	bool broken;	/* seen to be shorter than it was, or unreadable */
	uint64_t checked_us;
	uint64_t idle_since_us;
	uint32_t block_count;
	uint32_t *resident_s; /* per block: when it was, plus 1; 0: not known */
};

/*
 * file_maps_open() - a cache
 * @readers: for reading in, which can take long
 * @closers: for unmapping
 * @woken:   called when a map's waiters should try again
 *
 * Returns: 0, or a negative errno. Installs the SIGBUS handler.
 */
int file_maps_open(struct file_maps **out, struct workers *readers,
		   struct workers *closers,
		   void (*woken)(struct file_map *map)) TOW_MUST_USE;
void file_maps_close(struct file_maps *maps);

/*
 * file_pages_make() - map an open file, and read in what is needed first
 * @first: the block of this byte is made resident
 *
 * On any thread. Takes @fd: closes it on failure.
 * Returns: 0, or a negative errno.
 */
int file_pages_make(struct file_pages *out, int fd, const struct stat *stat,
		    uint64_t first) TOW_MUST_USE;

/*
 * file_maps_find() - the map of exactly this version, if there is one
 *
 * Owns:    the caller is one more user, until file_map_give().
 */
struct file_map *file_maps_find(struct file_maps *maps,
				const struct stat *stat);

/*
 * file_maps_keep() - make pages from a worker a map, or find that there is one
 *
 * Takes the pages.
 * Returns: a map as file_maps_find(), or NULL when memory or the table is full.
 */
struct file_map *file_maps_keep(struct file_maps *maps,
				struct file_pages *pages, uint64_t first,
				uint64_t now_us);

void file_map_ref(struct file_map *map);
void file_map_give(struct file_map *map, uint64_t now_us);

/*
 * file_map_resident() - whether the block of @offset can be lent now
 *
 * If not, a worker begins to read it in, and woken() is called some time
 * later.
 */
bool file_map_resident(struct file_map *map, uint64_t offset, uint64_t now_us);

/*
 * file_map_check() - whether the file is still as long as it was
 * @age_us: an answer that was found so recently will do
 *
 * Cost: one fstat() at most.
 */
bool file_map_check(struct file_map *map, uint64_t now_us, uint64_t age_us);

/* How often the SIGBUS handler had to help: when it changes, check the maps. */
uint32_t file_maps_faults(void);

/*
 * file_maps_look() - has the file of some lent bytes become shorter?
 * @round: looks once per file and round, counted from 1
 *
 * If so, what lies behind its end counts as faulted.
 *
 * Cost: one fstat() at most; none for bytes that are not a file's.
 */
void file_maps_look(const void *bytes, uint64_t round);

/* Whether any map that exists has such pages at all: cheap. */
bool file_maps_any_faulted(void);

/* Some byte of a span lies in pages that the handler has replaced. */
bool file_maps_faulted(const void *bytes, size_t count);

/* Unmap what nobody used for a while. */
void file_maps_tick(struct file_maps *maps, uint64_t now_us);

#endif
