/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_SPAN_H
#define TOW_SPAN_H

#include <stddef.h>

/*
 * Span: a pointer and a length of bytes that stay where they are.
 *
 * Spans are how Towpath speaks of payload in either direction: an application
 * lends spans to be sent, and borrows spans that were received. A span owns
 * nothing; who owns the bytes, and until when, is said by the call that takes
 * or fills it.
 *
 * The layout is that of POSIX's struct iovec, so an array of spans goes to
 * writev(2), pwritev2(2) or an io_uring request with a cast and no conversion
 * (tow/host.h asserts it). The pointer is const because most spans are read
 * only; the few calls that write through a span say so.
 */
struct tow_span {
	const void *ptr;
	size_t len; /* bytes; may be 0, then ptr is not looked at */
};

/* The most spans that one call of lend, send or borrow takes. */
#define TOW_SPANS_MAX 64

#endif
