/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multicast: who gets what, what routers are told, what they may ask. Most of
 * it over IGMP and MLD alike: the index 0 is IPv4, 1 is IPv6.
 */
#include <stdio.h>
#include <string.h>
#include <tow/group.h>
#include "base/csum.h"
#include "stack/stack_private.h"
#include "stack_host.h"
#include "test.h"
#include "wire/wire_igmp.h"

static const char *const ours[] = { "192.0.2.1", "2001:db8::1" };
static const char *const routers[] = { "192.0.2.254", "fe80::fe" };
static const char *const everybody[] = { "224.0.0.1", "ff02::1" };
static const char *const groups[] = { "239.1.2.3", "ff05::1:3" };
static const char *const others[] = { "232.9.9.9", "ff35::99" };
static const char *const reports_to[] = { "224.0.0.22", "ff02::16" };
static const char *const sources[][7] = {
	{ "198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4",
	  "198.51.100.5", "198.51.100.6", "198.51.100.7" },
	{ "2001:db8:5::1", "2001:db8:5::2", "2001:db8:5::3", "2001:db8:5::4",
	  "2001:db8:5::5", "2001:db8:5::6", "2001:db8:5::7" },
};

static struct stack_host s;
static struct frame f, sent;
static struct tow_udp *udp, *second, *third;
static struct tow_udp_message from;
static uint8_t out[2000];
static unsigned at; /* next frame to be looked at */

static struct tow_udp *open_at(const char *addr)
{
	struct tow_endpoint local = endpoint(addr, 5000);
	struct tow_udp *socket;

	CHECK_EQ(tow_udp_open_shared(s.stack, &local, &socket), 0);
	return socket;
}

static void open_all(void)
{
	stack_host_open(&s, 0);
	udp = open_at("::");
	second = open_at("::");
	third = open_at("::");
	at = s.seen = 0;
	fake_dev_clear(&s.fake);
}

static void close_all(void)
{
	tow_udp_close(udp);
	tow_udp_close(second);
	tow_udp_close(third);
	stack_host_run(&s, 3000000);
	stack_host_close(&s);
}

static void listen_to(struct tow_udp *socket, int v6, const char *group,
		      enum tow_filter mode, const char *which)
{
	struct tow_addr addr = address(group), list[TOW_SOURCES_MAX];
	int n;

	for (n = 0; which[n]; n++)
		list[n] = address(sources[v6][which[n] - 'a']);
	CHECK_EQ(tow_udp_listen(socket, 0, &addr, mode, list, n), 0);
}

static void join(struct tow_udp *socket, int v6)
{
	listen_to(socket, v6, groups[v6], TOW_FILTER_EXCLUDE, "");
}

static void leave(struct tow_udp *socket, int v6)
{
	listen_to(socket, v6, groups[v6], TOW_FILTER_INCLUDE, "");
}

/* --- what was sent */

static bool next_sent(void)
{
	if (at == s.fake.sent_count)
		return false;
	frame_read(&sent, &s.fake.sent[at++]);
	return true;
}

static uint64_t sent_at(void)
{
	return s.fake.sent[at - 1].at_us;
}

static void forget(void)
{
	fake_dev_clear(&s.fake);
	s.seen = 0;
	at = 0;
}

static const uint8_t *put_text(char *text, const uint8_t *p, uint32_t count,
			       int v6)
{
	for (; count > 0; count--) {
		struct tow_addr a = v6 ? wire_get_addr6(p) : wire_get_addr4(p);
		char letter[2] = "?";

		for (int i = 0; i < 7; i++)
			if (tow_addr_equal(&a, (struct tow_addr[]){ address(
						       sources[v6][i]) }))
				letter[0] = (char)('a' + i);
		strcat(text, letter);
		p += v6 ? 16 : 4;
	}
	return p;
}

/* "TO_EX(bc) " and so on, for each record about @group of the report. */
static const char *report_text(int v6, const char *group)
{
	static const char *const names[] = { "?",     "IS_IN", "IS_EX", "TO_IN",
					     "TO_EX", "ALLOW", "BLOCK" };
	static char text[600];
	const uint8_t *p = frame_transport(&sent) + 8;
	struct tow_addr wanted = address(group), addr;

	text[0] = 0;
	for (unsigned n = wire_get16(p - 2); n > 0; n--) {
		unsigned type = p[0], count = wire_get16(p + 2);

		CHECK(type >= 1 && type <= 6);
		CHECK_EQ(p[1], 0);
		addr = v6 ? wire_get_addr6(p + 4) : wire_get_addr4(p + 4);
		p += 4 + (v6 ? 16 : 4);
		if (!tow_addr_equal(&addr, &wanted)) {
			p += count * (v6 ? 16 : 4);
			continue;
		}
		strcat(text, names[type]);
		strcat(text, "(");
		p = put_text(text, p, count, v6);
		strcat(text, ")");
	}
	CHECK_EQ(p - frame_transport(&sent), sent.bytes - sent.transport);
	return text;
}

/* RFC 3376 4, 4.2.14; RFC 3810 5, 5.2.13, 5.2.14 */
static void check_report(int v6)
{
	static const uint8_t alert4[] = { 148, 4, 0, 0 };
	static const uint8_t alert6[] = { 58, 0, 5, 2, 0, 0, 1, 0 };
	struct tow_addr to = address(reports_to[v6]);

	CHECK_MEM(sent.dst.b, to.b, 16);
	if (v6) {
		CHECK_EQ(frame_ip(&sent)[7], 1);
		CHECK(ip6_is_link_local(&sent.src));
		CHECK_MEM(frame_ip(&sent) + 40, alert6, 8);
		CHECK_EQ(sent.protocol, NET_ICMP6);
	} else {
		CHECK_EQ(frame_ip(&sent)[8], 1);
		CHECK_EQ(frame_ip(&sent)[1], 0xc0);
		CHECK_MEM(sent.src.b, address(ours[0]).b, 16);
		CHECK_MEM(frame_ip(&sent) + 20, alert4, 4);
		CHECK_EQ(sent.protocol, NET_IGMP);
	}
	CHECK_EQ(frame_transport(&sent)[0],
		 v6 ? (int)MLD_REPORT_V2 : (int)IGMP_REPORT_V3);
	CHECK_EQ(sent.data[0] & 1, 1);
}

/* All that is told about the group within @us, separated by blanks. */
static const char *told_of(int v6, const char *group, uint64_t us)
{
	static char text[600];

	forget();
	stack_host_run(&s, us);
	text[0] = 0;
	while (next_sent()) {
		check_report(v6);
		if (text[0])
			strcat(text, " ");
		strcat(text, report_text(v6, group));
	}
	return text;
}

static const char *told(int v6)
{
	return told_of(v6, groups[v6], 3000000);
}

#define CHECK_TEXT(a, b) CHECK_EQ(strcmp((a), (b)), 0)

/* --- what routers ask */

static void end_igmp(void)
{
	uint8_t *p = frame_transport(&f);

	wire_put16(p + 2, 0);
	wire_put_sum(p + 2,
		     csum_finish(csum_bytes(0, p, f.bytes - f.transport)));
	wire_put16(frame_ip(&f) + 2, f.bytes - f.ip);
	frame_sum_ip(&f);
}

static void begin_igmp(const char *src, const char *dst, bool alert)
{
	static const uint8_t option[] = { 148, 4, 0, 0 };

	frame_begin(&f, src, dst, NET_IGMP);
	frame_ip(&f)[8] = 1;
	if (alert)
		frame_ip4_options(&f, option, 4);
	f.transport = f.bytes;
}

static void begin_mld(const char *src, const char *dst, uint8_t type,
		      uint16_t max)
{
	static const uint8_t option[] = { 58, 0, 5, 2, 0, 0, 1, 0 };

	frame_begin(&f, src, dst, IP6_HOP_BY_HOP);
	frame_ip(&f)[7] = 1;
	frame_add(&f, option, 8);
	frame_icmp(&f, type, 0, (uint32_t)max << 16);
}

/* A query of version 3, or 2, as IGMP counts; sent @src to @dst. */
static void make_query(int v6, const char *group, unsigned version,
		       const char *which, const char *dst)
{
	struct tow_addr addr = address(group);
	uint8_t tail[4] = { 2, 125, 0, (uint8_t)strlen(which) },
		head[8] = { 0 };

	if (v6) {
		begin_mld(routers[1], dst, MLD_QUERY, 1000);
		frame_add(&f, addr.b, 16);
	} else {
		begin_igmp(routers[0], dst, version > 1);
		head[0] = IGMP_QUERY;
		head[1] = version == 1 ? 0 : 10;
		if (!tow_addr_is_any(&addr))
			wire_put_addr4(head + 4, &addr);
		frame_add(&f, head, 8);
	}
	if (version == 3)
		frame_add(&f, tail, 4);
	for (; *which; which++) {
		addr = address(sources[v6][*which - 'a']);
		frame_add(&f, v6 ? addr.b : addr.b + 12, v6 ? 16 : 4);
	}
	if (v6)
		frame_end(&f);
	else
		end_igmp();
}

static void ask(int v6, const char *group, unsigned version, const char *which)
{
	bool general = !strcmp(group, "::");

	make_query(v6, group, version, which, general ? everybody[v6] : group);
	stack_host_receive(&s, &f);
}

/* --- tests */

/* RFC 3376 5.1, RFC 3810 6.1: at once, and again within a second */
TEST(join_and_leave_are_told_twice)
{
	for (int v6 = 0; v6 < 2; v6++) {
		open_all();
		join(udp, v6);
		stack_host_poll(&s);
		CHECK(next_sent()); /* at once */
		check_report(v6);
		CHECK_TEXT(report_text(v6, groups[v6]), "TO_EX()");
		CHECK_TEXT(told_of(v6, groups[v6], 1000000), "TO_EX()");
		CHECK_TEXT(told(v6), "");
		join(udp, v6); /* nothing new */
		CHECK_TEXT(told(v6), "");
		join(second, v6);
		leave(udp, v6);
		CHECK_TEXT(told(v6), "");
		leave(second, v6);
		CHECK_TEXT(told(v6), "TO_IN() TO_IN()");
		leave(second, v6);
		CHECK_TEXT(told(v6), "");
		join(udp, v6);
		CHECK_TEXT(told(v6), "TO_EX() TO_EX()");
		tow_udp_close(udp); /* is a leave */
		CHECK_TEXT(told(v6), "TO_IN() TO_IN()");
		udp = open_at("::");
		close_all();
	}
}

/* RFC 3376 5.1, the table: only the difference is told */
TEST(sources_that_come_and_go_are_told)
{
	for (int v6 = 0; v6 < 2; v6++) {
		const char *g = groups[v6];

		open_all();
		listen_to(udp, v6, g, TOW_FILTER_INCLUDE, "ab");
		CHECK_TEXT(told(v6), "ALLOW(ab) ALLOW(ab)");
		listen_to(udp, v6, g, TOW_FILTER_INCLUDE, "bc");
		CHECK_TEXT(told(v6), "ALLOW(c)BLOCK(a) ALLOW(c)BLOCK(a)");
		listen_to(udp, v6, g, TOW_FILTER_EXCLUDE, "ab");
		CHECK_TEXT(told(v6), "TO_EX(ab) TO_EX(ab)");
		listen_to(udp, v6, g, TOW_FILTER_EXCLUDE, "bc");
		CHECK_TEXT(told(v6), "ALLOW(a)BLOCK(c) ALLOW(a)BLOCK(c)");
		listen_to(udp, v6, g, TOW_FILTER_INCLUDE, "e");
		CHECK_TEXT(told(v6), "TO_IN(e) TO_IN(e)");
		listen_to(udp, v6, g, TOW_FILTER_INCLUDE, "");
		CHECK_TEXT(told(v6), "BLOCK(e) BLOCK(e)");
		close_all();
	}
}

/* RFC 3376 5.1: what changes while a change is being told is told as often */
TEST(changes_merge_while_they_are_told)
{
	for (int v6 = 0; v6 < 2; v6++) {
		const char *g = groups[v6];

		open_all();
		listen_to(udp, v6, g, TOW_FILTER_INCLUDE, "a");
		stack_host_poll(&s);
		listen_to(udp, v6, g, TOW_FILTER_INCLUDE, "b");
		CHECK_TEXT(told(v6), "ALLOW(b)BLOCK(a) ALLOW(b)BLOCK(a)");
		listen_to(udp, v6, g, TOW_FILTER_INCLUDE, "bc");
		stack_host_poll(&s);
		listen_to(udp, v6, g, TOW_FILTER_EXCLUDE, "d");
		CHECK_TEXT(told(v6), "TO_EX(d) TO_EX(d)");
		close_all();
	}
}

/* RFC 3376 3.2, RFC 3810 4.2: the examples of the text */
TEST(filters_of_sockets_merge_as_in_the_text)
{
	for (int v6 = 0; v6 < 2; v6++) {
		const char *g = groups[v6];

		open_all();
		listen_to(udp, v6, g, TOW_FILTER_EXCLUDE, "abcd");
		listen_to(second, v6, g, TOW_FILTER_EXCLUDE, "bcde");
		listen_to(third, v6, g, TOW_FILTER_INCLUDE, "def");
		CHECK_TEXT(told(v6), "TO_EX(bc) TO_EX(bc)");
		leave(udp, v6);
		CHECK_TEXT(told(v6), ""); /* still bc */
		leave(second, v6);
		CHECK_TEXT(told(v6), "TO_IN(def) TO_IN(def)");
		listen_to(udp, v6, g, TOW_FILTER_INCLUDE, "abc");
		CHECK_TEXT(told(v6), "ALLOW(abc) ALLOW(abc)");
		close_all();
	}
}

/* RFC 3376 5.2, RFC 3810 6.2: each kind of query has its answer, in time */
TEST(queries_are_answered_within_their_time)
{
	for (int v6 = 0; v6 < 2; v6++) {
		const char *g = groups[v6];

		open_all();
		listen_to(udp, v6, g, TOW_FILTER_EXCLUDE, "a");
		listen_to(second, v6, others[v6], TOW_FILTER_INCLUDE, "bc");
		stack_host_run(&s, 3000000);
		ask(v6, "::", 3, "");
		CHECK_TEXT(told_of(v6, g, 1000000), "IS_EX(a)");
		CHECK_EQ(at, 1);
		CHECK_TEXT(report_text(v6, others[v6]), "IS_IN(bc)");
		ask(v6, g, 3, "");
		CHECK_TEXT(told_of(v6, g, 1000000), "IS_EX(a)");
		ask(v6, others[v6], 3, "");
		CHECK_TEXT(told_of(v6, others[v6], 1000000), "IS_IN(bc)");
		ask(v6, g, 3, "abc"); /* all but a is wanted */
		CHECK_TEXT(told_of(v6, g, 1000000), "IS_IN(bc)");
		ask(v6, others[v6], 3, "cd");
		CHECK_TEXT(told_of(v6, others[v6], 1000000), "IS_IN(c)");
		ask(v6, others[v6], 3, "d"); /* none of it: silence */
		CHECK_TEXT(told_of(v6, others[v6], 1000000), "");
		ask(v6, g, 3, "b");
		ask(v6, g, 3, "c"); /* 5.2 rule 5: both in one */
		CHECK_TEXT(told_of(v6, g, 1000000), "IS_IN(bc)");
		ask(v6, g, 3, "b");
		ask(v6, g, 3, ""); /* rule 4: all of it */
		CHECK_TEXT(told_of(v6, g, 1000000), "IS_EX(a)");
		close_all();
	}
}

TEST(answers_come_at_random_times_and_once_to_a_flood)
{
	uint64_t began, earliest = UINT64_MAX, latest = 0;

	open_all();
	join(udp, 0);
	stack_host_run(&s, 3000000);
	for (int i = 0; i < 40; i++) {
		forget();
		began = s.now_us;
		ask(0, "::", 3, "");
		stack_host_run(&s, 1100000);
		CHECK(next_sent());
		earliest = MIN(earliest, sent_at() - began);
		latest = MAX(latest, sent_at() - began);
		CHECK(!next_sent());
	}
	CHECK_LT(earliest, 250000);
	CHECK_GT(latest, 750000);
	CHECK_LE(latest, 1002000);
	forget();
	for (int i = 0; i < 1000; i++)
		ask(0, i % 2 ? "::" : groups[0], 3, i % 3 ? "" : "ab");
	stack_host_run(&s, 3000000);
	CHECK_LE(s.fake.sent_count, 20); /* to 1000 */
	close_all();
}

/* RFC 3376 9.1; RFC 3810 6.2: what is not from the link, or is malformed */
TEST(bad_queries_are_dropped)
{
	unsigned n = 0;

	open_all();
	join(udp, 0);
	join(udp, 1);
	stack_host_run(&s, 3000000);
	forget();
	begin_igmp(routers[0], everybody[0], false); /* no Router Alert */
	frame_add(&f, "\x11\x0a\0\0\0\0\0\0\2\175\0\0", 12);
	end_igmp();
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD), ++n);
	make_query(0, "::", 3, "", groups[0]); /* general, to a group */
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD), ++n);
	make_query(0, "::", 3, "", everybody[0]); /* wrong sum */
	frame_transport(&f)[1] ^= 1;
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD), ++n);
	make_query(0, "198.51.100.1", 3, "", everybody[0]); /* no group */
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD), ++n);
	for (uint32_t bytes = 0; bytes < 12; bytes++) {
		begin_igmp(routers[0], everybody[0], true);
		frame_add(&f, "\x11\x0a\0\0\0\0\0\0\2\175\0\0", bytes);
		f.protocol = NET_IGMP;
		if (bytes >= 4)
			end_igmp();
		else
			frame_end(&f);
		stack_host_receive(&s, &f);
		n += bytes != 8;
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD), n);
	}
	for (int v6 = 0; v6 < 2; v6++) { /* sources that are not there */
		make_query(v6, groups[v6], 3, "a", groups[v6]);
		frame_transport(&f)[v6 ? 27 : 11] = 2;
		if (v6)
			frame_end(&f);
		else
			end_igmp();
		stack_host_receive(&s, &f);
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD), ++n);
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_IP_DESTINATION), 0);
	}
	make_query(1, "::", 3, "", everybody[1]); /* from afar */
	frame_ip(&f)[7] = 2;
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD), ++n);
	make_query(1, "::", 3, "", everybody[1]); /* no Router Alert */
	f.data[f.ip + 40 + 2] = 1;
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD), ++n);
	begin_mld("2001:db8::fe", everybody[1], MLD_QUERY, 100); /* global */
	frame_add(&f, (uint8_t[20]){ 0 }, 20);
	frame_end(&f);
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD), ++n);
	forget();
	close_all();
}

/* RFC 3376 4.1.10, RFC 3810 5.1.12: in the sum, and else of no meaning */
TEST(bytes_behind_a_query_are_ignored)
{
	for (int v6 = 0; v6 < 2; v6++) {
		open_all();
		listen_to(udp, v6, groups[v6], TOW_FILTER_EXCLUDE, "a");
		stack_host_run(&s, 3000000);
		make_query(v6, groups[v6], 3, "ab", groups[v6]);
		frame_add(&f, "whatever", 8);
		if (v6)
			frame_end(&f);
		else
			end_igmp();
		f.data[f.bytes - 1] ^= 1;
		stack_host_receive(&s, &f);
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD) +
				 stack_host_drops(&s, TOW_DROP_ICMP_BAD),
			 1);
		CHECK_TEXT(told(v6), "");
		f.data[f.bytes - 1] ^= 1;
		stack_host_receive(&s, &f);
		CHECK_TEXT(told(v6), "IS_IN(b)");
		close_all();
	}
}

/* A general query of a router that says how robust it is, S and QRV. */
static void query_with_robustness(int v6, uint8_t robustness)
{
	make_query(v6, "::", 3, "", everybody[v6]);
	frame_transport(&f)[v6 ? 24 : 8] = robustness;
	if (v6)
		frame_end(&f);
	else
		end_igmp();
	stack_host_receive(&s, &f);
	stack_host_run(&s, 3000000);
}

/* RFC 3376 4.1.6, 8.1, RFC 3810 5.1.8, 9.1: and never zero */
TEST(robustness_of_the_querier_is_followed)
{
	for (int v6 = 0; v6 < 2; v6++) {
		open_all();
		query_with_robustness(v6, 4);
		join(udp, v6);
		CHECK_TEXT(told_of(v6, groups[v6], 5000000),
			   "TO_EX() TO_EX() TO_EX() TO_EX()");
		query_with_robustness(v6, 0);
		leave(udp, v6);
		CHECK_TEXT(told_of(v6, groups[v6], 5000000), "TO_IN() TO_IN()");
		close_all();
	}
}

/* RFC 3376 4, RFC 3810 5: MUST silently ignore */
TEST(other_messages_are_ignored)
{
	static const uint8_t types4[] = { 0x13, 0x14, 0x17, 0x22, 0x30, 0xff };
	static const uint8_t types6[] = { MLD_DONE, MLD_REPORT_V2 };
	unsigned n = 0;

	open_all();
	for (unsigned i = 0; i < sizeof(types4); i++) {
		begin_igmp(routers[0], everybody[0], true);
		frame_add(&f, &types4[i], 1);
		frame_add(&f, "\0\0\0\0\0\0\0", 7);
		end_igmp();
		stack_host_receive(&s, &f);
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_IGNORED), ++n);
	}
	for (unsigned i = 0; i < sizeof(types6); i++) {
		begin_mld(routers[1], everybody[1], types6[i], 0);
		frame_add(&f, (uint8_t[16]){ 0 }, 16);
		frame_end(&f);
		stack_host_receive(&s, &f);
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_IGNORED), ++n);
	}
	CHECK_EQ(stack_host_sent(&s), 0);
	close_all();
}

/* RFC 4541 2.1.1: a switch that asks has no address */
/* RFC 3810 6, 7.2.3: of our two addresses, also when no socket listens */
TEST(solicited_node_groups_are_among_the_answers)
{
	open_all();
	ask(1, "::", 3, "");
	CHECK_TEXT(told_of(1, "ff02::1:ff00:1", 1000000), "IS_EX()");
	ask(1, "ff02::1:ff00:1", 3, "");
	CHECK_TEXT(told_of(1, "ff02::1:ff00:1", 1000000), "IS_EX()");
	ask(1, "ff02::1:ff00:2", 3, "");
	CHECK_TEXT(told_of(1, "ff02::1:ff00:2", 1000000), "");
	close_all();
}

TEST(query_from_no_address_is_answered)
{
	open_all();
	join(udp, 0);
	stack_host_run(&s, 3000000);
	make_query(0, "::", 3, "", everybody[0]);
	memset(frame_ip(&f) + 12, 0, 4);
	frame_sum_ip(&f);
	stack_host_receive(&s, &f);
	CHECK_TEXT(told(0), "IS_EX()");
	close_all();
}

/* The next report or goodbye that is not about our addresses. */
static bool next_old(int v6)
{
	static const uint8_t solicited[] = { 0xff, 2, 0, 0, 0, 0,   0,
					     0,	   0, 0, 0, 1, 0xff };

	while (next_sent())
		if (!v6 || memcmp(frame_transport(&sent) + 8, solicited,
				  sizeof(solicited)) != 0)
			return true;
	return false;
}

/* The type and destination of what is sent within @us. */
static void check_old(int v6, uint8_t type, const char *dst, uint64_t us,
		      unsigned times)
{
	struct tow_addr to = address(dst), g = address(groups[v6]);

	forget();
	stack_host_run(&s, us);
	for (; times > 0; times--) {
		CHECK(next_old(v6));
		CHECK_EQ(frame_transport(&sent)[0], type);
		CHECK_MEM(sent.dst.b, to.b, 16);
		CHECK_EQ(sent.bytes - sent.transport, v6 ? 24 : 8);
		if (v6)
			CHECK_MEM(frame_transport(&sent) + 8, g.b, 16);
		else
			CHECK_MEM(frame_transport(&sent) + 4, g.b + 12, 4);
	}
	CHECK(!next_old(v6));
}

/* RFC 3376 7.2, RFC 3810 8.2; RFC 2236 3, RFC 2710 4 */
TEST(older_routers_are_spoken_to_in_their_version)
{
	static const uint8_t report[] = { IGMP_REPORT_V2, MLD_REPORT_V1 };
	static const uint8_t goodbye[] = { IGMP_LEAVE, MLD_DONE };
	static const char *const all_routers[] = { "224.0.0.2", "ff02::2" };

	for (int v6 = 0; v6 < 2; v6++) {
		open_all();
		listen_to(udp, v6, groups[v6], TOW_FILTER_EXCLUDE, "a");
		stack_host_run(&s, 3000000);
		ask(v6, "::", 2, "");
		check_old(v6, report[v6], groups[v6], 1100000, 1);
		ask(v6, groups[v6], 2, "");
		check_old(v6, report[v6], groups[v6], 1100000, 1);
		ask(v6, "::", 3, ""); /* not so soon */
		check_old(v6, report[v6], groups[v6], 1100000, 1);
		listen_to(udp, v6, groups[v6], TOW_FILTER_INCLUDE, "");
		check_old(v6, goodbye[v6], all_routers[v6], 11000000, 1);
		join(udp, v6);
		check_old(v6, report[v6], groups[v6], 11000000, 2);
		stack_host_run(&s, 270000000); /* 260 s without one */
		ask(v6, "::", 3, "");
		CHECK_TEXT(told(v6), "IS_EX()");
		close_all();
	}
}

/* RFC 2236 3, RFC 2710 4: for some sources it is joining all the same */
TEST(older_routers_hear_twice_of_joining_for_some_sources)
{
	static const uint8_t report[] = { IGMP_REPORT_V2, MLD_REPORT_V1 };
	static const uint8_t goodbye[] = { IGMP_LEAVE, MLD_DONE };
	static const char *const all_routers[] = { "224.0.0.2", "ff02::2" };

	for (int v6 = 0; v6 < 2; v6++) {
		open_all();
		ask(v6, "::", 2, "");
		listen_to(udp, v6, groups[v6], TOW_FILTER_INCLUDE, "a");
		check_old(v6, report[v6], groups[v6], 11000000, 2);
		listen_to(udp, v6, groups[v6], TOW_FILTER_INCLUDE, "ab");
		check_old(v6, 0, groups[v6], 11000000, 0); /* sources: never */
		leave(udp, v6);
		check_old(v6, goodbye[v6], all_routers[v6], 11000000, 1);
		close_all();
	}
}

/* RFC 1112 I: to all hosts, with a TTL of 1; else it may be from afar */
TEST(query_of_igmp_version_1_is_believed_to_all_hosts_only)
{
	const char *const dsts[] = { ours[0], groups[0] };

	open_all();
	join(udp, 0);
	stack_host_run(&s, 3000000);
	for (unsigned i = 0; i < 2; i++) {
		make_query(0, "::", 1, "", dsts[i]);
		stack_host_receive(&s, &f);
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD), i + 1);
	}
	make_query(0, "::", 1, "", everybody[0]);
	frame_ip(&f)[8] = 2;
	frame_sum_ip(&f);
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_GROUP_BAD), 3);
	leave(udp, 0); /* is still told as in version 3 */
	CHECK_TEXT(told(0), "TO_IN() TO_IN()");
	close_all();
}

TEST(igmp_version_1_has_no_leave)
{
	open_all();
	join(udp, 0);
	stack_host_run(&s, 3000000);
	ask(0, "::", 1, "");
	check_old(0, IGMP_REPORT_V1, groups[0], 11000000, 1);
	leave(udp, 0);
	check_old(0, 0, groups[0], 11000000, 0);
	close_all();
}

/* RFC 2236 3, RFC 2710 4: one report is enough for all hosts */
TEST(report_of_another_host_makes_ours_needless)
{
	struct tow_addr g;

	for (int v6 = 0; v6 < 2; v6++) {
		g = address(groups[v6]);
		open_all();
		join(udp, v6);
		stack_host_run(&s, 3000000);
		ask(v6, "::", 2, "");
		if (v6) {
			begin_mld("fe80::77", groups[1], MLD_REPORT_V1, 0);
			frame_add(&f, g.b, 16);
			frame_end(&f);
		} else {
			begin_igmp("192.0.2.77", groups[0], true);
			frame_add(&f, "\x16\0\0\0", 4);
			frame_add(&f, g.b + 12, 4);
			end_igmp();
		}
		stack_host_receive(&s, &f);
		check_old(v6, 0, groups[v6], 3000000, 0);
		leave(udp, v6); /* the other may still be there */
		check_old(v6, 0, groups[v6], 11000000, 0);
		close_all();
	}
}

/* RFC 3376 4.2.16; RFC 3810 6 */
TEST(groups_of_everybody_are_not_told)
{
	for (int v6 = 0; v6 < 2; v6++) {
		open_all();
		listen_to(udp, v6, everybody[v6], TOW_FILTER_EXCLUDE, "");
		ask(v6, "::", 3, "");
		CHECK_TEXT(told(v6), "");
		close_all();
	}
}

/* --- who gets what */

static void arrive(const char *src, const char *dst)
{
	frame_begin(&f, src, dst, NET_UDP);
	frame_udp(&f, 4000, 5000);
	frame_fill(&f, 700);
	frame_end(&f);
	stack_host_receive(&s, &f);
}

static bool got(struct tow_udp *socket)
{
	return tow_udp_recv(socket, out, sizeof(out), &from) == 700 &&
	       memcmp(out, frame_transport(&f) + 8, 700) == 0;
}

/* RFC 1112 7.2: nothing before joining, nothing after leaving */
TEST(group_is_heard_between_join_and_leave)
{
	for (int v6 = 0; v6 < 2; v6++) {
		open_all();
		arrive(sources[v6][0], groups[v6]);
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_IP_DESTINATION), 1);
		join(udp, v6);
		arrive(sources[v6][0], groups[v6]);
		CHECK(got(udp));
		CHECK_MEM(from.local.b, address(groups[v6]).b, 16);
		CHECK(!got(second));
		arrive(sources[v6][0], others[v6]);
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_IP_DESTINATION), 2);
		leave(udp, v6);
		arrive(sources[v6][0], groups[v6]);
		CHECK(!got(udp));
		close_all();
	}
}

/*
 * RFC 7371: both fields of flags, whatever they say; the scope is one of ours
 */
TEST(group_with_any_flags_is_heard)
{
	char group[40];

	for (unsigned flags = 0; flags < 256; flags++) {
		snprintf(group, sizeof(group), "ff%x5:%x040::99", flags & 15,
			 flags >> 4);
		open_all();
		listen_to(udp, 1, group, TOW_FILTER_EXCLUDE, "");
		arrive(sources[1][0], group);
		CHECK(got(udp));
		close_all();
	}
}

/* RFC 3376 2, RFC 4607: each socket's own filter */
TEST(sources_are_filtered_for_each_socket)
{
	for (int v6 = 0; v6 < 2; v6++) {
		const char *g = groups[v6];

		open_all();
		listen_to(udp, v6, g, TOW_FILTER_INCLUDE, "ab");
		listen_to(second, v6, g, TOW_FILTER_EXCLUDE, "b");
		arrive(sources[v6][0], g);
		CHECK(got(udp) && got(second) && !got(third));
		arrive(sources[v6][1], g);
		CHECK(got(udp) && !got(second));
		arrive(sources[v6][2], g);
		CHECK(!got(udp) && got(second));
		leave(second, v6);
		arrive(sources[v6][2], g);
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_GROUP), 1);
		close_all();
	}
}

/* One has the buffer, the others a copy: and it is counted */
TEST(all_that_listen_get_it)
{
	const uint64_t *copied;

	open_all();
	copied = tow_stats(s.stack)->ledger.copied_bytes;
	join(udp, 0);
	join(second, 0);
	arrive(sources[0][0], groups[0]);
	CHECK(got(udp) && got(second) && !got(third));
	CHECK_EQ(copied[TOW_COPY_RX_GROUP], 700);
	leave(second, 0);
	arrive(sources[0][0], groups[0]);
	CHECK(got(udp));
	CHECK_EQ(copied[TOW_COPY_RX_GROUP], 700);
	arrive("192.0.2.2", "192.0.2.255"); /* broadcast: all of them */
	CHECK(got(udp) && got(second) && got(third));
	arrive("2001:db8::2", "ff02::1");
	CHECK(got(udp) && got(second) && got(third));
	close_all();
}

TEST(socket_bound_to_the_group_hears_it_alone)
{
	struct tow_udp *bound;

	open_all();
	bound = open_at(groups[0]);
	CHECK_EQ(tow_udp_join(bound, 0,
			      (struct tow_addr[]){ address(groups[0]) }),
		 0);
	arrive(sources[0][0], groups[0]);
	CHECK(got(bound) && !got(udp));
	arrive("192.0.2.2", ours[0]);
	CHECK(!got(bound));
	tow_udp_leave(bound, 0, (struct tow_addr[]){ address(groups[0]) });
	tow_udp_close(bound);
	close_all();
}

static int send_to_group(struct tow_udp *socket, const char *group)
{
	static uint8_t data[700];
	struct tow_span span = { data, sizeof(data) };
	struct tow_udp_message m = {
		.peer = endpoint(group, 5000),
		.spans = &span,
		.span_count = 1,
	};

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	frame_begin(&f, ours[0], ours[0], NET_UDP);
	frame_udp(&f, 5000, 5000);
	frame_fill(&f, 700);
	return tow_udp_send(socket, &m, 1);
}

/* RFC 1112 6.1: who is in the group hears itself, unless it does not want to */
TEST(own_datagrams_are_heard_unless_turned_off)
{
	for (int v6 = 0; v6 < 2; v6++) {
		open_all();
		join(second, v6);
		stack_host_run(&s, 3000000);
		forget();
		CHECK_EQ(send_to_group(udp, groups[v6]), 1);
		stack_host_poll(&s);
		CHECK(got(second));
		CHECK_EQ(from.link, 0);
		CHECK_EQ(from.ttl, 1);
		CHECK_EQ(s.fake.sent_count, 1);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_GROUP_LOOP, 0), 0);
		CHECK_EQ(send_to_group(udp, groups[v6]), 1);
		stack_host_poll(&s);
		CHECK(!got(second));
		CHECK_EQ(s.fake.sent_count, 2);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_GROUP_LOOP, 1), 0);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_GROUP_TTL, 0), 0);
		CHECK_EQ(send_to_group(udp, groups[v6]), 1);
		stack_host_poll(&s);
		CHECK(got(second)); /* but nobody else */
		CHECK_EQ(s.fake.sent_count, 2);
		close_all();
	}
}

TEST(interface_for_multicast_can_be_chosen)
{
	int64_t value;

	open_all();
	CHECK_EQ(tow_udp_get(udp, TOW_UDP_GROUP_LINK, &value), 0);
	CHECK_EQ(value, -1);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_GROUP_LINK, 1), 0); /* is not there */
	CHECK_EQ(send_to_group(udp, groups[0]), TOW_ENETUNREACH);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_GROUP_LINK, 0), 0);
	CHECK_EQ(send_to_group(udp, groups[0]), 1);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_GROUP_LINK, -2), TOW_EINVAL);
	close_all();
}

/* --- limits */

TEST(what_makes_no_sense_is_refused)
{
	struct tow_addr g = address(groups[0]), src[TOW_SOURCES_MAX + 1];

	open_all();
	for (int i = 0; i <= TOW_SOURCES_MAX; i++)
		src[i] = tow_addr_v4(198, 51, 100, (uint8_t)(1 + i));
	CHECK_EQ(tow_udp_listen(udp, 1, &g, TOW_FILTER_EXCLUDE, src, 0),
		 TOW_EINVAL);
	CHECK_EQ(tow_udp_listen(udp, -1, &g, TOW_FILTER_EXCLUDE, src, 0),
		 TOW_EINVAL);
	CHECK_EQ(tow_udp_listen(udp, 0, &src[0], TOW_FILTER_EXCLUDE, src, 0),
		 TOW_EINVAL);
	CHECK_EQ(tow_udp_listen(udp, 0, &g, TOW_FILTER_INCLUDE, src,
				TOW_SOURCES_MAX + 1),
		 TOW_EINVAL);
	src[0] = address(sources[1][0]);
	CHECK_EQ(tow_udp_listen(udp, 0, &g, TOW_FILTER_INCLUDE, src, 1),
		 TOW_EINVAL);
	src[0] = g;
	CHECK_EQ(tow_udp_listen(udp, 0, &g, TOW_FILTER_INCLUDE, src, 1),
		 TOW_EINVAL);
	close_all();
}

TEST(memberships_are_limited_and_come_back)
{
	struct tow_addr g;
	int joined = 0;

	open_all();
	for (int round = 0; round < 3; round++) {
		for (joined = 0;; joined++) {
			g = tow_addr_v4(239, 0, (uint8_t)round,
					(uint8_t)joined);
			if (tow_udp_join(udp, 0, &g) != 0)
				break;
		}
		CHECK_EQ(joined, 64);
		while (joined-- > 0) {
			g = tow_addr_v4(239, 0, (uint8_t)round,
					(uint8_t)joined);
			tow_udp_leave(udp, 0, &g);
		}
		stack_host_poll(&s); /* goodbyes give way to who comes */
	}
	close_all();
}

/* RFC 3376 5.2: as many reports as it takes, none above the link's MTU */
TEST(reports_are_no_larger_than_the_mtu)
{
	struct tow_addr g, source = address(sources[0][0]);
	unsigned records = 0;

	open_all();
	s.stack->net.links[0].mtu = 576;
	for (unsigned i = 0; i < 64; i++) {
		g = tow_addr_v4(239, 0, 0, (uint8_t)i);
		CHECK_EQ(tow_udp_listen(udp, 0, &g, TOW_FILTER_INCLUDE, &source,
					1),
			 0);
	}
	stack_host_run(&s, 3000000);
	forget();
	ask(0, "::", 3, "");
	stack_host_run(&s, 3000000);
	while (next_sent()) {
		CHECK_LE(sent.bytes, 14 + 576);
		records += wire_get16(frame_transport(&sent) + 6);
	}
	CHECK_EQ(records, 64);
	close_all();
}

/*
 * RFC 3376 3.2: never an EXCLUDE record where all INCLUDE; who asks for too
 * much is told so, also while another one wants everything, and nothing
 * changes.
 */
TEST(union_of_too_many_sources_is_refused)
{
	struct tow_addr g = address(groups[0]), src[TOW_SOURCES_MAX];
	struct tow_addr one = tow_addr_v4(198, 51, 102, 1);

	open_all();
	for (int i = 0; i < TOW_SOURCES_MAX; i++)
		src[i] = tow_addr_v4(198, 51, 101, (uint8_t)(1 + i));
	CHECK_EQ(tow_udp_listen(udp, 0, &g, TOW_FILTER_INCLUDE, src,
				TOW_SOURCES_MAX),
		 0);
	CHECK_EQ(tow_udp_listen(second, 0, &g, TOW_FILTER_INCLUDE, src + 3, 5),
		 0);
	CHECK_EQ(tow_udp_listen(third, 0, &g, TOW_FILTER_INCLUDE, &one, 1),
		 TOW_ENOBUFS);
	CHECK_EQ(tow_udp_listen(second, 0, &g, TOW_FILTER_INCLUDE, &one, 1),
		 TOW_ENOBUFS);
	forget();
	stack_host_run(&s, 3000000);
	CHECK(next_sent());
	CHECK_EQ(frame_transport(&sent)[8], GROUP_ALLOW_NEW);
	CHECK_EQ(wire_get16(frame_transport(&sent) + 10), TOW_SOURCES_MAX);
	arrive("198.51.101.5", groups[0]);
	CHECK(got(udp) && got(second) && !got(third));
	arrive("198.51.102.1", groups[0]);
	CHECK(!got(udp) && !got(second) && !got(third));
	/* It would not fit when the third one has gone */
	join(third, 0);
	CHECK_EQ(tow_udp_listen(second, 0, &g, TOW_FILTER_INCLUDE, &one, 1),
		 TOW_ENOBUFS);
	leave(third, 0);
	/* When there is room it is taken */
	CHECK_EQ(tow_udp_listen(udp, 0, &g, TOW_FILTER_INCLUDE, src,
				TOW_SOURCES_MAX - 1),
		 0);
	CHECK_EQ(tow_udp_listen(second, 0, &g, TOW_FILTER_INCLUDE, &one, 1), 0);
	arrive("198.51.102.1", groups[0]);
	CHECK(got(second) && !got(udp));
	close_all();
}
