# SPDX-License-Identifier: BSD-2-Clause
"""disk: a file of 1 GiB is uploaded, by HTTP and by FTP, to memory and to disk.

    near                                      far
    curl  -- tap with queues  -- tow serve
    curl  == veth ==================== nginx (dav), vsftpd

A sample is one upload by curl. Its rate is what the client sees; after that
the file is made durable, and the second rate has that in it. CPU is that of
client, server and the kernel's own threads, because what went to the page
cache is written back by those. The file is compared by its length.
"""
import json
import os
import shutil
import signal
import subprocess
import time

import measure
import sandbox
from bench_http import CPU_PEER, CPU_TESTED, TICK_NS, children_cpu_ns, client
from measure import Failed, Row
from report import Target

FILE_BYTES = 1 << 30
HTTP_PORT, FTP_PORT = 8080, 2121
TAP = f"tap:name={sandbox.PLACE_TAP}"
PEERS = ("tow PUT", "nginx PUT", "tow STOR", "vsftpd STOR")
THREADS = ("kworker/", "ksoftirqd/", "jbd2/", "kswapd")


class KernelThreads(measure.SoftirqThreads):
    """CPU time of what the kernel does for everybody; they come and go."""

    def cpu_ns(self):
        self.pids = [pid for pid in os.listdir(self.proc) if pid.isdigit() and
                     self.read(pid, "comm").startswith(THREADS)]
        return super().cpu_ns()


def fill(bench, name, **words):
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(os.path.join(here, "peers", name)) as file:
        text = file.read()
    for word, value in words.items():
        text = text.replace(f"@{word}@", str(value))
    path = os.path.join(bench.scratch, name)
    sandbox.write(path, text)
    return path


def find(name):
    path = shutil.which(name) or f"/usr/sbin/{name}"
    if not os.access(path, os.X_OK):
        raise Failed(f"{name}: not there")
    return path


def tow(bench, root, ftp):
    command = [os.path.join(bench.build, "tow"), "serve", root, "--writable",
               "--dev", TAP, "--addr", f"{sandbox.PLACE_STACK}/24", "--peer",
               f"{sandbox.PLACE_NEAR}/24", "--port", str(HTTP_PORT),
               "--quiet", "--stats", stats_path(bench)]
    if ftp:
        usage = subprocess.run([command[0], "serve", "--help"], text=True,
                               stdout=subprocess.PIPE)
        if "--ftp" not in usage.stdout:
            raise Failed("tow serve has no --ftp")
        command += ["--ftp", str(FTP_PORT)]
    return bench.network.near, sandbox.PLACE_STACK, command


def nginx(bench, root):
    path = fill(bench, "nginx_put.conf", DIR=bench.scratch, ROOT=root,
                ADDRESS=sandbox.VETH_FAR, PORT=HTTP_PORT)
    return bench.network.far, sandbox.VETH_FAR, [
        find("nginx"), "-e", os.path.join(bench.scratch, "nginx.error"),
        "-c", path]


def vsftpd(bench, root):
    os.makedirs(os.path.join(bench.scratch, "empty"), exist_ok=True)
    path = fill(bench, "vsftpd.conf", DIR=bench.scratch, ROOT=root,
                ADDRESS=sandbox.VETH_FAR, PORT=FTP_PORT)
    return bench.network.far, sandbox.VETH_FAR, [find("vsftpd"), path]


def stats_path(bench):
    return os.path.join(bench.scratch, "stats.json")


class Server:
    """A server, with the CPU time of all that it started and waited for."""

    def __init__(self, bench, namespace, command, port):
        def prepare():
            sandbox.libc.prctl(sandbox.PR_SET_PDEATHSIG, signal.SIGKILL,
                               0, 0, 0)
            namespace.join()
            os.sched_setaffinity(0, {CPU_TESTED})

        self.log = open(os.path.join(bench.scratch, "server.log"), "w+")
        self.process = subprocess.Popen(command, preexec_fn=prepare,
                                        stdout=self.log, stderr=self.log)
        self.port = port

    def await_answer(self, bench, address):
        for _ in range(100):
            done = bench.network.near.run(
                "curl", "-s", "-m", "1", "-o", "/dev/null", "-w",
                "%{num_connects}",
                f"telnet://{address}:{self.port}", check_result=False)
            if done.strip() == "1":
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.log.seek(0)
        text = self.log.read().strip().splitlines()
        raise Failed("server does not answer: " + (text or ["?"])[-1])

    def cpu_ns(self):
        """Of all that descend from it: a session may outlive its upload."""
        pids, ticks = [self.process.pid], 0
        for pid in pids:
            try:
                with open(f"/proc/{pid}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                with open(f"/proc/{pid}/task/{pid}/children") as file:
                    pids += map(int, file.read().split())
            except OSError:
                continue  # its parent has its time now
            ticks += sum(map(int, fields[11:15]))
        return ticks * TICK_NS

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def make_durable(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def shares(bench):
    """Which share of what came was placed, lent, copied: by the ledger."""
    try:
        with open(stats_path(bench)) as file:
            found = json.load(file)["ledger"]["rx"]
    except OSError:
        return {}
    copied = sum(found["copied_bytes"].values())
    total = found.get("placed_bytes", 0) + found["lent_bytes"] + copied
    if not total:
        return {}
    return {"placed": found.get("placed_bytes", 0) / total,
            "lent": found["lent_bytes"] / total, "copied": copied / total,
            **{f"copied_{why}": count / total
               for why, count in found["copied_bytes"].items() if count}}


def upload(bench, url, path, threads, server):
    before = children_cpu_ns(), server.cpu_ns(), threads.cpu_ns()
    began = time.monotonic()
    client(bench, ["curl", "-sSf", "-m", "120", "-o", "/dev/null", "-T",
                   os.path.join(bench.scratch, "source"), url])
    seconds = time.monotonic() - began
    if os.stat(path).st_size != FILE_BYTES:
        raise Failed("the file is not as long as it was")
    make_durable(path)
    durable = time.monotonic() - began
    after = children_cpu_ns(), server.cpu_ns(), threads.cpu_ns()
    peer, own, kernel = (b - a for a, b in zip(before, after))
    return {
        "gbps": FILE_BYTES * 8 / seconds / 1e9,
        "durable_gbps": FILE_BYTES * 8 / durable / 1e9,
        "cpu_ns_per_kib": measure.per_kib(peer + own + kernel, FILE_BYTES),
        "server_ns_per_kib": measure.per_kib(own + kernel, FILE_BYTES),
    }


def take(bench, threads, peer, root):
    folder = os.path.join(root, "in")
    path = os.path.join(folder, "file")
    make_durable(folder)
    ftp = peer.endswith("STOR")
    start = vsftpd if peer.startswith("vsftpd") else nginx
    namespace, address, command = tow(bench, root, ftp) \
        if peer.startswith("tow") else start(bench, root)
    port = FTP_PORT if ftp else HTTP_PORT
    server = Server(bench, namespace, command, port)
    try:
        server.await_answer(bench, address)
        scheme = "ftp" if ftp else "http"
        sample = upload(bench, f"{scheme}://{address}:{port}/in/file", path,
                        threads, server)
    finally:
        server.stop()
        if os.path.exists(path):
            os.unlink(path)
    if peer.startswith("tow"):
        sample.update(shares(bench))
    return sample


def make_source(bench):
    block = os.urandom(1 << 20)
    with open(os.path.join(bench.scratch, "source"), "wb") as file:
        for _ in range(FILE_BYTES >> 20):
            file.write(block)


def make_root(path):
    os.makedirs(os.path.join(path, "in"), exist_ok=True)
    os.chmod(path, 0o755)
    os.chmod(os.path.join(path, "in"), 0o777)
    return path


def compare(rows, one, other, key, want):
    """Rates: ours over theirs; CPU: theirs over ours.

    The durable rates: our server answers when the file is on the disk, the
    others when it is in the page cache.
    """
    ours, theirs = rows.get(one), rows.get(other)
    value = None
    if ours and theirs and ours.samples and theirs.samples:
        value = measure.ratio(ours, theirs, key) if key == "durable_gbps" \
            else measure.ratio(theirs, ours, key)
    text = f"durable: {one} / {other}" if key == "durable_gbps" \
        else f"CPU per byte of server and kernel: {other} / {one}"
    return Target(text, value, want)


def targets(rows):
    found = []
    for place in ("disk", "tmpfs"):
        cpu = 1.5 if place == "disk" else 1.0
        for ours, theirs in (("tow STOR", "vsftpd STOR"),
                             ("tow PUT", "vsftpd STOR"),
                             ("tow PUT", "nginx PUT")):
            pair = rows, f"{ours}, {place}", f"{theirs}, {place}"
            found.append(compare(*pair, "server_ns_per_kib", cpu))
            found.append(compare(*pair, "durable_gbps", 1.0))
    return found


def disk(bench, result):
    bench.need_network()
    bench.progress("filling the source")
    make_source(bench)
    beside = os.path.join(os.path.dirname(bench.scratch), "disk")
    roots = {"tmpfs": make_root(os.path.join(bench.scratch, "www")),
             "disk": make_root(beside)}
    threads = KernelThreads(bench.softirq.proc)
    cases = {f"{peer}, {place}": (peer, roots[place])
             for place in roots for peer in PEERS}
    names = [n for n in cases
             if not bench.options.only or bench.options.only in n]
    result.rows = [Row(name) for name in names]
    try:
        measure.take_rounds(
            result.rows,
            lambda row: take(bench, threads, *cases[row.name]),
            bench.options.rounds, bench.progress)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    rows = {row.name: row for row in result.rows}
    result.groups = [(f"1 GiB to {'memory' if place == 'tmpfs' else 'disk'}",
                      [rows[n] for n in names if n.endswith(place)])
                     for place in roots]
    result.groups = [group for group in result.groups if group[1]]
    result.targets = targets(rows)


disk.seconds, disk.rounds = 1, 5
