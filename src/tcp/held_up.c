/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What holds a sender up, and for how long: what Linux calls chronographs.
 *
 *	IDLE      nothing is queued
 *	BUSY      the network is the limit, or nothing is
 *	WINDOW    the peer's window is too small for what waits
 *	BUFFER    all was sent, and the program would have more if it had room
 *
 * Looked at each time something may have been sent. Times are whole
 * milliseconds; what is left over goes on counting.
 */
#include "tcp/tcp_private.h"

static enum hold_up current(const struct tow_tcp *t)
{
	uint64_t waits = t->send.end - t->send.next;
	int32_t window = seq_diff(seq_add(t->snd.una, t->snd.wnd), t->snd.nxt);

	if (t->send.end == t->send.acked || !tcp_synchronized(t))
		return HOLD_IDLE;
	if (waits > 0 && window < (int32_t)MIN(waits, t->snd.mss) &&
	    t->cc.cwnd > recovery_pipe(t))
		return HOLD_WINDOW;
	return waits == 0 && t->want_write ? HOLD_BUFFER : HOLD_BUSY;
}

static uint32_t passed_ms(const struct tow_tcp *t)
{
	return (uint32_t)(tcp_now(t) / 1000) - t->hold.since_ms;
}

void hold_note(struct tow_tcp *t)
{
	enum hold_up now = current(t);

	if (now == t->hold_what)
		return;
	t->hold.ms[t->hold_what] += passed_ms(t);
	t->hold.since_ms = (uint32_t)(tcp_now(t) / 1000);
	t->hold_what = (uint8_t)now;
}

/* With what is going on. */
uint64_t hold_us(const struct tow_tcp *t, enum hold_up what)
{
	uint32_t ms = t->hold.ms[what];

	if (what == t->hold_what)
		ms += passed_ms(t);
	return ms * 1000ull;
}
