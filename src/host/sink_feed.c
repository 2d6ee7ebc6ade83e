/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes into a sink, and on to its file.
 *
 * Theory of operation. The blocks of a sink stand in the order of the file:
 * first those that are full, then those that are out, with a connection or with
 * the program. A block that is full is written in up to three pieces, one after
 * the other, each as long as it can be:
 *
 *	offset of the file    |  page  |  page  |  page  |
 *	block                      [aaa|bbbbbbbb|bbbbbbbb|cc]
 *	                       buffered   direct     buffered
 *
 * Memory and file agree about pages because a block is posted from the byte on
 * that lies in its page as the next byte of the file does in its own; all
 * blocks but the first begin and end with a page then, and are one piece. Where
 * they do not agree (the program filled a block short), all of it is buffered.
 *
 * Blocks of a plain file are written side by side. A part, or a file in place,
 * is written one piece at a time, so that its length never covers a gap.
 *
 * While it takes, the connection offers no window but for what is posted
 * (TOW_TCP_RECV_POSTED). Else a disk that is slower than the peer would find,
 * with each block that comes free, as many bytes in the stack that have to be
 * copied into it.
 *
 * Posts come back in order. A short one ends the stream, unless it was taken
 * back by us; then the next one goes on from there.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <tow/error.h>
#include <tow/host.h>
#include <tow/tcp.h>
#include "base/base.h"
#include "host/disk_private.h"

#define PAGE_MASK ((uint64_t)TARGET_PAGE - 1)

/* --- out to the file --------------------------------------------------------
 */

/* Is there still somebody who wants the bytes in the file? */
static bool wants_bytes(const struct tow_sink *sink)
{
	const struct tow_sink_file *file = &sink->target.file;

	return sink->state != TOW_SINK_FAILED &&
	       (!sink->closed || file->keep_part || file->in_place);
}

static bool is_ordered(const struct tow_sink *sink)
{
	return sink->target.file.part || sink->target.file.in_place;
}

/* The next piece of a block: how long, and past the page cache or not. */
static void choose_piece(struct disk_block *block)
{
	struct target *t = &block->sink->target;
	struct disk_request *r = &block->request;
	size_t before = -block->offset & PAGE_MASK;
	bool direct = !t->direct_why &&
		      ((block->start ^ block->offset) & PAGE_MASK) == 0 &&
		      block->bytes >= before + TARGET_DIRECT_MIN;

	r->memory = block->memory + block->start;
	r->offset = block->offset;
	r->fd = direct && !before ? t->direct_fd : t->fd;
	if (!direct)
		r->bytes = block->bytes;
	else if (before)
		r->bytes = before;
	else
		r->bytes = block->bytes & ~PAGE_MASK;
}

static void block_written(struct disk_request *r);

static void write_block(struct disk_block *block)
{
	choose_piece(block);
	block->request.done = block_written;
	block->writing = true;
	block->sink->writing++;
	request_start(&block->request);
}

static void write_full_blocks(struct tow_sink *sink)
{
	LIST_EACH (node, &sink->blocks) {
		struct disk_block *block =
			CONTAINER(node, struct disk_block, link);

		if (block->state != BLOCK_FULL ||
		    (sink->writing && is_ordered(sink)))
			break;
		if (!block->writing)
			write_block(block);
	}
}

static void synced(struct disk_request *r)
{
	struct tow_sink *sink = CONTAINER(r, struct tow_sink, sync);

	sink->sync_busy = false;
	if (r->result < 0) {
		sink_fail(sink, r->result, "writing");
		sink_lost(sink);
	} else {
		sink->synced = sink->sync_to;
	}
	feed_go_on(sink);
}

static void sync_if_due(struct tow_sink *sink)
{
	uint64_t written = feed_written_to(sink);

	if (sink->target.file.sync != TOW_SYNC_EACH || sink->sync_busy ||
	    sink->spans_busy ||
	    written - sink->synced < sink->target.file.sync_bytes ||
	    written == sink->synced)
		return;
	sink->sync_to = written;
	sink->sync.sync = true;
	sink->sync.fd = sink->target.fd;
	sink->sync.done = synced;
	sink->sync_busy = true;
	request_start(&sink->sync);
}

/* Some file systems say no only when it is tried; then do without. */
static bool refuses_direct(struct tow_sink *sink, const struct disk_request *r)
{
	if (r->fd != sink->target.direct_fd || r->fd < 0 ||
	    (r->result != -EINVAL && r->result != -EOPNOTSUPP))
		return false;
	sink->target.direct_why = "the file system refuses direct writes";
	return true;
}

/* Returns: bytes that are written, 0 to try again, or a negative errno. */
static int outcome(struct tow_sink *sink, const struct disk_request *r)
{
	if (r->result == -EINTR || r->result == -EAGAIN ||
	    refuses_direct(sink, r))
		return 0;
	return r->result == 0 ? -EIO : r->result;
}

static void block_written(struct disk_request *r)
{
	struct disk_block *block = CONTAINER(r, struct disk_block, request);
	struct tow_sink *sink = block->sink;
	int n = outcome(sink, r);

	sink->writing--;
	if (n > 0) {
		if (r->fd == sink->target.direct_fd)
			sink->direct_bytes += (unsigned)n;
		block->start += (unsigned)n;
		block->offset += (unsigned)n;
		block->bytes -= (unsigned)n;
	}
	if (n < 0)
		sink_fail(sink, n, "writing");
	block->writing = false;
	if (!block->bytes || !wants_bytes(sink))
		disk_give_block(block);
	feed_go_on(sink);
}

static void write_spans(struct tow_sink *sink);

static void skip_spans(struct tow_sink *sink, size_t bytes)
{
	struct disk_request *r = &sink->spans;

	r->offset += bytes;
	while (sink->span_count > 0 && bytes >= r->iov->iov_len) {
		bytes -= r->iov->iov_len;
		r->iov++;
		sink->span_count--;
	}
	if (bytes > 0) {
		r->iov->iov_base = (char *)r->iov->iov_base + bytes;
		r->iov->iov_len -= bytes;
	}
}

static void spans_written(struct disk_request *r)
{
	struct tow_sink *sink = CONTAINER(r, struct tow_sink, spans);
	int n = outcome(sink, r);

	if (n > 0)
		skip_spans(sink, (unsigned)n);
	if (n >= 0 && sink->span_count > 0) {
		write_spans(sink);
		return;
	}
	if (n < 0)
		sink_fail(sink, n, "writing");
	sink->spans_busy = false;
	feed_go_on(sink);
}

static void write_spans(struct tow_sink *sink)
{
	sink->spans.iov_count = MIN(sink->span_count, (unsigned)IOV_MAX);
	request_start(&sink->spans);
}

/* --- in from a connection ---------------------------------------------------
 */

/* What it has given us, also into blocks that are not full yet. */
static uint64_t heard_from(const struct tow_tcp *tcp)
{
	struct tow_tcp_info info;

	tow_tcp_info(tcp, &info);
	return info.received_bytes - info.unread_bytes;
}

uint64_t feed_progress(const struct tow_sink *sink)
{
	if (!sink->tcp)
		return sink->heard;
	return sink->heard + heard_from(sink->tcp) - sink->heard_base;
}

static void end_taking(struct tow_sink *sink)
{
	sink->heard = feed_progress(sink);
	(void)tow_tcp_set(sink->tcp, TOW_TCP_RECV_POSTED, 0);
	sink->tcp = NULL;
	list_remove(&sink->waiting);
}

/* The first byte lies in its page as it will in the file's. */
static size_t room_of(const struct tow_sink *sink)
{
	return sink->disk->cfg.block_bytes - (sink->next & PAGE_MASK);
}

static int post_block(struct tow_sink *sink)
{
	struct disk_block *block = disk_take_block(sink);
	struct tow_span span;
	int error;

	if (!block)
		return TOW_EAGAIN;
	block->start = sink->next & PAGE_MASK;
	block->bytes = MIN(room_of(sink), sink->take_left);
	block->offset = sink->next;
	span.ptr = block->memory + block->start;
	span.len = block->bytes;
	error = tow_tcp_post(sink->tcp, &span, (uintptr_t)block);
	if (error) {
		disk_give_block(block);
		return error;
	}
	block->state = BLOCK_POSTED;
	block->posted_us = tow_host_clock_us();
	list_append(&sink->disk->posted, &block->posted);
	sink->posts++;
	sink->next += block->bytes;
	sink->take_left -= block->bytes;
	return 0;
}

/* Returns: 0, or why the connection is over. */
static int post_blocks(struct tow_sink *sink)
{
	int error = 0;

	while (!error && sink->take_left && !sink->recalled)
		error = post_block(sink);
	if (error == TOW_ENOBUFS && !sink->posts)
		disk_wait_in_line(sink); /* of the stack's records: try again */
	return error == TOW_EAGAIN || error == TOW_ENOBUFS ? 0 : error;
}

static void go_on_taking(struct tow_sink *sink)
{
	int error = post_blocks(sink);

	if (error)
		sink->conn_status = error;
	if (error || (!sink->take_left && !sink->posts && !sink->recalled))
		end_taking(sink);
}

void feed_go_on(struct tow_sink *sink)
{
	if (sink->tcp)
		go_on_taking(sink);
	if (wants_bytes(sink)) {
		write_full_blocks(sink);
		sync_if_due(sink);
	}
	sink_settle(sink);
}

void feed_recall(struct tow_sink *sink)
{
	tow_tcp_unpost(sink->tcp);
	LIST_EACH (node, &sink->blocks) {
		struct disk_block *block =
			CONTAINER(node, struct disk_block, link);

		if (block->state != BLOCK_POSTED)
			continue;
		block->state = BLOCK_RECALLED;
		list_remove(&block->posted);
		sink->posts--;
		sink->recalled++;
	}
}

/* Where the stream stands, after a post came back. */
static void note_progress(struct tow_sink *sink, struct disk_block *block,
			  const struct tow_event *event)
{
	bool recalled = block->state == BLOCK_RECALLED;
	bool is_short = event->bytes < block->bytes;

	sink->given += event->bytes;
	sink->posted_bytes += event->bytes;
	sink->placed_bytes += event->placed_bytes;
	sink->copied_why |= event->copied_why;
	if (is_short) {
		sink->take_left += block->bytes - event->bytes;
		sink->next = sink->given;
	}
	if (recalled)
		sink->recalled--;
	else
		sink->posts--;
	if (sink->tcp && !recalled && (is_short || event->status)) {
		sink->conn_done = event->status == 0;
		sink->conn_status = event->status;
		end_taking(sink);
	}
}

void feed_posted(struct disk_block *block, const struct tow_event *event)
{
	struct tow_sink *sink = block->sink;

	note_progress(sink, block, event);
	list_remove(&block->posted);
	block->state = BLOCK_FULL;
	block->bytes = event->bytes;
	if (!block->bytes || !wants_bytes(sink))
		disk_give_block(block);
	feed_go_on(sink);
}

/* --- calls ------------------------------------------------------------------
 */

int tow_sink_take(struct tow_sink *sink, struct tow_tcp *tcp, uint64_t bytes)
{
	int error;

	if (sink->state != TOW_SINK_READY)
		return TOW_EBUSY;
	sink->conn_done = false;
	sink->conn_status = 0;
	if (bytes == 0)
		return 0;
	sink->tcp = tcp;
	sink->take_left = bytes;
	sink->heard_base = heard_from(tcp);
	(void)tow_tcp_set(tcp, TOW_TCP_RECV_POSTED, 1);
	error = post_blocks(sink);
	if (error)
		end_taking(sink);
	else
		sink->state = TOW_SINK_BUSY;
	return error;
}

void tow_sink_stop(struct tow_sink *sink)
{
	if (!sink->tcp)
		return;
	feed_recall(sink);
	end_taking(sink);
	sink_settle(sink);
}

int tow_sink_write(struct tow_sink *sink, struct tow_span *spans,
		   unsigned count)
{
	struct disk_request *r = &sink->spans;
	size_t bytes = 0;
	unsigned i;

	if (sink->state != TOW_SINK_READY)
		return TOW_EBUSY;
	for (i = 0; i < count; i++)
		bytes += spans[i].len;
	if (bytes == 0)
		return TOW_EINVAL;
	r->iov = (struct iovec *)spans;
	r->fd = sink->target.fd;
	r->offset = sink->given;
	r->done = spans_written;
	sink->span_count = count;
	sink->spans_busy = true;
	sink->given += bytes;
	sink->heard += bytes;
	sink->next = sink->given;
	sink->state = TOW_SINK_BUSY;
	write_spans(sink);
	return 0;
}

int tow_sink_reserve(struct tow_sink *sink, size_t multiple,
		     struct tow_span *out)
{
	struct disk_block *block;

	if ((sink->state != TOW_SINK_READY && sink->state != TOW_SINK_BUSY) ||
	    sink->tcp || sink->spans_busy || sink->recalled)
		return TOW_EBUSY;
	if (multiple == 0 ||
	    multiple > sink->disk->cfg.block_bytes - TARGET_PAGE)
		return TOW_EINVAL;
	block = disk_take_block(sink);
	if (!block) {
		sink->wants_block = true;
		return TOW_EAGAIN;
	}
	block->state = BLOCK_RESERVED;
	block->start = sink->next & PAGE_MASK;
	block->bytes = room_of(sink) / multiple * multiple;
	sink->next += block->bytes;
	sink->state = TOW_SINK_BUSY;
	out->ptr = block->memory + block->start;
	out->len = block->bytes;
	return 0;
}

static struct disk_block *first_reserved(const struct tow_sink *sink)
{
	LIST_EACH (node, &sink->blocks) {
		struct disk_block *block =
			CONTAINER(node, struct disk_block, link);

		if (block->state == BLOCK_RESERVED)
			return block;
	}
	return NULL;
}

void tow_sink_fill(struct tow_sink *sink, size_t bytes)
{
	struct disk_block *block = first_reserved(sink);

	ASSERT(block && bytes <= block->bytes);
	if (bytes < block->bytes)
		sink->next -= block->bytes - bytes;
	block->state = BLOCK_FULL;
	block->bytes = bytes;
	block->offset = sink->given;
	sink->given += bytes;
	sink->heard += bytes;
	if (!bytes || !wants_bytes(sink))
		disk_give_block(block);
	feed_go_on(sink);
}

/* --- what a sink's life wants to know ---------------------------------------
 */

/* The program, or a failure, ends it: keep only what is under way. */
void feed_stop(struct tow_sink *sink)
{
	if (sink->tcp) {
		feed_recall(sink);
		end_taking(sink);
	}
	list_remove(&sink->waiting);
	LIST_EACH (node, &sink->blocks) {
		struct disk_block *block =
			CONTAINER(node, struct disk_block, link);

		if ((block->state == BLOCK_RESERVED && sink->closed) ||
		    (block->state == BLOCK_FULL && !block->writing &&
		     !wants_bytes(sink)))
			disk_give_block(block);
	}
}

bool feed_is_idle(const struct tow_sink *sink)
{
	return !sink->tcp && list_empty(&sink->blocks) && !sink->spans_busy &&
	       !sink->sync_busy;
}

uint64_t feed_written_to(const struct tow_sink *sink)
{
	if (sink->state == TOW_SINK_FAILED)
		return sink->failed_at;
	if (sink->spans_busy)
		return sink->spans.offset;
	LIST_EACH (node, &sink->blocks) {
		struct disk_block *block =
			CONTAINER(node, struct disk_block, link);

		if (block->state == BLOCK_FULL)
			return block->offset;
		break;
	}
	return sink->given;
}
