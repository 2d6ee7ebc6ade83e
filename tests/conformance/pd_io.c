/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing, all of it by two functions: receive() and transmit().
 */
#include <errno.h>
#include <time.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "conformance/pd.h"

#define TCP_CM_INQ 36 /* newer than the C library's headers */

/* ----------------------------------------------------------------- reading */

/* Bytes that MSG_PEEK read come first; more may be behind them. */
static void peek_more(struct sock *s, size_t wanted)
{
	uint8_t *more = realloc(s->peeked, wanted + 1);
	int64_t r;

	if (!more)
		pd_die("out of memory");
	s->peeked = more;
	if (wanted <= s->peeked_bytes)
		return;
	r = tow_tcp_recv(s->tcp, more + s->peeked_bytes,
			 wanted - s->peeked_bytes);
	if (r > 0)
		s->peeked_bytes += (size_t)r;
}

static size_t take_peeked(struct sock *s, uint8_t *out, size_t bytes)
{
	size_t n = MIN(bytes, s->peeked_bytes);

	memcpy(out, s->peeked, n);
	memmove(s->peeked, s->peeked + n, s->peeked_bytes - n);
	s->peeked_bytes -= n;
	return n;
}

static ssize_t read_now(struct sock *s, uint8_t *out, size_t bytes, int flags)
{
	int64_t r;

	if (flags & MSG_PEEK && !s->shut_read)
		peek_more(s, bytes);
	if (s->peeked_bytes && flags & MSG_PEEK) {
		memcpy(out, s->peeked, MIN(bytes, s->peeked_bytes));
		return (ssize_t)MIN(bytes, s->peeked_bytes);
	}
	if (s->peeked_bytes) {
		peek_more(s, bytes);
		return (ssize_t)take_peeked(s, out, bytes);
	}
	r = tow_tcp_recv(s->tcp, out, bytes);
	if (r > 0)
		return (ssize_t)r; /* what came before the error comes first */
	if (s->error)
		return -sock_take_error(s);
	if (r == TOW_EAGAIN && s->shut_read)
		return 0;
	if (r == TOW_EAGAIN || r >= 0)
		return (ssize_t)r;
	return s->over ? 0 : (ssize_t)r; /* its error was told once */
}

static ssize_t receive_tcp(struct world *w, struct sock *s, uint8_t *out,
			   size_t bytes, int flags)
{
	size_t got = 0;
	ssize_t r;

	if (!s->tcp)
		return -ENOTCONN;
	for (;;) {
		r = read_now(s, out + got, bytes - got, flags);
		if (r > 0)
			got += (size_t)r;
		if (r == 0 || got == bytes || (got && !(flags & MSG_WAITALL)))
			break;
		if (r < 0 && r != -EAGAIN)
			break;
		if (r > 0)
			continue;
		if (s->nonblock || flags & MSG_DONTWAIT)
			break;
		if (!pd_block(w, UINT64_MAX))
			pd_die("read() would block the script for ever");
	}
	return got ? (ssize_t)got : r;
}

static ssize_t receive_udp(struct world *w, struct sock *s, void *out,
			   size_t bytes, int flags,
			   struct tow_udp_message *from)
{
	int64_t r = sock_open_udp(w, s);

	while (r >= 0) {
		if (s->error)
			return -sock_take_error(s);
		r = tow_udp_recv(s->udp, out, bytes, from);
		if (r != TOW_EAGAIN || s->nonblock || flags & MSG_DONTWAIT)
			break;
		if (!pd_block(w, UINT64_MAX))
			pd_die("recv() would block the script for ever");
		r = 0;
	}
	return (ssize_t)r;
}

/* The completions of MSG_ZEROCOPY, those that follow each other as one. */
static ssize_t receive_errors(struct sock *s, struct msghdr *msg)
{
	bool v6 = s->family == AF_INET6;
	size_t name_bytes =
		v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	struct sock_extended_err error = {
		.ee_origin = SO_EE_ORIGIN_ZEROCOPY,
		.ee_code = SO_EE_CODE_ZEROCOPY_COPIED, /* pd_device.c does */
		.ee_info = s->lent_done,
	};
	size_t bytes = CMSG_LEN(sizeof(error) + name_bytes);
	struct lent **at = &s->lents;
	struct cmsghdr *c = msg->msg_control;

	while (*at && (*at)->done) {
		struct lent *l = *at;

		*at = l->next;
		s->lent_done = l->number + 1;
		free(l);
	}
	if (s->lent_done == error.ee_info)
		return stamp_receive(s, msg);
	error.ee_data = s->lent_done - 1;
	if (c && msg->msg_controllen >= bytes) {
		memset(c, 0, bytes);
		c->cmsg_level = v6 ? SOL_IPV6 : SOL_IP;
		c->cmsg_type = v6 ? IPV6_RECVERR : IP_RECVERR;
		c->cmsg_len = bytes;
		memcpy(CMSG_DATA(c), &error, sizeof(error));
		msg->msg_controllen = bytes;
	}
	msg->msg_flags = MSG_ERRQUEUE;
	return 0;
}

static ssize_t receive(struct world *w, int fd, void *out, size_t bytes,
		       int flags, struct tow_udp_message *from)
{
	struct sock *s = sock_find(w, fd);

	pd_run(w);
	if (!s)
		return -EBADF;
	if (!out && bytes)
		return -EFAULT;
	if (s->kind == SOCK_KIND_TCP)
		return receive_tcp(w, s, out, bytes, flags);
	if (s->kind == SOCK_KIND_UDP)
		return receive_udp(w, s, out, bytes, flags, from);
	return -EINVAL;
}

static ssize_t answer(struct world *w, ssize_t r)
{
	pd_run(w);
	pd_leave(w);
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

ssize_t pd_recvfrom(void *u, int fd, void *out, size_t bytes, int flags,
		    struct sockaddr *from, socklen_t *from_bytes)
{
	struct world *w = u;
	struct tow_udp_message message = { 0 };
	struct sock *s;
	ssize_t r;

	pd_enter(w);
	r = receive(w, fd, out, bytes, flags, &message);
	s = sock_find(w, fd);
	if (s && s->kind == SOCK_KIND_UDP && r >= 0)
		sock_name(&message.peer, s->family, from, from_bytes);
	return answer(w, r);
}

ssize_t pd_recv(void *u, int fd, void *out, size_t bytes, int flags)
{
	return pd_recvfrom(u, fd, out, bytes, flags, NULL, NULL);
}

/* A pipe's end is a real descriptor. */
static bool is_pipe(struct world *w, int fd)
{
	struct sock *s;

	pd_enter(w);
	s = sock_find(w, fd);
	pd_leave(w);
	return s && s->kind == SOCK_KIND_PIPE;
}

ssize_t pd_read(void *u, int fd, void *out, size_t bytes)
{
	if (is_pipe(u, fd))
		return read(fd, out, bytes);
	return pd_recv(u, fd, out, bytes, 0);
}

/* A buffer that is not there. */
static bool iov_faults(const struct iovec *iov, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!iov[i].iov_base && iov[i].iov_len)
			return true;
	}
	return !iov && count;
}

static size_t iov_bytes(const struct iovec *iov, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

static void scatter(const uint8_t *from, size_t bytes, const struct iovec *iov)
{
	for (; bytes; iov++) {
		size_t part = MIN(bytes, iov->iov_len);

		memcpy(iov->iov_base, from, part);
		from += part;
		bytes -= part;
	}
}

static uint8_t *gather(const struct iovec *iov, size_t count, size_t *bytes)
{
	uint8_t *all, *at;

	*bytes = iov_bytes(iov, count);
	all = at = malloc(*bytes + 1);
	if (!all)
		pd_die("out of memory");
	for (size_t i = 0; i < count; i++) {
		memcpy(at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	return all;
}

static void tell_unread(struct sock *s, struct msghdr *msg)
{
	struct tow_tcp_info info;
	struct cmsghdr *c = msg->msg_control;
	int unread;

	if (!s->tell_unread || !s->tcp || !c ||
	    msg->msg_controllen < CMSG_LEN(sizeof(unread)))
		return;
	tow_tcp_info(s->tcp, &info);
	unread = (int)info.unread_bytes;
	if (unread == 0 && info.state >= TOW_TCP_CLOSE_WAIT)
		unread = 1; /* as Linux: there is the end to be read */
	c->cmsg_level = IPPROTO_TCP;
	c->cmsg_type = TCP_CM_INQ;
	c->cmsg_len = CMSG_LEN(sizeof(unread));
	memcpy(CMSG_DATA(c), &unread, sizeof(unread));
	msg->msg_controllen = CMSG_SPACE(sizeof(unread));
}

ssize_t pd_recvmsg(void *u, int fd, struct msghdr *msg, int flags)
{
	struct world *w = u;
	struct tow_udp_message message = { 0 };
	bool faults = iov_faults(msg->msg_iov, msg->msg_iovlen);
	size_t bytes = faults ? 0 : iov_bytes(msg->msg_iov, msg->msg_iovlen);
	uint8_t *all = malloc(bytes + 1);
	struct sock *s;
	ssize_t r;

	pd_enter(w);
	if (faults) {
		free(all);
		return answer(w, -EFAULT);
	}
	s = sock_find(w, fd);
	if (s && flags & MSG_ERRQUEUE) {
		pd_run(w);
		free(all);
		return answer(w, receive_errors(s, msg));
	}
	r = receive(w, fd, all, bytes, flags, &message);
	if (r >= 0)
		msg->msg_flags = 0;
	if (r > 0)
		scatter(all, (size_t)r, msg->msg_iov);
	if (s && s->kind == SOCK_KIND_UDP && r >= 0)
		sock_name(&message.peer, s->family, msg->msg_name,
			  &msg->msg_namelen);
	if (s && r >= 0)
		tell_unread(s, msg);
	free(all);
	return answer(w, r);
}

ssize_t pd_readv(void *u, int fd, const struct iovec *iov, int count)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov,
			      .msg_iovlen = (size_t)count };

	return pd_recvmsg(u, fd, &msg, 0);
}

/* ----------------------------------------------------------------- writing */

static unsigned send_flags(int flags)
{
	return (flags & MSG_MORE ? TOW_TCP_MORE : 0) |
	       (flags & MSG_EOR ? TOW_TCP_EOR : 0) |
	       (flags & MSG_OOB ? TOW_TCP_URGENT : 0);
}

/* MSG_ZEROCOPY: the bytes are lent, from a copy that lives long enough. */
static ssize_t lend_now(struct sock *s, const uint8_t *data, size_t bytes,
			int flags)
{
	struct lent *l = malloc(sizeof(*l) + bytes), **at = &s->lents;
	struct tow_span span;
	int r;

	if (!l)
		pd_die("out of memory");
	*l = (struct lent){ .number = s->lent, .bytes = bytes };
	memcpy(l->data, data, bytes);
	span = (struct tow_span){ l->data, bytes };
	r = tow_tcp_lend(s->tcp, &span, 1, (uintptr_t)l, send_flags(flags));
	if (r < 0) {
		free(l);
		return r;
	}
	while (*at)
		at = &(*at)->next;
	*at = l;
	s->lent++;
	return (ssize_t)bytes;
}

ssize_t io_write(struct sock *s, const uint8_t *data, size_t bytes, int flags)
{
	if (s->error)
		return -sock_take_error(s);
	if (s->shut_write || s->over)
		return -EPIPE;
	if (flags & MSG_ZEROCOPY && s->zerocopy && bytes)
		return lend_now(s, data, bytes, flags);
	if (bytes == 0)
		return 0;
	return (ssize_t)tow_tcp_send(s->tcp, data, bytes, send_flags(flags));
}

ssize_t io_transmit_tcp(struct world *w, struct sock *s, const uint8_t *data,
			size_t bytes, int flags)
{
	size_t sent = 0;
	ssize_t r;

	if (!s->tcp)
		return s->error ? -sock_take_error(s) : -EPIPE;
	while (s->connecting && !s->nonblock) {
		if (!pd_block(w, UINT64_MAX))
			pd_die("write() would block the script for ever");
	}
	if (s->connecting)
		return -EAGAIN;
	for (;;) {
		r = io_write(s, data + sent, bytes - sent, flags);
		if (r > 0) {
			stamp_written(s, sent > 0);
			sent += (size_t)r;
		}
		pd_run(w);
		if (sent == bytes || (r < 0 && r != -EAGAIN))
			break;
		if (r > 0)
			continue;
		if (s->nonblock || flags & MSG_DONTWAIT)
			break;
		if (!pd_block(w, UINT64_MAX))
			pd_die("write() would block the script for ever");
	}
	return sent || r == 0 ? (ssize_t)sent : r;
}

static ssize_t transmit_udp(struct world *w, struct sock *s, const void *data,
			    size_t bytes, const struct sockaddr *to,
			    socklen_t to_bytes)
{
	struct tow_span span = { data, bytes };
	struct tow_udp_message message = { .spans = &span, .span_count = 1 };
	int r = sock_open_udp(w, s);

	if (r < 0)
		return r;
	if (s->error)
		return -sock_take_error(s);
	if (to && !sock_endpoint(to, to_bytes, &message.peer))
		return -EAFNOSUPPORT;
	r = tow_udp_send(s->udp, &message, 1);
	if (r == TOW_ENOTCONN)
		r = -EDESTADDRREQ;
	return r < 0 ? r : (ssize_t)bytes;
}

static ssize_t transmit(struct world *w, int fd, const void *data, size_t bytes,
			int flags, const struct sockaddr *to,
			socklen_t to_bytes)
{
	struct sock *s = sock_find(w, fd);
	struct tow_endpoint peer;

	pd_run(w);
	if (!s)
		return -EBADF;
	if (!data && bytes)
		return -EFAULT;
	if (s->kind == SOCK_KIND_TCP && s->deferred)
		return fast_open_send(w, s, data, bytes, flags, NULL);
	if (s->kind == SOCK_KIND_TCP && flags & MSG_FASTOPEN && !s->tcp) {
		if (to && to->sa_family == AF_UNSPEC)
			return -EOPNOTSUPP;
		if (!to || !sock_endpoint(to, to_bytes, &peer))
			return -EINVAL;
		return fast_open_send(w, s, data, bytes, flags, &peer);
	}
	if (s->kind == SOCK_KIND_TCP && flags & MSG_FASTOPEN && s->connecting)
		return -EALREADY;
	if (s->kind == SOCK_KIND_TCP)
		return io_transmit_tcp(w, s, data, bytes, flags);
	if (s->kind == SOCK_KIND_UDP)
		return transmit_udp(w, s, data, bytes, to, to_bytes);
	return -EINVAL;
}

ssize_t pd_sendto(void *u, int fd, const void *data, size_t bytes, int flags,
		  const struct sockaddr *to, socklen_t to_bytes)
{
	struct world *w = u;

	pd_enter(w);
	return answer(w, transmit(w, fd, data, bytes, flags, to, to_bytes));
}

ssize_t pd_send(void *u, int fd, const void *data, size_t bytes, int flags)
{
	return pd_sendto(u, fd, data, bytes, flags, NULL, 0);
}

ssize_t pd_write(void *u, int fd, const void *data, size_t bytes)
{
	if (is_pipe(u, fd))
		return write(fd, data, bytes);
	return pd_send(u, fd, data, bytes, 0);
}

ssize_t pd_sendmsg(void *u, int fd, const struct msghdr *msg, int flags)
{
	uint8_t *all;
	size_t bytes;
	ssize_t r;

	if (iov_faults(msg->msg_iov, msg->msg_iovlen)) {
		errno = EFAULT;
		return -1;
	}
	all = gather(msg->msg_iov, msg->msg_iovlen, &bytes);
	r = pd_sendto(u, fd, all, bytes, flags, msg->msg_name,
		      msg->msg_namelen);
	free(all);
	return r;
}

ssize_t pd_writev(void *u, int fd, const struct iovec *iov, int count)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov,
			      .msg_iovlen = (size_t)count };

	return pd_sendmsg(u, fd, &msg, 0);
}

/* ------------------------------------------------------------------- pipes */

int pd_pipe(void *u, int fds[2])
{
	struct world *w = u;
	int r = pipe(fds);

	pd_enter(w);
	for (int i = 0; r == 0 && i < 2; i++) {
		struct sock *s = sock_new(w, SOCK_KIND_PIPE, 0);

		close(s->fd);
		s->fd = fds[i];
	}
	pd_leave(w);
	return r;
}

/* Between a pipe and a connection, by way of memory. */
int pd_splice(void *u, int in, loff_t *in_offset, int out, loff_t *out_offset,
	      size_t bytes, unsigned flags)
{
	uint8_t *all = malloc(bytes + 1);
	ssize_t r;

	(void)in_offset;
	(void)out_offset;
	(void)flags;
	r = pd_read(u, in, all, bytes);
	if (r > 0)
		r = pd_write(u, out, all, (size_t)r);
	free(all);
	return (int)r;
}
