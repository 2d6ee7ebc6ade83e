/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PCAPNG_H
#define PCAPNG_H

/*
 * Writing capture files: pcapng (draft-ietf-opsawg-pcapng), one section with
 * one interface, microseconds, direction of each packet.
 *
 * A packet is written in two steps: pcapng_reserve() gives the memory for its
 * bytes, pcapng_commit() makes it part of the file. Disk errors end the
 * capture, not the program.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCAPNG_ETHERNET 1   /* LINKTYPE_ETHERNET */
#define PCAPNG_RAW_IP	101 /* LINKTYPE_RAW */

enum pcapng_direction {
	PCAPNG_IN = 1, /* as in epb_flags */
	PCAPNG_OUT = 2,
};

struct pcapng {
	int fd;
	int error; /* errno that ended the capture, or 0 */
	size_t used;
	uint8_t *memory;
	uint64_t packets;
};

/* Returns: 0, or an errno. */
int pcapng_open(struct pcapng *file, const char *path, uint16_t link_type,
		uint32_t snap_bytes, const char *interface);

/* Room for @bytes of a packet, or NULL when the capture has ended. */
uint8_t *pcapng_reserve(struct pcapng *file, uint32_t bytes);

/* The @bytes last reserved are a packet of which there were @wire_bytes. */
void pcapng_commit(struct pcapng *file, enum pcapng_direction direction,
		   uint64_t realtime_us, uint32_t bytes, uint32_t wire_bytes);

/* Hand everything to the system. */
void pcapng_write_out(struct pcapng *file);
void pcapng_close(struct pcapng *file);

#endif
