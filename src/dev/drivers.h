/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DRIVERS_H
#define DRIVERS_H

/*
 * The drivers and wrappers that tow_dev_open() knows, and the few things that
 * wrappers have in common.
 */
#include <tow/dev.h>
#include <tow/error.h>
#include "dev/spec.h"

/*
 * Open from the options at the spec's head; on failure the message is made. A
 * wrapper then opens what the rest of the text names, by dev_open_next().
 */
int tap_open(struct tow_dev **out, struct spec *spec);
int pcap_open(struct tow_dev **out, struct spec *spec);
int fault_open(struct tow_dev **out, struct spec *spec);

/* The device that the spec's rest stands for: opened, or the one inside. */
int dev_open_next(struct tow_dev **out, struct spec *spec);

/* What a wrapper copies from the device inside when it is made. */
static inline void wrap_copy_caps(struct tow_dev *dev,
				  const struct tow_dev *inner)
{
	dev->caps = inner->caps;
	dev->mtu = inner->mtu;
	dev->gso_bytes_max = inner->gso_bytes_max;
	dev->spans_max = inner->spans_max;
	for (unsigned i = 0; i < sizeof(dev->mac); i++)
		dev->mac[i] = inner->mac[i];
	dev->arena = inner->arena;
	dev->next_us = UINT64_MAX;
}

/* What the stack set on the wrapper holds for the device inside, too. */
static inline void wrap_enter(const struct tow_dev *dev, struct tow_dev *inner)
{
	inner->pool = dev->pool;
	inner->now_us = dev->now_us;
}

#endif
