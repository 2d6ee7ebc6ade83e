/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capture wrapper: what is in the file, read back block by block
 * (draft-ietf-opsawg-pcapng), and that traffic does not notice.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <tow/error.h>
#include "box_dev.h"
#include "test.h"

#define FILE_BYTES_MAX (1 << 20)

struct packet {
	uint64_t us;
	uint32_t captured, bytes, flags;
	const uint8_t *data;
};

static struct box box;
static struct tow_dev *dev;
static char path[64], error[512];
static uint8_t *file;
static size_t file_bytes;

static void open_capture(const char *options)
{
	char spec[160];
	int fd;

	strcpy(path, "/tmp/tow-test-pcap-XXXXXX");
	fd = mkstemp(path);
	CHECK(fd >= 0);
	close(fd);
	box_open(&box, 16, 16, 2048);
	snprintf(spec, sizeof(spec), "pcap:file=%s%s", path, options);
	CHECK_EQ(tow_dev_wrap(&dev, &box.dev, spec, error, sizeof(error)), 0);
	dev->pool = &box_pool;
	dev->now_us = 1000;
}

static void read_file(void)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	free(file);
	file = malloc(FILE_BYTES_MAX);
	CHECK(fd >= 0 && file);
	n = read(fd, file, FILE_BYTES_MAX);
	CHECK(n >= 0);
	file_bytes = (size_t)n;
	close(fd);
}

static void close_capture(void)
{
	dev->ops->close(dev);
	CHECK(box.closed);
	unlink(path);
	free(file);
	file = NULL;
	box_free(&box);
}

static uint32_t word(size_t at)
{
	uint32_t value;

	CHECK(at + 4 <= file_bytes);
	memcpy(&value, file + at, sizeof(value));
	return value;
}

/* Walks the blocks; returns how many packets there are. */
static unsigned read_packets(struct packet *out, unsigned max)
{
	unsigned count = 0, blocks = 0;
	size_t at = 0;

	read_file();
	while (at < file_bytes) {
		uint32_t bytes = word(at + 4);

		CHECK(bytes >= 12 && bytes % 4 == 0);
		CHECK_EQ(word(at + bytes - 4), bytes);
		if (blocks == 0) {
			CHECK_EQ(word(at), 0x0a0d0d0a);
			CHECK_EQ(word(at + 8), 0x1a2b3c4d);
		} else if (blocks == 1) {
			CHECK_EQ(word(at), 1);
			CHECK_EQ(word(at + 8), 1); /* Ethernet */
		} else {
			uint32_t captured = word(at + 20);
			size_t options = at + 28 + (captured + 3) / 4 * 4;

			CHECK_EQ(word(at), 6);
			CHECK(count < max);
			out[count++] = (struct packet){
				(uint64_t)word(at + 12) << 32 | word(at + 16),
				captured, word(at + 24), word(options + 4),
				file + at + 28
			};
			CHECK_EQ(word(options), 2 | 4 << 16);
		}
		at += bytes;
		blocks++;
	}
	CHECK_EQ(at, file_bytes);
	CHECK_GE(blocks, 2);
	return count;
}

TEST(both_directions_are_written_with_time_and_direction)
{
	struct packet packets[4];
	uint8_t frame[300];
	uint32_t bytes = box_make_udp(frame, 101);
	struct tow_buf *buf;
	uint64_t now_us;
	struct timespec now;

	open_capture("");
	box_put(&box, frame, bytes);
	CHECK_EQ(dev->ops->rx(dev, &buf, 1), 1);
	dev->now_us += 250;
	CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	dev->ops->flush(dev); /* this poll had work */
	dev->ops->flush(dev); /* this one had none */
	CHECK_EQ(read_packets(packets, 4), 2);
	CHECK_EQ(packets[0].flags, 1);
	CHECK_EQ(packets[1].flags, 2);
	CHECK_EQ(packets[0].bytes, bytes);
	CHECK_EQ(packets[0].captured, bytes);
	CHECK_MEM(packets[0].data, frame, bytes);
	CHECK_MEM(packets[1].data, frame, bytes);
	CHECK_EQ(packets[1].us - packets[0].us, 250);
	clock_gettime(CLOCK_REALTIME, &now);
	now_us = (uint64_t)now.tv_sec * 1000000;
	CHECK(packets[0].us <= now_us + 1000000 &&
	      packets[0].us + 10000000 > now_us);
	CHECK_EQ(box.out_count, 1);
	close_capture();
}

TEST(a_partial_checksum_is_finished_in_the_file_only)
{
	struct packet packets[2];
	uint8_t frame[300];
	uint32_t bytes = box_make_udp(frame, 77);
	struct tow_buf *buf;

	open_capture("");
	buf = box_frame(frame, bytes, 42);
	buf->flags = TOW_BUF_CSUM_PARTIAL;
	buf->csum_start = 34;
	buf->csum_offset = 6;
	CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	CHECK_EQ(box.out[0].flags, TOW_BUF_CSUM_PARTIAL);
	CHECK_MEM(box.out[0].data, frame, bytes);
	dev->ops->flush(dev);
	dev->ops->flush(dev);
	CHECK_EQ(read_packets(packets, 2), 1);
	CHECK(box_udp_is_right(packets[0].data, bytes));
	close_capture();
}

TEST(only_what_the_device_took_is_in_the_file)
{
	struct packet packets[4];
	uint8_t frame[300];
	uint32_t bytes = box_make_udp(frame, 77);
	struct tow_buf *bufs[3];

	open_capture("");
	for (int i = 0; i < 3; i++)
		bufs[i] = box_frame(frame, bytes, 42);
	box.takes_max = 1;
	CHECK_EQ(dev->ops->tx(dev, bufs, 3), 1);
	CHECK_EQ(bufs[1]->refs, 1);
	box.takes_max = 2;
	CHECK_EQ(dev->ops->tx(dev, bufs + 1, 2), 2);
	box_check_pool();
	dev->ops->flush(dev);
	dev->ops->flush(dev);
	CHECK_EQ(read_packets(packets, 4), 3);
	close_capture();
}

TEST(snap_cuts_what_is_kept_and_says_how_long_it_was)
{
	struct packet packets[2];
	uint8_t frame[1000];
	uint32_t bytes = box_make_udp(frame, 900);
	struct tow_buf *buf;

	open_capture(",snap=101");
	buf = box_frame(frame, bytes, 42);
	CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	dev->ops->flush(dev);
	dev->ops->flush(dev);
	CHECK_EQ(read_packets(packets, 2), 1);
	CHECK_EQ(packets[0].captured, 101);
	CHECK_EQ(packets[0].bytes, bytes);
	CHECK_MEM(packets[0].data, frame, 101);
	close_capture();
}

TEST(more_than_a_buffer_full_is_written_whole)
{
	struct packet *packets = calloc(1200, sizeof(*packets));
	uint8_t frame[1600];
	uint32_t bytes = box_make_udp(frame, 500);
	struct tow_buf *buf;

	open_capture("");
	for (int i = 0; i < 1200; i++) {
		buf = box_frame(frame, bytes, 42);
		box.out_count = 0;
		CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	}
	dev->ops->flush(dev);
	dev->ops->flush(dev);
	CHECK_EQ(read_packets(packets, 1200), 1200);
	free(packets);
	close_capture();
}

TEST(a_full_disk_ends_the_capture_and_not_the_traffic)
{
	uint8_t frame[1600];
	uint32_t bytes = box_make_udp(frame, 500);
	struct tow_buf *buf;
	int stderr_was = dup(2), null = open("/dev/null", O_WRONLY);

	/* the file's head fits, what comes later does not: a closed pipe */
	open_capture("");
	CHECK(dup2(null, 2) == 2);
	for (int fd = 3; fd < 64; fd++) {
		struct stat a, b;

		if (!fstat(fd, &a) && !stat(path, &b) && a.st_ino == b.st_ino) {
			int full = open("/dev/full", O_WRONLY);

			CHECK(full >= 0 && dup2(full, fd) == fd);
		}
	}
	for (int i = 0; i < 1500; i++) {
		buf = box_frame(frame, bytes, 42);
		box.out_count = 0;
		CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
		dev->ops->flush(dev);
		dev->ops->flush(dev);
	}
	box_check_pool();
	dup2(stderr_was, 2);
	close_capture();
}

TEST(a_file_that_cannot_be_made_is_refused_with_its_name)
{
	box_open(&box, 4, 4, 2048);
	CHECK_EQ(tow_dev_wrap(&dev, &box.dev, "pcap:file=/nowhere/x.pcapng",
			      error, sizeof(error)),
		 TOW_ENOENT);
	CHECK(strstr(error, "/nowhere/x.pcapng") != NULL);
	box_free(&box);
}

TEST(a_device_that_is_gone_is_gone_through_the_wrapper)
{
	uint8_t frame[300];
	uint32_t bytes = box_make_udp(frame, 77);
	struct tow_buf *buf, *sent;

	open_capture("");
	sent = box_frame(frame, bytes, 42);
	box.gone = true;
	CHECK_EQ(dev->ops->rx(dev, &buf, 1), TOW_ENETDOWN);
	CHECK_EQ(dev->ops->tx(dev, &sent, 1), TOW_ENETDOWN);
	CHECK_EQ(sent->refs, 1);
	tow_buf_give(sent);
	close_capture();
}

/* Wireshark's reader is the judge of what is well-formed. */
TEST(tshark_opens_the_file_and_finds_nothing_wrong)
{
	uint8_t frame[300];
	uint32_t bytes = box_make_udp(frame, 77);
	struct tow_buf *buf;
	char command[512];

	if (system("command -v tshark >/dev/null"))
		SKIP("tshark is not installed");
	open_capture("");
	for (int i = 0; i < 3; i++) {
		buf = box_frame(frame, bytes, 42);
		buf->flags = TOW_BUF_CSUM_PARTIAL;
		buf->csum_start = 34;
		buf->csum_offset = 6;
		CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	}
	dev->ops->flush(dev);
	dev->ops->flush(dev);
	snprintf(command, sizeof(command),
		 "test 3 = $(tshark -r %s -o udp.check_checksum:TRUE -Y "
		 "'udp.checksum.status==1 && !_ws.malformed && "
		 "frame.packet_flags_direction==2' 2>/dev/null | wc -l)",
		 path);
	CHECK_EQ(system(command), 0);
	close_capture();
}
