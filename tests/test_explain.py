"""Does ``edgesim explain`` say why, of runs in folders and of runs in a script, and refuse what it cannot explain?"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest
from fake_testbed import open_fake
from matplotlib.figure import Figure

import edgesim as es
from experiments.analysis.drawn import described
from experiments.api.explained import Explained
from experiments.execution import assignments
from experiments.execution.folders import REHEARSED
from experiments.explain.__main__ import main
from experiments.explain.bounds import Bounds
from experiments.explain.explanation import Explanation
from experiments.explain.inputs import inputs
from experiments.explain.reading import read_side
from experiments.explain.worlds import side_of

TINY = {"model": "bert_tiny_bytes", "strategy": "pipeline"}


@pytest.fixture(scope="module")
def fast() -> es.Result:
    """A small pipeline at 100 Mbit/s."""
    return es.simulate(**TINY, rate="100 Mbit/s")


@pytest.fixture(scope="module")
def slow() -> es.Result:
    """The same at 20 Mbit/s."""
    return es.simulate(**TINY, rate="20 Mbit/s")


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> es.Result:
    """The same on a fake testbed, whose iterations are all a little slower or faster than simulated."""
    monkeypatch.setattr(assignments, "open_testbed", open_fake)
    return es.execute(**TINY, rate="100 Mbit/s", iterations=3)


def total(explained: Explained) -> float:
    return float(explained.to_pandas()["seconds"].sum())


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the command prints, in one line."""
    assert main([str(argument) for argument in arguments]) == 0
    return " ".join(capsys.readouterr().out.split())


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    assert left.value.code == 2
    return capsys.readouterr().err


# --- in a script ---


def test_a_slower_network_is_what_makes_a_run_slower(fast: es.Result, slow: es.Result) -> None:
    explained = slow.explain(fast)
    assert "link rate (100 -> 20 Mbit/s)" in explained.verdict
    assert total(explained) == pytest.approx(slow.simulated.makespan_s - fast.simulated.makespan_s)
    table = explained.to_pandas()
    assert list(table["cause"]) == ["link rate"]
    assert "What makes the difference" in repr(explained)


def test_a_run_explains_itself_and_names_the_next_best_investment(slow: es.Result) -> None:
    explained = slow.explain()
    assert isinstance(explained.of, Bounds)
    assert total(explained) == pytest.approx(slow.simulated.makespan_s)
    assert "10 % more of link rate, all links would save most" in explained.verdict
    faster = es.simulate(**TINY, rate="22 Mbit/s")
    best = explained.of.gains[0]
    assert best.saves_s == pytest.approx(slow.simulated.makespan_s - faster.simulated.makespan_s)


def test_of_two_strategies_the_verdict_says_in_which_term_they_differ(fast: es.Result) -> None:
    data = es.simulate(model="bert_tiny_bytes", strategy="data", rate="100 Mbit/s")
    explained = data.explain(fast)
    assert "strategy (pipeline -> data)" in explained.verdict
    assert re.search(r"most of it [a-z ()-]+ \([+-]", explained.verdict)
    assert total(explained) == pytest.approx(data.simulated.makespan_s - fast.simulated.makespan_s)


def test_two_models_on_two_clusters_are_explained_too(fast: es.Result) -> None:
    other = es.simulate(model="bert_small_bytes", cluster="nanos", strategy="data", scenario="throttled")
    explained = other.explain(fast)
    assert isinstance(explained.of, Explanation)
    assert {"model", "busy device"} <= set(explained.to_pandas()["cause"])
    assert total(explained) == pytest.approx(other.simulated.makespan_s - fast.simulated.makespan_s)


def test_equal_runs_take_as_long(fast: es.Result) -> None:
    explained = fast.explain(es.simulate(**TINY, rate="100 Mbit/s"))
    assert "takes as long as" in explained.verdict
    assert explained.to_pandas().empty


def test_what_was_measured_is_explained_beside_what_was_simulated(executed: es.Result) -> None:
    simulated, measured = (side_of(executed, name, name) for name in ("simulated", "measured"))
    assert measured.trace.player == "measured"
    assert simulated.world is not None
    assert measured.world is not None
    assert inputs(simulated.world, measured.world) == []
    again = executed.explain(executed)
    assert "takes as long as" in again.verdict
    with pytest.raises(ValueError, match="was not measured"):
        side_of(replace(executed, traces=executed.traces[:1]), "it", "measured")


def test_a_waterfall_ends_where_the_run_does(fast: es.Result, slow: es.Result, tmp_path: Path) -> None:
    for name, explained in (("two.png", slow.explain(fast)), ("one.png", slow.explain())):
        figure = explained.plot(tmp_path / name)
        assert isinstance(figure, Figure)
        assert (tmp_path / name).stat().st_size > 1000
        last = figure.axes[0].patches[-1]
        assert last.get_width() == pytest.approx(slow.simulated.makespan_s)  # type: ignore[attr-defined]
        assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()][-1] in ("this run", "pipeline")
    assert "+263 ms" in json.dumps(described(tmp_path / "two.png"))


# --- of folders ---


def test_folders_are_read_as_they_were_played(
    fast: es.Result, slow: es.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [run.save(tmp_path / name) for name, run in (("fast", fast), ("slow", slow))]
    text = said(capsys, *folders, "--figure", tmp_path / "figure.svg")
    assert "slow takes 263 ms longer than fast" in text
    assert "link rate (100 -> 20 Mbit/s) makes 263 ms of it (100 %)" in text
    assert (tmp_path / "figure.svg").is_file()
    side = read_side(folders[1])
    assert side.world is not None
    assert side.world.trace().makespan_s == slow.trace.makespan_s
    assert "10 % more" in said(capsys, folders[1], "--no-replanning")


def test_the_players_of_one_run_are_compared_by_its_files(
    executed: es.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = executed.save(tmp_path / "run")
    text = said(capsys, folder / "simulated.jsonl", folder / "measured.jsonl")
    assert "run, measured takes" in text
    assert "than run, simulated" in text
    typical = sorted(trace.makespan_s for trace in executed.traces[1:])[1]
    assert read_side(folder).trace.makespan_s == pytest.approx(typical)
    assert said(capsys, folder, "--no-replanning").startswith("run takes")


def test_a_folder_whose_configuration_is_gone_is_explained_by_its_traces(
    fast: es.Result, slow: es.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders: Sequence[Path] = [run.save(tmp_path / name) for name, run in (("fast", fast), ("slow", slow))]
    for folder in folders:
        (folder / "config.yaml").unlink()
    assert "transfer, all links" in said(capsys, *folders)
    assert "What was simulated is not known" in said(capsys, folders[0])
    assert "the trace played again" in said(capsys, folders[0])


def test_the_profile_of_a_rehearsal_is_kept_and_read(executed: es.Result, tmp_path: Path) -> None:
    points = tuple(replace(point, seconds=2 * point.seconds) for point in executed.profile.points)
    setup = replace(executed.setup, profile=replace(executed.profile, points=points, estimates=None))
    folder = replace(executed, setup=setup).save(tmp_path / "run")
    assert (folder / REHEARSED).is_file()
    side = read_side(folder)
    assert side.world is not None
    assert side.world.setup.profile == setup.profile


def test_what_cannot_be_explained_is_refused_in_a_sentence(
    fast: es.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fast.save(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    assert "no such run or trace" in refused(capsys, tmp_path / "rum")
    assert "is no run: it has no schedule.txt" in refused(capsys, tmp_path / "empty")
    assert "is no trace of a run" in refused(capsys, folder / "plan.json")
    assert "--top is 0" in refused(capsys, folder, "--top", 0)
    assert "does not end like a figure" in refused(capsys, folder, "--figure", tmp_path / "x.txt")
    broken = Path(copytree(folder, tmp_path / "broken"))
    (broken / "simulated.jsonl").write_text("{}\n")
    assert "simulated.jsonl" in refused(capsys, broken)
