/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ends that read a stream into posted buffers.
 *
 * Theory of operation: memory begins and ends with canaries, and all of it
 * holds one value. When a post comes back, its first bytes are the stream's,
 * what is behind them holds that value still, or zeros, so no byte of anybody
 * else is there; and around it nothing was touched. After the end has closed
 * its handle, or taken its posts back, the memory is its own: it is filled with
 * another value, which has to stay until the event comes.
 */
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "sim_world.h"

#define CANARY_BYTES 64u
#define CANARY	     0xc9
#define TAKEN_BACK   0x3e

static void wrong(const struct end *end, const char *what)
{
	world_fail(end->world, "flow %u: %s, at the %s", end->flow->number,
		   what, end == &end->flow->a ? "client" : "server");
}

void posts_plan(struct end *end, struct dice *dice)
{
	if (dice_hit(dice, 500000))
		end->post_ppm = (uint32_t)dice_up_to(dice, 4) * 250000;
	end->posts_at_once = 1 + (unsigned)dice_up_to(dice, POSTS_MAX - 1);
}

static struct post_record *free_record(struct end *end)
{
	for (unsigned i = 0; i < POSTS_MAX; i++)
		if (!end->posts[i].memory)
			return &end->posts[i];
	return NULL;
}

/* Returns: 0, or what the stack said. */
static int make_post(struct end *end, struct post_record *post)
{
	struct dice *dice = &end->world->dice;
	uint32_t front = CANARY_BYTES + (uint32_t)dice_up_to(dice, 15);
	struct tow_span span;
	int result;

	*post = (struct post_record){
		.token = end->post_token + 1,
		.front = front,
		.bytes = MAX(dice_scale(dice, 1, end->read_max),
			     end->peer->plan_bytes / 200 + 1),
	};
	post->whole = front + post->bytes + CANARY_BYTES;
	post->memory = malloc(post->whole);
	if (!post->memory)
		return TOW_ENOBUFS;
	memset(post->memory, CANARY, post->whole);
	span.ptr = post->memory + front;
	span.len = post->bytes;
	result = tow_tcp_post(end->tcp, &span, post->token);
	if (result == 0) {
		end->post_token++;
		end->posts_out++;
		end->world->posts_out++;
		return 0;
	}
	free(post->memory);
	post->memory = NULL;
	return result;
}

/*
 * Post some buffers.
 *
 * Returns: 0 when at least one is out, or what the stack said to the first.
 */
int posts_make(struct end *end)
{
	unsigned want = 1 + (unsigned)dice_up_to(&end->world->dice,
						 end->posts_at_once - 1);
	struct post_record *post;
	int result = 0;

	while (result == 0 && want-- && (post = free_record(end)))
		result = make_post(end, post);
	return end->posts_out ? 0 : result;
}

/* The memory is ours, whether or not the event has come. */
static void take_memory(struct end *end)
{
	for (unsigned i = 0; i < POSTS_MAX; i++) {
		struct post_record *post = &end->posts[i];

		if (!post->memory || post->taken_back)
			continue;
		post->taken_back = true;
		post->first = malloc(post->bytes);
		if (post->first)
			memcpy(post->first, post->memory + post->front,
			       post->bytes);
		memset(post->memory, TAKEN_BACK, post->whole);
	}
}

void posts_take_back(struct end *end)
{
	tow_tcp_unpost(end->tcp);
	take_memory(end);
}

void posts_closed(struct end *end)
{
	take_memory(end);
}

static bool all(const uint8_t *bytes, size_t count, uint8_t value, bool or_zero)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i] != value && !(or_zero && bytes[i] == 0))
			return false;
	return true;
}

/* Behind what the stream filled: as it was, or zeros. */
static void check_rest(struct end *end, const uint8_t *memory, uint64_t filled,
		       uint64_t bytes)
{
	if (!all(memory + filled, bytes - filled, CANARY, true))
		wrong(end, "a byte that is nobody's, in a post");
}

static void check_memory(struct end *end, const struct post_record *post,
			 uint64_t filled)
{
	const uint8_t *memory = post->memory + post->front;

	if (post->taken_back) {
		if (!all(post->memory, post->whole, TAKEN_BACK, false))
			wrong(end, "written after it was taken back");
		if (!post->first)
			return;
		memory = post->first;
	} else if (!all(post->memory, post->front, CANARY, false) ||
		   !all(memory + post->bytes, CANARY_BYTES, CANARY, false)) {
		wrong(end, "a byte outside of a post");
	}
	end_got(end, memory, filled);
	check_rest(end, memory, filled, post->bytes);
}

static struct post_record *find(struct end *end, uint64_t token)
{
	for (unsigned i = 0; i < POSTS_MAX; i++)
		if (end->posts[i].memory && end->posts[i].token == token)
			return &end->posts[i];
	return NULL;
}

static void check_event(struct end *end, const struct post_record *post,
			const struct tow_event *event)
{
	if (event->bytes > post->bytes || event->placed_bytes > event->bytes)
		wrong(end, "a post's event has more bytes than there are");
	if ((event->placed_bytes < event->bytes) != (event->copied_why != 0))
		wrong(end, "a post's event does not say why it was copied");
	if (event->token != ++end->post_token_due)
		wrong(end, "posts came back out of order");
	if (event->object && event->object != end->tcp)
		wrong(end, "a post of another connection");
}

void posts_event(struct end *end, const struct tow_event *event)
{
	struct post_record *post = find(end, event->token);

	end->flow->stirred = true;
	if (!post) {
		wrong(end, "a post came back twice");
		return;
	}
	check_event(end, post, event);
	check_memory(end, post, event->bytes);
	end->node->placed_bytes += event->placed_bytes;
	end->posts_out--;
	end->world->posts_out--;
	end->readable = true;
	/* Short, and nothing is wrong: that was all of the stream. */
	if (event->status == 0 && event->bytes < post->bytes && !end->eof)
		end_saw_end(end);
	free(post->memory);
	free(post->first);
	post->memory = NULL;
}

void posts_free(struct end *end)
{
	for (unsigned i = 0; i < POSTS_MAX; i++) {
		if (!end->posts[i].memory)
			continue;
		free(end->posts[i].memory);
		free(end->posts[i].first);
	}
}
