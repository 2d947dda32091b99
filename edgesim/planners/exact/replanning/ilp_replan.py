"""Where should the layers go when devices are lost, if what moves takes time too? An integer programme with migration.

    minimise  R + rounds * iteration_s

over all hybrid pipelines of the survivors, R being the seconds of migration (``migration.py``) and ``rounds`` the
iterations that are left to train. Asteroid's replay (arXiv 2408.08015) keeps the stages and re-divides their layers;
this also changes stages where that pays off, and leaves them where it does not.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from edgesim.errors import InfeasibleError, PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.migration import Holdings, holdings, migrated_bytes, moving_s
from edgesim.planners.exact.pipelines.branch_and_bound import SearchResult
from edgesim.planners.exact.pipelines.explain import why_no_pipeline
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.milp import INF, OneTimeCosts
from edgesim.planners.exact.pipelines.search import PipelineSearch, most_replicas
from edgesim.planners.exact.replanning.candidates import MigrationColumns, kinds_of_survivors
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof
from edgesim.units import show

_HARDLY_ANY = 1e-6  # rounds, where only what moves shall count


def ilp_replan(
    problem: Problem,
    *,
    old: Plan | Path | str,
    lost: Sequence[int],
    rounds: int,
    budget_s: float | None = None,
    coordinator: int | None = None,
    depth: Depth = Depth.ASTEROID,
    replicas: int | None = None,
    stages: int | None = None,
    time_limit_s: float = 60.0,
    gap: float = 1e-6,
) -> Plan:
    """The best plan without the lost ranks for so many rounds, proven within the gap or the time.

    Survivors keep their ranks. ``old`` is the plan that was running, or the file that holds it. With a ``budget_s``,
    migration takes no longer. Stages have at most so many replicas, unless none fits, and a pipeline so many stages.
    ``coordinator`` is a rank that keeps a copy of the whole model, for layers that nobody else holds any more.
    ``predicted_s`` of the plan are seconds of an iteration; its proof is of migration and all rounds together.

    Raises InfeasibleError naming a layer that is gone, a device and what it lacks, or the budget and what would do.
    """
    if rounds < 1 or (budget_s is not None and budget_s < 0):
        raise PlanError(f"ilp_replan: needs rounds >= 1 and budget_s >= 0, got rounds={rounds}, budget_s={budget_s}")
    began_s = perf_counter()
    before = old if isinstance(old, Plan) else Plan.from_json(Path(old).read_text())
    where = holdings(problem, before, lost, coordinator)
    kinds, limit_s = kinds_of_survivors(where), INF if budget_s is None else budget_s
    asked = most_replicas(problem, replicas, kinds)
    # There must be a plan if any fits: where none was found with few replicas, more are allowed.
    for most in sorted({asked, asked if replicas else min(len(where.held), problem.workload.micro_batch_samples)}):
        search = _ReplanSearch(where, depth=depth, replicas=most, stages=stages, rounds=rounds, budget_s=limit_s)
        found = search.run(time_limit_s=time_limit_s - (search.began_s - began_s), gap=gap)
        if found.value_s < INF:
            return search.answer(found)
    if not found.proven or budget_s is None:
        raise InfeasibleError(why_no_pipeline(search.candidates, found))
    cheapest = _ReplanSearch(where, depth=depth, replicas=most, stages=stages, rounds=_HARDLY_ANY, budget_s=INF)
    found = cheapest.run(time_limit_s=time_limit_s - (cheapest.began_s - began_s), gap=gap)
    if found.value_s == INF:
        raise InfeasibleError(why_no_pipeline(search.candidates, found))
    raise InfeasibleError(_beyond(problem, before, cheapest.draft(found.choice), lost, coordinator, budget_s, where))


def _beyond(
    problem: Problem,
    old: Plan,
    plan: Plan,
    lost: Sequence[int],
    coordinator: int | None,
    budget_s: float,
    where: Holdings,
) -> str:
    received = migrated_bytes(problem, old, plan, lost, coordinator)
    rank = max(received, key=lambda rank: (received[rank] * where.transfers.download_s(rank), -rank))
    return (
        f"no pipeline of {problem.model.name} can be migrated to within {show(budget_s, 's')}: the quickest takes "
        f"{show(moving_s(where, plan), 's')}, in which rank {rank} ({problem.cluster.devices[rank].name}) receives "
        f"{show(received[rank], 'B')} (raise budget_s)"
    )


class _ReplanSearch(PipelineSearch):
    """The survivors' pipelines, by seconds of an iteration and the migration's part in it."""

    def __init__(
        self, where: Holdings, *, depth: Depth, replicas: int, stages: int | None, rounds: float, budget_s: float
    ) -> None:
        self.where, self.rounds, self.budget_s = where, rounds, budget_s
        candidates = MigrationColumns(where, depth=Depth(depth), replicas=replicas, stages=stages, rounds=rounds)
        super().__init__(
            where.problem,
            candidates.family,
            planner="ilp_replan",
            candidates=candidates,
            one_time=OneTimeCosts(most_s=budget_s / rounds),
        )

    def seconds(self, choice: Choice) -> float:
        """Of an iteration, and of the migration divided by the rounds; infinite beyond the budget."""
        moving = moving_s(self.where, self.draft(choice))
        if moving > self.budget_s * (1 + 1e-9):
            return INF
        return super().seconds(choice) + moving / self.rounds

    def answer(self, found: SearchResult) -> Plan:
        """The checked plan, with the proof of the whole."""
        return replace(self.plan(found.choice, found), predicted_s=super().seconds(found.choice))

    def proof(self, seconds: float, found: SearchResult) -> Proof:
        """Of all rounds; what is searched for is a round's part."""
        part, rounds = super().proof(seconds, found), self.rounds
        return replace(
            part,
            objective=Objective.MIGRATION_AND_ITERATIONS,
            details=f"{rounds} iterations",
            value=part.value * rounds,
            bound=None if part.bound is None else part.bound * rounds,
        )
