/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of each datagram, what a socket may ask for, whom errors are
 * told, and sockets that share an endpoint.
 */
#include <string.h>
#include "stack_host.h"
#include "test.h"
#include "wire/wire_icmp.h"
#include "wire/wire_ip4.h"
#include "wire/wire_ip6.h"
#include "wire/wire_udp.h"

#define US4   "192.0.2.1"
#define PEER4 "192.0.2.2"
#define US6   "2001:db8::1"
#define PEER6 "2001:db8::2"

static struct stack_host s;
static struct frame f, sent;
static struct tow_udp *udp;
static struct tow_udp_message from;
static uint8_t out[70000];

static const char *const us[] = { US4, US6 };
static const char *const peers[] = { PEER4, PEER6 };

static void open_socket(uint32_t caps)
{
	struct tow_endpoint local = endpoint("::", 7);

	stack_host_open(&s, caps);
	CHECK_EQ(tow_udp_open(s.stack, &local, &udp), 0);
}

static void close_socket(void)
{
	tow_udp_close(udp);
	stack_host_close(&s);
}

static void make(const char *src, const char *dst, uint16_t src_port,
		 uint32_t payload)
{
	frame_begin(&f, src, dst, NET_UDP);
	frame_udp(&f, src_port, 7);
	frame_fill(&f, payload);
	frame_end(&f);
}

static bool got(struct tow_udp *socket)
{
	return tow_udp_recv(socket, out, sizeof(out), &from) >= 0;
}

static int send_message(struct tow_udp_message *m, const char *peer,
			uint32_t bytes)
{
	struct tow_span span = { out, bytes };

	m->peer = endpoint(peer, 9);
	m->spans = &span;
	m->span_count = 1;
	return tow_udp_send(udp, m, 1);
}

static int send_to(const char *peer)
{
	struct tow_udp_message m = { 0 };

	return send_message(&m, peer, 10);
}

static void read_sent(void)
{
	CHECK_EQ(stack_host_sent(&s), 1);
	frame_read(&sent, &s.fake.sent[0]);
}

static uint8_t ttl_of(struct frame *frame)
{
	return tow_addr_is_v4(&frame->src) ? frame_ip(frame)[8]
					   : frame_ip(frame)[7];
}

static uint8_t tos_of(struct frame *frame)
{
	const struct wire_ip6 *ip6 = (const void *)frame_ip(frame);

	return tow_addr_is_v4(&frame->src) ? frame_ip(frame)[1]
					   : ip6_traffic_class(ip6);
}

/* RFC 1122 4.1.3.5, 4.1.4; RFC 3542 6: what came with the datagram */
TEST(ttl_tos_and_interface_of_a_datagram_are_told)
{
	for (unsigned i = 0; i < 2; i++) {
		open_socket(0);
		make(peers[i], us[i], 1000, 4);
		if (i == 0) {
			frame_ip(&f)[8] = 33;
			frame_ip(&f)[1] = 0x2b;
			frame_sum_ip(&f);
		} else {
			frame_ip(&f)[7] = 33;
			frame_ip(&f)[0] = 0x62;
			frame_ip(&f)[1] = 0xb0;
		}
		stack_host_receive(&s, &f);
		CHECK(got(udp));
		CHECK_EQ(from.ttl, 33);
		CHECK_EQ(from.tos, 0x2b);
		CHECK_EQ(from.link, 0);
		CHECK_EQ(from.with, 0);
		CHECK_MEM(from.local.b, address(us[i]).b, 16);
		close_socket();
	}
}

TEST(datagram_from_ourselves_came_by_no_interface)
{
	open_socket(0);
	CHECK_EQ(send_to(US4), 1);
	stack_host_sent(&s);
	from.peer.port = 7;
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_PORT), 1); /* to port 9 */
	from = (struct tow_udp_message){ 0 };
	from.peer = endpoint(US4, 7);
	CHECK_EQ(tow_udp_send(udp, &from, 1), 1);
	stack_host_sent(&s);
	CHECK(got(udp));
	CHECK_EQ(from.link, TOW_UDP_LINK_SELF);
	CHECK_EQ(from.ttl, 64);
	close_socket();
}

/* RFC 1122 4.1.4: the application must be able to set TTL and TOS */
TEST(ttl_and_tos_are_the_sockets_or_the_messages)
{
	struct tow_udp_message m = { 0 };
	int64_t value;

	for (unsigned i = 0; i < 2; i++) {
		open_socket(0);
		CHECK_EQ(send_to(peers[i]), 1);
		read_sent();
		CHECK_EQ(ttl_of(&sent), 64);
		CHECK_EQ(tos_of(&sent), 0);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_TTL, 17), 0);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_TOS, 0xb9), 0);
		CHECK_EQ(tow_udp_get(udp, TOW_UDP_TOS, &value), 0);
		CHECK_EQ(value, 0xb9);
		CHECK_EQ(send_to(peers[i]), 1);
		read_sent();
		CHECK_EQ(ttl_of(&sent), 17);
		CHECK_EQ(tos_of(&sent), 0xb9);
		m.with = TOW_UDP_WITH_TTL | TOW_UDP_WITH_TOS;
		m.ttl = 255;
		m.tos = 1; /* ECT(1) */
		CHECK_EQ(send_message(&m, peers[i], 10), 1);
		read_sent();
		CHECK_EQ(ttl_of(&sent), 255);
		CHECK_EQ(tos_of(&sent), 1);
		m.ttl = 0;
		CHECK_EQ(send_message(&m, peers[i], 10), TOW_EINVAL);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_TTL, 256), TOW_EINVAL);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_TOS, -1), TOW_EINVAL);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_BROADCAST, 2), TOW_EINVAL);
		close_socket();
	}
}

TEST(message_that_names_an_interface_leaves_by_it_or_not_at_all)
{
	struct tow_udp_message m = { .with = TOW_UDP_WITH_LINK };

	open_socket(0);
	CHECK_EQ(send_message(&m, PEER4, 10), 1);
	read_sent();
	m.link = 1;
	CHECK_EQ(send_message(&m, PEER4, 10), TOW_ENETUNREACH);
	m.link = TOW_UDP_LINK_SELF;
	CHECK_EQ(send_message(&m, PEER4, 10), TOW_ENETUNREACH);
	CHECK_EQ(send_message(&m, US4, 10), 1);
	stack_host_sent(&s);
	close_socket();
}

/* RFC 1122 4.1.3.5: chosen by the program, or by us; a group is no source */
TEST(source_address_is_the_messages_or_the_sockets)
{
	struct tow_addr second = address("192.0.2.200");
	struct tow_udp_message m = { .local = second };

	open_socket(0);
	CHECK_EQ(send_message(&m, PEER4, 10), TOW_EADDRNOTAVAIL);
	CHECK_EQ(tow_addr_add(s.stack, 0, &second, 24), 0);
	CHECK_EQ(send_message(&m, PEER4, 10), 1);
	read_sent();
	CHECK_MEM(sent.src.b, second.b, 16);
	m.local = address("239.1.2.3");
	CHECK_EQ(send_message(&m, PEER4, 10), 1);
	read_sent();
	CHECK_MEM(sent.src.b, address(US4).b, 16);
	m.local = address("192.0.2.255");
	CHECK_EQ(send_message(&m, PEER4, 10), 1);
	read_sent();
	CHECK_MEM(sent.src.b, address(US4).b, 16);
	close_socket();
}

/* RFC 1122 3.3.6, 4.1.4: broadcast only on purpose; no answer is one */
TEST(broadcast_wants_permission)
{
	open_socket(0);
	CHECK_EQ(send_to("192.0.2.255"), TOW_EACCES);
	CHECK_EQ(send_to("255.255.255.255"), TOW_EACCES);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_BROADCAST, 1), 0);
	CHECK_EQ(send_to("192.0.2.255"), 1);
	read_sent();
	CHECK_EQ(sent.data[0], 0xff);
	CHECK_EQ(ttl_of(&sent), 64);
	CHECK_EQ(send_to("255.255.255.255"), 1);
	read_sent();
	close_socket();
}

/* RFC 1112 6.1: one hop, unless the program says more */
TEST(multicast_goes_one_hop)
{
	struct tow_udp_message m = { .with = TOW_UDP_WITH_TTL, .ttl = 9 };

	open_socket(0);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_TTL, 100), 0);
	CHECK_EQ(send_to("239.1.2.3"), 1);
	read_sent();
	CHECK_EQ(ttl_of(&sent), 1);
	CHECK_EQ(send_message(&m, "ff05::1:3", 10), 1);
	read_sent();
	CHECK_EQ(ttl_of(&sent), 9);
	close_socket();
}

/* RFC 768; RFC 1122 4.1.3.4: MAY be left out, by who asks for it */
TEST(unsummed_datagrams_are_sent_on_request)
{
	for (unsigned i = 0; i < 2; i++) {
		open_socket(i ? TOW_DEV_TX_CSUM | TOW_DEV_USO : 0);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_UNSUMMED_SEND, 1), 0);
		CHECK_EQ(send_to(PEER4), 1);
		read_sent();
		CHECK_EQ(s.fake.sent[0].flags & TOW_BUF_CSUM_PARTIAL, 0);
		CHECK_EQ(wire_get16(frame_transport(&sent) + 6), 0);
		close_socket();
	}
}

/* RFC 6935 5, RFC 6936 5: zero over IPv6 is for sockets that want it */
TEST(unsummed_datagrams_over_ip6_are_received_on_request)
{
	open_socket(0);
	make(PEER6, US6, 1000, 4);
	wire_put16(frame_transport(&f) + 6, 0);
	stack_host_receive(&s, &f);
	CHECK(!got(udp));
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_UNSUMMED_RECV, 1), 0);
	stack_host_receive(&s, &f);
	CHECK(got(udp));
	wire_put16(frame_transport(&f) + 2, 8); /* nobody's port */
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_CHECKSUM), 2);
	CHECK_EQ(stack_host_sent(&s), 0);
	make(PEER6, US6, 1000, 4); /* a sum that is there is verified */
	f.data[f.bytes - 1] ^= 1;
	stack_host_receive(&s, &f);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_CHECKSUM), 3);
	close_socket();
}

/* --- errors */

/* About a datagram that the socket sent to @remote, port 9. */
static void report(const char *router, unsigned i, const char *remote,
		   uint8_t type, uint8_t code, uint32_t word)
{
	static struct frame quote;

	frame_begin(&quote, us[i], remote, NET_UDP);
	frame_udp(&quote, 7, 9);
	frame_fill(&quote, 1400);
	frame_end(&quote);
	frame_begin(&f, router, us[i], i ? NET_ICMP6 : NET_ICMP);
	frame_icmp(&f, type, code, word);
	frame_add(&f, frame_ip(&quote), 100);
	frame_end(&f);
	stack_host_receive(&s, &f);
}

/* RFC 1122 4.1.3.3: passed up, with who said what about whom */
TEST(errors_of_an_unconnected_socket_are_kept_on_request)
{
	static const char *const routers[] = { "192.0.2.254", "2001:db8::fe" };
	static const char *const far[] = { "198.51.100.9", "2001:db8:9::9" };
	struct tow_udp_error e[2];
	struct tow_event event;

	for (unsigned i = 0; i < 2; i++) {
		uint8_t type = i ? ICMP6_TIME_EXCEEDED : ICMP4_TIME_EXCEEDED;

		open_socket(0);
		report(routers[i], i, far[i], type, 0, 0);
		CHECK_EQ(stack_host_drops(&s, TOW_DROP_ICMP_UNMATCHED), 1);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_ERRORS, 1), 0);
		report(routers[i], i, far[i], type, 0, 0);
		event = stack_host_event(&s);
		CHECK_EQ(event.type, TOW_EVENT_ERROR);
		CHECK_EQ(event.object, udp);
		CHECK_EQ(event.status, TOW_EHOSTUNREACH);
		CHECK_EQ(tow_udp_recv(udp, out, 9, NULL), TOW_EAGAIN);
		CHECK_EQ(tow_udp_errors(udp, e, 2), 1);
		CHECK_EQ(e[0].error, TOW_EHOSTUNREACH);
		CHECK_EQ(e[0].type, type);
		CHECK_EQ(e[0].code, 0);
		CHECK_EQ(e[0].mtu, 0);
		CHECK_EQ(e[0].peer.port, 9);
		CHECK_MEM(e[0].peer.addr.b, address(far[i]).b, 16);
		CHECK_MEM(e[0].local.b, address(us[i]).b, 16);
		CHECK_MEM(e[0].offender.b, address(routers[i]).b, 16);
		CHECK_EQ(tow_udp_errors(udp, e, 2), 0);
		close_socket();
	}
}

/* RFC 1191 5: what fits is told, too; but the path is not believed in */
TEST(too_big_tells_an_unconnected_socket_what_fits)
{
	struct tow_udp_error e;

	open_socket(0);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_ERRORS, 1), 0);
	report("192.0.2.254", 0, PEER4, ICMP4_UNREACHABLE, ICMP4_TOO_BIG, 1300);
	CHECK_EQ(tow_udp_errors(udp, &e, 1), 1);
	CHECK_EQ(e.error, TOW_EMSGSIZE);
	CHECK_EQ(e.mtu, 1300);
	from = (struct tow_udp_message){ 0 };
	CHECK_EQ(send_message(&from, PEER4, 1400), 1);
	read_sent();
	close_socket();
}

/* RFC 8085 3.2, RFC 8899 3: who probes the path wants no fragments */
TEST(datagram_that_must_not_be_fragmented_is_refused)
{
	struct tow_udp_message m = { 0 };

	for (unsigned i = 0; i < 2; i++) {
		uint32_t fits = 1500 - (i ? 48 : 28);

		open_socket(0);
		CHECK_EQ(send_message(&m, peers[i], fits + 1), 1);
		CHECK_EQ(stack_host_sent(&s), 2);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_DONT_FRAGMENT, 1), 0);
		CHECK_EQ(send_message(&m, peers[i], fits + 1), TOW_EMSGSIZE);
		CHECK_EQ(send_message(&m, peers[i], fits), 1);
		read_sent();
		close_socket();
	}
}

TEST(connected_socket_has_its_errors_both_ways)
{
	struct tow_endpoint peer = endpoint(PEER4, 9);
	struct tow_udp_error e;

	open_socket(0);
	CHECK_EQ(tow_udp_connect(udp, &peer), 0);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_ERRORS, 1), 0);
	report(PEER4, 0, PEER4, ICMP4_UNREACHABLE, ICMP4_PORT, 0);
	CHECK_EQ(tow_udp_recv(udp, out, 9, NULL), TOW_ECONNREFUSED);
	CHECK_EQ(tow_udp_recv(udp, out, 9, NULL), TOW_EAGAIN);
	CHECK_EQ(tow_udp_errors(udp, &e, 1), 1);
	CHECK_EQ(e.error, TOW_ECONNREFUSED);
	report(PEER4, 0, "192.0.2.3", ICMP4_UNREACHABLE, ICMP4_PORT, 0);
	CHECK_EQ(tow_udp_errors(udp, &e, 1), 0); /* not about its peer */
	close_socket();
}

/* Each error costs memory: who floods with them gets none of others' */
TEST(errors_that_nobody_takes_are_limited)
{
	struct tow_udp_error e[TOW_UDP_ERRORS_MAX + 1];

	open_socket(0);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_ERRORS, 1), 0);
	for (int i = 0; i < 100; i++)
		report(PEER4, 0, PEER4, ICMP4_UNREACHABLE, ICMP4_PORT, 0);
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_ERRORS), 84);
	CHECK_EQ(tow_udp_errors(udp, e, TOW_UDP_ERRORS_MAX + 1),
		 TOW_UDP_ERRORS_MAX);
	for (int round = 0; round < 20; round++) { /* none leaks */
		report(PEER4, 0, PEER4, ICMP4_UNREACHABLE, ICMP4_PORT, 0);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_ERRORS, 0), 0);
		CHECK_EQ(tow_udp_errors(udp, e, 1), 0);
		CHECK_EQ(tow_udp_set(udp, TOW_UDP_ERRORS, 1), 0);
	}
	CHECK_EQ(stack_host_drops(&s, TOW_DROP_UDP_ERRORS), 84);
	close_socket();
}

/* RFC 4861 7.2.2: nobody answers; we ourselves say so */
TEST(unresolved_neighbour_is_an_error_from_ourselves)
{
	struct tow_udp_error e;

	open_socket(0);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_ERRORS, 1), 0);
	CHECK_EQ(send_to("192.0.2.77"), 1);
	stack_host_run(&s, 5000000);
	CHECK_EQ(tow_udp_errors(udp, &e, 1), 1);
	CHECK_EQ(e.error, TOW_EHOSTUNREACH);
	CHECK_MEM(e.offender.b, address(US4).b, 16);
	CHECK_MEM(e.peer.addr.b, address("192.0.2.77").b, 16);
	close_socket();
}

/* --- trains */

static void receive_train(uint32_t bytes, uint16_t each)
{
	struct fake_input *in;

	make(PEER4, US4, 1000, bytes);
	in = fake_dev_put(&s.fake, f.data, f.bytes, TOW_BUF_CSUM_OK);
	in->gso = TOW_GSO_UDP;
	in->gso_bytes = each;
	stack_host_poll(&s);
}

TEST(train_is_borrowed_at_once_on_request)
{
	struct tow_span spans[TOW_SPANS_MAX];
	uint64_t total = 0;
	int n;

	open_socket(TOW_DEV_RX_CSUM);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_TRAINS, 1), 0);
	receive_train(1250, 300);
	n = tow_udp_borrow(udp, spans, TOW_SPANS_MAX, &from);
	CHECK_GT(n, 0);
	for (int i = 0; i < n; i++)
		total += spans[i].len;
	CHECK_EQ(total, 1250);
	CHECK_EQ(from.bytes, 1250);
	CHECK_EQ(from.segment_bytes, 300);
	CHECK_EQ(tow_udp_borrow(udp, spans, 9, &from), TOW_EAGAIN);
	tow_udp_return(udp, 5);
	receive_train(900, 300);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 900);
	CHECK_EQ(from.segment_bytes, 300);
	make(PEER4, US4, 1000, 40); /* one alone is no train */
	stack_host_receive(&s, &f);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 40);
	CHECK_EQ(from.segment_bytes, 0);
	receive_train(900, 300); /* without: one by one, as ever */
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_TRAINS, 0), 0);
	CHECK_EQ(tow_udp_recv(udp, out, sizeof(out), &from), 300);
	CHECK_EQ(tow_udp_set(udp, TOW_UDP_TRAINS, 1), 0);
	CHECK_EQ(tow_udp_borrow(udp, spans, TOW_SPANS_MAX, &from), 1);
	CHECK_EQ(from.bytes, 600);
	tow_udp_return(udp, 2);
	close_socket();
}

/* --- sockets that share */

#define SHARERS 4
#define PEERS	400

static struct tow_udp *sharers[SHARERS];

static void open_sharers(void)
{
	struct tow_endpoint local = endpoint("::", 7);

	stack_host_open(&s, 0);
	for (int i = 0; i < SHARERS; i++)
		CHECK_EQ(tow_udp_open_shared(s.stack, &local, &sharers[i]), 0);
}

/* Which of them has the datagrams from @port? */
static int owner_of(uint16_t port)
{
	int owner = -1;

	make(PEER4, US4, port, 4);
	stack_host_receive(&s, &f);
	for (int i = 0; i < SHARERS; i++) {
		if (sharers[i] && got(sharers[i])) {
			CHECK_EQ(owner, -1);
			owner = i;
		}
	}
	return owner;
}

TEST(sockets_that_share_an_endpoint_have_each_their_peers)
{
	int owner[PEERS], share[SHARERS] = { 0 }, moved = 0, now;

	open_sharers();
	for (uint16_t i = 0; i < PEERS; i++) {
		owner[i] = owner_of(1000 + i);
		CHECK_GE(owner[i], 0);
		share[owner[i]]++;
		CHECK_EQ(owner_of(1000 + i), owner[i]);
	}
	for (int i = 0; i < SHARERS; i++)
		CHECK_GT(share[i], PEERS / SHARERS / 2);
	tow_udp_close(sharers[2]);
	sharers[2] = NULL;
	for (uint16_t i = 0; i < PEERS; i++) {
		now = owner_of(1000 + i);
		CHECK_GE(now, 0);
		moved += now != owner[i];
		CHECK(now == owner[i] || owner[i] == 2);
	}
	CHECK_EQ(moved, share[2]);
	for (int i = 0; i < SHARERS; i++)
		if (sharers[i])
			tow_udp_close(sharers[i]);
	stack_host_close(&s);
}

TEST(who_does_not_share_is_refused)
{
	struct tow_endpoint local = endpoint("::", 7);
	struct tow_udp *other;

	open_sharers();
	CHECK_EQ(tow_udp_open(s.stack, &local, &other), TOW_EADDRINUSE);
	for (int i = 0; i < SHARERS; i++)
		tow_udp_close(sharers[i]);
	CHECK_EQ(tow_udp_open(s.stack, &local, &udp), 0);
	CHECK_EQ(tow_udp_open_shared(s.stack, &local, &other), TOW_EADDRINUSE);
	close_socket();
}

/* A connected one takes nothing of the others' */
TEST(connected_socket_leaves_its_share_to_the_others)
{
	struct tow_endpoint peer = endpoint(PEER4, 999);

	open_sharers();
	CHECK_EQ(tow_udp_connect(sharers[1], &peer), 0);
	for (uint16_t i = 0; i < 50; i++)
		CHECK(owner_of(1000 + i) != 1);
	CHECK_EQ(owner_of(999), 1);
	CHECK_EQ(tow_udp_connect(sharers[1], NULL), 0);
	for (int i = 0; i < SHARERS; i++)
		tow_udp_close(sharers[i]);
	stack_host_close(&s);
}

/* --- rows of attacks */

static uint64_t answers_to_closed_ports(const char *src, const char *dst)
{
	const uint64_t *counters = tow_stats(s.stack)->counters;
	uint64_t before = counters[TOW_COUNTER_ICMP_OUT];

	for (uint16_t i = 0; i < 30; i++) {
		make(src, dst, 1000, 4);
		wire_put16(frame_transport(&f) + 2, 5000 + i);
		frame_sum_transport(&f);
		stack_host_receive(&s, &f);
	}
	stack_host_sent(&s);
	return counters[TOW_COUNTER_ICMP_OUT] - before;
}

/* SAD DNS: bursts to closed ports say nothing about how many others asked */
TEST(sad_dns_closed_ports_are_no_measure)
{
	unsigned seen = 0; /* a bit for each number of answers */

	stack_host_open(&s, 0);
	for (unsigned round = 0; round < 16; round++) {
		uint64_t n = answers_to_closed_ports(PEER4, US4);

		CHECK_GE(n, 4);
		CHECK_LE(n, 6);
		seen |= 1u << n;
		s.now_us += 60000000;
	}
	CHECK(seen & (seen - 1)); /* not always the same */
	answers_to_closed_ports(PEER4, US4);
	CHECK_EQ(answers_to_closed_ports(PEER4, US4), 0);
	CHECK_GE(answers_to_closed_ports(PEER6, US6), 4); /* another's */
	stack_host_run(&s, 5000000);
	stack_host_close(&s);
}

/* SAD DNS: a connected socket is no closed port to others, and tells nothing */
TEST(sad_dns_connected_socket_looks_closed_to_others)
{
	struct tow_endpoint peer = endpoint("192.0.2.53", 53);

	open_socket(0);
	CHECK_EQ(tow_udp_connect(udp, &peer), 0);
	make(PEER4, US4, 53, 4);
	stack_host_receive(&s, &f);
	CHECK(!got(udp));
	CHECK_EQ(stack_host_sent(&s), 1); /* as any port without a socket */
	close_socket();
}

/* guessable ports, IP IDs, flow labels: RFC 6056 3, RFC 6864 4.1, RFC 6437 3 */
TEST(guessable_numbers_are_random_over_10000_destinations)
{
	static uint8_t ports[65536];
	unsigned repeated = 0, steps = 0, labels = 0, ids = 0;
	uint32_t label, last_label = 0;
	uint16_t port, last = 0, id, last_id = 0;

	stack_host_open(&s, 0);
	memset(ports, 0, sizeof(ports));
	for (unsigned i = 0; i < 10000; i++) {
		struct tow_endpoint local = endpoint("::", 0);
		struct tow_udp_message m = { 0 };

		CHECK_EQ(tow_udp_open(s.stack, &local, &udp), 0);
		port = tow_udp_local(udp).port;
		repeated += ports[port]++ > 0;
		steps += (uint16_t)(port - last) < 8;
		last = port;
		m.peer = endpoint(PEER6, (uint16_t)(1 + i));
		CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
		read_sent();
		label = wire_get32(frame_ip(&sent)) & 0xfffff;
		labels += ((label - last_label) & 0xfffff) < 256;
		last_label = label;
		m.peer = endpoint(PEER4, (uint16_t)(1 + i));
		CHECK_EQ(tow_udp_send(udp, &m, 1), 1);
		read_sent();
		id = wire_get16(frame_ip(&sent) + 4);
		ids += (uint16_t)(id - last_id) < 16;
		last_id = id;
		CHECK(wire_get16(frame_ip(&sent) + 6) & IP4_DF);
		tow_udp_close(udp);
	}
	/* 10,000 of 32,768 drawn with replacement: about 1370 repeat */
	CHECK_GT(repeated, 1100);
	CHECK_LT(repeated, 1700);
	CHECK_LT(steps, 20);  /* about 2.4 */
	CHECK_LT(labels, 20); /* about 2.4 */
	CHECK_LT(ids, 20);    /* about 2.4 */
	stack_host_close(&s);
}
