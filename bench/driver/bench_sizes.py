# SPDX-License-Identifier: BSD-2-Clause
"""sizes: lending against copying for writes of 1 B to 1 MiB.

One process runs slices of all sizes, both sources and both ways in turns, see
tow_sizes.c. A ratio is the median over the rounds of the ratio of two slices
that ran one right after the other.
"""
import json
import statistics

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
        total = options.seconds * options.rounds * len(SIZES) * 4
        bench.progress(f"about {total * 1.2:.0f} s of slices")
        return json.loads(writer.line(total * 4 + 60))
    finally:
        sink.stop()
        if writer:
            writer.stop()


def rate(piece):
    return piece["bytes"] * 8 / piece["ns"]


def row_of(pieces, size, hot, way):
    row = Row(f"{way} {'hot' if hot else 'cold'} {name_of(size)}")
    row.extra = {"size": size, "way": way, "hot": bool(hot)}
    for piece in pieces:
        if (piece["size"], piece["hot"], piece["way"]) == (size, hot, way):
            row.add({"gbps": rate(piece),
                     "cpu_ns_per_kib": measure.per_kib(piece["cpu_ns"],
                                                       piece["bytes"])})
    return row


def print_ratios(lines):
    print(f"\n  {'':10}{'hot source':^38}{'cold source':^38}")
    print(f"  {'size':10}" + f"{'lend':>10}{'send':>10}{'lend/send':>12}"
          f"{'':6}" * 1 + f"{'lend':>10}{'send':>10}{'lend/send':>12}")
    for size, cells in lines:
        text = f"  {name_of(size):10}"
        for lend, send, ratio in cells:
            mark = " " if ratio >= WANT else "!"
            text += f"{lend:9.3f}G{send:9.3f}G{ratio:11.3f}{mark}     "
        print(text)


def sizes(bench, result):
    bench.need_network()
    bench.need_source()
    pieces = slices(bench)
    bench.progress("")
    worst = {0: (9.0, ""), 1: (9.0, "")}
    lines = []
    for size in SIZES:
        cells = []
        for hot in (1, 0):
            lend = row_of(pieces, size, hot, "lend")
            send = row_of(pieces, size, hot, "send")
            value = measure.ratio(lend, send)
            lend.extra["lend_over_send"] = round(value, 3)
            result.rows += [lend, send]
            worst[hot] = min(worst[hot], (value, name_of(size)))
            cells.append((lend.median("gbps"), send.median("gbps"), value))
        lines.append((size, cells))
    print_ratios(lines)
    result.groups = []
    for hot, word in ((1, "hot"), (0, "cold")):
        value, size = worst[hot]
        result.targets.append(Target(
            f"lend / send, {word} source, at the worst size ({size})",
            value, WANT))
    gains = [measure.ratio(a, b) for a, b in
             zip(result.rows[2::4], result.rows[3::4])]
    result.notes.append("lend / send over all sizes, cold source: median "
                        f"{statistics.median(gains):.2f}")


sizes.seconds, sizes.rounds = 0.05, 15
