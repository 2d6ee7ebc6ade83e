/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Targets take turns. One that could not be connected to rests: for a second,
 * and twice as long with each failure after that, up to a minute. When all of
 * them rest, the one whose rest is over first is tried all the same, because
 * turning clients away helps nobody.
 */
#include "relay.h"

#include <stdio.h>
#include <string.h>
#include "net_setup.h"

static bool is_group(const struct tow_addr *addr)
{
	return tow_addr_is_v4(addr) ? addr->b[12] >= 224 : addr->b[0] == 0xff;
}

/* Returns: false when a complaint was printed. */
static bool can_be_target(const struct relay *relay,
			  const struct target *target)
{
	const struct tow_endpoint *to = &target->endpoint;

	if (net_is_loopback(&to->addr))
		fprintf(stderr, "tow relay: %s is " NET_LOOPBACK_HINT "\n",
			target->text);
	else if (!relay->settings.udp && is_group(&to->addr))
		fprintf(stderr,
			"tow relay: connections have one host as their target, "
			"not '%s'\n",
			target->text);
	else
		return true;
	return false;
}

int target_parse(struct relay *relay, const char *text)
{
	struct target *target = &relay->targets[relay->target_count];
	struct tow_endpoint *to = &target->endpoint;

	if (tow_endpoint_parse(to, text) != 0 || to->port == 0 ||
	    tow_addr_is_any(&to->addr)) {
		fprintf(stderr,
			"tow relay: a target is an address and a port, as in "
			"192.0.2.1:80 or [2001:db8::1]:80, not '%s'\n",
			text);
		return -1;
	}
	tow_endpoint_format(to, target->text, sizeof(target->text));
	if (!can_be_target(relay, target))
		return -1;
	relay->target_count++;
	return 0;
}

uint32_t target_bit(const struct relay *relay, const struct target *target)
{
	return 1u << (target - relay->targets);
}

/* The next one that does not rest; else the one that has rested most. */
struct target *target_choose(struct relay *relay, uint32_t tried)
{
	struct target *best = NULL;
	unsigned i;

	for (i = 0; i < relay->target_count; i++) {
		unsigned at = (relay->target_next + i) % relay->target_count;
		struct target *target = &relay->targets[at];

		if (tried & target_bit(relay, target))
			continue;
		if (target->rest_until_us <= relay->now_us) {
			best = target;
			break;
		}
		if (!best || target->rest_until_us < best->rest_until_us)
			best = target;
	}
	if (!best)
		return NULL;
	relay->target_next =
		((unsigned)(best - relay->targets) + 1) % relay->target_count;
	best->chosen++;
	return best;
}

void target_failed(struct relay *relay, struct target *target)
{
	uint64_t rest_us = RELAY_REST_US_MAX;

	target->failed++;
	if (target->failed_in_a_row < 6)
		rest_us = RELAY_REST_US << target->failed_in_a_row;
	if (rest_us > RELAY_REST_US_MAX)
		rest_us = RELAY_REST_US_MAX;
	target->failed_in_a_row++;
	target->rest_until_us = relay->now_us + rest_us;
}

void target_works(struct target *target)
{
	target->failed_in_a_row = 0;
	target->rest_until_us = 0;
}
