/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYN cookies: RFC 4987 3.6, appendix A.
 *
 * When a listener's backlog is full of half-open connections, most of them are
 * lies. A SYN is then answered without keeping anything: what is needed to go
 * on stands in the initial sequence number and in the timestamp of the SYN-ACK,
 * and the peer brings both back with its ACK.
 *
 *	 31   30 28 27                                   0
 *	+----+-----+--------------------------------------+
 *	| key| MSS |  MAC of endpoints, the peer's ISN,   |   our ISN
 *	|    |     |  MSS and options                     |
 *	+----+-----+--------------------------------------+
 *
 *	 31                              6    5    4   3  0
 *	+---------------------------------+----+----+-----+
 *	| the clock, rounded down         | ECN|SACK|scale|   our timestamp
 *	+---------------------------------+----+----+-----+
 *
 * So a peer that uses timestamps keeps window scaling, SACK and ECN; one that
 * does not has the MSS alone. The MSS is the next lower one of eight.
 *
 * Keys are fresh random numbers for each period, the last two are kept, and the
 * topmost bit says which of them it was. So a cookie ends to be valid for good
 * after one to two periods, and who collects cookies gains nothing. To guess
 * one is a chance of 1 in 2^28 for each ACK sent.
 *
 * Such a SYN-ACK is sent once: if it or the ACK is lost, the peer's SYN or its
 * first data come again.
 */
#include "tcp/tcp_private.h"

#define PERIOD_US 60000000u /* longer than a SYN-ACK and its ACK may take */

#define KEY_SHIFT 31
#define MSS_SHIFT 28
#define MAC_MASK  ((1u << MSS_SHIFT) - 1)

#define OPTION_SCALE_NONE 15u
#define OPTION_SACK	  16u
#define OPTION_ECN	  32u
#define OPTION_BITS	  63u
#define OPTIONS_NONE	  64u /* no timestamp to keep them in */

static const uint16_t mss_table[] = { TCP_MSS_MIN, 256,	 536,  1024,
				      1220,	   1360, 1460, 8940 };
_Static_assert(LENGTH(mss_table) == 8, "three bits say which");

/* What the MAC covers. */
struct sealed {
	uint8_t local[16], remote[16];
	uint16_t local_port, remote_port;
	uint32_t irs;
	uint32_t mss_index, options;
};
_Static_assert(sizeof(struct sealed) == 48, "a hash must see no padding");

void cookie_init(struct tcp_host *host)
{
	for (unsigned i = 0; i < 2; i++)
		host->cookies.keys[i] = random_key(&host->net->random);
}

static void new_key(struct tcp_host *host, uint64_t period)
{
	host->cookies.keys[period & 1] = random_key(&host->net->random);
}

/* The keys are those of this period and the one before. */
static uint64_t turn_keys(struct tcp_host *host)
{
	struct cookies *c = &host->cookies;
	uint64_t now = host->net->now_us / PERIOD_US;

	if (now != c->period) {
		if (now != c->period + 1)
			new_key(host, now - 1);
		new_key(host, now);
		c->period = now;
	}
	return now;
}

static uint32_t mac(const struct tow_tcp *t, unsigned key, uint32_t mss_index,
		    uint32_t options)
{
	struct sealed sealed = {
		.local_port = t->local_port,
		.remote_port = t->remote_port,
		.irs = t->rcv.irs.n,
		.mss_index = mss_index,
		.options = options,
	};

	memcpy(sealed.local, t->path.src.b, 16);
	memcpy(sealed.remote, t->path.dst.b, 16);
	return (uint32_t)siphash24(&t->host->cookies.keys[key], &sealed,
				   sizeof(sealed)) &
	       MAC_MASK;
}

static uint32_t mss_index(uint16_t mss)
{
	uint32_t i = LENGTH(mss_table) - 1;

	while (i > 0 && mss_table[i] > mss)
		i--;
	return i;
}

static uint32_t options_of(const struct tow_tcp *t)
{
	if (!t->timestamps)
		return OPTIONS_NONE;
	return (t->scaling ? t->snd.scale : OPTION_SCALE_NONE) |
	       (t->sack ? OPTION_SACK : 0) | (t->ecn.on ? OPTION_ECN : 0);
}

/* Without timestamps nobody would remember the options. */
static void forgo_options(struct tow_tcp *t)
{
	t->ecn.accurate = false; /* there is a bit for classic ECN only */
	if (t->timestamps)
		return;
	t->sack = t->scaling = t->ecn.on = false;
	t->snd.scale = t->rcv.scale = 0;
}

/* The clock, with the options in its last bits, and not ahead of itself. */
static void stamp(struct tow_tcp *t, uint32_t options)
{
	uint32_t now = tcp_timestamp(t);
	uint32_t value = (now & ~OPTION_BITS) | options;

	if ((int32_t)(value - now) > 0)
		value -= OPTION_BITS + 1;
	t->ts.offset += value - now;
}

/*
 * Answer a SYN from which @t was filled in, which is forgotten afterwards. Only
 * its ISN and its timestamp are chosen here.
 */
void cookie_send(struct tow_tcp *t)
{
	unsigned key = turn_keys(t->host) & 1;
	uint32_t index = mss_index(t->snd.mss_peer), options;

	forgo_options(t);
	options = options_of(t);
	t->snd.iss = seq_of(key << KEY_SHIFT | index << MSS_SHIFT |
			    mac(t, key, index, options));
	t->snd.una = t->snd.nxt = t->snd.iss;
	if (t->timestamps)
		stamp(t, options);
	tcp_send_cookie(t);
	tcp_count(t, TOW_COUNTER_TCP_COOKIES_SENT);
}

/*
 * Does this ACK bring back a cookie of ours? Then @syn is the SYN that it was
 * for, as far as it was kept.
 */
bool cookie_returns(struct tcp_host *host, const struct net_packet *packet,
		    const struct wire_tcp *seg, struct wire_tcp *syn)
{
	uint32_t cookie = seg->acknowledgement - 1;
	uint32_t index = cookie >> MSS_SHIFT & (LENGTH(mss_table) - 1);
	uint32_t options =
		seg->has_timestamps ? seg->ts_echo & OPTION_BITS : OPTIONS_NONE;
	uint32_t scale = options & OPTION_SCALE_NONE;
	struct tow_tcp ghost = {
		.host = host,
		.path = { .src = packet->dst, .dst = packet->src },
		.local_port = seg->destination_port,
		.remote_port = seg->source_port,
		.rcv = { .irs = seq_of(seg->sequence - 1) },
	};

	turn_keys(host);
	if ((cookie & MAC_MASK) !=
	    mac(&ghost, cookie >> KEY_SHIFT, index, options))
		return false;
	*syn = (struct wire_tcp){
		.source_port = seg->source_port,
		.destination_port = seg->destination_port,
		.sequence = seg->sequence - 1,
		.flags = TH_SYN | (options & OPTION_ECN ? TH_ECE | TH_CWR : 0),
		.has_mss = true,
		.mss = mss_table[index],
		.has_timestamps = seg->has_timestamps,
		.ts_value = seg->ts_value,
		.sack_permitted = options & OPTION_SACK,
		.has_window_scale =
			seg->has_timestamps && scale != OPTION_SCALE_NONE,
		.window_scale = (uint8_t)scale,
		.key_id = seg->key_id,
		.rnext_key_id = seg->rnext_key_id,
	};
	net_count(host->net, TOW_COUNTER_TCP_COOKIES_RETURNED);
	return true;
}

/* Could there be one out that is still valid? */
bool cookie_is_awaited(const struct tow_listener *l)
{
	return l->cookie_us &&
	       l->host->net->now_us < l->cookie_us + 2ull * PERIOD_US;
}
