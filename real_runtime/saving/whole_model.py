"""How is a trained model kept? As the library keeps its own, so that others read it too; or in our plain layout."""

from pathlib import Path
from typing import Any

from edgesim.whole_files import whole_folder
from real_runtime.assignment import Assignment
from real_runtime.models import architecture, build_layers
from real_runtime.saving.gathering import gather
from real_runtime.weights.checkpoints import in_silence
from real_runtime.weights.plain_layout import write_plain
from real_runtime.weights.tensor_files import apart, naming


def save(assignment: Assignment, parts: Path, target: Path) -> None:
    """Write what the ranks of an assignment have left, as a whole model."""
    arch: Any = architecture(assignment.model)
    whole = _whole(arch, assignment)
    layers = (
        list(build_layers(assignment.model, range(len(assignment.model.layers)), seed=assignment.seed))
        if whole is None
        else [arch.layer_of(whole, assignment.model.hyper, index) for index in range(len(assignment.model.layers))]
    )
    gather(assignment, parts, layers)
    with whole_folder(target) as folder:
        if whole is None:
            write_plain(folder, assignment.model, layers)
        else:
            # Where nothing is tied the library wants two biases of a head, of which ours is both.
            named = None if assignment.model.hyper.get("tied", True) else apart(whole.state_dict())
            with in_silence(), naming(target):
                whole.save_pretrained(folder, state_dict=named)
        for file in folder.iterdir():
            file.chmod(0o644)  # safetensors makes files that are the user's alone


def _whole(arch: Any, assignment: Assignment) -> Any | None:
    """The library's whole model, whatever its weights; None if it has none. Of a checkpoint, with all its settings."""
    if not hasattr(arch, "WHOLE"):
        return None
    kind = arch.WHOLE.config_class
    config = (
        arch.config_of(assignment.model.hyper)
        if assignment.checkpoint is None
        else kind.from_pretrained(assignment.checkpoint)
    )
    config.tie_word_embeddings = bool(assignment.model.hyper.get("tied", True))
    return arch.WHOLE(config)
