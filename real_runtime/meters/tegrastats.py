"""What does tegrastats say of a Jetson's power? The module's input rail, from its log or from the running program.

JetPack 4 writes ``VDD_IN 3056/3056`` (now/mean, in mW), later ones ``VDD_IN 4940mW/4940mW``, behind the time of day in
whole seconds. Only the rail at the module's input counts, as for the sensor itself (jetson_rails.py).
"""

import re
import select
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import numpy as np

from edgesim.errors import MeterError, text_of
from edgesim.metered import Covers, Evidence, MeterFacts, PowerLog, Quantity
from real_runtime.meters.jetson_rails import TOTALS
from real_runtime.meters.meter import JobClock

_RAIL = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]+) (\S+?)(?:mW)?/\S+")
_STAMP, _STAMP_FORMAT = re.compile(r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d(?= )"), "%m-%d-%Y %H:%M:%S"
_SILENT_PERIODS, _STARTS_S = 5, 2.0  # after which a running program counts as silent; and until its first line
_MW = 1e-3


def total_w(line: str) -> float:
    """Return the watts of the module in a line; NaN where it does not say them.

    >>> total_w("RAM 1216/3964MB (lfb 330x4MB) CPU [2%@102] POM_5V_IN 1022/1022 POM_5V_GPU 0/0 POM_5V_CPU 162/162")
    1.022
    """
    said = {name: value for name, value in _RAIL.findall(line) if name in TOTALS}
    for name in TOTALS:
        if name in said:
            return int(said[name]) * _MW if said[name].isdecimal() else float("nan")
    return float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class TegrastatsLog:
    """A log that tegrastats has written.

    Attributes:
        path: of the log.
        period_s: of its lines, as ``--interval`` said.
        began: the time of day of the first line, in s since 1970, where lines have no time of their own.
        behind_s: how much the board's time of day is behind that of the machine that played the traces.
    """

    path: str
    period_s: float = 1.0
    began: float | None = None
    behind_s: float = 0.0

    @property
    def facts(self) -> MeterFacts:
        """What is known of it."""
        return _facts(f"tegrastats log {self.path}", self.period_s)

    def log(self, ranks: Sequence[int], clock: JobClock) -> PowerLog:
        """Return its readings. Raises ValueError for a log whose times cannot be known, or that has no readings."""
        lines = [line for line in text_of(self.path, "tegrastats log").splitlines() if line.strip()]
        watts = np.array([total_w(line) for line in lines])
        if not len(lines) or np.isnan(watts).all():
            rails = sorted(
                {name for line in lines for name, _ in _RAIL.findall(line) if name.startswith(("VDD", "POM"))}
            )
            raise ValueError(
                f"{self.path}: none of {len(lines)} lines says {' or '.join(TOTALS)} "
                f"(rails: {', '.join(rails) or 'none; run tegrastats as root'})"
            )
        at_s = np.array(self._times_s(lines)) + self.behind_s - clock.wall_ahead_s
        missing = int(np.isnan(watts).sum())
        notes = (f"{missing} of {len(lines)} lines say no {' or '.join(TOTALS)}",) if missing else ()
        return PowerLog(facts=self.facts, ranks=tuple(ranks), at_s=at_s, value=watts, notes=notes)

    def _times_s(self, lines: Sequence[str]) -> list[float]:
        """The time of day of each line; those of one second are spread over it."""
        stamps = [_STAMP.match(line) for line in lines]
        if not any(stamps):
            if self.began is None:
                raise ValueError(
                    f"{self.path}: its lines have no time (say when the first was written: meter.began=SECONDS, "
                    "as date +%s.%N says it just before tegrastats starts)"
                )
            return [self.began + i * self.period_s for i in range(len(lines))]
        seconds: list[float] = []
        for number, stamp in enumerate(stamps, start=1):
            if stamp is None:
                raise ValueError(f"{self.path}, line {number}: no time, but other lines have one (drop the line)")
            seconds.append(datetime.strptime(stamp[0], _STAMP_FORMAT).timestamp())
            if len(seconds) > 1 and seconds[-1] < seconds[-2]:
                back_s = seconds[-2] - seconds[-1]
                raise ValueError(
                    f"{self.path}, line {number}: the clock steps back by {back_s:g} s to {stamp[0]} (cut the log "
                    "there, and keep the part that belongs to the run)"
                )
        times: list[float] = []
        for second, group in groupby(seconds):
            count = len(list(group))
            times += [second + (i + 0.5) / count for i in range(count)]
        return times


@dataclass(frozen=True, slots=True, kw_only=True)
class Tegrastats:
    """The program tegrastats, which runs beside.

    Attributes:
        period_s: of its lines.
        command: what is started; ``--interval`` and its milliseconds are added.
    """

    period_s: float = 0.1
    command: tuple[str, ...] | list[str] = ("tegrastats",)
    paces_itself = True

    @property
    def facts(self) -> MeterFacts:
        """What is known of it. Raises MeterError where there is no such program."""
        if shutil.which(self.command[0]) is None:
            raise MeterError(f"no program {self.command[0]} is here: it comes with JetPack, on a Jetson only")
        return _facts("tegrastats", self.period_s)

    def open(self, processes: Sequence[int]) -> "TegrastatsReader":
        """Start the program. Raises MeterError."""
        interval = [*self.command, "--interval", str(round(self.period_s * 1000))]
        try:
            return TegrastatsReader(interval, self.period_s)
        except OSError as error:
            raise MeterError(f"{self.command[0]} does not start: {error.strerror}") from error


class TegrastatsReader:
    """Reads a line when it comes."""

    def __init__(self, command: Sequence[str], period_s: float) -> None:
        self._command, self._patience_s = command, max(_STARTS_S, _SILENT_PERIODS * period_s)
        self._silent_s = _SILENT_PERIODS * period_s
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, bufsize=0
        )
        self._rest = b""

    def read(self) -> float:
        """Wait for the next line, and return its watts. Raises MeterError for one without, and where none comes."""
        assert self._process.stdout is not None, "it is piped"
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._process.stdout], [], [], self._patience_s)
            more = self._process.stdout.read(4096) if ready else None
            if more is None:
                raise MeterError(f"{self._command[0]} has said nothing for {self._patience_s:g} s")
            if not more:
                raise MeterError(f"{self._command[0]} has ended")
            self._rest, self._patience_s = self._rest + more, self._silent_s
        line, _, self._rest = self._rest.partition(b"\n")
        watts = total_w(line.decode(errors="replace"))
        if watts != watts:
            raise MeterError(f"{self._command[0]} says no {' or '.join(TOTALS)} (run as root)")
        return watts

    def close(self) -> None:
        """End the program."""
        assert self._process.stdout is not None, "it is piped"
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def _facts(source: str, period_s: float) -> MeterFacts:
    return MeterFacts(
        source=source,
        covers=Covers.MODULE,
        evidence=Evidence.MEASURED,
        quantity=Quantity.POWER,
        period_s=period_s,
        resolution=_MW,
    )
