/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Directory listings: see http_listing.h.
 *
 * Everything that comes from a file's name is escaped twice over: for the URL
 * in href, byte by byte, so that names in any encoding work; for HTML where it
 * is shown. A name never begins a link, "./" does, because "a:b" alone would
 * be a scheme (RFC 3986 4.2).
 */
#include "http_listing.h"

#include <inttypes.h>
#include <string.h>
#include "http_target.h"

static const char page_head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n<title>";

static const char page_style[] =
	"</title>\n<style>\n"
	":root{color-scheme:light dark}\n"
	"body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;"
	"margin:2rem auto;padding:0 1rem}\n"
	"h1{font-size:1.3rem;overflow-wrap:anywhere}\n"
	"table{border-collapse:collapse;width:100%}\n"
	"th{text-align:left;font-weight:600}\n"
	"td,th{padding:.2rem .6rem;border-bottom:1px solid #8883}\n"
	"td:first-child{overflow-wrap:anywhere}\n"
	"tr:hover td{background:#8881}\n"
	"a{text-decoration:none}a:hover{text-decoration:underline}\n"
	".n{text-align:right;white-space:nowrap;"
	"font-variant-numeric:tabular-nums}\n"
	"</style></head>\n<body>\n";

/* "0 B", "999 B", "1.0 KiB", "12 MiB": three digits say enough. */
static void add_size(struct text *out, uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	uint64_t tenths;
	unsigned unit = 0;

	if (bytes < 1024) {
		text_printf(out, "%" PRIu64 " B", bytes);
		return;
	}
	while (bytes >= 1024 * 1024) {
		bytes /= 1024;
		unit++;
	}
	tenths = bytes * 10 / 1024;
	if (tenths < 100)
		text_printf(out, "%" PRIu64 ".%" PRIu64 " %ciB", tenths / 10,
			    tenths % 10, units[unit]);
	else
		text_printf(out, "%" PRIu64 " %ciB", tenths / 10, units[unit]);
}

static void add_time(struct text *out, time_t when)
{
	char text[32];
	struct tm tm;

	if (gmtime_r(&when, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm))
		text_add(out, text);
}

static void add_entry(struct text *out, const struct dir_entry *e)
{
	const char *slash = e->directory ? "/" : "";

	text_add(out, "<tr><td><a href=\"./");
	http_escape_name(out, e->name);
	text_printf(out, "%s\">", slash);
	http_escape_html(out, e->name);
	text_printf(out, "%s</a></td><td class=\"n\">", slash);
	if (!e->directory)
		add_size(out, e->size);
	text_add(out, "</td><td class=\"n\">");
	add_time(out, e->modified);
	text_add(out, "</td></tr>\n");
}

static void add_heading(struct text *out, const char *path)
{
	text_add(out, "/");
	if (strcmp(path, ".") == 0)
		return;
	http_escape_html(out, path);
	text_add(out, "/");
}

void http_listing(struct text *out, const char *path,
		  const struct dir_entry *entries, size_t count,
		  size_t left_out)
{
	size_t i;

	text_add(out, page_head);
	add_heading(out, path);
	text_add(out, page_style);
	text_add(out, "<h1>");
	add_heading(out, path);
	text_add(out, "</h1>\n<table>\n<tr><th>Name</th>"
		      "<th class=\"n\">Size</th>"
		      "<th class=\"n\">Modified (UTC)</th></tr>\n");
	if (strcmp(path, ".") != 0)
		text_add(out, "<tr><td><a href=\"../\">../</a></td>"
			      "<td></td><td></td></tr>\n");
	for (i = 0; i < count; i++)
		add_entry(out, &entries[i]);
	text_add(out, "</table>\n");
	if (left_out > 0)
		text_printf(out, "<p>and %zu more</p>\n", left_out);
	text_add(out, "</body></html>\n");
}
