/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Request targets, RFC 9112 3.2 and RFC 3986.
 *
 * Theory of operation. First the target is cut down to its path (3.2.1, 3.2.2);
 * then the path is taken part by part: each part is decoded (RFC 3986 2.1)
 * into the output, then judged as a whole. "." and empty parts vanish, ".."
 * takes the part before away (5.2.4), a part with a NUL or a decoded slash can
 * be no file's name. Decoding happens once, so %252e stays "%2e".
 */
#include "http_target.h"

#include <string.h>
#include <strings.h>

#define NAME_BYTES_MAX 255 /* of one part, as NAME_MAX */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path of "http://host/path", in place; NULL without a path. */
static const char *skip_authority(const char *raw, size_t bytes)
{
	static const char *const schemes[] = { "http://", "https://" };
	size_t i, length;

	for (i = 0; i < 2; i++) {
		length = strlen(schemes[i]);
		if (bytes > length && strncasecmp(raw, schemes[i], length) == 0)
			return memchr(raw + length, '/', bytes - length);
	}
	return NULL;
}

/*
 * Decode raw[0..bytes) behind out->path[start]. Returns the status of
 * http_target_parse() and the length of the part.
 */
static int decode_part(const char *raw, size_t bytes, struct http_target *out,
		       size_t start, size_t *length)
{
	size_t i, n = 0;

	for (i = 0; i < bytes; i++, n++) {
		char c = raw[i];

		if (c == '%') {
			int high = bytes - i > 2 ? hex(raw[i + 1]) : -1;
			int low = bytes - i > 2 ? hex(raw[i + 2]) : -1;

			if (high < 0 || low < 0)
				return 400;
			c = (char)(high << 4 | low);
			i += 2;
			if (c == '/')
				return 404;
		}
		if (c == '\0')
			return 400;
		if (n >= NAME_BYTES_MAX)
			return 404;
		if (start + n + 1 >= HTTP_PATH_MAX)
			return 414;
		out->path[start + n] = c;
	}
	*length = n;
	return 0;
}

/* Where the last part of a path begins, with the slash in front of it. */
static size_t parent_length(const struct http_target *t)
{
	size_t n = t->length;

	while (n > 0 && t->path[n - 1] != '/')
		n--;
	return n > 0 ? n - 1 : 0;
}

static bool is_word(const char *part, size_t length, const char *word)
{
	return length == strlen(word) && memcmp(part, word, length) == 0;
}

static int take_part(const char *raw, size_t bytes, struct http_target *out)
{
	size_t start = out->length > 0 ? out->length + 1 : 0;
	size_t length = 0;
	int status = decode_part(raw, bytes, out, start, &length);
	const char *part = out->path + start;

	if (status != 0 || length == 0 || is_word(part, length, "."))
		return status;
	if (is_word(part, length, "..")) {
		if (out->length == 0)
			return 400;
		out->length = parent_length(out);
		return 0;
	}
	if (start > 0)
		out->path[start - 1] = '/';
	out->length = start + length;
	return 0;
}

/* "x/", "x/." and "x/.." name a directory, "x" may be anything. */
static bool ends_as_directory(const char *raw, size_t bytes)
{
	if (raw[bytes - 1] == '/')
		return true;
	if (bytes >= 2 && memcmp(raw + bytes - 2, "/.", 2) == 0)
		return true;
	return bytes >= 3 && memcmp(raw + bytes - 3, "/..", 3) == 0;
}

/* A query is not for files, and a fragment has no business here. */
static const char *path_end(const char *path, const char *end)
{
	while (path < end && *path != '?' && *path != '#')
		path++;
	return path;
}

int http_target_parse(const char *raw, size_t bytes, struct http_target *out)
{
	const char *path = raw, *end = raw + bytes, *slash;
	int status;

	out->length = 0;
	if (bytes == 0)
		return 400;
	if (raw[0] != '/') {
		path = skip_authority(raw, bytes);
		if (!path)
			return 400;
	}
	end = path_end(path, end);
	out->directory = ends_as_directory(path, (size_t)(end - path));
	while (path < end) {
		slash = memchr(path, '/', (size_t)(end - path));
		if (!slash)
			slash = end;
		status = take_part(path, (size_t)(slash - path), out);
		if (status != 0)
			return status;
		path = slash + 1;
	}
	if (out->length == 0) {
		out->path[out->length++] = '.';
		out->directory = true;
	}
	out->path[out->length] = '\0';
	return 0;
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

static void escape(struct text *out, const char *string, const char *keep)
{
	for (; *string; string++) {
		if (is_unreserved(*string) || strchr(keep, *string))
			text_add_bytes(out, string, 1);
		else
			text_printf(out, "%%%02X", (unsigned char)*string);
	}
}

void http_escape_path(struct text *out, const char *path, bool directory)
{
	text_add(out, "/");
	if (strcmp(path, ".") == 0)
		return;
	escape(out, path, "/");
	if (directory)
		text_add(out, "/");
}

void http_escape_name(struct text *out, const char *name)
{
	escape(out, name, "");
}

void http_escape_html(struct text *out, const char *string)
{
	static const char special[] = "&<>\"'";
	static const char *const reference[] = { "&amp;", "&lt;", "&gt;",
						 "&quot;", "&#39;" };

	while (*string) {
		size_t plain = strcspn(string, special);

		text_add_bytes(out, string, plain);
		string += plain;
		if (*string)
			text_add(out, reference[strchr(special, *string++) -
						special]);
	}
}
