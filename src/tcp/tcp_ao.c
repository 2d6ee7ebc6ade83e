/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TCP authentication option: RFC 5925, with the algorithms of RFC 5926.
 *
 *	+---------+--------+-------+------------+----------------------+
 *	| kind 29 | 16     | KeyID | RNextKeyID | MAC, 12 bytes        |
 *	+---------+--------+-------+------------+----------------------+
 *
 * A master key never signs anything. Of it, both addresses, both ports and both
 * initial sequence numbers a traffic key is made for each direction, so that
 * what was signed once is of no use on another connection (5.2). A SYN comes
 * before the other end has a number, so there is a zero for that:
 *
 *	SYN          source ISN, 0
 *	all others   source ISN, destination ISN
 *
 * Keys are made when first needed and kept with the two numbers that they are
 * for; but not those of a SYN, nor those of a listener, whose keys serve all
 * connections to come.
 *
 * Sequence numbers come again after 4 GiB. The MAC covers 64 bits: the number,
 * and the sequence number extension in front of it, which is not sent (6.2). It
 * needs no state here: what was sent and received is counted by 64 bits anyway,
 * and the number of a segment is the one nearest to that.
 *
 *	extended(n) = base + (int32_t)(n - (uint32_t)base)
 *	base        = ISN + 1 + bytes of the stream
 *
 * KeyID says which key signed a segment, RNextKeyID which one the sender would
 * like to see on the next (6.1). Each end keeps a current_key that it signs
 * with and an rnext_key that it asks for. Who is asked for a key that he has,
 * makes it current; who does not have it, goes on (7.5). So keys change without
 * a loss, and in both directions apart.
 *
 * The MAC is computed before the segment's number is looked at, though a forged
 * one outside of the window would be cheaper to drop by that. But what is
 * outside is not all dropped in silence: a segment below RCV.NXT is one whose
 * ACK was lost, or a keepalive, and has to be answered (RFC 9293 3.10.7.4,
 * first), if it is the peer's. So it takes the MAC in any case (RFC 5925 11),
 * and forgeries can be made to stand in the window, too.
 *
 * RSTs are signed like all others, so a host that forgot a connection cannot
 * end it (7.7); ICMP cannot either (7.8): see auth_ignores().
 */
#include "tcp/tcp_auth.h"
#include "wire/wire.h"

#define CMAC_BYTES    16
#define SHA1_BYTES    20
#define CONTEXT_BYTES (1 + 6 + 2 * 16 + 2 * 2 + 2 * 4 + 2)

static const uint8_t zeros[CMAC_BYTES];

static bool uses_cmac(const struct auth_key *key)
{
	return key->algorithm == TOW_AUTH_AES_CMAC;
}

/* The algorithm of the key, as MAC and as pseudo-random function. */
static bool digest(const struct tow_crypto *crypto, const struct auth_key *mkt,
		   const uint8_t *key, size_t key_bytes,
		   const struct message *m, uint8_t *out)
{
	if (uses_cmac(mkt))
		return crypto->aes_cmac(crypto->context, key, m->spans,
					m->count, out);
	return crypto->hmac_sha1(crypto->context, key, key_bytes, m->spans,
				 m->count, out);
}

/* RFC 5926 3.1.1.2: of a key of another length than AES has, one is made. */
bool ao_adopt_secret(const struct tow_crypto *crypto, struct auth_key *key)
{
	uint8_t made[CMAC_BYTES];
	struct tow_span secret = { key->secret, key->secret_bytes };
	bool ok;

	if (!uses_cmac(key) || key->secret_bytes == CMAC_BYTES)
		return true;
	ok = crypto->aes_cmac(crypto->context, zeros, &secret, 1, made);
	memcpy(key->secret, made, CMAC_BYTES);
	wipe(key->secret + CMAC_BYTES, sizeof(key->secret) - CMAC_BYTES);
	wipe(made, sizeof(made));
	key->secret_bytes = CMAC_BYTES;
	return ok;
}

/* ------------------------------------------------------------ traffic keys */

static uint32_t put_addr(uint8_t *out, const struct tow_addr *addr)
{
	if (!tow_addr_is_v4(addr)) {
		memcpy(out, addr->b, 16);
		return 16;
	}
	memcpy(out, addr->b + 12, 4);
	return 4;
}

/* RFC 5926 3.1.1: i || Label || Context || Output_Length; once is enough. */
static uint32_t kdf_input(uint8_t out[CONTEXT_BYTES],
			  const struct signed_segment *s, uint32_t key_bytes)
{
	uint32_t n = 7;

	memcpy(out, "\1TCP-AO", 7);
	n += put_addr(out + n, s->source);
	n += put_addr(out + n, s->destination);
	memcpy(out + n, s->header, 4); /* source and destination port */
	wire_put32(out + n + 4, s->source_isn);
	wire_put32(out + n + 8, s->destination_isn);
	wire_put16(out + n + 12, key_bytes * 8);
	return n + 14;
}

static bool derive(const struct tow_crypto *crypto, const struct auth_key *mkt,
		   const struct signed_segment *s, struct traffic_key *out)
{
	uint8_t context[CONTEXT_BYTES];
	struct message m = { .count = 0 };

	out->source_isn = s->source_isn;
	out->destination_isn = s->destination_isn;
	message_add(&m, context,
		    kdf_input(context, s,
			      uses_cmac(mkt) ? CMAC_BYTES : SHA1_BYTES));
	out->known = digest(crypto, mkt, mkt->secret, mkt->secret_bytes, &m,
			    out->key);
	return out->known;
}

static bool is_for(const struct traffic_key *key,
		   const struct signed_segment *s)
{
	return key->known && key->source_isn == s->source_isn &&
	       key->destination_isn == s->destination_isn;
}

/* ------------------------------------------------------------------ the MAC
 */

/* RFC 5925 5.1: header, checksum and MAC zero, with or without options. */
static void add_header(struct message *m, const struct signed_segment *s,
		       bool omit_options)
{
	const uint8_t *option = s->header + s->option_at;
	const uint8_t *mac = option + 4;
	const uint8_t *end = s->header + s->header_bytes;

	message_add(m, s->header, TCP_CSUM_OFFSET);
	message_add(m, zeros, 2);
	if (omit_options) {
		message_add(m, s->header + TCP_CSUM_OFFSET + 2, 2);
		message_add(m, option, 4);
		message_add(m, zeros, TCP_AO_MAC_BYTES);
		return;
	}
	message_add(m, s->header + TCP_CSUM_OFFSET + 2,
		    (size_t)(mac - s->header) - TCP_CSUM_OFFSET - 2);
	message_add(m, zeros, TCP_AO_MAC_BYTES);
	mac += TCP_AO_MAC_BYTES;
	message_add(m, mac, (size_t)(end - mac));
}

/*
 * @sends: it is a segment of ours
 * @out:   room for SIGNATURE_BYTES_MAX; the first TCP_AO_MAC_BYTES count
 *
 * Returns: false if the cryptography failed.
 */
bool ao_mac(const struct tow_crypto *crypto, struct auth_key *key,
	    const struct signed_segment *s, bool sends, uint8_t *out)
{
	struct traffic_key once = { .known = false };
	struct traffic_key *traffic = sends ? &key->sends : &key->receives;
	struct message m;
	bool ok = true;

	if (key->shared || s->destination_isn == 0)
		traffic = &once;
	if (!is_for(traffic, s))
		ok = derive(crypto, key, s, traffic);
	m.count = 0;
	wire_put32(m.pseudo, s->sne);
	message_add(&m, m.pseudo, 4 + message_pseudo(m.pseudo + 4, s));
	add_header(&m, s, key->omit_options);
	message_payload(&m, s);
	ok = ok && digest(crypto, key, traffic->key, SHA1_BYTES, &m, out);
	wipe(&once, sizeof(once));
	return ok;
}

/* ----------------------------------------------------------------- numbers
 */

/* RFC 5925 6.2: what stands in front of @n, nearest to @base. */
static uint32_t extension(uint64_t base, uint32_t n)
{
	int32_t distance = (int32_t)(n - (uint32_t)base);

	return (uint32_t)((base + (uint64_t)(int64_t)distance) >> 32);
}

static bool is_first_syn(const struct wire_tcp *seg)
{
	return (seg->flags & (TH_SYN | TH_ACK)) == TH_SYN;
}

void ao_numbers_sent(const struct tow_tcp *t, const struct wire_tcp *h,
		     struct signed_segment *s)
{
	s->source_isn = t->snd.iss.n;
	s->destination_isn = is_first_syn(h) ? 0 : t->rcv.irs.n;
	s->sne = extension(t->snd.iss.n + 1ull + t->send.next, h->sequence);
}

/*
 * A SYN says its number itself, whoever it is for: an attempt to connect, or a
 * connection that the peer forgot. So does a RST for our SYN, as Linux sends
 * it.
 */
void ao_numbers_received(const struct tow_tcp *t, const struct wire_tcp *seg,
			 struct signed_segment *s)
{
	bool says = seg->flags & TH_SYN ||
		    (t->state == TOW_TCP_SYN_SENT && seg->flags & TH_RST);

	s->source_isn = says ? seg->sequence : t->rcv.irs.n;
	s->destination_isn = is_first_syn(seg) ? 0 : t->snd.iss.n;
	s->sne = says ? 0
		      : extension(t->rcv.irs.n + 1ull + t->rcv.bytes,
				  seg->sequence);
}

/*
 * RFC 5925 7.5, 2 e: the peer asks for another key; do we have it? What it said
 * in a segment from before does not count: somebody else may have kept that, and
 * send it again to bring an old key back.
 */
void ao_accepted(struct tow_tcp *t, const struct wire_tcp *seg)
{
	struct auth *a = t->auth;

	if (t->state != TOW_TCP_SYN_SENT &&
	    seq_before(seq_of(seg->sequence), t->rcv.nxt))
		return;
	a->peer_id = seg->key_id;
	a->peer_next_id = seg->rnext_key_id;
	if (LIKELY(seg->rnext_key_id == a->current->send_id))
		return;
	for (struct auth_key *key = a->keys; key; key = key->next)
		if (key->send_id == seg->rnext_key_id)
			a->current = key;
}
