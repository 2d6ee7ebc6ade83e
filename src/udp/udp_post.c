/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Posted buffers: memory of the application that datagrams fill slot by slot.
 *
 * Theory of operation. Slots are filled in the order of arrival, whoever puts
 * the bytes there: the device under a hint (udp_place.c), or we (udp_land.c).
 * A record says what came with a slot; the program takes it as soon as it
 * likes, and the memory when the post is complete.
 *
 *	tow_udp_post()       queue; copy in what was unread; tell the device
 *	udp_land()           fill slots, append records, READABLE
 *	udp_post_complete()  full, or taken back: wipe, POST
 *
 * What a device wrote and nobody owns, a datagram with a wrong checksum or one
 * of another flow, lies behind the last filled slot until it is overwritten.
 * How far is remembered (landing.dirty), and wiped before the memory goes
 * back: the program never sees a byte there that is not its peer's.
 *
 * Records are limited like buffers: a socket may have as many as it leaves to
 * the others, so that one whose program does not take them starves nobody.
 */
#include "udp/udp_private.h"

static bool slots_make_sense(const struct tow_span *memory, uint32_t slot_bytes,
			     uint32_t header_bytes)
{
	return slot_bytes > 0 && slot_bytes <= memory->len &&
	       header_bytes <= TOW_UDP_HEADER_MAX;
}

static void append(struct tow_udp *s, const struct tow_span *memory,
		   uint32_t slot_bytes, uint32_t header_bytes, uint64_t token)
{
	struct udp_landing *l = &s->landing;
	struct udp_post *post = udp_post_at(s, l->end++);

	memset(post, 0, sizeof(*post));
	post->memory = (uint8_t *)(uintptr_t)memory->ptr;
	post->bytes = memory->len / slot_bytes * slot_bytes;
	post->slot_bytes = slot_bytes;
	post->header_bytes = header_bytes;
	post->token = token;
	post->start = l->position;
	l->position += post->bytes;
}

int tow_udp_post(struct tow_udp *udp, const struct tow_span *memory,
		 uint32_t slot_bytes, uint32_t header_bytes, uint64_t token)
{
	struct udp_landing *l = &udp->landing;

	ASSERT(udp->open && !udp->closed);
	if (!slots_make_sense(memory, slot_bytes, header_bytes))
		return TOW_EINVAL;
	if (!udp->connected)
		return TOW_ENOTCONN;
	if (l->end - l->first == TOW_POSTS_MAX)
		return TOW_ENOBUFS;
	append(udp, memory, slot_bytes, header_bytes, token);
	udp_land_early(udp);
	udp_place(udp);
	return 0;
}

/* Behind the filled slots of the active post. */
static void wipe(struct tow_udp *s, struct udp_post *post)
{
	uint64_t from = post->start + post->filled;
	uint64_t to = MIN(s->landing.dirty, post->start + post->bytes);

	if (from < to)
		memset(post->memory + post->filled, 0, (size_t)(to - from));
}

/* The active post is full, or taken back; the event is owed from now on. */
void udp_post_complete(struct tow_udp *s, int status)
{
	struct udp_post *post = udp_post_at(s, s->landing.active);

	wipe(s, post);
	post->status = status;
	s->landing.active++;
	udp_notify_end(s);
}

void tow_udp_unpost(struct tow_udp *udp)
{
	udp_place_withdraw(udp);
	while (udp_has_posts(udp))
		udp_post_complete(udp, TOW_ECONNABORTED);
}

/* ------------------------------------------------------------------ records */

struct udp_record *udp_record_take(struct tow_udp *s)
{
	struct udp_private *private = s->host->private;
	struct udp_record *record = private->record_free;

	if (!record || s->landing.record_count > private->records_left)
		return NULL;
	private->record_free = record->next;
	private->records_left--;
	record->next = NULL;
	return record;
}

void udp_record_append(struct tow_udp *s, struct udp_record *record)
{
	*s->landing.records_tail = record;
	s->landing.records_tail = &record->next;
	s->landing.record_count++;
	udp_notify(s, UDP_READABLE);
}

static bool take_record(struct tow_udp *s, struct tow_udp_slot *out)
{
	struct udp_private *private = s->host->private;
	struct udp_landing *l = &s->landing;
	struct udp_record *record = l->records;

	if (!record)
		return false;
	*out = record->slot;
	l->records = record->next;
	if (!l->records)
		l->records_tail = &l->records;
	l->record_count--;
	record->next = private->record_free;
	private->record_free = record;
	private->records_left++;
	return true;
}

int tow_udp_posted(struct tow_udp *udp, struct tow_udp_slot *out, int max)
{
	int n = 0;

	while (n < max && take_record(udp, &out[n]))
		n++;
	return n;
}

/* The socket closes: memory goes back, records are forgotten. */
void udp_posts_close(struct tow_udp *s)
{
	struct tow_udp_slot slot;

	tow_udp_unpost(s);
	while (take_record(s, &slot))
		continue;
	list_remove(&s->landing_node);
}
