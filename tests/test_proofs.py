"""Does any row or file say more than was proven? A bound is of its value's objective, and no value lies below it.

Every kept table, every kept plan, every planner on a small problem, and the rows that the bench makes of them.
"""

import json
from pathlib import Path

import pandas as pd
import pytest
from pandas import DataFrame

from edgesim.plan import Plan
from edgesim.proof import OPTIMAL_GAP, Objective, Proof, Status
from experiments.analysis.predictions import prediction
from experiments.analysis.tidy import read_table
from experiments.configuration.command_line import composed
from experiments.configuration.places import CODE
from experiments.configuration.planners import Plans
from experiments.configuration.setup import prepare
from experiments.planner_bench.attempt import Attempt, pose, tried
from experiments.planner_bench.cases import Case
from experiments.planner_bench.competitors import Competitor, competitors
from experiments.planner_bench.rows import table

RESULTS = CODE / "results"
TABLES = [path for path in sorted(RESULTS.rglob("*.csv")) if "sweeps" not in path.parts]
PLANS = sorted(RESULTS.glob("*/plan.json"))
TINY = ("model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4")
CACHE = ("finetuning=parallel_adapters", "workload.purpose=fine_tune", "+workload.epochs=9", "+workload.cache=true")
SMALL = {
    Plans.PIPELINES: Case(plans=Plans.PIPELINES, environment="demo", model="tiny", overrides=("cluster=demo", *TINY)),
    Plans.BLOCKS: Case(
        plans=Plans.BLOCKS,
        environment="galaxy_e",
        model="distilbert",
        overrides=("cluster=galaxy_e", "model=distilbert", "workload=request"),
    ),
}
UNITS = {str(objective): objective.unit for objective in Objective}


def check(rows: DataFrame, *, value: str, bound: str, gap: str, proof: str) -> None:
    """One value and one bound, in the columns of these names."""
    if bound not in rows:
        return
    known = rows[rows[bound].notna()]
    assert known[value].notna().all(), f"a {bound} without a {value}"
    assert (known[value] >= known[bound]).all(), f"a {value} below its {bound}"
    assert known[gap].to_numpy() == pytest.approx((known[value] / known[bound] - 1).to_numpy(), abs=1e-12)
    assert rows[gap].notna().equals(rows[bound].notna()), f"a {gap} without a {bound}"
    if proof in rows:
        assert ((known[proof] == Status.OPTIMAL) == (known[gap] <= OPTIMAL_GAP)).all()
        assert set(rows[rows[bound].isna()][proof].dropna()) <= {str(Status.HEURISTIC)}


def check_all(rows: DataFrame) -> None:
    """Both objectives of a row: the iteration time by the closed form, and what its planner minimised."""
    check(
        rows, value="analytic_s" if "analytic_s" in rows else "predicted_s", bound="bound_s", gap="gap", proof="proof"
    )
    check(rows, value="objective_value", bound="objective_bound", gap="objective_gap", proof="objective_proof")
    if "objective" in rows:
        own = rows[rows["objective"].notna()]
        assert [UNITS[each] for each in own["objective"]] == list(own["objective_unit"]), (
            "a value in another objective's unit"
        )


def test_there_are_tables_and_plans() -> None:
    assert RESULTS / "planner_bench" / "table.csv" in TABLES
    assert PLANS


@pytest.mark.parametrize("path", TABLES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_no_row_of_a_kept_table_says_more_than_was_proven(path: Path) -> None:
    check_all(read_table(path))


def test_no_plan_of_the_slowest_stage_is_proven_for_the_iteration_time_by_its_own_bound() -> None:
    rows = read_table(RESULTS / "planner_bench" / "table.csv")
    pipeedge = rows[rows["planner"].str.startswith("pipeedge") & (rows["status"] == "done")]
    assert len(pipeedge) == 42
    assert set(pipeedge["objective"]) == {str(Objective.SLOWEST_STAGE)}
    of_the_iteration = pipeedge[pipeedge["bound_s"].notna()]
    assert (of_the_iteration["bound_s"] > 1.8 * of_the_iteration["objective_bound"]).all()


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.parent.name)
def test_every_kept_plan_is_read_with_its_proof(path: Path) -> None:
    written, plan = json.loads(path.read_text())["proof"], Plan.from_json(path.read_text())
    assert (plan.proof is None) == (written is None)
    if plan.proof is not None:
        assert plan.proof.to_dict() == written


@pytest.mark.parametrize("competitor", competitors(), ids=lambda each: each.name)
def test_every_planner_of_the_bench_proves_what_it_says(competitor: Competitor) -> None:
    attempt = Attempt(case=SMALL[competitor.plans], competitor=competitor)
    row = attempt.names | tried(pose(attempt))
    if row["status"] != "done":
        pytest.skip(row["reason"])
    check_all(table([row]))
    assert (row["objective_bound"] is None) == (row["objective_proof"] in (None, "heuristic"))


# By overrides: what is minimised, how often its value is of the iteration time, and the unit.
OWN = [
    (("planner=pipeedge",), Objective.SLOWEST_STAGE),
    (("planner=ilp_energy",), Objective.ITERATION_ENERGY),
    (("planner=ilp_two_phases", *CACHE), Objective.JOB_TIME),
    (("planner=exhaustive", "groups=data"), Objective.JUDGED_TIME),
]


@pytest.mark.parametrize(("overrides", "objective"), OWN, ids=lambda each: str(each))
def test_what_is_no_iteration_time_has_a_bound_of_its_own_and_none_of_the_iteration_time(
    overrides: tuple[str, ...], objective: Objective
) -> None:
    made = prepare(composed(*TINY, "strategy=hybrid_pipeline", *overrides))
    known = prediction(made.setup.problem, made.plan, made.strategy)
    assert (known.bound_s, known.gap) == (None, None)
    assert known.own is not None
    assert known.own.objective is objective
    assert known.own.bound is not None
    assert known.own.bound <= known.own.value


def test_a_hand_made_row_with_a_bound_of_something_else_is_found() -> None:
    honest = {"objective": str(Objective.SLOWEST_STAGE), "objective_unit": "s", "analytic_s": 9.0, "proof": "heuristic"}
    own = {"objective_value": 2.0, "objective_bound": 2.0, "objective_gap": 0.0, "objective_proof": "optimal"}
    check_all(DataFrame([honest | own | {"bound_s": None, "gap": None}]))
    for wrong in (
        {"bound_s": 2.0, "gap": 0.0, "proof": "optimal"},  # as the bench once had it
        {"bound_s": 9.5, "gap": 9.0 / 9.5 - 1, "proof": "optimal"},
        {"objective_unit": "J"},
        {"objective_proof": "feasible"},
    ):
        with pytest.raises(AssertionError):
            check_all(DataFrame([honest | own | {"bound_s": float("nan"), "gap": float("nan")} | wrong]))


def test_a_proof_of_a_small_case_has_the_values_made_by_hand() -> None:
    proof = Proof(
        method="m", objective=Objective.MIGRATION_AND_ITERATIONS, details="10 iterations", value=1900.0, bound=1900.0
    )
    assert (proof.gap, proof.status, proof.objective.show(proof.value)) == (0.0, Status.OPTIMAL, "1.9 ks")
    assert pd.isna(
        table(
            [
                {
                    "plans": "pipelines",
                    "cluster": "c",
                    "model": "m",
                    "planner": "ilp_replan",
                    "status": "done",
                    "simulated_s": 1.9,
                    "analytic_s": 1.9,
                    "objective": str(proof.objective),
                    "objective_value": 1900.0,
                    "objective_bound": 1900.0,
                }
            ]
        ).loc[0, "bound_s"]
    )
