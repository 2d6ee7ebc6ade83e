/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receiver: buffers in order for the application, buffers out of order for
 * later, and the window.
 *
 *	 head                borrow                     (tree of holes)
 *	+------+   +------+   +------+                +------+    +------+
 *	| lent |-->| lent |-->|      |   ...  hole    |      |    |      |
 *	+------+   +------+   +------+                +------+    +------+
 *	|<-- borrowed ------->|     RCV.NXT
 *	|<-- unread --------------->|
 *
 * Payload is not moved: a buffer goes from the device into the tree or the
 * list, its spans trimmed to the bytes that count. Only segments that are small
 * for the memory they keep are packed together, when the limit is reached.
 * Buffers in the tree do not overlap; where a segment overlaps what is there
 * already, the part that came first stays (RFC 9293 3.10.7.4 leaves it open).
 *
 * The window is about memory, and memory is whole chunks: a buffer costs what
 * it keeps from others, not the bytes in it. The window offered is the room
 * that is left, times the ratio of payload to cost that this peer's segments
 * have had. It never shrinks (RFC 9293 3.8.6), and opens in steps worth sending
 * for (3.8.6.2.2).
 */
#include "tcp/tcp_private.h"

/* What the receiver notes in a buffer that it holds. */
struct held {
	struct tree_node node;
	struct seq seq;
	uint32_t cost;
};
_Static_assert(sizeof(struct held) <= sizeof(((struct tow_buf *)0)->notes),
	       "the notes of a buffer have room for the receiver's");

#define RATIO_ONE   256
#define RATIO_FIRST 128 /* before anything is known of the peer's segments */

static struct held *held(struct tow_buf *buf)
{
	return (struct held *)(void *)buf->notes;
}

static struct tow_buf *buf_of(struct tree_node *node)
{
	return node ? CONTAINER(node, struct tow_buf, notes) : NULL;
}

static bool held_before(const struct tree_node *a, const struct tree_node *b)
{
	return seq_before(CONTAINER(a, const struct held, node)->seq,
			  CONTAINER(b, const struct held, node)->seq);
}

static struct seq held_end(struct tow_buf *buf)
{
	return seq_add(held(buf)->seq, buf->bytes);
}

void receive_init(struct tow_tcp *t)
{
	struct receive *r = &t->receive;

	tree_init(&r->holes);
	r->limit = t->set.recv_bytes;
	r->ratio = RATIO_FIRST;
}

/* ------------------------------------------------------------ D-SACK, SACK */

/* [left, right) came a second time: RFC 2883 4. */
void receive_duplicate(struct tow_tcp *t, struct seq left, struct seq right)
{
	struct receive *r = &t->receive;

	tcp_drop(t, TOW_DROP_TCP_DUPLICATE);
	if (!t->sack || !seq_before(left, right))
		return;
	if (!r->dsack_pending) {
		r->dsack.left = left.n;
		r->dsack.right = right.n;
	} else if (r->dsack.right == left.n) {
		r->dsack.right = right.n;
	}
	r->dsack_pending = true;
}

static void drop_sack(struct receive *r, unsigned i)
{
	r->sack_count--;
	memmove(&r->sacks[i], &r->sacks[i + 1],
		(r->sack_count - i) * sizeof(r->sacks[0]));
}

/*
 * RFC 2018 4: the block that holds the newest segment goes first. Blocks that
 * it touches become one with it; more than four are forgotten, oldest first.
 */
static void add_sack(struct tow_tcp *t, struct seq left, struct seq right)
{
	struct receive *r = &t->receive;

	for (unsigned i = 0; i < r->sack_count;) {
		struct seq l = seq_of(r->sacks[i].left);
		struct seq e = seq_of(r->sacks[i].right);

		if (seq_after(l, right) || seq_before(e, left)) {
			i++;
			continue;
		}
		left = seq_min(left, l);
		right = seq_max(right, e);
		drop_sack(r, i);
	}
	if (r->sack_count == TCP_SACK_BLOCKS_MAX)
		r->sack_count--;
	memmove(&r->sacks[1], &r->sacks[0],
		r->sack_count * sizeof(r->sacks[0]));
	r->sacks[0] = (struct wire_tcp_sack){ left.n, right.n };
	r->sack_count++;
}

static void drop_sacks_below(struct tow_tcp *t, struct seq nxt)
{
	struct receive *r = &t->receive;

	for (unsigned i = 0; i < r->sack_count;) {
		if (seq_after(seq_of(r->sacks[i].right), nxt))
			i++;
		else
			drop_sack(r, i);
	}
}

static unsigned blocks_to_report(const struct tow_tcp *t)
{
	unsigned most = t->timestamps ? 3 : 4; /* RFC 2018 3 */
	unsigned have = t->receive.sack_count + t->receive.dsack_pending;

	return t->sack ? MIN(have, most) : 0;
}

/* How much of the header the SACK option of the next segment takes. */
uint32_t receive_report_bytes(const struct tow_tcp *t)
{
	unsigned n = blocks_to_report(t);

	return n ? 4 + n * 8 : 0;
}

/* Fill in the SACK option of an acknowledgement, D-SACK first. */
void receive_report(struct tow_tcp *t, struct wire_tcp *out)
{
	struct receive *r = &t->receive;
	unsigned most = blocks_to_report(t);

	if (most == 0)
		return;
	if (r->dsack_pending) {
		out->sacks[out->sack_count++] = r->dsack;
		r->dsack_pending = false;
		tcp_count(t, TOW_COUNTER_TCP_DSACK_SENT);
	}
	for (unsigned i = 0; i < r->sack_count && out->sack_count < most; i++)
		out->sacks[out->sack_count++] = r->sacks[i];
}

/* -------------------------------------------------------------- reassembly */

static void discard(struct tow_tcp *t, struct tow_buf *buf)
{
	t->receive.cost -= held(buf)->cost;
	tow_buf_give(buf);
}

static void learn_ratio(struct tow_tcp *t, const struct tow_buf *buf)
{
	uint32_t sample =
		(uint32_t)((uint64_t)buf->bytes * RATIO_ONE /
			   held((struct tow_buf *)(uintptr_t)buf)->cost);
	int32_t step = (int32_t)MIN(sample, RATIO_ONE) - t->receive.ratio;

	/* Only full segments say what the next ones will cost. */
	if (buf->bytes < t->rcv.segment_bytes)
		return;
	t->receive.ratio = (uint16_t)MAX(8, t->receive.ratio + step / 8);
}

static void append(struct tow_tcp *t, struct tow_buf *buf)
{
	struct receive *r = &t->receive;

	buf->next = NULL;
	if (r->tail)
		r->tail->next = buf;
	else
		r->head = buf;
	r->tail = buf;
	if (!r->borrow) {
		r->borrow = buf;
		r->borrow_offset = 0;
	}
	r->unread_bytes += buf->bytes;
	t->rcv.nxt = seq_add(t->rcv.nxt, buf->bytes);
}

static void take_from_holes(struct tow_tcp *t)
{
	struct tree *holes = &t->receive.holes;
	struct tow_buf *buf;

	while ((buf = buf_of(tree_first(holes))) &&
	       !seq_after(held(buf)->seq, t->rcv.nxt)) {
		struct seq end = held_end(buf);

		tree_remove(holes, &held(buf)->node);
		if (!seq_after(end, t->rcv.nxt)) {
			discard(t, buf);
			continue;
		}
		buf_trim_front(buf,
			       (uint32_t)seq_diff(t->rcv.nxt, held(buf)->seq));
		append(t, buf);
	}
	drop_sacks_below(t, t->rcv.nxt);
}

/* Is there memory to keep a segment that cannot be read yet? */
static bool may_hold(const struct tow_tcp *t, const struct tow_buf *buf)
{
	const struct tow_pool *pool = buf->pool;

	/*
	 * Not the last of the pool: the segment that fills the hole must find
	 * a chunk, or nothing would ever be given back.
	 */
	return t->receive.cost + buf_cost(buf) <= t->receive.limit &&
	       pool->chunks_left > pool->chunks_total / 8 &&
	       pool->bufs_left > pool->bufs_total / 8;
}

/* Cut what an earlier buffer has already off the front. False: all of it. */
static bool trim_to_previous(struct tow_tcp *t, struct tow_buf *buf)
{
	struct tow_buf *prev = buf_of(tree_at_or_before(
		&t->receive.holes, &held(buf)->node, held_before));
	struct seq seq = held(buf)->seq, end;

	if (!prev || !seq_after(held_end(prev), seq))
		return true;
	end = held_end(prev);
	if (!seq_before(end, held_end(buf))) {
		receive_duplicate(t, seq, held_end(buf));
		return false;
	}
	receive_duplicate(t, seq, end);
	buf_trim_front(buf, (uint32_t)seq_diff(end, seq));
	held(buf)->seq = end;
	return true;
}

/* Remove later buffers that this one covers; cut its tail off at the next. */
static void trim_to_next(struct tow_tcp *t, struct tow_buf *buf,
			 struct tow_buf *next)
{
	while (next && seq_before(held(next)->seq, held_end(buf))) {
		struct tow_buf *after = buf_of(tree_next(&held(next)->node));
		struct seq left = held(next)->seq, right = held_end(next);

		if (seq_after(right, held_end(buf))) {
			receive_duplicate(t, left, held_end(buf));
			buf_trim_back(buf,
				      (uint32_t)seq_diff(held_end(buf), left));
			return;
		}
		receive_duplicate(t, left, right);
		tree_remove(&t->receive.holes, &held(next)->node);
		discard(t, next);
		next = after;
	}
}

static void hold(struct tow_tcp *t, struct tow_buf *buf)
{
	struct tree *holes = &t->receive.holes;
	struct seq left = held(buf)->seq, right = held_end(buf);
	struct tree_node *next;

	if (!may_hold(t, buf)) {
		tcp_drop(t, TOW_DROP_TCP_REASSEMBLY);
		tow_buf_give(buf);
		return;
	}
	tcp_count(t, TOW_COUNTER_TCP_OUT_OF_ORDER);
	add_sack(t, left, right);
	if (!trim_to_previous(t, buf)) {
		tow_buf_give(buf);
		return;
	}
	held(buf)->cost = buf_cost(buf);
	t->receive.cost += held(buf)->cost;
	tree_insert(holes, &held(buf)->node, held_before,
		    random_u32(&tcp_net(t)->random));
	next = tree_next(&held(buf)->node);
	trim_to_next(t, buf, buf_of(next));
}

/* RFC 9293 3.10.7.4: what lies outside the window is cut off. */
static bool trim_to_window(struct tow_tcp *t, struct tow_buf *buf,
			   struct seq *seq, bool *fin)
{
	struct seq end = seq_add(*seq, buf->bytes);

	if (seq_after(end, t->rcv.edge)) {
		int32_t over = seq_diff(end, t->rcv.edge);

		tcp_drop(t, TOW_DROP_TCP_WINDOW);
		*fin = false;
		if (over >= (int32_t)buf->bytes)
			return false;
		buf_trim_back(buf, (uint32_t)over);
	}
	if (seq_before(*seq, t->rcv.nxt)) {
		int32_t old =
			MIN(seq_diff(t->rcv.nxt, *seq), (int32_t)buf->bytes);

		receive_duplicate(t, *seq, seq_add(*seq, (uint32_t)old));
		buf_trim_front(buf, (uint32_t)old);
		*seq = seq_add(*seq, (uint32_t)old);
		t->ack_now = true;
	}
	return true;
}

static void note_fin(struct tow_tcp *t, struct seq fin)
{
	/* A second FIN elsewhere contradicts the first; the first counts. */
	if (!t->receive.fin_seen) {
		t->receive.fin_seen = true;
		t->receive.fin = fin;
	}
}

/*
 * The limit, or if that is less what is left to all together, but for the last
 * of it: who reads slowly leaves as much to the others as it holds.
 */
static uint32_t cost_max(const struct tow_tcp *t)
{
	const struct tow_pool *pool = &tcp_net(t)->rx_pool;
	uint32_t kept = pool->chunks_total / 8;
	uint64_t left = pool->chunks_left > kept ? pool->chunks_left - kept : 0;

	return (uint32_t)MIN(left << pool->chunk_shift, t->receive.limit);
}

/*
 * The window counts bytes, so a peer may fill it with segments of one byte, and
 * each would keep a chunk. Above the limit, what fits is put behind the last
 * byte that waits, and its own buffer goes back.
 */
static bool pack(struct tow_tcp *t, struct tow_buf *buf)
{
	struct receive *r = &t->receive;
	struct tow_buf *tail = r->tail;
	uint32_t bytes = buf->bytes;
	uint8_t *to;

	if (!tail || r->cost + buf_cost(buf) <= cost_max(t))
		return false;
	to = buf_append(tail, bytes);
	if (!to)
		return false;
	for (unsigned i = 0; i < buf->span_count; i++) {
		const struct tow_span *s = &buf->spans[i];

		payload_copy(tcp_ledgers(t), TOW_COPY_RX_COMPACT, to, s->ptr,
			     s->len);
		to += s->len;
	}
	if (!r->borrow) {
		r->borrow = tail;
		r->borrow_offset = tail->bytes - bytes;
	}
	r->unread_bytes += bytes;
	t->rcv.nxt = seq_add(t->rcv.nxt, bytes);
	tow_buf_give(buf);
	return true;
}

/* The next bytes of the stream, and what lies behind the hole they fill. */
static void take_in_order(struct tow_tcp *t, struct tow_buf *buf)
{
	struct receive *r = &t->receive;

	if (r->holes.count) {
		t->ack_now = true; /* RFC 5681 4.2: a hole shrinks */
		trim_to_next(t, buf, buf_of(tree_first(&r->holes)));
	}
	if (!pack(t, buf)) {
		held(buf)->cost = buf_cost(buf);
		r->cost += held(buf)->cost;
		learn_ratio(t, buf);
		append(t, buf);
	}
	take_from_holes(t);
}

/*
 * Payload (the whole of @buf) and FIN of an acceptable segment.
 *
 * Owns:    takes the buffer.
 * Returns: true when the stream reached the peer's FIN just now.
 */
bool receive_segment(struct tow_tcp *t, struct tow_buf *buf, struct seq seq,
		     bool fin)
{
	const struct receive *r = &t->receive;
	bool was_done = r->fin_seen && seq_after(t->rcv.nxt, r->fin);

	if (!trim_to_window(t, buf, &seq, &fin)) {
		tow_buf_give(buf);
		return false;
	}
	if (fin)
		note_fin(t, seq_add(seq, buf->bytes));
	held(buf)->seq = seq;
	if (buf->bytes == 0) {
		tow_buf_give(buf);
	} else if (!seq_eq(seq, t->rcv.nxt)) {
		t->ack_now = true; /* RFC 5681 4.2: a duplicate ACK at once */
		hold(t, buf);
	} else {
		take_in_order(t, buf);
	}
	if (was_done || !r->fin_seen || !seq_eq(t->rcv.nxt, r->fin))
		return false;
	t->rcv.nxt = seq_add(t->rcv.nxt, 1);
	return true;
}

/* ------------------------------------------------------------- application */

/* Length of the contiguous piece at the borrow cursor. */
static bool next_span(struct tow_tcp *t, struct tow_span *out)
{
	struct receive *r = &t->receive;
	uint32_t offset = r->borrow_offset;

	while (r->borrow) {
		for (unsigned i = 0; i < r->borrow->span_count; i++) {
			const struct tow_span *s = &r->borrow->spans[i];

			if (offset >= s->len) {
				offset -= (uint32_t)s->len;
				continue;
			}
			out->ptr = (const uint8_t *)s->ptr + offset;
			out->len = s->len - offset;
			return true;
		}
		r->borrow = r->borrow->next;
		r->borrow_offset = offset = 0;
	}
	return false;
}

static void advance_borrow(struct receive *r, size_t bytes)
{
	r->borrow_offset += (uint32_t)bytes;
	r->borrowed_bytes += bytes;
	if (r->borrow_offset == r->borrow->bytes) {
		r->borrow = r->borrow->next;
		r->borrow_offset = 0;
	}
}

int receive_borrow(struct tow_tcp *t, struct tow_span *out, int max)
{
	int n = 0;

	while (n < max && next_span(t, &out[n])) {
		advance_borrow(&t->receive, out[n].len);
		n++;
	}
	return n;
}

/* Auto-tuning: a reader that empties the window each round trip needs more. */
static void tune(struct tow_tcp *t, size_t bytes)
{
	struct receive *r = &t->receive;
	uint64_t window = (uint64_t)r->limit * r->ratio / RATIO_ONE;

	r->tune_bytes += (uint32_t)MIN(bytes, UINT32_MAX - r->tune_bytes);
	if (tcp_now(t) - r->tune_us < t->rtt.srtt_us)
		return;
	if (r->tune_bytes >= window / 2)
		r->limit =
			MIN(r->limit * 2, MAX(r->limit, t->set.recv_bytes_max));
	r->tune_us = tcp_now(t);
	r->tune_bytes = 0;
}

/* The application has done with the first @bytes. */
void receive_returned(struct tow_tcp *t, size_t bytes)
{
	struct receive *r = &t->receive;
	size_t left = bytes;

	ASSERT(bytes <= r->borrowed_bytes);
	r->borrowed_bytes -= bytes;
	r->unread_bytes -= bytes;
	while (left > 0) {
		struct tow_buf *buf = r->head;
		uint32_t here = (uint32_t)MIN(left, buf->bytes);

		left -= here;
		if (here < buf->bytes) {
			buf_trim_front(buf, here);
			if (r->borrow == buf)
				r->borrow_offset -= here;
			break;
		}
		r->head = buf->next;
		if (!r->head)
			r->tail = NULL;
		discard(t, buf);
	}
	tune(t, bytes);
}

int64_t receive_copy(struct tow_tcp *t, uint8_t *out, size_t bytes)
{
	struct tow_span span;
	size_t copied = 0;

	while (copied < bytes && next_span(t, &span)) {
		size_t n = MIN(span.len, bytes - copied);

		payload_copy(tcp_ledgers(t), TOW_COPY_RX_RECV, out + copied,
			     span.ptr, n);
		advance_borrow(&t->receive, n);
		receive_returned(t, n);
		copied += n;
	}
	return (int64_t)copied;
}

void receive_free(struct tow_tcp *t)
{
	struct receive *r = &t->receive;
	struct tow_buf *buf;

	while ((buf = r->head)) {
		r->head = buf->next;
		discard(t, buf);
	}
	while ((buf = buf_of(tree_first(&r->holes)))) {
		tree_remove(&r->holes, &held(buf)->node);
		discard(t, buf);
	}
	r->tail = r->borrow = NULL;
	r->unread_bytes = r->borrowed_bytes = 0;
	r->sack_count = 0;
}

/* ------------------------------------------------------------------ window */

/* How much payload memory of that cost is going to hold. */
static uint32_t window_of(const struct tow_tcp *t, uint32_t cost)
{
	uint64_t window = (uint64_t)cost * t->receive.ratio / RATIO_ONE;

	return (uint32_t)MIN(window, (uint64_t)TCP_WINDOW_MAX << t->rcv.scale);
}

static uint32_t room(const struct tow_tcp *t)
{
	const struct receive *r = &t->receive;
	uint32_t most = cost_max(t);
	uint32_t window = most > r->cost ? window_of(t, most - r->cost) : 0;

	/* A receiver with nothing in hand takes a segment, however costly. */
	return r->cost ? window : MAX(window, t->rcv.mss);
}

/* RFC 9293 3.8.6.2.2: the edge moves by a segment's worth or not at all. */
static bool worth_moving(const struct tow_tcp *t, struct seq edge)
{
	uint32_t whole = window_of(t, t->receive.limit);
	int32_t step = (int32_t)MAX(1, MIN(whole / 2, t->rcv.mss));

	return seq_diff(edge, t->rcv.edge) >= step;
}

/* The window field of a segment that goes out now; notes what it promises. */
uint16_t receive_advertise(struct tow_tcp *t, bool syn)
{
	uint8_t scale = syn ? 0 : t->rcv.scale;
	struct seq edge = seq_add(t->rcv.nxt, room(t));
	uint32_t field;

	if (!syn && !worth_moving(t, edge))
		edge = t->rcv.edge;
	edge = seq_max(edge, t->rcv.edge);
	field = (uint32_t)MAX(0, seq_diff(edge, t->rcv.nxt));
	/* Rounded up, because down would take back what was promised. */
	field = (field + (1u << scale) - 1) >> scale;
	field = MIN(field, TCP_WINDOW_MAX);
	t->rcv.edge = seq_max(t->rcv.edge, seq_add(t->rcv.nxt, field << scale));
	return (uint16_t)field;
}

/* Reading made room that the peer should hear of without being asked. */
bool receive_window_grew(const struct tow_tcp *t)
{
	struct seq edge = seq_add(t->rcv.nxt, room(t));
	int32_t offered = seq_diff(t->rcv.edge, t->rcv.nxt);
	int32_t gain = seq_diff(edge, t->rcv.edge);
	uint32_t quarter = window_of(t, t->receive.limit) / 4;

	/* ACKs of data that goes on tell it anyway: not for each segment. */
	return worth_moving(t, edge) &&
	       (gain >= offered ||
		gain >= (int32_t)MAX(quarter, 2 * t->rcv.segment_bytes));
}
