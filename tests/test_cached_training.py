"""Training from an activation cache gives what training beside the frozen layers gives, and never trains on damage."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from tuned_models import TOKENS, tuned

from edgesim.cached_outputs import Storage
from edgesim.finetuning import cached
from edgesim.model import Model
from edgesim.plan import Depth, Plan, make_stages
from edgesim.schedule import Schedule
from edgesim.strategies.activation_cache import CacheTasks, CacheUse
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Optimiser, Purpose, Workload
from real_runtime.activation_cache.missing import MissingOutputsError
from real_runtime.activation_cache.place import CachePlace
from real_runtime.assignment import Assignment
from real_runtime.control.board import Board, shared_memory
from real_runtime.data import DataSpec
from real_runtime.pacing import Disk
from real_runtime.playing.iteration import IterationPlayer, TaskError
from real_runtime.rank import make_executor
from real_runtime.sources import refuse_unusable

ITERATIONS = 2
WORK = Workload(
    purpose=Purpose.FINE_TUNE,
    batch_samples=4,
    micro_batch_samples=2,
    tokens=TOKENS,
    optimiser=Optimiser.ADAM,
    learning_rate=0.01,
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Few files of functions, which are read in no time."""
    folder = tmp_path_factory.mktemp("sources")
    for file in range(3):
        bodies = ["".join(f"    s{i}{k} = {k}\n" for k in range(4)) for i in range(6)]
        (folder / f"m{file}.py").write_text("\n".join(f"def f{i}():\n{body}" for i, body in enumerate(bodies)))
    return str(folder)


def assignment(
    model: Model, sources: str, use: CacheUse, folder: Path | None, storage: Storage = Storage.FP32
) -> Assignment:
    stages = make_stages(
        cuts=(0, len(model.layers)), groups=((0,),), samples=((2,),), depth=Depth.ONE_F_ONE_B, micro_batches=2
    )
    plan = Plan(model=model.name, stages=stages, micro_batches=2, micro_batch_samples=2, planner="test")
    return Assignment(
        schedule=hybrid_pipeline(plan, model, WORK, cache=CacheTasks(use=use, storage=storage)),
        model=model,
        workload=WORK,
        data=DataSpec(kind="task", task="halves", folder=sources),
        iterations=ITERATIONS,
        seed=0,
        cache=None if folder is None else CachePlace(folder=str(folder), storage=storage),
    )


def trained(asked: Assignment) -> dict[str, Tensor]:
    """What is learnt in the first iterations, by one rank."""
    (program,) = asked.schedule.programs
    executor = make_executor(asked, program)
    dilation = SimpleNamespace(run=lambda work, kind, waited: (work(), 0.0, 0.0))
    host = SimpleNamespace(
        dilation=dilation, board=Board(shared_memory()), transport=None, begins=lambda *_: None, disk=Disk()
    )
    try:
        for iteration in range(asked.iterations):
            executor.begin(iteration)
            IterationPlayer(host, executor, program, iteration).play()  # type: ignore[arg-type]
        stage = getattr(executor, "executor", executor).stage
        return {name: weight for name, weight in stage.module.named_parameters() if weight.requires_grad}
    finally:
        if hasattr(executor, "close"):
            executor.close()


@pytest.mark.parametrize("family", ["bert", "llama", "t5", "bart"])
def test_learning_from_a_cache_is_learning_beside_the_frozen_layers(family: str, sources: str, tmp_path: Path) -> None:
    model = tuned(family, "parallel_adapters")
    plain = trained(assignment(model, sources, CacheUse.NOTHING, None))
    writing = trained(assignment(model, sources, CacheUse.WRITE, tmp_path))
    reading = trained(assignment(cached(model), sources, CacheUse.READ, tmp_path))
    assert plain.keys() == writing.keys() == reading.keys()
    for name, weight in plain.items():
        assert torch.equal(writing[name], weight), "to write changes nothing"
        torch.testing.assert_close(reading[name], weight, rtol=0, atol=1e-6)


def test_shorter_numbers_in_the_cache_change_what_is_learnt_a_little(sources: str, tmp_path: Path) -> None:
    model, off = tuned("bert", "parallel_adapters"), {}
    plain = trained(assignment(model, sources, CacheUse.NOTHING, None))
    for storage in Storage:
        folder = tmp_path / storage
        trained(assignment(model, sources, CacheUse.WRITE, folder, storage))
        reading = trained(assignment(cached(model), sources, CacheUse.READ, folder, storage))
        off[storage] = max(float((reading[name] - weight).detach().abs().max()) for name, weight in plain.items())
    assert off[Storage.FP32] <= 1e-6 < off[Storage.FP16]
    assert max(off.values()) < 2 * ITERATIONS * WORK.learning_rate, "Adam goes no further in so many steps"


def test_what_is_damaged_in_a_cache_is_named_and_not_trained_on(sources: str, tmp_path: Path) -> None:
    model = tuned("bert", "parallel_adapters")
    trained(assignment(model, sources, CacheUse.WRITE, tmp_path))
    shard = tmp_path / "rank0" / "000000.shard"
    os.truncate(shard, shard.stat().st_size - 64)
    with pytest.raises(TaskError) as error:
        trained(assignment(cached(model), sources, CacheUse.READ, tmp_path))
    assert isinstance(error.value.__cause__, MissingOutputsError)
    assert len(error.value.__cause__.samples) == 1
    trained(assignment(model, sources, CacheUse.WRITE, tmp_path))  # computed again
    trained(assignment(cached(model), sources, CacheUse.READ, tmp_path))


def test_a_cache_of_another_backbone_precision_or_data_is_refused_before_anything_is_computed(
    sources: str, tmp_path: Path
) -> None:
    model = tuned("bert", "parallel_adapters")
    asked = assignment(model, sources, CacheUse.WRITE, tmp_path)
    trained(asked)
    for other, said in (
        (replace(asked, seed=1), "is of another backbone"),
        (replace(asked, cache=CachePlace(folder=str(tmp_path), storage="int8")), "keeps numbers as fp32"),
        (replace(asked, data=replace(asked.data, task="same_module")), "is of other samples"),
    ):
        with pytest.raises(ValueError, match=said):
            trained(other)


def test_a_cache_without_a_place_or_without_samples_that_come_again_is_refused(sources: str, tmp_path: Path) -> None:
    asked = assignment(tuned("bert", "parallel_adapters"), sources, CacheUse.WRITE, tmp_path)
    refuse_unusable(asked)
    with pytest.raises(ValueError, match="no folder is named for it"):
        refuse_unusable(replace(asked, cache=None))
    with pytest.raises(ValueError, match="outputs are cached of samples that come again, and text is drawn anew"):
        refuse_unusable(replace(asked, data=DataSpec(kind="text")))


def test_too_little_room_is_said_before_anything_starts(
    sources: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = assignment(tuned("bert", "parallel_adapters"), sources, CacheUse.WRITE, tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match=r"needs .* bytes\), and its disk has 1 kB \(1000 bytes\) left"):
        refuse_unusable(asked)
    refuse_unusable(replace(asked, cache=replace(asked.cache, limit_bytes=900.0)))


def test_an_assignment_with_a_cache_travels(sources: str, tmp_path: Path) -> None:
    asked = assignment(tuned("bert", "parallel_adapters"), sources, CacheUse.WRITE, tmp_path)
    back = Assignment.from_dict(asked.to_dict())
    assert (back.cache, back.data) == (asked.cache, asked.data)
    assert isinstance(back.schedule, Schedule)
