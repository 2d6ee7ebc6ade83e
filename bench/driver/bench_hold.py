# SPDX-License-Identifier: BSD-2-Clause
"""hold: 64 flows from the kernel, and one receiver that returns nothing.

All figures are of the other 63. They are compared with 63 flows that have
nobody beside them.
"""
import measure
import sandbox
from bench_place import add_shares, kernel
from bench_tcp import TAP_SPEC, compare, common
from measure import CPU_PEER, CPU_TESTED, Program, Row

ALONE = "63 flows alone"
FLOWS = 64
CASES = {
    # name: mode, flows
    ALONE: ("return", FLOWS - 1),
    "64 flows, all return": ("return", FLOWS),
    "one holds all it gets": ("hold", FLOWS),
    "one holds, governed": ("govern", FLOWS),
    "one does not read": ("ignore", FLOWS),
}


def receiver(bench, mode, flows):
    network = bench.network
    return Program(network.near, CPU_TESTED,
                   [bench.program("tow_hold"), mode, "--addr", sandbox.NEAR,
                    "--dev", TAP_SPEC, "--local", f"{sandbox.STACK}/24",
                    "--mac", network.tap_mac(), "--flows", str(flows),
                    *common(bench)])


def take(bench, mode, flows):
    sample = add_shares(measure.stream_pair(
        bench, lambda: receiver(bench, mode, flows),
        lambda: kernel(bench, bench.network.near, CPU_PEER, "sendfile",
                       sandbox.STACK, flows),
        bench.options.seconds))
    for key in ("least_share", "revoked", "drops", "retransmits"):
        sample[key] = sample["received"][key]
    return sample


def describe(row):
    words = [f"{key.replace('_', ' ')} {row.median(key):g}"
             for key in ("least_share", "revoked", "drops", "retransmits")]
    words += [f"{key.replace('_', ' ')} {row.median(key):.2%}"
              for key in sorted({k for s in row.samples for k in s
                                 if k.startswith("copied_")})]
    return f"{row.name}: " + ", ".join(words)


def hold(bench, result):
    bench.need_network()
    bench.need_source()
    only = bench.options.only
    result.title = "the neighbours of one receiver, by the kernel's sendfile(2)"
    result.rows = [Row(name) for name in CASES if not only or only in name]
    measure.take_rounds(result.rows,
                        lambda row: take(bench, *CASES[row.name]),
                        bench.options.rounds, bench.progress)
    rows = {row.name: row for row in result.rows}
    result.targets = [compare(rows, name, ALONE, 0.95)
                      for name in CASES if name.startswith("one ")]
    result.notes = [describe(row) for row in result.rows if row.samples]


hold.seconds, hold.rounds = 1.5, 5
