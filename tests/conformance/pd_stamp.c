/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SO_TIMESTAMPING: when what a call wrote was sent, and acknowledged.
 *
 *	write()   ---> tow_tcp_stamp(), of the call's last byte
 *	recvmsg() <--- TOW_EVENT_STAMP, one for all times
 *
 * In Linux's error queue each time is a message of its own, SCHED and SND when
 * the byte leaves and ACK when it is acknowledged. Here all three are known at
 * once, at the end, and are told in the order of their times. SCHED and SND are
 * the same moment, because nothing queues between the stack and its device.
 * The bytes themselves do not come along: Linux would cut them off, too, for a
 * call that has no room for them.
 */
#include <errno.h>
#include <time.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "conformance/pd.h"

/* What Linux says of one call, in this order. */
static const struct {
	unsigned flag, info;
} kinds[] = { { SOF_TIMESTAMPING_TX_SCHED, SCM_TSTAMP_SCHED },
	      { SOF_TIMESTAMPING_TX_SOFTWARE, SCM_TSTAMP_SND },
	      { SOF_TIMESTAMPING_TX_ACK, SCM_TSTAMP_ACK } };

static uint64_t acked_bytes(const struct sock *s)
{
	struct tow_tcp_info info;

	tow_tcp_info(s->tcp, &info);
	return info.acked_bytes;
}

static uint64_t written_bytes(const struct sock *s)
{
	struct tow_tcp_info info;

	tow_tcp_info(s->tcp, &info);
	return info.acked_bytes + info.queued_bytes;
}

/* With OPT_ID bytes are numbered from here on: only where there is a stream. */
int stamp_set(struct sock *s, unsigned flags)
{
	if (flags & ~(unsigned)SOF_TIMESTAMPING_MASK)
		return -EINVAL;
	if (flags & ~s->stamping & SOF_TIMESTAMPING_OPT_ID) {
		if (s->kind != SOCK_KIND_TCP || !s->tcp)
			return -EINVAL;
		s->stamp_base = acked_bytes(s);
	}
	s->stamping = flags;
	return 0;
}

static bool is_wanted(const struct sock *s)
{
	for (size_t i = 0; i < LENGTH(kinds); i++) {
		if (s->stamping & kinds[i].flag)
			return true;
	}
	return false;
}

/*
 * A call wrote something. @again: it did so before, and had to wait for room;
 * its last byte is another one then.
 */
void stamp_written(struct sock *s, bool again)
{
	struct stamped *p, **at = &s->stamps;

	if (!is_wanted(s))
		return;
	p = calloc(1, sizeof(*p));
	if (!p)
		pd_die("out of memory");
	if (s->stamping & SOF_TIMESTAMPING_OPT_ID)
		p->number = (uint32_t)(written_bytes(s) - s->stamp_base - 1);
	if (tow_tcp_stamp(s->tcp, (uintptr_t)p) < 0)
		pd_die("no record for a timestamp");
	for (; *at; at = &(*at)->next)
		if (again && !(*at)->next)
			(*at)->told = LENGTH(kinds);
	*at = p;
}

/* It was acknowledged; or never will be. */
void stamp_event(const struct sock *s, const struct tow_event *event)
{
	struct stamped *p = (void *)(uintptr_t)event->token;

	if (!s) {
		free(p);
		return;
	}
	p->done = true;
	p->us[0] = p->us[1] = event->sent_us;
	p->us[2] = event->acked_us;
}

/* The next that is to be told of one call; LENGTH(kinds): nothing, or not yet. */
static unsigned next_kind(const struct sock *s, const struct stamped *p)
{
	unsigned kind = p->done ? p->told : LENGTH(kinds);

	while (kind < LENGTH(kinds) &&
	       (!p->us[kind] || !(s->stamping & kinds[kind].flag)))
		kind++;
	return kind;
}

static struct stamped *earliest(const struct sock *s)
{
	struct stamped *first = NULL;
	uint64_t first_us = UINT64_MAX;

	for (struct stamped *p = s->stamps; p; p = p->next) {
		unsigned kind = next_kind(s, p);

		if (kind == LENGTH(kinds) || p->us[kind] >= first_us)
			continue;
		first = p;
		first_us = p->us[kind];
	}
	return first;
}

bool stamp_waits(const struct sock *s)
{
	return earliest(s) != NULL;
}

static void forget_told(struct sock *s)
{
	struct stamped **at = &s->stamps;

	while (*at) {
		struct stamped *p = *at;

		if (!p->done || next_kind(s, p) < LENGTH(kinds)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		free(p);
	}
}

/* Returns: where the next one goes. */
static size_t put_control(struct msghdr *msg, size_t at, int level, int type,
			  const void *data, size_t bytes, size_t data_bytes)
{
	struct cmsghdr *c = (void *)((uint8_t *)msg->msg_control + at);

	if (!msg->msg_control || at + CMSG_SPACE(bytes) > msg->msg_controllen)
		return at;
	memset(c, 0, CMSG_SPACE(bytes));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(c), data, data_bytes);
	return at + CMSG_SPACE(bytes);
}

/* recvmsg(MSG_ERRQUEUE): the oldest time that was not told yet. */
ssize_t stamp_receive(struct sock *s, struct msghdr *msg)
{
	bool v6 = s->family == AF_INET6;
	size_t name_bytes =
		v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	struct sock_extended_err error = {
		.ee_errno = ENOMSG,
		.ee_origin = SO_EE_ORIGIN_TIMESTAMPING,
	};
	struct scm_timestamping times = { 0 };
	struct stamped *p = earliest(s);
	size_t at = 0;
	unsigned kind;

	if (!p)
		return -EAGAIN;
	kind = next_kind(s, p);
	times.ts[0].tv_sec = (time_t)(p->us[kind] / 1000000);
	times.ts[0].tv_nsec = (long)(p->us[kind] % 1000000) * 1000;
	error.ee_info = kinds[kind].info;
	error.ee_data = p->number;
	p->told = kind + 1;
	forget_told(s);
	if (s->stamping & SOF_TIMESTAMPING_SOFTWARE)
		at = put_control(msg, at, SOL_SOCKET, SCM_TIMESTAMPING, &times,
				 sizeof(times), sizeof(times));
	at = put_control(msg, at, v6 ? SOL_IPV6 : SOL_IP,
			 v6 ? IPV6_RECVERR : IP_RECVERR, &error,
			 sizeof(error) + name_bytes, sizeof(error));
	msg->msg_controllen = at;
	msg->msg_flags = MSG_ERRQUEUE;
	if (!(s->stamping & SOF_TIMESTAMPING_OPT_TSONLY))
		msg->msg_flags |= MSG_TRUNC;
	return 0;
}

/* The socket goes; a stamp that is not done comes later, and is freed then. */
void stamp_forget(struct sock *s)
{
	while (s->stamps) {
		struct stamped *p = s->stamps;

		s->stamps = p->next;
		if (p->done)
			free(p);
	}
}
