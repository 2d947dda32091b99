"""Does a sweep on several machines end as it does on one? Machines are nodes of a Ray cluster on this one."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from edgesim.errors import RunError
from experiments.collect import collect
from experiments.configuration.places import CODE
from experiments.sweeps.elsewhere import at_hand
from experiments.sweeps.grid import Sweep
from experiments.sweeps.made_folder import MadeFolder
from experiments.sweeps.run_table import RunTable, code_hash
from experiments.sweeps.workers import SweepSpec

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'edgesim[cluster]')")
on_ray = import_module("experiments.sweeps.launchers.on_ray")

TINY = ["model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4", "workload.tokens=16"]
HUNDRED = ["network.rate=" + ",".join(f"{rate} Mbit/s" for rate in range(10, 20)), "seed=range(1,11)"]


def on_nodes(test: Callable[..., None]) -> Callable[..., None]:
    """Starts processes, and never beside the others."""
    for mark in (pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("ray")):
        test = mark(test)
    return test


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of a core each."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    folder = tempfile.mkdtemp(prefix="edgesim-nodes-", dir="/tmp")  # paths of sockets must be short
    Path(folder, "ray").mkdir()  # where Ray notes the head's address, and makes no folder for it
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("RAY_TMPDIR", folder)
    head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": folder, "object_store_memory": 80 * 2**20}
    cluster = cluster_utils.Cluster(initialize_head=False)
    try:
        cluster.add_node(**head)
        cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        yield cluster
    finally:
        cluster.shutdown()
        patch.undo()
        shutil.rmtree(folder, ignore_errors=True)


class Home:
    """A user's folder, in which packages are called like ours, and a mark that all processes started there bear."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mark = folder, uuid.uuid4().hex
        for name in ("experiments", "edgesim", "real_runtime", "conf", "results"):
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text("raise SystemExit('a package of the user')\n")

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-P", *words],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(CODE), "MARK": self.mark},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def sweep(self, *words: str) -> "subprocess.Popen[str]":
        return self.start("-m", "experiments.console", "sweep", "results=out", "sweep.name=s", *TINY, *words)

    @property
    def table(self) -> RunTable:
        return RunTable(self.folder / "out" / "sweeps" / "s")

    def processes(self) -> dict[int, str]:
        """Command lines of all that was started here and runs."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if f"MARK={self.mark}".encode() in (process / "environ").read_bytes():
                    found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
        return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A user's folder; nothing that a test started there outlives it."""
    home = Home(tmp_path)
    yield home
    for pid in home.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def ended(process: "subprocess.Popen[str]", code: int = 0) -> tuple[str, str]:
    try:
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == code, out + err
    return out, err


def wait_until(true: Callable[[], bool], *, seconds: float = 250) -> None:
    until_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.1)


@on_nodes
def test_all_runs_are_made_though_a_machine_dies_and_failures_are_rows_and_no_folder_shadows_ours(
    cluster: Any, home: Home
) -> None:
    words = ["strategy=data,pipeline", *HUNDRED, "sweep.batch=5"]
    dying = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    process = home.sweep("launcher=on_ray", f"launcher.address={cluster.address}", *words)
    wait_until(lambda: len(home.table.rows(["key"])) >= 40)
    cluster.remove_node(dying, allow_graceful=False)
    out, err = ended(process)
    assert "200 runs in out/sweeps/s/runs.parquet\n" in out
    assert "s: 200 of 200 (" in err
    rows = home.table.rows()
    assert len(rows) == rows["key"].nunique() == 200
    assert set(rows["status"]) == {"done"}

    few = ["strategy=data,pipeline", "network.rate=9 Mbit/s,10 Mbit/s"]
    failing = ["devices.slow.memory_bytes=1e4,1e9"]
    for launcher in (["launcher=on_ray", f"launcher.address={cluster.address}"], ["launcher=here"]):
        name = launcher[0].partition("=")[2]
        _, err = ended(home.sweep(*launcher, *few, *failing, f"sweep.name={name}"), code=1)
        assert "demo-slow" in err
    there, here = (collect(name, home.folder / "out") for name in ("on_ray", "here"))
    pd.testing.assert_frame_equal(there.drop(columns="study"), here.drop(columns="study"))
    assert sorted(there["status"]) == ["done"] * 4 + ["out_of_memory"] * 4


@on_nodes
def test_a_run_that_kills_its_process_is_recorded_as_failed_and_all_others_of_its_batch_are_made(
    cluster: Any, home: Home
) -> None:
    (home.folder / "own" / "planner").mkdir(parents=True)
    (home.folder / "own" / "planner" / "deadly.yaml").write_text("_target_: os.abort\n")
    words = ["--config-dir", "own", "planner=even,proportional,deadly", "network.rate=20 Mbit/s", "sweep.batch=3"]
    ended(home.sweep("launcher=on_ray", f"launcher.address={cluster.address}", "launcher.retries=2", *words), code=1)
    rows = home.table.rows(["status", "reason", "overrides"])
    lost = rows[rows["status"] != "done"]
    assert len(rows) == 3
    assert [json.loads(words)[0] for words in lost["overrides"]] == ["planner=deadly"]
    assert list(lost["reason"]) == ["its process died 2 times (killed, or out of memory)"]


@on_nodes
def test_a_script_sends_its_objects_files_and_functions(cluster: Any, home: Home) -> None:
    (home.folder / "my_planners.py").write_text(
        "from edgesim.planners.baselines.even import even\n\n\n"
        "def mine(problem):\n    return even(problem, groups='pipeline', depth='gpipe')\n"
    )
    (home.folder / "phone.yaml").write_text((CODE / "conf" / "workload" / "text.yaml").read_text())
    script = f"""
import edgesim as es
from my_planners import mine
ray = es.Choice(group="launcher", name="on_ray", options={{"address": "{cluster.address}"}})
asked = dict(model="bert_tiny_bytes", cluster=es.load_cluster("demo"), workload="./phone.yaml",
             planner=mine, strategy="pipeline", seed=[1, 2], results="out")
there = es.sweep(name="there", launcher=ray, **asked)
here = es.sweep(name="here", workers=1, **asked)
print(there.failures, len(there), list(there.runs()["key"]) == list(here.runs()["key"]))
"""
    (home.folder / "script.py").write_text(script)
    out, _ = ended(home.start("-c", "import sys; sys.path.append('.'); exec(open('script.py').read())"))
    assert out.splitlines()[-1] == "0 2 True"
    wait_until(lambda: not list(Path(tempfile.gettempdir()).glob("edgesim-made-*")))


@on_nodes
def test_a_cluster_that_starts_with_the_sweep_ends_with_it_also_when_it_is_interrupted(home: Home) -> None:
    process = home.sweep("launcher=on_ray", "launcher.workers=1", *HUNDRED, "sweep.batch=2")
    wait_until(lambda: len(home.table.rows(["key"])) > 0)
    (folder,) = {found for line in home.processes().values() for found in re.findall(r"/tmp/edgesim-ray-\w+", line)}
    process.send_signal(signal.SIGINT)
    _, err = ended(process, code=130)
    assert err.splitlines()[-1] == "interrupted; the same command goes on from here"
    wait_until(lambda: not home.processes(), seconds=20)
    assert not Path(folder).exists()
    assert 0 < len(home.table.rows(["key"])) < 100


@on_nodes
def test_a_cluster_that_is_not_there_is_named_in_one_sentence(home: Home) -> None:
    _, err = ended(home.sweep("launcher=on_ray", "launcher.address=127.0.0.1:1", "seed=1,2"), code=2)
    assert "a Ray cluster cannot be reached at 127.0.0.1:1: " in err.splitlines()[-1]


def test_a_cluster_that_has_lost_its_last_core_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cores = iter([{"CPU": 2.0}, {}, {}, {"CPU": 1.0}])
    answers = iter([([], ["a"])] * 4 + [(["a"], [])])
    monkeypatch.setattr(on_ray.ray, "wait", lambda under_way, timeout: next(answers))
    monkeypatch.setattr(on_ray.ray, "cluster_resources", lambda: next(cores))
    assert on_ray._first(["a"]) == "a"
    assert capsys.readouterr().err.count("waiting: the Ray cluster has no core left") == 1


# --- what a worker of another machine looks at first ---


def spec(*folders: str, code: str = code_hash(), made: MadeFolder | None = None) -> SweepSpec:
    return SweepSpec(sweep=Sweep((), (), folders), folder="out", study="s", code=code, made=made)


def test_a_machine_with_another_edgesim_is_refused() -> None:
    with pytest.raises(RunError, match=r"another edgesim than the machine that began the sweep: its code is \w{16}"):
        at_hand(spec(code="older"))


def test_a_machine_without_a_folder_of_configuration_files_is_refused() -> None:
    with pytest.raises(RunError, match="has no folder /nowhere/conf of configuration files"):
        at_hand(spec("/nowhere/conf"))


def test_files_made_for_a_call_outlive_it_where_the_sweep_is_made(tmp_path: Path) -> None:
    folder, kept = tmp_path / "made", tmp_path / "kept.yaml"
    (folder / "model").mkdir(parents=True)
    kept.write_text("a: 1\n")
    (folder / "model" / "link.yaml").symlink_to(kept)
    (folder / "model" / "own.yaml").write_text("b: 2\n")
    made = MadeFolder.of(folder)
    for path in (folder / "model" / "link.yaml", folder / "model" / "own.yaml"):
        path.unlink()
    ours, there = at_hand(spec(str(folder), made=made))
    assert there is not None
    assert ours.sweep.folders == (str(there),)
    made.write(there)
    assert (there / "model" / "own.yaml").read_text() == "b: 2\n"
    assert (there / "model" / "link.yaml").resolve() == kept  # relative paths in it lead where they led
    shutil.rmtree(there)
    kept.unlink()
    made.write(tmp_path / "apart")
    assert (tmp_path / "apart" / "model" / "link.yaml").read_text() == "a: 1\n"
