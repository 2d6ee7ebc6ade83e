/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FTP_COMMAND_H
#define FTP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * FTP's control connection, from bytes to commands (RFC 959 4.1, 5.3).
 *
 * It is a Telnet connection, RFC 854: lines end with CR LF, a CR that means
 * itself is followed by NUL, IAC begins what is not text, and a client that
 * calls off a transfer sends IAC IP, IAC DM before its ABOR.
 *
 *	RETR a b.txt CR LF             a command, with all behind the space
 *	IAC IP IAC DM ABOR CR LF       the same line as ABOR CR LF
 *	IAC WILL 24                    refused: answered by IAC DONT 24
 *
 * Nothing here knows of sessions or files. All functions are pure.
 */
#define FTP_LINE_MAX   4224 /* bytes: a path of PATH_MAX and a verb */
#define FTP_ANSWER_MAX 24   /* bytes: eight options refused between lines */

/* What may be said about a verb before it is carried out. */
enum ftp_verb_flag {
	FTP_LOGIN = 1 << 0,    /* only behind a login */
	FTP_ARGUMENT = 1 << 1, /* must have one */
	FTP_BARE = 1 << 2,     /* must have none */
	FTP_WRITE = 1 << 3,    /* changes files */
	FTP_DATA = 1 << 4,     /* uses a data connection */
	FTP_AT_ONCE = 1 << 5,  /* also while a transfer is under way */
	FTP_NOT_HERE = 1 << 6, /* known, and refused */
	FTP_READ = FTP_LOGIN,  /* short words for the table */
	FTP_NAME = FTP_LOGIN | FTP_ARGUMENT,
	FTP_CHANGE = FTP_NAME | FTP_WRITE,
};

/* verb, flags, and what HELP says about its argument */
#define FTP_VERBS(X)                                \
	X(USER, FTP_ARGUMENT, "name")               \
	X(PASS, 0, "password")                      \
	X(ACCT, 0, "account")                       \
	X(QUIT, 0, "")                              \
	X(NOOP, FTP_AT_ONCE, "")                    \
	X(SYST, 0, "")                              \
	X(FEAT, 0, "")                              \
	X(OPTS, FTP_ARGUMENT, "feature [value]")    \
	X(HELP, 0, "[command]")                     \
	X(STAT, FTP_READ | FTP_AT_ONCE, "[path]")   \
	X(TYPE, FTP_NAME, "A | I | L 8")            \
	X(MODE, FTP_NAME, "S")                      \
	X(STRU, FTP_NAME, "F")                      \
	X(ALLO, FTP_NAME, "bytes")                  \
	X(PASV, FTP_READ, "")                       \
	X(EPSV, FTP_READ, "[1 | 2 | ALL]")          \
	X(PORT, FTP_NOT_HERE, "")                   \
	X(EPRT, FTP_NOT_HERE, "")                   \
	X(ABOR, FTP_AT_ONCE, "")                    \
	X(PWD, FTP_READ, "")                        \
	X(CWD, FTP_NAME, "path")                    \
	X(CDUP, FTP_READ, "")                       \
	X(LIST, FTP_READ | FTP_DATA, "[-a] [path]") \
	X(NLST, FTP_READ | FTP_DATA, "[-a] [path]") \
	X(MLSD, FTP_READ | FTP_DATA, "[path]")      \
	X(MLST, FTP_READ, "[path]")                 \
	X(SIZE, FTP_NAME, "path")                   \
	X(MDTM, FTP_NAME, "path")                   \
	X(REST, FTP_NAME, "offset")                 \
	X(RETR, FTP_NAME | FTP_DATA, "path")        \
	X(STOR, FTP_CHANGE | FTP_DATA, "path")      \
	X(APPE, FTP_CHANGE | FTP_DATA, "path")      \
	X(STOU, FTP_NOT_HERE, "")                   \
	X(DELE, FTP_CHANGE, "path")                 \
	X(MKD, FTP_CHANGE, "path")                  \
	X(RMD, FTP_CHANGE, "path")                  \
	X(RNFR, FTP_CHANGE, "path")                 \
	X(RNTO, FTP_CHANGE, "path")                 \
	X(REIN, FTP_NOT_HERE, "")                   \
	X(SMNT, FTP_NOT_HERE, "")                   \
	X(SITE, FTP_NOT_HERE, "")                   \
	X(AUTH, FTP_NOT_HERE, "")

#define FTP_ENUM(verb, flags, argument) FTP_##verb,
enum ftp_verb { FTP_VERBS(FTP_ENUM) FTP_VERB_COUNT };
#undef FTP_ENUM

/* The reader: where in a line, and in Telnet, the last bytes ended. */
struct ftp_reader {
	char line[FTP_LINE_MAX + 1]; /* with its NUL, when it is ready */
	size_t length;
	bool ready;    /* take it, then ftp_reader_next() */
	bool too_long; /* what did not fit was left out */
	bool has_nul;  /* no command has */
	bool after_cr;
	uint8_t telnet; /* of a command of Telnet's: what came so far, or 0 */
	bool in_option; /* between IAC SB and IAC SE */

	/* To be sent back: options refused. */
	uint8_t answer[FTP_ANSWER_MAX];
	size_t answer_bytes;
};

struct ftp_command {
	enum ftp_verb verb; /* FTP_VERB_COUNT: not known */
	const char *name;   /* as we write it */
	unsigned flags;
	const char *argument; /* in the line; "" if there is none */
};

/*
 * ftp_reader_feed() - take bytes until a line is ready
 *
 * An all-zero reader is at the beginning of a line.
 *
 * Returns: how many were used, all of them unless reader->ready is set.
 */
size_t ftp_reader_feed(struct ftp_reader *reader, const uint8_t *data,
		       size_t bytes);

/* The line was dealt with. */
void ftp_reader_next(struct ftp_reader *reader);

/*
 * ftp_command_parse() - what a line asks for
 *
 * Verbs in any case; XMKD, XRMD, XPWD, XCWD and XCUP are the verbs that
 * replaced them (RFC 1123 4.1.3.1). The argument is all behind one space,
 * because names may begin and end with spaces.
 *
 * Returns: 0, or the code to answer with: 500 (too long, not a verb), 501
 *          (NUL, an argument too many or missing), 502 (not here).
 */
int ftp_command_parse(const struct ftp_reader *reader, struct ftp_command *out);

/* "RETR", and what HELP says: "path". */
const char *ftp_verb_name(enum ftp_verb verb);
const char *ftp_verb_argument(enum ftp_verb verb);
unsigned ftp_verb_flags(enum ftp_verb verb);

/* The verb of that name, in any case, or FTP_VERB_COUNT. */
enum ftp_verb ftp_verb_find(const char *name, size_t bytes);

/* A decimal number and nothing else, at most INT64_MAX (RFC 3659 5.1). */
bool ftp_number(const char *argument, uint64_t *out);

/* RFC 959 4.1.2: "A", "A N", "I", "L 8"; the letter, or 0 if it is not ours. */
char ftp_type(const char *argument);

enum ftp_epsv {
	FTP_EPSV_ANY,
	FTP_EPSV_4,
	FTP_EPSV_6,
	FTP_EPSV_ALL,
	FTP_EPSV_BAD
};

/* RFC 2428 3 */
enum ftp_epsv ftp_epsv(const char *argument);

#endif
