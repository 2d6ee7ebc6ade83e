/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directories: see directory.h.
 */
#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "serve.h"

/* What a link leads to, if it can be had: the size of others is a secret. */
static bool follow_link(const struct directory_query *q, const char *name,
			struct stat *st)
{
	char path[PATH_MAX];
	bool found;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", q->path, name) >=
	    (int)sizeof(path))
		return false;
	fd = open_beneath(q->root_fd, path, O_PATH | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	found = fstat(fd, st) == 0;
	close(fd);
	return found;
}

static bool can_be_had(const struct directory_query *q, int dir_fd,
		       const char *name, struct stat *st)
{
	if (fstatat(dir_fd, name, st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	if (S_ISLNK(st->st_mode) && !follow_link(q, name, st))
		return false;
	return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
}

void dir_entry_fill(struct dir_entry *e, const struct stat *st)
{
	e->directory = S_ISDIR(st->st_mode);
	e->size = (uint64_t)st->st_size;
	e->modified = st->st_mtim.tv_sec;
	e->mode = st->st_mode;
	e->device = (uint64_t)st->st_dev;
	e->inode = (uint64_t)st->st_ino;
}

static bool grow(struct directory *d)
{
	size_t room = d->room ? d->room * 2 : 64;
	void *entries = realloc(d->entries, room * sizeof(*d->entries));

	if (!entries)
		return false;
	d->entries = entries;
	d->room = room;
	return true;
}

static void add_entry(struct directory *d, const struct directory_query *q,
		      int dir_fd, const char *name)
{
	struct stat st;

	if (d->count == SERVE_LISTING_MAX) {
		d->left_out++;
		return;
	}
	if (!can_be_had(q, dir_fd, name, &st))
		return;
	if (d->count == d->room && !grow(d)) {
		d->failed = true;
		return;
	}
	dir_entry_fill(&d->entries[d->count], &st);
	d->entries[d->count].name = strdup(name);
	if (d->entries[d->count].name)
		d->count++;
	else
		d->failed = true;
}

static bool is_wanted(const struct directory_query *q, const char *name)
{
	if (name[0] == '.' &&
	    (!q->hidden || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
		return false;
	return !q->match || q->match(q->pattern, name);
}

int directory_read(struct directory *d, const struct directory_query *q, int fd)
{
	struct dirent *entry;
	DIR *dir;

	*d = (struct directory){ 0 };
	dir = fdopendir(fd);
	if (!dir) {
		int error = -errno;

		close(fd);
		return error;
	}
	while (!d->failed && (entry = readdir(dir)))
		if (is_wanted(q, entry->d_name))
			add_entry(d, q, dirfd(dir), entry->d_name);
	closedir(dir);
	return d->failed ? -ENOMEM : 0;
}

void directory_free(struct directory *d)
{
	size_t i;

	for (i = 0; i < d->count; i++)
		free(d->entries[i].name);
	free(d->entries);
	*d = (struct directory){ 0 };
}

static int compare(const void *a, const void *b)
{
	const struct dir_entry *x = a, *y = b;
	int order;

	if (x->directory != y->directory)
		return x->directory ? -1 : 1;
	order = strverscmp(x->name, y->name);
	return order ? order : strcmp(x->name, y->name);
}

void directory_sort(struct dir_entry *entries, size_t count)
{
	if (count > 1)
		qsort(entries, count, sizeof(*entries), compare);
}
