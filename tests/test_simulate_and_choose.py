"""Is the plan that the simulator chooses never slower than what anybody else says, and what does it prove?"""

from functools import partial

import pytest
from test_ilp_hybrid_pipeline import a_problem
from test_steady_state import simulated_s

from edgesim.errors import InfeasibleError, PlanError
from edgesim.plan import Plan
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.exact.pipelines.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.problem import Problem
from edgesim.planners.simulate_and_choose import PIPELINES, pipelines, simulate_and_choose
from edgesim.proof import Status


def chosen(problem: Problem) -> Plan:
    return simulate_and_choose(problem, evaluate=partial(simulated_s, problem), keep=4)


@pytest.mark.parametrize("seed", range(6))
def test_no_planner_is_faster_in_simulated_time(seed: int) -> None:
    problem = a_problem(seed, layers=5, devices=1 + seed % 4, samples=4, memory=(3.0, 100.0)[seed % 2])
    plan = chosen(problem)
    best = simulated_s(problem, plan)
    asked = 0
    for planner in (*PIPELINES, ilp_hybrid_pipeline):
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
    found = list(pipelines(problem, keep=3, time_limit_s=30))
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

    assert len(simulate_and_choose(problem, evaluate=only_data).stages) == 1

    def nothing(plan: Plan) -> float:
        raise PlanError("no")

    with pytest.raises(PlanError, match="the strategy plays none of the plans"):
        simulate_and_choose(problem, evaluate=nothing)


def test_where_nobody_has_a_plan_it_says_whom_to_ask() -> None:
    with pytest.raises(InfeasibleError, match="no planner has a plan"):
        chosen(a_problem(1, layers=3, devices=2, memory=0.02))
