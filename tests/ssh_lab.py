"""A lab for tests: experiments/testbed/lab.py, and what tests look for on its hosts."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from experiments.testbed import lab as raised
from experiments.testbed.lab import PYTHON, SSHD, problem
from real_runtime.testbeds.spec import TestbedSpec

__all__ = ["PYTHON", "Lab", "lab", "problem"]


class Lab(raised.Lab):
    """Hosts h0, h1, ... that are up, into which tests look."""

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

    def enter(self, rank: int) -> list[str]:
        """A prefix that runs a command with a host's network and files."""
        return ["nsenter", "--target", str(self.sshd(rank)), "--mount", "--net"]

    def on_host(self, rank: int, *command: str) -> str:
        """What a command puts out there."""
        whole = [*self.enter(rank), *command]
        return subprocess.run(whole, check=True, capture_output=True, text=True, timeout=120).stdout


@contextmanager
def lab(folder: Path, hosts: int, **settings: Any) -> Iterator[Lab]:
    """As :func:`experiments.testbed.lab.lab` raises it."""
    with raised.lab(folder, hosts, **settings) as made:
        yield Lab(**{each.name: getattr(made, each.name) for each in fields(made)})
