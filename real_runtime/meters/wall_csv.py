"""What did a meter at the plug write down? A CSV file of a USB or wall meter, with its columns and clock declared.

Such meters see all that the supply delivers, the board with whatever hangs on it, and have a clock of their own.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timezone
from math import isfinite

import numpy as np

from edgesim.errors import text_of
from edgesim.metered import Covers, Evidence, MeterFacts, PowerLog, Quantity
from edgesim.since_3_11 import date_of
from real_runtime.meters.meter import JobClock

_UNITS_W: Mapping[str, float] = {"W": 1.0, "mW": 1e-3}
_UNITS_S: Mapping[str, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_CLOCKS = ("wall", "monotonic")


@dataclass(frozen=True, slots=True, kw_only=True)
class WallCsv:
    """A file with a line of names, then a time and a power on each line; an empty cell is a reading that is missing.

    Attributes:
        path: of the file.
        time_column: the name of the column of times: numbers, or dates such as 2026-03-01T12:00:00.5 (UTC unless they
            say otherwise).
        power_column: the name of the column of powers.
        time_unit: of times that are numbers: s, ms or us.
        power_unit: W or mW.
        clock: ``wall``: times count from 1970 on; ``monotonic``: they are of the clock of the traces.
        behind_s: how much the meter's clock is behind that.
        period_s: from reading to reading.
        averages_s: each is the mean over so long before.
        resolution_w: what it tells apart.
        covers: what hangs on it.
    """

    path: str
    time_column: str
    power_column: str
    period_s: float
    resolution_w: float
    time_unit: str = "s"
    power_unit: str = "W"
    clock: str = "wall"
    behind_s: float = 0.0
    averages_s: float = 0.0
    covers: str = "board"

    def __post_init__(self) -> None:
        for name, known in (("time_unit", _UNITS_S), ("power_unit", _UNITS_W), ("clock", _CLOCKS)):
            if getattr(self, name) not in known:
                raise ValueError(f"wall meter: {name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.covers not in list(Covers):
            raise ValueError(f"wall meter: covers must be one of {', '.join(Covers)}, got {self.covers!r}")

    @property
    def facts(self) -> MeterFacts:
        """What is known of it."""
        return MeterFacts(
            source=f"meter at the plug ({self.path}, column {self.power_column})",
            covers=Covers(self.covers),
            evidence=Evidence.MEASURED,
            quantity=Quantity.POWER,
            period_s=self.period_s,
            resolution=self.resolution_w,
            averages_s=self.averages_s,
        )

    def log(self, ranks: Sequence[int], clock: JobClock) -> PowerLog:
        """Return its readings. Raises ValueError, naming the line, for what is none."""
        text = text_of(self.path, "table of power over time")
        lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
        if not lines:
            raise ValueError(f"{self.path}: no line of names and values")
        mark = max(",;\t", key=lines[0][1].count)
        names = [name.strip() for name in next(csv.reader([lines[0][1]], delimiter=mark))]
        for column in (self.time_column, self.power_column):
            if column not in names:
                raise ValueError(f"{self.path}: no column {column!r} (columns: {', '.join(names)})")
        time, power = names.index(self.time_column), names.index(self.power_column)
        ahead_s = clock.wall_ahead_s if self.clock == "wall" else 0.0
        at_s, watts = [], []
        for number, line in lines[1:]:
            cells = next(csv.reader([line], delimiter=mark))
            if len(cells) <= max(time, power):
                raise ValueError(f"{self.path}, line {number}: {len(cells)} cells, and {len(names)} names above")
            at_s.append(self._seconds(cells[time].strip(), number))
            watts.append(self._watts(cells[power].strip(), number))
            if len(at_s) > 1 and at_s[-1] <= at_s[-2]:
                raise ValueError(
                    f"{self.path}, line {number}: the clock steps back by {at_s[-2] - at_s[-1]:g} s to "
                    f"{cells[time].strip()} (cut the file there, and keep the part that belongs to the run)"
                )
        if not watts or np.isnan(watts).all():
            raise ValueError(f"{self.path}: no reading in column {self.power_column!r}")
        missing = int(np.isnan(watts).sum())
        return PowerLog(
            facts=self.facts,
            ranks=tuple(ranks),
            at_s=np.array(at_s) + self.behind_s - ahead_s,
            value=np.array(watts),
            notes=(f"{missing} of {len(watts)} lines have no reading",) if missing else (),
        )

    def _seconds(self, cell: str, line: int) -> float:
        try:
            return float(cell) * _UNITS_S[self.time_unit]
        except ValueError:
            pass
        try:
            date = date_of(cell)
        except ValueError:
            raise ValueError(
                f"{self.path}, line {line}: {cell!r} is no time (a number, or a date like 2026-03-01T12:00:00.5)"
            ) from None
        return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()

    def _watts(self, cell: str, line: int) -> float:
        if cell == "" or cell.lower() == "nan":
            return float("nan")
        try:
            watts = float(cell) * _UNITS_W[self.power_unit]
        except ValueError:
            watts = float("inf")
        if not isfinite(watts) or watts < 0:
            raise ValueError(
                f"{self.path}, line {line}: {cell!r} is no power in {self.power_unit} (leave a missing one empty)"
            )
        return watts
