/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tow: one command, its subcommands in a table.
 *
 * `tow help NAME` is `tow NAME --help`, so that each subcommand owns its help
 * text and no second list can disagree with it.
 */
#include <stdio.h>
#include <string.h>
#include <tow/stack.h>
#include "cmd.h"
#include "options.h"

static int cmd_help(int argc, char **argv);
static int cmd_version(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *purpose;
} commands[] = {
	{ "serve", cmd_serve,
	  "serve a directory by HTTP, out of the page cache" },
	{ "get", cmd_get, "download a file by HTTP" },
	{ "relay", cmd_relay, "relay TCP or UDP to other addresses" },
	{ "sim", cmd_sim, "run random scenarios over a simulated network" },
	{ "help", cmd_help, "explain a command" },
	{ "version", cmd_version, "print the version" },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int unknown_command(const char *name)
{
	const char *names[COMMAND_COUNT];
	const char *nearest;
	unsigned i;

	for (i = 0; i < COMMAND_COUNT; i++)
		names[i] = commands[i].name;
	nearest = nearest_word(name, names, COMMAND_COUNT);
	if (nearest)
		fprintf(stderr,
			"tow: unknown command '%s'; did you mean 'tow %s'?\n",
			name, nearest);
	else
		fprintf(stderr, "tow: unknown command '%s'; see `tow help`\n",
			name);
	return EXIT_USAGE;
}

/* The options that stand in front of, or instead of, a command. */
static int unknown_option(const char *word)
{
	static const char *const options[] = { "--help", "--version" };
	const char *nearest = nearest_word(word, options, 2);

	if (nearest)
		fprintf(stderr, "tow: unknown option %s; did you mean %s?\n",
			word, nearest);
	else
		fprintf(stderr, "tow: unknown option %s; see `tow help`\n",
			word);
	return EXIT_USAGE;
}

static void print_overview(FILE *out)
{
	size_t i;

	fputs("usage: tow COMMAND [options]\n\n"
	      "A zero-copy TCP/IP stack: payload stays where it is, only\n"
	      "headers move.\n\ncommands:\n",
	      out);
	for (i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-10s%s\n", commands[i].name,
			commands[i].purpose);
	fputs("\n`tow help COMMAND` explains one of them; so does tow(1).\n",
	      out);
}

static int cmd_version(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		fputs("tow version: takes no arguments\n", stderr);
		return EXIT_USAGE;
	}
	printf("tow %s\n", tow_version());
	return EXIT_OK;
}

static int cmd_help(int argc, char **argv)
{
	static char help_option[] = "--help";
	char *words[3] = { NULL, help_option, NULL };
	const struct command *c;

	if (argc < 2) {
		print_overview(stdout);
		return EXIT_OK;
	}
	if (argc > 2) {
		fprintf(stderr, "tow help: one word too many: '%s'\n", argv[2]);
		return EXIT_USAGE;
	}
	c = find_command(argv[1]);
	if (!c)
		return unknown_command(argv[1]);
	if (c->run == cmd_help || c->run == cmd_version) {
		printf("usage: tow %s\n\n%s\n", c->name, c->purpose);
		return EXIT_OK;
	}
	words[0] = argv[1];
	return c->run(2, words);
}

int main(int argc, char **argv)
{
	const struct command *c;

	if (argc < 2) {
		print_overview(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cmd_help(argc - 1, argv + 1);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return cmd_version(argc - 1, argv + 1);
	if (argv[1][0] == '-')
		return unknown_option(argv[1]);
	c = find_command(argv[1]);
	return c ? c->run(argc - 1, argv + 1) : unknown_command(argv[1]);
}
