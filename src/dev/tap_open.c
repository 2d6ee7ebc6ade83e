/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making or attaching to a tap.
 *
 * Theory of operation: /dev/net/tun is opened, and TUNSETIFF ties it to an
 * interface: one that exists and nobody else holds, else a new one, which goes
 * away with the file. Then the file is told the length of the vnet header and
 * which large frames it may hand us. A kernel that does not know the newer
 * offloads refuses all of them together, so they are tried in sets, the
 * richest first.
 *
 * Placement needs queues (tap_place.c), and those a right to steer them. So
 * that is asked first: without it the tap gets one queue, as it would from a
 * kernel that knows no more of them. The first queue makes the interface or
 * attaches to it; nobody else may have a hand on it then, because the kernel
 * would deal out the frames between us.
 *
 * The kernel's end (addresses, up, routes) is not the driver's: see
 * <tow/host.h>. Only what belongs to the link itself is set here: the MTU, and
 * a queue long enough that a burst without large segments is not dropped.
 *
 * Every failure says what to do about it, because this is the first thing that
 * a new user meets.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include "dev/drivers.h"
#include "dev/tap.h"

#define TUN_PATH "/dev/net/tun"

#define MTU_MIN	  576	/* RFC 1122 3.3.3 */
#define MTU_MAX	  65521 /* the kernel's limit for a tap */
#define QUEUE_MAX 1000000

/*
 * Frames that wait for us in the kernel. The default of 500 is less than one
 * window of 1500-byte packets, which senders without large segments overrun.
 */
#define QUEUE_FRAMES 8192

/*
 * Payload of a large segment: an IP packet of 65535 bytes less the longest
 * headers of both families.
 */
#define GSO_BYTES_MAX (65535 - 60 - 60)

struct tap_options {
	char name[IFNAMSIZ];   /* empty: the kernel chooses */
	uint64_t mtu;	       /* 0: as the interface has it */
	uint64_t queue_frames; /* 0: QUEUE_FRAMES if permitted */
	uint64_t queues;       /* 0: TAP_QUEUES if that can be had */
	bool offloads;
	uint8_t mac[6]; /* zero: random */
};

static const struct spec_key keys[] = {
	{ "name", SPEC_TEXT, offsetof(struct tap_options, name), 0, IFNAMSIZ,
	  NULL },
	{ "mtu", SPEC_NUMBER, offsetof(struct tap_options, mtu), MTU_MIN,
	  MTU_MAX, NULL },
	{ "offloads", SPEC_SWITCH, offsetof(struct tap_options, offloads), 0, 0,
	  NULL },
	{ "mac", SPEC_MAC, offsetof(struct tap_options, mac), 0, 0, NULL },
	{ "queue", SPEC_NUMBER, offsetof(struct tap_options, queue_frames), 1,
	  QUEUE_MAX, NULL },
	{ "queues", SPEC_NUMBER, offsetof(struct tap_options, queues), 1,
	  TAP_QUEUES_MAX, NULL },
};

static int open_file(void)
{
	return open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static int open_tun(struct tap *t, struct spec *spec)
{
	t->fd = t->queues[0].fd = open_file();
	if (t->fd >= 0)
		return 0;
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return spec_fail(
			spec, TOW_ENODEV,
			"there is no " TUN_PATH ": load the module with "
			"\"modprobe tun\"; if only the file is missing, "
			"\"mkdir -p /dev/net; mknod " TUN_PATH " c 10 200\"; "
			"start a container with \"--device " TUN_PATH "\"");
	case EACCES:
	case EPERM:
		return spec_fail(
			spec, TOW_EACCES,
			TUN_PATH
			" may not be opened by this user: run as "
			"root, or have root allow it with \"chmod 0666 " TUN_PATH
			"\" (harmless: making an interface needs more)");
	default:
		return spec_fail(spec, TOW_EIO, "opening " TUN_PATH ": %s",
				 strerror(errno));
	}
}

static int refused_interface(struct spec *spec, const char *name, int why)
{
	switch (why) {
	case EPERM:
		return spec_fail(
			spec, TOW_EPERM,
			"making a tap needs CAP_NET_ADMIN: run as root, or in "
			"a network namespace of your own with \"unshare -Urn "
			"COMMAND\"; to attach to one without, have root make "
			"it with \"ip tuntap add %s mode tap user $USER "
			"vnet_hdr\"",
			*name ? name : "tow0");
	case EBUSY:
		return spec_fail(spec, TOW_EBUSY,
				 "interface %s is in use by another process; "
				 "choose another with name=…, or leave it out",
				 name);
	case EINVAL:
	case EEXIST:
		return spec_fail(spec, TOW_EEXIST,
				 "interface %s exists and is not a tap with "
				 "a vnet header (see \"ip -d link show %s\"); "
				 "choose another with name=…, or leave it out",
				 name, name);
	default:
		return spec_fail(spec, TOW_EIO, "making the tap %s: %s", name,
				 strerror(why));
	}
}

/* What Linux takes as an interface name (dev_valid_name). */
static bool is_valid_name(const char *name)
{
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name > '~' || strchr("/:%", *name))
			return false;
	return true;
}

/* One queue of the interface @name, by the file @fd; 0 or errno. */
static int attach(int fd, char name[IFNAMSIZ], bool several)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, name, IFNAMSIZ);
	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
				(several ? IFF_MULTI_QUEUE : 0));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return errno;
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	name[IFNAMSIZ - 1] = '\0';
	return 0;
}

/*
 * The first queue. An interface that exists was made for one queue, or for
 * several, and is attached to as that.
 */
static int make_interface(struct tap *t, const struct tap_options *options,
			  struct spec *spec)
{
	bool several = t->steer.program >= 0;
	int why;

	if (!is_valid_name(options->name))
		return spec_fail(spec, TOW_EINVAL,
				 "\"%s\" cannot be the name of an interface",
				 options->name);
	strcpy(t->name, *options->name ? options->name : "tow%d");
	why = attach(t->fd, t->name, several);
	if (why == EINVAL && options->queues > 1)
		return spec_fail(spec, TOW_EEXIST,
				 "interface %s has one queue; have it made "
				 "with \"ip tuntap add %s mode tap multi_queue "
				 "vnet_hdr\", or leave out queues=…",
				 options->name, options->name);
	if (why == EINVAL) {
		if (several)
			tap_steer_close(&t->steer);
		several = !several;
		why = attach(t->fd, t->name, several);
	}
	if (!why && several && tap_steer_queues(t->name) > 1)
		why = EBUSY;
	return why ? refused_interface(spec, options->name, why) : 0;
}

/* Are there queues for flows to be had? Then the steering is ready. */
static int open_steering(struct tap *t, const struct tap_options *options,
			 struct spec *spec)
{
	int error;

	t->steer.map = t->steer.program = -1;
	if (options->queues == 1)
		return 0;
	error = tap_steer_open(&t->steer, TAP_QUEUES_MAX);
	if (!error || !options->queues)
		return 0;
	return spec_fail(spec, error,
			 "the kernel lets nobody but root choose queues for "
			 "flows (bpf(2): %s); without queues=… there is one "
			 "for all",
			 strerror(-error));
}

/* What was dealt out before frames were steered came before we were there. */
static void empty_queue(int fd)
{
	uint8_t head[TAP_VNET_BYTES];

	while (read(fd, head, sizeof(head)) >= 0)
		;
}

static int attach_queues(struct tap *t, unsigned wanted)
{
	int error = 0;

	while (t->queue_count < wanted && !error) {
		struct tap_queue *q = &t->queues[t->queue_count];

		q->fd = open_file();
		if (q->fd < 0)
			return errno;
		error = attach(q->fd, t->name, true);
		if (error)
			close(q->fd);
		else
			t->queue_count++;
	}
	return error;
}

static int watch_queues(struct tap *t)
{
	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll < 0)
		return errno;
	for (unsigned i = 0; i < t->queue_count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->queues[i].fd, &event))
			return errno;
	}
	return 0;
}

/* Back to the one queue that it began with. */
static void leave_queues(struct tap *t)
{
	if (t->epoll >= 0)
		close(t->epoll);
	t->epoll = -1;
	while (t->queue_count > 1)
		close(t->queues[--t->queue_count].fd);
	tap_steer_detach(t->fd);
	tap_steer_close(&t->steer);
}

/* The other queues, when they are wanted and the kernel has them. */
static int make_queues(struct tap *t, const struct tap_options *options,
		       struct spec *spec)
{
	unsigned wanted =
		options->queues ? (unsigned)options->queues : TAP_QUEUES;
	int why;

	if (t->steer.program < 0)
		return 0;
	why = attach_queues(t, wanted);
	if (!why)
		why = -tap_steer_attach(&t->steer, t->fd);
	if (!why)
		why = watch_queues(t);
	if (!why) {
		for (unsigned i = 1; i < t->queue_count; i++)
			empty_queue(t->queues[i].fd);
		return 0;
	}
	leave_queues(t);
	if (!options->queues)
		return 0;
	return spec_fail(spec, -why, "making %u queues of %s: %s", wanted,
			 t->name, strerror(why));
}

void tap_close_queues(struct tap *t)
{
	leave_queues(t);
	close(t->fd);
}

int tap_set_offloads(struct tap *t, uint32_t offloads)
{
	if (ioctl(t->fd, TUNSETOFFLOAD, (unsigned long)offloads) < 0)
		return -errno;
	t->offloads = offloads;
	return 0;
}

static void choose_offloads(struct tap *t)
{
	static const uint32_t sets[] = {
		TAP_CSUM | TAP_TSO4 | TAP_TSO6 | TAP_TSO_ECN | TAP_USO4 |
			TAP_USO6,
		TAP_CSUM | TAP_TSO4 | TAP_TSO6 | TAP_TSO_ECN,
		TAP_CSUM | TAP_TSO4 | TAP_TSO6,
		TAP_CSUM,
		0,
	};

	for (size_t i = 0; i < LENGTH(sets); i++)
		if (!tap_set_offloads(t, sets[i]))
			return;
}

static int set_vnet_header(struct tap *t, bool offloads, struct spec *spec)
{
	int bytes = TAP_VNET_BYTES;

	if (ioctl(t->fd, TUNSETVNETHDRSZ, &bytes) < 0)
		return spec_fail(spec, TOW_EOPNOTSUPP,
				 "the kernel's tun driver has no virtio-net "
				 "header: %s",
				 strerror(errno));
	if (offloads)
		choose_offloads(t);
	else if (tap_set_offloads(t, 0))
		return spec_fail(spec, TOW_EOPNOTSUPP,
				 "turning off the offloads of %s: %s", t->name,
				 strerror(errno));
	return 0;
}

static int set_mtu(struct tap *t, int sock, uint64_t wanted, struct spec *spec)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, t->name, sizeof(t->name));
	if (ioctl(sock, SIOCGIFMTU, &ifr) < 0)
		return spec_fail(spec, TOW_EIO, "asking for the MTU of %s: %s",
				 t->name, strerror(errno));
	if (wanted && (uint64_t)ifr.ifr_mtu != wanted) {
		ifr.ifr_mtu = (int)wanted;
		if (ioctl(sock, SIOCSIFMTU, &ifr) < 0)
			return spec_fail(spec, TOW_EPERM,
					 "setting the MTU of %s to %d: %s",
					 t->name, ifr.ifr_mtu, strerror(errno));
	}
	t->dev.mtu = (uint32_t)ifr.ifr_mtu;
	if (t->dev.mtu < MTU_MIN)
		return spec_fail(spec, TOW_EINVAL,
				 "the MTU of %s is %u; %d is the least",
				 t->name, t->dev.mtu, MTU_MIN);
	return 0;
}

/* Without the right to, we take the queue as it is, unless told otherwise. */
static int set_queue(struct tap *t, int sock, uint64_t wanted,
		     struct spec *spec)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, t->name, sizeof(t->name));
	ifr.ifr_qlen = wanted ? (int)wanted : QUEUE_FRAMES;
	if (ioctl(sock, SIOCSIFTXQLEN, &ifr) < 0 && wanted)
		return spec_fail(spec, TOW_EPERM,
				 "setting the queue of %s to %d frames: %s",
				 t->name, ifr.ifr_qlen, strerror(errno));
	return 0;
}

static int set_link(struct tap *t, const struct tap_options *options,
		    struct spec *spec)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error;

	if (sock < 0)
		return spec_fail(spec, TOW_EIO, "opening a socket: %s",
				 strerror(errno));
	error = set_mtu(t, sock, options->mtu, spec);
	if (!error)
		error = set_queue(t, sock, options->queue_frames, spec);
	close(sock);
	return error;
}

/* Ours, not the kernel end's: individual and locally administered. */
static int choose_mac(struct tap *t, const uint8_t wanted[6], struct spec *spec)
{
	static const uint8_t none[6];

	memcpy(t->dev.mac, wanted, sizeof(t->dev.mac));
	if (memcmp(wanted, none, sizeof(none)))
		return 0;
	if (getrandom(t->dev.mac, sizeof(t->dev.mac), 0) !=
	    (ssize_t)sizeof(t->dev.mac))
		return spec_fail(spec, TOW_EIO, "asking for random bytes: %s",
				 strerror(errno));
	t->dev.mac[0] = (uint8_t)((t->dev.mac[0] & ~1u) | 2u);
	return 0;
}

static void set_caps(struct tap *t)
{
	struct tow_dev *dev = &t->dev;

	dev->ops = &tap_ops;
	dev->next_us = UINT64_MAX;
	dev->spans_max = TOW_BUF_SPANS;
	dev->caps = TOW_DEV_SPLIT;
	if (t->offloads & TAP_CSUM)
		dev->caps |= TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM;
	if (t->offloads & TAP_TSO4)
		dev->caps |= TOW_DEV_TSO4 | TOW_DEV_TSO6 | TOW_DEV_LRO;
	if (t->offloads & TAP_USO4)
		dev->caps |= TOW_DEV_USO;
	if (t->offloads & TAP_LARGE)
		dev->gso_bytes_max = GSO_BYTES_MAX;
	if (t->queue_count > 1)
		dev->caps |= TOW_DEV_PLACE;
	t->head_bytes = 14 + 20 + 32; /* TCP with timestamps over IPv4 */
}

int tap_open(struct tow_dev **out, struct spec *spec)
{
	struct tap_options options = { .offloads = true };
	struct tap *t;
	int error;

	error = spec_read(spec, "tap", keys, LENGTH(keys), SPEC_TO_END,
			  &options);
	if (error)
		return error;
	t = calloc(1, sizeof(*t));
	if (!t)
		return spec_fail(spec, TOW_ENOMEM, "out of memory");
	t->epoll = -1;
	t->queue_count = 1;
	error = open_steering(t, &options, spec);
	if (!error)
		error = open_tun(t, spec);
	if (error)
		goto fail_open;
	error = make_interface(t, &options, spec);
	if (!error)
		error = set_vnet_header(t, options.offloads, spec);
	if (!error)
		error = set_link(t, &options, spec);
	if (!error)
		error = make_queues(t, &options, spec);
	if (!error)
		error = choose_mac(t, options.mac, spec);
	if (error)
		goto fail;
	set_caps(t);
	*out = &t->dev;
	return 0;
fail:
	tap_close_queues(t);
fail_open:
	tap_steer_close(&t->steer);
	free(t);
	return error;
}
