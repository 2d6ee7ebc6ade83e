/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GET_OUTPUT_H
#define GET_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <tow/span.h>
#include "http_condition.h"

/*
 * Output: where a download goes.
 *
 * A file grows as NAME.part and gets its name when it is whole, so that under
 * its name there is never half of it. Beside it NAME.part.tag keeps the
 * validator that the server gave, which is what makes resuming safe: the
 * server sends the rest only if it is still the same (If-Range).
 */
#define OUTPUT_TAG_MAX 256

struct output {
	int fd;
	bool to_stdout;
	char name[PATH_MAX], part[PATH_MAX], tag_file[PATH_MAX];
	char tag[OUTPUT_TAG_MAX]; /* of the part that is there, or empty */
	uint64_t bytes;		  /* in the file, in order */
};

/*
 * output_open() - open or continue NAME.part
 * @name: "-" for stdout
 *
 * Returns: 0, or a negative errno.
 */
int output_open(struct output *out, const char *name, bool resume);

/* Forget what is there and begin anew, because the server has another file. */
int output_restart(struct output *out);

/* Remember which version the bytes belong to. */
int output_tag(struct output *out, const char *tag);

/* Append; the spans are changed. Returns: 0, or a negative errno. */
int output_write(struct output *out, struct tow_span *spans, size_t count);

/* It is whole: give it its name. Returns: 0, or a negative errno. */
int output_finish(struct output *out);

/* It failed. Returns: whether something is left that can be resumed. */
bool output_abandon(struct output *out);

#endif
