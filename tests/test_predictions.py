"""Is what a plan promises told beside what came of it, from whoever can tell, and is nothing invented?"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from edgesim.plan import Plan, Proof, Status
from experiments import run
from experiments.analysis import predictions
from experiments.analysis.predictions import prediction
from experiments.configuration.command_line import composed, run_command
from experiments.configuration.setup import prepare
from experiments.sweeps.grid import Composer, Sweep
from experiments.sweeps.rows import Runner
from experiments.tables.plan import SideBySide, plan_table, side_by_side

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


def promised(*overrides: str, **changes: object) -> predictions.Prediction:
    """Of the plan of these overrides, with changes to its proof."""
    made = prepare(composed(*overrides))
    plan = replace(made.plan, proof=replace(made.plan.proof, **changes))
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
def test_where_no_evaluator_exists_only_the_planners_own_words_count() -> None:
    nothing = promised(*TINY)
    assert (nothing.analytic_s, nothing.bound_s, nothing.gap, nothing.seconds) == (None,) * 4
    own = promised(*TINY, objective="seconds of a round", value=6.0, bound=5.0)
    assert (own.analytic_s, own.bound_s) == (None, 5.0)
    assert own.gap == pytest.approx(0.2)


@pytest.mark.usefixtures("unknown")
def test_a_bound_of_joules_is_no_bound_of_seconds() -> None:
    assert promised(*TINY, objective="joules per iteration", value=6.0, bound=5.0).bound_s is None


@pytest.fixture
def row() -> SideBySide:
    """A plan that promised 2.0 s and took 2.5 in the simulator."""
    made = prepare(composed(*TINY))
    proof = Proof(
        status=Status.FEASIBLE, method="m", objective="seconds per iteration", value=2.0, bound=1.6, seconds=0.1
    )
    plan: Plan = replace(made.plan, planner="ilp", proof=proof, predicted_s=2.0)
    simulated = made.setup.measure(made.setup.simulate(made.schedule))
    metrics = [
        replace(simulated, makespan_s=2.5),
        *(replace(simulated, player="measured", makespan_s=seconds) for seconds in (2.6, 2.4, 9.0)),
    ]
    return side_by_side(plan, prediction(made.setup.problem, plan, made.strategy), metrics)


@pytest.mark.usefixtures("unknown")
def test_one_row_has_what_was_promised_simulated_and_measured(row: SideBySide) -> None:
    assert (row.simulated_s, row.measured_s) == (2.5, 2.6)
    assert row.error == pytest.approx(0.25)
    assert shown(row) == ["ilp", "feasible", "2 s", "1.6 s", "25.0%", "2.5 s (+25.0%)", "2.6 s"]
    assert row.to_dict() == {
        "planner": "ilp",
        "status": "feasible",
        "solver": None,
        "planning_s": 0.1,
        "predicted_s": 2.0,
        "analytic_s": None,
        "bound_s": 1.6,
        "gap": pytest.approx(0.25),
        "simulated_s": 2.5,
        "measured_s": 2.6,
        "error": pytest.approx(0.25),
    }


@pytest.mark.usefixtures("known")
def test_what_all_planners_evaluator_says_goes_before_what_the_planner_says(row: SideBySide) -> None:
    assert shown(row)[2] == "3 s"
    assert str(plan_table(row).columns[2].header) == "analytic"


def shown(row: SideBySide) -> list[str]:
    """The cells of the row's table."""
    return [str(cell) for column in plan_table(row).columns for cell in column.cells]


def test_a_plan_that_promises_nothing_has_dashes() -> None:
    made = prepare(composed(*TINY))
    metrics = [made.setup.measure(made.setup.simulate(made.schedule))]
    nothing = predictions.Prediction(predicted_s=None, analytic_s=None, bound_s=None, gap=None)
    cells = shown(side_by_side(made.plan, nothing, metrics))
    assert [cells[place] for place in (2, 3, 4, 6)] == ["–"] * 4


@pytest.fixture
def _clean() -> Iterator[None]:
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


@pytest.mark.usefixtures("_clean", "unknown")
def test_a_run_prints_and_writes_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*TINY, "strategy=data", "planner=exhaustive"]
    monkeypatch.setattr(sys, "argv", ["run", f"results={tmp_path}", *words])
    run_command(run.run, about="about")
    assert "exhaustive │ optimal" in capsys.readouterr().out
    (path,) = tmp_path.rglob("metrics.json")
    figures = json.loads(path.read_text())
    assert figures["plan"]["planner"] == "exhaustive"
    assert figures["plan"]["gap"] == 0
    assert figures["plan"]["bound_s"] == figures["plan"]["simulated_s"] == figures["iterations"][0]["makespan_s"]


@pytest.mark.usefixtures("unknown")
def test_a_row_of_a_sweep_has_what_its_plan_promised_and_only_that() -> None:
    runner = Runner(Composer(Sweep(TINY, ())), study="s", code="c")
    rows = {}
    for planner in ("exhaustive", "even"):
        overrides = ("strategy=data", f"planner={planner}")
        rows[planner] = runner.row(overrides, *runner.key(overrides))
    told = {"predicted_s", "bound_s", "gap", "solver", "planning_s"}
    assert told & rows["exhaustive"].keys() == {"predicted_s", "bound_s", "gap", "planning_s"}
    assert rows["exhaustive"]["bound_s"] == rows["exhaustive"]["makespan_s"]
    assert not told & rows["even"].keys()
