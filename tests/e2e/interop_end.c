/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack's end of a connection that `tow serve` and `tow get` do not ask
 * for: with Fast Open, with ECN that we ask for, signed by TCP-AO.
 *
 *	interop_end [options] listen PORT          sends back what comes
 *	interop_end [options] connect HOST PORT FILE OUT
 *
 *	--dev SPEC --addr CIDR --peer CIDR         as of `tow`
 *	--ecn ask|accurate  --fast-open  --times N
 *	--key ALGORITHM,SEND,RECV,SECRET           for all peers; the algorithm
 *	                        is md5, hmac-sha1 or aes-cmac. A connection of
 *	                        ours begins with the first of two
 *	--next                  asks for the second key on the way
 *	--bytes N               the server's FIN goes behind so many bytes, and
 *	                        not behind its peer's
 *	--when FILE             connects when the file is there
 *
 * For each connection it prints what tow_tcp_info() and tow_tcp_auth_info() say
 * at its end, and what the stack has dropped for its signature so far. The
 * other end is interop_peer.py, on the kernel's sockets, or vm_peer.c of
 * tests/interop-vm, on those of another kernel.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/auth.h>
#include <tow/host.h>
#include <tow/ledger.h>
#include <tow/tcp.h>
#include <unistd.h>

#define BYTES_MAX (16 << 20)
#define ADDRS_MAX 4
#define KEYS_MAX  2
#define NEXT_AT	  (1 << 20) /* bytes received */

struct options {
	const char *dev, *addrs[ADDRS_MAX], *peers[ADDRS_MAX], *when;
	int addr_count, peer_count;
	int times;
	enum tow_tcp_ecn ecn;
	struct tow_auth_key keys[KEYS_MAX];
	int key_count;
	size_t server_bytes; /* 0: as many as come */
	bool fast_open, next;
};

static uint8_t out[BYTES_MAX], in[BYTES_MAX];

/* Of one connection; a server sends what is in @in. */
struct end {
	const struct options *options;
	struct tow_tcp *tcp;
	const uint8_t *data;
	size_t data_bytes, sent, received;
	bool is_server, peer_is_done, asked, said_all, over;
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

static void ask_for_next(struct end *e)
{
	if (!e->options->next || e->asked || e->received < NEXT_AT)
		return;
	must(tow_tcp_key_next(e->tcp, e->options->keys[1].recv_id), "next key");
	e->asked = true;
}

/* A server has, unless it knows better, when its peer has. */
static bool has_said_all(const struct end *e)
{
	if (!e->is_server)
		return e->sent == e->data_bytes;
	return e->peer_is_done || (e->options->server_bytes &&
				   e->sent == e->options->server_bytes);
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
	if (!e->said_all && has_said_all(e)) {
		tow_tcp_shutdown(e->tcp);
		e->said_all = true;
	}
}

static void print_auth(const struct end *e, const uint64_t *drops)
{
	struct tow_auth_info auth;

	tow_tcp_auth_info(e->tcp, &auth);
	printf(" signed=%d current=%u next=%u peer=%u peer_next=%u "
	       "auth_bad=%llu auth_missing=%llu auth_key=%llu\n",
	       auth.is_signed, auth.current_id, auth.next_id, auth.peer_id,
	       auth.peer_next_id,
	       (unsigned long long)drops[TOW_DROP_TCP_AUTH_BAD],
	       (unsigned long long)drops[TOW_DROP_TCP_AUTH_MISSING],
	       (unsigned long long)drops[TOW_DROP_TCP_AUTH_KEY]);
}

static void print_info(const struct end *e, const struct tow_stats *stats)
{
	struct tow_tcp_info info;

	tow_tcp_info(e->tcp, &info);
	printf("fast_open=%d ecn=%d accurate=%d marks_in=%u marks_out=%u "
	       "retransmits=%u sack=%d timestamps=%d scaling=%d mss=%u",
	       info.fast_open, info.ecn, info.ecn_accurate, info.ecn_marks_in,
	       info.ecn_marks_out, info.retransmits, info.sack, info.timestamps,
	       info.window_scaling, info.peer_mss);
	printf(" option=%d e0_in=%llu ce_in=%llu e0_out=%llu ce_out=%llu "
	       "mtu=%u",
	       info.ecn_option, (unsigned long long)info.ect0_bytes_in,
	       (unsigned long long)info.ce_bytes_in,
	       (unsigned long long)info.ect0_bytes_out,
	       (unsigned long long)info.ce_bytes_out, info.mtu);
	print_auth(e, stats->drops);
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
	ask_for_next(e);
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
	print_info(e, tow_stats(tow_host_stack(host)));
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
	for (int i = 0; i < options->key_count; i++)
		must(tow_listener_key_add(listener, &options->keys[i]), "key");
	puts("ready");
	fflush(stdout);
	for (int i = 0; i < options->times; i++) {
		struct end e = { .options = options,
				 .is_server = true,
				 .data = in };

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
	while (options->when && access(options->when, F_OK) != 0)
		usleep(1000);
	for (int i = 0; i < options->times; i++) {
		struct end e = { .options = options,
				 .data = out,
				 .data_bytes = bytes };

		must(tow_tcp_connect(tow_host_stack(host), NULL, &peer, &e.tcp),
		     "connect");
		must(tow_tcp_set(e.tcp, TOW_TCP_ECN, options->ecn), "ecn");
		must(tow_tcp_set(e.tcp, TOW_TCP_FAST_OPEN, options->fast_open),
		     "fast open");
		for (int k = 0; k < options->key_count; k++)
			must(tow_tcp_key_add(e.tcp, &options->keys[k]), "key");
		run(host, &e, NULL);
		write_file(words[4], e.received);
	}
}

static struct tow_host *open_host(const struct options *options,
				  struct tow_crypto *crypto)
{
	struct tow_config config;
	struct tow_host *host;
	int link;

	tow_config_default(&config);
	if (options->key_count) {
		must(tow_host_crypto_open(crypto), "crypto");
		config.crypto = crypto;
	}
	must(tow_host_open(&host, &config), "open");
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

/* The secret stays where it is. */
static struct tow_auth_key parse_key(const char *text)
{
	struct tow_auth_key key = { .algorithm = TOW_AUTH_HMAC_SHA1 };
	unsigned send_id, recv_id;
	char algorithm[16];
	int secret_at = 0;

	if (sscanf(text, "%15[^,],%u,%u,%n", algorithm, &send_id, &recv_id,
		   &secret_at) != 3 ||
	    !secret_at)
		exit(2);
	if (strcmp(algorithm, "md5") == 0)
		key.algorithm = TOW_AUTH_MD5;
	if (strcmp(algorithm, "aes-cmac") == 0)
		key.algorithm = TOW_AUTH_AES_CMAC;
	key.send_id = (uint8_t)send_id;
	key.recv_id = (uint8_t)recv_id;
	key.secret = (const uint8_t *)text + secret_at;
	key.secret_bytes = strlen(text + secret_at);
	return key;
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
	else if (option == 'k' && options->key_count < KEYS_MAX)
		options->keys[options->key_count++] = parse_key(optarg);
	else if (option == 'w')
		options->when = optarg;
	else if (option == 'n')
		options->next = true;
	else if (option == 'b')
		options->server_bytes = (size_t)atol(optarg);
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
		{ "key", required_argument, NULL, 'k' },
		{ "when", required_argument, NULL, 'w' },
		{ "next", no_argument, NULL, 'n' },
		{ "bytes", required_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .dev = "tap",
				   .times = 1,
				   .ecn = TOW_TCP_ECN_ACCEPT };
	struct tow_crypto crypto = { 0 };
	struct tow_host *host;
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1)
		take(&options, option);
	host = open_host(&options, &crypto);
	if (argc - optind == 2 && strcmp(argv[optind], "listen") == 0)
		serve(host, &options, atoi(argv[optind + 1]));
	else if (argc - optind == 5 && strcmp(argv[optind], "connect") == 0)
		call(host, &options, argv + optind);
	else
		exit(2);
	close_host(host);
	if (options.key_count)
		tow_host_crypto_close(&crypto);
	return 0;
}
