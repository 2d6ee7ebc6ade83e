/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_ERROR_H
#define TOW_ERROR_H

#include <tow/mark.h>

/*
 * Errors: calls that can fail return a negative TOW_E*. Each equals the
 * negative errno of the same name on Linux, so that a program that speaks
 * errno to its own callers needs no table; the core itself has no errno.h.
 *
 * One list makes the constants, the texts of tow_strerror() and the table in
 * the manual page tow_error(3).
 */
#define TOW_ERRORS(X)                                                  \
	X(EPERM, 1, "operation not permitted")                         \
	X(ENOENT, 2, "no such file or address")                        \
	X(EIO, 5, "input/output error")                                \
	X(EAGAIN, 11, "nothing to do now, try again after an event")   \
	X(ENOMEM, 12, "the memory given at open is used up")           \
	X(EACCES, 13, "permission denied")                             \
	X(EBUSY, 16, "busy")                                           \
	X(EEXIST, 17, "exists already")                                \
	X(ENODEV, 19, "no such device")                                \
	X(EINVAL, 22, "invalid argument")                              \
	X(EPIPE, 32, "the sending side was shut down")                 \
	X(EMSGSIZE, 90, "message too long")                            \
	X(EOPNOTSUPP, 95, "not supported")                             \
	X(EAFNOSUPPORT, 97, "address family not supported")            \
	X(EADDRINUSE, 98, "address already in use")                    \
	X(EADDRNOTAVAIL, 99, "not an address of this stack")           \
	X(ENETDOWN, 100, "the device is gone")                         \
	X(ENETUNREACH, 101, "no route to that network")                \
	X(ECONNABORTED, 103, "the connection was closed by this side") \
	X(ECONNRESET, 104, "the peer reset the connection")            \
	X(ENOBUFS, 105, "out of buffers")                              \
	X(EISCONN, 106, "connected already")                           \
	X(ENOTCONN, 107, "not connected")                              \
	X(ETIMEDOUT, 110, "the peer did not answer in time")           \
	X(ECONNREFUSED, 111, "the peer refused the connection")        \
	X(EHOSTUNREACH, 113, "host unreachable")                       \
	X(EALREADY, 114, "under way already")

#define TOW_ERROR_CONSTANT(name, number, text) TOW_##name = -(number),
enum tow_error { TOW_OK = 0, TOW_ERRORS(TOW_ERROR_CONSTANT) };
#undef TOW_ERROR_CONSTANT

TOW_BEGIN
/*
 * tow_strerror() - the text of an error
 * @error: a TOW_E* constant, or 0
 *
 * Returns: a constant string, never NULL; "unknown error" for other numbers.
 * Threads: any.
 */
TOW_API const char *tow_strerror(int error);
TOW_END

#endif
