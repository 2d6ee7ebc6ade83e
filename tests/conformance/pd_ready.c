/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Readiness: poll() and epoll, level- and edge-triggered, as Linux has them.
 */
#include <errno.h>
#include <stdlib.h>
#include "conformance/pd.h"

static uint32_t ready_tcp(const struct sock *s)
{
	struct tow_tcp_info info;
	uint32_t ready = 0;

	if (s->error)
		ready |= EPOLLERR | EPOLLIN | EPOLLOUT | EPOLLRDHUP;
	if (!s->tcp)
		return ready | EPOLLOUT | EPOLLHUP;
	if (s->deferred)
		return ready | EPOLLOUT | EPOLLWRNORM;
	if (s->connecting)
		return ready;
	tow_tcp_info(s->tcp, &info);
	if (info.unread_bytes || s->peeked_bytes)
		ready |= EPOLLIN | EPOLLRDNORM;
	if (s->over || s->shut_read || info.state == TOW_TCP_CLOSE_WAIT ||
	    info.state >= TOW_TCP_CLOSING)
		ready |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
	if (s->over || s->shut_write || tow_tcp_send_room(s->tcp) > 0)
		ready |= EPOLLOUT | EPOLLWRNORM;
	if (s->over || (s->shut_write && ready & EPOLLRDHUP))
		ready |= EPOLLHUP;
	for (const struct lent *l = s->lents; l && l->done; l = NULL)
		ready |= EPOLLERR;
	if (stamp_waits(s))
		ready |= EPOLLERR;
	return ready;
}

/* Only accept tells whether somebody waits; it is kept for the next call. */
static uint32_t ready_listener(struct sock *s)
{
	if (!s->waiting && tow_tcp_accept(s->listener, &s->waiting) < 0)
		s->waiting = NULL;
	return s->waiting ? EPOLLIN | EPOLLRDNORM : 0;
}

uint32_t ready_now(struct world *w, struct sock *s)
{
	(void)w;
	if (s->listener)
		return ready_listener(s);
	if (s->kind == SOCK_KIND_TCP)
		return ready_tcp(s);
	if (s->kind == SOCK_KIND_UDP)
		return (s->error ? EPOLLERR : 0) | EPOLLOUT;
	return 0;
}

static uint64_t end_of(const struct world *w, int timeout_ms)
{
	return timeout_ms < 0 ? UINT64_MAX
			      : w->now_us + (uint64_t)timeout_ms * 1000;
}

/* -------------------------------------------------------------------- poll */

static int poll_now(struct world *w, struct pollfd *fds, nfds_t count)
{
	int ready = 0;

	for (nfds_t i = 0; i < count; i++) {
		struct sock *s = sock_find(w, fds[i].fd);
		uint32_t now = s ? ready_now(w, s) : 0;
		uint32_t wanted = (uint32_t)fds[i].events | POLLERR | POLLHUP;

		fds[i].revents = s ? (short)(now & wanted) : POLLNVAL;
		ready += fds[i].revents != 0;
	}
	return ready;
}

int pd_poll(void *u, struct pollfd *fds, nfds_t count, int timeout_ms)
{
	struct world *w = u;
	uint64_t end_us;
	int r;

	pd_enter(w);
	pd_run(w);
	end_us = end_of(w, timeout_ms);
	while ((r = poll_now(w, fds, count)) == 0 && w->now_us < end_us) {
		if (!pd_block(w, end_us))
			break;
	}
	pd_leave(w);
	return r;
}

/* ------------------------------------------------------------------- epoll */

int pd_epoll_create(void *u, int size)
{
	struct world *w = u;
	struct sock *s;

	if (size <= 0) {
		errno = EINVAL;
		return -1;
	}
	pd_enter(w);
	s = sock_new(w, SOCK_KIND_EPOLL, 0);
	pd_leave(w);
	return s->fd;
}

static struct interest **interest_at(struct sock *epoll, int fd)
{
	struct interest **at = &epoll->interests;

	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	return at;
}

/* The descriptor was closed: nobody waits for it any more. */
void interest_forget(struct world *w, int fd)
{
	for (struct sock *s = w->socks; s; s = s->next) {
		struct interest **at = interest_at(s, fd), *i = *at;

		if (i)
			*at = i->next;
		free(i);
	}
}

static int control(struct sock *epoll, int op, int fd,
		   const struct epoll_event *event)
{
	struct interest **at = interest_at(epoll, fd), *i = *at;

	if (op == EPOLL_CTL_ADD && i)
		return -EEXIST;
	if (op != EPOLL_CTL_ADD && !i)
		return -ENOENT;
	if (op == EPOLL_CTL_DEL) {
		*at = i->next;
		free(i);
		return 0;
	}
	if (!i) {
		i = calloc(1, sizeof(*i));
		if (!i)
			pd_die("out of memory");
		i->fd = fd;
		*at = i;
	}
	i->event = *event;
	i->seen = 0;
	return 0;
}

int pd_epoll_ctl(void *u, int epfd, int op, int fd, struct epoll_event *event)
{
	struct world *w = u;
	struct sock *epoll;
	int r = -EBADF;

	pd_enter(w);
	pd_run(w);
	epoll = sock_find(w, epfd);
	if (epoll && epoll->kind == SOCK_KIND_EPOLL && sock_find(w, fd))
		r = control(epoll, op, fd, event);
	pd_leave(w);
	return r < 0 ? sock_error(r) : 0;
}

/* What to report of one interest, by its kind of trigger. */
static uint32_t report(struct world *w, struct interest *i)
{
	struct sock *s = sock_find(w, i->fd);
	uint32_t ready =
		ready_now(w, s) & (i->event.events | EPOLLERR | EPOLLHUP);

	if (i->event.events == EPOLLONESHOT) /* it was reported: no more */
		return 0;
	if (!(i->event.events & EPOLLET))
		return ready;
	if (i->edge == s->news && !(ready & ~i->seen)) {
		i->seen = ready;
		return 0;
	}
	i->edge = s->news;
	i->seen = ready;
	return ready;
}

static int epoll_now(struct world *w, struct sock *epoll,
		     struct epoll_event *out, int max)
{
	struct interest *i;
	int n = 0;

	for (i = epoll->interests; i && n < max; i = i->next) {
		uint32_t ready = report(w, i);

		if (!ready)
			continue;
		out[n].events = ready;
		out[n++].data = i->event.data;
		if (i->event.events & EPOLLONESHOT)
			i->event.events = EPOLLONESHOT;
	}
	return n;
}

int pd_epoll_wait(void *u, int epfd, struct epoll_event *out, int max,
		  int timeout_ms)
{
	struct world *w = u;
	struct sock *epoll;
	uint64_t end_us;
	int r = -EBADF;

	pd_enter(w);
	pd_run(w);
	epoll = sock_find(w, epfd);
	end_us = end_of(w, timeout_ms);
	while (epoll && (r = epoll_now(w, epoll, out, max)) == 0 &&
	       w->now_us < end_us) {
		if (!pd_block(w, end_us))
			break;
	}
	pd_leave(w);
	return r < 0 ? sock_error(r) : r;
}
