"""A lab for tests: hosts in network namespaces, each with its own sshd, host key, home, folder for files, and clock.

No user is made: each sshd runs as root inside a namespace and reads a list of keys of its own. All of it ends with
one holder process, whatever becomes of the tests (real_runtime/testbeds/netns.py). SSH reaches a host through a program
that connects inside the holder's network and hands the connection over.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from real_runtime.ssh.inventory import Host, Reaching
from real_runtime.testbeds import netns
from real_runtime.testbeds.netns import NetnsHosts, host_address
from real_runtime.testbeds.spec import TestbedSpec

SSHD = "/usr/sbin/sshd"
PYTHON = sys.executable
READY_S = 10.0
CONNECTS = """
import socket, sys
try:
    made = socket.create_connection((sys.argv[1], 22), timeout=4)
except OSError as error:
    sys.exit(f"ssh: connect to host {sys.argv[1]} port 22: {error}")
made.settimeout(None)
socket.send_fds(socket.socket(fileno=1), [b"."], [made.fileno()])
"""
# Inside a host's network and mounts: a process table, a home and a folder for files of its own; a clock that is ahead.
BECOMES = """
import ctypes, os, subprocess, sys
lab, home_mb, files_mb, ahead_ns, *sshd = sys.argv[1:]
mounts = [["--make-rprivate", "/"], ["-t", "proc", "proc", "/proc"], ["--bind", lab, "/mnt"]]
for size, place in ((home_mb, "/media"), (files_mb, "/tmp")):
    mounts.append(["-t", "tmpfs", "-o", f"size={size}m", "host", place])
for mount in mounts:
    subprocess.run(["mount", *mount], check=True)
os.makedirs("/run/sshd", exist_ok=True)
if int(ahead_ns):
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(0x80) != 0:
        sys.exit("no time namespace: " + os.strerror(ctypes.get_errno()))
    seconds, rest = divmod(int(ahead_ns), 10**9)
    with open("/proc/self/timens_offsets", "w") as offsets:
        offsets.write(f"monotonic {seconds} {rest}")
    if os.fork():
        os.wait()
        sys.exit()
os.execv(sshd[0], sshd)
"""


def problem() -> str | None:
    """Why there can be no lab here; None if there can."""
    if os.geteuid() != 0:
        return "a lab of hosts with sshd needs root"
    if Path(PYTHON).is_relative_to("/tmp"):
        return f"{PYTHON} lies in /tmp, of which every host of a lab has its own (check out elsewhere)"
    for tool in (SSHD, "ssh", "ssh-keygen"):
        if shutil.which(tool) is None:
            return f"{tool} is missing (apt-get install openssh-server openssh-client)"
    return netns.problem()


@dataclass(kw_only=True)
class Lab:
    """Hosts h0, h1, ... that are up; ``folder`` holds keys and configurations."""

    folder: Path
    holder: NetnsHosts
    count: int
    sshds: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def host(self, rank: int, **changed: object) -> Host:
        """As an inventory names it."""
        settings: dict[str, object] = {"address": f"h{rank}", "python": PYTHON, "interface": "eth0"}
        return Host(**settings | changed)  # type: ignore[arg-type]

    def hosts(self, **changed: Host) -> dict[str, Host]:
        """All of them by name, some of them changed."""
        return {f"h{rank}": changed.get(f"h{rank}", self.host(rank)) for rank in range(self.count)}

    def reaching(self, **changed: object) -> Reaching:
        """How they are reached."""
        settings: dict[str, object] = {"ssh_config": str(self.folder / "config"), "connect_s": 8.0, "starts_s": 60.0}
        return Reaching(**settings | changed)  # type: ignore[arg-type]

    def spec(self, **changed: object) -> TestbedSpec:
        """A testbed of all hosts."""
        settings: dict[str, object] = {"kind": "ssh", "hosts": self.hosts(), "reaching": self.reaching()}
        return TestbedSpec(**settings | {"deadline_s": 30.0} | changed)  # type: ignore[arg-type]

    def processes(self, rank: int) -> dict[int, str]:
        """The processes in a host's network, by number, and what they are; of the lab's own there is sshd only."""
        network = (Path(f"/proc/{self.holder.holder}/root/run/netns") / f"h{rank}").stat().st_ino
        found = {}
        for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
            try:
                if os.readlink(f"/proc/{pid}/ns/net") == f"net:[{network}]":
                    found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:
                continue
        return found

    def sshd(self, rank: int) -> int:
        """The number of the host's listening sshd."""
        return next(pid for pid, what in self.processes(rank).items() if what.startswith(("sshd: /usr", SSHD)))

    def root(self, rank: int) -> Path:
        """The host's files, as its sshd sees them."""
        return Path(f"/proc/{self.sshd(rank)}/root")

    def left(self) -> list[str]:
        """What is on the hosts that should not be: processes that are not the listening sshd, files in /tmp."""
        found = []
        for rank in range(self.count):
            own = self.sshd(rank)
            others = [what for pid, what in self.processes(rank).items() if pid != own and "timens_offsets" not in what]
            found += [f"h{rank}: {what}" for what in others if what]
            found += [f"h{rank}: {path.name}" for path in (self.root(rank) / "tmp").iterdir()]
        return found

    def nothing_is_left(self, within_s: float = 10.0) -> list[str]:
        """What is still left after some seconds, in which sessions end."""
        until_s = time.monotonic() + within_s
        while (found := self.left()) and time.monotonic() < until_s:
            time.sleep(0.05)
        return found

    def on_host(self, rank: int, *command: str) -> str:
        """What a command puts out in the host's network."""
        enter = [*self.holder.enter(), "ip", "netns", "exec", f"h{rank}", *command]
        return subprocess.run(enter, check=True, capture_output=True, text=True, timeout=120).stdout


@contextmanager
def lab(
    folder: Path,
    hosts: int,
    *,
    mbit_per_s: Sequence[float] | float = 400.0,
    ahead_s: Sequence[float] | None = None,
    home_mb: int = 64,
) -> Iterator[Lab]:
    """Hosts with lines of these rates and clocks that are so far ahead of ours."""
    rates = [mbit_per_s] * hosts if isinstance(mbit_per_s, int | float) else list(mbit_per_s)
    _keys(folder, hosts)
    with netns.hosts([rate * 1e6 / 8 for rate in rates]) as holder:
        _configure(folder, hosts, holder)
        made = Lab(folder=folder, holder=holder, count=hosts)
        try:
            for rank in range(hosts):
                ahead_ns = round((ahead_s or [0.0] * hosts)[rank] * 1e9)
                sshd = [SSHD, "-D", "-e", "-f", f"/mnt/h{rank}.sshd"]
                words = [str(folder), str(home_mb), "64", str(ahead_ns), *sshd]
                inside = [*holder.enter(), "ip", "netns", "exec", f"h{rank}", PYTHON, "-I", "-c", BECOMES, *words]
                with (folder / f"h{rank}.log").open("wb") as log:
                    made.sshds.append(subprocess.Popen(inside, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
            for rank in range(hosts):
                _until_it_listens(folder / f"h{rank}.log")
            yield made
        finally:
            for sshd_process in made.sshds:
                sshd_process.kill()
                sshd_process.wait()


def _until_it_listens(log: Path) -> None:
    until_s = time.monotonic() + READY_S
    while "Server listening" not in (said := log.read_text()):
        if time.monotonic() > until_s:
            raise RuntimeError(f"sshd did not come up: {said}")
        time.sleep(0.02)


def _keys(folder: Path, hosts: int) -> None:
    for name in ("user", "stranger", *(f"h{rank}.key" for rank in range(hosts))):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)],
            check=True,
            timeout=20,
        )
    known = [f"{host_address(rank)} {(folder / f'h{rank}.key.pub').read_text()}" for rank in range(hosts)]
    (folder / "known_hosts").write_text("".join(known))
    shutil.copy(folder / "user.pub", folder / "authorized_keys")


def _configure(folder: Path, hosts: int, holder: NetnsHosts) -> None:
    (folder / "connects.py").write_text(CONNECTS)
    enter = " ".join(["nsenter", f"--net=/proc/{holder.holder}/ns/net"])
    lines = []
    for rank in range(hosts):
        address = host_address(rank)
        lines += [
            f"Host h{rank}",
            f"  HostName {address}",
            f"  HostKeyAlias {address}",
            f"  ProxyCommand {enter} {PYTHON} -I {folder / 'connects.py'} {address}",
        ]
        (folder / f"h{rank}.sshd").write_text(
            f"ListenAddress {address}:22\nHostKey /mnt/h{rank}.key\nAuthorizedKeysFile /mnt/authorized_keys\n"
            "PermitRootLogin prohibit-password\nUsePAM no\nStrictModes no\nPidFile none\nPasswordAuthentication no\n"
            "SetEnv HOME=/media\nAllowTcpForwarding no\nX11Forwarding no\nPrintMotd no\nLogLevel INFO\n"
        )
    lines += [
        "Host *",
        "  User root",
        "  ProxyUseFdpass yes",
        f"  UserKnownHostsFile {folder / 'known_hosts'}",
        "  GlobalKnownHostsFile /dev/null",
        f"  IdentityFile {folder / 'user'}",
        "  IdentitiesOnly yes",
    ]
    (folder / "config").write_text("\n".join(lines) + "\n")
