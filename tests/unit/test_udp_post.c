/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Posted buffers for datagrams: slots, records, events; the hint, and putting
 * right whatever the device did otherwise.
 *
 * The device here is the stack host's, with another rx and a place operation:
 * it puts what lies behind a frame's expected headers where the hint says, and
 * the test says which frames it takes for foreseen.
 */
#include <stdlib.h>
#include <string.h>
#include "stack_host.h"
#include "test.h"

#define US4   "192.0.2.1"
#define PEER4 "192.0.2.2"
#define US6   "2001:db8::1"
#define PEER6 "2001:db8::2"

#define SLOT	100u
#define SLOTS	8u
#define CANARY	0xc5
#define HEADERS 42u /* Ethernet, IPv4, UDP */

static struct stack_host s;
static struct tow_udp *udp;
static uint8_t memory[2][SLOT * SLOTS + 50];
static struct tow_udp_slot slots[64];
static struct tow_udp_message from;
static uint8_t out[2000];

/* What the device was told, and how far it has come. */
static struct {
	struct tow_place place;
	struct tow_span spans[TOW_PLACE_SPANS];
	unsigned calls;
	size_t at;
	bool rests;
	int result;
} hint;

enum arrival {
	IN_CHUNKS,
	PLACED,	     /* as it was foreseen */
	PLACED_ODD,  /* in the spans, but not as foreseen */
	PLACED_LATE, /* the same, a slot further on */
};

static struct {
	struct frame frame;
	enum arrival how;
	uint16_t gso_bytes;
	uint32_t head; /* bytes in the room; 0: what the hint says */
} wire[32];
static unsigned wire_count;

static int place(struct tow_dev *dev, const struct tow_place *place)
{
	(void)dev;
	hint.calls++;
	hint.at = 0;
	hint.rests = false;
	hint.place = *place;
	memset(hint.spans, 0, sizeof(hint.spans));
	if (place->bytes)
		memcpy(hint.spans, place->spans,
		       place->span_count * sizeof(hint.spans[0]));
	if (hint.result)
		hint.place.bytes = 0;
	return place->bytes ? hint.result : 0;
}

static bool armed(void)
{
	return hint.place.bytes > 0;
}

static void add_to_spans(struct tow_buf *buf, const uint8_t *data,
			 uint32_t bytes, size_t at)
{
	for (unsigned i = 0; i < hint.place.span_count && bytes; i++) {
		const struct tow_span *span = &hint.spans[i];
		uint8_t *to = (uint8_t *)(uintptr_t)span->ptr;
		uint32_t n;

		if (at >= span->len) {
			at -= span->len;
			continue;
		}
		n = span->len - at < bytes ? (uint32_t)(span->len - at) : bytes;
		memcpy(to + at, data, n);
		tow_buf_add_placed(buf, to + at, n, hint.place.token);
		data += n;
		bytes -= n;
		at = 0;
	}
	CHECK_EQ(bytes, 0); /* the tests leave room */
}

static void add_to_chunk(struct tow_buf *buf, const uint8_t *data,
			 uint32_t bytes)
{
	uint8_t *chunk = tow_chunk_take(buf->pool);

	memcpy(chunk, data, bytes);
	tow_buf_add_chunk(buf, chunk, bytes);
}

static struct tow_buf *receive(unsigned i)
{
	struct tow_buf *buf = tow_buf_take(s.fake.dev.pool);
	const struct frame *frame = &wire[i].frame;
	uint32_t head = wire[i].head ? wire[i].head : hint.place.header_bytes;
	uint32_t rest;

	if (wire[i].how == IN_CHUNKS && !wire[i].head)
		head = HEADERS;
	if (head > frame->bytes)
		head = frame->bytes;
	rest = frame->bytes - head;
	tow_buf_set_head(buf, 0, head);
	memcpy(buf->room, frame->data, head);
	if (wire[i].gso_bytes) {
		buf->gso = TOW_GSO_UDP;
		buf->gso_bytes = wire[i].gso_bytes;
		buf->flags |= TOW_BUF_CSUM_OK;
	}
	if (wire[i].how == IN_CHUNKS || !rest) {
		if (rest)
			add_to_chunk(buf, frame->data + head, rest);
		return buf;
	}
	CHECK(armed() && !hint.rests);
	add_to_spans(buf, frame->data + head, rest,
		     hint.at + (wire[i].how == PLACED_LATE ? SLOT : 0));
	hint.rests = wire[i].how != PLACED;
	if (!hint.rests) {
		buf->flags |= TOW_BUF_FORESEEN;
		hint.at += (rest + SLOT - 1) / SLOT * SLOT;
	}
	return buf;
}

static int rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	unsigned i;

	(void)dev;
	for (i = 0; i < wire_count && i < n; i++)
		bufs[i] = receive(i);
	wire_count = 0;
	return (int)i;
}

static void set_up(void)
{
	static struct tow_dev_ops ops;
	struct tow_endpoint local = endpoint("::", 7);
	struct tow_endpoint peer = endpoint(PEER4, 1000);

	stack_host_open(&s, TOW_DEV_PLACE);
	ops = *s.fake.dev.ops;
	ops.rx = rx;
	ops.place = place;
	s.fake.dev.ops = &ops;
	memset(&hint, 0, sizeof(hint));
	memset(memory, CANARY, sizeof(memory));
	CHECK_EQ(tow_udp_open(s.stack, &local, &udp), 0);
	CHECK_EQ(tow_udp_connect(udp, &peer), 0);
}

static int post(unsigned i, uint32_t slot_count, uint32_t header_bytes)
{
	struct tow_span span = { memory[i], slot_count * SLOT + 50 };

	return tow_udp_post(udp, &span, SLOT, header_bytes, 100 + i);
}

/* On the wire; byte i of datagram @n is n * 16 + i. */
static struct frame *put(unsigned n, uint32_t bytes, enum arrival how)
{
	struct frame *frame = &wire[wire_count].frame;
	uint8_t data[1000];

	for (uint32_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(n * 16 + i);
	frame_begin(frame, PEER4, US4, NET_UDP);
	frame_udp(frame, 1000, 7);
	frame_add(frame, data, bytes);
	frame_end(frame);
	wire[wire_count].how = how;
	wire[wire_count].gso_bytes = 0;
	wire[wire_count++].head = 0;
	return frame;
}

/* Slot @i of memory @m holds @bytes of datagram @n from @skip on, then zeros */
static void check_slot(unsigned m, unsigned i, unsigned n, uint32_t bytes,
		       uint32_t skip)
{
	const uint8_t *slot = memory[m] + i * SLOT;

	for (uint32_t j = 0; j < SLOT; j++)
		CHECK_EQ(slot[j], j < bytes ? (uint8_t)(n * 16 + skip + j) : 0);
}

static void check_canaries(unsigned m, unsigned first_slot)
{
	for (size_t i = first_slot * SLOT; i < sizeof(memory[m]); i++)
		CHECK_EQ(memory[m][i], CANARY);
}

static uint64_t copied(enum tow_copy why)
{
	return tow_udp_ledger(udp)->copied_bytes[why];
}

static void tear_down(void)
{
	struct tow_event event;

	tow_udp_close(udp);
	CHECK(!armed());
	do
		event = stack_host_event(&s);
	while (event.type == TOW_EVENT_POST);
	CHECK_EQ(event.type, 0);
	stack_host_close(&s);
}

TEST(post_wants_a_peer_and_a_slot)
{
	struct tow_span small = { memory[0], SLOT - 1 };

	set_up();
	CHECK_EQ(tow_udp_post(udp, &small, SLOT, 0, 1), TOW_EINVAL);
	CHECK_EQ(tow_udp_post(udp, &small, 0, 0, 1), TOW_EINVAL);
	CHECK_EQ(post(0, SLOTS, TOW_UDP_HEADER_MAX + 1), TOW_EINVAL);
	CHECK_EQ(tow_udp_connect(udp, NULL), 0);
	CHECK_EQ(post(0, SLOTS, 0), TOW_ENOTCONN);
	tear_down();
}

TEST(peer_cannot_change_under_a_post)
{
	struct tow_endpoint peer = endpoint(PEER4, 1001);

	set_up();
	CHECK_EQ(post(0, SLOTS, 0), 0);
	CHECK_EQ(tow_udp_connect(udp, &peer), TOW_EBUSY);
	tow_udp_unpost(udp);
	CHECK_EQ(tow_udp_connect(udp, &peer), 0);
	tear_down();
}

TEST(posts_of_a_socket_have_a_limit)
{
	set_up();
	for (unsigned i = 0; i < TOW_POSTS_MAX; i++)
		CHECK_EQ(post(i % 2, 1, 0), 0);
	CHECK_EQ(post(0, 1, 0), TOW_ENOBUFS);
	tow_udp_unpost(udp); /* the events are still owed */
	CHECK_EQ(post(0, 1, 0), TOW_ENOBUFS);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_POST);
	CHECK_EQ(post(0, 1, 0), 0);
	tear_down();
}

TEST(device_is_told_where_datagrams_belong)
{
	set_up();
	CHECK_EQ(post(0, SLOTS, 4), 0);
	CHECK(armed());
	CHECK_EQ(hint.place.protocol, NET_UDP);
	CHECK_EQ(hint.place.local_port, 7);
	CHECK_EQ(hint.place.remote_port, 1000);
	CHECK_EQ(hint.place.header_bytes, HEADERS + 4);
	CHECK_EQ(hint.place.slot_bytes, SLOT);
	CHECK_EQ(hint.place.bytes, SLOTS * SLOT); /* whole slots only */
	CHECK_EQ(hint.spans[0].ptr, memory[0]);
	CHECK_EQ(hint.place.token >> 56, NET_UDP);
	CHECK_EQ(post(1, 2, 4), 0); /* goes on in the next post */
	CHECK_EQ(hint.place.span_count, 2);
	CHECK_EQ(hint.spans[1].ptr, memory[1]);
	tow_udp_unpost(udp);
	CHECK(!armed());
	tear_down();
}

TEST(placed_datagrams_are_not_touched)
{
	struct tow_event event;
	unsigned calls;

	set_up();
	CHECK_EQ(post(0, 2, 4), 0);
	calls = hint.calls;
	put(1, 104, PLACED);
	stack_host_poll(&s);
	CHECK_EQ(hint.calls, calls); /* both moved on by themselves */
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_READABLE);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 1);
	CHECK_EQ(slots[0].token, 100);
	CHECK_EQ(slots[0].offset, 0);
	CHECK_EQ(slots[0].bytes, 100);
	CHECK(slots[0].placed);
	CHECK_EQ(slots[0].header[0], 16);
	CHECK_EQ(slots[0].header[3], 19);
	check_slot(0, 0, 1, 100, 4);
	check_canaries(0, 1);
	put(2, 54, PLACED);
	stack_host_poll(&s);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_READABLE);
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_POST);
	CHECK_EQ(event.status, 0);
	CHECK_EQ(event.token, 100);
	CHECK_EQ(event.bytes, 150);
	CHECK_EQ(event.placed_bytes, 150);
	CHECK_EQ(event.copied_why, 0);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 1);
	CHECK_EQ(slots[0].offset, SLOT);
	check_slot(0, 1, 2, 50, 4);
	check_canaries(0, 2);
	CHECK(!armed()); /* nothing is posted */
	CHECK_EQ(tow_udp_ledger(udp)->rx_placed_bytes, 150);
	CHECK_EQ(copied(TOW_COPY_RX_RECV), 8); /* the headers */
	tear_down();
}

TEST(datagrams_in_chunks_are_copied_once)
{
	struct tow_event event;

	set_up();
	s.fake.dev.caps &= ~(uint32_t)TOW_DEV_PLACE;
	CHECK_EQ(post(0, 3, 0), 0);
	CHECK(!armed());
	put(1, 100, IN_CHUNKS);
	put(2, 0, IN_CHUNKS);
	put(3, 7, IN_CHUNKS);
	stack_host_poll(&s);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 3);
	CHECK(!slots[0].placed);
	check_slot(0, 0, 1, 100, 0);
	check_slot(0, 1, 2, 0, 0);
	check_slot(0, 2, 3, 7, 0);
	check_canaries(0, 3);
	event = stack_host_event(&s);
	CHECK_EQ(event.type, TOW_EVENT_POST);
	CHECK_EQ(event.bytes, 207);
	CHECK_EQ(event.placed_bytes, 0);
	CHECK_EQ(event.copied_why, 1u << TOW_COPY_RX_UNPLACED);
	CHECK_EQ(copied(TOW_COPY_RX_UNPLACED), 107);
	tear_down();
}

/* One that was not placed waits until the device is out of its way */
TEST(datagram_beside_placed_ones_overwrites_none_of_them)
{
	set_up();
	CHECK_EQ(post(0, 8, 0), 0);
	put(1, 100, IN_CHUNKS);
	put(2, 100, PLACED);
	put(3, 60, PLACED);
	put(4, 80, IN_CHUNKS);
	stack_host_poll(&s);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 4);
	check_slot(0, 0, 2, 100, 0);
	check_slot(0, 1, 3, 60, 0);
	check_slot(0, 2, 1, 100, 0);
	check_slot(0, 3, 4, 80, 0);
	check_canaries(0, 4);
	CHECK_EQ(hint.spans[0].ptr, memory[0] + 4 * SLOT);
	put(5, 100, PLACED);
	stack_host_poll(&s);
	check_slot(0, 4, 5, 100, 0);
	tear_down();
}

/* The hint rests from the last one on: the others of that batch lie there */
TEST(datagram_before_placed_ones_waits_though_the_last_makes_the_hint_rest)
{
	set_up();
	CHECK_EQ(post(0, 8, 0), 0);
	put(1, 100, IN_CHUNKS);
	put(2, 100, PLACED);
	put(3, 60, PLACED);
	put(4, 80, PLACED_LATE);
	stack_host_poll(&s);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_CHECKSUM), 0);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 4);
	check_slot(0, 0, 2, 100, 0);
	check_slot(0, 1, 3, 60, 0);
	check_slot(0, 2, 4, 80, 0);
	check_slot(0, 3, 1, 100, 0);
	tear_down();
}

TEST(bad_checksum_leaves_no_gap_and_no_byte)
{
	set_up();
	CHECK_EQ(post(0, 8, 0), 0);
	put(1, 100, PLACED);
	put(2, 100, PLACED)->data[80] ^= 1;
	put(3, 100, PLACED);
	put(4, 100, PLACED);
	stack_host_poll(&s);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_CHECKSUM), 1);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 3);
	check_slot(0, 0, 1, 100, 0);
	check_slot(0, 1, 3, 100, 0);
	check_slot(0, 2, 4, 100, 0);
	CHECK(slots[0].placed && !slots[1].placed);
	CHECK_EQ(copied(TOW_COPY_RX_HOLE), 200);
	CHECK_EQ(hint.spans[0].ptr, memory[0] + 3 * SLOT);
	put(5, 100, PLACED)->data[80] ^= 1;
	stack_host_poll(&s);
	tow_udp_unpost(udp);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 0);
	for (unsigned i = 3 * SLOT; i < 4 * SLOT; i++)
		CHECK_EQ(memory[0][i], 0);
	check_canaries(0, 4);
	tear_down();
}

/* IP options: the payload begins further on than the device thought */
TEST(longer_headers_are_put_right)
{
	static const uint8_t nop[4] = { 1, 1, 1, 1 };
	uint8_t data[100];
	struct frame *frame;

	set_up();
	CHECK_EQ(post(0, 8, 0), 0);
	memset(data, 16, sizeof(data));
	put(1, 0, PLACED_ODD);
	frame = &wire[0].frame;
	frame_begin(frame, PEER4, US4, NET_UDP);
	frame_ip4_options(frame, nop, 4);
	frame_udp(frame, 1000, 7);
	for (unsigned i = 0; i < 90; i++)
		data[i] = (uint8_t)(16 + i);
	frame_add(frame, data, 90);
	frame_end(frame);
	stack_host_poll(&s);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 1);
	check_slot(0, 0, 1, 90, 0);
	check_canaries(0, 1);
	CHECK_EQ(copied(TOW_COPY_RX_MISSHAPED), 90);
	CHECK_EQ(hint.spans[0].ptr, memory[0] + SLOT);
	tear_down();
}

TEST(payload_in_the_room_is_put_in_front)
{
	set_up();
	CHECK_EQ(post(0, 8, 0), 0);
	put(1, 100, PLACED_ODD);
	wire[0].head = HEADERS + 30;
	stack_host_poll(&s);
	put(2, 100, PLACED_LATE);
	stack_host_poll(&s);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 2);
	check_slot(0, 0, 1, 100, 0);
	check_slot(0, 1, 2, 100, 0);
	tow_udp_unpost(udp);
	for (unsigned i = 2 * SLOT; i < 3 * SLOT; i++)
		CHECK_EQ(memory[0][i], 0);
	check_canaries(0, 3);
	tear_down();
}

TEST(longer_and_shorter_datagrams_go_to_the_queue)
{
	set_up();
	CHECK_EQ(post(0, 8, 4), 0);
	put(1, 150, PLACED_ODD);
	put(2, 3, IN_CHUNKS);
	put(3, 200, IN_CHUNKS);
	stack_host_poll(&s);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 0);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 150);
	for (unsigned i = 0; i < 150; i++)
		CHECK_EQ(out[i], (uint8_t)(16 + i));
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 3);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 200);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), TOW_EAGAIN);
	tow_udp_unpost(udp);
	for (unsigned i = 0; i < 146; i++)
		CHECK_EQ(memory[0][i], 0);
	tear_down();
}

/* A slot has no room for a source: it is the peer's, or it lies */
TEST(what_came_from_others_before_connecting_is_in_no_slot)
{
	struct tow_endpoint peer = endpoint(PEER4, 1000);
	struct frame *frame;

	set_up();
	CHECK_EQ(tow_udp_connect(udp, NULL), 0);
	frame = put(1, 100, IN_CHUNKS);
	frame_transport(frame)[1] ^= 1; /* another port */
	frame_sum_transport(frame);
	put(2, 100, IN_CHUNKS);
	frame = put(3, 100, IN_CHUNKS);
	frame_begin(frame, "192.0.2.3", US4, NET_UDP);
	frame_udp(frame, 1000, 7);
	frame_fill(frame, 100);
	frame_end(frame);
	stack_host_poll(&s);
	CHECK_EQ(tow_udp_connect(udp, &peer), 0);
	CHECK_EQ(post(0, SLOTS, 0), 0);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 1);
	check_slot(0, 0, 2, 100, 0);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 100);
	CHECK_EQ(from.peer.port, 1001);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 100);
	CHECK_EQ(from.peer.addr.b[15], 3);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), TOW_EAGAIN);
	tear_down();
}

static void put_train(unsigned n, uint32_t bytes, uint16_t each,
		      enum arrival how)
{
	put(n, bytes, how);
	wire[wire_count - 1].gso_bytes = each;
}

TEST(train_of_slots_lands_in_one_piece)
{
	set_up();
	CHECK_EQ(post(0, 8, 0), 0);
	put_train(0, 350, SLOT, PLACED);
	put(4, 100, PLACED);
	stack_host_poll(&s);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 5);
	for (unsigned i = 0; i < 3; i++) {
		check_slot(0, i, 0, SLOT, i * SLOT);
		CHECK(slots[i].placed);
	}
	CHECK_EQ(slots[3].bytes, 50);
	check_slot(0, 3, 0, 50, 300);
	check_slot(0, 4, 4, 100, 0);
	check_canaries(0, 5);
	CHECK_EQ(tow_udp_ledger(udp)->rx_placed_bytes, 450);
	tear_down();
}

TEST(trains_of_other_sizes_are_put_right)
{
	static const uint16_t sizes[] = { 40, 99, 100, 104 };

	for (unsigned k = 0; k < 4; k++) {
		uint16_t each = sizes[k];

		set_up();
		CHECK_EQ(post(0, 8, 4), 0);
		put_train(1, 3u * each, each, PLACED_ODD);
		stack_host_poll(&s);
		CHECK_EQ(tow_udp_posted(udp, slots, 64), 3);
		for (unsigned i = 0; i < 3; i++) {
			check_slot(0, i, 1, each - 4u, i * each + 4u);
			CHECK_EQ(slots[i].header[0], (uint8_t)(16 + i * each));
		}
		tow_udp_unpost(udp);
		for (unsigned i = 3 * SLOT; i < 4 * SLOT; i++)
			CHECK(memory[0][i] == 0 || memory[0][i] == CANARY);
		check_canaries(0, 4);
		tear_down();
	}
}

/* What no slot is left for waits in the queue, and then comes first */
TEST(train_beyond_the_last_slot_goes_on_in_the_next_post)
{
	set_up();
	CHECK_EQ(post(0, 2, 0), 0);
	put_train(1, 350, SLOT, IN_CHUNKS);
	stack_host_poll(&s);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 2);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_READABLE);
	CHECK_EQ(stack_host_event(&s).type, TOW_EVENT_POST);
	CHECK(!armed());
	CHECK_EQ(post(1, 8, 0), 0);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 2);
	CHECK_EQ(slots[0].token, 101);
	check_slot(1, 0, 1, 100, 200);
	check_slot(1, 1, 1, 50, 300);
	CHECK_EQ(copied(TOW_COPY_RX_EARLY), 150);
	CHECK_EQ(hint.spans[0].ptr, memory[1] + 2 * SLOT);
	put(2, 100, PLACED);
	stack_host_poll(&s);
	check_slot(1, 2, 2, 100, 0);
	tear_down();
}

TEST(another_flow_in_the_buffer_is_moved_out)
{
	struct tow_endpoint local = endpoint(US4, 9);
	struct tow_udp *other;
	struct frame *frame;

	set_up();
	CHECK_EQ(tow_udp_open(s.stack, &local, &other), 0);
	CHECK_EQ(post(0, 8, 0), 0);
	put(1, 100, PLACED);
	frame = put(2, 100, PLACED_ODD);
	frame_transport(frame)[3] = 9;
	frame_sum_transport(frame);
	stack_host_poll(&s);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 1);
	CHECK_EQ(tow_udp_recv(other, out, sizeof(out), &from), 100);
	CHECK_EQ(out[99], 32 + 99);
	tow_udp_unpost(udp);
	check_slot(0, 0, 1, 100, 0);
	for (unsigned i = SLOT; i < 2 * SLOT; i++)
		CHECK_EQ(memory[0][i], 0);
	check_canaries(0, 2);
	tow_udp_close(other);
	tear_down();
}

TEST(shared_port_is_not_placed_and_comes_back)
{
	struct tow_endpoint local = endpoint(US4, 7);
	struct tow_udp *other;

	set_up();
	CHECK_EQ(post(0, 8, 0), 0);
	CHECK(armed());
	CHECK_EQ(tow_udp_open(s.stack, &local, &other), 0);
	put(1, 100, PLACED);
	stack_host_poll(&s);
	CHECK(!armed());
	CHECK_EQ(tow_udp_placement(udp), TOW_PLACEMENT_SHARED);
	put(2, 100, IN_CHUNKS);
	stack_host_poll(&s);
	tow_udp_close(other);
	put(3, 100, IN_CHUNKS);
	stack_host_poll(&s);
	CHECK(armed());
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 3);
	for (unsigned i = 0; i < 3; i++)
		check_slot(0, i, i + 1, 100, 0);
	tear_down();
}

TEST(device_that_refuses_is_asked_again_later)
{
	set_up();
	hint.result = TOW_EPERM;
	CHECK_EQ(post(0, 8, 0), 0);
	CHECK_EQ(hint.calls, 1);
	put(1, 100, IN_CHUNKS);
	stack_host_poll(&s);
	CHECK_EQ(hint.calls, 1);
	CHECK_EQ(tow_udp_placement(udp), TOW_PLACEMENT_REFUSED);
	hint.result = 0;
	s.now_us += 1000000;
	put(2, 100, IN_CHUNKS);
	stack_host_poll(&s);
	CHECK(armed());
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 2);
	tear_down();
}

TEST(hint_pauses_when_too_much_misses)
{
	static uint8_t large[200 * SLOT];
	struct tow_span span = { large, sizeof(large) };
	unsigned i;

	set_up();
	CHECK_EQ(tow_udp_post(udp, &span, SLOT, 0, 1), 0);
	for (i = 0; i < 100 && armed(); i++) {
		put(i, 100, i % 2 ? PLACED : IN_CHUNKS);
		stack_host_poll(&s);
		CHECK_EQ(tow_udp_posted(udp, slots, 64), 1);
	}
	CHECK_EQ(i, 64);
	put(1, 50, IN_CHUNKS);
	stack_host_poll(&s);
	CHECK(!armed());
	CHECK_EQ(tow_udp_placement(udp), TOW_PLACEMENT_MISSES);
	s.now_us += 60000;
	put(1, 50, IN_CHUNKS);
	stack_host_poll(&s);
	CHECK(armed());
	tear_down();
}

/* Nobody takes the records: datagrams are lost, not the stack's memory */
TEST(records_have_a_limit)
{
	static uint8_t large[1000 * SLOT];
	struct tow_span span = { large, sizeof(large) };
	int n = 0, k;

	set_up();
	CHECK_EQ(tow_udp_post(udp, &span, SLOT, 0, 1), 0);
	for (unsigned i = 0; i < 300; i++) {
		put(i, 100, IN_CHUNKS);
		stack_host_poll(&s);
	}
	CHECK_GT(stack_host_drops(&s, TOW_DROP_UDP_FULL), 100);
	while ((k = tow_udp_posted(udp, slots, 64)) > 0)
		n += k;
	CHECK_EQ(n + stack_host_drops(&s, TOW_DROP_UDP_FULL), 300);
	CHECK_GE(n, 100);
	put(1, 100, IN_CHUNKS);
	stack_host_poll(&s);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 1);
	tear_down();
}

TEST(closing_takes_posts_back_and_says_so)
{
	struct tow_event event;

	set_up();
	tow_udp_set_user(udp, &s);
	CHECK_EQ(post(0, 8, 0), 0);
	CHECK_EQ(post(1, 8, 0), 0);
	put(1, 60, PLACED);
	stack_host_poll(&s);
	tow_udp_close(udp);
	CHECK(!armed());
	CHECK(!tow_idle(s.stack));
	for (unsigned i = 0; i < 2; i++) {
		event = stack_host_event(&s);
		CHECK_EQ(event.type, TOW_EVENT_POST);
		CHECK_EQ(event.status, TOW_ECONNABORTED);
		CHECK_EQ(event.object, NULL);
		CHECK_EQ(event.user, &s);
		CHECK_EQ(event.token, 100 + i);
		CHECK_EQ(event.bytes, i ? 0 : 60);
	}
	CHECK_EQ(stack_host_event(&s).type, 0);
	stack_host_close(&s);
}

TEST(ip6_datagrams_are_placed_too)
{
	struct tow_endpoint peer = endpoint(PEER6, 1000);

	set_up();
	CHECK_EQ(tow_udp_connect(udp, &peer), 0);
	CHECK_EQ(post(0, 8, 0), 0);
	CHECK_EQ(hint.place.header_bytes, HEADERS + 20);
	put(1, 0, PLACED);
	frame_begin(&wire[0].frame, PEER6, US6, NET_UDP);
	frame_udp(&wire[0].frame, 1000, 7);
	frame_fill(&wire[0].frame, 100);
	frame_end(&wire[0].frame);
	stack_host_poll(&s);
	CHECK_EQ(tow_udp_posted(udp, slots, 64), 1);
	CHECK(slots[0].placed);
	check_slot(0, 0, 0, 100, 0);
	tear_down();
}
