/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_H
#define TEST_H

/*
 * Tests: each is a sentence, runs in a process of its own, and ends with its
 * first failed check.
 *
 *	// RFC 9293 3.10.7.4, first check: a RST out of the window is silent
 *	TEST(established_rst_out_of_window_is_silent)
 *	{
 *		CHECK_EQ(answer.bytes, 0);
 *	}
 *
 * A file of tests links with test_main.c to a program:
 *
 *	test_wheel [--list] [--here] [WORD]...
 *
 * runs the tests that have one of the words in their names, or with =WORD the
 * one of just that name. --here runs them in the program's own process, for a
 * debugger. A test that takes longer than
 * TEST_TIMEOUT_S (environment, 120 by default) is ended and has failed.
 *
 * Checks may stand in any function that a test calls, on the test's thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test {
	const char *name, *file;
	int line;
	void (*run)(void);
	struct test *next;
};

#define TEST(sentence)                                                        \
	static void sentence(void);                                           \
	static struct test sentence##_test = { #sentence, __FILE__, __LINE__, \
					       sentence, NULL };              \
	__attribute__((constructor)) static void sentence##_add(void)         \
	{                                                                     \
		test_add(&sentence##_test);                                   \
	}                                                                     \
	static void sentence(void)

#define CHECK(condition) \
	((condition) ? (void)0 : test_fail(__FILE__, __LINE__, #condition))

/* Numbers and pointers, of any type up to 64 bits. */
#define CHECK_EQ(a, b) TEST_COMPARE(a, ==, b)
#define CHECK_NE(a, b) TEST_COMPARE(a, !=, b)
#define CHECK_LT(a, b) TEST_COMPARE(a, <, b)
#define CHECK_LE(a, b) TEST_COMPARE(a, <=, b)
#define CHECK_GT(a, b) TEST_COMPARE(a, >, b)
#define CHECK_GE(a, b) TEST_COMPARE(a, >=, b)

#define CHECK_STR(a, b) test_str(__FILE__, __LINE__, #a " is " #b, a, b)
#define CHECK_MEM(a, b, bytes) \
	test_mem(__FILE__, __LINE__, #a " is " #b, a, b, bytes)

/* The statement breaks a contract: it must end in plat_panic(). */
#define CHECK_PANICS(statement)                            \
	do {                                               \
		if (test_forks()) {                        \
			statement;                         \
			test_survived();                   \
		}                                          \
		test_died(__FILE__, __LINE__, #statement); \
	} while (0)

/* The test cannot run here, and why. Continuous integration takes no excuse. */
#define SKIP(reason) test_skip(reason)

/* Wide enough for every integer of either sign, so nothing wraps. */
#define TEST_WIDE(x)                                                      \
	((__int128)__builtin_choose_expr(__builtin_classify_type(x) == 5, \
					 (uintptr_t)(x), (x)))

#define TEST_COMPARE(a, op, b)                                              \
	do {                                                                \
		__int128 test_a = TEST_WIDE(a), test_b = TEST_WIDE(b);      \
		if (!(test_a op test_b))                                    \
			test_compare(__FILE__, __LINE__, #a " " #op " " #b, \
				     (long long)test_a, (long long)test_b); \
	} while (0)

void test_add(struct test *test);
_Noreturn void test_fail(const char *file, int line, const char *what);
_Noreturn void test_compare(const char *file, int line, const char *what,
			    long long a, long long b);
void test_str(const char *file, int line, const char *what, const char *a,
	      const char *b);
void test_mem(const char *file, int line, const char *what, const void *a,
	      const void *b, size_t bytes);
bool test_forks(void);
_Noreturn void test_survived(void);
void test_died(const char *file, int line, const char *what);
_Noreturn void test_skip(const char *reason);

#endif
