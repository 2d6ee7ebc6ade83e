/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The send queue: loans, from being queued until they are done.
 *
 * Each span that the application lends, each chunk that send filled with a
 * copy, and each span of a received buffer that is passed on is a struct loan;
 * the queue is a list of them in stream order. Frames
 * point straight at the bytes. A loan is done when two things are true: the
 * peer acknowledged its last byte, and no frame that refers to it is with a
 * device any more. They come in either order, and a device may give frames
 * back in any order, so a loan counts its frames.
 *
 * Loans end in stream order: a loan that is done waits for those before it.
 * Ending cannot fail, because the record that reports the token is the loan
 * itself, moved to the list of those done.
 *
 * When the connection is over, everything that is left takes its status; loans
 * that a device still refers to wait for it all the same.
 *
 * A stamp is a record without bytes: a place in the stream, at which the program
 * wants to know the times. It is done with the bytes in front of it, and no
 * frame ever refers to it.
 */
#include "tcp/held.h"

static struct loan *loan_new(struct tcp_host *host)
{
	struct loan *loan = host->loan_free;

	if (loan) {
		host->loan_free = loan->next;
	} else if (host->loans_used < host->cfg.loans) {
		loan = &host->loans[host->loans_used++];
	} else {
		net_count(host->net, TOW_COUNTER_NO_LOANS);
		return NULL;
	}
	host->loans_live++;
	*loan = (struct loan){ 0 };
	return loan;
}

/* A copy may begin anywhere in its chunk; the chunk is aligned to its size. */
static void give_chunk(struct tcp_host *host, struct loan *loan)
{
	struct tow_pool *pool = &host->net->tx_pool;
	uintptr_t at = (uintptr_t)loan->ptr;

	if (!(loan->flags & LOAN_COPIED))
		return;
	loan->flags &= (uint8_t)~LOAN_COPIED;
	tow_chunk_give(pool, (uint8_t *)(at - at % tow_chunk_bytes(pool)));
}

void loan_free(struct tcp_host *host, struct loan *loan)
{
	give_chunk(host, loan);
	if (loan->flags & LOAN_PASSED)
		pass_done(loan->buf);
	loan->next = host->loan_free;
	host->loan_free = loan;
	host->loans_live--;
}

static uint32_t loans_left(const struct tcp_host *host)
{
	return host->cfg.loans - host->loans_live;
}

/* ------------------------------------------------ when memory has run out */

#define FED_PER_POLL 16

/*
 * EAGAIN was said for want of the stack's memory. If this connection has some
 * of it, its ACKs will free it and say WRITABLE; else it queues for memory.
 */
void send_queue_starve(struct tow_tcp *t)
{
	if (t->send.acked == t->send.end && list_empty(&t->queue))
		list_append(&t->host->starved, &t->queue);
}

bool send_queue_has_memory(const struct tcp_host *host)
{
	return loans_left(host) > 0 && host->net->tx_pool.chunks_left > 0;
}

/* There may be memory again: those who waited longest hear of it first. */
void send_queue_feed(struct tcp_host *host)
{
	for (unsigned i = 0; i < FED_PER_POLL; i++) {
		struct tow_tcp *t;

		if (list_empty(&host->starved) || !send_queue_has_memory(host))
			return;
		t = CONTAINER(host->starved.next, struct tow_tcp, queue);
		list_remove(&t->queue);
		if (!t->want_write || !send_queue_room(t))
			continue; /* its own queue is full: an ACK will tell */
		t->want_write = false;
		tcp_pend(t, PENDING_WRITABLE);
	}
}

static void enqueue(struct tow_tcp *t, struct loan *loan)
{
	struct send_queue *q = &t->send;

	loan->start = q->end;
	if (q->tail)
		q->tail->next = loan;
	else
		q->head = loan;
	q->tail = loan;
	if (!q->cursor)
		q->cursor = loan;
	q->end += loan->bytes;
	q->loans++;
}

/* All of a call was queued, with these flags. */
void send_queue_note(struct tow_tcp *t, unsigned flags)
{
	t->send.more = flags & TOW_TCP_MORE;
	if (flags & TOW_TCP_URGENT)
		urgent_send(t);
	if (flags & TOW_TCP_EOR && !(t->send.tail->flags & LOAN_EOR)) {
		t->send.tail->flags |= LOAN_EOR;
		t->send.records++;
	}
}

/* How many bytes more may wait. */
uint64_t send_queue_room_bytes(const struct tow_tcp *t)
{
	const struct send_queue *q = &t->send;
	uint64_t queued = q->end - q->acked, unsent = q->end - q->next;
	uint64_t most = t->set.send_bytes;
	uint64_t room = most > queued ? most - queued : 0;

	most = t->set.notsent_lowat;
	if (most)
		room = MIN(room, most > unsent ? most - unsent : 0);
	return room;
}

/* Any room counts: a loan of any length is then taken whole. */
bool send_queue_room(const struct tow_tcp *t)
{
	return send_queue_room_bytes(t) > 0;
}

static void tell_writable(struct tow_tcp *t)
{
	t->want_write = false;
	tcp_pend(t, PENDING_WRITABLE);
}

/*
 * The next @bytes went out for the first time. With TOW_TCP_NOTSENT_LOWAT that
 * makes room, and as in Linux the program hears of it when it is half.
 */
void send_queue_sent(struct tow_tcp *t, uint32_t bytes)
{
	struct send_queue *q = &t->send;

	q->next += bytes;
	for (; q->cursor && q->cursor->start + q->cursor->bytes <= q->next;
	     q->cursor = q->cursor->next)
		q->cursor->sent_us = tcp_now(t);
	if (t->set.notsent_lowat && t->want_write &&
	    q->end - q->next <= t->set.notsent_lowat / 2 && send_queue_room(t))
		tell_writable(t);
}

/*
 * Bytes from @offset, which is in @loan or later, to the end of its record:
 * where the program said TOW_TCP_EOR, or to the end of all.
 */
uint64_t send_queue_record(const struct tow_tcp *t, const struct loan *loan,
			   uint64_t offset)
{
	for (; loan; loan = loan->next) {
		uint64_t end = loan->start + loan->bytes;

		if (end > offset && loan->flags & LOAN_EOR)
			return end - offset;
	}
	return t->send.end - offset;
}

static void copy_in(struct tow_tcp *t, struct loan *loan, const uint8_t *data,
		    uint32_t bytes, enum tow_copy why)
{
	uint8_t *to = (uint8_t *)(uintptr_t)(loan->ptr + loan->bytes);

	payload_copy(tcp_ledgers(t), why, to, data, bytes);
	loan->room -= bytes;
}

/*
 * A copy with a token is closed, but not its chunk: a record of its own goes on
 * behind it, and owns the chunk from now on. Records end in order, so the chunk
 * is given back by the last one that lies in it.
 */
static uint32_t append_behind(struct tow_tcp *t, struct loan *closed,
			      const uint8_t *data, uint32_t bytes,
			      enum tow_copy why)
{
	struct loan *loan = loan_new(t->host);

	if (!loan)
		return 0;
	loan->flags = LOAN_COPIED;
	loan->ptr = closed->ptr + closed->bytes;
	loan->room = closed->room;
	closed->flags &= (uint8_t)~LOAN_COPIED;
	copy_in(t, loan, data, bytes, why);
	loan->bytes = bytes;
	enqueue(t, loan);
	return bytes;
}

/* A place in the stream. It takes over the free end of a chunk before it. */
static struct loan *new_stamp(struct tow_tcp *t, uint64_t token)
{
	struct loan *loan = loan_new(t->host), *tail = t->send.tail;

	if (!loan)
		return NULL;
	loan->flags = LOAN_STAMP | LOAN_TOKEN;
	loan->token = token;
	if (tail->flags & LOAN_COPIED && tail->room > 0) {
		loan->flags |= LOAN_COPIED;
		loan->ptr = tail->ptr + tail->bytes;
		loan->room = tail->room;
		tail->flags &= (uint8_t)~LOAN_COPIED;
	}
	return loan;
}

/* Fill the free end of the last chunk: small writes share one. */
static uint32_t append_to_tail(struct tow_tcp *t, const uint8_t *data,
			       uint32_t bytes, enum tow_copy why)
{
	struct loan *tail = t->send.tail;

	if (!tail || !(tail->flags & LOAN_COPIED))
		return 0;
	bytes = MIN(bytes, tail->room);
	if (bytes == 0)
		return 0;
	if (tail->flags & (LOAN_TOKEN | LOAN_EOR))
		return append_behind(t, tail, data, bytes, why);
	copy_in(t, tail, data, bytes, why);
	tail->bytes += bytes;
	t->send.end += bytes;
	if (!t->send.cursor)
		t->send.cursor = tail;
	return bytes;
}

static uint8_t *take_chunk(struct tow_tcp *t)
{
	struct tow_pool *pool = &tcp_net(t)->tx_pool;
	uint8_t *chunk = NULL;

	if (tcp_may_take(t->send.chunks, pool->chunks_left, pool->chunks_total))
		chunk = tow_chunk_take(pool);
	if (chunk)
		t->send.chunks++;
	return chunk;
}

static struct loan *new_copied(struct tow_tcp *t, const uint8_t *data,
			       uint32_t bytes, enum tow_copy why)
{
	struct tow_pool *pool = &tcp_net(t)->tx_pool;
	struct loan *loan = loan_new(t->host);
	uint8_t *chunk;

	if (!loan)
		return NULL;
	chunk = take_chunk(t);
	if (!chunk) {
		loan_free(t->host, loan);
		return NULL;
	}
	loan->flags = LOAN_COPIED;
	loan->ptr = chunk;
	loan->room = tow_chunk_bytes(pool);
	copy_in(t, loan, data, bytes, why);
	loan->bytes = bytes;
	return loan;
}

static uint32_t append_chunk(struct tow_tcp *t, const uint8_t *data,
			     uint32_t bytes, enum tow_copy why)
{
	struct loan *loan;

	bytes = MIN(bytes, tow_chunk_bytes(&tcp_net(t)->tx_pool));
	loan = new_copied(t, data, bytes, why);
	if (!loan)
		return 0;
	enqueue(t, loan);
	return bytes;
}

/* Queue a copy. Returns: how many bytes there was memory for. */
uint32_t send_queue_append(struct tow_tcp *t, const uint8_t *data,
			   uint32_t bytes, enum tow_copy why)
{
	uint32_t taken = 0, n;

	while (taken < bytes) {
		n = append_to_tail(t, data + taken, bytes - taken, why);
		if (n == 0)
			n = append_chunk(t, data + taken, bytes - taken, why);
		if (n == 0)
			break;
		taken += n;
	}
	return taken;
}

int64_t send_queue_copy(struct tow_tcp *t, const uint8_t *data, size_t bytes,
			unsigned flags)
{
	uint32_t want =
		(uint32_t)MIN(MIN(bytes, send_queue_room_bytes(t)), 1u << 30);
	uint32_t taken = send_queue_append(t, data, want, TOW_COPY_TX_SEND);

	if (taken < want)
		send_queue_starve(t);
	if (taken == 0)
		return TOW_EAGAIN;
	send_queue_note(t, taken < bytes ? 0 : flags);
	return (int64_t)taken;
}

static void queue_span(struct tow_tcp *t, const struct tow_span *span)
{
	struct loan *loan = loan_new(t->host);

	ASSERT(loan); /* lend looked before */
	loan->ptr = span->ptr;
	loan->bytes = span->len;
	enqueue(t, loan);
	TCP_ENTER(t, tx_lent_bytes, span->len);
}

/* A small span: cheaper to copy than to gather, as bench/run sizes shows. */
static bool queue_small_span(struct tow_tcp *t, const struct tow_span *span)
{
	const uint8_t *data = span->ptr;
	uint32_t bytes = (uint32_t)span->len;
	uint32_t n = send_queue_append(t, data, bytes, TOW_COPY_TX_SMALL);

	if (n == bytes)
		return true;
	if (n > 0) {
		struct tow_span rest = { data + n, bytes - n };

		queue_span(t, &rest);
		return true;
	}
	return false;
}

static bool may_take_loans(const struct tow_tcp *t, uint32_t count)
{
	uint32_t left = loans_left(t->host);

	return left >= count && tcp_may_take(t->send.loans, left - count + 1,
					     t->host->cfg.loans);
}

int send_queue_lend(struct tow_tcp *t, const struct tow_span *spans, int count,
		    uint64_t token, unsigned flags)
{
	uint64_t total = 0;

	for (int i = 0; i < count; i++) {
		if (spans[i].len > INT64_MAX - total)
			return TOW_EINVAL;
		total += spans[i].len;
	}
	if (total == 0)
		return TOW_EINVAL;
	if (2 * (uint32_t)count > t->host->cfg.loans)
		return TOW_ENOBUFS;
	if (!send_queue_room(t))
		return TOW_EAGAIN;
	/* Two for each span is the most it can take: rest and token. */
	if (!may_take_loans(t, 2 * (uint32_t)count)) {
		tcp_count(t, TOW_COUNTER_NO_LOANS);
		send_queue_starve(t);
		return TOW_EAGAIN;
	}
	for (int i = 0; i < count; i++) {
		if (spans[i].len == 0)
			continue;
		if (spans[i].len >= t->host->cfg.lend_bytes_min ||
		    !queue_small_span(t, &spans[i]))
			queue_span(t, &spans[i]);
	}
	t->send.tail->flags |= LOAN_TOKEN;
	t->send.tail->token = token;
	send_queue_note(t, flags);
	return 0;
}

/* Spans that follow each other in memory are one record. */
static void queue_passed_span(struct tow_tcp *t, struct tow_buf *buf,
			      const uint8_t *ptr, uint32_t bytes)
{
	struct loan *loan = t->send.tail;

	if (loan && (loan->flags & (LOAN_PASSED | LOAN_EOR)) == LOAN_PASSED &&
	    loan->buf == buf && loan->ptr + loan->bytes == ptr) {
		loan->bytes += bytes;
		t->send.end += bytes;
		if (!t->send.cursor)
			t->send.cursor = loan;
		return;
	}
	loan = loan_new(t->host);
	ASSERT(loan); /* pass looked before */
	loan->flags = LOAN_PASSED;
	loan->buf = tow_buf_ref(buf);
	loan->ptr = ptr;
	loan->bytes = bytes;
	held(buf)->loans++;
	enqueue(t, loan);
}

/*
 * Queue the first @bytes of a received buffer in place, which is referred to
 * until they are done.
 *
 * Returns: false when there are no records for it; then nothing was queued.
 */
bool send_queue_pass(struct tow_tcp *t, struct tow_buf *buf, uint32_t bytes)
{
	if (!may_take_loans(t, buf->span_count)) {
		tcp_count(t, TOW_COUNTER_NO_LOANS);
		return false;
	}
	for (const struct tow_span *span = buf->spans; bytes > 0; span++) {
		uint32_t here = (uint32_t)MIN(span->len, bytes);

		if (here > 0)
			queue_passed_span(t, buf, span->ptr, here);
		bytes -= here;
	}
	return true;
}

int send_queue_stamp(struct tow_tcp *t, uint64_t token)
{
	struct loan *loan;

	if (t->send.next == t->send.end)
		return TOW_EINVAL;
	if (!may_take_loans(t, 1)) {
		tcp_count(t, TOW_COUNTER_NO_LOANS);
		return TOW_ENOBUFS;
	}
	loan = new_stamp(t, token);
	ASSERT(loan); /* we looked before */
	enqueue(t, loan);
	return 0;
}

/* All bytes from that record to the end, which were passed, have that sum. */
void send_queue_note_sum(struct tow_tcp *t, struct loan *loan, uint16_t sum)
{
	loan->flags |= LOAN_SUM;
	loan->sum_bytes = (uint32_t)(t->send.end - loan->start);
	loan->sum = sum;
}

/* Is the sum of a frame's payload known, because it was received like that? */
bool send_queue_sum(const struct tow_buf *buf, uint16_t *sum)
{
	const struct loan *loan = buf->loan_first;

	if (!loan || !(loan->flags & LOAN_SUM) ||
	    loan->start != buf->loan_start ||
	    loan->sum_bytes != buf->loan_bytes)
		return false;
	*sum = loan->sum;
	return true;
}

static void finish(struct tow_tcp *t, struct loan *loan, int status)
{
	t->send.loans--;
	t->send.chunks -= loan->flags & LOAN_COPIED ? 1 : 0;
	t->send.records -= loan->flags & LOAN_EOR ? 1 : 0;
	if (!(loan->flags & LOAN_TOKEN)) {
		loan_free(t->host, loan);
		return;
	}
	give_chunk(t->host, loan);
	loan->status = status;
	loan->start = tcp_now(t);
	loan->next = NULL;
	if (!t->send.done)
		t->send.done_tail = &t->send.done;
	*t->send.done_tail = loan;
	t->send.done_tail = &loan->next;
	tcp_pend(t, 0);
}

/* End every loan at the head of the queue that is done. */
static void release(struct tow_tcp *t)
{
	struct send_queue *q = &t->send;
	struct loan *loan;

	while ((loan = q->head) && loan->frames == 0) {
		bool acked = loan->start + loan->bytes <= q->acked;

		if (!acked && !q->ended)
			break;
		if (loan == q->cursor)
			q->cursor = loan->next;
		q->head = loan->next;
		if (!q->head)
			q->tail = NULL;
		finish(t, loan, acked ? 0 : q->ended);
	}
}

/* The peer acknowledged @bytes more of the stream. */
void send_queue_acked(struct tow_tcp *t, uint64_t bytes)
{
	t->send.acked += bytes;
	ASSERT(t->send.acked <= t->send.next);
	release(t);
	if (t->want_write && send_queue_room(t))
		tell_writable(t);
}

/* The connection is over: nothing more will be sent or acknowledged. */
void send_queue_end(struct tow_tcp *t, int status)
{
	if (!t->send.ended)
		t->send.ended = (int16_t)(status ? status : TOW_ECONNABORTED);
	release(t);
}

/* The loan that holds the byte at @offset, from @from on. */
struct loan *send_queue_find(struct loan *from, uint64_t offset)
{
	while (from && from->start + from->bytes <= offset)
		from = from->next;
	return from;
}

/*
 * One more piece of payload for a frame. Pieces that follow each other in
 * memory are one span: small copies share a chunk, and a file is often lent in
 * pieces.
 *
 * Returns: false when the frame is out of spans.
 */
static bool attach_piece(struct tow_buf *buf, uint32_t spans_max, bool first,
			 const uint8_t *piece, size_t bytes)
{
	struct tow_span *last = &buf->spans[buf->span_count - 1];

	if (!first && (const uint8_t *)last->ptr + last->len == piece) {
		last->len += bytes;
		return true;
	}
	if (buf->span_count >= spans_max)
		return false;
	buf->spans[buf->span_count++] = (struct tow_span){ piece, bytes };
	return true;
}

/*
 * Point a frame's payload spans at the stream from @offset on.
 *
 * Returns: bytes attached, less than @bytes when the frame is out of spans.
 */
uint32_t send_queue_attach(struct tow_tcp *t, struct tow_buf *buf,
			   struct loan *loan, uint64_t offset, uint32_t bytes)
{
	uint32_t spans_max = t->path.link->dev ? t->path.link->dev->spans_max
					       : TOW_BUF_SPANS;
	uint32_t attached = 0;

	loan = send_queue_find(loan, offset);
	buf->lender = t;
	buf->owner_kind = BUF_OWNER_TCP;
	buf->loan_first = loan;
	buf->loan_start = offset;
	for (; attached < bytes; loan = loan->next) {
		uint64_t into = offset + attached - loan->start;
		uint64_t here = MIN(loan->bytes - into, bytes - attached);

		if (loan->flags & LOAN_STAMP)
			continue;
		if (!attach_piece(buf, spans_max, attached == 0,
				  loan->ptr + into, (size_t)here))
			break;
		loan->frames++;
		attached += (uint32_t)here;
	}
	buf->loan_bytes = attached;
	buf->bytes += attached;
	t->send.frames++;
	return attached;
}

/* A device has done with a frame; the reverse of attach. */
void send_queue_detach(struct tow_tcp *t, struct tow_buf *buf)
{
	struct loan *loan = buf->loan_first;
	uint64_t end = buf->loan_start + buf->loan_bytes;

	for (; loan && loan->start < end; loan = loan->next) {
		if (loan->flags & LOAN_STAMP)
			continue;
		ASSERT(loan->frames > 0);
		loan->frames--;
	}
	ASSERT(t->send.frames > 0);
	t->send.frames--;
	release(t);
}
