/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs the tests of one program and says how each went.
 *
 * A test runs in a child, so that one that crashes, hangs or leaks is told
 * apart from the next; a failed check says where and ends the child. The parent
 * waits and prints one line per test, which scripts/run-tests counts:
 *
 *	ok SENTENCE
 *	not ok SENTENCE
 *	skip SENTENCE reason
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "test.h"

#define EXIT_SKIPPED   77
#define TIMEOUT_S      120
#define DIFFERENCE_MAX 16 /* bytes shown around the first that differs */

static struct test *tests, **tests_end = &tests;
static pid_t panic_child;
static const char *running;

void test_add(struct test *test)
{
	*tests_end = test;
	tests_end = &test->next;
}

static _Noreturn void end_failed(void)
{
	fflush(NULL);
	_exit(EXIT_FAILURE);
}

void test_fail(const char *file, int line, const char *what)
{
	printf("# %s:%d: not so: %s\n", file, line, what);
	end_failed();
}

void test_compare(const char *file, int line, const char *what, long long a,
		  long long b)
{
	printf("# %s:%d: not so: %s\n", file, line, what);
	printf("#\tleft:  %lld (0x%llx)\n", a, (unsigned long long)a);
	printf("#\tright: %lld (0x%llx)\n", b, (unsigned long long)b);
	end_failed();
}

void test_str(const char *file, int line, const char *what, const char *a,
	      const char *b)
{
	if (a && b && !strcmp(a, b))
		return;
	printf("# %s:%d: not so: %s\n", file, line, what);
	printf("#\tleft:  %s\n", a ? a : "(null)");
	printf("#\tright: %s\n", b ? b : "(null)");
	end_failed();
}

static void print_bytes(const char *side, const uint8_t *bytes, size_t from,
			size_t to)
{
	printf("#\t%s [%zu..%zu):", side, from, to);
	for (size_t i = from; i < to; i++)
		printf(" %02x", bytes[i]);
	putchar('\n');
}

void test_mem(const char *file, int line, const char *what, const void *a,
	      const void *b, size_t bytes)
{
	const uint8_t *left = a, *right = b;
	size_t at = 0;

	while (at < bytes && left[at] == right[at])
		at++;
	if (at == bytes)
		return;
	size_t from = at < DIFFERENCE_MAX / 2 ? 0 : at - DIFFERENCE_MAX / 2;
	size_t to =
		bytes - from < DIFFERENCE_MAX ? bytes : from + DIFFERENCE_MAX;
	printf("# %s:%d: not so: %s\n", file, line, what);
	printf("#\tbyte %zu of %zu differs\n", at, bytes);
	print_bytes("left: ", left, from, to);
	print_bytes("right:", right, from, to);
	end_failed();
}

bool test_forks(void)
{
	fflush(NULL);
	panic_child = fork();
	if (panic_child < 0)
		test_fail(__FILE__, __LINE__, "fork()");
	if (panic_child == 0 && !freopen("/dev/null", "w", stderr))
		_exit(EXIT_FAILURE);
	return panic_child == 0;
}

void test_survived(void)
{
	_exit(EXIT_SUCCESS);
}

void test_died(const char *file, int line, const char *what)
{
	int status;

	if (waitpid(panic_child, &status, 0) != panic_child)
		test_fail(file, line, "waitpid()");
	if (WIFSIGNALED(status) &&
	    (WTERMSIG(status) == SIGABRT || WTERMSIG(status) == SIGILL ||
	     WTERMSIG(status) == SIGTRAP))
		return;
	printf("# %s:%d: did not panic: %s\n", file, line, what);
	end_failed();
}

void test_skip(const char *reason)
{
	printf("skip %s %s\n", running, reason);
	fflush(NULL);
	_exit(EXIT_SKIPPED);
}

static unsigned timeout_s(void)
{
	const char *text = getenv("TEST_TIMEOUT_S");

	return text && atoi(text) > 0 ? (unsigned)atoi(text) : TIMEOUT_S;
}

static bool report(const struct test *test, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
		return true;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS) {
		printf("ok %s\n", test->name);
		return true;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		printf("# took longer than %u s\n", timeout_s());
	else if (WIFSIGNALED(status))
		printf("# died of: %s\n", strsignal(WTERMSIG(status)));
	printf("not ok %s (%s:%d)\n", test->name, test->file, test->line);
	return false;
}

/* exit() rather than _exit(), so that the leak checker has its look. */
static _Noreturn void run_here(const struct test *test)
{
	running = test->name;
	test->run();
	exit(EXIT_SUCCESS);
}

static bool run_in_child(const struct test *test)
{
	int status;

	fflush(NULL);
	pid_t child = fork();
	if (child < 0) {
		perror("fork");
		return false;
	}
	if (child == 0) {
		alarm(timeout_s());
		run_here(test);
	}
	if (waitpid(child, &status, 0) != child) {
		perror("waitpid");
		return false;
	}
	return report(test, status);
}

static bool is_wanted(const struct test *test, char *const *words)
{
	if (!*words)
		return true;
	for (; *words; words++)
		if (**words == '=' ? !strcmp(test->name, *words + 1)
				   : !!strstr(test->name, *words))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	bool here = false, list = false, good = true;
	char **words = argv + (argc > 0);

	for (; *words && **words == '-'; words++) {
		here |= !strcmp(*words, "--here");
		list |= !strcmp(*words, "--list");
		if (strcmp(*words, "--here") && strcmp(*words, "--list")) {
			fprintf(stderr, "%s [--list] [--here] [WORD]...\n",
				argv[0]);
			return 2;
		}
	}
	for (const struct test *test = tests; test; test = test->next) {
		if (!is_wanted(test, words))
			continue;
		if (list)
			printf("%s\n", test->name);
		else if (here)
			run_here(test);
		else
			good &= run_in_child(test);
	}
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
