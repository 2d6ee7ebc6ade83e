/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "ftp_command.h"
#include "test.h"

static struct ftp_reader reader;
static struct ftp_command command;

static size_t feed(const char *bytes, size_t count)
{
	return ftp_reader_feed(&reader, (const uint8_t *)bytes, count);
}

/* All of it is one line. */
static int parse(const char *bytes, size_t count)
{
	memset(&reader, 0, sizeof(reader));
	CHECK_EQ(feed(bytes, count), count);
	CHECK(reader.ready);
	return ftp_command_parse(&reader, &command);
}

#define PARSE(text) parse(text, sizeof(text) - 1)

static void check_command(int code, enum ftp_verb verb, const char *argument)
{
	CHECK_EQ(code, 0);
	CHECK_EQ(command.verb, verb);
	CHECK_STR(command.argument, argument);
}

/* RFC 959 5.3 */
TEST(a_verb_is_understood_in_any_case)
{
	check_command(PARSE("RETR a\r\n"), FTP_RETR, "a");
	check_command(PARSE("retr a\r\n"), FTP_RETR, "a");
	check_command(PARSE("rEtR a\r\n"), FTP_RETR, "a");
	check_command(PARSE("NOOP\r\n"), FTP_NOOP, "");
}

/* RFC 1123 4.1.3.1 */
TEST(the_old_names_are_understood)
{
	check_command(PARSE("XMKD a\r\n"), FTP_MKD, "a");
	check_command(PARSE("XRMD a\r\n"), FTP_RMD, "a");
	check_command(PARSE("XPWD\r\n"), FTP_PWD, "");
	check_command(PARSE("XCWD a\r\n"), FTP_CWD, "a");
	check_command(PARSE("xcup\r\n"), FTP_CDUP, "");
}

TEST(spaces_belong_to_a_name)
{
	check_command(PARSE("RETR  a b \r\n"), FTP_RETR, " a b ");
	check_command(PARSE("CWD -a\r\n"), FTP_CWD, "-a");
}

TEST(a_line_feed_alone_ends_a_line)
{
	check_command(PARSE("RETR a\n"), FTP_RETR, "a");
}

/* RFC 854: CR NUL is the CR of a name; RFC 2640 3.1 */
TEST(a_carriage_return_may_be_part_of_a_name)
{
	check_command(PARSE("RETR a\r\0b\r\n"), FTP_RETR, "a\rb");
	check_command(PARSE("RETR a\rb\r\n"), FTP_RETR, "a\rb");
	check_command(PARSE("RETR a\r\r\n"), FTP_RETR, "a\r");
}

TEST(a_nul_is_in_no_command)
{
	CHECK_EQ(PARSE("RETR a\0b\r\n"), 501);
	CHECK_EQ(PARSE("\0RETR a\r\n"), 501);
}

TEST(what_is_no_command_is_500_and_what_is_not_here_502)
{
	CHECK_EQ(PARSE("\r\n"), 500);
	CHECK_EQ(PARSE("GET / HTTP/1.1\r\n"), 500);
	CHECK_EQ(PARSE("RETRY a\r\n"), 500);
	CHECK_EQ(PARSE(" RETR a\r\n"), 500);
	CHECK_EQ(PARSE("PORT 192,0,2,1,0,25\r\n"), 502);
	CHECK_EQ(PARSE("EPRT |1|192.0.2.1|25|\r\n"), 502);
	CHECK_EQ(PARSE("SITE CHMOD 777 a\r\n"), 502);
	CHECK_EQ(PARSE("AUTH TLS\r\n"), 502);
}

TEST(a_missing_argument_is_501)
{
	CHECK_EQ(PARSE("RETR\r\n"), 501);
	CHECK_EQ(PARSE("RETR \r\n"), 501);
	CHECK_EQ(PARSE("USER\r\n"), 501);
}

TEST(a_line_that_is_too_long_is_500_and_the_next_is_good)
{
	char line[FTP_LINE_MAX + 100];

	memset(line, 'a', sizeof(line));
	memcpy(line, "RETR ", 5);
	line[FTP_LINE_MAX] = '\n';
	check_command(parse(line, FTP_LINE_MAX + 1), FTP_RETR, reader.line + 5);
	line[FTP_LINE_MAX] = 'a';
	line[sizeof(line) - 1] = '\n';
	CHECK_EQ(parse(line, sizeof(line)), 500);
	CHECK(reader.too_long);
	ftp_reader_next(&reader);
	CHECK_EQ(feed("NOOP\r\n", 6), 6u);
	check_command(ftp_command_parse(&reader, &command), FTP_NOOP, "");
}

TEST(a_pipeline_is_read_line_by_line)
{
	static const char two[] = "TYPE I\r\nRETR a\r\n";

	memset(&reader, 0, sizeof(reader));
	CHECK_EQ(feed(two, 16), 8u);
	check_command(ftp_command_parse(&reader, &command), FTP_TYPE, "I");
	ftp_reader_next(&reader);
	CHECK_EQ(feed(two + 8, 8), 8u);
	check_command(ftp_command_parse(&reader, &command), FTP_RETR, "a");
}

/* RFC 959 4.1.3: IP, Synch, ABOR; what was begun is called off */
TEST(an_abort_with_its_telnet_signals_is_an_abort)
{
	check_command(PARSE("\xff\xf4\xff\xf2"
			    "ABOR\r\n"),
		      FTP_ABOR, "");
	check_command(PARSE("RETR half\xff\xf4\xff\xf2"
			    "ABOR\r\n"),
		      FTP_ABOR, "");
	CHECK(command.flags & FTP_AT_ONCE);
}

/* RFC 1123 4.1.2.12: options are refused, and that there are none is no news */
TEST(telnet_options_are_refused)
{
	check_command(PARSE("NO\xff\xfb\x18\xff\xfd\x01OP\r\n"), FTP_NOOP, "");
	CHECK_EQ(reader.answer_bytes, 6u);
	CHECK_MEM(reader.answer, "\xff\xfe\x18\xff\xfc\x01", 6);
	check_command(PARSE("\xff\xfc\x18\xff\xfe\x01NOOP\r\n"), FTP_NOOP, "");
	CHECK_EQ(reader.answer_bytes, 0u);
}

TEST(a_flood_of_telnet_options_is_answered_only_so_often)
{
	int i;

	memset(&reader, 0, sizeof(reader));
	for (i = 0; i < 100; i++)
		CHECK_EQ(feed("\xff\xfb\x18", 3), 3u);
	CHECK_EQ(reader.answer_bytes, (size_t)FTP_ANSWER_MAX);
}

TEST(telnet_subnegotiation_is_left_out)
{
	check_command(PARSE("NO\xff\xfa\x18 RETR\r\n\xff\xff\xff\xf0OP\r\n"),
		      FTP_NOOP, "");
}

/* RFC 854 */
TEST(the_byte_255_comes_twice)
{
	check_command(PARSE("RETR a\xff\xff"
			    "b\r\n"),
		      FTP_RETR,
		      "a\xff"
		      "b");
}

/* RFC 3659 5.1 */
TEST(numbers_are_decimal_and_bounded)
{
	uint64_t n;

	CHECK(ftp_number("0", &n) && n == 0);
	CHECK(ftp_number("9223372036854775807", &n) && n == INT64_MAX);
	CHECK(!ftp_number("9223372036854775808", &n));
	CHECK(!ftp_number("99999999999999999999", &n));
	CHECK(!ftp_number("", &n));
	CHECK(!ftp_number("-1", &n));
	CHECK(!ftp_number("+1", &n));
	CHECK(!ftp_number("1 ", &n));
	CHECK(!ftp_number("0x1", &n));
}

/* RFC 959 4.1.2 */
TEST(types_are_ascii_and_image)
{
	CHECK_EQ(ftp_type("A"), 'A');
	CHECK_EQ(ftp_type("a n"), 'A');
	CHECK_EQ(ftp_type("I"), 'I');
	CHECK_EQ(ftp_type("L 8"), 'I');
	CHECK_EQ(ftp_type("E"), 0);
	CHECK_EQ(ftp_type("A T"), 0);
	CHECK_EQ(ftp_type("L 7"), 0);
}

/* RFC 2428 3 */
TEST(epsv_asks_for_a_protocol)
{
	CHECK_EQ(ftp_epsv(""), FTP_EPSV_ANY);
	CHECK_EQ(ftp_epsv("1"), FTP_EPSV_4);
	CHECK_EQ(ftp_epsv("2"), FTP_EPSV_6);
	CHECK_EQ(ftp_epsv("all"), FTP_EPSV_ALL);
	CHECK_EQ(ftp_epsv("3"), FTP_EPSV_BAD);
}
