/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signed connections: TCP MD5 (RFC 2385) and TCP-AO (RFC 5925).
 *
 * Theory of operation: in some scenarios all stacks share a secret. Each has a
 * listener that takes signed connections alone, and some flows go there. With
 * AO there are two keys, and either end asks now and then for the other one; no
 * byte may be lost by that.
 */
#include <tow/auth.h>
#include <tow/host.h>
#include "sim_world.h"

#define KEYS_MAX 64

void signing_open(struct world *world)
{
	world->signing.possible =
		tow_host_crypto_open(&world->signing.crypto) == 0;
}

void signing_close(struct world *world)
{
	if (world->signing.possible)
		tow_host_crypto_close(&world->signing.crypto);
}

void signing_plan(struct world *world)
{
	struct signing *signing = &world->signing;
	struct dice *dice = &world->dice;

	/* A reset by one who has no key any more is not heard: RFC 5925 7.7. */
	signing->wanted = signing->possible && !world->profile->tiny &&
			  !world->profile->perfect && dice_hit(dice, 300000);
	signing->algorithm = (enum tow_auth_algorithm)dice_up_to(dice, 2);
	for (unsigned i = 0; i < sizeof(signing->secret); i++)
		signing->secret[i] = (uint8_t)dice_throw(dice);
}

void signing_config(const struct world *world, struct tow_config *cfg)
{
	if (!world->signing.wanted)
		return;
	cfg->crypto = &world->signing.crypto;
	cfg->auth_keys = KEYS_MAX;
}

/* A middlebox that changes a header makes its signature wrong. */
bool signing_suits(struct world *world, const struct flow *flow)
{
	return world->signing.wanted && !world->profile->boxed &&
	       !flow->both_connect && !flow->relay.wanted &&
	       dice_hit(&world->dice, 300000);
}

static struct tow_auth_key key_of(const struct world *world, uint8_t id)
{
	const struct signing *signing = &world->signing;

	return (struct tow_auth_key){
		.algorithm = signing->algorithm,
		.secret = signing->secret + id,
		.secret_bytes = sizeof(signing->secret) - id,
		.send_id = id,
		.recv_id = id,
	};
}

static uint8_t last_id(const struct world *world)
{
	return world->signing.algorithm == TOW_AUTH_MD5 ? 0 : 1;
}

int signing_listen(struct world *world, struct tow_listener *listener)
{
	int result = 0;

	for (uint8_t id = 0; id <= last_id(world) && result == 0; id++) {
		struct tow_auth_key key = key_of(world, id);

		result = tow_listener_key_add(listener, &key);
	}
	return result;
}

void signing_begin(struct end *end)
{
	int result = 0;

	for (uint8_t id = 0; id <= last_id(end->world) && result == 0; id++) {
		struct tow_auth_key key = key_of(end->world, id);

		result = tow_tcp_key_add(end->tcp, &key);
	}
	if (result < 0)
		world_fail(end->world, "flow %u: a key: %s", end->flow->number,
			   tow_strerror(result));
}

void signing_change(struct end *end)
{
	struct world *world = end->world;
	uint8_t id = (uint8_t)dice_up_to(&world->dice, last_id(world));
	struct tow_tcp_info info;

	if (!end->flow->is_signed || !last_id(world))
		return;
	tow_tcp_info(end->tcp, &info);
	if (tow_tcp_key_next(end->tcp, id) < 0 && info.state != TOW_TCP_CLOSED)
		world_fail(world, "flow %u: a key is gone", end->flow->number);
}
