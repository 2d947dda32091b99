"""Which plans compete in a setting? Every distinct plan of the published planners, and the best few of the programmes.

``simulate_and_choose`` is asked like all others: its answer is one of theirs, and it is this one that has to stand.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from edgesim.plan import Plan
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.problem import ask
from edgesim.planners.simulate_and_choose import Candidate, pipelines, simulate_and_choose
from edgesim.strategies import Strategy
from experiments.configuration.planners import ConfiguredPlanner
from experiments.configuration.setup import Setup

CHOICE = "simulate_and_choose"
_TIME_LIMIT_S = 60.0  # of the integer programmes, which take about one


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A plan that nobody else has in this setting, and its seconds per iteration before it is played.

    Attributes:
        planners: who proposed it; further answers of a planner are numbered: ``pac``, ``pac #2``.
        plan: with the bound of its depth where one is known.
        analytic_s: by the formula that all planners share.
        simulated_s: by the simulator, with the same profile.
    """

    planners: tuple[str, ...]
    plan: Plan
    analytic_s: float
    simulated_s: float


def contenders(
    setup: Setup, strategy: Strategy, planners: Iterable[ConfiguredPlanner], *, keep: int
) -> list[Contender]:
    """All plans of a setting, in the order in which planners are asked; ``keep`` are the best of each programme.

    Raises InfeasibleError if no planner has a plan.
    """
    problem = setup.problem
    bound = [setup.bind(planner, strategy) for planner in planners]
    proposals = list(pipelines(problem, bound, keep=keep, time_limit_s=_TIME_LIMIT_S))
    choose = partial(
        simulate_and_choose,
        evaluate=partial(setup.seconds, strategy=strategy),
        contenders=bound,
        keep=keep,
        time_limit_s=_TIME_LIMIT_S,
    )
    chosen = ask(choose, problem)
    by_stages: dict[object, Contender] = {}
    for name, plan in numbered([*proposals, Candidate(name=CHOICE, plan=chosen)]):
        if (same := by_stages.get(plan.stages)) is not None:
            by_stages[plan.stages] = replace(same, planners=(*same.planners, name))
            continue
        by_stages[plan.stages] = Contender(
            planners=(name,),
            plan=plan,
            analytic_s=iteration_s(problem, plan),
            simulated_s=setup.seconds(plan, strategy),
        )
    return list(by_stages.values())


def numbered(proposals: list[Candidate]) -> list[tuple[str, Plan]]:
    """Each plan with a name of its own: a planner's first answer is the planner's, then come ``#2``, ``#3`` ..."""
    counts, named = Counter[str](), []
    for proposal in proposals:
        counts[proposal.name] += 1
        count = counts[proposal.name]
        named.append((proposal.name if count == 1 else f"{proposal.name} #{count}", proposal.plan))
    return named
