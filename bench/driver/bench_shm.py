# SPDX-License-Identifier: BSD-2-Clause
"""shm: two processes and memory between them.

In bulk: segments of 64 KiB out of the sender's arena, by reference; the same
out of memory that the link has to copy from; and the kernel's TCP over its
loopback interface, by write() and by sendfile(). The receivers look at no byte
but those that the kernel copies.

Latency: one byte there and back, both ends spinning on a processor of their
own: over shm, over a stream socket of AF_UNIX, over TCP on loopback.
"""
import os

import measure
import sandbox
from bench_tcp import compare
from measure import CPU_PEER, CPU_TESTED, Program, Row
from report import Target

PORT = 7002
LOCALHOST = "127.0.0.1"
NETS = ("10.79.0.1", "10.79.0.2")
ARENA = 1 << 30
BULK = ("--block", str(1 << 20), "--queue", str(16 << 20))


def socket_path(bench):
    return os.path.join(bench.scratch, "shm.sock")


def common(bench):
    return ["--port", str(PORT), "--seconds", str(bench.options.seconds),
            "--warm", "0.3"]


def tow(bench, cpu, program, mode, role, *more):
    local, peer = NETS if role == "listen" else reversed(NETS)
    spec = (f"shm:path={socket_path(bench)},role={role},arena={ARENA}")
    return Program(bench.network.near, cpu,
                   [bench.program(program), mode, "--dev", spec, "--local",
                    f"{local}/24", "--addr", peer, "--source",
                    str(bench.source_fd), *more, *common(bench)],
                   fds=[bench.source_fd])


def kernel(bench, cpu, program, mode, *more):
    return Program(bench.network.near, cpu,
                   [bench.program(program), mode, "--addr", LOCALHOST,
                    "--source", str(bench.source_fd), *more, *common(bench)],
                   fds=[bench.source_fd])


def by_shm(program, mode):
    def sample(bench):
        return measure.stream_pair(
            bench,
            lambda: tow(bench, CPU_PEER, "tow_rx", "borrow", "listen"),
            lambda: tow(bench, CPU_TESTED, program, mode, "connect", *BULK),
            bench.options.seconds)
    return sample


def by_loopback(mode):
    def sample(bench):
        return measure.stream_pair(
            bench,
            lambda: kernel(bench, CPU_PEER, "peers/kernel_tcp", "sink"),
            lambda: kernel(bench, CPU_TESTED, "peers/kernel_tcp", mode),
            bench.options.seconds)
    return sample


def trips(sample):
    """What a round trip took; rates say nothing here."""
    sent = sample["sent"]
    return {"rtt_us": sent["rtt_ns"] / 1e3, "rtt99_us": sent["rtt99_ns"] / 1e3,
            "sent": sent, "received": sample["received"]}


def ping_shm(bench):
    return trips(measure.stream_pair(
        bench, lambda: tow(bench, CPU_PEER, "tow_shm", "pong", "listen"),
        lambda: tow(bench, CPU_TESTED, "tow_shm", "ping", "connect"),
        bench.options.seconds))


def ping_kernel(kind):
    def sample(bench):
        path = ("--dev", socket_path(bench) + ".kernel")
        return trips(measure.stream_pair(
            bench,
            lambda: kernel(bench, CPU_PEER, "peers/kernel_ping",
                           f"{kind}-pong", *path),
            lambda: kernel(bench, CPU_TESTED, "peers/kernel_ping",
                           f"{kind}-ping", *path),
            bench.options.seconds))
    return sample


BULK_ROWS = (
    ("tow-shm by reference", by_shm("tow_shm", "lend")),
    ("tow-shm copied", by_shm("tow_tx", "lend")),
    ("loopback write", by_loopback("write")),
    ("loopback sendfile", by_loopback("sendfile")),
)

PING_ROWS = (
    ("tow-shm", ping_shm),
    ("AF_UNIX", ping_kernel("unix")),
    ("loopback TCP", ping_kernel("tcp")),
)


def ledgers(row):
    """Shares of the bytes, out of the ledgers of both ends."""
    for sample in row.samples:
        sent, received = sample["sent"], sample["received"]
        if "lent_bytes" not in sent:
            continue
        total = max(sent["bytes_all"], 1)
        sample["lent"] = sent["lent_bytes"] / total
        sample["borrowed"] = received["lent_bytes"] / total
        sample["copied"] = (sent["copied_bytes"] +
                                  received["copied_bytes"]) / total


def shm(bench, result):
    bench.need_network()
    bench.need_source()
    samples = dict(BULK_ROWS + PING_ROWS)
    only = bench.options.only
    result.groups = [
        (title, [Row(name) for name, _ in rows
                 if not only or only in name])
        for title, rows in (("one flow in bulk", BULK_ROWS),
                            ("one byte there and back", PING_ROWS))]
    result.rows = [row for _, rows in result.groups for row in rows]
    measure.take_rounds(result.rows, lambda row: samples[row.name](bench),
                        bench.options.rounds, bench.progress)
    for row in result.rows:
        ledgers(row)
    rows = {row.name: row for row in result.rows}
    result.targets = [
        Target("tow-shm by reference, Gb/s, a core each",
               rows["tow-shm by reference"].median("gbps")
               if "tow-shm by reference" in rows else None, 200),
        Target("bytes copied by anyone, tow-shm by reference",
               rows["tow-shm by reference"].median("copied")
               if "tow-shm by reference" in rows else None, 0, at_most=True),
        compare(rows, "AF_UNIX", "tow-shm", 5, "rtt_us",
                "round trip: AF_UNIX / tow-shm"),
        compare(rows, "loopback TCP", "tow-shm", 5, "rtt_us",
                "round trip: loopback TCP / tow-shm"),
    ]


shm.seconds, shm.rounds = 1.5, 5
