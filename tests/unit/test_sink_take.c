/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sink and a connection: two stacks in the simulator, whose device places,
 * and a disk that writes when it is run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tow/error.h>
#include <tow/file.h>
#include <tow/sim.h>
#include <tow/tcp.h>
#include <unistd.h>
#include "host/disk_private.h"
#include "test.h"

#define FLOWS_MAX 3

static struct tow_sim *sim;
static struct tow_stack *client, *server;
static struct tow_listener *listener;
static void *memory[2];
static struct tow_tcp *from[FLOWS_MAX], *to[FLOWS_MAX];
static unsigned flows, loans;
static struct tow_disk *disk;
static char folder[] = "/var/tmp/tow-take-XXXXXX";
static int dir_fd;
static uint8_t data[3000000];

/* --- two stacks, a disk, a folder -------------------------------------------
 */

static struct tow_stack *make_stack(int segment, uint8_t number, uint32_t loss)
{
	struct tow_addr addr = tow_addr_v4(192, 0, 2, number);
	struct tow_sim_port port;
	struct tow_stack *stack;
	struct tow_config cfg;
	struct tow_dev *dev;
	size_t bytes;

	tow_config_default(&cfg);
	cfg.secret[0] = number;
	bytes = (tow_need(&cfg) + 63) & ~(size_t)63;
	memory[number - 1] = aligned_alloc(64, bytes);
	CHECK_EQ(tow_open(&stack, &cfg, memory[number - 1], bytes), 0);
	tow_sim_port_default(&port);
	port.caps |= TOW_DEV_PLACE;
	port.up.delay_us = 100;
	port.up.loss_ppm = loss;
	CHECK_GE(tow_sim_port_open(sim, segment, &port, &dev), 0);
	CHECK_EQ(tow_attach(stack, dev), 0);
	CHECK_EQ(tow_addr_add(stack, 0, &addr, 24), 0);
	CHECK_EQ(tow_sim_add(sim, stack), 0);
	return stack;
}

static void take_events(void)
{
	struct tow_event e;

	while (tow_events(server, &e, 1) == 1)
		if (!tow_disk_event(disk, &e) && e.type == TOW_EVENT_ACCEPT)
			while (tow_tcp_accept(listener, &to[flows]) == 0)
				flows++;
	while (tow_events(client, &e, 1) == 1)
		loans -= e.type == TOW_EVENT_LOAN;
	tow_disk_run(disk);
}

/* Runs so many steps of the network, or fewer if nothing is left to do. */
static void run(unsigned steps)
{
	while (steps-- > 0 && tow_sim_step(sim, tow_sim_now(sim) + 10000))
		take_events();
	take_events();
}

static void set_up(uint32_t loss, unsigned blocks)
{
	struct tow_endpoint any = { tow_addr_any(), 7777, 0 };
	struct tow_disk_config cfg;
	int segment;

	CHECK_EQ(tow_sim_open(&sim, 1), 0);
	segment = tow_sim_segment(sim);
	client = make_stack(segment, 1, loss);
	server = make_stack(segment, 2, 0);
	CHECK_EQ(tow_tcp_listen(server, &any, 8, &listener), 0);
	tow_disk_config_default(&cfg);
	cfg.block_bytes = 65536;
	cfg.blocks_max = blocks;
	cfg.threads = 0;
	cfg.no_uring = true;
	CHECK_EQ(tow_disk_open(&disk, &cfg), 0);
	CHECK(mkdtemp(folder) != NULL);
	dir_fd = open(folder, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i ^ i >> 8 ^ i >> 16);
}

static void tear_down(void)
{
	tow_disk_close(disk);
	tow_sim_remove(sim, client);
	tow_sim_remove(sim, server);
	tow_close(client);
	tow_close(server);
	tow_sim_close(sim);
	free(memory[0]);
	free(memory[1]);
	close(dir_fd);
	CHECK_EQ(rmdir(folder), 0);
}

static void connect_one(void)
{
	struct tow_endpoint there = { tow_addr_v4(192, 0, 2, 2), 7777, 0 };
	unsigned number = flows;

	CHECK_EQ(tow_tcp_connect(client, NULL, &there, &from[number]), 0);
	for (unsigned i = 0; i < 1000 && flows == number; i++)
		run(1);
	CHECK_EQ(flows, number + 1);
}

static void send_from(unsigned number, size_t at, size_t bytes)
{
	struct tow_span span = { data + at, bytes };

	CHECK_EQ(tow_tcp_lend(from[number], &span, 1, 1, 0), 0);
	loans++;
}

static struct tow_sink *open_sink(const char *name, const char *part)
{
	struct tow_sink_file file = {
		.dir_fd = dir_fd, .name = name, .part = part, .keep_part = true
	};
	struct tow_sink *sink;

	CHECK_EQ(tow_sink_open(disk, &file, NULL, &sink), 0);
	return sink;
}

static struct tow_sink_info info_of(const struct tow_sink *sink)
{
	struct tow_sink_info info;

	tow_sink_info(sink, &info);
	return info;
}

static void run_until(struct tow_sink *sink, enum tow_sink_state state)
{
	for (unsigned i = 0; i < 100000 && info_of(sink).state != state; i++)
		run(1);
	CHECK_EQ(info_of(sink).state, state);
}

static void check_file(const char *name, size_t bytes)
{
	static uint8_t found[sizeof(data) + 1];
	int fd = openat(dir_fd, name, O_RDONLY);

	CHECK_GE(fd, 0);
	CHECK_EQ(read(fd, found, sizeof(found)), (ssize_t)bytes);
	CHECK_MEM(found, data, bytes);
	close(fd);
	CHECK_EQ(unlinkat(dir_fd, name, 0), 0);
}

static void commit(struct tow_sink *sink)
{
	CHECK_EQ(tow_sink_commit(sink), 0);
	CHECK_EQ(info_of(sink).state, TOW_SINK_DONE);
	tow_sink_close(sink);
}

/* --- taking -----------------------------------------------------------------
 */

static void transfer(uint32_t loss)
{
	struct tow_sink *sink;

	set_up(loss, 8);
	connect_one();
	sink = open_sink("f", NULL);
	CHECK_EQ(tow_sink_take(sink, to[0], TOW_SINK_NO_LIMIT), 0);
	CHECK_EQ(tow_sink_take(sink, to[0], 1), TOW_EBUSY);
	send_from(0, 0, sizeof(data));
	CHECK_EQ(tow_tcp_shutdown(from[0]), 0);
	run_until(sink, TOW_SINK_READY);
	CHECK(info_of(sink).conn_done);
	CHECK_EQ(info_of(sink).conn_status, 0);
	CHECK_EQ(info_of(sink).posted_bytes, sizeof(data));
	CHECK_GT(info_of(sink).placed_bytes, loss ? 0 : sizeof(data) / 2);
	CHECK_GE(info_of(sink).progress_bytes, sizeof(data));
	commit(sink);
	check_file("f", sizeof(data));
	tear_down();
}

TEST(all_until_the_fin_is_in_the_file)
{
	transfer(0);
}

TEST(a_loss_changes_nothing_in_the_file)
{
	transfer(20000);
}

/* A head that was borrowed, then a body of known length, then more. */
TEST(so_many_bytes_are_taken_and_what_follows_stays)
{
	struct tow_span span;
	struct tow_sink *sink;

	set_up(0, 8);
	connect_one();
	sink = open_sink("f", NULL);
	send_from(0, 0, 777);
	run(50);
	CHECK_EQ(tow_tcp_borrow(to[0], &span, 1), 1);
	CHECK_EQ(tow_sink_take(sink, to[0], 1), TOW_EBUSY); /* on loan */
	CHECK_EQ(tow_sink_write(sink, &span, 1), 0);
	run_until(sink, TOW_SINK_READY);
	tow_tcp_return(to[0], 777);
	CHECK_EQ(tow_sink_take(sink, to[0], 500000 - 777), 0);
	send_from(0, 777, 500100 - 777);
	run_until(sink, TOW_SINK_READY);
	CHECK(!info_of(sink).conn_done);
	CHECK_EQ(info_of(sink).written_bytes, 500000u);
	run(200);
	CHECK_EQ(tow_tcp_borrow(to[0], &span, 1), 1);
	CHECK_EQ(span.len, 100u);
	CHECK_MEM(span.ptr, data + 500000, 100);
	commit(sink);
	check_file("f", 500000);
	tear_down();
}

TEST(what_came_before_a_reset_is_in_the_part)
{
	struct tow_sink *sink;

	set_up(0, 8);
	connect_one();
	sink = open_sink("f", "f.part");
	CHECK_EQ(tow_sink_take(sink, to[0], TOW_SINK_NO_LIMIT), 0);
	send_from(0, 0, 100001);
	run(300);
	tow_tcp_abort(from[0]);
	run_until(sink, TOW_SINK_READY);
	CHECK_EQ(info_of(sink).conn_status, TOW_ECONNRESET);
	CHECK_EQ(info_of(sink).written_bytes, 100001u);
	tow_sink_close(sink);
	check_file("f.part", 100001);
	tear_down();
}

TEST(stopped_it_keeps_what_it_got_and_goes_on)
{
	struct tow_sink *sink;

	set_up(0, 8);
	connect_one();
	sink = open_sink("f", "f.part");
	CHECK_EQ(tow_sink_take(sink, to[0], TOW_SINK_NO_LIMIT), 0);
	send_from(0, 0, 300000);
	run(5);
	tow_sink_stop(sink);
	run_until(sink, TOW_SINK_READY);
	CHECK_LT(info_of(sink).written_bytes, 300000u);
	CHECK_EQ(tow_sink_take(sink, to[0], TOW_SINK_NO_LIMIT), 0);
	CHECK_EQ(tow_tcp_shutdown(from[0]), 0);
	run_until(sink, TOW_SINK_READY);
	commit(sink);
	check_file("f", 300000);
	tear_down();
}

static void break_down(struct disk_request *r)
{
	r->fd = -1;
	r->result = -EIO;
	workers_submit(r->disk->workers, &r->job);
}

static void no_work(struct job *job)
{
	(void)job;
}

static void tell(struct job *job)
{
	struct disk_request *r = CONTAINER(job, struct disk_request, job);

	r->disk->requests--;
	r->done(r);
}

static void start_broken(struct disk_request *r)
{
	r->job.work = no_work;
	r->job.done = tell;
	break_down(r);
}

/* EIO: the connection is the program's again, and the file is gone. */
TEST(a_disk_that_breaks_gives_the_connection_back)
{
	struct tow_span span;
	struct tow_sink *sink;

	set_up(0, 8);
	disk->start = start_broken;
	connect_one();
	sink = open_sink("f", NULL);
	CHECK_EQ(tow_sink_take(sink, to[0], TOW_SINK_NO_LIMIT), 0);
	send_from(0, 0, 1000000);
	run_until(sink, TOW_SINK_FAILED);
	CHECK_EQ(info_of(sink).status, TOW_EIO);
	tow_sink_close(sink);
	run(200);
	CHECK_EQ(tow_tcp_borrow(to[0], &span, 1), 1);
	tear_down();
}

/* Three uploads, two blocks: the silent ones must not keep them. */
TEST(a_silent_peer_does_not_keep_a_block_from_others)
{
	struct tow_sink *sinks[FLOWS_MAX];
	static const char *const names[] = { "a", "b", "c" };

	set_up(0, 2);
	for (unsigned i = 0; i < FLOWS_MAX; i++) {
		connect_one();
		sinks[i] = open_sink(names[i], NULL);
		CHECK_EQ(tow_sink_take(sinks[i], to[i], TOW_SINK_NO_LIMIT), 0);
	}
	CHECK(info_of(sinks[2]).conn_waits);
	send_from(2, 0, 100000);
	CHECK_EQ(tow_tcp_shutdown(from[2]), 0);
	for (unsigned i = 0; i < 40; i++) {
		usleep(20000); /* the disk's own clock */
		run(20);
	}
	CHECK_EQ(info_of(sinks[2]).state, TOW_SINK_READY);
	commit(sinks[2]);
	check_file("c", 100000);
	tear_down();
}

/* Of two posts one came back short by the FIN: nobody is left to ask. */
TEST(a_stream_that_ended_is_not_asked_for_its_other_blocks)
{
	struct tow_sink *sinks[2];
	struct tow_event event;

	set_up(0, 2);
	for (unsigned i = 0; i < 2; i++) {
		connect_one();
		sinks[i] = open_sink(i ? "b" : "a", NULL);
		CHECK_EQ(tow_sink_take(sinks[i], to[i], TOW_SINK_NO_LIMIT), 0);
	}
	send_from(0, 0, 1000);
	CHECK_EQ(tow_tcp_shutdown(from[0]), 0);
	usleep(300000); /* the disk's own clock */
	while (!info_of(sinks[0]).conn_done) {
		CHECK(tow_sim_step(sim, tow_sim_now(sim) + 10000));
		while (!info_of(sinks[0]).conn_done &&
		       tow_events(server, &event, 1) == 1)
			(void)!tow_disk_event(disk, &event);
	}
	for (unsigned i = 0; i < 3; i++)
		tow_disk_run(disk); /* before the other event was taken */
	run_until(sinks[0], TOW_SINK_READY);
	commit(sinks[0]);
	check_file("a", 1000);
	send_from(1, 0, 100000);
	CHECK_EQ(tow_tcp_shutdown(from[1]), 0);
	run_until(sinks[1], TOW_SINK_READY);
	commit(sinks[1]);
	check_file("b", 100000);
	tear_down();
}
