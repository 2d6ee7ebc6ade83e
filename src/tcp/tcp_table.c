/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding, making and freeing connections.
 *
 * Established connections are found by a keyed hash of both endpoints, so that
 * nobody outside can choose ports that all land in one chain. Objects come out
 * of an array that was given at open; the part never used is not even touched.
 */
#include "tcp/tcp_auth.h"

#define PORT_FIRST 10240u /* RFC 6056 3.2: as large a range as can be */
#define PORT_COUNT (65536u - PORT_FIRST)

static uint32_t marks_needed(const struct tow_config *cfg)
{
	return cfg->paced ? cfg->segments : 0;
}

size_t tcp_need(const struct tow_config *cfg)
{
	size_t buckets = 64;

	while (buckets < cfg->tcp_max)
		buckets *= 2;
	return (size_t)cfg->tcp_max * sizeof(struct tow_tcp) +
	       (size_t)cfg->listener_max * sizeof(struct tow_listener) +
	       (size_t)cfg->loans * sizeof(struct loan) +
	       (size_t)cfg->segments * sizeof(struct sent) +
	       (size_t)cfg->posts * sizeof(struct post) +
	       (size_t)cfg->posts * sizeof(struct posts) +
	       (size_t)cfg->ledgers * sizeof(union ledger_record) +
	       (size_t)cfg->paced * sizeof(struct paced) +
	       (size_t)cfg->auth_keys * sizeof(struct auth_key) +
	       (size_t)cfg->auth_keys * sizeof(struct auth) +
	       (size_t)cfg->accecn * sizeof(struct ecn_bytes) +
	       (size_t)marks_needed(cfg) * sizeof(struct rate_mark) +
	       buckets * sizeof(struct tow_tcp *) + 64;
}

static void *carve(uint8_t **memory, size_t bytes)
{
	void *at = *memory;

	*memory += bytes;
	return at;
}

void tcp_init(struct tcp_host *host, struct net *net,
	      const struct tow_config *cfg, void *memory)
{
	uint32_t buckets = 64;
	uint8_t *at = memory;

	while (buckets < cfg->tcp_max)
		buckets *= 2;
	*host = (struct tcp_host){
		.net = net,
		.cfg = *cfg,
		.bucket_mask = buckets - 1,
	};
	host->cfg.lend_bytes_min = MIN(cfg->lend_bytes_min, cfg->chunk_bytes);
	host->connections = carve(&at, cfg->tcp_max * sizeof(struct tow_tcp));
	host->listeners =
		carve(&at, cfg->listener_max * sizeof(struct tow_listener));
	host->loans = carve(&at, cfg->loans * sizeof(struct loan));
	host->sents = carve(&at, cfg->segments * sizeof(struct sent));
	host->posts = carve(&at, cfg->posts * sizeof(struct post));
	host->post_queues = carve(&at, cfg->posts * sizeof(struct posts));
	host->ledgers = carve(&at, cfg->ledgers * sizeof(union ledger_record));
	host->paced = carve(&at, cfg->paced * sizeof(struct paced));
	host->auth_keys = carve(&at, cfg->auth_keys * sizeof(struct auth_key));
	host->auths = carve(&at, cfg->auth_keys * sizeof(struct auth));
	host->ecn_bytes = carve(&at, cfg->accecn * sizeof(struct ecn_bytes));
	host->buckets = carve(&at, buckets * sizeof(struct tow_tcp *));
	host->marks = carve(&at, marks_needed(cfg) * sizeof(struct rate_mark));
	memset(host->buckets, 0, buckets * sizeof(struct tow_tcp *));
	memset(host->listeners, 0,
	       cfg->listener_max * sizeof(struct tow_listener));
	host->table_key = random_key(&net->random);
	host->isn_key = random_key(&net->random);
	host->timestamp_key = random_key(&net->random);
	cookie_init(host);
	fast_open_init(host);
	list_init(&host->ready);
	list_init(&host->listening_ready);
	list_init(&host->output);
	list_init(&host->orphans);
	list_init(&host->leaving);
	list_init(&host->starved);
	list_init(&host->placing);
	list_init(&host->idle_queues);
}

struct tuple {
	uint8_t local[16], remote[16];
	uint16_t local_port, remote_port;
};
_Static_assert(sizeof(struct tuple) == 36, "a hash must see no padding");

static struct tuple tuple_of(const struct tow_endpoint *local,
			     const struct tow_endpoint *remote)
{
	struct tuple tuple = {
		.local_port = local->port,
		.remote_port = remote->port,
	};

	memcpy(tuple.local, local->addr.b, 16);
	memcpy(tuple.remote, remote->addr.b, 16);
	return tuple;
}

static struct tow_tcp **bucket_of(struct tcp_host *host,
				  const struct tow_endpoint *local,
				  const struct tow_endpoint *remote)
{
	struct tuple tuple = tuple_of(local, remote);
	uint64_t hash = siphash13(&host->table_key, &tuple, sizeof(tuple));

	return &host->buckets[hash & host->bucket_mask];
}

struct tow_tcp *table_find(struct tcp_host *host,
			   const struct tow_endpoint *local,
			   const struct tow_endpoint *remote)
{
	struct tow_tcp *t = *bucket_of(host, local, remote);

	while (t && !(t->local_port == local->port &&
		      t->remote_port == remote->port &&
		      t->path.zone == remote->zone &&
		      tow_addr_equal(&t->path.dst, &remote->addr) &&
		      tow_addr_equal(&t->path.src, &local->addr)))
		t = t->hash_next;
	return t;
}

void table_insert(struct tow_tcp *t)
{
	struct tow_endpoint local = tcp_local(t), remote = tcp_remote(t);
	struct tow_tcp **bucket = bucket_of(t->host, &local, &remote);

	t->hash_next = *bucket;
	*bucket = t;
	t->hashed = true;
}

void table_remove(struct tow_tcp *t)
{
	struct tow_endpoint local = tcp_local(t), remote = tcp_remote(t);
	struct tow_tcp **at;

	if (!t->hashed)
		return;
	at = bucket_of(t->host, &local, &remote);
	while (*at != t)
		at = &(*at)->hash_next;
	*at = t->hash_next;
	t->hashed = false;
}

/* A listener on exactly this address comes before one on any. */
struct tow_listener *table_find_listener(struct tcp_host *host,
					 const struct tow_endpoint *local)
{
	struct tow_listener *any = NULL;

	for (uint32_t i = 0; i < host->cfg.listener_max; i++) {
		struct tow_listener *l = &host->listeners[i];

		if (!l->open || l->local.port != local->port)
			continue;
		if (tow_addr_equal(&l->local.addr, &local->addr))
			return l;
		if (tow_addr_is_any(&l->local.addr))
			any = l;
	}
	return any;
}

/* The oldest connection that only waits for its end makes room for another. */
static void evict_leaving(struct tcp_host *host)
{
	LIST_EACH (node, &host->leaving) {
		struct tow_tcp *t = CONTAINER(node, struct tow_tcp, queue);

		if (t->app_closed && !t->send.frames && !tcp_owes_tokens(t)) {
			tcp_fail(t, 0);
			return;
		}
	}
}

static struct tow_tcp *take_free(struct tcp_host *host)
{
	struct tow_tcp *t = host->connection_free;

	if (t)
		host->connection_free = t->hash_next;
	else if (host->connections_used < host->cfg.tcp_max) {
		t = &host->connections[host->connections_used++];
		t->generation = 0;
	}
	return t;
}

/* A connection in CLOSED that nobody knows yet. */
void table_fill(struct tow_tcp *t, struct tcp_host *host,
		const struct tow_endpoint *local,
		const struct tow_endpoint *remote,
		const struct tcp_settings *set)
{
	*t = (struct tow_tcp){
		.host = host,
		.path = { .src = local->addr,
			  .dst = remote->addr,
			  .zone = remote->zone },
		.local_port = local->port,
		.local_zone = local->zone,
		.remote_port = remote->port,
		.set = *set,
		.generation = (t->generation + 1) & 0xffffff,
	};
	list_init(&t->output);
	list_init(&t->ready);
	list_init(&t->queue);
	timer_init(&t->timer, TIMER_TCP);
	rtt_init(&t->rtt);
	receive_init(t);
	borrower_init(&t->borrower, &host->net->govern, &tcp_borrower_ops);
	t->borrower.lent_max = t->set.lend_bytes;
	t->progress_us = tcp_now(t);
}

/* One of the host's, not in the table yet; NULL when there is no room. */
struct tow_tcp *table_new(struct tcp_host *host,
			  const struct tow_endpoint *local,
			  const struct tow_endpoint *remote,
			  const struct tcp_settings *set)
{
	struct tow_tcp *t = take_free(host);

	if (!t) {
		evict_leaving(host);
		t = take_free(host);
	}
	if (!t) {
		orphan_make_room(host);
		t = take_free(host);
	}
	if (!t) {
		net_count(host->net, TOW_COUNTER_NO_CONNECTIONS);
		return NULL;
	}
	table_fill(t, host, local, remote, set);
	host->connections_live++;
	if (!pacing_adopt(t, set)) {
		t->set.congestion = TOW_TCP_CUBIC;
		t->set.pacing_rate = 0;
	}
	return t;
}

/* NULL when there is no more of them. */
struct tow_ledger *table_new_ledger(struct tcp_host *host)
{
	union ledger_record *record = host->ledger_free;

	if (record) {
		host->ledger_free = record->next;
	} else if (host->ledgers_used < host->cfg.ledgers) {
		record = &host->ledgers[host->ledgers_used++];
	} else {
		net_count(host->net, TOW_COUNTER_NO_LEDGERS);
		return NULL;
	}
	record->ledger = (struct tow_ledger){ 0 };
	return &record->ledger;
}

void table_free_ledger(struct tow_tcp *t)
{
	union ledger_record *record = (union ledger_record *)t->ledger;

	if (!record)
		return;
	t->ledger = NULL;
	record->next = t->host->ledger_free;
	t->host->ledger_free = record;
}

void table_free(struct tow_tcp *t)
{
	struct tcp_host *host = t->host;

	ASSERT(!t->hashed);
	post_forget(t);
	table_free_ledger(t);
	pacing_end(t);
	auth_end(t);
	ecn_option_end(t);
	borrower_leave(&t->borrower);
	timer_disarm(&host->net->wheel, &t->timer);
	list_remove(&t->output);
	list_remove(&t->ready);
	list_remove(&t->queue);
	t->hash_next = host->connection_free;
	host->connection_free = t;
	host->connections_live--;
}

/* RFC 6056 3.3.1: a random port, or the next one above it that is free. */
int table_pick_port(struct tcp_host *host, struct tow_endpoint *local,
		    const struct tow_endpoint *remote)
{
	uint32_t first = random_below(&host->net->random, PORT_COUNT);

	for (uint32_t i = 0; i < PORT_COUNT; i++) {
		uint32_t port = PORT_FIRST + (first + i) % PORT_COUNT;

		local->port = (uint16_t)port;
		if (!table_find(host, local, remote) &&
		    !table_find_listener(host, local))
			return 0;
	}
	return TOW_EADDRINUSE;
}

/* ---------------------------------------------------------------- settings */

void settings_default(struct tcp_settings *set, const struct tow_config *cfg)
{
	*set = (struct tcp_settings){
		.send_bytes = cfg->send_bytes,
		.recv_bytes = cfg->recv_bytes,
		.recv_bytes_max = cfg->recv_bytes_max,
		.keepalive_interval_s = 75,
		.keepalive_probes = 9,
		.linger_s = -1,
		.congestion = TOW_TCP_CUBIC,
		.ecn = TOW_TCP_ECN_ACCEPT,
		.syn_cookies = TOW_TCP_COOKIES_NEEDED,
		.mtu_probe = 1,
	};
}

#define RECV_BYTES_MIN	4096
#define BYTES_MAX	(1 << 30)
#define SECONDS_MAX	(1 << 20)
#define TOS_ECN		3 /* RFC 3168 5 */
#define PACING_RATE_MAX (1ll << 40)

static const struct {
	int64_t min, max;
} ranges[] = {
	[TOW_TCP_NODELAY] = { 0, 1 },
	[TOW_TCP_KEEPALIVE_S] = { 0, SECONDS_MAX },
	[TOW_TCP_KEEPALIVE_INTERVAL_S] = { 1, SECONDS_MAX },
	[TOW_TCP_KEEPALIVE_PROBES] = { 1, 127 },
	[TOW_TCP_USER_TIMEOUT_MS] = { 0, INT32_MAX },
	[TOW_TCP_LINGER_S] = { -1, SECONDS_MAX },
	[TOW_TCP_SEND_BYTES] = { 1, BYTES_MAX },
	[TOW_TCP_RECV_BYTES] = { RECV_BYTES_MIN, BYTES_MAX },
	[TOW_TCP_MSS] = { TCP_MSS_SET_MIN, UINT16_MAX },
	[TOW_TCP_CONGESTION] = { TOW_TCP_CUBIC, TOW_TCP_BBR },
	[TOW_TCP_PACING_RATE] = { 0, PACING_RATE_MAX },
	[TOW_TCP_LEND_BYTES] = { 0, BYTES_MAX },
	[TOW_TCP_RECV_POSTED] = { 0, 1 },
	[TOW_TCP_ECN] = { TOW_TCP_ECN_OFF, TOW_TCP_ECN_ACCURATE },
	[TOW_TCP_CORK] = { 0, 1 },
	[TOW_TCP_SYN_COOKIES] = { TOW_TCP_COOKIES_NEVER,
				  TOW_TCP_COOKIES_ALWAYS },
	[TOW_TCP_MTU_PROBE] = { 0, 2 },
	[TOW_TCP_SYN_RETRIES] = { 0, 127 },
	[TOW_TCP_TTL] = { 0, 255 },
	[TOW_TCP_TOS] = { 0, 255 },
	[TOW_TCP_NOTSENT_LOWAT] = { 0, BYTES_MAX },
	[TOW_TCP_USER_TIMEOUT_TELL] = { 0, 1 },
	[TOW_TCP_FAST_OPEN] = { 0, UINT16_MAX },
	[TOW_TCP_FAST_OPEN_HOW] = { 0, TOW_TCP_FAST_OPEN_WAIT |
					       TOW_TCP_FAST_OPEN_NO_COOKIE |
					       TOW_TCP_FAST_OPEN_OLD },
};

bool settings_has(enum tow_tcp_option option)
{
	return (unsigned)option < LENGTH(ranges);
}

int settings_set(struct tcp_settings *set, enum tow_tcp_option option,
		 int64_t value)
{
	if (!settings_has(option) || value < ranges[option].min ||
	    value > ranges[option].max)
		return TOW_EINVAL;
	switch (option) {
	case TOW_TCP_NODELAY:
		set->nodelay = value;
		break;
	case TOW_TCP_KEEPALIVE_S:
		set->keepalive_s = (uint32_t)value;
		break;
	case TOW_TCP_KEEPALIVE_INTERVAL_S:
		set->keepalive_interval_s = (uint32_t)value;
		break;
	case TOW_TCP_KEEPALIVE_PROBES:
		set->keepalive_probes = (uint8_t)value;
		break;
	case TOW_TCP_USER_TIMEOUT_MS:
		set->user_timeout_ms = (uint32_t)value;
		break;
	case TOW_TCP_LINGER_S:
		set->linger_s = (int32_t)value;
		break;
	case TOW_TCP_SEND_BYTES:
		set->send_bytes = (uint32_t)value;
		break;
	case TOW_TCP_RECV_BYTES:
		set->recv_bytes = set->recv_bytes_max = (uint32_t)value;
		break;
	case TOW_TCP_MSS:
		set->mss_max = (uint16_t)value;
		break;
	case TOW_TCP_CONGESTION:
		set->congestion = (uint8_t)value;
		break;
	case TOW_TCP_PACING_RATE:
		set->pacing_rate = (uint64_t)value;
		break;
	case TOW_TCP_LEND_BYTES:
		set->lend_bytes = (uint32_t)value;
		break;
	case TOW_TCP_RECV_POSTED:
		set->recv_posted = value;
		break;
	case TOW_TCP_ECN:
		set->ecn = (uint8_t)value;
		break;
	case TOW_TCP_CORK:
		set->cork = value;
		break;
	case TOW_TCP_SYN_COOKIES:
		set->syn_cookies = (uint8_t)value;
		break;
	case TOW_TCP_MTU_PROBE:
		set->mtu_probe = (uint8_t)value;
		break;
	case TOW_TCP_SYN_RETRIES:
		set->syn_retries = (uint8_t)value;
		break;
	case TOW_TCP_TTL:
		set->ttl = (uint8_t)value;
		break;
	case TOW_TCP_TOS:
		set->tos = (uint8_t)value & (uint8_t)~TOS_ECN;
		break;
	case TOW_TCP_NOTSENT_LOWAT:
		set->notsent_lowat = (uint32_t)value;
		break;
	case TOW_TCP_USER_TIMEOUT_TELL:
		set->user_timeout_tell = value;
		break;
	case TOW_TCP_FAST_OPEN:
		set->fast_open = (uint16_t)value;
		break;
	case TOW_TCP_FAST_OPEN_HOW:
		set->fast_open_how = (uint8_t)value;
		break;
	}
	return 0;
}

int64_t settings_get(const struct tcp_settings *set, enum tow_tcp_option option)
{
	switch (option) {
	case TOW_TCP_NODELAY:
		return set->nodelay;
	case TOW_TCP_KEEPALIVE_S:
		return set->keepalive_s;
	case TOW_TCP_KEEPALIVE_INTERVAL_S:
		return set->keepalive_interval_s;
	case TOW_TCP_KEEPALIVE_PROBES:
		return set->keepalive_probes;
	case TOW_TCP_USER_TIMEOUT_MS:
		return set->user_timeout_ms;
	case TOW_TCP_LINGER_S:
		return set->linger_s;
	case TOW_TCP_SEND_BYTES:
		return set->send_bytes;
	case TOW_TCP_RECV_BYTES:
		return set->recv_bytes;
	case TOW_TCP_MSS:
		return set->mss_max;
	case TOW_TCP_CONGESTION:
		return set->congestion;
	case TOW_TCP_PACING_RATE:
		return (int64_t)set->pacing_rate;
	case TOW_TCP_LEND_BYTES:
		return set->lend_bytes;
	case TOW_TCP_RECV_POSTED:
		return set->recv_posted;
	case TOW_TCP_ECN:
		return set->ecn;
	case TOW_TCP_CORK:
		return set->cork;
	case TOW_TCP_SYN_COOKIES:
		return set->syn_cookies;
	case TOW_TCP_MTU_PROBE:
		return set->mtu_probe;
	case TOW_TCP_SYN_RETRIES:
		return set->syn_retries;
	case TOW_TCP_TTL:
		return set->ttl;
	case TOW_TCP_TOS:
		return set->tos;
	case TOW_TCP_NOTSENT_LOWAT:
		return set->notsent_lowat;
	case TOW_TCP_USER_TIMEOUT_TELL:
		return set->user_timeout_tell;
	case TOW_TCP_FAST_OPEN:
		return set->fast_open;
	case TOW_TCP_FAST_OPEN_HOW:
		return set->fast_open_how;
	}
	return TOW_EINVAL;
}
