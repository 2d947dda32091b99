"""How many joules did a run take, device by device and iteration by iteration? What a meter saw of its windows.

A run's window is where its traces are on the machine's clock, from the first task's start to the last one's end. Its
joules are those of the steps between readings that lie in it (steps.py). Where a meter saw less than 95 % of the
window, there are no joules, and it is said why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from edgesim.metered.power_log import PowerLog
from edgesim.metered.steps import Steps, steps_of
from edgesim.trace import Trace

Window = tuple[float, float]
"""From when until when, on the machine's clock."""
LEAST_COVERAGE = 0.95
"""The share of a window that a meter must have seen for its joules to count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOnClock:
    """A trace, and where it is on the machine's clock.

    Attributes:
        began_s: when its second 0 was; on a testbed in slow motion by a clock that is as slow.
        phase: what it is part of, where a whole job is played.
    """

    trace: Trace
    began_s: float
    phase: str = ""

    @property
    def window_s(self) -> Window:
        """From the first task's start to the last one's end, on the machine's clock."""
        return self.began_s + self.trace.first_s, self.began_s + self.trace.last_s


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEnergy:
    """What a meter says of a window.

    Attributes:
        seconds: the window's length.
        seen_s: how much of it lies between readings.
        energy_j: of what was seen; None where that is too little.
        refused: why there are no joules; nothing where there are.
    """

    seconds: float
    seen_s: float
    energy_j: float | None
    refused: str = ""

    @property
    def coverage(self) -> float:
        """The share of the window that was seen."""
        return self.seen_s / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEnergy:
    """What one meter says of a run: of each iteration, of each phase, and of all iterations together.

    Seconds and joules of phases and of the whole are those of its iterations, not of what was between them.
    """

    log: PowerLog
    iterations: tuple[WindowEnergy, ...]
    phases: dict[str, WindowEnergy]
    whole: WindowEnergy


def energy_of(log: PowerLog, played: Sequence[TraceOnClock]) -> LogEnergy:
    """Return the joules of a run that played these, whose windows do not overlap."""
    return energy_of_windows(log, [each.window_s for each in played], [each.phase for each in played])


def energy_of_windows(log: PowerLog, windows: Sequence[Window], phase: Sequence[str]) -> LogEnergy:
    """Return the joules of windows that do not overlap; ``phase`` is what each is part of, nothing where of none."""
    steps = steps_of(log)
    seen = [steps.within(*window) for window in windows]
    lengths_s = [end_s - start_s for start_s, end_s in windows]

    def together(numbers: Sequence[int]) -> WindowEnergy:
        return _judged(log, fsum(lengths_s[i] for i in numbers), [seen[i] for i in numbers])

    return LogEnergy(
        log=log,
        iterations=tuple(together([i]) for i in range(len(windows))),
        phases={
            name: together([i for i, each in enumerate(phase) if each == name]) for name in dict.fromkeys(phase) if name
        },
        whole=together(range(len(windows))),
    )


def window_energy(log: PowerLog, start_s: float, end_s: float) -> WindowEnergy:
    """Return what a meter says of one window on the machine's clock."""
    return _judged(log, end_s - start_s, [steps_of(log).within(start_s, end_s)])


def _judged(log: PowerLog, seconds: float, parts: Sequence[Steps]) -> WindowEnergy:
    seen_s = fsum(part.seconds for part in parts)
    if seconds > 0 and seen_s >= LEAST_COVERAGE * seconds:
        energy_j = fsum(joules for part in parts for joules in part.joules.tolist())
        return WindowEnergy(seconds=seconds, seen_s=seen_s, energy_j=energy_j)
    share = seen_s / seconds if seconds > 0 else 0.0
    why = "; ".join(log.notes) or "readings are missing or too far apart"
    return WindowEnergy(
        seconds=seconds,
        seen_s=seen_s,
        energy_j=None,
        refused=f"no joules: {log.facts.source} saw {share:.1%} of {seconds:.3g} s, and 95 % are needed ({why})",
    )
