/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growing text: see text.h. The room doubles, so n appended bytes cost O(n).
 */
#include "text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 256

/* Make room for @more bytes and the NUL behind them. */
static bool grow(struct text *t, size_t more)
{
	size_t room = t->room ? t->room : ROOM_FIRST;
	char *bytes;

	if (t->failed)
		return false;
	if (more < t->room - t->length)
		return true;
	while (room - t->length <= more) {
		if (room > SIZE_MAX / 4) {
			t->failed = true;
			return false;
		}
		room *= 2;
	}
	bytes = realloc(t->bytes, room);
	if (!bytes) {
		t->failed = true;
		return false;
	}
	t->bytes = bytes;
	t->room = room;
	return true;
}

void text_add_bytes(struct text *t, const void *bytes, size_t count)
{
	if (!grow(t, count))
		return;
	memcpy(t->bytes + t->length, bytes, count);
	t->length += count;
	t->bytes[t->length] = '\0';
}

void text_add(struct text *t, const char *string)
{
	text_add_bytes(t, string, strlen(string));
}

/* Mostly there is room already, and then this formats once and not twice. */
void text_printf(struct text *t, const char *format, ...)
{
	va_list args;
	int count;

	if (!grow(t, 0))
		return;
	va_start(args, format);
	count = vsnprintf(t->bytes + t->length, t->room - t->length, format,
			  args);
	va_end(args);
	if (count >= 0 && (size_t)count >= t->room - t->length &&
	    grow(t, (size_t)count)) {
		va_start(args, format);
		vsnprintf(t->bytes + t->length, (size_t)count + 1, format,
			  args);
		va_end(args);
	}
	if (count < 0)
		t->failed = true;
	if (!t->failed)
		t->length += (size_t)count;
}

bool text_ok(const struct text *t)
{
	return !t->failed;
}

void text_clear(struct text *t)
{
	t->length = 0;
	t->failed = false;
	if (t->bytes)
		t->bytes[0] = '\0';
}

void text_free(struct text *t)
{
	free(t->bytes);
	*t = (struct text){ 0 };
}
