/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "test.h"
#include "url.h"

static struct url url;

static const char *parse(const char *text)
{
	memset(&url, 0, sizeof(url));
	return url_parse(text, &url);
}

TEST(urls_come_apart)
{
	char authority[300];

	CHECK(!parse("http://192.0.2.1:8080/a/b?c=d#e"));
	CHECK_STR(url.host, "192.0.2.1");
	CHECK_EQ(url.port, 8080);
	CHECK_STR(url.target, "/a/b?c=d");
	CHECK(!parse("http://[2001:db8::1]/x"));
	CHECK_STR(url.host, "2001:db8::1");
	CHECK_EQ(url.port, 80);
	url_authority(&url, authority, sizeof(authority));
	CHECK_STR(authority, "[2001:db8::1]");
	CHECK(!parse("example.org"));
	CHECK_STR(url.target, "/");
	CHECK(!parse("http://example.org?q"));
	CHECK_STR(url.target, "/?q");
	CHECK(!parse("example.org/?u=http://b/"));
	CHECK_STR(url.host, "example.org");
	CHECK_STR(url.target, "/?u=http://b/");
}

TEST(what_people_type_is_encoded)
{
	CHECK(!parse("http://h/a b/\xc3\xa9\"?x y"));
	CHECK_STR(url.target, "/a%20b/%C3%A9%22?x%20y");
	CHECK(!parse("http://h/already%20so"));
	CHECK_STR(url.target, "/already%20so");
}

/* A line break would begin another field of the request. */
TEST(no_url_breaks_a_line)
{
	CHECK(!parse("http://h/a\r\nX: y"));
	CHECK_STR(url.target, "/a%0D%0AX:%20y");
	CHECK(parse("http://h\r\n/"));
}

TEST(other_urls_are_refused_with_a_reason)
{
	static char text[20000];

	CHECK(parse("https://h/"));
	CHECK(parse("ftp://h/"));
	CHECK(parse("http:///a"));
	CHECK(parse("http://h:0/"));
	CHECK(parse("http://h:99999/"));
	CHECK(parse("http://user@h/"));
	CHECK(parse(""));
	memset(text, 'a', sizeof(text) - 1);
	CHECK(parse(text));
	text[5000] = '\0';
	memset(text + 10, ' ', 4980); /* three bytes each when encoded */
	memcpy(text, "http://h/", 9);
	CHECK(parse(text) || strlen(url.target) < URL_TARGET_MAX);
}

static const char *resolve(const char *location)
{
	static struct url base;

	CHECK(!url_parse("http://h:81/a/b?c", &base));
	CHECK(!url_resolve(location, &base, &url));
	return url.target;
}

/* RFC 3986 5.2 */
TEST(a_location_may_be_relative)
{
	CHECK_STR(resolve("/x"), "/x");
	CHECK_EQ(url.port, 81);
	CHECK_STR(resolve("x"), "/a/x");
	CHECK_STR(resolve("x/y?z"), "/a/x/y?z");
	CHECK_STR(resolve("?z"), "/a/b?z");
	CHECK_STR(resolve("http://other/x"), "/x");
	CHECK_STR(url.host, "other");
	CHECK_STR(resolve("/in?next=http://other/x"),
		  "/in?next=http://other/x");
	CHECK_STR(url.host, "h");
	CHECK_STR(resolve("?next=http://other/x"), "/a/b?next=http://other/x");
	CHECK_STR(resolve("//third/x"), "/x");
	CHECK_STR(url.host, "third");
	CHECK_EQ(url.port, 80);
}

static const char *file_name(const char *text)
{
	static char name[256];

	CHECK(!parse(text));
	url_file_name(&url, name, sizeof(name));
	return name;
}

TEST(a_file_is_called_as_the_url_ends)
{
	CHECK_STR(file_name("http://h/a/b.iso?x=/y"), "b.iso");
	CHECK_STR(file_name("http://h/a%20b"), "a b");
	CHECK_STR(file_name("http://h/"), "index.html");
	CHECK_STR(file_name("http://h/a/"), "index.html");
	CHECK_STR(file_name("http://h/a/.."), "index.html");
	CHECK_STR(file_name("http://h/..%2fetc%2fpasswd"), "index.html");
}
