/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DIRECTORY_H
#define DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/*
 * Directory: what a client may see of one.
 *
 * Files and directories, and links as what they lead to, as long as that is
 * below the directory that is served. What is gone again, leads out or to
 * nowhere, or is a device, is left out. Names that begin with a dot are shown
 * to those who ask for them.
 *
 * On workers: reading one may sleep.
 */
struct dir_entry {
	char *name; /* any bytes but NUL and slash */
	bool directory;
	uint64_t size;
	time_t modified;
	mode_t mode;
	uint64_t device, inode;
};

struct directory {
	struct dir_entry *entries;
	size_t count, room;
	size_t left_out; /* there were more than so many */
	bool failed;	 /* no memory */
};

struct directory_query {
	int root_fd;	  /* the directory that is served */
	const char *path; /* of this one below it: ".", "a/b" */
	bool hidden;	  /* names with a dot, too */
	/* NULL, or which names are wanted: match(pattern, name) */
	bool (*match)(const char *pattern, const char *name);
	const char *pattern;
};

/*
 * directory_read() - all entries, in no order
 * @fd: of the directory; taken
 *
 * Returns: 0, or a negative errno. directory_free() is due in any case.
 */
int directory_read(struct directory *out, const struct directory_query *query,
		   int fd);
void directory_free(struct directory *directory);

/* Directories first, then by name, numbers in names by value. */
void directory_sort(struct dir_entry *entries, size_t count);

/* All but the name, from what stat(2) says. */
void dir_entry_fill(struct dir_entry *entry, const struct stat *st);

#endif
