/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relay by the kernel's splice(2): sockets, a pipe for each direction, and
 * epoll, edge-triggered. What a program in user space does best without a stack
 * of its own.
 *
 *	splice-relay ADDRESS PORT TARGET PORT
 *
 * Says "ready" when it listens, and runs until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20)

struct pair;

/* One direction: from a socket by a pipe to the other. */
struct way {
	int from, to;
	int pipe[2];
	size_t in_pipe;
	bool eof, shut;
};

struct pair {
	struct way ways[2];
	bool gone;
};

static int poller;
static struct sockaddr_in target;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void pair_end(struct pair *pair)
{
	for (int i = 0; i < 2; i++) {
		close(pair->ways[i].from);
		close(pair->ways[i].pipe[0]);
		close(pair->ways[i].pipe[1]);
	}
	pair->gone = true;
}

/* Returns: false when the pair has to end. */
static bool way_run(struct way *way)
{
	ssize_t n;

	for (;;) {
		if (!way->eof && way->in_pipe < PIPE_BYTES) {
			n = splice(way->from, NULL, way->pipe[1], NULL,
				   PIPE_BYTES - way->in_pipe,
				   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
			if (n > 0)
				way->in_pipe += (size_t)n;
			else if (n == 0)
				way->eof = true;
			else if (errno != EAGAIN && errno != ENOTCONN)
				return false;
		}
		if (way->in_pipe == 0)
			break;
		n = splice(way->pipe[0], NULL, way->to, NULL, way->in_pipe,
			   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		if (n < 0)
			return errno == EAGAIN || errno == ENOTCONN;
		way->in_pipe -= (size_t)n;
	}
	if (way->eof && !way->shut) {
		way->shut = true;
		shutdown(way->to, SHUT_WR);
	}
	return true;
}

static void pair_run(struct pair *pair)
{
	if (pair->gone)
		return;
	if (!way_run(&pair->ways[0]) || !way_run(&pair->ways[1]) ||
	    (pair->ways[0].shut && pair->ways[1].shut))
		pair_end(pair);
}

static void watch(int fd, void *what)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP,
		.data.ptr = what,
	};
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl");
}

static void begin(int near)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	int far = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (!pair || far < 0)
		die("a connection");
	setsockopt(far, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
	if (connect(far, (void *)&target, sizeof(target)) != 0 &&
	    errno != EINPROGRESS)
		die("connect");
	pair->ways[0] = (struct way){ .from = near, .to = far };
	pair->ways[1] = (struct way){ .from = far, .to = near };
	for (int i = 0; i < 2; i++) {
		if (pipe2(pair->ways[i].pipe, O_NONBLOCK) != 0)
			die("pipe2");
		fcntl(pair->ways[i].pipe[0], F_SETPIPE_SZ, PIPE_BYTES);
	}
	watch(near, pair);
	watch(far, pair);
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
	};

	if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
		die(host);
	return in;
}

int main(int argc, char **argv)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), fd, n;
	struct epoll_event events[64], event = { .events = EPOLLIN };
	struct sockaddr_in here;
	int one = 1;

	if (argc != 5) {
		fprintf(stderr, "usage: %s ADDRESS PORT TARGET PORT\n",
			argv[0]);
		return 2;
	}
	here = address(argv[1], argv[2]);
	target = address(argv[3], argv[4]);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
	if (bind(listener, (void *)&here, sizeof(here)) != 0 ||
	    listen(listener, 1024) != 0)
		die("listen");
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (poller < 0 ||
	    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) != 0)
		die("epoll");
	puts("ready");
	fflush(stdout);
	for (;;) {
		n = epoll_wait(poller, events, 64, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr) {
				pair_run(events[i].data.ptr);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL,
					     SOCK_NONBLOCK)) >= 0)
				begin(fd);
		}
	}
}
