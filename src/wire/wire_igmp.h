/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WIRE_IGMP_H
#define WIRE_IGMP_H

/*
 * IGMP (RFC 1112, RFC 2236, RFC 3376 4) and MLD (RFC 2710, RFC 3810 5), whose
 * reports have one shape.
 */
#include "wire/wire_icmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"

#define IGMP_BYTES	 8  /* of version 1 and 2 */
#define IGMP_QUERY_BYTES 12 /* of version 3 without sources */
#define MLD_BYTES	 24 /* of version 1 */
#define MLD_QUERY_BYTES	 28 /* of version 2 without sources */
#define IP4_ALERT_BYTES	 4
#define IP4_ALERT	 148 /* RFC 2113 */
#define IP6_ALERT	 5   /* RFC 2711 */
#define IP6_ALERT_BYTES	 8
#define IGMP_HOP_LIMIT	 1
#define IGMP_TOS	 0xc0 /* RFC 3376 4: Internetwork Control */
#define GROUP_QRV_MASK	 7

enum igmp_type {
	IGMP_QUERY = 0x11,
	IGMP_REPORT_V1 = 0x12,
	IGMP_REPORT_V2 = 0x16,
	IGMP_LEAVE = 0x17,
	IGMP_REPORT_V3 = 0x22,
};

enum mld_type {
	MLD_QUERY = 130,
	MLD_REPORT_V1 = 131,
	MLD_DONE = 132,
	MLD_REPORT_V2 = 143,
};

/* RFC 3376 4.2.12, RFC 3810 5.2.12. */
enum group_record_type {
	GROUP_IS_INCLUDE = 1,
	GROUP_IS_EXCLUDE = 2,
	GROUP_TO_INCLUDE = 3,
	GROUP_TO_EXCLUDE = 4,
	GROUP_ALLOW_NEW = 5,
	GROUP_BLOCK_OLD = 6,
};

struct wire_igmp {
	uint8_t type;
	uint8_t max_response; /* in units of a tenth of a second */
	uint8_t checksum[2];
	uint8_t group[4];
	uint8_t qrv; /* from here on version 3: S, and robustness */
	uint8_t qqic;
	uint8_t sources[2]; /* how many follow */
};
_Static_assert(sizeof(struct wire_igmp) == IGMP_QUERY_BYTES, "no padding");

struct wire_mld {
	uint8_t type;
	uint8_t code;
	uint8_t checksum[2];
	uint8_t max_response[2]; /* ms */
	uint8_t reserved[2];
	uint8_t group[16];
	uint8_t qrv; /* from here on version 2 */
	uint8_t qqic;
	uint8_t sources[2];
};
_Static_assert(sizeof(struct wire_mld) == MLD_QUERY_BYTES, "no padding");

/* IGMPv3 and MLDv2 alike; records follow. */
struct wire_group_report {
	uint8_t type;
	uint8_t reserved;
	uint8_t checksum[2];
	uint8_t flags[2];
	uint8_t records[2];
};
_Static_assert(sizeof(struct wire_group_report) == 8, "no padding");

/* What a record begins with; then the group, then the sources. */
struct wire_group_record {
	uint8_t type;
	uint8_t aux_words;
	uint8_t sources[2];
};
_Static_assert(sizeof(struct wire_group_record) == 4, "no padding");

/* RFC 3376 4.1.1, 4.1.7: small ones as they are, others as a float. */
static inline uint32_t igmp_code(uint8_t code)
{
	if (code < 128)
		return code;
	return (16u | (code & 15u)) << ((code >> 4 & 7u) + 3);
}

/* RFC 3810 5.1.3. */
static inline uint32_t mld_code(uint16_t code)
{
	if (code < 32768)
		return code;
	return (0x1000u | (code & 0xfffu)) << ((code >> 12 & 7u) + 3);
}

#endif
