/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FTP_PATH_H
#define FTP_PATH_H

#include <limits.h>
#include <stdbool.h>
#include "text.h"

/*
 * Paths as FTP's clients write them, and as files are opened by.
 *
 *	working directory   argument        path
 *	"."                 /pub/a          "pub/a"
 *	"pub"               a//./b/         "pub/a/b"
 *	"pub"               ../..           "."
 *
 * A path is "." or names with one slash between them, none of them "" or "."
 * or ".."; above the root is the root, as in a chroot. That is the lexical
 * half of staying inside the served directory; the other half is the kernel's,
 * when a file is opened with RESOLVE_BENEATH.
 */
#define FTP_PATH_MAX 4096 /* with its NUL, as PATH_MAX */

/*
 * ftp_path_resolve() - from an argument to a path
 * @working: a path
 * @argument: may be "", which is @working itself
 *
 * Returns: false, if no file can have such a name.
 */
bool ftp_path_resolve(const char *working, const char *argument,
		      char out[FTP_PATH_MAX]);

/* Into directory and last name. False: "." has none. */
bool ftp_path_split(const char *path, char directory[FTP_PATH_MAX],
		    char name[NAME_MAX + 1]);

/* The client wrote a slash, or "." or "..", at the end. */
bool ftp_path_is_directory(const char *argument);

/* Append as a client sees it: "/", "/pub/a". */
void ftp_path_show(struct text *out, const char *path);

/* Is there a * or ? in the last name? */
bool ftp_path_is_pattern(const char *path);

/* Does the whole name match a pattern of * and ? ? In time O(name * pattern).
 */
bool ftp_path_match(const char *pattern, const char *name);

#endif
