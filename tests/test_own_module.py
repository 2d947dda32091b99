"""Is a user's own module planned, simulated and executed without touching the library?"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from own_modules import CNN, TRANSFORMER, written

from edgesim.model import Model
from edgesim.workload import Workload
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build
from experiments.configuration.places import CODE
from experiments.configuration.setup import nominal_cluster, prepare
from experiments.execution.assignments import make_assignment
from real_runtime.assignment import Assignment
from real_runtime.data import DataSpec, refuse_other_data
from real_runtime.data.samples import Source
from real_runtime.models import architecture, build_layers
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.testbed import Testbed
from real_runtime.tracing import trace_model
from real_runtime.tracing.trace_model import Inputs, trace_file
from real_runtime.weights.tensor_files import load_tensors

TOLERANCE = 1e-5
IMAGES = ("data=digits", "workload=images")
FAST = ("testbed=loopback", "network.rate=400 Mbit/s", "workload.batch_samples=12", "workload.micro_batch_samples=6")


def files_of(folder: Path) -> set[tuple[str, int]]:
    """Paths and times of everything but what Python and git keep for themselves."""
    beside = {
        "__pycache__",
        ".git",
        ".pytest_cache",
        ".ruff_cache",
        ".mypy_cache",
        ".import_linter_cache",
        ".hypothesis",
    }
    found = (path for path in folder.rglob("*") if path.is_file() and not beside & set(path.parts))
    return {(str(path.relative_to(folder)), path.stat().st_mtime_ns) for path in found}


def traced(folder: Path, text: str, *words: str) -> str:
    """Writes a user's file, its table by the command, and a configuration; returns the folder of configurations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["trace_model", *tracing(folder, text, *words)])
        trace_model.main()
    return configured(folder)


def tracing(folder: Path, text: str, *words: str) -> list[str]:
    """What the command is told."""
    return [f"{written(folder, text)}:make", *words, "--output", str(folder / "own.json")]


def configured(folder: Path) -> str:
    """A folder of configurations in which the table is a model."""
    (folder / "conf" / "model").mkdir(parents=True)
    own = f"_target_: edgesim.model.from_table\ntable: {folder / 'own.json'}\n"
    (folder / "conf" / "model" / "own.yaml").write_text(own)
    return str(folder / "conf")


def command(folder: Path, module: str, *words: str) -> None:
    """A command in a process of its own."""
    asked = [sys.executable, "-m", module, *words]
    done = subprocess.run(asked, cwd=folder, env={"PYTHONPATH": str(CODE)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    """The testbed of both cases: it does not know what will be played."""
    cfg = composed(*FAST)
    with open_testbed(build(cfg.testbed), nominal_cluster(cfg)) as testbed:
        yield testbed


def executed(cfg: DictConfig, testbed: Testbed, folder: Path) -> tuple[Assignment, dict[str, torch.Tensor]]:
    """Plays the configured assignment in both players, holds them to be one, and returns what all ranks have learnt."""
    prepared = prepare(cfg)
    simulated = prepared.setup.simulate(prepared.schedule)
    assignment = replace(
        make_assignment(cfg, prepared.setup, prepared.schedule, iterations=0), results_folder=str(folder)
    )
    assert nominal_cluster(cfg) == testbed.cluster
    (measured,) = testbed.execute(assignment).traces
    assert measured.order() == simulated.order()
    assert [span.task.nbytes for span in measured] == [span.task.nbytes for span in simulated]
    assert sum(span.task.nbytes for span in measured) > 0
    learnt: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("rank*.safetensors")):
        learnt |= load_tensors(file)
    return assignment, learnt


def on_one_device(model: Model, work: Workload, data: DataSpec, seed: int) -> tuple[dict[str, torch.Tensor], float]:
    """The same iteration in plain PyTorch: weights and statistics, and how far the farthest weight has moved."""
    whole = build_layers(model, range(len(model.layers)), seed=seed)
    start = [p.detach().clone() for p in whole.parameters()]
    optimiser = torch.optim.SGD(whole.parameters(), lr=work.learning_rate)
    inputs, targets = Source(data, model, work, seed).batch(0)
    pieces = zip(inputs.split(work.micro_batch_samples), targets.split(work.micro_batch_samples), strict=True)
    for x, y in pieces:
        loss = architecture(model).loss(model.hyper, work.tokens, whole(x), y)
        (loss / work.batch_samples).backward()
    optimiser.step()
    moved = max(float((p.detach() - s).abs().max()) for p, s in zip(whole.parameters(), start, strict=True))
    return whole.state_dict(), moved


CASES = {
    "residual CNN, pipeline": (
        CNN,
        ("--resolution", "16"),
        (*IMAGES, "strategy=pipeline"),
    ),
    "transformer, hybrid pipeline": (
        TRANSFORMER,
        ("--vocabulary", "259", "--tokens", "16", "32", "64"),
        ("workload.tokens=24", "strategy=hybrid_pipeline", "groups=[[0,2],[1]]"),
    ),
}


@pytest.mark.parametrize(("text", "words", "overrides"), CASES.values(), ids=CASES.keys())
@pytest.mark.slow
@pytest.mark.xdist_group("testbed")
@pytest.mark.timeout(300)
def test_an_own_module_is_played_by_both_players_and_learns_what_one_device_would(
    text: str, words: Sequence[str], overrides: Sequence[str], testbed: Testbed, tmp_path: Path
) -> None:
    conf = traced(tmp_path, text, *words)
    cfg = composed("model=own", *FAST, *overrides, folders=[conf])
    assignment, learnt = executed(cfg, testbed, tmp_path)
    expected, moved = on_one_device(assignment.model, assignment.workload, assignment.data, assignment.seed)
    assert moved > 100 * TOLERANCE, "it must have moved"
    assert learnt.keys() == expected.keys()
    for name, parameter in learnt.items():
        torch.testing.assert_close(parameter, expected[name], rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.xdist_group("testbed")
@pytest.mark.timeout(300)
def test_the_commands_take_an_own_module_and_write_nothing_outside_the_users_folder(tmp_path: Path) -> None:
    before = files_of(CODE)
    command(tmp_path, "real_runtime.tracing.trace_model", *tracing(tmp_path, CNN, "--resolution", "16"))
    own = ("--config-dir", configured(tmp_path), "model=own", *IMAGES)
    command(tmp_path, "experiments.run", *own, *FAST, "execute=true", "iterations=1", f"results={tmp_path}")
    (run,) = (tmp_path / "runs").iterdir()
    assert {"simulated.jsonl", "measured.jsonl"} <= {path.name for path in run.iterdir()}
    assert files_of(CODE) == before


def test_a_model_that_does_not_say_what_it_reads_can_be_planned_but_not_executed(tmp_path: Path) -> None:
    sample = "\nimport torch\ndef sample(): return torch.zeros(1, 3, 16, 16)\n"
    model = trace_file(f"{written(tmp_path, CNN + sample)}:make", Inputs())
    assert len(model.layers) == 4
    with pytest.raises(ValueError, match="own does not say what it reads"):
        refuse_other_data(model, DataSpec(kind="digits"))


def test_a_vocabulary_too_small_for_bytes_is_refused(tmp_path: Path) -> None:
    model = trace_file(f"{written(tmp_path, TRANSFORMER)}:make", Inputs(vocabulary=100))
    with pytest.raises(ValueError, match="own has a vocabulary of 100, text as bytes needs 259"):
        refuse_other_data(model, DataSpec(kind="text"))


def test_a_users_loss_is_a_mean_that_counts_for_every_sample(tmp_path: Path) -> None:
    squares = "\ndef loss(output, target): return (output[:, 0] - target).square().mean()\n"
    model = trace_file(f"{written(tmp_path, CNN + squares)}:make", Inputs(resolution=16))
    output, target = torch.rand(3, 10), torch.tensor([1, 2, 3])
    found = architecture(model).loss(model.hyper, 1, output, target)
    torch.testing.assert_close(found, (output[:, 0] - target).square().sum())
