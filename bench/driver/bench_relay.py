# SPDX-License-Identifier: BSD-2-Clause
"""relay: one TCP flow through a relay, kernel to kernel.

    near                       near (same)         far
    sendfile() -- tow0 -- tow relay -- tow1 -- sink
    sendfile() == near0 ==================== far0 -+- splice, socat, haproxy
    sink       == near1 ==================== far1 -'

The relay has one core; both ends share the other. The relay's CPU time is that
of its process: with the kernel's sockets that is also what is received in the
softirqs that its own sending raises, as on a tap. The row's CPU is of all
three programs together.
"""
import glob
import json
import os
import shutil
import signal
import subprocess
import time

import measure
import sandbox
from bench_tcp import PORT, TAP_SPEC, compare, kernel
from measure import CPU_PEER, CPU_TESTED, Failed, Row

TAP_TARGET = "10.79.0.1"
TAP_SECOND = "10.79.0.2"
VETH_TARGET = "10.80.0.1"
VETH_SECOND = "10.80.0.2"
TICK_NS = 1000000000 // os.sysconf("SC_CLK_TCK")


class Relay:
    """A relay process and its children, for one measurement."""

    def __init__(self, bench, namespace, command):
        def prepare():
            sandbox.libc.prctl(sandbox.PR_SET_PDEATHSIG, signal.SIGKILL,
                               0, 0, 0)
            namespace.join()
            os.sched_setaffinity(0, {CPU_TESTED})

        self.name = os.path.basename(command[0])
        program = shutil.which(command[0]) or f"/usr/sbin/{command[0]}"
        if not os.access(program, os.X_OK):
            raise Failed(f"{self.name}: not there")
        self.namespace = namespace
        self.log = open(os.path.join(bench.scratch, "relay.log"), "w+")
        self.process = subprocess.Popen([program, *command[1:]],
                                        preexec_fn=prepare, stdout=self.log,
                                        stderr=self.log)

    def wait_listening(self, says=None):
        for _ in range(200):
            if self.process.poll() is not None:
                break
            if says:
                with open(self.log.name) as file:
                    if says in file.read():
                        return
            elif f":{PORT}" in self.namespace.run("ss", "-Htln"):
                return
            time.sleep(0.02)
        self.log.seek(0)
        text = self.log.read().strip().splitlines()
        self.stop()
        raise Failed(f"{self.name}: {(text or ['does not listen'])[-1]}")

    def pids(self):
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [pid, *map(int, file.read().split())]

    def cpu_ns(self):
        """Of all threads of all its processes, also of those that ended."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total = (int(fields[13]) + int(fields[14])) * TICK_NS
        for pid in self.pids():
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                with open(path) as file:
                    total += int(file.read().split()[0])
        return total

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def tow(*more):
    def start(bench):
        stats = os.path.join(bench.scratch, "relay.json")
        relay = Relay(bench, bench.network.near, [
            os.path.join(bench.build, "tow"), "relay", "--quiet",
            "--stats", stats, "--dev", TAP_SPEC,
            "--addr", f"{sandbox.STACK}/24", "--peer", f"{sandbox.NEAR}/24",
            "--dev", "tap:name=tow1",
            "--addr", f"{TAP_SECOND}/24",
            "--peer", f"{TAP_TARGET}/24",
            *more, str(PORT), f"{TAP_TARGET}:{PORT}"])
        relay.wait_listening("Relaying")
        return relay, sandbox.STACK, TAP_TARGET, stats
    return start


def in_kernel(*command):
    """A relay on the kernel's sockets; its addresses are filled in."""
    def start(bench):
        words = {"HERE": sandbox.VETH_FAR, "THERE": VETH_TARGET,
                 "PORT": str(PORT), "BUILD": bench.build,
                 "SCRATCH": bench.scratch}

        def filled(text):
            for word, value in words.items():
                text = text.replace(f"@{word}@", value)
            return text

        sandbox.write(os.path.join(bench.scratch, "haproxy.cfg"),
                      filled(HAPROXY))
        relay = Relay(bench, bench.network.far, [filled(c) for c in command])
        relay.wait_listening()
        return relay, sandbox.VETH_FAR, VETH_TARGET, None
    return start


HAPROXY = """\
global
    nbthread 1
    maxconn 1000
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option splice-auto
listen relay
    bind @HERE@:@PORT@
    server target @THERE@:@PORT@
"""

ROWS = (
    ("tow relay", tow()),
    ("tow relay --copy", tow("--copy")),
    ("splice", in_kernel("@BUILD@/bench/peers/splice_relay", "@HERE@",
                         "@PORT@", "@THERE@", "@PORT@")),
    ("socat", in_kernel("socat", "-b262144",
                        "TCP4-LISTEN:@PORT@,bind=@HERE@,reuseaddr,fork,nodelay",
                        "TCP4:@THERE@:@PORT@,nodelay")),
    ("haproxy", in_kernel("haproxy", "-db", "-f", "@SCRATCH@/haproxy.cfg")),
)


def shares(path, count):
    """What the ledger of `tow relay` says about the bytes."""
    with open(path) as file:
        ledger = json.load(file)["ledger"]
    copied = {f"{side}.{why}": n for side in ("tx", "rx")
              for why, n in ledger[side]["copied_bytes"].items() if n}
    return ledger["tx"]["passed_bytes"] / count, copied


def sample_of(bench, row, start):
    relay, where, target, stats = start(bench)
    try:
        before = relay.cpu_ns()
        sample = measure.stream_pair(
            bench,
            lambda: kernel(bench, bench.network.near, CPU_PEER, "sink",
                           target),
            lambda: kernel(bench, bench.network.near, CPU_PEER, "sendfile",
                           where),
            bench.options.seconds)
        time.sleep(0.05)  # until the child of a relay that forks is reaped
        cpu_ns = relay.cpu_ns() - before
    finally:
        relay.stop()
    count = sample["received"]["bytes_all"]
    sample["relay_ns_per_kib"] = measure.per_kib(cpu_ns, count)
    sample["cpu_ns_per_kib"] += sample["relay_ns_per_kib"]
    if stats:
        sample["passed"], row.extra["copied_bytes"] = shares(stats, count)
    return sample


def make_second_veth(network):
    near, far = network.near, network.far
    near.ip("link add near1 type veth peer name far1")
    subprocess.run(["ip", "link", "set", "far1", "netns",
                    f"/proc/self/fd/{far.fd}"], check=True,
                   pass_fds=[far.fd])
    for space, name, address in ((near, "near1", VETH_TARGET),
                                 (far, "far1", VETH_SECOND)):
        space.ip(f"addr add {address}/24 dev {name}")
        space.ip(f"link set {name} up")
        space.ip(f"route replace 10.80.0.0/24 dev {name} congctl cubic")


def relay(bench, result):
    bench.need_network()
    make_second_veth(bench.network)
    bench.need_source()
    starts = dict(ROWS)
    result.title = "one flow through a relay, from the kernel to the kernel"
    result.rows = [Row(name) for name, _ in ROWS
                   if (bench.options.only or "") in name]
    measure.take_rounds(result.rows,
                        lambda row: sample_of(bench, row, starts[row.name]),
                        bench.options.rounds, bench.progress)
    rows = {row.name: row for row in result.rows}
    key = "relay_ns_per_kib"
    result.targets = [
        compare(rows, "tow relay --copy", "tow relay", 3.0, key,
                "CPU per byte of the relay: tow relay --copy / tow relay"),
        compare(rows, "splice", "tow relay", 1.0, key,
                "CPU per byte of the relay: splice / tow relay"),
        compare(rows, "tow relay", "splice", 1.0),
    ]
    for name in ("tow relay", "tow relay --copy"):
        if name in rows and rows[name].values("passed"):
            result.notes.append(
                f"{name}: {rows[name].median('passed'):.1%} of the bytes "
                f"were passed; copied: {rows[name].extra['copied_bytes']}")


relay.seconds, relay.rounds = 1.5, 5
