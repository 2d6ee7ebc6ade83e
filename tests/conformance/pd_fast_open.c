/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fast Open by Linux's calls: sendto(MSG_FASTOPEN), TCP_FASTOPEN_CONNECT, and
 * TCP_FASTOPEN of listeners. All come down to TOW_TCP_FAST_OPEN and
 * TOW_TCP_FAST_OPEN_HOW.
 *
 *	connect()  TCP_FASTOPEN_CONNECT: the SYN waits, and the call says 0,
 *	           if data may go with it; else it is as ever
 *	sendto()   with MSG_FASTOPEN, or behind such a connect(): data goes with
 *	           the SYN, as much as may; without data the SYN goes alone
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "conformance/pd.h"

static int64_t how_of(const struct world *w, const struct sock *s)
{
	return (w->fast_open & FAST_OPEN_CLIENT_NO_COOKIE || s->no_cookie
			? TOW_TCP_FAST_OPEN_NO_COOKIE
			: 0) |
	       TOW_TCP_FAST_OPEN_OLD;
}

/* For a listener that is about to be opened, or was. */
void fast_open_listen(struct world *w, struct sock *s)
{
	bool all = w->fast_open & FAST_OPEN_ALL_LISTENERS;
	bool server = w->fast_open & FAST_OPEN_SERVER;
	int64_t limit = s->fast_open_set ? s->fast_open : s->backlog;
	bool no_cookie =
		w->fast_open & FAST_OPEN_SERVER_NO_COOKIE || s->no_cookie;

	if (!server || !(all || s->fast_open_set))
		limit = 0;
	(void)tow_listener_set(s->listener, TOW_TCP_FAST_OPEN, limit);
	(void)tow_listener_set(s->listener, TOW_TCP_FAST_OPEN_HOW,
			       no_cookie ? TOW_TCP_FAST_OPEN_NO_COOKIE : 0);
}

/* The keys of the socket, if it has any, are those of its listener. */
void fast_open_tell_keys(struct sock *s)
{
	for (int i = s->fast_open_key_count; i-- > 0;)
		(void)tow_listener_fast_open_key(s->listener,
						 s->fast_open_keys[i]);
}

/* Begin a connection whose SYN waits, if data may go with it. */
int fast_open_connect(struct world *w, struct sock *s,
		      const struct tow_endpoint *to)
{
	int r;

	if (!(w->fast_open & FAST_OPEN_CLIENT))
		return -EOPNOTSUPP;
	(void)option_remember(s, TOW_TCP_FAST_OPEN, 1);
	(void)option_remember(s, TOW_TCP_FAST_OPEN_HOW,
			      how_of(w, s) | TOW_TCP_FAST_OPEN_WAIT);
	r = sock_connect_to(w, s, to);
	if (r == 0)
		s->deferred = tow_tcp_fast_open_room(s->tcp) > 0;
	return r;
}

/* Data of the first call, or none: then the SYN need not wait for it. */
static ssize_t send_first(struct world *w, struct sock *s, const uint8_t *data,
			  size_t bytes, int flags, bool block)
{
	size_t room = tow_tcp_fast_open_room(s->tcp);
	ssize_t r = 0;

	s->deferred = false;
	if (bytes && room)
		r = io_write(s, data, block ? bytes : MIN(bytes, room), flags);
	else
		(void)option_remember(s, TOW_TCP_FAST_OPEN_HOW, how_of(w, s));
	pd_run(w);
	return r;
}

/*
 * A call that must not block takes no more than what goes with the SYN.
 *
 * @to: where MSG_FASTOPEN connects to; unused behind connect()
 */
ssize_t fast_open_send(struct world *w, struct sock *s, const uint8_t *data,
		       size_t bytes, int flags, const struct tow_endpoint *to)
{
	bool block = !s->nonblock && !(flags & MSG_DONTWAIT);
	int connected = s->tcp ? 0 : fast_open_connect(w, s, to);
	ssize_t early, r;

	if (connected < 0)
		return connected;
	early = send_first(w, s, data, bytes, flags, block);
	if (!block)
		return early ? early : -EINPROGRESS;
	while (s->connecting) {
		if (!pd_block(w, UINT64_MAX))
			pd_die("sendto() would block the script for ever");
	}
	if (s->error)
		return -sock_take_error(s);
	if ((size_t)early == bytes)
		return early;
	r = io_transmit_tcp(w, s, data + early, bytes - (size_t)early, flags);
	return r < 0 ? r : early + r;
}

/* TCP_FASTOPEN_KEY: one key, or the one before behind it. */
int fast_open_set_key(struct sock *s, const void *value, socklen_t bytes)
{
	if (bytes != 16 && bytes != 32)
		return -EINVAL;
	memcpy(s->fast_open_keys, value, bytes);
	s->fast_open_key_count = (int)bytes / 16;
	if (s->listener)
		fast_open_tell_keys(s);
	return 0;
}
