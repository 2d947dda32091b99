"""Are trained weights kept whole, whoever has trained which part of them, and can training go on from there?"""

import json
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from runtime_builders import MOBILENET
from test_runtime_models import LANGUAGE, ids, tiny
from torch import nn

from edgesim.model import Model
from edgesim.plan import Depth, Plan, Stage, make_stages
from edgesim.schedule import Schedule
from edgesim.strategies.hybrid_model import hybrid_model
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.strategies.sequence import sequence
from edgesim.strategies.tensor import tensor
from edgesim.workload import Workload
from experiments.configuration.command_line import composed, run_command
from experiments.configuration.setup import read_setup
from experiments.run import run
from experiments.sweeps.sweep import sweep_command
from real_runtime.assignment import Assignment, results_file
from real_runtime.data import DataSpec
from real_runtime.data.samples import Source
from real_runtime.models import architecture, build_layers
from real_runtime.rank import make_executor
from real_runtime.saving.places import refuse_place
from real_runtime.saving.whole_model import save
from real_runtime.sources import refuse_unusable
from real_runtime.weights.tensor_files import save_tensors

SAMPLES, TOKENS = 4, 12
UNITS = {"bert": 5, "distilbert": 5, "gpt2": 5, "opt": 5, "llama": 3}  # of heads that can be divided
COLUMNS = 37


def workload(model: Model) -> Workload:
    return Workload(
        purpose="train",
        batch_samples=SAMPLES,
        micro_batch_samples=SAMPLES,
        tokens=1 if model is MOBILENET else TOKENS,
        optimiser="sgd",
        learning_rate=0.1,
    )


def text_model(name: str, **more: Any) -> Model:
    return tiny(name, vocabulary=259, **more)


def assignment_of(model: Model, schedule: Schedule, **more: Any) -> Assignment:
    data = DataSpec(kind="digits" if model is MOBILENET else "text")
    return Assignment(schedule=schedule, model=model, workload=workload(model), data=data, iterations=1, seed=3, **more)


def plan_of(model: Model, *stages: Stage) -> Plan:
    return Plan(model=model.name, stages=stages, micro_batches=1, micro_batch_samples=SAMPLES, planner="by hand")


def in_stages(model: Model, cuts: list[int], groups: list[list[int]], samples: list[list[int]]) -> Schedule:
    stages = make_stages(cuts=cuts, groups=groups, samples=samples, depth=Depth.GPIPE, micro_batches=1)
    return hybrid_pipeline(plan_of(model, *stages), model, workload(model))


def divided(model: Model, strategy: Callable[..., Schedule], units: bool, tokens: bool) -> Schedule:
    heads = UNITS[model.architecture]
    stage = Stage(
        layers=(0, len(model.layers)),
        ranks=(0, 1),
        samples=(SAMPLES,) * 2,
        in_flight=1,
        heads=(heads - 1, 1) if units else (),
        columns=(COLUMNS - 9, 9) if units else (),
        tokens=(5, TOKENS - 5) if tokens else (),
    )
    return strategy(plan_of(model, stage), model, workload(model))


def schedules(model: Model) -> dict[str, Schedule]:
    """Every way to share a model of four layers."""
    return {
        "pipeline": in_stages(model, [0, 1, 2, 4], [[1], [2], [0]], [[SAMPLES]] * 3),
        "replicas": in_stages(model, [0, 4], [[0, 1]], [[3, 1]]),
        "tensor": divided(model, tensor, units=True, tokens=False),
        "sequence": divided(model, sequence, units=False, tokens=True),
        "hybrid": divided(model, hybrid_model, units=True, tokens=True),
    }


def trained(model: Model) -> nn.Sequential:
    """All layers of a model that is no longer as it was drawn: norms and biases too."""
    layers = build_layers(model, range(len(model.layers)), seed=3)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layers


def leave(assignment: Assignment, folder: Path, layers: nn.Sequential) -> None:
    """What the ranks of an assignment leave when they have trained these very weights, each its part of them."""
    for rank, program in enumerate(assignment.schedule.programs):
        if program:
            executor = make_executor(assignment, program)  # from a checkpoint that holds them
            save_tensors(results_file(folder, rank), executor.results())


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    made = tmp_path / "first", tmp_path / "parts", tmp_path / "second"
    made[1].mkdir()
    return made


def saved_once(model: Model, target: Path, parts: Path) -> nn.Sequential:
    """A trained model, saved by one rank that holds it whole."""
    layers = trained(model)
    assignment = assignment_of(model, in_stages(model, [0, len(model.layers)], [[0]], [[SAMPLES]]))
    executor = make_executor(assignment, assignment.schedule.programs[0])
    executor.stage.module.load_state_dict(layers.state_dict())  # type: ignore[attr-defined]
    save_tensors(results_file(parts, 0), executor.results())
    save(assignment, parts, target)
    results_file(parts, 0).unlink()
    return layers


def assert_equal(ours: nn.Module, theirs: nn.Module) -> None:
    one, other = ours.state_dict(), theirs.state_dict()
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("name", LANGUAGE)
def test_a_saved_model_is_one_of_the_librarys(name: str, tied: bool, folders: tuple[Path, Path, Path]) -> None:
    target, parts, _ = folders
    model = text_model(name, tied=tied)
    layers = saved_once(model, target, parts)
    whole = architecture(model).WHOLE.from_pretrained(target)  # type: ignore[attr-defined]
    whole.eval()
    with torch.no_grad():
        torch.testing.assert_close(whole(ids(model)).logits, layers(ids(model)), rtol=1e-5, atol=1e-5)
    assert_equal(build_layers(model, range(4), seed=0, checkpoint=str(target)), layers)


@pytest.mark.parametrize("way", ["pipeline", "replicas", "tensor", "sequence", "hybrid"])
@pytest.mark.parametrize("name", LANGUAGE)
def test_what_ranks_hold_of_a_checkpoint_is_saved_as_that_checkpoint(
    name: str, way: str, folders: tuple[Path, Path, Path]
) -> None:
    first, parts, second = folders
    model = text_model(name)
    layers = saved_once(model, first, parts)
    assignment = assignment_of(model, schedules(model)[way], checkpoint=str(first))
    leave(assignment, parts, layers)
    save(assignment, parts, second)
    assert_equal(build_layers(model, range(4), seed=0, checkpoint=str(second)), layers)


def test_a_model_that_no_library_saves_is_kept_with_its_statistics_and_read_again(
    folders: tuple[Path, Path, Path],
) -> None:
    target, parts, second = folders
    layers = saved_once(MOBILENET, target, parts)
    assignment = assignment_of(
        MOBILENET, in_stages(MOBILENET, [0, 9, len(MOBILENET.layers)], [[1], [0]], [[SAMPLES]] * 2)
    )
    assignment = replace(assignment, checkpoint=str(target))
    refuse_unusable(assignment)
    leave(assignment, parts, layers)
    save(assignment, parts, second)
    assert_equal(build_layers(MOBILENET, range(len(MOBILENET.layers)), seed=0, checkpoint=str(second)), layers)
    assert any("running_mean" in name for name in layers.state_dict())


def test_weights_of_another_model_are_refused_before_any_rank_starts(folders: tuple[Path, Path, Path]) -> None:
    target, parts, _ = folders
    saved_once(MOBILENET, target, parts)
    other = replace(MOBILENET, hyper={**MOBILENET.hyper, "classes": 7})
    assignment = assignment_of(MOBILENET, in_stages(MOBILENET, [0, len(MOBILENET.layers)], [[0]], [[SAMPLES]]))
    with pytest.raises(ValueError, match=r"has classes=10, .* has classes=7 \(choose the model to match\)"):
        refuse_unusable(replace(assignment, model=other, checkpoint=str(target)))
    weights = target / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"its weights cannot be read: .* \(train the model anew\)"):
        refuse_unusable(replace(assignment, checkpoint=str(target)))
    weights.unlink()
    with pytest.raises(ValueError, match=r"holds no weights of .*, model\.safetensors is missing"):
        refuse_unusable(replace(assignment, checkpoint=str(target)))
    save_tensors(weights, {"a": torch.zeros(1)})
    with pytest.raises(ValueError, match="does not say of what model its weights are"):
        refuse_unusable(replace(assignment, checkpoint=str(target)))


def test_a_checkpoint_keeps_its_settings_when_it_is_trained_on(folders: tuple[Path, Path, Path]) -> None:
    """Dropout is off while we train, and is the model's own setting nevertheless."""
    first, parts, second = folders
    model = text_model("bert")
    layers = saved_once(model, first, parts)
    config = architecture(model).WHOLE.config_class.from_pretrained(first)  # type: ignore[attr-defined]
    config.hidden_dropout_prob = 0.25
    config.save_pretrained(first)
    assignment = assignment_of(model, schedules(model)["pipeline"], checkpoint=str(first))
    leave(assignment, parts, layers)
    save(assignment, parts, second)
    assert type(config).from_pretrained(second).hidden_dropout_prob == 0.25


@pytest.fixture
def little_room() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("little_room")
def test_a_full_disk_is_told_with_the_path_and_what_was_there_stays(tmp_path: Path) -> None:
    save_tensors(tmp_path / "x.safetensors", {"a": torch.ones(2)})
    before = (tmp_path / "x.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"x\.safetensors cannot be written: File too large \(make room"):
        save_tensors(tmp_path / "x.safetensors", {"a": torch.ones(10_000)})
    assert (tmp_path / "x.safetensors").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_only_a_folder_of_weights_is_replaced(tmp_path: Path) -> None:
    refuse_place(tmp_path / "new")
    refuse_place(tmp_path)
    for name in ("config.json", "model.safetensors", "model-00001-of-00002.safetensors", "generation_config.json"):
        (tmp_path / name).touch()
    refuse_place(tmp_path)
    (tmp_path / "tokenizer.json").touch()
    with pytest.raises(ValueError, match=r"be replaced, and holds tokenizer\.json as well \(choose another folder"):
        refuse_place(tmp_path)
    with pytest.raises(ValueError, match=r"is a file \(choose a folder\)"):
        refuse_place(tmp_path / "config.json")
    with pytest.raises(ValueError, match="cannot be written to"):
        refuse_place(Path("/proc/weights/mine"))


# --- by commands ---

REAL = [
    "model=bert_tiny_bytes",
    "model.heads=4",
    "workload.batch_samples=8",
    "workload.micro_batch_samples=4",
    "workload.optimiser=sgd",
    "workload.learning_rate=0.1",
    "testbed=loopback",
    "testbed.slow_motion=1",
    "testbed.fractions=[0.3,0.3,0.3]",
    "testbed.repeat_disturbed=0",
    "iterations=1",
]


ASKED = ["workload=request", "workload.tokens=64"]


def ending(words: Sequence[str]) -> int:
    GlobalHydra.instance().clear()
    sys.argv = ["run", *words]
    try:
        run_command(run, about=None)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["save_weights=mine"], "save_weights=mine keeps what a real run has trained (set execute=true)"),
        (["execute=true", "save_weights=mine", *ASKED], "nothing is trained with workload.purpose=infer"),
        (["execute=true", "save_weights=."], "would be replaced, and holds other.txt as well"),
        (["execute=true", "save_weights=3"], "save_weights"),
    ],
)
def test_weights_that_could_not_be_saved_are_told_before_anything_starts(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other.txt").touch()
    assert ending([*REAL[:4], *words]) == 2
    assert told in capsys.readouterr().err
    assert not Path("mine").exists()


@pytest.mark.usefixtures("here")
def test_the_runs_of_a_sweep_do_not_share_a_folder_of_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep_command(["-m", *REAL, "execute=true", "seed=1,2", "save_weights=mine"]) == 2
    assert "save_weights=mine is for the weights of one run" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.xdist_group("testbed")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("strategy", ["pipeline", "tensor"])
def test_a_run_that_goes_on_from_saved_weights_learns_what_one_device_does_that_never_stopped(
    strategy: str, here: Path
) -> None:
    """Of each run the first iteration warms up, and is learnt from all the same; both draw the same batches."""
    shares = [f"strategy={strategy}", f"planner={'proportional_blocks' if strategy == 'tensor' else 'proportional'}"]
    assert ending([*REAL, *shares, "execute=true", "save_weights=weights/first"]) == 0
    assert ending([*REAL, *shares, "execute=true", "checkpoint=weights/first", "save_weights=weights/second"]) == 0
    setup = read_setup(composed(*REAL))
    layers, losses = on_one_device(setup.model, setup.workload, iterations=[0, 1, 0, 1])
    told = [json.loads((run / "metrics.json").read_text())["losses"] for run in sorted(Path("results/runs").iterdir())]
    assert sorted(loss for losses in told for loss in losses) == pytest.approx(sorted(losses[1::2]), rel=1e-4)
    learnt = build_layers(setup.model, range(len(layers)), seed=0, checkpoint="weights/second")
    for name, expected in layers.state_dict().items():
        torch.testing.assert_close(learnt.state_dict()[name], expected, rtol=1e-4, atol=1e-6)
    assert {path.name for path in (here / "weights").iterdir()} == {"first", "second"}


def on_one_device(model: Model, work: Workload, iterations: Sequence[int]) -> tuple[nn.Sequential, list[float]]:
    """Layers and losses of plain PyTorch, which learns from these batches in turn."""
    layers, arch = build_layers(model, range(len(model.layers)), seed=0), architecture(model)
    optimiser = torch.optim.SGD(layers.parameters(), lr=work.learning_rate)
    source, losses = Source(DataSpec(kind="text"), model, work, 0), []
    for iteration in iterations:
        inputs, targets = source.batch(iteration)
        optimiser.zero_grad()
        loss = arch.loss(model.hyper, work.tokens, layers(inputs), targets) / work.batch_samples
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return layers, losses
