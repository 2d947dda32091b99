"""Is a plan checked once on its way from its planner to a player, and does none that does not fit get there?"""

from dataclasses import replace

import pytest

from edgesim import EdgesimError, Plan
from edgesim.errors import OutOfMemoryError
from edgesim.planners.problem import Problem, ask
from experiments.configuration.command_line import composed
from experiments.configuration.setup import prepare
from experiments.planner_bench.attempt import Attempt, pose
from experiments.planner_bench.cases import Case
from experiments.planner_bench.competitors import Competitor, Plans, competitors

TINY = ("model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4")
SMALL = {
    Plans.PIPELINES: Case(plans=Plans.PIPELINES, environment="demo", model="tiny", overrides=("cluster=demo", *TINY)),
    Plans.BLOCKS: Case(
        plans=Plans.BLOCKS,
        environment="galaxy_e",
        model="distilbert",
        overrides=("cluster=galaxy_e", "model=distilbert", "workload=request"),
    ),
}


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The planners whose plans are checked, in the order of checks."""
    names, check = [], Plan.check

    def counted(plan: Plan, *args: object, **options: object) -> None:
        names.append(plan.planner)
        check(plan, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Plan, "check", counted)
    return names


@pytest.mark.parametrize("competitor", competitors(), ids=lambda each: each.name)
def test_a_plan_is_checked_once(competitor: Competitor, checked: list[str]) -> None:
    posed = pose(Attempt(case=SMALL[competitor.plans], competitor=competitor))
    try:
        plan = posed.setup.plan(posed.planner, posed.strategy)
    except EdgesimError as declined:
        pytest.skip(str(declined))
    assert checked.count(plan.planner) == 1
    if plan.planner != "simulate_and_choose":  # which asks others, and has their plans checked
        assert len(checked) == 1


def test_a_plan_that_does_not_fit_does_not_pass() -> None:
    setup = prepare(composed("cluster=demo", "strategy=pipeline", *TINY)).setup
    plan = prepare(composed("cluster=demo", "strategy=pipeline", *TINY)).plan
    small = tuple(replace(device, memory_bytes=1e3) for device in setup.cluster.devices)
    problem = replace(setup.problem, cluster=replace(setup.cluster, devices=small))

    def careless(problem: Problem) -> Plan:
        return plan

    assert ask(careless, setup.problem) == plan
    with pytest.raises(OutOfMemoryError, match="rank 0"):
        ask(careless, problem)
