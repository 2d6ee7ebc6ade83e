/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the core needs of a board without an operating system or a libc: the
 * four memory functions that compilers call on their own, and a panic that
 * stops. A board that has something better (a ROM's memcpy, a line to print
 * on) links that instead: all symbols here are weak.
 *
 * Copies go by machine words when both ends are aligned alike, which headers
 * and chunks are; that is the only thing about speed that is the same on all
 * small processors.
 */
#include "base/base.h"

/* The names that base.h gives to the compiler are ours to define. */
#if !__STDC_HOSTED__
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#endif

#if defined(__GNUC__)
#define WEAK __attribute__((weak))
/* May lie over objects of any type, as the bytes of memcpy() may. */
typedef uintptr_t __attribute__((may_alias)) word;
#else
#define WEAK
typedef unsigned char word;
#endif

/* Else GCC recognises the loops below and makes them call themselves. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

#define WORD sizeof(word)

static bool aligned(const void *p)
{
	return (uintptr_t)p % WORD == 0;
}

static bool aligned_alike(const void *a, const void *b)
{
	return ((uintptr_t)a ^ (uintptr_t)b) % WORD == 0;
}

static void copy_up(uint8_t *to, const uint8_t *from, size_t bytes)
{
	if (aligned_alike(to, from)) {
		for (; bytes > 0 && !aligned(to); bytes--)
			*to++ = *from++;
		for (; bytes >= WORD; bytes -= WORD) {
			*(word *)(void *)to = *(const word *)(const void *)from;
			to += WORD;
			from += WORD;
		}
	}
	for (; bytes > 0; bytes--)
		*to++ = *from++;
}

/* From the end backwards; @to and @from point behind the last bytes. */
static void copy_down(uint8_t *to, const uint8_t *from, size_t bytes)
{
	if (aligned_alike(to, from)) {
		for (; bytes > 0 && !aligned(to); bytes--)
			*--to = *--from;
		for (; bytes >= WORD; bytes -= WORD) {
			to -= WORD;
			from -= WORD;
			*(word *)(void *)to = *(const word *)(const void *)from;
		}
	}
	for (; bytes > 0; bytes--)
		*--to = *--from;
}

WEAK void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	copy_up(to, from, bytes);
	return to;
}

WEAK void *memmove(void *to, const void *from, size_t bytes)
{
	/* Upwards is safe unless @to lies in what is still to be read. */
	if ((uintptr_t)to - (uintptr_t)from >= bytes)
		copy_up(to, from, bytes);
	else
		copy_down((uint8_t *)to + bytes, (const uint8_t *)from + bytes,
			  bytes);
	return to;
}

WEAK void *memset(void *to, int byte, size_t bytes)
{
	word pattern = (word)-1 / UINT8_MAX * (uint8_t)byte;
	uint8_t *p = to;

	for (; bytes > 0 && !aligned(p); bytes--)
		*p++ = (uint8_t)byte;
	for (; bytes >= WORD; bytes -= WORD, p += WORD)
		*(word *)(void *)p = pattern;
	for (; bytes > 0; bytes--)
		*p++ = (uint8_t)byte;
	return to;
}

WEAK int memcmp(const void *a, const void *b, size_t bytes)
{
	const uint8_t *p = a, *q = b;

	for (; bytes > 0; bytes--, p++, q++) {
		if (*p != *q)
			return *p - *q;
	}
	return 0;
}

/* A debugger sees the arguments; a watchdog sees that nobody feeds it. */
WEAK _Noreturn void plat_panic(const char *file, int line, const char *what)
{
	(void)file;
	(void)line;
	(void)what;
#if defined(__GNUC__)
	__builtin_trap();
#else
	for (;;)
		;
#endif
}
