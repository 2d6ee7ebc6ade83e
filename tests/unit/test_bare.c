/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A board's memory functions against libc's. They are compiled into this test
 * under other names, because here the real ones are taken.
 */
#include <stdlib.h>
#include <string.h>
#include "test.h"

#define memcpy	   bare_memcpy
#define memmove	   bare_memmove
#define memset	   bare_memset
#define memcmp	   bare_memcmp
#define plat_panic bare_panic
#include "plat/bare.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp

#define SIZE 96

static uint8_t ours[SIZE], theirs[SIZE];

static void fill(void)
{
	for (unsigned i = 0; i < SIZE; i++)
		ours[i] = theirs[i] = (uint8_t)(i * 5 + 3);
}

TEST(moving_agrees_with_libc_at_every_offset_and_overlap)
{
	for (unsigned to = 0; to < 40; to++) {
		for (unsigned from = 0; from < 40; from++) {
			for (unsigned n = 0; n <= 50; n++) {
				fill();
				CHECK(bare_memmove(ours + to, ours + from, n) ==
				      ours + to);
				memmove(theirs + to, theirs + from, n);
				CHECK_MEM(ours, theirs, SIZE);
			}
		}
	}
}

TEST(copying_agrees_with_libc_at_every_alignment)
{
	uint8_t source[SIZE];

	for (unsigned i = 0; i < SIZE; i++)
		source[i] = (uint8_t)(200 - i);
	for (unsigned to = 0; to < 16; to++) {
		for (unsigned from = 0; from < 16; from++) {
			for (unsigned n = 0; n <= 70; n++) {
				fill();
				CHECK(bare_memcpy(ours + to, source + from,
						  n) == ours + to);
				memcpy(theirs + to, source + from, n);
				CHECK_MEM(ours, theirs, SIZE);
			}
		}
	}
}

TEST(setting_agrees_with_libc_at_every_alignment)
{
	for (unsigned to = 0; to < 16; to++) {
		for (unsigned n = 0; n <= 70; n++) {
			fill();
			CHECK(bare_memset(ours + to, 0x1c7, n) == ours + to);
			memset(theirs + to, 0x1c7, n);
			CHECK_MEM(ours, theirs, SIZE);
		}
	}
}

TEST(comparing_orders_by_unsigned_bytes)
{
	CHECK_EQ(bare_memcmp("abc", "abd", 2), 0);
	CHECK_LT(bare_memcmp("abc", "abd", 3), 0);
	CHECK_GT(bare_memcmp("\xff", "\x01", 1), 0);
	CHECK_EQ(bare_memcmp("x", "y", 0), 0);
}

TEST(a_panic_does_not_go_on)
{
	CHECK_PANICS(bare_panic("file", 1, "what"));
}
