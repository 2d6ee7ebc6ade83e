#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The kernel's end of a connection, for interop_end.c.

    interop_peer.py listen PORT TIMES [fast-open]     sends back what comes
    interop_peer.py connect HOST PORT FILE OUT TIMES [fast-open]

For each connection it prints what TCP_INFO says at its end.
"""
import socket
import struct
import sys
import threading

TIMEOUT_S = 60
# linux/tcp.h
OPTIONS_AT, DELIVERED_CE_AT = 5, 196
TCPI_OPT_ECN, TCPI_OPT_SYN_DATA = 8, 32


def print_info(sock):
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    options = info[OPTIONS_AT]
    marks = struct.unpack_from("=I", info, DELIVERED_CE_AT)[0]
    print(f"fast_open={int(bool(options & TCPI_OPT_SYN_DATA))} "
          f"ecn={int(bool(options & TCPI_OPT_ECN))} marks_out={marks}",
          flush=True)


def send_back(sock):
    sock.settimeout(TIMEOUT_S)
    while part := sock.recv(1 << 16):
        sock.sendall(part)
    sock.shutdown(socket.SHUT_WR)


def listen(port, times, fast_open):
    with socket.create_server(("::", port), family=socket.AF_INET6,
                              dualstack_ipv6=True) as server:
        if fast_open:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        print("ready", flush=True)
        for _ in range(times):
            sock, _ = server.accept()
            with sock:
                send_back(sock)
                print_info(sock)


def connect(host, port, path, out, times, fast_open):
    with open(path, "rb") as file:
        data = file.read()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(times):
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sent = 0
            if fast_open:
                sent = sock.sendto(data[:1000], socket.MSG_FASTOPEN,
                                   (host, port))
            else:
                sock.connect((host, port))
            sock.settimeout(TIMEOUT_S)

            def send():
                sock.sendall(data[sent:])
                sock.shutdown(socket.SHUT_WR)

            thread = threading.Thread(target=send)
            thread.start()
            with open(out, "wb") as file:
                while part := sock.recv(1 << 16):
                    file.write(part)
            thread.join()
            print_info(sock)


def main(words):
    fast_open = words[-1] == "fast-open"
    if words[0] == "listen":
        listen(int(words[1]), int(words[2]), fast_open)
    else:
        connect(words[1], int(words[2]), words[3], words[4], int(words[5]),
                fast_open)


main(sys.argv[1:])
