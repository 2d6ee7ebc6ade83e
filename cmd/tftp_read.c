/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RRQ: a file goes out, window by window (RFC 1350, RFC 7440).
 *
 *	blocks   1 ... acked | acked+1 ... sent | ... last
 *	                     |<-- the window -->|
 *
 * Blocks are lent out of the page cache, a few of them as one message, which a
 * device cuts; their headers lie in a struct tftp_flight until the loan ends.
 * Netascii is another text than the file's, so that is copied; where in the
 * file a block begins is known only from the block before it, and kept for
 * each block of the window.
 *
 * An ACK for the end of the window brings the next one, an earlier one begins
 * again behind it, where the client misses something. One that we had already
 * says in lock-step only that a duplicate was answered; to answer that again
 * would double the traffic for good (the sorcerer's apprentice, RFC 1123
 * 4.2.3.1). With larger windows it may mean that the first of it was lost: that
 * is believed once until something new is heard.
 */
#include "serve_tftp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK_AGE_US 1000 /* a look at the file's length holds this long */
#define OPEN_FLAGS   (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* --- opening, by a worker */

struct read_job {
	struct job job;
	struct transfer *transfer;
	int root_fd;
	int error; /* a negative errno */
	struct file_pages pages;
};

static int open_pages(struct read_job *j)
{
	int fd = open_beneath(j->root_fd, j->transfer->path, OPEN_FLAGS, 0);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return file_pages_make(&j->pages, fd, &st, 0);
	close(fd);
	return -EACCES;
}

static void open_work(struct job *job)
{
	struct read_job *j = (struct read_job *)job;

	j->error = open_pages(j);
}

static enum tftp_code code_of(int error)
{
	switch (-error) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
		return TFTP_NOT_FOUND;
	case EACCES:
	case EPERM:
	case ELOOP:
	case EXDEV: /* leads out of the directory */
	case ENXIO:
		return TFTP_ACCESS;
	default:
		return TFTP_UNDEFINED;
	}
}

static void offer(struct transfer *t)
{
	uint8_t packet[TFTP_OACK_MAX];
	size_t bytes = tftp_oack(packet, &t->agreed);

	if (t->state != TRANSFER_OFFERING)
		transfer_enter(t, TRANSFER_OFFERING);
	transfer_send(t, packet, bytes);
}

static void begin_sending(struct transfer *t)
{
	transfer_enter(t, TRANSFER_SENDING);
	read_send(t);
}

/*
 * How long a text will be is known when it was sent. An empty file needs no
 * announcement, and curl takes a size of 0 for an error.
 */
static void opened(struct transfer *t)
{
	uint64_t size = t->file.map->size;
	uint8_t packet[TFTP_OACK_MAX];

	t->agreed.tsize = size;
	if (t->request.netascii || size == 0)
		t->agreed.has_tsize = false;
	if (!t->request.netascii)
		t->last = size / t->blksize + 1;
	if (tftp_oack(packet, &t->agreed))
		offer(t);
	else
		begin_sending(t);
}

static void open_done(struct job *job)
{
	struct read_job *j = (struct read_job *)job;
	struct transfer *t = j->transfer;
	struct server *server = t->server;
	struct file_map *map = NULL;
	int error = j->error;

	if (!error)
		map = file_maps_keep(server->maps, &j->pages, 0,
				     server->now_us);
	free(j);
	t->out--;
	if (t->state != TRANSFER_OPENING) {
		if (map)
			file_map_give(map, server->now_us);
		transfer_release(t);
	} else if (!map) {
		transfer_fail(t, code_of(error),
			      error ? strerror(-error) : "out of memory");
	} else {
		t->file.map = map;
		opened(t);
	}
}

static void resume(struct file_sender *sender)
{
	struct transfer *t = CONTAINER(sender, struct transfer, file);

	t->since_us = t->server->now_us;
	if (t->state == TRANSFER_SENDING)
		read_send(t);
}

void read_begin(struct transfer *t)
{
	struct read_job *j = calloc(1, sizeof(*j));

	t->file.resume = resume;
	if (!j) {
		transfer_fail(t, TFTP_UNDEFINED, "out of memory");
		return;
	}
	j->job.work = open_work;
	j->job.done = open_done;
	j->transfer = t;
	j->root_fd = t->server->root_fd;
	t->out++;
	workers_submit(t->server->workers, &j->job);
}

/* --- sending */

static struct tftp_flight *make_flight(struct transfer *t)
{
	struct tftp_flight *flight = malloc(sizeof(*flight));

	if (!flight)
		return NULL;
	flight->transfer = t;
	flight->map = t->file.map;
	file_map_ref(flight->map);
	list_init(&flight->link);
	list_append(&t->flights, &flight->link);
	return flight;
}

static void free_flight(struct tftp_flight *flight)
{
	list_remove(&flight->link);
	file_map_give(flight->map, flight->transfer->server->now_us);
	free(flight);
}

void read_returned(struct tftp_flight *flight)
{
	struct transfer *t = flight->transfer;

	free_flight(flight);
	transfer_release(t);
}

static uint64_t offset_of(const struct transfer *t, uint64_t block)
{
	return (block - 1) * t->blksize;
}

static uint32_t bytes_of(const struct transfer *t, uint64_t block)
{
	uint64_t left = t->file.map->size - offset_of(t, block);

	return left < t->blksize ? (uint32_t)left : t->blksize;
}

/* An empty file has no pages, and the last block may be empty. */
static struct tow_span pages_of(const struct transfer *t, uint64_t block)
{
	struct tow_span span = { "", bytes_of(t, block) };

	if (span.len > 0)
		span.ptr = t->file.map->pages.bytes + offset_of(t, block);
	return span;
}

/* The pages of [offset, offset + bytes) are there; else we wait. */
static bool is_resident(struct transfer *t, uint64_t offset, uint64_t bytes)
{
	struct file_map *map = t->file.map;
	uint64_t end = offset + bytes;

	for (; offset < end && offset < map->size;
	     offset = (offset / FILE_BLOCK_BYTES + 1) * FILE_BLOCK_BYTES) {
		if (file_map_resident(map, offset, t->server->now_us))
			continue;
		list_remove(&t->file.waiting);
		list_append(&map->waiters, &t->file.waiting);
		return false;
	}
	return true;
}

/* Blocks [first, first + count) as one message. */
static int lend_train(struct transfer *t, struct tftp_flight *flight,
		      uint64_t first, unsigned count)
{
	struct tow_span spans[2 * TFTP_TRAIN_MAX];
	struct tow_udp_message message = {
		.spans = spans,
		.token = (uintptr_t)flight,
	};
	unsigned i;

	for (i = 0; i < count; i++) {
		uint64_t block = first + i;

		tftp_header(flight->headers[i], TFTP_DATA, (uint16_t)block);
		spans[2 * i].ptr = flight->headers[i];
		spans[2 * i].len = TFTP_HEADER_BYTES;
		spans[2 * i + 1] = pages_of(t, block);
	}
	message.span_count = (int)(2 * count);
	if (count > 1)
		message.segment_bytes =
			(uint16_t)(TFTP_HEADER_BYTES + t->blksize);
	return t->server->settings.copy ? tow_udp_send(t->udp, &message, 1)
					: tow_udp_lend(t->udp, &message, 1);
}

static unsigned train_length(const struct transfer *t, uint64_t end)
{
	uint64_t n = end - t->sent;

	return n < TFTP_TRAIN_MAX ? (unsigned)n : TFTP_TRAIN_MAX;
}

/* Returns: blocks that went out, 0: not now, or an error. */
static int send_octets(struct transfer *t, uint64_t end)
{
	unsigned count = train_length(t, end);
	uint64_t first = t->sent + 1;
	struct tftp_flight *flight;
	int n;

	if (!file_map_check(t->file.map, t->server->now_us, CHECK_AGE_US))
		return TOW_EIO;
	if (!is_resident(t, offset_of(t, first), (uint64_t)count * t->blksize))
		return 0;
	flight = make_flight(t);
	if (!flight)
		return 0;
	n = lend_train(t, flight, first, count);
	if (n < 1 || t->server->settings.copy)
		free_flight(flight);
	return n == 1 ? (int)count : n;
}

static int send_text(struct transfer *t)
{
	uint8_t packet[TFTP_HEADER_BYTES + TFTP_BLKSIZE4];
	struct tow_span span = { packet, TFTP_HEADER_BYTES };
	struct tow_udp_message message = { .spans = &span, .span_count = 1 };
	struct ascii_encoder state = t->encoders[t->sent - t->acked];
	struct file_map *map = t->file.map;
	size_t bytes;
	int n;

	if (!is_resident(t, state.at, t->blksize))
		return 0;
	tftp_header(packet, TFTP_DATA, (uint16_t)(t->sent + 1));
	bytes = ascii_encode(&state, map->pages.bytes, map->size,
			     packet + TFTP_HEADER_BYTES, t->blksize);
	if (!file_map_check(map, t->server->now_us, 0))
		return TOW_EIO;
	span.len += bytes;
	n = tow_udp_send(t->udp, &message, 1);
	if (n != 1)
		return n;
	t->encoders[t->sent + 1 - t->acked] = state;
	if (bytes < t->blksize)
		t->last = t->sent + 1;
	return 1;
}

static uint64_t window_end(const struct transfer *t)
{
	uint64_t end = t->acked + t->window;

	return t->last && t->last < end ? t->last : end;
}

void read_send(struct transfer *t)
{
	int n = 1;

	list_remove(&t->file.waiting);
	while (n > 0 && t->sent < window_end(t)) {
		n = t->request.netascii ? send_text(t)
					: send_octets(t, window_end(t));
		if (n > 0)
			t->sent += (unsigned)n;
	}
	if (n == TOW_EIO)
		transfer_fail(t, TFTP_UNDEFINED, "the file became shorter");
	else if (n < 0 && n != TOW_EAGAIN && n != TOW_ENOBUFS)
		transfer_end(t, 499);
}

void read_again(struct transfer *t)
{
	t->sent = t->acked;
	if (t->state == TRANSFER_OFFERING)
		offer(t);
	else
		read_send(t);
}

/* --- acknowledgements */

static void acknowledged(struct transfer *t, uint64_t block)
{
	memmove(t->encoders, t->encoders + (block - t->acked),
		sizeof(t->encoders[0]) *
			(TFTP_WINDOW_MAX + 1 - (block - t->acked)));
	t->acked = block;
	t->sent = block; /* what is behind it was lost, or never sent */
	t->resent = false;
	t->moved_bytes = offset_of(t, block + 1);
	if (t->last && !t->request.netascii && block == t->last)
		t->moved_bytes = t->file.map->size;
	transfer_progress(t);
	if (t->last && block == t->last)
		transfer_end(t, 200);
	else
		read_send(t);
}

static void acknowledged_twice(struct transfer *t)
{
	if (t->window == 1 || t->resent)
		return;
	t->resent = true;
	read_again(t);
}

void read_packet(struct transfer *t, const uint8_t *packet, size_t bytes)
{
	uint16_t ahead = (uint16_t)(tftp_number(packet) - t->acked);

	if (tftp_opcode(packet, bytes) != TFTP_ACK)
		return;
	if (t->state == TRANSFER_OFFERING && tftp_number(packet) == 0) {
		transfer_progress(t);
		begin_sending(t);
	} else if (t->state == TRANSFER_SENDING && ahead == 0) {
		acknowledged_twice(t);
	} else if (t->state == TRANSFER_SENDING &&
		   ahead <= t->sent - t->acked) {
		acknowledged(t, t->acked + ahead);
	}
}

/* --- the end */

void read_stop(struct transfer *t)
{
	file_send_stop(&t->file);
}

/* The stack is closed, so nothing is on loan. */
void read_close(struct transfer *t)
{
	LIST_EACH (node, &t->flights)
		free_flight(CONTAINER(node, struct tftp_flight, link));
}
