"""How are hosts isolated? As network namespaces on one bridge; a token bucket (tc TBF) shapes each NIC both ways.

A holder process owns private mount, network and process namespaces (and, without root, a user namespace). When it ends,
for whatever reason, the kernel removes every namespace in it and kills every process in it. It ends when its standard
input closes, so that even a killed coordinator leaves nothing behind.
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgesim.errors import RunError

# A token bucket gives every idle link a free burst: 5 ms of the rate keeps it small against a message, and large enough
# that the shaper's interrupts do not steal computation (16 KB at 100 Mbit/s were seen to cost 39 %, 64 KB under 11 %).
_BURST_S, _MIN_BURST_BYTES = 0.005, 16 * 1024
_QUEUE_MS = 400  # what may wait in the shaper before TCP sees a loss
# The machine's own TCP settings must not matter. BBR, some machines' default, takes the two-way traffic of a ring for a
# slower line (80-89 % of what Reno reaches at 20 Mbit/s); a slow start, also after a pause, is not simulated.
_TCP = "congctl reno initcwnd 256 initrwnd 256"
_READY_S = 20.0
_UNSHARE = ["--net", "--mount", "--pid"]


@dataclass(frozen=True, slots=True)
class NetnsHosts:
    """Namespaces h0, h1, ... inside the holder's."""

    holder: int  # process id of the holder's shell, seen from outside
    interface: str = "eth0"
    paces: bool = False

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

    def cut(self, rank: int) -> None:
        """Unplug a host's cable."""
        subprocess.run([*self.enter(), "ip", "link", "set", f"v{rank}", "down"], check=True, timeout=10)


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
        "ip link add bridge0 type bridge",
        "ip link set bridge0 up",
    ]
    for rank, rate in enumerate(rates_bytes_per_s):
        burst = max(_MIN_BURST_BYTES, round(rate * _BURST_S))
        shape = f"root tbf rate {round(rate * 8)}bit burst {burst}b latency {_QUEUE_MS}ms"
        inside = f"ip netns exec h{rank}"
        lines += [
            f"ip netns add h{rank}",
            f"ip link add v{rank} type veth peer name eth0 netns h{rank}",
            f"ip link set v{rank} master bridge0 up",
            f"{inside} ip addr add 10.77.0.{rank + 1}/24 dev eth0",
            f"{inside} ip link set lo up",
            f"{inside} ip link set eth0 up",
            f"{inside} ip route change 10.77.0.0/24 dev eth0 {_TCP}",
            f"{inside} tc qdisc add dev eth0 {shape}",
            f"tc qdisc add dev v{rank} {shape}",
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
