/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Response heads and plans: see http_reply.h. RFC 9110 for the fields, RFC
 * 9112 for the form, RFC 9110 14.6 for multipart/byteranges.
 */
#include "http_reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <tow/stack.h>
#include "http_date.h"

static const struct reason {
	int status;
	const char *phrase;
} reasons[] = {
	{ 100, "Continue" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 304, "Not Modified" },
	{ 400, "Bad Request" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
};

const char *http_reason(int status)
{
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].phrase;
	return "Unknown";
}

/* RFC 9110 8.6: neither a length nor a body goes with these. */
static bool has_no_content(int status)
{
	return status == 204 || status == 304 || status < 200;
}

/* The fields that every response has. */
static void begin_head(struct http_plan *plan, const struct http_reply *r)
{
	char date[HTTP_DATE_BYTES];
	struct text *out = &plan->text;

	http_plan_clear(plan);
	text_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: tow/%s\r\n",
		    r->status, http_reason(r->status),
		    http_date_format(r->now, date), tow_version());
	if (r->validators)
		text_printf(out, "Last-Modified: %s\r\nETag: %s\r\n",
			    http_date_format(r->validators->modified, date),
			    r->validators->etag);
	if (r->accept_ranges)
		text_add(out, "Accept-Ranges: bytes\r\n");
	if (r->location)
		text_printf(out, "Location: %s\r\n", r->location);
	if (r->allow)
		text_printf(out, "Allow: %s\r\n", r->allow);
	if (!r->keep_alive)
		text_add(out, "Connection: close\r\n");
	else if (r->http_minor == 0)
		text_add(out, "Connection: keep-alive\r\n");
}

static void add_part(struct http_plan *plan, bool from_file, uint64_t first,
		     uint64_t bytes)
{
	if (bytes > 0)
		plan->parts[plan->part_count++] =
			(struct http_part){ from_file, first, bytes };
}

static void end_head(struct http_plan *plan, const struct http_reply *r,
		     const char *content_type, uint64_t content_length)
{
	struct text *out = &plan->text;

	if (content_type)
		text_printf(out, "Content-Type: %s\r\n", content_type);
	if (!has_no_content(r->status))
		text_printf(out, "Content-Length: %" PRIu64 "\r\n",
			    content_length);
	text_add(out, "\r\n");
	add_part(plan, false, 0, out->length);
	if (!r->head_only)
		plan->body_bytes = content_length;
}

void http_plan_file(struct http_plan *plan, const struct http_reply *r,
		    uint64_t size)
{
	begin_head(plan, r);
	end_head(plan, r, r->content_type, size);
	if (!r->head_only)
		add_part(plan, true, 0, size);
}

static void plan_one_range(struct http_plan *plan, const struct http_reply *r,
			   uint64_t size, const struct http_range *range)
{
	begin_head(plan, r);
	text_printf(&plan->text,
		    "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64
		    "\r\n",
		    range->first, range->first + range->bytes - 1, size);
	end_head(plan, r, r->content_type, range->bytes);
	if (!r->head_only)
		add_part(plan, true, range->first, range->bytes);
}

static void add_part_head(struct text *out, const struct http_reply *r,
			  uint64_t size, const struct http_range *range,
			  uint64_t boundary)
{
	text_printf(out,
		    "\r\n--%016" PRIx64 "\r\nContent-Type: %s\r\n"
		    "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64
		    "\r\n\r\n",
		    boundary, r->content_type, range->first,
		    range->first + range->bytes - 1, size);
}

/*
 * The length of the body has to stand in the head, so the heads of the parts
 * are written first, into a text of their own that is appended afterwards.
 */
static void plan_multipart(struct http_plan *plan, const struct http_reply *r,
			   uint64_t size, const struct http_range *ranges,
			   unsigned count, uint64_t boundary)
{
	struct text heads = { 0 };
	size_t ends[HTTP_RANGES_MAX + 1];
	uint64_t length = 0;
	size_t head_bytes, at = 0;
	char type[80];
	unsigned i;

	for (i = 0; i < count; i++) {
		add_part_head(&heads, r, size, &ranges[i], boundary);
		ends[i] = heads.length;
		length += ranges[i].bytes;
	}
	text_printf(&heads, "\r\n--%016" PRIx64 "--\r\n", boundary);
	ends[count] = heads.length;
	length += heads.length;

	begin_head(plan, r);
	snprintf(type, sizeof(type),
		 "multipart/byteranges; boundary=%016" PRIx64, boundary);
	end_head(plan, r, type, length);
	head_bytes = plan->text.length;
	if (!text_ok(&heads))
		plan->text.failed = true;
	else if (!r->head_only)
		text_add_bytes(&plan->text, heads.bytes, heads.length);
	for (i = 0; i <= count && !r->head_only; i++) {
		add_part(plan, false, head_bytes + at, ends[i] - at);
		if (i < count)
			add_part(plan, true, ranges[i].first, ranges[i].bytes);
		at = ends[i];
	}
	text_free(&heads);
}

void http_plan_ranges(struct http_plan *plan, const struct http_reply *r,
		      uint64_t size, const struct http_range *ranges,
		      unsigned count, uint64_t boundary)
{
	if (count == 1)
		plan_one_range(plan, r, size, &ranges[0]);
	else
		plan_multipart(plan, r, size, ranges, count, boundary);
}

static void status_page(struct text *out, int status)
{
	text_printf(out,
		    "<!DOCTYPE html>\n<html lang=\"en\"><head>"
		    "<meta charset=\"utf-8\"><title>%d %s</title></head>\n"
		    "<body><h1>%s</h1></body></html>\n",
		    status, http_reason(status), http_reason(status));
}

static void end_with_page(struct http_plan *plan, const struct http_reply *r)
{
	struct text page = { 0 };
	size_t head_bytes;

	if (r->status < 400 && r->status != 301) { /* success says it all */
		end_head(plan, r, NULL, 0);
		return;
	}
	status_page(&page, r->status);
	end_head(plan, r, "text/html; charset=utf-8", page.length);
	head_bytes = plan->text.length;
	if (!text_ok(&page))
		plan->text.failed = true;
	else if (!r->head_only)
		text_add_bytes(&plan->text, page.bytes, page.length);
	add_part(plan, false, head_bytes, plan->text.length - head_bytes);
	text_free(&page);
}

void http_plan_unsatisfiable(struct http_plan *plan, const struct http_reply *r,
			     uint64_t size)
{
	begin_head(plan, r);
	text_printf(&plan->text, "Content-Range: bytes */%" PRIu64 "\r\n",
		    size);
	end_with_page(plan, r);
}

void http_plan_text(struct http_plan *plan, const struct http_reply *r,
		    const char *body, size_t bytes)
{
	size_t head_bytes;

	begin_head(plan, r);
	end_head(plan, r, r->content_type, bytes);
	head_bytes = plan->text.length;
	if (!r->head_only)
		text_add_bytes(&plan->text, body, bytes);
	add_part(plan, false, head_bytes, plan->text.length - head_bytes);
}

void http_plan_status(struct http_plan *plan, const struct http_reply *r)
{
	begin_head(plan, r);
	end_with_page(plan, r);
}

void http_plan_clear(struct http_plan *plan)
{
	text_clear(&plan->text);
	plan->part_count = 0;
	plan->body_bytes = 0;
}

void http_plan_free(struct http_plan *plan)
{
	text_free(&plan->text);
	plan->part_count = 0;
}
