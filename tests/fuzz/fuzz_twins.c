/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two stacks of different configuration get the same segments and the same
 * calls at the same times; what a program and a peer can see must be equal.
 *
 *	input --+--> a: copies, one packet a segment, frames whole, recv
 *	        +--> b: lends, large segments, frames split, borrow and return
 *
 * What differs is chosen by the input. Wherever payload lies, and however it
 * is read, all is equal after every step: states, numbers, windows, the
 * congestion window, how many segments were sent. Large segments are put
 * together and lost as a whole, so with them the two may be a moment apart in
 * what they have sent; then compared is what the peer has said and what the
 * program sees, an ACK is only of what both have sent, and in the end, when
 * the peer took everything, they must have sent it all.
 */
#include <stdlib.h>
#include "bare.h"
#include "wire/wire.h"

#define MEMORY_BYTES (8u << 20)
#define STEPS	     160

enum op {
	OP_SEGMENT,
	OP_SEGMENT_1,
	OP_SEGMENT_2,
	OP_ACK,
	OP_ACK_SACK,
	OP_SEND,
	OP_SEND_1,
	OP_READ,
	OP_TIME,
	OP_TIME_1,
	OP_SHUTDOWN,
	OP_NODELAY,
	OPS,
};

static struct bare a, b;
static struct script script;
static bool strict; /* all is equal, not only what both have said */

static void both(void (*call)(struct bare *))
{
	call(&a);
	call(&b);
}

static void check_equal(void)
{
	const struct tow_tcp *s = a.tcp, *t = b.tcp;

	ASSERT(!s == !t);
	ASSERT(a.connected == b.connected && a.finished == b.finished);
	ASSERT(a.status == b.status);
	ASSERT(a.read == b.read && a.written == b.written);
	if (strict) {
		ASSERT(a.segments == b.segments && a.resets == b.resets);
		ASSERT(a.next == b.next && a.flags == b.flags);
	}
	if (!s)
		return;
	ASSERT(s->state == t->state && s->error == t->error);
	ASSERT(seq_eq(s->rcv.nxt, t->rcv.nxt));
	ASSERT(s->rcv.bytes == t->rcv.bytes);
	ASSERT(s->receive.unread_bytes == t->receive.unread_bytes);
	ASSERT(seq_eq(s->snd.una, t->snd.una));
	ASSERT(s->snd.wnd == t->snd.wnd);
	if (!strict)
		return;
	ASSERT(seq_eq(s->snd.nxt, t->snd.nxt));
	ASSERT(s->snd.mss == t->snd.mss); /* probes find it, RFC 8899 */
	ASSERT(s->cc.cwnd == t->cc.cwnd && s->cc.ssthresh == t->cc.ssthresh);
	ASSERT(s->rtt.srtt_us == t->rtt.srtt_us);
	ASSERT(rtt_timeout_us(s) == rtt_timeout_us(t));
	ASSERT(s->ts.recent == t->ts.recent);
	ASSERT(s->retransmits == t->retransmits);
}

/* What the peer can acknowledge at most: both have sent it. */
static uint32_t both_next(void)
{
	return (int32_t)(a.next - b.next) < 0 ? a.next : b.next;
}

static void put_timestamps(struct bare_segment *s, uint32_t offset)
{
	if (!a.stamps)
		return;
	s->option_bytes +=
		bare_timestamps(&a, s->options + s->option_bytes,
				(uint32_t)(a.now_us / 1000) + offset);
}

static void inject(const struct bare_segment *s)
{
	bare_inject(&a, s);
	bare_inject(&b, s);
	both(bare_poll);
}

static struct bare_segment segment(uint8_t flags)
{
	return (struct bare_segment){
		.seq = a.tcp ? a.tcp->rcv.nxt.n : BARE_PEER_ISS + 1,
		.ack = both_next(),
		.flags = flags,
		.window = 65535,
	};
}

/* Mostly an ACK with payload around RCV.NXT; flags as the input likes. */
static void some_segment(void)
{
	uint8_t how = script8(&script);
	struct bare_segment s = segment(ACK);
	uint32_t ack = script_offset(&script);

	s.seq += script_offset(&script) % 40000;
	if (how & 1)
		s.seq -= script16(&script) % 3000;
	s.bytes = script16(&script) % 1400;
	s.ack -= ack % 20000;
	if (how & 2)
		s.window = script16(&script);
	if (how & 4)
		s.flags = script8(&script);
	put_timestamps(&s, how & 8 ? script_offset(&script) : 0);
	inject(&s);
}

/* An ACK, perhaps of less than all, perhaps with blocks above it. */
static void some_ack(bool sack)
{
	struct bare_segment s = segment(ACK);
	uint32_t una = a.tcp ? a.tcp->snd.una.n : both_next();
	uint32_t out = both_next() - una, left;

	if (out > 1u << 24)
		return;
	s.ack = una + (out ? script16(&script) % (out + 1) : 0);
	put_timestamps(&s, 0);
	if (sack && a.tcp && a.tcp->sack && both_next() != s.ack) {
		left = s.ack + script16(&script) % (both_next() - s.ack);
		memcpy(s.options + s.option_bytes, (uint8_t[]){ 1, 1, 5, 10 },
		       4);
		wire_put32(s.options + s.option_bytes + 4, left);
		wire_put32(s.options + s.option_bytes + 8,
			   left + 1 + script16(&script) % (both_next() - left));
		s.option_bytes += 12;
	}
	inject(&s);
}

static void pass(uint64_t us)
{
	bare_time(&a, us);
	bare_time(&b, us);
}

static bool may_call(void)
{
	return a.tcp && a.tcp->state != TOW_TCP_CLOSED;
}

static void send_both(uint32_t bytes)
{
	uint64_t room = MIN(tow_tcp_send_room(a.tcp), tow_tcp_send_room(b.tcp));

	bytes = (uint32_t)MIN(bytes, room);
	bare_send(&a, bytes);
	bare_send(&b, bytes);
	both(bare_poll);
}

static void act(enum op op)
{
	switch (op) {
	case OP_SEGMENT:
	case OP_SEGMENT_1:
	case OP_SEGMENT_2:
		some_segment();
		break;
	case OP_ACK:
	case OP_ACK_SACK:
		some_ack(op == OP_ACK_SACK);
		break;
	case OP_SEND:
	case OP_SEND_1:
		if (may_call())
			send_both(script16(&script));
		break;
	case OP_TIME:
	case OP_TIME_1:
		pass((uint64_t)script8(&script) << (script8(&script) % 13));
		break;
	case OP_SHUTDOWN:
		if (may_call())
			ASSERT(tow_tcp_shutdown(a.tcp) ==
			       tow_tcp_shutdown(b.tcp));
		both(bare_poll);
		break;
	case OP_NODELAY:
		if (may_call())
			ASSERT(tow_tcp_set(a.tcp, TOW_TCP_NODELAY, 1) ==
			       tow_tcp_set(b.tcp, TOW_TCP_NODELAY, 1));
		both(bare_poll);
		break;
	default:
		break;
	}
	/* Unread bytes cost what the buffers that hold them cost: no matter. */
	if (may_call() &&
	    (op == OP_READ || a.tcp->receive.unread_bytes > 40000))
		both(bare_read);
	both(bare_poll);
}

static bool is_closed(void)
{
	return a.tcp->state == TOW_TCP_CLOSED;
}

static bool is_done(const struct bare *x)
{
	const struct tow_tcp *t = x->tcp;

	return is_closed() ||
	       (x->next == t->snd.una.n && t->send.next == t->send.end &&
		t->fin_sent == t->send.finished);
}

/* How far the peer's clock must be ahead, for neither to take it for old. */
static uint32_t newest(void)
{
	uint32_t now = (uint32_t)(a.now_us / 1000);
	int32_t ahead_a = (int32_t)(a.tcp->ts.recent - now);
	int32_t ahead_b = (int32_t)(b.tcp->ts.recent - now);

	return (uint32_t)MAX(0, MAX(ahead_a, ahead_b));
}

/* The peer takes everything, so both have sent everything. */
static void drain(void)
{
	for (unsigned i = 0; i < 2000 && !(is_done(&a) && is_done(&b)); i++) {
		struct bare_segment s = segment(ACK);

		/* Only a segment as new as the last may open the window. */
		if (seq_after(a.tcp->snd.wl1, a.tcp->rcv.nxt))
			s.seq = a.tcp->snd.wl1.n;
		put_timestamps(&s, newest());
		inject(&s);
		pass(250000);
		strict = false; /* it is about the end */
		check_equal();
	}
	ASSERT(is_done(&a) && is_done(&b));
	if (is_closed())
		return; /* reset: one may have sent more than the other */
	ASSERT(a.next == b.next);
	ASSERT(a.tcp->send.end == b.tcp->send.end);
}

static void choose(uint8_t how, uint8_t what)
{
	struct bare_options options = { .v4 = how & 1,
					.active = how & 2,
					.bare_syn = how & 4,
					.no_sack = how & 8,
					.congestion = how >> 4 & 1,
					.split = 128 };
	static uint8_t *memory_a, *memory_b;

	if (!memory_a) {
		memory_a = aligned_alloc(64, MEMORY_BYTES);
		memory_b = aligned_alloc(64, MEMORY_BYTES);
	}
	bare_open(&a, &options, memory_a, MEMORY_BYTES);
	if (what & 1)
		options.lend = 1 + (what >> 6);
	if (what & 2)
		options.split = 40 + (what >> 3 & 31);
	if (what & 4)
		options.borrow = true;
	if (how & 32)
		options.caps |= TOW_DEV_TX_CSUM;
	if (how & 64)
		options.caps |= TOW_DEV_TX_CSUM | TOW_DEV_TSO4 | TOW_DEV_TSO6;
	strict = !(how & 64);
	bare_open(&b, &options, memory_b, MEMORY_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t how;

	script = (struct script){ data, data + bytes };
	how = script8(&script);
	choose(how, script8(&script));
	both(bare_begin);
	both(bare_handshake);
	check_equal();
	for (unsigned i = 0; i < STEPS && script.at < script.end; i++) {
		act((enum op)(script8(&script) % OPS));
		check_equal();
	}
	drain();
	both(bare_close);
	return 0;
}
