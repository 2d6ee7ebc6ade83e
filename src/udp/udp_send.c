/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams from the application's spans.
 *
 * A message is one datagram, or a train of them, segment_bytes each. It is cut
 * into frames: as many datagrams to a frame as a device with USO takes, else
 * one. Each frame is a header and spans, and the payload of it
 *
 *	lies in the room      short, and to be copied
 *	lies in chunks        to be copied
 *	stays where it is     lent, if the device can take it so
 *
 * A message is taken whole or not at all: its frames are built in a list first,
 * and nothing is queued or on loan before the list is complete.
 */
#include "buf/slice.h"
#include "base/csum.h"
#include "udp/udp_private.h"

#define TRAIN_MAX    64 /* datagrams, as UDP_SEGMENT */
#define PAYLOAD_ROOM (TOW_BUF_ROOM - TOW_BUF_HEADERS)

/* What sending one message means. */
struct job {
	struct tow_udp *socket;
	struct udp_way way;
	struct net_path *path;
	const struct tow_udp_message *message;
	struct udp_loan *loan; /* NULL: sent, and nobody asks when */
	uint32_t bytes;	       /* payload of all */
	uint32_t each;	       /* of a datagram; the last may be less */
	bool copy, stamp;
	enum tow_copy reason;
	const struct udp_received *received; /* NULL, unless it is passed */

	struct slice payload; /* of the message: what is in no frame yet */
	struct udp_queue frames;
	uint32_t frame_count;
	uint64_t copied, lent, touched;
};

/*
 * What is asked for.
 */

static int count_bytes(struct job *job)
{
	const struct tow_udp_message *m = job->message;
	uint64_t bytes = 0;
	int i;

	if (m->span_count < 0 || m->span_count > TOW_SPANS_MAX)
		return TOW_EINVAL;
	for (i = 0; i < m->span_count; i++) {
		if (m->spans[i].len > UDP_PAYLOAD_MAX)
			return TOW_EMSGSIZE;
		bytes += m->spans[i].len;
	}
	if (bytes > UDP_PAYLOAD_MAX)
		return TOW_EMSGSIZE;
	job->payload = slice(m->spans, 0, bytes);
	job->bytes = (uint32_t)bytes;
	job->each = m->segment_bytes ? MIN(m->segment_bytes, job->bytes)
				     : job->bytes;
	if (job->each > 0 && job->bytes > (uint64_t)job->each * TRAIN_MAX)
		return TOW_EMSGSIZE;
	return 0;
}

/* A group, which a datagram may have come to, is nobody's source. */
static struct tow_addr source_of(const struct tow_udp *s,
				 const struct tow_udp_message *m)
{
	if (!tow_addr_is_any(&m->local) &&
	    net_is_unicast(s->host->net, &m->local))
		return m->local;
	return net_is_multicast(&s->local.addr) ? tow_addr_any()
						: s->local.addr;
}

static int find_peer(struct job *job)
{
	const struct tow_udp_message *m = job->message;
	const struct tow_udp *s = job->socket;
	const struct tow_endpoint *peer = &m->peer;

	if (peer->port == 0 && tow_addr_is_any(&peer->addr)) {
		if (!s->connected)
			return TOW_ENOTCONN;
		peer = &s->remote;
	}
	if (peer->port == 0 || tow_addr_is_any(&peer->addr))
		return TOW_EINVAL;
	job->way.dst = peer->addr;
	job->way.dst_port = peer->port;
	job->way.zone = peer->zone;
	job->way.src = source_of(s, m);
	job->way.src_port = s->local.port;
	return 0;
}

/* What the message says of itself, else what the socket was told. */
static int find_manner(struct job *job)
{
	const struct udp_options *o = &job->socket->options;
	const struct tow_udp_message *m = job->message;
	bool group = net_is_multicast(&job->way.dst);
	uint8_t ttl = group ? o->group_ttl : o->ttl;

	if (m->with & TOW_UDP_WITH_TTL && m->ttl == 0)
		return TOW_EINVAL;
	if (m->with & TOW_UDP_WITH_LINK)
		job->way.zone = (uint16_t)(m->link + 1);
	else if (group && job->way.zone == 0)
		job->way.zone = o->group_zone;
	job->way.ttl = m->with & TOW_UDP_WITH_TTL ? m->ttl : ttl;
	job->way.stays = group && job->way.ttl == 0;
	/* Datagrams of a train have to fit */
	job->way.whole = job->bytes > job->each || o->dont_fragment;
	job->way.searched = o->dont_fragment == 2;
	job->way.tos = m->with & TOW_UDP_WITH_TOS ? m->tos : o->tos;
	return 0;
}

/* RFC 1122 3.3.6: nobody shall shout by mistake. */
static int check_path(const struct job *job)
{
	const struct tow_udp_message *m = job->message;
	const struct net_path *path = job->path;

	if (m->with & TOW_UDP_WITH_LINK && path->link->number != m->link)
		return TOW_ENETUNREACH;
	if (UNLIKELY(path->to_group) && !net_is_multicast(&path->dst) &&
	    !job->socket->options.broadcast)
		return TOW_EACCES;
	return 0;
}

/* The source is decided here: the checksum depends on it. */
static int find_path(struct job *job)
{
	struct tow_udp *s = job->socket;
	int error = udp_path_find(s->host, &job->way, &job->path);

	if (!error)
		error = check_path(job);
	if (!error)
		job->way.src = job->path->src;
	return error;
}

/* Does the network layer have to fragment the datagram? */
static bool is_large(const struct job *job)
{
	return !udp_fits_path(job->socket->host->net, job->path,
			      UDP_BYTES + job->each);
}

/* The path may shrink until it is sent: udp_output() looks again. */
static int check_mtu(const struct job *job)
{
	return job->way.whole && is_large(job) ? TOW_EMSGSIZE : 0;
}

/*
 * What the device takes.
 */

/* What becomes fragments is given to the device in smaller pieces. */
static uint32_t spans_max(const struct job *job)
{
	const struct tow_dev *dev = job->path->link->dev;

	if (is_large(job))
		return TOW_BUF_SPANS - 1;
	return (dev ? MIN(dev->spans_max, TOW_BUF_SPANS) : TOW_BUF_SPANS) - 1;
}

static bool is_in_arena(const struct tow_dev *dev, const struct tow_span *span)
{
	uintptr_t arena = (uintptr_t)dev->arena.ptr;
	uintptr_t at = (uintptr_t)span->ptr;

	return span->len == 0 || (at >= arena && at - arena < dev->arena.len &&
				  span->len <= dev->arena.len - (at - arena));
}

static bool device_reaches(const struct job *job)
{
	const struct tow_dev *dev = job->path->link->dev;
	int i;

	if (!dev || !(dev->caps & TOW_DEV_ARENA))
		return true;
	for (i = 0; i < job->message->span_count; i++)
		if (!is_in_arena(dev, &job->message->spans[i]))
			return false;
	return true;
}

static void decide_copy(struct job *job, bool lend)
{
	job->copy = true;
	job->reason = TOW_COPY_TX_SEND;
	if (!lend)
		return;
	job->reason = TOW_COPY_TX_SMALL;
	if (job->bytes < job->socket->host->private->lend_bytes_min)
		return;
	job->reason = job->received ? TOW_COPY_TX_PASS : TOW_COPY_TX_SHAPE;
	job->copy = (job->received && job->received->must_copy) ||
		    !device_reaches(job);
}

static bool needs_chunks(const struct job *job)
{
	return job->copy && job->bytes > PAYLOAD_ROOM;
}

/* Payload of a frame at most: one datagram, or with USO many. */
static uint32_t frame_bytes_max(const struct job *job)
{
	const struct tow_dev *dev = job->path->link->dev;
	uint32_t max = dev ? dev->gso_bytes_max : UDP_PAYLOAD_MAX;

	/* A device that cuts, sums */
	if (!(net_path_caps(job->path) & TOW_DEV_USO) ||
	    job->socket->options.unsummed_send)
		return job->each;
	max = MIN(max, UDP_PAYLOAD_MAX);
	return max < job->each ? job->each : max - max % MAX(job->each, 1);
}

/*
 * Cutting.
 */

/* Whole datagrams that the next @max spans of the message hold; 0: none. */
static uint32_t bytes_in_spans(const struct job *job, uint32_t bytes,
			       uint32_t max)
{
	const struct tow_udp_message *m = job->message;
	struct slice ahead = job->payload;
	uint32_t begun = (uint32_t)(ahead.span - m->spans);
	uint32_t n, left = bytes;
	struct tow_span piece;

	if (LIKELY((uint32_t)m->span_count - begun <= max))
		return bytes;
	for (n = 0; n < max && next_piece(&ahead, left, &piece); n++)
		left -= (uint32_t)piece.len;
	bytes -= left;
	if (left == 0)
		return bytes;
	return bytes - bytes % job->each;
}

static void copy_pieces(struct job *job, uint8_t *to, uint32_t bytes)
{
	struct tow_udp *s = job->socket;
	struct tow_span piece;

	while (next_piece(&job->payload, bytes, &piece)) {
		payload_copy(udp_ledgers(s), job->reason, to, piece.ptr,
			     piece.len);
		to += piece.len;
		bytes -= (uint32_t)piece.len;
	}
}

static bool copy_to_chunks(struct job *job, struct tow_buf *buf, uint32_t bytes)
{
	struct tow_pool *pool = buf->pool;
	uint8_t *chunk;
	uint32_t n;

	for (; bytes > 0; bytes -= n) {
		chunk = tow_chunk_take(pool);
		if (!chunk)
			return false;
		n = MIN(bytes, tow_chunk_bytes(pool));
		copy_pieces(job, chunk, n);
		tow_buf_add_chunk(buf, chunk, n);
	}
	return true;
}

static bool copy_payload(struct job *job, struct tow_buf *buf, uint32_t bytes)
{
	if (bytes > PAYLOAD_ROOM)
		return copy_to_chunks(job, buf, bytes);
	copy_pieces(job, buf->room + TOW_BUF_HEADERS, bytes);
	tow_buf_set_head(buf, TOW_BUF_HEADERS, bytes);
	return true;
}

static void lend_payload(struct job *job, struct tow_buf *buf, uint32_t bytes)
{
	struct tow_span piece;

	job->lent += bytes;
	while (next_piece(&job->payload, bytes, &piece)) {
		buf_add_span(buf, piece.ptr, (uint32_t)piece.len);
		bytes -= (uint32_t)piece.len;
	}
}

/* RFC 768: a sum of zero is sent as all ones, since zero means none. */
static void put_checksum(struct job *job, struct tow_buf *buf)
{
	struct wire_udp *header = (void *)buf_pull(buf, UDP_BYTES);
	uint32_t sum;
	uint16_t field;

	if (UNLIKELY(job->socket->options.unsummed_send))
		return;
	sum = csum_pseudo(&job->way.src, &job->way.dst, NET_UDP, buf->bytes);
	if (net_path_caps(job->path) & TOW_DEV_TX_CSUM) {
		wire_put_sum(header->checksum, csum_fold(sum));
		buf->flags |= TOW_BUF_CSUM_PARTIAL;
		buf->csum_offset = UDP_CSUM_OFFSET;
		return;
	}
	if (job->received && job->received->sum_known)
		sum = csum_add(csum_bytes(sum, header, UDP_BYTES),
			       job->received->sum);
	else
		sum = csum_add(sum, buf_csum(buf, 0, &job->touched));
	field = csum_finish(sum);
	wire_put_sum(header->checksum, field ? field : 0xffff);
}

static void finish_frame(struct job *job, struct tow_buf *buf)
{
	uint32_t payload = buf->bytes;
	uint8_t *header = buf_push(buf, UDP_BYTES);

	ASSERT(header);
	udp_build((void *)header, job->way.src_port, job->way.dst_port,
		  buf->bytes);
	if (payload > job->each) {
		buf->gso = TOW_GSO_UDP;
		buf->gso_bytes = (uint16_t)job->each;
	}
	put_checksum(job, buf);
	*udp_way_of(buf) = job->way;
}

/*
 * Payload of the next frame, whole datagrams but for the message's end; and
 * whether it can stay where it is. 0 if the device can't be given a datagram
 * at all.
 */
static uint32_t plan_frame(const struct job *job, bool *copy)
{
	uint32_t bytes = MIN((uint32_t)job->payload.left, frame_bytes_max(job));
	uint32_t spans = spans_max(job), fit;
	struct tow_pool *pool = &job->socket->host->net->tx_pool;

	*copy = job->copy;
	if (!*copy) {
		fit = bytes_in_spans(job, bytes, spans);
		if (fit > 0 || bytes == 0)
			return fit;
		*copy = true; /* too many spans for one datagram */
		bytes = MIN(bytes, job->each);
	}
	fit = spans * tow_chunk_bytes(pool);
	return bytes <= fit ? bytes : fit - fit % job->each;
}

static int make_frame(struct job *job)
{
	struct tow_buf *buf;
	uint32_t bytes;
	bool copy;

	bytes = plan_frame(job, &copy);
	if (bytes == 0 && job->bytes > 0)
		return TOW_EMSGSIZE;
	buf = tow_buf_take(&job->socket->host->net->tx_pool);
	if (!buf)
		return TOW_EAGAIN;
	udp_queue_append(&job->frames, buf);
	job->frame_count++;
	if (!copy)
		lend_payload(job, buf, bytes);
	else if (!copy_payload(job, buf, bytes))
		return TOW_EAGAIN;
	finish_frame(job, buf);
	return 0;
}

/*
 * The message as a whole.
 */

static void give_up(struct job *job)
{
	struct tow_buf *buf;

	while ((buf = udp_queue_take(&job->frames)) != NULL)
		tow_buf_give(buf);
}

/* Borrowing was counted as lending; but these are not returned. */
static void count_passed(const struct job *job)
{
	struct tow_udp *from = job->received->from;

	job->socket->ledger.passed_bytes += job->lent;
	if (from != job->socket)
		from->ledger.passed_bytes += job->lent;
	from->host->net->stats.ledger.passed_bytes += job->lent;
	udp_uncount_lent(from, job->lent);
}

static void count(struct job *job)
{
	struct tow_ledger *own = &job->socket->ledger;
	struct tow_ledger *all = &job->socket->host->net->stats.ledger;

	if (job->received) {
		count_passed(job);
	} else {
		own->tx_lent_bytes += job->lent;
		all->tx_lent_bytes += job->lent;
	}
	own->tx_touched_bytes += job->touched;
	all->tx_touched_bytes += job->touched;
}

static void hold_received(struct udp_loan *loan,
			  const struct udp_received *received)
{
	loan->passed = tow_buf_ref(received->buf);
	loan->from = received->from;
	loan->from->passed++;
}

/* From here on nothing fails. */
static void commit(struct job *job)
{
	struct tow_udp *s = job->socket;
	struct udp_loan *loan = job->loan;
	struct tow_buf *buf;

	if (loan) {
		s->host->private->loan_free = loan->next;
		s->host->private->loans_out++;
		loan->socket = s;
		loan->link = job->path->link;
		loan->token = job->message->token;
		loan->frames = job->frame_count;
		loan->status = 0;
		loan->sent_us = 0;
		loan->stamp = job->stamp;
		loan->passed = NULL;
		s->loans++;
		if (job->received)
			hold_received(loan, job->received);
	}
	while ((buf = udp_queue_take(&job->frames)) != NULL) {
		buf->owner_kind = BUF_OWNER_UDP;
		buf->lender = loan;
		buf->loan_bytes = MAX(buf_cost(buf), buf->bytes);
		s->tx_cost += buf->loan_bytes;
		udp_queue(s, buf);
	}
	count(job);
}

static int build(struct job *job)
{
	int error;

	do {
		error = make_frame(job);
	} while (!error && job->payload.left > 0);
	return error;
}

static int take_message(struct job *job)
{
	int error = count_bytes(job);

	if (!error)
		error = find_peer(job);
	if (!error)
		error = find_manner(job);
	if (!error)
		error = find_path(job);
	if (!error)
		error = check_mtu(job);
	return error;
}

/* All is decided; job->loan says whether there is to be one. */
static int send_job(struct job *job)
{
	struct tow_udp *s = job->socket;
	int error;

	s->wants = (needs_chunks(job) ? UDP_WANTS_CHUNKS : 0) |
		   (job->loan ? UDP_WANTS_LOAN : 0);
	if (!udp_has_room(s))
		return TOW_EAGAIN;
	error = build(job);
	if (error)
		give_up(job);
	else
		commit(job);
	return error;
}

/* Is there a record for one more loan? */
static int find_loan(struct job *job)
{
	struct tow_udp *s = job->socket;

	job->loan = s->host->private->loan_free;
	if (job->loan)
		return 0;
	s->wants = UDP_WANTS_LOAN;
	net_count(s->host->net, TOW_COUNTER_NO_LOANS);
	return TOW_EAGAIN;
}

static int send_message(struct tow_udp *s, const struct tow_udp_message *m,
			bool lend)
{
	struct job job = { .socket = s, .message = m };
	int error = take_message(&job);

	job.stamp = !lend && m->with & TOW_UDP_WITH_STAMP;
	if (!error && (lend || job.stamp))
		error = find_loan(&job);
	if (error)
		return error;
	decide_copy(&job, lend);
	return send_job(&job);
}

/*
 * The same with payload that lies in a received buffer. What is copied all the
 * same is no loan: the buffer has not to wait for it.
 */
int udp_send_received(struct tow_udp *s, const struct tow_udp_message *m,
		      const struct udp_received *received)
{
	struct job job = { .socket = s, .message = m, .received = received };
	int error = take_message(&job);

	if (error)
		return error;
	decide_copy(&job, true);
	if (!job.copy)
		error = find_loan(&job);
	return error ? error : send_job(&job);
}

/* The program was told EAGAIN: it has to hear when that is over. */
void udp_wait_for_room(struct tow_udp *s)
{
	if (list_empty(&s->blocked_node))
		list_append(&s->host->blocked, &s->blocked_node);
}

static int send_messages(struct tow_udp *s, const struct tow_udp_message *m,
			 int count_max, bool lend)
{
	int error = s->error, n;

	ASSERT(s->open && !s->closed);
	if (error) {
		s->error = 0;
		return error;
	}
	if (count_max < 1)
		return TOW_EINVAL;
	for (n = 0; n < count_max && !error; n++)
		error = send_message(s, &m[n], lend);
	if (error == TOW_EAGAIN)
		udp_wait_for_room(s);
	if (!error)
		return n;
	return n > 1 ? n - 1 : error;
}

int tow_udp_send(struct tow_udp *udp, const struct tow_udp_message *messages,
		 int count)
{
	return send_messages(udp, messages, count, false);
}

int tow_udp_lend(struct tow_udp *udp, const struct tow_udp_message *messages,
		 int count)
{
	return send_messages(udp, messages, count, true);
}
