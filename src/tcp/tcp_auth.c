/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signed connections: who has which keys, and what becomes of a segment.
 *
 *	listener      keys of many peers
 *	   |  SYN, rightly signed by a key for its sender: copies of all such
 *	   v
 *	connection    keys of one peer; they sign all, until CLOSED wipes them
 *	   ^
 *	   |  tow_tcp_key_add()
 *	program
 *
 * A segment is looked at right after its checksum, before the connection or the
 * listener does anything with it, and before a SYN ends an old connection in
 * TIME-WAIT. It is sent on its way, or dropped without an answer:
 *
 *	                         keys for the peer          none
 *	signed, rightly          goes on                    -
 *	signed, wrongly          dropped                    goes on, unlooked at
 *	not signed               dropped                    goes on
 *
 * The last column is what RFC 5925 7.3 wants by default; a key for everybody
 * leaves nobody in it. A listener that answers without keeping anything
 * (syn_cookie.c), or refuses an ACK, signs with its own records.
 *
 * Which segments have room for what: a signature is counted where timestamps
 * are, in the MSS and in the room for SACK blocks. MD5 takes 20 bytes of 40, and
 * so forgoes timestamps, as Linux does: with them there would be no SACK.
 *
 * Records are few and from a pool: docs/decisions/0018.
 */
#include "tcp/tcp_auth.h"
#include "buf/slice.h"
#include "wire/wire.h"

#define V4_BITS_BEFORE 96 /* of a mapped address */

/* -------------------------------------------------------------- the message
 */

void message_add(struct message *m, const void *ptr, size_t bytes)
{
	ASSERT(m->count < MESSAGE_SPANS);
	m->spans[m->count++] = (struct tow_span){ ptr, bytes };
}

/* RFC 9293 3.1, RFC 8200 8.1; of what is on the wire, options included. */
uint32_t message_pseudo(uint8_t *out, const struct signed_segment *s)
{
	uint32_t segment_bytes = s->header_bytes + s->bytes;

	if (tow_addr_is_v4(s->source)) {
		wire_put_addr4(out, s->source);
		wire_put_addr4(out + 4, s->destination);
		wire_put16(out + 8, NET_TCP);
		wire_put16(out + 10, segment_bytes);
		return 12;
	}
	wire_put_addr6(out, s->source);
	wire_put_addr6(out + 16, s->destination);
	wire_put32(out + 32, segment_bytes);
	wire_put32(out + 36, NET_TCP);
	return 40;
}

void message_payload(struct message *m, const struct signed_segment *s)
{
	struct slice rest = slice(s->buf->spans, s->skip, s->bytes);
	struct tow_span piece;

	while (next_piece(&rest, s->bytes, &piece))
		message_add(m, piece.ptr, piece.len);
}

/* Room for SIGNATURE_BYTES_MAX in @out. */
static bool make(const struct tow_crypto *crypto, struct auth_key *key,
		 const struct signed_segment *s, bool sends, uint8_t *out)
{
	if (auth_is_md5(key))
		return md5_digest(crypto, key, s, out);
	return ao_mac(crypto, key, s, sends, out);
}

static uint32_t signature_bytes(const struct auth_key *key)
{
	return auth_is_md5(key) ? TCP_MD5_BYTES : TCP_AO_MAC_BYTES;
}

/* How long it takes says nothing of how much was right. */
static bool is_equal(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
	uint8_t differs = 0;

	while (bytes--)
		differs |= *a++ ^ *b++;
	return differs == 0;
}

/* -------------------------------------------------------------- the records
 */

static struct auth_key *take_key(struct tcp_host *host)
{
	struct auth_key *key = host->auth_key_free;

	if (key)
		host->auth_key_free = key->next;
	else if (host->auth_keys_used < host->cfg.auth_keys)
		key = &host->auth_keys[host->auth_keys_used++];
	else
		net_count(host->net, TOW_COUNTER_NO_AUTH_KEYS);
	return key;
}

static void give_key(struct tcp_host *host, struct auth_key *key)
{
	wipe(key, sizeof(*key));
	key->next = host->auth_key_free;
	host->auth_key_free = key;
}

static void give_keys(struct tcp_host *host, struct auth_key **keys)
{
	while (*keys) {
		struct auth_key *key = *keys;

		*keys = key->next;
		give_key(host, key);
	}
}

/* There are as many as keys, and each has one. */
static struct auth *take_auth(struct tcp_host *host)
{
	struct auth *a = host->auth_free;

	if (a)
		host->auth_free = a->next_free;
	else if (host->auths_used < host->cfg.auth_keys)
		a = &host->auths[host->auths_used++];
	return a;
}

/* The end: nothing is signed any more. */
void auth_end(struct tow_tcp *t)
{
	struct tcp_host *host = t->host;
	struct auth *a = t->auth;

	if (!a)
		return;
	give_keys(host, &a->keys);
	t->auth = NULL;
	a->next_free = host->auth_free;
	host->auth_free = a;
}

void auth_close_listener(struct tow_listener *l)
{
	give_keys(l->host, &l->keys);
}

/* The stack closes: its memory is somebody else's soon. */
void auth_close(struct tcp_host *host)
{
	wipe(host->auth_keys, host->auth_keys_used * sizeof(struct auth_key));
}

static void append(struct auth_key **keys, struct auth_key *key)
{
	while (*keys)
		keys = &(*keys)->next;
	key->next = NULL;
	*keys = key;
}

/* ------------------------------------------------------------------ lookups
 */

static bool is_for(const struct auth_key *key, const struct tow_addr *peer)
{
	return addr_prefix_equal(&key->peer, peer, key->prefix_bits);
}

/* The only one that counts of MD5: RFC 2385 has no number to tell by. */
static struct auth_key *find_md5(const struct tow_listener *l,
				 const struct tow_addr *peer)
{
	struct auth_key *best = NULL;

	for (struct auth_key *key = l->keys; key; key = key->next)
		if (auth_is_md5(key) && is_for(key, peer) &&
		    (!best || key->prefix_bits > best->prefix_bits))
			best = key;
	return best;
}

/* @send_id, @recv_id: -1 is any */
static struct auth_key *find_ao(struct auth_key *keys,
				const struct tow_addr *peer, int send_id,
				int recv_id)
{
	for (struct auth_key *key = keys; key; key = key->next)
		if (!auth_is_md5(key) && is_for(key, peer) &&
		    (send_id < 0 || key->send_id == send_id) &&
		    (recv_id < 0 || key->recv_id == recv_id))
			return key;
	return NULL;
}

/* What a connection with @peer has to be signed with; NULL: nothing. */
static struct auth_key *find_any(const struct tow_listener *l,
				 const struct tow_addr *peer)
{
	struct auth_key *key = find_md5(l, peer);

	return key ? key : find_ao(l->keys, peer, -1, -1);
}

bool auth_asks(const struct tow_listener *l, const struct tow_addr *peer)
{
	return find_any(l, peer);
}

/* ---------------------------------------------------------------- receiving
 */

static bool refuse(struct net *net, enum tow_drop why)
{
	net_drop(net, why);
	return false;
}

static struct signed_segment arrived(const struct net_packet *packet,
				     const struct wire_tcp *seg)
{
	const uint8_t *payload = packet->buf->spans[0].ptr;

	return (struct signed_segment){
		.source = &packet->src,
		.destination = &packet->dst,
		.header = payload - seg->header_bytes,
		.header_bytes = seg->header_bytes,
		.option_at = seg->signature_at,
		.buf = packet->buf,
		.bytes = packet->buf->bytes,
	};
}

static bool is_merged(const struct tow_buf *buf)
{
	return buf->gso_bytes && buf->bytes > buf->gso_bytes;
}

/*
 * Is @seg signed by @key?
 *
 * @t: the connection; or, at a listener, what is known of it
 */
static bool is_signed_by(struct tow_tcp *t, struct auth_key *key,
			 struct net_packet *packet, const struct wire_tcp *seg)
{
	struct signed_segment s = arrived(packet, seg);
	struct net *net = t->host->net;
	uint8_t is[SIGNATURE_BYTES_MAX];

	if (!auth_is_md5(key))
		ao_numbers_received(t, seg, &s);
	packet->touched_bytes += s.bytes;
	net->stats.ledger.rx_touched_bytes += s.bytes;
	if (!make(t->host->cfg.crypto, key, &s, false, is))
		return refuse(net, TOW_DROP_TCP_AUTH_CRYPTO);
	if (!is_equal(is, s.header + s.option_at + (auth_is_md5(key) ? 2 : 4),
		      signature_bytes(key)))
		return refuse(net, TOW_DROP_TCP_AUTH_BAD);
	net_count(net, TOW_COUNTER_TCP_SIGNED_IN);
	return true;
}

/* The option must be there, and of the kind of the peer's keys. */
static bool has_option(struct net *net, const struct auth_key *of,
		       const struct net_packet *packet,
		       const struct wire_tcp *seg)
{
	enum tcp_signature wanted =
		auth_is_md5(of) ? SIGNATURE_MD5 : SIGNATURE_AO;

	if (seg->signature == SIGNATURE_BAD)
		return refuse(net, TOW_DROP_TCP_AUTH_BAD);
	if (seg->signature != wanted)
		return refuse(net, TOW_DROP_TCP_AUTH_MISSING);
	if (is_merged(packet->buf))
		return refuse(net, TOW_DROP_TCP_AUTH_MERGED);
	return true;
}

/*
 * RFC 5925 7.5, RFC 2385 2.0: a segment for a signed connection.
 *
 * Returns: false when it is dropped, which was counted.
 */
bool auth_accepts(struct tow_tcp *t, struct net_packet *packet,
		  const struct wire_tcp *seg)
{
	struct auth *a = t->auth;
	struct auth_key *key = a->current;
	struct net *net = t->host->net;

	if (!has_option(net, key, packet, seg))
		return false;
	if (!auth_is_md5(key))
		key = find_ao(a->keys, &packet->src, -1, seg->key_id);
	if (!key)
		return refuse(net, TOW_DROP_TCP_AUTH_KEY);
	if (!is_signed_by(t, key, packet, seg))
		return false;
	if (!auth_is_md5(key))
		ao_accepted(t, seg);
	return true;
}

/* What a segment for a listener says of the connection that it is for. */
static struct tow_tcp said(const struct tow_listener *l,
			   const struct wire_tcp *seg)
{
	struct tow_tcp t = {
		.host = l->host,
		.state = TOW_TCP_SYN_RECEIVED,
		.snd = { .iss = seq_of(seg->acknowledgement - 1) },
		.rcv = { .irs = seq_of(seg->sequence - 1) },
	};

	return t;
}

/*
 * The same at a listener: a SYN, or the ACK of a cookie.
 *
 * Returns: true also where no signature is asked for.
 */
bool auth_admits(const struct tow_listener *l, struct net_packet *packet,
		 const struct wire_tcp *seg)
{
	struct auth_key *key = find_any(l, &packet->src);
	struct net *net = l->host->net;
	struct tow_tcp t;

	if (!key)
		return true;
	if (!has_option(net, key, packet, seg))
		return false;
	if (!auth_is_md5(key))
		key = find_ao(l->keys, &packet->src, -1, seg->key_id);
	if (!key)
		return refuse(net, TOW_DROP_TCP_AUTH_KEY);
	t = said(l, seg);
	return is_signed_by(&t, key, packet, seg);
}

/*
 * RFC 5925 7.8: hard errors are ignored by default, whoever may have sent them;
 * of IPv4 "packet too big" is one of them. Probes find such a path out.
 */
bool auth_ignores(const struct tow_tcp *t, const struct net_error *error)
{
	bool v4 = tow_addr_is_v4(&error->remote.addr);
	bool destination =
		v4 ? error->type == 3 && error->code >= 2 && error->code <= 4
		   : error->type == 1 && (error->code == 1 || error->code == 4);

	return destination && tcp_synchronized(t) &&
	       !auth_is_md5(t->auth->current) && !t->auth->current->heed_icmp;
}

/* ------------------------------------------------------------------ sending
 */

uint32_t auth_option_bytes(const struct tow_tcp *t)
{
	return auth_is_md5(t->auth->current) ? TCP_MD5_BYTES_TAKEN
					     : TCP_AO_BYTES_TAKEN;
}

/* With both there would be no room for SACK; as Linux. */
bool auth_forgoes_timestamps(const struct tow_tcp *t, bool sack)
{
	return auth_is_md5(t->auth->current) && (sack || !t->passive);
}

/* Room in the header, before other options take what is left. */
void auth_prepare(const struct tow_tcp *t, struct wire_tcp *h)
{
	const struct auth *a = t->auth;

	h->signature = SIGNATURE_MD5;
	if (auth_is_md5(a->current))
		return;
	h->signature = SIGNATURE_AO;
	h->key_id = a->current->send_id;
	h->rnext_key_id = a->next->recv_id;
}

/*
 * Fill in the signature of a header that wire_tcp_build() made in front of the
 * payload of @buf. Before the checksum, which covers it.
 *
 * Returns: false when it must not be sent, which was counted.
 */
bool auth_sign(struct tow_tcp *t, const struct tow_buf *buf, uint8_t *header,
	       const struct wire_tcp *h)
{
	struct auth_key *key = t->auth->current;
	uint32_t header_bytes = wire_tcp_length(h);
	struct signed_segment s = {
		.source = &t->path.src,
		.destination = &t->path.dst,
		.header = header,
		.header_bytes = header_bytes,
		.option_at = TCP_HEADER_BYTES,
		.buf = buf,
		.skip = header_bytes,
		.bytes = buf->bytes - header_bytes,
	};
	uint8_t is[SIGNATURE_BYTES_MAX];

	if (!auth_is_md5(key))
		ao_numbers_sent(t, h, &s);
	TCP_ENTER(t, tx_touched_bytes, s.bytes);
	if (!make(t->host->cfg.crypto, key, &s, true, is)) {
		tcp_drop(t, TOW_DROP_TCP_AUTH_CRYPTO);
		return false;
	}
	if (auth_is_md5(key))
		memcpy(header + TCP_SIGNATURE_AT, is, TCP_MD5_BYTES);
	else
		memcpy(header + TCP_SIGNATURE_AT, is, TCP_AO_MAC_BYTES);
	tcp_count(t, TOW_COUNTER_TCP_SIGNED_OUT);
	return true;
}

/* ------------------------------------------------------------ passive opens
 */

/*
 * Which of them to begin with, by the SYN: RFC 5925 7.5, 1. The peer is
 * answered by the key that it asks for, and asked for the one that it used.
 */
static void choose(struct auth *a, struct auth_key *keys,
		   const struct tow_addr *peer, const struct wire_tcp *seg)
{
	a->current = find_ao(keys, peer, seg->rnext_key_id, -1);
	a->next = find_ao(keys, peer, -1, seg->key_id);
	if (!a->current)
		a->current = a->next;
	a->peer_id = seg->key_id;
	a->peer_next_id = seg->rnext_key_id;
}

static bool copy_keys(struct tow_tcp *t, const struct tow_listener *l)
{
	const struct tow_addr *peer = &t->path.dst;
	struct auth_key *md5 = find_md5(l, peer), *copy;

	for (struct auth_key *key = l->keys; key; key = key->next) {
		if (!is_for(key, peer) || (md5 && key != md5))
			continue;
		copy = take_key(t->host);
		if (!copy)
			return false;
		*copy = *key;
		copy->shared = false;
		append(&t->auth->keys, copy);
	}
	return true;
}

/*
 * A connection comes by a listener, with a SYN that auth_admits() let through,
 * or the ACK of a cookie.
 *
 * Returns: false for want of records; then it must not be.
 */
bool auth_inherit(struct tow_tcp *t, const struct tow_listener *l,
		  const struct wire_tcp *seg)
{
	const struct tow_addr *peer = &t->path.dst;

	if (!find_any(l, peer))
		return true;
	t->auth = take_auth(t->host);
	if (!t->auth)
		return false;
	*t->auth = (struct auth){ .keys = NULL };
	if (!copy_keys(t, l)) {
		auth_end(t);
		return false;
	}
	if (auth_is_md5(t->auth->keys))
		t->auth->current = t->auth->next = t->auth->keys;
	else
		choose(t->auth, t->auth->keys, peer, seg);
	return true;
}

/*
 * The same for an answer of the listener itself, with its own records.
 *
 * @a: filled, if there is something to sign with; until then @t uses it
 */
void auth_borrow(struct tow_tcp *t, const struct tow_listener *l,
		 const struct wire_tcp *seg, struct auth *a)
{
	struct auth_key *md5 = find_md5(l, &t->path.dst);

	*a = (struct auth){ .current = md5, .next = md5 };
	if (!md5)
		choose(a, l->keys, &t->path.dst, seg);
	t->auth = a->current ? a : NULL;
}

/* Of an ACK that nobody awaits: see said(). */
void auth_borrow_for_reset(struct tow_tcp *t, const struct tow_listener *l,
			   const struct wire_tcp *seg, struct auth *a)
{
	struct tow_tcp s = said(l, seg);

	t->snd.iss = s.snd.iss;
	t->rcv.irs = s.rcv.irs;
	auth_borrow(t, l, seg, a);
}

/* ------------------------------------------------- the calls of tow/auth.h
 */

static bool can(const struct tow_crypto *crypto,
		enum tow_auth_algorithm algorithm)
{
	if (!crypto)
		return false;
	switch (algorithm) {
	case TOW_AUTH_MD5:
		return crypto->md5;
	case TOW_AUTH_HMAC_SHA1:
		return crypto->hmac_sha1;
	case TOW_AUTH_AES_CMAC:
		return crypto->aes_cmac;
	}
	return false;
}

/* Of the 128; more than that for one that cannot be. */
static unsigned prefix_bits(const struct tow_auth_key *key)
{
	bool v4 = tow_addr_is_v4(&key->peer);

	if (key->prefix_bits > (v4 ? 32u : 128u))
		return 129;
	return key->prefix_bits + (v4 ? V4_BITS_BEFORE : 0);
}

static bool overlaps(const struct auth_key *a, const struct tow_auth_key *b)
{
	return addr_prefix_equal(&a->peer, &b->peer,
				 MIN(a->prefix_bits, prefix_bits(b)));
}

/* RFC 5925 3.1: numbers are unique where the peers may be the same. */
static bool clashes(const struct auth_key *has, const struct tow_auth_key *key)
{
	bool md5 = key->algorithm == TOW_AUTH_MD5;

	if (!overlaps(has, key))
		return false;
	if (md5 != auth_is_md5(has))
		return true;
	if (md5)
		return has->prefix_bits == prefix_bits(key);
	return has->send_id == key->send_id || has->recv_id == key->recv_id;
}

static int check(const struct tcp_host *host, const struct auth_key *keys,
		 const struct tow_auth_key *key)
{
	if (key->secret_bytes < 1 || key->secret_bytes > TOW_AUTH_SECRET_MAX ||
	    prefix_bits(key) > 128)
		return TOW_EINVAL;
	if (!can(host->cfg.crypto, key->algorithm))
		return TOW_EOPNOTSUPP;
	for (; keys; keys = keys->next)
		if (clashes(keys, key))
			return TOW_EEXIST;
	return 0;
}

static int add(struct tcp_host *host, struct auth_key **keys,
	       const struct tow_auth_key *key, bool shared)
{
	struct auth_key *made = take_key(host);

	if (!made)
		return TOW_ENOBUFS;
	*made = (struct auth_key){
		.peer = key->peer,
		.prefix_bits = (uint8_t)prefix_bits(key),
		.algorithm = (uint8_t)key->algorithm,
		.send_id = key->send_id,
		.recv_id = key->recv_id,
		.secret_bytes = (uint8_t)key->secret_bytes,
		.omit_options = key->omit_options,
		.heed_icmp = key->heed_icmp,
		.shared = shared,
	};
	memcpy(made->secret, key->secret, key->secret_bytes);
	if (!ao_adopt_secret(host->cfg.crypto, made)) {
		give_key(host, made);
		return TOW_EIO;
	}
	append(keys, made);
	return 0;
}

int tow_listener_key_add(struct tow_listener *l, const struct tow_auth_key *key)
{
	int r = check(l->host, l->keys, key);

	return r < 0 ? r : add(l->host, &l->keys, key, true);
}

int tow_listener_key_remove(struct tow_listener *l,
			    const struct tow_auth_key *key)
{
	bool md5 = key->algorithm == TOW_AUTH_MD5;

	for (struct auth_key **at = &l->keys; *at; at = &(*at)->next) {
		struct auth_key *has = *at;

		if (has->algorithm != key->algorithm ||
		    has->prefix_bits != prefix_bits(key) ||
		    !tow_addr_equal(&has->peer, &key->peer) ||
		    (!md5 && (has->send_id != key->send_id ||
			      has->recv_id != key->recv_id)))
			continue;
		*at = has->next;
		give_key(l->host, has);
		return 0;
	}
	return TOW_ENOENT;
}

/* Signed from the SYN on, or never. */
static bool may_begin(const struct tow_tcp *t)
{
	return t->state == TOW_TCP_SYN_SENT && seq_eq(t->snd.nxt, t->snd.iss);
}

static int begin(struct tow_tcp *t, const struct tow_auth_key *key)
{
	struct auth *a = take_auth(t->host);
	int r = TOW_ENOBUFS;

	if (!a)
		return r;
	*a = (struct auth){ .keys = NULL };
	r = add(t->host, &a->keys, key, false);
	t->auth = a;
	if (r < 0) {
		auth_end(t);
		return r;
	}
	a->current = a->next = a->keys;
	return 0;
}

int tow_tcp_key_add(struct tow_tcp *t, const struct tow_auth_key *key)
{
	int r = check(t->host, t->auth ? t->auth->keys : NULL, key);

	if (r < 0)
		return r;
	if (!addr_prefix_equal(&key->peer, &t->path.dst, prefix_bits(key)))
		return TOW_EINVAL;
	if (t->auth && auth_is_md5(t->auth->keys))
		return TOW_EEXIST; /* nothing says which of two signed */
	if (t->auth)
		return add(t->host, &t->auth->keys, key, false);
	return may_begin(t) ? begin(t, key) : TOW_EISCONN;
}

int tow_tcp_key_remove(struct tow_tcp *t, uint8_t send_id, uint8_t recv_id)
{
	struct auth_key **at = t->auth ? &t->auth->keys : NULL, *key;

	for (; at && *at; at = &(*at)->next) {
		key = *at;
		if (auth_is_md5(key) || key->send_id != send_id ||
		    key->recv_id != recv_id)
			continue;
		if (key == t->auth->current || key == t->auth->next)
			return TOW_EBUSY;
		*at = key->next;
		give_key(t->host, key);
		return 0;
	}
	return TOW_ENOENT;
}

int tow_tcp_key_next(struct tow_tcp *t, uint8_t recv_id)
{
	struct auth_key *key = NULL;

	if (t->auth)
		key = find_ao(t->auth->keys, &t->path.dst, -1, recv_id);
	if (!key)
		return TOW_ENOENT;
	t->auth->next = key;
	return 0;
}

int tow_tcp_key_current(struct tow_tcp *t, uint8_t send_id)
{
	struct auth_key *key = NULL;

	if (t->auth)
		key = find_ao(t->auth->keys, &t->path.dst, send_id, -1);
	if (!key)
		return TOW_ENOENT;
	t->auth->current = key;
	return 0;
}

void tow_tcp_auth_info(const struct tow_tcp *t, struct tow_auth_info *out)
{
	const struct auth *a = t->auth;

	*out = (struct tow_auth_info){ 0 };
	if (!a)
		return;
	*out = (struct tow_auth_info){
		.is_signed = true,
		.algorithm = (enum tow_auth_algorithm)a->current->algorithm,
		.current_id = a->current->send_id,
		.next_id = a->next->recv_id,
		.peer_id = a->peer_id,
		.peer_next_id = a->peer_next_id,
	};
	for (const struct auth_key *key = a->keys; key; key = key->next)
		out->keys++;
}
