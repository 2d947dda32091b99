"""How does the system's own OpenSSH reach a host, and what does it mean when it does not?

Its configuration, agents, known hosts and jump hosts count. What we ask of it: no questions to a person, no host whose
key is not known, one connection for all that goes to a host, and that a line that is cut is noticed.
"""

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from real_runtime.ssh.inventory import Host, Reaching, expanded

_ALIVE_S = 5  # between two questions of ssh's own whether the host is there
# By what ssh writes, from its own sources' words: what it means, and the way out.
_MEANS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that is known: somebody else answers there, or it was installed anew (compare "
        "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host; if it is right, forget the old one: "
        "ssh-keygen -R {known_as})",
    ),
    (
        "Host key verification failed",
        "its host key is not known here (look at it once: {by_hand}, and compare `ssh-keygen -lf "
        "/etc/ssh/ssh_host_ed25519_key.pub` on the host)",
    ),
    (
        "Permission denied",
        "it does not let this user in with this key (ssh-copy-id {by_hand_to}, or name user and key in the inventory)",
    ),
    ("Could not resolve hostname", "its name is not known in this network (write its number as address)"),
    ("Connection refused", "no sshd listens there (sudo apt-get install openssh-server, or another port)"),
    ("No route to host", "it cannot be reached (is it on, and in this network? ping {address})"),
    ("timed out", "it does not answer (is it on, and in this network? ping {address})"),
    ("Connection closed by", "its sshd closed the connection (journalctl -u ssh on the host says why)"),
    ("Broken pipe", "the connection was cut (its cable, its Wi-Fi, or it was switched off)"),
    ("not responding", "the connection was cut (its cable, its Wi-Fi, or it was switched off)"),
    ("Connection reset", "the connection was cut (its cable, its Wi-Fi, or it was switched off)"),
    ("command not found", "it has no {python} (name its Python in the inventory: python: /path/to/python3)"),
    (": not found", "it has no {python} (name its Python in the inventory: python: /path/to/python3)"),
    ("No such file or directory", "it has no {python} (name its Python in the inventory: python: /path/to/python3)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshClient:
    """The commands that reach one host; connections are shared by a socket in ``folder``."""

    name: str
    host: Host
    reaching: Reaching
    folder: Path

    def command(self, *words: str, options: Sequence[str] = ()) -> list[str]:
        """The program and its arguments that run words on the host. Raises ValueError for a file that is not there."""
        host, reaching = self.host, self.reaching
        settings = {
            "BatchMode": "yes",  # nobody is there to answer
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": str(ceil(reaching.connect_s)),
            "ServerAliveInterval": str(_ALIVE_S),
            "ServerAliveCountMax": str(max(1, ceil(reaching.silence_s / _ALIVE_S))),
            "ControlMaster": "auto",
            "ControlPath": str(self.folder / "%C"),
            "ControlPersist": "no",  # it ends with its first session, whatever becomes of us
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "PermitLocalCommand": "no",
            "RequestTTY": "no",
        }
        argv = ["ssh", *(["-F", expanded(reaching.ssh_config)] if reaching.ssh_config else [])]
        for key, value in settings.items():
            argv += ["-o", f"{key}={value}"]
        if host.key is not None:
            argv += ["-i", expanded(host.key), "-o", "IdentitiesOnly=yes"]
        argv += ["-p", str(host.port)] if host.port is not None else []
        argv += ["-l", host.user] if host.user is not None else []
        return [*argv, *options, "--", host.address, shlex.join(words)]

    def run(self, *words: str, timeout_s: float = 30.0) -> bytes:
        """What a command puts out there. Raises subprocess.SubprocessError."""
        done = subprocess.run(
            self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=timeout_s
        )
        return done.stdout

    @property
    def by_hand(self) -> str:
        """How a person reaches the host."""
        host = self.host
        to = host.address if host.user is None else f"{host.user}@{host.address}"
        port = f"-p {host.port} " if host.port is not None else ""
        config = f"-F {self.reaching.ssh_config} " if self.reaching.ssh_config else ""
        return f"ssh {config}{port}{to}"

    def why(self, said: str, code: int | None = None) -> str:
        """What went wrong, from what ssh wrote, and the way out."""
        host, said = self.host, "".join(line for line in said.splitlines(True) if not line.startswith("debug1:"))
        words = {
            "address": host.address,
            "by_hand": self.by_hand,
            "by_hand_to": self.by_hand.removeprefix("ssh "),
            "known_as": host.address if host.port in (None, 22) else f"'[{host.address}]:{host.port}'",
            "python": host.python,
        }
        for sign, means in _MEANS:
            if sign in said:
                return means.format(**words)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        ended = "the connection ended" if code in (None, 255) else f"its agent ended with code {code}"
        return f"{ended}: {lines[-1]}" if lines else f"{ended} without a word (try {self.by_hand})"
