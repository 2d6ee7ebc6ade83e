/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parsers of addresses, prefixes and endpoints: any text at all.
 *
 * What is refused leaves the result alone; what is taken is written in a form
 * that fits, reads back as the same, and is written the same again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tow/addr.h>
#include <tow/error.h>
#include "base/base.h"

static void try_addr(const char *text)
{
	char canonical[TOW_ADDR_TEXT_MAX], again[TOW_ADDR_TEXT_MAX];
	struct tow_addr addr = tow_addr_any(), read;

	if (tow_addr_parse(&addr, text) != TOW_OK) {
		read = tow_addr_any();
		ASSERT(tow_addr_equal(&addr, &read));
		return;
	}
	tow_addr_format(&addr, canonical, sizeof(canonical));
	ASSERT(strlen(canonical) <= strlen(text) + TOW_ADDR_TEXT_MAX);
	ASSERT(tow_addr_parse(&read, canonical) == TOW_OK);
	ASSERT(tow_addr_equal(&addr, &read));
	tow_addr_format(&read, again, sizeof(again));
	ASSERT(strcmp(canonical, again) == 0);
}

static void try_cidr(const char *text)
{
	struct tow_addr addr;
	unsigned bits;

	if (tow_cidr_parse(&addr, &bits, text) != TOW_OK)
		return;
	ASSERT(bits <= (tow_addr_is_v4(&addr) ? 32u : 128u));
}

static void try_endpoint(const char *text)
{
	char canonical[TOW_ENDPOINT_TEXT_MAX];
	struct tow_endpoint endpoint, read;

	if (tow_endpoint_parse(&endpoint, text) != TOW_OK)
		return;
	tow_endpoint_format(&endpoint, canonical, sizeof(canonical));
	ASSERT(tow_endpoint_parse(&read, canonical) == TOW_OK);
	ASSERT(tow_addr_equal(&endpoint.addr, &read.addr));
	ASSERT(endpoint.port == read.port && endpoint.zone == read.zone);
}

/* Any sixteen bytes are an address, and have a text. */
static void try_bytes(const uint8_t b[16])
{
	char text[TOW_ADDR_TEXT_MAX];
	struct tow_addr addr = tow_addr_v6(b), read;

	tow_addr_format(&addr, text, sizeof(text));
	ASSERT(tow_addr_parse(&read, text) == TOW_OK);
	ASSERT(tow_addr_equal(&addr, &read));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *text = malloc(bytes + 1);

	if (!text)
		return 0;
	if (bytes > 0)
		memcpy(text, data, bytes);
	text[bytes] = '\0';
	try_addr(text);
	try_cidr(text);
	try_endpoint(text);
	if (bytes >= 16)
		try_bytes(data);
	free(text);
	return 0;
}
