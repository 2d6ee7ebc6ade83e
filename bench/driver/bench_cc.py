# SPDX-License-Identifier: BSD-2-Clause
"""cc: each controller on paths of many kinds, in the simulator.

bench/cc.c runs in virtual time from one seed, so a second round would find the
same. What is wanted of all of them is a full path and a fair share; the queue
and what is sent again are what they pay for it.
"""
from measure import Row, rows_of
from report import Target

USED = 0.8
JAIN = 0.8


def least(rows, key, controller, wanted):
    values = [row.median(key) for row in rows
              if row.extra["controller"] == controller and wanted(row.extra)]
    return min(values) if values else None


def cc(bench, result):
    bench.progress("in virtual time")
    result.title = "congestion control, by path and controller"
    for found in rows_of(bench, "cc"):
        row = Row(found.pop("name"))
        for key in ("controller", "mbit", "rtt_ms", "flows", "loss_ppm"):
            row.extra[key] = found.pop(key)
        row.add(found)
        result.rows.append(row)
    bench.progress("")
    result.targets = [
        Target("used, at the least, without random loss: " + name,
               least(result.rows, "used", name,
                     lambda path: path["loss_ppm"] == 0), USED)
        for name in ("newreno", "cubic", "bbr")
    ] + [
        Target("used, at the least, with random loss: bbr",
               least(result.rows, "used", "bbr",
                     lambda path: path["loss_ppm"] > 0), USED),
    ] + [
        Target("Jain, at the least: " + name,
               least(result.rows, "jain", name, lambda path: True), JAIN)
        for name in ("newreno", "cubic", "bbr")
    ]


cc.seconds, cc.rounds = 1, 1
