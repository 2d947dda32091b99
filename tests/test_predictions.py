"""Is what a plan promises told beside what came of it, from whoever can tell, and is nothing invented?"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra

from edgesim.plan import Plan
from edgesim.proof import Objective, Proof
from experiments import run
from experiments.analysis import predictions
from experiments.analysis.predictions import prediction
from experiments.analysis.promised import SideBySide, side_by_side
from experiments.configuration.command_line import composed, run_command
from experiments.configuration.setup import prepare
from experiments.sweeps.grid import Composer, Sweep
from experiments.sweeps.rows import Runner
from experiments.tables.plan import plan_table

TINY = ("model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4")
BLOCKS = ("method=galaxy", "model=distilbert", "cluster=galaxy_e", "workload=request")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluators: 3 s for pipelines, 5 s for blocks."""
    monkeypatch.setattr(predictions, "iteration_s", lambda problem, plan: 3.0)
    monkeypatch.setattr(predictions, "block_latency_s", lambda problem, plan, overlap: 5.0 if overlap else 7.0)


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "analytic_s", lambda problem, plan, strategy: None)


def promised(*overrides: str, **fields: object) -> predictions.Prediction:
    """Of the plan of these overrides, with a proof of these fields if there are any."""
    made = prepare(composed(*overrides))
    plan = replace(made.plan, proof=Proof(method="m", **fields)) if fields else made.plan  # type: ignore[arg-type]
    return prediction(made.setup.problem, plan, made.strategy)


@pytest.mark.usefixtures("known")
def test_pipelines_and_blocks_have_evaluators_of_their_own() -> None:
    pipeline, blocks, plain = promised(*TINY), promised(*BLOCKS), promised(*BLOCKS, "strategy.overlap=false")
    assert (pipeline.analytic_s, blocks.analytic_s, plain.analytic_s) == (3.0, 5.0, 7.0)
    assert pipeline.seconds == 3.0
    assert promised(*BLOCKS, "strategy.exchange=star").analytic_s is None


def test_evaluators_are_near_the_simulator() -> None:
    for overrides in (TINY, BLOCKS):
        made = prepare(composed(*overrides))
        seconds = prediction(made.setup.problem, made.plan, made.strategy).analytic_s
        assert seconds == pytest.approx(made.setup.simulate(made.schedule).makespan_s, rel=0.2)


@pytest.mark.usefixtures("unknown")
def test_where_no_evaluator_exists_there_is_no_bound_of_the_iteration_time() -> None:
    nothing = promised(*TINY, "planner=even")
    assert (nothing.analytic_s, nothing.bound_s, nothing.gap, nothing.seconds, nothing.own) == (None,) * 5
    own = promised(*TINY, objective=Objective.ITERATION_TIME, value=6.0, bound=5.0)
    assert (own.analytic_s, own.bound_s, own.gap) == (None,) * 3
    assert own.own is not None
    assert own.own.gap == pytest.approx(0.2)


@pytest.mark.usefixtures("known")
def test_a_bound_counts_for_the_iteration_time_if_it_is_one_of_it() -> None:
    common = promised(*TINY, objective=Objective.ITERATION_TIME, value=3.0, bound=2.5)
    assert (common.bound_s, common.gap, common.own) == (2.5, pytest.approx(0.2), None)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("objective", "value"),
    [
        (Objective.SLOWEST_STAGE, 1.0),
        (Objective.SLOWEST_STAGE, 3.0),  # seconds as well, and as many
        (Objective.ITERATION_ENERGY, 3.0),
        (Objective.MIGRATION_AND_ITERATIONS, 3000.0),
        (Objective.ITERATION_TIME, 4.0),  # of another plan: the evaluator says 3 s
    ],
)
def test_a_bound_of_anything_else_is_no_bound_of_the_iteration_time(objective: Objective, value: float) -> None:
    other = promised(*TINY, objective=objective, value=value, bound=value)
    assert (other.analytic_s, other.bound_s, other.gap) == (3.0, None, None)
    assert other.own is not None
    assert (other.own.objective, other.own.gap) == (objective, 0)


def a_row(proof: Proof | None, **promises: float | None) -> SideBySide:
    """A plan that took 2.5 s in the simulator and 2.6 s on the testbed."""
    made = prepare(composed(*TINY))
    plan: Plan = replace(made.plan, planner="ilp", proof=proof)
    simulated = made.setup.measure(made.setup.simulate(made.schedule))
    metrics = [
        replace(simulated, makespan_s=2.5),
        *(replace(simulated, player="measured", makespan_s=seconds) for seconds in (2.6, 2.4, 9.0)),
    ]
    nothing: dict[str, Any] = dict.fromkeys(("predicted_s", "analytic_s", "bound_s", "gap"))
    own = None if proof is None or proof.objective.is_common else proof
    return side_by_side(plan, predictions.Prediction(**(nothing | promises), own=own), metrics)


COMMON = Proof(method="m", objective=Objective.ITERATION_TIME, value=2.0, bound=1.6, seconds=0.1)
OWN = Proof(method="m", objective=Objective.ITERATION_ENERGY, details="of at most 3 s", value=1500.0, bound=1000.0)


def test_a_plan_proven_for_the_iteration_time_has_one_line() -> None:
    row = a_row(COMMON, predicted_s=2.0, analytic_s=2.0, bound_s=1.6, gap=0.25)
    assert (row.simulated_s, row.measured_s) == (2.5, 2.6)
    assert row.error == pytest.approx(0.25)
    assert shown(row) == [
        ["iteration time, analytic", "2 s", "1.6 s", "25.0%", "feasible", "2.5 s (+25.0%)", "2.6 s"],
    ]
    written = row.to_dict()
    assert written.pop("proof") == COMMON.to_dict()
    assert written == {
        "planner": "ilp",
        "predicted_s": 2.0,
        "analytic_s": 2.0,
        "bound_s": 1.6,
        "gap": 0.25,
        "simulated_s": 2.5,
        "measured_s": 2.6,
        "error": pytest.approx(0.25),
        "modes": {},
    }


def test_a_plan_proven_for_something_else_has_a_line_of_it_in_its_unit() -> None:
    row = a_row(OWN, predicted_s=2.0, analytic_s=2.0)
    assert shown(row) == [
        ["iteration time, analytic", "2 s", "–", "–", "heuristic", "2.5 s (+25.0%)", "2.6 s"],
        ["energy of an iteration, of at most 3 s", "1.5 kJ", "1 kJ", "50.0%", "feasible", "–", "–"],
    ]
    assert row.to_dict()["bound_s"] is None
    assert row.to_dict()["proof"]["unit"] == "J"


def test_the_power_modes_that_a_plan_chose_stand_below() -> None:
    row = replace(a_row(OWN), modes={1: "board-low"})
    assert plan_table(row).caption == "power modes: rank 1 in board-low"
    assert row.to_dict()["modes"] == {"1": "board-low"}
    assert plan_table(a_row(OWN)).caption is None


def test_what_all_planners_evaluator_says_goes_before_what_the_planner_says() -> None:
    assert shown(a_row(None, predicted_s=2.0, analytic_s=3.0))[0][:2] == ["iteration time, analytic", "3 s"]
    assert shown(a_row(None, predicted_s=2.0))[0][:2] == ["iteration time, predicted", "2 s"]


def shown(row: SideBySide) -> list[list[str]]:
    """The cells of the row's table, line by line."""
    return [[str(cell) for cell in line] for line in zip(*(c.cells for c in plan_table(row).columns), strict=True)]


def test_a_plan_that_promises_nothing_has_dashes() -> None:
    assert shown(a_row(None)) == [["iteration time", "–", "–", "–", "heuristic", "2.5 s", "2.6 s"]]


@pytest.fixture
def _clean() -> Iterator[None]:
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


@pytest.mark.usefixtures("_clean")
def test_a_run_prints_and_writes_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [*TINY, "strategy=data", "planner=exhaustive"]
    monkeypatch.setattr(sys, "argv", ["run", f"results={tmp_path}", *overrides])
    run_command(run.run, about="about")
    out = capsys.readouterr().out
    assert "the plan of exhaustive" in out
    assert "heuristic" in out  # its iteration time by the closed form, and below what it proved
    assert "optimal" in out
    (path,) = tmp_path.rglob("metrics.json")
    figures = json.loads(path.read_text())
    plan = figures["plan"]
    assert (plan["planner"], plan["bound_s"], plan["gap"]) == ("exhaustive", None, None)
    assert (plan["proof"]["objective"], plan["proof"]["status"]) == (Objective.JUDGED_TIME, "optimal")
    assert plan["proof"]["bound"] == plan["simulated_s"] == figures["iterations"][0]["makespan_s"]


@pytest.mark.usefixtures("_clean")
def test_a_run_prints_what_pipeedge_proved_beside_the_iteration_time_and_not_as_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*TINY, "strategy=hybrid_pipeline", "planner=pipeedge"]
    monkeypatch.setattr(sys, "argv", ["run", f"results={tmp_path}", *overrides])
    run_command(run.run, about="about")
    (path,) = tmp_path.rglob("metrics.json")
    plan = json.loads(path.read_text())["plan"]
    assert (plan["bound_s"], plan["gap"]) == (None, None)
    assert plan["proof"]["objective"] == Objective.SLOWEST_STAGE
    assert plan["proof"]["value"] == plan["proof"]["bound"] < plan["analytic_s"]


@pytest.mark.usefixtures("_clean")
def test_a_row_of_a_sweep_has_what_its_plan_promised_and_only_that() -> None:
    runner = Runner(Composer(Sweep(TINY, ())), study="s", code="c")
    rows = {}
    for planner in ("exhaustive", "even", "ilp_hybrid_pipeline"):
        overrides = ("strategy=hybrid_pipeline", "groups=data", f"planner={planner}")
        rows[planner] = runner.row(overrides, *runner.key(overrides))
        assert rows[planner]["status"] == "done", rows[planner]["reason"]
    proven = {*predictions.PROOF_COLUMNS, "bound_s", "gap", "planning_s"}
    assert proven & rows["even"].keys() == set()
    oracle, ours = rows["exhaustive"], rows["ilp_hybrid_pipeline"]
    assert "bound_s" not in oracle
    assert oracle["objective_value"] == oracle["objective_bound"] == oracle["makespan_s"]
    assert ours["objective_bound"] == ours["bound_s"] <= ours["objective_value"] == ours["predicted_s"]
