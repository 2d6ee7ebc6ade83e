#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A switch, for kernels without VLANs: tagged on one side, not on the other.

    vlan_switch.py TRUNK ID TAP

Frames of VLAN ID at the interface TRUNK go without their tag to TAP, which it
makes, and back with it. Others are dropped. A checksum that the sender left to
its device is made here, where the kernel says that it is missing.
"""
import fcntl
import select
import socket
import struct
import sys

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_VNET_HDR = 15
PACKET_OUTGOING = 4
TP_STATUS_VLAN_VALID = 1 << 4
TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x1002
TPID = 0x8100
VNET_BYTES = 10  # flags, GSO, header bytes, GSO bytes, csum_start, csum_offset
NEEDS_CSUM = 1


def open_trunk(name):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.bind((name, ETH_P_ALL))
    return sock


def open_tap(name):
    tap = open("/dev/net/tun", "r+b", buffering=0)
    fcntl.ioctl(tap, TUNSETIFF,
                struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
    return tap


def add_checksum(frame, start, offset):
    """RFC 1071; the field has the sum of the pseudo header already."""
    data = bytes(frame[start:]) + b"\0" * ((len(frame) - start) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("!H", frame, start + offset, ~total & 0xFFFF)


def tag_of(frame, ancillary):
    """The VLAN's number, and the frame without the tag; the kernel may have
    taken it off already."""
    for _, kind, data in ancillary:
        if kind == PACKET_AUXDATA:
            status, tci = struct.unpack_from("=I12xH", data)
            if status & TP_STATUS_VLAN_VALID:
                return tci & 0xFFF, frame
    if struct.unpack_from("!H", frame, 12)[0] != TPID:
        return None, frame
    return (struct.unpack_from("!H", frame, 14)[0] & 0xFFF,
            frame[:12] + frame[16:])


def from_trunk(trunk, vlan):
    """A frame of the VLAN, or None."""
    data, ancillary, _, address = trunk.recvmsg(70000, 256)
    if address[2] == PACKET_OUTGOING:
        return None
    flags, start, offset = struct.unpack_from("=B5xHH", data)
    frame = bytearray(data[VNET_BYTES:])
    before = len(frame)
    number, frame = tag_of(frame, ancillary)
    if number != vlan:
        return None
    if flags & NEEDS_CSUM:
        add_checksum(frame, start - (before - len(frame)), offset)
    return frame


def main(trunk_name, number, tap_name):
    vlan = int(number)
    trunk, tap = open_trunk(trunk_name), open_tap(tap_name)
    tag = struct.pack("!HH", TPID, vlan)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([trunk, tap], [], [])
        try:
            if trunk in ready:
                frame = from_trunk(trunk, vlan)
                if frame:
                    tap.write(frame)
            if tap in ready:
                frame = tap.read(70000)
                trunk.send(bytes(VNET_BYTES) + frame[:12] + tag + frame[12:])
        except OSError:
            continue  # down for now: lost, as frames may be


if __name__ == "__main__":
    main(*sys.argv[1:])
