/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parser of TCP headers and options: any bytes at all.
 *
 * A header that is taken has fields within their limits, and written again it
 * reads as the same options, in the order that the stack sends them.
 */
#include <stdint.h>
#include <string.h>
#include "base/base.h"
#include "wire/wire_tcp.h"

static void check_fields(const struct wire_tcp *tcp, size_t bytes)
{
	ASSERT(tcp->header_bytes >= TCP_HEADER_BYTES);
	ASSERT(tcp->header_bytes <= bytes);
	ASSERT(tcp->header_bytes % 4 == 0);
	ASSERT(tcp->sack_count <= TCP_SACK_BLOCKS_MAX);
	ASSERT(tcp->window_scale <= 14); /* RFC 7323 2.3 */
	ASSERT(tcp->has_mss || tcp->mss == 0);
	ASSERT(tcp->has_window_scale || tcp->window_scale == 0);
	ASSERT(tcp->has_timestamps || (!tcp->ts_value && !tcp->ts_echo));
	if (tcp->signature == SIGNATURE_MD5)
		ASSERT(tcp->signature_at + 2 + TCP_MD5_BYTES <=
		       tcp->header_bytes);
	if (tcp->signature == SIGNATURE_AO)
		ASSERT(tcp->signature_at + 4 + TCP_AO_MAC_BYTES <=
		       tcp->header_bytes);
}

/* With padding there may be no room for all. */
static void leave_one_out(struct wire_tcp *tcp)
{
	if (tcp->sack_count)
		tcp->sack_count--;
	else if (tcp->has_fast_open)
		tcp->has_fast_open = false;
	else if (tcp->user_timeout)
		tcp->user_timeout = 0;
	else
		tcp->signature = SIGNATURE_NONE;
}

/* What we would write with the same options; as many as fit. */
static void check_round_trip(struct wire_tcp tcp)
{
	uint8_t header[TCP_HEADER_BYTES + TCP_OPTION_BYTES_MAX];
	struct wire_tcp again;

	if (tcp.signature >= SIGNATURE_BAD)
		tcp.signature = SIGNATURE_NONE;
	while (wire_tcp_length(&tcp) > sizeof(header))
		leave_one_out(&tcp);
	memset(header, 0xa5, sizeof(header));
	wire_tcp_build(&tcp, header);
	tcp.header_bytes = (uint8_t)wire_tcp_length(&tcp);
	ASSERT(wire_tcp_parse(&again, header, tcp.header_bytes));
	ASSERT(again.header_bytes == tcp.header_bytes);
	ASSERT(again.source_port == tcp.source_port);
	ASSERT(again.sequence == tcp.sequence);
	ASSERT(again.acknowledgement == tcp.acknowledgement);
	ASSERT(again.flags == tcp.flags);
	ASSERT(again.window == tcp.window);
	ASSERT(again.has_mss == tcp.has_mss && again.mss == tcp.mss);
	ASSERT(again.has_window_scale == tcp.has_window_scale);
	ASSERT(again.window_scale == tcp.window_scale);
	ASSERT(again.sack_permitted == tcp.sack_permitted);
	ASSERT(again.has_timestamps == tcp.has_timestamps);
	ASSERT(again.ts_value == tcp.ts_value);
	ASSERT(again.ts_echo == tcp.ts_echo);
	ASSERT(again.signature == tcp.signature);
	if (tcp.signature == SIGNATURE_AO)
		ASSERT(again.key_id == tcp.key_id &&
		       again.rnext_key_id == tcp.rnext_key_id);
	ASSERT(again.sack_count == tcp.sack_count);
	ASSERT(memcmp(again.sacks, tcp.sacks,
		      tcp.sack_count * sizeof(tcp.sacks[0])) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct wire_tcp tcp;
	uint32_t header_bytes;

	if (bytes < TCP_HEADER_BYTES || bytes > 4096)
		return 0;
	header_bytes = wire_tcp_header_bytes(data);
	if (!wire_tcp_parse(&tcp, data, (uint32_t)bytes)) {
		ASSERT(header_bytes == 0 || header_bytes > bytes);
		return 0;
	}
	ASSERT(tcp.header_bytes == header_bytes);
	check_fields(&tcp, bytes);
	check_round_trip(tcp);
	return 0;
}
