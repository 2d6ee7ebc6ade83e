/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FTP_FORMAT_H
#define FTP_FORMAT_H

#include <stdbool.h>
#include <time.h>
#include "directory.h"
#include "text.h"

/*
 * Listings and replies as FTP writes them.
 *
 *	LIST   drwxr-xr-x   1 ftp      ftp             4096 Nov 28 00:45 pub
 *	NLST   pub
 *	MLSD   type=dir;modify=20261128004500;perm=el;unique=801g2a;… pub
 *
 * All times are UTC (RFC 3659 2.3). A line ends with CR LF, so a CR or LF in a
 * name is shown as ?: nothing that a name holds makes a line of its own. Owners
 * are nobody's business.
 */
/* The facts of RFC 3659 7.5 that we know, in the order of FEAT. */
#define FTP_FACTS(X)        \
	X(TYPE, "type")     \
	X(SIZE, "size")     \
	X(MODIFY, "modify") \
	X(PERM, "perm")     \
	X(UNIQUE, "unique") \
	X(UNIX_MODE, "UNIX.mode")

enum ftp_fact {
#define FTP_FACT_NUMBER(fact, name) FTP_FACT_AT_##fact,
	FTP_FACTS(FTP_FACT_NUMBER)
#undef FTP_FACT_NUMBER
		FTP_FACT_COUNT
};

#define FTP_FACTS_ALL ((1u << FTP_FACT_COUNT) - 1)

void ftp_format_list(struct text *out, const struct dir_entry *entry,
		     time_t now);
void ftp_format_name(struct text *out, const char *folder,
		     const struct dir_entry *entry); /* "folder/name" */

/*
 * ftp_format_facts() - "type=file;size=5; name", without an end of line
 * @facts: bits of 1 << enum ftp_fact
 * @writable: says which rights the perm fact may show
 */
void ftp_format_facts(struct text *out, const struct dir_entry *entry,
		      const char *name, unsigned facts, bool writable);

/* FEAT: "type*;size;…", an asterisk at each of @facts (RFC 3659 7.8). */
void ftp_format_features(struct text *out, unsigned facts);

/* OPTS MLST: "type;size;", these and no others (RFC 3659 7.9). */
void ftp_format_chosen(struct text *out, unsigned facts);

/* "type;size;" of OPTS MLST: bits of those that we know. */
unsigned ftp_facts_parse(const char *list);

/* "20261128004500" (RFC 3659 2.3) */
void ftp_format_time(struct text *out, time_t when);

/*
 * Append what a client or a file's name says to a line of the control
 * connection: CR and LF as ?, and 255, which is Telnet's IAC, doubled.
 */
void ftp_format_quoted(struct text *out, const char *string);

/* The same for a path in quotes: those in it are doubled (RFC 959, app. II). */
void ftp_format_path(struct text *out, const char *path);

#endif
