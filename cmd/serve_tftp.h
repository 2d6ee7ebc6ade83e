/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SERVE_TFTP_H
#define SERVE_TFTP_H

#include <tow/file.h>
#include <tow/udp.h>
#include "file_send.h"
#include "serve.h"
#include "tftp_ascii.h"
#include "tftp_packet.h"

/*
 * TFTP in the file server.
 *
 *	serve_tftp.c    the known port, transfers, time limits, their ends
 *	tftp_read.c     RRQ: windows of blocks, lent out of the page cache
 *	tftp_write.c    WRQ: blocks into posted memory, and from there to disk
 *	tftp_packet.c   packets
 *	tftp_ascii.c    netascii
 *
 *	client        known port      dedicated port, a transfer's own
 *	RRQ, WRQ ------> |
 *	                 +--- opens --> |
 *	  <------------------ OACK, DATA or ACK
 *	DATA or ACK ------------------> |
 */
#define TFTP_PORT	   69
#define TFTP_WINDOW_MAX	   64 /* blocks; as many as we agree to */
#define TFTP_TRAIN_MAX	   8  /* blocks that go down as one message */
#define TFTP_TIMEOUT_S	   1  /* before something is sent again; doubled */
#define TFTP_AGREED_S_MAX  30 /* the longest that a client gets by option */
#define TFTP_TRIES	   6  /* of it without progress, then it is over */
#define TFTP_USUAL_S	   5  /* the timeout of clients that say none */
#define TFTP_TRANSFERS_MAX 256
#define TFTP_CLIENT_MAX	   32 /* transfers of one address */
#define TFTP_POSTS	   2  /* in turn: one is filled, one is ready */

/*
 * Blocks of 1500 bytes with all headers: of a larger one, which leaves in
 * fragments, one that is lost loses all.
 */
#define TFTP_BLKSIZE4 1468
#define TFTP_BLKSIZE6 1448

struct tftp_settings {
	uint64_t port; /* 0: none */
	uint64_t transfers_max;
	uint64_t client_max;
};

struct tftp_server {
	struct service service;
	struct server *server;
	struct tftp_settings settings;
	struct handler handler; /* of the known port's events */
	struct tow_udp *udp;
	struct list transfers; /* of struct transfer, oldest first */
	struct list dead;
	unsigned count;
	uint64_t reads, writes, failures, moved_bytes; /* since the start */
};

/*
 * A transfer's states.
 *
 *	RRQ  OPENING -> OFFERING -> SENDING ----------------------------> GONE
 *	     (a worker)  (OACK)
 *	WRQ  OPENING ------------> RECEIVING -> COMMITTING -> LINGERING -> GONE
 *	     (the disk)                         (the disk)
 */
enum transfer_state {
	TRANSFER_OPENING,
	TRANSFER_OFFERING,   /* RRQ: the options, until ACK 0 */
	TRANSFER_SENDING,    /* blocks, until the last is acknowledged */
	TRANSFER_RECEIVING,  /* takes blocks */
	TRANSFER_COMMITTING, /* has all; the file gets its name */
	TRANSFER_LINGERING,  /* the last ACK was sent, and may be lost */
	TRANSFER_GONE, /* the socket is closed; loans, posts, jobs are out */
};

/* Blocks that were lent: their headers, and a user of the file's pages. */
struct tftp_flight {
	struct list link;
	struct transfer *transfer;
	struct file_map *map;
	uint8_t headers[TFTP_TRAIN_MAX][TFTP_HEADER_BYTES];
};

/* Memory of the sink that blocks land in. */
struct tftp_post {
	uint8_t *memory;
	uint64_t token;
	size_t kept; /* bytes at its beginning that are the file's */
};

struct transfer {
	struct handler handler;
	struct list link; /* in tftp->transfers or tftp->dead */
	struct tftp_server *tftp;
	struct server *server;
	struct tow_udp *udp; /* NULL once closed */
	struct tow_endpoint peer;
	char peer_text[TOW_ADDR_TEXT_MAX];
	struct tftp_request request;
	struct tftp_request agreed; /* options of the OACK */
	char path[TFTP_NAME_MAX];
	enum transfer_state state;
	int status; /* for the log */
	uint32_t blksize, window;

	uint64_t timeout_us; /* of the next wait */
	uint64_t since_us;   /* when we last sent something worth an answer */
	unsigned tries;
	uint64_t moved_bytes;
	unsigned out; /* posts whose event is owed, and jobs */

	/* RRQ. Blocks are counted from 1, and on beyond 65535. */
	struct file_sender file; /* only to wait for pages, and to check them */
	struct list flights;
	uint64_t acked, sent;
	uint64_t last; /* number of the last block; 0: not known yet */
	bool resent;   /* for an ACK that came twice: once is enough */
	struct ascii_encoder encoders[TFTP_WINDOW_MAX + 1]; /* from acked on */

	/* WRQ. */
	struct sink_user sink_user;
	struct tow_sink *sink;
	struct tftp_post posts[TFTP_POSTS]; /* the first is being filled */
	unsigned post_count;
	uint64_t post_token;
	uint64_t got; /* blocks in order */
	unsigned since_ack;
	bool ack_owed, gap_told;
	bool whole; /* the last block came */
	struct ascii_decoder decoder;
};

/* serve_tftp.c */
void tftp_server_init(struct tftp_server *tftp, struct server *server,
		      const struct tftp_settings *settings);
void transfer_enter(struct transfer *t, enum transfer_state state);
void transfer_send(struct transfer *t, const void *packet, size_t bytes);
void transfer_progress(struct transfer *t);
void transfer_fail(struct transfer *t, enum tftp_code code,
		   const char *message); /* tells the peer, and ends it */
void transfer_end(struct transfer *t, int status);
void transfer_log(struct transfer *t, int status); /* of HTTP; 0 is none yet */
void transfer_release(struct transfer *t);	   /* something came back */

/* tftp_read.c */
void read_begin(struct transfer *t);
void read_packet(struct transfer *t, const uint8_t *packet, size_t bytes);
void read_send(struct transfer *t);  /* what may be sent now */
void read_again(struct transfer *t); /* nothing was heard of it */
void read_returned(struct tftp_flight *flight);
void read_stop(struct transfer *t);
void read_close(struct transfer *t);

/* tftp_write.c */
void write_begin(struct transfer *t);
void write_take(struct transfer *t); /* what has arrived */
void write_posted(struct transfer *t, const struct tow_event *event);
void write_again(struct transfer *t);
bool write_waits(const struct transfer *t); /* for our disk */
void write_stop(struct transfer *t);

#endif
