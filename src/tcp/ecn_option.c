/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The option of AccECN: how many bytes came with which mark. RFC 9768 3.2.3.
 *
 *	kind 172, order 0 | EE0B | ECEB | EE1B |    24 bits each, big-endian;
 *	kind 174, order 1 | EE1B | ECEB | EE0B |    the last may be left out
 *
 * The three flags of the header count marked packets modulo eight, and may go
 * round unseen where ACKs are lost or thinned out. The option counts payload by
 * what the IP header said of it, ECT(0), ECT(1) or CE, and does not.
 *
 * As a receiver we put it on each segment that goes out after a counter moved,
 * with each counter that ever moved, in the order that is shorter (3.2.3.3).
 * Two SACK blocks go before it, it goes before a third; what does not fit is
 * left out from the end, but never a counter that moved since it was told last.
 * The first segments of a connection have it in any case, to see whether the
 * path lets it pass (3.2.3.2): a SYN-ACK or data that seems to be lost for it is
 * sent again without, and where that happens again, no more options are sent.
 *
 * As a sender we take what came with an ACK that says something new, whatever
 * the length of the option is. An option that begins with a counter of zero was
 * cleared on its way, and none is believed from then on (3.2.3.2.4).
 *
 * The counters are a record, taken when both ends have agreed, and kept until
 * the connection is over and its program has closed it; without one a
 * connection does with the flags, as it does where the path drops options.
 */
#include "tcp/tcp_private.h"

#define FIELD_MASK 0xffffffu /* 24 bits */
#define LOST_MAX   2	     /* data with an option, in a row */

#define BIT(counter) (1u << (counter))

/* Which counter the fields of an option are, by order. */
static const uint8_t orders[2][ECN_COUNTERS] = {
	{ ECN_E0B, ECN_CEB, ECN_E1B },
	{ ECN_E1B, ECN_CEB, ECN_E0B },
};

/* ---------------------------------------------------------------- the record
 */

static struct ecn_bytes *record_of(const struct tow_tcp *t)
{
	return t->ecn.record ? &t->host->ecn_bytes[t->ecn.record - 1] : NULL;
}

static struct ecn_bytes *take(struct tcp_host *host)
{
	struct ecn_bytes *r = host->ecn_bytes_free;

	if (r)
		host->ecn_bytes_free = r->next_free;
	else if (host->ecn_bytes_used < host->cfg.accecn)
		r = &host->ecn_bytes[host->ecn_bytes_used++];
	else
		net_count(host->net, TOW_COUNTER_NO_ACCECN);
	return r;
}

static void check_first(struct ecn_bytes *r, const struct wire_tcp *seg);

/*
 * Both ends agreed, and @seg is the SYN-ACK or the ACK of ours. 3.2.1: counters
 * that may be cleared on the way do not begin at zero.
 */
void ecn_option_begin(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct ecn_bytes *r = take(t->host);

	if (!r)
		return;
	*r = (struct ecn_bytes){ .in = ECN_BYTES_FIRST,
				 .out = ECN_BYTES_FIRST };
	r->opens = !t->passive;
	/* 3.2.3.2.2: a SYN-ACK had to go without it */
	r->silent = t->passive && t->recovery.backoffs > 0;
	t->ecn.record = (uint16_t)(r - t->host->ecn_bytes + 1);
	check_first(r, seg);
}

void ecn_option_end(struct tow_tcp *t)
{
	struct ecn_bytes *r = record_of(t);

	if (!r)
		return;
	t->ecn.record = 0;
	r->next_free = t->host->ecn_bytes_free;
	t->host->ecn_bytes_free = r;
}

/*
 * TIME-WAIT or CLOSED: nothing is left to be counted. Until it closes the
 * program may ask what was.
 */
void ecn_option_over(struct tow_tcp *t)
{
	if (t->app_closed)
		ecn_option_end(t);
}

/* ------------------------------------------------------------ as a receiver */

/* Payload of an acceptable segment, not of a SYN: 3.2. */
void ecn_option_count(struct tow_tcp *t, uint8_t ip_ecn, uint32_t bytes)
{
	static const uint8_t counters[] = { 0, ECN_E1B, ECN_E0B, ECN_CEB };
	struct ecn_bytes *r = record_of(t);

	if (!r || ip_ecn == 0 || bytes == 0)
		return;
	r->in[counters[ip_ecn]] += bytes;
	r->moved |= BIT(counters[ip_ecn]);
	r->untold |= BIT(counters[ip_ecn]);
}

/* How many fields of that order have all counters of @set. */
static unsigned fields_for(unsigned order, unsigned set)
{
	unsigned n = ECN_COUNTERS;

	while (n > 0 && !(set & BIT(orders[order][n - 1])))
		n--;
	return n;
}

struct choice {
	unsigned order, fields, bytes;
};

/* The shorter order for these counters; 0 if there is a choice. */
static struct choice choose(unsigned set)
{
	struct choice c = { .fields = fields_for(0, set) };

	if (fields_for(1, set) < c.fields)
		c = (struct choice){ 1, fields_for(1, set), 0 };
	c.bytes = wire_tcp_ecn_bytes(c.fields);
	return c;
}

/*
 * What goes with the next segment, if options have that much room: all that
 * ever moved, or at least what is not told. Of order 0 the opening shows that
 * it is not zero.
 *
 * Returns: false for none.
 */
static bool plan(const struct ecn_bytes *r, uint32_t room, struct choice *out)
{
	if (!r || r->silent || (!r->untold && !r->opens))
		return false;
	*out = choose(r->moved ? r->moved : BIT(ECN_E0B));
	if (out->bytes > room)
		*out = choose(r->untold);
	return out->bytes <= room;
}

uint32_t ecn_option_bytes(const struct tow_tcp *t, uint32_t room)
{
	struct choice c;

	return plan(record_of(t), room, &c) ? c.bytes : 0;
}

/* Into a header that has so much room left for it. */
void ecn_option_fill(struct tow_tcp *t, struct wire_tcp *h, uint32_t room)
{
	struct ecn_bytes *r = record_of(t);
	struct choice c;

	if (!plan(r, room, &c))
		return;
	h->ecn_option = c.order ? WIRE_ECN_1 : WIRE_ECN_0;
	h->ecn_fields = (uint8_t)c.fields;
	for (unsigned i = 0; i < c.fields; i++)
		h->ecn_bytes[i] = r->in[orders[c.order][i]] & FIELD_MASK;
	r->untold = 0;
}

/*
 * 3.2.3.2.1: a SYN-ACK has the option, with what the counters begin with, as
 * far as other options leave room for it.
 */
void ecn_option_offer(struct wire_tcp *h)
{
	uint32_t room =
		TCP_HEADER_BYTES + TCP_OPTION_BYTES_MAX - wire_tcp_length(h);
	unsigned fields = ECN_COUNTERS;

	while (fields > 0 && wire_tcp_ecn_bytes(fields) > room)
		fields--;
	if (wire_tcp_ecn_bytes(fields) > room)
		return;
	h->ecn_option = WIRE_ECN_0;
	h->ecn_fields = (uint8_t)fields;
	memcpy(h->ecn_bytes, (uint32_t[])ECN_BYTES_FIRST, sizeof(h->ecn_bytes));
}

/* ------------------------------------------------- does it pass? 3.2.3.2.2 */

/* New data goes out, so much in a packet. Of what had an option, one is kept in mind. */
void ecn_option_sent(struct tow_tcp *t, const struct sent *s,
		     uint32_t packet_bytes, bool with)
{
	struct ecn_bytes *r = record_of(t);

	if (!r)
		return;
	r->opens = false;
	r->largest = (uint16_t)MAX(r->largest, packet_bytes);
	if (!with || r->carries)
		return;
	r->carries = true;
	r->carrier = s->seq;
}

void ecn_option_resent(struct tow_tcp *t, const struct sent *s)
{
	struct ecn_bytes *r = record_of(t);

	if (!r || !r->carries || !seq_eq(s->seq, r->carrier))
		return;
	r->carries = false;
	r->lost++;
	r->silent |= r->lost >= LOST_MAX;
}

/* The peer sent its SYN-ACK again: our ACK did not arrive, for its option? */
void ecn_option_ack_lost(struct tow_tcp *t)
{
	struct ecn_bytes *r = record_of(t);

	if (r)
		r->silent = true;
}

static void note_acked(struct ecn_bytes *r, struct seq ack)
{
	if (!r->carries || !seq_after(ack, r->carrier))
		return;
	r->carries = false;
	r->lost = 0;
}

/* -------------------------------------------------------------- as a sender */

static unsigned order_of(const struct wire_tcp *seg)
{
	return seg->ecn_option == WIRE_ECN_1;
}

/* 3.2.3.2.4: is one of the counters that began at 1 a 0? */
static void check_first(struct ecn_bytes *r, const struct wire_tcp *seg)
{
	for (unsigned i = 0; i < seg->ecn_fields; i++) {
		r->ignores |= seg->ecn_bytes[i] == 0 &&
			      orders[order_of(seg)][i] != ECN_CEB;
	}
	r->heard |= seg->ecn_fields > 0;
}

/*
 * 3.2.3.1: an acknowledgement that was not superseded. Each counter moves by
 * the least that it may have.
 *
 * Returns: whether the count of marked bytes is up to date: it is with each
 * option, since what one leaves out has not moved.
 */
bool ecn_option_read(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct ecn_bytes *r = record_of(t);

	if (!r)
		return false;
	note_acked(r, seq_of(seg->acknowledgement));
	if (!r->heard)
		check_first(r, seg);
	if (r->ignores)
		return false;
	for (unsigned i = 0; i < seg->ecn_fields; i++) {
		uint64_t *out = &r->out[orders[order_of(seg)][i]];

		*out += (seg->ecn_bytes[i] - *out) & FIELD_MASK;
	}
	return seg->ecn_option != WIRE_ECN_NONE;
}

/* At least so many packets were marked: as bytes, they are that many. */
uint64_t ecn_option_marks(const struct tow_tcp *t)
{
	const struct ecn_bytes *r = record_of(t);
	uint32_t largest = MAX(r->largest, 1);

	return (r->out[ECN_CEB] + largest - 1) / largest;
}

/* --------------------------------------------------------------------- info */

void ecn_option_tell(const struct tow_tcp *t, struct tow_tcp_info *out)
{
	const struct ecn_bytes *r = record_of(t);

	if (!r)
		return;
	out->ect0_bytes_in = r->in[ECN_E0B] - 1;
	out->ect1_bytes_in = r->in[ECN_E1B] - 1;
	out->ce_bytes_in = r->in[ECN_CEB];
	out->ecn_option = r->heard && !r->ignores;
	if (!out->ecn_option)
		return;
	out->ect0_bytes_out = r->out[ECN_E0B] - 1;
	out->ect1_bytes_out = r->out[ECN_E1B] - 1;
	out->ce_bytes_out = r->out[ECN_CEB];
}
