/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tap driver: frames to and from the kernel's network stack.
 *
 * Theory of operation
 *
 * A tap is a network interface whose other end is a file: what the kernel
 * sends is read from it, what is written to it the kernel receives. A struct
 * virtio_net_hdr in front of each frame says what a NIC's descriptor would:
 * where the checksum is still to be finished, and into which pieces a segment
 * of up to 64 KiB is to be cut.
 *
 *	tx	writev( vnet | spans[0] headers | spans[1] loan | … )
 *	rx	readv(  room: vnet + headers | chunk | chunk | … | cut )
 *
 * The kernel copies between these spans and its own packets. It is the only
 * copy there is: payload leaves from where the application has it, and arrives
 * in a chunk that the application can borrow.
 *
 * Header split by scatter read. A read cannot know what comes, so the head is
 * as long as the headers of the last frame that carried payload: in a bulk
 * transfer the payload starts exactly at the start of a chunk. A frame with
 * other headers is still right, only its bytes lie elsewhere (buf.h). A frame
 * that carries no payload costs no chunk: what little of its headers ran over
 * into one is put behind the rest in the room.
 *
 * Chunks wait in iov[], so that a small frame takes none from the pool and
 * gives none back; only what a frame used is replaced.
 *
 * A tap with several queues places: tap_place.c. What is here is for queue 0,
 * which is the only one then as well that is written to.
 *
 * When the pool is dry, frames still come in by TAP_SPARES buffers of our own,
 * cut to what fits into the room (TOW_BUF_TRUNCATED). An acknowledgement fits,
 * and acknowledgements are what makes buffers come back.
 *
 * The end of the interface: once it was deleted, the file says EBADFD for ever.
 * An interface that is merely down says EIO: like a cable that is pulled, it
 * loses frames until it is put back.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <tow/error.h>
#include "dev/tap.h"

#define GSO_UDP_L4 5 /* VIRTIO_NET_HDR_GSO_UDP_L4, since Linux 6.2 */

#define ETH_BYTES     14
#define IP4_BYTES     20
#define IP6_BYTES     40
#define UDP_BYTES     8
#define TCP_DATA_AT   12 /* where the header's length is */
#define TCP_FLAGS_AT  13
#define TCP_CWR	      0x80
#define VLAN_BYTES    4
#define IP_BYTES_MAX  65535u
#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_IP6 0x86dd
#define PROTOCOL_TCP  6
#define PROTOCOL_UDP  17

#define ROOM_BYTES     (TOW_BUF_ROOM - TAP_FRAME_AT)
#define HEAD_BYTES_MIN (ETH_BYTES + IP4_BYTES + UDP_BYTES)
#define HEAD_BYTES_MAX TOW_BUF_HEADERS

_Static_assert(sizeof(struct virtio_net_hdr) == TAP_VNET_BYTES,
	       "the vnet header's size is told to the kernel");
_Static_assert(TAP_FRAME_AT >= TAP_VNET_BYTES &&
		       (TAP_FRAME_AT + ETH_BYTES) % 4 == 0,
	       "vnet header fits, IP header is aligned");
_Static_assert(sizeof(struct tow_span) == sizeof(struct iovec) &&
		       offsetof(struct tow_span, ptr) ==
			       offsetof(struct iovec, iov_base) &&
		       offsetof(struct tow_span, len) ==
			       offsetof(struct iovec, iov_len),
	       "a span is an iovec");

static struct tap *tap_of(struct tow_dev *dev)
{
	return CONTAINER(dev, struct tap, dev);
}

/* ---- receive ---- */

/* Frames we may get: a packet, or what the kernel leaves for us to cut. */
static uint32_t frame_bytes_max(const struct tap *t)
{
	if (t->offloads & TAP_LARGE)
		return ETH_BYTES + VLAN_BYTES + IP_BYTES_MAX;
	return ETH_BYTES + VLAN_BYTES + t->dev.mtu;
}

/*
 * On the first call the pool is known. Chunks so small that a buffer full of
 * them does not hold a large segment mean that the kernel must cut.
 */
static void meet_pool(struct tap *t)
{
	uint32_t most;

	t->chunk_bytes = tow_chunk_bytes(t->dev.pool);
	most = HEAD_BYTES_MIN + (TOW_BUF_SPANS - 1) * t->chunk_bytes;
	if (most < frame_bytes_max(t))
		(void)tap_set_offloads(t, t->offloads & ~TAP_LARGE);
	t->frame_bytes_max = frame_bytes_max(t);
	t->chunks_wanted =
		(t->frame_bytes_max - HEAD_BYTES_MIN + t->chunk_bytes - 1) /
		t->chunk_bytes;
	t->chunks_wanted = MIN(t->chunks_wanted, TOW_BUF_SPANS - 1u);
}

static void refill_chunks(struct tap *t)
{
	while (t->chunks_ready < t->chunks_wanted) {
		uint8_t *chunk = tow_chunk_take(t->dev.pool);

		if (!chunk)
			break;
		t->iov[1 + t->chunks_ready].iov_base = chunk;
		t->iov[1 + t->chunks_ready].iov_len = t->chunk_bytes;
		t->chunks_ready++;
	}
	t->iov[1 + t->chunks_ready].iov_base = &t->cut;
	t->iov[1 + t->chunks_ready].iov_len = 1;
}

static void refill_spares(struct tap *t)
{
	while (t->spares < TAP_SPARES) {
		struct tow_buf *buf = tow_buf_take(t->dev.pool);

		if (!buf)
			break;
		t->spare[t->spares++] = buf;
	}
}

/* The first @n chunks went up in a frame. */
static void forget_chunks(struct tap *t, unsigned n)
{
	t->chunks_ready -= n;
	memmove(&t->iov[1], &t->iov[1 + n],
		t->chunks_ready * sizeof(t->iov[0]));
}

/* A byte of the frame just read, in the room or in the first chunk. */
static unsigned byte_at(const struct tap *t, const struct tow_buf *buf,
			uint32_t head, uint32_t offset)
{
	if (offset < head)
		return buf->room[TAP_FRAME_AT + offset];
	if (t->chunks_ready && offset - head < t->chunk_bytes)
		return ((const uint8_t *)t->iov[1].iov_base)[offset - head];
	return 0;
}

/*
 * Ethernet to transport header of a frame of TCP or UDP. Whatever else it is,
 * ARP or ICMP, no one borrows it: then all of it counts as header.
 */
static uint32_t header_bytes(const struct tap *t, const struct tow_buf *buf,
			     uint32_t head, uint32_t total)
{
	const uint8_t *frame = buf->room + TAP_FRAME_AT;
	uint32_t type = (uint32_t)frame[12] << 8 | frame[13];
	uint32_t at = ETH_BYTES, protocol;

	if (type == ETHERTYPE_IP4 && total >= ETH_BYTES + IP4_BYTES) {
		protocol = frame[ETH_BYTES + 9];
		at += (frame[ETH_BYTES] & 15u) * 4;
	} else if (type == ETHERTYPE_IP6 && total >= ETH_BYTES + IP6_BYTES) {
		protocol = frame[ETH_BYTES + 6];
		at += IP6_BYTES;
	} else {
		return total;
	}
	if (protocol == PROTOCOL_TCP)
		at += (byte_at(t, buf, head, at + TCP_DATA_AT) >> 4) * 4;
	else if (protocol == PROTOCOL_UDP)
		at += UDP_BYTES;
	else
		return total;
	return MIN(at, total);
}

/* What the vnet header says about checksum and size. */
static void read_vnet(struct tow_buf *buf, uint32_t total)
{
	struct virtio_net_hdr vnet;

	memcpy(&vnet, buf->room + TAP_FRAME_AT - TAP_VNET_BYTES, sizeof(vnet));
	if (vnet.flags & VIRTIO_NET_HDR_F_DATA_VALID)
		buf->flags |= TOW_BUF_CSUM_OK;
	if (vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	    vnet.csum_start + vnet.csum_offset + 2u <= total) {
		buf->flags |= TOW_BUF_CSUM_PARTIAL;
		buf->csum_start = vnet.csum_start;
		buf->csum_offset = vnet.csum_offset;
	}
	switch (vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		buf->gso = TOW_GSO_TCP4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		buf->gso = TOW_GSO_TCP6;
		break;
	case GSO_UDP_L4:
		buf->gso = TOW_GSO_UDP;
		break;
	default:
		return;
	}
	buf->gso_bytes = vnet.gso_size;
}

/* The frame's bytes behind @head, out of the chunks and into the buffer. */
void tap_attach_chunks(struct tap *t, struct tow_buf *buf, uint32_t rest)
{
	unsigned used = 0;

	while (rest) {
		uint32_t bytes = MIN(rest, t->chunk_bytes);

		tow_buf_add_chunk(buf, t->iov[1 + used].iov_base, bytes);
		used++;
		rest -= bytes;
	}
	forget_chunks(t, used);
	refill_chunks(t);
}

/*
 * Give the frame its shape.
 * @total: bytes that came, one more than there was room for if it was cut
 */
static void shape_frame(struct tap *t, struct tow_buf *buf,
			const struct tap_layout *l, uint32_t total)
{
	uint32_t headers, in_room = MIN(total, l->head);

	if (total > l->room_for) {
		tow_buf_set_head(buf, TAP_FRAME_AT, in_room);
		buf->flags |= TOW_BUF_TRUNCATED;
		return;
	}
	headers = header_bytes(t, buf, in_room, total);
	if (headers == total && total > in_room && total <= ROOM_BYTES &&
	    total - in_room <= t->chunk_bytes) {
		memcpy(buf->room + TAP_FRAME_AT + in_room, t->iov[1].iov_base,
		       total - in_room);
		in_room = total;
	}
	tow_buf_set_head(buf, TAP_FRAME_AT, in_room);
	tap_attach_chunks(t, buf, total - in_room);
	if (headers < total && headers <= HEAD_BYTES_MAX)
		t->head_bytes = MAX(headers, HEAD_BYTES_MIN);
}

static ssize_t read_frame(struct tap *t, int fd, struct tow_buf *buf, bool dry,
			  struct tap_layout *l)
{
	struct iovec *room = &t->iov[0];
	struct iovec only[2];
	ssize_t got;

	if (t->chunks_ready && !dry) {
		l->head = t->head_bytes;
		l->room_for = l->head + t->chunks_ready * t->chunk_bytes;
		room->iov_base = buf->room + TAP_FRAME_AT - TAP_VNET_BYTES;
		room->iov_len = TAP_VNET_BYTES + l->head;
		do {
			got = readv(fd, t->iov, (int)t->chunks_ready + 2);
		} while (got < 0 && errno == EINTR);
		return got;
	}
	l->head = l->room_for = ROOM_BYTES;
	only[0].iov_base = buf->room + TAP_FRAME_AT - TAP_VNET_BYTES;
	only[0].iov_len = TAP_VNET_BYTES + ROOM_BYTES;
	only[1].iov_base = &t->cut;
	only[1].iov_len = 1;
	do {
		got = readv(fd, only, 2);
	} while (got < 0 && errno == EINTR);
	return got;
}

static bool means_gone(int error)
{
	return error == EBADFD || error == ENODEV || error == ENXIO;
}

/* The next frame of a queue, or NULL when there is none now. */
static struct tow_buf *receive_frame(struct tap *t, struct tap_queue *q)
{
	bool placed = tap_hint_holds(q);
	struct tap_layout layout;
	struct tow_buf *buf;
	ssize_t got;

	refill_spares(t);
	if (!t->spares)
		return NULL;
	buf = t->spare[t->spares - 1];
	for (;;) {
		bool dry = t->spares < TAP_SPARES;

		got = placed ? tap_read_placed(t, q, buf, dry, &layout)
			     : read_frame(t, q->fd, buf, dry, &layout);
		if (got < 0) {
			t->gone = means_gone(errno);
			return NULL;
		}
		if (got >= TAP_VNET_BYTES + ETH_BYTES)
			break;
		t->dev.rx_lost++;
	}
	t->spares--;
	got -= TAP_VNET_BYTES;
	read_vnet(buf, (uint32_t)got);
	if (placed)
		tap_shape_placed(t, q, buf, &layout, (uint32_t)got);
	else
		shape_frame(t, buf, &layout, (uint32_t)got);
	return buf;
}

/*
 * Has the stack to see what came before more is read? Its hint rests, or has no
 * room for another frame like the last.
 */
static bool hint_ends(const struct tap_queue *q, const struct tow_buf *last)
{
	return !tap_hint_holds(q) ||
	       q->hint.bytes + q->hint.header_bytes < last->bytes;
}

unsigned tap_read_queue(struct tap *t, struct tap_queue *q,
			struct tow_buf **bufs, unsigned n, bool *empty)
{
	bool placing = tap_hint_holds(q);
	unsigned got = 0;

	*empty = false;
	while (got < n && !*empty) {
		bufs[got] = receive_frame(t, q);
		if (!bufs[got])
			break;
		if (q == t->queues && t->queues_used)
			tap_note_stray(t, bufs[got]);
		*empty = placing && hint_ends(q, bufs[got]);
		got++;
	}
	*empty |= got < n;
	return got;
}

static int tap_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct tap *t = tap_of(dev);
	unsigned got;
	bool empty;

	if (t->gone)
		return TOW_ENETDOWN;
	if (UNLIKELY(!t->chunk_bytes))
		meet_pool(t);
	if (UNLIKELY(t->chunks_ready < t->chunks_wanted))
		refill_chunks(t);
	if (t->queues_used)
		got = tap_read_queues(t, bufs, n);
	else
		got = tap_read_queue(t, &t->queues[0], bufs, n, &empty);
	if (!got && t->gone)
		return TOW_ENETDOWN;
	return (int)got;
}

/* ---- transmit ---- */

/*
 * RFC 3168 6.1.2: CWR is for the first piece only; the kernel has to know that
 * it is set before it cuts.
 */
static uint8_t ecn_bit(const struct tow_buf *buf)
{
	const uint8_t *headers = buf->spans[0].ptr;
	size_t at = (size_t)buf->csum_start + TCP_FLAGS_AT;

	if (at < buf->spans[0].len && headers[at] & TCP_CWR)
		return VIRTIO_NET_HDR_GSO_ECN;
	return 0;
}

static void write_vnet(struct virtio_net_hdr *vnet, const struct tow_buf *buf)
{
	*vnet = (struct virtio_net_hdr){ 0 };
	if (buf->flags & TOW_BUF_CSUM_PARTIAL) {
		vnet->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		vnet->csum_start = buf->csum_start;
		vnet->csum_offset = buf->csum_offset;
	}
	switch ((enum tow_gso)buf->gso) {
	case TOW_GSO_NONE:
		return;
	case TOW_GSO_TCP4:
		vnet->gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | ecn_bit(buf);
		break;
	case TOW_GSO_TCP6:
		vnet->gso_type = VIRTIO_NET_HDR_GSO_TCPV6 | ecn_bit(buf);
		break;
	case TOW_GSO_UDP:
		vnet->gso_type = GSO_UDP_L4;
		break;
	}
	vnet->gso_size = buf->gso_bytes;
	vnet->hdr_len = buf->header_bytes;
}

/*
 * Write one frame. What the kernel does not take for a reason of the frame's
 * own (EINVAL), of its memory (EFAULT: a mapped file was truncated) or of the
 * link (EIO: it is down) is lost, as on a wire.
 *
 * Returns: false when the device takes nothing now.
 */
static bool send_frame(struct tap *t, const struct tow_buf *buf)
{
	struct virtio_net_hdr vnet;
	struct tow_span spans[1 + TOW_BUF_SPANS];
	ssize_t put;

	write_vnet(&vnet, buf);
	spans[0] = (struct tow_span){ &vnet, sizeof(vnet) };
	memcpy(&spans[1], buf->spans, buf->span_count * sizeof(spans[0]));
	do {
		put = writev(t->fd, (const struct iovec *)spans,
			     1 + buf->span_count);
	} while (put < 0 && errno == EINTR);
	if (LIKELY(put >= 0))
		return true;
	if (errno == EAGAIN)
		return false;
	t->gone = means_gone(errno);
	t->dev.tx_lost += !t->gone;
	return !t->gone;
}

static int tap_tx(struct tow_dev *dev, struct tow_buf *const *bufs, unsigned n)
{
	struct tap *t = tap_of(dev);
	unsigned sent;

	if (t->gone)
		return TOW_ENETDOWN;
	for (sent = 0; sent < n; sent++) {
		if (!send_frame(t, bufs[sent]))
			break;
		tow_buf_give(bufs[sent]);
	}
	if (!sent && t->gone)
		return TOW_ENETDOWN;
	return (int)sent;
}

/* ---- the rest ---- */

static int tap_wait_fd(struct tow_dev *dev)
{
	struct tap *t = tap_of(dev);

	return t->epoll >= 0 ? t->epoll : t->fd;
}

static const char *tap_interface(struct tow_dev *dev)
{
	return tap_of(dev)->name;
}

static int tap_withdraw(struct tow_dev *dev, uint32_t caps)
{
	struct tap *t = tap_of(dev);
	uint32_t offloads = t->offloads;

	if (caps & (TOW_DEV_TSO4 | TOW_DEV_TSO6 | TOW_DEV_USO | TOW_DEV_LRO)) {
		offloads &= ~TAP_LARGE;
		caps |= TOW_DEV_TSO4 | TOW_DEV_TSO6 | TOW_DEV_USO | TOW_DEV_LRO;
		dev->gso_bytes_max = 0;
	}
	if (caps & (TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM)) {
		offloads = 0;
		caps |= TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM | TOW_DEV_TSO4 |
			TOW_DEV_TSO6 | TOW_DEV_USO | TOW_DEV_LRO;
		dev->gso_bytes_max = 0;
	}
	if (tap_set_offloads(t, offloads))
		return TOW_EOPNOTSUPP;
	dev->caps &= ~caps;
	return 0;
}

static void tap_close(struct tow_dev *dev)
{
	struct tap *t = tap_of(dev);

	while (t->spares)
		tow_buf_give(t->spare[--t->spares]);
	while (t->chunks_ready)
		tow_chunk_give(dev->pool, t->iov[t->chunks_ready--].iov_base);
	tap_close_queues(t);
	free(t);
}

const struct tow_dev_ops tap_ops = {
	.name = "tap",
	.rx = tap_rx,
	.tx = tap_tx,
	.wait_fd = tap_wait_fd,
	.place = tap_place,
	.close = tap_close,
	.withdraw = tap_withdraw,
	.interface = tap_interface,
};
