/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

/*
 * A random scenario: what `tow sim` makes out of one seed.
 *
 *	sim.c           the command: seeds, jobs, what is printed
 *	sim_profile.c   what a profile's networks, devices and memories are like
 *	sim_boxes.c     what middleboxes there are
 *	sim_world.c     one scenario: build, run, check, take down
 *	sim_weather.c   what becomes of the network in the meantime
 *	sim_stream.c    programs at the two ends of a TCP connection
 *	sim_option.c    and what they ask of it
 *	sim_sign.c      and how they sign it
 *	sim_relay.c     a program between them, which passes on what it gets
 *	sim_post.c      and receive into posted buffers
 *	sim_datagram.c  programs that exchange datagrams
 *	sim_slots.c     and receive them into posted buffers
 *	sim_ferry.c     a program between them, which passes them on
 *	sim_party.c     owners of what is borrowed, and how they end
 *	sim_sleeper.c   one reader who stalls, and must not stop the others
 *	sim_attacker.c  somebody who forges segments
 *	sim_loan.c      memory that is lent, and what becomes of it
 *
 * Programs do what programs do: they send and lend in pieces of all sizes,
 * read slowly or fast, shut down, close, or abort in the middle. Bytes of a
 * stream are a function of its key and their position, so that a reader knows
 * what must come. Whatever is wrong ends the scenario with a sentence.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <tow/auth.h>
#include <tow/owner.h>
#include <tow/sim.h>
#include <tow/stack.h>
#include <tow/tcp.h>
#include <tow/udp.h>
#include "dev/dice.h"

#define NODES_MAX     4
#define FLOWS_MAX     20
#define DATAGRAMS_MAX 4
#define PARTIES_MAX   4
#define HELD_MAX      128 /* spans borrowed and not returned, per end */
#define NEVER	      UINT64_MAX
#define SERVER_PORT   5000
#define RELAY_PORT    5001
#define SIGNED_PORT   5002

struct world;

/* What an object's user pointer points at. */
enum subject {
	SUBJECT_END = 1,
	SUBJECT_DATAGRAMS,
	SUBJECT_LEG,
	SUBJECT_FERRY,
};

/* How bad things may be in scenarios of a kind; each draws from 0 to there. */
struct profile {
	const char *name, *about;

	struct tow_sim_wire worst; /* delay, jitter and faults, each way */
	uint64_t bits_per_s_min, bits_per_s_max; /* 0: no limit */
	uint32_t queue_bytes_min; /* of what a wire's queue holds at most */
	uint64_t stream_bytes_max;
	unsigned flows_max;
	bool tiny;	   /* memory so small that everything runs out */
	bool lfn;	   /* large windows */
	bool vanishes;	   /* a device is torn out */
	bool attacked;	   /* somebody forges segments */
	bool weather;	   /* the network changes while it is used */
	bool boxed;	   /* middleboxes meddle with TCP */
	bool moves;	   /* addresses go, and come back */
	bool light;	   /* memory for few connections */
	bool odd_links;	   /* rings, layouts, spans at their limits */
	bool perfect;	   /* nothing may be sent twice */
	bool deadly;	   /* connections may time out */
	uint64_t stall_us; /* no progress for so long is a stall */
};

const struct profile *profile_find(const char *name);
const struct profile *profile_at(unsigned i); /* NULL past the end */
/* What `mixed` stands for in this scenario; others stand for themselves. */
const struct profile *profile_pick(const struct profile *profile,
				   struct dice *dice);

void profile_config(struct world *world, struct tow_config *cfg);
void profile_port(struct world *world, struct tow_sim_port *port);

/* Memory that was lent. A token says which, and proves that it is one. */
struct loan_record {
	uint64_t token;
	uint8_t *memory; /* NULL: came back */
	size_t bytes;
	const bool *may_fail; /* may it come back with an error by now? */
	bool is_datagram;
};

/* Connections and sockets of one stack that have an owner in common. */
struct party {
	struct node *node;
	struct tow_owner *owner; /* NULL: closed */
	uint8_t *refuge;	 /* filled with one value when it is closed */
	size_t refuge_bytes;
	uint64_t close_us; /* and all that it owns; NEVER: at the end */
};

/*
 * TOW_EVENT_REVOKE was taken: the first poll after it takes back what is on
 * loan then.
 */
struct revocation {
	uint64_t at_poll; /* of the world's; 0: none is due */
};

/* A stack and its one device. */
struct node {
	struct tow_stack *stack;
	struct tow_dev *dev;
	struct tow_config cfg;
	struct tow_sim_port how;
	struct tow_addr addr[2]; /* IPv4, IPv6 */
	struct tow_listener *listener, *relays;
	struct tow_listener *signer;		     /* NULL: none */
	struct party *listener_party, *relays_party; /* of who comes */
	uint64_t vanish_us;
	bool opened, gone;
	bool box_breaks; /* TCP, at its port */
	bool crowded;	 /* listeners forget who comes while others wait */
	size_t memory_bytes;
	void *memory;

	/* What the programs on it did, to compare with the ledger. */
	uint64_t accepted_bytes; /* taken by send and lend */
	uint64_t copied_out_bytes;
	uint64_t returned_bytes, borrowed_bytes;
	uint64_t placed_bytes; /* into posts of streams, by their events */
};

enum ending {
	END_SHUTDOWN, /* half-close, read until the peer's end, close */
	END_CLOSE,    /* close with everything queued, unread bytes or not */
	END_ABORT,    /* in the middle of it */
};

struct held {
	struct tow_span span;
	uint64_t position;
};

#define POSTS_MAX 4

/* Memory that was posted for a stream. */
struct post_record {
	uint8_t *memory; /* with canaries in front and behind; NULL: none */
	size_t whole,
		front; /* bytes: of all of it, in front of what is posted */
	size_t bytes;
	uint64_t token;
	bool taken_back; /* before its event came */
	uint8_t *first;	 /* what it held then */
};

/* One end of a connection, and the program that has it. */
struct end {
	enum subject subject; /* must be first */
	struct world *world;
	struct flow *flow;
	struct end *peer;
	struct node *node;
	struct tow_tcp *tcp;
	bool had; /* a handle, ever */
	bool connected, closed_event;
	bool done; /* the handle was closed, or never came */
	bool readable, writable, eof, shut;
	int error;

	uint64_t key; /* of the stream it sends */
	uint64_t plan_bytes, sent_bytes;
	uint64_t urgent_end; /* of the stream, where the last mark is */
	uint64_t got_bytes, returned_bytes;
	struct held held[HELD_MAX]; /* oldest first */
	unsigned held_count;
	struct party *party; /* NULL: none */
	struct revocation revocation;
	struct post_record posts[POSTS_MAX];
	unsigned posts_out;
	uint64_t post_token, post_token_due; /* made last, came back last */

	/* Habits. */
	enum ending ending;
	uint64_t abort_at_bytes; /* sent or got */
	uint32_t lend_ppm, borrow_ppm, more_ppm, hold_ppm, pause_ppm;
	uint32_t post_ppm, record_ppm, urgent_ppm;
	unsigned posts_at_once;
	uint64_t write_max, read_max;
	uint64_t pause_us_max, pause_until_us;
};

/* One of the two connections of a relay. */
struct leg {
	enum subject subject; /* must be first */
	struct relay *relay;
	struct tow_tcp *tcp; /* NULL: not yet, or no more */
	bool readable, writable, eof, shut;
	struct tow_span held[HELD_MAX]; /* on loan from here, oldest first */
	unsigned held_count;
	struct party *party; /* NULL: none */
	struct revocation revocation;
};

/* Between the two ends of some flows. */
struct relay {
	struct world *world;
	struct flow *flow;
	struct node *node;
	struct leg near, far;	    /* to the flow's a, to its b */
	struct tow_endpoint client; /* by which b knows the far leg */
	bool wanted, started, done;
	uint32_t copy_ppm, part_ppm, hold_ppm; /* habits */
};

struct flow {
	unsigned number;
	struct end a, b; /* a connects */
	struct relay relay;
	bool both_connect;
	bool is_signed;
	int family; /* 0 IPv4, 1 IPv6 */
	uint64_t start_us;
	bool started, done;
	bool may_fail;	    /* an end of this flow is allowed to see an error */
	bool stirred;	    /* an event came: act at once */
	uint64_t called_us; /* when b, or its relay, was called */
	uint64_t next_us;   /* act then at the latest */
	uint64_t moved_us;  /* when something last happened */
	uint64_t moved_sum;
	struct tow_endpoint client, server;
};

#define FERRIED_MAX 16

/* Between the two sockets of some datagrams. */
struct ferry {
	enum subject subject; /* must be first */
	struct datagrams *flow;
	struct node *node;
	struct tow_udp *in, *out;    /* NULL: not yet, or no more */
	bool wanted, stuck;	     /* until there is room to send */
	uint32_t bytes[FERRIED_MAX]; /* of what is on loan, oldest first */
	unsigned held;
	struct party *party; /* of in; NULL: none */
	struct revocation revocation;
	uint32_t copy_ppm, drop_ppm, hold_ppm; /* habits */
};

#define DATAGRAM_COUNT_MAX 256
#define HELD_DATAGRAMS_MAX 3
#define SLOT_POSTS_MAX	   4

/* Memory that was posted for datagrams. */
struct slot_post {
	uint8_t *memory;     /* with canaries in front and behind; NULL: none */
	size_t whole, bytes; /* all of it; of its slots */
	uint64_t token;
	uint64_t filled, end, placed_bytes; /* by the records */
	bool copied;
};

/* Datagrams from one socket to another. */
struct datagrams {
	enum subject subject; /* must be first */
	struct world *world;
	unsigned number;
	struct node *from, *to;
	struct tow_udp *out, *in;
	struct tow_endpoint target; /* of out */
	struct tow_endpoint local;  /* of in: the same, without a ferry */
	struct ferry ferry;
	uint64_t key;
	unsigned plan, sent, got;
	uint8_t seen[DATAGRAM_COUNT_MAX];
	uint32_t bytes_max, lend_ppm, borrow_ppm, train_ppm;
	uint32_t whole_ppm; /* chance that one is as long as it may be */
	uint64_t next_us, gap_us, end_us;
	unsigned held; /* borrowed and not returned */
	uint32_t held_numbers[HELD_DATAGRAMS_MAX], last_number;
	uint64_t held_bytes; /* of all of them */
	uint32_t hold_ppm;
	struct party *to_party, *from_party; /* of in, of out; NULL: none */
	struct revocation revocation;
	bool cut;	    /* by the end of an owner */
	unsigned posts_max; /* 0: posts nothing */
	uint32_t slot_bytes, header_bytes;
	struct slot_post posts[SLOT_POSTS_MAX];
	uint64_t post_token;
	bool connected, writable, readable, done;
	bool may_fail; /* a loan may end with an error */
};

/* Sums over scenarios, for the last line that is printed. */
struct tally {
	uint64_t stream_bytes, datagrams;
	uint64_t connections, failed_connections;
	uint64_t fates[TOW_SIM_FATE_COUNT];
	uint64_t retransmits, timeouts, fast_recoveries, virtual_us, steps;
	uint64_t revoked, owners_ended, sleepers;
};

/* The one reader who stalls. */
struct sleeper {
	struct end *end;   /* NULL: nobody does */
	uint64_t at_bytes; /* falls asleep when it has got so many */
	uint64_t until_us; /* at the latest; 0: did not fall asleep yet */
	bool awake;	   /* again, for good */
};

/* What changes in the network, and when. */
struct weather {
	uint64_t next_us;  /* the next change; NEVER: no more */
	unsigned left;	   /* so many more */
	bool shrinks;	   /* links may carry less after one */
	bool hides_mtu;	   /* and do not say so */
	uint64_t back_us;  /* what is gone is back then; NEVER: nothing is */
	struct node *node; /* whose link, or address */
	uint32_t loss_ppm; /* of the link, when it is back */
	bool moves;	   /* it is the address */
	int family;	   /* of it */
	struct node *host; /* who has it meanwhile, or NULL */
};

/* What all stacks know, to sign segments with. */
struct signing {
	bool possible;
	struct tow_crypto crypto;
	bool wanted; /* in this scenario */
	enum tow_auth_algorithm algorithm;
	uint8_t secret[20];
};

struct world {
	uint64_t seed;
	const struct profile *profile;
	struct dice dice;
	struct tow_sim *sim;
	struct node nodes[NODES_MAX];
	unsigned node_count;
	struct flow flows[FLOWS_MAX];
	unsigned flow_count;
	struct datagrams datagrams[DATAGRAMS_MAX];
	unsigned datagrams_count;
	struct party parties[PARTIES_MAX];
	unsigned party_count;
	struct sleeper sleeper;
	uint64_t polls; /* so often every stack was polled, at least */
	uint32_t mtu;	/* of all devices */
	struct weather weather;
	struct signing signing;
	uint64_t attack_us; /* the next forgery; NEVER: nobody attacks */
	uint64_t abrupt_us; /* everything is closed at once */
	struct loan_record *loans;
	uint32_t loan_count, loan_room;
	uint32_t loans_out;
	uint32_t posts_out;
	struct tally *tally;
	bool failed;
	char failure[512];
	const char *capture;
};

/* Worlds keep their memory from one scenario to the next. */
struct world *world_new(void);
void world_free(struct world *world);

/*
 * world_run() - play a scenario from beginning to end
 * @capture: path of a capture file, or NULL
 * @report:  where the state of things is printed if it fails
 *
 * Returns: true when all went as it must; else world->failure says what not.
 */
bool world_run(struct world *world, uint64_t seed,
	       const struct profile *profile, const char *capture,
	       struct tally *tally, FILE *report);

/* Ends the scenario; only the first call counts. */
void world_fail(struct world *world, const char *format, ...) TOW_PRINTF(2, 3);

static inline uint64_t world_now(const struct world *world)
{
	return tow_sim_now(world->sim);
}

/* sim_stream.c */
void flow_plan(struct world *world, struct flow *flow, unsigned number);
/* Do what can be done now; flow->next_us says when to come again. */
void flow_act(struct flow *flow);
/* Connections wait at one of the node's listeners. */
void flow_accept(struct world *world, struct node *node,
		 struct tow_listener *listener);
void end_event(struct end *end, const struct tow_event *event);
void flow_report(const struct flow *flow, FILE *out);
/* May an end of it be told this error? */
bool flow_may_say(const struct flow *flow, int error);

/* The owner took its connection away. */
void end_cut(struct end *end);

/* Does the flow depend on this stack? */
bool flow_touches(const struct flow *flow, const struct node *node);

/* sim_option.c */
void end_set_options(struct end *end);
/* In the middle of it, now and then. */
void end_change_options(struct end *end);
/* For the next so many bytes. */
unsigned end_draw_flags(struct end *end, uint64_t bytes);
void end_saw_mark(struct end *end);
void listener_set_options(struct world *world, struct tow_listener *listener);
int listener_draw_backlog(struct world *world, struct node *node);

/* sim_sign.c */
void signing_open(struct world *world);
void signing_close(struct world *world);
void signing_plan(struct world *world);
void signing_config(const struct world *world, struct tow_config *cfg);
/* Is the flow to be signed? */
bool signing_suits(struct world *world, const struct flow *flow);
int signing_listen(struct world *world, struct tow_listener *listener);
/* Before the SYN. */
void signing_begin(struct end *end);
/* Ask for some key. */
void signing_change(struct end *end);

/* sim_boxes.c */
/* Returns: whether it breaks TCP. */
bool box_draw(struct world *world, struct tow_sim_box *box);
/* One that may appear in the middle of connections. */
void box_draw_harmless(struct world *world, struct tow_sim_box *box);
void box_report(const struct tow_sim_box *box, unsigned number, FILE *out);

/* sim_weather.c */
void weather_plan(struct world *world);
void weather_act(struct world *world);
uint64_t weather_next(const struct world *world);
/* May links carry less without saying so? At all? */
bool weather_hides_mtu(const struct world *world);
bool weather_shrinks(const struct world *world);

/* sim_relay.c */
void relay_plan(struct world *world, struct flow *flow);
bool relay_takes(struct flow *flow, struct node *node, struct tow_tcp *tcp);
void relay_act(struct relay *relay);
void relay_give_up(struct relay *relay);
void relay_cut(struct relay *relay, const struct party *party);
void leg_event(struct leg *leg, const struct tow_event *event);

/* sim_datagram.c */
void datagrams_plan(struct world *world, struct datagrams *flow,
		    unsigned number);
void datagrams_act(struct datagrams *flow);
void datagrams_cut(struct datagrams *flow, const struct party *party);
void datagrams_event(struct datagrams *flow, const struct tow_event *event);
bool datagrams_may_say(const struct datagrams *flow, int error);
void datagrams_judge(struct datagrams *flow, const uint8_t *data, size_t bytes);

/* The peer's end of the stream was seen. */
void end_saw_end(struct end *end);
/* The next @count bytes came to @end in @bytes. */
void end_got(struct end *end, const uint8_t *bytes, size_t count);

/* sim_post.c */
void posts_plan(struct end *end, struct dice *dice);
int posts_make(struct end *end);
void posts_take_back(struct end *end);
void posts_closed(struct end *end);
void posts_event(struct end *end, const struct tow_event *event);
void posts_free(struct end *end);

/* sim_slots.c */
void slots_plan(struct datagrams *flow);
int slots_connect(struct datagrams *flow);
void slots_act(struct datagrams *flow);
void slots_take(struct datagrams *flow);
void slots_event(struct datagrams *flow, const struct tow_event *event);
void slots_free(struct datagrams *flow);

/* sim_ferry.c */
void ferry_plan(struct datagrams *flow);
/* Returns: 0, or what the stack said. */
int ferry_open(struct datagrams *flow);
void ferry_act(struct ferry *ferry);
void ferry_close(struct ferry *ferry);
void ferry_event(struct ferry *ferry, const struct tow_event *event);

/* sim_party.c */
void parties_plan(struct world *world);
/* Closes those whose time has come. Returns: when the next one's will. */
uint64_t parties_act(struct world *world);
/* Nobody uses them any more: is nothing left, and was all of it given back? */
void parties_check(struct world *world);
void parties_free(struct world *world);
/* Into some party of the node, or out of @now. Returns: which it has. */
struct party *party_of_tcp(struct world *world, struct node *node,
			   struct tow_tcp *tcp, struct party *now);
struct party *party_of_udp(struct world *world, struct node *node,
			   struct tow_udp *udp, struct party *now);
/* TOW_EVENT_REVOKE came. */
void revocation_told(struct revocation *revocation, const struct world *world);
/* Returns: true, once, when all that was on loan was taken back. */
bool revocation_done(struct revocation *revocation, const struct world *world);

/* sim_sleeper.c */
void sleeper_plan(struct world *world);
/* Returns: when to look again whether it wakes up; 0: it does not sleep. */
uint64_t sleeper_sleeps(const struct end *end);
/* Nobody waits for long until it takes what a closed connection has for it. */
bool sleeper_delays(const struct flow *flow);

/* sim_attacker.c */
void attacker_act(struct world *world);

/* sim_loan.c */
/* Memory of so many bytes, 1 or more, to be lent; NULL without memory. */
struct loan_record *loan_new(struct world *world, size_t bytes,
			     const bool *may_fail);
/* The stack refused it. */
void loan_cancel(struct world *world, struct loan_record *loan);
/* Its token came back. */
void loan_returned(struct world *world, const struct node *node, uint64_t token,
		   int status);
/* At the end of a scenario that failed: what is still out. */
void loans_free(struct world *world);

/* The bytes of a stream. */
void payload_fill(uint64_t key, uint64_t position, uint8_t *out, size_t bytes);
/* How many of them are right, up to the first that is not. */
size_t payload_right(uint64_t key, uint64_t position, const uint8_t *bytes,
		     size_t count);

#endif
