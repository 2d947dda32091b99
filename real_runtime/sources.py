"""Can a job's text and checkpoint be used? Asked before any rank starts, which takes many seconds."""

import json
from pathlib import Path

from real_runtime.data import corpus
from real_runtime.job import Job
from real_runtime.models import read_layers, refuse_unknown

# Checkpoints that could be read, as they were written then: they are large, and jobs that follow each other share them.
_readable: set[tuple[object, ...]] = set()


def refuse_unusable(job: Job) -> None:
    """Raise ValueError for a folder without enough text, and for one without a whole checkpoint of the model."""
    refuse_unknown(job.model)
    if job.data.kind == "text":
        corpus(job.data, job.workload)
    if job.checkpoint is not None:
        there = [(path.name, path.stat()) for path in sorted(Path(job.checkpoint).glob("*"))]
        files = ((name, status.st_size, status.st_mtime_ns) for name, status in there)
        known = (job.model.architecture, json.dumps(job.model.hyper, sort_keys=True), job.checkpoint, *files)
        if known not in _readable:
            read_layers(job.model, range(len(job.model.layers)), job.checkpoint)
            _readable.add(known)
