/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loans: memory of the program that goes out in place, is sent again from the
 * same place, and comes back exactly once.
 *
 * The rig's stream lies in memory as it lies in sequence space, so that a
 * segment's payload must point at stream[SEG.SEQ - 1], the first time and each
 * time after.
 */
#define _GNU_SOURCE
#include "tcp_peer.h"
#include <string.h>
#include <sys/mman.h>

#define AT(n) (1 + FULL * (n))

static void ack(struct rig *r, uint32_t ack)
{
	inject(r, .flags = ACK, .seq = 1, .ack = ack);
}

/* Every byte of the payload of every segment that waits is lent memory. */
static uint32_t check_in_place(struct rig *r)
{
	uint32_t bytes = 0;

	while (waiting(r)) {
		const struct segment *s = next(r);
		const uint8_t *at = r->stream + s->seq - 1;

		for (unsigned i = 0; i < s->span_count; i++) {
			CHECK_EQ((const uint8_t *)s->spans[i].ptr, at);
			at += s->spans[i].len;
		}
		CHECK_EQ((size_t)(at - (r->stream + s->seq - 1)),
			 (size_t)s->bytes);
		bytes += s->bytes;
	}
	forget(r);
	return bytes;
}

static void ack_everything(struct rig *r)
{
	while (info_of(r).in_flight_bytes) {
		uint64_t una = r->written - info_of(r).queued_bytes + 1;

		ack(r, (uint32_t)una + info_of(r).in_flight_bytes);
	}
}

/* tow/tcp.h: when all bytes are acknowledged, and not before */
TCP_TEST(token_comes_back_once_with_the_last_ack)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 3000, 17, 0), 0);
	CHECK_EQ(check_in_place(r), 3000u);
	ack(r, AT(1));
	ack(r, AT(2));
	ack(r, AT(3) - 1);
	CHECK_EQ(loans_ended(r, 17), 0u);
	ack(r, AT(3));
	CHECK_EQ(loans_ended(r, 17), 1u);
	CHECK_EQ(loan_status(r, 17), 0);
	CHECK_EQ(event_of(r, TOW_EVENT_LOAN)->object, (void *)r->tcp);
	advance_ms(r, 5000);
	CHECK_EQ(loans_ended(r, 17), 1u);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->tx_lent_bytes, 3000u);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->copied_bytes[TOW_COPY_TX_SEND], 0u);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->copied_bytes[TOW_COPY_TX_SMALL], 0u);
}

/* tow/event.h: the program's word comes along */
TCP_TEST(loan_event_carries_the_user_word)
{
	int word;

	handshake_passive(r);
	tow_tcp_set_user(r->tcp, &word);
	CHECK_EQ(app_lend(r, 1000, 1, 0), 0);
	ack(r, AT(1));
	CHECK_EQ(event_of(r, TOW_EVENT_LOAN)->user, (void *)&word);
	CHECK_EQ(tow_tcp_user(r->tcp), (void *)&word);
}

/* Design rule 4: acknowledged *and* no device refers to them */
TCP_TEST(token_waits_for_the_device)
{
	struct rig_options o = r->options;

	o.hold_tx = true;
	rig_reopen(r, &o);
	handshake_passive(r);
	device_done_all(r);
	CHECK_EQ(app_lend(r, 3000, 1, 0), 0);
	CHECK_EQ(r->held_count, 3u);
	ack(r, AT(3));
	CHECK_EQ(loans_ended(r, 1), 0u);
	device_done(r, 1); /* in another order than sent */
	device_done(r, 1);
	poll_until_quiet(r);
	CHECK_EQ(loans_ended(r, 1), 0u);
	device_done(r, 0);
	poll_until_quiet(r);
	CHECK_EQ(loans_ended(r, 1), 1u);
}

/* Design rule 4: the first copy still in the device, the second acknowledged */
TCP_TEST(token_waits_for_the_original_after_a_retransmission)
{
	struct rig_options o = r->options;

	o.hold_tx = true;
	rig_reopen(r, &o);
	handshake_passive(r);
	device_done_all(r);
	CHECK_EQ(app_lend(r, 1000, 1, 0), 0);
	advance_ms(r, 400);
	CHECK_EQ(r->held_count, 2u);
	device_done(r, 1);
	ack(r, AT(1));
	CHECK_EQ(loans_ended(r, 1), 0u);
	device_done(r, 0);
	poll_until_quiet(r);
	CHECK_EQ(loans_ended(r, 1), 1u);
	CHECK_EQ(loan_status(r, 1), 0);
}

/* Design rule 4: an abort cannot take memory away from a device */
TCP_TEST(token_of_an_aborted_connection_waits_for_the_device)
{
	struct rig_options o = r->options;

	o.hold_tx = true;
	rig_reopen(r, &o);
	handshake_passive(r);
	device_done_all(r);
	CHECK_EQ(app_lend(r, 30000, 1, 0), 0);
	tow_tcp_abort(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
	CHECK_EQ(loans_ended(r, 1), 0u);
	device_done_all(r);
	CHECK_EQ(loans_ended(r, 1), 1u);
	CHECK_EQ(loan_status(r, 1), TOW_ECONNABORTED);
	CHECK_EQ(event_of(r, TOW_EVENT_LOAN)->object, NULL);
}

/* Design rule 4: a reset neither */
TCP_TEST(token_of_a_reset_connection_waits_for_the_device)
{
	struct rig_options o = r->options;

	o.hold_tx = true;
	rig_reopen(r, &o);
	handshake_passive(r);
	device_done_all(r);
	CHECK_EQ(app_lend(r, 30000, 1, 0), 0);
	inject(r, .flags = RST, .seq = 1);
	CHECK_EQ(loans_ended(r, 1), 0u);
	device_done_all(r);
	CHECK_EQ(loans_ended(r, 1), 1u);
	CHECK_EQ(loan_status(r, 1), TOW_ECONNRESET);
}

/* Issue 3: retransmission from the same loan: timer, SACK and splits */
TCP_TEST(retransmissions_come_from_the_same_memory)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 10 * FULL, 1, 0), 0);
	CHECK_EQ(check_in_place(r), 10 * FULL);
	advance_ms(r, 350); /* timer */
	CHECK_GE(check_in_place(r), FULL);
	ack(r, 501); /* in the middle */
	CHECK_GE(check_in_place(r), 0u);
	for (uint32_t to = 4; to <= 9; to++) /* holes */
		inject(r, .flags = ACK, .seq = 1, .ack = 501, .sacks = 1,
		       .sack = { { AT(3), AT(to) } });
	advance_ms(r, 3000);
	CHECK_GE(check_in_place(r), FULL);
	ack(r, AT(10));
	CHECK_EQ(loans_ended(r, 1), 1u);
	CHECK_EQ(loan_status(r, 1), 0);
}

/* tow/tcp.h: any length and alignment; spans that cross segments and back */
TCP_TEST(loan_of_many_odd_spans_is_sent_in_place)
{
	struct tow_span spans[TOW_SPANS_MAX];
	uint32_t at = 0;

	handshake_passive(r);
	for (int i = 0; i < TOW_SPANS_MAX; i++) {
		spans[i] = (struct tow_span){ r->stream + at,
					      (size_t)(513 + i * 37 % 700) };
		at += (uint32_t)spans[i].len;
	}
	CHECK_EQ(tow_tcp_lend(r->tcp, spans, TOW_SPANS_MAX, 9, 0), 0);
	r->written = at;
	memset(spans, 0xff, sizeof(spans)); /* the array is the program's */
	poll_until_quiet(r);
	CHECK_EQ(check_in_place(r), 10 * FULL);
	while (loan_status(r, 9) == 1) {
		ack(r, (uint32_t)(r->written - info_of(r).queued_bytes) + 1 +
			       info_of(r).in_flight_bytes);
		check_in_place(r);
	}
	CHECK_EQ(loan_status(r, 9), 0);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->tx_lent_bytes, at);
}

/* tow/stack.h lend_bytes_min: small spans are copied, the token comes */
TCP_TEST(small_spans_are_copied_and_their_token_still_comes)
{
	struct tow_span spans[3] = { { r->stream, 100 },
				     { r->stream + 100, 0 },
				     { r->stream + 100, 50 } };
	uint64_t small = r->options.cfg.lend_bytes_min;
	bool copied = small > 100;

	handshake_passive(r);
	spans[0].ptr = r->stream;
	spans[1].ptr = NULL;
	spans[2].ptr = r->stream + 100;
	CHECK_EQ(tow_tcp_lend(r->tcp, spans, 3, 5, 0), 0);
	poll_until_quiet(r);
	CHECK_EQ(bytes_sent(r), 150u);
	CHECK_EQ(loans_ended(r, 5), 0u);
	ack(r, 151);
	CHECK_EQ(loans_ended(r, 5), 1u);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->copied_bytes[TOW_COPY_TX_SMALL],
		 copied ? 150u : 0u);
}

/* tow/tcp.h: sends and loans mix in order and complete in order */
TCP_TEST(sends_and_loans_mix_in_one_stream)
{
	uint32_t seed = 5, lent = 0, copied = 0;
	uint64_t token = 100;
	unsigned seen = 0;

	handshake_passive(r);
	for (unsigned i = 0; i < 200; i++) {
		seed = seed * 1664525 + 1013904223;
		if (seed >> 31) {
			uint32_t n = 1 + (seed >> 8) % 3000;

			if (app_lend(r, n, token, 0) == 0) {
				token++;
				lent += n;
			}
		} else if (tow_tcp_send_room(r->tcp) > 3000) {
			copied += app_send(r, 1 + (seed >> 8) % 300, 0);
		}
		if (i % 5 == 0 && info_of(r).in_flight_bytes)
			ack(r,
			    (uint32_t)(r->written - info_of(r).queued_bytes) +
				    1 + info_of(r).in_flight_bytes / 2 + 1);
	}
	ack_everything(r);
	for (unsigned i = 0; i < r->event_count; i++)
		if (r->events[i].type == TOW_EVENT_LOAN) {
			CHECK_EQ(r->events[i].token, 100u + seen);
			CHECK_EQ(r->events[i].status, 0);
			seen++;
		}
	CHECK_EQ(seen, (unsigned)(token - 100));
	CHECK_EQ((uint32_t)r->written, lent + copied);
	CHECK_GE(seen, 50u);
}

/* tow/tcp.h: what lend refuses, and that a refused loan is none */
TCP_TEST(lend_refuses_what_is_no_loan)
{
	struct tow_span span = { r->stream, 1000 }, empty = { r->stream, 0 };
	struct tow_span many[TOW_SPANS_MAX + 1];

	for (int i = 0; i <= TOW_SPANS_MAX; i++)
		many[i] = (struct tow_span){ r->stream, 600 };
	handshake_passive(r);
	span.ptr = r->stream;
	CHECK_EQ(tow_tcp_lend(r->tcp, &span, 0, 1, 0), TOW_EINVAL);
	CHECK_EQ(tow_tcp_lend(r->tcp, &span, -1, 1, 0), TOW_EINVAL);
	CHECK_EQ(tow_tcp_lend(r->tcp, &empty, 1, 1, 0), TOW_EINVAL);
	CHECK_EQ(tow_tcp_lend(r->tcp, many, TOW_SPANS_MAX + 1, 1, 0),
		 TOW_EINVAL);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	CHECK_EQ(tow_tcp_lend(r->tcp, &span, 1, 1, 0), TOW_EPIPE);
	poll_until_quiet(r);
	ack(r, 2);
	CHECK_EQ(loans_ended(r, 1), 0u);
}

/* tow/tcp.h: a loan of any length is taken while there is any room */
TCP_TEST(loan_larger_than_the_send_buffer_is_taken_whole)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_SEND_BYTES, 65536), 0);
	CHECK_EQ(app_lend(r, 3000000, 1, 0), 0);
	CHECK_EQ(info_of(r).queued_bytes, 3000000u);
	CHECK_EQ(app_lend(r, 1000, 2, 0), TOW_EAGAIN);
	CHECK_EQ(tow_tcp_send_room(r->tcp), 0u);
	while (loan_status(r, 1) == 1) {
		ack(r, (uint32_t)(r->written - info_of(r).queued_bytes) + 1 +
			       info_of(r).in_flight_bytes);
		check_in_place(r);
	}
	CHECK_EQ(events_of(r, TOW_EVENT_WRITABLE), 1u);
	CHECK_EQ(app_lend(r, 1000, 2, 0), 0);
}

/* tow/stack.h: out of loan records is an error, counted, and passes */
TCP_TEST(running_out_of_loan_records_is_survived)
{
	struct rig_options o = r->options;
	unsigned taken = 0;

	o.cfg.loans = 16;
	rig_reopen(r, &o);
	handshake_passive(r);
	while (app_lend(r, 600, taken, 0) == 0)
		CHECK_LE(++taken, 16u);
	CHECK_GE(taken, 4u);
	CHECK_GE(counter(r, TOW_COUNTER_NO_LOANS), 1u);
	ack_everything(r);
	for (unsigned i = 0; i < taken; i++)
		CHECK_EQ(loans_ended(r, i), 1u);
	CHECK_GE(events_of(r, TOW_EVENT_WRITABLE), 1u);
	CHECK_EQ(app_lend(r, 600, 99, 0), 0);
}

/* Drive the stream through a peer that acknowledges all, to its end. */
static void finish(struct rig *r, uint64_t token)
{
	for (unsigned i = 0; i < 20000 && loan_status(r, token) == 1; i++) {
		uint32_t top = 0;

		while (waiting(r)) {
			const struct segment *s = next(r);

			if (s->seq + s->bytes > top)
				top = s->seq + s->bytes;
		}
		forget(r);
		if (r->options.hold_tx)
			device_done_all(r);
		if (top)
			ack(r, top);
		else
			advance_ms(r, 10);
	}
	CHECK_EQ(loan_status(r, token), 0);
}

/* tow/stack.h: few segment records make it slow, not wrong */
TCP_TEST(running_out_of_segment_records_is_survived)
{
	struct rig_options o = r->options;

	o.cfg.segments = 4;
	rig_reopen(r, &o);
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	finish(r, 1);
	CHECK_GE(counter(r, TOW_COUNTER_NO_SEGMENTS), 1u);
}

/* tow/stack.h: nor do few buffers, all of them in the device */
TCP_TEST(running_out_of_tx_buffers_is_survived)
{
	struct rig_options o = r->options;

	o.cfg.tx_bufs = 4;
	o.hold_tx = true;
	rig_reopen(r, &o);
	listen_here(r, 4);
	syn_arrives(r);
	device_done_all(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	forget(r);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	CHECK_LE(r->held_count, 4u);
	finish(r, 1);
	CHECK_GE(counter(r, TOW_COUNTER_NO_TX_BUFFERS), 1u);
}

/* tow/dev.h: a ring that takes one frame at a time */
TCP_TEST(full_device_ring_is_survived)
{
	handshake_passive(r);
	r->tx_limit = 1;
	CHECK_EQ(app_lend(r, 200000, 1, 0), 0);
	finish(r, 1);
}

/* tow/event.h: the device is gone; memory comes back, once, and not as sent */
TCP_TEST(vanished_device_gives_the_loans_back)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 30000, 1, 0), 0);
	CHECK_EQ(app_lend(r, 3000, 2, 0), 0);
	r->gone = true;
	poll_until_quiet(r);
	advance_ms(r, 30 * 60 * 1000);
	CHECK_EQ(events_of(r, TOW_EVENT_DEVICE), 1u);
	CHECK_EQ(event_of(r, TOW_EVENT_DEVICE)->token, 0u);
	CHECK_EQ(loans_ended(r, 1), 1u);
	CHECK_EQ(loans_ended(r, 2), 1u);
	CHECK_EQ(loan_status(r, 1), TOW_ENETDOWN);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* --- checksums and large segments --- */

/* Design: computed in one pass and remembered for retransmission */
TCP_TEST(software_checksum_touches_each_byte_once)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 3000, 1, 0), 0);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->tx_touched_bytes, 3000u);
	advance_ms(r, 2000);
	CHECK_GE(counter(r, TOW_COUNTER_TCP_RETRANS_SEGS), 2u);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->tx_touched_bytes, 3000u);
}

/* tow/dev.h TOW_DEV_TX_CSUM */
TCP_TEST(checksum_offload_leaves_lent_bytes_untouched)
{
	struct rig_options o = r->options;

	o.caps = TOW_DEV_TX_CSUM;
	rig_reopen(r, &o);
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 3000, 1, 0), 0);
	while (waiting(r))
		CHECK(next(r)->csum_partial);
	advance_ms(r, 2000);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->tx_touched_bytes, 0u);
}

static void use_tso(struct rig *r)
{
	struct rig_options o = r->options;

	o.caps = TOW_DEV_TX_CSUM | TOW_DEV_TSO4 | TOW_DEV_TSO6;
	o.gso_bytes_max = 64000;
	rig_reopen(r, &o);
	handshake_passive(r);
}

/* Grow cwnd until a single frame could carry 64 KB. */
static void grow(struct rig *r)
{
	CHECK_EQ(app_lend(r, 500000, 90, 0), 0);
	finish(r, 90);
	CHECK_GE(info_of(r).cwnd_bytes, 100 * FULL);
}

/* Issue 3: TSO segments up to 64 KiB across span borders, in place */
TCP_TEST(large_segments_cross_span_borders_in_place)
{
	struct tow_span spans[TOW_SPANS_MAX];
	uint32_t at, largest = 0;

	use_tso(r);
	grow(r);
	at = (uint32_t)r->written;
	for (int i = 0; i < TOW_SPANS_MAX; i++) {
		spans[i] = (struct tow_span){ r->stream + at,
					      (size_t)(4096 - i % 7) };
		at += (uint32_t)spans[i].len;
	}
	CHECK_EQ(tow_tcp_lend(r->tcp, spans, TOW_SPANS_MAX, 1, 0), 0);
	r->written = at;
	poll_until_quiet(r);
	for (unsigned i = r->sent_taken; i < r->sent_count; i++) {
		if (r->sent[i].bytes > largest)
			largest = r->sent[i].bytes;
		if (r->sent[i].gso)
			CHECK_EQ(r->sent[i].gso_bytes, FULL);
	}
	CHECK_GE(largest, 60000u);
	check_in_place(r);
	finish(r, 1);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->tx_touched_bytes, 0u);
}

/* Issue 3: partial ACKs and SACK holes inside of a large segment */
TCP_TEST(hole_in_a_large_segment_sends_only_the_hole)
{
	uint32_t base, resent = 0;

	use_tso(r);
	grow(r);
	base = (uint32_t)r->written + 1;
	CHECK_EQ(app_lend(r, 60000, 1, 0), 0);
	check_in_place(r);
	/* 7 to 8 of 60 are lost */
	for (uint32_t to = 12; to <= 60; to += 8)
		inject(r, .flags = ACK, .seq = 1, .ack = base + 7 * FULL,
		       .sacks = 1,
		       .sack = { { base + 9 * FULL, base + to * FULL } });
	while (waiting(r)) {
		const struct segment *s = next(r);

		CHECK_GE(s->seq, base + 7 * FULL);
		CHECK_LE(s->seq + s->bytes, base + 9 * FULL);
		resent += s->bytes;
	}
	CHECK_EQ(resent, 2 * FULL);
	ack(r, base + 60000);
	CHECK_EQ(loan_status(r, 1), 0);
}

/* RFC 6298: a large segment that is lost goes again within the loss window */
TCP_TEST(timeout_resends_one_packet_of_a_large_segment)
{
	uint32_t base;

	r->options.offer.sack_ok = false; /* no tail loss probe comes first */
	use_tso(r);
	grow(r);
	base = (uint32_t)r->written + 1;
	CHECK_EQ(app_lend(r, 60000, 1, 0), 0);
	check_in_place(r);
	advance_to_segment(r, 10000000);
	CHECK(sends(r, ACK, base, 1, FULL));
	CHECK(sends_nothing(r));
	finish(r, 1);
}

/*
 * The proof of issue 3: payload in pages that nobody may read goes through
 * send, ACK, loss, SACK and timer to a device that only records spans.
 */
static void check_unreadable(struct rig *r, uint32_t caps, uint32_t gso_max)
{
	struct rig_options o = r->options;
	size_t bytes = 256 * 4096;
	uint8_t *pages = mmap(NULL, bytes, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct tow_span span = { pages, bytes };
	uint32_t una = 1;

	CHECK(pages != MAP_FAILED);
	o.caps = caps;
	o.gso_bytes_max = gso_max;
	o.blind = true;
	rig_reopen(r, &o);
	handshake_passive(r);
	CHECK_EQ(tow_tcp_lend(r->tcp, &span, 1, 1, 0), 0);
	poll_until_quiet(r);
	for (unsigned round = 0; una <= bytes; round++) {
		uint32_t flight = info_of(r).in_flight_bytes;

		CHECK_LT(round, 5000u);
		if (round % 17 == 3 && flight >= 8 * FULL)
			inject(r, .flags = ACK, .seq = 1, .ack = una,
			       .sacks = 1,
			       .sack = { { una + 2 * FULL, una + 7 * FULL } });
		if (round % 23 == 5)
			advance_ms(r, 2000);
		una += flight > 3333 ? flight - 777 : flight;
		ack(r, una);
		forget(r);
	}
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->tx_lent_bytes, bytes);
	CHECK_EQ(tow_tcp_ledger(r->tcp)->tx_touched_bytes, 0u);
	CHECK_GE(counter(r, TOW_COUNTER_TCP_RTO), 1u);
	CHECK_GE(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
	for (unsigned i = 0; i < TOW_COPY_REASONS; i++)
		CHECK_EQ(tow_tcp_ledger(r->tcp)->copied_bytes[i], 0u);
	munmap(pages, bytes);
}

/* Issue 3, section 3 */
TCP_TEST(unreadable_pages_are_sent_with_checksum_offload)
{
	check_unreadable(r, TOW_DEV_TX_CSUM, 0);
}

/* Issue 3, section 3 */
TCP_TEST(unreadable_pages_are_sent_with_segmentation_offload)
{
	check_unreadable(r, TOW_DEV_TX_CSUM | TOW_DEV_TSO4 | TOW_DEV_TSO6,
			 64000);
}
