"""Does every template of docs/templates do what CONTRIBUTING.md says?"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesim import Grid, Scenario
from experiments.analysis.tidy import read_table
from experiments.collect import main as collect
from experiments.configuration.command_line import composed
from experiments.configuration.places import CODE
from experiments.configuration.setup import prepare
from experiments.figures.__main__ import main as figures
from experiments.sweeps.sweep import sweep_command
from real_runtime.tracing.trace_model import Inputs, trace_file

TEMPLATES = CODE / "docs" / "templates"
CHOICES = ("cluster=my_cluster", "model=my_model", "workload=my_workload")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Python can import what the templates' YAML files name, and forgets it."""
    monkeypatch.syspath_prepend(str(TEMPLATES))
    yield
    for name in ("my_planner", "my_strategy"):
        sys.modules.pop(name, None)


def test_a_method_of_templates_plans_and_simulates() -> None:
    prepared = prepare(composed(*CHOICES, "method=my_method", folders=[str(TEMPLATES)]))
    assert prepared.plan.planner == "my_planner"
    assert prepared.plan.proof is None
    assert [device.name for device in prepared.setup.cluster.devices] == ["my-board"] * 3
    metrics = prepared.setup.measure(prepared.setup.simulate(prepared.schedule))
    assert metrics.makespan_s > 0


def test_a_scenario_and_a_grid_of_templates_count() -> None:
    """A rank at half its speed takes twice as long; joules emit what the grid says."""

    def simulated(*overrides: str) -> tuple[Scenario, Grid | None, float]:
        cfg = composed(*CHOICES, "method=my_method", *overrides, folders=[str(TEMPLATES)])
        setup = prepare(cfg).setup
        return setup.scenario, setup.grid, setup.measure(setup.simulate(prepare(cfg).schedule)).makespan_s

    _, none, alone_s = simulated()
    scenario, grid, slow_s = simulated("scenario=my_scenario", "grid=my_grid")
    assert none is None
    assert grid is not None
    assert grid.g_per_kwh == 56
    assert scenario.events
    assert slow_s == pytest.approx(2 * alone_s)


def test_a_study_of_templates_makes_a_table_and_draws_its_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--config-dir", str(TEMPLATES), "-m", "experiment=my_study", "launcher=here", f"results={tmp_path}"]
    assert sweep_command(arguments) == 0
    assert collect(["my_study", "--results", str(tmp_path)]) == 0
    rows = read_table(tmp_path / "my_study" / "table.csv")
    assert list(rows["method"]) == ["my_method"] * 2
    assert list(rows["bandwidth_bit_per_s"]) == [20e6, 100e6]
    drawn = ["my_study", "--results", str(tmp_path), "--figures", str(TEMPLATES / "figures")]
    assert figures([*drawn, "--config-dir", str(TEMPLATES)]) == 0, capsys.readouterr().err
    assert (tmp_path / "my_study" / "my_figure.png").exists()


def test_contributing_links_every_template() -> None:
    linked = set(re.findall(r"\]\(docs/templates/([^)]+)\)", (CODE / "CONTRIBUTING.md").read_text()))
    files = {str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.*") if "__pycache__" not in path.parts}
    assert files == linked


def test_a_traced_module_of_templates_is_what_its_file_says_now() -> None:
    """Traced again, it is the kept table: its file has not changed since."""
    setup = prepare(composed("model=my_net", "workload=images", "data=digits", folders=[str(TEMPLATES)])).setup
    traced = trace_file(f"{TEMPLATES / 'my_net.py'}:make", Inputs(resolution=64))
    assert traced == setup.model
