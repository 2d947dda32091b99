"""Is a plan checked once on its way from its planner to a player, and does none that does not fit get there?"""

from dataclasses import replace

import pytest
from test_ilp_energy import ON_TWO, front_case

from edgesim import EdgesimError, Plan
from edgesim.errors import OutOfMemoryError
from edgesim.plan import Stage
from edgesim.planners.exact.energy.ilp_energy import energy_front
from edgesim.planners.problem import Problem, ask
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from experiments.configuration.command_line import composed
from experiments.configuration.planners import contending_planners
from experiments.configuration.setup import prepare, read_setup
from experiments.planner_bench.attempt import Attempt, pose
from experiments.planner_bench.cases import Case
from experiments.planner_bench.competitors import Competitor, Plans, competitors
from experiments.planner_regret.contenders import contenders

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
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Stage, ...]]:
    """The stages of the plans that are checked, in the order of checks."""
    stages, check = [], Plan.check

    def counted(plan: Plan, *args: object, **options: object) -> None:
        stages.append(plan.stages)
        check(plan, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Plan, "check", counted)
    return stages


@pytest.mark.parametrize("competitor", competitors(), ids=lambda each: each.name)
def test_a_plan_is_checked_once(competitor: Competitor, checked: list[tuple[Stage, ...]]) -> None:
    posed = pose(Attempt(case=SMALL[competitor.plans], competitor=competitor))
    try:
        plan = posed.setup.plan(posed.planner, posed.strategy)
    except EdgesimError as declined:
        pytest.skip(str(declined))
    assert checked.count(plan.stages) == 1
    if plan.planner == "simulate_and_choose":  # which asks others, and chooses among their plans
        assert len(set(checked)) == len(checked) > 1
    else:
        assert len(checked) == 1


def test_every_plan_that_contends_for_real_is_checked_once(checked: list[tuple[Stage, ...]]) -> None:
    cfg = composed("cluster=demo", "strategy=hybrid_pipeline", *TINY)
    contending = contenders(read_setup(cfg), hybrid_pipeline, contending_planners(cfg), keep=2)
    assert any(name.startswith("ilp_hybrid_pipeline") for each in contending for name in each.planners)
    assert [checked.count(each.plan.stages) for each in contending] == [1] * len(contending)


def test_every_plan_of_a_front_is_checked_in_its_modes(checked: list[tuple[Stage, ...]]) -> None:
    problem, modes = front_case()
    front = energy_front(problem, points=3, modes=modes, options=ON_TWO)
    assert checked == [plan.stages for plan in front]
    assert any(plan.modes for plan in front)


def test_what_was_refused_is_refused_again_and_what_fits_here_need_not_fit_there() -> None:
    made = prepare(composed("cluster=demo", "strategy=pipeline", *TINY))
    roomy = made.setup.problem
    full = replace(roomy, head_room=0.9999)
    assert roomy.check(made.plan) is roomy.check(made.plan) is made.plan
    for _ in range(2):
        with pytest.raises(OutOfMemoryError, match="rank 0"):
            full.check(made.plan)
    with pytest.raises(OutOfMemoryError, match="rank 0"):
        replace(roomy, head_room=0.9999).check(made.plan)


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
