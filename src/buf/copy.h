/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef COPY_H
#define COPY_H

/*
 * The one function that copies payload (design rule 3). Whoever calls it has a
 * reason, and the reason is entered in the socket's ledger and the stack's.
 */
#include <tow/ledger.h>
#include "base/base.h"

/* A socket's ledger beside that of its stack. */
struct ledgers {
	struct tow_ledger *socket; /* may be NULL */
	struct tow_ledger *stack;
};

void payload_copy(struct ledgers to, enum tow_copy reason, void *out,
		  const void *from, size_t bytes);

#endif
