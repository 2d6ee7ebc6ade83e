/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owners as the program sees them. What an owner does is in src/buf/govern.c;
 * here it is opened and closed, which concerns the transports as well.
 */
#include <tow/owner.h>
#include "buf/refuge.h"
#include "stack/stack_private.h"

#define DEADLINE_US_MAX (UINT64_MAX / 4) /* so that no sum overflows */

static struct tow_owner *free_owner(struct govern *g)
{
	for (uint32_t i = 0; i < g->owner_max; i++) {
		if (!g->owners[i].open)
			return &g->owners[i];
	}
	return NULL;
}

int tow_owner_open(struct tow_stack *stack,
		   const struct tow_owner_config *config,
		   struct tow_owner **out)
{
	struct govern *g = &stack->net.govern;
	struct tow_owner *o = free_owner(g);

	if (!o)
		return TOW_ENOBUFS;
	*o = (struct tow_owner){
		.govern = g,
		.lent_max = config->budget_bytes,
		.deadline_us = MIN(config->deadline_us, DEADLINE_US_MAX),
		.has_refuge = config->refuge_bytes > 0,
	};
	if (o->has_refuge &&
	    !refuge_init(&o->refuge, config->refuge, config->refuge_bytes,
			 g->pool->chunk_bytes, &o->refuge_empty))
		return TOW_EINVAL;
	list_init(&o->lending);
	list_init(&o->idle);
	timer_init(&o->timer, TIMER_OWNER);
	o->open = true;
	*out = o;
	return 0;
}

/* Each member leaves when its handle goes, and gives back what it has. */
static void abort_all(struct list *members)
{
	while (!list_empty(members)) {
		struct borrower *b =
			CONTAINER(members->next, struct borrower, member);

		b->ops->abort(b);
	}
}

void tow_owner_close(struct tow_owner *o)
{
	struct govern *g = o->govern;
	struct net *net = CONTAINER(g, struct net, govern);

	ASSERT(o->open);
	tcp_owner_gone(&CONTAINER(net, struct tow_stack, net)->tcp, o);
	abort_all(&o->lending);
	abort_all(&o->idle);
	ASSERT(o->lent == 0);
	timer_disarm(g->wheel, &o->timer);
	if (o->has_refuge) {
		ASSERT(o->refuge.bufs_left == o->refuge.bufs_total);
		pool_close(&o->refuge);
	}
	o->open = false;
}

void tow_owner_info(const struct tow_owner *o, struct tow_owner_info *out)
{
	const struct tow_pool *refuge = &o->refuge;

	*out = (struct tow_owner_info){
		.lent_bytes = o->lent,
		.revoked = o->revoked,
		.members = o->member_count,
	};
	if (!o->has_refuge)
		return;
	out->refuge_bytes = (uint64_t)refuge->chunks_total
			    << refuge->chunk_shift;
	out->refuge_used_bytes =
		(uint64_t)(refuge->chunks_total - refuge->chunks_left)
		<< refuge->chunk_shift;
}
