/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TREE_H
#define TREE_H

/*
 * Ordered intrusive tree: a treap whose priorities come from the stack's own
 * random numbers, so that no order in which a peer sends things can unbalance
 * it. All operations are O(log n) expected. Duplicate keys are not allowed.
 *
 * The order is that of @before, which must be a strict order over the members
 * that are in the tree at one time.
 *
 * Members can be marked, and the first that is marked is found without a look
 * at those before it. A mark goes when its member is removed.
 */
#include "base/base.h"

struct tree_node {
	struct tree_node *left, *right, *up;
	uint32_t priority;
	bool marked;
	bool has_marked; /* it, or one below it */
};

struct tree {
	struct tree_node *root;
	uint32_t count;
};

typedef bool tree_before(const struct tree_node *a, const struct tree_node *b);

void tree_init(struct tree *tree);
void tree_insert(struct tree *tree, struct tree_node *node, tree_before *before,
		 uint32_t random);
void tree_remove(struct tree *tree, struct tree_node *node);
struct tree_node *tree_first(const struct tree *tree);
struct tree_node *tree_last(const struct tree *tree);
struct tree_node *tree_next(const struct tree_node *node);
struct tree_node *tree_prev(const struct tree_node *node);
void tree_mark(struct tree_node *node, bool marked);
struct tree_node *tree_first_marked(const struct tree *tree);

/*
 * The last member that is not behind @key: @key is a node outside of the tree,
 * inside an object whose key fields are set. NULL when all are behind.
 */
struct tree_node *tree_at_or_before(const struct tree *tree,
				    const struct tree_node *key,
				    tree_before *before);

#endif
