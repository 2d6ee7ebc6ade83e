/* SPDX-License-Identifier: BSD-2-Clause */
#include "clients.h"
#include "test.h"

static bool is_one_client(const char *a, const char *b)
{
	struct tow_addr at, other;

	CHECK_EQ(tow_addr_parse(&at, a), 0);
	CHECK_EQ(tow_addr_parse(&other, b), 0);
	at = client_net(&at);
	other = client_net(&other);
	return tow_addr_equal(&at, &other);
}

TEST(a_client_is_an_ipv4_address_or_an_ipv6_network)
{
	CHECK(is_one_client("192.0.2.1", "192.0.2.1"));
	CHECK(!is_one_client("192.0.2.1", "192.0.2.2"));
	CHECK(is_one_client("2001:db8::1", "2001:db8::ffff:0:0:2"));
	CHECK(!is_one_client("2001:db8::1", "2001:db8:0:1::1"));
}

/* RFC 4291 2.5.6: all of a link are in fe80::/64 */
TEST(stations_of_a_link_are_clients_of_their_own)
{
	CHECK(is_one_client("fe80::1", "fe80::1"));
	CHECK(!is_one_client("fe80::1", "fe80::2"));
}
