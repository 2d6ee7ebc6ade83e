/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Placement by the recording device, for rigs with TOW_DEV_PLACE: one hint at a
 * time, and no steering at all. Whatever frame comes next, of whatever flow,
 * is read under it, as the contract in tow/dev.h says.
 */
#include "tcp_peer_private.h"
#include <string.h>

int device_place(struct tow_dev *dev, const struct tow_place *place)
{
	struct rig *r = ((struct recorder *)dev)->rig;
	struct hint *hint = &r->hint;

	CHECK(place->token != 0 || place->bytes == 0);
	CHECK(place->span_count <= TOW_PLACE_SPANS);
	hint->calls++;
	hint->place.bytes = 0;
	if (place->bytes == 0)
		return 0;
	if (r->place_error)
		return r->place_error;
	hint->place = *place;
	memcpy(hint->spans, place->spans,
	       place->span_count * sizeof(hint->spans[0]));
	hint->resting = false;
	return 0;
}

static bool is_foreseen(const struct rig *r, const struct frame *f)
{
	const struct tow_place *p = &r->hint.place;
	uint32_t tcp = get16(f->bytes + 12) == 0x0800 ? 34 : 54;

	return f->length >= tcp + TCP_BYTES &&
	       get16(f->bytes + tcp) == p->remote_port &&
	       get16(f->bytes + tcp + 2) == p->local_port &&
	       get32(f->bytes + tcp + 4) == p->sequence &&
	       tcp + (uint32_t)(f->bytes[tcp + 12] >> 4) * 4 == p->header_bytes;
}

/* tow/dev.h: payload that is elsewhere lets the hint rest, bare ACKs do not. */
static bool has_payload(const struct frame *f)
{
	uint32_t tcp = get16(f->bytes + 12) == 0x0800 ? 34 : 54;

	return f->length > tcp + TCP_BYTES &&
	       f->length > tcp + (uint32_t)(f->bytes[tcp + 12] >> 4) * 4;
}

/* The hint begins behind what was written. */
static void go_on(struct hint *hint, uint32_t bytes)
{
	struct tow_place *p = &hint->place;
	size_t left = bytes;

	p->sequence += bytes;
	p->bytes -= bytes;
	for (unsigned i = 0; i < p->span_count && left; i++) {
		size_t n =
			left < hint->spans[i].len ? left : hint->spans[i].len;

		hint->spans[i].ptr = (const uint8_t *)hint->spans[i].ptr + n;
		hint->spans[i].len -= n;
		left -= n;
	}
}

/*
 * Read the bytes of a frame behind the hint's headers into its spans.
 *
 * Returns: how many; the rest is for chunks.
 */
uint32_t place_frame(struct rig *r, struct tow_buf *buf, const struct frame *f)
{
	struct hint *hint = &r->hint;
	uint32_t at = hint->place.header_bytes, done = 0;

	if (hint->place.bytes == 0 || hint->resting)
		return 0;
	if (f->length <= at) {
		hint->resting = has_payload(f);
		return 0;
	}
	for (unsigned i = 0; i < hint->place.span_count; i++) {
		const struct tow_span *span = &hint->spans[i];
		uint32_t n = f->length - at - done;

		n = n < span->len ? n : (uint32_t)span->len;
		if (n == 0)
			continue;
		memcpy((void *)(uintptr_t)span->ptr, f->bytes + at + done, n);
		tow_buf_add_placed(buf, (void *)(uintptr_t)span->ptr, n,
				   hint->place.token);
		done += n;
	}
	if (is_foreseen(r, f)) {
		buf->flags |= TOW_BUF_FORESEEN;
		go_on(hint, done);
	} else {
		hint->resting = true;
	}
	return done;
}
