/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Passive open: RFC 9293 3.10.7.2, and the backlog.
 *
 * A listener counts its half-open connections and those that wait for accept
 * together against the backlog, so that a handshake that completes always has a
 * place. When it is full, there are too many half-open ones: a new SYN is
 * answered by a cookie (syn_cookie.c), and who brings it back takes the place
 * of the oldest half-open connection. SYN-ACKs are hardly sent again then, and
 * who does not answer is not reset, so that we are no use for a flood of
 * somebody else. Only a backlog that is full of connections that wait for
 * accept drops a SYN.
 *
 * Without cookies (TOW_TCP_COOKIES_NEVER), and when the table of connections is
 * full, a new SYN takes the place of the oldest half-open connection, if that
 * had a second's time to answer; else it is dropped, and the peer will try
 * again.
 */
#include "tcp/tcp_auth.h"

#define PRESSED_MIN 8 /* fewer half-open connections are no flood */

static struct tow_tcp *oldest_half_open(const struct tow_listener *l)
{
	if (list_empty(&l->half_open))
		return NULL;
	return CONTAINER(l->half_open.next, struct tow_tcp, queue);
}

static bool evict_oldest(struct tow_listener *l)
{
	struct tow_tcp *oldest = oldest_half_open(l);

	if (!oldest ||
	    l->host->net->now_us - oldest->progress_us < TCP_BACKLOG_FRESH_US)
		return false;
	tcp_fail(oldest, TOW_ETIMEDOUT);
	return true;
}

static bool has_room(const struct tow_listener *l)
{
	return l->half_open_count + l->accept_count < l->backlog;
}

/* So many are half open that it looks like a flood. */
bool listen_is_pressed(const struct tow_listener *l)
{
	return l->half_open_count >= (l->backlog + 1) / 2 &&
	       l->half_open_count >= PRESSED_MIN;
}

/* A connection leaves the listener's care: accepted, or it ended before. */
void listen_forget(struct tow_tcp *t)
{
	struct tow_listener *l = t->listener;

	if (!t->waits)
		return;
	if (t->promoted)
		l->accept_count--;
	else
		l->half_open_count--;
	t->waits = false;
	t->user = NULL;
	t->app_closed = true; /* nobody will ever get it */
	list_remove(&t->queue);
}

/* It ended before it was accepted: as in Linux, what came can still be read. */
bool listen_keeps(const struct tow_tcp *t)
{
	return t->waits && t->promoted && t->receive.unread_bytes > 0;
}

static struct tow_tcp *open_half(struct tow_listener *l,
				 const struct net_packet *packet,
				 const struct wire_tcp *seg,
				 const struct seq *after)
{
	struct tow_endpoint local = { packet->dst, seg->destination_port, 0 };
	struct tow_endpoint remote = { packet->src, seg->source_port,
				       packet->zone };
	struct tow_tcp *t = table_new(l->host, &local, &remote, &l->set);

	if (!t && evict_oldest(l))
		t = table_new(l->host, &local, &remote, &l->set);
	if (!t) {
		net_drop(l->host->net, TOW_DROP_TCP_MEMORY);
		return NULL;
	}
	t->app_closed = true; /* until somebody accepts it */
	if (tcp_open_path(t) < 0) {
		table_free(t);
		return NULL;
	}
	t->passive = true;
	if (l->keys && !auth_inherit(t, l, seg)) {
		net_drop(l->host->net, TOW_DROP_TCP_MEMORY);
		table_free(t);
		return NULL;
	}
	tcp_begin(t, after);
	(void)borrower_join(&t->borrower, l->owner); /* it has nothing yet */
	t->parent = l->number;
	table_insert(t);
	t->listener = l;
	t->waits = true;
	list_append(&l->half_open, &t->queue);
	l->half_open_count++;
	tcp_learn_syn(t, seg);
	tcp_enter(t, TOW_TCP_SYN_RECEIVED);
	net_count(l->host->net, TOW_COUNTER_TCP_PASSIVE_OPENS);
	return t;
}

/* Answer, and forget the peer. */
static void answer_by_cookie(struct tow_listener *l,
			     const struct net_packet *packet,
			     const struct wire_tcp *seg)
{
	struct tow_endpoint local = { packet->dst, seg->destination_port, 0 };
	struct tow_endpoint remote = { packet->src, seg->source_port,
				       packet->zone };
	struct tow_tcp ghost = { 0 };
	struct auth auth;

	table_fill(&ghost, l->host, &local, &remote, &l->set);
	ghost.set.congestion = TOW_TCP_CUBIC; /* it has no record for BBR */
	if (tcp_open_path(&ghost) < 0)
		return;
	ghost.passive = true;
	if (l->keys)
		auth_borrow(&ghost, l, seg, &auth);
	tcp_begin(&ghost, NULL);
	tcp_learn_syn(&ghost, seg);
	l->cookie_us = MAX(l->host->net->now_us, 1);
	cookie_send(&ghost);
}

static bool cookie_is_due(const struct tow_listener *l)
{
	return l->set.syn_cookies == TOW_TCP_COOKIES_ALWAYS ||
	       (l->set.syn_cookies == TOW_TCP_COOKIES_NEEDED && !has_room(l));
}

/* RFC 1122 4.2.3.10; and LAND: from ourselves to ourselves. */
static bool is_odd(const struct tow_listener *l,
		   const struct net_packet *packet, const struct wire_tcp *seg)
{
	return packet->group || !net_is_unicast(l->host->net, &packet->src) ||
	       (seg->source_port == seg->destination_port &&
		tow_addr_equal(&packet->src, &packet->dst));
}

static void on_syn(struct tow_listener *l, struct net_packet *packet,
		   const struct wire_tcp *seg, const struct seq *after)
{
	struct net *net = l->host->net;
	struct tow_tcp *t;

	if (is_odd(l, packet, seg)) {
		net_drop(net, TOW_DROP_IP_SOURCE);
		return;
	}
	if (l->accept_count >= l->backlog) {
		net_drop(net, TOW_DROP_TCP_BACKLOG);
		return;
	}
	if (cookie_is_due(l)) {
		answer_by_cookie(l, packet, seg);
		return;
	}
	if (!has_room(l) && !evict_oldest(l)) {
		net_drop(net, TOW_DROP_TCP_BACKLOG);
		return;
	}
	t = open_half(l, packet, seg, after);
	if (!t)
		return;
	if (fast_open_accept(t, seg, packet->buf->bytes)) {
		congestion_init(t); /* by the MSS that is known now */
		if (packet->buf->bytes > 0)
			tcp_take_early(t, packet, seg);
		listen_promote(t);
	}
	tcp_send_syn(t); /* payload that was not taken will come again */
	if (!t->deadlines_ms[TIMER_RETRANSMIT]) {
		net_drop(net, TOW_DROP_TCP_MEMORY); /* no record for it */
		listen_forget(t); /* its data comes with the next one */
		tcp_fail(t, TOW_ENOBUFS);
	}
}

/* As it would be had we kept @syn, and sent that cookie as our SYN-ACK. */
static struct tow_tcp *revive(struct tow_listener *l,
			      const struct net_packet *packet,
			      const struct wire_tcp *syn, struct seq iss)
{
	struct tow_tcp *t = open_half(l, packet, syn, NULL);
	struct sent *s;

	if (!t)
		return NULL;
	t->snd.iss = t->snd.una = t->snd.nxt = iss;
	t->ecn.reacted = iss;
	flight_init(t);
	s = flight_append(t, 1, SENT_SYN);
	if (!s) {
		net_drop(l->host->net, TOW_DROP_TCP_MEMORY);
		tcp_fail(t, TOW_ENOBUFS);
		return NULL;
	}
	flight_mark(t, s, SENT_EVER_RETRANS, 0); /* nobody knows when */
	receive_keep_promise(t);
	t->ts.last_ack = t->rcv.nxt;
	timer_restart_retransmit(t);
	return t;
}

/* As RFC 9293 3.10.7.2 says; signed, if the peer would not hear it else. */
static void refuse(struct tow_listener *l, const struct net_packet *packet,
		   const struct wire_tcp *seg)
{
	struct tow_tcp ghost = { .host = l->host,
				 .path = { .dst = packet->src } };
	struct auth auth;

	if (l->keys)
		auth_borrow_for_reset(&ghost, l, seg, &auth);
	tcp_reject(l->host, packet, seg, &ghost);
}

/*
 * An ACK that brings no cookie of ours is bad. But while cookies are out, it may
 * be of a connection whose first segment was lost, or comes later: the cookie is
 * good with that one only. Data that follows, and the ACK of a SYN-ACK that came
 * twice, are none. Whoever is not known at all is reset once no cookie is out.
 */
static void on_bad_ack(struct tow_listener *l, struct net_packet *packet,
		       const struct wire_tcp *seg)
{
	net_drop(l->host->net, TOW_DROP_TCP_ACK);
	if (seg->flags & TH_SYN || !cookie_is_awaited(l))
		refuse(l, packet, seg);
}

/* Second: there is nothing to acknowledge, unless it is a cookie. */
static struct tow_tcp *on_ack(struct tow_listener *l, struct net_packet *packet,
			      const struct wire_tcp *seg)
{
	struct tcp_host *host = l->host;
	struct wire_tcp syn;

	if (seg->flags & TH_SYN || !cookie_is_awaited(l) ||
	    !cookie_returns(host, packet, seg, &syn)) {
		on_bad_ack(l, packet, seg);
		return NULL;
	}
	if (l->accept_count >= l->backlog) { /* its data will come again */
		net_drop(host->net, TOW_DROP_TCP_BACKLOG);
		return NULL;
	}
	if (!has_room(l))
		tcp_fail(oldest_half_open(l), TOW_ETIMEDOUT);
	return revive(l, packet, &syn, seq_of(seg->acknowledgement - 1));
}

/*
 * RFC 9293 3.10.7.2
 *
 * @after: NULL, or the last sequence number of a connection in TIME-WAIT that
 *         this SYN takes over (RFC 6191): the new one must begin above it
 *
 * Returns: a connection that the segment is for after all, or NULL. Then the
 *          buffer is the caller's still, unless it was taken out of @packet.
 */
struct tow_tcp *listen_input(struct tow_listener *l, struct net_packet *packet,
			     const struct wire_tcp *seg,
			     const struct seq *after)
{
	struct tcp_host *host = l->host;

	if (seg->flags & TH_RST) { /* first */
		net_drop(host->net, TOW_DROP_TCP_RST);
	} else if (seg->flags & TH_ACK) { /* second */
		return on_ack(l, packet, seg);
	} else if (!(seg->flags & TH_SYN) || seg->flags & TH_FIN) {
		net_drop(host->net, TOW_DROP_TCP_FLAGS); /* fourth */
	} else {
		on_syn(l, packet, seg, after); /* third */
	}
	return NULL;
}

/* The handshake of a passive open is complete: it waits for accept. */
void listen_promote(struct tow_tcp *t)
{
	struct tow_listener *l = t->listener;

	if (!t->waits || t->promoted)
		return;
	l->half_open_count--;
	l->accept_count++;
	t->promoted = true;
	t->app_closed = false;
	list_remove(&t->queue);
	list_append(&l->accept, &t->queue);
	l->pending = true;
	if (list_empty(&l->ready))
		list_append(&t->host->listening_ready, &l->ready);
}
