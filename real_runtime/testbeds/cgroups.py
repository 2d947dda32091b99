"""How does root hold a host to a CPU quota and a memory limit? Control groups, version 1 or 2, always removed."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgesim.errors import RunError

_ROOT = Path("/sys/fs/cgroup")
# Scales as 1/f within 4 %; 5 ms is biased, and shorter tasks than the quota run unslowed.
_PERIOD_US = 10_000
_SETTLES_S = 60.0  # between the making of a group and its first process


def _version_2() -> bool:
    return (_ROOT / "cgroup.controllers").exists()


def available() -> bool:
    """Whether this user may make control groups here."""
    needed = [_ROOT] if _version_2() else [_ROOT / "cpu", _ROOT / "memory"]
    return all(folder.is_dir() and os.access(folder, os.W_OK) for folder in needed)


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One host's group: a folder per controller; of the processor's only where it ``throttles``.

    A throttled group's threads may not precede others (priority.py).
    """

    name: str
    throttles: bool = True

    @property
    def cpu(self) -> Path:
        """The folder of the CPU controller."""
        return _ROOT / self.name if _version_2() else _ROOT / "cpu" / self.name

    @property
    def memory(self) -> Path:
        """The folder of the memory controller."""
        return _ROOT / self.name if _version_2() else _ROOT / "memory" / self.name

    @property
    def folders(self) -> list[Path]:
        """What there is of it."""
        return sorted({self.cpu, self.memory} if self.throttles else {self.memory})

    def limit_cpu(self, fraction: float) -> None:
        """Let the group use this fraction of one core."""
        quota = max(1000, round(fraction * _PERIOD_US))
        if _version_2():
            (self.cpu / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        else:
            (self.cpu / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self.cpu / "cpu.cfs_quota_us").write_text(str(quota))

    def limit_memory(self, extra_bytes: int) -> None:
        """Let a process, once in the group, hold so many bytes more than it does when it is added.

        Memory that was taken before is not charged to the group, so the limit counts what the model adds.
        """
        (self.memory / ("memory.max" if _version_2() else "memory.limit_in_bytes")).write_text(str(extra_bytes))

    def add(self, pid: int) -> None:
        """Put a process into the group."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def oom_kills(self) -> int:
        """How often the kernel killed for memory in this group."""
        events = self.memory / ("memory.events" if _version_2() else "memory.oom_control")
        counts = events.read_text().split() if events.exists() else []
        return int(counts[counts.index("oom_kill") + 1]) if "oom_kill" in counts else 0


def remove_abandoned() -> None:
    """Remove the groups of dead coordinators: the shell that looks after them may have been killed as well."""
    every = Cgroup("edgesim-*")
    for folder in every.folders:
        for left in folder.parent.glob(folder.name):
            owner = re.fullmatch(r"edgesim-(\d+)-\d+", left.name)
            # Of another container we may not see the processes; but its groups are not old and empty.
            with suppress(OSError):
                if owner and not Path("/proc", owner[1]).exists() and time.time() - left.stat().st_mtime > _SETTLES_S:
                    left.rmdir()


@contextmanager
def groups(ranks: int, *, throttle: bool) -> Iterator[list[Cgroup]]:
    """A group per rank, whether or not it is to throttle processors. Raises RunError without the permission."""
    if not available():
        raise RunError("control groups need root and a writable /sys/fs/cgroup (leave testbed.cpu_quota off)")
    remove_abandoned()
    made = [Cgroup(f"edgesim-{os.getpid()}-{rank}", throttle) for rank in range(ranks)]
    folders = [folder for group in made for folder in group.folders]
    for folder in folders:
        folder.mkdir()
    # A shell that outlives a killed coordinator removes the groups once their processes are gone.
    names = " ".join(map(str, folders))
    tidy = f"cat > /dev/null; for i in $(seq 100); do rmdir {names} 2> /dev/null; "
    tidy += f"left=0; for d in {names}; do [ -d $d ] && left=1; done; [ $left = 0 ] && exit 0; sleep 0.1; done"
    janitor = subprocess.Popen(["sh", "-c", tidy], stdin=subprocess.PIPE, start_new_session=True)
    assert janitor.stdin is not None
    try:
        yield made
    finally:
        janitor.stdin.close()
        janitor.wait()
