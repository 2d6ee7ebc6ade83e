/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening: initial sequence numbers, SYN options, the MSS, and the answer to
 * our own SYN (RFC 9293 3.10.7.3). What both ways of opening share is here.
 */
#include "tcp/tcp_private.h"

#define IP4_HEADER_BYTES 20
#define IP6_HEADER_BYTES 40
#define TIME_WAIT_SKIP	 (128 * 1024) /* beyond what may still be on its way */

/* What a full segment of the peer's has, until a larger one was seen. */
#define SEGMENT_BYTES_FIRST 536

static struct seq isn_at(const struct tow_tcp *t, uint64_t now_us)
{
	struct {
		uint8_t local[16], remote[16];
		uint16_t local_port, remote_port;
	} tuple = { .local_port = t->local_port,
		    .remote_port = t->remote_port };
	uint64_t hash;

	memcpy(tuple.local, t->path.src.b, 16);
	memcpy(tuple.remote, t->path.dst.b, 16);
	hash = siphash24(&t->host->isn_key, &tuple, sizeof(tuple));
	return seq_of((uint32_t)(now_us / 4) + (uint32_t)hash);
}

/* RFC 6528 3: a clock of 4 us ticks plus a keyed hash of the tuple. */
struct seq tcp_new_isn(const struct tow_tcp *t)
{
	return isn_at(t, tcp_now(t));
}

/* RFC 7323 7.1: the clock's offset differs by tuple, so it tells no uptime. */
static uint32_t timestamp_offset(const struct tow_tcp *t)
{
	uint8_t both[32];

	memcpy(both, t->path.src.b, 16);
	memcpy(both + 16, t->path.dst.b, 16);
	return (uint32_t)siphash24(&t->host->timestamp_key, both, sizeof(both));
}

static uint32_t ip_header_bytes(const struct tow_tcp *t)
{
	return tow_addr_is_v4(&t->path.dst) ? IP4_HEADER_BYTES
					    : IP6_HEADER_BYTES;
}

/* Of IP and TCP, without options. */
uint32_t tcp_headers_bytes(const struct tow_tcp *t)
{
	return ip_header_bytes(t) + TCP_HEADER_BYTES;
}

/* Options that each segment has, once they are agreed on. */
uint32_t tcp_option_bytes(const struct tow_tcp *t)
{
	uint32_t bytes = t->timestamps ? TCP_TIMESTAMPS_BYTES : 0;

	if (UNLIKELY(t->auth))
		bytes += auth_option_bytes(t);
	return bytes;
}

/* Find the way to the peer, and with it our own address and MTU. */
int tcp_open_path(struct tow_tcp *t)
{
	struct tow_endpoint local = tcp_local(t), remote = tcp_remote(t);
	int r = net_path_find(tcp_net(t), &local.addr, &remote.addr,
			      remote.zone, &t->path);

	if (r < 0)
		return r;
	t->path.ttl = t->set.ttl;
	t->path.tos = t->set.tos;
	t->snd.mtu = net_path_mtu(tcp_net(t), &t->path);
	t->snd.mss_peer = tow_addr_is_v4(&t->path.dst) ? TCP_MSS_DEFAULT_V4
						       : TCP_MSS_DEFAULT_V6;
	return 0;
}

static uint8_t scale_for(uint32_t bytes)
{
	uint8_t scale = 0;

	while (scale < 14 && (uint64_t)TCP_WINDOW_MAX << scale < bytes)
		scale++;
	return scale;
}

/* The MSS that our SYN announces, by the settings as they are now. */
uint32_t tcp_own_mss(const struct tow_tcp *t)
{
	uint32_t mss = t->path.mtu - tcp_headers_bytes(t);

	mss = MIN(mss, UINT16_MAX);
	return t->set.mss_max ? MIN(mss, t->set.mss_max) : mss;
}

/* What our SYN is going to offer. */
void tcp_offer(struct tow_tcp *t)
{
	uint32_t mss = tcp_own_mss(t);

	t->rcv.mss = (uint16_t)mss;
	t->rcv.segment_bytes = MIN(mss, SEGMENT_BYTES_FIRST);
	/* A peer that does not scale makes this 0 again. */
	t->rcv.scale = scale_for(t->set.recv_bytes_max);
	tcp_choose_mss(t);
	congestion_init(t);
}

/* Eff.snd.MSS of RFC 9293 3.7.1: options count as payload there. */
void tcp_choose_mss(struct tow_tcp *t)
{
	uint32_t headers = tcp_headers_bytes(t), options = tcp_option_bytes(t);
	uint32_t mss = t->snd.mtu > headers ? t->snd.mtu - headers : 0;

	mss = MIN(mss, MAX(t->snd.mss_peer, TCP_MSS_MIN));
	if (t->set.mss_max)
		mss = MIN(mss, t->set.mss_max);
	t->snd.mss = (uint16_t)(mss > options ? mss - options : 1);
}

/* Numbers of a connection that is about to send its SYN; see listen_input(). */
void tcp_begin(struct tow_tcp *t, const struct seq *after)
{
	t->ts.offset = timestamp_offset(t);
	t->snd.iss = tcp_new_isn(t);
	if (after && !seq_after(t->snd.iss, *after))
		t->snd.iss = seq_add(*after, TIME_WAIT_SKIP);
	t->snd.una = t->snd.nxt = t->snd.iss;
	flight_init(t);
	rack_init(t);
	tcp_offer(t);
	t->progress_us = tcp_now(t);
}

/* The peer's SYN: its numbers, and which options both sides want. */
void tcp_learn_syn(struct tow_tcp *t, const struct wire_tcp *seg)
{
	int32_t offered = MAX(0, seq_diff(t->rcv.edge, t->rcv.nxt));

	t->rcv.irs = seq_of(seg->sequence);
	t->rcv.nxt = seq_add(t->rcv.irs, 1);
	t->rcv.edge = seq_add(t->rcv.nxt, (uint32_t)offered);
	if (seg->has_mss)
		t->snd.mss_peer = MAX(seg->mss, TCP_MSS_MIN);
	user_timeout_heard(t, seg);
	t->sack = seg->sack_permitted;
	t->timestamps = seg->has_timestamps;
	if (UNLIKELY(t->auth) && auth_forgoes_timestamps(t, t->sack))
		t->timestamps = false;
	t->scaling = seg->has_window_scale;
	t->snd.scale = t->scaling ? seg->window_scale : 0;
	if (!t->scaling)
		t->rcv.scale = 0;
	if (t->timestamps) {
		t->ts.recent = seg->ts_value;
		t->ts.recent_s = tcp_now_s(t);
	}
	/* RFC 7323 2.2: the window of a SYN is never scaled. */
	t->snd.wnd = seg->window;
	t->snd.wnd_max = MAX(t->snd.wnd_max, seg->window);
	t->snd.wl1 = seq_of(seg->sequence);
	t->snd.wl2 = seq_of(seg->acknowledgement);
	ecn_learn_syn(t, seg);
	tcp_choose_mss(t);
}

/* Our SYN is acknowledged: data may flow. */
void tcp_establish(struct tow_tcp *t)
{
	uint8_t backoffs = t->recovery.backoffs;

	t->recovery = (struct recovery){ .point = t->snd.una };
	tcp_choose_mss(t);
	mtu_begin(t);
	t->user_timeout_due =
		user_timeout_is_told(t); /* as a SYN may be lost */
	congestion_init(t);
	if (backoffs > 1) { /* RFC 6928 2: SYNs were lost, begin small */
		t->cc.cwnd = t->snd.mss;
		congestion_ops(t)->restart(t);
	}
	t->recovery.syn_lost = backoffs > 0; /* RFC 6298 5.7 */
	t->probes = 0;
	/* As Linux: with a request behind our SYN the peer will answer soon. */
	t->rcv.interactive = !t->passive && t->send.next < t->send.end;
	t->rcv.quick_acks = t->rcv.interactive ? 0 : TCP_QUICK_ACKS;
	t->receive.tune_us = (uint32_t)tcp_now(t);
	tcp_enter(t, TOW_TCP_ESTABLISHED);
	if (t->send.finished) /* shut down before it began */
		tcp_enter(t, TOW_TCP_FIN_WAIT_1);
	/* RFC 7413 4.1.3: what the SYN's data was not taken for goes again. */
	if (!t->passive && tcp_in_flight(t) > 0)
		flight_all_lost(t, true);
	timer_restart_retransmit(t);
	timer_restart_keepalive(t);
	tcp_want_output(t);
	place_soon(t); /* perhaps memory was posted before */
}

/* -------------------------------------------- SYN-SENT, RFC 9293 3.10.7.3 */

static bool ack_is_ours(const struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct seq ack = seq_of(seg->acknowledgement);

	return seq_after(ack, t->snd.iss) && !seq_after(ack, t->snd.nxt);
}

/* RFC 7323 3.2: an echo that we never sent is not an answer to our SYN. */
static bool echo_is_ours(const struct tow_tcp *t, const struct wire_tcp *seg)
{
	uint32_t now = tcp_timestamp(t);

	return !seg->has_timestamps || seg->ts_echo == 0 ||
	       (int32_t)(now - seg->ts_echo) >= 0;
}

/* First and second: the ACK and RST bits. */
static enum verdict check_answer(struct tow_tcp *t, const struct wire_tcp *seg)
{
	bool ours = seg->flags & TH_ACK && ack_is_ours(t, seg);

	if (seg->flags & TH_ACK && (!ours || !echo_is_ours(t, seg))) {
		tcp_drop(t, TOW_DROP_TCP_ACK);
		return seg->flags & TH_RST ? DROP : DROP_RESET;
	}
	if (!(seg->flags & TH_RST))
		return PASS;
	if (ours) {
		tcp_count(t, TOW_COUNTER_TCP_RST_IN);
		tcp_fail(t, TOW_ECONNREFUSED);
	} else {
		tcp_drop(t, TOW_DROP_TCP_RST);
	}
	return DROP;
}

/* Fourth: SYN, with an acknowledgement of ours. */
static void on_syn_ack(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct ack_news news = { 0 };
	bool data = tcp_in_flight(t) > 1;

	tcp_learn_syn(t, seg);
	flight_acked(t, seq_of(seg->acknowledgement), &news);
	if (news.rtt_sent_us)
		rtt_sample(t, tcp_now(t) - news.rtt_sent_us);
	if (news.acked_bytes > 1)
		send_queue_acked(t, news.acked_bytes - 1);
	if (t->set.fast_open)
		fast_client_learn(t, seg, &news, data);
	tcp_establish(t);
	tcp_pend(t, PENDING_CONNECTED);
	t->ack_now = true;
	tcp_want_output(t);
}

/* Fourth: SYN alone, simultaneous open (RFC 9293 3.5, figure 7). */
static void on_simultaneous_syn(struct tow_tcp *t, const struct wire_tcp *seg)
{
	tcp_learn_syn(t, seg);
	tcp_enter(t, TOW_TCP_SYN_RECEIVED);
	tcp_send_syn(t);
	tcp_want_output(t); /* if there was no memory for it */
}

/*
 * Returns: PASS when the segment's payload and FIN are to be looked at too
 *          (fifth): now, or when the connection is established.
 */
enum verdict connect_input(struct tow_tcp *t, const struct wire_tcp *seg)
{
	enum verdict v = check_answer(t, seg);

	if (v != PASS)
		return v;
	if (!(seg->flags & TH_SYN)) {
		tcp_drop(t, TOW_DROP_TCP_FLAGS);
		return DROP;
	}
	if (seg->flags & TH_ACK)
		on_syn_ack(t, seg);
	else
		on_simultaneous_syn(t, seg);
	return PASS;
}
