"""How does a rank's stage of parallel adapters keep its frozen layers' outputs, or learn from those that were kept?

A sample of a task is told by its number among those that the task teaches; of an assignment whose epochs draw the same
batches, by its batch's number in the epoch and its position in the batch.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from math import inf
from typing import Any

from torch import Tensor

from edgesim.cached_outputs import Storage, kept_rows
from edgesim.schedule import Task
from real_runtime.activation_cache.cache import ActivationCache
from real_runtime.activation_cache.hashes import model_hash, samples_hash
from real_runtime.activation_cache.key import CacheKey
from real_runtime.assignment import Assignment
from real_runtime.finetuning.parallel_adapters import SideLayer
from real_runtime.stages.caching_executor import CachingExecutor, Outputs
from real_runtime.stages.executor import StageExecutor


def opened(assignment: Assignment, rank: int, samples: str) -> ActivationCache:
    """Open a rank's cache of these samples, or make it.

    Raises ValueError for a cache of another backbone, of other samples, or in another precision.
    """
    place, model = assignment.cache, assignment.model
    assert place is not None, "the assignment was checked for it (sources.py)"
    key = CacheKey(
        backbone=model_hash(model, seed=assignment.seed, checkpoint=assignment.checkpoint),
        samples=samples,
        width=int(model.hyper["hidden"]),
        storage=Storage(place.storage),
    )
    limit_bytes = inf if place.limit_bytes is None else place.limit_bytes
    return ActivationCache(place.of_rank(rank), key, keep=True, limit_bytes=limit_bytes)


def samples_of_epochs(assignment: Assignment) -> str:
    """A hash of the samples of an assignment whose epochs draw the same batches."""
    assert assignment.epoch_iterations is not None, "only those that come again are kept"
    epoch = {
        "data": asdict(assignment.data),
        "seed": assignment.seed,
        "iterations": assignment.epoch_iterations,
        "batch_samples": assignment.workload.batch_samples,
        "tokens": assignment.workload.tokens,
    }
    return samples_hash(json.dumps(epoch, sort_keys=True))


def caching(
    executor: StageExecutor, assignment: Assignment, program: Sequence[Task], cache: ActivationCache | None = None
) -> CachingExecutor:
    """Return the executor with a cache; None: with its rank's, opened for as long as it is used.

    Raises ValueError as :func:`opened`.
    """
    stage, model = executor.stage, assignment.model
    assert stage is not None, "who caches has a stage"
    if cache is None:
        task = executor.source.task
        samples = samples_hash(*(part.numpy() for part in task.train), task.answer_ids.numpy())
        cache = opened(assignment, program[0].rank, samples)
    rows = kept_rows(model, tokens=assignment.workload.tokens)
    layers = [layer for layer in range(*executor.layers) if rows[layer]]

    def give(micro_batch: int, outputs: Outputs) -> None:
        executor.given[micro_batch] = [outputs[layer] for layer in layers]

    made = CachingExecutor(executor, cache, layers=layers, samples_of=partial(_samples_of, executor), give=give)
    for layer, module in zip(range(*executor.layers), stage.module, strict=True):
        if isinstance(module, SideLayer) and module.frozen is not None:
            made.watch(layer, module, partial(_kept_of, module))
    return made


def _kept_of(layer: SideLayer, output: Any) -> Tensor:
    return layer.read_of(output.frozen)


def _samples_of(executor: StageExecutor, micro_batch: int) -> list[int]:
    """The numbers of the rank's samples of a micro-batch."""
    rows, assignment = executor.rows(micro_batch), executor.assignment
    if assignment.epoch_iterations is not None:
        first = executor.drawn * assignment.workload.batch_samples
        return list(range(first + rows.start, first + rows.stop))
    numbers = executor.source.task.samples(executor.drawn, seed=assignment.seed)
    return [int(number) for number in numbers[rows]]
