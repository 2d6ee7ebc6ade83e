/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_DEV_H
#define TOW_DEV_H

#include <stdbool.h>
#include <stdint.h>
#include <tow/buf.h>
#include <tow/mark.h>
#include <tow/span.h>

/*
 * Device: what a driver gives to a stack, and all that it has to know.
 *
 * A driver is one file with one struct that begins with struct tow_dev, and
 * one table of operations. It opens itself in its own way, fills in the
 * capabilities, and is attached with tow_attach(). From then on every call
 * comes from tow_poll() on the thread that polls that stack. The stack
 * emulates what a device cannot do; a driver emulates nothing.
 *
 *      application
 *     ---------------- tow_tcp_*(), tow_udp_*()
 *      stack             tx: header in the buffer, payload by span
 *     ---------------- ops->tx  flush  |  ops->rx  place
 *      driver            rx: header in the buffer, payload in chunks
 *     ----------------
 *      hardware, kernel, another stack
 *
 * Buffers and bytes:
 *  - tx takes buffers and gives each back with tow_buf_give() when the device
 *    refers to none of its spans any more: at once if it copied, later and in
 *    any order if it sends by DMA. The loans under a buffer end no sooner.
 *  - rx takes buffers from dev->pool with tow_buf_take(), reads the frame's
 *    head into the room and the rest into chunks, and hands the buffers up.
 *    It keeps a margin of its own, so that a pool that ran dry of chunks still
 *    receives what fits into the room: an acknowledgement must get through,
 *    or nothing would ever free a chunk again.
 *  - A driver whose frames arrive in memory of its own need not copy them: the
 *    payload is added with tow_buf_add_foreign(), and `returned` says when
 *    nobody refers to it any more.
 *  - A driver that has to copy payload does so with a reason, in @ledger.
 *  - close gives back every buffer and chunk that the driver still holds. So
 *    does the call that says TOW_ENETDOWN for the first time: it may be the
 *    last one before close, and loans wait for their buffers.
 *
 * Time: the stack sets dev->now_us before each call. A driver that needs to be
 * called again at a certain time sets dev->next_us; UINT64_MAX is never.
 *
 * A template to start from is examples/driver-template.c.
 */
enum tow_dev_cap {
	TOW_DEV_TX_CSUM = 1 << 0,  /* finishes TOW_BUF_CSUM_PARTIAL */
	TOW_DEV_RX_CSUM = 1 << 1,  /* sets TOW_BUF_CSUM_OK or _PARTIAL */
	TOW_DEV_TSO4 = 1 << 2,	   /* cuts TOW_GSO_TCP4; implies TX_CSUM */
	TOW_DEV_TSO6 = 1 << 3,	   /* cuts TOW_GSO_TCP6; implies TX_CSUM */
	TOW_DEV_USO = 1 << 4,	   /* cuts TOW_GSO_UDP; implies TX_CSUM */
	TOW_DEV_LRO = 1 << 5,	   /* may hand up TCP frames above the MTU,
				    * and trains of UDP datagrams */
	TOW_DEV_SPLIT = 1 << 6,	   /* splits headers from payload */
	TOW_DEV_ASYNC_TX = 1 << 7, /* gives tx buffers back later */
	TOW_DEV_ARENA = 1 << 8,	   /* payload must lie in @arena */
	TOW_DEV_PLACE = 1 << 9,	   /* has a place operation that works */
	TOW_DEV_NO_LINK = 1 << 10, /* bare IP packets: no Ethernet, no ARP/ND */
};

struct tow_dev;
struct tow_ledger;

/*
 * A hint for placement: the next payload of one flow should land in @spans, its
 * headers in header rooms.
 *
 *	frame   | Ethernet | IP | TCP |  payload ...........................  |
 *	        |<-- header_bytes -->|
 *	          room of a buffer      spans[0] | spans[1] | the rest: chunks
 *
 * It may be refused, ignored or applied late; TCP is right without it. What a
 * device has to keep to:
 *
 *  - It writes into @spans only bytes of frames that it hands up, in the order
 *    in which it wrote them, each with tow_buf_add_placed().
 *  - It looks at each such frame. One that the hint foresaw (this flow, headers
 *    of this length, this sequence number; not truncated) it marks with
 *    TOW_BUF_FORESEEN, and goes on right behind its payload.
 *  - After any other one that left bytes in @spans the hint rests: nothing more
 *    is written there before the next place() for the flow, because the stack
 *    has to see first what is there. So it does after a frame of the flow that
 *    has payload, but none of it in @spans: the stack may put that where the
 *    next frame would be written. Frames without payload change nothing. A
 *    frame that may be of the flow, for all that the device can read of its
 *    headers (options, extension headers), counts as one.
 *  - When place() returns, earlier spans of that flow are not written to any
 *    more, and no frame that is still to be handed up has bytes in them.
 *
 * A UDP hint (protocol 17) has no sequence number: each datagram, or each
 * @slot_bytes of a train of such datagrams, moves on by @slot_bytes. Foreseen
 * is a datagram of at most @slot_bytes, or a train whose gso_bytes are
 * @slot_bytes. Its header_bytes may count some bytes of payload: an
 * application's header, which then has to come in the room, too; such a hint
 * foresees no trains.
 *
 * bytes == 0 withdraws the flow's hint; only the flow's addresses, ports and
 * protocol are looked at then.
 */
struct tow_place {
	uint64_t token;		       /* not 0; goes into the buffers */
	uint8_t local[16], remote[16]; /* as in struct tow_addr */
	uint16_t local_port, remote_port;
	uint8_t protocol;      /* 6 TCP, 17 UDP */
	uint16_t header_bytes; /* expected, from Ethernet on; <= TOW_BUF_HEADERS
				*/
	uint32_t sequence;     /* TCP sequence number of the first byte */
	uint32_t slot_bytes;   /* UDP; else 0 */
	const struct tow_span *spans; /* written to; valid during the call */
	unsigned span_count;	      /* 1..TOW_PLACE_SPANS */
	size_t bytes;		      /* of all spans; 0 withdraws */
};

#define TOW_PLACE_SPANS 4

struct tow_dev_ops {
	const char *name; /* "tap", "sim": for messages */

	/*
	 * Receive up to @n frames into bufs[0..n).
	 *
	 * Owns:    the caller owns bufs[0..r).
	 * Returns: r in 0..n, 0 when nothing is there now; TOW_ENETDOWN when
	 *          the device is gone for good, and from then on always.
	 */
	int (*rx)(struct tow_dev *dev, struct tow_buf **bufs, unsigned n);

	/*
	 * Queue bufs[0..n) for sending, in order.
	 *
	 * Owns:    takes bufs[0..r); bufs[r..n) stay with the caller.
	 * Returns: r in 0..n, less than n when the ring is full; TOW_ENETDOWN
	 *          takes none.
	 */
	int (*tx)(struct tow_dev *dev, struct tow_buf *const *bufs, unsigned n);

	/*
	 * Push out what tx queued, and give back what was sent. Called at the
	 * end of each poll, also when nothing was queued. May be NULL.
	 */
	void (*flush)(struct tow_dev *dev);

	/*
	 * A file descriptor that polls readable when rx has work, or -1 for a
	 * device that must be polled. May be NULL, which means -1.
	 */
	int (*wait_fd)(struct tow_dev *dev);

	/*
	 * Arm, move or withdraw a placement hint. Called with TOW_DEV_PLACE
	 * only; may be NULL without it.
	 *
	 * Returns: 0; or the hint does not hold: TOW_EBUSY (all queues are
	 * taken, try again later), TOW_EPERM (the device cannot keep the flow
	 * apart from others), TOW_EEXIST (somebody else has a hand on the
	 * device's queues), TOW_EOPNOTSUPP (never for such a flow).
	 */
	int (*place)(struct tow_dev *dev, const struct tow_place *place);

	/*
	 * A received buffer with foreign memory was given for the last time:
	 * nobody refers to its spans any more. Cannot fail. Comes also after
	 * the device said TOW_ENETDOWN, but not after close. NULL in a driver
	 * that adds no foreign memory.
	 *
	 * Owns: the buffer stays the caller's.
	 */
	void (*returned)(struct tow_dev *dev, struct tow_buf *buf);

	/*
	 * Give back every buffer and chunk, then free the device. Buffers with
	 * its memory may still be out there; nobody will look at them again.
	 */
	void (*close)(struct tow_dev *dev);

	/*
	 * Do without some of the capabilities from now on, in both directions:
	 * clears them in dev->caps. Called before tow_attach() only, by a
	 * wrapper that works on packets as they are on the wire.
	 *
	 * Returns: 0, or TOW_EOPNOTSUPP. NULL can do without none.
	 */
	int (*withdraw)(struct tow_dev *dev, uint32_t caps);

	/*
	 * The name of the kernel's interface at the other end ("tow0"), or
	 * NULL when there is none. May be NULL itself.
	 */
	const char *(*interface)(struct tow_dev *dev);
};

struct tow_dev {
	const struct tow_dev_ops *ops;

	/* Filled in by the driver before tow_attach(), constant afterwards. */
	uint32_t caps; /* enum tow_dev_cap */
	uint32_t mtu;  /* IP bytes per packet on the wire, 576..65535 */
	uint32_t gso_bytes_max; /* payload of a large segment, 0 without TSO */
	uint32_t spans_max;	/* per frame sent, 2..TOW_BUF_SPANS */
	uint8_t mac[6];
	struct tow_span arena; /* with TOW_DEV_ARENA payload must lie there;
				* without, the driver copies what does not */

	/* Set by the stack. */
	struct tow_pool *pool;	   /* rx buffers and chunks come from here */
	struct tow_ledger *ledger; /* the stack's, for copies of the driver */
	uint64_t now_us;

	/* Set by the driver, read by the stack after each call. */
	uint64_t next_us; /* when to be called again; UINT64_MAX never */
	uint64_t rx_lost; /* frames that the driver could not hand on, for */
	uint64_t tx_lost; /* want of memory or because they made no sense */
};

TOW_BEGIN
/*
 * tow_dev_open() - make a device from a text, as the command line does
 * @spec:  "tap:name=tow0,mtu=1500", "pcap:file=x.pcapng:tap:…",
 *         "fault:loss=1%:tap:…"; a wrapper's spec ends with the spec of the
 *         device inside
 * @error: filled with one sentence that says what was wrong and what to do
 *
 * Owns:    the caller, until tow_attach() or dev->ops->close(dev).
 * Returns: 0, or TOW_EINVAL (bad text), TOW_ENODEV, TOW_EACCES, …
 * Threads: any. Hosted only: it allocates and opens files.
 */
TOW_API int tow_dev_open(struct tow_dev **out, const char *spec, char *error,
			 size_t error_bytes) TOW_MUST_USE;

/*
 * tow_dev_wrap() - put wrappers around a device made in another way
 * @inside: stands where the text ends
 * @spec:   wrappers only: "pcap:file=x.pcapng", "fault:loss=1%:pcap:file=y"
 *
 * Owns:    takes @inside, whatever it returns.
 */
TOW_API int tow_dev_wrap(struct tow_dev **out, struct tow_dev *inside,
			 const char *spec, char *error,
			 size_t error_bytes) TOW_MUST_USE;

/*
 * tow_dev_interface() - the kernel's interface at the other end of a device
 *
 * Returns: its name, valid as long as the device; NULL when there is none.
 */
TOW_API const char *tow_dev_interface(struct tow_dev *dev);
TOW_END

#endif
