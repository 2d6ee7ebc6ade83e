/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TCP_PRIVATE_H
#define TCP_PRIVATE_H

/*
 * A TCP connection and its parts. Each part is an object with a file of its
 * own; a function of one file changes the part of that file only:
 *
 *	tcp_state.c       which state follows which, invariants
 *	tcp_table.c       finding, making and freeing connections; ports
 *	tcp_listen.c      passive open
 *	fast_open.c       data on the SYN, RFC 7413, as a server
 *	fast_client.c     the same as a client
 *	syn_cookie.c      passive open without keeping anything
 *	tcp_input.c       segment arrival, RFC 9293 3.10.7
 *	send_queue.c      loans: what the application queued, until it is done
 *	sent.c            segments in flight: acknowledged, SACKed, lost
 *	recovery.c        what a loss leads to: the states, RFC 6582, 6298
 *	rack.c            which segments are lost, RFC 8985
 *	tlp.c             a probe when the last segments were lost, RFC 8985
 *	frto.c            was the timeout needed? RFC 5682
 *	undo.c            was the recovery? RFC 3522, 3708, 4015
 *	prr.c             how much may be sent in fast recovery, RFC 9937
 *	receive.c         reassembly and the window
 *	borrow.c          what the application reads: in place, or copied out
 *	revoke.c          moving what was lent to its owner's refuge
 *	post.c            memory that the application posts for the stream
 *	place.c           hints to the device, where the next bytes belong
 *	pass.c            received bytes that go out again in place
 *	report.c          what an ACK says of holes and duplicates: SACK, D-SACK
 *	rtt.c             round-trip time, RFC 6298
 *	congestion.c      how much may be in flight; NewReno
 *	cubic.c           the same by CUBIC, RFC 9438
 *	hystart.c         leaving the first slow start in time, RFC 9406
 *	bbr.c             how much and how fast, by a model of the path
 *	rate.c            how fast the path delivers
 *	pacing.c          bursts at even distances
 *	mtu_probe.c       how large a packet may be: RFC 4821, RFC 8899
 *	orphan.c          what the program closed, until it is delivered
 *	urgent.c          urgent data is a mark in the stream, RFC 6093
 *	user_timeout.c    how long silence is borne, RFC 5482
 *	held_up.c         what holds the sender up, for tow_tcp_info()
 *	tcp_error.c       what ICMP says, and how much of it is believed
 *	tcp_auth.c        signed segments: who has which keys
 *	tcp_md5.c         the signature of RFC 2385
 *	tcp_ao.c          that of RFC 5925: which key, which numbers
 *	ecn.c             marks instead of drops, RFC 3168, 9768
 *	ecn_option.c      counts of bytes with and without marks, RFC 9768 3.2.3
 *	tcp_output.c      which segment is next; building it
 *	tcp_timer.c       what happens when nothing happens
 *	tcp_api.c         the calls of tow/tcp.h
 *
 * The words of RFC 9293 3.3.1 are used for its variables: t->snd.una is
 * SND.UNA, t->rcv.nxt is RCV.NXT.
 */
#include <tow/tcp.h>
#include "base/tree.h"
#include "buf/copy.h"
#include "tcp/seq.h"
#include "tcp/tcp_host.h"
#include "wire/wire_tcp.h"

#define TCP_MSS_DEFAULT_V4   536  /* RFC 9293 3.7.1 */
#define TCP_MSS_DEFAULT_V6   1220 /* RFC 9293 3.7.1 */
#define TCP_MSS_MIN	     48 /* less is an attack (CVE-2019-11479); as Linux */
#define TCP_MSS_SET_MIN	     88 /* what an application may ask for */
#define TCP_WINDOW_MAX	     65535
#define TCP_DUP_THRESHOLD    3	/* RFC 5681 3.2 */
#define TCP_TIMESTAMPS_BYTES 12 /* with padding, on each segment */

#define TCP_TICK_US	     1000u	/* of the timers: G of RFC 6298 */
#define TCP_RTO_FIRST_US     1000000u	/* RFC 6298 2.1 */
#define TCP_RTO_LOST_SYN_US  3000000u	/* RFC 6298 5.7 */
#define TCP_RTO_MIN_US	     200000u	/* as Linux; RFC 6298 2.4 says 1 s */
#define TCP_RTO_MAX_US	     60000000u	/* RFC 6298 2.5 */
#define TCP_DELACK_US	     40000u	/* RFC 9293 3.8.6.3: below 500 ms */
#define TCP_QUICK_ACKS	     16		/* not delayed at first, as Linux */
#define TCP_MORE_US	     200000u	/* a short segment waits for more */
#define TCP_TIME_WAIT_US     60000000u	/* 2 MSL with MSL 30 s */
#define TCP_FIN_WAIT_2_US    60000000u	/* without an application */
#define TCP_SYN_RETRIES	     7		/* 183 s; RFC 9293 3.8.3 R2, MUST-23 */
#define TCP_SYN_ACK_RETRIES  5		/* 63 s */
#define TCP_SYN_ACK_FEW	     1		/* a flood seems to go on */
#define TCP_DATA_RETRIES     15		/* 522 s with TCP_RTO_MIN_US */
#define TCP_ORPHAN_RETRIES   8		/* nobody waits for it any more */
#define TCP_ORPHAN_US	     600000000u /* and it takes nothing for so long */
#define TCP_PAWS_IDLE_S	     (24u * 24 * 3600) /* RFC 7323 5.5 */
#define TCP_CHALLENGES_PER_S 10 /* of one connection: RFC 5961 7 */
#define TCP_BACKLOG_FRESH_US 1000000u

/*
 * Records, loans and chunks are shared by all connections. Who has a few may
 * take more while there are any; who has many, only up to what is left of all
 * above a reserve. So silent peers, however many, do not stop the others.
 */
#define TCP_FEW	      2
#define TCP_FEW_SHARE 4 /* of the whole: the reserve for who has few */

static inline bool tcp_may_take(uint32_t has, uint32_t left, uint32_t total)
{
	uint32_t reserve = total / TCP_FEW_SHARE;

	if (has < TCP_FEW)
		return left > 0;
	return left > reserve && has < left - reserve;
}

/* Option values of a connection; a listener has them for its children. */
struct tcp_settings {
	uint32_t send_bytes;
	uint32_t recv_bytes;	 /* first limit of the receive buffer */
	uint32_t recv_bytes_max; /* what auto-tuning may make of it */
	uint32_t lend_bytes;	 /* on loan at most; 0: no budget of its own */
	uint32_t user_timeout_ms;
	uint32_t keepalive_s, keepalive_interval_s;
	uint32_t notsent_lowat; /* 0: any number may wait to be sent */
	uint64_t pacing_rate;	/* bytes/s at most; 0: no limit */
	int32_t linger_s;
	uint16_t mss_max;      /* 0: what the path allows */
	uint16_t fast_open;    /* a listener: so many pending */
	uint8_t fast_open_how; /* enum tow_tcp_fast_open_flag */
	uint8_t keepalive_probes;
	uint8_t syn_retries;	 /* 0: TCP_SYN_RETRIES, TCP_SYN_ACK_RETRIES */
	uint8_t ttl, tos;	 /* 0: the stack's, 0 */
	uint8_t congestion : 2;	 /* enum tow_tcp_congestion */
	uint8_t ecn : 2;	 /* enum tow_tcp_ecn */
	uint8_t syn_cookies : 2; /* enum tow_tcp_cookies; listeners */
	uint8_t mtu_probe : 2;
	bool user_timeout_tell : 1;
	bool recv_posted : 1; /* no window but for what is posted */
	bool nodelay : 1, cork : 1;
};

enum tcp_timer {
	TIMER_LOSS,	  /* RACK's reordering window, or a tail loss probe */
	TIMER_RETRANSMIT, /* or probe of a zero window: never both */
	TIMER_DELACK,
	TIMER_MORE, /* a short segment waited long enough */
	TIMER_KEEPALIVE,
	TIMER_LIFE, /* TIME-WAIT, FIN-WAIT-2, linger: then the end */
	TCP_TIMERS,
};

/* What becomes of a segment after a check. */
enum verdict {
	PASS,	    /* go on with the next check */
	DROP,	    /* done, and nothing to say */
	DROP_ACK,   /* done, answer with an ACK of what we have */
	DROP_RESET, /* done, answer with a RST (RFC 9293 3.10.7.1) */
};

/* Events that were not collected yet. */
enum tcp_pending {
	PENDING_CONNECTED = 1 << 0,
	PENDING_READABLE = 1 << 1,
	PENDING_WRITABLE = 1 << 2,
	PENDING_CLOSED = 1 << 3,
	PENDING_REVOKE = 1 << 4,
	PENDING_URGENT = 1 << 5,
};

/* ------------------------------------------------------------- send queue */

enum loan_flag {
	LOAN_TOKEN = 1 << 0,  /* the token comes back after this span */
	LOAN_COPIED = 1 << 1, /* the bytes are in a chunk of ours */
	LOAN_PASSED =
		1 << 2,	     /* they are in a received buffer, which it holds */
	LOAN_SUM = 1 << 3,   /* LOAN_PASSED: the sum of some bytes is known */
	LOAN_EOR = 1 << 4,   /* a record ends here: no segment goes on behind */
	LOAN_STAMP = 1 << 5, /* no bytes, a place in the stream */
};

/* One span in the send queue, from being queued until it is done. */
struct loan {
	struct loan *next;
	const uint8_t *ptr;
	uint64_t bytes;
	uint64_t start;	  /* offset in the stream of the first byte; once it is
			   * done: when it was acknowledged, in us */
	uint64_t sent_us; /* when its last byte went out first; 0: not yet */
	union {
		uint64_t token;
		struct tow_buf *buf; /* LOAN_PASSED */
	};
	uint32_t frames; /* that refer to it, in or on the way to a device */
	int32_t status;	 /* once it is done */
	union {
		uint32_t room; /* LOAN_COPIED: free bytes behind the last one */
		uint32_t sum_bytes; /* LOAN_SUM: so many, from @start on */
	};
	uint16_t sum;
	uint8_t flags;
};

/*
 * The stream of bytes to send. Offsets count from the first byte of data, so
 * they need no care about wrap-around:
 *
 *	start      acked        next                    end
 *	|  done,   | in flight  | queued, never sent    |
 *	|  in dev  |            |                       |
 *	 head ----------------->cursor----------------->tail
 */
struct send_queue {
	struct loan *head, *tail;
	struct loan *cursor; /* holds the byte at next; NULL at the end */
	struct loan *done, **done_tail; /* tokens to be reported */
	uint64_t acked, next, end;
	uint32_t frames;	/* of this connection that are with a device */
	uint32_t loans, chunks; /* in the list, and that they own */
	uint32_t records;	/* of them with LOAN_EOR */
	int16_t ended; /* the connection is over: status of what is left */
	bool finished; /* FIN follows the last byte */
	bool more;     /* the last bytes were queued with TOW_TCP_MORE */
	bool waited;   /* long enough for more: a short segment goes */
	bool hurried;  /* it goes now, although more was announced */
};

bool send_queue_room(const struct tow_tcp *t);
uint64_t send_queue_room_bytes(const struct tow_tcp *t);
int64_t send_queue_copy(struct tow_tcp *t, const uint8_t *data, size_t bytes,
			unsigned flags);
int send_queue_lend(struct tow_tcp *t, const struct tow_span *spans, int count,
		    uint64_t token, unsigned flags);
uint32_t send_queue_append(struct tow_tcp *t, const uint8_t *data,
			   uint32_t bytes, enum tow_copy why);
bool send_queue_pass(struct tow_tcp *t, struct tow_buf *buf, uint32_t bytes);
int send_queue_stamp(struct tow_tcp *t, uint64_t token);
void send_queue_note_sum(struct tow_tcp *t, struct loan *loan, uint16_t sum);
bool send_queue_sum(const struct tow_buf *buf, uint16_t *sum);
void send_queue_note(struct tow_tcp *t, unsigned flags);
void send_queue_starve(struct tow_tcp *t);
void send_queue_sent(struct tow_tcp *t, uint32_t bytes);
uint64_t send_queue_record(const struct tow_tcp *t, const struct loan *loan,
			   uint64_t offset);
void send_queue_acked(struct tow_tcp *t, uint64_t bytes);
void send_queue_end(struct tow_tcp *t, int status);
struct loan *send_queue_find(struct loan *from, uint64_t offset);
uint32_t send_queue_attach(struct tow_tcp *t, struct tow_buf *buf,
			   struct loan *loan, uint64_t offset, uint32_t bytes);
void send_queue_detach(struct tow_tcp *t, struct tow_buf *buf);
void loan_free(struct tcp_host *host, struct loan *loan);
void send_queue_feed(struct tcp_host *host);
bool send_queue_has_memory(const struct tcp_host *host);

/* ------------------------------------------------------ segments in flight */

enum sent_flag {
	SENT_SYN = 1 << 0,
	SENT_FIN = 1 << 1,
	SENT_SACKED = 1 << 2, /* the peer has it, out of order */
	SENT_LOST = 1 << 3, /* taken for lost: counts no longer as in flight */
	SENT_RETRANS = 1 << 4,	    /* sent again since it was taken for lost */
	SENT_EVER_RETRANS = 1 << 5, /* Karn: no RTT sample */
	SENT_CSUM = 1 << 6,	    /* csum holds the payload's sum */
};

/*
 * What was delivered when a segment was sent: rate.c. The low bits; times in
 * microseconds. There is one beside each struct sent, used if it is paced.
 */
struct rate_mark {
	uint32_t delivered, lost;
	uint32_t delivered_us, first_sent_us;
	uint32_t in_flight : 31, app_limited : 1;
};

/* A run of sequence space that was sent as one segment. */
struct sent {
	struct tree_node node; /* in the order of seq; marked: it waits */
	struct list by_time; /* while it may be on its way; see struct flight */
	struct seq seq;
	uint32_t bytes;	   /* sequence space, with SYN and FIN */
	struct loan *loan; /* that holds the first byte; NULL without data */
	uint64_t offset;   /* in the stream */
	uint64_t sent_us;  /* the last time */
	uint32_t packets;  /* SENT_SACKED: so many segments, of full size */
	uint16_t csum;
	uint8_t flags;
};

struct flight {
	struct tree tree;    /* of struct sent */
	struct sent *oldest; /* neither SACKed nor lost; in a ring by_time */
	uint32_t sacked_bytes, lost_bytes, retrans_bytes;
	uint32_t sacked_packets;
	struct seq highest_sack; /* end of the last SACKed byte: RACK.fack */
	uint32_t data_ms;	 /* when payload was sent last; 0: never */
};

/* What an acknowledgement did; input for recovery, RTT and congestion. */
struct ack_news {
	uint32_t acked_bytes;	  /* cumulatively, now */
	uint32_t sacked_bytes;	  /* newly */
	uint32_t largest_bytes;	  /* of the records acknowledged */
	uint32_t delivered_bytes; /* newly, in one way or the other */
	uint32_t packets;	  /* at most so many, with AccECN */
	uint64_t rtt_sent_us; /* when the newest such was sent, only once; 0 */
	struct seq fack;      /* the highest that was delivered before */
	uint32_t ts_echo;     /* TSecr, if has_echo */
	bool has_echo;
	bool original;	/* some of it was never sent again; */
	bool resent;	/* some was; */
	bool reordered; /* and some came after what was sent later */
	bool dsack;	/* a duplicate was reported: */
	struct seq dsack_left, dsack_right;
	bool window_changed;
	bool repeats; /* it is a duplicate by RFC 5681 2 */
};

void flight_init(struct tow_tcp *t);
struct sent *flight_append(struct tow_tcp *t, uint32_t bytes, uint8_t flags);
void flight_acked(struct tow_tcp *t, struct seq ack, struct ack_news *news);
void flight_sacked(struct tow_tcp *t, const struct wire_tcp *seg,
		   struct ack_news *news);
struct sent *flight_split(struct tow_tcp *t, struct sent *s, uint32_t bytes);
struct sent *flight_first(const struct tow_tcp *t);
struct sent *flight_first_waiting(const struct tow_tcp *t);
bool flight_is_waiting(const struct sent *s);
bool flight_is_timed(const struct tow_tcp *t, const struct sent *s);
struct sent *flight_sent_after(const struct tow_tcp *t, const struct sent *s);
struct sent *flight_next(const struct sent *s);
struct sent *flight_prev(const struct sent *s);
struct sent *flight_at(const struct tow_tcp *t, struct seq at);
struct sent *flight_last(const struct tow_tcp *t);
void flight_mark(struct tow_tcp *t, struct sent *s, uint8_t set, uint8_t clear);
void flight_resent(struct tow_tcp *t, struct sent *s);
void flight_all_lost(struct tow_tcp *t, bool recut);
void flight_none_lost(struct tow_tcp *t);
void flight_forget_sacks(struct tow_tcp *t);
bool flight_records_are_scarce(const struct tow_tcp *t);
void flight_clear(struct tow_tcp *t);
uint32_t flight_pipe(const struct tow_tcp *t);

static inline struct seq sent_end(const struct sent *s)
{
	return seq_add(s->seq, s->bytes);
}

/* --------------------------------------------------------- loss, congestion */

enum recovery_state {
	RECOVERY_NONE,
	RECOVERY_FAST, /* RFC 6675 5, RFC 6582 3.2 */
	RECOVERY_LOSS, /* after a retransmission timeout */
};

enum frto_step {
	FRTO_OFF,
	FRTO_RESENT, /* the first segment was sent again, and nothing else */
	FRTO_NEW,    /* new data is next, instead of what seems to be lost */
};

struct recovery {
	uint8_t state;	   /* enum recovery_state */
	uint8_t backoffs;  /* timeouts in a row, without an ACK of news */
	uint8_t doublings; /* of the RTO, since a round trip was measured */
	uint8_t frto : 2;  /* enum frto_step */
	bool careful : 1;  /* duplicates may be of what was sent needlessly */
	bool may_undo : 1;
	bool resent : 1;   /* something was, in this recovery */
	bool syn_lost : 1; /* our SYN went more than once */
	bool adapt : 1;	   /* a timeout was not needed: @calm counts */
	uint16_t dup_acks; /* in a row, without SACK */
	struct seq point;  /* RecoveryPoint: SND.NXT when it began. Or
			    * TLP.end_seq, while a probe is out */
	union {
		struct { /* RFC 9937 6.1, in fast recovery */
			uint32_t delivered, out, recover_fs;
		} prr;
		struct { /* RFC 4015 3.2, from a timeout on */
			uint32_t srtt_us, rttvar_us;
			struct seq news; /* sent since it was seen not to be
					  * needed, if adapt */
		} calm;
	};
	struct { /* what was before, in case that nothing was lost */
		uint32_t cwnd, ssthresh;
		uint32_t resent_bytes; /* and no D-SACK came for them */
		uint32_t resent_ts;    /* our timestamp of the first of them */
		struct seq marker;     /* SND.UNA when it began */
	} undo;
};

uint32_t recovery_delivered(const struct tow_tcp *t,
			    const struct ack_news *news, bool duplicate);
void recovery_on_ack(struct tow_tcp *t, const struct wire_tcp *seg,
		     const struct ack_news *news, bool duplicate);
void recovery_on_timeout(struct tow_tcp *t);
void recovery_on_reorder_timeout(struct tow_tcp *t);
struct sent *recovery_next_lost(const struct tow_tcp *t);
uint32_t recovery_departed(const struct tow_tcp *t);
uint32_t recovery_pipe(const struct tow_tcp *t);
void recovery_sent(struct tow_tcp *t, uint32_t bytes, bool again);

/* rack.c; the names are those of RFC 8985 5.3 */
struct rack {
	uint64_t xmit_us; /* of the last sent that was delivered; 0: none */
	struct seq end;	  /* RACK.end_seq */
	uint32_t rtt_us;
	struct seq dsack_round; /* if in_dsack_round */
	bool in_dsack_round : 1;
	bool reordering_seen : 1;
	uint8_t reo_wnd_mult, reo_wnd_persist;
	uint8_t min_period; /* in which rtt.young_min_us began */
};

void rack_init(struct tow_tcp *t);
void rack_delivered(struct tow_tcp *t, const struct sent *s, struct seq end,
		    const struct ack_news *news);
void rack_adapt(struct tow_tcp *t, const struct ack_news *news);
void rack_recovered(struct tow_tcp *t);
uint32_t rack_detect_loss(struct tow_tcp *t);
bool rack_is_overdue(const struct tow_tcp *t, const struct sent *s);

/* tlp.c; RFC 8985 7.1 */
struct tlp {
	bool out : 1; /* a probe is on its way, */
	bool is_retrans : 1;
	bool stale : 1; /* no round trip was measured since the last probe */
	bool timer : 1; /* TIMER_LOSS is the probe's */
};

void tlp_schedule(struct tow_tcp *t);
void tlp_reset(struct tow_tcp *t);
void tlp_on_timeout(struct tow_tcp *t);
bool tlp_came_twice(const struct tow_tcp *t, const struct ack_news *news);
void tlp_on_ack(struct tow_tcp *t, const struct wire_tcp *seg,
		const struct ack_news *news);

/* frto.c */
void frto_begin(struct tow_tcp *t, bool again);
bool frto_on_ack(struct tow_tcp *t, const struct ack_news *news,
		 bool duplicate);
void frto_give_up(struct tow_tcp *t);
bool frto_wants_news(const struct tow_tcp *t);

/* undo.c */
void undo_prepare(struct tow_tcp *t);
void undo_note_resent(struct tow_tcp *t, uint32_t bytes);
void undo_note_dsack(struct tow_tcp *t, const struct ack_news *news);
bool undo_is_due(const struct tow_tcp *t, const struct ack_news *news);
bool undo_all_were_duplicates(const struct tow_tcp *t);
bool undo_is_proven(const struct tow_tcp *t, const struct ack_news *news);
void undo_reduction(struct tow_tcp *t);
void undo_keep_reduction(struct tow_tcp *t);
void undo_note_timeout(struct tow_tcp *t);
void undo_timeout(struct tow_tcp *t);
void undo_adapt_timeout(struct tow_tcp *t, uint64_t us);

/* prr.c */
void prr_begin(struct tow_tcp *t, const struct ack_news *news);
void prr_on_ack(struct tow_tcp *t, uint32_t delivered_bytes, bool safe);

struct congestion_ops {
	const char *name;
	void (*init)(struct tow_tcp *t);
	/* By how much slow start may grow the window; NULL: by all of it. */
	uint32_t (*slow_start)(struct tow_tcp *t, uint32_t acked_bytes,
			       uint32_t rtt_us);
	/* @acked_bytes were acknowledged while the window was the limit. */
	void (*acked)(struct tow_tcp *t, uint32_t acked_bytes);
	/* Until now it was not the window that limited; NULL: no matter. */
	void (*paused)(struct tow_tcp *t);
	/*
	 * The slow start threshold after a loss, in bytes.
	 * @flight_bytes: in flight before the ACK that tells: RFC 5681 3.1
	 */
	uint32_t (*threshold)(struct tow_tcp *t, uint32_t flight_bytes);
	/* The same after a congestion experienced mark: RFC 8511. */
	uint32_t (*on_ecn)(struct tow_tcp *t, uint32_t flight_bytes);
	/* The last threshold() was wrong, there was no loss. */
	void (*undo)(struct tow_tcp *t);
	/* The connection was idle, or timed out: forget what grew. */
	void (*restart)(struct tow_tcp *t);

	/*
	 * Of one that has a model of the path, and so a record (pacing.c). The
	 * window is all its own, on_ack() sets it after each acknowledgement.
	 */
	void (*on_ack)(struct tow_tcp *t, uint32_t rtt_us);
	void (*lost)(struct tow_tcp *t, const struct sent *s);
	void (*idle_over)(struct tow_tcp *t);
};

/* hystart.c; RFC 9406 4.2 */
struct hystart {
	struct seq window_end; /* windowEnd: there the round ends */
	uint32_t last_min_us, round_min_us, css_base_us;
	uint8_t samples, css_rounds;
	bool css; /* conservative slow start */
};

bool hystart_is_on(const struct tow_tcp *t);
void hystart_begin(struct tow_tcp *t);
uint32_t hystart_acked(struct tow_tcp *t, uint32_t acked_bytes,
		       uint32_t rtt_us);

/* RFC 9438 4.1 */
struct cubic {
	uint32_t epoch_ms; /* 0: none */
	uint32_t w_max, k_ms, w_est, cwnd_prior;
	uint32_t undo_w_max;
	uint32_t seen_ms; /* the last acknowledgement: t counts from there */
};

struct congestion {
	uint32_t cwnd, ssthresh; /* bytes */
	uint32_t bytes_acked;	 /* of this window: RFC 3465 */
	bool limited;		 /* the window, not the application, was */
	union {
		struct hystart hystart; /* while hystart_is_on() */
		struct cubic cubic;	/* from then on */
	};
};

#define CWND_MAX (1u << 30) /* RFC 7323 2.3: the largest window there is */

extern const struct congestion_ops congestion_newreno, congestion_cubic,
	congestion_bbr;
const struct congestion_ops *congestion_ops(const struct tow_tcp *t);
void congestion_init(struct tow_tcp *t);
uint32_t congestion_initial_window(const struct tow_tcp *t);
void congestion_on_ack(struct tow_tcp *t, uint32_t acked_bytes,
		       uint32_t rtt_us);
void congestion_paused(struct tow_tcp *t);
void congestion_after_idle(struct tow_tcp *t);
void congestion_on_smaller_mss(struct tow_tcp *t, uint32_t mss_before);
void congestion_on_ecn(struct tow_tcp *t, uint32_t flight_bytes);
void congestion_undo(struct tow_tcp *t, uint32_t cwnd, uint32_t ssthresh);

/* ecn.c */
struct ecn {
	struct seq reacted; /* SND.NXT at the last reaction to a mark */
	uint32_t marks_in;  /* on segments that came */
	uint32_t marks_out; /* reported by the peer; by ECE once a round trip */
	bool asked : 1;	    /* by our SYN */
	bool on : 1;	    /* both ends agreed */
	bool echo : 1;	    /* ECE on what we send, until CWR comes */
	bool say_cwr : 1;   /* with the next new data */
	bool asked_accurate : 1, accurate : 1; /* AccECN, RFC 9768 */
	bool tell_syn : 1;    /* the next ACK says how the SYN-ACK came */
	bool skip_ack : 1;    /* and this one is no count */
	bool deaf : 1;	      /* marks are not heard of: no ECT, no reaction */
	bool no_ect : 1;      /* something meddles with what we send */
	uint8_t syn_ecn : 2;  /* ECN bits of the peer's SYN or SYN-ACK */
	uint8_t told : 3;     /* marks_in when an ACK went, the low bits */
	bool after_ce : 1;    /* the packet before was marked */
	bool ack_of_acks : 1; /* is owed, for the marks that they had */
	uint16_t record;      /* of host->ecn_bytes, from 1; 0: none */
	uint16_t clean;	      /* packets without a mark, of SHARE_ALL, lately */
};

void ecn_offer(struct tow_tcp *t, struct wire_tcp *h, bool answers, bool again);
void ecn_learn_ack(struct tow_tcp *t, const struct wire_tcp *seg,
		   uint32_t bytes);
void ecn_learn_syn(struct tow_tcp *t, const struct wire_tcp *seg);
bool ecn_learn_syn_again(struct tow_tcp *t, const struct wire_tcp *seg);
void ecn_learn_syn_ack_again(struct tow_tcp *t, const struct wire_tcp *seg);
void ecn_on_segment(struct tow_tcp *t, const struct wire_tcp *seg,
		    uint32_t bytes, uint32_t packets);
void ecn_on_payload(struct tow_tcp *t, const struct wire_tcp *seg);
void ecn_on_ack(struct tow_tcp *t, const struct wire_tcp *seg,
		const struct ack_news *news);
void ecn_mark(struct tow_tcp *t, struct wire_tcp *h, bool bare, bool fresh);
bool ecn_says_cwr(const struct tow_tcp *t);
bool ecn_acks_acks(const struct tow_tcp *t);
void ecn_reduced(struct tow_tcp *t);
bool ecn_is_echo(const struct tow_tcp *t, const struct wire_tcp *seg);

/* ecn_option.c; the counters of RFC 9768 3.2: of ECT(0), CE, ECT(1) */
enum ecn_counter {
	ECN_E0B,
	ECN_CEB,
	ECN_E1B,
	ECN_COUNTERS,
};
#define ECN_BYTES_FIRST \
	{               \
		1, 0, 1 \
	} /* RFC 9768 3.2.1 */

/* Of a connection whose ends agreed on AccECN. */
struct ecn_bytes {
	union {
		uint64_t in[ECN_COUNTERS]; /* r.e0b, r.ceb, r.e1b */
		struct ecn_bytes *next_free;
	};
	uint64_t out[ECN_COUNTERS]; /* s.e0b, s.ceb, s.e1b */
	struct seq carrier;	    /* if carries */
	uint16_t largest;	    /* payload of a packet that we sent */
	uint8_t lost;		    /* such segments, in a row */
	uint8_t moved : 3;	    /* counters that ever did, */
	uint8_t untold : 3;	    /* and that did since they were told */
	bool opens : 1;	  /* goes with each segment, until data went */
	bool carries : 1; /* data with an option is out, from @carrier on */
	bool silent : 1;  /* the path does not take our options, */
	bool ignores : 1; /* or clears the peer's */
	bool heard : 1;	  /* there was one of the peer's */
};

void ecn_option_begin(struct tow_tcp *t, const struct wire_tcp *seg);
void ecn_option_end(struct tow_tcp *t);
void ecn_option_over(struct tow_tcp *t);
void ecn_option_count(struct tow_tcp *t, uint8_t ip_ecn, uint32_t bytes);
uint32_t ecn_option_bytes(const struct tow_tcp *t, uint32_t room);
void ecn_option_fill(struct tow_tcp *t, struct wire_tcp *h, uint32_t room);
void ecn_option_offer(struct wire_tcp *h);
void ecn_option_sent(struct tow_tcp *t, const struct sent *s,
		     uint32_t packet_bytes, bool with);
void ecn_option_resent(struct tow_tcp *t, const struct sent *s);
void ecn_option_ack_lost(struct tow_tcp *t);
bool ecn_option_read(struct tow_tcp *t, const struct wire_tcp *seg);
uint64_t ecn_option_marks(const struct tow_tcp *t);
void ecn_option_tell(const struct tow_tcp *t, struct tow_tcp_info *out);

/*
 * What an acknowledgement tells about the path: RS of draft-ietf-ccwg-bbr 4.1.
 */
struct rate_sample {
	bool has_data, app_limited;
	uint32_t prior_delivered, prior_lost; /* when the newest was sent, */
	uint32_t tx_in_flight;		      /* with itself */
	uint32_t send_us, ack_us;
	uint32_t delivered, lost; /* since then */
	uint32_t newly_acked, newly_lost;
	struct seq end;	      /* of the newest */
	uint64_t bytes_per_s; /* 0: no sample that can be trusted */
};

struct rate {
	uint32_t delivered, lost; /* bytes in all, the low bits */
	uint32_t delivered_us, first_sent_us;
	uint32_t app_limited_until; /* of delivered, if app_limited */
	bool app_limited;
	uint64_t bytes_per_s; /* the last one */
	struct rate_sample rs;
};

struct rate_mark *rate_mark(const struct tow_tcp *t, const struct sent *s);
void rate_init(struct tow_tcp *t);
void rate_sent(struct tow_tcp *t, const struct sent *s, uint32_t in_flight);
void rate_begin(struct tow_tcp *t);
void rate_delivered(struct tow_tcp *t, const struct sent *s, uint32_t bytes);
void rate_lost(struct tow_tcp *t, const struct sent *s);
void rate_sample(struct tow_tcp *t);
void rate_limit(struct tow_tcp *t);
void rate_check_app_limited(struct tow_tcp *t);

/* bbr.c */
enum bbr_state {
	BBR_STARTUP,
	BBR_DRAIN,
	BBR_DOWN, /* of ProbeBW, up to */
	BBR_CRUISE,
	BBR_REFILL,
	BBR_UP,
	BBR_PROBE_RTT,
	BBR_NO_STATE, /* undo_state: there was no change */
};

enum bbr_ack_phase {
	BBR_ACKS_INIT,
	BBR_ACKS_REFILLING,
	BBR_ACKS_PROBE_STARTING,
	BBR_ACKS_PROBE_FEEDBACK,
	BBR_ACKS_PROBE_STOPPING,
};

/* draft-ietf-ccwg-bbr-06 2; bandwidths in bytes/s */
struct bbr {
	uint64_t max_bw[2]; /* of this cycle and of the one before */
	uint64_t bw, bw_latest, bw_shortterm, full_bw;
	uint64_t pacing_rate;
	uint64_t cycle_us; /* cycle_stamp */
	uint64_t min_rtt_stamp_us, probe_rtt_min_stamp_us, probe_rtt_done_us;
	uint64_t extra_acked_us, extra_acked_delivered;
	uint64_t undo_bw_shortterm;
	uint32_t min_rtt_us, probe_rtt_min_us;
	uint32_t cwnd, prior_cwnd;
	uint32_t inflight_latest, inflight_shortterm, inflight_longterm;
	uint32_t undo_inflight_shortterm, undo_inflight_longterm;
	uint32_t extra_acked[2], extra_acked_round;
	uint32_t next_round_delivered, loss_round_delivered;
	uint32_t round_count, drain_start_round, rounds_since_probe_up;
	uint32_t probe_up_acked, probe_up_acked_per_inc;
	uint32_t bw_probe_wait_us;
	struct seq lost_end;	   /* of what was lost last */
	uint8_t state, undo_state; /* enum bbr_state */
	uint8_t ack_phase;	   /* enum bbr_ack_phase */
	uint8_t full_bw_count, probe_up_rounds, loss_ranges;
	bool round_start : 1, loss_round_start : 1, loss_in_round : 1;
	bool full_bw_now : 1, full_bw_reached : 1;
	bool bw_probe_sample : 1;
	bool prev_probe_too_high : 1, prev_probe_precautionary : 1;
	bool probe_rtt_expired : 1, probe_rtt_round_done : 1;
	bool idle_restart : 1, in_recovery : 1;
	bool cwnd_limited : 1, limited_now : 1; /* last round, this one */
};

/* pacing.c: what a paced connection has */
struct paced {
	union {
		struct tow_tcp *tcp;
		struct paced *next_free;
	};
	struct timer timer;   /* until the next burst, if that is waited for */
	uint64_t bytes_per_s; /* never 0 */
	uint64_t next_ns;     /* when the next burst may begin */
	uint32_t burst_bytes; /* left of this one */
	bool held;	      /* something waits for the next one */
	struct rate rate;
	struct bbr bbr;
};

bool pacing_adopt(struct tow_tcp *t, const struct tcp_settings *set);
void pacing_end(struct tow_tcp *t);
void pacing_set(struct tow_tcp *t, uint64_t bytes_per_s);
uint64_t pacing_rate_of(uint64_t bytes, uint32_t percent, uint32_t rtt_us);
uint32_t pacing_quantum(const struct tow_tcp *t);
uint32_t pacing_room(struct tow_tcp *t);
void pacing_sent(struct tow_tcp *t, const struct sent *s, bool again);
void pacing_lost(struct tow_tcp *t, const struct sent *s);
void pacing_on_ack(struct tow_tcp *t, uint32_t rtt_us);
void pacing_renew(struct tow_tcp *t);

struct rtt {
	uint32_t srtt_us, rttvar_us;
	uint32_t min_us; /* RACK.min_RTT; 0: nothing was measured exactly */
	uint32_t young_min_us; /* of this period alone, see rtt.c */
};

void rtt_init(struct rtt *rtt);
void rtt_sample(struct tow_tcp *t, uint64_t us);
void rtt_sample_echo(struct rtt *rtt, uint32_t ticks);
void rtt_set(struct rtt *rtt, uint32_t srtt_us, uint32_t rttvar_us);
uint32_t rtt_timeout_us(const struct tow_tcp *t);
uint32_t rtt_backed_off(const struct tow_tcp *t);

/* ---------------------------------------------------- what holds us up */

enum hold_up {
	HOLD_IDLE,
	HOLD_BUSY,
	HOLD_WINDOW,
	HOLD_BUFFER,
	HOLD_UPS,
};

struct hold {
	uint32_t ms[HOLD_UPS], since_ms;
};

void hold_note(struct tow_tcp *t);
uint64_t hold_us(const struct tow_tcp *t, enum hold_up what);

/* -------------------------------------------------------------- urgent data */

struct urgent {
	struct seq rcv, snd; /* the byte that follows the urgent ones */
};

void urgent_arrives(struct tow_tcp *t, const struct wire_tcp *seg);
void urgent_expire(struct tow_tcp *t);
void urgent_send(struct tow_tcp *t);
void urgent_mark(struct tow_tcp *t, struct wire_tcp *h);

/* ------------------------------------------------------------- user timeout */

bool user_timeout_is_told(const struct tow_tcp *t);
void user_timeout_tell(struct tow_tcp *t, struct wire_tcp *h);
void user_timeout_heard(struct tow_tcp *t, const struct wire_tcp *seg);
uint64_t user_timeout_us(const struct tow_tcp *t);

/* ---------------------------------------------------------------- path MTU */

enum mtu_state {
	MTU_SETTLED,   /* nothing to find out */
	MTU_WAITING,   /* until raise_s: then something larger is tried */
	MTU_SEARCHING, /* by probes */
};

struct mtu {
	uint8_t state;	      /* enum mtu_state */
	uint16_t high;	      /* IP bytes; nothing larger is tried */
	uint16_t probe;	      /* IP bytes of the probe that is out; 0: none */
	uint16_t acked_bytes; /* payload of the largest packet acknowledged */
	uint16_t claimed;     /* by ICMP, and not believed yet; 0: nothing */
	uint32_t raise_s;     /* no probe before */
	struct seq probe_seq, probe_end, claimed_seq;
};

uint32_t mtu_floor(const struct tow_tcp *t);
uint32_t mtu_payload(const struct tow_tcp *t, uint32_t mtu);
void mtu_begin(struct tow_tcp *t);
void mtu_lower(struct tow_tcp *t, uint32_t mtu);
void mtu_believe(struct tow_tcp *t, uint32_t told);
uint32_t mtu_probe_bytes(struct tow_tcp *t, uint64_t queued, uint32_t window,
			 uint32_t cwnd);
void mtu_probe_sent(struct tow_tcp *t, const struct sent *s);
void mtu_on_ack(struct tow_tcp *t);
bool mtu_probe_lost(struct tow_tcp *t);
void mtu_probe_resent(struct tow_tcp *t, const struct sent *s);
bool mtu_probe_refused(struct tow_tcp *t, struct seq seq, uint32_t mtu);
void mtu_on_timeout(struct tow_tcp *t);

/* ---------------------------------------------------------------- receiver */

struct receive {
	struct tow_buf *head, *tail; /* in order, not returned yet */
	struct tow_buf *borrow;	     /* next byte to be borrowed is here, */
	struct tow_buf *before; /* it, if its offset is 0; NULL: it is head */
	uint32_t borrow_offset; /* at this offset of what is left of it */
	uint32_t cost; /* true cost of all buffers held, passed ones too */
	uint32_t unread_bytes; /* not returned, with those on loan */
	uint32_t borrowed_bytes;
	struct list passed; /* read to their end, but on their way out again */
	struct tree holes;  /* out of order, by sequence number */
	uint32_t limit;	    /* of cost: the receive buffer */
	uint16_t ratio;	    /* payload per cost, in 1/256 */
	bool fin_seen, dsack_pending;
	struct seq fin; /* sequence number of the peer's FIN */
	struct wire_tcp_sack sacks[TCP_SACK_BLOCKS_MAX]; /* newest first */
	struct wire_tcp_sack dsack;
	uint8_t sack_count;
	/* Auto-tuning: what the application took in one round trip. */
	uint32_t tune_us; /* the low bits of when that began */
	uint32_t tune_bytes;
};

void receive_init(struct tow_tcp *t);
bool receive_segment(struct tow_tcp *t, struct tow_buf *buf, struct seq seq,
		     bool fin);
void receive_early(struct tow_tcp *t, struct tow_buf *buf, struct seq seq,
		   bool fin);
bool receive_what_was_early(struct tow_tcp *t);
uint16_t receive_advertise(struct tow_tcp *t, bool syn);
void receive_keep_promise(struct tow_tcp *t);
bool receive_window_grew(const struct tow_tcp *t);
void receive_free(struct tow_tcp *t);

struct seq receive_last(const struct tow_tcp *t);
void receive_drop_placed(struct tow_tcp *t);
void receive_rescue_placed(struct tow_tcp *t);

/* borrow.c */
size_t receive_copy(struct tow_tcp *t, uint8_t *out, size_t bytes,
		    enum tow_copy why);
void receive_returned(struct tow_tcp *t, size_t bytes);
void receive_release(struct tow_tcp *t, size_t bytes);
void receive_tune(struct tow_tcp *t, size_t bytes);
void receive_tune_over(struct tow_tcp *t, size_t bytes, uint32_t round_trip_us);
int receive_borrow(struct tow_tcp *t, struct tow_span *out, int max);

/* revoke.c */
extern const struct borrower_ops tcp_borrower_ops;
bool revoke_at_cursor(struct tow_tcp *t);

/* pass.c */
int64_t pass_borrowed(struct tow_tcp *to, struct tow_tcp *from, size_t bytes,
		      unsigned flags);
void pass_keep(struct tow_tcp *t, struct tow_buf *buf);
void pass_done(struct tow_buf *buf);
void pass_forget(struct tow_tcp *t);

/* report.c */
void report_fill(struct tow_tcp *t, struct wire_tcp *out, uint32_t room);
uint32_t report_bytes(const struct tow_tcp *t, uint32_t room);
void report_duplicate(struct tow_tcp *t, struct seq left, struct seq right);
void report_hole(struct tow_tcp *t, struct seq left, struct seq right);
void report_filled(struct tow_tcp *t, struct seq nxt);

/* ----------------------------------------------------- posted buffers, hints
 */

struct post {
	struct post *next;
	uint8_t *ptr;
	size_t bytes;
	size_t filled;	/* of the stream's, from the front */
	size_t placed;	/* of them, by the device */
	size_t written; /* something was written up to here */
	uint64_t token;
	int32_t status; /* once it is done */
	uint32_t why;	/* copied: 1 << enum tow_copy */
};

/* Why bytes are copied that are placed at another address, or not placed. */
struct post_reasons {
	enum tow_copy placed, elsewhere;
	bool was_held; /* the segment was looked at when it came */
};

struct placing {
	struct list dirty;     /* in host->placing: the hint is out of date */
	struct net_link *link; /* whose device has a hint; NULL: none */
	uint8_t state;	       /* enum tow_placement */
	struct hint_trial trial;
};

/*
 * What is posted to one connection. It is taken with the first post; one that
 * is empty goes on to another connection when there are no more.
 */
struct posts {
	struct list idle;    /* in host->idle_queues while it is empty */
	struct tow_tcp *tcp; /* whose it is; NULL: nobody's */
	struct post *head, *tail;
	struct post *done, **done_tail; /* to be reported */
	uint64_t room;			/* that is left in all of them */
	uint32_t count;
	struct placing placing;
};

/* post.c */
bool post_take(struct tow_tcp *t, struct tow_buf *buf,
	       const struct post_reasons *why);
bool post_hold(struct tow_tcp *t, struct tow_buf *buf);
void post_end(struct tow_tcp *t, int status);
void post_close(struct tow_tcp *t);
void post_forget(struct tow_tcp *t);
bool post_take_event(struct tow_tcp *t, struct tow_event *out);
bool post_note_written(struct tow_tcp *t, const struct tow_span *span);
struct tow_span post_span_at(const struct tow_tcp *t, uint64_t distance);

/* place.c */
uint64_t place_token(const struct tow_tcp *t);
enum tow_placement place_state(const struct tow_tcp *t);
void place_update(struct tow_tcp *t);
void place_soon(struct tow_tcp *t);
void place_learn(struct tow_tcp *t, bool hit);

/* -------------------------------------------------------------- connection */

struct tow_tcp {
	struct tow_tcp *hash_next; /* or of the free list */
	struct tcp_host *host;
	struct list output; /* in host->output while something is to be sent */
	struct list ready;  /* in host->ready while events are pending */
	/*
	 * In one of half-open, accept, host->leaving; or, while the program
	 * has it and sends, in host->starved until there is memory again.
	 */
	struct list queue;
	struct timer timer; /* the earliest of deadlines_ms, or earlier */
	uint32_t deadlines_ms[TCP_TIMERS]; /* low bits; 0: off */

	union {
		struct tow_listener *listener; /* until it was accepted */
		void *user;		       /* from then on */
	};
	struct net_path path; /* with both addresses and the peer's zone */
	uint16_t local_port, remote_port, local_zone;
	int16_t error;	    /* TOW_E*: why it is over */
	int16_t soft_error; /* what ICMP says; 0 when there is progress */

	bool urgent_came, urgent_sends; /* as urgent says */
	uint32_t generation; /* of this record: 24 bits, see place_token() */
	uint8_t state;	     /* enum tow_tcp_state */
	uint8_t pending;     /* enum tcp_pending */
	bool want_write : 1; /* EAGAIN was said: WRITABLE is owed */
	bool ack_now : 1;
	bool app_closed : 1; /* the application has no handle any more */
	bool passive : 1;    /* came by a listener, */
	bool waits : 1;	     /* which has it, until it is accepted */
	bool promoted : 1;   /* the handshake is complete */
	bool sack : 1, timestamps : 1, scaling : 1; /* both sides want them */
	bool hashed : 1;
	bool orphan : 1; /* in host->orphans */
	bool fin_sent : 1;
	bool fast_open : 1;	 /* data on the SYN was taken */
	bool fast_pending : 1;	 /* by Fast Open, and not heard of since */
	bool give_cookie : 1;	 /* with the SYN-ACK */
	bool cleanly_closed : 1; /* both FINs acknowledged: not an error */
	bool fast_is_254 : 1; /* the peer's option, or ours, is the old one */
	bool fast_asked : 1;  /* our SYN had the option, */
	bool fast_tried : 1; /* or data; it may yet turn out to be the reason */
	uint8_t unheard : 2; /* answers in a row to what was old */
	uint8_t hold_what;   /* enum hold_up */
	uint8_t probes;	     /* unanswered: zero window or keepalive */
	uint8_t challenges;  /* since challenge_ms */
	uint32_t parent;     /* the listener's number; 0: none */
	uint32_t retransmits;
	uint64_t retransmitted_bytes; /* of payload */
	uint16_t user_timeout; /* the peer's, as in its option; 0: none */
	bool user_timeout_due; /* ours changed: the next segment says so */
	struct tlp tlp;
	uint32_t unacked_bytes; /* received in order since our last ACK */

	struct {
		struct seq una, nxt, iss;
		struct seq wl1, wl2; /* of the last window update */
		uint32_t wnd;	     /* scaled */
		uint32_t wnd_max;    /* largest ever: RFC 9293 3.8.6.2.1 */
		uint8_t scale;
		uint16_t mss_peer; /* from its SYN, or the default */
		uint16_t mss;	   /* payload per packet, options taken off */
		uint32_t mtu;	   /* of the path as far as we know */
	} snd;

	struct {
		uint64_t bytes; /* of payload that came, in order */
		struct seq nxt, irs;
		struct seq edge;  /* right edge of the window advertised */
		uint32_t data_ms; /* when payload came last */
		uint32_t segment_bytes; /* of full segments, as seen: for
					   delayed ACKs */
		uint16_t mss;		/* as advertised */
		uint8_t scale;
		uint8_t quick_acks : 7; /* ACKs that are not delayed yet */
		bool interactive : 1;	/* we answer: answers carry our ACKs */
	} rcv;

	struct {
		uint32_t recent;     /* TS.Recent */
		uint32_t recent_s;   /* when it was set */
		uint32_t offset;     /* of our clock: RFC 7323 7.1 */
		struct seq last_ack; /* Last.ACK.sent */
	} ts;

	struct send_queue send;
	struct flight flight;
	struct rack rack;
	struct congestion cc;
	struct rtt rtt;
	struct recovery recovery;
	struct ecn ecn;
	struct mtu mtu;
	struct hold hold;
	struct urgent urgent;
	uint32_t challenge_ms; /* when the count of them began */
	struct receive receive;
	struct paced *paced; /* NULL: it is not, see struct paced */
	struct posts *posts; /* NULL: none are, see struct posts */
	struct auth *auth;   /* NULL: it is not signed, see tcp_auth.h */
	struct borrower borrower;
	struct tcp_settings set;

	uint64_t progress_us; /* last time the peer acknowledged something new,
			       * or nothing was outstanding: user timeout */

	struct tow_ledger *ledger; /* NULL: nobody asked for it */
};
_Static_assert(sizeof(struct tow_tcp) <= 1008, /* 1 KiB with the tables */
	       "what few connections need is a record: docs/decisions/0017");

/* A connection's own ledger; or it is free. */
union ledger_record {
	struct tow_ledger ledger;
	union ledger_record *next;
};

struct tow_listener {
	struct tcp_host *host;
	struct list ready;
	struct list half_open, accept; /* connections, by ->queue */
	void *user;
	struct tow_endpoint local;
	struct tcp_settings set;
	struct tow_owner *owner; /* of its children; NULL: none */
	struct auth_key *keys;	 /* of peers that have to sign */
	uint32_t half_open_count, accept_count, backlog;
	uint32_t number; /* which one it is of all there ever were, from 1 */
	uint32_t fast_opens;	 /* opened by Fast Open, not heard of since */
	uint32_t fast_resets[2]; /* of those that were reset, this period */
	uint64_t fast_reset_us;	 /* began then, and the one before */
	struct fast_keys fast_keys; /* not given: the stack's */
	uint64_t cookie_us; /* when a SYN cookie was sent last; 0: never */
	bool open, pending;
};

/* tcp_auth.c; those that take a connection want one that has t->auth */
void auth_end(struct tow_tcp *t);
void auth_close_listener(struct tow_listener *l);
bool auth_accepts(struct tow_tcp *t, struct net_packet *packet,
		  const struct wire_tcp *seg);
bool auth_asks(const struct tow_listener *l, const struct tow_addr *peer);
bool auth_admits(const struct tow_listener *l, struct net_packet *packet,
		 const struct wire_tcp *seg);
bool auth_ignores(const struct tow_tcp *t, const struct net_error *error);
uint32_t auth_option_bytes(const struct tow_tcp *t);
bool auth_forgoes_timestamps(const struct tow_tcp *t, bool sack);
void auth_prepare(const struct tow_tcp *t, struct wire_tcp *h);
bool auth_sign(struct tow_tcp *t, const struct tow_buf *buf, uint8_t *header,
	       const struct wire_tcp *h);
bool auth_inherit(struct tow_tcp *t, const struct tow_listener *l,
		  const struct wire_tcp *seg);
void auth_borrow(struct tow_tcp *t, const struct tow_listener *l,
		 const struct wire_tcp *seg, struct auth *a);
void auth_borrow_for_reset(struct tow_tcp *t, const struct tow_listener *l,
			   const struct wire_tcp *seg, struct auth *a);

/* tcp_state.c */
void tcp_enter(struct tow_tcp *t, enum tow_tcp_state next);
void tcp_check(const struct tow_tcp *t);
#ifdef TOW_CHECKS
#define TCP_CHECK(t) tcp_check(t)
#else
#define TCP_CHECK(t) ((void)0)
#endif
static inline bool tcp_can_send(const struct tow_tcp *t)
{
	return t->state == TOW_TCP_ESTABLISHED ||
	       t->state == TOW_TCP_CLOSE_WAIT;
}
bool tcp_synchronized(const struct tow_tcp *t);
void tcp_fail(struct tow_tcp *t, int error);
void tcp_release(struct tow_tcp *t);
void tcp_await_fin(struct tow_tcp *t);

/* tcp_table.c */
struct tow_tcp *table_find(struct tcp_host *host,
			   const struct tow_endpoint *local,
			   const struct tow_endpoint *remote);
struct tow_listener *table_find_listener(struct tcp_host *host,
					 const struct tow_endpoint *local);
void table_fill(struct tow_tcp *t, struct tcp_host *host,
		const struct tow_endpoint *local,
		const struct tow_endpoint *remote,
		const struct tcp_settings *set);
struct tow_tcp *table_new(struct tcp_host *host,
			  const struct tow_endpoint *local,
			  const struct tow_endpoint *remote,
			  const struct tcp_settings *set);
void table_insert(struct tow_tcp *t);
void table_remove(struct tow_tcp *t);
void table_free(struct tow_tcp *t);
struct tow_ledger *table_new_ledger(struct tcp_host *host);
void table_free_ledger(struct tow_tcp *t);
int table_pick_port(struct tcp_host *host, struct tow_endpoint *local,
		    const struct tow_endpoint *remote);
void settings_default(struct tcp_settings *set, const struct tow_config *cfg);
bool settings_has(enum tow_tcp_option option);
int settings_set(struct tcp_settings *set, enum tow_tcp_option option,
		 int64_t value);
int64_t settings_get(const struct tcp_settings *set,
		     enum tow_tcp_option option);

/* orphan.c */
void orphan_add(struct tow_tcp *t);
void orphan_forget(struct tow_tcp *t);
void orphan_progressed(struct tow_tcp *t);
void orphan_make_room(struct tcp_host *host);

/* tcp_listen.c */
struct tow_tcp *listen_input(struct tow_listener *l, struct net_packet *packet,
			     const struct wire_tcp *seg,
			     const struct seq *after);
bool listen_is_pressed(const struct tow_listener *l);
void listen_promote(struct tow_tcp *t);
void listen_forget(struct tow_tcp *t);
bool listen_keeps(const struct tow_tcp *t);

/* syn_cookie.c */
void cookie_init(struct tcp_host *host);
void cookie_send(struct tow_tcp *t);
bool cookie_returns(struct tcp_host *host, const struct net_packet *packet,
		    const struct wire_tcp *seg, struct wire_tcp *syn);
bool cookie_is_awaited(const struct tow_listener *l);

/* fast_open.c: the server */
void fast_open_init(struct tcp_host *host);
bool fast_open_accept(struct tow_tcp *t, const struct wire_tcp *seg,
		      uint32_t bytes);
void fast_open_cookie(const struct tow_tcp *t, struct wire_tcp *h);
void fast_open_settle(struct tow_tcp *t);

/* fast_client.c: the client */
uint32_t fast_client_offer(struct tow_tcp *t, struct wire_tcp *h);
bool fast_client_waits(const struct tow_tcp *t);
void fast_client_learn(struct tow_tcp *t, const struct wire_tcp *seg,
		       const struct ack_news *news, bool data);
void fast_client_suspect(struct tow_tcp *t);
void fast_client_doubt(struct tow_tcp *t);
void fast_client_over(struct tow_tcp *t);

/* tcp_input.c */
void tcp_take_early(struct tow_tcp *t, struct net_packet *packet,
		    const struct wire_tcp *seg);

/* tcp_connect.c: numbers and options that both ways of opening share */
struct seq tcp_new_isn(const struct tow_tcp *t);
void tcp_choose_mss(struct tow_tcp *t);
uint32_t tcp_headers_bytes(const struct tow_tcp *t);
uint32_t tcp_option_bytes(const struct tow_tcp *t);
void tcp_learn_syn(struct tow_tcp *t, const struct wire_tcp *seg);
int tcp_open_path(struct tow_tcp *t);
uint32_t tcp_own_mss(const struct tow_tcp *t);
void tcp_offer(struct tow_tcp *t);
void tcp_begin(struct tow_tcp *t, const struct seq *after);
void tcp_send_syn(struct tow_tcp *t);
void tcp_establish(struct tow_tcp *t);
enum verdict connect_input(struct tow_tcp *t, const struct wire_tcp *seg);

/* tcp_output.c */
void tcp_want_output(struct tow_tcp *t);
int tcp_output(struct tow_tcp *t);
bool tcp_send_control(struct tow_tcp *t, uint8_t flags);
void tcp_send_cookie(struct tow_tcp *t);
void tcp_send_probe(struct tow_tcp *t);
void tcp_send_keepalive(struct tow_tcp *t);
bool tcp_resend(struct tow_tcp *t, struct sent *s, uint32_t bytes_max);
bool tcp_send_tail_probe(struct tow_tcp *t, bool *is_retrans);
void tcp_send_challenge(struct tow_tcp *t);
void tcp_reject(struct tcp_host *host, const struct net_packet *packet,
		const struct wire_tcp *seg, const struct tow_tcp *known);
uint32_t tcp_timestamp(const struct tow_tcp *t);
uint32_t tcp_option_room(const struct tow_tcp *t);

/* tcp_timer.c */
uint64_t timer_at_us(const struct tow_tcp *t, enum tcp_timer which);
void timer_set(struct tow_tcp *t, enum tcp_timer which, uint64_t at_us);
void timer_clear(struct tow_tcp *t, enum tcp_timer which);
void timer_arm_retransmit(struct tow_tcp *t);
void timer_restart_retransmit(struct tow_tcp *t);
void timer_restart_keepalive(struct tow_tcp *t);

/* tcp_api.c */
void tcp_pend(struct tow_tcp *t, enum tcp_pending what);
void tcp_after_read(struct tow_tcp *t);

/* Tokens that still have to be reported, also after the application closed. */
static inline bool tcp_owes_tokens(const struct tow_tcp *t)
{
	return t->send.done || (t->posts && t->posts->done);
}

static inline bool tcp_has_posts(const struct tow_tcp *t)
{
	return t->posts && t->posts->head;
}

/* Bytes of the stream that go into what is posted. */
static inline uint64_t tcp_posted_room(const struct tow_tcp *t)
{
	return t->posts ? t->posts->room : 0;
}

static inline struct tow_endpoint tcp_local(const struct tow_tcp *t)
{
	return (struct tow_endpoint){ t->path.src, t->local_port,
				      t->local_zone };
}

static inline struct tow_endpoint tcp_remote(const struct tow_tcp *t)
{
	return (struct tow_endpoint){ t->path.dst, t->remote_port,
				      t->path.zone };
}

static inline struct net *tcp_net(const struct tow_tcp *t)
{
	return t->host->net;
}

static inline uint64_t tcp_now(const struct tow_tcp *t)
{
	return t->host->net->now_us;
}

static inline uint32_t tcp_now_s(const struct tow_tcp *t)
{
	return (uint32_t)(tcp_now(t) / 1000000);
}

static inline void tcp_count(const struct tow_tcp *t, enum tow_counter what)
{
	net_count(t->host->net, what);
}

static inline void tcp_drop(const struct tow_tcp *t, enum tow_drop why)
{
	net_drop(t->host->net, why);
}

static inline struct ledgers tcp_ledgers(struct tow_tcp *t)
{
	return (struct ledgers){ t->ledger, &t->host->net->stats.ledger };
}

/* Enter bytes in the ledger of the stack, and in the connection's own. */
#define TCP_ENTER(t, what, bytes)                    \
	do {                                         \
		struct ledgers to_ = tcp_ledgers(t); \
                                                     \
		to_.stack->what += (bytes);          \
		if (to_.socket)                      \
			to_.socket->what += (bytes); \
	} while (0)

/* The next @bytes of the stream are here. */
static inline void receive_advance(struct tow_tcp *t, uint32_t bytes)
{
	t->rcv.nxt = seq_add(t->rcv.nxt, bytes);
	t->rcv.bytes += bytes;
}

/* Packets of that much payload arrive; a claim that they do not was a lie. */
static inline void mtu_note_acked(struct tow_tcp *t, uint32_t bytes)
{
	bytes = MIN(bytes, t->snd.mss);
	t->mtu.acked_bytes = (uint16_t)MAX(t->mtu.acked_bytes, bytes);
	if (t->mtu.claimed && seq_after(t->snd.una, t->mtu.claimed_seq))
		t->mtu.claimed = 0;
	if (t->mtu.probe)
		mtu_on_ack(t);
}

static inline uint32_t tcp_in_flight(const struct tow_tcp *t)
{
	return (uint32_t)seq_diff(t->snd.nxt, t->snd.una);
}

/* What was in flight when an ACK came: FlightSize of RFC 5681 2. */
static inline uint32_t tcp_flight_before(const struct tow_tcp *t,
					 const struct ack_news *news)
{
	return tcp_in_flight(t) + news->acked_bytes;
}

#endif
