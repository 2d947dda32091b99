"""How does a job go on that is planned with its migration? By the integer programme of ``ilp_replan``.

It minimises migration and all iterations that are left together, with a bound that proves how good it is.
"""

from functools import partial

from edgesim.errors import InfeasibleError
from edgesim.job import Recover, Recovery, Situation
from edgesim.plan import Plan
from edgesim.planners.exact.replanning.ilp_replan import ilp_replan
from edgesim.recovery.answers import gone_of, resumed, taken_up, unchanged, used_if_it_pays
from edgesim.recovery.training_setup import TrainingSetup


def proven(setup: TrainingSetup, *, time_limit_s: float, gap: float = 1e-6) -> Recover:
    """Return the policy; the solver has so many seconds, or ends at this gap."""
    return partial(_recovered, setup, time_limit_s, gap)


def _recovered(setup: TrainingSetup, time_limit_s: float, gap: float, situation: Situation) -> Recovery:
    if (beginning := taken_up(setup, situation)) is not None:
        return beginning
    gone = gone_of(situation)
    if not gone and not situation.change.joining:
        return unchanged(situation, f"goes on as before: the plan does not use who is gone ({situation.change})")
    try:
        plan = _replanned(setup, situation, None, time_limit_s, gap)
    except InfeasibleError:
        # What no survivor and no backup holds is drawn anew, or read from a checkpoint: as if somebody kept a copy.
        plan = _replanned(setup, situation, situation.present[0], time_limit_s, gap)
    how = f"proven within {plan.proof.gap:.2g}: {plan}" if plan.proof and plan.proof.gap is not None else str(plan)
    if gone:
        return resumed(setup, situation, plan, how=how)
    return used_if_it_pays(setup, situation, plan, how=how)


def _replanned(
    setup: TrainingSetup, situation: Situation, coordinator: int | None, time_limit_s: float, gap: float
) -> Plan:
    problem = setup.problem
    plan = ilp_replan(
        problem,
        old=situation.phase.plan,
        lost=[rank for rank in problem.ranks if rank not in situation.present],
        iterations=max(1, situation.left),
        coordinator=coordinator,
        depth=setup.depth,
        time_limit_s=time_limit_s,
        gap=gap,
    )
    return problem.check(plan)
