# SPDX-License-Identifier: BSD-2-Clause
"""scale: 10 to 100,000 connections in the simulator, one of them busy.

bench/scale.c measures all sizes in one process, one after the other; so a
round is one run of it.
"""
import json
import os
import subprocess

from measure import Failed, Row
from report import Target

FLAT = 1.5
IDLE_BYTES_MAX = 1024


def run(bench):
    program = bench.program("scale")
    if not os.access(program, os.X_OK):
        raise Failed("scale: was not built")
    done = subprocess.run([program, "--json"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(f"scale: exit {done.returncode} {done.stderr.strip()}")
    return json.loads(done.stdout)["rows"]


def scale(bench, result):
    by_count = {}
    for number in range(bench.options.rounds):
        bench.progress(f"round {number + 1}/{bench.options.rounds}")
        for found in run(bench):
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
