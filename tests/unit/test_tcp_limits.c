/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one connection, one peer or a busy device may cost the others, and that
 * waiting for memory or a device ends.
 */
#include "tcp_peer.h"
#include <stdlib.h>

/* tow/event.h: it is over once */
TCP_TEST(closed_is_reported_once)
{
	put_in_state(r, AT_TIME_WAIT);
	CHECK_EQ(events_of(r, TOW_EVENT_CLOSED), 1u);
	advance_ms(r, 120000);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
	CHECK_EQ(events_of(r, TOW_EVENT_CLOSED), 1u);
}

/* RFC 9293 3.8.6.3: a device that is full for a while swallows no ACK */
TCP_TEST(ack_waits_for_a_device_that_is_full)
{
	handshake_passive(r);
	forget(r);
	r->stuck = true;
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100);
	for (unsigned i = 0; i < 80; i++) /* each is answered at once */
		inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100);
	inject(r, .flags = ACK, .seq = 101, .ack = 1, .bytes = 1000);
	inject(r, .flags = ACK, .seq = 1101, .ack = 1, .bytes = 1000);
	advance_ms(r, 100);
	r->stuck = false;
	advance_ms(r, 5);
	while (waiting(r) > 1)
		next(r);
	CHECK(sends(r, ACK, 1, 2101, 0));
}

/* attacks: SegmentSmack, in order. The true cost counts, not the bytes. */
TCP_TEST(single_bytes_that_nobody_reads_do_not_take_the_pool)
{
	struct rig_options o = r->options;

	o.split = true;
	o.cfg.rx_chunks = 128;
	o.cfg.rx_bufs = 1024;
	rig_reopen(r, &o);
	handshake_passive(r);
	for (uint32_t i = 0; i < 400; i++)
		inject(r, .flags = ACK, .seq = 1 + i, .ack = 1, .bytes = 1);
	CHECK_EQ(drops(r, TOW_DROP_LINK_TRUNCATED), 0u);
	CHECK_EQ(app_recv(r, 1000), 400);
	CHECK_GT(tow_tcp_ledger(r->tcp)->copied_bytes[TOW_COPY_RX_COMPACT], 0u);
}

/* tow/tcp.h: borrowed spans stay as they are, the next ones go on behind */
TEST(what_is_packed_behind_borrowed_bytes_is_borrowed_next)
{
	struct rig_options o = rig_default(IPV4);
	struct rig *r = malloc(sizeof(*r));

	o.split = true;
	rig_open(r, &o);
	handshake_passive(r);
	for (uint32_t i = 0; i < 300; i++) {
		inject(r, .flags = ACK, .seq = 1 + i, .ack = 1, .bytes = 1);
		if (i % 50 == 49)
			CHECK_EQ(app_borrow(r), 50);
	}
	CHECK_GT(tow_tcp_ledger(r->tcp)->copied_bytes[TOW_COPY_RX_COMPACT], 0u);
	tow_tcp_return(r->tcp, 299);
	inject(r, .flags = ACK, .seq = 301, .ack = 1, .bytes = 700);
	CHECK_EQ(app_borrow(r), 700);
	tow_tcp_return(r->tcp, 701);
	rig_close(r);
	free(r);
}

static struct tow_tcp *another(struct rig *r)
{
	struct tow_tcp *t = NULL;

	r->peer_port++;
	r->options.wrap = false; /* the clock must not move on */
	syn_arrives(r);
	while (waiting(r))
		next(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &t), 0);
	return t;
}

/* attacks: half-dead connections. One that is silent holds no records. */
TCP_TEST(silent_peer_leaves_segment_records_to_the_others)
{
	struct rig_options o = r->options;
	struct tow_tcp *first, *second;
	uint32_t una = 1;

	o.cfg.segments = 128;
	rig_reopen(r, &o);
	handshake_passive(r);
	app_lend(r, 1000000, 1, 0);
	while (counter(r, TOW_COUNTER_NO_SEGMENTS) == 0 && una < 900000) {
		una += 2 * FULL;
		inject(r, .flags = ACK, .seq = 1, .ack = una);
		forget(r);
	}
	CHECK_GT(counter(r, TOW_COUNTER_NO_SEGMENTS), 0u);
	first = r->tcp;
	second = another(r);
	forget(r);
	r->tcp = second;
	r->written = 0;
	app_send(r, 500, 0);
	advance_ms(r, 1000);
	CHECK_GE(waiting(r), 1u);
	while (waiting(r) &&
	       !(peek(r)->dport == r->peer_port && peek(r)->bytes == 500))
		next(r);
	CHECK_EQ(peek(r)->bytes, 500u);
	tow_tcp_abort(first);
}

/* The same for chunks: copies that nobody acknowledges, however many have them
 */
TCP_TEST(silent_peers_leave_chunks_to_the_others)
{
	struct rig_options o = r->options;
	struct tow_tcp *hogs[12];
	unsigned n;

	o.cfg.tx_chunks = 128;
	rig_reopen(r, &o);
	listen_here(r, 100);
	for (n = 0; n < 12; n++) {
		hogs[n] = another(r);
		while (tow_tcp_send(hogs[n], r->stream, 100000, 0) > 0)
			;
		poll_until_quiet(r);
	}
	r->tcp = another(r);
	forget(r);
	CHECK_EQ(app_send(r, 500, 0), 500u);
	CHECK_EQ(bytes_sent(r), 500u);
	while (n > 0)
		tow_tcp_abort(hogs[--n]);
}

/* As much as the window offers, in full segments. */
static void fill_window(struct rig *r, struct tow_tcp *t)
{
	struct tow_tcp_info info;
	uint32_t seq = 1;

	while (drops(r, TOW_DROP_LINK_TRUNCATED) == 0) {
		tow_tcp_info(t, &info);
		if (info.recv_window_bytes < FULL)
			break;
		inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = FULL);
		seq += FULL;
		forget(r);
		r->event_count = 0;
	}
}

/* attacks: slow applications. Their windows leave memory to the others'. */
TCP_TEST(readers_that_never_read_leave_memory_to_the_others)
{
	struct rig_options o = r->options;
	struct tow_tcp *slow[8];
	unsigned n;

	o.split = true;
	o.cfg.rx_chunks = 256;
	o.cfg.recv_bytes = o.cfg.recv_bytes_max = 1u << 20;
	rig_reopen(r, &o);
	listen_here(r, 100);
	for (n = 0; n < 8; n++) {
		slow[n] = another(r);
		fill_window(r, slow[n]);
	}
	CHECK_EQ(drops(r, TOW_DROP_LINK_TRUNCATED), 0u);
	r->tcp = another(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = FULL);
	CHECK_EQ(app_recv(r, FULL), FULL);
	while (n > 0)
		tow_tcp_abort(slow[--n]);
}

/* What @tcp has, behind the @bytes that came before. */
static size_t read_more(struct tow_tcp *tcp, uint8_t *got, size_t bytes,
			size_t most)
{
	int64_t n = tow_tcp_recv(tcp, got + bytes, most - bytes);

	return bytes + (n > 0 ? (size_t)n : 0);
}

/*
 * What goes to ourselves lies in buffers that sending needs. What is held
 * behind a hole may have all that there are, but not keep out what fills it.
 */
TCP_TEST(own_stack_is_reached_with_next_to_no_buffers)
{
	struct rig_options o = r->options;
	struct tow_endpoint here = { r->us, r->our_port, 0 };
	static uint8_t here_got[20000], there_got[20000];
	size_t here_bytes = 0, there_bytes = 0, most = sizeof(here_got);
	struct tow_tcp *out;

	o.cfg.tx_bufs = 16;
	rig_reopen(r, &o);
	listen_here(r, 4);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_MSS, 100), 0);
	CHECK_EQ(tow_tcp_connect(r->stack, NULL, &here, &out), 0);
	poll_until_quiet(r);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(tow_tcp_send(out, r->stream, most, 0), (int64_t)most);
	CHECK_EQ(tow_tcp_send(r->tcp, r->stream, most, 0), (int64_t)most);
	for (unsigned i = 0; i < 3000 && here_bytes + there_bytes < 2 * most;
	     i++) {
		advance_ms(r, 10);
		here_bytes = read_more(r->tcp, here_got, here_bytes, most);
		there_bytes = read_more(out, there_got, there_bytes, most);
	}
	CHECK_GT(drops(r, TOW_DROP_NO_BUFFERS), 0u);
	CHECK_EQ(here_bytes, most);
	CHECK_EQ(there_bytes, most);
	CHECK_MEM(here_got, r->stream, most);
	CHECK_MEM(there_got, r->stream, most);
	tow_tcp_close(out);
}

/*
 * Nor may what many programs of our own do not read: the stack would fall
 * silent, to all others as well.
 */
TCP_TEST(unread_data_of_our_own_leaves_buffers_for_others)
{
	struct rig_options o = r->options;
	struct tow_endpoint here = { r->us, r->our_port, 0 };
	struct tow_tcp *out[24], *in[24];

	o.cfg.tx_bufs = 16;
	rig_reopen(r, &o);
	listen_here(r, 32);
	for (unsigned i = 0; i < 24; i++) {
		CHECK_EQ(tow_tcp_connect(r->stack, NULL, &here, &out[i]), 0);
		advance_ms(r, 10);
		CHECK_EQ(tow_tcp_accept(r->listener, &in[i]), 0);
		CHECK_EQ(tow_tcp_send(out[i], r->stream, 10, 0), 10);
		advance_ms(r, 10);
	}
	await_syn_ack(r);
	for (unsigned i = 0; i < 24; i++) {
		tow_tcp_abort(out[i]);
		tow_tcp_abort(in[i]);
	}
}

/* RFC 5482: it counts from sending, however long the stack slept before */
TCP_TEST(user_timeout_counts_from_the_poll_that_sends)
{
	handshake_passive(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_MS, 5000), 0);
	r->now_us += 3600000000u;
	CHECK_EQ(app_lend(r, 1000, 1, 0), 0);
	advance_ms(r, 4800);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	advance_ms(r, 400);
	CHECK_EQ(loan_status(r, 1), TOW_ETIMEDOUT);
}

/* The same for a connection attempt */
TCP_TEST(user_timeout_of_a_connect_counts_from_its_syn)
{
	r->now_us += 3600000000u;
	connect_out(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_USER_TIMEOUT_MS, 5000), 0);
	advance_ms(r, 4800);
	CHECK_EQ(state_of(r), TOW_TCP_SYN_SENT);
	advance_ms(r, 400);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* attacks: SYN flood. The oldest half-open ones make room, as by backlog. */
TCP_TEST(half_open_connections_make_room_when_the_table_is_full)
{
	struct rig_options o = r->options;
	struct tow_tcp *t = NULL;

	o.cfg.tcp_max = 16;
	rig_reopen(r, &o);
	listen_here(r, 1000);
	for (unsigned i = 0; i < 40; i++)
		inject(r, .flags = SYN, .absolute = true, .seq = i,
		       .sport = (uint16_t)(2000 + i), .mss = 1460);
	advance_ms(r, 2000);
	forget(r);
	syn_arrives(r);
	while (waiting(r))
		next(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &t), 0);
	r->tcp = t;
}

/* tow/tcp.h: TOW_EINVAL. Lengths that add up to more than there can be. */
TCP_TEST(spans_that_overflow_are_refused)
{
	struct tow_span spans[2] = { { r->stream, SIZE_MAX },
				     { r->stream, 1001 } };

	handshake_passive(r);
	CHECK_EQ(tow_tcp_lend(r->tcp, spans, 2, 1, 0), TOW_EINVAL);
	CHECK_EQ(app_lend(r, 1000, 2, 0), 0);
	poll_until_quiet(r);
	CHECK_EQ(bytes_sent(r), 1000u);
}

/* RFC 4007 6: without a zone, the only link there is; answers are ours */
TEST(connect_to_a_link_local_address_needs_no_zone)
{
	static const uint8_t own[16] = {
		0xfe, 0x80, [11] = 0xff, [12] = 0xfe, [15] = 1
	};
	static const uint8_t other[16] = { 0xfe, 0x80, [15] = 2 };
	struct rig_options o = rig_default(IPV6);
	struct rig *r = malloc(sizeof(*r));

	rig_open(r, &o);
	r->us = tow_addr_v6(own);
	r->peer = tow_addr_v6(other);
	handshake_active(r);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK_EQ(tow_tcp_remote(r->tcp).zone, 1);
	rig_close(r);
	free(r);
}

/* tow/tcp.h: from the first call on, as long as there are records */
TEST(connection_has_a_ledger_of_its_own_when_it_is_asked_for)
{
	struct rig_options o = rig_default(IPV4);
	struct rig *r = malloc(sizeof(*r));
	const struct tow_ledger *ledger;
	struct tow_tcp *first, *second;

	o.cfg.ledgers = 1;
	rig_open(r, &o);
	handshake_passive(r); /* asks for it */
	first = r->tcp;
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100);
	CHECK_EQ(app_recv(r, 100), 100);
	ledger = tow_tcp_ledger(first);
	CHECK_EQ(ledger->copied_bytes[TOW_COPY_RX_RECV], 100u);
	CHECK_EQ(info_of(r).received_bytes, 100u);
	r->peer_port++;
	syn_arrives(r);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &second), 0);
	CHECK(!tow_tcp_ledger(second));
	CHECK_EQ(counter(r, TOW_COUNTER_NO_LEDGERS), 1u);
	CHECK_EQ(tow_tcp_send(second, r->stream, 10, 0), 10);
	tow_tcp_abort(first);
	ledger = tow_tcp_ledger(second);
	CHECK(ledger);
	CHECK_EQ(ledger->copied_bytes[TOW_COPY_TX_SEND], 0u);
	CHECK_EQ(ledger->copied_bytes[TOW_COPY_RX_RECV], 0u);
	CHECK_EQ(tow_tcp_send(second, r->stream, 10, 0), 10);
	CHECK_EQ(ledger->copied_bytes[TOW_COPY_TX_SEND], 10u);
	CHECK_EQ(tow_tcp_ledger(second), ledger);
	poll_until_quiet(r);
	tow_tcp_abort(second);
	r->tcp = NULL;
	poll_until_quiet(r);
	discard_rig(r);
	free(r);
}
