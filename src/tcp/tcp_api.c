/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls of tow/tcp.h, and the events of connections and listeners.
 *
 * A call checks what the program gave it, changes the queues, and notes that
 * there is something to send; nothing is sent from here.
 */
#include "tcp/tcp_private.h"

/* ------------------------------------------------------------------ events */

/* Report @what with the next events; 0 for loans, which say it themselves. */
void tcp_pend(struct tow_tcp *t, enum tcp_pending what)
{
	t->pending |= (uint8_t)what;
	if (t->waits) /* nobody knows it yet: accept will look */
		return;
	if (t->app_closed && !tcp_owes_tokens(t))
		return;
	if (list_empty(&t->ready))
		list_append(&t->host->ready, &t->ready);
}

static bool take_loan(struct tow_tcp *t, struct tow_event *out)
{
	struct loan *loan = t->send.done;

	if (!loan)
		return false;
	t->send.done = loan->next;
	*out = (struct tow_event){
		.type = loan->flags & LOAN_STAMP ? TOW_EVENT_STAMP
						 : TOW_EVENT_LOAN,
		.status = loan->status,
		.object = t->app_closed ? NULL : t,
		.user = t->user,
		.token = loan->token,
		.sent_us = loan->sent_us,
		.acked_us = loan->status == 0 ? loan->start : 0,
	};
	loan_free(t->host, loan);
	return true;
}

static const struct {
	enum tcp_pending bit;
	enum tow_event_type type;
} readiness[] = {
	{ PENDING_CONNECTED, TOW_EVENT_CONNECTED },
	{ PENDING_REVOKE, TOW_EVENT_REVOKE },
	{ PENDING_URGENT, TOW_EVENT_URGENT },
	{ PENDING_READABLE, TOW_EVENT_READABLE },
	{ PENDING_WRITABLE, TOW_EVENT_WRITABLE },
	{ PENDING_CLOSED, TOW_EVENT_CLOSED }, /* the last there is */
};

/* The program hears of it; or has returned everything meanwhile. */
static bool revoke_is_told(struct tow_tcp *t)
{
	if (t->borrower.revoking)
		govern_told(&t->borrower);
	return t->borrower.revoking;
}

static bool take_readiness(struct tow_tcp *t, struct tow_event *out)
{
	if (t->app_closed)
		return false;
	for (unsigned i = 0; i < LENGTH(readiness); i++) {
		if (!(t->pending & readiness[i].bit))
			continue;
		t->pending &= (uint8_t)~readiness[i].bit;
		if (readiness[i].bit == PENDING_REVOKE && !revoke_is_told(t))
			continue;
		*out = (struct tow_event){
			.type = readiness[i].type,
			.status = readiness[i].bit == PENDING_CLOSED ? t->error
								     : 0,
			.object = t,
			.user = t->user,
		};
		return true;
	}
	return false;
}

static int connection_events(struct tow_tcp *t, struct tow_event *out, int max)
{
	int n = 0;

	while (n < max &&
	       (take_loan(t, &out[n]) || post_take_event(t, &out[n]) ||
		take_readiness(t, &out[n])))
		n++;
	if (n < max) {
		list_remove(&t->ready);
		tcp_release(t);
	}
	return n;
}

static int listener_events(struct tcp_host *host, struct tow_event *out,
			   int max)
{
	int n = 0;

	LIST_EACH (node, &host->listening_ready) {
		struct tow_listener *l =
			CONTAINER(node, struct tow_listener, ready);

		if (n == max)
			break;
		list_remove(&l->ready);
		l->pending = false;
		out[n++] = (struct tow_event){
			.type = TOW_EVENT_ACCEPT,
			.object = l,
			.user = l->user,
		};
	}
	return n;
}

int tcp_events(struct tcp_host *host, struct tow_event *out, int max)
{
	int n = listener_events(host, out, max);

	host->events_by_call = false;
	while (n < max && !list_empty(&host->ready)) {
		struct tow_tcp *t =
			CONTAINER(host->ready.next, struct tow_tcp, ready);

		n += connection_events(t, out + n, max - n);
	}
	return n;
}

bool tcp_idle(const struct tcp_host *host)
{
	return host->connections_live == 0 && host->loans_live == 0 &&
	       list_empty(&host->ready) && list_empty(&host->listening_ready);
}

/*
 * What waits for memory goes on when some was freed. That happens inside of a
 * poll, or by a call of the program, which polls afterwards.
 */
bool tcp_waits(const struct tcp_host *host)
{
	bool can_send = host->net->tx_pool.bufs_left > 0 &&
			host->sents_live < host->cfg.segments;

	return (can_send && !list_empty(&host->output)) ||
	       (!list_empty(&host->starved) && send_queue_has_memory(host));
}

void tcp_sent(struct tcp_host *host, struct tow_buf *buf)
{
	struct tow_tcp *t = buf->lender;

	(void)host;
	send_queue_detach(t, buf);
	tcp_release(t);
}

void tcp_link_gone(struct tcp_host *host, const struct net_link *link)
{
	for (uint32_t i = 0; i < host->connections_used; i++) {
		struct tow_tcp *t = &host->connections[i];

		if (t->hashed && t->path.link == link)
			tcp_fail(t, TOW_ENETDOWN);
	}
}

/* --------------------------------------------------------------- listeners */

static bool may_bind(const struct tcp_host *host, const struct tow_addr *addr)
{
	return tow_addr_is_any(addr) || net_is_local(host->net, addr);
}

static bool port_is_taken(const struct tcp_host *host,
			  const struct tow_endpoint *local)
{
	for (uint32_t i = 0; i < host->cfg.listener_max; i++) {
		const struct tow_listener *l = &host->listeners[i];

		if (l->open && l->local.port == local->port &&
		    tow_addr_equal(&l->local.addr, &local->addr))
			return true;
	}
	return false;
}

static struct tow_listener *free_listener(struct tcp_host *host)
{
	for (uint32_t i = 0; i < host->cfg.listener_max; i++) {
		if (!host->listeners[i].open)
			return &host->listeners[i];
	}
	return NULL;
}

#define BACKLOG_MAX 65535

int tow_tcp_listen(struct tow_stack *stack, const struct tow_endpoint *local,
		   int backlog, struct tow_listener **out)
{
	struct tcp_host *host = stack_tcp(stack);
	struct tow_listener *l;

	if (local->port == 0 || backlog < 1 || backlog > BACKLOG_MAX)
		return TOW_EINVAL;
	if (!may_bind(host, &local->addr))
		return TOW_EADDRNOTAVAIL;
	if (port_is_taken(host, local))
		return TOW_EADDRINUSE;
	l = free_listener(host);
	if (!l)
		return TOW_ENOBUFS;
	*l = (struct tow_listener){
		.host = host,
		.local = *local,
		.backlog = (uint32_t)backlog,
		.number = ++host->listeners_made,
		.open = true,
	};
	settings_default(&l->set, &host->cfg);
	list_init(&l->ready);
	list_init(&l->half_open);
	list_init(&l->accept);
	*out = l;
	return 0;
}

static void end_all(struct list *waiting, bool tell_peers)
{
	while (!list_empty(waiting)) {
		struct tow_tcp *t =
			CONTAINER(waiting->next, struct tow_tcp, queue);

		if (tell_peers && t->state != TOW_TCP_CLOSED)
			tcp_send_control(t, TH_RST | TH_ACK);
		listen_forget(t);
		if (t->state == TOW_TCP_CLOSED)
			tcp_release(t);
		else
			tcp_fail(t, TOW_ECONNABORTED);
	}
}

void tow_listener_close(struct tow_listener *l)
{
	/* The peer of a half-open one hears of it when it answers: a RST. */
	end_all(&l->half_open, false);
	end_all(&l->accept, true);
	list_remove(&l->ready);
	auth_close_listener(l);
	l->open = false;
}

void tow_listener_set_owner(struct tow_listener *l, struct tow_owner *owner)
{
	l->owner = owner;
}

void tcp_owner_gone(struct tcp_host *host, const struct tow_owner *owner)
{
	for (uint32_t i = 0; i < host->cfg.listener_max; i++) {
		if (host->listeners[i].owner == owner)
			host->listeners[i].owner = NULL;
	}
}

void tow_listener_set_user(struct tow_listener *l, void *user)
{
	l->user = user;
}

int tow_listener_set(struct tow_listener *l, enum tow_tcp_option option,
		     int64_t value)
{
	return settings_set(&l->set, option, value);
}

int tow_tcp_accept(struct tow_listener *l, struct tow_tcp **out)
{
	struct tow_tcp *t;

	if (list_empty(&l->accept))
		return TOW_EAGAIN;
	t = CONTAINER(l->accept.next, struct tow_tcp, queue);
	list_remove(&t->queue);
	l->accept_count--;
	t->waits = false;
	t->user = NULL;
	if (t->pending)
		tcp_pend(t, 0);
	*out = t;
	return 0;
}

/* ----------------------------------------------------------------- opening */

static int choose_local(struct tow_tcp *t)
{
	struct tow_endpoint local = tcp_local(t), remote = tcp_remote(t);
	int r = 0;

	if (local.port == 0)
		r = table_pick_port(t->host, &local, &remote);
	else if (table_find(t->host, &local, &remote))
		r = TOW_EADDRINUSE;
	t->local_port = local.port;
	return r;
}

static int begin_connect(struct tow_tcp *t)
{
	int r = tcp_open_path(t);

	if (r == 0)
		r = choose_local(t);
	if (r < 0)
		return r;
	tcp_begin(t, NULL);
	table_insert(t);
	tcp_enter(t, TOW_TCP_SYN_SENT);
	tcp_want_output(t);
	tcp_count(t, TOW_COUNTER_TCP_ACTIVE_OPENS);
	return 0;
}

int tow_tcp_connect(struct tow_stack *stack, const struct tow_endpoint *local,
		    const struct tow_endpoint *remote, struct tow_tcp **out)
{
	struct tcp_host *host = stack_tcp(stack);
	struct tow_endpoint from = local ? *local : (struct tow_endpoint){ 0 };
	struct tcp_settings set;
	struct tow_tcp *t;
	int r;

	if (remote->port == 0 || !net_is_unicast(host->net, &remote->addr))
		return TOW_EINVAL;
	if (!may_bind(host, &from.addr))
		return TOW_EADDRNOTAVAIL;
	settings_default(&set, &host->cfg);
	t = table_new(host, &from, remote, &set);
	if (!t)
		return TOW_ENOBUFS;
	r = begin_connect(t);
	if (r < 0) {
		if (t->state == TOW_TCP_CLOSED)
			table_free(t);
		return r;
	}
	*out = t;
	return 0;
}

/* ----------------------------------------------------------------- sending */

static int may_queue(const struct tow_tcp *t)
{
	if (t->state == TOW_TCP_CLOSED)
		return t->error ? t->error : TOW_EPIPE;
	return t->send.finished ? TOW_EPIPE : 0;
}

static void note_queued(struct tow_tcp *t)
{
	timer_clear(t, TIMER_MORE);
	tcp_want_output(t);
}

int64_t tow_tcp_send(struct tow_tcp *t, const void *data, size_t bytes,
		     unsigned flags)
{
	int64_t r = may_queue(t);

	if (r < 0 || bytes == 0)
		return r;
	r = send_queue_copy(t, data, bytes, flags);
	if (r < (int64_t)bytes)
		t->want_write = true;
	if (r > 0)
		note_queued(t);
	return r;
}

int tow_tcp_lend(struct tow_tcp *t, const struct tow_span *spans, int count,
		 uint64_t token, unsigned flags)
{
	int r = may_queue(t);

	if (r < 0)
		return r;
	if (count < 1 || count > TOW_SPANS_MAX)
		return TOW_EINVAL;
	r = send_queue_lend(t, spans, count, token, flags);
	if (r == TOW_EAGAIN)
		t->want_write = true;
	if (r == 0)
		note_queued(t);
	return r;
}

int tow_tcp_stamp(struct tow_tcp *t, uint64_t token)
{
	int r = may_queue(t);

	return r < 0 ? r : send_queue_stamp(t, token);
}

uint64_t tow_tcp_send_room(const struct tow_tcp *t)
{
	return may_queue(t) < 0 ? 0 : send_queue_room_bytes(t);
}

/* --------------------------------------------------------------- receiving */

/*
 * What to say when there is nothing more to read. As Linux does, bytes that
 * arrived before a reset can still be read (RFC 9293 3.10.7.4 would flush).
 */
static int nothing_to_read(const struct tow_tcp *t)
{
	const struct receive *r = &t->receive;

	if (r->fin_seen && seq_after(t->rcv.nxt, r->fin))
		return 0;
	if (t->state == TOW_TCP_CLOSED)
		return t->error;
	return TOW_EAGAIN;
}

/* Reading made room: the peer may have to hear of it. */
void tcp_after_read(struct tow_tcp *t)
{
	if (tcp_synchronized(t) && !t->receive.fin_seen &&
	    receive_window_grew(t)) {
		t->ack_now = true;
		tcp_want_output(t);
	}
}

int64_t tow_tcp_recv(struct tow_tcp *t, void *out, size_t bytes)
{
	int64_t n;

	if (t->receive.borrowed_bytes || tcp_has_posts(t))
		return TOW_EBUSY;
	n = (int64_t)receive_copy(t, out, bytes, TOW_COPY_RX_RECV);
	if (n == 0)
		return bytes ? nothing_to_read(t) : 0;
	tcp_after_read(t);
	return n;
}

int tow_tcp_borrow(struct tow_tcp *t, struct tow_span *out, int max)
{
	int n;

	if (max < 1 || max > TOW_SPANS_MAX)
		return TOW_EINVAL;
	if (tcp_has_posts(t))
		return TOW_EBUSY;
	n = receive_borrow(t, out, max);
	return n ? n : nothing_to_read(t);
}

void tow_tcp_return(struct tow_tcp *t, size_t bytes)
{
	receive_returned(t, bytes);
	TCP_ENTER(t, rx_lent_bytes, bytes);
	tcp_after_read(t);
}

int64_t tow_tcp_pass(struct tow_tcp *to, struct tow_tcp *from, size_t bytes,
		     unsigned flags)
{
	int64_t r = may_queue(to);

	ASSERT(bytes <= from->receive.borrowed_bytes);
	if (r < 0 || bytes == 0)
		return r;
	if (to->host != from->host)
		return TOW_EINVAL;
	r = pass_borrowed(to, from, bytes, flags);
	if (r < (int64_t)bytes)
		to->want_write = true;
	if (r > 0) {
		note_queued(to);
		tcp_after_read(from);
	}
	return r;
}

/* ----------------------------------------------------------------- closing */

static void finish_sending(struct tow_tcp *t)
{
	t->send.finished = true;
	t->send.more = false;
	timer_clear(t, TIMER_MORE);
	if (t->state == TOW_TCP_ESTABLISHED)
		tcp_enter(t, TOW_TCP_FIN_WAIT_1);
	else if (t->state == TOW_TCP_CLOSE_WAIT)
		tcp_enter(t, TOW_TCP_LAST_ACK);
	tcp_want_output(t);
}

int tow_tcp_shutdown(struct tow_tcp *t)
{
	int r = may_queue(t);

	if (r == 0)
		finish_sending(t);
	return r;
}

static void reset(struct tow_tcp *t, int error)
{
	if (tcp_synchronized(t) && t->state != TOW_TCP_TIME_WAIT)
		tcp_send_control(t, TH_RST | TH_ACK);
	else if (t->state == TOW_TCP_SYN_RECEIVED)
		tcp_send_control(t, TH_RST | TH_ACK);
	tcp_fail(t, error);
}

void tow_tcp_abort(struct tow_tcp *t)
{
	t->app_closed = true;
	post_close(t);
	receive_free(t);
	borrower_leave(&t->borrower);
	table_free_ledger(t);
	if (t->state == TOW_TCP_CLOSED)
		tcp_release(t);
	else
		reset(t, TOW_ECONNABORTED);
}

void tow_tcp_close(struct tow_tcp *t)
{
	/* RFC 2525 2.17: what was received and not read is lost: say so. */
	bool loses = t->receive.unread_bytes > t->receive.borrowed_bytes ||
		     t->receive.holes.count > 0;

	if (t->state == TOW_TCP_CLOSED || t->state == TOW_TCP_SYN_SENT ||
	    t->set.linger_s == 0 || (loses && t->state != TOW_TCP_TIME_WAIT)) {
		tow_tcp_abort(t);
		return;
	}
	t->app_closed = true;
	post_close(t);
	receive_free(t);
	borrower_leave(&t->borrower);
	table_free_ledger(t);
	if (!t->send.finished)
		finish_sending(t);
	if (t->state == TOW_TCP_TIME_WAIT)
		ecn_option_over(t);
	if (t->state == TOW_TCP_FIN_WAIT_2)
		tcp_await_fin(t); /* all has arrived: nothing to linger for */
	else if (t->set.linger_s > 0 && t->state != TOW_TCP_TIME_WAIT)
		timer_set(t, TIMER_LIFE,
			  tcp_now(t) + (uint64_t)t->set.linger_s * 1000000);
	if (!tcp_owes_tokens(t))
		list_remove(&t->ready);
	if (t->state != TOW_TCP_TIME_WAIT && t->state != TOW_TCP_FIN_WAIT_2)
		orphan_add(t); /* the last: it may be the one to go */
}

/* ------------------------------------------------------------ this and that */

int tow_tcp_set(struct tow_tcp *t, enum tow_tcp_option option, int64_t value)
{
	struct tcp_settings set = t->set;
	int r = settings_set(&set, option, value);

	if (r < 0)
		return r;
	if (!pacing_adopt(t, &set))
		return TOW_ENOBUFS;
	t->set = set;
	switch (option) {
	case TOW_TCP_KEEPALIVE_S:
		timer_restart_keepalive(t);
		break;
	case TOW_TCP_RECV_BYTES:
		t->receive.limit = t->set.recv_bytes;
		break;
	case TOW_TCP_MSS:
		tcp_choose_mss(t);
		break;
	case TOW_TCP_CONGESTION:
		congestion_ops(t)->init(t);
		tcp_want_output(t);
		break;
	case TOW_TCP_PACING_RATE:
		if (t->paced)
			pacing_renew(t);
		tcp_want_output(t);
		break;
	case TOW_TCP_NODELAY: /* sends what waits, as in Linux; even if corked
			       */
		t->send.hurried = value && t->send.next < t->send.end;
		tcp_want_output(t);
		break;
	case TOW_TCP_CORK:
		tcp_want_output(t);
		break;
	case TOW_TCP_LEND_BYTES:
		t->borrower.lent_max = t->set.lend_bytes;
		break;
	case TOW_TCP_RECV_POSTED:
		tcp_after_read(t);
		break;
	case TOW_TCP_USER_TIMEOUT_MS:
	case TOW_TCP_USER_TIMEOUT_TELL:
		t->user_timeout_due =
			tcp_synchronized(t) && user_timeout_is_told(t);
		break;
	case TOW_TCP_FAST_OPEN:
	case TOW_TCP_FAST_OPEN_HOW:
		tcp_want_output(t); /* the SYN may wait no longer */
		break;
	case TOW_TCP_TTL:
		t->path.ttl = t->set.ttl;
		break;
	case TOW_TCP_TOS:
		t->path.tos = t->set.tos;
		break;
	default:
		break;
	}
	return 0;
}

int tow_tcp_get(const struct tow_tcp *t, enum tow_tcp_option option,
		int64_t *value)
{
	if (!settings_has(option))
		return TOW_EINVAL;
	*value = settings_get(&t->set, option);
	return 0;
}

int tow_tcp_set_owner(struct tow_tcp *t, struct tow_owner *owner)
{
	return borrower_join(&t->borrower, owner);
}

void tow_tcp_set_user(struct tow_tcp *t, void *user)
{
	t->user = user;
}

void *tow_tcp_user(const struct tow_tcp *t)
{
	return t->user;
}

static uint32_t ago_us(const struct tow_tcp *t, uint32_t at_ms)
{
	uint32_t ago_ms = (uint32_t)(tcp_now(t) / 1000) - at_ms;

	return at_ms ? (uint32_t)MIN(ago_ms * 1000ull, UINT32_MAX) : 0;
}

/* What holds the sender up, what is lost, and for how long. */
static void info_of_sending(const struct tow_tcp *t, struct tow_tcp_info *out)
{
	uint64_t window_us = hold_us(t, HOLD_WINDOW);
	uint64_t buffer_us = hold_us(t, HOLD_BUFFER);

	out->busy_us = hold_us(t, HOLD_BUSY) + window_us + buffer_us;
	out->window_limited_us = window_us;
	out->buffer_limited_us = buffer_us;
	out->sacked_bytes = t->flight.sacked_bytes;
	out->lost_bytes = t->flight.lost_bytes;
	out->retransmits = t->retransmits;
	out->retransmitted_bytes = t->retransmitted_bytes;
	out->recovering = t->recovery.state != RECOVERY_NONE;
	out->backoffs = t->recovery.backoffs;
	out->probes = t->probes;
	out->last_sent_us = ago_us(t, t->flight.data_ms);
	out->last_received_us = ago_us(t, t->rcv.data_ms);
}

void tow_tcp_info(const struct tow_tcp *t, struct tow_tcp_info *out)
{
	*out = (struct tow_tcp_info){
		.state = (enum tow_tcp_state)t->state,
		.mss = t->snd.mss,
		.cwnd_bytes = t->cc.cwnd,
		.ssthresh_bytes = t->cc.ssthresh,
		.srtt_us = t->rtt.srtt_us,
		.rto_us = rtt_timeout_us(t),
		.send_window_bytes = t->snd.wnd,
		.recv_window_bytes =
			(uint32_t)MAX(0, seq_diff(t->rcv.edge, t->rcv.nxt)),
		.in_flight_bytes = tcp_in_flight(t),
		.queued_bytes = t->send.end - t->send.acked,
		.unread_bytes =
			t->receive.unread_bytes - t->receive.borrowed_bytes,
		.received_bytes = t->rcv.bytes,
		.rttvar_us = t->rtt.rttvar_us,
		.min_rtt_us = t->rtt.min_us,
		.acked_bytes = t->send.acked,
		.unsent_bytes = t->send.end - t->send.next,
		.mtu = t->snd.mtu,
		.peer_mss = t->snd.mss_peer,
		.own_mss = t->rcv.mss,
		.send_scale = t->snd.scale,
		.recv_scale = t->rcv.scale,
		.delivery_rate = t->paced ? t->paced->rate.bytes_per_s : 0,
		.pacing_rate = t->paced ? t->paced->bytes_per_s : 0,
		.soft_error = t->soft_error,
		.sack = t->sack,
		.timestamps = t->timestamps,
		.window_scaling = t->scaling,
		.fast_open = t->fast_open,
		.ecn = t->ecn.on,
		.ecn_accurate = t->ecn.accurate,
		.ecn_marks_in = t->ecn.marks_in,
		.ecn_marks_out = t->ecn.marks_out,
		.placement = place_state(t),
	};
	info_of_sending(t, out);
	ecn_option_tell(t, out);
}

struct tow_endpoint tow_tcp_local(const struct tow_tcp *t)
{
	return tcp_local(t);
}

struct tow_endpoint tow_tcp_remote(const struct tow_tcp *t)
{
	return tcp_remote(t);
}

const struct tow_ledger *tow_tcp_ledger(struct tow_tcp *t)
{
	if (!t->ledger)
		t->ledger = table_new_ledger(t->host);
	return t->ledger;
}
