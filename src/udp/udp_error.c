/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP errors: RFC 1122 4.1.3.3.
 *
 * Two ways up, because two kinds of programs want to know:
 *
 *	s->error    a connected socket, of its own peer: the next call fails,
 *	            and an event says so
 *	s->faults   a socket that asked for it (TOW_UDP_ERRORS), connected or
 *	            not: a queue of who said what about which destination
 *
 * Whoever wants to lie to a connected socket has to guess both ports; to one
 * that is not, its own. So the second kind never makes a call fail, and what it
 * says of the path's MTU counts only if it quotes the flow's secret, which the
 * network layer looks at (icmp_input.c). Records come from one pool, limited for
 * a socket and for all; what finds none is dropped and counted.
 */
#include "udp/udp_private.h"

/* Whose datagram was it? One that is not connected must have asked. */
static struct tow_udp *find_sender(struct udp_host *udp,
				   const struct net_error *error)
{
	struct tow_udp *s = udp_find(udp, &error->local, &error->remote);

	return s && (s->connected || s->options.errors) ? s : NULL;
}

static void keep(struct tow_udp *s, const struct net_error *error)
{
	struct udp_private *private = s->host->private;
	struct udp_fault *fault = private->fault_free;

	if (!fault || s->fault_count == TOW_UDP_ERRORS_MAX) {
		net_drop(s->host->net, TOW_DROP_UDP_ERRORS);
		return;
	}
	private->fault_free = fault->next;
	fault->next = NULL;
	fault->error = (struct tow_udp_error){
		.error = error->error,
		.peer = error->remote,
		.local = error->local.addr,
		.offender = error->offender,
		.mtu = error->mtu,
		.type = error->type,
		.code = error->code,
	};
	*s->faults_tail = fault;
	s->faults_tail = &fault->next;
	s->fault_count++;
}

void udp_error(struct udp_host *udp, const struct net_error *error)
{
	struct tow_udp *s = find_sender(udp, error);

	if (!s) {
		net_drop(udp->net, TOW_DROP_ICMP_UNMATCHED);
		return;
	}
	if (s->connected && error->mtu > 0)
		net_path_shrunk(udp->net, &s->remote.addr, error->mtu);
	if (s->connected)
		s->error = error->error;
	if (s->options.errors)
		keep(s, error);
	s->event_status = error->error;
	udp_notify(s, UDP_ERROR);
}

static void take(struct tow_udp *s, struct tow_udp_error *out)
{
	struct udp_private *private = s->host->private;
	struct udp_fault *fault = s->faults;

	*out = fault->error;
	s->faults = fault->next;
	if (!s->faults)
		s->faults_tail = &s->faults;
	s->fault_count--;
	fault->next = private->fault_free;
	private->fault_free = fault;
}

int tow_udp_errors(struct tow_udp *udp, struct tow_udp_error *out, int max)
{
	int n;

	for (n = 0; n < max && udp->faults; n++)
		take(udp, &out[n]);
	return n;
}

/* The socket is closed, or wants to hear no more. */
void udp_faults_drop(struct tow_udp *s)
{
	struct tow_udp_error ignored;

	while (s->faults)
		take(s, &ignored);
}
