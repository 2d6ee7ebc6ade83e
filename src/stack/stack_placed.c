/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames with bytes in posted buffers, before anybody receives them.
 *
 * Theory of operation: what the hint foresaw lies where it belongs, and its
 * transport will find it there. Anything else may have to get out of the way
 * first, because by receiving a frame, bytes are moved within posted memory,
 * and frames later in the batch have bytes there that nobody has looked at:
 *
 *	batch    | a: in chunks | b: placed, not foreseen |
 *	posted   |bbbbbbbbbbb...|    a belongs here, and would overwrite b
 *
 * So a frame that was not foreseen is copied out when
 *
 *  - it is of another flow: nobody else may hold on to that memory, either;
 *  - one of its own flow comes before it that the device did not place.
 *
 * There is at most one such frame of a flow in a batch, because the hint rests
 * after it (tow/dev.h). UDP keeps back what was not placed instead
 * (udp_land.c).
 */
#include "stack/stack_private.h"

static bool was_foreseen(const struct tow_buf *buf, uint64_t token)
{
	return buf->place == token && buf->flags & TOW_BUF_FORESEEN;
}

/* Does one of the @count frames belong where the flow's next bytes do? */
static bool one_comes_before(const struct net_link *link,
			     struct tow_buf *const *bufs, int count,
			     uint64_t token, const struct net_flow *flow)
{
	for (int i = 0; i < count; i++)
		if (bufs[i] && !was_foreseen(bufs[i], token) &&
		    net_frame_is_of(link, bufs[i], flow))
			return true;
	return false;
}

/* Returns: false when the frame cannot be received, and why was counted. */
static bool check(struct tow_stack *stack, const struct net_link *link,
		  struct tow_buf *const *bufs, int at)
{
	struct ledgers ledgers = { NULL, &stack->net.stats.ledger };
	struct tow_buf *buf = bufs[at];
	enum tow_copy why = TOW_COPY_RX_FOREIGN;
	struct net_flow flow;

	if (!tcp_placed(&stack->tcp, buf, &flow) &&
	    !udp_placed(&stack->udp, buf, &flow)) {
		/* That memory is no longer ours to read. */
		net_drop(&stack->net, TOW_DROP_LINK_STALE);
		return false;
	}
	if (buf->flags & TOW_BUF_FORESEEN)
		return true;
	if (net_frame_is_of(link, buf, &flow)) {
		if (flow.protocol != NET_TCP ||
		    !one_comes_before(link, bufs, at, buf->place, &flow))
			return true;
		why = TOW_COPY_RX_HOLE;
	}
	if (buf_evacuate(buf, ledgers, why))
		return true;
	net_drop(&stack->net, TOW_DROP_NO_BUFFERS);
	return false;
}

void stack_check_placed(struct tow_stack *stack, const struct net_link *link,
			struct tow_buf **bufs, int count)
{
	for (int i = 0; i < count; i++) {
		if (LIKELY(!bufs[i]->place) || check(stack, link, bufs, i))
			continue;
		tow_buf_give(bufs[i]);
		bufs[i] = NULL;
	}
}
