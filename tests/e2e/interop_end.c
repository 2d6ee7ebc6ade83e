/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack's end of a connection that `tow serve` and `tow get` do not ask
 * for: with Fast Open, with ECN that we ask for.
 *
 *	interop_end [options] listen PORT          sends back what comes
 *	interop_end [options] connect HOST PORT FILE OUT
 *
 *	--dev SPEC --addr CIDR --peer CIDR         as of `tow`
 *	--ecn ask|accurate  --fast-open  --times N
 *
 * For each connection it prints what tow_tcp_info() says at its end. The other
 * end is interop_peer.py, on the kernel's sockets.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/host.h>
#include <tow/tcp.h>

#define BYTES_MAX (16 << 20)
#define ADDRS_MAX 4

struct options {
	const char *dev, *addrs[ADDRS_MAX], *peers[ADDRS_MAX];
	int addr_count, peer_count;
	int times;
	enum tow_tcp_ecn ecn;
	bool fast_open;
};

static uint8_t out[BYTES_MAX], in[BYTES_MAX];

/* Of one connection; a server sends what is in @in. */
struct end {
	struct tow_tcp *tcp;
	const uint8_t *data;
	size_t data_bytes, sent, received;
	bool is_server, peer_is_done, said_all, over;
};

static void die(const char *what, int error)
{
	fprintf(stderr, "interop_end: %s: %s\n", what, tow_strerror(error));
	exit(1);
}

static void must(int result, const char *what)
{
	if (result < 0)
		die(what, result);
}

static void receive(struct end *e)
{
	int64_t n;

	while (!e->peer_is_done) {
		n = tow_tcp_recv(e->tcp, in + e->received,
				 BYTES_MAX - e->received);
		if (n < 0)
			return;
		e->received += (size_t)n;
		e->peer_is_done = n == 0;
	}
}

static void send_more(struct end *e)
{
	size_t bytes = e->is_server ? e->received : e->data_bytes;
	int64_t n;

	while (e->sent < bytes) {
		n = tow_tcp_send(e->tcp, e->data + e->sent, bytes - e->sent, 0);
		if (n < 0)
			return;
		e->sent += (size_t)n;
	}
	if (!e->said_all && (!e->is_server || e->peer_is_done)) {
		tow_tcp_shutdown(e->tcp);
		e->said_all = true;
	}
}

static void print_info(const struct end *e)
{
	struct tow_tcp_info info;

	tow_tcp_info(e->tcp, &info);
	printf("fast_open=%d ecn=%d accurate=%d marks_in=%u marks_out=%u "
	       "retransmits=%u sack=%d timestamps=%d scaling=%d mss=%u\n",
	       info.fast_open, info.ecn, info.ecn_accurate, info.ecn_marks_in,
	       info.ecn_marks_out, info.retransmits, info.sack, info.timestamps,
	       info.window_scaling, info.peer_mss);
	fflush(stdout);
}

/* It may wait already: its event came while the one before was not over. */
static void go_on(struct end *e, struct tow_listener *listener)
{
	int error = 0;

	if (!e->tcp)
		error = tow_tcp_accept(listener, &e->tcp);
	if (error == TOW_EAGAIN)
		return;
	must(error, "accept");
	receive(e);
	send_more(e);
}

static void handle(struct end *e, const struct tow_event *event,
		   struct tow_listener *listener)
{
	if (event->type == TOW_EVENT_CLOSED && event->status < 0)
		die("connection", event->status);
	if (event->type == TOW_EVENT_CLOSED)
		e->over = true;
	go_on(e, listener);
}

static void run(struct tow_host *host, struct end *e,
		struct tow_listener *listener)
{
	struct tow_event event;

	go_on(e, listener);
	while (!e->over)
		if (tow_host_wait(host, &event, 1, -1) == 1)
			handle(e, &event, listener);
	print_info(e);
	tow_tcp_close(e->tcp);
}

static void serve(struct tow_host *host, const struct options *options,
		  int port)
{
	struct tow_endpoint local = { .port = (uint16_t)port };
	struct tow_listener *listener;

	must(tow_tcp_listen(tow_host_stack(host), &local, 16, &listener),
	     "listen");
	must(tow_listener_set(listener, TOW_TCP_ECN, options->ecn), "ecn");
	must(tow_listener_set(listener, TOW_TCP_FAST_OPEN,
			      options->fast_open ? 16 : 0),
	     "fast open");
	puts("ready");
	fflush(stdout);
	for (int i = 0; i < options->times; i++) {
		struct end e = { .is_server = true, .data = in };

		run(host, &e, listener);
	}
	tow_listener_close(listener);
}

static size_t read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	size_t bytes;

	if (!file) {
		perror(path);
		exit(1);
	}
	bytes = fread(out, 1, BYTES_MAX, file);
	fclose(file);
	return bytes;
}

static void write_file(const char *path, size_t bytes)
{
	FILE *file = fopen(path, "w");

	if (!file || fwrite(in, 1, bytes, file) != bytes || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

static void call(struct tow_host *host, const struct options *options,
		 char **words)
{
	struct tow_endpoint peer = { .port = (uint16_t)atoi(words[2]) };
	size_t bytes = read_file(words[3]);

	must(tow_addr_parse(&peer.addr, words[1]), words[1]);
	for (int i = 0; i < options->times; i++) {
		struct end e = { .data = out, .data_bytes = bytes };

		must(tow_tcp_connect(tow_host_stack(host), NULL, &peer, &e.tcp),
		     "connect");
		must(tow_tcp_set(e.tcp, TOW_TCP_ECN, options->ecn), "ecn");
		must(tow_tcp_set(e.tcp, TOW_TCP_FAST_OPEN, options->fast_open),
		     "fast open");
		run(host, &e, NULL);
		write_file(words[4], e.received);
	}
}

static struct tow_host *open_host(const struct options *options)
{
	struct tow_host *host;
	int link;

	must(tow_host_open(&host, NULL), "open");
	link = tow_host_attach(host, options->dev);
	must(link, tow_host_error(host));
	for (int i = 0; i < options->addr_count; i++)
		must(tow_host_addr(host, link, options->addrs[i]),
		     options->addrs[i]);
	for (int i = 0; i < options->peer_count; i++)
		must(tow_host_peer(host, link, options->peers[i]),
		     options->peers[i]);
	return host;
}

/* Our FINs are acknowledged; let the ACK of the peer's last one go out, too. */
static void close_host(struct tow_host *host)
{
	uint64_t until_us = tow_host_clock_us() + 100000;
	struct tow_event event;

	while (!tow_idle(tow_host_stack(host)) &&
	       tow_host_clock_us() < until_us)
		(void)!tow_host_wait(host, &event, 1, 10000);
	tow_host_close(host);
}

static void take(struct options *options, int option)
{
	if (option == 'd')
		options->dev = optarg;
	else if (option == 'a' && options->addr_count < ADDRS_MAX)
		options->addrs[options->addr_count++] = optarg;
	else if (option == 'p' && options->peer_count < ADDRS_MAX)
		options->peers[options->peer_count++] = optarg;
	else if (option == 't')
		options->times = atoi(optarg);
	else if (option == 'f')
		options->fast_open = true;
	else if (option == 'e')
		options->ecn = strcmp(optarg, "accurate")
				       ? TOW_TCP_ECN_ASK
				       : TOW_TCP_ECN_ACCURATE;
	else
		exit(2);
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "dev", required_argument, NULL, 'd' },
		{ "addr", required_argument, NULL, 'a' },
		{ "peer", required_argument, NULL, 'p' },
		{ "ecn", required_argument, NULL, 'e' },
		{ "times", required_argument, NULL, 't' },
		{ "fast-open", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .dev = "tap",
				   .times = 1,
				   .ecn = TOW_TCP_ECN_ACCEPT };
	struct tow_host *host;
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1)
		take(&options, option);
	host = open_host(&options);
	if (argc - optind == 2 && strcmp(argv[optind], "listen") == 0)
		serve(host, &options, atoi(argv[optind + 1]));
	else if (argc - optind == 5 && strcmp(argv[optind], "connect") == 0)
		call(host, &options, argv + optind);
	else
		exit(2);
	close_host(host);
	return 0;
}
