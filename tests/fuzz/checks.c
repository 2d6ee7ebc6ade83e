/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The helpers of unit tests say what failed by these; in a fuzz target that is
 * the end, so that the input is kept.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "test.h"

void test_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

void test_compare(const char *file, int line, const char *what, long long a,
		  long long b)
{
	fprintf(stderr, "%s:%d: %lld, %lld\n", file, line, a, b);
	test_fail(file, line, what);
}

void test_mem(const char *file, int line, const char *what, const void *a,
	      const void *b, size_t bytes)
{
	if (memcmp(a, b, bytes) != 0)
		test_fail(file, line, what);
}
