#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""google tcp/*.pkt -> stack-neutral. usage: google2neutral.py --profile P SRC DST rel...
 G1 of the init command the settings of net.ipv4 are left, with two of defaults.sh; restore commands dropped
 G2 outbound SYN/SYN-ACK options -> <...> unless they carry TS (packetdrill needs the TS to map ecr)  G3 outbound 'win N' dropped  G4 %{ tcp_info asserts }% dropped, but not their time
 (PSH is ignored at run time with PD_IGNORE_PSH=1)"""
import re, sys, os, json, argparse

ap = argparse.ArgumentParser()
ap.add_argument("--profile", required=True)
ap.add_argument("src")
ap.add_argument("dst")
ap.add_argument("--list")
ap.add_argument("rel", nargs="*")
a = ap.parse_args()
P = json.load(open(a.profile))
DEFAULTS = "net.ipv4.tcp_fastopen=0x70403 net.ipv4.tcp_fastopen_key=a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4 "


def init(m):
    names = re.findall(r"(?:/net/ipv4/|net\.ipv4\.)(\w+=[^\s\\\"'`]+)", m.group(0))
    first = DEFAULTS if "defaults.sh" in m.group(0) else ""
    return "`sysctl -q %s`\n" % (first + " ".join("net.ipv4." + n for n in names)) if first or names else ""


def code(m):
    t = m.group(1).strip()
    return "" if t in ("", "0", "+0") else "\n%s `true`" % t


rel = a.rel
if a.list:
    rel = [l.split()[0] for l in open(a.list) if l.strip() and l[0] != "#"]
for r in rel:
    s = open(os.path.join(a.src, r)).read()
    flags = P.get("flags", {}).get("ipv4", [])
    if not P.get("keep_init"):
        s = re.sub(r"(?m)^`[^`]*`\s*$", init, s)
    s = re.sub(r"(?ms)^[^\n`]*`?/tmp/sysctl_restore[^\n]*\n?", "", s)
    s = re.sub(r"(?s)\n([^\n]*)%\{.*?\}%[^\n]*", code, s)

    def out(m):
        l = m.group(0)
        l = re.sub(r"\bwin\s+\d+", "", l)
        if "TS val" in l:
            l = re.sub(r"wscale \d+", "wscale %s" % P.get("wscale", 8), l)
        if "TS val" not in l and re.match(r"^[^<>]*>\s*(\[[^\]]*\]\s*)?S[.EW]*\s", l):
            l = re.sub(r"<[^>]*>\s*$", "<...>", l)
        return l

    s = re.sub(r"(?m)^\s*[+0-9.~*][^<>\n]*>[^\n]*$", out, s)
    h = "\n".join(["--ip_version=ipv4"] + flags) if flags else ""
    d = os.path.join(a.dst, r)
    os.makedirs(os.path.dirname(d), exist_ok=True)
    open(d, "w").write(h + "\n" + s)
print(len(rel))
