"""Which heads, columns and tokens should each rank have, provably? An integer programme for Galaxy's problem.

Galaxy (Ye et al., INFOCOM 2024, arXiv 2405.17245) divides blocks by a heuristic. Here its hybrid, and tensor and
sequence parallelism, are optimised exactly: the seconds of one request, or iteration, as block_latency_s adds them up,
over all shares that fit in memory; and, if devices may stay out, over all choices of devices. Among equally fast plans
it takes one with little work in all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush
from math import inf
from time import perf_counter

from edgesim.errors import PlanError
from edgesim.model import BlockKind, SplitBy
from edgesim.plan import Plan
from edgesim.planners.block_division import Ranks, chosen_ranks, divided_plan, splits
from edgesim.planners.cost_models.block_time import BlockCosts, block_latency_s
from edgesim.planners.cost_models.least_work import LEAST_WORK, least_division_s
from edgesim.planners.cost_models.phase_counts import phases
from edgesim.planners.exact.blocks.explain import shortage
from edgesim.planners.exact.blocks.feasibility import Feasibility
from edgesim.planners.exact.blocks.first_division import first_divisions
from edgesim.planners.exact.blocks.grid import divisible
from edgesim.planners.exact.blocks.memory_rows import Amounts, Divisible
from edgesim.planners.exact.blocks.search import TeamResult, TeamSearch
from edgesim.planners.exact.blocks.tables import PhaseSeconds, Tables, Team, exchanges_alone_s
from edgesim.planners.exact.blocks.teams import equal_pairs, teams
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof, bound_or_none

_ALIKE = 5e-6  # relative: by how much a plan of less work may be slower; solvers stop at 1e-6
EXPLAIN_S = 2.0  # that explaining may take, however late it is


def ilp_blocks(
    problem: Problem,
    *,
    units: bool,
    tokens: bool,
    overlap: bool = False,
    exchange: str = "ring",
    ranks: Ranks = "all",
    leave_out: bool = False,
    column_unit: int | None = None,
    time_limit_s: float = 60.0,
) -> Plan:
    """Return the fastest division of heads and columns (``units``), of ``tokens``, or of all three.

    ``overlap`` and ``exchange`` are the strategy's; only rings are counted. ``leave_out`` lets ranks stay out, else
    each has at least one of everything. Columns are given in multiples of ``column_unit``; None: the smallest that
    leaves at most 64 multiples. At the time limit the plan is the best so far, or of shares by speed where no programme
    has one; its proof says what gap is left. Raises PlanError; ProfileError for shares that the profile does not know;
    InfeasibleError naming who lacks how much memory.
    """
    if not units and not tokens:
        raise PlanError("ilp_blocks is told to divide neither units nor tokens (take a strategy that divides blocks)")
    if exchange != "ring":
        raise PlanError(
            f"ilp_blocks counts exchanges around a ring, not over a {exchange} (say strategy.exchange=ring, or take "
            "planner proportional_blocks)"
        )
    members = chosen_ranks(problem, ranks)
    division = divisible(problem, units=units, tokens=tokens, column_unit=column_unit)
    search = _BlockSearch(problem, division, overlap=overlap and units and tokens, time_limit_s=time_limit_s)
    return search.plan(members, leave_out=leave_out)


class _BlockSearch:
    """The search over all teams of ranks that may divide the blocks."""

    def __init__(self, problem: Problem, division: Divisible, *, overlap: bool, time_limit_s: float) -> None:
        self.began_s, self.time_limit_s = perf_counter(), time_limit_s
        self.problem, self.division, self.overlap = problem, division, overlap
        units, tokens = SplitBy.HEADS in division.totals, SplitBy.TOKENS in division.totals
        self.counts = phases(problem, units=units, tokens=tokens, overlap=overlap)
        heads, columns = (splits(problem, kind) for kind in (BlockKind.ATTENTION, BlockKind.MLP))
        self.phase_seconds = PhaseSeconds(BlockCosts(problem, heads=heads, columns=columns), division)

    def plan(self, ranks: tuple[int, ...], *, leave_out: bool) -> Plan:
        """Return the plan of the best team, with its proof. Raises PlanError and InfeasibleError."""
        if not leave_out and len(ranks) > self.division.most_ranks:
            raise PlanError(
                f"ilp_blocks: {len(ranks)} ranks divide {self.division}, and each needs one of everything "
                "(say leave_out=true, name fewer ranks, or take a smaller column_unit)"
            )
        best, bound_s, search = self._best_of(
            teams(self.problem, ranks, leave_out=leave_out, most=self.division.most_ranks)
        )
        if best is not None and search is not None:
            return self._proven(best, bound_s, search)
        if bound_s < inf:
            return self._first(ranks, bound_s, leave_out=leave_out)
        raise shortage(self.problem, ranks, self.division, time_limit_s=max(EXPLAIN_S, self._left_s()))

    def _best_of(self, candidates: Sequence[Team]) -> tuple[TeamResult | None, float, TeamSearch | None]:
        """Return the best of all teams, a bound that none can beat, and the search that reached it."""
        best: TeamResult | None = None
        best_search: TeamSearch | None = None
        bound_s = inf
        # The most promising first: teams by what their exchanges take, until their tables say what all takes.
        queue: list[tuple[float, int, int, Feasibility | None]] = [
            (exchanges_alone_s(self.counts, team, self.division, self.problem.workload.tokens), team.size, i, None)
            for i, team in enumerate(candidates)
        ]
        heapify(queue)
        promising: Feasibility | None = None
        while queue:
            if best is None and promising is not None and self._left_s() < self.time_limit_s / 2:
                # So many teams that the bound is still of none with tables: a plan first, of the best team so far.
                result, search = self._of_team(promising, inf)
                if result.chosen is not None:
                    best, best_search = result, search
                promising = None
            least_s, size, i, feasibility = heappop(queue)
            value_s = inf if best is None else best.value_s
            if least_s >= value_s or self._left_s() < 0:  # what is not tried is bounded by what is known of it
                bound_s = min(bound_s, least_s)
                continue
            if feasibility is None:
                feasibility = Feasibility(Tables(self.phase_seconds, self.counts, candidates[i]))
                heappush(queue, (feasibility.bound_s, size, i, feasibility))
                if feasibility.bound_s < (promising.bound_s if promising else inf):
                    promising = feasibility
                continue
            result, search = self._of_team(feasibility, value_s)
            bound_s = min(bound_s, result.bound_s)
            if result.chosen is not None and result.value_s < value_s:
                best, best_search = result, search
        return best, bound_s if best is None else min(bound_s, best.value_s), best_search

    def _left_s(self) -> float:
        return self.began_s + self.time_limit_s - perf_counter()

    def _of_team(self, feasibility: Feasibility, value_s: float) -> tuple[TeamResult, TeamSearch]:
        """Return a team's best plan below the value, and its search."""
        pairs = equal_pairs(self.problem, feasibility.team)
        search = TeamSearch(feasibility, pairs, deadline_s=self.began_s + self.time_limit_s)
        return search.best(value_s), search

    def _proven(self, best: TeamResult, bound_s: float, search: TeamSearch) -> Plan:
        """Return the plan, with its proof. Raises PlanError."""
        assert best.chosen is not None
        plan = self._divided(best.chosen)
        value_s = block_latency_s(self.problem, plan, overlap=self.overlap)
        if (shares := search.least_work(value_s)) is not None:
            other = self._divided(shares)
            other_s = block_latency_s(self.problem, other, overlap=self.overlap)
            if other_s <= value_s * (1 + _ALIKE):
                plan, value_s = other, other_s
        proof = Proof(
            method="ILP",
            objective=Objective.BLOCK_ITERATION_TIME,
            details=self._grid(),
            value=value_s,
            bound=bound_or_none(bound_s, value_s),
            seconds=perf_counter() - self.began_s,
            solver=best.solver,
        )
        return replace(plan, proof=proof, predicted_s=value_s)

    def _first(self, ranks: Sequence[int], bound_s: float, *, leave_out: bool) -> Plan:
        """Return the best plan that is there without a programme. Raises PlanError where none of them fits."""
        plans = [
            self._divided(shares) for shares in first_divisions(self.problem, self.division, ranks, leave_out=leave_out)
        ]
        if not plans:
            raise PlanError(
                f"ilp_blocks found no plan within {self.time_limit_s:g} s, and shares by speed do not fit "
                "(raise time_limit_s)"
            )
        seconds = [block_latency_s(self.problem, plan, overlap=self.overlap) for plan in plans]
        value_s = min(seconds)
        plan = plans[seconds.index(value_s)]
        units, tokens = (by in self.division.totals for by in (SplitBy.HEADS, SplitBy.TOKENS))
        least_s = least_division_s(self.problem, units=units, tokens=tokens, overlap=self.overlap)
        proof = Proof(
            method=f"shares by speed, as no programme was solved within {self.time_limit_s:g} s",
            objective=Objective.BLOCK_ITERATION_TIME,
            details=self._grid(),
            value=value_s,
            bound=bound_or_none(max(bound_s, least_s), value_s),
            seconds=perf_counter() - self.began_s,
            solver=None if bound_s > least_s else LEAST_WORK,
        )
        return replace(plan, proof=proof, predicted_s=value_s)

    def _grid(self) -> str:
        unit = self.division.multiples.get(SplitBy.COLUMNS, 1)
        return f"columns in tiles of {unit}" if unit > 1 else ""

    def _divided(self, chosen: Mapping[int, Amounts]) -> Plan:
        def shares(by: SplitBy) -> tuple[int, ...]:
            return tuple(amounts[by] for amounts in chosen.values()) if by in self.division.totals else ()

        return divided_plan(
            self.problem,
            planner="ilp_blocks",
            ranks=tuple(chosen),
            heads=shares(SplitBy.HEADS),
            columns=shares(SplitBy.COLUMNS),
            tokens=shares(SplitBy.TOKENS),
        )
