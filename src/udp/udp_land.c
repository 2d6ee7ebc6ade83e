/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a received buffer into the slots of a posted one.
 *
 * Theory of operation. Where a datagram goes is always the same: the next slot
 * that is empty. What differs is where its bytes are.
 *
 *	at their place    the device put them there: nothing to do
 *	further behind    a datagram before them was dropped; moved down
 *	in the slot, but  headers or a train of another shape than foreseen;
 *	shifted           moved into place
 *	elsewhere         in chunks, the device had no hint: copied in
 *
 * The one danger is to write where the device put something that we did not
 * look at yet. It writes from hint.next on, and we at the cursor, which is
 * never behind that; so what came *without* being placed, while the device may
 * have placed others behind it, waits among the strays until the hint was moved
 * out of its way (udp_place()). That is why the datagrams of one poll may
 * change places. A device that rests (see struct tow_place) puts nothing more
 * there, but what it did before lies there all the same: a hint that rests is
 * no reason not to wait for the end of the batch.
 *
 * Within a buffer moving down is safe from front to back, because each byte's
 * new place lies at or before its old one. A train that would have to be moved
 * up is moved out into chunks first.
 */
#include "buf/slice.h"
#include "udp/udp_private.h"

/* The part that was not taken, for the ordinary queue. */
static void enqueue_rest(struct tow_udp *s, struct tow_buf *buf)
{
	struct udp_arrival *arrival = udp_arrival_of(buf);

	if (buf->place) {
		buf_trim_front(buf, arrival->offset);
		arrival->offset = 0;
		arrival->summed = 0; /* not all that was summed is there */
		if (!buf_evacuate(buf, udp_ledgers(s), TOW_COPY_RX_MISSHAPED)) {
			net_drop(s->host->net, TOW_DROP_NO_BUFFERS);
			tow_buf_give(buf);
			return;
		}
	}
	udp_enqueue(s, buf);
}

/* ------------------------------------------------------------------ one slot
 */

/* Does the next datagram fit into the next slot? */
static bool fits(struct tow_udp *s, struct tow_buf *buf)
{
	const struct udp_post *post = udp_post_at(s, s->landing.active);
	uint32_t bytes = udp_next_bytes(buf);

	return udp_has_posts(s) && bytes >= post->header_bytes &&
	       bytes - post->header_bytes <= post->slot_bytes;
}

static unsigned take_apart(const struct tow_buf *buf, uint32_t offset,
			   uint32_t bytes, struct tow_span *pieces)
{
	struct slice at = slice(buf->spans, offset, bytes);
	unsigned n = 0;

	while (next_piece(&at, SIZE_MAX, &pieces[n]))
		n++;
	return n;
}

static bool lies_in(const struct udp_post *post, const struct tow_span *piece)
{
	return (uintptr_t)piece->ptr - (uintptr_t)post->memory < post->bytes;
}

/* Those pieces of a datagram that lie in the post, or those that do not. */
static void copy_pieces(struct tow_udp *s, const struct udp_post *post,
			const struct tow_span *pieces, unsigned n, bool inside,
			enum tow_copy why)
{
	uint8_t *to = post->memory + post->filled;

	for (unsigned i = 0; i < n; to += pieces[i++].len)
		if (lies_in(post, &pieces[i]) == inside)
			payload_copy(udp_ledgers(s), why, to, pieces[i].ptr,
				     pieces[i].len);
}

/*
 * Bring a datagram's bytes to the next slot. What the device put into this post
 * is one piece, and moved first: any other could overwrite it.
 *
 * Returns: true when all of it was there already.
 */
static bool gather(struct tow_udp *s, const struct tow_buf *buf,
		   uint32_t offset, uint32_t bytes, enum tow_copy why)
{
	const struct udp_post *post = udp_post_at(s, s->landing.active);
	struct tow_span pieces[TOW_BUF_SPANS];
	unsigned n = take_apart(buf, offset, bytes, pieces);

	if (n == 0 || (n == 1 && pieces[0].ptr == post->memory + post->filled))
		return true;
	copy_pieces(s, post, pieces, n, true, why);
	copy_pieces(s, post, pieces, n, false, why);
	return false;
}

static void copy_header(struct tow_udp *s, const struct tow_buf *buf,
			uint32_t offset, uint32_t bytes, uint8_t *to)
{
	struct slice at = slice(buf->spans, offset, bytes);
	struct tow_span piece;

	memset(to, 0, TOW_UDP_HEADER_MAX);
	for (; next_piece(&at, SIZE_MAX, &piece); to += piece.len)
		payload_copy(udp_ledgers(s), TOW_COPY_RX_RECV, to, piece.ptr,
			     piece.len);
}

static void learn(struct tow_udp *s, bool hit)
{
	struct udp_hint *hint = &s->landing.hint;

	if (!hint->link)
		return;
	net_count(s->host->net,
		  hit ? TOW_COUNTER_PLACE_HITS : TOW_COUNTER_PLACE_MISSES);
	if (hit)
		hint->trial.hits++;
	else
		hint->trial.misses++;
}

static void account(struct tow_udp *s, struct udp_post *post,
		    const struct tow_udp_slot *slot, enum tow_copy why)
{
	learn(s, slot->placed);
	if (!slot->placed) {
		post->copied_why |= 1u << why;
		return;
	}
	post->placed_bytes += slot->bytes;
	s->ledger.rx_placed_bytes += slot->bytes;
	s->host->net->stats.ledger.rx_placed_bytes += slot->bytes;
}

/* The next datagram of a buffer goes into the next slot; it fits. */
static void fill_slot(struct tow_udp *s, struct tow_buf *buf,
		      struct udp_record *record, enum tow_copy why)
{
	struct udp_post *post = udp_post_at(s, s->landing.active);
	struct udp_arrival *arrival = udp_arrival_of(buf);
	uint32_t whole = udp_next_bytes(buf), header = post->header_bytes;
	uint8_t *to = post->memory + post->filled;
	struct tow_udp_slot *slot = &record->slot;

	copy_header(s, buf, arrival->offset, header, slot->header);
	slot->token = post->token;
	slot->offset = post->filled;
	slot->bytes = whole - header;
	slot->placed =
		gather(s, buf, arrival->offset + header, slot->bytes, why);
	memset(to + slot->bytes, 0, post->slot_bytes - slot->bytes);
	account(s, post, slot, why);
	udp_record_append(s, record);

	arrival->offset += whole;
	arrival->unread--;
	post->end = post->filled + slot->bytes;
	post->filled += post->slot_bytes;
	if (post->filled == post->bytes)
		udp_post_complete(s, 0);
}

/* --------------------------------------------------------------- one buffer */

/* As many datagrams as there are slots for. Returns: how many. */
static unsigned fill_slots(struct tow_udp *s, struct tow_buf *buf,
			   enum tow_copy why)
{
	struct udp_arrival *arrival = udp_arrival_of(buf);
	unsigned n = 0;

	while (arrival->unread > 0 && fits(s, buf)) {
		struct udp_record *record = udp_record_take(s);

		if (!record) { /* nobody takes what is there: lost */
			net_drop(s->host->net, TOW_DROP_UDP_FULL);
			arrival->offset += udp_next_bytes(buf);
			arrival->unread--;
			continue;
		}
		fill_slot(s, buf, record, why);
		n++;
	}
	return n;
}

static void land_all(struct tow_udp *s, struct tow_buf *buf, enum tow_copy why)
{
	s->host->net->stats.counters[TOW_COUNTER_UDP_IN] +=
		fill_slots(s, buf, why);
	if (udp_arrival_of(buf)->unread > 0)
		enqueue_rest(s, buf);
	else
		tow_buf_give(buf);
}

static enum tow_copy reason(const struct tow_buf *buf)
{
	if (!buf->place)
		return TOW_COPY_RX_UNPLACED;
	return buf->flags & TOW_BUF_FORESEEN ? TOW_COPY_RX_HOLE
					     : TOW_COPY_RX_MISSHAPED;
}

/*
 * A datagram or a train for a socket with posts, or one that a device put into
 * its posted buffer. Takes @buf.
 */
void udp_land(struct tow_udp *s, struct tow_buf *buf)
{
	udp_place_later(s);
	if (buf->place && !udp_place_check(s, buf) &&
	    !buf_evacuate(buf, udp_ledgers(s), TOW_COPY_RX_MISSHAPED)) {
		net_drop(s->host->net, TOW_DROP_NO_BUFFERS);
		tow_buf_give(buf);
		return;
	}
	if (!buf->place && s->landing.hint.link && fits(s, buf))
		udp_queue_append(&s->landing.strays, buf);
	else
		land_all(s, buf, reason(buf));
}

/* The device is out of the way. */
void udp_land_strays(struct tow_udp *s)
{
	struct tow_buf *buf;

	while ((buf = udp_queue_take(&s->landing.strays)))
		land_all(s, buf, TOW_COPY_RX_UNPLACED);
}

/* Before it was connected, a socket received from everybody. */
static bool is_from_peer(const struct tow_udp *s, struct tow_buf *buf)
{
	const struct udp_arrival *arrival = udp_arrival_of(buf);
	struct tow_endpoint from = {
		.addr = arrival->src,
		.port = arrival->src_port,
		.zone = udp_zone_of(buf),
	};

	return udp_same_endpoint(&from, &s->remote) &&
	       tow_addr_equal(&arrival->dst, &s->local.addr);
}

/* What the peer sent before there was a post for it, and nobody read. */
void udp_land_early(struct tow_udp *s)
{
	struct udp_queue queue = s->unread;
	struct tow_buf *buf;

	if (!queue.first)
		return;
	udp_place_withdraw(s);
	s->unread.first = NULL;
	while ((buf = udp_queue_take(&queue))) {
		if (udp_arrival_of(buf)->borrowed == 0 && is_from_peer(s, buf))
			(void)fill_slots(s, buf, TOW_COPY_RX_EARLY);
		if (udp_arrival_of(buf)->unread > 0) {
			udp_queue_append(&s->unread, buf);
			continue;
		}
		udp_give(s, buf);
	}
}
