/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_GROUP_H
#define TOW_GROUP_H

#include <stdint.h>
#include <tow/addr.h>
#include <tow/error.h>
#include <tow/mark.h>

/*
 * Groups: multicast for UDP sockets.
 *
 * A socket says, for each group and interface, from whom it wants datagrams:
 * from certain sources only, or from all but some (RFC 3376 2, RFC 3678). The
 * stack tells the routers by IGMPv3 and MLDv2, or an older version where they
 * speak that, and says goodbye when nobody listens any more.
 *
 *	socket on port 5000 -- EXCLUDE {}         -- 239.1.2.3, interface 0
 *	                    -- INCLUDE {S1, S2}   -- 232.4.5.6, interface 0
 *
 * A datagram to a group goes to each socket on its port that is bound to any
 * address or to the group, and listens to its source there: so several
 * programs' parts may listen to one group by tow_udp_open_shared(). All but one
 * of them get a copy, which the ledger counts as "group". A connected socket
 * takes what its peer sends to the group, and no one else.
 *
 * Sending needs no membership. What a socket sends to a group that sockets of
 * this stack listen to they hear, too, unless TOW_UDP_GROUP_LOOP is 0.
 */
struct tow_udp;

enum tow_filter {
	TOW_FILTER_INCLUDE, /* from these sources only */
	TOW_FILTER_EXCLUDE, /* from all but these */
};

#define TOW_SOURCES_MAX 64 /* of one filter; RFC 3376 2: no fewer */

TOW_BEGIN
/*
 * tow_udp_listen() - listen to a group, otherwise than before, or no more
 * @link:    number of the interface, from tow_attach()
 * @sources: @count addresses, all different, 0..TOW_SOURCES_MAX
 *
 * What was said before for this group and interface is replaced. INCLUDE of no
 * sources ends it, whether there was anything or not, and so does closing the
 * socket. The routers are told by the next tow_poll(), and again after.
 *
 * Returns: 0, TOW_EINVAL (not a multicast address, no such interface, a source
 *          of the other family or that is none), TOW_ENOBUFS (all of
 *          tow_config.group_max are in use, or all sockets of this group
 *          together INCLUDE more than TOW_SOURCES_MAX sources); then nothing
 *          has changed.
 * Cost:    O(sockets in the group * sources).
 * Example: examples/udp-group.c
 */
TOW_API int tow_udp_listen(struct tow_udp *udp, int link,
			   const struct tow_addr *group, enum tow_filter mode,
			   const struct tow_addr *sources, int count);

/* All sources, or none: EXCLUDE and INCLUDE of no sources. */
TOW_API int tow_udp_join(struct tow_udp *udp, int link,
			 const struct tow_addr *group) TOW_MUST_USE;
TOW_API void tow_udp_leave(struct tow_udp *udp, int link,
			   const struct tow_addr *group);
TOW_END

#endif
