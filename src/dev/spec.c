/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading device specs; the grammar is in spec.h.
 *
 * Theory of operation: spec_read() walks the options once, from the left. Each
 * is cut into key and value; the key is looked up in the driver's table; the
 * value is copied to plain memory, its escapes undone, and converted by a
 * small function for its kind. A converter returns NULL, or what it had
 * expected, as a phrase: the message is put together in one place, with the
 * column, so that all of them read alike.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tow/error.h>
#include "base/base.h"
#include "dev/spec.h"

#define VALUE_BYTES_MAX 4096 /* a path */
#define NAME_BYTES_MAX	64   /* longer words are not near to any name */
#define TEXT_SHOWN_MAX	160  /* of the spec, in a message */
#define NEAR_EDITS	2    /* typing errors that a suggestion forgives */

int spec_fail(struct spec *spec, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (spec->error_bytes)
		vsnprintf(spec->error, spec->error_bytes, format, args);
	va_end(args);
	return error;
}

int spec_fail_at(struct spec *spec, const char *where, const char *format, ...)
{
	va_list args;
	int n = 0;

	va_start(args, format);
	if (spec->error_bytes) {
		n = snprintf(spec->error, spec->error_bytes,
			     "device \"%.*s%s\", column %zu: ", TEXT_SHOWN_MAX,
			     spec->text,
			     strlen(spec->text) > TEXT_SHOWN_MAX ? "…" : "",
			     (size_t)(where - spec->text) + 1);
		if (n >= 0 && (size_t)n < spec->error_bytes)
			vsnprintf(spec->error + n,
				  spec->error_bytes - (size_t)n, format, args);
	}
	va_end(args);
	return TOW_EINVAL;
}

/* Levenshtein's distance: how many letters were mistyped. */
static unsigned edits(const char *a, size_t a_bytes, const char *b)
{
	unsigned row[NAME_BYTES_MAX + 1];
	size_t b_bytes = strlen(b);

	if (a_bytes > NAME_BYTES_MAX || b_bytes > NAME_BYTES_MAX)
		return NAME_BYTES_MAX;
	for (size_t j = 0; j <= b_bytes; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_bytes; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_bytes; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, change);
		}
	}
	return row[b_bytes];
}

const char *spec_nearest(const char *word, size_t word_bytes, const void *names,
			 size_t count, size_t stride)
{
	const char *best = NULL;
	unsigned best_edits = NEAR_EDITS + 1;

	for (size_t i = 0; i < count; i++) {
		const char *name;
		unsigned n;

		memcpy(&name, (const char *)names + i * stride, sizeof(name));
		n = edits(word, word_bytes, name);
		if (word_bytes >= 2 && !strncmp(name, word, word_bytes))
			n = MIN(n, 1); /* an abbreviation */
		if (n < best_edits && n < strlen(name)) {
			best = name;
			best_edits = n;
		}
	}
	return best;
}

/* Bytes up to the first of @ends that has no backslash in front. */
static size_t word_length(const char *text, const char *ends)
{
	size_t n = 0;

	while (text[n] && !strchr(ends, text[n]))
		n += text[n] == '\\' && text[n + 1] ? 2 : 1;
	return n;
}

bool spec_take_name(struct spec *spec, const char *name)
{
	size_t n = strlen(name);

	if (strncmp(spec->at, name, n) || (spec->at[n] && spec->at[n] != ':'))
		return false;
	spec->at += n;
	return true;
}

static bool unescape(char *out, size_t out_bytes, const char *text,
		     size_t text_bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < text_bytes; i++) {
		if (text[i] == '\\' && i + 1 < text_bytes)
			i++;
		if (n + 1 >= out_bytes)
			return false;
		out[n++] = text[i];
	}
	out[n] = '\0';
	return true;
}

/* Digits at the head of @text; false if there are none or too many. */
static bool take_number(const char **text, uint64_t *out)
{
	uint64_t value = 0;
	const char *t = *text;

	if (*t < '0' || *t > '9')
		return false;
	for (; *t >= '0' && *t <= '9'; t++) {
		if (value > (UINT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (uint64_t)(*t - '0');
	}
	*text = t;
	*out = value;
	return true;
}

/*
 * A decimal number, "5" or "2.5", times @unit. Places that the unit cannot
 * express are refused rather than rounded.
 */
static bool scale(const char *digits, const char *end, uint64_t unit,
		  uint64_t *out)
{
	uint64_t whole, part = 0;

	if (!take_number(&digits, &whole) || whole > UINT64_MAX / unit / 2)
		return false;
	if (digits < end && *digits == '.') {
		uint64_t place = unit;

		if (++digits == end)
			return false;
		for (; digits < end && *digits >= '0' && *digits <= '9';
		     digits++) {
			if (place % 10 && *digits != '0')
				return false;
			place /= 10;
			part += place * (uint64_t)(*digits - '0');
		}
	}
	*out = whole * unit + part;
	return digits == end;
}

/* The end of a decimal number at the head of @text. */
static const char *number_end(const char *text)
{
	return text + strspn(text, "0123456789.");
}

static const char *read_text(const struct spec_key *key, const char *value,
			     void *out)
{
	if (!*value)
		return "a text that is not empty";
	if (strlen(value) >= key->max)
		return "a shorter text";
	strcpy(out, value); /* the length was checked against key->max */
	return NULL;
}

static const char *read_number(const struct spec_key *key, const char *value,
			       void *out)
{
	uint64_t n;

	(void)key; /* the range is checked by in_range() */
	if (!take_number(&value, &n) || *value)
		return "a number";
	memcpy(out, &n, sizeof(n));
	return NULL;
}

static const char *read_ratio(const struct spec_key *key, const char *value,
			      void *out)
{
	const char *end = number_end(value);
	uint64_t ratio;
	uint32_t stored;

	(void)key;
	if ((*end && strcmp(end, "%")) ||
	    !scale(value, end, SPEC_RATIO_ONE / 100, &ratio) ||
	    ratio > SPEC_RATIO_ONE)
		return "per cent from 0% to 100%, to four places";
	stored = (uint32_t)ratio;
	memcpy(out, &stored, sizeof(stored));
	return NULL;
}

static const char *read_time(const struct spec_key *key, const char *value,
			     void *out)
{
	static const struct {
		const char *name;
		uint64_t us;
	} units[] = { { "us", 1 }, { "ms", 1000 }, { "s", 1000000 } };
	const char *end = number_end(value);
	uint64_t us;

	(void)key;
	if (!strcmp(value, "0")) {
		memset(out, 0, sizeof(us));
		return NULL;
	}
	for (size_t i = 0; i < LENGTH(units); i++) {
		if (strcmp(end, units[i].name))
			continue;
		if (!scale(value, end, units[i].us, &us))
			break;
		memcpy(out, &us, sizeof(us));
		return NULL;
	}
	return "a time with its unit, like 20us, 5ms or 1.5s";
}

static const char *read_switch(const struct spec_key *key, const char *value,
			       void *out)
{
	bool on = !strcmp(value, "on");

	(void)key;
	if (!on && strcmp(value, "off"))
		return "on or off";
	memcpy(out, &on, sizeof(on));
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *read_mac(const struct spec_key *key, const char *value,
			    void *out)
{
	static const char expected[] =
		"an individual MAC address, like 02:00:5e:10:00:01";
	uint8_t mac[6], any = 0;

	(void)key;
	if (strlen(value) != 17)
		return expected;
	for (int i = 0; i < 6; i++) {
		int high = hex_digit(value[3 * i]);
		int low = hex_digit(value[3 * i + 1]);

		if (high < 0 || low < 0 || (i < 5 && value[3 * i + 2] != ':'))
			return expected;
		mac[i] = (uint8_t)(high << 4 | low);
		any |= mac[i];
	}
	if (!any || mac[0] & 1)
		return expected;
	memcpy(out, mac, sizeof(mac));
	return NULL;
}

static const char *read_word(const struct spec_key *key, const char *value,
			     void *out)
{
	for (uint32_t i = 0; key->words[i]; i++) {
		if (!strcmp(value, key->words[i])) {
			memcpy(out, &i, sizeof(i));
			return NULL;
		}
	}
	return "another word";
}

static const char *read_value(const struct spec_key *key, const char *value,
			      void *out)
{
	static const char *(*const readers[])(const struct spec_key *,
					      const char *, void *) = {
		[SPEC_TEXT] = read_text,     [SPEC_NUMBER] = read_number,
		[SPEC_RATIO] = read_ratio,   [SPEC_TIME] = read_time,
		[SPEC_SWITCH] = read_switch, [SPEC_MAC] = read_mac,
		[SPEC_WORD] = read_word,
	};

	return readers[key->kind](key, value, out);
}

static bool in_range(const struct spec_key *key, const void *value)
{
	uint64_t n;

	if (key->kind != SPEC_NUMBER && key->kind != SPEC_TIME)
		return true;
	memcpy(&n, value, sizeof(n));
	return n >= key->min && n <= key->max;
}

static const struct spec_key *find_key(const struct spec_key *keys,
				       size_t count, const char *name,
				       size_t name_bytes)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(keys[i].name) == name_bytes &&
		    !memcmp(keys[i].name, name, name_bytes))
			return &keys[i];
	return NULL;
}

static void list_keys(char *out, size_t bytes, const struct spec_key *keys,
		      size_t count)
{
	size_t n = 0;

	*out = '\0';
	for (size_t i = 0; i < count && n < bytes; i++)
		n += (size_t)snprintf(out + n, bytes - n, "%s%s", i ? ", " : "",
				      keys[i].name);
}

static int unknown_key(struct spec *spec, const char *driver,
		       const struct spec_key *keys, size_t count,
		       size_t name_bytes)
{
	const char *nearest = spec_nearest(spec->at, name_bytes, &keys->name,
					   count, sizeof(*keys));
	char all[256];

	if (nearest)
		return spec_fail_at(spec, spec->at,
				    "%s has no option \"%.*s\"; did you mean "
				    "\"%s\"?",
				    driver, (int)name_bytes, spec->at, nearest);
	list_keys(all, sizeof(all), keys, count);
	return spec_fail_at(spec, spec->at,
			    "%s has no option \"%.*s\"; it has %s", driver,
			    (int)name_bytes, spec->at, all);
}

/* A message for a word that is not in the list names all that are. */
static int wrong_word(struct spec *spec, const struct spec_key *key,
		      const char *where, const char *value)
{
	char all[256];
	size_t n = 0;

	*all = '\0';
	for (size_t i = 0; key->words[i] && n < sizeof(all); i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s",
				      i ? ", " : "", key->words[i]);
	return spec_fail_at(spec, where, "%s must be one of %s, not \"%s\"",
			    key->name, all, value);
}

static int read_option_value(struct spec *spec, const struct spec_key *key,
			     size_t value_bytes, void *values)
{
	char value[VALUE_BYTES_MAX];
	void *out = (char *)values + key->offset;
	const char *where = spec->at, *expected;

	if (!unescape(value, sizeof(value), where, value_bytes))
		return spec_fail_at(spec, where, "%s is too long", key->name);
	expected = read_value(key, value, out);
	if (expected && key->kind == SPEC_WORD)
		return wrong_word(spec, key, where, value);
	if (expected)
		return spec_fail_at(spec, where, "%s must be %s, not \"%s\"",
				    key->name, expected, value);
	if (!in_range(key, out))
		return spec_fail_at(
			spec, where, "%s must be from %llu to %llu%s, not %s",
			key->name, (unsigned long long)key->min,
			(unsigned long long)key->max,
			key->kind == SPEC_TIME ? " microseconds" : "", value);
	spec->at += value_bytes;
	return 0;
}

/* One "key=value" at the spec's head; steps over it. */
static int read_option(struct spec *spec, const char *driver,
		       const struct spec_key *keys, size_t count,
		       const char *ends, void *values)
{
	size_t option_bytes = word_length(spec->at, ends);
	const char *equals = memchr(spec->at, '=', option_bytes);
	size_t name_bytes;
	const struct spec_key *key;

	if (!option_bytes)
		return spec_fail_at(spec, spec->at,
				    "an option of %s is missing here", driver);
	name_bytes = equals ? (size_t)(equals - spec->at) : option_bytes;
	key = find_key(keys, count, spec->at, name_bytes);
	if (!key)
		return unknown_key(spec, driver, keys, count, name_bytes);
	if (!equals)
		return spec_fail_at(spec, spec->at + name_bytes,
				    "%s needs a value, as in \"%s=…\"",
				    key->name, key->name);
	spec->at = equals + 1;
	return read_option_value(spec, key, option_bytes - name_bytes - 1,
				 values);
}

/* Without an equals sign before the next colon, the inner spec is here. */
static bool has_options(const struct spec *spec, enum spec_extent extent)
{
	return extent == SPEC_TO_END ||
	       memchr(spec->at, '=', word_length(spec->at, ":"));
}

int spec_read(struct spec *spec, const char *driver,
	      const struct spec_key *keys, size_t key_count,
	      enum spec_extent extent, void *values)
{
	const char *ends = extent == SPEC_TO_COLON ? ",:" : ",";
	int error;

	if (*spec->at != ':')
		return 0;
	spec->at++;
	if (!has_options(spec, extent))
		return 0;
	for (;;) {
		error = read_option(spec, driver, keys, key_count, ends,
				    values);
		if (error)
			return error;
		if (*spec->at != ',')
			break;
		spec->at++;
	}
	if (*spec->at == ':')
		spec->at++;
	return 0;
}
