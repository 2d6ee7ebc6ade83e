/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Posted buffers: memory of the program that the stream goes into.
 *
 * Posts queue up, and together they are where the bytes from RCV.NXT on belong.
 * A distance is counted from RCV.NXT:
 *
 *	 head                               tail
 *	|#########........ | .............. | ........ |
 *	|<-filled->|<------------- room -------------->|
 *	           ^ distance 0: RCV.NXT
 *
 * A segment may lie where it belongs already, because the device had a hint
 * (place.c); in chunks; or anywhere in posted memory, where the device put it
 * by mistake. settle() makes it right: pieces that are elsewhere are moved once
 * to where they belong, whatever is there. So bytes that count must never be
 * under a hint: place.c sees to that.
 *
 * Out of order, a segment that fits into what is posted is settled, too. It is
 * held without chunks then, its spans in posted memory.
 *
 *	in order       post_take    settle, RCV.NXT moves on, posts complete
 *	out of order   post_hold    settle, or leave it in chunks
 *	later          post_take    what was held is at its place
 *
 * Whatever came otherwise, a segment that the device put into posted memory
 * and that does not belong there is copied out before it is kept.
 *
 * Most connections never post, so the queue and what is known of placing are a
 * record of their own (struct posts), which comes with the first post. An empty
 * one is taken from a connection when another needs it: all that is lost then
 * is how placing went.
 *
 * A post that is full, or short at the end of the stream, moves to the list of
 * those done, from where the event is taken. Behind the bytes that count, what
 * the device wrote (post->written) is wiped before the program sees it: it may
 * be another flow's.
 */
#include "tcp/held.h"

#define PIECES_MAX (TOW_BUF_SPANS + TOW_POSTS_MAX)

/* Where the bytes at a distance belong. */
struct target {
	struct post *post;
	size_t offset;
};

/* A run of bytes in one span, that belongs into one post. */
struct piece {
	struct post *post;
	uint8_t *to;
	const uint8_t *from;
	size_t bytes;
	bool placed; /* from is posted memory */
};

static struct target target_at(const struct tow_tcp *t, uint64_t distance)
{
	struct post *post = t->posts->head;
	uint64_t left = distance;

	while (post && left >= post->bytes - post->filled) {
		left -= post->bytes - post->filled;
		post = post->next;
	}
	return (struct target){ post, post ? post->filled + left : 0 };
}

/* Posted memory from @distance on, to the end of that post; 0 bytes past it. */
struct tow_span post_span_at(const struct tow_tcp *t, uint64_t distance)
{
	struct target at = target_at(t, distance);

	if (!at.post)
		return (struct tow_span){ NULL, 0 };
	return (struct tow_span){ at.post->ptr + at.offset,
				  at.post->bytes - at.offset };
}

/* Which bytes of a segment belong where. */
static unsigned cut(const struct tow_tcp *t, const struct tow_buf *buf,
		    uint64_t distance, uint32_t bytes, struct piece *out)
{
	struct target at = target_at(t, distance);
	unsigned count = 0;

	for (unsigned i = 0; bytes > 0; i++) {
		const struct tow_span *span = &buf->spans[i];
		size_t done = 0, in_span = MIN(span->len, bytes);

		bytes -= (uint32_t)in_span;
		while (done < in_span) {
			size_t n =
				MIN(in_span - done, at.post->bytes - at.offset);

			ASSERT(count < PIECES_MAX);
			out[count++] = (struct piece){
				.post = at.post,
				.to = at.post->ptr + at.offset,
				.from = (const uint8_t *)span->ptr + done,
				.bytes = n,
				.placed = buf_span_is_placed(buf, span),
			};
			done += n;
			at.offset += n;
			if (at.offset == at.post->bytes)
				at = (struct target){ at.post->next, 0 };
		}
	}
	return count;
}

/* Does posted memory at @a come before that at @b, in the stream? */
static bool lies_before(const struct tow_tcp *t, const uint8_t *a,
			const uint8_t *b)
{
	for (const struct post *p = t->posts->head; p; p = p->next) {
		bool has_a = (uintptr_t)a - (uintptr_t)p->ptr < p->bytes;
		bool has_b = (uintptr_t)b - (uintptr_t)p->ptr < p->bytes;

		if (has_a || has_b)
			return has_a && (!has_b || a < b);
	}
	return false;
}

/*
 * Moved towards the end, the last piece goes first, or it would be overwritten
 * before it was moved; towards the front, the first.
 */
static bool goes_backwards(const struct tow_tcp *t, const struct piece *pieces,
			   unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (pieces[i].placed && pieces[i].from != pieces[i].to)
			return lies_before(t, pieces[i].from, pieces[i].to);
	return false;
}

/*
 * That part of a post is wiped if it is not filled in the end. False: it is not
 * of this post.
 */
static bool note_written(struct post *post, const void *ptr, size_t bytes)
{
	uintptr_t at = (uintptr_t)ptr - (uintptr_t)post->ptr;

	if (at >= post->bytes || bytes > post->bytes - at)
		return false;
	post->written = MAX(post->written, at + bytes);
	return true;
}

static void move(struct tow_tcp *t, const struct piece *piece,
		 const struct post_reasons *why)
{
	enum tow_copy reason = piece->placed ? why->placed : why->elsewhere;

	payload_copy(tcp_ledgers(t), reason, piece->to, piece->from,
		     piece->bytes);
	(void)note_written(piece->post, piece->to, piece->bytes);
	piece->post->why |= 1u << reason;
}

/*
 * Make the first @bytes of a segment lie where they belong.
 *
 * Returns: how many of them did already.
 */
static uint32_t settle(struct tow_tcp *t, const struct piece *pieces,
		       unsigned count, const struct post_reasons *why)
{
	bool backwards = goes_backwards(t, pieces, count);
	uint32_t in_place = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct piece *p = &pieces[backwards ? count - 1 - i : i];

		if (p->from == p->to)
			in_place += (uint32_t)p->bytes;
		else
			move(t, p, why);
	}
	return in_place;
}

/* The first @bytes of a segment that counts now came by the device alone. */
static void note_placed(struct tow_tcp *t, const struct piece *pieces,
			uint32_t bytes)
{
	TCP_ENTER(t, rx_placed_bytes, bytes);
	for (; bytes > 0; pieces++) {
		uint32_t n = (uint32_t)MIN(pieces->bytes, bytes);

		pieces->post->placed += n;
		bytes -= n;
	}
}

/* ------------------------------------------------------------- the records */

static void post_free(struct tcp_host *host, struct post *post)
{
	post->next = host->post_free;
	host->post_free = post;
	host->posts_live--;
}

static struct post *post_new(struct tcp_host *host)
{
	struct post *post = host->post_free;

	if (post)
		host->post_free = post->next;
	else if (host->posts_used < host->cfg.posts)
		post = &host->posts[host->posts_used++];
	if (post)
		host->posts_live++;
	return post;
}

/* The connection has nothing posted, and forgets how placing went. */
void post_forget(struct tow_tcp *t)
{
	struct posts *q = t->posts;

	if (!q)
		return;
	ASSERT(!q->head && !q->done);
	place_update(t);
	ASSERT(!q->placing.link && list_empty(&q->placing.dirty));
	q->tcp = NULL;
	t->posts = NULL;
	list_remove(&q->idle);
	list_add(&t->host->idle_queues, &q->idle);
}

/*
 * A queue that is empty. A live post is in one that is not, and there are as
 * many queues as posts: so who has a post finds a queue for it.
 */
static struct posts *find_queue(struct tcp_host *host)
{
	struct posts *q = CONTAINER(host->idle_queues.next, struct posts, idle);
	bool is_any = !list_empty(&host->idle_queues);

	if (is_any && !q->tcp)
		return q;
	if (host->post_queues_used < host->cfg.posts) {
		q = &host->post_queues[host->post_queues_used++];
		list_init(&q->idle);
		return q;
	}
	ASSERT(is_any);
	post_forget(q->tcp);
	return q;
}

static struct posts *queue_of(struct tow_tcp *t)
{
	struct posts *q = t->posts;

	if (!q) {
		q = find_queue(t->host);
		list_remove(&q->idle);
		*q = (struct posts){ .tcp = t };
		list_init(&q->idle);
		list_init(&q->placing.dirty);
		t->posts = q;
	}
	return q;
}

/* ------------------------------------------------------------- completion */

/* No foreign byte is ever seen: what the device wrote behind is wiped. */
static void wipe(struct post *post)
{
	if (post->written > post->filled)
		memset(post->ptr + post->filled, 0,
		       post->written - post->filled);
	post->written = 0;
}

/* The first post is the program's again. */
static void complete(struct tow_tcp *t, int status)
{
	struct posts *q = t->posts;
	struct post *post = q->head;

	q->head = post->next;
	if (!q->head)
		q->tail = NULL;
	q->count--;
	q->room -= post->bytes - post->filled;
	post->status = status;
	post->next = NULL;
	if (!q->done)
		q->done_tail = &q->done;
	*q->done_tail = post;
	q->done_tail = &post->next;
	tcp_pend(t, 0);
}

/* The next @bytes of the stream are in what is posted. */
static void fill(struct tow_tcp *t, uint32_t bytes)
{
	struct posts *q = t->posts;

	receive_advance(t, bytes);
	q->room -= bytes;
	while (bytes > 0) {
		struct post *post = q->head;
		size_t n = MIN(bytes, post->bytes - post->filled);

		post->filled += n;
		bytes -= (uint32_t)n;
		if (post->filled == post->bytes)
			complete(t, 0);
	}
}

/* The end of the stream, in order or not: all posts come back. */
void post_end(struct tow_tcp *t, int status)
{
	if (!tcp_has_posts(t))
		return;
	receive_drop_placed(t); /* nothing more comes to it */
	while (t->posts->head)
		complete(t, status);
	place_update(t);
}

/* The same, and the program may use the memory at once. */
static void take_back(struct tow_tcp *t)
{
	if (!t->posts)
		return;
	post_end(t, TOW_ECONNABORTED);
	t->host->events_by_call |= t->posts->done != NULL;
	for (struct post *post = t->posts->done; post; post = post->next) {
		wipe(post);
		post->bytes = 0; /* nobody writes there any more */
	}
}

void post_close(struct tow_tcp *t)
{
	take_back(t);
	if (t->posts && !t->posts->done)
		post_forget(t);
}

bool post_take_event(struct tow_tcp *t, struct tow_event *out)
{
	struct posts *q = t->posts;
	struct post *post = q ? q->done : NULL;

	if (!post)
		return false;
	q->done = post->next;
	wipe(post);
	*out = (struct tow_event){
		.type = TOW_EVENT_POST,
		.status = post->status,
		.object = t->app_closed ? NULL : t,
		.user = t->user,
		.token = post->token,
		.bytes = post->filled,
		.placed_bytes = post->placed,
		.copied_why = post->placed < post->filled ? post->why : 0,
	};
	post_free(t->host, post);
	if (!q->head && !q->done)
		list_append(&t->host->idle_queues, &q->idle);
	if (!q->done && t->app_closed)
		post_forget(t);
	return true;
}

/* ----------------------------------------------------------- segments come */

/*
 * The device wrote into posted memory, whatever it was. False: it is memory
 * that is not posted, or no longer.
 */
bool post_note_written(struct tow_tcp *t, const struct tow_span *span)
{
	struct post *lists[] = { t->posts->head, t->posts->done };

	for (unsigned i = 0; i < LENGTH(lists); i++)
		for (struct post *p = lists[i]; p; p = p->next)
			if (note_written(p, span->ptr, span->len))
				return true;
	return false;
}

/*
 * A segment that is next, all of it or what fits into what is posted; what does
 * not fit is not in posted memory.
 *
 * Owns:    takes the buffer if it returns true; else the rest is the caller's.
 */
bool post_take(struct tow_tcp *t, struct tow_buf *buf,
	       const struct post_reasons *why)
{
	uint32_t bytes = (uint32_t)MIN(buf->bytes, tcp_posted_room(t)),
		 in_place;
	struct piece pieces[PIECES_MAX];
	unsigned count;

	if (bytes == 0)
		return false;
	count = cut(t, buf, 0, bytes, pieces);
	in_place = settle(t, pieces, count, why);
	note_placed(t, pieces, MIN(in_place, held(buf)->placed));
	fill(t, bytes);
	receive_tune(t, bytes);
	if (!why->was_held)
		place_learn(t, in_place == bytes);
	if (bytes == buf->bytes) {
		held_discard(t, buf);
		return true;
	}
	buf_trim_front(buf, bytes);
	held(buf)->seq = seq_add(held(buf)->seq, bytes);
	return false;
}

/*
 * A segment that comes too early is moved to where it will belong, if that is
 * posted; then it needs no chunk any more.
 *
 * Returns: false when it cannot be kept.
 */
bool post_hold(struct tow_tcp *t, struct tow_buf *buf)
{
	static const struct post_reasons why = {
		.placed = TOW_COPY_RX_HOLE,
		.elsewhere = TOW_COPY_RX_HOLE,
	};
	uint64_t distance = (uint64_t)seq_diff(held(buf)->seq, t->rcv.nxt);
	struct tow_span spans[PIECES_MAX];
	struct piece pieces[PIECES_MAX];
	unsigned count;

	held(buf)->placed = 0;
	if (distance + buf->bytes > tcp_posted_room(t)) {
		place_learn(t, false);
		return buf_evacuate(buf, tcp_ledgers(t), TOW_COPY_RX_HOLE);
	}
	count = cut(t, buf, distance, buf->bytes, pieces);
	held(buf)->placed = settle(t, pieces, count, &why);
	place_learn(t, held(buf)->placed == buf->bytes);
	for (unsigned i = 0; i < count; i++)
		spans[i] = (struct tow_span){ pieces[i].to, pieces[i].bytes };
	if (count >= TOW_BUF_SPANS)
		return false;
	buf_retarget(buf, spans, count, place_token(t));
	return true;
}

/* ------------------------------------------------------------------- calls */

/* What arrived before anybody posted memory for it. */
static void take_unread(struct tow_tcp *t)
{
	while (t->posts->head && t->receive.unread_bytes > 0) {
		struct post *post = t->posts->head;
		size_t n = receive_copy(t, post->ptr + post->filled,
					post->bytes - post->filled,
					TOW_COPY_RX_EARLY);

		post->why |= 1u << TOW_COPY_RX_EARLY;
		post->filled += n;
		t->posts->room -= n;
		if (post->filled == post->bytes)
			complete(t, 0);
	}
}

static bool stream_is_over(const struct tow_tcp *t)
{
	return t->receive.fin_seen && seq_after(t->rcv.nxt, t->receive.fin);
}

int tow_tcp_post(struct tow_tcp *t, const struct tow_span *memory,
		 uint64_t token)
{
	struct posts *q = t->posts;
	struct post *post = NULL;

	if (!memory->ptr || memory->len == 0 || memory->len > SIZE_MAX / 2)
		return TOW_EINVAL;
	if (t->receive.borrowed_bytes)
		return TOW_EBUSY;
	if (t->state == TOW_TCP_CLOSED && t->receive.unread_bytes == 0 &&
	    !stream_is_over(t))
		return t->error ? t->error : TOW_ECONNABORTED;
	if (!q || q->count < TOW_POSTS_MAX)
		post = post_new(t->host);
	if (!post)
		return TOW_ENOBUFS;
	q = queue_of(t);
	list_remove(&q->idle);
	*post = (struct post){
		.ptr = (uint8_t *)(uintptr_t)memory->ptr,
		.bytes = memory->len,
		.token = token,
	};
	if (q->tail)
		q->tail->next = post;
	else
		q->head = post;
	q->tail = post;
	q->count++;
	q->room += post->bytes;
	take_unread(t);
	if (t->posts->head && (stream_is_over(t) || t->state == TOW_TCP_CLOSED))
		post_end(t, stream_is_over(t) ? 0 : t->error);
	t->host->events_by_call |= t->posts->done != NULL;
	place_update(t);
	tcp_after_read(t);
	return 0;
}

void tow_tcp_unpost(struct tow_tcp *t)
{
	receive_rescue_placed(t);
	take_back(t);
}
