/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a target to a file, a listing, or a status.
 *
 * Theory of operation. Whatever may wait for a disk is a worker's: looking up
 * names, opening, reading a directory, the first pages of a file. But most
 * requests are for files that were asked for a moment ago. So first the
 * stack's thread tries by itself, with RESOLVE_CACHED, which makes openat2()
 * give up where it would have to wait; when the file that it finds has a map
 * already, the answer begins at once.
 *
 * RESOLVE_BENEATH keeps every lookup below the directory that is served, also
 * where symbolic links lead up or out, also when somebody moves directories at
 * the same time; what leads out fails with EXDEV.
 *
 * Opening never waits: O_NONBLOCK, so that a FIFO without a writer opens at
 * once, to be refused like everything that is neither file nor directory.
 */
#include "serve_http.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "directory.h"
#include "http_listing.h"

#define INDEX	   "index.html"
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define OPEN_TRIES 8 /* when a rename elsewhere confuses the lookup */

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20 /* since Linux 5.12 */
#endif

int open_beneath(int dir_fd, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve,
	};
	int tries = 0;
	long fd;

	do {
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN) &&
		 !(resolve & RESOLVE_CACHED) && ++tries < OPEN_TRIES);
	return fd < 0 ? -errno : (int)fd;
}

int status_of_errno(int error)
{
	switch (-error) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case ENXIO: /* a socket */
		return 404;
	case EACCES:
	case EPERM:
	case ELOOP:
	case EXDEV: /* leads out of the directory */
	case EROFS:
		return 403;
	case EISDIR:
	case ENOTEMPTY:
	case EEXIST:
		return 409;
	case ENOSPC:
	case EDQUOT:
		return 507;
	case EFBIG:
		return 413;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
		return 503;
	default:
		return 500;
	}
}

/* The name of the file that a directory's visitor gets: "a/index.html". */
static bool index_path(const char *directory, char out[HTTP_PATH_MAX])
{
	int n = snprintf(out, HTTP_PATH_MAX, "%s/" INDEX, directory);

	return n < HTTP_PATH_MAX;
}

/* --- at once
 * ------------------------------------------------------------------ */

static struct file_map *find_open_map(struct server *server, const char *path)
{
	struct file_map *map = NULL;
	struct stat st;
	int fd;

	fd = open_beneath(server->root_fd, path, OPEN_FLAGS, RESOLVE_CACHED);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		map = file_maps_find(server->maps, &st);
	close(fd);
	if (map)
		map->checked_us = server->now_us;
	return map;
}

static bool answer_at_once(struct conn *c, const struct http_target *target)
{
	char path[HTTP_PATH_MAX];
	const char *name = target->path;
	struct file_map *map;

	if (target->directory) {
		if (!index_path(target->path, path))
			return false;
		name = path;
	}
	map = find_open_map(c->server, name);
	if (map)
		request_answer_file(c, map, name);
	return map;
}

/* --- by a worker
 * ---------------------------------------------------------------- */

struct open_job {
	struct job job;
	struct conn *conn;
	struct server *server;
	int root_fd;
	char path[HTTP_PATH_MAX];
	bool directory; /* the target ended in a slash */

	int status;   /* 200, 301, or an error */
	bool is_file; /* 200: the pages, else the page */
	struct file_pages pages;
	struct text page;
};

static int make_listing(struct open_job *j, int fd)
{
	struct directory_query all = { .root_fd = j->root_fd, .path = j->path };
	struct directory d;
	int error = directory_read(&d, &all, fd);

	if (!error) {
		directory_sort(d.entries, d.count);
		http_listing(&j->page, j->path, d.entries, d.count, d.left_out);
	}
	directory_free(&d);
	if (error)
		return error == -ENOMEM ? 503 : 500;
	return text_ok(&j->page) ? 200 : 503;
}

static int make_pages(struct open_job *j, int fd, const struct stat *st)
{
	int error = file_pages_make(&j->pages, fd, st, 0);

	if (error)
		return status_of_errno(error);
	j->is_file = true;
	return 200;
}

static int open_file(struct open_job *j, const char *path);

/* "/a" becomes "/a/", so that relative links in it work (RFC 3986 5.2.3). */
static int open_directory(struct open_job *j, int fd)
{
	char path[HTTP_PATH_MAX];
	int status;

	if (!j->directory) {
		close(fd);
		return 301;
	}
	if (!index_path(j->path, path)) {
		close(fd);
		return 404;
	}
	status = open_file(j, path);
	if (status != 404) {
		close(fd);
		if (status == 200)
			strcpy(j->path, path);
		return status;
	}
	return make_listing(j, fd);
}

/* Files only: this is how an index is opened, too. */
static int open_file(struct open_job *j, const char *path)
{
	struct stat st;
	int fd = open_beneath(j->root_fd, path, OPEN_FLAGS, 0);

	if (fd < 0)
		return status_of_errno(fd);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return make_pages(j, fd, &st);
	close(fd);
	return 404;
}

static int open_anything(struct open_job *j)
{
	struct stat st;
	int fd = open_beneath(j->root_fd, j->path, OPEN_FLAGS, 0);

	if (fd < 0)
		return status_of_errno(fd);
	if (fstat(fd, &st) != 0)
		st.st_mode = 0;
	if (S_ISDIR(st.st_mode))
		return open_directory(j, fd);
	if (S_ISREG(st.st_mode) && !j->directory)
		return make_pages(j, fd, &st);
	close(fd);
	return S_ISREG(st.st_mode) ? 404 : 403;
}

static void open_work(struct job *job)
{
	struct open_job *j = (struct open_job *)job;

	j->status = open_anything(j);
}

static void answer_redirect(struct conn *c, const struct open_job *j)
{
	struct text location = { 0 };

	http_escape_path(&location, j->path, true);
	request_base(c, 301);
	c->reply.location = location.bytes;
	http_plan_status(&c->plan, &c->reply);
	c->plan.text.failed |= !text_ok(&location);
	text_free(&location);
	c->reply.location = NULL;
	send_begin(c);
}

static void answer_listing(struct conn *c, const struct open_job *j)
{
	request_base(c, 200);
	c->reply.content_type = "text/html; charset=utf-8";
	http_plan_text(&c->plan, &c->reply, j->page.bytes, j->page.length);
	send_begin(c);
}

static void answer(struct conn *c, const struct open_job *j,
		   struct file_map *map)
{
	if (j->is_file && !map)
		request_answer(c, 503);
	else if (j->is_file)
		request_answer_file(c, map, j->path);
	else if (j->status == 200)
		answer_listing(c, j);
	else if (j->status == 301)
		answer_redirect(c, j);
	else
		request_answer(c, j->status);
}

static void open_done(struct job *job)
{
	struct open_job *j = (struct open_job *)job;
	struct server *server = j->server;
	struct file_map *map = NULL;
	struct conn *c = j->conn;

	if (j->is_file)
		map = file_maps_keep(server->maps, &j->pages, 0,
				     server->now_us);
	c->jobs--;
	if (c->state == CONN_OPENING) {
		answer(c, j, map);
		conn_run(c);
	} else {
		if (map)
			file_map_give(map, server->now_us);
		conn_release(c);
	}
	text_free(&j->page);
	free(j);
}

void open_target(struct conn *c, const struct http_target *target)
{
	struct open_job *j;

	if (answer_at_once(c, target))
		return;
	j = calloc(1, sizeof(*j));
	if (!j) {
		request_answer(c, 503);
		return;
	}
	j->job.work = open_work;
	j->job.done = open_done;
	j->conn = c;
	j->server = c->server;
	j->root_fd = c->server->root_fd;
	memcpy(j->path, target->path, target->length + 1);
	j->directory = target->directory;
	c->jobs++;
	conn_enter(c, CONN_OPENING);
	workers_submit(c->server->workers, &j->job);
}
