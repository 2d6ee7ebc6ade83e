/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What ICMP says of a connection, and how much of it is believed: RFC 1122
 * 4.2.3.9, RFC 5461, RFC 5927.
 *
 * Anybody can send an ICMP error. It counts only if it quotes a number that is
 * in flight (RFC 5927 4.1), and then:
 *
 *	hard (port, protocol)   ends an attempt to connect, is soft afterwards
 *	soft (net, host, time)  is remembered: if the connection times out, it
 *	                        is the reason that the program hears
 *	packet too big          lowers the path MTU, never raises it, not below
 *	                        the floor (then DF is left off); and if packets of that size were
 *	                        acknowledged before, only once a timeout says
 *	                        that they arrive no longer (RFC 5927 7.2);
 *	                        a SYN with data goes again at once, without
 *
 * For a connection that is signed by AO, hard errors are not even heard, nor
 * "packet too big" of IPv4 (RFC 5925 7.8).
 *
 * Source quench (RFC 6633) and redirects never get here.
 */
#include "tcp/tcp_private.h"

static bool is_in_flight(const struct tow_tcp *t, const struct net_error *error)
{
	struct seq seq = seq_of(error->sequence);

	return error->sequence_known && !seq_before(seq, t->snd.una) &&
	       seq_before(seq, t->snd.nxt);
}

/* RFC 5927 7.2: larger packets than that arrived, so it is to be doubted. */
static bool is_doubtful(const struct tow_tcp *t, uint32_t mtu)
{
	return t->mtu.acked_bytes > mtu_payload(t, mtu);
}

/* RFC 7413 4.1.3.1: as if it had been lost. */
static void on_syn_too_big(struct tow_tcp *t, uint32_t told)
{
	if (told >= t->snd.mtu || flight_first(t)->flags & SENT_EVER_RETRANS)
		return;
	net_path_shrunk(tcp_net(t), &t->path.dst, told);
	t->snd.mtu = MIN(MAX(told, mtu_floor(t)), t->snd.mtu);
	tcp_send_syn(t);
}

/* RFC 1191 6.3, RFC 8201 5.2 */
static void on_too_big(struct tow_tcp *t, const struct net_error *error)
{
	uint32_t mtu = error->mtu;

	if (t->state == TOW_TCP_SYN_SENT && tcp_in_flight(t) > 1) {
		on_syn_too_big(t, mtu);
		return;
	}
	if (!tcp_synchronized(t) ||
	    mtu_probe_refused(t, seq_of(error->sequence), mtu) ||
	    mtu >= t->snd.mtu)
		return;
	if (is_doubtful(t, mtu)) {
		t->mtu.claimed = (uint16_t)mtu;
		t->mtu.claimed_seq = seq_of(error->sequence);
		return;
	}
	mtu_believe(t, mtu);
}

static void on_unreachable(struct tow_tcp *t, const struct net_error *error)
{
	if (t->state == TOW_TCP_SYN_SENT)
		fast_client_doubt(t); /* RFC 7413 4.1.3.1 */
	if (error->hard && !tcp_synchronized(t))
		tcp_fail(t, error->error);
	else
		t->soft_error = (int16_t)error->error;
}

void tcp_error(struct tcp_host *host, const struct net_error *error)
{
	struct tow_tcp *t = table_find(host, &error->local, &error->remote);

	if (!t || !is_in_flight(t, error)) {
		net_drop(host->net, TOW_DROP_ICMP_UNMATCHED);
		return;
	}
	if (UNLIKELY(t->auth) && auth_ignores(t, error))
		net_drop(host->net, TOW_DROP_ICMP_IGNORED);
	else if (error->mtu)
		on_too_big(t, error);
	else
		on_unreachable(t, error);
}
