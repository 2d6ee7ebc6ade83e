/* SPDX-License-Identifier: BSD-2-Clause */
/* Device specs: what a text means, and what is said about a wrong one. */
#include <stdio.h>
#include <string.h>
#include <tow/error.h>
#include "dev/spec.h"
#include "box_dev.h"
#include "test.h"

struct values {
	char text[8];
	uint64_t number, time_us;
	uint32_t ratio, word;
	bool flag;
	uint8_t mac[6];
};

static const char *const words[] = { "red", "green", NULL };

#define AT(member) offsetof(struct values, member)
static const struct spec_key keys[] = {
	{ "text", SPEC_TEXT, AT(text), 0, sizeof(((struct values *)0)->text),
	  NULL },
	{ "number", SPEC_NUMBER, AT(number), 10, 20, NULL },
	{ "time", SPEC_TIME, AT(time_us), 0, 5000000, NULL },
	{ "ratio", SPEC_RATIO, AT(ratio), 0, 0, NULL },
	{ "word", SPEC_WORD, AT(word), 0, 0, words },
	{ "flag", SPEC_SWITCH, AT(flag), 0, 0, NULL },
	{ "mac", SPEC_MAC, AT(mac), 0, 0, NULL },
};
#undef AT

static struct values values;
static char error[512];
static struct spec spec;

static int read_spec(const char *text, enum spec_extent extent)
{
	memset(&values, 0, sizeof(values));
	memset(error, 0, sizeof(error));
	spec = (struct spec){ .text = text,
			      .at = text,
			      .error = error,
			      .error_bytes = sizeof(error) };
	CHECK(spec_take_name(&spec, "thing"));
	return spec_read(&spec, "thing", keys, LENGTH(keys), extent, &values);
}

/* The text is refused, and the message has all of the words. */
static void check_refused(const char *text, const char *word,
			  const char *other_word)
{
	if (read_spec(text, SPEC_TO_END) != TOW_EINVAL ||
	    !strstr(error, word) || !strstr(error, other_word))
		printf("# \"%s\" gives: %s\n", text, error);
	CHECK(strstr(error, word) && strstr(error, other_word));
}

TEST(each_kind_of_value_is_read)
{
	static const uint8_t mac[6] = { 2, 0, 0x5e, 0x10, 0, 0xff };

	CHECK_EQ(read_spec("thing:text=ab,number=12,time=1.5ms,ratio=0.25%,"
			   "word=green,flag=on,mac=02:00:5e:10:00:Ff",
			   SPEC_TO_END),
		 0);
	CHECK_STR(values.text, "ab");
	CHECK_EQ(values.number, 12);
	CHECK_EQ(values.time_us, 1500);
	CHECK_EQ(values.ratio, 2500);
	CHECK_EQ(values.word, 1);
	CHECK(values.flag);
	CHECK_MEM(values.mac, mac, 6);
}

TEST(a_name_alone_and_an_empty_rest_leave_the_defaults)
{
	CHECK_EQ(read_spec("thing", SPEC_TO_END), 0);
	CHECK_EQ(read_spec("thing", SPEC_TO_COLON), 0);
	CHECK_EQ(values.number, 0);
}

TEST(times_have_units_and_keep_their_places)
{
	static const struct {
		const char *text;
		uint64_t us;
	} times[] = {
		{ "thing:time=0", 0 },	      { "thing:time=7us", 7 },
		{ "thing:time=2ms", 2000 },   { "thing:time=2.25ms", 2250 },
		{ "thing:time=5s", 5000000 }, { "thing:time=0.000001s", 1 },
	};

	for (size_t i = 0; i < LENGTH(times); i++) {
		CHECK_EQ(read_spec(times[i].text, SPEC_TO_END), 0);
		CHECK_EQ(values.time_us, times[i].us);
	}
	check_refused("thing:time=5", "unit", "\"5\"");
	check_refused("thing:time=0.5us", "unit", "0.5us");
	check_refused("thing:time=6s", "from 0 to 5000000", "6s");
	check_refused("thing:time=ms", "unit", "ms");
	check_refused("thing:time=99999999999999999999s", "time", "column 12");
}

TEST(ratios_are_per_cent_with_or_without_the_sign)
{
	CHECK_EQ(read_spec("thing:ratio=3", SPEC_TO_END), 0);
	CHECK_EQ(values.ratio, 30000);
	CHECK_EQ(read_spec("thing:ratio=100%", SPEC_TO_END), 0);
	CHECK_EQ(values.ratio, SPEC_RATIO_ONE);
	CHECK_EQ(read_spec("thing:ratio=0.0001%", SPEC_TO_END), 0);
	CHECK_EQ(values.ratio, 1);
	check_refused("thing:ratio=100.1%", "100%", "ratio");
	check_refused("thing:ratio=0.00001%", "four places", "ratio");
	check_refused("thing:ratio=-1%", "per cent", "-1%");
	check_refused("thing:ratio=1.%", "per cent", "1.%");
}

TEST(a_wrappers_options_end_at_the_colon)
{
	CHECK_EQ(read_spec("thing:text=a,number=10:tap:name=x", SPEC_TO_COLON),
		 0);
	CHECK_STR(spec.at, "tap:name=x");
}

TEST(a_wrapper_without_options_is_followed_by_its_device)
{
	CHECK_EQ(read_spec("thing:tap:name=x", SPEC_TO_COLON), 0);
	CHECK_STR(spec.at, "tap:name=x");
}

TEST(a_backslash_keeps_colons_and_commas_in_a_value)
{
	CHECK_EQ(read_spec("thing:text=a\\:b\\,\\\\:rest", SPEC_TO_COLON), 0);
	CHECK_STR(values.text, "a:b,\\");
	CHECK_STR(spec.at, "rest");
}

TEST(a_wrong_key_is_answered_with_the_nearest_right_one)
{
	check_refused("thing:numbre=12", "did you mean \"number\"", "column 7");
	check_refused("thing:text=a,num=12", "did you mean \"number\"",
		      "column 14");
	check_refused("thing:zzzzzz=1", "it has text, number", "zzzzzz");
}

TEST(wrong_values_are_named_with_what_was_expected)
{
	check_refused("thing:number=21", "from 10 to 20", "21");
	check_refused("thing:number=x", "a number", "\"x\"");
	check_refused("thing:number=12x", "a number", "12x");
	check_refused("thing:text=", "not empty", "text");
	check_refused("thing:text=12345678", "shorter", "text");
	check_refused("thing:word=blue", "red, green", "blue");
	check_refused("thing:flag=yes", "on or off", "yes");
	check_refused("thing:mac=03:00:00:00:00:01", "individual", "03:");
	check_refused("thing:mac=00:00:00:00:00:00", "individual", "00:");
	check_refused("thing:mac=02-00-00-00-00-01", "MAC", "02-");
	check_refused("thing:number", "needs a value", "number=");
	check_refused("thing:number=12,", "missing", "column 17");
	check_refused("thing:", "missing", "column 7");
}

static void check_open_fails(const char *text, const char *words_there)
{
	struct tow_dev *dev;

	CHECK(tow_dev_open(&dev, text, error, sizeof(error)) < 0);
	if (!strstr(error, words_there))
		printf("# \"%s\" gives: %s\n", text, error);
	CHECK(strstr(error, words_there) != NULL);
}

TEST(unknown_and_missing_devices_are_explained)
{
	check_open_fails("", "missing");
	check_open_fails("tpa", "did you mean \"tap\"");
	check_open_fails("quux:x=1",
			 "there are tap, shm, pcap, vlan and fault");
	check_open_fails("fault:loss=1%", "missing");
	check_open_fails("fault:loss=1%:", "missing");
	check_open_fails("fault:loss=1%:fualt:tap", "did you mean \"fault\"");
	check_open_fails("pcap:tap", "needs the file");
	check_open_fails("tap:nmae=x", "did you mean \"name\"");
	check_open_fails("tap:mtu=100", "from 576 to 65521");
	check_open_fails("fault:tap:mtu=1", "column 15");
}

TEST(a_message_never_overruns_its_buffer)
{
	struct tow_dev *dev;
	char small[8];

	memset(small, 'x', sizeof(small));
	CHECK(tow_dev_open(&dev, "tpa:…", small, 4) < 0);
	CHECK_EQ(small[3], 0);
	CHECK_EQ(small[4], 'x');
	CHECK(tow_dev_open(&dev, "tpa", NULL, 0) < 0);
}

TEST(wrappers_nested_without_end_are_refused)
{
	char text[6 * 100 + 8] = "";

	for (int i = 0; i < 100; i++)
		strcat(text, "fault:");
	strcat(text, "tap");
	check_open_fails(text, "too many");
}

TEST(a_device_that_could_not_be_wrapped_is_closed)
{
	struct box box;
	struct tow_dev *dev;

	box_open(&box, 4, 4, 2048);
	CHECK(tow_dev_wrap(&dev, &box.dev, "fault:lss=1", error,
			   sizeof(error)) < 0);
	CHECK(box.closed);

	box.closed = false;
	box.keeps_large = true;
	CHECK_EQ(tow_dev_wrap(&dev, &box.dev, "fault:loss=1", error,
			      sizeof(error)),
		 TOW_EOPNOTSUPP);
	CHECK(strstr(error, "box") != NULL);
	CHECK(box.closed);

	box.closed = false;
	CHECK(tow_dev_wrap(&dev, &box.dev, "pcap:file=/nowhere/x", error,
			   sizeof(error)) < 0);
	CHECK(strstr(error, "/nowhere/x") != NULL);
	CHECK(box.closed);
	box_free(&box);
}
