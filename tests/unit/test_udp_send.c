/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UDP on the way down: copying, lending, trains, limits, the end of loans.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "stack_host.h"
#include "test.h"
#include "wire/wire_arp.h"
#include "wire/wire_udp.h"

#define PEER4 "192.0.2.2"
#define PEER6 "2001:db8::2"

static struct stack_host s;
static struct frame f;
static struct tow_udp *udp;
static uint8_t data[66000], out[66000];

static void open_socket(uint32_t caps)
{
	struct tow_endpoint any = { .port = 7 };

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	stack_host_open(&s, caps);
	CHECK_EQ(tow_udp_open(s.stack, &any, &udp), 0);
}

static void close_socket(void)
{
	tow_udp_close(udp);
	stack_host_close(&s);
}

static struct tow_udp_message message(const char *peer,
				      const struct tow_span *spans, int count)
{
	struct tow_udp_message m = {
		.peer = endpoint(peer, 9),
		.spans = spans,
		.span_count = count,
		.token = 77,
	};

	return m;
}

static int send_to(const char *peer, size_t bytes)
{
	struct tow_span span = { data, bytes };
	struct tow_udp_message m = message(peer, &span, 1);

	return tow_udp_send(udp, &m, 1);
}

static int lend_to(const char *peer, const struct tow_span *spans, int count)
{
	struct tow_udp_message m = message(peer, spans, count);

	return tow_udp_lend(udp, &m, 1);
}

static void sent_is(unsigned index, size_t offset, size_t bytes)
{
	CHECK_LT(index, s.fake.sent_count);
	frame_read(&f, &s.fake.sent[index]);
	CHECK_EQ(f.bytes - f.transport, bytes + 8);
	CHECK_EQ(wire_get16(frame_transport(&f)), 7);
	CHECK_EQ(wire_get16(frame_transport(&f) + 2), 9);
	CHECK_EQ(wire_get16(frame_transport(&f) + 4), bytes + 8);
	CHECK_MEM(frame_transport(&f) + 8, data + offset, bytes);
}

static uint64_t copied(enum tow_copy reason)
{
	return tow_udp_ledger(udp)->copied_bytes[reason];
}

TEST(sent_datagram_has_the_bytes_and_a_right_checksum)
{
	static const size_t sizes[] = { 0, 1, 100, 127, 128, 129, 1000, 1452 };

	open_socket(0);
	for (unsigned i = 0; i < 8; i++) {
		CHECK_EQ(send_to(PEER4, sizes[i]), 1);
		CHECK_EQ(send_to(PEER6, sizes[i]), 1);
		CHECK_EQ(stack_host_sent(&s), 2);
		sent_is(0, 0, sizes[i]);
		sent_is(1, 0, sizes[i]);
	}
	CHECK_EQ(copied(TOW_COPY_TX_SEND),
		 2 * (0 + 1 + 100 + 127 + 128 + 129 + 1000 + 1452));
	close_socket();
}

/* RFC 768: a computed sum of zero goes out as all ones */
TEST(checksum_of_zero_is_sent_as_ones)
{
	unsigned seen = 0;
	struct tow_span span = { data, 2 };
	struct tow_udp_message m;

	open_socket(0);
	m = message(PEER6, &span, 1);
	for (uint32_t i = 0; i < 65536; i++) {
		wire_put16(data, i);
		CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
		if (i % 64 != 63)
			continue;
		for (unsigned n = stack_host_sent(&s); n-- > 0;) {
			const uint8_t *sum = s.fake.sent[n].data + 14 + 40 + 6;

			CHECK_NE(wire_get16(sum), 0);
			seen += wire_get16(sum) == 0xffff;
		}
	}
	CHECK_EQ(seen, 1);
	close_socket();
}

/* The device finishes it: the field holds the pseudo header's sum */
TEST(checksum_is_left_to_a_device_that_makes_it)
{
	open_socket(TOW_DEV_TX_CSUM);
	CHECK_EQ(send_to(PEER4, 1000), 1);
	CHECK_EQ(send_to(PEER6, 1000), 1);
	CHECK_EQ(stack_host_sent(&s), 2);
	CHECK(s.fake.sent[0].flags & TOW_BUF_CSUM_PARTIAL);
	sent_is(0, 0, 1000);
	sent_is(1, 0, 1000);
	CHECK_EQ(tow_udp_ledger(udp)->tx_touched_bytes, 0);
	close_socket();
}

TEST(spans_of_any_length_make_one_datagram)
{
	struct tow_span spans[] = { { data, 3 },
				    { NULL, 0 },
				    { data + 3, 200 },
				    { data + 203, 1 },
				    { data + 204, 700 } };
	struct tow_udp_message m;

	open_socket(0);
	m = message(PEER4, spans, 5);
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	CHECK_EQ(lend_to(PEER4, spans, 5), 1);
	CHECK_EQ(stack_host_sent(&s), 2);
	sent_is(0, 0, 904);
	sent_is(1, 0, 904);
	CHECK_EQ(s.fake.sent[1].spans[2].ptr, data + 3);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_LOAN);
	close_socket();
}

TEST(batch_is_sent_in_order)
{
	struct tow_span spans[40];
	struct tow_udp_message m[40];

	open_socket(0);
	for (int i = 0; i < 40; i++) {
		spans[i] = (struct tow_span){ data + i, 100 };
		m[i] = message(PEER4, &spans[i], 1);
	}
	CHECK_EQ(tow_udp_send(udp, m, 40), 40);
	CHECK_EQ(stack_host_sent(&s), 40);
	for (unsigned i = 0; i < 40; i++)
		sent_is(i, i, 100);
	close_socket();
}

TEST(calls_that_make_no_sense_are_refused)
{
	struct tow_span span = { data, 100 };
	struct tow_udp_message m;

	open_socket(0);
	m = message(PEER4, &span, 1);
	CHECK_EQ(tow_udp_send(udp, &m, 0), TOW_EINVAL);
	m.span_count = -1;
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EINVAL);
	m.span_count = TOW_SPANS_MAX + 1;
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EINVAL);
	m = message(PEER4, &span, 1);
	m.peer.port = 0;
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EINVAL);
	memset(&m.peer, 0, sizeof(m.peer));
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_ENOTCONN);
	m = message("198.51.100.1", &span, 1);
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_ENETUNREACH);
	m = message(PEER4, &span, 1);
	m.local = address(PEER4);
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EADDRNOTAVAIL);
	m.local = address("2001:db8::1");
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EADDRNOTAVAIL);
	span.len = SIZE_MAX;
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EMSGSIZE);
	CHECK_EQ(stack_host_sent(&s), 0);
	close_socket();
}

/*
 * Lending.
 */

/* The payload is never looked at: it lies where nobody may read */
TEST(lent_payload_is_neither_copied_nor_touched)
{
	uint8_t *page = mmap(NULL, 65536, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct tow_span spans[] = { { page + 1, 600 }, { page + 4096, 800 } };
	struct tow_event event;

	open_socket(TOW_DEV_TX_CSUM);
	s.fake.blind = true;
	CHECK_EQ(lend_to(PEER4, spans, 2), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	CHECK_EQ(s.fake.sent[0].span_count, 3);
	CHECK_EQ(s.fake.sent[0].spans[1].ptr, page + 1);
	CHECK_EQ(s.fake.sent[0].spans[2].ptr, page + 4096);
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_LOAN);
	CHECK_EQ(event.status, 0);
	CHECK_EQ(event.token, 77);
	CHECK_EQ(event.object, udp);
	CHECK_EQ(tow_udp_ledger(udp)->tx_lent_bytes, 1400);
	CHECK_EQ(tow_udp_ledger(udp)->tx_touched_bytes, 0);
	for (unsigned i = 0; i < TOW_COPY_REASONS; i++)
		CHECK_EQ(tow_stats(s.stack)->ledger.copied_bytes[i], 0);
	close_socket();
	munmap(page, 65536);
}

TEST(token_comes_back_when_the_device_is_done)
{
	struct tow_span span = { data, 1000 };

	open_socket(0);
	s.fake.keeps = true;
	CHECK_EQ(lend_to(PEER4, &span, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	stack_host_run(&s, 1000000);
	CHECK_EQ(stack_host_event(&s).type, 0);
	CHECK(!tow_idle(s.stack));
	fake_dev_release(&s.fake, 0);
	stack_host_poll(&s);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_LOAN);
	CHECK_EQ(stack_host_event(&s).type, 0);
	CHECK(tow_idle(s.stack));
	close_socket();
}

/* Of a train, the last piece that comes back ends the loan */
TEST(token_of_a_train_comes_back_with_the_last_piece)
{
	struct tow_span span = { data, 4000 };
	struct tow_udp_message m;

	open_socket(0);
	s.fake.keeps = true;
	m = message(PEER4, &span, 1);
	m.segment_bytes = 1000;
	CHECK_EQ(tow_udp_lend(udp, &m, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 4);
	for (unsigned i = 4; i-- > 0;) { /* in any order */
		CHECK_EQ(stack_host_event(&s).type, 0);
		fake_dev_release(&s.fake, i);
		stack_host_poll(&s);
	}
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_LOAN);
	CHECK_EQ(stack_host_event(&s).type, 0);
	close_socket();
}

/* tow/event.h: of the last piece, when it went, not when it came back */
TEST(loan_of_a_train_says_when_its_last_datagram_left)
{
	struct tow_span span = { data, 4000 };
	struct tow_udp_message m;
	struct tow_event event;
	uint64_t left_us;

	open_socket(0);
	s.fake.keeps = true;
	m = message(PEER4, &span, 1);
	m.segment_bytes = 1000;
	CHECK_EQ(tow_udp_lend(udp, &m, 1), 1);
	stack_host_poll(&s);
	left_us = s.now_us;
	CHECK_EQ(stack_host_sent(&s), 4);
	stack_host_run(&s, 50000);
	fake_dev_release_all(&s.fake);
	stack_host_poll(&s);
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_LOAN);
	CHECK_EQ(event.sent_us, left_us);
	CHECK_EQ(event.acked_us, 0);
	close_socket();
}

/* tow/udp.h: TOW_UDP_WITH_STAMP; the others of the same call have no event */
TEST(stamped_copy_says_when_it_left)
{
	struct tow_span span = { data, 100 };
	struct tow_udp_message m[3];
	struct tow_event event;
	uint64_t left_us;

	open_socket(0);
	for (unsigned i = 0; i < 3; i++)
		m[i] = message(PEER4, &span, 1);
	m[1].with = TOW_UDP_WITH_STAMP;
	m[1].token = 42;
	CHECK_EQ(tow_udp_send(udp, m, 3), 3);
	stack_host_poll(&s);
	left_us = s.now_us;
	CHECK_EQ(stack_host_sent(&s), 3);
	sent_is(1, 0, 100);
	CHECK_EQ(copied(TOW_COPY_TX_SEND), 300);
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_STAMP);
	CHECK_EQ(event.object, (void *)udp);
	CHECK_EQ(event.token, 42);
	CHECK_EQ(event.status, 0);
	CHECK_EQ(event.sent_us, left_us);
	CHECK_EQ(stack_host_event(&s).type, 0);
	close_socket();
}

/* tow/event.h: exactly once, whatever becomes of it */
TEST(stamp_of_a_copy_that_never_left_has_a_reason_and_no_time)
{
	struct tow_span span = { data, 100 };
	struct tow_udp_message m = message(PEER4, &span, 1);
	struct tow_event event;
	unsigned stamps = 0;

	open_socket(0);
	m.with = TOW_UDP_WITH_STAMP;
	s.fake.gone = true;
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	stack_host_poll(&s);
	stack_host_poll(&s);
	while ((event = stack_host_event(&s)).type) {
		if (event.type != TOW_EVENT_STAMP)
			continue;
		CHECK_EQ(event.status, TOW_ENETDOWN);
		stamps++;
	}
	CHECK_EQ(stamps, 1);
	close_socket();
}

/* tow_config.lend_bytes_min: copying is cheaper, the token comes back too */
TEST(small_loan_is_copied_and_its_token_comes_back)
{
	struct tow_span span = { data, 100 };

	open_socket(0);
	CHECK_EQ(lend_to(PEER4, &span, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	sent_is(0, 0, 100);
	CHECK_EQ(s.fake.sent[0].span_count, 1);
	CHECK_EQ(copied(TOW_COPY_TX_SMALL), 100);
	CHECK_EQ(tow_udp_ledger(udp)->tx_lent_bytes, 0);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_LOAN);
	close_socket();
}

TEST(empty_loan_is_an_empty_datagram)
{
	open_socket(0);
	CHECK_EQ(lend_to(PEER4, NULL, 0), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	sent_is(0, 0, 0);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_LOAN);
	close_socket();
}

/* More pieces than the device gathers: copied, and it says why */
TEST(too_many_spans_for_the_device_are_copied)
{
	struct tow_span spans[60];

	open_socket(0);
	for (int i = 0; i < 60; i++)
		spans[i] = (struct tow_span){ data + i * 20, 20 };
	CHECK_EQ(lend_to(PEER4, spans, 60), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	sent_is(0, 0, 1200);
	CHECK_EQ(s.fake.sent[0].span_count, 2);
	CHECK_EQ(copied(TOW_COPY_TX_SHAPE), 1200);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_LOAN);
	close_socket();
}

/* Payload that the device cannot reach */
TEST(payload_outside_of_the_arena_is_copied)
{
	struct tow_span spans[] = { { data, 600 }, { data + 600, 600 } };

	open_socket(TOW_DEV_ARENA);
	s.fake.dev.arena = (struct tow_span){ data, 1000 };
	CHECK_EQ(lend_to(PEER4, spans, 2), 1);
	CHECK_EQ(copied(TOW_COPY_TX_SHAPE), 1200);
	s.fake.dev.arena.len = 1200;
	CHECK_EQ(lend_to(PEER4, spans, 2), 1);
	CHECK_EQ(copied(TOW_COPY_TX_SHAPE), 1200);
	CHECK_EQ(stack_host_sent(&s), 2);
	sent_is(0, 0, 1200);
	sent_is(1, 0, 1200);
	CHECK_EQ(s.fake.sent[1].spans[1].ptr, data);
	close_socket();
}

/*
 * Trains.
 */

static struct tow_udp_message train(const struct tow_span *span,
				    uint16_t segment)
{
	struct tow_udp_message m = message(PEER4, span, 1);

	m.segment_bytes = segment;
	return m;
}

TEST(train_is_cut_in_software)
{
	struct tow_span span = { data, 3500 };
	struct tow_udp_message m = train(&span, 1000);

	open_socket(0);
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	CHECK_EQ(tow_udp_lend(udp, &m, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 8);
	for (unsigned i = 0; i < 8; i++)
		sent_is(i, i % 4 * 1000, i % 4 < 3 ? 1000 : 500);
	CHECK_EQ(s.fake.sent[4].spans[1].ptr, data);
	CHECK_EQ(s.fake.sent[5].spans[1].ptr, data + 1000);
	CHECK_EQ(tow_stats(s.stack)->counters[TOW_COUNTER_UDP_OUT], 8);
	close_socket();
}

TEST(train_is_cut_by_a_device_that_can)
{
	struct tow_span span = { data, 64000 };
	struct tow_udp_message m = train(&span, 1000);

	open_socket(TOW_DEV_TX_CSUM | TOW_DEV_USO);
	CHECK_EQ(tow_udp_lend(udp, &m, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	sent_is(0, 0, 64000);
	CHECK_EQ(s.fake.sent[0].gso, TOW_GSO_UDP);
	CHECK_EQ(s.fake.sent[0].gso_bytes, 1000);
	CHECK_EQ(s.fake.sent[0].header_bytes, 42);
	CHECK_EQ(s.fake.sent[0].spans[1].ptr, data);
	close_socket();
}

/* The device gathers so many pieces: then it is several frames */
TEST(train_of_chunks_is_split_by_the_spans_of_the_device)
{
	struct tow_span span = { data, 64000 };
	struct tow_udp_message m = train(&span, 1000);
	size_t at = 0;
	unsigned n;

	open_socket(TOW_DEV_TX_CSUM | TOW_DEV_USO);
	s.fake.dev.spans_max = 5;
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	n = stack_host_sent(&s);
	CHECK_EQ(n, 8); /* four chunks of 2 KiB: 8 datagrams a frame */
	for (unsigned i = 0; i < n; i++) {
		sent_is(i, at, 8000);
		CHECK_LE(s.fake.sent[i].span_count, 5);
		at += 8000;
	}
	close_socket();
}

TEST(train_of_one_datagram_is_no_train)
{
	struct tow_span span = { data, 900 };
	struct tow_udp_message m = train(&span, 1000);

	open_socket(TOW_DEV_TX_CSUM | TOW_DEV_USO);
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	CHECK_EQ(s.fake.sent[0].gso, TOW_GSO_NONE);
	close_socket();
}

/* As UDP_SEGMENT: 64 datagrams, 65507 bytes */
TEST(train_has_limits)
{
	struct tow_span span = { data, 6500 };
	struct tow_udp_message m = train(&span, 100);

	open_socket(0);
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EMSGSIZE);
	span.len = 6400;
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 64);
	m.segment_bytes = 1400;
	span.len = 65508;
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EMSGSIZE);
	span.len = 65507;
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 47);
	m.segment_bytes = 1473;
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EMSGSIZE);
	close_socket();
}

/* Span borders and datagram borders have nothing to do with each other */
TEST(train_over_many_spans_keeps_its_bytes)
{
	struct tow_span spans[64];
	struct tow_udp_message m;
	size_t total = 0;
	unsigned n;

	open_socket(0);
	s.fake.dev.spans_max = 6;
	for (int i = 0; i < 64; i++) {
		spans[i] = (struct tow_span){ data + total,
					      (size_t)(i * 37 % 400) };
		total += spans[i].len;
	}
	for (uint16_t segment = 200; segment <= 1400; segment += 171) {
		if (total > segment * 64u)
			continue;
		m = message(PEER4, spans, 64);
		m.segment_bytes = segment;
		CHECK_EQ(tow_udp_lend(udp, &m, 1), 1);
		n = stack_host_sent(&s);
		CHECK_EQ(n, (total + segment - 1) / segment);
		for (unsigned i = 0; i < n; i++) {
			size_t at = (size_t)i * segment;
			size_t left = total - at;

			sent_is(i, at, left < segment ? left : segment);
			CHECK_LE(s.fake.sent[i].span_count, 6);
		}
		CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_LOAN);
		CHECK_EQ(stack_host_event(&s).type, 0);
	}
	close_socket();
}

/*
 * Limits.
 */

/* The device's ring is full: EAGAIN, and an event when it is worth trying */
TEST(full_queue_says_eagain_and_then_writable)
{
	unsigned n = 0, sent = 0;

	open_socket(0);
	s.fake.takes_max = 0;
	while (send_to(PEER4, 1000) == 1) {
		stack_host_poll(&s);
		CHECK_LT(++n, 1000);
	}
	CHECK_EQ(send_to(PEER4, 1000), TOW_EAGAIN);
	CHECK_EQ(stack_host_event(&s).type, 0);
	s.fake.takes_max = 1000;
	for (int i = 0; i < 50; i++)
		sent += stack_host_sent(&s);
	CHECK_EQ(sent, n);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_WRITABLE);
	CHECK_EQ(stack_host_event(&s).type, 0);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_DEV_FULL), 0);
	CHECK_EQ(send_to(PEER4, 1000), 1);
	close_socket();
}

/* Loans count until they are over, so a device that keeps them slows us */
TEST(loans_count_against_the_send_buffer)
{
	struct tow_span span = { data, 1400 };
	struct tow_config cfg;
	struct tow_endpoint any = { .port = 7 };
	unsigned n = 0;

	stack_host_config(&cfg);
	cfg.send_bytes = 20000;
	stack_host_open_with(&s, &cfg, 0);
	CHECK_EQ(tow_udp_open(s.stack, &any, &udp), 0);
	s.fake.keeps = true;
	while (lend_to(PEER4, &span, 1) == 1) {
		stack_host_poll(&s);
		CHECK_LT(++n, 100);
	}
	CHECK_GE(n, 10);
	CHECK_LE(n, 16);
	stack_host_run(&s, 1000000);
	CHECK_EQ(lend_to(PEER4, &span, 1), TOW_EAGAIN);
	fake_dev_release_all(&s.fake);
	stack_host_poll(&s);
	stack_host_poll(&s);
	for (unsigned i = 0; i < n; i++)
		CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_LOAN);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_WRITABLE);
	CHECK_EQ(lend_to(PEER4, &span, 1), 1);
	s.fake.keeps = false;
	stack_host_poll(&s);
	stack_host_poll(&s);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_LOAN);
	close_socket();
}

/* Who sleeps until tow_deadline() hears of memory that came back since */
TEST(eagain_for_want_of_memory_ends_without_other_traffic)
{
	unsigned n = 0;

	open_socket(0);
	s.fake.keeps = true;
	while (send_to(PEER4, 1000) == 1) {
		stack_host_poll(&s);
		CHECK_LT(++n, 1000);
	}
	stack_host_run(&s, 100000);
	CHECK_EQ(stack_host_event(&s).type, 0);
	CHECK_GT(tow_deadline(s.stack), s.now_us + 10000);
	fake_dev_release_all(&s.fake);
	CHECK_LE(tow_deadline(s.stack), s.now_us + 1000);
	stack_host_poll(&s);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_WRITABLE);
	CHECK_GT(tow_deadline(s.stack), s.now_us + 10000);
	close_socket();
}

/* Tokens wait in the socket until they are taken, however late */
TEST(no_token_is_lost_when_nobody_takes_events)
{
	struct tow_span span = { data, 1000 };
	struct tow_udp_message m = message(PEER4, &span, 1);
	struct tow_event events[7];
	uint64_t token = 0, seen = 0;
	bool told[1000] = { false };
	int n, r = 1;

	open_socket(0);
	for (token = 0; r == 1; token++) {
		m.token = token;
		r = tow_udp_lend(udp, &m, 1);
		stack_host_sent(&s);
		CHECK_LT(token, 1000);
	}
	CHECK_EQ(r, TOW_EAGAIN); /* out of loan records */
	CHECK_GT(tow_stats(s.stack)->counters[TOW_COUNTER_NO_LOANS], 0);
	CHECK_EQ(send_to(PEER4, 1000), 1); /* which needs none */
	CHECK_EQ(tow_udp_lend(udp, &m, 1), TOW_EAGAIN);
	while ((n = tow_events(s.stack, events, 7)) > 0) {
		for (int i = 0; i < n; i++) {
			CHECK_EQ(events[i].type, TOW_EVENT_LOAN);
			CHECK(!told[events[i].token]);
			told[events[i].token] = true;
			seen++;
		}
	}
	CHECK_EQ(seen, token - 1);
	stack_host_poll(&s);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_WRITABLE);
	close_socket();
}

/* The oldest events: one each of @count messages, with such a status */
static void check_ends(enum tow_event_type type, unsigned count, int status)
{
	struct tow_event event;

	for (; count > 0; count--) {
		event = stack_host_event(&s);
		CHECK_EQ(event.type, type);
		CHECK_EQ(event.status, status);
		CHECK_EQ(event.token, 77);
		CHECK_EQ(event.sent_us != 0, status == 0);
	}
}

/* The neighbour never answers: the loan ends all the same, and says so */
TEST(loan_to_a_silent_neighbour_ends)
{
	static const char *const silent[] = { "192.0.2.99", "2001:db8::99" };
	struct tow_span span = { data, 1000 }, large = { data, 4000 };
	struct tow_udp_message m;

	open_socket(0);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(lend_to(silent[i], &span, 1), 1);
		CHECK_EQ(lend_to(silent[i], &large, 1), 1); /* fragments */
		m = message(silent[i], &large, 1);
		m.segment_bytes = 1000;
		CHECK_EQ(tow_udp_lend(udp, &m, 1), 1);
		stack_host_poll(&s);
		CHECK_EQ(stack_host_event(&s).type, 0);
		stack_host_run(&s, 5000000);
		check_ends(TOW_EVENT_LOAN, 3, TOW_EHOSTUNREACH);
		CHECK_EQ(stack_host_event(&s).type, 0);
	}
	close_socket();
}

TEST(stamp_of_a_copy_to_a_silent_neighbour_has_no_time)
{
	struct tow_span span = { data, 100 };
	struct tow_udp_message m = message("192.0.2.99", &span, 1);

	open_socket(0);
	m.with = TOW_UDP_WITH_STAMP;
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	stack_host_run(&s, 5000000);
	check_ends(TOW_EVENT_STAMP, 1, TOW_EHOSTUNREACH);
	CHECK_EQ(stack_host_event(&s).type, 0);
	close_socket();
}

/* RFC 4861 7.2.2: the oldest goes, and its loan ends with the reason */
TEST(loan_that_others_pushed_out_of_the_queue_says_so)
{
	struct tow_span span = { data, 1000 };

	open_socket(0);
	for (unsigned i = 0; i < 64 + 2; i++) {
		CHECK_EQ(lend_to("192.0.2.99", &span, 1), 1);
		stack_host_poll(&s);
	}
	check_ends(TOW_EVENT_LOAN, 2, TOW_ENOBUFS);
	CHECK_EQ(stack_host_event(&s).type, 0);
	frame_arp(&f, ARP_REPLY, peer_mac, "192.0.2.99", "192.0.2.1");
	stack_host_receive(&s, &f);
	stack_host_poll(&s);
	check_ends(TOW_EVENT_LOAN, 64, 0);
	CHECK_EQ(stack_host_event(&s).type, 0);
	close_socket();
}

/* A loan of several datagrams, of which one was lost in the queue */
TEST(train_of_which_a_datagram_was_pushed_out_did_not_leave)
{
	struct tow_span span = { data, 4000 }, one = { data, 1000 };
	struct tow_udp_message m = message("192.0.2.99", &span, 1);

	open_socket(0);
	m.segment_bytes = 1000;
	CHECK_EQ(tow_udp_lend(udp, &m, 1), 1);
	stack_host_poll(&s);
	for (unsigned i = 0; i < 64 - 3; i++) {
		CHECK_EQ(lend_to("192.0.2.99", &one, 1), 1);
		stack_host_poll(&s);
	}
	frame_arp(&f, ARP_REPLY, peer_mac, "192.0.2.99", "192.0.2.1");
	stack_host_receive(&s, &f);
	stack_host_poll(&s);
	check_ends(TOW_EVENT_LOAN, 1, TOW_ENOBUFS);
	check_ends(TOW_EVENT_LOAN, 64 - 3, 0);
	CHECK_EQ(stack_host_event(&s).type, 0);
	close_socket();
}

/* The device vanishes: loans end with the reason */
TEST(loan_ends_when_the_device_is_gone)
{
	struct tow_span span = { data, 1000 };
	struct tow_event event;
	int loans = 0;

	open_socket(0);
	CHECK_EQ(lend_to(PEER4, &span, 1), 1);
	s.fake.gone = true;
	CHECK_EQ(lend_to(PEER4, &span, 1), 1);
	stack_host_poll(&s);
	stack_host_poll(&s);
	while ((event = stack_host_event(&s)).type) {
		if (event.type != TOW_EVENT_LOAN)
			continue;
		CHECK_EQ(event.status, TOW_ENETDOWN);
		loans++;
	}
	CHECK_EQ(loans, 2);
	CHECK_LT(lend_to(PEER4, &span, 1), 0);
	close_socket();
}

/* tow_event.h: LOAN comes after close too, with a NULL object */
TEST(loan_of_a_closed_socket_ends_with_an_event)
{
	struct tow_span span = { data, 1000 };
	struct tow_udp_message m = message(PEER4, &span, 1);
	struct tow_event event;

	open_socket(0);
	s.fake.keeps = true;
	m.token = 1;
	CHECK_EQ(tow_udp_lend(udp, &m, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	m.token = 2;
	CHECK_EQ(tow_udp_lend(udp, &m, 1), 1);
	tow_udp_close(udp); /* one with the device, one still queued */
	stack_host_poll(&s);
	stack_host_poll(&s);
	CHECK_EQ(s.fake.sent_count, 2);
	fake_dev_release_all(&s.fake);
	stack_host_poll(&s);
	for (uint64_t token = 1; token <= 2; token++) {
		event = stack_host_event(&s);
		CHECK_EQ(event.type, TOW_EVENT_LOAN);
		CHECK_EQ(event.object, NULL);
		CHECK_EQ(event.token, token);
	}
	CHECK_EQ(stack_host_event(&s).type, 0);
	CHECK(tow_idle(s.stack));
	stack_host_close(&s);
}

TEST(closed_socket_frees_its_place_when_all_left)
{
	struct tow_endpoint any = { .port = 0 };
	struct tow_udp *more[8];

	open_socket(0);
	s.fake.takes_max = 0;
	CHECK_EQ(send_to(PEER4, 1000), 1);
	stack_host_poll(&s);
	tow_udp_close(udp);
	s.fake.takes_max = 1000;
	stack_host_poll(&s);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(tow_udp_open(s.stack, &any, &more[i]), 0);
	for (int i = 0; i < 8; i++)
		tow_udp_close(more[i]);
	stack_host_close(&s);
}

/*
 * To ourselves.
 */

/*
 * The bytes lent by one socket are borrowed by the other: no copy, nor a look,
 * since nobody may read them.
 */
TEST(loan_to_ourselves_is_borrowed_in_place)
{
	void *page =
		mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct tow_span span = { page, 5000 }, got[TOW_SPANS_MAX];
	struct tow_endpoint other = { .port = 9 };
	struct tow_udp_message m, from;
	struct tow_udp *receiver;

	open_socket(0);
	CHECK_EQ(tow_udp_open(s.stack, &other, &receiver), 0);
	m = message("127.0.0.1", &span, 1);
	CHECK_EQ(tow_udp_lend(udp, &m, 1), 1);
	stack_host_poll(&s);
	stack_host_poll(&s);
	CHECK_EQ(s.fake.sent_count, s.seen);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_READABLE);
	CHECK_EQ(stack_host_event(&s).type, 0); /* still on loan */
	CHECK_EQ(tow_udp_borrow(receiver, got, TOW_SPANS_MAX, &from), 1);
	CHECK_EQ(got[0].ptr, page);
	CHECK_EQ(got[0].len, 5000);
	CHECK_EQ(from.peer.port, 7);
	tow_udp_return(receiver, 1);
	stack_host_poll(&s);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_LOAN);
	CHECK_EQ(tow_stats(s.stack)->ledger.tx_touched_bytes, 0);
	CHECK_EQ(tow_stats(s.stack)->ledger.rx_touched_bytes, 0);
	tow_udp_close(receiver);
	close_socket();
	munmap(page, 8192);
}

TEST(train_to_ourselves_arrives_as_datagrams)
{
	struct tow_span span = { data, 3500 };
	struct tow_udp_message m = train(&span, 1000), from;
	struct tow_endpoint other = { .port = 9 };
	struct tow_udp *receiver;

	open_socket(0);
	CHECK_EQ(tow_udp_open(s.stack, &other, &receiver), 0);
	m.peer = endpoint("::1", 9);
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	stack_host_poll(&s);
	stack_host_poll(&s);
	for (int i = 0; i < 4; i++) {
		int64_t want = i < 3 ? 1000 : 500;

		CHECK_EQ(tow_udp_recv(receiver, out, sizeof(out), &from), want);
		CHECK_MEM(out, data + i * 1000, (size_t)want);
	}
	CHECK_EQ(tow_udp_recv(receiver, out, 1, &from), TOW_EAGAIN);
	tow_udp_close(receiver);
	close_socket();
}

/* RFC 1122 3.2.2.1 applies to ourselves, too */
TEST(closed_port_of_our_own_is_told)
{
	struct tow_endpoint peer = endpoint("127.0.0.1", 99);
	struct tow_udp_message m = { 0 };

	open_socket(0);
	CHECK_EQ(tow_udp_connect(udp, &peer), 0);
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	for (int i = 0; i < 4; i++)
		stack_host_poll(&s);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_ERROR);
	CHECK_EQ(tow_udp_recv(udp, out, 1, NULL), TOW_ECONNREFUSED);
	close_socket();
}

/* RFC 4861 7.2.2 by way of UDP: a connected socket hears of the silence */
TEST(connected_socket_hears_that_its_peer_is_silent)
{
	struct tow_endpoint peer = endpoint("192.0.2.99", 99);
	struct tow_udp_message m = { 0 };
	struct tow_event event;

	open_socket(0);
	CHECK_EQ(tow_udp_connect(udp, &peer), 0);
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	stack_host_run(&s, 5000000);
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_ERROR);
	CHECK_EQ(event.status, TOW_EHOSTUNREACH);
	close_socket();
}

/* Allocation fails at each point in turn: nothing breaks, nothing leaks */
TEST(sending_survives_every_failing_allocation)
{
	struct tow_span span = { data, 20000 };
	struct tow_udp_message m = train(&span, 1000);
	struct tow_config cfg;
	struct tow_endpoint any = { .port = 7 };
	int r;

	for (uint32_t bufs = 4; bufs < 40; bufs++) {
		stack_host_config(&cfg);
		cfg.tx_bufs = bufs;
		cfg.tx_chunks = 40 - bufs;
		stack_host_open_with(&s, &cfg, 0);
		CHECK_EQ(tow_udp_open(s.stack, &any, &udp), 0);
		r = tow_udp_send(udp, &m, 1);
		CHECK(r == 1 || r == TOW_EAGAIN);
		CHECK_EQ(stack_host_sent(&s), r == 1 ? 20 : 0);
		r = tow_udp_lend(udp, &m, 1);
		CHECK(r == 1 || r == TOW_EAGAIN);
		CHECK_EQ(stack_host_sent(&s), r == 1 ? 20 : 0);
		close_socket();
	}
}
