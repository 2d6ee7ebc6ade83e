/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments, packets and ICMP errors from the peer to the stack, built from the
 * RFCs alone.
 */
#include "tcp_peer_private.h"
#include <stdlib.h>
#include <string.h>

void inject_frame(struct rig *r, const void *bytes, uint32_t length)
{
	struct frame *f = &r->queue[r->queue_tail % QUEUE_MAX];

	CHECK(r->queue_tail - r->queue_head < QUEUE_MAX);
	f->bytes = malloc(length ? length : 1);
	CHECK(f->bytes != NULL);
	memcpy(f->bytes, bytes, length);
	f->length = length;
	f->merged = 0;
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

static const struct signature *signature_of(const struct rig *r,
					    const struct injected *in)
{
	static const struct signature none;

	if (in->no_signature)
		return &none;
	return in->signature ? in->signature : &r->signature;
}

static unsigned put_accecn(uint8_t *p, const struct injected *in)
{
	unsigned n = 2 + 3 * in->ecn_fields, pad = (4 - n % 4) % 4;

	if (!in->ecn_kind)
		return 0;
	memset(p, 1, pad);
	p += pad;
	p[0] = in->ecn_kind;
	p[1] = (uint8_t)n;
	for (unsigned i = 0; i < in->ecn_fields; i++) {
		p[2 + 3 * i] = (uint8_t)(in->ecn[i] >> 16);
		put16(p + 3 + 3 * i, in->ecn[i] & 0xffff);
	}
	return pad + n;
}

static unsigned put_options(const struct rig *r, uint8_t *p,
			    const struct injected *in)
{
	unsigned n = sign_put_option(p, signature_of(r, in));

	if (in->options) {
		memcpy(p + n, in->options, in->option_bytes);
		n += in->option_bytes;
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
	n += put_accecn(p + n, in);
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
			  << 4) |
		in->ae;
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

	memcpy(frame, OUR_MAC, 6);
	memcpy(frame + 6, PEER_MAC, 6);
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

/* Into a header that was written with 0. */
static void put_tos(uint8_t *ip, bool v4, uint8_t tos)
{
	if (!v4) {
		ip[0] |= tos >> 4;
		ip[1] |= (uint8_t)(tos << 4);
		return;
	}
	ip[1] = tos;
	put16(ip + 10, 0);
	put16(ip + 10, 0xffff & ~sum_bytes(0, ip, 20));
}

/* The option is the first there is. */
static void fill_signature(const struct rig *r, const struct injected *in,
			   const struct tow_addr *src,
			   const struct tow_addr *dst, uint8_t *tcp,
			   uint32_t bytes)
{
	const struct signature *by = signature_of(r, in);
	uint8_t out[20];
	unsigned n;

	if (by->kind == SIGN_NONE)
		return;
	n = sign_for(r, by, src, dst, tcp, bytes, TCP_BYTES, true, out);
	memcpy(tcp + TCP_BYTES + 4, out, n);
	tcp[TCP_BYTES + 4] ^= by->breaks;
}

static uint32_t ip_bytes(const struct rig *r)
{
	return r->options.family == IPV4 ? 20 : 40;
}

/* One fragment of the packet in @frame, from byte @from of its payload on. */
static void inject_fragment(struct rig *r, const uint8_t *frame,
			    uint32_t frame_bytes, uint32_t from, uint32_t bytes)
{
	static uint8_t part[FRAME_MAX];
	uint32_t header = ETH_BYTES + ip_bytes(r);
	bool v4 = r->options.family == IPV4;
	uint32_t left = frame_bytes - header - from;
	unsigned more = bytes < left;
	uint8_t *ip = part + ETH_BYTES;

	bytes = more ? bytes : left;
	memcpy(part, frame, header);
	if (v4) {
		put16(ip + 2, 20 + bytes);
		put16(ip + 4, 0x4321);
		put16(ip + 6, more << 13 | from / 8);
		put16(ip + 10, 0);
		put16(ip + 10, 0xffff & ~sum_bytes(0, ip, 20));
	} else {
		memset(part + header, 0, 8);
		part[header] = ip[6];
		ip[6] = 44;
		put16(ip + 4, 8 + bytes);
		put16(part + header + 2, from | more);
		put32(part + header + 4, 0x87654321);
		header += 8;
	}
	memcpy(part + header, frame + ETH_BYTES + ip_bytes(r) + from, bytes);
	inject_frame(r, part, header + bytes);
	/* No device can have verified it */
	r->queue[(r->queue_tail - 1) % QUEUE_MAX].bad_checksum = true;
}

static void inject_cut(struct rig *r, const struct injected *in,
		       const uint8_t *frame, uint32_t bytes)
{
	uint32_t payload = bytes - ETH_BYTES - ip_bytes(r);
	unsigned count = (payload + in->cut - 1) / in->cut, i, which;

	for (i = 0; i < (in->cut_order ? in->cut_count : count); i++) {
		which = in->cut_order ? in->cut_order[i] : count - 1 - i;
		CHECK_LT(which, count);
		inject_fragment(r, frame, bytes, which * in->cut, in->cut);
	}
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
	fill_signature(r, in, src, dst, tcp, bytes);
	sum = sum_bytes(sum_pseudo(src, dst, 6, bytes, v4), tcp, bytes);
	put16(tcp + 16, (0xffff & ~sum) ^ (in->bad_checksum ? 0x0101 : 0));
	bytes = put_ip(r, frame, 6, src, dst, bytes);
	put_tos(frame + ETH_BYTES, v4, in->tos);
	if (in->dst_mac)
		memcpy(frame, in->dst_mac, 6);
	if (in->cut) {
		inject_cut(r, in, frame, bytes);
	} else {
		inject_frame(r, frame, bytes);
		r->queue[(r->queue_tail - 1) % QUEUE_MAX].bad_checksum =
			in->bad_checksum;
		r->queue[(r->queue_tail - 1) % QUEUE_MAX].merged = in->merged;
	}
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
