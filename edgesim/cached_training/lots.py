"""Who has cached what is trained elsewhere, and what has nobody cached? What is to be sent, and computed again.

A sample is told by its position in the batch, which is that of as many samples as the epoch has iterations. In the
first epoch a rank of a stage computes some positions of every micro-batch, and keeps what its layers put out; in later
epochs it trains other positions, and needs what all layers of its stage have put out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgesim.cached_outputs import kept_rows
from edgesim.job import KeptOutputs
from edgesim.model import Model
from edgesim.plan import Plan

Span = tuple[int, int]
Ranks = NDArray[np.int64]  # [layer, position] a rank, or NOBODY
NOBODY = -1
Each = TypeVar("Each")


class Lot(NamedTuple):
    """Outputs of consecutive layers, positions and iterations, that one rank has and another needs."""

    sender: int
    receiver: int
    layers: Span
    positions: Span
    iterations: Span


class Gap(NamedTuple):
    """Outputs of consecutive layers, positions and iterations that a rank needs, and that nobody has."""

    receiver: int
    layers: Span
    positions: Span
    iterations: Span


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the ranks of a plan train from in an epoch of so many iterations of a model."""

    plan: Plan
    model: Model
    tokens: int
    iterations: int

    def lots(self, kept: KeptOutputs) -> Iterator[Lot]:
        """Yield what has to be sent of what is kept; where several have it, the first of them sends."""
        for iterations, has in self._stretches(kept):
            lacking = self._lacking(has)
            senders = np.where(lacking & has.any(axis=0), has.argmax(axis=0), NOBODY)
            for (sender, receiver), layers, positions in _boxes(senders, np.where(senders >= 0, self._owners, NOBODY)):
                yield Lot(sender, receiver, layers, positions, iterations)

    def gaps(self, kept: KeptOutputs) -> Iterator[Gap]:
        """Yield what nobody has kept."""
        for iterations, has in self._stretches(kept):
            receivers = np.where(self._lacking(has) & ~has.any(axis=0), self._owners, NOBODY)
            for (receiver, _), layers, positions in _boxes(receivers, receivers):
                yield Gap(receiver, layers, positions, iterations)

    @property
    def _owners(self) -> Ranks:
        """Who trains from what; nobody from what adapters do not read."""
        owners = np.full((len(self.model.layers), self.plan.batch_samples), NOBODY)
        for stage in self.plan.stages:
            shared = [rank for rank, samples in zip(stage.ranks, stage.samples, strict=True) for _ in range(samples)]
            owners[slice(*stage.layers)] = shared * self.plan.micro_batches
        owners[np.array(kept_rows(self.model, tokens=self.tokens)) == 0] = NOBODY
        return owners

    def _lacking(self, has: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """[layer, position] whether who needs it has it not."""
        owners = self._owners
        theirs: NDArray[np.bool_] = np.take_along_axis(has, np.maximum(owners, 0)[None], axis=0)[0]
        lacking: NDArray[np.bool_] = (owners >= 0) & ~theirs
        return lacking

    def _stretches(self, kept: KeptOutputs) -> Iterator[tuple[Span, NDArray[np.bool_]]]:
        """Iterations of which the same is kept, and [rank, layer, position] whether a rank has it.

        Raises ValueError for outputs of larger batches than the plan's.
        """
        ranks = 1 + max([*self.plan.ranks, *(part.rank for part in kept.parts)])
        positions = max((part.positions[1] for part in kept.parts), default=0)
        if positions > self.plan.batch_samples:
            raise ValueError(
                f"a cache of batches of {positions} samples serves no batches of {self.plan.batch_samples}: what is "
                "cached is told by its position in the batch (plan both phases for one batch)"
            )
        ends = {end for part in kept.parts for end in part.iterations if 0 < end < self.iterations}
        found: list[tuple[Span, NDArray[np.bool_]]] = []
        for start, stop in pairwise(sorted({0, self.iterations, *ends})):
            has = np.zeros((ranks, len(self.model.layers), self.plan.batch_samples), dtype=bool)
            for part in kept.parts:
                if part.iterations[0] <= start and stop <= part.iterations[1]:
                    has[part.rank, slice(*part.layers), slice(*part.positions)] = True
            if found and np.array_equal(found[-1][1], has):
                found[-1] = (found[-1][0][0], stop), has
            else:
                found.append(((start, stop), has))
        yield from found


def _boxes(ours: Ranks, theirs: Ranks) -> Iterator[tuple[tuple[int, int], Span, Span]]:
    """Yield pairs of ranks, and the consecutive layers and positions at which they are the same."""
    rows = [tuple(zip(mine, yours, strict=True)) for mine, yours in zip(ours.tolist(), theirs.tolist(), strict=True)]
    for layers, row in _runs(rows):
        for positions, pair in _runs(row):
            if pair[0] != NOBODY:
                yield pair, layers, positions


def _runs(values: Sequence[Each]) -> Iterator[tuple[Span, Each]]:
    """Yield where equal values follow each other, and the value."""
    start = 0
    for value, run in groupby(values):
        stop = start + len(list(run))
        yield (start, stop), value
        start = stop
