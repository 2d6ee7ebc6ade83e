/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tow serve: a directory, by HTTP and by FTP.
 *
 * Theory of operation. One thread runs the stack and all connections; it never
 * waits for anything but the host's wait, where devices, signals and finished
 * jobs come together. A few workers do what may sleep.
 *
 *	      tap            +---------------------+
 *	client <--> stack <--| a round of node.h:  |
 *	                     |  events -> conns    |---- jobs ---> workers:
 *	                     |  jobs done          |<--- eventfd --  open, read
 *	                     |  signals, tick      |                 in, write
 *	                     +---------------------+
 *
 * SIGTERM and SIGINT drain: no new connections, idle ones are closed, answers
 * that are under way may end within SERVE_DRAIN_US. A second signal does not
 * wait for them.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "cmd.h"
#include "file_send.h"
#include "guard.h"
#include "node.h"
#include "options.h"
#include "serve_ftp.h"
#include "serve_http.h"
#include "serve_tftp.h"

#define SERVICES_MAX 3
#define LENT_BYTES   (4u << 20) /* queued per connection */

struct serve_options {
	struct net_options net;
	struct serve_settings settings;
	struct ftp_settings ftp; /* port 0: none */
	const char *ftp_ports;
	struct tftp_settings tftp;
	struct option_list md5;
	uint64_t port;
	const char *stats;
	bool quiet;
};

static const struct option option_table[] = {
	NET_OPTIONS(serve_options, net),
	{ "port", 'p', OPTION_NUMBER, offsetof(struct serve_options, port), "N",
	  "listen on port N (80)", 1, 65535 },
	{ "writable", 'w', OPTION_FLAG,
	  offsetof(struct serve_options, settings.writable), NULL,
	  "let clients PUT files", 0, 0 },
	{ "max-upload", 0, OPTION_SIZE,
	  offsetof(struct serve_options, settings.upload_bytes_max), "SIZE",
	  "refuse uploads above SIZE, e.g. 100M (no limit)", 0, 0 },
	{ "max-connections", 0, OPTION_NUMBER,
	  offsetof(struct serve_options, settings.connections_max), "N",
	  "serve at most N clients at a time (1024)", 1, 100000 },
	{ "ftp", 0, OPTION_NUMBER, offsetof(struct serve_options, ftp.port),
	  "N", "serve by FTP, too, on port N", 1, 65535 },
	{ "ftp-ports", 0, OPTION_TEXT,
	  offsetof(struct serve_options, ftp_ports), "N-M",
	  "choose data connections' ports from N to M (49152-65535)", 0, 0 },
	{ "ftp-users", 0, OPTION_TEXT,
	  offsetof(struct serve_options, ftp.users), "FILE",
	  "let in who is in FILE, not anonymous; lines: user:hash", 0, 0 },
	{ "ftp-sessions", 0, OPTION_NUMBER,
	  offsetof(struct serve_options, ftp.sessions_max), "N",
	  "serve at most N FTP sessions at a time (256)", 1, 10000 },
	{ "ftp-per-client", 0, OPTION_NUMBER,
	  offsetof(struct serve_options, ftp.client_max), "N",
	  "of these at most N from one address (64)", 1, 10000 },
	{ "ftp-idle", 0, OPTION_NUMBER,
	  offsetof(struct serve_options, ftp.idle_s), "S",
	  "end sessions that say nothing for S seconds (300)", 1, 86400 },
	{ "tftp", 0, OPTION_NUMBER, offsetof(struct serve_options, tftp.port),
	  "N", "serve by TFTP, too, on port N (usually 69)", 1, 65535 },
	{ "tftp-transfers", 0, OPTION_NUMBER,
	  offsetof(struct serve_options, tftp.transfers_max), "N",
	  "have at most N TFTP transfers at a time (256)", 1, 10000 },
	{ "tftp-per-client", 0, OPTION_NUMBER,
	  offsetof(struct serve_options, tftp.client_max), "N",
	  "of these at most N with one address (32)", 1, 10000 },
	{ "copy", 0, OPTION_FLAG, offsetof(struct serve_options, settings.copy),
	  NULL, "copy files to the stack instead of lending them", 0, 0 },
	SIGN_OPTION(serve_options, md5),
	{ "stats", 0, OPTION_TEXT, offsetof(struct serve_options, stats),
	  "FILE", "write statistics at exit and on SIGUSR1", 0, 0 },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct serve_options, quiet),
	  NULL, "print no access log", 0, 0 },
};

static const struct grammar grammar = {
	.command = "serve",
	.arguments = "DIR",
	.arguments_min = 1,
	.arguments_max = 1,
	.purpose = "Serves the files below DIR by HTTP/1.1, and by FTP and "
		   "TFTP if it is asked to.\nThey go out of the page cache "
		   "without being copied in this process, but for a\nrest "
		   "below 512 bytes.",
	.notes = "Without --addr and --peer the kernel's end of the tap gets "
		 "10.98.N.1 and\nfd98:0:0:N::1, and the server the .2 and ::2 "
		 "beside them.\n\nSIGTERM and SIGINT end the server after the "
		 "responses under way; SIGUSR1\nwrites the statistics.",
	OPTIONS_OF(option_table),
};

/* Everything that lives as long as the command. */
struct serve {
	struct serve_options options;
	const char *directory;
	struct server server;
	struct http_server http;
	struct ftp_server ftp;
	struct ftp_users *ftp_users; /* read, and not the server's yet */
	struct tftp_server tftp;
	struct service *services[SERVICES_MAX];
	unsigned service_count;
	struct node node;
	struct net_addrs addrs;
	struct sign sign;
	uint32_t faults_seen; /* of file_maps_faults() */
};

static struct serve *serve_of(const struct node *node)
{
	return CONTAINER(node, struct serve, node);
}

/* --- setting up -------------------------------------------------------------
 */

/* A file per map and per upload; the usual soft limit is for select(2). */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int open_root(struct serve *s, const char *path)
{
	struct server *server = &s->server;
	int fd;

	server->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (server->root_fd < 0)
		return node_complain(&s->node, path, errno);
	fd = open_beneath(server->root_fd, ".", O_PATH | O_CLOEXEC, 0);
	if (fd < 0)
		return node_complain(&s->node,
				     "openat2(2), which keeps requests inside "
				     "of the directory and needs Linux 5.6",
				     -fd);
	close(fd);
	return EXIT_OK;
}

static struct tow_config choose_config(const struct serve_options *o)
{
	uint32_t clients = (uint32_t)o->settings.connections_max;
	struct tow_config cfg;

	if (o->ftp.port) /* each session has two connections */
		clients += 2 * (uint32_t)o->ftp.sessions_max;
	cfg = node_config(clients);
	cfg.tcp_max = 2 * clients + NODE_TIME_WAIT_MAX;
	if (o->ftp.port) /* and a listener */
		cfg.listener_max += (uint32_t)o->ftp.sessions_max;
	if (o->tftp.port) /* and as many that wait for their loans */
		cfg.udp_max += 2 * (uint32_t)o->tftp.transfers_max;
	cfg.send_bytes = LENT_BYTES;
	if (o->settings.copy) {
		cfg.send_bytes = LENT_BYTES / 4;
		cfg.tx_chunks = 16 * cfg.tx_chunks;
	}
	return cfg;
}

static void retry_waiters(struct file_map *map)
{
	struct list waiters;

	/* Who has to wait again joins the map's list anew. */
	list_init(&waiters);
	list_add(&map->waiters, &waiters);
	list_remove(&map->waiters);
	while (!list_empty(&waiters)) {
		struct file_sender *sender =
			CONTAINER(waiters.next, struct file_sender, waiting);

		list_remove(&sender->waiting);
		sender->resume(sender);
	}
}

/* With threads of its own, so that a slow fsync(2) holds up no reader. */
static int open_disk(struct serve *s)
{
	struct tow_disk_config cfg;
	int error;

	if (!s->options.settings.writable)
		return 0;
	tow_disk_config_default(&cfg);
	s->server.disk_blocks = cfg.blocks_max;
	error = tow_disk_open(&s->server.disk, &cfg);
	if (error)
		return error;
	return tow_host_watch(s->node.host, tow_disk_fd(s->server.disk),
			      POLLIN);
}

static int open_server(struct serve *s)
{
	struct server *server = &s->server;
	int error;

	server->settings = s->options.settings;
	server->stack = s->node.stack;
	server->clients = &s->node.clients;
	error = workers_open(&server->workers, SERVE_WORKERS);
	if (!error)
		error = workers_open(&server->movers, SERVE_WORKERS);
	if (!error && s->options.ftp.users)
		error = workers_open(&server->checkers, 1);
	if (!error && server->checkers)
		error = tow_host_watch(s->node.host,
				       workers_fd(server->checkers), POLLIN);
	if (!error)
		error = file_maps_open(&server->maps, server->movers,
				       server->workers, retry_waiters);
	if (!error && !s->options.quiet)
		error = access_log_open(&server->log, server->workers,
					STDOUT_FILENO);
	if (!error)
		error = open_disk(s);
	if (!error)
		error = tow_host_watch(s->node.host,
				       workers_fd(server->workers), POLLIN);
	if (!error)
		error = tow_host_watch(s->node.host, workers_fd(server->movers),
				       POLLIN);
	return error ? node_complain(&s->node, "starting", -error) : EXIT_OK;
}

static void add_service(struct serve *s, struct service *service)
{
	s->services[s->service_count++] = service;
}

static int choose_services(struct serve *s)
{
	uint64_t boundary;
	int error = tow_host_random(&boundary, sizeof(boundary));

	if (error)
		return node_complain(&s->node, "starting", -error);
	http_server_init(&s->http, &s->server, (uint16_t)s->options.port,
			 boundary);
	add_service(s, &s->http.service);
	if (s->options.ftp.port) {
		ftp_server_init(&s->ftp, &s->server, &s->options.ftp,
				s->ftp_users);
		s->ftp_users = NULL;
		add_service(s, &s->ftp.service);
	}
	if (s->options.tftp.port) {
		tftp_server_init(&s->tftp, &s->server, &s->options.tftp);
		add_service(s, &s->tftp.service);
	}
	return EXIT_OK;
}

static int start_listening(struct service *service)
{
	int error = service->listen(service);

	if (error)
		fprintf(stderr,
			"tow serve: listening on port %u for %s: %s%s\n",
			service->port, service->scheme, tow_strerror(error),
			error == TOW_EADDRINUSE
				? "; --port, --ftp and --tftp choose others"
				: "");
	return error ? EXIT_FAILED : EXIT_OK;
}

/* "50000-50099", or one port. */
static bool parse_ports(const char *text, struct ftp_settings *ftp)
{
	unsigned first, last;
	int used = 0;

	if (sscanf(text, "%5u-%5u%n", &first, &last, &used) != 2 || text[used])
		return false;
	ftp->port_first = first;
	ftp->port_last = last;
	return first > 0 && first <= last && last <= 65535;
}

/* What is wrong about the options is said before anything is made. */
static int prepare_ftp(struct serve *s)
{
	struct ftp_settings *ftp = &s->options.ftp;
	char error[256];

	if (s->options.ftp_ports && !parse_ports(s->options.ftp_ports, ftp)) {
		fprintf(stderr,
			"tow serve: --ftp-ports %s: not two ports as "
			"in 50000-50099\n",
			s->options.ftp_ports);
		return EXIT_USAGE;
	}
	if (!ftp->port && (ftp->users || s->options.ftp_ports)) {
		fprintf(stderr,
			"tow serve: %s is about --ftp, which is not there\n",
			ftp->users ? "--ftp-users" : "--ftp-ports");
		return EXIT_USAGE;
	}
	if (ftp->port &&
	    ftp_users_open(&s->ftp_users, ftp->users, error, sizeof(error))) {
		fprintf(stderr, "tow serve: --ftp-users: %s\n", error);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int set_up(struct node *node)
{
	struct serve *s = serve_of(node);
	struct tow_config cfg = choose_config(&s->options);
	int status = open_root(s, s->directory);
	unsigned i;

	raise_file_limit();
	if (status == EXIT_OK)
		status = prepare_ftp(s);
	if (status == EXIT_OK)
		status = sign_open(&s->sign, &s->options.md5, "serve");
	cfg.crypto = sign_crypto(&s->sign);
	if (cfg.crypto) /* copies for each listener, one for a connection */
		cfg.auth_keys = s->sign.count * cfg.listener_max + cfg.tcp_max;
	s->server.sign = &s->sign;
	if (status == EXIT_OK)
		status = node_open(node, &cfg);
	if (status == EXIT_OK)
		status = node_attach(node, &s->options.net, &s->addrs);
	if (status == EXIT_OK)
		status = open_server(s);
	if (status == EXIT_OK)
		status = choose_services(s);
	for (i = 0; status == EXIT_OK && i < s->service_count; i++)
		status = start_listening(s->services[i]);
	return status;
}

static void print_urls_of(const struct serve *s, const struct service *service)
{
	char text[TOW_ADDR_TEXT_MAX], port[8] = "";
	unsigned i;

	if (service->port != service->port_usual)
		snprintf(port, sizeof(port), ":%u", service->port);
	for (i = 0; i < s->addrs.count; i++) {
		const struct tow_addr *addr = &s->addrs.addrs[i];
		bool v4 = tow_addr_is_v4(addr);

		printf("%s %s://%s%s%s%s/", i ? " and" : "", service->scheme,
		       v4 ? "" : "[", tow_addr_format(addr, text, sizeof(text)),
		       v4 ? "" : "]", port);
	}
}

static void print_urls(const struct node *node)
{
	const struct serve *s = serve_of(node);
	unsigned i;

	printf("Serving %s at", s->directory);
	for (i = 0; i < s->service_count; i++) {
		if (i > 0)
			printf(s->addrs.count ? "," : "");
		print_urls_of(s, s->services[i]);
	}
	putchar('\n');
	fflush(stdout);
}

/* --- rounds -----------------------------------------------------------------
 */

static void on_clock(struct node *node)
{
	struct server *server = &serve_of(node)->server;

	server->now_us = node->now_us;
	server->now = node->now;
}

static void on_event(struct node *node, const struct tow_event *event)
{
	struct tow_disk *disk = serve_of(node)->server.disk;
	struct handler *handler = event->user;

	if (disk && tow_disk_event(disk, event))
		return;
	if (handler)
		handler->event(handler, event);
}

static void check_maps(struct serve *s, uint64_t age_us)
{
	unsigned i;

	for (i = 0; i < s->service_count; i++)
		s->services[i]->check_maps(s->services[i], age_us);
}

/* After a fault: what was sent of a file may not be the file's any more. */
static void check_faults(struct serve *s)
{
	if (s->faults_seen == file_maps_faults())
		return;
	s->faults_seen = file_maps_faults();
	check_maps(s, UINT64_MAX);
}

static void collect(struct serve *s, struct workers *workers)
{
	if (workers && tow_host_ready(s->node.host, workers_fd(workers)))
		workers_collect(workers);
}

static void run_disk(struct tow_disk *disk)
{
	struct tow_sink *sink;

	tow_disk_run(disk);
	while ((sink = tow_disk_next(disk))) {
		struct sink_user *user = tow_sink_user(sink);

		user->changed(user);
	}
	tow_disk_run(disk); /* what they gave it to do */
}

static void on_work(struct node *node)
{
	struct serve *s = serve_of(node);
	struct server *server = &s->server;

	collect(s, server->workers);
	collect(s, server->movers);
	collect(s, server->checkers);
	if (server->disk)
		run_disk(server->disk);
	check_faults(s);
}

static void on_tick(struct node *node)
{
	struct serve *s = serve_of(node);
	struct server *server = &s->server;
	unsigned i;

	check_maps(s, NODE_TICK_US / 2);
	for (i = 0; i < s->service_count; i++)
		s->services[i]->tick(s->services[i]);
	file_maps_tick(server->maps, server->now_us);
	if (server->log)
		access_log_flush(server->log);
}

static void on_reap(struct node *node)
{
	struct serve *s = serve_of(node);
	unsigned i;

	s->server.wake_us = 0;
	for (i = 0; i < s->service_count; i++)
		s->services[i]->reap(s->services[i]);
	node->wake_us = s->server.wake_us;
}

static void on_drain(struct node *node)
{
	struct serve *s = serve_of(node);
	unsigned i;

	s->server.draining = true;
	for (i = 0; i < s->service_count; i++)
		s->services[i]->drain(s->services[i]);
}

static bool is_busy(const struct node *node)
{
	const struct serve *s = serve_of(node);
	unsigned i;

	for (i = 0; i < s->service_count; i++)
		if (s->services[i]->busy(s->services[i]))
			return true;
	return false;
}

static void add_counts(const struct node *node, struct text *out)
{
	const struct serve *s = serve_of(node);
	unsigned i;

	for (i = 0; i < s->service_count; i++) {
		const struct service *service = s->services[i];

		if (!service->counts)
			continue;
		text_printf(out, "%s\"%s\": {", out->length ? ",\n  " : "",
			    service->scheme);
		service->counts(service, out);
		text_add(out, "}");
	}
}

/* --- the end ----------------------------------------------------------------
 */

/* What is still open is reset, and the last segments get a moment to leave. */
static void end_connections(struct node *node)
{
	struct serve *s = serve_of(node);
	struct server *server = &s->server;
	unsigned i;

	for (i = 0; i < s->service_count; i++)
		s->services[i]->end(s->services[i]);
	node_flush(node);
	if (server->log)
		access_log_end(server->log);
	if (server->checkers)
		workers_drain(server->checkers);
	workers_drain(server->movers);
	workers_drain(server->workers);
}

static void tear_down(struct node *node)
{
	struct serve *s = serve_of(node);
	struct server *server = &s->server;
	unsigned i;

	if (server->log)
		access_log_close(server->log);
	if (server->disk)
		tow_disk_close(server->disk);
	node_close(node);
	sign_close(&s->sign);
	for (i = 0; i < s->service_count; i++)
		s->services[i]->close(s->services[i]);
	file_send_free_loans(server);
	if (server->maps)
		file_maps_close(server->maps);
	if (s->ftp_users)
		ftp_users_close(s->ftp_users);
	if (server->checkers)
		workers_close(server->checkers);
	if (server->movers)
		workers_close(server->movers);
	if (server->workers)
		workers_close(server->workers);
	if (server->root_fd >= 0)
		close(server->root_fd);
}

static const struct node_ops node_ops = {
	.begin = set_up,
	.announce = print_urls,
	.clock = on_clock,
	.event = on_event,
	.work = on_work,
	.tick = on_tick,
	.reap = on_reap,
	.drain = on_drain,
	.busy = is_busy,
	.counts = add_counts,
	.end = end_connections,
	.close = tear_down,
};

int cmd_serve(int argc, char **argv)
{
	static struct serve serve;
	struct serve *s = &serve;
	struct option_list arguments;
	int status;

	s->options.net.wrap = guard_open;
	s->options.port = 80;
	s->options.ftp = (struct ftp_settings){
		.port_first = 49152,
		.port_last = 65535,
		.sessions_max = 256,
		.client_max = 64,
		.idle_s = 300,
	};
	s->options.tftp.transfers_max = TFTP_TRANSFERS_MAX;
	s->options.tftp.client_max = TFTP_CLIENT_MAX;
	s->options.settings.connections_max = 1024;
	s->server.root_fd = -1;
	s->node.command = "serve";
	s->node.ops = &node_ops;
	s->node.drain_us = SERVE_DRAIN_US;
	status = (int)options_parse(&grammar, argc, argv, &s->options,
				    &arguments);
	if (status != OPTIONS_RUN)
		return status;
	s->node.stats = s->options.stats;
	s->directory = arguments.items[0];
	return node_main(&s->node);
}
