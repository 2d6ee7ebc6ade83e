/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TFTP_ASCII_H
#define TFTP_ASCII_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Netascii: how text is sent by TFTP (RFC 1350, note 1; RFC 764).
 *
 *	here   LF      CR        else
 *	sent   CR LF   CR NUL    the same
 *
 * A block may end between the two bytes of a pair; that is what state is for.
 */
struct ascii_encoder {
	uint64_t at; /* of the file's bytes: the next one */
	bool half;   /* the CR of it was sent */
};

struct ascii_decoder {
	bool cr; /* the last byte was one, and is not decided yet */
};

/*
 * ascii_encode() - as much of a file as fits
 *
 * Returns: bytes in @out; fewer than @room only at the file's end.
 */
size_t ascii_encode(struct ascii_encoder *state, const uint8_t *file,
		    uint64_t file_bytes, uint8_t *out, size_t room);

/*
 * ascii_decode() - what was sent becomes what it means
 * @out: may be @in, since text never grows by this
 *
 * A CR before any other byte means nothing, and is left out.
 *
 * Returns: bytes in @out.
 */
size_t ascii_decode(struct ascii_decoder *state, const uint8_t *in,
		    size_t bytes, uint8_t *out);

#endif
