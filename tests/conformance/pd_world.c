/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stack, the clock, and who waits for them.
 *
 * Time moves in three places only: usleep(), netdev_receive() when the stack
 * has nothing to send, and by one microsecond whenever the script's own thread
 * asks what time it is (it spins on that). On the way every timer fires at its
 * time.
 *
 * A call that blocks sleeps in pd_block(), in a thread of packetdrill's. Once
 * something woke it, the clock stands still until that thread has asked for the
 * time: packetdrill compares when the call returned with the script.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "conformance/pd.h"

#define START_US    1000000000ull /* the stack's clock is never 0 */
#define PATIENCE_US 600000000ull  /* for a packet that may never come */
#define POLLS_MAX   10000	  /* more is a stack that never rests */
#define EVENTS	    64

/* What all scripts of Google's begin with. */
#define GOOGLES_FAST_OPEN                                       \
	"net.ipv4.tcp_fastopen=0x70403 "                        \
	"net.ipv4.tcp_fastopen_key=a1a1a1a1-b2b2b2b2-c3c3c3c3-" \
	"d4d4d4d4"

struct world pd_world = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
	.settled = PTHREAD_COND_INITIALIZER,
	.wake_us = UINT64_MAX,
};

void pd_die(const char *what, ...)
{
	va_list args;

	va_start(args, what);
	fputs("tow-packetdrill: ", stderr);
	vfprintf(stderr, what, args);
	fputc('\n', stderr);
	va_end(args);
	_exit(1);
}

void pd_enter(struct world *w)
{
	pthread_mutex_lock(&w->lock);
}

void pd_leave(struct world *w)
{
	pthread_mutex_unlock(&w->lock);
}

/* ------------------------------------------------------------------- clock */

static void wake(struct world *w)
{
	if (!w->blocked)
		return;
	w->woken = w->blocked;
	w->blocked = 0;
	w->wake_us = UINT64_MAX;
	pthread_cond_broadcast(&w->changed);
}

static void wait_for_woken(struct world *w)
{
	while (w->woken)
		pthread_cond_wait(&w->settled, &w->lock);
}

static bool take_events(struct world *w)
{
	struct tow_event events[EVENTS];
	int n = tow_events(w->stack, events, EVENTS);

	for (int i = 0; i < n; i++)
		sock_event(w, &events[i]);
	return n > 0;
}

/* All that can be done at this moment. */
void pd_run(struct world *w)
{
	bool news = false, more = true;

	for (int i = 0; more; i++) {
		if (i == POLLS_MAX)
			pd_die("the stack never rests at %llu us",
			       (unsigned long long)w->now_us);
		more = tow_poll(w->stack, w->now_us) > 0;
		if (take_events(w))
			more = news = true;
		more |= tow_deadline(w->stack) <= w->now_us;
	}
	if (news)
		wake(w);
}

/* The next time at which something may happen by itself. */
static uint64_t next_us(const struct world *w)
{
	uint64_t at_us = MIN(tow_deadline(w->stack), w->wake_us);

	return MAX(at_us, w->now_us);
}

static void jump(struct world *w, uint64_t to_us)
{
	wait_for_woken(w);
	w->now_us = MAX(w->now_us, to_us);
	pd_run(w);
	if (w->wake_us <= w->now_us)
		wake(w);
}

void pd_advance(struct world *w, uint64_t to_us)
{
	while (next_us(w) < to_us)
		jump(w, next_us(w));
	jump(w, to_us);
}

/*
 * Sleep until something happened or the clock shows @until_us.
 *
 * Returns: false in the script's own thread, which must not block.
 */
bool pd_block(struct world *w, uint64_t until_us)
{
	if (pthread_equal(pthread_self(), w->script_thread))
		return false;
	if (w->woken) { /* and it was in vain */
		w->woken--;
		pthread_cond_broadcast(&w->settled);
	}
	w->blocked++;
	w->wake_us = MIN(w->wake_us, until_us);
	pthread_cond_wait(&w->changed, &w->lock);
	return true;
}

static int world_gettimeofday(void *u, struct timeval *tv, struct timezone *tz)
{
	struct world *w = u;

	(void)tz;
	pd_enter(w);
	if (!w->woken) {
		jump(w, w->now_us + 1);
	} else if (!pthread_equal(pthread_self(), w->script_thread)) {
		w->woken = 0;
		pthread_cond_broadcast(&w->settled);
	}
	tv->tv_sec = (time_t)(w->now_us / 1000000);
	tv->tv_usec = (suseconds_t)(w->now_us % 1000000);
	pd_leave(w);
	return 0;
}

static int world_usleep(void *u, useconds_t us)
{
	struct world *w = u;

	pd_enter(w);
	pd_advance(w, w->now_us + us);
	pd_leave(w);
	return 0;
}

/* ----------------------------------------------------------------- packets */

/* Where a packet's TCP header begins; 0: there is none, or not all of it. */
static size_t tcp_at(const uint8_t *p, size_t bytes)
{
	size_t at = p[0] >> 4 == 6 ? 40 : (size_t)(p[0] & 15) * 4;
	uint8_t protocol = p[0] >> 4 == 6 ? p[6] : p[9];

	return protocol == 6 && bytes >= at + 20 ? at : 0;
}

static bool is_reset(const uint8_t *p, size_t bytes)
{
	size_t at = tcp_at(p, bytes);

	return at && p[at + 13] & 0x04;
}

static bool has_payload(const uint8_t *p, size_t bytes)
{
	size_t at = tcp_at(p, bytes);

	return at && bytes > at + (size_t)(p[at + 12] >> 4) * 4;
}

/*
 * packetdrill ends with a RST of its own for each connection; what that, or
 * what the script did after its last packet, brings about nobody reads.
 */
static int world_send(void *u, const void *packet, size_t bytes)
{
	struct world *w = u;

	pd_enter(w);
	pd_run(w);
	w->reset_last = bytes >= 40 && is_reset(packet, bytes);
	if (!w->reset_last)
		w->epoch++;
	pd_device_inject(w->device, packet, bytes);
	pd_run(w);
	pd_leave(w);
	return 0;
}

static int world_receive(void *u, void *packet, size_t *bytes,
			 long long *time_us)
{
	struct world *w = u;
	struct pd_packet *p;
	uint64_t end_us;

	pd_enter(w);
	if (w->reset_last)
		w->epoch++;
	w->reset_last = false;
	end_us = w->now_us + PATIENCE_US;
	wait_for_woken(w); /* what it does now comes before what is awaited */
	pd_run(w);
	while (!(p = pd_device_take(w->device)) && next_us(w) < end_us) {
		w->epoch++;
		jump(w, next_us(w));
	}
	*bytes = p ? MIN(*bytes, p->bytes) : 0;
	if (p) {
		memcpy(packet, p->data, *bytes);
		*time_us = (long long)p->at_us;
	}
	free(p);
	pd_leave(w);
	return 0;
}

/* -------------------------------------------------------- beginning and end */

static void configure(struct tow_config *cfg)
{
	tow_config_default(cfg);
	cfg->tcp_max = 64;
	cfg->chunk_bytes = 2048;
	cfg->rx_chunks = 8192;
	cfg->rx_bufs = 16384;
	cfg->recv_bytes = 2 * 65535;	  /* a first window of 65535 */
	cfg->recv_bytes_max = 65535 << 8; /* a window scale of 8 */
	memset(cfg->secret, 7, sizeof(cfg->secret));
}

static void add_address(struct world *w, const struct pd_setup *setup)
{
	struct tow_addr local, gateway, any = tow_addr_any();
	unsigned prefix;

	if (tow_cidr_parse(&local, &prefix, setup->local) < 0 ||
	    tow_addr_parse(&gateway, setup->gateway) < 0)
		pd_die("%s and gateway %s are not addresses", setup->local,
		       setup->gateway);
	if (!setup->v6)
		any = tow_addr_v4(0, 0, 0, 0);
	if (tow_addr_add(w->stack, 0, &local, prefix) < 0 ||
	    tow_route_add(w->stack, 0, &any, 0, &gateway) < 0)
		pd_die("%s by way of %s: the stack refuses that", setup->local,
		       setup->gateway);
}

void pd_open(struct world *w, const struct pd_setup *setup)
{
	struct tow_config cfg;
	size_t bytes;

	configure(&cfg);
	bytes = tow_need(&cfg);
	if (bytes == 0 || posix_memalign(&w->memory, 65536, bytes) != 0 ||
	    tow_open(&w->stack, &cfg, w->memory, bytes) < 0)
		pd_die("the stack does not open");
	w->ecn = setup->ask_ecn ? TOW_TCP_ECN_ASK : TOW_TCP_ECN_ACCEPT;
	w->fast_open = FAST_OPEN_CLIENT;
	if (setup->fast_open)
		pd_settings_apply(w, GOOGLES_FAST_OPEN);
	if (tow_attach(w->stack, pd_device_open(&w->device, setup->mtu)) < 0)
		pd_die("the device is refused");
	w->script_thread = pthread_self();
	w->now_us = START_US;
	pd_run(w);
	add_address(w, setup);
	pd_run(w);
	while (pd_device_peek(w->device)) /* of the stack's own start */
		free(pd_device_take(w->device));
}

/*
 * Packets that nobody expected. Behind the last one that was read, payload is
 * no fault: a script that looks no more leaves it to the sender what it sends
 * when, and acknowledges it or not; answers it would have named.
 */
static int count_unread(struct world *w)
{
	const struct pd_packet *p;
	int unread = 0;

	for (p = pd_device_peek(w->device); p; p = p->next) {
		if (p->epoch >= w->epoch)
			break;
		if (has_payload(p->data, p->bytes))
			continue;
		fprintf(stderr,
			"tow-packetdrill: the script did not expect a packet "
			"of %zu bytes at %llu us\n",
			p->bytes, (unsigned long long)(p->at_us - START_US));
		unread++;
	}
	return unread;
}

/* Returns what is wrong: packets nobody expected, loans that never ended. */
int pd_close(struct world *w)
{
	int wrong = count_unread(w);

	while (w->socks)
		sock_free(w, w->socks);
	pd_advance(w, w->now_us + 300000000);
	if (!tow_idle(w->stack)) {
		fputs("tow-packetdrill: something is still on loan\n", stderr);
		wrong++;
	}
	tow_close(w->stack);
	w->stack = NULL;
	free(w->memory);
	return wrong;
}

static void world_free(void *u)
{
	int wrong;

	pd_enter(u);
	wrong = pd_close(u);
	pd_leave(u);
	if (wrong) {
		fflush(NULL);
		_exit(1);
	}
}

void packetdrill_interface_init(const char *flags,
				struct packetdrill_interface *out)
{
	struct pd_setup setup;

	pd_preload();
	pd_setup_read(&setup, flags);
	pd_open(&pd_world, &setup);
	*out = (struct packetdrill_interface){
		.userdata = &pd_world,
		.free = world_free,
		.socket = pd_socket,
		.bind = pd_bind,
		.listen = pd_listen,
		.accept = pd_accept,
		.connect = pd_connect,
		.read = pd_read,
		.readv = pd_readv,
		.recv = pd_recv,
		.recvfrom = pd_recvfrom,
		.recvmsg = pd_recvmsg,
		.write = pd_write,
		.writev = pd_writev,
		.send = pd_send,
		.sendto = pd_sendto,
		.sendmsg = pd_sendmsg,
		.fcntl = pd_fcntl,
		.ioctl = pd_ioctl,
		.close = pd_close_fd,
		.shutdown = pd_shutdown,
		.getsockopt = pd_getsockopt,
		.setsockopt = pd_setsockopt,
		.poll = pd_poll,
		.netdev_send = world_send,
		.netdev_receive = world_receive,
		.usleep = world_usleep,
		.gettimeofday = world_gettimeofday,
		.epoll_create = pd_epoll_create,
		.epoll_ctl = pd_epoll_ctl,
		.epoll_wait = pd_epoll_wait,
		.pipe = pd_pipe,
		.splice = pd_splice,
	};
}
