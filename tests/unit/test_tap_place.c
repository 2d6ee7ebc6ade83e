/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placement by the tap, against the kernel:
 *
 *	test process                       its namespace's kernel
 *	driver under test === /dev/net/tun === tow0 192.0.2.1/24
 *	packet socket ------------------------- frames as the test writes them
 *
 *	memory  | canary | posted | canary |
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <tow/addr.h>
#include <tow/error.h>
#include "plain.h"
#include "tap_net.h"
#include "test.h"

enum {
	CANARY = 0xc5,
	MARGIN = 4096,
	POSTED = 1 << 17,
	HEADERS = 14 + 20 + 32, /* TCP over IPv4 with timestamps */
	HEADERS6 = 14 + 40 + 32,
	HEADERS_UDP = 14 + 20 + 8,
	LOCAL_PORT = 2000,
	REMOTE_PORT = 3000,
	SEQUENCE = 0xfffffff0, /* it wraps */
	BYTES = 1000,
};

static uint8_t memory[MARGIN + POSTED + MARGIN];
static uint8_t *const posted = memory + MARGIN;
static uint8_t stream[POSTED];
static int packets; /* socket */

static void open_net(const char *spec)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET };

	tap_net_open(spec);
	if (!(dev->caps & TOW_DEV_PLACE))
		SKIP("no right to steer frames: bpf(2) takes root");
	tap_net_pool(128, 128, 4096);
	packets = socket(AF_PACKET, SOCK_RAW, 0);
	CHECK(packets >= 0);
	at.sll_ifindex = (int)if_nametoindex(tow_dev_interface(dev));
	CHECK_EQ(bind(packets, (struct sockaddr *)&at, sizeof(at)), 0);
	memset(memory, CANARY, sizeof(memory));
	for (size_t i = 0; i < sizeof(stream); i++)
		stream[i] = (uint8_t)(i * 7 + (i >> 8) * 3);
}

static void close_net(size_t used)
{
	for (size_t i = 0; i < MARGIN; i++)
		CHECK_EQ(memory[i], CANARY);
	for (size_t i = MARGIN + used; i < sizeof(memory); i++)
		CHECK_EQ(memory[i], CANARY);
	close(packets);
	tap_net_close();
}

/* ---- frames ---- */

/* One frame of the flow from @port: TCP, or UDP without a sequence number. */
struct frame {
	unsigned protocol, port, option_bytes;
	bool v6;
	size_t at; /* in the stream */
	unsigned bytes;
};

static size_t write_ip(uint8_t *f, const struct frame *frame, unsigned bytes)
{
	static const uint8_t base6[8] = { 0x20, 1, 0xd, 0xb8 };

	memcpy(f, dev->mac, 6);
	if (frame->v6) {
		put16(f + 12, 0x86dd);
		f[14] = 0x60;
		put16(f + 18, bytes);
		f[20] = (uint8_t)frame->protocol;
		f[21] = 64;
		memcpy(f + 22, base6, 8);
		f[37] = 1;
		memcpy(f + 38, base6, 8);
		f[53] = 2;
		return 54;
	}
	put16(f + 12, 0x0800);
	f[14] = 0x45;
	put16(f + 16, 20 + bytes);
	f[22] = 64;
	f[23] = (uint8_t)frame->protocol;
	put32(f + 26, 0xc0000201);
	put32(f + 30, 0xc0000202);
	return 34;
}

static void kernel_sends(const struct frame *frame)
{
	static uint8_t f[128 + 65536];
	unsigned header = frame->protocol == 17 ? 8 : 20 + frame->option_bytes;
	size_t at;

	memset(f, 0, 128);
	at = write_ip(f, frame, header + frame->bytes);
	put16(f + at, frame->port);
	put16(f + at + 2, LOCAL_PORT);
	if (frame->protocol == 17) {
		put16(f + at + 4, header + frame->bytes);
	} else {
		put32(f + at + 4, SEQUENCE + (uint32_t)frame->at);
		f[at + 12] = (uint8_t)(header / 4 << 4);
		f[at + 13] = 0x10;
	}
	memcpy(f + at + header, stream + frame->at, frame->bytes);
	at += header + frame->bytes;
	CHECK_EQ(send(packets, f, at, 0), (ssize_t)at);
}

static void kernel_sends_segment(size_t at, unsigned bytes)
{
	struct frame frame = { .protocol = 6,
			       .port = REMOTE_PORT,
			       .option_bytes = 12,
			       .at = at,
			       .bytes = bytes };

	kernel_sends(&frame);
}

/* ---- hints ---- */

static struct tow_place hint_for(const struct tow_span *spans, unsigned count)
{
	struct tow_addr local = tow_addr_v4(192, 0, 2, 2);
	struct tow_addr remote = tow_addr_v4(192, 0, 2, 1);
	struct tow_place place = {
		.token = 5,
		.local_port = LOCAL_PORT,
		.remote_port = REMOTE_PORT,
		.protocol = 6,
		.header_bytes = HEADERS,
		.sequence = SEQUENCE,
		.spans = spans,
		.span_count = count,
	};

	memcpy(place.local, local.b, 16);
	memcpy(place.remote, remote.b, 16);
	for (unsigned i = 0; i < count; i++)
		place.bytes += spans[i].len;
	return place;
}

static void arm_at(size_t at)
{
	struct tow_span span = { posted + at, POSTED - at };
	struct tow_place place = hint_for(&span, 1);

	place.sequence += (uint32_t)at;
	CHECK_EQ(dev->ops->place(dev, &place), 0);
}

/* The kernel's own chatter is neither of our flows nor placed. */
static bool is_ours(const struct tow_buf *buf)
{
	const uint8_t *f = buf->spans[0].ptr;
	size_t at = f[12] == 8 ? 34 : 54;

	return (f[12] == 8 || f[12] == 0x86) && buf->spans[0].len >= at + 4 &&
	       f[at + 2] == LOCAL_PORT >> 8 && f[at + 3] == (LOCAL_PORT & 255);
}

static struct tow_buf *receive(void)
{
	struct tow_buf *buf;

	while (dev->ops->rx(dev, &buf, 1) == 1) {
		if (is_ours(buf))
			return buf;
		CHECK_EQ(buf->place, 0);
		tow_buf_give(buf);
	}
	return NULL;
}

static void check_stream(const struct tow_buf *buf, size_t headers, size_t at,
			 size_t bytes)
{
	static uint8_t got[65536];

	CHECK_EQ(buf->bytes, headers + bytes);
	CHECK_EQ(tow_buf_read(buf, headers, got, sizeof(got)), bytes);
	CHECK_MEM(got, stream + at, bytes);
}

static void expect(size_t at, unsigned bytes, bool in_memory, bool foreseen)
{
	struct tow_buf *buf = receive();

	CHECK(buf);
	check_stream(buf, HEADERS, at, bytes);
	CHECK_EQ(buf->place, in_memory ? 5 : 0);
	CHECK_EQ(!!(buf->flags & TOW_BUF_FORESEEN), foreseen);
	tow_buf_give(buf);
}

/* A hint takes its flow into a queue of its own, empty as it is. */
static void settle(void)
{
	struct tow_buf *buf;

	while ((buf = receive()))
		tow_buf_give(buf);
}

TEST(payload_of_a_flow_lands_in_posted_memory_in_a_row)
{
	struct tow_buf *buf;

	open_net("tap:mtu=65521");
	arm_at(0);
	settle();
	kernel_sends_segment(0, BYTES);
	kernel_sends_segment(BYTES, 60000);
	kernel_sends_segment(BYTES + 60000, 10);
	buf = receive();
	CHECK(buf);
	CHECK_EQ(buf->spans[0].len, HEADERS);
	CHECK_EQ(buf->span_count, 2);
	CHECK(buf->spans[1].ptr == posted);
	CHECK(buf->flags & TOW_BUF_FORESEEN);
	tow_buf_give(buf);
	expect(BYTES, 60000, true, true);
	expect(BYTES + 60000, 10, true, true);
	CHECK_MEM(posted, stream, BYTES + 60010);
	close_net(BYTES + 60010);
}

TEST(ipv6_is_placed_as_well)
{
	struct frame frame = { .protocol = 6,
			       .port = REMOTE_PORT,
			       .option_bytes = 12,
			       .v6 = true,
			       .bytes = BYTES };
	struct tow_span span = { posted, POSTED };
	struct tow_place place = hint_for(&span, 1);
	struct tow_addr addr;
	struct tow_buf *buf;

	open_net("tap");
	CHECK_EQ(tow_addr_parse(&addr, "2001:db8::1"), 0);
	memcpy(place.remote, addr.b, 16);
	CHECK_EQ(tow_addr_parse(&addr, "2001:db8::2"), 0);
	memcpy(place.local, addr.b, 16);
	place.header_bytes = HEADERS6;
	CHECK_EQ(dev->ops->place(dev, &place), 0);
	settle();
	kernel_sends(&frame);
	buf = receive();
	CHECK(buf);
	CHECK(buf->flags & TOW_BUF_FORESEEN);
	CHECK_MEM(posted, stream, BYTES);
	tow_buf_give(buf);
	close_net(BYTES);
}

TEST(the_end_of_a_hint_is_left_to_chunks_and_the_next_hint_goes_on)
{
	struct tow_span spans[3] = { { posted, 1 },
				     { posted + 1, 700 },
				     { posted + 701, 299 + 500 } };
	struct tow_place place = hint_for(spans, 3);
	struct tow_buf *bufs[8], *buf;

	open_net("tap");
	CHECK_EQ(dev->ops->place(dev, &place), 0);
	settle();
	for (size_t i = 0; i < 3; i++)
		kernel_sends_segment(i * BYTES, BYTES);
	/* No room for another: so far. The second runs over the end. */
	CHECK_EQ(dev->ops->rx(dev, bufs, 8), 1);
	CHECK_EQ(dev->ops->rx(dev, bufs + 1, 7), 1);
	CHECK_EQ(bufs[0]->span_count, 4);
	CHECK_EQ(bufs[1]->span_count, 3);
	CHECK_EQ(bufs[1]->spans[1].len, 500);
	CHECK(bufs[1]->flags & TOW_BUF_FORESEEN);
	check_stream(bufs[1], HEADERS, BYTES, BYTES);
	tow_buf_give(bufs[0]);
	tow_buf_give(bufs[1]);
	arm_at(2 * BYTES);
	expect(2 * BYTES, BYTES, true, true);
	buf = receive();
	CHECK(!buf);
	CHECK_MEM(posted, stream, BYTES + 500);
	CHECK_EQ(posted[1500], CANARY);
	CHECK_MEM(posted + 2 * BYTES, stream + 2 * BYTES, BYTES);
	close_net(3 * BYTES);
}

TEST(a_hole_ends_the_read_and_the_hint_rests)
{
	struct tow_buf *bufs[8];

	open_net("tap");
	arm_at(0);
	settle();
	kernel_sends_segment(BYTES, BYTES);
	kernel_sends_segment(0, BYTES);
	kernel_sends_segment(2 * BYTES, BYTES);
	CHECK_EQ(dev->ops->rx(dev, bufs, 8), 1);
	CHECK_EQ(bufs[0]->place, 5);
	CHECK(!(bufs[0]->flags & TOW_BUF_FORESEEN));
	check_stream(bufs[0], HEADERS, BYTES, BYTES);
	tow_buf_give(bufs[0]);
	expect(0, BYTES, false, false); /* not armed again: by chunks */
	arm_at(2 * BYTES);
	expect(2 * BYTES, BYTES, true, true);
	CHECK_MEM(posted, stream + BYTES, BYTES); /* where it does not belong */
	close_net(3 * BYTES);
}

TEST(an_acknowledgement_changes_nothing_and_other_options_are_not_foreseen)
{
	struct frame sack = { .protocol = 6,
			      .port = REMOTE_PORT,
			      .option_bytes = 24,
			      .at = BYTES,
			      .bytes = BYTES };
	struct tow_buf *buf;

	open_net("tap");
	arm_at(0);
	settle();
	kernel_sends_segment(0, 0);
	kernel_sends_segment(0, BYTES);
	kernel_sends(&sack);
	expect(0, 0, false, false);
	expect(0, BYTES, true, true);
	buf = receive();
	CHECK(buf);
	CHECK_EQ(buf->place, 5);
	CHECK(!(buf->flags & TOW_BUF_FORESEEN));
	check_stream(buf, HEADERS + 12, BYTES, BYTES);
	tow_buf_give(buf);
	close_net(2 * BYTES + 12);
}

/* Ethernet pads short frames; padding is no payload. */
TEST(padding_is_not_foreseen)
{
	uint8_t f[HEADERS + 4 + 6] = { 0 };
	struct frame frame = { .protocol = 6 };
	struct tow_buf *buf;

	open_net("tap");
	arm_at(0);
	settle();
	write_ip(f, &frame, 32 + 4);
	put16(f + 34, REMOTE_PORT);
	put16(f + 36, LOCAL_PORT);
	put32(f + 38, SEQUENCE);
	f[46] = 0x80;
	CHECK_EQ(send(packets, f, sizeof(f), 0), (ssize_t)sizeof(f));
	buf = receive();
	CHECK(buf);
	CHECK_EQ(buf->place, 5);
	CHECK(!(buf->flags & TOW_BUF_FORESEEN));
	tow_buf_give(buf);
	close_net(10);
}

TEST(each_flow_has_its_queue_and_others_do_not_get_into_it)
{
	struct frame frame = { .protocol = 6, .option_bytes = 12, .bytes = 99 };
	struct tow_buf *buf;

	open_net("tap:queues=4");
	for (unsigned i = 0; i < 4; i++) {
		struct tow_span span = { posted + i * 99, 99 };
		struct tow_place place = hint_for(&span, 1);

		place.token = i + 1;
		place.remote_port = (uint16_t)(REMOTE_PORT + i);
		CHECK_EQ(dev->ops->place(dev, &place), i < 3 ? 0 : TOW_EBUSY);
	}
	settle();
	for (unsigned i = 0; i < 64; i++) {
		frame.port = REMOTE_PORT + i;
		frame.at = 0;
		kernel_sends(&frame);
	}
	frame.port = REMOTE_PORT; /* same ports, another protocol */
	frame.protocol = 17;
	kernel_sends(&frame);
	for (unsigned i = 0; i < 65; i++) {
		unsigned port;

		buf = receive();
		CHECK(buf);
		port = ((const uint8_t *)buf->spans[0].ptr)[35] +
		       256u * ((const uint8_t *)buf->spans[0].ptr)[34] -
		       REMOTE_PORT;
		if (((const uint8_t *)buf->spans[0].ptr)[23] == 17)
			CHECK_EQ(buf->place, 0);
		else
			CHECK_EQ(buf->place, port < 3 ? port + 1 : 0);
		tow_buf_give(buf);
	}
	for (unsigned i = 0; i < 3; i++)
		CHECK_MEM(posted + i * 99, stream, 99);
	close_net(3 * 99);
}

/* Frames of before the hint are in queue 0, and come first. */
TEST(order_holds_over_arming)
{
	open_net("tap");
	for (size_t i = 0; i < 10; i++)
		kernel_sends_segment(i * BYTES, BYTES);
	arm_at(10 * BYTES);
	for (size_t i = 10; i < 20; i++)
		kernel_sends_segment(i * BYTES, BYTES);
	for (size_t i = 0; i < 10; i++)
		expect(i * BYTES, BYTES, false, false);
	arm_at(10 * BYTES); /* it rests: the stack has to see those first */
	for (size_t i = 10; i < 20; i++)
		expect(i * BYTES, BYTES, true, true);
	close_net(20 * BYTES);
}

static struct tow_place hint_of_port(const struct tow_span *span, unsigned port)
{
	struct tow_place place = hint_for(span, 1);

	place.remote_port = (uint16_t)port;
	return place;
}

/* The least recently used of those without a hint gives its queue away. */
TEST(a_queue_moves_on_to_another_flow_and_order_holds)
{
	struct tow_span span = { posted, BYTES };
	struct tow_place none = hint_for(NULL, 0), place;

	open_net("tap:queues=2");
	arm_at(0);
	settle();
	place = hint_of_port(&span, REMOTE_PORT + 1);
	CHECK_EQ(dev->ops->place(dev, &place), TOW_EBUSY);
	CHECK_EQ(dev->ops->place(dev, &none), 0);
	for (size_t i = 0; i < 10; i++)
		kernel_sends_segment(i * BYTES, BYTES);
	CHECK_EQ(dev->ops->place(dev, &place), 0); /* takes the queue */
	for (size_t i = 10; i < 20; i++)
		kernel_sends_segment(i * BYTES, BYTES);
	for (size_t i = 0; i < 20; i++)
		expect(i * BYTES, BYTES, false, false);
	CHECK(!receive());
	kernel_sends(&(struct frame){ .protocol = 6,
				      .port = REMOTE_PORT + 1,
				      .option_bytes = 12,
				      .bytes = BYTES });
	expect(0, BYTES, true, true);
	close_net(BYTES);
}

/* RFC 1350: four bytes of header before each block, the last one short */
TEST(datagrams_land_in_slots)
{
	struct frame frame = { .protocol = 17, .port = REMOTE_PORT };
	struct tow_span span = { posted, POSTED };
	struct tow_place place = hint_for(&span, 1);
	static const unsigned bytes[] = { 516, 516, 104, 516, 517, 516 };
	struct tow_buf *buf;

	open_net("tap");
	place.protocol = 17;
	place.header_bytes = HEADERS_UDP + 4;
	place.slot_bytes = 512;
	CHECK_EQ(dev->ops->place(dev, &place), 0);
	settle();
	for (size_t i = 0; i < 6; i++) {
		frame.at = i * 600;
		frame.bytes = bytes[i];
		kernel_sends(&frame);
	}
	for (size_t i = 0; i < 6; i++) {
		buf = receive();
		CHECK(buf);
		CHECK_EQ(!!(buf->flags & TOW_BUF_FORESEEN), i < 4);
		CHECK_EQ(buf->place, i < 5 ? 5 : 0);
		check_stream(buf, HEADERS_UDP, i * 600, bytes[i]);
		if (i < 4)
			CHECK_MEM(posted + i * 512, stream + i * 600 + 4,
				  bytes[i] - 4);
		tow_buf_give(buf);
	}
	CHECK_EQ(posted[2 * 512 + 100], CANARY);
	close_net(4 * 512 + 513);
}

/* Posted memory takes the place of chunks. */
TEST(a_dry_pool_still_places)
{
	struct tow_buf *held[128];
	unsigned count = 0;

	open_net("tap");
	arm_at(0);
	settle();
	while ((held[count] = tow_buf_take(&pool)))
		count++;
	for (size_t i = 0; i < 10; i++)
		kernel_sends_segment(i * BYTES, BYTES);
	for (size_t i = 0; i < 10; i++)
		expect(i * BYTES, BYTES, true, true);
	while (count)
		tow_buf_give(held[--count]);
	close_net(10 * BYTES);
}

TEST(one_descriptor_wakes_for_all_queues)
{
	struct pollfd wait = { .events = POLLIN };

	open_net("tap");
	arm_at(0);
	settle();
	wait.fd = dev->ops->wait_fd(dev);
	settle();
	CHECK_EQ(poll(&wait, 1, 0), 0);
	kernel_sends_segment(0, BYTES);
	CHECK_EQ(poll(&wait, 1, 0), 1);
	expect(0, BYTES, true, true);
	CHECK_EQ(poll(&wait, 1, 0), 0);
	close_net(BYTES);
}

TEST(hints_that_a_tap_cannot_follow_are_refused)
{
	struct tow_span span = { posted, BYTES };
	struct tow_place good = hint_for(&span, 1), bad;
	struct tow_addr v6;

	open_net("tap");
	bad = good;
	CHECK_EQ(tow_addr_parse(&v6, "2001:db8::1"), 0);
	memcpy(bad.remote, v6.b, 16);
	CHECK_EQ(dev->ops->place(dev, &bad), TOW_EOPNOTSUPP);
	bad = good;
	bad.header_bytes = 40;
	CHECK_EQ(dev->ops->place(dev, &bad), TOW_EOPNOTSUPP);
	bad = good;
	bad.protocol = 1;
	CHECK_EQ(dev->ops->place(dev, &bad), TOW_EOPNOTSUPP);
	close_net(0);
}

static int open_another_queue(void)
{
	struct ifreq ifr = { 0 };
	int fd = open("/dev/net/tun", O_RDWR);

	strcpy(ifr.ifr_name, tow_dev_interface(dev));
	ifr.ifr_flags =
		(short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
	CHECK_EQ(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

TEST(somebody_else_at_the_interface_ends_placement)
{
	struct tow_span span = { posted, BYTES };
	struct tow_place place = hint_for(&span, 1);
	struct tow_dev *second;
	int fd;

	open_net("tap");
	fd = open_another_queue();
	CHECK_EQ(dev->ops->place(dev, &place), TOW_EEXIST);
	close(fd);
	CHECK_EQ(dev->ops->place(dev, &place), 0);
	CHECK_EQ(tow_dev_open(&second, "tap:name=tow0", error, sizeof(error)),
		 TOW_EBUSY);
	close_net(0);
}

TEST(one_queue_is_a_tap_without_placement)
{
	tap_net_open("tap:queues=1");
	CHECK(!(dev->caps & TOW_DEV_PLACE));
	tap_net_pool(64, 64, 4096);
	tap_net_close();
}

TEST(a_tap_made_by_others_has_the_queues_that_it_was_made_with)
{
	tap_net_enter();
	if (system("ip tuntap add tow5 mode tap vnet_hdr") ||
	    system("ip tuntap add tow6 mode tap multi_queue vnet_hdr"))
		SKIP("no ip command");
	CHECK_EQ(tow_dev_open(&dev, "tap:name=tow5", error, sizeof(error)), 0);
	CHECK(!(dev->caps & TOW_DEV_PLACE));
	dev->ops->close(dev);
	CHECK_EQ(tow_dev_open(&dev, "tap:name=tow5,queues=2", error,
			      sizeof(error)),
		 TOW_EEXIST);
	CHECK(strstr(error, "multi_queue"));
	CHECK_EQ(tow_dev_open(&dev, "tap:name=tow6,queues=1", error,
			      sizeof(error)),
		 0);
	dev->ops->close(dev);
}

/* As the kernel answers root of a namespace of one's own. */
static void forbid_bpf(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, filter };

	CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

TEST(without_the_right_to_steer_there_is_one_queue_and_a_reason)
{
	tap_net_enter();
	forbid_bpf();
	CHECK_EQ(tow_dev_open(&dev, "tap", error, sizeof(error)), 0);
	CHECK(!(dev->caps & TOW_DEV_PLACE));
	dev->ops->close(dev);
	CHECK_EQ(tow_dev_open(&dev, "tap:queues=4", error, sizeof(error)),
		 TOW_EPERM);
	CHECK(strstr(error, "nobody but root"));
}
