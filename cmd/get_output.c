/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a download goes: see get_output.h.
 */
#include "get_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int make_names(struct output *out, const char *name)
{
	size_t room = sizeof(out->name);

	if (snprintf(out->name, room, "%s", name) >= (int)room ||
	    snprintf(out->part, room, "%s.part", name) >= (int)room ||
	    snprintf(out->tag_file, room, "%s.part.tag", name) >= (int)room)
		return -ENAMETOOLONG;
	return 0;
}

static void read_tag(struct output *out)
{
	FILE *file = fopen(out->tag_file, "re");

	if (!file)
		return;
	if (!fgets(out->tag, sizeof(out->tag), file))
		out->tag[0] = '\0';
	out->tag[strcspn(out->tag, "\n")] = '\0';
	fclose(file);
}

/* A part without a tag could be of any version: it is not continued. */
static void find_end(struct output *out)
{
	struct stat st;

	read_tag(out);
	if (out->tag[0] && fstat(out->fd, &st) == 0)
		out->bytes = (uint64_t)st.st_size;
}

int output_open(struct output *out, const char *name, bool resume)
{
	int error;

	*out = (struct output){ .fd = STDOUT_FILENO };
	out->to_stdout = strcmp(name, "-") == 0;
	if (out->to_stdout)
		return 0;
	error = make_names(out, name);
	if (error)
		return error;
	out->fd = open(out->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (out->fd < 0)
		return -errno;
	if (resume)
		find_end(out);
	return out->bytes > 0 ? 0 : output_restart(out);
}

int output_restart(struct output *out)
{
	if (out->to_stdout)
		return out->bytes > 0 ? -ESPIPE : 0;
	out->bytes = 0;
	out->tag[0] = '\0';
	(void)unlink(out->tag_file);
	return ftruncate(out->fd, 0) == 0 ? 0 : -errno;
}

int output_tag(struct output *out, const char *tag)
{
	FILE *file;
	int error = 0;

	if (out->to_stdout || !tag || strlen(tag) >= sizeof(out->tag) - 1)
		return 0;
	file = fopen(out->tag_file, "we");
	if (!file || fprintf(file, "%s\n", tag) < 0)
		error = -errno;
	if (file && fclose(file) != 0)
		error = -errno;
	strcpy(out->tag, tag);
	return error;
}

static ssize_t write_some(const struct output *out, struct tow_span *spans,
			  size_t count)
{
	const struct iovec *iov = (const struct iovec *)spans;
	int n = (int)(count < IOV_MAX ? count : IOV_MAX);

	return out->to_stdout ? writev(out->fd, iov, n)
			      : pwritev(out->fd, iov, n, (off_t)out->bytes);
}

int output_write(struct output *out, struct tow_span *spans, size_t count)
{
	while (count > 0) {
		ssize_t n = write_some(out, spans, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		out->bytes += (uint64_t)n;
		for (; count > 0 && (size_t)n >= spans->len; spans++, count--)
			n -= (ssize_t)spans->len;
		if (n > 0) {
			spans->ptr = (const char *)spans->ptr + n;
			spans->len -= (size_t)n;
		}
	}
	return 0;
}

int output_finish(struct output *out)
{
	if (out->to_stdout)
		return 0;
	/* Some file systems tell of a full disk only now. */
	if (close(out->fd) != 0)
		return -errno;
	out->fd = -1;
	if (rename(out->part, out->name) != 0)
		return -errno;
	(void)unlink(out->tag_file);
	return 0;
}

bool output_abandon(struct output *out)
{
	bool useful = !out->to_stdout && out->bytes > 0 && out->tag[0];

	if (out->to_stdout)
		return false;
	if (out->fd >= 0)
		close(out->fd);
	if (useful)
		return true;
	(void)unlink(out->part);
	(void)unlink(out->tag_file);
	return false;
}
