"""Which division is there at once, before any programme is solved? Shares by speed, moved to where there is room."""

from collections.abc import Iterator, Mapping, Sequence

from edgesim.apportion import at_least_one
from edgesim.errors import ProfileError
from edgesim.model import SplitBy
from edgesim.planners.block_division import capacities
from edgesim.planners.exact.blocks.memory_rows import Amounts, Divisible, held_at, share_of
from edgesim.planners.partitioning import most
from edgesim.planners.problem import Problem

_SHED_FIRST = (SplitBy.COLUMNS, SplitBy.HEADS, SplitBy.TOKENS)


def first_divisions(
    problem: Problem, division: Divisible, ranks: Sequence[int], *, leave_out: bool
) -> Iterator[Mapping[int, Amounts]]:
    """Yield [rank] shares that fit: of all ranks, and of ever fewer of the fastest where some may stay out."""
    speeds = dict(zip(ranks, _speeds(problem, ranks), strict=True))
    fastest = sorted(ranks, key=lambda rank: (-speeds[rank], rank))
    size = min(len(ranks), division.most_ranks)
    while size:
        team = sorted(fastest[:size])
        shares = Shares(problem, division, {rank: speeds[rank] for rank in team})
        if shares.fit():
            yield shares.of
        size = size // 2 if leave_out else 0


def _speeds(problem: Problem, ranks: Sequence[int]) -> Sequence[float]:
    try:
        return capacities(problem, ranks)
    except ProfileError:  # of whole blocks; it may know the shares, and any division is better than none
        return [1.0] * len(ranks)


class Shares:
    """[rank] amounts while they move from ranks that cannot hold theirs to others."""

    def __init__(self, problem: Problem, division: Divisible, speeds: Mapping[int, float]) -> None:
        self.problem, self.division, self.speeds = problem, division, speeds
        self.of: dict[int, Amounts] = {rank: {} for rank in speeds}
        for by, total in division.totals.items():
            unit = division.multiples[by]
            counts = at_least_one(total // unit, list(speeds.values()))
            for rank, count in zip(speeds, counts, strict=True):
                self.of[rank][by] = count * unit
        self._held: dict[tuple[float, tuple[int, ...]], float] = {}

    def fit(self) -> bool:
        """Move what ranks cannot hold to those that can; return whether all has found its place."""
        return all(self._shed(rank) for rank in list(self.of) if not self._holds(rank, self.of[rank]))

    def _holds(self, rank: int, amounts: Amounts) -> bool:
        """As ``Plan.check`` counts, to the byte."""
        context_bytes = self.problem.cluster.devices[rank].context_bytes
        asked = context_bytes, tuple(amounts.values())
        if asked not in self._held:
            share = share_of(self.division.totals, amounts)
            held = held_at(self.problem, share, ranks=len(self.of), context_bytes=context_bytes)
            self._held[asked] = held.total_bytes
        return self._held[asked] <= self.problem.budget_bytes(rank)

    def _shed(self, rank: int) -> bool:
        """Leave a rank what it holds, one unit of everything at least; return whether the others hold the rest."""
        mine, surplus = self.of[rank], Amounts()
        for by in (kind for kind in _SHED_FIRST if kind in mine):
            before, unit = mine[by], self.division.multiples[by]
            kept = self._most(rank, by, 0, before)
            mine[by] = max(kept, unit)
            surplus[by] = before - mine[by]
            if kept:
                return all(self._place(kind, amount, rank) for kind, amount in surplus.items())
        return False

    def _place(self, by: SplitBy, amount: int, source: int) -> bool:
        """Give others what one cannot hold, the fastest first."""
        for rank in sorted(self.of, key=lambda rank: (-self.speeds[rank], rank)):
            if rank != source:
                taken = self._most(rank, by, self.of[rank][by], amount)
                self.of[rank][by] += taken
                amount -= taken
        return amount == 0

    def _most(self, rank: int, by: SplitBy, beside: int, amount: int) -> int:
        """How much of an amount a rank can hold beside what it has of the kind, in whole units."""
        unit = self.division.multiples[by]

        def fits(count: int) -> bool:
            return self._holds(rank, self.of[rank] | {by: beside + count * unit})

        return unit * most(amount // unit, fits)
