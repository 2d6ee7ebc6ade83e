/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole input path: frames, time and calls of the program, in any order,
 * into one open stack.
 *
 * The input is a script: an opening byte that chooses devices and a first
 * scene, then operations, each a byte with its arguments behind it. Random
 * bytes would never pass a checksum or hit a window, so frames are mostly
 * built: the input chooses flags, offsets from the numbers that the connection
 * really is at, options, scene_payload and lies, and the target does the sums.
 *
 * Beside what the sanitizers and the stack's own assertions find, these must
 * hold for any input:
 *  - each frame that leaves is well-formed and correctly summed
 *  - a loan ends at most once, and exactly once when all is over
 *  - the clock can always go on: no deadline stays in the past
 *  - after the program let go of everything and time passed, the stack is
 *    idle and its pools are full again
 */
#include <stdlib.h>
#include "scene.h"
#include "stack/stack_private.h"

#define MEMORY_BYTES (8u << 20)
#define OPERATIONS   400

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

struct scene scene;
uint8_t scene_payload[65536];
static uint8_t *memory;

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
	struct tow_addr us6 = tow_addr_v6(OUR_IP6);

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
	scene_device_init(caps[how >> 1 & 3]);
	ASSERT(tow_attach(scene.stack, &scene.device.dev) == 0);
	ASSERT(tow_addr_add(scene.stack, 0, &us4, 24) == 0);
	ASSERT(tow_addr_add(scene.stack, 0, &us6, 64) == 0);
	scene.v4 = how & 1;
	scene.now_us = 1000000;
	poll_stack();
}

/* --- calls of the program --- */

static struct tow_endpoint peer_endpoint(unsigned which)
{
	struct tow_endpoint peer = { .port = (uint16_t)(40000 + which) };

	peer.addr =
		scene.v4 ? tow_addr_v4(192, 0, 2, 2) : tow_addr_v6(PEER_IP6);
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
		spans[i] = (struct tow_span){ scene_payload + take8(),
					      take_length() * 3 };
	if (tow_tcp_lend(tcp, spans, count, scene.lent + 1, take8() & 1) == 0)
		scene.lent++;
}

static void call_borrow(unsigned i)
{
	struct tow_span spans[8];
	int n = tow_tcp_borrow(scene.handles[i], spans, 1 + take8() % 8);

	for (int k = 0; k < n; k++) {
		const uint8_t *p = spans[k].ptr;

		ASSERT(spans[k].len > 0);
		scene.seen ^=
			p[0] ^ p[spans[k].len - 1]; /* ASan says if it may */
		scene.borrowed[i] += spans[k].len;
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
		n = tow_tcp_send(tcp, scene_payload, take_length(),
				 take8() & 1);
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
	struct tow_span span = { scene_payload, take_length() };
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
		for (size_t i = 0; i < sizeof(scene_payload); i++)
			scene_payload[i] = (uint8_t)(i * 31);
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
