/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_STACK_H
#define BENCH_STACK_H

#include <tow/host.h>
#include <tow/ledger.h>
#include "bench.h"

/*
 * A stack on a device for a measuring program: what a user would write with
 * tow/host.h, default sizes and its way of waiting included. Whatever goes
 * wrong ends the program.
 */
struct tow_host *bench_stack_open(const struct bench_args *args);

/* Run the stack; returns events, at least one if it can help it. */
int bench_stack_wait(struct tow_host *host, struct tow_event *events, int max);

/* One round of the stack, without waiting. */
int bench_stack_turn(struct tow_host *host, struct tow_event *events, int max);

/* Let everything queued go out, at most two seconds long; close the stack. */
void bench_stack_close(struct tow_host *host);

/*
 * What the ledger says, as text for meter_print(): lent, placed, copied (also
 * by reason) and touched bytes, retransmissions, drops.
 */
#define BENCH_LEDGER_BYTES 2048
void bench_stack_ledger(struct tow_host *host, char *out, size_t bytes);

struct tow_endpoint bench_peer(const struct bench_args *args);

#endif
