/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets: from socket() to close().
 *
 * Each has a real descriptor (of /dev/null), because packetdrill closes what a
 * script left open with the real close(). Events set flags here; what a call
 * returns follows from the flags and from the stack's own answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "conformance/pd.h"

struct sock *sock_find(struct world *w, int fd)
{
	struct sock *s;

	for (s = w->socks; s && s->fd != fd; s = s->next)
		;
	return s;
}

struct sock *sock_new(struct world *w, enum sock_kind kind, int family)
{
	struct sock *s = calloc(1, sizeof(*s));

	if (!s)
		pd_die("out of memory");
	s->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (s->fd < 0)
		pd_die("/dev/null: %s", strerror(errno));
	s->kind = kind;
	s->family = family;
	s->next = w->socks;
	w->socks = s;
	if (kind == SOCK_KIND_TCP && w->ecn != TOW_TCP_ECN_ACCEPT)
		(void)option_remember(s, TOW_TCP_ECN, w->ecn);
	return s;
}

/* The connection goes the way of close(), the descriptor is left alone. */
static void detach(struct sock *s)
{
	if (s->tcp) {
		tow_tcp_set_user(s->tcp, NULL);
		tow_tcp_close(s->tcp);
	}
	if (s->waiting)
		tow_tcp_abort(s->waiting);
	if (s->listener)
		tow_listener_close(s->listener);
	if (s->udp)
		tow_udp_close(s->udp);
	s->tcp = s->waiting = NULL;
	s->listener = NULL;
	s->udp = NULL;
}

void sock_free(struct world *w, struct sock *s)
{
	struct sock **at = &w->socks;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	detach(s);
	interest_forget(w, s->fd);
	while (s->interests) {
		struct interest *i = s->interests;

		s->interests = i->next;
		free(i);
	}
	/* Their tokens may still come; nobody looks at them then. */
	while (s->lents) {
		struct lent *l = s->lents;

		s->lents = l->next;
		if (l->done)
			free(l);
	}
	stamp_forget(s);
	free(s->peeked);
	free(s);
}

/* errno for an error of the stack, as -1. */
int sock_error(int error)
{
	errno = -error;
	return -1;
}

int sock_take_error(struct sock *s)
{
	int error = s->error;

	s->error = 0;
	return error;
}

/* -------------------------------------------------------------- addresses */

bool sock_endpoint(const struct sockaddr *addr, socklen_t bytes,
		   struct tow_endpoint *out)
{
	*out = (struct tow_endpoint){ 0 };
	if (addr->sa_family == AF_INET && bytes >= sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *in = (const void *)addr;
		uint8_t b[4];

		memcpy(b, &in->sin_addr, 4);
		out->addr = tow_addr_v4(b[0], b[1], b[2], b[3]);
		out->port = ntohs(in->sin_port);
		return true;
	}
	if (addr->sa_family == AF_INET6 &&
	    bytes >= sizeof(struct sockaddr_in6)) {
		const struct sockaddr_in6 *in = (const void *)addr;

		out->addr = tow_addr_v6(in->sin6_addr.s6_addr);
		out->port = ntohs(in->sin6_port);
		return true;
	}
	return false;
}

void sock_name(const struct tow_endpoint *from, int family,
	       struct sockaddr *out, socklen_t *bytes)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	bool v6 = family == AF_INET6;
	const void *name = v6 ? (const void *)&in6 : (const void *)&in;
	socklen_t size = v6 ? sizeof(in6) : sizeof(in);

	if (!out || !bytes)
		return;
	in.sin_port = in6.sin6_port = htons(from->port);
	memcpy(&in.sin_addr, from->addr.b + 12, 4);
	memcpy(&in6.sin6_addr, from->addr.b, 16);
	memcpy(out, name, MIN(size, *bytes));
	*bytes = size;
}

/* ------------------------------------------------------------------ events */

static void on_loan(struct sock *s, uint64_t token)
{
	for (struct lent *l = s->lents; l; l = l->next) {
		if (l == (void *)(uintptr_t)token)
			l->done = true;
	}
}

static void on_closed(struct sock *s, int status)
{
	s->over = true;
	s->connecting = false;
	if (status < 0)
		s->error = -status;
}

void sock_event(struct world *w, const struct tow_event *event)
{
	struct sock *s = event->user;

	(void)w;
	if (event->type == TOW_EVENT_LOAN && !s)
		return free((void *)(uintptr_t)event->token);
	if (event->type == TOW_EVENT_STAMP)
		stamp_event(s, event);
	if (!s)
		return;
	s->news++;
	switch (event->type) {
	case TOW_EVENT_CONNECTED:
		s->connecting = false;
		s->connected = true;
		break;
	case TOW_EVENT_CLOSED:
		on_closed(s, event->status);
		break;
	case TOW_EVENT_ERROR:
		s->error = -event->status;
		break;
	case TOW_EVENT_LOAN:
		on_loan(s, event->token);
		break;
	default:
		break;
	}
}

/* ------------------------------------------------------------------- calls */

int pd_socket(void *u, int domain, int type, int protocol)
{
	struct world *w = u;
	struct sock *s;
	int base = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)protocol;
	if (base != SOCK_STREAM && base != SOCK_DGRAM) {
		errno = ESOCKTNOSUPPORT;
		return -1;
	}
	pd_enter(w);
	s = sock_new(w, base == SOCK_STREAM ? SOCK_KIND_TCP : SOCK_KIND_UDP,
		     domain);
	s->nonblock = type & SOCK_NONBLOCK;
	pd_leave(w);
	return s->fd;
}

int sock_open_udp(struct world *w, struct sock *s)
{
	int r;

	if (s->udp)
		return 0;
	r = tow_udp_open(w->stack, &s->local, &s->udp);
	if (r < 0)
		return r;
	tow_udp_set_user(s->udp, s);
	s->bound = true;
	return 0;
}

int pd_bind(void *u, int fd, const struct sockaddr *addr, socklen_t bytes)
{
	struct world *w = u;
	struct sock *s;
	int r = 0;

	pd_enter(w);
	s = sock_find(w, fd);
	if (!s)
		r = -EBADF;
	else if (s->bound || s->tcp || s->listener)
		r = -EINVAL;
	else if (!sock_endpoint(addr, bytes, &s->local))
		r = -EAFNOSUPPORT;
	else if (s->kind == SOCK_KIND_UDP)
		r = sock_open_udp(w, s);
	if (r == 0)
		s->bound = true;
	pd_leave(w);
	return r < 0 ? sock_error(r) : 0;
}

static int listen_on(struct world *w, struct sock *s, int backlog)
{
	int r;

	if (s->tcp)
		return -EINVAL;
	if (s->listener)
		return 0;
	r = tow_tcp_listen(w->stack, &s->local, MAX(1, MIN(backlog + 1, 65535)),
			   &s->listener);
	if (r < 0)
		return r;
	tow_listener_set_user(s->listener, s);
	s->backlog = MAX(1, backlog);
	option_apply(s);
	fast_open_listen(w, s);
	fast_open_tell_keys(s);
	return 0;
}

int pd_listen(void *u, int fd, int backlog)
{
	struct world *w = u;
	struct sock *s;
	int r;

	pd_enter(w);
	s = sock_find(w, fd);
	r = s && s->kind == SOCK_KIND_TCP ? listen_on(w, s, backlog) : -EBADF;
	pd_leave(w);
	return r < 0 ? sock_error(r) : 0;
}

/* What a connection has of its listener. */
static struct sock *inherit(struct world *w, struct sock *from,
			    struct tow_tcp *tcp)
{
	struct sock *s = sock_new(w, SOCK_KIND_TCP, from->family);

	s->tcp = tcp;
	s->connected = true;
	s->bound = true;
	s->local = tow_tcp_local(tcp);
	s->zerocopy = from->zerocopy;
	s->tell_unread = from->tell_unread;
	s->keepalive = from->keepalive;
	s->linger_on = from->linger_on;
	s->linger_s = from->linger_s;
	memcpy(s->buffers, from->buffers, sizeof(s->buffers));
	memcpy(s->settings, from->settings, sizeof(s->settings));
	s->setting_count = from->setting_count;
	tow_tcp_set_user(tcp, s);
	return s;
}

static int take_waiting(struct sock *s, struct tow_tcp **out)
{
	if (!s->waiting)
		return tow_tcp_accept(s->listener, out);
	*out = s->waiting;
	s->waiting = NULL;
	return 0;
}

static int accept_one(struct world *w, struct sock *s, struct sockaddr *addr,
		      socklen_t *bytes)
{
	struct tow_tcp *tcp;
	struct tow_endpoint peer;
	struct sock *child;
	int r;

	if (!s->listener)
		return -EINVAL;
	while ((r = take_waiting(s, &tcp)) == TOW_EAGAIN && !s->nonblock) {
		if (!pd_block(w, UINT64_MAX))
			pd_die("accept() would block the script for ever");
	}
	if (r < 0)
		return r;
	child = inherit(w, s, tcp);
	peer = tow_tcp_remote(tcp);
	sock_name(&peer, s->family, addr, bytes);
	return child->fd;
}

int pd_accept(void *u, int fd, struct sockaddr *addr, socklen_t *bytes)
{
	struct world *w = u;
	struct sock *s;
	int r;

	pd_enter(w);
	pd_run(w);
	s = sock_find(w, fd);
	r = s ? accept_one(w, s, addr, bytes) : -EBADF;
	pd_leave(w);
	return r < 0 ? sock_error(r) : r;
}

int sock_connect_to(struct world *w, struct sock *s,
		    const struct tow_endpoint *to)
{
	int r = tow_tcp_connect(w->stack, s->bound ? &s->local : NULL, to,
				&s->tcp);

	if (r < 0)
		return r;
	tow_tcp_set_user(s->tcp, s);
	s->connecting = true;
	option_apply(s);
	return 0;
}

static int connect_tcp(struct world *w, struct sock *s,
		       const struct tow_endpoint *to)
{
	int r;

	if (s->connected || s->deferred)
		return -EISCONN;
	if (s->tcp && s->connecting && s->nonblock)
		return -EALREADY;
	if (!s->tcp) {
		r = s->fast_connect && w->fast_open & FAST_OPEN_CLIENT
			    ? fast_open_connect(w, s, to)
			    : sock_connect_to(w, s, to);
		if (r < 0 || s->deferred)
			return r;
		pd_run(w);
		if (s->nonblock && s->connecting)
			return -EINPROGRESS;
	}
	while (s->connecting) {
		if (!pd_block(w, UINT64_MAX))
			pd_die("connect() would block the script for ever");
	}
	if (s->error)
		return -sock_take_error(s);
	return s->connected ? 0 : -ECONNABORTED;
}

static int connect_udp(struct world *w, struct sock *s,
		       const struct tow_endpoint *to)
{
	int r = sock_open_udp(w, s);

	return r < 0 ? r : tow_udp_connect(s->udp, to);
}

int pd_connect(void *u, int fd, const struct sockaddr *addr, socklen_t bytes)
{
	struct world *w = u;
	struct tow_endpoint to;
	struct sock *s;
	int r;

	pd_enter(w);
	pd_run(w);
	s = sock_find(w, fd);
	if (!s)
		r = -EBADF;
	else if (!sock_endpoint(addr, bytes, &to))
		r = -EAFNOSUPPORT;
	else if (s->kind == SOCK_KIND_UDP)
		r = connect_udp(w, s, &to);
	else
		r = connect_tcp(w, s, &to);
	pd_run(w);
	pd_leave(w);
	return r < 0 ? sock_error(r) : 0;
}

/* A listener that is shut for reading listens no more. */
static int shutdown_sock(struct world *w, struct sock *s, int how)
{
	(void)w;
	if (s->listener) {
		if (how != SHUT_WR)
			detach(s);
		return 0;
	}
	if (!s->tcp || s->over)
		return -ENOTCONN;
	s->news++;
	if (how == SHUT_RD || how == SHUT_RDWR)
		s->shut_read = true;
	if (how == SHUT_WR || how == SHUT_RDWR) {
		s->shut_write = true;
		(void)tow_tcp_shutdown(s->tcp);
	}
	return 0;
}

int pd_shutdown(void *u, int fd, int how)
{
	struct world *w = u;
	struct sock *s;
	int r;

	pd_enter(w);
	pd_run(w);
	s = sock_find(w, fd);
	r = s ? shutdown_sock(w, s, how) : -EBADF;
	pd_run(w);
	pd_leave(w);
	return r < 0 ? sock_error(r) : 0;
}

int pd_close_fd(void *u, int fd)
{
	struct world *w = u;
	struct sock *s;

	pd_enter(w);
	pd_run(w);
	s = sock_find(w, fd);
	if (s)
		sock_free(w, s);
	pd_run(w);
	pd_leave(w);
	return close(fd);
}
