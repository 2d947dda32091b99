"""How could a rank that has come be used? As one more replica, as a stage of its own, or as a known plan says."""

from collections.abc import Iterator

from edgesim.errors import InfeasibleError, PlanError
from edgesim.job import Situation
from edgesim.plan import Plan
from edgesim.recovery.answers import moved_directly
from edgesim.recovery.migrations import migrating_s
from edgesim.recovery.replay import divided_anew, replayed, shared_anew
from edgesim.recovery.training_setup import TrainingSetup


def with_newcomers(setup: TrainingSetup, situation: Situation, ranks: list[int]) -> Plan | None:
    """Return the plan with these ranks, added one after the other, that ends the job first; None where none fits.

    What counts are the iterations left and what moves before them. A rank with which it takes longer is not added. Of
    known plans, what is left with who is there counts as well.
    """
    best = min(_known(setup, situation), key=lambda plan: _ends_s(setup, situation, plan), default=None)
    for rank in ranks:
        if best is None or rank not in best.ranks:
            found = [*([best] if best else []), *_with(setup, best or situation.phase.plan, rank)]
            best = min(found, key=lambda plan: _ends_s(setup, situation, plan), default=None)
    return best


def _known(setup: TrainingSetup, situation: Situation) -> Iterator[Plan]:
    for plan in setup.known:
        try:
            yield replayed(setup, plan, situation.present)
        except (InfeasibleError, PlanError):
            continue  # nobody of it is there, or those who are have no memory for the rest


def _ends_s(setup: TrainingSetup, situation: Situation, plan: Plan) -> float:
    assert plan.predicted_s is not None, "replayed plans say how long they take"
    moves = moved_directly(setup, plan, situation.held, situation.done)
    return plan.predicted_s * situation.left + migrating_s(moves, setup.problem)


def _with(setup: TrainingSetup, old: Plan, rank: int) -> Iterator[Plan]:
    groups = [list(stage.ranks) for stage in old.stages]
    for s, stage in enumerate(old.stages):
        if len(stage.ranks) < setup.problem.workload.micro_batch_samples:
            plan = shared_anew(setup, old, [[*group, rank] if p == s else group for p, group in enumerate(groups)])
            if plan is not None:
                yield plan
    for s in range(len(groups) + 1):
        try:
            yield divided_anew(setup, [*groups[:s], [rank], *groups[s:]])
        except (InfeasibleError, PlanError):
            continue  # it has no memory for it there
