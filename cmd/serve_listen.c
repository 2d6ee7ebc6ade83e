/* SPDX-License-Identifier: BSD-2-Clause */
/* Listeners of services over TCP: see serve.h. */
#include "serve.h"

int serve_listen(struct server *server, const struct service *service,
		 int backlog, struct handler *handler,
		 struct tow_listener **out)
{
	struct tow_endpoint any = { .addr = tow_addr_any(),
				    .port = service->port };
	int error = tow_tcp_listen(server->stack, &any, backlog, out);

	if (!error)
		error = sign_listener(server->sign, *out);
	if (!error)
		tow_listener_set_user(*out, handler);
	return error;
}

void serve_listen_end(struct tow_listener **listener)
{
	if (*listener)
		tow_listener_close(*listener);
	*listener = NULL;
}
