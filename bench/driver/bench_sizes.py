# SPDX-License-Identifier: BSD-2-Clause
"""sizes: lending against copying for writes of 1 B to 1 MiB.

One process runs slices of all sizes, both sources and both ways in turns, see
tow_sizes.c. A ratio is the median over the rounds of the ratio of two slices
that ran one right after the other.
"""
import json

import measure
import sandbox
from bench_tcp import PORT, TAP_SPEC
from measure import CPU_PEER, CPU_TESTED, Program, Row
from report import Target

SIZES = [1 << power for power in range(21)]
WANT = 0.97


def name_of(size):
    if size >= 1 << 20:
        return f"{size >> 20} MiB"
    return f"{size >> 10} KiB" if size >= 1024 else f"{size} B"


def slices(bench):
    network, options = bench.network, bench.options
    sink = Program(network.near, CPU_PEER,
                   [bench.program("peers/kernel_tcp"), "sink", "--addr",
                    sandbox.NEAR, "--port", str(PORT), "--warm", "0"])
    writer = None
    try:
        sink.wait_ready()
        writer = Program(
            network.near, CPU_TESTED,
            [bench.program("tow_sizes"), "all", "--addr", sandbox.NEAR,
             "--port", str(PORT), "--dev", TAP_SPEC, "--local",
             f"{sandbox.STACK}/24", "--source", str(bench.source_fd),
             "--seconds", str(options.seconds), "--batch",
             str(options.rounds)], fds=[bench.source_fd])
        total = options.seconds * options.rounds * len(SIZES) * 8
        bench.progress(f"about {total * 1.2:.0f} s of slices")
        return json.loads(writer.line(total * 6 + 60))
    finally:
        sink.stop()
        if writer:
            writer.stop()


def rate(piece):
    return piece["bytes"] * 8 / piece["ns"]


def row_of(pieces, size, hot, batch, way):
    row = Row(f"{way} {'hot' if hot else 'cold'} {name_of(size)}"
              f"{', batch' if batch else ''}", bad=bool(batch))
    row.extra = {"size": size, "way": way, "hot": bool(hot),
                 "batch": bool(batch)}
    for piece in pieces:
        if (piece["size"], piece["hot"], piece["batch"],
                piece["way"]) == (size, hot, batch, way):
            row.add({"gbps": rate(piece),
                     "cpu_ns_per_kib": measure.per_kib(piece["cpu_ns"],
                                                       piece["bytes"])})
    return row


def print_ratios(batch, lines):
    print("\n " + ("bad case: up to 256 writes before each turn of the stack"
                   if batch else "a write, a turn of the stack, in Gb/s"))
    print(f"  {'':10}{'hot source':^32}{'cold source':^32}")
    print(f"  {'size':10}" + f"{'lend':>9}{'send':>9}{'ratio':>9}     " * 2)
    for size, cells in lines:
        text = f"  {name_of(size):10}"
        for lend, send, ratio in cells:
            mark = " " if ratio >= WANT else "!"
            text += f"{lend:9.3f}{send:9.3f}{ratio:9.3f}{mark}    "
        print(text)


def compare_ways(pieces, batch, result):
    """Rows and targets of one kind of batch; prints the table."""
    worst = {0: (9e9, ""), 1: (9e9, "")}
    lines = []
    for size in SIZES:
        cells = []
        for hot in (1, 0):
            lend = row_of(pieces, size, hot, batch, "lend")
            send = row_of(pieces, size, hot, batch, "send")
            value = measure.ratio(lend, send)
            lend.extra["lend_over_send"] = round(value, 3)
            result.rows += [lend, send]
            worst[hot] = min(worst[hot], (value, name_of(size)))
            cells.append((lend.median("gbps"), send.median("gbps"), value))
        lines.append((size, cells))
    print_ratios(batch, lines)
    for hot, word in ((1, "hot"), (0, "cold")):
        value, size = worst[hot]
        result.targets.append(Target(
            f"lend / send, {word} source, at the worst size ({size})"
            f"{', in batches' if batch else ''}", value, WANT))


def sizes(bench, result):
    bench.need_network()
    bench.need_source()
    pieces = slices(bench)
    bench.progress("")
    for batch in (0, 1):
        compare_ways(pieces, batch, result)
    result.groups = []


sizes.seconds, sizes.rounds = 0.04, 11
