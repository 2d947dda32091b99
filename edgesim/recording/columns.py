"""What does a column of a bandwidth table say? Its name holds its unit; its cells are numbers, or times of day.

Times: ``time_s``, ``time_ms``, ``time (min)`` count from 0. ``timestamp``, ``timestamp_ms`` count from the first line,
as do dates such as 2026-03-01T12:00:00. Bandwidth: ``factor``, or ``rate Mbit/s`` with any of bit/s, bps, B/s, byte/s
and k, M, G before it; ``@2`` at the end: for rank 2 only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timezone
from itertools import pairwise
from math import inf

from edgesim.recording.recording import Column, Unit
from edgesim.since_3_11 import date_of
from edgesim.units import si

_TIME = re.compile(r"(?P<kind>time|timestamp)(?:[ _]*[(\[]?(?P<unit>s|ms|us|min|h)[)\]]?)?", re.IGNORECASE)
_BANDWIDTH = re.compile(
    r"(?:(?P<factor>factor)|(?:rate|bandwidth|throughput)[ _]*[(\[]?"
    r"(?P<prefix>[kKMG]?)(?P<unit>bits?/s|bps|bytes?/s|B/s)[)\]]?)(?: *@(?P<rank>\d+))?"
)
# A time since 1970 by its size: seconds until the year 5138, milliseconds from 1973 on, and so forth.
_SINCE_1970 = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value as it stands in a file, and where."""

    text: str
    line: int
    source: str

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.source}, line {self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How a column of times counts: ``unit_s`` None where the values' size tells; ``absolute``: from the first line."""

    unit_s: float | None
    absolute: bool


def clock_of(name: str, source: str) -> Clock | None:
    """What a column of times counts, by its name; None for another column. Raises ValueError for a missing unit."""
    if (heading := _TIME.fullmatch(name)) is None:
        return None
    absolute = heading["kind"].lower() == "timestamp"
    if heading["unit"] is None and not absolute:
        raise ValueError(f"{source}: column {name!r} has no unit (name it time_s or time_ms, or timestamp)")
    return Clock(unit_s=None if heading["unit"] is None else si(f"1 {heading['unit'].lower()}"), absolute=absolute)


def seconds_of(cells: Sequence[Cell], clock: Clock) -> tuple[float, ...]:
    """The times of a column, from 0 s on. Raises ValueError for the first line that does not follow."""
    times = [_stamp_s(cell, clock.unit_s) if clock.absolute else number(cell) * (clock.unit_s or 1) for cell in cells]
    first = times[0]
    if clock.absolute:
        times = [at_s - first for at_s in times]
    elif first != 0:
        raise ValueError(
            f"{cells[0].place}: the first time is {first:g} s, and times begin at 0 s (subtract {cells[0].text} from "
            "all, or name the column timestamp_s: then they count from the first)"
        )
    for cell, (before, after) in zip(cells[1:], pairwise(times), strict=True):
        if not before < after < inf:
            raise ValueError(f"{cell.place}: time {cell.text} does not come after the line before (sort, drop repeats)")
    return tuple(times)


def _stamp_s(cell: Cell, unit_s: float | None) -> float:
    """Seconds since some moment; which one does not matter, for only differences count."""
    try:
        value = float(cell.text)
    except ValueError:
        return _date_s(cell)
    if unit_s is None:
        unit_s = next((unit_s for least, unit_s in _SINCE_1970 if value >= least), None)
    if unit_s is None:
        raise ValueError(
            f"{cell.place}: {cell.text} is no time since 1970, and so has no unit (name the column timestamp_s or "
            "timestamp_ms)"
        )
    return value * unit_s


def _date_s(cell: Cell) -> float:
    try:
        date = date_of(cell.text)
    except ValueError:
        raise ValueError(
            f"{cell.place}: {cell.text!r} is no time (write seconds since 1970, or a date like 2026-03-01T12:00:00)"
        ) from None
    return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()


def column_of(name: str, cells: Sequence[Cell], source: str) -> Column:
    """A column of bandwidth. Raises ValueError for a name without a unit, and for a value that no link has."""
    if (heading := _BANDWIDTH.fullmatch(name)) is None:
        raise ValueError(
            f"{source}: unknown column {name!r} (write 'factor' or 'rate Mbit/s', with ' @2' for rank 2; units: bit/s, "
            "kbit/s, Mbit/s, B/s, kB/s, MB/s)"
        )
    base = "bit" if (heading["unit"] or "").startswith("b") and "byte" not in heading["unit"] else "B"
    scale = 1.0 if heading["factor"] else si(f"1 {heading['prefix']}{base}/s")
    values = tuple(number(cell) * scale for cell in cells)
    for cell, value in zip(cells, values, strict=True):
        if not 0 <= value < inf:
            raise ValueError(f"{cell.place}: {cell.text} in {name!r} must be finite and >= 0 (0 is an outage)")
    if values[-1] == 0:
        raise ValueError(
            f"{cells[-1].place}: {name!r} ends at 0, and bytes that wait would never arrive (add a last line with the "
            "rate after the outage)"
        )
    return Column(
        rank=None if heading["rank"] is None else int(heading["rank"]),
        unit=Unit.FACTOR if heading["factor"] else Unit.RATE,
        values=values,
    )


def number(cell: Cell) -> float:
    """A cell's number. Raises ValueError, naming its line."""
    try:
        return float(cell.text)
    except ValueError:
        pass
    hint = "units stand in the column's name"
    if re.fullmatch(r"[-+]?\d+,\d+", cell.text):
        hint = "write decimals with a point"
    elif not any(sign.isdigit() for sign in cell.text):
        hint = "write 0 for an outage, or drop the line: the rate before it holds on"
    raise ValueError(f"{cell.place}: {cell.text!r} is not a number ({hint})")
