/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing capture files; see pcapng.h.
 *
 * Theory of operation: blocks are put together in one buffer, in the byte
 * order of this machine, which the section header's magic tells. The buffer is
 * handed to the system when the next packet might not fit, and whenever the
 * owner finds it has nothing better to do. A packet's bytes are read straight
 * into their place in the buffer.
 *
 *	+-----------+--------+----------------+---------+---------+
 *	| type, len | fields | bytes, padded  | options | len     |
 *	+-----------+--------+----------------+---------+---------+
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <tow/stack.h>
#include "dev/pcapng.h"

#define BUFFER_BYTES (512u << 10) /* several of the longest frames */

#define BLOCK_SECTION	 0x0a0d0d0au
#define BLOCK_INTERFACE	 1u
#define BLOCK_PACKET	 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du

#define OPTION_END	0
#define OPTION_USERAPPL 4 /* section */
#define OPTION_IF_NAME	2 /* interface */
#define OPTION_TSRESOL	9
#define OPTION_FLAGS	2 /* packet */

#define PACKET_HEAD_BYTES 28 /* type to original length */
#define PACKET_TAIL_BYTES 16 /* flags option, end of options, length */

static size_t padded(size_t bytes)
{
	return (bytes + 3) & ~(size_t)3;
}

static uint8_t *put16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static uint8_t *put_option(uint8_t *at, uint16_t code, const void *data,
			   size_t bytes)
{
	at = put16(at, code);
	at = put16(at, (uint16_t)bytes);
	memset(at, 0, padded(bytes));
	memcpy(at, data, bytes);
	return at + padded(bytes);
}

/* The length that begins and ends a block. */
static void end_block(struct pcapng *file, uint8_t *block, uint8_t *at)
{
	uint32_t bytes = (uint32_t)(at - block) + 4;

	put32(block + 4, bytes);
	put32(at, bytes);
	file->used += bytes;
}

static void put_section(struct pcapng *file)
{
	uint8_t *block = file->memory + file->used, *at = block;
	const char *version = tow_version();
	char program[64] = "Towpath ";

	strncat(program, version, sizeof(program) - strlen(program) - 1);
	at = put32(at, BLOCK_SECTION);
	at = put32(at, 0);
	at = put32(at, BYTE_ORDER_MAGIC);
	at = put16(at, 1); /* version 1.0 */
	at = put16(at, 0);
	at = put32(at, UINT32_MAX); /* length of the section: not known, -1 */
	at = put32(at, UINT32_MAX);
	at = put_option(at, OPTION_USERAPPL, program, strlen(program));
	at = put_option(at, OPTION_END, "", 0);
	end_block(file, block, at);
}

static void put_interface(struct pcapng *file, uint16_t link_type,
			  uint32_t snap_bytes, const char *name)
{
	uint8_t *block = file->memory + file->used, *at = block;
	static const uint8_t microseconds = 6;

	at = put32(at, BLOCK_INTERFACE);
	at = put32(at, 0);
	at = put16(at, link_type);
	at = put16(at, 0);
	at = put32(at, snap_bytes);
	if (name)
		at = put_option(at, OPTION_IF_NAME, name, strlen(name));
	at = put_option(at, OPTION_TSRESOL, &microseconds, 1);
	at = put_option(at, OPTION_END, "", 0);
	end_block(file, block, at);
}

int pcapng_open(struct pcapng *file, const char *path, uint16_t link_type,
		uint32_t snap_bytes, const char *interface)
{
	*file = (struct pcapng){ .fd = -1 };
	file->memory = malloc(BUFFER_BYTES);
	if (!file->memory)
		return ENOMEM;
	file->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (file->fd < 0) {
		int error = errno;

		free(file->memory);
		return error;
	}
	put_section(file);
	put_interface(file, link_type, snap_bytes, interface);
	pcapng_write_out(file);
	if (!file->error)
		return 0;
	pcapng_close(file);
	return file->error;
}

uint8_t *pcapng_reserve(struct pcapng *file, uint32_t bytes)
{
	size_t block = PACKET_HEAD_BYTES + padded(bytes) + PACKET_TAIL_BYTES;

	if (BUFFER_BYTES - file->used < block)
		pcapng_write_out(file);
	if (file->error || BUFFER_BYTES - file->used < block)
		return NULL;
	return file->memory + file->used + PACKET_HEAD_BYTES;
}

void pcapng_commit(struct pcapng *file, enum pcapng_direction direction,
		   uint64_t realtime_us, uint32_t bytes, uint32_t wire_bytes)
{
	uint8_t *block = file->memory + file->used, *at = block;
	uint32_t flags = direction;

	at = put32(at, BLOCK_PACKET);
	at = put32(at, 0);
	at = put32(at, 0); /* the one interface */
	at = put32(at, (uint32_t)(realtime_us >> 32));
	at = put32(at, (uint32_t)realtime_us);
	at = put32(at, bytes);
	at = put32(at, wire_bytes);
	memset(at + bytes, 0, padded(bytes) - bytes);
	at += padded(bytes);
	at = put_option(at, OPTION_FLAGS, &flags, sizeof(flags));
	at = put_option(at, OPTION_END, "", 0);
	end_block(file, block, at);
	file->packets++;
}

void pcapng_write_out(struct pcapng *file)
{
	size_t done = 0;

	while (done < file->used && !file->error) {
		ssize_t n =
			write(file->fd, file->memory + done, file->used - done);

		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno != EINTR)
			file->error = errno;
	}
	file->used = 0;
}

void pcapng_close(struct pcapng *file)
{
	pcapng_write_out(file);
	if (close(file->fd) && !file->error && errno != EINTR)
		file->error = errno;
	free(file->memory);
}
