/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests to the system.
 *
 * Theory of operation. Where the kernel lets us, requests go through a ring:
 * they are prepared as they come and submitted together by tow_disk_run().
 * Blocks are registered with it when they are used first, so that their pages
 * are looked up once and not for each write. Registering files as well would
 * save some 20 ns for half a megabyte, so that is left out.
 *
 * Where it does not (a sandbox, io_uring_disabled, an old kernel), the threads
 * that open files write them as well; without threads, writing blocks. Both
 * ways one eventfd says that something is to be collected, and completions are
 * collected by the stack's thread, so nothing here is shared.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/base.h"
#include "host/disk_private.h"

#define RING_ENTRIES 256

/* --- by a thread, or right here ---------------------------------------------
 */

static ssize_t perform(const struct disk_request *r)
{
	if (r->sync)
		return fdatasync(r->fd);
	if (r->iov)
		return pwritev(r->fd, r->iov, (int)r->iov_count,
			       (off_t)r->offset);
	return pwrite(r->fd, r->memory, r->bytes, (off_t)r->offset);
}

static void perform_job(struct job *job)
{
	struct disk_request *r = CONTAINER(job, struct disk_request, job);
	ssize_t n = perform(r);

	r->result = n < 0 ? -errno : (int)n;
}

static void perform_done(struct job *job)
{
	struct disk_request *r = CONTAINER(job, struct disk_request, job);

	r->disk->requests--;
	r->done(r);
}

static void start_job(struct disk_request *r)
{
	r->job.work = perform_job;
	r->job.done = perform_done;
	workers_submit(r->disk->workers, &r->job);
}

/* --- by the ring ------------------------------------------------------------
 */

static struct io_uring_sqe *take_entry(struct tow_disk *disk)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&disk->ring);

	if (entry)
		return entry;
	request_flush(disk);
	return io_uring_get_sqe(&disk->ring);
}

static void start_entry(struct disk_request *r)
{
	struct io_uring_sqe *entry = take_entry(r->disk);

	if (!entry) { /* the kernel takes nothing now */
		start_job(r);
		return;
	}
	if (r->sync)
		io_uring_prep_fsync(entry, r->fd, IORING_FSYNC_DATASYNC);
	else if (r->iov)
		io_uring_prep_writev(entry, r->fd, r->iov, r->iov_count,
				     r->offset);
	else if (r->buffer >= 0)
		io_uring_prep_write_fixed(entry, r->fd, r->memory,
					  (unsigned)r->bytes, r->offset,
					  r->buffer);
	else
		io_uring_prep_write(entry, r->fd, r->memory, (unsigned)r->bytes,
				    r->offset);
	io_uring_sqe_set_data(entry, r);
	r->disk->unsubmitted++;
}

static void collect_entries(struct tow_disk *disk)
{
	struct io_uring_cqe *entry;

	while (io_uring_peek_cqe(&disk->ring, &entry) == 0) {
		struct disk_request *r = io_uring_cqe_get_data(entry);

		r->result = entry->res;
		io_uring_cqe_seen(&disk->ring, entry);
		disk->requests--;
		r->done(r);
	}
}

/* --- either way -------------------------------------------------------------
 */

void request_start(struct disk_request *r)
{
	r->disk->requests++;
	r->disk->may_be_readable = true;
	r->disk->start(r);
}

/* What the kernel does not take now, it is offered again the next time. */
void request_flush(struct tow_disk *disk)
{
	int n;

	if (!disk->unsubmitted)
		return;
	n = io_uring_submit(&disk->ring);
	if (n > 0)
		disk->unsubmitted -= MIN((unsigned)n, disk->unsubmitted);
}

void request_collect(struct tow_disk *disk)
{
	if (disk->has_ring)
		collect_entries(disk);
}

/* Without it a block is only somewhat dearer to write. */
void request_register(struct disk_block *block)
{
	struct tow_disk *disk = block->request.disk;
	struct iovec iov = { block->memory, disk->cfg.block_bytes };
	unsigned number = (unsigned)(block - disk->blocks);
	__u64 tag = 0;
	int n;

	if (!disk->fixed_buffers || block->request.buffer >= 0)
		return;
	n = io_uring_register_buffers_update_tag(&disk->ring, number, &iov,
						 &tag, 1);
	if (n == 1) {
		block->request.buffer = (int)number;
		return;
	}
	disk->fixed_buffers = false; /* RLIMIT_MEMLOCK, mostly */
	snprintf(disk->how, sizeof(disk->how), "io_uring, %s: %s",
		 number ? "some fixed buffers" : "plain buffers", strerror(-n));
}

static int open_ring(struct tow_disk *disk)
{
	int error = io_uring_queue_init(RING_ENTRIES, &disk->ring, 0);

	if (error)
		return error;
	error = io_uring_register_eventfd(&disk->ring,
					  workers_fd(disk->workers));
	if (error)
		io_uring_queue_exit(&disk->ring);
	return error;
}

void request_open(struct tow_disk *disk)
{
	int error = disk->cfg.no_uring ? -EOPNOTSUPP : open_ring(disk);
	const char *other = disk->cfg.threads ? "threads" : "blocking writes";

	disk->start = error ? start_job : start_entry;
	disk->has_ring = error == 0;
	if (error) {
		snprintf(disk->how, sizeof(disk->how), "%s; io_uring: %s",
			 other,
			 disk->cfg.no_uring ? "turned off" : strerror(-error));
		return;
	}
	error = io_uring_register_buffers_sparse(&disk->ring,
						 disk->cfg.blocks_max);
	disk->fixed_buffers = error == 0;
	snprintf(disk->how, sizeof(disk->how), "io_uring, %s buffers",
		 error ? "plain" : "fixed");
}

void request_close(struct tow_disk *disk)
{
	if (disk->has_ring)
		io_uring_queue_exit(&disk->ring);
}
