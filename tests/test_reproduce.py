"""Does a kept number that moved come to light, and does the command leave measurements alone?"""

from pathlib import Path
from shutil import copy

import pytest

from experiments.analysis.tidy import read_table
from experiments.configuration.command_line import ROOT
from experiments.configuration.studies import table_path
from experiments.reproduce import main

KEPT = table_path(ROOT / "results", "scaling")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with the kept table of one study."""
    (tmp_path / "scaling").mkdir()
    copy(KEPT, tmp_path / "scaling")
    return tmp_path


@pytest.mark.slow
def test_the_kept_table_of_a_study_comes_out_again(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scaling", "--results", str(results)]) == 0
    assert "scaling: nothing moved" in capsys.readouterr().out


@pytest.mark.slow
def test_a_number_that_moved_is_shown_with_sign_and_per_cent_and_kept_on_demand(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table_path(results, "scaling")
    table = read_table(path)
    (first, *_) = table.index[table["status"] == "done"]
    truth = table.loc[first, "energy_j"]
    table.loc[first, "energy_j"] = truth / 1.25
    table.to_csv(path, index=False)
    assert main(["scaling", "--results", str(results)]) == 1
    out = capsys.readouterr().out
    assert "scaling: 1 numbers moved" in out
    assert "+25 %" in out
    assert main(["scaling", "--results", str(results), "--keep"]) == 0
    assert read_table(path).loc[first, "energy_j"] == truth


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
