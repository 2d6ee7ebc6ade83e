/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placement with adversarial frames: a stack on a port that places, and at the
 * other end of the wire whatever the input says. An input is eight bytes of how
 * likely the device goes wrong, in what way, one byte of its capabilities, and
 * a list of steps: frames, posts, calls, time.
 *
 *	input ---- raw port ---- segment ---- port ---- stack
 *	                                        `-- posted memory
 *
 *	memory  | guard | post 1 | guard | post 2 | guard | …
 *
 * The stream's byte at each offset is known. Whatever frames come (with bad
 * checksums, of other flows, cut short, overlapping, with other headers), all
 * that the program gets is the stream, in order; behind what an event counts a
 * post has what was there before, or zeros; and guards are never written.
 */
#include <stdlib.h>
#include <string.h>
#include <tow/error.h>
#include <tow/sim.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include "base/csum.h"
#include "plain.h"
#include "stack/stack_private.h"

#define MEMORY_BYTES (8u << 20)
#define STEPS_MAX    400
#define ARENA_BYTES  (256u << 10)
#define GUARD_BYTES  64u
#define POSTS_KEPT   64u
#define PAYLOAD_MAX  1400u
#define POOL_BUFS    64u
#define POOL_CHUNKS  64u

enum { GUARD = 0xa7, BEFORE = 0xc5, FOREIGN = 0xee };
enum { HEAD_AT = 14 + 20, OPTIONS = 12 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { OUR_PORT = 80, PEER_PORT = 40000 };

static const uint32_t first = 0xfffff000; /* the stream's first byte */

struct post {
	uint8_t *at;
	size_t bytes;
	bool done;
};

static struct {
	const uint8_t *at, *end; /* of the input */
	struct tow_sim *sim;
	struct tow_dev *raw, *dev;
	struct tow_pool raw_pool;
	struct tow_stack *stack;
	struct tow_listener *listener;
	struct tow_tcp *tcp;
	uint32_t sent;	     /* bytes of the stream that the peer sent */
	uint32_t got;	     /* ... that the program got */
	uint32_t stack_next; /* what the stack's ACKs and ours are about */
	uint32_t acknowledged;
	size_t arena_used;
	struct post posts[POSTS_KEPT];
	uint64_t posted;
} f;

static uint8_t *memory, *raw_memory;
static uint8_t arena[ARENA_BYTES];

static uint8_t take8(void)
{
	return f.at < f.end ? *f.at++ : 0;
}

static unsigned take16(void)
{
	unsigned high = take8();

	return high << 8 | take8();
}

static uint8_t stream_byte(uint32_t offset)
{
	return (uint8_t)(offset * 131 + (offset >> 8) * 17 + 5) | 1;
}

/* ---- what the peer sends ---- */

struct segment {
	uint32_t offset; /* in the stream */
	unsigned bytes, option_bytes, padding;
	uint8_t flags;
	bool foreign, broken;
};

static void finish_sums(uint8_t *frame, unsigned tcp_bytes)
{
	struct tow_addr src = tow_addr_v4(192, 0, 2, 2);
	struct tow_addr dst = tow_addr_v4(192, 0, 2, 1);
	uint16_t sum = csum_finish(csum_bytes(0, frame + 14, 20));

	memcpy(frame + 24, &sum, 2);
	sum = csum_finish(csum_bytes(csum_pseudo(&src, &dst, 6, tcp_bytes),
				     frame + HEAD_AT, tcp_bytes));
	memcpy(frame + HEAD_AT + 16, &sum, 2);
}

static void send_segment(const struct segment *s)
{
	static uint8_t frame[14 + 20 + 60 + PAYLOAD_MAX + 64];
	unsigned header = 20 + s->option_bytes, at = HEAD_AT + header;

	memset(frame, 0, at);
	memcpy(frame, f.dev->mac, 6);
	memcpy(frame + 6, f.raw->mac, 6);
	put16(frame + 12, 0x0800);
	frame[14] = 0x45;
	put16(frame + 16, 20 + header + s->bytes);
	frame[22] = 64;
	frame[23] = 6;
	put32(frame + 26, 0xc0000202);
	put32(frame + 30, 0xc0000201);
	put16(frame + HEAD_AT, PEER_PORT + s->foreign);
	put16(frame + HEAD_AT + 2, OUR_PORT);
	put32(frame + HEAD_AT + 4, first + s->offset - !!(s->flags & SYN));
	put32(frame + HEAD_AT + 8, f.stack_next);
	frame[HEAD_AT + 12] = (uint8_t)(header / 4 << 4);
	frame[HEAD_AT + 13] = s->flags;
	put16(frame + HEAD_AT + 14, 0xffff);
	memset(frame + HEAD_AT + 20, 1, s->option_bytes); /* NOP */
	for (unsigned i = 0; i < s->bytes; i++)
		frame[at + i] = s->foreign || s->broken
					? FOREIGN
					: stream_byte(s->offset + i);
	finish_sums(frame, header + s->bytes);
	if (s->broken) /* so that no flipped bit makes it right again */
		frame[HEAD_AT + 16] ^= 0x50;
	memset(frame + at + s->bytes, FOREIGN, s->padding);
	ASSERT(tow_sim_inject(f.raw, frame, at + s->bytes + s->padding) == 0);
}

/* Near what comes next, so that it overlaps, repeats, or leaves a hole. */
static uint32_t take_offset(void)
{
	int near = (int8_t)take8();
	int64_t offset = (int64_t)f.sent + near * 16;

	return offset < 0 ? 0 : (uint32_t)offset;
}

static void send_stream(uint8_t how)
{
	struct segment s = { .flags = ACK, .offset = f.sent };

	s.bytes = take16() % (PAYLOAD_MAX + 1);
	if (how & 1)
		s.offset = take_offset();
	if (how & 2)
		s.option_bytes = take8() % 11 * 4;
	if (how & 4)
		s.padding = take8() % 64;
	s.foreign = (how & 24) == 8;
	s.broken = (how & 24) == 16;
	send_segment(&s);
	if (!s.foreign && !s.broken)
		f.sent = MAX(f.sent, s.offset + s.bytes);
}

/* Anything at all, but of no protocol that could be right by chance. */
static void send_anything(void)
{
	uint8_t frame[256] = { 0 };
	unsigned bytes = 14 + take8() % 200;

	for (unsigned i = 12; i < bytes; i++)
		frame[i] = take8();
	memcpy(frame, f.dev->mac, 6);
	memcpy(frame + 6, f.raw->mac, 6);
	frame[23] = 6;
	frame[14] = 0x46; /* its checksum would have to fit as well */
	frame[24] = frame[25] = 0xff;
	ASSERT(tow_sim_inject(f.raw, frame, bytes) == 0);
}

static void answer_arp(const uint8_t *request)
{
	uint8_t reply[60] = { 0 };

	memcpy(reply, request + 6, 6);
	memcpy(reply + 6, f.raw->mac, 6);
	memcpy(reply + 12, request + 12, 8);
	put16(reply + 20, 2);
	memcpy(reply + 22, f.raw->mac, 6);
	memcpy(reply + 28, request + 38, 4);
	memcpy(reply + 32, request + 22, 10);
	ASSERT(tow_sim_inject(f.raw, reply, sizeof(reply)) == 0);
}

static void note_sent(const uint8_t *frame, size_t bytes)
{
	if (bytes >= 42 && frame[12] == 8 && frame[13] == 6)
		answer_arp(frame);
	if (bytes < HEAD_AT + 20 || frame[12] != 8 || frame[13] != 0 ||
	    frame[23] != 6 || frame[HEAD_AT + 3] != (PEER_PORT & 255))
		return;
	f.acknowledged = get32(frame + HEAD_AT + 8) - first;
	f.stack_next = get32(frame + HEAD_AT + 4) +
		       !!(frame[HEAD_AT + 13] & (SYN | FIN));
}

/* ---- what the program gets ---- */

static void check_stream(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ASSERT(bytes[i] == stream_byte(f.got + (uint32_t)i));
	f.got += (uint32_t)count;
	ASSERT(f.got <= f.sent);
}

static void check_rest(const struct post *post, size_t from)
{
	for (size_t i = from; i < post->bytes; i++)
		ASSERT(post->at[i] == BEFORE || post->at[i] == 0);
}

static void check_guards(void)
{
	size_t at = 0;

	for (uint64_t i = 0; i < f.posted; i++) {
		for (; arena + at < f.posts[i].at; at++)
			ASSERT(arena[at] == GUARD);
		at += f.posts[i].bytes;
	}
	for (; at < MIN(f.arena_used + GUARD_BYTES, sizeof(arena)); at++)
		ASSERT(arena[at] == GUARD);
}

static void end_post(const struct tow_event *event)
{
	struct post *post = &f.posts[event->token];

	ASSERT(event->token < f.posted && !post->done);
	ASSERT(event->bytes <= post->bytes);
	ASSERT(event->placed_bytes <= event->bytes);
	ASSERT(event->placed_bytes == event->bytes || event->copied_why);
	post->done = true;
	check_stream(post->at, event->bytes);
	check_rest(post, event->bytes);
}

static void post_memory(void)
{
	size_t bytes = 1 + take16() % 8192;
	struct tow_span span = { arena + f.arena_used + GUARD_BYTES, bytes };
	struct post *post = &f.posts[f.posted];

	if (!f.tcp || f.posted == POSTS_KEPT ||
	    f.arena_used + bytes + 2 * GUARD_BYTES > sizeof(arena))
		return;
	memset(arena + f.arena_used + GUARD_BYTES, BEFORE, bytes);
	if (tow_tcp_post(f.tcp, &span, f.posted) < 0) {
		memset(arena + f.arena_used + GUARD_BYTES, GUARD, bytes);
		return;
	}
	*post = (struct post){ arena + f.arena_used + GUARD_BYTES, bytes,
			       false };
	f.arena_used += GUARD_BYTES + bytes;
	f.posted++;
}

static void take_events(void)
{
	struct tow_event event;

	while (tow_events(f.stack, &event, 1) == 1) {
		if (event.type == TOW_EVENT_POST)
			end_post(&event);
		if (event.type == TOW_EVENT_ACCEPT && !f.tcp)
			ASSERT(tow_tcp_accept(f.listener, &f.tcp) == 0);
	}
}

static void receive_by_copy(void)
{
	uint8_t bytes[512];
	int64_t got;

	if (!f.tcp)
		return;
	take_events(); /* a post that is full has what comes before */
	got = tow_tcp_recv(f.tcp, bytes, 1 + take8());
	if (got > 0)
		check_stream(bytes, (size_t)got);
}

/* Returns: whether there was something. */
static bool hear(void)
{
	uint8_t frame[2048];
	struct tow_buf *buf;

	if (f.raw->ops->rx(f.raw, &buf, 1) != 1)
		return false;
	note_sent(frame, tow_buf_read(buf, 0, frame, sizeof(frame)));
	tow_buf_give(buf);
	return true;
}

/* The wire, the stack, the peer, until nothing happens for so long. */
static void run(uint64_t us)
{
	uint64_t end = tow_sim_now(f.sim) + us;
	bool more = true;

	while (more) {
		more = tow_sim_step(f.sim, end);
		take_events();
		more |= hear();
	}
}

/* ---- a run ---- */

enum step {
	STREAM = 0, /* and up to 31: how, see send_stream() */
	POST = 32,
	UNPOST,
	RECV,
	TIME,
	SEND_FIN,
	ANYTHING,
	NEXT, /* the segment that the stack waits for */
	STEPS,
};

static void act(uint8_t what)
{
	struct segment s = { .flags = ACK };

	switch (what % STEPS) {
	case POST:
		post_memory();
		break;
	case UNPOST:
		if (f.tcp)
			tow_tcp_unpost(f.tcp);
		break;
	case RECV:
		receive_by_copy();
		break;
	case TIME:
		run(1 + take16());
		break;
	case SEND_FIN:
		s.flags |= FIN;
		s.offset = f.sent;
		send_segment(&s);
		break;
	case ANYTHING:
		send_anything();
		break;
	case NEXT:
		s.offset = f.acknowledged;
		s.bytes = take16() % (PAYLOAD_MAX + 1);
		if (s.offset > f.sent) /* it acknowledged our FIN */
			break;
		send_segment(&s);
		f.sent = MAX(f.sent, s.offset + s.bytes);
		break;
	default:
		send_stream(what % STEPS);
	}
}

static void open_ports(void)
{
	struct tow_sim_port how;
	int segment = tow_sim_segment(f.sim);
	uint8_t caps;

	tow_sim_port_default(&how);
	how.margin = 0;
	ASSERT(tow_sim_port_open(f.sim, segment, &how, &f.raw) == 0);
	f.raw->pool = &f.raw_pool;
	caps = take8();
	how.caps |= TOW_DEV_PLACE;
	if (caps & 1)
		how.caps |= TOW_DEV_LRO;
	if ((caps & 3) == 2)
		how.caps &= ~(uint32_t)TOW_DEV_RX_CSUM;
	how.rx_partial = caps & 4;
	how.layout = (enum tow_sim_layout)(caps >> 3 & 3);
	how.layout_bytes = 60;
	how.place = (struct tow_sim_place){
		.late_ppm = take8() * 1000u,
		.stale_ppm = take8() * 1000u,
		.shape_ppm = take8() * 1000u,
		.damage_ppm = take8() * 1000u,
		.truncated_ppm = take8() * 1000u,
		.withdrawn_ppm = take8() * 1000u,
		.moved_ppm = take8() * 1000u,
		.foreign_ppm = take8() * 4000u,
		.busy_ppm = caps & 0x20 ? 100000 : 0,
	};
	ASSERT(tow_sim_port_open(f.sim, segment, &how, &f.dev) == 0);
}

static void open_stack(void)
{
	struct tow_addr addr = tow_addr_v4(192, 0, 2, 1);
	struct tow_endpoint local = { addr, OUR_PORT, 0 };
	struct tow_config cfg;

	tow_config_default(&cfg);
	cfg.tcp_max = 8;
	cfg.listener_max = 1;
	cfg.udp_max = 1;
	cfg.neighbour_max = 8;
	cfg.chunk_bytes = 2048;
	cfg.rx_chunks = 256;
	cfg.rx_bufs = 256;
	cfg.tx_chunks = 24;
	cfg.tx_bufs = 32;
	cfg.loans = 16;
	cfg.segments = 32;
	cfg.posts = 24;
	cfg.recv_bytes = 65536;
	cfg.recv_bytes_max = 131072;
	ASSERT(tow_need(&cfg) <= MEMORY_BYTES);
	ASSERT(tow_open(&f.stack, &cfg, memory, MEMORY_BYTES) == 0);
	ASSERT(tow_attach(f.stack, f.dev) == 0);
	ASSERT(tow_addr_add(f.stack, 0, &addr, 24) == 0);
	ASSERT(tow_tcp_listen(f.stack, &local, 4, &f.listener) == 0);
	ASSERT(tow_sim_add(f.sim, f.stack) == 0);
}

/* Until the connection is there, the device does what it should. */
static void shake_hands(void)
{
	struct segment syn = { .flags = SYN }, ack = { .flags = ACK };

	send_segment(&syn);
	run(10000);
	send_segment(&ack);
	run(10000);
	ASSERT(f.tcp);
}

static void check_nothing_is_left(void)
{
	const struct net *net = &f.stack->net;
	uint32_t held = tow_sim_stats(f.dev)->held;

	for (uint64_t i = 0; i < f.posted; i++)
		ASSERT(f.posts[i].done);
	ASSERT(net->rx_pool.bufs_left + held == net->rx_pool.bufs_total);
	ASSERT(net->rx_pool.chunks_left == net->rx_pool.chunks_total);
	ASSERT(tow_sim_stats(f.dev)->fates[TOW_SIM_VIOLATION] == 0);
}

static void end(void)
{
	run(100000);
	tow_tcp_abort(f.tcp);
	run(100000);
	check_guards();
	check_nothing_is_left();
	tow_listener_close(f.listener);
	tow_sim_remove(f.sim, f.stack);
	tow_close(f.stack);
	f.raw->ops->close(f.raw);
	tow_sim_close(f.sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	size_t raw_bytes = pool_need(POOL_BUFS, POOL_CHUNKS, 2048);
	static uint64_t empty;

	if (!memory) {
		memory = aligned_alloc(64, MEMORY_BYTES);
		raw_memory = aligned_alloc(2048, (raw_bytes + 2047) & ~2047ul);
		ASSERT(memory && raw_memory);
	}
	memset(&f, 0, sizeof(f));
	memset(arena, GUARD, sizeof(arena));
	f.at = data;
	f.end = data + bytes;
	pool_init(&f.raw_pool, raw_memory, POOL_BUFS, POOL_CHUNKS, 2048,
		  &empty);
	ASSERT(tow_sim_open(&f.sim, bytes) == 0);
	open_ports();
	open_stack();
	shake_hands();
	for (unsigned i = 0; f.at < f.end && i < STEPS_MAX; i++)
		act(take8());
	end();
	pool_close(&f.raw_pool);
	return 0;
}
