/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FILE_TARGET_H
#define FILE_TARGET_H

#include <limits.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <tow/file.h>

/*
 * Target: the file of a sink, from the directory it is in to its name. All of
 * these block, and are called on a worker's thread.
 */
#define TARGET_PAGE	  4096	/* what O_DIRECT wants aligned, at most */
#define TARGET_DIRECT_MIN 65536 /* bytes; less is cheaper in the page cache */

struct target {
	struct tow_sink_file file; /* name and part point into this struct */
	char name[NAME_MAX + 1], part[NAME_MAX + 1];
	char temporary[NAME_MAX + 1]; /* empty: the file has no name yet */
	int fd;			      /* through the page cache */
	int direct_fd;		      /* past it, or -1 */
	const char *direct_why;	      /* -1: why */
	uint64_t offset;	      /* of the first byte that is new */
	uint64_t end;		      /* of what is in the file, when it ends */
	bool reserved;
	bool lost; /* fsync(2) failed: who knows what is in the file */
	bool replaces;
	mode_t mode; /* of what it replaces */

	/* Set by the disk's thread at any time: do not give it its name. */
	atomic_bool unwanted;

	const char *failed; /* what it was that failed: "opening" */
};

/* Returns: 0, TOW_EINVAL, or what dup(2) says. */
int target_init(struct target *t, const struct tow_sink_file *file);

/* Returns: 0, or a negative errno; then @failed says more. */
int target_open(struct target *t, bool direct);
int target_commit(struct target *t);

/* Undo or keep; and after commit: let go. */
void target_release(struct target *t, bool committed);

#endif
