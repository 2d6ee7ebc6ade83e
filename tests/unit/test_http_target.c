/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "http_listing.h"
#include "http_mime.h"
#include "http_target.h"
#include "test.h"

static struct http_target target;

static int parse(const char *raw)
{
	memset(&target, 0, sizeof(target));
	return http_target_parse(raw, strlen(raw), &target);
}

static void check_path(const char *raw, const char *path, bool directory)
{
	CHECK_EQ(parse(raw), 0);
	CHECK_STR(target.path, path);
	CHECK_EQ(target.directory, directory);
	CHECK_EQ(target.length, strlen(path));
}

/* RFC 9112 3.2.1 */
TEST(plain_paths_name_files_and_directories)
{
	check_path("/", ".", true);
	check_path("/a", "a", false);
	check_path("/a/", "a", true);
	check_path("/a/b.txt?x=/y#z", "a/b.txt", false);
	check_path("/a?b/", "a", false);
}

/* RFC 9112 3.2.2 */
TEST(absolute_form_loses_its_authority)
{
	check_path("http://host:80/a/b", "a/b", false);
	check_path("HTTP://[::1]/", ".", true);
	CHECK_EQ(parse("ftp://host/a"), 400);
	CHECK_EQ(parse("*"), 400);
	CHECK_EQ(parse(""), 400);
}

/* RFC 3986 2.1: decoded once and only once */
TEST(percent_decoding_happens_once)
{
	check_path("/a%20b", "a b", false);
	check_path("/%E2%82%AC", "\xe2\x82\xac", false);
	check_path("/%252e%252e/x", "%2e%2e/x", false);
	check_path("/a+b", "a+b", false);
	check_path("/a%3fb", "a?b", false);
}

TEST(broken_percent_signs_are_refused)
{
	CHECK_EQ(parse("/%"), 400);
	CHECK_EQ(parse("/a%2"), 400);
	CHECK_EQ(parse("/%zz"), 400);
	CHECK_EQ(parse("/%2/x"), 400);
	CHECK_EQ(parse("/%00"), 400);
	CHECK_EQ(parse("/a%00.txt"), 400);
}

/* A file's name has no slash, so %2F cannot be part of one. */
TEST(encoded_slash_names_no_file)
{
	CHECK_EQ(parse("/a%2fb"), 404);
	CHECK_EQ(parse("/..%2f..%2fetc/passwd"), 404);
}

/* RFC 3986 5.2.4 */
TEST(dot_segments_never_climb_above_the_root)
{
	check_path("/a/../b", "b", false);
	check_path("/a/b/../../c/.", "c", true);
	check_path("/a/..", ".", true);
	check_path("/././/a//./b", "a/b", false);
	check_path("/a/%2e%2e/b", "b", false);
	check_path("/...", "...", false);
	check_path("/..a/b..", "..a/b..", false);
	CHECK_EQ(parse("/.."), 400);
	CHECK_EQ(parse("/a/../../b"), 400);
	CHECK_EQ(parse("/%2e%2e/etc/passwd"), 400);
	CHECK_EQ(parse("/.%2e/x"), 400);
}

TEST(a_long_way_down_and_up_again_stays_in_bounds)
{
	static char raw[3 * 4 * 300 + 2];
	size_t at = 0;
	int i;

	for (i = 0; i < 300; i++, at += 2)
		memcpy(raw + at, "/d", 2);
	for (i = 0; i < 300; i++, at += 3)
		memcpy(raw + at, "/..", 3);
	memcpy(raw + at, "/x", 3);
	check_path(raw, "x", false);
}

TEST(names_and_paths_that_no_file_can_have_are_refused)
{
	static char raw[10000];

	memset(raw, 'a', sizeof(raw) - 1);
	raw[0] = '/';
	CHECK_EQ(parse(raw), 404);
	raw[256] = '\0';
	CHECK_EQ(parse(raw), 0);
	raw[256] = 'a';
	raw[257] = '\0';
	CHECK_EQ(parse(raw), 404);
	memset(raw, 'a', sizeof(raw) - 1);
	for (size_t i = 0; i < sizeof(raw) - 1; i += 100)
		raw[i] = '/';
	CHECK_EQ(parse(raw), 414);
}

/* "//host/" in Location would lead to another host. */
TEST(a_redirect_never_begins_with_two_slashes)
{
	struct text out = { 0 };

	CHECK_EQ(parse("//evil.example/..//evil.example"), 0);
	http_escape_path(&out, target.path, true);
	CHECK_STR(out.bytes, "/evil.example/");
	text_free(&out);
}

TEST(escaping_survives_a_round_trip)
{
	static const char name[] = "a b%?#&\"<\xff\r\n:\\";
	struct text out = { 0 };

	http_escape_path(&out, name, false);
	check_path(out.bytes, name, false);
	CHECK(!strpbrk(out.bytes, " ?#&\"<\r\n\\"));
	text_free(&out);
}

TEST(listing_escapes_names_for_html_and_urls)
{
	struct dir_entry entries[] = {
		{ .name = (char[]){ "b\"><script>" }, .size = 1536 },
		{ .name = (char[]){ "javascript:x" }, .size = 12 },
		{ .name = (char[]){ "file10" } },
		{ .name = (char[]){ "file9" }, .size = 5000000000ull },
		{ .name = (char[]){ "zdir" }, .directory = true },
	};
	struct text out = { 0 };
	const char *dir, *nine, *ten;

	directory_sort(entries, 5);
	http_listing(&out, "sub & dir", entries, 5, 0);
	CHECK(text_ok(&out));
	CHECK(!strstr(out.bytes, "<script>"));
	CHECK(strstr(out.bytes, "./b%22%3E%3Cscript%3E\""));
	CHECK(strstr(out.bytes, "href=\"./javascript%3Ax\""));
	CHECK(strstr(out.bytes, "/sub &amp; dir/"));
	CHECK(strstr(out.bytes, "href=\"../\""));
	CHECK(strstr(out.bytes, "1.5 KiB"));
	CHECK(strstr(out.bytes, "4.6 GiB"));
	dir = strstr(out.bytes, "zdir/");
	nine = strstr(out.bytes, "file9");
	ten = strstr(out.bytes, "file10");
	CHECK(dir && nine && ten && dir < nine && nine < ten);
	text_free(&out);
}

TEST(the_root_listing_has_no_parent)
{
	struct text out = { 0 };

	http_listing(&out, ".", NULL, 0, 7);
	CHECK(!strstr(out.bytes, "../"));
	CHECK(strstr(out.bytes, "and 7 more"));
	text_free(&out);
}

TEST(media_types_go_by_extension)
{
	CHECK_STR(http_mime_type("a/b.HTML"), "text/html; charset=utf-8");
	CHECK_STR(http_mime_type("x.tar.gz"), "application/gzip");
	CHECK_STR(http_mime_type("x.7z"), "application/x-7z-compressed");
	CHECK_STR(http_mime_type("x.zst"), "application/zstd");
	CHECK_STR(http_mime_type("x.mp4"), "video/mp4");
	CHECK_STR(http_mime_type("a.html/b"), "application/octet-stream");
	CHECK_STR(http_mime_type("html"), "application/octet-stream");
	CHECK_STR(http_mime_type("x."), "application/octet-stream");
}
