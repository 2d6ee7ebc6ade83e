/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user timeout: how long data may stay unacknowledged before a connection
 * is given up. TOW_TCP_USER_TIMEOUT_MS is the program's own (RFC 9293 3.8.3);
 * with TOW_TCP_USER_TIMEOUT_TELL both ends also tell each other theirs, by the
 * option of RFC 5482, and the longer one counts, within limits:
 *
 *	USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT))
 *
 * The option is on SYN and SYN-ACK, on the first segment after that, and once
 * on the next when the program changes the value (RFC 5482 3.1). What a peer
 * asks for can only make us wait longer, and no longer than U_LIMIT.
 */
#include "tcp/tcp_private.h"

#define L_LIMIT_S     100  /* RFC 1122 4.2.3.5: R2 is at least that */
#define U_LIMIT_S     3600 /* what memory we let a peer ask for */
#define MINUTES	      0x8000
#define TIMEOUT_MAX   0x7fff
#define SECONDS_A_MIN 60

/* RFC 5482 2: seconds if they fit into 15 bits, else minutes. */
static uint16_t encode(uint32_t ms)
{
	uint32_t s = (ms + 999) / 1000;

	if (s <= TIMEOUT_MAX)
		return (uint16_t)MAX(s, 1);
	return (uint16_t)(MINUTES | MIN(s / SECONDS_A_MIN, TIMEOUT_MAX));
}

static uint64_t decode_s(uint16_t option)
{
	uint32_t value = option & TIMEOUT_MAX;

	return option & MINUTES ? value * SECONDS_A_MIN : value;
}

bool user_timeout_is_told(const struct tow_tcp *t)
{
	return t->set.user_timeout_tell && t->set.user_timeout_ms;
}

/*
 * The program's value goes with this segment, if it is to be told and the other
 * options leave room for it: timestamps and three SACK blocks do not.
 */
void user_timeout_tell(struct tow_tcp *t, struct wire_tcp *h)
{
	if (!user_timeout_is_told(t))
		return;
	h->user_timeout = encode(t->set.user_timeout_ms);
	if (wire_tcp_length(h) > TCP_HEADER_BYTES + TCP_OPTION_BYTES_MAX)
		h->user_timeout = 0; /* the next one says it */
	else
		t->user_timeout_due = false;
}

/* An acceptable segment; RFC 5482 2: a value of 0 is to be ignored. */
void user_timeout_heard(struct tow_tcp *t, const struct wire_tcp *seg)
{
	if (t->set.user_timeout_tell && seg->user_timeout & TIMEOUT_MAX)
		t->user_timeout = seg->user_timeout;
}

/*
 * 0: none, the number of retransmissions decides. Before the handshake is
 * complete the peer may be anybody, and is not heeded (RFC 5482 6).
 */
uint64_t user_timeout_us(const struct tow_tcp *t)
{
	uint64_t own_us = t->set.user_timeout_ms * 1000ull;
	uint64_t both_s;

	if (!t->user_timeout || !t->set.user_timeout_tell ||
	    !tcp_synchronized(t))
		return own_us;
	both_s = MAX(decode_s(t->user_timeout), L_LIMIT_S);
	both_s = MIN(MAX(both_s, own_us / 1000000), U_LIMIT_S);
	return both_s * 1000000;
}
