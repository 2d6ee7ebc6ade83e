/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists, error texts, names of counters, version. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tow/error.h>
#include <tow/ledger.h>
#include <tow/stack.h>
#include "base/list.h"
#include "buf/copy.h"
#include "test.h"

TEST(a_list_keeps_order_and_removing_twice_is_harmless)
{
	struct list head, nodes[3];
	unsigned n = 0;

	list_init(&head);
	CHECK(list_empty(&head));
	for (unsigned i = 0; i < 3; i++)
		list_append(&head, &nodes[i]);
	list_remove(&nodes[1]);
	list_remove(&nodes[1]);
	CHECK(list_empty(&nodes[1]));
	list_add(&head, &nodes[1]);
	CHECK(head.next == &nodes[1] && head.prev == &nodes[2]);
	LIST_EACH (node, &head) {
		list_remove(node);
		n++;
	}
	CHECK_EQ(n, 3);
	CHECK(list_empty(&head));
}

/* A program may hand our errors to strerror(-error). */
TEST(errors_equal_those_of_the_system)
{
#define CHECK_ERRNO(name, number, text) CHECK_EQ(TOW_##name, -name);
	TOW_ERRORS(CHECK_ERRNO)
#undef CHECK_ERRNO
}

TEST(every_error_has_a_text)
{
#define CHECK_TEXT(name, number, text) CHECK_STR(tow_strerror(-number), text);
	TOW_ERRORS(CHECK_TEXT)
#undef CHECK_TEXT
	CHECK_STR(tow_strerror(0), "success");
	CHECK_STR(tow_strerror(-9999), "unknown error");
	CHECK_STR(tow_strerror(11), "unknown error");
}

static void check_names(const char *(*name)(unsigned),
			const char *(*text)(unsigned), unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		CHECK(name(i) && text(i) && *text(i));
		CHECK_EQ(strspn(name(i),
				"abcdefghijklmnopqrstuvwxyz0123456789_"),
			 strlen(name(i)));
		for (unsigned j = 0; j < i; j++)
			CHECK(strcmp(name(i), name(j)) != 0);
	}
	CHECK(name(n) == NULL && text(n) == NULL);
	CHECK(name(-1u) == NULL && text(-1u) == NULL);
}

TEST(names_fit_json_and_end_with_null)
{
	check_names(tow_copy_name, tow_copy_text, TOW_COPY_REASONS);
	check_names(tow_drop_name, tow_drop_text, TOW_DROP_REASONS);
	check_names(tow_counter_name, tow_counter_text, TOW_COUNTER_KINDS);
	CHECK_STR(tow_copy_name(TOW_COPY_RX_RECV), "recv");
	CHECK_STR(tow_drop_name(TOW_DROP_TCP_PAWS), "tcp_paws");
}

TEST(a_copy_is_entered_in_both_ledgers)
{
	struct tow_ledger socket = { 0 }, stack = { 0 };
	struct ledgers both = { &socket, &stack }, one = { NULL, &stack };
	char out[6] = "";

	payload_copy(both, TOW_COPY_TX_SEND, out, "hello", 6);
	CHECK_STR(out, "hello");
	payload_copy(one, TOW_COPY_TX_SEND, out, "HE", 2);
	payload_copy(both, TOW_COPY_RX_RECV, NULL, NULL, 0);
	CHECK_STR(out, "HEllo");
	CHECK_EQ(socket.copied_bytes[TOW_COPY_TX_SEND], 6);
	CHECK_EQ(stack.copied_bytes[TOW_COPY_TX_SEND], 8);
	CHECK_EQ(stack.copied_bytes[TOW_COPY_RX_RECV], 0);
}

/* The build and the packages take their number from it by a pattern. */
TEST(the_version_is_three_numbers)
{
	unsigned major, minor, patch;
	char rest;

	CHECK_EQ(sscanf(tow_version(), "%u.%u.%u%c", &major, &minor, &patch,
			&rest),
		 3);
}
