#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The two ends of a relay, on the kernel's TCP and UDP.

    relay_peer.py serve PORT MODE [BYTES]     a target
    relay_peer.py udp-echo PORT               one for datagrams
    relay_peer.py transfer HOST PORT BYTES CONNECTIONS
    relay_peer.py half-close HOST PORT BYTES
    relay_peer.py reset HOST PORT
    relay_peer.py awaits-reset HOST PORT
    relay_peer.py udp HOST PORT COUNT BYTES

Modes of a target: `both` sends BYTES while it reads as many, `digest` reads to
the end and then says the SHA-256 of it, `reset` resets after the first bytes,
`tell` prints how each connection ended. Every byte is checked by SHA-256.
"""
import hashlib
import os
import random
import socket
import struct
import sys
import threading
import time

BLOCK = 1 << 20
TIMEOUT_S = 60


def blocks(seed, total):
    """The bytes of a stream: blocks that differ by a number in front."""
    base = random.Random(seed).randbytes(BLOCK)
    done = 0
    while done < total:
        block = struct.pack("!Q", done) + base[8:]
        yield block[:min(BLOCK, total - done)]
        done += BLOCK


def digest_of(seed, total):
    digest = hashlib.sha256()
    for block in blocks(seed, total):
        digest.update(block)
    return digest.digest()


def send_stream(sock, seed, total):
    for block in blocks(seed, total):
        sock.sendall(block)
    sock.shutdown(socket.SHUT_WR)


def read_to_end(sock):
    digest = hashlib.sha256()
    count = 0
    buffer = bytearray(BLOCK)
    while True:
        n = sock.recv_into(buffer)
        if n == 0:
            return digest.digest(), count
        digest.update(memoryview(buffer)[:n])
        count += n


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    sock.close()


def both_ways(sock, ours, theirs, total):
    """Send one stream while reading the other; is that one right?"""
    sender = threading.Thread(target=send_stream, args=(sock, ours, total),
                              daemon=True)
    sender.start()
    digest, count = read_to_end(sock)
    sender.join()
    return count == total and digest == digest_of(theirs, total)


def answer(sock, mode, total):
    try:
        if mode == "both":
            if both_ways(sock, "target", "client", total):
                sock.close()
            else:
                reset(sock)
        elif mode == "digest":
            digest, _ = read_to_end(sock)
            sock.sendall(digest.hex().encode())
            sock.close()
        elif mode == "reset":
            sock.recv(1)
            reset(sock)
        elif mode == "tell":
            sock.sendall(b"hello")
            _, count = read_to_end(sock)
            print("end after", count, flush=True)
            sock.close()
    except ConnectionResetError:
        if mode == "tell":
            print("reset", flush=True)
    except OSError as error:
        print(error, file=sys.stderr, flush=True)


def serve(port, mode, total="0"):
    server = socket.create_server(("", int(port)), family=socket.AF_INET6,
                                  dualstack_ipv6=True, backlog=1024)
    print("ready", flush=True)
    while True:
        sock, _ = server.accept()
        threading.Thread(target=answer, args=(sock, mode, int(total)),
                         daemon=True).start()


def udp_echo(port):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("", int(port)))
    print("ready", flush=True)
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(data, peer)


def connect(host, port):
    return socket.create_connection((host, int(port)), timeout=TIMEOUT_S)


def transfer(host, port, total, connections):
    wrong = []

    def one(number):
        try:
            sock = connect(host, port)
            if not both_ways(sock, "client", "target", int(total)):
                wrong.append(f"connection {number}: other bytes")
        except OSError as error:
            wrong.append(f"connection {number}: {error}")

    threads = [threading.Thread(target=one, args=(i,))
               for i in range(int(connections))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        sys.exit("\n".join(wrong))


def half_close(host, port, total):
    """The answer comes when our end of the stream was seen."""
    sock = connect(host, port)
    send_stream(sock, "client", int(total))
    said = b""
    while True:
        more = sock.recv(1000)
        if not more:
            break
        said += more
    if said.decode() != digest_of("client", int(total)).hex():
        sys.exit(f"the target read other bytes: {said}")


def send_reset(host, port):
    sock = connect(host, port)
    sock.recv(5)
    reset(sock)


def awaits_reset(host, port):
    try:
        sock = connect(host, port)
        sock.sendall(b"x")
        if sock.recv(1) == b"":
            sys.exit("the stream ended")
    except ConnectionResetError:
        return
    sys.exit("no reset")


def udp(host, port, count, size):
    """One datagram after the other; a lost one is sent again."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.connect((host, int(port)))
    sock.settimeout(0.2)
    for number in range(int(count)):
        data = struct.pack("!I", number) + os.urandom(int(size) - 4)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            sock.send(data)
            try:
                if sock.recv(65536) == data:
                    break
            except (TimeoutError, ConnectionRefusedError):
                continue
        else:
            sys.exit(f"datagram {number} did not come back")


MODES = {
    "serve": serve,
    "udp-echo": udp_echo,
    "transfer": transfer,
    "half-close": half_close,
    "reset": send_reset,
    "awaits-reset": awaits_reset,
    "udp": udp,
}

if __name__ == "__main__":
    MODES[sys.argv[1]](*sys.argv[2:])
