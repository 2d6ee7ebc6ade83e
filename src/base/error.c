/* SPDX-License-Identifier: BSD-2-Clause */
#include <tow/error.h>

#define CASE(name, number, text) \
	case TOW_##name:         \
		return text;

const char *tow_strerror(int error)
{
	switch (error) {
	case TOW_OK:
		return "success";
		TOW_ERRORS(CASE)
	}
	return "unknown error";
}
