/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stack with one connection over bare IP. Theory of operation: bare.h.
 */
#include "bare.h"
#include "base/csum.h"
#include "wire/wire.h"

static uint8_t stream[BARE_STREAM_BYTES];

static struct tow_addr address(const struct bare *b, uint8_t last)
{
	uint8_t six[16] = { 0x20, 1, 0x0d, 0xb8, [15] = last };

	return b->options.v4 ? tow_addr_v4(192, 0, 2, last) : tow_addr_v6(six);
}

/* --- the device --- */

static unsigned ip_bytes(const struct bare *b)
{
	return b->options.v4 ? 20 : 40;
}

static int device_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct bare *b = (struct bare *)dev;
	unsigned count = 0;

	for (; count < n && b->head != b->tail; b->head++) {
		struct bare_packet *p = &b->queue[b->head % BARE_QUEUE];
		struct tow_buf *buf = tow_buf_take(dev->pool);
		unsigned at = MIN(p->bytes, b->options.split);

		ASSERT(buf); /* it has plenty: what differs must not be luck */
		memcpy(buf->room, p->data, at);
		tow_buf_set_head(buf, 0, at);
		while (at < p->bytes) {
			uint8_t *chunk = tow_chunk_take(dev->pool);
			unsigned piece = tow_chunk_bytes(dev->pool);

			ASSERT(chunk);
			piece = MIN(piece, p->bytes - at);
			memcpy(chunk, p->data + at, piece);
			tow_buf_add_chunk(buf, chunk, piece);
			at += piece;
		}
		bufs[count++] = buf;
	}
	return (int)count;
}

static void check_payload(struct bare *b, const uint8_t *p, uint32_t bytes,
			  uint32_t seq)
{
	for (uint32_t i = 0; i < bytes; i++)
		ASSERT(p[i] == bare_pattern(seq - b->iss - 1 + i));
}

static void learn_options(struct bare *b, const uint8_t *p, unsigned bytes)
{
	for (unsigned at = 0; at < bytes && p[at];) {
		if (p[at] == 8) {
			b->stamps = true;
			b->ts = wire_get32(p + at + 2);
		}
		at += p[at] == 1 ? 1 : p[at + 1];
	}
}

static void look_at(struct bare *b, const struct tow_buf *buf)
{
	static uint8_t data[65536 + 40];
	size_t bytes = tow_buf_read(buf, 0, data, sizeof(data));
	const uint8_t *tcp = data + ip_bytes(b);
	uint32_t header, payload, end;

	ASSERT(bytes == buf->bytes && bytes >= ip_bytes(b) + 8);
	ASSERT(buf->gso || bytes <= b->dev.mtu);
	if (data[b->options.v4 ? 9 : 6] != 6)
		return; /* ICMP */
	header = (uint32_t)(tcp[12] >> 4) * 4;
	ASSERT(header >= 20 && ip_bytes(b) + header <= bytes);
	payload = (uint32_t)bytes - ip_bytes(b) - header;
	b->segments++;
	b->flags = tcp[13];
	if (tcp[13] & RST) {
		b->resets++;
		return;
	}
	if (tcp[13] & SYN)
		b->iss = b->next = wire_get32(tcp + 4);
	end = wire_get32(tcp + 4) + payload + (tcp[13] & SYN ? 1 : 0) +
	      (tcp[13] & FIN ? 1 : 0);
	if ((int32_t)(end - b->next) > 0)
		b->next = end;
	learn_options(b, tcp + 20, header - 20);
	check_payload(b, tcp + header, payload, wire_get32(tcp + 4));
}

static int device_tx(struct tow_dev *dev, struct tow_buf *const *bufs,
		     unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		look_at((struct bare *)dev, bufs[i]);
		tow_buf_give(bufs[i]);
	}
	return (int)n;
}

static void device_close(struct tow_dev *dev)
{
	((struct bare *)dev)->closed = true;
}

static const struct tow_dev_ops ops = {
	.name = "bare",
	.rx = device_rx,
	.tx = device_tx,
	.close = device_close,
};

/* --- the stack --- */

static void note(struct bare *b, const struct tow_event *event)
{
	switch (event->type) {
	case TOW_EVENT_LOAN:
		ASSERT(event->token == ++b->returned); /* each once, in order */
		break;
	case TOW_EVENT_CONNECTED:
		b->connected++;
		break;
	case TOW_EVENT_CLOSED:
		b->finished++;
		b->status = event->status;
		break;
	default:
		break;
	}
}

void bare_poll(struct bare *b)
{
	struct tow_event events[16];
	int n, got;

	for (unsigned rounds = 0; rounds < 2000; rounds++) {
		n = tow_poll(b->stack, b->now_us);
		ASSERT(n >= 0);
		do {
			got = tow_events(b->stack, events, 16);
			for (int i = 0; i < got; i++)
				note(b, &events[i]);
		} while (got == 16);
		if (n == 0 && b->head == b->tail)
			return;
	}
	ASSERT(!"it comes to rest");
}

void bare_time(struct bare *b, uint64_t us)
{
	uint64_t until = b->now_us + us, deadline;
	unsigned rounds = 0;

	while ((deadline = tow_deadline(b->stack)) <= until) {
		ASSERT(rounds++ < 100000);
		b->now_us = MAX(b->now_us, deadline);
		bare_poll(b);
	}
	b->now_us = until;
	bare_poll(b);
}

void bare_open(struct bare *b, const struct bare_options *options, void *memory,
	       size_t bytes)
{
	struct tow_config cfg;
	struct tow_addr us;

	*b = (struct bare){
		.dev = { .ops = &ops,
			 .caps = options->caps | TOW_DEV_NO_LINK,
			 .mtu = 1500,
			 .spans_max = TOW_BUF_SPANS,
			 .next_us = UINT64_MAX },
		.options = *options,
		.now_us = 5000000,
	};
	if (options->caps & (TOW_DEV_TSO4 | TOW_DEV_TSO6))
		b->dev.gso_bytes_max = 60000;
	if (stream[1] == 0) { /* the first time */
		for (uint32_t i = 0; i < sizeof(stream); i++)
			stream[i] = bare_pattern(i);
	}
	tow_config_default(&cfg);
	cfg.tcp_max = 4;
	cfg.listener_max = 2;
	cfg.udp_max = 1;
	cfg.rx_chunks = 1024;
	cfg.rx_bufs = 1024;
	cfg.tx_chunks = 256;
	cfg.tx_bufs = 256;
	cfg.loans = 1024;
	cfg.segments = 1024;
	cfg.send_bytes = 256 * 1024;
	cfg.recv_bytes = cfg.recv_bytes_max = 256 * 1024;
	memset(cfg.secret, 7, sizeof(cfg.secret));
	ASSERT(tow_need(&cfg) <= bytes);
	ASSERT(tow_open(&b->stack, &cfg, memory, bytes) == 0);
	ASSERT(tow_attach(b->stack, &b->dev) == 0);
	us = address(b, 1);
	ASSERT(tow_addr_add(b->stack, 0, &us, options->v4 ? 24 : 64) == 0);
	bare_poll(b);
	b->segments = 0;
}

static void check_pools(const struct net *net)
{
	ASSERT(net->rx_pool.bufs_left == net->rx_pool.bufs_total);
	ASSERT(net->rx_pool.chunks_left == net->rx_pool.chunks_total);
	ASSERT(net->tx_pool.bufs_left == net->tx_pool.bufs_total);
	ASSERT(net->tx_pool.chunks_left == net->tx_pool.chunks_total);
}

void bare_close(struct bare *b)
{
	if (b->tcp)
		tow_tcp_abort(b->tcp);
	if (b->listener)
		tow_listener_close(b->listener);
	bare_poll(b);
	bare_time(b, 3600ull * 1000000);
	ASSERT(b->returned == b->lent);
	ASSERT(tow_idle(b->stack));
	check_pools(&b->stack->net);
	tow_close(b->stack);
	ASSERT(b->closed);
}

/* --- the wire --- */

static uint32_t put_ip(const struct bare *b, uint8_t *ip, uint32_t bytes)
{
	struct tow_addr src = address(b, 2), dst = address(b, 1);

	memset(ip, 0, ip_bytes(b));
	if (b->options.v4) {
		ip[0] = 0x45;
		wire_put16(ip + 2, (uint16_t)(20 + bytes));
		ip[8] = 64;
		ip[9] = 6;
		memcpy(ip + 12, src.b + 12, 4);
		memcpy(ip + 16, dst.b + 12, 4);
		wire_put16(ip + 10, 0);
		memcpy(ip + 10,
		       &(uint16_t){ csum_finish(csum_bytes(0, ip, 20)) }, 2);
	} else {
		ip[0] = 0x60;
		wire_put16(ip + 4, (uint16_t)bytes);
		ip[6] = 6;
		ip[7] = 64;
		memcpy(ip + 8, src.b, 16);
		memcpy(ip + 24, dst.b, 16);
	}
	return csum_pseudo(&src, &dst, 6, bytes);
}

void bare_inject(struct bare *b, const struct bare_segment *s)
{
	struct bare_packet *p = &b->queue[b->tail % BARE_QUEUE];
	uint8_t *tcp = p->data + ip_bytes(b);
	uint32_t header = 20 + s->option_bytes, bytes = header + s->bytes;
	/* a SYN begins the stream, wherever it stands */
	uint32_t offset = s->flags & SYN ? 0 : s->seq - BARE_PEER_ISS - 1;
	uint32_t sum;
	uint16_t finished;

	ASSERT(ip_bytes(b) + bytes <= sizeof(p->data));
	ASSERT(b->tail - b->head < BARE_QUEUE);
	sum = put_ip(b, p->data, bytes);
	wire_put16(tcp, BARE_PEER_PORT);
	wire_put16(tcp + 2, BARE_PORT);
	wire_put32(tcp + 4, s->seq);
	wire_put32(tcp + 8, s->ack);
	tcp[12] = (uint8_t)(header / 4 << 4);
	tcp[13] = s->flags;
	wire_put16(tcp + 14, s->window);
	wire_put16(tcp + 16, 0);
	wire_put16(tcp + 18, s->urgent);
	memcpy(tcp + 20, s->options, s->option_bytes);
	for (uint32_t i = 0; i < s->bytes; i++)
		tcp[header + i] = bare_pattern(offset + i);
	finished = csum_finish(csum_bytes(sum, tcp, bytes));
	memcpy(tcp + 16, &finished, 2);
	p->bytes = (uint16_t)(ip_bytes(b) + bytes);
	b->tail++;
}

unsigned bare_timestamps(const struct bare *b, uint8_t *out, uint32_t ts)
{
	memcpy(out, (uint8_t[]){ 1, 1, 8, 10 }, 4);
	wire_put32(out + 4, ts);
	wire_put32(out + 8, b->ts);
	return 12;
}

static void syn(struct bare *b, uint8_t flags, uint32_t ack)
{
	struct bare_segment s = { .seq = BARE_PEER_ISS,
				  .ack = ack,
				  .flags = flags,
				  .window = 65535,
				  .options = { 2, 4, 1460 >> 8, 1460 & 255 },
				  .option_bytes = 4 };

	if (!b->options.bare_syn) {
		memcpy(s.options + 4, (uint8_t[]){ 4, 2, 1, 1, 1, 3, 3, 2 }, 8);
		if (b->options.no_sack)
			memset(s.options + 4, 1, 2);
		s.option_bytes =
			12 + bare_timestamps(b, s.options + 12,
					     (uint32_t)(b->now_us / 1000));
	}
	bare_inject(b, &s);
	bare_poll(b);
}

void bare_begin(struct bare *b)
{
	struct tow_endpoint local = { .port = BARE_PORT };
	struct tow_endpoint peer = { .addr = address(b, 2),
				     .port = BARE_PEER_PORT };

	if (!b->options.active) {
		ASSERT(tow_tcp_listen(b->stack, &local, 4, &b->listener) == 0);
		ASSERT(tow_listener_set(b->listener, TOW_TCP_CONGESTION,
					b->options.congestion) == 0);
		return;
	}
	ASSERT(tow_tcp_connect(b->stack, &local, &peer, &b->tcp) == 0);
	ASSERT(tow_tcp_set(b->tcp, TOW_TCP_CONGESTION, b->options.congestion) ==
	       0);
	bare_poll(b);
}

/* Of the peer: a SYN to the listener; SYN-ACK or SYN in answer to ours. */
void bare_syn(struct bare *b)
{
	if (b->options.active)
		syn(b, SYN | ACK, b->iss + 1);
	else
		syn(b, SYN, 0);
}

void bare_ack(struct bare *b, uint32_t ack, uint8_t flags)
{
	struct bare_segment s = { .seq = b->tcp ? b->tcp->rcv.nxt.n
						: BARE_PEER_ISS + 1,
				  .ack = ack,
				  .flags = flags | ACK,
				  .window = 65535 };

	if (b->stamps)
		s.option_bytes = bare_timestamps(b, s.options,
						 (uint32_t)(b->now_us / 1000));
	bare_inject(b, &s);
	bare_poll(b);
}

void bare_handshake(struct bare *b)
{
	bare_syn(b);
	bare_time(b, 20000);
	if (b->options.active)
		return;
	bare_ack(b, b->iss + 1, 0);
	ASSERT(tow_tcp_accept(b->listener, &b->tcp) == 0);
}

/* --- the program --- */

void bare_send(struct bare *b, uint32_t bytes)
{
	uint64_t room = tow_tcp_send_room(b->tcp);
	struct tow_span span;

	bytes = (uint32_t)MIN(bytes, room);
	bytes = (uint32_t)MIN(bytes, sizeof(stream) - b->written);
	if (bytes == 0)
		return;
	span = (struct tow_span){ stream + b->written, bytes };
	if (b->options.lend && b->written % b->options.lend == 0) {
		if (tow_tcp_lend(b->tcp, &span, 1, b->lent + 1, 0))
			return;
		b->lent++;
	} else if (tow_tcp_send(b->tcp, span.ptr, bytes, 0) != bytes) {
		return;
	}
	b->written += bytes;
}

static void check_read(struct bare *b, const uint8_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		ASSERT(p[i] == bare_pattern(b->read + i));
	b->read += bytes;
}

/* All there is. */
void bare_read(struct bare *b)
{
	static uint8_t out[65536];
	struct tow_span span;
	int64_t n;

	for (;;) {
		if (!b->options.borrow) {
			n = tow_tcp_recv(b->tcp, out, sizeof(out));
			if (n <= 0)
				return;
			check_read(b, out, (size_t)n);
			continue;
		}
		if (tow_tcp_borrow(b->tcp, &span, 1) <= 0)
			return;
		check_read(b, span.ptr, span.len);
		tow_tcp_return(b->tcp, span.len);
	}
}
