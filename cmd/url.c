/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * URLs: see url.h. The splitting is http_parser's; what is added is the
 * encoding of what people type, and the resolving of relative references.
 */
#include "url.h"

#include <http_parser.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "http_target.h"
#include "text.h"

#define URL_TEXT_MAX (URL_TARGET_MAX + URL_HOST_MAX + 64)

/* What must not stand in a request line becomes %XX; the rest stays. */
static bool encode(const char *from, char *out, size_t size)
{
	size_t n = 0;

	for (; *from && *from != '#'; from++) {
		unsigned char c = (unsigned char)*from;
		bool plain = c > ' ' && c < 127 && !strchr("\"<>\\^`{|}", c);

		if (n + 4 > size)
			return false;
		if (plain)
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, 4, "%%%02X", c);
	}
	out[n] = '\0';
	return true;
}

static void copy_field(const char *text, const struct http_parser_url *u,
		       int field, char *out, size_t size)
{
	snprintf(out, size, "%.*s", u->field_data[field].len,
		 text + u->field_data[field].off);
}

static bool has(const struct http_parser_url *u, int field)
{
	return u->field_set & 1 << field;
}

static void copy_target(const char *text, const struct http_parser_url *u,
			struct url *out)
{
	const char *from = "/";
	const char *query = NULL;
	int path_bytes = 1;

	if (has(u, UF_PATH)) {
		from = text + u->field_data[UF_PATH].off;
		path_bytes = u->field_data[UF_PATH].len;
	}
	if (has(u, UF_QUERY))
		query = text + u->field_data[UF_QUERY].off;
	snprintf(out->target, sizeof(out->target), "%.*s%s%.*s", path_bytes,
		 from, query ? "?" : "",
		 query ? u->field_data[UF_QUERY].len : 0, query ? query : "");
}

/* RFC 3986 3.1: "://" further behind is part of a query. */
static bool has_scheme(const char *text)
{
	size_t bytes = strspn(text, "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return bytes > 0 && strncmp(text + bytes, "://", 3) == 0;
}

const char *url_parse(const char *given, struct url *out)
{
	char text[URL_TEXT_MAX];
	struct http_parser_url u;
	char plain[URL_TEXT_MAX];
	char scheme[16];

	if (strlen(given) >= URL_TARGET_MAX)
		return "is too long";
	snprintf(plain, sizeof(plain), "%s%s",
		 has_scheme(given) ? "" : "http://", given);
	if (!encode(plain, text, sizeof(text)))
		return "is too long";
	http_parser_url_init(&u);
	if (http_parser_parse_url(text, strlen(text), 0, &u) != 0)
		return "is not a URL like http://192.0.2.1:8000/file";
	copy_field(text, &u, UF_SCHEMA, scheme, sizeof(scheme));
	if (strcasecmp(scheme, "http") != 0)
		return "is not an http:// URL, and others are not spoken here";
	if (u.field_data[UF_HOST].len == 0 ||
	    u.field_data[UF_HOST].len >= sizeof(out->host))
		return "has no host, or one that is too long";
	if (has(&u, UF_USERINFO))
		return "has a user name, which is not supported";
	copy_field(text, &u, UF_HOST, out->host, sizeof(out->host));
	out->ipv6_literal = strchr(out->host, ':') != NULL;
	out->port = has(&u, UF_PORT) ? u.port : 80;
	copy_target(text, &u, out);
	return out->port ? NULL : "has no port that can be";
}

/* The directory of a target: "/a/b?q" -> "/a/". */
static int directory_bytes(const char *target)
{
	size_t path = strcspn(target, "?");

	while (path > 0 && target[path - 1] != '/')
		path--;
	return (int)path;
}

const char *url_resolve(const char *location, const struct url *base,
			struct url *out)
{
	char text[URL_TEXT_MAX], authority[URL_HOST_MAX + 16];
	int kept;

	if (strlen(location) >= URL_TARGET_MAX)
		return "is too long";
	if (has_scheme(location))
		return url_parse(location, out);
	url_authority(base, authority, sizeof(authority));
	if (strncmp(location, "//", 2) == 0) {
		snprintf(text, sizeof(text), "http:%s", location);
		return url_parse(text, out);
	}
	kept = location[0] == '/'   ? 0
	       : location[0] == '?' ? (int)strcspn(base->target, "?")
				    : directory_bytes(base->target);
	if (snprintf(text, sizeof(text), "http://%s%.*s%s", authority, kept,
		     base->target, location) >= (int)sizeof(text))
		return "is too long";
	return url_parse(text, out);
}

void url_authority(const struct url *url, char *out, unsigned size)
{
	char port[8] = "";

	if (url->port != 80)
		snprintf(port, sizeof(port), ":%u", url->port);
	snprintf(out, size, url->ipv6_literal ? "[%s]%s" : "%s%s", url->host,
		 port);
}

void url_file_name(const struct url *url, char *out, unsigned size)
{
	struct http_target target;
	const char *slash;

	snprintf(out, size, "index.html");
	if (http_target_parse(url->target, strlen(url->target), &target) != 0 ||
	    target.directory)
		return;
	slash = strrchr(target.path, '/');
	snprintf(out, size, "%s", slash ? slash + 1 : target.path);
}
