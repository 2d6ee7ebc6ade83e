/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "http_condition.h"
#include "http_range.h"
#include "text.h"

/*
 * Reply: the head of a response, and the plan of what follows it.
 *
 * The head is text. The body is a list of parts, each a piece of the text or a
 * piece of the file, in the order in which they are sent:
 *
 *	text  | head | --b CRLF Content-Range…  | --b CRLF …       | --b-- |
 *	parts   [0]    [1]          [2] file      [3]     [4] file   [5]
 */
#define HTTP_PARTS_MAX (2 * HTTP_RANGES_MAX + 2)

struct http_part {
	bool from_file;
	uint64_t first, bytes; /* in the file, or in the text */
};

struct http_reply {
	int status;
	bool head_only; /* HEAD: the fields of a body, but no body */
	bool keep_alive;
	int http_minor; /* of the request */
	time_t now;
	const char *content_type;
	const char *location;			  /* escaped already */
	const char *allow;			  /* with 405 and OPTIONS */
	const struct http_validators *validators; /* of a file, or NULL */
	bool accept_ranges;
};

struct http_plan {
	struct text text;
	struct http_part parts[HTTP_PARTS_MAX];
	unsigned part_count;
	uint64_t body_bytes; /* for the access log: without the head */
};

const char *http_reason(int status);

/* A whole file. */
void http_plan_file(struct http_plan *plan, const struct http_reply *reply,
		    uint64_t size);

/*
 * http_plan_ranges() - 206 with one range, or several as multipart/byteranges
 * @boundary: a random number that the file will not contain by chance
 */
void http_plan_ranges(struct http_plan *plan, const struct http_reply *reply,
		      uint64_t size, const struct http_range *ranges,
		      unsigned count, uint64_t boundary);

/* 416: none of the ranges exists in a file of @size. */
void http_plan_unsatisfiable(struct http_plan *plan,
			     const struct http_reply *reply, uint64_t size);

/* A body that is at hand, for instance a listing. */
void http_plan_text(struct http_plan *plan, const struct http_reply *reply,
		    const char *body, size_t bytes);

/* Any status that explains itself: a short page with the reason. */
void http_plan_status(struct http_plan *plan, const struct http_reply *reply);

/* Forget the plan but keep its memory. */
void http_plan_clear(struct http_plan *plan);
void http_plan_free(struct http_plan *plan);

#endif
