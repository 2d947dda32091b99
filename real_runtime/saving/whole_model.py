"""How is a trained model kept? As the library keeps its own, so that others read it too; or in our plain layout."""

from pathlib import Path
from typing import Any

from edgesim.whole_files import whole_folder
from real_runtime.job import Job
from real_runtime.models import architecture, build_layers
from real_runtime.saving.gathering import gather
from real_runtime.weights.checkpoints import in_silence
from real_runtime.weights.plain_layout import write_plain
from real_runtime.weights.tensor_files import apart, naming


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
