"""Is a planner of one's own, in one Python file and one YAML file, in a run, in the bench and among the contenders?"""

import json
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra

from experiments.configuration.command_line import composed
from experiments.configuration.planners import contending_planners
from experiments.planner_bench import __main__ as bench
from experiments.planner_bench.competitors import competitors
from experiments.run import main as run

PYTHON = '''
"""All layers on the last device."""

from edgesim.plan import Depth, Plan
from edgesim.planners.problem import Problem

asked: list[int] = []


def last_alone(problem: Problem, *, in_flight: str) -> Plan:
    last = problem.ranks[-1]
    asked.append(last)
    samples = problem.workload.micro_batch_samples
    layers, depth = len(problem.model.layers), Depth(in_flight)
    stages = problem.stages(cuts=[0, layers], groups=[[last]], samples=[[samples]], depth=depth)
    return problem.plan(planner="last_alone", stages=stages)
'''
YAML = """
_target_: last_alone.last_alone
_partial_: true
in_flight: ${oc.select:depth}
declares: { plans: [pipelines], kind: baseline, contends: true, bench: true }
"""
SMALL = ("model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the two files, from which Python can import."""
    (tmp_path / "last_alone.py").write_text(PYTHON)
    (tmp_path / "planner").mkdir()
    (tmp_path / "planner" / "last_alone.yaml").write_text(YAML)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "last_alone", raising=False)
    return tmp_path


def plan_of_run(monkeypatch: pytest.MonkeyPatch, folder: Path, *overrides: str) -> dict[str, object]:
    """What a run of the command line wrote as its plan."""
    GlobalHydra.instance().clear()
    results = folder / "results"
    arguments = ["--config-dir", str(folder), f"results={results}", *SMALL, *overrides]
    monkeypatch.setattr(sys, "argv", ["run", *arguments])
    run()
    (path,) = results.rglob("plan.json")
    plan: dict[str, object] = json.loads(path.read_text())
    return plan


def test_it_plans_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan_of_run(monkeypatch, folder, "strategy=pipeline", "planner=last_alone")["planner"] == "last_alone"


def test_it_is_asked_where_the_simulator_chooses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = plan_of_run(monkeypatch, folder, "strategy=pipeline", "planner=simulate_and_choose", "planner.keep=1")
    assert chosen["planner"] == "simulate_and_choose"
    assert import_module("last_alone").asked == [2]


def test_it_contends_last_with_options_that_the_strategy_sets(folder: Path) -> None:
    *others, mine = contending_planners(composed(*SMALL, "strategy=pipeline", "depth=gpipe", folders=[str(folder)]))
    assert len(others) == len(list(contending_planners(composed(*SMALL))))
    assert mine.function.func.__name__ == "last_alone"  # type: ignore[attr-defined]
    assert mine.function.keywords == {"in_flight": "gpipe"}  # type: ignore[attr-defined]


def test_it_has_rows_in_the_bench(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [each.name for each in competitors([folder])].count("last_alone") == 1
    only = ("--only", "last_alone", "even_data", "asteroid_d", "mobilenet_v2")
    assert bench.main(["--config-dir", str(folder), "--results", str(folder / "results"), *only, "--workers", "2"]) == 0
    rows = pd.read_csv(folder / "results" / "planner_bench" / "table.csv").set_index("planner")
    assert rows.loc["last_alone", "status"] == "done"
    assert rows.loc["last_alone", "kind"] == "baseline"
    assert rows.loc["last_alone", "simulated_s"] > 0
    assert "last alone" in capsys.readouterr().out


def test_without_its_folder_it_is_unknown_to_the_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--results", str(tmp_path), "--only", "last_alone"]) == 2
    assert "unknown planner, environment or model 'last_alone'" in capsys.readouterr().err


def test_two_planners_of_one_name_are_refused(folder: Path) -> None:
    (folder / "planner" / "asteroid.yaml").write_text(YAML)
    with pytest.raises(ValueError, match="two planners are called 'asteroid' in the bench"):
        competitors([folder])
