/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FTP as a service: see serve_ftp.h.
 */
#include "serve_ftp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct ftp_server *ftp_of(struct service *service)
{
	return CONTAINER(service, struct ftp_server, service);
}

static struct ftp_session *session_of(struct list *node)
{
	return CONTAINER(node, struct ftp_session, link);
}

static struct ftp_data *data_of(struct list *node)
{
	return CONTAINER(node, struct ftp_data, link);
}

/* --- accepting --------------------------------------------------------------
 */

static unsigned count_sessions(struct ftp_server *ftp,
			       const struct tow_addr *client)
{
	struct tow_addr net = client_net(client), other;
	unsigned count = 0;

	LIST_EACH (node, &ftp->sessions) {
		struct ftp_session *s = session_of(node);

		other = client_net(&s->remote.addr);
		count += s->state != FTP_GONE && tow_addr_equal(&other, &net);
	}
	return count;
}

/* It is told why, as far as the stack takes it at once. */
static void refuse(struct ftp_server *ftp, struct tow_tcp *tcp)
{
	static const char line[] = "421 There are too many of you.\r\n";

	ftp->counts.refused++;
	(void)!tow_tcp_send(tcp, line, sizeof(line) - 1, 0);
	tow_tcp_close(tcp);
}

static void accept_sessions(struct ftp_server *ftp)
{
	struct tow_endpoint remote;
	struct tow_tcp *tcp;

	while (ftp->listener && tow_tcp_accept(ftp->listener, &tcp) == 0) {
		remote = tow_tcp_remote(tcp);
		clients_add(ftp->server->clients, &remote.addr, tcp);
		if (ftp->session_count >= ftp->settings.sessions_max ||
		    count_sessions(ftp, &remote.addr) >=
			    ftp->settings.client_max)
			refuse(ftp, tcp);
		else
			ftp_session_add(ftp, tcp);
	}
}

static void on_listener_event(struct handler *handler,
			      const struct tow_event *event)
{
	if (event->type == TOW_EVENT_ACCEPT)
		accept_sessions(CONTAINER(handler, struct ftp_server, handler));
}

static int start_listening(struct service *service)
{
	struct ftp_server *ftp = ftp_of(service);

	return serve_listen(ftp->server, service, FTP_BACKLOG, &ftp->handler,
			    &ftp->listener);
}

/* --- what the loop asks -----------------------------------------------------
 */

static void tick(struct service *service)
{
	struct ftp_server *ftp = ftp_of(service);

	LIST_EACH (node, &ftp->datas)
		ftp_data_check_limits(data_of(node));
	LIST_EACH (node, &ftp->sessions)
		ftp_session_check_limits(session_of(node));
}

static void check_maps(struct service *service, uint64_t age_us)
{
	LIST_EACH (node, &ftp_of(service)->datas) {
		struct ftp_data *d = data_of(node);

		if (d->state != DATA_GONE && !file_send_check(&d->file, age_us))
			ftp_data_fail(d, 426, "The file became shorter.");
	}
}

static void reap(struct service *service)
{
	struct ftp_server *ftp = ftp_of(service);

	LIST_EACH (node, &ftp->datas)
		if (data_of(node)->upload)
			ftp_store_round(data_of(node));
	LIST_EACH (node, &ftp->dead_datas) {
		struct ftp_data *d = data_of(node);

		list_remove(&d->link);
		text_free(&d->text);
		free(d);
	}
	LIST_EACH (node, &ftp->dead)
		ftp_session_free(session_of(node));
}

static void drain(struct service *service)
{
	struct ftp_server *ftp = ftp_of(service);

	serve_listen_end(&ftp->listener);
	LIST_EACH (node, &ftp->sessions)
		ftp_session_drain(session_of(node));
}

static bool is_busy(const struct service *service)
{
	const struct ftp_server *ftp =
		CONTAINER(service, const struct ftp_server, service);

	return !list_empty(&ftp->sessions) || !list_empty(&ftp->datas);
}

static void end_sessions(struct service *service)
{
	struct ftp_server *ftp = ftp_of(service);

	serve_listen_end(&ftp->listener);
	LIST_EACH (node, &ftp->sessions)
		ftp_session_end(session_of(node), true);
}

static void close_service(struct service *service)
{
	struct ftp_server *ftp = ftp_of(service);

	LIST_EACH (node, &ftp->datas) {
		struct ftp_data *d = data_of(node);

		d->text_loans = 0;
		file_send_end_loans(&d->file);
	}
	reap(service);
	ftp_users_close(ftp->users);
}

static void add_counts(const struct service *service, struct text *out)
{
	const struct ftp_counts *c =
		&CONTAINER(service, const struct ftp_server, service)->counts;

	text_printf(out,
		    "\"sessions\": %" PRIu64 ", \"refused\": %" PRIu64
		    ", \"logins\": %" PRIu64 ", \"logins_failed\": %" PRIu64
		    ", \"downloads\": %" PRIu64 ", \"uploads\": %" PRIu64
		    ", \"listings\": %" PRIu64 ", \"broken_off\": %" PRIu64
		    ", \"sent_bytes\": %" PRIu64
		    ", \"received_bytes\": %" PRIu64
		    ", \"placed_bytes\": %" PRIu64,
		    c->sessions, c->refused, c->logins, c->logins_failed,
		    c->downloads, c->uploads, c->listings, c->broken_off,
		    c->sent_bytes, c->received_bytes, c->placed_bytes);
}

void ftp_server_init(struct ftp_server *ftp, struct server *server,
		     const struct ftp_settings *settings,
		     struct ftp_users *users)
{
	*ftp = (struct ftp_server){
		.service = {
			.scheme = "ftp",
			.port = (uint16_t)settings->port,
			.port_usual = 21,
			.listen = start_listening,
			.tick = tick,
			.check_maps = check_maps,
			.reap = reap,
			.drain = drain,
			.busy = is_busy,
			.end = end_sessions,
			.close = close_service,
			.counts = add_counts,
		},
		.handler.event = on_listener_event,
		.settings = *settings,
		.users = users,
		.server = server,
	};
	list_init(&ftp->sessions);
	list_init(&ftp->datas);
	list_init(&ftp->dead);
	list_init(&ftp->dead_datas);
}
