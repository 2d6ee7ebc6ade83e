/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segment arrival: RFC 9293 3.10.7.
 *
 * segment_arrives() walks the numbered checks of 3.10.7.4 in the RFC's order,
 * so that the two can be read side by side. A check lets the segment through or
 * ends its journey; only these functions change the state, and only through
 * tcp_enter(). What RFC 5961 (blind attacks), RFC 7323 (PAWS) and RFC 6191
 * (TIME-WAIT) add is at the check that they amend.
 *
 * Nothing is answered from here: an ACK is owed (t->ack_now) and sent once per
 * poll, however many segments asked for it.
 */
#include "base/csum.h"
#include "tcp/held.h"

/* The sequence space that a segment takes up. */
static uint32_t segment_length(const struct wire_tcp *seg, uint32_t bytes)
{
	return bytes + (seg->flags & TH_SYN ? 1 : 0) +
	       (seg->flags & TH_FIN ? 1 : 0);
}

/* ------------------------------------------------------- PAWS, RFC 7323 5 */

static bool timestamp_is_old(const struct tow_tcp *t,
			     const struct wire_tcp *seg)
{
	return (int32_t)(seg->ts_value - t->ts.recent) < 0 &&
	       tcp_now_s(t) - t->ts.recent_s < TCP_PAWS_IDLE_S;
}

static enum verdict check_timestamp(struct tow_tcp *t,
				    const struct wire_tcp *seg)
{
	if (!t->timestamps || seg->flags & TH_RST)
		return PASS;
	if (!seg->has_timestamps) { /* 3.2 */
		/* RFC 5961 4.2: a peer that began anew may not offer any. */
		if (seg->flags & TH_SYN && tcp_synchronized(t))
			return PASS;
		tcp_drop(t, TOW_DROP_TCP_PAWS);
		return DROP;
	}
	if (!timestamp_is_old(t, seg)) /* 5.3 R1 */
		return PASS;
	tcp_drop(t, TOW_DROP_TCP_PAWS);
	return DROP_ACK;
}

/* 4.3: only an acceptable segment that we acknowledged up to may set it. */
static void update_timestamp(struct tow_tcp *t, const struct wire_tcp *seg)
{
	if (!t->timestamps || !seg->has_timestamps ||
	    timestamp_is_old(t, seg) ||
	    seq_after(seq_of(seg->sequence), t->ts.last_ack))
		return;
	t->ts.recent = seg->ts_value;
	t->ts.recent_s = tcp_now_s(t);
}

/* ------------------------------------------------------- first: sequence */

/*
 * RFC 9293 3.4, table 6, with two allowances. An ACK without length may stand
 * exactly at the right edge, as in Linux: a peer that has filled our window
 * and lost the first of it can send its ACKs from nowhere else. And with a
 * closed window one at RCV.NXT passes, for the sake of its ACK.
 */
static bool acceptable(const struct tow_tcp *t, const struct wire_tcp *seg,
		       uint32_t length)
{
	struct seq seq = seq_of(seg->sequence);
	struct seq end = seq_add(seq, length);

	if (seq_eq(seq, t->rcv.nxt))
		return true;
	if (length == 0 && seq_eq(seq, t->rcv.edge))
		return !(seg->flags & TH_RST) && !t->receive.fin_seen;
	if (length == 0)
		return seq_within(seq, t->rcv.nxt, t->rcv.edge);
	return seq_before(seq, t->rcv.edge) && seq_after(end, t->rcv.nxt);
}

static enum verdict check_sequence(struct tow_tcp *t,
				   const struct wire_tcp *seg, uint32_t bytes)
{
	struct seq seq = seq_of(seg->sequence);
	uint32_t length = segment_length(seg, bytes);
	struct seq end = seq_add(seq, length);

	if (acceptable(t, seg, length)) {
		t->probes = 0; /* it lives */
		t->unheard = 0;
		timer_restart_keepalive(t);
		return PASS;
	}
	if (seg->flags & TH_RST) {
		tcp_drop(t, TOW_DROP_TCP_RST);
		return DROP;
	}
	tcp_drop(t, TOW_DROP_TCP_SEQUENCE);
	if (bytes > 0 && !seq_after(end, t->rcv.nxt))
		report_duplicate(t, seq, seq_add(seq, bytes));
	/* RFC 9293 3.10.7.4: a FIN sent again restarts the 2 MSL timer. */
	if (t->state == TOW_TCP_TIME_WAIT && seg->flags & TH_FIN)
		timer_set(t, TIMER_LIFE, tcp_now(t) + TCP_TIME_WAIT_US);
	return DROP_ACK;
}

/* ------------------------------------------------------------ second: RST */

static enum verdict check_rst(struct tow_tcp *t, const struct wire_tcp *seg)
{
	if (!(seg->flags & TH_RST))
		return PASS;
	if (t->state == TOW_TCP_TIME_WAIT) { /* RFC 1337 4 */
		tcp_drop(t, TOW_DROP_TCP_RST);
		return DROP;
	}
	if (!seq_eq(seq_of(seg->sequence), t->rcv.nxt)) { /* RFC 5961 3.2 */
		tcp_drop(t, TOW_DROP_TCP_RST);
		tcp_send_challenge(t);
		if (t->rcv.bytes == 0) /* what was before it is kept back? */
			fast_client_doubt(t);
		return DROP;
	}
	tcp_count(t, TOW_COUNTER_TCP_RST_IN);
	tcp_fail(t, t->state == TOW_TCP_SYN_RECEIVED && !t->passive
			    ? TOW_ECONNREFUSED
			    : TOW_ECONNRESET);
	return DROP;
}

/* ------------------------------------------------------------ fourth: SYN */

static enum verdict check_syn(struct tow_tcp *t, const struct wire_tcp *seg)
{
	if (!(seg->flags & TH_SYN))
		return PASS;
	tcp_drop(t, TOW_DROP_TCP_FLAGS);
	/* Back to LISTEN; but what Fast Open promoted a program may have. */
	if (t->state == TOW_TCP_SYN_RECEIVED && t->passive && !t->promoted)
		tcp_fail(t, TOW_ECONNRESET);
	else
		tcp_send_challenge(t); /* RFC 5961 4.2 */
	return DROP;
}

/* ------------------------------------------------------------- fifth: ACK */

/* RFC 5961 5.2 */
static bool ack_is_plausible(const struct tow_tcp *t, struct seq ack)
{
	return !seq_after(ack, t->snd.nxt) &&
	       !seq_before(ack, seq_sub(t->snd.una, t->snd.wnd_max));
}

/* A probe that the closed window refused is not lost, but sent again now. */
static void on_window_open(struct tow_tcp *t, struct seq ack)
{
	struct sent *probe = flight_first(t);

	t->recovery.doublings = 0; /* it was not the path that kept silent */
	if (!probe || !seq_eq(ack, t->snd.una) || probe->flags & SENT_SACKED)
		return;
	flight_mark(t, probe, SENT_LOST, SENT_RETRANS);
	if (t->recovery.backoffs == 0)
		return; /* or a window that flaps would stop the timer */
	t->recovery.backoffs = 0;
	timer_restart_retransmit(t);
}

/* RFC 9293 3.10.7.4: only a newer segment may say what the window is. */
static bool update_window(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct seq seq = seq_of(seg->sequence),
		   ack = seq_of(seg->acknowledgement);
	uint32_t wnd = (uint32_t)seg->window << t->snd.scale;
	bool changed = wnd != t->snd.wnd;

	if (seq_before(ack, t->snd.una) || seq_before(seq, t->snd.wl1) ||
	    (seq_eq(seq, t->snd.wl1) && seq_before(ack, t->snd.wl2)))
		return false;
	if (t->snd.wnd == 0 && wnd > 0)
		on_window_open(t, ack);
	t->snd.wnd = wnd;
	t->snd.wnd_max = MAX(t->snd.wnd_max, wnd);
	t->snd.wl1 = seq;
	t->snd.wl2 = ack;
	return changed;
}

static void on_fin_acked(struct tow_tcp *t)
{
	switch (t->state) {
	case TOW_TCP_FIN_WAIT_1:
		tcp_enter(t, TOW_TCP_FIN_WAIT_2);
		break;
	case TOW_TCP_CLOSING:
		tcp_enter(t, TOW_TCP_TIME_WAIT);
		break;
	case TOW_TCP_LAST_ACK:
		t->cleanly_closed = true;
		tcp_fail(t, 0);
		break;
	default:
		break;
	}
}

/*
 * A segment that was sent once measures the round trip in microseconds; after
 * a retransmission only the echo says which one was answered (RFC 7323 4.1).
 * Beside a D-SACK it does not: the ACK of the first was lost, this one came for
 * the second, and echoes the first all the same.
 */
static void measure(struct tow_tcp *t, const struct wire_tcp *seg,
		    const struct ack_news *news)
{
	uint32_t ticks = tcp_timestamp(t) - seg->ts_echo;

	if (news->rtt_sent_us)
		rtt_sample(t, tcp_now(t) - news->rtt_sent_us);
	else if (news->has_echo && !news->dsack &&
		 ticks <= TCP_RTO_MAX_US / 1000)
		rtt_sample_echo(&t->rtt, ticks);
	else
		return;
	if (UNLIKELY(t->recovery.adapt) && news->rtt_sent_us)
		undo_adapt_timeout(t, tcp_now(t) - news->rtt_sent_us);
	t->recovery.doublings = 0; /* RFC 6298 5.5 */
	t->tlp.stale = false;
}

/* The peer has everything up to @ack: records, loans and timers move on. */
static void advance(struct tow_tcp *t, const struct wire_tcp *seg,
		    struct ack_news *news)
{
	struct seq ack = seq_of(seg->acknowledgement);
	bool fin_was_out = t->fin_sent && !seq_eq(t->snd.una, t->snd.nxt);
	bool fin_acked = fin_was_out && seq_eq(ack, t->snd.nxt);

	flight_acked(t, ack, news);
	t->progress_us = tcp_now(t);
	t->soft_error = 0;
	if (t->orphan)
		orphan_progressed(t);
	mtu_note_acked(t, news->largest_bytes);
	send_queue_acked(t, news->acked_bytes - (fin_acked ? 1 : 0));
	measure(t, seg, news);
	t->recovery.backoffs = 0;
	timer_restart_retransmit(t);
	if (t->path.link->dev)
		net_confirm(tcp_net(t), &t->path);
	if (fin_acked)
		on_fin_acked(t);
}

/* RFC 5681 2: a duplicate that says nothing else. */
static bool repeats(const struct tow_tcp *t, const struct wire_tcp *seg,
		    uint32_t bytes, const struct ack_news *news)
{
	return bytes == 0 && !(seg->flags & (TH_SYN | TH_FIN)) &&
	       !news->window_changed && !news->acked_bytes &&
	       seg->acknowledgement == t->snd.una.n;
}

/* RFC 5681 2, and with SACK RFC 6675 2. */
static bool is_duplicate_ack(const struct tow_tcp *t,
			     const struct wire_tcp *seg, uint32_t bytes,
			     const struct ack_news *news)
{
	if (news->acked_bytes || tcp_in_flight(t) == 0)
		return false;
	if (t->sack)
		return news->sacked_bytes > 0;
	return repeats(t, seg, bytes, news);
}

/* Of the newest segment that was acknowledged and sent once; 0 if none was. */
static uint32_t rtt_us(const struct tow_tcp *t, const struct ack_news *news)
{
	uint64_t us = tcp_now(t) - news->rtt_sent_us;

	return news->rtt_sent_us ? (uint32_t)MAX(1, MIN(us, UINT32_MAX)) : 0;
}

static void process_ack(struct tow_tcp *t, const struct wire_tcp *seg,
			uint32_t bytes)
{
	struct seq ack = seq_of(seg->acknowledgement);
	uint32_t sacked_bytes = t->flight.sacked_bytes;
	bool duplicate;
	struct ack_news news = {
		.fack = t->flight.highest_sack,
		.ts_echo = seg->ts_echo,
		.has_echo =
			t->timestamps && seg->has_timestamps && seg->ts_echo,
	};

	if (t->paced)
		rate_begin(t);
	news.window_changed = update_window(t, seg);
	if (t->sack && seg->sack_count)
		flight_sacked(t, seg, &news);
	if (seq_after(ack, t->snd.una))
		advance(t, seg, &news);
	if (t->state == TOW_TCP_CLOSED)
		return; /* of our FIN: the record may be free already */
	ecn_on_ack(t, seg, &news);
	duplicate = is_duplicate_ack(t, seg, bytes, &news);
	if (t->sack)
		news.delivered_bytes = news.acked_bytes +
				       t->flight.sacked_bytes - sacked_bytes;
	else
		news.delivered_bytes = recovery_delivered(t, &news, duplicate);
	if (tcp_in_flight(t) == 0 && t->send.next == t->send.end)
		t->progress_us = tcp_now(t);
	/* What was SACKed, or had a duplicate, was delivered before. */
	if (news.acked_bytes && t->recovery.state != RECOVERY_FAST &&
	    !ecn_is_echo(t, seg))
		congestion_on_ack(t, news.delivered_bytes, rtt_us(t, &news));
	news.repeats = repeats(t, seg, bytes, &news);
	recovery_on_ack(t, seg, &news, duplicate);
	if (t->paced)
		pacing_on_ack(t, rtt_us(t, &news));
	if (news.acked_bytes)
		tlp_schedule(t);
	tcp_want_output(t);
}

/* SYN-RECEIVED: is our SYN acknowledged? */
static enum verdict complete_handshake(struct tow_tcp *t,
				       const struct wire_tcp *seg,
				       uint32_t bytes)
{
	struct seq ack = seq_of(seg->acknowledgement);
	struct ack_news news = { 0 };

	if (!seq_after(ack, t->snd.una) || seq_after(ack, t->snd.nxt)) {
		tcp_drop(t, TOW_DROP_TCP_ACK);
		return DROP_RESET;
	}
	/* Data that went with or after our SYN is acknowledged by the next. */
	flight_acked(t, seq_add(t->snd.iss, 1), &news);
	if (news.rtt_sent_us)
		rtt_sample(t, tcp_now(t) - news.rtt_sent_us);
	fast_open_settle(t);
	ecn_learn_ack(t, seg, bytes);
	/* The window in this segment is the first that is scaled. */
	t->snd.wl1 = seq_of(seg->sequence);
	t->snd.wl2 = ack;
	t->snd.wnd = (uint32_t)seg->window << t->snd.scale;
	t->snd.wnd_max = MAX(t->snd.wnd_max, t->snd.wnd);
	listen_promote(t);
	tcp_establish(t);
	if (!t->passive)
		tcp_pend(t, PENDING_CONNECTED);
	return PASS;
}

static enum verdict check_ack(struct tow_tcp *t, const struct wire_tcp *seg,
			      uint32_t bytes)
{
	if (!(seg->flags & TH_ACK)) {
		tcp_drop(t, TOW_DROP_TCP_FLAGS);
		return DROP;
	}
	if (t->state == TOW_TCP_SYN_RECEIVED) {
		enum verdict v = complete_handshake(t, seg, bytes);

		if (v != PASS)
			return v;
	}
	if (!ack_is_plausible(t, seq_of(seg->acknowledgement))) {
		tcp_drop(t, TOW_DROP_TCP_ACK);
		tcp_send_challenge(t);
		return DROP;
	}
	process_ack(t, seg, bytes);
	return t->state == TOW_TCP_CLOSED ? DROP : PASS;
}

/* --------------------------------------------------- seventh: the payload */

/*
 * RFC 9293 3.8.6.3: an ACK for each second full segment, or soon. The first
 * ones at once, as Linux does: the peer is in slow start, and waits for them.
 */
static void owe_ack(struct tow_tcp *t, uint32_t bytes)
{
	t->unacked_bytes += bytes;
	if (bytes)
		t->rcv.data_ms = (uint32_t)(tcp_now(t) / 1000);
	if (t->unacked_bytes >= 2 * t->rcv.segment_bytes ||
	    t->rcv.quick_acks > 0)
		t->ack_now = true;
	else if (!t->deadlines_ms[TIMER_DELACK])
		timer_set(t, TIMER_DELACK, tcp_now(t) + TCP_DELACK_US);
	tcp_want_output(t);
}

static void learn_segment_bytes(struct tow_tcp *t, const struct tow_buf *buf)
{
	uint32_t bytes = buf->gso_bytes ? buf->gso_bytes : buf->bytes;

	bytes = MIN(bytes, t->rcv.mss);
	t->rcv.segment_bytes = MAX(t->rcv.segment_bytes, bytes);
}

static bool may_receive(const struct tow_tcp *t)
{
	return t->state == TOW_TCP_ESTABLISHED ||
	       t->state == TOW_TCP_FIN_WAIT_1 || t->state == TOW_TCP_FIN_WAIT_2;
}

/* RFC 1122 4.2.2.13: nobody will ever read this, so the peer should know. */
static bool comes_too_late(const struct tow_tcp *t, const struct wire_tcp *seg,
			   uint32_t bytes)
{
	struct seq end = seq_add(seq_of(seg->sequence), bytes);

	return t->app_closed && bytes > 0 && seq_after(end, t->rcv.nxt);
}

/* ------------------------------------------------------------ eighth: FIN */

static void on_fin(struct tow_tcp *t)
{
	/* Our own FIN is near, perhaps: it may carry the ACK. */
	t->ack_now = !t->rcv.interactive || t->fin_sent;
	switch (t->state) {
	case TOW_TCP_ESTABLISHED:
		tcp_enter(t, TOW_TCP_CLOSE_WAIT);
		break;
	case TOW_TCP_FIN_WAIT_1: /* our FIN is not acknowledged, see fifth */
		tcp_enter(t, TOW_TCP_CLOSING);
		break;
	case TOW_TCP_FIN_WAIT_2:
		tcp_enter(t, TOW_TCP_TIME_WAIT);
		break;
	default:
		break;
	}
	post_end(t, 0);
	tcp_pend(t, PENDING_READABLE);
	tcp_want_output(t);
}

/* One was received before, so all that is left to do is to say so again. */
static void on_fin_again(struct tow_tcp *t)
{
	t->ack_now = true;
	if (t->state == TOW_TCP_TIME_WAIT)
		timer_set(t, TIMER_LIFE, tcp_now(t) + TCP_TIME_WAIT_US);
	tcp_want_output(t);
}

/*
 * What the payload's sum is, if it was just verified in software: the whole
 * came out as all ones, so it is what headers and pseudo header leave of that.
 * It saves reading the bytes again if they are passed on.
 */
static void note_sum(struct net_packet *packet, const struct wire_tcp *seg)
{
	struct held *h = held(packet->buf);
	const uint8_t *header =
		(const uint8_t *)packet->buf->spans[0].ptr - seg->header_bytes;
	uint32_t bytes = packet->buf->bytes;
	uint32_t sum;

	h->loans = 0;
	h->sum_bytes = 0;
	if (packet->csum_ok)
		return;
	sum = csum_pseudo(&packet->src, &packet->dst, NET_TCP,
			  seg->header_bytes + bytes);
	h->sum = csum_finish(csum_bytes(sum, header, seg->header_bytes));
	h->sum_bytes = bytes;
}

/* How many packets a device made one of. */
static uint32_t packets_in(const struct tow_buf *buf)
{
	return buf->gso_bytes
		       ? (buf->bytes + buf->gso_bytes - 1u) / buf->gso_bytes
		       : 1;
}

static void process_payload(struct tow_tcp *t, struct net_packet *packet,
			    const struct wire_tcp *seg)
{
	struct tow_buf *buf = packet->buf;
	struct seq seq = seq_of(seg->sequence), before = t->rcv.nxt;
	bool fin = seg->flags & TH_FIN, reached;
	uint32_t bytes = buf->bytes;

	if (seg->flags &
	    TH_SYN) /* of a SYN-ACK: it takes up the first number */
		seq = seq_add(seq, 1);
	if (t->state == TOW_TCP_SYN_RECEIVED) { /* its SYN crossed ours */
		note_sum(packet, seg);
		receive_early(t, buf, seq, fin);
		return;
	}
	if (!may_receive(t) || (bytes == 0 && !fin)) {
		if (fin)
			on_fin_again(t);
		else if (t->state == TOW_TCP_TIME_WAIT &&
			 !seq_eq(seq, t->rcv.nxt))
			tcp_send_challenge(t); /* RFC 9293 3.10.7.4, fifth */
		tow_buf_give(buf);
		return;
	}
	if (comes_too_late(t, seg, bytes)) {
		tow_buf_give(buf);
		tcp_drop(t, TOW_DROP_TCP_CLOSED);
		tcp_send_control(t, TH_RST | TH_ACK);
		tcp_fail(t, TOW_ECONNRESET);
		return;
	}
	learn_segment_bytes(t, buf);
	note_sum(packet, seg);
	if (bytes > 0)
		ecn_on_payload(t, seg);
	reached = receive_segment(t, buf, seq, fin);
	if (reached)
		on_fin(t);
	else if (!seq_eq(before, t->rcv.nxt) && t->receive.unread_bytes > 0)
		tcp_pend(t, PENDING_READABLE);
	if (t->state == TOW_TCP_CLOSED)
		return;
	if (bytes > 0 && seq_eq(before, t->rcv.nxt))
		t->ack_now = true; /* out of order, or no room */
	owe_ack(t, (uint32_t)seq_diff(t->rcv.nxt, before));
}

/* Text on a SYN with a good cookie: RFC 7413 4.2.2. Takes the buffer. */
void tcp_take_early(struct tow_tcp *t, struct net_packet *packet,
		    const struct wire_tcp *seg)
{
	note_sum(packet, seg);
	(void)receive_advertise(t, true); /* there was no window yet */
	(void)receive_segment(t, packet->buf, seq_of(seg->sequence + 1), false);
	packet->buf = NULL;
	if (t->receive.unread_bytes > 0)
		tcp_pend(t, PENDING_READABLE);
}

/* What came with a SYN that crossed ours: RFC 9293 3.10.7.3, fifth. */
static void process_early(struct tow_tcp *t)
{
	struct seq before = t->rcv.nxt;

	if (receive_what_was_early(t))
		on_fin(t);
	if (seq_eq(before, t->rcv.nxt))
		return;
	if (t->receive.unread_bytes > 0)
		tcp_pend(t, PENDING_READABLE);
	t->unacked_bytes += (uint32_t)seq_diff(t->rcv.nxt, before);
	timer_set(t, TIMER_DELACK, tcp_now(t) + TCP_DELACK_US);
}

/* ------------------------------------------------------------- the spine */

/*
 * The peer sends its SYN again, or answers ours in a simultaneous open: the
 * SYN was received, what is left may be acceptable (RFC 9293 3.5, figure 7).
 */
static bool is_known_syn(const struct tow_tcp *t, const struct wire_tcp *seg)
{
	return t->state == TOW_TCP_SYN_RECEIVED && seg->flags & TH_SYN &&
	       seg->sequence == t->rcv.irs.n;
}

static enum verdict answer_again(struct tow_tcp *t, const struct wire_tcp *seg)
{
	if (ecn_learn_syn_again(t, seg)) {
		tcp_send_syn(t);
	} else {
		tcp_drop(t, TOW_DROP_TCP_FLAGS);
		tcp_send_control(t, TH_RST | TH_ACK);
		tcp_fail(t, TOW_ECONNRESET);
	}
	return DROP;
}

static enum verdict segment_arrives(struct tow_tcp *t,
				    struct net_packet *packet,
				    struct wire_tcp *seg)
{
	uint32_t bytes = packet->buf->bytes;
	bool opens = t->state == TOW_TCP_SYN_RECEIVED;
	enum verdict v;

	if (is_known_syn(t, seg)) {
		if (!(seg->flags & (TH_ACK | TH_RST)))
			return answer_again(t, seg);
		seg->flags &= (uint8_t)~TH_SYN;
		seg->sequence++;
		/* RFC 7323 2.2: of a SYN, it is not scaled */
		seg->window = (uint16_t)(seg->window >> t->snd.scale);
	}
	if (UNLIKELY(seg->flags & TH_SYN) && t->ecn.accurate)
		ecn_learn_syn_ack_again(t, seg);
	v = check_timestamp(t, seg);
	if (v == PASS)
		v = check_sequence(t, seg, bytes); /* first */
	if (v == PASS)
		v = check_rst(t, seg); /* second; third is obsolete */
	if (v == PASS)
		v = check_syn(t, seg); /* fourth */
	if (v == PASS)
		v = check_ack(t, seg, bytes); /* fifth */
	if (v == PASS) {
		if (t->ecn.accurate)
			ecn_on_segment(t, seg, bytes, packets_in(packet->buf));
		update_timestamp(t, seg);
		if (seg->user_timeout)
			user_timeout_heard(t, seg);
		if (seg->flags & TH_URG)
			urgent_arrives(t, seg); /* sixth */
		if (opens)
			process_early(t);
		process_payload(t, packet, seg); /* seventh and eighth */
	}
	return v;
}

/* Say what a check decided. The buffer goes back, unless payload took it. */
static void answer(struct tow_tcp *t, struct net_packet *packet,
		   const struct wire_tcp *seg, enum verdict v)
{
	bool empty;

	if (v == PASS)
		return;
	empty = packet->buf->bytes == 0 && !(seg->flags & TH_FIN);
	if (v == DROP_ACK && !t->ack_now)
		t->unheard++; /* see bare_sequence() */
	if (v == DROP_ACK && empty) {
		tcp_send_challenge(t); /* limited, or two of us could loop */
	} else if (v == DROP_ACK) {
		t->ack_now = true;
		tcp_want_output(t);
	} else if (v == DROP_RESET) {
		tcp_reject(t->host, packet, seg, t);
	}
	tow_buf_give(packet->buf);
}

/*
 * RFC 6191 2, RFC 9293 3.6.1: a SYN that is certainly newer than all of the
 * old connection takes its place.
 */
static bool takes_over(const struct tow_tcp *t, const struct wire_tcp *seg)
{
	if (t->state != TOW_TCP_TIME_WAIT ||
	    (seg->flags & (TH_SYN | TH_ACK | TH_RST | TH_FIN)) != TH_SYN)
		return false;
	if (t->timestamps && seg->has_timestamps &&
	    seg->ts_value != t->ts.recent)
		return (int32_t)(seg->ts_value - t->ts.recent) > 0;
	return seq_after(seq_of(seg->sequence), t->rcv.nxt);
}

static void deliver(struct tow_tcp *t, struct net_packet *packet,
		    struct wire_tcp *seg)
{
	enum verdict v;

	if (t->ledger) /* the stack's has them already */
		t->ledger->rx_touched_bytes += packet->touched_bytes;
	if (t->state == TOW_TCP_SYN_SENT) {
		v = connect_input(t, seg);
		if (v == PASS && t->ecn.record)
			ecn_option_count(t, seg->ip_ecn, packet->buf->bytes);
		if (v == PASS)
			process_payload(t, packet, seg);
	} else {
		v = segment_arrives(t, packet, seg);
	}
	answer(t, packet, seg, v);
	TCP_CHECK(t);
}

static void find_receiver(struct tcp_host *host, struct net_packet *packet,
			  struct wire_tcp *seg)
{
	struct tow_endpoint local = { packet->dst, seg->destination_port, 0 };
	struct tow_endpoint remote = { packet->src, seg->source_port,
				       packet->zone };
	struct tow_tcp *t = table_find(host, &local, &remote);
	struct tow_listener *l = NULL;
	struct seq after, *reuse = NULL;

	if (t && takes_over(t, seg))
		l = table_find_listener(host, &local);
	if (l && UNLIKELY(t->auth) && !auth_asks(l, &packet->src))
		l = NULL; /* who does not sign does not end what is signed */
	if (UNLIKELY(t && t->auth) && !l && !auth_accepts(t, packet, seg)) {
		tow_buf_give(packet->buf);
		return;
	}
	if (!t && !l)
		l = table_find_listener(host, &local);
	if (l && UNLIKELY(l->keys) && !auth_admits(l, packet, seg)) {
		tow_buf_give(packet->buf);
		return;
	}
	if (t && l) {
		after = t->snd.nxt;
		reuse = &after;
		tcp_count(t, TOW_COUNTER_TCP_TIME_WAIT_REUSED);
		tcp_fail(t, 0);
		t = NULL;
	}
	if (l)
		t = listen_input(l, packet, seg, reuse);
	if (t) {
		deliver(t, packet, seg);
		return;
	}
	if (!l) {
		net_drop(host->net, TOW_DROP_TCP_PORT);
		tcp_reject(host, packet, seg, NULL);
	}
	if (packet->buf)
		tow_buf_give(packet->buf);
}

static bool checksum_is_right(struct net *net, struct net_packet *packet)
{
	const struct tow_buf *buf = packet->buf;
	uint32_t sum;

	packet->touched_bytes = 0;
	if (packet->csum_ok)
		return true;
	sum = csum_pseudo(&packet->src, &packet->dst, NET_TCP, buf->bytes);
	sum = csum_add(sum, buf_csum(buf, 0, &packet->touched_bytes));
	net->stats.ledger.rx_touched_bytes += packet->touched_bytes;
	return csum_finish(sum) == 0;
}

static bool parse(struct net *net, struct net_packet *packet,
		  struct wire_tcp *seg)
{
	uint8_t *header = buf_pull(packet->buf, TCP_HEADER_BYTES);
	uint32_t bytes = header ? wire_tcp_header_bytes(header) : 0;

	if (bytes)
		header = buf_pull(packet->buf, bytes);
	if (!bytes || !header || !wire_tcp_parse(seg, header, bytes)) {
		net_drop(net, TOW_DROP_TCP_HEADER);
		return false;
	}
	seg->ip_ecn = packet->tos & 3;
	if (seg->source_port == 0 || seg->destination_port == 0) {
		net_drop(net, TOW_DROP_TCP_HEADER);
		return false;
	}
	if (!checksum_is_right(net, packet)) {
		net_drop(net, TOW_DROP_TCP_CHECKSUM);
		return false;
	}
	if (UNLIKELY(seg->signature == SIGNATURE_MALFORMED)) {
		net_drop(net, TOW_DROP_TCP_AUTH_BAD); /* RFC 5925 2.2 */
		return false;
	}
	buf_trim_front(packet->buf, bytes);
	return true;
}

void tcp_input(struct tcp_host *host, struct net_packet *packet)
{
	struct wire_tcp seg;

	net_count(host->net, TOW_COUNTER_TCP_SEGS_IN);
	if (!parse(host->net, packet, &seg)) {
		tow_buf_give(packet->buf);
		return;
	}
	if (packet->group) { /* RFC 9293 3.9.2.3 MUST-57 */
		net_drop(host->net, TOW_DROP_IP_DESTINATION);
		tow_buf_give(packet->buf);
		return;
	}
	find_receiver(host, packet, &seg);
}
