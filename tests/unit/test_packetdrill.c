/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shared object for packetdrill, driven as packetdrill does, without it:
 * its table of functions, one connection, the clock, a call that blocks.
 */
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "conformance/pd_abi.h"
#include "plain.h"
#include "test.h"

#define HERE	  "\300\250\0\1" /* 192.168.0.1, as without a script */
#define THERE	  "\300\0\2\1"	 /* 192.0.2.1 */
#define PORT_HERE 8080
#define PORT	  40000
#define SYN	  0x02
#define PSH	  0x08
#define ACK	  0x10

static struct packetdrill_interface pd;

static void load(void)
{
	void (*init)(const char *, struct packetdrill_interface *);
	char path[4096];
	void *so;

	/* Not by the name of another program that is to be started again. */
	setenv("TOW_PACKETDRILL", "test", 1);
	snprintf(path, sizeof(path), "%s/tow-packetdrill.so",
		 getenv("BUILD") ? getenv("BUILD") : "build/release");
	so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so)
		printf("%s\n", dlerror());
	CHECK(so != NULL);
	*(void **)&init = dlsym(so, "packetdrill_interface_init");
	CHECK(init != NULL);
	init(NULL, &pd);
	for (size_t i = 1; i < sizeof(pd) / sizeof(void *); i++)
		CHECK(((void **)&pd)[i] != NULL);
}

static uint32_t add(uint32_t sum, const uint8_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static void put_sum(uint8_t *at, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	at[0] = (uint8_t)(~sum >> 8);
	at[1] = (uint8_t)~sum;
}

/* A segment from the peer, of 20 bytes of header and some payload. */
static void inject(uint8_t flags, uint32_t seq, uint32_t ack, const char *data)
{
	uint8_t p[256] = { 0x45 };
	size_t bytes = 40 + strlen(data);

	p[3] = (uint8_t)bytes;
	p[8] = 64;
	p[9] = 6;
	memcpy(p + 12, THERE, 4);
	memcpy(p + 16, HERE, 4);
	put_sum(p + 10, add(0, p, 20));
	put32(p + 20, (uint32_t)PORT << 16 | PORT_HERE);
	put32(p + 24, seq);
	put32(p + 28, ack);
	p[32] = 0x50;
	p[33] = flags;
	p[34] = p[35] = 0xff;
	memcpy(p + 40, data, strlen(data));
	put_sum(p + 36, add(add((uint32_t)(6 + bytes - 20), p + 12, 8), p + 20,
			    bytes - 20));
	CHECK_EQ(pd.netdev_send(pd.userdata, p, bytes), 0);
}

/* The next segment of the stack, behind its IP header. */
static const uint8_t *receive(long long *at_us)
{
	static uint8_t p[2048];
	size_t bytes = sizeof(p);

	CHECK_EQ(pd.netdev_receive(pd.userdata, p, &bytes, at_us), 0);
	CHECK_GE(bytes, 40u);
	return p + 20;
}

static long long now_us(void)
{
	struct timeval tv;

	CHECK_EQ(pd.gettimeofday(pd.userdata, &tv, NULL), 0);
	return tv.tv_sec * 1000000ll + tv.tv_usec;
}

static int connection(uint32_t *iss)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_port = htons(PORT_HERE) };
	struct sockaddr_in peer = { 0 };
	socklen_t bytes = sizeof(peer);
	int listener = pd.socket(pd.userdata, AF_INET, SOCK_STREAM, 0), fd;
	const uint8_t *tcp;
	long long at_us;

	CHECK_GE(listener, 0);
	CHECK_EQ(pd.bind(pd.userdata, listener, (void *)&name, sizeof(name)),
		 0);
	CHECK_EQ(pd.listen(pd.userdata, listener, 1), 0);
	inject(SYN, 999, 0, "");
	tcp = receive(&at_us);
	CHECK_EQ(tcp[13], SYN | ACK);
	*iss = get32(tcp + 4);
	inject(ACK, 1000, *iss + 1, "");
	fd = pd.accept(pd.userdata, listener, (void *)&peer, &bytes);
	CHECK_GE(fd, 0);
	CHECK_EQ(ntohs(peer.sin_port), PORT);
	return fd;
}

TEST(connection_is_made_and_bytes_go_both_ways_in_virtual_time)
{
	long long at_us, start_us;
	const uint8_t *tcp;
	char text[16];
	uint32_t iss;
	int fd;

	load();
	fd = connection(&iss);
	start_us = now_us();
	CHECK_EQ(pd.usleep(pd.userdata, 5000000), 0);
	CHECK_GE(now_us(), start_us + 5000000);
	inject(ACK, 1000, iss + 1, "hello");
	tcp = receive(&at_us);
	CHECK_EQ(get32(tcp + 8), 1005u);
	CHECK_EQ(pd.read(pd.userdata, fd, text, sizeof(text)), 5);
	CHECK(!memcmp(text, "hello", 5));
	CHECK_EQ(pd.write(pd.userdata, fd, "world", 5), 5);
	tcp = receive(&at_us);
	CHECK_EQ(tcp[13], ACK | PSH);
	CHECK(!memcmp(tcp + (tcp[12] >> 4) * 4, "world", 5));
	/* Nobody acknowledges it: the clock jumps to the retransmission. */
	start_us = at_us;
	tcp = receive(&at_us);
	CHECK_EQ(get32(tcp + 4), iss + 1);
	CHECK_GE(at_us, start_us + 1000);
	inject(ACK, 1005, iss + 6, "");
	CHECK_EQ(pd.close(pd.userdata, fd), 0);
	pd.free(pd.userdata);
}

static void *read_five(void *fd)
{
	char text[16];

	CHECK_EQ(pd.read(pd.userdata, *(int *)fd, text, sizeof(text)), 5);
	return (void *)(intptr_t)now_us();
}

/* The time that a call which was woken sees is the time of what woke it. */
TEST(call_that_blocks_returns_when_the_clock_shows_what_woke_it)
{
	long long injected_us;
	pthread_t thread;
	void *returned;
	uint32_t iss;
	int fd;

	load();
	fd = connection(&iss);
	CHECK_EQ(pthread_create(&thread, NULL, read_five, &fd), 0);
	usleep(100000); /* long enough to block */
	CHECK_EQ(pd.usleep(pd.userdata, 1000000), 0);
	injected_us = now_us();
	inject(ACK, 1000, iss + 1, "hello");
	CHECK_EQ(pd.usleep(pd.userdata, 1000000), 0);
	CHECK_EQ(pthread_join(thread, &returned), 0);
	CHECK_LE((long long)(intptr_t)returned, injected_us + 10);
	CHECK_GE((long long)(intptr_t)returned, injected_us);
	pd.free(pd.userdata);
}
