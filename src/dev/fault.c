/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault wrapper: fault:loss=1%,delay=5ms,…:DEVICE makes a bad network out
 * of a good device.
 *
 *	loss=1%     frames that vanish
 *	dup=1%      frames that come twice
 *	mark=1%     packets that come marked instead, if they are ECN-capable
 *	corrupt=1%  frames with one bit turned over, behind the Ethernet header
 *	reorder=1%  frames held back for up to gap=2ms, so that others pass
 *	delay=5ms   each frame's way takes that long …
 *	jitter=1ms  … or up to so much longer; more than the time between
 *	            frames reorders them
 *	seed=1      the same seed does the same to the same frames
 *	dir=both    rx, tx or both
 *	large=off   on: what happens to packets happens to large segments
 *	limit=4096  frames on the way in each direction
 *
 * Theory of operation
 *
 *	tx --> judge --> delay queue --> pending --> inner device
 *	rx <------------ delay queue <-- judge <---- inner device
 *
 * Each frame is judged once: lost, corrupted, duplicated, and when it is due.
 * Everything passes through the delay queue, even frames without delay, which
 * are due at once. Frames that are due but not taken by the device inside wait
 * in pending. When the queue is full, tx takes no more, like any full ring,
 * and rx leaves the rest in the device inside.
 *
 * Faults happen to packets as they are on a wire. So at open the device inside
 * is told to do without large segments in both directions; with large=on each
 * of those that arrive is taken for one packet. Checksums may be
 * left to the device: a frame that is corrupted has its own finished first,
 * because the damage is on the wire, behind the NIC.
 *
 * A frame's payload is lent memory and may not be written. What is corrupted
 * or comes twice is a copy in the receive pool's memory; when that is dry, the
 * corrupted frame is lost and the second one does not come.
 *
 * Placement. What lies in posted memory cannot be taken back, so a placed frame
 * that is to be lost, or to come later, is handed up all the same, spoiled so
 * that nobody takes it for a packet, and what comes later is a copy. Then the
 * hint rests (dev.h): it is withdrawn from the device inside, which for that
 * is asked for one frame at a time as long as there are hints. Where each
 * packet is to come later, by delay or jitter, nothing is placed.
 *
 * One bit, not more, is turned over: the Internet checksum finds any single
 * bit, so that a transfer through this wrapper must still be right. Bits that
 * no checksum covers (a flow label, a hop limit) may come out changed.
 */
#include <stdlib.h>
#include <string.h>
#include <tow/error.h>
#include "base/random.h"
#include "dev/delay_queue.h"
#include "dev/drivers.h"
#include "dev/frame.h"
#include "dev/wrap.h"

#define PENDING_MAX   64
#define LIMIT_DEFAULT 4096
#define LIMIT_MAX     1000000
#define TIME_US_MAX   (60u * 1000000)
#define GAP_US	      2000
#define RETRY_US      100 /* after the device inside was full */
#define HINTS_MAX     64
#define IP_VERSION_AT FRAME_ETH_BYTES
#define CE	      3 /* RFC 3168 5 */

enum direction { DIRECTION_BOTH, DIRECTION_RX, DIRECTION_TX };

struct fault_options {
	uint32_t loss, mark, dup, corrupt, reorder; /* of SPEC_RATIO_ONE */
	uint32_t direction;
	uint64_t delay_us, jitter_us, gap_us;
	uint64_t seed;
	uint64_t limit;
	bool large;
};

/* One direction has dice of its own, so that the other does not shift them. */
struct path {
	struct random dice;
	struct delay_queue queue;
	bool faulty;
	uint64_t *lost;
	unsigned spans_max;
};

/* That the device inside follows. */
struct hint {
	struct tow_place flow; /* as it is withdrawn */
	uint64_t bytes_left;
};

struct fault {
	struct wrap wrap;
	struct fault_options options;
	struct path rx, tx;
	struct tow_buf *pending[PENDING_MAX]; /* tx: due, in order */
	unsigned pending_count;
	struct hint hints[HINTS_MAX];
	unsigned hint_count;
	uint8_t frame[FRAME_BYTES_MAX];
};

static const char *const directions[] = { "both", "rx", "tx", NULL };

#define AT(member) offsetof(struct fault_options, member)
static const struct spec_key keys[] = {
	{ "loss", SPEC_RATIO, AT(loss), 0, 0, NULL },
	{ "mark", SPEC_RATIO, AT(mark), 0, 0, NULL },
	{ "dup", SPEC_RATIO, AT(dup), 0, 0, NULL },
	{ "corrupt", SPEC_RATIO, AT(corrupt), 0, 0, NULL },
	{ "reorder", SPEC_RATIO, AT(reorder), 0, 0, NULL },
	{ "gap", SPEC_TIME, AT(gap_us), 1, TIME_US_MAX, NULL },
	{ "delay", SPEC_TIME, AT(delay_us), 0, TIME_US_MAX, NULL },
	{ "jitter", SPEC_TIME, AT(jitter_us), 0, TIME_US_MAX, NULL },
	{ "seed", SPEC_NUMBER, AT(seed), 0, UINT64_MAX, NULL },
	{ "dir", SPEC_WORD, AT(direction), 0, 0, directions },
	{ "large", SPEC_SWITCH, AT(large), 0, 0, NULL },
	{ "limit", SPEC_NUMBER, AT(limit), 1, LIMIT_MAX, NULL },
};
#undef AT

static struct fault *fault_of(struct tow_dev *dev)
{
	return CONTAINER(wrap_of(dev), struct fault, wrap);
}

/* ---- what happens to a frame ---- */

static bool happens(struct path *path, uint32_t ratio)
{
	return ratio && random_below(&path->dice, SPEC_RATIO_ONE) < ratio;
}

static uint64_t up_to(struct path *path, uint64_t us)
{
	return us ? random_below(&path->dice, (uint32_t)us + 1) : 0;
}

static uint64_t choose_due(struct fault *f, struct path *path)
{
	uint64_t due_us = f->wrap.dev.now_us + f->options.delay_us +
			  up_to(path, f->options.jitter_us);

	if (happens(path, f->options.reorder))
		due_us += 1 + up_to(path, f->options.gap_us - 1);
	return due_us;
}

/*
 * RFC 3168 5: "congestion experienced", as a router says it instead of dropping
 * the packet. Only where the headers are in the buffer's own room: other memory
 * is lent, and not ours to write.
 */
static void mark(struct tow_buf *buf)
{
	uint8_t *frame = (uint8_t *)(uintptr_t)buf->spans[0].ptr;

	if (frame >= buf->room && frame < buf->room + TOW_BUF_ROOM &&
	    frame_ecn(frame, buf->spans[0].len))
		frame_set_ecn(frame, CE);
}

/* The frame as it would be on a wire, in memory of the receive pool. */
static struct tow_buf *copy_frame(struct fault *f, const struct path *path,
				  const struct tow_buf *buf,
				  uint64_t flipped_bit)
{
	size_t bytes = tow_buf_read(buf, 0, f->frame, sizeof(f->frame));
	struct tow_buf *copy;

	if (bytes < buf->bytes)
		return NULL;
	frame_finish_csum(buf, f->frame, bytes);
	if (flipped_bit)
		f->frame[flipped_bit / 8] ^= (uint8_t)(1u << flipped_bit % 8);
	copy = frame_make(f->wrap.dev.pool, f->frame, bytes, path->spans_max);
	if (!copy)
		return NULL;
	copy->flags |= buf->flags & TOW_BUF_TRUNCATED;
	copy->gso = buf->gso;
	copy->gso_bytes = buf->gso_bytes;
	return copy;
}

/* Takes the buffer; returns the damaged frame, NULL if it was lost. */
static struct tow_buf *corrupt(struct fault *f, struct path *path,
			       struct tow_buf *buf)
{
	struct tow_buf *copy = NULL;

	if (buf->bytes > FRAME_ETH_BYTES) {
		uint32_t bits = (buf->bytes - FRAME_ETH_BYTES) * 8;

		copy = copy_frame(f, path, buf,
				  FRAME_ETH_BYTES * 8 +
					  random_below(&path->dice, bits));
	}
	tow_buf_give(buf);
	return copy;
}

/* Takes the buffer; the path's queue has room for two. */
static void judge(struct fault *f, struct path *path, struct tow_buf *buf)
{
	struct tow_buf *twin;

	if (!path->faulty) {
		delay_put(&path->queue, buf, f->wrap.dev.now_us);
		return;
	}
	if (happens(path, f->options.loss)) {
		tow_buf_give(buf);
		++*path->lost;
		return;
	}
	if (happens(path, f->options.mark))
		mark(buf);
	if (happens(path, f->options.corrupt)) {
		buf = corrupt(f, path, buf);
		if (!buf) {
			++*path->lost;
			return;
		}
	}
	if (happens(path, f->options.dup)) {
		twin = copy_frame(f, path, buf, 0);
		if (twin)
			delay_put(&path->queue, twin, choose_due(f, path));
	}
	delay_put(&path->queue, buf, choose_due(f, path));
}

/* ---- what happens to a frame in posted memory ---- */

static uint8_t *byte_at(const struct tow_buf *buf, size_t offset)
{
	const struct tow_span *span = buf->spans;

	for (; offset >= span->len; span++)
		offset -= span->len;
	return (uint8_t *)(uintptr_t)span->ptr + offset;
}

static struct hint *hint_of(struct fault *f, const struct tow_buf *buf)
{
	for (unsigned i = 0; i < f->hint_count; i++)
		if (f->hints[i].flow.token == buf->place)
			return &f->hints[i];
	return NULL;
}

/* It is not what was foreseen: nothing more goes behind it. */
static void let_rest(struct fault *f, struct tow_buf *buf)
{
	struct tow_dev *inner = f->wrap.inner;
	struct hint *hint = hint_of(f, buf);

	buf->flags &= (uint8_t)~TOW_BUF_FORESEEN;
	if (!hint)
		return;
	(void)inner->ops->place(inner, &hint->flow);
	*hint = f->hints[--f->hint_count];
}

/* Has the stack to see this one before the next is asked for? */
static bool hint_ends(struct fault *f, const struct tow_buf *buf)
{
	struct hint *hint = hint_of(f, buf);
	uint64_t payload = buf->bytes - buf->spans[0].len;

	if (!hint || !(buf->flags & TOW_BUF_FORESEEN))
		return true;
	hint->bytes_left -= MIN(hint->bytes_left, payload);
	return hint->bytes_left < payload;
}

/* As corrupt() does it, but where it lies. */
static void corrupt_in_place(struct fault *f, struct tow_buf *buf)
{
	uint32_t bits = (buf->bytes - FRAME_ETH_BYTES) * 8;
	uint32_t bit = FRAME_ETH_BYTES * 8 + random_below(&f->rx.dice, bits);
	size_t sum_at = (size_t)buf->csum_start + buf->csum_offset;

	if (buf->flags & TOW_BUF_CSUM_PARTIAL && sum_at + 2 <= buf->bytes) {
		size_t bytes = tow_buf_read(buf, 0, f->frame, sizeof(f->frame));

		frame_finish_csum(buf, f->frame, bytes);
		*byte_at(buf, sum_at) = f->frame[sum_at];
		*byte_at(buf, sum_at + 1) = f->frame[sum_at + 1];
	}
	buf->flags &= (uint8_t) ~(TOW_BUF_CSUM_PARTIAL | TOW_BUF_CSUM_OK);
	*byte_at(buf, bit / 8) ^= (uint8_t)(1u << bit % 8);
}

/* Of no IP version that there is. */
static void spoil(struct tow_buf *buf)
{
	*byte_at(buf, IP_VERSION_AT) &= 0x0f;
}

/* The path's queue has room for two. */
static void judge_placed(struct fault *f, struct tow_buf *buf)
{
	struct path *path = &f->rx;
	bool lost = happens(path, f->options.loss);
	bool corrupted = !lost && happens(path, f->options.corrupt);
	bool twice = !lost && happens(path, f->options.dup);
	bool late = !lost && happens(path, f->options.reorder);
	struct tow_buf *copy;

	if (!lost && happens(path, f->options.mark))
		mark(buf);
	if (corrupted)
		corrupt_in_place(f, buf);
	for (int i = 0; i < twice + late; i++) {
		copy = copy_frame(f, path, buf, 0);
		if (copy)
			delay_put(&path->queue, copy,
				  f->wrap.dev.now_us + 1 +
					  up_to(path, f->options.gap_us - 1));
	}
	if (lost || late)
		spoil(buf);
	if (lost || late || corrupted)
		let_rest(f, buf);
}

static bool same_flow(const struct tow_place *a, const struct tow_place *b)
{
	return a->protocol == b->protocol && a->local_port == b->local_port &&
	       a->remote_port == b->remote_port &&
	       memcmp(a->local, b->local, sizeof(a->local)) == 0 &&
	       memcmp(a->remote, b->remote, sizeof(a->remote)) == 0;
}

static int fault_place(struct tow_dev *dev, const struct tow_place *place)
{
	struct fault *f = fault_of(dev);
	struct hint hint = { *place, place->bytes };
	int error;

	hint.flow.span_count = 0;
	hint.flow.spans = NULL;
	hint.flow.bytes = 0;
	for (unsigned i = 0; i < f->hint_count; i++)
		if (same_flow(&f->hints[i].flow, place))
			f->hints[i--] = f->hints[--f->hint_count];
	if (place->bytes && f->hint_count == HINTS_MAX) {
		(void)wrap_place(dev, &hint.flow);
		return TOW_EBUSY;
	}
	error = wrap_place(dev, place);
	if (!error && place->bytes)
		f->hints[f->hint_count++] = hint;
	return error;
}

/* ---- the device inside ---- */

static void leave(struct fault *f)
{
	uint64_t next_us;

	wrap_leave(&f->wrap);
	next_us = MIN(delay_next_us(&f->rx.queue), delay_next_us(&f->tx.queue));
	if (f->pending_count)
		next_us = MIN(next_us, f->wrap.dev.now_us + RETRY_US);
	f->wrap.dev.next_us = MIN(f->wrap.dev.next_us, next_us);
}

/*
 * All frames that the device inside has, as far as the queue has room: frames
 * that are to be late must start to be so now.
 */
static int fetch(struct fault *f)
{
	struct tow_dev *inner = f->wrap.inner;
	struct tow_buf *bufs[PENDING_MAX];
	unsigned room;
	int got;

	do {
		room = delay_room(&f->rx.queue) / 2; /* for twins */
		room = MIN(room, (unsigned)PENDING_MAX);
		if (!room)
			return 0;
		got = inner->ops->rx(inner, bufs, room);
		for (int i = 0; i < got; i++)
			judge(f, &f->rx, bufs[i]);
	} while (got == (int)room);
	return got;
}

static unsigned take_due(struct fault *f, struct tow_buf **bufs, unsigned n)
{
	unsigned count = 0;

	while (count < n) {
		bufs[count] = delay_take(&f->rx.queue, f->wrap.dev.now_us);
		if (!bufs[count])
			break;
		count++;
	}
	return count;
}

/*
 * With hints: no more than are handed up at once, because a frame with bytes in
 * posted memory must not be here when its hint is moved; and nothing is placed
 * behind a frame that was not, which may be the one before it.
 */
static int fetch_placing(struct fault *f, struct tow_buf **bufs, unsigned n,
			 unsigned *count)
{
	struct tow_dev *inner = f->wrap.inner;
	struct tow_buf *buf;
	int got = 0;

	while (*count < n && delay_room(&f->rx.queue) >= 2) {
		got = inner->ops->rx(inner, &buf, 1);
		if (got <= 0)
			break;
		if (!buf->place) {
			judge(f, &f->rx, buf);
			*count += take_due(f, bufs + *count, n - *count);
			break;
		}
		if (f->rx.faulty)
			judge_placed(f, buf);
		bufs[(*count)++] = buf;
		if (hint_ends(f, buf))
			break;
	}
	return got;
}

/* The device inside is gone: so is what was on its way to it, however late. */
static void drop_outgoing(struct fault *f)
{
	struct tow_buf *buf;

	f->wrap.tx_lost += f->pending_count;
	while (f->pending_count)
		tow_buf_give(f->pending[--f->pending_count]);
	while ((buf = delay_take(&f->tx.queue, UINT64_MAX)) != NULL) {
		f->wrap.tx_lost++;
		tow_buf_give(buf);
	}
}

static int fault_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct fault *f = fault_of(dev);
	unsigned count = 0;
	int got;

	wrap_enter(&f->wrap);
	if (f->hint_count) {
		count = take_due(f, bufs, n);
		got = count ? 0 : fetch_placing(f, bufs, n, &count);
	} else {
		got = fetch(f);
		count = take_due(f, bufs, n);
	}
	if (got < 0)
		drop_outgoing(f);
	leave(f);
	return !count && got < 0 ? got : (int)count;
}

/* Hand on what is due, in order, until the device inside takes no more. */
static void pump(struct fault *f)
{
	struct tow_dev *inner = f->wrap.inner;
	int sent;

	do {
		while (f->pending_count < PENDING_MAX) {
			struct tow_buf *buf =
				delay_take(&f->tx.queue, f->wrap.dev.now_us);

			if (!buf)
				break;
			f->pending[f->pending_count++] = buf;
		}
		if (!f->pending_count)
			return;
		sent = inner->ops->tx(inner, f->pending, f->pending_count);
		if (sent < 0) {
			drop_outgoing(f);
			return;
		}
		f->pending_count -= (unsigned)sent;
		memmove(f->pending, f->pending + sent,
			f->pending_count * sizeof(f->pending[0]));
	} while (!f->pending_count);
}

static int fault_tx(struct tow_dev *dev, struct tow_buf *const *bufs,
		    unsigned n)
{
	struct fault *f = fault_of(dev);
	unsigned taken = 0;

	wrap_enter(&f->wrap);
	while (taken < n && delay_room(&f->tx.queue) >= 2)
		judge(f, &f->tx, bufs[taken++]);
	pump(f);
	leave(f);
	return (int)taken;
}

static void fault_flush(struct tow_dev *dev)
{
	struct fault *f = fault_of(dev);

	wrap_enter(&f->wrap);
	pump(f);
	if (f->wrap.inner->ops->flush)
		f->wrap.inner->ops->flush(f->wrap.inner);
	leave(f);
}

static void fault_close(struct tow_dev *dev)
{
	struct fault *f = fault_of(dev);

	delay_free(&f->rx.queue);
	delay_free(&f->tx.queue);
	while (f->pending_count)
		tow_buf_give(f->pending[--f->pending_count]);
	wrap_close_inner(&f->wrap);
	free(f);
}

static const struct tow_dev_ops fault_ops = {
	.name = "fault",
	.rx = fault_rx,
	.tx = fault_tx,
	.flush = fault_flush,
	.wait_fd = wrap_wait_fd,
	.place = fault_place,
	.close = fault_close,
	.withdraw = wrap_withdraw,
	.interface = wrap_interface,
};

/* ---- open ---- */

static void seed_dice(struct path *path, uint64_t seed, uint8_t which)
{
	uint8_t secret[32] = { 0 };

	memcpy(secret, &seed, sizeof(seed));
	secret[sizeof(seed)] = which;
	random_init(&path->dice, secret);
}

/* Packets as they are on the wire, and copies that the stack may read. */
static int tame_inner(struct tow_dev *inner, struct spec *spec,
		      const struct fault_options *options)
{
	uint32_t large = inner->caps & (TOW_DEV_TSO4 | TOW_DEV_TSO6 |
					TOW_DEV_USO | TOW_DEV_LRO);

	if (inner->caps & TOW_DEV_ARENA)
		return spec_fail(spec, TOW_EOPNOTSUPP,
				 "fault cannot wrap %s, which sends only from "
				 "memory of its own",
				 inner->ops->name);
	if (options->large && options->direction != DIRECTION_RX)
		return spec_fail(spec, TOW_EINVAL,
				 "fault does large=on to what arrives only: "
				 "add dir=rx");
	if (!large || options->large)
		return 0;
	if (!inner->ops->withdraw || inner->ops->withdraw(inner, large))
		return spec_fail(spec, TOW_EOPNOTSUPP,
				 "fault works on single packets, and %s cannot "
				 "do without large segments",
				 inner->ops->name);
	return 0;
}

static bool init_paths(struct fault *f)
{
	unsigned limit = (unsigned)f->options.limit + 1; /* room for a twin */

	f->rx.faulty = f->options.direction != DIRECTION_TX;
	f->tx.faulty = f->options.direction != DIRECTION_RX;
	f->rx.lost = &f->wrap.rx_lost;
	f->tx.lost = &f->wrap.tx_lost;
	f->rx.spans_max = TOW_BUF_SPANS;
	f->tx.spans_max = f->wrap.inner->spans_max;
	seed_dice(&f->rx, f->options.seed, DIRECTION_RX);
	seed_dice(&f->tx, f->options.seed, DIRECTION_TX);
	if (delay_init(&f->rx.queue, limit) && delay_init(&f->tx.queue, limit))
		return true;
	free(f->rx.queue.heap);
	return false;
}

static int make(struct tow_dev **out, struct spec *spec,
		const struct fault_options *options, struct tow_dev *inner)
{
	struct fault *f;
	int error = tame_inner(inner, spec, options);

	if (error)
		return error;
	f = calloc(1, sizeof(*f));
	if (!f)
		return spec_fail(spec, TOW_ENOMEM, "out of memory");
	f->options = *options;
	if (options->delay_us || options->jitter_us)
		f->wrap.hidden_caps = TOW_DEV_PLACE;
	wrap_init(&f->wrap, &fault_ops, inner);
	if (!init_paths(f)) {
		free(f);
		return spec_fail(spec, TOW_ENOMEM, "out of memory");
	}
	*out = &f->wrap.dev;
	return 0;
}

int fault_open(struct tow_dev **out, struct spec *spec)
{
	struct fault_options options = {
		.seed = 1,
		.limit = LIMIT_DEFAULT,
		.gap_us = GAP_US,
	};
	struct tow_dev *inner;
	int error;

	error = spec_read(spec, "fault", keys, LENGTH(keys), SPEC_TO_COLON,
			  &options);
	if (!error)
		error = dev_open_next(&inner, spec);
	if (error)
		return error;
	error = make(out, spec, &options, inner);
	if (error)
		inner->ops->close(inner);
	return error;
}
