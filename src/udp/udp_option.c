/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program says about a socket once, for all that it sends and receives.
 * A message may say otherwise for itself: enum tow_udp_with.
 */
#include "udp/udp_private.h"

#define LEND_BYTES_MAX (1 << 30)

static int64_t max_of(enum tow_udp_option option)
{
	switch (option) {
	case TOW_UDP_TTL:
	case TOW_UDP_TOS:
	case TOW_UDP_GROUP_TTL:
		return UINT8_MAX;
	case TOW_UDP_GROUP_LINK:
		return UINT16_MAX - 1;
	case TOW_UDP_BROADCAST:
	case TOW_UDP_UNSUMMED_SEND:
	case TOW_UDP_UNSUMMED_RECV:
	case TOW_UDP_ERRORS:
	case TOW_UDP_TRAINS:
	case TOW_UDP_GROUP_LOOP:
		return 1;
	case TOW_UDP_DONT_FRAGMENT:
		return 2;
	case TOW_UDP_LEND_BYTES:
		return LEND_BYTES_MAX;
	}
	return -1;
}

static int64_t min_of(enum tow_udp_option option)
{
	return option == TOW_UDP_GROUP_LINK ? -1 : 0;
}

int tow_udp_set(struct tow_udp *udp, enum tow_udp_option option, int64_t value)
{
	struct udp_options *o = &udp->options;

	ASSERT(udp->open && !udp->closed);
	if (value < min_of(option) || value > max_of(option))
		return TOW_EINVAL;
	switch (option) {
	case TOW_UDP_TTL:
		o->ttl = (uint8_t)value;
		break;
	case TOW_UDP_TOS:
		o->tos = (uint8_t)value;
		break;
	case TOW_UDP_BROADCAST:
		o->broadcast = value;
		break;
	case TOW_UDP_UNSUMMED_SEND:
		o->unsummed_send = value;
		break;
	case TOW_UDP_UNSUMMED_RECV:
		o->unsummed_recv = value;
		break;
	case TOW_UDP_ERRORS:
		o->errors = value;
		if (!value)
			udp_faults_drop(udp);
		break;
	case TOW_UDP_TRAINS:
		o->trains = value;
		break;
	case TOW_UDP_GROUP_TTL:
		o->group_ttl = (uint8_t)value;
		break;
	case TOW_UDP_GROUP_LOOP:
		o->group_loop = value;
		break;
	case TOW_UDP_DONT_FRAGMENT:
		o->dont_fragment = (uint8_t)value;
		break;
	case TOW_UDP_GROUP_LINK:
		o->group_zone = (uint16_t)(value + 1);
		break;
	case TOW_UDP_LEND_BYTES:
		udp->borrower.lent_max = (uint32_t)value;
		break;
	}
	return 0;
}

int tow_udp_get(const struct tow_udp *udp, enum tow_udp_option option,
		int64_t *value)
{
	const struct udp_options *o = &udp->options;

	switch (option) {
	case TOW_UDP_TTL:
		*value = o->ttl;
		return 0;
	case TOW_UDP_TOS:
		*value = o->tos;
		return 0;
	case TOW_UDP_BROADCAST:
		*value = o->broadcast;
		return 0;
	case TOW_UDP_UNSUMMED_SEND:
		*value = o->unsummed_send;
		return 0;
	case TOW_UDP_UNSUMMED_RECV:
		*value = o->unsummed_recv;
		return 0;
	case TOW_UDP_ERRORS:
		*value = o->errors;
		return 0;
	case TOW_UDP_TRAINS:
		*value = o->trains;
		return 0;
	case TOW_UDP_GROUP_TTL:
		*value = o->group_ttl;
		return 0;
	case TOW_UDP_GROUP_LOOP:
		*value = o->group_loop;
		return 0;
	case TOW_UDP_DONT_FRAGMENT:
		*value = o->dont_fragment;
		return 0;
	case TOW_UDP_GROUP_LINK:
		*value = (int64_t)o->group_zone - 1;
		return 0;
	case TOW_UDP_LEND_BYTES:
		*value = udp->borrower.lent_max;
		return 0;
	}
	return TOW_EINVAL;
}
