/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Passing: received datagrams go out again, from another socket or the same,
 * from the buffers in which they arrived.
 *
 *	from->lent                                  to->tx
 *	+-----+   +-----+                           +-------+
 *	| buf |-->| buf |--> ...          udp_loan  | frame |-> ... device
 *	+-----+   +-----+                 passed    +-------+
 *	   ^-------------------------------+  ^---- lender
 *
 * A loan that no program lent: it holds a reference on the received buffer and
 * ends without an event, when no frame refers to it any more. The buffer counts
 * in the socket that received it until the last such loan has ended, so what
 * cannot leave is dropped where it arrives, and memory does not grow. A socket
 * that was closed lives on until its buffers are back.
 *
 * A train that a device merged goes out as a train: one frame, if the device
 * can cut it.
 */
#include "base/csum.h"
#include "udp/udp_private.h"

#define TRAIN_MAX 64 /* datagrams, as in udp_send.c */

/* Of a buffer that holds a train; else all of it. */
static uint32_t datagram_bytes(const struct tow_buf *buf)
{
	return buf->gso == TOW_GSO_UDP ? buf->gso_bytes : buf->bytes;
}

/*
 * Where the oldest datagram on loan begins. Of a train those on loan are the
 * last before the first unread one.
 */
static uint32_t oldest_offset(struct tow_buf *buf)
{
	const struct udp_arrival *arrival = udp_arrival_of(buf);
	uint32_t each = datagram_bytes(buf), taken;

	if (buf->gso != TOW_GSO_UDP)
		return 0;
	taken = (arrival->offset + each - 1) / each;
	return (taken - arrival->borrowed) * each;
}

/*
 * RFC 768: the sum of all was all ones; so the payload's is what is left. Of a
 * train it is not that of any datagram.
 */
static void find_sum(struct udp_received *received, uint32_t bytes)
{
	struct tow_buf *buf = received->buf;
	const struct udp_arrival *arrival = udp_arrival_of(buf);
	const uint8_t *header = (const uint8_t *)buf->spans[0].ptr - UDP_BYTES;
	uint32_t sum;

	if (!arrival->summed || udp_datagrams(buf) > 1 || bytes != buf->bytes)
		return;
	sum = csum_pseudo(&arrival->src, &arrival->dst, NET_UDP,
			  UDP_BYTES + bytes);
	received->sum = csum_finish(csum_bytes(sum, header, UDP_BYTES));
	received->sum_known = true;
}

/* How many of the buffer's datagrams can go as one message. */
static unsigned count_together(struct tow_buf *buf, unsigned most)
{
	uint32_t each = datagram_bytes(buf);

	if (each == 0)
		return 1;
	most = MIN(most, udp_arrival_of(buf)->borrowed);
	most = MIN(most, UDP_PAYLOAD_MAX / each);
	return MAX(1, MIN(most, TRAIN_MAX));
}

static int pass_from(struct tow_udp *to, struct tow_udp *from,
		     const struct tow_udp_message *where, struct tow_buf *buf,
		     unsigned datagrams)
{
	struct udp_received received = {
		.buf = buf,
		.from = from,
		.must_copy = udp_is_moved(from, buf),
	};
	uint32_t offset = oldest_offset(buf), each = datagram_bytes(buf);
	uint32_t bytes = MIN(datagrams * each, buf->bytes - offset);
	struct tow_span spans[TOW_BUF_SPANS];
	struct tow_udp_message message = {
		.peer = where->peer,
		.local = where->local,
		.with = where->with,
		.ttl = where->ttl,
		.tos = where->tos,
		.link = where->link,
		.spans = spans,
		.span_count =
			udp_spans(buf, offset, bytes, spans, TOW_BUF_SPANS),
		.segment_bytes = datagrams > 1 ? (uint16_t)each : 0,
	};
	int error;

	find_sum(&received, bytes);
	error = udp_send_received(to, &message, &received);
	if (error)
		return error;
	udp_let_go(from, buf, datagrams);
	return (int)datagrams;
}

int tow_udp_pass(struct tow_udp *to, struct tow_udp *from,
		 const struct tow_udp_message *where, unsigned datagrams)
{
	struct tow_buf *buf = udp_oldest_borrowed(from);
	int r = to->error;

	ASSERT(to->open && !to->closed);
	ASSERT(datagrams > 0 && datagrams <= from->borrowed);
	to->error = 0;
	if (r)
		return r;
	if (to->host != from->host)
		return TOW_EINVAL;
	if (udp_arrival_of(buf)->mixed)
		return TOW_EBUSY;
	r = pass_from(to, from, where, buf, count_together(buf, datagrams));
	if (r == TOW_EAGAIN)
		udp_wait_for_room(to);
	return r;
}

/* No frame refers to the payload any more: the reverse of hold_received(). */
void udp_pass_done(struct udp_loan *loan)
{
	struct tow_udp *to = loan->socket, *from = loan->from;
	struct udp_private *private = to->host->private;

	udp_unref(from, loan->passed);
	from->passed--;
	to->loans--;
	loan->next = private->loan_free;
	private->loan_free = loan;
	private->loans_out--;
	udp_free_if_done(to);
	if (from != to)
		udp_free_if_done(from);
}
