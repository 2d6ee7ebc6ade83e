# SPDX-License-Identifier: BSD-2-Clause
"""interop: goodput with the kernel at the other end, over the same bad wire.

bench/wire.c carries the frames of all rows: the same rate, queue, delay and,
in a round, the same losses, of packets, in both directions. What differs is who
sends and who receives. So a row beside that of kernel to kernel says how well
losses are recovered from, and nothing about speed: the rate is far below what
any of the ends can do.
"""
import signal

import measure
import sandbox
from bench_tcp import compare
from measure import CPU_PEER, CPU_TESTED, Failed, Program, Row

PORT = 7003
LOSSES = ("0", "0.1", "1", "5")  # per cent
CONTROLLERS = ("cubic", "bbr")
ENDS = (("kernel", "kernel"), ("tow", "kernel"), ("kernel", "tow"))
RATE_MBIT = 100
DELAY_MS = 5     # each way
QUEUE_KIB = 128  # what is on the way at that rate and delay
WARM_S = 1       # slow start is not in the figures
BLOCK = ("--block", str(64 << 10))
QUEUE = ("--queue", str(512 << 10))  # twice what can be on the way
SPEC = f"tap:name={sandbox.WIRE_TAP},offloads=off"
WANTED = 0.9


def name_of(sender, receiver, controller, loss):
    return f"{sender} to {receiver}, {controller}, {loss} %"


class Wire:
    """bench/wire.c, from the end that sends to the end that receives.

    It goes before the ends, and they before all else on the machine: a wire
    that waits for a processor is one with another delay.
    """

    def __init__(self, bench, sender, receiver, loss, seed):
        faults = f"loss={loss}%,delay={DELAY_MS}ms"
        self.program = Program(
            bench.network.middle, None,
            [bench.program("wire"), "--rate", str(RATE_MBIT), "--queue",
             str(QUEUE_KIB), "--faults", faults, "--seed", str(seed),
             sandbox.WIRE_ENDS[sender], sandbox.WIRE_ENDS[receiver]],
            urgency=2)
        self.program.wait_ready()

    def end(self):
        self.program.process.send_signal(signal.SIGTERM)
        found = self.program.result(0)
        if found["overrun"]:
            raise Failed(f"wire: {found['overrun']} frames lost elsewhere")
        return found

    def stop(self):
        self.program.stop()


def program(bench, who, cpu, mode, local, peer, controller):
    """A sender, or the receiver when mode is "sink"."""
    sink = mode == "sink"
    common = ["--port", str(PORT), "--seconds", str(bench.options.seconds),
              "--warm", str(WARM_S), *BLOCK]
    if not sink:
        common += ["--source", str(bench.source_fd),
                   "--congestion", controller]
    if who.startswith("kernel"):
        return Program(bench.network.ends[who], cpu,
                       [bench.program("peers/kernel_tcp"),
                        "sink" if sink else "write", "--addr",
                        local if sink else peer, *common],
                       fds=[bench.source_fd], urgency=1)
    return Program(bench.network.middle, cpu,
                   [bench.program("tow_rx" if sink else "tow_tx"),
                    "borrow" if sink else "lend", "--dev", SPEC, "--local",
                    f"{local}/24", "--addr", peer, *common,
                    *([] if sink else QUEUE)],
                   fds=[bench.source_fd], urgency=1)


def take(bench, sender, receiver, controller, loss, seed):
    """Both kernels are different namespaces; a stack of ours is either end."""
    names = [f"{sender}-left" if sender == "kernel" else sender,
             f"{receiver}-right" if receiver == "kernel" else receiver]
    left, right = sandbox.WIRE_LEFT, sandbox.WIRE_RIGHT
    if sender == "kernel" and receiver == "tow":
        names[0], left, right = "kernel-right", right, left
    bench.network.forget()
    wire = Wire(bench, *names, loss, seed)
    try:
        sample = measure.stream_pair(
            bench,
            lambda: program(bench, names[1], CPU_PEER, "sink", right, left,
                            controller),
            lambda: program(bench, names[0], CPU_TESTED, "send", left, right,
                            controller),
            bench.options.seconds + WARM_S)
        found = wire.end()
    finally:
        wire.stop()
    there, sent = found["there"], sample["sent"]
    return {
        "mbps": sample["gbps"] * 1000,
        "dropped": there["dropped"] / max(there["frames"], 1),
        "resent": sent["retransmits"] / max(there["frames"], 1),
        "sent": sent, "received": sample["received"], "wire": found,
    }


def cases():
    for controller in CONTROLLERS:
        for loss in LOSSES:
            for sender, receiver in ENDS:
                yield sender, receiver, controller, loss


def targets(rows):
    return [compare(rows, name_of(*ends, controller, loss),
                    name_of("kernel", "kernel", controller, loss), WANTED,
                    "mbps")
            for controller in CONTROLLERS for loss in LOSSES
            for ends in ENDS[1:]]


def interop(bench, result):
    bench.network = sandbox.WireNetwork()
    bench.need_source(64 << 20)
    all_cases = {name_of(*case): case for case in cases()}
    names = [n for n in all_cases
             if not bench.options.only or bench.options.only in n]
    result.rows = [Row(name) for name in names]

    def sample(row):
        return take(bench, *all_cases[row.name],
                    seed=len(row.samples) + len(row.errors) + 1)

    measure.take_rounds(result.rows, sample, bench.options.rounds,
                        bench.progress)
    rows = {row.name: row for row in result.rows}
    result.groups = [
        (f"{controller}, {loss} % of the packets lost, each way",
         [rows[n] for n in names if all_cases[n][2:] == (controller, loss)])
        for controller in CONTROLLERS for loss in LOSSES]
    result.groups = [group for group in result.groups if group[1]]
    result.targets = targets(rows)


interop.seconds, interop.rounds = 10, 5
