/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * F-RTO: was the timeout needed? RFC 5682.
 *
 * After a timeout the first segment goes out again, and its ACK would make the
 * sender send all the others again too. But perhaps nothing was lost, and the
 * path was slow for a moment. So on that ACK new data is sent instead, and the
 * one after it tells:
 *
 *	RTO          ACK below point      what was sent once is acknowledged
 *	----> RESENT ---------------> NEW ---------------------------> spurious
 *	        |                      |
 *	        | no new data, or      | duplicates, or SACKs of the new data
 *	        v a duplicate (2.1 2a) v
 *	       OFF: the rest is sent again, as after any timeout
 *
 * With SACK (3.1) each byte that was sent once, and is reported after the
 * timeout, was late, whichever ACK says so, unless it tells of the new data as
 * well: then an ACK may have been lost. Without (2.1), an ACK says so only if
 * nothing that was sent again is among what it covers: the peer may have kept
 * the rest from before.
 *
 * A timeout in the middle of a fast recovery is not examined (3.1 step 1), but
 * the second of two on the same segment is (3.2).
 */
#include "tcp/tcp_private.h"

/* Step 1. @again: the first segment timed out before. */
void frto_begin(struct tow_tcp *t, bool again)
{
	struct recovery *r = &t->recovery;
	bool may = r->state == RECOVERY_NONE || again;

	r->frto = may ? FRTO_RESENT : FRTO_OFF;
}

/*
 * 3b: what was sent once arrived, and not after the new data, nor, without
 * SACK, together with what was sent again.
 */
static bool proves(const struct tow_tcp *t, const struct ack_news *news)
{
	if (!news->original)
		return false;
	return t->sack ? !seq_after(t->flight.highest_sack, t->recovery.point)
		       : !news->resent;
}

/* 2.1 2a: a part of what was sent again is still missing. */
static bool is_partial(const struct tow_tcp *t)
{
	const struct sent *s = flight_first(t);

	return !t->sack && s && s->flags & SENT_EVER_RETRANS;
}

/* Steps 2 and 3. Returns: the timeout was spurious. */
bool frto_on_ack(struct tow_tcp *t, const struct ack_news *news, bool duplicate)
{
	struct recovery *r = &t->recovery;

	if (r->frto == FRTO_OFF)
		return false;
	if (proves(t, news))
		return true;
	if (r->frto == FRTO_NEW) {
		/* 3a; but a window update, or data, says nothing. */
		if (news->acked_bytes || duplicate || news->repeats)
			frto_give_up(t);
	} else if (news->acked_bytes && !is_partial(t)) {
		r->frto = FRTO_NEW; /* 2b */
		r->point = t->snd.nxt;
	} else if (news->acked_bytes || (duplicate && !t->sack)) {
		frto_give_up(t); /* 2a */
	}
	return false;
}

/* New data goes before what is thought to be lost. */
bool frto_wants_news(const struct tow_tcp *t)
{
	return t->recovery.frto == FRTO_NEW;
}

/* There is none, or it was lost as well: the timeout was real. */
void frto_give_up(struct tow_tcp *t)
{
	t->recovery.frto = FRTO_OFF;
}
