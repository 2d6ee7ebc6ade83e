/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Setting up an interface of the kernel, by rtnetlink(7).
 *
 * Theory of operation: each call opens a netlink socket, sends one request
 * with NLM_F_ACK, and reads the one answer, an error number with, from newer
 * kernels, a text of their own (NETLINK_EXT_ACK). A request is built in a
 * buffer of fixed size: header, the message's struct, then attributes.
 *
 * IPv6 on a tap needs some care, or its first packets wait a second or for
 * ever: duplicate address detection is left out by IFA_F_NODAD, and turned off
 * for the link-local address before the interface comes up; IPv6 itself is
 * turned on where the system disables it for new interfaces.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <tow/error.h>
#include <tow/host.h>

#define REQUEST_BYTES 512
#define ANSWER_BYTES  4096

struct request {
	union {
		struct nlmsghdr header;
		uint8_t bytes[REQUEST_BYTES];
	};
};

struct failure {
	char *text;
	size_t bytes;
};

static int fail(struct failure *failure, int number, const char *doing,
		const char *what, const char *name, const char *detail)
{
	if (failure->bytes)
		snprintf(failure->text, failure->bytes, "%s%s%s on %s: %s",
			 doing, *what ? " " : "", what, name, detail);
	return -number;
}

/* ---- building a request ---- */

static void *start_request(struct request *r, uint16_t type, uint16_t flags,
			   size_t message_bytes)
{
	memset(r, 0, sizeof(*r));
	r->header.nlmsg_type = type;
	r->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	r->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(message_bytes);
	return NLMSG_DATA(&r->header);
}

/* The few attributes used here are short; REQUEST_BYTES holds them all. */
static void add_attribute(struct request *r, uint16_t type, const void *data,
			  size_t bytes)
{
	size_t at = NLMSG_ALIGN(r->header.nlmsg_len);
	struct rtattr head = { .rta_len = (uint16_t)RTA_LENGTH(bytes),
			       .rta_type = type };

	memcpy(r->bytes + at, &head, sizeof(head));
	memcpy(r->bytes + at + RTA_LENGTH(0), data, bytes);
	r->header.nlmsg_len = (uint32_t)(at + RTA_ALIGN(head.rta_len));
}

static void add_number(struct request *r, uint16_t type, uint32_t number)
{
	add_attribute(r, type, &number, sizeof(number));
}

static void add_address(struct request *r, uint16_t type,
			const struct tow_addr *addr)
{
	if (tow_addr_is_v4(addr))
		add_attribute(r, type, addr->b + 12, 4);
	else
		add_attribute(r, type, addr->b, 16);
}

static uint8_t family_of(const struct tow_addr *addr)
{
	return tow_addr_is_v4(addr) ? AF_INET : AF_INET6;
}

/* ---- asking the kernel ---- */

/* The kernel's own words behind the error number, if it has any. */
static void read_kernel_text(const struct nlmsghdr *answer,
			     const struct nlmsgerr *error, char *out,
			     size_t out_bytes)
{
	size_t at = NLMSG_LENGTH(sizeof(*error));
	const uint8_t *base = (const uint8_t *)answer;

	if (!(answer->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(answer->nlmsg_flags & NLM_F_CAPPED))
		at += NLMSG_ALIGN(error->msg.nlmsg_len - NLMSG_HDRLEN);
	while (at + sizeof(struct rtattr) <= answer->nlmsg_len) {
		struct rtattr head;

		memcpy(&head, base + at, sizeof(head));
		if (head.rta_len < RTA_LENGTH(0) ||
		    at + head.rta_len > answer->nlmsg_len)
			return;
		if (head.rta_type == NLMSGERR_ATTR_MSG)
			snprintf(out, out_bytes, "%.*s",
				 (int)(head.rta_len - RTA_LENGTH(0)),
				 (const char *)base + at + RTA_LENGTH(0));
		at += RTA_ALIGN(head.rta_len);
	}
}

/* Returns: an errno, 0 for success. */
static int read_answer(int sock, char *text, size_t text_bytes)
{
	union {
		struct nlmsghdr header;
		uint8_t bytes[ANSWER_BYTES];
	} answer;
	struct nlmsgerr error;
	ssize_t n;

	do {
		n = recv(sock, &answer, sizeof(answer), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(error)) ||
	    answer.header.nlmsg_type != NLMSG_ERROR ||
	    answer.header.nlmsg_len > (size_t)n)
		return EPROTO;
	memcpy(&error, NLMSG_DATA(&answer.header), sizeof(error));
	if (error.error)
		read_kernel_text(&answer.header, &error, text, text_bytes);
	return -error.error;
}

static int ask(struct request *r, char *text, size_t text_bytes)
{
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int on = 1, error;

	*text = '\0';
	if (sock < 0)
		return errno;
	/* Without these the message is plainer, nothing else. */
	(void)setsockopt(sock, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)setsockopt(sock, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	if (send(sock, r, r->header.nlmsg_len, 0) < 0)
		error = errno;
	else
		error = read_answer(sock, text, text_bytes);
	close(sock);
	return error;
}

/*
 * Ask, and make the sentence if the answer is no. @fine is an error number
 * that only says that it was so already.
 */
static int ask_for(struct request *r, int fine, struct failure *failure,
		   const char *doing, const char *what, const char *name)
{
	char text[200];
	int error = ask(r, text, sizeof(text));

	if (!error || error == fine)
		return 0;
	if (error == EPERM)
		return fail(failure, error, doing, what, name,
			    "needs CAP_NET_ADMIN (run as root, or in a "
			    "namespace of your own with \"unshare -Urn\")");
	return fail(failure, error, doing, what, name,
		    *text ? text : strerror(error));
}

static int find_index(const char *name, struct failure *failure,
		      unsigned *index)
{
	*index = if_nametoindex(name);
	if (*index)
		return 0;
	if (failure->bytes)
		snprintf(failure->text, failure->bytes,
			 "there is no interface %s in this network namespace",
			 name);
	return TOW_ENODEV;
}

/* ---- what the kernel has no netlink attribute for ---- */

/* Where /proc is read-only this fails, and the default stays. */
static void write_sysctl(const char *name, const char *variable,
			 const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", name,
		 variable);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0) {
		/* the same: the default stays */
	}
	close(fd);
}

static void ready_ipv6(const char *name)
{
	write_sysctl(name, "disable_ipv6", "0");
	write_sysctl(name, "accept_dad", "0");
	write_sysctl(name, "accept_ra", "0");
}

/* ---- public ---- */

int tow_netif_up(const char *name, char *error, size_t error_bytes)
{
	struct failure failure = { error, error_bytes };
	struct request r;
	struct ifinfomsg *link;
	unsigned index;

	if (find_index(name, &failure, &index))
		return TOW_ENODEV;
	ready_ipv6(name);
	link = start_request(&r, RTM_NEWLINK, 0, sizeof(*link));
	link->ifi_index = (int)index;
	link->ifi_flags = IFF_UP;
	link->ifi_change = IFF_UP;
	return ask_for(&r, 0, &failure, "setting the link up", "", name);
}

static int set_link_number(const char *name, uint16_t attribute,
			   uint32_t number, const char *doing,
			   struct failure *failure)
{
	struct request r;
	struct ifinfomsg *link;
	unsigned index;
	char text[16];

	if (find_index(name, failure, &index))
		return TOW_ENODEV;
	link = start_request(&r, RTM_NEWLINK, 0, sizeof(*link));
	link->ifi_index = (int)index;
	add_number(&r, attribute, number);
	snprintf(text, sizeof(text), "%u", number);
	return ask_for(&r, 0, failure, doing, text, name);
}

int tow_netif_set_mtu(const char *name, uint32_t mtu, char *error,
		      size_t error_bytes)
{
	struct failure failure = { error, error_bytes };

	return set_link_number(name, IFLA_MTU, mtu, "setting an MTU of",
			       &failure);
}

int tow_netif_set_queue(const char *name, uint32_t frames, char *error,
			size_t error_bytes)
{
	struct failure failure = { error, error_bytes };

	return set_link_number(name, IFLA_TXQLEN, frames,
			       "setting a transmit queue of", &failure);
}

static char *format_cidr(const struct tow_addr *addr, unsigned prefix_bits,
			 char *out, size_t out_bytes)
{
	char text[TOW_ADDR_TEXT_MAX];

	tow_addr_format(addr, text, sizeof(text));
	snprintf(out, out_bytes, "%s/%u", text, prefix_bits);
	return out;
}

int tow_netif_add_addr(const char *name, const struct tow_addr *addr,
		       unsigned prefix_bits, char *error, size_t error_bytes)
{
	struct failure failure = { error, error_bytes };
	struct request r;
	struct ifaddrmsg *message;
	unsigned index;
	char text[TOW_ADDR_TEXT_MAX + 8];

	if (find_index(name, &failure, &index))
		return TOW_ENODEV;
	if (!tow_addr_is_v4(addr))
		ready_ipv6(name);
	message = start_request(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL,
				sizeof(*message));
	message->ifa_family = family_of(addr);
	message->ifa_prefixlen = (uint8_t)prefix_bits;
	message->ifa_index = index;
	add_address(&r, IFA_LOCAL, addr);
	add_address(&r, IFA_ADDRESS, addr);
	if (!tow_addr_is_v4(addr))
		add_number(&r, IFA_FLAGS, IFA_F_NODAD);
	return ask_for(&r, EEXIST, &failure, "adding the address",
		       format_cidr(addr, prefix_bits, text, sizeof(text)),
		       name);
}

int tow_netif_add_route(const char *name, const struct tow_addr *dest,
			unsigned prefix_bits, const struct tow_addr *gateway,
			char *error, size_t error_bytes)
{
	struct failure failure = { error, error_bytes };
	struct request r;
	struct rtmsg *route;
	unsigned index;
	char text[TOW_ADDR_TEXT_MAX + 8];

	if (find_index(name, &failure, &index))
		return TOW_ENODEV;
	route = start_request(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL,
			      sizeof(*route));
	route->rtm_family = family_of(gateway);
	route->rtm_dst_len = (uint8_t)prefix_bits;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = RTPROT_STATIC;
	route->rtm_scope = RT_SCOPE_UNIVERSE;
	route->rtm_type = RTN_UNICAST;
	if (prefix_bits)
		add_address(&r, RTA_DST, dest);
	add_address(&r, RTA_GATEWAY, gateway);
	add_number(&r, RTA_OIF, index);
	return ask_for(&r, EEXIST, &failure, "adding a route to",
		       format_cidr(dest, prefix_bits, text, sizeof(text)),
		       name);
}
