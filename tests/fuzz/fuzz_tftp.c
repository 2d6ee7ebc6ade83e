/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a TFTP client may send: any bytes at all, as a request and as text.
 */
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "tftp_ascii.h"
#include "tftp_packet.h"

static void try_path(const char *name)
{
	char path[TFTP_NAME_MAX];

	if (!tftp_path(name, path))
		return;
	ASSERT(*path && *path != '/' && strlen(path) <= strlen(name));
	ASSERT(!strstr(path, "//") && path[strlen(path) - 1] != '/');
	for (const char *at = path; at; at = strchr(at, '/')) {
		size_t n;

		at += *at == '/';
		n = strcspn(at, "/");
		ASSERT(!(n == 1 && *at == '.'));
		ASSERT(!(n == 2 && at[0] == '.' && at[1] == '.'));
	}
}

static void try_request(const uint8_t *data, size_t bytes)
{
	uint8_t oack[TFTP_OACK_MAX];
	struct tftp_request r;

	if (bytes < 2 || !tftp_request_parse(data, bytes, &r))
		return;
	ASSERT(r.opcode == TFTP_RRQ || r.opcode == TFTP_WRQ);
	ASSERT(*r.name && memchr(r.name, '\0', sizeof(r.name)));
	ASSERT(!r.blksize || (r.blksize >= TFTP_BLKSIZE_MIN &&
			      r.blksize <= TFTP_BLKSIZE_MAX));
	ASSERT(r.timeout_s <= TFTP_TIMEOUT_S_MAX);
	ASSERT(r.windowsize <= UINT16_MAX);
	ASSERT(tftp_oack(oack, &r) <= sizeof(oack));
	try_path(r.name);
}

/* The first byte says where blocks end; text comes back as it was. */
static void try_text(const uint8_t *data, size_t bytes)
{
	struct ascii_encoder encoder = { 0 };
	struct ascii_decoder decoder = { 0 };
	size_t room = bytes ? data[0] + 1u : 1, n, got = 0;
	uint8_t block[256];
	uint8_t *back = malloc(bytes + 1);

	ASSERT(back);
	do {
		n = ascii_encode(&encoder, data, bytes, block, room);
		n = ascii_decode(&decoder, block, n, block);
		ASSERT(got + n <= bytes);
		memcpy(back + got, block, n);
		got += n;
	} while (encoder.at < bytes);
	ASSERT(got == bytes && memcmp(back, data, bytes) == 0);
	memcpy(back, data, bytes); /* and any bytes in place */
	ASSERT(ascii_decode(&decoder, back, bytes, back) <= bytes);
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	try_request(data, bytes);
	try_text(data, bytes);
	return 0;
}
