"""Does every command say by its exit code whether its work was done, and leave nothing half-written?"""

import errno
import json
import math
import os
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from experiments import calibrate, collect, compare, demo, fit_device, galaxy, reproduce, run, validate
from experiments.configuration.command_line import run_command
from experiments.configuration.result_folders import json_text, whole_folder, write_text
from experiments.figures.__main__ import main as figures
from experiments.planner_bench.__main__ import main as planner_bench
from experiments.planner_regret.__main__ import planner_regret
from experiments.published.__main__ import main as published
from experiments.sweeps.sweep import sweep_command
from experiments.tables.__main__ import main as tables

MOST_LINES = 3
TINY = "model=bert_tiny_bytes"


def composing(command: Callable[..., object], experiment: str | None = None) -> Callable[[Sequence[str]], object]:
    """A command of Hydra's as a function of its words."""

    def called(words: Sequence[str]) -> None:
        GlobalHydra.instance().clear()
        sys.argv = ["command", *words]
        run_command(command, about=None, experiment=experiment)

    return called


# Every command, words that are wrong, what must be named.
WRONG: list[tuple[str, Callable[[Sequence[str]], object], list[str], str]] = [
    ("run", composing(run.run), [TINY, "seed=abc"], "seed"),
    ("run", composing(run.run), [TINY, "devices.fast.memory_bytes=1 MB", "groups=[[0]]"], "out of memory: rank 0"),
    ("sweep", sweep_command, ["-m", TINY, "workload.tokens=32,x"], "workload.tokens"),
    ("sweep", sweep_command, ["-m", TINY, "sweep.batch=0"], "sweep.batch"),
    ("calibrate", composing(calibrate.calibrate_command), ["calibration.repeats=0"], "calibration.repeats"),
    ("validate", composing(validate.validate, "validation"), ["execute=maybe"], "execute"),
    ("demo", composing(demo.demo, "demo"), ["demo.bogus=1"], "demo.bogus"),
    ("planner_regret", composing(planner_regret, "planner_regret"), ["seed=-1"], "seed"),
    ("fit_device", composing(fit_device.fit_device), ["fit.knots=two"], "fit.knots"),
    ("collect", collect.main, ["nothing"], "nothing"),
    ("compare", compare.main, ["a.csv", "b.csv"], "a.csv"),
    ("tables", tables, ["a.csv"], "a.csv"),
    ("figures", figures, ["nothing"], "nothing"),
    ("galaxy", galaxy.main, [], "galaxy"),
    ("reproduce", reproduce.main, ["nothing"], "nothing"),
    ("planner_bench", planner_bench, ["--workers", "0"], "--workers"),
]


def ending(command: Callable[[Sequence[str]], object], words: Sequence[str]) -> int:
    """The exit code, whether it is returned or raised."""
    try:
        code = command(words)
    except SystemExit as ended:
        code = ended.code
    return int(code or 0) if code is None or isinstance(code, int) else 1


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)


@pytest.mark.parametrize(
    ("command", "words", "named"),
    [pytest.param(*each, id=" ".join((name, *each[1]))) for name, *each in WRONG],
)
def test_a_command_that_did_nothing_ends_with_2_names_why_and_writes_nothing(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    command: Callable[[Sequence[str]], object],
    words: list[str],
    named: str,
) -> None:
    assert ending(command, words) == 2
    said = capfd.readouterr().err
    assert named in said
    assert 1 <= said.count("\n") <= MOST_LINES, said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_a_sweep_of_which_a_run_failed_ends_with_1() -> None:
    words = ["-m", TINY, "groups=[[0]],[[0],[9]]", "launcher=here", "sweep.name=mine"]
    assert ending(sweep_command, words) == 1


@pytest.mark.parametrize("place", ["/dev/null/results", "/proc/results"])
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (composing(run.run), [TINY, "results={}"]),
        (sweep_command, ["-m", TINY, "seed=1,2", "results={}"]),
        (composing(calibrate.calibrate_command), [TINY, "results={}"]),
        (composing(validate.validate, "validation"), ["results={}"]),
        (composing(demo.demo, "demo"), ["results={}"]),
        (composing(planner_regret, "planner_regret"), ["results={}"]),
        (planner_bench, ["--quick", "--results", "{}"]),
        (published, ["--out", "{}"]),
        (galaxy.main, ["--results", "{}"]),
    ],
    ids=["run", "sweep", "calibrate", "validate", "demo", "planner_regret", "planner_bench", "published", "galaxy"],
)
def test_a_place_that_cannot_be_written_to_is_told_before_any_work(
    capfd: pytest.CaptureFixture[str], place: str, command: Callable[[Sequence[str]], object], words: list[str]
) -> None:
    assert ending(command, [word.format(place) for word in words]) == 2
    assert f"{place} cannot be written to" in capfd.readouterr().err


def test_a_mistake_in_a_users_figure_is_told_with_its_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    (own / "my_figure.py").write_text(
        '"""?"""\n\nNEEDS = ("method",)\n\n\ndef draw(rows, ax):\n    return rows.nothing\n'
    )
    (tmp_path / "table.csv").write_text("method,player,status,value\ndata,simulated,done,1\n")
    code = ending(figures, ["table.csv", "--draw", "my_figure", "--figures", str(own)])
    said = capfd.readouterr().err
    assert code == 2, said
    assert "my_figure.py:7, in draw: return rows.nothing" in said
    assert not list(tmp_path.glob("*.p*"))


# --- a full disk ---


@pytest.fixture
def little_room() -> object:
    """No file may grow beyond a page: the system's own refusal, as a full disk gives it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("little_room")
def test_a_disk_that_takes_no_more_is_told_and_nothing_half_written_stays(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = ending(composing(run.run), [TINY])
    said = capfd.readouterr().err
    assert code == 2, said
    assert "cannot be written: File too large (make room, or choose another folder)" in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_sweep_on_a_full_disk_keeps_its_whole_rows_and_goes_on_from_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", TINY, "seed=1,2,3,4", "launcher=here", "sweep.name=mine"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, before[1]))  # a row has about 5 000 bytes
    try:
        assert ending(sweep_command, words) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capfd.readouterr().err
    (rows,) = (tmp_path / "results" / "sweeps" / "mine" / "rows").glob("*.jsonl")
    assert (
        f"{rows.relative_to(tmp_path)} cannot be written: File too large (make room, or choose another folder)" in said
    )
    whole = rows.read_text()
    assert 1 <= whole.count("\n") < 4
    assert whole.endswith("\n")
    assert ending(sweep_command, words) == 0
    assert "4 runs in results/sweeps/mine" in (out := capfd.readouterr()).out
    assert "cannot be read" not in out.err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_what_was_there_before_a_full_disk_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    write_text(tmp_path / "file", "old")
    with whole_folder(tmp_path / "folder") as folder:
        (folder / "file").write_text("old")

    def full(path: Path, text: str) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ValueError, match=f"file cannot be written: {os.strerror(number)}"):
        write_text(tmp_path / "file", "new")
    with pytest.raises(ValueError, match="folder cannot be written"), whole_folder(tmp_path / "folder") as folder:
        (folder / "file").write_text("new")
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "file").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_json_of_results_can_be_read_by_whoever_reads_json() -> None:
    """Python writes Infinity and NaN, which no other reader takes."""
    text = json_text({"endless": [math.inf, -math.inf], "none": math.nan, "numbers": (1, 2.5)})
    told = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert told == {"endless": [None, None], "none": None, "numbers": [1, 2.5]}
