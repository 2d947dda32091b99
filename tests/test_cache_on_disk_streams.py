"""Both players write and read a cache beside what they compute, in the same order; what is read was written."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders import constant_profile, data_plan, homogeneous, workload
from torch import Tensor, nn

from edgesim.cached_outputs import Storage
from edgesim.finetuning import cached, parallel_adapters
from edgesim.model import Model
from edgesim.schedule import Op, Schedule, Stream, Task
from edgesim.simulator import simulate
from edgesim.strategies.activation_cache import CacheTasks, CacheUse
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.zoo.bert import bert
from real_runtime.activation_cache.cache import ActivationCache
from real_runtime.activation_cache.key import CacheKey
from real_runtime.control.board import Board, shared_memory
from real_runtime.pacing import Disk
from real_runtime.playing.iteration import IterationPlayer, TaskError
from real_runtime.stages.caching_executor import CachingExecutor

TOKENS, HIDDEN, LAYERS, MICRO_BATCHES, SAMPLES = 4, 16, 2, 3, 2
MODEL = parallel_adapters(
    bert(name="b", layers=LAYERS, hidden=HIDDEN, heads=8, columns=64, vocabulary=50, positions=TOKENS)
)


def schedule_of(use: CacheUse, model: Model, storage: Storage = Storage.FP32) -> Schedule:
    asked = workload(micro_batches=MICRO_BATCHES, micro_batch_samples=SAMPLES, tokens=TOKENS)
    plan = data_plan(model, [SAMPLES], micro_batches=MICRO_BATCHES)
    return hybrid_pipeline(plan, model, asked, cache=CacheTasks(use=use, storage=storage, ahead=1))


class FrozenLayers:
    """Computes an embedding and layers that are never trained, and remembers what they put out."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(HIDDEN, HIDDEN) for _ in range(LAYERS + 1)])
        self.put_out: dict[int, list[Tensor]] = {}
        self.given: dict[int, Mapping[int, Tensor]] = {}

    def begin(self, iteration: int) -> None:
        pass

    def kind(self, task: Task) -> object:
        return task.op

    def compute(self, task: Task) -> None:
        if task.op is Op.F and task.micro_batch not in self.given:
            state = torch.full((SAMPLES, TOKENS, HIDDEN), float(task.micro_batch or 0))
            for layer in self.layers:
                state = layer(state)
                self.put_out.setdefault(task.micro_batch or 0, []).append(state.detach())

    def made(self, task: Task) -> Iterable[Tensor]:
        return ()

    def give(self, micro_batch: int, outputs: Mapping[int, Tensor]) -> None:
        self.given[micro_batch] = outputs


def samples_of(micro_batch: int) -> Sequence[int]:
    return range(SAMPLES * micro_batch, SAMPLES * (micro_batch + 1))


_opened: list[ActivationCache] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def caching(folder: Path, layers: FrozenLayers, storage: Storage = Storage.FP32) -> CachingExecutor:
    key = CacheKey(backbone="b", samples="s", width=HIDDEN, storage=storage)
    _opened.append(ActivationCache(folder, key, keep=True))
    executor = CachingExecutor(
        layers,  # type: ignore[arg-type]
        _opened[-1],
        layers=range(LAYERS + 1),
        samples_of=samples_of,
        give=layers.give,
    )
    for number, module in enumerate(layers.layers):
        executor.watch(number, module, lambda output: output)
    return executor


def played(executor: object, schedule: Schedule, disk: Disk | None = None) -> dict[str, tuple[float, float]]:
    dilation = SimpleNamespace(run=_timed)
    host = SimpleNamespace(
        dilation=dilation,
        board=Board(shared_memory()),
        transport=None,
        begins=lambda *_: None,
        disk=disk or Disk(),
    )
    return IterationPlayer(host, executor, schedule.programs[0], 0).play()  # type: ignore[arg-type]


def _timed(work, kind, waited):  # type: ignore[no-untyped-def]
    begin_s = time.monotonic()
    time.sleep(0.01)
    work()
    return None, begin_s, time.monotonic()


def orders(schedule: Schedule, ends: Mapping[str, float]) -> dict[Stream, list[str]]:
    streams: dict[Stream, list[str]] = {}
    for task in sorted(schedule, key=lambda task: ends[task.name]):
        streams.setdefault(task.stream, []).append(task.name)
    return streams


@pytest.mark.parametrize("storage", Storage)
def test_what_one_epoch_writes_the_next_reads(storage: Storage, tmp_path: Path) -> None:
    first, later = FrozenLayers(), FrozenLayers()
    filling = caching(tmp_path, first, storage)
    played(filling, schedule_of(CacheUse.WRITE, MODEL, storage))
    assert not filling.taken, "what was written is let go"
    filling.cache.close()
    played(caching(tmp_path, later, storage), schedule_of(CacheUse.READ, cached(MODEL), storage))
    assert not later.put_out, "nothing is computed that was cached"
    for m, outputs in first.put_out.items():
        for layer, expected in enumerate(outputs):
            largest = float(expected.abs().max())
            bound = {Storage.FP32: 0.0, Storage.FP16: 2**-11, Storage.INT8: 1 / 250}[storage] * largest
            np.testing.assert_allclose(later.given[m][layer], expected, atol=bound, rtol=0)


@pytest.mark.parametrize(("use", "model"), [(CacheUse.WRITE, MODEL), (CacheUse.READ, cached(MODEL))])
def test_both_players_have_the_same_order_on_every_stream(use: CacheUse, model: Model, tmp_path: Path) -> None:
    schedule = schedule_of(use, model)
    with caching(tmp_path, FrozenLayers()).cache as cache:
        for sample in range(SAMPLES * MICRO_BATCHES):
            for layer in range(LAYERS + 1):
                cache.write([sample], layer, np.ones((1, TOKENS, HIDDEN), dtype=np.float32))
    times = played(caching(tmp_path, FrozenLayers()), schedule, Disk(1e6, 1e6))
    cluster = homogeneous(1, disk_bytes_per_s=1e6)
    profile = constant_profile(model, cluster)
    trace = simulate(schedule, cluster=cluster, model=model, profile=profile, tokens=1)
    simulated = {stream: names for (_, stream), names in trace.order().items()}
    assert orders(schedule, {name: end for name, (_, end) in times.items()}) == simulated


def test_writing_overlaps_with_computing(tmp_path: Path) -> None:
    """A disk that takes 30 ms for a micro-batch, beside computations of 10 ms."""
    schedule = schedule_of(CacheUse.WRITE, MODEL)
    nbytes = next(task.nbytes for task in schedule if task.op is Op.CACHE_WRITE)
    times = played(caching(tmp_path, FrozenLayers()), schedule, Disk(write_bytes_per_s=nbytes / 0.03))
    for m in range(MICRO_BATCHES):
        ready_s, end_s = times[f"0CACHE_WRITE{m}@0"]
        assert end_s - ready_s > 0.029
    assert times["0B0@0"][1] < times["0CACHE_WRITE0@0"][1], "nothing waits for what is written"


def test_outputs_that_were_never_written_end_the_iteration_with_their_names(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as error:
        played(caching(tmp_path, FrozenLayers()), schedule_of(CacheUse.READ, cached(MODEL)))
    assert "outputs of 2 samples must be computed again (sample 0, layer 0" in str(error.value.__cause__)


def test_bytes_that_are_not_the_schedules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as error:
        played(caching(tmp_path, FrozenLayers(), Storage.FP16), schedule_of(CacheUse.WRITE, MODEL))
    assert "the schedule says 1536 B, the cache keeps 768 B" in str(error.value.__cause__)


def test_an_executor_without_a_cache_refuses_its_tasks(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as error:
        played(FrozenLayers(), schedule_of(CacheUse.WRITE, MODEL))
    assert "no activation cache was opened for it" in str(error.value.__cause__)


@pytest.mark.parametrize("reads", [True, False])
def test_an_emulated_disk_takes_as_long_as_its_device_does(reads: bool) -> None:
    disk = Disk(read_bytes_per_s=2e6, write_bytes_per_s=1e6)
    begin_s = time.monotonic()
    assert [disk.run(lambda: 10_000, reads=reads) for _ in range(4)] == [10_000] * 4
    taken_s = time.monotonic() - begin_s
    assert 4 * 10_000 / (2e6 if reads else 1e6) <= taken_s + 1e-3 < 0.2
