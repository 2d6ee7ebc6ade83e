/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FTP_USERS_H
#define FTP_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <tow/mark.h>

/*
 * Who may log in.
 *
 * Without a file: "anonymous" and "ftp", with any password. With one, those in
 * it and nobody else. A line of it:
 *
 *	# made by: mkpasswd -m yescrypt
 *	ann:$y$j9T$…
 *	anonymous:
 *
 * The hash is what crypt(3) makes. The user anonymous has none: that line lets
 * anybody in, to read.
 *
 * Checking a password takes as long for a user that there is not: then the
 * first user's hash is computed. It takes long by design, so it is a worker's.
 */
#define FTP_USER_MAX	 64  /* bytes of a name, with its NUL */
#define FTP_PASSWORD_MAX 512 /* what crypt(3) takes, with its NUL */

struct ftp_users;

/*
 * ftp_users_open() - read a file, or none
 * @path: NULL for anonymous alone
 * @error: filled with one sentence when it fails: "FILE:3: …"
 *
 * Returns: 0, or a negative errno.
 */
int ftp_users_open(struct ftp_users **out, const char *path, char *error,
		   size_t error_bytes) TOW_MUST_USE;
void ftp_users_close(struct ftp_users *users);

/* "anonymous" or "ftp", and such a user may come. */
bool ftp_users_anonymous(const struct ftp_users *users, const char *name);

/* Without a file anonymous may also write, if anybody may. */
bool ftp_users_anonymous_writes(const struct ftp_users *users);

/*
 * ftp_users_check() - is this the password of that user?
 *
 * On any thread; @users is not written. Takes the time of one hash.
 */
bool ftp_users_check(const struct ftp_users *users, const char *name,
		     const char *password) TOW_MUST_USE;

#endif
