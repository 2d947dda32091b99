"""Which heads, columns and tokens for which rank? The integer programme of one team.

Sets:       d ranks of the team; k what is divided (heads, columns, tokens); a amounts; p phases; r rows of a phase
Variables:  x[k,d,a] = 1 if d has the amount a of k;  T_p seconds of a phase;  m tokens of the largest tile
Minimise    Σ_p n_p T_p + Σ_p n_p steps_p step_p(m)
Subject to  (1) Σ_a x[k,d,a] = z_d                              one amount of each, or none of any
            (2) Σ_d z_d = size                                  so many work
            (3) Σ_d,a a x[k,d,a] = total_k                      all is shared out
            (4) T_p >= constant_r z_d + Σ_k,a seconds_r[k,a] x[k,d,a] + steps_r step_p(m)
            (5) m >= Σ_a a x[tokens,d,a]
            (6) base z_d + Σ_k,a bytes_k a x[k,d,a] <= memory_d    for each row of memory
            (7) Σ_a a x[k,d,a] >= Σ_a a x[k,e,a]                equal devices d < e, and the first k
            (8) T_p >= what it takes for itself                 from the tables
            (9) Σ_k,a>=share_k x[k,d,a] <= kinds - 1            shares that d cannot hold, once they were chosen

Rows (6) are no tighter than memory is, and solvers keep them to a byte, because tolerances are absolute. Where a
solution needs a few bytes too many, rows (9) forbid that share, and all that are at least as large in everything.
Seconds are scaled so that the objective is about 1000.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pulp

from edgesim.model import SplitBy
from edgesim.planners.exact.blocks.feasibility import Feasibility, Windows
from edgesim.planners.exact.blocks.memory_rows import Amounts, room_bytes

_ABOUT = 1000.0
_MEGA = 1e6
Term = tuple[pulp.LpVariable, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an integer programme may choose from: windows of choices, and seconds in all."""

    windows: Windows
    cutoff_s: float | None = None


class BlockMilp:
    """The integer programme of a team; with ``least_work`` it minimises the sum of all ranks' seconds instead."""

    def __init__(
        self, feasibility: Feasibility, limits: Limits, *, equals: Sequence[tuple[int, int]], least_work: bool = False
    ):
        tables = self.tables = feasibility.tables
        self.limits = limits
        self.problem = pulp.LpProblem("blocks", pulp.LpMinimize)
        self.scale = _ABOUT / feasibility.bound_s
        self.x = {by: {rank: self._choices(by, rank) for rank in tables.team.members} for by in tables.totals}
        first = next(iter(tables.totals))
        self.works = {rank: pulp.lpSum(self.x[first][rank].values()) for rank in tables.team.members}
        self.largest = self.problem.add_variable("largest", lowBound=tables.fewest)
        self.slowest = [
            self.problem.add_variable(f"slowest_{p:03d}", lowBound=count * feasibility.least_s[p] * self.scale)
            for p, (_, count) in enumerate(tables.phases)
        ]
        seconds = pulp.lpSum(self.slowest) + self._exchanges()
        self.problem.setObjective(self._work() if least_work else seconds)
        if limits.cutoff_s is not None:
            self._add(seconds <= limits.cutoff_s * self.scale)
        self._share_out(equals)
        self._time_phases()
        self._fit_memory()

    def _add(self, row: pulp.LpConstraint) -> None:
        self.problem += row

    def _choices(self, by: SplitBy, rank: int) -> dict[int, pulp.LpVariable]:
        """Add the variables of a rank's choices, by the amount's place in the tables."""
        name = f"{by}_{rank:03d}"
        return {
            i: self.problem.add_variable(f"{name}_{self.tables.amounts[by][i]:06d}", cat=pulp.LpBinary)
            for i in np.flatnonzero(self.limits.windows[by][rank]).tolist()
        }

    def _amount(self, by: SplitBy, rank: int) -> pulp.LpAffineExpression:
        amounts = self.tables.amounts[by]
        return pulp.LpAffineExpression([(x, amounts[i]) for i, x in self.x[by][rank].items()])

    def _step(self, p: int) -> tuple[float, float]:
        """Return the scaled seconds of a step: without tokens, and for each token of the largest tile."""
        none = self.tables.step_s(p, 0)
        return none * self.scale, (self.tables.step_s(p, 1) - none) * self.scale

    def _exchanges(self) -> pulp.LpAffineExpression:
        fixed = each = 0.0
        for p, (_, count) in enumerate(self.tables.phases):
            none, one = self._step(p)
            fixed += count * self.tables.exposed_steps(p) * none
            each += count * self.tables.exposed_steps(p) * one
        return each * self.largest + fixed

    def _work(self) -> pulp.LpAffineExpression:
        """Return the scaled seconds of all computations on all ranks."""
        terms: list[Term] = []
        for p, (_, count) in enumerate(self.tables.phases):
            for rank, rows in self.tables.rows[p].items():
                terms += [
                    (x, count * self.scale * s) for x, s in self._seconds(rank, rows[0].constant_s, rows[0].seconds)
                ]
        return _summed(terms)

    def _seconds(self, rank: int, constant_s: float, seconds: Mapping[SplitBy, Sequence[float]]) -> Iterator[Term]:
        """Yield a row's seconds, variable by variable; the constant is counted with whatever amount is chosen."""
        first = next(iter(self.x))
        yield from ((x, constant_s) for x in self.x[first][rank].values())
        for by, of in seconds.items():
            yield from ((x, of[i]) for i, x in self.x[by][rank].items())

    def _share_out(self, equals: Sequence[tuple[int, int]]) -> None:
        team, first = self.tables.team, next(iter(self.x))
        for rank in team.members:
            if team.size == len(team.members):
                self._add(self.works[rank] == 1)
            else:
                self._add(self.works[rank] <= 1)
            for by in list(self.x)[1:]:
                self._add(pulp.lpSum(self.x[by][rank].values()) == self.works[rank])
        if team.size < len(team.members):
            self._add(pulp.lpSum(self.works.values()) == team.size)
        for by, total in self.tables.totals.items():
            self._add(pulp.lpSum(self._amount(by, rank) for rank in team.members) == total)
        for before, after in equals:
            self._add(self._amount(first, before) >= self._amount(first, after))
        if SplitBy.TOKENS in self.x:
            for rank in team.members:
                self._add(self.largest >= self._amount(SplitBy.TOKENS, rank))

    def _time_phases(self) -> None:
        for p, (_, count) in enumerate(self.tables.phases):
            none, one = self._step(p)
            for rank, rows in self.tables.rows[p].items():
                for row in rows:
                    seconds = _summed(
                        (x, count * self.scale * s) for x, s in self._seconds(rank, row.constant_s, row.seconds) if s
                    )
                    steps = count * row.steps * (one * self.largest + none)
                    self._add(self.slowest[p] >= seconds + steps)

    def _fit_memory(self) -> None:
        for rank in self.tables.team.members:
            room = room_bytes(self.tables.problem, rank)
            for row in self.tables.memory:
                need = pulp.lpSum(each / _MEGA * self._amount(by, rank) for by, each in row.each_bytes)
                self._add(need + row.base_bytes / _MEGA * self.works[rank] <= room / _MEGA)

    def forbid(self, rank: int, share: Amounts) -> None:
        """Forbid the rank such a share, and those with at least as much of everything: memory grows with each."""
        larger = [
            [x for i, x in self.x[by][rank].items() if self.tables.amounts[by][i] >= amount]
            for by, amount in share.items()
        ]
        if all(larger):
            self._add(pulp.lpSum(x for choices in larger for x in choices) <= len(larger) - 1)

    def chosen(self, values: Mapping[str, float]) -> dict[int, Amounts]:
        """Return the amounts of each rank that works."""
        amounts: dict[int, Amounts] = {}
        for by, of in self.x.items():
            for rank, choices in of.items():
                for i, x in choices.items():
                    if values[x.name] > 0.5:
                        amounts.setdefault(rank, {})[by] = self.tables.amounts[by][i]
        return dict(sorted(amounts.items()))


def _summed(terms: Iterable[Term]) -> pulp.LpAffineExpression:
    """Return the sum of products, much quicker than by adding them one by one."""
    factors: dict[pulp.LpVariable, float] = {}
    for x, factor in terms:
        factors[x] = factors.get(x, 0.0) + factor
    return pulp.LpAffineExpression(factors)
