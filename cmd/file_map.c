/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared mappings of files: see file_map.h.
 *
 * Theory of operation.
 *
 * The cache is a hash of the version: device, inode, size, modification time.
 * A map with users is only there; one without is also in the list of idle
 * ones, oldest first, and goes after IDLE_US or when room is needed. Unmapping
 * and closing are a worker's job, because both can take long.
 *
 * A block is resident for RESIDENT_S seconds after it was read in. Later the
 * kernel may have reclaimed some of it, so mincore(2) is asked, which takes
 * some microseconds; if pages are missing, it is a reader's job again.
 *
 * The guards are what the SIGBUS handler may look at: a table of atomics, so
 * that it needs no lock. A slot is filled before the mapping is lent and
 * emptied before it is unmapped, both on the stack's thread. The handler runs
 * on whichever thread touched the page; it replaces everything from that page
 * to the end of the mapping by zeros at once, so that a reader of a long span
 * faults one time and not once per page.
 *
 * No signal tells of the page that the new end lies in: what is behind the end
 * there reads as zeros. So before frames leave, file_maps_look() compares the
 * file's length, and marks what lies behind it in the same way.
 */
#include "file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <tow/host.h>
#include "base/base.h"

#define MAPS_MAX       1024 /* mappings, and so open files, at a time */
#define BUCKETS	       1024 /* a power of two */
#define IDLE_US	       5000000
#define RESIDENT_S     2
#define PAGE_BYTES_MIN 4096
#define PENDING	       UINT32_MAX /* in resident_s: a worker is at it */

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* since Linux 5.14 */
#endif

struct file_maps {
	struct workers *readers, *closers;
	void (*woken)(struct file_map *map);
	struct list buckets[BUCKETS];
	struct list idle;
	uint32_t count;
	uint32_t guard_next; /* where to look for a free guard */
};

/* --- the SIGBUS handler and what it knows ----------------------------------
 */

struct guard {
	_Atomic uintptr_t start, end; /* of a mapping; 0: a free slot */
	_Atomic uintptr_t bad;	      /* zeros from here to the end, or 0 */

	/* Of the stack's thread alone. */
	int fd;
	uint64_t size;
	uint64_t looked; /* the round in which its length was compared */
};

static struct guard guards[MAPS_MAX];
static uintptr_t lowest = UINTPTR_MAX, highest; /* bytes ever mapped */
static atomic_uint faults;
static atomic_uint bad_guards; /* how many have something bad now */

static struct guard *find_guard(uintptr_t at)
{
	size_t i;

	for (i = 0; i < MAPS_MAX; i++)
		if (at >= atomic_load(&guards[i].start) &&
		    at < atomic_load(&guards[i].end))
			return &guards[i];
	return NULL;
}

/* The handler and the stack's thread may both find out: the lower one holds. */
static void mark_bad(struct guard *g, uintptr_t from)
{
	uintptr_t old = atomic_load(&g->bad);

	do {
		if (old && old <= from)
			return;
	} while (!atomic_compare_exchange_weak(&g->bad, &old, from));
	if (!old)
		atomic_fetch_add(&bad_guards, 1);
	atomic_fetch_add(&faults, 1);
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t at = (uintptr_t)info->si_addr & ~(page - 1);
	struct guard *g = find_guard(at);
	int saved = errno;
	void *zeros;

	(void)context;
	zeros = !g ? MAP_FAILED
		   : mmap((void *)at, atomic_load(&g->end) - at, PROT_READ,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (zeros == MAP_FAILED) {
		/* Not ours: let it happen again, and end the process. */
		signal(signal_number, SIG_DFL);
		return;
	}
	mark_bad(g, at);
	errno = saved;
}

uint32_t file_maps_faults(void)
{
	return atomic_load(&faults);
}

bool file_maps_any_faulted(void)
{
	return atomic_load_explicit(&bad_guards, memory_order_relaxed) > 0;
}

/* Mostly the file is the one that was asked for last. */
static struct guard *find_lent(uintptr_t at)
{
	static struct guard *recent = guards;
	struct guard *g;

	if (at < lowest || at >= highest)
		return NULL;
	if (at >= atomic_load(&recent->start) && at < atomic_load(&recent->end))
		return recent;
	g = find_guard(at);
	if (g)
		recent = g;
	return g;
}

void file_maps_look(const void *bytes, uint64_t round)
{
	struct guard *g = find_lent((uintptr_t)bytes);
	struct stat st;

	if (!g || g->looked == round)
		return;
	g->looked = round;
	if (fstat(g->fd, &st) == 0 && (uint64_t)st.st_size < g->size)
		mark_bad(g, atomic_load(&g->start) + (uintptr_t)st.st_size);
}

bool file_maps_faulted(const void *bytes, size_t count)
{
	uintptr_t at = (uintptr_t)bytes;
	struct guard *g = find_guard(at);
	uintptr_t bad = g ? atomic_load(&g->bad) : 0;

	return bad && at + count > bad;
}

static int install_handler(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
				    .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : -errno;
}

/* There are as many guards as maps, so one is free. */
static void set_guard(struct file_map *map)
{
	struct file_maps *maps = map->maps;
	struct guard *g;

	do {
		maps->guard_next = (maps->guard_next + 1) % MAPS_MAX;
		g = &guards[maps->guard_next];
	} while (atomic_load(&g->start) != 0);
	map->guard = maps->guard_next;
	g->fd = map->pages.fd;
	g->size = map->size;
	g->looked = 0;
	lowest = MIN(lowest, (uintptr_t)map->pages.bytes);
	highest = MAX(highest, (uintptr_t)map->pages.bytes + map->size);
	atomic_store(&g->bad, 0);
	atomic_store(&g->start, (uintptr_t)map->pages.bytes);
	atomic_store(&g->end, (uintptr_t)map->pages.bytes + map->size);
}

static void clear_guard(const struct file_map *map)
{
	struct guard *g = &guards[map->guard];

	if (atomic_exchange(&g->bad, 0))
		atomic_fetch_sub(&bad_guards, 1);
	atomic_store(&g->end, 0);
	atomic_store(&g->start, 0);
}

/* --- what workers do --------------------------------------------------------
 */

/* Before Linux 5.14: touch each page; a SIGBUS is the handler's. */
static void touch_pages(const uint8_t *bytes, size_t count)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	volatile const uint8_t *at = bytes;
	size_t i;

	for (i = 0; i < count; i += page)
		(void)at[i];
}

static int read_in(const uint8_t *bytes, size_t count)
{
	int failed;

	do {
		failed = madvise((void *)bytes, count, MADV_POPULATE_READ);
	} while (failed && errno == EINTR);
	if (!failed)
		return 0;
	if (errno != EINVAL)
		return -errno;
	touch_pages(bytes, count);
	return 0;
}

static uint64_t block_start(uint64_t offset)
{
	return offset - offset % FILE_BLOCK_BYTES;
}

static size_t block_bytes(uint64_t start, uint64_t size)
{
	return size - start < FILE_BLOCK_BYTES ? (size_t)(size - start)
					       : FILE_BLOCK_BYTES;
}

int file_pages_make(struct file_pages *out, int fd, const struct stat *stat,
		    uint64_t first)
{
	size_t size = (size_t)stat->st_size;
	void *bytes;

	*out = (struct file_pages){ .fd = fd, .stat = *stat };
	if (size == 0)
		return 0;
	bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED) {
		int error = -errno;

		close(fd);
		return error;
	}
	out->bytes = bytes;
	if (first < size) {
		/* Not guarded yet, so pages are not touched by hand here. */
		uint64_t start = block_start(first);

		(void)madvise((uint8_t *)bytes + start,
			      block_bytes(start, size), MADV_POPULATE_READ);
	}
	return 0;
}

static void unmap_pages(const struct file_pages *pages)
{
	if (pages->bytes)
		munmap((void *)pages->bytes, (size_t)pages->stat.st_size);
	close(pages->fd);
}

struct unmap_job {
	struct job job;
	struct file_pages pages;
};

static void unmap_work(struct job *job)
{
	unmap_pages(&((struct unmap_job *)job)->pages);
}

static void unmap_done(struct job *job)
{
	free(job);
}

static void unmap_later(struct file_maps *maps, const struct file_pages *pages)
{
	struct unmap_job *j = calloc(1, sizeof(*j));

	if (!j) {
		unmap_pages(pages);
		return;
	}
	j->job.work = unmap_work;
	j->job.done = unmap_done;
	j->pages = *pages;
	workers_submit(maps->closers, &j->job);
}

/* --- the cache --------------------------------------------------------------
 */

int file_maps_open(struct file_maps **out, struct workers *readers,
		   struct workers *closers, void (*woken)(struct file_map *map))
{
	struct file_maps *maps = calloc(1, sizeof(*maps));
	int error = install_handler();
	size_t i;

	if (!maps || error) {
		free(maps);
		return error ? error : -ENOMEM;
	}
	maps->readers = readers;
	maps->closers = closers;
	maps->woken = woken;
	list_init(&maps->idle);
	for (i = 0; i < BUCKETS; i++)
		list_init(&maps->buckets[i]);
	*out = maps;
	return 0;
}

static struct list *bucket_of(struct file_maps *maps, const struct stat *st)
{
	uint64_t h = (uint64_t)st->st_ino * 0x9e3779b97f4a7c15u;

	h ^= (uint64_t)st->st_dev + (uint64_t)st->st_mtim.tv_nsec;
	h *= 0x9e3779b97f4a7c15u;
	return &maps->buckets[h >> 32 & (BUCKETS - 1)];
}

static bool same_version(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
	       a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

struct file_map *file_maps_find(struct file_maps *maps, const struct stat *st)
{
	struct list *bucket = bucket_of(maps, st);

	LIST_EACH (node, bucket) {
		struct file_map *map = CONTAINER(node, struct file_map, link);

		if (!map->broken && same_version(&map->pages.stat, st)) {
			file_map_ref(map);
			return map;
		}
	}
	return NULL;
}

static void free_map(struct file_map *map)
{
	ASSERT(map->users == 0 && list_empty(&map->waiters));
	list_remove(&map->link);
	list_remove(&map->idle);
	if (map->pages.bytes)
		clear_guard(map);
	unmap_later(map->maps, &map->pages);
	map->maps->count--;
	free(map->resident_s);
	free(map);
}

static bool make_room(struct file_maps *maps)
{
	if (maps->count < MAPS_MAX)
		return true;
	if (list_empty(&maps->idle))
		return false;
	free_map(CONTAINER(maps->idle.next, struct file_map, idle));
	return true;
}

static struct file_map *new_map(struct file_maps *maps,
				const struct file_pages *pages)
{
	struct file_map *map = calloc(1, sizeof(*map));
	const struct stat *st = &pages->stat;

	if (!map)
		return NULL;
	map->maps = maps;
	map->pages = *pages;
	map->size = (uint64_t)st->st_size;
	map->users = 1;
	map->block_count = (uint32_t)((map->size + FILE_BLOCK_BYTES - 1) /
				      FILE_BLOCK_BYTES);
	map->resident_s =
		calloc(map->block_count + 1, sizeof(*map->resident_s));
	if (!map->resident_s) {
		free(map);
		return NULL;
	}
	list_init(&map->link);
	list_init(&map->idle);
	list_init(&map->waiters);
	map->validators.exists = true;
	map->validators.modified = st->st_mtim.tv_sec;
	http_etag_format(map->validators.etag, st->st_ino, map->size,
			 st->st_mtim.tv_sec, (uint32_t)st->st_mtim.tv_nsec);
	return map;
}

static uint32_t seconds(uint64_t now_us)
{
	return (uint32_t)(now_us / 1000000) + 1;
}

struct file_map *file_maps_keep(struct file_maps *maps,
				struct file_pages *pages, uint64_t first,
				uint64_t now_us)
{
	struct file_map *map = file_maps_find(maps, &pages->stat);

	if (map || !make_room(maps)) {
		unmap_later(maps, pages);
		return map;
	}
	map = new_map(maps, pages);
	if (!map) {
		unmap_later(maps, pages);
		return NULL;
	}
	maps->count++;
	list_append(bucket_of(maps, &pages->stat), &map->link);
	if (pages->bytes)
		set_guard(map);
	if (first < map->size)
		map->resident_s[first / FILE_BLOCK_BYTES] = seconds(now_us);
	map->checked_us = now_us;
	return map;
}

void file_map_ref(struct file_map *map)
{
	map->users++;
	list_remove(&map->idle);
}

void file_map_give(struct file_map *map, uint64_t now_us)
{
	ASSERT(map->users > 0);
	if (--map->users > 0)
		return;
	map->idle_since_us = now_us;
	if (map->broken)
		free_map(map);
	else
		list_append(&map->maps->idle, &map->idle);
}

void file_maps_tick(struct file_maps *maps, uint64_t now_us)
{
	while (!list_empty(&maps->idle)) {
		struct file_map *map =
			CONTAINER(maps->idle.next, struct file_map, idle);

		if (now_us - map->idle_since_us < IDLE_US)
			break;
		free_map(map);
	}
}

void file_maps_close(struct file_maps *maps)
{
	while (!list_empty(&maps->idle))
		free_map(CONTAINER(maps->idle.next, struct file_map, idle));
	ASSERT(maps->count == 0);
	free(maps);
}

/* --- reading in --------------------------------------------------------------
 */

struct populate_job {
	struct job job;
	struct file_map *map; /* the job is one of its users */
	uint32_t block;
	int error;
};

static void populate_work(struct job *job)
{
	struct populate_job *j = (struct populate_job *)job;
	uint64_t start = (uint64_t)j->block * FILE_BLOCK_BYTES;
	size_t bytes = block_bytes(start, j->map->size);

	/* All of it is asked of the disk at once, then waited for in order. */
	(void)posix_fadvise(j->map->pages.fd, (off_t)start, (off_t)bytes,
			    POSIX_FADV_WILLNEED);
	j->error = read_in(j->map->pages.bytes + start, bytes);
}

static void populate_done(struct job *job)
{
	struct populate_job *j = (struct populate_job *)job;
	struct file_map *map = j->map;
	uint64_t now_us = tow_host_clock_us();

	map->resident_s[j->block] = j->error ? 0 : seconds(now_us);
	if (j->error)
		map->broken = true; /* truncated, or the disk cannot read it */
	map->maps->woken(map);
	file_map_give(map, now_us);
	free(j);
}

static bool populate_later(struct file_map *map, uint32_t block)
{
	struct populate_job *j = calloc(1, sizeof(*j));

	if (!j)
		return false;
	j->job.work = populate_work;
	j->job.done = populate_done;
	j->map = map;
	j->block = block;
	file_map_ref(map);
	map->resident_s[block] = PENDING;
	workers_submit(map->maps->readers, &j->job);
	return true;
}

/* Did its pages stay where they were? The kernel may have reclaimed some. */
static bool still_resident(const struct file_map *map, uint32_t block)
{
	uint64_t start = (uint64_t)block * FILE_BLOCK_BYTES;
	unsigned char pages[FILE_BLOCK_BYTES / PAGE_BYTES_MIN];
	size_t bytes = block_bytes(start, map->size), page, i;

	if (mincore((void *)(map->pages.bytes + start), bytes, pages) != 0)
		return false;
	page = (size_t)sysconf(_SC_PAGESIZE);
	for (i = 0; i * page < bytes; i++)
		if (!(pages[i] & 1))
			return false;
	return true;
}

static bool block_resident(struct file_map *map, uint32_t block,
			   uint64_t now_us)
{
	uint32_t known_s = map->resident_s[block];

	if (known_s == PENDING)
		return false;
	if (known_s && seconds(now_us) - known_s <= RESIDENT_S)
		return true;
	if (known_s && still_resident(map, block)) {
		map->resident_s[block] = seconds(now_us);
		return true;
	}
	/* Without memory for a job: let the stack's thread do the waiting. */
	return !populate_later(map, block);
}

/* The block behind is asked for in advance, so that a sender does not stop. */
bool file_map_resident(struct file_map *map, uint64_t offset, uint64_t now_us)
{
	uint32_t block = (uint32_t)(offset / FILE_BLOCK_BYTES);
	bool resident = block_resident(map, block, now_us);
	uint32_t ahead;

	for (ahead = 1; ahead <= 2 && block + ahead < map->block_count; ahead++)
		(void)block_resident(map, block + ahead, now_us);
	return resident;
}

bool file_map_check(struct file_map *map, uint64_t now_us, uint64_t age_us)
{
	struct stat st;

	if (map->pages.bytes && atomic_load(&guards[map->guard].bad))
		map->broken = true;
	if (map->broken || now_us - map->checked_us < age_us)
		return !map->broken;
	if (fstat(map->pages.fd, &st) != 0 || (uint64_t)st.st_size < map->size)
		map->broken = true;
	map->checked_us = now_us;
	return !map->broken;
}
