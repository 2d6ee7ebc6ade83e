/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TCP server that sends a file to whoever connects, straight out of the
 * page cache: the mapped file is lent to the stack as one span, and comes back
 * when the last byte of it was acknowledged.
 *
 *	file-sender                                  tries itself, sends itself
 *	file-sender tap 192.0.2.2/24 192.0.2.1/24 <FILE
 *	                                  then: nc 192.0.2.2 7777 >copy
 *
 * The file must not be truncated meanwhile; cmd/serve_send.c is about that.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "example.h"

static struct tow_listener *listener;
static struct tow_span file;

static void map_file(int fd)
{
	struct stat st;
	void *bytes;

	must_hold(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0,
		  "a file with something in it");
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	must_hold(bytes != MAP_FAILED, "the file can be mapped");
	file = (struct tow_span){ bytes, (size_t)st.st_size };
}

/* The token tells loans apart; here there is one per connection. */
static void send_file(struct tow_tcp *tcp)
{
	int error = tow_tcp_lend(tcp, &file, 1, 1, 0);

	if (error == 0)
		error = tow_tcp_shutdown(tcp); /* FIN behind the last byte */
	if (error) {
		fprintf(stderr, "file-sender: %s\n", tow_strerror(error));
		tow_tcp_abort(tcp);
	}
}

static void handle(const struct tow_event *event)
{
	struct tow_tcp *tcp;

	switch (event->type) {
	case TOW_EVENT_ACCEPT:
		while (tow_tcp_accept(listener, &tcp) == 0)
			send_file(tcp);
		break;
	case TOW_EVENT_LOAN:
		if (event->status)
			fprintf(stderr, "file-sender: %s\n",
				tow_strerror(event->status));
		break;
	case TOW_EVENT_CLOSED: /* both sides are done, or it failed */
		tow_tcp_close(event->object);
		break;
	default:
		break;
	}
}

static void listen_on(struct tow_stack *stack)
{
	struct tow_endpoint any = { tow_addr_any(), EXAMPLE_PORT, 0 };

	must(tow_tcp_listen(stack, &any, 128, &listener), "listen");
}

/* --- the client that tries it ----------------------------------------------
 */

static size_t received;
static int finished;

static void handle_client(const struct tow_event *event)
{
	struct tow_span span;
	int n;

	if (event->type != TOW_EVENT_READABLE)
		return;
	while ((n = tow_tcp_borrow(event->object, &span, 1)) == 1) {
		must_hold(received + span.len <= file.len &&
				  memcmp((const char *)file.ptr + received,
					 span.ptr, span.len) == 0,
			  "the bytes are the file's");
		received += span.len;
		tow_tcp_return(event->object, span.len);
	}
	finished = n == 0;
}

int main(int argc, char **argv)
{
	struct tow_endpoint to = pair_server();
	const struct tow_ledger *ledger;
	struct tow_tcp *client;
	struct pair pair;

	if (argc > 1) {
		struct tow_host *host = example_host(argc, argv);

		map_file(STDIN_FILENO);
		listen_on(tow_host_stack(host));
		host_run(host, handle);
	}
	map_file(open("/proc/self/exe", O_RDONLY));
	pair = pair_open();
	listen_on(pair.server);
	must(tow_tcp_connect(pair.client, NULL, &to, &client), "connect");
	pair_run(&pair, &finished, handle, handle_client);
	ledger = &tow_stats(pair.server)->ledger;
	must_hold(received == file.len, "the whole file arrived");
	must_hold(ledger->tx_lent_bytes == file.len, "it was lent");
	must_hold(ledger->tx_touched_bytes == 0, "no byte of it was read here");
	tow_tcp_close(client);
	pair_close(&pair);
	return 0;
}
