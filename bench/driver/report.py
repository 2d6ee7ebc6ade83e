# SPDX-License-Identifier: BSD-2-Clause
"""Tables for people, JSON for programs."""
import datetime
import json
import os
import sys


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K" + text)
        sys.stderr.flush()
    elif text:
        sys.stderr.write(text + "\n")


class Target:
    """A ratio that should be reached, or not exceeded."""

    def __init__(self, text, value, want, at_most=False):
        self.text = text
        self.value = value
        self.want = want
        self.at_most = at_most

    @property
    def met(self):
        if self.value is None:
            return False
        return self.value <= self.want if self.at_most \
            else self.value >= self.want

    def as_json(self):
        return {"text": self.text, "want": self.want, "met": self.met, "at_most": self.at_most,
                "value": None if self.value is None else round(self.value, 3)}


COLUMNS = (
    # key, heading, format, with spread
    ("gbps", "Gb/s", "{:.2f}", True),
    ("mbps", "Mb/s", "{:.2f}", True),
    ("durable_gbps", "durable", "{:.2f}", False),
    ("rps", "requests/s", "{:.0f}", True),
    ("mpps", "Mpps", "{:.3f}", False),
    ("cpu_ns_per_kib", "CPU ns/KiB", "{:.0f}", True),
    ("sender_ns_per_kib", "sender", "{:.0f}", False),
    ("receiver_ns_per_kib", "receiver", "{:.0f}", False),
    ("server_ns_per_kib", "server", "{:.0f}", False),
    ("cpu_us_per_request", "CPU us/request", "{:.1f}", True),
    ("server_us_per_request", "server", "{:.1f}", False),
    ("relay_ns_per_kib", "relay", "{:.0f}", True),
    ("passed", "passed", "{:.1%}", False),
    ("ns_per_segment", "ns/segment", "{:.0f}", True),
    ("bytes_per_connection", "bytes/connection", "{:.0f}", False),
    ("loss", "lost", "{:.1%}", False),
    ("used", "used", "{:.1%}", False),
    ("jain", "Jain", "{:.3f}", False),
    ("queue_ms", "queue ms", "{:.2f}", False),
    ("dropped", "queue full", "{:.2%}", False),
    ("resent", "sent again", "{:.2%}", False),
    ("recovery_ms", "recovery ms", "{:.0f}", False),
    ("timeouts", "timeouts", "{:.0f}", False),
    ("rtt_us", "round trip us", "{:.2f}", True),
    ("rtt99_us", "99 %", "{:.2f}", False),
    ("placed", "placed", "{:.1%}", False),
    ("lent", "lent", "{:.1%}", False),
    ("borrowed", "borrowed", "{:.1%}", False),
    ("copied", "copied", "{:.2%}", False),
)


def cells(row, columns):
    line = [row.name]
    for key, _, form, spread in columns:
        values = row.values(key)
        if not values:
            line.append("-")
            continue
        text = form.format(row.median(key))
        if spread and len(values) > 1:
            text += " [" + form.format(min(values)) + " .. " + \
                    form.format(max(values)) + "]"
        line.append(text)
    return line


def print_table(rows):
    columns = [c for c in COLUMNS if any(r.values(c[0]) for r in rows)]
    lines = [["", *(c[1] for c in columns)]]
    lines += [cells(row, columns) for row in rows]
    widths = [max(len(line[i]) for line in lines)
              for i in range(len(lines[0]))]
    for line in lines:
        print("  " + line[0].ljust(widths[0]) + "".join(
            "  " + cell.rjust(width)
            for cell, width in zip(line[1:], widths[1:])))
    for row in rows:
        for error in sorted(set(row.errors)):
            print(f"  {row.name}: {row.errors.count(error)} x {error}")


def print_result(result):
    print(f"{result.name}: medians of {result.rounds} interleaved rounds of "
          f"{result.seconds:g} s, [least .. most]")
    for title, rows in result.tables():
        print(f"\n {title}" if title else "")
        print_table(rows)
    if result.targets:
        print("\n targets")
    for target in result.targets:
        value = "-" if target.value is None else f"{target.value:.2f}"
        word = "reached" if target.met else "MISSED"
        bound = "at most" if target.at_most else "at least"
        print(f"  {word:8} {value:>6} (wanted {bound} {target.want:.2f})  "
              f"{target.text}")
    for note in result.notes:
        print(f"\n {note}")


class Result:
    def __init__(self, name, options, machine):
        self.name = name
        self.rounds = options.rounds
        self.seconds = options.seconds
        self.machine = machine
        self.load = os.getloadavg()[0]
        self.rows = []
        self.targets = []
        self.notes = []
        self.title = ""
        self.groups = None  # [(title, rows)] instead of one table

    def tables(self):
        if self.groups is not None:
            return self.groups
        good = [r for r in self.rows if not r.bad]
        bad = [r for r in self.rows if r.bad]
        return [(self.title, good)] + ([("bad cases", bad)] if bad else [])

    def as_json(self):
        return {
            "bench": self.name,
            "date": datetime.date.today().isoformat(),
            "machine": self.machine,
            "load_before": self.load,
            "seconds": self.seconds,
            "rounds": self.rounds,
            "rows": [row.as_json() for row in self.rows],
            "targets": [target.as_json() for target in self.targets],
            "notes": self.notes,
        }


def save(result, paths):
    text = json.dumps(result.as_json(), indent=1) + "\n"
    for path in paths:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
