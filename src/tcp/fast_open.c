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
 * A client keeps cookies by destination, with the MSS, for a bounded number of
 * them. Something on the path may drop such SYNs: a SYN that has to be sent
 * again is a plain one, and data goes with the ACK then (4.1.3.1). After such a
 * loss that destination is left alone for a while, the longer the more often it
 * happens.
 */
#include "tcp/tcp_private.h"

#define KEY_US	       3600000000ull /* a key of our own */
#define COOKIE_BYTES   8
#define RESET_US       60000000ull /* at least so long a RST counts; as Linux */
#define PAUSE_FIRST_US 60000000ull /* after a SYN with data was lost, */
#define LOSSES_MAX     8	   /* twice as long each time, up to 4 h */
#define OPTIONS_ROOM   40 /* the SYN's options may take so much of its MSS */

/* ------------------------------------------------------------------ server */

void fast_open_init(struct tcp_host *host)
{
	host->fast_open.keys[0] = random_key(&host->net->random);
	host->fast_open.keys[1] = random_key(&host->net->random);
}

static void push_key(struct tcp_host *host, struct sip_key key)
{
	struct fast_open *f = &host->fast_open;

	f->keys[1] = f->keys[0];
	f->keys[0] = key;
}

/* Keys of our own age; one that the program gave stays. */
static void turn_keys(struct tcp_host *host)
{
	struct fast_open *f = &host->fast_open;
	uint64_t age_us = host->net->now_us - f->key_us;

	if (f->key_given || age_us < KEY_US)
		return;
	if (age_us >= 2 * KEY_US) /* the last one is too old, too */
		push_key(host, random_key(&host->net->random));
	push_key(host, random_key(&host->net->random));
	f->key_us = host->net->now_us;
}

int tow_tcp_fast_open_key(struct tow_stack *stack, const uint8_t key[16])
{
	struct tcp_host *host = stack_tcp(stack);
	struct sip_key given = { 0 };

	for (unsigned i = 0; i < 8; i++) {
		given.k0 |= (uint64_t)key[i] << 8 * i;
		given.k1 |= (uint64_t)key[8 + i] << 8 * i;
	}
	push_key(host, given);
	host->fast_open.key_given = true;
	return 0;
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
 * A SYN for a listener that does it, of which @t was made: 4.2. Notes which
 * cookie the SYN-ACK has to have.
 *
 * Returns: true when the SYN's data may be taken.
 */
bool fast_open_accept(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct tow_listener *l = t->listener;
	const struct fast_open *f = &t->host->fast_open;
	uint8_t cookie[COOKIE_BYTES];

	if (!l->set.fast_open || !seg->has_fast_open)
		return false;
	turn_keys(t->host);
	cookie_of(&f->keys[0], &t->path.dst, &t->path.src, cookie);
	t->give_cookie = !holds(seg, cookie);
	if (!t->give_cookie)
		goto good;
	cookie_of(&f->keys[1], &t->path.dst, &t->path.src, cookie);
	if (holds(seg, cookie))
		goto good; /* and gets a new one */
	if (seg->cookie_bytes)
		tcp_count(t, TOW_COUNTER_TCP_FAST_OPEN_BAD);
	return false;
good:
	if (!has_place(l)) { /* 5.1 */
		tcp_count(t, TOW_COUNTER_TCP_FAST_OPEN_FULL);
		return false;
	}
	l->fast_opens++;
	t->fast_pending = true;
	t->fast_open = true;
	tcp_count(t, TOW_COUNTER_TCP_FAST_OPEN_IN);
	return true;
}

/* The cookie that a SYN-ACK gives, if it has to. */
void fast_open_cookie(const struct tow_tcp *t, struct wire_tcp *h)
{
	if (!t->give_cookie)
		return;
	h->has_fast_open = true;
	h->cookie_bytes = COOKIE_BYTES;
	cookie_of(&t->host->fast_open.keys[0], &t->path.dst, &t->path.src,
		  h->cookie);
}

/* Something was heard of it, or it is over: by a RST, perhaps (5.1). */
void fast_open_settle(struct tow_tcp *t)
{
	struct tcp_host *host = t->host;

	if (!t->fast_pending)
		return;
	t->fast_pending = false;
	for (uint32_t i = 0; i < host->cfg.listener_max; i++) {
		struct tow_listener *l = &host->listeners[i];

		if (!l->open || l->number != t->parent || !l->fast_opens)
			continue;
		l->fast_opens--;
		age_resets(l);
		if (t->error == TOW_ECONNRESET)
			l->fast_resets[0]++;
	}
}

/* ------------------------------------------------------------------ client */

static struct fast_peer *peer_find(const struct tow_tcp *t)
{
	struct fast_open *f = &t->host->fast_open;

	for (unsigned i = 0; i < TCP_FAST_PEERS; i++) {
		struct fast_peer *p = &f->peers[i];

		if (p->used_us && p->zone == t->path.zone &&
		    tow_addr_equal(&p->addr, &t->path.dst))
			return p;
	}
	return NULL;
}

/* The entry of the destination; that of another that was unused for longest. */
static struct fast_peer *peer_get(const struct tow_tcp *t)
{
	struct fast_open *f = &t->host->fast_open;
	struct fast_peer *p = peer_find(t), *oldest = &f->peers[0];

	if (p)
		return p;
	for (unsigned i = 1; i < TCP_FAST_PEERS; i++) {
		if (f->peers[i].used_us < oldest->used_us)
			oldest = &f->peers[i];
	}
	*oldest = (struct fast_peer){
		.addr = t->path.dst,
		.zone = t->path.zone,
		.used_us = MAX(tcp_now(t), 1),
	};
	return oldest;
}

/*
 * What our SYN has of it: nothing, a request, or a cookie.
 *
 * Returns: how many bytes of data may go with it.
 */
uint32_t fast_open_offer(const struct tow_tcp *t, struct wire_tcp *h)
{
	struct fast_peer *p = peer_find(t);
	uint32_t mss;

	if (!t->set.fast_open || (p && p->paused_until_us > tcp_now(t)))
		return 0;
	h->has_fast_open = true;
	if (!p || !p->cookie_bytes)
		return 0;
	p->used_us = MAX(tcp_now(t), 1);
	h->cookie_bytes = p->cookie_bytes;
	memcpy(h->cookie, p->cookie, sizeof(h->cookie));
	mss = MIN(p->mss, t->rcv.mss);
	return mss > OPTIONS_ROOM ? mss - OPTIONS_ROOM : 0;
}

uint32_t tow_tcp_fast_open_room(const struct tow_tcp *t)
{
	struct wire_tcp unused = { 0 };

	if (t->state != TOW_TCP_SYN_SENT || tcp_in_flight(t) > 0)
		return 0;
	return fast_open_offer(t, &unused);
}

static void pause(struct fast_peer *p, uint64_t now_us)
{
	p->paused_until_us = now_us + (PAUSE_FIRST_US << p->losses);
	if (p->losses < LOSSES_MAX)
		p->losses++;
}

/*
 * The SYN-ACK came: 4.1.3.
 *
 * @data: our SYN had some, of which @taken says whether it was acknowledged
 */
void fast_open_learn(struct tow_tcp *t, const struct wire_tcp *seg, bool data,
		     bool taken)
{
	bool again = t->recovery.backoffs > 0;
	struct fast_peer *p;

	if (!t->set.fast_open)
		return;
	p = peer_get(t);
	if (seg->has_fast_open && seg->cookie_bytes) {
		p->cookie_bytes = seg->cookie_bytes;
		memcpy(p->cookie, seg->cookie, sizeof(p->cookie));
	}
	p->mss = t->snd.mss_peer;
	t->fast_open = taken;
	if (taken) {
		p->losses = 0;
		tcp_count(t, TOW_COUNTER_TCP_FAST_OPEN_OUT);
	} else if (data && again) {
		pause(p, tcp_now(t)); /* the SYN with data got lost */
	}
}

/* No answer to it at all, so it may have been the reason. */
void fast_open_failed(struct tow_tcp *t)
{
	struct fast_peer *p = t->set.fast_open ? peer_find(t) : NULL;

	if (p && p->cookie_bytes)
		pause(p, tcp_now(t));
}
