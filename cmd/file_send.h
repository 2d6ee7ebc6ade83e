/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FILE_SEND_H
#define FILE_SEND_H

#include <stdbool.h>
#include <stdint.h>
#include <tow/tcp.h>
#include "base/list.h"
#include "file_map.h"

/*
 * File sender: pages of the page cache on their way out over a connection.
 *
 *	map      |  0  |  1  |  2  |  3  |    blocks
 *	            ^^^^^^^^^^                lent: a struct file_loan each
 *	                     ^ waits, if it is not in memory
 *
 * A file goes block by block:
 *
 *	file_map_check()      is the file still as long as it was?
 *	file_map_resident()   are its pages there? else wait for a worker
 *	tow_tcp_lend()        the pages themselves, with a file_loan as token
 *
 * Each loan holds its map until the stack gives it back, so a connection may
 * be three files ahead, or gone, while pages of an earlier one are still being
 * acknowledged. Whoever has a sender lives on until file_send_lends() is false.
 */
struct server;
struct file_sender;

struct file_loan {
	struct file_loan *next; /* of the sender, or free */
	struct file_sender *sender;
	struct file_map *map;
};

struct file_sender {
	struct server *server;
	struct file_map *map; /* being sent; the sender is one of its users */
	struct list waiting;  /* in map->waiters */
	struct file_loan *loans;
	void (*resume)(struct file_sender *sender);   /* a block is there now */
	void (*returned)(struct file_sender *sender); /* a loan ended */
};

void file_send_begin(struct file_sender *sender, struct server *server);

/*
 * file_send() - queue bytes of sender->map
 * @more: something follows in the same stream soon
 *
 * Copies instead, if the server's settings say so.
 *
 * Returns: how many bytes were queued. When these are less than @bytes, the
 *          stack has enough for now, or resume() will be called. Or else
 *          TOW_EIO: the file is shorter than it was, so the connection must be
 *          reset; or why the connection is over.
 */
int64_t file_send(struct file_sender *sender, struct tow_tcp *tcp,
		  uint64_t offset, uint64_t bytes, bool more) TOW_MUST_USE;

/* Done with the map. What is lent stays lent. */
void file_send_stop(struct file_sender *sender);

/* A TOW_EVENT_LOAN with one of our tokens. */
void file_send_loan_ended(uint64_t token);

/* The stack is closed: all loans have ended, without events. */
void file_send_end_loans(struct file_sender *sender);
void file_send_free_loans(struct server *server);

/* Pages are still out. */
static inline bool file_send_lends(const struct file_sender *sender)
{
	return sender->loans;
}

/* It is our disk that is waited for, not the peer. */
static inline bool file_send_waits(const struct file_sender *sender)
{
	return !list_empty(&sender->waiting);
}

/*
 * file_send_check() - whether all that it sends or lent is still in its file
 * @age_us: see file_map_check()
 */
bool file_send_check(struct file_sender *sender, uint64_t age_us);

#endif
