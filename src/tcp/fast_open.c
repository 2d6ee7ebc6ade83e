/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP Fast Open: RFC 7413. Data goes with the SYN, and a round trip is saved.
 *
 *	 client                                       server
 *	  SYN, cookie request --------------------->
 *	         <------------------ SYN-ACK, cookie     once
 *	  ...
 *	  SYN, cookie, data ----------------------->  program gets the data
 *	         <----------- SYN-ACK for SYN and data
 *	         <---------------------- data            it may answer at once
 *	  ACK ------------------------------------->
 *
 * A cookie shows that its holder once received at the address that it claims:
 * it is a keyed hash of both addresses, and the server keeps nothing. The
 * format is Linux's, so servers behind one address may share a key. A key of
 * our own is replaced each hour, and one before it is still good, so that a
 * cookie is renewed in time; older ones are refused, and a new one is given.
 *
 * What a cookie does not show is that the SYN is no replay: the same data may
 * come again, from the network or from who heard it. So a server that does it
 * has to say so (TOW_TCP_FAST_OPEN, off by default), and its program must be
 * able to get a request twice (6.3.2). Who has a cookie can spoof only its own
 * address; a limit of connections that were opened so, and of which nothing
 * was heard since, bounds what that can do (5.1). Those that were reset count
 * for another minute or two: with the cookies of others, that is the answer of
 * who never asked.
 *
 * TOW_TCP_FAST_OPEN_NO_COOKIE takes away that proof, for networks where the
 * address of a packet is one. The experimental option that was in use before
 * RFC 7413 is answered in kind.
 *
 * A signed SYN (tow/auth.h) has no room for a cookie, and does without.
 *
 * This file is the server; fast_client.c has the other end.
 */
#include "tcp/tcp_private.h"

#define KEY_US	     3600000000ull /* a key of our own */
#define COOKIE_BYTES 8
#define RESET_US     60000000ull /* at least so long a RST counts; as Linux */

void fast_open_init(struct tcp_host *host)
{
	struct fast_keys *k = &host->fast_open.keys;

	k->keys[0] = random_key(&host->net->random);
	k->keys[1] = random_key(&host->net->random);
}

static void push_key(struct fast_keys *k, struct sip_key key)
{
	k->keys[1] = k->keys[0];
	k->keys[0] = key;
}

/* Keys of our own age; one that the program gave stays. */
static void turn_keys(struct tcp_host *host)
{
	struct fast_keys *k = &host->fast_open.keys;
	uint64_t age_us = host->net->now_us - k->us;

	if (k->given || age_us < KEY_US)
		return;
	if (age_us >= 2 * KEY_US) /* the last one is too old, too */
		push_key(k, random_key(&host->net->random));
	push_key(k, random_key(&host->net->random));
	k->us = host->net->now_us;
}

static struct sip_key key_of(const uint8_t bytes[16])
{
	struct sip_key key = { 0 };

	for (unsigned i = 0; i < 8; i++) {
		key.k0 |= (uint64_t)bytes[i] << 8 * i;
		key.k1 |= (uint64_t)bytes[8 + i] << 8 * i;
	}
	return key;
}

int tow_tcp_fast_open_key(struct tow_stack *stack, const uint8_t key[16])
{
	struct fast_keys *k = &stack_tcp(stack)->fast_open.keys;

	push_key(k, key_of(key));
	k->given = true;
	return 0;
}

int tow_listener_fast_open_key(struct tow_listener *l, const uint8_t key[16])
{
	struct fast_keys *k = &l->fast_keys;

	push_key(k, key_of(key));
	if (!k->given) /* there was none before */
		push_key(k, key_of(key));
	k->given = true;
	return 0;
}

/* The listener that it came by; NULL: that is closed. */
static struct tow_listener *listener_of(const struct tow_tcp *t)
{
	struct tcp_host *host = t->host;

	for (uint32_t i = 0; i < host->cfg.listener_max; i++) {
		struct tow_listener *l = &host->listeners[i];

		if (l->open && l->number == t->parent)
			return l;
	}
	return NULL;
}

static const struct sip_key *keys_for(const struct tow_tcp *t)
{
	const struct tow_listener *l = listener_of(t);

	return l && l->fast_keys.given ? l->fast_keys.keys
				       : t->host->fast_open.keys.keys;
}

/* The peer's address, then ours, as they stand in its SYN. */
static void cookie_of(const struct sip_key *key, const struct tow_addr *peer,
		      const struct tow_addr *us, uint8_t out[COOKIE_BYTES])
{
	uint8_t both[32];
	uint64_t hash;

	if (tow_addr_is_v4(peer)) {
		memcpy(both, peer->b + 12, 4);
		memcpy(both + 4, us->b + 12, 4);
		hash = siphash24(key, both, 8);
	} else {
		memcpy(both, peer->b, 16);
		memcpy(both + 16, us->b, 16);
		hash = siphash24(key, both, 32);
	}
	for (unsigned i = 0; i < COOKIE_BYTES; i++)
		out[i] = (uint8_t)(hash >> 8 * i);
}

static bool holds(const struct wire_tcp *seg,
		  const uint8_t cookie[COOKIE_BYTES])
{
	uint8_t differs = 0;

	for (unsigned i = 0; i < COOKIE_BYTES; i++)
		differs |= seg->cookie[i] ^ cookie[i];
	return seg->cookie_bytes == COOKIE_BYTES && !differs;
}

/* What was reset in the period before this one is as good as forgotten. */
static void age_resets(struct tow_listener *l)
{
	uint64_t age_us = l->host->net->now_us - l->fast_reset_us;

	if (age_us < RESET_US)
		return;
	l->fast_resets[1] = age_us < 2 * RESET_US ? l->fast_resets[0] : 0;
	l->fast_resets[0] = 0;
	l->fast_reset_us = l->host->net->now_us;
}

static bool has_place(struct tow_listener *l)
{
	age_resets(l);
	return (uint64_t)l->fast_opens + l->fast_resets[0] + l->fast_resets[1] <
	       l->set.fast_open;
}

/*
 * Does the SYN's cookie show that its sender was at its address before? Notes
 * which cookie the SYN-ACK has to have.
 */
static bool is_proven(struct tow_tcp *t, const struct wire_tcp *seg)
{
	const struct sip_key *keys = keys_for(t);
	uint8_t cookie[COOKIE_BYTES];

	turn_keys(t->host);
	cookie_of(&keys[0], &t->path.dst, &t->path.src, cookie);
	t->give_cookie = !holds(seg, cookie);
	t->fast_is_254 = seg->fast_open_is_254;
	if (!t->give_cookie)
		return true;
	cookie_of(&keys[1], &t->path.dst, &t->path.src, cookie);
	if (holds(seg, cookie))
		return true; /* and gets a new one */
	if (seg->cookie_bytes)
		tcp_count(t, TOW_COUNTER_TCP_FAST_OPEN_BAD);
	return false;
}

/*
 * A SYN with @bytes of data for a listener, of which @t was made: 4.2.
 *
 * Returns: true when the data may be taken, and the connection is as good as
 *          established.
 */
bool fast_open_accept(struct tow_tcp *t, const struct wire_tcp *seg,
		      uint32_t bytes)
{
	struct tow_listener *l = t->listener;
	bool proof = !(l->set.fast_open_how & TOW_TCP_FAST_OPEN_NO_COOKIE);

	if (!l->set.fast_open || t->auth)
		return false;
	if (proof || bytes == 0) {
		if (!seg->has_fast_open || !is_proven(t, seg))
			return false;
	}
	if (!has_place(l)) { /* 5.1 */
		tcp_count(t, TOW_COUNTER_TCP_FAST_OPEN_FULL);
		return false;
	}
	l->fast_opens++;
	t->fast_pending = true;
	t->fast_open = bytes > 0;
	tcp_count(t, TOW_COUNTER_TCP_FAST_OPEN_IN);
	return true;
}

/* The cookie that a SYN-ACK gives, if it has to. */
void fast_open_cookie(const struct tow_tcp *t, struct wire_tcp *h)
{
	if (!t->give_cookie)
		return;
	h->has_fast_open = true;
	h->fast_open_is_254 = t->fast_is_254;
	h->cookie_bytes = COOKIE_BYTES;
	cookie_of(keys_for(t), &t->path.dst, &t->path.src, h->cookie);
}

/* Something was heard of it, or it is over: by a RST, perhaps (5.1). */
void fast_open_settle(struct tow_tcp *t)
{
	struct tow_listener *l = t->fast_pending ? listener_of(t) : NULL;

	t->fast_pending = false;
	if (!l || l->fast_opens == 0)
		return;
	l->fast_opens--;
	age_resets(l);
	if (t->error == TOW_ECONNRESET)
		l->fast_resets[0]++;
}
