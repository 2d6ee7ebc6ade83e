/* SPDX-License-Identifier: BSD-2-Clause */
#include "router_frame.h"
#include <string.h>
#include "wire/wire_icmp.h"

void advert_begin(struct frame *f, const char *router, uint16_t lifetime_s)
{
	static const uint8_t times[8];

	frame_begin(f, router, "ff02::1", NET_ICMP6);
	frame_ip(f)[7] = ND_HOP_LIMIT;
	frame_icmp(f, ICMP6_ROUTER_ADVERT, 0, lifetime_s);
	frame_add(f, times, sizeof(times));
}

void advert_mac(struct frame *f, const uint8_t mac[6])
{
	struct wire_nd_mac o = { .type = ND_SOURCE_MAC, .units = 1 };

	memcpy(o.mac, mac, 6);
	frame_add(f, &o, sizeof(o));
}

void advert_prefix(struct frame *f, const char *prefix, uint8_t bits,
		   uint8_t flags, uint32_t valid_s, uint32_t preferred_s)
{
	struct wire_nd_prefix o = {
		.type = ND_PREFIX,
		.units = 4,
		.bits = bits,
		.flags = flags,
	};
	struct tow_addr addr = address(prefix);

	wire_put32(o.valid_s, valid_s);
	wire_put32(o.preferred_s, preferred_s);
	memcpy(o.prefix, addr.b, 16);
	frame_add(f, &o, sizeof(o));
}

void advert_mtu(struct frame *f, uint32_t mtu)
{
	struct wire_nd_mtu o = { .type = ND_MTU, .units = 1 };

	wire_put32(o.mtu, mtu);
	frame_add(f, &o, sizeof(o));
}

void advert_route(struct frame *f, const char *prefix, uint8_t bits,
		  int preference, uint32_t lifetime_s)
{
	struct wire_nd_route o = {
		.type = ND_ROUTE,
		.units = 3,
		.bits = bits,
		.flags = (uint8_t)((preference & 3) << 3),
	};
	struct tow_addr addr = address(prefix);

	wire_put32(o.lifetime_s, lifetime_s);
	memcpy(o.prefix, addr.b, 16);
	frame_add(f, &o, sizeof(o));
}

void advert_servers(struct frame *f, uint32_t lifetime_s,
		    const char *const *servers)
{
	struct wire_nd_dns o = { .type = ND_RDNSS, .units = 1 };
	struct tow_addr addr;
	unsigned count = 0;

	while (servers[count])
		count++;
	o.units = (uint8_t)(1 + 2 * count);
	wire_put32(o.lifetime_s, lifetime_s);
	frame_add(f, &o, sizeof(o));
	for (; *servers; servers++) {
		addr = address(*servers);
		frame_add(f, addr.b, 16);
	}
}

void advert_domains(struct frame *f, uint32_t lifetime_s, const void *names,
		    uint32_t bytes)
{
	static const uint8_t zeros[7];
	uint32_t pad = -bytes & 7;
	struct wire_nd_dns o = { .type = ND_DNSSL };

	o.units = (uint8_t)(1 + (bytes + pad) / 8);
	wire_put32(o.lifetime_s, lifetime_s);
	frame_add(f, &o, sizeof(o));
	frame_add(f, names, bytes);
	frame_add(f, zeros, pad);
}
