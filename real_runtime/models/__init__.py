"""Which PyTorch modules are the model's layers? One file per architecture; any cut of layers gets the same weights.

An architecture's file offers ``layer(hyper, index)``, ``sample(hyper, tokens)`` (one input, for shapes) and
``loss(hyper, tokens, output, target)``, the sum over samples of the mean loss of a sample; one whose costs are traced
also ``layer_names(hyper)``.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from edgesim.model import Model


class Architecture(Protocol):
    """What a file of this folder offers."""

    def layer(self, hyper: Mapping[str, Any], index: int) -> nn.Module: ...

    def layer_names(self, hyper: Mapping[str, Any]) -> list[str]: ...

    def sample(self, hyper: Mapping[str, Any], tokens: int) -> Tensor: ...

    def loss(self, hyper: Mapping[str, Any], tokens: int, output: Tensor, target: Tensor) -> Tensor: ...


def known_architectures() -> list[str]:
    """The files of this folder."""
    return [module.name for module in iter_modules(__path__)]


def load_libraries() -> None:
    """Import what all architectures need, so that no job's memory or time holds it."""
    for name in known_architectures():
        import_module(f"{__name__}.{name}")


def architecture(model: Model) -> Architecture:
    """The file that builds the model. Raises ValueError for an unknown architecture."""
    known = known_architectures()
    if model.architecture not in known:
        raise ValueError(
            f"unknown architecture {model.architecture!r} of model {model.name} (known: {', '.join(sorted(known))})"
        )
    return cast(Architecture, import_module(f"{__name__}.{model.architecture}"))


def build_layers(model: Model, layers: Sequence[int], *, seed: int) -> nn.Sequential:
    """The named layers with random weights, each drawn from its own seed, so that every cut agrees."""
    arch = architecture(model)
    built: list[nn.Module] = []
    for index in layers:
        torch.manual_seed(seed * 1000 + index)
        built.append(arch.layer(model.hyper, index))
    return nn.Sequential(*built)


def boundary_shapes(model: Model, tokens: int) -> list[tuple[int, ...]]:
    """[layer] shape of its output for one sample, found on the meta device: nothing is computed."""
    arch = architecture(model)
    shapes: list[tuple[int, ...]] = []
    with torch.device("meta"), torch.no_grad():
        tensor = arch.sample(model.hyper, tokens).expand(2, *[-1] * (arch.sample(model.hyper, tokens).dim() - 1))
        for index in range(len(model.layers)):
            tensor = arch.layer(model.hyper, index)(tensor)
            shapes.append(tuple(tensor.shape[1:]))
    return shapes
