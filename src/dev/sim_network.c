/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulator: the clock, what happens when, and who is polled.
 *
 * Theory of operation: whatever takes time is an event in a heap, ordered by
 * time and, at one time, by the order in which the events were made. A step
 * polls the stacks; when none has anything to do it moves the clock to the
 * earliest event or the earliest deadline of a stack, lets all events of that
 * moment happen, and polls again. Stacks are polled in the order in which
 * they were added. Nothing else decides anything, so equal seeds make equal
 * runs.
 *
 * A stack whose deadline has passed and whose poll yet does nothing is polled
 * again a microsecond later: time goes on, whatever a stack says.
 */
#include <stdio.h>
#include <stdlib.h>
#include "dev/sim_private.h"

/* Events: a binary heap. */

static bool before(const struct event *a, const struct event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap(struct event *a, struct event *b)
{
	struct event c = *a;

	*a = *b;
	*b = c;
}

static bool grow_events(struct tow_sim *sim)
{
	uint32_t room = sim->event_room ? sim->event_room * 2 : 256;
	struct event *grown;

	if (sim->event_count < sim->event_room)
		return true;
	grown = realloc(sim->events, room * sizeof(*grown));
	if (!grown)
		return false;
	sim->events = grown;
	sim->event_room = room;
	return true;
}

/* Returns: false without memory; then it does not happen. */
bool sim_happens(struct tow_sim *sim, uint64_t at_us, enum happening what,
		 struct port *port, struct packet *packet)
{
	uint32_t i = sim->event_count;

	if (!grow_events(sim))
		return false;
	sim->events[i] =
		(struct event){ MAX(at_us, sim->now_us), sim->event_order++,
				what, port, packet };
	sim->event_count++;
	for (; i && before(&sim->events[i], &sim->events[(i - 1) / 2]);
	     i = (i - 1) / 2)
		swap(&sim->events[i], &sim->events[(i - 1) / 2]);
	return true;
}

static struct event take_event(struct tow_sim *sim)
{
	struct event *heap = sim->events, first = heap[0];
	uint32_t count = --sim->event_count, i = 0;

	heap[0] = heap[count];
	for (;;) {
		uint32_t least = i, left = 2 * i + 1;

		if (left < count && before(&heap[left], &heap[least]))
			least = left;
		if (left + 1 < count && before(&heap[left + 1], &heap[least]))
			least = left + 1;
		if (least == i)
			return first;
		swap(&heap[i], &heap[least]);
		i = least;
	}
}

static void happen(const struct event *event)
{
	struct port *port = event->port;

	switch (event->what) {
	case AT_SEGMENT:
		box_carry_up(port, event->packet);
		break;
	case AT_PORT:
		port_receive(port, event->packet);
		break;
	case FETCH:
		port_fetch(port);
		break;
	case SLOT:
		port->slots_used--;
		break;
	case BOX:
		box_release(port, event->packet);
		break;
	case WAKE:
		break;
	case VANISH:
		port_unplug(port);
		break;
	}
}

static void happen_until_now(struct tow_sim *sim)
{
	while (sim->event_count && sim->events[0].at_us <= sim->now_us) {
		struct event event = take_event(sim);

		happen(&event);
	}
}

/* Segments: a switch that has learned all of its ports' addresses. */

static struct port *port_with_mac(const struct tow_sim *sim, int segment,
				  const uint8_t *mac)
{
	for (struct port *port = sim->ports; port; port = port->next)
		if (port->segment == segment &&
		    memcmp(port->dev.mac, mac, 6) == 0)
			return port;
	return NULL;
}

static void flood(struct tow_sim *sim, struct port *from, struct packet *packet)
{
	for (struct port *port = sim->ports; port; port = port->next)
		if (port->segment == from->segment && port != from)
			box_carry_down(port, packet_ref(packet));
	packet_give(sim, packet);
}

/* Takes the packet. */
void sim_forward(struct tow_sim *sim, struct port *from, struct packet *packet)
{
	struct port *to = NULL;

	if (!(packet->data[0] & 1))
		to = port_with_mac(sim, from->segment, packet->data);
	if (!to)
		flood(sim, from, packet);
	else if (to != from)
		box_carry_down(to, packet);
	else
		packet_give(sim, packet);
}

int tow_sim_segment(struct tow_sim *sim)
{
	return sim->segment_count++;
}

static void record_port(struct tow_sim *sim, struct port *port)
{
	char name[16];

	snprintf(name, sizeof(name), "port%u", port->number);
	port->interface = pcapng_interface(sim->capture, name, PCAPNG_ETHERNET);
}

void sim_plug_in(struct tow_sim *sim, struct port *port)
{
	port->next = sim->ports;
	sim->ports = port;
	sim->port_count++;
	if (sim->capture)
		record_port(sim, port);
}

/* Opening and closing. */

int tow_sim_open(struct tow_sim **out, uint64_t seed)
{
	struct tow_sim *sim = calloc(1, sizeof(*sim));

	if (!sim)
		return TOW_ENOMEM;
	sim->seed = seed;
	*out = sim;
	return 0;
}

static void unplug_all(struct tow_sim *sim)
{
	while (sim->ports) {
		struct port *port = sim->ports;

		sim->ports = port->next;
		port_unplug(port);
		box_empty(port);
		port->sim = NULL;
		if (port->closed)
			port_free(port);
	}
}

void tow_sim_close(struct tow_sim *sim)
{
	while (sim->event_count) {
		struct event event = take_event(sim);

		if (event.packet)
			packet_give(sim, event.packet);
	}
	unplug_all(sim);
	packets_free(sim->free_small);
	packets_free(sim->free_large);
	if (sim->capture)
		(void)pcapng_close(sim->capture);
	free(sim->events);
	free(sim->stacks);
	free(sim);
}

int tow_sim_capture(struct tow_sim *sim, const char *path)
{
	if (sim->capture || sim->ports)
		return TOW_EBUSY;
	return pcapng_open(&sim->capture, path);
}

/* Stacks. */

int tow_sim_add(struct tow_sim *sim, struct tow_stack *stack)
{
	unsigned room = sim->stack_room ? sim->stack_room * 2 : 8;
	struct tow_stack **grown;

	if (sim->stack_count == sim->stack_room) {
		grown = realloc(sim->stacks, room * sizeof(struct tow_stack *));
		if (!grown)
			return TOW_ENOMEM;
		sim->stacks = grown;
		sim->stack_room = room;
	}
	sim->stacks[sim->stack_count++] = stack;
	return 0;
}

void tow_sim_remove(struct tow_sim *sim, struct tow_stack *stack)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < sim->stack_count; i++)
		if (sim->stacks[i] != stack)
			sim->stacks[kept++] = sim->stacks[i];
	sim->stack_count = kept;
}

/* Time. */

uint64_t tow_sim_now(const struct tow_sim *sim)
{
	return sim->now_us;
}

uint64_t tow_sim_next(const struct tow_sim *sim)
{
	uint64_t next_us = UINT64_MAX;

	if (sim->event_count)
		next_us = sim->events[0].at_us;
	for (unsigned i = 0; i < sim->stack_count; i++) {
		uint64_t due_us = tow_deadline(sim->stacks[i]);

		next_us = MIN(next_us, due_us);
	}
	return next_us;
}

/* Returns: whether any stack received or sent something. */
static bool poll_stacks(struct tow_sim *sim)
{
	bool worked = false;

	for (unsigned i = 0; i < sim->stack_count; i++)
		worked |= tow_poll(sim->stacks[i], sim->now_us) > 0;
	return worked;
}

bool tow_sim_step(struct tow_sim *sim, uint64_t until_us)
{
	uint64_t next_us;

	happen_until_now(sim);
	if (poll_stacks(sim))
		return true;
	next_us = MAX(tow_sim_next(sim), sim->now_us);
	if (next_us == sim->now_us &&
	    !(sim->event_count && sim->events[0].at_us <= next_us))
		next_us++;
	if (next_us > until_us) {
		sim->now_us = MAX(sim->now_us, until_us);
		return false;
	}
	sim->now_us = next_us;
	happen_until_now(sim);
	poll_stacks(sim);
	return true;
}
