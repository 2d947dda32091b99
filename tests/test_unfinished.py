"""Are the iterations of a real run on the disk as they come, and never taken for a whole run?"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_testbed import FakeTestbed, open_fake
from hydra.core.global_hydra import GlobalHydra

from edgesim.schedule import Schedule
from edgesim.whole_files import append_lines
from experiments import compare
from experiments.configuration.command_line import run_command
from experiments.configuration.places import CODE
from experiments.execution import assignments
from experiments.run import run

WORDS = ["model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4", "execute=true"]
# A run on a testbed that kills it, as the kernel does, when it has told of two iterations.
KILLED = """
import os, signal, sys
from fake_testbed import FakeTestbed, open_fake
from experiments.execution import assignments
from experiments.run import main

def unless_killed(self, trace):
    FakeTestbed.played = getattr(FakeTestbed, "played", 0) + 1
    if FakeTestbed.played > 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return trace

assignments.open_testbed = open_fake
FakeTestbed._disturbed = unless_killed
main()
"""


@pytest.fixture(autouse=True)
def _fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(assignments, "open_testbed", open_fake)


def ending(*more: str) -> int:
    """The exit code of a run."""
    GlobalHydra.instance().clear()
    sys.argv = ["run", *WORDS, *more]
    try:
        run_command(run, about=None)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def folder_of_the_run() -> Path:
    (folder,) = Path("results/runs").iterdir()
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def unfinished(folder: Path) -> Path:
    (found,) = folder.glob("unfinished-*")
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    assert text.endswith("\n")
    return [
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")) for line in text.splitlines()
    ]


def test_a_run_that_fails_leaves_its_iterations_and_nothing_that_looks_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FakeTestbed, "breaks_after", 2)
    assert ending() == 2
    folder = folder_of_the_run()
    assert names(folder) == {unfinished(folder).name}
    assert f"iterations are kept as they come: {unfinished(folder)}" in capsys.readouterr().out
    assert names(unfinished(folder)) == {
        "config.yaml",
        "plan.json",
        "network.json",
        "schedule.txt",
        "versions.json",
        "iterations.jsonl",
        "traces.jsonl",
    }
    told = lines(unfinished(folder) / "iterations.jsonl")
    assert [line["iteration"] for line in told] == [0, 1]
    assert [line["loss"] for line in told] == [1.0, 0.5]
    schedule = Schedule.from_text((unfinished(folder) / "schedule.txt").read_text())
    traces = lines(unfinished(folder) / "traces.jsonl")
    for line, trace in zip(told, traces, strict=True):
        assert len(trace["start_s"]) == len(trace["end_s"]) == len(schedule)
        assert max(trace["end_s"]) - min(trace["start_s"]) == pytest.approx(line["makespan_s"])
        assert trace["schedule"] == schedule.hash


def test_the_iterations_of_a_killed_run_are_on_the_disk() -> None:
    paths = os.pathsep.join(map(str, (CODE, CODE / "tests")))
    there = os.environ | {"PYTHONPATH": paths}
    ended = subprocess.run([sys.executable, "-c", KILLED, *WORDS], env=there, capture_output=True)
    assert ended.returncode == -signal.SIGKILL
    folder = folder_of_the_run()
    assert names(folder) == {unfinished(folder).name}
    assert [line["iteration"] for line in lines(unfinished(folder) / "iterations.jsonl")] == [0, 1]
    assert ending() == 0
    assert not list(folder.glob("unfinished-*"))
    assert (folder / "metrics.json").exists()


def test_what_was_whole_stays_whole_beside_a_run_that_fails_and_both_give_way_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ending() == 0
    folder = folder_of_the_run()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(FakeTestbed, "breaks_after", 1)
    for _ in range(2):
        assert ending() == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    monkeypatch.setattr(FakeTestbed, "breaks_after", None)
    assert ending() == 0
    assert names(folder) == set(before)


def test_a_whole_run_has_a_line_for_each_iteration_that_counts() -> None:
    assert ending("iterations=2") == 0
    folder = folder_of_the_run()
    told, metrics = lines(folder / "iterations.jsonl"), json.loads((folder / "metrics.json").read_text())
    assert [line["iteration"] for line in told] == [1, 2]
    assert [line["loss"] for line in told] == metrics["losses"] == [1 / 2, 1 / 3]
    assert [line["makespan_s"] for line in told] == [each["makespan_s"] for each in metrics["iterations"][1:]]
    assert len(lines(folder / "traces.jsonl")) == 2


@pytest.fixture
def room_for(request: pytest.FixtureRequest) -> Any:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda nbytes: resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_iterations_is_told_and_keeps_those_it_has(
    room_for: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending("iterations=1") == 0
    trace_bytes = (folder_of_the_run() / "traces.jsonl").stat().st_size
    room_for(int(5.5 * trace_bytes))
    code = ending("iterations=20")
    said = capsys.readouterr().err
    (folder,) = (folder for folder in Path("results/runs").iterdir() if "iterations=20" in folder.name)
    assert code == 2
    assert f"{unfinished(folder) / 'traces.jsonl'} cannot be written: File too large (make room" in said
    assert [line["iteration"] for line in lines(unfinished(folder) / "iterations.jsonl")] == [0, 1, 2, 3, 4]
    assert len(lines(unfinished(folder) / "traces.jsonl")) == 5


def test_a_line_that_does_not_fit_is_not_begun(room_for: Callable[[int], None], tmp_path: Path) -> None:
    room_for(25)
    with pytest.raises(ValueError, match=r"lines\.txt cannot be written: File too large"):
        append_lines(tmp_path / "lines.txt", ["0123456789\n"] * 3)
    assert (tmp_path / "lines.txt").read_text() == "0123456789\n" * 2


def test_an_unfinished_run_is_not_compared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(FakeTestbed, "breaks_after", 1)
    assert ending() == 2
    folder = folder_of_the_run()
    with pytest.raises(SystemExit, match="2"):
        compare.main([str(folder), str(folder)])
    assert f"it did not end; its iterations are in {unfinished(folder)}" in capsys.readouterr().err
