/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each command does.
 *
 * ftp_verbs_run() asks what the table of commands knows (a login, the right to
 * write, a data connection) and calls the function of the verb. A function
 * replies at once, or submits a job whose then-function does.
 *
 * Decisions that RFC 959 leaves to a server:
 *
 *	PORT, EPRT  are refused: a server that connects to wherever it is told
 *	            attacks others in its client's name (RFC 2577 3)
 *	TYPE A      is understood, and files go as they are, both ways: turning
 *	            line ends round would break every file that is not text, and
 *	            make SIZE and REST a lie. Listings have CR LF in any type.
 *	STOR        see ftp_store.c
 *	RNTO        replaces a file of that name, as rename(2) does, which is
 *	            how clients publish a file in one step
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "serve_ftp.h"

typedef void verb_function(struct ftp_session *s, const char *argument);

/* The path that an argument names in the working directory; or a reply. */
static bool resolve(struct ftp_session *s, const char *argument,
		    char path[FTP_PATH_MAX])
{
	if (ftp_path_resolve(s->working, argument, path))
		return true;
	ftp_reply(s, 553, "No file can have that name.");
	return false;
}

/* A job about the path that an argument names; or a reply. */
static struct ftp_job *job_for(struct ftp_session *s, const char *argument)
{
	char path[FTP_PATH_MAX];
	struct ftp_job *j;

	if (!resolve(s, argument, path))
		return NULL;
	j = ftp_job_new(s, path);
	if (!j)
		ftp_reply_errno(s, -ENOMEM);
	return j;
}

static void look(struct ftp_session *s, const char *argument,
		 void (*then)(struct ftp_session *s, struct ftp_job *j))
{
	struct ftp_job *j = job_for(s, argument);

	if (j)
		ftp_job_submit(j, ftp_work_look, then);
}

bool ftp_session_may_write(const struct ftp_session *s)
{
	return s->server->settings.writable && s->logged_in &&
	       (!s->anonymous || ftp_users_anonymous_writes(s->ftp->users));
}

/* --- the session ------------------------------------------------------------
 */

static void run_user(struct ftp_session *s, const char *argument)
{
	ftp_login_user(s, argument);
}

static void run_pass(struct ftp_session *s, const char *argument)
{
	ftp_login_password(s, argument);
}

static void run_acct(struct ftp_session *s, const char *argument)
{
	(void)argument;
	ftp_reply(s, 202, "There are no accounts here.");
}

static void run_quit(struct ftp_session *s, const char *argument)
{
	(void)argument;
	ftp_reply(s, 221, "Goodbye.");
	ftp_session_finish(s);
}

static void run_noop(struct ftp_session *s, const char *argument)
{
	(void)argument;
	ftp_reply(s, 200, "Well.");
}

static void run_syst(struct ftp_session *s, const char *argument)
{
	(void)argument;
	ftp_reply(s, 215, "UNIX Type: L8");
}

/* RFC 2389 3 */
static void run_feat(struct ftp_session *s, const char *argument)
{
	(void)argument;
	text_add(&s->out, "211-What there is beyond RFC 959:\r\n"
			  " EPSV\r\n MDTM\r\n MLST ");
	ftp_format_features(&s->out, s->facts);
	text_add(&s->out, "\r\n PASV\r\n REST STREAM\r\n SIZE\r\n TVFS\r\n"
			  " UTF8\r\n211 End.\r\n");
}

static void set_facts(struct ftp_session *s, const char *list)
{
	s->facts = ftp_facts_parse(list);
	ftp_reply_begin(s, 200);
	text_add(&s->out, "MLST OPTS ");
	ftp_format_chosen(&s->out, s->facts);
	ftp_reply_end(s);
}

/* RFC 2389 4; names are bytes here, so UTF-8 is always on (RFC 2640 3.1). */
static void run_opts(struct ftp_session *s, const char *argument)
{
	size_t bytes = strcspn(argument, " ");
	const char *value = argument + bytes + (argument[bytes] == ' ');

	if (bytes == 4 && strncasecmp(argument, "MLST", 4) == 0)
		set_facts(s, value);
	else if (strcasecmp(argument, "UTF8 ON") == 0 ||
		 strcasecmp(argument, "UTF-8 ON") == 0)
		ftp_reply(s, 200, "Names are UTF-8.");
	else
		ftp_reply(s, 501, "That is no option here.");
}

static void list_verbs(struct ftp_session *s)
{
	unsigned i, shown = 0;

	text_add(&s->out, "214-Commands:");
	for (i = 0; i < FTP_VERB_COUNT; i++) {
		if (ftp_verb_flags((enum ftp_verb)i) & FTP_NOT_HERE)
			continue;
		text_printf(&s->out, "%s%s", shown % 10 ? " " : "\r\n ",
			    ftp_verb_name((enum ftp_verb)i));
		shown++;
	}
	text_add(&s->out, "\r\n214 Data connections are passive.\r\n");
}

static void run_help(struct ftp_session *s, const char *argument)
{
	enum ftp_verb verb = ftp_verb_find(argument, strlen(argument));

	if (!argument[0])
		list_verbs(s);
	else if (verb == FTP_VERB_COUNT)
		ftp_reply(s, 502, "This is no command; HELP lists them.");
	else if (ftp_verb_flags(verb) & FTP_NOT_HERE)
		ftp_reply(s, 502, "%s is not offered here.",
			  ftp_verb_name(verb));
	else
		ftp_reply(s, 214, "Syntax: %s %s", ftp_verb_name(verb),
			  ftp_verb_argument(verb));
}

/* --- what a transfer shall be like ------------------------------------------
 */

static void run_type(struct ftp_session *s, const char *argument)
{
	char type = ftp_type(argument);

	if (!type) {
		ftp_reply(s, 504, "There are the types A and I.");
		return;
	}
	s->type = type;
	ftp_reply(s, 200,
		  type == 'A' ? "Type A; files go as they are." : "Type I.");
}

static void run_mode(struct ftp_session *s, const char *argument)
{
	if (strcasecmp(argument, "S") == 0)
		ftp_reply(s, 200, "Mode S.");
	else
		ftp_reply(s, 504, "There is the mode S.");
}

static void run_stru(struct ftp_session *s, const char *argument)
{
	if (strcasecmp(argument, "F") == 0)
		ftp_reply(s, 200, "Structure F.");
	else
		ftp_reply(s, 504, "There is the structure F.");
}

/* "ALLO 5", "ALLO 5 R 7": room for the upload that follows. */
static void run_allo(struct ftp_session *s, const char *argument)
{
	char number[24];
	size_t bytes = strcspn(argument, " ");

	if (bytes >= sizeof(number)) {
		ftp_reply(s, 501, "That is no number.");
		return;
	}
	memcpy(number, argument, bytes);
	number[bytes] = '\0';
	if (ftp_number(number, &s->announced_bytes))
		ftp_reply(s, 200, "Room will be made.");
	else
		ftp_reply(s, 501, "That is no number.");
}

static void run_rest(struct ftp_session *s, const char *argument)
{
	if (ftp_number(argument, &s->rest))
		ftp_reply(s, 350, "From %" PRIu64 " on; now RETR or STOR.",
			  s->rest);
	else
		ftp_reply(s, 501, "That is no number.");
}

static bool listen_for_data(struct ftp_session *s, uint16_t *port)
{
	int error = ftp_data_listen(s, port);

	if (error)
		ftp_reply(s, 425, "No port can be had: %s.",
			  tow_strerror(error));
	return !error;
}

static void run_pasv(struct ftp_session *s, const char *argument)
{
	char address[TOW_ADDR_TEXT_MAX], *dot;
	uint16_t port;

	(void)argument;
	if (s->epsv_all || !tow_addr_is_v4(&s->local.addr)) {
		ftp_reply(s, 501, "Here it is EPSV.");
		return;
	}
	if (!listen_for_data(s, &port))
		return;
	tow_addr_format(&s->local.addr, address, sizeof(address));
	for (dot = address; (dot = strchr(dot, '.'));)
		*dot = ',';
	ftp_reply(s, 227, "Entering Passive Mode (%s,%u,%u)", address,
		  port >> 8, port & 0xff);
}

/* RFC 2428 3 */
static void run_epsv(struct ftp_session *s, const char *argument)
{
	bool v4 = tow_addr_is_v4(&s->local.addr);
	enum ftp_epsv what = ftp_epsv(argument);
	uint16_t port;

	if (what == FTP_EPSV_ALL) {
		s->epsv_all = true;
		ftp_reply(s, 200, "EPSV it is from now on.");
	} else if (what == (v4 ? FTP_EPSV_6 : FTP_EPSV_4) ||
		   what == FTP_EPSV_BAD) {
		ftp_reply(s, 522, "Network protocol not supported, use (%d)",
			  v4 ? 1 : 2);
	} else if (listen_for_data(s, &port)) {
		ftp_reply(s, 229, "Entering Extended Passive Mode (|||%u|)",
			  port);
	}
}

/* --- directories ------------------------------------------------------------
 */

static void run_pwd(struct ftp_session *s, const char *argument)
{
	(void)argument;
	ftp_reply_begin(s, 257);
	ftp_format_path(&s->out, s->working);
	ftp_reply_end(s);
}

static void then_cwd(struct ftp_session *s, struct ftp_job *j)
{
	if (j->error) {
		ftp_reply_errno(s, j->error);
		return;
	}
	if (!j->entry.directory) {
		ftp_reply_errno(s, -ENOTDIR);
		return;
	}
	strcpy(s->working, j->path);
	ftp_reply_begin(s, 250);
	text_add(&s->out, "Now in ");
	ftp_format_path(&s->out, s->working);
	ftp_reply_end(s);
}

static void run_cwd(struct ftp_session *s, const char *argument)
{
	look(s, argument, then_cwd);
}

static void run_cdup(struct ftp_session *s, const char *argument)
{
	(void)argument;
	look(s, "..", then_cwd);
}

static void then_change(struct ftp_session *s, struct ftp_job *j)
{
	const char *target = j->target[0] ? j->target : j->path;

	ftp_session_log(s, ftp_verb_name(j->verb), target, j->error ? 550 : 250,
			0);
	if (j->error) {
		ftp_reply_errno(s, j->error);
		return;
	}
	if (j->verb != FTP_MKD) {
		ftp_reply(s, 250, "Done.");
		return;
	}
	ftp_reply_begin(s, 257);
	ftp_format_path(&s->out, j->path);
	text_add(&s->out, " is made");
	ftp_reply_end(s);
}

static void change(struct ftp_session *s, enum ftp_verb verb,
		   const char *argument, void (*work)(struct job *job))
{
	struct ftp_job *j = job_for(s, argument);

	if (!j)
		return;
	j->verb = verb;
	ftp_job_submit(j, work, then_change);
}

static void run_dele(struct ftp_session *s, const char *argument)
{
	change(s, FTP_DELE, argument, ftp_work_delete);
}

static void run_mkd(struct ftp_session *s, const char *argument)
{
	change(s, FTP_MKD, argument, ftp_work_mkdir);
}

static void run_rmd(struct ftp_session *s, const char *argument)
{
	change(s, FTP_RMD, argument, ftp_work_delete);
}

static void then_rnfr(struct ftp_session *s, struct ftp_job *j)
{
	if (j->error) {
		ftp_reply_errno(s, j->error);
		return;
	}
	strcpy(s->rename_from, j->path);
	ftp_reply(s, 350, "It is there; now RNTO.");
}

static void run_rnfr(struct ftp_session *s, const char *argument)
{
	look(s, argument, then_rnfr);
}

static void run_rnto(struct ftp_session *s, const char *argument)
{
	struct ftp_job *j;

	if (!s->rename_from[0]) {
		ftp_reply(s, 503, "RNFR comes first.");
		return;
	}
	j = job_for(s, argument);
	if (!j)
		return;
	j->verb = FTP_RNTO;
	strcpy(j->target, j->path);
	strcpy(j->path, s->rename_from);
	ftp_job_submit(j, ftp_work_rename, then_change);
}

/* --- about a file -----------------------------------------------------------
 */

static void then_size(struct ftp_session *s, struct ftp_job *j)
{
	if (j->error)
		ftp_reply_errno(s, j->error);
	else if (j->entry.directory)
		ftp_reply_errno(s, -EISDIR);
	else
		ftp_reply(s, 213, "%" PRIu64, j->entry.size);
}

static void run_size(struct ftp_session *s, const char *argument)
{
	look(s, argument, then_size);
}

static void then_mdtm(struct ftp_session *s, struct ftp_job *j)
{
	if (j->error) {
		ftp_reply_errno(s, j->error);
		return;
	}
	ftp_reply_begin(s, 213);
	ftp_format_time(&s->out, j->entry.modified);
	ftp_reply_end(s);
}

static void run_mdtm(struct ftp_session *s, const char *argument)
{
	look(s, argument, then_mdtm);
}

/* RFC 3659 7.2: one entry, on the control connection, behind a space. */
static void then_mlst(struct ftp_session *s, struct ftp_job *j)
{
	struct text shown = { 0 }, line = { 0 };

	if (j->error) {
		ftp_reply_errno(s, j->error);
		return;
	}
	ftp_path_show(&shown, j->path);
	ftp_format_facts(&line, &j->entry, text_ok(&shown) ? shown.bytes : "",
			 s->facts, ftp_session_may_write(s));
	text_add(&s->out, "250-This is it:\r\n ");
	if (text_ok(&line))
		ftp_format_quoted(&s->out, line.bytes);
	text_add(&s->out, "\r\n250 End.\r\n");
	s->out.failed |= shown.failed || line.failed;
	text_free(&shown);
	text_free(&line);
}

static void run_mlst(struct ftp_session *s, const char *argument)
{
	look(s, argument, then_mlst);
}

/* --- transfers --------------------------------------------------------------
 */

static void send_listing(struct ftp_session *s, struct ftp_job *j)
{
	if (j->error) {
		ftp_reply_errno(s, j->error);
		return;
	}
	if (!s->data) { /* it went while we looked */
		ftp_reply(s, 425, "The data connection is gone.");
		return;
	}
	s->ftp->counts.listings++;
	ftp_session_move(s, j->verb, j->path);
	ftp_reply(s, 150, "Here it comes.");
	ftp_data_send_text(s, &j->text);
}

/* A listing on the control connection: no line of it may look like the end. */
static void reply_listing(struct ftp_session *s, struct ftp_job *j)
{
	const char *at = j->text.bytes ? j->text.bytes : "";

	if (j->error) {
		ftp_reply_errno(s, j->error);
		return;
	}
	text_add(&s->out, "213-Status:\r\n");
	while (*at) {
		size_t bytes = strcspn(at, "\r");

		j->text.bytes[at - j->text.bytes + (ptrdiff_t)bytes] = '\0';
		text_add(&s->out, " ");
		ftp_format_quoted(&s->out, at);
		text_add(&s->out, "\r\n");
		at += bytes + 2;
	}
	ftp_reply(s, 213, "End.");
}

/* "-la path": letters of ls, of which a counts. */
static const char *take_letters(const char *argument, bool *hidden)
{
	while (*argument == '-') {
		size_t bytes = strcspn(argument, " ");

		*hidden |= memchr(argument, 'a', bytes) != NULL ||
			   memchr(argument, 'A', bytes) != NULL;
		argument += bytes;
		argument += *argument == ' ';
	}
	return argument;
}

static void list(struct ftp_session *s, enum ftp_verb verb,
		 const char *argument,
		 void (*then)(struct ftp_session *s, struct ftp_job *j))
{
	bool hidden = false;
	const char *path =
		verb == FTP_MLSD ? argument : take_letters(argument, &hidden);
	struct ftp_job *j = job_for(s, path);

	if (!j)
		return;
	j->verb = verb;
	j->hidden = hidden;
	strcpy(j->folder, strlen(path) < FTP_PATH_MAX ? path : "");
	ftp_job_submit(j, ftp_work_list, then);
}

static void run_list(struct ftp_session *s, const char *argument)
{
	list(s, FTP_LIST, argument, send_listing);
}

static void run_nlst(struct ftp_session *s, const char *argument)
{
	list(s, FTP_NLST, argument, send_listing);
}

static void run_mlsd(struct ftp_session *s, const char *argument)
{
	list(s, FTP_MLSD, argument, send_listing);
}

static void reply_status(struct ftp_session *s)
{
	text_add(&s->out, "211-tow serve, FTP\r\n User: ");
	ftp_format_quoted(&s->out, s->user);
	text_printf(&s->out, "\r\n From: %s\r\n Type: %c\r\n", s->peer,
		    s->type);
	if (s->state == FTP_MOVING)
		text_printf(&s->out, " %s: %" PRIu64 " bytes so far\r\n",
			    ftp_verb_name(s->verb),
			    ftp_data_moved_bytes(s->data));
	text_add(&s->out, "211 End.\r\n");
}

static void run_stat(struct ftp_session *s, const char *argument)
{
	if (!argument[0])
		reply_status(s);
	else if (s->state == FTP_MOVING)
		ftp_reply(s, 503, "Not during a transfer.");
	else
		list(s, FTP_STAT, argument, reply_listing);
}

static void send_file(struct ftp_session *s, struct ftp_job *j,
		      struct file_map *map, uint64_t offset)
{
	s->ftp->counts.downloads++;
	ftp_session_move(s, FTP_RETR, j->path);
	ftp_reply(s, 150, "%" PRIu64 " bytes.", map->size - offset);
	ftp_data_send_file(s, map, offset);
}

static void then_retr(struct ftp_session *s, struct ftp_job *j)
{
	struct server *server = s->server;
	uint64_t offset = j->offset;
	struct file_map *map;

	if (j->error) {
		ftp_reply_errno(s, j->error);
		return;
	}
	map = file_maps_keep(server->maps, &j->pages, offset, server->now_us);
	j->has_pages = false;
	if (!map)
		ftp_reply_errno(s, -ENOMEM);
	else if (offset > map->size)
		ftp_reply(s, 554, "The file has %" PRIu64 " bytes.", map->size);
	else if (!s->data)
		ftp_reply(s, 425, "The data connection is gone.");
	else {
		send_file(s, j, map, offset);
		return;
	}
	if (map)
		file_map_give(map, server->now_us);
}

static void run_retr(struct ftp_session *s, const char *argument)
{
	struct ftp_job *j = job_for(s, argument);

	if (!j)
		return;
	j->offset = s->rest;
	ftp_job_submit(j, ftp_work_open, then_retr);
}

static void run_stor(struct ftp_session *s, const char *argument)
{
	ftp_store_begin(s, FTP_STOR, argument);
}

static void run_appe(struct ftp_session *s, const char *argument)
{
	ftp_store_begin(s, FTP_APPE, argument);
}

/* RFC 959 4.1.3: two replies, if there is something to abort. */
static void run_abor(struct ftp_session *s, const char *argument)
{
	(void)argument;
	if (s->state == FTP_MOVING)
		ftp_session_moved(s, 426, "Called off.");
	else if (s->data)
		ftp_data_end(s->data, true);
	ftp_reply(s, 226, "Nothing is under way.");
}

/* --- the table --------------------------------------------------------------
 */

static verb_function *const functions[FTP_VERB_COUNT] = {
	[FTP_USER] = run_user, [FTP_PASS] = run_pass, [FTP_ACCT] = run_acct,
	[FTP_QUIT] = run_quit, [FTP_NOOP] = run_noop, [FTP_SYST] = run_syst,
	[FTP_FEAT] = run_feat, [FTP_OPTS] = run_opts, [FTP_HELP] = run_help,
	[FTP_STAT] = run_stat, [FTP_TYPE] = run_type, [FTP_MODE] = run_mode,
	[FTP_STRU] = run_stru, [FTP_ALLO] = run_allo, [FTP_PASV] = run_pasv,
	[FTP_EPSV] = run_epsv, [FTP_ABOR] = run_abor, [FTP_PWD] = run_pwd,
	[FTP_CWD] = run_cwd,   [FTP_CDUP] = run_cdup, [FTP_LIST] = run_list,
	[FTP_NLST] = run_nlst, [FTP_MLSD] = run_mlsd, [FTP_MLST] = run_mlst,
	[FTP_SIZE] = run_size, [FTP_MDTM] = run_mdtm, [FTP_REST] = run_rest,
	[FTP_RETR] = run_retr, [FTP_STOR] = run_stor, [FTP_APPE] = run_appe,
	[FTP_DELE] = run_dele, [FTP_MKD] = run_mkd,   [FTP_RMD] = run_rmd,
	[FTP_RNFR] = run_rnfr, [FTP_RNTO] = run_rnto,
};

/* What holds for the next transfer, or rename, holds for no later one. */
static void forget_preparations(struct ftp_session *s,
				const struct ftp_command *c)
{
	if (c->flags & FTP_DATA) {
		s->rest = 0;
		s->announced_bytes = 0;
	}
	if (c->verb != FTP_RNFR)
		s->rename_from[0] = '\0';
}

void ftp_verbs_run(struct ftp_session *s, const struct ftp_command *c)
{
	if (c->flags & FTP_LOGIN && !s->logged_in)
		ftp_reply(s, 530, "Please log in by USER and PASS.");
	else if (c->flags & FTP_WRITE && !ftp_session_may_write(s))
		ftp_reply(s, 550, "You may not write here.");
	else if (c->flags & FTP_DATA && !s->data)
		ftp_reply(s, 425, "EPSV or PASV comes first.");
	else
		functions[c->verb](s, c->argument);
	forget_preparations(s, c);
}
