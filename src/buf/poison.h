/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef POISON_H
#define POISON_H

/*
 * Memory that is free inside of a pool is off limits: AddressSanitizer reports
 * whoever touches it, as it does with malloc(). Without it, nothing happens.
 */
#include "base/base.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_WORKS
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define POISON_WORKS
#endif

#ifdef POISON_WORKS
/* As in sanitizer/asan_interface.h, which not every compiler brings. */
void __asan_poison_memory_region(void const volatile *p, size_t bytes);
void __asan_unpoison_memory_region(void const volatile *p, size_t bytes);

static inline void memory_poison(const void *p, size_t bytes)
{
	__asan_poison_memory_region(p, bytes);
}

static inline void memory_unpoison(const void *p, size_t bytes)
{
	__asan_unpoison_memory_region(p, bytes);
}
#else
static inline void memory_poison(const void *p, size_t bytes)
{
	(void)p;
	(void)bytes;
}

static inline void memory_unpoison(const void *p, size_t bytes)
{
	(void)p;
	(void)bytes;
}
#endif

#endif
