/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UDP on the way up: which socket a datagram is for, its checks, reading,
 * borrowing, ICMP errors.
 */
#include <string.h>
#include "stack_host.h"
#include "test.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_udp.h"

#define US4   "192.0.2.1"
#define PEER4 "192.0.2.2"
#define US6   "2001:db8::1"
#define PEER6 "2001:db8::2"

static struct stack_host s;
static struct frame f, answer;
static struct tow_udp_message from;
static uint8_t out[70000];

static struct tow_udp *open_at(const char *addr, uint16_t port)
{
	struct tow_endpoint local = endpoint(addr, port);
	struct tow_udp *udp;

	CHECK_EQ(tow_udp_open(s.stack, &local, &udp), 0);
	return udp;
}

static struct tow_udp *open_any(uint16_t port)
{
	return open_at("::", port);
}

static void connect_to(struct tow_udp *udp, const char *addr, uint16_t port)
{
	struct tow_endpoint peer = endpoint(addr, port);

	CHECK_EQ(tow_udp_connect(udp, &peer), 0);
}

static void make(const char *src, const char *dst, uint16_t src_port,
		 uint16_t dst_port, uint32_t payload)
{
	frame_begin(&f, src, dst, NET_UDP);
	frame_udp(&f, src_port, dst_port);
	frame_fill(&f, payload);
	frame_end(&f);
}

static void arrive(const char *src, const char *dst, uint16_t src_port,
		   uint16_t dst_port, uint32_t payload)
{
	make(src, dst, src_port, dst_port, payload);
	stack_host_receive(&s, &f);
}

static bool got(struct tow_udp *udp)
{
	return tow_udp_recv(udp, out, sizeof(out), &from) >= 0;
}

TEST(datagram_is_received_with_its_addresses)
{
	struct tow_udp *udp;
	struct tow_event event;

	stack_host_open(&s, 0);
	udp = open_any(7);
	tow_udp_set_user(udp, &s);
	CHECK_EQ(tow_udp_recv(udp, out, 100, NULL), TOW_EAGAIN);
	arrive(PEER4, US4, 1000, 7, 50);
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_READABLE);
	CHECK_EQ(event.object, udp);
	CHECK_EQ(event.user, &s);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 50);
	CHECK_MEM(out, frame_transport(&f) + 8, 50);
	CHECK_EQ(from.bytes, 50);
	CHECK_EQ(from.peer.port, 1000);
	CHECK_MEM(from.peer.addr.b, address(PEER4).b, 16);
	CHECK_MEM(from.local.b, address(US4).b, 16);
	CHECK_EQ(tow_udp_ledger(udp)->copied_bytes[TOW_COPY_RX_RECV], 50);
	CHECK_EQ(tow_udp_recv(udp, out, 100, NULL), TOW_EAGAIN);
	arrive(PEER6, US6, 1001, 7, 0);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 0);
	CHECK_EQ(from.peer.port, 1001);
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* RFC 1122 4.1.3.4: the rest of a datagram is lost, and the caller told */
TEST(datagram_larger_than_the_room_is_cut_off)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	arrive(PEER4, US4, 1000, 7, 500);
	arrive(PEER4, US4, 1000, 7, 3);
	CHECK_EQ(tow_udp_recv(udp, out, 10, &from), 10);
	CHECK_EQ(from.bytes, 500);
	CHECK_EQ(tow_udp_recv(udp, out, 10, &from), 3);
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* The most specific socket gets it */
TEST(connected_goes_before_bound_and_bound_before_any)
{
	struct tow_udp *any, *bound, *connected;

	stack_host_open(&s, 0);
	any = open_any(7);
	arrive(PEER4, US4, 1000, 7, 1);
	CHECK(got(any));
	bound = open_at(US4, 7);
	arrive(PEER4, US4, 1000, 7, 1);
	CHECK(got(bound) && !got(any));
	arrive(PEER6, US6, 1000, 7, 1);
	CHECK(got(any) && !got(bound));
	connect_to(any, PEER4, 1000);
	connected = any;
	arrive(PEER4, US4, 1000, 7, 1);
	CHECK(got(connected) && !got(bound));
	arrive(PEER4, US4, 1001, 7, 1);
	CHECK(got(bound) && !got(connected));
	tow_udp_close(bound);
	arrive(PEER4, US4, 1001, 7, 1); /* connected takes nothing of others */
	CHECK(!got(connected));
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_PORT), 1);
	CHECK_EQ(tow_udp_connect(connected, NULL), 0);
	arrive(PEER6, US6, 1001, 7, 1);
	CHECK(got(connected));
	tow_udp_close(connected);
	stack_host_close(&s);
}

TEST(endpoints_are_taken_once)
{
	struct tow_endpoint local = endpoint(US4, 7);
	struct tow_udp *udp, *other;

	stack_host_open(&s, 0);
	udp = open_at(US4, 7);
	CHECK_EQ(tow_udp_open(s.stack, &local, &other), TOW_EADDRINUSE);
	local = endpoint(PEER4, 7);
	CHECK_EQ(tow_udp_open(s.stack, &local, &other), TOW_EADDRNOTAVAIL);
	CHECK_EQ(other, NULL);
	tow_udp_close(udp);
	udp = open_at(US4, 7);
	tow_udp_close(udp);
	stack_host_close(&s);
}

TEST(sockets_beyond_the_table_are_refused)
{
	struct tow_endpoint local = endpoint("::", 0);
	struct tow_udp *udp[9];

	stack_host_open(&s, 0);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(tow_udp_open(s.stack, &local, &udp[i]), 0);
	CHECK_EQ(tow_udp_open(s.stack, &local, &udp[8]), TOW_ENOBUFS);
	for (int i = 0; i < 8; i++)
		tow_udp_close(udp[i]);
	CHECK_EQ(tow_udp_open(s.stack, &local, &udp[8]), 0);
	tow_udp_close(udp[8]);
	stack_host_close(&s);
}

/* RFC 6056: no port tells the next one */
TEST(chosen_ports_are_random)
{
	struct tow_endpoint local = endpoint("::", 0);
	uint16_t last = 0, port;
	unsigned near = 0;
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	for (int i = 0; i < 1000; i++) {
		CHECK_EQ(tow_udp_open(s.stack, &local, &udp), 0);
		port = tow_udp_local(udp).port;
		CHECK_GE(port, 32768);
		near += (uint16_t)(port - last + 16) < 32;
		last = port;
		tow_udp_close(udp);
	}
	CHECK_LT(near, 20); /* about one expected */
	stack_host_close(&s);
}

/* RFC 768, NUCLEUS:13: lengths that lie */
TEST(length_below_8_or_beyond_the_packet_is_dropped)
{
	struct tow_udp *udp;
	unsigned n = 0;

	stack_host_open(&s, 0);
	udp = open_any(7);
	make(PEER4, US4, 1000, 7, 20);
	for (uint32_t length = 0; length < 65536; length++) {
		if (length == 8)
			length = 29;
		if (length == 60)
			length = 65500;
		wire_put16(frame_transport(&f) + 4, length);
		frame_sum_transport(&f);
		stack_host_receive(&s, &f);
		n++;
	}
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_LENGTH), n);
	CHECK(!got(udp));
	make(PEER4, US4, 1000, 7, 0);
	for (int i = 0; i < 8; i++) { /* shorter than a header */
		f.bytes--;
		wire_put16(frame_ip(&f) + 2, f.bytes - f.ip);
		frame_sum_ip(&f);
		stack_host_receive(&s, &f);
	}
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_LENGTH), n + 8);
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* RFC 768: what lies behind the length is not data */
TEST(length_below_the_packet_cuts_the_rest_off)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	make(PEER4, US4, 1000, 7, 20);
	wire_put16(frame_transport(&f) + 4, 8 + 5);
	f.bytes -= 15;
	frame_sum_transport(&f);
	f.bytes += 15;
	stack_host_receive(&s, &f);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 5);
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* RFC 1122 4.1.3.4: MUST verify if there is one */
TEST(wrong_checksum_is_dropped)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	make(PEER4, US4, 1000, 7, 20);
	f.data[f.bytes - 1] ^= 0x10;
	stack_host_receive(&s, &f);
	make(PEER6, US6, 1000, 7, 20);
	f.data[f.bytes - 1] ^= 0x10;
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_CHECKSUM), 2);
	CHECK(!got(udp));
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* RFC 768: IPv4 may do without; RFC 8200 8.1: IPv6 may not */
TEST(missing_checksum_is_accepted_in_ip4_only)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	make(PEER4, US4, 1000, 7, 20);
	wire_put16(frame_transport(&f) + 6, 0);
	stack_host_receive(&s, &f);
	CHECK(got(udp));
	make(PEER6, US6, 1000, 7, 20);
	wire_put16(frame_transport(&f) + 6, 0);
	stack_host_receive(&s, &f);
	CHECK(!got(udp));
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_CHECKSUM), 1);
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* A device that verified it saves us from reading the payload */
TEST(verified_payload_is_not_touched)
{
	struct tow_udp *udp;

	stack_host_open(&s, TOW_DEV_RX_CSUM);
	udp = open_any(7);
	make(PEER4, US4, 1000, 7, 1000);
	fake_dev_put(&s.fake, f.data, f.bytes, TOW_BUF_CSUM_OK);
	stack_host_poll(&s);
	CHECK(got(udp));
	CHECK_EQ(tow_udp_ledger(udp)->rx_touched_bytes, 0);
	fake_dev_put(&s.fake, f.data, f.bytes, 0);
	stack_host_poll(&s);
	CHECK(got(udp));
	CHECK_EQ(tow_udp_ledger(udp)->rx_touched_bytes,
		 f.bytes - TOW_BUF_HEADERS);
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* RFC 1122 4.1.3.1: a closed port is answered, but never to a group */
TEST(closed_port_is_answered)
{
	stack_host_open(&s, 0);
	arrive(PEER4, US4, 1000, 9, 20);
	CHECK_EQ(stack_host_sent(&s), 1);
	frame_read(&answer, &s.fake.sent[0]);
	CHECK_EQ(frame_transport(&answer)[0], ICMP4_UNREACHABLE);
	CHECK_EQ(frame_transport(&answer)[1], ICMP4_PORT);
	arrive(PEER6, US6, 1000, 9, 20);
	CHECK_EQ(stack_host_sent(&s), 1);
	arrive(PEER4, "192.0.2.255", 1000, 9, 20);
	arrive(PEER6, "ff02::1", 1000, 9, 20);
	CHECK_EQ(stack_host_sent(&s), 0);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_PORT), 4);
	stack_host_close(&s);
}

/* A wrong sum proves nothing, not even that somebody asked */
TEST(closed_port_is_not_answered_when_the_sum_is_wrong)
{
	stack_host_open(&s, 0);
	make(PEER4, US4, 1000, 9, 20);
	f.data[f.bytes - 1] ^= 1;
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_sent(&s), 0);
	stack_host_close(&s);
}

TEST(group_datagram_reaches_a_socket_bound_to_any)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	arrive(PEER4, "192.0.2.255", 1000, 7, 4);
	CHECK(got(udp));
	CHECK_MEM(from.local.b, address("192.0.2.255").b, 16);
	arrive(PEER6, "ff02::1", 1000, 7, 4);
	CHECK(got(udp));
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* Nobody reads: what it costs is limited, and counted */
TEST(receive_buffer_has_a_limit)
{
	struct tow_config cfg;
	struct tow_udp *udp;
	int n = 0;

	stack_host_config(&cfg);
	cfg.recv_bytes = cfg.recv_bytes_max = 20000;
	stack_host_open_with(&s, &cfg, 0);
	udp = open_any(7);
	for (int i = 0; i < 40; i++)
		arrive(PEER4, US4, 1000, 7, 1000);
	CHECK_GT(stack_host_drops(&s, TOW_DROP_UDP_FULL), 0);
	while (got(udp))
		n++;
	CHECK_EQ(n + stack_host_drops(&s, TOW_DROP_UDP_FULL), 40);
	CHECK_LE(n, 20000 / 2048); /* true cost: whole chunks */
	CHECK_GE(n, 5);
	arrive(PEER4, US4, 1000, 7, 1000);
	CHECK(got(udp));
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* One socket that nobody reads does not take all memory from the others */
TEST(unread_datagrams_leave_memory_to_others)
{
	struct tow_config cfg;
	struct tow_udp *greedy;

	stack_host_config(&cfg);
	cfg.recv_bytes_max = 1 << 30;
	stack_host_open_with(&s, &cfg, 0);
	greedy = open_any(7);
	for (int i = 0; i < 400; i++)
		arrive(PEER4, US4, 1000, 7, 1000);
	CHECK_GT(stack_host_drops(&s, TOW_DROP_UDP_FULL), 150);
	frame_begin(&f, PEER4, US4, NET_ICMP); /* somebody else is served */
	frame_icmp(&f, ICMP4_ECHO, 0, 0);
	frame_fill(&f, 1000);
	frame_end(&f);
	stack_host_sent(&s);
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_sent(&s), 1);
	tow_udp_close(greedy);
	stack_host_close(&s);
}

/* Nor from other sockets, of which each that is read gets what it needs */
TEST(sockets_that_nobody_reads_leave_datagrams_to_those_that_are_read)
{
	static const uint32_t sizes[] = { 1000, 10 }; /* chunks, buffers */
	struct tow_udp *unread[3], *udp;
	struct tow_config cfg;

	stack_host_config(&cfg);
	cfg.recv_bytes_max = 1 << 30;
	for (unsigned k = 0; k < 2; k++) {
		stack_host_open_with(&s, &cfg, 0);
		for (uint16_t j = 0; j < 3; j++) {
			unread[j] = open_any(10 + j);
			for (int i = 0; i < 300; i++)
				arrive(PEER4, US4, 1000, 10 + j, sizes[k]);
		}
		udp = open_any(7);
		for (int i = 0; i < 8; i++)
			arrive(PEER4, US4, 1000, 7, sizes[k]);
		for (int i = 0; i < 8; i++)
			CHECK(got(udp));
		tow_udp_close(udp);
		for (unsigned j = 0; j < 3; j++)
			tow_udp_close(unread[j]);
		stack_host_close(&s);
	}
}

/*
 * Borrowing.
 */

TEST(borrowed_datagram_lies_where_the_device_put_it)
{
	struct tow_span spans[TOW_SPANS_MAX];
	struct tow_udp *udp;
	uint32_t at = 0;
	int n;

	stack_host_open(&s, 0);
	s.fake.chunk_fill = 300;
	udp = open_any(7);
	arrive(PEER4, US4, 1000, 7, 1000);
	n = tow_udp_borrow(udp, spans, TOW_SPANS_MAX, &from);
	CHECK_EQ(n, 5); /* 86 bytes in the room, then 300 each */
	CHECK_EQ(from.bytes, 1000);
	for (int i = 0; i < n; i++) {
		CHECK_MEM(spans[i].ptr, frame_transport(&f) + 8 + at,
			  spans[i].len);
		at += (uint32_t)spans[i].len;
	}
	CHECK_EQ(at, 1000);
	CHECK_EQ(tow_udp_ledger(udp)->rx_lent_bytes, 1000);
	CHECK_EQ(tow_udp_ledger(udp)->copied_bytes[TOW_COPY_RX_RECV], 0);
	CHECK_EQ(tow_udp_borrow(udp, spans, TOW_SPANS_MAX, &from), TOW_EAGAIN);
	tow_udp_return(udp, 1);
	tow_udp_close(udp);
	stack_host_close(&s);
}

TEST(borrow_with_too_little_room_takes_nothing)
{
	struct tow_span spans[8];
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	s.fake.chunk_fill = 300;
	udp = open_any(7);
	arrive(PEER4, US4, 1000, 7, 1000);
	CHECK_EQ(tow_udp_borrow(udp, spans, 4, &from), TOW_EMSGSIZE);
	CHECK_EQ(tow_udp_borrow(udp, spans, 5, &from), 5);
	tow_udp_return(udp, 1);
	tow_udp_close(udp);
	stack_host_close(&s);
}

TEST(empty_datagram_is_borrowed_without_spans)
{
	struct tow_span spans[1];
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	arrive(PEER4, US4, 1000, 7, 0);
	CHECK_EQ(tow_udp_borrow(udp, spans, 1, &from), 0);
	CHECK_EQ(from.bytes, 0);
	tow_udp_return(udp, 1);
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* Datagrams are returned oldest first, whatever was received between */
TEST(borrowing_and_receiving_mix)
{
	struct tow_span a[8], b[8];
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	for (uint32_t i = 1; i <= 5; i++)
		arrive(PEER4, US4, 1000, 7, i * 100);
	CHECK_GT(tow_udp_borrow(udp, a, 8, &from), 0);
	CHECK_EQ(from.bytes, 100);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 200);
	CHECK_GT(tow_udp_borrow(udp, b, 8, &from), 0);
	CHECK_EQ(from.bytes, 300);
	tow_udp_return(udp, 1);
	CHECK_MEM(b[0].ptr, out, b[0].len); /* still there */
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 400);
	tow_udp_return(udp, 1);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 500);
	tow_udp_close(udp);
	stack_host_close(&s);
}

TEST(returning_more_than_borrowed_is_a_breach)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	arrive(PEER4, US4, 1000, 7, 10);
	CHECK_PANICS(tow_udp_return(udp, 1));
}

/* A device that merges datagrams (UDP GRO): they come out one by one */
TEST(merged_datagrams_are_taken_apart)
{
	struct tow_span spans[8];
	struct fake_input *in;
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	make(PEER4, US4, 1000, 7, 1050);
	for (int i = 0; i < 2; i++) {
		in = fake_dev_put(&s.fake, f.data, f.bytes, TOW_BUF_CSUM_OK);
		in->gso = TOW_GSO_UDP;
		in->gso_bytes = 500;
	}
	stack_host_poll(&s);
	CHECK_EQ(tow_stats(s.stack)->counters[TOW_COUNTER_UDP_IN], 6);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 500);
	CHECK_MEM(out, frame_transport(&f) + 8, 500);
	CHECK_GT(tow_udp_borrow(udp, spans, 8, &from), 0);
	CHECK_EQ(from.bytes, 500);
	CHECK_MEM(spans[0].ptr, frame_transport(&f) + 8 + 500, spans[0].len);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 50);
	CHECK_MEM(out, frame_transport(&f) + 8 + 1000, 50);
	CHECK_GT(tow_udp_borrow(udp, spans, 8, &from), 0);
	CHECK_GT(tow_udp_borrow(udp, spans, 8, &from), 0);
	tow_udp_return(udp, 2); /* of two buffers, one not read to its end */
	tow_udp_return(udp, 1);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 50);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), TOW_EAGAIN);
	tow_udp_close(udp);
	stack_host_close(&s);
}

TEST(closing_gives_back_what_was_unread_and_borrowed)
{
	struct tow_span spans[8];
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	for (int i = 0; i < 4; i++)
		arrive(PEER4, US4, 1000, 7, 1000);
	CHECK_GT(tow_udp_borrow(udp, spans, 8, &from), 0);
	tow_udp_close(udp);
	CHECK_EQ(stack_host_event(&s).type, 0);
	stack_host_close(&s);
}

/* Events come when there is something to read, and not for what was read */
TEST(readable_is_told_again_when_more_arrives)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	arrive(PEER4, US4, 1000, 7, 10);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_READABLE);
	CHECK_EQ(stack_host_event(&s).type, 0);
	arrive(PEER4, US4, 1000, 7, 10);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_READABLE);
	arrive(PEER4, US4, 1000, 7, 10);
	while (got(udp))
		;
	CHECK_EQ(stack_host_event(&s).type, 0);
	tow_udp_close(udp);
	stack_host_close(&s);
}

/*
 * ICMP errors: RFC 1122 4.1.3.3.
 */

static void error_about(uint16_t local_port, uint16_t remote_port, uint8_t code,
			uint32_t rest)
{
	struct tow_addr us = address(US4), far = address(PEER4);
	struct wire_ip4 ip;
	struct wire_udp udp;

	frame_begin(&f, PEER4, US4, NET_ICMP);
	frame_icmp(&f, ICMP4_UNREACHABLE, code, rest);
	ip4_build(&ip, 0, 1400, 0, IP4_DF, 60, NET_UDP, &us, &far);
	frame_add(&f, &ip, sizeof(ip));
	udp_build(&udp, local_port, remote_port, 1380);
	frame_add(&f, &udp, sizeof(udp));
	frame_end(&f);
	stack_host_receive(&s, &f);
}

TEST(connected_socket_hears_of_an_error_once)
{
	struct tow_udp_message m = { 0 };
	struct tow_event event;
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	connect_to(udp, PEER4, 9);
	error_about(7, 9, ICMP4_PORT, 0);
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_ERROR);
	CHECK_EQ(event.status, TOW_ECONNREFUSED);
	CHECK_EQ(event.object, udp);
	CHECK_EQ(tow_udp_recv(udp, out, 100, NULL), TOW_ECONNREFUSED);
	CHECK_EQ(tow_udp_recv(udp, out, 100, NULL), TOW_EAGAIN);
	error_about(7, 9, ICMP4_HOST, 0);
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EHOSTUNREACH);
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* SAD DNS: who has not connected, or is connected elsewhere, hears nothing */
TEST(error_about_another_peer_is_not_heard)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	error_about(7, 9, ICMP4_PORT, 0);
	connect_to(udp, PEER4, 9);
	error_about(7, 10, ICMP4_PORT, 0);
	error_about(8, 9, ICMP4_PORT, 0);
	CHECK_EQ(stack_host_event(&s).type, 0);
	CHECK_EQ(tow_udp_recv(udp, out, 100, NULL), TOW_EAGAIN);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_ICMP_UNMATCHED), 3);
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* How many frames a datagram becomes. */
static unsigned frames_of(struct tow_udp *udp, size_t bytes)
{
	struct tow_span span = { out, bytes };
	struct tow_udp_message m = { .spans = &span, .span_count = 1 };

	stack_host_sent(&s);
	CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
	return stack_host_sent(&s);
}

static void hear_too_big(struct tow_udp *udp, uint32_t mtu)
{
	struct tow_span span = { out, 1 };
	struct tow_udp_message m = { .spans = &span, .span_count = 1 };

	error_about(7, 9, ICMP4_TOO_BIG, mtu);
	CHECK_EQ(tow_udp_send(udp, &m, 1), TOW_EMSGSIZE);
}

/* RFC 1191, RFC 5927: the path's MTU shrinks, not below what is plausible */
TEST(path_mtu_of_the_peer_shrinks_and_recovers)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_any(7);
	connect_to(udp, PEER4, 9);
	CHECK_EQ(frames_of(udp, 1000), 1);
	hear_too_big(udp, 1000);
	CHECK_EQ(frames_of(udp, 973), 2);
	CHECK_EQ(frames_of(udp, 972), 1);
	hear_too_big(udp, 100);
	CHECK_EQ(frames_of(udp, 972), 2);
	CHECK_EQ(frames_of(udp, 552 - 28), 1);
	s.now_us += 601000000;
	stack_host_poll(&s);
	CHECK_EQ(frames_of(udp, 1000), 1);
	tow_udp_close(udp);
	stack_host_close(&s);
}

TEST(connect_chooses_the_local_address_and_can_be_dissolved)
{
	struct tow_endpoint peer = endpoint("198.51.100.1", 9), local;
	struct tow_udp *udp, *other;

	stack_host_open(&s, 0);
	udp = open_any(7);
	CHECK_EQ(tow_udp_connect(udp, &peer), TOW_ENETUNREACH);
	peer = endpoint(PEER4, 0);
	CHECK_EQ(tow_udp_connect(udp, &peer), TOW_EINVAL);
	peer.port = 9;
	CHECK_EQ(tow_udp_connect(udp, &peer), 0);
	local = tow_udp_local(udp);
	CHECK_MEM(local.addr.b, address(US4).b, 16);
	CHECK_EQ(local.port, 7);
	other = open_at(US4, 7);
	CHECK_EQ(tow_udp_connect(other, &peer), TOW_EADDRINUSE);
	CHECK_EQ(tow_udp_connect(udp, NULL), 0);
	local = tow_udp_local(udp);
	CHECK(tow_addr_is_any(&local.addr));
	CHECK_EQ(tow_udp_connect(other, &peer), 0);
	tow_udp_close(udp);
	tow_udp_close(other);
	stack_host_close(&s);
}
