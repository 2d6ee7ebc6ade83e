/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LIST_H
#define LIST_H

/*
 * Intrusive doubly linked ring. A member that is in no list points at itself,
 * so that removing twice is harmless and "is it queued?" is one compare.
 */
#include "base/base.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Put @node behind @at; before it with list_add(at->prev, node). */
static inline void list_add(struct list *at, struct list *node)
{
	node->next = at->next;
	node->prev = at;
	at->next->prev = node;
	at->next = node;
}

static inline void list_append(struct list *head, struct list *node)
{
	list_add(head->prev, node);
}

static inline void list_remove(struct list *node)
{
	node->next->prev = node->prev;
	node->prev->next = node->next;
	list_init(node);
}

/* The node may be removed inside the loop. */
#define LIST_EACH(node, head)                                       \
	for (struct list *node = (head)->next, *next_ = node->next; \
	     node != (head); node = next_, next_ = node->next)

#endif
