"""Which backbone put something out, and of which samples? Hashes of weights, of configurations and of data sets."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgesim.model import Model

_PART_BYTES = 1 << 20
_OF_TECHNIQUES = ("technique", "k", "side", "cached")


def model_hash(model: Model, *, seed: int, checkpoint: str | None) -> str:
    """Return the SHA-256 of a model's own layers without making them: by its sizes, and by where its weights come from.

    That is the seed and the library that draws them, or all files of the checkpoint. What a technique adds is no part
    of it: with adapters, and without its frozen layers, it is the same backbone.
    """
    hyper = {name: value for name, value in model.hyper.items() if name not in _OF_TECHNIQUES}
    digest = hashlib.sha256(json.dumps([model.architecture, hyper], sort_keys=True, default=str).encode())
    if checkpoint is None:
        digest.update(f"\nseed {seed}, torch {torch.__version__}".encode())
    else:
        for file in sorted(path for path in Path(checkpoint).iterdir() if path.is_file()):
            digest.update(f"\n{file.name}\n".encode())
            digest.update(_of_file(file))
    return digest.hexdigest()


def _of_file(path: Path) -> bytes:
    """The SHA-256 of a file, which is read in parts: it may hold gigabytes of weights."""
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while part := opened.read(_PART_BYTES):
            digest.update(part)
    return digest.digest()


def samples_hash(*parts: "np.ndarray[Any, Any] | bytes | str") -> str:
    """Return the SHA-256 of a data set, said by its arrays and texts."""
    digest = hashlib.sha256()
    for part in parts:
        said = part.encode() if isinstance(part, str) else part
        if isinstance(said, bytes):
            digest.update(f"\n{len(said)} bytes\n".encode())
            digest.update(said)
        else:
            digest.update(f"\n{said.shape} {said.dtype}\n".encode())
            digest.update(np.ascontiguousarray(said).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
