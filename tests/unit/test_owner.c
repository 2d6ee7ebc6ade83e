/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lending that cannot be abused: budgets, deadlines, revocation, owners that
 * are closed; and programs that do everything wrong. Of TCP; UDP's part is in
 * test_owner_udp.c.
 */
#include <tow/owner.h>
#include "buf/poison.h"
#include "tcp_peer.h"
#include <stdlib.h>
#include <string.h>

#define MSS	    1400u
#define DEADLINE_US 10000u

/* An owner with memory of its own, which goes when it is closed. */
struct group {
	struct tow_owner *owner;
	uint8_t *refuge;
};

static struct group open_group(struct rig *r, uint64_t budget,
			       uint64_t deadline_us, size_t refuge_bytes)
{
	struct group g = { .refuge =
				   refuge_bytes ? malloc(refuge_bytes) : NULL };
	struct tow_owner_config config = {
		.budget_bytes = budget,
		.deadline_us = deadline_us,
		.refuge = g.refuge,
		.refuge_bytes = refuge_bytes,
	};

	CHECK_EQ(tow_owner_open(r->stack, &config, &g.owner), 0);
	return g;
}

static void close_group(struct rig *r, struct group *g)
{
	tow_owner_close(g->owner);
	free(g->refuge); /* ASan tells who still looks at it */
	r->tcp = NULL;
}

static struct tow_owner_info info_about(const struct group *g)
{
	struct tow_owner_info info;

	tow_owner_info(g->owner, &info);
	return info;
}

static uint64_t copied(struct rig *r, enum tow_copy why)
{
	return tow_tcp_ledger(r->tcp)->copied_bytes[why];
}

/* All payload in chunks, a connection, and a group that it belongs to. */
static struct group begin(struct rig *r, uint64_t budget, uint64_t deadline_us,
			  size_t refuge_bytes)
{
	struct rig_options o = r->options;
	struct group g;

	o.split = true;
	rig_reopen(r, &o);
	handshake_passive(r);
	g = open_group(r, budget, deadline_us, refuge_bytes);
	CHECK_EQ(tow_tcp_set_owner(r->tcp, g.owner), 0);
	forget(r);
	return g;
}

static uint32_t segment_bytes = MSS;

/* The next @n segments, as far as the window goes. */
static void arrive(struct rig *r, unsigned n)
{
	while (n-- > 0) {
		struct tow_tcp_info info = info_of(r);
		uint32_t at =
			1 + (uint32_t)r->read + (uint32_t)info.unread_bytes;
		uint32_t bytes = segment_bytes < info.recv_window_bytes
					 ? segment_bytes
					 : info.recv_window_bytes;

		if (bytes)
			inject(r, .flags = ACK, .seq = at, .ack = 1,
			       .bytes = bytes);
		forget(r);
		r->event_count = 0;
	}
}

/* What a program holds: spans, and the stream's position of the first byte. */
struct loans {
	struct tow_span spans[TOW_SPANS_MAX];
	int count;
	uint64_t at, bytes;
};

static void check_loans(const struct loans *l)
{
	uint32_t at = (uint32_t)l->at;

	for (int i = 0; i < l->count; i++) {
		const uint8_t *p = l->spans[i].ptr;

		for (size_t k = 0; k < l->spans[i].len; k++)
			CHECK_EQ(p[k], pattern(++at));
	}
}

/* Borrow from position r->read on; what it gives is compared. */
static int borrow(struct rig *r, struct loans *l)
{
	l->at = r->read;
	l->bytes = 0;
	l->count = tow_tcp_borrow(r->tcp, l->spans, TOW_SPANS_MAX);
	for (int i = 0; i < l->count; i++)
		l->bytes += l->spans[i].len;
	check_loans(l);
	r->read += l->bytes;
	return l->count;
}

/* Nothing is on loan any more: the next borrow begins at @position. */
static void rewind_to(struct rig *r, uint64_t position)
{
	r->read = position;
}

static bool next_is_revoke(struct rig *r)
{
	struct tow_event e;

	while (tow_events(r->stack, &e, 1) == 1) {
		if (e.type == TOW_EVENT_REVOKE) {
			CHECK_EQ(e.object, (void *)r->tcp);
			return true;
		}
	}
	return false;
}

static void poll_at(struct rig *r, uint64_t us_later)
{
	r->now_us += us_later;
	tow_poll(r->stack, r->now_us);
}

/* tow/owner.h, steps 1 to 4 */
TCP_TEST(loan_past_its_deadline_is_told_and_then_moved)
{
	struct group g = begin(r, 0, DEADLINE_US, 1 << 20);
	struct loans l, again;

	arrive(r, 3);
	CHECK_GT(borrow(r, &l), 0);
	CHECK_EQ(l.bytes, 3 * MSS);
	CHECK_GE(info_about(&g).lent_bytes, 3 * 4096u);
	poll_at(r, DEADLINE_US - 1);
	CHECK(!next_is_revoke(r));
	poll_at(r, 1);
	for (unsigned i = 0; i < 10; i++) { /* nobody took the event */
		check_loans(&l);
		poll_at(r, DEADLINE_US);
	}
	CHECK(next_is_revoke(r));
	check_loans(&l);
	CHECK_EQ(copied(r, TOW_COPY_RX_REVOKED), 0u);

	poll_at(r, 0);
	CHECK_EQ(info_about(&g).lent_bytes, 0u);
	CHECK_EQ(info_about(&g).refuge_used_bytes, 2 * 4096u); /* packed */
	CHECK_EQ(copied(r, TOW_COPY_RX_REVOKED), 3 * MSS);
	CHECK_EQ(info_of(r).unread_bytes, 3 * MSS);
	rewind_to(r, 0);
	CHECK_GT(borrow(r, &again), 0);
	CHECK_EQ(again.bytes, 3 * MSS);
	CHECK(again.spans[0].ptr >= (void *)g.refuge &&
	      again.spans[0].ptr < (void *)(g.refuge + (1 << 20)));
	tow_tcp_return(r->tcp, 3 * MSS);
	CHECK_EQ(info_about(&g).refuge_used_bytes, 0u);
	close_group(r, &g);
}

#ifdef POISON_WORKS
int __asan_address_is_poisoned(void const volatile *p);
#else
#define __asan_address_is_poisoned(p) ((p) != NULL)
#endif

/* tow/owner.h: who keeps a pointer longer is caught by AddressSanitizer */
TCP_TEST(revoked_spans_are_off_limits)
{
	struct group g = begin(r, 0, DEADLINE_US, 1 << 20);
	struct loans l;

	arrive(r, 2);
	borrow(r, &l);
	poll_at(r, DEADLINE_US);
	CHECK(next_is_revoke(r));
	poll_at(r, 0);
	for (int i = 0; i < l.count; i++)
		CHECK(__asan_address_is_poisoned(l.spans[i].ptr));
	close_group(r, &g);
}

/* tow/owner.h: between event and poll everything is as it was */
TCP_TEST(what_is_returned_before_the_poll_is_not_moved)
{
	struct group g = begin(r, 0, DEADLINE_US, 1 << 20);
	struct loans l;

	arrive(r, 3);
	borrow(r, &l);
	poll_at(r, DEADLINE_US);
	CHECK(next_is_revoke(r));
	tow_tcp_return(r->tcp, MSS + 100);
	poll_at(r, 0);
	CHECK_EQ(copied(r, TOW_COPY_RX_REVOKED), 2 * MSS - 100);
	rewind_to(r, MSS + 100);
	borrow(r, &l);
	CHECK_EQ(l.bytes, 2 * MSS - 100);
	tow_tcp_return(r->tcp, l.bytes);
	arrive(r, 1);
	CHECK_EQ(app_recv(r, 10000), MSS);
	close_group(r, &g);
}

/* The event says "everything of it": also what is borrowed afterwards */
TCP_TEST(what_is_borrowed_after_the_event_is_taken_back_with_the_rest)
{
	struct group g = begin(r, 0, DEADLINE_US, 1 << 20);
	struct tow_span span;
	struct loans l;

	arrive(r, 4);
	CHECK_EQ(tow_tcp_borrow(r->tcp, &span, 1), 1);
	poll_at(r, DEADLINE_US);
	CHECK(next_is_revoke(r));
	rewind_to(r, MSS);
	borrow(r, &l);
	CHECK_EQ(l.bytes, 3 * MSS);
	poll_at(r, 0);
	check_loans(&(struct loans){ 0 });
	rewind_to(r, 0);
	borrow(r, &l);
	CHECK_EQ(l.bytes, 4 * MSS);
	close_group(r, &g);
}

/* Half of a buffer on loan: it moves as a whole, the rest is unread there */
TCP_TEST(buffer_that_is_lent_in_part_moves_whole)
{
	struct rig_options o = r->options;
	struct tow_span span;
	struct group g;
	struct loans l;

	o.caps = TOW_DEV_LRO | TOW_DEV_RX_CSUM;
	r->options = o;
	g = begin(r, 0, DEADLINE_US, 1 << 20);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 20000);
	inject(r, .flags = ACK, .seq = 20001, .ack = 1, .bytes = 1000);
	CHECK_EQ(tow_tcp_borrow(r->tcp, &span, 1), 1);
	CHECK_LT(span.len, (size_t)20000);
	tow_tcp_return(r->tcp, 1);
	poll_at(r, DEADLINE_US);
	CHECK(next_is_revoke(r));
	poll_at(r, 0);
	CHECK_EQ(copied(r, TOW_COPY_RX_REVOKED), 19999u);
	rewind_to(r, 1);
	borrow(r, &l);
	CHECK_EQ(l.bytes, 20999u);
	close_group(r, &g);
}

TCP_TEST(who_returns_in_time_hears_nothing)
{
	struct group g = begin(r, 0, DEADLINE_US, 1 << 20);
	struct loans l;

	for (unsigned i = 0; i < 20; i++) {
		arrive(r, 2);
		borrow(r, &l);
		poll_at(r, DEADLINE_US / 2);
		CHECK(!next_is_revoke(r));
		tow_tcp_return(r->tcp, l.bytes);
	}
	arrive(r, 1);
	borrow(r, &l);
	poll_at(r, DEADLINE_US);
	tow_tcp_return(r->tcp, MSS); /* late, but before the event */
	CHECK(!next_is_revoke(r));
	arrive(r, 1);
	borrow(r, &l);
	poll_at(r, DEADLINE_US - 1);
	CHECK(!next_is_revoke(r));
	CHECK_EQ(copied(r, TOW_COPY_RX_REVOKED), 0u);
	close_group(r, &g);
}

/* Returning a byte now and then is not returning */
TCP_TEST(crumbs_do_not_move_the_deadline)
{
	struct group g = begin(r, 0, DEADLINE_US, 1 << 20);
	struct loans l;

	arrive(r, 4);
	borrow(r, &l);
	for (unsigned i = 0; i < 10; i++) {
		poll_at(r, DEADLINE_US / 10);
		tow_tcp_return(r->tcp, 1);
	}
	CHECK(next_is_revoke(r));
	close_group(r, &g);
}

/* The deadline is that of each loan: newer ones have theirs */
TCP_TEST(deadline_goes_on_with_the_oldest_loan)
{
	struct group g = begin(r, 0, DEADLINE_US, 1 << 20);
	struct loans l;

	for (unsigned i = 0; i < 50; i++) {
		arrive(r, 1);
		borrow(r, &l);
		if (i >= 4) /* each is out for half of the deadline */
			tow_tcp_return(r->tcp, MSS);
		poll_at(r, DEADLINE_US / 8);
		CHECK(!next_is_revoke(r));
	}
	poll_at(r, DEADLINE_US);
	CHECK(next_is_revoke(r));
	close_group(r, &g);
}

/* tow/owner.h: without a refuge the loans end, and the bytes stay */
TCP_TEST(revocation_without_a_refuge_copies_nothing)
{
	struct group g = begin(r, 0, DEADLINE_US, 0);
	struct loans l, again;

	arrive(r, 3);
	borrow(r, &l);
	poll_at(r, DEADLINE_US);
	CHECK(next_is_revoke(r));
	poll_at(r, 0);
	CHECK_EQ(info_about(&g).lent_bytes, 0u);
	CHECK_EQ(info_about(&g).revoked, 1u);
	rewind_to(r, 0);
	borrow(r, &again);
	CHECK_EQ(again.bytes, 3 * MSS);
	CHECK_EQ(again.spans[0].ptr, l.spans[0].ptr);
	CHECK_EQ(copied(r, TOW_COPY_RX_REVOKED), 0u);
	close_group(r, &g);
}

/* Room for some of it only */
TCP_TEST(what_the_refuge_has_no_room_for_stays_where_it_is)
{
	struct group g = begin(r, 0, DEADLINE_US, 128 << 10);
	uint64_t room = info_about(&g).refuge_bytes;
	struct loans l[8];
	uint64_t at = 0;

	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_RECV_BYTES, 1 << 20), 0);
	arrive(r, 2);
	app_recv(r, 10000);
	at = r->read;
	arrive(r, 100);
	for (unsigned i = 0; i < 8; i++)
		if (borrow(r, &l[i]) == TOW_EAGAIN)
			break;
	CHECK_GT(r->read - at, room);
	poll_at(r, DEADLINE_US);
	CHECK(next_is_revoke(r));
	poll_at(r, 0);
	CHECK_GT(copied(r, TOW_COPY_RX_REVOKED), room / 2);
	CHECK_LE(copied(r, TOW_COPY_RX_REVOKED), room);
	CHECK_EQ(info_about(&g).lent_bytes, 0u);
	CHECK_EQ(info_of(r).unread_bytes, 100 * MSS);
	rewind_to(r, at);
	CHECK_EQ(app_recv(r, 1 << 20), 100 * MSS);
	CHECK_EQ(info_about(&g).refuge_used_bytes, 0u);
	close_group(r, &g);
}

/* tow/owner.h: above the budget, loans are of plain memory */
TCP_TEST(what_is_over_budget_is_lent_from_the_refuge)
{
	struct group g = begin(r, 5 * 5000, 0, 1 << 20);
	struct loans l, more;

	arrive(r, 12);
	borrow(r, &l);
	CHECK_EQ(l.bytes, 12 * MSS);
	CHECK_LE(info_about(&g).lent_bytes, 5 * 5000u);
	CHECK_GE(info_about(&g).lent_bytes, 4 * 4096u);
	CHECK_GE(copied(r, TOW_COPY_RX_BUDGET), 7 * MSS);
	CHECK_EQ(copied(r, TOW_COPY_RX_BUDGET) % MSS, 0u);
	tow_tcp_return(r->tcp, 10 * MSS);
	CHECK_EQ(info_about(&g).lent_bytes, 0u);
	arrive(r, 1);
	borrow(r, &more);
	CHECK_EQ(more.bytes, MSS);
	CHECK_GE(info_about(&g).lent_bytes, 4096u);
	check_loans(&more);
	tow_tcp_return(r->tcp, 3 * MSS);
	CHECK_EQ(info_about(&g).refuge_used_bytes, 0u);
	close_group(r, &g);
}

/* tow/tcp.h TOW_ENOBUFS, and TOW_EVENT_READABLE when it may go on */
TCP_TEST(without_a_refuge_borrowing_stops_at_the_budget)
{
	struct group g = begin(r, 5 * 5000, 0, 0);
	struct loans l;
	uint32_t edge;

	arrive(r, 12);
	borrow(r, &l);
	CHECK_GE(l.bytes, 4 * MSS);
	CHECK_LE(l.bytes, 5 * MSS);
	CHECK_EQ(tow_tcp_borrow(r->tcp, l.spans, 4), TOW_ENOBUFS);
	poll_until_quiet(r);
	CHECK_EQ(events_of(r, TOW_EVENT_READABLE), 0u);
	edge = info_of(r).recv_window_bytes;
	arrive(r, 1);
	CHECK_LT(info_of(r).recv_window_bytes, edge);
	CHECK_EQ(app_recv(r, 10), TOW_EBUSY);

	tow_tcp_return(r->tcp, l.bytes);
	CHECK_LE(tow_deadline(r->stack), r->now_us);
	poll_until_quiet(r);
	CHECK_EQ(events_of(r, TOW_EVENT_READABLE), 1u);
	CHECK_GT(borrow(r, &l), 0);
	close_group(r, &g);
}

/* tow/tcp.h TOW_TCP_LEND_BYTES, on a listener's child as well */
TCP_TEST(connection_has_a_budget_of_its_own)
{
	struct loans l;
	int64_t value;

	r->options.split = true;
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_LEND_BYTES, 10000), 0);
	handshake_passive(r);
	CHECK_EQ(tow_tcp_get(r->tcp, TOW_TCP_LEND_BYTES, &value), 0);
	CHECK_EQ(value, 10000);
	arrive(r, 5);
	borrow(r, &l);
	CHECK_EQ(l.bytes, 2 * MSS);
	CHECK_EQ(tow_tcp_borrow(r->tcp, l.spans, 4), TOW_ENOBUFS);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_LEND_BYTES, 0), 0);
	borrow(r, &l);
	CHECK_EQ(l.bytes, 3 * MSS);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_LEND_BYTES, -1), TOW_EINVAL);
}

/* One buffer is always allowed, or a small budget would be the end */
TCP_TEST(budget_below_one_buffer_lends_one_at_a_time)
{
	struct group g = begin(r, 1, 0, 0);
	struct loans l;

	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_LEND_BYTES, 1), 0);
	arrive(r, 3);
	for (unsigned i = 0; i < 3; i++) {
		borrow(r, &l);
		CHECK_EQ(l.bytes, MSS);
		CHECK_EQ(tow_tcp_borrow(r->tcp, l.spans, 4),
			 i < 2 ? TOW_ENOBUFS : TOW_EAGAIN);
		tow_tcp_return(r->tcp, MSS);
	}
	close_group(r, &g);
}

/*
 * Others have on loan what there may be. Who has nothing still gets a buffer:
 * else it could not read what came before the end, or would take it for all.
 */
TCP_TEST(who_has_nothing_on_loan_is_never_refused)
{
	struct group g = begin(r, 0, 0, 0);
	struct tow_tcp *second = NULL;
	struct loans l;

	tow_owner_close(g.owner);
	r->tcp = NULL;
	g = open_group(r, 2 * 5000, 0, 0);
	r->options.wrap = false;
	for (unsigned i = 0; i < 2; i++) {
		r->peer_port++;
		syn_arrives(r);
		forget(r);
		inject(r, .flags = ACK, .seq = 1, .ack = 1);
		CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
		CHECK_EQ(tow_tcp_set_owner(r->tcp, g.owner), 0);
		r->read = 0;
		arrive(r, 3);
		CHECK_EQ(borrow(r, &l), i == 0 ? 2 : 1);
		CHECK_EQ(tow_tcp_borrow(r->tcp, l.spans, 1), TOW_ENOBUFS);
		second = r->tcp;
	}
	tow_tcp_return(second, MSS);
	poll_until_quiet(r);
	CHECK_GE(events_of(r, TOW_EVENT_READABLE), 1u);
	CHECK_EQ(tow_tcp_borrow(second, l.spans, 1), 1);
	close_group(r, &g);
}

/* A reader that does as it likes, in a group with all limits at once. */
static uint32_t chance(uint32_t *state, uint32_t below)
{
	*state = *state * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)*state * below) >> 32);
}

struct odd_reader {
	uint64_t at;	   /* position of the first byte that is on loan */
	uint64_t seen;	   /* and of the next to be borrowed */
	uint64_t furthest; /* of all that it ever saw */
	uint32_t seed;
	unsigned revoked;
};

static void read_oddly(struct rig *r, struct odd_reader *a)
{
	struct tow_span spans[4];
	struct tow_event e;
	bool told = false;
	int n;

	if (chance(&a->seed, 3) == 0) {
		n = tow_tcp_borrow(r->tcp, spans, 1 + (int)chance(&a->seed, 4));
		for (int i = 0; i < n; i++) {
			const uint8_t *p = spans[i].ptr;

			for (size_t k = 0; k < spans[i].len; k++)
				CHECK_EQ(p[k], pattern((uint32_t)++a->seen));
		}
	}
	if (chance(&a->seed, 12) == 0) {
		uint32_t bytes =
			chance(&a->seed, (uint32_t)(a->seen - a->at) + 1);

		tow_tcp_return(r->tcp, bytes);
		a->at += bytes;
	}
	if (chance(&a->seed, 4) == 0) {
		while (tow_events(r->stack, &e, 1) == 1)
			told |= e.type == TOW_EVENT_REVOKE;
	}
	poll_at(r, chance(&a->seed, 2000));
	if (told) {
		a->seen = a->at;
		a->revoked++;
	}
}

/* RFC 9293 3.8.6: the edge never moves back; and it is one stream */
TCP_TEST(stream_and_window_are_right_whatever_is_revoked)
{
	struct odd_reader a = { .seed = 5 };
	struct group g = begin(r, 24000, 20000, 200 << 10);
	uint32_t total = 200000, next_byte = 1, edge = 1, bytes, seq;

	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_RECV_BYTES, 80000), 0);
	edge += info_of(r).recv_window_bytes;
	for (unsigned i = 0; a.at < total; i++) {
		CHECK_LT(i, 100000u);
		seq = next_byte +
		      (chance(&a.seed, 4) ? 0 : chance(&a.seed, 5000));
		bytes = 1 + chance(&a.seed, chance(&a.seed, 3) ? MSS : 20);
		if (seq + bytes > total + 1)
			seq = next_byte, bytes = total + 1 - next_byte;
		if (seq + bytes > edge)
			bytes = seq < edge ? edge - seq : 0;
		if (bytes)
			inject(r, .flags = ACK, .seq = seq, .ack = 1,
			       .bytes = bytes, .later = true);
		read_oddly(r, &a);
		while (waiting(r)) {
			const struct segment *s = next(r);

			CHECK_GE(s->ack + s->window, edge);
			CHECK_GE(s->ack, next_byte);
			next_byte = s->ack;
			edge = s->ack + s->window;
		}
		forget(r);
	}
	CHECK_GT(a.revoked, 3u);
	CHECK_GT(copied(r, TOW_COPY_RX_REVOKED), 0u);
	CHECK_GT(copied(r, TOW_COPY_RX_BUDGET), 0u);
	CHECK_EQ(info_of(r).unread_bytes, 0u);
	close_group(r, &g);
}

/* A byte in a chunk, on loan: the next ones are packed behind it */
TCP_TEST(small_segments_on_loan_do_not_pin_a_chunk_each)
{
	struct group g = begin(r, 0, 0, 0);
	struct loans l;

	for (unsigned i = 0; i < 100; i++) {
		uint32_t seq = 1 + i * 10;

		inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = 10);
		borrow(r, &l);
		forget(r);
		r->event_count = 0;
	}
	CHECK_EQ(r->read, 1000u);
	CHECK_LE(info_about(&g).lent_bytes, 128u * 1024 / 4);
	CHECK_GT(copied(r, TOW_COPY_RX_COMPACT), 0u);
	tow_tcp_return(r->tcp, 1000);
	CHECK_EQ(info_about(&g).lent_bytes, 0u);
	close_group(r, &g);
}

/* --- programs that do everything wrong --- */

/* It never takes its events: nothing is moved, and the budget holds */
TCP_TEST(program_without_ears_keeps_its_loans_within_the_budget)
{
	struct group g = begin(r, 20000, DEADLINE_US, 0);
	struct loans l;

	arrive(r, 10);
	borrow(r, &l);
	for (unsigned i = 0; i < 50; i++) {
		struct tow_span span;

		poll_at(r, DEADLINE_US);
		CHECK_EQ(tow_tcp_borrow(r->tcp, &span, 1), TOW_ENOBUFS);
		check_loans(&l);
	}
	CHECK_LE(info_about(&g).lent_bytes, 20000u);
	close_group(r, &g);
}

/* tow/tcp.h: returning what is not on loan is a breach, also when it was */
TCP_TEST(returning_after_the_revocation_is_a_breach)
{
	struct group g = begin(r, 0, DEADLINE_US, 1 << 20);
	struct loans l;

	arrive(r, 2);
	borrow(r, &l);
	poll_at(r, DEADLINE_US);
	CHECK(next_is_revoke(r));
	poll_at(r, 0);
	CHECK_PANICS(tow_tcp_return(r->tcp, 1));
	close_group(r, &g);
}

TCP_TEST(connection_that_is_closed_gives_its_loans_back)
{
	struct group g = begin(r, 8000, DEADLINE_US, 1 << 20);
	struct loans l;

	arrive(r, 6);
	borrow(r, &l);
	CHECK_EQ(info_about(&g).members, 1u);
	CHECK_GT(info_about(&g).refuge_used_bytes, 0u);
	poll_at(r, DEADLINE_US);
	CHECK(next_is_revoke(r)); /* told, and then it is gone */
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	CHECK_EQ(info_about(&g).members, 0u);
	CHECK_EQ(info_about(&g).lent_bytes, 0u);
	CHECK_EQ(info_about(&g).refuge_used_bytes, 0u);
	poll_until_quiet(r);
	advance_ms(r, 100);
	close_group(r, &g);
}

/* tow/owner.h: loans both ways, bytes in the refuge, a device that is slow */
TCP_TEST(closing_an_owner_gives_everything_back)
{
	struct group g;
	struct loans l;

	r->options.hold_tx = true;
	g = begin(r, 8000, 0, 1 << 20);
	arrive(r, 6);
	borrow(r, &l);
	CHECK_GT(info_about(&g).refuge_used_bytes, 0u);
	CHECK_EQ(app_lend(r, 3000, 77, 0), 0);
	CHECK_EQ(loans_ended(r, 77), 0u);
	forget(r);
	close_group(r, &g);
	poll_until_quiet(r);
	CHECK_EQ(next(r)->flags, RST | ACK);
	CHECK_EQ(loans_ended(r, 77), 0u); /* the device has frames of it */
	device_done_all(r);
	poll_until_quiet(r);
	CHECK_EQ(loans_ended(r, 77), 1u);
	CHECK_EQ(loan_status(r, 77), TOW_ECONNABORTED);
	CHECK_EQ(event_of(r, TOW_EVENT_LOAN)->object, NULL);
}

/* tow/owner.h: a listener's children, accepted, waiting and half-open */
TCP_TEST(children_of_a_listener_belong_to_its_owner)
{
	struct group g;

	r->options.wrap = false;
	listen_here(r, 16);
	g = open_group(r, 0, 0, 1 << 20);
	tow_listener_set_owner(r->listener, g.owner);
	handshake_passive(r);
	r->peer_port++;
	syn_arrives(r); /* waits for accept */
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 1000);
	r->peer_port++;
	syn_arrives(r); /* half-open */
	CHECK_EQ(info_about(&g).members, 3u);
	forget(r);
	close_group(r, &g);
	poll_until_quiet(r);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(next(r)->flags, RST | ACK);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), TOW_EAGAIN);
	r->peer_port++;
	syn_arrives(r); /* the listener lives on, nobody's */
	CHECK_EQ(next(r)->flags, SYN | ACK);
}

TCP_TEST(connection_changes_its_owner_with_its_loans)
{
	struct group a = begin(r, 0, 0, 1 << 20), b;
	struct loans l;

	b = open_group(r, 8000, DEADLINE_US, 1 << 20);
	arrive(r, 3);
	borrow(r, &l);
	CHECK_EQ(tow_tcp_set_owner(r->tcp, b.owner), 0);
	CHECK_EQ(info_about(&a).lent_bytes, 0u);
	CHECK_GE(info_about(&b).lent_bytes, 3 * 4096u);
	poll_at(r, DEADLINE_US);
	CHECK(next_is_revoke(r));
	poll_at(r, 0);
	CHECK_EQ(tow_tcp_set_owner(r->tcp, NULL), TOW_EBUSY);
	rewind_to(r, 0);
	CHECK_EQ(app_recv(r, 10000), 3 * MSS);
	CHECK_EQ(tow_tcp_set_owner(r->tcp, NULL), 0);
	tow_owner_close(a.owner);
	tow_owner_close(b.owner);
	free(a.refuge);
	free(b.refuge);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
}

/* --- exhaustion --- */

TCP_TEST(owners_run_out)
{
	struct tow_owner_config config = { 0 };
	struct rig_options o = r->options;
	struct tow_owner *owners[3];
	uint8_t small[32 * 4096];

	o.cfg.owner_max = 2;
	rig_reopen(r, &o);
	CHECK_EQ(tow_owner_open(r->stack, &config, &owners[0]), 0);
	config.refuge = small;
	config.refuge_bytes = 5 * 4096;
	CHECK_EQ(tow_owner_open(r->stack, &config, &owners[1]), TOW_EINVAL);
	config.refuge_bytes = sizeof(small);
	CHECK_EQ(tow_owner_open(r->stack, &config, &owners[1]), 0);
	CHECK_EQ(tow_owner_open(r->stack, &config, &owners[2]), TOW_ENOBUFS);
	tow_owner_close(owners[0]);
	tow_owner_close(owners[1]);
	memset(small, 1, sizeof(small)); /* ours again */
	CHECK_EQ(tow_owner_open(r->stack, &config, &owners[2]), 0);
	/* and the stack may be closed over an open one */
}

static struct tow_tcp *another(struct rig *r)
{
	struct tow_tcp *t = NULL;

	r->peer_port++;
	r->options.wrap = false; /* the clock must not move on */
	syn_arrives(r);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &t), 0);
	r->read = 0;
	return t;
}

/* tow/owner.h: ENOBUFS "when it is full" ends when it is not */
TCP_TEST(who_was_refused_hears_when_the_refuge_has_room)
{
	struct group g = begin(r, 5000, 0, 128 << 10);
	struct tow_tcp *first = r->tcp, *second;
	uint64_t all = 0;
	struct loans l;

	CHECK_EQ(tow_tcp_set(first, TOW_TCP_RECV_BYTES, 1 << 20), 0);
	arrive(r, 2);
	app_recv(r, 10000);
	arrive(r, 100);
	while (borrow(r, &l) > 0)
		all += l.bytes;
	CHECK_GT(all, 60000u);
	r->tcp = second = another(r);
	CHECK_EQ(tow_tcp_set_owner(second, g.owner), 0);
	arrive(r, 3);
	CHECK_EQ(borrow(r, &l), 1);
	CHECK_EQ(tow_tcp_borrow(second, l.spans, 1), TOW_ENOBUFS);
	poll_until_quiet(r);
	CHECK_EQ(events_of(r, TOW_EVENT_READABLE), 0u);
	tow_tcp_return(first, all); /* but the budget is used up still */
	CHECK_LE(tow_deadline(r->stack), r->now_us);
	poll_until_quiet(r);
	CHECK_EQ(events_of(r, TOW_EVENT_READABLE), 2u); /* so was the first */
	CHECK_GT(borrow(r, &l), 0);
	CHECK_EQ(l.bytes, 2 * MSS);
	close_group(r, &g);
}

static void small_pool(struct rig *r)
{
	struct rig_options o = r->options;

	o.split = true;
	o.cfg.rx_chunks = 128;
	o.cfg.rx_bufs = 256;
	o.cfg.recv_bytes = o.cfg.recv_bytes_max = 1 << 20;
	rig_reopen(r, &o);
	listen_here(r, 100);
}

/* tow/owner.h, the stack's budget: whoever holds what, some is left to others
 */
TCP_TEST(borrowers_that_never_return_leave_loans_to_the_others)
{
	struct tow_tcp *hogs[8];
	struct loans l;

	small_pool(r);
	for (unsigned i = 0; i < 8; i++) {
		r->tcp = hogs[i] = another(r);
		for (unsigned k = 0; k < 40; k++) {
			arrive(r, 1);
			borrow(r, &l);
		}
	}
	CHECK_EQ(drops(r, TOW_DROP_LINK_TRUNCATED), 0u);
	r->tcp = another(r);
	arrive(r, 1);
	CHECK_EQ(borrow(r, &l), 1);
	CHECK_EQ(l.bytes, MSS);
	tow_tcp_return(r->tcp, MSS);
	for (unsigned i = 0; i < 8; i++)
		tow_tcp_abort(hogs[i]);
}

/* What a newcomer is offered when eight connections have read nothing. */
static uint32_t offered_beside_hogs(struct rig *r, struct tow_owner *owner)
{
	struct tow_tcp *hogs[8];
	uint32_t offered;

	tow_listener_set_owner(r->listener, owner);
	for (unsigned i = 0; i < 8; i++) {
		r->tcp = hogs[i] = another(r);
		arrive(r, 100);
	}
	tow_listener_set_owner(r->listener, NULL);
	r->tcp = another(r);
	arrive(r, 1);
	offered = info_of(r).recv_window_bytes;
	tow_tcp_abort(r->tcp);
	for (unsigned i = 0; i < 8; i++)
		tow_tcp_abort(hogs[i]);
	return offered;
}

/* tow/owner.h: of the ring, all of an owner's connections have one share */
TCP_TEST(connections_of_an_owner_leave_as_much_as_they_hold_together)
{
	uint32_t alone, owned;
	struct group g;

	small_pool(r);
	alone = offered_beside_hogs(r, NULL);
	small_pool(r);
	g = open_group(r, 0, 0, 0);
	owned = offered_beside_hogs(r, g.owner);
	CHECK_GT(alone, 0u);
	CHECK_GT(owned, 3 * alone);
	close_group(r, &g);
}

/*
 * Three connections whose windows were promised when the ring was empty:
 * together they are more than it has.
 */
struct three {
	struct tow_tcp *t[3];
	uint32_t our_iss[3];
};

static void open_three(struct rig *r, struct three *three)
{
	struct rig_options o = r->options;

	segment_bytes = 4000; /* they fill a chunk: nothing to be packed */
	o.caps = TOW_DEV_LRO | TOW_DEV_RX_CSUM;
	o.split = true;
	o.cfg.rx_chunks = 32;
	o.cfg.rx_bufs = 64;
	rig_reopen(r, &o);
	listen_here(r, 100);
	for (unsigned i = 0; i < 3; i++) {
		three->t[i] = another(r);
		three->our_iss[i] = r->our_iss;
	}
}

static void go_to(struct rig *r, const struct three *three, unsigned i)
{
	r->tcp = three->t[i];
	r->our_iss = three->our_iss[i];
	r->peer_port = (uint16_t)(40001 + i);
	r->read = 0;
}

TCP_TEST(short_ring_is_relieved_by_what_nobody_has_borrowed)
{
	struct three three;
	struct group g;
	uint64_t all = 0;

	open_three(r, &three);
	g = open_group(r, 0, 0, 1 << 20);
	for (unsigned i = 0; i < 3; i++) {
		go_to(r, &three, i);
		CHECK_EQ(tow_tcp_set_owner(r->tcp, g.owner), 0);
		arrive(r, 20);
		all += info_of(r).unread_bytes;
	}
	CHECK_GT(all, 32 * 4096u);
	CHECK_EQ(drops(r, TOW_DROP_LINK_TRUNCATED), 0u);
	CHECK_EQ(drops(r, TOW_DROP_NO_BUFFERS), 0u);
	CHECK_GT(info_about(&g).refuge_used_bytes, 0u);
	CHECK_EQ(info_about(&g).revoked, 0u);
	for (unsigned i = 0; i < 3; i++) {
		go_to(r, &three, i);
		all -= (uint64_t)app_recv(r, 1 << 20);
	}
	CHECK_EQ(all, 0u);
	CHECK_EQ(info_about(&g).refuge_used_bytes, 0u);
	close_group(r, &g);
}

/* Nothing but loans, of one: it is told, and they move */
TCP_TEST(short_ring_revokes_the_loans_of_the_greatest_holder)
{
	struct three three;
	struct group g;
	struct loans l;

	open_three(r, &three);
	g = open_group(r, 0, 0, 1 << 20);
	go_to(r, &three, 0);
	CHECK_EQ(tow_tcp_set_owner(r->tcp, g.owner), 0);
	arrive(r, 5);
	borrow(r, &l);
	CHECK_EQ(l.bytes, 20000u);
	for (unsigned i = 1; i < 3; i++) {
		go_to(r, &three, i);
		arrive(r, 20);
	}
	CHECK_EQ(info_about(&g).revoked, 1u);
	CHECK_EQ(info_about(&g).lent_bytes, 0u);
	CHECK_GE(info_about(&g).refuge_used_bytes, 20000u);
	CHECK_EQ(drops(r, TOW_DROP_LINK_TRUNCATED), 0u);
	close_group(r, &g);
	for (unsigned i = 1; i < 3; i++)
		tow_tcp_abort(three.t[i]);
}

/* And with nowhere to go: who has much cannot take the last there is */
TCP_TEST(last_of_the_ring_is_for_who_has_little)
{
	struct three three;

	open_three(r, &three);
	for (unsigned i = 0; i < 3; i++) {
		go_to(r, &three, i);
		for (unsigned k = 0; k < 20; k++)
			arrive(r, 1);
	}
	CHECK_GT(drops(r, TOW_DROP_NO_BUFFERS), 0u);
	CHECK_EQ(drops(r, TOW_DROP_LINK_TRUNCATED), 0u);
	r->tcp = another(r);
	arrive(r, 1);
	CHECK_GT(app_recv(r, 10000), 0);
	for (unsigned i = 0; i < 3; i++)
		tow_tcp_abort(three.t[i]);
}
