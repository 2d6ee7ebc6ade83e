/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A peer of the shm device that lies, dies or sends rubbish: it loses the link,
 * and we lose nothing. Each test ends with every buffer and chunk back.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "shm_rig.h"
#include "test.h"

static struct shm_rig r;

static struct shm_span arena_span(uint64_t at, uint64_t bytes)
{
	return (struct shm_span){ SHM_COPIES_BYTES + at, bytes };
}

/* A frame of the device's is out, by reference and in part copied. */
static struct tow_buf *send_some(void)
{
	static uint8_t outside[6000];
	struct tow_buf *buf = shm_rig_buf(&r, 52);
	size_t bytes;

	buf_add_span(buf, tow_shm_arena(r.dev, &bytes), 3000);
	buf_add_span(buf, outside, sizeof(outside));
	CHECK_EQ(shm_rig_tx(&r, buf), 1);
	return buf;
}

/* The link is gone, its socket too, and what was out is back. */
static void check_gone(void)
{
	struct tow_buf *none;
	uint8_t byte;

	CHECK_EQ(r.dev->ops->rx(r.dev, &none, 1), TOW_ENETDOWN);
	CHECK_EQ(r.dev->ops->tx(r.dev, &none, 1), TOW_ENETDOWN);
	CHECK_EQ(shm_of(r.dev)->chunks_left, SHM_CHUNKS);
	for (unsigned i = 0; i < SHM_REFS; i++)
		CHECK(!shm_of(r.dev)->refs[i].out);
	shm_rig_end_loans(&r);
	if (r.fd >= 0) {
		while (recv(r.fd, &byte, 1, MSG_DONTWAIT) > 0)
			; /* its hello */
		CHECK_LE(send(r.fd, "", 1, MSG_NOSIGNAL), 0);
	}
	shm_rig_flush(&r);
}

/* ---------------------------------------------------------- frames that lie */

struct bad_frame {
	const char *what;
	struct shm_head head;
	struct shm_span span;
	unsigned spans; /* copies of it */
};

#define GOOD_SPAN                     \
	{                             \
		SHM_COPIES_BYTES, 100 \
	}
static const struct bad_frame bad_frames[] = {
	{ "no head", { .ref = SHM_NO_REF }, { 0 }, 0 },
	{ "head above the room", { 241, 0, .ref = SHM_NO_REF }, { 0 }, 0 },
	{ "head of 255", { 255, 0, .ref = SHM_NO_REF }, { 0 }, 0 },
	{ "too many spans", { 40, 20, .ref = 0 }, GOOD_SPAN, 20 },
	{ "255 spans", { 40, 255, .ref = 0 }, GOOD_SPAN, 20 },
	{ "runs out of the slot", { 240, 19, .ref = 0 }, GOOD_SPAN, 19 },
	{ "flags", { 40, 0, .flags = 2, .ref = SHM_NO_REF }, { 0 }, 0 },
	{ "all flags", { 40, 0, .flags = 255, .ref = SHM_NO_REF }, { 0 }, 0 },
	{ "sum behind the head",
	  { 40, 0, 1, 20, 19, .ref = SHM_NO_REF },
	  { 0 },
	  0 },
	{ "sum far behind",
	  { 40, 0, 1, 255, 255, .ref = SHM_NO_REF },
	  { 0 },
	  0 },
	{ "reference without a span", { 40, 0, .ref = 1 }, { 0 }, 0 },
	{ "span without a reference",
	  { 40, 1, .ref = SHM_NO_REF },
	  GOOD_SPAN,
	  1 },
	{ "reference too high", { 40, 1, .ref = SHM_REFS }, GOOD_SPAN, 1 },
	{ "empty span", { 40, 1, .ref = 0 }, { SHM_COPIES_BYTES, 0 }, 1 },
	{ "span from the arena's end",
	  { 40, 1, .ref = 0 },
	  { SHM_COPIES_BYTES + RIG_ARENA, 1 },
	  1 },
	{ "span over the arena's end",
	  { 40, 1, .ref = 0 },
	  { SHM_COPIES_BYTES + RIG_ARENA - 10, 11 },
	  1 },
	{ "span out of the copies into the arena",
	  { 40, 1, .ref = 0 },
	  { SHM_COPIES_BYTES - 10, 11 },
	  1 },
	{ "span at the end of numbers",
	  { 40, 1, .ref = 0 },
	  { UINT64_MAX, 1 },
	  1 },
	{ "span that wraps", { 40, 1, .ref = 0 }, { UINT64_MAX - 4, 10 }, 1 },
	{ "span of all numbers",
	  { 40, 1, .ref = 0 },
	  { SHM_COPIES_BYTES, UINT64_MAX },
	  1 },
	{ "span whose low half is small",
	  { 40, 1, .ref = 0 },
	  { 0, UINT64_C(0x100000010) },
	  1 },
	{ "frame above an IP packet", { 40, 2, .ref = 0 }, { 0, 40000 }, 2 },
	{ "one byte above", { 40, 1, .ref = 0 }, { 0, 65496 }, 1 },
};

static void put_bad(const struct bad_frame *bad)
{
	struct shm_span spans[20];
	struct shm_head *head;

	for (unsigned i = 0; i < LENGTH(spans); i++)
		spans[i] = bad->span;
	head = shm_rig_frame(&r, 0, 40, spans, (uint8_t)bad->spans);
	*head = bad->head;
	shm_rig_show(&r);
}

TEST(a_frame_that_cannot_be_ends_the_link)
{
	for (unsigned i = 0; i < LENGTH(bad_frames); i++) {
		printf("# %s\n", bad_frames[i].what);
		shm_rig_open(&r);
		send_some();
		put_bad(&bad_frames[i]);
		check_gone();
		shm_rig_close(&r);
	}
}

TEST(frames_before_the_lie_are_still_received)
{
	shm_rig_open(&r);
	shm_rig_frame(&r, SHM_NO_REF, 40, NULL, 0);
	shm_rig_frame(&r, SHM_NO_REF, 41, NULL, 0);
	put_bad(&bad_frames[0]);
	CHECK_EQ(shm_rig_rx(&r), 2);
	check_gone();
	shm_rig_close(&r);
}

/* The peer has mended it by the next call: it lied all the same. */
TEST(a_lie_behind_a_good_frame_is_not_forgotten)
{
	struct shm_head *head;

	shm_rig_open(&r);
	shm_rig_frame(&r, SHM_NO_REF, 40, NULL, 0);
	head = shm_rig_frame(&r, SHM_NO_REF, 41, NULL, 0);
	head->head_bytes = 255;
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	head->head_bytes = 41;
	check_gone();
	shm_rig_close(&r);
}

TEST(a_reference_twice_behind_a_good_frame_is_not_forgotten)
{
	struct shm_span span = arena_span(0, 100);

	shm_rig_open(&r);
	shm_rig_frame(&r, 9, 40, &span, 1);
	shm_rig_frame(&r, 9, 40, &span, 1);
	shm_rig_frame(&r, SHM_NO_REF, 41, NULL, 0);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	shm_rig_flush(&r); /* the end of the same poll is soon enough */
	CHECK(shm_of(r.dev)->peer == NULL);
	CHECK_MEM(r.got[0]->spans[1].ptr, r.arena, 100);
	check_gone();
	shm_rig_close(&r);
}

TEST(a_lie_found_behind_a_frame_that_was_sent_is_not_forgotten)
{
	struct tow_buf *bufs[2];

	shm_rig_open(&r);
	for (unsigned i = 0; i < RIG_SLOTS - 1; i++)
		CHECK_EQ(shm_rig_tx(&r, shm_rig_buf(&r, 52)), 1);
	shm_rig_end_loans(&r);
	shm_rig_words(&r)->received = RIG_SLOTS + 1;
	for (unsigned i = 0; i < LENGTH(bufs); i++)
		bufs[i] = shm_rig_buf(&r, 52);
	CHECK_EQ(r.dev->ops->tx(r.dev, bufs, 2), 1);
	shm_rig_words(&r)->received = 1;
	CHECK_EQ(shm_rig_tx(&r, bufs[1]), TOW_ENETDOWN);
	tow_buf_give(bufs[1]);
	check_gone();
	shm_rig_close(&r);
}

TEST(a_reference_that_is_held_here_cannot_come_again)
{
	struct shm_span span = arena_span(0, 100);

	shm_rig_open(&r);
	shm_rig_frame(&r, 9, 40, &span, 1);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	shm_rig_frame(&r, 9, 40, &span, 1);
	shm_rig_show(&r);
	check_gone();
	shm_rig_close(&r);
}

/* The copy is what counts: what is written to the slot later changes nothing.
 */
TEST(a_slot_that_changes_after_it_was_taken_changes_nothing)
{
	struct shm_span span = arena_span(0, 100);
	struct shm_head *head;

	shm_rig_open(&r);
	head = shm_rig_frame(&r, 3, 40, &span, 1);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	memset(head, 0xff, SHM_SLOT_BYTES);
	CHECK_EQ(r.got[0]->bytes, 140);
	CHECK_EQ(((const uint8_t *)r.got[0]->spans[0].ptr)[39], 40);
	shm_rig_give(&r, 0);
	shm_rig_end_loans(&r);
	CHECK_EQ(((uint16_t *)(void *)(r.theirs.rings + SHM_RETURNED_AT))[0],
		 3);
	shm_rig_close(&r);
}

/* --------------------------------------------------------- numbers that lie */

TEST(more_frames_than_slots_are_a_lie)
{
	static const uint32_t sent[] = { RIG_SLOTS + 1, 1u << 31, UINT32_MAX };

	for (unsigned i = 0; i < LENGTH(sent); i++) {
		shm_rig_open(&r);
		send_some();
		shm_rig_words(&r)->sent = sent[i];
		check_gone();
		shm_rig_close(&r);
	}
}

TEST(a_number_of_frames_that_goes_back_is_a_lie)
{
	shm_rig_open(&r);
	shm_rig_frame(&r, SHM_NO_REF, 40, NULL, 0);
	shm_rig_frame(&r, SHM_NO_REF, 40, NULL, 0);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 2);
	shm_rig_words(&r)->sent = 1;
	check_gone();
	shm_rig_close(&r);
}

TEST(taking_more_than_was_sent_is_a_lie)
{
	struct tow_buf *buf;

	shm_rig_open(&r);
	for (unsigned i = 0; i < RIG_SLOTS; i++)
		CHECK_EQ(shm_rig_tx(&r, shm_rig_buf(&r, 52)), 1);
	shm_rig_words(&r)->received = RIG_SLOTS + 1;
	shm_rig_end_loans(&r);
	buf = shm_rig_buf(&r, 52);
	CHECK_EQ(shm_rig_tx(&r, buf), TOW_ENETDOWN);
	tow_buf_give(buf);
	check_gone();
	shm_rig_close(&r);
}

/* What the peer says that it has returned, in order; the last is the lie. */
static void check_returns(const uint16_t *numbers, unsigned count)
{
	shm_rig_open(&r);
	send_some();
	CHECK_EQ(shm_rig_slot(&r, 0)->ref, 0);
	for (unsigned i = 0; i < count; i++)
		shm_rig_return(&r, numbers[i]);
	r.dev->ops->flush(r.dev);
	check_gone();
	shm_rig_close(&r);
}

TEST(a_reference_comes_back_once_and_only_if_it_was_out)
{
	check_returns((const uint16_t[]){ 1 }, 1); /* never sent */
	check_returns((const uint16_t[]){ 0, 0 }, 2);
	check_returns((const uint16_t[]){ SHM_REFS }, 1);
	check_returns((const uint16_t[]){ SHM_NO_REF }, 1);
}

TEST(more_returned_than_there_are_references_is_a_lie)
{
	shm_rig_open(&r);
	send_some();
	shm_rig_words(&r)->returned = SHM_REFS + 1;
	r.dev->ops->flush(r.dev);
	check_gone();
	shm_rig_close(&r);
}

/* Looking for room finds the lie as well. */
TEST(a_lie_found_while_sending_ends_the_link)
{
	struct tow_buf *buf;

	shm_rig_open(&r);
	send_some();
	shm_of(r.dev)->chunks_left = 0;
	shm_rig_return(&r, 99);
	buf = shm_rig_buf(&r, 52);
	buf_add_span(buf, r.ledger.copied_bytes, 400 / 8 * 8);
	shm_of(r.dev)->chunks_left = 0;
	buf->spans[1].len = 104;
	buf->bytes = 52 + 104;
	buf_add_span(buf, r.memory, 2000);
	CHECK_EQ(shm_rig_tx(&r, buf), TOW_ENETDOWN);
	tow_buf_give(buf);
	shm_of(r.dev)->chunks_left = SHM_CHUNKS;
	check_gone();
	shm_rig_close(&r);
}

TEST(a_peer_that_sleeps_and_wakes_all_the_time_costs_a_bell_each)
{
	shm_rig_open(&r);
	for (uint32_t i = 0; i < 5000; i++) {
		shm_rig_words(&r)->rest = 2 * i + 1;
		shm_rig_words(&r)->received = i;
		CHECK_EQ(shm_rig_tx(&r, shm_rig_buf(&r, 52)), 1);
		shm_rig_flush(
			&r); /* the bell is full at some time, and stays so */
	}
	shm_rig_close(&r);
}

/* --------------------------------------------- a peer that writes all along */

static _Atomic bool scribbles;

/*
 * Slots change under the device's eyes: mostly into good frames, whose spans
 * are too long for a moment now and then.
 */
static void *scribble(void *unused)
{
	volatile uint64_t *slots = (void *)(r.rings + SHM_SLOTS_AT);
	volatile uint32_t *sent = (void *)r.rings;
	uint64_t dice = 88172645463325252u;

	(void)unused;
	while (scribbles) {
		volatile uint64_t *slot;
		struct shm_head head = { .head_bytes = 40, .span_count = 1 };
		uint64_t word;

		dice ^= dice << 13;
		dice ^= dice >> 7;
		dice ^= dice << 17;
		slot = slots + dice % RIG_SLOTS * (SHM_SLOT_BYTES / 8);
		head.ref = (uint16_t)(dice >> 8 & (SHM_REFS - 1));
		memcpy(&word, &head, sizeof(word));
		slot[0] = word;
		slot[1] = SHM_COPIES_BYTES + (dice >> 20) % (RIG_ARENA - 100);
		if (dice >> 60 == 0) {
			slot[0] = dice;
			slot[2] = UINT64_MAX;
		}
		slot[2] = 100;
		slot[0] = word;
		*sent = shm_rig_device_words(&r)->received + RIG_SLOTS / 2;
	}
	return NULL;
}

static void check_lies_where_it_may(const struct tow_buf *buf)
{
	const struct shm_peer *peer = buf->loan_first;

	for (unsigned i = 1; i < buf->span_count; i++) {
		const uint8_t *p = buf->spans[i].ptr;
		size_t at = (size_t)(p - (const uint8_t *)peer->arena);
		size_t copy = (size_t)(p - (const uint8_t *)peer->rings);

		CHECK(at < RIG_ARENA || copy < peer->rings_bytes);
		CHECK(at < RIG_ARENA
			      ? buf->spans[i].len <= RIG_ARENA - at
			      : buf->spans[i].len <= peer->rings_bytes - copy);
	}
}

TEST(a_peer_that_writes_while_we_read_is_found_out)
{
	uint64_t received = 0;
	pthread_t thread;

	for (unsigned round = 0; round < 300; round++) {
		shm_rig_open(&r);
		scribbles = true;
		CHECK_EQ(pthread_create(&thread, NULL, scribble, NULL), 0);
		for (unsigned i = 0; i < 2000; i++) {
			unsigned before = r.got_count;

			if (shm_rig_rx(&r) < 0)
				break;
			received += r.got_count - before;
			while (before < r.got_count)
				check_lies_where_it_may(r.got[before++]);
			if (r.got_count > 32)
				shm_rig_give_all(&r);
			shm_rig_flush(&r);
		}
		scribbles = false;
		pthread_join(thread, NULL);
		shm_rig_close(&r);
	}
	printf("# %llu frames got through\n", (unsigned long long)received);
}

/* ------------------------------------------------------- greetings that lie */

enum {
	HONEST,
	BAD_MAGIC,
	BAD_VERSION,
	SLOTS_ODD,
	SLOTS_FEW,
	SLOTS_MANY,
	SLOTS_ZERO,
	OTHER_SLOTS,
	ARENA_HUGE,
	ARENA_LARGER,
	ARENA_SMALLER,
	NO_ARENA_BUT_FILE,
	SHORT,
	LONG,
	EMPTY,
	NO_FILES,
	ONE_FILE,
	THREE_FILES,
	UNSEALED,
	ARENA_UNSEALED,
	PIPE,
	DISK_FILE,
	SOCKET,
	DIRECTORY,
	HUGE_PAGES,
	GREETINGS,
};

static int other_file(int kind)
{
	char name[] = "/tmp/tow-shm-XXXXXX";
	int fds[2] = { -1, -1 };

	switch (kind) {
	case PIPE:
		CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
		close(fds[1]);
		return fds[0];
	case DISK_FILE:
		fds[0] = mkstemp(name);
		unlink(name);
		CHECK_EQ(ftruncate(fds[0], (off_t)shm_rings_bytes(RIG_SLOTS)),
			 0);
		return fds[0];
	case SOCKET:
		return socket(AF_UNIX, SOCK_STREAM, 0);
	case DIRECTORY:
		return open("/", O_RDONLY | O_DIRECTORY);
	case HUGE_PAGES:
		fds[0] = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING);
		if (fds[0] < 0) /* a kernel without */
			return shm_rig_memory(4096, 0);
		(void)!ftruncate(fds[0], 32 << 20);
		CHECK_EQ(fcntl(fds[0], F_ADD_SEALS, F_SEAL_SHRINK), 0);
		return fds[0];
	default:
		return shm_rig_memory(shm_rings_bytes(RIG_SLOTS), 0);
	}
}

static void greet_badly(int kind)
{
	struct {
		struct shm_rig_greeting hello;
		uint64_t more;
	} said = { .hello = shm_rig_greeting() };
	size_t bytes = sizeof(said.hello);
	unsigned files = 2;
	int fds[3] = { r.rings_fd, r.arena_fd, r.rings_fd }, other = -1;

	switch (kind) {
	case BAD_MAGIC:
		said.hello.magic++;
		break;
	case BAD_VERSION:
		said.hello.version++;
		break;
	case SLOTS_ODD:
		said.hello.slots = 17;
		break;
	case SLOTS_FEW:
		said.hello.slots = 8;
		break;
	case SLOTS_MANY:
		said.hello.slots = 1u << 31;
		break;
	case SLOTS_ZERO:
		said.hello.slots = 0;
		break;
	case OTHER_SLOTS:
		said.hello.slots = 32;
		break;
	case ARENA_HUGE:
		said.hello.arena_bytes = UINT64_MAX;
		break;
	case ARENA_LARGER:
		said.hello.arena_bytes++;
		break;
	case ARENA_SMALLER:
		said.hello.arena_bytes--;
		break;
	case NO_ARENA_BUT_FILE:
		said.hello.arena_bytes = 0;
		break;
	case SHORT:
		bytes--;
		break;
	case LONG:
		bytes++;
		break;
	case EMPTY:
		bytes = 0;
		break;
	case NO_FILES:
		files = 0;
		break;
	case ONE_FILE:
		files = 1;
		break;
	case THREE_FILES:
		files = 3;
		break;
	case ARENA_UNSEALED:
		fds[1] = other = shm_rig_memory(RIG_ARENA, 0);
		break;
	case UNSEALED:
	case PIPE:
	case DISK_FILE:
	case SOCKET:
	case DIRECTORY:
	case HUGE_PAGES:
		fds[0] = other = other_file(kind);
		break;
	}
	shm_rig_greet(&r, &said, bytes, fds, files);
	if (other >= 0)
		close(other);
}

TEST(a_greeting_that_cannot_be_ends_the_link)
{
	for (int kind = HONEST + 1; kind < GREETINGS; kind++) {
		printf("# greeting %d\n", kind);
		shm_rig_open_silent(&r, NULL);
		shm_rig_make_memory(&r, RIG_SLOTS, RIG_ARENA);
		greet_badly(kind);
		CHECK_EQ(shm_rig_rx(&r), TOW_ENETDOWN);
		check_gone();
		shm_rig_close(&r);
	}
}

TEST(an_arena_above_what_is_allowed_is_refused)
{
	struct tow_shm how;

	tow_shm_default(&how);
	how.peer_arena_bytes_max = RIG_ARENA - 1;
	shm_rig_open_silent(&r, &how);
	shm_rig_make_memory(&r, RIG_SLOTS, RIG_ARENA);
	greet_badly(HONEST);
	CHECK_EQ(shm_rig_rx(&r), TOW_ENETDOWN);
	shm_rig_close(&r);
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

TEST(descriptors_that_come_with_the_bell_are_not_kept)
{
	unsigned before;
	int fds[2];

	shm_rig_open(&r);
	fds[0] = r.rings_fd;
	fds[1] = r.arena_fd;
	before = open_files();
	for (unsigned i = 0; i < 8; i++)
		shm_rig_greet(&r, "bell", 4, fds, 2);
	r.dev->now_us += 100000;
	CHECK_EQ(shm_rig_rx(&r), 0);
	CHECK_EQ(open_files(), before);
	shm_rig_close(&r);
}

/* ---------------------------------------------------------------- its death */

static void die(void)
{
	close(r.fd);
	r.fd = -1;
	r.dev->now_us += 100000;
}

TEST(a_peer_dead_before_its_hello)
{
	struct tow_buf *buf;

	shm_rig_open_silent(&r, NULL);
	CHECK_EQ(shm_rig_rx(&r), 0);
	buf = shm_rig_buf(&r, 52);
	CHECK_EQ(shm_rig_tx(&r, buf), 0); /* it waits */
	tow_buf_give(buf);
	die();
	CHECK_EQ(shm_rig_rx(&r), TOW_ENETDOWN);
	check_gone();
	shm_rig_close(&r);
}

TEST(a_peer_dead_right_after_its_hello)
{
	shm_rig_open_silent(&r, NULL);
	shm_rig_make_memory(&r, RIG_SLOTS, RIG_ARENA);
	greet_badly(HONEST);
	shm_rig_hear(&r);
	die();
	CHECK_EQ(shm_rig_rx(&r), 0);
	r.dev->now_us += 100000;
	check_gone();
	shm_rig_close(&r);
}

TEST(what_a_dead_peer_has_sent_is_still_received)
{
	struct shm_span span = arena_span(100, 100);

	shm_rig_open(&r);
	shm_rig_frame(&r, SHM_NO_REF, 40, NULL, 0);
	shm_rig_frame(&r, 5, 40, &span, 1);
	shm_rig_show(&r);
	die();
	CHECK_EQ(shm_rig_rx(&r), 2);
	check_gone();
	CHECK_MEM(r.got[1]->spans[1].ptr, r.arena + 100, 100);
	shm_rig_close(&r);
}

/* Borrowed bytes stay where they are until they are returned. */
TEST(what_is_borrowed_of_a_dead_peer_stays_readable)
{
	struct shm_span span = arena_span(100, 100);

	shm_rig_open(&r);
	shm_rig_frame(&r, 5, 40, &span, 1);
	shm_rig_frame(&r, 6, 40, &span, 1);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 2);
	die();
	check_gone();
	CHECK_MEM(r.got[0]->spans[1].ptr, r.arena + 100, 100);
	CHECK(shm_of(r.dev)->over != NULL);
	shm_rig_give(&r, 0);
	shm_rig_end_loans(&r);
	CHECK_MEM(r.got[0]->spans[1].ptr, r.arena + 100, 100);
	shm_rig_give(&r, 0);
	shm_rig_end_loans(&r);
	CHECK(shm_of(r.dev)->over == NULL); /* the last unmaps it */
	shm_rig_close(&r);
}

TEST(loans_end_when_the_peer_that_has_them_dies)
{
	struct tow_buf *buf;

	shm_rig_open(&r);
	buf = tow_buf_ref(send_some());
	CHECK_EQ(buf->refs, 2);
	die();
	check_gone();
	CHECK_EQ(buf->refs, 1);
	tow_buf_give(buf);
	shm_rig_close(&r);
}

/* tx meets the end first; the frames are lost as on a cut wire. */
TEST(a_peer_that_dies_while_we_send)
{
	shm_rig_open(&r);
	shm_rig_words(&r)->rest = 1;
	die();
	r.dev->now_us -= 100000; /* not time to look yet */
	send_some();
	shm_rig_flush(&r); /* rings, and hears that nobody is there */
	CHECK_EQ(r.dev->next_us, r.dev->now_us);
	CHECK_EQ(shm_rig_tx(&r, shm_rig_buf(&r, 52)), 1);
	CHECK_EQ(r.dev->tx_lost, 1);
	CHECK_EQ(shm_rig_rx(&r), TOW_ENETDOWN);
	check_gone();
	shm_rig_close(&r);
}

TEST(closing_with_everything_out_gives_everything_back)
{
	struct shm_span span = arena_span(100, 100);

	shm_rig_open(&r);
	for (unsigned i = 0; i < 3; i++)
		send_some();
	shm_rig_frame(&r, 6, 40, &span, 1);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	shm_rig_close(&r);
}

TEST(closing_after_the_peer_died_with_loans_of_it_in_hand)
{
	struct shm_span span = arena_span(100, 100);
	struct tow_buf *buf;

	shm_rig_open(&r);
	shm_rig_frame(&r, 6, 40, &span, 1);
	shm_rig_show(&r);
	CHECK_EQ(shm_rig_rx(&r), 1);
	die();
	check_gone();
	/* As tow_close() does: nobody looks at the buffer again. */
	buf = r.got[0];
	r.got_count = 0;
	r.dev->ops->close(r.dev);
	r.dev = NULL;
	buf->lender = NULL;
	tow_buf_give(buf);
	CHECK_EQ(r.pool.bufs_left, RIG_BUFS);
	pool_close(&r.pool);
	free(r.memory);
}
