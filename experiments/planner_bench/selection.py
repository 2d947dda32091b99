"""Which attempts are wanted? All, those of the kept table, a few small ones to try the bench, or those of names."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from experiments.configuration.suggestions import suggestion
from experiments.planner_bench.attempt import Attempt
from experiments.planner_bench.cases import Case
from experiments.planner_bench.competitors import Competitor


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseGroup:
    """The cases whose environment and model match these patterns, without the competitors that are not asked there."""

    environment: str = "*"
    model: str = "*"
    without: tuple[str, ...] = ()

    def holds(self, case: Case, competitor: Competitor) -> bool:
        """Whether this competitor is asked about this case."""
        return (
            fnmatch(case.environment, self.environment)
            and fnmatch(case.model, self.model)
            and competitor.name not in self.without
        )


ALL = (CaseGroup(),)
# Small and diverse: five equal devices, and two unequal ones; and every planner is asked.
QUICK = (
    CaseGroup(environment="asteroid_a", model="bert_small"),
    CaseGroup(environment="asteroid_d", model="mobilenet_v2"),
    CaseGroup(environment="galaxy_e", model="distilbert"),
)
# The rows of results/planner_bench/table.csv: every environment, Asteroid's with all of its models. On more than
# Asteroid's six devices there are far more plans than can be tried one by one.
_TOO_MANY = ("exhaustive_pipeline",)
KEPT = (
    CaseGroup(environment="asteroid_*"),
    CaseGroup(environment="pac_8", without=_TOO_MANY),
    CaseGroup(environment="pool-*", model="bert_small", without=_TOO_MANY),
    CaseGroup(environment="galaxy_*", model="distilbert"),
)
KEPT_TIME_LIMIT_S = 30.0  # of each attempt of the kept table


def attempts(
    cases: Sequence[Case],
    competitors: Sequence[Competitor],
    *,
    only: Sequence[str] = (),
    selection: Sequence[CaseGroup] = ALL,
) -> list[Attempt]:
    """Every competitor on every selected case of its kind; of planners, environments and models only those named.

    Raises ValueError for a name that is none of these, or names that never meet.
    """
    selected = [
        Attempt(case=case, competitor=competitor)
        for case in cases
        for competitor in competitors
        if competitor.plans is case.plans and any(group.holds(case, competitor) for group in selection)
    ]
    sorts = [
        {competitor.name for competitor in competitors},
        {case.environment for case in cases},
        {case.model for case in cases},
    ]
    for name in only:
        if not any(name in names for names in sorts):
            raise ValueError(f"unknown planner, environment or model {name!r}{suggestion(name, set().union(*sorts))}")
    planners, environments, models = (names & set(only) or names for names in sorts)
    wanted = [
        each
        for each in selected
        if each.competitor.name in planners and each.case.environment in environments and each.case.model in models
    ]
    if not wanted:
        raise ValueError(f"nothing to do: no planner and case have all of {', '.join(only)}; leave some out")
    return wanted
