"""Which attempts are wanted? All, those of names, or a few small ones to try the bench."""

from collections.abc import Sequence

from experiments.configuration.command_line import suggestion
from experiments.planner_bench.attempt import Attempt
from experiments.planner_bench.cases import Case
from experiments.planner_bench.competitors import COMPETITORS, Competitor

# Small and diverse: five equal devices, and two unequal ones; and every planner is asked.
_QUICK = (("asteroid_a", "bert_small"), ("asteroid_d", "mobilenet_v2"), ("galaxy_e", "distilbert"))


def attempts(
    cases: Sequence[Case], *, only: Sequence[str] = (), quick: bool = False, competitors: Sequence[Competitor] = ()
) -> list[Attempt]:
    """Every competitor on every case of its kind; of planners, environments and models only those named, if any are.

    Raises ValueError for a name that is none of these, or names that never meet.
    """
    everybody = competitors or COMPETITORS
    found = [
        Attempt(case=case, competitor=competitor)
        for case in cases
        if not quick or (case.environment, case.model) in _QUICK
        for competitor in everybody
        if competitor.plans is case.plans
    ]
    kinds = [
        {competitor.name for competitor in everybody},
        {case.environment for case in cases},
        {case.model for case in cases},
    ]
    for name in only:
        if not any(name in kind for kind in kinds):
            raise ValueError(f"unknown planner, environment or model {name!r}{suggestion(name, set().union(*kinds))}")
    wanted = [kind & set(only) or kind for kind in kinds]
    chosen = [
        attempt
        for attempt in found
        if attempt.competitor.name in wanted[0]
        and attempt.case.environment in wanted[1]
        and attempt.case.model in wanted[2]
    ]
    if not chosen:
        raise ValueError(f"nothing to do: no planner and case have all of {', '.join(only)}; leave some out")
    return chosen
