/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GET_OUTPUT_H
#define GET_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <tow/file.h>
#include "http_condition.h"

/*
 * Output: where a download goes.
 *
 * A file grows as NAME.part and gets its name when it is whole, so that under
 * its name there is never half of it. Beside it NAME.part.tag keeps the
 * validator that the server gave, which is what makes resuming safe: the
 * server sends the rest only if it is still the same (If-Range).
 *
 * The file is a sink. While that is busy, spans that were given to it must
 * stay, and the program runs the disk; stdout is written to at once.
 */
#define OUTPUT_TAG_MAX 256

struct output {
	bool to_stdout;
	char name[PATH_MAX], part[PATH_MAX], tag_file[PATH_MAX];
	char tag[OUTPUT_TAG_MAX]; /* of the part that is there, or empty */
	uint64_t stdout_bytes;
	struct tow_disk *disk; /* NULL: stdout */
	struct tow_sink *sink;
	int dir_fd;		      /* of the directory it is in */
	const char *base, *part_base; /* in it */
};

/*
 * output_open() - open or continue NAME.part
 * @name: "-" for stdout
 *
 * Returns: 0, or a negative errno.
 */
int output_open(struct output *out, const char *name, bool resume);

/*
 * output_begin() - get ready for the bytes from @offset on
 * @offset: 0, or all that is there
 * @tag:    with 0: which version they belong to; NULL: one that can't be
 *          continued
 * @bytes:  that will come, 0: not known
 *
 * What is there behind @offset is forgotten.
 *
 * Returns: 0, or a negative errno; -ESPIPE: stdout cannot begin anew.
 */
int output_begin(struct output *out, uint64_t offset, const char *tag,
		 uint64_t bytes);

/* Append; the spans are changed. Returns: 0, or a negative errno. */
int output_write(struct output *out, struct tow_span *spans, size_t count);

/* Collect what is written. Returns: 0, or the negative errno of a failure. */
int output_run(struct output *out);

/* Something is under way: spans are read, or posted memory is out. */
bool output_is_busy(const struct output *out);

/* In order, in the file; and a measure of what arrives, to be shown. */
uint64_t output_bytes(const struct output *out);
uint64_t output_progress(const struct output *out);

/* It is whole: give it its name. Returns: 0, or a negative errno. */
int output_finish(struct output *out);

/* It failed. Returns: whether something is left that can be resumed. */
bool output_abandon(struct output *out);

/* At the end, before the stack is closed. */
void output_close(struct output *out);

#endif
