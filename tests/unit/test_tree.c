/* SPDX-License-Identifier: BSD-2-Clause */
/* The treap against a sorted array. */
#include <stdlib.h>
#include "base/random.h"
#include "base/tree.h"
#include "test.h"

#define MEMBERS_MAX 300
#define KEYS	    500
#define STEPS	    20000

struct item {
	struct tree_node node;
	unsigned key;
	bool in, marked;
};

static struct item items[KEYS];
static unsigned sorted[MEMBERS_MAX]; /* the model */
static unsigned count;

static struct item *item_of(const struct tree_node *node)
{
	return CONTAINER(node, struct item, node);
}

static bool by_key(const struct tree_node *a, const struct tree_node *b)
{
	return item_of(a)->key < item_of(b)->key;
}

static struct random seeded(uint8_t seed)
{
	uint8_t secret[32] = { seed };
	struct random random;

	random_init(&random, secret);
	return random;
}

static void reset(struct tree *tree)
{
	tree_init(tree);
	count = 0;
	for (unsigned i = 0; i < KEYS; i++)
		items[i] = (struct item){ .key = i };
}

/* How many members of the model are below @key. */
static unsigned rank_of(unsigned key)
{
	unsigned i = 0;

	while (i < count && sorted[i] < key)
		i++;
	return i;
}

static void insert(struct tree *tree, unsigned key, uint32_t priority)
{
	unsigned at = rank_of(key);

	for (unsigned i = count++; i > at; i--)
		sorted[i] = sorted[i - 1];
	sorted[at] = key;
	items[key].in = true;
	tree_insert(tree, &items[key].node, by_key, priority);
}

static void drop(struct tree *tree, unsigned key)
{
	count--;
	for (unsigned i = rank_of(key); i < count; i++)
		sorted[i] = sorted[i + 1];
	items[key].in = items[key].marked = false;
	tree_remove(tree, &items[key].node);
}

static void mark(unsigned key, bool marked)
{
	items[key].marked = marked;
	tree_mark(&items[key].node, marked);
}

static bool has_marked(const struct tree_node *node)
{
	return node && node->has_marked;
}

static unsigned depth_below(const struct tree_node *node)
{
	if (!node)
		return 0;
	if (node->left) {
		CHECK(node->left->up == node);
		CHECK_LE(node->left->priority, node->priority);
	}
	if (node->right) {
		CHECK(node->right->up == node);
		CHECK_LE(node->right->priority, node->priority);
	}
	CHECK_EQ(node->has_marked, node->marked || has_marked(node->left) ||
					   has_marked(node->right));
	return 1 + MAX(depth_below(node->left), depth_below(node->right));
}

static void check_same_order(const struct tree *tree)
{
	struct tree_node *node = tree_first(tree);
	unsigned i;

	CHECK_EQ(tree->count, count);
	for (i = 0; i < count; i++, node = tree_next(node)) {
		CHECK(node != NULL);
		CHECK_EQ(item_of(node)->key, sorted[i]);
	}
	CHECK(node == NULL);
	for (node = tree_last(tree); i-- > 0; node = tree_prev(node)) {
		CHECK(node != NULL);
		CHECK_EQ(item_of(node)->key, sorted[i]);
	}
	CHECK(node == NULL);
	depth_below(tree->root);
}

static void check_lookup(const struct tree *tree, unsigned key)
{
	struct item probe = { .key = key };
	struct tree_node *found = tree_at_or_before(tree, &probe.node, by_key);
	unsigned at_or_below = rank_of(key + 1);

	if (at_or_below == 0)
		CHECK(found == NULL);
	else
		CHECK_EQ(item_of(found)->key, sorted[at_or_below - 1]);
}

static unsigned depth_of(const struct tree_node *node)
{
	unsigned depth = 1;

	while ((node = node->up))
		depth++;
	return depth;
}

static void check_first_marked(const struct tree *tree)
{
	struct tree_node *found = tree_first_marked(tree);
	unsigned i = 0;

	while (i < count && !items[sorted[i]].marked)
		i++;
	if (i == count)
		CHECK(found == NULL);
	else
		CHECK_EQ(item_of(found)->key, sorted[i]);
}

TEST(an_empty_tree_has_no_members)
{
	struct tree tree;

	reset(&tree);
	check_same_order(&tree);
	check_lookup(&tree, 7);
	check_first_marked(&tree);
}

TEST(random_operations_agree_with_a_sorted_array)
{
	struct random random = seeded(1);
	struct tree tree;
	unsigned key;

	reset(&tree);
	for (unsigned step = 0; step < STEPS; step++) {
		key = random_below(&random, KEYS);
		if (items[key].in)
			drop(&tree, key);
		else if (count < MEMBERS_MAX)
			insert(&tree, key, random_u32(&random));
		check_lookup(&tree, random_below(&random, KEYS));
		if (step % 16 == 0)
			check_same_order(&tree);
	}
	while (count > 0) {
		drop(&tree, sorted[random_below(&random, count)]);
		check_same_order(&tree);
	}
}

TEST(equal_priorities_keep_the_order)
{
	struct tree tree;

	reset(&tree);
	for (unsigned i = 0; i < 100; i++)
		insert(&tree, i * 37 % 100, 5);
	check_same_order(&tree);
	for (unsigned i = 0; i < 100; i += 2)
		drop(&tree, i * 41 % 100);
	check_same_order(&tree);
}

/* A peer that sends its segments in ascending order must not make a list. */
TEST(ascending_keys_stay_shallow)
{
	struct random random = seeded(2);
	struct tree tree;

	reset(&tree);
	for (unsigned i = 0; i < MEMBERS_MAX; i++)
		insert(&tree, i, random_u32(&random));
	CHECK_LT(depth_below(tree.root), 40);
}

TEST(a_removed_member_can_be_inserted_again)
{
	struct tree tree;

	reset(&tree);
	insert(&tree, 3, 9);
	drop(&tree, 3);
	check_same_order(&tree);
	insert(&tree, 3, 1);
	check_same_order(&tree);
}

TEST(first_marked_agrees_with_a_sorted_array)
{
	struct random random = seeded(3);
	struct tree tree;
	unsigned key;

	reset(&tree);
	for (unsigned step = 0; step < STEPS; step++) {
		key = random_below(&random, KEYS);
		if (!items[key].in && count < MEMBERS_MAX)
			insert(&tree, key, random_u32(&random));
		else if (items[key].in && random_below(&random, 4) == 0)
			drop(&tree, key);
		else if (items[key].in)
			mark(key, random_below(&random, 8) == 0);
		check_first_marked(&tree);
		if (step % 16 == 0)
			check_same_order(&tree);
	}
	while (count > 0) {
		drop(&tree, sorted[random_below(&random, count)]);
		check_first_marked(&tree);
		depth_below(tree.root);
	}
}

/*
 * A peer that has one behind many lost again and again must not have all of
 * them looked at: the way leads through nothing that has no mark below it.
 */
TEST(first_marked_is_found_in_as_many_steps_as_it_is_deep)
{
	struct random random = seeded(4);
	struct tree tree;

	reset(&tree);
	for (unsigned i = 0; i < MEMBERS_MAX; i++)
		insert(&tree, i, random_u32(&random));
	mark(MEMBERS_MAX - 1, true);
	for (unsigned i = 0; i < MEMBERS_MAX; i++) {
		struct tree_node *node;

		mark(i, true);
		node = tree_first_marked(&tree);
		CHECK_EQ(item_of(node)->key, i);
		CHECK_LT(depth_of(node), 40);
		for (; node; node = node->up)
			CHECK(node->has_marked);
		mark(i, false);
	}
	CHECK(tree_first_marked(&tree) == NULL);
}
