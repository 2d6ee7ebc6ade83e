/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tow/host.h>
#include <unistd.h>
#include "file_map.h"
#include "test.h"

#define BLOCKS 3
#define SIZE   (BLOCKS * FILE_BLOCK_BYTES - 1000)

static struct workers *workers;
static struct file_maps *maps;
static unsigned wakes;

static void woken(struct file_map *map)
{
	(void)map;
	wakes++;
}

static int open_file(size_t bytes)
{
	static char data[4096];
	char path[] = "/tmp/tow-test-XXXXXX";
	int fd = mkstemp(path);
	size_t i;

	CHECK_GE(fd, 0);
	unlink(path);
	for (i = 0; i < bytes; i += sizeof(data)) {
		size_t n = bytes - i < sizeof(data) ? bytes - i : sizeof(data);

		memset(data, 'A' + (char)(i / FILE_BLOCK_BYTES), sizeof(data));
		CHECK_EQ(write(fd, data, n), (ssize_t)n);
	}
	return fd;
}

static void set_up(void)
{
	CHECK_EQ(workers_open(&workers, 2), 0);
	CHECK_EQ(file_maps_open(&maps, workers, workers, woken), 0);
}

static void tear_down(void)
{
	workers_drain(workers);
	file_maps_close(maps);
	workers_close(workers);
}

static struct file_map *map_file(int fd, uint64_t now_us)
{
	struct file_pages pages;
	struct stat st;

	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(file_pages_make(&pages, dup(fd), &st, 0), 0);
	return file_maps_keep(maps, &pages, 0, now_us);
}

TEST(one_version_of_a_file_has_one_map)
{
	struct file_map *a, *b, *c;
	int fd = open_file(10000);

	set_up();
	a = map_file(fd, 0);
	b = map_file(fd, 0);
	CHECK_EQ(a, b);
	CHECK_EQ(a->users, 2);
	CHECK_EQ(write(fd, "more", 4), 4);
	c = map_file(fd, 0);
	CHECK_NE(a, c);
	CHECK(strcmp(a->validators.etag, c->validators.etag) != 0);
	file_map_give(a, 0);
	file_map_give(b, 0);
	file_map_give(c, 0);
	tear_down();
}

TEST(a_block_is_read_in_before_it_counts_as_resident)
{
	uint64_t now_us = tow_host_clock_us();
	struct file_map *map;
	int fd = open_file(SIZE);

	set_up();
	map = map_file(fd, now_us);
	CHECK_EQ(map->block_count, BLOCKS);
	CHECK(file_map_resident(map, 0, now_us)); /* and asks for the next */
	CHECK(!file_map_resident(map, SIZE - 1, now_us));
	workers_drain(workers);
	CHECK_EQ(wakes, 2);
	CHECK(file_map_resident(map, FILE_BLOCK_BYTES, now_us));
	CHECK(file_map_resident(map, SIZE - 1, now_us));
	CHECK_EQ(map->pages.bytes[0], 'A');
	CHECK_EQ(map->pages.bytes[SIZE - 1], 'C');
	file_map_give(map, now_us);
	tear_down();
}

/* Much later it is asked anew; pages that are still there need no reader. */
TEST(what_stayed_in_memory_is_resident_still)
{
	uint64_t now_us = tow_host_clock_us();
	struct file_map *map;
	int fd = open_file(10000);

	set_up();
	map = map_file(fd, now_us);
	CHECK(file_map_resident(map, 0, now_us));
	CHECK(file_map_resident(map, 0, now_us + 60000000));
	CHECK_EQ(wakes, 0);
	file_map_give(map, now_us);
	tear_down();
}

TEST(idle_maps_go_after_a_while_and_not_before)
{
	struct file_map *map;
	struct stat st;
	int fd = open_file(10000);

	set_up();
	map = map_file(fd, 0);
	CHECK_EQ(fstat(fd, &st), 0);
	file_map_give(map, 1000000);
	file_maps_tick(maps, 3000000);
	CHECK_EQ(file_maps_find(maps, &st), map);
	file_map_give(map, 3000000);
	file_maps_tick(maps, 60000000);
	CHECK(!file_maps_find(maps, &st));
	tear_down();
}

TEST(a_shorter_file_is_noticed_and_a_longer_one_is_fine)
{
	struct file_map *map;
	int fd = open_file(10000);

	set_up();
	map = map_file(fd, 0);
	CHECK_EQ(ftruncate(fd, 20000), 0);
	CHECK(file_map_check(map, 1000, 0));
	CHECK_EQ(ftruncate(fd, 9999), 0);
	CHECK(file_map_check(map, 1500, 1000)); /* a recent answer holds */
	CHECK(!file_map_check(map, 3000, 1000));
	file_map_give(map, 0);
	tear_down();
}

/* Reading pages that were truncated away must not end the process. */
TEST(a_fault_leaves_zeros_and_a_mark)
{
	uint32_t before = file_maps_faults();
	struct file_map *map;
	int fd = open_file(100000);
	const uint8_t *bytes;

	set_up();
	map = map_file(fd, 0);
	bytes = map->pages.bytes;
	CHECK(!file_maps_any_faulted());
	CHECK_EQ(ftruncate(fd, 8192), 0);
	CHECK_EQ(bytes[8191], 'A');
	CHECK_EQ(bytes[50000], 0);
	CHECK_EQ(bytes[99999], 0); /* the rest of the map, in the same fault */
	CHECK_EQ(file_maps_faults(), before + 1);
	CHECK(file_maps_any_faulted());
	CHECK(file_maps_faulted(bytes + 99999, 1));
	CHECK(file_maps_faulted(bytes, 100000));
	CHECK(!file_maps_faulted(bytes, 8192));
	CHECK(!file_maps_faulted(&before, sizeof(before)));
	CHECK(!file_map_check(map, 0, UINT64_MAX));
	file_map_give(map, 0);
	CHECK(!file_maps_any_faulted());
	tear_down();
}

/* A reader of a broken file says so instead of going on for ever. */
TEST(reading_in_a_truncated_block_breaks_the_map)
{
	uint64_t now_us = tow_host_clock_us();
	struct file_map *map;
	int fd = open_file(SIZE);

	set_up();
	map = map_file(fd, now_us);
	CHECK_EQ(ftruncate(fd, 100), 0);
	CHECK(!file_map_resident(map, SIZE - 1, now_us));
	workers_drain(workers);
	CHECK(map->broken);
	file_map_give(map, now_us);
	tear_down();
}

TEST(an_empty_file_has_a_map_without_pages)
{
	struct file_map *map;
	int fd = open_file(0);

	set_up();
	map = map_file(fd, 0);
	CHECK(map && !map->pages.bytes);
	CHECK_EQ(map->block_count, 0);
	CHECK(file_map_check(map, 1000, 0));
	file_map_give(map, 0);
	tear_down();
}
