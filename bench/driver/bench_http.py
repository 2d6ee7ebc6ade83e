# SPDX-License-Identifier: BSD-2-Clause
"""http: `tow serve` beside Debian's nginx, under wrk and curl.

    near                                      far
    wrk, curl  -- tap  -- tow serve
    wrk, curl  == veth ==================== nginx (sendfile)

The server has one core and the client the other; nginx has one worker, which
is what one stack is. The row nginx-2 has two workers on both cores, for
those who would run it so. Files lie in memory (tmpfs).
"""
import os
import re
import resource
import shutil
import signal
import subprocess
import time

import measure
import sandbox
from bench_tcp import TAP_SPEC, compare
from measure import CPU_PEER, CPU_TESTED, Failed, Row

PORT = 8080
TICK_NS = 1000000000 // os.sysconf("SC_CLK_TCK")
FILES = (("1 KiB", "1k", 1 << 10), ("100 KiB", "100k", 100 << 10),
         ("1 GiB", "1g", 1 << 30))
CONNECTIONS = (1, 64, 1000)


class Server:
    """A server process (and its children) for one measurement."""

    def __init__(self, bench, namespace, cpus, command, address):
        def prepare():
            sandbox.libc.prctl(sandbox.PR_SET_PDEATHSIG, signal.SIGKILL,
                               0, 0, 0)
            namespace.join()
            if cpus:
                os.sched_setaffinity(0, cpus)

        if not shutil.which(command[0]):
            raise Failed(f"{os.path.basename(command[0])}: not there")
        self.log = open(os.path.join(bench.scratch, "server.log"), "w+")
        self.process = subprocess.Popen(command, preexec_fn=prepare,
                                        stdout=self.log, stderr=self.log)
        self.url = f"http://{address}:{PORT}"
        self.await_answer(bench)

    def await_answer(self, bench):
        for _ in range(100):
            if self.answers(bench):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.log.seek(0)
        text = self.log.read().strip().splitlines()
        self.stop()
        raise Failed("server does not answer: " + (text or ["?"])[-1])

    def answers(self, bench):
        code = bench.network.near.run(
            "curl", "-s", "-m", "1", "-o", "/dev/null", "-w", "%{http_code}",
            self.url + "/1k", check_result=False)
        return code == "200"

    def pids(self):
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [pid, *map(int, file.read().split())]

    def cpu_ns(self):
        ticks = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks * TICK_NS

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def tow_server(*more):
    def start(bench):
        return Server(
            bench, bench.network.near, {CPU_TESTED},
            [os.path.join(bench.build, "tow"), "serve",
             os.path.join(bench.scratch, "www"), "--dev", TAP_SPEC, "--addr",
             f"{sandbox.STACK}/24", "--peer", f"{sandbox.NEAR}/24", "--port",
             str(PORT), "--quiet", *more], sandbox.STACK)
    return start


def nginx_server(workers):
    def start(bench):
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        with open(os.path.join(here, "peers", "nginx.conf")) as file:
            text = file.read()
        for word, value in (
                ("MASTER", "on" if workers > 1 else "off"),
                ("WORKERS", workers), ("DIR", bench.scratch),
                ("LISTEN", f"{sandbox.VETH_FAR}:{PORT}"),
                ("ROOT", os.path.join(bench.scratch, "www"))):
            text = text.replace(f"@{word}@", str(value))
        path = os.path.join(bench.scratch, "nginx.conf")
        sandbox.write(path, text)
        return Server(bench, bench.network.far,
                      {CPU_TESTED} if workers == 1 else None,
                      [shutil.which("nginx") or "/usr/sbin/nginx",
                       "-e", os.path.join(bench.scratch, "nginx.error"),
                       "-c", path], sandbox.VETH_FAR)
    return start


SERVERS = (
    ("tow", tow_server()),
    ("tow --copy", tow_server("--copy")),
    ("nginx", nginx_server(1)),
    ("nginx-2", nginx_server(2)),
)


def children_cpu_ns():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def client(bench, command):
    def prepare():
        sandbox.libc.prctl(sandbox.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        bench.network.near.join()
        os.sched_setaffinity(0, {CPU_PEER % os.cpu_count()})

    if not shutil.which(command[0]):
        raise Failed(f"{command[0]}: not there")
    try:
        done = subprocess.run(command, preexec_fn=prepare, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=bench.options.seconds * 4 + 60)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]}: does not end")
    if done.returncode != 0:
        raise Failed(f"{command[0]}: exit {done.returncode} "
                     f"{done.stderr.strip()}")
    return done.stdout


UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def wrk(bench, url, connections, headers=()):
    text = client(bench, [
        "wrk", "-t1", f"-c{connections}", f"-d{bench.options.seconds:g}s",
        "--timeout", "10s", *headers, url])
    requests = float(re.search(r"Requests/sec:\s*([\d.]+)", text).group(1))
    amount, unit = re.search(r"Transfer/sec:\s*([\d.]+)([KMG]?)B",
                             text).groups()
    span = re.search(r"requests in ([\d.]+)(ms|s|m)", text)
    seconds = float(span.group(1)) * {"ms": 1e-3, "s": 1, "m": 60}[
        span.group(2)]
    bad = sum(int(n) for line in re.findall(
        r"(?:Socket errors|Non-2xx)(.*)", text)
        for n in re.findall(r"\d+", line.replace("2xx or 3xx", "")))
    return {"bytes": float(amount) * UNITS[unit] * seconds,
            "requests": requests * seconds, "seconds": seconds,
            "client_errors": bad}


def curl(bench, url):
    text = client(bench, ["curl", "-s", "-o", "/dev/null", "-w",
                          "%{size_download} %{time_total}", url])
    size, seconds = map(float, text.split())
    return {"bytes": size, "requests": 1, "seconds": seconds,
            "client_errors": 0}


def sample_of(bench, start, load):
    server = start(bench)
    try:
        client_ns, server_ns = children_cpu_ns(), server.cpu_ns()
        done = load(bench, server.url)
        client_ns = children_cpu_ns() - client_ns
        server_ns = server.cpu_ns() - server_ns
    finally:
        server.stop()
    requests = max(done["requests"], 1e-9)
    return {
        "gbps": done["bytes"] * 8 / done["seconds"] / 1e9,
        "rps": done["requests"] / done["seconds"],
        "cpu_ns_per_kib": measure.per_kib(client_ns + server_ns,
                                          done["bytes"]),
        "server_ns_per_kib": measure.per_kib(server_ns, done["bytes"]),
        "cpu_us_per_request": (client_ns + server_ns) / requests / 1e3,
        "server_us_per_request": server_ns / requests / 1e3,
        "client_errors": done["client_errors"],
    }


def loads():
    """(title, key, small, load) of every group of rows."""
    for words, path, count in FILES:
        for connections in CONNECTIONS:
            def load(bench, url, path=path, connections=connections):
                return wrk(bench, f"{url}/{path}", connections)
            yield (f"{words}, {connections} connections (wrk)",
                   f"{path}/{connections}", count < 1 << 16, load)
    yield ("1 GiB, one download (curl)", "1g/curl", False,
           lambda bench, url: curl(bench, url + "/1g"))
    yield ("bad case: 1 KiB, a connection for each request, 64 at a time",
           "1k/close", True,
           lambda bench, url: wrk(bench, url + "/1k", 64,
                                  ("-H", "Connection: close")))


def make_files(bench):
    root = os.path.join(bench.scratch, "www")
    os.mkdir(root)
    block = os.urandom(1 << 20)
    for _, name, count in FILES:
        with open(os.path.join(root, name), "wb") as file:
            for at in range(0, count, len(block)):
                file.write(block[:min(len(block), count - at)])


def allow_descriptors(count):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        count = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def http(bench, result):
    bench.need_network()
    bench.progress("making files")
    make_files(bench)
    allow_descriptors(8192)
    samples, result.groups, by_name = {}, [], {}
    only = bench.options.only
    for title, key, small, load in loads():
        rows = []
        for name, start in SERVERS:
            full = f"{name} {key}"
            if only and only not in full:
                continue
            samples[full] = (start, load)
            rows.append(Row(full, bad=key == "1k/close"))
        by_name.update({row.name: row for row in rows})
        result.rows += rows
        if rows:
            result.groups.append((title, rows))
    measure.take_rounds(result.rows,
                        lambda row: sample_of(bench, *samples[row.name]),
                        bench.options.rounds, bench.progress)
    for title, key, small, _ in loads():
        result.targets.append(compare(
            by_name, f"tow {key}", f"nginx {key}", 0.8 if small else 1.0,
            "rps" if small else "gbps"))


http.seconds, http.rounds = 2, 3
