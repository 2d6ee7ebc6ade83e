/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Marks in the stream: urgent data (RFC 9293 3.8.5, RFC 6093) and the ends of
 * records; and how much may wait to be sent.
 */
#include "tcp_peer.h"
#include <string.h>

static uint32_t queue(struct rig *r, uint32_t bytes, unsigned flags)
{
	return app_send(r, bytes, flags);
}

/* RFC 9293 3.8.5 MUST-32, RFC 6093 4: told once, and how far it is */
TCP_TEST(urgent_mark_is_told_and_can_be_read_up_to)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_urgent(r->tcp), TOW_EAGAIN);
	inject(r, .flags = ACK | URG, .seq = 1, .ack = 1, .bytes = 100,
	       .urgent = 50);
	CHECK_EQ(events_of(r, TOW_EVENT_URGENT), 1u);
	CHECK_EQ(tow_tcp_urgent(r->tcp), 49);
	CHECK_EQ(app_recv(r, 49), 49);
	CHECK_EQ(tow_tcp_urgent(r->tcp), 0);
	CHECK_EQ(app_recv(r, 1), 1);
	CHECK_EQ(tow_tcp_urgent(r->tcp), TOW_EAGAIN);
	CHECK_EQ(app_recv(r, 100), 50);
}

/* RFC 9293 3.8.5 MUST-32: again when the pointer advances, and not when not */
TCP_TEST(urgent_mark_that_advances_is_told_again)
{
	handshake_passive(r);
	inject(r, .flags = ACK | URG, .seq = 1, .ack = 1, .bytes = 10,
	       .urgent = 200);
	CHECK_EQ(tow_tcp_urgent(r->tcp), 199); /* not here yet */
	inject(r, .flags = ACK | URG, .seq = 11, .ack = 1, .bytes = 10,
	       .urgent = 190);
	CHECK_EQ(events_of(r, TOW_EVENT_URGENT), 1u);
	inject(r, .flags = ACK | URG, .seq = 21, .ack = 1, .bytes = 10,
	       .urgent = 500);
	CHECK_EQ(events_of(r, TOW_EVENT_URGENT), 2u);
	CHECK_EQ(tow_tcp_urgent(r->tcp), 519);
}

/* attacks: urgent pointer games. What was read already is no mark. */
TCP_TEST(urgent_pointer_games_do_not_mark_what_was_read)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100);
	CHECK_EQ(app_recv(r, 100), 100);
	inject(r, .flags = ACK | URG, .seq = 101, .ack = 1, .bytes = 1,
	       .urgent = 0);
	inject(r, .flags = ACK | URG, .seq = 101, .ack = 1, .urgent = 0);
	CHECK_EQ(events_of(r, TOW_EVENT_URGENT), 0u);
	CHECK_EQ(tow_tcp_urgent(r->tcp), TOW_EAGAIN);
	inject(r, .flags = ACK | URG | FIN, .seq = 102, .ack = 1,
	       .urgent = 65535);
	CHECK_EQ(app_recv(r, 100), 1);
	CHECK_EQ(app_recv(r, 100), 0);
}

/* RFC 9293 3.8.5 MUST-30, RFC 6093 4: each segment before the mark points to
 * the byte behind it */
TCP_TEST(urgent_data_is_pointed_to_by_all_segments_before_it)
{
	uint32_t end = 1;

	handshake_passive(r);
	forget(r);
	CHECK_EQ(queue(r, 2500, TOW_TCP_URGENT), 2500u);
	CHECK_EQ(queue(r, 100, 0), 100u);
	poll_until_quiet(r);
	for (unsigned i = 0; i < 3; i++) {
		const struct segment *s = next(r);

		CHECK(s->flags & URG);
		CHECK_EQ(s->seq + s->urgent, 2501u);
		end = s->seq + s->bytes;
	}
	inject(r, .flags = ACK, .seq = 1, .ack = end);
	forget(r);
	CHECK_EQ(queue(r, 100, 0), 100u);
	CHECK(!(next(r)->flags & URG));
}

/* RFC 9293 3.8.5: more than 65535 ahead is pointed to by the most there is */
TCP_TEST(urgent_byte_that_is_far_ahead_is_pointed_to_as_far_as_can_be)
{
	handshake_passive(r);
	forget(r);
	CHECK_EQ(queue(r, 100000, TOW_TCP_URGENT), 100000u);
	poll_until_quiet(r);
	CHECK_EQ(peek(r)->urgent, 65535u);
	CHECK(peek(r)->flags & URG);
	forget(r);
}

/* RFC 6093 4: the same when it was queued before our SYN took its number */
TCP_TEST(urgent_data_queued_before_the_syn_is_pointed_behind)
{
	struct tow_endpoint local = { r->us, r->our_port, 0 };
	struct tow_endpoint remote = { r->peer, r->peer_port, 0 };

	CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &r->tcp), 0);
	CHECK_EQ(queue(r, 10, TOW_TCP_URGENT), 10u);
	poll_until_quiet(r);
	CHECK(sends(r, SYN, 0, 0, 0));
	syn_ack_arrives(r);
	CHECK_EQ(peek(r)->urgent, 10u);
	CHECK(sends(r, ACK | URG, 1, 1, 10));
}

/* MSG_EOR: no segment has bytes of two records, not even sent again */
TCP_TEST(records_do_not_share_segments)
{
	static const uint32_t sizes[] = { 400, 400, 1400, 300 };
	uint32_t seq = 1;

	r->options.offer.sack_ok = false; /* no tail loss probe comes first */
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_MTU_PROBE, 0), 0);
	forget(r);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(queue(r, sizes[i], i < 3 ? TOW_TCP_EOR : 0), sizes[i]);
	poll_until_quiet(r);
	for (unsigned again = 0; again < 2; again++) {
		CHECK(sends(r, ACK, 1, 1, 400));
		if (again)
			inject(r, .flags = ACK, .seq = 1, .ack = 401);
		CHECK(sends(r, ACK, 401, 1, 400));
		if (again)
			inject(r, .flags = ACK, .seq = 1, .ack = 801);
		CHECK(sends(r, ACK, 801, 1, 1000));
		if (again)
			inject(r, .flags = ACK, .seq = 1, .ack = 1801);
		CHECK(sends(r, ACK, 1801, 1, 400));
		if (again)
			break;
		forget(r);
		advance_ms(r, 400); /* timeout: all is lost */
	}
	seq = 2201;
	inject(r, .flags = ACK, .seq = 1, .ack = seq);
	advance_ms(r, 10);
	forget(r);
}

/* The same for a probe of the path's MTU, which is larger than the others */
TCP_TEST(probe_of_the_mtu_does_not_join_records)
{
	struct tow_span record = { r->stream, 30001 };
	unsigned ends = 0;

	r->options.offer.mss = 1460;
	r->options.offer.window = 8u << 20;
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_MTU_PROBE, 2), 0);
	handshake_passive(r);
	forget(r);
	for (unsigned i = 0; i < 30; i++) {
		record.ptr = r->stream + i * record.len;
		CHECK_EQ(tow_tcp_lend(r->tcp, &record, 1, i, TOW_TCP_EOR), 0);
	}
	poll_until_quiet(r);
	for (unsigned i = 0; i < 2000 && waiting(r); i++) {
		const struct segment *s = next(r);
		uint32_t last = s->seq - 1 + s->bytes;

		CHECK_EQ((s->seq - 1) / 30001, (last - 1) / 30001);
		ends += last % 30001 == 0;
		inject(r, .flags = ACK, .seq = 1, .ack = last + 1);
	}
	CHECK_EQ(ends, 30u);
	CHECK_GT(counter(r, TOW_COUNTER_TCP_MTU_PROBES), 0u);
}

/* The end of a record is pushed, and does not wait for more */
TCP_TEST(end_of_a_record_is_pushed)
{
	handshake_passive(r);
	forget(r);
	CHECK_EQ(queue(r, 1400, TOW_TCP_EOR), 1400u);
	CHECK_EQ(queue(r, 100, TOW_TCP_EOR), 100u);
	CHECK_EQ(queue(r, 100, 0), 100u);
	poll_until_quiet(r);
	CHECK_EQ(next(r)->bytes, 1000u);
	CHECK_EQ(peek(r)->bytes, 400u);
	CHECK(next(r)->push);
	CHECK_EQ(peek(r)->bytes, 100u);
	CHECK(next(r)->push);
	forget(r);
}

/* TCP_NOTSENT_LOWAT: what waits is bounded, and WRITABLE comes by sending */
TCP_TEST(unsent_bytes_are_bounded_and_sending_makes_room)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_NOTSENT_LOWAT, 4000), 0);
	CHECK_EQ(tow_tcp_send_room(r->tcp), 4000u);
	CHECK_EQ(tow_tcp_send(r->tcp, r->stream, 60000, 0), 4000);
	r->written += 4000;
	CHECK_EQ(tow_tcp_send(r->tcp, r->stream, 1, 0), TOW_EAGAIN);
	CHECK_EQ(tow_tcp_lend(r->tcp, &(struct tow_span){ r->stream, 9 }, 1, 1,
			      0),
		 TOW_EAGAIN);
	poll_until_quiet(r);
	CHECK_EQ(events_of(r, TOW_EVENT_WRITABLE), 1u);
	CHECK_EQ(tow_tcp_send_room(r->tcp), 4000u);
	forget(r);
}

/* tow/event.h: when a loan left, and when it was acknowledged */
TCP_TEST(loan_says_when_it_left_and_when_it_was_acknowledged)
{
	const struct tow_event *e;
	uint64_t start;

	handshake_passive(r);
	start = r->now_us;
	CHECK_EQ(app_lend(r, 1000, 1, 0), 0);
	poll_until_quiet(r);
	advance_ms(r, 30);
	inject(r, .flags = ACK, .seq = 1, .ack = 1001);
	e = event_of(r, TOW_EVENT_LOAN);
	CHECK_EQ(e->sent_us, start);
	CHECK_EQ(e->acked_us, start + 30000);
	forget(r);
}

/* tow/tcp.h: who holds the sender up, and for how long */
TCP_TEST(info_says_what_held_the_sender_up)
{
	struct tow_tcp_info info;

	handshake_passive(r);
	forget(r);
	CHECK_EQ(info_of(r).busy_us, 0u);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .zero_window = true);
	CHECK_EQ(app_send(r, 1000, 0), 1000u);
	poll_until_quiet(r);
	advance_ms(r, 100);
	CHECK_EQ(info_of(r).window_limited_us, 100000u);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	forget(r);
	advance_ms(r, 50);
	inject(r, .flags = ACK, .seq = 1, .ack = 1001);
	advance_ms(r, 500);
	info = info_of(r);
	CHECK_EQ(info.window_limited_us, 100000u);
	CHECK_EQ(info.busy_us, 150000u);
	CHECK_EQ(info.acked_bytes, 1000u);
	CHECK_EQ(info.unsent_bytes, 0u);
	CHECK_EQ(info.peer_mss, FULL + (info.timestamps ? 12 : 0));
	CHECK_GT(info.min_rtt_us, 0u);
	forget(r);
}

/* --- RFC 5482 --- */

static const uint8_t uto_30_s[] = { 28, 4, 0, 30 };
static const uint8_t uto_5_min[] = { 28, 4, 0x80, 5 };
static const uint8_t uto_max[] = { 28, 4, 0xff, 0xff };
static const uint8_t uto_zero[] = { 28, 4, 0, 0 };

static bool has_option(const struct segment *s, const uint8_t *option)
{
	for (unsigned i = 0; i + 4 <= s->option_bytes; i++)
		if (!memcmp(s->options + i, option, 4))
			return true;
	return false;
}

/* RFC 5482 3.1: on the SYN, and when it changes */
TCP_TEST(user_timeout_is_told_on_the_syn_and_when_it_changes)
{
	connect_out(r);
	CHECK(!has_option(peek(r), uto_30_s));
	tow_tcp_abort(r->tcp);
	r->tcp = NULL;
	discard_rig(r);
	rig_open(r, &r->options);
	r->expects_option = 28;
	listen_here(r, 4);
	tow_listener_set(r->listener, TOW_TCP_USER_TIMEOUT_TELL, 1);
	tow_listener_set(r->listener, TOW_TCP_USER_TIMEOUT_MS, 30000);
	syn_arrives(r);
	CHECK(has_option(peek(r), uto_30_s));
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_send(r, 100, 0), 100u);
	CHECK(has_option(next(r), uto_30_s));
	CHECK_EQ(app_send(r, 100, 0), 100u);
	inject(r, .flags = ACK, .seq = 1, .ack = 101);
	CHECK(!has_option(next(r), uto_30_s));
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_MS, 300000), 0);
	inject(r, .flags = ACK, .seq = 1, .ack = 201);
	CHECK_EQ(app_send(r, 3000, 0), 3000u);
	CHECK(has_option(peek(r), (const uint8_t[]){ 28, 4, 0x01, 0x2c }));
	CHECK_LE(next(r)->bytes, FULL);
	forget(r);
}

/* A box may drop SYNs for it: it is told again when the handshake is over. */
TCP_TEST(user_timeout_does_not_go_with_a_syn_that_is_sent_again)
{
	r->expects_option = 28;
	listen_here(r, 4);
	tow_listener_set(r->listener, TOW_TCP_USER_TIMEOUT_TELL, 1);
	tow_listener_set(r->listener, TOW_TCP_USER_TIMEOUT_MS, 30000);
	syn_arrives(r);
	CHECK(has_option(next(r), uto_30_s));
	advance_ms(r, 1000);
	CHECK(!has_option(peek(r), uto_30_s));
	CHECK(next(r)->flags & SYN);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(app_send(r, 100, 0), 100u);
	CHECK(has_option(next(r), uto_30_s));
}

/* RFC 5482 3.1: the longer of both counts, but not longer than an hour */
TCP_TEST(user_timeout_of_the_peer_counts_within_limits)
{
	static const struct {
		const uint8_t *option;
		uint32_t dead_s;
	} cases[] = { { uto_5_min, 300 }, { uto_max, 3600 }, { uto_zero, 30 } };

	for (unsigned i = 0; i < 3; i++) {
		struct rig_options o = r->options;

		o.offer.ts = false;
		rig_reopen(r, &o);
		handshake_passive(r);
		r->expects_option = 28;
		tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_TELL, 1);
		tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_MS, 30000);
		inject(r, .flags = ACK, .seq = 1, .ack = 1,
		       .options = cases[i].option, .option_bytes = 4);
		CHECK_EQ(app_send(r, 100, 0), 100u);
		advance_ms(r, cases[i].dead_s * 1000ull - 1000);
		CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
		advance_ms(r, 2000);
		CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
		forget(r);
	}
}

/* RFC 9293 3.1: there are 40 bytes for options; SACK and time come first */
TCP_TEST(user_timeout_waits_where_other_options_leave_no_room)
{
	static const uint8_t uto_60_s[] = { 28, 4, 0, 60 };

	r->options.offer.ts = true;
	r->options.offer.sack_ok = true;
	handshake_passive(r);
	r->expects_option = 28;
	tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_TELL, 1);
	for (uint32_t seq = 1001; seq < 7000; seq += 2000)
		inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = FULL);
	forget(r);
	tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_MS, 60000);
	inject(r, .flags = ACK, .seq = 7001, .ack = 1, .bytes = FULL);
	CHECK_EQ(peek(r)->sacks, 3u);
	CHECK(!has_option(peek(r), uto_60_s));
	CHECK(sends(r, ACK, 1, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = FULL);
	CHECK(!has_option(peek(r), uto_60_s));
	CHECK(sends(r, ACK, 1, 2001, 0));
	inject(r, .flags = ACK, .seq = 2001, .ack = 1, .bytes = FULL);
	CHECK_EQ(peek(r)->sacks, 2u);
	CHECK(has_option(peek(r), uto_60_s));
	CHECK(sends(r, ACK, 1, 4001, 0));
}

/* RFC 5482 6: a SYN may be forged, and holds its place no longer for it */
TCP_TEST(user_timeout_on_a_syn_does_not_keep_it_half_open)
{
	listen_here(r, 4);
	tow_listener_set(r->listener, TOW_TCP_USER_TIMEOUT_TELL, 1);
	inject(r, .flags = SYN, .options = uto_max, .option_bytes = 4);
	advance_ms(r, 200000);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_TIMEOUTS), 1u);
	CHECK(next(r)->flags & SYN);
	forget(r);
}

/* RFC 5482 3: nobody's option counts where the program did not ask for it */
TCP_TEST(user_timeout_of_the_peer_is_ignored_by_default)
{
	struct rig_options o = r->options;

	o.offer.ts = false;
	rig_reopen(r, &o);
	handshake_passive(r);
	tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_MS, 5000);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .options = uto_max,
	       .option_bytes = 4);
	CHECK_EQ(app_send(r, 100, 0), 100u);
	advance_ms(r, 5500);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	forget(r);
}
