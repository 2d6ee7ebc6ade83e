/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>
#include "http_condition.h"
#include "http_date.h"
#include "http_range.h"
#include "test.h"

#define NOW 1700000000

static time_t date;

static bool reads_date(const char *text)
{
	return http_date_parse(text, NOW, &date);
}

/* RFC 9110 5.6.7 */
TEST(all_three_date_forms_mean_the_same_second)
{
	CHECK(reads_date("Sun, 06 Nov 1994 08:49:37 GMT"));
	CHECK_EQ(date, 784111777);
	CHECK(reads_date("Sunday, 06-Nov-94 08:49:37 GMT"));
	CHECK_EQ(date, 784111777);
	CHECK(reads_date("Sun Nov  6 08:49:37 1994"));
	CHECK_EQ(date, 784111777);
	CHECK(reads_date("Wed Nov 16 08:49:37 1994"));
	CHECK_EQ(date, 784111777 + 10 * 86400);
}

TEST(two_digit_years_far_ahead_are_in_the_past)
{
	CHECK(reads_date("Friday, 01-Jan-73 00:00:00 GMT")); /* 50 ahead */
	CHECK_GT(date, NOW);
	CHECK(reads_date("Friday, 01-Jan-74 00:00:00 GMT"));
	CHECK_LT(date, NOW);
}

TEST(other_dates_are_refused)
{
	CHECK(!reads_date(""));
	CHECK(!reads_date("Sun"));
	CHECK(!reads_date("Sun, 06 Nov 1994 08:49:37"));
	CHECK(!reads_date("Sun, 06 Nov 1994 08:49:37 GMT "));
	CHECK(!reads_date("Sun, 06 Nov 1994 24:49:37 GMT"));
	CHECK(!reads_date("Sun, 31 Apr 1994 08:49:37 GMT"));
	CHECK(!reads_date("Sun, 6 Nov 1994 08:49:37 GMT"));
	CHECK(!reads_date("Sun, 06 Nvo 1994 08:49:37 GMT"));
	CHECK(!reads_date("Sun, -6 Nov 1994 08:49:37 GMT"));
	CHECK(!reads_date("1994-11-06T08:49:37Z"));
}

TEST(dates_are_written_in_the_preferred_form)
{
	char text[HTTP_DATE_BYTES];

	CHECK_STR(http_date_format(784111777, text),
		  "Sun, 06 Nov 1994 08:49:37 GMT");
	CHECK_STR(http_date_format(0, text), "Thu, 01 Jan 1970 00:00:00 GMT");
	CHECK_STR(http_date_format(1ll << 60, text),
		  "Thu, 01 Jan 1970 00:00:00 GMT");
}

static struct http_range ranges[HTTP_RANGES_MAX];
static unsigned count;

static enum http_range_verdict ask(const char *value, uint64_t size)
{
	return http_ranges(value, size, ranges, &count);
}

static void check_range(unsigned i, uint64_t first, uint64_t bytes)
{
	CHECK_EQ(ranges[i].first, first);
	CHECK_EQ(ranges[i].bytes, bytes);
}

/* RFC 9110 14.1.2, the examples */
TEST(ranges_of_a_file_of_10000_bytes)
{
	CHECK_EQ(ask("bytes=0-499", 10000), RANGE_PARTS);
	check_range(0, 0, 500);
	CHECK_EQ(ask("bytes=-500", 10000), RANGE_PARTS);
	check_range(0, 9500, 500);
	CHECK_EQ(ask("bytes=9500-", 10000), RANGE_PARTS);
	check_range(0, 9500, 500);
	CHECK_EQ(ask("bytes=0-0,-1", 10000), RANGE_PARTS);
	CHECK_EQ(count, 2);
	check_range(0, 0, 1);
	check_range(1, 9999, 1);
	CHECK_EQ(ask("Bytes= 0-999 ,, 4500-5499, -1000", 10000), RANGE_PARTS);
	CHECK_EQ(count, 3);
}

TEST(ranges_are_cut_to_the_file)
{
	CHECK_EQ(ask("bytes=5-99", 10), RANGE_PARTS);
	check_range(0, 5, 5);
	CHECK_EQ(ask("bytes=-99", 10), RANGE_PARTS);
	check_range(0, 0, 10);
	CHECK_EQ(ask("bytes=0-18446744073709551615", 10), RANGE_PARTS);
	check_range(0, 0, 10);
	CHECK_EQ(ask("bytes=0-99999999999999999999999", 10), RANGE_PARTS);
	check_range(0, 0, 10);
	CHECK_EQ(ask("bytes=3-4,10-,20-30", 10), RANGE_PARTS);
	CHECK_EQ(count, 1);
	check_range(0, 3, 2);
}

/* RFC 9110 15.5.17 */
TEST(ranges_beyond_the_file_cannot_be_satisfied)
{
	CHECK_EQ(ask("bytes=10-", 10), RANGE_UNSATISFIABLE);
	CHECK_EQ(ask("bytes=-0", 10), RANGE_UNSATISFIABLE);
	CHECK_EQ(ask("bytes=0-", 0), RANGE_UNSATISFIABLE);
	CHECK_EQ(ask("bytes=-5", 0), RANGE_UNSATISFIABLE);
	CHECK_EQ(ask("bytes=99999999999999999999999-", 10),
		 RANGE_UNSATISFIABLE);
}

/* RFC 9110 14.2: a Range that is not understood is ignored */
TEST(nonsense_ranges_are_ignored)
{
	CHECK_EQ(ask("lines=0-5", 10), RANGE_WHOLE);
	CHECK_EQ(ask("bytes", 10), RANGE_WHOLE);
	CHECK_EQ(ask("bytes=", 10), RANGE_WHOLE);
	CHECK_EQ(ask("bytes=,", 10), RANGE_WHOLE);
	CHECK_EQ(ask("bytes=5-4", 10), RANGE_WHOLE);
	CHECK_EQ(ask("bytes=a-b", 10), RANGE_WHOLE);
	CHECK_EQ(ask("bytes=-", 10), RANGE_WHOLE);
	CHECK_EQ(ask("bytes=1", 10), RANGE_WHOLE);
	CHECK_EQ(ask("bytes=1-2 3-4", 10), RANGE_WHOLE);
	CHECK_EQ(ask("bytes=--5", 10), RANGE_WHOLE);
}

/* RFC 9110 17.15: many overlapping ranges must not multiply the work */
TEST(greedy_ranges_get_the_whole_file)
{
	char value[1000] = "bytes=0-0";

	CHECK_EQ(ask("bytes=0-,0-,0-", 1000), RANGE_WHOLE);
	CHECK_EQ(ask("bytes=0-999,0-0", 1000), RANGE_WHOLE);
	for (int i = 0; i < HTTP_RANGES_MAX; i++)
		strcat(value, ",1-1");
	CHECK_EQ(ask(value, 1000), RANGE_WHOLE);
}

static const struct http_validators file = {
	.exists = true,
	.etag = "\"abc\"",
	.modified = 784111777,
};
static const struct http_validators absent = { .exists = false };

static enum http_condition get(struct http_conditions c)
{
	return http_condition(&c, &file, true, NOW);
}

static enum http_condition put(struct http_conditions c,
			       const struct http_validators *v)
{
	return http_condition(&c, v, false, NOW);
}

/* RFC 9110 13.1.2 */
TEST(if_none_match_answers_not_modified)
{
	CHECK_EQ(get((struct http_conditions){ .if_none_match = "\"abc\"" }),
		 CONDITION_NOT_MODIFIED);
	CHECK_EQ(get((struct http_conditions){ .if_none_match = "W/\"abc\"" }),
		 CONDITION_NOT_MODIFIED);
	CHECK_EQ(get((struct http_conditions){
			 .if_none_match = "\"x,\\\", W/\"y\" ,\"abc\"" }),
		 CONDITION_NOT_MODIFIED);
	CHECK_EQ(get((struct http_conditions){ .if_none_match = "*" }),
		 CONDITION_NOT_MODIFIED);
	CHECK_EQ(get((struct http_conditions){ .if_none_match = "\"ab\"" }),
		 CONDITION_HOLDS);
	CHECK_EQ(get((struct http_conditions){ .if_none_match = "abc" }),
		 CONDITION_HOLDS);
}

/* RFC 9110 13.2.2: If-Modified-Since counts only without If-None-Match */
TEST(if_none_match_outranks_if_modified_since)
{
	static const char later[] = "Sun, 06 Nov 1994 08:49:38 GMT";
	static const char same[] = "Sun, 06 Nov 1994 08:49:37 GMT";
	static const char earlier[] = "Sun, 06 Nov 1994 08:49:36 GMT";

	CHECK_EQ(get((struct http_conditions){ .if_modified_since = later }),
		 CONDITION_NOT_MODIFIED);
	CHECK_EQ(get((struct http_conditions){ .if_modified_since = same }),
		 CONDITION_NOT_MODIFIED);
	CHECK_EQ(get((struct http_conditions){ .if_modified_since = earlier }),
		 CONDITION_HOLDS);
	CHECK_EQ(get((struct http_conditions){ .if_modified_since = "soon" }),
		 CONDITION_HOLDS);
	CHECK_EQ(get((struct http_conditions){ .if_modified_since = later,
					       .if_none_match = "\"x\"" }),
		 CONDITION_HOLDS);
}

/* RFC 9110 13.1.1, 13.1.4 */
TEST(if_match_and_if_unmodified_since_guard_a_version)
{
	static const char same[] = "Sun, 06 Nov 1994 08:49:37 GMT";
	static const char earlier[] = "Sun, 06 Nov 1994 08:49:36 GMT";

	CHECK_EQ(get((struct http_conditions){ .if_match = "\"abc\"" }),
		 CONDITION_HOLDS);
	CHECK_EQ(get((struct http_conditions){ .if_match = "W/\"abc\"" }),
		 CONDITION_FAILED);
	CHECK_EQ(get((struct http_conditions){ .if_match = "\"x\"" }),
		 CONDITION_FAILED);
	CHECK_EQ(get((struct http_conditions){ .if_unmodified_since = same }),
		 CONDITION_HOLDS);
	CHECK_EQ(
		get((struct http_conditions){ .if_unmodified_since = earlier }),
		CONDITION_FAILED);
	CHECK_EQ(get((struct http_conditions){
			 .if_match = "*", .if_unmodified_since = earlier }),
		 CONDITION_HOLDS);
}

TEST(put_can_ask_to_create_only_or_to_replace_only)
{
	struct http_conditions create = { .if_none_match = "*" };
	struct http_conditions replace = { .if_match = "*" };

	CHECK_EQ(put(create, &absent), CONDITION_HOLDS);
	CHECK_EQ(put(create, &file), CONDITION_FAILED);
	CHECK_EQ(put(replace, &absent), CONDITION_FAILED);
	CHECK_EQ(put(replace, &file), CONDITION_HOLDS);
}

/* RFC 9110 13.1.5 */
TEST(if_range_wants_exactly_the_same_version)
{
	struct http_conditions c = { .if_range = "\"abc\"" };

	CHECK(http_range_applies(&c, &file, NOW));
	c.if_range = "W/\"abc\"";
	CHECK(!http_range_applies(&c, &file, NOW));
	c.if_range = "\"abd\"";
	CHECK(!http_range_applies(&c, &file, NOW));
	c.if_range = "Sun, 06 Nov 1994 08:49:37 GMT";
	CHECK(http_range_applies(&c, &file, NOW));
	c.if_range = "Sun, 06 Nov 1994 08:49:38 GMT";
	CHECK(!http_range_applies(&c, &file, NOW));
	c.if_range = NULL;
	CHECK(http_range_applies(&c, &file, NOW));
}

/* RFC 9110 8.8.2.2: within its second a date is a weak validator */
TEST(if_range_by_date_waits_until_the_second_is_over)
{
	struct http_conditions c = {
		.if_range = "Sun, 06 Nov 1994 08:49:37 GMT",
	};

	CHECK(!http_range_applies(&c, &file, 784111777));
	CHECK(http_range_applies(&c, &file, 784111778));
}

TEST(entity_tags_differ_when_anything_differs)
{
	char a[HTTP_ETAG_BYTES], b[HTTP_ETAG_BYTES];

	http_etag_format(a, UINT64_MAX, UINT64_MAX, INT64_MIN, 999999999);
	CHECK_EQ(a[strlen(a) - 1], '"');
	http_etag_format(a, 1, 23, 4, 5);
	http_etag_format(b, 12, 3, 4, 5);
	CHECK(strcmp(a, b) != 0);
	http_etag_format(b, 1, 23, 4, 6);
	CHECK(strcmp(a, b) != 0);
}
