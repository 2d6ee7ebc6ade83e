/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Treap: ordered by key like a search tree, and by a random priority like a
 * heap (Seidel and Aragon, "Randomized search trees", 1996).
 *
 *	            [m:90]            keys grow from left to right,
 *	           /      \           priorities fall from top to bottom
 *	      [c:71]      [t:40]
 *	      /    \          \
 *	  [a:12]  [f:63]     [x:8]
 *
 * The shape depends on nothing but keys and priorities: it is that of a plain
 * search tree into which the members were put in order of priority. As long
 * as the priorities are random, the depth is logarithmic whatever order the
 * keys came in, so a peer that knows the code still can't degrade it.
 *
 * Insert hangs the node in as a leaf and rotates it up; remove rotates it down
 * until it has at most one child and takes it out there.
 *
 * Each node knows whether there is a mark in the tree below it, so the way from
 * the root to the first marked one has no turn back. A mark is told upwards, as
 * far as it is news; a rotation changes what is below the two that it swaps.
 */
#include "base/tree.h"

void tree_init(struct tree *tree)
{
	tree->root = NULL;
	tree->count = 0;
}

/* The place that points at @node: the root, or a field of its parent. */
static struct tree_node **link_to(struct tree *tree, struct tree_node *node)
{
	if (!node->up)
		return &tree->root;
	return node->up->left == node ? &node->up->left : &node->up->right;
}

/* Let @child take @node's place under @node's parent. */
static void replace(struct tree *tree, struct tree_node *node,
		    struct tree_node *child)
{
	*link_to(tree, node) = child;
	if (child)
		child->up = node->up;
}

static bool is_marked_below(const struct tree_node *node)
{
	return node->marked || (node->left && node->left->has_marked) ||
	       (node->right && node->right->has_marked);
}

/*
 * Swap @node with its parent and keep the order:
 *
 *	     p            n                    p            n
 *	    / \          / \                  / \          / \
 *	   n   C   -->  A   p       or       A   n  -->   p   C
 *	  / \              / \                  / \      / \
 *	 A   B            B   C                B   C    A   B
 */
static void rotate_up(struct tree *tree, struct tree_node *node)
{
	struct tree_node *parent = node->up;
	struct tree_node *moved;

	replace(tree, parent, node);
	if (parent->left == node) {
		moved = node->right;
		node->right = parent;
		parent->left = moved;
	} else {
		moved = node->left;
		node->left = parent;
		parent->right = moved;
	}
	if (moved)
		moved->up = parent;
	parent->up = node;
	node->has_marked = parent->has_marked;
	parent->has_marked = parent->has_marked && is_marked_below(parent);
}

void tree_insert(struct tree *tree, struct tree_node *node, tree_before *before,
		 uint32_t random)
{
	struct tree_node **at = &tree->root;
	struct tree_node *up = NULL;

	while (*at) {
		up = *at;
		at = before(node, up) ? &up->left : &up->right;
	}
	node->left = node->right = NULL;
	node->up = up;
	node->priority = random;
	node->marked = node->has_marked = false;
	*at = node;
	tree->count++;

	while (node->up && node->up->priority < node->priority)
		rotate_up(tree, node);
}

void tree_remove(struct tree *tree, struct tree_node *node)
{
	ASSERT(tree->count > 0);

	tree_mark(node, false);
	while (node->left && node->right) {
		if (node->left->priority > node->right->priority)
			rotate_up(tree, node->left);
		else
			rotate_up(tree, node->right);
	}
	replace(tree, node, node->left ? node->left : node->right);
	node->left = node->right = node->up = NULL;
	tree->count--;
}

static struct tree_node *leftmost(struct tree_node *node)
{
	while (node && node->left)
		node = node->left;
	return node;
}

static struct tree_node *rightmost(struct tree_node *node)
{
	while (node && node->right)
		node = node->right;
	return node;
}

struct tree_node *tree_first(const struct tree *tree)
{
	return leftmost(tree->root);
}

struct tree_node *tree_last(const struct tree *tree)
{
	return rightmost(tree->root);
}

/* Down into the right subtree, or up to the first ancestor right of us. */
struct tree_node *tree_next(const struct tree_node *node)
{
	if (node->right)
		return leftmost(node->right);
	while (node->up && node->up->right == node)
		node = node->up;
	return node->up;
}

struct tree_node *tree_prev(const struct tree_node *node)
{
	if (node->left)
		return rightmost(node->left);
	while (node->up && node->up->left == node)
		node = node->up;
	return node->up;
}

struct tree_node *tree_at_or_before(const struct tree *tree,
				    const struct tree_node *key,
				    tree_before *before)
{
	struct tree_node *node = tree->root;
	struct tree_node *found = NULL;

	while (node) {
		if (before(key, node)) {
			node = node->left;
		} else {
			found = node;
			node = node->right;
		}
	}
	return found;
}

void tree_mark(struct tree_node *node, bool marked)
{
	if (LIKELY(node->marked == marked))
		return;
	node->marked = marked;
	for (; node && node->has_marked != is_marked_below(node);
	     node = node->up)
		node->has_marked = !node->has_marked;
}

struct tree_node *tree_first_marked(const struct tree *tree)
{
	struct tree_node *node = tree->root;

	if (!node || !node->has_marked)
		return NULL;
	for (;;) {
		if (node->left && node->left->has_marked)
			node = node->left;
		else if (node->marked)
			return node;
		else
			node = node->right;
	}
}
