/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tap driver against the kernel, in a network namespace that the test
 * makes for itself and that goes away with its process:
 *
 *	test process                       its namespace's kernel
 *	driver under test === /dev/net/tun === tow0 192.0.2.1/24
 *	UDP socket ---------------------------- socket layer
 *
 * The kernel's datagrams go to the broadcast address, so no one has to answer
 * ARP; ours go to the MAC address that the kernel's end has.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <tow/addr.h>
#include <tow/error.h>
#include <tow/host.h>
#include "base/csum.h"
#include "box_dev.h"
#include "tap_net.h"
#include "test.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define PORT	    2000
#define UDP_HEADERS 42
#define LARGE_BYTES 60000

static uint8_t payload[65536];

static void open_tap(const char *spec)
{
	tap_net_open(spec);
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + i / 256);
}

static int open_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
	struct sockaddr_in any = { .sin_family = AF_INET,
				   .sin_port = htons(PORT) };

	CHECK(fd >= 0);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)), 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	return fd;
}

static void kernel_sends(int fd, size_t bytes)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(3000),
				  .sin_addr.s_addr = htonl(0xc00002ff) };

	CHECK_EQ(sendto(fd, payload, bytes, 0, (struct sockaddr *)&to,
			sizeof(to)),
		 (ssize_t)bytes);
}

/* Is it one of the kernel's datagrams, and not its own chatter? */
static bool is_datagram(const struct tow_buf *buf)
{
	const uint8_t *frame = buf->spans[0].ptr;

	return buf->bytes >= UDP_HEADERS && frame[12] == 8 && !frame[13] &&
	       frame[23] == IPPROTO_UDP && frame[36] == 3000 >> 8 &&
	       frame[37] == (3000 & 255);
}

/* The next datagram; all else is given back. NULL when there is none. */
static struct tow_buf *receive_datagram(void)
{
	struct tow_buf *buf;
	int got;

	while ((got = dev->ops->rx(dev, &buf, 1)) == 1) {
		if (is_datagram(buf))
			return buf;
		tow_buf_give(buf);
	}
	CHECK_EQ(got, 0);
	return NULL;
}

static void check_payload(const struct tow_buf *buf, size_t bytes)
{
	static uint8_t got[65536];

	CHECK_EQ(buf->bytes, UDP_HEADERS + bytes);
	CHECK_EQ(tow_buf_read(buf, UDP_HEADERS, got, sizeof(got)), bytes);
	CHECK_MEM(got, payload, bytes);
}

TEST(options_reach_the_interface_and_the_capabilities)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };

	tap_net_enter();
	CHECK_EQ(tow_dev_open(&dev,
			      "tap:name=tapx,mtu=9000,mac=02:00:00:00:00:09",
			      error, sizeof(error)),
		 0);
	CHECK_STR(tow_dev_interface(dev), "tapx");
	CHECK(if_nametoindex("tapx") != 0);
	CHECK_EQ(dev->mtu, 9000);
	CHECK_MEM(dev->mac, mac, 6);
	CHECK(dev->caps & TOW_DEV_TX_CSUM && dev->caps & TOW_DEV_RX_CSUM);
	CHECK(dev->caps & TOW_DEV_TSO4 && dev->caps & TOW_DEV_TSO6);
	CHECK(dev->caps & TOW_DEV_LRO && dev->caps & TOW_DEV_SPLIT);
	CHECK_GE(dev->gso_bytes_max, 65000);
	CHECK(dev->ops->wait_fd(dev) >= 0);
	dev->ops->close(dev);
	CHECK_EQ(if_nametoindex("tapx"), 0);
}

TEST(a_tap_without_offloads_claims_none)
{
	tap_net_enter();
	CHECK_EQ(tow_dev_open(&dev, "tap:offloads=off", error, sizeof(error)),
		 0);
	CHECK_EQ(dev->caps & ~TOW_DEV_PLACE, TOW_DEV_SPLIT);
	CHECK_EQ(dev->gso_bytes_max, 0);
	CHECK_EQ(dev->mtu, 1500);
	CHECK_STR(tow_dev_interface(dev), "tow0");
	dev->ops->close(dev);
}

TEST(a_name_in_use_is_refused_with_the_reason)
{
	struct tow_dev *second;

	tap_net_enter();
	CHECK_EQ(tow_dev_open(&dev, "tap:name=tow7", error, sizeof(error)), 0);
	CHECK_EQ(tow_dev_open(&second, "tap:name=tow7", error, sizeof(error)),
		 TOW_EBUSY);
	CHECK(strstr(error, "tow7 is in use") != NULL);
	CHECK(tow_dev_open(&second, "tap:name=lo", error, sizeof(error)) < 0);
	CHECK(strstr(error, "not a tap") != NULL);
	CHECK_EQ(tow_dev_open(&second, "tap:name=a/b", error, sizeof(error)),
		 TOW_EINVAL);
	CHECK(strstr(error, "cannot be the name") != NULL);
	dev->ops->close(dev);
}

TEST(a_tap_made_by_others_is_attached_to_and_left_there)
{
	tap_net_enter();
	if (system("ip tuntap add tow5 mode tap") ||
	    system("ip link set tow5 mtu 3000"))
		SKIP("no ip command");
	CHECK_EQ(tow_dev_open(&dev, "tap:name=tow5", error, sizeof(error)), 0);
	CHECK_EQ(dev->mtu, 3000);
	dev->ops->close(dev);
	CHECK(if_nametoindex("tow5") != 0);
	CHECK_EQ(tow_dev_open(&dev, "tap:name=tow5,mtu=1400", error,
			      sizeof(error)),
		 0);
	CHECK_EQ(dev->mtu, 1400);
	dev->ops->close(dev);
}

TEST(a_missing_tun_device_says_how_to_get_it)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		SKIP("no permission for a mount namespace");
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/dev/net", "tmpfs", 0, NULL))
		SKIP("no permission to mount");
	CHECK_EQ(tow_dev_open(&dev, "tap", error, sizeof(error)), TOW_ENODEV);
	CHECK(strstr(error, "modprobe tun") && strstr(error, "--device"));
}

TEST(a_user_without_the_right_is_told_what_to_do)
{
	if (geteuid() || setegid(65534) || seteuid(65534))
		SKIP("not root");
	CHECK(tow_dev_open(&dev, "tap", error, sizeof(error)) < 0);
	CHECK(strstr(error, "root") != NULL);
	CHECK(strstr(error, "chmod 0666") || strstr(error, "unshare -Urn"));
	/* for the sanitizer, which looks at its own process at the end */
	CHECK(!seteuid(0) && !prctl(PR_SET_DUMPABLE, 1));
}

TEST(payload_of_a_flow_starts_at_the_start_of_a_chunk)
{
	struct tow_buf *buf;
	int fd;

	open_tap("tap");
	tap_net_pool(64, 64, 4096);
	fd = open_socket();
	CHECK(receive_datagram() == NULL);
	for (int i = 0; i < 3; i++) {
		kernel_sends(fd, 1400);
		buf = receive_datagram();
		CHECK(buf != NULL);
		check_payload(buf, 1400);
		if (i) {
			CHECK_EQ(buf->span_count, 2);
			CHECK_EQ(buf->spans[0].len, UDP_HEADERS);
			CHECK_EQ((uintptr_t)buf->spans[1].ptr % 4096, 0);
		}
		tow_buf_give(buf);
	}
	CHECK(receive_datagram() == NULL);
	tap_net_close();
}

/* virtio 1.2, 5.1.6: NEEDS_CSUM leaves the checksum to the receiver. */
TEST(an_unfinished_checksum_is_passed_on_as_partial)
{
	struct tow_buf *buf;
	int fd;

	open_tap("tap");
	tap_net_pool(64, 64, 4096);
	fd = open_socket();
	kernel_sends(fd, 100);
	buf = receive_datagram();
	CHECK(buf != NULL);
	CHECK(buf->flags & TOW_BUF_CSUM_PARTIAL);
	CHECK_EQ(buf->csum_start, 34);
	CHECK_EQ(buf->csum_offset, 6);
	tow_buf_give(buf);
	tap_net_close();
}

TEST(without_offloads_checksums_are_on_the_wire)
{
	struct tow_addr src = tow_addr_v4(192, 0, 2, 1);
	struct tow_addr dst = tow_addr_v4(192, 0, 2, 255);
	struct tow_buf *buf;
	uint8_t frame[200];
	int fd;

	open_tap("tap:offloads=off");
	tap_net_pool(64, 64, 4096);
	fd = open_socket();
	kernel_sends(fd, 100);
	buf = receive_datagram();
	CHECK(buf != NULL);
	CHECK_EQ(buf->flags, 0);
	CHECK_EQ(tow_buf_read(buf, 0, frame, sizeof(frame)), 142);
	CHECK_EQ(csum_finish(csum_bytes(csum_pseudo(&src, &dst, 17, 108),
					frame + 34, 108)),
		 0);
	tow_buf_give(buf);
	tap_net_close();
}

static void set_segment(int fd, int bytes)
{
	if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof(bytes)))
		SKIP("the kernel has no UDP_SEGMENT");
}

TEST(a_large_frame_fills_chunks_and_says_how_it_is_cut)
{
	struct tow_buf *buf;
	int fd;

	open_tap("tap");
	if (!(dev->caps & TOW_DEV_USO))
		SKIP("the kernel's tap has no USO");
	tap_net_pool(64, 64, 4096);
	fd = open_socket();
	set_segment(fd, 1000);
	for (int i = 0; i < 3; i++) {
		kernel_sends(fd, LARGE_BYTES);
		buf = receive_datagram();
		CHECK(buf != NULL);
		CHECK_EQ(buf->gso, TOW_GSO_UDP);
		CHECK_EQ(buf->gso_bytes, 1000);
		check_payload(buf, LARGE_BYTES);
		tow_buf_give(buf);
	}
	tap_net_close();
}

TEST(small_chunks_make_the_kernel_cut_large_segments)
{
	struct tow_buf *buf;
	int fd, count = 0;

	open_tap("tap");
	tap_net_pool(256, 256, 2048);
	fd = open_socket();
	CHECK(receive_datagram() == NULL);
	set_segment(fd, 1000);
	kernel_sends(fd, LARGE_BYTES);
	while ((buf = receive_datagram()) != NULL) {
		CHECK_EQ(buf->gso, TOW_GSO_NONE);
		CHECK_EQ(buf->bytes, UDP_HEADERS + 1000);
		CHECK(!(buf->flags & TOW_BUF_TRUNCATED));
		tow_buf_give(buf);
		count++;
	}
	CHECK_EQ(count, LARGE_BYTES / 1000);
	tap_net_close();
}

TEST(withdrawn_large_segments_are_cut_by_the_kernel)
{
	struct tow_buf *buf;
	int fd, count = 0;

	open_tap("tap");
	CHECK_EQ(dev->ops->withdraw(dev, TOW_DEV_LRO), 0);
	CHECK(!(dev->caps & (TOW_DEV_TSO4 | TOW_DEV_USO | TOW_DEV_LRO)));
	CHECK(dev->caps & TOW_DEV_TX_CSUM);
	tap_net_pool(256, 256, 4096);
	fd = open_socket();
	set_segment(fd, 1000);
	kernel_sends(fd, LARGE_BYTES);
	while ((buf = receive_datagram()) != NULL) {
		CHECK_EQ(buf->bytes, UDP_HEADERS + 1000);
		tow_buf_give(buf);
		count++;
	}
	CHECK_EQ(count, LARGE_BYTES / 1000);
	tap_net_close();
}

TEST(frames_that_fit_into_the_room_cost_no_chunk)
{
	struct tow_buf *buf;
	int got, frames = 0;

	/* the kernel's own chatter: multicast reports and solicitations */
	open_tap("tap");
	tap_net_pool(64, 64, 4096);
	usleep(20000);
	while ((got = dev->ops->rx(dev, &buf, 1)) == 1) {
		if (buf->bytes <= 200)
			CHECK_EQ(buf->span_count, 1);
		tow_buf_give(buf);
		frames++;
	}
	CHECK_GT(frames, 0);
	tap_net_close();
}

TEST(a_pool_without_chunks_still_receives_headers)
{
	struct tow_buf *buf;
	uint8_t *taken[64];
	unsigned count = 0;
	int fd;

	open_tap("tap");
	tap_net_pool(64, 4, 4096);
	fd = open_socket();
	while ((taken[count] = tow_chunk_take(&pool)) != NULL)
		count++;
	kernel_sends(fd, 1400);
	buf = receive_datagram();
	CHECK(buf != NULL);
	CHECK(buf->flags & TOW_BUF_TRUNCATED);
	CHECK_GE(buf->bytes, UDP_HEADERS);
	CHECK_EQ(buf->span_count, 1);
	tow_buf_give(buf);

	kernel_sends(fd, 20);
	buf = receive_datagram();
	CHECK(buf != NULL);
	CHECK(!(buf->flags & TOW_BUF_TRUNCATED));
	check_payload(buf, 20);
	tow_buf_give(buf);

	while (count)
		tow_chunk_give(&pool, taken[--count]);
	kernel_sends(fd, 1400);
	buf = receive_datagram();
	CHECK(buf != NULL);
	check_payload(buf, 1400);
	tow_buf_give(buf);
	tap_net_close();
}

TEST(a_pool_without_buffers_still_receives_headers)
{
	struct tow_buf *held[64], *buf;
	unsigned count = 0;
	int fd;

	open_tap("tap");
	tap_net_pool(32, 64, 4096);
	fd = open_socket();
	CHECK(receive_datagram() == NULL);
	while ((held[count] = tow_buf_take(&pool)) != NULL)
		count++;
	/* The last one with a chunk, then by the driver's own buffers. */
	for (int i = 0; i < 10; i++) {
		kernel_sends(fd, 1400);
		buf = receive_datagram();
		CHECK(buf != NULL);
		CHECK_EQ(!(buf->flags & TOW_BUF_TRUNCATED), i == 0);
		held[count++] = buf;
	}
	while (count)
		tow_buf_give(held[--count]);
	tap_net_close();
}

/* A frame to the kernel's end, with @payload lent. */
static struct tow_buf *make_datagram(uint32_t bytes)
{
	struct tow_buf *buf = tow_buf_take(&pool);
	uint8_t frame[UDP_HEADERS + 1];
	struct ifreq ifr = { 0 };
	struct tow_addr src = tow_addr_v4(192, 0, 2, 2);
	struct tow_addr dst = tow_addr_v4(192, 0, 2, 1);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint16_t sum;

	strcpy(ifr.ifr_name, tow_dev_interface(dev));
	CHECK_EQ(ioctl(fd, SIOCGIFHWADDR, &ifr), 0);
	close(fd);
	(void)box_make_udp(frame, 0);
	memcpy(frame, ifr.ifr_hwaddr.sa_data, 6);
	frame[29] = 2;
	frame[33] = 1;
	frame[16] = (uint8_t)((bytes + 28) >> 8);
	frame[17] = (uint8_t)(bytes + 28);
	frame[38] = (uint8_t)((bytes + 8) >> 8);
	frame[39] = (uint8_t)(bytes + 8);
	memset(frame + 24, 0, 2);
	sum = csum_finish(csum_bytes(0, frame + 14, 20));
	memcpy(frame + 24, &sum, 2);
	sum = (uint16_t)csum_fold(csum_pseudo(&src, &dst, 17, bytes + 8));
	memcpy(frame + 40, &sum, 2);

	memcpy(buf->room + TOW_BUF_HEADERS, frame, UDP_HEADERS);
	tow_buf_set_head(buf, TOW_BUF_HEADERS, UDP_HEADERS);
	buf->spans[1].ptr = payload;
	buf->spans[1].len = bytes;
	buf->span_count = 2;
	buf->bytes = UDP_HEADERS + bytes;
	buf->flags = TOW_BUF_CSUM_PARTIAL;
	buf->csum_start = 34;
	buf->csum_offset = 6;
	buf->header_bytes = UDP_HEADERS;
	return buf;
}

static void kernel_receives(int fd, size_t bytes, size_t offset)
{
	static uint8_t got[65536];

	CHECK_EQ(recv(fd, got, sizeof(got), MSG_DONTWAIT), (ssize_t)bytes);
	CHECK_MEM(got, payload + offset, bytes);
}

TEST(lent_payload_arrives_and_the_buffer_comes_back_at_once)
{
	struct tow_buf *buf;
	int fd;

	open_tap("tap");
	tap_net_pool(64, 64, 4096);
	fd = open_socket();
	buf = make_datagram(1400);
	CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	CHECK_EQ(pool.bufs_left, pool.bufs_total);
	kernel_receives(fd, 1400, 0);
	tap_net_close();
}

TEST(a_train_of_datagrams_is_cut_by_the_kernel)
{
	struct tow_buf *buf;
	int fd;

	open_tap("tap");
	if (!(dev->caps & TOW_DEV_USO))
		SKIP("the kernel's tap has no USO");
	tap_net_pool(64, 64, 4096);
	fd = open_socket();
	buf = make_datagram(2500);
	buf->gso = TOW_GSO_UDP;
	buf->gso_bytes = 1000;
	CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	kernel_receives(fd, 1000, 0);
	kernel_receives(fd, 1000, 1000);
	kernel_receives(fd, 500, 2000);
	tap_net_close();
}

/* A mapped file that was truncated while it was lent. */
TEST(payload_that_cannot_be_read_loses_the_frame_only)
{
	struct tow_buf *bufs[2];
	int fd;

	open_tap("tap");
	tap_net_pool(64, 64, 4096);
	fd = open_socket();
	bufs[0] = make_datagram(1400);
	bufs[0]->spans[1].ptr = (const void *)(uintptr_t)4096;
	bufs[1] = make_datagram(600);
	CHECK_EQ(dev->ops->tx(dev, bufs, 2), 2);
	CHECK_EQ(dev->tx_lost, 1);
	kernel_receives(fd, 600, 0);
	tap_net_close();
}

static void ip_link(const char *words)
{
	char command[128];

	snprintf(command, sizeof(command), "ip link %s %s 2>/dev/null", words,
		 tow_dev_interface(dev));
	if (system(command))
		SKIP("no ip command");
}

TEST(a_link_that_is_down_loses_frames_and_comes_back)
{
	struct tow_buf *buf;
	int fd;

	open_tap("tap");
	tap_net_pool(64, 64, 4096);
	fd = open_socket();
	ip_link("set down dev");
	buf = make_datagram(1400);
	CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	CHECK_EQ(dev->tx_lost, 1);
	CHECK(receive_datagram() == NULL);
	ip_link("set up dev");
	buf = make_datagram(1400);
	CHECK_EQ(dev->ops->tx(dev, &buf, 1), 1);
	kernel_receives(fd, 1400, 0);
	tap_net_close();
}

TEST(an_interface_that_was_deleted_is_gone_for_good)
{
	struct tow_buf *buf, *sent;
	struct pollfd waiting;

	open_tap("tap");
	tap_net_pool(64, 64, 4096);
	CHECK(receive_datagram() == NULL);
	sent = make_datagram(1400);
	waiting.fd = dev->ops->wait_fd(dev);
	waiting.events = POLLIN;
	ip_link("del");
	CHECK_EQ(poll(&waiting, 1, 0), 1);
	CHECK_EQ(dev->ops->rx(dev, &buf, 1), TOW_ENETDOWN);
	CHECK_EQ(dev->ops->tx(dev, &sent, 1), TOW_ENETDOWN);
	CHECK_EQ(dev->ops->rx(dev, &buf, 1), TOW_ENETDOWN);
	tow_buf_give(sent);
	tap_net_close();
}

TEST(the_kernels_end_gets_mtu_queue_and_routes)
{
	struct tow_addr v4 = tow_addr_v4(198, 51, 100, 0), v6, via;
	const char *name;

	open_tap("tap");
	name = tow_dev_interface(dev);
	CHECK_EQ(tow_netif_set_mtu(name, 4000, error, sizeof(error)), 0);
	CHECK_EQ(tow_netif_set_queue(name, 777, error, sizeof(error)), 0);
	via = tow_addr_v4(192, 0, 2, 2);
	CHECK_EQ(tow_netif_add_route(name, &v4, 24, &via, error, sizeof(error)),
		 0);
	CHECK_EQ(tow_netif_add_route(name, &v4, 24, &via, error, sizeof(error)),
		 0);
	CHECK_EQ(tow_addr_parse(&v6, "2001:db8::1"), 0);
	CHECK_EQ(tow_netif_add_addr(name, &v6, 64, error, sizeof(error)), 0);
	CHECK_EQ(tow_netif_add_addr(name, &v6, 64, error, sizeof(error)), 0);
	CHECK_EQ(system("ip link show dev tow0 | grep -q 'mtu 4000.*qlen 777'"),
		 0);
	CHECK_EQ(system("ip route | grep -q '198.51.100.0/24 via 192.0.2.2'"),
		 0);
	CHECK_EQ(system("ip -6 addr show dev tow0 | grep -q '2001:db8::1/64'"),
		 0);
	CHECK(system("ip -6 addr show dev tow0 | grep -q tentative") != 0);
	dev->ops->close(dev);
}

TEST(what_the_kernel_refuses_is_said_in_a_sentence)
{
	struct tow_addr v4 = tow_addr_v4(198, 51, 100, 0);
	struct tow_addr via = tow_addr_v4(10, 9, 8, 7);

	open_tap("tap");
	CHECK_EQ(tow_netif_up("nosuch0", error, sizeof(error)), TOW_ENODEV);
	CHECK(strstr(error, "no interface nosuch0") != NULL);
	CHECK(tow_netif_add_route("tow0", &v4, 24, &via, error, sizeof(error)) <
	      0);
	CHECK(strstr(error, "198.51.100.0/24 on tow0") != NULL);
	CHECK(tow_netif_set_mtu("tow0", 1, error, sizeof(error)) < 0);
	CHECK(strstr(error, "MTU of 1 on tow0") != NULL);
	dev->ops->close(dev);
}
