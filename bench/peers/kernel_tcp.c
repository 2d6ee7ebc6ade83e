/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Linux kernel's TCP as a peer.
 *
 *	sink       listen, take one connection, read() it to its end; with
 *	           --pause it is a slow reader
 *	write      connect, write() out of the mapped source
 *	sendfile   connect, sendfile() out of the source's page cache
 *	zerocopy   connect, send(MSG_ZEROCOPY) out of the mapped source
 *
 * `sink` is the receiver of every sender in `tx`, and the row kernel-read in
 * `rx`; `sendfile`, the cheapest sender there is, feeds every receiver in `rx`.
 */
#include "bench.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

/* How many sends may wait for their completion; the kernel limits it too. */
#define ZEROCOPY_PENDING_MAX 64

struct zerocopy {
	uint32_t sent;
	uint32_t completed;
	uint64_t copied; /* completions that say "copied after all" */
};

static struct sockaddr_in endpoint(const struct bench_args *args)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(args->port),
		.sin_addr = args->addr,
	};
}

static int accept_one(const struct bench_args *args)
{
	struct sockaddr_in local = endpoint(args);
	int listener = bench_tcp_socket();
	int fd;

	if (bind(listener, (struct sockaddr *)&local, sizeof(local)) < 0 ||
	    listen(listener, 1) < 0)
		bench_fail("listen: %m");
	bench_ready();
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		bench_fail("accept: %m");
	close(listener);
	return fd;
}

static int connect_one(const struct bench_args *args)
{
	struct sockaddr_in remote = endpoint(args);
	int fd = bench_tcp_socket();

	if (args->congestion &&
	    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, args->congestion,
		       (socklen_t)strlen(args->congestion)) < 0)
		bench_fail("%s: %m", args->congestion);
	if (connect(fd, (struct sockaddr *)&remote, sizeof(remote)) < 0)
		bench_fail("connect: %m");
	return fd;
}

static void sink(const struct bench_args *args, struct meter *meter)
{
	int fd = accept_one(args);
	char *buffer = malloc(args->block_bytes);
	ssize_t got;

	if (!buffer)
		bench_fail("out of memory");
	while ((got = read(fd, buffer, args->block_bytes)) > 0) {
		meter_add(meter, (uint64_t)got, 1);
		if (args->pause_us)
			usleep(args->pause_us);
	}
	/* A sender that just stops may reset: the bytes until then count. */
	if (got < 0 && errno != ECONNRESET)
		bench_fail("read: %m");
	meter_stop(meter);
	free(buffer);
	close(fd);
}

static void send_by_write(int fd, struct source *source, struct meter *meter,
			  size_t block_bytes)
{
	while (!meter_done(meter)) {
		const uint8_t *block = source_next(source, block_bytes);
		ssize_t sent = write(fd, block, block_bytes);

		if (sent < 0)
			bench_fail("write: %m");
		meter_add(meter, (uint64_t)sent, 1);
	}
}

static void send_by_sendfile(int fd, struct source *source, struct meter *meter,
			     size_t block_bytes)
{
	while (!meter_done(meter)) {
		off_t at = source_next(source, block_bytes) - source->base;
		ssize_t sent = sendfile(fd, source->fd, &at, block_bytes);

		if (sent < 0)
			bench_fail("sendfile: %m");
		meter_add(meter, (uint64_t)sent, 1);
	}
}

/* Take one completion message off the error queue. Returns false if none. */
static bool take_completion(int fd, struct zerocopy *state)
{
	char control[128];
	struct msghdr message = {
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	struct sock_extended_err error;

	if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return false;
	header = CMSG_FIRSTHDR(&message);
	if (!header)
		return false;
	memcpy(&error, CMSG_DATA(header), sizeof(error));
	if (error.ee_origin != SO_EE_ORIGIN_ZEROCOPY)
		return false;
	state->completed += error.ee_data - error.ee_info + 1;
	if (error.ee_code & SO_EE_CODE_ZEROCOPY_COPIED)
		state->copied += error.ee_data - error.ee_info + 1;
	return true;
}

static void wait_completion(int fd, struct zerocopy *state)
{
	struct pollfd wait = { .fd = fd };

	if (!take_completion(fd, state))
		poll(&wait, 1, 1000);
}

static void send_by_zerocopy(int fd, struct source *source, struct meter *meter,
			     size_t block_bytes, struct zerocopy *state)
{
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) < 0)
		bench_fail("SO_ZEROCOPY: %m");
	while (!meter_done(meter)) {
		const uint8_t *block = source_next(source, block_bytes);
		ssize_t sent = send(fd, block, block_bytes, MSG_ZEROCOPY);

		if (sent >= 0) {
			state->sent++;
			meter_add(meter, (uint64_t)sent, 1);
		} else if (errno != ENOBUFS) {
			bench_fail("send: %m");
		}
		while (take_completion(fd, state))
			;
		while (state->sent - state->completed > ZEROCOPY_PENDING_MAX)
			wait_completion(fd, state);
	}
}

static void print_sender(int fd, const struct meter *meter,
			 const struct zerocopy *state)
{
	struct tcp_info info = { 0 };
	socklen_t bytes = sizeof(info);
	char more[160];

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes);
	snprintf(more, sizeof(more),
		 "\"congestion\":\"%s\",\"retransmits\":%u,"
		 "\"zerocopy_copied\":%.2f,",
		 bench_tcp_congestion(fd), info.tcpi_total_retrans,
		 state->completed ? (double)state->copied / state->completed
				  : 0.0);
	meter_print(meter, more);
}

static void send_all(const struct bench_args *args, struct meter *meter)
{
	struct zerocopy state = { 0 };
	struct source source;
	int fd;

	source_open(&source, args);
	fd = connect_one(args);
	if (strcmp(args->mode, "write") == 0)
		send_by_write(fd, &source, meter, args->block_bytes);
	else if (strcmp(args->mode, "sendfile") == 0)
		send_by_sendfile(fd, &source, meter, args->block_bytes);
	else if (strcmp(args->mode, "zerocopy") == 0)
		send_by_zerocopy(fd, &source, meter, args->block_bytes, &state);
	else
		bench_fail("%s: no such mode", args->mode);
	print_sender(fd, meter, &state);
	close(fd);
}

int main(int argc, char **argv)
{
	struct bench_args args;
	struct meter meter;

	bench_args_parse(&args, argc, argv, "sink|write|sendfile|zerocopy");
	meter_init(&meter, &args);
	if (strcmp(args.mode, "sink") == 0) {
		sink(&args, &meter);
		meter_print(&meter, "");
	} else {
		send_all(&args, &meter);
	}
	return 0;
}
