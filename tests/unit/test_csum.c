/* SPDX-License-Identifier: BSD-2-Clause */
/* The Internet checksum against RFC 1071's own words, two bytes at a time. */
#include <stdlib.h>
#include <string.h>
#include <tow/addr.h>
#include "base/csum.h"
#include "base/random.h"
#include "test.h"

#define LARGE ((size_t)300000)

static uint8_t memory[LARGE + 64];

static void fill(uint8_t seed)
{
	uint8_t secret[32] = { seed };
	struct random random;

	random_init(&random, secret);
	for (size_t i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)random_u32(&random);
}

/* RFC 1071 4.1, in network order: the field as a number. */
static uint16_t naive_field(const uint8_t *p, size_t bytes)
{
	uint64_t sum = 0;

	for (size_t i = 0; i + 1 < bytes; i += 2)
		sum += (uint64_t)p[i] << 8 | p[i + 1];
	if (bytes & 1)
		sum += (uint64_t)p[bytes - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* What csum_finish() stores in memory, read as a number in network order. */
static uint16_t field_of(uint32_t sum)
{
	uint16_t field = csum_finish(sum);
	uint8_t b[2];

	memcpy(b, &field, 2);
	return (uint16_t)(b[0] << 8 | b[1]);
}

static void check_lengths_and_alignments(csum_run *run)
{
	for (unsigned shift = 0; shift < 32; shift++) {
		for (size_t bytes = 0; bytes <= 300; bytes++)
			CHECK_EQ(field_of(run(0, memory + shift, bytes)),
				 naive_field(memory + shift, bytes));
	}
	for (unsigned shift = 0; shift < 3; shift++) {
		for (size_t bytes = LARGE - 140; bytes <= LARGE; bytes += 7)
			CHECK_EQ(field_of(run(0, memory + shift, bytes)),
				 naive_field(memory + shift, bytes));
	}
}

TEST(every_length_and_alignment_agrees_with_the_naive_loop)
{
	fill(1);
	check_lengths_and_alignments(csum_bytes);
}

TEST(the_fastest_function_agrees_too)
{
	fill(2);
	check_lengths_and_alignments(csum_fastest());
}

static void check_all_ones(csum_run *run)
{
	memset(memory, 0xff, sizeof(memory));
	for (size_t bytes = 2; bytes <= LARGE; bytes = bytes * 3 / 2 + 1)
		CHECK_EQ(field_of(run(0xffffffff, memory, bytes)),
			 naive_field(memory, bytes));
}

TEST(carries_are_not_lost)
{
	check_all_ones(csum_bytes);
	check_all_ones(csum_fastest());
}

static void check_goes_on(csum_run *run)
{
	uint32_t before = 0x00030f01;

	for (size_t bytes = 0; bytes < 2000; bytes += 99)
		CHECK_EQ(csum_fold(run(before, memory, bytes)),
			 csum_add(before, run(0, memory, bytes)));
}

TEST(a_sum_goes_on_from_the_sum_before)
{
	fill(4);
	check_goes_on(csum_bytes);
	check_goes_on(csum_fastest());
}

TEST(all_zeros_sum_to_nothing)
{
	memset(memory, 0, sizeof(memory));
	CHECK_EQ(csum_fold(csum_bytes(0, memory, LARGE)), 0);
	CHECK_EQ(csum_fold(csum_fastest()(0, memory, LARGE)), 0);
}

/* RFC 1071 2 (B): a sum over pieces, some of which begin at an odd offset */
TEST(a_sum_over_pieces_is_the_sum_over_the_whole)
{
	static const size_t wholes[] = { 1, 2, 3, 17, 64, 257 };

	fill(3);
	for (unsigned w = 0; w < LENGTH(wholes); w++) {
		size_t whole = wholes[w];

		for (size_t cut = 0; cut <= whole; cut++) {
			uint32_t a = csum_bytes(0, memory, cut);
			uint32_t b = csum_bytes(0, memory + cut, whole - cut);
			uint32_t sum =
				cut & 1 ? csum_add_odd(a, b) : csum_add(a, b);

			CHECK_EQ(field_of(sum), naive_field(memory, whole));
		}
	}
}

/* RFC 1071 3, the numerical example */
TEST(the_example_of_rfc_1071_holds)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03,
					 0xf4, 0xf5, 0xf6, 0xf7 };

	CHECK_EQ(field_of(csum_bytes(0, bytes, 8)), 0xffff & ~0xddf2);
}

TEST(a_correct_packet_sums_to_zero)
{
	for (size_t bytes = 20; bytes < 60; bytes += 2) {
		fill((uint8_t)bytes);
		uint16_t field = 0;
		memcpy(memory + 10, &field, 2);
		field = csum_finish(csum_bytes(0, memory, bytes));
		memcpy(memory + 10, &field, 2);
		CHECK_EQ(csum_finish(csum_bytes(0, memory, bytes)), 0);
		memory[bytes - 1] ^= 0x10;
		CHECK_NE(csum_finish(csum_bytes(0, memory, bytes)), 0);
	}
}

/* RFC 9293 3.1: zero byte, protocol, TCP length behind the two addresses */
TEST(the_ipv4_pseudo_header_sums_as_laid_out)
{
	static const uint8_t header[] = { 192, 0,  2, 1, 198,  51,
					  100, 77, 0, 6, 0xab, 0xcd };
	struct tow_addr src = tow_addr_v4(192, 0, 2, 1);
	struct tow_addr dst = tow_addr_v4(198, 51, 100, 77);

	CHECK_EQ(csum_pseudo(&src, &dst, 6, 0xabcd),
		 csum_fold(csum_bytes(0, header, sizeof(header))));
}

/* RFC 8200 8.1: addresses, 32-bit length, three zero bytes, next header */
TEST(the_ipv6_pseudo_header_sums_as_laid_out)
{
	uint8_t header[40] = { 0 };
	struct tow_addr src, dst;

	fill(9);
	memcpy(header, memory, 32);
	src = tow_addr_v6(memory);
	dst = tow_addr_v6(memory + 16);
	header[33] = 0x01;
	header[34] = 0x23;
	header[35] = 0x45;
	header[39] = 58;
	CHECK_EQ(csum_pseudo(&src, &dst, 58, 0x12345),
		 csum_fold(csum_bytes(0, header, sizeof(header))));
}
