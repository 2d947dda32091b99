"""How much energy might a process have taken? Its processor time, times watts that somebody has declared.

An estimate, and called one: no sensor is read. Such estimates miss what memory, disk and network take, and are off by
tens of per cent from a meter at the plug.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from edgesim.errors import MeterError
from edgesim.metered import Covers, Evidence, MeterFacts, Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTime:
    """Processor time x watts, of the processes of a host.

    Attributes:
        core_w: what a core takes while it computes, beyond idle_w.
        idle_w: what the host takes all the time.
        watts_source: where these watts come from.
        period_s: from one reading to the next.
    """

    core_w: float
    idle_w: float
    watts_source: str
    period_s: float = 0.1
    paces_itself = False

    def __post_init__(self) -> None:
        for name in ("core_w", "idle_w"):
            if not 0 <= (watts := getattr(self, name)) < float("inf"):
                raise ValueError(f"meter cpu_time: {name} must be finite and >= 0, got {watts:g}")

    @property
    def facts(self) -> MeterFacts:
        """What is known of it. Raises MeterError where the system has no clock of a process's processor time."""
        if not hasattr(time, "clock_gettime"):
            raise MeterError("this system does not tell the processor time of other processes (Linux does)")
        return MeterFacts(
            source=(f"processor time x {self.core_w:g} W per core + {self.idle_w:g} W ({self.watts_source})"),
            covers=Covers.PROCESS,
            evidence=Evidence.ESTIMATED,
            quantity=Quantity.ENERGY,
            period_s=self.period_s,
            resolution=self.core_w * 1e-9,
        )

    def open(self, processes: Sequence[int]) -> "CpuTimeReader":
        """Begin to read these processes. Raises MeterError without any."""
        if not processes:
            raise MeterError("processor time is that of processes, and none was named")
        return CpuTimeReader(self, processes)


class CpuTimeReader:
    """Adds up what processes have used."""

    def __init__(self, meter: CpuTime, processes: Sequence[int]) -> None:
        self._meter, self._processes = meter, processes
        self._began_s, self._before_s = time.monotonic(), self._used_s()

    def read(self) -> float:
        """Return the joules since it was opened. Raises MeterError where a process has ended."""
        used_s, passed_s = self._used_s() - self._before_s, time.monotonic() - self._began_s
        return self._meter.core_w * used_s + self._meter.idle_w * passed_s

    def _used_s(self) -> float:
        try:
            return sum(time.clock_gettime(_clock_of(process)) for process in self._processes)
        except OSError as error:
            raise MeterError(f"a process of {', '.join(map(str, self._processes))} has ended") from error

    def close(self) -> None:
        """Nothing is held open."""


def _clock_of(process: int) -> int:
    """The clock of a process's processor time, as the C library's clock_getcpuclockid makes it."""
    return (~process << 3) | 2
