/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BASE_H
#define BASE_H

/*
 * What every file of the core may use: assertions, a few macros, and the four
 * memory functions that a freestanding compiler asks for anyway.
 *
 * ASSERT is for breaches of contract by the program or by ourselves, and stays
 * on in release. Bytes from the network and results of the system are checked,
 * never asserted.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tow/mark.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

/*
 * -ffreestanding makes a call of each of them, also of those that load one
 * word. This way the compiler knows them again.
 */
#if defined(__GNUC__) && !__STDC_HOSTED__
#define memcpy(to, from, bytes)	 __builtin_memcpy(to, from, bytes)
#define memmove(to, from, bytes) __builtin_memmove(to, from, bytes)
#define memset(to, byte, bytes)	 __builtin_memset(to, byte, bytes)
#define memcmp(a, b, bytes)	 __builtin_memcmp(a, b, bytes)
#endif

/* What the platform does when an assertion fails; never returns. src/plat. */
_Noreturn void plat_panic(const char *file, int line, const char *what);

#define ASSERT(condition) \
	((condition) ? (void)0 : plat_panic(__FILE__, __LINE__, #condition))

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define CONTAINER(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#if defined(__GNUC__)
#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define LIKELY(x)   (x)
#define UNLIKELY(x) (x)
#endif

#endif
