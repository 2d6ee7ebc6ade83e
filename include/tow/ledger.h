/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TOW_LEDGER_H
#define TOW_LEDGER_H

#include <stdint.h>
#include <tow/mark.h>

/*
 * Ledger: where each byte of payload was copied or touched, and why.
 *
 * Every stack has a ledger, which is the sum of all its sockets, living and
 * gone. So has every UDP socket, and a TCP connection from when it is asked
 * for: tow_tcp_ledger(). Payload is copied by one function only, which
 * takes a reason; a byte that was not copied is in lent, placed or passed.
 * Bytes are counted when they change hands: on transmit when they are queued,
 * on receive when the application gets them. A retransmission counts nothing
 * here, because it comes from the same loan. What is passed from one socket to
 * another is in the ledgers of both, but in the stack's once.
 *
 * Beside the ledger a stack counts drops (each with its reason) and events of
 * its protocols. All three lists are X-macros, so that a program can print
 * them by name without knowing them.
 */
#define TOW_COPIES(X)                                                         \
	X(TX_SEND, "send", "the application asked for a copy")                \
	X(TX_SMALL, "small", "a lent span so small that copying is cheaper")  \
	X(TX_SHAPE, "shape", "lent spans too many or too far for the device") \
	X(TX_PASS, "pass", "a received buffer that could not be sent from")   \
	X(RX_RECV, "recv", "the application asked for a copy")                \
	X(RX_COMPACT, "compact",                                              \
	  "small segments in large buffers were packed")                      \
	X(RX_FRAGMENT, "fragment", "fragments were put together")             \
	X(RX_GROUP, "group", "a datagram to a group, for one more socket")    \
	X(RX_EARLY, "early", "arrived before memory was posted for it")       \
	X(RX_UNPLACED, "unplaced", "the device had no hint for it")           \
	X(RX_MISSHAPED, "misshaped",                                          \
	  "placed behind headers of another length")                          \
	X(RX_HOLE, "hole", "placed as if the bytes before it had come")       \
	X(RX_REPAIR, "repair", "came again, or filled a hole")                \
	X(RX_FOREIGN, "foreign", "another flow's, in a posted buffer")        \
	X(RX_UNPOSTED, "unposted", "the posted buffer was taken back")        \
	X(RX_REVOKED, "revoked", "kept from the device for too long")         \
	X(RX_BUDGET, "budget", "more than may be on loan")

#define TOW_DROPS(X)                                                           \
	X(LINK_SHORT, "link_short", "frame shorter than its Ethernet header")  \
	X(LINK_OTHER, "link_other", "frame for another station")               \
	X(LINK_TYPE, "link_type", "EtherType that nobody here speaks")         \
	X(LINK_TRUNCATED, "link_truncated",                                    \
	  "no memory for the frame's payload")                                 \
	X(LINK_STALE, "link_stale",                                            \
	  "placed in memory that is posted no longer")                         \
	X(ARP_BAD, "arp_bad", "malformed ARP packet")                          \
	X(ADDR_CONFLICT, "addr_conflict",                                      \
	  "said by another station that has, or wants, our address")           \
	X(IP_HEADER, "ip_header", "malformed IP header")                       \
	X(IP_CHECKSUM, "ip_checksum", "wrong IPv4 header checksum")            \
	X(IP_LENGTH, "ip_length", "IP length does not fit the frame")          \
	X(IP_SOURCE, "ip_source", "source address that cannot be a source")    \
	X(IP_DESTINATION, "ip_destination", "not addressed to this stack")     \
	X(IP_FRAGMENT, "ip_fragment", "malformed fragment")                    \
	X(FRAGMENT_OVERLAP, "fragment_overlap",                                \
	  "overlaps or contradicts others; their datagram goes with it")       \
	X(FRAGMENT_DUPLICATE, "fragment_duplicate",                            \
	  "a fragment that came before")                                       \
	X(FRAGMENT_LIMIT, "fragment_limit",                                    \
	  "no room for a datagram's missing fragments")                        \
	X(FRAGMENT_TIMEOUT, "fragment_timeout",                                \
	  "a datagram whose fragments did not all come")                       \
	X(IP_OPTIONS, "ip_options", "malformed or source-routing options")     \
	X(IP_EXTENSION, "ip_extension", "malformed IPv6 extension header")     \
	X(IP_PROTOCOL, "ip_protocol", "transport that nobody here speaks")     \
	X(IP_MTU, "ip_mtu", "outgoing packet larger than its path takes")      \
	X(ICMP_BAD, "icmp_bad", "malformed or wrongly summed ICMP message")    \
	X(ICMP_UNMATCHED, "icmp_unmatched",                                    \
	  "ICMP error for no socket of ours")                                  \
	X(ICMP_LIMIT, "icmp_limit", "our ICMP answer was over the rate limit") \
	X(ICMP_IGNORED, "icmp_ignored",                                        \
	  "ICMP message that we have no use for")                              \
	X(GROUP_BAD, "group_bad",                                              \
	  "IGMP or MLD message that is malformed or not from the link")        \
	X(GROUP_IGNORED, "group_ignored",                                      \
	  "IGMP or MLD message that we have no use for")                       \
	X(ND_BAD, "nd_bad",                                                    \
	  "neighbour discovery that fails RFC 4861's checks")                  \
	X(NEIGH_FAILED, "neigh_failed", "next hop did not answer")             \
	X(NEIGH_FULL, "neigh_full", "too many packets wait for a next hop")    \
	X(NO_ROUTE, "no_route", "no route for an outgoing packet")             \
	X(DEV_FULL, "dev_full", "the device's transmit queue was full")        \
	X(DEV_GONE, "dev_gone", "the device is gone")                          \
	X(DHCP_BAD, "dhcp_bad", "no answer to our DHCP message, or malformed") \
	X(UDP_LENGTH, "udp_length", "UDP length does not fit the packet")      \
	X(UDP_CHECKSUM, "udp_checksum", "wrong or missing UDP checksum")       \
	X(UDP_PORT, "udp_port", "no socket on that UDP port")                  \
	X(UDP_GROUP, "udp_group", "no socket listens to that group or source") \
	X(UDP_FULL, "udp_full", "the socket's receive buffer is full")         \
	X(UDP_ERRORS, "udp_errors",                                            \
	  "ICMP error beyond those that a socket keeps")                       \
	X(TCP_HEADER, "tcp_header", "malformed TCP header")                    \
	X(TCP_CHECKSUM, "tcp_checksum", "wrong TCP checksum")                  \
	X(TCP_PORT, "tcp_port", "no connection and no listener")               \
	X(TCP_FLAGS, "tcp_flags", "flags that make no sense in that state")    \
	X(TCP_SEQUENCE, "tcp_sequence", "outside the receive window")          \
	X(TCP_PAWS, "tcp_paws", "timestamp older than the last (RFC 7323 5)")  \
	X(TCP_ACK, "tcp_ack", "acknowledgement outside what was sent")         \
	X(TCP_RST, "tcp_rst", "RST that is not exactly at RCV.NXT (RFC 5961)") \
	X(TCP_DUPLICATE, "tcp_duplicate", "bytes that were received before")   \
	X(TCP_REASSEMBLY, "tcp_reassembly", "out-of-order limit was reached")  \
	X(TCP_WINDOW, "tcp_window", "payload beyond the receive window")       \
	X(TCP_BACKLOG, "tcp_backlog", "the listener's backlog is full")        \
	X(TCP_MEMORY, "tcp_memory", "no room for another connection")          \
	X(TCP_AUTH_MISSING, "tcp_auth_missing",                                \
	  "not signed, where keys say that it must be")                        \
	X(TCP_AUTH_KEY, "tcp_auth_key", "signed with a key that is not there") \
	X(TCP_AUTH_BAD, "tcp_auth_bad", "wrongly signed")                      \
	X(TCP_AUTH_MERGED, "tcp_auth_merged",                                  \
	  "several signed segments that a device made one of")                 \
	X(TCP_AUTH_CRYPTO, "tcp_auth_crypto",                                  \
	  "could not be signed or looked at: the cryptography failed")         \
	X(TCP_CLOSED, "tcp_closed", "payload after the application closed")    \
	X(NO_BUFFERS, "no_buffers", "out of packet buffers")

#define TOW_COUNTERS(X)                                                       \
	X(RX_FRAMES, "rx_frames", "frames received from devices")             \
	X(RX_BYTES, "rx_bytes", "bytes of them, with all headers")            \
	X(TX_FRAMES, "tx_frames", "frames handed to devices")                 \
	X(TX_BYTES, "tx_bytes", "bytes of them, with all headers")            \
	X(FRAGMENTS_IN, "fragments_in", "IP fragments received")              \
	X(FRAGMENTS_OUT, "fragments_out", "IP fragments sent")                \
	X(REASSEMBLED, "reassembled", "datagrams put together of them")       \
	X(TCP_SEGS_IN, "tcp_segs_in",                                         \
	  "segments received, as the device gave them")                       \
	X(TCP_SEGS_OUT, "tcp_segs_out", "segments sent, before segmentation") \
	X(TCP_RETRANS_SEGS, "tcp_retrans_segs", "segments sent again")        \
	X(TCP_RETRANS_BYTES, "tcp_retrans_bytes",                             \
	  "bytes of payload sent again")                                      \
	X(TCP_RTO, "tcp_rto", "retransmission timer expiries")                \
	X(TCP_FAST_RECOVERY, "tcp_fast_recovery", "fast recoveries entered")  \
	X(TCP_SPURIOUS, "tcp_spurious",                                       \
	  "retransmissions proved needless by D-SACK")                        \
	X(TCP_UNDONE, "tcp_undone",                                           \
	  "reductions taken back: nothing had been lost")                     \
	X(TCP_TAIL_PROBES, "tcp_tail_probes", "tail loss probes sent")        \
	X(TCP_OUT_OF_ORDER, "tcp_out_of_order", "segments kept for later")    \
	X(TCP_DSACK_SENT, "tcp_dsack_sent", "duplicates reported by D-SACK")  \
	X(TCP_PROBES, "tcp_probes", "zero-window probes sent")                \
	X(TCP_KEEPALIVES, "tcp_keepalives", "keepalive probes sent")          \
	X(TCP_ORPHANS_RESET, "tcp_orphans_reset",                             \
	  "closed connections reset because there were too many")             \
	X(TCP_MTU_PROBES, "tcp_mtu_probes",                                   \
	  "packets sent to see whether so large ones get through")            \
	X(TCP_MTU_RAISED, "tcp_mtu_raised", "such that got through")          \
	X(TCP_BLACK_HOLES, "tcp_black_holes",                                 \
	  "paths that swallowed large packets in silence")                    \
	X(TCP_CHALLENGE_ACKS, "tcp_challenge_acks",                           \
	  "challenge ACKs (RFC 5961)")                                        \
	X(TCP_SIGNED_IN, "tcp_signed_in", "segments rightly signed")          \
	X(TCP_SIGNED_OUT, "tcp_signed_out", "segments sent with a signature") \
	X(TCP_RST_OUT, "tcp_rst_out", "resets sent")                          \
	X(TCP_RST_IN, "tcp_rst_in", "connections reset by the peer")          \
	X(TCP_ACTIVE_OPENS, "tcp_active_opens", "connections begun here")     \
	X(TCP_PASSIVE_OPENS, "tcp_passive_opens", "connections accepted")     \
	X(TCP_ESTABLISHED, "tcp_established", "handshakes completed")         \
	X(TCP_COOKIES_SENT, "tcp_cookies_sent",                               \
	  "SYNs answered by a cookie (RFC 4987)")                             \
	X(TCP_COOKIES_RETURNED, "tcp_cookies_returned",                       \
	  "ACKs that brought one back")                                       \
	X(TCP_FAST_OPEN_IN, "tcp_fast_open_in",                               \
	  "SYNs whose data was taken (RFC 7413)")                             \
	X(TCP_FAST_OPEN_OUT, "tcp_fast_open_out",                             \
	  "SYNs of ours whose data was taken")                                \
	X(TCP_FAST_OPEN_BAD, "tcp_fast_open_bad",                             \
	  "SYNs with an old or wrong Fast Open cookie")                       \
	X(TCP_FAST_OPEN_FULL, "tcp_fast_open_full",                           \
	  "SYNs whose data was not taken: too many are pending")              \
	X(TCP_FAST_OPEN_PAUSED, "tcp_fast_open_paused",                       \
	  "times that a destination was left alone with it")                  \
	X(TCP_TIMEOUTS, "tcp_timeouts", "connections given up on")            \
	X(TCP_TIME_WAIT_REUSED, "tcp_time_wait_reused",                       \
	  "TIME-WAIT taken over (RFC 6191)")                                  \
	X(PLACE_ARMED, "place_armed", "placement began, or began again")      \
	X(PLACE_HITS, "place_hits",                                           \
	  "segments and datagrams that the device placed")                    \
	X(PLACE_MISSES, "place_misses",                                       \
	  "segments and datagrams that came otherwise")                       \
	X(PLACE_DEVICE, "place_device", "not placed: the device cannot")      \
	X(PLACE_REFUSED, "place_refused",                                     \
	  "not placed: the device cannot keep the flow apart")                \
	X(PLACE_BUSY, "place_busy",                                           \
	  "not placed: the device places as many flows as it can")            \
	X(PLACE_SHARED, "place_shared",                                       \
	  "not placed: somebody else uses the local port")                    \
	X(PLACE_PAUSED, "place_paused",                                       \
	  "not placed for a while: too much came otherwise")                  \
	X(UDP_IN, "udp_in", "datagrams delivered to sockets")                 \
	X(UDP_OUT, "udp_out", "datagrams sent")                               \
	X(ADDR_CONFLICTS, "addr_conflicts",                                   \
	  "another station has, or wants, an address of ours")                \
	X(DAD_LOOPED, "dad_looped",                                           \
	  "our question for an address came back (RFC 7527)")                 \
	X(DHCP_NAKS, "dhcp_naks", "addresses that a DHCP server refused us")  \
	X(ROUTER_ADVERTS, "router_adverts", "router advertisements followed") \
	X(ROUTER_FULL, "router_full",                                         \
	  "routers, routes, prefixes, names advertised beyond our limits")    \
	X(GROUP_QUERIES, "group_queries", "IGMP and MLD queries heeded")      \
	X(GROUP_REPORTS, "group_reports", "IGMP and MLD messages sent")       \
	X(ICMP_IN, "icmp_in", "ICMP messages understood")                     \
	X(ICMP_OUT, "icmp_out", "ICMP messages sent")                         \
	X(NO_CONNECTIONS, "no_connections",                                   \
	  "a connection was refused for want of memory")                      \
	X(NO_LEDGERS, "no_ledgers",                                           \
	  "a connection's own ledger was refused for want of records")        \
	X(NO_PACED, "no_paced",                                               \
	  "a connection was not paced, or without BBR, for want of records")  \
	X(NO_AUTH_KEYS, "no_auth_keys",                                       \
	  "a key, or its copy, was refused for want of records")              \
	X(NO_ACCECN, "no_accecn",                                             \
	  "a connection had AccECN without its option, for want of records")  \
	X(NO_LOANS, "no_loans",                                               \
	  "a send or lend was refused for want of loan records")              \
	X(NO_SEGMENTS, "no_segments",                                         \
	  "sending waited for want of segment records")                       \
	X(NO_TX_BUFFERS, "no_tx_buffers",                                     \
	  "sending waited for want of buffers")                               \
	X(NO_RX_BUFFERS, "no_rx_buffers",                                     \
	  "receiving waited for want of buffers")

#define TOW_COPY_ID(id, name, text)    TOW_COPY_##id,
#define TOW_DROP_ID(id, name, text)    TOW_DROP_##id,
#define TOW_COUNTER_ID(id, name, text) TOW_COUNTER_##id,
enum tow_copy { TOW_COPIES(TOW_COPY_ID) TOW_COPY_REASONS };
enum tow_drop { TOW_DROPS(TOW_DROP_ID) TOW_DROP_REASONS };
enum tow_counter { TOW_COUNTERS(TOW_COUNTER_ID) TOW_COUNTER_KINDS };
#undef TOW_COPY_ID
#undef TOW_DROP_ID
#undef TOW_COUNTER_ID

/* The first of the reasons that are about receiving. */
#define TOW_COPY_RX_FIRST TOW_COPY_RX_RECV

struct tow_ledger {
	uint64_t tx_lent_bytes;	   /* sent out of the application's memory */
	uint64_t tx_touched_bytes; /* read by the CPU: checksum, signature */
	uint64_t rx_lent_bytes;	   /* borrowed in place and returned */
	uint64_t rx_placed_bytes;  /* by the device, in a posted buffer */
	uint64_t passed_bytes;	   /* received, and sent on from there */
	uint64_t rx_touched_bytes; /* read by the CPU: checksum, signature */
	uint64_t copied_bytes[TOW_COPY_REASONS]; /* by enum tow_copy */
};

/* What a stack counts, all since it was opened. */
struct tow_stats {
	struct tow_ledger ledger;
	uint64_t drops[TOW_DROP_REASONS];     /* packets, by enum tow_drop */
	uint64_t counters[TOW_COUNTER_KINDS]; /* by enum tow_counter */
};

TOW_BEGIN
/*
 * tow_copy_name(), tow_drop_name(), tow_counter_name() - names for output
 *
 * Returns: a constant lower-case word fit for a JSON key, or NULL past the
 *          end of the list. The *_text() calls give a phrase for people.
 * Threads: any.
 */
TOW_API const char *tow_copy_name(unsigned reason);
TOW_API const char *tow_copy_text(unsigned reason);
TOW_API const char *tow_drop_name(unsigned reason);
TOW_API const char *tow_drop_text(unsigned reason);
TOW_API const char *tow_counter_name(unsigned counter);
TOW_API const char *tow_counter_text(unsigned counter);
TOW_END

#endif
