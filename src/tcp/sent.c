/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments in flight: the scoreboard of RFC 6675, for peers with and without
 * SACK.
 *
 * Each record is a run of sequence space between SND.UNA and SND.NXT, without
 * gaps. An acknowledgement that ends inside of one cuts its front off, a SACK
 * block splits it, and SACKed neighbours are merged, so the number of records
 * is bounded by what is in flight in full segments, whatever the peer reports;
 * and by the connection's share of the stack's records (tcp_may_take()). To
 * keep a hostile peer from splitting at each byte, an edge of a SACK block that
 * is no edge of ours is moved inwards to a multiple of the MSS: fewer bytes
 * count as SACKed than were reported, which is always safe.
 *
 * Three sums are kept as records change, so that pipe (RFC 6675 4) is O(1):
 *
 *	pipe = in flight - sacked - lost + retransmitted
 *
 * Beside the tree, in the order of sequence numbers, the records that may be on
 * their way are in a list in the order in which they were sent (by_time), which
 * is what RACK looks at. SACKed ones are not in it, nor lost ones until they
 * are sent again: those wait, and are marked in the tree. So the next to be
 * sent again is found in O(log n), whatever is SACKed and lost again in which
 * order.
 */
#include "tcp/tcp_private.h"

static struct sent *sent_of(struct tree_node *node)
{
	return node ? CONTAINER(node, struct sent, node) : NULL;
}

static bool sent_before(const struct tree_node *a, const struct tree_node *b)
{
	return seq_before(CONTAINER(a, const struct sent, node)->seq,
			  CONTAINER(b, const struct sent, node)->seq);
}

static bool has_share(const struct tow_tcp *t)
{
	uint32_t total = t->host->cfg.segments;

	return tcp_may_take(t->flight.tree.count, total - t->host->sents_live,
			    total);
}

bool flight_records_are_scarce(const struct tow_tcp *t)
{
	return t->host->sents_live > t->host->cfg.segments / 2;
}

static struct sent *sent_new(struct tow_tcp *t)
{
	struct tcp_host *host = t->host;
	struct sent *s = host->sent_free;

	if (!has_share(t)) {
		tcp_count(t, TOW_COUNTER_NO_SEGMENTS);
		return NULL;
	}
	if (s)
		host->sent_free = sent_of(s->node.right);
	else
		s = &host->sents[host->sents_used++];
	host->sents_live++;
	return s;
}

static struct sent *in_time(struct list *node)
{
	return CONTAINER(node, struct sent, by_time);
}

/* In the ring of those that may be on their way: the oldest may be alone. */
bool flight_is_timed(const struct tow_tcp *t, const struct sent *s)
{
	return t->flight.oldest == s || !list_empty(&s->by_time);
}

/* The next one in the order of time; NULL behind the last. */
struct sent *flight_sent_after(const struct tow_tcp *t, const struct sent *s)
{
	struct sent *next = in_time(s->by_time.next);

	return next == t->flight.oldest ? NULL : next;
}

static void leave_time(struct tow_tcp *t, struct sent *s)
{
	if (t->flight.oldest == s)
		t->flight.oldest = flight_sent_after(t, s);
	list_remove(&s->by_time);
}

/* It is the last that was sent. */
static void append_time(struct tow_tcp *t, struct sent *s)
{
	list_init(&s->by_time);
	if (t->flight.oldest)
		list_append(&t->flight.oldest->by_time, &s->by_time);
	else
		t->flight.oldest = s;
}

static void sent_free(struct tow_tcp *t, struct sent *s)
{
	struct tcp_host *host = t->host;

	tree_remove(&t->flight.tree, &s->node);
	leave_time(t, s);
	s->node.right = host->sent_free ? &host->sent_free->node : NULL;
	host->sent_free = s;
	host->sents_live--;
}

static void insert(struct tow_tcp *t, struct sent *s)
{
	tree_insert(&t->flight.tree, &s->node, sent_before,
		    random_u32(&tcp_net(t)->random));
}

void flight_init(struct tow_tcp *t)
{
	tree_init(&t->flight.tree);
	t->flight.oldest = NULL;
	t->flight.highest_sack = t->snd.una;
}

struct sent *flight_first(const struct tow_tcp *t)
{
	return sent_of(tree_first(&t->flight.tree));
}

/* The first of those that wait to be sent again. */
struct sent *flight_first_waiting(const struct tow_tcp *t)
{
	return sent_of(tree_first_marked(&t->flight.tree));
}

struct sent *flight_last(const struct tow_tcp *t)
{
	return sent_of(tree_last(&t->flight.tree));
}

struct sent *flight_next(const struct sent *s)
{
	return sent_of(tree_next(&s->node));
}

struct sent *flight_prev(const struct sent *s)
{
	return sent_of(tree_prev(&s->node));
}

/* The record that holds @at; NULL if nothing at or before it is in flight. */
struct sent *flight_at(const struct tow_tcp *t, struct seq at)
{
	struct sent key = { .seq = at };

	return sent_of(
		tree_at_or_before(&t->flight.tree, &key.node, sent_before));
}

/* Add (or take away) what a record counts in the sums. */
static void tally(struct tow_tcp *t, const struct sent *s, bool add)
{
	uint32_t bytes = add ? s->bytes : 0u - s->bytes;

	if (s->flags & SENT_SACKED) {
		t->flight.sacked_bytes += bytes;
		t->flight.sacked_packets += add ? s->packets : 0u - s->packets;
	}
	if (s->flags & SENT_LOST)
		t->flight.lost_bytes += bytes;
	if (s->flags & SENT_RETRANS)
		t->flight.retrans_bytes += bytes;
}

/* Lost, and not sent again since. */
bool flight_is_waiting(const struct sent *s)
{
	return (s->flags & (SENT_LOST | SENT_RETRANS)) == SENT_LOST;
}

void flight_mark(struct tow_tcp *t, struct sent *s, uint8_t set, uint8_t clear)
{
	bool on_its_way =
		!(s->flags & SENT_LOST) || s->flags & clear & SENT_RETRANS;

	tally(t, s, false);
	s->flags = (uint8_t)((s->flags & ~clear) | set);
	tally(t, s, true);
	if (t->paced && set & SENT_LOST && on_its_way)
		pacing_lost(t, s);
	tree_mark(&s->node, flight_is_waiting(s));
	if (flight_is_waiting(s) || s->flags & SENT_SACKED)
		leave_time(t, s);
}

/* It goes out again now. */
void flight_resent(struct tow_tcp *t, struct sent *s)
{
	s->sent_us = tcp_now(t);
	flight_mark(t, s,
		    SENT_EVER_RETRANS |
			    (s->flags & SENT_LOST ? SENT_RETRANS : 0),
		    0);
	leave_time(t, s);
	append_time(t, s);
}

/*
 * Record what is sent at SND.NXT, and move SND.NXT.
 *
 * Returns: NULL when no record can be had; then nothing was changed.
 */
struct sent *flight_append(struct tow_tcp *t, uint32_t bytes, uint8_t flags)
{
	struct sent *s = sent_new(t);

	if (!s)
		return NULL;
	*s = (struct sent){
		.seq = t->snd.nxt,
		.bytes = bytes,
		.loan = t->send.cursor,
		.offset = t->send.next,
		.sent_us = tcp_now(t),
		.flags = flags,
	};
	insert(t, s);
	append_time(t, s);
	t->snd.nxt = seq_add(t->snd.nxt, bytes);
	return s;
}

/* A record without data has no loan to find. */
static void move_loan(struct sent *s, uint32_t bytes)
{
	s->offset += bytes;
	s->loan = send_queue_find(s->loan, s->offset);
}

/*
 * Cut a record in two after @bytes, which must be inside of it.
 *
 * Returns: the second part, or NULL when no record can be had.
 */
struct sent *flight_split(struct tow_tcp *t, struct sent *s, uint32_t bytes)
{
	struct sent *rest = sent_new(t);

	ASSERT(bytes > 0 && bytes < s->bytes);
	if (!rest)
		return NULL;
	tally(t, s, false);
	s->flags &= (uint8_t)~SENT_CSUM;
	*rest = *s;
	if (t->paced)
		*rate_mark(t, rest) = *rate_mark(t, s);
	list_init(&rest->by_time);
	if (flight_is_timed(t, s))
		list_add(&s->by_time, &rest->by_time);
	rest->seq = seq_add(s->seq, bytes);
	rest->bytes = s->bytes - bytes;
	rest->flags &= (uint8_t)~SENT_SYN;
	move_loan(rest, bytes - (s->flags & SENT_SYN ? 1 : 0));
	s->flags &= (uint8_t)~SENT_FIN;
	s->bytes = bytes;
	tally(t, s, true);
	tally(t, rest, true);
	insert(t, rest);
	tree_mark(&rest->node, flight_is_waiting(rest));
	return rest;
}

/* Cut off the front of a record that was acknowledged in its middle. */
static void trim_front(struct tow_tcp *t, struct sent *s, uint32_t bytes)
{
	uint32_t data = bytes - (s->flags & SENT_SYN ? 1 : 0);

	tally(t, s, false);
	s->seq = seq_add(s->seq, bytes);
	s->bytes -= bytes;
	s->packets = MIN(s->packets, s->bytes);
	s->flags &= (uint8_t) ~(SENT_SYN | SENT_CSUM);
	move_loan(s, data);
	tally(t, s, true);
}

/* @bytes of it, from the front, have arrived, unless it was SACKed before. */
static void note_delivered(struct tow_tcp *t, const struct sent *s,
			   uint32_t bytes, struct ack_news *news)
{
	struct seq end = seq_add(s->seq, bytes);

	if (s->flags & SENT_SACKED)
		return;
	if (t->ecn.accurate && bytes)
		news->packets += (bytes - 1) / t->snd.mss + 1;
	if (s->flags & SENT_EVER_RETRANS) {
		news->resent = true;
	} else {
		news->rtt_sent_us = MAX(news->rtt_sent_us, s->sent_us);
		news->original |= !seq_after(end, t->recovery.point);
		news->reordered |= seq_before(end, news->fack);
	}
	rack_delivered(t, s, end, news);
	if (t->paced)
		rate_delivered(t, s, bytes);
}

/* All before @ack was acknowledged: SND.UNA moves there. */
void flight_acked(struct tow_tcp *t, struct seq ack, struct ack_news *news)
{
	struct sent *s;

	while ((s = flight_first(t)) && !seq_after(sent_end(s), ack)) {
		note_delivered(t, s, s->bytes, news);
		news->largest_bytes = MAX(news->largest_bytes, s->bytes);
		tally(t, s, false);
		sent_free(t, s);
	}
	if (s && seq_before(s->seq, ack)) {
		uint32_t bytes = (uint32_t)seq_diff(ack, s->seq);

		note_delivered(t, s, bytes, news);
		trim_front(t, s, bytes);
	}
	news->acked_bytes = (uint32_t)seq_diff(ack, t->snd.una);
	t->snd.una = ack;
	t->flight.highest_sack = seq_max(t->flight.highest_sack, ack);
}

/* A record and the one behind it become one. */
static void join(struct tow_tcp *t, struct sent *s, struct sent *next)
{
	tally(t, s, false);
	tally(t, next, false);
	s->bytes += next->bytes;
	s->packets += next->packets;
	s->flags &= (uint8_t)~SENT_CSUM;
	s->flags |= next->flags & (SENT_FIN | SENT_EVER_RETRANS);
	sent_free(t, next);
	tally(t, s, true);
}

/* The SACKed neighbours of a SACKed record become one with it. */
static struct sent *merge_sacked(struct tow_tcp *t, struct sent *s)
{
	struct sent *prev = flight_prev(s), *next;

	if (prev && prev->flags & SENT_SACKED) {
		join(t, prev, s);
		s = prev;
	}
	next = flight_next(s);
	if (next && next->flags & SENT_SACKED)
		join(t, s, next);
	return s;
}

/*
 * What the peer lacks is lost, unless it was sent a moment ago. With @recut all
 * is, and neighbours become one, and are cut again as they are sent; without,
 * each keeps its checksum.
 */
void flight_all_lost(struct tow_tcp *t, bool recut)
{
	struct sent *s = flight_first(t), *next;

	for (; s; s = next) {
		next = flight_next(s);
		if (s->flags & SENT_SACKED ||
		    (!recut && !rack_is_overdue(t, s)))
			continue;
		flight_mark(t, s, SENT_LOST, SENT_RETRANS);
		while (recut && next && !(next->flags & SENT_SACKED)) {
			join(t, s, next);
			next = flight_next(s);
		}
	}
}

/*
 * Two chains by by_time.next in the order of time, with NULL at the end, become
 * one. Of what was sent at one time @a is first.
 */
static struct list *merge_times(struct list *a, struct list *b)
{
	struct list *first, **end = &first;

	while (a && b) {
		struct list **from =
			in_time(b)->sent_us < in_time(a)->sent_us ? &b : &a;

		*end = *from;
		end = &(*end)->next;
		*from = *end;
	}
	*end = a ? a : b;
	return first;
}

/* Such a chain of any order. runs[i] are 2^i of it, in their order, or none. */
static struct list *sort_times(struct list *chain)
{
	struct list *runs[32] = { 0 }, *sorted = NULL;

	while (chain) {
		struct list *run = chain;
		unsigned i = 0;

		chain = chain->next;
		run->next = NULL;
		for (; runs[i]; i++) {
			run = merge_times(runs[i], run);
			runs[i] = NULL;
		}
		runs[i] = run;
	}
	for (unsigned i = 0; i < LENGTH(runs); i++)
		sorted = merge_times(runs[i], sorted);
	return sorted;
}

/*
 * Nothing was lost after all: what waited to be sent again is on its way since
 * it was sent last, and has its place in the ring by that. O(n log n), whatever
 * was sent again in which order.
 */
void flight_none_lost(struct tow_tcp *t)
{
	struct list *chain = NULL, **end = &chain, *next;

	for (struct sent *s = flight_first(t); s; s = flight_next(s)) {
		flight_mark(t, s, 0, SENT_LOST | SENT_RETRANS);
		if (s->flags & SENT_SACKED)
			continue;
		*end = &s->by_time;
		end = &(*end)->next;
	}
	*end = NULL;
	t->flight.oldest = NULL;
	for (chain = sort_times(chain); chain; chain = next) {
		next = chain->next;
		append_time(t, in_time(chain));
	}
}

/* RFC 2018 8: the peer dropped what it SACKed. All of it is lost. */
void flight_forget_sacks(struct tow_tcp *t)
{
	for (struct sent *s = flight_first(t); s; s = flight_next(s)) {
		if (s->flags & SENT_SACKED)
			flight_mark(t, s, SENT_LOST, SENT_SACKED);
	}
}

static struct sent *mark_sacked(struct tow_tcp *t, struct sent *s,
				struct ack_news *news)
{
	note_delivered(t, s, s->bytes, news);
	news->sacked_bytes += s->bytes;
	s->packets = (s->bytes + t->snd.mss - 1) / t->snd.mss;
	flight_mark(t, s, SENT_SACKED, SENT_LOST | SENT_RETRANS);
	t->flight.highest_sack = seq_max(t->flight.highest_sack, sent_end(s));
	return merge_sacked(t, s);
}

static uint32_t round_up(uint32_t bytes, uint32_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

/*
 * The part of a record that lies in [left, right), as a record of its own.
 * NULL if no whole MSS of it does, or it cannot be split.
 */
static struct sent *carve(struct tow_tcp *t, struct sent *s, struct seq left,
			  struct seq right)
{
	if (seq_before(s->seq, left)) {
		uint32_t cut =
			round_up((uint32_t)seq_diff(left, s->seq), t->snd.mss);

		if (cut >= s->bytes)
			return NULL;
		s = flight_split(t, s, cut);
	}
	if (s && seq_after(sent_end(s), right)) {
		int32_t keep = seq_diff(right, s->seq);

		keep -= keep % (int32_t)t->snd.mss;
		if (keep <= 0 || !flight_split(t, s, (uint32_t)keep))
			return NULL;
	}
	return s;
}

static void apply_block(struct tow_tcp *t, struct seq left, struct seq right,
			struct ack_news *news)
{
	struct sent *s = flight_at(t, left);

	if (!s)
		s = flight_first(t);
	while (s && seq_before(s->seq, right)) {
		struct sent *next = flight_next(s);

		if (seq_after(sent_end(s), left) && !(s->flags & SENT_SACKED)) {
			struct sent *part = carve(t, s, left, right);

			if (part)
				next = flight_next(mark_sacked(t, part, news));
			else
				next = flight_next(s);
		}
		s = next;
	}
}

/* RFC 2883 4: the first block reports a duplicate. */
static bool is_dsack(const struct wire_tcp *seg, struct seq left,
		     struct seq right)
{
	if (!seq_after(right, seq_of(seg->acknowledgement)))
		return true;
	return seg->sack_count > 1 &&
	       !seq_before(left, seq_of(seg->sacks[1].left)) &&
	       !seq_after(right, seq_of(seg->sacks[1].right));
}

/* Enter the SACK blocks of a segment; those that make no sense are ignored. */
void flight_sacked(struct tow_tcp *t, const struct wire_tcp *seg,
		   struct ack_news *news)
{
	for (unsigned i = 0; i < seg->sack_count; i++) {
		struct seq left = seq_of(seg->sacks[i].left);
		struct seq right = seq_of(seg->sacks[i].right);

		if (!seq_before(left, right))
			continue;
		if (i == 0 && is_dsack(seg, left, right)) {
			news->dsack = true;
			news->dsack_left = left;
			news->dsack_right = right;
			tcp_count(t, TOW_COUNTER_TCP_SPURIOUS);
			continue;
		}
		if (seq_before(left, t->snd.una) ||
		    seq_after(right, t->snd.nxt))
			continue;
		apply_block(t, left, right, news);
	}
}

uint32_t flight_pipe(const struct tow_tcp *t)
{
	const struct flight *f = &t->flight;

	return tcp_in_flight(t) - f->sacked_bytes - f->lost_bytes +
	       f->retrans_bytes;
}

/* Forget everything in flight: the connection is over. */
void flight_clear(struct tow_tcp *t)
{
	struct sent *s;

	while ((s = flight_first(t)))
		sent_free(t, s);
	t->flight.sacked_bytes = 0;
	t->flight.lost_bytes = 0;
	t->flight.retrans_bytes = 0;
	t->flight.sacked_packets = 0;
}
