/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_SHM_H
#define TOW_SHM_H

#include <stddef.h>
#include <stdint.h>
#include <tow/dev.h>
#include <tow/mark.h>

/*
 * Shared memory: a link between two stacks on one machine, in two processes or
 * in two threads, that carries payload by reference.
 *
 * Each end has an arena: memory that the other end can read. What a program
 * lends out of it crosses the link as an offset and a length; the receiver
 * borrows the sender's own bytes, and they are copied by nobody. Payload from
 * anywhere else is copied once, by the sending end (TOW_COPY_TX_SHAPE).
 *
 *	 sender                                    receiver
 *	+-----------+   offset, length, headers   +-----------+
 *	| stack     | --------- ring -----------> | stack     |
 *	| lend -----+-->+---------+               |           |
 *	|           |   | arena   | <- - borrow - +           |
 *	+-----------+   +---------+  mapped here  +-----------+
 *	                             read only
 *
 * The ends need not trust each other. Neither can write what the other reads
 * its own state from, and all that one reads of the other's is checked. A peer
 * that lies, or dies, costs this link: TOW_EVENT_DEVICE comes, connections over
 * it fail, and every loan ends. What the peer keeps is the power over its own
 * bytes: borrowed ones can change while they are looked at. A program that
 * parses what it does not trust copies it first (tow_tcp_recv()).
 *
 * A loan ends when it is acknowledged and the peer's program has returned what
 * it borrowed of it. A peer that returns nothing keeps it for as long as the
 * link is up.
 *
 * Hosted only: memory files, a socket. On a command line the device is named
 * "shm:path=FILE", see tow-devices(7).
 *
 * Example: examples/shm-pair.c
 */
struct tow_shm {
	size_t arena_bytes;	     /* of ours; 0: none */
	size_t peer_arena_bytes_max; /* a peer with a larger one is refused */
	uint32_t ring_frames; /* on their way to the peer; a power of two from
			       * 16 to 4096 */
	uint32_t mtu;	      /* IP bytes per packet, 576..65535 */
	uint64_t spin_us; /* look that long for more before going to sleep, if
			   * that has been long enough lately; 0: sleep */
};

TOW_BEGIN
/*
 * tow_shm_default() - 64 MiB of arena, packets of 65535 bytes
 *
 * Memory that nobody writes to costs nothing.
 */
TOW_API void tow_shm_default(struct tow_shm *how);

/*
 * tow_shm_pair() - a link with both ends in this process
 * @how: of each end; NULL is the default
 *
 * Each end may belong to a stack of another thread.
 *
 * Owns:    the caller, until tow_attach() or dev->ops->close(dev).
 * Returns: 0, TOW_EINVAL (@how makes no sense), TOW_ENOMEM.
 */
TOW_API int tow_shm_pair(struct tow_dev *out[2],
			 const struct tow_shm *how) TOW_MUST_USE;

/*
 * tow_shm_open() - one end of a link, over a socket that leads to the other
 * @socket: a connected AF_UNIX socket of type SOCK_SEQPACKET; its other end is
 *          given to tow_shm_open() too, in any process
 *
 * Until the other end is there, what is sent waits.
 *
 * Owns:    takes @socket, whatever it returns. The device is the caller's,
 *          until tow_attach() or dev->ops->close(dev).
 * Returns: 0, TOW_EINVAL, TOW_ENOMEM, TOW_EIO.
 */
TOW_API int tow_shm_open(struct tow_dev **out, int socket,
			 const struct tow_shm *how) TOW_MUST_USE;

/*
 * tow_shm_arena() - the memory from which payload goes by reference
 * @dev: made by any of the calls here, or by tow_dev_open() with "shm:…", also
 *       with wrappers around it
 *
 * The program's to use as it likes, zero at first. The peer can read all of it
 * at any time, and so can a peer that is gone.
 *
 * Returns: the first of @bytes bytes, aligned to a page, valid until the device
 *          is closed; NULL when there is none.
 */
TOW_API void *tow_shm_arena(const struct tow_dev *dev, size_t *bytes);
TOW_END

#endif
