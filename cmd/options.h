/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Options of a subcommand, from one table.
 *
 * A subcommand keeps its options in a struct of its own and describes each
 * with one line: spelling, type, where it goes, and what the help text says.
 * The same table parses the command line, prints the help, and answers a
 * misspelt option with the nearest right one.
 *
 *	struct serve_options {
 *		bool quiet;
 *		uint64_t port;
 *		struct option_list addrs;
 *	};
 *	static const struct option serve_table[] = {
 *		{ "quiet", 'q', OPTION_FLAG,
 *		  offsetof(struct serve_options, quiet),
 *		  NULL, "print no access log" },
 *		{ "port", 0, OPTION_NUMBER,
 *		  offsetof(struct serve_options, port),
 *		  "N", "listen on port N (80)", 1, 65535 },
 *		…
 *	};
 *
 * Both `--port=80` and `--port 80` are understood, and so is `-q`; `--` ends
 * the options; everything else is an argument. --help is in every table.
 */
enum option_type {
	OPTION_FLAG,   /* bool: set to true */
	OPTION_TEXT,   /* const char *: the last one given wins */
	OPTION_NUMBER, /* uint64_t, in decimal, min..max */
	OPTION_SIZE,   /* uint64_t, with K, M, G, T for powers of 1024 */
	OPTION_LIST,   /* struct option_list: may be given several times */
};

#define OPTION_LIST_MAX 32

struct option_list {
	const char *items[OPTION_LIST_MAX];
	int at[OPTION_LIST_MAX]; /* where in argv: which came before which */
	unsigned count;
};

struct option {
	const char *name; /* without the dashes */
	char letter;	  /* of the short form, or 0 */
	enum option_type type;
	size_t offset;	   /* into the subcommand's struct */
	const char *value; /* what the value is called; NULL for a flag */
	const char *help;  /* what it does; \n begins a new line */
	uint64_t min, max; /* of a number or size; max 0 means no bound */
};

struct grammar {
	const char *command;   /* "serve" */
	const char *arguments; /* "DIR", "" */
	unsigned arguments_min, arguments_max;
	const char *purpose; /* a sentence or two, shown on top of the help */
	const char *notes;   /* shown below the options; may be NULL */
	const struct option *options;
	unsigned option_count;
};

#define OPTIONS_OF(table) \
	.options = (table), .option_count = sizeof(table) / sizeof((table)[0])

/* But for the first, these are exit statuses (cmd.h). */
enum options_result {
	OPTIONS_RUN = -1,  /* go on */
	OPTIONS_DONE = 0,  /* help was printed to stdout */
	OPTIONS_WRONG = 2, /* a complaint was printed to stderr */
};

/*
 * options_parse() - read a command line
 * @argv: argv[0] is the subcommand's name, and skipped
 * @into: the subcommand's struct, filled with the defaults already
 * @arguments: filled with what is not an option
 *
 * Texts point into @argv.
 */
enum options_result options_parse(const struct grammar *grammar, int argc,
				  char **argv, void *into,
				  struct option_list *arguments);

/* The help text, as --help prints it. */
void options_help(const struct grammar *grammar, FILE *out);

/*
 * nearest_word() - the candidate that the user most likely meant
 * @candidates: as many words, @count of them
 *
 * Returns: one of @candidates, or NULL when none is near enough.
 */
const char *nearest_word(const char *word, const char *const *candidates,
			 unsigned count);

/* "10", "64K", "1.5G" is refused; powers of 1024. False: not a size. */
bool parse_size(const char *text, uint64_t *out);

#endif
