/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What workers do with files and directories.
 *
 * Every lookup is open_beneath()'s, below the directory that is served. What
 * is made, removed or renamed is named by the directory it is in, opened that
 * way, and its last name, which none of these calls follows if it is a link.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "serve_ftp.h"

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* --- on the stack's thread --------------------------------------------------
 */

struct ftp_job *ftp_job_new(struct ftp_session *s, const char *path)
{
	struct ftp_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->session = s;
	j->server = s->server;
	j->dir_fd = -1;
	strcpy(j->path, path);
	j->facts = s->facts;
	j->writable = ftp_session_may_write(s);
	j->now = s->server->now;
	return j;
}

static void free_job(struct ftp_job *j)
{
	uint64_t now_us = j->server->now_us;
	struct file_map *map;

	if (j->has_pages) {
		map = file_maps_keep(j->server->maps, &j->pages, j->offset,
				     now_us);
		if (map)
			file_map_give(map, now_us);
	}
	if (j->part[0])
		(void)unlinkat(j->dir_fd, j->part, 0);
	if (j->dir_fd >= 0)
		close(j->dir_fd);
	text_free(&j->text);
	free(j);
}

static void job_done(struct job *job)
{
	struct ftp_job *j = (struct ftp_job *)job;
	struct ftp_session *s = j->session;

	s->jobs--;
	if (s->state == FTP_GONE) {
		ftp_session_release(s);
	} else {
		ftp_session_enter(s, FTP_COMMAND);
		j->then(s, j);
		if (s->server->draining)
			ftp_session_drain(s);
		ftp_session_run(s);
	}
	free_job(j);
}

void ftp_job_submit(struct ftp_job *j, void (*work)(struct job *job),
		    void (*then)(struct ftp_session *s, struct ftp_job *job))
{
	struct ftp_session *s = j->session;

	j->job.work = work;
	j->job.done = job_done;
	j->then = then;
	s->jobs++;
	ftp_session_enter(s, FTP_WORKING);
	workers_submit(j->is_long ? s->server->movers : s->server->workers,
		       &j->job);
}

/* --- on a worker: looking ---------------------------------------------------
 */

/* What is there, whatever it is. Its descriptor, or a negative errno. */
static int open_to_look(struct ftp_job *j, int flags)
{
	struct stat st;
	int fd = open_beneath(j->server->root_fd, j->path, (uint64_t)flags, 0);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) != 0 ||
	    !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
		close(fd);
		return -EACCES; /* a device, or the like */
	}
	dir_entry_fill(&j->entry, &st);
	return fd;
}

void ftp_work_look(struct job *job)
{
	struct ftp_job *j = (struct ftp_job *)job;
	int fd = open_to_look(j, O_PATH | O_CLOEXEC);

	j->error = fd < 0 ? fd : 0;
	if (fd >= 0)
		close(fd);
}

void ftp_work_open(struct job *job)
{
	struct ftp_job *j = (struct ftp_job *)job;
	struct stat st;
	int fd = open_to_look(j, OPEN_FLAGS);

	if (fd < 0) {
		j->error = fd;
	} else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		j->error = -EISDIR;
	} else {
		j->error = file_pages_make(&j->pages, fd, &st, j->offset);
		j->has_pages = j->error == 0;
	}
}

/* --- on a worker: listings --------------------------------------------------
 */

static void add_line(struct ftp_job *j, const struct dir_entry *e)
{
	switch (j->verb) {
	case FTP_NLST:
		ftp_format_name(&j->text, j->folder, e);
		break;
	case FTP_MLSD:
		ftp_format_facts(&j->text, e, e->name, j->facts, j->writable);
		text_add(&j->text, "\r\n");
		break;
	default:
		ftp_format_list(&j->text, e, j->now);
		break;
	}
}

static int list_directory(struct ftp_job *j, int fd, const char *path,
			  const char *pattern)
{
	struct directory_query query = {
		.root_fd = j->server->root_fd,
		.path = path,
		.hidden = j->hidden || (pattern && pattern[0] == '.'),
		.match = pattern ? ftp_path_match : NULL,
		.pattern = pattern,
	};
	size_t most = j->verb == FTP_STAT ? FTP_STAT_MAX : SIZE_MAX, i;
	struct directory d;
	int error = directory_read(&d, &query, fd);

	if (!error)
		directory_sort(d.entries, d.count);
	for (i = 0; !error && i < d.count && i < most; i++)
		add_line(j, &d.entries[i]);
	directory_free(&d);
	return error;
}

/* The folder that NLST writes is what the client wrote in front of the name. */
static void cut_folder(struct ftp_job *j)
{
	char *slash = strrchr(j->folder, '/');

	if (slash)
		slash[1] = '\0';
	else
		j->folder[0] = '\0';
}

/* RFC 959 does not know patterns, but clients send them: "NLST *.c". */
static int list_matches(struct ftp_job *j)
{
	char directory[FTP_PATH_MAX], pattern[NAME_MAX + 1];
	int fd;

	if (!ftp_path_split(j->path, directory, pattern))
		return -ENOENT;
	fd = open_beneath(j->server->root_fd, directory,
			  OPEN_FLAGS | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	cut_folder(j);
	return list_directory(j, fd, directory, pattern);
}

/* One line, under the name that was asked for. */
static int list_file(struct ftp_job *j)
{
	char directory[FTP_PATH_MAX], name[NAME_MAX + 1];

	if (j->verb == FTP_MLSD || !ftp_path_split(j->path, directory, name))
		return -ENOTDIR;
	cut_folder(j);
	j->entry.name = name;
	add_line(j, &j->entry);
	j->entry.name = NULL;
	return 0;
}

static int list(struct ftp_job *j)
{
	int fd = open_to_look(j, OPEN_FLAGS);

	if (fd == -ENOENT && ftp_path_is_pattern(j->path))
		return list_matches(j);
	if (fd < 0)
		return fd;
	if (j->entry.directory)
		return list_directory(j, fd, j->path, NULL);
	close(fd);
	return list_file(j);
}

void ftp_work_list(struct job *job)
{
	struct ftp_job *j = (struct ftp_job *)job;

	j->error = list(j);
	if (!j->error && !text_ok(&j->text))
		j->error = -ENOMEM;
}

/* --- on a worker: changes ---------------------------------------------------
 */

int ftp_work_open_parent(const struct ftp_job *j, const char *path,
			 char name[NAME_MAX + 1])
{
	char directory[FTP_PATH_MAX];

	if (!ftp_path_split(path, directory, name))
		return -EACCES; /* the root itself */
	return open_beneath(j->server->root_fd, directory,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

void ftp_work_delete(struct job *job)
{
	struct ftp_job *j = (struct ftp_job *)job;
	char name[NAME_MAX + 1];
	int fd = ftp_work_open_parent(j, j->path, name);

	if (fd < 0) {
		j->error = fd;
		return;
	}
	if (unlinkat(fd, name, j->verb == FTP_RMD ? AT_REMOVEDIR : 0) != 0)
		j->error = -errno;
	close(fd);
}

void ftp_work_mkdir(struct job *job)
{
	struct ftp_job *j = (struct ftp_job *)job;
	char name[NAME_MAX + 1];
	int fd = ftp_work_open_parent(j, j->path, name);

	if (fd < 0) {
		j->error = fd;
		return;
	}
	if (mkdirat(fd, name, 0777) != 0)
		j->error = -errno;
	close(fd);
}

void ftp_work_rename(struct job *job)
{
	struct ftp_job *j = (struct ftp_job *)job;
	char from[NAME_MAX + 1], to[NAME_MAX + 1];
	int from_fd = ftp_work_open_parent(j, j->path, from);
	int to_fd = ftp_work_open_parent(j, j->target, to);

	if (from_fd < 0 || to_fd < 0)
		j->error = from_fd < 0 ? from_fd : to_fd;
	else if (renameat(from_fd, from, to_fd, to) != 0)
		j->error = errno == EXDEV ? -EPERM : -errno;
	if (from_fd >= 0)
		close(from_fd);
	if (to_fd >= 0)
		close(to_fd);
}
