"""Which task does a specification name? Said without loading PyTorch: whoever starts ranks asks how much there is."""

from real_runtime.data.spec import DataSpec
from real_runtime.data.tasks.examples import Task
from real_runtime.data.tasks.functions import QUESTIONS, functions_task
from real_runtime.data.tasks.glue import glue


def read_task(spec: DataSpec, *, seed: int = 0) -> Task:
    """The task's examples. Raises ValueError where they are not there, or a line is bad."""
    assert spec.task is not None, "DataSpec has checked it"
    if spec.task in QUESTIONS:
        return functions_task(spec.task, folder=spec.folder, seed=seed)
    if spec.folder is None:
        raise ValueError(f"task {spec.task} lies in a folder, and data.folder names none")
    return glue(spec.folder, spec.task)
