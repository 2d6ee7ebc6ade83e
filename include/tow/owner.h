/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_OWNER_H
#define TOW_OWNER_H

#include <stddef.h>
#include <stdint.h>
#include <tow/mark.h>

/*
 * Owners: what borrowers may hold, and for how long.
 *
 * Borrowed bytes lie in buffers that the device needs back. Whoever holds them
 * is trusted with the device's ring, and not everybody deserves that: a service
 * lends to its clients. An owner is a group that is trusted together, say all
 * connections and sockets of one client:
 *
 *	stack   tow_config.lend_bytes_max         all that is on loan
 *	  owner   budget_bytes, deadline_us       of one client
 *	    TCP connection   TOW_TCP_LEND_BYTES
 *	    UDP socket       TOW_UDP_LEND_BYTES
 *
 * What is on loan counts at its true cost: a byte keeps the whole buffer. A
 * loan that would go above one of the three budgets is made of plain memory,
 * the owner's refuge: the bytes are copied there ("budget" in the ledger), and
 * the device gets its buffer back. Without a refuge, or when it is full,
 * borrowing says TOW_ENOBUFS until something is returned; TOW_EVENT_READABLE
 * tells when. Who has nothing on loan may always have one buffer. The peer's
 * window closes meanwhile, as it does for whoever does not read.
 *
 *	device's ring  |####|    |####|####|    |     not returned in time:
 *	                  |         |    |
 *	refuge         |##########################|   moved there, packed
 *
 * A loan that is older than its owner's deadline is revoked, and so are the
 * oldest loans of the greatest holders when the device runs short:
 *
 *	1. TOW_EVENT_REVOKE says so. All spans stay valid.
 *	2. The program takes the event. It may still read, return, or leave it.
 *	3. The next tow_poll() takes back what was not returned. What lay in
 *	   the device's buffers is moved to the refuge ("revoked" in the
 *	   ledger). All of it is unread again; but for datagrams on loan out of
 *	   a train of which tow_udp_recv() took others meanwhile: those are
 *	   lost, and counted.
 *	4. The program borrows again, and finds the same bytes, from the first
 *	   that it did not return.
 *
 * So a pointer never dangles and never changes under a reader: nobody reads
 * during tow_poll(), since the thread that reads is the one that polls. Who
 * hands borrowed spans to others (a process, a thread, io_uring) has to be sure
 * before step 3 that they look no more. A deadline binds what is on loan; a
 * program that never takes its events keeps its loans, within the budgets.
 *
 * Without an owner each connection's window leaves as much of the ring to the
 * others as the connection holds, read or unread, or passed on and not there
 * yet. An owner's connections do so together: they have one share, however many
 * they are, besides the first window of each.
 *
 * Bytes that nobody has borrowed are moved to the refuge without a word, and
 * only when the device runs short. Moved bytes count against the connection's
 * window as before, so a refuge holds at most what the windows let in.
 */
struct tow_stack;
struct tow_tcp;
struct tow_listener;
struct tow_udp;
struct tow_owner;

struct tow_owner_config {
	uint64_t budget_bytes; /* on loan in the device's buffers; 0: only the
				* stack's budget counts */
	uint64_t deadline_us;  /* a loan may last so long; 0: for ever */

	/*
	 * Plain memory of the borrower's side. The stack lays a pool out in it,
	 * with its own bookkeeping: others may be given it read-only. 0 bytes,
	 * or at least 32 times chunk_bytes.
	 */
	void *refuge;
	size_t refuge_bytes;
};

struct tow_owner_info {
	uint64_t lent_bytes;	    /* true cost of what is on loan now */
	uint64_t refuge_bytes;	    /* of payload that the refuge can hold */
	uint64_t refuge_used_bytes; /* in whole chunks */
	uint64_t revoked;	    /* times that loans were taken back */
	uint32_t members;	    /* connections and sockets */
};

TOW_BEGIN
/*
 * tow_owner_open() - a group with a budget, a deadline and a refuge
 *
 * Owns:    the caller, until tow_owner_close(). The refuge stays the caller's,
 *          but is the stack's to write until then. @config is copied.
 * Returns: 0, TOW_EINVAL (the refuge is too small), TOW_ENOBUFS (there are
 *          tow_config.owner_max already).
 */
TOW_API int tow_owner_open(struct tow_stack *stack,
			   const struct tow_owner_config *config,
			   struct tow_owner **out) TOW_MUST_USE;

/*
 * tow_owner_close() - give everything back
 *
 * Its connections are aborted, its sockets closed, their handles are gone.
 * When it returns, nothing refers to the refuge any more. Memory that was lent
 * or posted to those connections comes back by its events, as ever. Listeners
 * go on without an owner.
 */
TOW_API void tow_owner_close(struct tow_owner *owner);

TOW_API void tow_owner_info(const struct tow_owner *owner,
			    struct tow_owner_info *out);

/*
 * tow_tcp_set_owner(), tow_udp_set_owner() - put one into a group
 * @owner: NULL takes it out of its group
 *
 * What is on loan moves along, even above the new budget.
 *
 * Returns: 0, or TOW_EBUSY: bytes of it lie in the refuge of the owner that it
 *          has, and have to be returned first.
 */
TOW_API int tow_tcp_set_owner(struct tow_tcp *tcp, struct tow_owner *owner);
TOW_API int tow_udp_set_owner(struct tow_udp *udp, struct tow_owner *owner);

/* Connections that the listener accepts from now on belong to the owner. */
TOW_API void tow_listener_set_owner(struct tow_listener *listener,
				    struct tow_owner *owner);
TOW_END

#endif
