"""How much bandwidth was there, and when? A table over time, read from CSV; a scenario plays it to the simulator."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import inf, isfinite
from pathlib import Path
from typing import NamedTuple

from edgesim.units import si


class Unit(StrEnum):
    """What a value of bandwidth is: a factor of the network's rate, or bytes per second in the place of that rate."""

    FACTOR = "factor"
    RATE = "rate"


class Change(NamedTuple):
    """From ``at_s`` on, the bandwidth is ``value``."""

    at_s: float
    value: float
    unit: Unit = Unit.FACTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Values over a recording's times: factors, or bytes per second; ``rank`` None: of all ranks without an own one."""

    rank: int | None
    unit: Unit
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Bandwidth by a table: from ``at_s[i]`` on value i of a column holds, and the last one for ever.

    A rank's bandwidth is that of its NIC, both ways; where there are links or a radio channel, of all links or air time
    from and to it: between two ranks the lower counts.
    """

    at_s: tuple[float, ...]
    columns: tuple[Column, ...]
    source: str

    def __post_init__(self) -> None:
        at_s = self.at_s
        if not at_s or at_s[0] != 0 or any(not a < b for a, b in pairwise(at_s)) or not isfinite(at_s[-1]):
            raise ValueError(f"{self.source}: times must begin at 0 s and rise, got {_some(at_s)}")
        if not self.columns:
            raise ValueError(f"{self.source}: no column of bandwidth (name one 'factor' or 'rate Mbit/s')")
        ranks = [column.rank for column in self.columns]
        if len(set(ranks)) < len(ranks):
            raise ValueError(f"{self.source}: two columns for {_whose(max(ranks, key=ranks.count))} (drop one)")
        for column in self.columns:
            if len(column.values) != len(at_s):
                raise ValueError(f"{self.source}: {len(at_s)} times, but {len(column.values)} values")
            if not all(0 < value < inf for value in column.values):
                raise ValueError(
                    f"{self.source}: bandwidth of {_whose(column.rank)} must be positive and finite, "
                    f"got {_some(column.values)}"
                )

    def __str__(self) -> str:
        return f"bandwidth by {self.source}"

    @property
    def named(self) -> tuple[int, ...]:
        """The ranks that the recording names."""
        return tuple(column.rank for column in self.columns if column.rank is not None)

    def changes(self, rank: int, seed: int) -> Iterator[Change]:
        """Yield the rank's bandwidth over time, or nothing if no column is for it; the seed is not used."""
        own = {column.rank: column for column in self.columns}
        column = own.get(rank, own.get(None))
        for at_s, value in zip(self.at_s, column.values, strict=True) if column else ():
            yield Change(at_s, value, column.unit if column else Unit.FACTOR)


_COLUMN = re.compile(r"(?:(?P<factor>factor)|rate (?P<unit>\w*(?:bit|B)/s))(?: @(?P<rank>\d+))?")


def read_recording(path: str | Path) -> Recording:
    """Read a CSV file as :func:`recording_from_csv` does."""
    return recording_from_csv(Path(path).read_text(), source=str(path))


def recording_from_csv(text: str, *, source: str) -> Recording:
    """Read columns ``time_s``, and ``factor`` or ``rate Mbit/s`` (any bit/s or B/s); ``factor @2`` is for rank 2 only.

    Lines that begin with ``#`` are remarks. Raises ValueError, naming the source.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    if len(set(header)) < len(header):
        raise ValueError(f"{source}: column {max(header, key=header.count)!r} appears twice (drop one)")
    if "time_s" not in header:
        raise ValueError(f"{source}: no column time_s (columns: {', '.join(header) or 'none'})")
    for row in body:
        if len(row) != len(header):
            raise ValueError(f"{source}: {len(header)} columns, but a row has {len(row)}: {','.join(row)!r}")
    cells = dict(zip(header, zip(*body, strict=True), strict=True)) if body else {}
    at_s = tuple(_number(cell, source) for cell in cells.pop("time_s", ()))
    return Recording(
        at_s=at_s, columns=tuple(_column(name, values, source) for name, values in cells.items()), source=source
    )


def _column(name: str, cells: Sequence[str], source: str) -> Column:
    if (heading := _COLUMN.fullmatch(name)) is None:
        raise ValueError(f"{source}: unknown column {name!r} (write 'factor' or 'rate Mbit/s', with ' @2' for rank 2)")
    scale = si(f"1 {heading['unit']}") if heading["unit"] else 1.0
    return Column(
        rank=None if heading["rank"] is None else int(heading["rank"]),
        unit=Unit.FACTOR if heading["factor"] else Unit.RATE,
        values=tuple(_number(cell, source) * scale for cell in cells),
    )


def _number(cell: str, source: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{source}: {cell!r} is not a number (units stand in the column's name)") from None


def _whose(rank: int | None) -> str:
    return "all ranks" if rank is None else f"rank {rank}"


def _some(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values[:8]) + (" ..." if len(values) > 8 else "") or "none"
