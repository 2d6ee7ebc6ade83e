/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FTP's control connection: any bytes, cut anywhere, as lines and commands.
 *
 * The first byte says how the rest is cut. What a command's argument says is
 * taken on as a session does: numbers, types, facts, paths, patterns, and what
 * is written about them in replies and listings.
 *
 * What must hold: bytes are used up or a line is ready; the same bytes in one
 * piece say the same; a path stays below its root and resolves to itself; no
 * reply or listing has more lines than it was given.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "ftp_command.h"
#include "ftp_format.h"
#include "ftp_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A sum of all that a run over the bytes said. */
struct outcome {
	unsigned lines, answers;
	uint64_t sum;
};

static void add_to_sum(struct outcome *o, const void *from, size_t bytes)
{
	const uint8_t *at = from;
	size_t i;

	for (i = 0; i < bytes; i++)
		o->sum = o->sum * 31 + at[i];
}

static void check_path(const char *path)
{
	char again[FTP_PATH_MAX], directory[FTP_PATH_MAX], name[NAME_MAX + 1];
	const char *part = path;

	ASSERT(strlen(path) < FTP_PATH_MAX);
	ASSERT(ftp_path_resolve(".", path, again) && !strcmp(again, path));
	if (strcmp(path, ".") == 0) {
		ASSERT(!ftp_path_split(path, directory, name));
		return;
	}
	for (;; part++) {
		size_t bytes = strcspn(part, "/");

		ASSERT(bytes > 0 && bytes <= NAME_MAX);
		ASSERT(!(bytes == 1 && part[0] == '.'));
		ASSERT(!(bytes == 2 && part[0] == '.' && part[1] == '.'));
		part += bytes;
		if (!*part)
			break;
	}
	ASSERT(ftp_path_split(path, directory, name));
	ASSERT(ftp_path_resolve(directory, name, again));
	ASSERT(strcmp(again, path) == 0);
	(void)ftp_path_match(name, "some.name");
	ASSERT(ftp_path_match("*", name));
	ASSERT(strchr(name, '*') || ftp_path_match(name, name));
}

/* One line: CR LF at its end, none within; what a reply says has none. */
static void check_lines(struct text *text, unsigned lines)
{
	const char *at = text->bytes ? text->bytes : "";
	unsigned count = 0;

	ASSERT(text_ok(text));
	for (; *at; at++) {
		ASSERT(*at != '\r' || at[1] == '\n');
		count += *at == '\n';
	}
	ASSERT(count == lines);
	text_free(text);
}

static void try_name(const char *path)
{
	char name[] = "name";
	struct dir_entry entry = {
		.name = name, .size = 1, .modified = 1700000000, .mode = 0644
	};
	char *writable = strdup(path);
	struct text out = { 0 };

	ASSERT(writable);
	ftp_format_path(&out, path);
	check_lines(&out, 0);
	ftp_format_quoted(&out, path);
	check_lines(&out, 0);
	ftp_format_name(&out, path, &entry);
	check_lines(&out, 1);
	entry.name = writable;
	ftp_format_list(&out, &entry, 1700000000);
	check_lines(&out, 1);
	ftp_format_facts(&out, &entry, path, FTP_FACTS_ALL, true);
	check_lines(&out, 0);
	free(writable);
}

static void try_argument(const char *argument)
{
	char path[FTP_PATH_MAX], deeper[FTP_PATH_MAX];
	struct text out = { 0 };
	uint64_t number;

	(void)ftp_epsv(argument);
	(void)ftp_type(argument);
	(void)ftp_path_is_directory(argument);
	if (ftp_number(argument, &number))
		ASSERT(number <= INT64_MAX);
	ASSERT(!(ftp_facts_parse(argument) & ~FTP_FACTS_ALL));
	ftp_format_chosen(&out, ftp_facts_parse(argument));
	ASSERT(text_ok(&out));
	text_free(&out);
	if (!ftp_path_resolve(".", argument, path))
		return;
	check_path(path);
	try_name(path);
	if (ftp_path_resolve(path, argument, deeper))
		check_path(deeper);
}

static void take_line(struct outcome *o, struct ftp_reader *r)
{
	struct ftp_command c;
	int code = ftp_command_parse(r, &c);

	ASSERT(r->length <= FTP_LINE_MAX && r->line[r->length] == '\0');
	ASSERT(code == 0 || (code >= 500 && code <= 502));
	ASSERT(c.argument && (code || c.verb < FTP_VERB_COUNT));
	if (code == 0)
		try_argument(c.argument);
	o->lines++;
	add_to_sum(o, r->line, r->length);
	add_to_sum(o, &code, sizeof(code));
	add_to_sum(o, &c.verb, sizeof(c.verb));
	ftp_reader_next(r);
}

static struct outcome run(const uint8_t *data, size_t bytes, size_t step)
{
	struct ftp_reader *r = calloc(1, sizeof(*r));
	struct outcome o = { 0 };
	size_t at = 0;

	ASSERT(r);
	while (at < bytes) {
		size_t n = MIN(bytes - at, step);
		size_t used = ftp_reader_feed(r, data + at, n);

		ASSERT(used > 0 && used <= n && (r->ready || used == n));
		at += used;
		if (!r->ready)
			continue;
		take_line(&o, r);
		ASSERT(r->answer_bytes <= FTP_ANSWER_MAX);
		o.answers += r->answer_bytes > 0;
		r->answer_bytes = 0;
	}
	free(r);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct outcome whole, cut;

	if (bytes < 1)
		return 0;
	whole = run(data + 1, bytes - 1, SIZE_MAX);
	cut = run(data + 1, bytes - 1, 1 + data[0]);
	ASSERT(whole.lines == cut.lines && whole.answers == cut.answers);
	ASSERT(whole.sum == cut.sum);
	return 0;
}
