/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_SIM_H
#define TOW_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <tow/dev.h>
#include <tow/mark.h>
#include <tow/stack.h>

/*
 * Simulator: a network of many stacks in one process and in virtual time.
 *
 * Devices are ports; a segment joins its ports like an Ethernet switch. Two
 * wires lie between each port and its segment, one per direction, and each
 * wire has a delay, a rate, a queue and faults of its own. Time is a number
 * that jumps to the next thing that happens, so that an hour passes in a
 * moment and a program never sleeps.
 *
 *	 stack A            segment              stack B
 *	+-------+ --up---> +-------+ --down---> +-------+
 *	| port  |          |switch |            | port  |
 *	+-------+ <--down- +-------+ <---up---- +-------+
 *
 * One seed decides everything: which frames are lost, how long each takes,
 * when a device gives its buffers back. Two runs of a program with the same
 * seed, and the same secrets in its stacks' configurations, are the same to
 * the last byte of a capture.
 *
 *	tow_sim_open(&sim, seed);
 *	segment = tow_sim_segment(sim);
 *	tow_sim_port_default(&port);
 *	port.up.loss_ppm = 10000;
 *	tow_sim_port_open(sim, segment, &port, &dev);
 *	tow_attach(stack, dev);
 *	tow_sim_add(sim, stack);
 *	while (tow_sim_step(sim, end_us))
 *		take events from the stacks, send, receive, check
 *
 * A port is a device as strict as hardware. Frames that break the contract of
 * tow/dev.h (too many spans, a large segment it did not offer to cut, a wrong
 * checksum) are dropped and counted as violations: in a test of this stack
 * the count has to be zero.
 *
 * Bytes are copied once from the sender's spans into the wire, at the moment
 * the device would fetch them, and once from the wire into the receiver's
 * chunks: the two DMA transfers that hardware would do.
 *
 * Hosted only: it allocates. All calls: one thread for a simulator and its
 * stacks; simulators do not know of each other.
 *
 * Example: examples/two-stacks.c
 */
struct tow_sim;

/*
 * What one direction of a cable does to frames. All zero is a perfect wire:
 * no delay, no limit, no fault. Chances are in parts per million.
 */
struct tow_sim_wire {
	uint32_t delay_us;
	uint32_t jitter_us;   /* up to that much more, without overtaking */
	uint64_t bits_per_s;  /* 0: as fast as it comes */
	uint32_t queue_bytes; /* most that wait for their turn; 0: no limit */

	uint32_t mtu;  /* IP bytes; longer packets are dropped; 0: no limit */
	bool mtu_told; /* answer those with ICMP "too big", as a router does */

	uint32_t loss_ppm;
	uint32_t duplicate_ppm;
	uint32_t damage_ppm;  /* some bits of an IP packet flip */
	uint32_t reorder_ppm; /* held back, so that others overtake */
	uint32_t reorder_us;  /* for up to that long */

	/*
	 * Loss in bursts (Gilbert and Elliott): a bad state that begins and
	 * ends by chance with each frame, and loses burst_loss_ppm of them.
	 */
	uint32_t burst_begin_ppm;
	uint32_t burst_end_ppm;
	uint32_t burst_loss_ppm;

	/*
	 * Congestion said rather than met by loss (RFC 3168 5): packets that
	 * allow it are marked, by chance, and when so many bytes wait in front
	 * of them; 0: never.
	 */
	uint32_t mark_ppm;
	uint32_t mark_bytes;

	/*
	 * Which way this is. When it is another number, packets go another way
	 * from then on, and may overtake what is still on the old one.
	 */
	uint32_t path;
};

/* Options of TCP that a middlebox takes out; see struct tow_sim_box. */
enum tow_sim_strip {
	TOW_SIM_STRIP_MSS = 1 << 0,
	TOW_SIM_STRIP_SCALE = 1 << 1,	/* window scale */
	TOW_SIM_STRIP_SACK_OK = 1 << 2, /* SACK-permitted, of SYNs */
	TOW_SIM_STRIP_SACK = 1 << 3,	/* the blocks themselves */
	TOW_SIM_STRIP_TIMESTAMPS = 1 << 4,
	TOW_SIM_STRIP_OTHER = 1 << 5, /* all that are younger than those */
};

/*
 * A middlebox between a port's wires and its segment: it meddles with TCP, as
 * boxes in the Internet do that mean well, or know an older TCP. All zero is
 * none. What goes up comes out of the port's stack. Whatever it changes, it
 * never changes a byte of payload, leaves right checksums, and lets packets
 * pass as they are whose checksums are wrong.
 */
struct tow_sim_box {
	/* Replaced by no-operations: enum tow_sim_strip. */
	uint32_t strip_up, strip_down;
	uint16_t mss_max; /* the MSS option says no more; 0: as it is */

	bool bleach; /* ECT and CE become Not-ECT, in all IP packets */
	bool no_ecn; /* AE, CWR and ECE of SYNs are cleared */

	bool syn_data_cut;     /* SYNs lose their payload */
	bool syn_data_drop;    /* SYNs with payload are dropped */
	bool syn_options_drop; /* SYNs with a TOW_SIM_STRIP_OTHER option are */

	/*
	 * Windows of segments without SYN: told smaller by so many bits, but
	 * not as 0; and now and then as 0, for up to so long.
	 */
	uint8_t window_shift;
	uint32_t window_close_ppm;
	uint32_t window_close_us;

	/* Data is sent on in two segments, or together with what follows. */
	uint32_t split_ppm;
	uint32_t join_us;    /* it waits so long for that; 0: no joining */
	uint32_t join_bytes; /* IP bytes of what is joined, at most */

	/*
	 * Sequence numbers of what goes up are moved, and acknowledgements of
	 * what goes down moved back; SACK blocks too, if it knows of them.
	 */
	uint32_t sequence_shift;
	bool sequence_sack;
};

/*
 * What goes wrong with placement, at a port with TOW_DEV_PLACE. All zero is a
 * device that does what it is told, as a tap does: it puts a frame of the flow
 * where the hint says, and looks at it afterwards. Chances are in parts per
 * million; those of frames are for frames that would be placed. Whatever
 * happens, the device keeps to the contract of tow/dev.h.
 */
struct tow_sim_place {
	uint32_t flows; /* that have a hint at one time; 0: 64, the most */

	/* Chances of a call of place(). */
	uint32_t busy_ppm;    /* it says TOW_EBUSY */
	uint32_t refused_ppm; /* it says TOW_EPERM */
	uint32_t late_ppm;    /* the hint holds some frames later only */

	/* Chances of a frame. */
	uint32_t stale_ppm;	/* put further on than its turn is */
	uint32_t shape_ppm;	/* parted from its headers elsewhere */
	uint32_t damage_ppm;	/* a bit of it flips in the posted memory */
	uint32_t truncated_ppm; /* cut short in the posted memory */
	uint32_t withdrawn_ppm; /* the hint is gone, the frame is in chunks */
	uint32_t moved_ppm;	/* it and some more wait, and are overtaken */
	uint32_t foreign_ppm;	/* one of another flow lands in the memory */
};

/* How a port lays received frames out in memory. */
enum tow_sim_layout {
	TOW_SIM_LAYOUT_PLAIN, /* exact with TOW_DEV_SPLIT, else 128 + rest */
	TOW_SIM_LAYOUT_WHOLE, /* nothing in the room, all in chunks */
	TOW_SIM_LAYOUT_FIXED, /* the first layout_bytes in the room */
	TOW_SIM_LAYOUT_ODD,   /* anywhere, and chunks that are not full */
};

struct tow_sim_port {
	/*
	 * Any combination of TOW_DEV_TX_CSUM, RX_CSUM, TSO4, TSO6, USO, LRO,
	 * SPLIT, ASYNC_TX and PLACE.
	 */
	uint32_t caps;
	uint32_t mtu;		/* as in struct tow_dev */
	uint32_t gso_bytes_max; /* with TSO or USO; also what LRO merges to */
	uint32_t spans_max;
	uint8_t mac[6]; /* all zero: made from the port's number */

	uint32_t tx_ring; /* frames held until they are sent; 0: no limit */
	uint32_t rx_ring; /* frames held until they are received; 0: no limit */
	uint32_t margin;  /* buffers it keeps for when the pool is dry */

	/* With TOW_DEV_ASYNC_TX: both by chance from 0 up to this much. */
	uint32_t fetch_us;    /* from tx to reading the spans */
	uint32_t complete_us; /* from there to giving back, in any order */

	/* With TOW_DEV_RX_CSUM: say so by TOW_BUF_CSUM_PARTIAL, as taps do. */
	bool rx_partial;
	enum tow_sim_layout layout;
	uint32_t layout_bytes; /* 0..TOW_BUF_ROOM */
	struct tow_sim_place place;

	struct tow_sim_wire up;	  /* from the port to the segment */
	struct tow_sim_wire down; /* from the segment to the port */
	struct tow_sim_box box;	  /* where these wires meet the segment */
};

/* Why frames did not arrive, or arrived otherwise. */
#define TOW_SIM_FATES(X)                                                      \
	X(SENT, "sent", "packets that went onto the wire")                    \
	X(RECEIVED, "received", "frames handed to the stack")                 \
	X(LOST, "lost", "packets lost by chance")                             \
	X(BURST_LOST, "burst_lost", "packets lost in a burst")                \
	X(DUPLICATED, "duplicated", "packets that went twice")                \
	X(DAMAGED, "damaged", "packets with flipped bits")                    \
	X(REORDERED, "reordered", "packets that were held back")              \
	X(TOO_LONG, "too_long", "packets above the MTU of a wire")            \
	X(QUEUE_FULL, "queue_full", "packets that found a wire's queue full") \
	X(RING_FULL, "ring_full", "packets that found the receive ring full") \
	X(TRUNCATED, "truncated", "frames cut short for want of chunks")      \
	X(UNPLUGGED, "unplugged", "packets for a device that was gone")       \
	X(MERGED, "merged", "packets that became part of a larger frame")     \
	X(CUT, "cut", "large segments cut into packets")                      \
	X(VIOLATION, "violation", "frames and hints against the contract")    \
	X(PLACED, "placed", "frames in posted memory, as it was foreseen")    \
	X(MISPLACED, "misplaced", "other frames with bytes in posted memory") \
	X(HINT_REFUSED, "hint_refused", "hints answered by an error")         \
	X(HINT_LATE, "hint_late", "hints that held some frames later")        \
	X(HINT_LOST, "hint_lost", "hints that the device dropped")            \
	X(HINT_STALE, "hint_stale", "frames put further on in the memory")    \
	X(HINT_SHAPE, "hint_shape", "frames parted at another place")         \
	X(HINT_DAMAGED, "hint_damaged", "frames damaged in posted memory")    \
	X(HINT_TRUNCATED, "hint_truncated",                                   \
	  "frames cut short in posted memory")                                \
	X(HINT_MOVED, "hint_moved",                                           \
	  "packets that others of the flow overtook")                         \
	X(HINT_FOREIGN, "hint_foreign",                                       \
	  "frames of other flows in posted memory")                           \
	X(MARKED, "marked", "packets that met congestion, and were told so")  \
	X(BOX_CHANGED, "box_changed", "packets changed by a middlebox")       \
	X(BOX_DROPPED, "box_dropped", "packets dropped by a middlebox")       \
	X(BOX_SPLIT, "box_split", "segments sent on in two")                  \
	X(BOX_JOINED, "box_joined", "segments joined with the one before")

#define TOW_SIM_FATE_ID(id, name, text) TOW_SIM_##id,
enum tow_sim_fate { TOW_SIM_FATES(TOW_SIM_FATE_ID) TOW_SIM_FATE_COUNT };
#undef TOW_SIM_FATE_ID

struct tow_sim_stats {
	uint64_t fates[TOW_SIM_FATE_COUNT]; /* by enum tow_sim_fate */
	uint32_t held;	/* buffers of the stack that the port holds now */
	uint32_t spare; /* of them its margin */
	const char *violation; /* the first one, in words; NULL if none */
};

TOW_BEGIN
/*
 * tow_sim_open() - an empty network; the clock shows 0
 * @seed: decides everything that happens by chance
 *
 * Returns: 0, TOW_ENOMEM.
 */
TOW_API int tow_sim_open(struct tow_sim **out, uint64_t seed) TOW_MUST_USE;

/*
 * tow_sim_close() - and all that is on its wires
 *
 * Ports that belong to a stack live on without a network, until the stack
 * closes them; to its stack such a device is gone.
 */
TOW_API void tow_sim_close(struct tow_sim *sim);

/* Another switch, with no port yet. Returns: its number, or TOW_ENOMEM. */
TOW_API int tow_sim_segment(struct tow_sim *sim) TOW_MUST_USE;

/*
 * tow_sim_port_default() - a fast port on a perfect cable
 *
 * MTU 1500, all offloads, header split, completions at once, no limits.
 */
TOW_API void tow_sim_port_default(struct tow_sim_port *port);

/*
 * tow_sim_port_open() - a device that is plugged into @segment
 * @port: copied
 *
 * Owns:    the caller, until tow_attach() or (*out)->ops->close(*out).
 * Returns: 0, TOW_EINVAL (no such segment, a cap it does not know, a number
 *          out of range), TOW_ENOMEM.
 */
TOW_API int tow_sim_port_open(struct tow_sim *sim, int segment,
			      const struct tow_sim_port *port,
			      struct tow_dev **out) TOW_MUST_USE;

/* The calls below take devices from tow_sim_port_open() only. */

/* The wires as they are now, to be changed at any time. */
TOW_API struct tow_sim_wire *tow_sim_wire_up(struct tow_dev *dev);
TOW_API struct tow_sim_wire *tow_sim_wire_down(struct tow_dev *dev);

/* The same for what goes wrong with placement; flows stays as it was. */
TOW_API struct tow_sim_place *tow_sim_place(struct tow_dev *dev);

/* The same for the middlebox. */
TOW_API struct tow_sim_box *tow_sim_box(struct tow_dev *dev);

/*
 * tow_sim_vanish() - the device is torn out when the clock shows @at_us
 *
 * From then on its calls return TOW_ENETDOWN. It gives every buffer back at
 * the next of them.
 *
 * Returns: 0, TOW_ENOMEM.
 */
TOW_API int tow_sim_vanish(struct tow_dev *dev, uint64_t at_us) TOW_MUST_USE;

TOW_API const struct tow_sim_stats *tow_sim_stats(const struct tow_dev *dev);

/* NULL past the end of the list. */
TOW_API const char *tow_sim_fate_name(unsigned fate);

/*
 * tow_sim_inject() - put a raw frame on the wire, as if @dev had sent it
 *
 * For tests of what peers may send. Nothing about it is checked.
 *
 * Returns: 0, TOW_EINVAL (shorter than an Ethernet header, longer than a
 *          frame can be), TOW_ENOMEM.
 */
TOW_API int tow_sim_inject(struct tow_dev *dev, const void *frame,
			   uint32_t bytes) TOW_MUST_USE;

/*
 * tow_sim_add() - let the simulator poll a stack
 * tow_sim_remove() - no longer; must come before tow_close()
 *
 * Returns: 0, TOW_ENOMEM.
 */
TOW_API int tow_sim_add(struct tow_sim *sim,
			struct tow_stack *stack) TOW_MUST_USE;
TOW_API void tow_sim_remove(struct tow_sim *sim, struct tow_stack *stack);

TOW_API uint64_t tow_sim_now(const struct tow_sim *sim); /* microseconds */

/* When something will happen next; UINT64_MAX is never. */
TOW_API uint64_t tow_sim_next(const struct tow_sim *sim);

/*
 * tow_sim_step() - the smallest piece of work
 * @until_us: do not let the clock go past this
 *
 * Polls each stack once. When none had work to do, moves the clock to the
 * next arrival, completion or deadline, lets it happen, and polls each stack
 * once more. The program then takes the events and checks what it likes.
 *
 * Returns: true, or false when nothing is left to do up to @until_us: then
 *          the clock shows @until_us.
 */
TOW_API bool tow_sim_step(struct tow_sim *sim, uint64_t until_us);

/*
 * tow_sim_capture() - write every packet to a file as its sender sent it
 * @path: a pcapng file, with virtual time in microseconds; one interface per
 *        port, and a comment at each packet to which its first wire does harm
 *
 * Must come before the first port is opened.
 *
 * Returns: 0, or the error of opening the file: TOW_EACCES, TOW_ENOENT, …
 */
TOW_API int tow_sim_capture(struct tow_sim *sim, const char *path) TOW_MUST_USE;
TOW_END

#endif
