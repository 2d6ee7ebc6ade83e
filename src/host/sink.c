/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sink's life: see the states in tow/file.h.
 *
 * Theory of operation. What blocks is a job, and there is one at a time:
 * opening, commit, release. While a job is under way the target is a
 * worker's. A sink that the program closed lives on until its writes are done,
 * its posts are back and a last job has released the file; nobody but the disk
 * knows of it then.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/error.h>
#include "base/base.h"
#include "host/disk_private.h"

void sink_changed(struct tow_sink *sink)
{
	if (!sink->closed && list_empty(&sink->changed))
		list_append(&sink->disk->changed, &sink->changed);
}

static void enter(struct tow_sink *sink, enum tow_sink_state state)
{
	if (sink->state == state)
		return;
	sink->state = state;
	sink_changed(sink);
}

void sink_fail(struct tow_sink *sink, int error, const char *what)
{
	const struct target *t = &sink->target;

	if (sink->state == TOW_SINK_FAILED)
		return;
	sink->status = error;
	snprintf(sink->error, sizeof(sink->error), "%s %s: %s", what,
		 t->file.part ? t->part : t->name, strerror(-error));
	sink->failed_at = feed_written_to(sink);
	enter(sink, TOW_SINK_FAILED);
	feed_stop(sink);
}

/*
 * A sync that failed is told of once, and by then the kernel may have thrown
 * away what it could not write; a part that is continued behind that would be
 * whole in length only.
 */
void sink_lost(struct tow_sink *sink)
{
	sink->failed_at = MIN(sink->failed_at, sink->synced);
}

/* --- jobs -------------------------------------------------------------------
 */

static void submit(struct tow_sink *sink, void (*work)(struct job *),
		   void (*done)(struct job *))
{
	sink->job.work = work;
	sink->job.done = done;
	sink->job_busy = true;
	sink->disk->may_be_readable = true;
	workers_submit(sink->disk->workers, &sink->job);
	if (!sink->disk->cfg.threads)
		workers_collect(sink->disk->workers);
}

static void open_work(struct job *job)
{
	struct tow_sink *sink = CONTAINER(job, struct tow_sink, job);

	sink->status = target_open(&sink->target, !sink->disk->cfg.no_direct);
}

static void open_done(struct job *job)
{
	struct tow_sink *sink = CONTAINER(job, struct tow_sink, job);

	sink->job_busy = false;
	sink->given = sink->next = sink->synced = sink->target.offset;
	if (sink->status)
		sink_fail(sink, sink->status, sink->target.failed);
	else
		enter(sink, TOW_SINK_READY);
	sink_settle(sink);
}

static void commit_work(struct job *job)
{
	struct tow_sink *sink = CONTAINER(job, struct tow_sink, job);

	sink->status = target_commit(&sink->target);
}

static void commit_done(struct job *job)
{
	struct tow_sink *sink = CONTAINER(job, struct tow_sink, job);

	sink->job_busy = false;
	if (sink->status)
		sink_fail(sink, sink->status, sink->target.failed);
	else
		enter(sink, TOW_SINK_DONE);
	if (sink->target.lost)
		sink_lost(sink);
	sink_settle(sink);
}

static void release_work(struct job *job)
{
	struct tow_sink *sink = CONTAINER(job, struct tow_sink, job);

	target_release(&sink->target, sink->state == TOW_SINK_DONE);
}

static void release_done(struct job *job)
{
	struct tow_sink *sink = CONTAINER(job, struct tow_sink, job);

	list_remove(&sink->link);
	free(sink);
}

void sink_discard(struct tow_sink *sink)
{
	sink->target.end = feed_written_to(sink);
	release_work(&sink->job);
	release_done(&sink->job);
}

/* --- calls ------------------------------------------------------------------
 */

int tow_sink_open(struct tow_disk *disk, const struct tow_sink_file *file,
		  void *user, struct tow_sink **out)
{
	struct tow_sink *sink = calloc(1, sizeof(*sink));
	int error;

	*out = NULL;
	if (!sink)
		return TOW_ENOMEM;
	error = target_init(&sink->target, file);
	if (error) {
		free(sink);
		return error;
	}
	sink->disk = disk;
	sink->user = user;
	sink->spans.disk = sink->sync.disk = disk;
	sink->spans.buffer = sink->sync.buffer = -1;
	list_init(&sink->waiting);
	list_init(&sink->changed);
	list_init(&sink->blocks);
	list_init(&sink->link);
	list_append(&disk->sinks, &sink->link);
	submit(sink, open_work, open_done);
	*out = sink;
	return 0;
}

/* When nothing is under way any more: ready again, or gone. */
void sink_settle(struct tow_sink *sink)
{
	if (sink->job_busy || !feed_is_idle(sink))
		return;
	if (sink->closed) {
		sink->target.end = feed_written_to(sink);
		submit(sink, release_work, release_done);
	} else if (sink->state == TOW_SINK_BUSY) {
		enter(sink, TOW_SINK_READY);
	}
}

int tow_sink_commit(struct tow_sink *sink)
{
	if (sink->state != TOW_SINK_READY)
		return TOW_EBUSY;
	sink->target.end = sink->given;
	sink->state = TOW_SINK_COMMITTING;
	submit(sink, commit_work, commit_done);
	return 0;
}

void tow_sink_close(struct tow_sink *sink)
{
	sink->closed = true;
	list_remove(&sink->changed);
	feed_stop(sink);
	sink_settle(sink);
}

void tow_sink_abort(struct tow_sink *sink)
{
	atomic_store(&sink->target.unwanted, true);
	tow_sink_close(sink);
}

void *tow_sink_user(const struct tow_sink *sink)
{
	return sink->user;
}

const char *tow_sink_error(const struct tow_sink *sink)
{
	return sink->error;
}

void tow_sink_info(const struct tow_sink *sink, struct tow_sink_info *out)
{
	bool opened = sink->state != TOW_SINK_OPENING;

	*out = (struct tow_sink_info){
		.state = sink->state,
		.status = sink->state == TOW_SINK_FAILED ? sink->status : 0,
		.conn_status = sink->conn_status,
		.conn_done = sink->conn_done,
		.conn_waits = sink->tcp && !sink->posts,
		.progress_bytes = feed_progress(sink),
		.direct_bytes = sink->direct_bytes,
		.posted_bytes = sink->posted_bytes,
		.placed_bytes = sink->placed_bytes,
		.copied_why = sink->copied_why,
	};
	if (!opened)
		return;
	out->offset = sink->target.offset;
	out->taken_bytes = sink->given - out->offset;
	out->written_bytes = feed_written_to(sink) - out->offset;
	out->direct_why = sink->target.direct_why;
	out->replaced = sink->state == TOW_SINK_DONE && sink->target.replaces;
}
