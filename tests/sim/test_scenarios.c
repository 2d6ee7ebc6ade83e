/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random scenarios of every profile, 27,000 in all, or a tenth of them
 * where a sanitizer looks on. A failure prints the one command that repeats it.
 */
#include <stdio.h>
#include "cmd.h"
#include "test.h"

#if defined(__SANITIZE_ADDRESS__)
#define SHARE 10
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHARE 10
#endif
#endif
#ifndef SHARE
#define SHARE 1
#endif

static void play(const char *profile, unsigned scenarios)
{
	char seeds[32], name[32];
	char *words[] = { "sim", "--seeds", seeds, "--profile", name, NULL };

	snprintf(seeds, sizeof(seeds), "1..%u", scenarios / SHARE);
	snprintf(name, sizeof(name), "%s", profile);
	CHECK_EQ(cmd_sim(5, words), EXIT_OK);
}

TEST(nothing_is_sent_twice_where_nothing_is_lost)
{
	play("clean", 2500);
}

TEST(streams_survive_loss)
{
	play("lossy", 2500);
}

TEST(streams_survive_reordering_and_duplicates)
{
	play("reorder", 2500);
}

TEST(streams_survive_bursts_of_loss)
{
	play("bursty", 2500);
}

TEST(streams_survive_all_faults_on_odd_devices)
{
	play("hostile", 2500);
}

TEST(stacks_with_next_to_no_memory_stay_clean)
{
	play("tiny", 2500);
}

TEST(long_fat_pipes_are_filled)
{
	play("lfn", 2500);
}

TEST(devices_may_be_torn_out_at_any_time)
{
	play("vanish", 2500);
}

TEST(paths_may_change_and_shrink_without_a_word)
{
	play("path", 1500);
}

TEST(middleboxes_cost_time_but_no_byte)
{
	play("boxes", 2500);
}

TEST(connections_end_or_go_on_when_addresses_move)
{
	play("moving", 1500);
}

TEST(blind_attackers_break_no_stream)
{
	play("attacked", 1500);
}

TEST(command_line_is_checked)
{
	char *profile[] = { "sim", "--profile", "nice", NULL };
	char *backwards[] = { "sim", "--seeds", "5..4", NULL };
	char *words[] = { "sim", "--seeds", "few", NULL };
	char *pcap[] = { "sim", "--seeds", "1..2", "--pcap", "x", NULL };

	CHECK_EQ(cmd_sim(3, profile), EXIT_USAGE);
	CHECK_EQ(cmd_sim(3, backwards), EXIT_USAGE);
	CHECK_EQ(cmd_sim(3, words), EXIT_USAGE);
	CHECK_EQ(cmd_sim(5, pcap), EXIT_USAGE);
}
