"""Can a job's text and checkpoint be used? Asked before any rank starts."""

import json
from pathlib import Path

from edgesim.model import Model
from real_runtime.architectures import refuse_unknown
from real_runtime.data.spec import corpus
from real_runtime.job import Job

# Checkpoints that could be read, as they were written then: they are large, and jobs that follow each other share them.
_readable: set[tuple[object, ...]] = set()


def refuse_unusable(job: Job) -> None:
    """Raise ValueError for a folder without enough text, and for one without a whole checkpoint of the model."""
    refuse_unknown(job.model)
    if job.data.kind == "text":
        corpus(job.data, job.workload)
    if job.checkpoint is not None:
        _refuse_unreadable(job.model, job.checkpoint)


def _refuse_unreadable(model: Model, checkpoint: str) -> None:
    from real_runtime.models import read_layers  # only these jobs load PyTorch where ranks are started from

    there = [(path.name, path.stat()) for path in sorted(Path(checkpoint).glob("*"))]
    files = ((name, status.st_size, status.st_mtime_ns) for name, status in there)
    known = (model.architecture, json.dumps(model.hyper, sort_keys=True), checkpoint, *files)
    if known not in _readable:
        read_layers(model, range(len(model.layers)), checkpoint)
        _readable.add(known)
