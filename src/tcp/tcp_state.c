/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The states of a connection: RFC 9293 3.3.2, figure 5.
 *
 * tcp_enter() is the only function that changes the state, and the table knows
 * which changes there are. A listener is an object of its own, so LISTEN is
 * not among the states of a connection.
 *
 * A connection is over when it is CLOSED. Its memory goes back when also the
 * application has closed the handle, every token was reported, and no device
 * refers to any of its bytes; tcp_release() looks whether that is so.
 */
#include "tcp/held.h"

#define TO(state) (1u << TOW_TCP_##state)

static const uint16_t may_enter[] = {
	[TOW_TCP_CLOSED] = TO(SYN_SENT) | TO(SYN_RECEIVED),
	[TOW_TCP_SYN_SENT] = TO(ESTABLISHED) | TO(SYN_RECEIVED) | TO(CLOSED),
	[TOW_TCP_SYN_RECEIVED] = TO(ESTABLISHED) | TO(FIN_WAIT_1) | TO(CLOSED),
	[TOW_TCP_ESTABLISHED] = TO(FIN_WAIT_1) | TO(CLOSE_WAIT) | TO(CLOSED),
	[TOW_TCP_FIN_WAIT_1] =
		TO(FIN_WAIT_2) | TO(CLOSING) | TO(TIME_WAIT) | TO(CLOSED),
	[TOW_TCP_FIN_WAIT_2] = TO(TIME_WAIT) | TO(CLOSED),
	[TOW_TCP_CLOSE_WAIT] = TO(LAST_ACK) | TO(CLOSED),
	[TOW_TCP_CLOSING] = TO(TIME_WAIT) | TO(CLOSED),
	[TOW_TCP_LAST_ACK] = TO(CLOSED),
	[TOW_TCP_TIME_WAIT] = TO(CLOSED),
};

static const char *const names[] = {
	[TOW_TCP_CLOSED] = "CLOSED",
	[TOW_TCP_SYN_SENT] = "SYN-SENT",
	[TOW_TCP_SYN_RECEIVED] = "SYN-RECEIVED",
	[TOW_TCP_ESTABLISHED] = "ESTABLISHED",
	[TOW_TCP_FIN_WAIT_1] = "FIN-WAIT-1",
	[TOW_TCP_FIN_WAIT_2] = "FIN-WAIT-2",
	[TOW_TCP_CLOSE_WAIT] = "CLOSE-WAIT",
	[TOW_TCP_CLOSING] = "CLOSING",
	[TOW_TCP_LAST_ACK] = "LAST-ACK",
	[TOW_TCP_TIME_WAIT] = "TIME-WAIT",
};

const char *tow_tcp_state_name(enum tow_tcp_state state)
{
	return (unsigned)state < LENGTH(names) ? names[state] : "?";
}

/* RFC 9293 3.5.2: the states from ESTABLISHED on. */
bool tcp_synchronized(const struct tow_tcp *t)
{
	return t->state >= TOW_TCP_ESTABLISHED;
}

/* It ends at that time, or before if its memory is needed. */
static void leave_at(struct tow_tcp *t, uint64_t at_us)
{
	timer_set(t, TIMER_LIFE, at_us);
	orphan_forget(t);
	list_remove(&t->queue);
	list_append(&t->host->leaving, &t->queue);
}

/* FIN-WAIT-2 without a program: the peer has some time for its FIN. */
void tcp_await_fin(struct tow_tcp *t)
{
	leave_at(t, tcp_now(t) + TCP_FIN_WAIT_2_US);
}

static void begin_time_wait(struct tow_tcp *t)
{
	for (int i = 0; i < TCP_TIMERS; i++)
		timer_clear(t, (enum tcp_timer)i);
	leave_at(t, tcp_now(t) + TCP_TIME_WAIT_US);
	ecn_option_over(t);
	t->cleanly_closed = true;
	tcp_pend(t, PENDING_CLOSED);
}

static void begin_closed(struct tow_tcp *t)
{
	for (int i = 0; i < TCP_TIMERS; i++)
		timer_clear(t, (enum tcp_timer)i);
	if (!listen_keeps(t)) {
		listen_forget(t);
		list_remove(&t->queue);
	}
	orphan_forget(t);
	fast_open_settle(t);
	fast_client_over(t);
	list_remove(&t->output);
	table_remove(t);
	flight_clear(t);
	send_queue_end(t, t->error);
	post_end(t, t->error);
	auth_end(t);
	ecn_option_over(t);
}

void tcp_enter(struct tow_tcp *t, enum tow_tcp_state next)
{
	bool told = t->state == TOW_TCP_TIME_WAIT;

	ASSERT(may_enter[t->state] & 1u << next);
	t->state = (uint8_t)next;
	switch (next) {
	case TOW_TCP_ESTABLISHED:
		tcp_count(t, TOW_COUNTER_TCP_ESTABLISHED);
		break;
	case TOW_TCP_FIN_WAIT_2:
		if (t->app_closed)
			tcp_await_fin(t);
		break;
	case TOW_TCP_TIME_WAIT:
		begin_time_wait(t);
		break;
	case TOW_TCP_CLOSED:
		begin_closed(t);
		if (!told)
			tcp_pend(t, PENDING_CLOSED);
		break;
	default:
		break;
	}
}

/* The connection is over, for the reason given (0: in the regular way). */
void tcp_fail(struct tow_tcp *t, int error)
{
	if (t->state == TOW_TCP_CLOSED)
		return;
	if (!t->cleanly_closed)
		t->error = (int16_t)error;
	tcp_enter(t, TOW_TCP_CLOSED);
	tcp_release(t);
}

void tcp_release(struct tow_tcp *t)
{
	if (t->state != TOW_TCP_CLOSED || !t->app_closed || t->send.frames ||
	    t->send.head || tcp_owes_tokens(t))
		return;
	receive_free(t);
	table_free(t);
}

static void check_order_of_time(const struct tow_tcp *t)
{
	const struct sent *before = NULL;

	if (t->snd.iss.n == t->snd.nxt.n)
		return; /* nothing was sent yet */
	for (const struct sent *s = t->flight.oldest; s;
	     s = flight_sent_after(t, s)) {
		ASSERT(!before || before->sent_us <= s->sent_us);
		before = s;
	}
}

static void check_flight(const struct tow_tcp *t)
{
	uint32_t sacked = 0, lost = 0, retrans = 0, packets = 0;
	struct seq at = t->snd.una;

	for (const struct sent *s = flight_first(t); s; s = flight_next(s)) {
		ASSERT(s->bytes > 0 && seq_eq(s->seq, at));
		at = sent_end(s);
		sacked += s->flags & SENT_SACKED ? s->bytes : 0;
		lost += s->flags & SENT_LOST ? s->bytes : 0;
		retrans += s->flags & SENT_RETRANS ? s->bytes : 0;
		ASSERT(!(s->flags & SENT_SACKED && s->flags & SENT_LOST));
		ASSERT(!(s->flags & SENT_RETRANS) || s->flags & SENT_LOST);
		ASSERT(!flight_is_timed(t, s) ==
		       ((s->flags & SENT_SACKED) || flight_is_waiting(s)));
		ASSERT(s->node.marked == flight_is_waiting(s));
		packets += s->flags & SENT_SACKED ? s->packets : 0;
	}
	ASSERT(seq_eq(at, t->snd.nxt));
	ASSERT(sacked == t->flight.sacked_bytes);
	ASSERT(lost == t->flight.lost_bytes);
	ASSERT(retrans == t->flight.retrans_bytes);
	ASSERT(lost + sacked <= tcp_in_flight(t));
	ASSERT(packets == t->flight.sacked_packets);
	check_order_of_time(t);
}

/* A buffer that goes out again cannot be in its pool. */
static void check_passed_loan(const struct loan *l)
{
	if (!(l->flags & LOAN_PASSED))
		return;
	ASSERT(!(l->flags & (LOAN_TOKEN | LOAN_COPIED)));
	ASSERT(l->buf->refs > 0 && held(l->buf)->loans > 0);
	ASSERT(held(l->buf)->loans <= l->buf->refs);
}

static void check_send_queue(const struct tow_tcp *t)
{
	const struct send_queue *q = &t->send;
	const struct loan *last = NULL;
	bool saw_cursor = q->cursor == NULL;

	ASSERT(q->acked <= q->next && q->next <= q->end);
	for (const struct loan *l = q->head; l; l = l->next) {
		ASSERT((l->bytes > 0) == !(l->flags & LOAN_STAMP));
		ASSERT(!last || last->start + last->bytes == l->start);
		check_passed_loan(l);
		saw_cursor |= l == q->cursor;
		last = l;
	}
	ASSERT(saw_cursor && last == q->tail);
	ASSERT(!last || last->start + last->bytes == q->end);
	if (q->cursor && !q->ended)
		ASSERT(q->cursor->start <= q->next &&
		       q->next < q->cursor->start + q->cursor->bytes);
}

/*
 * What is on loan is a prefix of the list, and each buffer of it is accounted
 * for: in a budget, or in the refuge.
 */
static void check_loans(const struct tow_tcp *t)
{
	const struct receive *r = &t->receive;
	uint64_t lent = 0, moved = 0, borrowed = 0;
	struct tow_buf *before = NULL;
	bool on_loan = true;

	for (struct tow_buf *b = r->head; b; before = b, b = b->next) {
		bool is_moved = held_is_moved(t, b);

		if (b == r->borrow) {
			on_loan = false;
			borrowed += r->borrow_offset;
			ASSERT(r->borrow_offset > 0 || r->before == before);
		}
		borrowed += on_loan ? b->bytes : 0;
		moved += is_moved ? held(b)->cost : 0;
		lent += held(b)->lent_us ? held(b)->cost : 0;
		ASSERT(!(is_moved && held(b)->lent_us));
		ASSERT((is_moved || held(b)->lent_us != 0) || !on_loan);
		ASSERT(!held(b)->lent_us || on_loan ||
		       (b == r->borrow && r->borrow_offset > 0));
		ASSERT(held(b)->cost == buf_cost(b));
	}
	ASSERT(!on_loan || !r->borrow);
	ASSERT(lent == t->borrower.lent && moved == t->borrower.moved);
	ASSERT(borrowed == r->borrowed_bytes);
}

/* What the buffers cost that nobody here reads any more, but others send. */
static uint32_t cost_of_passed(const struct tow_tcp *t)
{
	uint32_t cost = 0;

	LIST_EACH (node, &t->receive.passed) {
		const struct held *h = CONTAINER(node, struct held, link);

		ASSERT(h->owner == t && h->loans > 0);
		cost += h->cost;
	}
	return cost;
}

static void check_receive(const struct tow_tcp *t)
{
	const struct receive *r = &t->receive;
	uint32_t cost = cost_of_passed(t);
	uint64_t unread = 0;
	struct tree_node *hole;

	for (struct tow_buf *b = r->head; b; b = b->next) {
		unread += b->bytes;
		cost += held(b)->cost;
		ASSERT(!held(b)->owner);
	}
	for (hole = tree_first(&r->holes); hole; hole = tree_next(hole))
		cost += CONTAINER(hole, struct held, node)->cost;
	ASSERT(cost == r->cost);
	ASSERT(unread == r->unread_bytes);
	check_loans(t);
	ASSERT(r->borrowed_bytes <= r->unread_bytes);
	ASSERT(r->sack_count <= TCP_SACK_BLOCKS_MAX);
	if (tcp_synchronized(t) && !r->fin_seen)
		ASSERT(!seq_before(t->rcv.edge, t->rcv.nxt));
}

static void check_posts(const struct tow_tcp *t)
{
	const struct posts *q = t->posts;
	const struct post *last = NULL;
	uint64_t room = 0;
	uint32_t count = 0;

	if (!q)
		return;
	ASSERT(q->tcp == t);
	ASSERT(list_empty(&q->idle) == (q->head || q->done));
	for (const struct post *p = q->head; p; p = p->next) {
		ASSERT(p->filled < p->bytes);
		ASSERT(p == q->head || p->filled == 0);
		ASSERT(p->written <= p->bytes);
		room += p->bytes - p->filled;
		count++;
		last = p;
	}
	ASSERT(last == q->tail);
	ASSERT(room == q->room && count == q->count);
	ASSERT(count <= TOW_POSTS_MAX);
	/* What is in order goes into posts first. */
	ASSERT(count == 0 || t->receive.unread_bytes == 0);
	ASSERT(count == 0 || t->state != TOW_TCP_CLOSED);
}

/* All invariants of a connection; test builds run it after every event. */
void tcp_check(const struct tow_tcp *t)
{
	ASSERT(t->state < LENGTH(names));
	if (t->state != TOW_TCP_CLOSED)
		check_flight(t);
	check_send_queue(t);
	check_receive(t);
	check_posts(t);
	if (tcp_in_flight(t) > 0 && tcp_synchronized(t))
		ASSERT(t->deadlines_ms[TIMER_RETRANSMIT] != 0);
	ASSERT(t->snd.mss > 0 || t->state == TOW_TCP_CLOSED);
}
