/* SPDX-License-Identifier: BSD-2-Clause */
#include <tow/stack.h>

const char *tow_version(void)
{
	return "0.1.0";
}
