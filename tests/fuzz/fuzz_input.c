/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole input path: frames, time and calls of the program, in any order,
 * into one open stack.
 *
 * The input is a script: an opening byte that chooses devices and a first
 * scene, then operations, each a byte with its arguments behind it. Random
 * bytes would never pass a checksum or hit a window, so frames are mostly
 * built: the input chooses flags, offsets from the numbers that the connection
 * really is at, options, payload and lies, and the target does the sums.
 *
 * Beside what the sanitizers and the stack's own assertions find, these must
 * hold for any input:
 *  - each frame that leaves is well-formed and correctly summed
 *  - a loan ends at most once, and exactly once when all is over
 *  - the clock can always go on: no deadline stays in the past
 *  - after the program let go of everything and time passed, the stack is
 *    idle and its pools are full again
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include <tow/udp.h>
#include "base/base.h"
#include "stack/stack_private.h"

#define ETH	     14
#define TUPLES	     4
#define HANDLES	     8
#define QUEUE	     64
#define HELD	     24
#define FRAME_MAX    (ETH + 9000)
#define MEMORY_BYTES (8u << 20)
#define LOANS_MAX    512
#define OPERATIONS   400
#define TCP_LEAST    20

enum op {
	OP_SEGMENT, /* the bulk of the numbers, for they matter most */
	OP_SEGMENT_1,
	OP_SEGMENT_2,
	OP_SEGMENT_3,
	OP_SEGMENT_PLAIN,
	OP_RAW,
	OP_RAW_SUMMED,
	OP_ICMP,
	OP_UDP,
	OP_REFLECT,
	OP_TIME,
	OP_TIME_NEXT,
	OP_POLL,
	OP_LISTEN,
	OP_CONNECT,
	OP_ACCEPT,
	OP_SEND,
	OP_LEND,
	OP_RECV,
	OP_BORROW,
	OP_RETURN,
	OP_SHUTDOWN,
	OP_CLOSE,
	OP_ABORT,
	OP_SET,
	OP_UDP_CALL,
	OP_DEVICE,
	OP_LISTENER_CLOSE,
	OPS,
};

/* What one side of the wire knows of a connection, for building segments. */
struct tuple {
	uint32_t ours_next; /* the stack's next number, as seen on the wire */
	uint32_t ours_una;  /* what the peer may have acknowledged */
	uint32_t peer_next; /* what the stack acknowledged last */
	uint32_t ts;	    /* last TSval of the stack */
	bool stamps;	    /* the stack sends timestamps */
};

struct frame {
	uint16_t bytes;
	uint8_t data[FRAME_MAX];
};

struct device {
	struct tow_dev dev;
	struct frame *queue; /* of QUEUE */
	unsigned head, tail;
	struct tow_buf *held[HELD];
	unsigned held_count;
	bool hold, full, gone, mute, closed;
};

struct scene {
	const uint8_t *at, *end; /* of the script */
	struct tow_stack *stack;
	struct device device;
	uint64_t now_us;
	bool v4;
	struct tuple tuples[TUPLES];
	struct tow_tcp *handles[HANDLES];
	uint64_t borrowed[HANDLES];
	struct tow_listener *listener;
	struct tow_udp *udp;
	unsigned udp_borrowed;
	uint64_t lent; /* tokens given out: 1..lent */
	uint8_t loan_ends[LOANS_MAX];
	struct frame last_sent;
};

static struct scene scene;
static struct frame queue[QUEUE];
static uint8_t *memory;
static uint8_t payload[65536];

static const uint8_t our_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t our_ip4[4] = { 192, 0, 2, 1 };
static const uint8_t peer_ip4[4] = { 192, 0, 2, 2 };
static const uint8_t our_ip6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 1 };
static const uint8_t peer_ip6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 2 };

/* --- the script --- */

static bool more(void)
{
	return scene.at < scene.end;
}

static uint8_t take8(void)
{
	return more() ? *scene.at++ : 0;
}

static uint16_t take16(void)
{
	uint16_t high = take8();

	return (uint16_t)(high << 8 | take8());
}

static uint32_t take32(void)
{
	uint32_t high = take16();

	return high << 16 | take16();
}

/* Near, far, or anywhere: an offset from a number that matters. */
static uint32_t take_offset(void)
{
	uint8_t how = take8();

	switch (how & 7) {
	case 0:
	case 1:
	case 2:
		return 0;
	case 3:
		return (uint32_t)(int32_t)(int8_t)take8();
	case 4:
		return (uint32_t)(how >> 3) * 536;
	case 5:
		return 0u - (uint32_t)(how >> 3) * 536;
	case 6:
		return (uint32_t)(int32_t)(int16_t)take16();
	default:
		return take32();
	}
}

static unsigned take_length(void)
{
	uint8_t how = take8();

	return how < 0x80   ? how & 15
	       : how < 0xc0 ? (how & 63) * 32u
			    : (how & 63) * 140u;
}

/* --- bytes --- */

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void put32(uint8_t *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p + 2, value & 0xffff);
}

static uint32_t sum(uint32_t start, const uint8_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		start += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return start;
}

static uint32_t sum_pseudo(const uint8_t *ip, uint8_t protocol, uint32_t bytes)
{
	bool v4 = ip[0] >> 4 == 4;
	uint32_t start = v4 ? sum(0, ip + 12, 8) : sum(0, ip + 8, 32);

	start += (bytes >> 16) + (bytes & 0xffff) + protocol;
	return sum(start, NULL, 0);
}

/* --- the device --- */

static struct frame *frame_new(void)
{
	struct device *d = &scene.device;

	if (d->tail - d->head >= QUEUE)
		return NULL;
	return &d->queue[d->tail % QUEUE];
}

static void frame_done(unsigned bytes)
{
	struct device *d = &scene.device;

	d->queue[d->tail % QUEUE].bytes = (uint16_t)bytes;
	d->tail++;
}

static void answer_arp(const uint8_t *request)
{
	struct frame *f = frame_new();

	if (!f || get16(request + 20) != 1 || !memcmp(request + 38, our_ip4, 4))
		return;
	memcpy(f->data, request + 6, 6);
	memcpy(f->data + 6, peer_mac, 6);
	memcpy(f->data + 12, request + 12, 8);
	put16(f->data + 20, 2);
	memcpy(f->data + 22, peer_mac, 6);
	memcpy(f->data + 28, request + 38, 4);
	memcpy(f->data + 32, request + 22, 10);
	frame_done(42);
}

static void answer_solicitation(const uint8_t *request)
{
	static const uint8_t none[16];
	const uint8_t *ip = request + ETH;
	struct frame *f = frame_new();
	uint8_t *out;

	if (!f || !memcmp(ip + 8, none, 16) || !memcmp(ip + 48, our_ip6, 16))
		return;
	memset(f->data, 0, ETH + 40 + 32);
	memcpy(f->data, our_mac, 6);
	memcpy(f->data + 6, peer_mac, 6);
	put16(f->data + 12, 0x86dd);
	out = f->data + ETH;
	out[0] = 0x60;
	put16(out + 4, 32);
	out[6] = 58;
	out[7] = 255;
	memcpy(out + 8, ip + 48, 16);
	memcpy(out + 24, ip + 8, 16);
	out[40] = 136;
	out[44] = 0x60;
	memcpy(out + 48, ip + 48, 16);
	out[64] = 2;
	out[65] = 1;
	memcpy(out + 66, peer_mac, 6);
	put16(out + 42, 0xffff & ~sum(sum_pseudo(out, 58, 32), out + 40, 32));
	frame_done(ETH + 40 + 32);
}

static struct tuple *tuple_of(const uint8_t *tcp)
{
	unsigned remote = get16(tcp + 2) - 40000u;

	return &scene.tuples[remote < TUPLES ? remote : 0];
}

static void learn(const uint8_t *tcp, unsigned header, unsigned bytes)
{
	struct tuple *t = tuple_of(tcp);
	uint32_t end = get32(tcp + 4) + bytes - header;

	end += !!(tcp[13] & 1) + !!(tcp[13] & 2);
	if (tcp[13] & 4)
		return;
	if (tcp[13] & 2) {
		t->ours_next = end;
		t->ours_una = end;
		t->stamps = false;
	}
	if ((int32_t)(end - t->ours_next) > 0)
		t->ours_next = end;
	if (tcp[13] & 16)
		t->peer_next = get32(tcp + 8);
	for (unsigned i = 20; i + 10 <= header; i++)
		if (tcp[i] == 8 && tcp[i + 1] == 10) {
			t->ts = get32(tcp + i + 2);
			t->stamps = true;
			break;
		}
}

static void judge_tcp(const struct tow_buf *buf, const uint8_t *ip,
		      const uint8_t *tcp, unsigned bytes)
{
	unsigned header = (unsigned)(tcp[12] >> 4) * 4;
	uint32_t pseudo = sum_pseudo(ip, 6, bytes);

	ASSERT(bytes >= TCP_LEAST && header >= TCP_LEAST && header <= bytes);
	ASSERT((tcp[13] & 6) != 6);
	if (buf->flags & TOW_BUF_CSUM_PARTIAL) {
		ASSERT(scene.device.dev.caps & TOW_DEV_TX_CSUM);
		ASSERT(get16(tcp + 16) == pseudo);
	} else {
		ASSERT(sum(pseudo, tcp, bytes) == 0xffff);
	}
	learn(tcp, header, bytes);
}

/* Lengths, checksums and sizes of a frame that the stack sent. */
static void judge(const struct tow_buf *buf)
{
	static uint8_t data[ETH + 65536];
	const uint8_t *ip = data + ETH;
	size_t bytes = tow_buf_read(buf, 0, data, sizeof(data));
	bool v4 = get16(data + 12) == 0x0800;
	unsigned header = v4 ? (ip[0] & 15u) * 4 : 40;

	ASSERT(bytes == buf->bytes && bytes >= 42);
	ASSERT(buf->span_count <= scene.device.dev.spans_max);
	ASSERT(buf->gso || bytes - ETH <= scene.device.dev.mtu);
	if (bytes <= FRAME_MAX) {
		memcpy(scene.last_sent.data, data, bytes);
		scene.last_sent.bytes = (uint16_t)bytes;
	}
	if (get16(data + 12) == 0x0806) {
		if (!scene.device.mute)
			answer_arp(data);
		return;
	}
	ASSERT(v4 || get16(data + 12) == 0x86dd);
	ASSERT(bytes >= ETH + header);
	if (v4) {
		ASSERT(get16(ip + 2) == bytes - ETH && header >= 20);
		ASSERT(sum(0, ip, header) == 0xffff);
	} else {
		ASSERT(get16(ip + 4) == bytes - ETH - 40);
	}
	if (ip[v4 ? 9 : 6] == 6)
		judge_tcp(buf, ip, ip + header,
			  (unsigned)(bytes - ETH - header));
	else if (!v4 && ip[6] == 58 && ip[40] == 135 && !scene.device.mute)
		answer_solicitation(data);
}

static int device_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct device *d = (struct device *)dev;
	unsigned count = 0;

	if (d->gone)
		return TOW_ENETDOWN;
	for (; count < n && d->head != d->tail; d->head++) {
		struct frame *f = &d->queue[d->head % QUEUE];
		struct tow_buf *buf = tow_buf_take(dev->pool);
		unsigned at =
			f->bytes < TOW_BUF_HEADERS ? f->bytes : TOW_BUF_HEADERS;

		if (!buf)
			continue; /* the ring drops */
		memcpy(buf->room, f->data, at);
		tow_buf_set_head(buf, 0, at);
		while (at < f->bytes) {
			uint8_t *chunk = tow_chunk_take(dev->pool);
			unsigned piece = tow_chunk_bytes(dev->pool);

			if (!chunk) {
				buf->flags |= TOW_BUF_TRUNCATED;
				break;
			}
			if (piece > f->bytes - at)
				piece = f->bytes - at;
			memcpy(chunk, f->data + at, piece);
			tow_buf_add_chunk(buf, chunk, piece);
			at += piece;
		}
		bufs[count++] = buf;
	}
	return (int)count;
}

static int device_tx(struct tow_dev *dev, struct tow_buf *const *bufs,
		     unsigned n)
{
	struct device *d = (struct device *)dev;
	unsigned i;

	if (d->gone)
		return TOW_ENETDOWN;
	for (i = 0; i < n; i++) {
		if (d->full || (d->hold && d->held_count == HELD))
			break;
		judge(bufs[i]);
		if (d->hold)
			d->held[d->held_count++] = bufs[i];
		else
			tow_buf_give(bufs[i]);
	}
	return (int)i;
}

static void give_held(unsigned count)
{
	struct device *d = &scene.device;

	while (count-- && d->held_count)
		tow_buf_give(d->held[--d->held_count]);
}

static void device_close(struct tow_dev *dev)
{
	(void)dev;
	give_held(HELD);
	scene.device.closed = true;
}

static const struct tow_dev_ops ops = {
	.name = "fuzz",
	.rx = device_rx,
	.tx = device_tx,
	.close = device_close,
};

/* --- the stack --- */

static void note_event(const struct tow_event *event)
{
	if (event->type != TOW_EVENT_LOAN)
		return;
	ASSERT(event->token >= 1 && event->token <= scene.lent);
	ASSERT(scene.loan_ends[event->token]++ == 0);
}

static void poll_stack(void)
{
	struct tow_event events[16];
	int n, rounds = 0;

	do {
		n = tow_poll(scene.stack, scene.now_us);
		ASSERT(n >= 0);
		for (int got = 16; got == 16;) {
			got = tow_events(scene.stack, events, 16);
			for (int i = 0; i < got; i++)
				note_event(&events[i]);
		}
	} while (n > 0 && ++rounds < 200);
}

/*
 * Deadline by deadline; one that stays in the past is a busy loop. A ring that
 * takes nothing is tried again often: a few times stand for all.
 */
static void pass_time(uint64_t us)
{
	uint64_t until = scene.now_us + us, deadline;
	bool blocked = scene.device.full || scene.device.hold;
	unsigned stuck = 0, steps = 0;

	while ((deadline = tow_deadline(scene.stack)) <= until) {
		stuck = deadline > scene.now_us ? 0 : stuck + 1;
		if (blocked && (stuck > 3 || ++steps > 40))
			break;
		ASSERT(stuck < 1000);
		scene.now_us = MAX(scene.now_us, deadline);
		poll_stack();
	}
	scene.now_us = until;
	poll_stack();
}

static void open_stack(uint8_t how)
{
	static const uint32_t caps[4] = { 0, TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM,
					  TOW_DEV_TX_CSUM | TOW_DEV_TSO4 |
						  TOW_DEV_TSO6,
					  TOW_DEV_LRO };
	struct tow_config cfg;
	struct tow_addr us4 = tow_addr_v4(192, 0, 2, 1);
	struct tow_addr us6 = tow_addr_v6(our_ip6);

	tow_config_default(&cfg);
	cfg.tcp_max = 12;
	cfg.listener_max = 2;
	cfg.udp_max = 2;
	cfg.neighbour_max = 8;
	cfg.chunk_bytes = 2048;
	cfg.rx_chunks = 48;
	cfg.rx_bufs = 64;
	cfg.tx_chunks = 24;
	cfg.tx_bufs = 32;
	cfg.loans = 48;
	cfg.segments = 64;
	cfg.send_bytes = 65536;
	cfg.recv_bytes = 32768;
	cfg.recv_bytes_max = 65536;
	ASSERT(tow_need(&cfg) <= MEMORY_BYTES);
	ASSERT(tow_open(&scene.stack, &cfg, memory, MEMORY_BYTES) == 0);
	scene.device = (struct device){
		.dev = { .ops = &ops,
			 .caps = caps[how >> 1 & 3],
			 .mtu = 1500,
			 .gso_bytes_max = how >> 1 & 2 ? 60000 : 0,
			 .spans_max = TOW_BUF_SPANS,
			 .mac = { 2, 0, 0, 0, 0, 1 },
			 .next_us = UINT64_MAX },
		.queue = queue,
	};
	ASSERT(tow_attach(scene.stack, &scene.device.dev) == 0);
	ASSERT(tow_addr_add(scene.stack, 0, &us4, 24) == 0);
	ASSERT(tow_addr_add(scene.stack, 0, &us6, 64) == 0);
	scene.v4 = how & 1;
	scene.now_us = 1000000;
	poll_stack();
}

/* --- frames into the stack --- */

/* Link and IP header in front of what build will put there. */
static uint8_t *begin_ip(struct frame *f, uint8_t protocol)
{
	uint8_t *ip = f->data + ETH;

	memcpy(f->data, our_mac, 6);
	memcpy(f->data + 6, peer_mac, 6);
	put16(f->data + 12, scene.v4 ? 0x0800 : 0x86dd);
	memset(ip, 0, 40);
	if (scene.v4) {
		ip[0] = 0x45;
		ip[8] = 64;
		ip[9] = protocol;
		memcpy(ip + 12, peer_ip4, 4);
		memcpy(ip + 16, our_ip4, 4);
		return ip + 20;
	}
	ip[0] = 0x60;
	ip[6] = protocol;
	ip[7] = protocol == 58 ? 255 : 64;
	memcpy(ip + 8, peer_ip6, 16);
	memcpy(ip + 24, our_ip6, 16);
	return ip + 40;
}

static void end_ip(struct frame *f, unsigned bytes, int sum_at)
{
	uint8_t *ip = f->data + ETH, *body = ip + (scene.v4 ? 20 : 40);
	uint8_t protocol = ip[scene.v4 ? 9 : 6];
	uint32_t start = protocol == 1 ? 0 : sum_pseudo(ip, protocol, bytes);

	put16(body + sum_at, 0);
	put16(body + sum_at, 0xffff & ~sum(start, body, bytes));
	if (scene.v4) {
		put16(ip + 2, 20 + bytes);
		put16(ip + 10, 0);
		put16(ip + 10, 0xffff & ~sum(0, ip, 20));
	} else {
		put16(ip + 4, bytes);
	}
	frame_done(ETH + (scene.v4 ? 20 : 40) + bytes);
}

/* The options of a SYN, of a segment with timestamps, or any bytes. */
static unsigned put_options(uint8_t *p, const struct tuple *t, uint8_t flags)
{
	uint8_t how = take8();
	unsigned n = 0;

	if (how & 0x80) {
		n = how & 36;
		for (unsigned i = 0; i < n; i++)
			p[i] = take8();
		return n;
	}
	if (flags & 2) {
		memcpy(p, (uint8_t[]){ 2, 4, 0, 0, 4, 2, 1, 3, 3, 0, 1, 1 },
		       12);
		put16(p + 2, how & 1 ? take16() : 1460);
		p[9] = how & 2 ? take8() : 7;
		n = 12;
	}
	if ((t->stamps || flags & 2) && !(how & 4)) {
		memcpy(p + n, (uint8_t[]){ 1, 1, 8, 10 }, 4);
		put32(p + n + 4, (uint32_t)(scene.now_us / 1000) +
					 (how & 8 ? take_offset() : 0));
		put32(p + n + 8, t->ts);
		n += 12;
	}
	for (unsigned i = 0; i < (how >> 4 & 3u) && n <= 28; i++) {
		memcpy(p + n, (uint8_t[]){ 1, 1, 5, 10 }, 4);
		put32(p + n + 4, t->ours_una + take_offset());
		put32(p + n + 8, get32(p + n + 4) + take_offset());
		n += 12;
	}
	return n;
}

static void send_segment(bool plain)
{
	struct frame *f = frame_new();
	uint8_t which = take8(), flags = plain ? 16 : take8();
	struct tuple *t = &scene.tuples[which & (TUPLES - 1)];
	unsigned header, bytes;
	uint8_t *tcp;

	if (!f)
		return;
	tcp = begin_ip(f, 6);
	put16(tcp, 40000 + (which & (TUPLES - 1)));
	put16(tcp + 2, which & 0x20 ? 50000 : 80);
	put32(tcp + 4, t->peer_next + (plain ? 0 : take_offset()));
	put32(tcp + 8, t->ours_next + (plain ? 0 : take_offset()));
	tcp[13] = flags;
	put16(tcp + 14, which & 0x40 ? take16() : 65535);
	put16(tcp + 18, flags & 32 ? take16() : 0);
	header = 20 +
		 (plain && !t->stamps ? 0 : put_options(tcp + 20, t, flags));
	tcp[12] = (uint8_t)(header / 4 << 4);
	if (which & 0x80)
		tcp[12] = take8();
	bytes = take_length();
	memcpy(tcp + header, payload, bytes);
	if (flags & 16 && (int32_t)(get32(tcp + 8) - t->ours_una) > 0)
		t->ours_una = get32(tcp + 8);
	end_ip(f, header + bytes, 16);
}

static void send_icmp(void)
{
	struct frame *f = frame_new();
	const struct tuple *t = &scene.tuples[take8() & (TUPLES - 1)];
	uint8_t *icmp, *ip, *tcp;
	unsigned quoted;

	if (!f)
		return;
	icmp = begin_ip(f, scene.v4 ? 1 : 58);
	memset(icmp, 0, 8 + 40 + 20);
	icmp[0] = take8();
	icmp[1] = take8();
	put32(icmp + 4, take16());
	ip = icmp + 8;
	ip[0] = scene.v4 ? 0x45 : 0x60;
	if (scene.v4) {
		put16(ip + 2, take16());
		ip[8] = 3;
		ip[9] = take8() & 1 ? 17 : 6;
		memcpy(ip + 12, our_ip4, 4);
		memcpy(ip + 16, peer_ip4, 4);
	} else {
		put16(ip + 4, take16());
		ip[6] = take8() & 1 ? 17 : 6;
		memcpy(ip + 8, our_ip6, 16);
		memcpy(ip + 24, peer_ip6, 16);
	}
	tcp = ip + (scene.v4 ? 20 : 40);
	put16(tcp, 80);
	put16(tcp + 2, 40000 + (take8() & 3));
	put32(tcp + 4, t->ours_una + take_offset());
	quoted = take8() % 29;
	end_ip(f, 8 + (scene.v4 ? 20 : 40) + quoted, 2);
}

static void send_udp(void)
{
	struct frame *f = frame_new();
	unsigned bytes = take_length();
	uint8_t *udp;

	if (!f)
		return;
	udp = begin_ip(f, 17);
	put16(udp, take16());
	put16(udp + 2, take8() & 1 ? 53 : take16());
	put16(udp + 4, take8() & 7 ? bytes + 8 : take16());
	memcpy(udp + 8, payload, bytes);
	end_ip(f, 8 + bytes, 6);
}

/* Any bytes; with the sums of IPv4 and TCP put right, or as they are. */
static void send_raw(bool summed)
{
	struct frame *f = frame_new();
	unsigned bytes = take8();

	if (!f)
		return;
	for (unsigned i = 0; i < bytes; i++)
		f->data[i] = take8();
	if (!summed || bytes < ETH + 20) {
		frame_done(bytes);
		return;
	}
	memcpy(f->data, our_mac, 6);
	put16(f->data + 12, f->data[ETH] >> 4 == 4 ? 0x0800 : 0x86dd);
	if (f->data[ETH] >> 4 == 4) {
		unsigned header = (f->data[ETH] & 15u) * 4;

		put16(f->data + ETH + 10, 0);
		if (header <= bytes - ETH)
			put16(f->data + ETH + 10,
			      0xffff & ~sum(0, f->data + ETH, header));
	}
	frame_done(bytes);
}

/* What the stack sent last comes back, with a few bytes changed. */
static void reflect(void)
{
	struct frame *f = frame_new();
	unsigned changes = take8() & 3;
	bool v4 = get16(scene.last_sent.data + 12) == 0x0800;
	uint8_t *ip;

	if (!f || scene.last_sent.bytes < ETH + 40)
		return;
	*f = scene.last_sent;
	memcpy(f->data, our_mac, 6);
	memcpy(f->data + 6, peer_mac, 6);
	ip = f->data + ETH;
	if (v4) {
		memcpy(ip + 12, scene.last_sent.data + ETH + 16, 4);
		memcpy(ip + 16, scene.last_sent.data + ETH + 12, 4);
	} else {
		memcpy(ip + 8, scene.last_sent.data + ETH + 24, 16);
		memcpy(ip + 24, scene.last_sent.data + ETH + 8, 16);
	}
	for (; changes; changes--)
		f->data[take16() % f->bytes] = take8();
	frame_done(f->bytes);
}

/* --- calls of the program --- */

static struct tow_endpoint peer_endpoint(unsigned which)
{
	struct tow_endpoint peer = { .port = (uint16_t)(40000 + which) };

	peer.addr =
		scene.v4 ? tow_addr_v4(192, 0, 2, 2) : tow_addr_v6(peer_ip6);
	return peer;
}

static unsigned free_handle(void)
{
	unsigned i = 0;

	while (i < HANDLES && scene.handles[i])
		i++;
	return i;
}

static void call_connect(void)
{
	unsigned i = free_handle(), which = take8();
	struct tow_endpoint peer = peer_endpoint(which & (TUPLES - 1));
	struct tow_endpoint local = { .port = which & 0x20 ? 50000 : 80 };

	if (i == HANDLES)
		return;
	scene.borrowed[i] = 0;
	if (tow_tcp_connect(scene.stack, &local, &peer, &scene.handles[i]))
		scene.handles[i] = NULL;
}

static void call_listen(void)
{
	struct tow_endpoint local = { .port = 80 };

	if (!scene.listener &&
	    tow_tcp_listen(scene.stack, &local, 1 + (take8() & 7),
			   &scene.listener))
		scene.listener = NULL;
}

static void call_accept(void)
{
	unsigned i = free_handle();

	if (i == HANDLES || !scene.listener)
		return;
	scene.borrowed[i] = 0;
	if (tow_tcp_accept(scene.listener, &scene.handles[i]))
		scene.handles[i] = NULL;
}

static void call_lend(struct tow_tcp *tcp)
{
	struct tow_span spans[5];
	int count = 1 + take8() % 5;

	if (scene.lent + 1 >= LOANS_MAX)
		return;
	for (int i = 0; i < count; i++)
		spans[i] = (struct tow_span){ payload + take8(),
					      take_length() * 3 };
	if (tow_tcp_lend(tcp, spans, count, scene.lent + 1, take8() & 1) == 0)
		scene.lent++;
}

static void call_borrow(unsigned i)
{
	struct tow_span spans[8];
	int n = tow_tcp_borrow(scene.handles[i], spans, 1 + take8() % 8);

	for (int k = 0; k < n; k++) {
		ASSERT(spans[k].len > 0);
		/* readable, as ASan will say */
		scene.borrowed[i] += spans[k].len;
		payload[0] ^= ((const uint8_t *)spans[k].ptr)[0];
		payload[1] ^= ((const uint8_t *)spans[k].ptr)[spans[k].len - 1];
	}
}

static void call_return(unsigned i)
{
	uint64_t bytes = take_length();

	if (bytes > scene.borrowed[i])
		bytes = scene.borrowed[i];
	tow_tcp_return(scene.handles[i], bytes);
	scene.borrowed[i] -= bytes;
}

static void call_on_handle(enum op op)
{
	static uint8_t out[4096];
	unsigned i = take8() % HANDLES;
	struct tow_tcp *tcp = scene.handles[i];
	struct tow_tcp_info info;
	int64_t n = 0;

	if (!tcp)
		return;
	switch (op) {
	case OP_SEND:
		n = tow_tcp_send(tcp, payload, take_length(), take8() & 1);
		break;
	case OP_LEND:
		call_lend(tcp);
		break;
	case OP_RECV:
		if (!scene.borrowed[i])
			n = tow_tcp_recv(tcp, out, 1 + take_length() % 4096);
		break;
	case OP_BORROW:
		call_borrow(i);
		break;
	case OP_RETURN:
		call_return(i);
		break;
	case OP_SHUTDOWN:
		tow_tcp_shutdown(tcp);
		break;
	case OP_CLOSE:
		tow_tcp_close(tcp);
		scene.handles[i] = NULL;
		return;
	case OP_ABORT:
		tow_tcp_abort(tcp);
		scene.handles[i] = NULL;
		return;
	default:
		n = tow_tcp_set(tcp, (enum tow_tcp_option)(take8() % 12),
				(int16_t)take16());
	}
	ASSERT(n >= -200);
	tow_tcp_info(tcp, &info);
	ASSERT(info.in_flight_bytes <= 1u << 30);
}

static void call_udp(void)
{
	struct tow_endpoint local = { .port = 53 };
	struct tow_span span = { payload, take_length() };
	struct tow_udp_message message = { .peer = peer_endpoint(0),
					   .spans = &span,
					   .span_count = 1 };
	struct tow_span spans[TOW_SPANS_MAX];
	static uint8_t out[2048];
	uint8_t what = take8();
	int64_t n = 0;

	if (!scene.udp) {
		if (tow_udp_open(scene.stack, &local, &scene.udp))
			scene.udp = NULL;
		return;
	}
	message.segment_bytes = what & 0x80 ? take16() : 0;
	switch (what & 7) {
	case 0:
		n = tow_udp_send(scene.udp, &message, 1);
		break;
	case 1:
		message.token = scene.lent + 1;
		if (scene.lent + 1 < LOANS_MAX &&
		    tow_udp_lend(scene.udp, &message, 1) == 1)
			scene.lent++;
		break;
	case 2:
	case 3:
		if (!scene.udp_borrowed)
			n = tow_udp_recv(scene.udp, out, sizeof(out), &message);
		break;
	case 4:
		if (tow_udp_borrow(scene.udp, spans, TOW_SPANS_MAX, &message) >=
		    0)
			scene.udp_borrowed++;
		break;
	case 5:
		tow_udp_return(scene.udp, scene.udp_borrowed);
		scene.udp_borrowed = 0;
		break;
	case 6:
		n = tow_udp_connect(scene.udp, what & 8 ? NULL : &message.peer);
		break;
	default:
		tow_udp_close(scene.udp);
		scene.udp = NULL;
		scene.udp_borrowed = 0;
	}
	ASSERT(n >= -200);
}

static void change_device(void)
{
	struct device *d = &scene.device;
	uint8_t what = take8();

	switch (what & 7) {
	case 0:
		d->hold = !d->hold;
		break;
	case 1:
		give_held(1 + (what >> 3));
		break;
	case 2:
		if (d->held_count > 1) { /* another order */
			struct tow_buf *first = d->held[0];

			d->held[0] = d->held[d->held_count - 1];
			d->held[d->held_count - 1] = first;
		}
		break;
	case 3:
		d->full = !d->full;
		break;
	case 4:
		d->mute = !d->mute;
		break;
	case 5:
		scene.v4 = !scene.v4;
		break;
	default:
		d->gone |= what == 0xff;
	}
}

static void act(enum op op)
{
	switch (op) {
	case OP_SEGMENT:
	case OP_SEGMENT_1:
	case OP_SEGMENT_2:
	case OP_SEGMENT_3:
		send_segment(false);
		break;
	case OP_SEGMENT_PLAIN:
		send_segment(true);
		break;
	case OP_RAW:
		send_raw(false);
		break;
	case OP_RAW_SUMMED:
		send_raw(true);
		break;
	case OP_ICMP:
		send_icmp();
		break;
	case OP_UDP:
		send_udp();
		break;
	case OP_REFLECT:
		reflect();
		break;
	case OP_TIME:
		pass_time((uint64_t)take16() << (take8() % 12));
		break;
	case OP_TIME_NEXT:
		if (tow_deadline(scene.stack) != UINT64_MAX)
			pass_time(tow_deadline(scene.stack) > scene.now_us
					  ? tow_deadline(scene.stack) -
						    scene.now_us
					  : 0);
		break;
	case OP_POLL:
		poll_stack();
		break;
	case OP_LISTEN:
		call_listen();
		break;
	case OP_CONNECT:
		call_connect();
		break;
	case OP_ACCEPT:
		call_accept();
		break;
	case OP_UDP_CALL:
		call_udp();
		break;
	case OP_DEVICE:
		change_device();
		break;
	case OP_LISTENER_CLOSE:
		if (scene.listener)
			tow_listener_close(scene.listener);
		scene.listener = NULL;
		break;
	default:
		call_on_handle(op);
	}
}

/* A scene to begin with, so that not each input must find the handshake. */
static void set_the_stage(uint8_t how)
{
	static const uint8_t handshake[] = {
		OP_LISTEN,
		3,
		OP_SEGMENT,
		0,
		2,
		0,
		0,
		0,
		0,
		OP_POLL,
		OP_SEGMENT_PLAIN,
		0,
		0,
		0,
		OP_POLL,
		OP_ACCEPT,
	};
	static const uint8_t connect[] = {
		OP_CONNECT, 0, OP_POLL, OP_SEGMENT, 0, 18, 0, 0, 0, 0, OP_POLL,
	};
	const uint8_t *at = scene.at, *end = scene.end;

	if (how == 0)
		return;
	scene.at = how & 2 ? connect : handshake;
	scene.end = scene.at + (how & 2 ? sizeof(connect) : sizeof(handshake));
	while (more())
		act((enum op)take8());
	scene.at = at;
	scene.end = end;
}

/* The program lets go of everything, and the peer is silent. */
static void let_go(void)
{
	for (unsigned i = 0; i < HANDLES; i++) {
		if (!scene.handles[i])
			continue;
		if (i & 1)
			tow_tcp_close(scene.handles[i]);
		else
			tow_tcp_abort(scene.handles[i]);
	}
	if (scene.listener)
		tow_listener_close(scene.listener);
	if (scene.udp)
		tow_udp_close(scene.udp);
	scene.device.hold = scene.device.full = false;
	give_held(HELD);
	poll_stack();
	pass_time(3600ull * 1000000);
}

static void check_nothing_is_left(void)
{
	const struct net *net = &scene.stack->net;

	for (uint64_t token = 1; token <= scene.lent; token++)
		ASSERT(scene.loan_ends[token] == 1);
	ASSERT(tow_idle(scene.stack));
	ASSERT(net->rx_pool.bufs_left == net->rx_pool.bufs_total);
	ASSERT(net->rx_pool.chunks_left == net->rx_pool.chunks_total);
	ASSERT(net->tx_pool.bufs_left == net->tx_pool.bufs_total);
	ASSERT(net->tx_pool.chunks_left == net->tx_pool.chunks_total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t how;

	if (!memory) {
		memory = aligned_alloc(64, MEMORY_BYTES);
		ASSERT(memory);
		for (size_t i = 0; i < sizeof(payload); i++)
			payload[i] = (uint8_t)(i * 31);
	}
	memset(&scene, 0, sizeof(scene));
	scene.at = data;
	scene.end = data + bytes;
	how = take8();
	open_stack(how);
	set_the_stage(how >> 3 & 3);
	for (unsigned i = 0; more() && i < OPERATIONS; i++) {
		act((enum op)(take8() % OPS));
		if (scene.device.tail - scene.device.head > QUEUE / 2)
			poll_stack();
	}
	let_go();
	check_nothing_is_left();
	tow_close(scene.stack);
	ASSERT(scene.device.closed);
	return 0;
}
