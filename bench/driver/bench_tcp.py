# SPDX-License-Identifier: BSD-2-Clause
"""tx and rx: one TCP flow in bulk.

tx: the row's program sends out of 1 GiB of page cache that is never in the
CPU's cache when its turn comes; the kernel reads at the other end. Stacks in
user space send over a tap, the kernel's own senders over a veth.

rx: the kernel's sendfile(2) sends; the row's program receives.
"""
import measure
import sandbox
from measure import CPU_PEER, CPU_TESTED, Program, Row
from report import Target

PORT = 7000
TAP_SPEC = f"tap:name={sandbox.TAP}"
OFF_SPEC = TAP_SPEC + ",offloads=off"


def common(bench, *more):
    options = bench.options
    return ["--port", str(PORT), "--seconds", str(options.seconds),
            "--warm", "0.3", *more]


def kernel(bench, namespace, cpu, mode, address, *more):
    command = [bench.program("peers/kernel_tcp"), mode, "--addr", address,
               *common(bench, *more)]
    if mode != "sink":
        command += ["--source", str(bench.source_fd)]
    return Program(namespace, cpu, command, fds=[bench.source_fd])


def tested(bench, program, mode, peer, local, device, *more):
    network = bench.network
    command = [bench.program(program), mode, "--addr", peer, "--dev", device,
               "--local", f"{local}/24", "--mac", network.tap_mac(),
               "--source", str(bench.source_fd), *common(bench, *more)]
    return Program(network.near, CPU_TESTED, command, fds=[bench.source_fd])


# --- tx ----------------------------------------------------------------------

# A reader of 64 KiB each millisecond or so.
SLOW = ("--block", str(64 << 10), "--pause", "1000")


def sink(bench, address, *more):
    return lambda: kernel(bench, bench.network.near, CPU_PEER, "sink",
                          address, *more)


def by_tap(program, mode, local=sandbox.STACK, device=TAP_SPEC, more=(),
           reader=()):
    def sample(bench):
        return measure.stream_pair(
            bench, sink(bench, sandbox.NEAR, *reader),
            lambda: tested(bench, program, mode, sandbox.NEAR, local, device,
                           *more),
            bench.options.seconds)
    return sample


def by_veth(mode, offloads=True, reader=()):
    def sample(bench):
        if not offloads:
            bench.network.veth_offloads(False)
        try:
            return measure.stream_pair(
                bench, sink(bench, sandbox.VETH_NEAR, *reader),
                lambda: kernel(bench, bench.network.far, CPU_TESTED, mode,
                               sandbox.VETH_NEAR),
                bench.options.seconds)
        finally:
            if not offloads:
                bench.network.veth_offloads(True)
    return sample


# Each as it is best used: a loan may be as long as a file, and costs no memory
# while it waits; copies wait in buffers, and many of them would be cold.
LEND = ("--block", str(16 << 20), "--queue", str(16 << 20))
COPY = ("--block", str(256 << 10), "--queue", str(4 << 20))
SMALL = ("--block", "1448", "--queue", str(4 << 20))

TX_ROWS = (
    ("tow-lend", by_tap("tow_tx", "lend", more=LEND)),
    ("tow-copy", by_tap("tow_tx", "copy", more=COPY)),
    ("raw-tap", by_tap("peers/raw_tap", "tx", sandbox.RAW, sandbox.TAP)),
    ("kernel-write", by_veth("write")),
    ("kernel-sendfile", by_veth("sendfile")),
    ("kernel-zerocopy", by_veth("zerocopy")),
    ("lwip", by_tap("peers/lwip_tx", "tx", sandbox.LWIP, sandbox.TAP)),
)

TX_BAD = (
    ("tow-lend, no offloads",
     by_tap("tow_tx", "lend", device=OFF_SPEC, more=LEND)),
    ("tow-copy, no offloads",
     by_tap("tow_tx", "copy", device=OFF_SPEC, more=COPY)),
    ("kernel-write, no offloads", by_veth("write", offloads=False)),
    ("tow-lend, 1448 B a time", by_tap("tow_tx", "lend", more=SMALL)),
    ("tow-copy, 1448 B a time", by_tap("tow_tx", "copy", more=SMALL)),
    ("tow-lend, slow reader",
     by_tap("tow_tx", "lend", more=LEND, reader=SLOW)),
    ("kernel-write, slow reader", by_veth("write", reader=SLOW)),
)


def run_rows(bench, result, good, bad):
    bench.need_network()
    bench.need_source()
    samples = dict(good + bad)
    result.rows = [Row(name) for name, _ in good]
    result.rows += [Row(name, bad=True) for name, _ in bad]
    only = bench.options.only
    if only:
        result.rows = [r for r in result.rows if only in r.name]
    measure.take_rounds(result.rows, lambda row: samples[row.name](bench),
                        bench.options.rounds, bench.progress)
    return {row.name: row for row in result.rows}


def compare(rows, upper, lower, want, key="gbps", text=None):
    """A target: upper / lower of @key is at least @want."""
    value = None
    if upper in rows and lower in rows:
        value = measure.ratio(rows[upper], rows[lower], key)
    return Target(text or f"{upper} / {lower}", value, want)


def tx(bench, result):
    rows = run_rows(bench, result, TX_ROWS, TX_BAD)
    result.title = "one flow to the kernel, 1 GiB source, not cache-hot"
    result.targets = [
        compare(rows, "tow-lend", "raw-tap", 0.95),
        compare(rows, "tow-lend", "kernel-write", 1.0),
        compare(rows, "tow-lend", "lwip", 5.0),
        compare(rows, "tow-copy", "tow-lend", 1.3, "cpu_ns_per_kib",
                "CPU per byte, both ends: tow-copy / tow-lend"),
    ]
    sender = compare(rows, "tow-copy", "tow-lend", 1.3, "sender_ns_per_kib")
    if sender.value is not None:
        result.notes.append("CPU per byte of the sender alone: tow-copy / "
                            f"tow-lend = {sender.value:.2f}")


tx.seconds, tx.rounds = 1.5, 5


# --- rx ----------------------------------------------------------------------

def from_tap(program, mode, local=sandbox.STACK, device=TAP_SPEC, more=()):
    def sample(bench):
        return measure.stream_pair(
            bench,
            lambda: tested(bench, program, mode, sandbox.NEAR, local, device,
                           *more),
            lambda: kernel(bench, bench.network.near, CPU_PEER, "sendfile",
                           local),
            bench.options.seconds)
    return sample


def from_veth(offloads=True):
    def sample(bench):
        if not offloads:
            bench.network.veth_offloads(False)
        try:
            return measure.stream_pair(
                bench,
                lambda: kernel(bench, bench.network.far, CPU_TESTED, "sink",
                               sandbox.VETH_FAR),
                lambda: kernel(bench, bench.network.near, CPU_PEER,
                               "sendfile", sandbox.VETH_FAR),
                bench.options.seconds)
        finally:
            if not offloads:
                bench.network.veth_offloads(True)
    return sample


RX_ROWS = (
    ("tow-lend", from_tap("tow_rx", "borrow")),
    ("tow-copy", from_tap("tow_rx", "copy")),
    ("raw-tap", from_tap("peers/raw_tap", "rx", sandbox.RAW, sandbox.TAP)),
    ("kernel-read", from_veth()),
)

RX_BAD = (
    ("tow-lend, no offloads", from_tap("tow_rx", "borrow", device=OFF_SPEC)),
    ("tow-copy, no offloads", from_tap("tow_rx", "copy", device=OFF_SPEC)),
    ("kernel-read, no offloads", from_veth(offloads=False)),
    ("tow-copy, 1448 B a time",
     from_tap("tow_rx", "copy", more=("--block", "1448"))),
)


def rx(bench, result):
    rows = run_rows(bench, result, RX_ROWS, RX_BAD)
    result.title = "one flow from the kernel's sendfile(2)"
    result.targets = [
        compare(rows, "tow-lend", "raw-tap", 0.95),
    ]


rx.seconds, rx.rounds = 1.5, 5
