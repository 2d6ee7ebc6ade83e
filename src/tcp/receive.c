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
 * for (3.8.6.2.2). With TOW_TCP_RECV_POSTED it is not more than what is posted.
 */
#include "tcp/held.h"

#define SMALL_SHARE 8  /* of what a buffer costs: less payload is little */
#define LAST_SHARE  16 /* of the pool: not for who has much of it */
#define LENT_SHARE  8  /* of the limit: so much may be on loan unpacked */

static struct tow_buf *buf_of(struct tree_node *node)
{
	return node ? CONTAINER(node, struct tow_buf, notes) : NULL;
}

static bool held_before(const struct tree_node *a, const struct tree_node *b)
{
	return seq_before(CONTAINER(a, const struct held, node)->seq,
			  CONTAINER(b, const struct held, node)->seq);
}

void receive_init(struct tow_tcp *t)
{
	struct receive *r = &t->receive;

	tree_init(&r->holes);
	list_init(&r->passed);
	r->limit = t->set.recv_bytes;
	r->ratio = RATIO_FIRST;
}

/* -------------------------------------------------------------- reassembly */

static void learn_ratio(struct tow_tcp *t, const struct tow_buf *buf)
{
	uint32_t sample =
		(uint32_t)((uint64_t)buf->bytes * RATIO_ONE /
			   held((struct tow_buf *)(uintptr_t)buf)->cost);
	int32_t step = (int32_t)MIN(sample, RATIO_ONE) - t->receive.ratio;

	/* Only full segments say what the next ones will cost. */
	if (buf->bytes < t->rcv.segment_bytes)
		return;
	/* Rounded down: a window that is more than fits is a broken promise. */
	step = (step < 0 ? step - 7 : step) / 8;
	t->receive.ratio = (uint16_t)MAX(8, t->receive.ratio + step);
}

static void append(struct tow_tcp *t, struct tow_buf *buf)
{
	struct receive *r = &t->receive;
	struct tow_buf *before = r->tail;

	buf->next = NULL;
	held_join(buf);
	if (before)
		before->next = buf;
	else
		r->head = buf;
	r->tail = buf;
	if (!r->borrow) {
		r->borrow = buf;
		r->borrow_offset = 0;
		r->before = before;
	}
	r->unread_bytes += buf->bytes;
	receive_advance(t, buf->bytes);
}

static const struct post_reasons was_early = {
	.placed = TOW_COPY_RX_HOLE,
	.elsewhere = TOW_COPY_RX_HOLE,
	.was_held = true,
};
static const struct post_reasons was_missing = {
	.placed = TOW_COPY_RX_REPAIR,
	.elsewhere = TOW_COPY_RX_REPAIR,
};
static const struct post_reasons was_next = {
	.placed = TOW_COPY_RX_MISSHAPED,
	.elsewhere = TOW_COPY_RX_UNPLACED,
};

static void take_from_holes(struct tow_tcp *t)
{
	struct tree *holes = &t->receive.holes;
	struct tow_buf *buf;

	while ((buf = buf_of(tree_first(holes))) &&
	       !seq_after(held(buf)->seq, t->rcv.nxt)) {
		struct seq end = held_end(buf);

		tree_remove(holes, &held(buf)->node);
		held(buf)->sum_bytes = 0; /* lost in the tree */
		if (!seq_after(end, t->rcv.nxt)) {
			held_discard(t, buf);
			continue;
		}
		buf_trim_front(buf,
			       (uint32_t)seq_diff(t->rcv.nxt, held(buf)->seq));
		if (!post_take(t, buf, &was_early))
			append(t, buf);
	}
	report_filled(t, t->rcv.nxt);
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

static struct tow_buf *held_at_or_before(const struct tow_tcp *t,
					 struct tow_buf *buf)
{
	return buf_of(tree_at_or_before(&t->receive.holes, &held(buf)->node,
					held_before));
}

/*
 * Cut what earlier buffers have already off the front. False: all of it. What
 * one of them leaves may begin where the next does.
 */
static bool trim_to_previous(struct tow_tcp *t, struct tow_buf *buf)
{
	struct tow_buf *prev = held_at_or_before(t, buf);

	while (prev && seq_after(held_end(prev), held(buf)->seq)) {
		struct seq seq = held(buf)->seq, end = held_end(prev);

		if (!seq_before(end, held_end(buf))) {
			report_duplicate(t, seq, held_end(buf));
			return false;
		}
		report_duplicate(t, seq, end);
		buf_trim_front(buf, (uint32_t)seq_diff(end, seq));
		held(buf)->seq = end;
		prev = held_at_or_before(t, buf);
	}
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
			report_duplicate(t, left, held_end(buf));
			buf_trim_back(buf,
				      (uint32_t)seq_diff(held_end(buf), left));
			return;
		}
		report_duplicate(t, left, right);
		tree_remove(&t->receive.holes, &held(next)->node);
		held_discard(t, next);
		next = after;
	}
}

/* What was thrown away is reported no longer: RFC 2018 8, RFC 2883 4. */
static void forget_reports(struct tow_tcp *t)
{
	t->receive.sack_count = 0;
	t->receive.dsack_pending = false;
}

static void refuse_to_hold(struct tow_tcp *t, struct tow_buf *buf)
{
	tcp_drop(t, TOW_DROP_TCP_REASSEMBLY);
	tow_buf_give(buf);
}

/* The first that is held behind the beginning of @buf. */
static struct tow_buf *following(const struct tow_tcp *t, struct tow_buf *buf)
{
	const struct tree *holes = &t->receive.holes;
	struct tree_node *prev =
		tree_at_or_before(holes, &held(buf)->node, held_before);

	return buf_of(prev ? tree_next(prev) : tree_first(holes));
}

static void hold(struct tow_tcp *t, struct tow_buf *buf)
{
	struct seq left = held(buf)->seq, right = held_end(buf);

	if (!may_hold(t, buf)) {
		refuse_to_hold(t, buf);
		return;
	}
	tcp_count(t, TOW_COUNTER_TCP_OUT_OF_ORDER);
	if (!trim_to_previous(t, buf)) {
		report_hole(t, left, right);
		tow_buf_give(buf);
		return;
	}
	trim_to_next(t, buf, following(t, buf));
	if (!post_hold(t, buf)) {
		forget_reports(t); /* it may have covered others */
		refuse_to_hold(t, buf);
		return;
	}
	report_hole(t, left, right);
	held_begin(t, buf);
	tree_insert(&t->receive.holes, &held(buf)->node, held_before,
		    random_u32(&tcp_net(t)->random));
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

		report_duplicate(t, *seq, seq_add(*seq, (uint32_t)old));
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
 * of it: who reads slowly leaves as much to the others as it holds. An owner's
 * connections do so together, however many they are.
 */
static uint32_t cost_max(const struct tow_tcp *t)
{
	const struct tow_pool *pool = &tcp_net(t)->rx_pool;
	uint32_t kept = pool->chunks_total / 8;
	uint64_t left = pool->chunks_left > kept ? pool->chunks_left - kept : 0;
	uint64_t others = borrower_others(&t->borrower);

	left <<= pool->chunk_shift;
	left = left > others ? left - others : 0;
	return (uint32_t)MIN(left, t->receive.limit);
}

/*
 * The window counts bytes, so a peer may fill it with segments of one byte, and
 * each would keep a chunk. Above the limit, or when much is on loan already,
 * what fits is put behind the last byte that waits, and its own buffer goes
 * back.
 */
static bool should_pack(const struct tow_tcp *t, const struct tow_buf *buf)
{
	uint32_t cost = buf_cost(buf);

	if (t->receive.cost + cost > cost_max(t))
		return true;
	return buf->bytes < cost / SMALL_SHARE &&
	       t->borrower.lent > t->receive.limit / LENT_SHARE;
}

static bool pack(struct tow_tcp *t, struct tow_buf *buf)
{
	struct receive *r = &t->receive;
	struct tow_buf *tail = r->tail;
	uint32_t bytes = buf->bytes;
	uint8_t *to;

	if (!tail || !should_pack(t, buf))
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
	held(tail)->sum_bytes = 0;
	if (!r->borrow) {
		r->borrow = tail;
		r->borrow_offset = tail->bytes - bytes;
	}
	r->unread_bytes += bytes;
	receive_advance(t, bytes);
	tow_buf_give(buf);
	return true;
}

/*
 * The windows promised to all may be more than there is. The last of the pool
 * is not for who has much of it: its peer will send again, and the others go
 * on meanwhile.
 */
static bool may_keep(const struct tow_tcp *t, const struct tow_buf *buf)
{
	const struct tow_pool *pool = &tcp_net(t)->rx_pool;
	const struct tow_buf *tail = t->receive.tail;
	uint64_t left = (uint64_t)pool->chunks_left << pool->chunk_shift;

	return LIKELY(pool->chunks_left >= pool->chunks_total / LAST_SHARE) ||
	       t->receive.cost == 0 || tcp_has_posts(t) ||
	       borrower_others(&t->borrower) + t->receive.cost +
			       buf_cost(buf) <=
		       left ||
	       (tail && buf_room(tail) >= buf->bytes);
}

/* Into what is posted, behind what waits to be read, or as it is. */
static void keep_in_order(struct tow_tcp *t, struct tow_buf *buf,
			  const struct post_reasons *why)
{
	held(buf)->cost = 0;
	held(buf)->placed = buf->bytes;
	/* What does not fit would be overwritten by what is moved. */
	if (buf_has_placed(buf, tcp_posted_room(t)) &&
	    !buf_evacuate(buf, tcp_ledgers(t), why->placed)) {
		forget_reports(t); /* it may have covered others */
		tcp_drop(t, TOW_DROP_TCP_REASSEMBLY);
		tow_buf_give(buf);
		return;
	}
	if (tcp_has_posts(t) && post_take(t, buf, why))
		return;
	if (pack(t, buf))
		return;
	held_begin(t, buf);
	learn_ratio(t, buf);
	append(t, buf);
}

/*
 * The next bytes of the stream, and what lies behind the hole they fill.
 * @again: the front of the segment came before, and was cut off
 */
static void take_in_order(struct tow_tcp *t, struct tow_buf *buf, bool again)
{
	struct receive *r = &t->receive;
	bool repair = again || r->holes.count;

	if (r->holes.count) {
		t->ack_now = true; /* RFC 5681 4.2: a hole shrinks */
		trim_to_next(t, buf, buf_of(tree_first(&r->holes)));
	}
	keep_in_order(t, buf, repair ? &was_missing : &was_next);
	take_from_holes(t);
}

/*
 * What we sent to ourselves lies in a buffer that sending needs. Unread bytes
 * must leave some, because reading them may wait for what is to be sent. But
 * what comes next to a program that has nothing to read is taken with half of
 * those, since others have all that there are, and may wait for this one; and
 * with the last one where it may be what is held behind its hole that has them.
 * Not without a hole, or programs that do not read would silence the stack.
 */
static bool starves_senders(const struct tow_tcp *t, const struct tow_buf *buf,
			    struct seq seq)
{
	const struct tow_pool *pool = buf->pool;

	if (pool == &tcp_net(t)->rx_pool || buf->bytes == 0 ||
	    pool->bufs_left > pool->bufs_total / 8)
		return false;
	if (t->receive.head || seq_after(seq, t->rcv.nxt))
		return true;
	return pool->bufs_left <= pool->bufs_total / 16 &&
	       t->receive.holes.count == 0;
}

static void forget_held(struct tow_tcp *t, struct tow_buf *buf)
{
	tree_remove(&t->receive.holes, &held(buf)->node);
	held_discard(t, buf);
}

/* It has to come again. */
static void renege(struct tow_tcp *t, struct tow_buf *buf)
{
	forget_reports(t);
	forget_held(t, buf);
}

/*
 * The next segment finds no room: what is held behind it cannot be read before
 * it, and must not keep it out for ever.
 */
static void make_way(struct tow_tcp *t)
{
	struct tree_node *last = tree_last(&t->receive.holes);

	if (last)
		renege(t, buf_of(last));
}

static bool fin_is_reached(const struct tow_tcp *t)
{
	return t->receive.fin_seen && seq_after(t->rcv.nxt, t->receive.fin);
}

/* True when all before the peer's FIN is here, for the first time. */
static bool reach_fin(struct tow_tcp *t)
{
	if (!t->receive.fin_seen || !seq_eq(t->rcv.nxt, t->receive.fin))
		return false;
	/* It takes a number, but no memory: the window is as it was. */
	t->rcv.nxt = seq_add(t->rcv.nxt, 1);
	t->rcv.edge = seq_add(t->rcv.edge, 1);
	return true;
}

/*
 * Payload (the whole of @buf) and FIN of an acceptable segment. The notes of
 * the buffer have the payload's sum, see tcp_input.c.
 *
 * Owns:    takes the buffer.
 * Returns: true when the stream reached the peer's FIN just now.
 */
bool receive_segment(struct tow_tcp *t, struct tow_buf *buf, struct seq seq,
		     bool fin)
{
	bool was_done = fin_is_reached(t);
	struct seq first = seq;

	if (starves_senders(t, buf, seq)) {
		tcp_drop(t, TOW_DROP_NO_BUFFERS);
		tow_buf_give(buf);
		return false;
	}
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
	} else if (!may_keep(t, buf)) {
		make_way(t);
		tcp_drop(t, TOW_DROP_NO_BUFFERS);
		tow_buf_give(buf);
	} else {
		take_in_order(t, buf, !seq_eq(first, seq));
	}
	return !was_done && reach_fin(t);
}

/*
 * Text and FIN of a SYN that crossed ours wait for ESTABLISHED (RFC 9293
 * 3.10.7.3, fifth). They are held like what lies behind a hole, only that there
 * is none; and they are not acknowledged before.
 *
 * Owns:    takes the buffer.
 */
void receive_early(struct tow_tcp *t, struct tow_buf *buf, struct seq seq,
		   bool fin)
{
	if (!trim_to_window(t, buf, &seq, &fin)) {
		tow_buf_give(buf);
		return;
	}
	if (fin)
		note_fin(t, seq_add(seq, buf->bytes));
	held(buf)->seq = seq;
	if (buf->bytes > 0)
		hold(t, buf);
	else
		tow_buf_give(buf);
	forget_reports(t);
}

/* ESTABLISHED is reached. Returns: true when so is the peer's FIN. */
bool receive_what_was_early(struct tow_tcp *t)
{
	take_from_holes(t);
	return reach_fin(t);
}

/* The end of the last byte that has arrived, in order or not. */
struct seq receive_last(const struct tow_tcp *t)
{
	struct tow_buf *last = buf_of(tree_last(&t->receive.holes));

	return last ? held_end(last) : t->rcv.nxt;
}

/* The first of @node and what is held behind it that is in posted memory. */
static struct tow_buf *first_placed(struct tree_node *node)
{
	while (node && !buf_has_placed(buf_of(node), 0))
		node = tree_next(node);
	return buf_of(node);
}

static struct tow_buf *next_placed(struct tow_buf *buf)
{
	return first_placed(tree_next(&held(buf)->node));
}

/* Forget what is held in posted memory. */
void receive_drop_placed(struct tow_tcp *t)
{
	struct tow_buf *buf, *next;

	for (buf = first_placed(tree_first(&t->receive.holes)); buf;
	     buf = next) {
		next = next_placed(buf);
		forget_held(t, buf);
	}
}

/* Chunks are more than what is held in posted memory costs. */
static bool may_rescue(const struct tow_tcp *t, const struct tow_buf *buf)
{
	uint32_t most = buf->bytes + 2 * buf->pool->chunk_bytes;

	return may_hold(t, buf) && t->receive.cost + most <= t->receive.limit;
}

static void rescue(struct tow_tcp *t, struct tow_buf *buf)
{
	if (!may_rescue(t, buf) ||
	    !buf_evacuate(buf, tcp_ledgers(t), TOW_COPY_RX_UNPOSTED)) {
		renege(t, buf);
		return;
	}
	held_cost_grew(t, (int64_t)buf_cost(buf) - held(buf)->cost);
	held(buf)->cost = buf_cost(buf);
}

/* Posted memory is taken back: what is held in it moves into chunks. */
void receive_rescue_placed(struct tow_tcp *t)
{
	struct tow_buf *buf, *next;

	for (buf = first_placed(tree_first(&t->receive.holes)); buf;
	     buf = next) {
		next = next_placed(buf);
		rescue(t, buf);
	}
}

void receive_free(struct tow_tcp *t)
{
	struct receive *r = &t->receive;
	struct tow_buf *buf;

	while ((buf = r->head)) {
		r->head = buf->next;
		held_release(t, buf);
	}
	while ((buf = buf_of(tree_first(&r->holes)))) {
		tree_remove(&r->holes, &held(buf)->node);
		held_discard(t, buf);
	}
	pass_forget(t);
	r->tail = r->borrow = r->before = NULL;
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
	if (!r->cost)
		window = MAX(window, t->rcv.mss);
	return t->set.recv_posted ? (uint32_t)MIN(window, tcp_posted_room(t))
				  : window;
}

/* RFC 9293 3.8.6.2.2: the edge moves by a segment's worth or not at all. */
static bool worth_moving(const struct tow_tcp *t, struct seq edge)
{
	uint32_t whole = window_of(t, t->receive.limit);
	int32_t step = (int32_t)MAX(1, MIN(whole / 2, t->rcv.mss));

	/* Only posts move it then, and a short one may be the last. */
	if (t->set.recv_posted)
		step = 1;
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

/*
 * A SYN-ACK went out that nobody kept (syn_cookie.c). There may be less room
 * now, but what was promised is not taken back (RFC 9293 3.8.6): the window is
 * what it can have been at most.
 */
void receive_keep_promise(struct tow_tcp *t)
{
	uint32_t most = MAX(window_of(t, t->receive.limit), t->rcv.mss);

	if (t->set.recv_posted)
		most = 0; /* there was nothing posted yet */
	t->rcv.edge = seq_add(t->rcv.nxt, MIN(most, TCP_WINDOW_MAX));
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
