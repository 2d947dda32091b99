"""How does heavy rescheduling go on? All layers to a coordinator, a full plan for who is there, and layers to all.

It is what Asteroid compares its replay with (arXiv 2408.08015): the best pipeline afterwards, after the longest pause.
Every rank gets its whole stage from the coordinator, whatever it held before; we can spare it what it has.
"""

from functools import partial

from edgesim.job import Held, Migration, Recover, Recovery, Situation
from edgesim.plan import Plan
from edgesim.planners.problem import Planner
from edgesim.recovery.answers import gone_of, resumed, taken_up, unchanged, used_if_it_pays
from edgesim.recovery.migrations import migration, wanted_by
from edgesim.recovery.survivors import planned_among
from edgesim.recovery.training_setup import TrainingSetup


def heavy(
    setup: TrainingSetup, *, planner: Planner, coordinator: int | None = None, only_missing: bool = False
) -> Recover:
    """Return the policy, by a planner for the whole problem.

    ``coordinator`` is the rank that gathers all layers; None, or one that neither plan uses: the first that is there.
    With ``only_missing`` it does not send what its receiver has already, which is ours.
    """
    return partial(_recovered, setup, planner, coordinator, only_missing)


def _recovered(
    setup: TrainingSetup, planner: Planner, coordinator: int | None, only_missing: bool, situation: Situation
) -> Recovery:
    if (beginning := taken_up(setup, situation)) is not None:
        return beginning
    present, gone = situation.present, gone_of(situation)
    if not gone and not situation.change.joining:
        return unchanged(situation, f"goes on as before: the plan does not use who is gone ({situation.change})")
    plan = planned_among(planner, setup.problem, present)
    # Connected are those of both plans.
    there = [rank for rank in (*situation.phase.plan.ranks, *plan.ranks) if rank in present]
    at = coordinator if coordinator in there else there[0]
    how, move = f"planned anew through rank {at}: {plan}", partial(_moved_through, at, only_missing)
    if gone:
        return resumed(setup, situation, plan, how=how, move=move)
    return used_if_it_pays(setup, situation, plan, how=how, move=move)


def _moved_through(
    coordinator: int, only_missing: bool, setup: TrainingSetup, plan: Plan, held: Held, version: int
) -> tuple[Migration, ...]:
    """Gather all layers at the coordinator, and scatter from there what ranks shall hold, or lack."""
    problem = setup.problem
    gather = migration("gather", {coordinator: (0, len(problem.model.layers))}, held, version, problem)
    held = held if gather is None else held.with_copies(gather.arriving)
    held = held if only_missing else held.of_ranks((coordinator,))
    scatter = migration("scatter", wanted_by(plan), held, version, problem, senders=(coordinator,))
    return tuple(each for each in (gather, scatter) if each is not None)
