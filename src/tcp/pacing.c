/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pacing: what may be sent goes out in bursts at even distances, not all at
 * once as the acknowledgements allow.
 *
 *	|==|      |==|      |==|      bursts of pacing_quantum()
 *	   <----->                    until pacing.next_ns
 *
 * A burst is what the rate makes of a millisecond: two packets at least, one
 * large segment of 64 KiB at most, which is from 0.5 Gb/s up. So the timer runs
 * at most a thousand times a second for slow paths, and at 10 Gb/s every 52 us
 * for a segment that a device cuts into 45 packets. The time of the next burst
 * is kept in nanoseconds, so that no rate suffers from the clock's microsecond;
 * a poll that came late is made up for, up to half of a burst.
 *
 * The rate is that of the controller (BBR), or for others what sends the window
 * in less than a round trip: twice the window in slow start, 1.2 of it later,
 * as in Linux. TOW_TCP_PACING_RATE is an upper bound for both.
 *
 * Few connections are paced, so all about it is in a record taken when the
 * option is set: docs/decisions/0017. It has a timer of its own, since it is
 * the one deadline that is not moved away before it comes.
 */
#include "tcp/tcp_private.h"

#define BURST_PER_S	1000u /* bursts of a millisecond each */
#define BURST_BYTES_MAX 65536u
#define PERCENT_START	200 /* of the window in a round trip */
#define PERCENT_AVOID	120
#define RATE_MAX	(1ull << 40) /* bytes/s; keeps products in 64 bits */

static uint64_t now_ns(const struct tow_tcp *t)
{
	return tcp_now(t) * 1000;
}

/* ---------------------------------------------------------------- the record
 */

static struct paced *take(struct tcp_host *host)
{
	struct paced *p = host->paced_free;

	if (p)
		host->paced_free = p->next_free;
	else if (host->paced_used < host->cfg.paced)
		p = &host->paced[host->paced_used++];
	else
		net_count(host->net, TOW_COUNTER_NO_PACED);
	return p;
}

/* Returns: false when these settings need a record, and there is none left. */
bool pacing_adopt(struct tow_tcp *t, const struct tcp_settings *set)
{
	bool wanted = set->congestion == TOW_TCP_BBR || set->pacing_rate;

	if (wanted == (t->paced != NULL))
		return true;
	if (!wanted) {
		pacing_end(t);
		return true;
	}
	t->paced = take(t->host);
	if (!t->paced)
		return false;
	*t->paced = (struct paced){ .tcp = t, .bytes_per_s = RATE_MAX };
	timer_init(&t->paced->timer, TIMER_PACING);
	rate_init(t);
	return true;
}

void pacing_end(struct tow_tcp *t)
{
	struct paced *p = t->paced;

	if (!p)
		return;
	timer_disarm(&tcp_net(t)->wheel, &p->timer);
	t->paced = NULL;
	p->next_free = t->host->paced_free;
	t->host->paced_free = p;
}

void tcp_pacing_timer(struct timer *timer)
{
	tcp_want_output(CONTAINER(timer, struct paced, timer)->tcp);
}

/* ------------------------------------------------------------------ the rate
 */

/* Bytes a second that are @percent of @bytes in a round trip. */
uint64_t pacing_rate_of(uint64_t bytes, uint32_t percent, uint32_t rtt_us)
{
	return bytes * percent * 10000 / MAX(rtt_us, 1);
}

void pacing_set(struct tow_tcp *t, uint64_t bytes_per_s)
{
	uint64_t most = t->set.pacing_rate ? t->set.pacing_rate : RATE_MAX;

	t->paced->bytes_per_s = MAX(MIN(bytes_per_s, most), 1);
}

/* For controllers that know a window only. */
static void follow_window(struct tow_tcp *t)
{
	uint32_t window = MAX(t->cc.cwnd, recovery_pipe(t));
	bool start = t->cc.cwnd < t->cc.ssthresh / 2;
	uint64_t rate = RATE_MAX;

	if (t->rtt.srtt_us)
		rate = pacing_rate_of(window,
				      start ? PERCENT_START : PERCENT_AVOID,
				      t->rtt.srtt_us);
	pacing_set(t, rate);
}

/* The controller or the upper bound is another. */
void pacing_renew(struct tow_tcp *t)
{
	if (congestion_ops(t)->on_ack)
		pacing_set(t, t->paced->bbr.pacing_rate);
	else
		follow_window(t);
}

/* What the acknowledgement delivered and lost was entered. */
void pacing_on_ack(struct tow_tcp *t, uint32_t rtt_us)
{
	rate_sample(t);
	if (congestion_ops(t)->on_ack)
		congestion_ops(t)->on_ack(t, rtt_us);
	else
		follow_window(t);
}

/* It was on its way, and is lost. A probe that a closed window refused is not.
 */
void pacing_lost(struct tow_tcp *t, const struct sent *s)
{
	if (t->snd.wnd == 0)
		return;
	rate_lost(t, s);
	if (congestion_ops(t)->lost)
		congestion_ops(t)->lost(t, s);
}

/* ---------------------------------------------------------------- the bursts
 */

/* As large as a millisecond of the rate; as tcp_tso_autosize() of Linux. */
uint32_t pacing_quantum(const struct tow_tcp *t)
{
	uint64_t bytes =
		MIN(t->paced->bytes_per_s / BURST_PER_S, BURST_BYTES_MAX);

	return MAX((uint32_t)bytes, 2u * t->snd.mss);
}

/*
 * How much may be sent now: what is left of a burst. If nothing is, the timer
 * says when the next one is due.
 */
uint32_t pacing_room(struct tow_tcp *t)
{
	struct paced *p = t->paced;

	if (now_ns(t) >= p->next_ns)
		p->burst_bytes = pacing_quantum(t);
	if (p->burst_bytes >= t->snd.mss)
		return p->burst_bytes;
	p->held = true;
	if (!p->timer.armed)
		timer_arm(&tcp_net(t)->wheel, &p->timer,
			  (p->next_ns + 999) / 1000);
	return 0;
}

/* A segment goes out: when may the one after this burst? */
void pacing_sent(struct tow_tcp *t, const struct sent *s, bool again)
{
	struct paced *p = t->paced;
	uint32_t in_flight = flight_pipe(t) + (again ? s->bytes : 0);
	uint64_t length_ns = s->bytes * 1000000000ull / p->bytes_per_s;
	uint64_t late_ns = 0;

	if (now_ns(t) > p->next_ns) {
		if (p->held)
			late_ns = MIN(now_ns(t) - p->next_ns, length_ns / 2);
		p->next_ns = now_ns(t);
	}
	p->held = false;
	p->next_ns += length_ns - late_ns;
	p->burst_bytes -= MIN(p->burst_bytes, s->bytes);
	rate_sent(t, s, in_flight);
}
