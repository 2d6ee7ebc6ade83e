/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Users and passwords: see ftp_users.h.
 */
#include "ftp_users.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct user {
	char *name;
	char *hash;
};

struct ftp_users {
	struct user *users;
	size_t count, room;
	bool from_file;
	bool anonymous;
};

/* --- reading the file -------------------------------------------------------
 */

static bool add_user(struct ftp_users *u, const char *name, const char *hash)
{
	if (u->count == u->room) {
		size_t room = u->room ? u->room * 2 : 16;
		void *users = realloc(u->users, room * sizeof(*u->users));

		if (!users)
			return false;
		u->users = users;
		u->room = room;
	}
	u->users[u->count].name = strdup(name);
	u->users[u->count].hash = strdup(hash);
	u->count++;
	return u->users[u->count - 1].name && u->users[u->count - 1].hash;
}

static bool is_known(const struct ftp_users *u, const char *name)
{
	size_t i;

	for (i = 0; i < u->count; i++)
		if (strcmp(u->users[i].name, name) == 0)
			return true;
	return false;
}

static bool is_anonymous(const char *name)
{
	return strcmp(name, "anonymous") == 0 || strcmp(name, "ftp") == 0;
}

#define DES_CHARS 13 /* of crypt(3)'s oldest method, which has no prefix */

/* What is wrong with the hash, or NULL: nearly every word is a salt for DES. */
static const char *judge_hash(const char *hash)
{
	if (!strchr("$_", hash[0]) && strlen(hash) != DES_CHARS)
		return "this is no hash of crypt(3)";
	switch (crypt_checksalt(hash)) {
	case CRYPT_SALT_OK:
	case CRYPT_SALT_METHOD_LEGACY:
	case CRYPT_SALT_TOO_CHEAP:
		return NULL;
	case CRYPT_SALT_METHOD_DISABLED:
		return "this method of hashing is disabled here";
	default:
		return "this is no hash of crypt(3)";
	}
}

/* Takes a line apart; what is wrong with it, or NULL. */
static const char *take_line(struct ftp_users *u, char *line)
{
	char *colon = strchr(line, ':');
	const char *problem;

	if (line[0] == '\0' || line[0] == '#')
		return NULL;
	if (!colon || colon == line)
		return "a line is user:hash";
	*colon = '\0';
	if (strlen(line) >= FTP_USER_MAX)
		return "the user's name is too long";
	if (is_known(u, line) || (u->anonymous && is_anonymous(line)))
		return "this user was there before";
	if (is_anonymous(line)) {
		u->anonymous = true;
		return colon[1] ? "anonymous has no hash" : NULL;
	}
	problem = judge_hash(colon + 1);
	if (!problem && !add_user(u, line, colon + 1))
		problem = strerror(ENOMEM);
	return problem;
}

static int read_lines(struct ftp_users *u, FILE *file, const char *path,
		      char *error, size_t error_bytes)
{
	char line[1024];
	unsigned number = 0;

	while (fgets(line, sizeof(line), file)) {
		size_t length = strcspn(line, "\r\n");
		bool whole = line[length] || feof(file);
		const char *problem;

		number++;
		line[length] = '\0';
		problem = whole ? take_line(u, line) : "the line is too long";
		if (problem) {
			snprintf(error, error_bytes, "%s:%u: %s", path, number,
				 problem);
			return -EINVAL;
		}
	}
	if (!ferror(file))
		return 0;
	snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
	return -EIO;
}

static int read_file(struct ftp_users *u, const char *path, char *error,
		     size_t error_bytes)
{
	FILE *file = fopen(path, "re");
	int status;

	if (!file) {
		status = -errno;
		snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
		return status;
	}
	status = read_lines(u, file, path, error, error_bytes);
	fclose(file);
	if (status == 0 && u->count == 0 && !u->anonymous) {
		snprintf(error, error_bytes, "%s: there is no user in it",
			 path);
		status = -EINVAL;
	}
	return status;
}

int ftp_users_open(struct ftp_users **out, const char *path, char *error,
		   size_t error_bytes)
{
	struct ftp_users *u = calloc(1, sizeof(*u));
	int status = 0;

	if (!u) {
		snprintf(error, error_bytes, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	u->from_file = path;
	u->anonymous = !path;
	if (path)
		status = read_file(u, path, error, error_bytes);
	if (status == 0)
		*out = u;
	else
		ftp_users_close(u);
	return status;
}

void ftp_users_close(struct ftp_users *u)
{
	size_t i;

	for (i = 0; i < u->count; i++) {
		free(u->users[i].name);
		free(u->users[i].hash);
	}
	free(u->users);
	free(u);
}

/* --- asking -----------------------------------------------------------------
 */

bool ftp_users_anonymous(const struct ftp_users *u, const char *name)
{
	return u->anonymous && is_anonymous(name);
}

bool ftp_users_anonymous_writes(const struct ftp_users *u)
{
	return !u->from_file;
}

static const struct user *find_user(const struct ftp_users *u, const char *name)
{
	size_t i;

	for (i = 0; i < u->count; i++)
		if (strcmp(u->users[i].name, name) == 0)
			return &u->users[i];
	return NULL;
}

/* As long for every wrong one of the same length: by where it differs, too. */
static bool same_hash(const char *a, const char *b)
{
	size_t length = strlen(a), i;
	unsigned difference = 0;

	if (strlen(b) != length)
		return false;
	for (i = 0; i < length; i++)
		difference |= (unsigned)(a[i] ^ b[i]);
	return difference == 0;
}

bool ftp_users_check(const struct ftp_users *u, const char *name,
		     const char *password)
{
	const struct user *user = find_user(u, name);
	const char *hash, *made;
	struct crypt_data *data;
	bool good;

	if (u->count == 0)
		return false;
	data = calloc(1, sizeof(*data));
	if (!data)
		return false;
	hash = user ? user->hash : u->users[0].hash;
	made = crypt_r(password, hash, data);
	good = made && same_hash(made, hash) && user;
	explicit_bzero(data, sizeof(*data));
	free(data);
	return good;
}
