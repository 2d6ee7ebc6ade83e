# SPDX-License-Identifier: BSD-2-Clause
"""A sandbox of namespaces around a run, and the networks inside.

    enter()        outer process ---- waits, passes on its end
                     '- inner process: PID 1 of its own PID namespace, own
                        mounts, own network; goes on with the run

When the inner process ends, the kernel kills all that it started and takes
the networks down, so nothing is left whatever ends the run: its end, Ctrl-C,
or SIGKILL of either process.

    Network: two network namespaces and two ways between kernel and stack

      near                                   far
      kernel's sockets of the clients        kernel's sockets of the peers
      10.77.0.1 tow0 (tap) -- .2 a stack in user space
      10.79.0.1 tow1 (tap with several queues) -- .2 a stack in user space
      10.78.0.1 near0 ============ veth ============ far0 10.78.0.2

    WireNetwork: three, for bench/wire.c, which joins two of the ends in middle

      left                     middle                          right
      10.80.0.1 kernel0 ==== left0      right0 ==== kernel0 10.80.0.2
                              wire0 (tap) -- a stack, either address
"""
import ctypes
import os
import signal
import subprocess
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_REC_PRIVATE = 0x4000 | 0x40000
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)

NEAR = "10.77.0.1"
STACK = "10.77.0.2"
RAW = "10.77.0.3"
LWIP = "10.77.0.4"
VETH_NEAR = "10.78.0.1"
VETH_FAR = "10.78.0.2"
RAW_MAC = "02:72:61:77:00:01"  # as in peers/raw_tap.c
TAP = "tow0"
PLACE_NEAR = "10.79.0.1"
PLACE_STACK = "10.79.0.2"
PLACE_RAW = "10.79.0.3"
PLACE_TAP = "tow1"
WIRE_LEFT = "10.80.0.1"
WIRE_RIGHT = "10.80.0.2"
WIRE_TAP = "wire0"
WIRE_ENDS = {"kernel-left": "left0", "kernel-right": "right0", "tow": WIRE_TAP}


def check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags):
    check(libc.unshare(flags), "unshare")


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def become_root_of_user_namespace():
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"0 {uid} 1")
    write("/proc/self/gid_map", f"0 {gid} 1")


def outer_wait(child):
    """Wait for the inner process; a signal that ends us ends all of it."""
    def stop(number, _frame):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def enter(scratch):
    """Go on as the inner process; in the outer one this does not return.

    A tmpfs of the run's own is mounted at @scratch. Returns the old /proc,
    which shows the threads of the kernel.
    """
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        sys.exit("bench/run: /dev/net/tun cannot be opened: run as root, or "
                 "let your user at it (chmod 0666 /dev/net/tun)")
    if os.getuid() != 0:
        become_root_of_user_namespace()
    os.makedirs(scratch, exist_ok=True)
    unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)
    check(libc.mount(None, b"/", None, MS_REC_PRIVATE, None), "mount")
    child = os.fork()
    if child != 0:
        outer_wait(child)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the outer one decides
    outer_proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    libc.mount(b"proc", b"/proc", b"proc", 0, None)
    check(libc.mount(b"tmpfs", scratch.encode(), b"tmpfs", 0, None),
          "mount of a scratch tmpfs")
    return outer_proc


class Namespace:
    """A network namespace, held by a descriptor and nothing else."""

    def __init__(self):
        self.fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def join(self):
        check(libc.setns(self.fd, CLONE_NEWNET), "setns")

    def run(self, *command, check_result=True):
        done = subprocess.run(command, preexec_fn=self.join,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True)
        if check_result and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def ip(self, text):
        return self.run("ip", *text.split())


class Network:
    def __init__(self):
        self.near = Namespace()
        unshare(CLONE_NEWNET)
        self.far = Namespace()
        self.near.join()
        for namespace in (self.near, self.far):
            namespace.ip("link set lo up")
        self.make_veth()
        self.make_tap(TAP, NEAR, RAW)
        self.make_tap(PLACE_TAP, PLACE_NEAR, PLACE_RAW, "multi_queue")

    def make_veth(self):
        near, far = self.near, self.far
        near.ip("link add near0 type veth peer name far0")
        os.set_inheritable(far.fd, True)
        subprocess.run(["ip", "link", "set", "far0", "netns",
                        f"/proc/self/fd/{far.fd}"], check=True,
                       pass_fds=[far.fd])
        near.ip(f"addr add {VETH_NEAR}/24 dev near0")
        far.ip(f"addr add {VETH_FAR}/24 dev far0")
        near.ip("link set near0 up")
        far.ip("link set far0 up")
        # For programs that do not choose: cubic, as the measured ones do.
        near.ip("route replace 10.78.0.0/24 dev near0 congctl cubic")
        far.ip("route replace 10.78.0.0/24 dev far0 congctl cubic")

    def make_tap(self, tap, address, raw, more=""):
        near = self.near
        subnet = address.rsplit(".", 1)[0] + ".0/24"
        near.ip(f"tuntap add dev {tap} mode tap vnet_hdr {more}")
        near.ip(f"addr add {address}/24 dev {tap}")
        near.ip(f"link set {tap} txqueuelen 2000 up")
        near.ip(f"route replace {subnet} dev {tap} congctl cubic")
        near.ip(f"neigh replace {raw} lladdr {RAW_MAC} nud permanent "
                f"dev {tap}")

    def tap_mac(self, tap=TAP):
        words = self.near.ip(f"-o link show dev {tap}").split()
        return words[words.index("link/ether") + 1]

    def veth_offloads(self, on):
        state = "on" if on else "off"
        for namespace, name in ((self.near, "near0"), (self.far, "far0")):
            namespace.run("ethtool", "-K", name, "tso", state, "gso", state,
                          "gro", state, "tx", state)


class WireNetwork:
    def __init__(self):
        self.middle = Namespace()
        self.ends = {}
        for side, address in (("left", WIRE_LEFT), ("right", WIRE_RIGHT)):
            unshare(CLONE_NEWNET)
            self.ends[f"kernel-{side}"] = end = Namespace()
            self.middle.join()
            self.make_veth(f"{side}0", end, address)
        self.middle.ip(f"tuntap add dev {WIRE_TAP} mode tap vnet_hdr")
        for name in WIRE_ENDS.values():
            # It only hands frames on, and says nothing itself.
            self.middle.run("sysctl", "-q", "-w",
                            f"net.ipv6.conf.{name}.disable_ipv6=1")
            self.middle.ip(f"link set {name} arp off txqueuelen 2000 up")

    def make_veth(self, name, end, address):
        self.middle.ip(f"link add {name} type veth peer name {name}k")
        os.set_inheritable(end.fd, True)
        subprocess.run(["ip", "link", "set", f"{name}k", "netns",
                        f"/proc/self/fd/{end.fd}"], check=True,
                       pass_fds=[end.fd])
        end.ip(f"link set {name}k name kernel0")
        end.ip(f"addr add {address}/24 dev kernel0")
        end.ip("link set lo up")
        end.ip("link set kernel0 up")
        # A frame is a packet, and its checksum is there; and a connection
        # begins without what the kernel remembers of the one before it.
        for where, device in ((end, "kernel0"), (self.middle, name)):
            where.run("ethtool", "-K", device, "tso", "off", "gso", "off",
                      "gro", "off", "tx", "off")
        end.run("sysctl", "-q", "-w", "net.ipv4.tcp_no_metrics_save=1")

    def forget(self):
        """Who had an address in the last measurement may not have it now."""
        for end in self.ends.values():
            end.ip("neigh flush all")
