/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What packetdrill does not tell a shared object, and what it asks past it.
 *
 * The network of a script (--local_ip, --mtu, ...) stands in its first lines
 * and on the command line, both of which are there to be read.
 *
 * Settings of the whole system are the business of pd_system.c. A script that
 * has lost the lines with them still waits for the SYN that asks for ECN, or
 * sends the SYN with the option of Fast Open.
 *
 * Code in a script, %{ assert tcpi_state == 1 }%, gets its numbers by the C
 * library's getsockopt(), not by the table of functions. So this library has
 * one, which comes first if the library is preloaded: packetdrill is started
 * once more that way.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "conformance/pd.h"

#define EXPORT __attribute__((visibility("default")))

/* The last "--name=value" in @text: the value, up to the next blank. */
static bool value_of(const char *text, const char *name, char *out, size_t room)
{
	size_t length = strlen(name), n = 0;
	const char *at = text, *last = NULL;

	while ((at = strstr(at, name)) != NULL) {
		at += length;
		if (*at == '=')
			last = at + 1;
	}
	while (last && n + 1 < room && last[n] > ' ')
		n++;
	if (last) {
		memcpy(out, last, n);
		out[n] = '\0';
	}
	return last != NULL;
}

static unsigned prefix_of_netmask(const char *mask)
{
	unsigned b[4], bits = 0;

	if (sscanf(mask, "%u.%u.%u.%u", &b[0], &b[1], &b[2], &b[3]) != 4)
		return 16;
	for (int i = 0; i < 4; i++) {
		for (unsigned bit = 0x80; bit; bit >>= 1)
			bits += (b[i] & bit) != 0;
	}
	return bits;
}

static void read_options(struct pd_setup *s, const char *text)
{
	char value[64], mask[64];
	unsigned prefix = s->v6 ? 64 : 16;

	if (value_of(text, "--ip_version", value, sizeof(value)))
		s->v6 = strcmp(value, "ipv6") == 0;
	if (s->v6 && s->local[0] != 'f')
		*s = (struct pd_setup){ .v6 = true,
					.mtu = s->mtu,
					.local = "fd3d:0a0b:17d6::1/64",
					.gateway = "fd3d:0a0b:17d6:8888::1" };
	prefix = s->v6 ? 64 : 16;
	if (value_of(text, "--netmask_ip", mask, sizeof(mask)))
		prefix = prefix_of_netmask(mask);
	if (value_of(text, "--local_ip", value, TOW_ADDR_TEXT_MAX))
		snprintf(s->local, sizeof(s->local), "%s/%u", value, prefix);
	if (value_of(text, "--gateway_ip", value, TOW_ADDR_TEXT_MAX))
		snprintf(s->gateway, sizeof(s->gateway), "%s", value);
	if (value_of(text, "--mtu", value, sizeof(value)))
		s->mtu = (unsigned)strtoul(value, NULL, 10);
}

/* What the script takes for a setting of the whole system. */
static void read_sysctls(struct pd_setup *s, const char *script)
{
	s->ask_ecn = strstr(script, "net.ipv4.tcp_ecn=1") ||
		     strstr(script, "net.inet.tcp.ecn.enable=1") ||
		     strstr(script, "> SEW ");
	s->fast_open = strstr(script, ",FO ") || strstr(script, "FOEXP") ||
		       strstr(script, "TCP_FASTOPEN");
}

static char *slurp(const char *path, size_t *bytes)
{
	FILE *f = fopen(path, "r");
	size_t room = 1 << 20;
	char *text = f ? calloc(1, room) : NULL;

	if (text)
		*bytes = fread(text, 1, room - 1, f);
	if (f)
		fclose(f);
	return text;
}

/* The script is the last argument; all have a NUL behind them. */
static void read_command_line(struct pd_setup *out)
{
	size_t bytes = 0, at = 0, script_bytes;
	char *line = slurp("/proc/self/cmdline", &bytes), *script;
	const char *last = "";

	if (!line)
		return;
	for (; at < bytes; at += strlen(line + at) + 1)
		last = line + at;
	script = slurp(last, &script_bytes);
	if (script) {
		read_options(out, script);
		read_sysctls(out, script);
	}
	free(script);
	for (at = 0; at < bytes; at += strlen(line + at) + 1)
		read_options(out, line + at);
	free(line);
}

void pd_setup_read(struct pd_setup *out, const char *flags)
{
	*out = (struct pd_setup){ .local = "192.168.0.1/16",
				  .gateway = "192.168.0.254",
				  .mtu = 1500 };
	read_command_line(out);
	if (flags)
		read_options(out, flags);
}

/* -------------------------------------------------------------- preloading */

static const char *own_path(void)
{
	static const char here;
	Dl_info info;

	return dladdr(&here, &info) ? info.dli_fname : NULL;
}

static char **arguments(void)
{
	size_t bytes = 0, at, count = 0;
	char *line = slurp("/proc/self/cmdline", &bytes);
	char **argv = calloc(bytes + 1, sizeof(*argv));

	if (!line || !argv)
		pd_die("out of memory");
	for (at = 0; at < bytes; at += strlen(line + at) + 1)
		argv[count++] = line + at;
	return argv;
}

/* Start the same program again, with this library in front; or go on. */
void pd_preload(void)
{
	const char *before = getenv("LD_PRELOAD"), *path = own_path();
	char list[4096];

	if (!path || getenv("TOW_PACKETDRILL"))
		return;
	snprintf(list, sizeof(list), "%s%s%s", path, before ? ":" : "",
		 before ? before : "");
	setenv("LD_PRELOAD", list, 1);
	setenv("TOW_PACKETDRILL", "preloaded", 1);
	execv("/proc/self/exe", arguments());
	pd_die("cannot start packetdrill again: %s", strerror(errno));
}

/* What the script starts (sh, python3) has nothing to do with all this. */
__attribute__((constructor)) static void forget_preload(void)
{
	if (getenv("TOW_PACKETDRILL"))
		unsetenv("LD_PRELOAD");
}

EXPORT int getsockopt(int fd, int level, int option, void *value,
		      socklen_t *bytes)
{
	int (*real)(int, int, int, void *, socklen_t *);
	struct world *w = &pd_world;
	struct sock *s;
	int r;

	if (w->stack) {
		pd_enter(w);
		s = sock_find(w, fd);
		r = s ? option_get(w, s, level, option, value, bytes) : 0;
		pd_leave(w);
		if (s)
			return r;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "getsockopt");
	return real(fd, level, option, value, bytes);
}

#ifdef __SANITIZE_ADDRESS__
#define TOW_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TOW_ASAN 1
#endif
#endif

#ifdef TOW_ASAN
/* RTLD_DEEPBIND hides the sanitizer's own functions: it refuses it. */
EXPORT void *dlopen(const char *path, int flags)
{
	void *(*real)(const char *, int);

	*(void **)&real = dlsym(RTLD_NEXT, "dlopen");
	return real(path, flags & ~RTLD_DEEPBIND);
}
#endif
