/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <tow/mark.h>

/*
 * Text: bytes that grow by appending, for response heads, listings and JSON.
 *
 * Running out of memory is remembered, not reported: a writer appends as much
 * as it likes and asks text_ok() once, at the end. An all-zero struct is an
 * empty text.
 */
struct text {
	char *bytes; /* always NUL-terminated when not NULL */
	size_t length;
	size_t room;
	bool failed;
};

void text_add(struct text *text, const char *string);
void text_add_bytes(struct text *text, const void *bytes, size_t count);
void text_printf(struct text *text, const char *format, ...) TOW_PRINTF(2, 3);

/* Everything that was appended is there. */
bool text_ok(const struct text *text);

/* Forget the bytes but keep the room. */
void text_clear(struct text *text);
void text_free(struct text *text);

#endif
