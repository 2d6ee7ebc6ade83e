/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VLAN wrapper: tags go on and come off, and the others' frames stay out.
 */
#include <string.h>
#include <tow/error.h>
#include "box_dev.h"
#include "test.h"

static struct box box;
static struct tow_dev *dev;
static char error[512];
static uint8_t plain[2000], tagged[2000];
static uint32_t bytes; /* of plain */

static void open_vlan(uint32_t caps)
{
	box_open(&box, 16, 16, 2048);
	box.dev.caps = caps;
	CHECK_EQ(
		tow_dev_wrap(&dev, &box.dev, "vlan:id=5", error, sizeof(error)),
		0);
	dev->pool = &box_pool;
	bytes = box_make_udp(plain, 500);
	memcpy(tagged, plain, 12);
	memcpy(tagged + 12, "\x81\x00\x00\x05", 4);
	memcpy(tagged + 16, plain + 12, bytes - 12);
}

static void close_vlan(void)
{
	dev->ops->close(dev);
	box_check_pool();
	box_free(&box);
}

static unsigned receive(uint8_t *out)
{
	struct tow_buf *buf;

	if (dev->ops->rx(dev, &buf, 1) == 0)
		return 0;
	CHECK_EQ(tow_buf_read(buf, 0, out, 2000), buf->bytes);
	bytes = buf->bytes;
	tow_buf_give(buf);
	return bytes;
}

/* IEEE 802.1Q: what is sent is tagged, behind the addresses */
TEST(frames_are_tagged_when_sent)
{
	struct tow_buf *buf;

	open_vlan(TOW_DEV_TX_CSUM);
	buf = box_frame(plain, bytes, 42);
	buf->flags = TOW_BUF_CSUM_PARTIAL;
	buf->csum_start = 34;
	buf->csum_offset = 6;
	buf->header_bytes = 42;
	CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	CHECK_EQ(box.out_count, 1);
	CHECK_EQ(box.out[0].bytes, bytes + 4);
	CHECK_MEM(box.out[0].data, tagged, bytes + 4);
	CHECK_EQ(box.out[0].csum_start, 38);
	close_vlan();
}

/* The stack gets back what it gave, to send it again */
TEST(frame_that_was_not_taken_has_no_tag)
{
	static uint8_t again[2000];
	struct tow_buf *buf;

	open_vlan(0);
	box.takes_max = 0;
	buf = box_frame(plain, bytes, 42);
	buf->csum_start = 34;
	buf->header_bytes = 42;
	CHECK_EQ(dev->ops->tx(dev, &buf, 1), 0);
	CHECK_EQ(buf->bytes, bytes);
	CHECK_EQ(buf->csum_start, 34);
	CHECK_EQ(buf->header_bytes, 42);
	tow_buf_read(buf, 0, again, bytes);
	CHECK_MEM(again, plain, bytes);
	tow_buf_give(buf);
	close_vlan();
}

TEST(frames_of_the_vlan_lose_their_tag_and_others_stay_out)
{
	static uint8_t got[2000];
	uint32_t whole;

	open_vlan(0);
	whole = bytes;
	box_put(&box, plain, whole); /* no tag */
	tagged[15] = 6;
	box_put(&box, tagged, whole + 4); /* another VLAN */
	tagged[15] = 5;
	box_put(&box, tagged, 17); /* too short */
	tagged[14] = 0xe0;
	box_put(&box, tagged, whole + 4); /* ours, with a priority */
	CHECK_EQ(receive(got), whole);
	CHECK_MEM(got, plain, whole);
	CHECK_EQ(receive(got), 0);
	close_vlan();
}

TEST(what_counts_on_headers_without_a_tag_is_hidden)
{
	open_vlan(TOW_DEV_TX_CSUM | TOW_DEV_TSO4 | TOW_DEV_USO | TOW_DEV_PLACE);
	CHECK_EQ(dev->caps, TOW_DEV_TX_CSUM);
	close_vlan();
}

static void refused(const char *spec, uint32_t caps, const char *says)
{
	box_open(&box, 4, 4, 2048);
	box.dev.caps = caps;
	CHECK_LT(tow_dev_wrap(&dev, &box.dev, spec, error, sizeof(error)), 0);
	CHECK(strstr(error, says) != NULL);
	box_free(&box);
}

TEST(vlan_needs_a_number_and_a_device_with_ethernet)
{
	refused("vlan", 0, "vlan needs its number");
	refused("vlan:id=0", 0, "id");
	refused("vlan:id=4095", 0, "id");
	refused("vlan:id=5", TOW_DEV_NO_LINK, "Ethernet");
}
