"""How does this machine become a lab? Hosts in network namespaces, each with an sshd, a host key, files and a clock.

Nothing of the machine is changed, and no user of it is made: each sshd runs inside a namespace (lab_host.py) and reads
a list of keys of its own. All of it ends with one holder process, whatever becomes of whoever raised it
(real_runtime/testbeds/netns.py). SSH reaches a host through a program that connects inside the holder's network and
hands the connection over. It needs root.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgesim.errors import RunError
from experiments.testbed.lab_host import LAB
from real_runtime.ssh.inventory import Host, Reaching
from real_runtime.testbeds import netns
from real_runtime.testbeds.netns import NetnsHosts, host_address

SSHD = "/usr/sbin/sshd"
PYTHON = sys.executable
_READY_S, _KEY_S = 10.0, 20.0
_FILES_MB = 64
_FIRST_UID = 20_000  # of users that hosts of a lab have of their own
_CONNECTS = """
import socket, sys
try:
    made = socket.create_connection((sys.argv[1], 22), timeout=4)
except OSError as error:
    sys.exit(f"ssh: connect to host {sys.argv[1]} port 22: {error}")
made.settimeout(None)
socket.send_fds(socket.socket(fileno=1), [b"."], [made.fileno()])
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


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Hosts h0, h1, ... that are up.

    Attributes:
        folder: holds keys and configurations.
        holder: has all namespaces.
        count: of hosts.
        users: [host] who ranks are there; none: root everywhere.
    """

    folder: Path
    holder: NetnsHosts
    count: int
    users: tuple[str, ...] = ()
    sshds: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def host(self, rank: int, **changed: object) -> Host:
        """As an inventory names it."""
        settings: dict[str, object] = {"address": f"h{rank}", "python": PYTHON, "interface": "eth0"}
        if self.users:
            settings |= {"user": self.users[rank], "key": str(self.folder / self.users[rank])}
        return Host(**settings | changed)  # type: ignore[arg-type]

    def hosts(self, **changed: Host) -> dict[str, Host]:
        """All of them by name, some of them changed."""
        return {f"h{rank}": changed.get(f"h{rank}", self.host(rank)) for rank in range(self.count)}

    def reaching(self, **changed: object) -> Reaching:
        """How they are reached."""
        settings: dict[str, object] = {"ssh_config": str(self.folder / "config"), "connect_s": 8.0, "starts_s": 60.0}
        return Reaching(**settings | changed)  # type: ignore[arg-type]


@contextmanager
def lab(
    folder: Path,
    hosts: int,
    *,
    mbit_per_s: Sequence[float] | float = 400.0,
    ahead_s: Sequence[float] | None = None,
    home_mb: int = 64,
    users: Sequence[str] = (),
) -> Iterator[Lab]:
    """Hosts with lines of these rates, clocks that are so far ahead of ours, and users of their own. Raises RunError.

    Ranks are root there if nobody else is named.
    """
    rates = [mbit_per_s] * hosts if isinstance(mbit_per_s, int | float) else list(mbit_per_s)
    _make_keys(folder, hosts, users)
    with netns.hosts([rate * 1e6 / 8 for rate in rates]) as holder:
        made = Lab(folder=folder, holder=holder, count=hosts, users=tuple(users))
        _configure(made)
        try:
            for rank in range(hosts):
                ahead_ns = round((ahead_s or [0.0] * hosts)[rank] * 1e9)
                asked = {"home_mb": home_mb, "files_mb": _FILES_MB, "ahead_ns": ahead_ns}
                made.sshds.append(_started(made, rank, asked))
            for rank in range(hosts):
                _wait_until_it_listens(folder / f"h{rank}.log")
            yield made
        finally:
            for sshd in made.sshds:
                sshd.kill()
                sshd.wait()


def _started(made: Lab, rank: int, asked: dict[str, Any]) -> "subprocess.Popen[bytes]":
    user = made.users[rank] if made.users else None
    of_host = {
        "name": f"h{rank}",
        "lab": str(made.folder),
        "sshd": SSHD,
        "user": user,
        "uid": 0 if user is None else _FIRST_UID + rank,
        "base": str(Path(sys.base_prefix).resolve()),
    }
    becomes = files("experiments.testbed").joinpath("lab_host.py").read_text()
    enter = [*made.holder.enter(), "ip", "netns", "exec", f"h{rank}"]
    with (made.folder / f"h{rank}.log").open("wb") as log:
        return subprocess.Popen(
            [*enter, PYTHON, "-I", "-c", becomes, json.dumps(of_host | asked)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _wait_until_it_listens(log: Path) -> None:
    until_s = time.monotonic() + _READY_S
    while "Server listening" not in (said := log.read_text()):
        if time.monotonic() > until_s:
            raise RunError(f"the sshd of a lab's host did not come up within {_READY_S:g} s: {said}")
        time.sleep(0.02)


def _make_keys(folder: Path, hosts: int, users: Sequence[str]) -> None:
    """A key for each host, for each user, and, where nobody is named, for root, and for a stranger whom none knows."""
    for name in (*(users or ("user",)), "stranger", *(f"h{rank}.key" for rank in range(hosts))):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)],
            check=True,
            timeout=_KEY_S,
        )
    known = [f"{host_address(rank)} {(folder / f'h{rank}.key.pub').read_text()}" for rank in range(hosts)]
    (folder / "known_hosts").write_text("".join(known))
    if not users:
        shutil.copy(folder / "user.pub", folder / "authorized_keys")


def _configure(made: Lab) -> None:
    """Write what ssh reads here, and what each sshd reads there."""
    folder = made.folder
    (folder / "connects.py").write_text(_CONNECTS)
    enter = " ".join(["nsenter", f"--net=/proc/{made.holder.holder}/ns/net"])
    lines = []
    for rank in range(made.count):
        address = host_address(rank)
        lines += [
            f"Host h{rank}",
            f"  HostName {address}",
            f"  HostKeyAlias {address}",
            f"  ProxyCommand {enter} {PYTHON} -I {folder / 'connects.py'} {address}",
        ]
        own = ["SetEnv HOME=/media", f"AuthorizedKeysFile {LAB}/authorized_keys", "StrictModes no"]
        if made.users:
            own = ["PermitRootLogin no", f"AllowUsers {made.users[rank]}"]
            uid, list_of_users = _FIRST_UID + rank, Path("/etc/passwd").read_text()
            mine = f"{made.users[rank]}:x:{uid}:{uid}::/media:/bin/sh\n"
            (folder / f"h{rank}.passwd").write_text(list_of_users + mine)
        of_all = (
            f"ListenAddress {address}:22\nHostKey {LAB}/h{rank}.key\nPermitRootLogin prohibit-password\nUsePAM no\n"
            "PidFile none\nPasswordAuthentication no\nAllowTcpForwarding no\nX11Forwarding no\nPrintMotd no\n"
            "LogLevel INFO\n"
        )
        (folder / f"h{rank}.sshd").write_text("\n".join([*own, of_all]))
    lines += [
        "Host *",
        "  ProxyUseFdpass yes",
        f"  UserKnownHostsFile {folder / 'known_hosts'}",
        "  GlobalKnownHostsFile /dev/null",
        "  IdentitiesOnly yes",
        *([] if made.users else ["  User root", f"  IdentityFile {folder / 'user'}"]),
    ]
    (folder / "config").write_text("\n".join(lines) + "\n")
