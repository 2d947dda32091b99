"""What is a recording of bandwidth? Values over time, for all ranks or for one; a value of 0 is an outage."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from math import inf, isfinite
from typing import NamedTuple

from edgesim.since_3_11 import StrEnum
from edgesim.units import LEAST, MOST, is_reckonable


class Unit(StrEnum):
    """What a value of bandwidth is: a factor of the network's rate, or bytes per second in the place of that rate."""

    FACTOR = "factor"
    RATE = "rate"


class BandwidthChange(NamedTuple):
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
    from and to it: between two ranks the lower counts. While it is 0 bytes wait, and go on afterwards.

    Attributes:
        repeat_s: after how many seconds the table begins anew; infinite: never.
    """

    at_s: tuple[float, ...]
    columns: tuple[Column, ...]
    source: str
    repeat_s: float = inf

    def __post_init__(self) -> None:
        at_s = self.at_s
        if not at_s or at_s[0] != 0 or any(not a < b for a, b in pairwise(at_s)) or not isfinite(at_s[-1]):
            raise ValueError(f"{self.source}: times must begin at 0 s and rise, got {_some(at_s)}")
        if not at_s[-1] < self.repeat_s:
            raise ValueError(f"{self.source}: repeats after {self.repeat_s:g} s, before its last time {at_s[-1]:g} s")
        if not self.columns:
            raise ValueError(f"{self.source}: no column of bandwidth (name one 'factor' or 'rate Mbit/s')")
        ranks = [column.rank for column in self.columns]
        if len(set(ranks)) < len(ranks):
            raise ValueError(f"{self.source}: two columns for {_whose(max(ranks, key=ranks.count))} (drop one)")
        for column in self.columns:
            self._check(column)

    def _check(self, column: Column) -> None:
        if len(column.values) != len(self.at_s):
            raise ValueError(f"{self.source}: {len(self.at_s)} times, but {len(column.values)} values")
        if not all(value == 0 or is_reckonable(value) for value in column.values):
            raise ValueError(
                f"{self.source}: bandwidth of {_whose(column.rank)} must be finite and >= 0, "
                f"got {_some(column.values)} (0 for an outage, or from {LEAST:g} to {MOST:g})"
            )
        if not (any(column.values) if self.repeat_s < inf else column.values[-1]):
            raise ValueError(
                f"{self.source}: bandwidth of {_whose(column.rank)} is 0 at the end: bytes that wait would never "
                "arrive (add a last line with the rate after the outage)"
            )

    def __str__(self) -> str:
        absolute = [_whose(column.rank) for column in self.columns if column.unit is Unit.RATE]
        instead = f" (rates of {', '.join(absolute)}, in the place of the network's)" if absolute else ""
        return f"bandwidth by {self.source}{instead}"

    @property
    def named(self) -> tuple[int, ...]:
        """The ranks that the recording names."""
        return tuple(column.rank for column in self.columns if column.rank is not None)

    def column(self, rank: int) -> Column | None:
        """Return the rank's own column, or that of all; None where there is neither."""
        own = {column.rank: column for column in self.columns}
        return own.get(rank, own.get(None))

    def whose(self, rank: int) -> str:
        """Return whose bandwidth the rank's is: "all", the rank's own by its number, or "" where no column is for it.

        Ranks of which it is the same have the same bandwidth.
        """
        column = self.column(rank)
        return "" if column is None else "all" if column.rank is None else str(rank)

    def changes(self, rank: int, seed: int) -> Iterator[BandwidthChange]:
        """Yield the rank's bandwidth over time, or nothing if no column is for it; the seed is not used."""
        if (column := self.column(rank)) is None:
            return
        for lap in count() if self.repeat_s < inf else (0,):
            begin_s = lap * self.repeat_s if lap else 0.0
            for at_s, value in zip(self.at_s, column.values, strict=True):
                yield BandwidthChange(begin_s + at_s, value, column.unit)


def _whose(rank: int | None) -> str:
    return "all ranks" if rank is None else f"rank {rank}"


def _some(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values[:8]) + (" ..." if len(values) > 8 else "") or "none"
