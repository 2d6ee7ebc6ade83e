/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests: what is asked for, and which answer it gets (RFC 9110).
 *
 *	request_begin()          the head is there: method, expectation, target
 *	  -> open_target()       … a worker …
 *	     -> request_answer_file()   conditions, ranges, plan
 *	  -> upload_begin()      PUT
 *	  -> request_answer()    everything that is only a status
 *	request_log()            at the end, however it ended
 */
#include "serve_http.h"

#include <string.h>
#include <strings.h>
#include "http_mime.h"

static const char methods_read[] = "GET, HEAD, OPTIONS";
static const char methods_all[] = "GET, HEAD, OPTIONS, PUT";

static const char *allowed(const struct server *server)
{
	return server->settings.writable ? methods_all : methods_read;
}

/*
 * A connection is kept if the client can tell where the answer ends and we can
 * tell where its next request begins: not behind a body that nobody read.
 */
static bool may_keep(const struct conn *c)
{
	const struct http_message *m = &c->request;

	return m->head_ready && m->status == 0 && m->keep_alive &&
	       (!m->has_body || m->done) && !c->server->draining &&
	       c->requests < SERVE_REQUESTS_MAX;
}

void request_base(struct conn *c, int status)
{
	c->reply = (struct http_reply){
		.status = status,
		.head_only = c->request.head_ready &&
			     c->request.parser.method == HTTP_HEAD,
		.keep_alive = may_keep(c),
		.http_minor = c->request.head_ready
				      ? c->request.parser.http_minor
				      : 1,
		.now = c->server->now,
	};
}

void request_answer(struct conn *c, int status)
{
	request_base(c, status);
	if (status == 405)
		c->reply.allow = allowed(c->server);
	http_plan_status(&c->plan, &c->reply);
	send_begin(c);
}

static void answer_options(struct conn *c)
{
	request_base(c, 204);
	c->reply.allow = allowed(c->server);
	http_plan_status(&c->plan, &c->reply);
	send_begin(c);
}

struct http_conditions request_conditions(const struct http_message *m)
{
	return (struct http_conditions){
		.if_match = http_message_field(m, FIELD_IF_MATCH),
		.if_none_match = http_message_field(m, FIELD_IF_NONE_MATCH),
		.if_modified_since =
			http_message_field(m, FIELD_IF_MODIFIED_SINCE),
		.if_unmodified_since =
			http_message_field(m, FIELD_IF_UNMODIFIED_SINCE),
		.if_range = http_message_field(m, FIELD_IF_RANGE),
	};
}

/* RFC 9110 14.2: a Range counts for GET only. */
static enum http_range_verdict
wanted_ranges(const struct conn *c, struct http_range *ranges, unsigned *count)
{
	const char *value = http_message_field(&c->request, FIELD_RANGE);
	struct http_conditions conditions = request_conditions(&c->request);

	if (!value || c->request.parser.method != HTTP_GET ||
	    !http_range_applies(&conditions, &c->file.map->validators,
				c->server->now))
		return RANGE_WHOLE;
	return http_ranges(value, c->file.map->size, ranges, count);
}

static void plan_file(struct conn *c)
{
	struct http_range ranges[HTTP_RANGES_MAX];
	unsigned count = 0;

	switch (wanted_ranges(c, ranges, &count)) {
	case RANGE_WHOLE:
		http_plan_file(&c->plan, &c->reply, c->file.map->size);
		break;
	case RANGE_PARTS:
		c->reply.status = 206;
		http_plan_ranges(&c->plan, &c->reply, c->file.map->size, ranges,
				 count, c->http->boundary++);
		break;
	case RANGE_UNSATISFIABLE:
		c->reply.status = 416;
		c->reply.validators = NULL;
		http_plan_unsatisfiable(&c->plan, &c->reply, c->file.map->size);
		break;
	}
}

void request_answer_file(struct conn *c, struct file_map *map, const char *name)
{
	struct http_conditions conditions = request_conditions(&c->request);

	c->file.map = map;
	request_base(c, 200);
	c->reply.content_type = http_mime_type(name);
	c->reply.validators = &map->validators;
	c->reply.accept_ranges = true;
	switch (http_condition(&conditions, &map->validators, true,
			       c->server->now)) {
	case CONDITION_HOLDS:
		plan_file(c);
		break;
	case CONDITION_NOT_MODIFIED:
		c->reply.status = 304;
		http_plan_status(&c->plan, &c->reply);
		break;
	case CONDITION_FAILED:
		c->reply.status = 412;
		c->reply.validators = NULL;
		http_plan_status(&c->plan, &c->reply);
		break;
	}
	send_begin(c);
}

/* Methods that the RFC knows and we do not allow: 405. Others: 501. */
static int refuse_method(unsigned method)
{
	switch (method) {
	case HTTP_POST:
	case HTTP_PUT:
	case HTTP_DELETE:
	case HTTP_CONNECT:
	case HTTP_TRACE:
	case HTTP_PATCH:
		return 405;
	default:
		return 501;
	}
}

static bool expects_the_impossible(const struct http_message *m)
{
	const char *expect = http_message_field(m, FIELD_EXPECT);

	return expect && strcasecmp(expect, "100-continue") != 0;
}

void request_begin(struct conn *c)
{
	struct http_message *m = &c->request;
	struct http_target target;
	unsigned method = m->parser.method;
	int status;

	c->requests++;
	c->answering = true;
	c->reply.status = 0; /* not known yet */
	if (method == HTTP_OPTIONS) {
		answer_options(c);
		return;
	}
	status = http_target_parse(m->target.bytes, m->target.length, &target);
	if (expects_the_impossible(m))
		request_answer(c, 417);
	else if (method != HTTP_GET && method != HTTP_HEAD &&
		 !(method == HTTP_PUT && c->server->settings.writable))
		request_answer(c, refuse_method(method));
	else if (status != 0)
		request_answer(c, status);
	else if (method == HTTP_PUT)
		upload_begin(c, &target);
	else
		open_target(c, &target);
}

/* Bytes of the body that went out: all queued but the head. */
static uint64_t body_bytes_sent(const struct conn *c)
{
	uint64_t sent = c->queued_bytes - c->answered_from;
	uint64_t head = c->plan.part_count ? c->plan.parts[0].bytes : 0;

	return sent > head ? sent - head : 0;
}

void request_log(struct conn *c)
{
	const struct http_message *m = &c->request;
	struct access_entry entry = {
		.peer = c->peer,
		.method = m->head_ready
				  ? http_method_str(
					    (enum http_method)m->parser.method)
				  : NULL,
		.target = m->target.bytes,
		.protocol = m->parser.http_minor ? "HTTP/1.1" : "HTTP/1.0",
		.status = c->reply.status,
		.body_bytes = body_bytes_sent(c),
	};

	if (c->answering && c->server->log && c->reply.status)
		access_log_add(c->server->log, c->server->now, &entry);
	c->answering = false;
}
