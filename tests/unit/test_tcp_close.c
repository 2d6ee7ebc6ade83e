/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ends: both sides' FINs in every order, half-closed connections, abort and
 * linger, TIME-WAIT and who may take its place. RFC 9293 3.6 and 3.10.4,
 * RFC 1122 4.2.2.13, RFC 1337, RFC 6191, RFC 2525 2.17.
 */
#include "tcp_peer.h"
#include <string.h>

static void app_close(struct rig *r)
{
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
}

static void ack(struct rig *r, uint32_t seq, uint32_t ack)
{
	inject(r, .flags = ACK, .seq = seq, .ack = ack);
}

/* Is the old connection still there? A stranger's ACK would be reset. */
static bool is_gone(struct rig *r, uint32_t seq, uint32_t our_seq)
{
	bool gone;

	forget(r);
	inject(r, .flags = ACK, .seq = seq - 1, .ack = our_seq);
	gone = peek(r)->flags & RST;
	CHECK_GE(waiting(r), 1u);
	forget(r);
	return gone;
}

/* RFC 9293 3.6 figure 12 */
TCP_TEST(active_close_walks_through_its_states)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK(sends(r, FIN | ACK, 1, 1, 0));
	CHECK_EQ(state_of(r), TOW_TCP_FIN_WAIT_1);
	ack(r, 1, 2);
	CHECK_EQ(state_of(r), TOW_TCP_FIN_WAIT_2);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 2);
	CHECK(sends(r, ACK, 2, 2, 0));
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
	CHECK_EQ(app_recv(r, 10), 0);
}

/* RFC 9293 3.6 figure 12, seen from B */
TCP_TEST(passive_close_walks_through_its_states)
{
	handshake_passive(r);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1);
	CHECK(sends(r, ACK, 1, 2, 0));
	CHECK_EQ(state_of(r), TOW_TCP_CLOSE_WAIT);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK(sends(r, FIN | ACK, 1, 2, 0));
	CHECK_EQ(state_of(r), TOW_TCP_LAST_ACK);
	ack(r, 2, 2);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(event_of(r, TOW_EVENT_CLOSED)->status, 0);
	CHECK_EQ(events_of(r, TOW_EVENT_CLOSED), 1u);
}

/* RFC 9293 3.6 figure 13 */
TCP_TEST(simultaneous_close_ends_in_time_wait)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	forget(r);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1);
	CHECK(sends(r, ACK, 2, 2, 0));
	CHECK_EQ(state_of(r), TOW_TCP_CLOSING);
	ack(r, 2, 2);
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
}

/* RFC 9293 3.10.7.4: the FIN that acknowledges ours skips FIN-WAIT-2 */
TCP_TEST(fin_with_the_ack_of_ours_goes_to_time_wait)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	forget(r);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 2, .bytes = 30);
	CHECK(sends(r, ACK, 2, 32, 0));
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
	CHECK_EQ(app_recv(r, 100), 30);
	CHECK_EQ(app_recv(r, 100), 0);
}

/* RFC 9293 3.6: after our FIN the peer may go on */
TCP_TEST(half_closed_by_us_still_receives)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	ack(r, 1, 2);
	for (uint32_t i = 0; i < 50; i++) {
		inject(r, .flags = ACK, .seq = 1 + i * 1000, .ack = 2,
		       .bytes = 1000);
		CHECK_EQ(app_recv(r, 2000), 1000);
	}
	advance_ms(r, 3600 * 1000); /* as long as the program holds it */
	CHECK_EQ(state_of(r), TOW_TCP_FIN_WAIT_2);
	inject(r, .flags = FIN | ACK, .seq = 50001, .ack = 2);
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
}

/* RFC 9293 3.6: after the peer's FIN we may go on */
TCP_TEST(half_closed_by_the_peer_still_sends)
{
	handshake_passive(r);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1);
	CHECK_EQ(app_recv(r, 10), 0);
	for (uint32_t i = 0; i < 20; i++) {
		app_send(r, FULL, 0);
		ack(r, 2, 1 + (i + 1) * FULL);
	}
	CHECK_EQ(info_of(r).queued_bytes, 0u);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSE_WAIT);
}

/* RFC 9293 3.10.4: queued bytes are delivered before the FIN */
TCP_TEST(close_delivers_what_was_queued)
{
	uint32_t sent = 0, una = 1;
	bool fin = false;

	handshake_passive(r);
	CHECK_EQ(app_lend(r, 40000, 1, 0), 0);
	app_close(r);
	for (unsigned i = 0; i < 40 && !fin; i++) {
		while (waiting(r)) {
			sent += peek(r)->bytes;
			fin |= peek(r)->flags & FIN;
			CHECK(!fin || peek(r)->seq + peek(r)->bytes == 40001);
			next(r);
		}
		una = 1 + sent + fin;
		ack(r, 1, una);
	}
	CHECK(fin);
	CHECK_EQ(sent, 40000u);
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_EQ(event_of(r, TOW_EVENT_LOAN)->object, NULL);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = una);
	CHECK(sends(r, ACK, 40002, 2, 0));
}

/* RFC 6298: a lost FIN is sent again */
TCP_TEST(lost_fin_is_sent_again)
{
	put_in_state(r, AT_FIN_WAIT_1);
	CHECK_NE(advance_to_segment(r, 1000000), UINT64_MAX);
	CHECK(sends(r, FIN | ACK, 1, 1, 0));
	CHECK_NE(advance_to_segment(r, 2000000), UINT64_MAX);
	CHECK(sends(r, FIN | ACK, 1, 1, 0));
}

/* RFC 9293 3.10.4: the text is acknowledged, the FIN is not */
TCP_TEST(ack_of_all_but_the_fin_sends_only_the_fin_again)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 500, 1, 0), 0);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	forget(r);
	ack(r, 1, 501);
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_EQ(state_of(r), TOW_TCP_FIN_WAIT_1);
	forget(r);
	CHECK_NE(advance_to_segment(r, 2000000), UINT64_MAX);
	CHECK(sends(r, FIN | ACK, 501, 1, 0));
	ack(r, 1, 502);
	CHECK_EQ(state_of(r), TOW_TCP_FIN_WAIT_2);
}

/* RFC 2525 2.17, RFC 9293 3.6.1: unread bytes are not thrown away silently */
TCP_TEST(close_with_unread_bytes_resets)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	forget(r);
	app_close(r);
	CHECK_EQ(waiting(r), 1u);
	CHECK_EQ(peek(r)->flags & RST, RST);
	CHECK_EQ(peek(r)->seq, 1u);
}

/* RFC 9293 3.6.1: nor bytes that come after close */
TCP_TEST(data_after_close_is_reset)
{
	handshake_passive(r);
	app_close(r);
	ack(r, 1, 2);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 2, .bytes = 10);
	CHECK_EQ(waiting(r), 1u);
	CHECK_EQ(peek(r)->flags & RST, RST);
	CHECK_EQ(peek(r)->seq, 2u);
	CHECK_GE(drops(r, TOW_DROP_TCP_CLOSED), 1u);
	CHECK(is_gone(r, 11, 2));
}

/* tow/tcp.h: bytes only borrowed and returned count as read */
TCP_TEST(close_after_everything_was_returned_is_a_fin)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	CHECK_EQ(app_borrow(r), 10);
	tow_tcp_return(r->tcp, 10);
	forget(r);
	app_close(r);
	CHECK(sends(r, FIN | ACK, 1, 11, 0));
}

/* RFC 9293 3.10.5: <SEQ=SND.NXT><CTL=RST> */
TCP_TEST(abort_sends_a_reset_and_forgets)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 3000, 7, 0), 0);
	forget(r);
	tow_tcp_abort(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
	CHECK_EQ(waiting(r), 1u);
	CHECK_EQ(peek(r)->flags & RST, RST);
	CHECK_EQ(peek(r)->seq, 3001u);
	CHECK_EQ(loans_ended(r, 7), 1u);
	CHECK_EQ(loan_status(r, 7), TOW_ECONNABORTED);
	CHECK(is_gone(r, 2, 3001));
}

/* RFC 9293 3.10.5: where there is a peer to tell, tell it; else be silent */
TCP_TEST(abort_resets_or_is_silent_by_state)
{
	static const struct {
		enum place at;
		bool reset;
	} cases[] = {
		{ AT_SYN_SENT, false },	  { AT_SYN_RECEIVED_ACTIVE, true },
		{ AT_ESTABLISHED, true }, { AT_FIN_WAIT_1, true },
		{ AT_FIN_WAIT_2, true },  { AT_CLOSE_WAIT, true },
		{ AT_CLOSING, false },	  { AT_LAST_ACK, false },
		{ AT_TIME_WAIT, false },
	};
	struct rig_options o = r->options;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_reopen(r, &o);
		put_in_state(r, cases[i].at);
		forget(r);
		tow_tcp_abort(r->tcp);
		r->tcp = NULL;
		poll_until_quiet(r);
		if (cases[i].reset) {
			CHECK_EQ(waiting(r), 1u);
			CHECK_EQ(peek(r)->seq, our_next(cases[i].at));
			CHECK(peek(r)->flags & RST);
		}
		/* CLOSING and LAST-ACK: 3.10.5 says no RST; one is harmless. */
		CHECK_LE(waiting(r), 1u);
	}
}

/* RFC 9293 3.9.1 and the sockets' habit: linger 0 makes close an abort */
TCP_TEST(close_with_linger_zero_resets)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_LINGER_S, 0), 0);
	app_send(r, 100, 0);
	forget(r);
	app_close(r);
	CHECK_EQ(peek(r)->flags & RST, RST);
	CHECK_EQ(peek(r)->seq, 101u);
	CHECK(is_gone(r, 2, 101));
}

/* RFC 9293 3.10.7.4: loans end and calls say why */
TCP_TEST(reset_by_the_peer_ends_loans_and_calls)
{
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 30000, 1, 0), 0);
	CHECK_EQ(app_lend(r, 100, 2, 0), 0);
	inject(r, .flags = RST, .seq = 1);
	CHECK_EQ(events_of(r, TOW_EVENT_CLOSED), 1u);
	CHECK_EQ(event_of(r, TOW_EVENT_CLOSED)->status, TOW_ECONNRESET);
	CHECK_EQ(loan_status(r, 1), TOW_ECONNRESET);
	CHECK_EQ(loan_status(r, 2), TOW_ECONNRESET);
	CHECK_EQ(tow_tcp_send(r->tcp, "x", 1, 0), TOW_ECONNRESET);
	CHECK_EQ(app_lend(r, 10, 3, 0), TOW_ECONNRESET);
	CHECK_EQ(app_recv(r, 10), TOW_ECONNRESET);
	advance_ms(r, 10000);
	CHECK_EQ(loans_ended(r, 1), 1u);
	CHECK_EQ(loans_ended(r, 2), 1u);
	CHECK_EQ(loans_ended(r, 3), 0u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RST_IN), 1u);
}

/* RFC 9293 3.10.7.4: the peer refuses what came after its close */
TCP_TEST(reset_in_close_wait_is_an_error)
{
	put_in_state(r, AT_CLOSE_WAIT);
	app_send(r, 100, 0);
	inject(r, .flags = RST, .seq = 2);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(tow_tcp_send(r->tcp, "x", 1, 0), TOW_ECONNRESET);
}

/* attacks: FIN-WAIT-2 for ever. A closed handle's connection ends. */
TCP_TEST(orphan_in_fin_wait_2_ends)
{
	handshake_passive(r);
	app_close(r);
	ack(r, 1, 2);
	advance_ms(r, 50000);
	advance_ms(r, 10 * 60 * 1000);
	CHECK(is_gone(r, 1, 2));
}

/* attacks: half-dead connections. A peer that vanishes in LAST-ACK. */
TCP_TEST(orphan_in_last_ack_ends)
{
	put_in_state(r, AT_CLOSE_WAIT);
	app_close(r);
	advance_ms(r, 30 * 60 * 1000);
	CHECK(is_gone(r, 2, 2));
}

/* --- TIME-WAIT --- */

/* RFC 9293 3.4.3, MUST-13: 2 MSL; with an MSL of 30 s that is a minute */
TCP_TEST(time_wait_lasts_60_seconds)
{
	put_in_state(r, AT_TIME_WAIT);
	advance_ms(r, 58000);
	CHECK(!is_gone(r, 2, 2));
	advance_ms(r, 62000); /* that ACK may have started it anew */
	CHECK(is_gone(r, 2, 2));
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* RFC 9293 3.10.7.4: a FIN again is acknowledged and restarts the timeout */
TCP_TEST(time_wait_acknowledges_the_fin_again_and_restarts)
{
	put_in_state(r, AT_TIME_WAIT);
	advance_ms(r, 50000);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 2);
	CHECK(sends(r, ACK, 2, 2, 0));
	advance_ms(r, 50000);
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
	advance_ms(r, 15000);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* RFC 9293 3.10.7.4, eighth: a FIN in TIME-WAIT is acknowledged, whatever */
TCP_TEST(time_wait_acknowledges_a_fin_at_the_next_number)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 2);
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
	forget(r);
	inject(r, .flags = FIN | ACK, .seq = 2, .ack = 2);
	CHECK(sends(r, ACK, 2, 2, 0));
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
}

/* RFC 9293 3.8.6: a FIN takes a number, but no room */
TCP_TEST(window_is_as_large_after_the_fin_as_before)
{
	struct tow_tcp_info info;

	handshake_passive(r);
	tow_tcp_info(r->tcp, &info);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1);
	CHECK_GE(peek(r)->window, info.recv_window_bytes);
	CHECK(sends(r, ACK, 1, 2, 0));
}

/* RFC 9293 3.10.7.4, first: nothing can have filled the window after a FIN */
TCP_TEST(ack_at_the_edge_of_the_window_after_the_fin_is_answered)
{
	handshake_passive(r);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1);
	ack(r, 2 + peek(r)->window, 1);
	CHECK(sends(r, ACK, 1, 2, 0));
	CHECK(sends(r, ACK, 1, 2, 0));
}

/* As Linux: where questions are answered, the answer's FIN carries the ACK */
TCP_TEST(fin_of_a_client_is_acknowledged_with_our_own)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	app_send(r, 10, 0);
	forget(r);
	inject(r, .flags = FIN | ACK, .seq = 11, .ack = 11);
	CHECK(sends_nothing(r));
	CHECK_EQ(app_recv(r, 100), 10);
	CHECK_EQ(app_recv(r, 100), 0);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK(sends(r, FIN | ACK, 11, 12, 0));
}

/* RFC 1337 3, RFC 5961 3.2: no old RST or in-window RST ends it */
TCP_TEST(time_wait_survives_assassination_by_old_segments)
{
	put_in_state(r, AT_TIME_WAIT);
	/* An old duplicate of the peer's data brings an ACK ... */
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 1);
	CHECK(sends(r, ACK, 2, 2, 0));
	/* ... that the peer, closed, answers with a RST with SEQ=SEG.ACK. */
	inject(r, .flags = RST, .seq = 1000);
	inject(r, .flags = RST, .seq = 0);
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
}

/* The connection of r->tcp is in TIME-WAIT, its handle closed. */
static void wait_without_handle(struct rig *r)
{
	put_in_state(r, AT_TIME_WAIT);
	app_close(r);
	forget(r);
}

/* RFC 6191 2: a newer timestamp; the SYN opens a new connection */
TCP_TEST(time_wait_yields_to_a_syn_with_a_newer_timestamp)
{
	uint32_t old_iss;

	wait_without_handle(r);
	advance_ms(r, 1100);
	old_iss = r->our_iss;
	r->peer_iss += 5000;
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	/* RFC 9293 3.4.1: and our own numbers begin above the old ones */
	CHECK_LE(r->our_iss - (old_iss + 2), 0x7fffffffu);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_GE(counter(r, TOW_COUNTER_TCP_TIME_WAIT_REUSED), 1u);
}

/* RFC 6191 2: even when the sequence number is smaller */
TCP_TEST(time_wait_yields_to_a_newer_timestamp_with_a_smaller_number)
{
	wait_without_handle(r);
	advance_ms(r, 1100);
	r->peer_iss -= 100000;
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
}

/* RFC 6191 2: a new connection takes its place; without one it stays */
TCP_TEST(time_wait_does_not_yield_where_nobody_listens)
{
	put_in_state(r, AT_TIME_WAIT);
	tow_listener_close(r->listener);
	r->listener = NULL;
	forget(r);
	inject(r, .flags = SYN, .seq = 5000, .mss = 1000, .ts = true,
	       .tsval = r->peer_ts + 100000);
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
	CHECK_EQ(peek(r)->flags & RST, 0);
}

/* RFC 6191 2: an older timestamp and an older number: not a new connection */
TCP_TEST(time_wait_does_not_yield_to_an_old_syn)
{
	wait_without_handle(r);
	inject(r, .flags = SYN, .seq = (uint32_t)-100000, .mss = 1000,
	       .ts = true, .tsval = r->peer_ts);
	CHECK_NE(peek(r)->flags & SYN, SYN);
	CHECK(sends(r, ACK, 2, 2, 0));
}

/* RFC 9293 3.10.7.4, RFC 1122 4.2.2.13: without timestamps the number decides
 */
TCP_TEST(time_wait_without_timestamps_yields_to_a_greater_number)
{
	r->options.offer.ts = false;
	wait_without_handle(r);
	inject(r, .flags = SYN, .seq = (uint32_t)-5000, .mss = 1000);
	CHECK_NE(peek(r)->flags & SYN, SYN);
	forget(r);
	r->peer_iss += 70000;
	inject(r, .flags = SYN, .seq = 0, .mss = 1000);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
}

/* RFC 9293 3.10.1: TIME-WAIT keeps the port pair from a new connect */
TCP_TEST(connect_does_not_collide_with_time_wait)
{
	struct tow_endpoint local = { r->us, r->our_port, 0 };
	struct tow_endpoint remote = { r->peer, r->peer_port, 0 };
	struct tow_tcp *tcp;
	int result;

	wait_without_handle(r);
	result = tow_tcp_connect(r->stack, &local, &remote, &tcp);
	CHECK(result == TOW_EADDRINUSE || result == 0);
	if (result == 0) /* RFC 6191: allowed, with a greater number */
		tow_tcp_abort(tcp);
}

/* Issue: exhaustion by TIME-WAIT. The oldest makes room for the new. */
TCP_TEST(time_wait_connections_do_not_keep_new_ones_out)
{
	struct rig_options o = r->options;

	o.cfg.tcp_max = 16;
	o.wrap = false;
	rig_reopen(r, &o);
	for (uint16_t i = 0; i < 40; i++) {
		r->peer_port = (uint16_t)(20000 + i);
		handshake_passive(r);
		CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
		poll_until_quiet(r);
		inject(r, .flags = FIN | ACK, .seq = 1, .ack = 2);
		CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
		app_close(r);
		forget(r);
	}
}

/* tow/stack.h tow_idle(): nothing is left in the end */
TCP_TEST(stack_is_idle_after_all_is_over)
{
	handshake_passive(r);
	CHECK(!tow_idle(r->stack));
	CHECK_EQ(app_lend(r, 500, 1, 0), 0);
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 502);
	CHECK_EQ(loan_status(r, 1), 0);
	advance_ms(r, 70000);
	CHECK(tow_idle(r->stack));
	CHECK_EQ(tow_deadline(r->stack) > r->now_us, true);
}

/* tow/event.h: no event for a closed handle, but those of its loans */
TCP_TEST(closed_handle_has_no_events_but_its_loans)
{
	struct tow_event events[16];
	struct tow_tcp *tcp;
	int n;

	handshake_passive(r);
	CHECK_EQ(app_lend(r, 1000, 1, 0), 0);
	r->event_count = 0;
	inject(r, .flags = ACK, .seq = 1, .ack = 1001, .bytes = 10,
	       .later = true);
	tow_poll(r->stack, r->now_us);
	tcp = r->tcp;
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	n = tow_events(r->stack, events, 16);
	for (int i = 0; i < n; i++) {
		CHECK_EQ(events[i].type, TOW_EVENT_LOAN);
		CHECK_NE(events[i].object, (void *)tcp);
		CHECK_EQ(events[i].token, 1u);
	}
	CHECK_EQ(n, 1);
}

/* tow/event.h: nothing is lost for want of room in the program's array */
TCP_TEST(events_come_one_by_one_as_well)
{
	struct tow_event event;
	unsigned loans = 0, others = 0;

	handshake_passive(r);
	for (uint64_t token = 1; token <= 5; token++)
		CHECK_EQ(app_lend(r, FULL, token, 0), 0);
	r->event_count = 0;
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1 + 5 * FULL,
	       .bytes = 10, .later = true);
	tow_poll(r->stack, r->now_us);
	while (tow_events(r->stack, &event, 1) == 1) {
		CHECK_LE(loans + others, 20u);
		if (event.type == TOW_EVENT_LOAN)
			CHECK_EQ(event.token, ++loans);
		else
			others++;
	}
	CHECK_EQ(loans, 5u);
	CHECK_GE(others, 1u);
}

/* RFC 9293 3.10.7.4: text that comes with the FIN after our close is too late
 */
TCP_TEST(data_with_a_fin_after_close_is_reset)
{
	handshake_passive(r);
	app_close(r);
	forget(r);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 2, .bytes = 10);
	CHECK_EQ(peek(r)->flags & RST, RST);
}

/* RFC 9293 3.10.7.4: old text after close is only a duplicate */
TCP_TEST(duplicate_data_after_close_is_not_reset)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100);
	CHECK_EQ(app_recv(r, 1000), 100);
	app_close(r);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 2, .bytes = 100);
	CHECK(sends(r, ACK, 2, 101, 0));
}

/* RFC 9293 3.9.1: linger: so long for the rest, then a reset */
TCP_TEST(close_with_linger_resets_when_it_runs_out)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_LINGER_S, 3), 0);
	CHECK_EQ(app_lend(r, 1000, 1, 0), 0);
	app_close(r);
	advance_ms(r, 2800);
	CHECK_EQ(loans_ended(r, 1), 0u);
	forget(r);
	advance_ms(r, 500);
	CHECK_EQ(loans_ended(r, 1), 1u);
	CHECK_NE(loan_status(r, 1), 0);
	CHECK_GE(waiting(r), 1u);
	CHECK_EQ(r->sent[r->sent_count - 1].flags & RST, RST);
}

/* RFC 9293 3.9.1: and nothing happens when all was delivered in time */
TCP_TEST(close_with_linger_ends_in_peace_when_acknowledged)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_LINGER_S, 3), 0);
	CHECK_EQ(app_lend(r, 1000, 1, 0), 0);
	app_close(r);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1002);
	CHECK_EQ(loan_status(r, 1), 0);
	forget(r);
	advance_ms(r, 10000);
	CHECK(sends_nothing(r));
}

/* RFC 9293 3.9.1: what waits for the peer's FIN alone has nothing to linger
 * for, and waits as long as others */
TCP_TEST(close_in_fin_wait_2_does_not_linger)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_LINGER_S, 1000), 0);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	ack(r, 1, 2);
	CHECK_EQ(state_of(r), TOW_TCP_FIN_WAIT_2);
	app_close(r);
	forget(r);
	advance_ms(r, 61000);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 2);
	CHECK(sends_reset(r, 2));
}

/* RFC 9293 3.6: shutting down the sending side reads on */
TCP_TEST(shutdown_with_unread_bytes_is_a_fin)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	forget(r);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK(sends(r, FIN | ACK, 1, 11, 0));
	CHECK_EQ(app_recv(r, 100), 10);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), TOW_EPIPE); /* it is shut already */
	poll_until_quiet(r);
	CHECK(sends_nothing(r));
}

/* RFC 9293 3.10.4: CLOSE in SYN-RECEIVED: FIN once it is established */
TCP_TEST(close_in_syn_received_sends_a_fin)
{
	put_in_state(r, AT_SYN_RECEIVED_ACTIVE);
	app_close(r);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	if (!waiting(r))
		advance_to_segment(r, 1000000);
	CHECK_EQ(peek(r)->flags, FIN | ACK);
	inject(r, .flags = ACK | FIN, .seq = 1, .ack = 2);
	advance_ms(r, 61000);
	CHECK(tow_idle(r->stack));
}

/* RFC 9293 3.10.7.4, fifth: what is no last ACK is answered, with a limit */
TCP_TEST(time_wait_answers_an_ack_ahead_of_what_came)
{
	uint32_t ours = our_next(AT_TIME_WAIT), peers = peer_next(AT_TIME_WAIT);

	put_in_state(r, AT_TIME_WAIT);
	inject(r, .flags = ACK, .seq = peers, .ack = ours);
	CHECK(sends_nothing(r)); /* or two of us could go on for ever */
	inject(r, .flags = ACK, .seq = peers + 1, .ack = ours);
	CHECK(sends(r, ACK, ours, peers, 0));
	for (unsigned i = 0; i < 50; i++)
		inject(r, .flags = ACK, .seq = peers + 1, .ack = ours);
	CHECK_LE(waiting(r), 10u);
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
}

/* tow/tcp.h: what came before accept is there after it */
TCP_TEST(accepted_connection_may_be_half_closed_already)
{
	listen_here(r, 4);
	syn_arrives(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1, .bytes = 70);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	poll_until_quiet(r);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSE_WAIT);
	CHECK_GE(events_of(r, TOW_EVENT_READABLE), 1u);
	CHECK_EQ(app_recv(r, 100), 70);
	CHECK_EQ(app_recv(r, 100), 0);
}

/* tow/tcp.h: it may be over already; what came can be read, as in Linux */
TCP_TEST(connection_reset_before_accept_is_no_trap)
{
	listen_here(r, 4);
	syn_arrives(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 70);
	inject(r, .flags = RST, .seq = 71);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(app_recv(r, 100), 70);
	CHECK_EQ(app_recv(r, 100), TOW_ECONNRESET);
	poll_until_quiet(r);
	CHECK_EQ(events_of(r, TOW_EVENT_CLOSED), 1u);
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	forget(r);
	r->options.wrap = false;
	r->peer_port++;
	handshake_passive(r);
}

/* tow/tcp.h: one that was reset and has nothing to read never gets there */
TCP_TEST(connection_reset_before_accept_without_data_is_gone)
{
	listen_here(r, 1);
	syn_arrives(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	inject(r, .flags = RST, .seq = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), TOW_EAGAIN);
	r->tcp = NULL;
	forget(r);
	r->peer_port++;
	handshake_passive(r);
}

/* tow/tcp.h tow_listener_close(): nothing is left of those that wait */
TCP_TEST(listener_is_closed_with_a_reset_connection_in_its_backlog)
{
	listen_here(r, 4);
	syn_arrives(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 70);
	inject(r, .flags = RST, .seq = 71);
	forget(r);
	tow_listener_close(r->listener);
	r->listener = NULL;
	poll_until_quiet(r);
	CHECK(sends_nothing(r));
	CHECK(tow_idle(r->stack));
}
