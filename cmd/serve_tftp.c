/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TFTP: the known port, and what all transfers have in common.
 *
 * Theory of operation. A request that comes to the known port gets a socket of
 * its own, on a port that is chosen at random and connected to the client, and
 * from then on the transfer is between these two. So nobody else can take part
 * in it without guessing both ports, and a device can tell its datagrams apart
 * and put them where they belong.
 *
 * A client that asks again, because our answer was lost or slow, has a transfer
 * already: its first packets are sent again in time, and the second request
 * means nothing.
 *
 * Whatever ends a transfer (the last ACK, an ERROR of either side, a port that
 * is closed at the other end, TFTP_TRIES timeouts in a row) goes through
 * transfer_end(). The struct lives until loans, posts and jobs are back.
 *
 * Time is looked at each NODE_TICK_US; a timeout that nobody asked for by an
 * option is doubled with each try.
 *
 * Whoever has acknowledged the last block lingers for as long as the client may
 * take to send it again, twice, should the ACK be lost (RFC 1350 6). That keeps
 * nobody out: such a transfer gives its place to the next.
 *
 * A client that is silent, or that sends a block now and then, keeps memory of
 * the disk's that other uploads wait for, FTP's and HTTP's too. So transfers
 * that write have half of it at most, and nobody is waited for longer than
 * TFTP_TRIES times TFTP_AGREED_S_MAX.
 */
#include "serve_tftp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_BYTES 2048 /* ACK, ERROR, requests; DATA goes elsewhere */

/* --- life and death */

void transfer_enter(struct transfer *t, enum transfer_state state)
{
	t->state = state;
	t->since_us = t->server->now_us;
	t->tries = 0;
}

/* What cannot be sent now is lost, as it may be later; time helps. */
void transfer_send(struct transfer *t, const void *packet, size_t bytes)
{
	struct tow_span span = { packet, bytes };
	struct tow_udp_message message = { .spans = &span, .span_count = 1 };

	if (tow_udp_send(t->udp, &message, 1) == 1)
		t->since_us = t->server->now_us;
}

/* Something new was heard. */
void transfer_progress(struct transfer *t)
{
	t->tries = 0;
	t->since_us = t->server->now_us;
	t->timeout_us =
		(t->agreed.timeout_s ? t->agreed.timeout_s : TFTP_TIMEOUT_S) *
		UINT64_C(1000000);
}

static void tftp_count(const struct transfer *t)
{
	struct tftp_server *tftp = t->tftp;

	tftp->moved_bytes += t->moved_bytes;
	if (t->status >= 300)
		tftp->failures++;
	else if (t->request.opcode == TFTP_RRQ)
		tftp->reads++;
	else
		tftp->writes++;
}

void transfer_log(struct transfer *t, int status)
{
	const struct access_entry entry = {
		.peer = t->peer_text,
		.method = t->request.opcode == TFTP_RRQ ? "RRQ" : "WRQ",
		.target = t->request.name,
		.protocol = "TFTP",
		.status = status,
		.body_bytes = t->moved_bytes,
	};

	t->status = status;
	tftp_count(t);
	if (t->server->log)
		access_log_add(t->server->log, t->server->now, &entry);
}

void transfer_release(struct transfer *t)
{
	if (t->state != TRANSFER_GONE || t->out || !list_empty(&t->flights))
		return;
	list_remove(&t->link);
	list_append(&t->tftp->dead, &t->link);
}

void transfer_end(struct transfer *t, int status)
{
	if (t->state == TRANSFER_GONE)
		return;
	if (!t->status)
		transfer_log(t, status);
	t->state = TRANSFER_GONE;
	t->tftp->count--;
	tow_udp_close(t->udp);
	t->udp = NULL;
	read_stop(t);
	write_stop(t);
	transfer_release(t);
}

/* The statuses of HTTP are better known than the eight codes of TFTP. */
static int status_of(enum tftp_code code)
{
	switch (code) {
	case TFTP_NOT_FOUND:
		return 404;
	case TFTP_ACCESS:
		return 403;
	case TFTP_DISK_FULL:
		return 507;
	case TFTP_ILLEGAL:
	case TFTP_OPTION:
		return 400;
	default:
		return 500;
	}
}

void transfer_fail(struct transfer *t, enum tftp_code code, const char *message)
{
	uint8_t packet[TFTP_BLKSIZE];

	if (t->state == TRANSFER_GONE)
		return;
	transfer_send(t, packet,
		      tftp_error(packet, sizeof(packet), code, message));
	transfer_end(t, status_of(code));
}

/* --- events of a transfer */

/* ACK and ERROR of a client that reads. */
static void take_packets(struct transfer *t)
{
	uint8_t packet[PACKET_BYTES];
	int64_t n;

	while (t->udp) {
		n = tow_udp_recv(t->udp, packet, sizeof(packet), NULL);
		if (n == TOW_EAGAIN)
			return;
		if (n < 0)
			transfer_end(t, 499); /* nobody is there any more */
		else if (n < TFTP_HEADER_BYTES)
			continue;
		else if (tftp_opcode(packet, (size_t)n) == TFTP_ERROR)
			transfer_end(t, 499);
		else
			read_packet(t, packet, (size_t)n);
	}
}

static void transfer_event(struct handler *handler,
			   const struct tow_event *event)
{
	struct transfer *t = CONTAINER(handler, struct transfer, handler);

	switch (event->type) {
	case TOW_EVENT_READABLE:
		if (t->udp && t->request.opcode == TFTP_WRQ)
			write_take(t);
		else
			take_packets(t);
		break;
	case TOW_EVENT_WRITABLE:
		if (t->state == TRANSFER_SENDING)
			read_send(t);
		break;
	case TOW_EVENT_ERROR:
		transfer_end(t, 499);
		break;
	case TOW_EVENT_LOAN:
		read_returned((struct tftp_flight *)(uintptr_t)event->token);
		break;
	case TOW_EVENT_POST:
		write_posted(t, event);
		break;
	default:
		break;
	}
}

/* --- requests */

/* An ERROR from a port of its own, to somebody who has no transfer. */
static void refuse(struct tftp_server *tftp, const struct tow_udp_message *from,
		   enum tftp_code code, const char *message)
{
	struct tow_endpoint local = { .addr = from->local };
	uint8_t packet[TFTP_BLKSIZE];
	struct tow_span span = { packet, tftp_error(packet, sizeof(packet),
						    code, message) };
	struct tow_udp_message answer = {
		.peer = from->peer,
		.spans = &span,
		.span_count = 1,
	};
	struct tow_udp *udp;
	int sent = 0;

	if (tow_udp_open(tftp->server->stack, &local, &udp) == 0) {
		sent = tow_udp_send(udp, &answer, 1);
		tow_udp_close(udp);
	}
	(void)sent; /* it will ask again */
}

static bool has_transfer(const struct tftp_server *tftp,
			 const struct tow_endpoint *peer)
{
	LIST_EACH (node, &tftp->transfers) {
		const struct transfer *t =
			CONTAINER(node, struct transfer, link);

		if (t->state != TRANSFER_GONE && t->peer.port == peer->port &&
		    tow_addr_equal(&t->peer.addr, &peer->addr))
			return true;
	}
	return false;
}

static bool is_from(const struct transfer *t, const struct tow_addr *net)
{
	struct tow_addr its = client_net(&t->peer.addr);

	return tow_addr_equal(&its, net);
}

/* The oldest of one client, or of all if @net is NULL. False: there is none. */
static bool end_lingering(struct tftp_server *tftp, const struct tow_addr *net)
{
	LIST_EACH (node, &tftp->transfers) {
		struct transfer *t = CONTAINER(node, struct transfer, link);

		if (t->state != TRANSFER_LINGERING || (net && !is_from(t, net)))
			continue;
		transfer_end(t, t->status);
		return true;
	}
	return false;
}

static bool find_room(struct tftp_server *tftp, const struct tow_endpoint *peer)
{
	struct tow_addr net = client_net(&peer->addr);
	uint64_t n = 0;

	LIST_EACH (node, &tftp->transfers) {
		const struct transfer *t =
			CONTAINER(node, struct transfer, link);

		n += t->state != TRANSFER_GONE && is_from(t, &net);
	}
	if (n >= tftp->settings.client_max && !end_lingering(tftp, &net))
		return false;
	return tftp->count < tftp->settings.transfers_max ||
	       end_lingering(tftp, NULL);
}

/* One more would keep more than half of the disk's memory from all others. */
static bool has_too_many_writers(const struct tftp_server *tftp)
{
	uint64_t blocks = TFTP_POSTS;

	LIST_EACH (node, &tftp->transfers) {
		const struct transfer *t =
			CONTAINER(node, struct transfer, link);

		if (t->request.opcode == TFTP_WRQ &&
		    (t->state == TRANSFER_OPENING ||
		     t->state == TRANSFER_RECEIVING))
			blocks += TFTP_POSTS;
	}
	return blocks > tftp->server->disk_blocks / 2;
}

/*
 * What of the options we go along with: RFC 2348, 2349, 7440. A timeout has to
 * be the client's own or is not agreed to (RFC 2349), and then it is ours.
 */
static void agree(struct transfer *t)
{
	uint32_t most =
		tow_addr_is_v4(&t->peer.addr) ? TFTP_BLKSIZE4 : TFTP_BLKSIZE6;

	t->agreed = t->request;
	if (t->agreed.blksize > most)
		t->agreed.blksize = most;
	if (t->agreed.windowsize > TFTP_WINDOW_MAX)
		t->agreed.windowsize = TFTP_WINDOW_MAX;
	if (t->agreed.timeout_s > TFTP_AGREED_S_MAX)
		t->agreed.timeout_s = 0;
	t->blksize = t->agreed.blksize ? t->agreed.blksize : TFTP_BLKSIZE;
	t->window = t->agreed.windowsize ? t->agreed.windowsize : 1;
}

static int open_socket(struct transfer *t, const struct tow_udp_message *from)
{
	struct tow_endpoint local = { .addr = from->local,
				      .zone = from->peer.zone };
	int error = tow_udp_open(t->server->stack, &local, &t->udp);

	if (error)
		return error;
	tow_udp_set_user(t->udp, &t->handler);
	return tow_udp_connect(t->udp, &t->peer);
}

static struct transfer *make_transfer(struct tftp_server *tftp,
				      const struct tow_udp_message *from,
				      const struct tftp_request *request)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->handler.event = transfer_event;
	t->tftp = tftp;
	t->server = tftp->server;
	t->peer = from->peer;
	t->request = *request;
	list_init(&t->link);
	list_init(&t->flights);
	file_send_begin(&t->file, t->server);
	tow_addr_format(&t->peer.addr, t->peer_text, sizeof(t->peer_text));
	agree(t);
	if (open_socket(t, from) != 0) {
		if (t->udp)
			tow_udp_close(t->udp);
		free(t);
		return NULL;
	}
	list_append(&tftp->transfers, &t->link);
	tftp->count++;
	transfer_progress(t);
	transfer_enter(t, TRANSFER_OPENING);
	return t;
}

static void begin(struct tftp_server *tftp, const struct tow_udp_message *from,
		  const struct tftp_request *request)
{
	struct transfer *t;

	if (request->opcode == TFTP_WRQ && tftp->server->settings.writable &&
	    has_too_many_writers(tftp)) {
		refuse(tftp, from, TFTP_UNDEFINED,
		       "too many files are written");
		return;
	}
	if (!find_room(tftp, &from->peer)) {
		refuse(tftp, from, TFTP_UNDEFINED, "too many transfers");
		return;
	}
	t = make_transfer(tftp, from, request);
	if (!t)
		return; /* it will ask again */
	if (!tftp_path(request->name, t->path))
		transfer_fail(t, TFTP_ACCESS, "no such place for a file");
	else if (request->opcode == TFTP_RRQ)
		read_begin(t);
	else if (!t->server->settings.writable)
		transfer_fail(t, TFTP_ACCESS, "files cannot be written here");
	else
		write_begin(t);
}

/* A packet at the known port. */
static void take_request(struct tftp_server *tftp, const uint8_t *packet,
			 size_t bytes, const struct tow_udp_message *from)
{
	unsigned opcode = tftp_opcode(packet, bytes);
	struct tftp_request request;

	if (opcode == TFTP_ERROR || has_transfer(tftp, &from->peer))
		return;
	if (opcode && tftp_request_parse(packet, bytes, &request))
		begin(tftp, from, &request);
	else
		refuse(tftp, from, TFTP_ILLEGAL, "not a request");
}

static void known_port_event(struct handler *handler,
			     const struct tow_event *event)
{
	struct tftp_server *tftp =
		CONTAINER(handler, struct tftp_server, handler);
	struct tow_udp_message from;
	uint8_t packet[TFTP_REQUEST_MAX];
	int64_t n;

	if (event->type != TOW_EVENT_READABLE)
		return;
	while (tftp->udp) {
		n = tow_udp_recv(tftp->udp, packet, sizeof(packet), &from);
		if (n < 0)
			return;
		if (from.bytes == (size_t)n)
			take_request(tftp, packet, (size_t)n, &from);
	}
}

/* --- the service */

static struct tftp_server *tftp_of(const struct service *service)
{
	return (struct tftp_server *)(uintptr_t)service;
}

static int tftp_listen(struct service *service)
{
	struct tftp_server *tftp = tftp_of(service);
	struct tow_endpoint any = { .addr = tow_addr_any(),
				    .port = service->port };
	int error = tow_udp_open(tftp->server->stack, &any, &tftp->udp);

	if (!error)
		tow_udp_set_user(tftp->udp, &tftp->handler);
	return error;
}

static uint64_t linger_us(const struct transfer *t)
{
	return (2 * MAX(t->agreed.timeout_s, TFTP_USUAL_S) + 2) *
	       UINT64_C(1000000);
}

/* Nothing was heard for so long: once more, or it is over. */
static void check_time(struct transfer *t)
{
	uint64_t waited_us = t->server->now_us - t->since_us;

	if (t->state == TRANSFER_LINGERING && waited_us >= linger_us(t))
		transfer_end(t, t->status);
	if (t->state != TRANSFER_OFFERING && t->state != TRANSFER_SENDING &&
	    t->state != TRANSFER_RECEIVING)
		return;
	if (waited_us < t->timeout_us || file_send_waits(&t->file) ||
	    write_waits(t))
		return;
	if (++t->tries >= TFTP_TRIES) {
		transfer_fail(t, TFTP_UNDEFINED, "timed out");
		return;
	}
	if (!t->agreed.timeout_s)
		t->timeout_us *= 2;
	t->since_us = t->server->now_us;
	if (t->request.opcode == TFTP_RRQ)
		read_again(t);
	else
		write_again(t);
}

static void tftp_tick(struct service *service)
{
	LIST_EACH (node, &tftp_of(service)->transfers)
		check_time(CONTAINER(node, struct transfer, link));
}

static bool is_sound(struct transfer *t, uint64_t age_us)
{
	if (!file_send_check(&t->file, age_us))
		return false;
	LIST_EACH (node, &t->flights) {
		struct tftp_flight *flight =
			CONTAINER(node, struct tftp_flight, link);

		if (!file_map_check(flight->map, t->server->now_us, age_us))
			return false;
	}
	return true;
}

static void tftp_check_maps(struct service *service, uint64_t age_us)
{
	LIST_EACH (node, &tftp_of(service)->transfers) {
		struct transfer *t = CONTAINER(node, struct transfer, link);

		if (t->state != TRANSFER_GONE && !is_sound(t, age_us))
			transfer_fail(t, TFTP_UNDEFINED,
				      "the file became shorter");
	}
}

static void tftp_reap(struct service *service)
{
	LIST_EACH (node, &tftp_of(service)->dead) {
		struct transfer *t = CONTAINER(node, struct transfer, link);

		list_remove(&t->link);
		read_close(t);
		free(t);
	}
}

static void tftp_drain(struct service *service)
{
	struct tftp_server *tftp = tftp_of(service);

	if (tftp->udp)
		tow_udp_close(tftp->udp);
	tftp->udp = NULL;
}

static bool tftp_busy(const struct service *service)
{
	LIST_EACH (node, &tftp_of(service)->transfers) {
		const struct transfer *t =
			CONTAINER(node, struct transfer, link);

		if (t->state != TRANSFER_LINGERING)
			return true;
	}
	return false;
}

static void tftp_end(struct service *service)
{
	tftp_drain(service);
	LIST_EACH (node, &tftp_of(service)->transfers) {
		struct transfer *t = CONTAINER(node, struct transfer, link);

		if (t->state == TRANSFER_LINGERING)
			transfer_end(t, t->status);
		else
			transfer_fail(t, TFTP_UNDEFINED, "the server ends");
	}
}

static void tftp_close(struct service *service)
{
	LIST_EACH (node, &tftp_of(service)->transfers) {
		struct transfer *t = CONTAINER(node, struct transfer, link);

		t->out = 0;
		read_close(t);
		transfer_release(t);
	}
	tftp_reap(service);
}

static void tftp_counts(const struct service *service, struct text *out)
{
	const struct tftp_server *tftp = tftp_of(service);

	text_printf(out,
		    "\"transfers\": %u, \"reads\": %" PRIu64
		    ", \"writes\": %" PRIu64 ", \"failures\": %" PRIu64
		    ", \"bytes\": %" PRIu64,
		    tftp->count, tftp->reads, tftp->writes, tftp->failures,
		    tftp->moved_bytes);
}

void tftp_server_init(struct tftp_server *tftp, struct server *server,
		      const struct tftp_settings *settings)
{
	tftp->service = (struct service){
		.scheme = "tftp",
		.port = (uint16_t)settings->port,
		.port_usual = TFTP_PORT,
		.listen = tftp_listen,
		.tick = tftp_tick,
		.check_maps = tftp_check_maps,
		.reap = tftp_reap,
		.drain = tftp_drain,
		.busy = tftp_busy,
		.end = tftp_end,
		.close = tftp_close,
		.counts = tftp_counts,
	};
	tftp->server = server;
	tftp->settings = *settings;
	tftp->handler.event = known_port_event;
	list_init(&tftp->transfers);
	list_init(&tftp->dead);
}
