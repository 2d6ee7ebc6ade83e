#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Translate freebsd-net/tcp-testsuite packetdrill scripts into stack-neutral google/packetdrill scripts,
parameterised by a target profile (JSON). usage: fbsd2neutral.py --profile P.json SRC_ROOT DST_ROOT [relpaths...]

What is neutralised (each rule exists because it is FreeBSD policy, not RFC text):
 N1 sysctl/sockstat/tcpdrop/setkey lines dropped (state checks optionally mapped to profile.state_cmd)
 N2 outbound 'win N' dropped; SO_RCVBUF/SO_SNDBUF getsockopts dropped
 N3 outbound SYN / SYN-ACK option order + wscale taken from profile (or <...>); retransmitted SYN and
    SYN-ACK in simultaneous open always <...>
 N4 receive-window edges: FreeBSD 65700 (v4) / 66240 (v6) / 65535 -> profile.rcv_wnd (default 65535);
    'outside-right' + profile.edge_slack
 N5 absolute-time SYN retransmissions ('2.00 > S') -> '*' (RTO value, early retry are policy)
 N6 rcv-data-segments: every in-order segment is followed by an explicit ACK with time +0~+0.5 (immediate or
    delayed ACK both pass); FIN ACKs +0~+0.5
 N7 CLOSING: FreeBSD re-sends 'F. 1:1 ack 2', RFC 9293 only asks for '. 2:2 ack 2'
 N8 CLOSED: tests run with no socket at all (google packetdrill allows that), socket created later if listen follows
 N9 SO_ERROR after RST in CLOSE-WAIT: profile.errno_rst_closewait (ECONNRESET | EPIPE)
 N10 '#ifdef STANDARD/FreeBSD' -> STANDARD branch
 N12 rcv-icmp: probe with SEG.SEQ = SND.NXT dropped when profile.icmp_seq_inclusive (Linux accepts it), errno of proto unreachable from profile
 N11 time-wait: ACKs at '+0.10' -> '+0~+0.5'
"""
import re, sys, os, json, argparse

ap = argparse.ArgumentParser()
ap.add_argument("--profile", required=True)
ap.add_argument("src")
ap.add_argument("dst")
ap.add_argument("rel", nargs="*")
a = ap.parse_args()
P = json.load(open(a.profile))
W = P.get("rcv_wnd", 65535)
STN = {
    "ESTABLISHED": 1,
    "SYN_SENT": 2,
    "SYN_RECEIVED": 3,
    "FIN_WAIT_1": 4,
    "FIN_WAIT_2": 5,
    "TIME_WAIT": 6,
    "CLOSED": 7,
    "CLOSE_WAIT": 8,
    "LAST_ACK": 9,
    "LISTEN": 10,
    "CLOSING": 11,
}
SSN = {"SYN_RCVD": "syn-recv", "TIME_WAIT": "time-wait"}
rels = a.rel or sorted(
    os.path.relpath(os.path.join(d, f), a.src)
    for d, _, fs in os.walk(a.src)
    for f in fs
    if f.endswith(".pkt")
)


def edge(n, rel):
    n = int(n)
    if "rcv-data" in rel or n < 60000:
        return n
    base = {"4": 65700, "6": 66240}["6" if "ipv6" in rel else "4"]
    r = W + (n - base) if abs(n - base) <= 3 else (W + (n - 65535) if abs(n - 65535) <= 3 else n)
    if "outside-right" in os.path.basename(rel).replace("-ack-outside-right", ""):
        r += P.get("edge_slack", 0)
    return r


def fix_in(b, rel):
    return re.sub(
        r"\b(\d{5,}):(\d{5,})\((\d+)\)",
        lambda m: "%d:%d(%s)" % (edge(m.group(1), rel), edge(m.group(1), rel) + int(m.group(3)), m.group(3)),
        b,
    )


def opts(o, synack, rel, seen_syn):
    items = [x.strip() for x in o.split(",")]
    mss = next((x for x in items if x.startswith("mss")), None)
    if mss is None:
        return o
    ts = next((x for x in items if x.startswith("TS")), None)
    ts = re.sub(r"\s+", " ", ts) if ts else None
    ws = any(x.startswith("wscale") for x in items)
    sack = "sackOK" in items
    if any(x.startswith("FO") for x in items):
        return None
    snd = rel.startswith("snd-syn")
    if (
        (P.get("any_options") and not snd)
        or (synack and "via-syn-sent" in rel)
        or (synack and "syn-sent" in rel)
        or (not synack and seen_syn and not snd)
    ):
        return "..."
    key = ("s" if sack else "") + ("t" if ts else "") + ("w" if ws else "")
    t = P["orders"]["synack" if synack else "syn"].get(key)
    if t is None:
        return "..." if not snd else None
    return t.replace("MSS", mss).replace("TS", ts or "").replace("WS", "wscale %s" % P["wscale"])


stat = {}
for rel in rels:
    out = []
    bad = None
    skip = False
    init_done = False
    seen_syn = False
    held = []
    conv_closed = False
    base = os.path.basename(rel)
    data = "rcv-data-segments" in rel
    closed = bool(re.search(r"rcv-[a-z-]*-closed/", rel))
    closing = "closing" in rel
    if base.startswith("closed-initially"):
        bad = "needs TCP_INFO on an unconnected socket only"
    lines = open(os.path.join(a.src, rel), errors="replace").read().split("\n")
    nxt = 1
    ooo = []  # receiver model for N6
    body = []
    for l in lines:
        s = l.strip()
        if s.startswith("#ifdef"):
            skip = s.split()[1] != "STANDARD"
            continue
        if s.startswith("#endif"):
            skip = False
            continue
        if not skip:
            body.append(l)
    for idx, l in enumerate(body):
        s = l.strip()
        if s.startswith("//") or s == "":
            out.append(l)
            continue
        if s.startswith("--"):
            if s.startswith("--udp_encap") or s.startswith("--tcp_md"):
                bad = "needs nplab flag " + s
            if s.startswith("--tolerance_usecs"):
                s = "--tolerance_usecs=%d" % max(int(s.split("=")[1]), P.get("tolerance", 0))
            out.append(s)
            if s.startswith("--ip_version="):
                out += P.get("flags", {}).get(s.split("=")[1], [])
            continue
        if not init_done:
            if not any(o.startswith("--ip_version") for o in out):
                out += P.get("flags", {}).get("ipv4", [])
            out += ["`%s`" % c for c in P["init"]]
            out.append(" 0.00 `true`")
            init_done = True
        l = re.sub(r"\s*//.*$", "", l)
        m = re.match(r"^\s*(\+?[0-9.]+(?:\.\.\.[0-9.]+)?)?\s*(.*)$", l)
        t = m.group(1) or "+0.00"
        b = m.group(2).strip()
        dt = float(t[1:]) if re.match(r"^\+[0-9.]+$", t) else 0
        if b.startswith("`"):
            c = b.strip("` ")
            if c.startswith("sockstat") and P.get("state_cmd"):
                mm = re.search(r"-c (\w+) \| grep (\d)", c)
                v = re.search(r"-([46])", c).group(1)
                if mm and mm.group(1) in SSN:
                    out.append(
                        "%s `%s`" % (t, P["state_cmd"].format(v=v, state=SSN[mm.group(1)], n=mm.group(2)))
                    )
                    continue
            if "setkey" in c or "keepinit" in c and "snd-syn" in rel:
                bad = "FreeBSD command " + c[:30]
            if dt > 0:
                out.append("%s `true`" % t)
            continue
        if "SO_RCVBUF" in b or "SO_SNDBUF" in b:
            if dt > 0:
                out.append("%s `true`" % t)
            continue
        if "F_GETFL" in b and not P.get("fgetfl", True):
            continue
        if b.startswith("%{"):
            if "tcpi_options" in b:
                continue
            b = re.sub(r"TCPI_([A-Z_0-9]+)", lambda m: str(STN.get(m.group(1), m.group(0))), b)
        if closed and re.match(r"(socket|bind|setsockopt|fcntl)\(", b):
            held.append("%s %s" % (t, b))
            continue
        if closed and b.startswith("listen("):
            out += held
            held = None or []
            conv_closed = True
        if closed and b.startswith("close(") and not conv_closed:
            continue
        if re.search(r"TCP_(NOOPT|KEEPINIT|FUNCTION_BLK|RACK|REMOTE|MD5)|IPV6_USE_MIN_MTU", b):
            bad = "FreeBSD socket option"
        if P.get("errno_rst_closewait") and "close-wait" in rel:
            b = b.replace("[ECONNRESET]", "[%s]" % P["errno_rst_closewait"])
        if "rcv-icmp" in rel:
            if P.get("icmp_seq_inclusive") and "[1:1(0)]" in b:
                continue
            if "proto-unreach" in rel and P.get("errno_proto_unreach"):
                b = b.replace("[ECONNREFUSED]", "[%s]" % P["errno_proto_unreach"])
        if b.startswith("<"):
            b = fix_in(b, rel)
        if b.startswith(">"):
            fl = (re.match(r"^>\s*(?:\([^)]*\)\s*)?([A-Z.]+)\s", b) or [None, ""])[1]
            b = re.sub(r"\bwin\s+[0-9]+", "", b)
            m3 = re.search(r"<([^>]*)>\s*$", b)
            if m3:
                r = opts(m3.group(1), "S" in fl and "." in fl, rel, seen_syn)
                if r is None:
                    bad = "options " + m3.group(1)
                else:
                    b = b[: m3.start()] + "<%s>" % r
            if fl == "S":
                if seen_syn and not rel.startswith("snd-syn") and not t.startswith("+"):
                    t = "*"
                seen_syn = True
            b = re.sub(r"\s+", " ", b).strip()
            if closing and fl == "F." and re.search(r"1:1\(0\) ack 2$", b):
                b = "> . 2:2(0) ack 2"
            if "time-wait" in rel and fl == "." and dt >= 0.1:
                t = "+0~+0.5"
            if data and fl == "." and "<" not in b:
                t = "+0~+0.5"
        out.append("%s %s" % (t, b))
        if data and b.startswith("<"):
            m4 = re.match(r"<\s*([A-Z.]+)\s+(\d+):(\d+)\((\d+)\)", b)
            if m4 and "S" not in m4.group(1):
                x, y, n = int(m4.group(2)), int(m4.group(3)), int(m4.group(4))
                had = bool(ooo)
                old = nxt
                fin = "F" in m4.group(1)
                if n or fin:
                    if x <= nxt:
                        nxt = max(nxt, y + fin)
                    else:
                        ooo.append((x, y + fin))
                    ch = True
                    while ch:
                        ch = False
                        for q in list(ooo):
                            if q[0] <= nxt:
                                nxt = max(nxt, q[1])
                                ooo.remove(q)
                                ch = True
                    nl = next(
                        (
                            re.sub(r"^\s*\+?[0-9.]*\s*", "", z.strip())
                            for z in body[idx + 1 :]
                            if z.strip()
                            and not z.strip().startswith("//")
                            and re.match(r"^\+?[0-9.]*\s*[<>]", z.strip())
                        ),
                        "",
                    )
                    if not had and not ooo and nxt > old and not nl.startswith(">"):
                        out.append("+0~+0.5 > . 1:1(0) ack %d" % nxt)
    stat[rel] = bad
    if bad:
        continue
    dst = os.path.join(a.dst, rel)
    os.makedirs(os.path.dirname(dst), exist_ok=True)
    open(dst, "w").write("\n".join(out) + "\n")
print(
    "converted", sum(1 for v in stat.values() if not v), "not convertible", sum(1 for v in stat.values() if v)
)
os.makedirs(a.dst, exist_ok=True)
json.dump(stat, open(os.path.join(a.dst, "convert-status.json"), "w"), indent=0)
