/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_STACK_H
#define TOW_STACK_H

#include <stddef.h>
#include <stdint.h>
#include <tow/addr.h>
#include <tow/auth.h>
#include <tow/dev.h>
#include <tow/error.h>
#include <tow/event.h>
#include <tow/ledger.h>
#include <tow/mark.h>

/*
 * Stack: one instance of TCP, UDP and IP over one or more devices.
 *
 * A stack lives in one region of memory that the program gives it at open,
 * and never asks for more. It makes no system call, has no thread and no
 * global state: two stacks in one process do not know of each other. All of
 * its objects belong to the one thread that calls tow_poll().
 *
 *	struct tow_config cfg;
 *	tow_config_default(&cfg);
 *	cfg.tcp_max = 10000;
 *	getrandom(cfg.secret, sizeof(cfg.secret), 0);
 *	size_t need = tow_need(&cfg);
 *	tow_open(&stack, &cfg, mmap(NULL, need, …), need);
 *	tow_attach(stack, dev);
 *	tow_addr_add(stack, 0, &addr, 24);
 *	for (;;) {
 *		tow_poll(stack, now_us());
 *		while ((n = tow_events(stack, events, 64)) > 0)
 *			…
 *		wait until tow_deadline(stack) or the device's descriptor
 *	}
 *
 * tow/host.h has that loop ready-made.
 */
struct tow_stack;

struct tow_config {
	uint32_t tcp_max;      /* connections, with TIME-WAIT and half-open */
	uint32_t orphan_max;   /* that the program closed and the peer has not
				* taken; the rest is reset; 0: half of tcp_max */
	uint32_t listener_max; /* TCP listeners */
	uint32_t udp_max;      /* UDP sockets */
	uint32_t link_max;     /* devices attached */
	uint32_t addr_max;     /* addresses of all interfaces together */
	uint32_t route_max;
	uint32_t neighbour_max;
	uint32_t group_max; /* that sockets listen to, counted for each socket
			     * and interface; may be 0: tow/group.h */
	uint32_t reassembly_max; /* datagrams of which fragments are missing;
				  * 0: no fragments are taken */
	uint32_t router_max; /* default routers learned: tow/autoconf.h; and */
	uint32_t prefix_max; /* other routes. 0: advertisements are ignored */
	uint32_t owner_max;  /* owners of what is borrowed: tow/owner.h */

	uint32_t chunk_bytes; /* of a payload chunk: a power of two >= 2048 */
	uint32_t rx_chunks;   /* received payload, of all connections */
	uint32_t rx_bufs;     /* received frames held; rather above rx_chunks */
	uint32_t tx_chunks;   /* payload that send copies */
	uint32_t tx_bufs;     /* frames being sent */
	uint32_t loans; /* spans queued for sending, lent or copied; stamps */
	uint32_t segments;  /* segments in flight, of all connections */
	uint32_t posts;	    /* posted buffers of all connections, not of
			       * UDP sockets; may be 0 */
	uint32_t ledgers;   /* connections that have one of their own, as
			       * tow_tcp_ledger() gives it; may be 0 */
	uint32_t paced;	    /* connections with TOW_TCP_BBR or
			       * TOW_TCP_PACING_RATE; may be 0 */
	uint32_t auth_keys; /* for signed connections, and copies of them for
			       * each: tow/auth.h; may be 0 */
	uint32_t accecn;    /* connections that use the option of AccECN, see
			    * TOW_TCP_ECN; 0..65535 */

	uint32_t send_bytes;	 /* per connection: queued before EAGAIN */
	uint32_t recv_bytes;	 /* per connection: first receive window */
	uint32_t recv_bytes_max; /* per connection: what it may grow to */
	uint32_t lend_bytes_min; /* a lent span below this is copied instead;
				  * above chunk_bytes it counts as that */
	uint64_t lend_bytes_max; /* true cost of received buffers on loan, of
				  * all together; 0: half of rx_chunks; never
				  * more than three quarters */
	uint8_t ttl;		 /* of packets sent; 0 means 64 */

	/*
	 * All randomness of the stack grows out of this: initial sequence
	 * numbers, ports, hash keys. From the system's random source; equal
	 * secrets make equal runs, which is what the simulator wants.
	 */
	uint8_t secret[32];

	/*
	 * Who signs segments, for as long as the stack is open; NULL: nobody.
	 * tow/auth.h
	 */
	const struct tow_crypto *crypto;

	/* Log sink for the control plane; NULL is silence. */
	void (*log)(void *context, const char *line);
	void *log_context;
};

TOW_BEGIN
/* The library's version, "major.minor.patch". */
TOW_API const char *tow_version(void);

/*
 * tow_config_default() - sizes for a server with some hundred connections
 *
 * Everything is set but the secret, which stays zero: fill it in.
 */
TOW_API void tow_config_default(struct tow_config *cfg);

/*
 * tow_need() - how large the memory region for this configuration is
 *
 * Returns: bytes, or 0 if the configuration is invalid: a size of 0 that must
 *          not be, chunk_bytes not a power of two from 2048 to 65536.
 */
TOW_API size_t tow_need(const struct tow_config *cfg);

/*
 * tow_open() - make a stack in @memory
 * @memory: aligned to at least 64 bytes, @bytes >= tow_need(cfg)
 *
 * Owns:    the region stays the program's, but is the stack's to write until
 *          tow_close(). @cfg is copied.
 * Returns: 0, TOW_EINVAL (see tow_need), TOW_ENOMEM (@bytes too small).
 */
TOW_API int tow_open(struct tow_stack **out, const struct tow_config *cfg,
		     void *memory, size_t bytes) TOW_MUST_USE;

/*
 * tow_close() - end everything at once
 *
 * Devices are closed first, so nothing refers to lent memory any more. Peers
 * hear nothing; to be polite, close or abort the connections and poll until
 * tow_idle() before. Loans that are still out end with this call, without
 * events.
 */
TOW_API void tow_close(struct tow_stack *stack);

/*
 * tow_attach() - give a device to the stack
 *
 * Owns:    takes @dev, whatever it returns; it is closed with the stack.
 * Returns: the number of the interface, 0 for the first; TOW_ENOBUFS when
 *          link_max are attached already.
 */
TOW_API int tow_attach(struct tow_stack *stack,
		       struct tow_dev *dev) TOW_MUST_USE;

/*
 * tow_addr_add() - an address of this stack
 * @link:        number from tow_attach()
 * @prefix_bits: on-link prefix; also makes the route to it
 *
 * Each link has an IPv6 link-local address of its own from the start. A stack
 * may have several addresses of both families.
 *
 * Returns: 0, TOW_EINVAL (not a unicast address, prefix too long), TOW_EEXIST,
 *          TOW_ENOBUFS (addr_max, of which those that are being checked have
 *          their places: tow/autoconf.h).
 */
TOW_API int tow_addr_add(struct tow_stack *stack, int link,
			 const struct tow_addr *addr,
			 unsigned prefix_bits) TOW_MUST_USE;

/*
 * tow_route_add() - packets for @dest go by way of @gateway
 * @dest, @prefix_bits: 0.0.0.0/0 or ::/0 for the default route
 *
 * The longest prefix wins. Several gateways for one prefix stand in for each
 * other: the first added is used, until it does not answer.
 *
 * Returns: 0, TOW_EINVAL, TOW_ENOBUFS.
 */
TOW_API int tow_route_add(struct tow_stack *stack, int link,
			  const struct tow_addr *dest, unsigned prefix_bits,
			  const struct tow_addr *gateway) TOW_MUST_USE;

/*
 * tow_poll() - do all the work that can be done now
 * @now_us: a clock that never goes back, in microseconds
 *
 * Receives a batch from each device, runs the timers that are due, sends what
 * is owed and allowed. One call handles a bounded number of frames, so that a
 * flood cannot keep the program from its events.
 *
 * Returns: frames received and sent; 0 when there was nothing to do, and the
 *          program may sleep until tow_deadline() or its descriptors wake it.
 */
TOW_API int tow_poll(struct tow_stack *stack, uint64_t now_us);

/*
 * When tow_poll() has to be called again at the latest; UINT64_MAX is never. A
 * call may have made an event that waits to be taken: then it is now.
 */
TOW_API uint64_t tow_deadline(const struct tow_stack *stack);

/* A descriptor that polls readable when that device has frames, or -1. */
TOW_API int tow_wait_fd(const struct tow_stack *stack, int link);

/* No connection but listeners is left, no loan is out, no event waits. */
TOW_API int tow_idle(const struct tow_stack *stack);

/* Everything counted since tow_open(), to read in place. */
TOW_API const struct tow_stats *tow_stats(const struct tow_stack *stack);
TOW_END

#endif
