/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TFTP_PACKET_H
#define TFTP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Packets of TFTP: RFC 1350, with options of RFC 2347, 2348, 2349 and 7440.
 *
 *	RRQ, WRQ   | opcode | name 0 | mode 0 | option 0 | value 0 | ...
 *	DATA       | opcode | block  | bytes ...
 *	ACK        | opcode | block  |
 *	ERROR      | opcode | code   | message 0 |
 *	OACK       | opcode | option 0 | value 0 | ...
 *
 * Only bytes here: no socket, no file, no session.
 */
#define TFTP_HEADER_BYTES  4
#define TFTP_NAME_MAX	   1024 /* with its NUL */
#define TFTP_REQUEST_MAX   1500
#define TFTP_OACK_MAX	   128
#define TFTP_BLKSIZE	   512 /* RFC 1350 */
#define TFTP_BLKSIZE_MIN   8   /* RFC 2348 */
#define TFTP_BLKSIZE_MAX   65464
#define TFTP_TIMEOUT_S_MAX 255 /* RFC 2349 */

enum tftp_opcode {
	TFTP_RRQ = 1,
	TFTP_WRQ = 2,
	TFTP_DATA = 3,
	TFTP_ACK = 4,
	TFTP_ERROR = 5,
	TFTP_OACK = 6,
};

/* RFC 1350, appendix; 8: RFC 2347. */
enum tftp_code {
	TFTP_UNDEFINED,
	TFTP_NOT_FOUND,
	TFTP_ACCESS,
	TFTP_DISK_FULL,
	TFTP_ILLEGAL,
	TFTP_UNKNOWN_ID,
	TFTP_EXISTS,
	TFTP_NO_USER,
	TFTP_OPTION,
};

struct tftp_request {
	enum tftp_opcode opcode;  /* TFTP_RRQ or TFTP_WRQ */
	char name[TFTP_NAME_MAX]; /* as the client wrote it */
	bool netascii;
	/* Options; 0: not asked for, or a value that nobody can mean. */
	uint32_t blksize;
	uint32_t timeout_s;
	uint32_t windowsize;
	bool has_tsize;
	uint64_t tsize;
};

/* Returns: the opcode of a packet, or 0 of what is too short to have one. */
unsigned tftp_opcode(const void *packet, size_t bytes);

/* The number in an ACK or DATA, the code in an ERROR. */
unsigned tftp_number(const void *packet);

/*
 * tftp_request_parse() - read an RRQ or WRQ
 *
 * Unknown options are skipped; of one that is given twice the first counts.
 *
 * Returns: false if it is malformed, or of a mode that nobody speaks.
 */
bool tftp_request_parse(const void *packet, size_t bytes,
			struct tftp_request *out);

/*
 * tftp_path() - from what a client wrote to the path of a file
 * @out: as long as the name at least
 *
 * Leading slashes, empty parts and "." mean nothing. As in http_target.h the
 * result has no ".." and no slash in front.
 *
 * Returns: false if it climbs above the root, or names no file.
 */
bool tftp_path(const char *name, char out[TFTP_NAME_MAX]);

/* Write the header of a DATA or ACK. */
void tftp_header(uint8_t out[TFTP_HEADER_BYTES], enum tftp_opcode opcode,
		 uint16_t block);

/* Returns: bytes of an ERROR packet in @out, cut off to fit. */
size_t tftp_error(uint8_t *out, size_t room, enum tftp_code code,
		  const char *message);

/*
 * tftp_oack() - the options that are set in @agreed
 *
 * Returns: bytes of the packet in @out, 0 if there are no options.
 */
size_t tftp_oack(uint8_t out[TFTP_OACK_MAX], const struct tftp_request *agreed);

#endif
