/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several flows of the Linux kernel's TCP at once, in one thread.
 *
 *	sink       listen, take --flows connections, read() each in turn
 *	sendfile   connect so often, sendfile() out of the source's page cache
 *	           to whichever has room
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define FLOWS_MAX 64

struct flows {
	struct pollfd each[FLOWS_MAX];
	unsigned count, over;
};

static struct sockaddr_in endpoint(const struct bench_args *args)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(args->port),
		.sin_addr = args->addr,
	};
}

static void add(struct flows *flows, int fd, short events)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		bench_fail("fcntl: %m");
	flows->each[flows->count].fd = fd;
	flows->each[flows->count++].events = events;
}

static void accept_all(struct flows *flows, const struct bench_args *args)
{
	struct sockaddr_in local = endpoint(args);
	int listener = bench_tcp_socket();

	if (bind(listener, (struct sockaddr *)&local, sizeof(local)) < 0 ||
	    listen(listener, FLOWS_MAX) < 0)
		bench_fail("listen: %m");
	bench_ready();
	while (flows->count < args->flows) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			bench_fail("accept: %m");
		add(flows, fd, POLLIN);
	}
	close(listener);
}

static void connect_all(struct flows *flows, const struct bench_args *args)
{
	struct sockaddr_in remote = endpoint(args);

	while (flows->count < args->flows) {
		int fd = bench_tcp_socket();

		if (connect(fd, (struct sockaddr *)&remote, sizeof(remote)) < 0)
			bench_fail("connect: %m");
		add(flows, fd, POLLOUT);
	}
}

static void read_some(struct flows *flows, struct pollfd *flow, char *buffer,
		      size_t bytes, struct meter *meter)
{
	ssize_t got = read(flow->fd, buffer, bytes);

	if (got > 0) {
		meter_add(meter, (uint64_t)got, 1);
		return;
	}
	if (got < 0 && errno == EAGAIN)
		return;
	if (got < 0 && errno != ECONNRESET)
		bench_fail("read: %m");
	close(flow->fd);
	flow->fd = -1;
	flows->over++;
}

static void sink(const struct bench_args *args, struct meter *meter)
{
	char *buffer = malloc(args->block_bytes);
	struct flows flows = { 0 };
	unsigned i;

	if (!buffer)
		bench_fail("out of memory");
	accept_all(&flows, args);
	while (flows.over < flows.count) {
		if (poll(flows.each, flows.count, -1) < 0)
			bench_fail("poll: %m");
		for (i = 0; i < flows.count; i++)
			if (flows.each[i].revents)
				read_some(&flows, &flows.each[i], buffer,
					  args->block_bytes, meter);
	}
	meter_stop(meter);
	free(buffer);
}

static void send_some(int fd, struct source *source, size_t bytes,
		      struct meter *meter)
{
	off_t at = source_next(source, bytes) - source->base;
	ssize_t sent = sendfile(fd, source->fd, &at, bytes);

	if (sent < 0 && errno != EAGAIN)
		bench_fail("sendfile: %m");
	if (sent > 0)
		meter_add(meter, (uint64_t)sent, 1);
}

static void send_all(const struct bench_args *args, struct meter *meter)
{
	struct flows flows = { 0 };
	struct source source;
	unsigned i;

	source_open(&source, args);
	connect_all(&flows, args);
	while (!meter_done(meter)) {
		if (poll(flows.each, flows.count, -1) < 0)
			bench_fail("poll: %m");
		for (i = 0; i < flows.count; i++)
			if (flows.each[i].revents)
				send_some(flows.each[i].fd, &source,
					  args->block_bytes, meter);
	}
	for (i = 0; i < flows.count; i++)
		close(flows.each[i].fd);
}

int main(int argc, char **argv)
{
	struct bench_args args;
	struct meter meter;

	bench_args_parse(&args, argc, argv, "sink|sendfile");
	if (!args.flows || args.flows > FLOWS_MAX)
		bench_fail("--flows 1 to %d", FLOWS_MAX);
	meter_init(&meter, &args);
	if (strcmp(args.mode, "sink") == 0)
		sink(&args, &meter);
	else if (strcmp(args.mode, "sendfile") == 0)
		send_all(&args, &meter);
	else
		bench_fail("%s: no such mode", args.mode);
	meter_print(&meter, "");
	return 0;
}
