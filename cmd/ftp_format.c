/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Listings and replies: see ftp_format.h.
 */
#include "ftp_format.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include "ftp_path.h"

#define RECENT_S (180 * 86400) /* ls shows the time of day up to there */

static const char *const fact_names[] = {
#define FTP_FACT_NAME(fact, name) name,
	FTP_FACTS(FTP_FACT_NAME)
#undef FTP_FACT_NAME
};

/* A file's name on a data connection. */
static void add_name(struct text *out, const char *name)
{
	for (; *name; name++)
		text_add_bytes(out, *name == '\r' || *name == '\n' ? "?" : name,
			       1);
}

/* --- for people -------------------------------------------------------------
 */

static void add_mode(struct text *out, const struct dir_entry *e)
{
	static const char letters[] = "rwxrwxrwx";
	char text[11] = "-";
	int i;

	if (e->directory)
		text[0] = 'd';
	for (i = 0; i < 9; i++)
		text[1 + i] = e->mode & 0400 >> i ? letters[i] : '-';
	text_add(out, text);
}

static void add_date(struct text *out, time_t when, time_t now)
{
	bool recent = when <= now && now - when < RECENT_S;
	char text[32];
	struct tm tm;

	if (gmtime_r(&when, &tm) &&
	    strftime(text, sizeof(text), recent ? "%b %e %H:%M" : "%b %e  %Y",
		     &tm))
		text_add(out, text);
	else
		text_add(out, "Jan  1  1970");
}

void ftp_format_list(struct text *out, const struct dir_entry *e, time_t now)
{
	add_mode(out, e);
	text_printf(out, "   1 ftp      ftp      %12" PRIu64 " ", e->size);
	add_date(out, e->modified, now);
	text_add(out, " ");
	add_name(out, e->name);
	text_add(out, "\r\n");
}

void ftp_format_name(struct text *out, const char *folder,
		     const struct dir_entry *e)
{
	if (*folder) {
		add_name(out, folder);
		if (folder[strlen(folder) - 1] != '/')
			text_add(out, "/");
	}
	add_name(out, e->name);
	text_add(out, "\r\n");
}

/* --- for programs -----------------------------------------------------------
 */

void ftp_format_time(struct text *out, time_t when)
{
	char text[32];
	struct tm tm;

	if (gmtime_r(&when, &tm) &&
	    strftime(text, sizeof(text), "%Y%m%d%H%M%S", &tm))
		text_add(out, text);
	else
		text_add(out, "19700101000000");
}

/* RFC 3659 7.5.5 */
static void add_rights(struct text *out, const struct dir_entry *e,
		       bool writable)
{
	if (e->directory)
		text_add(out, writable ? "cdeflmp" : "el");
	else
		text_add(out, writable ? "adfrw" : "r");
}

static void add_fact(struct text *out, const struct dir_entry *e,
		     enum ftp_fact fact, bool writable)
{
	switch (fact) {
	case FTP_FACT_AT_TYPE:
		text_add(out, e->directory ? "dir" : "file");
		break;
	case FTP_FACT_AT_SIZE:
		text_printf(out, "%" PRIu64, e->size);
		break;
	case FTP_FACT_AT_MODIFY:
		ftp_format_time(out, e->modified);
		break;
	case FTP_FACT_AT_PERM:
		add_rights(out, e, writable);
		break;
	case FTP_FACT_AT_UNIQUE:
		text_printf(out, "%" PRIx64 "g%" PRIx64, e->device, e->inode);
		break;
	case FTP_FACT_AT_UNIX_MODE:
		text_printf(out, "0%o", (unsigned)e->mode & 0777);
		break;
	case FTP_FACT_COUNT:
		break;
	}
}

void ftp_format_facts(struct text *out, const struct dir_entry *e,
		      const char *name, unsigned facts, bool writable)
{
	unsigned i;

	for (i = 0; i < FTP_FACT_COUNT; i++) {
		if (!(facts & 1u << i) ||
		    (i == FTP_FACT_AT_SIZE && e->directory))
			continue;
		text_printf(out, "%s=", fact_names[i]);
		add_fact(out, e, (enum ftp_fact)i, writable);
		text_add(out, ";");
	}
	text_add(out, " ");
	add_name(out, name);
}

void ftp_format_features(struct text *out, unsigned facts)
{
	unsigned i;

	for (i = 0; i < FTP_FACT_COUNT; i++)
		text_printf(out, "%s%s;", fact_names[i],
			    facts & 1u << i ? "*" : "");
}

void ftp_format_chosen(struct text *out, unsigned facts)
{
	unsigned i;

	for (i = 0; i < FTP_FACT_COUNT; i++)
		if (facts & 1u << i)
			text_printf(out, "%s;", fact_names[i]);
}

static unsigned find_fact(const char *name, size_t bytes)
{
	unsigned i;

	for (i = 0; i < FTP_FACT_COUNT; i++)
		if (strlen(fact_names[i]) == bytes &&
		    strncasecmp(fact_names[i], name, bytes) == 0)
			return 1u << i;
	return 0;
}

unsigned ftp_facts_parse(const char *list)
{
	unsigned facts = 0;

	while (*list) {
		size_t bytes = strcspn(list, ";");

		facts |= find_fact(list, bytes);
		list += bytes;
		list += *list == ';';
	}
	return facts;
}

/* --- on the control connection ----------------------------------------------
 */

static void add_quoted(struct text *out, const char *string, bool in_quotes)
{
	for (; *string; string++) {
		bool twice = *string == '\xff' || (in_quotes && *string == '"');

		text_add_bytes(
			out, *string == '\r' || *string == '\n' ? "?" : string,
			1);
		if (twice)
			text_add_bytes(out, string, 1);
	}
}

void ftp_format_quoted(struct text *out, const char *string)
{
	add_quoted(out, string, false);
}

void ftp_format_path(struct text *out, const char *path)
{
	struct text shown = { 0 };

	ftp_path_show(&shown, path);
	text_add(out, "\"");
	if (text_ok(&shown))
		add_quoted(out, shown.bytes, true);
	text_add(out, "\"");
	out->failed |= shown.failed;
	text_free(&shown);
}
