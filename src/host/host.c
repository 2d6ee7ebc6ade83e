/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a host: memory, secret, devices, addresses, descriptors, signals.
 *
 * Theory of operation: the region is anonymous memory for which huge pages are
 * asked, because the payload chunks in it are touched at random; it is only
 * reserved until it is used. Everything else here is set-up and may allocate;
 * the loop in host_wait.c does not.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include <tow/error.h>
#include "host/host_private.h"

#define SPIN_US_MAX 50 /* somewhat more than a wake-up across cores costs */

uint64_t tow_host_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int tow_host_random(void *out, size_t bytes)
{
	uint8_t *at = out;

	while (bytes) {
		ssize_t n = getrandom(at, bytes, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return TOW_EIO;
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int fail(struct tow_host *host, int error, const char *text)
{
	snprintf(host->error, sizeof(host->error), "%s", text);
	return error;
}

/* Spinning keeps the peer from running when both share the only processor. */
static uint64_t choose_spin_us_max(void)
{
	cpu_set_t cpus;

	if (!sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) == 1)
		return 0;
	return SPIN_US_MAX;
}

static int choose_secret(struct tow_config *cfg)
{
	static const uint8_t none[sizeof(cfg->secret)];

	if (memcmp(cfg->secret, none, sizeof(none)))
		return 0;
	return tow_host_random(cfg->secret, sizeof(cfg->secret));
}

static int map_memory(struct tow_host *host, size_t bytes)
{
	host->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (host->memory == MAP_FAILED) {
		host->memory = NULL;
		return TOW_ENOMEM;
	}
	host->memory_bytes = bytes;
	(void)madvise(host->memory, bytes, MADV_HUGEPAGE);
	return 0;
}

static int open_stack(struct tow_host *host, const struct tow_config *wanted)
{
	struct tow_config cfg;
	size_t need;
	int error;

	tow_config_default(&cfg);
	if (wanted)
		cfg = *wanted;
	error = choose_secret(&cfg);
	if (error)
		return error;
	need = tow_need(&cfg);
	if (!need)
		return TOW_EINVAL;
	error = map_memory(host, need);
	if (error)
		return error;
	host->link_max = cfg.link_max;
	host->links = calloc(cfg.link_max, sizeof(*host->links));
	host->fd_max = cfg.link_max + 1;
	host->fds = calloc(host->fd_max, sizeof(*host->fds));
	if (!host->links || !host->fds)
		return TOW_ENOMEM;
	return tow_open(&host->stack, &cfg, host->memory, need);
}

/* Nothing to wait for yet: poll(2) skips negative descriptors. */
static void clear_fds(struct tow_host *host)
{
	host->signal_at = host->link_max;
	host->fd_count = host->link_max + 1;
	for (unsigned i = 0; i < host->fd_count; i++) {
		host->fds[i].fd = -1;
		host->fds[i].events = POLLIN;
	}
}

int tow_host_open(struct tow_host **out, const struct tow_config *cfg)
{
	struct tow_host *host = calloc(1, sizeof(*host));
	int error;

	*out = NULL;
	if (!host)
		return TOW_ENOMEM;
	error = open_stack(host, cfg);
	if (error) {
		tow_host_close(host);
		return error;
	}
	clear_fds(host);
	sigemptyset(&host->signals);
	host->spin_us_max = choose_spin_us_max();
	*out = host;
	return 0;
}

void tow_host_close(struct tow_host *host)
{
	if (host->stack)
		tow_close(host->stack);
	if (host->fd_count && host->fds[host->signal_at].fd >= 0)
		close(host->fds[host->signal_at].fd);
	if (host->memory)
		munmap(host->memory, host->memory_bytes);
	free(host->links);
	free(host->fds);
	free(host);
}

struct tow_stack *tow_host_stack(struct tow_host *host)
{
	return host->stack;
}

const char *tow_host_error(const struct tow_host *host)
{
	return host->error;
}

int tow_host_attach_dev(struct tow_host *host, struct tow_dev *dev)
{
	int link = tow_attach(host->stack, dev);

	if (link < 0)
		return fail(host, link, "too many devices are attached");
	host->links[link].dev = dev;
	host->fds[link].fd = tow_wait_fd(host->stack, link);
	host->link_count = (unsigned)link + 1;
	return link;
}

int tow_host_attach(struct tow_host *host, const char *spec)
{
	struct tow_dev *dev;
	int error;

	error = tow_dev_open(&dev, spec, host->error, sizeof(host->error));
	return error ? error : tow_host_attach_dev(host, dev);
}

static bool has_link(const struct tow_host *host, int link)
{
	return link >= 0 && (unsigned)link < host->link_count;
}

const char *tow_host_interface(const struct tow_host *host, int link)
{
	return has_link(host, link) ? tow_dev_interface(host->links[link].dev)
				    : NULL;
}

static int parse_cidr(struct tow_host *host, const char *cidr,
		      struct tow_addr *addr, unsigned *prefix_bits)
{
	int error = tow_cidr_parse(addr, prefix_bits, cidr);

	if (error)
		snprintf(host->error, sizeof(host->error),
			 "\"%s\" is not an address with prefix, like "
			 "192.0.2.1/24 or 2001:db8::1/64",
			 cidr);
	return error;
}

int tow_host_addr(struct tow_host *host, int link, const char *cidr)
{
	struct tow_addr addr;
	unsigned prefix_bits;
	int error = parse_cidr(host, cidr, &addr, &prefix_bits);

	if (error)
		return error;
	error = tow_addr_add(host->stack, link, &addr, prefix_bits);
	if (error == TOW_EINVAL)
		snprintf(host->error, sizeof(host->error),
			 "%s cannot be the address of a station here: it is %s",
			 cidr,
			 tow_addr_is_v4(&addr)
				 ? "the network itself, all of its stations, "
				   "a group, or loopback"
				 : "a group, loopback, or IPv6 where the "
				   "MTU is below 1280");
	else if (error)
		snprintf(host->error, sizeof(host->error),
			 "adding the address %s to the stack: %s", cidr,
			 tow_strerror(error));
	return error;
}

int tow_host_peer(struct tow_host *host, int link, const char *cidr)
{
	const char *name = tow_host_interface(host, link);
	struct tow_addr addr;
	unsigned prefix_bits;
	int error;

	if (!name)
		return fail(host, TOW_ENODEV,
			    "the device has no kernel's end to set up");
	error = parse_cidr(host, cidr, &addr, &prefix_bits);
	if (!error)
		error = tow_netif_up(name, host->error, sizeof(host->error));
	if (!error)
		error = tow_netif_add_addr(name, &addr, prefix_bits,
					   host->error, sizeof(host->error));
	return error;
}

static struct pollfd *find_watch(const struct tow_host *host, int fd)
{
	for (unsigned i = host->signal_at + 1; i < host->fd_count; i++)
		if (host->fds[i].fd == fd)
			return &host->fds[i];
	return NULL;
}

static int grow_fds(struct tow_host *host)
{
	unsigned max = host->fd_max * 2;
	struct pollfd *fds = realloc(host->fds, max * sizeof(*fds));

	if (!fds)
		return fail(host, TOW_ENOMEM, "out of memory");
	host->fds = fds;
	host->fd_max = max;
	return 0;
}

int tow_host_watch(struct tow_host *host, int fd, int poll_events)
{
	struct pollfd *watch = find_watch(host, fd);

	if (watch && !poll_events) {
		*watch = host->fds[--host->fd_count];
		return 0;
	}
	if (!watch && poll_events) {
		if (host->fd_count == host->fd_max && grow_fds(host))
			return TOW_ENOMEM;
		watch = &host->fds[host->fd_count++];
		watch->fd = fd;
		watch->revents = 0;
	}
	if (watch)
		watch->events = (short)poll_events;
	return 0;
}

int tow_host_ready(const struct tow_host *host, int fd)
{
	const struct pollfd *watch = find_watch(host, fd);

	return watch ? watch->revents : 0;
}

int tow_host_catch(struct tow_host *host, int signal_number)
{
	struct pollfd *entry = &host->fds[host->signal_at];
	int fd;

	if (signal_number == SIGKILL || signal_number == SIGSTOP ||
	    sigaddset(&host->signals, signal_number))
		return fail(host, TOW_EINVAL, "that signal cannot be caught");
	if (pthread_sigmask(SIG_BLOCK, &host->signals, NULL))
		return fail(host, TOW_EIO, "the signal could not be blocked");
	fd = signalfd(entry->fd, &host->signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return fail(host, TOW_EIO, strerror(errno));
	entry->fd = fd;
	return 0;
}

int tow_host_signal(struct tow_host *host)
{
	struct pollfd *entry = &host->fds[host->signal_at];
	struct signalfd_siginfo info;

	if (entry->fd < 0 || !entry->revents)
		return 0;
	if (read(entry->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		return (int)info.ssi_signo;
	entry->revents = 0;
	return 0;
}
