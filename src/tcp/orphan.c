/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Orphans: connections that the program closed and whose data is still on its
 * way to a peer that need not take it.
 *
 * Nobody here waits for them any more, so a peer could pin their memory by
 * going silent or by keeping its window closed (Naptha, Sockstress). Each ends
 * by time, see out_of_patience() in tcp_timer.c. Together they end by number:
 * the list is in the order of progress, and when there are more than
 * tow_config.orphan_max of them, or a new connection finds no room, the first
 * of it, which got nowhere for longest, is reset.
 *
 * What only waits for the peer's FIN (FIN-WAIT-2), or for TIME-WAIT to end, is
 * no orphan but in host->leaving: that costs no more than its record.
 */
#include "tcp/tcp_private.h"

#define GRACE_US 10000000u /* for want of room only who got nowhere so long */

static uint32_t most(const struct tcp_host *host)
{
	return host->cfg.orphan_max ? host->cfg.orphan_max
				    : MAX(host->cfg.tcp_max / 2, 1);
}

static struct tow_tcp *first(struct tcp_host *host)
{
	return CONTAINER(host->orphans.next, struct tow_tcp, queue);
}

static void end(struct tow_tcp *t)
{
	tcp_count(t, TOW_COUNTER_TCP_ORPHANS_RESET);
	tcp_send_control(t, TH_RST | TH_ACK);
	tcp_fail(t, TOW_ECONNABORTED);
}

/* The program closed it, and there is something to be delivered. */
void orphan_add(struct tow_tcp *t)
{
	struct tcp_host *host = t->host;

	list_remove(&t->queue);
	list_append(&host->orphans, &t->queue);
	t->orphan = true;
	host->orphan_count++;
	if (host->orphan_count > most(host))
		end(first(host));
}

/* It is over, or only leaving. */
void orphan_forget(struct tow_tcp *t)
{
	if (!t->orphan)
		return;
	t->orphan = false;
	t->host->orphan_count--;
	list_remove(&t->queue);
}

/* The peer took something. */
void orphan_progressed(struct tow_tcp *t)
{
	list_remove(&t->queue);
	list_append(&t->host->orphans, &t->queue);
}

/* A new connection finds no room. */
void orphan_make_room(struct tcp_host *host)
{
	if (!list_empty(&host->orphans) &&
	    host->net->now_us - first(host)->progress_us >= GRACE_US)
		end(first(host));
}
