/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What idle connections cost: 10 to 100,000 of them in the simulator, one in
 * use. Time is of the CPU, for both stacks and the simulated devices and wire
 * between them; memory is what tow_need() says for one connection more.
 *
 *	scale [--json]
 */
#include "tests/sim/crowd.h"

#define MEGABYTE (1u << 20)

static const uint32_t sizes[] = { 10, 100, 1000, 10000, 100000 };

#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

struct row {
	uint32_t connections;
	double ns, bytes;
};

static bool measure(uint32_t connections, struct row *row)
{
	static struct crowd crowd;

	if (!crowd_open(&crowd, connections))
		return false;
	row->connections = connections;
	row->ns = crowd_measure(&crowd, 5, 16 * MEGABYTE);
	row->bytes = crowd_bytes_per_connection(connections);
	crowd_close(&crowd);
	return row->ns > 0;
}

static void print_json(const struct row *rows)
{
	printf("{\"bench\":\"scale\",\"rows\":[");
	for (unsigned i = 0; i < SIZES; i++)
		printf("%s{\"name\":\"%u\",\"connections\":%u,"
		       "\"ns_per_segment\":%.1f,"
		       "\"bytes_per_connection\":%.0f}",
		       i ? "," : "", rows[i].connections, rows[i].connections,
		       rows[i].ns, rows[i].bytes);
	printf("]}\n");
}

static void print_table(const struct row *rows)
{
	printf("connections  ns/segment  bytes/connection\n");
	for (unsigned i = 0; i < SIZES; i++)
		printf("%11u  %10.1f  %16.0f\n", rows[i].connections,
		       rows[i].ns, rows[i].bytes);
}

int main(int argc, char **argv)
{
	struct row rows[SIZES];

	for (unsigned i = 0; i < SIZES; i++)
		if (!measure(sizes[i], &rows[i]))
			return 1;
	if (argc > 1 && strcmp(argv[1], "--json") == 0)
		print_json(rows);
	else
		print_table(rows);
	return 0;
}
