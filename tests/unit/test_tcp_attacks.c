/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a hostile peer, or somebody who pretends to be the peer, tries. Rows of
 * the attack list that are about a feature stand with its tests; here are
 * those that are about no feature at all.
 */
#include "tcp_peer.h"
#include <string.h>

static bool is_alive(struct rig *r, uint32_t seq)
{
	inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = 10);
	return app_recv(r, 100) == 10;
}

/* RFC 5961 3.2: only the exact number resets */
TCP_TEST(sweep_of_resets_through_the_window_does_not_reset)
{
	handshake_passive(r);
	for (uint32_t seq = 2; seq < 70000; seq += 97)
		inject(r, .flags = RST, .seq = seq, .no_ts = true);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK(is_alive(r, 1));
}

/* RFC 5961 3.2: in the window but not exact is asked back; outside is silent */
TCP_TEST(blind_reset_in_the_window_is_challenged_and_outside_is_not)
{
	handshake_passive(r);
	inject(r, .flags = RST, .seq = 2, .no_ts = true);
	CHECK(sends(r, ACK, 1, 1, 0));
	inject(r, .flags = RST, .seq = 0, .no_ts = true);
	inject(r, .flags = RST, .seq = 0x40000000, .no_ts = true);
	CHECK(sends_nothing(r));
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	inject(r, .flags = RST, .seq = 1, .no_ts = true);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* RFC 5961 4.2: a SYN is asked back, wherever it stands */
TCP_TEST(blind_syn_is_challenged_wherever_it_stands)
{
	handshake_passive(r);
	inject(r, .flags = SYN, .seq = 1, .ts = true);
	CHECK(sends(r, ACK, 1, 1, 0));
	inject(r, .flags = SYN, .seq = 5000, .ts = true);
	CHECK(sends(r, ACK, 1, 1, 0));
	inject(r, .flags = SYN, .seq = 0x40000000, .ts = true);
	CHECK(sends(r, ACK, 1, 1, 0));
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK(is_alive(r, 1));
}

/* RFC 5961 4.2: a peer that began anew need not offer timestamps again */
TCP_TEST(syn_without_timestamps_is_challenged_where_they_were_negotiated)
{
	handshake_passive(r);
	inject(r, .flags = SYN, .seq = 5000, .no_ts = true);
	CHECK(sends(r, ACK, 1, 1, 0));
	inject(r, .flags = SYN, .seq = 0x40000000, .no_ts = true);
	CHECK(sends(r, ACK, 1, 1, 0));
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10, .ts = true);
	CHECK_EQ(app_recv(r, 100), 10);
}

/* RFC 5961 5.2: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT, or it is asked */
TCP_TEST(blind_data_is_challenged_beyond_either_end_of_what_was_sent)
{
	r->options.offer.window = 65535;
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 2, .bytes = 50);
	CHECK(sends(r, ACK, 1, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 0u - 70000, .bytes = 50);
	CHECK(sends(r, ACK, 1, 1, 0));
	CHECK_EQ(app_recv(r, 1000), TOW_EAGAIN);
	inject(r, .flags = ACK, .seq = 1, .ack = 0u - 60000, .bytes = 50);
	CHECK_EQ(app_recv(r, 1000), 50); /* old, but possible */
}

/* RFC 5961 7: challenge ACKs are limited, but do not cease */
TCP_TEST(challenge_acks_are_limited_per_second)
{
	handshake_passive(r);
	for (unsigned i = 0; i < 1000; i++)
		inject(r, .flags = SYN, .seq = 5000 + i, .ts = true);
	CHECK_GE(waiting(r), 1u);
	CHECK_LE(waiting(r), 100u);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_CHALLENGE_ACKS), waiting(r));
	forget(r);
	advance_ms(r, 5000);
	inject(r, .flags = SYN, .seq = 5000, .ts = true);
	CHECK(sends(r, ACK, 1, 1, 0));
}

/* attacks: challenge-ACK side channel. What one uses up, another still has. */
TCP_TEST(challenge_limit_is_not_shared_between_connections)
{
	handshake_passive(r);
	for (unsigned i = 0; i < 1000; i++)
		inject(r, .flags = SYN, .seq = 5000 + i, .ts = true);
	tow_tcp_abort(r->tcp);
	r->tcp = NULL;
	r->peer_port++;
	poll_until_quiet(r);
	forget(r);
	r->options.wrap = false; /* the clock must not move on */
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	inject(r, .flags = SYN, .seq = 5000, .ts = true);
	CHECK(sends(r, ACK, 1, 1, 0));
}

/* RFC 9293 3.10.7.4: no endless exchange of ACKs for ACKs */
TCP_TEST(flood_of_old_acks_is_not_answered_one_by_one)
{
	handshake_passive(r);
	for (unsigned i = 0; i < 1000; i++)
		inject(r, .flags = ACK, .seq = (uint32_t)-5000, .ack = 1);
	CHECK_GE(waiting(r), 1u);
	CHECK_LE(waiting(r), 200u);
}

/* RFC 5961 5.2: data with an ACK that nobody can have sent is not taken */
TCP_TEST(blind_data_with_a_wild_ack_is_not_delivered)
{
	static const uint32_t acks[] = { 2, 0x10000000, 0x7fffffff, 0x80000000,
					 0xe0000000 };

	handshake_passive(r);
	for (unsigned i = 0; i < 5; i++)
		inject(r, .flags = ACK, .seq = 1, .ack = acks[i], .bytes = 50);
	CHECK_EQ(app_recv(r, 1000), TOW_EAGAIN);
	CHECK(is_alive(r, 1));
}

/* attacks: TCP options (AMNESIA:33, INFRA:HALT) */
static const struct {
	uint8_t bytes[40];
	uint8_t length;
} games[] = {
	{ { 2, 0 }, 4 },	  /* MSS of length 0 */
	{ { 2, 1, 5, 5 }, 4 },	  /* 1 */
	{ { 2, 3, 5 }, 4 },	  /* 3 */
	{ { 2, 5, 5, 5, 5 }, 8 }, /* 5 */
	{ { 2, 40, 5, 5 }, 4 },	  /* past the header */
	{ { 2, 255, 5, 5 }, 4 },
	{ { 3, 0 }, 4 },
	{ { 3, 2, 3, 3 }, 4 },
	{ { 3, 3, 255, 0 }, 4 }, /* a shift of 255 */
	{ { 4, 0 }, 4 },
	{ { 4, 3, 0 }, 4 },
	{ { 5, 0 }, 4 },
	{ { 5, 2 }, 4 },	       /* SACK without a block */
	{ { 5, 9, 0, 0 }, 12 },	       /* a part of one */
	{ { 5, 18, 0, 0, 0, 1 }, 12 }, /* past the header */
	{ { 5, 34 }, 40 },	       /* four, all zero */
	{ { 8, 0 }, 4 },
	{ { 8, 9 }, 12 },
	{ { 8, 11 }, 12 },
	{ { 8, 10 }, 4 },
	{ { 1, 1, 1, 8 }, 4 }, /* a kind in the last byte */
	{ { 1, 1, 1, 2 }, 4 },
	{ { 254, 0 }, 4 },
	{ { 254, 1 }, 4 },
	{ { 254, 200 }, 8 },
	{ { 0, 2, 4, 9 }, 4 }, /* end of list, then more */
	{ { 2, 4, 2, 0, 2, 4, 4, 0, 2, 4, 0, 0 }, 12 },	 /* three MSS */
	{ { 3, 3, 2, 3, 3, 9, 3, 3, 14, 3, 3, 1 }, 12 }, /* four scales */
	{ { 1, 1, 1, 1, 1, 1, 1, 1 }, 40 },
	{ { 30, 12, 0, 0 }, 12 },    /* MPTCP */
	{ { 34, 18, 1, 2, 3 }, 20 }, /* Fast Open */
	{ { 19, 18 }, 20 },	     /* MD5 */
};
#define GAMES (sizeof(games) / sizeof(games[0]))

/* attacks: on SYNs; each is answered or dropped, and the next is served */
TCP_TEST(option_games_on_syns_do_no_harm)
{
	listen_here(r, 200);
	for (unsigned i = 0; i < GAMES; i++) {
		inject(r, .flags = SYN, .seq = 1, .absolute = true,
		       .sport = (uint16_t)(9000 + i), .options = games[i].bytes,
		       .option_bytes = games[i].length);
		CHECK_LE(waiting(r), 1u);
		if (waiting(r))
			CHECK(next(r)->flags & (SYN | RST));
	}
	r->options.wrap = false;
	handshake_passive(r);
	CHECK(is_alive(r, 1));
}

/* attacks: on SYN-ACKs; the right one still connects */
TCP_TEST(option_games_on_syn_acks_do_no_harm)
{
	struct rig_options o = r->options;

	for (unsigned i = 0; i < GAMES; i++) {
		rig_reopen(r, &o);
		connect_out(r);
		inject(r, .flags = SYN | ACK, .seq = 0, .ack = 1,
		       .options = games[i].bytes,
		       .option_bytes = games[i].length);
		CHECK(state_of(r) == TOW_TCP_ESTABLISHED ||
		      state_of(r) == TOW_TCP_SYN_SENT);
		if (state_of(r) == TOW_TCP_SYN_SENT)
			continue;
		app_send(r, 5000, 0);
		CHECK_LE(bytes_sent(r), 5000u);
	}
}

/* attacks: on segments of a connection; the stream is what it was */
TCP_TEST(option_games_on_data_do_no_harm)
{
	uint32_t seq = 1;

	r->options.offer.ts = false;
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 5000, 1, 0), 0);
	for (unsigned i = 0; i < GAMES; i++) {
		inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = 10,
		       .options = games[i].bytes,
		       .option_bytes = games[i].length);
		seq += info_of(r).unread_bytes ? 10 : 0;
		app_recv(r, 100);
	}
	CHECK(is_alive(r, seq));
	inject(r, .flags = ACK, .seq = seq + 10, .ack = 4049); /* four full */
	inject(r, .flags = ACK, .seq = seq + 10, .ack = 5001);
	CHECK_EQ(loan_status(r, 1), 0);
}

/* RFC 9293 3.1 MUST-6: unknown options are stepped over */
TCP_TEST(unknown_options_are_stepped_over)
{
	static const uint8_t options[] = { 253, 4, 1, 2, 2, 4, 3, 232 };

	listen_here(r, 4);
	inject(r, .flags = SYN, .options = options,
	       .option_bytes = sizeof(options));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	forget(r);
	app_send(r, 5000, 0);
	CHECK_EQ(next(r)->bytes, 1000u);
}

/* attacks: Sockstress. Windows of a few bytes do not make silly segments. */
TCP_TEST(tiny_windows_do_not_make_tiny_segments)
{
	unsigned segments = 0;
	uint32_t una = 1;

	r->options.offer.wscale = -1;
	r->options.offer.window = 65535;
	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .window = 20000);
	CHECK_EQ(app_lend(r, 100000, 1, 0), 0);
	una += bytes_sent(r);
	forget(r);
	for (unsigned i = 0; i < 500; i++) {
		inject(r, .flags = ACK, .seq = 1, .ack = una,
		       .window = 1 + i % 5);
		while (waiting(r)) {
			una = next(r)->seq + r->sent[r->sent_taken - 1].bytes;
			segments++;
		}
		forget(r);
		advance_ms(r, 5);
	}
	CHECK_LE(segments, 30u); /* in 2.5 s */
}

/* attacks: what is not on this connection says nothing to it */
TCP_TEST(segments_of_other_tuples_do_not_touch_the_connection)
{
	struct tow_addr other = r->peer;

	other.b[15] = 99;
	handshake_passive(r);
	inject(r, .flags = RST, .seq = 1, .src = &other);
	inject(r, .flags = RST, .seq = 1, .sport = 1);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 99, .src = &other);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 99, .dport = 81);
	CHECK_EQ(app_recv(r, 1000), TOW_EAGAIN);
	CHECK(is_alive(r, 1));
}

/* RFC 9293 3.10.7.1: an RST is never answered by an RST */
TCP_TEST(resets_are_never_answered)
{
	inject(r, .flags = RST, .seq = 1);
	inject(r, .flags = RST | ACK, .seq = 1, .ack = 1);
	inject(r, .flags = RST | SYN | FIN | ACK, .seq = 1, .ack = 1);
	CHECK(sends_nothing(r));
}

/* RFC 2018 2: SACK blocks mean nothing where SACK was not permitted */
TCP_TEST(sack_blocks_without_permission_are_ignored)
{
	r->options.offer.sack_ok = false;
	handshake_passive(r);
	CHECK_EQ(app_lend(r, 10000, 1, 0), 0);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .sacks = 1,
	       .sack = { { 1001, 10001 } });
	CHECK(sends_nothing(r));
	CHECK_NE(advance_to_segment(r, 1000000), UINT64_MAX);
	CHECK(sends(r, ACK, 1, 1, 1000));
}

/* attacks: exhaustion. No room for another does not hurt those who are in. */
TCP_TEST(connections_live_on_when_the_table_is_full)
{
	struct rig_options o = r->options;

	o.cfg.tcp_max = 8;
	rig_reopen(r, &o);
	handshake_passive(r);
	for (uint16_t i = 0; i < 100; i++)
		inject(r, .flags = SYN, .seq = 1, .absolute = true,
		       .sport = (uint16_t)(1000 + i));
	CHECK_GE(drops(r, TOW_DROP_TCP_MEMORY) + drops(r, TOW_DROP_TCP_BACKLOG),
		 90u);
	CHECK(is_alive(r, 1));
}

/* tow/stack.h tow_poll(): a bounded number of frames in one call */
TCP_TEST(one_poll_does_not_swallow_a_flood)
{
	unsigned before, polls = 0;

	handshake_passive(r);
	for (unsigned i = 0; i < 3000; i++)
		inject(r, .flags = ACK, .seq = 1, .ack = 1, .later = true);
	before = r->queue_tail - r->queue_head;
	while (r->queue_head != r->queue_tail) {
		unsigned left = r->queue_tail - r->queue_head;

		CHECK_GT(tow_poll(r->stack, r->now_us), 0);
		CHECK_LE(left - (r->queue_tail - r->queue_head), 1024u);
		polls++;
	}
	CHECK_EQ(before, 3000u);
	CHECK_GE(polls, 3u);
	CHECK(is_alive(r, 1));
}
