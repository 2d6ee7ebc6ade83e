/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a socket.
 *
 *	open --- connect, connect ... --- close --- freed
 *	                                  |<------->|
 *	                           what was queued still leaves,
 *	                           loans and posts still end with an event
 */
#include "udp/udp_private.h"

static bool may_bind(const struct udp_host *udp, const struct tow_addr *addr)
{
	return tow_addr_is_any(addr) || net_is_local(udp->net, addr) ||
	       net_is_multicast(addr);
}

static struct tow_udp *take(struct udp_host *udp)
{
	struct tow_udp *s = udp->private->free;

	if (!s)
		return NULL;
	udp->private->free = s->next_free;
	memset(s, 0, sizeof(*s));
	s->host = udp;
	s->open = true;
	s->done_tail = &s->done;
	s->faults_tail = &s->faults;
	s->options.group_ttl = 1; /* RFC 1112 6.1 */
	s->options.group_loop = true;
	s->landing.records_tail = &s->landing.records;
	list_init(&s->bound_node);
	list_init(&s->connected_node);
	list_init(&s->ready_node);
	list_init(&s->sending_node);
	list_init(&s->blocked_node);
	list_init(&s->landing_node);
	borrower_init(&s->borrower, &udp->net->govern, &udp_borrower_ops);
	return s;
}

/* All that have it share it, and so would this one. */
static bool is_taken(struct udp_host *udp, const struct tow_endpoint *bound,
		     bool shared)
{
	const struct tow_udp *other = udp_find_bound(udp, bound);

	return other && !(shared && other->shared);
}

static int open_socket(struct tow_stack *stack,
		       const struct tow_endpoint *local, bool shared,
		       struct tow_udp **out)
{
	struct udp_host *udp = stack_udp(stack);
	struct tow_endpoint bound = *local;
	struct tow_udp *s;

	*out = NULL;
	if (!may_bind(udp, &bound.addr))
		return TOW_EADDRNOTAVAIL;
	if (bound.port == 0)
		bound.port = udp_choose_port(udp, &bound.addr);
	else if (is_taken(udp, &bound, shared))
		return TOW_EADDRINUSE;
	if (bound.port == 0)
		return TOW_EADDRINUSE;
	s = take(udp);
	if (!s)
		return TOW_ENOBUFS;
	s->bound = bound;
	s->local = bound;
	s->shared = shared;
	if (shared)
		s->share_seed = random_u64(&udp->net->random);
	udp_table_bind(s);
	*out = s;
	return 0;
}

int tow_udp_open(struct tow_stack *stack, const struct tow_endpoint *local,
		 struct tow_udp **out)
{
	return open_socket(stack, local, false, out);
}

int tow_udp_open_shared(struct tow_stack *stack,
			const struct tow_endpoint *local, struct tow_udp **out)
{
	return open_socket(stack, local, true, out);
}

static void disconnect(struct tow_udp *s)
{
	udp_table_disconnect(s);
	memset(&s->remote, 0, sizeof(s->remote));
	s->local = s->bound;
	s->error = 0;
	memset(&s->landing.hint, 0, sizeof(s->landing.hint));
}

/* The source address is chosen now, and stays. */
static int connect(struct tow_udp *s, const struct tow_endpoint *peer)
{
	struct tow_endpoint local = s->bound;
	struct tow_udp *other;
	struct net_path path;
	int error;

	if (net_is_multicast(&local.addr))
		local.addr = tow_addr_any(); /* not a source */
	if (peer->port == 0 || tow_addr_is_any(&peer->addr))
		return TOW_EINVAL;
	error = net_path_find(s->host->net, &local.addr, &peer->addr,
			      peer->zone, &path);
	if (error)
		return error;
	local.addr = path.src;
	other = udp_find_connected(s->host, &local, peer);
	if (other && other != s)
		return TOW_EADDRINUSE;
	disconnect(s);
	s->local = local;
	s->remote = *peer;
	udp_table_connect(s);
	return 0;
}

int tow_udp_connect(struct tow_udp *udp, const struct tow_endpoint *peer)
{
	ASSERT(udp->open && !udp->closed);
	if (udp_has_posts(udp))
		return TOW_EBUSY;
	if (peer)
		return connect(udp, peer);
	disconnect(udp);
	return 0;
}

/* A closed socket lives on until nothing refers to it. */
void udp_free_if_done(struct tow_udp *s)
{
	struct udp_private *private = s->host->private;

	if (!s->open || !s->closed || s->tx.first || s->loans > 0 ||
	    s->passed > 0 || s->done || s->landing.first != s->landing.end)
		return;
	list_remove(&s->ready_node);
	list_remove(&s->sending_node);
	s->open = false;
	s->next_free = private->free;
	private->free = s;
}

void tow_udp_close(struct tow_udp *udp)
{
	ASSERT(udp->open && !udp->closed);
	udp_posts_close(udp);
	udp->closed = true;
	udp->pending = 0;
	udp_table_disconnect(udp);
	udp_table_unbind(udp);
	list_remove(&udp->blocked_node);
	if (!udp->done && udp->landing.first == udp->landing.end)
		list_remove(&udp->ready_node);
	udp_drop_received(udp);
	udp_faults_drop(udp);
	net_listen_end(udp->host->net, udp);
	borrower_leave(&udp->borrower);
	udp_free_if_done(udp);
}

int tow_udp_set_owner(struct tow_udp *udp, struct tow_owner *owner)
{
	return borrower_join(&udp->borrower, owner);
}

void tow_udp_set_user(struct tow_udp *udp, void *user)
{
	udp->user = user;
}

struct tow_endpoint tow_udp_local(const struct tow_udp *udp)
{
	return udp->local;
}

const struct tow_ledger *tow_udp_ledger(const struct tow_udp *udp)
{
	return &udp->ledger;
}

/* An open socket that waits is idle; one that still has to send is not. */
bool udp_idle(const struct udp_host *udp)
{
	return list_empty(&udp->ready) && list_empty(&udp->sending) &&
	       udp->private->loans_out == 0;
}
