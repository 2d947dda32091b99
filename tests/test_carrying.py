"""What ranks carry from plan to plan, without processes: layers' numbers, stores, words, and checkpoints."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runtime_builders import BERT, CASES, MOBILENET, SEED, data, workload
from torch import Tensor

from edgesim.errors import RunError
from edgesim.job import Phase, Safety
from edgesim.memory import carried_bytes
from edgesim.model import Model
from edgesim.schedule import Op, Payload, Task
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Optimiser
from real_runtime.assignment import Assignment
from real_runtime.carrying.carrying_executor import CarryingExecutor
from real_runtime.carrying.checkpoints import MANIFEST, Manifest, finish, fitting, newest, read_layers, write_shard
from real_runtime.carrying.store import Store
from real_runtime.carrying.trained_stage import TrainedStage
from real_runtime.control.words import AbortedError, Words
from real_runtime.jobs.kept import Keeper
from real_runtime.models.batch_norms import statistics_of_batches

PIPELINE = next(case for case in CASES if case.name == "pipeline, 1F1B")
FIRST = PIPELINE.plan(MOBILENET).stages[0].ranks[0]  # who reads the pictures


def assignment(model: Model = BERT, optimiser: Optimiser = Optimiser.MOMENTUM) -> Assignment:
    work = replace(workload(model), optimiser=optimiser)
    schedule = hybrid_pipeline(PIPELINE.plan(model), model, work)
    return Assignment(schedule=schedule, model=model, workload=work, data=data(model), iterations=1, seed=SEED)


def stage_of(whole: Assignment, rank: int, steps: int = 0) -> TrainedStage:
    """A rank's stage after some steps with made-up gradients."""
    stage = TrainedStage.new(whole, whole.schedule.programs[rank], 0)
    torch.manual_seed(rank)
    for _ in range(steps):
        stage.module.flat_gradients.normal_()
        stage.module.update()
    stage.version = steps
    return stage


def alike(one: TrainedStage, other: TrainedStage) -> bool:
    return all(torch.equal(mine, theirs) for (_, mine), (_, theirs) in zip(one.states(), other.states(), strict=True))


@pytest.mark.parametrize("optimiser", Optimiser)
@pytest.mark.parametrize("model", [BERT, MOBILENET], ids=["BERT", "MobileNetV2"])
def test_a_layer_carries_as_many_bytes_as_the_model_says(model: Model, optimiser: Optimiser) -> None:
    whole = assignment(model, optimiser)
    for rank in range(3):
        for layer, numbers in stage_of(whole, rank).states():
            assert numbers.nbytes == carried_bytes(model.layers[layer], whole.workload)


@pytest.mark.parametrize("optimiser", Optimiser)
def test_a_stage_is_taken_up_to_the_bit_and_trains_on_as_if_nothing_had_been(optimiser: Optimiser) -> None:
    whole = assignment(optimiser=optimiser)
    trained, store = stage_of(whole, 0, steps=3), Store(BERT, whole.workload)
    store.keep(trained.states(), 3)
    taken = TrainedStage.taken_up(whole, whole.schedule.programs[0], 3, store)
    assert alike(taken, trained)
    for stage in (taken, trained):
        stage.module.flat_gradients.fill_(0.5)
        stage.module.update()
    assert alike(taken, trained)


def statistics(stage: TrainedStage) -> list[Tensor]:
    return [each.clone() for each in statistics_of_batches(stage.module.module)]


def compute_once(stage: TrainedStage) -> None:
    """A micro-batch of the first stage, which changes its statistics of batches."""
    stage.module.forward(0, torch.rand(2, 3, 64, 64), None)


def equal(mine: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))


def test_who_takes_a_layer_over_goes_on_with_its_statistics_of_batches() -> None:
    whole = assignment(MOBILENET)
    trained, store = stage_of(whole, FIRST), Store(MOBILENET, whole.workload)
    fresh = statistics(trained)
    compute_once(trained)
    store.keep(trained.states(), 1)
    taken = TrainedStage.taken_up(whole, whole.schedule.programs[FIRST], 1, store)
    assert fresh
    assert not equal(statistics(taken), fresh)
    assert equal(statistics(taken), statistics(trained))


def test_an_iteration_that_is_undone_leaves_no_statistics_of_its_batches() -> None:
    stage = stage_of(assignment(MOBILENET), FIRST)
    compute_once(stage)
    stage.begin()
    before = statistics(stage)
    compute_once(stage)
    assert not equal(statistics(stage), before)
    stage.undo()
    assert equal(statistics(stage), before)


def test_a_layer_that_nobody_sent_is_named() -> None:
    whole = assignment()
    with pytest.raises(KeyError, match="layer 3 is not kept in version 2"):
        TrainedStage.taken_up(whole, whole.schedule.programs[0], 2, Store(BERT, whole.workload))


def test_layers_cross_in_pieces_of_several_messages() -> None:
    whole = assignment()
    stores = [Store(BERT, whole.workload) for _ in range(2)]
    stores[0].keep(stage_of(whole, 2, steps=2).states(), 2)
    layers = stage_of(whole, 2).layers
    sender, receiver = (CarryingExecutor(None, store, 2) for store in stores)
    numbers = stores[0].numbers(layers)
    third = numbers // 3
    for place, units in enumerate(((0, third), (third, 2 * third), (2 * third, numbers))):
        nbytes = 4 * (units[1] - units[0])
        send = Task(
            op=Op.SEND,
            rank=0,
            stage=0,
            layers=layers,
            micro_batch=place,
            units=units,
            payload=Payload.WEIGHTS,
            peers=(1,),
            nbytes=nbytes,
        )
        receive = replace(send, op=Op.RECV, rank=1, peers=(0,))
        outgoing, incoming = sender.outgoing(send), receiver.incoming(receive)
        assert outgoing.nbytes == incoming.nbytes == nbytes
        incoming.copy_(outgoing)
    receiver.keep_arrived()
    assert torch.equal(stores[1].flat(layers, 2), stores[0].flat(layers, 2))


def test_a_store_lets_other_versions_go() -> None:
    store = Store(BERT, workload(BERT))
    store.keep([(0, torch.zeros(1))], 1)
    store.keep([(0, torch.ones(1)), (1, torch.ones(1))], 2)
    store.forget_all_but(2)
    assert sorted(store.kept) == [(0, 2), (1, 2)]


def test_a_commit_lets_ranks_go_on_and_an_end_of_their_generation_does_not() -> None:
    words, told = Words(), list[str]()
    words.begin(done=4)

    def wait(iteration: int) -> None:
        try:
            words.wait_for_commit(iteration, generation=1)
            told.append(f"{iteration} is committed")
        except AbortedError:
            told.append(f"{iteration} is not")

    threads = [threading.Thread(target=wait, args=(4,)), threading.Thread(target=wait, args=(5,))]
    for thread in threads:
        thread.start()
    words.commit(4, stop=True)
    threads[0].join()
    words.abort(1)
    threads[1].join()
    assert told == ["4 is committed", "5 is not"]
    assert words.stops_behind(4)
    assert words.has_ended(1)
    assert not words.has_ended(2)


def written(folder: Path, whole: Assignment, steps: int) -> Path:
    """A checkpoint of three stages."""
    stages = [stage_of(whole, rank, steps) for rank in range(3)]
    for stage in stages:
        write_shard(folder, stage)
    shards = tuple((f"layers-{s.layers[0]}-{s.layers[1] - 1}.safetensors", *s.layers) for s in stages)
    layers, work = len(whole.model.layers), whole.workload
    manifest = Manifest(
        version=steps,
        model=whole.model.name,
        layers=layers,
        optimiser=str(work.optimiser),
        seed=whole.seed,
        batch_samples=work.batch_samples,
        shards=shards,
    )
    return finish(folder, manifest)


@pytest.mark.parametrize("optimiser", [Optimiser.MOMENTUM, Optimiser.ADAM])
@pytest.mark.parametrize("model", [BERT, MOBILENET], ids=["BERT", "MobileNetV2"])
def test_a_checkpoint_is_read_under_another_plan_to_the_bit(tmp_path: Path, model: Model, optimiser: Optimiser) -> None:
    whole = assignment(model, optimiser)
    folder = written(tmp_path, whole, steps=2)
    assert newest(tmp_path) == folder
    alone = next(case for case in CASES if case.name == "data, one rank idle")
    other = replace(whole, schedule=hybrid_pipeline(alone.plan(model), model, whole.workload))
    read = TrainedStage.new(other, other.schedule.programs[0], 0)
    read_layers(folder, read)
    assert read.version == 2
    before = [state for rank in (1, 2, 0) for _, state in stage_of(whole, rank, steps=2).states()]
    assert all(torch.equal(mine, theirs) for (_, mine), theirs in zip(read.states(), before, strict=True))


def test_shards_without_a_manifest_are_no_checkpoint(tmp_path: Path) -> None:
    whole = assignment()
    first = written(tmp_path, whole, steps=1)
    write_shard(tmp_path, stage_of(whole, 0, steps=2))
    assert newest(tmp_path) == first


def test_a_checkpoint_that_is_done_again_leaves_one_and_no_parts(tmp_path: Path) -> None:
    whole = assignment()
    plan = PIPELINE.plan(BERT)
    phase = Phase(name="training", plan=plan, schedule=whole.schedule, iterations=4)
    keeper = Keeper(folder=tmp_path, assignment=whole)
    for _ in range(2):
        keeper.command(phase, Safety(checkpoint_every=2))
        for rank in range(3):
            write_shard(tmp_path, stage_of(whole, rank, steps=2))
            assert keeper.hear(rank, {"saved": 2}, ranks=3) is (rank == 2)
    assert [path.name for path in tmp_path.iterdir()] == ["version-2"]
    assert keeper.newest == 2


def test_a_checkpoint_of_another_job_says_what_differs(tmp_path: Path) -> None:
    folder = written(tmp_path, assignment(), steps=1)
    with pytest.raises(RunError, match=r"of optimiser=momentum, the job has adam \(give it momentum\)"):
        fitting(folder, assignment(optimiser=Optimiser.ADAM))
    with pytest.raises(RunError, match="of seed=7, the job has 8"):
        fitting(folder, replace(assignment(), seed=8))


def test_a_damaged_manifest_and_a_missing_layer_are_named(tmp_path: Path) -> None:
    whole = assignment()
    folder = written(tmp_path, whole, steps=1)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["shards"] = manifest["shards"][1:]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    last = stage_of(whole, 0)
    with pytest.raises(RunError, match=f"the checkpoint has no layer {last.layers[0]}"):
        read_layers(folder, last)
    (folder / MANIFEST).write_text("{")
    with pytest.raises(RunError, match=MANIFEST):
        Manifest.read(folder)
