/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Posted buffers: what comes back in them, how it got there, and that nothing
 * around them is ever written.
 *
 * Each post lies in a block of canaries. Tests named placed_* run over a device
 * that reads every frame under the hint it has, whoever's it is: no steering
 * helps it, so the stack has to put right all that is not the stream's.
 */
#include "tcp_peer.h"
#include <stdlib.h>
#include <string.h>
#include "base/base.h"

#define CANARY 0xc5
#define MARGIN 256u
#define POST   4000u /* bytes of a post, unless it says otherwise */
#define TOKEN  70u
#define PORT_2 41000u

static uint8_t memory[MARGIN + 64 * 1024 + MARGIN];

static void clear_memory(void)
{
	memset(memory, CANARY, sizeof(memory));
}

static uint8_t *block(size_t at)
{
	return memory + MARGIN + at;
}

static int post_at(struct rig *r, size_t at, size_t bytes, uint64_t token)
{
	struct tow_span span = { block(at), bytes };

	return tow_tcp_post(r->tcp, &span, token);
}

static bool all(const uint8_t *p, size_t bytes, uint8_t value)
{
	for (size_t i = 0; i < bytes; i++)
		if (p[i] != value)
			return false;
	return true;
}

/* block(at) has the stream from relative sequence @seq on. */
static bool holds(size_t at, uint32_t seq, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		if (block(at)[i] != pattern(seq + i))
			return false;
	return true;
}

/* Nothing outside of the first @bytes of the blocks was written. */
static bool margins_are_whole(size_t bytes)
{
	return all(memory, MARGIN, CANARY) &&
	       all(block(bytes), sizeof(memory) - MARGIN - bytes, CANARY);
}

static void data(struct rig *r, uint32_t seq, uint32_t bytes)
{
	inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = bytes);
}

/* The event of a post, the first with its token; fails when there is none. */
static const struct tow_event *posted(const struct rig *r, uint64_t token)
{
	const struct tow_event *found = NULL;

	for (unsigned i = 0; i < r->event_count; i++) {
		const struct tow_event *e = &r->events[i];

		if (e->type != TOW_EVENT_POST || e->token != token)
			continue;
		CHECK(found == NULL); /* exactly once */
		found = e;
	}
	CHECK(found != NULL);
	return found;
}

static uint64_t copied(const struct rig *r, enum tow_copy why)
{
	return tow_stats(r->stack)->ledger.copied_bytes[why];
}

static uint64_t placed(const struct rig *r)
{
	return tow_stats(r->stack)->ledger.rx_placed_bytes;
}

static void open_with(struct rig *r, uint32_t caps)
{
	struct rig_options o = r->options;

	o.caps = caps;
	o.split = true;
	clear_memory();
	rig_reopen(r, &o);
	handshake_passive(r);
	forget(r);
}

static void open_plain(struct rig *r)
{
	open_with(r, 0);
}

static void open_placing(struct rig *r)
{
	open_with(r, TOW_DEV_PLACE | TOW_DEV_SPLIT);
}

/* ------------------------------------------------- posts, whatever the device
 */

TCP_TEST(post_takes_the_stream_and_comes_back_full)
{
	open_plain(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	data(r, 1, 1000);
	data(r, 1001, 1400);
	CHECK_EQ(events_of(r, TOW_EVENT_POST), 0u);
	CHECK_EQ(events_of(r, TOW_EVENT_READABLE), 0u);
	data(r, 2401, 1400);
	data(r, 3801, 500);
	CHECK_EQ(posted(r, TOKEN)->bytes, POST);
	CHECK_EQ(posted(r, TOKEN)->status, 0);
	CHECK_EQ(posted(r, TOKEN)->placed_bytes, 0u);
	CHECK_EQ(posted(r, TOKEN)->copied_why, 1u << TOW_COPY_RX_UNPLACED);
	CHECK(holds(0, 1, POST));
	CHECK(margins_are_whole(POST));
	CHECK_EQ(copied(r, TOW_COPY_RX_UNPLACED), POST);
	/* what did not fit waits to be read */
	CHECK_EQ(events_of(r, TOW_EVENT_READABLE), 1u);
	r->read = POST;
	CHECK_EQ(app_recv(r, 1000), 300);
}

TCP_TEST(posts_are_filled_one_behind_the_other)
{
	open_plain(r);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(post_at(r, i * 500, 500, TOKEN + i), 0);
	data(r, 1, 1300);
	CHECK_EQ(events_of(r, TOW_EVENT_POST), 2u);
	data(r, 1301, 700);
	CHECK_EQ(events_of(r, TOW_EVENT_POST), 4u);
	CHECK(holds(0, 1, 2000));
	CHECK(margins_are_whole(2000));
}

TCP_TEST(what_arrived_before_the_post_is_copied_in_at_once)
{
	open_plain(r);
	data(r, 1, 1000);
	CHECK_EQ(post_at(r, 0, 600, TOKEN), 0);
	poll_until_quiet(r);
	CHECK_EQ(posted(r, TOKEN)->copied_why, 1u << TOW_COPY_RX_EARLY);
	CHECK(holds(0, 1, 600));
	r->read = 600;
	CHECK_EQ(app_recv(r, 1000), 400);
}

/* The right edge of the window that the last ACK told of. */
static uint32_t edge(struct rig *r)
{
	const struct segment *s;

	advance_ms(r, 500); /* an ACK may be delayed */
	s = &r->sent[r->sent_count - 1];
	return s->ack + s->window;
}

/*
 * RFC 9293 3.8.6: what was promised stays, but no more is; only that each ACK
 * may round it up to a step of the window's scale.
 */
TCP_TEST(a_window_for_what_is_posted_ends_there)
{
	uint32_t at = 1, end;

	open_plain(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_RECV_POSTED, 1), 0);
	for (unsigned i = 0; i < 10; i++) {
		CHECK_EQ(post_at(r, 0, 60003, i), 0);
		poll_until_quiet(r);
		for (end = at + 60003; end - at > 2000; at += 2000)
			data(r, at, 2000);
		data(r, at, end - at);
		at = end;
		CHECK_EQ(posted(r, i)->bytes, 60003u);
		CHECK_LE(edge(r), MAX(end, 65536u) + 16384);
	}
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_RECV_POSTED, 0), 0);
	poll_until_quiet(r);
	CHECK_GT(edge(r), at + 20000);
}

/* The last bytes that are wanted may be less than a step worth saying. */
TCP_TEST(a_window_for_a_crumb_is_told_of)
{
	uint32_t at = 1001, full;

	open_plain(r);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_RECV_POSTED, 1), 0);
	CHECK_EQ(post_at(r, 0, 1000, POST), 0);
	data(r, 1, 1000);
	for (unsigned i = 0; at < (full = edge(r)); i++) {
		CHECK_EQ(post_at(r, 0, full - at, i), 0);
		for (; at < full; at += MIN(1000, full - at))
			data(r, at, MIN(1000, full - at));
	}
	CHECK_EQ(post_at(r, 0, 3, TOKEN), 0);
	poll_until_quiet(r);
	CHECK_GT(edge(r), full);
}

TCP_TEST(fin_brings_a_post_back_short)
{
	open_plain(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	CHECK_EQ(post_at(r, POST, POST, TOKEN + 1), 0);
	inject(r, .flags = ACK | FIN, .seq = 1, .ack = 1, .bytes = 700);
	CHECK_EQ(posted(r, TOKEN)->bytes, 700u);
	CHECK_EQ(posted(r, TOKEN)->status, 0);
	CHECK_EQ(posted(r, TOKEN + 1)->bytes, 0u);
	CHECK(holds(0, 1, 700));
	CHECK(all(block(700), sizeof(memory) - MARGIN - 700, CANARY));
	CHECK_EQ(app_recv(r, 10), 0);
	CHECK_EQ(post_at(r, 0, POST, TOKEN + 2), 0);
	poll_until_quiet(r);
	CHECK_EQ(posted(r, TOKEN + 2)->bytes, 0u);
}

TCP_TEST(reset_brings_a_post_back_with_what_it_has)
{
	open_plain(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	data(r, 1, 300);
	inject(r, .flags = RST | ACK, .seq = 301, .ack = 1);
	CHECK_EQ(posted(r, TOKEN)->bytes, 300u);
	CHECK_EQ(posted(r, TOKEN)->status, TOW_ECONNRESET);
	CHECK_EQ(post_at(r, 0, POST, TOKEN + 1), TOW_ECONNRESET);
}

TCP_TEST(unpost_gives_all_memory_back_and_the_stream_goes_on)
{
	open_plain(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	CHECK_EQ(post_at(r, POST, POST, TOKEN + 1), 0);
	data(r, 1, 300);
	data(r, 601, 300); /* kept where it will belong */
	tow_tcp_unpost(r->tcp);
	memset(block(0), 0, 2 * POST); /* it is ours */
	poll_until_quiet(r);
	CHECK_EQ(posted(r, TOKEN)->bytes, 300u);
	CHECK_EQ(posted(r, TOKEN)->status, TOW_ECONNABORTED);
	CHECK_EQ(posted(r, TOKEN + 1)->bytes, 0u);
	data(r, 301, 300);
	r->read = 300;
	CHECK_EQ(app_recv(r, 1000), 600);
	CHECK(all(block(0), 2 * POST, 0));
	CHECK_EQ(copied(r, TOW_COPY_RX_UNPOSTED), 300u);
}

TCP_TEST(close_gives_memory_back_and_says_so_without_a_handle)
{
	open_plain(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	data(r, 1, 300);
	data(r, 601, 300);
	tow_tcp_close(r->tcp);
	r->tcp = NULL;
	memset(block(0), 0, POST);
	poll_until_quiet(r);
	CHECK_EQ(posted(r, TOKEN)->bytes, 300u);
	CHECK(posted(r, TOKEN)->object == NULL);
	CHECK(all(block(0), POST, 0));
}

TCP_TEST(posts_and_loans_exclude_each_other)
{
	struct tow_span span;
	uint8_t byte;

	open_plain(r);
	data(r, 1, 100);
	CHECK_EQ(tow_tcp_borrow(r->tcp, &span, 1), 1);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), TOW_EBUSY);
	tow_tcp_return(r->tcp, 100);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	CHECK_EQ(tow_tcp_borrow(r->tcp, &span, 1), TOW_EBUSY);
	CHECK_EQ(tow_tcp_recv(r->tcp, &byte, 1), TOW_EBUSY);
	CHECK_EQ(post_at(r, 0, 0, TOKEN), TOW_EINVAL);
}

TCP_TEST(posts_have_limits)
{
	struct rig_options o = r->options;

	open_plain(r);
	for (unsigned i = 0; i < TOW_POSTS_MAX; i++)
		CHECK_EQ(post_at(r, i * 10, 10, i), 0);
	CHECK_EQ(post_at(r, 0, 10, 99), TOW_ENOBUFS);
	o.cfg.posts = 3;
	rig_reopen(r, &o);
	handshake_passive(r);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(post_at(r, i * 10, 10, i), 0);
	CHECK_EQ(post_at(r, 0, 10, 99), TOW_ENOBUFS);
	data(r, 1, 10);
	CHECK_EQ(post_at(r, 0, 10, 99), 0); /* its event was taken */
}

/* What keeps a connection's posts is no limit of its own: it moves on. */
TCP_TEST(whoever_gets_a_post_can_queue_it)
{
	struct rig_options o = r->options;
	struct tow_tcp *first, *second;

	o.cfg.posts = 1;
	o.wrap = false;
	rig_reopen(r, &o);
	clear_memory();
	handshake_passive(r);
	first = r->tcp;
	CHECK_EQ(post_at(r, 0, 10, TOKEN), 0);
	data(r, 1, 10);
	CHECK_EQ(posted(r, TOKEN)->bytes, 10u);

	advance_ms(r, 500);
	forget(r);
	r->peer_port++;
	handshake_passive(r);
	second = r->tcp;
	CHECK_EQ(post_at(r, 20, 10, TOKEN + 1), 0);
	r->tcp = first;
	CHECK_EQ(post_at(r, 0, 10, TOKEN + 2), TOW_ENOBUFS);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_NONE);
	tow_tcp_abort(second);
	poll_until_quiet(r);
	CHECK_EQ(posted(r, TOKEN + 1)->status, TOW_ECONNABORTED);
	CHECK_EQ(post_at(r, 0, 10, TOKEN + 2), 0);
}

/* The memory rule alone decides: decisions/0006 */
TCP_TEST(window_does_not_depend_on_posts)
{
	uint32_t before;

	open_plain(r);
	before = info_of(r).recv_window_bytes;
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	CHECK_EQ(info_of(r).recv_window_bytes, before);
	data(r, 1, 1000);
	advance_ms(r, 500);
	CHECK_GE(info_of(r).recv_window_bytes, before - 1000);
}

/* ----------------------------------------------------- a device that places */

TCP_TEST(placed_bytes_are_not_copied)
{
	open_placing(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_ARMED);
	data(r, 1, 1400);
	data(r, 1401, 1400);
	data(r, 2801, 1200);
	CHECK_EQ(posted(r, TOKEN)->placed_bytes, POST);
	CHECK_EQ(posted(r, TOKEN)->copied_why, 0u);
	CHECK(holds(0, 1, POST));
	CHECK(margins_are_whole(POST));
	CHECK_EQ(placed(r), POST);
	CHECK_EQ(counter(r, TOW_COUNTER_PLACE_HITS), 3u);
	CHECK_EQ(r->hint.place.bytes, 0u); /* the hint went with the post */
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_NONE);
}

TCP_TEST(placed_segment_may_reach_over_several_posts)
{
	open_placing(r);
	for (unsigned i = 0; i < 6; i++)
		CHECK_EQ(post_at(r, i * 333, 333, i), 0);
	data(r, 1, 1400);
	data(r, 1401, 598);
	CHECK(holds(0, 1, 6 * 333));
	CHECK(margins_are_whole(6 * 333));
	CHECK_EQ(events_of(r, TOW_EVENT_POST), 6u);
	/* one hint has four spans: the fifth piece was in a chunk */
	CHECK_EQ(placed(r) + copied(r, TOW_COPY_RX_UNPLACED), 6 * 333u);
	CHECK_GE(placed(r), 4 * 333u);
}

TCP_TEST(placed_end_of_a_segment_that_does_not_fit_is_kept)
{
	open_placing(r);
	CHECK_EQ(post_at(r, 0, 1000, TOKEN), 0);
	data(r, 1, 1400);
	CHECK_EQ(posted(r, TOKEN)->placed_bytes, 1000u);
	CHECK(margins_are_whole(1000));
	r->read = 1000;
	CHECK_EQ(app_recv(r, 1000), 400);
}

/* What follows a lost segment is placed at its final address. */
TCP_TEST(placed_after_a_hole_only_two_segments_are_moved)
{
	open_placing(r);
	CHECK_EQ(post_at(r, 0, 10000, TOKEN), 0);
	data(r, 1, 1000);
	data(r, 2001, 1000); /* 1001 was lost; the device wrote it there */
	data(r, 3001, 1000);
	data(r, 4001, 1000);
	data(r, 1001, 1000); /* again; the device wrote it behind 5001 */
	data(r, 5001, 1000);
	for (uint32_t seq = 6001; seq < 10001; seq += 1000)
		data(r, seq, 1000);
	CHECK(holds(0, 1, 10000));
	CHECK(margins_are_whole(10000));
	CHECK_EQ(copied(r, TOW_COPY_RX_HOLE), 1000u);
	CHECK_EQ(copied(r, TOW_COPY_RX_REPAIR), 1000u);
	CHECK_EQ(posted(r, TOKEN)->placed_bytes, 8000u);
	CHECK_EQ(placed(r), 8000u);
	CHECK_EQ(posted(r, TOKEN)->copied_why,
		 1u << TOW_COPY_RX_HOLE | 1u << TOW_COPY_RX_REPAIR);
}

/* The holes are smaller than the segments: moves overlap. */
TCP_TEST(placed_segments_are_moved_over_themselves)
{
	open_placing(r);
	CHECK_EQ(post_at(r, 0, 2000, TOKEN), 0);
	CHECK_EQ(post_at(r, 2000, 3000, TOKEN + 1), 0);
	data(r, 1, 1000);
	data(r, 1051, 1400);
	data(r, 1001, 50);
	data(r, 2441, 1400); /* ten bytes come again */
	data(r, 3851, 1150);
	data(r, 3841, 10);
	CHECK(holds(0, 1, 5000));
	CHECK(margins_are_whole(5000));
	CHECK_EQ(events_of(r, TOW_EVENT_POST), 2u);
}

/* One that begins inside of a held segment ends behind the one after it. */
TCP_TEST(placed_over_two_that_are_held_keeps_both)
{
	static const uint8_t other[200] = { 0 };

	open_placing(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	data(r, 1, 100);
	data(r, 201, 100);
	data(r, 301, 100);
	/* what came first stays, whatever comes in its place */
	inject(r, .flags = ACK, .seq = 251, .ack = 1, .bytes = 150,
	       .data = other);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_OUT_OF_ORDER), 3u);
	inject(r, .flags = ACK, .seq = 251, .ack = 1, .bytes = 200,
	       .data = other);
	data(r, 101, 100);
	CHECK(holds(0, 1, 400));
	CHECK(all(block(400), 50, 0));
}

TCP_TEST(placed_with_a_bad_checksum_is_overwritten)
{
	open_placing(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	data(r, 1, 1000);
	inject(r, .flags = ACK, .seq = 1001, .ack = 1, .bytes = 1400,
	       .bad_checksum = true);
	CHECK_EQ(drops(r, TOW_DROP_TCP_CHECKSUM), 1u);
	data(r, 1001, 1400);
	data(r, 2401, 1600 - 200);
	data(r, 3801, 200);
	CHECK(holds(0, 1, POST));
	CHECK(margins_are_whole(POST));
}

TCP_TEST(placed_behind_longer_or_shorter_headers_is_moved)
{
	static const uint8_t nops[24] = { 1, 1, 1, 1, 1, 1, 1, 1,
					  1, 1, 1, 1, 1, 1, 1, 1 };
	struct rig_options o = r->options;

	o.offer.ts = false;
	r->options = o;
	open_placing(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 1000,
	       .options = nops, .option_bytes = 16);
	CHECK_EQ(copied(r, TOW_COPY_RX_MISSHAPED), 1000u);
	data(r, 1001, 1000);
	/* shorter than foreseen: the hint believes in options */
	r->hint.place.header_bytes += 16;
	data(r, 2001, 1000);
	data(r, 3001, 1000);
	CHECK(holds(0, 1, POST));
	CHECK(margins_are_whole(POST));
	CHECK_EQ(posted(r, TOKEN)->placed_bytes, 2000u);
}

TCP_TEST(placed_duplicates_and_acks_leave_the_stream_alone)
{
	open_placing(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	data(r, 1, 1000);
	data(r, 1, 1000);
	inject(r, .flags = ACK, .seq = 1001, .ack = 1);
	data(r, 501, 1000);
	data(r, 1501, 1000);
	data(r, 2501, 1000);
	data(r, 2401, 1100);
	data(r, 3501, 500);
	CHECK(holds(0, 1, POST));
	CHECK(margins_are_whole(POST));
}

/* Another connection's segment lands in what was posted for this one. */
TCP_TEST(placed_by_mistake_another_flow_gets_its_bytes)
{
	uint8_t ours[700], seen[700] = { 0 };
	struct tow_tcp *first, *second;
	uint32_t iss = 0x5000;

	open_placing(r);
	first = r->tcp;
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	memset(ours, 0x77, sizeof(ours));
	inject(r, .flags = SYN, .seq = iss, .absolute = true, .sport = PORT_2,
	       .mss = 1460, .later = false);
	inject(r, .flags = ACK, .seq = iss + 1,
	       .ack = r->sent[r->sent_count - 1].raw_seq + 1, .absolute = true,
	       .sport = PORT_2);
	CHECK_EQ(tow_tcp_accept(r->listener, &second), 0);
	inject(r, .flags = ACK, .seq = iss + 1,
	       .ack = r->sent[r->sent_count - 1].raw_seq + 1, .absolute = true,
	       .sport = PORT_2, .bytes = sizeof(ours), .data = ours);
	CHECK_EQ(copied(r, TOW_COPY_RX_FOREIGN), sizeof(ours));
	data(r, 1, 1000);
	CHECK_EQ(tow_tcp_recv(second, seen, sizeof(seen)),
		 (int64_t)sizeof(seen));
	CHECK_MEM(seen, ours, sizeof(ours));
	tow_tcp_abort(second);
	poll_until_quiet(r);
	CHECK_EQ(r->tcp, first);
	data(r, 1001, 1400);
	data(r, 2401, 1400);
	data(r, 3801, 200);
	CHECK(holds(0, 1, POST));
	CHECK(margins_are_whole(POST));
}

/* Nothing that is not the stream's is ever seen by the program. */
TCP_TEST(placed_foreign_bytes_behind_the_end_are_wiped)
{
	open_placing(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 1400,
	       .bad_checksum = true);
	inject(r, .flags = ACK | FIN, .seq = 1, .ack = 1, .bytes = 100);
	CHECK_EQ(posted(r, TOKEN)->bytes, 100u);
	CHECK(holds(0, 1, 100));
	CHECK(all(block(100), 1300, 0));
	CHECK(margins_are_whole(1400));
}

TCP_TEST(placed_bytes_are_wiped_when_the_buffer_is_taken_back)
{
	open_placing(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	data(r, 1, 100);
	data(r, 1001, 1000); /* kept in posted memory */
	tow_tcp_unpost(r->tcp);
	CHECK_EQ(r->hint.place.bytes, 0u);
	CHECK(holds(0, 1, 100));
	CHECK(all(block(100), 1900, 0));
	data(r, 101, 900);
	r->read = 100;
	CHECK_EQ(app_recv(r, 4000), 1900);
	CHECK(margins_are_whole(2000));
}

/* design.md 1 A: if several applications use the port, it is turned off */
TCP_TEST(placement_is_off_while_the_port_is_shared)
{
	struct tow_endpoint here = { r->us, 80, 0 };
	struct tow_listener *other;

	open_placing(r);
	here.addr = r->us;
	CHECK_EQ(tow_tcp_listen(r->stack, &here, 4, &other), 0);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_SHARED);
	CHECK_EQ(r->hint.place.bytes, 0u);
	CHECK_EQ(counter(r, TOW_COUNTER_PLACE_SHARED), 1u);
	data(r, 1, 1000);
	CHECK_EQ(copied(r, TOW_COPY_RX_UNPLACED), 1000u);
	tow_listener_close(other);
	data(r, 1001, 1000);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_ARMED);
	data(r, 2001, 1000);
	CHECK_EQ(placed(r), 1000u);
}

TCP_TEST(placement_that_the_device_refuses_is_tried_again)
{
	open_placing(r);
	r->place_error = TOW_EBUSY;
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_BUSY);
	data(r, 1, 1000);
	CHECK_EQ(r->hint.calls, 1u); /* not at once */
	r->place_error = 0;
	advance_ms(r, 200);
	data(r, 1001, 1000);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_ARMED);
	data(r, 2001, 1000);
	CHECK_EQ(placed(r), 1000u);
}

TCP_TEST(placement_pauses_when_too_much_misses_and_comes_back)
{
	uint32_t seq = 1;

	open_placing(r);
	CHECK_EQ(post_at(r, 0, 64 * 1024, TOKEN), 0);
	for (unsigned i = 0; i < 64; i++, seq += 200) {
		data(r, seq + 100, 100); /* each pair the wrong way round */
		data(r, seq, 100);
	}
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_MISSES);
	CHECK_EQ(counter(r, TOW_COUNTER_PLACE_PAUSED), 1u);
	data(r, seq, 100);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_MISSES);
	advance_ms(r, 200);
	data(r, seq + 100, 100);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_ARMED);
	data(r, seq + 200, 100);
	CHECK_EQ(placed(r) % 100, 0u);
	CHECK_GE(placed(r), 100u);
	CHECK(holds(0, 1, seq + 299));
}

/* What is placed behind a hole is no miss: the window goes on being placed. */
TCP_TEST(placement_goes_on_behind_a_hole)
{
	open_placing(r);
	CHECK_EQ(post_at(r, 0, 64 * 1024, TOKEN), 0);
	data(r, 1, 100);
	for (uint32_t seq = 201; seq < 8201; seq += 100)
		data(r, seq, 100);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_ARMED);
	CHECK_EQ(copied(r, TOW_COPY_RX_HOLE), 100u);
	data(r, 101, 100);
	CHECK_EQ(copied(r, TOW_COPY_RX_REPAIR), 100u);
	CHECK(holds(0, 1, 8200));
}

TCP_TEST(placement_says_when_the_device_cannot)
{
	open_plain(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_DEVICE);
	CHECK_EQ(counter(r, TOW_COUNTER_PLACE_DEVICE), 1u);
}

/* Segments in any order, any overlap, some damaged: always the stream. */
TCP_TEST(placed_random_segments_are_the_stream)
{
	uint32_t random = 12345, end = 20000;

	open_placing(r);
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQ(post_at(r, i * 4000, 4000, i), 0);
	for (unsigned i = 0; i < 3000; i++) {
		uint32_t next = info_of(r).state == TOW_TCP_ESTABLISHED
					? (uint32_t)placed(r)
					: 0;
		uint32_t seq, bytes;

		(void)next;
		random = random * 1664525 + 1013904223;
		seq = 1 + (random >> 8) % end;
		bytes = 1 + (random >> 20) % 1400;
		if (seq + bytes > end + 1)
			bytes = end + 1 - seq;
		inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = bytes,
		       .bad_checksum = random % 7 == 0);
	}
	for (uint32_t seq = 1; seq <= end; seq += 1000)
		data(r, seq, 1000);
	CHECK_EQ(events_of(r, TOW_EVENT_POST), 5u);
	CHECK(holds(0, 1, end));
	CHECK(margins_are_whole(end));
}

static uint32_t roll(uint32_t *random, uint32_t below)
{
	*random = *random * 1664525 + 1013904223;
	return (*random >> 8) % below;
}

/* Anything near RCV.NXT: in order or not, twice, damaged, other headers. */
static void queue_something(struct rig *r, uint32_t *random, uint32_t *next,
			    uint32_t end)
{
	static const uint8_t nops[16] = { 1, 1, 1, 1, 1, 1, 1, 1,
					  1, 1, 1, 1, 1, 1, 1, 1 };
	uint32_t bytes = 1 + roll(random, 1400), seq = *next;
	bool other = roll(random, 8) == 0;

	if (roll(random, 3) == 0)
		seq = MAX(1, (int32_t)seq - 3000 + (int32_t)roll(random, 6000));
	if (seq > end)
		seq = end;
	bytes = MIN(bytes, end + 1 - seq);
	if (roll(random, 10) == 0)
		bytes = 0;
	if (seq == *next || roll(random, 2))
		*next = MAX(*next, seq + bytes);
	if (*next > end)
		*next = 1 + roll(random, end);
	inject(r, .flags = ACK, .seq = seq, .ack = 1, .bytes = bytes,
	       .bad_checksum = bytes && roll(random, 9) == 0, .later = true,
	       .options = other ? nops : NULL,
	       .option_bytes = other ? 4 * roll(random, 5) : 0);
}

TCP_TEST(placed_random_batches_are_the_stream)
{
	struct rig_options o = r->options;
	uint32_t random = 4711 + o.wrap, end = 40000, next;

	o.offer.ts = false;
	r->options = o;
	for (unsigned seed = 0; seed < 10; seed++) {
		open_with(r, TOW_DEV_PLACE | TOW_DEV_SPLIT | TOW_DEV_RX_CSUM);
		next = 1;
		for (unsigned i = 0; i < 10; i++)
			CHECK_EQ(post_at(r, i * 4000, 4000, i), 0);
		for (unsigned i = 0; i < 100; i++) {
			for (unsigned n = 1 + roll(&random, 12); n; n--)
				queue_something(r, &random, &next, end);
			poll_until_quiet(r);
		}
		for (uint32_t seq = 1; seq <= end; seq += 1000)
			data(r, seq, 1000);
		CHECK_EQ(events_of(r, TOW_EVENT_POST), 10u);
		CHECK(holds(0, 1, end));
		CHECK(margins_are_whole(end));
	}
}

/* What was moved, and then lost, says nothing about what the post has. */
TCP_TEST(placed_bytes_are_counted_apart_from_what_was_lost)
{
	open_placing(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	data(r, 1, 300);
	data(r, 601, 300); /* moved to where it will belong */
	inject(r, .flags = RST | ACK, .seq = 301, .ack = 1);
	CHECK_EQ(posted(r, TOKEN)->bytes, 300u);
	CHECK_EQ(posted(r, TOKEN)->placed_bytes, 300u);
	CHECK_EQ(posted(r, TOKEN)->copied_why, 0u);
}

/* A segment is looked at once, also one that was held. */
TCP_TEST(placement_counts_each_segment_once)
{
	open_placing(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	data(r, 1, 100);
	data(r, 201, 100); /* miss */
	data(r, 301, 100);
	data(r, 401, 100);
	data(r, 101, 100); /* miss */
	CHECK_EQ(counter(r, TOW_COUNTER_PLACE_HITS), 3u);
	CHECK_EQ(counter(r, TOW_COUNTER_PLACE_MISSES), 2u);
}

/* A device that is late: what is in memory that was taken back is not read. */
TCP_TEST(placed_under_a_hint_that_was_withdrawn_is_dropped)
{
	struct hint old;

	open_placing(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	old = r->hint;
	tow_tcp_unpost(r->tcp);
	CHECK_EQ(post_at(r, POST, POST, TOKEN + 1), 0);
	r->hint = old;
	data(r, 1, 1000);
	CHECK_EQ(drops(r, TOW_DROP_LINK_STALE), 1u);
	data(r, 1, 1000);
	CHECK(holds(POST, 1, 1000));
}

/* Posted before there was a connection: its first bytes are placed. */
TCP_TEST(placed_from_the_first_byte_of_a_connection_that_we_open)
{
	struct rig_options o = r->options;

	o.caps = TOW_DEV_PLACE | TOW_DEV_SPLIT;
	o.split = true;
	clear_memory();
	rig_reopen(r, &o);
	connect_out(r);
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_STATE);
	syn_ack_arrives(r);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_ARMED);
	data(r, 1, 1000);
	CHECK_EQ(placed(r), 1000u);
}

/* The pattern of FTP: a port of one connection, whose listener has gone. */
TCP_TEST(placement_is_off_while_another_listens_on_the_port_of_one_that_closed)
{
	struct tow_endpoint here = { { { 0 } }, 80, 0 };
	struct tow_listener *other;

	open_placing(r);
	tow_listener_close(r->listener);
	r->listener = NULL;
	CHECK_EQ(post_at(r, 0, POST, TOKEN), 0);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_ARMED);
	CHECK_EQ(tow_tcp_listen(r->stack, &here, 4, &other), 0);
	data(r, 1, 1000);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_SHARED);
	CHECK_EQ(r->hint.place.bytes, 0u);
	tow_listener_close(other);
	data(r, 1001, 1000);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_ARMED);
}

/* RFC 2018 8: what was thrown away is reported no longer. */
TCP_TEST(held_bytes_that_give_way_to_a_segment_that_is_refused_are_not_sacked)
{
	open_plain(r);
	for (unsigned i = 0; i < TOW_POSTS_MAX - 1; i++)
		CHECK_EQ(post_at(r, i * 100, 100, i), 0);
	CHECK_EQ(post_at(r, 1500, 60000, TOKEN), 0);
	data(r, 101, 10);
	forget(r);
	data(r, 51, 30000); /* into more pieces than a buffer has spans */
	CHECK_EQ(peek(r)->sacks, 0u);
	CHECK_EQ(drops(r, TOW_DROP_TCP_REASSEMBLY), 1u);
}
