/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses, prefixes and endpoints as text. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <tow/addr.h>
#include <tow/error.h>
#include "base/base.h"
#include "base/random.h"
#include "test.h"

static const struct {
	const char *text, *canonical;
} good[] = {
	{ "0.0.0.0", "0.0.0.0" },
	{ "192.0.2.1", "192.0.2.1" },
	{ "255.255.255.255", "255.255.255.255" },
	{ "::", "::" },
	{ "::1", "::1" },
	{ "1::", "1::" },
	{ "2001:db8::1", "2001:db8::1" },
	{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
	/* RFC 5952 4.1: no leading zeros */
	{ "2001:0db8::0001", "2001:db8::1" },
	/* RFC 5952 4.2.1: as short as possible */
	{ "2001:db8:0:0:0:0:2:1", "2001:db8::2:1" },
	/* RFC 5952 4.2.2: not for one group of zeros */
	{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
	{ "2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
	/* RFC 5952 4.2.3: the longest run, the first of two equal ones */
	{ "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },
	{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
	{ "0:0:1:0:0:0:0:0", "0:0:1::" },
	{ "0:1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7" },
	{ "1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0" },
	{ "1:2:3:4:5:6:0:0", "1:2:3:4:5:6::" },
	{ "0:0:3:4:5:6:7:8", "::3:4:5:6:7:8" },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	/* RFC 4291 2.2, form 3; RFC 5952 5 for mapped addresses */
	{ "::ffff:192.0.2.1", "192.0.2.1" },
	{ "::FFFF:c000:201", "192.0.2.1" },
	{ "64:ff9b::192.0.2.33", "64:ff9b::c000:221" },
	{ "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304" },
	{ "::1.2.3.4", "::102:304" },
};

static const char *const bad[] = {
	"",
	" ",
	"1",
	"1.2.3",
	"1.2.3.4.5",
	"1.2.3.",
	".1.2.3",
	"1..2.3",
	"1.2.3.4.",
	"256.1.1.1",
	"1.2.3.999",
	"1.2.3.4294967297",
	"010.0.0.1",
	"00.0.0.0",
	"1.2.3.04",
	"0x7f.0.0.1",
	"127.1",
	" 1.2.3.4",
	"1.2.3.4 ",
	"1.2.3. 4",
	"+1.2.3.4",
	"-1.2.3.4",
	"1.2.3.4\n",
	"a.b.c.d",
	"1.2.3.4/24",
	"1.2.3.4:80",
	":",
	":::",
	"::1::",
	"1::2::3",
	"1:",
	":1",
	"1:2:3:4:5:6:7",
	"1:2:3:4:5:6:7:8:9",
	"1:2:3:4:5:6:7:8::",
	"::1:2:3:4:5:6:7:8",
	"1:2:3:4::5:6:7:8",
	"12345::",
	"00001::",
	"g::1",
	"1:2:3:4:5:6:7:1.2.3.4",
	"1:2:3:4:5:6:7:8:1.2.3.4",
	"::1.2.3",
	"::1.2.3.4:5",
	"1.2.3.4::",
	"::01.2.3.4",
	"::1 ",
	" ::1",
	"::-1",
	"fe80::1%1",
	"fe80::1%eth0",
	"[::1]",
	"::1/64",
	"1:::2",
	"::1:",
	"0:0:0:0:0:0:0:0:",
	":0:0:0:0:0:0:0:0",
};

TEST(addresses_are_read_and_written_canonically)
{
	char text[TOW_ADDR_TEXT_MAX];
	struct tow_addr addr;

	for (unsigned i = 0; i < LENGTH(good); i++) {
		CHECK_EQ(tow_addr_parse(&addr, good[i].text), 0);
		CHECK_STR(tow_addr_format(&addr, text, sizeof(text)),
			  good[i].canonical);
	}
}

TEST(bad_addresses_are_refused_and_change_nothing)
{
	struct tow_addr addr = tow_addr_v4(9, 9, 9, 9);
	const struct tow_addr before = addr;

	for (unsigned i = 0; i < LENGTH(bad); i++) {
		if (tow_addr_parse(&addr, bad[i]) != TOW_EINVAL) {
			printf("# accepted: \"%s\"\n", bad[i]);
			CHECK(!"refused");
		}
		CHECK(tow_addr_equal(&addr, &before));
	}
}

static struct random seeded(uint8_t seed)
{
	uint8_t secret[32] = { seed };
	struct random random;

	random_init(&random, secret);
	return random;
}

/* Half of the groups zero, so that all shapes of "::" come up. */
static struct tow_addr some_v6(struct random *random)
{
	uint8_t b[16] = { 0 };

	for (unsigned i = 0; i < 16; i += 2) {
		if (random_below(random, 2) == 0)
			continue;
		b[i] = (uint8_t)(random_u32(random) >> random_below(random, 9));
		b[i + 1] = (uint8_t)random_u32(random);
	}
	return tow_addr_v6(b);
}

TEST(what_is_written_reads_back_and_libc_agrees)
{
	struct random random = seeded(1);
	char text[TOW_ADDR_TEXT_MAX];
	struct tow_addr addr, again;
	uint8_t libc[16];

	for (unsigned i = 0; i < 20000; i++) {
		addr = some_v6(&random);
		tow_addr_format(&addr, text, sizeof(text));
		CHECK_EQ(tow_addr_parse(&again, text), 0);
		CHECK_MEM(again.b, addr.b, 16);
		if (tow_addr_is_v4(&addr))
			continue;
		CHECK_EQ(inet_pton(AF_INET6, text, libc), 1);
		CHECK_MEM(libc, addr.b, 16);
	}
}

/* Random texts of the right letters: whatever we take, libc reads the same. */
TEST(what_is_taken_means_the_same_to_libc)
{
	static const char letters[] = "::::....001122345678af";
	struct random random = seeded(2);
	struct tow_addr addr;
	uint8_t libc[16];
	char text[24];
	unsigned n, taken = 0;

	for (unsigned i = 0; i < 300000; i++) {
		n = random_below(&random, sizeof(text));
		for (unsigned c = 0; c < n; c++)
			text[c] = letters[random_below(&random,
						       sizeof(letters) - 1)];
		text[n] = '\0';
		bool v6 = inet_pton(AF_INET6, text, libc) == 1;
		bool v4 = !v6 && inet_pton(AF_INET, text, libc + 12) == 1;

		CHECK_EQ(tow_addr_parse(&addr, text) == 0, v4 || v6);
		if (v4)
			CHECK_MEM(addr.b + 12, libc + 12, 4);
		if (v6)
			CHECK_MEM(addr.b, libc, 16);
		taken += v4 || v6;
	}
	CHECK_GT(taken, 100);
}

TEST(families_are_told_apart)
{
	static const uint8_t loopback6[16] = { [15] = 1 };
	struct tow_addr any = tow_addr_any(), v4 = tow_addr_v4(0, 0, 0, 0);
	struct tow_addr one = tow_addr_v6(loopback6);

	CHECK(tow_addr_is_any(&any) && !tow_addr_is_v4(&any));
	CHECK(tow_addr_is_any(&v4) && tow_addr_is_v4(&v4));
	CHECK(!tow_addr_is_any(&one) && !tow_addr_is_v4(&one));
	CHECK(!tow_addr_equal(&any, &v4));
	CHECK(tow_addr_equal(&one, &one));
}

static void check_cidr(const char *text, int error, unsigned bits)
{
	struct tow_addr addr;
	unsigned prefix = 999;

	CHECK_EQ(tow_cidr_parse(&addr, &prefix, text), error);
	if (!error)
		CHECK_EQ(prefix, bits);
}

TEST(prefixes_are_read_within_their_family)
{
	check_cidr("192.0.2.1/24", 0, 24);
	check_cidr("0.0.0.0/0", 0, 0);
	check_cidr("192.0.2.1/32", 0, 32);
	check_cidr("192.0.2.1", 0, 32);
	check_cidr("2001:db8::1/64", 0, 64);
	check_cidr("::/0", 0, 0);
	check_cidr("2001:db8::1/128", 0, 128);
	check_cidr("2001:db8::1", 0, 128);
	check_cidr("192.0.2.1/33", TOW_EINVAL, 0);
	check_cidr("2001:db8::1/129", TOW_EINVAL, 0);
	check_cidr("192.0.2.1/", TOW_EINVAL, 0);
	check_cidr("192.0.2.1/024", TOW_EINVAL, 0);
	check_cidr("192.0.2.1/-1", TOW_EINVAL, 0);
	check_cidr("192.0.2.1/2 ", TOW_EINVAL, 0);
	check_cidr("192.0.2.1/24/24", TOW_EINVAL, 0);
	check_cidr("192.0.2.1/4294967296", TOW_EINVAL, 0);
	check_cidr("192.0.2.1/255.255.255.0", TOW_EINVAL, 0);
	check_cidr("/24", TOW_EINVAL, 0);
	check_cidr("", TOW_EINVAL, 0);
}

static const char *const endpoints[] = {
	"192.0.2.1:80",
	"0.0.0.0:0",
	"255.255.255.255:65535",
	"[::]:443",
	"[2001:db8::1]:80",
	"[fe80::1%1]:80",
	"[ff02::1%65535]:5353",
	"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
};

TEST(endpoints_read_back_as_written)
{
	char text[TOW_ENDPOINT_TEXT_MAX];
	struct tow_endpoint endpoint;

	for (unsigned i = 0; i < LENGTH(endpoints); i++) {
		CHECK_EQ(tow_endpoint_parse(&endpoint, endpoints[i]), 0);
		CHECK_STR(tow_endpoint_format(&endpoint, text, sizeof(text)),
			  endpoints[i]);
	}
	CHECK_EQ(tow_endpoint_parse(&endpoint, "[fe80::1%7]:8080"), 0);
	CHECK_EQ(endpoint.port, 8080);
	CHECK_EQ(endpoint.zone, 7);
	CHECK_EQ(tow_endpoint_parse(&endpoint, "[::ffff:1.2.3.4]:5"), 0);
	CHECK_STR(tow_endpoint_format(&endpoint, text, sizeof(text)),
		  "1.2.3.4:5");
}

TEST(bad_endpoints_are_refused)
{
	static const char *const wrong[] = {
		"",
		":",
		":80",
		"1.2.3.4",
		"1.2.3.4:",
		"1.2.3.4:65536",
		"1.2.3.4:080",
		"1.2.3.4: 80",
		"1.2.3.4:80 ",
		"1.2.3.4:-1",
		"1.2.3.4:99999999999999999999",
		"::1:80",
		"2001:db8::1",
		"[::1]",
		"[::1]80",
		"[::1]:",
		"[::1",
		"[",
		"[]",
		"[]:80",
		"[1.2.3.4]:80",
		"[::1%1]:80",
		"[2001:db8::1%1]:80",
		"[fe80::1%]:80",
		"[fe80::1%eth0]:80",
		"[fe80::1%65536]:80",
		"[fe80::1%01]:80",
		"[::ffff:1.2.3.4%1]:80",
		"[[::1]]:80",
		"[::1]]:80",
		"[::1]:80]",
	};
	struct tow_endpoint endpoint;

	for (unsigned i = 0; i < LENGTH(wrong); i++) {
		if (tow_endpoint_parse(&endpoint, wrong[i]) != TOW_EINVAL) {
			printf("# accepted: \"%s\"\n", wrong[i]);
			CHECK(!"refused");
		}
	}
}

TEST(the_longest_texts_fit_their_sizes)
{
	char text[TOW_ENDPOINT_TEXT_MAX + 1];
	struct tow_endpoint endpoint = { .port = 65535, .zone = 65535 };

	memset(endpoint.addr.b, 0xfe, sizeof(endpoint.addr.b));
	tow_endpoint_format(&endpoint, text, sizeof(text));
	CHECK_LE(strlen(text), TOW_ENDPOINT_TEXT_MAX - 1);
	tow_addr_format(&endpoint.addr, text, sizeof(text));
	CHECK_LE(strlen(text), TOW_ADDR_TEXT_MAX - 1);
}

TEST(text_that_does_not_fit_is_cut_and_terminated)
{
	struct tow_addr addr = tow_addr_v4(192, 0, 2, 1);
	char text[12];

	for (size_t size = 0; size < sizeof(text); size++) {
		memset(text, 'x', sizeof(text));
		CHECK(tow_addr_format(&addr, text, size) == text);
		CHECK_EQ(text[size], 'x');
		if (size == 0)
			continue;
		CHECK_EQ(strlen(text), MIN(size - 1, strlen("192.0.2.1")));
		CHECK(strncmp(text, "192.0.2.1", strlen(text)) == 0);
	}
}
