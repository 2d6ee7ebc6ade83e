# SPDX-License-Identifier: BSD-2-Clause
"""udp: datagrams of 64, 512 and 1472 bytes, one by one and in trains.

Nobody slows a UDP sender down, so what counts is what arrives: Gb/s and
datagrams per second are the receiver's. "lost" is how much of what was sent
did not arrive; a sender that is faster than its receiver loses more.
"""
import measure
import sandbox
from bench_tcp import TAP_SPEC, compare
from measure import CPU_PEER, CPU_TESTED, Failed, Program, Row

PORT = 7001
SIZES = (64, 512, 1472)
BATCH = 64


def options_of(bench, size, batch):
    return ["--port", str(PORT), "--seconds", str(bench.options.seconds),
            "--warm", "0.2", "--block", str(size), "--batch", str(batch)]


def kernel(bench, namespace, cpu, mode, address, size, batch, *more):
    return Program(namespace, cpu,
                   [bench.program("peers/kernel_udp"), mode, "--addr",
                    address, "--source", str(bench.source_fd), *more,
                    *options_of(bench, size, batch)], fds=[bench.source_fd])


def tow(bench, mode, size, batch):
    return Program(bench.network.near, CPU_TESTED,
                   [bench.program("tow_udp"), mode, "--addr", sandbox.NEAR,
                    "--dev", TAP_SPEC, "--local", f"{sandbox.STACK}/24",
                    "--source", str(bench.source_fd),
                    *options_of(bench, size, batch)], fds=[bench.source_fd])


def finish(sample):
    sent, received = sample.pop("sent"), sample.pop("received")
    sent_rate = sent["units"] / sent["seconds"]
    rate = received["units"] / received["seconds"]
    sample["mpps"] = rate / 1e6
    sample["sent_mpps"] = sent_rate / 1e6
    sample["loss"] = max(0.0, 1 - rate / sent_rate) if sent_rate else 0.0
    # What was lost cost CPU too: all of it for what arrived.
    sample["sender_ns_per_kib"] = measure.per_kib(
        sent["cpu_ns"] / sent["seconds"],
        received["bytes"] / received["seconds"])
    sample["cpu_ns_per_kib"] = (sample["sender_ns_per_kib"] +
                                sample["receiver_ns_per_kib"])
    return sample


def to_kernel(mode, size, batch, gro):
    def sample(bench):
        more = ["--gro"] if gro else []
        return finish(measure.stream_pair(
            bench,
            lambda: kernel(bench, bench.network.near, CPU_PEER, "sink",
                           sandbox.NEAR, size, batch, *more),
            lambda: tow(bench, mode, size, batch), bench.options.seconds))
    return sample


def kernel_to_kernel(mode, size, batch, gro):
    def sample(bench):
        more = ["--gro"] if gro else []
        return finish(measure.stream_pair(
            bench,
            lambda: kernel(bench, bench.network.near, CPU_PEER, "sink",
                           sandbox.VETH_NEAR, size, batch, *more),
            lambda: kernel(bench, bench.network.far, CPU_TESTED, mode,
                           sandbox.VETH_NEAR, size, batch),
            bench.options.seconds))
    return sample


def to_tow(mode, size, batch):
    def sample(bench):
        return finish(measure.stream_pair(
            bench, lambda: tow(bench, mode, size, batch),
            lambda: kernel(bench, bench.network.near, CPU_PEER, "segment",
                           sandbox.STACK, size, batch),
            bench.options.seconds))
    return sample


def rows_of(size):
    return (
        (f"tow-send {size}", to_kernel("send", size, BATCH, False)),
        (f"tow-lend {size}", to_kernel("lend", size, BATCH, False)),
        (f"kernel {size}", kernel_to_kernel("send", size, BATCH, False)),
        (f"tow-lend-uso {size}", to_kernel("train", size, BATCH, True)),
        (f"kernel-segment {size}",
         kernel_to_kernel("segment", size, BATCH, True)),
    )


def receive_rows(size):
    return ((f"rx tow-borrow {size}", to_tow("borrow", size, BATCH)),
            (f"rx kernel-gro {size}",
             kernel_to_kernel("segment", size, BATCH, True)))


def udp(bench, result):
    bench.need_network()
    bench.need_source()
    samples, groups = {}, []
    for size in SIZES:
        pairs = rows_of(size)
        samples.update(pairs)
        groups.append((f"{size} bytes", [Row(name) for name, _ in pairs]))
    pairs = receive_rows(1472)
    samples.update(pairs)
    groups.append(("receiving what the kernel sends by UDP_SEGMENT",
                   [Row(name) for name, _ in pairs]))
    only = bench.options.only
    result.groups = [(title, [r for r in rows if not only or only in r.name])
                     for title, rows in groups]
    result.rows = [row for _, rows in result.groups for row in rows]
    measure.take_rounds(result.rows, lambda row: samples[row.name](bench),
                        bench.options.rounds, bench.progress)
    by_name = {row.name: row for row in result.rows}
    result.targets = [compare(by_name, f"tow-lend-uso {size}",
                              f"kernel-segment {size}", 1.0)
                      for size in SIZES]
    result.targets += [compare(by_name, f"tow-lend {size}", f"kernel {size}",
                               1.0) for size in SIZES]


udp.seconds, udp.rounds = 0.7, 5
