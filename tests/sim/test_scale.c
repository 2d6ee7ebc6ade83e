/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Idle connections cost next to nothing: neither time per segment of the one
 * that is in use, nor more memory than was said.
 */
#include "crowd.h"
#include "test.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#define FEW	 10
#define MEGABYTE (1u << 20)
#ifdef SANITIZED
#define MANY  5000
#define BYTES (1 * MEGABYTE)
#else
#define MANY  100000
#define BYTES (8 * MEGABYTE)
#endif

/*
 * What only some connections need (posts, a ledger of their own) are records
 * from pools, and the rest is packed: see struct tow_tcp.
 */
TEST(idle_connection_takes_at_most_1_kib)
{
	CHECK(crowd_bytes_per_connection(100000) <= 1024);
	CHECK(crowd_bytes_per_connection(1000) <= 1024);
}

/*
 * Both crowds are there at the same time and are measured in turns, so that a
 * machine that is busy with something else is so for both.
 */
TEST(cost_of_a_segment_does_not_grow_with_idle_connections)
{
	static struct crowd few, many;
	double few_ns, many_ns;

	CHECK(crowd_open(&few, FEW));
	CHECK(crowd_open(&many, MANY));
	CHECK_EQ(many.accepted, MANY);
	few_ns = crowd_measure(&few, 3, BYTES);
	many_ns = crowd_measure(&many, 3, BYTES);
	for (int i = 0; i < 10 && many_ns > 1.5 * few_ns; i++) {
		double few_again = crowd_measure(&few, 2, BYTES);
		double many_again = crowd_measure(&many, 2, BYTES);

		few_ns = few_again < few_ns ? few_again : few_ns;
		many_ns = many_again < many_ns ? many_again : many_ns;
	}
	CHECK(few_ns > 0 && many_ns > 0);
	printf("# %d connections: %.0f ns a segment, %d: %.0f\n", FEW, few_ns,
	       MANY, many_ns);
	CHECK(many_ns <= 1.5 * few_ns);
	crowd_close(&few);
	crowd_close(&many);
}
