/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_AUTH_H
#define TOW_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tow/addr.h>
#include <tow/mark.h>
#include <tow/span.h>

/*
 * Signed segments: TCP MD5 (RFC 2385) and TCP-AO (RFC 5925, RFC 5926).
 *
 * Two ends that share a key vouch for each segment, so that nobody else can
 * reset their connection or write into it, whatever he knows of its numbers.
 * Routers do it (BGP, LDP, MSDP). MD5 is what old ones have; AO is what to use:
 *
 *	                MD5                     AO
 *	covers          addresses, header,      those, options too, and where in
 *	                payload                 a stream of any length it is
 *	keys            one                     several, by number; changed while
 *	                                        the connection is up
 *	header bytes    20 of 40, so there are  16 of 40, beside timestamps and
 *	                no timestamps           one SACK block
 *
 * A key is for a peer, or for a network of them. A connection to which keys
 * were given, or that came by a listener with keys for its peer, is signed from
 * its first SYN to its end: what comes without a signature, or with a wrong
 * one, is dropped without an answer (counted as "tcp_auth_*"). Peers for which
 * a listener has no key may connect without; a key for everybody, which nobody
 * has, closes it to them.
 *
 * What it costs: each segment is built and signed by itself, so no device cuts
 * large ones (TSO), and its payload is read once for the signature, on either
 * way; merged frames (LRO) are dropped, because none of their signatures is of
 * the whole. Nothing that arrives is believed before: neither an
 * acknowledgement nor memory that a device has placed bytes in counts. There is
 * no room for Fast Open. Connections without keys pay nothing.
 *
 * The stack has no cryptography of its own: tow_config.crypto says who does it,
 * and tow_host_crypto_open() of tow/host.h makes one. How many keys there may
 * be is tow_config.auth_keys; a connection has copies of its listener's.
 */
struct tow_tcp;
struct tow_listener;

/*
 * Who does the arithmetic. A function that is NULL is an algorithm that there
 * is not; one that fails makes the stack drop the segment.
 *
 * @spans: the message, @count pieces one after the other
 *
 * Threads: called by the one that polls the stack, and from nothing else.
 */
struct tow_crypto {
	void *context;
	bool (*md5)(void *context, const struct tow_span *spans, int count,
		    uint8_t out[16]);
	bool (*hmac_sha1)(void *context, const uint8_t *key, size_t key_bytes,
			  const struct tow_span *spans, int count,
			  uint8_t out[20]);
	bool (*aes_cmac)(void *context, const uint8_t key[16],
			 const struct tow_span *spans, int count,
			 uint8_t out[16]);
};

enum tow_auth_algorithm {
	TOW_AUTH_MD5,	    /* RFC 2385 */
	TOW_AUTH_HMAC_SHA1, /* AO: KDF_HMAC_SHA1, HMAC-SHA-1-96 */
	TOW_AUTH_AES_CMAC,  /* AO: KDF_AES_128_CMAC, AES-128-CMAC-96 */
};

#define TOW_AUTH_SECRET_MAX 80 /* bytes; as Linux */

/* A key; of AO, what RFC 5925 3.1 calls a master key tuple. */
struct tow_auth_key {
	enum tow_auth_algorithm algorithm;
	struct tow_addr peer;	  /* whose it is; 0 bits of :: are everybody */
	unsigned prefix_bits;	  /* 0..32 for IPv4, 0..128 for IPv6 */
	const uint8_t *secret;	  /* copied, and wiped when it is not used */
	size_t secret_bytes;	  /* 1..TOW_AUTH_SECRET_MAX */
	uint8_t send_id, recv_id; /* AO: its number in what we send, and get */
	bool omit_options; /* AO: other options are not covered, as something
			    * on the path changes them */
	bool heed_icmp;	   /* AO: ICMP errors count as without (RFC 5925 7.8) */
};

/* What of AO is in use on a connection. */
struct tow_auth_info {
	bool is_signed;
	enum tow_auth_algorithm algorithm; /* of what we send */
	unsigned keys;
	/* AO; RFC 5925 6.1: */
	uint8_t current_id; /* SendID of current_key: signs what we send */
	uint8_t next_id;    /* RecvID of rnext_key: what we ask the peer to use
			     */
	uint8_t peer_id;    /* the last segment accepted was signed by this */
	uint8_t peer_next_id; /* and asked for that */
};

TOW_BEGIN
/*
 * tow_listener_key_add() - a key for connections to come
 * @key: MD5: of several that are for the same peer, the one with the longest
 *       prefix counts. AO: all that are for the peer
 *
 * Connections that are open, and those half open, keep the keys they have.
 *
 * Returns: 0
 *          TOW_EINVAL      no secret, or a longer one than there is room for;
 *                          a prefix too long
 *          TOW_EEXIST      AO: send_id or recv_id is used for such peers
 *                          already; MD5: that prefix has a key. Or such peers
 *                          have keys of the other kind
 *          TOW_EOPNOTSUPP  tow_config.crypto cannot do it
 *          TOW_ENOBUFS     tow_config.auth_keys are in use
 *          TOW_EIO         tow_config.crypto failed
 */
TOW_API int tow_listener_key_add(struct tow_listener *listener,
				 const struct tow_auth_key *key) TOW_MUST_USE;

/*
 * tow_listener_key_remove() - for no more connections
 * @key: the same algorithm, peer, prefix and numbers; not the secret
 *
 * Returns: 0, TOW_ENOENT.
 */
TOW_API int tow_listener_key_remove(struct tow_listener *listener,
				    const struct tow_auth_key *key);

/*
 * tow_tcp_key_add() - a key for one connection
 *
 * The first one before the SYN goes out: after tow_tcp_connect() and before the
 * next tow_poll(). It is what SYN and everything is signed with from then on;
 * more of AO may be added at any time.
 *
 * Returns: as tow_listener_key_add(); also TOW_EINVAL when the peer is another
 *          one, TOW_EISCONN when it is too late to begin with signatures, and
 *          TOW_EEXIST for any second key of MD5.
 */
TOW_API int tow_tcp_key_add(struct tow_tcp *tcp,
			    const struct tow_auth_key *key) TOW_MUST_USE;

/*
 * tow_tcp_key_remove() - forget an AO key of a connection
 *
 * Returns: 0, TOW_ENOENT; TOW_EBUSY when it is current or the next one.
 */
TOW_API int tow_tcp_key_remove(struct tow_tcp *tcp, uint8_t send_id,
			       uint8_t recv_id);

/*
 * tow_tcp_key_next() - change keys: ask the peer to sign with another one
 * tow_tcp_key_current() - sign with another one at once, whatever the peer says
 * @recv_id, @send_id: of a key that the connection has
 *
 * A change without a loss: both ends get the new key; then one of them calls
 * tow_tcp_key_next(). The peer signs with it from the next segment on, and asks
 * for its own; whoever is asked for a key that he has, uses it (RFC 5925 6.1).
 *
 * Returns: 0, TOW_ENOENT.
 */
TOW_API int tow_tcp_key_next(struct tow_tcp *tcp, uint8_t recv_id);
TOW_API int tow_tcp_key_current(struct tow_tcp *tcp, uint8_t send_id);

TOW_API void tow_tcp_auth_info(const struct tow_tcp *tcp,
			       struct tow_auth_info *out);
TOW_END

#endif
