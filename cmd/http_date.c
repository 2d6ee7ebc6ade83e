/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP dates, RFC 9110 5.6.7, free of the locale.
 *
 *	Sun, 06 Nov 1994 08:49:37 GMT    IMF-fixdate, the one we write
 *	Sunday, 06-Nov-94 08:49:37 GMT   RFC 850
 *	Sun Nov  6 08:49:37 1994         asctime()
 *
 * A scanner is a pointer that moves; it becomes NULL with the first thing that
 * does not fit, and then nothing more fits, so that a form reads as the list
 * of its parts.
 */
#include "http_date.h"

#include <stdio.h>
#include <string.h>

static const char weekdays[7][10] = { "Sunday",	   "Monday",   "Tuesday",
				      "Wednesday", "Thursday", "Friday",
				      "Saturday" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
				    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

char *http_date_format(time_t when, char out[HTTP_DATE_BYTES])
{
	struct tm tm;

	/* Years of more than four digits do not exist in HTTP. */
	if (!gmtime_r(&when, &tm) || tm.tm_year > 9999 - 1900 ||
	    tm.tm_year < -1900) {
		when = 0;
		gmtime_r(&when, &tm);
	}
	snprintf(out, HTTP_DATE_BYTES, "%.3s, %02u %s %04u %02u:%02u:%02u GMT",
		 weekdays[tm.tm_wday], (unsigned)tm.tm_mday % 100,
		 months[tm.tm_mon], (unsigned)(tm.tm_year + 1900) % 10000,
		 (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
		 (unsigned)tm.tm_sec % 100);
	return out;
}

static void expect(const char **at, const char *word)
{
	size_t length = strlen(word);

	if (*at && strncmp(*at, word, length) == 0)
		*at += length;
	else
		*at = NULL;
}

/* Exactly @digits digits. */
static int number(const char **at, int digits)
{
	int value = 0;

	for (; *at && digits > 0; digits--) {
		if (**at < '0' || **at > '9') {
			*at = NULL;
			return 0;
		}
		value = value * 10 + *(*at)++ - '0';
	}
	return value;
}

static int month(const char **at)
{
	int i;

	for (i = 0; *at && i < 12; i++) {
		if (strncmp(*at, months[i], 3) == 0) {
			*at += 3;
			return i;
		}
	}
	*at = NULL;
	return 0;
}

static void clock_time(const char **at, struct tm *tm)
{
	tm->tm_hour = number(at, 2);
	expect(at, ":");
	tm->tm_min = number(at, 2);
	expect(at, ":");
	tm->tm_sec = number(at, 2);
}

static void imf_fixdate(const char **at, struct tm *tm)
{
	expect(at, ", ");
	tm->tm_mday = number(at, 2);
	expect(at, " ");
	tm->tm_mon = month(at);
	expect(at, " ");
	tm->tm_year = number(at, 4) - 1900;
	expect(at, " ");
	clock_time(at, tm);
	expect(at, " GMT");
}

static void rfc850(const char **at, struct tm *tm, time_t now)
{
	struct tm today;
	int year;

	expect(at, ", ");
	tm->tm_mday = number(at, 2);
	expect(at, "-");
	tm->tm_mon = month(at);
	expect(at, "-");
	year = number(at, 2);
	expect(at, " ");
	clock_time(at, tm);
	expect(at, " GMT");
	gmtime_r(&now, &today);
	tm->tm_year = today.tm_year / 100 * 100 + year;
	if (tm->tm_year > today.tm_year + 50)
		tm->tm_year -= 100;
}

/* Two columns, the first of which may be blank: " 6". */
static int padded_day(const char **at)
{
	if (*at && **at == ' ') {
		++*at;
		return number(at, 1);
	}
	return number(at, 2);
}

static void asctime_date(const char **at, struct tm *tm)
{
	expect(at, " ");
	tm->tm_mon = month(at);
	expect(at, " ");
	tm->tm_mday = padded_day(at);
	expect(at, " ");
	clock_time(at, tm);
	expect(at, " ");
	tm->tm_year = number(at, 4) - 1900;
}

/* Skip the name of a day; -1 when there is none, else the length of it. */
static int weekday_length(const char *text)
{
	int i;

	for (i = 0; i < 7; i++) {
		size_t length = strlen(weekdays[i]);

		if (strncmp(text, weekdays[i], length) == 0)
			return (int)length;
		if (strncmp(text, weekdays[i], 3) == 0)
			return 3;
	}
	return -1;
}

/* timegm() puts a 31 April right; we do not want it to. */
static bool in_calendar(const struct tm *tm, time_t *out)
{
	struct tm copy = *tm;

	if (tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60)
		return false;
	*out = timegm(&copy);
	return copy.tm_mday == tm->tm_mday && copy.tm_mon == tm->tm_mon;
}

bool http_date_parse(const char *text, time_t now, time_t *out)
{
	struct tm tm = { 0 };
	const char *at = text;
	int length = weekday_length(text);

	if (length < 0)
		return false;
	at += length;
	if (length > 3)
		rfc850(&at, &tm, now);
	else if (*at == ',')
		imf_fixdate(&at, &tm);
	else
		asctime_date(&at, &tm);
	return at && *at == '\0' && in_calendar(&tm, out);
}
