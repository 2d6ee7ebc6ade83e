/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "ftp_format.h"
#include "ftp_path.h"
#include "test.h"

static char path[FTP_PATH_MAX];

static void check_path(const char *working, const char *argument,
		       const char *expected)
{
	CHECK(ftp_path_resolve(working, argument, path));
	CHECK_STR(path, expected);
}

TEST(paths_are_absolute_or_in_the_working_directory)
{
	check_path(".", "a", "a");
	check_path(".", "/a/b", "a/b");
	check_path("a", "b", "a/b");
	check_path("a", "/b", "b");
	check_path("a/b", "", "a/b");
	check_path(".", "", ".");
}

TEST(dots_never_climb_above_the_root)
{
	check_path(".", "..", ".");
	check_path("a", "../../../etc/passwd", "etc/passwd");
	check_path("a/b", "../c", "a/c");
	check_path("a", "./b/./", "a/b");
	check_path(".", "/../../..", ".");
	check_path(".", "...", "...");
	check_path(".", "..a", "..a");
	check_path(".", "a//b///", "a/b");
}

TEST(a_name_that_no_file_can_have_is_refused)
{
	char name[FTP_PATH_MAX + 10];

	memset(name, 'a', sizeof(name));
	name[255] = '\0';
	CHECK(ftp_path_resolve(".", name, path));
	name[255] = 'a';
	name[256] = '\0';
	CHECK(!ftp_path_resolve(".", name, path));
}

TEST(a_path_that_is_too_long_is_refused)
{
	char name[2 * FTP_PATH_MAX];
	size_t i;

	for (i = 0; i < sizeof(name) - 1; i++)
		name[i] = i % 100 == 99 ? '/' : 'a';
	name[FTP_PATH_MAX] = '\0';
	CHECK(!ftp_path_resolve(".", name, path));
	name[FTP_PATH_MAX - 1] = '\0';
	CHECK(ftp_path_resolve(".", name, path));
	CHECK(!ftp_path_resolve("x", name, path));
}

TEST(a_path_is_split_at_its_last_slash)
{
	char directory[FTP_PATH_MAX], name[NAME_MAX + 1];

	CHECK(ftp_path_split("a/b/c", directory, name));
	CHECK_STR(directory, "a/b");
	CHECK_STR(name, "c");
	CHECK(ftp_path_split("c", directory, name));
	CHECK_STR(directory, ".");
	CHECK_STR(name, "c");
	CHECK(!ftp_path_split(".", directory, name));
}

TEST(a_slash_at_the_end_means_a_directory)
{
	CHECK(ftp_path_is_directory("a/"));
	CHECK(ftp_path_is_directory("a/.."));
	CHECK(ftp_path_is_directory("."));
	CHECK(!ftp_path_is_directory("a"));
	CHECK(!ftp_path_is_directory("a/b."));
}

TEST(patterns_match_whole_names)
{
	CHECK(ftp_path_match("*", ""));
	CHECK(ftp_path_match("*.c", "a.c"));
	CHECK(!ftp_path_match("*.c", "a.cc"));
	CHECK(ftp_path_match("a?c", "abc"));
	CHECK(!ftp_path_match("a?c", "ac"));
	CHECK(ftp_path_match("*a*b*", "xxaxxbxx"));
	CHECK(ftp_path_match("a*b*c", "ab*bc"));
	CHECK(!ftp_path_match("*x", "aaaa"));
	CHECK(ftp_path_is_pattern("a/*.c"));
	CHECK(!ftp_path_is_pattern("a*/c"));
}

/* A matcher that tries all splits would not end before this test's time. */
TEST(a_hostile_pattern_costs_no_more_than_a_product)
{
	char name[256], pattern[256];
	size_t i;

	memset(name, 'a', 255);
	name[255] = '\0';
	for (i = 0; i + 2 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	pattern[i] = 'b';
	pattern[i + 1] = '\0';
	CHECK(!ftp_path_match(pattern, name));
}

/* --- listings --------------------------------------------------------------
 */

static struct dir_entry entry = {
	.name = (char[]){ "a b" },
	.size = 1234,
	.modified = 1795826704,
	.mode = 0100640,
	.device = 0x801,
	.inode = 0x2a,
};

static struct text out;

static void check_text(const char *expected)
{
	CHECK(text_ok(&out));
	CHECK_STR(out.bytes, expected);
	text_free(&out);
}

TEST(a_listing_looks_like_that_of_ls)
{
	ftp_format_list(&out, &entry, entry.modified + 60);
	check_text("-rw-r-----   1 ftp      ftp              1234 "
		   "Nov 28 00:45 a b\r\n");
	ftp_format_list(&out, &entry, entry.modified + 200 * 86400);
	check_text("-rw-r-----   1 ftp      ftp              1234 "
		   "Nov 28  2026 a b\r\n");
	ftp_format_list(&out, &entry, entry.modified - 1);
	check_text("-rw-r-----   1 ftp      ftp              1234 "
		   "Nov 28  2026 a b\r\n");
}

/* RFC 3659 7.5 */
TEST(facts_are_those_that_were_asked_for)
{
	ftp_format_facts(&out, &entry, entry.name, FTP_FACTS_ALL, false);
	check_text("type=file;size=1234;modify=20261128004504;perm=r;"
		   "unique=801g2a;UNIX.mode=0640; a b");
	ftp_format_facts(&out, &entry, entry.name,
			 ftp_facts_parse("SIZE;nonsense;Perm;"), true);
	check_text("size=1234;perm=adfrw; a b");
	ftp_format_facts(&out, &entry, entry.name, 0, true);
	check_text(" a b");
}

TEST(a_directory_has_no_size)
{
	struct dir_entry dir = entry;

	dir.directory = true;
	ftp_format_facts(&out, &dir, "/", ftp_facts_parse("type;size;perm"),
			 false);
	check_text("type=dir;perm=el; /");
}

/* RFC 3659 7.8, 7.9 */
TEST(features_have_asterisks_and_options_have_not)
{
	ftp_format_features(&out, ftp_facts_parse("size;"));
	check_text("type;size*;modify;perm;unique;UNIX.mode;");
	ftp_format_chosen(&out, ftp_facts_parse("modify;size;"));
	check_text("size;modify;");
}

TEST(a_name_with_line_ends_stays_in_its_line)
{
	struct dir_entry odd = entry;

	odd.name = (char[]){ "a\r\n226 b" };
	ftp_format_name(&out, "", &odd);
	check_text("a??226 b\r\n");
	ftp_format_quoted(&out, odd.name);
	check_text("a??226 b");
}

/* RFC 959, appendix II; RFC 854 */
TEST(quotes_and_the_byte_255_are_doubled_in_replies)
{
	ftp_format_path(&out, "a\"b");
	check_text("\"/a\"\"b\"");
	ftp_format_path(&out, ".");
	check_text("\"/\"");
	ftp_format_quoted(&out, "a\xff"
				"b\"");
	check_text("a\xff\xff"
		   "b\"");
}

TEST(names_are_listed_under_what_the_client_wrote)
{
	ftp_format_name(&out, "/pub", &entry);
	check_text("/pub/a b\r\n");
	ftp_format_name(&out, "pub/", &entry);
	check_text("pub/a b\r\n");
}
