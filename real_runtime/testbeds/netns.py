"""How are hosts isolated? As network namespaces on one bridge; a token bucket (tc TBF) shapes each NIC both ways.

A holder process owns private mount, network and process namespaces (and, without root, a user namespace). When it ends,
for whatever reason, the kernel removes every namespace in it and kills every process in it. It ends when its standard
input closes, so that even a killed coordinator leaves nothing behind.
"""

import functools
import os
import shutil
import socket
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgesim.errors import RunError
from real_runtime.control.heartbeats.heartbeats import Heartbeats
from real_runtime.testbeds.shaping import shaped
from real_runtime.testbeds.socket_elsewhere import datagram_socket_in

# The machine's own TCP settings must not matter. BBR, some machines' default, takes the two-way traffic of a ring for a
# slower line (80-89 % of what Reno reaches at 20 Mbit/s); a slow start, also after a pause, is not simulated.
_TCP = "congctl reno initcwnd 256 initrwnd 256"
_BRIDGE = "10.77.0.254"  # hosts are .1, .2, ...
_READY_S = 20.0
_UNSHARE = ["--net", "--mount", "--pid"]


@dataclass(frozen=True, slots=True)
class NetnsHosts:
    """Namespaces h0, h1, ... inside the holder's."""

    holder: int  # process id of the holder's shell, seen from outside
    paces: bool = False
    are_here: bool = True
    uncertainties_s: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    def watched(self, ranks: Collection[int]) -> None:
        """It is this machine's load."""

    def interface_of(self, rank: int) -> str:
        """Each has one."""
        return "eth0"

    def namespaces(self, rank: int) -> tuple[str, ...]:
        """The host's network; without root, only who is of the holder's user namespace may enter it."""
        holders = f"/proc/{self.holder}"
        return (*([f"{holders}/ns/user"] if os.geteuid() else []), f"{holders}/root/run/netns/h{rank}")

    def enter(self) -> list[str]:
        """A prefix that runs a command beside the bridge."""
        return [
            "nsenter",
            "--target",
            str(self.holder),
            *(["--user", "--preserve-credentials"] if os.geteuid() else []),
            *_UNSHARE,
        ]

    def on_host(self, rank: int) -> list[str]:
        """A prefix that runs a command in the namespaces of a host's rank."""
        options = ("--user", "--net") if os.geteuid() else ("--net",)
        files = (f"{option}={path}" for option, path in zip(options, self.namespaces(rank), strict=True))
        return ["nsenter", *files, *(["--preserve-credentials"] if os.geteuid() else [])]

    def ear(self, period_s: float) -> Heartbeats:
        """Hears heartbeats that travel the emulated network."""
        return Heartbeats(self.listener(), period_s)

    def listener(self) -> socket.socket:
        """A UDP socket beside the bridge. Raises RunError with the words of who could not make it."""
        user = ["--user", "--preserve-credentials"] if os.geteuid() else []
        try:
            return datagram_socket_in(["nsenter", "--target", str(self.holder), *user, "--net"], _BRIDGE)
        except subprocess.SubprocessError as error:
            raise RunError(f"no socket could be made beside the emulated network's bridge: {error}") from error

    def cut(self, rank: int) -> None:
        """Unplug a host's cable."""
        self._set(rank, "down")

    def mend(self, rank: int) -> None:
        """Plug it in again."""
        self._set(rank, "up")

    def _set(self, rank: int, state: str) -> None:
        subprocess.run([*self.enter(), "ip", "link", "set", f"v{rank}", state], check=True, timeout=10)


def host_address(rank: int) -> str:
    """A host's address in the emulated network."""
    return f"10.77.0.{rank + 1}"


@contextmanager
def hosts(rates_bytes_per_s: Sequence[float]) -> Iterator[NetnsHosts]:
    """Hosts with NICs of these rates. Raises RunError with the kernel's words if they cannot be made."""
    private = ["unshare", *(["--user", "--map-root-user"] if os.geteuid() else []), *_UNSHARE, "--fork", "--kill-child"]
    holder = subprocess.Popen(
        [*private, "bash", "-c", _script(rates_bytes_per_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stderr is not None
    try:
        word, _, pid = holder.stdout.readline().partition(" ")
        if word != "ready":
            holder.stdin.close()
            said = holder.stderr.read().strip().splitlines()
            raise RunError(f"network namespaces could not be made: {said[-1] if said else 'no reason given'}")
        yield NetnsHosts(holder=int(pid))
    finally:
        if not holder.stdin.closed:
            holder.stdin.close()
        try:
            holder.wait(_READY_S)
        except subprocess.TimeoutExpired:
            holder.kill()
            holder.wait()
        holder.stdout.close()
        holder.stderr.close()


def _script(rates_bytes_per_s: Sequence[float]) -> str:
    """What the holder does: bridge, hosts, shapers; tell its process id; wait for the end of its input."""
    lines = [
        "set -e",
        "mount -t tmpfs edgesim /run",
        "mkdir -p /run/netns",
        "ip link set lo up",
        # An address of its own: else it takes that of a host's cable, and another one whenever a cable is plugged in.
        "ip link add bridge0 address 02:00:0a:4d:00:fe type bridge",
        "ip link set bridge0 up",
        f"ip addr add {_BRIDGE}/24 dev bridge0",
    ]
    for rank, rate in enumerate(rates_bytes_per_s):
        inside = f"ip netns exec h{rank}"
        lines += [
            f"ip netns add h{rank}",
            f"ip link add v{rank} type veth peer name eth0 netns h{rank}",
            f"ip link set v{rank} master bridge0 up",
            f"{inside} ip addr add {host_address(rank)}/24 dev eth0",
            f"{inside} ip link set lo up",
            f"{inside} ip link set eth0 up",
            f"{inside} ip route change 10.77.0.0/24 dev eth0 {_TCP}",
            *(f"{inside} {command}" for command in shaped("eth0", rate)),
            *shaped(f"v{rank}", rate),
        ]
    # /proc is still the outer one: its "self" is this shell as the coordinator sees it.
    return "\n".join([*lines, "read -r pid _ < /proc/self/stat", 'echo "ready $pid"', "cat > /dev/null"])


@functools.lru_cache(maxsize=1)
def problem() -> str | None:
    """Why network namespaces do not work here, or None if they do: found out by making one."""
    for tool in ("unshare", "nsenter", "ip", "tc", "bash"):
        if shutil.which(tool) is None:
            return f"the command {tool!r} is missing (util-linux and iproute2 have it)"
    try:
        with hosts([1e6]) as made:
            subprocess.run([*made.on_host(0), "true"], check=True, capture_output=True, timeout=_READY_S)
    except (RunError, subprocess.SubprocessError, OSError) as error:
        return str(error)
    return None
