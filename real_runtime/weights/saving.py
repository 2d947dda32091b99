"""How is a trained model kept? As the library keeps its own, so that others read it too; or in our plain layout."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesim.scratch import scratch_folder
from edgesim.whole_files import refuse_unwritable, whole_folder
from real_runtime.job import Job
from real_runtime.models import architecture, build_layers
from real_runtime.weights.checkpoints import in_silence
from real_runtime.weights.gathering import gather
from real_runtime.weights.plain_layout import write_plain
from real_runtime.weights.tensor_files import apart, naming

# What a folder of weights holds that is written here.
_OURS = re.compile(
    r"config\.json|generation_config\.json|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
)


def refuse_place(target: Path) -> None:
    """Raise ValueError for a place that cannot be written to, and for one that holds what is not written anew."""
    refuse_unwritable(target.parent)
    if target.exists() and not target.is_dir():
        raise ValueError(f"save_weights={target} is a file (choose a folder)")
    for other in sorted(path.name for path in target.glob("*") if not _OURS.fullmatch(path.name)):
        raise ValueError(
            f"save_weights={target}: the folder would be replaced, and holds {other} as well (choose another folder)"
        )


@contextmanager
def saving(job: Job, target: Path) -> Iterator[Job]:
    """Within, the job is to be played; what its ranks have trained then is in the folder, whole, or it is as it was.

    Raises ValueError where it cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(within=target.parent, prefix=f".{target.name[:40]}.ranks.") as parts:
        yield replace(job, results_folder=str(parts))
        save(job, parts, target)


def save(job: Job, parts: Path, target: Path) -> None:
    """Write what the ranks of a job have left, as a whole model."""
    arch: Any = architecture(job.model)
    whole = _whole(arch, job)
    layers = (
        list(build_layers(job.model, range(len(job.model.layers)), seed=job.seed))
        if whole is None
        else [arch.layer_of(whole, index) for index in range(len(job.model.layers))]
    )
    gather(job, parts, layers)
    with whole_folder(target) as folder:
        if whole is None:
            write_plain(folder, job.model, layers)
        else:
            # Where nothing is tied the library wants two biases of a head, of which ours is both.
            named = None if job.model.hyper["tied"] else apart(whole.state_dict())
            with in_silence(), naming(target):
                whole.save_pretrained(folder, state_dict=named)
        for file in folder.iterdir():
            file.chmod(0o644)  # safetensors makes files that are the user's alone


def _whole(arch: Any, job: Job) -> Any | None:
    """The library's whole model, whatever its weights; None if it has none. Of a checkpoint, with all its settings."""
    if not hasattr(arch, "WHOLE"):
        return None
    kind = arch.WHOLE.config_class
    config = arch.config_of(job.model.hyper) if job.checkpoint is None else kind.from_pretrained(job.checkpoint)
    config.tie_word_embeddings = bool(job.model.hyper["tied"])
    return arch.WHOLE(config)
