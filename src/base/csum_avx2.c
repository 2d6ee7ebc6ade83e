/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Internet checksum 128 bytes at a time, where the processor has AVX2.
 *
 * The same sum as csum.c: the two halves of each 64-bit lane are added into
 * accumulators with room for carries. The compiler's vector types are enough
 * for that and need no header, so the file also builds freestanding.
 *
 * Whether the processor has AVX2 is asked once per pool, not once per call: in
 * a virtual machine CPUID leaves the guest and costs more than a checksum.
 * Where other processors have something better than csum_bytes(), it belongs
 * in a file like this one.
 */
#include "base/csum.h"

#if defined(__x86_64__) && defined(__SSE2__) && defined(__GNUC__)
#include <cpuid.h>

typedef uint64_t lanes __attribute__((vector_size(32)));

/* As they lie in memory: anywhere, over whatever was written there. */
typedef lanes __attribute__((aligned(1), may_alias)) lanes_anywhere;

#define BLOCK	    (4 * sizeof(lanes))
#define XCR0_VECTOR 6 /* the system saves XMM and YMM registers */

__attribute__((target("avx2"))) static uint32_t
csum_avx2(uint32_t sum, const void *data, size_t bytes)
{
	const lanes low = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX };
	const uint8_t *p = data;
	const lanes_anywhere *w;
	lanes a = { 0 }, b = { 0 };

	for (; bytes >= BLOCK; bytes -= BLOCK, p += BLOCK) {
		w = (const void *)p;
		a += (w[0] & low) + (w[0] >> 32);
		b += (w[1] & low) + (w[1] >> 32);
		a += (w[2] & low) + (w[2] >> 32);
		b += (w[3] & low) + (w[3] >> 32);
	}
	a += b;
	sum = csum_fold64(sum + a[0] + a[1] + a[2] + a[3]);
	return csum_bytes(sum, p, bytes);
}

__attribute__((target("xsave"))) static bool system_saves_vectors(void)
{
	return (__builtin_ia32_xgetbv(0) & XCR0_VECTOR) == XCR0_VECTOR;
}

/* Intel SDM volume 1, 14.7.1: detection of AVX2. */
static bool have_avx2(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d))
		return false;
	if (!(c & bit_OSXSAVE) || !(c & bit_AVX) || !system_saves_vectors())
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

csum_run *csum_fastest(void)
{
	return have_avx2() ? csum_avx2 : csum_bytes;
}

#else

csum_run *csum_fastest(void)
{
	return csum_bytes;
}

#endif
