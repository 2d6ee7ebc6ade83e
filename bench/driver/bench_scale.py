# SPDX-License-Identifier: BSD-2-Clause
"""scale: 10 to 100,000 connections in the simulator, one of them busy.

bench/scale.c measures all sizes in one process, one after the other; so a
round is one run of it.
"""
from measure import Row, rows_of
from report import Target

FLAT = 1.5
IDLE_BYTES_MAX = 1024


def scale(bench, result):
    by_count = {}
    for number in range(bench.options.rounds):
        bench.progress(f"round {number + 1}/{bench.options.rounds}")
        for found in rows_of(bench, "scale"):
            count = found.pop("connections")
            row = by_count.setdefault(count, Row(str(count)))
            row.extra["connections"] = count
            row.add({k: v for k, v in found.items() if k != "name"})
    bench.progress("")
    result.title = "by number of connections, one of them busy"
    result.rows = list(by_count.values())
    costs = [row.median("ns_per_segment") for row in result.rows]
    result.targets = [
        Target("ns per segment: the worst / with 10 connections",
               max(costs) / costs[0], FLAT, at_most=True),
        Target("bytes per idle connection / 1 KiB",
               max(row.median("bytes_per_connection")
                   for row in result.rows) / IDLE_BYTES_MAX, 1.0,
               at_most=True),
    ]


scale.seconds, scale.rounds = 1, 3
