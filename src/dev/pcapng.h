/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PCAPNG_H
#define PCAPNG_H

/*
 * Writing capture files in the pcapng format (draft-ietf-opsawg-pcapng), which
 * tshark and Wireshark read. Times are in microseconds. A file has any number
 * of interfaces; a packet says by which it came or went.
 *
 * Errors of writing are kept until pcapng_close() reports the first of them:
 * a capture on a full disk does not stop the network.
 */
#include <stdint.h>
#include <tow/buf.h>

struct pcapng;

enum pcapng_direction {
	PCAPNG_UNKNOWN,
	PCAPNG_IN,
	PCAPNG_OUT,
};

enum pcapng_link {
	PCAPNG_ETHERNET = 1,
	PCAPNG_RAW_IP = 101,
};

/* Returns: 0 or a negative errno, which is a TOW_E* for the common ones. */
int pcapng_open(struct pcapng **out, const char *path);

/* Returns: the interface's number for pcapng_packet(), 0 for the first. */
unsigned pcapng_interface(struct pcapng *file, const char *name,
			  enum pcapng_link link);

/*
 * One packet, gathered from spans.
 * @wire_bytes: its true length, when @spans do not hold all of it
 * @comment:    shown beside the packet; may be NULL
 */
void pcapng_packet(struct pcapng *file, unsigned interface, uint64_t now_us,
		   const struct tow_span *spans, unsigned span_count,
		   uint32_t wire_bytes, enum pcapng_direction direction,
		   const char *comment);

/* So that a reader sees what was written so far. */
void pcapng_flush(struct pcapng *file);

/* The first error that writing met, or 0; after it nothing more is written. */
int pcapng_error(const struct pcapng *file);

/* Returns: 0, or the first error that writing met. */
int pcapng_close(struct pcapng *file);

#endif
