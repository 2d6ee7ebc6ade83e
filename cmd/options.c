/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Command line options: see options.h.
 *
 * Theory of operation. options_parse() walks the words once. A word that
 * begins with two dashes is looked up by its name up to '='; a word of one
 * dash and one letter by the letter; a lone dash and everything else is an
 * argument. The value is what follows '=', or the next word. Storing it is
 * one small function per type. The first thing that is wrong ends the walk
 * with one sentence on stderr that names the word and, where one is near, the
 * spelling that was probably meant.
 */
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cmd.h"

#define WORD_MAX 64 /* a longer word is nobody's typing error */

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/*
 * Edits between two words: insert, delete, change, or swap two neighbours
 * (optimal string alignment, a row at a time).
 */
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2], *spare;
	size_t a_len = strlen(a), b_len = strlen(b);
	size_t i, j;

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return WORD_MAX;
	for (j = 0; j <= b_len; j++)
		above[j] = (unsigned)j;
	memset(before, 0, sizeof(rows[0]));
	for (i = 1; i <= a_len; i++) {
		row[0] = (unsigned)i;
		for (j = 1; j <= b_len; j++) {
			unsigned change = a[i - 1] != b[j - 1];

			row[j] = least(above[j] + 1, row[j - 1] + 1,
				       above[j - 1] + change);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = least(row[j], row[j],
					       before[j - 2] + 1);
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[b_len];
}

const char *nearest_word(const char *word, const char *const *candidates,
			 unsigned count)
{
	size_t length = strlen(word);
	unsigned best = (unsigned)(length < 4 ? 1 : length < 8 ? 2 : 3);
	const char *nearest = NULL;
	unsigned i;

	for (i = 0; i < count; i++) {
		unsigned distance = edit_distance(word, candidates[i]);

		if (distance < best || (distance == best && !nearest)) {
			best = distance;
			nearest = candidates[i];
		}
	}
	if (nearest)
		return nearest;
	/* Half a word was typed: the only one that begins like that. */
	for (i = 0; i < count && length >= 2; i++) {
		if (strncmp(word, candidates[i], length) != 0)
			continue;
		if (nearest)
			return NULL;
		nearest = candidates[i];
	}
	return nearest;
}

static bool parse_number(const char *text, uint64_t *out, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &stop, 10);
	*end = stop;
	return errno == 0;
}

bool parse_size(const char *text, uint64_t *out)
{
	static const char letters[] = "KMGT";
	const char *end, *letter;
	unsigned shift;

	if (!parse_number(text, out, &end))
		return false;
	if (*end == '\0')
		return true;
	letter = strchr(letters, *end >= 'a' ? *end - 'a' + 'A' : *end);
	if (!letter || end[1] != '\0')
		return false;
	shift = 10 * (unsigned)(letter - letters + 1);
	if (*out > UINT64_MAX >> shift)
		return false;
	*out <<= shift;
	return true;
}

static void complain_about(const struct grammar *g, const char *format,
			   const char *word)
{
	fprintf(stderr, "tow %s: ", g->command);
	fprintf(stderr, format, word);
	fprintf(stderr, "; see `tow help %s`\n", g->command);
}

static enum options_result unknown_option(const struct grammar *g,
					  const char *name, size_t name_bytes)
{
	const char *names[WORD_MAX];
	const char *nearest;
	char word[WORD_MAX + 1];
	unsigned i;

	for (i = 0; i < g->option_count && i < WORD_MAX - 1; i++)
		names[i] = g->options[i].name;
	names[i++] = "help";
	snprintf(word, sizeof(word), "%.*s", (int)name_bytes, name);
	nearest = nearest_word(word, names, i);
	if (nearest)
		fprintf(stderr,
			"tow %s: unknown option --%s; did you mean --%s?\n",
			g->command, word, nearest);
	else
		complain_about(g, "unknown option --%s", word);
	return OPTIONS_WRONG;
}

static const struct option *find_by_name(const struct grammar *g,
					 const char *name, size_t bytes)
{
	unsigned i;

	for (i = 0; i < g->option_count; i++)
		if (strlen(g->options[i].name) == bytes &&
		    memcmp(g->options[i].name, name, bytes) == 0)
			return &g->options[i];
	return NULL;
}

static const struct option *find_by_letter(const struct grammar *g, char letter)
{
	unsigned i;

	for (i = 0; i < g->option_count; i++)
		if (g->options[i].letter == letter)
			return &g->options[i];
	return NULL;
}

static enum options_result store_number(const struct grammar *g,
					const struct option *o,
					const char *text, uint64_t *to)
{
	uint64_t value;
	const char *end = "";
	bool ok;

	ok = o->type == OPTION_SIZE ? parse_size(text, &value)
				    : parse_number(text, &value, &end);
	if (!ok || *end != '\0') {
		fprintf(stderr, "tow %s: --%s wants a %s, not '%s'\n",
			g->command, o->name,
			o->type == OPTION_SIZE ? "size such as 64M" : "number",
			text);
		return OPTIONS_WRONG;
	}
	if (value < o->min || (o->max && value > o->max)) {
		fprintf(stderr, "tow %s: --%s %s is out of range, at ",
			g->command, o->name, text);
		if (value < o->min)
			fprintf(stderr, "least %llu\n",
				(unsigned long long)o->min);
		else
			fprintf(stderr, "most %llu\n",
				(unsigned long long)o->max);
		return OPTIONS_WRONG;
	}
	*to = value;
	return OPTIONS_RUN;
}

static enum options_result store_item(const struct grammar *g,
				      struct option_list *list,
				      const char *text, int at)
{
	if (list->count == OPTION_LIST_MAX) {
		complain_about(g, "too many words, beginning with '%s'", text);
		return OPTIONS_WRONG;
	}
	list->at[list->count] = at;
	list->items[list->count++] = text;
	return OPTIONS_RUN;
}

static enum options_result store(const struct grammar *g,
				 const struct option *o, const char *text,
				 int at, void *into)
{
	void *to = (char *)into + o->offset;

	switch (o->type) {
	case OPTION_FLAG:
		*(bool *)to = true;
		return OPTIONS_RUN;
	case OPTION_TEXT:
		*(const char **)to = text;
		return OPTIONS_RUN;
	case OPTION_NUMBER:
	case OPTION_SIZE:
		return store_number(g, o, text, to);
	case OPTION_LIST:
		return store_item(g, to, text, at);
	}
	return OPTIONS_WRONG;
}

/*
 * The value of an option: behind '=', or the next word, which is then used
 * up. A flag has none.
 */
static enum options_result take_option(const struct grammar *g,
				       const struct option *o,
				       const char *attached, char **argv,
				       int argc, int *at, void *into)
{
	if (!o->value) {
		if (!attached)
			return store(g, o, NULL, *at, into);
		complain_about(g, "--%s takes no value", o->name);
		return OPTIONS_WRONG;
	}
	if (!attached) {
		if (*at + 1 >= argc) {
			fprintf(stderr, "tow %s: --%s wants a value: %s\n",
				g->command, o->name, o->value);
			return OPTIONS_WRONG;
		}
		attached = argv[++*at];
	}
	return store(g, o, attached, *at, into);
}

static enum options_result take_long(const struct grammar *g, char **argv,
				     int argc, int *at, void *into)
{
	const char *name = argv[*at] + 2;
	const char *equals = strchr(name, '=');
	size_t bytes = equals ? (size_t)(equals - name) : strlen(name);
	const struct option *o = find_by_name(g, name, bytes);

	if (!o && strcmp(name, "help") == 0) {
		options_help(g, stdout);
		return OPTIONS_DONE;
	}
	if (!o)
		return unknown_option(g, name, bytes);
	return take_option(g, o, equals ? equals + 1 : NULL, argv, argc, at,
			   into);
}

static enum options_result take_short(const struct grammar *g, char **argv,
				      int argc, int *at, void *into)
{
	const char *word = argv[*at];
	const struct option *o = find_by_letter(g, word[1]);
	const char *attached = word[2] != '\0' ? word + 2 : NULL;

	if (!o && strcmp(word, "-h") == 0) {
		options_help(g, stdout);
		return OPTIONS_DONE;
	}
	if (!o || (attached && !o->value)) {
		complain_about(g, "unknown option %s", word);
		return OPTIONS_WRONG;
	}
	return take_option(g, o, attached, argv, argc, at, into);
}

static enum options_result check_arguments(const struct grammar *g,
					   const struct option_list *arguments)
{
	if (arguments->count < g->arguments_min) {
		complain_about(g, "missing %s", g->arguments);
		return OPTIONS_WRONG;
	}
	if (arguments->count > g->arguments_max) {
		complain_about(g, "one word too many: '%s'",
			       arguments->items[g->arguments_max]);
		return OPTIONS_WRONG;
	}
	return OPTIONS_RUN;
}

_Static_assert((int)OPTIONS_DONE == EXIT_OK && (int)OPTIONS_WRONG == EXIT_USAGE,
	       "results are exit statuses");

enum options_result options_parse(const struct grammar *g, int argc,
				  char **argv, void *into,
				  struct option_list *arguments)
{
	enum options_result result = OPTIONS_RUN;
	bool options_ended = false;
	int at;

	arguments->count = 0;
	for (at = 1; at < argc && result == OPTIONS_RUN; at++) {
		const char *word = argv[at];

		if (options_ended || word[0] != '-' || word[1] == '\0')
			result = store_item(g, arguments, word, at);
		else if (strcmp(word, "--") == 0)
			options_ended = true;
		else if (word[1] == '-')
			result = take_long(g, argv, argc, &at, into);
		else
			result = take_short(g, argv, argc, &at, into);
	}
	return result == OPTIONS_RUN ? check_arguments(g, arguments) : result;
}

#define HELP_COLUMN 26

static void help_line(FILE *out, char letter, const char *name,
		      const char *value, const char *help)
{
	char left[HELP_COLUMN * 2];
	const char *end;

	snprintf(left, sizeof(left), "  %c%c%s --%s%s%s", letter ? '-' : ' ',
		 letter ? letter : ' ', letter ? "," : " ", name,
		 value ? " " : "", value ? value : "");
	fprintf(out, "%-*s", HELP_COLUMN, left);
	if (strlen(left) >= HELP_COLUMN)
		fprintf(out, "\n%*s", HELP_COLUMN, "");
	while ((end = strchr(help, '\n'))) {
		fprintf(out, "%.*s\n%*s", (int)(end - help), help, HELP_COLUMN,
			"");
		help = end + 1;
	}
	fprintf(out, "%s\n", help);
}

void options_help(const struct grammar *g, FILE *out)
{
	unsigned i;

	fprintf(out, "usage: tow %s%s%s [options]\n\n%s\n\noptions:\n",
		g->command, *g->arguments ? " " : "", g->arguments, g->purpose);
	for (i = 0; i < g->option_count; i++)
		help_line(out, g->options[i].letter, g->options[i].name,
			  g->options[i].value, g->options[i].help);
	help_line(out, 'h', "help", NULL, "print this");
	if (g->notes)
		fprintf(out, "\n%s\n", g->notes);
}
