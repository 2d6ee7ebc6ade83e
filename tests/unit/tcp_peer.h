/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TCP_PEER_H
#define TCP_PEER_H

/*
 * The peer of a TCP test: one stack under test, opened through the public API
 * over a device that records, and the hands to write segments to it.
 *
 *	test ---- app_send(), app_recv(), tow_tcp_*() ---> +-------+
 *	     ---- inject(r, .flags = SYN, .mss = 1460) --> | stack |
 *	     <--- next(r), sends(r, ACK, 1, 1001, 0) ----- +-------+
 *	     ---- advance_ms(r, 200) -------------------->   clock
 *
 * Nothing here includes a header of src/: frames are built and parsed again
 * from the RFCs, so that one mistake cannot hide another.
 *
 * Sequence numbers are relative, as in a capture: the SYN of either side is 0
 * and its first byte of payload is 1. So each test runs three times without
 * knowing it: over IPv4, over IPv6, and over IPv4 with both initial sequence
 * numbers chosen so close to 2^32 that everything wraps.
 *
 * Payload is a pattern by position: byte n of a stream is pattern(n). Every
 * segment that the stack sends is checked against it, and so is all that the
 * program receives; only tests about boundaries look at bytes themselves.
 *
 * The clock only moves by advance_ms() and advance_us(), from one deadline of
 * the stack to the next, so a timer is seen to fire when it says it does.
 */
#include <stdbool.h>
#include <stdint.h>
#include <tow/addr.h>
#include <tow/dev.h>
#include <tow/event.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include "test.h"

enum {
	FIN = 1,
	SYN = 2,
	RST = 4,
	PSH = 8,
	ACK = 16,
	URG = 32,
	ECE = 64,
	CWR = 128,
};

enum family { IPV4, IPV6 };

/*
 * How a segment is signed. Set in the rig, the peer signs with it, and looks at
 * each segment of the stack; one that is wrong is counted as malformed.
 */
struct signature {
	enum {
		SIGN_NONE,
		SIGN_MD5,
		SIGN_HMAC_SHA1,
		SIGN_AES_CMAC,
	} kind;
	const char *secret;
	uint8_t key_id, next_id; /* KeyID, RNextKeyID */
	bool omit_options;
	uint32_t sne;  /* more than there is */
	bool breaks;   /* one bit of it is wrong */
	bool stranger; /* the peer does not look at what the stack sends */
};

#define FULL	 1000u /* bytes in a full segment from the stack, see offer */
#define RTT_MS	 100u  /* of the handshake; the RTO starts at 3 times that */
#define SACKS	 4
#define SPANS	 TOW_BUF_SPANS
#define DATA_MAX 65536

/* What the stack sent: parsed, relative, in the order it went out. */
struct segment {
	uint64_t at_us;
	uint8_t flags; /* without PSH; see push */
	bool push;
	bool ae;	   /* RFC 9768 */
	uint32_t seq, ack; /* relative; ack is 0 without the ACK flag */
	uint32_t raw_seq, raw_ack;
	uint32_t window;     /* bytes, scaled */
	uint16_t raw_window; /* as in the header */
	uint16_t urgent;
	uint16_t sport, dport;
	struct tow_addr src, dst;
	uint8_t ttl;
	uint8_t tos;
	bool df; /* IPv4 */

	int mss;    /* -1: option absent */
	int wscale; /* -1: absent */
	bool sack_ok, ts;
	uint32_t tsval, tsecr;
	unsigned sacks;
	struct {
		uint32_t left, right;
	} sack[SACKS];
	uint8_t ecn_kind; /* of the AccECN option, 172 or 174; 0: absent */
	unsigned ecn_fields;
	uint32_t ecn[3];
	uint8_t options[40];
	unsigned option_bytes;

	uint32_t bytes;		      /* of payload */
	struct tow_span spans[SPANS]; /* payload, in place; valid if not kept */
	unsigned span_count;
	uint8_t gso;
	uint16_t gso_bytes;
	bool csum_partial;
};

/* What a test writes: relative sequence numbers, defaults for the rest. */
struct injected {
	uint8_t flags;
	uint32_t seq, ack;
	uint32_t bytes;	  /* of payload, the pattern at seq */
	const void *data; /* payload of that length instead of the pattern */
	uint32_t window;  /* bytes, scaled down; 0: the offer's */
	bool zero_window;
	uint16_t urgent;
	bool absolute; /* seq and ack are not relative */

	uint16_t mss; /* 0: no option */
	bool has_wscale;
	uint8_t wscale;
	bool sack_ok;
	bool ts, no_ts;	       /* forced; else as negotiated */
	uint32_t tsval, tsecr; /* with ts */
	unsigned sacks;
	struct {
		uint32_t left, right;
	} sack[SACKS];
	uint8_t ecn_kind; /* of an AccECN option, 0: none */
	unsigned ecn_fields;
	uint32_t ecn[3];
	const uint8_t *options; /* instead of all the above */
	unsigned option_bytes;

	uint16_t sport, dport;		  /* 0: the rig's */
	const struct tow_addr *src, *dst; /* NULL: the rig's */
	const uint8_t *dst_mac;		  /* NULL: the stack's */
	uint8_t tos;			  /* of the IP header */
	bool ae;			  /* the flag in front of CWR */
	bool bad_checksum;
	uint16_t merged; /* a device made it of packets with so much payload */
	bool no_signature;
	const struct signature *signature; /* NULL: the rig's */
	uint8_t data_offset;		   /* in words; 0: the true one */
	bool later; /* queue only, poll with the next one */

	uint16_t cut; /* in IP fragments of so many bytes; 0: whole */
	const unsigned *cut_order; /* in which they come; NULL: backwards */
	unsigned cut_count;	   /* of @cut_order */
};

/* The options that the peer has on its SYN or SYN-ACK. */
struct offer {
	uint16_t mss; /* 0: absent */
	bool sack_ok;
	bool ts;
	int wscale;	 /* -1: absent */
	uint32_t window; /* bytes */
};

#define EVENTS_MAX   512
#define SENT_MAX     8192
#define QUEUE_MAX    4096
#define HELD_MAX     1024
#define STREAM_BYTES (4u << 20)

struct frame {
	uint8_t *bytes;
	uint32_t length;
	uint16_t merged;
	bool bad_checksum;
};

struct rig;

/* What the device was told last about placement; see tcp_peer_place.c. */
struct hint {
	struct tow_place place; /* bytes == 0: none */
	struct tow_span spans[TOW_PLACE_SPANS];
	bool resting;
	unsigned calls;
};

/* The recording device. */
struct recorder {
	struct tow_dev dev;
	struct rig *rig;
};

struct rig_options {
	const char *name;
	enum family family;
	bool wrap;     /* initial sequence numbers just below 2^32 */
	uint32_t caps; /* of the device */
	uint32_t mtu;  /* 0: 1500 */
	uint32_t gso_bytes_max;
	bool hold_tx; /* the device keeps sent buffers, see device_done() */
	bool split;   /* all payload in chunks, none in the room */
	bool blind;   /* never read payload, it may be PROT_NONE */
	uint32_t peer_iss; /* 0: one that fits wrap */
	uint64_t start_us; /* of the clock; 0: a second */
	struct offer offer;
	struct tow_config cfg;
};

struct rig {
	struct rig_options options;
	struct tow_stack *stack;
	void *memory;
	struct recorder *device; /* NULL once the stack closed it */
	uint64_t now_us;

	struct tow_addr us, peer; /* the stack's address, the peer's */
	uint16_t our_port, peer_port;
	uint32_t our_iss, peer_iss;
	bool we_offered_ts, peer_offered_ts;
	int our_wscale, peer_wscale; /* as offered, -1: not */
	uint32_t peer_ts;    /* added to milliseconds for the peer's TSval */
	uint32_t last_tsval; /* of the stack, echoed by default */

	struct tow_listener *listener;
	struct tow_tcp *tcp;

	struct segment sent[SENT_MAX];
	unsigned sent_count, sent_taken;
	unsigned tx_frames; /* all frames, of whatever kind */
	unsigned icmp_sent;
	unsigned malformed;	    /* frames that break a rule of their RFC */
	unsigned corrupt;	    /* payload that is not the pattern */
	struct hint hint;	    /* with TOW_DEV_PLACE */
	int place_error;	    /* what the device says to the next hints */
	bool expects_ae;	    /* AccECN was asked for */
	uint8_t expects_option;	    /* of a kind that is not parsed; 0: none */
	struct signature signature; /* of both ends, with numbers of the peer */
	uint8_t our_key_id, our_next_id; /* as the last segment of ours had */
	bool mute;			 /* ARP and ND go unanswered */
	bool gone;			 /* the device has vanished */
	bool stuck;			 /* the device takes no frame */
	unsigned tx_limit;		 /* frames taken per call; 0: all */

	struct frame queue[QUEUE_MAX];
	unsigned queue_head, queue_tail;
	struct tow_buf *held[HELD_MAX];
	unsigned held_count;

	struct tow_event events[EVENTS_MAX];
	unsigned event_count;

	uint8_t *stream; /* byte i is pattern(i + 1): at sequence i + 1 */
	uint64_t written, read; /* positions of the program's end */
};

/* Byte of a stream at a relative sequence number. */
uint8_t pattern(uint32_t position);

/* The rigs that TCP_TEST() runs, and one to change and open by hand. */
struct rig_options rig_default(enum family family);
void rig_open(struct rig *r, const struct rig_options *options);
void rig_close(struct rig *r);	 /* checks what must hold at the end, too */
void discard_rig(struct rig *r); /* the same without a word to the peer */
void rig_reopen(struct rig *r, const struct rig_options *options);
void rig_run(void (*body)(struct rig *), enum family family, bool wrap);

/* A test in three: over IPv4, over IPv6, with numbers that wrap. */
#define TCP_TEST(name)                             \
	static void name##_body(struct rig *r);    \
	TEST(name##_v4)                            \
	{                                          \
		rig_run(name##_body, IPV4, false); \
	}                                          \
	TEST(name##_v6)                            \
	{                                          \
		rig_run(name##_body, IPV6, false); \
	}                                          \
	TEST(name##_wrap)                          \
	{                                          \
		rig_run(name##_body, IPV4, true);  \
	}                                          \
	static void name##_body(struct rig *r)

/* --- the wire --- */

/* One segment from the peer, polled through: inject(r, .flags = ACK, …). */
#define inject(r, ...) inject_segment(r, &(struct injected){ __VA_ARGS__ })
void inject_segment(struct rig *r, const struct injected *in);

/* A whole frame as it is; takes a copy. */
void inject_frame(struct rig *r, const void *bytes, uint32_t length);

/* An IP packet of the peer's (or @src's) with this payload. */
void inject_ip(struct rig *r, uint8_t protocol, const struct tow_addr *src,
	       const void *payload, uint32_t bytes);

/*
 * ICMP errors about a segment the stack sent at relative @seq. Kind: what the
 * message says, in either family's words.
 */
enum icmp_kind {
	ICMP_TOO_BIG,		/* v4 3/4, v6 2/0; value is the MTU */
	ICMP_NET_UNREACHABLE,	/* soft: v4 3/0, v6 1/0 */
	ICMP_HOST_UNREACHABLE,	/* soft: v4 3/1, v6 1/3 */
	ICMP_PORT_UNREACHABLE,	/* hard: v4 3/3, v6 1/4 */
	ICMP_PROTO_UNREACHABLE, /* hard: v4 3/2, v6 4/1 */
	ICMP_TIME_EXCEEDED,	/* soft: v4 11/0, v6 3/0 */
	ICMP_SOURCE_QUENCH,	/* v4 4/0: ignored (RFC 6633); v6: unknown 99 */
};
void inject_icmp(struct rig *r, enum icmp_kind kind, uint32_t value,
		 uint32_t seq, uint32_t quoted_bytes);

/* The oldest segment not looked at yet; an empty one when there is none. */
const struct segment *next(struct rig *r);
const struct segment *peek(struct rig *r);
unsigned waiting(const struct rig *r);
void forget(struct rig *r); /* what was sent so far */

/* Is the next segment this? If not, says what it was. Takes it. */
bool sends(struct rig *r, uint8_t flags, uint32_t seq, uint32_t ack,
	   uint32_t bytes);
bool sends_nothing(struct rig *r);
/* <SEQ=0><ACK=@ack><CTL=RST,ACK>, the answer to a segment without ACK. */
bool sends_reset_ack(struct rig *r, uint32_t ack);
/* <SEQ=@seq><CTL=RST>, the answer to one with ACK=@seq. */
bool sends_reset(struct rig *r, uint32_t seq);

/* How many payload bytes the stack sent and nobody looked at; forgets them. */
uint32_t bytes_sent(struct rig *r);

/* --- time --- */
void poll_until_quiet(struct rig *r);
void advance_us(struct rig *r, uint64_t us);
void advance_ms(struct rig *r, uint64_t ms);
/* On to the next segment, at most so far; its time since then in us. */
uint64_t advance_to_segment(struct rig *r, uint64_t us_max);

/* --- the device --- */
void device_done(struct rig *r, unsigned index); /* gives held[index] back */
void device_done_all(struct rig *r);

/* --- the program --- */
uint32_t app_send(struct rig *r, uint32_t bytes, unsigned flags);
int app_lend(struct rig *r, uint32_t bytes, uint64_t token, unsigned flags);
/* Receive up to @bytes and compare; how many, or the error. */
int64_t app_recv(struct rig *r, uint32_t bytes);
int64_t app_borrow(struct rig *r); /* all there is, compared; bytes or error */
enum tow_tcp_state state_of(struct rig *r);
struct tow_tcp_info info_of(struct rig *r);
unsigned events_of(const struct rig *r, enum tow_event_type type);
const struct tow_event *event_of(const struct rig *r, enum tow_event_type type);
unsigned loans_ended(const struct rig *r, uint64_t token);
int loan_status(const struct rig *r, uint64_t token); /* 1: not ended */
uint64_t drops(const struct rig *r, enum tow_drop why);
uint64_t counter(const struct rig *r, enum tow_counter what);

/* --- known places --- */
void listen_here(struct rig *r, int backlog);
void syn_arrives(struct rig *r);   /* at a listener; the SYN-ACK is not taken */
void await_syn_ack(struct rig *r); /* SYN in, SYN-ACK out and taken */
void handshake_passive(struct rig *r);
void handshake_active(struct rig *r);
void connect_out(struct rig *r);     /* the SYN is not taken */
void syn_ack_arrives(struct rig *r); /* of the peer; the ACK is not taken */

enum place {
	AT_CLOSED,
	AT_LISTEN,
	AT_SYN_SENT,
	AT_SYN_RECEIVED,	/* from LISTEN */
	AT_SYN_RECEIVED_ACTIVE, /* by simultaneous open */
	AT_ESTABLISHED,
	AT_FIN_WAIT_1,
	AT_FIN_WAIT_2,
	AT_CLOSE_WAIT,
	AT_CLOSING,
	AT_LAST_ACK,
	AT_TIME_WAIT,
	PLACES,
};
void put_in_state(struct rig *r, enum place place);
const char *place_name(enum place place);
/* What is next to be sent by either side, relative. */
uint32_t our_next(enum place place);
uint32_t peer_next(enum place place);

#endif
