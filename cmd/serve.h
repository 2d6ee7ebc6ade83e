/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVE_H
#define SERVE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <tow/file.h>
#include <tow/host.h>
#include <tow/tcp.h>
#include "access_log.h"
#include "base/list.h"
#include "clients.h"
#include "file_map.h"
#include "host/workers.h"
#include "sign.h"
#include "text.h"

/*
 * The file server, without the command around it: what its services share.
 *
 *	serve.c          options, rounds of the loop (node.h)
 *	serve_listen.c   listeners
 *	serve_http.h     HTTP
 *	serve_ftp.h      FTP
 *	serve_tftp.h     TFTP
 *	file_send.c      pages of files on their way out, by loans
 *	file_map.c       pages that are lent
 *
 * Everything here runs on the stack's thread but the work functions of jobs.
 */

/* Limits that hold for every service. */
#define SERVE_STALL_US	   30000000 /* for SERVE_PROGRESS_MIN bytes */
#define SERVE_PROGRESS_MIN 16384    /* bytes either way: about 4 kbit/s */
#define SERVE_DRAIN_US	   10000000 /* for what is under way after SIGTERM */
#define SERVE_LISTING_MAX  100000   /* entries of a directory shown */
#define SERVE_WORKERS	   4	    /* threads for short jobs, and for long */

struct serve_settings {
	bool writable;
	bool copy; /* send, do not lend: to compare */
	uint64_t connections_max;
	uint64_t upload_bytes_max; /* 0: no limit */
};

struct server {
	struct serve_settings settings;
	struct tow_stack *stack;
	struct clients *clients;
	const struct sign *sign;  /* what connections are signed by */
	struct tow_disk *disk;	  /* what clients write goes there */
	unsigned disk_blocks;	  /* that it has, for all of them */
	struct workers *workers;  /* for what is short: opening, listing, log */
	struct workers *movers;	  /* for what is long: reading in */
	struct workers *checkers; /* one thread, for passwords; or NULL */
	struct file_maps *maps;
	struct file_loan *free_loans;
	struct access_log *log; /* NULL: quiet */
	int root_fd;		/* the directory that is served */
	bool draining;

	uint64_t now_us;  /* of this round */
	uint64_t wake_us; /* when the next one is wanted, server_wake(); or 0 */
	time_t now;
};

/* In reap, anew in each round: another one is wanted then. */
static inline void server_wake(struct server *server, uint64_t at_us)
{
	if (server->wake_us == 0 || at_us < server->wake_us)
		server->wake_us = at_us;
}

/*
 * Handler: who looks after a listener, a connection or a socket.
 *
 * The user pointer of everything that a service makes in the stack points to
 * one, and each event goes to the handler that it names; so the loop needs to
 * know no service, and a service none of the others. What a handler lies in
 * must live until the round is over, because of events that were taken
 * together a later one may be about a handle that is closed by now, and until
 * the last loan or post is back.
 */
struct handler {
	void (*event)(struct handler *handler, const struct tow_event *event);
};

/*
 * Whoever writes a file: the user pointer of each sink points to one, which is
 * told once a round if the sink has changed.
 */
struct sink_user {
	void (*changed)(struct sink_user *user);
};

/*
 * Service: a protocol by which files are served. All of them share one stack
 * and one loop, which calls these in the order in which they stand here.
 */
struct service {
	const char *scheme; /* of the URLs that are printed: "http" */
	uint16_t port;
	uint16_t port_usual; /* of the scheme */

	/* Returns: 0, or what the stack said. */
	int (*listen)(struct service *service);
	void (*tick)(struct service *service); /* each NODE_TICK_US */
	/* End what relies on maps that are not sound; see file_send_check(). */
	void (*check_maps)(struct service *service, uint64_t age_us);
	void (*reap)(struct service *service); /* at the end of each round */
	/* No new clients; who asked for nothing goes, the others may end. */
	void (*drain)(struct service *service);
	bool (*busy)(const struct service *service); /* has clients */
	/* Reset all that is left. */
	void (*end)(struct service *service);
	/* The stack is closed: take back what is still on loan, and free. */
	void (*close)(struct service *service);
	/* NULL, or append what was counted: "a": 1, "b": 2 */
	void (*counts)(const struct service *service, struct text *out);
};

/*
 * serve_moves() - whether a transfer makes so much progress that it may go on
 * @bytes: that have moved so far
 * @mark:  as many as had moved at @since_us; both are kept here
 */
static inline bool serve_moves(const struct server *server, uint64_t bytes,
			       uint64_t *mark, uint64_t *since_us)
{
	if (bytes - *mark >= SERVE_PROGRESS_MIN) {
		*mark = bytes;
		*since_us = server->now_us;
	}
	return server->now_us - *since_us < SERVE_STALL_US;
}

/*
 * serve_listen(), serve_listen_end() - the listener of a service over TCP
 * @handler: of its events
 * @out:     NULL before, and again at the end
 *
 * By all addresses, and signed by whatever keys there are.
 *
 * Returns: 0, or what the stack said.
 */
int serve_listen(struct server *server, const struct service *service,
		 int backlog, struct handler *handler,
		 struct tow_listener **out);
void serve_listen_end(struct tow_listener **listener);

/* serve_open.c */
int open_beneath(int dir_fd, const char *path, uint64_t flags,
		 uint64_t resolve); /* a descriptor, or a negative errno */

#endif
