"""How does Asteroid's lightweight replay go on (arXiv 2408.08015)? The surviving stages keep their order.

Layers move between neighbours at once, and a stage that is gone comes from its backup. So little moves, and no planner
is asked; the pipeline may be a little slower than the best one. What several replicas lack they pass on to each other,
and of divisions that are as good the one is taken that moves least: of both nothing is published.
"""

from functools import partial

from edgesim.job import Recover, Recovery, Situation
from edgesim.recovery.answers import (
    gone_of,
    moved_by_relays,
    newest_version,
    resumed,
    spare_of,
    taken_up,
    unchanged,
    used_if_it_pays,
)
from edgesim.recovery.newcomers import with_newcomers
from edgesim.recovery.replay import MovesLeast, replayed
from edgesim.recovery.training_setup import TrainingSetup


def lightweight(setup: TrainingSetup, *, within: float = 0.0) -> Recover:
    """Return the policy: who is lost or leaves is replayed without, who comes is used if it pays.

    With ``within``, the slowest stage may take so much longer, as a share, so that less moves; 0 is as published.
    """
    return partial(_recovered, setup, within)


def _recovered(setup: TrainingSetup, within: float, situation: Situation) -> Recovery:
    if (beginning := taken_up(setup, situation)) is not None:
        return beginning
    old, gone = situation.phase.plan, gone_of(situation)
    if gone:
        version, _ = newest_version(situation, len(setup.problem.model.layers))
        holdings = MovesLeast(held=situation.held, version=version, within=within)
        plan = replayed(setup, old, situation.present, holdings)
        return resumed(setup, situation, plan, how=f"without {named(gone)}: {plan}", move=moved_by_relays)
    return with_who_came(setup, situation)


def with_who_came(setup: TrainingSetup, situation: Situation) -> Recovery:
    """Answer where nobody of the plan is gone: who is there and not used may be worth it."""
    spare = spare_of(situation)
    if not situation.change.joining:
        return unchanged(situation, f"goes on as before: the plan does not use who is gone ({situation.change})")
    plan = with_newcomers(setup, situation, spare)
    if plan is None:
        return unchanged(situation, f"goes on as before: no stage has work for {named(spare)}")
    return used_if_it_pays(setup, situation, plan, how=f"with {named(spare)}: {plan}")


def named(ranks: list[int]) -> str:
    """Write ranks for people."""
    return ", ".join(f"rank {rank}" for rank in ranks)
