/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lwIP as a peer: Debian's liblwip, sending one flow over the same tap.
 *
 *	tx   connect to the kernel and tcp_write() out of the source
 *
 * The best that the packaged library allows:
 *
 *  - The raw API in one thread that polls, without the tcpip thread and its
 *    mailboxes: what lwIP's documentation calls the fastest way.
 *  - A netif of our own instead of the library's tapif: one writev() per
 *    frame, non-blocking reads until the tap is empty, and the virtio-net
 *    header's DATA_VALID, so that the kernel does not sum the bytes again.
 *  - tcp_write() without TCP_WRITE_FLAG_COPY.
 *
 * What is compiled into the library and cannot be changed from here: MSS 1460
 * and no TSO, a window and send buffer of 64 KiB, no checksum offload,
 * LWIP_NETIF_TX_SINGLE_PBUF, which turns every tcp_write() into a copy, and
 * checksums while copying. A build of lwIP of one's own would reach more; this
 * is the one that Debian's users have.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>

#define FRAME_BYTES 2048
#define MTU	    1500
#define SPANS_MAX   8
#define SPIN_NS	    2000000

struct peer {
	int fd;
	struct netif netif;
	struct source source;
	struct meter meter;
	bool connected;
};

/* --- The netif ----------------------------------------------------------- */

static err_t put_frame(struct netif *netif, struct pbuf *packet)
{
	struct peer *peer = netif->state;
	struct virtio_net_hdr vnet = {
		.flags = VIRTIO_NET_HDR_F_DATA_VALID,
	};
	struct iovec iov[1 + SPANS_MAX] = {
		{ .iov_base = &vnet, .iov_len = sizeof(vnet) },
	};
	int count = 1;

	for (; packet && count <= SPANS_MAX; packet = packet->next) {
		iov[count].iov_base = packet->payload;
		iov[count++].iov_len = packet->len;
	}
	if (packet)
		return ERR_BUF;
	return writev(peer->fd, iov, count) < 0 ? ERR_IF : ERR_OK;
}

static err_t init_netif(struct netif *netif)
{
	static const uint8_t mac[6] = { 0x02, 0x6c, 0x77, 0x69, 0x70, 1 };

	netif->name[0] = 't';
	netif->name[1] = 'p';
	netif->output = etharp_output;
	netif->linkoutput = put_frame;
	netif->mtu = MTU;
	netif->hwaddr_len = sizeof(mac);
	memcpy(netif->hwaddr, mac, sizeof(mac));
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP |
		       NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
	return ERR_OK;
}

static void open_tap(struct peer *peer, const char *name)
{
	struct ifreq request = {
		.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
	};

	if (!name)
		bench_fail("--dev: the name of a tap is missing");
	peer->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	if (peer->fd < 0)
		bench_fail("/dev/net/tun: %m");
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(peer->fd, TUNSETIFF, &request) < 0)
		bench_fail("%s: %m", name);
	/* What comes in must be complete: lwIP can do nothing else. */
	if (ioctl(peer->fd, TUNSETOFFLOAD, 0u) < 0)
		bench_fail("TUNSETOFFLOAD: %m");
}

static void open_netif(struct peer *peer, const struct bench_args *args)
{
	ip4_addr_t local, mask, gateway = { 0 };
	char text[32] = "";

	if (args->local)
		strncpy(text, args->local, sizeof(text) - 1);
	text[strcspn(text, "/")] = '\0';
	if (!ip4addr_aton(text, &local))
		bench_fail("--local: our own IPv4 address is missing");
	IP4_ADDR(&mask, 255, 255, 255, 0);
	if (!netif_add(&peer->netif, &local, &mask, &gateway, peer, init_netif,
		       ethernet_input))
		bench_fail("netif_add failed");
	netif_set_default(&peer->netif);
	netif_set_up(&peer->netif);
}

static bool take_frame(struct peer *peer)
{
	uint8_t frame[FRAME_BYTES];
	struct virtio_net_hdr vnet;
	struct iovec iov[2] = {
		{ .iov_base = &vnet, .iov_len = sizeof(vnet) },
		{ .iov_base = frame, .iov_len = sizeof(frame) },
	};
	ssize_t got = readv(peer->fd, iov, 2);
	struct pbuf *packet;

	if (got <= (ssize_t)sizeof(vnet))
		return false;
	got -= (ssize_t)sizeof(vnet);
	packet = pbuf_alloc(PBUF_RAW, (u16_t)got, PBUF_POOL);
	if (!packet)
		return true;
	pbuf_take(packet, frame, (u16_t)got);
	if (peer->netif.input(packet, &peer->netif) != ERR_OK)
		pbuf_free(packet);
	return true;
}

/*
 * Take what is there; when nothing is, a moment awake, then asleep. Awake for
 * long, because with 64 KiB of window each round trip would be a wake-up.
 */
static void turn(struct peer *peer)
{
	struct pollfd wait = { .fd = peer->fd, .events = POLLIN };
	uint64_t until_ns = bench_now_ns() + SPIN_NS;
	bool any = false;

	while (!any && bench_now_ns() < until_ns)
		while (take_frame(peer))
			any = true;
	if (!any)
		poll(&wait, 1, 10);
	sys_check_timeouts();
}

/* --- The sender ---------------------------------------------------------- */

static err_t on_connected(void *context, struct tcp_pcb *tcp, err_t error)
{
	struct peer *peer = context;

	(void)tcp;
	peer->connected = error == ERR_OK;
	return ERR_OK;
}

static void on_error(void *context, err_t error)
{
	(void)context;
	bench_fail("lwIP: connection lost, error %d", error);
}

static void send_some(struct peer *peer, struct tcp_pcb *tcp,
		      size_t block_bytes)
{
	for (;;) {
		size_t bytes = tcp_sndbuf(tcp);
		size_t at = peer->source.at;

		if (bytes > block_bytes)
			bytes = block_bytes;
		/* Whole segments: lwIP has no reason to wait with them. */
		if (bytes < tcp_mss(tcp))
			break;
		bytes -= bytes % tcp_mss(tcp);
		if (tcp_write(tcp, source_next(&peer->source, bytes),
			      (u16_t)bytes, 0) != ERR_OK) {
			peer->source.at = at;
			break;
		}
		meter_add(&peer->meter, bytes, 1);
	}
	tcp_output(tcp);
}

static struct tcp_pcb *start(struct peer *peer, const struct bench_args *args)
{
	struct tcp_pcb *tcp = tcp_new();
	ip_addr_t remote = { 0 };

	if (!tcp)
		bench_fail("tcp_new failed");
	IP_SET_TYPE_VAL(remote, IPADDR_TYPE_V4);
	ip_2_ip4(&remote)->addr = args->addr.s_addr;
	tcp_arg(tcp, peer);
	tcp_err(tcp, on_error);
	tcp_nagle_disable(tcp);
	if (tcp_connect(tcp, &remote, args->port, on_connected) != ERR_OK)
		bench_fail("tcp_connect failed");
	return tcp;
}

static void finish(struct peer *peer, struct tcp_pcb *tcp)
{
	uint64_t until_ns = bench_now_ns() + 500000000;

	tcp_err(tcp, NULL);
	tcp_close(tcp);
	while (bench_now_ns() < until_ns)
		turn(peer);
}

int main(int argc, char **argv)
{
	static struct peer peer;
	struct bench_args args;
	struct tcp_pcb *tcp;

	bench_args_parse(&args, argc, argv, "tx");
	/* tcp_write() takes 16 bits. */
	if (args.block_bytes > 32768)
		args.block_bytes = 32768;
	meter_init(&peer.meter, &args);
	source_open(&peer.source, &args);
	open_tap(&peer, args.dev);
	lwip_init();
	open_netif(&peer, &args);
	tcp = start(&peer, &args);
	while (!meter_done(&peer.meter)) {
		if (peer.connected)
			send_some(&peer, tcp, args.block_bytes);
		turn(&peer);
	}
	finish(&peer, tcp);
	meter_print(&peer.meter, "");
	return 0;
}
