/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_MARK_H
#define TOW_MARK_H

/*
 * Marks: the few compiler attributes that Towpath uses, behind words.
 *
 * TOW_API       the name is visible to users of the library; nothing else is
 * TOW_MUST_USE  the result says whether something is owned; dropping it leaks
 * TOW_PRINTF    arguments are checked against the format
 * TOW_FALLS     a case that goes on into the next one on purpose
 */
#if defined(__GNUC__)
#define TOW_API		 __attribute__((visibility("default")))
#define TOW_MUST_USE	 __attribute__((warn_unused_result))
#define TOW_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define TOW_FALLS	 __attribute__((fallthrough))
#else
#define TOW_API
#define TOW_MUST_USE
#define TOW_PRINTF(f, a)
#define TOW_FALLS ((void)0)
#endif

#ifdef __cplusplus
#define TOW_BEGIN extern "C" {
#define TOW_END	  }
#else
#define TOW_BEGIN
#define TOW_END
#endif

#endif
