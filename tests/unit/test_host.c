/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host and its wait, with a stack that speaks to the kernel over a tap in
 * a network namespace of the test's own:
 *
 *	tow_host --- stack 192.0.2.2, 2001:db8::2
 *	               |
 *	              tap
 *	               |
 *	kernel -------tow0 192.0.2.1, 2001:db8::1 --- sockets of the test
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <tow/error.h>
#include <tow/host.h>
#include <tow/tcp.h>
#include "test.h"

#define PORT 7

static struct tow_host *host;
static struct tow_event events[16];
static int tap_link;

static void check_ok(int result)
{
	if (result < 0)
		printf("# %s\n", tow_host_error(host));
	CHECK_GE(result, 0);
}

static void open_host(const char *spec)
{
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		SKIP("no permission for a network namespace");
	if (access("/dev/net/tun", R_OK | W_OK))
		SKIP("/dev/net/tun cannot be opened");
	CHECK_EQ(tow_host_open(&host, NULL), 0);
	tap_link = tow_host_attach(host, spec);
	check_ok(tap_link);
	check_ok(tow_host_addr(host, tap_link, "192.0.2.2/24"));
	check_ok(tow_host_addr(host, tap_link, "2001:db8::2/64"));
	check_ok(tow_host_peer(host, tap_link, "192.0.2.1/24"));
	check_ok(tow_host_peer(host, tap_link, "2001:db8::1/64"));
}

static uint64_t cpu_us(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

/* Runs the stack until its first chatter is over. */
static void settle(void)
{
	uint64_t until_us = tow_host_clock_us() + 100000;

	while (tow_host_clock_us() < until_us)
		tow_host_wait(host, events, 16, 10000);
}

TEST(a_host_without_devices_waits_and_comes_back)
{
	uint64_t start_us;

	CHECK_EQ(tow_host_open(&host, NULL), 0);
	start_us = tow_host_clock_us();
	CHECK_EQ(tow_host_wait(host, events, 16, 20000), 0);
	CHECK_GE(tow_host_clock_us() - start_us, 20000);
	CHECK_LT(tow_host_clock_us() - start_us, 2000000);
	tow_host_close(host);
}

TEST(an_invalid_configuration_is_refused)
{
	struct tow_config cfg;

	tow_config_default(&cfg);
	cfg.chunk_bytes = 3000;
	CHECK_EQ(tow_host_open(&host, &cfg), TOW_EINVAL);
	CHECK(host == NULL);
}

TEST(mistakes_are_explained)
{
	CHECK_EQ(tow_host_open(&host, NULL), 0);
	CHECK_EQ(tow_host_attach(host, "tpa"), TOW_EINVAL);
	CHECK(strstr(tow_host_error(host), "tap") != NULL);
	CHECK_EQ(tow_host_addr(host, 0, "192.0.2.300/24"), TOW_EINVAL);
	CHECK(strstr(tow_host_error(host), "192.0.2.300/24") != NULL);
	CHECK_EQ(tow_host_peer(host, 0, "192.0.2.1/24"), TOW_ENODEV);
	CHECK(strstr(tow_host_error(host), "no kernel's end") != NULL);
	CHECK_EQ(tow_host_catch(host, SIGKILL), TOW_EINVAL);
	tow_host_close(host);
}

TEST(an_idle_host_sleeps)
{
	uint64_t before_us;

	open_host("tap");
	settle();
	before_us = cpu_us();
	for (int i = 0; i < 10; i++)
		tow_host_wait(host, events, 16, 30000);
	CHECK_LT(cpu_us() - before_us, 30000);
	tow_host_close(host);
}

TEST(a_watched_descriptor_ends_the_wait)
{
	uint64_t one = 1;
	int fd = eventfd(0, 0);

	open_host("tap");
	settle();
	CHECK_EQ(tow_host_watch(host, fd, POLLIN), 0);
	CHECK_EQ(tow_host_wait(host, events, 16, 1000), 0);
	CHECK_EQ(tow_host_ready(host, fd), 0);
	CHECK_EQ(write(fd, &one, sizeof(one)), (ssize_t)sizeof(one));
	CHECK_EQ(tow_host_wait(host, events, 16, -1), 0);
	CHECK_EQ(tow_host_ready(host, fd), POLLIN);
	CHECK_EQ(tow_host_watch(host, fd, 0), 0);
	CHECK_EQ(tow_host_wait(host, events, 16, 1000), 0);
	CHECK_EQ(tow_host_ready(host, fd), 0);
	close(fd);
	tow_host_close(host);
}

TEST(many_descriptors_can_be_watched_and_let_go)
{
	int fds[100];
	uint64_t one = 1;

	CHECK_EQ(tow_host_open(&host, NULL), 0);
	for (int i = 0; i < 100; i++) {
		fds[i] = eventfd(0, 0);
		CHECK_EQ(tow_host_watch(host, fds[i], POLLIN), 0);
	}
	for (int i = 0; i < 100; i += 2)
		CHECK_EQ(tow_host_watch(host, fds[i], 0), 0);
	CHECK_EQ(write(fds[51], &one, sizeof(one)), (ssize_t)sizeof(one));
	CHECK_EQ(write(fds[50], &one, sizeof(one)), (ssize_t)sizeof(one));
	CHECK_EQ(tow_host_wait(host, events, 16, -1), 0);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(tow_host_ready(host, fds[i]), i == 51 ? POLLIN : 0);
	tow_host_close(host);
}

TEST(a_caught_signal_ends_the_wait_and_is_told_once)
{
	CHECK_EQ(tow_host_open(&host, NULL), 0);
	CHECK_EQ(tow_host_catch(host, SIGTERM), 0);
	CHECK_EQ(tow_host_catch(host, SIGUSR1), 0);
	CHECK_EQ(tow_host_signal(host), 0);
	CHECK_EQ(kill(getpid(), SIGTERM), 0);
	CHECK_EQ(kill(getpid(), SIGUSR1), 0);
	CHECK_EQ(tow_host_wait(host, events, 16, -1), 0);
	CHECK_EQ(tow_host_signal(host) + tow_host_signal(host),
		 SIGTERM + SIGUSR1);
	CHECK_EQ(tow_host_signal(host), 0);
	tow_host_close(host);
}

static void on_alarm(int number)
{
	(void)number;
}

TEST(a_signal_handler_of_the_program_ends_the_wait)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerspec soon = { .it_value = { 0, 20000000 } };
	struct sigevent tell = { .sigev_notify = SIGEV_SIGNAL,
				 .sigev_signo = SIGALRM };
	timer_t timer;

	CHECK_EQ(tow_host_open(&host, NULL), 0);
	CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &tell, &timer), 0);
	CHECK_EQ(timer_settime(timer, 0, &soon, NULL), 0);
	CHECK_EQ(tow_host_wait(host, events, 16, -1), 0);
	tow_host_close(host);
}

TEST(a_deleted_interface_is_an_event_and_the_host_sleeps_on)
{
	uint64_t before_us;
	int n;

	open_host("tap");
	settle();
	if (system("ip link del tow0"))
		SKIP("no ip command");
	n = tow_host_wait(host, events, 16, 1000000);
	CHECK_EQ(n, 1);
	CHECK_EQ(events[0].type, TOW_EVENT_DEVICE);
	CHECK_EQ(events[0].status, TOW_ENETDOWN);
	CHECK_EQ(events[0].token, (uint64_t)tap_link);
	before_us = cpu_us();
	CHECK_EQ(tow_host_wait(host, events, 16, 200000), 0);
	CHECK_LT(cpu_us() - before_us, 50000);
	tow_host_close(host);
}

/* Runs the stack while a command runs; returns what it exited with. */
static int run_beside(const char *command)
{
	FILE *pipe = popen(command, "r");
	char line[256];
	int fd;

	CHECK(pipe != NULL);
	fd = fileno(pipe);
	CHECK_EQ(tow_host_watch(host, fd, POLLIN), 0);
	for (;;) {
		tow_host_wait(host, events, 16, 100000);
		if (!tow_host_ready(host, fd))
			continue;
		if (!fgets(line, sizeof(line), pipe))
			break;
	}
	CHECK_EQ(tow_host_watch(host, fd, 0), 0);
	return pclose(pipe);
}

static void check_pings(const char *spec, const char *bytes)
{
	char command[200];

	if (system("command -v ping >/dev/null"))
		SKIP("ping is not installed");
	open_host(spec);
	snprintf(command, sizeof(command),
		 "ping -n -c 5 -i 0.01 -W 2 -s %s 192.0.2.2", bytes);
	CHECK_EQ(run_beside(command), 0);
	snprintf(command, sizeof(command),
		 "ping -n -6 -c 5 -i 0.01 -W 2 -s %s 2001:db8::2", bytes);
	CHECK_EQ(run_beside(command), 0);
	tow_host_close(host);
}

TEST(the_kernel_can_ping_the_stack)
{
	check_pings("tap", "56");
}

TEST(pings_fill_a_frame_of_1500)
{
	check_pings("tap:mtu=1500", "1452");
}

TEST(pings_fill_a_frame_of_9000)
{
	check_pings("tap:mtu=9000", "8952");
}

TEST(pings_work_without_offloads)
{
	check_pings("tap:offloads=off,mtu=9000", "8952");
}

TEST(pings_work_through_wrappers)
{
	check_pings("fault:delay=2ms,jitter=1ms,dup=20%,reorder=20%:"
		    "pcap:file=/dev/null:tap",
		    "1000");
}

/* The kernel connects to the stack, which echoes; returns bytes echoed. */
static size_t echo(int family, size_t bytes)
{
	struct sockaddr_storage to = { .ss_family = (sa_family_t)family };
	struct tow_endpoint local = { .port = PORT };
	struct tow_listener *listener;
	struct tow_tcp *tcp = NULL;
	static uint8_t out[65536], in[65536];
	size_t sent = 0, got = 0;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0), n;

	if (family == AF_INET) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&to;

		v4->sin_port = htons(PORT);
		CHECK_EQ(inet_pton(family, "192.0.2.2", &v4->sin_addr), 1);
	} else {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&to;

		v6->sin6_port = htons(PORT);
		CHECK_EQ(inet_pton(family, "2001:db8::2", &v6->sin6_addr), 1);
	}
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 31 + i / 251);
	CHECK_EQ(tow_tcp_listen(tow_host_stack(host), &local, 8, &listener), 0);
	CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) &&
	      errno == EINPROGRESS);
	CHECK_EQ(tow_host_watch(host, fd, POLLIN | POLLOUT), 0);
	while (got < bytes) {
		uint8_t data[16384];
		int64_t r;

		n = tow_host_wait(host, events, 16, 2000000);
		CHECK(n > 0 || tow_host_ready(host, fd));
		if (!tcp && !tow_tcp_accept(listener, &tcp))
			CHECK(tcp != NULL);
		while (tcp && tow_tcp_send_room(tcp) >= sizeof(data) &&
		       (r = tow_tcp_recv(tcp, data, sizeof(data))) > 0)
			CHECK_EQ(tow_tcp_send(tcp, data, (size_t)r, 0), r);
		if (sent < bytes) {
			size_t at = sent % sizeof(out);
			size_t left = sizeof(out) - at;
			ssize_t put =
				send(fd, out + at,
				     left < bytes - sent ? left : bytes - sent,
				     MSG_NOSIGNAL);

			CHECK(put > 0 || errno == EAGAIN);
			sent += put > 0 ? (size_t)put : 0;
			if (sent == bytes)
				CHECK_EQ(tow_host_watch(host, fd, POLLIN), 0);
		}
		for (;;) {
			size_t at = got % sizeof(out);
			ssize_t take = recv(fd, in, sizeof(out) - at, 0);

			if (take <= 0)
				break;
			CHECK_MEM(in, out + at, (size_t)take);
			got += (size_t)take;
		}
	}
	CHECK_EQ(tow_host_watch(host, fd, 0), 0);
	tow_tcp_abort(tcp);
	tow_listener_close(listener);
	close(fd);
	return got;
}

static void check_echo(const char *spec, size_t bytes)
{
	open_host(spec);
	CHECK_EQ(echo(AF_INET, bytes), bytes);
	CHECK_EQ(echo(AF_INET6, bytes), bytes);
	tow_host_close(host);
}

TEST(bytes_go_there_and_back_over_a_tap)
{
	check_echo("tap", 4 << 20);
}

TEST(bytes_go_there_and_back_without_offloads)
{
	check_echo("tap:offloads=off,mtu=9000", 1 << 20);
}

TEST(bytes_go_there_and_back_over_a_bad_network)
{
	check_echo("fault:loss=1%,reorder=2%,dup=1%,corrupt=1%:tap", 1 << 20);
}
