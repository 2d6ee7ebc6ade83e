/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines and commands: see ftp_command.h.
 *
 * Telnet, of which a server must understand this much (RFC 1123 4.1.2.12):
 *
 *	IAC IAC              the byte 255
 *	IAC WILL|WONT x      refused by DONT x, or no news
 *	IAC DO|DONT x        refused by WONT x, or no news
 *	IAC SB … IAC SE      left out
 *	IAC IP, IAC DM       the line that was begun is called off
 *	IAC other            left out
 *
 * The urgent mark that comes with IAC DM is TCP's matter. Its bytes are in the
 * stream, and whatever is in front of them is read soon enough, because we
 * read on while a transfer is under way.
 */
#include "ftp_command.h"

#include <string.h>
#include <strings.h>

enum telnet {
	TELNET_SE = 240,
	TELNET_DM = 242,
	TELNET_IP = 244,
	TELNET_SB = 250,
	TELNET_WILL = 251,
	TELNET_WONT = 252,
	TELNET_DO = 253,
	TELNET_DONT = 254,
	TELNET_IAC = 255,
};

/* --- lines ------------------------------------------------------------------
 */

static void add_byte(struct ftp_reader *r, uint8_t byte)
{
	if (r->length == FTP_LINE_MAX) {
		r->too_long = true;
		return;
	}
	r->has_nul |= byte == '\0';
	r->line[r->length++] = (char)byte;
}

static void end_line(struct ftp_reader *r)
{
	r->line[r->length] = '\0';
	r->after_cr = false;
	r->ready = true;
}

/* A line feed alone ends a line, too: who types by hand sends that. */
static void take_text(struct ftp_reader *r, uint8_t byte)
{
	bool after_cr = r->after_cr;

	r->after_cr = false;
	if (byte == '\n') {
		end_line(r);
		return;
	}
	if (after_cr)
		add_byte(r, '\r');
	if (byte == '\r')
		r->after_cr = true;
	else if (!(after_cr && byte == '\0'))
		add_byte(r, byte);
}

void ftp_reader_next(struct ftp_reader *r)
{
	r->length = 0;
	r->ready = r->too_long = r->has_nul = r->after_cr = false;
}

/* --- Telnet -----------------------------------------------------------------
 */

/* Who floods us with options hears no more than so much about them. */
static void refuse_option(struct ftp_reader *r, uint8_t verb, uint8_t option)
{
	uint8_t answer[3] = { TELNET_IAC, verb, option };

	if (r->answer_bytes + sizeof(answer) > FTP_ANSWER_MAX)
		return;
	memcpy(r->answer + r->answer_bytes, answer, sizeof(answer));
	r->answer_bytes += sizeof(answer);
}

/* Behind IAC. */
static void take_telnet(struct ftp_reader *r, uint8_t byte)
{
	r->telnet = 0;
	if (r->in_option) {
		r->in_option = byte != TELNET_SE;
		return;
	}
	switch (byte) {
	case TELNET_IAC:
		take_text(r, byte);
		break;
	case TELNET_WILL:
	case TELNET_WONT:
	case TELNET_DO:
	case TELNET_DONT:
		r->telnet = byte;
		break;
	case TELNET_SB:
		r->in_option = true;
		break;
	case TELNET_IP:
	case TELNET_DM:
		ftp_reader_next(r);
		break;
	default:
		break;
	}
}

static void take_option(struct ftp_reader *r, uint8_t option)
{
	uint8_t verb = r->telnet;

	r->telnet = 0;
	if (verb == TELNET_WILL)
		refuse_option(r, TELNET_DONT, option);
	else if (verb == TELNET_DO)
		refuse_option(r, TELNET_WONT, option);
}

static void take_byte(struct ftp_reader *r, uint8_t byte)
{
	if (r->telnet == TELNET_IAC)
		take_telnet(r, byte);
	else if (r->telnet)
		take_option(r, byte);
	else if (byte == TELNET_IAC)
		r->telnet = byte;
	else if (!r->in_option)
		take_text(r, byte);
}

size_t ftp_reader_feed(struct ftp_reader *r, const uint8_t *data, size_t bytes)
{
	size_t used = 0;

	while (used < bytes && !r->ready)
		take_byte(r, data[used++]);
	return used;
}

/* --- commands ---------------------------------------------------------------
 */

static const struct verb {
	const char *name;
	unsigned flags;
	const char *argument;
} verbs[] = {
#define FTP_ROW(verb, flags, argument) { #verb, flags, argument },
	FTP_VERBS(FTP_ROW)
#undef FTP_ROW
};

/* RFC 775's names, which RFC 1123 4.1.3.1 wants understood. */
static const struct {
	const char *name;
	enum ftp_verb verb;
} old_names[] = {
	{ "XCWD", FTP_CWD }, { "XCUP", FTP_CDUP }, { "XPWD", FTP_PWD },
	{ "XMKD", FTP_MKD }, { "XRMD", FTP_RMD },
};

const char *ftp_verb_name(enum ftp_verb verb)
{
	return verbs[verb].name;
}

const char *ftp_verb_argument(enum ftp_verb verb)
{
	return verbs[verb].argument;
}

unsigned ftp_verb_flags(enum ftp_verb verb)
{
	return verbs[verb].flags;
}

static bool same_word(const char *name, const char *text, size_t bytes)
{
	return strlen(name) == bytes && strncasecmp(name, text, bytes) == 0;
}

enum ftp_verb ftp_verb_find(const char *name, size_t bytes)
{
	size_t i;

	for (i = 0; i < FTP_VERB_COUNT; i++)
		if (same_word(verbs[i].name, name, bytes))
			return (enum ftp_verb)i;
	for (i = 0; i < sizeof(old_names) / sizeof(old_names[0]); i++)
		if (same_word(old_names[i].name, name, bytes))
			return old_names[i].verb;
	return FTP_VERB_COUNT;
}

int ftp_command_parse(const struct ftp_reader *r, struct ftp_command *out)
{
	size_t name_bytes = strcspn(r->line, " ");

	*out = (struct ftp_command){ .verb = FTP_VERB_COUNT, .argument = "" };
	if (r->too_long)
		return 500;
	if (r->has_nul)
		return 501;
	out->verb = ftp_verb_find(r->line, name_bytes);
	if (out->verb == FTP_VERB_COUNT)
		return 500;
	out->name = verbs[out->verb].name;
	out->flags = verbs[out->verb].flags;
	if (r->line[name_bytes] == ' ')
		out->argument = r->line + name_bytes + 1;
	if (out->flags & FTP_NOT_HERE)
		return 502;
	if (out->flags & FTP_ARGUMENT && !out->argument[0])
		return 501;
	return 0;
}

/* --- arguments --------------------------------------------------------------
 */

bool ftp_number(const char *argument, uint64_t *out)
{
	uint64_t n = 0;

	if (!*argument)
		return false;
	for (; *argument; argument++) {
		unsigned digit = (unsigned)(*argument - '0');

		if (digit > 9 || n > ((uint64_t)INT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*out = n;
	return true;
}

/* "A N" is non-print text, which "A" is anyway; "L 8" has bytes of 8 bits. */
char ftp_type(const char *argument)
{
	if (strcasecmp(argument, "A") == 0 || strcasecmp(argument, "A N") == 0)
		return 'A';
	if (strcasecmp(argument, "I") == 0 || strcasecmp(argument, "L 8") == 0)
		return 'I';
	return 0;
}

enum ftp_epsv ftp_epsv(const char *argument)
{
	if (!*argument)
		return FTP_EPSV_ANY;
	if (strcmp(argument, "1") == 0)
		return FTP_EPSV_4;
	if (strcmp(argument, "2") == 0)
		return FTP_EPSV_6;
	return strcasecmp(argument, "ALL") == 0 ? FTP_EPSV_ALL : FTP_EPSV_BAD;
}
