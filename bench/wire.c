/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A wire between two interfaces of the kernel, as bad as asked for.
 *
 *	wire --rate MBIT --queue KIB --faults loss=1%,delay=5ms --seed N A B
 *
 * Theory of operation
 *
 *	A -- packet socket -- fault: -- queue, rate -- packet socket --> B
 *	  <-- packet socket -- rate, queue -- fault: -- packet socket -- B
 *
 * The kernel that we measure with has no netem, and then both ends must have
 * the same losses, also where neither is a stack of ours. So this is a program
 * of its own, which takes every frame out of one interface and puts it into the
 * other. Both are ends of veths or taps whose other end has the addresses; on
 * them nobody else says anything. They do without large segments: a frame
 * here is a packet.
 *
 * What happens to a frame is decided by fault:, by a dice of the way that it
 * goes, so the Nth frame of the same seed is lost whoever sent it. Then comes
 * the bottleneck. It is a queue whose length is known from when it will be
 * empty; a frame that would wait for longer than the queue is deep is dropped.
 *
 * On SIGTERM it says what it did, a line of JSON. Frames that got lost without
 * being asked for, in the kernel's queues, would be somebody's disadvantage:
 * they are counted as "overrun".
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <tow/dev.h>
#include <tow/error.h>
#include <tow/host.h>
#include <unistd.h>
#include "bench.h"
#include "buf/pool.h"
#include "dev/delay_queue.h"

#ifndef PACKET_IGNORE_OUTGOING /* linux/if_packet.h before 4.20 */
#define PACKET_IGNORE_OUTGOING 23
#endif

#define MTU	     1500
#define HEAD_BYTES   66	   /* Ethernet, IPv4 and TCP with timestamps */
#define FRAMES	     16384 /* on the way, in both directions */
#define SOCKET_BYTES (8 << 20)
#define BATCH	     64

/* An interface as a device of ours. */
struct port {
	struct tow_dev dev; /* must come first */
	char name[IFNAMSIZ];
	int fd;
	struct tow_buf *buf;
	uint8_t *chunk;
};

/* One way through the wire. */
struct way {
	struct tow_dev *from, *to;
	struct delay_queue queue;
	uint64_t free_at_ns; /* when the bottleneck has sent all it has */
	uint64_t frames, bytes, dropped;
};

struct wire {
	double ns_per_byte;   /* 0: no bottleneck */
	uint64_t queue_ns;    /* as deep as what it sends in that time */
	struct tow_pool pool; /* of both ends, both ways */
	struct tow_ledger ledger;
	uint64_t pool_empty;
	struct port *ports[2];
	struct tow_dev *ends[2];
	struct way ways[2];
};

struct options {
	const char *faults;
	double mbit;
	unsigned long queue_kib, seed;
};

/* ---- an interface ---- */

static int receive_one(struct port *port)
{
	struct iovec iov[2] = { { port->buf->room, HEAD_BYTES },
				{ port->chunk,
				  tow_chunk_bytes(port->dev.pool) } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t bytes = recvmsg(port->fd, &message, MSG_DONTWAIT);

	if (bytes <= 0)
		return 0;
	if (message.msg_flags & MSG_TRUNC)
		bench_fail("a frame of more than one packet: offloads are on");
	tow_buf_set_head(port->buf, 0, (uint32_t)MIN(bytes, HEAD_BYTES));
	if (bytes > HEAD_BYTES) {
		tow_buf_add_chunk(port->buf, port->chunk,
				  (uint32_t)bytes - HEAD_BYTES);
		port->chunk = NULL;
	}
	return 1;
}

static int port_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct port *port = (struct port *)dev;
	unsigned got = 0;

	while (got < n) {
		if (!port->buf)
			port->buf = tow_buf_take(dev->pool);
		if (!port->chunk)
			port->chunk = tow_chunk_take(dev->pool);
		if (!port->buf || !port->chunk || !receive_one(port))
			break;
		bufs[got++] = port->buf;
		port->buf = NULL;
	}
	return (int)got;
}

/* Is there still somebody at the other end, or was this one its last? */
static bool is_used(const struct port *port)
{
	struct ethtool_value link = { .cmd = ETHTOOL_GLINK };
	struct ifreq request = { .ifr_data = (char *)&link };

	memcpy(request.ifr_name, port->name, IFNAMSIZ);
	return ioctl(port->fd, SIOCETHTOOL, &request) == 0 && link.data;
}

static int port_tx(struct tow_dev *dev, struct tow_buf *const *bufs, unsigned n)
{
	struct port *port = (struct port *)dev;

	for (unsigned i = 0; i < n; i++) {
		struct msghdr message = {
			.msg_iov = (struct iovec *)bufs[i]->spans,
			.msg_iovlen = bufs[i]->span_count,
		};

		if (sendmsg(port->fd, &message, MSG_DONTWAIT) < 0 &&
		    is_used(port))
			dev->tx_lost++;
		tow_buf_give(bufs[i]);
	}
	return (int)n;
}

static int port_wait_fd(struct tow_dev *dev)
{
	return ((struct port *)dev)->fd;
}

static void port_close(struct tow_dev *dev)
{
	struct port *port = (struct port *)dev;

	if (port->buf)
		tow_buf_give(port->buf);
	if (port->chunk)
		tow_chunk_give(dev->pool, port->chunk);
	close(port->fd);
	free(port);
}

static const struct tow_dev_ops port_ops = {
	.name = "port",
	.rx = port_rx,
	.tx = port_tx,
	.wait_fd = port_wait_fd,
	.close = port_close,
};

static void set(int fd, int level, int option, int value, const char *what)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
		bench_fail("%s: %m", what);
}

/* Bound last: what comes before it has all its options would be seen. */
static int open_socket(const char *name)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		bench_fail("packet socket: %m");
	if (!address.sll_ifindex)
		bench_fail("%s: %m", name);
	set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "ignoring our own");
	set(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1, "passing by the qdisc");
	set(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BYTES, "receive buffer");
	set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BYTES, "send buffer");
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		bench_fail("%s: %m", name);
	return fd;
}

static struct port *open_port(const char *name)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		bench_fail("out of memory");
	port->dev.ops = &port_ops;
	port->dev.caps = TOW_DEV_SPLIT;
	port->dev.mtu = MTU;
	port->dev.spans_max = TOW_BUF_SPANS;
	port->dev.next_us = UINT64_MAX;
	snprintf(port->name, sizeof(port->name), "%s", name);
	port->fd = open_socket(name);
	return port;
}

/* Frames that came while the socket was full. */
static uint64_t overrun(const struct port *port)
{
	struct tpacket_stats stats;
	socklen_t bytes = sizeof(stats);

	if (getsockopt(port->fd, SOL_PACKET, PACKET_STATISTICS, &stats,
		       &bytes) < 0)
		bench_fail("statistics: %m");
	return stats.tp_drops + port->dev.tx_lost;
}

/* ---- the wire ---- */

static uint64_t due_ns(struct wire *wire, struct way *way, uint32_t bytes)
{
	uint64_t now_ns = bench_now_ns();
	uint64_t start_ns = MAX(now_ns, way->free_at_ns);

	if (start_ns - now_ns > wire->queue_ns)
		return 0;
	way->free_at_ns = start_ns + (uint64_t)(wire->ns_per_byte * bytes);
	return way->free_at_ns;
}

static void enqueue(struct wire *wire, struct way *way, struct tow_buf *buf)
{
	uint64_t due = due_ns(wire, way, buf->bytes);

	if (!due || !delay_room(&way->queue)) {
		way->dropped++;
		tow_buf_give(buf);
		return;
	}
	delay_put(&way->queue, buf, due / 1000);
}

static void take(struct wire *wire, struct way *way)
{
	struct tow_buf *bufs[BATCH];
	int got;

	do {
		way->from->now_us = bench_now_ns() / 1000;
		got = way->from->ops->rx(way->from, bufs, BATCH);
		for (int i = 0; i < got; i++)
			enqueue(wire, way, bufs[i]);
	} while (got == BATCH);
	if (got < 0)
		bench_fail("an interface is gone");
}

static void put(struct way *way)
{
	struct tow_buf *buf;

	way->to->now_us = bench_now_ns() / 1000;
	while ((buf = delay_take(&way->queue, way->to->now_us)) != NULL) {
		way->frames++;
		way->bytes += buf->bytes;
		if (way->to->ops->tx(way->to, &buf, 1) != 1)
			bench_fail("an interface takes no more");
	}
	way->to->ops->flush(way->to);
}

static void sleep_until(const struct wire *wire, struct pollfd *fds)
{
	uint64_t next_us = UINT64_MAX, now_us = bench_now_ns() / 1000;
	struct timespec left = { 0 };

	for (int i = 0; i < 2; i++) {
		next_us = MIN(next_us, wire->ends[i]->next_us);
		next_us = MIN(next_us, delay_next_us(&wire->ways[i].queue));
	}
	if (next_us > now_us) {
		next_us -= now_us;
		left.tv_sec = (time_t)(next_us / 1000000);
		left.tv_nsec = (long)(next_us % 1000000 * 1000);
	}
	if (ppoll(fds, 3, next_us == UINT64_MAX ? NULL : &left, NULL) < 0 &&
	    errno != EINTR)
		bench_fail("poll: %m");
}

static void run(struct wire *wire, int signals)
{
	struct pollfd fds[] = {
		{ .fd = wire->ports[0]->fd, .events = POLLIN },
		{ .fd = wire->ports[1]->fd, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};

	while (!fds[2].revents) {
		for (int i = 0; i < 2; i++)
			take(wire, &wire->ways[i]);
		for (int i = 0; i < 2; i++)
			put(&wire->ways[i]);
		sleep_until(wire, fds);
	}
}

/* ---- open, close ---- */

static void open_pool(struct wire *wire)
{
	uint32_t chunk_bytes = 2048;
	size_t bytes = pool_need(FRAMES, FRAMES, chunk_bytes);
	void *memory;

	if (posix_memalign(&memory, chunk_bytes, bytes))
		bench_fail("out of memory");
	pool_init(&wire->pool, memory, FRAMES, FRAMES, chunk_bytes,
		  &wire->pool_empty);
}

static void open_end(struct wire *wire, int which, const char *name,
		     const struct options *options)
{
	char spec[256], error[256];

	snprintf(spec, sizeof(spec), "fault:%s%sseed=%lu,dir=rx,limit=%d",
		 options->faults, *options->faults ? "," : "",
		 options->seed * 2 + (unsigned)which, FRAMES / 4);
	wire->ports[which] = open_port(name);
	if (tow_dev_wrap(&wire->ends[which], &wire->ports[which]->dev, spec,
			 error, sizeof(error)) < 0)
		bench_fail("%s", error);
	wire->ends[which]->pool = &wire->pool;
	wire->ends[which]->ledger = &wire->ledger;
}

static void open_wire(struct wire *wire, const struct options *options,
		      char **names)
{
	open_pool(wire);
	wire->ns_per_byte = options->mbit > 0 ? 8e3 / options->mbit : 0;
	wire->queue_ns = (uint64_t)(wire->ns_per_byte * 1024 *
				    (double)options->queue_kib);
	for (int i = 0; i < 2; i++)
		open_end(wire, i, names[i], options);
	for (int i = 0; i < 2; i++) {
		wire->ways[i].from = wire->ends[i];
		wire->ways[i].to = wire->ends[!i];
		if (!delay_init(&wire->ways[i].queue, FRAMES / 4))
			bench_fail("out of memory");
	}
}

static void say(const struct wire *wire)
{
	static const char *const names[] = { "there", "back" };

	printf("{");
	for (int i = 0; i < 2; i++) {
		const struct way *way = &wire->ways[i];

		printf("\"%s\":{\"frames\":%" PRIu64 ",\"bytes\":%" PRIu64
		       ",\"lost\":%" PRIu64 ",\"dropped\":%" PRIu64 "},",
		       names[i], way->frames, way->bytes, way->from->rx_lost,
		       way->dropped);
	}
	printf("\"overrun\":%" PRIu64 "}\n", overrun(wire->ports[0]) +
						     overrun(wire->ports[1]) +
						     wire->pool_empty);
	fflush(stdout);
}

static void close_wire(struct wire *wire)
{
	for (int i = 0; i < 2; i++)
		delay_free(&wire->ways[i].queue);
	for (int i = 0; i < 2; i++)
		wire->ends[i]->ops->close(wire->ends[i]);
}

static int catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void parse(struct options *options, int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "rate", required_argument, NULL, 'r' },
		{ "queue", required_argument, NULL, 'q' },
		{ "faults", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) !=
	       -1) {
		if (option == 'r')
			options->mbit = strtod(optarg, NULL);
		else if (option == 'q')
			options->queue_kib = strtoul(optarg, NULL, 10);
		else if (option == 'f')
			options->faults = optarg;
		else if (option == 's')
			options->seed = strtoul(optarg, NULL, 10);
		else
			exit(2);
	}
	if (argc - optind != 2)
		bench_fail("usage: %s [options] FROM TO", argv[0]);
}

int main(int argc, char **argv)
{
	struct options options = { .faults = "", .queue_kib = 256, .seed = 1 };
	static struct wire wire;
	int signals = catch_signals();

	parse(&options, argc, argv);
	open_wire(&wire, &options, argv + optind);
	bench_ready();
	run(&wire, signals);
	say(&wire);
	close_wire(&wire);
	return 0;
}
