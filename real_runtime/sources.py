"""Can an assignment's schedule, text and checkpoint be used? Asked before any rank starts."""

import json
from math import inf
from pathlib import Path

from edgesim.cached_outputs import Storage
from edgesim.model import Model
from edgesim.schedule import DISK, Op
from real_runtime.activation_cache.room import needed_bytes, refuse_too_little_room
from real_runtime.architectures import refuse_unknown
from real_runtime.assignment import Assignment
from real_runtime.data.spec import corpus
from real_runtime.data.tasks.reading import read_task
from real_runtime.finetuning.refusals import refuse_untunable

# Checkpoints that could be read, as they were written then: large, and shared by assignments that follow each other.
_readable: set[tuple[object, ...]] = set()


def refuse_unusable(assignment: Assignment) -> None:
    """Raise ValueError for a folder without enough text, and for one without a whole checkpoint of the model.

    And for a schedule of iterations that overlap, and for fine-tuning that the runtime has not.
    """
    refuse_unknown(assignment.model)
    refuse_untunable(assignment.model, assignment.schedule)
    if (spanned := assignment.schedule.iterations) > 1:
        raise ValueError(
            f"the testbed plays one iteration after the other, this schedule has {spanned} that overlap, with a "
            "parameter server (execute=false, or a strategy that waits for all)"
        )
    if any(task.op in DISK for task in assignment.schedule):
        _refuse_uncacheable(assignment)
    if assignment.data.kind == "text":
        corpus(assignment.data, assignment.model, assignment.workload)
    if assignment.checkpoint is not None:
        _refuse_unreadable(assignment.model, assignment.checkpoint)


def _refuse_uncacheable(assignment: Assignment) -> None:
    """Raise ValueError where outputs cannot be kept: nowhere to, samples that do not come again, too little room."""
    if assignment.cache is None:
        raise ValueError("the schedule has an activation cache, and no folder is named for it (set activations=FOLDER)")
    epoch = assignment.epoch_iterations
    if assignment.data.kind != "task" and epoch is None:
        raise ValueError(
            f"outputs are cached of samples that come again, and {assignment.data.kind} is drawn anew "
            "(choose data=functions or data=glue)"
        )
    writes = [task for task in assignment.schedule if task.op is Op.CACHE_WRITE and not task.micro_batch]
    if writes:
        model, work = assignment.model, assignment.workload
        samples = len(read_task(assignment.data).train) if epoch is None else epoch * work.batch_samples
        storage = Storage(assignment.cache.storage)
        needed = needed_bytes(model, samples=samples, tokens=work.tokens, storage=storage)
        limit = assignment.cache.limit_bytes
        ranks = len({task.rank for task in writes})
        held = sum(path.stat().st_size for path in Path(assignment.cache.folder).glob("rank*/*.shard"))
        refuse_too_little_room(
            assignment.cache.folder, needed, limit_bytes=inf if limit is None else ranks * limit, held_bytes=held
        )


def _refuse_unreadable(model: Model, checkpoint: str) -> None:
    from real_runtime.models import read_layers  # only these assignments load PyTorch where ranks are started from

    there = [(path.name, path.stat()) for path in sorted(Path(checkpoint).glob("*"))]
    files = ((name, status.st_size, status.st_mtime_ns) for name, status in there)
    known = (model.architecture, json.dumps(model.hyper, sort_keys=True), checkpoint, *files)
    if known not in _readable:
        read_layers(model, range(len(model.layers)), checkpoint)
        _readable.add(known)
