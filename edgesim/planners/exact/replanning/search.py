"""Which pipeline of the survivors takes the least time, migration included? The stages' search with one-time costs.

Where the survivors' stages are too many to list, devices are merged into few kinds (``many_kinds``): plans are judged
with their migration, the bound is of iterations alone.
"""

from dataclasses import replace
from functools import partial

from edgesim.plan import Plan
from edgesim.planners.cost_models.migration import Holdings, moving_s
from edgesim.planners.exact.pipelines.branch_and_bound import SearchResult
from edgesim.planners.exact.pipelines.candidates import Candidates, PipelineFamily, TooManyStagesError
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.many_kinds.affordable import SearchEnd, between, half_way
from edgesim.planners.exact.pipelines.milp import INF, OneTimeCosts
from edgesim.planners.exact.pipelines.search import PipelineSearch
from edgesim.planners.exact.replanning.candidates import MigrationColumns
from edgesim.planners.planning_time import LateError, planning_until
from edgesim.proof import Objective, Proof

_SLACK = 1e-9  # relative: by how much a migration may exceed its budget, for sums differ in their last digits
_ROOM = 1e-8  # relative: by how much rows may, so that they exclude no choice that is within the slack


class ReplanSearch(PipelineSearch):
    """The search of the survivors' pipelines, by seconds of an iteration and the migration's part in it."""

    def __init__(
        self,
        survivors: Holdings,
        family: PipelineFamily,
        *,
        iterations: float,
        budget_s: float,
        candidates: Candidates | None = None,
    ) -> None:
        """Search for pipelines to which migration takes at most ``budget_s``, paid off over ``iterations``.

        Where ``candidates`` are given, their programme knows of no migration.
        """
        self.survivors, self.iterations, self.budget_s = survivors, iterations, budget_s
        super().__init__(
            survivors.problem,
            family,
            planner="ilp_replan",
            candidates=candidates or MigrationColumns(survivors, family, iterations=iterations),
            one_time=None if candidates else OneTimeCosts(most_s=budget_s * (1 + _ROOM) / iterations),
        )

    @property
    def knows_migration(self) -> bool:
        """Whether the programme counts what moves."""
        return isinstance(self.candidates, MigrationColumns)

    def seconds(self, choice: Choice) -> float:
        """Return the seconds of an iteration and of its part of the migration; infinite above the budget."""
        migration_s = moving_s(self.survivors, self.draft(choice))
        if migration_s > self.budget_s * (1 + _SLACK):
            return INF
        return super().seconds(choice) + migration_s / self.iterations

    def best_plan(self, result: SearchResult) -> Plan:
        """Return the plan of the best choice, with the proof of migration and all iterations together."""
        return replace(self.plan(result.choice, result), predicted_s=super().seconds(result.choice))

    def proof(self, seconds: float, found: SearchResult) -> Proof:
        """Return the proof of migration and all iterations; what is searched for is an iteration's part."""
        part, iterations = super().proof(seconds, found), self.iterations
        return replace(
            part,
            objective=Objective.MIGRATION_AND_ITERATIONS,
            details=f"{iterations} iterations",
            value=part.value * iterations,
            bound=None if part.bound is None else part.bound * iterations,
        )


def replanned(
    survivors: Holdings, family: PipelineFamily, *, iterations: float, budget_s: float, end: SearchEnd
) -> tuple[ReplanSearch, SearchResult]:
    """Return a search of the survivors' pipelines, ended in time, and its result."""
    make_search = partial(ReplanSearch, survivors, family, iterations=iterations, budget_s=budget_s)
    try:
        with planning_until(half_way(end.until_s)):
            search = make_search()
    except (LateError, TooManyStagesError):
        merged, result = between(survivors.problem, family, make_search, end, ranks=sorted(survivors.held))
        return merged, replace(result, solver=f"{result.solver}, as if nothing moved")
    return search, search.run(time_limit_s=end.until_s - search.began_s, gap=end.gap)
