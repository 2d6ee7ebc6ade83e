/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an acknowledgement says beside its number: the blocks that arrived out
 * of order (SACK, RFC 2018), and what came twice (D-SACK, RFC 2883).
 */
#include "tcp/tcp_private.h"

/* [left, right) came a second time: RFC 2883 4. */
void report_duplicate(struct tow_tcp *t, struct seq left, struct seq right)
{
	struct receive *r = &t->receive;

	tcp_drop(t, TOW_DROP_TCP_DUPLICATE);
	if (!t->sack || !seq_before(left, right))
		return;
	if (!r->dsack_pending) {
		r->dsack.left = left.n;
		r->dsack.right = right.n;
	} else if (r->dsack.right == left.n) {
		r->dsack.right = right.n;
	}
	r->dsack_pending = true;
}

static void drop_sack(struct receive *r, unsigned i)
{
	r->sack_count--;
	memmove(&r->sacks[i], &r->sacks[i + 1],
		(r->sack_count - i) * sizeof(r->sacks[0]));
}

/*
 * RFC 2018 4: the block that holds the newest segment goes first. Blocks that
 * it touches become one with it; more than four are forgotten, oldest first.
 */
void report_hole(struct tow_tcp *t, struct seq left, struct seq right)
{
	struct receive *r = &t->receive;

	for (unsigned i = 0; i < r->sack_count;) {
		struct seq l = seq_of(r->sacks[i].left);
		struct seq e = seq_of(r->sacks[i].right);

		if (seq_after(l, right) || seq_before(e, left)) {
			i++;
			continue;
		}
		left = seq_min(left, l);
		right = seq_max(right, e);
		drop_sack(r, i);
	}
	if (r->sack_count == TCP_SACK_BLOCKS_MAX)
		r->sack_count--;
	memmove(&r->sacks[1], &r->sacks[0],
		r->sack_count * sizeof(r->sacks[0]));
	r->sacks[0] = (struct wire_tcp_sack){ left.n, right.n };
	r->sack_count++;
}

void report_filled(struct tow_tcp *t, struct seq nxt)
{
	struct receive *r = &t->receive;

	for (unsigned i = 0; i < r->sack_count;) {
		if (seq_after(seq_of(r->sacks[i].right), nxt))
			i++;
		else
			drop_sack(r, i);
	}
}

/* RFC 2018 3: four fill the options, three beside timestamps. */
static unsigned blocks_to_report(const struct tow_tcp *t, uint32_t room)
{
	unsigned most = room > 4 ? (room - 4) / 8 : 0;
	unsigned have = t->receive.sack_count + t->receive.dsack_pending;

	return t->sack ? MIN(have, most) : 0;
}

/*
 * How much of the header the SACK option of the next segment takes, if options
 * have so much room left.
 */
uint32_t report_bytes(const struct tow_tcp *t, uint32_t room)
{
	unsigned n = blocks_to_report(t, room);

	return n ? 4 + n * 8 : 0;
}

/* Fill in the SACK option of an acknowledgement, D-SACK first. */
void report_fill(struct tow_tcp *t, struct wire_tcp *out, uint32_t room)
{
	struct receive *r = &t->receive;
	unsigned most = blocks_to_report(t, room);

	if (most == 0)
		return;
	if (r->dsack_pending) {
		out->sacks[out->sack_count++] = r->dsack;
		r->dsack_pending = false;
		tcp_count(t, TOW_COUNTER_TCP_DSACK_SENT);
	}
	for (unsigned i = 0; i < r->sack_count && out->sack_count < most; i++)
		out->sacks[out->sack_count++] = r->sacks[i];
}
