/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One byte there and back through the kernel, both ends spinning.
 *
 *	unix-pong, unix-ping   a stream socket of AF_UNIX, at --dev PATH
 *	tcp-pong, tcp-ping     TCP at --addr, --port, without Nagle's algorithm
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "trips.h"

struct name {
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_in in;
	} addr;
	socklen_t bytes;
};

static struct name name_of(const struct bench_args *args)
{
	struct name name = { 0 };

	if (strncmp(args->mode, "unix", 4) == 0) {
		if (!args->dev ||
		    strlen(args->dev) >= sizeof(name.addr.un.sun_path))
			bench_fail("--dev PATH is needed, a short one");
		name.addr.un.sun_family = AF_UNIX;
		strcpy(name.addr.un.sun_path, args->dev);
		name.bytes = sizeof(name.addr.un);
		return name;
	}
	name.addr.in.sin_family = AF_INET;
	name.addr.in.sin_port = htons(args->port);
	name.addr.in.sin_addr = args->addr;
	name.bytes = sizeof(name.addr.in);
	return name;
}

static int new_socket(const struct name *name)
{
	int fd;

	if (name->addr.any.sa_family == AF_INET)
		return bench_tcp_socket();
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		bench_fail("socket: %m");
	return fd;
}

static void no_delay(int fd, const struct name *name)
{
	int one = 1;

	if (name->addr.any.sa_family == AF_INET &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		bench_fail("TCP_NODELAY: %m");
}

static int accept_one(const struct name *name)
{
	int listener = new_socket(name), fd;

	if (name->addr.any.sa_family == AF_UNIX)
		unlink(name->addr.un.sun_path);
	if (bind(listener, &name->addr.any, name->bytes) < 0 ||
	    listen(listener, 1) < 0)
		bench_fail("listen: %m");
	bench_ready();
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		bench_fail("accept: %m");
	close(listener);
	no_delay(fd, name);
	return fd;
}

static int connect_one(const struct name *name)
{
	int fd = new_socket(name);

	if (connect(fd, &name->addr.any, name->bytes) < 0)
		bench_fail("connect: %m");
	no_delay(fd, name);
	return fd;
}

/* Spins until there is a byte. Returns: false at the end of the stream. */
static bool take_byte(int fd)
{
	ssize_t got;
	char byte;

	do
		got = recv(fd, &byte, 1, MSG_DONTWAIT);
	while (got < 0 && errno == EAGAIN);
	return got == 1;
}

static bool put_byte(int fd)
{
	return send(fd, "", 1, MSG_NOSIGNAL) == 1;
}

static void ping(int fd, struct trips *trips)
{
	while (!meter_done(trips->meter)) {
		trips_sent(trips);
		if (!put_byte(fd) || !take_byte(fd))
			bench_fail("the other end is gone");
		trips_received(trips);
	}
}

static void pong(int fd, struct meter *meter)
{
	while (take_byte(fd) && put_byte(fd))
		meter_add(meter, 1, 1);
	meter_stop(meter);
}

int main(int argc, char **argv)
{
	struct bench_args args;
	struct meter meter;
	struct name name;
	struct trips trips;
	char text[128] = "";
	int fd;

	bench_args_parse(&args, argc, argv,
			 "unix-ping|unix-pong|tcp-ping|tcp-pong");
	meter_init(&meter, &args);
	name = name_of(&args);
	if (strstr(args.mode, "ping")) {
		fd = connect_one(&name);
		trips_init(&trips, &meter);
		ping(fd, &trips);
		trips_text(&trips, text, sizeof(text));
	} else {
		fd = accept_one(&name);
		pong(fd, &meter);
	}
	meter_print(&meter, text);
	close(fd);
	return 0;
}
