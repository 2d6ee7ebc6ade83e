/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tow get: a download over the stack.
 *
 * Theory of operation. One connection per request; a redirect makes a new one.
 *
 *	resolve -> connect -> request -> head -> body -> done
 *	   ^          | next address        |
 *	   +----------+---------------------+ redirect
 *
 * The body goes into the file by a sink (tow/file.h): what was borrowed with
 * the head is written from where the device put it; then blocks are posted for
 * the rest. What is chunked, or goes to stdout, stays borrowed to the end. No
 * byte is copied in this process, either way. Names are looked up by the system,
 * because that is where /etc/hosts and resolvers are set up.
 *
 * fetch() runs until the struct says how it ended: an exit status, and a
 * sentence where it failed.
 */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/host.h>
#include <tow/tcp.h>
#include "cmd.h"
#include "get_output.h"
#include "http_message.h"
#include "node.h"
#include "options.h"
#include "progress.h"
#include "sign.h"
#include "url.h"

#define EVENTS_MAX    64
#define ADDRS_MAX     16
#define REDIRECTS_MAX 10
#define CONNECT_US    20000000 /* for each address */
#define SILENCE_US    60000000 /* no byte for so long is the end */
#define TICK_US	      200000

/* Exit statuses beside those of cmd.h; they stand in tow(1). */
enum get_status {
	GET_CONNECT = 3, /* the server could not be reached */
	GET_HTTP = 4,	 /* it answered with an error */
	GET_BROKEN = 5,	 /* the answer ended too early, or made no sense */
	GET_OUTPUT = 6,	 /* the file could not be written */
	GET_INTERRUPTED = 130,
};

struct get_options {
	struct net_options net;
	const char *output, *stats;
	bool resume, quiet;
	struct option_list md5;
};

static const struct option option_table[] = {
	{ "output", 'o', OPTION_TEXT, offsetof(struct get_options, output),
	  "FILE", "write to FILE; - is stdout (the URL's last part)", 0, 0 },
	{ "continue", 'C', OPTION_FLAG, offsetof(struct get_options, resume),
	  NULL, "continue FILE.part of a download that was cut off", 0, 0 },
	NET_OPTIONS(get_options, net),
	SIGN_OPTION(get_options, md5),
	{ "stats", 0, OPTION_TEXT, offsetof(struct get_options, stats), "FILE",
	  "write statistics at exit and on SIGUSR1", 0, 0 },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct get_options, quiet), NULL,
	  "show no progress, only errors", 0, 0 },
};

static const struct grammar grammar = {
	.command = "get",
	.arguments = "URL",
	.arguments_min = 1,
	.arguments_max = 1,
	.purpose = "Downloads the file that an http:// URL names.",
	.notes = "While it is not whole, the file is called FILE.part.\n\n"
		 "exit status: 0 done, 1 failed here, 2 wrong options, "
		 "3 no connection,\n4 HTTP error, 5 transfer broken off, "
		 "6 file not written, 130 interrupted",
	OPTIONS_OF(option_table),
};

enum step {
	STEP_CONNECTING,
	STEP_RECEIVING,
	STEP_REDIRECTED, /* the message names another URL */
	STEP_DONE,
	STEP_FAILED,
};

struct get {
	struct get_options options;
	struct node node;
	struct sign sign;
	struct tow_tcp *tcp;
	struct url url;
	struct tow_endpoint addrs[ADDRS_MAX];
	unsigned addr_count, addr_next;
	struct http_message message;
	struct output output;
	struct progress progress;
	uint64_t now_us, began_us;
	uint64_t heard_us; /* when the server last said something */
	uint64_t shown;	   /* progress when it was looked at last */
	size_t held;	   /* borrowed bytes that the output may read */
	bool taking;	   /* posted blocks have the rest of the body */
	bool ended;	   /* the message is complete */
	bool drained;	   /* there is nothing to borrow now */
	uint64_t first;	   /* bytes that were there when we asked */
	uint64_t total;	   /* of the whole file, 0: not known */
	enum step step;
	int status; /* with STEP_FAILED */
	char failure[512];
};

/* --- how it ends
 * --------------------------------------------------------------- */

static void TOW_PRINTF(3, 4)
	fail(struct get *g, int status, const char *format, ...)
{
	va_list args;

	if (g->step == STEP_FAILED)
		return;
	va_start(args, format);
	vsnprintf(g->failure, sizeof(g->failure), format, args);
	va_end(args);
	g->status = status;
	g->step = STEP_FAILED;
}

static void fail_output(struct get *g, int error)
{
	fail(g, GET_OUTPUT, "writing %s: %s",
	     g->output.to_stdout ? "to stdout" : g->output.part,
	     strerror(-error));
}

/* --- addresses
 * ------------------------------------------------------------------- */

static void add_addr(struct get *g, const struct tow_addr *addr)
{
	if (g->addr_count < ADDRS_MAX)
		g->addrs[g->addr_count++] =
			(struct tow_endpoint){ .addr = *addr,
					       .port = g->url.port };
}

static void add_sockaddr(struct get *g, const struct sockaddr *sa)
{
	struct tow_addr addr;

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;
		const uint8_t *b = (const uint8_t *)&in->sin_addr;

		addr = tow_addr_v4(b[0], b[1], b[2], b[3]);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		addr = tow_addr_v6(in6->sin6_addr.s6_addr);
	} else {
		return;
	}
	add_addr(g, &addr);
}

static void look_up(struct get *g)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *at;
	struct tow_addr addr;
	int error;

	if (tow_addr_parse(&addr, g->url.host) == 0) {
		add_addr(g, &addr);
		return;
	}
	error = getaddrinfo(g->url.host, NULL, &hints, &list);
	if (error) {
		fail(g, GET_CONNECT, "looking up %s: %s", g->url.host,
		     gai_strerror(error));
		return;
	}
	for (at = list; at; at = at->ai_next)
		add_sockaddr(g, at->ai_addr);
	freeaddrinfo(list);
	if (g->addr_count == 0)
		fail(g, GET_CONNECT, "%s has no address", g->url.host);
}

static void resolve(struct get *g)
{
	char text[TOW_ADDR_TEXT_MAX];

	g->addr_count = g->addr_next = 0;
	look_up(g);
	if (g->addr_count && net_is_loopback(&g->addrs[0].addr))
		fail(g, GET_CONNECT, "%s is " NET_LOOPBACK_HINT,
		     tow_addr_format(&g->addrs[0].addr, text, sizeof(text)));
}

/* --- connecting
 * -------------------------------------------------------------------- */

static int wait_for_events(struct get *g, int64_t timeout_us);

/* What the output reads belongs to the connection, or is posted to it. */
static void settle(struct get *g)
{
	if (g->output.sink)
		tow_sink_stop(g->output.sink);
	while (output_is_busy(&g->output))
		(void)wait_for_events(g, TICK_US);
}

static void drop_connection(struct get *g, bool hard)
{
	if (!g->tcp)
		return;
	settle(g);
	g->held = 0;
	g->taking = g->ended = false;
	if (hard)
		tow_tcp_abort(g->tcp);
	else
		tow_tcp_close(g->tcp);
	g->tcp = NULL;
}

/* Try the next address; when there is none, @why is what was wrong. */
static void connect_next(struct get *g, const char *why)
{
	char text[URL_HOST_MAX + 16];
	int error = 0;

	drop_connection(g, true);
	while (g->addr_next < g->addr_count) {
		struct tow_endpoint *to = &g->addrs[g->addr_next++];

		error = tow_tcp_connect(g->node.stack, NULL, to, &g->tcp);
		if (error == 0) {
			error = sign_connection(&g->sign, g->tcp);
			if (error)
				tow_tcp_abort(g->tcp);
		}
		if (error == 0) {
			g->heard_us = g->now_us;
			g->step = STEP_CONNECTING;
			return;
		}
		g->tcp = NULL;
		why = tow_strerror(error);
	}
	url_authority(&g->url, text, sizeof(text));
	fail(g, GET_CONNECT, "connecting to %s: %s%s", text, why,
	     error == TOW_ENETUNREACH ? "; --gw tells the way" : "");
}

static void send_request(struct get *g)
{
	char authority[URL_HOST_MAX + 16];
	struct text request = { 0 };

	url_authority(&g->url, authority, sizeof(authority));
	text_printf(&request,
		    "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tow/%s\r\n"
		    "Accept: */*\r\nConnection: close\r\n",
		    g->url.target, authority, tow_version());
	g->first = output_bytes(&g->output);
	if (g->first > 0)
		text_printf(&request,
			    "Range: bytes=%" PRIu64 "-\r\nIf-Range: %s\r\n",
			    g->first, g->output.tag);
	text_add(&request, "\r\n");
	if (!text_ok(&request) ||
	    tow_tcp_send(g->tcp, request.bytes, request.length, 0) !=
		    (int64_t)request.length)
		fail(g, EXIT_FAILED, "out of memory for the request");
	text_free(&request);
	http_message_begin(&g->message, HTTP_RESPONSE);
	if (g->step != STEP_FAILED)
		g->step = STEP_RECEIVING;
}

/* --- the head
 * ------------------------------------------------------------------------ */

static void begin_whole(struct get *g)
{
	const char *tag = http_message_field(&g->message, FIELD_ETAG);
	int error;

	if (g->first > 0 && !g->options.quiet) {
		progress_end(&g->progress);
		fprintf(stderr, "tow get: the file has changed since; "
				"beginning anew\n");
	}
	/* A weak tag cannot vouch for bytes; a date can, in If-Range. */
	if (!tag || tag[0] != '"')
		tag = http_message_field(&g->message, FIELD_LAST_MODIFIED);
	g->first = 0;
	g->total = g->message.length_known ? g->message.content_length : 0;
	error = output_begin(&g->output, 0, tag, g->total);
	if (error)
		fail_output(g, error);
}

/* RFC 9110 15.3.7.3: parts of different versions must not be combined. */
static bool is_other_version(const struct get *g)
{
	const char *tag = http_message_field(
		&g->message,
		g->output.tag[0] == '"' ? FIELD_ETAG : FIELD_LAST_MODIFIED);

	return g->first > 0 && tag && strcmp(tag, g->output.tag) != 0;
}

static void begin_rest(struct get *g)
{
	const char *range =
		http_message_field(&g->message, FIELD_CONTENT_RANGE);
	uint64_t first, last, total;
	int error;

	if (is_other_version(g)) {
		(void)output_begin(&g->output, 0, NULL, 0);
		fail(g, GET_BROKEN,
		     "the server sent a part of another version of the file");
		return;
	}
	if (!range ||
	    sscanf(range, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64, &first,
		   &last, &total) != 3 ||
	    first != g->first || first > last || last != total - 1) {
		fail(g, GET_BROKEN,
		     "the server sent another part of the file "
		     "than it was asked for");
		return;
	}
	g->total = total;
	error = output_begin(&g->output, first, NULL, total - first);
	if (error)
		fail_output(g, error);
}

/* 416: there is nothing behind what we have; is that because it is all? */
static void begin_nothing(struct get *g)
{
	const char *range =
		http_message_field(&g->message, FIELD_CONTENT_RANGE);
	uint64_t total;

	if (g->first > 0 && range &&
	    sscanf(range, "bytes */%" SCNu64, &total) == 1 &&
	    total == g->first) {
		g->step = STEP_DONE;
		return;
	}
	fail(g, GET_HTTP,
	     "the server says 416 Range Not Satisfiable; "
	     "try without -C");
}

static void take_head(struct get *g)
{
	int status = (int)g->message.parser.status_code;

	switch (status) {
	case 200:
	case 203:
		begin_whole(g);
		break;
	case 206:
		begin_rest(g);
		break;
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		g->step = STEP_REDIRECTED;
		break;
	case 416:
		begin_nothing(g);
		break;
	default:
		if (status >= 200)
			fail(g, GET_HTTP, "the server says %d %s", status,
			     http_status_str((enum http_status)status));
		break; /* 1xx: the real one follows */
	}
}

/* --- the body
 * -------------------------------------------------------------------------- */

static void write_body(struct get *g)
{
	struct http_message *m = &g->message;
	int error = output_write(&g->output, m->body, m->body_count);

	m->body_count = 0; /* nothing is fed while the output is busy */
	if (error)
		fail_output(g, error);
}

static void fail_short(struct get *g, const char *what)
{
	char have[16], want[16];

	fail(g, GET_BROKEN, "%s after %s of %s", what,
	     format_bytes(output_bytes(&g->output), have, sizeof(have)),
	     format_bytes(g->total, want, sizeof(want)));
}

/* A part may be framed otherwise than its Content-Range says. */
static void take_end(struct get *g)
{
	if (g->total > 0 && output_bytes(&g->output) != g->total)
		fail_short(g, "the answer ended");
	else
		g->step = STEP_DONE;
}

/* 1xx: the real answer follows. */
static void take_done(struct get *g)
{
	struct http_message *m = &g->message;

	if (m->parser.status_code < 200)
		http_message_begin(m, HTTP_RESPONSE);
	else
		g->ended = true;
}

/* Feed one span; how far is up to the step, which may end in the middle. */
static void feed(struct get *g, const struct tow_span *span)
{
	const uint8_t *at = span->ptr;
	size_t left = span->len, used;

	while (left > 0 && g->step == STEP_RECEIVING && !g->ended) {
		switch (http_message_feed(&g->message, at, left, &used)) {
		case HTTP_HEAD_READY:
			take_head(g);
			break;
		case HTTP_DONE:
			take_done(g);
			break;
		case HTTP_BAD:
			fail(g, GET_BROKEN, "the answer is not HTTP: %s",
			     g->message.problem);
			break;
		case HTTP_MORE:
			break;
		}
		at += used;
		left -= used;
	}
}

static void feed_all(struct get *g, const struct tow_span *spans, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		g->held += spans[i].len;
		feed(g, &spans[i]);
	}
	if (g->step == STEP_RECEIVING)
		write_body(g);
}

static void take_close(struct get *g)
{
	if (g->message.head_ready && http_message_end(&g->message)) {
		take_end(g);
		return;
	}
	if (!g->message.head_ready)
		fail(g, GET_BROKEN,
		     "the server closed the connection without "
		     "an answer");
	else if (g->total > 0)
		fail_short(g, "the server closed the connection");
	else
		fail(g, GET_BROKEN,
		     "the server closed the connection in the "
		     "middle of the answer");
}

/* The rest of the body is all that the connection will bring. */
static bool may_post(const struct get *g)
{
	const struct http_message *m = &g->message;

	return !g->output.to_stdout && m->head_ready && !m->head_lf &&
	       !(m->parser.flags & F_CHUNKED);
}

static void post(struct get *g)
{
	const struct http_message *m = &g->message;
	uint64_t bytes = m->length_known ? m->content_length - m->body_bytes
					 : TOW_SINK_NO_LIMIT;
	int error = tow_sink_take(g->output.sink, g->tcp, bytes);

	if (error)
		fail(g, GET_BROKEN, "receiving: %s", tow_strerror(error));
	g->taking = true;
}

/* The sink has got the rest of the body, or what there was of it. */
static void take_rest(struct get *g)
{
	struct tow_sink_info info;

	g->taking = false;
	tow_sink_info(g->output.sink, &info);
	if (info.conn_status) {
		fail(g, GET_BROKEN, "receiving: %s",
		     tow_strerror(info.conn_status));
	} else if (info.conn_done) {
		take_close(g);
	} else {
		http_message_skip_body(&g->message);
		take_end(g);
	}
}

static void return_held(struct get *g)
{
	tow_tcp_return(g->tcp, g->held);
	g->held = 0;
}

static void borrow(struct get *g)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n = tow_tcp_borrow(g->tcp, spans, TOW_SPANS_MAX);

	g->drained = n == TOW_EAGAIN;
	if (n == 0)
		take_close(g);
	else if (n > 0)
		feed_all(g, spans, n);
	else if (n != TOW_EAGAIN)
		fail(g, GET_BROKEN, "receiving: %s", tow_strerror(n));
	if (n > 0)
		g->heard_us = g->now_us;
}

/* Go on, as far as there is input and the output is idle. */
static void receive(struct get *g)
{
	g->drained = false;
	while (g->tcp && g->step == STEP_RECEIVING && !g->drained &&
	       !output_is_busy(&g->output)) {
		return_held(g);
		if (g->taking)
			take_rest(g);
		else if (g->ended)
			take_end(g);
		else if (may_post(g))
			post(g);
		else
			borrow(g);
	}
}

/* --- the loop
 * ----------------------------------------------------------------------------
 */

static void take_event(struct get *g, const struct tow_event *event)
{
	char gone[NODE_GONE_TEXT_MAX];

	if (event->type == TOW_EVENT_DEVICE) {
		fail(g, EXIT_FAILED, "%s",
		     node_gone(&g->node, (int)event->token, gone));
		return;
	}
	if (!g->tcp || event->object != g->tcp)
		return;
	switch (event->type) {
	case TOW_EVENT_CONNECTED:
		if (g->step == STEP_CONNECTING)
			send_request(g);
		break;
	case TOW_EVENT_CLOSED: /* else: what came before it, and why */
		if (g->step == STEP_CONNECTING)
			connect_next(g, tow_strerror(event->status));
		break;
	default:
		break;
	}
}

static void check_time(struct get *g)
{
	uint64_t silent_us = g->now_us - g->heard_us;

	if (g->step == STEP_CONNECTING && silent_us > CONNECT_US)
		connect_next(g, "no answer");
	else if (g->step == STEP_RECEIVING && silent_us > SILENCE_US)
		fail(g, GET_BROKEN, "the server has been silent for %d seconds",
		     SILENCE_US / 1000000);
}

static void take_signals(struct get *g)
{
	enum node_wish wish;

	while ((wish = node_signal(&g->node)) != NODE_GO_ON) {
		if (wish == NODE_SAVE)
			(void)node_save(&g->node);
		else
			fail(g, GET_INTERRUPTED, "interrupted");
	}
}

/* Returns: 0, or why the output failed. */
static int wait_for_events(struct get *g, int64_t timeout_us)
{
	struct tow_event events[EVENTS_MAX];
	int i, count;

	count = tow_host_wait(g->node.host, events, EVENTS_MAX, timeout_us);
	g->now_us = tow_host_clock_us();
	for (i = 0; i < count; i++)
		if (!g->output.disk ||
		    !tow_disk_event(g->output.disk, &events[i]))
			take_event(g, &events[i]);
	return output_run(&g->output);
}

static void show_progress(struct get *g)
{
	uint64_t bytes = output_progress(&g->output);

	if (bytes != g->shown)
		g->heard_us = g->now_us;
	g->shown = bytes;
	progress_update(&g->progress, bytes, g->total, g->now_us);
}

static void run_once(struct get *g)
{
	int error = wait_for_events(g, TICK_US);

	if (error)
		fail_output(g, error);
	else if (g->step == STEP_RECEIVING)
		receive(g);
	take_signals(g);
	show_progress(g);
	check_time(g);
}

static void fetch(struct get *g)
{
	resolve(g);
	if (g->step == STEP_FAILED)
		return;
	connect_next(g, "no address");
	while (g->step == STEP_CONNECTING || g->step == STEP_RECEIVING)
		run_once(g);
	drop_connection(g, g->step == STEP_FAILED);
}

static void follow(struct get *g)
{
	const char *location = http_message_field(&g->message, FIELD_LOCATION);
	struct url next;
	const char *problem;

	if (!location) {
		fail(g, GET_HTTP, "the server redirects without saying where");
		return;
	}
	problem = url_resolve(location, &g->url, &next);
	if (problem) {
		fail(g, GET_HTTP, "the server redirects to '%.200s', which %s",
		     location, problem);
		return;
	}
	g->url = next;
}

static void fetch_all(struct get *g)
{
	int redirects = 0;

	g->step = STEP_REDIRECTED;
	while (g->step == STEP_REDIRECTED) {
		fetch(g);
		if (g->step == STEP_REDIRECTED) {
			follow(g);
			if (++redirects > REDIRECTS_MAX)
				fail(g, GET_HTTP, "too many redirects");
		}
	}
}

/* --- the command
 * ----------------------------------------------------------------------------
 */

static int open_output(struct get *g)
{
	char name[NAME_MAX + 1];
	int error;

	url_file_name(&g->url, name, sizeof(name));
	error = output_open(&g->output,
			    g->options.output ? g->options.output : name,
			    g->options.resume);
	if (!error && g->output.disk)
		error = tow_host_watch(g->node.host,
				       tow_disk_fd(g->output.disk), POLLIN);
	if (!error)
		return EXIT_OK;
	fprintf(stderr, "tow get: opening %s: %s\n",
		g->output.part[0] ? g->output.part : name, strerror(-error));
	return GET_OUTPUT;
}

static void print_summary(const struct get *g)
{
	double seconds = (double)(g->now_us - g->began_us) / 1e6;
	uint64_t have = output_bytes(&g->output);
	char bytes[16], rate[16];

	if (g->options.quiet || g->output.to_stdout)
		return;
	fprintf(stderr, "%s: %s in %.2f s, %s/s\n", g->output.name,
		format_bytes(have, bytes, sizeof(bytes)), seconds,
		format_bytes((uint64_t)((double)(have - g->first) /
					(seconds > 0 ? seconds : 1e-6)),
			     rate, sizeof(rate)));
}

static int finish(struct get *g)
{
	bool resumable;
	int error = 0;

	progress_end(&g->progress);
	if (g->step == STEP_DONE) {
		error = output_finish(&g->output);
		if (error)
			fail_output(g, error);
	}
	if (g->step == STEP_DONE) {
		print_summary(g);
		return EXIT_OK;
	}
	resumable = output_abandon(&g->output);
	fprintf(stderr, "tow get: %s%s\n", g->failure,
		resumable ? " (-C continues from here)" : "");
	return g->status;
}

static int run(struct get *g)
{
	struct net_addrs addrs;
	int status;

	status = open_output(g);
	if (status != EXIT_OK)
		return status;
	g->options.net.client = true;
	status = node_attach(&g->node, &g->options.net, &addrs);
	if (status != EXIT_OK) {
		(void)output_abandon(&g->output);
		node_abandon(&g->node);
		return status;
	}
	g->now_us = g->began_us = tow_host_clock_us();
	g->shown = output_bytes(&g->output);
	progress_begin(&g->progress, g->options.quiet, g->shown, g->now_us);
	fetch_all(g);
	status = finish(g);
	node_flush(&g->node);
	if (node_save(&g->node) != EXIT_OK && status == EXIT_OK)
		status = EXIT_FAILED;
	return status;
}

int cmd_get(int argc, char **argv)
{
	static struct get get;
	struct get *g = &get;
	struct option_list arguments;
	struct tow_config config;
	const char *problem;
	int status;

	status = (int)options_parse(&grammar, argc, argv, &g->options,
				    &arguments);
	if (status != OPTIONS_RUN)
		return status;
	problem = url_parse(arguments.items[0], &g->url);
	if (problem) {
		fprintf(stderr, "tow get: '%s' %s\n", arguments.items[0],
			problem);
		return EXIT_USAGE;
	}
	if (g->options.resume && g->options.output &&
	    strcmp(g->options.output, "-") == 0) {
		fputs("tow get: -C continues a file, and stdout is none\n",
		      stderr);
		return EXIT_USAGE;
	}
	g->node.command = "get";
	g->node.stats = g->options.stats;
	tow_config_default(&config);
	status = sign_open(&g->sign, &g->options.md5, "get");
	config.crypto = sign_crypto(&g->sign);
	if (status == EXIT_OK)
		status = node_open(&g->node, &config);
	if (status == EXIT_OK)
		status = run(g);
	output_close(&g->output);
	node_close(&g->node);
	sign_close(&g->sign);
	http_message_free(&g->message);
	return status;
}
