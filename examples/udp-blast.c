/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A transfer that starts on a known port, moves to a port of its own, and
 * blasts: the device puts the blocks where they belong, and nobody copies them.
 *
 *	client                                    server
 *	  | ---- "put 1024" ---> known port          |
 *	  | <--- "go" ---------- port of its own     |  posts memory
 *	  | ==== blocks ======================> | 0 | 1 | 2 | 4 | 5 | ... | 3 |
 *	  | ---- END -------------------------->     |
 *	  | <--- "again 3", or "done" ----------     |
 *
 *	udp-blast                                    tries itself
 *	udp-blast tap 192.0.2.2/24 192.0.2.1/24      the server, on a tap
 *
 * A block that was lost comes later, in a slot further on. That moves no byte:
 * an index says where each block lies, and writev(2) takes them in order.
 */
#include <string.h>
#include "example.h"

#define BLOCK_BYTES 1024u
#define BLOCKS_MAX  1024u
#define SPARE_SLOTS 256u /* for what comes twice, and for ends */
#define SLOTS	    (BLOCKS_MAX + SPARE_SLOTS)
#define NUMBER	    4u /* bytes in front of each block */
#define END	    0xffffffffu
#define TRAIN	    8u /* blocks that go down as one message */

static void put_number(uint8_t *out, uint32_t number)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(number >> (24 - 8 * i));
}

static uint32_t get_number(const uint8_t *in)
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 |
	       (uint32_t)in[2] << 8 | in[3];
}

static void say(struct tow_udp *udp, const struct tow_endpoint *to,
		const void *data, size_t bytes)
{
	struct tow_span span = { data, bytes };
	struct tow_udp_message message = { .spans = &span, .span_count = 1 };

	if (to)
		message.peer = *to;
	(void)!tow_udp_send(udp, &message, 1); /* may be lost, as any */
}

/* --- the server ------------------------------------------------------------
 */

static struct tow_stack *server_stack;
static struct tow_udp *known, *own;
static uint8_t memory[SLOTS * BLOCK_BYTES];
static const uint8_t *index_of[BLOCKS_MAX]; /* where a block lies */
static unsigned blocks, arrived, placed;

static void begin(const struct tow_udp_message *request)
{
	struct tow_endpoint local = { .addr = request->local };
	struct tow_span all = { memory, sizeof(memory) };

	if (own)
		tow_udp_close(own); /* one transfer at a time */
	memset(index_of, 0, sizeof(index_of));
	arrived = placed = 0;
	must(tow_udp_open(server_stack, &local, &own), "a port of its own");
	must(tow_udp_connect(own, &request->peer), "connect");
	must(tow_udp_post(own, &all, BLOCK_BYTES, NUMBER, 1), "post");
	say(own, NULL, "go", 3);
}

static void answer_end(void)
{
	char text[512] = "again";
	size_t at = strlen(text);

	if (arrived == blocks) {
		say(own, NULL, "done", 5);
		return;
	}
	for (unsigned i = 0; i < blocks && at < sizeof(text) - 8; i++)
		if (!index_of[i])
			at += (size_t)snprintf(text + at, 8, " %u", i);
	say(own, NULL, text, at + 1);
}

static void take_blocks(void)
{
	struct tow_udp_slot slot;

	while (tow_udp_posted(own, &slot, 1) == 1) {
		uint32_t number = get_number(slot.header);

		if (number == END) {
			answer_end();
		} else if (number < blocks && !index_of[number]) {
			index_of[number] = memory + slot.offset;
			arrived++;
			placed += slot.placed;
		}
	}
}

static void handle_server(const struct tow_event *event)
{
	struct tow_udp_message from;
	char text[64] = "";

	if (event->type != TOW_EVENT_READABLE)
		return;
	if (event->object == own)
		take_blocks();
	while (tow_udp_recv(known, text, sizeof(text) - 1, &from) >= 0)
		if (sscanf(text, "put %u", &blocks) == 1 &&
		    blocks <= BLOCKS_MAX)
			begin(&from);
}

static void serve_on(struct tow_stack *stack)
{
	struct tow_endpoint any = { tow_addr_any(), EXAMPLE_PORT, 0 };

	server_stack = stack;
	must(tow_udp_open(stack, &any, &known), "the known port");
}

/* --- the client ------------------------------------------------------------
 */

static struct tow_udp *client;
static uint8_t data[BLOCKS_MAX][BLOCK_BYTES], numbers[BLOCKS_MAX][NUMBER];
static unsigned queue[BLOCKS_MAX], queued, next; /* to be sent */
static int going, finished;

static int lend_train(unsigned count)
{
	struct tow_span spans[2 * TRAIN];
	struct tow_udp_message message = {
		.spans = spans,
		.span_count = (int)(2 * count),
		.segment_bytes = NUMBER + BLOCK_BYTES,
		.token = 1, /* data stays as it is: nobody waits for the loan */
	};

	for (unsigned i = 0; i < count; i++) {
		unsigned block = queue[next + i];

		spans[2 * i] = (struct tow_span){ numbers[block], NUMBER };
		spans[2 * i + 1] =
			(struct tow_span){ data[block], BLOCK_BYTES };
	}
	return tow_udp_lend(client, &message, 1);
}

static void say_end(void)
{
	uint8_t end[NUMBER];

	put_number(end, END);
	say(client, NULL, end, sizeof(end));
}

/* As much as there is room for; then END. */
static void blast(void)
{
	while (next < queued) {
		unsigned count = queued - next < TRAIN ? queued - next : TRAIN;

		if (lend_train(count) != 1)
			return; /* TOW_EVENT_WRITABLE comes */
		next += count;
	}
	say_end();
}

static void begin_blast(const struct tow_endpoint *own_port)
{
	must(tow_udp_connect(client, own_port), "connect");
	going = 1;
	for (queued = 0; queued < BLOCKS_MAX; queued++)
		queue[queued] = queued;
	next = 0;
	blast();
}

static void blast_again(const char *text)
{
	char *end;

	for (next = queued = 0; *text && queued < BLOCKS_MAX; text = end) {
		queue[queued] = (unsigned)strtoul(text, &end, 10);
		if (end == text || queue[queued] >= BLOCKS_MAX)
			break;
		queued++;
	}
	blast();
}

static void handle_client(const struct tow_event *event)
{
	struct tow_udp_message from;
	char text[512];

	if (event->type == TOW_EVENT_WRITABLE && going)
		blast();
	if (event->type != TOW_EVENT_READABLE)
		return;
	while (tow_udp_recv(client, text, sizeof(text), &from) >= 0) {
		if (!going && strcmp(text, "go") == 0)
			begin_blast(&from.peer);
		else if (strncmp(text, "again", 5) == 0 && next == queued)
			blast_again(text + 5);
		else if (strcmp(text, "done") == 0)
			finished = 1;
	}
}

/* Nothing was heard for a while. */
static void insist(void)
{
	struct tow_endpoint to = pair_server();

	if (!going)
		say(client, &to, "put 1024", 9);
	else if (next == queued)
		say_end();
}

/* --- trying it -------------------------------------------------------------
 */

static void check(void)
{
	unsigned runs = 1;

	for (unsigned i = 0; i < BLOCKS_MAX; i++) {
		must_hold(memcmp(index_of[i], data[i], BLOCK_BYTES) == 0,
			  "what arrived is what was sent");
		if (i > 0)
			runs += index_of[i] != index_of[i - 1] + BLOCK_BYTES;
	}
	printf("%u blocks, %u of them placed by the device, in %u pieces\n",
	       arrived, placed, runs);
}

static void try_itself(void)
{
	struct tow_endpoint any = { tow_addr_any(), 0, 0 };
	struct pair pair = pair_open();
	struct tow_event event;
	uint64_t end_us = 0;

	for (unsigned i = 0; i < BLOCKS_MAX; i++) {
		put_number(numbers[i], i);
		for (unsigned j = 0; j < BLOCK_BYTES; j++)
			data[i][j] = (uint8_t)(i * 7 + j);
	}
	serve_on(pair.server);
	must(tow_udp_open(pair.client, &any, &client), "client");
	while (!finished && end_us < 60000000) {
		insist();
		end_us += 10000;
		while (!finished && tow_sim_step(pair.sim, end_us)) {
			while (tow_events(pair.server, &event, 1) == 1)
				handle_server(&event);
			while (tow_events(pair.client, &event, 1) == 1)
				handle_client(&event);
		}
	}
	must_hold(finished, "the transfer ends");
	check();
	tow_udp_close(own);
	tow_udp_close(known);
	tow_udp_close(client);
	pair_close(&pair);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		struct tow_host *host = example_host(argc, argv);

		serve_on(tow_host_stack(host));
		host_run(host, handle_server);
	}
	try_itself();
	return 0;
}
