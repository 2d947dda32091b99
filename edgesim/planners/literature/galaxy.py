"""Galaxy's planner (Ye et al., INFOCOM 2024, arXiv 2405.17245): which heads, columns and tokens for which device?

Its heuristic for one request has three steps:

    1. balanced       heads and columns in proportion to capacity, V_d = 1 / (L(attention, d) + L(MLP, d))
    2. memory-aware   a device over its budget sheds what overflows, columns first, then heads, to devices with room, in
                      proportion to their V; and again, until all fit or none has room
    3. connective     tokens equally

The steps are recalled, not verified. Memory is what ``Plan.check`` counts, not the paper's weights alone.
"""

from dataclasses import dataclass, field

from edgesim.apportion import largest_remainder
from edgesim.errors import NothingFitsError
from edgesim.memory import RankLoad, Share, held_bytes
from edgesim.model import BlockKind
from edgesim.plan import Plan
from edgesim.planners.block_division import Ranks, balanced, capacities, chosen_ranks, divided_plan, splits
from edgesim.planners.partitioning import most
from edgesim.planners.problem import Problem
from edgesim.units import show


def galaxy(problem: Problem, *, ranks: Ranks = "all") -> Plan:
    """Return the plan of the three steps, for ``hybrid_model``. Raises InfeasibleError naming a device and its need."""
    chosen = chosen_ranks(problem, ranks)
    speeds = capacities(problem, chosen)
    tokens = balanced(problem, chosen, "tokens", problem.workload.tokens, [1] * len(chosen))
    division = Division(
        problem=problem,
        ranks=chosen,
        speeds=tuple(speeds),
        tokens=tokens,
        heads=list(balanced(problem, chosen, "heads", splits(problem, BlockKind.ATTENTION), speeds)),
        columns=list(balanced(problem, chosen, "columns", splits(problem, BlockKind.MLP), speeds)),
    )
    while (over := division.largest_overflow()) is not None:
        division.shed(over)
    return divided_plan(
        problem,
        planner="galaxy",
        ranks=chosen,
        heads=tuple(division.heads),
        columns=tuple(division.columns),
        tokens=tokens,
    )


@dataclass(kw_only=True)
class Division:
    """The shares while they move: [position among ranks] heads and columns; ``full`` are devices that shed some."""

    problem: Problem
    ranks: tuple[int, ...]
    speeds: tuple[float, ...]
    tokens: tuple[int, ...]
    heads: list[int]
    columns: list[int]
    full: set[int] = field(default_factory=set)

    def need_bytes(self, i: int, heads: int, columns: int) -> float:
        """Return the bytes that a device holds with so many heads and columns."""
        share = Share(heads=heads / sum(self.heads), columns=columns / sum(self.columns), tokens=self.tokens[i])
        held = held_bytes(
            self.problem.model,
            self.problem.workload,
            RankLoad(
                layers=(0, len(self.problem.model.layers)),
                share=share,
                samples=self.problem.workload.micro_batch_samples,
                in_flight=1,
                micro_batches=self.problem.workload.micro_batches,
                replicas=len(self.ranks),
                context_bytes=self.problem.cluster.devices[self.ranks[i]].context_bytes,
            ),
        )
        return held.total_bytes

    def budget_bytes(self, i: int) -> float:
        """Return the bytes that a device may hold."""
        return self.problem.budget_bytes(self.ranks[i])

    def overflow_bytes(self, i: int) -> float:
        """Return how many bytes a device is over its budget with its shares; not positive where it fits."""
        return self.need_bytes(i, self.heads[i], self.columns[i]) - self.budget_bytes(i)

    def largest_overflow(self) -> int | None:
        """Return the device furthest over its budget; None where all fit."""
        worst = max(range(len(self.ranks)), key=self.overflow_bytes)
        return worst if self.overflow_bytes(worst) > 0 else None

    def shed(self, i: int) -> None:
        """Move what overflows to the devices that have not shed anything yet. Raises InfeasibleError."""
        budget = self.budget_bytes(i)
        columns = most(self.columns[i], lambda n: self.need_bytes(i, self.heads[i], n) <= budget)
        heads = self.heads[i]
        if columns == 0:  # not even one column beside all its heads
            columns, heads = 1, most(self.heads[i], lambda n: self.need_bytes(i, n, 1) <= budget)
        self.full.add(i)
        takers = [j for j in range(len(self.ranks)) if j not in self.full]
        if heads == 0 or not takers:
            self._refuse(i, heads)
        for shares, kept in ((self.columns, columns), (self.heads, heads)):
            moved, shares[i] = shares[i] - kept, kept
            for j, more in zip(takers, largest_remainder(moved, [self.speeds[j] for j in takers]), strict=True):
                shares[j] += more

    def _refuse(self, i: int, heads: int) -> None:
        device = self.problem.cluster.devices[self.ranks[i]]
        budget = f"its budget of {show(self.budget_bytes(i), 'B')}"
        why = (
            f"needs {show(self.need_bytes(i, 1, 1), 'B')} for one head and one column, more than {budget}"
            if heads == 0
            else f"is {show(self.overflow_bytes(i), 'B')} over {budget}, and no other device has room"
        )
        raise NothingFitsError(
            f"rank {self.ranks[i]} ({device.name}) {why} (leave it out, add devices, or take a smaller model)"
        )
