"""Where should the layers go when devices are lost, if what moves takes time too? An integer programme with migration.

    minimise  migration_s + iterations * iteration_s

over all hybrid pipelines of the survivors, with the seconds of migration from ``migration.py`` and the iterations that
are left to train. Asteroid's replay (Ye et al., MobiCom 2024, arXiv 2408.08015) keeps the stages and re-divides their
layers; this also changes stages where that pays off, and leaves them where it does not.
"""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from edgesim.errors import InfeasibleError, PlanError, text_of
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.migration import Holdings, holdings
from edgesim.planners.exact.pipelines.candidates import PipelineFamily
from edgesim.planners.exact.pipelines.explain import why_no_pipeline
from edgesim.planners.exact.pipelines.many_kinds.affordable import SearchEnd
from edgesim.planners.exact.pipelines.milp import INF
from edgesim.planners.exact.pipelines.search import most_replicas
from edgesim.planners.exact.replanning.candidates import kinds_of_survivors
from edgesim.planners.exact.replanning.explain import why_not_within
from edgesim.planners.exact.replanning.search import replanned
from edgesim.planners.problem import Problem

_HARDLY_ANY = 1e-6  # iterations, where only what moves shall count


def ilp_replan(
    problem: Problem,
    *,
    old: Plan | Path | str,
    lost: Sequence[int],
    iterations: int,
    budget_s: float | None = None,
    coordinator: int | None = None,
    depth: Depth = Depth.ASTEROID,
    replicas: int | None = None,
    stages: int | None = None,
    time_limit_s: float = 60.0,
    gap: float = 1e-6,
) -> Plan:
    """Return the best plan without the lost ranks for so many more iterations, proven within the gap or the time.

    Survivors keep their ranks. ``old`` is the plan that was running, or the file that holds it. With a ``budget_s``,
    migration takes no longer. Stages have at most so many replicas, unless none fits, and a pipeline so many stages.
    ``coordinator`` is a rank that keeps a copy of the whole model, for layers that no other rank holds any more.
    ``predicted_s`` of the plan is one iteration; its proof is of migration and all iterations together. Where the
    stages of many unlike survivors are too many to list, the bound is of iterations alone, and the proof says so.

    Raises InfeasibleError naming a layer that is gone, a device and what it lacks, or the budget and one that would be
    enough.
    """
    if iterations < 1 or (budget_s is not None and budget_s < 0):
        raise PlanError(
            f"ilp_replan: needs iterations >= 1 and budget_s >= 0, got iterations={iterations}, budget_s={budget_s}"
        )
    deadline_s = perf_counter() + time_limit_s
    before = old if isinstance(old, Plan) else Plan.from_json(text_of(old, "plan"), source=str(old))
    survivors = holdings(problem, before, lost, coordinator)
    budget, end = INF if budget_s is None else budget_s, SearchEnd(until_s=deadline_s, gap=gap)
    for most in _replicas(survivors, replicas):
        family, end = (
            PipelineFamily(depth=Depth(depth), replicas=most, stages=stages),
            SearchEnd(until_s=deadline_s, gap=gap),
        )
        search, result = replanned(survivors, family, iterations=iterations, budget_s=budget, end=end)
        if result.value_s < INF:
            return search.best_plan(result)
    if not result.proven or budget_s is None or not search.knows_migration:
        raise why_no_pipeline(search.candidates, result, until_s=deadline_s)
    cheapest, result = replanned(survivors, family, iterations=_HARDLY_ANY, budget_s=INF, end=end)
    if result.value_s == INF:
        raise why_no_pipeline(search.candidates, result, until_s=deadline_s)
    raise InfeasibleError(why_not_within(budget_s, survivors, cheapest.draft(result.choice)))


def _replicas(survivors: Holdings, replicas: int | None) -> list[int]:
    """Return how many replicas a stage may have, fewest first: more are allowed where no plan is found with few."""
    problem = survivors.problem
    few = most_replicas(problem, replicas, kinds_of_survivors(survivors))
    all_survivors = min(len(survivors.held), problem.workload.micro_batch_samples)
    return sorted({few, few if replicas else all_survivors})
