/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the core needs of a Linux process: a way to die loudly.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/base.h"

_Noreturn void plat_panic(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
	abort();
}
