# SPDX-License-Identifier: BSD-2-Clause
"""Start programs, read their meters, make figures of them."""
import ctypes
import json
import os
import re
import select
import signal
import statistics
import subprocess
import time

import sandbox

CPU_TESTED = 0  # the program whose row it is
CPU_PEER = 1    # the kernel's end


class Failed(Exception):
    pass


def be_urgent(urgency):
    """Before others on this machine, where that is permitted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(urgency))
    except PermissionError:
        pass


def rows_of(bench, name):
    """What a benchmark in the simulator, a program of its own, has found."""
    program = bench.program(name)
    if not os.access(program, os.X_OK):
        raise Failed(f"{name}: was not built")
    done = subprocess.run([program, "--json"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failed(f"{name}: exit {done.returncode} {done.stderr.strip()}")
    return json.loads(done.stdout)["rows"]


class Program:
    """A measuring program: "ready" when it listens, JSON when it is done."""

    def __init__(self, namespace, cpu, command, fds=(), urgency=0):
        def prepare():
            sandbox.libc.prctl(sandbox.PR_SET_PDEATHSIG, signal.SIGKILL,
                               0, 0, 0)
            namespace.join()
            if cpu is not None:
                os.sched_setaffinity(0, {cpu % os.cpu_count()})
            if urgency:
                be_urgent(urgency)

        self.name = os.path.basename(command[0])
        if not os.access(command[0], os.X_OK):
            raise Failed(f"{self.name}: was not built")
        self.process = subprocess.Popen(
            command, preexec_fn=prepare, pass_fds=list(fds),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def line(self, seconds):
        """The next line of its output, or Failed."""
        until = time.monotonic() + seconds
        text = b""
        fd = self.process.stdout.fileno()
        while not text.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                self.stop()
                raise Failed(f"{self.name}: no answer in {seconds:.0f} s")
            byte = os.read(fd, 1)
            if not byte:
                error = self.process.stderr.read().decode().strip()
                self.stop()
                raise Failed(f"{self.name}: {error or 'ended early'}")
            text += byte
        return text.decode().strip()

    def wait_ready(self):
        text = self.line(10)
        if text != "ready":
            raise Failed(f"{self.name}: said {text!r} instead of ready")

    def result(self, seconds):
        return json.loads(self.line(seconds + 20))

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class SoftirqThreads:
    """CPU time of ksoftirqd, which no process's rusage has in it."""

    def __init__(self, outer_proc):
        self.proc = outer_proc
        self.pids = [pid for pid in os.listdir(outer_proc)
                     if pid.isdigit() and
                     self.read(pid, "comm").startswith("ksoftirqd/")]

    def read(self, pid, name):
        try:
            fd = os.open(f"{pid}/{name}", os.O_RDONLY, dir_fd=self.proc)
        except OSError:
            return ""
        with os.fdopen(fd) as file:
            return file.read()

    def cpu_ns(self):
        return sum(int((self.read(pid, "schedstat") or "0").split()[0])
                   for pid in self.pids)


def per_kib(ns, count):
    return ns * 1024 / count if count else 0.0


def stream_pair(bench, receiver, sender, seconds):
    """Run a receiver and a sender to their end: one sample."""
    softirq_ns = bench.softirq.cpu_ns()
    programs = []
    try:
        programs.append(receiver())
        programs[0].wait_ready()
        programs.append(sender())
        sent = programs[1].result(seconds)
        received = programs[0].result(seconds)
    finally:
        for program in programs:
            program.stop()
    softirq_ns = bench.softirq.cpu_ns() - softirq_ns
    beside = per_kib(softirq_ns, received["bytes_all"])
    sender_cpu = per_kib(sent["cpu_ns"], sent["bytes"])
    receiver_cpu = per_kib(received["cpu_ns"], received["bytes"])
    return {
        "gbps": received["bytes"] * 8 / received["seconds"] / 1e9,
        "cpu_ns_per_kib": sender_cpu + receiver_cpu + beside,
        "sender_ns_per_kib": sender_cpu,
        "receiver_ns_per_kib": receiver_cpu,
        "sent": sent,
        "received": received,
    }


class Row:
    """What several rounds found about one peer."""

    def __init__(self, name, bad=False):
        self.name = name
        self.bad = bad      # a bad case: printed apart, without a target
        self.samples = []
        self.errors = []
        self.extra = {}

    def add(self, sample):
        self.samples.append(sample)

    def values(self, key):
        return [s[key] for s in self.samples if key in s]

    def median(self, key):
        values = self.values(key)
        return statistics.median(values) if values else None

    def as_json(self):
        row = {"name": self.name}
        for key in sorted({k for s in self.samples for k in s}):
            values = self.values(key)
            if not all(isinstance(v, (int, float)) for v in values):
                continue
            row[key] = round(statistics.median(values), 4)
            if key in ("gbps", "mbps", "cpu_ns_per_kib", "rps"):
                row[key + "_min"] = round(min(values), 4)
                row[key + "_max"] = round(max(values), 4)
        row.update(self.extra)
        if self.bad:
            row["bad_case"] = True
        if self.errors:
            row["errors"] = self.errors
        return row


def take_rounds(rows, measure, rounds, progress):
    """Measure each row once per round, each round beginning elsewhere."""
    for number in range(rounds):
        turn = rows[number % len(rows):] + rows[:number % len(rows)]
        for row in turn:
            progress(f"round {number + 1}/{rounds}: {row.name}")
            try:
                row.add(measure(row))
            except Failed as failure:
                row.errors.append(str(failure))
    progress("")


def ratio(numerator, denominator, key="gbps"):
    """Median of the rounds' own ratios: what drifts, drifts in both."""
    pairs = zip(numerator.values(key), denominator.values(key))
    ratios = [a / b for a, b in pairs if b]
    return statistics.median(ratios) if ratios else None


def machine():
    model = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read())
    return {
        "cpu": model.group(1) if model else os.uname().machine,
        "cores": os.cpu_count(),
        "kernel": re.match(r"[\d.]*", os.uname().release).group(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") *
                            os.sysconf("SC_PHYS_PAGES") / 2**30),
    }


def fill_source(count):
    """A memory file of noise, so that nothing can be shared or compressed."""
    fd = os.memfd_create("source")
    block = os.urandom(1 << 20)
    for _ in range(count >> 20):
        os.write(fd, block)
    os.set_inheritable(fd, True)
    return fd
