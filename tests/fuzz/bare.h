/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BARE_H
#define BARE_H

/*
 * One stack with one connection, over a device that carries bare IP packets:
 * for targets that play with the segments of a connection whose state they
 * know. The peer's numbers, and the bytes of both streams, are known as well:
 * byte n is bare_pattern(n), and whatever leaves or is read is compared.
 */
#include <string.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include "base/base.h"
#include "stack/stack_private.h"
#include "tcp/tcp_private.h"

#define BARE_QUEUE	  8
#define BARE_PACKET_BYTES 2048
#define BARE_STREAM_BYTES (1u << 20)
#define BARE_PEER_ISS	  0xfffff000u /* its numbers wrap soon */
#define BARE_PORT	  80
#define BARE_PEER_PORT	  40000

/* Same numbers, options and bytes, whatever differs here. */
struct bare_options {
	bool v4, active;
	uint32_t caps; /* of the device, beside TOW_DEV_NO_LINK */
	uint8_t split; /* bytes in a buffer's room, the rest in chunks */
	uint8_t lend;  /* every so many sends is a loan; 0: none */
	bool borrow;   /* and return, instead of recv */
	bool bare_syn; /* of the peer: no options but the MSS */
	bool no_sack;
	uint8_t congestion; /* enum tow_tcp_congestion */
};

struct bare_packet {
	uint16_t bytes;
	uint8_t data[BARE_PACKET_BYTES];
};

struct bare {
	struct tow_dev dev; /* it is the device */
	struct bare_options options;
	struct tow_stack *stack;
	struct tow_listener *listener;
	struct tow_tcp *tcp;
	uint64_t now_us;
	bool closed;
	struct bare_packet queue[BARE_QUEUE];
	unsigned head, tail;

	uint32_t iss, next; /* ours, as seen: behind the last that was sent */
	bool stamps;	    /* we send timestamps */
	uint32_t ts;	    /* the last */
	unsigned segments, resets; /* sent; whoever looks sets them to 0 */
	uint8_t flags;		   /* of the last segment sent */

	uint64_t written, read;	      /* by the program */
	uint64_t lent, returned;      /* tokens */
	unsigned connected, finished; /* events */
	int status;		      /* of TOW_EVENT_CLOSED */
};

struct bare_segment {
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window, urgent;
	uint8_t options[40];
	unsigned option_bytes; /* a multiple of 4 */
	uint32_t bytes;	       /* of payload */
};

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

/* What an input says; zeros once it is at its end. */
struct script {
	const uint8_t *at, *end;
};

static inline uint8_t script8(struct script *s)
{
	return s->at < s->end ? *s->at++ : 0;
}

static inline uint16_t script16(struct script *s)
{
	uint16_t high = script8(s);

	return (uint16_t)(high << 8 | script8(s));
}

/* Near a number that matters, a little beside it, or anywhere. */
static inline uint32_t script_offset(struct script *s)
{
	uint8_t how = script8(s);
	uint32_t high;

	switch (how & 7) {
	case 0:
	case 1:
	case 2:
		return 0;
	case 3:
		return (how >> 3) + 1u;
	case 4:
		return 0u - (how >> 3) - 1u;
	case 5:
		return (uint32_t)(how >> 3) * 1000;
	case 6:
		return (uint32_t)(int32_t)(int16_t)script16(s);
	default:
		high = script16(s);
		return high << 16 | script16(s);
	}
}

static inline uint8_t bare_pattern(uint64_t n)
{
	return (uint8_t)(((uint32_t)n * 2654435761u) >> 24);
}

/* Open, with nothing done yet; @memory is used again by the next one. */
void bare_open(struct bare *b, const struct bare_options *options, void *memory,
	       size_t bytes);

/* All memory is back, loans ended once, the stack is idle; and it is closed. */
void bare_close(struct bare *b);

void bare_poll(struct bare *b);
void bare_time(struct bare *b, uint64_t us);
void bare_inject(struct bare *b, const struct bare_segment *segment);

/* An open connection, or the listener, or a SYN that was sent. */
void bare_begin(struct bare *b);
void bare_syn(struct bare *b);
void bare_handshake(struct bare *b);
void bare_ack(struct bare *b, uint32_t ack, uint8_t flags);
unsigned bare_timestamps(const struct bare *b, uint8_t *out, uint32_t ts);

/* Calls of the program. */
void bare_send(struct bare *b, uint32_t bytes);
void bare_read(struct bare *b); /* all there is */

#endif
