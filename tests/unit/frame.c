/* SPDX-License-Identifier: BSD-2-Clause */
#include "frame.h"
#include <string.h>
#include "base/csum.h"
#include "test.h"
#include "wire/wire_arp.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"
#include "wire/wire_udp.h"

struct tow_addr address(const char *text)
{
	struct tow_addr addr;

	CHECK_EQ(tow_addr_parse(&addr, text), 0);
	return addr;
}

struct tow_endpoint endpoint(const char *text, uint16_t port)
{
	struct tow_endpoint e = { .addr = address(text), .port = port };

	return e;
}

static bool is_v4(const struct frame *f)
{
	return tow_addr_is_v4(&f->src);
}

void frame_add(struct frame *f, const void *data, uint32_t bytes)
{
	CHECK(bytes <= sizeof(f->data) - f->bytes);
	memcpy(f->data + f->bytes, data, bytes);
	f->bytes += bytes;
}

void frame_fill(struct frame *f, uint32_t bytes)
{
	CHECK(bytes <= sizeof(f->data) - f->bytes);
	for (uint32_t i = 0; i < bytes; i++)
		f->data[f->bytes++] = (uint8_t)i;
}

static void add_ethernet(struct frame *f)
{
	uint16_t type = is_v4(f) ? ETH_IP4 : ETH_IP6;
	uint8_t mac[6];

	memcpy(mac, fake_mac, 6);
	if (!is_v4(f) && ip6_is_multicast(&f->dst))
		eth_group6(mac, &f->dst);
	else if (is_v4(f) && ip4_is_multicast(&f->dst))
		eth_group4(mac, &f->dst);
	else if (is_v4(f) && f->dst.b[15] == 255)
		eth_broadcast(mac);
	eth_build(f->data, mac, peer_mac, type);
	f->bytes = ETH_BYTES;
}

void frame_begin(struct frame *f, const char *src, const char *dst,
		 uint8_t next)
{
	f->src = address(src);
	f->dst = address(dst);
	f->transport = 0;
	f->protocol = next;
	add_ethernet(f);
	f->ip = f->bytes;
	if (is_v4(f)) {
		ip4_build((void *)frame_ip(f), 0, IP4_BYTES, 0x1234, 0, 64,
			  next, &f->src, &f->dst);
		f->bytes += IP4_BYTES;
	} else {
		ip6_build((void *)frame_ip(f), 0, 0, 0, next, 64, &f->src,
			  &f->dst);
		f->bytes += IP6_BYTES;
	}
}

void frame_ip4_options(struct frame *f, const void *data, uint32_t bytes)
{
	frame_add(f, data, bytes);
	frame_ip(f)[0] = (uint8_t)(0x40 | (20 + bytes) / 4);
}

void frame_udp(struct frame *f, uint16_t src_port, uint16_t dst_port)
{
	f->transport = f->bytes;
	f->protocol = NET_UDP;
	udp_build((void *)frame_transport(f), src_port, dst_port, 8);
	f->bytes += 8;
}

void frame_icmp(struct frame *f, uint8_t type, uint8_t code, uint32_t rest)
{
	struct wire_icmp *icmp = (void *)(f->data + f->bytes);

	f->transport = f->bytes;
	f->protocol = is_v4(f) ? NET_ICMP : NET_ICMP6;
	memset(icmp, 0, sizeof(*icmp));
	icmp->type = type;
	icmp->code = code;
	wire_put32(icmp->rest, rest);
	f->bytes += sizeof(*icmp);
}

static void add_nd(struct frame *f, const char *src, const char *dst,
		   uint8_t type, uint8_t flags, const char *target,
		   uint8_t option, const uint8_t *mac)
{
	struct tow_addr addr = address(target);
	uint8_t units = 1;

	frame_begin(f, src, dst, NET_ICMP6);
	frame_ip(f)[7] = ND_HOP_LIMIT;
	frame_icmp(f, type, 0, (uint32_t)flags << 24);
	frame_add(f, addr.b, 16);
	if (mac) {
		frame_add(f, &option, 1);
		frame_add(f, &units, 1);
		frame_add(f, mac, 6);
	}
	frame_end(f);
}

void frame_solicit(struct frame *f, const char *src, const char *dst,
		   const char *target, const uint8_t *mac)
{
	add_nd(f, src, dst, ICMP6_NEIGHBOUR_SOLICIT, 0, target, ND_SOURCE_MAC,
	       mac);
}

void frame_advert(struct frame *f, const char *src, const char *dst,
		  uint8_t flags, const char *target, const uint8_t *mac)
{
	add_nd(f, src, dst, ICMP6_NEIGHBOUR_ADVERT, flags, target,
	       ND_TARGET_MAC, mac);
}

void frame_arp(struct frame *f, uint16_t operation, const uint8_t *sender_mac,
	       const char *sender, const char *target)
{
	struct tow_addr from = address(sender), to = address(target);
	struct wire_arp *arp = (void *)(f->data + ETH_BYTES);
	uint8_t mac[6];

	memcpy(mac, fake_mac, 6);
	if (operation == ARP_REQUEST)
		eth_broadcast(mac);
	eth_build(f->data, mac, sender_mac, ETH_ARP);
	memset(arp, 0, sizeof(*arp));
	arp_build(arp, operation);
	memcpy(arp->sender_mac, sender_mac, 6);
	wire_put_addr4(arp->sender, &from);
	if (operation == ARP_REPLY)
		memcpy(arp->target_mac, fake_mac, 6);
	wire_put_addr4(arp->target, &to);
	f->bytes = ETH_BYTES + ARP_BYTES;
	f->transport = 0;
}

void frame_sum_ip(struct frame *f)
{
	struct wire_ip4 *ip = (void *)frame_ip(f);

	if (!is_v4(f))
		return;
	wire_put16(ip->checksum, 0);
	wire_put_sum(ip->checksum,
		     csum_finish(csum_bytes(0, ip, ip4_header_bytes(ip))));
}

static uint8_t *sum_field(struct frame *f)
{
	return frame_transport(f) + (f->protocol == NET_UDP ? 6 : 2);
}

/* Of the bytes as they are. */
static uint16_t sum_transport(const struct frame *f)
{
	uint32_t bytes = f->bytes - f->transport, sum = 0;

	if (f->protocol != NET_ICMP && f->protocol != NET_IGMP)
		sum = csum_pseudo(&f->src, &f->dst, f->protocol, bytes);
	sum = csum_bytes(sum, f->data + f->transport, bytes);
	return csum_finish(sum);
}

void frame_sum_transport(struct frame *f)
{
	wire_put16(sum_field(f), 0);
	wire_put_sum(sum_field(f), sum_transport(f));
}

void frame_end(struct frame *f)
{
	uint32_t ip_bytes = f->bytes - f->ip;

	if (is_v4(f))
		wire_put16(((struct wire_ip4 *)frame_ip(f))->total, ip_bytes);
	else
		wire_put16(((struct wire_ip6 *)frame_ip(f))->payload,
			   ip_bytes - IP6_BYTES);
	frame_sum_ip(f);
	if (!f->transport)
		return;
	if (f->protocol == NET_UDP)
		wire_put16(frame_transport(f) + 4, f->bytes - f->transport);
	frame_sum_transport(f);
}

static void read_ip(struct frame *f)
{
	struct wire_ip4 *ip4 = (void *)frame_ip(f);
	struct wire_ip6 *ip6 = (void *)frame_ip(f);

	if (ip4_version(ip4) == 4) {
		f->src = wire_get_addr4(ip4->src);
		f->dst = wire_get_addr4(ip4->dst);
		f->protocol = ip4->protocol;
		f->transport = f->ip + ip4_header_bytes(ip4);
		CHECK_EQ(wire_get16(ip4->total), f->bytes - f->ip);
		CHECK_EQ(csum_finish(csum_bytes(0, ip4, ip4_header_bytes(ip4))),
			 0);
		return;
	}
	CHECK_EQ(ip6_version(ip6), 6);
	f->src = wire_get_addr6(ip6->src);
	f->dst = wire_get_addr6(ip6->dst);
	f->protocol = ip6->next;
	f->transport = f->ip + IP6_BYTES;
	CHECK_EQ(wire_get16(ip6->payload), f->bytes - f->transport);
	if (ip6->next != IP6_HOP_BY_HOP)
		return;
	f->protocol = f->data[f->transport];
	f->transport +=
		ip6_extension_bytes((const void *)(f->data + f->transport));
}

void frame_read(struct frame *f, const struct fake_frame *sent)
{
	const struct wire_eth *eth = (const void *)sent->data;

	CHECK(sent->bytes <= sizeof(f->data));
	memcpy(f->data, sent->data, sent->bytes);
	f->bytes = sent->bytes;
	f->ip = ETH_BYTES;
	f->transport = 0;
	CHECK_MEM(eth->src, fake_mac, 6);
	if (wire_get16(eth->type) == ETH_ARP)
		return;
	read_ip(f);
	if (sent->flags & TOW_BUF_CSUM_PARTIAL) {
		uint32_t bytes = f->bytes - f->transport;
		uint16_t pseudo = (uint16_t)csum_fold(
			csum_pseudo(&f->src, &f->dst, f->protocol, bytes));

		CHECK_EQ(sent->csum_start, f->transport);
		CHECK_EQ(sum_field(f) - frame_transport(f), sent->csum_offset);
		CHECK_EQ(wire_get_sum(sum_field(f)), pseudo);
	} else if (f->protocol == NET_UDP && wire_get16(sum_field(f)) == 0) {
		CHECK(is_v4(f)); /* none is made: RFC 768 */
	} else {
		CHECK_EQ(sum_transport(f), 0);
	}
}
