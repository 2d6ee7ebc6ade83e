# SPDX-License-Identifier: BSD-2-Clause
"""place: payload straight into posted memory, beside lending and copying.

The kernel's sendfile(2) sends 1, 4 or 16 flows, over a tap with several queues
to Towpath, over one queue of it to a bare loop that reads all flows into one
buffer, over a veth to the kernel. Frames are of 64 KiB, and loss is of whole
frames, as fault:large=on makes it in front of Towpath.
"""
import measure
import sandbox
from bench_tcp import common, compare
from measure import CPU_PEER, CPU_TESTED, Program, Row
from report import Target

FLOWS = (1, 4, 16)
LOSSES = ("0", "0.1", "1")  # per cent
MEMORY = 1 << 20            # of each flow, as of the bare loop's
# A window may arrive behind a hole, while no post can come back; what is not
# posted by then is copied ("early"). The stack's window grows up to 16 MiB.
MEMORY_WITH_LOSS = 16 << 20
TAP = f"tap:name={sandbox.PLACE_TAP}"
MODES = {"tow-placed": "place", "tow-lent": "lend", "tow-copied": "copy"}


def name_of(peer, flows, loss):
    return f"{peer}, {flows} flow{'s' * (flows > 1)}, {loss} %"


def device(loss):
    return TAP if loss == "0" else f"fault:loss={loss}%,dir=rx,large=on:{TAP}"


def kernel(bench, namespace, cpu, mode, address, flows):
    return Program(namespace, cpu,
                   [bench.program("peers/kernel_flows"), mode, "--addr",
                    address, "--flows", str(flows), "--source",
                    str(bench.source_fd), *common(bench)],
                   fds=[bench.source_fd])


def on_tap(bench, program, mode, local, dev, flows, memory):
    return Program(bench.network.near, CPU_TESTED,
                   [bench.program(program), mode, "--addr",
                    sandbox.PLACE_NEAR, "--dev", dev, "--local",
                    f"{local}/24", "--mac",
                    bench.network.tap_mac(sandbox.PLACE_TAP), "--flows",
                    str(flows), "--block", str(memory), *common(bench)])


def receiver(bench, peer, flows, loss):
    """What makes the receiver, and the address that it has."""
    if peer == "kernel-read":
        return lambda: kernel(bench, bench.network.far, CPU_TESTED, "sink",
                              sandbox.VETH_FAR, flows), sandbox.VETH_FAR
    if peer == "raw-tap":
        return lambda: on_tap(bench, "peers/raw_tap", "rx", sandbox.PLACE_RAW,
                              sandbox.PLACE_TAP, flows,
                              MEMORY), sandbox.PLACE_RAW
    return lambda: on_tap(bench, "tow_place", MODES[peer],
                          sandbox.PLACE_STACK, device(loss), flows,
                          MEMORY if loss == "0" else MEMORY_WITH_LOSS
                          ), sandbox.PLACE_STACK


def add_shares(sample):
    """Which share of the bytes went which way, by the ledger."""
    found = sample["received"]
    ways = {way: found.get(f"{way}_bytes", 0)
            for way in ("placed", "lent", "copied")}
    total = sum(ways.values())
    if not total:
        return sample
    for way, count in ways.items():
        sample[way] = count / total
    for key, count in found.items():
        if key.startswith("copied_") and key != "copied_bytes":
            sample[key.removesuffix("_bytes")] = count / total
    return sample


def take(bench, peer, flows, loss):
    start, address = receiver(bench, peer, flows, loss)
    return add_shares(measure.stream_pair(
        bench, start,
        lambda: kernel(bench, bench.network.near, CPU_PEER, "sendfile",
                       address, flows),
        bench.options.seconds))


def cases():
    for flows in FLOWS:
        for loss in LOSSES:
            peers = list(MODES)
            if loss == "0":
                peers += ["raw-tap", "kernel-read"]
            for peer in peers:
                yield peer, flows, loss


def reasons(row):
    """Why a placed row copied what it copied."""
    keys = sorted({k for s in row.samples for k in s
                   if k.startswith("copied_")},
                  key=lambda k: -row.median(k))
    words = [f"{k.removeprefix('copied_')} {row.median(k):.2%}" for k in keys
             if row.median(k) >= 0.00005]
    return ", ".join(words)


def targets(rows):
    found = []
    for flows in FLOWS:
        found.append(compare(rows, name_of("tow-placed", flows, "0"),
                             name_of("raw-tap", flows, "0"), 0.95))
    for flows in FLOWS:
        row = rows.get(name_of("tow-placed", flows, "0.1"))
        found.append(Target(f"share copied at 0.1 % loss, flows: {flows}",
                            row and row.median("copied"), 0.02,
                            at_most=True))
    for flows in FLOWS:
        for loss in LOSSES:
            found.append(compare(rows, name_of("tow-placed", flows, loss),
                                 name_of("tow-copied", flows, loss), 0.97))
    return found


def place(bench, result):
    bench.need_network()
    bench.need_source()
    all_cases = {name_of(*case): case for case in cases()}
    names = [n for n in all_cases
             if not bench.options.only or bench.options.only in n]
    result.rows = [Row(name) for name in names]
    measure.take_rounds(result.rows,
                        lambda row: take(bench, *all_cases[row.name]),
                        bench.options.rounds, bench.progress)
    rows = {row.name: row for row in result.rows}
    result.groups = [
        (f"{flows} flow{'s' * (flows > 1)}, {loss} % of the frames lost",
         [rows[n] for n in names if all_cases[n][1:] == (flows, loss)])
        for flows in FLOWS for loss in LOSSES]
    result.groups = [group for group in result.groups if group[1]]
    result.targets = targets(rows)
    result.notes = [f"{row.name}: copied: {reasons(row)}"
                    for row in result.rows
                    if row.name.startswith("tow-placed") and reasons(row)]


place.seconds, place.rounds = 1, 5
