#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Translate scripts of google/packetdrill, written for Linux, for any stack.

    translate_google.py --profile FILE SOURCE TARGET SCRIPT...

What is dropped or loosened is Linux's policy and not an RFC's text:

 G1 Of the commands that set Linux up the settings of net.ipv4 are left, with two
    of defaults.sh; those that restore it are dropped.
 G2 The options of a SYN and a SYN-ACK that are sent may be any, unless they
    have timestamps, which packetdrill needs; then the shift of windows is the
    profile's.
 G3 'win N' of what is sent is dropped.
 G4 Assertions about tcp_info, %{ }%, are dropped, but not their time.
"""
import argparse
import json
import os
import re

# What defaults.sh sets that matters.
DEFAULTS = ["net.ipv4.tcp_fastopen=0x70403", "net.ipv4.tcp_fastopen_key="
            "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"]


def setting_up(match):
    """G1: a command of its own line."""
    names = re.findall(r"(?:/net/ipv4/|net\.ipv4\.)(\w+=[^\s\\\"'`]+)",
                       match[0])
    settings = ["net.ipv4." + name for name in names]
    if "defaults.sh" in match[0]:
        settings = DEFAULTS + settings
    return "`sysctl -q %s`\n" % " ".join(settings) if settings else ""


def pause(match):
    """G4: what is left of an assertion."""
    time = match[1].strip()
    return "" if time in ("", "0", "+0") else "\n%s `true`" % time


def outgoing(line, profile):
    line = re.sub(r"\bwin\s+\d+", "", line)
    if "TS val" in line:
        return re.sub(r"wscale \d+", "wscale %s" % profile["wscale"], line)
    if re.match(r"^[^<>]*>\s*(\[[^\]]*\]\s*)?S[.EW]*\s", line):
        line = re.sub(r"<[^>]*>\s*$", "<...>", line)
    return line


def is_for_ipv6(name, text):
    """As in Google's runner, the name says it."""
    return name.endswith("v6.pkt") and "--ip_version" not in text


def translate(text, profile, ipv6):
    text = re.sub(r"(?m)^`[^`]*`\s*$", setting_up, text)
    text = re.sub(r"(?ms)^[^\n`]*`?/tmp/sysctl_restore[^\n]*\n?", "", text)
    text = re.sub(r"(?s)\n([^\n]*)%\{.*?\}%[^\n]*", pause, text)
    text = re.sub(r"(?m)^\s*[+0-9.~*][^<>\n]*>[^\n]*$",
                  lambda match: outgoing(match[0], profile), text)
    flags = ["--ip_version=ipv4"] + profile["flags"]["ipv4"]
    if ipv6:  # an MTU that leaves the same MSS
        flags = (["--ip_version=ipv6", "--mtu=1520"] +
                 profile["flags"]["ipv6"])
    return "\n".join(flags) + "\n" + text


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", required=True, metavar="FILE")
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("target", metavar="TARGET")
    parser.add_argument("scripts", nargs="+", metavar="SCRIPT")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    with open(arguments.profile) as file:
        profile = json.load(file)
    for name in arguments.scripts:
        path = os.path.join(arguments.target, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(os.path.join(arguments.source, name)) as script, \
                open(path, "w") as out:
            text = script.read()
            out.write(translate(text, profile, is_for_ipv6(name, text)))
    print(len(arguments.scripts))


main()
