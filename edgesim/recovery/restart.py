"""How does a job go on from its last checkpoint? All processes start anew and read it; what was done since is redone.

Who leaves politely, or comes, needs no restart: then layers move as in ``lightweight.py``.
"""

from functools import partial

from edgesim.job import Recover, Recovery, Situation
from edgesim.planners.problem import Planner
from edgesim.recovery.answers import gone_of, restarted, resumed, taken_up
from edgesim.recovery.lightweight import named, with_who_came
from edgesim.recovery.replay import replayed
from edgesim.recovery.survivors import planned_among
from edgesim.recovery.training_setup import TrainingSetup


def restart(setup: TrainingSetup, *, planner: Planner | None = None) -> Recover:
    """Return the policy; the plan is that of a planner, or without one the same plan without who is gone."""
    return partial(_recovered, setup, planner)


def _recovered(setup: TrainingSetup, planner: Planner | None, situation: Situation) -> Recovery:
    if (beginning := taken_up(setup, situation)) is not None:
        return beginning
    gone = gone_of(situation)
    if not gone:
        return with_who_came(setup, situation)
    if planner is None:
        plan = replayed(setup, situation.phase.plan, situation.present)
    else:
        plan = planned_among(planner, setup.problem, situation.present)
    how = f"without {named(gone)}: {plan}"
    polite = set(gone) <= set(situation.change.leaving)
    return resumed(setup, situation, plan, how=how) if polite else restarted(setup, situation, plan, how=how)
