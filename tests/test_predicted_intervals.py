"""Does a prediction carry the interval that executed plans give it, and say why where there is none?"""

import json
import sys
from math import exp
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from hydra.core.global_hydra import GlobalHydra

import edgesim as es
from edgesim.intervals import Residual, Residuals, WorkKind
from edgesim.profile import Profile
from experiments import run
from experiments.analysis.tidy import read_table
from experiments.collect import collect, to_csv
from experiments.compare import main as compare
from experiments.configuration.command_line import composed, run_command
from experiments.configuration.setup import read_setup
from experiments.figures.catalogue import load_figure
from experiments.figures.panels import figure_of
from experiments.intervals.faster import faster
from experiments.sweeps.run_key import key
from experiments.sweeps.sweep import sweep_command

TINY = ("model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4")


def residuals(*, plans: int = 40, off: float = 0.01, profile_hash: str = "") -> Residuals:
    """Of settings of two plans that deviate by up to 20 times ``off`` in one or the other direction."""
    made = [
        Residual(kind=WorkKind.TRAIN, setting=f"s{i // 2}", plan=f"p{i}", log_ratio=off * (i // 2 + 1) * (-1) ** i)
        for i in range(plans)
    ]
    return Residuals(testbed="netns", source="a test", residuals=tuple(made), profile_hash=profile_hash)


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A profile of the demo's hosts, as if it had been measured."""
    made = read_setup(composed(*TINY)).profile
    made.save(path := tmp_path / "mine.profile.json")
    return path


def ran(folder: Path, *words: str) -> Path:
    """A run's folder."""
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", f"results={folder}", *TINY, *words])
        run_command(run.run, about="about")
    (made,) = (folder / "runs").iterdir()
    return made


def test_residuals_beside_a_profile_give_its_predictions_an_interval(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = residuals(profile_hash=Profile.load(profile).hash)
    known.save(tmp_path / "mine.residuals.json")
    folder = ran(tmp_path / "a", "profile=measured", f"profile.path={profile}")
    figures = json.loads((folder / "metrics.json").read_text())
    simulated_s = figures["iterations"][0]["makespan_s"]
    expected = known.interval(simulated_s, WorkKind.TRAIN)
    assert figures["interval"] == {"low_s": expected.low_s, "high_s": expected.high_s, "level": 0.9, "plans": 40}
    assert (expected.low_s, expected.high_s) == pytest.approx((simulated_s * exp(-0.19), simulated_s * exp(0.19)))
    assert "as 40 executed plans say" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("kept", "words", "said"),
    [
        (None, (), "no interval: no plan was executed beside this profile (run: python -m experiments.validate)"),
        (residuals(profile_hash="of another"), (), "is of another profile than this one"),
        (residuals(plans=18), (), "netns, train: 18 executed plans are too few for an interval at 90%: it needs 19"),
        (residuals(), ("scenario=jitter",), "nothing happened to the plans that were executed"),
    ],
    ids=["never validated", "of another profile", "too few", "under a scenario"],
)
def test_a_prediction_without_an_interval_says_why(
    profile: Path, tmp_path: Path, kept: Residuals | None, words: tuple[str, ...], said: str
) -> None:
    if kept is not None:
        kept.save(tmp_path / "mine.residuals.json")
    setup = read_setup(composed(*TINY, "profile=measured", f"profile.path={profile}", *words))
    assert said in str(setup.interval(1.0))
    assert setup.interval(1.0).interval is None


def test_residuals_of_a_study_can_be_named_also_for_estimates(tmp_path: Path) -> None:
    residuals().save(path := tmp_path / "study.residuals.json")
    setup = read_setup(composed(*TINY, f"residuals={path}"))
    assert setup.interval(1.0).interval is not None
    assert read_setup(composed(*TINY)).interval(1.0).interval is None


def test_a_run_is_another_one_where_other_plans_were_executed_and_the_same_where_none_were(tmp_path: Path) -> None:
    path = tmp_path / "study.residuals.json"
    residuals().save(path)
    first = key(composed(*TINY, f"residuals={path}"))
    residuals(off=0.02).save(path)
    assert len({first, key(composed(*TINY, f"residuals={path}")), key(composed(*TINY))}) == 3


def test_a_sweeps_table_and_figure_show_intervals_and_of_how_many_plans(tmp_path: Path) -> None:
    residuals().save(path := tmp_path / "study.residuals.json")
    words = ["-m", *TINY, "strategy=data,pipeline", f"residuals={path}", f"results={tmp_path}", "sweep.name=mine"]
    GlobalHydra.instance().clear()
    assert sweep_command([*words, "launcher=here"]) == 0
    (tmp_path / "table.csv").write_text(to_csv(collect("mine", tmp_path)))
    rows = read_table(tmp_path / "table.csv")
    assert list(rows["interval_plans"]) == [40, 40]
    assert list(rows["makespan_high_s"] / rows["makespan_s"]) == pytest.approx([exp(0.19)] * 2)
    figure = figure_of(load_figure("iteration_time"), rows, source="mine")
    said = {
        text.get_text() for legend in figure.findobj(lambda a: hasattr(a, "get_texts")) for text in legend.get_texts()
    }
    assert "90 % interval of predictions, n = 40 executed plans" in said
    plt.close(figure)


def test_compared_runs_are_told_whether_their_difference_is_a_win(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    residuals().save(path := tmp_path / "study.residuals.json")
    one = ran(tmp_path / "a", f"residuals={path}")
    other = ran(tmp_path / "b", f"residuals={path}", "network.rate=99 Mbit/s")
    slow = ran(tmp_path / "c", f"residuals={path}", "network.rate=2 Mbit/s")
    capsys.readouterr()
    assert compare([str(one), str(other)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "simulated: no win: B takes" in said
    assert "A is the faster with a probability of" in said
    assert compare([str(one), str(slow)]) == 1
    assert "simulated: A is the faster: B takes" in " ".join(capsys.readouterr().out.split())


def test_runs_of_which_no_executed_plan_says_anything_are_compared_without_a_word_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = ran(tmp_path / "a"), ran(tmp_path / "b", "network.rate=2 Mbit/s")
    capsys.readouterr()
    assert compare([str(one), str(other)]) == 1
    assert "simulated: " not in capsys.readouterr().out


def simulated(**options: Any) -> Any:
    """A small run of a script."""
    sizes = {"workload.batch_samples": 8, "workload.micro_batch_samples": 4}
    return es.simulate(model="bert_tiny_bytes", strategy="data", **sizes, **options)


def test_a_comparison_tells_how_likely_each_run_is_the_fastest(tmp_path: Path) -> None:
    residuals().save(path := tmp_path / "study.residuals.json")
    runs = [simulated(residuals=str(path), rate=rate) for rate in ("100 Mbit/s", "99 Mbit/s", "2 Mbit/s")]
    told = es.compare(*runs, labels=["one", "other", "slow"])
    assert told.chances["slow"] < 0.01
    assert told.chances["one"] > told.chances["other"] > 0.3
    assert sum(told.chances.values()) == pytest.approx(1.0)
    assert "the fastest, by what executed plans took over what was simulated: one" in repr(told)
    assert es.compare(*runs[:1]).chances == {"data": 1.0}


def bold(told: es.Comparison) -> list[str]:
    """The methods that are in bold."""
    table = told.table()
    names = list(table.columns[0].cells)
    return [str(name) for name, each in zip(names, table.rows, strict=True) if each.style == "bold"]


def test_of_compared_runs_one_is_in_bold_only_if_it_is_the_faster_by_more_than_its_interval(tmp_path: Path) -> None:
    residuals().save(path := tmp_path / "study.residuals.json")
    one, near, slow = (simulated(residuals=str(path), rate=rate) for rate in ("100 Mbit/s", "99 Mbit/s", "2 Mbit/s"))
    told = es.compare(one, near, slow, labels=["one", "near", "slow"])
    assert bold(told) == []
    assert [str(cell).endswith(" ≈") for cell in told.table().columns[4].cells] == [True, True, False]
    assert "≈: within the 90 % interval of its difference from the fastest of its setting: no win" in repr(told)
    assert "no win" in told._repr_html_()
    won = es.compare(one, slow, labels=["one", "slow"])
    assert bold(won) == ["one"]
    assert "≈" not in repr(won)


def test_figures_of_compared_runs_have_no_number_in_bold_that_is_within_its_interval(tmp_path: Path) -> None:
    residuals().save(path := tmp_path / "study.residuals.json")
    one, near, slow = (simulated(residuals=str(path), latency=each) for each in ("0.1 ms", "0.11 ms", "50 ms"))
    for runs, names in (((one, near), []), ((one, slow), ["one"])):
        figure = es.compare(*runs, labels=["one", "other"]).plot(values=["makespan_s"])
        (ax,) = figure.axes
        numbers = [text for text in ax.texts if text.get_text()]
        won = [name for name, text in zip(("one", "other"), numbers, strict=True) if text.get_fontweight() == "bold"]
        assert won == names
        plt.close(figure)


def test_a_comparison_without_executed_plans_tells_no_chances_and_says_that_there_is_no_interval() -> None:
    assert es.compare(simulated()).chances == {}
    both = es.compare(simulated(), simulated(rate="2 Mbit/s"), labels=["one", "slow"])
    assert (both.chances, bold(both)) == ({}, ["one"])
    assert "no interval: no plan was executed beside this profile" in repr(both)


def test_which_of_two_is_faster_is_said_with_its_probability() -> None:
    known = residuals(off=0.01)
    assert faster(("A", 1.0), ("B", 1.0), known, WorkKind.TRAIN).endswith("A is the faster with a probability of 50 %")
    assert faster(("A", 3.0), ("B", 1.0), known, WorkKind.TRAIN).startswith("B is the faster: ")
    assert faster(("A", 3.0), ("B", 1.0), known, WorkKind.TRAIN).endswith("with a probability of 100 %")
    assert "is not known: netns, infer: 0 executed plans" in faster(("A", 3.0), ("B", 1.0), known, WorkKind.INFER)
