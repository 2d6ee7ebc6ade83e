/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Received datagrams that go out again from where they arrived.
 */
#include <string.h>
#include "stack_host.h"
#include "test.h"
#include "udp/udp_private.h"
#include "wire/wire_udp.h"

#define US    "192.0.2.1"
#define PEER  "192.0.2.2"
#define US6   "2001:db8::1"
#define PEER6 "2001:db8::2"

static struct stack_host s;
static struct frame f, sent;
static struct tow_udp *near, *far;
static struct tow_udp_message where;
static struct tow_span spans[TOW_BUF_SPANS];

static struct tow_udp *open_socket(uint16_t port)
{
	struct tow_endpoint local = endpoint("::", port);
	struct tow_udp *udp;

	CHECK_EQ(tow_udp_open(s.stack, &local, &udp), 0);
	return udp;
}

static void open_sockets(void)
{
	near = open_socket(7);
	far = open_socket(8);
	memset(&where, 0, sizeof(where));
	where.peer = endpoint(PEER6, 9);
}

static void set_up(uint32_t caps)
{
	stack_host_open(&s, caps);
	open_sockets();
}

static void take_down(void)
{
	tow_udp_close(near);
	tow_udp_close(far);
	stack_host_run(&s, 1000000);
	stack_host_close(&s);
}

static void arrive(uint32_t payload)
{
	frame_begin(&f, PEER, US, NET_UDP);
	frame_udp(&f, 1000, 7);
	frame_fill(&f, payload);
	frame_end(&f);
	stack_host_receive(&s, &f);
}

static void arrive_and_borrow(uint32_t payload)
{
	arrive(payload);
	CHECK_GE(tow_udp_borrow(near, spans, TOW_BUF_SPANS, NULL), 0);
}

/* A train as a device merges it; one that verifies sums, or none does. */
static void train_arrives(uint32_t payload, uint16_t each)
{
	bool verifies = s.fake.dev.caps & TOW_DEV_TX_CSUM;
	struct fake_input *input;

	frame_begin(&f, PEER, US, NET_UDP);
	frame_udp(&f, 1000, 7);
	frame_fill(&f, payload);
	frame_end(&f);
	input = fake_dev_put(&s.fake, f.data, f.bytes,
			     verifies ? TOW_BUF_CSUM_OK : 0);
	input->gso = TOW_GSO_UDP;
	input->gso_bytes = each;
	stack_host_poll(&s);
}

static const struct tow_ledger *ledger(void)
{
	return &tow_stats(s.stack)->ledger;
}

/* The one frame that was sent has the payload of the one that arrived. */
static void check_sent(uint32_t payload)
{
	CHECK_EQ(stack_host_sent(&s), 1);
	CHECK_EQ(s.fake.sent[s.seen - 1].bytes, 14 + 40 + 8 + payload);
	CHECK_MEM(s.fake.sent[s.seen - 1].data + 62, frame_transport(&f) + 8,
		  payload);
}

/* tow/udp.h: from where it arrived, and nothing is copied; IPv4 to IPv6 */
TEST(datagram_goes_out_from_where_it_arrived)
{
	const struct fake_frame *out;

	set_up(TOW_DEV_TX_CSUM);
	arrive_and_borrow(1200);
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), 1);
	check_sent(1200);
	out = &s.fake.sent[s.seen - 1];
	for (unsigned i = 1; i < out->span_count; i++) {
		CHECK_EQ(out->spans[i].ptr, spans[i - 1].ptr);
		CHECK_EQ(out->spans[i].len, spans[i - 1].len);
	}
	CHECK_EQ(ledger()->passed_bytes, 1200);
	CHECK_EQ(tow_udp_ledger(near)->passed_bytes, 1200);
	CHECK_EQ(tow_udp_ledger(far)->passed_bytes, 1200);
	CHECK_EQ(ledger()->rx_lent_bytes, 0);
	for (unsigned i = 0; i < TOW_COPY_REASONS; i++)
		CHECK_EQ(ledger()->copied_bytes[i], 0);
	CHECK_EQ(stack_host_event(&s).type, 0);
	take_down();
}

/* The sum that was verified is the sum that is sent. */
TEST(verified_sum_is_used_again)
{
	set_up(0);
	arrive_and_borrow(1201);
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), 1);
	check_sent(1201);
	CHECK_EQ(ledger()->tx_touched_bytes, 0);
	frame_begin(&sent, US6, PEER6, NET_UDP);
	frame_udp(&sent, 8, 9);
	frame_fill(&sent, 1201);
	frame_end(&sent);
	CHECK_MEM(s.fake.sent[s.seen - 1].data + 54, frame_transport(&sent), 8);
	take_down();
}

TEST(small_datagram_is_copied_and_returned)
{
	set_up(0);
	arrive_and_borrow(100);
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), 1);
	check_sent(100);
	CHECK_EQ(ledger()->copied_bytes[TOW_COPY_TX_SMALL], 100);
	CHECK_EQ(ledger()->rx_lent_bytes, 100);
	CHECK_EQ(ledger()->passed_bytes, 0);
	take_down();
}

TEST(empty_datagram_is_passed_on)
{
	set_up(0);
	arrive_and_borrow(0);
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), 1);
	check_sent(0);
	take_down();
}

/* Its cost stays with the socket that received it, until the device is done */
TEST(buffer_counts_until_the_device_is_done)
{
	set_up(TOW_DEV_TX_CSUM);
	s.fake.keeps = true;
	arrive_and_borrow(1200);
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), 1);
	check_sent(1200);
	CHECK_GT(near->rx_cost, 1200);
	CHECK_EQ(near->borrowed, 0);
	fake_dev_release_all(&s.fake);
	stack_host_poll(&s);
	CHECK_EQ(near->rx_cost, 0);
	take_down();
}

/* A train is one buffer: it counts until the last of it has left */
TEST(buffer_counts_until_the_last_datagram_of_it_is_done)
{
	set_up(TOW_DEV_TX_CSUM);
	s.fake.keeps = true;
	train_arrives(3600, 1200);
	for (int i = 0; i < 3; i++)
		CHECK_GT(tow_udp_borrow(near, spans, TOW_BUF_SPANS, NULL), 0);
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), 1);
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 2);
	tow_udp_return(near, 1);
	CHECK_GT(near->rx_cost, 3600);
	fake_dev_release(&s.fake, s.seen - 1);
	stack_host_poll(&s);
	CHECK_GT(near->rx_cost, 3600);
	fake_dev_release_all(&s.fake);
	stack_host_poll(&s);
	CHECK_EQ(near->rx_cost, 0);
	take_down();
}

/* Both sockets are closed, and the device has it still. */
TEST(closed_sockets_wait_for_the_device)
{
	struct udp_private *private;

	set_up(TOW_DEV_TX_CSUM);
	s.fake.keeps = true;
	private = near->host->private;
	arrive_and_borrow(1200);
	arrive_and_borrow(1300);
	CHECK_EQ(tow_udp_pass(far, near, &where, 2), 1);
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 2);
	tow_udp_close(near);
	tow_udp_close(far);
	CHECK(near->open && far->open);
	CHECK_EQ(private->loans_out, 2);
	fake_dev_release_all(&s.fake);
	stack_host_poll(&s);
	CHECK(!near->open && !far->open);
	CHECK_EQ(private->loans_out, 0);
	stack_host_close(&s);
}

/* An echo: one socket is both. */
TEST(datagram_is_passed_back_by_the_socket_that_got_it)
{
	struct tow_udp_message from;

	set_up(0);
	arrive(900);
	CHECK_GT(tow_udp_borrow(near, spans, TOW_BUF_SPANS, &from), 0);
	CHECK_EQ(tow_udp_pass(near, near, &from, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	CHECK_EQ(tow_udp_ledger(near)->passed_bytes, 900);
	take_down();
}

TEST(train_goes_on_as_a_train)
{
	set_up(TOW_DEV_TX_CSUM | TOW_DEV_USO);
	train_arrives(5300, 1200);
	for (int i = 0; i < 5; i++)
		CHECK_GT(tow_udp_borrow(near, spans, TOW_BUF_SPANS, NULL), 0);
	tow_udp_return(near, 1);
	CHECK_EQ(tow_udp_pass(far, near, &where, 4), 4);
	CHECK_EQ(stack_host_sent(&s), 1);
	CHECK_EQ(s.fake.sent[s.seen - 1].gso, TOW_GSO_UDP);
	CHECK_EQ(s.fake.sent[s.seen - 1].gso_bytes, 1200);
	CHECK_MEM(s.fake.sent[s.seen - 1].data + 62,
		  frame_transport(&f) + 8 + 1200, 4100);
	CHECK_EQ(near->borrowed, 0);
	take_down();
}

TEST(parts_of_a_train_are_returned_passed_and_unread)
{
	set_up(TOW_DEV_TX_CSUM);
	train_arrives(4800, 1200);
	for (int i = 0; i < 3; i++)
		CHECK_GT(tow_udp_borrow(near, spans, TOW_BUF_SPANS, NULL), 0);
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), 1);
	check_sent(1200);
	tow_udp_return(near, 1);
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), 1);
	CHECK_EQ(stack_host_sent(&s), 1);
	CHECK_MEM(s.fake.sent[s.seen - 1].data + 62,
		  frame_transport(&f) + 8 + 2400, 1200);
	CHECK_EQ(tow_udp_borrow(near, spans, TOW_BUF_SPANS, NULL) > 0, true);
	take_down();
}

/* The sum of a train is not that of its datagrams */
TEST(sum_of_a_train_is_not_used_for_its_datagrams)
{
	set_up(0);
	train_arrives(2401, 1201);
	CHECK_EQ(tow_udp_borrow(near, spans, TOW_BUF_SPANS, NULL) > 0, true);
	CHECK_EQ(tow_udp_borrow(near, spans, TOW_BUF_SPANS, NULL) > 0, true);
	CHECK_EQ(tow_udp_pass(far, near, &where, 2), 2);
	CHECK_EQ(stack_host_sent(&s), 2);
	for (unsigned i = 0; i < 2; i++) {
		frame_begin(&sent, US6, PEER6, NET_UDP);
		frame_udp(&sent, 8, 9);
		frame_add(&sent, frame_transport(&f) + 8 + i * 1201,
			  i ? 1200 : 1201);
		frame_end(&sent);
		CHECK_MEM(s.fake.sent[s.seen - 2 + i].data + 54,
			  frame_transport(&sent), 8);
	}
	take_down();
}

/* Which of the train are on loan cannot be told any more. */
TEST(train_that_was_received_in_part_is_not_passed)
{
	static uint8_t out[1500];

	set_up(TOW_DEV_TX_CSUM);
	train_arrives(3600, 1200);
	CHECK_GT(tow_udp_borrow(near, spans, TOW_BUF_SPANS, NULL), 0);
	CHECK_EQ(tow_udp_recv(near, out, sizeof(out), NULL), 1200);
	CHECK_GT(tow_udp_borrow(near, spans, TOW_BUF_SPANS, NULL), 0);
	CHECK_EQ(tow_udp_pass(far, near, &where, 2), TOW_EBUSY);
	tow_udp_return(near, 2);
	take_down();
}

/* What cannot go stays on loan, to be returned or to go elsewhere. */
TEST(datagram_that_cannot_go_stays_on_loan)
{
	set_up(0);
	arrive_and_borrow(1460);
	memset(&where.peer, 0, sizeof(where.peer));
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), TOW_ENOTCONN);
	CHECK_EQ(near->borrowed, 1);
	tow_udp_return(near, 1);
	take_down();
}

TEST(full_socket_says_eagain_and_then_writable)
{
	struct tow_config cfg;
	int r = 1;

	stack_host_config(&cfg);
	cfg.send_bytes = 8000;
	stack_host_open_with(&s, &cfg, TOW_DEV_TX_CSUM);
	open_sockets();
	s.fake.keeps = true;
	for (unsigned i = 0; i < 200 && r > 0; i++) {
		arrive_and_borrow(1200);
		r = tow_udp_pass(far, near, &where, 1);
	}
	CHECK_EQ(r, TOW_EAGAIN);
	while (stack_host_event(&s).type)
		;
	fake_dev_release_all(&s.fake);
	stack_host_run(&s, 1000);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_WRITABLE);
	CHECK_EQ(tow_udp_pass(far, near, &where, 1), 1);
	stack_host_poll(&s);
	fake_dev_release_all(&s.fake);
	take_down();
}
