/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SPEC_H
#define SPEC_H

/*
 * Reading device specs: the text by which a device is named on a command line.
 *
 *	spec    = driver [ ":" options ]
 *	        | wrapper [ ":" options ] ":" spec
 *	options = key "=" value { "," key "=" value }
 *
 *	fault:loss=1%,delay=5ms:pcap:file=x.pcapng:tap:name=tow0,mtu=9000
 *
 * A wrapper's options end at the next colon; a colon, comma or backslash that
 * belongs to a value is written with a backslash in front. A driver's options
 * run to the end of the text, so that a MAC address needs none.
 *
 * A driver says in a table which keys it takes, of which kind, and where in
 * its own struct the value goes. All else is done here: ranges, units, and a
 * message that says where the text is wrong and what would be right.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tow/mark.h>

struct tow_dev;

struct spec {
	const char *text;	/* the whole, for positions in messages */
	const char *at;		/* what has not been read yet */
	unsigned depth;		/* wrappers read so far */
	struct tow_dev *inside; /* stands at the text's end, or NULL */
	char *error;
	size_t error_bytes;
};

enum spec_kind {
	SPEC_TEXT,   /* char[max]: NUL-terminated, not empty */
	SPEC_NUMBER, /* uint64_t in min..max */
	SPEC_RATIO,  /* uint32_t, millionths: "1%" or "1", "0.25%" */
	SPEC_TIME,   /* uint64_t, microseconds: "5ms", "20us", "1s" */
	SPEC_SWITCH, /* bool: "on" or "off" */
	SPEC_MAC,    /* uint8_t[6]: "02:00:5e:10:00:01", unicast */
	SPEC_WORD,   /* uint32_t: the word's index in @words */
};

#define SPEC_RATIO_ONE 1000000 /* every time */

struct spec_key {
	const char *name;
	enum spec_kind kind;
	size_t offset; /* of the value in the driver's struct */
	uint64_t min, max;
	const char *const *words; /* SPEC_WORD: ends with NULL */
};

/* Which part of the text follows the name. */
enum spec_extent {
	SPEC_TO_COLON, /* a wrapper's options, the inner spec follows */
	SPEC_TO_END,
};

/* Is the word at the spec's head exactly @name? Steps over it if so. */
bool spec_take_name(struct spec *spec, const char *name);

/*
 * Reads options into @values. Keys that the text does not name are left as
 * they are, so the caller puts the defaults there first.
 *
 * Returns: 0, or TOW_EINVAL with the message made.
 */
int spec_read(struct spec *spec, const char *driver,
	      const struct spec_key *keys, size_t key_count,
	      enum spec_extent extent, void *values);

/*
 * Make the message; returns @error, so that it can end a function.
 * spec_fail_at() adds where in the text it was.
 */
int spec_fail(struct spec *spec, int error, const char *format, ...)
	TOW_PRINTF(3, 4);
int spec_fail_at(struct spec *spec, const char *where, const char *format, ...)
	TOW_PRINTF(3, 4);

/*
 * Of @count names, @stride bytes apart from @names on, the one that @word was
 * probably meant to be, or NULL when nothing is near.
 */
const char *spec_nearest(const char *word, size_t word_bytes, const void *names,
			 size_t count, size_t stride);

#endif
