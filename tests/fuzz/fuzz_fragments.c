/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both reassemblies against a model. An input is a list of steps, four bytes:
 *
 *	what     bit 0 IPv6; bit 1 more fragments; bits 2..3 identification;
 *	         bits 4..5 source; bits 6..7: 3 is time that passes
 *	offset   up to 127 in units of eight bytes, above it 512 bytes each
 *	length   two bytes: so many of payload
 *
 * The model keeps a byte of state for each byte of a datagram and no lists: it
 * is as simple as the text of RFC 8200 4.5. It has no limits, so the stack may
 * forget what the model remembers, once it counted that; from then on nothing
 * is compared but what must always hold: a datagram that is delivered has one
 * length and the bytes that were sent at each place, and in the end all memory
 * is back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fragment.h"
#include "net_host.h"
#include "test.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"
#include "wire/wire_udp.h"

#define STEP_BYTES 4
#define STEPS_MAX  256
#define SOURCES	   4
#define IDS	   4
#define BYTES_MAX  65536
#define BYTES_STEP 65500 /* with headers it fits a packet */
#define TIMEOUT_US 60000000u

struct model {
	bool came[BYTES_MAX]; /* somebody brought that byte */
	uint32_t starts[STEPS_MAX + 1], ends[STEPS_MAX + 1];
	unsigned fragments; /* numbered from 1 */
	uint32_t total;	    /* 0: the last did not come */
	uint32_t end;
	uint64_t until_us;
};

struct step {
	bool v4, more;
	unsigned id, source;
	uint32_t offset, bytes;
};

static struct net_host h;
static struct model models[2][SOURCES][IDS];
static struct frame whole[2][SOURCES];
static bool forgot; /* the stack was over a limit */

/* In units, as what lies behind the last byte is of nobody else. */
static uint32_t unit_end(uint32_t to)
{
	return (to + 7) / 8 * 8;
}

static void forget(struct model *m)
{
	memset(m->came, 0, unit_end(m->end));
	m->fragments = 0;
	m->total = m->end = 0;
}

enum answer { WAITS, WHOLE, REFUSED };

static bool is_duplicate(const struct model *m, uint32_t from, uint32_t to)
{
	for (unsigned i = 1; i <= m->fragments; i++)
		if (m->starts[i] == from && m->ends[i] == to)
			return true;
	return false;
}

static bool contradicts(const struct model *m, const struct step *s)
{
	uint32_t from = s->offset, to = from + s->bytes;

	if (!s->more && ((m->total && m->total != to) || m->end > to))
		return true;
	return s->more && m->total && to >= m->total;
}

static bool overlaps(const struct model *m, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to && i < BYTES_MAX; i++)
		if (m->came[i])
			return true;
	return false;
}

static bool is_whole(const struct model *m)
{
	if (!m->total)
		return false;
	for (uint32_t i = 0; i < m->total; i++)
		if (!m->came[i])
			return false;
	return true;
}

/* Of fragments that the headers allow. */
static enum answer model_add(struct model *m, const struct step *s)
{
	uint32_t from = s->offset, to = from + s->bytes;

	if (m->fragments && h.net.now_us >= m->until_us)
		forget(m);
	if (contradicts(m, s)) {
		forget(m);
		return REFUSED;
	}
	if (is_duplicate(m, from, to))
		return REFUSED;
	if (overlaps(m, from, unit_end(to))) {
		forget(m);
		return REFUSED;
	}
	if (m->fragments++ == 0)
		m->until_us = h.net.now_us + TIMEOUT_US;
	m->starts[m->fragments] = from;
	m->ends[m->fragments] = to;
	memset(m->came + from, 1, unit_end(to) - from);
	m->end = MAX(m->end, to);
	if (!s->more)
		m->total = to;
	return is_whole(m) ? WHOLE : WAITS;
}

static bool is_allowed(const struct step *s)
{
	uint32_t most = s->v4 ? IP4_PACKET_MAX - IP4_BYTES : IP6_PAYLOAD_MAX;

	if (s->bytes == 0 || (s->more && s->bytes % 8))
		return false;
	if (s->offset + s->bytes > most)
		return false;
	if (s->v4)
		return true;
	return s->offset > 0 || s->bytes >= UDP_BYTES;
}

/* An atomic fragment is delivered, whatever else there is (RFC 6946). */
static bool is_atomic(const struct step *s)
{
	return s->offset == 0 && !s->more;
}

static void check_delivered(const struct step *s, uint32_t bytes)
{
	static uint8_t got[BYTES_MAX];
	const struct frame *f = &whole[s->v4][s->source];
	uint32_t there = fragment_payload(f);

	CHECK_EQ(h.packet.buf->bytes, bytes);
	CHECK_EQ(tow_buf_read(h.packet.buf, 0, got, sizeof(got)), bytes);
	CHECK_MEM(got, f->data + f->transport, MIN(bytes, there));
	tow_buf_give(h.packet.buf);
}

static uint64_t limits_hit(void)
{
	return h.net.stats.drops[TOW_DROP_FRAGMENT_LIMIT] +
	       h.net.stats.counters[TOW_COUNTER_NO_RX_BUFFERS];
}

static void run_step(const struct step *s)
{
	struct model *m = &models[s->v4][s->source][s->id];
	enum answer answer = REFUSED;
	enum net_verdict verdict;
	static struct frame part;
	uint32_t bytes;

	fragment_cut(&part, &whole[s->v4][s->source], s->id, s->offset,
		     s->bytes, s->more);
	verdict = net_host_receive(&h, &part);
	net_host_sent(&h);
	forgot |= limits_hit() > 0;
	bytes = s->bytes;
	if (is_atomic(s)) {
		answer = WHOLE;
	} else if (is_allowed(s)) {
		answer = model_add(m, s);
		bytes = m->total;
	}
	if (forgot) {
		if (verdict == NET_DELIVER)
			check_delivered(s, h.packet.buf->bytes);
	} else {
		CHECK_EQ(verdict == NET_DELIVER, answer == WHOLE);
		if (verdict == NET_DELIVER)
			check_delivered(s, bytes);
	}
	if (answer == WHOLE && !is_atomic(s))
		forget(m);
}

static void make_whole(bool v4, unsigned source)
{
	struct frame *f = &whole[v4][source];
	char from[32];

	snprintf(from, sizeof(from), v4 ? "192.0.2.%u" : "2001:db8:%u::2",
		 source + 2);
	frame_begin(f, from, v4 ? "192.0.2.1" : "2001:db8::1", NET_UDP);
	frame_udp(f, 1000, 7);
	for (unsigned i = 0; i < 65400; i++) {
		uint8_t byte = (uint8_t)(i * 31 + i / 251 + source);

		frame_add(f, &byte, 1);
	}
	frame_end(f);
}

static void begin(void)
{
	static bool made;
	struct tow_config cfg;

	net_host_config(&cfg);
	cfg.chunk_bytes = 4096;
	cfg.rx_bufs = cfg.rx_chunks = 512;
	net_host_open_with(&h, &cfg, 0);
	for (unsigned i = 0; i < SOURCES && !made; i++) {
		make_whole(false, i);
		make_whole(true, i);
	}
	made = true;
	forgot = false;
	for (unsigned v = 0; v < 2; v++)
		for (unsigned i = 0; i < SOURCES * IDS; i++)
			forget(&models[v][i / IDS][i % IDS]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	begin();
	for (size_t i = 0; i < STEPS_MAX && bytes >= STEP_BYTES;
	     i++, data += STEP_BYTES, bytes -= STEP_BYTES) {
		struct step s = {
			.v4 = !(data[0] & 1),
			.more = data[0] & 2,
			.id = data[0] >> 2 & 3,
			.source = data[0] >> 4 & 3,
			.offset = data[1] & 0x80 ? (data[1] & 0x7fu) * 512
						 : data[1] * 8u,
			.bytes = MIN(wire_get16(data + 2), BYTES_STEP),
		};

		if (data[0] >> 6 == 3) {
			net_host_run(&h, (uint64_t)data[1] * 250000);
			net_host_sent(&h);
		} else {
			run_step(&s);
		}
	}
	net_host_close(&h);
	return 0;
}
