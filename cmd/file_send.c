/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files on their way out: see file_send.h.
 *
 * Lending goes on until the stack says that enough is queued. That a length
 * was promised, or that the end of the stream is the end of the file, leaves
 * one honest answer when a file turns out to be shorter than it was: a reset,
 * by which the client knows that it has not got the whole.
 */
#include "file_send.h"

#include <stdlib.h>
#include "serve.h"

#define CHECK_AGE_US 1000 /* a look at the file's length holds this long */

void file_send_begin(struct file_sender *s, struct server *server)
{
	s->server = server;
	s->map = NULL;
	s->loans = NULL;
	list_init(&s->waiting);
}

/* --- loans ------------------------------------------------------------------
 */

static struct file_loan *take_loan(struct file_sender *s)
{
	struct server *server = s->server;
	struct file_loan *loan = server->free_loans;

	if (loan)
		server->free_loans = loan->next;
	else
		loan = malloc(sizeof(*loan));
	if (!loan)
		return NULL;
	*loan = (struct file_loan){ s->loans, s, s->map };
	s->loans = loan;
	file_map_ref(s->map);
	return loan;
}

static void give_loan(struct file_loan *loan)
{
	struct server *server = loan->sender->server;
	struct file_loan **at = &loan->sender->loans;

	while (*at != loan)
		at = &(*at)->next;
	*at = loan->next;
	file_map_give(loan->map, server->now_us);
	loan->next = server->free_loans;
	server->free_loans = loan;
}

void file_send_loan_ended(uint64_t token)
{
	struct file_loan *loan = (struct file_loan *)(uintptr_t)token;
	struct file_sender *s = loan->sender;

	give_loan(loan);
	s->returned(s);
}

void file_send_end_loans(struct file_sender *s)
{
	while (s->loans)
		give_loan(s->loans);
	s->returned(s);
}

void file_send_free_loans(struct server *server)
{
	while (server->free_loans) {
		struct file_loan *loan = server->free_loans;

		server->free_loans = loan->next;
		free(loan);
	}
}

/* --- sending ----------------------------------------------------------------
 */

static int64_t lend(struct file_sender *s, struct tow_tcp *tcp,
		    const uint8_t *from, uint64_t bytes, unsigned flags)
{
	struct tow_span span = { from, bytes };
	struct file_loan *loan = take_loan(s);
	int error;

	if (!loan)
		return TOW_ENOBUFS;
	error = tow_tcp_lend(tcp, &span, 1, (uintptr_t)loan, flags);
	if (error)
		give_loan(loan);
	return error ? error : (int64_t)bytes;
}

/*
 * Reading a page that was truncated away raises no signal but a flag; of the
 * page that the new end lies in, the file's length tells afterwards. Zeros may
 * be queued then, and go with the connection.
 */
static int64_t copy(struct file_sender *s, struct tow_tcp *tcp,
		    const uint8_t *from, uint64_t bytes, unsigned flags)
{
	int64_t n = tow_tcp_send(tcp, from, bytes, flags);

	return file_map_check(s->map, s->server->now_us, 0) ? n : TOW_EIO;
}

static int64_t send_block(struct file_sender *s, struct tow_tcp *tcp,
			  uint64_t at, uint64_t bytes, unsigned flags)
{
	struct server *server = s->server;
	const uint8_t *from = s->map->pages.bytes + at;

	if (!file_map_check(s->map, server->now_us, CHECK_AGE_US))
		return TOW_EIO;
	if (!file_map_resident(s->map, at, server->now_us)) {
		list_append(&s->map->waiters, &s->waiting);
		return TOW_EAGAIN;
	}
	return server->settings.copy ? copy(s, tcp, from, bytes, flags)
				     : lend(s, tcp, from, bytes, flags);
}

int64_t file_send(struct file_sender *s, struct tow_tcp *tcp, uint64_t offset,
		  uint64_t bytes, bool more)
{
	uint64_t sent = 0;

	list_remove(&s->waiting);
	while (sent < bytes) {
		uint64_t at = offset + sent, left = bytes - sent;
		uint64_t n = FILE_BLOCK_BYTES - at % FILE_BLOCK_BYTES;
		bool last = n >= left;
		int64_t result;

		n = last ? left : n;
		result = send_block(s, tcp, at, n,
				    last && !more ? 0 : TOW_TCP_MORE);
		if (result == TOW_EAGAIN || result == TOW_ENOBUFS)
			break;
		if (result < 0)
			return result;
		sent += (uint64_t)result;
		if ((uint64_t)result < n)
			break;
	}
	return (int64_t)sent;
}

void file_send_stop(struct file_sender *s)
{
	list_remove(&s->waiting);
	if (s->map)
		file_map_give(s->map, s->server->now_us);
	s->map = NULL;
}

bool file_send_check(struct file_sender *s, uint64_t age_us)
{
	uint64_t now_us = s->server->now_us;
	struct file_loan *loan;

	if (s->map && !file_map_check(s->map, now_us, age_us))
		return false;
	for (loan = s->loans; loan; loan = loan->next)
		if (!file_map_check(loan->map, now_us, age_us))
			return false;
	return true;
}
