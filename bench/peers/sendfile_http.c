/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel serves a file: the least HTTP server there can be around
 * sendfile(2), for ./demo to compare with without installing one.
 *
 *	sendfile_http ADDRESS PORT DIRECTORY
 *
 * Takes one connection after the other and one request on each: GET of a plain
 * name in DIRECTORY. Not a server for anything else.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUEST_BYTES 4096
#define PIECE_BYTES   (1u << 20)

static int listen_on(const char *address, const char *port)
{
	struct sockaddr_in local = { .sin_family = AF_INET };
	int fd = bench_tcp_socket();

	local.sin_port = htons((uint16_t)atoi(port));
	if (inet_pton(AF_INET, address, &local.sin_addr) != 1)
		bench_fail("%s: not an IPv4 address", address);
	if (bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0 ||
	    listen(fd, 16) < 0)
		bench_fail("%s:%s: %m", address, port);
	return fd;
}

/* Read up to the empty line. Returns the plain name that is asked for. */
static const char *read_request(int fd, char *request)
{
	size_t have = 0;
	char *name, *end;

	do {
		ssize_t got =
			read(fd, request + have, REQUEST_BYTES - 1 - have);

		if (got <= 0)
			return NULL;
		have += (size_t)got;
		request[have] = '\0';
	} while (!strstr(request, "\r\n\r\n") && have < REQUEST_BYTES - 1);
	if (strncmp(request, "GET /", 5) != 0)
		return NULL;
	name = request + 5;
	end = strchr(name, ' ');
	if (!end)
		return NULL;
	*end = '\0';
	return strchr(name, '/') || name[0] == '.' ? NULL : name;
}

static void say(int fd, const char *status, long long bytes)
{
	char text[256];
	int length = snprintf(text, sizeof(text),
			      "HTTP/1.1 %s\r\nContent-Length: %lld\r\n"
			      "Connection: close\r\n\r\n",
			      status, bytes);

	if (send(fd, text, (size_t)length, MSG_MORE) < 0)
		return;
}

static void send_file(int fd, int file, off_t bytes)
{
	off_t at = 0;

	while (at < bytes) {
		ssize_t sent = sendfile(fd, file, &at, PIECE_BYTES);

		if (sent == 0 || (sent < 0 && errno != EINTR))
			return;
	}
}

static void serve_one(int fd, int folder)
{
	char request[REQUEST_BYTES];
	const char *name = read_request(fd, request);
	struct stat status;
	int file = -1;

	if (name)
		file = openat(folder, name, O_RDONLY | O_CLOEXEC);
	if (file < 0 || fstat(file, &status) < 0 || !S_ISREG(status.st_mode)) {
		say(fd, "404 Not Found", 0);
	} else {
		say(fd, "200 OK", (long long)status.st_size);
		send_file(fd, file, status.st_size);
	}
	if (file >= 0)
		close(file);
}

int main(int argc, char **argv)
{
	int listener, folder;

	if (argc != 4)
		bench_fail("usage: %s ADDRESS PORT DIRECTORY", argv[0]);
	signal(SIGPIPE, SIG_IGN);
	folder = open(argv[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		bench_fail("%s: %m", argv[3]);
	listener = listen_on(argv[1], argv[2]);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			bench_fail("accept: %m");
		serve_one(fd, folder);
		shutdown(fd, SHUT_WR);
		close(fd);
	}
}
