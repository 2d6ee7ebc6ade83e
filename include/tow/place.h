/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_PLACE_H
#define TOW_PLACE_H

#include <tow/mark.h>

/*
 * Posted buffers: memory of the program for what comes next.
 *
 * A program that knows where received bytes belong posts that memory. From
 * then on the stream goes there, in order, and comes back with a
 * TOW_EVENT_POST when the memory is full or the stream has ended. Where the
 * device can, it puts the bytes there itself, and nobody copies them:
 *
 *	 posted:   |  token 1            |  token 2            |
 *	           |######################*...  . .  . . . . . |
 *	           |<- the stream's ->|  ^ the device's hint
 *	                                 `- checked by TCP before it counts
 *
 * A hint is a guess at what comes next. Whatever comes instead (a lost segment,
 * one again, a bad checksum, other options in the header, another flow) is put
 * right by the stack, with one copy, a reason and a count; so each byte is
 * either placed or copied once, and the event says how many of which.
 *
 * While memory is posted, the stack and the device may write anywhere into it,
 * and nowhere else. What counts is the first bytes of it, as many as the event
 * says; behind them is what was there before, or zeros where the device had
 * written something that was not the stream's. Memory that is posted twice at a
 * time, in part or on two connections, has bytes of either in the end.
 */
#define TOW_POSTS_MAX 16 /* queued on one connection or socket */

/* Whether a device places what is posted, and if not, why. */
#define TOW_PLACEMENTS(X)                                                 \
	X(NONE, "none", "no buffer is posted")                            \
	X(ARMED, "armed", "the device knows where the next bytes belong") \
	X(FULL, "full", "out of order up to the end of what is posted")   \
	X(DEVICE, "device", "the device cannot place")                    \
	X(REFUSED, "refused", "the device cannot keep this flow apart")   \
	X(BUSY, "busy", "the device places as many flows as it can")      \
	X(SHARED, "shared", "somebody else uses the local port")          \
	X(MISSES, "misses", "too much arrived otherwise; a pause")        \
	X(STATE, "state", "the connection is not open, or over for the peer")

#define TOW_PLACEMENT_ID(id, name, text) TOW_PLACEMENT_##id,
enum tow_placement { TOW_PLACEMENTS(TOW_PLACEMENT_ID) TOW_PLACEMENT_KINDS };
#undef TOW_PLACEMENT_ID

TOW_BEGIN
/*
 * tow_placement_name(), tow_placement_text() - for output
 *
 * Returns: a constant lower-case word, or a phrase; NULL past the end.
 * Threads: any.
 */
TOW_API const char *tow_placement_name(unsigned placement);
TOW_API const char *tow_placement_text(unsigned placement);
TOW_END

#endif
