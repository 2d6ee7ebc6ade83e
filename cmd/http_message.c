/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP messages: see http_message.h.
 *
 * Theory of operation. http_parser calls back for pieces of the target, of
 * field names and values, and of the body. Two callbacks pause it: the end of
 * the head, so that nothing of the body is taken before the program decided
 * about it, and the end of the message, so that a pipelined request stays
 * where it is. While the head is read no more bytes are fed than the head may
 * still have, which bounds all that is kept.
 *
 * As Debian builds it, http_parser takes any byte where the framing has a CR
 * or LF: at the end of the head, of a chunk's size and of a chunk. Whoever
 * stands before us and reads more strictly would see another border between
 * two requests. So two more callbacks pause it, behind each chunk's size and
 * each chunk, and check_framing() looks at the bytes around (RFC 9112 7.1).
 */
#include "http_message.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const field_names[] = {
#define HTTP_FIELD_NAME(id, name) name,
	HTTP_FIELDS(HTTP_FIELD_NAME)
};

static int fail(struct http_message *m, int status, const char *problem)
{
	if (!m->status) {
		m->status = status;
		m->problem = problem;
	}
	return -1;
}

static int on_begin(struct http_parser *p)
{
	struct http_message *m = p->data;

	m->started = true;
	return 0;
}

static int on_target(struct http_parser *p, const char *at, size_t bytes)
{
	struct http_message *m = p->data;

	if (m->target.length + bytes > HTTP_TARGET_MAX)
		return fail(m, 414, "the target is too long");
	text_add_bytes(&m->target, at, bytes);
	return 0;
}

/* RFC 9112 5.1: a blank before the colon has been used to smuggle fields. */
static int on_name(struct http_parser *p, const char *at, size_t bytes)
{
	struct http_message *m = p->data;
	size_t i;

	if (m->head_ready)
		return 0; /* a trailer */
	if (m->in_value) {
		m->in_value = false;
		m->name_bytes = 0;
	}
	for (i = 0; i < bytes; i++) {
		char c = at[i];

		if (c == ' ' || c == '\t')
			return fail(m, 400, "a blank in a field's name");
		if (m->name_bytes < sizeof(m->name))
			m->name[m->name_bytes++] =
				c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	return 0;
}

/* RFC 9110 5.5: blanks around a value are not part of it. */
static void trim_end(struct text *value)
{
	while (value->length > 0 && (value->bytes[value->length - 1] == ' ' ||
				     value->bytes[value->length - 1] == '\t'))
		value->bytes[--value->length] = '\0';
}

static int find_field(const struct http_message *m)
{
	int i;

	for (i = 0; i < HTTP_FIELD_COUNT; i++)
		if (strlen(field_names[i]) == m->name_bytes &&
		    memcmp(field_names[i], m->name, m->name_bytes) == 0)
			return i;
	return -1;
}

static int on_value(struct http_parser *p, const char *at, size_t bytes)
{
	struct http_message *m = p->data;
	struct text *value;

	if (m->head_ready)
		return 0;
	if (!m->in_value) {
		m->in_value = true;
		m->field = find_field(m);
		if (m->field == FIELD_HOST && m->fields[FIELD_HOST].bytes)
			return fail(m, 400, "more than one Host");
		if (m->field >= 0 && m->fields[m->field].length > 0) {
			trim_end(&m->fields[m->field]);
			text_add(&m->fields[m->field], ", ");
		}
	}
	if (m->field < 0)
		return 0;
	value = &m->fields[m->field];
	text_add_bytes(value, at, bytes);
	return 0;
}

/* RFC 9112 2.3, 3.2 and 6.1: what makes a head unfit to be answered. */
static int check_request(struct http_message *m)
{
	const struct http_parser *p = &m->parser;
	const char *coding = m->fields[FIELD_TRANSFER_ENCODING].bytes;

	if (p->http_major != 1)
		return fail(m, 505, "not HTTP/1");
	if (p->http_minor >= 1 && !m->fields[FIELD_HOST].bytes)
		return fail(m, 400, "no Host");
	if (p->uses_transfer_encoding &&
	    !(p->flags & F_CHUNKED && strcasecmp(coding, "chunked") == 0))
		return fail(m, 501, "a transfer coding other than chunked");
	return 0;
}

static int on_head(struct http_parser *p)
{
	struct http_message *m = p->data;
	bool chunked = p->flags & F_CHUNKED;
	int i;

	for (i = 0; i < HTTP_FIELD_COUNT; i++) {
		if (!text_ok(&m->fields[i]))
			return fail(m, 503, "out of memory");
		trim_end(&m->fields[i]);
	}
	if (!text_ok(&m->target))
		return fail(m, 503, "out of memory");
	if (p->type == HTTP_REQUEST && check_request(m) != 0)
		return -1;
	/* RFC 9112 6.1: HTTP/1.0 has no chunks; who knows what it meant. */
	m->keep_alive = http_should_keep_alive(p) &&
			!(p->uses_transfer_encoding && p->http_minor == 0);
	m->length_known = !chunked && p->flags & F_CONTENTLENGTH;
	m->content_length = m->length_known ? p->content_length : 0;
	m->has_body = chunked || m->content_length > 0;
	m->head_ready = m->head_lf = true;
	p->upgrade = 0; /* we never do, RFC 9110 7.8 lets us ignore it */
	http_parser_pause(p, 1);
	return 0;
}

static int on_body(struct http_parser *p, const char *at, size_t bytes)
{
	struct http_message *m = p->data;

	if (m->body_count == m->body_room) {
		size_t room = m->body_room ? m->body_room * 2 : 16;
		struct tow_span *body = realloc(m->body, room * sizeof(*body));

		if (!body)
			return fail(m, 503, "out of memory");
		m->body = body;
		m->body_room = room;
	}
	m->body[m->body_count++] = (struct tow_span){ at, bytes };
	m->body_bytes += bytes;
	return 0;
}

static int on_chunk_size(struct http_parser *p)
{
	struct http_message *m = p->data;

	m->in_size_line = false;
	m->last_chunk = p->content_length == 0;
	m->line_ended = true;
	http_parser_pause(p, 1);
	return 0;
}

/* The last one ends with the message. */
static int on_chunk_end(struct http_parser *p)
{
	struct http_message *m = p->data;

	if (m->last_chunk)
		return 0;
	m->in_size_line = true;
	m->line_ended = true;
	http_parser_pause(p, 1);
	return 0;
}

static int on_end(struct http_parser *p)
{
	struct http_message *m = p->data;

	m->done = true;
	http_parser_pause(p, 1);
	return 0;
}

static const struct http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_url = on_target,
	.on_header_field = on_name,
	.on_header_value = on_value,
	.on_headers_complete = on_head,
	.on_body = on_body,
	.on_chunk_header = on_chunk_size,
	.on_chunk_complete = on_chunk_end,
	.on_message_complete = on_end,
};

void http_message_begin(struct http_message *m, enum http_parser_type type)
{
	int i;

	http_parser_init(&m->parser, type);
	m->parser.data = m;
	m->status = 0;
	m->problem = NULL;
	m->started = m->head_ready = m->done = false;
	m->has_body = m->keep_alive = m->length_known = false;
	m->content_length = m->body_bytes = 0;
	m->head_bytes = m->name_bytes = m->body_count = 0;
	m->field = -1;
	m->in_value = false;
	m->head_lf = m->in_size_line = m->last_chunk = m->line_ended = false;
	m->last_byte = '\0';
	/* An idle connection keeps no memory for the next request's head. */
	text_free(&m->target);
	for (i = 0; i < HTTP_FIELD_COUNT; i++)
		text_free(&m->fields[i]);
}

void http_message_free(struct http_message *m)
{
	http_message_begin(m, HTTP_REQUEST);
	free(m->body);
	m->body = NULL;
	m->body_room = 0;
}

/* The answer to what http_parser did not like. */
static void explain(struct http_message *m)
{
	enum http_errno error = HTTP_PARSER_ERRNO(&m->parser);
	int status = 400;

	if (error == HPE_INVALID_METHOD)
		status = 501;
	else if (error == HPE_INVALID_TRANSFER_ENCODING)
		status = 501;
	else if (error == HPE_INVALID_VERSION)
		status = 505;
	else if (error == HPE_HEADER_OVERFLOW)
		status = 431;
	fail(m, status, http_errno_description(error));
}

static enum http_progress over_limit(struct http_message *m)
{
	fail(m, 431, "the head is too long");
	return HTTP_BAD;
}

/* Do some bytes, and those before them, end with CR LF? */
static bool ends_with_crlf(const struct http_message *m, const char *bytes,
			   size_t count)
{
	char before = count > 1 ? bytes[count - 2] : m->last_byte;

	return count > 0 && bytes[count - 1] == '\n' && before == '\r';
}

/* A line feed within a chunk's extension would be a line's end to others. */
static bool has_lf_within(const char *bytes, size_t count, bool line_ended)
{
	return count > line_ended && memchr(bytes, '\n', count - line_ended);
}

/* @in_size_line: at the first of these bytes. */
static void check_framing(struct http_message *m, const char *bytes,
			  size_t count, bool in_size_line)
{
	bool ends_chunks = m->done && m->last_chunk;

	if (m->line_ended && !ends_with_crlf(m, bytes, count))
		fail(m, 400, "a chunk that does not end with a line");
	else if (in_size_line && has_lf_within(bytes, count, m->line_ended))
		fail(m, 400, "a line feed in a chunk's size");
	else if (ends_chunks && (count == 0 || bytes[count - 1] != '\n'))
		fail(m, 400, "chunks that do not end with a line");
}

static size_t execute_once(struct http_message *m, const char *bytes,
			   size_t count)
{
	bool in_size_line = m->in_size_line;
	size_t used;

	m->line_ended = false;
	http_parser_pause(&m->parser, 0);
	used = http_parser_execute(&m->parser, &settings, bytes, count);
	check_framing(m, bytes, used, in_size_line);
	if (used > 0)
		m->last_byte = bytes[used - 1];
	return used;
}

/* Goes on over the pauses that only serve to look at the framing. */
static size_t execute(struct http_message *m, const char *bytes, size_t count)
{
	size_t used = 0;

	do {
		used += execute_once(m, bytes + used, count - used);
	} while (m->line_ended && !m->status && used < count);
	return used;
}

/* http_parser paused at the byte that ends the head: feed it that one alone. */
static size_t finish_head(struct http_message *m, const char *bytes)
{
	m->head_lf = false;
	(void)execute_once(m, bytes, 1);
	m->in_size_line = m->parser.flags & F_CHUNKED;
	return 1;
}

static enum http_progress end_head(struct http_message *m, char last)
{
	if (last == '\n')
		return HTTP_HEAD_READY;
	fail(m, 400, "a head that does not end with a line");
	return HTTP_BAD;
}

enum http_progress http_message_feed(struct http_message *m, const void *bytes,
				     size_t count, size_t *used)
{
	bool in_head = !m->head_ready;
	size_t left = HTTP_HEAD_MAX - m->head_bytes;
	size_t feed = in_head && count > left ? left : count;
	enum http_errno error;

	*used = 0;
	if (m->status)
		return HTTP_BAD;
	if (m->done)
		return HTTP_DONE;
	if (feed == 0)
		return count ? over_limit(m) : HTTP_MORE;
	if (m->head_lf)
		*used = finish_head(m, bytes);
	if (!m->status && !m->done && *used < feed)
		*used += execute(m, (const char *)bytes + *used, feed - *used);
	error = HTTP_PARSER_ERRNO(&m->parser);
	if (in_head)
		m->head_bytes += *used;
	if (m->status)
		return HTTP_BAD;
	if (error != HPE_OK && error != HPE_PAUSED) {
		explain(m);
		return HTTP_BAD;
	}
	if (m->done && !in_head)
		return HTTP_DONE;
	if (m->head_ready && in_head)
		return end_head(m, ((const char *)bytes)[*used]);
	return *used < count && feed < count ? over_limit(m) : HTTP_MORE;
}

bool http_message_end(struct http_message *m)
{
	if (m->done)
		return true;
	http_parser_pause(&m->parser, 0);
	http_parser_execute(&m->parser, &settings, NULL, 0);
	return m->done;
}

void http_message_expect_no_body(struct http_message *m)
{
	m->parser.flags |= F_SKIPBODY;
}

void http_message_skip_body(struct http_message *m)
{
	m->body_bytes = m->content_length;
	m->done = true;
}

const char *http_message_field(const struct http_message *m,
			       enum http_field field)
{
	return m->fields[field].bytes;
}
