"""Does a kept number that moved come to light, and does the command leave measurements alone?"""

import doctest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy

import pytest

from experiments import reproduce
from experiments.analysis.tidy import read_table
from experiments.configuration import provenance, result_folders
from experiments.configuration.places import CODE
from experiments.configuration.provenance import Tree, made, record, recorded
from experiments.configuration.studies import table_path
from experiments.reproduce import main

KEPT = table_path(CODE / "results", "scaling")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with the kept table of one study."""
    (tmp_path / "kept" / "scaling").mkdir(parents=True)
    copy(KEPT, tmp_path / "kept" / "scaling")
    return tmp_path / "kept"


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What git says is changed outside results/; empty unless a test adds something."""
    found: list[str] = []
    real = result_folders._git

    def said(*words: str) -> str | None:
        return "\n".join(found) if words[0] == "status" else real(*words)

    monkeypatch.setattr(result_folders, "_git", said)
    return found


@pytest.mark.slow
def test_a_kept_table_comes_out_again_and_a_number_that_moved_is_shown_with_sign_and_per_cent_and_kept_on_demand(
    results: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The study is played once, at first; from then on its finished runs are there."""
    runs = tmp_path / "runs"

    @contextmanager
    def kept_folder() -> Iterator[Path]:
        yield runs

    runs.mkdir()
    monkeypatch.setattr(reproduce, "scratch_folder", kept_folder)
    assert changes == []
    path = table_path(results, "scaling")
    assert main(["scaling", "--results", str(results)]) == 0
    assert "scaling: nothing moved" in capsys.readouterr().out
    table = read_table(path)
    (first, *_) = table.index[table["status"] == "done"]
    truth = table.loc[first, "energy_j"]
    table.loc[first, "energy_j"] = truth / 1.25
    table.to_csv(path, index=False)
    assert main(["scaling", "--results", str(results)]) == 1
    out = capsys.readouterr().out
    assert "scaling: 1 numbers moved" in out
    assert "+25 %" in out
    table.assign(groups="halves").to_csv(path, index=False)  # of a study that told its rows apart by something else
    assert main(["scaling", "--results", str(results), "--keep"]) == 0
    assert "not comparable with what was kept: B has no column 'groups'" in capsys.readouterr().out
    assert read_table(path).loc[first, "energy_j"] == truth
    entry = recorded(path.parent)["table.csv"]
    assert (entry["command"], entry["tree"]) == ("python -m experiments.reproduce scaling --keep", "clean")


def test_nothing_is_kept_while_the_code_has_changes_and_the_way_out_is_said(
    results: Path, capsys: pytest.CaptureFixture[str], changes: list[str]
) -> None:
    before = table_path(results, "scaling").read_bytes()
    changes.append(" M edgesim/plan.py")
    assert main(["scaling", "--results", str(results), "--keep"]) == 2
    error = capsys.readouterr().err
    assert "changes that are not committed" in error
    assert "(commit or stash them, then keep" in error
    assert error.count("\n") == 1
    assert table_path(results, "scaling").read_bytes() == before


# --- what made a table ---


def test_an_entry_names_command_commit_tree_day_and_versions(changes: list[str]) -> None:
    entry = made("python -m experiments.collect mine")
    assert entry["command"] == "python -m experiments.collect mine"
    assert len(entry["commit"]) == 40
    assert entry["tree"] == Tree.CLEAN
    assert {"python", "numpy", "simpy"} <= entry["versions"].keys()
    changes.append("?? conf/model/mine.yaml")
    assert made("the same")["tree"] == Tree.DIRTY


def test_what_git_is_asked_about_is_the_code_and_not_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(result_folders, "_git", lambda *words: asked.append(words))
    assert made("any")["tree"] == Tree.NOT_RECORDED  # outside a repository nobody knows
    assert ("status", "--porcelain", "--", ":/", ":!/results") in asked


def test_entries_of_other_files_stay_and_of_a_file_made_in_part_the_former_ones(tmp_path: Path) -> None:
    first, second, third = ({"command": name} for name in ("first", "second", "third"))
    record(tmp_path, ["a.csv", "b.csv"], first)
    record(tmp_path, ["a.csv"], second, in_part=True)
    record(tmp_path, ["a.csv"], third, in_part=True)
    assert recorded(tmp_path) == {"a.csv": third | {"earlier": [second, first]}, "b.csv": first}
    record(tmp_path, ["a.csv"], second)
    assert recorded(tmp_path)["a.csv"] == second


def test_the_examples_in_docstrings_are_true() -> None:
    assert doctest.testmod(provenance) == (0, 1)


def test_what_was_measured_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parallelisms_measured", "--results", str(tmp_path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "left alone (run it: python -m experiments.run -m experiment=parallelisms_measured)" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["scalling"], 2, "unknown study 'scalling' (did you mean 'scaling'"),
        (["scaling"], 1, "no kept table (make one: python -m experiments.reproduce scaling --keep)"),
    ],
)
def test_what_cannot_be_compared_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert main([*words, "--results", str(tmp_path)]) == code
    out, err = capsys.readouterr()
    assert said in " ".join((out + err).split())
