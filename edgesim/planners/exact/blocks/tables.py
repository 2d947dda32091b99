"""What does each choice of heads, columns or tokens cost each rank? Tables of seconds, and windows of choices.

A team is the ranks that may work, and how many of them do, around a known ring. The tables hold rows for every phase:
the phase takes as long as the longest of them. A row is a constant, seconds for each amount, and steps of the ring.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from edgesim.model import SplitBy
from edgesim.planners.cost_models.block_time import BlockCosts, Ring
from edgesim.planners.cost_models.phases import BlockPhase
from edgesim.planners.exact.blocks.memory_rows import Divisible, MemoryRow, memory_rows, room_bytes
from edgesim.planners.problem import Problem

Seconds = Mapping[SplitBy, Sequence[float]]
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """The ranks that may work, of which ``size`` do, around a ring; all of them where there are no more."""

    members: tuple[int, ...]
    size: int
    ring: Ring


def exchanges_alone_s(counts: Mapping[BlockPhase, float], team: Team, division: Divisible, tokens: int) -> float:
    """Return the seconds of all exchanges of a team with equal tiles and no computation: no plan of it takes less."""
    largest, total_s = -(-tokens // team.size) if SplitBy.TOKENS in division.totals else 0, 0.0
    for phase, count in counts.items():
        if phase.exchange:
            rounds = phase.exchange.rounds if phase.entering is None else 1 + (phase.leaving is not None)
            step_s = team.ring.step_s(phase.exchange, largest=largest, tokens=tokens)
            total_s += count * rounds * (team.size - 1) * step_s
    return total_s


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """``constant_s + Σ seconds[by][choice] + steps · seconds of a step``."""

    constant_s: float
    seconds: Seconds
    steps: int

    def least_s(self, without: SplitBy | None = None) -> float:
        """Return the seconds at the cheapest choices, not counting the kind ``without``."""
        return self.constant_s + sum(min(of) for by, of in self.seconds.items() if by is not without)


class PhaseSeconds:
    """The seconds of phases without overlap at all amounts, computed once for all teams; by device, phase and kind."""

    def __init__(self, costs: BlockCosts, division: Divisible) -> None:
        self.costs, self.division = costs, division
        self._known: dict[tuple[str, BlockPhase], tuple[float, dict[SplitBy, list[float]]]] = {}

    def __call__(self, phase: BlockPhase, rank: int) -> tuple[float, dict[SplitBy, list[float]]]:
        """Return the seconds that do not depend on the share, and those of every amount."""
        key = self.costs.problem.cluster.devices[rank].name, phase
        if key not in self._known:
            self._known[key] = self._summed(phase, rank)
        return self._known[key]

    def _summed(self, phase: BlockPhase, rank: int) -> tuple[float, dict[SplitBy, list[float]]]:
        constant_s, seconds = 0.0, dict[SplitBy, list[float]]()
        for work, times in Counter(phase.works).items():
            if work.by not in self.division.totals:
                constant_s += times * self.costs.work_s(rank, work, 0)
                continue
            multiple, total = self.division.multiples[work.by], self.division.totals[work.by]
            column = seconds.setdefault(work.by, [0.0] * (total // multiple))
            for i, each_s in enumerate(self.costs.all_s(rank, work, range(multiple, total + 1, multiple))):
                column[i] += times * each_s
        return constant_s, seconds


class Tables:
    """All that a team's integer programme needs; ``counts`` is how often each phase happens."""

    def __init__(self, phase_seconds: PhaseSeconds, counts: Mapping[BlockPhase, float], team: Team) -> None:
        self.phase_seconds, self.costs, self.team = phase_seconds, phase_seconds.costs, team
        self.problem: Problem = self.costs.problem
        totals, multiples = phase_seconds.division.totals, phase_seconds.division.multiples
        self.totals = totals
        self.phases = list(counts.items())
        self.tokens = self.problem.workload.tokens
        self.amounts: dict[SplitBy, list[int]] = {
            by: [total]
            if team.size == 1
            else list(range(multiples[by], total - multiples[by] * (team.size - 1) + 1, multiples[by]))
            for by, total in totals.items()
        }
        self.fewest = -(-self.tokens // team.size) if SplitBy.TOKENS in totals else 0
        self.memory: tuple[MemoryRow, ...] = memory_rows(self.problem, totals, ranks=team.size)
        self.rows = [{rank: self._rows(phase, rank) for rank in team.members} for phase, _ in self.phases]

    def _rows(self, phase: BlockPhase, rank: int) -> list[TableRow]:
        if phase.entering is not None:
            return self._overlapped(phase, phase.entering.by, rank)
        constant_s, seconds = self.phase_seconds(phase, rank)
        # The amounts of a smaller team are the first of a larger one's; one rank alone has the last.
        cut = {by: of[-1:] if self.team.size == 1 else of[: len(self.amounts[by])] for by, of in seconds.items()}
        return [TableRow(constant_s=constant_s, seconds=cut, steps=0)]

    def _overlapped(self, phase: BlockPhase, by: SplitBy, rank: int) -> list[TableRow]:
        table = [self.costs.rows(rank, phase, amount, ranks=self.team.size) for amount in self.amounts[by]]
        return [
            TableRow(constant_s=0.0, seconds={by: [rows[i][0] for rows in table]}, steps=steps)
            for i, (_, steps) in enumerate(table[0])
        ]

    # --- exchanges ---

    def step_s(self, p: int, largest: float) -> float:
        """Return the seconds of a step of the phase's exchange, the largest tile having so many tokens."""
        exchange = self.phases[p][0].exchange
        return self.team.ring.step_s(exchange, largest=largest, tokens=self.tokens) if exchange else 0.0

    def exposed_steps(self, p: int) -> int:
        """Return how many steps of the ring follow the phase's computations, overlapped with nothing."""
        phase = self.phases[p][0]
        return 0 if phase.entering or not phase.exchange else phase.exchange.rounds * (self.team.size - 1)

    def exchanges_s(self, largest: float) -> float:
        """Return the seconds of all exchanges that follow computations, overlapped with nothing."""
        return sum(count * self.exposed_steps(p) * self.step_s(p, largest) for p, (_, count) in enumerate(self.phases))

    def overlapped_s(self, p: int, largest: float) -> float:
        """Return the seconds of an overlapped phase with such a largest tile, else at its cheapest; 0 for others."""
        if self.phases[p][0].entering is None:
            return 0.0
        step_s = self.step_s(p, largest)
        return min(max(row.least_s() + row.steps * step_s for row in rows) for rows in self.rows[p].values())

    # --- what each choice takes ---

    def depends(self, p: int, by: SplitBy) -> bool:
        """Return whether the phase takes longer with more of this kind."""
        return any(by in row.seconds for rows in self.rows[p].values() for row in rows)

    @cached_property
    def taken_s(self) -> Mapping[SplitBy, Mapping[int, Array]]:
        """By kind and rank, [phase, choice] the least seconds of a phase with that choice, all else at its cheapest."""
        pairs = [(of, self.step_s(p, self.fewest)) for p, of in enumerate(self.rows)]
        return {
            by: {
                rank: np.array([self._taken_s(of[rank], by, step_s) for of, step_s in pairs])
                for rank in self.team.members
            }
            for by in self.totals
        }

    def _taken_s(self, rows: Sequence[TableRow], by: SplitBy, step_s: float) -> Array:
        choices = np.zeros(len(self.amounts[by]))
        seconds = [
            row.least_s(without=by) + row.steps * step_s + np.asarray(row.seconds.get(by, choices)) for row in rows
        ]
        slowest: Array = np.max(seconds, axis=0)
        return slowest

    @cached_property
    def fits(self) -> Mapping[SplitBy, Mapping[int, Array]]:
        """By kind and rank, [choice] whether memory allows it together with the least of all else."""
        least = {by: amounts[0] for by, amounts in self.amounts.items()}
        rooms = {rank: room_bytes(self.problem, rank) for rank in self.team.members}
        needs = {
            by: np.array([max(row.at(least | {by: amount}) for row in self.memory) for amount in self.amounts[by]])
            for by in self.totals
        }
        return {by: {rank: needs[by] <= room for rank, room in rooms.items()} for by in self.totals}

    def windows(self, limits_s: Sequence[float], largest: float) -> dict[SplitBy, dict[int, Array]]:
        """Return by kind and rank, [choice], whether it may be taken: no phase exceeds its limit, no tile ``largest``.

        What memory forbids even together with the least of all else is left out too.
        """
        limits = np.asarray(limits_s)[:, None]
        allowed = {
            by: {rank: self.fits[by][rank] & np.all(taken <= limits, axis=0) for rank, taken in of.items()}
            for by, of in self.taken_s.items()
        }
        if SplitBy.TOKENS in allowed:
            tiles = np.asarray(self.amounts[SplitBy.TOKENS]) <= largest
            allowed[SplitBy.TOKENS] = {rank: choices & tiles for rank, choices in allowed[SplitBy.TOKENS].items()}
        return {by: self._enough_left(by, of) for by, of in allowed.items()}

    def _enough_left(self, by: SplitBy, allowed: Mapping[int, Array]) -> dict[int, Array]:
        """Leave out amounts that are too small even if the others that work take the most that they may."""
        amounts = np.asarray(self.amounts[by])
        most = {rank: int(np.max(amounts, where=choices, initial=0)) for rank, choices in allowed.items()}
        by_most = sorted(most, key=lambda rank: -most[rank])[: self.team.size]
        together = sum(most[rank] for rank in by_most)
        last = most[by_most[-1]]
        return {
            rank: choices & (amounts >= self.totals[by] - together + (most[rank] if rank in by_most else last))
            for rank, choices in allowed.items()
        }
