/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Linux kernel's UDP as a peer.
 *
 *	sink      receive; with --gro trains arrive in one piece (UDP_GRO)
 *	send      sendmmsg() of --batch datagrams
 *	segment   sendmsg() of a train of --batch datagrams (UDP_SEGMENT)
 *
 * --block is the payload of a datagram. UDP has no flow control: a sender goes
 * as fast as it can, and what counts is what arrives.
 */
#include "bench.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define BATCH_MAX    64
#define TRAIN_BYTES  65507u
#define BUFFER_BYTES 65536
#define ASKED_BYTES  (4 << 20) /* of the receive buffer */

static struct sockaddr_in endpoint(const struct bench_args *args)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(args->port),
		.sin_addr = args->addr,
	};
}

static int open_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int bytes = ASKED_BYTES;

	if (fd < 0)
		bench_fail("socket: %m");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return fd;
}

/* --- The sink ------------------------------------------------------------ */

static void set_patience(int fd, time_t s, suseconds_t us)
{
	struct timeval patience = { .tv_sec = s, .tv_usec = us };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* Returns: false when nothing comes any more. */
static bool take_datagrams(int fd, const struct bench_args *args,
			   struct meter *meter)
{
	static uint8_t buffers[BATCH_MAX][BUFFER_BYTES];
	static struct mmsghdr messages[BATCH_MAX];
	static struct iovec iov[BATCH_MAX];
	uint64_t bytes = 0, units = 0;
	int i, got;

	for (i = 0; i < BATCH_MAX; i++) {
		iov[i].iov_base = buffers[i];
		iov[i].iov_len = BUFFER_BYTES;
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	got = recvmmsg(fd, messages, BATCH_MAX, MSG_WAITFORONE, NULL);
	if (got < 0 && errno == EAGAIN)
		return false;
	if (got < 0)
		bench_fail("recvmmsg: %m");
	for (i = 0; i < got; i++) {
		bytes += messages[i].msg_len;
		units += (messages[i].msg_len + args->block_bytes - 1) /
			 args->block_bytes;
	}
	meter_add(meter, bytes, units);
	return true;
}

static void sink(const struct bench_args *args, struct meter *meter)
{
	struct sockaddr_in local = endpoint(args);
	int fd = open_socket();
	int one = 1;

	if (bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0)
		bench_fail("bind: %m");
	if (args->gro &&
	    setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof(one)) < 0)
		bench_fail("UDP_GRO: %m");
	set_patience(fd, 10, 0);
	bench_ready();
	if (take_datagrams(fd, args, meter))
		set_patience(fd, 0, 200000);
	while (!meter_done(meter) && take_datagrams(fd, args, meter))
		;
	meter_stop(meter);
	close(fd);
}

/* --- Senders ------------------------------------------------------------- */

static int connect_socket(const struct bench_args *args)
{
	struct sockaddr_in remote = endpoint(args);
	int fd = open_socket();

	if (connect(fd, (struct sockaddr *)&remote, sizeof(remote)) < 0)
		bench_fail("connect: %m");
	return fd;
}

/* The sink may be done before we are; a full queue is no error either. */
static bool failed(ssize_t result)
{
	if (result >= 0)
		return false;
	if (errno != ECONNREFUSED && errno != ENOBUFS && errno != EAGAIN)
		bench_fail("send: %m");
	return true;
}

static void send_single(int fd, const struct bench_args *args,
			struct source *source, struct meter *meter)
{
	struct mmsghdr messages[BATCH_MAX];
	struct iovec iov[BATCH_MAX];
	unsigned i;
	int sent;

	memset(messages, 0, sizeof(messages));
	for (i = 0; i < args->batch; i++) {
		const uint8_t *block = source_next(source, args->block_bytes);

		iov[i].iov_base = (void *)(uintptr_t)block;
		iov[i].iov_len = args->block_bytes;
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	sent = sendmmsg(fd, messages, args->batch, 0);
	if (failed(sent))
		sent = 0;
	meter_add(meter, (uint64_t)sent * args->block_bytes, (uint64_t)sent);
}

static void send_train(int fd, const struct bench_args *args,
		       struct source *source, struct meter *meter)
{
	size_t count = args->batch;
	const uint8_t *train;
	ssize_t sent;

	if (count * args->block_bytes > TRAIN_BYTES)
		count = TRAIN_BYTES / args->block_bytes;
	train = source_next(source, count * args->block_bytes);
	sent = send(fd, train, count * args->block_bytes, 0);
	if (failed(sent))
		sent = 0;
	meter_add(meter, (uint64_t)sent, (uint64_t)sent / args->block_bytes);
}

static void send_all(const struct bench_args *args, struct meter *meter)
{
	bool train = strcmp(args->mode, "segment") == 0;
	int fd = connect_socket(args);
	int segment_bytes = (int)args->block_bytes;
	struct source source;

	source_open(&source, args);
	if (train && setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment_bytes,
				sizeof(segment_bytes)) < 0)
		bench_fail("UDP_SEGMENT: %m");
	while (!meter_done(meter)) {
		if (train)
			send_train(fd, args, &source, meter);
		else
			send_single(fd, args, &source, meter);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	struct bench_args args;
	struct meter meter;

	bench_args_parse(&args, argc, argv, "sink|send|segment");
	if (args.batch == 0)
		bench_fail("--batch 0: nothing to send");
	meter_init(&meter, &args);
	if (strcmp(args.mode, "sink") == 0)
		sink(&args, &meter);
	else
		send_all(&args, &meter);
	meter_print(&meter, "");
	return 0;
}
