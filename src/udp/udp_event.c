/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events: bits, finished loans and posts in the sockets, and a list of the
 * sockets that have any. Nothing is stored elsewhere, so nothing can be lost.
 */
#include "udp/udp_private.h"

static void make_ready(struct tow_udp *s)
{
	if (list_empty(&s->ready_node))
		list_append(&s->host->ready, &s->ready_node);
}

void udp_notify(struct tow_udp *s, enum udp_pending what)
{
	s->pending |= (uint8_t)what;
	make_ready(s);
}

/* A loan was put into s->done, or a post is complete. */
void udp_notify_end(struct tow_udp *s)
{
	make_ready(s);
}

static void fill(const struct tow_udp *s, struct tow_event *event,
		 enum tow_event_type type, int status)
{
	event->type = type;
	event->status = status;
	event->object = s->closed ? NULL : (void *)s;
	event->user = s->user;
	event->token = 0;
	event->sent_us = 0;
	event->acked_us = 0;
	event->bytes = 0;
	event->placed_bytes = 0;
	event->copied_why = 0;
}

static bool take_bit(struct tow_udp *s, enum udp_pending what)
{
	if (!(s->pending & what))
		return false;
	s->pending &= (uint8_t)~what;
	return true;
}

static void take_loan(struct tow_udp *s, struct tow_event *event)
{
	struct udp_private *private = s->host->private;
	struct udp_loan *loan = s->done;

	s->done = loan->next;
	if (!s->done)
		s->done_tail = &s->done;
	fill(s, event, loan->stamp ? TOW_EVENT_STAMP : TOW_EVENT_LOAN,
	     loan->status);
	event->token = loan->token;
	event->sent_us = loan->sent_us;
	loan->next = private->loan_free;
	private->loan_free = loan;
	private->loans_out--;
}

static void take_post(struct tow_udp *s, struct tow_event *event)
{
	const struct udp_post *post = udp_post_at(s, s->landing.first++);

	fill(s, event, TOW_EVENT_POST, post->status);
	event->token = post->token;
	event->bytes = post->end;
	event->placed_bytes = post->placed_bytes;
	event->copied_why = post->copied_why;
}

/* The next event of one socket; false when it has no more. */
static bool take(struct tow_udp *s, struct tow_event *event)
{
	if (take_bit(s, UDP_ERROR)) {
		fill(s, event, TOW_EVENT_ERROR, s->event_status);
		return true;
	}
	/* All may have been returned meanwhile */
	if (take_bit(s, UDP_REVOKE) && s->borrower.revoking) {
		fill(s, event, TOW_EVENT_REVOKE, 0);
		govern_told(&s->borrower);
		return true;
	}
	/* What was read before the program asked needs no event */
	if (take_bit(s, UDP_READABLE) &&
	    (s->unread.first || s->landing.records)) {
		fill(s, event, TOW_EVENT_READABLE, 0);
		return true;
	}
	if (s->landing.first != s->landing.active) {
		take_post(s, event);
		return true;
	}
	if (s->done) {
		take_loan(s, event);
		return true;
	}
	if (take_bit(s, UDP_WRITABLE)) {
		fill(s, event, TOW_EVENT_WRITABLE, 0);
		return true;
	}
	return false;
}

int udp_events(struct udp_host *udp, struct tow_event *out, int max)
{
	struct tow_udp *s;
	int n = 0;

	while (n < max && !list_empty(&udp->ready)) {
		s = CONTAINER(udp->ready.next, struct tow_udp, ready_node);
		if (take(s, &out[n])) {
			n++;
			continue;
		}
		list_remove(&s->ready_node);
		udp_free_if_done(s);
	}
	return n;
}
