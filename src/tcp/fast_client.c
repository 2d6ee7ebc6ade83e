/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fast Open as a client: RFC 7413 4.1.3 and 4.2.1. What it is about stands on
 * top of fast_open.c.
 *
 * Of so many destinations it is kept what was heard of them last: the cookie,
 * and the MSS, by which the data of a SYN is cut before the peer can say its
 * own. Without a cookie (TOW_TCP_FAST_OPEN_NO_COOKIE) it is the MSS alone, and
 * before that is known the path's MTU, as in Linux: there the network is one
 * that the program knows. A cookie counts only if it was asked for.
 *
 *	SYN had      SYN-ACK has     the next SYN has
 *	a request    a cookie        that cookie, and data
 *	a request    nothing         a request; with TOW_TCP_FAST_OPEN_OLD once by
 *	                             the option that was there before RFC 7413
 *	a cookie     another         that one
 *	a cookie     nothing         the same as before, or nothing for a while
 *	                             if no data was taken
 *
 * Something on the path may drop SYNs with data, or what comes after them. A
 * SYN that has to be sent again is a plain one, and data goes with the ACK then
 * (4.1.3.1). After such a failure that destination is left alone for a while,
 * the longer the more often it happens. A failure is, as in Linux:
 *
 *	- the SYN with data was lost, and the plain one was answered;
 *	- the handshake never ended;
 *	- three timeouts in a row before the peer sent any data, while the
 *	  program waits for it;
 *	- a FIN or a RST behind a hole, and no data at all from the peer;
 *
 * and by RFC 7413 4.1.3.1, which Linux does not look at,
 *
 *	- no data of the SYN was taken, and there was no other cookie;
 *	- an ICMP error about the SYN.
 *
 * Linux then leaves all destinations alone (but by default it looks for none of
 * this, because one dead server was enough). Here that takes several failures
 * without a success between: then it is something near to us. What a server may
 * do by itself, or anybody may have sent, is about that destination only.
 */
#include "tcp/tcp_private.h"

#define PAUSE_FIRST_US 60000000ull /* after a failure, */
#define LOSSES_MAX     8	   /* twice as long each time, up to 4 h */
#define PAUSE_ALL_US   3600000000ull
#define PAUSES_MAX     6 /* up to 64 h */
#define FAILURES_MAX   3
#define OPTIONS_ROOM   40 /* the SYN's options may take so much of its MSS */

/* To which requests there came no cookie: they are not repeated for ever. */
enum no_cookie {
	ANSWERED_OR_NEW,
	NOT_TO_34,
	NOT_TO_254, /* either: that was the only try */
};

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

static bool is_paused(const struct tow_tcp *t, const struct fast_peer *p)
{
	return t->host->fast_open.paused_until_us > tcp_now(t) ||
	       (p && p->paused_until_us > tcp_now(t));
}

static bool does(const struct tow_tcp *t, enum tow_tcp_fast_open_flag how)
{
	return t->set.fast_open_how & how;
}

static uint32_t room(const struct tow_tcp *t, const struct fast_peer *p)
{
	uint32_t mss = tcp_own_mss(t);

	if (p && p->mss)
		mss = MIN(mss, p->mss);
	return mss > OPTIONS_ROOM ? mss - OPTIONS_ROOM : 0;
}

/* The option of a SYN, if it is to have one: a request, or a cookie. */
static void put_option(const struct tow_tcp *t, const struct fast_peer *p,
		       struct wire_tcp *h)
{
	h->has_fast_open = true;
	if (p && p->cookie_bytes) {
		h->fast_open_is_254 = p->is_254;
		h->cookie_bytes = p->cookie_bytes;
		memcpy(h->cookie, p->cookie, sizeof(h->cookie));
	} else {
		h->fast_open_is_254 = does(t, TOW_TCP_FAST_OPEN_OLD) && p &&
				      p->no_cookie == NOT_TO_34;
	}
}

static uint32_t offer(const struct tow_tcp *t, struct fast_peer *p,
		      struct wire_tcp *h)
{
	if (!t->set.fast_open || is_paused(t, p) || t->auth)
		return 0;
	if (p)
		p->used_us = MAX(tcp_now(t), 1);
	if (does(t, TOW_TCP_FAST_OPEN_NO_COOKIE))
		return room(t, p);
	put_option(t, p, h);
	return h->cookie_bytes ? room(t, p) : 0;
}

/*
 * What our SYN has of it: nothing, a request, or a cookie.
 *
 * Returns: how many bytes of data may go with it.
 */
uint32_t fast_client_offer(struct tow_tcp *t, struct wire_tcp *h)
{
	uint32_t bytes = offer(t, peer_find(t), h);

	t->fast_asked = h->has_fast_open;
	t->fast_is_254 = h->fast_open_is_254;
	t->fast_tried = t->fast_asked;
	return bytes;
}

uint32_t tow_tcp_fast_open_room(const struct tow_tcp *t)
{
	struct wire_tcp unused = { 0 };

	if (t->state != TOW_TCP_SYN_SENT || tcp_in_flight(t) > 0)
		return 0;
	return offer(t, peer_find(t), &unused);
}

/* Is the SYN held back until there is data for it? */
bool fast_client_waits(const struct tow_tcp *t)
{
	return does(t, TOW_TCP_FAST_OPEN_WAIT) && t->send.end == 0 &&
	       !t->send.finished && tow_tcp_fast_open_room(t) > 0;
}

static void pause(struct fast_peer *p, uint64_t now_us)
{
	p->paused_until_us = now_us + (PAUSE_FIRST_US << p->losses);
	if (p->losses < LOSSES_MAX)
		p->losses++;
}

/* There was Fast Open on its SYN, and that may be why it does not work. */
static bool suspect_destination(struct tow_tcp *t)
{
	struct fast_peer *p;

	if (!t->fast_tried)
		return false;
	t->fast_tried = false;
	tcp_count(t, TOW_COUNTER_TCP_FAST_OPEN_PAUSED);
	p = peer_find(t);
	if (p)
		pause(p, tcp_now(t));
	return true;
}

void fast_client_suspect(struct tow_tcp *t)
{
	struct fast_open *f = &t->host->fast_open;

	if (!suspect_destination(t) || ++f->failures < FAILURES_MAX)
		return;
	f->failures = 0;
	f->paused_until_us = tcp_now(t) + (PAUSE_ALL_US << f->pauses);
	if (f->pauses < PAUSES_MAX)
		f->pauses++;
}

/* By what the server may want, or anybody may have sent: others go on. */
void fast_client_doubt(struct tow_tcp *t)
{
	(void)suspect_destination(t);
}

void tow_tcp_fast_open_forget(struct tow_stack *stack)
{
	struct fast_open *f = &stack_tcp(stack)->fast_open;

	memset(f->peers, 0, sizeof(f->peers));
	f->failures = f->pauses = 0;
	f->paused_until_us = 0;
}

/* RFC 7413 4.1.2: nobody gave it that asked by this option. */
static void note_no_cookie(const struct tow_tcp *t, struct fast_peer *p)
{
	uint8_t what = t->fast_is_254 ? NOT_TO_254 : NOT_TO_34;

	if (!p->cookie_bytes)
		p->no_cookie = MAX(p->no_cookie, what);
}

static bool has_same_cookie(const struct fast_peer *p,
			    const struct wire_tcp *seg)
{
	return p->cookie_bytes == seg->cookie_bytes &&
	       !memcmp(p->cookie, seg->cookie, seg->cookie_bytes);
}

/*
 * The SYN-ACK came: 4.1.3.
 *
 * @data: our SYN had some, which counts as taken if all was acknowledged
 */
void fast_client_learn(struct tow_tcp *t, const struct wire_tcp *seg,
		       const struct ack_news *news, bool data)
{
	bool taken = data && tcp_in_flight(t) == 0;
	bool again = t->recovery.backoffs > 0;
	bool cookie = seg->has_fast_open && seg->cookie_bytes;
	bool refused = data && news->acked_bytes == 1 && !news->resent;
	struct fast_peer *p = peer_get(t);

	p->mss = t->snd.mss_peer;
	refused &= !cookie || has_same_cookie(p, seg);
	if (cookie && t->fast_asked) {
		p->cookie_bytes = seg->cookie_bytes;
		p->is_254 = seg->fast_open_is_254;
		memcpy(p->cookie, seg->cookie, sizeof(p->cookie));
	} else if (t->fast_asked && !data && !again) {
		note_no_cookie(t, p);
	}
	t->fast_open = taken;
	if (taken)
		tcp_count(t, TOW_COUNTER_TCP_FAST_OPEN_OUT);
	else if (data && again && !cookie)
		fast_client_suspect(t); /* the SYN with data got lost */
	else if (refused)
		fast_client_doubt(t);
}

/* It is over: did it do what it was for? */
void fast_client_over(struct tow_tcp *t)
{
	const struct receive *r = &t->receive;
	struct fast_open *f = &t->host->fast_open;
	struct fast_peer *p;

	if (t->passive || !t->fast_tried)
		return;
	if (t->rcv.bytes == 0) {
		if (r->fin_seen && !seq_after(t->rcv.nxt, r->fin))
			fast_client_suspect(t);
		return;
	}
	if (!t->fast_open)
		return;
	f->failures = f->pauses = 0;
	p = peer_find(t);
	if (p)
		p->losses = 0;
}
