/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TCP_PEER_PRIVATE_H
#define TCP_PEER_PRIVATE_H

/*
 * What the parts of the TCP tests' peer share: tcp_peer.c (rig, clock, program,
 * places), tcp_peer_device.c (what the stack sends) and tcp_peer_write.c (what
 * is sent to it). Tests do not include this.
 */
#include "plain.h"
#include "tcp_peer.h"

#define ETH_BYTES 14
#define TCP_BYTES 20
#define FRAME_MAX (ETH_BYTES + 65535u)

enum {
	OPTION_MSS = 2,
	OPTION_WSCALE = 3,
	OPTION_SACK_OK = 4,
	OPTION_SACK = 5,
	OPTION_TS = 8,
	OPTION_MD5 = 19,
	OPTION_AO = 29,
	OPTION_ACCECN_0 = 172,
	OPTION_ACCECN_1 = 174,
};

/* Locally administered: the stack's, and the peer's. */
#define OUR_MAC	 ((const uint8_t[6]){ 2, 0, 0, 0, 0, 1 })
#define PEER_MAC ((const uint8_t[6]){ 2, 0, 0, 0, 0, 2 })

/* The address as it stands in an IP header. */
static inline const uint8_t *addr_bytes(const struct tow_addr *addr, bool v4)
{
	return v4 ? addr->b + 12 : addr->b;
}

/* RFC 9293 3.1, RFC 8200 8.1: the sum of the pseudo header. */
static inline uint32_t sum_pseudo(const struct tow_addr *src,
				  const struct tow_addr *dst, uint8_t protocol,
				  uint32_t bytes, bool v4)
{
	uint8_t tail[8] = { 0 };
	size_t width = v4 ? 4 : 16;
	uint32_t sum = sum_bytes(0, addr_bytes(src, v4), width);

	sum = sum_bytes(sum, addr_bytes(dst, v4), width);
	put32(tail, bytes);
	tail[7] = protocol;
	return sum_bytes(sum, tail, sizeof(tail));
}

static inline struct tow_addr addr_from(const uint8_t *bytes, bool v4)
{
	return v4 ? tow_addr_v4(bytes[0], bytes[1], bytes[2], bytes[3])
		  : tow_addr_v6(bytes);
}

/* Windows are scaled, timestamps are on, when both sides offered them. */
static inline bool scaling(const struct rig *r)
{
	return r->our_wscale >= 0 && r->peer_wscale >= 0;
}

static inline bool timestamps(const struct rig *r)
{
	return r->we_offered_ts && r->peer_offered_ts;
}

void attach_device(struct rig *r);

/* tcp_peer_sign.c */
unsigned sign_option_bytes(const struct signature *by);
unsigned sign_put_option(uint8_t *p, const struct signature *by);
unsigned sign(const struct signature *by, const struct tow_addr *src,
	      const struct tow_addr *dst, bool v4, const uint8_t *tcp,
	      size_t bytes, size_t option_at, const uint32_t isn[2],
	      uint32_t sne, uint8_t out[20]);
unsigned sign_for(const struct rig *r, const struct signature *by,
		  const struct tow_addr *src, const struct tow_addr *dst,
		  const uint8_t *tcp, size_t bytes, size_t option_at,
		  bool from_peer, uint8_t out[20]);
size_t sign_find_option(const uint8_t *tcp, uint8_t kind);

/* tcp_peer_place.c */
int device_place(struct tow_dev *dev, const struct tow_place *place);
uint32_t place_frame(struct rig *r, struct tow_buf *buf, const struct frame *f);

#endif
