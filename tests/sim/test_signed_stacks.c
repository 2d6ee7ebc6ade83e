/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two stacks that sign with TCP-AO or TCP MD5, over a network that loses and
 * reorders: what is sent arrives, keys change on the way, and no signature of
 * either is ever wrong to the other.
 */
#include <stdlib.h>
#include <string.h>
#include <tow/auth.h>
#include <tow/host.h>
#include <tow/sim.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include "sim_end.h"
#include "test.h"

#define BYTES 2000000u
#define PORT  179

struct network {
	struct tow_sim *sim;
	struct tow_crypto crypto;
	struct sim_end a, b;
	struct tow_listener *listener;
	struct tow_tcp *sender, *receiver;
	size_t received;
	bool loan_back;
};

static uint8_t data[BYTES];

static void network_open(struct network *net, uint64_t seed)
{
	struct tow_sim_port port;
	struct tow_config cfg;
	int segment;

	memset(net, 0, sizeof(*net));
	tow_config_default(&cfg);
	cfg.tcp_max = 8;
	cfg.rx_chunks = 512;
	cfg.rx_bufs = 600;
	cfg.crypto = &net->crypto;
	for (size_t i = 0; i < BYTES; i++)
		data[i] = (uint8_t)(i * 13 + (i >> 8));
	CHECK_EQ(tow_host_crypto_open(&net->crypto), 0);
	CHECK_EQ(tow_sim_open(&net->sim, seed), 0);
	segment = tow_sim_segment(net->sim);
	tow_sim_port_default(&port);
	port.up.delay_us = 2000;
	port.up.bits_per_s = 50000000;
	port.up.loss_ppm = 10000;
	port.up.reorder_ppm = 10000;
	port.up.reorder_us = 3000;
	sim_end_open(&net->a, net->sim, segment, 1, &port, &cfg);
	sim_end_open(&net->b, net->sim, segment, 2, &port, &cfg);
}

/* Both ends' numbers are the same, as many routers have it. */
static struct tow_auth_key key(enum tow_auth_algorithm algorithm, uint8_t id,
			       const struct tow_addr *peer)
{
	static const uint8_t secrets[2][8] = { "first", "second" };

	return (struct tow_auth_key){
		.algorithm = algorithm,
		.peer = *peer,
		.prefix_bits = tow_addr_is_v4(peer) ? 24 : 64,
		.secret = secrets[id & 1],
		.secret_bytes = 8,
		.send_id = id,
		.recv_id = id,
	};
}

static void begin(struct network *net, enum tow_auth_algorithm algorithm,
		  int family)
{
	struct tow_endpoint any = { .port = PORT };
	struct tow_endpoint to = { net->b.addr[family], PORT, 0 };
	struct tow_span loan = { data, BYTES };
	struct tow_auth_key at_a = key(algorithm, 0, &net->b.addr[family]);
	struct tow_auth_key at_b = key(algorithm, 0, &net->a.addr[family]);

	CHECK_EQ(tow_tcp_listen(net->b.stack, &any, 1, &net->listener), 0);
	CHECK_EQ(tow_listener_key_add(net->listener, &at_b), 0);
	CHECK_EQ(tow_tcp_connect(net->a.stack, NULL, &to, &net->sender), 0);
	CHECK_EQ(tow_tcp_key_add(net->sender, &at_a), 0);
	CHECK_EQ(tow_tcp_lend(net->sender, &loan, 1, 5, 0), 0);
}

static void take_bytes(struct network *net)
{
	struct tow_span spans[TOW_SPANS_MAX];
	int n;

	while ((n = tow_tcp_borrow(net->receiver, spans, TOW_SPANS_MAX)) > 0) {
		for (int i = 0; i < n; net->received += spans[i++].len) {
			CHECK_MEM(spans[i].ptr, data + net->received,
				  spans[i].len);
			tow_tcp_return(net->receiver, spans[i].len);
		}
	}
	CHECK_EQ(n, TOW_EAGAIN);
}

/* Until so many bytes are there; and the loan back, if it is all of them. */
static void run_until(struct network *net, size_t bytes)
{
	struct tow_event events[16];
	int n;

	while (net->received < bytes || (bytes == BYTES && !net->loan_back)) {
		CHECK(tow_sim_step(net->sim, 3600000000u));
		n = tow_events(net->a.stack, events, 16);
		for (int i = 0; i < n; i++)
			net->loan_back |= events[i].type == TOW_EVENT_LOAN &&
					  events[i].status == 0;
		(void)!tow_events(net->b.stack, events, 16);
		if (net->receiver ||
		    tow_tcp_accept(net->listener, &net->receiver) == 0)
			take_bytes(net);
	}
}

static void check_end(const struct sim_end *end)
{
	const struct tow_stats *stats = tow_stats(end->stack);

	CHECK(!tow_sim_stats(end->dev)->violation);
	for (unsigned i = TOW_DROP_TCP_AUTH_MISSING;
	     i <= TOW_DROP_TCP_AUTH_CRYPTO; i++)
		CHECK_EQ(stats->drops[i], 0u);
	CHECK_GT(stats->counters[TOW_COUNTER_TCP_SIGNED_IN], 500u);
	CHECK_GT(stats->counters[TOW_COUNTER_TCP_SIGNED_OUT], 500u);
}

static void network_close(struct network *net)
{
	check_end(&net->a);
	check_end(&net->b);
	sim_end_close(&net->a, net->sim);
	sim_end_close(&net->b, net->sim);
	tow_sim_close(net->sim);
	tow_host_crypto_close(&net->crypto);
}

static void transfer(enum tow_auth_algorithm algorithm, int family)
{
	static struct network net;

	for (uint64_t seed = 1; seed <= 3; seed++) {
		network_open(&net, seed);
		begin(&net, algorithm, family);
		run_until(&net, BYTES);
		CHECK_EQ(tow_stats(net.a.stack)->ledger.tx_lent_bytes, BYTES);
		network_close(&net);
	}
}

TEST(stacks_sign_by_md5_over_ipv4)
{
	transfer(TOW_AUTH_MD5, 0);
}

TEST(stacks_sign_by_hmac_over_ipv6)
{
	transfer(TOW_AUTH_HMAC_SHA1, 1);
}

TEST(stacks_sign_by_cmac_over_ipv4)
{
	transfer(TOW_AUTH_AES_CMAC, 0);
}

static struct tow_auth_info info(const struct tow_tcp *tcp)
{
	struct tow_auth_info out;

	tow_tcp_auth_info(tcp, &out);
	return out;
}

/* RFC 5925 6.1: both ends go over to the new key, and nothing is lost by it */
TEST(stacks_change_keys_in_the_middle_of_a_stream)
{
	static struct network net;
	struct tow_auth_key at_a, at_b;

	network_open(&net, 4);
	begin(&net, TOW_AUTH_HMAC_SHA1, 0);
	run_until(&net, BYTES / 3);
	at_a = key(TOW_AUTH_AES_CMAC, 1, &net.b.addr[0]);
	at_b = key(TOW_AUTH_AES_CMAC, 1, &net.a.addr[0]);
	CHECK_EQ(tow_tcp_key_add(net.sender, &at_a), 0);
	CHECK_EQ(tow_tcp_key_add(net.receiver, &at_b), 0);
	CHECK_EQ(tow_tcp_key_next(net.receiver, 1), 0);
	run_until(&net, BYTES / 2);
	CHECK_EQ(info(net.sender).current_id, 1u);
	CHECK_EQ(info(net.receiver).current_id, 0u);
	CHECK_EQ(info(net.receiver).peer_id, 1u);
	CHECK_EQ(tow_tcp_key_next(net.sender, 1), 0);
	run_until(&net, BYTES * 2 / 3);
	CHECK_EQ(info(net.receiver).current_id, 1u);
	CHECK_EQ(tow_tcp_key_remove(net.sender, 0, 0), 0);
	CHECK_EQ(tow_tcp_key_remove(net.receiver, 0, 0), 0);
	run_until(&net, BYTES);
	CHECK_EQ(info(net.sender).keys, 1u);
	network_close(&net);
}
