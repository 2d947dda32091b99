"""Which outputs of frozen layers has every rank cached? By layer, position of the batch, and iteration of the epoch.

A sample is told by its position in the batch, which is that of as many samples as the epoch has iterations. What a
schedule leaves on disks stands in it: its CACHE_WRITE tasks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edgesim.schedule import Kind, Op, Schedule

Span = tuple[int, int]


class KeptPart(NamedTuple):
    """Outputs of consecutive layers, at consecutive positions, of consecutive iterations, on a rank's disk."""

    rank: int
    layers: Span
    positions: Span
    iterations: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOutputs:
    """All that is cached anywhere; parts may overlap, also on one rank."""

    parts: tuple[KeptPart, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(sorted(set(self.parts))))

    def with_parts(self, more: Iterable[KeptPart]) -> "KeptOutputs":
        """These and more."""
        return KeptOutputs(parts=(*self.parts, *more))

    def without(self, ranks: Iterable[int]) -> "KeptOutputs":
        """What is left when these ranks are gone."""
        gone = set(ranks)
        return KeptOutputs(parts=tuple(part for part in self.parts if part.rank not in gone))

    def of_ranks(self, ranks: Iterable[int]) -> "KeptOutputs":
        """What these ranks have."""
        some = set(ranks)
        return KeptOutputs(parts=tuple(part for part in self.parts if part.rank in some))


def written_by(schedule: Schedule, micro_batch_samples: int, iterations: Span) -> Iterator[KeptPart]:
    """Yield what iterations of a training schedule write, if it writes any."""
    for kind, micro_batch in _writes(schedule):
        start = micro_batch * micro_batch_samples
        positions = start + kind.samples[0], start + kind.samples[1]
        yield KeptPart(rank=kind.rank, layers=kind.layers, positions=positions, iterations=iterations)


def refilled_by(schedule: Schedule, iterations: Span) -> Iterator[KeptPart]:
    """Yield what iterations of a refill write, whose tasks name positions of the batch."""
    for kind, _ in _writes(schedule):
        yield KeptPart(rank=kind.rank, layers=kind.layers, positions=kind.samples, iterations=iterations)


def moved_by(schedule: Schedule) -> Iterator[KeptPart]:
    """Yield what messages bring, whose tasks name positions of the batch as samples, and iterations as units."""
    for kind, _ in _writes(schedule):
        yield KeptPart(rank=kind.rank, layers=kind.layers, positions=kind.samples, iterations=kind.units)


def _writes(schedule: Schedule) -> Iterator[tuple[Kind, int]]:
    """The kinds and micro-batches of a schedule's writes."""
    columns = schedule.columns
    writing = [number for number, kind in enumerate(columns.kinds) if kind.op is Op.CACHE_WRITE]
    for task in np.flatnonzero(np.isin(columns.kind, writing)) if writing else ():
        yield columns.kinds[int(columns.kind[task])], int(columns.micro_batch[task])
