/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One frame in a random state: a connection is walked to a state of RFC 9293
 * figure 5, perhaps with bytes in flight and bytes behind a hole, and gets one
 * segment whose every field the input chooses. What must hold, whatever it was:
 *
 *  - the state changes only along the figure's arrows
 *  - what 3.10.7.4 first says is not acceptable changes nothing, TS.Recent
 *    (RFC 7323 5.3) included; nor does one that acknowledges what was never
 *    sent (RFC 5961 5.2), or that has no ACK, RST or SYN
 *  - only a RST at exactly RCV.NXT ends a synchronized connection (RFC 5961 3)
 *  - no RST is answered by a RST, and an idle connection says at most one
 *    thing in answer
 *  - SND.UNA and RCV.NXT move by what the segment can account for
 *  - the bytes that are read are the stream's
 */
#include <stdlib.h>
#include "bare.h"

#define MEMORY_BYTES (8u << 20)

enum place {
	LISTEN,
	SYN_SENT,
	SYN_RECEIVED,
	ESTABLISHED,
	FIN_WAIT_1,
	FIN_WAIT_2,
	CLOSE_WAIT,
	CLOSING,
	LAST_ACK,
	TIME_WAIT,
	PLACES,
};

static struct bare b;
static struct script script;

/* What one segment may make of a state: itself, and so on. */
static const uint16_t may_become[] = {
	[TOW_TCP_SYN_SENT] = 1 << TOW_TCP_SYN_RECEIVED |
			     1 << TOW_TCP_ESTABLISHED |
			     1 << TOW_TCP_CLOSE_WAIT | 1 << TOW_TCP_CLOSED,
	[TOW_TCP_SYN_RECEIVED] = 1 << TOW_TCP_ESTABLISHED |
				 1 << TOW_TCP_CLOSE_WAIT | 1 << TOW_TCP_CLOSED,
	[TOW_TCP_ESTABLISHED] = 1 << TOW_TCP_CLOSE_WAIT | 1 << TOW_TCP_CLOSED,
	[TOW_TCP_FIN_WAIT_1] = 1 << TOW_TCP_FIN_WAIT_2 | 1 << TOW_TCP_CLOSING |
			       1 << TOW_TCP_TIME_WAIT | 1 << TOW_TCP_CLOSED,
	[TOW_TCP_FIN_WAIT_2] = 1 << TOW_TCP_TIME_WAIT | 1 << TOW_TCP_CLOSED,
	[TOW_TCP_CLOSE_WAIT] = 1 << TOW_TCP_CLOSED,
	[TOW_TCP_CLOSING] = 1 << TOW_TCP_TIME_WAIT | 1 << TOW_TCP_CLOSED,
	[TOW_TCP_LAST_ACK] = 1 << TOW_TCP_CLOSED,
	[TOW_TCP_TIME_WAIT] = 1 << TOW_TCP_CLOSED,
};

static void we_close(void)
{
	ASSERT(tow_tcp_shutdown(b.tcp) == 0);
	bare_poll(&b);
}

static void walk_to(enum place place)
{
	uint32_t before;

	if (place == SYN_SENT || (place == SYN_RECEIVED && b.options.active)) {
		b.options.active = true;
		bare_begin(&b);
		if (place == SYN_RECEIVED) { /* simultaneous open */
			b.options.active = false;
			bare_syn(&b);
		}
		return;
	}
	bare_begin(&b);
	if (place == LISTEN)
		return;
	if (place == SYN_RECEIVED) {
		bare_syn(&b);
		return;
	}
	bare_handshake(&b);
	before = b.next;
	switch (place) {
	case FIN_WAIT_1:
		we_close();
		break;
	case FIN_WAIT_2:
	case TIME_WAIT:
		we_close();
		bare_ack(&b, b.next, 0);
		if (place == TIME_WAIT)
			bare_ack(&b, b.next, FIN);
		break;
	case CLOSE_WAIT:
	case LAST_ACK:
		bare_ack(&b, b.next, FIN);
		if (place == LAST_ACK)
			we_close();
		break;
	case CLOSING:
		we_close();
		bare_ack(&b, before, FIN);
		break;
	default:
		break;
	}
}

/* The connection that the segment is for, also one that nobody accepted. */
static struct tow_tcp *connection(void)
{
	struct tcp_host *host = stack_tcp(b.stack);

	if (b.tcp)
		return b.tcp;
	for (uint32_t i = 0; i < host->cfg.listener_max; i++) {
		struct tow_listener *l = &host->listeners[i];

		if (l->open && !list_empty(&l->half_open))
			return CONTAINER(l->half_open.next, struct tow_tcp,
					 queue);
	}
	return NULL;
}

/* Bytes in flight, and some of the peer's behind a hole. */
static void liven(uint8_t how)
{
	if (!b.tcp || b.tcp->state != TOW_TCP_ESTABLISHED)
		return;
	if (how & 1)
		bare_send(&b, 3000);
	if (how & 2) {
		struct bare_segment s = { .seq = b.tcp->rcv.nxt.n + 100,
					  .ack = b.next,
					  .flags = ACK,
					  .window = 65535,
					  .bytes = 50 };

		if (b.stamps)
			s.option_bytes = bare_timestamps(
				&b, s.options, (uint32_t)(b.now_us / 1000));
		bare_inject(&b, &s);
	}
	bare_poll(&b);
	if (how & 4)
		bare_time(&b, 10000ull << (how >> 4));
}

static struct bare_segment any_segment(const struct tow_tcp *t)
{
	struct bare_segment s = { 0 };
	uint8_t how = script8(&script);

	s.flags = script8(&script);
	s.seq = (t && t->rcv.nxt.n ? t->rcv.nxt.n : BARE_PEER_ISS) +
		script_offset(&script);
	if (how & 1 && t)
		s.seq = t->rcv.edge.n + script_offset(&script);
	s.ack = b.next + script_offset(&script);
	s.window = how & 2 ? script16(&script) : 65535;
	s.urgent = how & 4 ? script16(&script) : 0;
	s.bytes = how & 8 ? script16(&script) % 1400 : 0;
	if (how & 16) {
		s.option_bytes = script8(&script) % 11 * 4u;
		for (unsigned i = 0; i < s.option_bytes; i++)
			s.options[i] = script8(&script);
	} else if (b.stamps && !(how & 32)) {
		s.option_bytes = bare_timestamps(
			&b, s.options,
			(uint32_t)(b.now_us / 1000) + script_offset(&script));
	}
	return s;
}

/* RFC 9293 3.4, table 6; and the right edge itself, see acceptable(). */
static bool is_acceptable(const struct tow_tcp *t, const struct bare_segment *s)
{
	uint32_t bytes = s->bytes + !!(s->flags & SYN) + !!(s->flags & FIN);
	uint32_t window = t->rcv.edge.n - t->rcv.nxt.n;
	uint32_t at = s->seq - t->rcv.nxt.n, end = at + bytes - 1;

	if (bytes == 0)
		return at <= window;
	return at < window || end < window || at == 0 ||
	       (at > 0x80000000u && end < 0x80000000u);
}

struct before {
	uint8_t state;
	struct seq una, nxt, rcv;
	uint32_t recent, wnd_max;
	bool acceptable, idle;
};

static struct before look(const struct tow_tcp *t, const struct bare_segment *s)
{
	return (struct before){
		.state = t->state,
		.una = t->snd.una,
		.nxt = t->snd.nxt,
		.rcv = t->rcv.nxt,
		.recent = t->ts.recent,
		.wnd_max = t->snd.wnd_max,
		.acceptable = is_acceptable(t, s),
		.idle = seq_eq(t->snd.una, t->snd.nxt) &&
			t->send.next == t->send.end,
	};
}

static void check_unchanged(const struct tow_tcp *t, const struct before *v)
{
	ASSERT(t->state == v->state);
	ASSERT(seq_eq(t->snd.una, v->una));
	ASSERT(seq_eq(t->rcv.nxt, v->rcv));
	ASSERT(t->ts.recent == v->recent);
}

static void check_moves(const struct tow_tcp *t, const struct before *v,
			const struct bare_segment *s)
{
	uint32_t acked = t->snd.una.n - v->una.n;
	uint32_t came = t->rcv.nxt.n - v->rcv.n;

	ASSERT(acked == 0 || (s->flags & ACK && t->snd.una.n == s->ack));
	ASSERT(acked <= v->nxt.n - v->una.n);
	if (came == 0)
		return;
	/* The segment itself, and the 50 bytes behind the hole. */
	ASSERT((int32_t)(s->seq - v->rcv.n) <= 0);
	ASSERT(came <= s->bytes + 50 + 100 + !!(s->flags & FIN));
}

/* Of a connection past its handshake: 3.10.7.4. */
static void check_synchronized(const struct tow_tcp *t, const struct before *v,
			       const struct bare_segment *s)
{
	bool takes_over = v->state == TOW_TCP_TIME_WAIT && s->flags & SYN;
	bool absurd = seq_after(seq_of(s->ack), v->nxt) ||
		      seq_before(seq_of(s->ack), seq_sub(v->una, v->wnd_max));

	if (takes_over)
		return;
	if (s->flags & RST && s->seq != v->rcv.n)
		check_unchanged(t, v);
	else if (!v->acceptable)
		check_unchanged(t, v);
	else if (!(s->flags & RST) &&
		 (s->flags & SYN || !(s->flags & ACK) || absurd))
		check_unchanged(t, v);
	check_moves(t, v, s);
}

static void check_frame(const struct bare_segment *s)
{
	struct tow_tcp *t = connection();
	struct before v = { 0 };

	if (t)
		v = look(t, s);
	b.segments = b.resets = 0;
	bare_inject(&b, s);
	bare_poll(&b);
	if (s->flags & RST)
		ASSERT(b.resets == 0);
	if (!t || v.idle)
		ASSERT(b.segments <= 1);
	if (!t || t != b.tcp)
		return; /* LISTEN, or nobody's yet: it may be gone */
	ASSERT(t->state == v.state || may_become[v.state] >> t->state & 1);
	if (v.state >= TOW_TCP_ESTABLISHED)
		check_synchronized(t, &v, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static uint8_t *memory;
	struct bare_segment segment;
	struct bare_options options;
	enum place place;
	uint8_t how;

	if (!memory)
		memory = aligned_alloc(64, MEMORY_BYTES);
	script = (struct script){ data, data + bytes };
	place = (enum place)(script8(&script) % PLACES);
	how = script8(&script);
	options = (struct bare_options){
		.v4 = how & 1,
		.active = how & 2,
		.bare_syn = how & 4,
		.no_sack = how & 8,
		.split = how & 16 ? 60 : 128,
		.caps = how & 32 ? TOW_DEV_TX_CSUM | TOW_DEV_TSO4 | TOW_DEV_TSO6
				 : 0,
	};
	bare_open(&b, &options, memory, MEMORY_BYTES);
	walk_to(place);
	liven(script8(&script));
	segment = any_segment(connection());
	check_frame(&segment);
	if (b.tcp && b.tcp->state != TOW_TCP_CLOSED)
		bare_read(&b);
	bare_close(&b);
	return 0;
}
