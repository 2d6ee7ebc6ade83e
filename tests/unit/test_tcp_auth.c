/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signed connections: TCP MD5 (RFC 2385) and TCP-AO (RFC 5925). The peer signs
 * what it sends, and looks at the signature of each segment of the stack: see
 * struct signature.
 */
#include "tcp_peer.h"
#include <stdlib.h>
#include <string.h>
#include <tow/auth.h>
#include <tow/host.h>

static const char secret[] = "one of ours";

static struct tow_crypto *crypto(void)
{
	static struct tow_crypto c;

	if (!c.context)
		CHECK_EQ(tow_host_crypto_open(&c), 0);
	return &c;
}

/* The same rig, with cryptography. */
static void reopen(struct rig *r)
{
	struct rig_options o = r->options;

	o.cfg.crypto = crypto();
	rig_reopen(r, &o);
}

static enum tow_auth_algorithm algorithm_of(const struct signature *by)
{
	return by->kind == SIGN_MD5	   ? TOW_AUTH_MD5
	       : by->kind == SIGN_AES_CMAC ? TOW_AUTH_AES_CMAC
					   : TOW_AUTH_HMAC_SHA1;
}

/* The stack's key for what the peer signs with. */
static struct tow_auth_key key_for(const struct rig *r,
				   const struct signature *by)
{
	return (struct tow_auth_key){
		.algorithm = algorithm_of(by),
		.peer = r->peer,
		.prefix_bits = r->options.family == IPV4 ? 32 : 128,
		.secret = (const uint8_t *)by->secret,
		.secret_bytes = strlen(by->secret),
		.send_id = by->next_id,
		.recv_id = by->key_id,
		.omit_options = by->omit_options,
	};
}

static const struct signature md5 = { .kind = SIGN_MD5, .secret = secret };
static const struct signature sha1 = {
	.kind = SIGN_HMAC_SHA1, .secret = secret, .key_id = 7, .next_id = 9
};
static const struct signature cmac = {
	.kind = SIGN_AES_CMAC, .secret = secret, .key_id = 7, .next_id = 9
};

static void offer_fits(struct rig *r, const struct signature *by)
{
	if (by->kind == SIGN_MD5)
		r->options.offer.ts = false;
}

static void listen_signed(struct rig *r, const struct signature *by)
{
	struct tow_auth_key key;

	reopen(r);
	offer_fits(r, by);
	r->signature = *by;
	key = key_for(r, by);
	listen_here(r, 4);
	CHECK_EQ(tow_listener_key_add(r->listener, &key), 0);
}

static void accept_signed(struct rig *r, const struct signature *by)
{
	listen_signed(r, by);
	handshake_passive(r);
}

static void connect_signed(struct rig *r, const struct signature *by)
{
	struct tow_endpoint local = { r->us, r->our_port, 0 };
	struct tow_endpoint remote = { r->peer, r->peer_port, 0 };
	struct tow_auth_key key;

	reopen(r);
	offer_fits(r, by);
	r->signature = *by;
	key = key_for(r, by);
	CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &r->tcp), 0);
	CHECK_EQ(tow_tcp_key_add(r->tcp, &key), 0);
	poll_until_quiet(r);
}

/* Data in both directions, then both FINs. */
static void talk_and_close(struct rig *r)
{
	forget(r);
	CHECK_EQ(app_send(r, 300, 0), 300u);
	CHECK(sends(r, ACK, 1, 1, 300));
	inject(r, .flags = ACK, .seq = 1, .ack = 301, .bytes = 200);
	CHECK_EQ(app_recv(r, 1000), 200);
	advance_ms(r, 100);
	forget(r);
	CHECK_EQ(tow_tcp_shutdown(r->tcp), 0);
	poll_until_quiet(r);
	CHECK(sends(r, FIN | ACK, 301, 201, 0));
	inject(r, .flags = FIN | ACK, .seq = 201, .ack = 302);
	CHECK(sends(r, ACK, 302, 202, 0));
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
}

/* RFC 2385 2.0: each segment has the option, from the SYN to the last ACK */
TCP_TEST(md5_connection_is_signed_from_syn_to_time_wait)
{
	accept_signed(r, &md5);
	talk_and_close(r);
	CHECK_GT(counter(r, TOW_COUNTER_TCP_SIGNED_IN), 3u);
	CHECK_GT(counter(r, TOW_COUNTER_TCP_SIGNED_OUT), 3u);
}

TCP_TEST(md5_connection_of_ours_is_signed_from_syn_to_time_wait)
{
	connect_signed(r, &md5);
	CHECK(!peek(r)->ts); /* there would be no room for SACK */
	CHECK(peek(r)->sack_ok);
	CHECK(sends(r, SYN, 0, 0, 0));
	advance_ms(r, 100);
	syn_ack_arrives(r);
	CHECK(sends(r, ACK, 1, 1, 0));
	talk_and_close(r);
}

/* RFC 5925 7.2, RFC 5926 3.2.1 */
TCP_TEST(ao_connection_is_signed_from_syn_to_time_wait)
{
	accept_signed(r, &sha1);
	CHECK(info_of(r).timestamps);
	CHECK(info_of(r).sack);
	talk_and_close(r);
}

/* RFC 5926 3.2.2; and 3.1.1.2, as the secret has not the length of AES's */
TCP_TEST(ao_connection_of_ours_is_signed_by_cmac)
{
	connect_signed(r, &cmac);
	CHECK(sends(r, SYN, 0, 0, 0));
	advance_ms(r, 100);
	syn_ack_arrives(r);
	CHECK(sends(r, ACK, 1, 1, 0));
	talk_and_close(r);
}

/* RFC 5926 3.1.1.2: a secret of 128 bits is used as it is */
TCP_TEST(ao_secret_of_sixteen_bytes_is_the_key_of_cmac)
{
	struct signature by = cmac;

	by.secret = "sixteen bytes...";
	CHECK_EQ(strlen(by.secret), 16u);
	accept_signed(r, &by);
	talk_and_close(r);
}

/* RFC 5925 3.1, 5.1: options that something changes may be left out */
TCP_TEST(ao_may_omit_other_options)
{
	struct signature by = sha1;

	by.omit_options = true;
	accept_signed(r, &by);
	talk_and_close(r);
}

/* RFC 5925 7.4, RFC 2385 2.0: dropped, and no answer */
static void refuses_others(struct rig *r, const struct signature *by)
{
	struct signature wrong = *by, breaks = *by;

	wrong.secret = "another";
	breaks.breaks = true;
	listen_signed(r, by);
	inject(r, .flags = SYN, .mss = FULL, .no_signature = true);
	inject(r, .flags = SYN, .mss = FULL, .signature = &wrong);
	inject(r, .flags = SYN, .mss = FULL, .signature = &breaks);
	CHECK(sends_nothing(r));
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_MISSING), 1u);
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_BAD), 2u);
}

TCP_TEST(listener_with_an_md5_key_hears_nobody_else)
{
	refuses_others(r, &md5);
}

TCP_TEST(listener_with_an_ao_key_hears_nobody_else)
{
	struct signature unknown = sha1;

	unknown.key_id = 8;
	refuses_others(r, &sha1);
	inject(r, .flags = SYN, .mss = FULL, .signature = &unknown);
	inject(r, .flags = SYN, .mss = FULL, .signature = &md5);
	CHECK(sends_nothing(r));
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_KEY), 1u);
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_MISSING), 2u);
}

/* RFC 5925 7.3: connections that match no key go on without */
TCP_TEST(peers_without_a_key_connect_unsigned)
{
	struct tow_auth_key key;
	struct signature none = { .kind = SIGN_NONE };

	listen_signed(r, &sha1);
	key = key_for(r, &sha1);
	CHECK_EQ(tow_listener_key_remove(r->listener, &key), 0);
	CHECK_EQ(tow_listener_key_remove(r->listener, &key), TOW_ENOENT);
	key.peer.b[15] ^= 0x70;
	CHECK_EQ(tow_listener_key_add(r->listener, &key), 0);
	r->signature = none;
	handshake_passive(r);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK(sends(r, ACK, 1, 1, 10));
}

/* RFC 5925 7.3: the option of a peer for whom there is no key is ignored */
TCP_TEST(option_without_a_key_is_ignored)
{
	reopen(r);
	listen_here(r, 4);
	r->signature.kind = SIGN_NONE;
	inject(r, .flags = SYN, .mss = FULL, .signature = &sha1);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .signature = &md5);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
}

/* A key for everybody leaves nobody without. */
TCP_TEST(key_for_everybody_closes_the_port_to_the_unsigned)
{
	struct tow_auth_key key;

	reopen(r);
	r->signature = sha1;
	key = key_for(r, &sha1);
	key.peer = tow_addr_any();
	key.prefix_bits = 0;
	listen_here(r, 4);
	CHECK_EQ(tow_listener_key_add(r->listener, &key), 0);
	inject(r, .flags = SYN, .mss = FULL, .no_signature = true);
	CHECK(sends_nothing(r));
	handshake_passive(r);
	talk_and_close(r);
}

/* attacks: a RST, a FIN or data from who knows the numbers but not the key */
static void ignores_forgeries(struct rig *r, const struct signature *by)
{
	struct signature wrong = *by;

	wrong.secret = "another";
	accept_signed(r, by);
	inject(r, .flags = RST, .seq = 1, .no_signature = true);
	inject(r, .flags = RST | ACK, .seq = 1, .ack = 1, .signature = &wrong);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 50,
	       .signature = &wrong);
	inject(r, .flags = FIN | ACK, .seq = 1, .ack = 1, .no_signature = true);
	inject(r, .flags = SYN, .seq = 5, .no_signature = true,
	       .options = (const uint8_t[]){ 1, 1, 1, 1 }, .option_bytes = 4);
	inject(r, .flags = ACK, .seq = 1, .ack = 9, .signature = &wrong);
	CHECK(sends_nothing(r)); /* not even a challenge */
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_MISSING), 3u);
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_BAD), 3u);
	CHECK_EQ(info_of(r).received_bytes, 0u);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 50);
	CHECK_EQ(app_recv(r, 100), 50);
	inject(r, .flags = RST, .seq = 51);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

TCP_TEST(forged_segments_do_not_touch_an_md5_connection)
{
	ignores_forgeries(r, &md5);
}

TCP_TEST(forged_segments_do_not_touch_an_ao_connection)
{
	ignores_forgeries(r, &sha1);
}

/*
 * RFC 5925 11: what is outside of the window is answered, if it is the peer's
 */
TCP_TEST(ao_segment_from_before_is_answered_if_it_is_rightly_signed)
{
	struct signature forged = sha1;

	forged.breaks = true;
	accept_signed(r, &sha1);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	forget(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10,
	       .signature = &forged);
	inject(r, .flags = ACK, .seq = 0, .ack = 1, .signature = &forged);
	CHECK(sends_nothing(r));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10); /* again */
	CHECK(sends(r, ACK, 1, 11, 0));
	inject(r, .flags = ACK, .seq = 10, .ack = 1); /* a keepalive */
	CHECK(sends(r, ACK, 1, 11, 0));
}

/* RFC 5925 2.2: more than one option, or both kinds, is no signature */
TCP_TEST(several_signatures_are_none)
{
	static const uint8_t again[18] = { 29, 16, 7, 9 };
	static const uint8_t both[18] = { 19, 18 };
	static const uint8_t empty[4] = { 29, 2, 1, 1 };

	accept_signed(r, &sha1);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 5,
	       .options = again, .option_bytes = 16);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 5, .options = both,
	       .option_bytes = 18);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 5,
	       .no_signature = true, .options = empty, .option_bytes = 4);
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_BAD), 3u);
	CHECK(sends_nothing(r));
}

/* RFC 5925 2.2: discarded whether or not there is a key to look at them with */
TCP_TEST(malformed_signatures_are_dropped_without_a_key_too)
{
	static const uint8_t twice[8] = { 29, 4, 7, 9, 29, 4, 7, 9 };
	static const uint8_t both[24] = { 29, 4, 7, 9, 1, 1, 19, 18 };
	static const uint8_t empty[4] = { 29, 2, 1, 1 };
	static const uint8_t three[4] = { 29, 3, 7, 1 };
	static const uint8_t none[4] = { 29, 1, 1, 1 };
	static const uint8_t beyond[4] = { 29, 16, 7, 9 };
	static const uint8_t other[4] = { 29, 4, 7, 9 }; /* a MAC of nothing */
	static const struct {
		const uint8_t *options;
		unsigned bytes;
	} bad[] = {
		{ twice, sizeof(twice) }, { both, sizeof(both) },
		{ empty, sizeof(empty) }, { three, sizeof(three) },
		{ none, sizeof(none) },	  { beyond, sizeof(beyond) },
	};

	r->options.offer.ts = false; /* each segment would need them */
	listen_here(r, 4);
	handshake_passive(r);
	forget(r);
	for (unsigned i = 0; i < 6; i++) {
		inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 5,
		       .options = bad[i].options, .option_bytes = bad[i].bytes);
		CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_BAD), i + 1);
	}
	CHECK(sends_nothing(r));
	CHECK_EQ(info_of(r).received_bytes, 0u);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 5,
	       .options = other, .option_bytes = sizeof(other));
	CHECK_EQ(app_recv(r, 10), 5);
}

/* RFC 5925 3.1: no ID means anything */
TCP_TEST(ao_ids_may_be_any)
{
	static const uint8_t ids[] = { 0, 1, 127, 128, 254, 255 };
	struct signature by = sha1;

	for (unsigned i = 0; i < sizeof(ids); i++) {
		by.key_id = ids[i];
		by.next_id = ids[sizeof(ids) - 1 - i];
		accept_signed(r, &by);
		talk_and_close(r);
		CHECK_EQ(r->our_key_id, by.next_id);
		CHECK_EQ(r->our_next_id, by.key_id);
	}
}

/* RFC 5925 6.2: the same bytes 4 GiB later are not the same */
TCP_TEST(segment_of_another_round_of_the_numbers_is_refused)
{
	struct signature later = sha1;

	accept_signed(r, &sha1);
	later.sne = 1;
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 5,
	       .signature = &later);
	later.sne = (uint32_t)-1;
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 5,
	       .signature = &later);
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_BAD), 2u);
}

/* RFC 5925 6.2: both ends count on where the numbers begin again at zero */
TCP_TEST(numbers_wrap_in_a_signed_stream)
{
	uint32_t got = 1, sent;

	accept_signed(r, &sha1);
	for (unsigned i = 0; i < 6; i++, got += 500) {
		inject(r, .flags = ACK, .seq = got, .ack = 1, .bytes = 500);
		CHECK_EQ(app_recv(r, 1000), 500);
	}
	/* the last once more: a duplicate from before the wrap is known, too */
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 500);
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_BAD), 0u);
	for (sent = 1; sent < 3001; sent += 500) {
		forget(r);
		CHECK_EQ(app_send(r, 500, 0), 500u);
		CHECK(sends(r, ACK, sent, got, 500));
		inject(r, .flags = ACK, .seq = got, .ack = sent + 500);
	}
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_BAD), 0u);
}

/* RFC 5925 7.6: what is left for SACK, and payload that fits all the same */
TCP_TEST(ao_leaves_room_for_one_sack_block)
{
	accept_signed(r, &sha1);
	inject(r, .flags = ACK, .seq = 101, .ack = 1, .bytes = 100);
	forget(r);
	inject(r, .flags = ACK, .seq = 301, .ack = 1, .bytes = 100);
	CHECK_EQ(peek(r)->sacks, 1u);
	CHECK_EQ(peek(r)->sack[0].left, 301u);
	CHECK(sends(r, ACK, 1, 1, 0));
	CHECK_EQ(info_of(r).mss, FULL - 16);
	/* data beside the block */
	CHECK_EQ(app_send(r, FULL, 0), FULL);
	CHECK(sends(r, ACK, 1, 1, FULL - 16 - 12));
}

TCP_TEST(md5_leaves_room_for_two_sack_blocks)
{
	accept_signed(r, &md5);
	inject(r, .flags = ACK, .seq = 101, .ack = 1, .bytes = 100);
	inject(r, .flags = ACK, .seq = 301, .ack = 1, .bytes = 100);
	forget(r);
	inject(r, .flags = ACK, .seq = 501, .ack = 1, .bytes = 100);
	CHECK_EQ(peek(r)->sacks, 2u);
	CHECK_EQ(info_of(r).mss, FULL + 12 - 20);
}

/* Timestamps beside MD5: only for a peer that does without SACK. */
TCP_TEST(md5_takes_timestamps_from_a_peer_without_sack)
{
	listen_signed(r, &md5);
	inject(r, .flags = SYN, .mss = FULL, .ts = true, .sack_ok = true);
	CHECK(!peek(r)->ts);
	CHECK(peek(r)->sack_ok);
	inject(r, .flags = RST, .seq = 1);
	forget(r);
	inject(r, .flags = SYN, .mss = FULL, .ts = true);
	CHECK(peek(r)->ts);
	CHECK(!peek(r)->sack_ok);
}

/* Each segment is signed by itself, so no device cuts it. */
TCP_TEST(signed_segments_are_not_left_to_the_device_to_cut)
{
	struct rig_options o = r->options;

	o.caps |= TOW_DEV_TSO4 | TOW_DEV_TSO6 | TOW_DEV_TX_CSUM;
	o.gso_bytes_max = 65535;
	rig_reopen(r, &o);
	accept_signed(r, &sha1);
	forget(r);
	CHECK_EQ(app_send(r, 5000, 0), 5000u);
	for (unsigned i = 0; i < 5; i++) {
		CHECK_EQ(peek(r)->gso, TOW_GSO_NONE);
		CHECK(sends(r, ACK, 1 + i * (FULL - 16), 1, FULL - 16));
	}
}

/* What is lost goes again, with a signature of its own. */
TCP_TEST(signed_segment_is_signed_anew_when_it_goes_again)
{
	accept_signed(r, &sha1);
	CHECK_EQ(app_send(r, 100, 0), 100u);
	CHECK(sends(r, ACK, 1, 1, 100));
	advance_ms(r, 1000);
	CHECK(sends(r, ACK, 1, 1, 100));
	inject(r, .flags = ACK, .seq = 1, .ack = 101);
	CHECK_EQ(info_of(r).acked_bytes, 100u);
}

/* A device that merges signed packets leaves one signature of several. */
TCP_TEST(merged_segments_of_a_signed_connection_are_dropped)
{
	accept_signed(r, &sha1);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 200,
	       .merged = 100);
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_MERGED), 1u);
	CHECK(sends_nothing(r));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 100,
	       .merged = 100); /* one of one */
	CHECK_EQ(app_recv(r, 1000), 100);
}

/* What a device has placed does not count before its signature is right. */
TCP_TEST(placed_bytes_of_a_forgery_do_not_count)
{
	static uint8_t memory[1000];
	struct tow_span span = { memory, sizeof(memory) };
	struct rig_options o = r->options;
	struct signature wrong = sha1;
	uint8_t lie[500];

	wrong.secret = "another";
	memset(lie, 0xee, sizeof(lie));
	o.caps |= TOW_DEV_PLACE | TOW_DEV_SPLIT;
	rig_reopen(r, &o);
	accept_signed(r, &sha1);
	CHECK_EQ(tow_tcp_post(r->tcp, &span, 5), 0);
	poll_until_quiet(r);
	CHECK_EQ(info_of(r).placement, TOW_PLACEMENT_ARMED);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = sizeof(lie),
	       .data = lie, .signature = &wrong);
	CHECK_EQ(memory[0], 0xee); /* it was placed, */
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_BAD), 1u);
	CHECK_EQ(info_of(r).received_bytes, 0u); /* and nothing more */
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 500);
	CHECK_EQ(info_of(r).received_bytes, 500u);
	inject(r, .flags = ACK, .seq = 501, .ack = 1, .bytes = 500);
	CHECK_EQ(events_of(r, TOW_EVENT_POST), 1u);
	for (uint32_t i = 0; i < sizeof(memory); i++)
		CHECK_EQ(memory[i], pattern(i + 1));
	/* its headers were foreseen with the option in them */
	CHECK_GT(tow_stats(r->stack)->ledger.rx_placed_bytes, 0u);
}

/* ------------------------------------------------------------- changing keys
 */

static const struct signature sha1_2 = { .kind = SIGN_HMAC_SHA1,
					 .secret = "the next one",
					 .key_id = 17,
					 .next_id = 19 };

static struct tow_auth_info auth_of(const struct rig *r)
{
	struct tow_auth_info info;

	tow_tcp_auth_info(r->tcp, &info);
	return info;
}

/* It signs with sha1, and could with sha1_2. */
static void accept_with_two_keys(struct rig *r)
{
	struct tow_auth_key key;

	accept_signed(r, &sha1);
	key = key_for(r, &sha1_2);
	CHECK_EQ(tow_tcp_key_add(r->tcp, &key), 0);
}

/* RFC 5925 6.1: who is asked for a key that he has, signs with it */
TCP_TEST(ao_peer_that_asks_for_another_key_gets_it)
{
	struct signature asks = sha1;

	accept_with_two_keys(r);
	CHECK_EQ(auth_of(r).keys, 2u);
	CHECK_EQ(auth_of(r).current_id, 9u);
	CHECK_EQ(auth_of(r).next_id, 7u);
	/* it signs as before, and asks for 19 */
	asks.next_id = 19;
	r->signature.secret = sha1_2.secret; /* so are ours to be from here */
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10,
	       .signature = &asks);
	CHECK_EQ(auth_of(r).current_id, 19u);
	CHECK_EQ(auth_of(r).peer_id, 7u);
	CHECK_EQ(auth_of(r).peer_next_id, 19u);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_NODELAY, 1), 0);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(r->our_key_id, 19u);
	CHECK_EQ(r->our_next_id, 7u);
	/* now we ask for 17 */
	CHECK_EQ(tow_tcp_key_next(r->tcp, 17), 0);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(r->our_next_id, 17u);
	inject(r, .flags = ACK, .seq = 11, .ack = 21, .bytes = 10,
	       .signature = &sha1_2);
	CHECK_EQ(app_recv(r, 100), 20);
	/* the old one is not needed any more */
	CHECK_EQ(tow_tcp_key_remove(r->tcp, 19, 17), TOW_EBUSY);
	CHECK_EQ(tow_tcp_key_remove(r->tcp, 9, 7), 0);
	CHECK_EQ(tow_tcp_key_remove(r->tcp, 9, 7), TOW_ENOENT);
	r->signature = sha1_2;
	inject(r, .flags = ACK, .seq = 21, .ack = 21, .bytes = 10,
	       .signature = &sha1);
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_KEY), 1u);
}

/* An old segment is rightly signed, whoever sends it again. */
TCP_TEST(ao_segment_from_before_does_not_bring_an_old_key_back)
{
	struct signature asks = sha1;

	accept_with_two_keys(r);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	asks.next_id = 19;
	r->signature.secret = sha1_2.secret; /* so are ours to be from here */
	inject(r, .flags = ACK, .seq = 11, .ack = 1, .bytes = 10,
	       .signature = &asks);
	CHECK_EQ(auth_of(r).current_id, 19u);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10,
	       .signature = &sha1);
	CHECK_EQ(auth_of(r).current_id, 19u);
	CHECK_EQ(auth_of(r).peer_next_id, 19u);
}

/* RFC 5925 7.5, 2 e ii 1: a key that we do not have changes nothing */
TCP_TEST(ao_peer_that_asks_for_an_unknown_key_is_heard)
{
	struct signature asks = sha1;

	accept_signed(r, &sha1);
	asks.next_id = 77;
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10,
	       .signature = &asks);
	CHECK_EQ(app_recv(r, 100), 10);
	CHECK_EQ(auth_of(r).current_id, 9u);
	CHECK_EQ(auth_of(r).peer_next_id, 77u);
}

/* RFC 5925 7.1: the program may say which one to use */
TCP_TEST(ao_program_chooses_the_key_that_signs)
{
	struct tow_auth_key key;

	connect_signed(r, &sha1);
	forget(r);
	syn_ack_arrives(r);
	key = key_for(r, &sha1_2);
	CHECK_EQ(tow_tcp_key_add(r->tcp, &key), 0);
	CHECK_EQ(tow_tcp_key_current(r->tcp, 18), TOW_ENOENT);
	CHECK_EQ(tow_tcp_key_next(r->tcp, 18), TOW_ENOENT);
	CHECK_EQ(tow_tcp_key_current(r->tcp, 19), 0);
	r->signature = sha1_2;
	CHECK_EQ(app_send(r, 10, 0), 10u);
	CHECK_EQ(r->our_key_id, 19u);
}

/* RFC 5925 7.5, 1: a SYN says which key of several to begin with */
TCP_TEST(ao_listener_begins_with_the_keys_of_the_syn)
{
	struct tow_auth_key key;
	struct signature mixed = sha1_2;

	listen_signed(r, &sha1);
	key = key_for(r, &sha1_2);
	CHECK_EQ(tow_listener_key_add(r->listener, &key), 0);
	r->signature = mixed;
	handshake_passive(r);
	CHECK_EQ(auth_of(r).keys, 2u);
	CHECK_EQ(auth_of(r).current_id, 19u);
	CHECK_EQ(auth_of(r).next_id, 17u);
	talk_and_close(r);
}

/* ---------------------------------------------------------------- the rest */

/* SYN cookies: the SYN-ACK of which nothing is kept is signed, too */
static void by_cookie(struct rig *r, const struct signature *by)
{
	struct signature wrong = *by;

	wrong.secret = "another";
	listen_signed(r, by);
	CHECK_EQ(tow_listener_set(r->listener, TOW_TCP_SYN_COOKIES,
				  TOW_TCP_COOKIES_ALWAYS),
		 0);
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .signature = &wrong);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_COOKIES_RETURNED), 0u);
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_COOKIES_RETURNED), 1u);
	CHECK_EQ(tow_tcp_accept(r->listener, &r->tcp), 0);
	talk_and_close(r);
}

TCP_TEST(cookie_is_signed_by_md5)
{
	by_cookie(r, &md5);
}

TCP_TEST(cookie_is_signed_by_ao)
{
	by_cookie(r, &cmac);
}

/* RFC 2385 4.1 says that it cannot be; where there is a key, it can */
TCP_TEST(reset_for_an_unknown_connection_is_signed_by_the_listeners_key)
{
	listen_signed(r, &md5);
	r->our_iss = 5000;
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK(sends_reset(r, 1));
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .no_signature = true);
	CHECK(sends_nothing(r));
}

/* Where nobody listens no key is known, and the RST is not signed. */
TCP_TEST(reset_without_a_listener_is_not_signed)
{
	reopen(r);
	r->signature = md5;
	r->signature.stranger = true;
	inject(r, .flags = SYN, .mss = FULL);
	CHECK(sends_reset_ack(r, 1));
	CHECK_EQ(next(r)->option_bytes, 0u);
}

/* RFC 1122 4.2.2.13 etc.: what we reset ourselves is signed */
TCP_TEST(abort_sends_a_signed_reset)
{
	accept_signed(r, &sha1);
	tow_tcp_abort(r->tcp);
	r->tcp = NULL;
	poll_until_quiet(r);
	CHECK(sends(r, RST | ACK, 1, 1, 0));
}

/* RFC 6191: only who signs may take over a connection in TIME-WAIT */
TCP_TEST(unsigned_syn_does_not_take_over_a_signed_time_wait)
{
	struct signature wrong = sha1;

	wrong.secret = "another";
	accept_signed(r, &sha1);
	talk_and_close(r);
	r->peer_iss += 100000;
	inject(r, .flags = SYN, .mss = FULL, .no_signature = true);
	inject(r, .flags = SYN, .mss = FULL, .ts = true, .signature = &wrong);
	CHECK(sends_nothing(r));
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_TIME_WAIT_REUSED), 0u);
	advance_ms(r, 10);
	inject(r, .flags = SYN, .mss = FULL, .ts = true);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_TIME_WAIT_REUSED), 1u);
}

/* Also where the listener no longer asks for a signature of that peer */
TCP_TEST(unsigned_syn_does_not_take_over_a_signed_time_wait_without_a_key)
{
	struct tow_auth_key key = key_for(r, &sha1);

	accept_signed(r, &sha1);
	talk_and_close(r);
	key.peer = r->peer;
	CHECK_EQ(tow_listener_key_remove(r->listener, &key), 0);
	r->peer_iss += 100000;
	inject(r, .flags = SYN, .mss = FULL, .no_signature = true);
	CHECK(sends_nothing(r));
	CHECK_EQ(state_of(r), TOW_TCP_TIME_WAIT);
	CHECK_EQ(counter(r, TOW_COUNTER_TCP_TIME_WAIT_REUSED), 0u);
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_MISSING), 1u);
}

/* RFC 5925 7.8: hard ICMP errors are ignored by default */
TCP_TEST(ao_connection_ignores_hard_icmp_errors)
{
	accept_signed(r, &sha1);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	inject_icmp(r, ICMP_PORT_UNREACHABLE, 0, 1, 0);
	CHECK_EQ(info_of(r).soft_error, 0);
	CHECK_EQ(drops(r, TOW_DROP_ICMP_IGNORED), 1u);
	inject_icmp(r, ICMP_NET_UNREACHABLE, 0, 1, 0); /* soft */
	CHECK_EQ(info_of(r).soft_error, TOW_ENETUNREACH);
}

/* The same: of IPv4, "fragmentation needed" is one of them */
TCP_TEST(ao_connection_ignores_packet_too_big_of_ipv4)
{
	bool v4 = r->options.family == IPV4;
	uint32_t mtu;

	accept_signed(r, &sha1);
	mtu = info_of(r).mtu;
	CHECK_EQ(app_send(r, FULL - 16, 0), FULL - 16);
	inject_icmp(r, ICMP_TOO_BIG, 1280, 1, 0);
	CHECK_EQ(info_of(r).mtu, v4 ? mtu : 1280u);
}

/* RFC 5925 7.8: it may be configured */
TCP_TEST(ao_connection_heeds_icmp_where_the_key_says_so)
{
	struct tow_auth_key key;

	reopen(r);
	r->signature = sha1;
	key = key_for(r, &sha1);
	key.heed_icmp = true;
	listen_here(r, 4);
	CHECK_EQ(tow_listener_key_add(r->listener, &key), 0);
	handshake_passive(r);
	CHECK_EQ(app_send(r, FULL - 16, 0), FULL - 16);
	inject_icmp(r, ICMP_TOO_BIG, 1280, 1, 0);
	CHECK_EQ(info_of(r).mtu, 1280u);
}

/* RFC 9293 3.5, figure 7, each SYN signed without the other's number */
TCP_TEST(simultaneous_open_is_signed)
{
	connect_signed(r, &sha1);
	CHECK(sends(r, SYN, 0, 0, 0));
	syn_arrives(r);
	CHECK(sends(r, SYN | ACK, 0, 1, 0));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	CHECK_EQ(state_of(r), TOW_TCP_ESTABLISHED);
	talk_and_close(r);
}

/* A refusal by a peer that has the key, and by one who has not */
TCP_TEST(refusal_of_a_signed_syn_has_to_be_signed)
{
	connect_signed(r, &md5);
	CHECK(sends(r, SYN, 0, 0, 0));
	inject(r, .flags = RST | ACK, .ack = 1, .no_signature = true);
	CHECK_EQ(state_of(r), TOW_TCP_SYN_SENT);
	inject(r, .flags = RST | ACK, .ack = 1);
	CHECK_EQ(state_of(r), TOW_TCP_CLOSED);
}

/* There is no room for a cookie. */
TCP_TEST(signed_connection_does_no_fast_open)
{
	struct tow_endpoint local = { r->us, r->our_port, 0 };
	struct tow_endpoint remote = { r->peer, r->peer_port, 0 };
	struct tow_auth_key key;

	reopen(r);
	r->signature = sha1;
	key = key_for(r, &sha1);
	CHECK_EQ(tow_tcp_connect(r->stack, &local, &remote, &r->tcp), 0);
	CHECK_EQ(tow_tcp_set(r->tcp, TOW_TCP_FAST_OPEN, 1), 0);
	CHECK_EQ(tow_tcp_key_add(r->tcp, &key), 0);
	poll_until_quiet(r); /* another option would be malformed */
	CHECK(sends(r, SYN, 0, 0, 0));
}

/* ------------------------------------------------------------------ keys */

/* RFC 5925 3.1: numbers are unique where the peers may be the same */
TEST(keys_that_clash_are_refused)
{
	struct rig *r = malloc(sizeof(*r));
	struct rig_options o = rig_default(IPV4);
	struct tow_auth_key key, net, ao2;

	o.cfg.crypto = crypto();
	rig_open(r, &o);
	listen_here(r, 4);
	key = key_for(r, &sha1);
	CHECK_EQ(tow_listener_key_add(r->listener, &key), 0);
	CHECK_EQ(tow_listener_key_add(r->listener, &key), TOW_EEXIST);
	ao2 = key_for(r, &sha1_2);
	CHECK_EQ(tow_listener_key_add(r->listener, &ao2), 0);
	net = key_for(r, &md5);
	net.prefix_bits = 24;
	CHECK_EQ(tow_listener_key_add(r->listener, &net), TOW_EEXIST);
	net = ao2;
	net.prefix_bits = 24; /* overlaps */
	CHECK_EQ(tow_listener_key_add(r->listener, &net), TOW_EEXIST);
	net.peer = tow_addr_v4(198, 51, 100, 0);
	CHECK_EQ(tow_listener_key_add(r->listener, &net), 0);
	net.prefix_bits = 33;
	CHECK_EQ(tow_listener_key_add(r->listener, &net), TOW_EINVAL);
	net.prefix_bits = 16;
	net.secret_bytes = 0;
	CHECK_EQ(tow_listener_key_add(r->listener, &net), TOW_EINVAL);
	net.secret_bytes = TOW_AUTH_SECRET_MAX + 1;
	CHECK_EQ(tow_listener_key_add(r->listener, &net), TOW_EINVAL);
	rig_close(r);
	free(r);
}

/* Of MD5 the most particular key counts, as in Linux. */
TCP_TEST(md5_key_with_the_longest_prefix_counts)
{
	struct tow_auth_key key;

	reopen(r);
	offer_fits(r, &md5);
	r->signature = md5;
	listen_here(r, 4);
	key = key_for(r, &md5);
	key.prefix_bits -= 8;
	key.secret = (const uint8_t *)"of the network";
	key.secret_bytes = 14;
	CHECK_EQ(tow_listener_key_add(r->listener, &key), 0);
	key = key_for(r, &md5);
	CHECK_EQ(tow_listener_key_add(r->listener, &key), 0);
	handshake_passive(r);
	CHECK_EQ(auth_of(r).keys, 1u);
	CHECK(auth_of(r).is_signed);
	talk_and_close(r);
}

TEST(keys_want_cryptography_and_records)
{
	struct rig *r = malloc(sizeof(*r));
	struct rig_options o = rig_default(IPV4);
	struct tow_auth_key key;

	rig_open(r, &o);
	listen_here(r, 4);
	key = key_for(r, &sha1);
	CHECK_EQ(tow_listener_key_add(r->listener, &key), TOW_EOPNOTSUPP);
	o.cfg.crypto = crypto();
	o.cfg.auth_keys = 1;
	rig_reopen(r, &o);
	listen_here(r, 4);
	CHECK_EQ(tow_listener_key_add(r->listener, &key), 0);
	r->signature = sha1;
	syn_arrives(r); /* there is none left for the connection */
	CHECK(sends_nothing(r));
	CHECK_EQ(counter(r, TOW_COUNTER_NO_AUTH_KEYS), 1u);
	CHECK_EQ(drops(r, TOW_DROP_TCP_MEMORY), 1u);
	rig_close(r);
	free(r);
}

/* A connection that began without signatures stays so, and the reverse. */
TCP_TEST(keys_come_before_the_syn_or_never)
{
	struct tow_auth_key key;

	reopen(r);
	key = key_for(r, &sha1);
	connect_out(r);
	CHECK_EQ(tow_tcp_key_add(r->tcp, &key), TOW_EISCONN);
	key.peer.b[15] ^= 1;
	CHECK_EQ(tow_tcp_key_add(r->tcp, &key), TOW_EINVAL);
	CHECK_EQ(tow_tcp_key_next(r->tcp, 7), TOW_ENOENT);
	CHECK_EQ(tow_tcp_key_remove(r->tcp, 9, 7), TOW_ENOENT);
	CHECK(!auth_of(r).is_signed);
}

/* RFC 2385 4.5: there is one key of MD5, as nothing says which one signed */
TCP_TEST(md5_connection_has_one_key)
{
	struct tow_auth_key key;

	connect_signed(r, &md5);
	key = key_for(r, &md5);
	CHECK_EQ(tow_tcp_key_add(r->tcp, &key), TOW_EEXIST);
	key.prefix_bits -= 8;
	CHECK_EQ(tow_tcp_key_add(r->tcp, &key), TOW_EEXIST);
	CHECK_EQ(auth_of(r).keys, 1u);
}

/* By hand: what lies in a pool unused may not be read under a sanitizer. */
__attribute__((no_sanitize("address"))) static bool
memory_has(const struct rig *r, const char *text)
{
	size_t bytes = tow_need(&r->options.cfg), n = strlen(text), k;
	const char *memory = r->memory;

	for (size_t i = 0; i + n <= bytes; i++) {
		for (k = 0; k < n && memory[i + k] == text[k]; k++)
			;
		if (k == n)
			return true;
	}
	return false;
}

/* Secrets are nowhere in the stack's memory once nobody uses them. */
TCP_TEST(keys_are_wiped)
{
	struct tow_auth_key key;

	accept_signed(r, &sha1);
	key = key_for(r, &sha1);
	CHECK(memory_has(r, secret));
	CHECK_EQ(tow_listener_key_remove(r->listener, &key), 0);
	CHECK(memory_has(r, secret)); /* the connection's */
	inject(r, .flags = RST, .seq = 1);
	CHECK(!memory_has(r, secret));
	CHECK_EQ(tow_listener_key_add(r->listener, &key), 0);
	CHECK(memory_has(r, secret));
	tow_listener_close(r->listener);
	r->listener = NULL;
	CHECK(!memory_has(r, secret));
}

/* A signature that cannot be made is a segment lost, not one unsigned. */
static bool fails(void *context, const uint8_t *key, size_t key_bytes,
		  const struct tow_span *spans, int count, uint8_t *out)
{
	(void)context, (void)key, (void)key_bytes;
	(void)spans, (void)count, (void)out;
	return false;
}

TCP_TEST(cryptography_that_fails_drops_the_segment)
{
	struct tow_crypto *c = crypto();
	struct tow_crypto good = *c;

	accept_signed(r, &sha1);
	c->hmac_sha1 = fails;
	forget(r);
	CHECK_EQ(app_send(r, 10, 0), 10u);
	inject(r, .flags = ACK, .seq = 1, .ack = 1, .bytes = 10);
	CHECK(sends_nothing(r));
	CHECK_EQ(drops(r, TOW_DROP_TCP_AUTH_CRYPTO), 2u);
	*c = good;
	advance_ms(r, 1000);
	CHECK(sends(r, ACK, 1, 1, 10));
}
