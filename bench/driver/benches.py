# SPDX-License-Identifier: BSD-2-Clause
"""The benchmarks by name."""
import bench_tcp

ALL = {
    "tx": bench_tcp.tx,
    "rx": bench_tcp.rx,
}
