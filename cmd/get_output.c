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

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int make_names(struct output *out, const char *name)
{
	size_t room = sizeof(out->name);

	if (snprintf(out->name, room, "%s", name) >= (int)room ||
	    snprintf(out->part, room, "%s.part", name) >= (int)room ||
	    snprintf(out->tag_file, room, "%s.part.tag", name) >= (int)room)
		return -ENAMETOOLONG;
	out->base = last_part(out->name);
	out->part_base = last_part(out->part);
	return 0;
}

static int open_directory(struct output *out)
{
	char path[PATH_MAX];
	int length = (int)(out->base - out->name);

	snprintf(path, sizeof(path), "%.*s", length, out->name);
	out->dir_fd =
		open(length ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return out->dir_fd < 0 ? -errno : 0;
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

static struct tow_sink_info info_of(const struct output *out)
{
	struct tow_sink_info info = { .state = TOW_SINK_FAILED };

	if (out->sink)
		tow_sink_info(out->sink, &info);
	return info;
}

/* Nothing else is to be done here, so opening and naming may block. */
static int open_sink(struct output *out, uint64_t offset, uint64_t bytes)
{
	struct tow_sink_file file = {
		.dir_fd = out->dir_fd,
		.name = out->base,
		.part = out->part_base,
		.keep_part = out->tag[0] != '\0',
		.offset = offset,
		.bytes_expected = bytes,
	};
	int error;

	if (out->sink)
		tow_sink_close(out->sink);
	error = tow_sink_open(out->disk, &file, NULL, &out->sink);
	return error ? error : info_of(out).status;
}

int output_open(struct output *out, const char *name, bool resume)
{
	struct tow_disk_config cfg;
	int error;

	*out = (struct output){ .dir_fd = -1 };
	out->to_stdout = strcmp(name, "-") == 0;
	if (out->to_stdout)
		return 0;
	tow_disk_config_default(&cfg);
	cfg.threads = 0;
	error = make_names(out, name);
	if (!error)
		error = open_directory(out);
	if (!error)
		error = tow_disk_open(&out->disk, &cfg);
	if (error)
		return error;
	/* A part without a tag could be of any version: it is not continued. */
	if (resume)
		read_tag(out);
	return open_sink(out, out->tag[0] ? TOW_SINK_AT_END : 0, 0);
}

static int write_tag(struct output *out)
{
	FILE *file;
	int error = 0;

	if (!out->tag[0])
		return 0;
	file = fopen(out->tag_file, "we");
	if (!file || fprintf(file, "%s\n", out->tag) < 0)
		error = -errno;
	if (file && fclose(file) != 0)
		error = -errno;
	return error;
}

/* Killed in between, there is a part without a tag. */
int output_begin(struct output *out, uint64_t offset, const char *tag,
		 uint64_t bytes)
{
	int error;

	if (out->to_stdout)
		return out->stdout_bytes > 0 ? -ESPIPE : 0;
	if (offset > 0)
		return open_sink(out, offset, bytes);
	(void)unlink(out->tag_file);
	out->tag[0] = '\0';
	if (tag && strlen(tag) < sizeof(out->tag) - 1)
		strcpy(out->tag, tag);
	error = open_sink(out, 0, bytes);
	return error ? error : write_tag(out);
}

static int write_stdout(struct output *out, struct tow_span *spans,
			size_t count)
{
	while (count > 0) {
		ssize_t n = writev(STDOUT_FILENO, (const struct iovec *)spans,
				   (int)(count < IOV_MAX ? count : IOV_MAX));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		out->stdout_bytes += (uint64_t)n;
		for (; count > 0 && (size_t)n >= spans->len; spans++, count--)
			n -= (ssize_t)spans->len;
		if (n > 0) {
			spans->ptr = (const char *)spans->ptr + n;
			spans->len -= (size_t)n;
		}
	}
	return 0;
}

int output_write(struct output *out, struct tow_span *spans, size_t count)
{
	if (count == 0)
		return 0;
	if (out->to_stdout)
		return write_stdout(out, spans, count);
	return tow_sink_write(out->sink, spans, (unsigned)count);
}

int output_run(struct output *out)
{
	if (out->to_stdout)
		return 0;
	tow_disk_run(out->disk);
	while (tow_disk_next(out->disk))
		; /* there is one, and it is looked at each time */
	return info_of(out).status;
}

bool output_is_busy(const struct output *out)
{
	return info_of(out).state == TOW_SINK_BUSY;
}

uint64_t output_bytes(const struct output *out)
{
	struct tow_sink_info info = info_of(out);

	return out->to_stdout ? out->stdout_bytes
			      : info.offset + info.written_bytes;
}

uint64_t output_progress(const struct output *out)
{
	struct tow_sink_info info = info_of(out);

	return out->to_stdout ? out->stdout_bytes
			      : info.offset + info.progress_bytes;
}

int output_finish(struct output *out)
{
	int error;

	if (out->to_stdout)
		return 0;
	error = tow_sink_commit(out->sink);
	if (!error)
		error = info_of(out).status;
	if (!error)
		(void)unlink(out->tag_file);
	return error;
}

bool output_abandon(struct output *out)
{
	bool useful = out->tag[0] && output_bytes(out) > 0;

	if (out->to_stdout)
		return false;
	if (!useful)
		(void)unlink(out->tag_file);
	return useful;
}

void output_close(struct output *out)
{
	if (!out->disk)
		return;
	tow_disk_close(out->disk);
	close(out->dir_fd);
}
