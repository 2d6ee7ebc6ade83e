/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options and small helpers of the measuring programs.
 *
 * One table for all of them: bench/run composes the command lines, people
 * hardly ever do, and a program ignores what is not its business.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	OPT_ADDR,
	OPT_PORT,
	OPT_WARM,
	OPT_SECONDS,
	OPT_SOURCE,
	OPT_BLOCK,
	OPT_QUEUE,
	OPT_DEV,
	OPT_LOCAL,
	OPT_MAC,
	OPT_BATCH,
	OPT_GRO,
	OPT_HOT,
	OPT_PAUSE,
	OPT_FLOWS,
	OPT_CONGESTION,
};

static const struct option options[] = {
	{ "addr", required_argument, NULL, OPT_ADDR },
	{ "port", required_argument, NULL, OPT_PORT },
	{ "warm", required_argument, NULL, OPT_WARM },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "source", required_argument, NULL, OPT_SOURCE },
	{ "block", required_argument, NULL, OPT_BLOCK },
	{ "queue", required_argument, NULL, OPT_QUEUE },
	{ "dev", required_argument, NULL, OPT_DEV },
	{ "local", required_argument, NULL, OPT_LOCAL },
	{ "mac", required_argument, NULL, OPT_MAC },
	{ "batch", required_argument, NULL, OPT_BATCH },
	{ "gro", no_argument, NULL, OPT_GRO },
	{ "hot", no_argument, NULL, OPT_HOT },
	{ "pause", required_argument, NULL, OPT_PAUSE },
	{ "flows", required_argument, NULL, OPT_FLOWS },
	{ "congestion", required_argument, NULL, OPT_CONGESTION },
	{ NULL, 0, NULL, 0 },
};

void bench_fail(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	exit(1);
}

uint64_t bench_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void bench_ready(void)
{
	puts("ready");
	fflush(stdout);
}

static double seconds_of(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (*end || end == text || !(seconds >= 0 && seconds <= 3600))
		bench_fail("%s: not a number of seconds from 0 to 3600", text);
	return seconds;
}

static unsigned long number_of(const char *text, unsigned long max)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*end || end == text || *text == '-' || number > max)
		bench_fail("%s: not a number from 0 to %lu", text, max);
	return number;
}

static void mac_of(uint8_t mac[6], const char *text)
{
	unsigned b[6];
	int i;

	if (sscanf(text, "%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4],
		   &b[5]) != 6)
		bench_fail("%s: not an Ethernet address", text);
	for (i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
}

static void take(struct bench_args *args, int option)
{
	switch (option) {
	case OPT_ADDR:
		if (inet_pton(AF_INET, optarg, &args->addr) != 1)
			bench_fail("%s: not an IPv4 address", optarg);
		break;
	case OPT_PORT:
		args->port = (uint16_t)number_of(optarg, 65535);
		break;
	case OPT_WARM:
		args->warm_s = seconds_of(optarg);
		break;
	case OPT_SECONDS:
		args->window_s = seconds_of(optarg);
		break;
	case OPT_SOURCE:
		args->source_fd = (int)number_of(optarg, 65535);
		break;
	case OPT_BLOCK:
		args->block_bytes = number_of(optarg, 1ul << 30);
		break;
	case OPT_QUEUE:
		args->queue_bytes = number_of(optarg, 1ul << 30);
		break;
	case OPT_DEV:
		args->dev = optarg;
		break;
	case OPT_LOCAL:
		args->local = optarg;
		break;
	case OPT_MAC:
		mac_of(args->mac, optarg);
		break;
	case OPT_BATCH:
		args->batch = (unsigned)number_of(optarg, 64);
		break;
	case OPT_GRO:
		args->gro = true;
		break;
	case OPT_PAUSE:
		args->pause_us = (unsigned)number_of(optarg, 1000000);
		break;
	case OPT_FLOWS:
		args->flows = (unsigned)number_of(optarg, 1000);
		break;
	case OPT_CONGESTION:
		args->congestion = optarg;
		break;
	case OPT_HOT:
		args->hot = true;
		break;
	default:
		exit(2);
	}
}

void bench_args_parse(struct bench_args *args, int argc, char **argv,
		      const char *modes)
{
	int option;

	*args = (struct bench_args){
		.port = 7000,
		.warm_s = 0.3,
		.window_s = 1,
		.source_fd = -1,
		.block_bytes = 256 << 10,
		.batch = 1,
		.flows = 1,
	};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		take(args, option);
	if (optind + 1 != argc)
		bench_fail("usage: %s %s [options]", argv[0], modes);
	args->mode = argv[optind];
	if (args->block_bytes == 0)
		bench_fail("--block 0: a block has at least one byte");
}

int bench_tcp_socket(void)
{
	static const char cubic[] = "cubic";
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int one = 1;

	if (fd < 0)
		bench_fail("socket: %m");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* When it is refused, the row says which one it got instead. */
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cubic, sizeof(cubic) - 1);
	return fd;
}

const char *bench_tcp_congestion(int fd)
{
	static char name[17];
	socklen_t bytes = sizeof(name) - 1;

	memset(name, 0, sizeof(name));
	if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &bytes) < 0)
		return "unknown";
	return name;
}
