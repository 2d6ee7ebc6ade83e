/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ftp_users.h"
#include "test.h"

/* Of "secret"; SHA-256 with as few rounds as there may be, to be quick. */
#define HASH                      \
	"$5$rounds=1000$towpath$" \
	"3YUDhLmxlUnN9EfylQsZD48fGJxkEGOtkUFfZXPNUR1"

static char path[] = "/tmp/tow-users-XXXXXX";
static char error[256];
static struct ftp_users *users;

static int read_users(const char *lines)
{
	int fd = mkstemp(path), status;
	ssize_t n;

	CHECK(fd >= 0);
	n = write(fd, lines, strlen(lines));
	CHECK_EQ(n, (ssize_t)strlen(lines));
	close(fd);
	status = ftp_users_open(&users, path, error, sizeof(error));
	unlink(path);
	return status;
}

/* The complaint names the line. */
static void check_refused(const char *lines, const char *complaint)
{
	CHECK(read_users(lines) < 0);
	CHECK(strstr(error, complaint));
	strcpy(path, "/tmp/tow-users-XXXXXX");
}

TEST(a_password_is_the_one_whose_hash_is_there)
{
	CHECK_EQ(read_users("# people\n\nann:" HASH "\nbob:" HASH "\n"), 0);
	CHECK(ftp_users_check(users, "ann", "secret"));
	CHECK(ftp_users_check(users, "bob", "secret"));
	CHECK(!ftp_users_check(users, "ann", "Secret"));
	CHECK(!ftp_users_check(users, "ann", ""));
	CHECK(!ftp_users_check(users, "carl", "secret"));
	CHECK(!ftp_users_check(users, "", "secret"));
	ftp_users_close(users);
}

TEST(with_a_file_anonymous_must_be_in_it_and_only_reads)
{
	CHECK_EQ(read_users("ann:" HASH "\n"), 0);
	CHECK(!ftp_users_anonymous(users, "anonymous"));
	ftp_users_close(users);
	strcpy(path, "/tmp/tow-users-XXXXXX");
	CHECK_EQ(read_users("anonymous:\nann:" HASH), 0);
	CHECK(ftp_users_anonymous(users, "anonymous"));
	CHECK(ftp_users_anonymous(users, "ftp"));
	CHECK(!ftp_users_anonymous(users, "ann"));
	CHECK(!ftp_users_anonymous_writes(users));
	CHECK(!ftp_users_check(users, "anonymous", ""));
	ftp_users_close(users);
}

TEST(without_a_file_there_is_anonymous_alone)
{
	CHECK_EQ(ftp_users_open(&users, NULL, error, sizeof(error)), 0);
	CHECK(ftp_users_anonymous(users, "ftp"));
	CHECK(ftp_users_anonymous_writes(users));
	CHECK(!ftp_users_check(users, "root", ""));
	ftp_users_close(users);
}

TEST(a_bad_file_is_refused_with_its_line)
{
	check_refused("ann\n", ":1: a line is user:hash");
	check_refused("\n:" HASH "\n", ":2: a line is user:hash");
	check_refused("ann:secret\n", ":1: this is no hash of crypt(3)");
	check_refused("ann:\n", ":1: this is no hash of crypt(3)");
	check_refused("ann:*\n", ":1: this is no hash of crypt(3)");
	check_refused("ann:" HASH "\nann:" HASH "\n",
		      ":2: this user was there before");
	check_refused("anonymous:\nftp:\n", ":2: this user was there before");
	check_refused("ftp:" HASH "\n", ":1: anonymous has no hash");
	check_refused("# nobody\n", "there is no user in it");
	CHECK(ftp_users_open(&users, "/nowhere/at/all", error, sizeof(error)) <
	      0);
	CHECK(strstr(error, "/nowhere/at/all: No such file"));
}
