/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WHEEL_H
#define WHEEL_H

/*
 * Hierarchical timing wheel (Varghese and Lauck, scheme 7): arming, disarming
 * and expiring are O(1), whatever the number of timers. Six levels of 64 slots
 * with a bitmap each; the lowest slot is one microsecond wide. A timer further
 * away than one turn of the wheel (64^6 us, about 19 hours) goes round with it.
 *
 * A timer fires at the first wheel_advance() whose time is at or past its
 * deadline, never before.
 */
#include "base/list.h"

#define WHEEL_LEVELS 6
#define WHEEL_SLOTS  64

struct timer {
	struct list link;
	uint64_t deadline_us;
	uint16_t slot; /* level * WHEEL_SLOTS + slot, while it waits in one */
	bool armed;
	uint8_t owner; /* enum timer_owner: whose the object around it is */
};

/* The stack hands a timer that is due to the module that owns it. */
enum timer_owner {
	TIMER_NONE,
	TIMER_NET, /* neighbours; this and the next four are net_timer()'s */
	TIMER_REASSEMBLY,   /* datagrams that wait for their fragments */
	TIMER_GROUP_CHANGE, /* multicast groups: src/net/group_report.c */
	TIMER_GROUP_ANSWER,
	TIMER_GROUP_GENERAL,
	TIMER_TCP,
	TIMER_PACING, /* of TCP: when the next burst may begin */
	TIMER_OWNER,  /* deadlines of what is on loan: src/buf/govern.h */
	TIMER_DHCP,
	TIMER_AUTO,  /* addresses that come and go: src/net/auto.h */
	TIMER_ROUTE, /* gateways that may live again: src/net/route.c */
};

struct wheel {
	uint64_t now_us;
	uint64_t occupied[WHEEL_LEVELS]; /* bit per slot */
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
	struct list due; /* expired, not yet taken */
};

void wheel_init(struct wheel *wheel, uint64_t now_us);
void timer_init(struct timer *timer, enum timer_owner owner);

/*
 * Arm, or move to another time. A deadline in the past counts as now: the
 * timer is due at once, behind those that are due already.
 */
void timer_arm(struct wheel *wheel, struct timer *timer, uint64_t deadline_us);
void timer_disarm(struct wheel *wheel, struct timer *timer);

/* Move the clock; timers whose deadline has come become due. */
void wheel_advance(struct wheel *wheel, uint64_t now_us);

/* Take one timer that is due, disarmed, in order of deadline; NULL if none. */
struct timer *wheel_take(struct wheel *wheel);

/*
 * A time at or before the earliest deadline, for sleeping; UINT64_MAX when no
 * timer is armed. It may be early by the width of the slot the timer is in:
 * then wheel_advance() moves timers down and the next answer is nearer.
 */
uint64_t wheel_next(const struct wheel *wheel);

#endif
