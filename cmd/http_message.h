/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tow/span.h>
#include "text.h"

/*
 * Message: one HTTP/1 request or response, read piece by piece.
 *
 * The grammar is libhttp-parser's (docs/decisions/0001-http-parser.md); this
 * keeps what we care about and enforces our limits. Bytes go in as they
 * arrive, cut anywhere; the body comes out as spans that point into the bytes
 * that were fed, so that it can go to a file without a copy.
 *
 *	http_message_begin(m, HTTP_REQUEST);
 *	for (;;) {
 *		switch (http_message_feed(m, bytes, count, &used)) {
 *		case HTTP_MORE: …     all was used, feed the next bytes
 *		case HTTP_HEAD_READY: …  look at the fields, decide, feed on
 *		case HTTP_DONE: …     what is left belongs to the next message
 *		case HTTP_BAD: …      m->status says how to answer
 *		}
 *	}
 */
#define HTTP_HEAD_MAX	16384 /* bytes of start line and fields together */
#define HTTP_TARGET_MAX 8192  /* bytes of the request target */

/* The fields that are kept; all others are parsed and forgotten. */
#define HTTP_FIELDS(X)                                \
	X(HOST, "host")                               \
	X(RANGE, "range")                             \
	X(IF_MATCH, "if-match")                       \
	X(IF_NONE_MATCH, "if-none-match")             \
	X(IF_MODIFIED_SINCE, "if-modified-since")     \
	X(IF_UNMODIFIED_SINCE, "if-unmodified-since") \
	X(IF_RANGE, "if-range")                       \
	X(EXPECT, "expect")                           \
	X(TRANSFER_ENCODING, "transfer-encoding")     \
	X(CONTENT_RANGE, "content-range")             \
	X(LOCATION, "location")                       \
	X(ETAG, "etag")                               \
	X(LAST_MODIFIED, "last-modified")

#define HTTP_FIELD_ID(id, name) FIELD_##id,
enum http_field { HTTP_FIELDS(HTTP_FIELD_ID) HTTP_FIELD_COUNT };
#undef HTTP_FIELD_ID

enum http_progress {
	HTTP_MORE,
	HTTP_HEAD_READY,
	HTTP_DONE,
	HTTP_BAD,
};

struct http_message {
	struct http_parser
		parser;	     /* method, status_code, http_minor: see there */
	int status;	     /* with HTTP_BAD: 400, 414, 431, 501, 505 */
	const char *problem; /* with HTTP_BAD: a phrase */
	bool started;	     /* a byte of it arrived */
	bool head_ready;
	bool done;
	bool has_body; /* the head announces one, of any length but zero */
	bool keep_alive;
	bool length_known; /* content_length holds */
	uint64_t content_length;
	size_t head_bytes;
	struct text target; /* request: as the client wrote it */
	struct text fields[HTTP_FIELD_COUNT]; /* repeated ones joined by ", " */

	/* Body bytes since the caller last set body_count to 0. */
	struct tow_span *body;
	size_t body_count, body_room;
	uint64_t body_bytes; /* of the whole message up to now */

	char name[32]; /* the field being read, in lower case */
	size_t name_bytes;
	int field; /* enum http_field, -1: one we do not keep */
	bool in_value;

	/* Framing that is looked at here, because http_parser does not. */
	bool head_lf;	   /* the next byte is the last of the head */
	bool in_size_line; /* of a chunk */
	bool last_chunk;
	bool line_ended; /* what was fed ends with a line of the framing */
	char last_byte;	 /* that was fed */
};

/* Start with a zeroed struct, or one that carried a message before. */
void http_message_begin(struct http_message *m, enum http_parser_type type);
void http_message_free(struct http_message *m);

enum http_progress http_message_feed(struct http_message *m, const void *bytes,
				     size_t count, size_t *used);

/* The peer closed: whether that ends the message properly. */
bool http_message_end(struct http_message *m);

/* The response has no body whatever its fields say (an answer to HEAD). */
void http_message_expect_no_body(struct http_message *m);

/* The rest of a body of known length went another way: the message is done. */
void http_message_skip_body(struct http_message *m);

/* The value of a field, NULL when the message has none. */
const char *http_message_field(const struct http_message *m,
			       enum http_field field);

#endif
