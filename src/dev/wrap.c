/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device around a device: the operations that only pass on. See wrap.h.
 */
#include <string.h>
#include <tow/error.h>
#include "dev/wrap.h"

static void copy_caps(struct wrap *wrap)
{
	const struct tow_dev *inner = wrap->inner;

	wrap->dev.caps = inner->caps & ~wrap->hidden_caps;
	wrap->dev.mtu = inner->mtu;
	wrap->dev.gso_bytes_max = inner->gso_bytes_max;
	wrap->dev.spans_max = inner->spans_max;
	wrap->dev.arena = inner->arena;
	memcpy(wrap->dev.mac, inner->mac, sizeof(wrap->dev.mac));
}

void wrap_init(struct wrap *wrap, const struct tow_dev_ops *ops,
	       struct tow_dev *inner)
{
	wrap->dev.ops = ops;
	wrap->inner = inner;
	copy_caps(wrap);
	wrap_leave(wrap);
}

void wrap_flush(struct tow_dev *dev)
{
	struct wrap *wrap = wrap_of(dev);

	if (!wrap->inner->ops->flush)
		return;
	wrap_enter(wrap);
	wrap->inner->ops->flush(wrap->inner);
	wrap_leave(wrap);
}

int wrap_wait_fd(struct tow_dev *dev)
{
	struct tow_dev *inner = wrap_of(dev)->inner;

	return inner->ops->wait_fd ? inner->ops->wait_fd(inner) : -1;
}

int wrap_place(struct tow_dev *dev, const struct tow_place *place)
{
	struct wrap *wrap = wrap_of(dev);
	int result;

	if (!wrap->inner->ops->place)
		return TOW_EOPNOTSUPP;
	wrap_enter(wrap);
	result = wrap->inner->ops->place(wrap->inner, place);
	wrap_leave(wrap);
	return result;
}

int wrap_withdraw(struct tow_dev *dev, uint32_t caps)
{
	struct wrap *wrap = wrap_of(dev);
	int error;

	if (!wrap->inner->ops->withdraw)
		return TOW_EOPNOTSUPP;
	error = wrap->inner->ops->withdraw(wrap->inner, caps);
	if (!error)
		copy_caps(wrap);
	return error;
}

const char *wrap_interface(struct tow_dev *dev)
{
	return tow_dev_interface(wrap_of(dev)->inner);
}

void wrap_close_inner(struct wrap *wrap)
{
	wrap_enter(wrap);
	wrap->inner->ops->close(wrap->inner);
}
