"""Is the plan that the simulator chooses never slower than what anybody else says, and what does it prove?"""

from dataclasses import replace
from functools import partial

import pytest
from test_ilp_hybrid_pipeline import a_problem
from test_steady_state import simulated_s

from edgesim.errors import InfeasibleError, PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.baselines.proportional import proportional
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.exact.pipelines.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.literature.asteroid import asteroid
from edgesim.planners.literature.dapple import dapple
from edgesim.planners.literature.eco_fl import eco_fl
from edgesim.planners.literature.eddl import eddl
from edgesim.planners.literature.pipeedge import pipeedge
from edgesim.planners.problem import Planner, Problem
from edgesim.planners.simulate_and_choose import pipelines, simulate_and_choose
from edgesim.proof import Status

CONTENDERS: tuple[Planner, ...] = (
    asteroid,
    dapple,
    eco_fl,
    pipeedge,
    partial(eddl, shares="proportional"),
    partial(proportional, groups="halves", depth=Depth.ONE_F_ONE_B),
)


def chosen(problem: Problem) -> Plan:
    return simulate_and_choose(problem, evaluate=partial(simulated_s, problem), contenders=CONTENDERS, keep=4)


@pytest.mark.parametrize("seed", range(6))
def test_no_planner_is_faster_in_simulated_time(seed: int) -> None:
    problem = a_problem(seed, layers=5, devices=1 + seed % 4, samples=4, memory=(3.0, 100.0)[seed % 2])
    plan = chosen(problem)
    best = simulated_s(problem, plan)
    asked = 0
    for planner in (*CONTENDERS, ilp_hybrid_pipeline):
        try:
            theirs = planner(problem)
        except (PlanError, InfeasibleError):
            continue
        asked += 1
        assert best <= simulated_s(problem, theirs) * (1 + 1e-12)
    assert asked >= 3
    assert plan.planner == "simulate_and_choose"


def test_its_proof_is_of_the_formula_and_tells_who_proposed_the_plan() -> None:
    problem = a_problem(2, layers=5, devices=3, samples=4, memory=100.0)
    plan = chosen(problem)
    assert "fastest of" in plan.proof.method
    assert plan.proof.value == plan.predicted_s == pytest.approx(iteration_s(problem, plan))
    if plan.proof.status is not Status.HEURISTIC:
        assert plan.proof.bound is not None
        assert plan.proof.bound <= iteration_s(problem, plan) * (1 + 1e-9)


def test_the_best_few_come_first_and_the_formulas_best_is_among_them() -> None:
    problem = a_problem(3, layers=5, devices=3, samples=4, memory=100.0)
    found = list(pipelines(problem, CONTENDERS, keep=3, time_limit_s=30))
    values = [candidate.plan.proof.value for candidate in found[:3]]
    assert values == sorted(values)  # type: ignore[type-var]
    assert values[0] == pytest.approx(ilp_hybrid_pipeline(problem).predicted_s)
    assert all(candidate.plan.proof.bound is not None for candidate in found[:3])


def test_the_same_problem_gives_the_same_plan() -> None:
    problem = a_problem(4, layers=5, devices=3, samples=4, memory=100.0)
    assert chosen(problem).stages == chosen(problem).stages


def test_plans_that_the_strategy_refuses_are_passed_over() -> None:
    problem = a_problem(5, layers=4, devices=2, samples=4, memory=100.0)

    def only_data(plan: Plan) -> float:
        if len(plan.stages) > 1:
            raise PlanError("data parallelism has one stage")
        return simulated_s(problem, plan)

    assert len(simulate_and_choose(problem, evaluate=only_data, contenders=CONTENDERS).stages) == 1

    def nothing(plan: Plan) -> float:
        raise PlanError("no")

    with pytest.raises(PlanError, match="the strategy plays none of the plans"):
        simulate_and_choose(problem, evaluate=nothing, contenders=CONTENDERS)


def test_where_nobody_has_a_plan_it_says_what_is_missing() -> None:
    with pytest.raises(InfeasibleError, match="layer l1 of chain3 alone needs 268 kB, and rank 1"):
        chosen(a_problem(1, layers=3, devices=2, memory=0.02))


def test_contenders_are_whoever_the_caller_names_and_one_that_declines_is_passed_over() -> None:
    problem = a_problem(4, layers=5, devices=3, samples=4, memory=100.0)
    asked: list[str] = []

    def declines(problem: Problem) -> Plan:
        asked.append("declines")
        raise PlanError("not made for this")

    def knows_better(problem: Problem) -> Plan:
        asked.append("knows_better")
        return replace(asteroid(problem), planner="knows_better")

    def only_from_there(plan: Plan) -> float:
        return 1.0 if plan.planner == "knows_better" else 2.0

    alone = simulate_and_choose(problem, evaluate=only_from_there, keep=1)
    plan = simulate_and_choose(problem, evaluate=only_from_there, contenders=[declines, knows_better], keep=1)
    assert asked == ["declines", "knows_better"]
    assert alone.proof is not None
    assert "ilp_hybrid_pipeline" in alone.proof.method
    assert alone.stages != plan.stages
    assert plan.proof is not None
    assert plan.proof.method.startswith("knows_better, fastest of")
