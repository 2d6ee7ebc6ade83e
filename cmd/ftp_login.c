/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * USER and PASS.
 *
 * Without a file of users there is anonymous alone, and nobody to check. With
 * one, USER is answered alike for all names, and PASS takes as long for a user
 * that there is not (see ftp_users.h). Hashes are computed one at a time, by a
 * thread of their own: who tries passwords on many connections waits in line,
 * and nobody's files do. That a password was wrong is told after a pause, which
 * grows; after FTP_FAILURES of them the connection ends.
 */
#include <stdlib.h>
#include <string.h>
#include "serve_ftp.h"

struct check_job {
	struct job job;
	struct ftp_session *session;
	const struct ftp_users *users;
	char user[FTP_USER_MAX];
	char password[FTP_PASSWORD_MAX];
	bool good;
};

void ftp_login_user(struct ftp_session *s, const char *name)
{
	if (s->logged_in) {
		ftp_reply(s, 530, "You are logged in.");
		return;
	}
	s->user[0] = '\0';
	if (strlen(name) >= sizeof(s->user)) {
		ftp_reply(s, 501, "The name is too long.");
		return;
	}
	strcpy(s->user, name);
	s->anonymous = ftp_users_anonymous(s->ftp->users, name);
	ftp_reply(s, 331,
		  s->anonymous ? "Any password will do." : "And the password?");
}

static void welcome(struct ftp_session *s)
{
	s->logged_in = true;
	s->ftp->counts.logins++;
	ftp_reply(s, 230,
		  ftp_session_may_write(s) ? "Welcome." : "Welcome, to read.");
}

static void refuse(struct ftp_session *s)
{
	s->failures++;
	s->ftp->counts.logins_failed++;
	ftp_session_log(s, "USER", s->user, 530, 0);
	s->until_us = s->server->now_us + s->failures * FTP_PAUSE_US;
	ftp_session_enter(s, FTP_PAUSING);
}

void ftp_login_fail(struct ftp_session *s)
{
	s->user[0] = '\0';
	ftp_session_enter(s, FTP_COMMAND);
	ftp_reply(s, 530, "That is not right.");
	if (s->failures >= FTP_FAILURES || s->server->draining)
		ftp_session_finish(s);
	ftp_session_run(s);
}

static void check_work(struct job *job)
{
	struct check_job *j = (struct check_job *)job;

	j->good = ftp_users_check(j->users, j->user, j->password);
	explicit_bzero(j->password, sizeof(j->password));
}

static void check_done(struct job *job)
{
	struct check_job *j = (struct check_job *)job;
	struct ftp_session *s = j->session;
	bool good = j->good;

	free(j);
	s->jobs--;
	if (s->state == FTP_GONE) {
		ftp_session_release(s);
		return;
	}
	ftp_session_enter(s, FTP_COMMAND);
	if (good)
		welcome(s);
	else
		refuse(s);
	ftp_session_run(s);
}

static void check(struct ftp_session *s, const char *password)
{
	struct check_job *j = calloc(1, sizeof(*j));

	if (!j) {
		ftp_reply(s, 451, "There is no memory for that.");
		return;
	}
	j->job.work = check_work;
	j->job.done = check_done;
	j->session = s;
	j->users = s->ftp->users;
	strcpy(j->user, s->user);
	strcpy(j->password, password);
	s->jobs++;
	ftp_session_enter(s, FTP_WORKING);
	workers_submit(s->server->checkers, &j->job);
}

void ftp_login_password(struct ftp_session *s, const char *password)
{
	if (s->logged_in)
		ftp_reply(s, 202, "You are logged in.");
	else if (!s->user[0])
		ftp_reply(s, 503, "USER comes first.");
	else if (s->anonymous)
		welcome(s);
	else if (!s->server->checkers || strlen(password) >= FTP_PASSWORD_MAX)
		refuse(s);
	else
		check(s, password);
}
