/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options, by Linux's names and numbers.
 *
 * What the stack has too is set there; an option that says how packetdrill's
 * own calls behave is kept in the socket. What neither knows is refused with
 * ENOPROTOOPT, so that a script which needs it fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "conformance/pd.h"

static int set_on(struct sock *s, enum tow_tcp_option option, int64_t value)
{
	if (s->tcp)
		return tow_tcp_set(s->tcp, option, value);
	if (s->listener)
		return tow_listener_set(s->listener, option, value);
	return 0;
}

int option_remember(struct sock *s, enum tow_tcp_option option, int64_t value)
{
	int i;

	for (i = 0; i < s->setting_count; i++) {
		if (s->settings[i].option == option)
			break;
	}
	ASSERT(i < SETTINGS_MAX);
	s->settings[i] = (struct setting){ option, value };
	s->setting_count = MAX(s->setting_count, i + 1);
	return set_on(s, option, value);
}

/* There is a connection, or a listener, now. */
void option_apply(struct sock *s)
{
	for (int i = 0; i < s->setting_count; i++)
		(void)set_on(s, s->settings[i].option, s->settings[i].value);
}

static int64_t remembered(const struct sock *s, enum tow_tcp_option option,
			  int64_t otherwise)
{
	int64_t value;

	if (s->tcp && tow_tcp_get(s->tcp, option, &value) == 0)
		return value;
	for (int i = 0; i < s->setting_count; i++) {
		if (s->settings[i].option == option)
			return s->settings[i].value;
	}
	return otherwise;
}

/* --------------------------------------------------------------------- set */

static int set_keepalive(struct sock *s)
{
	return option_remember(s, TOW_TCP_KEEPALIVE_S,
			       !s->keepalive	? 0
			       : s->keepalive_s ? s->keepalive_s
						: 7200);
}

static int set_linger(struct sock *s, const void *value, socklen_t bytes)
{
	struct linger linger;

	if (bytes < sizeof(linger))
		return -EINVAL;
	memcpy(&linger, value, sizeof(linger));
	s->linger_on = linger.l_onoff;
	s->linger_s = linger.l_linger;
	return option_remember(s, TOW_TCP_LINGER_S,
			       linger.l_onoff ? linger.l_linger : -1);
}

static int set_socket(struct sock *s, int option, int n, const void *value,
		      socklen_t bytes)
{
	switch (option) {
	case SO_REUSEADDR:
		s->reuse_address = n;
		return 0;
	case SO_KEEPALIVE:
		s->keepalive = n;
		return set_keepalive(s);
	case SO_LINGER:
		return set_linger(s, value, bytes);
	case SO_SNDBUF:
		s->buffers[0] = n;
		/* Linux doubles it, and counts its overhead too. */
		return option_remember(s, TOW_TCP_SEND_BYTES,
				       n + (int64_t)n / 3);
	case SO_RCVBUF:
		s->buffers[1] = n;
		return option_remember(s, TOW_TCP_RECV_BYTES, 2 * (int64_t)n);
	case SO_MAX_PACING_RATE: /* ~0: no limit */
		return option_remember(s, TOW_TCP_PACING_RATE,
				       n == -1 ? 0 : (uint32_t)n);
	case SO_ZEROCOPY:
		s->zerocopy = n;
		return 0;
	case SO_TIMESTAMPING:
		return stamp_set(s, (unsigned)n);
	case SO_MARK: /* for others' routing */
	case SO_PRIORITY:
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int set_tcp(struct world *w, struct sock *s, int option, int n)
{
	switch (option) {
	case TCP_NODELAY:
		return option_remember(s, TOW_TCP_NODELAY, n != 0);
	case TCP_CORK:
		return option_remember(s, TOW_TCP_CORK, n != 0);
	case TCP_MAXSEG:
		return option_remember(s, TOW_TCP_MSS, n);
	case TCP_KEEPIDLE:
		s->keepalive_s = n;
		return set_keepalive(s);
	case TCP_KEEPINTVL:
		return option_remember(s, TOW_TCP_KEEPALIVE_INTERVAL_S, n);
	case TCP_KEEPCNT:
		return option_remember(s, TOW_TCP_KEEPALIVE_PROBES, n);
	case TCP_USER_TIMEOUT:
		return option_remember(s, TOW_TCP_USER_TIMEOUT_MS, n);
	case TCP_SYNCNT:
		return n < 1 ? -EINVAL
			     : option_remember(s, TOW_TCP_SYN_RETRIES, n);
	case TCP_NOTSENT_LOWAT:
		return option_remember(s, TOW_TCP_NOTSENT_LOWAT, n);
	case TCP_FASTOPEN:
		s->fast_open_set = true;
		s->fast_open = n;
		break;
	case TCP_FASTOPEN_CONNECT:
		if (!(w->fast_open & FAST_OPEN_CLIENT))
			return -EOPNOTSUPP;
		s->fast_connect = n;
		return 0;
	case TCP_FASTOPEN_NO_COOKIE:
		s->no_cookie = n;
		break;
	case TCP_INQ:
		if (n < 0 || n > 1)
			return -EINVAL;
		s->tell_unread = n;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
	if (s->listener) /* Fast Open of one that listens already */
		fast_open_listen(w, s);
	return 0;
}

/* Of either family: what is said of each packet's header. */
static int set_ip(struct sock *s, int level, int option, int n)
{
	if (level == IPPROTO_IP ? option == IP_TTL
				: option == IPV6_UNICAST_HOPS)
		return option_remember(s, TOW_TCP_TTL, n < 0 ? 0 : n);
	if (level == IPPROTO_IP ? option == IP_TOS : option == IPV6_TCLASS)
		return option_remember(s, TOW_TCP_TOS, n < 0 ? 0 : n & ~3);
	return -ENOPROTOOPT;
}

static const struct {
	const char *name;
	int64_t id;
} controllers[] = { { "cubic", TOW_TCP_CUBIC },
		    { "reno", TOW_TCP_NEWRENO },
		    { "bbr", TOW_TCP_BBR } };

static int set_congestion(struct sock *s, const char *name, socklen_t bytes)
{
	for (size_t i = 0; i < LENGTH(controllers); i++) {
		if (bytes >= strlen(controllers[i].name) &&
		    !strncmp(name, controllers[i].name, bytes))
			return option_remember(s, TOW_TCP_CONGESTION,
					       controllers[i].id);
	}
	return -ENOENT;
}

int pd_setsockopt(void *u, int fd, int level, int option, const void *value,
		  socklen_t bytes)
{
	struct world *w = u;
	struct sock *s;
	int r = -ENOPROTOOPT, n = 0;

	if (value && bytes >= sizeof(n))
		memcpy(&n, value, sizeof(n));
	pd_enter(w);
	pd_run(w);
	s = sock_find(w, fd);
	if (!s)
		r = -EBADF;
	else if (!value)
		r = -EFAULT;
	else if (level == SOL_SOCKET)
		r = set_socket(s, option, n, value, bytes);
	else if (level == IPPROTO_TCP && option == TCP_CONGESTION)
		r = set_congestion(s, value, bytes);
	else if (level == IPPROTO_IP || level == IPPROTO_IPV6)
		r = set_ip(s, level, option, n);
	else if (level == IPPROTO_TCP && option == TCP_FASTOPEN_KEY)
		r = fast_open_set_key(s, value, bytes);
	else if (level == IPPROTO_TCP && bytes < sizeof(n))
		r = -EINVAL;
	else if (level == IPPROTO_TCP)
		r = set_tcp(w, s, option, n);
	pd_run(w);
	pd_leave(w);
	return r < 0 ? sock_error(r) : 0;
}

/* --------------------------------------------------------------------- get */

static uint8_t linux_state(const struct sock *s)
{
	static const uint8_t states[] = {
		[TOW_TCP_ESTABLISHED] = 1,  [TOW_TCP_SYN_SENT] = 2,
		[TOW_TCP_SYN_RECEIVED] = 3, [TOW_TCP_FIN_WAIT_1] = 4,
		[TOW_TCP_FIN_WAIT_2] = 5,   [TOW_TCP_TIME_WAIT] = 6,
		[TOW_TCP_CLOSED] = 7,	    [TOW_TCP_CLOSE_WAIT] = 8,
		[TOW_TCP_LAST_ACK] = 9,	    [TOW_TCP_CLOSING] = 11,
	};
	struct tow_tcp_info info;

	if (s->listener)
		return 10;
	if (!s->tcp)
		return 7;
	tow_tcp_info(s->tcp, &info);
	return states[info.state];
}

static void fill_info(const struct sock *s, struct tcp_info *out)
{
	struct tow_tcp_info info;

	memset(out, 0, sizeof(*out));
	out->tcpi_state = linux_state(s);
	if (!s->tcp)
		return;
	tow_tcp_info(s->tcp, &info);
	out->tcpi_options = (info.timestamps ? TCPI_OPT_TIMESTAMPS : 0) |
			    (info.sack ? TCPI_OPT_SACK : 0) |
			    (info.window_scaling ? TCPI_OPT_WSCALE : 0) |
			    (info.ecn ? TCPI_OPT_ECN : 0) |
			    (info.fast_open ? TCPI_OPT_SYN_DATA : 0);
	out->tcpi_rto = info.rto_us;
	out->tcpi_snd_mss = info.mss;
	out->tcpi_rtt = info.srtt_us;
	out->tcpi_snd_cwnd = info.cwnd_bytes / MAX(info.mss, 1);
	out->tcpi_snd_ssthresh =
		info.ssthresh_bytes == UINT32_MAX
			? INT32_MAX
			: info.ssthresh_bytes / MAX(info.mss, 1);
	out->tcpi_unacked =
		(info.in_flight_bytes + info.mss - 1) / MAX(info.mss, 1);
	out->tcpi_total_retrans = info.retransmits;
	out->tcpi_notsent_bytes = (uint32_t)info.unsent_bytes;
	out->tcpi_backoff = info.backoffs;
	out->tcpi_retransmits = info.backoffs;
	out->tcpi_probes = info.probes;
	out->tcpi_snd_wscale = info.send_scale & 15;
	out->tcpi_rcv_wscale = info.recv_scale & 15;
	out->tcpi_rttvar = info.rttvar_us;
	out->tcpi_min_rtt = info.min_rtt_us;
	out->tcpi_pmtu = info.mtu;
	out->tcpi_advmss = info.own_mss;
	out->tcpi_rcv_mss = info.own_mss;
	out->tcpi_sacked = info.sacked_bytes / MAX(info.mss, 1);
	out->tcpi_lost = info.lost_bytes / MAX(info.mss, 1);
	out->tcpi_last_data_sent = info.last_sent_us / 1000;
	out->tcpi_last_data_recv = info.last_received_us / 1000;
	out->tcpi_bytes_acked = info.acked_bytes;
	out->tcpi_bytes_received = info.received_bytes;
	out->tcpi_bytes_retrans = info.retransmitted_bytes;
	out->tcpi_delivery_rate = info.delivery_rate;
	out->tcpi_pacing_rate = info.pacing_rate;
	out->tcpi_busy_time = info.busy_us;
	out->tcpi_rwnd_limited = info.window_limited_us;
	out->tcpi_sndbuf_limited = info.buffer_limited_us;
	out->tcpi_snd_wnd = info.send_window_bytes;
}

/* With a handshake behind it: what is sent, without the options' share. */
static int maxseg(const struct sock *s)
{
	struct tow_tcp_info info;

	if (!s->tcp || !s->connected)
		return (int)remembered(s, TOW_TCP_MSS, 536);
	tow_tcp_info(s->tcp, &info);
	return (int)info.mss;
}

static int get_tcp(struct sock *s, int option, int *out)
{
	int n;

	switch (option) {
	case TCP_NODELAY:
		*out = (int)remembered(s, TOW_TCP_NODELAY, 0);
		return 0;
	case TCP_MAXSEG:
		*out = maxseg(s);
		return 0;
	case TCP_KEEPIDLE:
		*out = s->keepalive_s ? s->keepalive_s : 7200;
		return 0;
	case TCP_KEEPINTVL:
		*out = (int)remembered(s, TOW_TCP_KEEPALIVE_INTERVAL_S, 75);
		return 0;
	case TCP_KEEPCNT:
		*out = (int)remembered(s, TOW_TCP_KEEPALIVE_PROBES, 9);
		return 0;
	case TCP_USER_TIMEOUT:
		*out = (int)remembered(s, TOW_TCP_USER_TIMEOUT_MS, 0);
		return 0;
	case TCP_SYNCNT:
		n = (int)remembered(s, TOW_TCP_SYN_RETRIES, 0);
		*out = n ? n : 6;
		return 0;
	case TCP_NOTSENT_LOWAT:
		*out = (int)remembered(s, TOW_TCP_NOTSENT_LOWAT, 0);
		return 0;
	case TCP_INQ:
		*out = s->tell_unread;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int get_socket(struct sock *s, int option, int *out)
{
	switch (option) {
	case SO_ERROR:
		*out = sock_take_error(s);
		return 0;
	case SO_REUSEADDR:
		*out = s->reuse_address;
		return 0;
	case SO_KEEPALIVE:
		*out = s->keepalive;
		return 0;
	case SO_SNDBUF:
	case SO_RCVBUF:
		*out = 2 * s->buffers[option == SO_RCVBUF];
		return 0;
	case SO_ZEROCOPY:
		*out = s->zerocopy;
		return 0;
	case SO_TIMESTAMPING:
		*out = (int)s->stamping;
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int give_back(const void *from, size_t size, void *value,
		     socklen_t *bytes)
{
	*bytes = (socklen_t)MIN(size, *bytes);
	memcpy(value, from, *bytes);
	return 0;
}

/* Linux does not mind a short buffer, but refuses what is less than none. */
int option_get(struct world *w, struct sock *s, int level, int option,
	       void *value, socklen_t *bytes)
{
	struct linger linger = { s->linger_on, s->linger_s };
	uint32_t memory[9] = { 0 }; /* nobody counts a socket's as Linux does */
	/* packetdrill may know of more than the headers here do. */
	union {
		struct tcp_info known;
		uint8_t room[512];
	} info = { .room = { 0 } };
	int n = 0, r = -ENOPROTOOPT;

	(void)w;
	if (!bytes || !value)
		return sock_error(-EFAULT);
	if ((int)*bytes < 0)
		return sock_error(-EINVAL);
	if (level == SOL_SOCKET && option == SO_LINGER)
		return give_back(&linger, sizeof(linger), value, bytes);
	if (level == IPPROTO_TCP && option == TCP_INFO) {
		fill_info(s, &info.known);
		return give_back(&info, sizeof(info), value, bytes);
	}
	if (level == IPPROTO_TCP && option == TCP_CC_INFO)
		return give_back(&info, 0, value, bytes); /* none to tell */
	if (level == SOL_SOCKET && option == SO_MEMINFO)
		return give_back(memory, sizeof(memory), value, bytes);
	if (level == SOL_SOCKET)
		r = get_socket(s, option, &n);
	else if (level == IPPROTO_TCP)
		r = get_tcp(s, option, &n);
	if (r < 0)
		return sock_error(r);
	return give_back(&n, sizeof(n), value, bytes);
}

int pd_getsockopt(void *u, int fd, int level, int option, void *value,
		  socklen_t *bytes)
{
	struct world *w = u;
	struct sock *s;
	int r;

	pd_enter(w);
	pd_run(w);
	s = sock_find(w, fd);
	r = s ? option_get(w, s, level, option, value, bytes)
	      : sock_error(-EBADF);
	pd_leave(w);
	return r;
}

/* ---------------------------------------------------------- fcntl and ioctl */

int pd_fcntl(void *u, int fd, int command, ...)
{
	struct world *w = u;
	struct sock *s;
	va_list args;
	int flags, r = 0;

	va_start(args, command);
	flags = command == F_SETFL ? va_arg(args, int) : 0;
	va_end(args);
	pd_enter(w);
	s = sock_find(w, fd);
	if (!s)
		r = -EBADF;
	else if (command == F_GETFL)
		r = O_RDWR | (s->nonblock ? O_NONBLOCK : 0);
	else if (command == F_SETFL)
		s->nonblock = flags & O_NONBLOCK;
	else if (command != F_SETFD && command != F_GETFD)
		r = -EINVAL;
	pd_leave(w);
	return r < 0 ? sock_error(r) : r;
}

static int count_bytes(struct sock *s, unsigned long request, int *out)
{
	struct tow_tcp_info info;

	if (s->listener)
		return -EINVAL;
	*out = 0;
	if (!s->tcp)
		return 0;
	tow_tcp_info(s->tcp, &info);
	if (request == SIOCINQ)
		*out = (int)(info.unread_bytes + s->peeked_bytes);
	else if (request == SIOCOUTQ)
		*out = (int)info.queued_bytes;
	else if (request == SIOCOUTQNSD)
		*out = (int)info.unsent_bytes;
	else if (request == SIOCATMARK)
		*out = s->peeked_bytes == 0 && tow_tcp_urgent(s->tcp) == 0;
	else
		return -ENOTTY;
	return 0;
}

int pd_ioctl(void *u, int fd, unsigned long request, ...)
{
	struct world *w = u;
	struct sock *s;
	va_list args;
	int *out, r;

	va_start(args, request);
	out = va_arg(args, int *);
	va_end(args);
	pd_enter(w);
	pd_run(w);
	s = sock_find(w, fd);
	r = s ? count_bytes(s, request, out) : -EBADF;
	pd_leave(w);
	return r < 0 ? sock_error(r) : r;
}
