/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Congestion control: what all controllers share, and NewReno.
 *
 * Slow start and the initial window are the same for all (RFC 5681 3.1, RFC
 * 6928); a controller says how the window grows in congestion avoidance and
 * what a loss leaves of it. The window grows only while it was the limit (RFC
 * 7661 1): an application that sends little proves nothing about the path.
 */
#include "tcp/tcp_private.h"

/* By enum tow_tcp_congestion: the settings name it, so it takes no pointer. */
static const struct congestion_ops *const controllers[] = {
	[TOW_TCP_CUBIC] = &congestion_cubic,
	[TOW_TCP_NEWRENO] = &congestion_newreno,
	[TOW_TCP_BBR] = &congestion_bbr,
};

const struct congestion_ops *congestion_ops(const struct tow_tcp *t)
{
	return controllers[t->set.congestion];
}

/* RFC 6928 2 */
uint32_t congestion_initial_window(const struct tow_tcp *t)
{
	uint32_t mss = t->snd.mss;

	return MIN(10 * mss, MAX(2 * mss, 14600));
}

void congestion_init(struct tow_tcp *t)
{
	t->cc.cwnd = congestion_initial_window(t);
	t->cc.ssthresh = UINT32_MAX;
	t->cc.bytes_acked = 0;
	congestion_ops(t)->init(t);
	if (t->paced)
		pacing_renew(t);
}

static uint32_t slow_start_growth(struct tow_tcp *t, uint32_t acked_bytes,
				  uint32_t rtt_us)
{
	const struct congestion_ops *ops = congestion_ops(t);

	/*
	 * RFC 5681 3.1 with byte counting, so that splitting ACKs gains
	 * nothing. All bytes count, as in Linux, where RFC 3465 2.2 would count
	 * two segments: peers with LRO acknowledge 64 KiB at a time. After a
	 * timeout an ACK may cover what was not lost: one segment.
	 */
	if (t->recovery.state == RECOVERY_LOSS)
		return MIN(acked_bytes, t->snd.mss);
	if (ops->slow_start)
		return ops->slow_start(t, acked_bytes, rtt_us);
	return acked_bytes;
}

/* @rtt_us: of a segment that was acknowledged now, 0 if none tells it */
void congestion_on_ack(struct tow_tcp *t, uint32_t acked_bytes, uint32_t rtt_us)
{
	struct congestion *cc = &t->cc;

	if (congestion_ops(t)->on_ack)
		return;
	if (!cc->limited || cc->cwnd >= CWND_MAX) {
		congestion_paused(t);
		return;
	}
	if (cc->cwnd < cc->ssthresh) {
		uint32_t room = MIN(cc->ssthresh, CWND_MAX) - cc->cwnd;
		uint32_t grow = slow_start_growth(t, acked_bytes, rtt_us);

		grow = MIN(grow, room);
		cc->cwnd += grow;
		acked_bytes -= grow;
		if (cc->cwnd < cc->ssthresh || acked_bytes == 0)
			return;
	}
	congestion_ops(t)->acked(t, acked_bytes);
	cc->cwnd = MIN(cc->cwnd, CWND_MAX);
}

void congestion_paused(struct tow_tcp *t)
{
	if (congestion_ops(t)->paused)
		congestion_ops(t)->paused(t);
}

/* RFC 5681 4.1: idle for longer than the RTO, the path is forgotten. */
void congestion_after_idle(struct tow_tcp *t)
{
	t->cc.cwnd = MIN(t->cc.cwnd, congestion_initial_window(t));
	congestion_ops(t)->restart(t);
}

/* As many segments of the present size as @bytes were of the other. */
static uint32_t as_many(const struct tow_tcp *t, uint32_t bytes, uint32_t mss)
{
	return (uint32_t)((uint64_t)bytes * t->snd.mss / mss);
}

/*
 * RFC 5681 3.1: packets were too big, so segments are smaller than @mss_before.
 * As many may be out as before, or what is sent again would be a burst; also
 * when a reduction is undone.
 */
void congestion_on_smaller_mss(struct tow_tcp *t, uint32_t mss_before)
{
	if (congestion_ops(t)->on_ack)
		return;
	t->cc.cwnd = MAX(as_many(t, t->cc.cwnd, mss_before), t->snd.mss);
	t->recovery.undo.cwnd = as_many(t, t->recovery.undo.cwnd, mss_before);
	congestion_ops(t)->restart(t);
}

/*
 * RFC 3168 6.1.2: the peer echoed a mark. The window shrinks as after a loss,
 * or less (RFC 8511), but there is nothing to repair. The caller sees to it
 * that this is done once for a window of data.
 */
void congestion_on_ecn(struct tow_tcp *t, uint32_t flight_bytes)
{
	t->cc.ssthresh = congestion_ops(t)->on_ecn(t, flight_bytes);
	t->cc.cwnd = MIN(t->cc.cwnd, t->cc.ssthresh);
}

/*
 * RFC 4015 3.3, RFC 9438 4.9: nothing was lost after all. @cwnd and @ssthresh
 * are those from before threshold() was asked. A window that has become larger
 * since goes on from where it is (4.9.2).
 */
void congestion_undo(struct tow_tcp *t, uint32_t cwnd, uint32_t ssthresh)
{
	if (t->cc.cwnd > cwnd && !congestion_ops(t)->on_ack)
		return;
	t->cc.cwnd = MAX(t->cc.cwnd, cwnd);
	t->cc.ssthresh = ssthresh;
	congestion_ops(t)->undo(t);
}

/* ----------------------------------------------------------------- NewReno */

static void newreno_init(struct tow_tcp *t)
{
	(void)t;
}

/* RFC 5681 3.1: one segment for each window that was acknowledged. */
static void newreno_acked(struct tow_tcp *t, uint32_t acked_bytes)
{
	struct congestion *cc = &t->cc;

	cc->bytes_acked += acked_bytes;
	while (cc->bytes_acked >= cc->cwnd) {
		cc->bytes_acked -= cc->cwnd;
		cc->cwnd += t->snd.mss;
	}
}

static uint32_t reduce(struct tow_tcp *t, uint32_t flight_bytes,
		       uint32_t percent)
{
	uint64_t reduced = (uint64_t)flight_bytes * percent / 100;

	t->cc.bytes_acked = 0;
	return MAX((uint32_t)reduced, 2u * t->snd.mss);
}

/* RFC 5681 3.1, equation (4) */
static uint32_t newreno_threshold(struct tow_tcp *t, uint32_t flight_bytes)
{
	return reduce(t, flight_bytes, 50);
}

/* RFC 8511 3.1 */
static uint32_t newreno_on_ecn(struct tow_tcp *t, uint32_t flight_bytes)
{
	return reduce(t, flight_bytes, 80);
}

static void newreno_undo(struct tow_tcp *t)
{
	(void)t;
}

static void newreno_restart(struct tow_tcp *t)
{
	t->cc.bytes_acked = 0;
}

const struct congestion_ops congestion_newreno = {
	.name = "newreno",
	.init = newreno_init,
	.acked = newreno_acked,
	.threshold = newreno_threshold,
	.on_ecn = newreno_on_ecn,
	.undo = newreno_undo,
	.restart = newreno_restart,
};
