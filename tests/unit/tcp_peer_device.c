/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The recording device: parses and judges each frame that the stack sends, and
 * answers ARP and neighbour solicitations by itself.
 *
 * A frame is judged on its own: lengths, checksums, header fields and option
 * encoding. What is wrong is counted in rig.malformed and printed, and
 * rig_close() fails the test, so every test of a TCP feature also tests that
 * nothing malformed ever leaves the stack.
 */
#include "tcp_peer_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* RFC 9768 3.2.3, table 5 */
static void parse_accecn(struct rig *r, struct segment *s, const uint8_t *p,
			 unsigned length)
{
	if (!r->expects_ae || (length - 2) % 3 || length > 11 || s->ecn_kind)
		malformed(r, "an AccECN option that should not be there");
	if ((s->flags & (SYN | ACK)) == SYN)
		malformed(r, "an AccECN option on a SYN");
	s->ecn_kind = p[0];
	s->ecn_fields = (length - 2) / 3;
	for (unsigned i = 0; i < s->ecn_fields; i++)
		s->ecn[i] = get32(p + 1 + 3 * i) & 0xffffff;
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
	case OPTION_ACCECN_0:
	case OPTION_ACCECN_1:
		parse_accecn(r, s, p, length);
		break;
	case OPTION_MD5:
	case OPTION_AO:
		if (r->signature.kind)
			break;
		/* fall through */
	default:
		if (r->expects_option && r->expects_option == p[0])
			break;
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
	s->ae = tcp[12] & 1;
	if (tcp[12] & (r->expects_ae ? 0x0e : 0x0f))
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

/* Nothing of a signed connection goes out without, and it is right. */
static void check_signature(struct rig *r, const struct segment *s,
			    const uint8_t *tcp, uint32_t bytes)
{
	struct signature by = r->signature;
	uint8_t out[20];
	size_t at;
	unsigned n;

	if (by.kind == SIGN_NONE || by.stranger || !is_primary(r, s))
		return;
	at = sign_find_option(tcp,
			      by.kind == SIGN_MD5 ? OPTION_MD5 : OPTION_AO);
	if (!at) {
		malformed(r, "not signed");
		return;
	}
	r->our_key_id = tcp[at + 2];
	r->our_next_id = tcp[at + 3];
	by.sne = 0;
	n = sign_for(r, &by, &s->src, &s->dst, tcp, bytes, at, false, out);
	if (memcmp(tcp + at + (by.kind == SIGN_MD5 ? 2 : 4), out, n))
		malformed(r, "wrongly signed");
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
	check_signature(r, s, frame + tcp_at, bytes);
	s->at_us = r->now_us;
	CHECK(r->sent_count < SENT_MAX);
	r->sent[r->sent_count++] = *s;
}

static void record_ip4(struct rig *r, const struct tow_buf *buf,
		       const uint8_t *frame, uint32_t frame_bytes)
{
	const uint8_t *ip = frame + ETH_BYTES;
	uint32_t header = (ip[0] & 15u) * 4, total = get16(ip + 2);
	struct segment s = { .ttl = ip[8], .tos = ip[1], .df = ip[6] & 0x40 };

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
	memcpy(na + 26, PEER_MAC, 6);
	put16(na + 2, 0xffff & ~sum_bytes(sum_pseudo(&target, &src, 58,
						     sizeof(na), false),
					  na, sizeof(na)));
	memcpy(frame, OUR_MAC, 6);
	memcpy(frame + 6, PEER_MAC, 6);
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
	memcpy(reply + 6, PEER_MAC, 6);
	memcpy(reply + 12, frame + 12, 8);
	put16(reply + 20, 2);
	memcpy(reply + 22, PEER_MAC, 6);
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
	if (memcmp(frame + 6, OUR_MAC, 6))
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
	bool hinted = r->hint.place.bytes && !r->hint.resting;

	if (!buf)
		return NULL;
	if (head > f->length)
		head = f->length;
	if (head > TOW_BUF_ROOM - 2)
		head = TOW_BUF_ROOM - 2;
	if (hinted)
		head = r->hint.place.header_bytes < f->length
			       ? r->hint.place.header_bytes
			       : f->length;
	memcpy(buf->room + 2, f->bytes, head);
	tow_buf_set_head(buf, 2, head);
	if (hinted)
		head += place_frame(r, buf, f);
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
	if (f->merged) {
		buf->gso =
			r->options.family == IPV4 ? TOW_GSO_TCP4 : TOW_GSO_TCP6;
		buf->gso_bytes = f->merged;
	}
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
	.place = device_place,
	.close = device_close,
};

void attach_device(struct rig *r)
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
	memcpy(d->dev.mac, OUR_MAC, 6);
	r->device = d;
	CHECK_EQ(tow_attach(r->stack, &d->dev), 0);
}
