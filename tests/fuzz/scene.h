/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SCENE_H
#define SCENE_H

/*
 * The scene of fuzz_input: one stack, its device, what the wire knows of its
 * connections, and the script that is being played. Everything is in one
 * object, so that each input begins from zero.
 */
#include <stdint.h>
#include <string.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include <tow/udp.h>
#include "base/base.h"
#include "plain.h"

#define ETH	  14
#define TUPLES	  4
#define HANDLES	  8
#define QUEUE	  64
#define HELD	  24
#define FRAME_MAX (ETH + 9000)
#define LOANS_MAX 512

/* What one side of the wire knows of a connection, for building segments. */
struct tuple {
	uint32_t ours_next; /* the stack's next number, as seen on the wire */
	uint32_t ours_una;  /* what the peer may have acknowledged */
	uint32_t peer_next; /* what the stack acknowledged last */
	uint32_t ts;	    /* last TSval of the stack */
	bool stamps;	    /* the stack sends timestamps */
};

struct frame {
	uint16_t bytes;
	uint8_t data[FRAME_MAX];
};

struct device {
	struct tow_dev dev;
	struct frame *queue; /* of QUEUE */
	unsigned head, tail;
	struct tow_buf *held[HELD];
	unsigned held_count;
	bool hold, full, gone, mute, closed;
};

struct scene {
	const uint8_t *at, *end; /* of the script */
	struct tow_stack *stack;
	struct device device;
	uint64_t now_us;
	bool v4;
	struct tuple tuples[TUPLES];
	struct tow_tcp *handles[HANDLES];
	uint64_t borrowed[HANDLES];
	struct tow_listener *listener;
	struct tow_udp *udp;
	unsigned udp_borrowed;
	uint64_t lent; /* tokens given out: 1..lent */
	uint8_t loan_ends[LOANS_MAX];
	struct frame last_sent;
	uint8_t seen; /* of borrowed bytes, so that they are read */
};

extern struct scene scene;
extern uint8_t scene_payload[65536]; /* of frames, sends and loans */

#define OUR_MAC	 ((const uint8_t[6]){ 2, 0, 0, 0, 0, 1 })
#define PEER_MAC ((const uint8_t[6]){ 2, 0, 0, 0, 0, 2 })
#define OUR_IP4	 ((const uint8_t[4]){ 192, 0, 2, 1 })
#define PEER_IP4 ((const uint8_t[4]){ 192, 0, 2, 2 })
#define OUR_IP6	 ((const uint8_t[16]){ 0x20, 1, 0x0d, 0xb8, [15] = 1 })
#define PEER_IP6 ((const uint8_t[16]){ 0x20, 1, 0x0d, 0xb8, [15] = 2 })

/* --- the script --- */

static inline bool more(void)
{
	return scene.at < scene.end;
}

static inline uint8_t take8(void)
{
	return more() ? *scene.at++ : 0;
}

static inline uint16_t take16(void)
{
	uint16_t high = take8();

	return (uint16_t)(high << 8 | take8());
}

static inline uint32_t take32(void)
{
	uint32_t high = take16();

	return high << 16 | take16();
}

/* Near, far, or anywhere: an offset from a number that matters. */
static inline uint32_t take_offset(void)
{
	uint8_t how = take8();

	switch (how & 7) {
	case 0:
	case 1:
	case 2:
		return 0;
	case 3:
		return (uint32_t)(int32_t)(int8_t)take8();
	case 4:
		return (uint32_t)(how >> 3) * 536;
	case 5:
		return 0u - (uint32_t)(how >> 3) * 536;
	case 6:
		return (uint32_t)(int32_t)(int16_t)take16();
	default:
		return take32();
	}
}

static inline unsigned take_length(void)
{
	uint8_t how = take8();

	return how < 0x80   ? how & 15
	       : how < 0xc0 ? (how & 63) * 32u
			    : (how & 63) * 140u;
}

/* --- sums --- */

static inline uint32_t sum_pseudo(const uint8_t *ip, uint8_t protocol,
				  uint32_t bytes)
{
	bool v4 = ip[0] >> 4 == 4;
	uint32_t start =
		v4 ? sum_bytes(0, ip + 12, 8) : sum_bytes(0, ip + 8, 32);

	start += (bytes >> 16) + (bytes & 0xffff) + protocol;
	return sum_bytes(start, NULL, 0);
}

/* --- scene_device.c --- */

/* Make the device anew, with these capabilities. */
void scene_device_init(uint32_t caps);

/* A place for a frame that the stack will receive, NULL when there is none. */
struct frame *frame_new(void);
void frame_done(unsigned bytes); /* it is filled in */
void give_held(unsigned count);	 /* sent buffers that the device kept */

/* --- scene_frames.c: each takes its arguments from the script --- */

void send_segment(bool plain); /* plain: an ACK in order, at most with text */
void send_icmp(void);
void send_udp(void);
void send_raw(bool summed); /* any bytes; with the sums put right */
void reflect(void);	    /* what the stack sent last comes back */

#endif
