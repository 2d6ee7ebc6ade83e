/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packetization layer path MTU discovery: RFC 4821, RFC 8899.
 *
 * What ICMP says of a path may be forged, or never come. So the size of the
 * packets is also found by what arrives: a probe is a segment of new data in
 * one packet larger than the others. When it is acknowledged, all may be as
 * large; when it alone is lost, its size is the upper bound from then on, its
 * data goes again in pieces, and the loss is no congestion (RFC 4821 7.6.2);
 * so the next one has to wait.
 *
 *	            a larger size may work: ask by probes
 *	          +---------------------------------------+
 *	          v                                       |
 *	SETTLED ----> (packet too big,       WAITING --- 600 s ---> SEARCHING
 *	               black hole)  ------->    ^                       |
 *	                                        +--- bounds have met ---+
 *
 * A black hole is a path that swallows large packets without a word: three
 * timeouts in a row for a segment that is larger than the base. Then the base
 * is used, and from there the search goes up again (RFC 4821 7.7); and if that
 * times out as well, or what did was no larger, the floor. A connection whose
 * packets all get through is SETTLED, and costs one branch for each segment.
 *
 * Sizes are IP bytes. t->snd.mtu is what is used: no packet but a probe is
 * larger. t->mtu.high bounds the search; no packet above it is tried.
 */
#include "tcp/tcp_private.h"

#define MTU_BASE_V4   1064 /* RFC 4821 7.2: 1024 and headers; as Linux */
#define MTU_BASE_V6   1280 /* RFC 8200 5 */
#define MTU_FLOOR_V4  552  /* RFC 5927 7.2 and common practice */
#define MTU_FLOOR_V6  1280
#define CLOSE_ENOUGH  8	  /* bytes; less is not worth a probe; as Linux */
#define RAISE_S	      600 /* RFC 8201 4, RFC 8899 5.1.1 PMTU_RAISE_TIMER */
#define BLACK_HOLE    2	  /* timeouts before this one; as Linux */
#define SEGMENTS_LESS 11  /* a window of fewer is not risked; as Linux */
#define TIMED_OUT     5	  /* times as patient: RFC 4821 7.6.3 */

uint32_t mtu_floor(const struct tow_tcp *t)
{
	return tow_addr_is_v4(&t->path.dst) ? MTU_FLOOR_V4 : MTU_FLOOR_V6;
}

static uint32_t base(const struct tow_tcp *t)
{
	return tow_addr_is_v4(&t->path.dst) ? MTU_BASE_V4 : MTU_BASE_V6;
}

/* The most that makes sense at all: our link's, and what the peer takes. */
static uint32_t ceiling(const struct tow_tcp *t)
{
	uint32_t mss = t->snd.mss_peer;

	if (t->set.mss_max)
		mss = MIN(mss, t->set.mss_max);
	return MIN(MIN(t->path.mtu, mss + tcp_headers_bytes(t)), UINT16_MAX);
}

/* Payload of a packet of that size. */
uint32_t mtu_payload(const struct tow_tcp *t, uint32_t mtu)
{
	uint32_t headers = tcp_headers_bytes(t) + tcp_option_bytes(t);

	return mtu > headers ? mtu - headers : 0;
}

/* How large a packet with that payload is. */
static uint32_t packet_of(const struct tow_tcp *t, uint32_t bytes)
{
	return bytes + (t->snd.mtu - mtu_payload(t, t->snd.mtu));
}

static void use(struct tow_tcp *t, uint32_t mtu)
{
	t->snd.mtu = mtu;
	tcp_choose_mss(t);
}

static void wait_before_raising(struct tow_tcp *t)
{
	t->mtu.state = MTU_WAITING;
	t->mtu.raise_s = tcp_now_s(t) + RAISE_S;
}

static void search(struct tow_tcp *t, uint32_t high)
{
	t->mtu.high = (uint16_t)high;
	t->mtu.state = MTU_SEARCHING;
	t->mtu.raise_s = tcp_now_s(t);
}

/* The handshake is complete: with TOW_TCP_MTU_PROBE 2, begin at the base. */
void mtu_begin(struct tow_tcp *t)
{
	uint32_t most = ceiling(t);

	if (t->set.mtu_probe && t->snd.mtu < most)
		wait_before_raising(t); /* others learned that before */
	if (t->set.mtu_probe < 2 || most <= base(t))
		return;
	use(t, base(t));
	search(t, most);
}

/* The path takes no larger packets than @mtu, by whoever may know. */
void mtu_lower(struct tow_tcp *t, uint32_t mtu)
{
	uint32_t mss = t->snd.mss;

	use(t, mtu);
	if (t->snd.mss < mss)
		congestion_on_smaller_mss(t, mss);
	t->mtu.high = (uint16_t)mtu;
	t->mtu.probe = 0;
	if (t->set.mtu_probe)
		wait_before_raising(t);
	/* What is out did not get through, but that was no congestion. */
	flight_all_lost(t, true);
	tcp_want_output(t);
}

/*
 * An ICMP error said so, and is believed: others may know it too. Below the
 * floor packets become no smaller, but the network layer leaves DF off.
 */
void mtu_believe(struct tow_tcp *t, uint32_t told)
{
	uint32_t mtu = MAX(told, mtu_floor(t));

	if (net_path_shrunk(tcp_net(t), &t->path.dst, told) || mtu < t->snd.mtu)
		mtu_lower(t, MIN(mtu, t->snd.mtu));
}

/* ----------------------------------------------------------------- probing */

static bool is_quiet(const struct tow_tcp *t)
{
	return t->mtu.probe == 0 && t->recovery.state == RECOVERY_NONE &&
	       t->flight.sacked_bytes == 0 && t->flight.lost_bytes == 0 &&
	       report_bytes(t, tcp_option_room(t)) == 0 &&
	       t->cc.cwnd >= SEGMENTS_LESS * (uint32_t)t->snd.mss;
}

static bool is_searching(struct tow_tcp *t)
{
	if (t->mtu.state == MTU_SETTLED || tcp_now_s(t) < t->mtu.raise_s)
		return false;
	if (t->mtu.state == MTU_WAITING)
		search(t, ceiling(t));
	if (t->mtu.high >= t->snd.mtu + CLOSE_ENOUGH)
		return true;
	wait_before_raising(t);
	return false;
}

/*
 * The payload of a probe that should go out now, 0 for none. Enough has to
 * follow it that its loss is noticed without a timeout (RFC 4821 7.4).
 *
 * @queued, @window, @cwnd: bytes that wait, and that may be sent by each
 */
uint32_t mtu_probe_bytes(struct tow_tcp *t, uint64_t queued, uint32_t window,
			 uint32_t cwnd)
{
	uint32_t bytes, all;

	if (!is_searching(t) || !is_quiet(t))
		return 0;
	bytes = mtu_payload(t, (t->snd.mtu + t->mtu.high) / 2);
	all = bytes + (TCP_DUP_THRESHOLD + 1) * (uint32_t)t->snd.mss;
	return queued >= all && window >= all && cwnd >= bytes ? bytes : 0;
}

/* A segment of that much payload went out in one packet. */
void mtu_probe_sent(struct tow_tcp *t, const struct sent *s)
{
	if (s->bytes <= t->snd.mss)
		return; /* the device could not gather more */
	t->mtu.probe = (uint16_t)packet_of(t, s->bytes);
	t->mtu.probe_seq = s->seq;
	t->mtu.probe_end = sent_end(s);
	tcp_count(t, TOW_COUNTER_TCP_MTU_PROBES);
}

/*
 * A probe that is lost alone reduces no window, so it must not happen more
 * often than other losses do: the next one has to wait for as many round trips
 * as there are packets in the @window (RFC 4821 4, 7.6.2).
 */
static void fail(struct tow_tcp *t, uint32_t high, uint64_t window)
{
	uint64_t rounds = window / t->snd.mss;
	uint64_t next_us = tcp_now(t) + rounds * t->rtt.srtt_us;

	t->mtu.high = (uint16_t)MAX(high, t->snd.mtu);
	t->mtu.probe = 0;
	t->mtu.raise_s = (uint32_t)(next_us / 1000000) + 1;
}

/*
 * RFC 4821 7.6.4: a record goes again, in smaller packets. If the probe's data
 * is in it, its ACK proves nothing about the probe's size any more; nor did its
 * loss, or mtu_probe_lost() would have said so before.
 */
void mtu_probe_resent(struct tow_tcp *t, const struct sent *s)
{
	if (t->mtu.probe && seq_before(s->seq, t->mtu.probe_end) &&
	    seq_after(sent_end(s), t->mtu.probe_seq))
		t->mtu.probe = 0;
}

/* SND.UNA moved while a probe was out. */
void mtu_on_ack(struct tow_tcp *t)
{
	if (!t->mtu.probe || seq_before(t->snd.una, t->mtu.probe_end))
		return;
	use(t, t->mtu.probe);
	t->mtu.probe = 0;
	tcp_count(t, TOW_COUNTER_TCP_MTU_RAISED);
}

/* RFC 4821 7.6.4: then nobody knows what the reason was. */
static bool others_are_lost(const struct tow_tcp *t, const struct sent *s)
{
	return t->flight.lost_bytes > (s->flags & SENT_LOST ? s->bytes : 0);
}

/*
 * Loss was found. If it is the probe's alone, that says nothing about
 * congestion: only its data is sent again, in pieces (RFC 4821 7.6.2).
 *
 * Returns: true if it was that.
 */
bool mtu_probe_lost(struct tow_tcp *t)
{
	struct sent *s = flight_first(t);

	if (!t->mtu.probe || !s || !seq_eq(s->seq, t->mtu.probe_seq) ||
	    others_are_lost(t, s))
		return false;
	fail(t, t->mtu.probe - 1u, t->cc.cwnd);
	flight_mark(t, s, SENT_LOST, SENT_RETRANS);
	t->recovery.state = RECOVERY_LOSS; /* of data, not of the window */
	t->recovery.point = t->snd.nxt;
	t->recovery.dup_acks = 0;
	return true;
}

/*
 * An ICMP error says that the packet at @seq was too big.
 *
 * Returns: true if that was the probe; there is nothing more to do.
 */
bool mtu_probe_refused(struct tow_tcp *t, struct seq seq, uint32_t mtu)
{
	struct sent *s = flight_at(t, seq);

	if (!t->mtu.probe || !seq_eq(seq, t->mtu.probe_seq) ||
	    mtu < t->snd.mtu || mtu >= t->mtu.probe)
		return false;
	if (s->flags & SENT_SACKED)
		return true; /* a lie: the peer has it */
	fail(t, mtu, t->cc.cwnd);
	flight_mark(t, s, SENT_LOST, SENT_RETRANS);
	tcp_want_output(t);
	return true;
}

/* ------------------------------------------------------------- black holes */

/* Is what times out so large that its size may be the reason? */
static bool may_be_too_large(const struct tow_tcp *t, uint32_t mtu)
{
	const struct sent *s = flight_first(t);
	uint32_t bytes = mtu_payload(t, mtu);

	return s && t->snd.mss > bytes && s->bytes > bytes;
}

/* What to try instead: the base, then the floor; 0: size is not the reason. */
static uint32_t next_lower(const struct tow_tcp *t)
{
	if (may_be_too_large(t, base(t)))
		return base(t);
	return may_be_too_large(t, mtu_floor(t)) ? mtu_floor(t) : 0;
}

/* The retransmission timer expired, again. */
void mtu_on_timeout(struct tow_tcp *t)
{
	uint32_t before = packet_of(t, t->snd.mss), to = t->mtu.claimed;

	if (t->mtu.probe)
		fail(t, t->mtu.probe - 1u,
		     (uint64_t)TIMED_OUT * t->cc.ssthresh);
	if (to) { /* RFC 5927 7.2: so it is true */
		t->mtu.claimed = 0;
		if (to < before)
			mtu_believe(t, to);
		return;
	}
	if (!t->set.mtu_probe || t->recovery.backoffs < BLACK_HOLE)
		return;
	to = next_lower(t);
	if (!to)
		return;
	tcp_count(t, TOW_COUNTER_TCP_BLACK_HOLES);
	mtu_lower(t, to);
	search(t, before);
}
