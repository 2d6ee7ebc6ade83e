/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shm driver: a link to a stack in another process or thread, through
 * memory.
 *
 * Theory of operation
 *
 *	 our process                                  the peer's
 *	+---------------------+                      +--------------------+
 *	| rings (ours)   r/w  |<------ mapped ------>| rings        read  |
 *	| arena (ours)   r/w  |<------ mapped ------>| arena        read  |
 *	| rings (peer's) read |<------ mapped ------>| rings        r/w   |
 *	| arena (peer's) read |<------ mapped ------>| arena        r/w   |
 *	+---------------------+                      +--------------------+
 *	           |                                     |
 *	           +------------- socket ----------------+
 *	             greeting, then the bell, then its end
 *
 * What lies in the memory is in shm_ring.h. A frame's headers go through a slot
 * and are copied into the header room once. Payload that lies in the sender's
 * arena goes as a span; any other is copied by the sender, into the slot if the
 * whole frame fits there, else into chunks behind the slots. The receiver's
 * buffer points at the sender's memory (tow_buf_add_foreign()); when the stack
 * says that nobody refers to it, the reference goes back, and only then does
 * the sender give its own buffer back and end the loan. The peer is a device
 * with DMA.
 *
 * Trust. The peer can write its own two files and nothing else of what we look
 * at. Everything read of them is checked once (shm_ring.c); what cannot be ends
 * the link: shm_end() takes back all that is out. A lie is never forgotten
 * (lied), though what one call found before it counts, and the end waits for the
 * next call. Files are sealed against shrinking, so no access can fault. A peer
 * that holds references for ever only stops its own link, as a NIC that is
 * stuck; but one that is slow because its programs are must not stop its other
 * connections. So the receiver copies, with a reason, once half of what the
 * sender has is held on its side.
 *
 * Sleep. An end that found nothing for a while says in its word `rest` that it
 * sleeps; the peer that publishes something then sends a byte through the
 * socket. Both fence between their write and their read, so one of them sees
 * the other (shm_ring_must_ring()). While an end has not said so, it asks by
 * next_us to be polled at once, so it spins in whatever loop the program has.
 * The socket is the bell, and not an eventfd, because the flags of an eventfd
 * are shared with the peer, who could make our write block; and because the
 * kernel closes it when the peer dies.
 *
 * Peers come and go. What belongs to one of them is in a struct shm_peer, which
 * outlives the link until the last buffer that points into its memory is back.
 * Our rings are new for each, so that none reads what the next one is told.
 */
#include "dev/shm.h"
#include <stdlib.h>
#include <string.h>

#define LOOK_US	   10000 /* how often a busy end looks for the peer's end */
#define ASLEEP_US  5	 /* and one that sleeps for the bell */
#define STARVED_US 1000
#define LONG_WAITS 8 /* as in host_wait.c */

int shm_new(struct shm **out, const struct tow_shm *how)
{
	struct shm *s = calloc(1, sizeof(*s));
	int error;

	if (!s)
		return TOW_ENOMEM;
	s->how = *how;
	s->arena.fd = s->rings.fd = -1;
	s->link.listen_fd = s->link.fd = s->link.wait_fd = -1;
	if (how->arena_bytes) {
		error = shm_file_make(&s->arena, "tow-arena", how->arena_bytes);
		if (error) {
			free(s);
			return error;
		}
	}
	s->dev.ops = &shm_ops;
	s->dev.caps = TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM | TOW_DEV_SPLIT |
		      TOW_DEV_ASYNC_TX | TOW_DEV_NO_LINK;
	s->dev.mtu = how->mtu;
	s->dev.spans_max = TOW_BUF_SPANS;
	s->dev.arena = (struct tow_span){ s->arena.base, how->arena_bytes };
	s->dev.next_us = UINT64_MAX;
	shm_send_init(s);
	*out = s;
	return 0;
}

/* ----------------------------------------------------------- peers come, go */

void shm_begin(struct shm *s, struct shm_peer *peer)
{
	ASSERT(!s->peer);
	s->peer = peer;
	s->lied = false;
	s->sleeps = false;
	s->worked = true;
	s->worked_us = s->dev.now_us;
}

void shm_end(struct shm *s)
{
	struct shm_peer *peer = s->peer;

	shm_give_all(s);
	shm_hang_up(s);
	s->peer = NULL;
	s->gone = s->link.listen_fd < 0;
	s->dev.next_us = s->dev.now_us;
	if (!peer)
		return;
	peer->over = true;
	if (!peer->held) {
		shm_peer_free(peer);
		return;
	}
	peer->next = s->over;
	s->over = peer;
}

/* ------------------------------------------------------------------ waiting */

void shm_show(struct shm *s)
{
	struct shm_ring *ring = &s->peer->ring;

	shm_ring_publish(ring);
	if (shm_ring_must_ring(ring))
		shm_ring_bell(s);
}

void shm_wake(struct shm *s)
{
	if (s->sleeps)
		shm_ring_wake(&s->peer->ring);
	s->sleeps = false;
}

/* There is work again: how long was the wait for it? As in host_wait.c. */
static void note_work(struct shm *s)
{
	uint64_t wait_us = s->dev.now_us - s->worked_us;

	wait_us = MIN(wait_us, LONG_WAITS * s->how.spin_us);
	s->wait_us = (7 * s->wait_us + wait_us) / 8;
	s->worked_us = s->dev.now_us;
	s->worked = false;
}

static bool keeps_spinning(const struct shm *s)
{
	return s->wait_us < s->how.spin_us &&
	       s->dev.now_us - s->worked_us < s->how.spin_us;
}

/* At the end of a poll: be called again at once, or sleep. */
static void rest(struct shm *s)
{
	uint64_t now_us = s->dev.now_us;

	if (s->worked) {
		note_work(s);
		shm_wake(s);
		s->dev.next_us = now_us;
	} else if (s->starved) {
		s->dev.next_us = now_us + STARVED_US;
	} else if (s->sleeps) {
		s->dev.next_us = UINT64_MAX;
	} else if (keeps_spinning(s)) {
		s->dev.next_us = now_us;
	} else {
		s->sleeps = shm_ring_sleep(&s->peer->ring);
		s->dev.next_us = s->sleeps ? UINT64_MAX : now_us;
	}
}

/* --------------------------------------------------------------- operations */

static bool is_time_to_look(const struct shm *s)
{
	uint64_t passed_us = s->dev.now_us - s->link.looked_us;

	return !s->peer || passed_us >= (s->sleeps ? ASLEEP_US : LOOK_US);
}

static int shm_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct shm *s = shm_of(dev);
	int got = 0;

	if (is_time_to_look(s) && !s->gone)
		shm_look(s);
	if (s->peer) {
		got = shm_receive(s, bufs, n);
		if (got == 0 && (s->lied || (s->link.hung_up && !s->starved)))
			shm_end(s);
	}
	if (got > 0) {
		s->worked = true;
		shm_wake(s);
	}
	return s->gone && got == 0 ? TOW_ENETDOWN : got;
}

/* As on a wire that leads nowhere. */
static int lose(struct shm *s, struct tow_buf *const *bufs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		tow_buf_give(bufs[i]);
	s->dev.tx_lost += n;
	return (int)n;
}

static int shm_tx(struct tow_dev *dev, struct tow_buf *const *bufs, unsigned n)
{
	struct shm *s = shm_of(dev);
	int sent;

	if (s->gone)
		return TOW_ENETDOWN;
	if (!s->peer && s->link.holds)
		return 0;
	if (!s->peer || s->link.hung_up)
		return lose(s, bufs, n);
	sent = s->lied ? 0 : shm_send(s, bufs, n);
	if (sent == 0 && s->lied) {
		shm_end(s);
		return s->gone ? TOW_ENETDOWN : 0;
	}
	if (sent > 0) {
		s->worked = true;
		s->dev.next_us = s->dev.now_us; /* the bell: in flush */
	}
	return sent;
}

static void shm_flush(struct tow_dev *dev)
{
	struct shm *s = shm_of(dev);

	if (!s->peer)
		return;
	if (s->lied || !shm_reap(s)) {
		shm_end(s);
		return;
	}
	shm_show(s);
	rest(s);
}

static int shm_wait_fd(struct tow_dev *dev)
{
	return shm_of(dev)->link.wait_fd;
}

/*
 * Sums are finished here only by not being looked at, so the peer's frames stay
 * partial whatever we do.
 */
static int shm_withdraw(struct tow_dev *dev, uint32_t caps)
{
	if (caps & dev->caps & TOW_DEV_RX_CSUM)
		return TOW_EOPNOTSUPP;
	dev->caps &= ~caps;
	return 0;
}

static void shm_close(struct tow_dev *dev)
{
	struct shm *s = shm_of(dev);
	struct shm_peer *peer;

	shm_end(s);
	while ((peer = s->over)) {
		s->over = peer->next;
		shm_peer_free(peer);
	}
	shm_give_spares(s);
	shm_link_close(s);
	shm_file_close(&s->arena);
	free(s);
}

const struct tow_dev_ops shm_ops = {
	.name = "shm",
	.rx = shm_rx,
	.tx = shm_tx,
	.flush = shm_flush,
	.wait_fd = shm_wait_fd,
	.returned = shm_returned,
	.close = shm_close,
	.withdraw = shm_withdraw,
};
