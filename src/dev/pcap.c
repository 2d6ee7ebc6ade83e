/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capture wrapper: pcap:file=F[,snap=N]:DEVICE writes what passes through
 * a device into a file that Wireshark and tshark open.
 *
 * Theory of operation: what is received is written when it has come up from
 * the device inside. What is sent is written when that device has taken it; so
 * that its bytes are still there then, the wrapper holds a reference of its
 * own across the call. Checksums that are left to the device are finished in
 * the file's copy, so that no one takes them for damage. Large segments appear
 * as what they are, one packet above the MTU.
 *
 * Time is the stack's clock, moved by what lies between it and the time of day
 * at the first call.
 *
 * Frames wait in a buffer until it is full or a poll had nothing to do. When
 * the disk says no, the capture ends with one line on standard error, and the
 * traffic goes on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tow/error.h>
#include "dev/drivers.h"
#include "dev/frame.h"
#include "dev/pcapng.h"
#include "dev/wrap.h"

#define PATH_BYTES_MAX 4096
#define SNAP_BYTES_MAX 262144 /* what tshark takes at most */
#define SNAP_BYTES_MIN 64

struct pcap_options {
	char path[PATH_BYTES_MAX];
	uint64_t snap_bytes;
};

struct pcap {
	struct wrap wrap;
	struct pcapng *file;
	char *path;
	uint32_t snap_bytes;
	bool clock_known, complained;
	bool busy, dirty; /* since the last flush; since the last write */
	uint64_t realtime_ahead_us; /* of dev->now_us; wraps around */
	uint8_t frame[FRAME_BYTES_MAX];
};

static const struct spec_key keys[] = {
	{ "file", SPEC_TEXT, offsetof(struct pcap_options, path), 0,
	  PATH_BYTES_MAX, NULL },
	{ "snap", SPEC_NUMBER, offsetof(struct pcap_options, snap_bytes),
	  SNAP_BYTES_MIN, SNAP_BYTES_MAX, NULL },
};

static struct pcap *pcap_of(struct tow_dev *dev)
{
	return CONTAINER(wrap_of(dev), struct pcap, wrap);
}

static uint64_t realtime_us(struct pcap *p)
{
	struct timespec now;

	if (!p->clock_known) {
		clock_gettime(CLOCK_REALTIME, &now);
		p->realtime_ahead_us = (uint64_t)now.tv_sec * 1000000 +
				       (uint64_t)now.tv_nsec / 1000 -
				       p->wrap.dev.now_us;
		p->clock_known = true;
	}
	return p->wrap.dev.now_us + p->realtime_ahead_us;
}

static void complain_once(struct pcap *p)
{
	int error = pcapng_error(p->file);

	if (p->complained || !error)
		return;
	p->complained = true;
	fprintf(stderr, "pcap: writing %s: %s; the capture ends here\n",
		p->path, strerror(-error));
}

static void capture(struct pcap *p, const struct tow_buf *buf,
		    enum pcapng_direction direction)
{
	size_t bytes = MIN(sizeof(p->frame), (size_t)p->snap_bytes);
	struct tow_span span = { p->frame, 0 };

	span.len = tow_buf_read(buf, 0, p->frame, bytes);
	if (span.len == buf->bytes)
		frame_finish_csum(buf, p->frame, span.len);
	pcapng_packet(p->file, 0, realtime_us(p), &span, 1, buf->bytes,
		      direction, NULL);
	p->busy = p->dirty = true;
	complain_once(p);
}

static int pcap_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct pcap *p = pcap_of(dev);
	struct tow_dev *inner = p->wrap.inner;
	int got;

	wrap_enter(&p->wrap);
	got = inner->ops->rx(inner, bufs, n);
	wrap_leave(&p->wrap);
	for (int i = 0; i < got; i++)
		capture(p, bufs[i], PCAPNG_IN);
	return got;
}

static int pcap_tx(struct tow_dev *dev, struct tow_buf *const *bufs, unsigned n)
{
	struct pcap *p = pcap_of(dev);
	struct tow_dev *inner = p->wrap.inner;
	int sent;

	for (unsigned i = 0; i < n; i++)
		(void)tow_buf_ref(bufs[i]);
	wrap_enter(&p->wrap);
	sent = inner->ops->tx(inner, bufs, n);
	wrap_leave(&p->wrap);
	for (int i = 0; i < sent; i++)
		capture(p, bufs[i], PCAPNG_OUT);
	for (unsigned i = 0; i < n; i++)
		tow_buf_give(bufs[i]);
	return sent;
}

static void pcap_flush(struct tow_dev *dev)
{
	struct pcap *p = pcap_of(dev);

	if (!p->busy && p->dirty) {
		pcapng_flush(p->file);
		complain_once(p);
		p->dirty = false;
	}
	p->busy = false;
	wrap_flush(dev);
}

static void pcap_close(struct tow_dev *dev)
{
	struct pcap *p = pcap_of(dev);

	wrap_close_inner(&p->wrap);
	pcapng_flush(p->file);
	complain_once(p);
	(void)pcapng_close(p->file);
	free(p->path);
	free(p);
}

static const struct tow_dev_ops pcap_ops = {
	.name = "pcap",
	.rx = pcap_rx,
	.tx = pcap_tx,
	.flush = pcap_flush,
	.wait_fd = wrap_wait_fd,
	.place = wrap_place,
	.close = pcap_close,
	.withdraw = wrap_withdraw,
	.interface = wrap_interface,
};

/* Written out at once, so that a disk that is full shows now. */
static int open_file(struct pcap *p, const struct tow_dev *inner,
		     const char *interface)
{
	int error = pcapng_open(&p->file, p->path);

	if (error)
		return error;
	(void)pcapng_interface(p->file, interface,
			       inner->caps & TOW_DEV_NO_LINK ? PCAPNG_RAW_IP
							     : PCAPNG_ETHERNET);
	pcapng_flush(p->file);
	error = pcapng_error(p->file);
	if (error)
		(void)pcapng_close(p->file);
	return error;
}

static int make(struct tow_dev **out, struct spec *spec,
		const struct pcap_options *options, struct tow_dev *inner)
{
	struct pcap *p = calloc(1, sizeof(*p));
	int error;

	if (!p || !(p->path = strdup(options->path))) {
		free(p);
		return spec_fail(spec, TOW_ENOMEM, "out of memory");
	}
	p->snap_bytes = (uint32_t)options->snap_bytes;
	error = open_file(p, inner, tow_dev_interface(inner));
	if (error) {
		(void)spec_fail(spec, error, "capture file %s: %s", p->path,
				strerror(-error));
		free(p->path);
		free(p);
		return error;
	}
	wrap_init(&p->wrap, &pcap_ops, inner);
	*out = &p->wrap.dev;
	return 0;
}

int pcap_open(struct tow_dev **out, struct spec *spec)
{
	struct pcap_options options = { .snap_bytes = SNAP_BYTES_MAX };
	const char *head = spec->at;
	struct tow_dev *inner;
	int error;

	error = spec_read(spec, "pcap", keys, LENGTH(keys), SPEC_TO_COLON,
			  &options);
	if (error)
		return error;
	if (!*options.path)
		return spec_fail_at(spec, head,
				    "pcap needs the file to write, as in "
				    "\"pcap:file=x.pcapng:tap\"");
	error = dev_open_next(&inner, spec);
	if (error)
		return error;
	error = make(out, spec, &options, inner);
	if (error)
		inner->ops->close(inner);
	return error;
}
