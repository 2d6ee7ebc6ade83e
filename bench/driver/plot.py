# SPDX-License-Identifier: BSD-2-Clause
"""plot: draw the last results with gnuplot, as SVG, into docs/bench/.

Each drawing stands beside the JSON that it was made from, and says under its
title when and on what machine that was measured.
"""
import json
import os
import shutil
import subprocess
import sys

ORDER = ("tx", "rx", "place", "hold", "relay", "shm", "disk", "sizes", "udp",
         "http", "scale", "cc", "interop")
COLOURS = {"tow": "#1a6faf", "kernel": "#c0504d", "nginx": "#c0504d",
           "raw": "#7f7f7f", "lwip": "#8064a2"}
OTHER = "#9bbb59"


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def caption(result):
    machine = result["machine"]
    return (f"{result['date']}, {machine['cores']} x {machine['cpu']}, "
            f"Linux {machine['kernel']}")


def colour(name):
    for word, value in COLOURS.items():
        if word in name:
            return value
    return OTHER


def title(result, text):
    below = quote(f"{{/*0.7 {escape(caption(result))}}}")
    return quote(text)[:-1] + "\\n" + below[1:]


def number(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def escape(text):
    """Enhanced text takes these for markup."""
    for sign in "_^{}@&~":
        text = text.replace(sign, "\\" + sign)
    return text


HEAD = """\
set terminal svg size {width},{height} dynamic enhanced font "sans,13" \
background "#ffffff"
set output {output}
set border 3
set tics nomirror
set style fill solid
"""


def bars(result, rows, key, unit, text):
    """Horizontal bars from the top; a line from the least to the most."""
    lines = [f"set title {title(result, text)}",
             f"set xlabel {quote(unit)}", "unset key", "set border 1",
             "set lmargin 30", "set grid xtics",
             f"set yrange [-0.7:{len(rows) - 0.3}]", "set xrange [0:*]",
             "set ytics (" + ", ".join(
                 f"{quote(escape(row['name']))} {len(rows) - 1 - i}"
                 for i, row in enumerate(rows)) + ") scale 0"]
    for i, row in enumerate(rows):
        y = len(rows) - 1 - i
        lines.append(
            f"set object rect from 0,{y - 0.3} to {row[key]},{y + 0.3} "
            f"fc rgb '{colour(row['name'])}' lw 0")
        low, high = row.get(key + "_min"), row.get(key + "_max")
        if low is not None:
            lines.append(f"set arrow from {low},{y} to {high},{y} nohead "
                         "front lw 2 lc rgb '#000000'")
        end = max(row[key], high or 0)
        lines.append(f"set label '  {number(row[key])}' at {end},{y} left "
                     "font ',10' front")
    top = max([row.get(key + "_max", row[key]) for row in rows] or [1])
    lines.append(f"plot [0:{top * 1.1}] -10 notitle")
    return lines


def draw_bars(result, key, unit, text):
    rows = [row for row in result["rows"] if key in row]
    return bars(result, rows, key, unit, text), 120 + 30 * len(rows)


def draw_sizes(result):
    lines = [f"set title {title(result, 'Lending against copying')}",
             "set logscale x 2", "set xlabel 'bytes per write'",
             "set ylabel 'rate of lend / rate of send'", "set grid",
             "set key top left", "set format x '%.0b %BB'",
             "set yrange [0:*]"]
    plots = ["1 lc rgb '#000000' dt 2 title 'equal'",
             "0.97 lc rgb '#c0504d' dt 3 title '0.97'"]
    for hot, batch, text, value in (
            (True, False, "hot source", "#c0504d"),
            (False, False, "cold source", "#1a6faf"),
            (True, True, "hot, 256 writes a turn", "#e0a8a6"),
            (False, True, "cold, 256 writes a turn", "#a3c6e0")):
        name = f"data{len(plots)}"
        lines.append(f"${name} << EOD")
        lines += [f"{row['size']} {row['lend_over_send']}"
                  for row in result["rows"]
                  if row["way"] == "lend" and row["hot"] == hot and
                  row["batch"] == batch]
        lines.append("EOD")
        plots.append(f"${name} with linespoints pt 7 lw 2 lc rgb '{value}' "
                     f"title '{text}'")
    lines.append("plot " + ", ".join(plots))
    return lines, 480


def draw_scale(result):
    keys = [key for key in ("ns_per_segment", "bytes_per_connection")
            if any(key in row for row in result["rows"])]
    lines = [f"set title {title(result, 'Cost against connections')}",
             "set logscale x", "set xlabel 'connections'", "set grid",
             "set yrange [0:*]", "set key bottom right"]
    plots = []
    for key in keys:
        lines.append(f"${key} << EOD")
        lines += [f"{row['connections']} {row[key]}"
                  for row in result["rows"] if key in row]
        lines.append("EOD")
        plots.append(f"${key} with linespoints pt 7 lw 2 "
                     f"title {quote(escape(key.replace('_', ' ')))}")
    lines.append("plot " + ", ".join(plots))
    return lines, 480


CONTROLLERS = {"newreno": "#7f7f7f", "cubic": "#c0504d", "bbr": "#1a6faf"}


def draw_cc(result, key, factor, unit, text):
    """A group of bars for each path, a bar for each controller."""
    paths = {}
    for row in result["rows"]:
        path = row["name"].rsplit(":", 1)[0]
        paths.setdefault(path, {})[row["controller"]] = row[key] * factor
    lines = [f"set title {title(result, text)}", f"set ylabel {quote(unit)}",
             "set style data histograms", "set style histogram clustered gap 1",
             "set xtics rotate by -35 font ',9'", "set rmargin 14",
             "set grid ytics", "set yrange [0:*]", "set key top left horizontal",
             "$paths << EOD"]
    lines += [" ".join([quote(escape(path))] +
                       [f"{found.get(name, 0):.4f}" for name in CONTROLLERS])
              for path, found in paths.items()]
    lines += ["EOD", "plot " + ", ".join(
        f"$paths using {i + 2}:xtic(1) title {quote(name)} "
        f"lc rgb {quote(value)}"
        for i, (name, value) in enumerate(CONTROLLERS.items()))]
    return lines, 560


def drawings(result):
    """[(suffix, lines, height)]"""
    name = result["bench"]
    if name == "sizes":
        return [("", *draw_sizes(result))]
    if name == "scale":
        return [("", *draw_scale(result))]
    if name == "cc":
        return [("", *draw_cc(result, "used", 100, "% of the path",
                              "Congestion control: what is used")),
                ("-queue", *draw_cc(result, "queue_ms", 1, "ms",
                                    "Congestion control: time in the queue"))]
    if name in ("place", "hold", "relay", "shm", "disk", "interop"):
        return []  # many rows of several kinds: the table says more
    text = {"tx": "One flow, sending", "rx": "One flow, receiving",
            "udp": "UDP", "http": "HTTP"}[name]
    found = [("", *draw_bars(result, "gbps", "Gb/s", text))]
    if name in ("tx", "rx", "udp"):
        found.append(("-cpu", *draw_bars(
            result, "cpu_ns_per_kib", "CPU ns per KiB, both ends", text)))
    if name == "http":
        small = dict(result, rows=[row for row in result["rows"]
                                   if " 1k/" in row["name"]])
        large = dict(result, rows=[row for row in result["rows"]
                                   if " 1k/" not in row["name"]])
        found = [("", *draw_bars(large, "gbps", "Gb/s",
                                 "HTTP, 100 KiB and 1 GiB")),
                 ("-small", *draw_bars(small, "rps", "requests per second",
                                       "HTTP, 1 KiB"))]
    return found


def gnuplot(lines, output, height):
    script = HEAD.format(width=860, height=height, output=quote(output))
    subprocess.run(["gnuplot"], input=script + "\n".join(lines) + "\n",
                   text=True, check=True)


# What a table in results.md shows, of the keys that its rows have.
TABLE = (("gbps", "Gb/s"), ("mbps", "Mb/s"), ("durable_gbps", "durable"),
         ("rps", "requests/s"), ("mpps", "Mpps"),
         ("cpu_ns_per_kib", "CPU ns/KiB"),
         ("sender_ns_per_kib", "sender"),
         ("receiver_ns_per_kib", "receiver"),
         ("server_ns_per_kib", "server"), ("relay_ns_per_kib", "relay"),
         ("rtt_us", "round trip us"), ("rtt99_us", "99 %"),
         ("cpu_us_per_request", "CPU us/request"),
         ("lend_over_send", "lend / send"),
         ("ns_per_segment", "ns/segment"),
         ("bytes_per_connection", "bytes/connection"), ("loss", "lost"),
         ("jain", "Jain"), ("queue_ms", "queue ms"),
         ("recovery_ms", "recovery ms"), ("timeouts", "timeouts"))
SHARES = (("placed", "placed"), ("passed", "passed"), ("lent", "lent"),
          ("copied", "copied"), ("used", "used"), ("dropped", "queue full"),
          ("resent", "sent again"))


def cell(row, key):
    if key not in row:
        return ""
    if key in dict(SHARES):
        return f"{row[key]:.2%}"
    text = number(row[key])
    if key + "_min" in row and row[key + "_min"] != row[key + "_max"]:
        text += f" ({number(row[key + '_min'])} .. {number(row[key + '_max'])})"
    return text


def markdown(result, images):
    columns = [c for c in TABLE + SHARES
               if any(c[0] in row for row in result["rows"])]
    lines = [f"## {result['bench']}", "",
             f"{caption(result)}; medians of {result['rounds']} rounds of "
             f"{result['seconds']:g} s (least .. most); load before: "
             f"{result['load_before']:.2f}", ""]
    lines += [f"![{image}]({image})" for image in images] + [""]
    lines.append("| | " + " | ".join(c[1] for c in columns) + " |")
    lines.append("|---|" + "--:|" * len(columns))
    for row in result["rows"]:
        lines.append(f"| {row['name']} | " + " | ".join(
            cell(row, key) for key, _ in columns) + " |")
    if result["targets"]:
        lines += ["", "| target | wanted | found | |", "|---|--:|--:|---|"]
    for target in result["targets"]:
        bound = "<=" if target.get("at_most") else ">="
        value = "-" if target["value"] is None else f"{target['value']:.2f}"
        lines.append(f"| {target['text']} | {bound} {target['want']} | "
                     f"{value} | {'reached' if target['met'] else 'missed'} |")
    return lines + [""] + [f"{note}\n" for note in result["notes"]]


def newest(name, results, target):
    """The last run's result, else the one that was drawn before."""
    for folder in (results, target):
        path = os.path.join(folder, name + ".json")
        if os.path.exists(path):
            with open(path) as file:
                return json.load(file)
    return None


def plot(results, target):
    if not shutil.which("gnuplot"):
        sys.exit("bench/run: gnuplot is not there: apt-get install "
                 "gnuplot-nox")
    os.makedirs(target, exist_ok=True)
    page = ["# Results", "", "Made by `bench/run plot`; see "
            "[README.md](README.md) for what is measured, and how.", ""]
    for name in ORDER:
        result = newest(name, results, target)
        if result is None:
            print(f"{name}: not measured yet")
            continue
        with open(os.path.join(target, name + ".json"), "w") as file:
            file.write(json.dumps(result, indent=1) + "\n")
        images = []
        for suffix, lines, height in drawings(result):
            images.append(name + suffix + ".svg")
            path = os.path.join(target, images[-1])
            gnuplot(lines, path, height)
            print(os.path.relpath(path))
        page += markdown(result, images)
    with open(os.path.join(target, "results.md"), "w") as file:
        file.write("\n".join(page))
    return 0
