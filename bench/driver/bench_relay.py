# SPDX-License-Identifier: BSD-2-Clause
"""relay: one TCP flow through a relay, kernel to kernel, and by memory.

    near                       near (same)         far
    sendfile() -- tow0 -- tow relay -- tow1 -- sink
    sendfile() == near0 ==================== far0 -+- splice, socat, haproxy
    sink       == near1 ==================== far1 -'

    a stack of ours -- shm -- tow relay -- shm -- a stack of ours

The relay has one core; both ends share the other. The relay's CPU time is that
of its process: with the kernel's sockets that is also what is received in the
softirqs that its own sending raises, as on a tap. The row's CPU is of all
three programs together.

What a byte pays for inside of the relay's process, as copies:

                        tap, passed   tap, --copy   shm, passed   shm, --copy
    device to stack     readv(2)      readv(2)      -             -
    stack to program    -             recv          -             recv
    program to stack    -             send          -             send
    stack to device     writev(2)     writev(2)     tx.shape      tx.shape

The last line of shm is there because the server has mapped the relay's memory
and not the client's. The ends cost nothing there that is not the stack's: the
client lends out of its arena, the server looks at the bytes and returns them.
No end spins, so that CPU time is what the bytes take.
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
from bench_tcp import PORT, TAP_SPEC, common, compare, kernel
from measure import CPU_PEER, CPU_TESTED, Failed, Program, Row

TAP_TARGET = "10.79.0.1"
TAP_SECOND = "10.79.0.2"
VETH_TARGET = "10.80.0.1"
VETH_SECOND = "10.80.0.2"
SHM_NEAR = ("10.81.0.1", "10.81.0.2")  # client, relay
SHM_FAR = ("10.82.0.1", "10.82.0.2")   # relay, server
SHM_ARENA = 1 << 30                    # the client's: cold, as the source is
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
        """The second signal is for connections whose ends are gone by now."""
        for end in (self.process.terminate, self.process.terminate,
                    self.process.kill):
            end()
            try:
                self.process.wait(1)
                break
            except subprocess.TimeoutExpired:
                continue
        self.log.close()


def kernel_ends(bench, where, target):
    """What makes a receiver at @target and a sender to @where."""
    return (lambda: kernel(bench, bench.network.near, CPU_PEER, "sink",
                           target),
            lambda: kernel(bench, bench.network.near, CPU_PEER, "sendfile",
                           where))


def start_tow(bench, *more):
    stats = os.path.join(bench.scratch, "relay.json")
    relay = Relay(bench, bench.network.near, [
        os.path.join(bench.build, "tow"), "relay", "--quiet", "--stats",
        stats, *more])
    relay.wait_listening("Relaying")
    return relay, stats


def tow(*more):
    def start(bench):
        relay, stats = start_tow(
            bench, "--dev", TAP_SPEC,
            "--addr", f"{sandbox.STACK}/24", "--peer", f"{sandbox.NEAR}/24",
            "--dev", "tap:name=tow1",
            "--addr", f"{TAP_SECOND}/24",
            "--peer", f"{TAP_TARGET}/24",
            *more, str(PORT), f"{TAP_TARGET}:{PORT}")
        return relay, *kernel_ends(bench, sandbox.STACK, TAP_TARGET), stats
    return start


def shm_spec(bench, side, role, arena=0):
    path = os.path.join(bench.scratch, f"relay-{side}.sock")
    return f"shm:path={path},role={role},arena={arena},spin=0" + \
        (",stay=on" if role == "listen" else "")


def shm_end(bench, side, program, local, peer, arena, *more):
    return Program(bench.network.near, CPU_PEER,
                   [bench.program(program), *more, "--dev",
                    shm_spec(bench, side, "connect", arena), "--local",
                    f"{local}/24", "--addr", peer, "--source",
                    str(bench.source_fd), *common(bench)],
                   fds=[bench.source_fd])


def tow_by_shm(*more):
    def start(bench):
        relay, stats = start_tow(
            bench, "--dev", shm_spec(bench, "near", "listen"),
            "--addr", f"{SHM_NEAR[1]}/24",
            "--dev", shm_spec(bench, "far", "listen"),
            "--addr", f"{SHM_FAR[0]}/24",
            *more, str(PORT), f"{SHM_FAR[1]}:{PORT}")
        return (relay,
                lambda: shm_end(bench, "far", "tow_rx", SHM_FAR[1],
                                SHM_FAR[0], 0, "borrow"),
                lambda: shm_end(bench, "near", "tow_shm", SHM_NEAR[0],
                                SHM_NEAR[1], SHM_ARENA, "lend", "--block",
                                str(1 << 20), "--queue", str(16 << 20)),
                stats)
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
        return relay, *kernel_ends(bench, sandbox.VETH_FAR,
                                   VETH_TARGET), None
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
    ("tow relay, shm", tow_by_shm()),
    ("tow relay --copy, shm", tow_by_shm("--copy")),
)


def shares(path, count):
    """What the ledger of `tow relay` says about the bytes."""
    with open(path) as file:
        ledger = json.load(file)["ledger"]
    copied = {f"{side}.{why}": n for side in ("tx", "rx")
              for why, n in ledger[side]["copied_bytes"].items() if n}
    return ledger["tx"]["passed_bytes"] / count, copied


def sample_of(bench, row, start):
    relay, receiver, sender, stats = start(bench)
    try:
        before = relay.cpu_ns()
        sample = measure.stream_pair(bench, receiver, sender,
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
        compare(rows, "tow relay --copy, shm", "tow relay, shm", 3.0, key,
                "CPU per byte of the relay, shm: --copy / passed"),
        compare(rows, "splice", "tow relay", 1.0, key,
                "CPU per byte of the relay: splice / tow relay"),
        compare(rows, "tow relay", "splice", 1.0),
    ]
    for name in rows:
        if rows[name].values("passed"):
            result.notes.append(
                f"{name}: {rows[name].median('passed'):.1%} of the bytes "
                f"were passed; copied: {rows[name].extra['copied_bytes']}")


relay.seconds, relay.rounds = 1.5, 5
