/* SPDX-License-Identifier: BSD-2-Clause */
/* Received payload in the device's own memory: it goes back exactly once. */
#include <string.h>
#include "stack/stack_private.h"
#include "stack_host.h"
#include "test.h"
#include "wire/wire_icmp.h"

#define US   "192.0.2.1"
#define PEER "192.0.2.2"

static struct stack_host s;
static struct frame f;
static uint8_t out[4096];

static struct tow_udp *open_socket(void)
{
	struct tow_endpoint local = endpoint("::", 7);
	struct tow_udp *udp;

	s.fake.lends = true;
	s.fake.room_bytes = 42; /* Ethernet, IPv4, UDP */
	CHECK_EQ(tow_udp_open(s.stack, &local, &udp), 0);
	return udp;
}

static void arrive(uint16_t port, uint32_t payload)
{
	frame_begin(&f, PEER, US, NET_UDP);
	frame_udp(&f, 1000, port);
	frame_fill(&f, payload);
	frame_end(&f);
	stack_host_receive(&s, &f);
}

TEST(a_borrowed_datagram_lies_in_the_devices_memory_until_it_is_returned)
{
	struct tow_span spans[TOW_SPANS_MAX];
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_socket();
	arrive(7, 1000);
	CHECK_EQ(tow_udp_borrow(udp, spans, TOW_SPANS_MAX, NULL), 1);
	CHECK_EQ(spans[0].len, 1000);
	CHECK_MEM(spans[0].ptr, f.data + 42, 1000);
	stack_host_run(&s, 1000000);
	CHECK_EQ(s.fake.lent, 1);

	tow_udp_return(udp, 1);
	CHECK_EQ(s.fake.lent, 1); /* ends in a poll, which is due at once */
	CHECK_LE(tow_deadline(s.stack), s.now_us);
	CHECK(!tow_idle(s.stack));
	stack_host_poll(&s);
	CHECK_EQ(s.fake.lent, 0);
	tow_udp_close(udp);
	stack_host_close(&s);
}

TEST(a_datagram_that_is_copied_out_goes_back_with_the_next_poll)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_socket();
	arrive(7, 1000);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), NULL), 1000);
	CHECK_MEM(out, f.data + 42, 1000);
	stack_host_poll(&s);
	CHECK_EQ(s.fake.lent, 0);
	tow_udp_close(udp);
	stack_host_close(&s);
}

TEST(a_datagram_for_nobody_goes_back_in_the_same_poll)
{
	stack_host_open(&s, 0);
	tow_udp_close(open_socket());
	arrive(9, 1000);
	stack_host_poll(&s);
	CHECK_EQ(s.fake.lent, 0);
	stack_host_close(&s);
}

TEST(closing_a_socket_returns_what_it_had_not_read)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_socket();
	arrive(7, 1000);
	arrive(7, 1200);
	CHECK_EQ(s.fake.lent, 2);
	tow_udp_close(udp);
	stack_host_poll(&s);
	CHECK_EQ(s.fake.lent, 0);
	stack_host_close(&s);
}

TEST(foreign_memory_counts_against_the_sockets_limit)
{
	uint32_t cost = (uint32_t)sizeof(struct tow_buf) + 1400;
	struct tow_config cfg;
	struct tow_udp *udp;

	stack_host_config(&cfg);
	cfg.recv_bytes = cfg.recv_bytes_max = 10 * cost + cost / 2;
	stack_host_open_with(&s, &cfg, 0);
	udp = open_socket();
	for (unsigned i = 0; i < 12; i++)
		arrive(7, 1400);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_FULL), 2);
	stack_host_poll(&s);
	CHECK_EQ(s.fake.lent, 10);
	tow_udp_close(udp);
	stack_host_close(&s);
}

/* An echo goes out in the buffer that the request came in by. */
TEST(an_echo_goes_back_to_the_device_when_it_was_sent)
{
	stack_host_open(&s, 0);
	tow_udp_close(open_socket());
	s.fake.keeps = true;
	frame_begin(&f, PEER, US, NET_ICMP);
	frame_icmp(&f, ICMP4_ECHO, 0, 0x12345678);
	frame_fill(&f, 800);
	frame_end(&f);
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_sent(&s), 1);
	CHECK_EQ(s.fake.sent[0].bytes, 842);
	CHECK_EQ(s.fake.lent, 1);
	fake_dev_release_all(&s.fake);
	stack_host_poll(&s);
	CHECK_EQ(s.fake.lent, 0);
	stack_host_close(&s);
}

TEST(a_device_that_is_gone_still_gets_its_memory_back)
{
	struct tow_udp *udp;

	stack_host_open(&s, 0);
	udp = open_socket();
	arrive(7, 1000);
	s.fake.gone = true;
	stack_host_poll(&s);
	CHECK_EQ(s.fake.lent, 1);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), NULL), 1000);
	stack_host_poll(&s);
	CHECK_EQ(s.fake.lent, 0);
	tow_udp_close(udp);
	stack_host_close(&s);
}

TEST(the_driver_finds_the_stacks_ledger)
{
	stack_host_open(&s, 0);
	CHECK(s.fake.dev.ledger == &s.stack->net.stats.ledger);
	stack_host_close(&s);
}
