/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_DHCP_H
#define WIRE_DHCP_H

/*
 * DHCP messages (RFC 2131 2) and the options that a client reads or writes
 * (RFC 2132).
 */
#include "wire/wire.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP_COOKIE	 0x63825363u
#define DHCP_BYTES	 240 /* in front of the options */
#define DHCP_BYTES_MIN	 300 /* RFC 951, RFC 1542 2.1: some relays want it */
#define DHCP_BROADCAST	 0x8000
#define DHCP_FOREVER_S	 UINT32_MAX

enum dhcp_op {
	DHCP_BOOTREQUEST = 1,
	DHCP_BOOTREPLY = 2,
};

enum dhcp_type {
	DHCP_DISCOVER = 1,
	DHCP_OFFER = 2,
	DHCP_REQUEST = 3,
	DHCP_DECLINE = 4,
	DHCP_ACK = 5,
	DHCP_NAK = 6,
	DHCP_RELEASE = 7,
};

enum dhcp_option {
	DHCP_OPTION_PAD = 0,
	DHCP_OPTION_MASK = 1,
	DHCP_OPTION_ROUTER = 3,
	DHCP_OPTION_DNS = 6,
	DHCP_OPTION_REQUESTED = 50,
	DHCP_OPTION_LEASE = 51,
	DHCP_OPTION_OVERLOAD = 52,
	DHCP_OPTION_TYPE = 53,
	DHCP_OPTION_SERVER = 54,
	DHCP_OPTION_PARAMETERS = 55,
	DHCP_OPTION_SIZE_MAX = 57,
	DHCP_OPTION_T1 = 58,
	DHCP_OPTION_T2 = 59,
	DHCP_OPTION_CLIENT = 61,
	DHCP_OPTION_END = 255,
};

enum dhcp_overload {
	DHCP_OVERLOAD_FILE = 1,
	DHCP_OVERLOAD_SNAME = 2,
};

struct wire_dhcp {
	uint8_t op;
	uint8_t htype; /* 1: Ethernet */
	uint8_t hlen;
	uint8_t hops;
	uint8_t xid[4];
	uint8_t secs[2];
	uint8_t flags[2];
	uint8_t ciaddr[4];
	uint8_t yiaddr[4];
	uint8_t siaddr[4];
	uint8_t giaddr[4];
	uint8_t chaddr[16];
	uint8_t sname[64];
	uint8_t file[128];
	uint8_t cookie[4];
};
_Static_assert(sizeof(struct wire_dhcp) == DHCP_BYTES, "no padding");

#endif
