/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Passive open: RFC 9293 3.10.7.2, and the backlog.
 *
 * A listener counts its half-open connections and those that wait for accept
 * together against the backlog, so that a handshake that completes always has
 * a place. When the backlog is full, or the table of connections, a new SYN
 * takes the place of the oldest half-open connection, if that had a second's
 * time to answer; else it is dropped, and the peer will try again.
 */
#include "tcp/tcp_private.h"

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

static bool make_room(struct tow_listener *l)
{
	return l->half_open_count + l->accept_count < l->backlog ||
	       evict_oldest(l);
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
	tcp_begin(t, after);
	(void)borrower_join(&t->borrower, l->owner); /* it has nothing yet */
	t->passive = true;
	t->parent = l->number;
	table_insert(t);
	t->listener = l;
	t->waits = true;
	list_append(&l->half_open, &t->queue);
	l->half_open_count++;
	return t;
}

static void on_syn(struct tow_listener *l, struct net_packet *packet,
		   const struct wire_tcp *seg, const struct seq *after)
{
	struct net *net = l->host->net;
	struct tow_tcp *t;

	/* RFC 1122 4.2.3.10; and LAND: from ourselves to ourselves. */
	if (packet->group || !net_is_unicast(net, &packet->src) ||
	    (seg->source_port == seg->destination_port &&
	     tow_addr_equal(&packet->src, &packet->dst))) {
		net_drop(net, TOW_DROP_IP_SOURCE);
		return;
	}
	if (!make_room(l)) {
		net_drop(net, TOW_DROP_TCP_BACKLOG);
		return;
	}
	t = open_half(l, packet, seg, after);
	if (!t)
		return;
	tcp_learn_syn(t, seg);
	tcp_enter(t, TOW_TCP_SYN_RECEIVED);
	net_count(net, TOW_COUNTER_TCP_PASSIVE_OPENS);
	tcp_send_syn(t); /* payload on the SYN will come again */
	if (!t->deadlines_us[TIMER_RETRANSMIT]) {
		net_drop(net, TOW_DROP_TCP_MEMORY); /* no record for it */
		tcp_fail(t, TOW_ENOBUFS);
	}
}

/*
 * RFC 9293 3.10.7.2
 *
 * @after: NULL, or the last sequence number of a connection in TIME-WAIT that
 *         this SYN takes over (RFC 6191): the new one must begin above it
 */
void listen_input(struct tow_listener *l, struct net_packet *packet,
		  const struct wire_tcp *seg, const struct seq *after)
{
	struct tcp_host *host = l->host;

	if (seg->flags & TH_RST) { /* first */
		net_drop(host->net, TOW_DROP_TCP_RST);
	} else if (seg->flags & TH_ACK) { /* second */
		net_drop(host->net, TOW_DROP_TCP_ACK);
		tcp_reject(host, packet, seg);
	} else if (!(seg->flags & TH_SYN) || seg->flags & TH_FIN) {
		net_drop(host->net, TOW_DROP_TCP_FLAGS); /* fourth */
	} else {
		on_syn(l, packet, seg, after); /* third */
	}
}

/* The handshake of a passive open is complete: it waits for accept. */
void listen_promote(struct tow_tcp *t)
{
	struct tow_listener *l = t->listener;

	if (!t->waits)
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
