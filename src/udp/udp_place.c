/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hint: asking a device to put a flow's datagrams into their slots.
 *
 * Theory of operation. A hint covers the empty slots of the posts that come
 * next, as long as they have the same shape. The device moves on by itself, and
 * so do we; as long as both agree nothing has to be said. udp_place() is called
 * when they may not: after a poll in which something was received otherwise
 * than foreseen, and when there is another post. It moves the hint to where the
 * next datagram belongs, or takes it back when
 *
 *  - there is nothing posted;
 *  - another socket has the port, on whatever address: a program that shares
 *    one has better uses for a queue of the device than one of its flows;
 *  - more than a quarter of some datagrams had to be moved: then each costs a
 *    call of the device besides the copy. It pauses, twice as long when that
 *    happens again at once;
 *  - the device says no. Whether it will do so again is in the reason.
 *
 * It comes back by the same function when that has ended: the traffic itself
 * calls it, and without traffic there is nothing to place.
 */
#include "udp/udp_private.h"

#define BUSY_US	   10000 /* all queues of the device are taken */
#define REFUSED_US 1000000

static const struct hint_patience patience = {
	.miss_share = 4,
	.pause_us_min = 50000,
	.pause_us_max = 3200000,
};

static struct net_flow flow_of(const struct tow_udp *s)
{
	return hint_flow(&s->local, &s->remote, NET_UDP);
}

static uint64_t make_token(struct tow_udp *s)
{
	return hint_token(NET_UDP, ++s->host->private->generation,
			  (uint32_t)(s - s->host->sockets));
}

/* The socket whose present hint has this token. */
static struct tow_udp *socket_of(struct udp_host *udp, uint64_t token)
{
	uint32_t index = (uint32_t)token;
	struct tow_udp *s;

	if (index >= udp->socket_max)
		return NULL;
	s = &udp->sockets[index];
	return s->landing.hint.link && s->landing.hint.token == token ? s
								      : NULL;
}

/* --------------------------------------------------- what a device has placed
 */

/* The position of a byte in the posted buffers that are not complete. */
static bool position_of(struct tow_udp *s, const void *ptr, uint64_t *position)
{
	const struct udp_landing *l = &s->landing;

	for (uint32_t i = l->active; i != l->end; i++) {
		const struct udp_post *post = udp_post_at(s, i);
		uintptr_t at = (uintptr_t)ptr - (uintptr_t)post->memory;

		if (at >= post->bytes)
			continue;
		*position = post->start + at;
		return true;
	}
	return false;
}

static void note_placed(struct tow_udp *s, const struct tow_buf *buf)
{
	uint64_t position;

	for (unsigned i = 1; i < buf->span_count; i++)
		if (position_of(s, buf->spans[i].ptr, &position))
			s->landing.dirty = MAX(s->landing.dirty,
					       position + buf->spans[i].len);
	if (!(buf->flags & TOW_BUF_FORESEEN))
		s->landing.hint.rests = true;
	udp_place_later(s);
}

/*
 * Note where the device wrote, before anybody knows what it was.
 * @flow: filled in: whose frame the device should have taken it for
 *
 * Returns: false when no socket's present hint has that token.
 */
bool udp_placed(struct udp_host *udp, const struct tow_buf *buf,
		struct net_flow *flow)
{
	struct tow_udp *s = socket_of(udp, buf->place);

	if (!s)
		return false;
	note_placed(s, buf);
	*flow = flow_of(s);
	return true;
}

/* Where in the payload the device began to place, and at what position. */
static bool find_placed(struct tow_udp *s, const struct tow_buf *buf,
			uint64_t *position, uint32_t *offset)
{
	*offset = 0;
	for (unsigned i = 0; i < buf->span_count; i++) {
		if (i > 0 && position_of(s, buf->spans[i].ptr, position))
			return true;
		*offset += (uint32_t)buf->spans[i].len;
	}
	return false;
}

/* The datagrams of a train have to move down, if at all: see udp_land.c. */
static bool train_moves_down(struct tow_udp *s, const struct tow_buf *buf,
			     uint64_t position, uint32_t offset)
{
	const struct udp_post *post = udp_post_at(s, s->landing.active);

	return buf->gso_bytes == post->slot_bytes + post->header_bytes &&
	       position + post->header_bytes >= udp_cursor(s) + offset;
}

/*
 * May this buffer, placed under somebody's hint, be put right inside of the
 * posted buffer? Notes where the device will go on.
 */
bool udp_place_check(struct tow_udp *s, struct tow_buf *buf)
{
	struct udp_hint *hint = &s->landing.hint;
	const struct udp_post *post = udp_post_at(s, s->landing.active);
	bool train = udp_arrival_of(buf)->unread > 1;
	uint64_t position;
	uint32_t offset;

	if (socket_of(s->host, buf->place) != s || !udp_has_posts(s) ||
	    !find_placed(s, buf, &position, &offset) ||
	    position < udp_cursor(s))
		return false;
	if (train && !train_moves_down(s, buf, position, offset))
		return false;
	if (buf->flags & TOW_BUF_FORESEEN)
		hint->next = position + (uint64_t)udp_arrival_of(buf)->unread *
						post->slot_bytes;
	return true;
}

/* ------------------------------------------------------------ telling a device
 */

void udp_place_withdraw(struct tow_udp *s)
{
	struct udp_hint *hint = &s->landing.hint;
	struct net_link *link = hint->link;
	struct net_flow flow = flow_of(s);

	hint->link = NULL;
	hint->token = 0;
	if (link)
		hint_withdraw(s->host->net, link, &flow);
}

/* Posts that one hint can cover: the same shape, one after the other. */
static unsigned count_posts(struct tow_udp *s)
{
	const struct udp_landing *l = &s->landing;
	const struct udp_post *first = udp_post_at(s, l->active);
	uint32_t i;

	for (i = l->active; i != l->end; i++) {
		const struct udp_post *post = udp_post_at(s, i);

		if (i - l->active == TOW_PLACE_SPANS ||
		    post->slot_bytes != first->slot_bytes ||
		    post->header_bytes != first->header_bytes)
			break;
	}
	return i - l->active;
}

static uint64_t end_of_hint(struct tow_udp *s)
{
	unsigned n = count_posts(s);
	const struct udp_post *last = udp_post_at(s, s->landing.active + n - 1);

	return n ? last->start + last->bytes : 0;
}

static void add_spans(struct tow_udp *s, struct tow_place *place,
		      struct tow_span *spans, uint64_t from)
{
	unsigned posts = count_posts(s);

	for (uint32_t i = 0; i < posts; i++) {
		const struct udp_post *post =
			udp_post_at(s, s->landing.active + i);
		uint64_t skip = from > post->start ? from - post->start : 0;

		if (skip >= post->bytes)
			continue;
		spans[place->span_count].ptr = post->memory + skip;
		spans[place->span_count].len = (size_t)(post->bytes - skip);
		place->bytes += spans[place->span_count++].len;
	}
	place->spans = spans;
}

static uint64_t retry_us(int error, uint64_t now_us)
{
	switch (error) {
	case TOW_EBUSY:
		return now_us + BUSY_US;
	case TOW_EOPNOTSUPP:
		return UINT64_MAX; /* never for such a flow */
	default:
		return now_us + REFUSED_US;
	}
}

/* From position @from on: where the next datagram will belong. */
static void arm(struct tow_udp *s, struct net_link *link, uint64_t from)
{
	const struct udp_post *post = udp_post_at(s, s->landing.active);
	struct udp_hint *hint = &s->landing.hint;
	struct tow_place place = { 0 };
	struct tow_span spans[TOW_PLACE_SPANS];
	struct net_flow flow = flow_of(s);
	int error;

	add_spans(s, &place, spans, from);
	if (place.bytes == 0) {
		udp_place_withdraw(s);
		return;
	}
	place.token = make_token(s);
	place.slot_bytes = post->slot_bytes;
	place.header_bytes =
		hint_header_bytes(link, &flow, UDP_BYTES + post->header_bytes);
	error = hint_give(s->host->net, link, &flow, &place);
	hint->link = error ? NULL : link;
	hint->token = error ? 0 : place.token;
	hint->next = from;
	hint->end = end_of_hint(s);
	hint->rests = false;
	if (error)
		hint_refused(&hint->trial, error,
			     retry_us(error, s->host->net->now_us));
}

/* ----------------------------------------------------------- whether and where
 */

/* The link that the flow's datagrams come by, if its device can place. */
static struct net_link *link_of(struct tow_udp *s)
{
	struct udp_way way = {
		.src = s->local.addr,
		.dst = s->remote.addr,
		.src_port = s->local.port,
		.dst_port = s->remote.port,
		.zone = s->remote.zone,
	};
	struct net_path *path;

	if (udp_path_find(s->host, &way, &path) != 0 ||
	    !hint_may_be(path->link))
		return NULL;
	return path->link;
}

static bool is_shared(struct tow_udp *s)
{
	struct udp_hint *hint = &s->landing.hint;
	uint32_t changed = s->host->private->ports_changed;

	if (hint->ports_seen != changed)
		hint->shared = udp_port_is_shared(s);
	hint->ports_seen = changed;
	return hint->shared;
}

/* May there be a hint, and whose device is it? ARMED if so. */
static enum tow_placement decide(struct tow_udp *s, struct net_link **link)
{
	struct udp_hint *hint = &s->landing.hint;
	uint64_t now_us = s->host->net->now_us;

	*link = NULL;
	if (hint->link)
		hint_judge(&hint->trial, &patience, now_us);
	else
		hint->trial.hits = hint->trial.misses = 0;
	if (!udp_has_posts(s))
		return TOW_PLACEMENT_NONE;
	if (is_shared(s))
		return TOW_PLACEMENT_SHARED;
	if (now_us < hint->trial.until_us)
		return (enum tow_placement)hint->trial.why;
	*link = link_of(s);
	return *link ? TOW_PLACEMENT_ARMED : TOW_PLACEMENT_DEVICE;
}

enum tow_placement tow_udp_placement(const struct tow_udp *udp)
{
	return (enum tow_placement)udp->landing.hint.state;
}

/* Strays are about to be put into the next slots: the device must not. */
static void make_way(struct tow_udp *s)
{
	const struct udp_post *post = udp_post_at(s, s->landing.active);
	struct udp_hint *hint = &s->landing.hint;
	uint64_t n = 0;

	for (struct tow_buf *buf = s->landing.strays.first; buf;
	     buf = buf->next)
		n += udp_arrival_of(buf)->unread;
	n *= post->slot_bytes;
	if (!hint->link)
		return;
	if (udp_has_posts(s) && post->filled + n < post->bytes)
		arm(s, hint->link, udp_cursor(s) + n);
	else
		udp_place_withdraw(s);
}

/* Hint and cursor agree, and the hint reaches as far as it can. */
static bool is_right(struct tow_udp *s, const struct net_link *link)
{
	const struct udp_hint *hint = &s->landing.hint;

	return hint->link == link && !hint->rests &&
	       hint->next == udp_cursor(s) && hint->end == end_of_hint(s);
}

void udp_place(struct tow_udp *s)
{
	struct udp_hint *hint = &s->landing.hint;
	enum tow_placement state;
	struct net_link *link;

	if (s->landing.strays.first) {
		make_way(s);
		udp_land_strays(s);
	}
	state = decide(s, &link);
	if (hint->link && hint->link != link)
		udp_place_withdraw(s);
	if (link && !is_right(s, link)) {
		arm(s, link, udp_cursor(s));
		if (!hint->link)
			state = (enum tow_placement)hint->trial.why;
	}
	hint_enter(s->host->net, &hint->state, state);
}

void udp_place_later(struct tow_udp *s)
{
	if (list_empty(&s->landing_node))
		list_append(&s->host->landing, &s->landing_node);
}

void udp_place_all(struct udp_host *udp)
{
	LIST_EACH (node, &udp->landing) {
		list_remove(node);
		udp_place(CONTAINER(node, struct tow_udp, landing_node));
	}
}
