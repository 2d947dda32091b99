"""Which heads, columns and tokens should each rank have, beyond doubt? An integer programme, proven optimal.

Galaxy's problem (arXiv 2405.17245) for its hybrid, and for tensor and sequence parallelism: the seconds of one request,
or iteration, as block_latency_s adds them up, over all shares that fit in memory; and, if devices may stay out, over
all choices of devices. Among equally fast plans it takes one with little work in all.
"""

from collections.abc import Mapping
from dataclasses import replace
from heapq import heapify, heappop, heappush
from math import inf
from time import perf_counter

from edgesim.errors import InfeasibleError, PlanError
from edgesim.model import BlockKind, SplitBy
from edgesim.plan import Plan, Proof, Status
from edgesim.planners.block_division import Ranks, chosen_ranks, divided_plan, splits
from edgesim.planners.cost_models.block_time import BlockCosts, block_latency_s
from edgesim.planners.cost_models.phase_counts import phases
from edgesim.planners.exact.blocks.explain import shortage
from edgesim.planners.exact.blocks.feasibility import Feasibility
from edgesim.planners.exact.blocks.memory_rows import Amounts
from edgesim.planners.exact.blocks.search import TeamResult, TeamSearch
from edgesim.planners.exact.blocks.tables import PhaseSeconds, Tables, exchanges_alone_s
from edgesim.planners.exact.blocks.teams import equal_pairs, teams
from edgesim.planners.problem import Problem

_PROVEN = 1e-5  # relative: solvers stop at 1e-6, and the second objective may take as much
_TILES = 64


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
    """The fastest division of heads and columns (``units``), of ``tokens``, or of all three.

    ``overlap`` and ``exchange`` are the strategy's; only rings are counted. ``leave_out`` lets ranks stay out, else
    each has at least one of everything. Columns are given in tiles of ``column_unit``; None: the fewest that make at
    most 64 tiles. At the time limit the plan is the best so far, and its proof says what gap is left. Raises PlanError;
    ProfileError for shares that the profile does not know; InfeasibleError naming who lacks how much memory.
    """
    if not units and not tokens:
        raise PlanError("ilp_blocks is told to divide neither units nor tokens (take a strategy that divides blocks)")
    if exchange != "ring":
        raise PlanError(
            f"ilp_blocks counts exchanges around a ring, not over a {exchange} (say strategy.exchange=ring, or take "
            "planner proportional_blocks)"
        )
    planner = _BlockSearch(problem, units, tokens, overlap and units and tokens, ranks, column_unit, time_limit_s)
    best, bound_s, search = planner.search(leave_out)
    if best is not None:
        return planner.plan(best, bound_s, search)
    if bound_s < inf:
        raise PlanError(f"ilp_blocks found no plan within {time_limit_s:g} s (raise time_limit_s)")
    raise InfeasibleError(shortage(problem, planner.members, planner.totals, planner.given))


class _BlockSearch:
    """What is divided, and the phases that this makes."""

    def __init__(
        self,
        problem: Problem,
        units: bool,
        tokens: bool,
        overlap: bool,
        ranks: Ranks,
        column_unit: int | None,
        time_limit_s: float,
    ) -> None:
        self.began_s, self.time_limit_s = perf_counter(), time_limit_s
        self.problem, self.overlap = problem, overlap
        self.members = chosen_ranks(problem, ranks)
        heads, columns = (splits(problem, kind) for kind in (BlockKind.ATTENTION, BlockKind.MLP))
        divided = {SplitBy.HEADS: heads, SplitBy.COLUMNS: columns} if units else {}
        self.totals: Amounts = divided | ({SplitBy.TOKENS: problem.workload.tokens} if tokens else {})
        self.given: Amounts = dict.fromkeys(self.totals, 1)
        if units:
            self.given[SplitBy.COLUMNS] = _column_unit(columns, column_unit)
        self.found = phases(problem, units=units, tokens=tokens, overlap=overlap)
        self.costs = BlockCosts(problem, heads=heads, columns=columns)

    @property
    def most(self) -> int:
        """How many ranks can have one of everything."""
        return min(total // self.given[by] for by, total in self.totals.items())

    def search(self, leave_out: bool) -> tuple[TeamResult | None, float, TeamSearch | None]:
        """The best of all teams, what none can beat, and the search that found it."""
        if not leave_out and len(self.members) > self.most:
            raise PlanError(
                f"ilp_blocks: {len(self.members)} ranks divide {self._parts()}, and each needs one of everything "
                "(say leave_out=true, name fewer ranks, or take a smaller column_unit)"
            )
        found = teams(self.problem, self.members, leave_out=leave_out, most=self.most)
        phase_seconds = PhaseSeconds(self.costs, self.totals, self.given)
        best: TeamResult | None = None
        by: TeamSearch | None = None
        bound_s = inf
        # The most promising first: teams by what their exchanges take, until their tables say what all takes.
        queue: list[tuple[float, int, int, Feasibility | None]] = [
            (exchanges_alone_s(self.found, team, self.totals, self.problem.workload.tokens), team.size, i, None)
            for i, team in enumerate(found)
        ]
        heapify(queue)
        while queue:
            least_s, size, i, of = heappop(queue)
            value_s = inf if best is None else best.value_s
            late = perf_counter() - self.began_s > self.time_limit_s
            if least_s >= value_s or late:  # what is not tried is bounded by what is known of it
                bound_s = min(bound_s, least_s)
                continue
            if of is None:
                of = Feasibility(
                    Tables(self.problem, phase_seconds, self.found, found[i], totals=self.totals, units=self.given)
                )
                heappush(queue, (of.bound_s, size, i, of))
                continue
            search = TeamSearch(of, equal_pairs(self.problem, of.team), deadline_s=self.began_s + self.time_limit_s)
            result = search.best(value_s)
            bound_s = min(bound_s, result.bound_s)
            if result.chosen is not None and result.value_s < value_s:
                best, by = result, search
        return best, bound_s if best is None else min(bound_s, best.value_s), by

    def _parts(self) -> str:
        return ", ".join(f"{total // self.given[by]} {by}" for by, total in self.totals.items())

    def plan(self, best: TeamResult, bound_s: float, search: TeamSearch | None) -> Plan:
        """The checked plan, with its proof. Raises PlanError."""
        assert search is not None
        assert best.chosen is not None
        plan = self._divided(best.chosen)
        value_s = block_latency_s(self.problem, plan, overlap=self.overlap)
        if (again := search.second(value_s)) is not None:
            other = self._divided(again)
            other_s = block_latency_s(self.problem, other, overlap=self.overlap)
            if other_s <= value_s * (1 + _PROVEN / 2):
                plan, value_s = other, other_s
        bound_s = min(bound_s, value_s)
        proof = Proof(
            status=Status.OPTIMAL if value_s - bound_s <= _PROVEN * value_s else Status.FEASIBLE,
            method="ILP",
            objective="seconds of all phases of one iteration, as block_latency_s adds them up" + self._grid(),
            value=value_s,
            bound=bound_s,
            seconds=perf_counter() - self.began_s,
            solver=best.solver,
        )
        return replace(plan, proof=proof, predicted_s=value_s)

    def _grid(self) -> str:
        unit = self.given.get(SplitBy.COLUMNS, 1)
        return f", columns in tiles of {unit}" if unit > 1 else ""

    def _divided(self, chosen: Mapping[int, Amounts]) -> Plan:
        def shares(by: SplitBy) -> tuple[int, ...]:
            return tuple(amounts[by] for amounts in chosen.values()) if by in self.totals else ()

        return divided_plan(
            self.problem,
            planner="ilp_blocks",
            ranks=tuple(chosen),
            heads=shares(SplitBy.HEADS),
            columns=shares(SplitBy.COLUMNS),
            tokens=shares(SplitBy.TOKENS),
        )


def _column_unit(columns: int, asked: int | None) -> int:
    """Columns of a tile. Raises PlanError for tiles that do not add up."""
    if asked is None:
        fits = [unit for unit in range(1, columns + 1) if columns % unit == 0 and columns // unit <= _TILES]
        # Columns with no divisor of use stay as they are: the windows keep the programme small.
        return fits[0] if 2 * (columns // fits[0]) >= min(columns, _TILES) else 1
    if asked < 1 or columns % asked:
        raise PlanError(f"column_unit={asked} does not divide the {columns} columns (take a divisor)")
    return asked
