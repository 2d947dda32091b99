"""Does a wrong table, or a wrong file of a run or a sweep, end in a traceback of a command that reads it?"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
from drawn_files import csv_texts, kept_lines, lines_of_json, prepared, torn_texts
from drawn_inputs import json_texts, yaml_texts
from hypothesis import strategies as st
from many_tries import Attempt, ended, tried

from edgesim.metrics import measure
from experiments.collect import main as collect
from experiments.compare import main as compare
from experiments.figures.__main__ import main as figures
from experiments.figures.catalogue import figure_names
from experiments.galaxy import main as galaxy
from experiments.sweeps.run_table import RunTable, code_hash
from experiments.sweeps.sweep import sweep_command
from experiments.tables.__main__ import main as tables
from experiments.tables.methods import VALUES

Texts = Mapping[str, str]


def wrong_table(drawn: st.DataObject, path: Path, text: str) -> None:
    """Write a table that is wrong somewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(drawn.draw(csv_texts(text)), encoding="utf-8")


def ends_well(folder: Path, command: Callable[[Sequence[str]], object], *words: str) -> None:
    """The command ends with 0, 1 or 2, with a short message where that is 2; and leaves nothing half-written."""
    ended(folder, lambda: command(words))
    assert not list(folder.rglob("*.part")), words


def a_table_of_runs(folder: Path, data: st.DataObject) -> None:
    """Whatever a user gives as a table to be drawn, printed or compared."""
    right = kept_lines("parallelisms/table.csv", 6)
    wrong_table(data, folder / "mine.csv", right)
    (folder / "right.csv").write_text(right)
    match data.draw(st.sampled_from(["figures", "figures", "tables", "best", "compare"])):
        case "figures":
            named = data.draw(st.sampled_from([None, *figure_names()]))
            ends_well(folder, figures, "mine.csv", *(["--draw", named] if named else []))
        case "tables":
            ends_well(folder, tables, "mine.csv", "--value", data.draw(st.sampled_from(sorted(VALUES))))
        case "best":
            ends_well(folder, tables, "mine.csv", "--best", "3", "--format", "latex")
        case "compare":
            ends_well(folder, compare, "right.csv", "mine.csv")


# Tables that a command finds in the results folder, and that command.
KEPT_TABLES: Mapping[str, tuple[Callable[[Sequence[str]], object], str]] = {
    "validation/loopback_20mbit.csv": (figures, "validation"),
    "planner_bench/table.csv": (figures, "planner_bench"),
    "planner_bench/regret.csv": (figures, "planner_bench"),
    "published/costs.csv": (figures, "published"),
    "galaxy_latency/table.csv": (galaxy, ""),
    "galaxy_bandwidth/table.csv": (figures, "galaxy_bandwidth"),
    "galaxy_measured/table.csv": (figures, "galaxy_measured"),
    "galaxy_scaling/table.csv": (figures, "galaxy_scaling"),
}


def a_kept_table(folder: Path, data: st.DataObject) -> None:
    """A table in the results folder that was edited, or of which a part was lost."""
    name = data.draw(st.sampled_from(sorted(KEPT_TABLES)))
    command, word = KEPT_TABLES[name]
    wrong_table(data, folder / "results" / name, kept_lines(name, 8))
    ends_well(folder, command, *([word] if word else []))


@cache
def a_runs_files() -> Texts:
    """What a run writes and other commands read."""
    it = prepared()
    trace = it.setup.simulate(it.schedule)
    metrics = measure(trace, cluster=it.setup.cluster, model=it.setup.model, workload=it.setup.workload)
    return {
        "config.yaml": "seed: 0\nstrategy:\n  _target_: edgesim.strategies.data.data\n",
        "plan.json": it.plan.to_json(),
        "schedule.txt": it.schedule.to_text(),
        "simulated.jsonl": trace.to_lines(),
        "metrics.json": json.dumps({"losses": [1.0], "iterations": [metrics.to_dict()]}),
        "versions.json": json.dumps({"python": "3.11", "seed": 0}),
        "series.csv": "player,rank,device,time_s,memory_bytes,power_w\n"
        "simulated,0,fast,0.0,5.0,1.0\nsimulated,0,fast,2.0,5.0,3.0\n",
    }


def a_run(folder: Path, data: st.DataObject) -> None:
    """A run's folder in which a file is wrong, or missing."""
    mine, right = folder / "results" / "mine", folder / "right"
    for place in (mine, right):
        place.mkdir(parents=True)
        for name, text in a_runs_files().items():
            (place / name).write_text(text)
    name = data.draw(st.sampled_from(sorted(a_runs_files())))
    drawn = {".json": json_texts, ".jsonl": lines_of_json, ".csv": csv_texts, ".yaml": yaml_texts, ".txt": torn_texts}
    (mine / name).write_text(data.draw(drawn[Path(name).suffix](a_runs_files()[name])), encoding="utf-8")
    if data.draw(st.integers(0, 9)) == 0:
        (mine / name).unlink()
    if data.draw(st.booleans()):
        ends_well(folder, compare, "right", "results/mine")
    else:
        ends_well(folder, figures, "mine")


@cache
def a_sweeps_lines() -> str:
    """The rows of a small sweep, as its workers write them."""
    words = ("-m", "model=bert_tiny_bytes", "strategy=data,pipeline", "launcher=here", "sweep.name=mine")
    with tempfile.TemporaryDirectory() as folder:
        assert ended(Path(folder), lambda: sweep_command(words)) == 0
        return str(RunTable(Path(folder) / "results" / "sweeps" / "mine").rows().to_json(orient="records", lines=True))


def a_sweep(folder: Path, data: st.DataObject) -> None:
    """A sweep's table of which lines are wrong: what can be read is taken."""
    place = folder / "results" / "sweeps" / "mine" / "rows"
    place.mkdir(parents=True)
    (place / "a.jsonl").write_text(data.draw(lines_of_json(a_sweeps_lines())), encoding="utf-8")
    match data.draw(st.sampled_from(["tables", "figures", "collect", "resume"])):
        case "tables":
            ended_with_warnings(folder, tables, "mine")
        case "figures":
            ended_with_warnings(folder, figures, "mine", "--out", "plots")
        case "collect":
            ended_with_warnings(folder, collect, "mine")
        case "resume":
            table = RunTable(folder / "results" / "sweeps" / "mine")
            ended_with_warnings(folder, lambda words: (table.finished(code_hash()), table.merge())[1] * 0)


def ended_with_warnings(folder: Path, command: Callable[[Sequence[str]], object], *words: str) -> None:
    """As :func:`ends_well`; a line that cannot be read is told of besides."""
    ended(folder, lambda: command(words))


def a_study(folder: Path, data: st.DataObject) -> None:
    """A study's file of the user's own, whose table is drawn."""
    text = "# @package _global_\nstudy:\n  name: mine\n  figures: [throughput, latency]\n  with: []\n"
    (folder / "my_conf" / "experiment").mkdir(parents=True)
    (folder / "my_conf" / "experiment" / "one.yaml").write_text(data.draw(yaml_texts(text)), encoding="utf-8")
    table = folder / "results" / "mine" / "table.csv"
    table.parent.mkdir(parents=True)
    table.write_text(kept_lines("parallelisms/table.csv", 3))
    ends_well(folder, figures, "mine", "--config-dir", "my_conf")


ATTEMPTS: Mapping[str, Attempt] = {
    "table of runs": a_table_of_runs,
    "kept table": a_kept_table,
    "run": a_run,
    "sweep": a_sweep,
    "study": a_study,
}


@pytest.mark.parametrize("kind", ATTEMPTS)
def test_no_table_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    tried(ATTEMPTS[kind], tmp_path_factory, tries=6)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(1, 5))
@pytest.mark.parametrize("kind", ATTEMPTS)
def test_no_table_of_many_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, kind: str, shard: int) -> None:
    tried(ATTEMPTS[kind], tmp_path_factory, tries=50, shard=shard)
