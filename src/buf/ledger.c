/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of what is counted, out of the lists in tow/ledger.h and
 * tow/place.h.
 */
#include <tow/ledger.h>
#include <tow/place.h>
#include "base/base.h"

struct word {
	const char *name, *text;
};

#define WORD(id, name, text) { name, text },
static const struct word copies[] = { TOW_COPIES(WORD) };
static const struct word drops[] = { TOW_DROPS(WORD) };
static const struct word counters[] = { TOW_COUNTERS(WORD) };
static const struct word placements[] = { TOW_PLACEMENTS(WORD) };
#undef WORD

const char *tow_copy_name(unsigned reason)
{
	return reason < LENGTH(copies) ? copies[reason].name : NULL;
}

const char *tow_copy_text(unsigned reason)
{
	return reason < LENGTH(copies) ? copies[reason].text : NULL;
}

const char *tow_drop_name(unsigned reason)
{
	return reason < LENGTH(drops) ? drops[reason].name : NULL;
}

const char *tow_drop_text(unsigned reason)
{
	return reason < LENGTH(drops) ? drops[reason].text : NULL;
}

const char *tow_counter_name(unsigned counter)
{
	return counter < LENGTH(counters) ? counters[counter].name : NULL;
}

const char *tow_counter_text(unsigned counter)
{
	return counter < LENGTH(counters) ? counters[counter].text : NULL;
}

const char *tow_placement_name(unsigned placement)
{
	return placement < LENGTH(placements) ? placements[placement].name
					      : NULL;
}

const char *tow_placement_text(unsigned placement)
{
	return placement < LENGTH(placements) ? placements[placement].text
					      : NULL;
}
