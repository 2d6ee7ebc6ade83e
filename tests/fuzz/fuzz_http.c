/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP side: any bytes, cut anywhere, as requests or as responses.
 *
 * The first byte chooses requests or responses and how the rest is cut. What
 * a message's head says is then taken all the way to a plan: target, dates,
 * conditions, ranges, listing and log are parsers of what a client wrote.
 *
 * What must hold: bytes are used up or the message is over; a decoded target
 * stays below its root; ranges lie in the file; a plan's parts add up to its
 * Content-Length; the same bytes in one piece say the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "http_condition.h"
#include "http_listing.h"
#include "http_message.h"
#include "http_mime.h"
#include "http_reply.h"
#include "http_target.h"
#include "url.h"

#define NOW	  1700000000
#define FILE_SIZE 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct http_validators file = {
	.exists = true,
	.etag = "\"1-186a0-3e8.0\"",
	.modified = 784111777,
};

static void check_path(const struct http_target *t)
{
	const char *part = t->path;
	size_t length;

	ASSERT(strlen(t->path) == t->length && t->length > 0);
	if (strcmp(t->path, ".") == 0)
		return;
	for (;; part += length + 1) {
		length = strcspn(part, "/");
		ASSERT(length > 0 && length <= 255);
		ASSERT(!(length == 1 && part[0] == '.'));
		ASSERT(!(length == 2 && part[0] == '.' && part[1] == '.'));
		if (part[length] == '\0')
			break;
	}
}

/* What we write about a path reads back as the same path. */
static void check_round_trip(const struct http_target *t)
{
	struct http_target again;
	struct text escaped = { 0 };

	http_escape_path(&escaped, t->path, t->directory);
	ASSERT(text_ok(&escaped));
	ASSERT(!strpbrk(escaped.bytes, " \r\n\"<>?#"));
	ASSERT(escaped.length < 2 || escaped.bytes[1] != '/');
	ASSERT(http_target_parse(escaped.bytes, escaped.length, &again) == 0);
	ASSERT(strcmp(again.path, t->path) == 0);
	text_free(&escaped);
}

static void try_target(const struct text *raw)
{
	struct dir_entry entry = { 0 };
	struct text page = { 0 };
	struct http_target t;
	int status;

	status = http_target_parse(raw->bytes, raw->length, &t);
	if (status != 0) {
		ASSERT(status == 400 || status == 404 || status == 414);
		return;
	}
	check_path(&t);
	check_round_trip(&t);
	(void)http_mime_type(t.path);
	entry.name = t.path;
	http_listing(&page, t.path, &entry, 1, 0);
	ASSERT(text_ok(&page));
	text_free(&page);
}

static uint64_t announced_bytes(const struct http_plan *plan)
{
	const char *field = strstr(plan->text.bytes, "\r\nContent-Length: ");

	ASSERT(field);
	return strtoull(field + 18, NULL, 10);
}

static void check_plan(const struct http_plan *plan)
{
	uint64_t sum = 0;
	unsigned i;

	ASSERT(text_ok(&plan->text) && plan->part_count <= HTTP_PARTS_MAX);
	for (i = 0; i < plan->part_count; i++) {
		const struct http_part *part = &plan->parts[i];

		ASSERT(part->bytes > 0);
		ASSERT(part->first + part->bytes <=
		       (part->from_file ? FILE_SIZE : plan->text.length));
		sum += i ? part->bytes : 0;
	}
	ASSERT(sum == announced_bytes(plan));
}

static void try_ranges(const char *value)
{
	struct http_reply reply = { .status = 206,
				    .now = NOW,
				    .content_type = "text/plain",
				    .validators = &file };
	struct http_range ranges[HTTP_RANGES_MAX];
	struct http_plan plan = { 0 };
	uint64_t total = 0;
	unsigned count, i;

	if (http_ranges(value, FILE_SIZE, ranges, &count) != RANGE_PARTS)
		return;
	ASSERT(count > 0 && count <= HTTP_RANGES_MAX);
	for (i = 0; i < count; i++) {
		ASSERT(ranges[i].bytes > 0 && ranges[i].first < FILE_SIZE);
		ASSERT(ranges[i].bytes <= FILE_SIZE - ranges[i].first);
		total += ranges[i].bytes;
	}
	ASSERT(total <= FILE_SIZE);
	http_plan_ranges(&plan, &reply, FILE_SIZE, ranges, count, 1);
	check_plan(&plan);
	http_plan_free(&plan);
}

static void try_request(const struct http_message *m)
{
	struct http_conditions c = {
		.if_match = http_message_field(m, FIELD_IF_MATCH),
		.if_none_match = http_message_field(m, FIELD_IF_NONE_MATCH),
		.if_modified_since =
			http_message_field(m, FIELD_IF_MODIFIED_SINCE),
		.if_unmodified_since =
			http_message_field(m, FIELD_IF_UNMODIFIED_SINCE),
		.if_range = http_message_field(m, FIELD_IF_RANGE),
	};
	const char *range = http_message_field(m, FIELD_RANGE);

	try_target(&m->target);
	(void)http_condition(&c, &file, true, NOW);
	(void)http_condition(&c, &file, false, NOW);
	(void)http_range_applies(&c, &file, NOW);
	if (range)
		try_ranges(range);
}

static void try_response(const struct http_message *m)
{
	const char *location = http_message_field(m, FIELD_LOCATION);
	struct url base, next;
	char name[256];

	if (!location || url_parse("http://[2001:db8::1]:81/a/b?c", &base))
		return;
	if (url_resolve(location, &base, &next))
		return;
	ASSERT(next.target[0] == '/' && next.port != 0);
	ASSERT(!strpbrk(next.target, " \r\n"));
	ASSERT(!strpbrk(next.host, " \r\n"));
	url_file_name(&next, name, sizeof(name));
	ASSERT(name[0] && !strchr(name, '/') && strcmp(name, "..") != 0);
}

/* A sum of all that a run over the bytes said. */
struct outcome {
	unsigned heads, messages;
	int status;
	uint64_t body_bytes, body_sum;
};

static void add_body(struct outcome *o, struct http_message *m)
{
	size_t i, k;

	for (i = 0; i < m->body_count; i++) {
		const uint8_t *at = m->body[i].ptr;

		for (k = 0; k < m->body[i].len; k++)
			o->body_sum = o->body_sum * 31 + at[k];
		o->body_bytes += m->body[i].len;
	}
	m->body_count = 0;
}

static size_t feed_piece(struct outcome *o, struct http_message *m,
			 enum http_parser_type type, const uint8_t *data,
			 size_t bytes)
{
	size_t used;

	switch (http_message_feed(m, data, bytes, &used)) {
	case HTTP_MORE:
		ASSERT(used == bytes);
		break;
	case HTTP_HEAD_READY:
		o->heads++;
		ASSERT(m->head_bytes <= HTTP_HEAD_MAX);
		if (type == HTTP_REQUEST)
			try_request(m);
		else
			try_response(m);
		break;
	case HTTP_DONE:
		o->messages++;
		break;
	case HTTP_BAD:
		ASSERT(m->status >= 400 && m->problem);
		o->status = m->status;
		break;
	}
	ASSERT(used <= bytes);
	add_body(o, m);
	return used;
}

static struct outcome run(const uint8_t *data, size_t bytes, size_t step,
			  enum http_parser_type type)
{
	struct http_message m = { 0 };
	struct outcome o = { 0 };
	size_t at = 0;
	unsigned stuck = 0;

	http_message_begin(&m, type);
	while (at < bytes && !o.status) {
		size_t n = MIN(bytes - at, step);
		size_t used = feed_piece(&o, &m, type, data + at, n);

		stuck = used ? 0 : stuck + 1;
		ASSERT(stuck < 4);
		at += used;
		if (m.done)
			http_message_begin(&m, type);
	}
	if (!o.status)
		(void)http_message_end(&m);
	http_message_free(&m);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	enum http_parser_type type;
	struct outcome whole, cut;

	if (bytes < 1)
		return 0;
	type = data[0] & 1 ? HTTP_RESPONSE : HTTP_REQUEST;
	whole = run(data + 1, bytes - 1, SIZE_MAX, type);
	cut = run(data + 1, bytes - 1, 1 + (data[0] >> 1), type);
	ASSERT(whole.heads == cut.heads && whole.messages == cut.messages);
	ASSERT(whole.status == cut.status);
	ASSERT(whole.body_bytes == cut.body_bytes);
	ASSERT(whole.body_sum == cut.body_sum);
	return 0;
}
