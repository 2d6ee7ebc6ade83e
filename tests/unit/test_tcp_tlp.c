/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tail loss probes, RFC 8985 7: when nothing comes back any more, one segment
 * asks, two round trips after the last was sent or acknowledged.
 */
#include "tcp_flight.h"

#define PTO_US (2 * RTT_MS * 1000u)

static uint64_t probes(struct rig *r)
{
	return counter(r, TOW_COUNTER_TCP_TAIL_PROBES);
}

/* RFC 8985 7.2, 7.3: the last segment again, then the timer has its time */
TCP_TEST(silent_tail_is_probed_after_two_round_trips)
{
	uint64_t waited;

	fly(r, 10);
	waited = advance_to_segment(r, 10000000);
	CHECK_GE(waited, PTO_US - 5000);
	CHECK_LE(waited, PTO_US + 10000);
	CHECK(sends(r, ACK, AT(9), 1, FULL));
	CHECK(sends_nothing(r));
	CHECK_EQ(probes(r), 1u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
	waited = advance_to_segment(r, 10000000);
	CHECK_GE(waited, 3 * RTT_MS * 1000 - 10000);
	CHECK_LE(waited, 3 * RTT_MS * 1000 + 30000);
	CHECK(sends(r, ACK, 1, 1, FULL));
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 1u);
}

/* RFC 9293 3.10.7.4, first: the ACK in what is old already is not looked at */
TCP_TEST(ack_that_went_with_a_probe_is_owed_still)
{
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100);
	forget(r);
	CHECK_EQ(app_lend(r, 10 * FULL, 1, 0), 0);
	forget(r);
	advance_us(r, PTO_US - 20000);
	inject(r, .flags = ACK, .seq = 101, .ack = 1, .bytes = 100);
	CHECK(sends_nothing(r));
	advance_to_segment(r, 10000000);
	CHECK(sends(r, ACK, AT(9), 201, FULL));
	CHECK_EQ(probes(r), 1u);
	advance_to_segment(r, 10000000);
	CHECK(sends(r, ACK, AT(10), 201, 0));
}

/* RFC 8985 7.3: one probe for each tail */
TCP_TEST(tail_is_probed_once)
{
	fly(r, 10);
	for (unsigned i = 0; i < 6; i++) {
		advance_to_segment(r, 100000000);
		forget(r);
	}
	CHECK_EQ(probes(r), 1u);
	CHECK_GE(counter(r, TOW_COUNTER_TCP_RTO), 4u);
}

/* RFC 8985 7.3: nor before the round trip was measured, since the beginning */
TCP_TEST(connection_whose_round_trip_is_not_known_is_not_probed)
{
	uint64_t waited;

	r->options.offer.ts = false;
	connect_out(r);
	advance_ms(r, 1500); /* so whose answer it is nobody knows */
	syn_ack_arrives(r);
	forget(r);
	CHECK_EQ(info_of(r).srtt_us, 0u);
	app_send(r, 5 * FULL, 0);
	forget(r);
	waited = advance_to_segment(r, 10000000);
	CHECK_GE(waited, 3000000u); /* RFC 6298 5.7 */
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 1u);
	CHECK_EQ(probes(r), 0u);
}

/* RFC 8985 7.3: where no probe is sent, the RTO starts anew all the same */
TCP_TEST(probe_that_may_not_be_sent_gives_the_timer_its_time)
{
	uint64_t waited;

	fly(r, 10);
	advance_ms(r, RTT_MS);
	sack(r, 1, 0, 1); /* a strange one, but something is SACKed */
	CHECK(sends_nothing(r));
	waited = advance_to_segment(r, 10000000);
	CHECK_GE(waited, PTO_US - RTT_MS * 1000 + 3 * RTT_MS * 1000 - 10000);
	CHECK_EQ(probes(r), 0u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 1u);
}

/* RFC 8985 7.2: the ACK of one segment may be delayed; but not beyond the RTO
 */
TCP_TEST(lone_segment_is_probed_when_the_timer_would_expire)
{
	uint64_t waited;

	fly(r, 1);
	waited = advance_to_segment(r, 10000000);
	CHECK_GE(waited, 3 * RTT_MS * 1000 - 10000);
	CHECK_LE(waited, 3 * RTT_MS * 1000 + 30000);
	CHECK(sends(r, ACK, 1, 1, FULL));
	CHECK_EQ(probes(r), 1u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
	CHECK_EQ(info_of(r).cwnd_bytes, 10 * FULL);
}

/* RFC 8985 7.3: new data if there is some, whatever cwnd says */
TCP_TEST(probe_is_new_data_if_there_is_some)
{
	fly(r, 30);
	advance_to_segment(r, 10000000);
	CHECK(sends(r, ACK, AT(10), 1, FULL));
	CHECK(sends_nothing(r));
	CHECK_EQ(probes(r), 1u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RETRANS_SEGS), 0u);
}

/* RFC 8985 7.3: as far as the peer's window goes */
TCP_TEST(probe_stays_within_the_peers_window)
{
	r->options.offer.window = 10240; /* the window is scaled */
	fly(r, 30);
	advance_to_segment(r, 10000000);
	CHECK(sends(r, ACK, AT(9), 1, FULL));
}

/* RFC 8985 7.2: an ACK gives the rest two round trips again */
TCP_TEST(ack_restarts_the_probe_timer)
{
	uint64_t waited;

	fly(r, 10);
	advance_ms(r, RTT_MS);
	ack(r, AT(5));
	CHECK(sends_nothing(r));
	waited = advance_to_segment(r, 10000000);
	CHECK_GE(waited, PTO_US - 5000);
	CHECK_LE(waited, PTO_US + 10000);
	CHECK(sends(r, ACK, AT(9), 1, FULL));
}

/* RFC 8985 7.1: the probe's SACK tells RACK what was lost before it */
TCP_TEST(lost_tail_is_repaired_without_a_timeout)
{
	fly(r, 10);
	advance_ms(r, RTT_MS);
	ack(r, AT(6)); /* 6 to 9 are lost */
	advance_to_segment(r, 10000000);
	CHECK(sends(r, ACK, AT(9), 1, FULL));
	advance_ms(r, RTT_MS);
	sack(r, AT(6), 9, 10);
	CHECK(sends(r, ACK, AT(6), 1, FULL));
	advance_ms(r, RTT_MS);
	ack(r, AT(7));
	CHECK_EQ(peek(r)->seq, AT(7));
	while (waiting(r))
		next(r);
	advance_ms(r, RTT_MS);
	ack(r, AT(10));
	CHECK_EQ(loan_status(r, 1), 0);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 0u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_FAST_RECOVERY), 1u);
}

/* A flight whose last segment is probed. */
static void probe_the_last(struct rig *r)
{
	fly(r, 10);
	advance_ms(r, RTT_MS);
	ack(r, AT(9));
	advance_to_segment(r, 10000000);
	CHECK(sends(r, ACK, AT(9), 1, FULL));
	CHECK_EQ(probes(r), 1u);
	advance_ms(r, RTT_MS);
}

static void acknowledge_another(struct rig *r)
{
	app_send(r, FULL, 0);
	advance_ms(r, RTT_MS);
	ack(r, AT(11));
}

/* RFC 8985 7.4.2: a loss that nobody noticed, but the probe repaired */
TCP_TEST(probe_that_repaired_a_loss_reduces_the_window)
{
	probe_the_last(r);
	ack(r, AT(10));
	CHECK_GE(info_of(r).ssthresh_bytes, 1u << 30);
	acknowledge_another(r);
	CHECK_LE(info_of(r).ssthresh_bytes, 10 * FULL);
	CHECK_LE(info_of(r).cwnd_bytes, 10 * FULL);
}

/* RFC 8985 7.4.2: one reduction, of what was in flight before the ACK */
TCP_TEST(probe_that_repaired_a_loss_reduces_the_window_no_more_than_once)
{
	probe_the_last(r);
	ack(r, AT(10));
	CHECK_EQ(app_lend(r, 10 * FULL, 2, 0), 0);
	advance_ms(r, RTT_MS);
	ack(r, AT(20)); /* nothing is in flight any more */
	CHECK_EQ(info_of(r).ssthresh_bytes, 7 * FULL);
	CHECK_EQ(info_of(r).cwnd_bytes, 7 * FULL);
}

/* RFC 8985 7.4.2, case 1: both arrived, and the D-SACK says so */
TCP_TEST(probe_that_came_twice_reduces_nothing)
{
	uint32_t cwnd;

	probe_the_last(r);
	cwnd = info_of(r).cwnd_bytes;
	inject(r, .flags = ACK, .seq = 1, .ack = AT(10), .sacks = 1,
	       .sack = { { AT(9), AT(10) } });
	acknowledge_another(r);
	CHECK_GE(info_of(r).ssthresh_bytes, 1u << 30);
	CHECK_GE(info_of(r).cwnd_bytes, cwnd);
}

/* RFC 8985 7.4.2, case 3: the same of a peer without D-SACK */
TCP_TEST(duplicate_ack_of_a_probe_reduces_nothing)
{
	probe_the_last(r);
	ack(r, AT(10));
	app_send(r, FULL, 0); /* so that the next one is a duplicate */
	ack(r, AT(10));
	advance_ms(r, RTT_MS);
	ack(r, AT(11));
	CHECK_GE(info_of(r).ssthresh_bytes, 1u << 30);
}

/* RFC 8985 7.4.1: a probe of new data repairs nothing */
TCP_TEST(probe_of_new_data_reduces_nothing)
{
	fly(r, 11);
	advance_to_segment(r, 10000000);
	CHECK(sends(r, ACK, AT(10), 1, FULL));
	advance_ms(r, RTT_MS);
	ack(r, AT(11));
	app_send(r, FULL, 0);
	ack(r, AT(12));
	CHECK_GE(info_of(r).ssthresh_bytes, 1u << 30);
}

/* RFC 8985 4: SACK is required; without it the timer comes, at its time */
TCP_TEST(peer_without_sack_is_not_probed)
{
	fly_without_sack(r, 10);
	advance_to_segment(r, 10000000);
	CHECK(sends(r, ACK, 1, 1, FULL));
	CHECK_EQ(probes(r), 0u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_RTO), 1u);
}

/* RFC 8985 7.2: none in recovery, nor while something is SACKed */
TCP_TEST(recovery_is_not_probed)
{
	fly(r, 10);
	advance_ms(r, RTT_MS);
	sack(r, 1, 1, 5);
	for (unsigned i = 0; i < 4; i++) {
		forget(r);
		advance_to_segment(r, 10000000);
	}
	CHECK_EQ(probes(r), 0u);
}

/* RFC 9293 3.8.6.1: a shut window has probes of its own */
TCP_TEST(shut_window_gets_no_tail_probe)
{
	fly(r, 10);
	inject(r, .flags = ACK, .seq = 1, .ack = AT(5), .zero_window = true);
	advance_ms(r, 5000);
	CHECK_EQ(probes(r), 0u);
}

/* RFC 8985 7.3: a FIN at the end is probed like data */
TCP_TEST(lost_fin_is_probed)
{
	fly(r, 1);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK(sends(r, FIN | ACK, AT(1), 1, 0));
	advance_ms(r, RTT_MS);
	ack(r, AT(1));
	advance_to_segment(r, 10000000);
	CHECK(sends(r, FIN | ACK, AT(1), 1, 0));
	CHECK_EQ(probes(r), 1u);
	ack(r, AT(1) + 1);
	CHECK_EQ(state_of(r), TOW_TCP_FIN_WAIT_2);
}

/* RFC 5482: who has a user timeout is not kept waiting by a probe */
TCP_TEST(user_timeout_comes_before_the_probe)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_MS, 150), 0);
	CHECK_EQ(app_lend(r, 2 * FULL, 1, 0), 0);
	advance_ms(r, 160);
	CHECK_EQ(loan_status(r, 1), TOW_ETIMEDOUT);
	CHECK_EQ(probes(r), 0u);
}
