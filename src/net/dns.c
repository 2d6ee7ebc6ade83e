/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Servers of names and domains to look them up in, as routers advertise them:
 * RFC 8106. Nobody here asks a server anything; they are kept for the program,
 * for as long as they last.
 *
 *	  +-- units: 1 + 2 for each --+
 *	25|n|    lifetime | address, address ...        (RDNSS)
 *	31|n|    lifetime | 7example3com0 3net0 000 ... (DNSSL)
 *
 * Both options are one thing here: a lifetime and a list of keys of so many
 * bytes, with zeros behind, which are an address or the text of a domain. An
 * option of which one key is wrong says nothing at all (5.3.1), so it is read
 * twice.
 *
 * What is said first stands first, and what is new before what is known (6.2).
 * A list that is full loses what ends first, but nothing that the same message
 * has said. So whoever can advertise can put others' servers out of the list;
 * that is no more than what a router can do anyhow (7.1).
 *
 * A domain ends in resolvers, files, commands and terminals, so it has to be
 * made of letters, digits, underscores, and hyphens between them (RFC 952), and
 * comes out in small letters.
 */
#include "net/net_private.h"

#define NAME_BYTES_MAX 253 /* as text: RFC 1035 2.3.4 has 255 on the wire */
#define LABEL_MAX      63

/*
 * Lists.
 */

static void remove_at(struct dns_list *list, unsigned i)
{
	list->count--;
	for (; i < list->count; i++)
		list->entries[i] = list->entries[i + 1];
}

static unsigned find(const struct dns_list *list, const uint8_t *key)
{
	unsigned i;

	for (i = 0; i < list->count; i++)
		if (memcmp(list->entries[i].key, key, DNS_KEY_BYTES) == 0)
			break;
	return i;
}

static void forget(struct dns_list *list, struct dns_place *place, unsigned i)
{
	unsigned before = (1u << i) - 1;

	remove_at(list, i);
	place->next -= i < place->next;
	place->said = (uint8_t)((place->said & before) |
				(place->said >> 1 & ~before));
}

/* 6.2 (d), of those that the message has not said. Returns: there is room. */
static bool make_room(struct dns_list *list, struct dns_place *place)
{
	const struct dns_entry *entries = list->entries;
	unsigned i, victim = TOW_DNS_MAX;

	if (list->count < TOW_DNS_MAX)
		return true;
	for (i = 0; i < list->count; i++)
		if (!(place->said >> i & 1) &&
		    (victim == TOW_DNS_MAX ||
		     entries[i].until_us < entries[victim].until_us))
			victim = i;
	if (victim == TOW_DNS_MAX)
		return false;
	forget(list, place, victim);
	return true;
}

static void insert(struct dns_list *list, struct dns_place *place,
		   const struct dns_entry *entry)
{
	unsigned i, at = place->next++, before = (1u << at) - 1;

	for (i = list->count++; i > at; i--)
		list->entries[i] = list->entries[i - 1];
	list->entries[at] = *entry;
	place->said = (uint8_t)((place->said & before) | 1u << at |
				(place->said & ~before) << 1);
}

/* 6.2 (b) to (d). Returns: the list is another one. */
static bool learn(struct net *net, struct dns_list *list,
		  struct dns_place *place, const struct dns_entry *said)
{
	bool over = said->until_us <= net->now_us;
	unsigned i = find(list, said->key);

	if (i < list->count && over) {
		forget(list, place, i);
		return true;
	}
	if (i < list->count) {
		list->entries[i].until_us = said->until_us;
		place->next = (uint8_t)MAX(place->next, i + 1);
		place->said |= (uint8_t)(1u << i);
		return false;
	}
	if (over)
		return false;
	if (!make_room(list, place)) {
		net_count(net, TOW_COUNTER_ROUTER_FULL);
		return false;
	}
	insert(list, place, said);
	return true;
}

static bool expire(struct net *net, struct dns_list *list)
{
	unsigned i = 0, before = list->count;

	while (i < list->count)
		if (list->entries[i].until_us <= net->now_us)
			remove_at(list, i);
		else
			i++;
	return list->count != before;
}

static uint64_t next_of(const struct dns_list *list)
{
	uint64_t next_us = NEVER;
	unsigned i;

	for (i = 0; i < list->count; i++)
		next_us = MIN(next_us, list->entries[i].until_us);
	return next_us;
}

uint64_t dns_next(const struct net *net)
{
	const struct auto_link *l = net->private->automatic.links;
	const struct auto_link *end = l + net->link_count;
	uint64_t next_us = NEVER;

	for (; l < end; l++)
		next_us = MIN(next_us, MIN(next_of(&l->dns_servers),
					   next_of(&l->dns_domains)));
	return next_us;
}

void dns_due(struct net *net)
{
	struct auto_link *l = net->private->automatic.links;
	bool changed;
	unsigned i;

	for (i = 0; i < net->link_count; i++) {
		changed = expire(net, &l[i].dns_servers);
		changed |= expire(net, &l[i].dns_domains);
		if (changed)
			auto_changed(net, i);
	}
}

void dns_forget(struct net *net, unsigned link)
{
	struct auto_link *l = &net->private->automatic.links[link];

	if (l->dns_servers.count + l->dns_domains.count > 0)
		auto_changed(net, link);
	l->dns_servers.count = l->dns_domains.count = 0;
}

/*
 * Options.
 */

/* What is in front of @at has been read. */
struct reader {
	const struct net *net;
	const struct tow_buf *buf;
	uint32_t at, end;
};

/* Each reads one key. Returns: there was one, or none any more, or a bad one */
enum key { KEY_BAD = -1, KEY_END, KEY_GOOD };

static enum key read_server(struct reader *r, uint8_t *key)
{
	struct tow_addr addr;

	if (r->at == r->end)
		return KEY_END;
	if (r->end - r->at < sizeof(addr) ||
	    tow_buf_read(r->buf, r->at, key, sizeof(addr)) < sizeof(addr))
		return KEY_BAD;
	r->at += sizeof(addr);
	memcpy(&addr, key, sizeof(addr));
	if (net_is_v4(&addr) || addr_is_loopback(&addr) ||
	    !net_is_unicast(r->net, &addr))
		return KEY_BAD;
	return KEY_GOOD;
}

static bool is_for_names(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_';
}

/* Append the label of @bytes at @r to the text. Returns: it is a good one. */
static bool read_label(struct reader *r, uint8_t *text, unsigned at,
		       unsigned bytes)
{
	unsigned i;

	if (bytes > LABEL_MAX || bytes > r->end - r->at ||
	    at + bytes > NAME_BYTES_MAX ||
	    tow_buf_read(r->buf, r->at, text + at, bytes) < bytes)
		return false;
	r->at += bytes;
	for (i = at; i < at + bytes; i++) {
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] |= 0x20;
		if (!is_for_names(text[i]))
			return false;
	}
	return text[at] != '-' && text[at + bytes - 1] != '-';
}

/*
 * RFC 1035 3.1, without compression: a length above 63 is a bad label. An empty
 * name is the padding behind the others.
 */
static enum key read_domain(struct reader *r, uint8_t *key)
{
	unsigned at = 0;
	uint8_t bytes;

	for (;;) {
		if (r->at == r->end)
			return at == 0 ? KEY_END : KEY_BAD;
		if (tow_buf_read(r->buf, r->at++, &bytes, 1) < 1)
			return KEY_BAD;
		if (bytes == 0)
			break;
		if (at > 0)
			key[at++] = '.';
		if (!read_label(r, key, at, bytes))
			return KEY_BAD;
		at += bytes;
	}
	return at > 0 ? KEY_GOOD : KEY_END;
}

typedef enum key read_key_fn(struct reader *r, uint8_t *key);

/* How many keys there are; 0 also if one of them is bad. */
static unsigned count_keys(struct reader r, read_key_fn *read_key)
{
	uint8_t key[DNS_KEY_BYTES];
	unsigned count = 0;
	enum key kind;

	while ((kind = read_key(&r, key)) == KEY_GOOD)
		count++;
	return kind == KEY_BAD ? 0 : count;
}

/* Returns: the list is another one. */
static bool follow(struct net *net, struct reader *r, read_key_fn *read_key,
		   struct dns_list *list, struct dns_place *place)
{
	unsigned left = count_keys(*r, read_key);
	struct wire_nd_dns header;
	struct dns_entry said;
	bool changed = false;

	tow_buf_read(r->buf, r->at - sizeof(header), &header, sizeof(header));
	for (; left > 0; left--) {
		said = (struct dns_entry){
			.until_us = auto_until_us(
				net, wire_get32(header.lifetime_s)),
		};
		read_key(r, said.key);
		changed |= learn(net, list, place, &said);
	}
	return changed;
}

/* The option of @bytes at @at; the message is within the buffer. */
void dns_option(struct net *net, unsigned link, const struct tow_buf *buf,
		uint32_t at, uint32_t bytes, struct dns_places *places)
{
	struct auto_link *l = &net->private->automatic.links[link];
	struct reader r = {
		.net = net,
		.buf = buf,
		.at = at + sizeof(struct wire_nd_dns),
		.end = at + bytes,
	};
	uint8_t type = 0;
	bool changed;

	tow_buf_read(buf, at, &type, 1);
	if (type == ND_RDNSS)
		changed = follow(net, &r, read_server, &l->dns_servers,
				 &places->server);
	else
		changed = follow(net, &r, read_domain, &l->dns_domains,
				 &places->domain);
	if (changed)
		auto_changed(net, link);
}

/*
 * For the program.
 */

int net_dns_servers(const struct net *net, unsigned link,
		    struct tow_dns_server *out, int max)
{
	const struct dns_list *list =
		&net->private->automatic.links[link].dns_servers;
	int i;

	for (i = 0; i < list->count && i < max; i++) {
		out[i] = (struct tow_dns_server){
			.valid_us =
				auto_left_us(net, list->entries[i].until_us),
		};
		memcpy(out[i].addr.b, list->entries[i].key, 16);
	}
	return list->count;
}

int net_dns_domains(const struct net *net, unsigned link,
		    struct tow_dns_domain *out, int max)
{
	const struct dns_list *list =
		&net->private->automatic.links[link].dns_domains;
	int i;

	for (i = 0; i < list->count && i < max; i++) {
		out[i].valid_us = auto_left_us(net, list->entries[i].until_us);
		memcpy(out[i].name, list->entries[i].key, DNS_KEY_BYTES);
	}
	return list->count;
}

void net_dns_changed(struct net *net, unsigned link)
{
	auto_changed(net, link);
}
