/* SPDX-License-Identifier: BSD-2-Clause */
#include "shm_rig.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "test.h"

static int lender; /* of what the device sends */

int shm_rig_memory(size_t bytes, int seals)
{
	int fd = memfd_create("rig", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK_GE(fd, 0);
	CHECK_EQ(ftruncate(fd, (off_t)bytes), 0);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static uint8_t *map(int fd, size_t bytes, int protection)
{
	uint8_t *base = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);

	CHECK(base != MAP_FAILED);
	return base;
}

struct shm_rig_greeting shm_rig_greeting(void)
{
	return (struct shm_rig_greeting){ .magic = 0x6d6873776f74u,
					  .version = 1,
					  .slots = RIG_SLOTS,
					  .arena_bytes = RIG_ARENA };
}

void shm_rig_make_memory(struct shm_rig *r, uint32_t slots, size_t arena_bytes)
{
	size_t bytes = shm_rings_bytes(slots);

	r->rings_fd = shm_rig_memory(bytes, F_SEAL_SHRINK);
	r->arena_fd = shm_rig_memory(arena_bytes, F_SEAL_SHRINK);
	r->rings = map(r->rings_fd, bytes, PROT_READ | PROT_WRITE);
	r->arena = map(r->arena_fd, arena_bytes, PROT_READ | PROT_WRITE);
	for (size_t i = 0; i < arena_bytes; i++)
		r->arena[i] = (uint8_t)(i * 7 + i / 256);
}

void shm_rig_greet(struct shm_rig *r, const void *hello, size_t bytes,
		   const int *fds, unsigned count)
{
	union {
		struct cmsghdr header;
		uint8_t room[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)hello, bytes };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	memset(&control, 0, sizeof(control));
	if (count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	CHECK_EQ(sendmsg(r->fd, &message, MSG_NOSIGNAL), bytes);
}

void shm_rig_hear(struct shm_rig *r)
{
	struct shm_rig_greeting hello;
	union {
		struct cmsghdr header;
		uint8_t room[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec iov = { &hello, sizeof(hello) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fds[2];

	CHECK_EQ(recvmsg(r->fd, &message, MSG_DONTWAIT), sizeof(hello));
	CHECK_EQ(control.header.cmsg_len, CMSG_LEN(sizeof(fds)));
	memcpy(fds, CMSG_DATA(&control.header), sizeof(fds));
	r->theirs.slots = hello.slots;
	r->theirs.arena_bytes = hello.arena_bytes;
	r->theirs.rings = map(fds[0], shm_rings_bytes(hello.slots), PROT_READ);
	r->theirs.arena = map(fds[1], hello.arena_bytes, PROT_READ);
	/* The device's memory cannot be written by anyone else. */
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0) ==
	      MAP_FAILED);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0) ==
	      MAP_FAILED);
	CHECK_NE(ftruncate(fds[0], 0), 0);
	CHECK_NE(ftruncate(fds[1], 0), 0);
	CHECK_LT(pwrite(fds[1], "x", 1, 0), 0);
	CHECK_NE(fallocate(fds[1], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   0, 4096),
		 0);
	close(fds[0]);
	close(fds[1]);
}

void shm_rig_open_silent(struct shm_rig *r, const struct tow_shm *how)
{
	size_t need = pool_need(RIG_BUFS, RIG_CHUNKS, RIG_CHUNK);
	struct tow_shm small;
	int fds[2];

	memset(r, 0, sizeof(*r));
	r->rings_fd = r->arena_fd = -1;
	tow_shm_default(&small);
	small.arena_bytes = RIG_ARENA;
	small.ring_frames = RIG_SLOTS;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	r->fd = fds[1];
	CHECK_EQ(tow_shm_open(&r->dev, fds[0], how ? how : &small), 0);

	r->memory = aligned_alloc(RIG_CHUNK, (need + RIG_CHUNK - 1) /
						     RIG_CHUNK * RIG_CHUNK);
	pool_init(&r->pool, r->memory, RIG_BUFS, RIG_CHUNKS, RIG_CHUNK,
		  &r->found_empty);
	r->dev->pool = &r->pool;
	r->dev->ledger = &r->ledger;
	r->dev->now_us = 1000000;
}

void shm_rig_open(struct shm_rig *r)
{
	struct shm_rig_greeting hello = shm_rig_greeting();
	int fds[2];

	shm_rig_open_silent(r, NULL);
	shm_rig_make_memory(r, RIG_SLOTS, RIG_ARENA);
	fds[0] = r->rings_fd;
	fds[1] = r->arena_fd;
	shm_rig_greet(r, &hello, sizeof(hello), fds, 2);
	shm_rig_hear(r);
	CHECK_EQ(shm_rig_rx(r), 0);
	CHECK(shm_of(r->dev)->peer != NULL);
}

void shm_rig_close(struct shm_rig *r)
{
	shm_rig_give_all(r);
	shm_rig_end_loans(r);
	r->dev->ops->close(r->dev);
	r->dev = NULL;
	shm_rig_end_loans(r);
	CHECK_EQ(r->pool.bufs_left, RIG_BUFS);
	CHECK_EQ(r->pool.chunks_left, RIG_CHUNKS);
	pool_close(&r->pool);
	free(r->memory);
	if (r->fd >= 0)
		close(r->fd);
	if (r->rings)
		munmap(r->rings, shm_rings_bytes(RIG_SLOTS));
	if (r->arena)
		munmap(r->arena, RIG_ARENA);
	if (r->theirs.rings) {
		munmap(r->theirs.rings, shm_rings_bytes(r->theirs.slots));
		munmap((void *)(uintptr_t)r->theirs.arena,
		       r->theirs.arena_bytes);
	}
	close(r->rings_fd);
	close(r->arena_fd);
}

/* ----------------------------------------------------------------- the peer */

struct shm_words *shm_rig_words(struct shm_rig *r)
{
	return (struct shm_words *)(void *)(r->rings + SHM_WORDS_AT);
}

const struct shm_words *shm_rig_device_words(struct shm_rig *r)
{
	return (const struct shm_words *)(void *)(r->theirs.rings +
						  SHM_WORDS_AT);
}

struct shm_head *shm_rig_frame(struct shm_rig *r, uint16_t ref,
			       uint8_t head_bytes, const struct shm_span *spans,
			       uint8_t span_count)
{
	uint8_t *slot =
		r->rings + SHM_SLOTS_AT + r->sent % RIG_SLOTS * SHM_SLOT_BYTES;
	struct shm_head *head = (void *)slot;
	size_t at = sizeof(*head) + span_count * sizeof(*spans);

	*head = (struct shm_head){ .head_bytes = head_bytes,
				   .span_count = span_count,
				   .ref = ref };
	if (span_count)
		memcpy(slot + sizeof(*head), spans,
		       span_count * sizeof(*spans));
	for (unsigned i = 0; i < head_bytes && at + i < SHM_SLOT_BYTES; i++)
		slot[at + i] = (uint8_t)(i + 1);
	r->sent++;
	return head;
}

void shm_rig_show(struct shm_rig *r)
{
	atomic_store(&shm_rig_words(r)->sent, r->sent);
}

const struct shm_head *shm_rig_slot(struct shm_rig *r, uint32_t n)
{
	return (const void *)(r->theirs.rings + SHM_SLOTS_AT +
			      n % r->theirs.slots * SHM_SLOT_BYTES);
}

const struct shm_span *shm_rig_slot_span(struct shm_rig *r, uint32_t n,
					 unsigned i)
{
	return (const struct shm_span *)(const void *)(shm_rig_slot(r, n) + 1) +
	       i;
}

const uint8_t *shm_rig_slot_head(struct shm_rig *r, uint32_t n)
{
	return (const void *)shm_rig_slot_span(r, n,
					       shm_rig_slot(r, n)->span_count);
}

const uint8_t *shm_rig_at(struct shm_rig *r, uint64_t at)
{
	if (at < SHM_COPIES_BYTES)
		return r->theirs.rings + shm_copies_at(r->theirs.slots) + at;
	return r->theirs.arena + (at - SHM_COPIES_BYTES);
}

void shm_rig_return(struct shm_rig *r, uint16_t ref)
{
	uint16_t *ring = (void *)(r->rings + SHM_RETURNED_AT);

	ring[r->returned++ % SHM_REFS] = ref;
	atomic_store(&shm_rig_words(r)->returned, r->returned);
}

/* --------------------------------------------------------------- the device */

int shm_rig_rx(struct shm_rig *r)
{
	int n = r->dev->ops->rx(r->dev, r->got + r->got_count,
				(unsigned)LENGTH(r->got) - r->got_count);

	if (n > 0)
		r->got_count += (unsigned)n;
	return n;
}

void shm_rig_end_loans(struct shm_rig *r)
{
	struct tow_buf *buf;

	while ((buf = pool_take_done(&r->pool))) {
		if (buf->owner_kind == BUF_OWNER_DEVICE && r->dev)
			r->dev->ops->returned(r->dev, buf);
		pool_reclaim(buf);
	}
}

void shm_rig_flush(struct shm_rig *r)
{
	r->dev->ops->flush(r->dev);
	shm_rig_end_loans(r);
}

void shm_rig_give(struct shm_rig *r, unsigned i)
{
	tow_buf_give(r->got[i]);
	r->got[i] = r->got[--r->got_count];
}

void shm_rig_give_all(struct shm_rig *r)
{
	while (r->got_count)
		shm_rig_give(r, 0);
}

struct tow_buf *shm_rig_buf(struct shm_rig *r, uint32_t head_bytes)
{
	struct tow_buf *buf = tow_buf_take(&r->pool);

	CHECK(buf != NULL);
	tow_buf_set_head(buf, 0, head_bytes);
	for (unsigned i = 0; i < head_bytes; i++)
		buf->room[i] = (uint8_t)(200 - i);
	buf->lender = &lender;
	buf->owner_kind = BUF_OWNER_TCP;
	return buf;
}

int shm_rig_tx(struct shm_rig *r, struct tow_buf *buf)
{
	return r->dev->ops->tx(r->dev, &buf, 1);
}
