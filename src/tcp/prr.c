/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Proportional Rate Reduction: how much may be sent in fast recovery, RFC 9937
 * (which was RFC 6937).
 *
 * The window has to come down from RecoverFS, what was in flight, to ssthresh,
 * within about a round trip, and whatever is lost beside that must not make a
 * burst. So each ACK allows as much to be sent as it says was delivered, times
 * ssthresh / RecoverFS:
 *
 *	pipe > ssthresh    sndcnt = ceil(delivered * ssthresh / RecoverFS) - out
 *	pipe <= ssthresh   CRB: sndcnt = what was delivered and not sent yet
 *	                   SSRB: a segment more, if the ACK is a safe one
 *	                   but no further than to ssthresh
 *
 * What was delivered and what was sent are sums since the recovery began, so
 * the bound holds over all of it: what is sent is what was delivered, and one
 * segment for each safe ACK, at most.
 *
 * cwnd is pipe + sndcnt, and sending goes on under the same rule as ever, "pipe
 * < cwnd". The RFC counts bytes here and rounds up; whole segments are what is
 * sent, so it is rounded up to those.
 *
 * The timer of RACK delivers nothing: what it finds lost is bounded by the same
 * sums. But with an empty pipe no ACK would come any more, and then one segment
 * goes.
 *
 * A controller with a model of its own says in recovery, too, what its window
 * is, and none of this is for it.
 */
#include "tcp/tcp_private.h"

/*
 * 6.1. RecoverFS is what was in flight before the ACK that began it; what was
 * SACKed before that does not count, it is not delivered during recovery.
 */
void prr_begin(struct tow_tcp *t, const struct ack_news *news)
{
	uint32_t departed = recovery_departed(t);
	uint32_t gone = t->flight.sacked_bytes + departed;
	uint32_t flight = tcp_in_flight(t) + news->delivered_bytes;

	t->recovery.prr.delivered = 0;
	t->recovery.prr.out = 0;
	t->recovery.prr.recover_fs =
		MAX(flight > gone ? flight - gone : 0, t->snd.mss);
}

static uint64_t whole_segments(const struct tow_tcp *t, uint64_t bytes)
{
	return (bytes + t->snd.mss - 1) / t->snd.mss * t->snd.mss;
}

/* 6.2: pipe is above ssthresh. */
static uint64_t proportional(const struct tow_tcp *t)
{
	uint32_t fs = t->recovery.prr.recover_fs, out = t->recovery.prr.out;
	uint64_t may = (uint64_t)t->recovery.prr.delivered * t->cc.ssthresh;

	may = (may + fs - 1) / fs;
	return may > out ? whole_segments(t, may - out) : 0;
}

/* 6.2: pipe is not above ssthresh. */
static uint64_t catch_up(const struct tow_tcp *t, uint32_t delivered_bytes,
			 bool safe, uint32_t room)
{
	uint32_t delivered = t->recovery.prr.delivered;
	uint32_t out = t->recovery.prr.out;
	uint64_t sndcnt =
		MAX(delivered > out ? delivered - out : 0, delivered_bytes);

	if (safe)
		sndcnt += t->snd.mss;
	return MIN(sndcnt, room);
}

/*
 * 6.2: without SACK a peer may say what it likes (Savage), but no more can be
 * delivered than was in flight.
 */
static uint32_t believable(const struct tow_tcp *t, uint32_t delivered_bytes)
{
	uint32_t fs = t->recovery.prr.recover_fs;
	uint32_t before = t->recovery.prr.delivered;

	if (t->sack)
		return delivered_bytes;
	return MIN(delivered_bytes, fs > before ? fs - before : 0);
}

/* @safe: SND.UNA advances, and no further loss is indicated. */
void prr_on_ack(struct tow_tcp *t, uint32_t delivered_bytes, bool safe)
{
	uint32_t pipe = recovery_pipe(t), ssthresh = t->cc.ssthresh;
	uint32_t believed = believable(t, delivered_bytes);
	uint64_t sndcnt;

	if (congestion_ops(t)->on_ack)
		return;
	if (believed == 0 && delivered_bytes > 0)
		return; /* all of it was told before */
	t->recovery.prr.delivered += believed;
	if (pipe > ssthresh)
		sndcnt = proportional(t);
	else
		sndcnt = catch_up(t, believed, safe, ssthresh - pipe);
	/* The fast retransmit itself; and see above. */
	if (t->recovery.prr.out == 0 || pipe == 0)
		sndcnt = MAX(sndcnt, t->snd.mss);
	t->cc.cwnd = (uint32_t)MIN(pipe + sndcnt, UINT32_MAX);
}
