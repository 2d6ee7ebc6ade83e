/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef CMD_H
#define CMD_H

/*
 * The subcommands of `tow`, a file each. Every one gets its own name as
 * argv[0], parses the rest with options.h, answers --help itself, and returns
 * the exit status of the process.
 */
enum exit_status {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* said why on stderr */
	EXIT_USAGE = 2,	 /* the command line makes no sense */
};

int cmd_serve(int argc, char **argv);
int cmd_get(int argc, char **argv);
int cmd_relay(int argc, char **argv);
int cmd_sim(int argc, char **argv);

#endif
