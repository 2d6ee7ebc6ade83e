/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Passing: received bytes that go out again from where they arrived.
 *
 * Most tests pass a connection's bytes on to itself, an echo: the pattern of
 * both streams is the same, so the rig checks every byte that comes back. Two
 * connections, and all that happens between them, are in tests/sim.
 */
#include <stdlib.h>
#include <string.h>
#include "tcp_peer.h"

#define SEGMENT 1000u /* above lend_bytes_min; both MSSs allow it */

static void data(struct rig *r, uint32_t seq, uint32_t bytes)
{
	inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = bytes);
}

static void ack(struct rig *r, uint32_t seq, uint32_t ack)
{
	inject(r, .flags = ACK, .seq = seq, .ack = ack);
}

/* Until all that is queued was sent and acknowledged. */
static void ack_everything(struct rig *r, uint32_t seq)
{
	poll_until_quiet(r);
	while (info_of(r).in_flight_bytes) {
		uint64_t una = r->written - info_of(r).queued_bytes + 1;

		ack(r, seq, (uint32_t)una + info_of(r).in_flight_bytes);
	}
	CHECK_EQ(info_of(r).queued_bytes, 0u);
}

/* What the peer sent so far, in segments, all borrowed; and where it lies. */
static int arrive(struct rig *r, uint32_t segments, struct tow_span *spans)
{
	for (uint32_t i = 0; i < segments; i++)
		data(r, 1 + i * SEGMENT, SEGMENT);
	forget(r);
	return tow_tcp_borrow(r->tcp, spans, TOW_SPANS_MAX);
}

static int64_t echo(struct rig *r, size_t bytes)
{
	int64_t n = tow_tcp_pass(r->tcp, r->tcp, bytes, 0);

	if (n > 0)
		r->written += (uint64_t)n;
	poll_until_quiet(r);
	return n;
}

/* The payload of the next segment lies in those spans, in their order. */
static bool lies_in(struct rig *r, const struct tow_span *spans)
{
	const struct segment *s = next(r);

	for (unsigned i = 0; i < s->span_count; i++)
		if (s->spans[i].ptr != spans[i].ptr ||
		    s->spans[i].len != spans[i].len)
			return false;
	return s->span_count > 0;
}

static uint64_t copied(const struct rig *r, enum tow_copy why)
{
	return tow_stats(r->stack)->ledger.copied_bytes[why];
}

static uint64_t passed(const struct rig *r)
{
	return tow_stats(r->stack)->ledger.passed_bytes;
}

static void open_with(struct rig *r, void (*change)(struct rig_options *))
{
	struct rig_options o = r->options;

	change(&o);
	rig_reopen(r, &o);
}

/* tow/tcp.h: from where they arrived, and nothing is copied */
TCP_TEST(bytes_go_out_from_where_they_arrived)
{
	struct tow_span spans[TOW_SPANS_MAX];

	handshake_passive(r);
	CHECK_GT(arrive(r, 1, spans), 0);
	CHECK_EQ(echo(r, SEGMENT), (int64_t)SEGMENT);
	CHECK(lies_in(r, spans));
	CHECK_EQ(passed(r), SEGMENT);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->passed_bytes, SEGMENT);
	for (unsigned i = 0; i < TOW_COPY_REASONS; i++)
		CHECK_EQ(copied(r, (enum tow_copy)i), 0u);
	ack(r, 1 + SEGMENT, 1 + SEGMENT);
}

/* RFC 9293 3.8.1: sent again from the same place */
TCP_TEST(retransmission_comes_from_the_received_buffer)
{
	struct tow_span spans[TOW_SPANS_MAX];

	handshake_passive(r);
	CHECK_GT(arrive(r, 1, spans), 0);
	CHECK_EQ(echo(r, SEGMENT), (int64_t)SEGMENT);
	forget(r);
	advance_to_segment(r, 5000000);
	CHECK(lies_in(r, spans));
	ack(r, 1 + SEGMENT, 1 + SEGMENT);
}

/* Design rule 6: a reference to a whole buffer is not worth few bytes */
TCP_TEST(few_bytes_are_copied)
{
	struct tow_span spans[TOW_SPANS_MAX];

	handshake_passive(r);
	data(r, 1, 100);
	forget(r);
	CHECK_GT(tow_tcp_borrow(r->tcp, spans, TOW_SPANS_MAX), 0);
	CHECK_EQ(echo(r, 100), 100);
	CHECK(sends(r, ACK, 1, 101, 100));
	CHECK_EQ(copied(r, TOW_COPY_TX_SMALL), 100u);
	CHECK_EQ(passed(r), 0u);
	CHECK_EQ(tow_stats(r->stack)->ledger.rx_lent_bytes, 100u);
	ack(r, 101, 101);
}

/* tow/tcp.h: in one stream with what was sent and lent */
TCP_TEST(order_of_calls_is_the_order_of_the_stream)
{
	struct tow_span spans[TOW_SPANS_MAX];

	handshake_passive(r);
	/* The echo of bytes 601.. stands at 601.. of our stream. */
	data(r, 1, 600);
	data(r, 601, 900);
	forget(r);
	CHECK_GT(tow_tcp_borrow(r->tcp, spans, TOW_SPANS_MAX), 0);
	CHECK_EQ(app_send(r, 300, 0), 300u);
	CHECK_EQ(app_lend(r, 300, 7, 0), 0);
	tow_tcp_return(r->tcp, 600);
	CHECK_EQ(echo(r, 900), 900);
	CHECK_EQ(app_send(r, 50, 0), 50u);
	ack_everything(r, 1501);
	CHECK_EQ(loans_ended(r, 7), 1u);
	CHECK_EQ(r->corrupt, 0u);
}

/* One buffer, half returned and half passed: its end is the last of both. */
TCP_TEST(half_of_a_buffer_is_returned_and_half_passed)
{
	struct tow_span spans[TOW_SPANS_MAX];
	uint8_t skipped[500];

	handshake_passive(r);
	data(r, 1, SEGMENT + 200);
	forget(r);
	CHECK_GT(tow_tcp_borrow(r->tcp, spans, TOW_SPANS_MAX), 0);
	for (unsigned i = 0; i < sizeof(skipped); i++)
		skipped[i] = pattern(1 + i);
	CHECK_EQ(tow_tcp_send(r->tcp, skipped, 500, 0), 500);
	r->written += 500;
	tow_tcp_return(r->tcp, 500);
	CHECK_EQ(echo(r, 600), 600);
	tow_tcp_return(r->tcp, 100);
	ack_everything(r, 1201);
	CHECK_EQ(passed(r), 600u);
	CHECK_EQ(tow_stats(r->stack)->ledger.rx_lent_bytes, 600u);
	CHECK_EQ(r->corrupt, 0u);
}

static void no_offloads(struct rig_options *o)
{
	o->caps &= ~(uint32_t)(TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM |
			       TOW_DEV_TSO4 | TOW_DEV_TSO6);
}

/*
 * The received sum is the sum that is sent: nobody reads the bytes again. The
 * rig finds wrong checksums.
 */
TCP_TEST(checksum_that_was_verified_is_used_again)
{
	struct tow_span spans[TOW_SPANS_MAX];
	uint64_t touched;

	open_with(r, no_offloads);
	handshake_passive(r);
	CHECK_GT(arrive(r, 3, spans), 0);
	touched = tow_stats(r->stack)->ledger.tx_touched_bytes;
	CHECK_EQ(echo(r, 3 * SEGMENT), 3 * (int64_t)SEGMENT);
	CHECK_EQ(bytes_sent(r), 3 * SEGMENT);
	CHECK_EQ(tow_stats(r->stack)->ledger.tx_touched_bytes, touched);
	CHECK_EQ(r->malformed, 0u);
	ack(r, 1 + 3 * SEGMENT, 1 + 3 * SEGMENT);
}

/* Cut otherwise than they came, the bytes have another sum. */
TCP_TEST(checksum_of_a_part_is_made_anew)
{
	struct tow_span spans[TOW_SPANS_MAX];

	open_with(r, no_offloads);
	handshake_passive(r);
	CHECK_GT(arrive(r, 2, spans), 0);
	CHECK_EQ(app_send(r, 1, 0), 1u);
	tow_tcp_return(r->tcp, 1);
	CHECK_EQ(echo(r, 2 * SEGMENT - 1), 2 * (int64_t)SEGMENT - 1);
	ack_everything(r, 1 + 2 * SEGMENT);
	CHECK_EQ(r->malformed, 0u);
	CHECK_EQ(r->corrupt, 0u);
}

static uint32_t last_window(struct rig *r)
{
	uint32_t window = 0;

	while (waiting(r))
		window = next(r)->window;
	return window;
}

/* Back-pressure: what is on its way out closes the window it came by. */
TCP_TEST(window_opens_when_the_far_side_has_acknowledged)
{
	struct tow_span spans[TOW_SPANS_MAX];
	uint32_t seq = 1;

	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_RECV_BYTES, 32768), 0);
	while (info_of(r).recv_window_bytes >= SEGMENT && seq < 1000000) {
		data(r, seq, SEGMENT);
		seq += SEGMENT;
		while (tow_tcp_borrow(r->tcp, spans, TOW_SPANS_MAX) > 0)
			;
		CHECK_EQ(echo(r, SEGMENT), (int64_t)SEGMENT);
	}
	CHECK_LT(seq, 100000u);
	forget(r);
	ack_everything(r, seq);
	CHECK_GT(info_of(r).recv_window_bytes, 5 * SEGMENT);
	CHECK_EQ(info_of(r).recv_window_bytes, last_window(r)); /* and told */
}

/* tow/tcp.h: the send buffer is full; WRITABLE follows */
TCP_TEST(full_send_buffer_takes_no_more)
{
	struct tow_span spans[TOW_SPANS_MAX];

	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_SEND_BYTES, 1500), 0);
	CHECK_GT(arrive(r, 3, spans), 0);
	CHECK_EQ(echo(r, 3 * SEGMENT), 2 * (int64_t)SEGMENT);
	CHECK_EQ(echo(r, SEGMENT), TOW_EAGAIN);
	CHECK_EQ(events_of(r, TOW_EVENT_WRITABLE), 0u);
	ack(r, 1 + 3 * SEGMENT, 1 + SEGMENT);
	CHECK_EQ(events_of(r, TOW_EVENT_WRITABLE), 1u);
	CHECK_EQ(echo(r, SEGMENT), (int64_t)SEGMENT);
	ack(r, 1 + 3 * SEGMENT, 1 + 3 * SEGMENT);
}

static void few_loans(struct rig_options *o)
{
	o->cfg.loans = 8;
}

TCP_TEST(passing_waits_for_want_of_records)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int64_t n;

	open_with(r, few_loans);
	handshake_passive(r);
	CHECK_GT(arrive(r, 8, spans), 0);
	n = echo(r, 8 * SEGMENT);
	CHECK_GT(n, 0);
	CHECK_LT(n, 8 * (int64_t)SEGMENT);
	CHECK_GT(counter(r, TOW_COUNTER_NO_LOANS), 0u);
	ack(r, 1 + 8 * SEGMENT, 1 + (uint32_t)n);
	CHECK_EQ(events_of(r, TOW_EVENT_WRITABLE), 1u);
	CHECK_GT(echo(r, 8 * SEGMENT - (size_t)n), 0);
	ack_everything(r, 1 + 8 * SEGMENT);
}

/* RFC 9293 3.10.5: after FIN nothing goes out; the loan stays the program's */
TCP_TEST(nothing_is_passed_after_shutdown)
{
	struct tow_span spans[TOW_SPANS_MAX];

	handshake_passive(r);
	CHECK_GT(arrive(r, 1, spans), 0);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	CHECK_EQ(echo(r, SEGMENT), TOW_EPIPE);
	CHECK_EQ(*(const uint8_t *)spans[0].ptr, pattern(1));
	tow_tcp_return(r->tcp, SEGMENT);
}

static void keep_frames(struct rig_options *o)
{
	o->hold_tx = true;
}

/* Design rule 4: acknowledged *and* no device refers to it */
TCP_TEST(buffer_waits_for_the_device)
{
	struct tow_span spans[TOW_SPANS_MAX];
	uint32_t window;

	open_with(r, keep_frames);
	handshake_passive(r);
	device_done_all(r);
	CHECK_GT(arrive(r, 4, spans), 0);
	CHECK_EQ(echo(r, 4 * SEGMENT), 4 * (int64_t)SEGMENT);
	ack(r, 1 + 4 * SEGMENT, 1 + 4 * SEGMENT);
	CHECK_EQ(info_of(r).queued_bytes, 0u);
	window = info_of(r).recv_window_bytes;
	memset(&spans, 0, sizeof(spans));
	device_done_all(r);
	poll_until_quiet(r);
	ack(r, 1 + 4 * SEGMENT, 1 + 4 * SEGMENT);
	CHECK_GE(info_of(r).recv_window_bytes, window);
}

/* The handle goes, the buffers stay with the device until it has done. */
TCP_TEST(abort_leaves_passed_buffers_to_the_device)
{
	struct tow_span spans[TOW_SPANS_MAX];

	open_with(r, keep_frames);
	handshake_passive(r);
	device_done_all(r);
	CHECK_GT(arrive(r, 4, spans), 0);
	CHECK_EQ(echo(r, 2 * SEGMENT + 600), 2 * (int64_t)SEGMENT + 600);
	tow_tcp_abort(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
	device_done_all(r);
	poll_until_quiet(r);
	/* rig_close() looks whether every buffer is back, once. */
}

TCP_TEST(reset_ends_what_was_passed)
{
	struct tow_span spans[TOW_SPANS_MAX];

	handshake_passive(r);
	CHECK_GT(arrive(r, 4, spans), 0);
	CHECK_EQ(echo(r, 3 * SEGMENT + 700), 3 * (int64_t)SEGMENT + 700);
	inject(r, .flags = RST | ACK, .seq = 1 + 4 * SEGMENT, .ack = 1);
	CHECK_EQ(echo(r, 300), TOW_ECONNRESET);
	tow_tcp_return(r->tcp, 300);
}

/* A close sends what is queued, and what was passed is that. */
TCP_TEST(close_delivers_what_was_passed)
{
	struct tow_span spans[TOW_SPANS_MAX];

	handshake_passive(r);
	CHECK_GT(arrive(r, 2, spans), 0);
	CHECK_EQ(echo(r, 2 * SEGMENT), 2 * (int64_t)SEGMENT);
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
	CHECK_EQ(bytes_sent(r), 2 * SEGMENT);
	ack(r, 1 + 2 * SEGMENT, 2 + 2 * SEGMENT);
	inject(r, .flags = FIN | ACK, .seq = 1 + 2 * SEGMENT,
	       .ack = 2 + 2 * SEGMENT);
}

/* Stacks share no memory: what one received the other cannot hold. */
TEST(bytes_of_another_stack_are_refused)
{
	struct rig_options o = rig_default(IPV4);
	struct rig *one = calloc(1, sizeof(*one));
	struct rig *two = calloc(1, sizeof(*two));
	struct tow_span spans[TOW_SPANS_MAX];

	CHECK(one && two);
	rig_open(one, &o);
	rig_open(two, &o);
	handshake_passive(one);
	handshake_passive(two);
	CHECK_GT(arrive(one, 1, spans), 0);
	CHECK_EQ(tow_tcp_pass(two->tcp, one->tcp, SEGMENT, 0), TOW_EINVAL);
	tow_tcp_return(one->tcp, SEGMENT);
	rig_close(one);
	rig_close(two);
	free(one);
	free(two);
}

/* Placed in, or copied once, and lent on: the program's memory both times. */
TCP_TEST(posted_bytes_are_lent_on)
{
	static uint8_t memory[2 * SEGMENT];
	struct tow_span span = { memory, sizeof(memory) };

	handshake_passive(r);
	CHECK_EQ(tow_tcp_post(r->tcp, &span, 5), 0);
	data(r, 1, SEGMENT);
	CHECK_EQ(events_of(r, TOW_EVENT_POST), 0u);
	data(r, 1 + SEGMENT, SEGMENT);
	CHECK_EQ(events_of(r, TOW_EVENT_POST), 1u);
	CHECK_EQ(event_of(r, TOW_EVENT_POST)->bytes, sizeof(memory));
	forget(r);
	CHECK_EQ(tow_tcp_lend(r->tcp, &span, 1, 6, 0), 0);
	r->written += sizeof(memory);
	poll_until_quiet(r);
	CHECK_EQ(peek(r)->spans[0].ptr, (void *)memory);
	ack_everything(r, 1 + 2 * SEGMENT);
	CHECK_EQ(loans_ended(r, 6), 1u);
	CHECK_EQ(passed(r), 0u);
	CHECK_EQ(r->corrupt, 0u);
}
