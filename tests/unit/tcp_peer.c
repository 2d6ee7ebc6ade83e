/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The peer of a TCP test. Theory of operation: tcp_peer.h.
 *
 * Here are the rig itself, what a test reads of the segments sent, the clock,
 * the program's calls, and the walks that bring a connection to a known place.
 */
#include "tcp_peer_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint8_t pattern(uint32_t position)
{
	return (uint8_t)((position * 2654435761u) >> 24);
}

/* --- the rig --- */

struct rig_options rig_default(enum family family)
{
	struct rig_options o = { .family = family,
				 .offer = { .mss = FULL + 12,
					    .sack_ok = true,
					    .ts = true,
					    .wscale = 7,
					    .window = 1u << 20 } };

	tow_config_default(&o.cfg);
	o.cfg.tcp_max = 256;
	o.cfg.udp_max = 4;
	o.cfg.rx_chunks = 2048;
	o.cfg.rx_bufs = 2560;
	o.cfg.tx_chunks = 1024;
	o.cfg.tx_bufs = 1024;
	o.cfg.loans = 4096;
	o.cfg.segments = 4096;
	for (unsigned i = 0; i < sizeof(o.cfg.secret); i++)
		o.cfg.secret[i] = (uint8_t)(i * 7 + 1);
	return o;
}

static void add_addresses(struct rig *r)
{
	static const uint8_t us6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 1 };
	static const uint8_t peer6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 2 };
	bool v4 = r->options.family == IPV4;

	r->us = v4 ? tow_addr_v4(192, 0, 2, 1) : tow_addr_v6(us6);
	r->peer = v4 ? tow_addr_v4(192, 0, 2, 2) : tow_addr_v6(peer6);
	CHECK_EQ(tow_addr_add(r->stack, 0, &r->us, v4 ? 24 : 64), 0);
}

static void fill_stream(struct rig *r)
{
	r->stream = malloc(STREAM_BYTES);
	CHECK(r->stream != NULL);
	for (uint32_t i = 0; i < STREAM_BYTES; i++)
		r->stream[i] = pattern(i + 1);
}

void rig_open(struct rig *r, const struct rig_options *options)
{
	struct rig_options o = *options;
	size_t need = tow_need(&o.cfg);

	memset(r, 0, sizeof(*r));
	r->options = o;
	CHECK_GT(need, (size_t)0);
	need = (need + 63) & ~(size_t)63;
	r->memory = aligned_alloc(64, need);
	CHECK(r->memory != NULL);
	memset(r->memory, 0xa5, need);
	CHECK_EQ(tow_open(&r->stack, &o.cfg, r->memory, need), 0);
	r->now_us = o.start_us ? o.start_us : 1000000;
	attach_device(r);
	add_addresses(r);
	fill_stream(r);
	r->our_port = 80;
	r->peer_port = 40000;
	r->peer_iss = o.peer_iss ? o.peer_iss : o.wrap ? 0u - 700 : 0x10000000;
	r->peer_ts = o.wrap ? 0u - 2000 : 5000;
	r->our_wscale = r->peer_wscale = -1;
	poll_until_quiet(r);
}

void discard_rig(struct rig *r)
{
	tow_close(r->stack);
	CHECK(r->device == NULL);
	while (r->queue_head != r->queue_tail)
		free(r->queue[r->queue_head++ % QUEUE_MAX].bytes);
	free(r->stream);
	free(r->memory);
}

void rig_close(struct rig *r)
{
	poll_until_quiet(r);
	if (r->tcp)
		tow_tcp_abort(r->tcp);
	if (r->listener)
		tow_listener_close(r->listener);
	poll_until_quiet(r);
	discard_rig(r);
	CHECK_EQ(r->malformed, 0u);
	CHECK_EQ(r->corrupt, 0u);
}

void rig_reopen(struct rig *r, const struct rig_options *options)
{
	struct rig_options o = *options;

	rig_close(r);
	rig_open(r, &o);
}

void rig_run(void (*body)(struct rig *), enum family family, bool wrap)
{
	struct rig *r = malloc(sizeof(*r));
	struct rig_options o = rig_default(family);

	CHECK(r != NULL);
	o.wrap = wrap;
	rig_open(r, &o);
	body(r);
	rig_close(r);
	free(r);
}

/* --- reading segments --- */

static const struct segment nothing = { .mss = -1, .wscale = -1 };

const struct segment *peek(struct rig *r)
{
	return r->sent_taken < r->sent_count ? &r->sent[r->sent_taken]
					     : &nothing;
}

const struct segment *next(struct rig *r)
{
	return r->sent_taken < r->sent_count ? &r->sent[r->sent_taken++]
					     : &nothing;
}

unsigned waiting(const struct rig *r)
{
	return r->sent_count - r->sent_taken;
}

void forget(struct rig *r)
{
	r->sent_count = r->sent_taken = 0;
}

uint32_t bytes_sent(struct rig *r)
{
	uint32_t bytes = 0;

	while (waiting(r))
		bytes += next(r)->bytes;
	return bytes;
}

static void describe(const char *what, const struct segment *s)
{
	fprintf(stderr, "%s", what);
	for (unsigned i = 0; i < 8; i++)
		if (s->flags & 1 << i)
			fputc("FSRPAUEC"[i], stderr);
	fprintf(stderr, " seq %u ack %u len %u win %u", s->seq, s->ack,
		s->bytes, s->window);
	for (unsigned i = 0; i < s->sacks; i++)
		fprintf(stderr, " sack %u-%u", s->sack[i].left,
			s->sack[i].right);
	fprintf(stderr, " at %llu us\n", (unsigned long long)s->at_us);
}

static void describe_all(const struct rig *r, unsigned from)
{
	for (unsigned i = from; i < r->sent_count && i < from + 8; i++)
		describe("  sent: ", &r->sent[i]);
	if (from == r->sent_count)
		fprintf(stderr, "  nothing was sent\n");
}

bool sends(struct rig *r, uint8_t flags, uint32_t seq, uint32_t ack,
	   uint32_t bytes)
{
	unsigned at = r->sent_taken;
	const struct segment *s = next(r);

	if (s != &nothing && s->flags == flags && s->seq == seq &&
	    s->ack == ack && s->bytes == bytes)
		return true;
	describe("  want: ", &(struct segment){ .flags = flags,
						.seq = seq,
						.ack = ack,
						.bytes = bytes });
	describe_all(r, at);
	return false;
}

bool sends_nothing(struct rig *r)
{
	if (!waiting(r))
		return true;
	describe_all(r, r->sent_taken);
	return false;
}

bool sends_reset_ack(struct rig *r, uint32_t ack)
{
	unsigned at = r->sent_taken;
	const struct segment *s = next(r);

	if (s->flags == (RST | ACK) && s->raw_seq == 0 && s->ack == ack &&
	    s->bytes == 0)
		return true;
	fprintf(stderr, "  want: <SEQ=0><ACK=%u><RST,ACK>\n", ack);
	describe_all(r, at);
	return false;
}

bool sends_reset(struct rig *r, uint32_t seq)
{
	unsigned at = r->sent_taken;
	const struct segment *s = next(r);

	if (s->flags == RST && s->seq == seq && s->bytes == 0)
		return true;
	fprintf(stderr, "  want: <SEQ=%u><RST>\n", seq);
	describe_all(r, at);
	return false;
}

/* --- time --- */

static void collect_events(struct rig *r)
{
	int n;

	do {
		CHECK_LT(r->event_count, EVENTS_MAX - 16u);
		n = tow_events(r->stack, r->events + r->event_count, 16);
		CHECK(n >= 0 && n <= 16);
		r->event_count += (unsigned)n;
	} while (n == 16);
}

void poll_until_quiet(struct rig *r)
{
	for (unsigned round = 0; round < 20000; round++) {
		int n = tow_poll(r->stack, r->now_us);

		CHECK_GE(n, 0);
		collect_events(r);
		if (n == 0 && r->queue_head == r->queue_tail)
			return;
	}
	CHECK(!"the stack comes to rest");
}

/* To the next deadline up to @until; false when there is none before it. */
static bool step(struct rig *r, uint64_t until)
{
	uint64_t deadline = tow_deadline(r->stack);

	if (deadline > until)
		return false;
	if (deadline > r->now_us)
		r->now_us = deadline;
	poll_until_quiet(r);
	return true;
}

void advance_us(struct rig *r, uint64_t us)
{
	uint64_t until = r->now_us + us;

	for (unsigned round = 0; step(r, until); round++)
		CHECK_LT(round, 1000000u); /* a deadline that never passes */
	r->now_us = until;
	poll_until_quiet(r);
}

void advance_ms(struct rig *r, uint64_t ms)
{
	advance_us(r, ms * 1000);
}

uint64_t advance_to_segment(struct rig *r, uint64_t us_max)
{
	uint64_t from = r->now_us, until = from + us_max;
	unsigned rounds = 0;

	while (!waiting(r)) {
		CHECK_LT(rounds++, 1000000u);
		if (!step(r, until)) {
			r->now_us = until;
			poll_until_quiet(r);
			break;
		}
	}
	return waiting(r) ? r->now_us - from : UINT64_MAX;
}

/* --- the program --- */

uint32_t app_send(struct rig *r, uint32_t bytes, unsigned flags)
{
	int64_t taken;

	CHECK_LE(r->written + bytes, (uint64_t)STREAM_BYTES);
	taken = tow_tcp_send(r->tcp, r->stream + r->written, bytes, flags);
	CHECK_GT(taken, 0);
	r->written += (uint64_t)taken;
	poll_until_quiet(r);
	return (uint32_t)taken;
}

int app_lend(struct rig *r, uint32_t bytes, uint64_t token, unsigned flags)
{
	struct tow_span span = { r->stream + r->written, bytes };
	int result;

	CHECK_LE(r->written + bytes, (uint64_t)STREAM_BYTES);
	result = tow_tcp_lend(r->tcp, &span, 1, token, flags);
	if (result == 0)
		r->written += bytes;
	poll_until_quiet(r);
	return result;
}

static void compare(struct rig *r, const uint8_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (p[i] != pattern((uint32_t)(r->read + i + 1))) {
			fprintf(stderr, "wrong byte received at %llu\n",
				(unsigned long long)(r->read + i + 1));
			r->corrupt++;
			break;
		}
	r->read += bytes;
}

int64_t app_recv(struct rig *r, uint32_t bytes)
{
	static uint8_t out[1u << 20];
	int64_t n;

	CHECK_LE((size_t)bytes, sizeof(out));
	n = tow_tcp_recv(r->tcp, out, bytes);
	CHECK_LE(n, (int64_t)bytes);
	if (n > 0)
		compare(r, out, (size_t)n);
	poll_until_quiet(r);
	return n;
}

int64_t app_borrow(struct rig *r)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int64_t bytes = 0;
	int n = tow_tcp_borrow(r->tcp, spans, TOW_SPANS_MAX);

	for (int i = 0; i < n; i++) {
		compare(r, spans[i].ptr, spans[i].len);
		bytes += (int64_t)spans[i].len;
	}
	return n < 0 ? n : bytes;
}

struct tow_tcp_info info_of(struct rig *r)
{
	struct tow_tcp_info info;

	tow_tcp_info(r->tcp, &info);
	return info;
}

enum tow_tcp_state state_of(struct rig *r)
{
	return info_of(r).state;
}

unsigned events_of(const struct rig *r, enum tow_event_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->event_count; i++)
		n += r->events[i].type == type;
	return n;
}

const struct tow_event *event_of(const struct rig *r, enum tow_event_type type)
{
	for (unsigned i = 0; i < r->event_count; i++)
		if (r->events[i].type == type)
			return &r->events[i];
	return NULL;
}

unsigned loans_ended(const struct rig *r, uint64_t token)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->event_count; i++)
		n += r->events[i].type == TOW_EVENT_LOAN &&
		     r->events[i].token == token;
	return n;
}

int loan_status(const struct rig *r, uint64_t token)
{
	for (unsigned i = 0; i < r->event_count; i++)
		if (r->events[i].type == TOW_EVENT_LOAN &&
		    r->events[i].token == token)
			return r->events[i].status;
	return 1;
}

uint64_t drops(const struct rig *r, enum tow_drop why)
{
	return tow_stats(r->stack)->drops[why];
}

uint64_t counter(const struct rig *r, enum tow_counter what)
{
	return tow_stats(r->stack)->counters[what];
}

/* --- known places --- */

void listen_here(struct rig *r, int backlog)
{
	struct tow_endpoint local = { .port = r->our_port };

	CHECK_EQ(tow_tcp_listen(r->stack, &local, backlog, &r->listener), 0);
}

void syn_arrives(struct rig *r)
{
	const struct offer *o = &r->options.offer;

	inject(r, .flags = SYN, .mss = o->mss, .sack_ok = o->sack_ok,
	       .ts = o->ts, .has_wscale = o->wscale >= 0,
	       .wscale = (uint8_t)o->wscale);
}

static void start_connect(struct rig *r)
{
	struct tow_endpoint local = { r->us, r->our_port, 0 };
	struct tow_endpoint remote = { r->peer, r->peer_port, 0 };

	CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &r->tcp), 0);
	CHECK(tow_tcp_ledger(r->tcp));
	poll_until_quiet(r);
}

/*
 * RFC 9293 3.4.1: the initial sequence number moves by one each 4 us, so what
 * a second stack with the same secret chooses now says when ours will choose
 * a number just below 2^32. The clock goes there.
 */
static void wait_for_wrap(struct rig *r, bool active)
{
	struct rig_options o = r->options;
	struct rig *scout;
	uint32_t ahead;

	if (!o.wrap)
		return;
	scout = malloc(sizeof(*scout));
	CHECK(scout != NULL);
	o.wrap = false;
	o.start_us = r->now_us;
	rig_open(scout, &o);
	scout->our_port = r->our_port;
	scout->peer_port = r->peer_port;
	if (active) {
		start_connect(scout);
	} else {
		listen_here(scout, 1);
		syn_arrives(scout);
	}
	CHECK(next(scout)->flags & SYN);
	ahead = 0u - 1500 - scout->our_iss;
	discard_rig(scout);
	free(scout);
	advance_us(r, (uint64_t)ahead * 4);
}

void connect_out(struct rig *r)
{
	wait_for_wrap(r, true);
	start_connect(r);
}

void await_syn_ack(struct rig *r)
{
	wait_for_wrap(r, false);
	if (!r->listener)
		listen_here(r, 16);
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
}

void handshake_passive(struct rig *r)
{
	await_syn_ack(r);
	advance_ms(r, RTT_MS);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK(tow_tcp_ledger(r->tcp));
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK(sends_nothing(r));
}

void syn_ack_arrives(struct rig *r)
{
	const struct offer *o = &r->options.offer;

	inject(r, .flags = SYN | ACK, .ack = 1, .mss = o->mss,
	       .sack_ok = o->sack_ok, .ts = o->ts, .has_wscale = o->wscale >= 0,
	       .wscale = (uint8_t)o->wscale);
}

void handshake_active(struct rig *r)
{
	connect_out(r);
	CHECK(sends(r, SYN, 0, 0, 0));
	advance_ms(r, RTT_MS);
	syn_ack_arrives(r);
	CHECK(sends(r, ACK, 1, 1, 0));
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK_EQ(events_of(r, TOW_EVENT_CONNECTED), 1u);
}

/* Both from places where nothing else was sent: our FIN is 1, so is theirs. */
static void we_close(struct rig *r, uint32_t ack)
{
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK(sends(r, FIN | ACK, 1, ack, 0));
}

static void peer_closes(struct rig *r, uint32_t ack, uint32_t our_seq)
{
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = ack);
	CHECK(sends(r, ACK, our_seq, 2, 0));
}

void put_in_state(struct rig *r, enum place place)
{
	switch (place) {
	case AT_CLOSED:
		return;
	case AT_LISTEN:
		listen_here(r, 16);
		return;
	case AT_SYN_SENT:
		connect_out(r);
		CHECK(sends(r, SYN, 0, 0, 0));
		return;
	case AT_SYN_RECEIVED:
		await_syn_ack(r);
		return;
	case AT_SYN_RECEIVED_ACTIVE:
		put_in_state(r, AT_SYN_SENT);
		syn_arrives(r);
		CHECK(sends(r, SYN | ACK, 0, 1, 0));
		return;
	case AT_ESTABLISHED:
		handshake_passive(r);
		return;
	case AT_FIN_WAIT_1:
		handshake_passive(r);
		we_close(r, 1);
		return;
	case AT_FIN_WAIT_2:
		put_in_state(r, AT_FIN_WAIT_1);
		inject(r, .flags = ACK, .seq = 1, .ack = 2);
		CHECK(sends_nothing(r));
		return;
	case AT_CLOSE_WAIT:
		handshake_passive(r);
		peer_closes(r, 1, 1);
		return;
	case AT_CLOSING:
		put_in_state(r, AT_FIN_WAIT_1);
		peer_closes(r, 1, 2);
		return;
	case AT_LAST_ACK:
		put_in_state(r, AT_CLOSE_WAIT);
		we_close(r, 2);
		return;
	case AT_TIME_WAIT:
		put_in_state(r, AT_FIN_WAIT_2);
		peer_closes(r, 2, 2);
		return;
	case PLACES:
		break;
	}
	CHECK(!"a place that there is");
}

const char *place_name(enum place place)
{
	static const char *const names[] = {
		"CLOSED",
		"LISTEN",
		"SYN-SENT",
		"SYN-RECEIVED",
		"SYN-RECEIVED (active)",
		"ESTABLISHED",
		"FIN-WAIT-1",
		"FIN-WAIT-2",
		"CLOSE-WAIT",
		"CLOSING",
		"LAST-ACK",
		"TIME-WAIT",
	};

	return names[place];
}

uint32_t our_next(enum place place)
{
	static const uint8_t next_seq[] = {
		0, 0, 1, 1, 1, 1, 2, 2, 1, 2, 2, 2
	};

	return next_seq[place];
}

uint32_t peer_next(enum place place)
{
	static const uint8_t next_seq[] = {
		0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2
	};

	return next_seq[place];
}
