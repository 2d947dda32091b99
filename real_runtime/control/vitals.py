"""How is a process, as the operating system tells without asking it? State, processor time, pages, memory killer."""

import time
from dataclasses import dataclass
from pathlib import Path

_PROC, _CGROUP = Path("/proc"), Path("/sys/fs/cgroup")
_STATE, _MAJOR_FAULTS = 0, 9  # fields of /proc/PID/stat behind the name


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """One look at a process.

    Attributes:
        state: the kernel's letter: R runs or could, S sleeps, D waits for a disk, T is stopped, Z has ended; "" where
            it is not known.
        main_cpu_s: processor seconds of its first thread, which is the one that computes.
        cpu_s: of all its threads.
        major_faults: how often it had to wait for memory to come from a disk.
    """

    state: str = ""
    main_cpu_s: float = 0.0
    cpu_s: float = 0.0
    major_faults: int = 0

    @property
    def is_stopped(self) -> bool:
        """Whether the operating system holds it (SIGSTOP)."""
        return self.state in ("T", "t")


UNKNOWN = Vitals()
"""Of a process that is gone, or of any where there is no /proc."""


def vitals(pid: int) -> Vitals:
    """A look at a process; UNKNOWN of one that is gone."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        cpu_s = time.clock_gettime((~pid << 3) | 2)  # as the C library's clock_getcpuclockid makes it
    except OSError:
        return UNKNOWN
    return Vitals(
        state=fields[_STATE], main_cpu_s=_main_cpu_s(pid, cpu_s), cpu_s=cpu_s, major_faults=int(fields[_MAJOR_FAULTS])
    )


def _main_cpu_s(pid: int, otherwise_s: float) -> float:
    try:
        return int((_PROC / str(pid) / "schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):  # a kernel without scheduler statistics
        return otherwise_s


def oom_kills() -> int:
    """How often the kernel killed a process of this machine for memory since it started."""
    return _count(_PROC / "vmstat")


def memory_group(pid: int) -> Path | None:
    """The file that counts the kernel's kills for memory in the process's own control group."""
    try:
        lines = (_PROC / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if "memory" in controllers.split(","):
            return _CGROUP / "memory" / path.lstrip("/") / "memory.oom_control"
        if not controllers:
            group = _CGROUP / path.lstrip("/") / "memory.events"
            if group.exists():
                return group
    return None


def group_oom_kills(counter: Path | None) -> int:
    """What that file counts; 0 where it says nothing."""
    return 0 if counter is None else _count(counter)


def _count(file: Path) -> int:
    try:
        words = file.read_text().split()
    except OSError:
        return 0
    return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0
