#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Translate scripts of freebsd-net/tcp-testsuite for google's packetdrill.

    translate_freebsd.py --profile FILE SOURCE TARGET [SCRIPT...]

Without scripts, all below SOURCE. Which cannot be translated, and why, stands
in TARGET/convert-status.json. What is dropped or loosened is FreeBSD's policy
and not an RFC's text:

 N1 commands (sysctl, sockstat, tcpdrop, setkey) are dropped.
 N2 'win N' of what is sent, and the sizes of buffers, are dropped.
 N3 The order of options and the shift of windows on a SYN and a SYN-ACK are
    the profile's; a SYN that is sent again, and a SYN-ACK in a simultaneous
    open, may have any.
 N4 The edges of the receive window (FreeBSD's 65700, of IPv6 66240, or 65535)
    become the profile's rcv_wnd.
 N5 A SYN that is sent again at a given time may come at any.
 N6 rcv-data-segments: an ACK of a segment in order may be delayed by up to
    half a second, and is written out; so is that of a FIN.
 N7 CLOSING: FreeBSD sends its FIN again, RFC 9293 only wants an ACK.
 N8 CLOSED: there is no socket at all; it is made when the script listens.
 N9 Of '#ifdef STANDARD' and FreeBSD, STANDARD counts.
 N10 time-wait: an ACK at '+0.10' may come within half a second.
"""
import argparse
import json
import os
import re

# The kernel's numbers of states, for TCP_INFO.
STATES = {
    "ESTABLISHED": 1, "SYN_SENT": 2, "SYN_RECEIVED": 3, "FIN_WAIT_1": 4,
    "FIN_WAIT_2": 5, "TIME_WAIT": 6, "CLOSED": 7, "CLOSE_WAIT": 8,
    "LAST_ACK": 9, "LISTEN": 10, "CLOSING": 11,
}

WITHIN_HALF_A_SECOND = "+0~+0.5"

FREEBSD_OPTIONS = (r"TCP_(NOOPT|KEEPINIT|FUNCTION_BLK|RACK|REMOTE|MD5)"
                   r"|IPV6_USE_MIN_MTU")


def standard_lines(text):
    """N9, for the whole script."""
    lines, skipping = [], False
    for line in text.split("\n"):
        word = line.strip()
        if word.startswith("#ifdef"):
            skipping = word.split()[1] != "STANDARD"
        elif word.startswith("#endif"):
            skipping = False
        elif not skipping:
            lines.append(line)
    return lines


def is_blank(line):
    return line.strip() == "" or line.strip().startswith("//")


def next_packet(lines):
    """The next line that is a packet, without its time; or ''."""
    for line in lines:
        if not is_blank(line) and re.match(r"^\+?[0-9.]*\s*[<>]",
                                           line.strip()):
            return re.sub(r"^\s*\+?[0-9.]*\s*", "", line.strip())
    return ""


class Receiver:
    """What has arrived in order, and what has beyond a hole (N6)."""

    def __init__(self):
        self.next = 1
        self.beyond = []

    def take(self, first, end):
        if first > self.next:
            self.beyond.append((first, end))
        else:
            self.next = max(self.next, end)
        moved = True
        while moved:
            moved = False
            for block in list(self.beyond):
                if block[0] <= self.next:
                    self.next = max(self.next, block[1])
                    self.beyond.remove(block)
                    moved = True


class Translation:
    """One script: self.out, or why it cannot be in self.problem."""

    def __init__(self, profile, name):
        self.profile = profile
        self.name = name
        self.out = []
        self.problem = None
        self.begun = False
        self.seen_syn = False
        self.receiver = Receiver()
        self.is_closed = bool(re.search(r"rcv-[a-z-]*-closed/", name))
        self.held = []  # calls that make a socket, until it listens
        self.listened = False
        if os.path.basename(name).startswith("closed-initially"):
            self.problem = "needs TCP_INFO on an unconnected socket only"

    def is_about(self, word):
        return word in self.name

    def run(self, text):
        lines = standard_lines(text)
        for number, line in enumerate(lines):
            if is_blank(line):
                self.out.append(line)
            elif line.strip().startswith("--"):
                self.flag(line.strip())
            else:
                self.begin()
                self.line(line, lines[number + 1:])

    def flag(self, flag):
        if flag.startswith(("--udp_encap", "--tcp_md")):
            self.problem = "needs nplab flag " + flag
        if flag.startswith("--tolerance_usecs"):
            flag = "--tolerance_usecs=%d" % max(
                int(flag.split("=")[1]), self.profile["tolerance"])
        self.out.append(flag)
        if flag.startswith("--ip_version="):
            self.out += self.profile["flags"].get(flag.split("=")[1], [])

    def begin(self):
        if self.begun:
            return
        self.begun = True
        if not any(line.startswith("--ip_version") for line in self.out):
            self.out += self.profile["flags"]["ipv4"]
        self.out.append(" 0.00 `true`")

    def line(self, line, following):
        line = re.sub(r"\s*//.*$", "", line)
        match = re.match(
            r"^\s*(\+?[0-9.]+(?:\.\.\.[0-9.]+)?)?\s*(.*)$", line)
        time, what = match.group(1) or "+0.00", match.group(2).strip()
        pause = float(time[1:]) if re.match(r"^\+[0-9.]+$", time) else 0
        if self.is_dropped(time, what, pause):
            return
        if what.startswith("%{"):
            what = re.sub(r"TCPI_([A-Z_0-9]+)",
                          lambda m: str(STATES.get(m[1], m[0])), what)
        if self.waits_for_listen(time, what):
            return
        if re.search(FREEBSD_OPTIONS, what):
            self.problem = "FreeBSD socket option"
        if what.startswith("<"):
            what = self.incoming(what)
        if what.startswith(">"):
            time, what = self.outgoing(time, what, pause)
        self.out.append("%s %s" % (time, what))
        if self.is_about("rcv-data-segments") and what.startswith("<"):
            self.acknowledge(what, following)

    def is_dropped(self, time, what, pause):
        """N1, N2; the time that it took passes all the same."""
        if what.startswith("`"):
            command = what.strip("` ")
            if "setkey" in command or (
                    "keepinit" in command and self.is_about("snd-syn")):
                self.problem = "FreeBSD command " + command[:30]
        elif what.startswith("%{") and "tcpi_options" in what:
            return True
        elif "SO_RCVBUF" not in what and "SO_SNDBUF" not in what:
            return False
        if pause > 0:
            self.out.append("%s `true`" % time)
        return True

    def waits_for_listen(self, time, what):
        """N8."""
        if not self.is_closed:
            return False
        if re.match(r"(socket|bind|setsockopt|fcntl)\(", what):
            self.held.append("%s %s" % (time, what))
            return True
        if what.startswith("listen("):
            self.out += self.held
            self.held = []
            self.listened = True
        return what.startswith("close(") and not self.listened

    def edge(self, number):
        """N4."""
        if self.is_about("rcv-data") or number < 60000:
            return number
        for size in (66240 if self.is_about("ipv6") else 65700, 65535):
            if abs(number - size) <= 3:
                return self.profile["rcv_wnd"] + number - size
        return number

    def incoming(self, packet):
        def moved(match):
            first = self.edge(int(match[1]))
            return "%d:%d(%s)" % (first, first + int(match[3]), match[3])
        return re.sub(r"\b(\d{5,}):(\d{5,})\((\d+)\)", moved, packet)

    def options(self, text, is_syn_ack):
        """N3: what stands between < and >; None: it cannot be said."""
        items = [item.strip() for item in text.split(",")]
        mss = [item for item in items if item.startswith("mss")]
        stamps = [item for item in items if item.startswith("TS")]
        if not mss:
            return text
        if any(item.startswith("FO") for item in items):
            return None
        opens = self.name.startswith("snd-syn")
        if (self.is_about("syn-sent") if is_syn_ack
                else self.seen_syn and not opens):
            return "..."
        key = "".join((
            "s" if "sackOK" in items else "", "t" if stamps else "",
            "w" if any(i.startswith("wscale") for i in items) else ""))
        order = self.profile["orders"]["synack" if is_syn_ack else "syn"]
        if key not in order:
            return None if opens else "..."
        stamp = re.sub(r"\s+", " ", stamps[0]) if stamps else ""
        return (order[key].replace("MSS", mss[0]).replace("TS", stamp)
                .replace("WS", "wscale %s" % self.profile["wscale"]))

    def outgoing(self, time, packet, pause):
        match = re.match(r"^>\s*(?:\([^)]*\)\s*)?([A-Z.]+)\s", packet)
        flags = match[1] if match else ""
        packet = re.sub(r"\bwin\s+[0-9]+", "", packet)
        match = re.search(r"<([^>]*)>\s*$", packet)
        if match:
            options = self.options(match[1], "S" in flags and "." in flags)
            if options is None:
                self.problem = "options " + match[1]
            else:
                packet = packet[:match.start()] + "<%s>" % options
        if flags == "S":
            if (self.seen_syn and not self.name.startswith("snd-syn")
                    and not time.startswith("+")):
                time = "*"  # N5
            self.seen_syn = True
        packet = re.sub(r"\s+", " ", packet).strip()
        if (self.is_about("closing") and flags == "F."
                and re.search(r"1:1\(0\) ack 2$", packet)):
            packet = "> . 2:2(0) ack 2"  # N7
        if self.is_about("time-wait") and flags == "." and pause >= 0.1:
            time = WITHIN_HALF_A_SECOND  # N10
        if (self.is_about("rcv-data-segments") and flags == "."
                and "<" not in packet):
            time = WITHIN_HALF_A_SECOND  # N6
        return time, packet

    def acknowledge(self, packet, following):
        """N6: the ACK that FreeBSD delays and a script leaves out."""
        match = re.match(r"<\s*([A-Z.]+)\s+(\d+):(\d+)\((\d+)\)", packet)
        if not match or "S" in match[1]:
            return
        fin = "F" in match[1]
        if match[4] == "0" and not fin:
            return
        had_hole, before = bool(self.receiver.beyond), self.receiver.next
        self.receiver.take(int(match[2]), int(match[3]) + fin)
        if (not had_hole and not self.receiver.beyond
                and self.receiver.next > before
                and not next_packet(following).startswith(">")):
            self.out.append("%s > . 1:1(0) ack %d"
                            % (WITHIN_HALF_A_SECOND, self.receiver.next))


def scripts_below(source):
    return sorted(os.path.relpath(os.path.join(folder, name), source)
                  for folder, _, names in os.walk(source)
                  for name in names if name.endswith(".pkt"))


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", required=True, metavar="FILE")
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("target", metavar="TARGET")
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT")
    return parser.parse_args()


def translate(profile, source, target, name):
    """Returns: None, or why it cannot be."""
    translation = Translation(profile, name)
    with open(os.path.join(source, name), errors="replace") as script:
        translation.run(script.read())
    if translation.problem:
        return translation.problem
    path = os.path.join(target, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as out:
        out.write("\n".join(translation.out) + "\n")
    return None


def main():
    arguments = parse_arguments()
    with open(arguments.profile) as file:
        profile = json.load(file)
    problems = {
        name: translate(profile, arguments.source, arguments.target, name)
        for name in arguments.scripts or scripts_below(arguments.source)}
    os.makedirs(arguments.target, exist_ok=True)
    status = os.path.join(arguments.target, "convert-status.json")
    with open(status, "w") as out:
        json.dump(problems, out, indent=0)
    left = sum(problem is not None for problem in problems.values())
    print("converted", len(problems) - left, "not convertible", left)


main()
