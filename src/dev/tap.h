/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TAP_H
#define TAP_H

/*
 * What the parts of the tap driver share:
 *
 *	tap_open.c   makes the interface and its queues
 *	tap.c        moves frames through it
 *	tap_place.c  placement: queues for flows with a hint
 *	tap_steer.c  which frame goes into which queue
 */
#include <net/if.h>
#include <sys/uio.h>
#include <tow/dev.h>
#include "base/base.h"
#include "dev/tap_steer.h"

/* Features of TUNSETOFFLOAD, some newer than the headers of Debian 12. */
#define TAP_CSUM    0x01u
#define TAP_TSO4    0x02u
#define TAP_TSO6    0x04u
#define TAP_TSO_ECN 0x08u
#define TAP_USO4    0x20u /* since Linux 6.2 */
#define TAP_USO6    0x40u
#define TAP_LARGE   (TAP_TSO4 | TAP_TSO6 | TAP_TSO_ECN | TAP_USO4 | TAP_USO6)

/* struct virtio_net_hdr, the shortest of its forms. */
#define TAP_VNET_BYTES 10

/*
 * Where the frame lies in the room: so far in that its vnet header fits in
 * front, and that the IP header behind 14 bytes of Ethernet is aligned.
 */
#define TAP_FRAME_AT 18

#define TAP_SPARES	16 /* buffers kept back for a pool that ran dry */
#define TAP_QUEUES	17 /* by default: for 16 flows, and all the rest */
#define TAP_QUEUES_MAX	64
#define TAP_TURN_FRAMES 8 /* of one queue before the next has its turn */

/* A placement hint, as far as it was not used up. */
struct tap_hint {
	uint64_t token; /* 0: there is none */
	uint16_t header_bytes;
	bool rests;	   /* until the next one */
	uint32_t sequence; /* of the frame that is foreseen next */
	uint32_t slot_bytes;
	unsigned span_first, span_count;
	size_t bytes; /* of the spans that are left */
	struct iovec spans[TOW_PLACE_SPANS];
};

enum tap_queue_state {
	TAP_QUEUE_FREE,	    /* nobody's; nothing is in it */
	TAP_QUEUE_DRAINING, /* not yet its flow's: others' frames come first */
	TAP_QUEUE_FRESH,    /* its flow's; earlier frames may be in queue 0 */
	TAP_QUEUE_STEERED,  /* its flow's alone */
};

struct tap_queue {
	int fd;
	enum tap_queue_state state; /* not of queue 0 */
	uint64_t used;		    /* the tap's hints_made at its last one */
	struct tap_flow flow;
	struct tap_hint hint;
};

/* How a frame is read under a hint; see tap_place.c. */
struct tap_layout {
	uint32_t head; /* into the room */
	unsigned spans;
	uint32_t span_bytes; /* into posted memory */
	uint32_t room_for;   /* in all, chunks included */
};

struct tap {
	struct tow_dev dev;
	int fd;	   /* of queue 0, which is also the one to send by */
	bool gone; /* the interface was deleted under us */
	uint32_t offloads;
	char name[IFNAMSIZ];

	/*
	 * Receive. iov[0] is the room of the buffer that is read into, iov[1]
	 * and on are the chunks that are ready, and one byte behind them tells
	 * a frame that just fits from one that was cut.
	 */
	uint32_t frame_bytes_max;
	uint32_t head_bytes; /* of a frame, that are read into the room */
	uint32_t chunk_bytes;
	unsigned chunks_wanted, chunks_ready;
	struct iovec iov[TOW_BUF_SPANS + 1];
	uint8_t cut;
	unsigned spares;
	struct tow_buf *spare[TAP_SPARES];

	/* More than one queue: placement. */
	struct tap_steer steer;
	int epoll; /* readable when a queue is; -1 with one queue */
	unsigned queue_count;
	unsigned queues_used; /* by flows */
	unsigned turn;	      /* which is read next */
	uint64_t hints_made;
	struct tap_queue queues[TAP_QUEUES_MAX];
};

extern const struct tow_dev_ops tap_ops;

/* Tell the kernel which kinds of frame it may hand to us; 0 or -errno. */
int tap_set_offloads(struct tap *tap, uint32_t offloads);

/* tap.c */

/*
 * Up to @n frames of one queue.
 * @empty: set when it has no more, or is to be left alone in this call
 */
unsigned tap_read_queue(struct tap *tap, struct tap_queue *queue,
			struct tow_buf **bufs, unsigned n, bool *empty);
/* The first @rest bytes of the chunks that were read into. */
void tap_attach_chunks(struct tap *tap, struct tow_buf *buf, uint32_t rest);

/* tap_place.c */
int tap_place(struct tow_dev *dev, const struct tow_place *place);
/* A frame came out of queue 0 while others have hints. */
void tap_note_stray(struct tap *tap, const struct tow_buf *buf);
unsigned tap_read_queues(struct tap *tap, struct tow_buf **bufs, unsigned n);

static inline bool tap_hint_holds(const struct tap_queue *queue)
{
	return queue->hint.token && queue->hint.bytes && !queue->hint.rests &&
	       queue->state == TAP_QUEUE_STEERED;
}

/* Under a hint that holds: like readv(2), then the frame's shape. */
ssize_t tap_read_placed(struct tap *tap, struct tap_queue *queue,
			struct tow_buf *buf, bool dry,
			struct tap_layout *layout);
void tap_shape_placed(struct tap *tap, struct tap_queue *queue,
		      struct tow_buf *buf, const struct tap_layout *layout,
		      uint32_t total);

/* tap_open.c */
void tap_close_queues(struct tap *tap);

#endif
