"""How do named tensors lie in a file? As safetensors, which hold numbers only; whoever cannot write names the place."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


def save_tensors(path: Path, named: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> None:
    """Write them; of those that are one and the same each has its numbers. Raises ValueError where the disk is full."""
    with naming(path):
        save_file(apart(named), path, metadata={"format": "pt", **(about or {})})


def apart(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, contiguous; of those that share their numbers all but the first have copies."""
    alone: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in named.items():
        storage = tensor.untyped_storage().data_ptr()
        alone[name] = tensor.detach().clone() if storage in seen else tensor.detach().contiguous()
        seen.add(storage)
    return alone


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read what :func:`save_tensors` wrote."""
    named: dict[str, Tensor] = load_file(path)
    return named


def named_by_layer(layers: Iterable[nn.Module], first: int = 0) -> dict[str, Tensor]:
    """All weights and statistics of layers as ``<layer>.<name in the layer>``, counted from the first one's index."""
    return {
        f"{index}.{name}": tensor
        for index, layer in enumerate(layers, first)
        for name, tensor in layer.state_dict().items()
    }


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """While weights are written: the library's word for a full disk names no file. Raises ValueError, which does."""
    try:
        yield
    except SafetensorError as error:
        reason = re.sub(r"^.*?I/O error: | \(os error \d+\).*$", "", str(error))
        raise ValueError(f"{path} cannot be written: {reason} (make room, or choose another folder)") from error
