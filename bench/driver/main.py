# SPDX-License-Identifier: BSD-2-Clause
"""The command line of bench/run."""
import argparse
import os
import subprocess
import sys

import benches
import measure
import plot
import report
import sandbox

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SOURCE_BYTES = 1 << 30


class Bench:
    """What a benchmark gets: options, network, source, programs."""

    def __init__(self, options, build, scratch, outer_proc):
        self.options = options
        self.build = build
        self.scratch = scratch
        self.softirq = measure.SoftirqThreads(outer_proc)
        self.machine = measure.machine()
        self.progress = report.progress
        self.network = None
        self.source_fd = None

    def need_network(self):
        self.network = sandbox.Network()

    def need_source(self, count=SOURCE_BYTES):
        report.progress("filling the source")
        self.source_fd = measure.fill_source(count)

    def program(self, name):
        return os.path.join(self.build, "bench", name)


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="bench/run", description="Measure Towpath beside its peers.")
    parser.add_argument("name", choices=[*benches.ALL, "plot"])
    parser.add_argument("--seconds", type=float, metavar="S",
                        help="length of each measurement")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="measurements of each row")
    parser.add_argument("--json", metavar="FILE",
                        help="write the result there too")
    parser.add_argument("--only", metavar="TEXT",
                        help="only rows with TEXT in their name; no verdicts")
    options = parser.parse_args(arguments)
    for name in ("seconds", "rounds"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            parser.error(f"--{name} must be above 0")
    return options


def make(build):
    deps = subprocess.run(["bash", "-c", ". scripts/deps.sh && "
                           "deps_install build bench"], cwd=TOP)
    if deps.returncode != 0:
        sys.exit(1)
    command = ["make", "-s", "-C", TOP, "CONF=release", "bench"]
    if "BUILD" in os.environ:
        command.append(f"BUILD={build}")
    command += os.environ.get("BENCH_MAKE", "").split()
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode != 0:
        sys.exit("bench/run: the build failed; `make bench` says more")


def results_folder(build):
    return os.path.join(build, "bench", "results")


def measure_one(options, build):
    result_paths = []
    if not options.only:
        result_paths.append(os.path.join(results_folder(build),
                                         options.name + ".json"))
    if options.json:
        result_paths.append(os.path.abspath(options.json))
    run = benches.ALL[options.name]
    options.seconds = options.seconds or run.seconds
    options.rounds = options.rounds or run.rounds
    make(build)
    scratch = os.path.join(build, "bench", "scratch")
    outer_proc = sandbox.enter(scratch)
    bench = Bench(options, build, scratch, outer_proc)
    result = report.Result(options.name, options, bench.machine)
    run(bench, result)
    if options.only:
        result.targets = []
    report.print_result(result)
    report.save(result, result_paths)
    return 0


def main(arguments):
    options = parse(arguments)
    build = os.path.abspath(os.environ.get(
        "BUILD", os.path.join(TOP, "build", "release")))
    try:
        if options.name == "plot":
            return plot.plot(results_folder(build),
                             os.path.join(TOP, "docs", "bench"))
        return measure_one(options, build)
    except KeyboardInterrupt:
        report.progress("")
        return 130
    except (OSError, RuntimeError, measure.Failed) as error:
        sys.exit(f"bench/run: {error}")
