/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers of a connection.
 *
 * A connection has several deadlines and one timer in the wheel, armed for the
 * earliest of them or earlier. Deadlines mostly move away (each ACK restarts
 * the retransmission timer), and then the wheel is left alone: the timer fires
 * in vain once, finds that nothing is due, and is armed anew. So the fast path
 * pays one store for its timers.
 */
#include "tcp/tcp_private.h"

/*
 * Deadlines are whole milliseconds, rounded up: a timer does not expire early,
 * and those of many are due together. Their low bits reach for 24 days.
 */
#define FAST_TIMEOUTS 3 /* in a row, from the beginning on; as Linux */
#define TICKS_MAX     ((uint64_t)INT32_MAX / 2)

static uint64_t now_ms(const struct tow_tcp *t)
{
	return tcp_now(t) / TCP_TICK_US;
}

/* One that is set; it may be over. */
uint64_t timer_at_us(const struct tow_tcp *t, enum tcp_timer which)
{
	uint64_t now = now_ms(t);
	int32_t ahead = (int32_t)(t->deadlines_ms[which] - (uint32_t)now);

	return (now + (uint64_t)(int64_t)ahead) * TCP_TICK_US;
}

static void arm(struct tow_tcp *t)
{
	uint64_t first_us = UINT64_MAX;

	for (int i = 0; i < TCP_TIMERS; i++) {
		if (t->deadlines_ms[i])
			first_us = MIN(first_us,
				       timer_at_us(t, (enum tcp_timer)i));
	}
	if (first_us == UINT64_MAX)
		timer_disarm(&tcp_net(t)->wheel, &t->timer);
	else
		timer_arm(&tcp_net(t)->wheel, &t->timer, first_us);
}

void timer_set(struct tow_tcp *t, enum tcp_timer which, uint64_t at_us)
{
	uint64_t at_ms = (at_us + TCP_TICK_US - 1) / TCP_TICK_US;

	at_ms = MIN(at_ms, now_ms(t) + TICKS_MAX);
	at_ms += (uint32_t)at_ms == 0; /* that is: off */
	t->deadlines_ms[which] = (uint32_t)at_ms;
	if (!t->timer.armed || t->timer.deadline_us > at_ms * TCP_TICK_US)
		timer_arm(&tcp_net(t)->wheel, &t->timer, at_ms * TCP_TICK_US);
}

void timer_clear(struct tow_tcp *t, enum tcp_timer which)
{
	t->deadlines_ms[which] = 0;
}

/* After the RTO, or when the user timeout ends, if that is earlier. */
void timer_arm_retransmit(struct tow_tcp *t)
{
	uint64_t at_us = tcp_now(t) + rtt_backed_off(t);
	uint64_t patience_us = user_timeout_us(t);
	uint64_t limit_us = t->progress_us + patience_us;

	if (patience_us && limit_us > tcp_now(t))
		at_us = MIN(at_us, limit_us);
	timer_set(t, TIMER_RETRANSMIT, at_us);
}

/* RFC 6298 5.1 to 5.3 */
void timer_restart_retransmit(struct tow_tcp *t)
{
	if (tcp_in_flight(t) == 0)
		timer_clear(t, TIMER_RETRANSMIT);
	else
		timer_arm_retransmit(t);
}

/* RFC 9293 3.8.4 */
void timer_restart_keepalive(struct tow_tcp *t)
{
	if (t->set.keepalive_s && tcp_synchronized(t))
		timer_set(t, TIMER_KEEPALIVE,
			  tcp_now(t) + t->set.keepalive_s * 1000000ull);
	else
		timer_clear(t, TIMER_KEEPALIVE);
}

static void give_up(struct tow_tcp *t, bool tell_peer)
{
	tcp_count(t, TOW_COUNTER_TCP_TIMEOUTS);
	if (tell_peer)
		tcp_send_control(t, TH_RST | TH_ACK);
	/* RFC 1122 4.2.3.9: what the network said on the way to this. */
	tcp_fail(t, t->soft_error ? t->soft_error : TOW_ETIMEDOUT);
}

/* One of many that are half open: a flood's senders did not send it. */
static bool is_flood(const struct tow_tcp *t)
{
	return t->waits && listen_is_pressed(t->listener);
}

static unsigned retries_max(const struct tow_tcp *t)
{
	if (!tcp_synchronized(t) && t->set.syn_retries)
		return t->set.syn_retries;
	if (t->state == TOW_TCP_SYN_SENT)
		return TCP_SYN_RETRIES;
	if (t->state == TOW_TCP_SYN_RECEIVED)
		return is_flood(t) ? TCP_SYN_ACK_FEW : TCP_SYN_ACK_RETRIES;
	return t->app_closed ? TCP_ORPHAN_RETRIES : TCP_DATA_RETRIES;
}

/* RFC 5482; RFC 9293 3.8.3 R2. */
static bool out_of_patience(const struct tow_tcp *t)
{
	uint64_t silent_us = tcp_now(t) - t->progress_us;
	uint64_t patience_us = user_timeout_us(t);

	if (patience_us)
		return silent_us >= patience_us;
	if (t->app_closed && silent_us >= TCP_ORPHAN_US)
		return true;
	return t->recovery.backoffs >= retries_max(t);
}

/* The peer's window is closed; it need not have lost anything. */
static bool window_is_closed(const struct tow_tcp *t)
{
	const struct sent *s = flight_first(t);

	if (!tcp_synchronized(t))
		return false;
	return !s || (t->snd.wnd == 0 && !(s->flags & SENT_LOST));
}

static void back_off(struct tow_tcp *t)
{
	if (t->recovery.backoffs < UINT8_MAX)
		t->recovery.backoffs++;
	if (t->recovery.doublings < UINT8_MAX)
		t->recovery.doublings++;
	timer_arm_retransmit(t);
}

/*
 * RFC 9293 3.8.6.1: while the peer answers, its window may stay closed for
 * ever, unless nobody here waits any more (Sockstress).
 */
static void on_probe(struct tow_tcp *t)
{
	bool over = user_timeout_us(t) || t->app_closed
			    ? out_of_patience(t)
			    : t->probes >= TCP_DATA_RETRIES;

	if (over) {
		give_up(t, true);
		return;
	}
	tcp_send_probe(t);
	if (t->probes < UINT8_MAX)
		t->probes++;
	back_off(t);
}

/*
 * Who answered our SYN, or sent his, may think that there is a connection, and
 * is told, as BSD does. But not those in whose name a flood came: a cookie
 * would not tell them either.
 */
static void on_handshake(struct tow_tcp *t)
{
	if (out_of_patience(t)) {
		fast_client_suspect(t);
		give_up(t, t->state == TOW_TCP_SYN_RECEIVED && !is_flood(t));
		return;
	}
	tcp_send_syn(t);
	back_off(t);
}

/* What it is about was not sent again yet: the path is not to blame. */
static bool pacing_holds_it(const struct tow_tcp *t)
{
	const struct sent *s = flight_first(t);

	return t->paced && t->paced->timer.armed && s && flight_is_waiting(s);
}

static void on_retransmit(struct tow_tcp *t)
{
	if (t->state == TOW_TCP_SYN_SENT || t->state == TOW_TCP_SYN_RECEIVED) {
		on_handshake(t);
		return;
	}
	if (window_is_closed(t)) {
		on_probe(t);
		return;
	}
	if (out_of_patience(t)) {
		give_up(t, false);
		return;
	}
	if (pacing_holds_it(t)) {
		timer_arm_retransmit(t);
		return;
	}
	recovery_on_timeout(t);
	mtu_on_timeout(t);
	back_off(t);
	if (t->recovery.backoffs == FAST_TIMEOUTS && t->rcv.bytes == 0 &&
	    !t->app_closed)
		fast_client_suspect(t);
	tcp_want_output(t);
}

/* RACK's reordering window is over, or the tail is silent for too long. */
static void on_loss_timer(struct tow_tcp *t)
{
	if (!t->tlp.timer)
		recovery_on_reorder_timeout(t);
	else if (out_of_patience(t))
		give_up(t, false);
	else
		tlp_on_timeout(t);
}

static void on_keepalive(struct tow_tcp *t)
{
	if (tcp_in_flight(t) > 0 || t->state == TOW_TCP_TIME_WAIT) {
		timer_restart_keepalive(t); /* retransmission finds out */
		return;
	}
	if (t->probes >= t->set.keepalive_probes) {
		give_up(t, true);
		return;
	}
	t->probes++;
	tcp_count(t, TOW_COUNTER_TCP_KEEPALIVES);
	tcp_send_keepalive(t);
	timer_set(t, TIMER_KEEPALIVE,
		  tcp_now(t) + t->set.keepalive_interval_s * 1000000ull);
}

static void on_life(struct tow_tcp *t)
{
	switch (t->state) {
	case TOW_TCP_TIME_WAIT:
	case TOW_TCP_FIN_WAIT_2:
		tcp_fail(t, 0);
		break;
	default: /* linger ran out: RFC 9293 3.9.1 Close */
		tcp_send_control(t, TH_RST | TH_ACK);
		tcp_fail(t, TOW_ETIMEDOUT);
	}
}

static void fire(struct tow_tcp *t, enum tcp_timer which)
{
	t->deadlines_ms[which] = 0;
	switch (which) {
	case TIMER_LOSS:
		on_loss_timer(t);
		break;
	case TIMER_RETRANSMIT:
		on_retransmit(t);
		break;
	case TIMER_DELACK:
		t->ack_now = true;
		tcp_want_output(t);
		break;
	case TIMER_MORE:
		t->send.waited = true;
		tcp_want_output(t);
		break;
	case TIMER_KEEPALIVE:
		on_keepalive(t);
		break;
	case TIMER_LIFE:
		on_life(t);
		break;
	default:
		break;
	}
}

void tcp_timer(struct tcp_host *host, struct timer *timer)
{
	struct tow_tcp *t = CONTAINER(timer, struct tow_tcp, timer);

	for (int i = 0; i < TCP_TIMERS; i++) {
		enum tcp_timer which = (enum tcp_timer)i;

		if (!t->deadlines_ms[which] ||
		    timer_at_us(t, which) > host->net->now_us)
			continue;
		fire(t, which);
		if (t->state == TOW_TCP_CLOSED)
			return; /* and perhaps gone */
	}
	arm(t);
	TCP_CHECK(t);
}
