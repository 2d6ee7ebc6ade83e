/* SPDX-License-Identifier: BSD-2-Clause */
#include "buf/copy.h"

void payload_copy(struct ledgers to, enum tow_copy reason, void *out,
		  const void *from, size_t bytes)
{
	ASSERT(reason < TOW_COPY_REASONS);

	if (bytes == 0)
		return; /* then the pointers need not point anywhere */
	memmove(out, from, bytes); /* inside of a posted buffer they overlap */
	to.stack->copied_bytes[reason] += bytes;
	if (to.socket)
		to.socket->copied_bytes[reason] += bytes;
}
