/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tail loss probes: RFC 8985 7.
 *
 * When the last segments of a flight are lost, nothing comes back that would
 * say so, and only the retransmission timer would find out, which is long and
 * costs the whole window. So after two round trips of silence one segment is
 * sent: a new one if there is one, else the last one again. Its SACK lets RACK
 * find what was lost before it.
 *
 *	data sent, or acknowledged            PTO
 *	  ------------------------> armed ----------> probe out --> RTO
 *	      nothing SACKed, no                        |
 *	      recovery, a sample since                  | ACK >= TLP.end_seq
 *	      the last probe                            v
 *	                                  did it repair a loss? then reduce
 *
 * There is one probe for each tail: none is sent while another is out (7.3),
 * nor before the round trip was measured again, or for the first time. So the
 * second that 7.2 waits without SRTT would end in no probe, and is not waited.
 *
 * A probe that sends the last segment again may repair the only loss there was,
 * and then nobody would notice the loss (7.4). TLP.end_seq is SND.NXT when the
 * probe went out; what follows on an ACK beyond it tells.
 */
#include "tcp/tcp_private.h"

#define MAX_ACK_DELAY_US 200000u /* TLP.max_ack_delay: 7.2, and as Linux */

/* 7.2, 7.3: an open connection with nothing that RACK could work with. */
static bool may_probe(const struct tow_tcp *t)
{
	return t->sack && !t->tlp.out && !t->tlp.stale && t->rtt.srtt_us > 0 &&
	       t->recovery.state == RECOVERY_NONE && tcp_synchronized(t) &&
	       tcp_in_flight(t) > 0 && t->flight.sacked_bytes == 0 &&
	       t->flight.lost_bytes == 0 && t->snd.wnd > 0;
}

/*
 * 7.2, TLP_calc_PTO(). The RFC waits for a delayed ACK if one segment is in
 * flight. So it is for all that is less than two full ones: a peer that counts
 * bytes answers the second (RFC 9293 3.8.6.3).
 */
static uint64_t pto_us(const struct tow_tcp *t)
{
	uint64_t pto_us = 2ull * t->rtt.srtt_us;

	if (tcp_in_flight(t) < 2u * t->snd.mss)
		pto_us += MAX_ACK_DELAY_US;
	return pto_us;
}

/* New data went out, or was acknowledged. The RTO is armed already. */
void tlp_schedule(struct tow_tcp *t)
{
	uint64_t at_us = tcp_now(t) + pto_us(t);

	if (t->deadlines_ms[TIMER_LOSS] && !t->tlp.timer)
		return; /* RACK waits already */
	if (!may_probe(t)) {
		if (t->tlp.timer)
			timer_clear(t, TIMER_LOSS);
		t->tlp.timer = false;
		return;
	}
	if (t->deadlines_ms[TIMER_RETRANSMIT])
		at_us = MIN(at_us, timer_at_us(t, TIMER_RETRANSMIT));
	t->tlp.timer = true;
	timer_set(t, TIMER_LOSS, at_us);
}

/* 7.1: a recovery begins, by which all that was lost is found. */
void tlp_reset(struct tow_tcp *t)
{
	if (t->tlp.timer)
		timer_clear(t, TIMER_LOSS);
	t->tlp.timer = false;
	t->tlp.out = false;
}

static void probe(struct tow_tcp *t)
{
	bool is_retrans;

	t->tlp.out = true;
	if (!tcp_send_tail_probe(t, &is_retrans)) {
		t->tlp.out = false;
		return;
	}
	t->tlp.is_retrans = is_retrans;
	t->recovery.point = t->snd.nxt;
	t->tlp.stale = true;
	tcp_count(t, TOW_COUNTER_TCP_TAIL_PROBES);
}

/* 7.3, TLP_send_probe(); with a probe or without the RTO starts anew. */
void tlp_on_timeout(struct tow_tcp *t)
{
	t->tlp.timer = false;
	if (may_probe(t))
		probe(t);
	if (tcp_in_flight(t) > 0)
		timer_arm_retransmit(t);
}

/* The probe was the repair of a loss: what recovery would have done. */
static void react_to_loss(struct tow_tcp *t, const struct ack_news *news)
{
	t->cc.ssthresh =
		congestion_ops(t)->threshold(t, tcp_flight_before(t, news));
	t->cc.cwnd = MIN(t->cc.cwnd, t->cc.ssthresh);
	ecn_reduced(t);
}

/* The first and the probe have both arrived. A D-SACK is of data, not of FIN.
 */
bool tlp_came_twice(const struct tow_tcp *t, const struct ack_news *news)
{
	return t->tlp.out && news->dsack &&
	       seq_diff(t->recovery.point, news->dsack_right) <= 1;
}

/* 7.4.2, TLP_process_ack() */
void tlp_on_ack(struct tow_tcp *t, const struct wire_tcp *seg,
		const struct ack_news *news)
{
	struct seq end = t->recovery.point;
	struct tlp *p = &t->tlp;

	if (!p->out || seq_before(seq_of(seg->acknowledgement), end))
		return;
	if (!p->is_retrans) { /* all of the new data has arrived */
		p->out = false;
	} else if (tlp_came_twice(t, news)) {
		p->out = false;
	} else if (seq_after(seq_of(seg->acknowledgement), end)) {
		p->out = false; /* only one of the two did */
		react_to_loss(t, news);
	} else if (news->repeats && seg->sack_count == 0) {
		p->out = false; /* both did, and the peer has no D-SACK */
	}
}
