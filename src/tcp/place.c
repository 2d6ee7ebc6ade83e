/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placement: telling the device where the next bytes of a connection belong.
 *
 * A hint (struct tow_place) names a flow, a sequence number and the posted
 * memory that begins there. The next new bytes of a stream come behind the last
 * that has arrived, in order or not; what fills a hole comes from elsewhere:
 *
 *	 RCV.NXT             last byte held
 *	|....... hole .......|#########|..................|
 *	                               ^ the hint: nothing that counts lies
 *	                                 behind, so the device may write there
 *
 * So after a loss the new bytes go on being placed, at their final address, and
 * two segments are moved: the first after the hole, which the device put where
 * the lost one belonged, and the one that fills it.
 *
 * Whatever changes where the next bytes belong (a segment, a post, an end)
 * makes the connection dirty, and before the device is asked for frames again
 * the hints of all dirty connections are renewed. Where memory leaves the
 * stack's hands inside of a call, the hint is renewed at once.
 *
 * When there is no hint, tow_tcp_info() says why. What can pass by itself is
 * tried again when bytes arrive: that a device is full, after a while; that
 * somebody shares the port (design.md 1 A), each time; that too much misses,
 * after a pause that doubles as long as nothing gets better.
 */
#include "tcp/tcp_private.h"

#define REFUSED_US 100000u

static const struct hint_patience patience = {
	.miss_share = 2,
	.pause_us_min = 100000,
	.pause_us_max = 10000000,
};

static struct net_flow flow_of(const struct tow_tcp *t)
{
	struct tow_endpoint local = tcp_local(t), remote = tcp_remote(t);

	return hint_flow(&local, &remote, NET_TCP);
}

uint64_t place_token(const struct tow_tcp *t)
{
	return hint_token(NET_TCP, t->generation,
			  (uint32_t)(t - t->host->connections));
}

static struct tow_tcp *connection_of(struct tcp_host *host, uint64_t token)
{
	uint32_t index = (uint32_t)token;
	struct tow_tcp *t;

	if (index >= host->connections_used)
		return NULL;
	t = &host->connections[index];
	return place_token(t) == token ? t : NULL;
}

/*
 * RFC 9293 has no word for it: a port that another listens on than the one that
 * the connection came by, on whatever address.
 */
static bool port_is_shared(const struct tow_tcp *t)
{
	for (uint32_t i = 0; i < t->host->cfg.listener_max; i++) {
		const struct tow_listener *l = &t->host->listeners[i];

		if (l->open && l->local.port == t->local_port &&
		    l->number != t->parent)
			return true;
	}
	return false;
}

static bool may_receive(const struct tow_tcp *t)
{
	return (t->state == TOW_TCP_ESTABLISHED ||
		t->state == TOW_TCP_FIN_WAIT_1 ||
		t->state == TOW_TCP_FIN_WAIT_2) &&
	       !t->receive.fin_seen;
}

/* May there be a hint at all? ARMED if so. */
static enum tow_placement decide(const struct tow_tcp *t)
{
	if (!tcp_has_posts(t))
		return TOW_PLACEMENT_NONE;
	if (!may_receive(t))
		return TOW_PLACEMENT_STATE;
	if (!hint_may_be(t->path.link))
		return TOW_PLACEMENT_DEVICE;
	if (port_is_shared(t))
		return TOW_PLACEMENT_SHARED;
	if (tcp_now(t) < t->posts->placing.trial.until_us)
		return (enum tow_placement)t->posts->placing.trial.why;
	return TOW_PLACEMENT_ARMED;
}

static void withdraw(struct tow_tcp *t)
{
	struct net_link *link = t->posts->placing.link;
	struct net_flow flow = flow_of(t);

	t->posts->placing.link = NULL;
	if (link)
		hint_withdraw(tcp_net(t), link, &flow);
}

static enum tow_placement refused(struct tow_tcp *t, int error)
{
	struct placing *p = &t->posts->placing;

	p->link = NULL;
	hint_refused(&p->trial, error, tcp_now(t) + REFUSED_US);
	return (enum tow_placement)p->trial.why;
}

static enum tow_placement arm(struct tow_tcp *t)
{
	struct seq next = receive_last(t);
	uint64_t distance = (uint64_t)seq_diff(next, t->rcv.nxt);
	struct tow_span spans[TOW_PLACE_SPANS];
	uint32_t header = TCP_HEADER_BYTES + tcp_option_bytes(t);
	struct net_flow flow = flow_of(t);
	struct tow_place place = {
		.token = place_token(t),
		.header_bytes = hint_header_bytes(t->path.link, &flow, header),
		.sequence = next.n,
		.spans = spans,
	};
	int error;

	for (unsigned i = 0; i < TOW_PLACE_SPANS; i++) {
		spans[i] = post_span_at(t, distance + place.bytes);
		if (spans[i].len == 0)
			break;
		place.bytes += spans[i].len;
		place.span_count++;
	}
	if (place.bytes == 0) {
		withdraw(t);
		return TOW_PLACEMENT_FULL;
	}
	if (t->posts->placing.link && t->posts->placing.link != t->path.link)
		withdraw(t);
	t->posts->placing.link = t->path.link;
	error = hint_give(tcp_net(t), t->path.link, &flow, &place);
	return error ? refused(t, error) : TOW_PLACEMENT_ARMED;
}

enum tow_placement place_state(const struct tow_tcp *t)
{
	return t->posts ? (enum tow_placement)t->posts->placing.state
			: TOW_PLACEMENT_NONE;
}

/* Renew the hint, or withdraw it, now. */
void place_update(struct tow_tcp *t)
{
	enum tow_placement state = decide(t);

	if (!t->posts)
		return;
	list_remove(&t->posts->placing.dirty);
	if (state == TOW_PLACEMENT_ARMED)
		state = arm(t);
	else if (t->posts->placing.link)
		withdraw(t);
	hint_enter(tcp_net(t), &t->posts->placing.state, state);
}

/* Before the device is asked for frames again. */
void place_soon(struct tow_tcp *t)
{
	struct posts *q = t->posts;

	if (q && (q->head || q->placing.link) && list_empty(&q->placing.dirty))
		list_append(&t->host->placing, &q->placing.dirty);
}

void tcp_place_all(struct tcp_host *host)
{
	while (!list_empty(&host->placing))
		place_update(CONTAINER(host->placing.next, struct posts,
				       placing.dirty)
				     ->tcp);
}

/* A segment with payload has come; was it where it belongs? */
void place_learn(struct tow_tcp *t, bool hit)
{
	struct hint_trial *trial;

	place_soon(t);
	if (!t->posts || t->posts->placing.state != TOW_PLACEMENT_ARMED)
		return;
	trial = &t->posts->placing.trial;
	tcp_count(t, hit ? TOW_COUNTER_PLACE_HITS : TOW_COUNTER_PLACE_MISSES);
	if (hit)
		trial->hits++;
	else
		trial->misses++;
	hint_judge(trial, &patience, tcp_now(t));
}

/*
 * A frame left bytes in posted memory: note where, because they may be
 * anybody's.
 * @flow: filled in: whose frame the device should have taken it for
 *
 * Returns: false when the token is of no connection, or the memory is not
 *          posted to it: a device that is late.
 */
bool tcp_placed(struct tcp_host *host, const struct tow_buf *buf,
		struct net_flow *flow)
{
	struct tow_tcp *t = connection_of(host, buf->place);

	if (!t || !t->posts)
		return false;
	place_soon(t);
	for (unsigned i = 1; i < buf->span_count; i++)
		if (buf_span_is_placed(buf, &buf->spans[i]) &&
		    !post_note_written(t, &buf->spans[i]))
			return false;
	*flow = flow_of(t);
	return true;
}
