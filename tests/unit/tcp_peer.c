/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The peer of a TCP test. Theory of operation: tcp_peer.h.
 *
 * Three parts: the device, which parses and judges each frame that the stack
 * sends and answers ARP and neighbour solicitations by itself; the builder of
 * segments; and the walks that bring a connection to a known place.
 *
 * A frame is judged on its own: lengths, checksums, header fields and option
 * encoding. What is wrong is counted in rig.malformed and printed, and
 * rig_close() fails the test, so every test of a TCP feature also tests that
 * nothing malformed ever leaves the stack.
 */
#include "tcp_peer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ETH_BYTES      14
#define TCP_BYTES      20
#define FRAME_MAX      (ETH_BYTES + 65535u)
#define OPTION_MSS     2
#define OPTION_WSCALE  3
#define OPTION_SACK_OK 4
#define OPTION_SACK    5
#define OPTION_TS      8

static const uint8_t our_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 2 };

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

/* RFC 1071, in the plainest way there is. */
static uint32_t sum_bytes(uint32_t sum, const uint8_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

uint8_t pattern(uint32_t position)
{
	return (uint8_t)((position * 2654435761u) >> 24);
}

/* The address as it stands in an IP header. */
static const uint8_t *addr_bytes(const struct tow_addr *addr, bool v4)
{
	return v4 ? addr->b + 12 : addr->b;
}

/* RFC 9293 3.1, RFC 8200 8.1: the sum of the pseudo header. */
static uint32_t sum_pseudo(const struct tow_addr *src,
			   const struct tow_addr *dst, uint8_t protocol,
			   uint32_t bytes, bool v4)
{
	uint8_t tail[8] = { 0 };
	size_t width = v4 ? 4 : 16;
	uint32_t sum = sum_bytes(0, addr_bytes(src, v4), width);

	sum = sum_bytes(sum, addr_bytes(dst, v4), width);
	put32(tail, bytes);
	tail[7] = protocol;
	return sum_bytes(sum, tail, sizeof(tail));
}

static struct tow_addr addr_from(const uint8_t *bytes, bool v4)
{
	return v4 ? tow_addr_v4(bytes[0], bytes[1], bytes[2], bytes[3])
		  : tow_addr_v6(bytes);
}

/* --- what the stack sends --- */

static void malformed(struct rig *r, const char *why)
{
	r->malformed++;
	fprintf(stderr, "malformed frame from the stack: %s\n", why);
}

static bool is_primary(const struct rig *r, const struct segment *s)
{
	return s->sport == r->our_port && s->dport == r->peer_port &&
	       tow_addr_equal(&s->src, &r->us) &&
	       tow_addr_equal(&s->dst, &r->peer);
}

static bool scaling(const struct rig *r)
{
	return r->our_wscale >= 0 && r->peer_wscale >= 0;
}

static bool timestamps(const struct rig *r)
{
	return r->we_offered_ts && r->peer_offered_ts;
}

static void parse_sack(struct rig *r, struct segment *s, const uint8_t *p,
		       unsigned length)
{
	if (length < 10 || (length - 2) % 8 || (length - 2) / 8 > SACKS) {
		malformed(r, "SACK option of a bad length (RFC 2018 3)");
		return;
	}
	s->sacks = (length - 2) / 8;
	for (unsigned i = 0; i < s->sacks; i++) {
		s->sack[i].left = get32(p + 2 + 8 * i);
		s->sack[i].right = get32(p + 6 + 8 * i);
	}
}

static void parse_option(struct rig *r, struct segment *s, const uint8_t *p,
			 unsigned length)
{
	switch (p[0]) {
	case OPTION_MSS:
		s->mss = length == 4 ? (int)get16(p + 2) : -2;
		break;
	case OPTION_WSCALE:
		s->wscale = length == 3 ? p[2] : -2;
		break;
	case OPTION_SACK_OK:
		s->sack_ok = length == 2;
		break;
	case OPTION_SACK:
		parse_sack(r, s, p, length);
		break;
	case OPTION_TS:
		s->ts = length == 10;
		if (s->ts) {
			s->tsval = get32(p + 2);
			s->tsecr = get32(p + 6);
		}
		break;
	default:
		malformed(r, "a TCP option that nobody asked for");
	}
	if (s->mss == -2 || s->wscale == -2 || s->wscale > 14)
		malformed(r, "a TCP option of a bad length or value");
}

static void parse_options(struct rig *r, struct segment *s)
{
	const uint8_t *p = s->options, *end = p + s->option_bytes;

	s->mss = s->wscale = -1;
	while (p < end && *p != 0) {
		if (*p == 1) {
			p++;
			continue;
		}
		if (end - p < 2 || p[1] < 2 || p[1] > end - p) {
			malformed(r, "a TCP option past the header");
			return;
		}
		parse_option(r, s, p, p[1]);
		p += p[1];
	}
	for (; p < end; p++)
		if (*p)
			malformed(r, "bytes after the end of options");
	if (!(s->flags & SYN) && (s->mss >= 0 || s->wscale >= 0 || s->sack_ok))
		malformed(r, "a SYN's option on another segment");
}

/* RFC 9293 3.2: the padding after the options is zero, no bits reserved. */
static bool parse_tcp_header(struct rig *r, struct segment *s,
			     const uint8_t *tcp, uint32_t bytes)
{
	unsigned header = (unsigned)(tcp[12] >> 4) * 4;

	if (bytes < TCP_BYTES || header < TCP_BYTES || header > bytes) {
		malformed(r, "TCP data offset");
		return false;
	}
	if (tcp[12] & 0x0f)
		malformed(r, "reserved bits are set");
	s->sport = (uint16_t)get16(tcp);
	s->dport = (uint16_t)get16(tcp + 2);
	s->raw_seq = get32(tcp + 4);
	s->raw_ack = get32(tcp + 8);
	s->push = tcp[13] & PSH;
	s->flags = tcp[13] & (uint8_t)~PSH;
	s->raw_window = (uint16_t)get16(tcp + 14);
	s->urgent = (uint16_t)get16(tcp + 18);
	s->option_bytes = header - TCP_BYTES;
	memcpy(s->options, tcp + TCP_BYTES, s->option_bytes);
	s->bytes = bytes - header;
	parse_options(r, s);
	return true;
}

static void learn_syn(struct rig *r, const struct segment *s)
{
	r->our_iss = s->raw_seq;
	r->our_wscale = s->wscale;
	r->we_offered_ts = s->ts;
}

static void make_relative(struct rig *r, struct segment *s)
{
	if (!is_primary(r, s)) {
		s->seq = s->raw_seq;
		s->ack = s->raw_ack;
		s->window = s->raw_window;
		return;
	}
	if (s->flags & SYN)
		learn_syn(r, s);
	if (s->ts && s->tsval)
		r->last_tsval = s->tsval;
	s->seq = s->raw_seq - r->our_iss;
	s->ack = s->flags & ACK ? s->raw_ack - r->peer_iss : 0;
	s->window = s->raw_window;
	if (!(s->flags & SYN) && scaling(r))
		s->window <<= r->our_wscale;
	for (unsigned i = 0; i < s->sacks; i++) {
		s->sack[i].left -= r->peer_iss;
		s->sack[i].right -= r->peer_iss;
	}
}

/* The payload spans of a frame whose headers are @header bytes long. */
static void note_spans(struct segment *s, const struct tow_buf *buf,
		       uint32_t header)
{
	for (unsigned i = 0; i < buf->span_count; i++) {
		struct tow_span span = buf->spans[i];
		size_t skip = header < span.len ? header : span.len;

		header -= (uint32_t)skip;
		span.ptr = (const uint8_t *)span.ptr + skip;
		span.len -= skip;
		if (span.len)
			s->spans[s->span_count++] = span;
	}
}

static void check_pattern(struct rig *r, const struct segment *s)
{
	uint32_t position = s->seq + (s->flags & SYN ? 1 : 0);

	if (!is_primary(r, s) || r->options.blind)
		return;
	for (unsigned i = 0; i < s->span_count; i++) {
		const uint8_t *p = s->spans[i].ptr;

		for (size_t k = 0; k < s->spans[i].len; k++)
			if (p[k] != pattern(position++)) {
				fprintf(stderr, "wrong byte at %u\n",
					position - 1);
				r->corrupt++;
				return;
			}
	}
}

/*
 * The checksum is complete, or, left to the device, holds the sum of the
 * pseudo header: of the whole segment's length, or of none for TSO, as the
 * device contract says csum_start and csum_offset point at the right place.
 */
static void check_sum(struct rig *r, const struct tow_buf *buf,
		      const struct segment *s, const uint8_t *frame,
		      uint32_t tcp_at, uint32_t bytes, bool v4)
{
	uint32_t pseudo = sum_pseudo(&s->src, &s->dst, 6, bytes, v4);
	const uint8_t *tcp = frame + tcp_at;

	if (buf->flags & TOW_BUF_CSUM_PARTIAL) {
		if (!(r->options.caps & TOW_DEV_TX_CSUM))
			malformed(r, "checksum left to a device without");
		if (buf->csum_start != tcp_at || buf->csum_offset != 16)
			malformed(r, "csum_start, csum_offset");
		if (get16(tcp + 16) != pseudo)
			malformed(r, "pseudo header sum");
		return;
	}
	if (r->options.blind)
		malformed(r, "checksum over payload that must not be touched");
	else if (sum_bytes(pseudo, tcp, bytes) != 0xffff)
		malformed(r, "TCP checksum");
}

static void check_size(struct rig *r, const struct tow_buf *buf,
		       const struct segment *s, uint32_t packet_bytes)
{
	uint32_t tso = r->options.family == IPV4 ? TOW_DEV_TSO4 : TOW_DEV_TSO6;

	if (buf->span_count > r->device->dev.spans_max)
		malformed(r, "more spans than the device takes");
	if (buf->gso == TOW_GSO_NONE) {
		if (packet_bytes > r->device->dev.mtu)
			malformed(r, "a packet above the MTU");
		return;
	}
	if (!(r->options.caps & tso))
		malformed(r, "TSO to a device without");
	if (s->bytes > r->options.gso_bytes_max)
		malformed(r, "a large segment above gso_bytes_max");
	if (!buf->gso_bytes || s->bytes <= buf->gso_bytes)
		malformed(r, "a large segment that is none");
	if (packet_bytes - s->bytes + buf->gso_bytes > r->device->dev.mtu)
		malformed(r, "pieces of a large segment above the MTU");
}

static void record_tcp(struct rig *r, const struct tow_buf *buf,
		       struct segment *s, const uint8_t *frame, uint32_t tcp_at,
		       uint32_t bytes, bool v4)
{
	if (!parse_tcp_header(r, s, frame + tcp_at, bytes))
		return;
	s->gso = buf->gso;
	s->gso_bytes = buf->gso_bytes;
	s->csum_partial = buf->flags & TOW_BUF_CSUM_PARTIAL;
	make_relative(r, s);
	note_spans(s, buf, tcp_at + TCP_BYTES + s->option_bytes);
	check_size(r, buf, s, tcp_at - ETH_BYTES + bytes);
	check_sum(r, buf, s, frame, tcp_at, bytes, v4);
	check_pattern(r, s);
	s->at_us = r->now_us;
	CHECK(r->sent_count < SENT_MAX);
	r->sent[r->sent_count++] = *s;
}

static void record_ip4(struct rig *r, const struct tow_buf *buf,
		       const uint8_t *frame, uint32_t frame_bytes)
{
	const uint8_t *ip = frame + ETH_BYTES;
	uint32_t header = (ip[0] & 15u) * 4, total = get16(ip + 2);
	struct segment s = { .ttl = ip[8], .tos = ip[1] };

	if (ip[0] >> 4 != 4 || header < 20 || total != frame_bytes - ETH_BYTES)
		malformed(r, "IPv4 header");
	if (sum_bytes(0, ip, header) != 0xffff)
		malformed(r, "IPv4 checksum");
	s.src = addr_from(ip + 12, true);
	s.dst = addr_from(ip + 16, true);
	if (ip[9] == 6)
		record_tcp(r, buf, &s, frame, ETH_BYTES + header,
			   total - header, true);
	else if (ip[9] == 1)
		r->icmp_sent++;
}

/* RFC 4861 4.4: the answer to a solicitation for anybody but the stack. */
static void answer_solicitation(struct rig *r, const uint8_t *ip)
{
	uint8_t na[32] = { 136, 0, 0, 0, 0x60 }, ns_src[16];
	struct tow_addr target = addr_from(ip + 48, false), src;
	uint32_t length = ETH_BYTES + 40 + sizeof(na);
	uint8_t frame[ETH_BYTES + 40 + sizeof(na)] = { 0 };

	memcpy(ns_src, ip + 8, 16);
	src = addr_from(ns_src, false);
	if (r->mute || tow_addr_is_any(&src) || tow_addr_equal(&target, &r->us))
		return;
	memcpy(na + 8, target.b, 16);
	na[24] = 2;
	na[25] = 1;
	memcpy(na + 26, peer_mac, 6);
	put16(na + 2, 0xffff & ~sum_bytes(sum_pseudo(&target, &src, 58,
						     sizeof(na), false),
					  na, sizeof(na)));
	memcpy(frame, our_mac, 6);
	memcpy(frame + 6, peer_mac, 6);
	put16(frame + 12, 0x86dd);
	frame[14] = 0x60;
	put16(frame + 18, sizeof(na));
	frame[20] = 58;
	frame[21] = 255;
	memcpy(frame + 22, target.b, 16);
	memcpy(frame + 38, src.b, 16);
	memcpy(frame + 54, na, sizeof(na));
	inject_frame(r, frame, length);
}

static void record_ip6(struct rig *r, const struct tow_buf *buf,
		       const uint8_t *frame, uint32_t frame_bytes)
{
	const uint8_t *ip = frame + ETH_BYTES;
	uint32_t payload = get16(ip + 4);
	struct segment s = { .ttl = ip[7],
			     .tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4) };

	if (ip[0] >> 4 != 6 || payload != frame_bytes - ETH_BYTES - 40)
		malformed(r, "IPv6 header");
	s.src = addr_from(ip + 8, false);
	s.dst = addr_from(ip + 24, false);
	if (ip[6] == 6)
		record_tcp(r, buf, &s, frame, ETH_BYTES + 40, payload, false);
	else if (ip[6] == 58 && ip[40] == 135)
		answer_solicitation(r, ip);
	else if (ip[6] == 58 && (ip[40] < 130 || ip[40] > 143))
		r->icmp_sent++;
}

/* RFC 826 */
static void answer_arp(struct rig *r, const uint8_t *frame)
{
	uint8_t reply[60] = { 0 };

	if (r->mute || get16(frame + 20) != 1 ||
	    !memcmp(frame + 38, addr_bytes(&r->us, true), 4))
		return;
	memcpy(reply, frame + 6, 6);
	memcpy(reply + 6, peer_mac, 6);
	memcpy(reply + 12, frame + 12, 8);
	put16(reply + 20, 2);
	memcpy(reply + 22, peer_mac, 6);
	memcpy(reply + 28, frame + 38, 4);
	memcpy(reply + 32, frame + 22, 10);
	inject_frame(r, reply, sizeof(reply));
}

static void record(struct rig *r, const struct tow_buf *buf)
{
	static uint8_t frame[FRAME_MAX];
	uint32_t want =
		r->options.blind ? (uint32_t)buf->spans[0].len : buf->bytes;
	uint32_t got = 0, total = 0;

	r->tx_frames++;
	for (unsigned i = 0; i < buf->span_count; i++)
		total += (uint32_t)buf->spans[i].len;
	if (total != buf->bytes || total > FRAME_MAX ||
	    total < ETH_BYTES + 28) {
		malformed(r, "frame length");
		return;
	}
	for (unsigned i = 0; i < buf->span_count && got < want; i++) {
		memcpy(frame + got, buf->spans[i].ptr, buf->spans[i].len);
		got += (uint32_t)buf->spans[i].len;
	}
	if (memcmp(frame + 6, our_mac, 6))
		malformed(r, "source MAC");
	if (get16(frame + 12) == 0x0806)
		answer_arp(r, frame);
	else if (get16(frame + 12) == 0x0800)
		record_ip4(r, buf, frame, total);
	else if (get16(frame + 12) == 0x86dd)
		record_ip6(r, buf, frame, total);
	else
		malformed(r, "EtherType");
}

/* --- the device --- */

static struct rig *rig_of(struct tow_dev *dev)
{
	return ((struct recorder *)dev)->rig;
}

static int device_tx(struct tow_dev *dev, struct tow_buf *const *bufs,
		     unsigned n)
{
	struct rig *r = rig_of(dev);

	if (r->gone)
		return TOW_ENETDOWN;
	if (r->stuck)
		return 0;
	if (r->tx_limit && n > r->tx_limit)
		n = r->tx_limit;
	for (unsigned i = 0; i < n; i++) {
		record(r, bufs[i]);
		if (r->options.hold_tx && r->held_count < HELD_MAX)
			r->held[r->held_count++] = bufs[i];
		else
			tow_buf_give(bufs[i]);
	}
	return (int)n;
}

/* Ethernet to transport, of a frame that came from inject_segment(). */
static uint32_t header_bytes(const struct frame *f)
{
	uint32_t tcp = get16(f->bytes + 12) == 0x0800 ? 34 : 54;

	if (f->length < tcp + TCP_BYTES)
		return f->length;
	return tcp + (uint32_t)(f->bytes[tcp + 12] >> 4) * 4;
}

static struct tow_buf *receive(struct rig *r, const struct frame *f)
{
	struct tow_dev *dev = &r->device->dev;
	struct tow_buf *buf = tow_buf_take(dev->pool);
	uint32_t head = r->options.split ? header_bytes(f) : TOW_BUF_HEADERS;

	if (!buf)
		return NULL;
	if (head > f->length)
		head = f->length;
	if (head > TOW_BUF_ROOM - 2)
		head = TOW_BUF_ROOM - 2;
	memcpy(buf->room + 2, f->bytes, head);
	tow_buf_set_head(buf, 2, head);
	while (head < f->length) {
		uint32_t piece = tow_chunk_bytes(dev->pool);
		uint8_t *chunk = tow_chunk_take(dev->pool);

		if (!chunk) {
			buf->flags |= TOW_BUF_TRUNCATED;
			break;
		}
		if (piece > f->length - head)
			piece = f->length - head;
		memcpy(chunk, f->bytes + head, piece);
		tow_buf_add_chunk(buf, chunk, piece);
		head += piece;
	}
	if (r->options.caps & TOW_DEV_RX_CSUM && !f->bad_checksum)
		buf->flags |= TOW_BUF_CSUM_OK;
	return buf;
}

static int device_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct rig *r = rig_of(dev);
	unsigned count = 0;

	if (r->gone)
		return TOW_ENETDOWN;
	while (count < n && r->queue_head != r->queue_tail) {
		struct frame *f = &r->queue[r->queue_head % QUEUE_MAX];

		r->queue_head++;
		bufs[count] = receive(r, f);
		free(f->bytes);
		if (bufs[count])
			count++;
	}
	return (int)count;
}

void device_done(struct rig *r, unsigned index)
{
	tow_buf_give(r->held[index]);
	memmove(&r->held[index], &r->held[index + 1],
		sizeof(r->held[0]) * (r->held_count - index - 1));
	r->held_count--;
}

static void give_all(struct rig *r)
{
	while (r->held_count)
		device_done(r, 0);
}

void device_done_all(struct rig *r)
{
	give_all(r);
	poll_until_quiet(r);
}

static void device_close(struct tow_dev *dev)
{
	struct rig *r = rig_of(dev);

	give_all(r);
	r->device = NULL;
	free(dev);
}

static const struct tow_dev_ops recorder_ops = {
	.name = "recorder",
	.rx = device_rx,
	.tx = device_tx,
	.close = device_close,
};

static void attach_device(struct rig *r)
{
	struct recorder *d = calloc(1, sizeof(*d));

	CHECK(d != NULL);
	d->rig = r;
	d->dev.ops = &recorder_ops;
	d->dev.caps = r->options.caps;
	d->dev.mtu = r->options.mtu ? r->options.mtu : 1500;
	d->dev.gso_bytes_max = r->options.gso_bytes_max;
	d->dev.spans_max = SPANS;
	d->dev.next_us = UINT64_MAX;
	if (r->options.hold_tx)
		d->dev.caps |= TOW_DEV_ASYNC_TX;
	memcpy(d->dev.mac, our_mac, 6);
	r->device = d;
	CHECK_EQ(tow_attach(r->stack, &d->dev), 0);
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

/* --- writing segments --- */

void inject_frame(struct rig *r, const void *bytes, uint32_t length)
{
	struct frame *f = &r->queue[r->queue_tail % QUEUE_MAX];

	CHECK(r->queue_tail - r->queue_head < QUEUE_MAX);
	f->bytes = malloc(length ? length : 1);
	CHECK(f->bytes != NULL);
	memcpy(f->bytes, bytes, length);
	f->length = length;
	f->bad_checksum = false;
	r->queue_tail++;
}

static unsigned put_sacks(const struct rig *r, uint8_t *p,
			  const struct injected *in)
{
	uint32_t base = in->absolute ? 0 : r->our_iss;
	unsigned n = 4;

	if (!in->sacks)
		return 0;
	p[0] = p[1] = 1;
	p[2] = OPTION_SACK;
	p[3] = (uint8_t)(2 + 8 * in->sacks);
	for (unsigned i = 0; i < in->sacks; i++, n += 8) {
		put32(p + n, in->sack[i].left + base);
		put32(p + n + 4, in->sack[i].right + base);
	}
	return n;
}

static unsigned put_timestamps(const struct rig *r, uint8_t *p,
			       const struct injected *in)
{
	bool wanted = in->ts || (timestamps(r) && !(in->flags & SYN));

	if (!wanted || in->no_ts)
		return 0;
	p[0] = p[1] = 1;
	p[2] = OPTION_TS;
	p[3] = 10;
	put32(p + 4, in->ts && in->tsval
			     ? in->tsval
			     : r->peer_ts + (uint32_t)(r->now_us / 1000));
	put32(p + 8, in->ts && in->tsval ? in->tsecr
		     : in->flags & ACK	 ? r->last_tsval
					 : 0);
	return 12;
}

static unsigned put_options(const struct rig *r, uint8_t *p,
			    const struct injected *in)
{
	unsigned n = 0;

	if (in->options) {
		memcpy(p, in->options, in->option_bytes);
		n = in->option_bytes;
		while (n % 4)
			p[n++] = 0;
		return n;
	}
	if (in->mss) {
		p[n] = OPTION_MSS;
		p[n + 1] = 4;
		put16(p + n + 2, in->mss);
		n += 4;
	}
	if (in->sack_ok) {
		memcpy(p + n, (uint8_t[]){ 1, 1, OPTION_SACK_OK, 2 }, 4);
		n += 4;
	}
	n += put_timestamps(r, p + n, in);
	if (in->has_wscale) {
		memcpy(p + n, (uint8_t[]){ 1, OPTION_WSCALE, 3, in->wscale },
		       4);
		n += 4;
	}
	return n + put_sacks(r, p + n, in);
}

static unsigned window_field(const struct rig *r, const struct injected *in)
{
	uint32_t window = in->window ? in->window : r->options.offer.window;

	if (in->zero_window)
		return 0;
	if (!(in->flags & SYN) && scaling(r))
		window >>= r->peer_wscale;
	return window > 65535 ? 65535 : window;
}

static void put_payload(uint8_t *p, const struct injected *in)
{
	uint32_t position = in->seq + (in->flags & SYN ? 1 : 0);

	if (in->data)
		memcpy(p, in->data, in->bytes);
	else
		for (uint32_t i = 0; i < in->bytes; i++)
			p[i] = pattern(position + i);
}

/* The TCP segment into @p; its length. */
static uint32_t put_tcp(const struct rig *r, uint8_t *p,
			const struct injected *in)
{
	unsigned header = TCP_BYTES + put_options(r, p + TCP_BYTES, in);
	bool relative = !in->absolute;

	put16(p, in->sport ? in->sport : r->peer_port);
	put16(p + 2, in->dport ? in->dport : r->our_port);
	put32(p + 4, in->seq + (relative ? r->peer_iss : 0));
	put32(p + 8, in->ack + (relative && in->flags & ACK ? r->our_iss : 0));
	p[12] = (uint8_t)((in->data_offset ? in->data_offset : header / 4)
			  << 4);
	p[13] = in->flags;
	put16(p + 14, window_field(r, in));
	put16(p + 16, 0);
	put16(p + 18, in->urgent);
	put_payload(p + header, in);
	return header + in->bytes;
}

static void note_syn(struct rig *r, const struct injected *in)
{
	if (!(in->flags & SYN) || in->flags & (RST | FIN) || in->options ||
	    in->sport || in->dport || in->src || in->dst || in->absolute)
		return;
	r->peer_offered_ts = in->ts;
	r->peer_wscale = !in->has_wscale   ? -1
			 : in->wscale > 14 ? 14
					   : in->wscale;
}

/* Ethernet and IP headers in front of @bytes that are at @frame already. */
static uint32_t put_ip(struct rig *r, uint8_t *frame, uint8_t protocol,
		       const struct tow_addr *src, const struct tow_addr *dst,
		       uint32_t bytes)
{
	uint8_t *ip = frame + ETH_BYTES;

	memcpy(frame, our_mac, 6);
	memcpy(frame + 6, peer_mac, 6);
	if (r->options.family == IPV6) {
		put16(frame + 12, 0x86dd);
		put32(ip, 0x60000000);
		put16(ip + 4, bytes);
		ip[6] = protocol;
		ip[7] = protocol == 58 ? 255 : 64;
		memcpy(ip + 8, src->b, 16);
		memcpy(ip + 24, dst->b, 16);
		return ETH_BYTES + 40 + bytes;
	}
	put16(frame + 12, 0x0800);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, 20 + bytes);
	put16(ip + 6, 0x4000); /* DF */
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, src->b + 12, 4);
	memcpy(ip + 16, dst->b + 12, 4);
	put16(ip + 10, 0xffff & ~sum_bytes(0, ip, 20));
	return ETH_BYTES + 20 + bytes;
}

static uint32_t ip_bytes(const struct rig *r)
{
	return r->options.family == IPV4 ? 20 : 40;
}

void inject_segment(struct rig *r, const struct injected *in)
{
	static uint8_t frame[FRAME_MAX];
	const struct tow_addr *src = in->src ? in->src : &r->peer;
	const struct tow_addr *dst = in->dst ? in->dst : &r->us;
	bool v4 = r->options.family == IPV4;
	uint8_t *tcp = frame + ETH_BYTES + ip_bytes(r);
	uint32_t bytes, sum;

	CHECK_LE(in->bytes, 65000u);
	note_syn(r, in);
	bytes = put_tcp(r, tcp, in);
	sum = sum_bytes(sum_pseudo(src, dst, 6, bytes, v4), tcp, bytes);
	put16(tcp + 16, (0xffff & ~sum) ^ (in->bad_checksum ? 0x0101 : 0));
	bytes = put_ip(r, frame, 6, src, dst, bytes);
	if (in->dst_mac)
		memcpy(frame, in->dst_mac, 6);
	inject_frame(r, frame, bytes);
	r->queue[(r->queue_tail - 1) % QUEUE_MAX].bad_checksum =
		in->bad_checksum;
	if (!in->later)
		poll_until_quiet(r);
}

void inject_ip(struct rig *r, uint8_t protocol, const struct tow_addr *src,
	       const void *payload, uint32_t bytes)
{
	static uint8_t frame[FRAME_MAX];

	memcpy(frame + ETH_BYTES + ip_bytes(r), payload, bytes);
	inject_frame(r, frame,
		     put_ip(r, frame, protocol, src ? src : &r->peer, &r->us,
			    bytes));
	poll_until_quiet(r);
}

/* Type and code of an ICMP error, in the words of either family. */
static void icmp_words(enum icmp_kind kind, bool v4, uint8_t out[2])
{
	static const uint8_t words[][4] = {
		[ICMP_TOO_BIG] = { 3, 4, 2, 0 },
		[ICMP_NET_UNREACHABLE] = { 3, 0, 1, 0 },
		[ICMP_HOST_UNREACHABLE] = { 3, 1, 1, 3 },
		[ICMP_PORT_UNREACHABLE] = { 3, 3, 1, 4 },
		[ICMP_PROTO_UNREACHABLE] = { 3, 2, 4, 1 },
		[ICMP_TIME_EXCEEDED] = { 11, 0, 3, 0 },
		[ICMP_SOURCE_QUENCH] = { 4, 0, 99, 0 },
	};

	memcpy(out, words[kind] + (v4 ? 0 : 2), 2);
}

void inject_icmp(struct rig *r, enum icmp_kind kind, uint32_t value,
		 uint32_t seq, uint32_t quoted_bytes)
{
	static uint8_t quoted[FRAME_MAX];
	uint8_t icmp[8 + 40 + TCP_BYTES] = { 0 };
	bool v4 = r->options.family == IPV4;
	uint32_t quote = quoted_bytes ? quoted_bytes : v4 ? 8 : TCP_BYTES;
	uint8_t *tcp = quoted + ETH_BYTES + ip_bytes(r);
	uint32_t bytes = 8 + ip_bytes(r) + quote, sum = 0;

	CHECK_LE(quote, (uint32_t)TCP_BYTES);
	memset(tcp, 0, TCP_BYTES);
	put16(tcp, r->our_port);
	put16(tcp + 2, r->peer_port);
	put32(tcp + 4, r->our_iss + seq);
	tcp[12] = 0x50;
	tcp[13] = ACK;
	/* the largest packet there is, so that it can have been too big */
	put_ip(r, quoted, 6, &r->us, &r->peer,
	       r->device->dev.mtu - ip_bytes(r));
	icmp_words(kind, v4, icmp);
	put32(icmp + 4, value);
	memcpy(icmp + 8, quoted + ETH_BYTES, ip_bytes(r) + quote);
	if (!v4)
		sum = sum_pseudo(&r->peer, &r->us, 58, bytes, false);
	put16(icmp + 2, 0xffff & ~sum_bytes(sum, icmp, bytes));
	inject_ip(r, v4 ? 1 : 58, NULL, icmp, bytes);
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
