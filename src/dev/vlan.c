/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VLAN wrapper: vlan:id=N:DEVICE is one VLAN of the network at a device,
 * IEEE 802.1Q.
 *
 *	stack    | to | from | type | packet ...
 *	device   | to | from | 8100 | tag | type | packet ...
 *
 * Theory of operation: a frame that is sent gets its tag in front of the type:
 * the station addresses move by four bytes into the header room, and nothing
 * else. A frame that is received loses it the same way. Frames without a tag,
 * or with another VLAN's, belong to others: they are given back.
 *
 * Devices cut large segments and place payload by headers of the length that
 * they know, without a tag; so those capabilities are hidden. Checksums by
 * offset are not: csum_start moves with the rest.
 *
 * A frame that the device inside does not take stays with the stack and is
 * sent again; so its tag comes off again.
 */
#include <stdlib.h>
#include <string.h>
#include "buf/pool.h"
#include "dev/drivers.h"
#include "dev/wrap.h"
#include "wire/wire_eth.h"

#define TAG_BYTES  4
#define TPID	   0x8100 /* customer VLAN */
#define ID_MASK	   0x0fff /* of the tag; above it are priority and DEI */
#define ID_MAX	   4094	  /* 0 is no VLAN, 4095 reserved */
#define ROUNDS_MAX 8	  /* of others' frames in one call */
#define HIDDEN                                                     \
	(TOW_DEV_TSO4 | TOW_DEV_TSO6 | TOW_DEV_USO | TOW_DEV_LRO | \
	 TOW_DEV_PLACE)

struct vlan_options {
	uint64_t id;
};

struct vlan {
	struct wrap wrap;
	uint16_t id;
};

static const struct spec_key keys[] = {
	{ "id", SPEC_NUMBER, offsetof(struct vlan_options, id), 1, ID_MAX,
	  NULL },
};

static struct vlan *vlan_of(struct tow_dev *dev)
{
	return CONTAINER(wrap_of(dev), struct vlan, wrap);
}

/* Both station addresses, from @from to @to: they overlap. */
static void move_addresses(uint8_t *to, const uint8_t *from)
{
	memmove(to, from, 2 * ETH_MAC_BYTES);
}

static void put_tag(struct tow_buf *buf, uint16_t id)
{
	uint8_t *frame = buf_push(buf, TAG_BYTES);

	ASSERT(frame); /* TOW_BUF_HEADERS leaves that much */
	move_addresses(frame, frame + TAG_BYTES);
	wire_put16(frame + 2 * ETH_MAC_BYTES, TPID);
	wire_put16(frame + 2 * ETH_MAC_BYTES + 2, id);
	buf->csum_start = (uint16_t)(buf->csum_start + TAG_BYTES);
	buf->header_bytes = (uint16_t)(buf->header_bytes + TAG_BYTES);
}

static void take_tag(struct tow_buf *buf)
{
	uint8_t *frame = (uint8_t *)(uintptr_t)buf->spans[0].ptr;

	move_addresses(frame + TAG_BYTES, frame);
	buf_trim_front(buf, TAG_BYTES);
	buf->csum_start =
		(uint16_t)(buf->csum_start - MIN(buf->csum_start, TAG_BYTES));
	buf->header_bytes = (uint16_t)(buf->header_bytes -
				       MIN(buf->header_bytes, TAG_BYTES));
}

static bool is_ours(const struct vlan *v, struct tow_buf *buf)
{
	const uint8_t *frame = buf_pull(buf, ETH_BYTES + TAG_BYTES);

	return frame && wire_get16(frame + 2 * ETH_MAC_BYTES) == TPID &&
	       (wire_get16(frame + 2 * ETH_MAC_BYTES + 2) & ID_MASK) == v->id;
}

static int vlan_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct vlan *v = vlan_of(dev);
	struct tow_dev *inner = v->wrap.inner;
	int got, i, ours = 0, rounds = 0;

	do { /* others' frames alone should not look like none at all */
		wrap_enter(&v->wrap);
		got = inner->ops->rx(inner, bufs, n);
		wrap_leave(&v->wrap);
		for (i = 0; i < got; i++) {
			if (!is_ours(v, bufs[i])) {
				tow_buf_give(bufs[i]);
				continue;
			}
			take_tag(bufs[i]);
			bufs[ours++] = bufs[i];
		}
	} while (got > 0 && ours == 0 && ++rounds < ROUNDS_MAX);
	return got < 0 ? got : ours;
}

static int vlan_tx(struct tow_dev *dev, struct tow_buf *const *bufs, unsigned n)
{
	struct vlan *v = vlan_of(dev);
	struct tow_dev *inner = v->wrap.inner;
	unsigned i;
	int sent;

	for (i = 0; i < n; i++)
		put_tag(bufs[i], v->id);
	wrap_enter(&v->wrap);
	sent = inner->ops->tx(inner, bufs, n);
	wrap_leave(&v->wrap);
	for (i = sent < 0 ? 0 : (unsigned)sent; i < n; i++)
		take_tag(bufs[i]);
	return sent;
}

static void vlan_close(struct tow_dev *dev)
{
	struct vlan *v = vlan_of(dev);

	wrap_close_inner(&v->wrap);
	free(v);
}

static const struct tow_dev_ops vlan_ops = {
	.name = "vlan",
	.rx = vlan_rx,
	.tx = vlan_tx,
	.flush = wrap_flush,
	.wait_fd = wrap_wait_fd,
	.close = vlan_close,
	.withdraw = wrap_withdraw,
	.interface = wrap_interface,
};

static int make(struct tow_dev **out, struct spec *spec, uint64_t id,
		struct tow_dev *inner)
{
	struct vlan *v;

	if (inner->caps & TOW_DEV_NO_LINK)
		return spec_fail(spec, TOW_EINVAL,
				 "vlan needs a device with Ethernet frames");
	/* What a device merges or places it must not do behind our back */
	if (inner->caps & HIDDEN && inner->ops->withdraw)
		(void)inner->ops->withdraw(inner, inner->caps & HIDDEN);
	if (inner->caps & TOW_DEV_LRO)
		return spec_fail(spec, TOW_EINVAL,
				 "vlan needs a device that merges no frames");
	v = calloc(1, sizeof(*v));
	if (!v)
		return spec_fail(spec, TOW_ENOMEM, "out of memory");
	v->id = (uint16_t)id;
	v->wrap.hidden_caps = HIDDEN;
	wrap_init(&v->wrap, &vlan_ops, inner);
	v->wrap.dev.gso_bytes_max = 0;
	*out = &v->wrap.dev;
	return 0;
}

int vlan_open(struct tow_dev **out, struct spec *spec)
{
	struct vlan_options options = { 0 };
	const char *head = spec->at;
	struct tow_dev *inner;
	int error;

	error = spec_read(spec, "vlan", keys, LENGTH(keys), SPEC_TO_COLON,
			  &options);
	if (error)
		return error;
	if (!options.id)
		return spec_fail_at(spec, head,
				    "vlan needs its number, as in "
				    "\"vlan:id=5:tap\"");
	error = dev_open_next(&inner, spec);
	if (error)
		return error;
	error = make(out, spec, options.id, inner);
	if (error)
		inner->ops->close(inner);
	return error;
}
