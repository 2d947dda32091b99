"""Does an installed wheel work in an empty folder, and also where a user's own folders have our packages' names?

A wheel is built from the tree and installed into an environment of its own, whose heavy packages are those of the
environment that runs the tests: edgesim itself comes from the wheel.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from zipfile import ZipFile

import pytest
from notebooks import LEAVES, NAMES, NOTEBOOKS, ROOT, outputs

from experiments.configuration.places import CODE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LARGEST_BYTES, SLOWEST_IMPORT_S = 2_000_000, 0.3
PARTS = (
    "edgesim",
    "real_runtime",
    "experiments",
    "conf",
    "results",
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
)
SMALL = (
    "model=bert_tiny_bytes",
    "network.rate=400 Mbit/s",
    "workload.batch_samples=8",
    "workload.micro_batch_samples=4",
)
REAL = (*SMALL, "testbed=loopback", "iterations=1")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built in a copy of the tree: nothing is left in the tree itself."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "tree").mkdir()
    for part in PARTS:
        if (CODE / part).is_file():
            copy(CODE / part, folder / "tree")
        else:
            copytree(
                CODE / part,
                folder / "tree" / part,
                ignore=ignore_patterns("__pycache__", "sweeps" if part == "results" else "build"),
            )
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        ".",
        "./tree",
    ]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; its other packages are the running one's."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel]
    done = subprocess.run([*map(str, install)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (packages,) = (folder / "lib").glob("python*/site-packages")
    # A .pth file found there is not read, so the tree that is installed for editing stays out.
    (packages / "heavy.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


class Shell:
    """A user in a folder."""

    def __init__(self, environment: Path, folder: Path) -> None:
        self.bin, self.folder = environment / "bin", folder

    def run(self, *words: str, exit_code: int = 0) -> str:
        """What a command prints."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
        done = subprocess.run(
            [str(self.bin / words[0]), *words[1:]],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == exit_code, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def edgesim(self, *words: str, exit_code: int = 0) -> str:
        """What a command of ours prints."""
        return self.run("edgesim", *words, exit_code=exit_code)


@pytest.fixture
def shell(environment: Path, tmp_path: Path) -> Shell:
    """In an empty folder within somebody's repository."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    folder = tmp_path / "empty"
    folder.mkdir()
    return Shell(environment, folder)


def test_the_wheel_is_small_and_has_what_configuration_files_name(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    print(f"{wheel.name}: {wheel.stat().st_size / 1e3:.0f} kB, {len(names)} files")
    assert wheel.stat().st_size < LARGEST_BYTES
    travelling = {path.relative_to(CODE).as_posix() for path in (CODE / "conf").rglob("*.*")}
    data = {name.removeprefix("experiments/_data/") for name in names if name.startswith("experiments/_data/")}
    assert travelling <= data
    assert "results/profiles/netns_100mbit.profile.json" in data
    assert not [name for name in names if name.endswith((".png", ".pdf")) or name.startswith(("tests", "docs", "conf"))]


def test_edgesim_is_the_wheels_and_is_imported_in_no_time(shell: Shell) -> None:
    """Seconds are of a processor's time, so that other load on the machine does not count."""
    clocks = "time.process_time(), time.perf_counter()"
    code = f"import time; a, b = {clocks}; import edgesim; c, d = {clocks}; print(c - a, d - b, edgesim.__file__)"
    said = [shell.run("python", "-c", code).split() for _ in range(5)]
    assert {Path(file).is_relative_to(shell.bin.parent) for *_, file in said} == {True}
    seconds, by_the_clock = (min(float(each[i]) for each in said) for i in (0, 1))
    print(f"import edgesim: {seconds:.2f} s of a processor, {by_the_clock:.2f} s by the clock")
    assert seconds < SLOWEST_IMPORT_S
    where = shell.edgesim("conf", "where")
    assert str(shell.bin.parent) in where
    assert str(CODE) not in where


def test_a_user_gets_results_in_an_empty_folder(shell: Shell) -> None:
    """The demonstration in haste, a run on kept seconds, a sweep with its table, a figure, and the bench."""
    shell.edgesim("demo", "calibration.samples=[1,4,8]", "calibration.repeats=1", "iterations=1")
    assert (shell.folder / "results" / "demo" / "gantt.png").is_file()
    said = shell.edgesim("run", "profile=netns_demo", "scenario=trace")
    (run,) = (shell.folder / "results" / "runs").iterdir()
    assert f"Everything is in results/runs/{run.name}" in said
    versions = json.loads((run / "versions.json").read_text())
    assert (versions["git_commit"], versions["git_dirty"]) == (None, None), "the user's repository made nothing of it"
    said = shell.edgesim("sweep", *SMALL, "strategy=data,pipeline", "seed=1,2", "launcher.workers=2", "sweep.name=mine")
    assert "4 runs in results/sweeps/mine/runs.parquet" in said
    plot = re.search(r"plot: +edgesim (figures .*)", said)
    assert plot is not None, said
    shell.edgesim(*plot[1].split())
    assert list(shell.folder.glob("mine_*.png"))
    shell.edgesim("collect", "mine")
    made = json.loads((shell.folder / "results" / "mine" / "made.json").read_text())["table.csv"]
    assert (made["commit"], made["tree"]) == (None, "not recorded")
    shell.edgesim("bench", "--quick", "--only", "proportional_data", "--workers", "2")
    assert (shell.folder / "results" / "planner_bench" / "table.csv").is_file()
    assert {path.name.partition("_")[0] for path in shell.folder.iterdir()} == {"results", "mine"}, (
        "nothing else is left"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_in_an_empty_folder(shell: Shell, name: str) -> None:
    executed = shell.folder.parent / "executed.ipynb"
    shell.run("python", str(ROOT / "tests" / "notebooks.py"), str(NOTEBOOKS / f"{name}.ipynb"), str(executed))
    assert {path.name for path in shell.folder.iterdir()} == LEAVES[name]
    assert outputs(executed, "image/png")
    assert outputs(executed, "text/html")


def test_a_users_own_folders_and_modules_never_shadow_ours(shell: Shell) -> None:
    """Not in this process, nor in workers of sweeps, attempts of the bench or ranks; a planner of theirs is found."""
    for name in ("edgesim", "experiments", "real_runtime", "conf", "results"):
        (shell.folder / name).mkdir()
        (shell.folder / name / "__init__.py").write_text(f"raise SystemExit('the user\\'s {name} was imported')\n")
    (shell.folder / "my_planner.py").write_text(
        "from edgesim.planners.baselines.proportional import proportional\n\n\n"
        "def my_planner(problem, *, groups, depth):\n    return proportional(problem, groups=groups, depth=depth)\n"
    )
    (shell.folder / "conf" / "planner").mkdir()
    (shell.folder / "conf" / "planner" / "my_planner.yaml").write_text(
        "_target_: my_planner.my_planner\n_partial_: true\ngroups: ${oc.select:groups}\ndepth: ${oc.select:depth}\n"
        "declares: { plans: [pipelines], kind: baseline, bench: true }\n"
    )
    own = ("--config-dir", "conf")
    shell.edgesim("run", *own, *REAL, "execute=true", "planner=my_planner", "strategy=data")
    shell.edgesim("sweep", *own, *SMALL, "planner=my_planner,even", "seed=1,2", "launcher.workers=2", "sweep.name=mine")
    shell.edgesim("bench", *own, "--quick", "--only", "my_planner", "--workers", "2")
    table = (shell.folder / "results" / "planner_bench" / "table.csv").read_text()
    assert "my_planner" in table
    assert "was imported" not in table
