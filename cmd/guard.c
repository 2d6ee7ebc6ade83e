/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guard: see guard.h. As long as no file was truncated, it costs one look
 * at the length of each file in a batch.
 *
 * Between the look and the kernel's copy of the last frame of the batch some
 * microseconds remain in which a file can still be truncated unseen.
 */
#include "guard.h"

#include <stdlib.h>
#include <tow/error.h>
#include "dev/wrap.h"
#include "file_map.h"

/* The first span is headers; a file's bytes are behind it. */
static void look_at_files(struct tow_buf *const *bufs, unsigned n)
{
	static uint64_t round;
	unsigned i, k;

	round++;
	for (i = 0; i < n; i++)
		for (k = 1; k < bufs[i]->span_count; k++)
			file_maps_look(bufs[i]->spans[k].ptr, round);
}

static bool is_tainted(const struct tow_buf *buf)
{
	unsigned i;

	for (i = 0; i < buf->span_count; i++)
		if (file_maps_faulted(buf->spans[i].ptr, buf->spans[i].len))
			return true;
	return false;
}

/* How many of the first frames are untainted. */
static unsigned count_clean(struct tow_buf *const *bufs, unsigned n)
{
	unsigned i;

	for (i = 0; i < n && !is_tainted(bufs[i]); i++)
		;
	return i;
}

static int pass(struct wrap *wrap, struct tow_buf *const *bufs, unsigned n)
{
	int sent;

	wrap_enter(wrap);
	sent = wrap->inner->ops->tx(wrap->inner, bufs, n);
	wrap_leave(wrap);
	return sent;
}

static void swallow(struct wrap *wrap, struct tow_buf *buf)
{
	tow_buf_give(buf);
	wrap->tx_lost++;
	wrap->dev.tx_lost++;
}

/* Clean frames go on in runs; a tainted one between them is swallowed. */
static int guard_tx(struct tow_dev *dev, struct tow_buf *const *bufs,
		    unsigned n)
{
	struct wrap *wrap = wrap_of(dev);
	unsigned done = 0;

	look_at_files(bufs, n);
	if (!file_maps_any_faulted())
		return pass(wrap, bufs, n);
	while (done < n) {
		unsigned clean = count_clean(bufs + done, n - done);
		int sent = clean ? pass(wrap, bufs + done, clean) : 0;

		if (sent < 0)
			return done ? (int)done : sent;
		done += (unsigned)sent;
		if ((unsigned)sent < clean)
			break;
		if (done < n)
			swallow(wrap, bufs[done++]);
	}
	return (int)done;
}

static int guard_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct wrap *wrap = wrap_of(dev);
	int got;

	wrap_enter(wrap);
	got = wrap->inner->ops->rx(wrap->inner, bufs, n);
	wrap_leave(wrap);
	return got;
}

static void guard_close(struct tow_dev *dev)
{
	struct wrap *wrap = wrap_of(dev);

	wrap_close_inner(wrap);
	free(wrap);
}

static const struct tow_dev_ops guard_ops = {
	.name = "guard",
	.rx = guard_rx,
	.tx = guard_tx,
	.flush = wrap_flush,
	.wait_fd = wrap_wait_fd,
	.place = wrap_place,
	.withdraw = wrap_withdraw,
	.interface = wrap_interface,
	.close = guard_close,
};

int guard_open(struct tow_dev **out, struct tow_dev *inner)
{
	struct wrap *wrap = calloc(1, sizeof(*wrap));

	if (!wrap) {
		inner->ops->close(inner);
		return TOW_ENOMEM;
	}
	wrap_init(wrap, &guard_ops, inner);
	*out = &wrap->dev;
	return 0;
}
