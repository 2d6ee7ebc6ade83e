/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stamps: when did a byte of the stream leave, and when was it acknowledged?
 */
#include "tcp_peer.h"
#include <string.h>

/* Queue a copy, and ask for the times of its last byte. */
static void send_stamped(struct rig *r, uint32_t bytes, uint64_t token)
{
	CHECK_EQ(tow_tcp_send(r->tcp, r->stream + r->written, bytes, 0), bytes);
	r->written += bytes;
	CHECK_EQ(tow_tcp_stamp(r->tcp, token), 0);
}

/* The stamp with this token, which must have come exactly once. */
static const struct tow_event *stamp_of(struct rig *r, uint64_t token)
{
	const struct tow_event *found = NULL;

	for (unsigned i = 0; i < r->event_count; i++) {
		if (r->events[i].type != TOW_EVENT_STAMP ||
		    r->events[i].token != token)
			continue;
		CHECK(!found);
		found = &r->events[i];
	}
	CHECK(found);
	return found;
}

/* tow/tcp.h: of the last byte, not of the first */
TCP_TEST(stamp_says_when_the_last_byte_left_and_when_it_was_acknowledged)
{
	const struct tow_event *e;
	uint64_t start;

	handshake_passive(r);
	start = r->now_us;
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .window = 2 * FULL + 128);
	send_stamped(r, 3 * FULL, 7);
	poll_until_quiet(r);
	CHECK_EQ(bytes_sent(r), 2 * FULL);
	advance_ms(r, 30);
	inject(r, .flags = ACK, .seq = 1, .ack = 1 + 2 * FULL);
	CHECK_EQ(bytes_sent(r), FULL);
	CHECK_EQ(events_of(r, TOW_EVENT_STAMP), 0u);
	advance_ms(r, 20);
	inject(r, .flags = ACK, .seq = 1, .ack = 1 + 3 * FULL);
	e = stamp_of(r, 7);
	CHECK_EQ(e->status, 0);
	CHECK_EQ(e->object, (void *)r->tcp);
	CHECK_EQ(e->sent_us, start + 30000);
	CHECK_EQ(e->acked_us, start + 50000);
}

/* tow/tcp.h: it is the first time that counts */
TCP_TEST(stamp_of_a_retransmitted_byte_says_when_it_left_first)
{
	const struct tow_event *e;
	uint64_t start;

	handshake_passive(r);
	start = r->now_us;
	send_stamped(r, 500, 1);
	poll_until_quiet(r);
	forget(r);
	CHECK_NE(advance_to_segment(r, 3000000), UINT64_MAX);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 501);
	e = stamp_of(r, 1);
	CHECK_EQ(e->sent_us, start);
	CHECK_GT(e->acked_us, start + 200000);
}

/* tow/tcp.h: a stamp changes nothing about what is sent */
TCP_TEST(stamped_writes_share_a_segment_and_a_chunk)
{
	const struct segment *s;

	handshake_passive(r);
	for (unsigned i = 0; i < 5; i++)
		send_stamped(r, 100, i);
	poll_until_quiet(r);
	s = peek(r);
	CHECK_EQ(s->bytes, 500u);
	CHECK_EQ(s->span_count, 1u);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 301);
	CHECK_EQ(events_of(r, TOW_EVENT_STAMP), 3u);
	inject(r, .flags = ACK, .seq = 1, .ack = 501);
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQ(stamp_of(r, i)->status, 0);
}

/* tow/tcp.h: however the bytes were queued, whatever the device keeps */
TCP_TEST(stamps_of_copies_and_loans_come_in_the_order_of_the_stream)
{
	struct rig_options o = r->options;
	unsigned seen = 0;

	o.hold_tx = true;
	rig_reopen(r, &o);
	handshake_passive(r);
	device_done_all(r);
	for (unsigned i = 0; i < 40; i++) {
		send_stamped(r, 7 + i, 2 * i);
		CHECK_EQ(tow_tcp_lend(r->tcp,
				      &(struct tow_span){
					      r->stream + r->written, 300 },
				      1, i, 0),
			 0);
		r->written += 300;
		CHECK_EQ(tow_tcp_stamp(r->tcp, 2 * i + 1), 0);
	}
	while (seen < r->written) {
		poll_until_quiet(r);
		seen += bytes_sent(r);
		inject(r, .flags = ACK, .seq = 1, .ack = 1 + seen);
	}
	while (r->held_count > 1)
		device_done(r, r->held_count / 2);
	device_done_all(r);
	seen = 0;
	for (unsigned i = 0; i < r->event_count; i++) {
		if (r->events[i].type == TOW_EVENT_STAMP)
			CHECK_EQ(r->events[i].token, seen++);
	}
	CHECK_EQ(seen, 80u);
	CHECK_EQ(events_of(r, TOW_EVENT_LOAN), 40u);
}

/* tow/tcp.h: of bytes that were passed, too */
TCP_TEST(stamp_of_passed_bytes_says_when_they_were_acknowledged)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = FULL);
	CHECK_EQ(app_borrow(r), (int64_t)FULL);
	CHECK_EQ(tow_tcp_pass(r->tcp, r->tcp, FULL, 0), (int64_t)FULL);
	r->read += FULL;
	r->written += FULL;
	CHECK_EQ(tow_tcp_stamp(r->tcp, 3), 0);
	poll_until_quiet(r);
	CHECK_EQ(bytes_sent(r), FULL);
	inject(r, .flags = ACK, .seq = 1 + FULL, .ack = 1 + FULL);
	CHECK_EQ(stamp_of(r, 3)->acked_us, r->now_us);
}

/* tow/tcp.h: the byte may have left already, so its time is not known */
TCP_TEST(stamp_with_nothing_to_send_is_refused)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_stamp(r->tcp, 1), TOW_EINVAL);
	CHECK_EQ(app_send(r, 100, 0), 100u);
	CHECK_EQ(tow_tcp_stamp(r->tcp, 1), TOW_EINVAL);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	CHECK_EQ(tow_tcp_stamp(r->tcp, 1), TOW_EPIPE);
	forget(r);
}

/* tow/event.h: exactly once, also at the end */
TCP_TEST(stamp_ends_with_the_connection)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .window = FULL + 128);
	send_stamped(r, FULL, 1);
	send_stamped(r, FULL, 2);
	poll_until_quiet(r);
	CHECK_EQ(bytes_sent(r), FULL);
	inject(r, .flags = RST, .seq = 1);
	CHECK_EQ(stamp_of(r, 1)->status, TOW_ECONNRESET);
	CHECK_NE(stamp_of(r, 1)->sent_us, 0u);
	CHECK_EQ(stamp_of(r, 1)->acked_us, 0u);
	CHECK_EQ(stamp_of(r, 2)->status, TOW_ECONNRESET);
	CHECK_EQ(stamp_of(r, 2)->sent_us, 0u);
	CHECK_EQ(tow_tcp_stamp(r->tcp, 3), TOW_ECONNRESET);
}

/* tow/event.h: also after close, with a NULL object */
TCP_TEST(stamp_comes_after_close)
{
	handshake_passive(r);
	send_stamped(r, 100, 9);
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 102);
	CHECK_EQ(stamp_of(r, 9)->status, 0);
	CHECK_EQ(stamp_of(r, 9)->object, NULL);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 102);
	forget(r);
}

/* tow/tcp.h: records are bounded, and those of stamps come back as others do */
TCP_TEST(stamps_are_refused_when_records_run_out)
{
	struct rig_options o = r->options;
	unsigned n = 0;
	int status;

	o.cfg.loans = 16;
	rig_reopen(r, &o);
	handshake_passive(r);
	CHECK_EQ(tow_tcp_send(r->tcp, r->stream, 10, 0), 10);
	r->written += 10;
	while ((status = tow_tcp_stamp(r->tcp, n)) == 0)
		n++;
	CHECK_EQ(status, TOW_ENOBUFS);
	CHECK_GE(n, 4u);
	CHECK_LT(n, 16u);
	CHECK_GE(counter(r, TOW_COUNTER_NO_LOANS), 1u);
	poll_until_quiet(r);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 11);
	CHECK_EQ(events_of(r, TOW_EVENT_STAMP), n);
	send_stamped(r, 10, 100);
	poll_until_quiet(r);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 21);
	CHECK_EQ(stamp_of(r, 100)->status, 0);
}
