"""How is a job kept, so that it goes on later, under another plan or on other devices? A shard per stage, by layers.

A checkpoint is a folder ``version-12``: a shard of each stage (safetensors: weights, statistics of batches and the
optimiser's state, by layer and name), and ``checkpoint.json``, which says what they are of. It is there whole or not at
all: shards are written into a folder of another name, which gets its own when all are there. Samples are drawn by the
job's seed and the iteration's number, so these two are the position in the data and the state of chance.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgesim.errors import RunError, reading
from edgesim.whole_files import write_text
from real_runtime.assignment import Assignment
from real_runtime.carrying.trained_stage import TrainedStage
from real_runtime.weights.loans import held_before
from real_runtime.weights.tensor_files import load_tensors, save_tensors

MANIFEST = "checkpoint.json"
_WHOLE = re.compile(r"version-(\d+)")
_STATE = "optimiser"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a checkpoint is of.

    Attributes:
        version: iterations that are done; the next one draws the samples of this number.
        shards: file of each stage, and its half-open range of layers.
        seed: of the job: with the version, the position in the data.
    """

    version: int
    model: str
    layers: int
    optimiser: str
    seed: int
    batch_samples: int
    shards: tuple[tuple[str, int, int], ...]

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read a checkpoint's. Raises RunError naming the file for anything else."""
        path = folder / MANIFEST
        with reading(str(path), "checkpoint", written_by="a job (job.checkpoint_every=...)", error=RunError):
            data = json.loads(path.read_text())
            return cls(**data | {"shards": tuple((name, first, last) for name, first, last in data["shards"])})


def fitting(folder: Path, assignment: Assignment) -> Manifest:
    """What a checkpoint says, if a job that trains this can go on from it. Raises RunError saying why it cannot."""
    manifest, work = Manifest.read(folder), assignment.workload
    asked = (
        ("model", manifest.model, assignment.model.name),
        ("layers", manifest.layers, len(assignment.model.layers)),
        ("optimiser", manifest.optimiser, str(work.optimiser)),
        ("seed", manifest.seed, assignment.seed),
        ("batch_samples", manifest.batch_samples, work.batch_samples),
    )
    for name, theirs, ours in asked:
        if theirs != ours:
            raise RunError(f"{folder}: the checkpoint is of {name}={theirs}, the job has {ours} (give it {theirs})")
    return manifest


def shard_name(layers: tuple[int, int]) -> str:
    """The file of a stage's layers."""
    return f"layers-{layers[0]}-{layers[1] - 1}.safetensors"


def unfinished(folder: Path, version: int) -> Path:
    """Where shards are written until all are there."""
    return folder / f".version-{version}.unfinished"


def write_shard(folder: Path, stage: TrainedStage) -> int:
    """Write a stage's layers as they are now; return the bytes."""
    place, named = unfinished(folder, stage.version), dict(_named(stage))
    place.mkdir(parents=True, exist_ok=True)
    save_tensors(place / shard_name(stage.layers), named)
    return sum(tensor.nbytes for tensor in named.values())


def _named(stage: TrainedStage) -> Mapping[str, Tensor]:
    named: dict[str, Tensor] = {}
    layers = stage.module.module
    for layer, module, lent in zip(range(*stage.layers), layers, held_before(layers), strict=True):
        named |= {f"{layer}.{name}": tensor for name, tensor in module.state_dict().items() if name not in lent}
        for name, parameter in module.named_parameters():
            for what, tensor in stage.module.optimiser.state.get(parameter, {}).items():
                named[f"{_STATE}.{layer}.{name}.{what}"] = torch.as_tensor(tensor)
    return named


def finish(folder: Path, manifest: Manifest) -> Path:
    """Let a checkpoint whose shards are all written be one; return its folder."""
    place, whole = unfinished(folder, manifest.version), folder / f"version-{manifest.version}"
    write_text(place / MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")
    place.rename(whole)
    return whole


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint of a job's folder; None where there is none."""
    found = [(int(match[1]), path) for path in folder.glob("version-*") if (match := _WHOLE.fullmatch(path.name))]
    whole = [(version, path) for version, path in found if (path / MANIFEST).is_file()]
    return max(whole)[1] if whole else None


@torch.no_grad()
def read_layers(folder: Path, stage: TrainedStage) -> int:
    """Give a stage its layers of a checkpoint, whatever the plan was that wrote it; return the bytes of these.

    Raises RunError naming a file.
    """
    manifest = Manifest.read(folder)
    missing = set(range(*stage.layers))
    for name, first, last in manifest.shards:
        wanted = missing & set(range(first, last))
        if wanted:
            with reading(str(folder / name), "shard of a checkpoint", written_by="a job", error=RunError):
                _give(load_tensors(folder / name), stage, wanted)
            missing -= wanted
    if missing:
        raise RunError(f"{folder}: the checkpoint has no layer {min(missing)} (take a whole one)")
    stage.version = manifest.version
    return sum(tensor.nbytes for tensor in _named(stage).values())


def _give(named: Mapping[str, Tensor], stage: TrainedStage, layers: set[int]) -> None:
    optimiser: Any = stage.module.optimiser
    lent = held_before(stage.module.module)  # comes with the layer that holds it
    for layer in layers:
        module = stage.module.module[layer - stage.layers[0]]
        own = {name.removeprefix(f"{layer}."): t for name, t in named.items() if name.startswith(f"{layer}.")}
        odd = module.load_state_dict(own, strict=False)
        if other := sorted({*odd.missing_keys, *odd.unexpected_keys} - lent[layer - stage.layers[0]]):
            raise ValueError(f"layer {layer} is not as the checkpoint has it: {other[0]}")
        begin = f"{_STATE}.{layer}."
        for parameter_name, parameter in module.named_parameters():
            head = f"{begin}{parameter_name}."
            state = {name.removeprefix(head): t.clone() for name, t in named.items() if name.startswith(head)}
            if state:
                optimiser.state[parameter] = state
