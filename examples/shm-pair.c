/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two threads, a stack each, and memory between them: 256 MiB cross the link,
 * and nobody copies a byte.
 *
 *	thread A                               thread B
 *	fill a block, lend it  --- shm --->  borrow it, add it up, return it
 *	the loan ends: fill it again
 *
 * With two processes it is the same: each opens its end by tow_dev_open() with
 * "shm:path=FILE" and asks tow_shm_arena() for the memory.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/host.h>
#include <tow/shm.h>
#include <tow/tcp.h>

#define BLOCK_BYTES (1u << 20)
#define BLOCKS	    256u /* that are sent */
#define PLACES	    16u	 /* for blocks, in the arena */
#define PORT	    7

static void must(int64_t result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "shm-pair: %s: %s\n", what, tow_strerror((int)result));
	exit(1);
}

static struct tow_host *open_end(struct tow_dev *dev, const char *cidr)
{
	struct tow_host *host;

	must(tow_host_open(&host, NULL), "tow_host_open");
	must(tow_host_attach_dev(host, dev), "tow_host_attach_dev");
	must(tow_host_addr(host, 0, cidr), cidr);
	return host;
}

/* Each byte of a block says which one it is. */
static bool lend_block(struct tow_tcp *tcp, uint8_t *arena, unsigned number)
{
	uint8_t *block = arena + number % PLACES * BLOCK_BYTES;
	struct tow_span loan = { block, BLOCK_BYTES };
	int result;

	memset(block, (int)(number % 251), BLOCK_BYTES);
	result = tow_tcp_lend(tcp, &loan, 1, number, 0);
	if (result == TOW_EAGAIN || result == TOW_ENOBUFS)
		return false;
	must(result, "tow_tcp_lend");
	return true;
}

static void *send_all(void *dev)
{
	struct tow_endpoint server = { tow_addr_v4(192, 0, 2, 2), PORT, 0 };
	unsigned lent = 0, back = 0;
	struct tow_host *host;
	struct tow_tcp *tcp;
	size_t arena_bytes;
	uint8_t *arena = tow_shm_arena(dev, &arena_bytes);
	const struct tow_ledger *ledger;

	must(arena_bytes < PLACES * BLOCK_BYTES ? TOW_ENOMEM : 0, "the arena");
	host = open_end(dev, "192.0.2.1/24");
	must(tow_tcp_connect(tow_host_stack(host), NULL, &server, &tcp),
	     "tow_tcp_connect");
	ledger = tow_tcp_ledger(tcp); /* it counts from now on */
	must(ledger ? 0 : TOW_ENOBUFS, "tow_tcp_ledger");
	while (back < BLOCKS) {
		struct tow_event event;

		while (lent < BLOCKS && lent < back + PLACES &&
		       lend_block(tcp, arena, lent))
			lent++;
		if (tow_host_wait(host, &event, 1, -1) &&
		    event.type == TOW_EVENT_LOAN) {
			must(event.status, "a loan");
			back++;
		}
	}
	printf("A lent %llu bytes and copied %llu\n",
	       (unsigned long long)ledger->tx_lent_bytes,
	       (unsigned long long)tow_stats(tow_host_stack(host))
		       ->ledger.copied_bytes[TOW_COPY_TX_SHAPE]);
	tow_tcp_close(tcp);
	tow_poll(tow_host_stack(host), tow_host_clock_us());
	tow_host_close(host); /* B still finds our FIN in the ring */
	return NULL;
}

/* Looks at what arrived, where it lies. Returns: false at the end. */
static bool take(struct tow_tcp *tcp, uint64_t *at)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n;

	while ((n = tow_tcp_borrow(tcp, spans, TOW_SPANS_MAX)) > 0) {
		for (int i = 0; i < n; i++) {
			const uint8_t *bytes = spans[i].ptr;

			if (bytes[0] != *at / BLOCK_BYTES % 251)
				must(TOW_EIO, "the bytes");
			*at += spans[i].len;
			tow_tcp_return(tcp, spans[i].len);
		}
	}
	if (n != TOW_EAGAIN)
		must(n, "tow_tcp_borrow");
	return n != 0;
}

int main(void)
{
	struct tow_endpoint any = { tow_addr_any(), PORT, 0 };
	struct tow_listener *listener;
	struct tow_tcp *tcp = NULL;
	struct tow_dev *ends[2];
	struct tow_host *host;
	uint64_t received = 0;
	pthread_t sender;

	must(tow_shm_pair(ends, NULL), "tow_shm_pair");
	host = open_end(ends[1], "192.0.2.2/24");
	must(tow_tcp_listen(tow_host_stack(host), &any, 1, &listener),
	     "tow_tcp_listen");
	if (pthread_create(&sender, NULL, send_all, ends[0]))
		must(TOW_ENOMEM, "a thread");
	do {
		struct tow_event event;

		(void)!tow_host_wait(host, &event, 1, -1);
		if (!tcp)
			(void)!tow_tcp_accept(listener, &tcp);
	} while (!tcp || take(tcp, &received));
	printf("B borrowed %llu bytes\n", (unsigned long long)received);
	tow_tcp_close(tcp);
	tow_listener_close(listener);
	pthread_join(sender, NULL);
	tow_host_close(host);
	return received == (uint64_t)BLOCKS * BLOCK_BYTES ? 0 : 1;
}
