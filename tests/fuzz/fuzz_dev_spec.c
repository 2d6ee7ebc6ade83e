/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reader of device specs: any text at all, as a wrapper's options and as a
 * driver's. What is taken lies in its range; what is refused has a message.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tow/error.h>
#include "base/base.h"
#include "dev/spec.h"

struct values {
	char text[8];
	uint64_t number, time_us;
	uint32_t ratio, word;
	bool flag;
	uint8_t mac[6];
};

static const char *const words[] = { "red", "green", NULL };

#define AT(member) offsetof(struct values, member)
static const struct spec_key keys[] = {
	{ "text", SPEC_TEXT, AT(text), 0, sizeof(((struct values *)0)->text),
	  NULL },
	{ "number", SPEC_NUMBER, AT(number), 10, 20, NULL },
	{ "time", SPEC_TIME, AT(time_us), 1, 5000000, NULL },
	{ "ratio", SPEC_RATIO, AT(ratio), 0, 0, NULL },
	{ "word", SPEC_WORD, AT(word), 0, 0, words },
	{ "flag", SPEC_SWITCH, AT(flag), 0, 0, NULL },
	{ "mac", SPEC_MAC, AT(mac), 0, 0, NULL },
};
#undef AT

static void try_spec(const char *text, enum spec_extent extent)
{
	struct values values = { .number = 10, .time_us = 1 };
	char error[64] = "";
	struct spec spec = { .text = text,
			     .at = text,
			     .error = error,
			     .error_bytes = sizeof(error) };
	int result =
		spec_read(&spec, "thing", keys, LENGTH(keys), extent, &values);

	ASSERT(spec.at >= text && spec.at <= text + strlen(text));
	ASSERT(memchr(error, '\0', sizeof(error)) != NULL);
	if (result) {
		ASSERT(result == TOW_EINVAL && *error);
		return;
	}
	ASSERT(values.number >= 10 && values.number <= 20);
	ASSERT(values.time_us >= 1 && values.time_us <= 5000000);
	ASSERT(values.ratio <= SPEC_RATIO_ONE && values.word < 2);
	ASSERT(memchr(values.text, '\0', sizeof(values.text)) != NULL);
	ASSERT(!(values.mac[0] & 1));
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
	try_spec(text, SPEC_TO_COLON);
	try_spec(text, SPEC_TO_END);
	free(text);
	return 0;
}
