/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "http_message.h"
#include "http_reply.h"
#include "test.h"

/* What a run over some bytes found, in pieces of @step bytes. */
struct found {
	int heads, messages, status;
	bool keep_alive;
	char target[100], host[100], body[1000];
	size_t body_bytes;
};

static void keep_body(struct found *f, struct http_message *m)
{
	size_t i;

	for (i = 0; i < m->body_count; i++) {
		CHECK_LE(f->body_bytes + m->body[i].len, sizeof(f->body));
		memcpy(f->body + f->body_bytes, m->body[i].ptr, m->body[i].len);
		f->body_bytes += m->body[i].len;
	}
	m->body_count = 0;
}

static void keep_head(struct found *f, const struct http_message *m)
{
	const char *host = http_message_field(m, FIELD_HOST);

	f->heads++;
	f->keep_alive = m->keep_alive;
	snprintf(f->target, sizeof(f->target), "%s",
		 m->target.bytes ? m->target.bytes : "");
	snprintf(f->host, sizeof(f->host), "%s", host ? host : "");
}

static struct found run(const char *bytes, size_t step,
			enum http_parser_type type)
{
	struct http_message m = { 0 };
	struct found f = { 0 };
	size_t at = 0, count = strlen(bytes), used;

	http_message_begin(&m, type);
	while (at < count && !f.status) {
		size_t n = count - at < step ? count - at : step;
		/* A copy of its own, so that reading past it is noticed. */
		char *piece = malloc(n);

		memcpy(piece, bytes + at, n);
		switch (http_message_feed(&m, piece, n, &used)) {
		case HTTP_MORE:
			CHECK_EQ(used, n);
			break;
		case HTTP_HEAD_READY:
			keep_head(&f, &m);
			break;
		case HTTP_DONE:
			f.messages++;
			break;
		case HTTP_BAD:
			f.status = m.status;
			break;
		}
		keep_body(&f, &m);
		if (m.done)
			http_message_begin(&m, type);
		at += used;
		free(piece);
	}
	http_message_free(&m);
	return f;
}

/* The result must not depend on how the bytes are cut. */
static struct found request(const char *bytes)
{
	struct found whole = run(bytes, 100000, HTTP_REQUEST);
	size_t step;

	for (step = 1; step < 12; step++) {
		struct found f = run(bytes, step, HTTP_REQUEST);

		CHECK_EQ(f.heads, whole.heads);
		CHECK_EQ(f.messages, whole.messages);
		CHECK_EQ(f.status, whole.status);
		CHECK_EQ(f.body_bytes, whole.body_bytes);
		CHECK_MEM(f.body, whole.body, f.body_bytes);
		CHECK_STR(f.target, whole.target);
		CHECK_STR(f.host, whole.host);
	}
	return whole;
}

TEST(pipelined_requests_come_one_by_one)
{
	struct found f = request("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
				 "HEAD /y HTTP/1.1\r\nhOsT:  b \r\n\r\n");

	CHECK_EQ(f.messages, 2);
	CHECK_STR(f.target, "/y");
	CHECK_STR(f.host, "b");
	CHECK(f.keep_alive);
}

TEST(a_body_of_known_length_ends_where_it_says)
{
	struct found f = request("PUT /x HTTP/1.1\r\nHost: a\r\n"
				 "Content-Length: 5\r\n\r\nhello"
				 "GET /y HTTP/1.0\r\n\r\n");

	CHECK_EQ(f.messages, 2);
	CHECK_EQ(f.body_bytes, 5);
	CHECK_MEM(f.body, "hello", 5);
	CHECK(!f.keep_alive);
}

/* RFC 9112 7.1 */
TEST(a_chunked_body_loses_its_chunks_and_trailers)
{
	struct found f = request("PUT /x HTTP/1.1\r\nHost: a\r\n"
				 "Transfer-Encoding: chunked\r\n\r\n"
				 "5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\n"
				 "Host: evil\r\n\r\n"
				 "GET /y HTTP/1.1\r\nHost: b\r\n\r\n");

	CHECK_EQ(f.messages, 2);
	CHECK_EQ(f.body_bytes, 8);
	CHECK_MEM(f.body, "helloabc", 8);
	CHECK_STR(f.host, "b");
}

/* RFC 9112 11.2: what has been used to smuggle requests */
TEST(ambiguous_framing_is_refused)
{
#define PUT "PUT /x HTTP/1.1\r\nHost: a\r\n"
	CHECK_EQ(request(PUT "Content-Length: 5\r\nContent-Length: 6\r\n\r\n")
			 .status,
		 400);
	CHECK_EQ(request(PUT "Content-Length: 5\r\n"
			     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
			 .status,
		 400);
	CHECK_EQ(request(PUT "Transfer-Encoding: gzip\r\n\r\n").status, 501);
	CHECK_EQ(request(PUT "Content-Length : 5\r\n\r\nhello").status, 400);
	CHECK_EQ(request(PUT "Content-Length: -5\r\n\r\n").status, 400);
	CHECK_EQ(request(PUT "Content-Length: 99999999999999999999\r\n\r\n")
			 .status,
		 400);
	CHECK_EQ(request(PUT "Transfer-Encoding: chunked\r\n\r\nzz\r\n").status,
		 400);
	CHECK_EQ(request(PUT "Transfer-Encoding: gzip\r\n"
			     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
			 .status,
		 501);
	CHECK_EQ(request(PUT "Transfer-Encoding: identity, chunked\r\n\r\n"
			     "0\r\n\r\n")
			 .status,
		 501);
}

/* RFC 9112 7.1: two readers must not see two different borders. */
TEST(framing_without_line_ends_is_refused)
{
#define CHUNKS(c) request(PUT "Transfer-Encoding: chunked\r\n\r\n" c)
	CHECK_EQ(CHUNKS("3\r\nabcXX0\r\n\r\n").status, 400);
	CHECK_EQ(CHUNKS("3\r\nabc\rX0\r\n\r\n").status, 400);
	CHECK_EQ(CHUNKS("3\r\nabcX\n0\r\n\r\n").status, 400);
	CHECK_EQ(CHUNKS("3\rXabc\r\n0\r\n\r\n").status, 400);
	CHECK_EQ(CHUNKS("3;a\nxx\r\nabc\r\n0\r\n\r\n").status, 400);
	CHECK_EQ(CHUNKS("3\r\nabc\r\n0\r\n\rX").status, 400);
	CHECK_EQ(CHUNKS("3\r\nabc\r\n0\r\nA: b\r\n\rX").status, 400);
	CHECK_EQ(CHUNKS("3\r\nabc\r\n0\r\n\r\n").messages, 1);
	CHECK_EQ(CHUNKS("3;x=\"y\"\r\n\n\r\n\r\n0\r\n\r\n").messages, 1);
	CHECK_EQ(request("GET /x HTTP/1.1\r\nHost: a\r\n\rX").status, 400);
	CHECK_EQ(request(PUT "Content-Length: 1\r\n\r\rX").status, 400);
#undef CHUNKS
}

/* RFC 9112 6.1 */
TEST(chunks_from_an_old_client_end_its_connection)
{
	struct found f = request("PUT /x HTTP/1.0\r\nConnection: keep-alive\r\n"
				 "Transfer-Encoding: chunked\r\n\r\n"
				 "0\r\n\r\n");

	CHECK_EQ(f.messages, 1);
	CHECK(!f.keep_alive);
}

/* RFC 9112 3.2 */
TEST(host_must_be_there_exactly_once)
{
	CHECK_EQ(request("GET / HTTP/1.1\r\n\r\n").status, 400);
	CHECK_EQ(request("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n").status,
		 400);
	CHECK_EQ(request("GET / HTTP/1.1\r\nHost:\r\n\r\n").messages, 1);
	CHECK_EQ(request("GET / HTTP/1.0\r\n\r\n").messages, 1);
}

TEST(strange_methods_and_versions_have_their_own_answers)
{
	CHECK_EQ(request("BREW / HTTP/1.1\r\nHost: a\r\n\r\n").status, 501);
	CHECK_EQ(request("GET / HTTP/2.0\r\nHost: a\r\n\r\n").status, 505);
	CHECK_EQ(request("GET /x\r\n\r\n").status, 505);
	CHECK_EQ(request("GET / FTP/1.1\r\nHost: a\r\n\r\n").status, 400);
	CHECK_EQ(request("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n").status, 400);
	CHECK_EQ(request("\x16\x03\x01\x02\x00\x01").status, 501);
}

/* RFC 9110 7.8: a server may ignore Upgrade */
TEST(an_upgrade_is_ignored)
{
	struct found f = request("GET /x HTTP/1.1\r\nHost: a\r\n"
				 "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
				 "GET /y HTTP/1.1\r\nHost: a\r\n\r\n");

	CHECK_EQ(f.messages, 2);
	CHECK_STR(f.target, "/y");
}

static struct found long_request(size_t target_bytes, size_t field_bytes)
{
	char *bytes = malloc(target_bytes + field_bytes + 100);
	struct found f;
	char *at = bytes;

	at += sprintf(at, "GET /");
	memset(at, 'a', target_bytes);
	at += target_bytes;
	at += sprintf(at, " HTTP/1.1\r\nHost: a\r\nX: ");
	memset(at, 'b', field_bytes);
	at += field_bytes;
	sprintf(at, "\r\n\r\n");
	f = request(bytes);
	free(bytes);
	return f;
}

/* RFC 9110 15.5.15, RFC 6585 5 */
TEST(heads_that_are_too_long_are_refused)
{
	CHECK_EQ(long_request(10, 1000).messages, 1);
	CHECK_EQ(long_request(HTTP_TARGET_MAX, 10).status, 414);
	CHECK_EQ(long_request(10, HTTP_HEAD_MAX).status, 431);
}

TEST(repeated_fields_are_one_list)
{
	struct http_message m = { 0 };
	const char *bytes = "GET / HTTP/1.1\r\nHost: a\r\n"
			    "If-None-Match: \"x\"\r\nRange: bytes=0-1\r\n"
			    "If-None-Match: \"y\"\r\n\r\n";
	size_t used;

	http_message_begin(&m, HTTP_REQUEST);
	CHECK_EQ(http_message_feed(&m, bytes, strlen(bytes), &used),
		 HTTP_HEAD_READY);
	CHECK_STR(http_message_field(&m, FIELD_IF_NONE_MATCH), "\"x\", \"y\"");
	CHECK_STR(http_message_field(&m, FIELD_RANGE), "bytes=0-1");
	CHECK(!http_message_field(&m, FIELD_IF_MATCH));
	http_message_free(&m);
}

/* The spans point into the bytes that were fed: nothing was copied. */
TEST(the_body_stays_in_place)
{
	struct http_message m = { 0 };
	const char *bytes = PUT "Content-Length: 5\r\n\r\nhello";
	size_t used, more;

	http_message_begin(&m, HTTP_REQUEST);
	CHECK_EQ(http_message_feed(&m, bytes, strlen(bytes), &used),
		 HTTP_HEAD_READY);
	CHECK(m.has_body && m.length_known);
	CHECK_EQ(m.content_length, 5);
	CHECK_EQ(http_message_feed(&m, bytes + used, strlen(bytes) - used,
				   &more),
		 HTTP_DONE);
	CHECK_EQ(used + more, strlen(bytes));
	CHECK_EQ(m.body_count, 1);
	CHECK_EQ(m.body[0].ptr, strstr(bytes, "hello"));
	http_message_free(&m);
}

/* RFC 9112 6.3: without a length the body lasts until the end */
TEST(a_response_without_length_ends_with_the_connection)
{
	struct http_message m = { 0 };
	const char *bytes = "HTTP/1.0 200 OK\r\n\r\nhello";
	size_t used, more;

	http_message_begin(&m, HTTP_RESPONSE);
	CHECK_EQ(http_message_feed(&m, bytes, strlen(bytes), &used),
		 HTTP_HEAD_READY);
	CHECK_EQ(http_message_feed(&m, bytes + used, strlen(bytes) - used,
				   &more),
		 HTTP_MORE);
	CHECK_EQ(m.body_bytes, 5);
	CHECK(http_message_end(&m));
	http_message_begin(&m, HTTP_RESPONSE);
	bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
	CHECK_EQ(http_message_feed(&m, bytes, strlen(bytes), &used),
		 HTTP_HEAD_READY);
	CHECK_EQ(http_message_feed(&m, bytes + used, strlen(bytes) - used,
				   &more),
		 HTTP_MORE);
	CHECK(!http_message_end(&m));
	http_message_free(&m);
}

static const struct http_validators validators = {
	.exists = true,
	.etag = "\"tag\"",
	.modified = 784111777,
};

static struct http_reply reply_of(int status)
{
	return (struct http_reply){
		.status = status,
		.keep_alive = true,
		.http_minor = 1,
		.now = 784111778,
		.content_type = "text/plain",
		.validators = &validators,
		.accept_ranges = true,
	};
}

TEST(a_file_goes_out_behind_its_head)
{
	struct http_reply r = reply_of(200);
	struct http_plan plan = { 0 };

	http_plan_file(&plan, &r, 1000);
	CHECK(text_ok(&plan.text));
	CHECK_EQ(plan.part_count, 2);
	CHECK(plan.parts[1].from_file);
	CHECK_EQ(plan.parts[1].bytes, 1000);
	CHECK_EQ(plan.body_bytes, 1000);
	CHECK(strstr(plan.text.bytes, "HTTP/1.1 200 OK\r\n") ==
	      plan.text.bytes);
	CHECK(strstr(plan.text.bytes, "\r\nContent-Length: 1000\r\n"));
	CHECK(strstr(plan.text.bytes, "\r\nETag: \"tag\"\r\n"));
	CHECK(strstr(plan.text.bytes,
		     "\r\nDate: Sun, 06 Nov 1994 08:49:38 GMT\r\n"));
	CHECK(!strstr(plan.text.bytes, "Connection:"));
	r.head_only = true;
	http_plan_file(&plan, &r, 1000);
	CHECK_EQ(plan.part_count, 1);
	CHECK(strstr(plan.text.bytes, "\r\nContent-Length: 1000\r\n"));
	http_plan_free(&plan);
}

/* RFC 9110 8.6, 15.4.5 */
TEST(not_modified_has_validators_and_nothing_else)
{
	struct http_reply r = reply_of(304);
	struct http_plan plan = { 0 };

	http_plan_status(&plan, &r);
	CHECK_EQ(plan.part_count, 1);
	CHECK(strstr(plan.text.bytes, "ETag: \"tag\""));
	CHECK(!strstr(plan.text.bytes, "Content-Length"));
	CHECK(!strstr(plan.text.bytes, "Content-Type"));
	http_plan_free(&plan);
}

/* RFC 9110 14.6: the lengths of all parts are what Content-Length says */
TEST(multipart_adds_up)
{
	struct http_range ranges[] = { { 0, 10 }, { 500, 1 }, { 990, 10 } };
	struct http_reply r = reply_of(206);
	struct http_plan plan = { 0 };
	uint64_t sum = 0, text = 0, announced;
	unsigned i;

	http_plan_ranges(&plan, &r, 1000, ranges, 3, 0x1234);
	CHECK_EQ(plan.part_count, 8);
	for (i = 1; i < plan.part_count; i++)
		sum += plan.parts[i].bytes;
	for (i = 0; i < plan.part_count; i++)
		if (!plan.parts[i].from_file) {
			CHECK_EQ(plan.parts[i].first, text);
			text += plan.parts[i].bytes;
		}
	CHECK_EQ(text, plan.text.length);
	CHECK_EQ(sscanf(strstr(plan.text.bytes, "Content-Length: "),
			"Content-Length: %lu", &announced),
		 1);
	CHECK_EQ(announced, sum);
	CHECK(strstr(plan.text.bytes,
		     "multipart/byteranges; boundary=0000000000001234\r\n"));
	CHECK(strstr(plan.text.bytes,
		     "\r\n--0000000000001234\r\nContent-Type: text/plain\r\n"
		     "Content-Range: bytes 500-500/1000\r\n\r\n"));
	CHECK(strstr(plan.text.bytes, "\r\n--0000000000001234--\r\n"));
	http_plan_free(&plan);
}

TEST(as_many_ranges_as_there_may_be_fit)
{
	struct http_range ranges[HTTP_RANGES_MAX];
	struct http_reply r = reply_of(206);
	struct http_plan plan = { 0 };
	unsigned i;

	for (i = 0; i < HTTP_RANGES_MAX; i++)
		ranges[i] = (struct http_range){ i, 1 };
	http_plan_ranges(&plan, &r, 1000, ranges, HTTP_RANGES_MAX, 1);
	CHECK_EQ(plan.part_count, HTTP_PARTS_MAX);
	http_plan_free(&plan);
}

TEST(an_unsatisfiable_range_says_how_long_the_file_is)
{
	struct http_reply r = reply_of(416);
	struct http_plan plan = { 0 };

	http_plan_unsatisfiable(&plan, &r, 1000);
	CHECK(strstr(plan.text.bytes, "Content-Range: bytes */1000\r\n"));
	CHECK(strstr(plan.text.bytes, "<h1>Range Not Satisfiable</h1>"));
	http_plan_free(&plan);
}
