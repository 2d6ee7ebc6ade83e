/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tow/error.h>
#include <tow/file.h>
#include <unistd.h>
#include "host/disk_private.h"
#include "test.h"

#define PAGE 4096

static char folder[64];
static int dir_fd = -1;
static struct tow_disk *disk;
static struct tow_disk_config cfg;

/* --- a folder, a disk, and waiting ------------------------------------------
 */

static void make_folder(const char *parent)
{
	snprintf(folder, sizeof(folder), "%s/tow-sink-XXXXXX", parent);
	CHECK(mkdtemp(folder) != NULL);
	dir_fd = open(folder, O_RDONLY | O_DIRECTORY);
	CHECK_GE(dir_fd, 0);
}

static void set_up(void)
{
	tow_disk_config_default(&cfg);
	cfg.block_bytes = 262144;
	make_folder("/var/tmp");
}

static void open_disk(void)
{
	CHECK_EQ(tow_disk_open(&disk, &cfg), 0);
}

static unsigned count_files(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	unsigned count = 0;

	CHECK(dir != NULL);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.' ||
			 strncmp(entry->d_name, ".upload", 7) == 0;
	closedir(dir);
	return count;
}

static void remove_file(const char *name)
{
	CHECK_EQ(unlinkat(dir_fd, name, 0), 0);
}

/* All that was made is named by the test; what is left is a leak. */
static void tear_down(void)
{
	if (disk)
		tow_disk_close(disk);
	disk = NULL;
	CHECK_EQ(count_files(), 0);
	close(dir_fd);
	CHECK_EQ(rmdir(folder), 0);
}

static struct tow_sink_info info_of(const struct tow_sink *sink)
{
	struct tow_sink_info info;

	tow_sink_info(sink, &info);
	return info;
}

static void run_once(void)
{
	struct pollfd wait = { .fd = tow_disk_fd(disk), .events = POLLIN };

	tow_disk_run(disk);
	(void)poll(&wait, 1, 10);
	tow_disk_run(disk);
}

static void wait_for(const struct tow_sink *sink, enum tow_sink_state state)
{
	unsigned i;

	for (i = 0; i < 2000 && info_of(sink).state != state; i++) {
		if (info_of(sink).state == TOW_SINK_FAILED)
			break;
		run_once();
	}
	CHECK_STR(tow_sink_error(sink), "");
	CHECK_EQ(info_of(sink).state, state);
}

static void wait_until_failed(const struct tow_sink *sink, int error)
{
	unsigned i;

	for (i = 0; i < 2000 && info_of(sink).state != TOW_SINK_FAILED; i++)
		run_once();
	CHECK_EQ(info_of(sink).state, TOW_SINK_FAILED);
	CHECK_EQ(info_of(sink).status, error);
	CHECK(tow_sink_error(sink)[0] != '\0');
}

static struct tow_sink *open_sink(const struct tow_sink_file *file)
{
	struct tow_sink_file f = *file;
	struct tow_sink *sink;

	f.dir_fd = dir_fd;
	CHECK_EQ(tow_sink_open(disk, &f, NULL, &sink), 0);
	return sink;
}

static struct tow_sink *open_ready(const struct tow_sink_file *file)
{
	struct tow_sink *sink = open_sink(file);

	wait_for(sink, TOW_SINK_READY);
	return sink;
}

/* --- bytes that know where they belong --------------------------------------
 */

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset ^ offset >> 8 ^ offset >> 16 ^ 0x5a);
}

static void make_bytes(uint8_t *out, uint64_t offset, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		out[i] = byte_at(offset + i);
}

/* Fill block after block; the last one as far as is needed. */
static void feed(struct tow_sink *sink, uint64_t offset, size_t bytes)
{
	struct tow_span span;
	size_t n;

	while (bytes > 0) {
		int error = tow_sink_reserve(sink, 1, &span);

		if (error == TOW_EAGAIN) {
			run_once();
			continue;
		}
		CHECK_EQ(error, 0);
		n = span.len < bytes ? span.len : bytes;
		make_bytes((uint8_t *)(uintptr_t)span.ptr, offset, n);
		tow_sink_fill(sink, n);
		offset += n;
		bytes -= n;
	}
	wait_for(sink, TOW_SINK_READY);
}

static uint8_t *read_whole(const char *name, size_t *bytes)
{
	int fd = openat(dir_fd, name, O_RDONLY);
	struct stat st;
	uint8_t *data;

	CHECK_GE(fd, 0);
	CHECK_EQ(fstat(fd, &st), 0);
	data = malloc((size_t)st.st_size + 1);
	CHECK(data != NULL);
	CHECK_EQ(read(fd, data, (size_t)st.st_size), st.st_size);
	close(fd);
	*bytes = (size_t)st.st_size;
	return data;
}

static void check_file(const char *name, size_t bytes)
{
	size_t length, i;
	uint8_t *data = read_whole(name, &length);

	CHECK_EQ(length, bytes);
	for (i = 0; i < length; i++)
		if (data[i] != byte_at(i))
			CHECK_EQ(i, -1);
	free(data);
}

static void write_file(const char *name, size_t bytes, mode_t mode)
{
	uint8_t *data = malloc(bytes + 1);
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK(data != NULL);
	CHECK_GE(fd, 0);
	make_bytes(data, 0, bytes);
	CHECK_EQ(write(fd, data, bytes), (ssize_t)bytes);
	CHECK_EQ(fchmod(fd, mode), 0);
	close(fd);
	free(data);
}

static void commit(struct tow_sink *sink)
{
	CHECK_EQ(tow_sink_commit(sink), 0);
	wait_for(sink, TOW_SINK_DONE);
	tow_sink_close(sink);
}

/* --- names ------------------------------------------------------------------
 */

TEST(a_file_appears_whole_or_not_at_all)
{
	struct tow_sink_file file = { .name = "f", .sync = TOW_SYNC_END };
	struct tow_sink *sink;

	set_up();
	open_disk();
	sink = open_ready(&file);
	feed(sink, 0, 1000000);
	CHECK_EQ(count_files(), 0);
	CHECK_EQ(info_of(sink).written_bytes, 1000000);
	CHECK_EQ(tow_sink_commit(sink), 0);
	wait_for(sink, TOW_SINK_DONE);
	CHECK(!info_of(sink).replaced);
	tow_sink_close(sink);
	check_file("f", 1000000);

	file.name = "g";
	sink = open_ready(&file);
	feed(sink, 0, 1000000);
	tow_sink_close(sink);
	tow_disk_close(disk);
	disk = NULL;
	CHECK_EQ(count_files(), 1);
	remove_file("f");
	tear_down();
}

/* The second sink says what abort says to a worker in mid-commit. */
TEST(an_abort_undoes_a_commit_that_is_under_way)
{
	struct tow_sink_file file = { .name = "f", .sync = TOW_SYNC_END };
	struct tow_sink *sink;

	set_up();
	open_disk();
	write_file("f", 10, 0644);
	sink = open_ready(&file);
	feed(sink, 0, 1000000);
	tow_sink_abort(sink);

	sink = open_ready(&file);
	feed(sink, 0, 1000000);
	atomic_store(&sink->target.unwanted, true);
	CHECK_EQ(tow_sink_commit(sink), 0);
	while (info_of(sink).state == TOW_SINK_COMMITTING)
		run_once();
	CHECK_EQ(info_of(sink).status, -ECANCELED);
	tow_sink_abort(sink);
	check_file("f", 10);

	sink = open_ready(&file);
	feed(sink, 0, 1000000);
	CHECK_EQ(tow_sink_commit(sink), 0);
	wait_for(sink, TOW_SINK_DONE);
	tow_sink_abort(sink);
	check_file("f", 1000000);
	remove_file("f");
	tear_down();
}

TEST(a_replaced_file_passes_its_mode_on_but_not_set_user_id)
{
	struct tow_sink_file file = { .name = "f" };
	struct tow_sink *sink;
	struct stat st;

	set_up();
	open_disk();
	write_file("f", 10, 06751);
	sink = open_ready(&file);
	feed(sink, 0, 70000);
	check_file("f", 10);
	CHECK_EQ(tow_sink_commit(sink), 0);
	wait_for(sink, TOW_SINK_DONE);
	CHECK(info_of(sink).replaced);
	tow_sink_close(sink);
	check_file("f", 70000);
	CHECK_EQ(fstatat(dir_fd, "f", &st, 0), 0);
	CHECK_EQ(st.st_mode & 07777, 0751);
	remove_file("f");
	tear_down();
}

TEST(only_new_replaces_nothing)
{
	struct tow_sink_file file = { .name = "f", .only_new = true };
	struct tow_sink *sink;

	set_up();
	open_disk();
	sink = open_ready(&file);
	feed(sink, 0, 1000);
	write_file("f", 10, 0644); /* somebody was first */
	CHECK_EQ(tow_sink_commit(sink), 0);
	wait_until_failed(sink, TOW_EEXIST);
	tow_sink_close(sink);
	sink = open_sink(&file);
	wait_until_failed(sink, TOW_EEXIST);
	tow_sink_close(sink);
	check_file("f", 10);
	remove_file("f");
	tear_down();
}

TEST(what_cannot_be_a_file_is_told_at_open)
{
	struct tow_sink_file file = { .name = "d" };
	struct tow_sink *sink;

	set_up();
	open_disk();
	CHECK_EQ(mkdirat(dir_fd, "d", 0755), 0);
	sink = open_sink(&file);
	wait_until_failed(sink, -EISDIR);
	tow_sink_close(sink);
	CHECK_EQ(unlinkat(dir_fd, "d", AT_REMOVEDIR), 0);
	file.name = "a/b";
	CHECK_EQ(tow_sink_open(disk, &file, NULL, &sink), TOW_EINVAL);
	file.name = "";
	CHECK_EQ(tow_sink_open(disk, &file, NULL, &sink), TOW_EINVAL);
	tear_down();
}

/* --- resuming ---------------------------------------------------------------
 */

TEST(a_part_is_kept_and_continued)
{
	struct tow_sink_file file = { .name = "f",
				      .part = "f.part",
				      .keep_part = true,
				      .bytes_expected = 3000000 };
	struct tow_sink *sink;

	set_up();
	open_disk();
	sink = open_ready(&file);
	feed(sink, 0, 1234567);
	tow_sink_close(sink);
	tow_disk_close(disk);
	check_file("f.part", 1234567);

	open_disk();
	file.offset = TOW_SINK_AT_END;
	sink = open_ready(&file);
	CHECK_EQ(info_of(sink).offset, 1234567);
	feed(sink, 1234567, 3000000 - 1234567);
	commit(sink);
	check_file("f", 3000000);
	CHECK_EQ(count_files(), 1);

	file.offset = 1;
	sink = open_sink(&file);
	wait_until_failed(sink, TOW_EINVAL);
	tow_sink_close(sink);
	tow_disk_close(disk);
	disk = NULL;
	remove_file("f.part");
	remove_file("f");
	tear_down();
}

TEST(a_part_without_keep_part_is_removed)
{
	struct tow_sink_file file = { .name = "f", .part = "f.part" };
	struct tow_sink *sink;

	set_up();
	open_disk();
	sink = open_ready(&file);
	feed(sink, 0, 100000);
	CHECK_EQ(count_files(), 1);
	tow_sink_close(sink);
	tear_down();
}

TEST(a_file_in_place_keeps_what_is_around)
{
	struct tow_sink_file file = { .name = "f",
				      .in_place = true,
				      .offset = 1000 };
	struct tow_sink *sink;

	set_up();
	open_disk();
	write_file("f", 400000, 0600);
	sink = open_ready(&file);
	feed(sink, 1000, 200000);
	commit(sink);
	check_file("f", 400000);
	file.offset = TOW_SINK_AT_END;
	sink = open_ready(&file);
	feed(sink, 400000, 100000);
	commit(sink);
	check_file("f", 500000);
	remove_file("f");
	tear_down();
}

/* Room that was reserved is given back, but what lies behind is the file's. */
TEST(a_file_in_place_of_known_length_keeps_what_is_behind)
{
	struct tow_sink_file file = { .name = "f",
				      .in_place = true,
				      .offset = 1000,
				      .bytes_expected = 200000 };
	struct tow_sink *sink;
	struct stat st;

	set_up();
	open_disk();
	write_file("f", 400000, 0600);
	sink = open_ready(&file);
	feed(sink, 1000, 200000);
	commit(sink);
	check_file("f", 400000);
	file.offset = TOW_SINK_AT_END;
	file.bytes_expected = 5000000;
	sink = open_ready(&file);
	feed(sink, 400000, 100000);
	commit(sink);
	check_file("f", 500000);
	CHECK_EQ(fstatat(dir_fd, "f", &st, 0), 0);
	CHECK_LT(st.st_blocks * 512, 1000000);
	sink = open_ready(&file);
	tow_sink_close(sink); /* without a commit */
	tow_disk_close(disk);
	disk = NULL;
	check_file("f", 500000);
	CHECK_EQ(fstatat(dir_fd, "f", &st, 0), 0);
	CHECK_LT(st.st_blocks * 512, 1000000);
	remove_file("f");
	tear_down();
}

/* --- alignment --------------------------------------------------------------
 */

static void check_alignments(void)
{
	struct tow_sink_file file = { .name = "f", .part = "f.part" };
	unsigned i;

	for (i = 0; i < 4096; i += 1 + 89 * (i > 8 && i < 4080)) {
		size_t end = 400000 + (i * 7 + 13) % 4096;
		struct tow_sink *sink;

		write_file("f.part", i, 0644);
		file.offset = i;
		sink = open_ready(&file);
		feed(sink, i, end - i);
		CHECK_EQ(info_of(sink).written_bytes, end - i);
		if (!info_of(sink).direct_why)
			CHECK_GT(info_of(sink).direct_bytes,
				 end - i - 2 * PAGE - TARGET_DIRECT_MIN);
		commit(sink);
		check_file("f", end);
	}
	remove_file("f");
}

TEST(heads_and_tails_of_every_kind_arrive)
{
	set_up();
	open_disk();
	check_alignments();
	tear_down();
}

TEST(the_same_with_threads_and_without_both)
{
	set_up();
	cfg.no_uring = true;
	open_disk();
	CHECK_STR(tow_disk_how(disk), "threads; io_uring: turned off");
	check_alignments();
	tow_disk_close(disk);
	cfg.threads = 0;
	open_disk();
	CHECK_STR(tow_disk_how(disk), "blocking writes; io_uring: turned off");
	check_alignments();
	tear_down();
}

TEST(blocks_filled_short_are_written_all_the_same)
{
	struct tow_sink_file file = { .name = "f" };
	struct tow_sink *sink;
	struct tow_span a, b;
	uint64_t at = 0;
	unsigned i;

	set_up();
	open_disk();
	sink = open_ready(&file);
	for (i = 0; i < 20; i++) {
		size_t n = 100000 + i;

		while (tow_sink_reserve(sink, 1468, &a) == TOW_EAGAIN)
			run_once();
		CHECK_EQ(a.len % 1468, 0);
		CHECK_EQ(tow_sink_commit(sink), TOW_EBUSY);
		while (tow_sink_reserve(sink, 1, &b) == TOW_EAGAIN)
			run_once();
		make_bytes((uint8_t *)(uintptr_t)a.ptr, at, n);
		make_bytes((uint8_t *)(uintptr_t)b.ptr, at + n, 77);
		tow_sink_fill(sink, n);
		tow_sink_fill(sink, 77);
		at += n + 77;
	}
	wait_for(sink, TOW_SINK_READY);
	commit(sink);
	check_file("f", at);
	remove_file("f");
	tear_down();
}

TEST(memory_of_the_program_is_written_in_place)
{
	static uint8_t bytes[30000];
	struct tow_sink_file file = { .name = "f" };
	struct tow_span spans[3] = { { bytes, 10000 },
				     { NULL, 0 },
				     { bytes + 10000, 20000 } };
	struct tow_sink *sink;

	set_up();
	open_disk();
	sink = open_ready(&file);
	make_bytes(bytes, 0, sizeof(bytes));
	CHECK_EQ(tow_sink_write(sink, spans, 3), 0);
	CHECK_EQ(tow_sink_write(sink, spans, 3), TOW_EBUSY);
	wait_for(sink, TOW_SINK_READY);
	feed(sink, 30000, 300000);
	commit(sink);
	check_file("f", 330000);
	remove_file("f");
	tear_down();
}

/* --- what fails -------------------------------------------------------------
 */

TEST(a_file_that_grows_too_large_fails_and_leaves_nothing)
{
	struct rlimit limit = { 500000, RLIM_INFINITY };
	struct tow_sink_file file = { .name = "f" };
	struct tow_sink *sink;
	struct tow_span span;

	set_up();
	signal(SIGXFSZ, SIG_IGN);
	CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	open_disk();
	sink = open_ready(&file);
	feed(sink, 0, 400000);
	CHECK_EQ(tow_sink_reserve(sink, 1, &span), 0);
	tow_sink_fill(sink, span.len);
	wait_until_failed(sink, -EFBIG);
	CHECK_EQ(tow_sink_commit(sink), TOW_EBUSY);
	CHECK_EQ(tow_sink_reserve(sink, 1, &span), TOW_EBUSY);
	tow_sink_close(sink);

	file.bytes_expected = 600000;
	sink = open_sink(&file);
	wait_until_failed(sink, -EFBIG);
	tow_sink_close(sink);
	tear_down();
}

static unsigned fail_after;

/* The seam: the disk that breaks, and the one that writes a little. */
static void (*real_start)(struct disk_request *request);

static void start_breaking(struct disk_request *r)
{
	if (!fail_after || --fail_after) {
		real_start(r);
		return;
	}
	r->fd = -1;
	real_start(r);
}

static void start_short(struct disk_request *r)
{
	if (!r->iov && r->bytes > 5000)
		r->bytes = 5000;
	real_start(r);
}

TEST(a_disk_that_breaks_fails_the_sink_once)
{
	struct tow_sink_file file = { .name = "f",
				      .part = "f.part",
				      .keep_part = true };
	struct tow_sink *sink;
	struct tow_span span;
	unsigned i;

	set_up();
	open_disk();
	real_start = disk->start;
	disk->start = start_breaking;
	fail_after = 2;
	sink = open_ready(&file);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(tow_sink_reserve(sink, 1, &span), 0);
		make_bytes((uint8_t *)(uintptr_t)span.ptr, i * span.len,
			   span.len);
		tow_sink_fill(sink, span.len);
	}
	wait_until_failed(sink, -EBADF);
	CHECK_EQ(info_of(sink).written_bytes, cfg.block_bytes);
	tow_sink_close(sink);
	tow_disk_close(disk);
	disk = NULL;
	check_file("f.part", cfg.block_bytes); /* without a gap */
	remove_file("f.part");
	tear_down();
}

static unsigned syncs_left;

static void start_without_sync(struct disk_request *r)
{
	if (r->sync && syncs_left-- == 0)
		r->fd = -1;
	real_start(r);
}

/* What the disk may not have is cut off, or the next try would build on it. */
TEST(a_part_whose_sync_fails_keeps_what_is_safe)
{
	struct tow_sink_file file = { .name = "f",
				      .part = "f.part",
				      .keep_part = true,
				      .sync = TOW_SYNC_EACH,
				      .sync_bytes = 200000 };
	struct tow_sink *sink;
	struct tow_span span;

	set_up();
	open_disk();
	real_start = disk->start;
	disk->start = start_without_sync;
	syncs_left = 1;
	sink = open_ready(&file);
	feed(sink, 0, 200000);
	CHECK_EQ(tow_sink_reserve(sink, 1, &span), 0);
	make_bytes((uint8_t *)(uintptr_t)span.ptr, 200000, span.len);
	tow_sink_fill(sink, span.len);
	wait_until_failed(sink, -EBADF);
	tow_sink_close(sink);
	tow_disk_close(disk);
	disk = NULL;
	check_file("f.part", 200000);
	remove_file("f.part");
	tear_down();
}

/* The same at commit, where nothing was safe before: there is no part. */
TEST(a_part_that_cannot_be_synced_at_commit_is_not_kept)
{
	struct tow_sink_file file = { .name = "f",
				      .part = "f.part",
				      .keep_part = true,
				      .sync = TOW_SYNC_END };
	struct tow_sink *sink;
	int fds[2], fd;

	set_up();
	open_disk();
	sink = open_ready(&file);
	feed(sink, 0, 200000);
	CHECK_EQ(pipe(fds), 0);
	fd = sink->target.fd;
	sink->target.fd = fds[0]; /* fsync(2) says EINVAL */
	CHECK_EQ(tow_sink_commit(sink), 0);
	wait_until_failed(sink, -EINVAL);
	sink->target.fd = fd;
	tow_sink_close(sink);
	close(fds[0]);
	close(fds[1]);
	tear_down();
}

TEST(short_writes_are_continued)
{
	struct tow_sink_file file = { .name = "f" };
	struct tow_sink *sink;

	set_up();
	open_disk();
	real_start = disk->start;
	disk->start = start_short;
	sink = open_ready(&file);
	feed(sink, 0, 600000);
	commit(sink);
	check_file("f", 600000);
	remove_file("f");
	tear_down();
}

/* What a process that is killed leaves: nothing, or a part without a gap. */
static void be_killed(const struct tow_sink_file *file, size_t bytes)
{
	int status;
	pid_t child = fork();

	CHECK_GE(child, 0);
	if (child == 0) {
		struct tow_sink *sink;

		open_disk();
		sink = open_ready(file);
		feed(sink, 0, bytes);
		while (tow_sink_reserve(sink, 1, &(struct tow_span){ 0 }) == 0)
			tow_sink_fill(sink, 100000);
		tow_disk_run(disk);
		kill(getpid(), SIGKILL);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status));
}

TEST(killed_it_leaves_nothing_or_a_part)
{
	struct tow_sink_file file = { .name = "f", .bytes_expected = 5000000 };
	struct stat st;

	set_up();
	be_killed(&file, 1000000);
	CHECK_EQ(count_files(), 0);
	file.part = "f.part";
	be_killed(&file, 1000000);
	CHECK_EQ(count_files(), 1);
	CHECK_EQ(fstatat(dir_fd, "f.part", &st, 0), 0);
	CHECK_GE(st.st_size, 1000000);
	remove_file("f.part");
	tear_down();
}

/* --- sharing ----------------------------------------------------------------
 */

TEST(who_waits_for_a_block_is_told)
{
	struct tow_sink_file file = { .name = "f" };
	struct tow_sink *a, *b, *told;
	struct tow_span span;
	unsigned i;

	set_up();
	cfg.blocks_max = 2;
	open_disk();
	a = open_ready(&file);
	b = open_ready(&file);
	while (tow_disk_next(disk))
		;
	CHECK_EQ(tow_sink_reserve(a, 1, &span), 0);
	CHECK_EQ(tow_sink_reserve(a, 1, &span), 0);
	CHECK_EQ(tow_sink_reserve(b, 1, &span), TOW_EAGAIN);
	tow_sink_fill(a, 5);
	for (i = 0; i < 1000; i++) {
		run_once();
		told = tow_disk_next(disk);
		if (told)
			break;
	}
	CHECK_EQ(told, b);
	CHECK_EQ(tow_sink_reserve(b, 1, &span), 0);
	tow_sink_close(a);
	tow_sink_close(b);
	tear_down();
}

TEST(a_disk_is_closed_under_everything)
{
	struct tow_sink_file file = { .name = "f", .sync = TOW_SYNC_EACH };
	struct tow_span span;
	struct tow_sink *sink;
	unsigned i;

	set_up();
	open_disk();
	for (i = 0; i < 10; i++) {
		sink = open_sink(&file);
		if (i % 3 == 0)
			continue;
		wait_for(sink, TOW_SINK_READY);
		CHECK_EQ(tow_sink_reserve(sink, 1, &span), 0);
		if (i % 3 == 1)
			continue;
		tow_sink_fill(sink, span.len);
	}
	tear_down();
}
