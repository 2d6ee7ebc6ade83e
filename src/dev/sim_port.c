/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port: the simulated network card.
 *
 * Theory of operation: a card that copies reads a frame's spans when the stack
 * hands it over, and gives the buffer back at once. A card with
 * TOW_DEV_ASYNC_TX queues the buffer; later, when the wire is free and some
 * more time has passed, it reads the spans, and later still, in any order, it
 * gives the buffer back. In between it sends whatever the memory holds when it
 * looks: a loan that ended too early goes out as the wrong bytes.
 *
 * When the card vanishes, or its simulator is closed, it answers
 * TOW_ENETDOWN, and gives everything back when it is asked next.
 */
#include <stdlib.h>
#include "dev/sim_private.h"

#define RETRY_US 100u /* look again whether the pool has buffers */

static struct port *port_of(struct tow_dev *dev)
{
	return CONTAINER(dev, struct port, dev);
}

/* Transmit. */

/* The stack may have what it lent: neither ring nor wire needs it any more. */
static void complete(struct port *port, struct tow_buf *buf)
{
	port->stats.held--;
	tow_buf_give(buf);
}

static void give_completed(struct port *port, uint64_t until_us)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < port->completion_count; i++) {
		struct completion *each = &port->completions[i];

		if (each->at_us <= until_us)
			complete(port, each->buf);
		else
			port->completions[kept++] = *each;
	}
	port->completion_count = kept;
}

static struct tow_buf *take_waiting(struct port *port)
{
	struct tow_buf *buf = port->tx_first;

	if (!buf)
		return NULL;
	port->tx_first = buf->next;
	if (!port->tx_first)
		port->tx_last = &port->tx_first;
	port->tx_waiting--;
	buf->next = NULL;
	return buf;
}

static bool grow_completions(struct port *port)
{
	uint32_t room = port->completion_room ? port->completion_room * 2 : 64;
	struct completion *grown;

	if (port->completion_count < port->completion_room)
		return true;
	grown = realloc(port->completions, room * sizeof(*grown));
	if (!grown)
		return false;
	port->completions = grown;
	port->completion_room = room;
	return true;
}

/* Fetched: it comes back after a while, or at once if nothing can wait. */
static void complete_later(struct port *port, struct tow_buf *buf)
{
	uint64_t at_us = port->sim->now_us +
			 dice_up_to(&port->dice, port->how.complete_us);

	if (!grow_completions(port)) {
		complete(port, buf);
		return;
	}
	port->completions[port->completion_count].at_us = at_us;
	port->completions[port->completion_count++].buf = buf;
	sim_happens(port->sim, at_us, WAKE, port, NULL);
}

static uint64_t wire_free_us(const struct port *port)
{
	return MAX(port->sim->now_us, (port->up.free_ns + 999) / 1000);
}

static void arm_fetch(struct port *port)
{
	uint64_t at_us = wire_free_us(port) +
			 dice_up_to(&port->dice, port->how.fetch_us);

	if (port->fetch_armed || !port->tx_first)
		return;
	port->fetch_armed = sim_happens(port->sim, at_us, FETCH, port, NULL);
}

/* The device reads the frame at the head of its ring. */
void port_fetch(struct port *port)
{
	struct tow_buf *buf = take_waiting(port);

	port->fetch_armed = false;
	if (!buf)
		return;
	frame_send(port, buf);
	complete_later(port, buf);
	arm_fetch(port);
}

static void queue_frame(struct port *port, struct tow_buf *buf)
{
	buf->next = NULL;
	*port->tx_last = buf;
	port->tx_last = &buf->next;
	port->tx_waiting++;
	port->stats.held++;
	arm_fetch(port);
}

/* A card that copies: the slot is free when the wire has taken the frame. */
static void send_at_once(struct port *port, struct tow_buf *buf)
{
	frame_send(port, buf);
	tow_buf_give(buf);
	if (port->how.tx_ring &&
	    sim_happens(port->sim, wire_free_us(port), SLOT, port, NULL))
		port->slots_used++;
}

static bool ring_full(const struct port *port)
{
	return port->how.tx_ring &&
	       port->slots_used + port->tx_waiting + port->completion_count >=
		       port->how.tx_ring;
}

static void take_frame(struct port *port, struct tow_buf *buf)
{
	if (!frame_acceptable(port, buf))
		tow_buf_give(buf);
	else if (port->how.caps & TOW_DEV_ASYNC_TX)
		queue_frame(port, buf);
	else
		send_at_once(port, buf);
}

static void release_everything(struct port *port)
{
	struct tow_buf *buf;

	give_completed(port, UINT64_MAX);
	while ((buf = take_waiting(port)))
		complete(port, buf);
	while ((buf = port->margin)) {
		port->margin = buf->next;
		buf->next = NULL;
		complete(port, buf);
	}
	port->margin_count = port->stats.spare = 0;
}

static int port_tx(struct tow_dev *dev, struct tow_buf *const *bufs, unsigned n)
{
	struct port *port = port_of(dev);
	unsigned taken;

	if (port->gone) {
		release_everything(port);
		return TOW_ENETDOWN;
	}
	for (taken = 0; taken < n && !ring_full(port); taken++)
		take_frame(port, bufs[taken]);
	return (int)taken;
}

static void port_flush(struct tow_dev *dev)
{
	struct port *port = port_of(dev);

	if (port->gone)
		release_everything(port);
	else
		give_completed(port, port->sim->now_us);
}

/* Receive. */

static int port_rx(struct tow_dev *dev, struct tow_buf **bufs, unsigned n)
{
	struct port *port = port_of(dev);
	int filled;

	if (port->gone) {
		release_everything(port);
		return TOW_ENETDOWN;
	}
	margin_refill(port);
	filled = frames_hand_up(port, bufs, n);
	dev->next_us = UINT64_MAX;
	if (port->rx.count || port->moved.count)
		dev->next_us = port->sim->now_us + RETRY_US;
	return filled;
}

/* Coming and going. */

void port_unplug(struct port *port)
{
	struct packet *packet;

	port->gone = true;
	port->hint_count = 0;
	while ((packet = queue_take(&port->moved)) ||
	       (packet = queue_take(&port->rx))) {
		port_count(port, TOW_SIM_UNPLUGGED);
		packet_give(port->sim, packet);
	}
}

void port_free(struct port *port)
{
	free(port->completions);
	free(port->rx.slots);
	free(port->moved.slots);
	free(port);
}

/* Events may still name the port: the simulator frees it at its own end. */
static void port_close(struct tow_dev *dev)
{
	struct port *port = port_of(dev);

	release_everything(port);
	port->closed = true;
	if (!port->sim)
		port_free(port);
	else if (!port->gone)
		port_unplug(port);
}

static const struct tow_dev_ops port_ops = {
	.name = "sim",
	.rx = port_rx,
	.tx = port_tx,
	.flush = port_flush,
	.place = port_place,
	.close = port_close,
};

void tow_sim_port_default(struct tow_sim_port *port)
{
	*port = (struct tow_sim_port){
		.caps = TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM | TOW_DEV_TSO4 |
			TOW_DEV_TSO6 | TOW_DEV_USO | TOW_DEV_SPLIT,
		.mtu = 1500,
		.gso_bytes_max = 65280,
		.spans_max = TOW_BUF_SPANS,
		.margin = 4,
	};
}

#define CAPS_KNOWN                                                         \
	(TOW_DEV_TX_CSUM | TOW_DEV_RX_CSUM | TOW_DEV_TSO4 | TOW_DEV_TSO6 | \
	 TOW_DEV_USO | TOW_DEV_LRO | TOW_DEV_SPLIT | TOW_DEV_ASYNC_TX |    \
	 TOW_DEV_PLACE)
#define CAPS_LARGE (TOW_DEV_TSO4 | TOW_DEV_TSO6 | TOW_DEV_USO)

static bool port_config_ok(const struct tow_sim_port *how)
{
	bool large = how->caps & (CAPS_LARGE | TOW_DEV_LRO);

	if (how->caps & ~(uint32_t)CAPS_KNOWN)
		return false;
	if ((how->caps & TOW_DEV_LRO) && !(how->caps & TOW_DEV_RX_CSUM))
		return false; /* it would vouch for what it did not look at */
	return how->mtu >= 576 && how->mtu <= 65535 && how->spans_max >= 2 &&
	       how->spans_max <= TOW_BUF_SPANS &&
	       how->layout_bytes <= TOW_BUF_ROOM &&
	       how->place.flows <= HINTS_MAX &&
	       (!large ||
		(how->gso_bytes_max > 0 && how->gso_bytes_max <= 65535));
}

static void set_mac(struct port *port)
{
	static const uint8_t none[6];
	uint8_t made[6] = { 0x02,
			    0x70,
			    0x77,
			    0,
			    (uint8_t)(port->number >> 8),
			    (uint8_t)port->number };

	memcpy(port->dev.mac,
	       memcmp(port->how.mac, none, 6) == 0 ? made : port->how.mac, 6);
}

/* A locally administered address, and dice of its own for every part. */
static void port_init(struct port *port, const struct tow_sim_port *how)
{
	uint64_t seed =
		port->sim->seed ^ (port->number + 1) * 0x632be59bd9b4e019u;
	struct dice dice = { seed };

	port->how = *how;
	if (port->how.caps & CAPS_LARGE)
		port->how.caps |= TOW_DEV_TX_CSUM;
	port->dev.ops = &port_ops;
	port->dev.caps = port->how.caps;
	port->dev.mtu = how->mtu;
	port->dev.gso_bytes_max = how->gso_bytes_max;
	port->dev.spans_max = how->spans_max;
	port->dev.next_us = UINT64_MAX;
	set_mac(port);
	port->dice.state = dice_throw(&dice);
	port->up = (struct wire){ .how = how->up };
	port->up.dice.state = dice_throw(&dice);
	port->down = (struct wire){ .how = how->down };
	port->down.dice.state = dice_throw(&dice);
	port->place_dice.state = dice_throw(&dice);
	port->box_dice.state = dice_throw(&dice);
	port->tx_last = &port->tx_first;
}

static struct port *port_new(struct tow_sim *sim, int segment,
			     const struct tow_sim_port *how)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->sim = sim;
	port->segment = segment;
	port->number = sim->port_count;
	port_init(port, how);
	return port;
}

int tow_sim_port_open(struct tow_sim *sim, int segment,
		      const struct tow_sim_port *how, struct tow_dev **out)
{
	struct port *port;

	if (segment < 0 || segment >= sim->segment_count ||
	    !port_config_ok(how))
		return TOW_EINVAL;
	port = port_new(sim, segment, how);
	if (!port)
		return TOW_ENOMEM;
	sim_plug_in(sim, port);
	*out = &port->dev;
	return 0;
}

struct tow_sim_wire *tow_sim_wire_up(struct tow_dev *dev)
{
	return &port_of(dev)->up.how;
}

struct tow_sim_wire *tow_sim_wire_down(struct tow_dev *dev)
{
	return &port_of(dev)->down.how;
}

struct tow_sim_place *tow_sim_place(struct tow_dev *dev)
{
	return &port_of(dev)->how.place;
}

struct tow_sim_box *tow_sim_box(struct tow_dev *dev)
{
	return &port_of(dev)->how.box;
}

int tow_sim_vanish(struct tow_dev *dev, uint64_t at_us)
{
	struct port *port = port_of(dev);

	if (port->gone)
		return 0;
	return sim_happens(port->sim, at_us, VANISH, port, NULL) ? 0
								 : TOW_ENOMEM;
}

const struct tow_sim_stats *tow_sim_stats(const struct tow_dev *dev)
{
	return &((const struct port *)dev)->stats;
}

int tow_sim_inject(struct tow_dev *dev, const void *frame, uint32_t bytes)
{
	struct port *port = port_of(dev);
	struct packet *packet;

	if (bytes < ETHERNET_BYTES || bytes > PACKET_BYTES_MAX)
		return TOW_EINVAL;
	if (port->gone)
		return 0;
	packet = packet_take(port->sim, bytes);
	if (!packet)
		return TOW_ENOMEM;
	memcpy(packet->data, frame, bytes);
	wire_carry_up(port, packet);
	return 0;
}

const char *tow_sim_fate_name(unsigned fate)
{
#define FATE_NAME(id, name, text) name,
	static const char *const names[] = { TOW_SIM_FATES(FATE_NAME) };
#undef FATE_NAME

	return fate < LENGTH(names) ? names[fate] : NULL;
}
