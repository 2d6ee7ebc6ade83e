/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Middleboxes of a scenario.
 *
 * Theory of operation: most boxes cost time and no more, as far as TCP can tell
 * from the handshake, or from what arrives, what it has to do without:
 * connections through those have to come to their end as ever. Where one end
 * agreed on timestamps and the other one did not, and where a box appears in the
 * middle of a connection, that may come to nothing; but no byte may be wrong.
 */
#include <string.h>
#include "sim_world.h"

#define FEATURES_MAX 3

static void strip_both(struct tow_sim_box *box, uint32_t strip)
{
	box->strip_up |= strip;
	box->strip_down |= strip;
}

/* SYNs of one direction say it, those of the other do not. */
static void strip_one(struct dice *dice, struct tow_sim_box *box,
		      uint32_t strip)
{
	if (dice_hit(dice, 500000))
		box->strip_up |= strip;
	else
		box->strip_down |= strip;
}

static void draw_windows(struct dice *dice, struct tow_sim_box *box)
{
	box->window_shift = (uint8_t)dice_up_to(dice, 2);
	if (dice_hit(dice, 500000)) {
		box->window_close_ppm = (uint32_t)dice_scale(dice, 1, 20000);
		box->window_close_us = (uint32_t)dice_scale(dice, 1, 3000000);
	}
}

static void draw_pieces(struct world *world, struct tow_sim_box *box)
{
	struct dice *dice = &world->dice;

	if (dice_hit(dice, 600000))
		box->split_ppm = (uint32_t)dice_scale(dice, 1, 500000);
	if (dice_hit(dice, 600000)) {
		box->join_us = (uint32_t)dice_scale(dice, 1, 5000);
		box->join_bytes = (uint32_t)dice_range(dice, 100, 1280);
	}
}

static void draw_shift(struct dice *dice, struct tow_sim_box *box)
{
	box->sequence_shift = (uint32_t)dice_throw(dice);
	box->sequence_sack = true;
}

static void draw_feature(struct world *world, struct tow_sim_box *box)
{
	struct dice *dice = &world->dice;

	switch (dice_up_to(dice, 12)) {
	case 0:
		strip_both(box, TOW_SIM_STRIP_SACK_OK);
		break;
	case 1:
		strip_both(box, TOW_SIM_STRIP_TIMESTAMPS);
		break;
	case 2:
		strip_both(box, TOW_SIM_STRIP_SCALE);
		break;
	case 3:
		strip_both(box, TOW_SIM_STRIP_OTHER);
		break;
	case 4:
		strip_both(box, TOW_SIM_STRIP_SACK);
		break;
	case 5:
		strip_one(dice, box, TOW_SIM_STRIP_MSS);
		break;
	case 6:
		box->mss_max = (uint16_t)dice_range(dice, 100, 1460);
		break;
	case 7:
		box->syn_data_cut = dice_hit(dice, 500000);
		box->syn_data_drop = !box->syn_data_cut;
		break;
	case 8:
		box->syn_options_drop = true;
		break;
	case 9:
		draw_shift(dice, box);
		break;
	case 10:
		box->bleach = dice_hit(dice, 500000);
		box->no_ecn = !box->bleach;
		break;
	case 11:
		draw_windows(dice, box);
		break;
	default:
		draw_pieces(world, box);
		break;
	}
}

void box_draw_harmless(struct world *world, struct tow_sim_box *box)
{
	struct dice *dice = &world->dice;
	uint64_t windows = dice_up_to(dice, 2);

	box->bleach = dice_hit(dice, 200000);
	if (windows == 0)
		draw_windows(dice, box);
	draw_pieces(world, box);
}

/*
 * What says one thing to one end and another one to the other. RFC 7323 3.2: an
 * end that agreed on timestamps drops what has none.
 *
 * Returns: whether it breaks TCP.
 */
static bool draw_fault(struct world *world, struct tow_sim_box *box)
{
	struct dice *dice = &world->dice;

	if (!dice_hit(dice, 300000))
		return false;
	switch (dice_up_to(dice, 4)) {
	case 0:
		strip_one(dice, box, TOW_SIM_STRIP_SCALE);
		return false;
	case 1:
		strip_one(dice, box, TOW_SIM_STRIP_TIMESTAMPS);
		return true;
	case 2:
		strip_one(dice, box, TOW_SIM_STRIP_SACK_OK);
		return false;
	case 3:
		strip_one(dice, box, TOW_SIM_STRIP_OTHER);
		return false;
	default:
		box->sequence_shift = (uint32_t)dice_throw(dice);
		box->sequence_sack = false;
		return false;
	}
}

bool box_draw(struct world *world, struct tow_sim_box *box)
{
	struct dice *dice = &world->dice;
	unsigned features = (unsigned)dice_range(dice, 1, FEATURES_MAX);

	*box = (struct tow_sim_box){ 0 };
	while (features--)
		draw_feature(world, box);
	return draw_fault(world, box);
}

void box_report(const struct tow_sim_box *box, unsigned number, FILE *out)
{
	static const struct tow_sim_box none;

	if (memcmp(box, &none, sizeof(none)) == 0)
		return;
	fprintf(out,
		"  box at stack %u: strips %#x up, %#x down, mss %u, %s%s%s%s%s"
		"windows >> %u, closed %u ppm, split %u ppm, joined %u us, "
		"moved %u%s\n",
		number, box->strip_up, box->strip_down, box->mss_max,
		box->bleach ? "bleaches, " : "", box->no_ecn ? "no ECN, " : "",
		box->syn_data_cut ? "cuts SYN data, " : "",
		box->syn_data_drop ? "drops SYN data, " : "",
		box->syn_options_drop ? "drops SYN options, " : "",
		box->window_shift, box->window_close_ppm, box->split_ppm,
		box->join_us, box->sequence_shift,
		box->sequence_shift && !box->sequence_sack ? " but not SACK"
							   : "");
}
