/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TCP relay: bytes go out on the other connection from where they arrived.
 *
 *	relay                                   tries itself
 *	relay tap 192.0.2.2/24 192.0.2.1/24     from port 7777 to port 7778
 */
#include "example.h"

struct side {
	struct tow_tcp *tcp;
	struct side *other;
	size_t on_loan;
	int eof, shut;
};

static struct tow_stack *stack;
static struct tow_listener *listener;

static void end(struct side *side, int hard)
{
	struct side *pair = side < side->other ? side : side->other;

	for (int i = 0; i < 2; i++)
		hard ? tow_tcp_abort(pair[i].tcp) : tow_tcp_close(pair[i].tcp);
	free(pair);
}

/* Everything there is goes to the other side. Returns: 0 when both ended. */
static int pump(struct side *from)
{
	struct tow_span spans[TOW_SPANS_MAX];
	struct side *to = from->other;
	int64_t passed = 0;
	int n;

	while ((n = tow_tcp_borrow(from->tcp, spans, TOW_SPANS_MAX)) > 0)
		while (n-- > 0)
			from->on_loan += spans[n].len;
	from->eof = n == 0;
	if (from->on_loan)
		passed = tow_tcp_pass(to->tcp, from->tcp, from->on_loan, 0);
	from->on_loan -= passed > 0 ? (size_t)passed : 0;
	if (from->eof && !from->on_loan && !to->shut) {
		to->shut = 1;
		passed = tow_tcp_shutdown(to->tcp);
	}
	n = (n < 0 && n != TOW_EAGAIN && n != TOW_ENOBUFS) ||
	    (passed < 0 && passed != TOW_EAGAIN);
	if (!n && !(to->shut && from->shut))
		return 1;
	end(from, n); /* a failure here is a reset there */
	return 0;
}

static void begin(struct tow_tcp *near)
{
	struct tow_endpoint to = tow_tcp_remote(near);
	struct side *pair = calloc(2, sizeof(*pair));

	must_hold(pair != NULL, "there is memory");
	to.port = EXAMPLE_PORT + 1;
	pair[0] = (struct side){ .tcp = near, .other = &pair[1] };
	pair[1] = (struct side){ .other = &pair[0] };
	must(tow_tcp_connect(stack, NULL, &to, &pair[1].tcp), "connect");
	tow_tcp_set_user(near, &pair[0]);
	tow_tcp_set_user(pair[1].tcp, &pair[1]);
}

static void handle(const struct tow_event *event)
{
	struct side *side = event->user;
	struct tow_tcp *tcp;

	if (event->type == TOW_EVENT_ACCEPT)
		while (tow_tcp_accept(listener, &tcp) == 0)
			begin(tcp);
	else if (pump(side))
		pump(side->other);
}

#include "relay_ends.h" /* a client and a target, to try it */

int main(int argc, char **argv)
{
	struct tow_endpoint any = { tow_addr_any(), EXAMPLE_PORT, 0 };
	struct tow_host *host = argc > 1 ? example_host(argc, argv) : NULL;
	struct pair pair = host ? (struct pair){ 0 } : pair_open();

	stack = host ? tow_host_stack(host) : pair.server;
	must(tow_tcp_listen(stack, &any, 128, &listener), "listen");
	if (host)
		host_run(host, handle);
	ends_try(&pair, handle);
	must_hold(tow_stats(stack)->ledger.passed_bytes == ENDS_BYTES,
		  "all bytes were passed on, none copied");
	pair_close(&pair);
	return 0;
}
