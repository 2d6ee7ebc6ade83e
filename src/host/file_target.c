/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file's way to its name.
 *
 * Theory of operation. A plain file has no name at all while it is written
 * (O_TMPFILE), in the directory where it will appear, so that whatever ends
 * the program before its end leaves nothing behind. Commit makes it durable and
 * gives it its name in one atomic step; readers of the old file go on reading
 * the old file.
 *
 *	there was no such file     link, which makes sure that it stays so
 *	there was one              link under a random name, rename over it
 *
 * Not every file system has files without names (tmpfs, ext4, xfs and btrfs
 * do); elsewhere it has a random one from the beginning, and a killed program
 * leaves that. A part has a name of its own from the beginning, on purpose.
 *
 * Room is reserved for what is announced, because a full disk is better said
 * before the bytes are sent than after. A plain file gets its final length
 * at once by that, which lets direct writes go side by side; a part must not,
 * as its length says how far it may be continued.
 */
#include "host/file_target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <tow/error.h>
#include "base/base.h"

#define NAME_TRIES 16 /* random names that are all taken */

/* --- beginning --------------------------------------------------------------
 */

static bool copy_name(char out[NAME_MAX + 1], const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > NAME_MAX || strchr(name, '/'))
		return false;
	memcpy(out, name, length + 1);
	return true;
}

int target_init(struct target *t, const struct tow_sink_file *file)
{
	*t = (struct target){ .file = *file, .fd = -1, .direct_fd = -1 };
	if (!file->name || !copy_name(t->name, file->name) ||
	    (file->part && (file->in_place || !copy_name(t->part, file->part))))
		return TOW_EINVAL;
	t->file.name = t->name;
	t->file.part = file->part ? t->part : NULL;
	t->file.dir_fd = file->dir_fd == AT_FDCWD
				 ? open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				 : fcntl(file->dir_fd, F_DUPFD_CLOEXEC, 0);
	return t->file.dir_fd < 0 ? -errno : 0;
}

static int fail(struct target *t, const char *what)
{
	t->failed = what;
	return -errno;
}

static int fail_with(struct target *t, int error, const char *what)
{
	t->failed = what;
	return error;
}

static void random_name(char out[NAME_MAX + 1])
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		number = (uint64_t)getpid();
	snprintf(out, NAME_MAX + 1, ".upload-%016llx.tow",
		 (unsigned long long)number);
}

static int open_random(struct target *t)
{
	int i, fd = -1;

	for (i = 0; fd < 0 && i < NAME_TRIES; i++) {
		random_name(t->temporary);
		fd = openat(t->file.dir_fd, t->temporary,
			    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0)
		t->temporary[0] = '\0';
	return fd;
}

static int open_nameless(struct target *t)
{
	t->fd = openat(t->file.dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC,
		       0666);
	if (t->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR ||
			  errno == ENOENT || errno == EINVAL))
		t->fd = open_random(t);
	return t->fd < 0 ? fail(t, "making a temporary file") : 0;
}

/* One that has a name already, or gets it now, and may have bytes already. */
static int open_lasting(struct target *t, const char *name)
{
	struct stat st;

	t->fd = openat(t->file.dir_fd, name,
		       O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (t->fd < 0 || fstat(t->fd, &st) != 0)
		return fail(t, "opening");
	if (!S_ISREG(st.st_mode))
		return fail_with(t, TOW_EEXIST, "opening what is no file");
	t->offset = t->file.offset == TOW_SINK_AT_END ? (uint64_t)st.st_size
						      : t->file.offset;
	if (t->offset > (uint64_t)st.st_size)
		return fail_with(t, TOW_EINVAL, "continuing behind the end of");
	return 0;
}

static int open_part(struct target *t)
{
	int error = open_lasting(t, t->part);

	if (!error && ftruncate(t->fd, (off_t)t->offset) != 0)
		return fail(t, "cutting");
	if (!error)
		strcpy(t->temporary, t->part);
	return error;
}

/* What is there under that name, and may it be replaced? */
static int look_at_name(struct target *t)
{
	struct stat st;

	if (fstatat(t->file.dir_fd, t->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : fail(t, "looking for");
	if (S_ISDIR(st.st_mode))
		return fail_with(t, -EISDIR, "replacing");
	if (!S_ISREG(st.st_mode) || t->file.only_new)
		return fail_with(t, TOW_EEXIST, "replacing");
	t->replaces = true;
	t->mode = st.st_mode & 0777; /* never set-user-ID */
	return 0;
}

/* Memory that is reserved is cleared, too; there it is enough to look. */
static bool is_memory(const struct target *t, uint64_t *free_bytes)
{
	struct statfs fs;

	if (fstatfs(t->fd, &fs) != 0 || fs.f_type != TMPFS_MAGIC)
		return false;
	/* 0 blocks in all: there is no limit. */
	*free_bytes =
		fs.f_blocks ? fs.f_bavail * (uint64_t)fs.f_bsize : UINT64_MAX;
	return true;
}

static int reserve_room(struct target *t)
{
	uint64_t free_bytes;
	bool plain = !t->file.part && !t->file.in_place;
	uint64_t bytes = t->file.bytes_expected;

	if (bytes == 0)
		return 0;
	if (bytes > INT64_MAX - t->offset)
		return fail_with(t, -EFBIG, "reserving room for");
	if (is_memory(t, &free_bytes))
		return bytes <= free_bytes
			       ? 0
			       : fail_with(t, -ENOSPC, "reserving room for");
	if (fallocate(t->fd, plain ? 0 : FALLOC_FL_KEEP_SIZE, (off_t)t->offset,
		      (off_t)bytes) == 0)
		t->reserved = true;
	else if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
		return fail(t, "reserving room for");
	return 0;
}

/* A second description of the same file, because flags belong to those. */
static void open_direct(struct target *t)
{
	uint64_t bytes = t->file.bytes_expected;
	char path[64];

	if (bytes > 0 && bytes < TARGET_DIRECT_MIN) {
		t->direct_why = "the file is small";
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", t->fd);
	t->direct_fd = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (t->direct_fd < 0)
		t->direct_why = errno == EINVAL
					? "the file system refuses O_DIRECT"
					: "the file cannot be opened twice";
}

int target_open(struct target *t, bool direct)
{
	int error = 0;

	if (!t->file.in_place)
		error = look_at_name(t);
	if (!error)
		error = t->file.in_place ? open_lasting(t, t->name)
			: t->file.part	 ? open_part(t)
					 : open_nameless(t);
	if (!error)
		error = reserve_room(t);
	t->end = t->offset;
	if (error)
		return error;
	if (direct)
		open_direct(t);
	else
		t->direct_why = "it is turned off";
	return 0;
}

/* --- the end ----------------------------------------------------------------
 */

/* Give a file without a name one; false leaves the reason in errno. */
static bool link_as(const struct target *t, const char *name)
{
	int dir_fd = t->file.dir_fd;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", t->fd);
	return linkat(t->fd, "", dir_fd, name, AT_EMPTY_PATH) == 0 ||
	       (errno != EEXIST &&
		linkat(AT_FDCWD, path, dir_fd, name, AT_SYMLINK_FOLLOW) == 0);
}

/* Nothing is there: the step itself makes sure that it stays so. */
static int publish_new(struct target *t)
{
	if (!t->temporary[0])
		return link_as(t, t->name) ? 0 : fail(t, "naming");
	if (renameat2(t->file.dir_fd, t->temporary, t->file.dir_fd, t->name,
		      RENAME_NOREPLACE) != 0)
		return fail(t, "naming");
	t->temporary[0] = '\0';
	return 0;
}

static int publish_over(struct target *t)
{
	int i;

	for (i = 0; !t->temporary[0] && i < NAME_TRIES; i++) {
		char name[NAME_MAX + 1];

		random_name(name);
		if (link_as(t, name))
			strcpy(t->temporary, name);
		else if (errno != EEXIST)
			return fail(t, "naming");
	}
	if (renameat(t->file.dir_fd, t->temporary, t->file.dir_fd, t->name) !=
	    0)
		return fail(t, "replacing");
	t->temporary[0] = '\0';
	return 0;
}

/* Somebody else's file may have come meanwhile: then that is replaced. */
static int publish(struct target *t)
{
	int error = t->replaces ? publish_over(t) : publish_new(t);

	if (error != TOW_EEXIST && error != -EINVAL)
		return error;
	if (t->replaces || t->file.only_new)
		return error;
	error = look_at_name(t);
	return error ? error : publish_over(t);
}

/* Some file systems tell of a full disk only now. */
static int close_file(struct target *t)
{
	int fd = t->fd;

	if (t->direct_fd >= 0)
		close(t->direct_fd);
	t->direct_fd = t->fd = -1;
	return fd >= 0 && close(fd) != 0 ? fail(t, "writing") : 0;
}

/* Reserved and not used. A file in place goes on behind what was written. */
static int give_room_back(struct target *t)
{
	off_t end = (off_t)t->end;
	struct stat st;

	if (!t->reserved)
		return 0;
	if (t->file.in_place) {
		if (fstat(t->fd, &st) != 0)
			return fail(t, "looking at");
		end = st.st_size;
	}
	return ftruncate(t->fd, end) != 0 ? fail(t, "cutting") : 0;
}

int target_commit(struct target *t)
{
	bool durable = t->file.sync != TOW_SYNC_NONE;
	int error = give_room_back(t);

	if (error)
		return error;
	if (t->replaces && fchmod(t->fd, t->mode) != 0)
		return fail(t, "setting the mode of");
	if (durable && fsync(t->fd) != 0) {
		t->lost = true;
		return fail(t, "writing");
	}
	if (atomic_load(&t->unwanted))
		return fail_with(t, -ECANCELED, "committing");
	if (t->temporary[0] || t->file.in_place)
		error = close_file(t);
	if (!error && !t->file.in_place)
		error = publish(t);
	if (!error && durable && fsync(t->file.dir_fd) != 0)
		return fail(t, "writing the directory of");
	return error;
}

/* What is behind the end was never written, or has a gap before it. */
static bool keep(struct target *t)
{
	return t->file.keep_part && t->end > 0 &&
	       (t->fd < 0 || ftruncate(t->fd, (off_t)t->end) == 0);
}

void target_release(struct target *t, bool committed)
{
	if (!committed && t->temporary[0] && !keep(t))
		(void)unlinkat(t->file.dir_fd, t->temporary, 0);
	if (!committed && t->file.in_place && t->fd >= 0)
		(void)give_room_back(t);
	(void)close_file(t);
	if (t->file.dir_fd >= 0)
		close(t->file.dir_fd);
	t->file.dir_fd = -1;
}
