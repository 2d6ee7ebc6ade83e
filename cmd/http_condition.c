/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conditional requests: see http_condition.h.
 */
#include "http_condition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "http_date.h"

void http_etag_format(char out[HTTP_ETAG_BYTES], uint64_t inode, uint64_t size,
		      int64_t modified_s, uint32_t modified_ns)
{
	snprintf(out, HTTP_ETAG_BYTES,
		 "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%" PRIx32 "\"", inode,
		 size, (uint64_t)modified_s, modified_ns);
}

/*
 * The next entity tag of a list: entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE.
 * Returns where it begins, moves @at behind it; NULL at the end or at the
 * first thing that is not a tag.
 */
static const char *next_tag(const char **at, size_t *bytes, bool *weak)
{
	const char *p = *at + strspn(*at, " \t,");
	const char *tag, *end;

	*weak = strncmp(p, "W/", 2) == 0;
	tag = *weak ? p + 2 : p;
	if (*tag != '"')
		return NULL;
	end = strchr(tag + 1, '"');
	if (!end)
		return NULL;
	*bytes = (size_t)(end + 1 - tag);
	*at = end + 1;
	return tag;
}

/*
 * Our tags are all strong, so a strong comparison differs from a weak one
 * (RFC 9110 8.8.3.2) only in that it refuses the client's weak ones.
 */
static bool lists_tag(const char *list, const struct http_validators *file,
		      bool strongly)
{
	const char *tag;
	size_t bytes;
	bool weak;

	if (list[strspn(list, " \t")] == '*')
		return file->exists;
	if (!file->exists)
		return false;
	while ((tag = next_tag(&list, &bytes, &weak)))
		if (!(weak && strongly) && bytes == strlen(file->etag) &&
		    memcmp(tag, file->etag, bytes) == 0)
			return true;
	return false;
}

/* A field that is no valid date is as good as not there (13.1.3, 13.1.4). */
static bool modified_after(const char *date, const struct http_validators *file,
			   time_t now, bool otherwise)
{
	time_t when;

	if (!file->exists || !http_date_parse(date, now, &when))
		return otherwise;
	return file->modified > when;
}

enum http_condition http_condition(const struct http_conditions *request,
				   const struct http_validators *file,
				   bool reads, time_t now)
{
	/* 1 and 2: the client means the version that it knows */
	if (request->if_match) {
		if (!lists_tag(request->if_match, file, true))
			return CONDITION_FAILED;
	} else if (request->if_unmodified_since) {
		if (modified_after(request->if_unmodified_since, file, now,
				   false))
			return CONDITION_FAILED;
	}
	/* 3 and 4: the client has a version already */
	if (request->if_none_match) {
		if (lists_tag(request->if_none_match, file, false))
			return reads ? CONDITION_NOT_MODIFIED
				     : CONDITION_FAILED;
	} else if (reads && request->if_modified_since) {
		if (!modified_after(request->if_modified_since, file, now,
				    true))
			return CONDITION_NOT_MODIFIED;
	}
	return CONDITION_HOLDS;
}

/*
 * A date is a strong validator only if the file cannot have changed twice in
 * its second, which we know once the second is over (8.8.2.2).
 */
bool http_range_applies(const struct http_conditions *request,
			const struct http_validators *file, time_t now)
{
	const char *value = request->if_range;
	time_t when;

	if (!value)
		return true;
	if (value[0] == '"' || strncmp(value, "W/", 2) == 0)
		return strcmp(value, file->etag) == 0;
	return http_date_parse(value, now, &when) && when == file->modified &&
	       now > file->modified;
}
