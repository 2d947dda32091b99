"""Are plans told with the interval that executed plans give them, and is none called the fastest within it?"""

import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from test_predicted_intervals import TINY, residuals

from experiments.plan import main

MANY = {"COLUMNS": "240"}  # of a terminal: no cell is folded


def planned(*words: str) -> int:
    """The exit code of the command with these words."""
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["plan", *TINY, *words])
        for name, value in MANY.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


@pytest.fixture
def kept(tmp_path: Path) -> str:
    """Where it is kept that plans of a setting are up to 38 % apart from what was simulated beside each other."""
    residuals().save(path := tmp_path / "study.residuals.json")
    return f"residuals={path}"


def row(said: str, name: str) -> list[str]:
    """The cells of a plan's line."""
    (line,) = [line for line in said.splitlines() if line.startswith("│") and f" {name} " in line]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_a_plan_is_simulated_and_has_an_interval_where_plans_were_executed(
    kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned("strategy=data", kept) == 0
    said = capsys.readouterr().out
    assert "predicted iteration: [" in said
    assert "at 90%, as 40 executed plans say" in said
    assert row(said, "iteration time, analytic")[-2] not in ("", "–")


def test_a_plan_of_a_profile_that_was_never_validated_has_no_interval_and_is_not_simulated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert planned("strategy=data") == 0
    said = capsys.readouterr().out
    assert "predicted iteration: no interval: no plan was executed beside this profile" in said
    assert row(said, "iteration time, analytic")[-2] == "–"


def test_of_several_plans_the_fastest_has_won_where_the_others_are_slower_by_more_than_executed_plans_were_off(
    kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned("-m", "strategy=data,pipeline", kept, "network.rate=1 Mbit/s") == 0
    said = capsys.readouterr().out
    assert [row(said, name)[-1] for name in ("pipeline", "data")] == ["100%", "0%"]
    assert said.index("│ pipeline") < said.index("│ data")  # the fastest first
    assert "≈" not in said
    assert "told apart" not in said


def test_two_plans_within_the_interval_of_their_difference_cannot_be_told_apart_and_a_line_says_so(
    kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned("-m", "strategy=pipeline", "groups=[[0],[1],[2]],[[1],[0],[2]]", kept, "network.rate=1 Mbit/s") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("≈ │") == 2
    assert "the fastest two cannot be told apart, no win: groups=" in said
    assert "is the faster with a probability of" in said


def test_plans_on_links_of_two_rates_are_no_rivals(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert planned("-m", "strategy=data", "network.rate=100 Mbit/s,101 Mbit/s", kept) == 0
    said = capsys.readouterr().out
    assert "P(fastest)" not in said
    assert "told apart" not in said


def test_several_plans_without_an_interval_say_why_and_none_has_a_chance(capsys: pytest.CaptureFixture[str]) -> None:
    assert planned("-m", "strategy=data,pipeline") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("no interval: no plan was executed beside this profile") == 1
    assert "P(fastest)" not in said
    assert planned("-m", "strategy=data,pipeline", "scenario=jitter") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "no interval: nothing happened to the plans that were executed" in said


def test_a_plan_that_cannot_be_made_is_told_beside_the_others(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert planned("-m", "strategy=pipeline", "groups=[[0],[1],[2]],[[0],[1],[7]]", kept) == 1
    said = capsys.readouterr().out
    assert "no plan: " in said
    assert row(said, "[[0],[1],[7]]")[1] == "no plan"
    assert planned("-m", "strategy=dat,pipeline") == 2
    assert "unknown strategy 'dat'" in capsys.readouterr().err
