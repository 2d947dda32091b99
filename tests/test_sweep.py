"""Does a sweep end with every run once, wherever it runs and whatever dies on the way?"""

import doctest
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from fake_testbed import open_fake
from processes import alive

import edgesim as es
from edgesim.units import show
from experiments import run
from experiments.collect import collect, tidy
from experiments.collect import main as collect_main
from experiments.configuration.command_line import composed
from experiments.configuration.places import CODE, CONF
from experiments.configuration.studies import studies
from experiments.execution import assignments
from experiments.figures.__main__ import main as figures
from experiments.sweeps import grid
from experiments.sweeps.grid import parse
from experiments.sweeps.run_table import RunTable, code_hash
from experiments.sweeps.search import best_of_search
from experiments.tables.__main__ import main as tables
from experiments.tables.sources import source

TINY = ["model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4", "workload.tokens=16"]
FOUR = ["strategy=data,pipeline", "network.rate=20 Mbit/s,100 Mbit/s"]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A sweep that has ended: the folder of its results, its exit code, and what it said."""

    results: Path
    code: int
    out: str
    err: str

    @property
    def rows(self) -> pd.DataFrame:
        return rows(self.results)


def swept(results: Path, *words: str) -> Ended:
    """The sweep command in this process."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["run", "-m", f"results={results}", "sweep.name=s", "launcher=here", *TINY, *words]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", argv)
        patch.setenv("COLUMNS", "100")
        with pytest.raises(SystemExit) as ended:
            run.main()
    return Ended(results=results, code=int(ended.value.code or 0), out=out.getvalue(), err=err.getvalue())


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Ended]:
    return partial(swept, tmp_path)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Four runs, to look at only."""
    return swept(tmp_path_factory.mktemp("four"), *FOUR)


@pytest.fixture
def begun(four: Ended, tmp_path: Path) -> Path:
    """Results in which the four runs are, for a sweep that goes on there."""
    shutil.copytree(four.results, tmp_path, dirs_exist_ok=True)
    return tmp_path


def rows(tmp_path: Path, name: str = "s") -> pd.DataFrame:
    return RunTable(tmp_path / "sweeps" / name).rows()


def test_every_run_is_a_row_with_its_configuration_figures_and_versions(four: Ended) -> None:
    assert four.code == 0
    table = four.rows
    assert len(table) == 4
    assert set(table["strategy"]) == {"data", "pipeline"}
    assert set(table["bandwidth_bit_per_s"]) == {20e6, 100e6}
    assert set(table["config.network.rate"]) == {"20 Mbit/s", "100 Mbit/s"}
    assert (table["status"] == "done").all()
    assert (table["makespan_s"] > 0).all()
    assert set(table["code"]) == {code_hash()}
    assert {"git_commit", "torch", "python", "profile_hash", "schedule", "energy_source"} <= set(table.columns)


def test_a_sweep_whose_output_is_a_file_says_how_far_it_is(four: Ended) -> None:
    first, *_, last = four.err.splitlines()
    assert first.startswith("s: 0 of 4 (")
    assert last.startswith("s: 4 of 4 (")


def test_a_sweep_says_the_same_as_single_runs(four: Ended) -> None:
    for _, row in four.rows.iterrows():
        cfg = composed(*TINY, *json.loads(row["overrides"]))
        prepared = run.prepare(cfg)
        assert row["makespan_s"] == prepared.setup.simulate(prepared.schedule).makespan_s
        assert row["schedule"] == prepared.schedule.hash


def test_a_finished_run_is_not_made_again_and_a_new_one_joins(four: Ended, begun: Path) -> None:
    assert swept(begun, "strategy=data", "network.rate=20 Mbit/s,500 Mbit/s").code == 0
    second = rows(begun)
    assert len(second) == 5
    kept = second[second["key"].isin(four.rows["key"])].reset_index(drop=True)
    assert list(kept["finished"]) == list(four.rows["finished"])


def test_runs_of_other_code_are_made_again(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.sweeps.sweep.code_hash", lambda: "newer")
    assert swept(begun, "strategy=pipeline", "network.rate=20 Mbit/s,100 Mbit/s").code == 0
    table = rows(begun)
    assert sorted(zip(table["strategy"], table["code"], strict=True)) == [
        *[("data", code_hash())] * 2,
        *[("pipeline", "newer")] * 2,
    ]


def test_a_failing_run_is_a_row_with_its_reason_and_has_failed_still_when_the_sweep_is_repeated(
    sweep: Callable[..., Ended], tmp_path: Path
) -> None:
    words = ("devices.slow.memory_bytes=1e4,1e9", "strategy=data")
    first = sweep(*words)
    assert first.code == 1
    assert "1 failed: " in first.err
    table = first.rows.set_index("config.devices.slow.memory_bytes")
    assert table.loc["10000.0", "status"] == "out_of_memory"
    assert "demo-slow" in table.loc["10000.0", "reason"]
    assert table.loc["1000000000.0", "status"] == "done"
    again = sweep(*words)
    assert again.code == 1
    assert "1 of this sweep failed, 1 of them before" in again.out
    assert "1 failed: " in again.err
    assert list(again.rows["finished"]) == list(table.sort_values("key")["finished"])
    # The failed run of the table is none of another sweep's.
    other = sweep("devices.slow.memory_bytes=1e9,2e9", "strategy=data")
    assert other.code == 0
    assert "failed" not in other.err


def test_a_sweep_without_a_name_has_a_table_of_its_own_and_goes_on_in_it_when_it_is_repeated(
    sweep: Callable[..., Ended], tmp_path: Path
) -> None:
    unnamed = "sweep.name=null"
    assert sweep("seed=1,2", unnamed).code == 0
    (folder,) = (tmp_path / "sweeps").iterdir()
    assert re.fullmatch(r"seed-[0-9a-f]{8}", folder.name)
    first = rows(tmp_path, folder.name)
    assert set(first["study"]) == {folder.name}
    assert sweep(unnamed, "sweep.batch=1", "seed=1,2").code == 0
    assert list((tmp_path / "sweeps").iterdir()) == [folder]
    assert list(rows(tmp_path, folder.name)["finished"]) == list(first["finished"])
    asked = (["seed=1,2", *more] for more in ((), (FOUR[1],), ("network.rate=20 Mbit/s",)))
    assert len({parse(words).name for words in asked}) == 3


def test_the_name_of_a_sweep_without_one_tells_what_varies() -> None:
    assert doctest.testmod(grid).attempted
    assert not doctest.testmod(grid).failed
    assert parse(["~grid", "seed=1"]).name.startswith("one_run-")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strategy=data,pipelin"], "unknown strategy 'pipelin' (did you mean 'pipeline'"),
        (["netwrk.rate=1 Mbit/s,2 Mbit/s"], "unknown override 'netwrk.rate' (did you mean 'network.rate'"),
        (
            ["strategy=data,pipeline", "sweep.batch=0"],
            "sweep.batch: expected a whole number of at least 1",
        ),
        (["strategy=data,pipeline", "launcher=on_rey"], "unknown launcher 'on_rey' (did you mean 'on_ray'"),
        (["network.rate=1 Mbit/s,2 Mbt/s"], "unknown unit 'Mbt'"),
        (["profile=measured", "seed=1,2"], "profile.path"),
    ],
)
def test_a_mistake_in_the_command_is_one_sentence_and_starts_nothing(
    sweep: Callable[..., Ended], tmp_path: Path, words: list[str], said: str
) -> None:
    ended = sweep(*words)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1, ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_another_version_is_refused(sweep: Callable[..., Ended], tmp_path: Path) -> None:
    folder = tmp_path / "sweeps" / "s"
    folder.mkdir(parents=True)
    pd.DataFrame({"key": ["a"]}).to_parquet(folder / "runs.parquet")
    ended = sweep(*FOUR)
    assert ended.code == 2
    assert "no version of edgesim" in ended.err


# --- what it ends with ---


def test_a_sweep_ends_with_its_best_runs_the_file_of_its_table_and_the_commands_that_show_more(
    four: Ended, begun: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = four.out.splitlines()
    assert said[1].startswith("the best 4 of 4, by simulated time per iteration")
    assert said[-3] == f"table: {four.results / 'sweeps' / 's' / 'runs.parquet'}"
    assert next(line for line in said if line.startswith("│")).startswith("│ pipeline      │ 100 Mbit/s │")
    # The table has other runs as well, which are not of this sweep.
    said = swept(begun, "strategy=hybrid_pipeline", "network.rate=500 Mbit/s").out.splitlines()
    assert said[1].startswith("the best 1 of 1, by simulated time per iteration")
    more, plot = (shlex.split(line.partition(":")[2])[2:] for line in said[-2:])
    assert (more[0], plot[0]) == ("experiments.tables", "experiments.figures")
    tables(more[1:])
    assert capfd.readouterr().out.startswith("the best 5 of 5, by simulated time per iteration")
    monkeypatch.chdir(begun)
    assert figures(plot[1:]) == 0
    assert (begun / "s_iteration_time.png").exists()


def test_training_is_judged_by_its_iterations_and_requests_by_their_latency(
    sweep: Callable[..., Ended], tmp_path: Path
) -> None:
    words = ["strategy=pipeline", "workload.micro_batch_samples=4,16", "workload.purpose=train,infer"]
    said = sweep(*words, "workload.batch_samples=16").out
    assert "the best 2 of 2, by simulated time per iteration" in said
    assert "the best 2 of 2, by simulated latency" in said
    parts = source("s", tmp_path).parts
    assert list(parts) == ["makespan_s", "latency_s"]
    column = "workload.micro_batch_samples"
    assert [sorted(part[column]) for part in parts.values()] == [[4, 16], [4, 16]]  # numbers: 16 comes after 4


# --- tidy tables ---


def test_a_sweep_becomes_a_tidy_table_with_a_column_for_what_it_varied(
    begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(collect("s", begun)["player"]) == {"simulated"}
    assert "depth" not in collect("s", begun).columns
    assert swept(begun, "strategy=pipeline", "depth=gpipe,one_f_one_b", "network.rate=20 Mbit/s").code == 0
    table = collect("s", begun)
    assert len(table) == 5  # one_f_one_b is the usual depth: that run is of the four
    assert list(table["depth"].dropna()) == ["gpipe"]
    assert collect_main(["s", "--results", str(begun)]) == 0
    again = pd.read_csv(begun / "s" / "table.csv")
    assert list(again["makespan_s"]) == list(table["makespan_s"])
    assert collect_main(["t", "--results", str(begun)]) == 2
    assert "no sweep 't' in" in capsys.readouterr().err


def test_batteries_and_carbon_are_columns_only_where_a_run_has_them(begun: Path) -> None:
    told = {"samples_per_charge", "carbon_g", "carbon_source"}
    assert not told & set(collect("s", begun).columns)
    assert swept(begun, "strategy=data,pipeline", "grid=world_2023", "+devices.slow.power.battery_j=1000").code == 0
    table = collect("s", begun)
    with_them = table[table["carbon_g"].notna()]
    assert (len(table), len(with_them)) == (6, 2)
    assert with_them["carbon_g"].tolist() == pytest.approx((with_them["energy_j"] / 3.6e6 * 480).tolist())
    assert (with_them["samples_per_charge"] > 0).all()
    assert (table["energy_per_sample_j"] * table["batch_samples"]).tolist() == pytest.approx(table["energy_j"].tolist())


def test_what_the_usual_columns_tell_has_no_column_of_its_own_unless_it_tells_runs_apart() -> None:
    def runs(*overrides: list[str], **columns: list[object]) -> pd.DataFrame:
        return pd.DataFrame({"overrides": [json.dumps(words) for words in overrides], **columns})

    told = runs(["cluster=a", "profile=x"], ["cluster=b", "profile=y"], cluster=["a", "b"])
    assert "profile" not in tidy(told).columns
    alike = runs(["profile=x"], ["profile=y"], cluster=["a", "a"])
    assert list(tidy(alike)["profile"]) == ["x", "y"]


def test_an_executed_run_is_one_row_and_two_in_the_tidy_table(
    sweep: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignments, "open_testbed", open_fake)
    assert sweep("strategy=data,pipeline", "execute=true", "iterations=3").code == 0
    assert len(rows(tmp_path)) == 2
    table = collect("s", tmp_path)
    assert list(table["player"]) == ["measured", "simulated"] * 2
    measured = table[table["player"] == "measured"]
    assert (measured["makespan_low_s"] < measured["makespan_s"]).all()
    assert (measured["makespan_s"] < measured["makespan_high_s"]).all()
    assert set(measured["iterations"]) == {3}
    assert table.loc[table["player"] == "simulated", "makespan_low_s"].isna().all()


@pytest.mark.parametrize("experiment", [study.experiment for study in studies()])
def test_every_study_begins(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [f"experiment={experiment}", f"results={tmp_path}", "sweep.shrink=true", "execute=false", "launcher=here"]
    monkeypatch.setattr(sys, "argv", ["run", "-m", *words])
    monkeypatch.chdir(CODE)
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == 0, capfd.readouterr().err
    (name,) = (study.name for study in studies() if study.experiment == experiment)
    assert len(collect(name, tmp_path)) == 1
    first_lines = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()[:2]
    assert first_lines[1].startswith(f"# python -m experiments.run -m experiment={experiment}")


# --- one file each: a device, a cluster, a study, a figure ---


def test_a_device_a_cluster_a_study_and_a_figure_are_a_file_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = tmp_path / "conf"
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "toast.py").write_text(
        'def draw(rows, ax):\n    ax.bar(rows["method"], rows["energy_j"])\n    ax.set_ylabel("energy (J)")\n'
    )
    for group in ("device", "cluster", "experiment"):
        (more / group).mkdir(parents=True)
    nano = (CONF / "device" / "jetson_nano.yaml").read_text()
    (more / "device" / "toaster.yaml").write_text(nano.replace("jetson-nano", "toaster"))
    nanos = (CONF / "cluster" / "nanos.yaml").read_text()
    (more / "cluster" / "kitchen.yaml").write_text(
        nanos.replace("jetson_nano", "toaster").replace("name: nanos", "name: kitchen").replace("count: 3", "count: 2")
    )
    (more / "experiment" / "breakfast.yaml").write_text(
        textwrap.dedent(
            """\
            # @package _global_
            defaults:
              - override /cluster: kitchen
              - override /model: bert_tiny_bytes
            study:
              name: breakfast
              figures: [toast]
              over: {strategy: [data, pipeline]}
            """
        )
    )
    words = ["--config-dir", str(more), "-m", "experiment=breakfast", f"results={tmp_path}", "launcher=here"]
    monkeypatch.setattr(sys, "argv", ["run", *words])
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == 0
    table = collect("breakfast", tmp_path)
    assert set(table["cluster"]) == {"kitchen"}
    assert set(table["devices"]) == {2}
    assert "toaster" in table["placement"][0]
    assert collect_main(["breakfast", "--results", str(tmp_path)]) == 0
    folders = ["--results", str(tmp_path), "--config-dir", str(more), "--figures", str(tmp_path / "figures")]
    assert figures(["breakfast", *folders]) == 0
    assert (tmp_path / "breakfast" / "toast.pdf").exists()


# --- processes that die, other machines ---

pytestmark = pytest.mark.timeout(600)
MANY = [
    "strategy=data,pipeline,hybrid_pipeline",
    "cluster=demo,demo_20mbit,nanos",
    "seed=1,2",
    "network.rate=" + ",".join(f"{rate} Mbit/s" for rate in range(10, 1130, 10)),
]
MANY_RUNS = 3 * 3 * 2 * 112


def start(tmp_path: Path, *words: str, launcher: str = "on_cores") -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "experiments.run", "-m", f"results={tmp_path}", "sweep.name=s"]
    return subprocess.Popen(
        [*command, f"launcher={launcher}", *TINY, *words],
        cwd=CODE,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def end(process: "subprocess.Popen[str]") -> str:
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    return said


def lines(tmp_path: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in (tmp_path / "sweeps" / "s" / "rows").glob("*.jsonl"))


def wait_for_lines(tmp_path: Path, count: int, process: "subprocess.Popen[str]") -> None:
    until_s = time.monotonic() + 120
    while lines(tmp_path) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until_s
        time.sleep(0.05)


def workers_of(pid: int) -> list[int]:
    """Child processes that make runs: Joblib's, not its resource tracker."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == pid and b"popen_loky" in command:
            found.append(int(path.name))
    return found


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_two_thousand_runs_survive_the_death_of_a_worker_and_of_the_driver(tmp_path: Path) -> None:
    process = start(tmp_path, *MANY)
    wait_for_lines(tmp_path, 200, process)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    wait_for_lines(tmp_path, 700, process)
    workers = workers_of(process.pid)
    process.kill()
    process.communicate(timeout=30)  # its workers hold its output: they end soon after it
    assert workers
    assert not any(alive(pid) for pid in workers)
    before = rows(tmp_path)
    assert 700 <= len(before) < MANY_RUNS
    said = end(start(tmp_path, *MANY))
    assert f"{MANY_RUNS} runs in" in said
    after = rows(tmp_path)
    assert len(after) == after["key"].nunique() == MANY_RUNS
    assert (after["status"] == "done").all()
    kept = after[after["key"].isin(before["key"])].set_index("key")["finished"]
    assert kept.equals(before.set_index("key")["finished"].loc[kept.index])
    assert lines(tmp_path) == 0


@pytest.mark.slow
def test_two_sweeps_write_side_by_side_without_double_rows(tmp_path: Path) -> None:
    few = ["strategy=pipeline", "network.rate=" + ",".join(f"{rate} Mbit/s" for rate in range(1, 22))]
    other = start(tmp_path, *few, launcher="here")
    wait_for_lines(tmp_path, 1, other)
    assert swept(tmp_path, *few).code == 0
    end(other)
    table = rows(tmp_path)
    assert len(table) == table["key"].nunique() == 21


@pytest.mark.slow
def test_a_run_that_kills_its_process_is_recorded_as_failed(tmp_path: Path) -> None:
    (tmp_path / "conf" / "planner").mkdir(parents=True)
    (tmp_path / "conf" / "planner" / "deadly.yaml").write_text("_target_: os.abort\n")
    words = ["--config-dir", str(tmp_path / "conf"), "planner=even,deadly", "sweep.batch=1", "launcher.workers=2"]
    process = start(tmp_path, *words)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 1, said
    table = rows(tmp_path)
    assert sorted(table["status"]) == ["done", "failed"]
    assert set(table.loc[table["status"] == "failed", "reason"]) == {
        "its process died 3 times (killed, or out of memory)"
    }


FAKE_SLURM = """\
#!{python}
# Stands in for sbatch, which keeps the script and runs it later.
import sys
open("{kept}", "w").write(open(sys.argv[-1]).read())
print("Submitted batch job 77")
"""


def run_as_slurm_would(script: str, task: int, folder: Path) -> None:
    """One task of an array, on one node, where the command was typed."""
    (prepared,) = re.findall(r"^# setup\n(.*?)\n\n", script, re.M | re.S)
    (command,) = re.findall(r"^srun .*? (\S*python\S* -u -m submitit\.core\._submit .*)$", script, re.M)
    env = {
        "SUBMITIT_EXECUTOR": "slurm",
        "SLURM_JOB_ID": str(77 + task),
        "SLURM_ARRAY_JOB_ID": "77",
        "SLURM_ARRAY_TASK_ID": str(task),
        "SLURM_NTASKS": "1",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_JOB_NODELIST": "here",
    }
    job = ["bash", "-c", f"{prepared}\n{command}"]
    subprocess.run(job, env=os.environ | env, cwd=folder, check=True, capture_output=True, timeout=100)


@pytest.mark.slow
def test_a_slurm_array_is_submitted_and_its_jobs_write_the_rows_when_the_script_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("sbatch", "srun"):
        (commands / name).write_text(FAKE_SLURM.format(python=sys.executable, kept=tmp_path / "kept.sh"))
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    for name in ("experiments", "conf", "real_runtime"):  # a user's own
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a package of the user')\n")
    asked = {
        "model": "bert_tiny_bytes",
        "cluster": es.load_cluster("demo"),  # an object: its file is gone when the call is over
        "strategy": ["data", "pipeline"],
        "launcher": es.Choice(group="launcher", name="on_slurm", options={"partition": "edge", "minutes": 90}),
        "sweep": {"batch": 1},
    }
    assert len(es.sweep(name="s", results=tmp_path, **asked)) == 0
    assert "submitted 2 batches as job 77" in capsys.readouterr().out
    script = (tmp_path / "kept.sh").read_text()
    for line in ("--array=0-1%2", "--partition=edge", "--time=90", "--cpus-per-task=1", "--mem=4GB"):
        assert line in script
    for task in range(2):
        run_as_slurm_would(script, task, tmp_path)
    assert list(rows(tmp_path)["status"]) == ["done", "done"]
    here = es.sweep(name="s", results=tmp_path, **asked | {"launcher": "here"})
    assert len(here) == len(rows(tmp_path)) == 2  # the same runs, by their keys


def test_without_slurm_the_launcher_says_what_to_use(
    sweep: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ended = sweep(*FOUR, "launcher=on_slurm")
    assert ended.code == 2
    assert "no Slurm here: the command srun is missing (use launcher=on_cores)" in ended.err


@pytest.mark.parametrize(
    "words", [["experiment=search_demo"], ["-m", "strategy=data,pipeline"], ["-m", "--help", "experiment=search_demo"]]
)
def test_what_was_no_search_has_no_best(words: list[str]) -> None:
    assert best_of_search(words) is None


@pytest.mark.slow
def test_optuna_searches_the_demo_pipeline_and_keeps_its_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "experiments.run", "-m", "experiment=search_demo", f"results={tmp_path}"]
    words = [*command, "hydra.sweeper.n_trials=6"]
    said = subprocess.run(words, cwd=CODE, check=True, capture_output=True, text=True, timeout=200).stdout
    found = (tmp_path / "searches" / "search_demo" / "optimization_results.yaml").read_text()
    times = []
    for folder in (tmp_path / "runs").iterdir():
        (metrics,) = json.loads((folder / "metrics.json").read_text())["iterations"]
        times.append(metrics["makespan_s"])
    assert f"best_value: {min(times)}" in found
    best, again = said.splitlines()[-2:]
    assert best.startswith(f"best: {show(min(times), 's')} per iteration")
    monkeypatch.setattr(sys, "argv", shlex.split(again.removeprefix("again: python -m")))
    run.main()
    said = capsys.readouterr().out
    (folder,) = re.findall(r"Everything is in (\S+);", said)
    (metrics,) = json.loads((Path(folder) / "metrics.json").read_text())["iterations"]
    assert metrics["makespan_s"] == min(times)
