#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""HTTP over the kernel's TCP, signed by TCP MD5.

	md5_peer.py can                         status 0 where the kernel can
	md5_peer.py get KEYFILE HOST PORT PATH  the body to stdout
	md5_peer.py serve KEYFILE PORT FILE     FILE to everybody who asks
"""
import socket
import struct
import sys

TCP_MD5SIG, TCP_MD5SIG_EXT = 14, 32
PREFIX = 1  # tcpm_flags: TCP_MD5SIG_FLAG_PREFIX


def address(family, text):
    """A struct sockaddr_storage."""
    packed = socket.inet_pton(family, text)
    head = struct.pack('=HH', family, 0)
    if family == socket.AF_INET6:
        head += bytes(4)
    return (head + packed).ljust(128, b'\0')


def sign(s, family, text, prefix, secret):
    """struct tcp_md5sig of linux/tcp.h"""
    rest = struct.pack('=BBHi80s', PREFIX, prefix, len(secret), 0, secret)
    s.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG_EXT,
                 address(family, text) + rest)


def secret_of(path):
    with open(path, 'rb') as file:
        return file.readline().rstrip(b'\n')


def get(secret, host, port, path):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    s = socket.socket(family)
    sign(s, family, host, 128 if family == socket.AF_INET6 else 32, secret)
    s.connect((host, port))
    s.sendall(b'GET %s HTTP/1.0\r\nHost: a\r\n\r\n' % path.encode())
    data = b''.join(iter(lambda: s.recv(1 << 16), b''))
    head, body = data.split(b'\r\n\r\n', 1)
    assert b' 200 ' in head.split(b'\r\n')[0], head
    sys.stdout.buffer.write(body)


def serve(secret, port, path):
    with open(path, 'rb') as file:
        data = file.read()
    s = socket.create_server(('', port), family=socket.AF_INET6,
                             dualstack_ipv6=True)
    sign(s, socket.AF_INET6, '2001:db8::', 32, secret)
    sign(s, socket.AF_INET6, '::ffff:192.0.2.0', 24, secret)
    while True:
        c, _ = s.accept()
        c.recv(65536)
        c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n'
                  b'Connection: close\r\n\r\n' % len(data) + data)
        c.close()


if sys.argv[1] == 'can':
    sign(socket.socket(), socket.AF_INET, '127.0.0.1', 32, b'key')
elif sys.argv[1] == 'get':
    get(secret_of(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5])
else:
    serve(secret_of(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
