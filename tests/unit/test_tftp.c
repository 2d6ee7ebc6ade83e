/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TFTP's packets and its text: RFC 1350, 2347, 2348, 2349, 7440.
 */
#include <string.h>
#include "test.h"
#include "tftp_ascii.h"
#include "tftp_packet.h"

static struct tftp_request request;

/* The rest of a packet, with NULs written as '|'. */
static bool parse(uint8_t opcode, const char *text)
{
	uint8_t packet[2000] = { 0, opcode };
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		packet[2 + i] = text[i] == '|' ? 0 : (uint8_t)text[i];
	return tftp_request_parse(packet, 2 + n, &request);
}

static void check_path(const char *name, const char *path)
{
	char out[TFTP_NAME_MAX];

	CHECK(tftp_path(name, out));
	CHECK_STR(out, path);
}

/* RFC 1350 5 */
TEST(requests_name_a_file_and_a_mode)
{
	CHECK(parse(1, "a/b|octet|"));
	CHECK_EQ(request.opcode, TFTP_RRQ);
	CHECK_STR(request.name, "a/b");
	CHECK(!request.netascii);
	CHECK_EQ(request.blksize, 0);
	CHECK(parse(2, "x|NetASCII|"));
	CHECK_EQ(request.opcode, TFTP_WRQ);
	CHECK(request.netascii);
}

TEST(malformed_requests_are_refused)
{
	CHECK(!parse(1, ""));
	CHECK(!parse(1, "a"));
	CHECK(!parse(1, "a|"));
	CHECK(!parse(1, "a|octet"));
	CHECK(!parse(1, "|octet|"));
	CHECK(!parse(1, "a|mail|"));
	CHECK(!parse(3, "a|octet|"));
	CHECK(!parse(0, "a|octet|"));
	CHECK_EQ(tftp_opcode("\0\1", 2), TFTP_RRQ);
	CHECK_EQ(tftp_opcode("\0", 1), 0);
}

TEST(names_have_a_longest)
{
	char text[TFTP_NAME_MAX + 16];

	memset(text, 'a', sizeof(text));
	strcpy(text + TFTP_NAME_MAX - 1, "|octet|");
	CHECK(parse(1, text));
	CHECK_EQ(strlen(request.name), TFTP_NAME_MAX - 1);
	memset(text, 'a', sizeof(text));
	strcpy(text + TFTP_NAME_MAX, "|octet|");
	CHECK(!parse(1, text));
}

/* RFC 2347, 2348, 2349, 7440 */
TEST(options_are_read_once_and_in_their_ranges)
{
	CHECK(parse(1, "a|octet|BLKSIZE|1428|tsize|0|timeout|3|windowsize|16|"
		       "blksize|512|unknown|1|"));
	CHECK_EQ(request.blksize, 1428);
	CHECK_EQ(request.timeout_s, 3);
	CHECK_EQ(request.windowsize, 16);
	CHECK(request.has_tsize);
	CHECK_EQ(request.tsize, 0);
	CHECK(parse(2, "a|octet|tsize|1234567890123|"));
	CHECK_EQ(request.tsize, 1234567890123);
	CHECK(parse(1, "a|octet|blksize|7|timeout|0|windowsize|0|tsize|x|"));
	CHECK_EQ(request.blksize + request.timeout_s + request.windowsize, 0);
	CHECK(!request.has_tsize);
	CHECK(parse(1, "a|octet|blksize|65465|timeout|256|windowsize|65536|"));
	CHECK_EQ(request.blksize + request.timeout_s + request.windowsize, 0);
	CHECK(parse(1, "a|octet|blksize|99999999999999999999|windowsize"));
	CHECK_EQ(request.blksize, 0);
}

TEST(options_that_were_agreed_are_told)
{
	uint8_t out[TFTP_OACK_MAX];

	memset(&request, 0, sizeof(request));
	CHECK_EQ(tftp_oack(out, &request), 0);
	request.blksize = 1428;
	request.has_tsize = true;
	CHECK_EQ(tftp_oack(out, &request), 2 + 13 + 8);
	CHECK_MEM(out, "\0\6blksize\0001428\0tsize\0000", 23);
	request.blksize = TFTP_BLKSIZE_MAX;
	request.timeout_s = TFTP_TIMEOUT_S_MAX;
	request.windowsize = UINT16_MAX;
	request.tsize = UINT64_MAX;
	CHECK_LE(tftp_oack(out, &request), sizeof(out));
}

TEST(errors_are_cut_off_to_fit)
{
	uint8_t out[16];

	CHECK_EQ(tftp_error(out, sizeof(out), TFTP_NOT_FOUND, "no"), 7);
	CHECK_MEM(out, "\0\5\0\1no\0", 7);
	CHECK_EQ(tftp_error(out, sizeof(out), TFTP_ACCESS, "a long sentence"),
		 16);
	CHECK_MEM(out, "\0\5\0\2a long sent\0", 16);
}

TEST(paths_stay_below_the_root)
{
	char out[TFTP_NAME_MAX];

	check_path("a", "a");
	check_path("/a//b/./c", "a/b/c");
	check_path("a/../b", "b");
	check_path("a/b/../../c/", "c");
	check_path("..a/b..", "..a/b..");
	check_path("a\\..\\b", "a\\..\\b");
	CHECK(!tftp_path("..", out));
	CHECK(!tftp_path("a/../../b", out));
	CHECK(!tftp_path("/", out));
	CHECK(!tftp_path("./.", out));
	CHECK(!tftp_path("a/..", out));
}

/* RFC 764: CR LF is a new line, CR NUL is a CR */
TEST(text_is_the_same_after_both_ways_in_blocks_of_any_size)
{
	static const uint8_t text[] = "a\nb\rc\r\nd\n\n\r\r\n";
	size_t bytes = sizeof(text) - 1;
	uint8_t sent[64], back[64];

	for (size_t room = 1; room < 32; room++) {
		struct ascii_encoder encoder = { 0 };
		struct ascii_decoder decoder = { 0 };
		size_t n, got = 0, all = 0;

		do {
			n = ascii_encode(&encoder, text, bytes, sent, room);
			all += n;
			got += ascii_decode(&decoder, sent, n, back + got);
		} while (n == room);
		CHECK_EQ(all, bytes + 9);
		CHECK_EQ(got, bytes);
		CHECK_MEM(back, text, bytes);
	}
}

TEST(stray_carriage_returns_mean_nothing)
{
	struct ascii_decoder decoder = { 0 };
	uint8_t text[] = "a\rb\r\r\nc";

	CHECK_EQ(ascii_decode(&decoder, text, 7, text), 4);
	CHECK_MEM(text, "ab\nc", 4);
}
