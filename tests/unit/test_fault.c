/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault wrapper: each fault happens as often and as late as it was told
 * to, the same with the same seed, and never to memory that is lent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tow/error.h>
#include "base/csum.h"
#include "box_dev.h"
#include "test.h"

#define FRAMES	      200
#define PAYLOAD_BYTES 300

static struct box box;
static struct tow_dev *dev;
static char error[512];
static uint8_t frames[FRAMES][400];
static uint32_t frame_bytes;

static void open_fault(const char *options)
{
	char spec[200];

	box_open(&box, 512, 512, 2048);
	snprintf(spec, sizeof(spec), "fault%s%s", *options ? ":" : "", options);
	CHECK_EQ(tow_dev_wrap(&dev, &box.dev, spec, error, sizeof(error)), 0);
	dev->pool = &box_pool;
	dev->now_us = 1000000;
	for (unsigned i = 0; i < FRAMES; i++) {
		frame_bytes = box_make_udp(frames[i], PAYLOAD_BYTES);
		frames[i][42] = (uint8_t)i; /* which one it is */
	}
}

static void close_fault(void)
{
	dev->ops->close(dev);
	CHECK(box.closed);
	box_free(&box);
}

static struct tow_buf *make_frame(unsigned i)
{
	struct tow_buf *buf = box_frame(frames[i], frame_bytes, 42);

	buf->flags = TOW_BUF_CSUM_PARTIAL;
	buf->csum_start = 34;
	buf->csum_offset = 6;
	return buf;
}

/* Lets the clock run, with a call whenever the device asked for one. */
static void run_until(uint64_t us)
{
	while (dev->next_us <= us && dev->next_us != UINT64_MAX) {
		dev->now_us = MAX(dev->now_us, dev->next_us);
		dev->ops->flush(dev);
	}
	if (us != UINT64_MAX)
		dev->now_us = us;
}

/* Sends all frames, one every 100 us, and lets the clock run on. */
static void send_all(void)
{
	for (unsigned i = 0; i < FRAMES; i++) {
		struct tow_buf *buf = make_frame(i);

		CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
		dev->ops->flush(dev);
		run_until(dev->now_us + 100);
	}
	run_until(UINT64_MAX);
	box_check_pool();
}

/* The same the other way; returns how many came up. */
static unsigned receive_all(struct box_frame *out)
{
	struct tow_buf *bufs[8];
	unsigned count = 0;
	int got;

	for (unsigned i = 0; i < FRAMES; i++)
		box_put(&box, frames[i], frame_bytes);
	do {
		got = dev->ops->rx(dev, bufs, 8);
		CHECK_GE(got, 0);
		for (int i = 0; i < got; i++) {
			out[count].bytes = (uint32_t)tow_buf_read(
				bufs[i], 0, out[count].data, BOX_FRAME_BYTES);
			out[count].at_us = dev->now_us;
			count++;
			tow_buf_give(bufs[i]);
		}
		if (!got && dev->next_us != UINT64_MAX)
			dev->now_us = dev->next_us;
	} while (got || dev->next_us != UINT64_MAX);
	return count;
}

TEST(without_faults_everything_passes_in_order_and_unchanged)
{
	open_fault("");
	send_all();
	CHECK_EQ(box.out_count, FRAMES);
	for (unsigned i = 0; i < FRAMES; i++) {
		CHECK_EQ(box.out[i].flags, TOW_BUF_CSUM_PARTIAL);
		CHECK_MEM(box.out[i].data, frames[i], frame_bytes);
		CHECK_EQ(box.out[i].at_us, 1000000 + 100 * i);
	}
	close_fault();
}

TEST(large_segments_are_withdrawn_on_both_sides)
{
	open_fault("loss=1%");
	CHECK_EQ(box.dev.caps, TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM);
	CHECK_EQ(dev->caps, TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM);
	close_fault();
}

TEST(loss_takes_about_as_many_as_it_should_and_counts_them)
{
	open_fault("loss=25%");
	send_all();
	CHECK_GT(box.out_count, FRAMES * 60 / 100);
	CHECK_LT(box.out_count, FRAMES * 90 / 100);
	CHECK_EQ(dev->tx_lost, FRAMES - box.out_count);
	close_fault();

	open_fault("loss=100%");
	send_all();
	CHECK_EQ(box.out_count, 0);
	close_fault();
}

TEST(the_same_seed_does_the_same_and_another_does_not)
{
	uint8_t first[FRAMES];
	unsigned count;

	open_fault("loss=25%,reorder=10%,seed=7");
	send_all();
	count = box.out_count;
	for (unsigned i = 0; i < count; i++)
		first[i] = box.out[i].data[42];
	close_fault();

	open_fault("loss=25%,reorder=10%,seed=7");
	send_all();
	CHECK_EQ(box.out_count, count);
	for (unsigned i = 0; i < count; i++)
		CHECK_EQ(box.out[i].data[42], first[i]);
	close_fault();

	open_fault("loss=25%,reorder=10%,seed=8");
	send_all();
	for (unsigned i = 0; i < count && i < box.out_count; i++)
		if (box.out[i].data[42] != first[i])
			count = 0;
	CHECK_EQ(count, 0);
	close_fault();
}

TEST(delay_is_exact_without_jitter_and_keeps_order)
{
	open_fault("delay=5ms");
	send_all();
	CHECK_EQ(box.out_count, FRAMES);
	for (unsigned i = 0; i < FRAMES; i++) {
		CHECK_EQ(box.out[i].data[42], (uint8_t)i);
		CHECK_EQ(box.out[i].at_us, 1005000 + 100 * i);
	}
	close_fault();
}

TEST(jitter_adds_up_to_its_bound)
{
	uint64_t least = UINT64_MAX, most = 0;

	open_fault("delay=5ms,jitter=1ms");
	send_all();
	for (unsigned i = 0; i < FRAMES; i++) {
		uint64_t sent_us = 1000000 + 100 * box.out[i].data[42];
		uint64_t took_us = box.out[i].at_us - sent_us;

		least = MIN(least, took_us);
		most = MAX(most, took_us);
	}
	CHECK_GE(least, 5000);
	CHECK_LE(most, 6000);
	CHECK_GT(most - least, 500);
	close_fault();
}

TEST(reordered_frames_are_overtaken)
{
	unsigned overtaken = 0;

	open_fault("reorder=10%,gap=1ms");
	send_all();
	CHECK_EQ(box.out_count, FRAMES);
	for (unsigned i = 1; i < FRAMES; i++)
		overtaken += box.out[i].data[42] < box.out[i - 1].data[42];
	CHECK_GT(overtaken, 5);
	close_fault();
}

TEST(duplicates_are_whole_frames_with_finished_checksums)
{
	unsigned finished = 0;

	open_fault("dup=100%");
	send_all();
	CHECK_EQ(box.out_count, 2 * FRAMES);
	close_fault();

	open_fault("dup=20%");
	send_all();
	CHECK_GT(box.out_count, FRAMES + FRAMES / 10);
	CHECK_LT(box.out_count, FRAMES + FRAMES * 4 / 10);
	for (unsigned i = 0; i < box.out_count; i++) {
		if (box.out[i].flags & TOW_BUF_CSUM_PARTIAL)
			continue;
		CHECK(box_udp_is_right(box.out[i].data, box.out[i].bytes));
		finished++;
	}
	CHECK_EQ(finished, box.out_count - FRAMES);
	close_fault();
}

static unsigned count_flipped_bits(const struct box_frame *frame)
{
	uint8_t right[400];
	unsigned flipped = 0;

	memcpy(right, frames[frame->data[42]], frame_bytes);
	for (uint32_t i = 0; i < frame_bytes; i++)
		if (i != 40 && i != 41) /* finished in the damaged frame */
			flipped += (unsigned)__builtin_popcount(right[i] ^
								frame->data[i]);
	return flipped;
}

TEST(corruption_is_one_bit_that_the_checksum_finds)
{
	unsigned wrong = 0;

	open_fault("corrupt=100%");
	send_all();
	CHECK_EQ(box.out_count, FRAMES);
	for (unsigned i = 0; i < FRAMES; i++) {
		if (box.out[i].data[42] != i) /* it hit our own mark */
			continue;
		CHECK_EQ(box.out[i].flags, 0);
		CHECK_LE(count_flipped_bits(&box.out[i]), 1);
		wrong += !box_udp_is_right(box.out[i].data, frame_bytes);
		CHECK_MEM(box.out[i].data, frames[i], 14);
	}
	CHECK_GT(wrong, FRAMES * 9 / 10);
	close_fault();
}

TEST(lent_memory_is_never_written)
{
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	open_fault("corrupt=100%,dup=100%");
	CHECK(page != MAP_FAILED);
	memcpy(page, frames[0], frame_bytes);
	CHECK_EQ(mprotect(page, 4096, PROT_READ), 0);
	for (int i = 0; i < 100; i++) {
		struct tow_buf *buf = box_frame(page, frame_bytes, 42);

		CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	}
	CHECK_EQ(box.out_count, 200);
	CHECK_MEM(page, frames[0], frame_bytes);
	munmap(page, 4096);
	close_fault();
}

/* RFC 3168 5: ECT becomes CE, and what is not ECN-capable stays as it is */
TEST(marked_packets_say_so_in_their_ip_header_and_are_right_otherwise)
{
	unsigned marked = 0;

	open_fault("mark=25%");
	for (unsigned i = 0; i < FRAMES; i += 2) {
		uint16_t sum = 0;

		frames[i][15] = 2; /* ECT(0) */
		memcpy(frames[i] + 24, &sum, sizeof(sum));
		sum = csum_finish(csum_bytes(0, frames[i] + 14, 20));
		memcpy(frames[i] + 24, &sum, sizeof(sum));
	}
	send_all();
	CHECK_EQ(box.out_count, FRAMES);
	CHECK_EQ(dev->tx_lost, 0);
	for (unsigned i = 0; i < FRAMES; i++) {
		const uint8_t *frame = box.out[i].data;

		CHECK_EQ(csum_finish(csum_bytes(0, frame + 14, 20)), 0);
		CHECK_MEM(frame + 26, frames[i] + 26, frame_bytes - 26);
		CHECK_EQ(frame[15] == 3, frame[15] != frames[i][15]);
		marked += frame[15] == 3;
	}
	CHECK_GT(marked, FRAMES / 2 * 10 / 100);
	CHECK_LT(marked, FRAMES / 2 * 40 / 100);
	close_fault();
}

/* RFC 8200 7: in IPv6 the field lies across two bytes */
TEST(marked_packets_may_be_of_ipv6_but_of_nothing_else)
{
	open_fault("mark=100%");
	for (unsigned i = 0; i < FRAMES; i++) {
		frames[i][12] = 0x86;
		frames[i][13] = i % 2 ? 0xde : 0xdd; /* or of no known type */
		frames[i][14] = 0x60;
		frames[i][15] = i % 4 ? 0x25 : 0x05; /* ECT(0), or none */
	}
	send_all();
	CHECK_EQ(box.out_count, FRAMES);
	for (unsigned i = 0; i < FRAMES; i++) {
		frames[i][15] = i % 4 == 2 ? 0x35 : frames[i][15];
		CHECK_MEM(box.out[i].data, frames[i], frame_bytes);
	}
	close_fault();
}

TEST(faults_happen_to_received_frames_too)
{
	struct box_frame *out = calloc(2 * FRAMES, sizeof(*out));
	unsigned count;

	open_fault("loss=25%,delay=3ms");
	count = receive_all(out);
	CHECK_GT(count, FRAMES * 60 / 100);
	CHECK_LT(count, FRAMES * 90 / 100);
	CHECK_EQ(dev->rx_lost, FRAMES - count);
	for (unsigned i = 0; i < count; i++)
		CHECK_EQ(out[i].at_us, 1003000);
	free(out);
	close_fault();
}

TEST(dir_spares_the_other_direction)
{
	struct box_frame *out = calloc(2 * FRAMES, sizeof(*out));

	open_fault("loss=100%,dir=tx");
	send_all();
	CHECK_EQ(box.out_count, 0);
	CHECK_EQ(receive_all(out), FRAMES);
	close_fault();

	open_fault("loss=100%,dir=rx");
	send_all();
	CHECK_EQ(box.out_count, FRAMES);
	CHECK_EQ(receive_all(out), 0);
	free(out);
	close_fault();
}

TEST(a_full_queue_pushes_back_and_goes_on_later)
{
	struct tow_buf *bufs[10];

	open_fault("delay=1ms,limit=4");
	for (unsigned i = 0; i < 10; i++)
		bufs[i] = make_frame(i);
	CHECK_EQ(dev->ops->tx(dev, bufs, 10), 4);
	CHECK_EQ(dev->next_us, 1001000);
	dev->now_us += 1000;
	CHECK_EQ(dev->ops->tx(dev, bufs + 4, 6), 0);
	CHECK_EQ(box.out_count, 4);
	CHECK_EQ(dev->ops->tx(dev, bufs + 4, 6), 4);
	dev->ops->close(dev); /* with frames on the way */
	tow_buf_give(bufs[8]);
	tow_buf_give(bufs[9]);
	box_free(&box);
}

TEST(a_full_device_inside_gets_the_rest_later_in_order)
{
	open_fault("");
	box.takes_max = 3;
	for (unsigned i = 0; i < 10; i++) {
		struct tow_buf *buf = make_frame(i);

		box.takes_max = i == 4 ? 0 : 3;
		CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	}
	run_until(UINT64_MAX);
	CHECK_EQ(box.out_count, 10);
	for (unsigned i = 0; i < 10; i++)
		CHECK_EQ(box.out[i].data[42], i);
	close_fault();
}

TEST(a_device_that_is_gone_gives_everything_back)
{
	struct tow_buf *buf;

	open_fault("delay=1ms");
	for (unsigned i = 0; i < 5; i++) {
		buf = make_frame(i);
		CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	}
	box.gone = true;
	CHECK_EQ(dev->ops->rx(dev, &buf, 1), TOW_ENETDOWN);
	dev->now_us += 1000;
	dev->ops->flush(dev);
	box_check_pool();
	CHECK_EQ(dev->tx_lost, 5);
	close_fault();
}

/* tow/dev.h: it may not be called again, and loans wait for their buffers */
TEST(what_is_late_comes_back_when_the_device_says_that_it_is_gone)
{
	struct tow_buf *bufs[8];

	open_fault("delay=50ms");
	for (unsigned i = 0; i < 4; i++)
		bufs[i] = make_frame(i);
	CHECK_EQ(dev->ops->tx(dev, bufs, 4), 4);
	box.gone = true;
	CHECK_EQ(dev->ops->rx(dev, bufs, 8), TOW_ENETDOWN);
	box_check_pool();
	CHECK_EQ(dev->tx_lost, 4);
	close_fault();
}

TEST(wrappers_work_around_wrappers)
{
	box_open(&box, 512, 512, 2048);
	CHECK_EQ(tow_dev_wrap(&dev, &box.dev,
			      "fault:delay=1ms:fault:loss=50%:fault:delay=2ms",
			      error, sizeof(error)),
		 0);
	dev->pool = &box_pool;
	dev->now_us = 1000000;
	for (unsigned i = 0; i < FRAMES; i++)
		frame_bytes = box_make_udp(frames[i], PAYLOAD_BYTES);
	send_all();
	CHECK_GT(box.out_count, 0);
	CHECK_EQ(dev->tx_lost, FRAMES - box.out_count);
	CHECK_GE(box.out[0].at_us, 1003000);
	close_fault();
}
