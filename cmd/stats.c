/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statistics as JSON: see stats.h. Names come from the X-macros and are lower
 * case words, so nothing needs to be escaped.
 */
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void add_number(struct text *out, const char **comma, const char *name,
		       uint64_t value)
{
	text_printf(out, "%s\"%s\": %" PRIu64, *comma, name, value);
	*comma = ", ";
}

static void add_copies(struct text *out, const struct tow_ledger *ledger,
		       unsigned first, unsigned end)
{
	const char *comma = "";
	unsigned i;

	text_add(out, "\"copied_bytes\": {");
	for (i = first; i < end; i++)
		add_number(out, &comma, tow_copy_name(i),
			   ledger->copied_bytes[i]);
	text_add(out, "}");
}

static void add_ledger(struct text *out, const struct tow_ledger *l)
{
	text_printf(out,
		    "  \"ledger\": {\n    \"tx\": {\"lent_bytes\": %" PRIu64
		    ", \"passed_bytes\": %" PRIu64
		    ", \"touched_bytes\": %" PRIu64 ", ",
		    l->tx_lent_bytes, l->passed_bytes, l->tx_touched_bytes);
	add_copies(out, l, 0, TOW_COPY_RX_FIRST);
	text_printf(out,
		    "},\n    \"rx\": {\"placed_bytes\": %" PRIu64
		    ", \"lent_bytes\": %" PRIu64 ", \"touched_bytes\": %" PRIu64
		    ", ",
		    l->rx_placed_bytes, l->rx_lent_bytes, l->rx_touched_bytes);
	add_copies(out, l, TOW_COPY_RX_FIRST, TOW_COPY_REASONS);
	text_add(out, "}\n  },\n");
}

static void add_drops(struct text *out, const uint64_t *drops)
{
	const char *comma = "";
	unsigned i;

	text_add(out, "  \"drops\": {");
	for (i = 0; i < TOW_DROP_REASONS; i++)
		add_number(out, &comma, tow_drop_name(i), drops[i]);
	text_add(out, "},\n");
}

/* The group and the rest of "tcp_segs_in": "tcp" and "segs_in". */
static const char *split_name(const char *name, size_t *group_bytes)
{
	const char *underscore = strchr(name, '_');

	*group_bytes = underscore ? (size_t)(underscore - name) : strlen(name);
	return underscore ? underscore + 1 : name;
}

static bool same_group(unsigned a, unsigned b)
{
	size_t a_bytes, b_bytes;
	const char *a_name = tow_counter_name(a), *b_name = tow_counter_name(b);

	split_name(a_name, &a_bytes);
	split_name(b_name, &b_bytes);
	return a_bytes == b_bytes && memcmp(a_name, b_name, a_bytes) == 0;
}

static bool begins_group(unsigned counter)
{
	unsigned i;

	for (i = 0; i < counter; i++)
		if (same_group(i, counter))
			return false;
	return true;
}

static void add_group(struct text *out, unsigned first,
		      const uint64_t *counters)
{
	const char *comma = "", *rest;
	size_t bytes;
	unsigned i;

	split_name(tow_counter_name(first), &bytes);
	rest = tow_counter_name(first);
	if (bytes == 2 && memcmp(rest, "no", 2) == 0) { /* "no_loans" */
		rest = "exhausted";
		bytes = strlen(rest);
	}
	text_printf(out, "%s  \"%.*s\": {", first ? ",\n" : "", (int)bytes,
		    rest);
	for (i = first; i < TOW_COUNTER_KINDS; i++) {
		if (!same_group(first, i))
			continue;
		rest = split_name(tow_counter_name(i), &bytes);
		add_number(out, &comma, rest, counters[i]);
	}
	text_add(out, "}");
}

static void stats_json(struct text *out, const struct tow_stats *stats,
		       const struct text *more)
{
	unsigned i;

	text_add(out, "{\n");
	add_ledger(out, &stats->ledger);
	add_drops(out, stats->drops);
	for (i = 0; i < TOW_COUNTER_KINDS; i++)
		if (begins_group(i))
			add_group(out, i, stats->counters);
	if (more->length > 0)
		text_printf(out, ",\n  %s", more->bytes);
	text_add(out, "\n}\n");
	out->failed |= more->failed;
}

static int write_whole(FILE *file, const struct text *text)
{
	bool failed =
		fwrite(text->bytes, 1, text->length, file) != text->length;

	if (fclose(file) != 0 || failed)
		return errno ? -errno : -EIO;
	return 0;
}

/* A pipe or a terminal is written to; it cannot be replaced. */
static bool is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

/* Connections must not wait until somebody reads a FIFO: better no numbers. */
static int write_special(const char *path, const struct text *text)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (file)
		return write_whole(file, text);
	if (fd >= 0)
		close(fd);
	return errno ? -errno : -EIO;
}

/* Replace a file by some text, never showing half of it. */
static int stats_write(const char *path, const struct text *text)
{
	char temporary[PATH_MAX];
	FILE *file;
	int error;

	if (!text_ok(text))
		return -ENOMEM;
	if (is_special(path))
		return write_special(path, text);
	if (snprintf(temporary, sizeof(temporary), "%s.tmp", path) >=
	    (int)sizeof(temporary))
		return -ENAMETOOLONG;
	file = fopen(temporary, "we");
	error = file ? write_whole(file, text) : -errno;
	if (error == 0 && rename(temporary, path) != 0)
		error = -errno;
	if (error && file)
		unlink(temporary);
	return error;
}

int stats_check(const char *path, const char *command)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int length = slash ? (int)(slash - path) : 0;
	struct stat st;

	snprintf(folder, sizeof(folder), "%.*s", length, path);
	if (slash == path)
		snprintf(folder, sizeof(folder), "/");
	else if (!slash)
		snprintf(folder, sizeof(folder), ".");
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		errno = EISDIR;
	else if (access(path, W_OK) == 0 || access(folder, W_OK | X_OK) == 0)
		return 0;
	fprintf(stderr, "tow %s: --stats %s: %s\n", command, path,
		strerror(errno));
	return -errno;
}

int stats_save(const char *path, const struct tow_stats *stats,
	       const struct text *more, const char *command)
{
	struct text text = { 0 };
	int error;

	stats_json(&text, stats, more);
	error = stats_write(path, &text);
	text_free(&text);
	if (error)
		fprintf(stderr, "tow %s: writing %s: %s\n", command, path,
			strerror(-error));
	return error == -ENXIO ? 0 : error; /* a FIFO that nobody reads */
}
