/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pcapng, as far as Towpath needs it.
 *
 * Theory of operation: a file is a row of blocks, each with its type and its
 * length in front and its length again behind, padded to four bytes, in the
 * byte order of the machine that wrote it:
 *
 *	section header, interface description..., enhanced packet...
 *
 * The first block's magic number tells readers the byte order. Interfaces are
 * numbered in the order of their descriptions, which may stand anywhere before
 * the first packet that names them.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dev/pcapng.h"

#define BLOCK_SECTION	0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET	6u
#define MAGIC		0x1a2b3c4du
#define OPTION_END	0u
#define OPTION_COMMENT	1u
#define OPTION_IF_NAME	2u
#define OPTION_FLAGS	2u  /* of a packet: its direction */
#define OPTION_TSRESOL	9u  /* of an interface */
#define MICROSECONDS	6u  /* 10^-6 s */
#define FRAME_BYTES	12u /* type and both lengths around a block's body */
#define PACKET_BYTES	20u /* interface, time, both lengths */
#define BUFFER_BYTES	(512u << 10) /* several of the largest frames */

struct pcapng {
	FILE *stream;
	unsigned interfaces;
	int error; /* the first one, negative */
};

static uint32_t padded(uint32_t bytes)
{
	return (bytes + 3) & ~3u;
}

static void put(struct pcapng *file, const void *data, size_t bytes)
{
	if (!bytes || file->error)
		return;
	if (fwrite(data, bytes, 1, file->stream) != 1)
		file->error = errno ? -errno : -EIO;
}

static void put_u16(struct pcapng *file, uint32_t value)
{
	uint16_t word = (uint16_t)value;

	put(file, &word, sizeof(word));
}

static void put_u32(struct pcapng *file, uint32_t value)
{
	put(file, &value, sizeof(value));
}

static void put_padding(struct pcapng *file, uint32_t bytes)
{
	static const uint8_t zero[4];

	put(file, zero, padded(bytes) - bytes);
}

static void put_option(struct pcapng *file, uint32_t code, const void *value,
		       uint32_t bytes)
{
	put_u16(file, code);
	put_u16(file, bytes);
	put(file, value, bytes);
	put_padding(file, bytes);
}

static uint32_t option_bytes(uint32_t bytes)
{
	return 4 + padded(bytes);
}

static uint32_t text_bytes(const char *text)
{
	return text ? (uint32_t)strnlen(text, 1000) : 0;
}

static void write_section(struct pcapng *file)
{
	uint32_t bytes = FRAME_BYTES + 16;

	put_u32(file, BLOCK_SECTION);
	put_u32(file, bytes);
	put_u32(file, MAGIC);
	put_u16(file, 1); /* version 1.0 */
	put_u16(file, 0);
	put_u32(file, UINT32_MAX); /* length of the section: not said */
	put_u32(file, UINT32_MAX);
	put_u32(file, bytes);
}

int pcapng_open(struct pcapng **out, const char *path)
{
	struct pcapng *file = calloc(1, sizeof(*file));

	if (!file)
		return -ENOMEM;
	file->stream = fopen(path, "wbe");
	if (!file->stream) {
		int error = -errno;

		free(file);
		return error;
	}
	(void)setvbuf(file->stream, NULL, _IOFBF, BUFFER_BYTES);
	write_section(file);
	*out = file;
	return 0;
}

unsigned pcapng_interface(struct pcapng *file, const char *name,
			  enum pcapng_link link)
{
	const uint8_t resolution = MICROSECONDS;
	uint32_t bytes = FRAME_BYTES + 8 + option_bytes(text_bytes(name)) +
			 option_bytes(1) + option_bytes(0);

	put_u32(file, BLOCK_INTERFACE);
	put_u32(file, bytes);
	put_u16(file, link);
	put_u16(file, 0);
	put_u32(file, 0); /* no limit to what is kept of a packet */
	put_option(file, OPTION_IF_NAME, name, text_bytes(name));
	put_option(file, OPTION_TSRESOL, &resolution, 1);
	put_option(file, OPTION_END, NULL, 0);
	put_u32(file, bytes);
	return file->interfaces++;
}

static uint32_t spans_bytes(const struct tow_span *spans, unsigned count)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		bytes += spans[i].len;
	return (uint32_t)bytes;
}

void pcapng_packet(struct pcapng *file, unsigned interface, uint64_t now_us,
		   const struct tow_span *spans, unsigned span_count,
		   uint32_t wire_bytes, enum pcapng_direction direction,
		   const char *comment)
{
	uint32_t captured = spans_bytes(spans, span_count);
	uint32_t flags = direction;
	uint32_t bytes = FRAME_BYTES + PACKET_BYTES + padded(captured) +
			 option_bytes(sizeof(flags)) + option_bytes(0);

	if (comment)
		bytes += option_bytes(text_bytes(comment));
	put_u32(file, BLOCK_PACKET);
	put_u32(file, bytes);
	put_u32(file, interface);
	put_u32(file, (uint32_t)(now_us >> 32));
	put_u32(file, (uint32_t)now_us);
	put_u32(file, captured);
	put_u32(file, wire_bytes > captured ? wire_bytes : captured);
	for (unsigned i = 0; i < span_count; i++)
		put(file, spans[i].ptr, spans[i].len);
	put_padding(file, captured);
	put_option(file, OPTION_FLAGS, &flags, sizeof(flags));
	if (comment)
		put_option(file, OPTION_COMMENT, comment, text_bytes(comment));
	put_option(file, OPTION_END, NULL, 0);
	put_u32(file, bytes);
}

void pcapng_flush(struct pcapng *file)
{
	if (fflush(file->stream) != 0 && !file->error)
		file->error = -errno;
}

int pcapng_error(const struct pcapng *file)
{
	return file->error;
}

int pcapng_close(struct pcapng *file)
{
	int error;

	if (fclose(file->stream) != 0 && !file->error)
		file->error = -errno;
	error = file->error;
	free(file);
	return error;
}
