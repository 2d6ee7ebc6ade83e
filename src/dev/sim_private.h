/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SIM_PRIVATE_H
#define SIM_PRIVATE_H

/*
 * What the files of the simulator share.
 *
 *	sim_network.c  the clock, the events, the stacks, the segments
 *	sim_wire.c     what a wire does to a packet
 *	sim_box.c      what a middlebox does to TCP
 *	sim_port.c     the device: its rings, completions, coming and going
 *	sim_send.c     from a frame of the stack to packets
 *	sim_receive.c  from packets to a frame for the stack
 *	sim_place.c    frames into posted memory
 *	sim_packet.c   a packet's bytes: headers, checksums, cutting, merging
 */
#include <tow/addr.h>
#include <tow/sim.h>
#include "base/base.h"
#include "dev/dice.h"
#include "dev/pcapng.h"

#define ETHERNET_BYTES	 14u
#define PACKET_BYTES_MAX (ETHERNET_BYTES + 65535u)

/* A packet on the wire. Several wires may carry the same one. */
struct packet {
	struct packet *next; /* of those that are free */
	uint32_t refs;
	uint32_t bytes;
	uint32_t room; /* of data[] */
	bool intact;   /* checksums were right when it was sent */
	uint8_t data[];
};

/*
 * Packets that wait, first in, first out: a ring of pointers, because one
 * packet may wait at several ports, or twice at one.
 */
struct packet_queue {
	struct packet **slots;
	uint32_t first, count;
	uint32_t room; /* a power of two, or 0 */
};

/* Where the headers of a packet are, as far as they make sense. */
struct shape {
	bool ip; /* all below is filled in */
	bool v6;
	uint8_t protocol;
	bool transport;	       /* TCP or UDP, with a whole header */
	uint32_t transport_at; /* from the start of the frame */
	uint32_t payload_at;
	uint32_t end; /* by the length that IP says */
	struct tow_addr src, dst;
};

struct wire {
	struct tow_sim_wire how;
	struct dice dice;
	uint64_t free_ns; /* when the last bit of what it carries is sent */
	uint64_t last_us; /* when the last packet arrives that kept order */
	uint32_t path;	  /* that packet's */
	bool bad;	  /* in a burst */
};

/* One direction of a middlebox. */
struct box_way {
	struct packet *held; /* waits to be joined, or NULL */
	uint64_t closed_us;  /* windows are told as 0 until then */
};

enum happening {
	AT_SEGMENT, /* a packet reached the far end of an up wire */
	AT_PORT,    /* ... of a down wire */
	FETCH,	    /* the device reads the next frame of its ring */
	SLOT,	    /* a slot of the transmit ring is free again */
	BOX,	    /* what a middlebox holds has waited long enough */
	WAKE,	    /* something is due that the stack's poll takes care of */
	VANISH,
};

struct port;

struct event {
	uint64_t at_us;
	uint64_t order; /* of those at one time, the first made comes first */
	enum happening what;
	struct port *port;
	struct packet *packet;
};

struct completion {
	uint64_t at_us;
	struct tow_buf *buf;
};

/* A placement hint, as far as it was followed; see sim_place.c. */
struct hint {
	uint64_t token;
	struct tow_addr local, remote;
	uint16_t local_port, remote_port;
	uint8_t protocol;
	uint16_t header_bytes;
	uint32_t sequence; /* of the frame that is foreseen next */
	uint32_t slot_bytes;
	struct tow_span spans[TOW_PLACE_SPANS];
	unsigned span_count;
	size_t at, bytes;     /* where in the spans that frame goes; of all */
	uint32_t frames_late; /* to come by chunks before the hint holds */
	bool rests;
};

#define HINTS_MAX 64u
#define MERGE_MAX 64u /* packets in one frame */

/* What becomes one frame: packets of one flow that follow each other. */
struct group {
	struct packet *packets[MERGE_MAX];
	unsigned count;
	uint32_t payload_bytes;
	uint32_t bytes; /* of the frame */
	bool sum_ok;
	struct shape shape;	       /* of the first */
	uint8_t headers[TOW_BUF_ROOM]; /* of the frame, when they change */
	struct tow_span pieces[1 + MERGE_MAX]; /* all bytes, in order */
	unsigned piece_count;
};

/* Where a frame is to go, behind its head; the rest goes into chunks. */
struct aim {
	struct hint *hint;   /* NULL: none of it into posted memory */
	uint32_t head_bytes; /* into the room */
	struct tow_span spans[TOW_PLACE_SPANS];
	unsigned span_count;
	bool foreign; /* another flow's */
	bool spoiled; /* it is not what was foreseen, whatever it holds */
	bool damage;  /* ... but only the checksum can tell */
	bool cut;     /* what does not fit into the spans is lost */
};

struct port {
	struct tow_dev dev; /* must be first */
	struct tow_sim_port how;
	struct tow_sim *sim; /* NULL when the simulator is closed */
	struct port *next;   /* of all ports of the simulator */
	int segment;
	unsigned number;
	unsigned interface; /* in the capture file */
	struct dice dice;
	bool gone;   /* vanished, or the simulator closed */
	bool closed; /* by its stack; freed with the simulator */

	struct wire up, down;
	struct box_way box_up, box_down;
	struct dice box_dice;

	/* Transmit. */
	struct tow_buf *tx_first, **tx_last; /* to be fetched, in order */
	uint32_t tx_waiting;
	bool fetch_armed;
	struct completion *completions; /* fetched, to be given back */
	uint32_t completion_count, completion_room;
	uint32_t slots_used; /* sent at once, but the wire was not free */

	/* Receive. */
	struct packet_queue rx;
	struct tow_buf *margin;
	uint32_t margin_count;

	/* Placement. */
	struct dice place_dice;
	struct hint hints[HINTS_MAX];
	unsigned hint_count;
	struct packet_queue moved; /* out of a queue that others overtake */
	uint32_t moved_frames;	   /* so many more */
	uint64_t moved_us;	   /* and not longer than until then */

	struct tow_sim_stats stats;
};

struct tow_sim {
	uint64_t now_us;
	uint64_t seed;
	struct port *ports; /* newest first */
	unsigned port_count;
	int segment_count;

	struct tow_stack **stacks;
	unsigned stack_count, stack_room;

	struct event *events; /* a binary heap */
	uint32_t event_count, event_room;
	uint64_t event_order;

	struct packet *free_small, *free_large;
	struct pcapng *capture;
};

/* sim_network.c */
bool sim_happens(struct tow_sim *sim, uint64_t at_us, enum happening what,
		 struct port *port, struct packet *packet);
void sim_forward(struct tow_sim *sim, struct port *from, struct packet *packet);
void sim_plug_in(struct tow_sim *sim, struct port *port);

static inline void port_count(struct port *port, enum tow_sim_fate fate)
{
	port->stats.fates[fate]++;
}

/* sim_box.c: all take the packet. */
void box_carry_up(struct port *port, struct packet *packet);
void box_carry_down(struct port *port, struct packet *packet);
/* It was held for long enough, if it still is. */
void box_release(struct port *port, struct packet *packet);
void box_empty(struct port *port);

/* sim_wire.c: both take the packet. */
void wire_carry_up(struct port *port, struct packet *packet);
void wire_carry_down(struct port *port, struct packet *packet);

/* sim_port.c */
void port_fetch(struct port *port);
void port_unplug(struct port *port);
void port_free(struct port *port);

/* sim_send.c: counts a violation and says no, or makes packets of it. */
void port_violate(struct port *port, const char *what);
bool frame_acceptable(struct port *port, const struct tow_buf *buf);
void frame_send(struct port *port, const struct tow_buf *buf);

/* sim_receive.c */
void port_receive(struct port *port, struct packet *packet);
void margin_refill(struct port *port);
int frames_hand_up(struct port *port, struct tow_buf **bufs, unsigned n);

/* sim_place.c */
int port_place(struct tow_dev *dev, const struct tow_place *place);
/* Lets a run of packets at the head of the ring wait, by chance. */
void place_divert(struct port *port);
bool place_moved_due(const struct port *port);
/* Before a frame is written to memory, and after. */
void place_aim(struct port *port, const struct packet *first, struct aim *aim);
void place_look(struct port *port, struct tow_buf *buf,
		const struct group *group, const struct aim *aim);

/* sim_packet.c */
struct packet *packet_take(struct tow_sim *sim, uint32_t bytes);
struct packet *packet_ref(struct packet *packet);
struct packet *packet_copy(struct tow_sim *sim, const struct packet *packet);
/* To be written to: takes it, and returns it, or a copy if others have it. */
struct packet *packet_own(struct tow_sim *sim, struct packet *packet);
void packet_give(struct tow_sim *sim, struct packet *packet);
void packets_free(struct packet *list);

/* Returns: false without memory; then the packet stays the caller's. */
bool queue_append(struct packet_queue *queue, struct packet *packet);
struct packet *queue_first(const struct packet_queue *queue);
struct packet *queue_take(struct packet_queue *queue);

struct shape packet_shape(const uint8_t *frame, uint32_t bytes);
/* The same for the headers of a large segment, which has no wire length. */
struct shape packet_shape_of_headers(uint8_t *headers, uint32_t bytes);

/* Is the IPv4 header's checksum right; is the transport's or ICMP's? */
bool packet_network_sum_ok(const uint8_t *frame, const struct shape *shape);
bool packet_transport_sum_ok(const uint8_t *frame, const struct shape *shape);
void packet_write_sums(uint8_t *frame, const struct shape *shape);
/* The length that IP says is that of the frame; the sums are not right yet. */
void packet_write_length(struct packet *packet, const struct shape *shape);

/* The value that TOW_BUF_CSUM_PARTIAL has in the checksum field. */
uint16_t packet_partial_sum(const struct shape *shape);
/* Where the checksum is, from transport_at; 0 when there is none. */
uint32_t packet_sum_offset(const struct shape *shape);

/*
 * The headers of piece number @piece of a large segment: @frame holds the
 * large one's headers and then this piece's payload, and is put right.
 */
void packet_write_piece(uint8_t *frame, const struct shape *shape,
			uint32_t bytes, unsigned piece, uint32_t offset,
			bool last);

/* May @next be merged behind @bytes of payload that began with @first? */
bool packet_follows(const struct packet *first, const struct shape *a,
		    const struct packet *next, const struct shape *b,
		    uint32_t bytes);
/* Headers of the merged frame: @headers is a copy of the first one's. */
void packet_write_merged(uint8_t *headers, const struct shape *shape,
			 uint32_t payload_bytes, uint8_t last_flags);
uint8_t packet_tcp_flags(const uint8_t *frame, const struct shape *shape);
bool packet_is_plain_data(const uint8_t *frame, const struct shape *shape);

/* Of TCP: RFC 9293 3.1, RFC 3168 6.1. */
#define FLAG_FIN 0x01
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_PSH 0x08
#define FLAG_ACK 0x10
#define FLAG_URG 0x20
#define FLAG_ECE 0x40
#define FLAG_CWR 0x80

static inline uint16_t packet_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t packet_get32(const uint8_t *p)
{
	return (uint32_t)packet_get16(p) << 16 | packet_get16(p + 2);
}

static inline void packet_put16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static inline void packet_put32(uint8_t *p, uint32_t value)
{
	packet_put16(p, value >> 16);
	packet_put16(p + 2, value);
}

/* ICMP "too big" about @packet, addressed to who sent it; NULL if none is. */
struct packet *packet_too_big(struct tow_sim *sim, const struct packet *packet,
			      uint32_t mtu);

#endif
