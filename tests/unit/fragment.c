/* SPDX-License-Identifier: BSD-2-Clause */
#include "fragment.h"
#include <string.h>
#include "test.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"

static void cut_ip4(struct frame *part, const struct frame *whole, uint32_t id,
		    uint32_t from, bool more)
{
	struct wire_ip4 *ip;

	frame_add(part, whole->data, whole->transport);
	ip = (void *)frame_ip(part);
	wire_put16(ip->id, id);
	wire_put16(ip->fragment, (more ? IP4_MF : 0) | from / 8);
}

static void cut_ip6(struct frame *part, const struct frame *whole, uint32_t id,
		    uint32_t from, bool more)
{
	struct wire_ip6_fragment fragment = { .next = whole->protocol };

	frame_add(part, whole->data, whole->ip + IP6_BYTES);
	((struct wire_ip6 *)(void *)frame_ip(part))->next = IP6_FRAGMENT;
	wire_put16(fragment.offset, from | (more ? IP6_MORE : 0));
	wire_put32(fragment.id, id);
	frame_add(part, &fragment, sizeof(fragment));
}

void fragment_cut(struct frame *part, const struct frame *whole, uint32_t id,
		  uint32_t from, uint32_t bytes, bool more)
{
	uint32_t left = fragment_payload(whole);
	uint32_t there = from < left ? left - from : 0;

	part->bytes = 0;
	part->ip = whole->ip;
	part->transport = 0;
	part->src = whole->src;
	part->dst = whole->dst;
	if (tow_addr_is_v4(&whole->src))
		cut_ip4(part, whole, id, from, more);
	else
		cut_ip6(part, whole, id, from, more);
	there = there < bytes ? there : bytes;
	frame_add(part, whole->data + whole->transport + from, there);
	frame_fill(part, bytes - there);
	frame_end(part);
}
