/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running out of everything, one resource at a time, at every point.
 *
 * Two ways, after SQLite's tests of malloc(). The first makes a resource so
 * small that the scene cannot be played, then one larger, until it can. The
 * second plays the scene with enough of everything, and takes all that is left
 * of one resource away at step 1, 2, 3, ... for a moment; the scene must then
 * still be played to its end.
 *
 * Whatever happens: no crash, errors are said, loans come back once, and in
 * the end every buffer and chunk lies in its pool.
 *
 *	client  -- connects, lends and sends a request of 12 KB
 *	server  -- accepts, borrows, answers with 12 KB, half-closes
 *	both    -- a few datagrams beside it
 */
#include <stdlib.h>
#include <string.h>
#include <tow/sim.h>
#include "stack/stack_private.h"
#include "test.h"

#define BYTES	    12000
#define BLOCK	    2000
#define DATAGRAMS   4
#define ROOM	    (8u << 20)
#define PLAY_US	    100000000u	/* then it does not succeed */
#define DRAIN_US    4000000000u /* connections have to be gone by then */
#define TAKEN_STEPS 12
#define HELD	    4096

struct side {
	struct tow_config cfg;
	struct tow_stack *stack;
	struct tow_dev *dev;
	struct tow_addr addr;
	void *memory;
	struct tow_tcp *tcp;
	struct tow_udp *udp;
	size_t queued, got; /* bytes of the message */
	bool shut, eof, over;
	unsigned datagrams_sent, datagrams_got;
	unsigned loans_out, loans_back;
};

struct scene {
	struct tow_sim *sim;
	struct side client, server;
	struct tow_listener *listener;
	uint64_t steps;
	uint64_t played_steps; /* until all of it had worked */
};

static uint8_t message[BYTES];
static uint8_t memory_a[ROOM] __attribute__((aligned(4096)));
static uint8_t memory_b[ROOM] __attribute__((aligned(4096)));

/* Opening. */

static void enough(struct tow_config *cfg)
{
	tow_config_default(cfg);
	cfg->tcp_max = 4;
	cfg->udp_max = 2;
	cfg->listener_max = 1;
	cfg->link_max = 1;
	cfg->addr_max = 4;
	cfg->route_max = 8;
	cfg->neighbour_max = 8;
	cfg->chunk_bytes = 2048;
	cfg->rx_chunks = 64;
	cfg->rx_bufs = 128;
	cfg->tx_chunks = 32;
	cfg->tx_bufs = 64;
	cfg->loans = 64;
	cfg->segments = 64;
	cfg->lend_bytes_min = 64;
}

/* Returns: whether the stack could be opened as configured. */
static bool open_side(struct scene *scene, struct side *side, int segment,
		      uint8_t number, void *memory)
{
	size_t need = tow_need(&side->cfg);
	struct tow_sim_port port;

	if (!need)
		return false;
	CHECK(need <= ROOM);
	side->memory = memory;
	memset(memory, 0xa5, need);
	CHECK_EQ(tow_open(&side->stack, &side->cfg, memory, need - 1),
		 TOW_ENOMEM);
	CHECK_EQ(tow_open(&side->stack, &side->cfg, memory, need), 0);
	tow_sim_port_default(&port);
	port.caps &= ~(uint32_t)(TOW_DEV_TSO4 | TOW_DEV_TX_CSUM);
	port.caps |= TOW_DEV_ASYNC_TX;
	port.complete_us = 300;
	port.up.delay_us = 500;
	port.margin = 2;
	CHECK_EQ(tow_sim_port_open(scene->sim, segment, &port, &side->dev), 0);
	CHECK_EQ(tow_attach(side->stack, side->dev), 0);
	CHECK_EQ(tow_sim_add(scene->sim, side->stack), 0);
	side->addr = tow_addr_v4(10, 0, 0, number);
	return tow_addr_add(side->stack, 0, &side->addr, 24) == 0;
}

static void close_side(struct scene *scene, struct side *side)
{
	if (!side->stack)
		return;
	tow_sim_remove(scene->sim, side->stack);
	tow_close(side->stack);
}

/* An error of an opening call is clean when it is one of these. */
static bool opened(int result)
{
	CHECK(result == 0 || result == TOW_ENOBUFS || result == TOW_ENOMEM);
	return result == 0;
}

static bool open_sockets(struct scene *scene)
{
	struct tow_endpoint port = { .port = 80 };
	struct side *client = &scene->client, *server = &scene->server;
	struct tow_endpoint remote = { server->addr, 80, 0 };

	if (!opened(tow_tcp_listen(server->stack, &port, 4, &scene->listener)))
		return false;
	if (!opened(tow_udp_open(server->stack, &port, &server->udp)) ||
	    !opened(tow_udp_open(client->stack, &port, &client->udp)))
		return false;
	return opened(
		tow_tcp_connect(client->stack, NULL, &remote, &client->tcp));
}

/* Acting. */

static void end(struct side *side)
{
	tow_tcp_close(side->tcp);
	side->tcp = NULL;
	side->over = true;
}

/* Returns: whether it may go on; an error of the connection ends it. */
static bool went_well(struct side *side, int64_t result)
{
	if (result >= 0)
		return true;
	if (result == TOW_EAGAIN || result == TOW_ENOBUFS)
		return false;
	CHECK(result == TOW_ECONNRESET || result == TOW_ETIMEDOUT ||
	      result == TOW_ECONNREFUSED || result == TOW_EHOSTUNREACH);
	end(side);
	return false;
}

/*
 * Blocks of 2000 bytes: sent, maybe in parts, and lent, whole, in turns; lent
 * in one span and in two.
 *
 * Returns: whether more can be queued at once.
 */
static bool queue_some(struct side *side)
{
	size_t block = side->queued / BLOCK, into = side->queued % BLOCK;
	const uint8_t *at = message + side->queued;
	struct tow_span one = { at, BLOCK };
	struct tow_span two[2] = { { at, 30 }, { at + 30, BLOCK - 30 } };
	int64_t result;

	if (block % 2 == 0)
		result = tow_tcp_send(side->tcp, at, BLOCK - into, 0);
	else
		result = tow_tcp_lend(side->tcp, block % 4 == 1 ? &one : two,
				      block % 4 == 1 ? 1 : 2, block, 0);
	if (!went_well(side, result))
		return false;
	side->loans_out += block % 2;
	side->queued += block % 2 ? BLOCK : (size_t)result;
	return true;
}

static void read_all(struct side *side)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n;

	while ((n = tow_tcp_borrow(side->tcp, spans, TOW_SPANS_MAX)) > 0) {
		size_t bytes = 0;

		for (int i = 0; i < n; bytes += spans[i++].len)
			CHECK_MEM(spans[i].ptr, message + side->got + bytes,
				  spans[i].len);
		tow_tcp_return(side->tcp, bytes);
		side->got += bytes;
	}
	side->eof |= n == 0;
	if (n < 0)
		went_well(side, n);
}

static void act_on_stream(struct side *side, bool may_write)
{
	if (!side->tcp)
		return;
	if (!side->eof)
		read_all(side);
	while (side->tcp && may_write && side->queued < BYTES)
		if (!queue_some(side))
			break;
	if (side->tcp && side->queued == BYTES && !side->shut)
		side->shut = went_well(side, tow_tcp_shutdown(side->tcp));
	if (side->tcp && side->eof && side->shut)
		end(side);
}

static void act_on_datagrams(struct side *side, const struct side *peer)
{
	struct tow_span span = { message, 700 };
	struct tow_udp_message one = {
		.peer = { peer->addr, 80, 0 },
		.spans = &span,
		.span_count = 1,
		.token = 99,
	};
	uint8_t data[800];
	int64_t n;

	if (!side->udp)
		return;
	if (side->datagrams_sent < DATAGRAMS) {
		bool lent = side->datagrams_sent % 2;
		int result = lent ? tow_udp_lend(side->udp, &one, 1)
				  : tow_udp_send(side->udp, &one, 1);

		CHECK(result == 1 || result == TOW_EAGAIN ||
		      result == TOW_ENOBUFS || result == TOW_ECONNREFUSED);
		side->datagrams_sent += result == 1;
		side->loans_out += result == 1 && lent;
	}
	while ((n = tow_udp_recv(side->udp, data, sizeof(data), NULL)) >= 0) {
		CHECK_EQ(n, 700);
		CHECK_MEM(data, message, 700);
		side->datagrams_got++;
	}
}

static void take_events(struct side *side)
{
	struct tow_event events[16];
	int n;

	while ((n = tow_events(side->stack, events, 16)) > 0)
		for (int i = 0; i < n; i++)
			side->loans_back += events[i].type == TOW_EVENT_LOAN;
	CHECK_LE(side->loans_back, side->loans_out);
}

static bool step(struct scene *scene, uint64_t until_us)
{
	bool more = tow_sim_step(scene->sim, until_us);

	scene->steps++;
	take_events(&scene->client);
	take_events(&scene->server);
	return more;
}

static bool is_complete(const struct side *side)
{
	return side->over && side->eof && side->got == BYTES &&
	       side->datagrams_sent == DATAGRAMS;
}

static void act(struct scene *scene)
{
	struct side *client = &scene->client, *server = &scene->server;

	if (!server->tcp && !server->over)
		(void)!tow_tcp_accept(scene->listener, &server->tcp);
	act_on_stream(client, true);
	act_on_stream(server, server->got == BYTES);
	act_on_datagrams(client, server);
	act_on_datagrams(server, client);
}

/* Closing and checking. */

static void check_pool(const struct tow_pool *pool, uint32_t elsewhere)
{
	CHECK_EQ(pool->bufs_left + elsewhere, pool->bufs_total);
	CHECK_EQ(pool->chunks_left, pool->chunks_total);
}

static void check_side(const struct side *side)
{
	const struct tow_sim_stats *port = tow_sim_stats(side->dev);

	CHECK(tow_idle(side->stack));
	CHECK_EQ(side->loans_back, side->loans_out);
	CHECK(!port->violation);
	check_pool(&side->stack->net.rx_pool, port->spare);
	check_pool(&side->stack->net.tx_pool, 0);
	CHECK_EQ(side->stack->tcp.loans_live, 0);
	CHECK_EQ(side->stack->tcp.sents_live, 0);
	CHECK_EQ(side->stack->tcp.connections_live, 0);
}

static void close_sockets(struct side *side)
{
	if (side->tcp)
		tow_tcp_abort(side->tcp);
	if (side->udp)
		tow_udp_close(side->udp);
}

/* All that is left runs out by itself. */
static void drain_and_check(struct scene *scene)
{
	uint64_t end_us = tow_sim_now(scene->sim) + DRAIN_US;

	if (!scene->client.stack || !scene->server.stack)
		return;
	close_sockets(&scene->client);
	close_sockets(&scene->server);
	if (scene->listener)
		tow_listener_close(scene->listener);
	while (step(scene, end_us))
		;
	check_side(&scene->client);
	check_side(&scene->server);
}

/* What a test takes away from a stack for a moment. */
enum resource { TX_BUFS, TX_CHUNKS, RX_BUFS, RX_CHUNKS, RECORDS, RESOURCES };

struct taken {
	enum resource what;
	struct side *from;
	uint64_t at_step;
	struct tow_buf *bufs[HELD];
	uint8_t *chunks[HELD];
	unsigned count;
	uint32_t loans, segments;
	bool taken;
};

static struct tow_pool *pool_of(const struct taken *taken)
{
	struct net *net = &taken->from->stack->net;

	return taken->what == TX_BUFS || taken->what == TX_CHUNKS
		       ? &net->tx_pool
		       : &net->rx_pool;
}

static void take_away(struct taken *taken)
{
	struct tcp_host *host = &taken->from->stack->tcp;

	taken->taken = true;
	switch (taken->what) {
	case TX_BUFS:
	case RX_BUFS:
		while ((taken->bufs[taken->count] =
				tow_buf_take(pool_of(taken))))
			taken->count++;
		break;
	case TX_CHUNKS:
	case RX_CHUNKS:
		while ((taken->chunks[taken->count] =
				tow_chunk_take(pool_of(taken))))
			taken->count++;
		break;
	default:
		taken->loans = host->cfg.loans;
		taken->segments = host->cfg.segments;
		host->cfg.loans = host->loans_live;
		host->cfg.segments = host->sents_live;
	}
}

static void bring_back(struct taken *taken)
{
	struct tcp_host *host = &taken->from->stack->tcp;

	taken->taken = false;
	if (taken->what == RECORDS) {
		host->cfg.loans = taken->loans;
		host->cfg.segments = taken->segments;
	}
	while (taken->count--) {
		if (taken->what == TX_BUFS || taken->what == RX_BUFS)
			tow_buf_give(taken->bufs[taken->count]);
		else
			tow_chunk_give(pool_of(taken),
				       taken->chunks[taken->count]);
	}
	taken->count = 0;
}

static void maybe_take(struct scene *scene, struct taken *taken)
{
	if (!taken)
		return;
	if (!taken->taken && scene->steps == taken->at_step)
		take_away(taken);
	else if (taken->taken && scene->steps >= taken->at_step + TAKEN_STEPS)
		bring_back(taken);
}

/* Returns: whether all of it worked. */
static bool play(struct scene *scene, struct taken *taken)
{
	int segment;
	bool success = false;

	CHECK_EQ(tow_sim_open(&scene->sim, 1), 0);
	segment = tow_sim_segment(scene->sim);
	if (open_side(scene, &scene->client, segment, 1, memory_a) &&
	    open_side(scene, &scene->server, segment, 2, memory_b) &&
	    open_sockets(scene)) {
		while (!success && tow_sim_now(scene->sim) < PLAY_US) {
			maybe_take(scene, taken);
			act(scene);
			step(scene, tow_sim_now(scene->sim) + 10000);
			success = is_complete(&scene->client) &&
				  is_complete(&scene->server);
		}
	}
	scene->played_steps = scene->steps;
	if (taken && taken->taken)
		bring_back(taken);
	drain_and_check(scene);
	close_side(scene, &scene->client);
	close_side(scene, &scene->server);
	tow_sim_close(scene->sim);
	return success;
}

/* Tests. */

static void make_message(void)
{
	for (size_t i = 0; i < BYTES; i++)
		message[i] = (uint8_t)(i * 31 + (i >> 8));
}

#define FIELD(name)                                      \
	{                                                \
#name, offsetof(struct tow_config, name) \
	}

static const struct {
	const char *name;
	size_t offset;
} fields[] = {
	FIELD(tcp_max),	      FIELD(listener_max), FIELD(udp_max),
	FIELD(link_max),      FIELD(addr_max),	   FIELD(route_max),
	FIELD(neighbour_max), FIELD(rx_chunks),	   FIELD(rx_bufs),
	FIELD(tx_chunks),     FIELD(tx_bufs),	   FIELD(loans),
	FIELD(segments),      FIELD(send_bytes),   FIELD(recv_bytes),
};

static void set_field(struct tow_config *cfg, size_t offset, uint32_t value)
{
	memcpy((char *)cfg + offset, &value, sizeof(value));
}

/* Sides: 1 the client's, 2 the server's, 3 both. */
static bool play_with(size_t offset, uint32_t value, int sides)
{
	static struct scene scene;

	memset(&scene, 0, sizeof(scene));
	enough(&scene.client.cfg);
	enough(&scene.server.cfg);
	if (sides & 1)
		set_field(&scene.client.cfg, offset, value);
	if (sides & 2)
		set_field(&scene.server.cfg, offset, value);
	return play(&scene, NULL);
}

static void shrink(int sides)
{
	make_message();
	for (unsigned i = 0; i < LENGTH(fields); i++) {
		uint32_t value = 0;

		while (!play_with(fields[i].offset, value, sides)) {
			value += value < 24 ? 1 : value / 4;
			CHECK_LT(value, 100000);
		}
	}
}

TEST(client_with_less_of_each_resource_fails_cleanly_until_it_works)
{
	shrink(1);
}

TEST(server_with_less_of_each_resource_fails_cleanly_until_it_works)
{
	shrink(2);
}

TEST(both_with_less_of_each_resource_fail_cleanly_until_it_works)
{
	shrink(3);
}

static void take_at_every_step(enum resource what, bool from_client)
{
	static struct scene scene;
	static struct taken taken;
	uint64_t at = 0;

	make_message();
	do {
		memset(&scene, 0, sizeof(scene));
		memset(&taken, 0, sizeof(taken));
		enough(&scene.client.cfg);
		enough(&scene.server.cfg);
		taken.what = what;
		taken.at_step = at++;
		taken.from = from_client ? &scene.client : &scene.server;
		CHECK(play(&scene, &taken));
	} while (scene.played_steps > at);
	CHECK_GT(at, 20); /* or it was no test */
}

TEST(transmit_buffers_may_run_out_at_any_step)
{
	take_at_every_step(TX_BUFS, true);
	take_at_every_step(TX_BUFS, false);
}

TEST(transmit_chunks_may_run_out_at_any_step)
{
	take_at_every_step(TX_CHUNKS, true);
	take_at_every_step(TX_CHUNKS, false);
}

TEST(receive_buffers_may_run_out_at_any_step)
{
	take_at_every_step(RX_BUFS, true);
	take_at_every_step(RX_BUFS, false);
}

TEST(receive_chunks_may_run_out_at_any_step)
{
	take_at_every_step(RX_CHUNKS, true);
	take_at_every_step(RX_CHUNKS, false);
}

TEST(loan_and_segment_records_may_run_out_at_any_step)
{
	take_at_every_step(RECORDS, true);
	take_at_every_step(RECORDS, false);
}
