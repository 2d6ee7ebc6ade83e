/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands of a script, `sysctl -q net.ipv4.tcp_ecn=1`.
 *
 * packetdrill runs them by system(3), so this library has one, which comes
 * first as it is preloaded (pd_setup.c). What sets up Linux is not run: it
 * would change the machine's own kernel. Settings are looked for in it, as
 * name=value behind "net.ipv4." or "/proc/sys/net/ipv4/", and those that are
 * options of tow/tcp.h apply to sockets from then on:
 *
 *	tcp_ecn           0 off, 1 asked for, 2 accepted
 *	tcp_fastopen      a mask, see enum pd_fast_open
 *	tcp_fastopen_key  four words in hexadecimal
 *
 * Others are passed over; a script that needs one fails. Whatever else it is,
 * the real system() runs it.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conformance/pd.h"

#define EXPORT __attribute__((visibility("default")))

static void set_ecn(struct world *w, const char *value)
{
	static const enum tow_tcp_ecn ecns[] = {
		TOW_TCP_ECN_OFF,
		TOW_TCP_ECN_ASK,
		TOW_TCP_ECN_ACCEPT,
	};
	unsigned long n = strtoul(value, NULL, 0);

	if (n < LENGTH(ecns))
		w->ecn = ecns[n];
}

static void set_fast_open(struct world *w, const char *value)
{
	w->fast_open = (unsigned)strtoul(value, NULL, 0);
}

/* As Linux writes and keeps them. */
static void set_fast_open_key(struct world *w, const char *value)
{
	unsigned words[4];
	uint8_t key[16];

	if (sscanf(value, "%x-%x-%x-%x", &words[0], &words[1], &words[2],
		   &words[3]) != 4)
		return;
	for (int i = 0; i < 16; i++)
		key[i] = (uint8_t)(words[i / 4] >> i % 4 * 8);
	(void)tow_tcp_fast_open_key(w->stack, key);
}

static const struct {
	const char *name;
	void (*set)(struct world *w, const char *value);
} settings[] = {
	{ "tcp_ecn=", set_ecn },
	{ "tcp_fastopen=", set_fast_open },
	{ "tcp_fastopen_key=", set_fast_open_key },
};

static void apply(struct world *w, const char *setting)
{
	for (size_t i = 0; i < LENGTH(settings); i++) {
		size_t length = strlen(settings[i].name);

		if (!strncmp(setting, settings[i].name, length))
			settings[i].set(w, setting + length);
	}
}

/* All settings behind one of the two ways to say where they are. */
void pd_settings_apply(struct world *w, const char *text)
{
	static const char *const places[] = { "net.ipv4.", "/net/ipv4/" };

	for (size_t i = 0; i < LENGTH(places); i++) {
		const char *at = text;

		while ((at = strstr(at, places[i])) != NULL) {
			at += strlen(places[i]);
			apply(w, at);
		}
	}
}

static bool sets_up_linux(const char *command)
{
	return strstr(command, "sysctl") || strstr(command, "defaults.sh");
}

/* Returns: as system(3) does. */
static int run(struct world *w, const char *command)
{
	if (strstr(command, "tcp_metrics flush"))
		tow_tcp_fast_open_forget(w->stack);
	else if (!strcmp(command, "true"))
		return 0;
	else if (!sets_up_linux(command))
		return -1;
	pd_settings_apply(w, command);
	return 0;
}

EXPORT int system(const char *command)
{
	struct world *w = &pd_world;
	int (*real)(const char *);
	int r = -1;

	if (w->stack && command) {
		pd_enter(w);
		pd_run(w);
		r = run(w, command);
		pd_run(w);
		pd_leave(w);
	}
	if (r == 0)
		return 0;
	*(void **)&real = dlsym(RTLD_NEXT, "system");
	return real(command);
}
