/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths: see ftp_path.h.
 *
 * ".." is taken off the text and not looked up, so that CDUP behind a symbolic
 * link leads back to where the client came from, and so that no ".." is ever
 * handed to the kernel.
 */
#include "ftp_path.h"

#include <string.h>

/* Append one name; an empty @path is the root while it is built. */
static bool add_name(char path[FTP_PATH_MAX], size_t *length, const char *name,
		     size_t bytes)
{
	size_t slash = *length > 0;

	if (bytes > NAME_MAX || *length + slash + bytes >= FTP_PATH_MAX)
		return false;
	if (slash)
		path[(*length)++] = '/';
	memcpy(path + *length, name, bytes);
	*length += bytes;
	path[*length] = '\0';
	return true;
}

static void drop_name(char path[FTP_PATH_MAX], size_t *length)
{
	char *slash = strrchr(path, '/');

	*length = slash ? (size_t)(slash - path) : 0;
	path[*length] = '\0';
}

static bool is_dots(const char *name, size_t bytes, size_t dots)
{
	return bytes == dots && strncmp(name, "..", dots) == 0;
}

static bool add_names(char path[FTP_PATH_MAX], size_t *length, const char *from)
{
	while (*from) {
		size_t bytes = strcspn(from, "/");

		if (is_dots(from, bytes, 2))
			drop_name(path, length);
		else if (bytes > 0 && !is_dots(from, bytes, 1) &&
			 !add_name(path, length, from, bytes))
			return false;
		from += bytes;
		from += *from == '/';
	}
	return true;
}

bool ftp_path_resolve(const char *working, const char *argument,
		      char out[FTP_PATH_MAX])
{
	size_t length = 0;

	out[0] = '\0';
	if (argument[0] != '/' && !add_names(out, &length, working))
		return false;
	if (!add_names(out, &length, argument))
		return false;
	if (length == 0)
		strcpy(out, ".");
	return true;
}

bool ftp_path_split(const char *path, char directory[FTP_PATH_MAX],
		    char name[NAME_MAX + 1])
{
	const char *slash = strrchr(path, '/');
	const char *last = slash ? slash + 1 : path;
	size_t bytes = slash ? (size_t)(slash - path) : 0;

	if (strcmp(path, ".") == 0)
		return false;
	strcpy(name, last);
	memcpy(directory, path, bytes);
	directory[bytes] = '\0';
	if (bytes == 0)
		strcpy(directory, ".");
	return true;
}

bool ftp_path_is_directory(const char *argument)
{
	const char *slash = strrchr(argument, '/');
	const char *last = slash ? slash + 1 : argument;

	return strcmp(last, "") == 0 || strcmp(last, ".") == 0 ||
	       strcmp(last, "..") == 0;
}

void ftp_path_show(struct text *out, const char *path)
{
	text_add(out, "/");
	if (strcmp(path, ".") != 0)
		text_add(out, path);
}

bool ftp_path_is_pattern(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strpbrk(slash ? slash : path, "*?");
}

/* Only the last star is ever tried anew: it can do what an earlier one could.
 */
bool ftp_path_match(const char *pattern, const char *name)
{
	const char *star = NULL, *retry = NULL;

	while (*name) {
		if (*pattern == '*') {
			star = ++pattern;
			retry = name;
		} else if (*pattern && (*pattern == '?' || *pattern == *name)) {
			pattern++;
			name++;
		} else if (star) {
			pattern = star;
			name = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}
