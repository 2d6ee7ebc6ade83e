/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every state with every kind of segment: RFC 9293 3.10.7, RFC 5961 3.2, 4.2
 * and 5.2.
 *
 * One row per kind of segment, one column per place a connection can be in;
 * a cell says what is answered and which state follows:
 *
 *	answer  -  nothing
 *	        A  an ACK: <SEQ=SND.NXT><ACK=RCV.NXT>, of the new state
 *	        R  a reset, in the form that 3.10.7.1 asks for
 *	        S  a SYN-ACK
 *	next    nothing more: the same state
 *	        x  closed, or back in LISTEN
 *	        r E 1 2 C G L T   SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1 and -2,
 *	        CLOSE-WAIT, CLOSING, LAST-ACK, TIME-WAIT
 *
 * "A|-" means that the RFCs allow both. Why, for each such cell:
 *  - SYN in SYN-RECEIVED from LISTEN: 3.10.7.4 goes back to LISTEN, RFC 5961
 *    4.2 answers with a challenge, and a lost SYN-ACK is best sent again.
 *  - ACK beyond SND.NXT in SYN-RECEIVED: RFC 5961 5.2 or the reset of 3.10.7.4.
 *  - text after the FIN: "this should not occur, ignore": with or without ACK.
 *  - RST in TIME-WAIT: closes (3.10.7.4) or is ignored (RFC 1337 3).
 *  - SYN in TIME-WAIT: may open anew (RFC 9293 3.10.7.4, RFC 6191), need not.
 *  - SYN+FIN where a SYN is welcome: the RFC queues the FIN, firewalls and
 *    most hosts drop the segment.
 *  - SYN-ACK in SYN-RECEIVED: after a simultaneous open, figure 8 of 3.5 opens,
 *    and the sequence check of 3.10.7.4 answers with an ACK.
 *  - a segment without length exactly at the right edge: table 6 of 3.4 refuses
 *    it, but a peer that has filled our window and lost the first of it can
 *    send its ACKs from nowhere else, so hosts take it.
 */
#include "tcp_peer.h"
#include <stdio.h>
#include <string.h>

#define TEXT 100u

enum where {
	EXACT,	  /* RCV.NXT */
	INSIDE,	  /* RCV.NXT + 100 */
	LAST,	  /* RCV.NXT + RCV.WND - 1 */
	EDGE,	  /* RCV.NXT + RCV.WND */
	BEYOND,	  /* RCV.NXT + RCV.WND + 1 */
	OLD,	  /* RCV.NXT - SEG.LEN, at least 1 */
	FAR_AWAY, /* RCV.NXT + 2^31 - 1 */
};

enum acks {
	NO_ACK,
	ACK_ALL,     /* SND.NXT */
	ACK_NOTHING, /* SND.UNA */
	ACK_TOO_NEW, /* SND.NXT + 1 */
	ACK_TOO_OLD, /* SND.UNA - MAX.SND.WND - 1 */
};

struct kind {
	const char *name;
	uint8_t flags; /* without ACK */
	enum where where;
	enum acks acks;
	uint32_t bytes;
	const char *cells[PLACES];
};

/* clang-format off */
static const struct kind kinds[] = {
/*                                                         CLOSED LISTEN S-SENT S-RCVD     S-RCVD-a ESTAB F-W-1 F-W-2 C-WAIT CLOSING  LAST-ACK  T-WAIT */
{ "RST at RCV.NXT",        RST, EXACT, NO_ACK, 0,        { "-",  "-",   "-",   "-x",      "-x",    "-x", "-x", "-x", "-x",  "-x",    "-x",     "-x|-" } },
{ "RST in the window",     RST, INSIDE, NO_ACK, 0,       { "-",  "-",   "-",   "A",       "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A|-" } },
{ "RST at its last byte",  RST, LAST, NO_ACK, 0,         { "-",  "-",   "-",   "A",       "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A|-" } },
{ "RST at the right edge", RST, EDGE, NO_ACK, 0,         { "-",  "-",   "-",   "-|A",     "-|A",   "-|A", "-|A", "-|A", "-|A", "-|A",  "-|A",    "-|A" } },
{ "RST beyond the window", RST, BEYOND, NO_ACK, 0,       { "-",  "-",   "-",   "-",       "-",     "-",  "-",  "-",  "-",   "-",     "-",      "-" } },
{ "RST before the window", RST, OLD, NO_ACK, 0,          { "-",  "-",   "-",   "-",       "-",     "-",  "-",  "-",  "-",   "-",     "-",      "-" } },
{ "RST far away",          RST, FAR_AWAY, NO_ACK, 0,     { "-",  "-",   "-",   "-",       "-",     "-",  "-",  "-",  "-",   "-",     "-",      "-" } },
{ "RST+ACK of all",        RST, EXACT, ACK_ALL, 0,       { "-",  "-",   "-x",  "-x",      "-x",    "-x", "-x", "-x", "-x",  "-x",    "-x",     "-x|-" } },
{ "RST+ACK too new",       RST, EXACT, ACK_TOO_NEW, 0,   { "-",  "-",   "-",   "-x",      "-x",    "-x", "-x", "-x", "-x",  "-x",    "-x",     "-x|-" } },
{ "RST+ACK in the window", RST, INSIDE, ACK_ALL, 0,      { "-",  "-",   "-x",  "A",       "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A|-" } },

{ "SYN at RCV.NXT",        SYN, EXACT, NO_ACK, 0,        { "R",  "Sr",  "Sr",  "-x|A|S",  "A",     "A",  "A",  "A",  "A",   "A",     "A",      "S|A" } },
{ "SYN in the window",     SYN, INSIDE, NO_ACK, 0,       { "R",  "Sr",  "Sr",  "-x|A|S",  "A",     "A",  "A",  "A",  "A",   "A",     "A",      "S|A" } },
{ "SYN before the window", SYN, OLD, NO_ACK, 0,          { "R",  "Sr",  "Sr",  "A|S",     "A|S",   "A",  "A",  "A",  "A",   "A",     "A",      "S|A" } },
{ "SYN beyond the window", SYN, BEYOND, NO_ACK, 0,       { "R",  "Sr",  "Sr",  "A|S",     "A",     "A",  "A",  "A",  "A",   "A",     "A",      "S|A" } },
{ "SYN-ACK of all",        SYN, EXACT, ACK_ALL, 0,       { "R",  "R",   "AE",  "-x|A|S",  "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A|-" } },
{ "SYN-ACK again",         SYN, OLD, ACK_ALL, 0,         { "R",  "R",   "AE",  "A|S|-E",  "A|-E|AE", "A", "A", "A",  "A",   "A",     "A",      "A|-" } },
{ "SYN-ACK too new",       SYN, EXACT, ACK_TOO_NEW, 0,   { "R",  "R",   "R",   "-x|A|S",  "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A|-" } },
{ "SYN-ACK of nothing",    SYN, EXACT, ACK_NOTHING, 0,   { "R",  "R",   "R",   "-x|A|S",  "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A|-" } },

{ "ACK of all",            0, EXACT, ACK_ALL, 0,         { "R",  "R",   "-",   "-E",      "-E",    "-",  "-2", "-",  "-",   "-T",    "-x",     "-|A" } },
{ "ACK of nothing",        0, EXACT, ACK_NOTHING, 0,     { "R",  "R",   "R",   "R",       "R",     "-",  "-",  "-",  "-",   "-",     "-",      "-|A" } },
{ "ACK too new",           0, EXACT, ACK_TOO_NEW, 0,     { "R",  "R",   "R",   "R|A",     "R|A",   "A",  "A",  "A",  "A",   "A",     "A",      "A|-" } },
{ "ACK too old",           0, EXACT, ACK_TOO_OLD, 0,     { "R",  "R",   "R",   "R|A",     "R|A",   "A",  "A",  "A",  "A",   "A",     "A",      "A|-" } },
{ "ACK before the window", 0, OLD, ACK_ALL, 0,           { "R",  "R",   "-",   "A",       "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A" } },
{ "ACK at the right edge", 0, EDGE, ACK_ALL, 0,          { "R",  "R",   "-",   "A|-E",    "A|-E",  "A|-", "A|-2", "A|-", "A|-", "A|-T", "A|-x",   "A|-" } },
{ "ACK beyond the window", 0, BEYOND, ACK_ALL, 0,        { "R",  "R",   "-",   "A",       "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A" } },
{ "ACK far away",          0, FAR_AWAY, ACK_ALL, 0,      { "R",  "R",   "-",   "A",       "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A" } },

{ "text, ACK of all",      0, EXACT, ACK_ALL, TEXT,      { "R",  "R",   "-",   "AE",      "AE",    "A",  "A2", "A",  "A|-", "AT|-T", "-x|Ax",  "A|-" } },
{ "text, ACK of nothing",  0, EXACT, ACK_NOTHING, TEXT,  { "R",  "R",   "R",   "R",       "R",     "A",  "A",  "A",  "A|-", "A|-",   "A|-",    "A|-" } },
{ "text, ACK too new",     0, EXACT, ACK_TOO_NEW, TEXT,  { "R",  "R",   "R",   "R|A",     "R|A",   "A",  "A",  "A",  "A",   "A",     "A",      "A|-" } },
{ "text, ACK too old",     0, EXACT, ACK_TOO_OLD, TEXT,  { "R",  "R",   "R",   "R|A",     "R|A",   "A",  "A",  "A",  "A",   "A",     "A",      "A|-" } },
{ "text without ACK",      0, EXACT, NO_ACK, TEXT,       { "R",  "-",   "-",   "-",       "-",     "-",  "-",  "-",  "-",   "-",     "-",      "-" } },
{ "text beyond",           0, BEYOND, ACK_ALL, TEXT,     { "R",  "R",   "-",   "A",       "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A" } },
{ "text again",            0, OLD, ACK_ALL, TEXT,        { "R",  "R",   "-",   "A",       "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A" } },
{ "urgent text",           URG, EXACT, ACK_ALL, TEXT,    { "R",  "R",   "-",   "AE",      "AE",    "A",  "A2", "A",  "A|-", "AT|-T", "-x|Ax",  "A|-" } },

{ "FIN, ACK of all",       FIN, EXACT, ACK_ALL, 0,       { "R",  "R",   "-",   "AC",      "AC",    "AC", "AT", "AT", "A|-", "AT|-T", "-x|Ax",  "A|-" } },
{ "FIN, ACK of nothing",   FIN, EXACT, ACK_NOTHING, 0,   { "R",  "R",   "R",   "R",       "R",     "AC", "AG", "AT", "A|-", "A|-",   "A|-",    "A|-" } },
{ "FIN with text",         FIN, EXACT, ACK_ALL, TEXT,    { "R",  "R",   "-",   "AC",      "AC",    "AC", "AT", "AT", "A|-", "AT|-T", "-x|Ax",  "A|-" } },
{ "FIN again",             FIN, OLD, ACK_ALL, 0,         { "R",  "R",   "-",   "A",       "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A" } },
{ "FIN after a hole",      FIN, INSIDE, ACK_ALL, 0,      { "R",  "R",   "-",   "AE",      "AE",    "A",  "A2", "A",  "A|-", "AT|-T", "-x|Ax",  "A|-" } },
{ "FIN beyond",            FIN, BEYOND, ACK_ALL, 0,      { "R",  "R",   "-",   "A",       "A",     "A",  "A",  "A",  "A",   "A",     "A",      "A" } },
{ "FIN without ACK",       FIN, EXACT, NO_ACK, 0,        { "R",  "-",   "-",   "-",       "-",     "-",  "-",  "-",  "-",   "-",     "-",      "-" } },

{ "no flag at all",        0, EXACT, NO_ACK, 0,          { "R",  "-",   "-",   "-",       "-",     "-",  "-",  "-",  "-",   "-",     "-",      "-" } },
{ "SYN+FIN",               SYN | FIN, EXACT, NO_ACK, 0,  { "R",  "-|Sr", "-|Sr", "-x|A|S|-", "A",  "A",  "A",  "A",  "A",   "A",     "A",      "S|A|-" } },
{ "SYN+RST",               SYN | RST, EXACT, NO_ACK, 0,  { "-",  "-",   "-",   "-x|-",    "-x|-",  "-x|-", "-x|-", "-x|-", "-x|-", "-x|-", "-x|-", "-x|-" } },
{ "all flags",    SYN | FIN | RST | URG, EXACT, ACK_ALL, TEXT, { "-", "-", "-x|-", "-x|-", "-x|-", "-x|-", "-x|-", "-x|-", "-x|-", "-x|-", "-x|-", "-x|-" } },
};
/* clang-format on */

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static uint32_t our_unacked(enum place at)
{
	switch (at) {
	case AT_SYN_SENT:
	case AT_SYN_RECEIVED:
	case AT_SYN_RECEIVED_ACTIVE:
		return 0;
	case AT_FIN_WAIT_1:
	case AT_CLOSING:
	case AT_LAST_ACK:
		return 1;
	default:
		return our_next(at);
	}
}

static bool takes_text(enum place at)
{
	return at == AT_SYN_RECEIVED || at == AT_SYN_RECEIVED_ACTIVE ||
	       at == AT_ESTABLISHED || at == AT_FIN_WAIT_1 ||
	       at == AT_FIN_WAIT_2;
}

static uint32_t segment_length(const struct kind *k)
{
	return k->bytes + !!(k->flags & SYN) + !!(k->flags & FIN);
}

static uint32_t sequence_of(const struct kind *k, enum place at,
			    uint32_t window)
{
	uint32_t nxt = peer_next(at), length = segment_length(k);

	switch (k->where) {
	case EXACT:
		return nxt;
	case INSIDE:
		return nxt + 100;
	case LAST:
		return nxt + window - 1;
	case EDGE:
		return nxt + window;
	case BEYOND:
		return nxt + window + 1;
	case OLD:
		return nxt - (length ? length : 1);
	case FAR_AWAY:
		break;
	}
	return nxt + 0x7fffffff;
}

static uint32_t acknowledgement_of(const struct rig *r, const struct kind *k,
				   enum place at)
{
	switch (k->acks) {
	case NO_ACK:
		return 0;
	case ACK_ALL:
		return our_next(at);
	case ACK_NOTHING:
		return our_unacked(at);
	case ACK_TOO_NEW:
		return our_next(at) + 1;
	case ACK_TOO_OLD:
		break;
	}
	return our_unacked(at) - r->options.offer.window - 1;
}

/* RCV.NXT after the segment was taken as far as the state takes it. */
static uint32_t expected_ack(const struct kind *k, enum place at, uint32_t seq)
{
	bool in_order = k->where == EXACT && !(k->flags & (SYN | RST)) &&
			(k->acks == ACK_ALL || k->acks == ACK_NOTHING);

	if (at == AT_SYN_SENT)
		return seq + segment_length(k);
	return peer_next(at) +
	       (in_order && takes_text(at) ? segment_length(k) : 0);
}

/* RFC 9293 3.10.7.1 */
static bool is_right_reset(const struct kind *k, const struct segment *s,
			   uint32_t seq, uint32_t ack)
{
	if (k->acks != NO_ACK)
		return s->flags == RST && s->seq == ack;
	return s->flags == (RST | ACK) && s->raw_seq == 0 &&
	       s->ack == seq + segment_length(k);
}

static bool is_right_syn_ack(enum place at, const struct segment *s,
			     uint32_t seq)
{
	uint32_t ack = at == AT_SYN_RECEIVED || at == AT_SYN_RECEIVED_ACTIVE
			       ? 1
			       : seq + 1;

	return s->flags == (SYN | ACK) && s->ack == ack;
}

static bool answers(const struct rig *r, const struct kind *k, enum place at,
		    char want, uint32_t seq, uint32_t ack)
{
	const struct segment *s = &r->sent[r->sent_taken];
	unsigned count = waiting(r);

	if (want == '-')
		return count == 0;
	if (count != 1 || s->bytes)
		return false;
	if (want == 'R')
		return is_right_reset(k, s, seq, ack);
	if (want == 'S')
		return is_right_syn_ack(at, s, seq);
	return s->flags == ACK && s->seq == our_next(at) &&
	       s->ack == expected_ack(k, at, seq);
}

static char letter(enum tow_tcp_state state)
{
	return "x?rE12CGLT"[state];
}

/*
 * The state that followed. A half-open connection of a listener has no handle
 * yet: whether it lives is seen by whether the last ACK of the handshake
 * makes it one.
 */
static char state_now(struct rig *r, enum place at)
{
	if (r->tcp)
		return letter(state_of(r));
	if (at != AT_SYN_RECEIVED)
		return '=';
	if (tow_tcp_accept(r->listener, &r->tcp) == 0)
		return letter(state_of(r));
	inject(r, .flags = ACK, .seq = 1, .ack = 1);
	return tow_tcp_accept(r->listener, &r->tcp) == 0 ? 'r' : 'x';
}

static char state_before(enum place at)
{
	return "==?rrE12CGLT"[at];
}

static bool is_right_state(enum place at, const char *cell, char now)
{
	char want = cell[1] && cell[1] != '|' ? cell[1] : state_before(at);

	if (at == AT_LISTEN || at == AT_CLOSED)
		return true;
	if (at == AT_TIME_WAIT && cell[0] == 'S')
		return true; /* what is there now is another connection */
	return now == want;
}

static void report(const struct rig *r, const struct kind *k, enum place at,
		   char now)
{
	fprintf(stderr, "%s, %s: want %s, state now %c, answers %u", k->name,
		place_name(at), k->cells[at], now, waiting(r));
	for (unsigned i = r->sent_taken; i < r->sent_count; i++)
		fprintf(stderr, " [flags %02x seq %u ack %u len %u]",
			r->sent[i].flags, r->sent[i].seq, r->sent[i].ack,
			r->sent[i].bytes);
	fputc('\n', stderr);
}

/* One cell; false if none of its alternatives is what happened. */
static bool try_cell(struct rig *r, const struct kind *k, enum place at)
{
	uint32_t window = 65535, seq, ack;
	unsigned answered;
	char now;

	put_in_state(r, at);
	if (r->sent_count)
		window = r->sent[r->sent_count - 1].window;
	seq = sequence_of(k, at, window);
	ack = acknowledgement_of(r, k, at);
	forget(r);
	inject(r, .flags = k->flags | (k->acks == NO_ACK ? 0 : ACK), .seq = seq,
	       .ack = ack, .bytes = k->bytes, .urgent = k->flags & URG ? 10 : 0,
	       .ts = k->flags & SYN, .mss = k->flags & SYN ? 1000 : 0);
	advance_ms(r, 150); /* an ACK may be delayed */
	answered = r->sent_count;
	now = state_now(r, at);
	r->sent_count = answered;
	for (const char *cell = k->cells[at]; cell;
	     cell = strchr(cell, '|') ? strchr(cell, '|') + 1 : NULL)
		if (answers(r, k, at, *cell, seq, ack) &&
		    is_right_state(at, cell, now))
			return true;
	report(r, k, at, now);
	return false;
}

static struct rig_options small(const struct rig *r)
{
	struct rig_options o = r->options;

	o.cfg.rx_chunks = 64;
	o.cfg.rx_bufs = 128;
	o.cfg.tx_chunks = 64;
	o.cfg.tx_bufs = 64;
	o.cfg.tcp_max = 16;
	return o;
}

static void try_column(struct rig *r, enum place at)
{
	struct rig_options o = small(r);
	unsigned wrong = 0;

	for (size_t i = 0; i < KINDS; i++) {
		rig_reopen(r, &o);
		wrong += !try_cell(r, &kinds[i], at);
	}
	CHECK_EQ(wrong, 0u);
}

/* RFC 9293 3.10.7.1 */
TCP_TEST(closed_answers_segments_with_resets)
{
	try_column(r, AT_CLOSED);
}

/* RFC 9293 3.10.7.2 */
TCP_TEST(listen_answers_every_segment_by_the_rfc)
{
	try_column(r, AT_LISTEN);
}

/* RFC 9293 3.10.7.3 */
TCP_TEST(syn_sent_answers_every_segment_by_the_rfc)
{
	try_column(r, AT_SYN_SENT);
}

/* RFC 9293 3.10.7.4 */
TCP_TEST(syn_received_answers_every_segment_by_the_rfc)
{
	try_column(r, AT_SYN_RECEIVED);
}

/* RFC 9293 3.10.7.4, 3.5 figure 8 */
TCP_TEST(syn_received_after_simultaneous_open_answers_every_segment_by_the_rfc)
{
	try_column(r, AT_SYN_RECEIVED_ACTIVE);
}

/* RFC 9293 3.10.7.4 */
TCP_TEST(established_answers_every_segment_by_the_rfc)
{
	try_column(r, AT_ESTABLISHED);
}

/* RFC 9293 3.10.7.4 */
TCP_TEST(fin_wait_1_answers_every_segment_by_the_rfc)
{
	try_column(r, AT_FIN_WAIT_1);
}

/* RFC 9293 3.10.7.4 */
TCP_TEST(fin_wait_2_answers_every_segment_by_the_rfc)
{
	try_column(r, AT_FIN_WAIT_2);
}

/* RFC 9293 3.10.7.4 */
TCP_TEST(close_wait_answers_every_segment_by_the_rfc)
{
	try_column(r, AT_CLOSE_WAIT);
}

/* RFC 9293 3.10.7.4 */
TCP_TEST(closing_answers_every_segment_by_the_rfc)
{
	try_column(r, AT_CLOSING);
}

/* RFC 9293 3.10.7.4 */
TCP_TEST(last_ack_answers_every_segment_by_the_rfc)
{
	try_column(r, AT_LAST_ACK);
}

/* RFC 9293 3.10.7.4 */
TCP_TEST(time_wait_answers_every_segment_by_the_rfc)
{
	try_column(r, AT_TIME_WAIT);
}
