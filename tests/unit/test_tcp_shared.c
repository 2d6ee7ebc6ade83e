/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attacks: memory seen by others changes under us. A device, or a program that
 * lent its memory, may write to payload at any time, also after its checksum
 * was looked at. It can harm the stream that the bytes are of, and nothing else
 * (the shm device's rings and headers: test_shm_lies.c).
 */
#include "tcp_peer.h"
#include <string.h>

#define LATE 0x5a /* what is written too late */

/* The rig compares all payload; what it finds here is what was done. */
static void forgive(struct rig *r)
{
	r->corrupt = r->malformed = 0;
}

static void scribble(const struct tow_span *span)
{
	memset((void *)(uintptr_t)span->ptr, LATE, span->len);
}

/* Another connection beside the first, which is kept in *@first. */
static void open_second(struct rig *r, struct tow_tcp **first)
{
	*first = r->tcp;
	r->tcp = NULL;
	r->options.wrap = false; /* the clock need not move on */
	r->peer_port++;
	r->read = r->written = 0;
	forget(r);
	handshake_passive(r);
}

/* Both directions of it are as ever. */
static void check_second(struct rig *r)
{
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 500);
	CHECK_EQ(app_recv(r, 1000), 500);
	app_send(r, 500, 0);
	while (waiting(r) && peek(r)->bytes == 0)
		next(r);
	CHECK(sends(r, ACK, 1, 501, 500));
	CHECK_EQ(r->corrupt, 0u);
	CHECK_EQ(r->malformed, 0u);
}

/* The device writes to what was verified, and the program has borrowed. */
TCP_TEST(memory_seen_by_others_received_bytes_change_after_the_checksum)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n;

	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 700);
	n = tow_tcp_borrow(r->tcp, spans, TOW_SPANS_MAX);
	CHECK_GE(n, 1);
	for (int i = 0; i < n; i++)
		scribble(&spans[i]);
	tow_tcp_return(r->tcp, 700);
	r->read = 700;
	inject(r, .flags = ACK, .seq = 701, .ack = 1, .bytes = 300);
	CHECK_EQ(app_recv(r, 1000), 300); /* and it is right */
	CHECK_EQ(info_of(r).received_bytes, 1000u);
}

/* Passed on with a sum that is known: the peer refuses it, others see nothing
 */
TCP_TEST(memory_seen_by_others_passed_bytes_change_after_the_checksum)
{
	struct tow_span spans[TOW_SPANS_MAX];
	struct tow_tcp *first;
	int n;

	handshake_passive(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = FULL);
	n = tow_tcp_borrow(r->tcp, spans, TOW_SPANS_MAX);
	CHECK_GE(n, 1);
	CHECK_EQ(tow_tcp_pass(r->tcp, r->tcp, FULL, 0), (int64_t)FULL);
	for (int i = 0; i < n; i++)
		scribble(&spans[i]);
	poll_until_quiet(r);
	forgive(r);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	open_second(r, &first);
	check_second(r);
	tow_tcp_abort(first);
	poll_until_quiet(r);
}

/* Lent bytes that change between a transmission and the next */
TCP_TEST(memory_seen_by_others_lent_bytes_change_after_the_checksum)
{
	static uint8_t lent[3 * FULL];
	struct tow_span span = { lent, sizeof(lent) };
	struct tow_tcp *first;
	unsigned sent;

	memset(lent, 1, sizeof(lent));
	handshake_passive(r);
	CHECK_EQ(tow_tcp_lend(r->tcp, &span, 1, 1, 0), 0);
	poll_until_quiet(r);
	sent = waiting(r);
	CHECK_EQ(sent, 3u);
	memset(lent, LATE, sizeof(lent));
	advance_ms(r, 5000); /* sent again, with the sum that it had */
	CHECK_GT(waiting(r), sent);
	forgive(r);
	open_second(r, &first);
	check_second(r);
	CHECK_EQ(loan_status(r, 1), 1);
	tow_tcp_abort(first);
	poll_until_quiet(r);
	CHECK_NE(loan_status(r, 1),
		 1); /* once, and it is the program's again */
	forgive(r);
}
