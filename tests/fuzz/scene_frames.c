/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of fuzz_input: the script says in what a frame differs from the one
 * that its connection would expect; the sums are right, unless it says raw.
 */
#include "scene.h"

/* Link and IP header in front of what build will put there. */
static uint8_t *begin_ip(struct frame *f, uint8_t protocol)
{
	uint8_t *ip = f->data + ETH;

	memcpy(f->data, OUR_MAC, 6);
	memcpy(f->data + 6, PEER_MAC, 6);
	put16(f->data + 12, scene.v4 ? 0x0800 : 0x86dd);
	memset(ip, 0, 40);
	if (scene.v4) {
		ip[0] = 0x45;
		ip[8] = 64;
		ip[9] = protocol;
		memcpy(ip + 12, PEER_IP4, 4);
		memcpy(ip + 16, OUR_IP4, 4);
		return ip + 20;
	}
	ip[0] = 0x60;
	ip[6] = protocol;
	ip[7] = protocol == 58 ? 255 : 64;
	memcpy(ip + 8, PEER_IP6, 16);
	memcpy(ip + 24, OUR_IP6, 16);
	return ip + 40;
}

static void end_ip(struct frame *f, unsigned bytes, int sum_at)
{
	uint8_t *ip = f->data + ETH, *body = ip + (scene.v4 ? 20 : 40);
	uint8_t protocol = ip[scene.v4 ? 9 : 6];
	uint32_t start = protocol == 1 ? 0 : sum_pseudo(ip, protocol, bytes);

	put16(body + sum_at, 0);
	put16(body + sum_at, 0xffff & ~sum_bytes(start, body, bytes));
	if (scene.v4) {
		put16(ip + 2, 20 + bytes);
		put16(ip + 10, 0);
		put16(ip + 10, 0xffff & ~sum_bytes(0, ip, 20));
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

void send_segment(bool plain)
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
	memcpy(tcp + header, scene_payload, bytes);
	if (flags & 16 && (int32_t)(get32(tcp + 8) - t->ours_una) > 0)
		t->ours_una = get32(tcp + 8);
	end_ip(f, header + bytes, 16);
}

void send_icmp(void)
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
		memcpy(ip + 12, OUR_IP4, 4);
		memcpy(ip + 16, PEER_IP4, 4);
	} else {
		put16(ip + 4, take16());
		ip[6] = take8() & 1 ? 17 : 6;
		memcpy(ip + 8, OUR_IP6, 16);
		memcpy(ip + 24, PEER_IP6, 16);
	}
	tcp = ip + (scene.v4 ? 20 : 40);
	put16(tcp, 80);
	put16(tcp + 2, 40000 + (take8() & 3));
	put32(tcp + 4, t->ours_una + take_offset());
	quoted = take8() % 29;
	end_ip(f, 8 + (scene.v4 ? 20 : 40) + quoted, 2);
}

void send_udp(void)
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
	memcpy(udp + 8, scene_payload, bytes);
	end_ip(f, 8 + bytes, 6);
}

/* Any bytes; with the sums of IPv4 and TCP put right, or as they are. */
void send_raw(bool summed)
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
	memcpy(f->data, OUR_MAC, 6);
	put16(f->data + 12, f->data[ETH] >> 4 == 4 ? 0x0800 : 0x86dd);
	if (f->data[ETH] >> 4 == 4) {
		unsigned header = (f->data[ETH] & 15u) * 4;

		put16(f->data + ETH + 10, 0);
		if (header <= bytes - ETH)
			put16(f->data + ETH + 10,
			      0xffff & ~sum_bytes(0, f->data + ETH, header));
	}
	frame_done(bytes);
}

/* What the stack sent last comes back, with a few bytes changed. */
void reflect(void)
{
	struct frame *f = frame_new();
	unsigned changes = take8() & 3;
	bool v4 = get16(scene.last_sent.data + 12) == 0x0800;
	uint8_t *ip;

	if (!f || scene.last_sent.bytes < ETH + 40)
		return;
	*f = scene.last_sent;
	memcpy(f->data, OUR_MAC, 6);
	memcpy(f->data + 6, PEER_MAC, 6);
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
