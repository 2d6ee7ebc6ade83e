/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_HOST_H
#define TOW_HOST_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <tow/addr.h>
#include <tow/auth.h>
#include <tow/event.h>
#include <tow/mark.h>
#include <tow/span.h>
#include <tow/stack.h>

/*
 * Host: what a program on Linux needs around a stack, ready-made.
 *
 * The stack itself has no clock, no memory, no descriptors and no loop. A host
 * is one stack with all of that: a memory region from mmap, a secret from the
 * system, devices opened from a text, and a wait that sleeps when there is
 * nothing to do. The program keeps its own loop and is never called back:
 *
 *	tow_host_open(&host, NULL);
 *	link = tow_host_attach(host, "tap:name=tow0");
 *	tow_host_addr(host, link, "192.0.2.2/24");
 *	tow_host_peer(host, link, "192.0.2.1/24");
 *	tow_host_catch(host, SIGINT);
 *	while (!tow_host_signal(host)) {
 *		n = tow_host_wait(host, events, 64, -1);
 *		for (i = 0; i < n; i++)
 *			…
 *	}
 *	tow_host_close(host);
 *
 * Everything is optional: the stack's own functions do as well, with any loop.
 *
 * Threads: a host belongs to the thread that polls its stack.
 */
struct tow_host;

/* An array of spans is an array of iovecs: cast, do not convert. */
static_assert(sizeof(struct tow_span) == sizeof(struct iovec),
	      "a span is as long as an iovec");
static_assert(offsetof(struct tow_span, ptr) ==
		      offsetof(struct iovec, iov_base),
	      "a span's pointer is where an iovec's is");
static_assert(offsetof(struct tow_span, len) == offsetof(struct iovec, iov_len),
	      "a span's length is where an iovec's is");

TOW_BEGIN
/* Microseconds of CLOCK_MONOTONIC: what tow_poll() wants to be told. */
TOW_API uint64_t tow_host_clock_us(void);

/*
 * tow_host_random() - bytes from the system's random source
 *
 * Returns: 0, or TOW_EIO when the system has none.
 */
TOW_API int tow_host_random(void *out, size_t bytes) TOW_MUST_USE;

/*
 * tow_host_crypto_open() - what signs segments, for tow_config.crypto
 *
 * By OpenSSL's libcrypto. An algorithm that the system does not have, or forbids
 * by policy, is NULL.
 *
 * Owns:    the caller, until tow_host_crypto_close(), which comes after the
 *          stack was closed.
 * Returns: 0, TOW_ENOMEM, TOW_EOPNOTSUPP (there is none of the algorithms).
 */
TOW_API int tow_host_crypto_open(struct tow_crypto *out) TOW_MUST_USE;
TOW_API void tow_host_crypto_close(struct tow_crypto *crypto);

/*
 * tow_host_open() - a stack with memory and a secret
 * @cfg: NULL for tow_config_default(); a secret of all zeros is replaced by
 *       one from tow_host_random()
 *
 * Owns:    the caller, until tow_host_close().
 * Returns: 0, TOW_EINVAL (see tow_need), TOW_ENOMEM, TOW_EIO (no randomness).
 */
TOW_API int tow_host_open(struct tow_host **out,
			  const struct tow_config *cfg) TOW_MUST_USE;

/* Ends everything at once, devices included; see tow_close(). */
TOW_API void tow_host_close(struct tow_host *host);

TOW_API struct tow_stack *tow_host_stack(struct tow_host *host);

/*
 * tow_host_error() - why the last call on this host failed, for people
 *
 * Returns: one sentence without a full stop, valid until the next call.
 */
TOW_API const char *tow_host_error(const struct tow_host *host);

/*
 * tow_host_attach() - open a device from a text and attach it
 * @spec: see tow_dev_open()
 *
 * Returns: the number of the interface, or what tow_dev_open() said.
 */
TOW_API int tow_host_attach(struct tow_host *host,
			    const char *spec) TOW_MUST_USE;

/* The same with a device that the program made itself; takes @dev. */
TOW_API int tow_host_attach_dev(struct tow_host *host,
				struct tow_dev *dev) TOW_MUST_USE;

/* The kernel's interface behind a device ("tow0"), or NULL. */
TOW_API const char *tow_host_interface(const struct tow_host *host, int link);

/*
 * tow_host_addr() - give the stack an address
 * tow_host_peer() - give one to the kernel's end of the device, and set it up
 * @cidr: "192.0.2.1/24", "2001:db8::1/64"
 *
 * Returns: 0, TOW_EINVAL (bad text), TOW_EPERM, TOW_ENODEV (there is no
 *          kernel's end), …; tow_host_error() says more.
 */
TOW_API int tow_host_addr(struct tow_host *host, int link,
			  const char *cidr) TOW_MUST_USE;
TOW_API int tow_host_peer(struct tow_host *host, int link,
			  const char *cidr) TOW_MUST_USE;

/*
 * tow_host_watch() - let one of the program's own descriptors end the wait
 * @poll_events: POLLIN, POLLOUT, as for poll(2); 0 stops watching
 *
 * An eventfd on which worker threads say that something is done, a listening
 * socket of the kernel, a timerfd. Level-triggered.
 *
 * Returns: 0, TOW_ENOMEM.
 */
TOW_API int tow_host_watch(struct tow_host *host, int fd, int poll_events);

/* What poll(2) said about @fd when the last wait ended: POLLIN, …, or 0. */
TOW_API int tow_host_ready(const struct tow_host *host, int fd);

/*
 * tow_host_catch() - let a signal end the wait instead of the program
 *
 * Blocks the signal in the calling thread; threads made afterwards inherit
 * that, which is what makes sure that it is delivered here.
 *
 * Returns: 0, TOW_EINVAL (no such signal, or one that cannot be caught),
 *          TOW_EIO.
 */
TOW_API int tow_host_catch(struct tow_host *host, int signal_number);

/*
 * tow_host_signal() - the next signal that was caught, or 0
 *
 * Cost: no system call, unless a wait found one.
 */
TOW_API int tow_host_signal(struct tow_host *host);

/*
 * tow_host_wait() - run the stack until there is something for the program
 * @events:     filled as by tow_events()
 * @timeout_us: at the latest; -1 is never, 0 is one round of the stack
 *
 * Polls the stack. When there is no work it goes on polling for a little
 * while, because a wake-up across cores costs about 34 us, and then sleeps
 * until a device or a watched descriptor is ready, a caught signal comes, or
 * the stack's deadline. How long it spins adapts: a stack that is mostly idle
 * sleeps at once.
 *
 * Returns: events filled, 0..@max. 0: look at tow_host_ready(),
 *          tow_host_signal() and the clock. Watched descriptors are looked at
 *          within 50 us also while events keep coming.
 */
TOW_API int tow_host_wait(struct tow_host *host, struct tow_event *events,
			  int max, int64_t timeout_us);

/*
 * tow_netif_*() - set up an interface of the kernel, by rtnetlink
 * @name:  "tow0"
 * @error: filled with one sentence when the call fails
 *
 * For the kernel's end of a tap, in the network namespace of the caller. An
 * address that is there already and a link that is up already are no error.
 * IPv6 addresses are usable at once: nothing else is on that link, so
 * duplicate address detection (RFC 4862 5.4) is left out.
 *
 * Returns: 0, TOW_ENODEV, TOW_EPERM, TOW_EINVAL, …
 */
TOW_API int tow_netif_up(const char *name, char *error, size_t error_bytes);
TOW_API int tow_netif_set_mtu(const char *name, uint32_t mtu, char *error,
			      size_t error_bytes);
TOW_API int tow_netif_set_queue(const char *name, uint32_t frames, char *error,
				size_t error_bytes);
TOW_API int tow_netif_add_addr(const char *name, const struct tow_addr *addr,
			       unsigned prefix_bits, char *error,
			       size_t error_bytes);
TOW_API int tow_netif_add_route(const char *name, const struct tow_addr *dest,
				unsigned prefix_bits,
				const struct tow_addr *gateway, char *error,
				size_t error_bytes);
TOW_END

#endif
