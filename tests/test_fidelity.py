"""Fidelity by workload and by kind of task: which errors count, and what the command writes."""

import sys
from pathlib import Path

import pytest
from fake_testbed import open_fake
from hydra.core.global_hydra import GlobalHydra

from experiments import fidelity, validate
from experiments.analysis.fidelity import ITERATION, FidelityRow, from_csv
from experiments.analysis.task_kinds import KindErrors, kind_errors
from experiments.configuration.command_line import run_command


def row(plan: str, kind: str, tasks: int, measured_s: float, error: float) -> FidelityRow:
    return FidelityRow(
        strategy="data",
        plan=plan,
        kind=kind,
        tasks=tasks,
        iterations=2,
        simulated_s=measured_s * (1 + error),
        measured_s=measured_s,
        error=error,
    )


def test_a_kind_counts_where_it_takes_a_twentieth_of_the_time_of_all_tasks() -> None:
    one = [
        row("one", ITERATION, 1, 99.0, 0.5),
        row("one", "F", 4, 20.0, 0.01),
        row("one", "B", 1, 15.0, -0.04),
        row("one", "UPDATE", 1, 4.9, 0.9),  # 4.9 of 99.9 s
    ]
    two = [row("two", "F", 1, 9.0, -0.03), row("two", "B", 1, 1.0, 0.02)]
    assert kind_errors([one, two]) == [
        KindErrors(kind="B", plans=2, error=pytest.approx(-0.01), abs_error=pytest.approx(0.03), worst=-0.04),
        KindErrors(kind="F", plans=2, error=pytest.approx(-0.01), abs_error=pytest.approx(0.02), worst=-0.03),
    ]


@pytest.mark.slow
def test_named_validations_become_one_table_of_workloads_and_one_of_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "open_testbed", open_fake)

    def command(task: object, *words: str) -> None:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["command", f"results={tmp_path}", *words])
        run_command(task, about="about", experiment="validation" if task is validate.validate else None)

    for workload in ("requests", "images"):
        command(validate.validate, f"experiment=fidelity_{workload}", "calibration.repeats=1")
    command(fidelity.fidelity)
    folder = tmp_path / "validation" / "fidelity"
    assert {row.plan for row in from_csv((folder / "requests.csv").read_text())} >= {"on two", "two and one"}
    said = (folder / "fidelity.md").read_text()
    assert "| requests | 5 |" in said
    assert "| images | 6 |" in said
    assert "| all | 11 |" in said
    assert "| F | 11 |" in said
    assert (folder / "parity.png").exists()
    assert not (tmp_path / "validation" / "parity_fake.png").exists()


def test_without_tables_the_command_says_how_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="say make fidelity"):
        fidelity.read_tables(tmp_path)
