/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending: which segment is next, and building it.
 *
 * tcp_output() sends, in this order, what was lost, what is new, and an ACK if
 * one is owed and nothing carried it. Each segment is a buffer with the headers
 * in its room and payload spans that point into loans; it may be a large one
 * that the device cuts into packets. Sending again is the same as sending:
 * the record of the segment says which bytes of which loan.
 *
 *	tcp_output
 *	  resend_lost      while pipe < cwnd: recovery_next_lost()
 *	  send_new         while the windows allow: as large as they allow
 *	  send ACK         if still owed
 *	  start_probing    if all that stops us is a closed window
 *
 * A connection waits in host->output while it may have something to send, and
 * stays there when the device's queue was full.
 */
#include "tcp/tcp_private.h"
#include "base/csum.h"

#define SEGMENTS_PER_POLL 32 /* of one connection, to be fair to the others */
#define IP_BYTES_MAX	  65535u
#define HEADERS_MAX	  120u /* IPv6 and TCP with all options */
#define SACK_BYTES_FIRST  20u  /* two blocks go before other options */

/* RFC 7323 5.4: one tick a millisecond. */
uint32_t tcp_timestamp(const struct tow_tcp *t)
{
	return (uint32_t)(tcp_now(t) / 1000) + t->ts.offset;
}

void tcp_want_output(struct tow_tcp *t)
{
	if (list_empty(&t->output))
		list_append(&t->host->output, &t->output);
}

/* Payload goes out; what is 49 days idle may seem to have sent just now. */
static void note_data(struct tow_tcp *t)
{
	t->flight.data_ms = MAX((uint32_t)(tcp_now(t) / 1000), 1);
}

/* ------------------------------------------------------- building segments */

/* An ACK goes out that the peer will look at: nothing is owed any more. */
static void note_acked(struct tow_tcp *t)
{
	t->ack_now = false;
	t->ecn.ack_of_acks = false;
	if (t->unacked_bytes && t->rcv.quick_acks)
		t->rcv.quick_acks--;
	t->unacked_bytes = 0;
	t->ts.last_ack = t->rcv.nxt;
	timer_clear(t, TIMER_DELACK);
}

#define UNHEARD 2 /* of 0..3, which follow each other */

/*
 * Where a segment without payload stands: at SND.NXT, but not beyond a window
 * that closed behind what was sent; the peer would not look at its ACK there.
 * Unless it has all that was sent, and it was somebody on the way who told a
 * smaller window: then it would not look at one before SND.NXT. If the peer
 * goes on with what is old, it hears neither, so both are tried.
 */
static struct seq bare_sequence(const struct tow_tcp *t)
{
	struct seq edge = seq_add(t->snd.una, t->snd.wnd);

	if (!tcp_synchronized(t) || t->unheard >= UNHEARD)
		return t->snd.nxt;
	return seq_min(t->snd.nxt, seq_max(edge, t->snd.una));
}

/* What is left of the header for the options that only some segments have. */
uint32_t tcp_option_room(const struct tow_tcp *t)
{
	return TCP_OPTION_BYTES_MAX - tcp_option_bytes(t);
}

/*
 * The AccECN option has what two SACK blocks leave of @room, and they what it
 * leaves: RFC 9768 3.2.3.3.
 */
static uint32_t ecn_room(const struct tow_tcp *t, uint32_t room)
{
	uint32_t sack = report_bytes(t, room);

	return room - MIN(sack, SACK_BYTES_FIRST);
}

/*
 * The header of a segment of a synchronized connection.
 *
 * @counts: with an AccECN option, if it is time for one
 */
static struct wire_tcp header(struct tow_tcp *t, uint8_t flags, bool counts)
{
	uint32_t room = tcp_option_room(t);
	struct wire_tcp h = {
		.source_port = t->local_port,
		.destination_port = t->remote_port,
		.sequence = bare_sequence(t).n,
		.acknowledgement = t->rcv.nxt.n,
		.flags = flags,
		.window = receive_advertise(t, false),
	};

	if (UNLIKELY(t->auth))
		auth_prepare(t, &h);
	if (t->timestamps) {
		h.has_timestamps = true;
		h.ts_value = tcp_timestamp(t);
		h.ts_echo = t->ts.recent;
	}
	if (!(flags & TH_RST)) {
		if (t->ecn.record && counts)
			ecn_option_fill(t, &h, ecn_room(t, room));
		if (h.ecn_option)
			room -= wire_tcp_ecn_bytes(h.ecn_fields);
		report_fill(t, &h, room);
		if (t->user_timeout_due)
			user_timeout_tell(t, &h);
	}
	return h;
}

/* Options that a segment may have take their room from its payload. */
static uint32_t payload_per_packet(const struct tow_tcp *t, bool counts)
{
	uint32_t room = tcp_option_room(t), extra = 0;

	if (t->ecn.record && counts)
		extra = ecn_option_bytes(t, ecn_room(t, room));
	extra += report_bytes(t, room - extra) + (t->user_timeout_due ? 4 : 0);
	return t->snd.mss > extra ? t->snd.mss - extra : 1;
}

static uint32_t partial_sum(const struct net_path *path, uint32_t bytes)
{
	return csum_fold(csum_pseudo(&path->src, &path->dst, NET_TCP, bytes));
}

/* In software: one pass over the payload, remembered with its record. */
static uint32_t payload_sum(struct tow_tcp *t, const struct tow_buf *buf,
			    uint32_t header_bytes, struct sent *s)
{
	uint64_t touched = 0;
	uint16_t known;
	uint32_t sum;

	if (s && s->flags & SENT_CSUM)
		return s->csum;
	if (send_queue_sum(buf, &known))
		return known;
	sum = csum_fold(buf_csum(buf, header_bytes, &touched));
	TCP_ENTER(t, tx_touched_bytes, touched);
	if (s && touched) {
		s->csum = (uint16_t)sum;
		s->flags |= SENT_CSUM;
	}
	return sum;
}

static void put_csum(uint8_t *header, uint16_t value)
{
	memcpy(header + TCP_CSUM_OFFSET, &value, sizeof(value));
}

static void fill_checksum(struct tow_tcp *t, struct tow_buf *buf,
			  uint8_t *header, uint32_t header_bytes,
			  struct sent *s)
{
	uint32_t sum = partial_sum(&t->path, buf->bytes);

	if (net_path_caps(&t->path) & TOW_DEV_TX_CSUM) {
		buf->flags |= TOW_BUF_CSUM_PARTIAL;
		buf->csum_offset = TCP_CSUM_OFFSET;
		put_csum(header, (uint16_t)sum);
		return;
	}
	sum = csum_add(sum, payload_sum(t, buf, header_bytes, s));
	sum = csum_bytes(sum, header, header_bytes);
	put_csum(header, csum_finish(sum));
}

/* Payload that goes out for the first time, and not to probe a window. */
static bool is_fresh(const struct tow_tcp *t, const struct tow_buf *buf,
		     const struct sent *s)
{
	return s && buf->bytes && !(s->flags & SENT_EVER_RETRANS) &&
	       !seq_after(sent_end(s), seq_add(t->snd.una, t->snd.wnd));
}

/* Header in front of what @buf has, and off it goes. Takes the buffer. */
static void transmit(struct tow_tcp *t, struct tow_buf *buf, struct wire_tcp *h,
		     struct sent *s)
{
	uint32_t bytes = wire_tcp_length(h);
	bool bare = buf->bytes == 0 && !(h->flags & TH_FIN);
	uint8_t *at;

	ecn_mark(t, h, bare, is_fresh(t, buf, s));
	at = buf_push(buf, bytes);
	wire_tcp_build(h, at);
	if (UNLIKELY(t->auth) && !auth_sign(t, buf, at, h)) {
		tow_buf_give(buf); /* as if it were lost on its way */
		return;
	}
	fill_checksum(t, buf, at, bytes, s);
	tcp_count(t, TOW_COUNTER_TCP_SEGS_OUT);
	net_send(tcp_net(t), &t->path, buf, NET_TCP);
}

/* Another device may do less, or take smaller packets, than the last one. */
static void notice_new_link(struct tow_tcp *t)
{
	struct net_link *before = t->path.link;

	if (net_path_refresh(tcp_net(t), &t->path) < 0 ||
	    t->path.link == before)
		return;
	t->snd.mtu = MIN(t->snd.mtu, t->path.mtu);
	tcp_choose_mss(t);
}

/*
 * A buffer for a segment. What it may be depends on where it goes, so that is
 * looked up first: net_send() would find out when the segment is made.
 */
static struct tow_buf *take_buf(struct tow_tcp *t)
{
	struct tow_buf *buf = tow_buf_take(&tcp_net(t)->tx_pool);

	notice_new_link(t);
	if (!buf)
		tcp_count(t, TOW_COUNTER_NO_TX_BUFFERS);
	return buf;
}

static void mark_large(struct tow_tcp *t, struct tow_buf *buf,
		       uint32_t per_packet)
{
	if (buf->bytes <= per_packet)
		return;
	buf->gso = tow_addr_is_v4(&t->path.dst) ? TOW_GSO_TCP4 : TOW_GSO_TCP6;
	buf->gso_bytes = (uint16_t)per_packet;
}

/* ---------------------------------------------------------------- controls */

/* A segment without payload: ACK, RST. Returns: false for want of a buffer. */
bool tcp_send_control(struct tow_tcp *t, uint8_t flags)
{
	struct tow_buf *buf = take_buf(t);
	bool acks_acks = ecn_acks_acks(t);
	struct wire_tcp h;

	if (!buf)
		return false;
	if (flags & TH_RST)
		tcp_count(t, TOW_COUNTER_TCP_RST_OUT);
	h = header(t, flags, true);
	if (!(flags & TH_RST))
		note_acked(t);
	if (acks_acks)
		h.sack_count = 0;
	transmit(t, buf, &h, NULL);
	return true;
}

/* RFC 9293 3.8.4: a number that was acknowledged already asks for an ACK. */
void tcp_send_keepalive(struct tow_tcp *t)
{
	struct tow_buf *buf = take_buf(t);
	struct wire_tcp h;

	if (!buf)
		return;
	h = header(t, TH_ACK, true);
	h.sequence = t->snd.nxt.n - 1;
	transmit(t, buf, &h, NULL);
}

/*
 * RFC 5961 7: at most so many challenge ACKs a second. The count belongs to
 * the connection alone, so nobody learns from it about another one.
 */
void tcp_send_challenge(struct tow_tcp *t)
{
	uint32_t now_ms = (uint32_t)(tcp_now(t) / 1000);

	if (now_ms - t->challenge_ms >= 1000) {
		t->challenge_ms = now_ms;
		t->challenges = 0;
	}
	if (t->challenges >= TCP_CHALLENGES_PER_S)
		return;
	t->challenges++;
	tcp_count(t, TOW_COUNTER_TCP_CHALLENGE_ACKS);
	t->ack_now = true;
	tcp_want_output(t);
}

/*
 * The header of our SYN or SYN-ACK. What is not answered may be what a middlebox
 * drops for an option that it does not know: again it goes without those.
 */
static struct wire_tcp syn_header(struct tow_tcp *t, bool answers, bool again)
{
	struct wire_tcp h = {
		.source_port = t->local_port,
		.destination_port = t->remote_port,
		.sequence = t->snd.iss.n,
		.acknowledgement = answers ? t->rcv.nxt.n : 0,
		.flags = TH_SYN | (answers ? TH_ACK : 0),
		.has_mss = true,
		.mss = t->rcv.mss,
		.sack_permitted = !answers || t->sack,
		.has_timestamps = !answers || t->timestamps,
		.has_window_scale = !answers || t->scaling,
		.window_scale = t->rcv.scale,
		.window = receive_advertise(t, true),
	};

	if (UNLIKELY(t->auth)) {
		auth_prepare(t, &h);
		h.has_timestamps &=
			!auth_forgoes_timestamps(t, true) || answers;
	}
	if (!again)
		user_timeout_tell(t, &h);
	ecn_offer(t, &h, answers, again);
	if (h.has_timestamps) {
		h.ts_value = tcp_timestamp(t);
		h.ts_echo = answers ? t->ts.recent : 0;
	}
	if (answers)
		note_acked(t);
	return h;
}

/*
 * RFC 7413 4.1.3: what is queued goes with the SYN, as far as it may. It is a
 * record of its own, that is sent again alone.
 */
static void attach_early(struct tow_tcp *t, struct tow_buf *buf, uint32_t most)
{
	uint64_t queued = send_queue_record(t, t->send.cursor, t->send.next);
	uint32_t bytes = (uint32_t)MIN(queued, most);
	struct sent *s = bytes ? flight_append(t, bytes, 0) : NULL;

	if (!s)
		return;
	s->bytes = send_queue_attach(t, buf, s->loan, s->offset, bytes);
	t->snd.nxt = sent_end(s); /* what the device gathers */
	t->fast_tried = true;
	send_queue_sent(t, s->bytes);
	note_data(t);
}

/* The first time. The records follow each other: the SYN, then data. */
static bool record_syn(struct tow_tcp *t, struct tow_buf *buf, uint32_t early)
{
	if (!flight_append(t, 1, SENT_SYN))
		return false;
	attach_early(t, buf, early);
	timer_restart_retransmit(t);
	return true;
}

/* SYN or SYN-ACK, the first time or again. */
void tcp_send_syn(struct tow_tcp *t)
{
	bool again = !seq_eq(t->snd.nxt, t->snd.una);
	bool answers = t->state == TOW_TCP_SYN_RECEIVED;
	struct tow_buf *buf = take_buf(t);
	uint32_t early = 0;
	struct wire_tcp h;

	if (!buf)
		return; /* counted; the first time, no timer is armed either */
	h = syn_header(t, answers, again);
	if (answers && !again)
		fast_open_cookie(t, &h);
	else if (!again)
		early = fast_client_offer(t, &h);
	if (wire_tcp_length(&h) > TCP_HEADER_BYTES + TCP_OPTION_BYTES_MAX)
		h.user_timeout = 0; /* it may be said later */
	if (answers && t->ecn.accurate && !again)
		ecn_option_offer(&h);
	if (again && flight_first(t)) {
		flight_mark(t, flight_first(t), SENT_EVER_RETRANS, 0);
		tcp_count(t, TOW_COUNTER_TCP_RETRANS_SEGS);
	} else if (!record_syn(t, buf, early)) {
		tow_buf_give(buf);
		return;
	}
	transmit(t, buf, &h, NULL);
}

/* A SYN-ACK that nobody keeps: see syn_cookie.c. */
void tcp_send_cookie(struct tow_tcp *t)
{
	struct tow_buf *buf = take_buf(t);
	struct wire_tcp h;

	if (!buf)
		return;
	h = syn_header(t, true, false);
	transmit(t, buf, &h, NULL);
}

/*
 * RFC 9293 3.10.7.1: a segment for which there is no connection.
 *
 * @known: NULL, or what there is to sign with: auth, ISNs, and how far it sent
 */
void tcp_reject(struct tcp_host *host, const struct net_packet *packet,
		const struct wire_tcp *seg, const struct tow_tcp *known)
{
	struct net *net = host->net;
	struct tow_tcp ghost = { .host = host };
	struct wire_tcp h = {
		.source_port = seg->destination_port,
		.destination_port = seg->source_port,
		.flags = TH_RST,
		/* RFC 7323 5.2; there is no clock of ours, so TSval is 0. */
		.has_timestamps = seg->has_timestamps,
		.ts_echo = seg->ts_value,
	};
	struct tow_buf *buf;

	if (seg->flags & TH_RST || packet->group ||
	    !net_is_unicast(net, &packet->src) ||
	    net_path_find(net, &packet->dst, &packet->src, packet->zone,
			  &ghost.path) < 0)
		return;
	if (seg->flags & TH_ACK) {
		h.sequence = seg->acknowledgement;
	} else {
		h.flags |= TH_ACK;
		h.acknowledgement = seg->sequence + packet->buf->bytes +
				    (seg->flags & TH_SYN ? 1 : 0) +
				    (seg->flags & TH_FIN ? 1 : 0);
	}
	buf = take_buf(&ghost);
	if (!buf)
		return;
	if (known && known->auth) {
		ghost.auth = known->auth;
		ghost.snd.iss = known->snd.iss;
		ghost.rcv.irs = known->rcv.irs;
		ghost.send.next = known->send.next;
		auth_prepare(&ghost, &h);
	}
	net_count(net, TOW_COUNTER_TCP_RST_OUT);
	transmit(&ghost, buf, &h, NULL);
}

/* ----------------------------------------------------------------- limits */

static bool device_cuts(const struct tow_tcp *t)
{
	uint32_t cap =
		tow_addr_is_v4(&t->path.dst) ? TOW_DEV_TSO4 : TOW_DEV_TSO6;

	/*
	 * Of what is cut, each piece or the first would say CWR: see ecn.c; and
	 * have the same signature.
	 */
	return t->path.link->dev && t->path.link->dev->caps & cap &&
	       !ecn_says_cwr(t) && !t->urgent_sends && !t->auth;
}

/* The most payload of one segment, whole packets of it. */
static uint32_t segment_bytes_max(const struct tow_tcp *t, uint32_t per_packet)
{
	uint32_t most;

	if (!device_cuts(t))
		return per_packet;
	most = MIN(t->path.link->dev->gso_bytes_max,
		   IP_BYTES_MAX - HEADERS_MAX);
	return MAX(most / per_packet, 1) * per_packet;
}

/*
 * The most payload of one burst: a large segment, or as many packets as it
 * would be. Half of the congestion window, as in Linux: with two bursts in
 * flight the acknowledgements of one clock out the next. And of a paced
 * connection no more than its rate allows now, which may be nothing.
 */
static uint32_t burst_bytes_max(struct tow_tcp *t, uint32_t per_packet,
				unsigned packets_max)
{
	uint32_t half = t->cc.cwnd / 2 / per_packet;
	uint32_t most = (IP_BYTES_MAX - HEADERS_MAX) / per_packet;

	if (device_cuts(t))
		most = segment_bytes_max(t, per_packet) / per_packet;
	else
		most = MIN(most, packets_max);
	most = MAX(MIN(most, half), 1);
	if (t->paced)
		most = MIN(most, pacing_room(t) / per_packet);
	return most * per_packet;
}

/* Our SYN that nobody acknowledged takes up a number, but is no payload. */
static uint32_t syn_out(const struct tow_tcp *t)
{
	return t->state == TOW_TCP_SYN_RECEIVED ? 1 : 0;
}

static uint32_t congestion_room(const struct tow_tcp *t)
{
	uint32_t pipe = recovery_pipe(t);

	pipe -= MIN(pipe, syn_out(t));
	return t->cc.cwnd > pipe ? t->cc.cwnd - pipe : 0;
}

static uint32_t window_room(const struct tow_tcp *t)
{
	struct seq edge = seq_add(t->snd.una, t->snd.wnd + syn_out(t));
	int32_t room = seq_diff(edge, t->snd.nxt);

	return room > 0 ? (uint32_t)room : 0;
}

/* ------------------------------------------------------------ lost segments */

/* Does a record of the program end where the payload of @buf does? */
static bool ends_record(const struct tow_buf *buf, uint64_t end)
{
	const struct loan *loan = buf->loan_first;

	while (loan && loan->start + loan->bytes < end)
		loan = loan->next;
	return loan && loan->flags & LOAN_EOR &&
	       loan->start + loan->bytes == end;
}

/* Of a segment with @bytes of payload, up to @end in the stream. */
static uint8_t payload_flags(const struct tow_tcp *t, const struct tow_buf *buf,
			     uint64_t end, uint32_t bytes, bool fin)
{
	uint8_t flags = TH_ACK;

	if (fin)
		flags |= TH_FIN;
	/* RFC 9293 3.9.1.2: the end of what was queued is pushed, unless more
	 * was announced, which did not come in time. */
	if (bytes && end == t->send.end && (!t->send.more || t->send.waited))
		flags |= TH_PSH;
	if (bytes && t->send.records && ends_record(buf, end))
		flags |= TH_PSH;
	return flags;
}

/*
 * Send a record again, or as much of it as @bytes_max and the device allow;
 * the rest becomes a record of its own. If there is none for it, the first in
 * flight goes out all the same: it is what everything waits for, and its rest
 * has to wait for the next timeout.
 *
 * Returns: false when it must be tried again later.
 */
bool tcp_resend(struct tow_tcp *t, struct sent *s, uint32_t bytes_max)
{
	struct tow_buf *buf = take_buf(t); /* first: it looks where to */
	uint32_t per_packet = payload_per_packet(t, false);
	uint32_t data, attached = 0;
	bool fin = s->flags & SENT_FIN, whole;
	struct wire_tcp h;

	if (!buf)
		return false;
	mtu_probe_resent(t, s);
	data = MIN(s->bytes - (fin ? 1 : 0), segment_bytes_max(t, per_packet));
	data = MIN(data, bytes_max);
	if (t->send.records)
		data = (uint32_t)MIN(data,
				     send_queue_record(t, s->loan, s->offset));
	if (data)
		attached = send_queue_attach(t, buf, s->loan, s->offset, data);
	whole = attached + (fin ? 1 : 0) == s->bytes;
	if (!whole) {
		fin = false;
		whole = flight_split(t, s, attached);
	}
	if (!whole && s != flight_first(t)) {
		tow_buf_give(buf);
		return false;
	}
	h = header(t,
		   payload_flags(t, buf, s->offset + attached, attached, fin),
		   false);
	/*
	 * What a tail probe repeats the peer may well have, and then it does
	 * not look at the ACK in it (RFC 9293 3.10.7.4, first).
	 */
	if (!t->tlp.out)
		note_acked(t);
	if (t->ecn.record)
		ecn_option_resent(t, s);
	h.sequence = s->seq.n;
	if (t->urgent_sends)
		urgent_mark(t, &h);
	mark_large(t, buf, per_packet);
	note_data(t);
	s->sent_us = tcp_now(t);
	if (t->paced)
		pacing_sent(t, s, true);
	flight_resent(t, s);
	recovery_sent(t, attached, true);
	t->retransmits++;
	t->retransmitted_bytes += attached;
	tcp_count(t, TOW_COUNTER_TCP_RETRANS_SEGS);
	tcp_net(t)->stats.counters[TOW_COUNTER_TCP_RETRANS_BYTES] += attached;
	transmit(t, buf, &h, whole ? s : NULL);
	return true;
}

static bool resend_lost(struct tow_tcp *t)
{
	struct sent *s = recovery_next_lost(t);
	uint32_t room, most = UINT32_MAX;

	if (!s)
		return false;
	if (t->paced && (most = pacing_room(t)) == 0)
		return false;
	room = congestion_room(t);
	/* The first is always sent: it is what recovery was begun for. */
	if (s != flight_first(t) && room < t->snd.mss)
		return false;
	room = MAX(MIN(room, most) / t->snd.mss, 1) * t->snd.mss;
	if (!tcp_resend(t, s, room))
		return false;
	/* As Linux: it has a whole timeout to be acknowledged. */
	if (s == flight_first(t) && t->recovery.state == RECOVERY_FAST)
		timer_arm_retransmit(t);
	return true;
}

/* ------------------------------------------------------------ new segments */

static bool may_send_data(const struct tow_tcp *t)
{
	if (t->state == TOW_TCP_SYN_RECEIVED)
		return t->passive && t->promoted; /* RFC 7413 4.2.2 */
	return tcp_can_send(t) || t->state == TOW_TCP_FIN_WAIT_1 ||
	       t->state == TOW_TCP_CLOSING || t->state == TOW_TCP_LAST_ACK;
}

/* RFC 9293 3.7.4 Nagle; and MORE: may a segment that is not full go? */
static bool may_send_short(struct tow_tcp *t)
{
	if (t->send.finished)
		return true;
	if ((t->send.more || t->set.cork) && !t->send.waited &&
	    !t->send.hurried) {
		if (!t->deadlines_ms[TIMER_MORE])
			timer_set(t, TIMER_MORE, tcp_now(t) + TCP_MORE_US);
		return false;
	}
	return t->set.nodelay || tcp_in_flight(t) == syn_out(t);
}

/*
 * How many bytes to send now: RFC 9293 3.8.6.2.1, sender's SWS avoidance. Full
 * packets as far as both windows allow; the short rest if it may go; less than
 * a packet also when it is half of the largest window that the peer ever had.
 */
static uint32_t choose_bytes(struct tow_tcp *t, uint32_t per_packet,
			     unsigned packets_max)
{
	uint64_t queued = t->send.end - t->send.next, all = queued;
	uint32_t window = window_room(t), cwnd = congestion_room(t);
	uint32_t most = burst_bytes_max(t, per_packet, packets_max);
	uint32_t bytes;

	if (t->send.records) /* no further than to the end of a record */
		queued = send_queue_record(t, t->send.cursor, t->send.next);
	bytes = (uint32_t)MIN(queued, most);
	if (cwnd < bytes) {
		t->cc.limited = true;
		/* cwnd counts whole segments: all of a packet, or none */
		bytes = cwnd / per_packet * per_packet;
	}
	bytes = MIN(bytes, window);
	if (bytes == queued &&
	    (bytes % per_packet == 0 || queued < all || may_send_short(t)))
		return bytes;
	if (bytes >= per_packet)
		return bytes - bytes % per_packet;
	if (bytes == window && bytes < queued && bytes > 0 &&
	    bytes >= t->snd.wnd_max / 2)
		return bytes;
	return 0;
}

/* FIN goes with the last byte, or alone after it. */
static bool fin_is_next(const struct tow_tcp *t, uint32_t bytes)
{
	return t->send.finished && !t->fin_sent &&
	       t->state != TOW_TCP_SYN_RECEIVED &&
	       t->send.next + bytes == t->send.end && window_room(t) > bytes;
}

static bool has_news(const struct tow_tcp *t)
{
	return t->send.next < t->send.end || (t->send.finished && !t->fin_sent);
}

/* Question and answer: what we send is about what just came. */
static bool answers_soon(const struct tow_tcp *t)
{
	uint32_t now_ms = (uint32_t)(tcp_now(t) / 1000);

	return t->rcv.data_ms &&
	       now_ms - t->rcv.data_ms <= TCP_DELACK_US / 1000;
}

/* Send the next @bytes of the queue, and FIN if it follows. */
static bool send_next(struct tow_tcp *t, uint32_t bytes, uint32_t per_packet,
		      bool last_of_burst)
{
	struct tow_buf *buf = take_buf(t);
	struct wire_tcp h;
	struct sent *s;
	bool fin;

	if (!buf)
		return false;
	if (bytes)
		bytes = send_queue_attach(t, buf, t->send.cursor, t->send.next,
					  bytes);
	fin = bytes ? fin_is_next(t, bytes) : !t->fin_sent;
	s = flight_append(t, bytes + (fin ? 1 : 0), fin ? SENT_FIN : 0);
	if (!s) {
		tow_buf_give(buf);
		return false;
	}
	send_queue_sent(t, bytes);
	t->fin_sent |= fin;
	if (answers_soon(t)) {
		t->rcv.quick_acks = 0;
		t->rcv.interactive = true;
	}
	note_data(t);
	if (t->paced)
		pacing_sent(t, s, false);
	if (tcp_in_flight(t) == s->bytes || !t->deadlines_ms[TIMER_RETRANSMIT])
		timer_restart_retransmit(t);
	recovery_sent(t, bytes, false);
	tlp_schedule(t);
	/* A probe of the path's MTU, or of a window, is as long as it may be. */
	h = header(t, payload_flags(t, buf, t->send.next, bytes, fin),
		   !t->ecn.record || per_packet <= payload_per_packet(t, true));
	note_acked(t);
	if (t->ecn.record && bytes)
		ecn_option_sent(t, s, MIN(bytes, per_packet),
				h.ecn_option != WIRE_ECN_NONE);
	t->send.waited = t->send.hurried = false;
	h.sequence = s->seq.n;
	if (t->urgent_sends)
		urgent_mark(t, &h);
	/* As Linux: a peer that merges packets hands on what it has here. */
	if (last_of_burst || bytes > per_packet)
		h.flags |= TH_PSH;
	mark_large(t, buf, per_packet);
	transmit(t, buf, &h, s);
	return true;
}

/*
 * The packets of a burst that the device cannot cut itself. The last full one
 * is pushed, as the last packet of a large segment is.
 */
static unsigned send_packets(struct tow_tcp *t, uint32_t bytes,
			     uint32_t per_packet)
{
	bool several = bytes >= 2 * per_packet;
	unsigned sent = 0;

	do {
		uint32_t part = MIN(bytes, per_packet);
		bool last = part == per_packet && bytes - part < per_packet;
		uint64_t before = t->send.next;

		if (!send_next(t, part, per_packet, several && last))
			break;
		sent++;
		if (t->send.next - before != part)
			break; /* its spans did not fit */
		bytes -= part;
	} while (bytes);
	return sent;
}

/* A probe is what comes next, in one packet larger than the others. */
static bool send_mtu_probe(struct tow_tcp *t)
{
	uint64_t queued = t->send.end - t->send.next;
	uint32_t bytes;

	if (t->send.records)
		queued = send_queue_record(t, t->send.cursor, t->send.next);
	bytes = mtu_probe_bytes(t, queued, window_room(t), congestion_room(t));
	if (bytes == 0 || !send_next(t, bytes, bytes, false))
		return false;
	mtu_probe_sent(t, flight_at(t, seq_sub(t->snd.nxt, 1)));
	return true;
}

/* A burst of at most @most packets. Returns how many segments it was. */
static unsigned send_new(struct tow_tcp *t, unsigned most)
{
	uint32_t per_packet = payload_per_packet(t, true), bytes;

	if (!has_news(t))
		return 0;
	if (t->mtu.state != MTU_SETTLED && send_mtu_probe(t))
		return 1;
	bytes = choose_bytes(t, per_packet, most);
	if (bytes == 0 && !fin_is_next(t, 0))
		return 0;
	if (tcp_in_flight(t) == 0)
		t->progress_us = tcp_now(t);
	if (device_cuts(t))
		return send_next(t, bytes, per_packet, false);
	return send_packets(t, bytes, per_packet);
}

/* ------------------------------------------------------- zero-window probes */

/*
 * RFC 9293 3.8.6.1: what the window takes, but at least one byte, as a segment
 * like any other; later probes send the same one again.
 */
void tcp_send_probe(struct tow_tcp *t)
{
	struct sent *s = flight_first(t);
	uint64_t queued = t->send.end - t->send.next;
	uint32_t bytes = MIN(MAX(window_room(t), 1), t->snd.mss);

	tcp_count(t, TOW_COUNTER_TCP_PROBES);
	if (!s) {
		if (has_news(t))
			send_next(t, (uint32_t)MIN(queued, bytes), t->snd.mss,
				  false);
		return;
	}
	tcp_resend(t, s, t->snd.mss);
}

/*
 * RFC 8985 7.3: one segment of new data, whatever cwnd says, or else the last
 * one again.
 */
bool tcp_send_tail_probe(struct tow_tcp *t, bool *is_retrans)
{
	struct seq edge = seq_add(t->snd.una, t->snd.wnd);
	uint64_t queued = t->send.end - t->send.next;
	struct sent *s = flight_last(t);
	uint32_t bytes;

	if (net_send_room(tcp_net(t), &t->path) == 0)
		return false;
	if (queued && t->send.records)
		queued = send_queue_record(t, t->send.cursor, t->send.next);
	bytes = (uint32_t)MIN(queued, t->snd.mss);
	*is_retrans = bytes == 0 || bytes > window_room(t);
	if (!*is_retrans)
		return send_next(t, bytes, t->snd.mss, false);
	if (seq_after(sent_end(s), edge))
		return false; /* the window shrank: it would not be taken */
	if (s->bytes > t->snd.mss)
		s = flight_split(t, s,
				 (s->bytes - 1) / t->snd.mss * t->snd.mss);
	return s && tcp_resend(t, s, t->snd.mss);
}

/* Nothing is in flight, so no ACK will come to open the window: ask. */
static void start_probing(struct tow_tcp *t)
{
	if (tcp_in_flight(t) > 0 || !has_news(t) ||
	    t->deadlines_ms[TIMER_RETRANSMIT] || t->deadlines_ms[TIMER_MORE])
		return;
	t->progress_us = tcp_now(t);
	timer_arm_retransmit(t);
}

/* --------------------------------------------------------------- the spine */

/* RFC 5682 2.1 2b: it wanted new data, and none can be sent. */
static bool frto_is_without_news(const struct tow_tcp *t)
{
	return frto_wants_news(t) && !seq_after(t->snd.nxt, t->recovery.point);
}

/* RFC 5681 4.1 */
static void notice_idle(struct tow_tcp *t)
{
	const struct congestion_ops *ops = congestion_ops(t);
	uint32_t idle_ms = (uint32_t)(tcp_now(t) / 1000) - t->flight.data_ms;

	if (tcp_in_flight(t) > 0 || !has_news(t))
		return;
	if (ops->idle_over)
		ops->idle_over(t);
	else if (idle_ms * 1000ull > rtt_timeout_us(t))
		congestion_after_idle(t);
	else
		congestion_paused(t);
}

static bool was_limited(const struct tow_tcp *t)
{
	if (congestion_ops(t)->on_ack)
		return congestion_room(t) < t->snd.mss;
	if (t->cc.cwnd < t->cc.ssthresh)
		return tcp_in_flight(t) > t->cc.cwnd / 2;
	return t->cc.limited;
}

static uint64_t counted(const struct tow_tcp *t, enum tow_counter what)
{
	return tcp_net(t)->stats.counters[what];
}

/* The poll sends the SYN; from then on the peer has time to answer. */
static unsigned send_first_syn(struct tow_tcp *t)
{
	if (t->state == TOW_TCP_SYN_SENT)
		tcp_offer(t);
	t->progress_us = tcp_now(t);
	tcp_send_syn(t);
	return tcp_in_flight(t) > 0;
}

/* An ACK that no payload carried; a full device must not swallow it. */
static unsigned send_owed_ack(struct tow_tcp *t)
{
	if (net_send_room(tcp_net(t), &t->path) > 0)
		return tcp_send_control(t, TH_ACK);
	tcp_want_output(t);
	return 0;
}

/* Not sent yet, by the program's wish to connect or for want of memory. */
static bool syn_is_due(const struct tow_tcp *t)
{
	return (t->state == TOW_TCP_SYN_SENT ||
		t->state == TOW_TCP_SYN_RECEIVED) &&
	       seq_eq(t->snd.nxt, t->snd.iss) && !fast_client_waits(t);
}

/* Returns how many segments went out. */
int tcp_output(struct tow_tcp *t)
{
	uint64_t no_buffers = counted(t, TOW_COUNTER_NO_TX_BUFFERS);
	uint64_t no_records = counted(t, TOW_COUNTER_NO_SEGMENTS);
	unsigned sent = 0, most, n;

	list_remove(&t->output);
	notice_new_link(t);
	most = MIN(SEGMENTS_PER_POLL, net_send_room(tcp_net(t), &t->path));
	if (syn_is_due(t))
		sent += send_first_syn(t);
	if (may_send_data(t)) {
		if (UNLIKELY(
			    t->ecn.tell_syn)) /* RFC 9768 3.2.2.1: without data */
			sent += send_owed_ack(t);
		notice_idle(t);
		t->cc.limited = false;
		while (sent < most && resend_lost(t))
			sent++;
		while (sent < most && (n = send_new(t, most - sent)) > 0)
			sent += n;
		if (sent < most && frto_is_without_news(t))
			frto_give_up(t);
		while (sent < most && resend_lost(t))
			sent++;
		t->cc.limited = was_limited(t);
		if (t->paced)
			rate_check_app_limited(t);
		start_probing(t);
		if (sent == most)
			tcp_want_output(t);
	}
	if ((t->ack_now || t->ecn.ack_of_acks) &&
	    t->state >= TOW_TCP_SYN_RECEIVED)
		sent += send_owed_ack(t);
	hold_note(t);
	if (t->urgent_came)
		urgent_expire(t);
	if (counted(t, TOW_COUNTER_NO_TX_BUFFERS) != no_buffers)
		tcp_want_output(t);
	/* With something in flight, the ACK that frees records is awaited. */
	if (counted(t, TOW_COUNTER_NO_SEGMENTS) != no_records &&
	    tcp_in_flight(t) == 0)
		tcp_want_output(t);
	TCP_CHECK(t);
	return (int)sent;
}

int tcp_output_all(struct tcp_host *host)
{
	struct list again;
	int sent = 0;

	send_queue_feed(host);
	/* Those that could not finish go into a new list for the next poll. */
	list_init(&again);
	while (!list_empty(&host->output)) {
		struct tow_tcp *t =
			CONTAINER(host->output.next, struct tow_tcp, output);

		sent += tcp_output(t);
		if (!list_empty(&t->output)) {
			list_remove(&t->output);
			list_append(&again, &t->output);
		}
	}
	while (!list_empty(&again)) {
		struct list *first = again.next;

		list_remove(first);
		list_append(&host->output, first);
	}
	return sent;
}
