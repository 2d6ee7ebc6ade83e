# SPDX-License-Identifier: BSD-2-Clause
"""scale: 10 to 100,000 connections in the simulator, see bench/scale.c."""
import json
import subprocess

from measure import Failed, Row
from report import Target


def run(bench):
    done = subprocess.run([bench.program("scale"), "--json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    if done.returncode != 0:
        raise Failed(f"scale: {done.stderr.strip()}")
    return json.loads(done.stdout)


def scale(bench, result):
    pass


scale.seconds, scale.rounds = 1, 1
