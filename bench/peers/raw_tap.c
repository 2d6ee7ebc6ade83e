/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bare loop over a tap: what the wire under the stack can carry.
 *
 *	tx   connect to the kernel, then writev() of one header and 64 KiB of
 *	     the source per frame (TSO), as long as the window has room
 *	rx   accept the kernel's connection, or --flows of them, then readv()
 *	     with the headers in one place and the payload in another, an ACK
 *	     every 4 frames of a connection
 *
 *	      this program                 the kernel, same namespace
 *	   [vnet|eth|ip|tcp] + payload --> tap --> TCP --> read()
 *	                      ACKs     <-- tap <--
 *
 * It speaks just enough TCP for the kernel at the other end to be content,
 * and so is an upper bound for a stack on the same device, not a rival. What
 * it leaves out, and a stack pays for:
 *
 *  - congestion control: it fills the advertised window at once;
 *  - loss recovery: when nothing moves for 200 ms it begins again at the last
 *    acknowledged byte and counts that as a "resend"; received bytes out of
 *    order are thrown away;
 *  - bookkeeping of what is in flight, timers, checks of addresses, checksums
 *    and timestamps, SACK, neighbours, IPv6;
 *  - consumers: received payload falls into one ring, a MiB for each flow,
 *    whichever flow it is of, and nobody gets it.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define MSS		1448	   /* 1500 - IPv4 20 - TCP 20 - timestamps 12 */
#define FRAME_PAYLOAD	(45 * MSS) /* the most whole segments in 64 KiB */
#define RING_BYTES	(1u << 20) /* for each flow */
#define FLOWS_MAX	16
#define ACK_EVERY	4 /* frames received */
#define READ_ACKS_EVERY 8 /* frames sent */
#define SPIN_NS		50000
#define STALL_MS	200
#define WSCALE		8
#define ETHERTYPE_IP4	0x0800

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

/* A frame of an established connection: always these 76 bytes in front. */
struct header {
	struct virtio_net_hdr vnet;
	uint8_t eth_dst[6], eth_src[6];
	uint16_t eth_type;
	uint8_t ip_version, ip_tos;
	uint16_t ip_bytes, ip_id, ip_fragment;
	uint8_t ip_ttl, ip_protocol;
	uint16_t ip_csum;
	uint32_t ip_src, ip_dst;
	uint16_t src_port, dst_port;
	uint32_t seq, ack;
	uint8_t data_offset, flags;
	uint16_t window, csum, urgent;
	uint8_t options[12]; /* nop nop timestamps, or those of a SYN */
	uint8_t syn_rest[8]; /* sent and received with SYN only */
} __attribute__((packed));

#define HEADER_BYTES (offsetof(struct header, syn_rest))
#define ETH_BYTES    14
#define IP_BYTES     20
#define VNET_BYTES   sizeof(struct virtio_net_hdr)

_Static_assert(HEADER_BYTES == 10 + 14 + 20 + 32, "headers in a row");

struct raw {
	int fd;
	struct header header; /* template of what goes out */
	uint32_t snd_una, snd_nxt;
	uint32_t rcv_nxt;
	uint32_t window;
	unsigned peer_wscale;
	uint32_t ts_recent;
	uint32_t ts_base_ms;
	uint64_t resends;
	uint64_t discarded;
	unsigned owed; /* frames that no ACK was sent for */
	bool over;
};

static uint32_t clock_ms(void)
{
	return (uint32_t)(bench_now_ns() / 1000000);
}

/* --- The device ---------------------------------------------------------- */

static void open_tap(struct raw *raw, const char *name)
{
	struct ifreq request = {
		.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
	};
	unsigned offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

	if (!name)
		bench_fail("--dev: the name of a tap is missing");
	raw->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	if (raw->fd < 0)
		bench_fail("/dev/net/tun: %m");
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(raw->fd, TUNSETIFF, &request) < 0) {
		request.ifr_flags |= IFF_MULTI_QUEUE; /* as it was made */
		if (ioctl(raw->fd, TUNSETIFF, &request) < 0)
			bench_fail("%s: %m", name);
	}
	if (ioctl(raw->fd, TUNSETOFFLOAD, offload) < 0)
		bench_fail("TUNSETOFFLOAD: %m");
}

/* Wait for a frame: a moment awake, then asleep. False after STALL_MS. */
static bool wait_frame(struct raw *raw)
{
	struct pollfd wait = { .fd = raw->fd, .events = POLLIN };
	uint64_t until_ns = bench_now_ns() + SPIN_NS;

	do {
		if (poll(&wait, 1, 0) > 0)
			return true;
	} while (bench_now_ns() < until_ns);
	return poll(&wait, 1, STALL_MS) > 0;
}

/* --- Checksums ----------------------------------------------------------- */

static uint32_t sum_words(const void *data, size_t bytes)
{
	const uint8_t *p = data;
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i + 1 < bytes; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The pseudo header's sum; the kernel adds the rest (NEEDS_CSUM). */
static uint16_t pseudo_sum(const struct header *h, size_t tcp_bytes)
{
	uint32_t sum = sum_words(&h->ip_src, 8) + 6 + (uint32_t)tcp_bytes;

	return fold(sum);
}

/* --- Sending ------------------------------------------------------------- */

static void make_template(struct raw *raw, const struct bench_args *args)
{
	static const uint8_t own_mac[6] = { 0x02, 0x72, 0x61, 0x77, 0, 1 };
	struct header *h = &raw->header;
	char text[32] = "";
	struct in_addr local;

	if (args->local)
		strncpy(text, args->local, sizeof(text) - 1);
	text[strcspn(text, "/")] = '\0';
	if (inet_pton(AF_INET, text, &local) != 1)
		bench_fail("--local: our own IPv4 address is missing");
	memcpy(h->eth_dst, args->mac, 6);
	memcpy(h->eth_src, own_mac, 6);
	h->eth_type = htons(ETHERTYPE_IP4);
	h->ip_version = 0x45;
	h->ip_ttl = 64;
	h->ip_protocol = IPPROTO_TCP;
	h->ip_src = local.s_addr;
	h->ip_dst = args->addr.s_addr;
	h->window = htons(65535);
}

/* RFC 7323 appendix A: NOP, NOP, timestamps. */
static void put_timestamps(struct raw *raw, uint8_t *out)
{
	uint32_t value = htonl(clock_ms());
	uint32_t echo = htonl(raw->ts_recent);

	out[0] = out[1] = 1;
	out[2] = 8;
	out[3] = 10;
	memcpy(out + 4, &value, 4);
	memcpy(out + 8, &echo, 4);
}

static size_t put_syn_options(struct raw *raw)
{
	static const uint8_t mss_wscale[8] = {
		2, 4, 1460 >> 8, 1460 & 0xff, 1, 3, 3, WSCALE,
	};

	put_timestamps(raw, raw->header.options);
	memcpy(raw->header.syn_rest, mss_wscale, sizeof(mss_wscale));
	return sizeof(raw->header.options) + sizeof(mss_wscale);
}

static void put_gso(struct header *h, size_t payload_bytes)
{
	h->vnet = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = ETH_BYTES + IP_BYTES,
		.csum_offset = 16,
		.gso_type = VIRTIO_NET_HDR_GSO_NONE,
		.hdr_len = HEADER_BYTES - VNET_BYTES,
	};
	if (payload_bytes > MSS) {
		h->vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		h->vnet.gso_size = MSS;
	}
}

static void send_frame(struct raw *raw, uint8_t flags, const void *payload,
		       size_t payload_bytes)
{
	struct header *h = &raw->header;
	size_t option_bytes = 12;
	size_t tcp_bytes;
	struct iovec iov[2];

	if (flags & TCP_SYN)
		option_bytes = put_syn_options(raw);
	else
		put_timestamps(raw, h->options);
	tcp_bytes = 20 + option_bytes + payload_bytes;
	h->ip_bytes = htons((uint16_t)(IP_BYTES + tcp_bytes));
	h->ip_id = htons((uint16_t)(ntohs(h->ip_id) + 45));
	h->ip_csum = 0;
	h->ip_csum =
		htons((uint16_t)~fold(sum_words(&h->ip_version, IP_BYTES)));
	h->seq = htonl(raw->snd_nxt);
	h->ack = htonl(raw->rcv_nxt);
	h->data_offset = (uint8_t)((20 + option_bytes) / 4 << 4);
	h->flags = flags;
	put_gso(h, payload_bytes);
	h->csum = htons(pseudo_sum(h, tcp_bytes));

	iov[0].iov_base = h;
	iov[0].iov_len = offsetof(struct header, options) + option_bytes;
	iov[1].iov_base = (void *)(uintptr_t)payload;
	iov[1].iov_len = payload_bytes;
	if (writev(raw->fd, iov, payload_bytes ? 2 : 1) < 0)
		bench_fail("writev: %m");
}

/* --- Receiving ----------------------------------------------------------- */

/*
 * Read a frame of our connection: its headers into @h, its payload into
 * @payload. Other frames (ARP, IPv6 router solicitations) are passed over.
 *
 * Returns: payload bytes, or -1 when nothing is there.
 */
static ssize_t read_frame(struct raw *raw, struct header *h, void *payload,
			  size_t room)
{
	struct iovec iov[2] = {
		{ .iov_base = h, .iov_len = HEADER_BYTES },
		{ .iov_base = payload, .iov_len = room },
	};
	ssize_t got;

	for (;;) {
		got = readv(raw->fd, iov, 2);
		if (got < 0 && errno == EAGAIN)
			return -1;
		if (got < 0)
			bench_fail("readv: %m");
		if ((size_t)got >= offsetof(struct header, options) &&
		    h->eth_type == htons(ETHERTYPE_IP4) &&
		    h->ip_version == 0x45 && h->ip_protocol == IPPROTO_TCP &&
		    h->ip_dst == raw->header.ip_src)
			break;
	}
	return ntohs(h->ip_bytes) - IP_BYTES - (h->data_offset >> 4) * 4;
}

/* Options of a SYN: the scale of the peer's window. */
static void take_syn_options(struct raw *raw, const struct header *h,
			     const uint8_t *rest)
{
	uint8_t all[40] = { 0 };
	size_t bytes = (size_t)(h->data_offset >> 4) * 4 - 20;
	size_t i = 0;

	memcpy(all, h->options, sizeof(h->options));
	memcpy(all + sizeof(h->options), rest, sizeof(all) - 12);
	while (i + 1 < bytes && i + 1 < sizeof(all)) {
		if (all[i] == 1) {
			i++;
			continue;
		}
		if (all[i] == 3 && i + 2 < sizeof(all))
			raw->peer_wscale = all[i + 2];
		if (all[i] == 8 && i + 6 <= sizeof(all)) {
			memcpy(&raw->ts_recent, all + i + 2, 4);
			raw->ts_recent = ntohl(raw->ts_recent);
		}
		if (all[i] == 0 || all[i + 1] < 2)
			break;
		i += all[i + 1];
	}
}

static void take_ack(struct raw *raw, const struct header *h)
{
	uint32_t ack = ntohl(h->ack);

	if ((int32_t)(ack - raw->snd_una) < 0 ||
	    (int32_t)(ack - raw->snd_nxt) > 0)
		return;
	raw->snd_una = ack;
	raw->window = (uint32_t)ntohs(h->window) << raw->peer_wscale;
}

static void take_timestamp(struct raw *raw, const struct header *h)
{
	uint32_t value;

	memcpy(&value, h->options + 4, 4);
	raw->ts_recent = ntohl(value);
}

/* --- The handshake ------------------------------------------------------- */

static void await_syn_ack(struct raw *raw, struct header *h)
{
	uint8_t rest[2048];
	unsigned tries = 0;

	for (;;) {
		if (read_frame(raw, h, rest, sizeof(rest)) >= 0) {
			if ((h->flags & (TCP_SYN | TCP_ACK)) ==
			    (TCP_SYN | TCP_ACK))
				break;
		} else if (!wait_frame(raw) && ++tries == 50) {
			bench_fail("no handshake within ten seconds");
		}
	}
	raw->rcv_nxt = ntohl(h->seq) + 1;
	take_syn_options(raw, h, rest);
}

static void connect_kernel(struct raw *raw, const struct bench_args *args)
{
	struct header h;

	raw->header.src_port =
		htons((uint16_t)(40000 + bench_now_ns() / 1000 % 20000));
	raw->header.dst_port = htons(args->port);
	raw->snd_una = raw->snd_nxt = (uint32_t)bench_now_ns();
	send_frame(raw, TCP_SYN, NULL, 0);
	await_syn_ack(raw, &h);
	raw->snd_una = ++raw->snd_nxt;
	raw->window = ntohs(h.window);
	send_frame(raw, TCP_ACK, NULL, 0);
}

/* @rest: what came behind the frame's fixed header */
static void accept_kernel(struct raw *raw, const struct header *h,
			  const uint8_t *rest)
{
	raw->rcv_nxt = ntohl(h->seq) + 1;
	take_syn_options(raw, h, rest);
	raw->header.src_port = h->dst_port;
	raw->header.dst_port = h->src_port;
	raw->snd_una = raw->snd_nxt = (uint32_t)bench_now_ns();
	send_frame(raw, TCP_SYN | TCP_ACK, NULL, 0);
	raw->snd_una = ++raw->snd_nxt;
}

/* --- tx ------------------------------------------------------------------ */

static void read_acks(struct raw *raw)
{
	uint8_t payload[64];
	struct header h;

	while (read_frame(raw, &h, payload, sizeof(payload)) >= 0) {
		if (h.flags & TCP_RST)
			bench_fail("the kernel reset the connection");
		take_timestamp(raw, &h);
		take_ack(raw, &h);
	}
}

static bool window_has_room(const struct raw *raw)
{
	return raw->snd_nxt - raw->snd_una + FRAME_PAYLOAD <= raw->window;
}

static void await_room(struct raw *raw)
{
	if (!wait_frame(raw) && raw->snd_nxt != raw->snd_una) {
		raw->snd_nxt = raw->snd_una;
		raw->resends++;
	}
	read_acks(raw);
}

static void send_source(struct raw *raw, const struct bench_args *args,
			struct meter *meter)
{
	struct source source;
	unsigned frames = 0;

	source_open(&source, args);
	connect_kernel(raw, args);
	while (!meter_done(meter)) {
		while (!window_has_room(raw))
			await_room(raw);
		send_frame(raw, TCP_ACK | TCP_PSH,
			   source_next(&source, FRAME_PAYLOAD), FRAME_PAYLOAD);
		raw->snd_nxt += FRAME_PAYLOAD;
		meter_add(meter, FRAME_PAYLOAD, 1);
		if (++frames % READ_ACKS_EVERY == 0)
			read_acks(raw);
	}
	while (raw->snd_una != raw->snd_nxt && wait_frame(raw))
		read_acks(raw);
	send_frame(raw, TCP_FIN | TCP_ACK, NULL, 0);
}

/* --- rx ------------------------------------------------------------------ */

/* Take one data frame in order. Returns false when the peer is done. */
static bool take_data(struct raw *raw, const struct header *h, ssize_t bytes,
		      struct meter *meter)
{
	if (h->flags & TCP_RST)
		return false;
	if (ntohl(h->seq) != raw->rcv_nxt || h->data_offset != 8 << 4) {
		raw->discarded += bytes > 0;
		return true;
	}
	take_timestamp(raw, h);
	raw->rcv_nxt += (uint32_t)bytes;
	if (bytes > 0)
		meter_add(meter, (uint64_t)bytes, 1);
	return !(h->flags & TCP_FIN);
}

struct flows {
	struct raw each[FLOWS_MAX];
	unsigned count, wanted, over;
};

static struct raw *find_flow(struct flows *flows, const struct header *h)
{
	unsigned i;

	for (i = 0; i < flows->count; i++)
		if (flows->each[i].header.dst_port == h->src_port)
			return &flows->each[i];
	return NULL;
}

static struct raw *add_flow(struct flows *flows, const struct raw *raw,
			    const struct header *h, const uint8_t *rest)
{
	struct raw *flow = &flows->each[flows->count];

	if ((h->flags & (TCP_SYN | TCP_ACK)) != TCP_SYN ||
	    flows->count == flows->wanted)
		return NULL;
	flows->count++;
	*flow = *raw;
	accept_kernel(flow, h, rest);
	return NULL; /* the SYN has done its work */
}

static void acknowledge(struct raw *flow)
{
	if (!flow->over)
		send_frame(flow, TCP_ACK, NULL, 0);
	flow->owed = 0;
}

static bool acknowledge_all(struct flows *flows)
{
	bool any = false;
	unsigned i;

	for (i = 0; i < flows->count; i++) {
		if (!flows->each[i].owed)
			continue;
		acknowledge(&flows->each[i]);
		any = true;
	}
	return any;
}

static void end_flow(struct flows *flows, struct raw *flow)
{
	flow->rcv_nxt++;
	send_frame(flow, TCP_FIN | TCP_ACK, NULL, 0);
	flow->over = true;
	flows->over++;
}

static void receive(struct raw *raw, unsigned wanted, struct meter *meter)
{
	size_t ring_bytes = (size_t)RING_BYTES * wanted, at = 0;
	uint8_t *ring = aligned_alloc(4096, ring_bytes);
	struct flows flows = { .wanted = wanted };
	struct header h;
	ssize_t bytes;

	if (!ring)
		bench_fail("out of memory");
	bench_ready();
	while (!flows.count || flows.over < flows.count) {
		struct raw *flow;

		if (ring_bytes - at < 65536)
			at = 0;
		bytes = read_frame(raw, &h, ring + at, 65536);
		if (bytes < 0) {
			if (!acknowledge_all(&flows))
				wait_frame(raw);
			continue;
		}
		flow = find_flow(&flows, &h);
		if (!flow)
			flow = add_flow(&flows, raw, &h, ring + at);
		if (!flow || flow->over)
			continue;
		if (!take_data(flow, &h, bytes, meter)) {
			end_flow(&flows, flow);
			continue;
		}
		at += (size_t)bytes;
		if (++flow->owed >= ACK_EVERY)
			acknowledge(flow);
	}
	meter_stop(meter);
	free(ring);
}

int main(int argc, char **argv)
{
	struct raw raw = { .fd = -1 };
	struct bench_args args;
	struct meter meter;
	char more[64];

	bench_args_parse(&args, argc, argv, "tx|rx");
	if (!args.flows || args.flows > FLOWS_MAX)
		bench_fail("--flows 1 to %d", FLOWS_MAX);
	meter_init(&meter, &args);
	make_template(&raw, &args);
	open_tap(&raw, args.dev);
	if (strcmp(args.mode, "tx") == 0)
		send_source(&raw, &args, &meter);
	else if (strcmp(args.mode, "rx") == 0)
		receive(&raw, args.flows, &meter);
	else
		bench_fail("%s: no such mode", args.mode);
	snprintf(more, sizeof(more), "\"resends\":%llu,\"discarded\":%llu,",
		 (unsigned long long)raw.resends,
		 (unsigned long long)raw.discarded);
	meter_print(&meter, more);
	return 0;
}
