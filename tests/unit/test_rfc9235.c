/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test vectors of RFC 9235 for TCP-AO: whole packets with their MACs, for
 * both algorithms, both families, with options covered and not. The master key
 * is "testvector", and both ends' sequence number extensions are 0.
 */
#include <string.h>
#include <tow/host.h>
#include "tcp/tcp_auth.h"
#include "test.h"
#include "wire/wire.h"

#define CLIENT_KEY_ID 0x3d /* RFC 9235 3.1.1: its SendID; the server's is */
#define SERVER_KEY_ID 0x54

static struct tow_crypto crypto;

/* Hexadecimal digits, with blanks between bytes. */
static uint32_t bytes_of(const char *text, uint8_t *out)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t n = 0;

	for (; *text; text += *text == ' ' ? 1 : 2) {
		if (*text == ' ')
			continue;
		out[n++] = (uint8_t)((strchr(digits, text[0]) - digits) << 4 |
				     (strchr(digits, text[1]) - digits));
	}
	return n;
}

struct vectors {
	enum tow_auth_algorithm algorithm;
	bool omit_options;
	uint32_t client_isn, server_isn;
	const char *syn, *syn_ack, *data, *answer;
};

static struct auth_key key_of(const struct vectors *v)
{
	static const char secret[] = "testvector";
	struct auth_key key = {
		.algorithm = (uint8_t)v->algorithm,
		.omit_options = v->omit_options,
		.secret_bytes = sizeof(secret) - 1,
	};

	memcpy(key.secret, secret, sizeof(secret) - 1);
	CHECK(ao_adopt_secret(&crypto, &key));
	return key;
}

/* One packet: the MAC in it is the one that we make. */
static void check_packet(const struct vectors *v, const char *text,
			 bool from_client)
{
	uint8_t packet[256], mac[SIGNATURE_BYTES_MAX];
	uint32_t bytes = bytes_of(text, packet);
	bool v4 = packet[0] >> 4 == 4;
	const uint8_t *tcp = packet + (v4 ? 20 : 40);
	struct tow_addr src, dst;
	struct auth_key key = key_of(v);
	struct tow_buf buf = { .span_count = 1 };
	struct wire_tcp seg;
	struct signed_segment s = { .source = &src, .destination = &dst };

	src = v4 ? wire_get_addr4(packet + 12) : wire_get_addr6(packet + 8);
	dst = v4 ? wire_get_addr4(packet + 16) : wire_get_addr6(packet + 24);
	CHECK(wire_tcp_parse(&seg, tcp, bytes - (uint32_t)(tcp - packet)));
	CHECK_EQ(seg.signature, SIGNATURE_AO);
	CHECK_EQ(seg.key_id, from_client ? CLIENT_KEY_ID : SERVER_KEY_ID);
	CHECK_EQ(seg.rnext_key_id, from_client ? SERVER_KEY_ID : CLIENT_KEY_ID);
	s.header = tcp;
	s.header_bytes = seg.header_bytes;
	s.option_at = seg.signature_at;
	s.buf = &buf;
	s.bytes = bytes - (uint32_t)(tcp - packet) - seg.header_bytes;
	buf.spans[0] = (struct tow_span){ tcp + seg.header_bytes, s.bytes };
	buf.bytes = s.bytes;
	s.source_isn = from_client ? v->client_isn : v->server_isn;
	s.destination_isn = from_client ? v->server_isn : v->client_isn;
	if (from_client && seg.flags & TH_SYN)
		s.destination_isn = 0;
	CHECK(ao_mac(&crypto, &key, &s, from_client, mac));
	CHECK_MEM(mac, tcp + seg.signature_at + 4, TCP_AO_MAC_BYTES);
}

static void check_vectors(const struct vectors *v)
{
	CHECK_EQ(tow_host_crypto_open(&crypto), 0);
	check_packet(v, v->syn, true);
	check_packet(v, v->syn_ack, false);
	check_packet(v, v->data, true);
	check_packet(v, v->answer, false);
	tow_host_crypto_close(&crypto);
}

/* RFC 9235 4.1 */
TEST(ao_vectors_of_hmac_sha1_over_ipv4)
{
	static const struct vectors v = {
		.algorithm = TOW_AUTH_HMAC_SHA1,
		.client_isn = 0xfbfbab5a,
		.server_isn = 0x11c14261,
		.syn = "45 e0 00 4c dd 0f 40 00 ff 06 bf 6b 0a 0b 0c 0d "
		       "ac 1b 1c 1d e9 d7 00 b3 fb fb ab 5a 00 00 00 00 "
		       "e0 02 ff ff ca c4 00 00 02 04 05 b4 01 03 03 08 "
		       "04 02 08 0a 00 15 5a b7 00 00 00 00 1d 10 3d 54 "
		       "2e e4 37 c6 f8 ed e6 d7 c4 d6 02 e7",
		.syn_ack = "45 e0 00 4c 65 06 40 00 ff 06 37 75 ac 1b 1c 1d "
			   "0a 0b 0c 0d 00 b3 e9 d7 11 c1 42 61 fb fb ab 5b "
			   "e0 12 ff ff 37 76 00 00 02 04 05 b4 01 03 03 08 "
			   "04 02 08 0a 84 a5 0b eb 00 15 5a b7 1d 10 54 3d "
			   "ee ab 0f e2 4c 30 10 81 51 16 b3 be",
		.data = "45 e0 00 87 36 a1 40 00 ff 06 65 9f 0a 0b 0c 0d "
			"ac 1b 1c 1d e9 d7 00 b3 fb fb ab 5b 11 c1 42 62 "
			"c0 18 01 04 a1 62 00 00 01 01 08 0a 00 15 5a c1 "
			"84 a5 0b eb 1d 10 3d 54 70 64 cf 99 8c c6 c3 15 "
			"c2 c2 e2 bf ff ff ff ff ff ff ff ff ff ff ff ff "
			"ff ff ff ff 00 43 01 04 da bf 00 b4 0a 0b 0c 0d "
			"26 02 06 01 04 00 01 00 01 02 02 80 00 02 02 02 "
			"00 02 02 42 00 02 06 41 04 00 00 da bf 02 08 40 "
			"06 00 64 00 01 01 00",
		.answer = "45 e0 00 87 1f a9 40 00 ff 06 7c 97 ac 1b 1c 1d "
			  "0a 0b 0c 0d 00 b3 e9 d7 11 c1 42 62 fb fb ab 9e "
			  "c0 18 01 00 40 0c 00 00 01 01 08 0a 84 a5 0b f5 "
			  "00 15 5a c1 1d 10 54 3d a6 3f 0e cb bb 2e 63 5c "
			  "95 4d ea c7 ff ff ff ff ff ff ff ff ff ff ff ff "
			  "ff ff ff ff 00 43 01 04 da c0 00 b4 ac 1b 1c 1d "
			  "26 02 06 01 04 00 01 00 01 02 02 80 00 02 02 02 "
			  "00 02 02 42 00 02 06 41 04 00 00 da c0 02 08 40 "
			  "06 00 64 00 01 01 00",
	};

	check_vectors(&v);
}

/* RFC 9235 4.2 */
TEST(ao_vectors_of_hmac_sha1_without_options)
{
	static const struct vectors v = {
		.algorithm = TOW_AUTH_HMAC_SHA1,
		.omit_options = true,
		.client_isn = 0xcb0efbee,
		.server_isn = 0xacd5b5e1,
		.syn = "45 e0 00 4c 53 99 40 00 ff 06 48 e2 0a 0b 0c 0d "
		       "ac 1b 1c 1d ff 12 00 b3 cb 0e fb ee 00 00 00 00 "
		       "e0 02 ff ff 54 1f 00 00 02 04 05 b4 01 03 03 08 "
		       "04 02 08 0a 00 02 4c ce 00 00 00 00 1d 10 3d 54 "
		       "80 af 3c fe b8 53 68 93 7b 8f 9e c2",
		.syn_ack = "45 e0 00 4c 32 84 40 00 ff 06 69 f7 ac 1b 1c 1d "
			   "0a 0b 0c 0d 00 b3 ff 12 ac d5 b5 e1 cb 0e fb ef "
			   "e0 12 ff ff 38 8e 00 00 02 04 05 b4 01 03 03 08 "
			   "04 02 08 0a 57 67 72 f3 00 02 4c ce 1d 10 54 3d "
			   "09 30 6f 9a ce a6 3a 8c 68 cb 9a 70",
		.data = "45 e0 00 87 a8 f5 40 00 ff 06 f3 4a 0a 0b 0c 0d "
			"ac 1b 1c 1d ff 12 00 b3 cb 0e fb ef ac d5 b5 e2 "
			"c0 18 01 04 6c 45 00 00 01 01 08 0a 00 02 4c ce "
			"57 67 72 f3 1d 10 3d 54 71 06 08 cc 69 6c 03 a2 "
			"71 c9 3a a5 ff ff ff ff ff ff ff ff ff ff ff ff "
			"ff ff ff ff 00 43 01 04 da bf 00 b4 0a 0b 0c 0d "
			"26 02 06 01 04 00 01 00 01 02 02 80 00 02 02 02 "
			"00 02 02 42 00 02 06 41 04 00 00 da bf 02 08 40 "
			"06 00 64 00 01 01 00",
		.answer = "45 e0 00 87 54 37 40 00 ff 06 48 09 ac 1b 1c 1d "
			  "0a 0b 0c 0d 00 b3 ff 12 ac d5 b5 e2 cb 0e fc 32 "
			  "c0 18 01 00 46 b6 00 00 01 01 08 0a 57 67 72 f3 "
			  "00 02 4c ce 1d 10 54 3d 97 76 6e 48 ac 26 2d e9 "
			  "ae 61 b4 f9 ff ff ff ff ff ff ff ff ff ff ff ff "
			  "ff ff ff ff 00 43 01 04 da c0 00 b4 ac 1b 1c 1d "
			  "26 02 06 01 04 00 01 00 01 02 02 80 00 02 02 02 "
			  "00 02 02 42 00 02 06 41 04 00 00 da c0 02 08 40 "
			  "06 00 64 00 01 01 00",
	};

	check_vectors(&v);
}

/* RFC 9235 5.1 */
TEST(ao_vectors_of_aes_cmac_over_ipv4)
{
	static const struct vectors v = {
		.algorithm = TOW_AUTH_AES_CMAC,
		.client_isn = 0x787a1ddf,
		.server_isn = 0xfadd6de9,
		.syn = "45 e0 00 4c 7b 9f 40 00 ff 06 20 dc 0a 0b 0c 0d "
		       "ac 1b 1c 1d c4 fa 00 b3 78 7a 1d df 00 00 00 00 "
		       "e0 02 ff ff 5a 0f 00 00 02 04 05 b4 01 03 03 08 "
		       "04 02 08 0a 00 01 7e d0 00 00 00 00 1d 10 3d 54 "
		       "e4 77 e9 9c 80 40 76 54 98 e5 50 91",
		.syn_ack = "45 e0 00 4c 4b ad 40 00 ff 06 50 ce ac 1b 1c 1d "
			   "0a 0b 0c 0d 00 b3 c4 fa fa dd 6d e9 78 7a 1d e0 "
			   "e0 12 ff ff f3 f2 00 00 02 04 05 b4 01 03 03 08 "
			   "04 02 08 0a 93 f4 e9 e8 00 01 7e d0 1d 10 54 3d "
			   "d6 ad a7 bc 4c dd 53 6d 17 69 db 5f",
		.data = "45 e0 00 87 fb 4f 40 00 ff 06 a0 f0 0a 0b 0c 0d "
			"ac 1b 1c 1d c4 fa 00 b3 78 7a 1d e0 fa dd 6d ea "
			"c0 18 01 04 95 05 00 00 01 01 08 0a 00 01 7e d0 "
			"93 f4 e9 e8 1d 10 3d 54 77 41 27 42 fa 4d c4 33 "
			"ef f0 97 3e ff ff ff ff ff ff ff ff ff ff ff ff "
			"ff ff ff ff 00 43 01 04 da bf 00 b4 0a 0b 0c 0d "
			"26 02 06 01 04 00 01 00 01 02 02 80 00 02 02 02 "
			"00 02 02 42 00 02 06 41 04 00 00 da bf 02 08 40 "
			"06 00 64 00 01 01 00",
		.answer = "45 e0 00 87 b9 14 40 00 ff 06 e3 2b ac 1b 1c 1d "
			  "0a 0b 0c 0d 00 b3 c4 fa fa dd 6d ea 78 7a 1e 23 "
			  "c0 18 01 00 e7 db 00 00 01 01 08 0a 93 f4 e9 e8 "
			  "00 01 7e d0 1d 10 54 3d f6 d9 65 a7 83 82 a7 48 "
			  "45 f7 2d ac ff ff ff ff ff ff ff ff ff ff ff ff "
			  "ff ff ff ff 00 43 01 04 da c0 00 b4 ac 1b 1c 1d "
			  "26 02 06 01 04 00 01 00 01 02 02 80 00 02 02 02 "
			  "00 02 02 42 00 02 06 41 04 00 00 da c0 02 08 40 "
			  "06 00 64 00 01 01 00",
	};

	check_vectors(&v);
}

/* RFC 9235 6.1 */
TEST(ao_vectors_of_hmac_sha1_over_ipv6)
{
	static const struct vectors v = {
		.algorithm = TOW_AUTH_HMAC_SHA1,
		.client_isn = 0x176a833f,
		.server_isn = 0x3f51994b,
		.syn = "6e 08 91 dc 00 38 06 40 fd 00 00 00 00 00 00 00 "
		       "00 00 00 00 00 00 00 01 fd 00 00 00 00 00 00 00 "
		       "00 00 00 00 00 00 00 02 f7 e4 00 b3 17 6a 83 3f "
		       "00 00 00 00 e0 02 ff ff 47 21 00 00 02 04 05 a0 "
		       "01 03 03 08 04 02 08 0a 00 41 d0 87 00 00 00 00 "
		       "1d 10 3d 54 90 33 ec 3d 73 34 b6 4c 5e dd 03 9f",
		.syn_ack = "6e 01 00 9e 00 38 06 40 fd 00 00 00 00 00 00 00 "
			   "00 00 00 00 00 00 00 02 fd 00 00 00 00 00 00 00 "
			   "00 00 00 00 00 00 00 01 00 b3 f7 e4 3f 51 99 4b "
			   "17 6a 83 40 e0 12 ff ff bf ec 00 00 02 04 05 a0 "
			   "01 03 03 08 04 02 08 0a bd 33 12 9b 00 41 d0 87 "
			   "1d 10 54 3d f1 cb a3 46 c3 52 61 63 f7 1f 1f 55",
		.data = "6e 08 91 dc 00 73 06 40 fd 00 00 00 00 00 00 00 "
			"00 00 00 00 00 00 00 01 fd 00 00 00 00 00 00 00 "
			"00 00 00 00 00 00 00 02 f7 e4 00 b3 17 6a 83 40 "
			"3f 51 99 4c c0 18 01 00 32 9c 00 00 01 01 08 0a "
			"00 41 d0 91 bd 33 12 9b 1d 10 3d 54 bf 08 05 fe "
			"b4 ac 7b 16 3d 6f cd f2 ff ff ff ff ff ff ff ff "
			"ff ff ff ff ff ff ff ff 00 43 01 04 fd e8 00 b4 "
			"01 01 01 79 26 02 06 01 04 00 01 00 01 02 02 80 "
			"00 02 02 02 00 02 02 42 00 02 06 41 04 00 00 fd "
			"e8 02 08 40 06 00 64 00 01 01 00",
		.answer = "6e 01 00 9e 00 73 06 40 fd 00 00 00 00 00 00 00 "
			  "00 00 00 00 00 00 00 02 fd 00 00 00 00 00 00 00 "
			  "00 00 00 00 00 00 00 01 00 b3 f7 e4 3f 51 99 4c "
			  "17 6a 83 83 c0 18 01 00 ee 6e 00 00 01 01 08 0a "
			  "bd 33 12 a5 00 41 d0 91 1d 10 54 3d 6c 48 12 5c "
			  "11 33 5b ab 9a 07 a7 97 ff ff ff ff ff ff ff ff "
			  "ff ff ff ff ff ff ff ff 00 43 01 04 fd e8 00 b4 "
			  "01 01 01 7a 26 02 06 01 04 00 01 00 01 02 02 80 "
			  "00 02 02 02 00 02 02 42 00 02 06 41 04 00 00 fd "
			  "e8 02 08 40 06 00 64 00 01 01 00",
	};

	check_vectors(&v);
}

/* RFC 9235 7.2 */
TEST(ao_vectors_of_aes_cmac_over_ipv6_without_options)
{
	static const struct vectors v = {
		.algorithm = TOW_AUTH_AES_CMAC,
		.omit_options = true,
		.client_isn = 0xb01da74a,
		.server_isn = 0xa6246145,
		.syn = "6e 09 3d 76 00 38 06 40 fd 00 00 00 00 00 00 00 "
		       "00 00 00 00 00 00 00 01 fd 00 00 00 00 00 00 00 "
		       "00 00 00 00 00 00 00 02 f2 88 00 b3 b0 1d a7 4a "
		       "00 00 00 00 e0 02 ff ff 75 ff 00 00 02 04 05 a0 "
		       "01 03 03 08 04 02 08 0a 14 27 5b 3b 00 00 00 00 "
		       "1d 10 3d 54 3d 45 b4 34 2d e8 bb 15 30 84 78 98",
		.syn_ack = "6e 0c 60 0a 00 38 06 40 fd 00 00 00 00 00 00 00 "
			   "00 00 00 00 00 00 00 02 fd 00 00 00 00 00 00 00 "
			   "00 00 00 00 00 00 00 01 00 b3 f2 88 a6 24 61 45 "
			   "b0 1d a7 4b e0 12 ff ff a7 0c 00 00 02 04 05 a0 "
			   "01 03 03 08 04 02 08 0a 17 82 24 5b 14 27 5b 3b "
			   "1d 10 54 3d 1d 01 f6 c8 7c 6f 93 ac ff a9 d4 b5",
		.data = "6e 09 3d 76 00 73 06 40 fd 00 00 00 00 00 00 00 "
			"00 00 00 00 00 00 00 01 fd 00 00 00 00 00 00 00 "
			"00 00 00 00 00 00 00 02 f2 88 00 b3 b0 1d a7 4b "
			"a6 24 61 46 c0 18 01 00 c3 6d 00 00 01 01 08 0a "
			"14 27 5b 4f 17 82 24 5b 1d 10 3d 54 29 0c f4 14 "
			"cc b4 7a 33 32 76 e7 f8 ff ff ff ff ff ff ff ff "
			"ff ff ff ff ff ff ff ff 00 43 01 04 fd e8 00 b4 "
			"01 01 01 79 26 02 06 01 04 00 01 00 01 02 02 80 "
			"00 02 02 02 00 02 02 42 00 02 06 41 04 00 00 fd "
			"e8 02 08 40 06 00 64 00 01 01 00",
		.answer = "6e 0c 60 0a 00 73 06 40 fd 00 00 00 00 00 00 00 "
			  "00 00 00 00 00 00 00 02 fd 00 00 00 00 00 00 00 "
			  "00 00 00 00 00 00 00 01 00 b3 f2 88 a6 24 61 46 "
			  "b0 1d a7 8e c0 18 01 00 34 51 00 00 01 01 08 0a "
			  "17 82 24 65 14 27 5b 4f 1d 10 54 3d 99 51 5f fc "
			  "d5 40 34 99 f6 19 fd 1b ff ff ff ff ff ff ff ff "
			  "ff ff ff ff ff ff ff ff 00 43 01 04 fd e8 00 b4 "
			  "01 01 01 7a 26 02 06 01 04 00 01 00 01 02 02 80 "
			  "00 02 02 02 00 02 02 42 00 02 06 41 04 00 00 fd "
			  "e8 02 08 40 06 00 64 00 01 01 00",
	};

	check_vectors(&v);
}
