/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_FILE_H
#define TOW_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tow/event.h>
#include <tow/mark.h>
#include <tow/span.h>

struct tow_tcp;

/*
 * Files: what a connection brings goes to a disk, and is not copied by us.
 *
 * A sink is one file being written. Its blocks are posted to the connection, so
 * that the device fills them, and from there they are written by io_uring, past
 * the page cache (O_DIRECT) where file and file system allow it. Memory and
 * file agree about where a page begins, whatever the stream's boundaries are:
 *
 *	stream     ...head|ABCDEFGHIJKLMNOPQRSTUVWXYZ|FIN
 *	                  |                          |
 *	blocks     [..ABCD|EFGHIJKL] [MNOPQRST|UVWXYZ..]
 *	                  ^page                ^page
 *	written    [buffd.]  direct ......... [buffered]
 *
 * A disk is what sinks share, one for each stack: the blocks, a fixed number;
 * the ring; and a few threads for what blocks (opening, renaming, fsync(2)).
 * When it is slow, there is no block to post, the connection's window closes,
 * and the peer waits. Memory never grows.
 *
 * Nobody is called back. The disk has a descriptor to wait for:
 *
 *	tow_disk_open(&disk, NULL);
 *	tow_host_watch(host, tow_disk_fd(disk), POLLIN);
 *	tow_sink_open(disk, &file, user, &sink);
 *	for (;;) {
 *		n = tow_host_wait(host, events, 64, timeout);
 *		for (i = 0; i < n; i++)
 *			if (!tow_disk_event(disk, &events[i]))
 *				handle(&events[i]);
 *		tow_disk_run(disk);
 *		while ((sink = tow_disk_next(disk)))
 *			look at tow_sink_info(sink), go on with it
 *	}
 *
 * and a sink goes through these states:
 *
 *	          take, write, fill        commit
 *	OPENING --> READY <------> BUSY     READY --> COMMITTING --> DONE
 *	   +-----------+-------------+--------------------+--> FAILED
 *
 * What is in the file, and under which name, is the program's choice at open:
 *
 *	plain     nothing has the name before commit, then all of it has, at
 *	          once; without commit nothing is left, also when the process
 *	          is killed
 *	.part     grows under a name of its own, which commit replaces by the
 *	          real one; kept for another try, or removed, without. Its
 *	          length is always how far it may be continued: bytes reach the
 *	          file in order
 *	in_place  bytes go to the file itself; what is there is there
 *
 * The system's errors are told as negative errnos, TOW_E* among them;
 * tow_sink_error() has a sentence. A file that would be longer than
 * RLIMIT_FSIZE is one of them only in a process that ignores SIGXFSZ.
 *
 * Threads: a disk belongs to the thread that polls its stack.
 */
struct tow_disk;
struct tow_sink;

struct tow_disk_config {
	size_t block_bytes;	  /* a power of two, 64 KiB..16 MiB */
	unsigned blocks_max;	  /* of all sinks together, 2..4096 */
	unsigned sink_blocks_max; /* of one sink, 2..64 */
	unsigned threads;	  /* 0: opening and commit block the caller */
	bool no_uring;		  /* write by threads */
	bool no_direct;		  /* write through the page cache */
};

/* When bytes must have reached the disk. */
enum tow_sync {
	TOW_SYNC_NONE, /* whenever the system thinks fit */
	TOW_SYNC_END,  /* at commit: the bytes, then the name */
	TOW_SYNC_EACH, /* the same, and whenever sync_bytes more are written */
};
/* When that fails, of a part with keep_part only what was synced is kept. */

#define TOW_SINK_AT_END	  UINT64_MAX /* offset: behind what is there */
#define TOW_SINK_NO_LIMIT UINT64_MAX

/* What to write: zeros are a new file of unknown length. */
struct tow_sink_file {
	int dir_fd;	  /* of the directory; the sink keeps a duplicate */
	const char *name; /* in it, without a slash */
	const char *part; /* NULL, or the name under which it grows */
	bool keep_part;	  /* without commit, if there is a byte in it */
	bool in_place;	  /* write to @name itself; not with @part */
	bool only_new;	  /* commit: TOW_EEXIST rather than replace a file */
	uint64_t offset;  /* part, in_place: where to go on; what lies behind */
			  /* is cut off a part, and stays in a file in_place */
	uint64_t bytes_expected; /* from there on; 0: not known */
	enum tow_sync sync;
	uint64_t sync_bytes; /* TOW_SYNC_EACH */
};

enum tow_sink_state {
	TOW_SINK_OPENING,
	TOW_SINK_READY, /* all it was given is in the file: give it more, */
			/* commit or close */
	TOW_SINK_BUSY,	/* takes from a connection, or writes */
	TOW_SINK_COMMITTING,
	TOW_SINK_DONE,	 /* the file has its name: close */
	TOW_SINK_FAILED, /* status says why: close */
};

struct tow_sink_info {
	enum tow_sink_state state;
	int status;	 /* FAILED: a negative errno */
	int conn_status; /* why the connection failed while it was taken from */
	bool conn_done;	 /* the peer's FIN was reached */
	bool conn_waits; /* for a block: the disk is slow, not the peer */
	bool replaced;	 /* DONE: there was a file of that name */
	uint64_t offset; /* where this sink began in the file */
	uint64_t progress_bytes; /* grows with every byte that arrives */
	uint64_t taken_bytes;	 /* given to the sink */
	uint64_t written_bytes;	 /* of them in the file, without a gap */
	uint64_t direct_bytes;	 /* of them past the page cache */
	uint64_t posted_bytes;	 /* from connections, by posted blocks, */
	uint64_t placed_bytes;	 /* and of those placed by the device; */
	uint32_t copied_why;	 /* why others were not, see struct tow_event */
	const char *direct_why;	 /* why not O_DIRECT, or NULL */
};

TOW_BEGIN
/* 64 blocks of 512 KiB, 4 for each sink, 2 threads, io_uring, O_DIRECT. */
TOW_API void tow_disk_config_default(struct tow_disk_config *cfg);

/*
 * tow_disk_open() - get ready to write files
 * @cfg: NULL for tow_disk_config_default()
 *
 * Blocks take memory when they are used for the first time.
 *
 * Owns:    the caller, until tow_disk_close().
 * Returns: 0, TOW_EINVAL, TOW_ENOMEM. A system that has no io_uring for us is
 *          no error: see tow_disk_how().
 */
TOW_API int tow_disk_open(struct tow_disk **out,
			  const struct tow_disk_config *cfg) TOW_MUST_USE;

/*
 * tow_disk_close() - end all sinks, as tow_sink_close() does, and the disk
 *
 * Waits for writes that are under way. Close it before connections that it
 * takes from, and so before the stack.
 */
TOW_API void tow_disk_close(struct tow_disk *disk);

/* How it writes, in a phrase: "io_uring, fixed buffers", or why not so. */
TOW_API const char *tow_disk_how(const struct tow_disk *disk);

/* A descriptor that polls readable when tow_disk_run() has something to do. */
TOW_API int tow_disk_fd(const struct tow_disk *disk);

/*
 * tow_disk_event() - show it an event
 *
 * Returns: whether it was about one of the disk's blocks, and nobody else's.
 */
TOW_API bool tow_disk_event(struct tow_disk *disk,
			    const struct tow_event *event) TOW_MUST_USE;

/*
 * tow_disk_run() - collect what is written, and go on
 *
 * Call it when the descriptor is readable, after events were shown, and now
 * and then: a block that a silent peer holds is taken back from it when others
 * wait for one.
 *
 * Cost: O(what was completed); system calls only when there is something.
 */
TOW_API void tow_disk_run(struct tow_disk *disk);

/* The next sink whose state has changed, or that has room again; or NULL. */
TOW_API struct tow_sink *tow_disk_next(struct tow_disk *disk);

/*
 * tow_sink_open() - begin a file
 *
 * The state is OPENING; without threads it is READY or FAILED at once. With
 * bytes_expected, room is reserved, so that a full disk is told now.
 *
 * Owns:    the caller, until tow_sink_close(). @file is read during the call.
 * Returns: 0, TOW_EINVAL (a name that is empty or has a slash), TOW_ENOMEM, or
 *          what dup(2) says.
 */
TOW_API int tow_sink_open(struct tow_disk *disk,
			  const struct tow_sink_file *file, void *user,
			  struct tow_sink **out) TOW_MUST_USE;

/*
 * tow_sink_close() - be done with it
 *
 * What was not committed is left or undone as was said at open; a commit that
 * has begun is finished. While it takes from a connection, tow_sink_stop() is
 * part of this.
 */
TOW_API void tow_sink_close(struct tow_sink *sink);

/*
 * tow_sink_abort() - be done with it, and with a commit that is under way
 *
 * As tow_sink_close(), but a file that has not its name yet does not get it.
 */
TOW_API void tow_sink_abort(struct tow_sink *sink);

TOW_API void *tow_sink_user(const struct tow_sink *sink);
TOW_API void tow_sink_info(const struct tow_sink *sink,
			   struct tow_sink_info *out);

/* FAILED: what failed, in one sentence without a full stop; else "". */
TOW_API const char *tow_sink_error(const struct tow_sink *sink);

/*
 * tow_sink_take() - take what a connection receives
 * @bytes: so many, or all until the peer's FIN: TOW_SINK_NO_LIMIT
 *
 * Posts blocks to it, as many as the disk has to give. Nothing of it may be on
 * loan, and it must not be closed before tow_sink_stop(). The sink is READY
 * again when @bytes are in the file, or less than that and conn_done or
 * conn_status says why; a failure of the connection is none of the file's.
 *
 * Owns:    the sink uses @tcp until then.
 * Returns: 0, TOW_EBUSY (the sink is not READY, or bytes are on loan), or why
 *          the connection is over.
 */
TOW_API int tow_sink_take(struct tow_sink *sink, struct tow_tcp *tcp,
			  uint64_t bytes) TOW_MUST_USE;

/*
 * tow_sink_stop() - take no more
 *
 * Posts are taken back; what was received is written, and the sink is READY
 * after that. @tcp is the program's again at once.
 */
TOW_API void tow_sink_stop(struct tow_sink *sink);

/*
 * tow_sink_write() - write memory of the program, where it is
 * @spans: changed; bytes and array must stay until the sink is READY again
 *
 * For bytes that were borrowed together with a head, for instance. They go
 * through the page cache.
 *
 * Returns: 0, TOW_EBUSY (the sink is not READY), TOW_EINVAL (no bytes).
 */
TOW_API int tow_sink_write(struct tow_sink *sink, struct tow_span *spans,
			   unsigned count) TOW_MUST_USE;

/*
 * tow_sink_reserve() - get memory to fill
 * @multiple: the length shall be a multiple of so many bytes; 1: any
 * @out:      where to write to, though its pointer is const
 *
 * What is posted to UDP sockets, or read into by the program itself. Several
 * may be reserved; they are filled in that order.
 *
 * Owns:    the caller, until tow_sink_fill() or tow_sink_close().
 * Returns: 0, TOW_EAGAIN (no block is free: tow_disk_next() tells when),
 *          TOW_EBUSY (it takes from a connection, or has not opened yet),
 *          TOW_EINVAL (@multiple is 0 or more than a block).
 */
TOW_API int tow_sink_reserve(struct tow_sink *sink, size_t multiple,
			     struct tow_span *out) TOW_MUST_USE;

/*
 * tow_sink_fill() - give back what was reserved first
 * @bytes: of its beginning are to be written; may be 0
 *
 * Cannot fail. Full ones make the best of O_DIRECT.
 */
TOW_API void tow_sink_fill(struct tow_sink *sink, size_t bytes);

/*
 * tow_sink_commit() - that was all: make it durable and give it its name
 *
 * A file that is replaced passes its mode on, but for set-user-ID and the like.
 * DONE or FAILED follows. After FAILED nothing has changed under the name,
 * except when the very last step failed, telling the disk about it.
 *
 * Returns: 0, TOW_EBUSY (the sink is not READY).
 */
TOW_API int tow_sink_commit(struct tow_sink *sink) TOW_MUST_USE;
TOW_END

#endif
