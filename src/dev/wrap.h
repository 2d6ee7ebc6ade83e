/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WRAP_H
#define WRAP_H

/*
 * What all wrappers have in common: a device around a device. The stack talks
 * to the outer one only, so whatever it sets there is handed on before a call
 * to the inner one, and whatever the inner one says is handed back after it.
 *
 *	wrap_enter(w);
 *	n = w->inner->ops->rx(w->inner, bufs, n);
 *	wrap_leave(w);
 */
#include <tow/dev.h>
#include "base/base.h"

struct wrap {
	struct tow_dev dev;
	struct tow_dev *inner;
	uint32_t hidden_caps;	   /* of the inner device; set before init */
	uint64_t rx_lost, tx_lost; /* by the wrapper itself */
};

/* Takes on the inner device's capabilities. */
void wrap_init(struct wrap *wrap, const struct tow_dev_ops *ops,
	       struct tow_dev *inner);

static inline struct wrap *wrap_of(struct tow_dev *dev)
{
	return CONTAINER(dev, struct wrap, dev);
}

static inline void wrap_enter(struct wrap *wrap)
{
	wrap->inner->pool = wrap->dev.pool;
	wrap->inner->ledger = wrap->dev.ledger;
	wrap->inner->now_us = wrap->dev.now_us;
}

static inline void wrap_leave(struct wrap *wrap)
{
	wrap->dev.next_us = wrap->inner->next_us;
	wrap->dev.rx_lost = wrap->rx_lost + wrap->inner->rx_lost;
	wrap->dev.tx_lost = wrap->tx_lost + wrap->inner->tx_lost;
}

/* Operations that only pass on, for the wrapper's table. */
void wrap_flush(struct tow_dev *dev);
int wrap_wait_fd(struct tow_dev *dev);
int wrap_place(struct tow_dev *dev, const struct tow_place *place);
int wrap_withdraw(struct tow_dev *dev, uint32_t caps);
const char *wrap_interface(struct tow_dev *dev);

/* Ends the inner device; the wrapper frees itself. */
void wrap_close_inner(struct wrap *wrap);

#endif
