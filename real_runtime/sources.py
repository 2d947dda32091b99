"""Can a job's text and checkpoint be used? Asked before any rank starts, which takes many seconds."""

from real_runtime.data import corpus
from real_runtime.job import Job
from real_runtime.models import architecture, refuse_unknown
from real_runtime.models.checkpoints import read_config


def refuse_unusable(job: Job) -> None:
    """Raise ValueError for a folder without enough text, and for one without a checkpoint of the model."""
    refuse_unknown(job.model)
    if job.data.kind == "text":
        corpus(job.data, job.workload)
    if job.checkpoint is not None:
        read_config(architecture(job.model), job.model, job.checkpoint)
