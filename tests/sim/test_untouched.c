/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Payload that nobody may look at.
 *
 * The bytes that the program lends lie in pages without any access right, and
 * so do the chunks of received payload as soon as the device has filled them.
 * The device finishes and verifies checksums, and only notes where the spans
 * point. Whoever else touches payload dies by SIGSEGV. Since no byte can be
 * read, a segment is right when its spans are at the address that belongs to
 * its sequence number.
 *
 *	lent pages   |----------------------------------------|  PROT_NONE
 *	              ^seq 1     ^seq 1461                        (offsets)
 *	segment       [headers]+[span]   address = base + seq - 1
 */
#include <string.h>
#include <sys/mman.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include "base/csum.h"
#include "buf/pool.h"
#include "plain.h"
#include "test.h"

#define PAGE	   4096u
#define LENT_BYTES (64 * PAGE)
#define SENT_MAX   512
#define MSS	   1460u
#define WINDOW	   65535u
#define HOUR_US	   3600000000u

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

/* A segment as the stack handed it over. */
struct sent {
	uint32_t seq, ack;
	uint8_t flags;
	uint32_t bytes;
	uint16_t mss; /* payload per packet: large segments are several */
	struct tow_buf *buf; /* until the device has done with it */
};

/* A device without Ethernet that records and can be fed. */
struct recorder {
	struct tow_dev dev;
	struct sent sent[SENT_MAX];
	unsigned count;
	bool keeps; /* gives buffers back only when told */
	struct tow_buf *input[16];
	unsigned input_count;
	uint8_t *protected[64]; /* chunks that were filled */
	unsigned protected_count;
};

struct rig {
	struct recorder device;
	struct tow_stack *stack;
	void *memory;
	size_t bytes;
	struct tow_tcp *tcp;
	uint64_t now_us;
	uint32_t iss, irs; /* the stack's SYN, and ours */
	uint16_t port;
	uint8_t *lent;
};

/* The device. */

static struct recorder *recorder_of(struct tow_dev *dev)
{
	return (struct recorder *)dev;
}

static void record(struct recorder *device, struct tow_buf *buf)
{
	const uint8_t *ip = buf->spans[0].ptr, *tcp = ip + 20;
	struct sent *sent = &device->sent[device->count++];

	CHECK(device->count < SENT_MAX);
	CHECK_EQ(ip[0], 0x45);
	CHECK_EQ(ip[9], 6);
	CHECK(buf->flags & TOW_BUF_CSUM_PARTIAL);
	sent->seq = get32(tcp + 4);
	sent->ack = get32(tcp + 8);
	sent->flags = tcp[13];
	sent->bytes = buf->bytes - 20 - (tcp[12] >> 4) * 4u;
	sent->mss = buf->gso_bytes;
	sent->buf = buf;
}

static int recorder_tx(struct tow_dev *dev, struct tow_buf *const *bufs,
		       unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		record(recorder_of(dev), bufs[i]);
	return (int)n;
}

/* What was sent stays recorded; the buffers go back. */
static void give_back(struct recorder *device)
{
	for (unsigned i = 0; i < device->count; i++) {
		if (device->sent[i].buf)
			tow_buf_give(device->sent[i].buf);
		device->sent[i].buf = NULL;
	}
}

static void recorder_flush(struct tow_dev *dev)
{
	(void)dev; /* the test decides when */
}

static int recorder_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct recorder *device = recorder_of(dev);
	unsigned count = device->input_count < n ? device->input_count : n;

	memcpy(bufs, device->input, count * sizeof(bufs[0]));
	device->input_count -= count;
	memmove(device->input, device->input + count,
		device->input_count * sizeof(bufs[0]));
	return (int)count;
}

static void recorder_close(struct tow_dev *dev)
{
	give_back(recorder_of(dev));
}

static const struct tow_dev_ops recorder_ops = {
	.name = "recorder",
	.rx = recorder_rx,
	.tx = recorder_tx,
	.flush = recorder_flush,
	.close = recorder_close,
};

/* Segments to the stack. */

struct options {
	uint8_t bytes[40];
	unsigned count;
};

static unsigned write_packet(const struct rig *rig, uint8_t *ip, uint32_t seq,
			     uint32_t ack, uint8_t flags, uint32_t payload,
			     const struct options *options)
{
	unsigned header = 40 + options->count;
	uint8_t *tcp = ip + 20;
	uint16_t sum;

	memset(ip, 0, 40);
	ip[0] = 0x45;
	put16(ip + 2, header + payload);
	ip[8] = 64;
	ip[9] = 6;
	put32(ip + 12, 0x0a000002);
	put32(ip + 16, 0x0a000001);
	sum = csum_finish(csum_bytes(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
	put16(tcp, 80);
	put16(tcp + 2, rig->port);
	put32(tcp + 4, seq);
	put32(tcp + 8, ack);
	tcp[12] = (uint8_t)((header - 20) / 4 << 4);
	tcp[13] = flags;
	put16(tcp + 14, WINDOW);
	memcpy(tcp + 20, options->bytes, options->count);
	return header;
}

static void poll_at(struct rig *rig, uint64_t now_us)
{
	rig->now_us = now_us;
	while (tow_poll(rig->stack, rig->now_us) > 0)
		if (!rig->device.keeps)
			give_back(&rig->device);
	tow_poll(rig->stack, rig->now_us);
}

static void poll(struct rig *rig)
{
	poll_at(rig, rig->now_us);
}

/*
 * A verified segment from the peer. Its payload is in a chunk that is nobody's
 * to look at from here on.
 */
static void inject(struct rig *rig, uint32_t seq, uint32_t ack, uint8_t flags,
		   uint32_t payload, const struct options *options)
{
	static const struct options none;
	struct recorder *device = &rig->device;
	struct tow_buf *buf = tow_buf_take(device->dev.pool);
	unsigned header;

	CHECK(buf);
	header = write_packet(rig, buf->room + 2, seq, ack, flags, payload,
			      options ? options : &none);
	tow_buf_set_head(buf, 2, header);
	if (payload) {
		uint8_t *chunk = tow_chunk_take(device->dev.pool);

		CHECK(chunk && tow_chunk_bytes(device->dev.pool) == PAGE);
		CHECK_EQ(mprotect(chunk, PAGE, PROT_NONE), 0);
		device->protected[device->protected_count++] = chunk;
		tow_buf_add_chunk(buf, chunk, payload);
	}
	buf->flags = TOW_BUF_CSUM_OK;
	device->input[device->input_count++] = buf;
	poll(rig);
}

static void acknowledge(struct rig *rig, uint32_t offset)
{
	inject(rig, rig->irs + 1, rig->iss + 1 + offset, ACK, 0, NULL);
}

/* RFC 2018 3: @offset was reached, and so were @left to @right. */
static void acknowledge_sack(struct rig *rig, uint32_t offset, uint32_t left,
			     uint32_t right)
{
	struct options options = { { 1, 1, 5, 10 }, 12 };

	put32(options.bytes + 4, rig->iss + 1 + left);
	put32(options.bytes + 8, rig->iss + 1 + right);
	inject(rig, rig->irs + 1, rig->iss + 1 + offset, ACK, 0, &options);
}

/* The rig. */

static void open_stack(struct rig *rig)
{
	struct tow_addr addr = tow_addr_v4(10, 0, 0, 1);
	struct tow_config cfg;

	tow_config_default(&cfg);
	cfg.tcp_max = 4;
	cfg.chunk_bytes = PAGE;
	cfg.rx_chunks = 64;
	cfg.rx_bufs = 128;
	cfg.recv_bytes = cfg.recv_bytes_max = 64 * PAGE;
	cfg.send_bytes = LENT_BYTES * 2;
	cfg.lend_bytes_min = 1; /* smaller spans would be copied */
	rig->bytes = tow_need(&cfg);
	rig->memory = mmap(NULL, rig->bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(rig->memory != MAP_FAILED);
	CHECK_EQ(tow_open(&rig->stack, &cfg, rig->memory, rig->bytes), 0);
	CHECK_EQ(tow_attach(rig->stack, &rig->device.dev), 0);
	CHECK_EQ(tow_addr_add(rig->stack, 0, &addr, 24), 0);
}

static void connect_to_peer(struct rig *rig)
{
	struct tow_endpoint remote = { tow_addr_v4(10, 0, 0, 2), 80, 0 };
	/* MSS, SACK permitted; no timestamps, so that headers stay short */
	struct options options = { { 2, 4, MSS >> 8, MSS & 255, 4, 2, 1, 1 },
				   8 };
	struct tow_event event;

	CHECK_EQ(tow_tcp_connect(rig->stack, NULL, &remote, &rig->tcp), 0);
	CHECK_EQ(tow_tcp_set(rig->tcp, TOW_TCP_NODELAY, 1), 0);
	poll(rig);
	CHECK_EQ(rig->device.count, 1);
	CHECK_EQ(rig->device.sent[0].flags, SYN);
	rig->iss = rig->device.sent[0].seq;
	rig->irs = 0xfffff000; /* wraps soon */
	rig->port = tow_tcp_local(rig->tcp).port;
	rig->now_us += 10000;
	inject(rig, rig->irs, rig->iss + 1, SYN | ACK, 0, &options);
	CHECK_EQ(tow_events(rig->stack, &event, 1), 1);
	CHECK_EQ(event.type, TOW_EVENT_CONNECTED);
	rig->device.count = 0;
}

static void rig_open(struct rig *rig, uint32_t more_caps)
{
	memset(rig, 0, sizeof(*rig));
	rig->now_us = 1000000;
	rig->device.dev = (struct tow_dev){
		.ops = &recorder_ops,
		.caps = TOW_DEV_NO_LINK | TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM |
			TOW_DEV_SPLIT | TOW_DEV_ASYNC_TX | more_caps,
		.mtu = 1500,
		.gso_bytes_max = 65000,
		.spans_max = TOW_BUF_SPANS,
		.next_us = UINT64_MAX,
	};
	open_stack(rig);
	connect_to_peer(rig);
	rig->lent = mmap(NULL, LENT_BYTES, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(rig->lent != MAP_FAILED);
}

static void rig_close(struct rig *rig)
{
	for (unsigned i = 0; i < rig->device.protected_count; i++)
		CHECK_EQ(mprotect(rig->device.protected[i], PAGE,
				  PROT_READ | PROT_WRITE),
			 0);
	tow_close(rig->stack);
	munmap(rig->memory, rig->bytes);
	munmap(rig->lent, LENT_BYTES);
}

/* Spans of all lengths; together they are all that is lent, in order. */
static void lend_everything(struct rig *rig)
{
	static const size_t cuts[] = { 5000,  5001,  9000,   9000 + 3 * 1460,
				       40000, 65536, 200001, LENT_BYTES };
	struct tow_span spans[8];
	size_t at = 0;

	for (unsigned i = 0; i < 8; i++) {
		spans[i].ptr = rig->lent + at;
		spans[i].len = cuts[i] - at;
		at = cuts[i];
	}
	CHECK_EQ(tow_tcp_lend(rig->tcp, spans, 1, 1, 0), 0);
	CHECK_EQ(tow_tcp_lend(rig->tcp, spans + 1, 7, 2, 0), 0);
}

/* The spans of each segment are where its sequence number says. */
static void check_addresses(struct rig *rig)
{
	for (unsigned i = 0; i < rig->device.count; i++) {
		const struct sent *sent = &rig->device.sent[i];
		const uint8_t *at = rig->lent + (sent->seq - rig->iss - 1);

		if (!sent->buf || !sent->bytes)
			continue;
		for (unsigned j = 1; j < sent->buf->span_count; j++) {
			CHECK(sent->buf->spans[j].ptr == at);
			at += sent->buf->spans[j].len;
		}
		CHECK(at <= rig->lent + LENT_BYTES);
	}
}

static bool was_sent(const struct rig *rig, uint32_t offset)
{
	for (unsigned i = 0; i < rig->device.count; i++) {
		const struct sent *sent = &rig->device.sent[i];
		uint32_t from = sent->seq - rig->iss - 1;

		if (sent->bytes && from <= offset &&
		    offset < from + sent->bytes)
			return true;
	}
	return false;
}

/* Highest offset sent so far. */
static uint32_t sent_up_to(const struct rig *rig)
{
	uint32_t up_to = 0;

	for (unsigned i = 0; i < rig->device.count; i++) {
		const struct sent *sent = &rig->device.sent[i];
		uint32_t end = sent->seq - rig->iss - 1 + sent->bytes;

		if (sent->bytes && end > up_to)
			up_to = end;
	}
	return up_to;
}

static void forget(struct rig *rig)
{
	check_addresses(rig);
	give_back(&rig->device);
	rig->device.count = 0;
	poll(rig);
}

static int loans_back(struct rig *rig)
{
	struct tow_event events[16];
	int n = tow_events(rig->stack, events, 16), loans = 0;

	for (int i = 0; i < n; i++) {
		if (events[i].type != TOW_EVENT_LOAN)
			continue;
		CHECK_EQ(events[i].status, 0);
		loans++;
	}
	return loans;
}

static void check_ledger(const struct rig *rig, uint64_t tx_lent,
			 uint64_t rx_lent)
{
	const struct tow_ledger *all = &tow_stats(rig->stack)->ledger;

	CHECK_EQ(all->tx_lent_bytes, tx_lent);
	CHECK_EQ(all->rx_lent_bytes, rx_lent);
	CHECK_EQ(all->tx_touched_bytes, 0);
	CHECK_EQ(all->rx_touched_bytes, 0);
	for (unsigned i = 0; i < TOW_COPY_REASONS; i++)
		CHECK_EQ(all->copied_bytes[i], 0);
}

/* Acknowledge whatever comes until all is sent, with odd partial ACKs. */
static uint32_t send_the_rest(struct rig *rig, uint32_t from)
{
	for (int i = 0; i < 1000 && from < LENT_BYTES; i++) {
		uint32_t up_to = sent_up_to(rig);

		rig->now_us += 10000;
		forget(rig);
		if (up_to > from)
			from += i % 3 ? up_to - from : (up_to - from + 1) / 2;
		acknowledge(rig, from);
		if (rig->device.count == 0) /* a partial ACK freed nothing */
			poll_at(rig, rig->now_us + 1000000);
	}
	return from;
}

static uint64_t counter(const struct rig *rig, enum tow_counter which)
{
	return tow_stats(rig->stack)->counters[which];
}

/* Of a large segment, what each packet on the wire will have. */
static uint32_t packet_bytes(const struct sent *sent)
{
	return sent->mss ? sent->mss : sent->bytes;
}

static void send_lose_and_recover(struct rig *rig)
{
	uint32_t up_to, base;

	rig->device.keeps = true;
	lend_everything(rig);
	poll(rig);
	up_to = sent_up_to(rig);
	CHECK_GE(up_to, 2 * MSS);

	/* RFC 5681 3.1: an ACK in the middle of a span and of a segment */
	rig->now_us += 10000;
	forget(rig);
	acknowledge(rig, 5001 - 7);
	up_to = sent_up_to(rig);
	CHECK_GT(up_to, 5001 + 5 * MSS);

	/* RFC 6675 5: one segment is lost, SACKs say so, it is sent again */
	rig->now_us += 10000;
	forget(rig);
	base = 5001 - 7;
	for (uint32_t i = 1; i <= 5; i++) {
		rig->now_us += 100;
		acknowledge_sack(rig, base, base + MSS, base + MSS * (i + 1));
	}
	CHECK(was_sent(rig, base));

	/* RFC 6298 5.4: the repair is lost as well, only time helps */
	forget(rig);
	poll_at(rig, rig->now_us + 10000000);
	CHECK(was_sent(rig, base));

	/* The path becomes narrower: what was sent is cut anew. */
	forget(rig);
	CHECK_EQ(tow_tcp_set(rig->tcp, TOW_TCP_MSS, 700), 0);
	poll_at(rig, rig->now_us + 60000000);
	CHECK(was_sent(rig, base));
	for (unsigned i = 0; i < rig->device.count; i++)
		CHECK_LE(packet_bytes(&rig->device.sent[i]), 700);

	CHECK_EQ(send_the_rest(rig, base), LENT_BYTES);
	CHECK_GE(counter(rig, TOW_COUNTER_TCP_FAST_RECOVERY), 1);
	CHECK_GE(counter(rig, TOW_COUNTER_TCP_RTO), 2);
	CHECK_GE(counter(rig, TOW_COUNTER_TCP_RETRANS_BYTES), 3 * 700);
}

static void check_send(uint32_t caps)
{
	static struct rig rig;

	rig_open(&rig, caps);
	send_lose_and_recover(&rig);
	forget(&rig);
	CHECK_EQ(loans_back(&rig), 2);
	check_ledger(&rig, LENT_BYTES, 0);
	rig_close(&rig);
}

TEST(lent_pages_without_access_are_sent_lost_and_resent)
{
	check_send(0);
}

TEST(the_same_in_large_segments)
{
	check_send(TOW_DEV_TSO4);
}

TEST(loan_ends_only_when_no_device_refers_to_it)
{
	static struct rig rig;

	rig_open(&rig, TOW_DEV_TSO4);
	rig.device.keeps = true;
	lend_everything(&rig);
	poll(&rig);
	rig.now_us += 10000;
	acknowledge(&rig, sent_up_to(&rig));
	CHECK_GE(sent_up_to(&rig), 5000);
	CHECK_EQ(loans_back(&rig), 0); /* acknowledged, but with the device */
	give_back(&rig.device);
	poll(&rig);
	CHECK_EQ(loans_back(&rig), 1); /* the first 5000 bytes */
	rig_close(&rig);
}

/* Receiving. */

static void deliver(struct rig *rig, uint32_t offset, uint32_t bytes)
{
	rig->now_us += 100;
	inject(rig, rig->irs + 1 + offset, rig->iss + 1, ACK, bytes, NULL);
}

/* In order, out of order, twice, and overlapping. */
TEST(verified_payload_is_borrowed_and_returned_untouched)
{
	static struct rig rig;
	struct tow_span spans[TOW_SPANS_MAX];
	size_t got = 0;
	int n;

	rig_open(&rig, 0);
	deliver(&rig, 0, 1000);
	deliver(&rig, 2000, 1000);
	deliver(&rig, 2000, 1000);
	deliver(&rig, 4000, 1460);
	deliver(&rig, 2500, 1000);
	deliver(&rig, 1000, 1000);
	deliver(&rig, 3000, 1460);
	while ((n = tow_tcp_borrow(rig.tcp, spans, TOW_SPANS_MAX)) > 0)
		for (int i = 0; i < n; i++)
			got += spans[i].len;
	CHECK_EQ(n, TOW_EAGAIN);
	CHECK_EQ(got, 4000 + 1460);
	tow_tcp_return(rig.tcp, 777);
	tow_tcp_return(rig.tcp, got - 777);
	check_ledger(&rig, 0, got);
	rig_close(&rig);
}

TEST(unread_payload_is_dropped_untouched)
{
	static struct rig rig;

	rig_open(&rig, 0);
	deliver(&rig, 0, 1000);
	deliver(&rig, 2000, 1000);
	tow_tcp_close(rig.tcp);
	poll(&rig);
	check_ledger(&rig, 0, 0);
	rig_close(&rig);
}

/* Where the payload of everything that was sent lies: in the chunks. */
static uint32_t check_in_chunks(struct rig *rig)
{
	const struct recorder *device = &rig->device;
	uint32_t bytes = 0;

	for (unsigned i = 0; i < device->count; i++) {
		const struct tow_buf *buf = device->sent[i].buf;

		for (unsigned j = 1; buf && j < buf->span_count; j++) {
			uintptr_t at = (uintptr_t)buf->spans[j].ptr;
			bool found = false;

			for (unsigned k = 0; k < device->protected_count; k++)
				found |= at - (uintptr_t)device->protected[k] <
					 PAGE;
			CHECK(found);
			bytes += (uint32_t)buf->spans[j].len;
		}
	}
	return bytes;
}

/* Received, sent on, lost, sent again and acknowledged: nobody looked at it. */
TEST(passed_payload_is_sent_on_and_resent_untouched)
{
	static struct rig rig;
	struct tow_span spans[TOW_SPANS_MAX];

	rig_open(&rig, TOW_DEV_TSO4);
	rig.device.keeps = true;
	deliver(&rig, 0, 1000);
	deliver(&rig, 1000, 1460);
	deliver(&rig, 2460, 40);
	CHECK_EQ(tow_tcp_borrow(rig.tcp, spans, TOW_SPANS_MAX), 3);
	give_back(&rig.device);
	rig.device.count = 0;
	CHECK_EQ(tow_tcp_pass(rig.tcp, rig.tcp, 2500, 0), 2500);
	poll(&rig);
	CHECK_EQ(check_in_chunks(&rig), 2500);
	poll_at(&rig, rig.now_us + 10000000);
	CHECK_GT(check_in_chunks(&rig), 2500);
	inject(&rig, rig.irs + 1 + 2500, rig.iss + 1 + 2500, ACK, 0, NULL);
	CHECK_EQ(tow_stats(rig.stack)->ledger.passed_bytes, 2500);
	check_ledger(&rig, 0, 0);
	give_back(&rig.device);
	poll(&rig);
	rig_close(&rig);
}
