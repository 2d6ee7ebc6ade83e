/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TCP server that receives a file into memory it chose before: two blocks
 * are posted, and a device that can puts the bytes there itself. While one is
 * written to the file, the other is being filled.
 *
 *	tcp-place                                    tries itself
 *	tcp-place tap 192.0.2.2/24 192.0.2.1/24 >copy
 *	                                  then: nc -N 192.0.2.2 7777 <file
 *
 * Writing blocks the stack here, which is fine for one connection; a sink
 * (tow/file.h) does the same for many, and does not wait for the disk.
 */
#include <string.h>
#include <unistd.h>
#include "example.h"

#define BLOCK_BYTES (256 << 10)

static struct tow_listener *listener;
static char blocks[2][BLOCK_BYTES];
static uint64_t received, placed;
static int to_fd = STDOUT_FILENO, finished;

static void post(struct tow_tcp *tcp, uint64_t number)
{
	struct tow_span span = { blocks[number], BLOCK_BYTES };

	must(tow_tcp_post(tcp, &span, number), "post");
}

/* A block is ours again: full, or the last one. */
static void take(const struct tow_event *event)
{
	struct tow_tcp *tcp = event->object;
	ssize_t bytes = (ssize_t)event->bytes;

	must(event->status, "the connection");
	received += event->bytes;
	placed += event->placed_bytes;
	must_hold(write(to_fd, blocks[event->token], event->bytes) == bytes,
		  "the file can be written");
	if (bytes == BLOCK_BYTES) {
		post(tcp, event->token);
	} else if (!finished) { /* the peer's FIN; the other is empty, too */
		finished = 1;
		tow_tcp_shutdown(tcp);
	}
}

static void handle(const struct tow_event *event)
{
	struct tow_tcp *tcp;

	if (event->type == TOW_EVENT_ACCEPT &&
	    tow_tcp_accept(listener, &tcp) == 0) {
		tow_listener_close(listener); /* one file, one sender */
		post(tcp, 0);
		post(tcp, 1);
	} else if (event->type == TOW_EVENT_POST) {
		take(event);
	} else if (event->type == TOW_EVENT_CLOSED) {
		tow_tcp_close(event->object);
	}
}

static void listen_on(struct tow_stack *stack)
{
	struct tow_endpoint any = { tow_addr_any(), EXAMPLE_PORT, 0 };

	must(tow_tcp_listen(stack, &any, 1, &listener), "listen");
}

/* --- the client that tries it ----------------------------------------------
 */

static char data[3000001], copy[sizeof(data) + 1];

static void handle_client(const struct tow_event *event)
{
	if (event->type == TOW_EVENT_CLOSED)
		tow_tcp_close(event->object);
}

static void make_data(void)
{
	uint32_t random = 1;

	for (size_t i = 0; i < sizeof(data); i++) {
		random = random * 1664525 + 1013904223;
		data[i] = (char)(random >> 24);
	}
}

int main(int argc, char **argv)
{
	struct tow_span loan = { data, sizeof(data) };
	struct tow_endpoint to = pair_server();
	struct tow_tcp *client;
	struct pair pair;
	FILE *file;

	if (argc > 1) {
		struct tow_host *host = example_host(argc, argv);

		listen_on(tow_host_stack(host));
		host_run(host, handle);
	}
	make_data();
	file = tmpfile();
	must_hold(file != NULL, "a temporary file");
	to_fd = fileno(file);
	pair = pair_open();
	listen_on(pair.server);
	must(tow_tcp_connect(pair.client, NULL, &to, &client), "connect");
	must(tow_tcp_lend(client, &loan, 1, 1, 0), "lend");
	must(tow_tcp_shutdown(client), "shutdown");
	pair_run(&pair, &finished, handle, handle_client);
	must_hold(pread(to_fd, copy, sizeof(copy), 0) == sizeof(data) &&
			  memcmp(copy, data, sizeof(data)) == 0,
		  "the file is what was sent");
	must_hold(placed > received / 2, "most of it was placed");
	pair_close(&pair);
	fclose(file);
	return 0;
}
