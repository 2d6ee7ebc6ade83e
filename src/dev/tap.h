/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TAP_H
#define TAP_H

/*
 * What the two halves of the tap driver share: tap_open.c makes the interface,
 * tap.c moves frames through it.
 */
#include <net/if.h>
#include <sys/uio.h>
#include <tow/dev.h>
#include "base/base.h"

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

#define TAP_SPARES 16 /* buffers kept back for a pool that ran dry */

struct tap {
	struct tow_dev dev;
	int fd;
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
};

extern const struct tow_dev_ops tap_ops;

/* Tell the kernel which kinds of frame it may hand to us; 0 or -errno. */
int tap_set_offloads(struct tap *tap, uint32_t offloads);

#endif
