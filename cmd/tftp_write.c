/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * WRQ: a file comes in, to the disk without a copy (RFC 1350, RFC 7440).
 *
 * The sink (tow/file.h) has memory that is written to the disk as it is. It is
 * posted to the transfer's socket, in slots of one block each, with TFTP's own
 * header kept out of them: blocks that arrive in order lie in it like in the
 * file.
 *
 *	posted   | block 7 | block 8 | block 8 again | block 9 | ...
 *	kept     |<---- the file's --->|  skipped      moved down
 *
 * A block that is not the next one takes a slot all the same. What comes behind
 * it is moved down, within the slots that are filled already, which nobody else
 * writes to any more. When the memory is full, what was kept goes to the disk.
 *
 * A disk that is slow has no memory to post; then blocks wait in the socket,
 * and the client for our ACK.
 *
 * The last ACK is sent when the file has its name, because that is what the
 * client takes it for. It may be lost, so the transfer lingers.
 */
#include "serve_tftp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORDS 64

/* --- acknowledgements */

static void acknowledge(struct transfer *t)
{
	uint8_t packet[TFTP_HEADER_BYTES];

	tftp_header(packet, TFTP_ACK, (uint16_t)t->got);
	transfer_send(t, packet, sizeof(packet));
	t->since_ack = 0;
	t->ack_owed = false;
}

static void answer_request(struct transfer *t)
{
	uint8_t packet[TFTP_OACK_MAX];
	size_t bytes = tftp_oack(packet, &t->agreed);

	if (bytes)
		transfer_send(t, packet, bytes);
	else
		acknowledge(t);
}

void write_again(struct transfer *t)
{
	if (t->got == 0)
		answer_request(t);
	else
		acknowledge(t);
}

/* --- memory */

static void post_more(struct transfer *t)
{
	struct tow_span span;

	while (t->post_count < TFTP_POSTS &&
	       tow_sink_reserve(t->sink, t->blksize, &span) == 0) {
		struct tftp_post *post = &t->posts[t->post_count++];

		*post = (struct tftp_post){
			.memory = (uint8_t *)(uintptr_t)span.ptr,
			.token = ++t->post_token,
		};
		/* All that could be wrong was checked, or is ours. */
		if (tow_udp_post(t->udp, &span, t->blksize, TFTP_HEADER_BYTES,
				 post->token) != 0) {
			transfer_fail(t, TFTP_UNDEFINED, "out of memory");
			return;
		}
		t->out++;
	}
}

/* The first post is done with: to the disk. */
static void fill_first(struct transfer *t)
{
	tow_sink_fill(t->sink, t->posts[0].kept);
	t->post_count--;
	memmove(t->posts, t->posts + 1, t->post_count * sizeof(t->posts[0]));
}

/* --- blocks */

static bool too_large(const struct transfer *t)
{
	uint64_t max = t->server->settings.upload_bytes_max;

	return max && t->moved_bytes > max;
}

static void keep(struct transfer *t, const struct tow_udp_slot *slot)
{
	struct tftp_post *post = &t->posts[0];
	uint8_t *to = post->memory + post->kept;
	uint8_t *from = post->memory + slot->offset;
	size_t bytes = slot->bytes;

	if (t->request.netascii)
		bytes = ascii_decode(&t->decoder, from, bytes, from);
	if (to != from)
		memmove(to, from, bytes);
	post->kept += bytes;
	t->moved_bytes += bytes;
}

static void take_block(struct transfer *t, const struct tow_udp_slot *slot)
{
	uint16_t ahead =
		(uint16_t)(tftp_number(slot->header) - (uint16_t)t->got);

	if (ahead == 1 && !t->whole) {
		keep(t, slot);
		t->got++;
		t->since_ack++;
		t->gap_told = false;
		t->whole = slot->bytes < t->blksize;
		t->ack_owed |= t->since_ack >= t->window;
		transfer_progress(t);
	} else if (ahead == 0 || ahead > UINT16_MAX / 2) {
		t->ack_owed = true; /* our ACK was lost */
	} else if (!t->gap_told) {
		t->ack_owed = t->gap_told = true; /* RFC 7440 4 */
	}
}

static void take_slot(struct transfer *t, const struct tow_udp_slot *slot)
{
	/* Records come in the order of slots: the first has no more. */
	while (t->post_count && t->posts[0].token != slot->token)
		fill_first(t);
	if (tftp_opcode(slot->header, TFTP_HEADER_BYTES) == TFTP_ERROR)
		transfer_end(t, 499);
	else if (tftp_opcode(slot->header, TFTP_HEADER_BYTES) == TFTP_DATA)
		take_block(t, slot);
}

/* All blocks are there: no more posts, and what was kept to the disk. */
static void finish(struct transfer *t)
{
	transfer_enter(t, TRANSFER_COMMITTING);
	tow_udp_unpost(t->udp);
	while (t->post_count)
		fill_first(t);
}

static void take_slots(struct transfer *t)
{
	struct tow_udp_slot slots[RECORDS];
	int n;

	do {
		n = tow_udp_posted(t->udp, slots, RECORDS);
		for (int i = 0; i < n && t->state == TRANSFER_RECEIVING; i++)
			take_slot(t, &slots[i]);
	} while (n == RECORDS && t->state == TRANSFER_RECEIVING);
}

/*
 * Datagrams that went into no slot. Without a post blocks wait here for the
 * next one; with one there is only what does not fit: an ERROR, or nonsense.
 */
static void skim(struct transfer *t)
{
	uint8_t packet[TFTP_HEADER_BYTES];
	unsigned opcode;
	int64_t n;

	while (t->udp) {
		n = tow_udp_recv(t->udp, packet, sizeof(packet), NULL);
		if (n == TOW_EAGAIN)
			return;
		opcode = n < 0 ? TFTP_ERROR : tftp_opcode(packet, (size_t)n);
		if (opcode == TFTP_ERROR)
			transfer_end(t, 499);
		else if (opcode == TFTP_DATA)
			t->ack_owed = true;
	}
}

static void end_of_batch(struct transfer *t)
{
	if (too_large(t))
		transfer_fail(t, TFTP_DISK_FULL, "larger than is allowed");
	else if (t->whole)
		finish(t);
	else if (t->ack_owed)
		acknowledge(t);
}

void write_take(struct transfer *t)
{
	if (t->state == TRANSFER_RECEIVING) {
		take_slots(t);
		if (t->state == TRANSFER_RECEIVING)
			end_of_batch(t);
		if (t->state == TRANSFER_RECEIVING &&
		    tow_udp_placement(t->udp) == TOW_PLACEMENT_NONE)
			return;
	}
	skim(t);
	/* The last block again: our last ACK was lost. */
	if (t->state == TRANSFER_LINGERING && t->ack_owed)
		acknowledge(t);
}

bool write_waits(const struct transfer *t)
{
	return t->state == TRANSFER_RECEIVING && t->post_count == 0;
}

void write_posted(struct transfer *t, const struct tow_event *event)
{
	t->out--;
	if (t->state == TRANSFER_RECEIVING) {
		write_take(t);
		if (t->state == TRANSFER_RECEIVING && t->post_count &&
		    t->posts[0].token == event->token)
			fill_first(t);
		if (t->state == TRANSFER_RECEIVING)
			post_more(t);
	}
	transfer_release(t);
}

/* --- the sink */

static enum tftp_code code_of(int error)
{
	switch (-error) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return TFTP_DISK_FULL;
	case ENOENT:
	case ENOTDIR:
		return TFTP_NOT_FOUND;
	case EACCES:
	case EPERM:
	case EROFS:
	case ELOOP:
	case EXDEV:
	case EISDIR:
		return TFTP_ACCESS;
	default:
		return TFTP_UNDEFINED;
	}
}

static void begin_receiving(struct transfer *t)
{
	transfer_enter(t, TRANSFER_RECEIVING);
	post_more(t);
	if (t->state == TRANSFER_RECEIVING)
		answer_request(t);
}

static void committed(struct transfer *t, bool replaced)
{
	transfer_log(t, replaced ? 204 : 201);
	transfer_enter(t, TRANSFER_LINGERING);
	acknowledge(t);
	tow_sink_close(t->sink);
	t->sink = NULL;
}

static void commit(struct transfer *t)
{
	int error = tow_sink_commit(t->sink);

	if (error)
		transfer_fail(t, TFTP_UNDEFINED, tow_strerror(error));
}

static void sink_changed(struct sink_user *user)
{
	struct transfer *t = CONTAINER(user, struct transfer, sink_user);
	struct tow_sink_info info;
	bool ready;

	tow_sink_info(t->sink, &info);
	ready = info.state == TOW_SINK_READY;
	if (info.state == TOW_SINK_FAILED)
		transfer_fail(t, code_of(info.status), tow_sink_error(t->sink));
	else if (t->state == TRANSFER_OPENING && ready)
		begin_receiving(t);
	else if (t->state == TRANSFER_RECEIVING)
		post_more(t);
	else if (t->state == TRANSFER_COMMITTING && ready)
		commit(t);
	else if (info.state == TOW_SINK_DONE)
		committed(t, info.replaced);
}

/* --- opening: the directory by a worker, the file by the disk */

struct write_job {
	struct job job;
	struct transfer *transfer;
	int root_fd, dir_fd; /* or a negative errno */
	char path[TFTP_NAME_MAX];
	const char *name; /* in it */
};

static void open_work(struct job *job)
{
	struct write_job *j = (struct write_job *)job;

	j->dir_fd = open_beneath(j->root_fd, j->path,
				 O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

static int open_sink(struct transfer *t, const struct write_job *j)
{
	struct tow_sink_file file = {
		.dir_fd = j->dir_fd,
		.name = j->name,
		.bytes_expected = t->request.netascii ? 0 : t->request.tsize,
		.sync = TOW_SYNC_END,
	};

	t->sink_user.changed = sink_changed;
	return tow_sink_open(t->server->disk, &file, &t->sink_user, &t->sink);
}

static void open_done(struct job *job)
{
	struct write_job *j = (struct write_job *)job;
	struct transfer *t = j->transfer;
	int error = j->dir_fd < 0 ? j->dir_fd : 0;

	t->out--;
	if (!error && t->state == TRANSFER_OPENING)
		error = open_sink(t, j);
	if (error)
		transfer_fail(t, code_of(error), strerror(-error));
	transfer_release(t);
	if (j->dir_fd >= 0)
		close(j->dir_fd);
	free(j);
}

/* "a/b/c" is c in a/b. */
static void split_path(struct write_job *j, const char *path)
{
	char *slash;

	strcpy(j->path, path);
	slash = strrchr(j->path, '/');
	j->name = slash ? slash + 1 : path;
	if (slash)
		*slash = '\0';
	else
		strcpy(j->path, ".");
}

void write_begin(struct transfer *t)
{
	uint64_t max = t->server->settings.upload_bytes_max;
	struct write_job *j;

	if (max && t->request.tsize > max) {
		transfer_fail(t, TFTP_DISK_FULL, "larger than is allowed");
		return;
	}
	j = calloc(1, sizeof(*j));
	if (!j) {
		transfer_fail(t, TFTP_UNDEFINED, "out of memory");
		return;
	}
	j->job.work = open_work;
	j->job.done = open_done;
	j->transfer = t;
	j->root_fd = t->server->root_fd;
	split_path(j, t->path);
	t->out++;
	workers_submit(t->server->workers, &j->job);
}

void write_stop(struct transfer *t)
{
	if (t->sink)
		tow_sink_close(t->sink);
	t->sink = NULL;
}
