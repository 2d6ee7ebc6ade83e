# SPDX-License-Identifier: BSD-2-Clause
"""The benchmarks by name."""
import bench_cc
import bench_disk
import bench_hold
import bench_http
import bench_interop
import bench_place
import bench_relay
import bench_scale
import bench_shm
import bench_sizes
import bench_tcp
import bench_udp

ALL = {
    "tx": bench_tcp.tx,
    "rx": bench_tcp.rx,
    "place": bench_place.place,
    "hold": bench_hold.hold,
    "sizes": bench_sizes.sizes,
    "udp": bench_udp.udp,
    "http": bench_http.http,
    "relay": bench_relay.relay,
    "disk": bench_disk.disk,
    "scale": bench_scale.scale,
    "shm": bench_shm.shm,
    "cc": bench_cc.cc,
    "interop": bench_interop.interop,
}
