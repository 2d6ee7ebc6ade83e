/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A complete driver to start from, and a program that proves it.
 *
 *	stack A                                     stack B
 *	  |                                           |
 *	cable driver === AF_UNIX SOCK_SEQPACKET === cable driver
 *
 * The hardware here is one end of a socket pair, where a record is a frame. It
 * can neither sum nor cut, so its only capability is to split headers from
 * payload; the stack does the rest. What must be written for real hardware is
 * marked with "Yours:". The contract is in <tow/dev.h>.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tow/error.h>
#include <tow/host.h>
#include <tow/tcp.h>
#include <unistd.h>

#define HEAD_AT	   2  /* aligns the IP header behind 14 bytes of Ethernet */
#define HEAD_BYTES 66 /* Ethernet, IPv4 and TCP with timestamps */

struct cable {
	struct tow_dev dev; /* must come first */
	int fd;		    /* Yours: registers, rings, DMA memory */
	struct tow_buf *buf;
	uint8_t *chunk; /* the margin: ready before a frame comes */
};

static int is_unplugged(void)
{
	return errno != EAGAIN && errno != EINTR && errno != ENOBUFS;
}

/* Yours: reap one filled descriptor. 1 a frame, 0 none now, -1 gone. */
static int receive_one(struct cable *c)
{
	struct iovec iov[2] = { { c->buf->room + HEAD_AT, HEAD_BYTES },
				{ c->chunk, 0 } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t bytes;

	if (c->chunk) /* else the pool is dry: heads still come in */
		iov[1].iov_len = tow_chunk_bytes(c->dev.pool);
	bytes = recvmsg(c->fd, &message, MSG_DONTWAIT);
	if (bytes <= 0)
		return bytes == 0 || is_unplugged() ? -1 : 0;
	if (message.msg_flags & MSG_TRUNC)
		c->buf->flags |= TOW_BUF_TRUNCATED;
	if (bytes <= HEAD_BYTES) {
		tow_buf_set_head(c->buf, HEAD_AT, (uint32_t)bytes);
		return 1;
	}
	tow_buf_set_head(c->buf, HEAD_AT, HEAD_BYTES);
	tow_buf_add_chunk(c->buf, c->chunk, (uint32_t)bytes - HEAD_BYTES);
	c->chunk = NULL;
	return 1;
}

static int cable_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct cable *c = (struct cable *)dev;
	unsigned got = 0;
	int r = 1;

	while (got < n) {
		if (!c->buf && !(c->buf = tow_buf_take(dev->pool)))
			break;
		if (!c->chunk)
			c->chunk = tow_chunk_take(dev->pool);
		r = receive_one(c);
		if (r <= 0)
			break;
		bufs[got++] = c->buf;
		c->buf = NULL;
	}
	return !got && r < 0 ? TOW_ENETDOWN : (int)got;
}

/*
 * Yours: put each span into a descriptor. With DMA the buffer is given back
 * later, when the hardware is done with it; a socket copies, so at once.
 */
static int cable_tx(struct tow_dev *dev, struct tow_buf *const *bufs,
		    unsigned n)
{
	struct cable *c = (struct cable *)dev;
	unsigned sent;

	for (sent = 0; sent < n; sent++) {
		struct msghdr message = {
			.msg_iov = (struct iovec *)bufs[sent]->spans,
			.msg_iovlen = bufs[sent]->span_count,
		};

		if (sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			if (!sent && is_unplugged())
				return TOW_ENETDOWN;
			break; /* full: the rest comes again */
		}
		tow_buf_give(bufs[sent]);
	}
	return (int)sent;
}

static int cable_wait_fd(struct tow_dev *dev)
{
	return ((struct cable *)dev)->fd;
}

static void cable_close(struct tow_dev *dev)
{
	struct cable *c = (struct cable *)dev;

	if (c->buf)
		tow_buf_give(c->buf);
	if (c->chunk)
		tow_chunk_give(dev->pool, c->chunk);
	close(c->fd); /* Yours: stop the hardware before all this */
	free(c);
}

static const struct tow_dev_ops cable_ops = {
	.name = "cable",
	.rx = cable_rx,
	.tx = cable_tx,
	.wait_fd = cable_wait_fd,
	.close = cable_close,
};

static struct tow_dev *cable_open(int fd, uint8_t number)
{
	struct cable *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->dev.ops = &cable_ops;
	c->dev.caps = TOW_DEV_SPLIT;
	c->dev.mtu = 1500;
	c->dev.spans_max = TOW_BUF_SPANS;
	c->dev.mac[0] = 2; /* Yours: from the hardware */
	c->dev.mac[5] = number;
	c->dev.next_us = UINT64_MAX;
	c->fd = fd;
	return &c->dev;
}

/* ---- the proof: a megabyte from one stack to the other ---- */

static uint8_t data[1 << 20];

static struct tow_host *open_end(int fd, uint8_t number, const char *cidr)
{
	struct tow_host *host;
	struct tow_dev *dev = cable_open(fd, number);

	if (!dev || tow_host_open(&host, NULL) < 0 ||
	    tow_host_attach_dev(host, dev) < 0 ||
	    tow_host_addr(host, 0, cidr) < 0) {
		fprintf(stderr, "driver-template: cannot set up %s\n", cidr);
		exit(1);
	}
	return host;
}

/* Takes what arrived, where it lies; the bytes must be those of data. */
static size_t take(struct tow_tcp *tcp, size_t at)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n = tow_tcp_borrow(tcp, spans, TOW_SPANS_MAX);
	size_t bytes = 0;

	for (int i = 0; i < n; i++) {
		if (memcmp(spans[i].ptr, data + at + bytes, spans[i].len)) {
			fprintf(stderr, "driver-template: wrong bytes\n");
			exit(1);
		}
		bytes += spans[i].len;
	}
	tow_tcp_return(tcp, bytes);
	return bytes;
}

int main(void)
{
	struct tow_endpoint server = { tow_addr_v4(192, 0, 2, 2), 7, 0 };
	struct tow_span loan = { data, sizeof(data) };
	struct tow_host *a, *b;
	struct tow_listener *listener;
	struct tow_tcp *sender, *receiver = NULL;
	struct tow_event event = { 0 };
	uint64_t give_up_us = tow_host_clock_us() + 10000000;
	size_t received = 0;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds))
		return 1;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	a = open_end(fds[0], 1, "192.0.2.1/24");
	b = open_end(fds[1], 2, "192.0.2.2/24");
	if (tow_tcp_listen(tow_host_stack(b), &server, 1, &listener) ||
	    tow_tcp_connect(tow_host_stack(a), NULL, &server, &sender) ||
	    tow_tcp_lend(sender, &loan, 1, 1, 0))
		return 1;
	/* until all bytes are there and the loan came back */
	while (received < sizeof(data) || event.type != TOW_EVENT_LOAN) {
		struct tow_event other;

		if (event.type != TOW_EVENT_LOAN)
			tow_host_wait(a, &event, 1, 0);
		else
			tow_host_wait(a, &other, 1, 0);
		tow_host_wait(b, &other, 1, 0);
		if (receiver || !tow_tcp_accept(listener, &receiver))
			received += take(receiver, received);
		if (tow_host_clock_us() > give_up_us)
			return 1;
	}
	printf("%zu bytes crossed the cable, %llu of them lent\n", received,
	       (unsigned long long)tow_stats(tow_host_stack(a))
		       ->ledger.tx_lent_bytes);
	tow_host_close(a);
	tow_host_close(b);
	return 0;
}
