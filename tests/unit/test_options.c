/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>
#include "net_setup.h"
#include "options.h"
#include "test.h"

struct values {
	bool quiet;
	const char *output;
	uint64_t port, limit;
	struct option_list addrs;
};

static const struct option table[] = {
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct values, quiet), NULL,
	  "say nothing", 0, 0 },
	{ "output", 'o', OPTION_TEXT, offsetof(struct values, output), "FILE",
	  "write to FILE", 0, 0 },
	{ "port", 0, OPTION_NUMBER, offsetof(struct values, port), "N",
	  "listen on N", 1, 65535 },
	{ "limit", 0, OPTION_SIZE, offsetof(struct values, limit), "SIZE",
	  "at most SIZE", 0, 0 },
	{ "addr", 0, OPTION_LIST, offsetof(struct values, addrs), "CIDR",
	  "an address", 0, 0 },
};

static const struct grammar grammar = {
	.command = "test",
	.arguments = "DIR",
	.arguments_min = 1,
	.arguments_max = 2,
	.purpose = "Tests.",
	OPTIONS_OF(table),
};

static struct values got;
static struct option_list arguments;

#define PARSE(...) parse((const char *[]){ "test", __VA_ARGS__, NULL })

/* Texts that were parsed point into the words, so these stay. */
static enum options_result parse(const char *const *words)
{
	static char *argv[10];
	int argc;

	for (argc = 0; words[argc]; argc++) {
		free(argv[argc]);
		argv[argc] = strdup(words[argc]);
	}
	memset(&got, 0, sizeof(got));
	return options_parse(&grammar, argc, argv, &got, &arguments);
}

TEST(values_stand_behind_an_equals_sign_or_a_blank)
{
	CHECK_EQ(PARSE("--port=80", "--addr", "a", "--addr=b", "dir", "-q",
		       "--limit=3K"),
		 OPTIONS_RUN);
	CHECK_EQ(got.port, 80);
	CHECK_EQ(got.limit, 3072);
	CHECK(got.quiet);
	CHECK_EQ(got.addrs.count, 2);
	CHECK_STR(got.addrs.items[1], "b");
	CHECK_EQ(arguments.count, 1);
	CHECK_STR(arguments.items[0], "dir");
}

TEST(short_options_take_their_value_either_way)
{
	CHECK_EQ(PARSE("-ofile", "d"), OPTIONS_RUN);
	CHECK_STR(got.output, "file");
	CHECK_EQ(PARSE("-o", "-", "d"), OPTIONS_RUN);
	CHECK_STR(got.output, "-");
}

TEST(two_dashes_end_the_options)
{
	CHECK_EQ(PARSE("--", "--port", "-"), OPTIONS_RUN);
	CHECK_EQ(arguments.count, 2);
	CHECK_STR(arguments.items[0], "--port");
}

TEST(nonsense_is_refused)
{
	CHECK_EQ(PARSE("d", "--port"), OPTIONS_WRONG);
	CHECK_EQ(PARSE("d", "--port=0"), OPTIONS_WRONG);
	CHECK_EQ(PARSE("d", "--port=65536"), OPTIONS_WRONG);
	CHECK_EQ(PARSE("d", "--port=8o"), OPTIONS_WRONG);
	CHECK_EQ(PARSE("d", "--port=-1"), OPTIONS_WRONG);
	CHECK_EQ(PARSE("d", "--port=99999999999999999999"), OPTIONS_WRONG);
	CHECK_EQ(PARSE("d", "--quiet=yes"), OPTIONS_WRONG);
	CHECK_EQ(PARSE("d", "--limit=1.5G"), OPTIONS_WRONG);
	CHECK_EQ(PARSE("d", "--limit=99999999999T"), OPTIONS_WRONG);
	CHECK_EQ(PARSE("d", "-x"), OPTIONS_WRONG);
	CHECK_EQ(PARSE("d", "--"), OPTIONS_RUN);
	CHECK_EQ(PARSE("a", "b", "c"), OPTIONS_WRONG);
	CHECK_EQ(PARSE("--quiet"), OPTIONS_WRONG);
}

/* Everything that a command with two devices may be given, in turns. */
struct two_devices {
	struct net_lists nets;
};

static const struct option nets_table[] = {
	NET_LISTS(two_devices, nets, "a device"),
};

static const struct grammar nets_grammar = {
	.command = "test",
	.arguments_max = 9,
	.purpose = "Tests.",
	OPTIONS_OF(nets_table),
};

static unsigned split(const char **words, struct net_options out[2])
{
	struct two_devices two = { 0 };
	int count = 0;

	while (words[count])
		count++;
	CHECK_EQ(options_parse(&nets_grammar, count, (char **)(uintptr_t)words,
			       &two, &arguments),
		 OPTIONS_RUN);
	return net_lists_split(&two.nets, out, 2);
}

#define SPLIT(out, ...) \
	split((const char *[]){ "test", __VA_ARGS__, NULL }, out)

TEST(addresses_are_about_the_device_in_front_of_them)
{
	struct net_options out[2];

	CHECK_EQ(SPLIT(out, "--addr=a", "--dev=x", "--gw=b", "7", "--dev", "y",
		       "--peer", "c", "--addr=d", "--addr=e"),
		 2);
	CHECK_STR(out[0].dev, "x");
	CHECK_EQ(out[0].addrs.count, 1);
	CHECK_STR(out[0].addrs.items[0], "a");
	CHECK_STR(out[0].gateways.items[0], "b");
	CHECK_EQ(out[0].peers.count, 0);
	CHECK_STR(out[1].dev, "y");
	CHECK_EQ(out[1].addrs.count, 2);
	CHECK_STR(out[1].addrs.items[1], "e");
	CHECK_STR(out[1].peers.items[0], "c");
	CHECK_EQ(out[1].gateways.count, 0);
}

TEST(without_a_device_there_is_one_and_three_are_counted)
{
	struct net_options out[2];

	CHECK_EQ(SPLIT(out, "--addr=a"), 1);
	CHECK(!out[0].dev);
	CHECK_STR(out[0].addrs.items[0], "a");
	CHECK_EQ(SPLIT(out, "--dev=x", "--dev=y", "--dev=z", "--addr=a"), 3);
	CHECK_EQ(out[1].addrs.count, 0);
}

TEST(the_nearest_word_is_the_one_that_was_meant)
{
	static const char *const words[] = { "serve", "get",	  "sim",
					     "help",  "writable", "port" };

	CHECK_STR(nearest_word("sreve", words, 6), "serve");
	CHECK_STR(nearest_word("server", words, 6), "serve");
	CHECK_STR(nearest_word("writeable", words, 6), "writable");
	CHECK_STR(nearest_word("prot", words, 6), "port");
	CHECK_STR(nearest_word("gte", words, 6), "get");
	CHECK_STR(nearest_word("wri", words, 6), "writable");
	CHECK(!nearest_word("xyz", words, 6));
	CHECK(!nearest_word("", words, 6));
}

TEST(words_of_any_length_are_compared_safely)
{
	static const char *const words[] = { "serve" };
	char word[1000];

	memset(word, 's', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	CHECK(!nearest_word(word, words, 1));
}
