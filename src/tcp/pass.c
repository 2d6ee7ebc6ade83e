/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Passing: received bytes go out again, on another connection or on the same,
 * from the buffers in which they arrived.
 *
 *	 from: receive.head                       to: send.head
 *	+-------+   +-------+   +-------+        +------+   +------+
 *	|  buf  |-->|  buf  |-->|  buf  |        | loan |-->| loan | ...
 *	+-------+   +-------+   +-------+        +--|---+   +--|---+
 *	 ^  ^  ^                                    |          |
 *	 |  |  +------------------------------------+          |
 *	 |  +--------------------------------------------------+
 *	 +-- the receiver's own reference
 *
 * Each record of the send queue holds a reference; the receiver lets go of its
 * own when the buffer's last byte was returned or passed. So bytes of a buffer
 * may be returned, passed and still unread in any mixture, and what ends last
 * gives it.
 *
 * Who pays: the memory was taken by the near side's peer, so it counts against
 * the near side's window until the far side has acknowledged and no device
 * refers to it: a far side that is slow closes the near side's window, and
 * nothing grows. A buffer that the receiver has done with waits in
 * receive.passed for that. When the near side is closed, no window is left to
 * close: its buffers are nobody's then (owner is NULL), and only the pool, and
 * so everybody's windows (cost_max() in receive.c), feels them until they end.
 */
#include "base/csum.h"
#include "tcp/held.h"

/* The receiver let go of a buffer that is still on its way out. */
void pass_keep(struct tow_tcp *t, struct tow_buf *buf)
{
	held(buf)->owner = t;
	list_init(&held(buf)->link);
	list_append(&t->receive.passed, &held(buf)->link);
}

/* A record that referred to the buffer is done. */
void pass_done(struct tow_buf *buf)
{
	struct held *h = held(buf);
	struct tow_tcp *owner = NULL;

	ASSERT(h->loans > 0);
	if (--h->loans == 0)
		owner = h->owner;
	if (owner) {
		h->owner = NULL;
		list_remove(&h->link);
		held_cost_fell(owner, h->cost);
	}
	tow_buf_give(buf);
	if (owner)
		tcp_after_read(owner);
}

/* The receiver ends: what is still on its way out costs it nothing more. */
void pass_forget(struct tow_tcp *t)
{
	LIST_EACH (node, &t->receive.passed) {
		struct held *h = CONTAINER(node, struct held, link);

		held_cost_fell(t, h->cost);
		h->owner = NULL;
		list_remove(node);
	}
}

/*
 * Can the device gather a packet out of the buffer's spans? One touches as many
 * as lie in an MSS, and one more where it does not begin with a span; headers
 * take one themselves.
 */
static bool device_can_gather(const struct tow_tcp *to,
			      const struct tow_buf *buf)
{
	const struct tow_dev *dev = to->path.link->dev;
	uint64_t spans = buf->span_count - (buf->spans[0].len == 0 ? 1u : 0u);

	return !dev || spans == 1 ||
	       2 + spans * to->snd.mss / buf->bytes <= dev->spans_max;
}

/*
 * A reference keeps the whole buffer. Few bytes are not worth that, and when
 * the receive buffer is full nothing is that keeps four times as much.
 */
static bool must_copy(const struct tow_tcp *to, const struct tow_tcp *from,
		      struct tow_buf *buf, uint32_t bytes, enum tow_copy *why)
{
	*why = TOW_COPY_TX_SMALL;
	if (bytes < to->host->cfg.lend_bytes_min)
		return true;
	*why = TOW_COPY_TX_PASS;
	return held_is_moved(from, buf) || !device_can_gather(to, buf) ||
	       buf->span_count > to->host->cfg.loans || /* it never fits */
	       (from->receive.cost > from->receive.limit &&
		bytes < held(buf)->cost / 4);
}

static uint32_t pass_copied(struct tow_tcp *to, struct tow_tcp *from,
			    const struct tow_buf *buf, uint32_t bytes,
			    enum tow_copy why)
{
	const struct tow_span *span = buf->spans;
	uint32_t taken = 0, here, n;

	for (; taken < bytes; span++) {
		here = (uint32_t)MIN(span->len, bytes - taken);
		n = send_queue_append(to, span->ptr, here, why);
		taken += n;
		if (n < here)
			break;
	}
	TCP_ENTER(from, rx_lent_bytes, taken);
	return taken;
}

/* The sum that was received is worth something where no device makes one. */
static void hand_on_sum(struct tow_tcp *to, struct tow_buf *buf, uint32_t bytes,
			struct loan *first)
{
	const struct held *h = held(buf);

	if (first && h->sum_bytes == bytes && bytes == buf->bytes &&
	    !(net_path_caps(&to->path) & TOW_DEV_TX_CSUM))
		send_queue_note_sum(to, first, h->sum);
}

static uint32_t pass_in_place(struct tow_tcp *to, struct tow_tcp *from,
			      struct tow_buf *buf, uint32_t bytes)
{
	struct loan *last = to->send.tail;

	if (!send_queue_pass(to, buf, bytes))
		return 0;
	hand_on_sum(to, buf, bytes, last ? last->next : to->send.head);
	TCP_ENTER(to, passed_bytes, bytes);
	if (from->ledger && from != to)
		from->ledger->passed_bytes += bytes;
	return bytes;
}

/* The first @bytes of one buffer. Returns: how many there were records for. */
static uint32_t pass_piece(struct tow_tcp *to, struct tow_tcp *from,
			   struct tow_buf *buf, uint32_t bytes)
{
	enum tow_copy why;
	uint32_t taken = 0;

	if (must_copy(to, from, buf, bytes, &why))
		taken = pass_copied(to, from, buf, bytes, why);
	/* The refuge is memory of an owner, who may end before @to does. */
	if (taken == 0 && !held_is_moved(from, buf))
		taken = pass_in_place(to, from, buf, bytes);
	return taken;
}

/*
 * Auto-tuning of the near side's window: bytes stay in memory for a round trip
 * of either side. It only helps where the far side sends all that it is given;
 * else the window is small because it should be.
 */
static void tune(struct tow_tcp *to, struct tow_tcp *from, bool all_sent,
		 size_t bytes)
{
	if (all_sent)
		receive_tune_over(from, bytes,
				  from->rtt.srtt_us + to->rtt.srtt_us);
}

/*
 * The oldest @bytes on loan from @from go out on @to, as far as its queue has
 * room: any room takes a whole buffer.
 *
 * Returns: how many, or TOW_EAGAIN.
 */
int64_t pass_borrowed(struct tow_tcp *to, struct tow_tcp *from, size_t bytes,
		      unsigned flags)
{
	bool all_sent = to->send.next == to->send.end;
	size_t taken = 0;

	while (taken < bytes && send_queue_room(to)) {
		struct tow_buf *buf = from->receive.head;
		uint32_t here = (uint32_t)MIN(bytes - taken, buf->bytes);
		uint32_t n = pass_piece(to, from, buf, here);

		receive_release(from, n);
		taken += n;
		if (n < here) {
			send_queue_starve(to);
			break;
		}
	}
	if (taken == 0)
		return TOW_EAGAIN;
	tune(to, from, all_sent, taken);
	send_queue_note(to, taken < bytes ? 0 : flags);
	return (int64_t)taken;
}
