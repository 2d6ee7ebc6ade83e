/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DISK_PRIVATE_H
#define DISK_PRIVATE_H

#include <liburing.h>
#include <sys/uio.h>
#include "base/list.h"
#include "host/file_target.h"
#include "host/workers.h"

/*
 *	file_target.c  a file, from its directory to its name (on threads)
 *	disk.c         the blocks, the events, who gets a block next
 *	disk_write.c   requests to the system: by io_uring, or by threads
 *	sink.c         a sink's life: opening, commit, close
 *	sink_feed.c    bytes into a sink, and on to its file
 */

/* One request: a write at an offset, or a data sync. */
struct disk_request {
	struct job job; /* without io_uring */
	struct tow_disk *disk;
	void (*done)(struct disk_request *request);
	int fd;
	bool sync;	   /* data only; all below but result is not used */
	struct iovec *iov; /* NULL: memory and bytes */
	unsigned iov_count;
	const uint8_t *memory;
	size_t bytes;
	uint64_t offset;
	int buffer; /* registered under this number, or -1 */
	int result; /* bytes, or a negative errno */
};

enum block_state {
	BLOCK_FREE,
	BLOCK_POSTED,	/* with a connection */
	BLOCK_RECALLED, /* the same, taken back: its event is still to come */
	BLOCK_RESERVED, /* with the program */
	BLOCK_FULL,	/* to be written, or being written */
};

struct disk_block {
	struct disk_request request;
	struct list link;   /* free; or of its sink, in the order of the file */
	struct list posted; /* of the disk, oldest first */
	struct tow_sink *sink;
	enum block_state state;
	uint8_t *memory;
	uint64_t posted_us;

	/* What is in it; the front moves while it is written. */
	size_t start, bytes; /* reserved, posted: the room */
	uint64_t offset;     /* of it in the file */
	bool writing;
};

struct tow_disk {
	struct tow_disk_config cfg;
	struct io_uring ring;
	bool has_ring;
	bool fixed_buffers;
	unsigned unsubmitted;
	struct workers *workers;
	bool may_be_readable; /* the descriptor, though nothing is left */
	unsigned requests;    /* under way */
	char how[128];

	/* A seam for tests: what brings a request on its way. */
	void (*start)(struct disk_request *request);

	uint8_t *memory;
	struct disk_block *blocks;
	struct list free;    /* blocks, the one used last first */
	struct list posted;  /* blocks, the one posted first first */
	struct list sinks;   /* all */
	struct list waiting; /* sinks that want a block */
	struct list changed; /* sinks for tow_disk_next() */
};

struct tow_sink {
	struct job job; /* opening, commit, release */
	struct tow_disk *disk;
	void *user;
	struct list link;    /* disk->sinks */
	struct list waiting; /* disk->waiting */
	struct list changed; /* disk->changed */
	enum tow_sink_state state;
	bool closed; /* the program has let go of it */
	bool job_busy;
	int status; /* what a job says; FAILED: why */
	char error[NAME_MAX + 64];
	struct target target; /* a worker's while job_busy */

	struct list blocks;   /* posted, reserved, full; in file order */
	unsigned block_count; /* in it */
	unsigned writing;     /* requests under way */
	uint64_t given;	      /* offset behind all that was given to it */
	uint64_t failed_at;   /* FAILED: how far the file is good */
	uint64_t next;	      /* offset behind all that has a block */
	bool wants_block;     /* the program does */
	bool has_turn;	      /* it was first in the line */

	struct tow_tcp *tcp; /* that it takes from */
	uint64_t heard;	     /* progress_bytes before this connection's */
	uint64_t heard_base; /* what it had given then */
	uint64_t take_left;  /* not posted for yet */
	unsigned posts;	     /* blocks with it, */
	unsigned recalled;   /* and those taken back, whose events will come */
	bool conn_done;
	int conn_status;

	struct disk_request spans; /* of tow_sink_write() */
	unsigned span_count;
	bool spans_busy;
	struct disk_request sync;
	bool sync_busy;
	uint64_t sync_to; /* what it is about, and */
	uint64_t synced;  /* offset up to which bytes are safe */

	uint64_t direct_bytes, posted_bytes, placed_bytes;
	uint32_t copied_why;
};

/* disk_write.c */
void request_open(struct tow_disk *disk);
void request_close(struct tow_disk *disk);
void request_start(struct disk_request *request); /* done() comes later */
void request_flush(struct tow_disk *disk);
void request_collect(struct tow_disk *disk);
void request_register(struct disk_block *block);

/* disk.c */
struct disk_block *disk_take_block(struct tow_sink *sink);
void disk_give_block(struct disk_block *block);
void disk_wait_in_line(struct tow_sink *sink);

/* sink.c */
void sink_changed(struct tow_sink *sink);
void sink_fail(struct tow_sink *sink, int error, const char *what);
void sink_lost(struct tow_sink *sink);	  /* what was not synced may be gone */
void sink_discard(struct tow_sink *sink); /* release it here and now */
void sink_settle(struct tow_sink *sink);  /* is it idle, or can it go? */

/* sink_feed.c */
void feed_go_on(struct tow_sink *sink); /* post, write: what is possible */
void feed_stop(struct tow_sink *sink);
void feed_recall(struct tow_sink *sink); /* the line wants its blocks */
bool feed_is_idle(const struct tow_sink *sink);
uint64_t feed_progress(const struct tow_sink *sink);
uint64_t feed_written_to(const struct tow_sink *sink);
void feed_posted(struct disk_block *block, const struct tow_event *event);

#endif
